//! Small modules: `fnmatch`, `base64`, `binascii`, `math`, `functools`, `os`, `logging`.

use crate::exc::{R, type_error, unknown, value_error};
use crate::iter::Iter;
use crate::native::{Args, NativeFn, Vm};
use crate::ops::{float_of, int_of};
use crate::value::Value;

mod encodings;
mod glob;

pub use encodings::{BASE64, BINASCII};
pub use glob::FNMATCH;

/// `math`.
pub static MATH: &[NativeFn] = &[
    NativeFn { name: "sqrt", call: |_, a| real(a, "sqrt", |f| if f < 0.0 { None } else { Some(f.sqrt()) }) },
    NativeFn { name: "sin", call: |_, a| real(a, "sin", |f| if f.is_infinite() { None } else { Some(f.sin()) }) },
    NativeFn { name: "cos", call: |_, a| real(a, "cos", |f| if f.is_infinite() { None } else { Some(f.cos()) }) },
    NativeFn { name: "radians", call: |_, a| real(a, "radians", |f| Some(f * (std::f64::consts::PI / 180.0))) },
    NativeFn { name: "degrees", call: |_, a| real(a, "degrees", |f| Some(f * (180.0 / std::f64::consts::PI))) },
    NativeFn { name: "atan2", call: atan2 },
    NativeFn { name: "floor", call: |_, a| whole(a, "floor", f64::floor) },
    NativeFn { name: "ceil", call: |_, a| whole(a, "ceil", f64::ceil) },
    NativeFn { name: "isnan", call: isnan },
];

/// `functools`.
pub static FUNCTOOLS: &[NativeFn] = &[NativeFn { name: "reduce", call: reduce }];

/// `os`: an engine has no environment.
pub static OS: &[NativeFn] =
    &[NativeFn { name: "getenv", call: |_, a| Ok(a.pos.get(1).cloned().unwrap_or(Value::None)) }];

/// `logging`: what is logged goes nowhere.
pub static LOGGING: &[NativeFn] = &[
    NativeFn { name: "debug", call: |_, _| Ok(Value::None) },
    NativeFn { name: "info", call: |_, _| Ok(Value::None) },
    NativeFn { name: "warning", call: |_, _| Ok(Value::None) },
    NativeFn { name: "error", call: |_, _| Ok(Value::None) },
];

fn number(v: &Value) -> R<f64> {
    match float_of(v) {
        Some(f) => Ok(f),
        None => match v {
            Value::Missing(name) => unknown(format!("`{name}` is not available")),
            v => type_error(format!("must be real number, not {}", v.type_name())),
        },
    }
}

fn real(args: Args, name: &str, f: fn(f64) -> Option<f64>) -> R<Value> {
    args.check(name, 1, 1)?;
    match f(number(&args.pos[0])?) {
        Some(f) => Ok(Value::Float(f)),
        None => value_error("math domain error"),
    }
}

fn whole(args: Args, name: &str, f: fn(f64) -> f64) -> R<Value> {
    args.check(name, 1, 1)?;
    match int_of(&args.pos[0]) {
        Some(i) => Ok(Value::Int(i)),
        None => crate::number::int_from_float(f(number(&args.pos[0])?)),
    }
}

fn atan2(_: &mut Vm, args: Args) -> R<Value> {
    args.check("atan2", 2, 2)?;
    Ok(Value::Float(number(&args.pos[0])?.atan2(number(&args.pos[1])?)))
}

fn isnan(_: &mut Vm, args: Args) -> R<Value> {
    args.check("isnan", 1, 1)?;
    Ok(Value::Bool(number(&args.pos[0])?.is_nan()))
}

fn reduce(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("reduce", 2, 3)?;
    let mut iter = Iter::over(&args.pos[1])?;
    let mut total = match args.pos.get(2) {
        Some(v) => v.clone(),
        None => match iter.next(vm)? {
            Some(v) => v,
            None => return type_error("reduce() of empty iterable with no initial value"),
        },
    };
    while let Some(item) = iter.next(vm)? {
        total = vm.call(&args.pos[0], Args::positional(&[total, item]))?;
    }
    Ok(total)
}
