//! What rules have beside Lua's own libraries.
//!
//! - `json.decode(text)`: ordinary tables (`nil` if the text is not JSON); `json.encode(value)`.
//! - `ip.valid(text)`, `ip.is_public(text)`, `ip.is_private(text)`, `ip.in_cidr(text, cidr)`: false for what is not an
//!   address. Public and private as in [`crate::address`].
use super::value;
use super::view::Node;
use crate::address;
use mlua::{Lua, LuaString, Table, Value};
use std::net::IpAddr;

/// Longest text `json.decode` reads, in bytes.
pub const MAX_DECODE: usize = 256 << 10;

pub(super) fn install(lua: &Lua, globals: &Table) -> mlua::Result<()> {
    let json = lua.create_table()?;
    json.raw_set("decode", lua.create_function(|lua, text: Value| decode(lua, &text))?)?;
    json.raw_set("encode", lua.create_function(|_, v: Value| encode(&v))?)?;
    globals.raw_set("json", json)?;

    let ip = lua.create_table()?;
    ip.raw_set("valid", lua.create_function(|_, v: Value| Ok(read(&v).is_some()))?)?;
    ip.raw_set("is_public", lua.create_function(|_, v: Value| Ok(read(&v).is_some_and(address::is_public)))?)?;
    ip.raw_set("is_private", lua.create_function(|_, v: Value| Ok(read(&v).is_some_and(address::is_private)))?)?;
    ip.raw_set("in_cidr", lua.create_function(|_, (v, net): (Value, LuaString)| in_cidr(&v, &net))?)?;
    globals.raw_set("ip", ip)
}

fn decode(lua: &Lua, text: &Value) -> mlua::Result<Value> {
    let Value::String(text) = text else { return Ok(Value::Nil) };
    if text.as_bytes().len() > MAX_DECODE {
        return Err(mlua::Error::runtime(format!("json.decode: more than {MAX_DECODE} bytes")));
    }
    match serde_json::from_slice(&text.as_bytes()) {
        // Tables, not a view: what a rule keeps must count against its memory limit.
        Ok(json) => Node::new(json, &mut 0).tables(lua),
        Err(_) => Ok(Value::Nil),
    }
}

fn encode(v: &Value) -> mlua::Result<String> {
    value::to_json(v).map(|j| j.to_string()).map_err(|e| mlua::Error::runtime(format!("json.encode: {e}")))
}

fn read(v: &Value) -> Option<IpAddr> {
    let Value::String(s) = v else { return None };
    address::parse(s.to_str().ok()?.trim()).map(|a| a.to_canonical())
}

fn in_cidr(v: &Value, net: &LuaString) -> mlua::Result<bool> {
    let text = net.to_string_lossy();
    let bad = || mlua::Error::runtime(format!("ip.in_cidr: {text:?} is not a network"));
    let net = address::parse_net(&text).ok_or_else(bad)?;
    Ok(read(v).is_some_and(|a| net.contains(&a)))
}
