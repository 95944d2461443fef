//! Methods of `list`, and those that all sequences have.

use std::cmp::Ordering;
use std::rc::Rc;

use super::str::int_arg;
use crate::exc::{Exc, ExcClass, Kind, R, Stop, raise, type_error, unknown, value_error};
use crate::iter::Iter;
use crate::module::thaw;
use crate::name::Name;
use crate::native::{Args, Vm};
use crate::ops;
use crate::value::{List, Value};

/// `index` and `count` of a sequence.
pub(super) fn search(items: &[Value], kind: &str, name: Name, args: Args) -> R<Value> {
    let is = |item: &Value| -> R<bool> { Ok(ops::is(item, &args.pos[0]) || ops::eq(item, &args.pos[0])?) };
    match name {
        Name::index => {
            args.check("index", 1, 3)?;
            let bound = |i: i128| if i < 0 { (i + items.len() as i128).max(0) } else { i };
            let start = bound(int_arg(args.pos.get(1), 0)?);
            let stop = bound(int_arg(args.pos.get(2), items.len() as i128)?);
            for (i, item) in items.iter().enumerate() {
                if i as i128 >= start && (i as i128) < stop && is(item)? {
                    return Ok(Value::Int(i as i128));
                }
            }
            if kind == "ImmutableList" {
                return Err(Stop::Raise(Exc::new(ExcClass::Builtin(Kind::ValueError), vec![])));
            }
            if kind == "tuple" {
                return value_error("tuple.index(x): x not in tuple");
            }
            let mut vm = Vm::detached();
            value_error(format!("{} is not in list", crate::repr::to_repr(&mut vm, &args.pos[0])?))
        }
        Name::count => {
            args.check(&format!("{kind}.count"), 1, 1)?;
            let mut count = 0;
            for item in items {
                count += i128::from(is(item)?);
            }
            Ok(Value::Int(count))
        }
        _ => unknown(format!("a method of {kind}")),
    }
}

/// Call a method of a list.
pub(super) fn method(vm: &mut Vm, list: &Rc<List>, name: Name, args: Args) -> R<Value> {
    match name {
        Name::index | Name::count => {
            let items = list.items.borrow().clone();
            return search(&items, "list", name, args);
        }
        Name::copy => {
            args.check("list.copy", 0, 0)?;
            let items = list.items.borrow().clone();
            vm.memory(items.len() * size_of::<Value>())?;
            return Ok(Value::list(items));
        }
        _ => thaw(&list.frozen)?,
    }
    match name {
        Name::append => {
            args.check("list.append", 1, 1)?;
            vm.memory(size_of::<Value>())?;
            list.items.borrow_mut().push(args.pos[0].clone());
        }
        Name::extend => {
            args.check("list.extend", 1, 1)?;
            // A list that is extended by itself takes what it had before.
            let mut iter = match &args.pos[0] {
                Value::List(other) if Rc::ptr_eq(other, list) => {
                    let items = list.items.borrow().clone();
                    Iter::Items(items.into_iter())
                }
                other => Iter::over(other)?,
            };
            while let Some(value) = iter.next(vm)? {
                vm.memory(size_of::<Value>())?;
                list.items.borrow_mut().push(value);
            }
        }
        Name::insert => {
            args.check("insert", 2, 2)?;
            vm.memory(size_of::<Value>())?;
            let mut items = list.items.borrow_mut();
            let len = items.len() as i128;
            let at = int_arg(args.pos.first(), 0)?;
            let at = if at < 0 { (at + len).max(0) } else { at.min(len) };
            items.insert(at as usize, args.pos[1].clone());
        }
        Name::pop => {
            args.check("pop", 0, 1)?;
            let at = int_arg(args.pos.first(), -1)?;
            let mut items = list.items.borrow_mut();
            if items.is_empty() {
                return raise(Kind::IndexError, "pop from empty list");
            }
            let at = if at < 0 { at + items.len() as i128 } else { at };
            if at < 0 || at >= items.len() as i128 {
                return raise(Kind::IndexError, "pop index out of range");
            }
            return Ok(items.remove(at as usize));
        }
        Name::remove => {
            args.check("list.remove", 1, 1)?;
            let items = list.items.borrow().clone();
            for (i, item) in items.iter().enumerate() {
                if ops::is(item, &args.pos[0]) || ops::eq(item, &args.pos[0])? {
                    list.items.borrow_mut().remove(i);
                    return Ok(Value::None);
                }
            }
            return value_error("list.remove(x): x not in list");
        }
        Name::clear => {
            args.check("list.clear", 0, 0)?;
            let old = std::mem::take(&mut *list.items.borrow_mut());
            drop(old);
        }
        Name::reverse => {
            args.check("list.reverse", 0, 0)?;
            list.items.borrow_mut().reverse();
        }
        Name::sort => {
            if !args.pos.is_empty() {
                return type_error("sort() takes no positional arguments");
            }
            args.check_named("sort", 0, 0, &["key", "reverse"])?;
            let items = std::mem::take(&mut *list.items.borrow_mut());
            let sorted = sort(vm, items, args)?;
            *list.items.borrow_mut() = sorted;
        }
        _ => return unknown("a method of list"),
    }
    Ok(Value::None)
}

/// Sort values stably, by `key` and `reverse`.
///
/// # Errors
/// `TypeError` for values without an order; what the key function raises.
pub(crate) fn sort(vm: &mut Vm, items: Vec<Value>, args: Args) -> R<Vec<Value>> {
    let reverse = match args.kw("reverse") {
        Some(v) => ops::truthy(v)?,
        None => false,
    };
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let key = match args.kw("key") {
            None | Some(Value::None) => item.clone(),
            Some(function) => vm.call(function, Args::positional(std::slice::from_ref(&item)))?,
        };
        keyed.push((key, item));
    }
    vm.charge(keyed.len() as u64 * 4)?;
    vm.memory(keyed.len() * 2 * size_of::<Value>())?;
    // Reversing before and after keeps equal elements in their order.
    if reverse {
        keyed.reverse();
    }
    merge_sort(&mut keyed)?;
    if reverse {
        keyed.reverse();
    }
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

/// Merge sort with a comparison that can fail: insertion into a sorted prefix by bisection, as CPython sorts short
/// lists, so that the same pair raises first.
fn merge_sort(items: &mut [(Value, Value)]) -> R<()> {
    let less = |a: &Value, b: &Value| ops::order(a, b, "<", 0).map(|o| o == Some(Ordering::Less));
    // CPython counts the run at the start first, ascending or strictly descending.
    let mut run = items.len().min(1);
    if items.len() > 1 {
        run = 2;
        if less(&items[1].0, &items[0].0)? {
            while run < items.len() && less(&items[run].0, &items[run - 1].0)? {
                run += 1;
            }
            items[..run].reverse();
        } else {
            while run < items.len() && !less(&items[run].0, &items[run - 1].0)? {
                run += 1;
            }
        }
    }
    for at in run..items.len() {
        let (mut low, mut high) = (0, at);
        while low < high {
            let middle = (low + high) / 2;
            if less(&items[at].0, &items[middle].0)? { high = middle } else { low = middle + 1 }
        }
        items[low..=at].rotate_right(1);
    }
    Ok(())
}
