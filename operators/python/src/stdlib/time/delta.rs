//! `timedelta`, and arithmetic of times.

use super::super::Lib;
use super::{DAY, DateTime, Zone, value};
use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::native::Args;
use crate::ops::{Bin, int_of};
use crate::value::Value;

pub(super) fn in_range(micros: i128, zone: Option<Zone>, date: bool) -> R<Value> {
    match i64::try_from(micros) {
        Ok(micros) if (DateTime::MIN.micros..=DateTime::MAX.micros).contains(&micros) => {
            Ok(value(DateTime { micros, zone, date }))
        }
        _ => raise(Kind::OverflowError, "date value out of range"),
    }
}

/// `timedelta(…)`.
///
/// # Errors
/// `TypeError` for parts that are no numbers.
pub fn delta(args: Args) -> R<Value> {
    const NAMES: [&str; 7] = ["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"];
    const UNITS: [i128; 7] = [86_400_000_000, 1_000_000, 1, 1_000, 60_000_000, 3_600_000_000, 604_800_000_000];
    args.check_named("timedelta", 0, 7, &NAMES)?;
    let mut total = 0i128;
    let mut fraction = 0.0;
    for (i, name) in NAMES.iter().enumerate() {
        match args.get(i, name) {
            None => {}
            Some(Value::Float(f)) => {
                if !f.is_finite() || f.abs() > 1e15 {
                    return unknown("a timedelta of a float this large");
                }
                total += f.trunc() as i128 * UNITS[i];
                fraction += f.fract() * UNITS[i] as f64;
            }
            Some(v) => match int_of(v) {
                Some(n) => match n.checked_mul(UNITS[i]) {
                    Some(n) if n.abs() < 1 << 120 => total += n,
                    _ => return unknown("a timedelta beyond 120 bits"),
                },
                None => {
                    return type_error(format!("unsupported type for timedelta {name} component: {}", v.type_name()));
                }
            },
        }
    }
    limited(total + fraction.round_ties_even() as i128)
}

pub(super) fn times(micros: i128, by: &Value) -> R<Value> {
    match micros.checked_mul(int_of(by).unwrap_or(0)) {
        Some(micros) => limited(micros),
        None => unknown("a timedelta beyond 128 bits"),
    }
}

pub(super) fn limited(micros: i128) -> R<Value> {
    let days = micros.div_euclid(i128::from(DAY));
    if days.abs() > 999_999_999 {
        return raise(Kind::OverflowError, format!("days={days}; must have magnitude <= 999999999"));
    }
    Ok(Value::lib(Lib::Delta(micros)))
}

/// Seconds of a `timedelta`.
pub fn seconds_of(micros: i128) -> f64 {
    micros as f64 / 1e6
}

/// An attribute of a `timedelta`.
pub fn delta_attribute(micros: i128, name: &str) -> Option<Value> {
    let day = i128::from(DAY);
    Some(Value::Int(match name {
        "days" => micros.div_euclid(day),
        "seconds" => micros.rem_euclid(day) / 1_000_000,
        "microseconds" => micros.rem_euclid(1_000_000),
        _ => return None,
    }))
}

/// `str(timedelta)`.
pub fn delta_text(micros: i128) -> String {
    let day = i128::from(DAY);
    let (days, rest) = (micros.div_euclid(day), micros.rem_euclid(day));
    let (s, us) = (rest / 1_000_000, rest % 1_000_000);
    let mut out = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        d => format!("{d} days, "),
    };
    out.push_str(&format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60));
    if us != 0 {
        out.push_str(&format!(".{us:06}"));
    }
    out
}

/// `repr(timedelta)`.
pub fn delta_repr(micros: i128) -> String {
    let mut parts = Vec::new();
    for name in ["days", "seconds", "microseconds"] {
        if let Some(Value::Int(i)) = delta_attribute(micros, name)
            && i != 0
        {
            parts.push(format!("{name}={i}"));
        }
    }
    format!("datetime.timedelta({})", if parts.is_empty() { "0".into() } else { parts.join(", ") })
}

/// `+` and `-` of times.
///
/// # Errors
/// `OverflowError` out of range, `TypeError` for naive with aware.
pub fn binary(op: Bin, a: &Value, b: &Value) -> R<Option<Value>> {
    let lib = |v: &Value| match v {
        Value::Lib(l) => Some(l.clone()),
        _ => None,
    };
    let (x, y) = (lib(a), lib(b));
    Ok(Some(match (op, x.as_deref(), y.as_deref()) {
        (Bin::Add | Bin::Sub, Some(Lib::DateTime(d)), Some(Lib::Delta(t))) => {
            let by = if op == Bin::Add { *t } else { -*t };
            let by = if d.date { by.div_euclid(i128::from(DAY)) * i128::from(DAY) } else { by };
            in_range(i128::from(d.micros) + by, d.zone.clone(), d.date)?
        }
        (Bin::Add, Some(Lib::Delta(t)), Some(Lib::DateTime(d))) => {
            let by = if d.date { t.div_euclid(i128::from(DAY)) * i128::from(DAY) } else { *t };
            in_range(i128::from(d.micros) + by, d.zone.clone(), d.date)?
        }
        (Bin::Sub, Some(Lib::DateTime(x)), Some(Lib::DateTime(y))) => {
            if x.date != y.date {
                return Ok(None);
            }
            if x.zone.is_some() != y.zone.is_some() {
                return type_error("can't subtract offset-naive and offset-aware datetimes");
            }
            Value::lib(Lib::Delta(i128::from(x.instant()) - i128::from(y.instant())))
        }
        (Bin::Add, Some(Lib::Delta(x)), Some(Lib::Delta(y))) => limited(x + y)?,
        (Bin::Sub, Some(Lib::Delta(x)), Some(Lib::Delta(y))) => limited(x - y)?,
        (Bin::Mul, Some(Lib::Delta(x)), None) if int_of(b).is_some() => times(*x, b)?,
        (Bin::Mul, None, Some(Lib::Delta(y))) if int_of(a).is_some() => times(*y, a)?,
        (Bin::Div, Some(Lib::Delta(_)), Some(Lib::Delta(0))) => {
            return raise(Kind::ZeroDivisionError, "division by zero");
        }
        (Bin::Div, Some(Lib::Delta(x)), Some(Lib::Delta(y))) => Value::Float(*x as f64 / *y as f64),
        (Bin::Mul | Bin::Div | Bin::FloorDiv | Bin::Mod, Some(Lib::Delta(_)), _) => {
            return unknown("this operator on a timedelta");
        }
        _ => return Ok(None),
    }))
}
