//! Built-in functions over iterables.

use std::rc::Rc;

use crate::exc::{Exc, ExcClass, Kind, R, Stop, type_error, unknown, value_error};
use crate::iter::Iter;
use crate::native::{Args, Vm};
use crate::ops::{self, Bin, Cmp, int_of};
use crate::types;
use crate::value::Value;

pub(super) fn test(vm: &mut Vm, args: Args, name: &str, stop_at: bool) -> R<Value> {
    args.check(name, 1, 1)?;
    let mut iter = Iter::over(&args.pos[0])?;
    while let Some(item) = iter.next(vm)? {
        if vm.truthy(&item)? == stop_at {
            return Ok(Value::Bool(stop_at));
        }
    }
    Ok(Value::Bool(!stop_at))
}

pub(super) fn enumerate(_: &mut Vm, args: Args) -> R<Value> {
    args.check_parsed("enumerate", 1, 2, &["iterable", "start"])?;
    let Some(over) = args.get(0, "iterable") else {
        return type_error("enumerate() missing required argument 'iterable' (pos 1)");
    };
    let start = match args.get(1, "start") {
        None => 0,
        Some(v) => match int_of(v) {
            Some(i) => i,
            None => return type_error(format!("'{}' object cannot be interpreted as an integer", v.type_name())),
        },
    };
    Ok(Value::iter(Iter::Enumerate(start, Box::new(Iter::over(over)?))))
}

pub(super) fn filter(_: &mut Vm, args: Args) -> R<Value> {
    args.check("filter", 2, 2)?;
    Ok(Value::iter(Iter::Filter(args.pos[0].clone(), Box::new(Iter::over(&args.pos[1])?))))
}

pub(super) fn map(_: &mut Vm, args: Args) -> R<Value> {
    if args.pos.len() < 2 {
        return type_error("map() must have at least two arguments.");
    }
    let iters = args.pos[1..].iter().map(Iter::over).collect::<R<Vec<Iter>>>()?;
    Ok(Value::iter(Iter::Map(args.pos[0].clone(), iters)))
}

pub(super) fn zip(_: &mut Vm, args: Args) -> R<Value> {
    if !args.kw.is_empty() {
        return unknown("zip() with strict");
    }
    let mut iters = Vec::new();
    for value in args.pos {
        iters.push(Iter::over(value)?);
    }
    Ok(Value::iter(Iter::Zip(iters)))
}

pub(super) fn iter(_: &mut Vm, args: Args) -> R<Value> {
    args.check("iter", 1, 2)?;
    if args.pos.len() == 2 {
        return unknown("iter() with a sentinel");
    }
    match &args.pos[0] {
        Value::Iter(_) => Ok(args.pos[0].clone()),
        other => Ok(Value::iter(Iter::over(other)?)),
    }
}

pub(super) fn len(_: &mut Vm, args: Args) -> R<Value> {
    length(args)
}

pub(super) fn length(args: Args) -> R<Value> {
    args.check("len", 1, 1)?;
    let n = match &args.pos[0] {
        Value::Str(s) if s.is_ascii() => s.len(),
        Value::Str(s) => s.chars().count(),
        Value::Bytes(b) => b.len(),
        Value::List(l) => l.items.borrow().len(),
        Value::Tuple(t) => t.0.len(),
        Value::Dict(d) => d.table.borrow().len(),
        Value::Set(s) => s.table.borrow().len(),
        Value::EvDict(e) => e.items().len(),
        Value::EvList(l) => l.items.len(),
        Value::Range(r) => return Ok(Value::Int(r.len())),
        Value::View(v) => return length(Args::positional(std::slice::from_ref(&v.of))),
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        Value::Object(o) if o.class.find("__len__").is_some() => return unknown("an object with its own __len__"),
        other => return type_error(format!("object of type '{}' has no len()", other.type_name())),
    };
    Ok(Value::Int(n as i128))
}

pub(super) fn extreme(vm: &mut Vm, args: Args, name: &str, op: Cmp) -> R<Value> {
    args.check_named(name, 0, usize::MAX, &["key", "default"])?;
    let mut iter = match args.pos {
        [] => return type_error(format!("{name} expected at least 1 argument, got 0")),
        [one] => Iter::over(one)?,
        many => Iter::Tuple(Rc::new(crate::value::Tuple(many.to_vec())), 0),
    };
    let mut best: Option<(Value, Value)> = None;
    while let Some(item) = iter.next(vm)? {
        let key = match args.kw("key") {
            None | Some(Value::None) => item.clone(),
            Some(function) => vm.call(function, Args::positional(std::slice::from_ref(&item)))?,
        };
        best = match best {
            None => Some((key, item)),
            Some(best) => {
                if ops::compare(op, &key, &best.0)? {
                    Some((key, item))
                } else {
                    Some(best)
                }
            }
        };
    }
    match (best, args.kw("default")) {
        (Some((_, item)), _) => Ok(item),
        (None, Some(default)) if args.pos.len() == 1 => Ok(default.clone()),
        (None, _) => value_error(format!("{name}() arg is an empty sequence")),
    }
}

pub(super) fn next(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("next", 1, 2)?;
    let Value::Iter(iter) = &args.pos[0] else {
        return type_error(format!("'{}' object is not an iterator", args.pos[0].type_name()));
    };
    let value = match iter.try_borrow_mut() {
        Ok(mut iter) => iter.next(vm)?,
        Err(_) => return value_error("generator already executing"),
    };
    match (value, args.pos.get(1)) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => Err(Stop::Raise(Exc::new(ExcClass::Builtin(Kind::StopIteration), vec![]))),
    }
}

pub(super) fn reversed(vm: &mut Vm, args: Args) -> R<Value> {
    if args.pos.len() != 1 {
        return type_error(format!("reversed expected 1 argument, got {}", args.pos.len()));
    }
    let name = match &args.pos[0] {
        Value::List(_) => "list_reverseiterator",
        Value::Range(_) => "range_iterator",
        Value::Dict(_) => "dict_reversekeyiterator",
        Value::View(_) => "dict_reversevalueiterator",
        Value::EvList(_) => "generator",
        _ => "reversed",
    };
    let mut items = match &args.pos[0] {
        Value::List(l) => l.items.borrow().clone(),
        v @ (Value::Tuple(_)
        | Value::EvList(_)
        | Value::Str(_)
        | Value::Range(_)
        | Value::Dict(_)
        | Value::View(_)
        | Value::Bytes(_)) => Iter::over(v)?.collect(vm)?,
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        other => return type_error(format!("'{}' object is not reversible", other.type_name())),
    };
    items.reverse();
    Ok(Value::iter(Iter::Reversed(items.into_iter(), name)))
}

pub(super) fn sorted(vm: &mut Vm, args: Args) -> R<Value> {
    if args.pos.len() != 1 {
        return type_error(format!("sorted expected 1 argument, got {}", args.pos.len()));
    }
    let items = Iter::over(&args.pos[0])?.collect(vm)?;
    types::sort(vm, items, Args { pos: &[], kw: args.kw }).map(Value::list)
}

pub(super) fn sum(vm: &mut Vm, args: Args) -> R<Value> {
    args.check_parsed("sum", 1, 2, &["start"])?;
    let mut total = args.get(1, "start").cloned().unwrap_or(Value::Int(0));
    if let Value::Str(_) = total {
        return type_error("sum() can't sum strings [use ''.join(seq) instead]");
    }
    let mut iter = Iter::over(&args.pos[0])?;
    while let Some(item) = iter.next(vm)? {
        total = vm.binary(Bin::Add, &total, &item)?;
    }
    Ok(total)
}
