//! Arithmetic of numbers and sequences.

use std::rc::Rc;

use super::{Bin, float_of, int_of, set_operator};
use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::stdlib::{self, Lib};
use crate::value::Value;

pub(super) fn too_big<T>() -> R<T> {
    unknown("an integer beyond 128 bits")
}

/// `-`, `+` and `~` in front of a value.
///
/// # Errors
/// `TypeError` for what is not a number.
pub fn unary(sign: char, value: &Value) -> R<Value> {
    match (sign, value) {
        ('-', Value::Float(f)) => Ok(Value::Float(-f)),
        ('+', Value::Float(f)) => Ok(Value::Float(*f)),
        ('-', Value::Lib(l)) if matches!(**l, Lib::Delta(_)) => match &**l {
            Lib::Delta(d) => Ok(Value::lib(Lib::Delta(-d))),
            _ => unreachable!("matched above"),
        },
        (_, v) => match (sign, int_of(v)) {
            ('-', Some(i)) => i.checked_neg().map_or_else(too_big, |i| Ok(Value::Int(i))),
            ('+', Some(i)) => Ok(Value::Int(i)),
            ('~', Some(i)) => Ok(Value::Int(!i)),
            _ => {
                if let Value::Missing(name) = v {
                    return unknown(format!("`{name}` is not available"));
                }
                type_error(format!("bad operand type for unary {sign}: '{}'", v.type_name()))
            }
        },
    }
}

/// A binary operator.
///
/// # Errors
/// `TypeError` for operands it does not fit, `ZeroDivisionError`, `OverflowError`; unknown beyond 128 bits.
pub fn binary(op: Bin, a: &Value, b: &Value) -> R<Value> {
    use Value::*;
    if let (Some(x), Some(y)) = (int_of(a), int_of(b)) {
        // bool & bool stays a bool.
        if let (Bool(x), Bool(y)) = (a, b) {
            match op {
                Bin::And => return Ok(Bool(*x && *y)),
                Bin::Or => return Ok(Bool(*x || *y)),
                Bin::Xor => return Ok(Bool(x != y)),
                _ => {}
            }
        }
        return integers(op, x, y);
    }
    if let (Some(x), Some(y)) = (float_of(a), float_of(b)) {
        if let Some(result) = floats(op, x, y)? {
            return Ok(result);
        }
        return bad_operands(op, a, b);
    }
    match (op, a, b) {
        (Bin::Add, Str(x), Str(y)) => Ok(Str(Rc::from([&**x, &**y].concat()))),
        (Bin::Add, Bytes(x), Bytes(y)) => Ok(Bytes(Rc::from([&**x, &**y].concat()))),
        (Bin::Add, List(x), List(y)) => {
            let mut items = x.items.borrow().clone();
            items.extend(y.items.borrow().iter().cloned());
            Ok(Value::list(items))
        }
        (Bin::Add, Tuple(x), Tuple(y)) => Ok(Value::tuple(x.0.iter().chain(&y.0).cloned().collect())),
        (Bin::Mul, Str(_) | Bytes(_) | List(_) | Tuple(_), n) if int_of(n).is_some() => {
            repeat(a, int_of(n).unwrap_or(0))
        }
        (Bin::Mul, n, Str(_) | Bytes(_) | List(_) | Tuple(_)) if int_of(n).is_some() => {
            repeat(b, int_of(n).unwrap_or(0))
        }
        (Bin::Mod, Bytes(_), _) => unknown("% on bytes"),
        (Bin::Mod, Str(s), _) => crate::percent::percent(s, b).map(Value::str),
        (Bin::Or, Dict(x), Dict(y)) => {
            let mut table = x.table.borrow().clone();
            for (key, value) in y.table.borrow().iter() {
                table.set(key.clone(), value.clone())?;
            }
            Ok(Value::dict(table))
        }
        (Bin::Sub | Bin::And | Bin::Or | Bin::Xor, Set(_) | View(_), Set(_) | View(_)) => set_operator(op, a, b),
        (_, Lib(_), _) | (_, _, Lib(_)) => match stdlib::binary(op, a, b)? {
            Some(value) => Ok(value),
            Option::None => bad_operands(op, a, b),
        },
        // What `X | None` means in an annotation or an isinstance.
        (Bin::Or, Type(_) | Class(_) | None, Type(_) | Class(_) | None) if !(a.is_none() && b.is_none()) => {
            let class = |v: &Value| if v.is_none() { Type(crate::value::Type::NoneType) } else { v.clone() };
            Ok(Value::tuple(vec![class(a), class(b)]))
        }
        (_, Missing(name), _) | (_, _, Missing(name)) => unknown(format!("`{name}` is not available")),
        (_, Object(_), _) | (_, _, Object(_)) => unknown("an operator on an object of a class"),
        (Bin::Add, Bytes(_), other) => type_error(format!("can't concat {} to bytes", other.type_name())),
        (Bin::Add, List(_), other) => {
            type_error(format!("can only concatenate list (not \"{}\") to list", other.type_name()))
        }
        (Bin::Add, Str(_), other) => {
            type_error(format!("can only concatenate str (not \"{}\") to str", other.type_name()))
        }
        (Bin::Add, Tuple(_), other) => {
            type_error(format!("can only concatenate tuple (not \"{}\") to tuple", other.type_name()))
        }
        (Bin::Mul, Str(_) | Bytes(_) | List(_) | Tuple(_), other) => {
            type_error(format!("can't multiply sequence by non-int of type '{}'", other.type_name()))
        }
        (Bin::Mul, other, Str(_) | Bytes(_) | List(_) | Tuple(_)) => {
            type_error(format!("can't multiply sequence by non-int of type '{}'", other.type_name()))
        }
        _ => bad_operands(op, a, b),
    }
}

pub(super) fn bad_operands<T>(op: Bin, a: &Value, b: &Value) -> R<T> {
    type_error(format!("unsupported operand type(s) for {}: '{}' and '{}'", op.sign(), a.type_name(), b.type_name()))
}

/// Elements that `sequence * n` may have at most; more ends the evaluation as out of memory.
pub const MAX_REPEAT: usize = 1 << 20;

pub(super) fn repeat(value: &Value, times: i128) -> R<Value> {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    let fits = |len: usize| match len.checked_mul(times) {
        Some(total) if total <= MAX_REPEAT => Ok(times),
        _ => Err(crate::exc::Stop::Memory),
    };
    Ok(match value {
        Value::Str(s) => Value::str(s.repeat(fits(s.len())?)),
        Value::Bytes(b) => Value::Bytes(Rc::from(b.repeat(fits(b.len())?))),
        Value::List(l) => {
            let items = l.items.borrow();
            Value::list(items.iter().cycle().take(items.len() * fits(items.len())?).cloned().collect())
        }
        Value::Tuple(t) => Value::tuple(t.0.iter().cycle().take(t.0.len() * fits(t.0.len())?).cloned().collect()),
        _ => return type_error("can't multiply"),
    })
}

pub(super) fn integers(op: Bin, x: i128, y: i128) -> R<Value> {
    let whole = |r: Option<i128>| r.map_or_else(too_big, |i| Ok(Value::Int(i)));
    match op {
        Bin::Add => whole(x.checked_add(y)),
        Bin::Sub => whole(x.checked_sub(y)),
        Bin::Mul => whole(x.checked_mul(y)),
        Bin::Div => {
            if y == 0 {
                return raise(Kind::ZeroDivisionError, "division by zero");
            }
            // Python divides exactly and rounds once. Below 2^53 the division of floats does the same.
            if x.unsigned_abs() < 1 << 53 && y.unsigned_abs() < 1 << 53 {
                return Ok(Value::Float(x as f64 / y as f64));
            }
            unknown("a true division of integers beyond 53 bits")
        }
        Bin::FloorDiv | Bin::Mod => {
            if y == 0 {
                return raise(
                    Kind::ZeroDivisionError,
                    if op == Bin::Mod { "integer modulo by zero" } else { "integer division or modulo by zero" },
                );
            }
            let Some(mut quotient) = x.checked_div(y) else { return too_big() };
            let mut rest = x - quotient * y;
            if rest != 0 && (rest < 0) != (y < 0) {
                quotient -= 1;
                rest += y;
            }
            Ok(Value::Int(if op == Bin::Mod { rest } else { quotient }))
        }
        Bin::Pow => match u32::try_from(y) {
            Ok(y) => whole(x.checked_pow(y)),
            Err(_) if y < 0 && x == 0 => raise(Kind::ZeroDivisionError, "0.0 cannot be raised to a negative power"),
            Err(_) if y < 0 => Ok(Value::Float((x as f64).powf(y as f64))),
            Err(_) => too_big(),
        },
        Bin::Shl => match u32::try_from(y) {
            Ok(y) if y < 127 => whole(x.checked_mul(1 << y)),
            Ok(_) if x == 0 => Ok(Value::Int(0)),
            Ok(_) => too_big(),
            Err(_) if y < 0 => crate::exc::value_error("negative shift count"),
            Err(_) => too_big(),
        },
        Bin::Shr => match u32::try_from(y) {
            Ok(y) => Ok(Value::Int(x >> y.min(127))),
            Err(_) if y < 0 => crate::exc::value_error("negative shift count"),
            Err(_) => Ok(Value::Int(if x < 0 { -1 } else { 0 })),
        },
        Bin::And => Ok(Value::Int(x & y)),
        Bin::Or => Ok(Value::Int(x | y)),
        Bin::Xor => Ok(Value::Int(x ^ y)),
    }
}

pub(super) fn floats(op: Bin, x: f64, y: f64) -> R<Option<Value>> {
    let zero = |message| raise(Kind::ZeroDivisionError, message);
    Ok(Some(Value::Float(match op {
        Bin::Add => x + y,
        Bin::Sub => x - y,
        Bin::Mul => x * y,
        Bin::Div if y == 0.0 => return zero("float division by zero"),
        Bin::Div => x / y,
        Bin::FloorDiv if y == 0.0 => return zero("float floor division by zero"),
        Bin::Mod if y == 0.0 => return zero("float modulo"),
        Bin::FloorDiv | Bin::Mod => {
            let (quotient, rest) = float_divmod(x, y);
            if op == Bin::Mod { rest } else { quotient }
        }
        Bin::Pow if x == 0.0 && y < 0.0 => return zero("0.0 cannot be raised to a negative power"),
        Bin::Pow if x < 0.0 && y.is_finite() && y.fract() != 0.0 => return unknown("a complex number"),
        Bin::Pow => {
            let result = x.powf(y);
            if result.is_infinite() && x.is_finite() && y.is_finite() {
                return raise(Kind::OverflowError, "(34, 'Numerical result out of range')");
            }
            result
        }
        _ => return Ok(None),
    })))
}

/// Quotient and rest as CPython rounds them.
pub fn float_divmod(x: f64, y: f64) -> (f64, f64) {
    let mut rest = x % y;
    let mut div = (x - rest) / y;
    if rest != 0.0 {
        if (y < 0.0) != (rest < 0.0) {
            rest += y;
            div -= 1.0;
        }
    } else {
        rest = 0f64.copysign(y);
    }
    let floor = if div != 0.0 {
        let floor = div.floor();
        if div - floor > 0.5 { floor + 1.0 } else { floor }
    } else {
        0f64.copysign(x / y)
    };
    (floor, rest)
}
