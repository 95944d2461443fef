//! Methods of `set` and `frozenset`.

use std::rc::Rc;

use crate::eval::access::key_error;
use crate::exc::{Kind, R, raise, unknown};
use crate::iter::Iter;
use crate::module::thaw;
use crate::name::Name;
use crate::native::{Args, Vm};
use crate::ops::{Bin, set_cmp, set_operator};
use crate::table::Table;
use crate::value::{Set, Value};

fn of(vm: &mut Vm, value: &Value) -> R<Value> {
    if let Value::Set(_) = value {
        return Ok(value.clone());
    }
    let mut table = Table::default();
    let mut iter = Iter::over(value)?;
    while let Some(item) = iter.next(vm)? {
        vm.memory(64)?;
        table.set(item, Value::None)?;
    }
    Ok(Value::set(table))
}

/// A set that is looked for is taken for the frozenset of its elements.
fn as_key(value: &Value) -> Value {
    match value {
        Value::Set(s) => crate::ops::frozen_copy(s),
        other => other.clone(),
    }
}

/// Call a method of a set.
pub(super) fn method(vm: &mut Vm, set: &Rc<Set>, name: Name, text: &str, args: Args) -> R<Value> {
    let this = Value::Set(set.clone());
    let fold = |vm: &mut Vm, op: Bin| -> R<Value> {
        let mut result = set_operator(Bin::Or, &this, &Value::set(Table::default()))?;
        for other in args.pos {
            let other = of(vm, other)?;
            result = set_operator(op, &result, &other)?;
        }
        Ok(result)
    };
    match name {
        Name::union => return fold(vm, Bin::Or),
        Name::intersection => return fold(vm, Bin::And),
        Name::difference => return fold(vm, Bin::Sub),
        Name::symmetric_difference => {
            args.check(&format!("{}.symmetric_difference", this.type_of().name()), 1, 1)?;
            return fold(vm, Bin::Xor);
        }
        Name::copy => {
            args.check(&format!("{}.copy", this.type_of().name()), 0, 0)?;
            return fold(vm, Bin::Or);
        }
        Name::issubset | Name::issuperset | Name::isdisjoint => {
            args.check(&format!("{}.{text}", this.type_of().name()), 1, 1)?;
            let other = of(vm, &args.pos[0])?;
            let order = set_cmp(&this, &other)?;
            return Ok(Value::Bool(match name {
                Name::issubset => order.is_some_and(std::cmp::Ordering::is_le),
                Name::issuperset => order.is_some_and(std::cmp::Ordering::is_ge),
                _ => !crate::ops::truthy(&set_operator(Bin::And, &this, &other)?)?,
            }));
        }
        _ => thaw(&set.frozen)?,
    }
    match name {
        Name::add => {
            args.check("set.add", 1, 1)?;
            vm.memory(64)?;
            let mut table = set.table.borrow_mut();
            if table.get(&args.pos[0])?.is_none() {
                table.set(args.pos[0].clone(), Value::None)?;
            }
        }
        Name::update => {
            for other in args.pos {
                let mut iter = Iter::over(other)?;
                while let Some(item) = iter.next(vm)? {
                    vm.memory(64)?;
                    set.table.borrow_mut().set(item, Value::None)?;
                }
            }
        }
        Name::remove => {
            args.check("set.remove", 1, 1)?;
            if set.table.borrow_mut().remove(&as_key(&args.pos[0]))?.is_none() {
                return Err(key_error(&args.pos[0]));
            }
        }
        Name::discard => {
            args.check("set.discard", 1, 1)?;
            set.table.borrow_mut().remove(&as_key(&args.pos[0]))?;
        }
        Name::clear => {
            args.check("set.clear", 0, 0)?;
            set.table.borrow_mut().clear();
        }
        Name::pop => {
            args.check("set.pop", 0, 0)?;
            let first = set.table.borrow().keys().next().cloned();
            match first {
                // Which element CPython takes is not defined; here it is the oldest.
                Some(key) => {
                    set.table.borrow_mut().remove(&key)?;
                    return Ok(key);
                }
                None => return raise(Kind::KeyError, "pop from an empty set"),
            }
        }
        Name::intersection_update | Name::difference_update => {
            let op = if name == Name::intersection_update { Bin::And } else { Bin::Sub };
            if let Value::Set(result) = fold(vm, op)? {
                let table = std::mem::take(&mut *result.table.borrow_mut());
                *set.table.borrow_mut() = table;
            }
        }
        _ => return unknown("a method of set"),
    }
    Ok(Value::None)
}
