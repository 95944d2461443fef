//! Built-in functions and the constructors of built-in classes.

use std::rc::Rc;

use crate::exc::{Exc, ExcClass, Kind, R, Stop, raise, type_error, unknown, value_error};
use crate::iter::Iter;
use crate::native::{Args, NativeFn, Vm};
use crate::number;
use crate::ops::{self, Bin, Cmp, int_of};
use crate::repr::{to_repr, to_str};
use crate::stdlib;
use crate::table::Table;
use crate::types;
use crate::value::{Dict, Range, Set, Type, Value};

/// Built-in functions, by name.
pub static FUNCTIONS: &[NativeFn] = &[
    NativeFn { name: "abs", call: abs },
    NativeFn { name: "all", call: |vm, args| test(vm, args, "all", false) },
    NativeFn { name: "any", call: |vm, args| test(vm, args, "any", true) },
    NativeFn { name: "callable", call: callable },
    NativeFn { name: "chr", call: chr },
    NativeFn { name: "divmod", call: divmod },
    NativeFn { name: "enumerate", call: enumerate },
    NativeFn { name: "filter", call: filter },
    NativeFn { name: "format", call: format },
    NativeFn { name: "getattr", call: getattr },
    NativeFn { name: "hasattr", call: hasattr },
    NativeFn { name: "hex", call: hex },
    NativeFn { name: "isinstance", call: isinstance },
    NativeFn { name: "issubclass", call: |_, _| unknown("issubclass()") },
    NativeFn { name: "iter", call: iter },
    NativeFn { name: "len", call: len },
    NativeFn { name: "map", call: map },
    NativeFn { name: "max", call: |vm, args| extreme(vm, args, "max", Cmp::Gt) },
    NativeFn { name: "min", call: |vm, args| extreme(vm, args, "min", Cmp::Lt) },
    NativeFn { name: "next", call: next },
    NativeFn { name: "ord", call: ord },
    NativeFn { name: "pow", call: pow },
    NativeFn { name: "print", call: |_, _| Ok(Value::None) },
    NativeFn { name: "repr", call: repr },
    NativeFn { name: "reversed", call: reversed },
    NativeFn { name: "round", call: round },
    NativeFn { name: "sorted", call: sorted },
    NativeFn { name: "sum", call: sum },
    NativeFn { name: "type", call: type_of },
    NativeFn { name: "zip", call: zip },
];

/// What a name means where nothing defines it.
pub fn find(name: &str) -> Option<Value> {
    let of = match name {
        "object" => Type::Object,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "float" => Type::Float,
        "str" => Type::Str,
        "bytes" => Type::Bytes,
        "list" => Type::List,
        "tuple" => Type::Tuple,
        "dict" => Type::Dict,
        "set" => Type::Set,
        "frozenset" => Type::FrozenSet,
        "range" => Type::Range,
        "slice" => Type::Slice,
        _ => {
            if let Some(kind) = Kind::builtin(name) {
                return Some(Value::Type(Type::Exc(kind)));
            }
            return FUNCTIONS.iter().find(|f| f.name == name).map(Value::Native);
        }
    };
    Some(Value::Type(of))
}

/// Names of Python that are built in but not here: a use of one is a gap, not a `NameError`.
pub const ABSENT: &[&str] = &[
    "ascii",
    "aiter",
    "anext",
    "bin",
    "breakpoint",
    "bytearray",
    "classmethod",
    "compile",
    "complex",
    "delattr",
    "dir",
    "eval",
    "exec",
    "globals",
    "hash",
    "help",
    "id",
    "input",
    "locals",
    "memoryview",
    "oct",
    "open",
    "property",
    "setattr",
    "staticmethod",
    "super",
    "vars",
    "Ellipsis",
    "NotImplemented",
    "__name__",
    "__file__",
    "__doc__",
    "__import__",
];

fn test(vm: &mut Vm, args: Args, name: &str, stop_at: bool) -> R<Value> {
    args.check(name, 1, 1)?;
    let mut iter = Iter::over(&args.pos[0])?;
    while let Some(item) = iter.next(vm)? {
        if vm.truthy(&item)? == stop_at {
            return Ok(Value::Bool(stop_at));
        }
    }
    Ok(Value::Bool(!stop_at))
}

fn abs(_: &mut Vm, args: Args) -> R<Value> {
    args.check("abs", 1, 1)?;
    match &args.pos[0] {
        Value::Float(f) => Ok(Value::Float(f.abs())),
        Value::Lib(l) if matches!(**l, stdlib::Lib::Delta(_)) => match &**l {
            stdlib::Lib::Delta(d) => Ok(Value::lib(stdlib::Lib::Delta(d.abs()))),
            _ => unknown("abs()"),
        },
        v => match int_of(v) {
            Some(i) => i.checked_abs().map_or_else(|| unknown("an integer beyond 128 bits"), |i| Ok(Value::Int(i))),
            None => type_error(format!("bad operand type for abs(): '{}'", v.type_name())),
        },
    }
}

fn callable(_: &mut Vm, args: Args) -> R<Value> {
    args.check("callable", 1, 1)?;
    Ok(Value::Bool(match &args.pos[0] {
        Value::Func(_)
        | Value::Native(_)
        | Value::Method(_)
        | Value::Bound(_)
        | Value::Class(_)
        | Value::Type(_)
        | Value::Mock(_) => true,
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        Value::Object(o) => o.class.find("__call__").is_some(),
        _ => false,
    }))
}

fn chr(_: &mut Vm, args: Args) -> R<Value> {
    args.check("chr", 1, 1)?;
    let Some(i) = int_of(&args.pos[0]) else {
        return type_error(format!("'{}' object cannot be interpreted as an integer", args.pos[0].type_name()));
    };
    match u32::try_from(i).ok().filter(|i| *i < 0x110000) {
        Some(i) => match char::from_u32(i) {
            Some(c) => Ok(Value::str(c.to_string())),
            None => unknown("a lone surrogate"),
        },
        None => value_error("chr() arg not in range(0x110000)"),
    }
}

fn ord(_: &mut Vm, args: Args) -> R<Value> {
    args.check("ord", 1, 1)?;
    match &args.pos[0] {
        Value::Str(s) => {
            let mut chars = s.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Ok(Value::Int(i128::from(u32::from(c)))),
                _ => {
                    type_error(format!("ord() expected a character, but string of length {} found", s.chars().count()))
                }
            }
        }
        v => type_error(format!("ord() expected string of length 1, but {} found", v.type_name())),
    }
}

fn divmod(_: &mut Vm, args: Args) -> R<Value> {
    args.check("divmod", 2, 2)?;
    let (a, b) = (&args.pos[0], &args.pos[1]);
    let both = |op| match ops::binary(op, a, b) {
        Err(Stop::Raise(e)) if e.class.kind() == Kind::TypeError => {
            type_error(format!("unsupported operand type(s) for divmod(): '{}' and '{}'", a.type_name(), b.type_name()))
        }
        Err(Stop::Raise(e))
            if e.class.kind() == Kind::ZeroDivisionError
                && (a.type_of() == Type::Float || b.type_of() == Type::Float) =>
        {
            raise(Kind::ZeroDivisionError, "float divmod()")
        }
        Err(Stop::Raise(e)) if e.class.kind() == Kind::ZeroDivisionError => {
            raise(Kind::ZeroDivisionError, "integer division or modulo by zero")
        }
        other => other,
    };
    if matches!(a, Value::Str(_)) {
        return type_error(format!(
            "unsupported operand type(s) for divmod(): '{}' and '{}'",
            a.type_name(),
            b.type_name()
        ));
    }
    Ok(Value::tuple(vec![both(Bin::FloorDiv)?, both(Bin::Mod)?]))
}

fn enumerate(_: &mut Vm, args: Args) -> R<Value> {
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

fn filter(_: &mut Vm, args: Args) -> R<Value> {
    args.check("filter", 2, 2)?;
    Ok(Value::iter(Iter::Filter(args.pos[0].clone(), Box::new(Iter::over(&args.pos[1])?))))
}

fn map(_: &mut Vm, args: Args) -> R<Value> {
    if args.pos.len() < 2 {
        return type_error("map() must have at least two arguments.");
    }
    let iters = args.pos[1..].iter().map(Iter::over).collect::<R<Vec<Iter>>>()?;
    Ok(Value::iter(Iter::Map(args.pos[0].clone(), iters)))
}

fn zip(_: &mut Vm, args: Args) -> R<Value> {
    if !args.kw.is_empty() {
        return unknown("zip() with strict");
    }
    let mut iters = Vec::new();
    for value in args.pos {
        iters.push(Iter::over(value)?);
    }
    Ok(Value::iter(Iter::Zip(iters)))
}

fn format(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("format", 1, 2)?;
    let spec = match args.pos.get(1) {
        None => "",
        Some(Value::Str(s)) => s,
        Some(v) => return type_error(format!("format() argument 2 must be str, not {}", v.type_name())),
    };
    crate::format::format(vm, &args.pos[0], spec).map(Value::str)
}

fn getattr(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("getattr", 2, 3)?;
    let Value::Str(name) = &args.pos[1] else {
        return type_error(format!("attribute name must be string, not '{}'", args.pos[1].type_name()));
    };
    match (vm.attribute(&args.pos[0], name), args.pos.get(2)) {
        (Err(Stop::Raise(e)), Some(default)) if e.class.kind().is(Kind::AttributeError) => Ok(default.clone()),
        (other, _) => other,
    }
}

fn hasattr(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("hasattr", 2, 2)?;
    let Value::Str(name) = &args.pos[1] else {
        return type_error(format!("attribute name must be string, not '{}'", args.pos[1].type_name()));
    };
    match vm.attribute(&args.pos[0], name) {
        Ok(_) => Ok(Value::Bool(true)),
        Err(Stop::Raise(e)) if e.class.kind().is(Kind::AttributeError) => Ok(Value::Bool(false)),
        Err(stop) => Err(stop),
    }
}

fn hex(_: &mut Vm, args: Args) -> R<Value> {
    args.check("hex", 1, 1)?;
    match int_of(&args.pos[0]) {
        Some(i) => Ok(Value::str(format!("{}0x{:x}", if i < 0 { "-" } else { "" }, i.unsigned_abs()))),
        None => type_error(format!("'{}' object cannot be interpreted as an integer", args.pos[0].type_name())),
    }
}

fn isinstance(_: &mut Vm, args: Args) -> R<Value> {
    args.check("isinstance", 2, 2)?;
    instance(&args.pos[0], &args.pos[1]).map(Value::Bool)
}

/// `isinstance(value, class)`.
///
/// # Errors
/// `TypeError` for something that is no class; unknown for a class that is not there.
pub fn instance(value: &Value, class: &Value) -> R<bool> {
    if let Value::Missing(name) = value {
        return unknown(format!("`{name}` is not available"));
    }
    match class {
        Value::Tuple(classes) => {
            for class in &classes.0 {
                if instance(value, class)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Class(class) => Ok(match value {
            Value::Object(o) => o.class.is(class),
            Value::Exc(e) => matches!(&e.class, ExcClass::User(own) if own.is(class)),
            _ => false,
        }),
        Value::Type(Type::Typing) => unknown("isinstance() with something of typing"),
        Value::Type(of) => Ok(is_a(value, *of)),
        Value::Missing(name) => unknown(format!("`{name}` is not available")),
        _ => type_error("isinstance() arg 2 must be a type, a tuple of types, or a union"),
    }
}

fn is_a(value: &Value, of: Type) -> bool {
    let own = value.type_of();
    match of {
        Type::Object => true,
        Type::Int => matches!(own, Type::Int | Type::Bool),
        Type::Dict => matches!(own, Type::Dict | Type::OrderedDict),
        Type::Mapping => matches!(own, Type::Dict | Type::OrderedDict | Type::Event | Type::EvDict),
        Type::MutableMapping => matches!(own, Type::Dict | Type::OrderedDict),
        Type::Sequence => {
            matches!(own, Type::List | Type::Tuple | Type::Str | Type::Bytes | Type::Range | Type::EvList)
        }
        Type::Iterable => {
            matches!(
                own,
                Type::List
                    | Type::Tuple
                    | Type::Str
                    | Type::Bytes
                    | Type::Range
                    | Type::EvList
                    | Type::Dict
                    | Type::OrderedDict
                    | Type::Event
                    | Type::EvDict
                    | Type::Set
                    | Type::FrozenSet
                    | Type::View
                    | Type::Iterator
            )
        }
        Type::Date => matches!(own, Type::Date | Type::DateTime),
        Type::EvDict => matches!(own, Type::EvDict | Type::Event),
        Type::Exc(kind) => matches!(own, Type::Exc(k) if k.is(kind)),
        other => own == other,
    }
}

fn iter(_: &mut Vm, args: Args) -> R<Value> {
    args.check("iter", 1, 2)?;
    if args.pos.len() == 2 {
        return unknown("iter() with a sentinel");
    }
    match &args.pos[0] {
        Value::Iter(_) => Ok(args.pos[0].clone()),
        other => Ok(Value::iter(Iter::over(other)?)),
    }
}

fn len(_: &mut Vm, args: Args) -> R<Value> {
    length(args)
}

fn length(args: Args) -> R<Value> {
    args.check("len", 1, 1)?;
    let n = match &args.pos[0] {
        Value::Str(s) if s.is_ascii() => s.len(),
        Value::Str(s) => s.chars().count(),
        Value::Bytes(b) => b.len(),
        Value::List(l) => l.items.borrow().len(),
        Value::Tuple(t) => t.0.len(),
        Value::Dict(d) => d.table.borrow().len(),
        Value::Set(s) => s.table.borrow().len(),
        Value::EvDict(e) => e.items.len(),
        Value::EvList(l) => l.items.len(),
        Value::Range(r) => return Ok(Value::Int(r.len())),
        Value::View(v) => return length(Args::positional(std::slice::from_ref(&v.of))),
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        Value::Object(o) if o.class.find("__len__").is_some() => return unknown("an object with its own __len__"),
        other => return type_error(format!("object of type '{}' has no len()", other.type_name())),
    };
    Ok(Value::Int(n as i128))
}

fn extreme(vm: &mut Vm, args: Args, name: &str, op: Cmp) -> R<Value> {
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

fn next(vm: &mut Vm, args: Args) -> R<Value> {
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

fn pow(_: &mut Vm, args: Args) -> R<Value> {
    args.check("pow", 2, 3)?;
    if args.pos.len() == 3 {
        return unknown("pow() with a modulus");
    }
    ops::binary(Bin::Pow, &args.pos[0], &args.pos[1])
}

fn repr(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("repr", 1, 1)?;
    to_repr(vm, &args.pos[0]).map(Value::str)
}

fn reversed(vm: &mut Vm, args: Args) -> R<Value> {
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

fn round(_: &mut Vm, args: Args) -> R<Value> {
    args.check_parsed("round", 1, 2, &["number", "ndigits"])?;
    let digits = match args.get(1, "ndigits") {
        None | Some(Value::None) => None,
        Some(v) => match int_of(v) {
            Some(i) => Some(i),
            None => return type_error(format!("'{}' object cannot be interpreted as an integer", v.type_name())),
        },
    };
    match (&args.pos[0], digits) {
        (Value::Float(f), None) => number::int_from_float(f.round_ties_even()),
        (Value::Float(f), Some(digits)) => Ok(Value::Float(number::round_float(*f, digits))),
        (v, digits) => match (int_of(v), digits) {
            (Some(i), None | Some(0..)) => Ok(Value::Int(i)),
            (Some(_), Some(_)) => unknown("round() of an integer to tens"),
            (None, _) => type_error(format!("type {} doesn't define __round__ method", v.type_name())),
        },
    }
}

fn sorted(vm: &mut Vm, args: Args) -> R<Value> {
    if args.pos.len() != 1 {
        return type_error(format!("sorted expected 1 argument, got {}", args.pos.len()));
    }
    let items = Iter::over(&args.pos[0])?.collect(vm)?;
    types::sort(vm, items, Args { pos: &[], kw: args.kw }).map(Value::list)
}

fn sum(vm: &mut Vm, args: Args) -> R<Value> {
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

fn type_of(_: &mut Vm, args: Args) -> R<Value> {
    args.check("type", 1, 3)?;
    if args.pos.len() > 1 {
        return unknown("type() with three arguments");
    }
    Ok(match &args.pos[0] {
        Value::Object(o) => Value::Class(o.class.clone()),
        Value::Exc(e) => match &e.class {
            ExcClass::User(c) => Value::Class(c.clone()),
            ExcClass::Builtin(k) => Value::Type(Type::Exc(*k)),
        },
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        other => Value::Type(other.type_of()),
    })
}

/// Call a built-in class.
///
/// # Errors
/// As in Python; unknown for classes that detections do not call.
pub fn construct(vm: &mut Vm, of: Type, args: Args) -> R<Value> {
    let one = |name: &str| args.check(name, 0, 1);
    match of {
        Type::Bool => {
            one("bool")?;
            Ok(Value::Bool(match args.pos.first() {
                Some(v) => vm.truthy(v)?,
                None => false,
            }))
        }
        Type::Str => {
            args.check_named("str", 0, 3, &["object", "encoding", "errors"])?;
            match (args.get(0, "object"), args.pos.len() + args.kw.len()) {
                (None, _) => Ok(Value::str("")),
                (Some(v @ Value::Str(_)), 1) => Ok(v.clone()),
                (Some(v), 1) => to_str(vm, v).map(Value::str),
                (Some(Value::Bytes(b)), _) => {
                    types::decode(b, Args { pos: args.pos.get(1..).unwrap_or(&[]), kw: args.kw })
                }
                (Some(Value::Str(_)), _) => type_error("decoding str is not supported"),
                (Some(v), _) => {
                    type_error(format!("decoding to str: need a bytes-like object, {} found", v.type_name()))
                }
            }
        }
        Type::Int => {
            args.check_parsed("int", 0, 2, &["base"])?;
            let base = match args.get(1, "base") {
                None => None,
                Some(v) => match int_of(v) {
                    Some(i) => Some(i),
                    None => {
                        return type_error(format!("'{}' object cannot be interpreted as an integer", v.type_name()));
                    }
                },
            };
            if base.is_some_and(|b| b != 0 && !(2..=36).contains(&b)) {
                return value_error("int() base must be >= 2 and <= 36, or 0");
            }
            match (args.pos.first(), base) {
                (None, _) => Ok(Value::Int(0)),
                (Some(Value::Str(s)), base) => number::parse_int(s, base.unwrap_or(10) as u32),
                (Some(_), Some(_)) => type_error("int() can't convert non-string with explicit base"),
                (Some(Value::Float(f)), None) => number::int_from_float(*f),
                (Some(Value::Bytes(b)), None) => match std::str::from_utf8(b) {
                    Ok(s) if s.is_ascii() => number::parse_int(s, 10),
                    _ => unknown("int() of bytes that are no ASCII"),
                },
                (Some(Value::Lib(l)), None) => stdlib::to_int(l),
                (Some(v), None) => match int_of(v) {
                    Some(i) => Ok(Value::Int(i)),
                    None => match v {
                        Value::Missing(name) => unknown(format!("`{name}` is not available")),
                        v => type_error(format!(
                            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
                            v.type_name()
                        )),
                    },
                },
            }
        }
        Type::Float => {
            one("float")?;
            match args.pos.first() {
                None => Ok(Value::Float(0.0)),
                Some(Value::Str(s)) => number::parse_float(s).map(Value::Float),
                Some(Value::Bytes(b)) => match std::str::from_utf8(b).map(number::parse_float) {
                    Ok(Ok(f)) => Ok(Value::Float(f)),
                    _ => value_error(format!("could not convert string to float: {}", crate::repr::bytes_repr(b))),
                },
                Some(v) => match ops::float_of(v) {
                    Some(f) => Ok(Value::Float(f)),
                    None => match v {
                        Value::Missing(name) => unknown(format!("`{name}` is not available")),
                        v => type_error(format!(
                            "float() argument must be a string or a real number, not '{}'",
                            v.type_name()
                        )),
                    },
                },
            }
        }
        Type::List | Type::Tuple => {
            one(of.name())?;
            let items = match args.pos.first() {
                None => Vec::new(),
                Some(v @ Value::Tuple(_)) if of == Type::Tuple => return Ok(v.clone()),
                Some(v) => Iter::over(v)?.collect(vm)?,
            };
            Ok(if of == Type::List { Value::list(items) } else { Value::tuple(items) })
        }
        Type::Set | Type::FrozenSet => {
            one(of.name())?;
            let mut table = Table::default();
            if let Some(v) = args.pos.first() {
                let mut iter = Iter::over(v)?;
                while let Some(item) = iter.next(vm)? {
                    vm.memory(64)?;
                    if table.get(&item)?.is_none() {
                        table.set(item, Value::None)?;
                    }
                }
            }
            let immutable = of == Type::FrozenSet;
            Ok(Value::Set(Rc::new(Set { table: table.into(), frozen: immutable.into(), immutable })))
        }
        Type::Dict | Type::OrderedDict => {
            if args.pos.len() > 1 {
                return type_error(format!("dict expected at most 1 argument, got {}", args.pos.len()));
            }
            let mut table = Table::default();
            if let Some(v) = args.pos.first() {
                for (key, value) in vm.pairs(v)? {
                    vm.memory(64)?;
                    table.set(key, value)?;
                }
            }
            for (key, value) in args.kw {
                table.set(Value::Str(key.clone()), value.clone())?;
            }
            Ok(Value::Dict(Rc::new(Dict {
                table: table.into(),
                frozen: false.into(),
                ordered: of == Type::OrderedDict,
            })))
        }
        Type::Range => {
            args.check("range", 1, 3)?;
            let int = |v: &Value| match int_of(v) {
                Some(i) => Ok(i),
                None => type_error(format!("'{}' object cannot be interpreted as an integer", v.type_name())),
            };
            let (start, stop, step) = match args.pos {
                [stop] => (0, int(stop)?, 1),
                [start, stop] => (int(start)?, int(stop)?, 1),
                [start, stop, step, ..] => (int(start)?, int(stop)?, int(step)?),
                [] => return type_error("range expected at least 1 argument, got 0"),
            };
            if step == 0 {
                return value_error("range() arg 3 must not be zero");
            }
            let big = i128::from(i64::MAX);
            if [start, stop, step].iter().any(|i| i.abs() > big) {
                return unknown("a range beyond 64 bits");
            }
            Ok(Value::Range(Rc::new(Range { start, stop, step })))
        }
        Type::Bytes => match args.pos {
            [] => Ok(Value::Bytes(Rc::from([]))),
            [Value::Bytes(b)] if args.kw.is_empty() => Ok(Value::Bytes(b.clone())),
            [Value::Str(_)] if args.kw.is_empty() => type_error("string argument without an encoding"),
            _ => unknown("bytes() of this"),
        },
        Type::Exc(kind) => {
            if !args.kw.is_empty() {
                return type_error(format!("{}() takes no keyword arguments", kind.name()));
            }
            Ok(Value::Exc(Exc::new(ExcClass::Builtin(kind), args.pos.to_vec())))
        }
        Type::Object => unknown("object()"),
        Type::Typing => unknown("something of typing that is called"),
        other => stdlib::construct(vm, other, args),
    }
}
