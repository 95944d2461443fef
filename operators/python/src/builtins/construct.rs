//! Constructors of built-in classes.

use std::rc::Rc;

use crate::exc::{Exc, ExcClass, R, type_error, unknown, value_error};
use crate::iter::Iter;
use crate::native::{Args, Vm};
use crate::number;
use crate::ops::{self, int_of};
use crate::repr::to_str;
use crate::stdlib;
use crate::table::Table;
use crate::types;
use crate::value::{Dict, Range, Set, Type, Value};

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
