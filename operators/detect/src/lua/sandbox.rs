//! The machine that rules run in: what there is, what there is not, and why a rule cannot break out or hang.
//!
//! - Libraries: `string`, `table`, `math`, `bit32`, `utf8`, plus `json` and `ip` ([`super::library`]).
//! - Not there: files, processes, clocks, `require`, `load`, `loadstring`, `getfenv`, `setfenv`, `newproxy`,
//!   `collectgarbage`, `gcinfo`, coroutines, buffers, `math.random`: each would reach outside, hide work from the
//!   meter, or make a result differ between two runs. `print` counts and does nothing.
//! - `sandbox(true)` makes every library and metatable read-only before the first rule is loaded.
//! - Library calls whose time is not bounded by their input's size ([`PRELUDE`]) are bounded here, because the machine
//!   does not tick inside them.
use super::library;
use super::meter::Meter;
use super::view::View;
use mlua::{Function, Lua, LuaOptions, LuaString, StdLib, Table, UserDataRef, Value, VmState};
use std::rc::Rc;

/// Globals of the base library that rules do not get.
const REMOVED: &[&str] = &[
    "collectgarbage",
    "dofile",
    "gcinfo",
    "getfenv",
    "load",
    "loadfile",
    "loadstring",
    "newproxy",
    "require",
    "setfenv",
    "vector",
    "buffer",
    "coroutine",
    "debug",
    "os",
    "io",
];

/// Longest text that `find` and `split` search for a literal: a few milliseconds without a tick.
const MAX_SEARCH: usize = 2 << 20;

/// Replacements written in Luau itself, run once over the bare libraries. `...` is a table of helpers.
const PRELUDE: &str = include_str!("prelude.luau");

/// A machine without rules, and the metatable for environments of rules.
pub(super) fn machine(meter: &Rc<Meter>) -> mlua::Result<(Lua, Table)> {
    let libs = StdLib::STRING | StdLib::TABLE | StdLib::MATH | StdLib::BIT | StdLib::UTF8;
    let lua = Lua::new_with(libs, LuaOptions::new().catch_rust_panics(false))?;
    let globals = lua.globals();
    REMOVED.iter().try_for_each(|name| globals.raw_set(*name, Value::Nil))?;
    let math: Table = globals.raw_get("math")?;
    ["random", "randomseed"].iter().try_for_each(|name| math.raw_set(*name, Value::Nil))?;

    let m = meter.clone();
    let print = lua.create_function(move |_, _: mlua::Variadic<Value>| {
        m.count_print();
        Ok(())
    })?;
    globals.raw_set("print", print)?;
    lua.load(PRELUDE).set_name("=prelude").call::<()>(helpers(&lua, meter)?)?;
    library::install(&lua, &globals)?;

    let scope = lua.create_table()?;
    scope.raw_set("__index", &globals)?;
    scope.raw_set("__metatable", false)?;
    scope.set_readonly(true);
    lua.sandbox(true)?;
    lua.set_app_data(meter.clone());
    let m = meter.clone();
    lua.set_interrupt(move |_| m.tick().map(|()| VmState::Continue));
    Ok((lua, scope))
}

/// What the prelude needs from outside Lua.
fn helpers(lua: &Lua, meter: &Rc<Meter>) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    t.raw_set("caught", caught(lua, meter)?)?;
    t.raw_set("iterator", lua.create_function(|lua, view: UserDataRef<View>| view.iterator(lua))?)?;
    t.raw_set(
        "memfind",
        lua.create_function(|_, (text, part, from): (LuaString, LuaString, usize)| {
            let text = text.as_bytes();
            if text.len() > MAX_SEARCH {
                return Err(mlua::Error::runtime(format!("the text to search is longer than {MAX_SEARCH} bytes")));
            }
            let tail = text.get(from.saturating_sub(1)..);
            Ok(tail.and_then(|t| memchr::memmem::find(t, &part.as_bytes())).map(|i| i + from))
        })?,
    )?;
    Ok(t)
}

/// What `pcall` hands to a rule for an error: its value, but never a stop, which goes on upwards.
fn caught(lua: &Lua, meter: &Rc<Meter>) -> mlua::Result<Function> {
    let m = meter.clone();
    lua.create_function(move |lua, e: Value| match &e {
        Value::Error(error) => Ok(Value::String(lua.create_string(m.caught(error)?)?)),
        Value::String(s) if s.as_bytes() == *b"not enough memory" => {
            m.set_out_of_memory();
            Err(mlua::Error::MemoryError("not enough memory".into()))
        }
        _ => Ok(e),
    })
}
