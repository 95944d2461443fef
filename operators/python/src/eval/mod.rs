//! Evaluation: one file for expressions, one for statements, one for calls, one for attributes and indexes.

use std::rc::Rc;

use crate::class::Class;
use crate::exc::Exc;
use crate::ir::Code;
use crate::module::Module;
use crate::value::Value;

pub(crate) mod access;
mod assign;
mod attribute;
mod call;
mod comp;
mod expr;
mod release;
pub(crate) mod stmt;

pub(crate) use stmt::Flow;

/// Variables of one call.
#[derive(Debug)]
pub struct Frame {
    /// Slots, as the code numbers them.
    pub slots: Vec<Value>,
    /// Module of the code.
    pub module: Rc<Module>,
    /// The code.
    pub code: Rc<Code>,
    /// Line of the statement that runs.
    pub line: u32,
    /// The class whose method it is, for `super()`.
    pub owner: Option<Rc<Class>>,
    /// Exceptions that are being handled, inner last.
    pub handling: Vec<Rc<Exc>>,
}

impl Frame {
    /// A frame with empty slots.
    pub fn new(code: &Rc<Code>, module: &Rc<Module>) -> Frame {
        let mut frame = Frame {
            slots: vec![Value::Unbound; code.slots.len()],
            module: module.clone(),
            code: code.clone(),
            line: code.line,
            owner: None,
            handling: Vec::new(),
        };
        frame.renew(&code.cells);
        frame
    }

    /// Put a new cell in slots that inner functions share, keeping what is in them.
    pub fn renew(&mut self, cells: &[u32]) {
        for slot in cells {
            let value = std::mem::take(&mut self.slots[*slot as usize]);
            self.slots[*slot as usize] = Value::Cell(Rc::new(value.into()));
        }
    }

    /// Value of a slot, through a cell.
    #[inline]
    pub fn load(&self, slot: u32) -> Value {
        match &self.slots[slot as usize] {
            Value::Cell(cell) => cell.borrow().clone(),
            value => value.clone(),
        }
    }

    /// Put a value in a slot, through a cell.
    #[inline]
    pub fn store(&mut self, slot: u32, value: Value) {
        match &mut self.slots[slot as usize] {
            Value::Cell(cell) => *cell.borrow_mut() = value,
            place => *place = value,
        }
    }
}
