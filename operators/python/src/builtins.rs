//! Built-in functions and the constructors of built-in classes.

use crate::exc::{ExcClass, Kind, R, Stop, raise, type_error, unknown, value_error};
use crate::native::{Args, NativeFn, Vm};
use crate::number;
use crate::ops::{self, Bin, Cmp, int_of};
use crate::repr::to_repr;
use crate::stdlib;
use crate::value::{Type, Value};

mod construct;
mod instance;
mod sequences;

pub use construct::construct;
pub use instance::instance;
use instance::isinstance;
use sequences::{enumerate, extreme, filter, iter, len, map, next, reversed, sorted, sum, test, zip};

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
    "__file__",
    "__doc__",
    "__import__",
];

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
