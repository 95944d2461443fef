//! A module: its globals, and how they come back to what they were after loading.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::exc::R;
use crate::ir::Gap;
use crate::table::Table;
use crate::value::{Dict, Value};

/// A loaded module.
#[derive(Debug)]
pub struct Module {
    /// Name by which it is imported.
    pub name: Rc<str>,
    /// File.
    pub file: Rc<str>,
    /// Names of the globals, by slot.
    pub names: Vec<Rc<str>>,
    /// Values of the globals.
    pub globals: RefCell<Vec<Value>>,
    /// Slots that functions assign, with their values after loading.
    pub written: RefCell<Vec<(u32, Value)>>,
    /// True if one of them was assigned since the last reset.
    pub dirty: Cell<bool>,
    /// Every construct that is not built, in the order of the source.
    pub gaps: Vec<Rc<Gap>>,
}

impl Module {
    /// Slot of a global.
    pub fn slot(&self, name: &str) -> Option<u32> {
        self.names.iter().position(|n| &**n == name).map(|i| i as u32)
    }

    /// Value of a global, if it is bound.
    pub fn get(&self, name: &str) -> Option<Value> {
        let value = self.globals.borrow()[self.slot(name)? as usize].clone();
        (!matches!(value, Value::Unbound)).then_some(value)
    }

    /// Put the globals that functions assign back to what they were after loading.
    pub fn reset(&self) {
        let dirty = self.dirty.replace(false);
        for (slot, value) in self.written.borrow().iter() {
            // A container may have changed without an assignment.
            if dirty || matches!(value, Value::List(_) | Value::Dict(_) | Value::Set(_)) {
                self.globals.borrow_mut()[*slot as usize] = copy(value, 0);
            }
        }
    }

    /// Replace a global, as a unit test's mock does.
    pub fn mock(&self, name: &str, value: Value) -> bool {
        match self.slot(name) {
            Some(slot) => {
                for (written, initial) in self.written.borrow_mut().iter_mut() {
                    if *written == slot {
                        *initial = value.clone();
                    }
                }
                self.globals.borrow_mut()[slot as usize] = value;
                true
            }
            None => false,
        }
    }

    /// After loading: note what functions assign, and freeze every constant.
    pub(crate) fn seal(&self, written: &[u32]) {
        let globals = self.globals.borrow();
        *self.written.borrow_mut() = written.iter().map(|s| (*s, copy(&globals[*s as usize], 0))).collect();
        for (slot, value) in globals.iter().enumerate() {
            if !written.contains(&(slot as u32)) {
                freeze(value, 0);
            }
        }
    }
}

/// A copy of what a function may change; other values as they are.
fn copy(value: &Value, depth: u32) -> Value {
    if depth > crate::ops::MAX_NESTING {
        return value.clone();
    }
    match value {
        Value::List(l) => Value::list(l.items.borrow().iter().map(|v| copy(v, depth + 1)).collect()),
        Value::Tuple(t) => Value::tuple(t.0.iter().map(|v| copy(v, depth + 1)).collect()),
        Value::Dict(d) => {
            let mut table = Table::default();
            for (key, value) in d.table.borrow().iter() {
                // A key that is in a table can be hashed.
                let _ = table.set(key.clone(), copy(value, depth + 1));
            }
            Value::Dict(Rc::new(Dict { table: table.into(), frozen: false.into(), ordered: d.ordered }))
        }
        Value::Set(s) if !s.immutable => Value::set(s.table.borrow().clone()),
        other => other.clone(),
    }
}

/// Mark a value and what it holds as constant.
fn freeze(value: &Value, depth: u32) {
    if depth > crate::ops::MAX_NESTING {
        return;
    }
    match value {
        Value::List(l) if !l.frozen.replace(true) => l.items.borrow().iter().for_each(|v| freeze(v, depth + 1)),
        Value::Tuple(t) => t.0.iter().for_each(|v| freeze(v, depth + 1)),
        Value::Dict(d) if !d.frozen.replace(true) => d.table.borrow().iter().for_each(|(_, v)| freeze(v, depth + 1)),
        Value::Set(s) => s.frozen.set(true),
        Value::Object(o) if !o.frozen.replace(true) => o.attrs.borrow().iter().for_each(|(_, v)| freeze(v, depth + 1)),
        Value::Func(f) => {
            f.defaults.iter().for_each(|v| freeze(v, depth + 1));
            f.kw_defaults.iter().for_each(|(_, v)| freeze(v, depth + 1));
        }
        Value::Class(c) => {
            for (_, member) in &c.members {
                if let crate::class::Member::Value(v) = member {
                    freeze(v, depth + 1);
                }
            }
        }
        _ => {}
    }
}

/// Refuse a change of a constant.
///
/// # Errors
/// Unknown if the container is one: CPython would carry the change over to the next event.
pub fn thaw(frozen: &Cell<bool>) -> R<()> {
    if frozen.get() {
        return crate::exc::unknown(
            "a change of a container that the module made when it was loaded, or of a part of the event",
        );
    }
    Ok(())
}
