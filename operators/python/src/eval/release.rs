//! Functions that know themselves: an inner function that calls itself holds its own variable, and that variable holds
//! the function. Reference counts alone would never free the pair, so a call that ends takes such pairs apart.
//!
//! Other circles (a list that holds itself) are not found; the memory budget bounds what one evaluation can leave.

use std::cell::RefCell;
use std::rc::Rc;

use super::Frame;
use crate::value::{Func, Value};

type Cell = Rc<RefCell<Value>>;

/// The function in a cell, if nothing else holds it.
fn own_function(cell: &Cell) -> Option<Rc<Func>> {
    match &*cell.borrow() {
        // One count in the cell; the clone that is given back is not there yet.
        Value::Func(f) if Rc::strong_count(f) == 1 => Some(f.clone()),
        _ => None,
    }
}

/// Empty the variables of a call that only functions in them still hold.
pub(super) fn release(frame: &Frame) {
    let cells: Vec<Cell> = frame
        .code
        .cells
        .iter()
        .filter_map(|slot| match &frame.slots[*slot as usize] {
            Value::Cell(cell) => Some(cell.clone()),
            _ => None,
        })
        .collect();
    let functions: Vec<Option<Rc<Func>>> = cells.iter().map(own_function).collect();
    let mut kept = vec![false; cells.len()];
    loop {
        let mut changed = false;
        for (i, cell) in cells.iter().enumerate().filter(|(i, _)| functions[*i].is_some()) {
            // One count in the frame and one in the list above; the others must be in functions that go as well.
            let inner: usize = functions
                .iter()
                .zip(&kept)
                .filter(|(_, kept)| !**kept)
                .filter_map(|(f, _)| f.as_ref())
                .map(|f| f.closure.iter().filter(|c| Rc::ptr_eq(c, cell)).count())
                .sum();
            if !kept[i] && Rc::strong_count(cell) > 2 + inner {
                kept[i] = true;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    for (i, cell) in cells.iter().enumerate() {
        if functions[i].is_some() && !kept[i] {
            cell.replace(Value::Unbound);
        }
    }
}
