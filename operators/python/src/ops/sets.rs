//! Sets: inclusion and the operators `&`, `|`, `-`, `^`.

use std::cmp::Ordering;
use std::rc::Rc;

use super::{Bin, bad_operands, plain_table};
use crate::exc::R;
use crate::table::Table;
use crate::value::{Part, Value};

/// A view as the set that it behaves like.
///
/// # Errors
/// `TypeError` if an element cannot be hashed.
pub fn as_set(value: &Value) -> R<Value> {
    let mut table = Table::default();
    if let Value::View(v) = value {
        let of = plain_table(&v.of)?;
        for (key, value) in of.iter() {
            match v.part {
                Part::Items => table.set(Value::tuple(vec![key.clone(), value.clone()]), Value::None)?,
                _ => table.set(key.clone(), Value::None)?,
            }
        }
    }
    Ok(Value::set(table))
}

/// Order of two sets by inclusion; `None` if neither holds the other.
pub fn set_cmp(a: &Value, b: &Value) -> R<Option<Ordering>> {
    let (Value::Set(x), Value::Set(y)) = (a, b) else { return Ok(None) };
    let (x, y) = (x.table.borrow(), y.table.borrow());
    let mut both = 0;
    for key in x.keys() {
        if y.get(key)?.is_some() {
            both += 1;
        }
    }
    Ok(match (both == x.len(), both == y.len()) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        _ => None,
    })
}

/// A set as a `frozenset`.
pub fn frozen_copy(set: &crate::value::Set) -> Value {
    Value::Set(Rc::new(crate::value::Set {
        table: set.table.borrow().clone().into(),
        frozen: true.into(),
        immutable: true,
    }))
}

/// `&`, `|`, `-` and `^` of sets; the result has the type of the left one.
///
/// # Errors
/// `TypeError` if an element cannot be hashed.
pub fn set_operator(op: Bin, a: &Value, b: &Value) -> R<Value> {
    let immutable = matches!(a, Value::Set(s) if s.immutable);
    let (a, b) = (
        if matches!(a, Value::View(_)) { as_set(a)? } else { a.clone() },
        if matches!(b, Value::View(_)) { as_set(b)? } else { b.clone() },
    );
    let (Value::Set(x), Value::Set(y)) = (&a, &b) else { return bad_operands(op, &a, &b) };
    let (x, y) = (x.table.borrow(), y.table.borrow());
    let mut table = Table::default();
    for key in x.keys() {
        let shared = y.get(key)?.is_some();
        if match op {
            Bin::And => shared,
            Bin::Or => true,
            _ => !shared,
        } {
            table.set(key.clone(), Value::None)?;
        }
    }
    if matches!(op, Bin::Or | Bin::Xor) {
        for key in y.keys() {
            if op == Bin::Or || x.get(key)?.is_none() {
                table.set(key.clone(), Value::None)?;
            }
        }
    }
    Ok(Value::Set(Rc::new(crate::value::Set { table: table.into(), frozen: immutable.into(), immutable })))
}
