//! What is called on the class: `now`, `fromtimestamp`, `strptime`, …

use super::super::{Lib, strptime};
use super::{DAY, DateTime, method, parse_iso, value, zone_of};
use crate::exc::{Kind, R, raise, type_error, unknown, value_error};
use crate::native::{Args, Vm};
use crate::ops::float_of;
use crate::repr::str_repr;
use crate::value::{Type, Value};

/// Methods of its class.
pub const CLASS_METHODS: &[&str] =
    &["now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp", "fromisoformat", "strptime"];

/// Call a method of the class.
///
/// # Errors
/// What the method raises; unknown for one that is not built.
pub fn class_method(vm: &mut Vm, of: Type, name: &str, args: Args) -> R<Value> {
    let date = of == Type::Date;
    match (of, name) {
        (Type::DateTime, "now") | (Type::DateTime | Type::Date, "today") | (Type::DateTime, "utcnow") => {
            let zone = zone_of(args.get(0, "tz"))?;
            let mut micros = vm.clock + zone.as_ref().map_or(0, |z| z.offset * 1_000_000);
            if date {
                micros = micros.div_euclid(DAY) * DAY;
            }
            Ok(value(DateTime { micros, zone, date }))
        }
        (Type::DateTime, "fromtimestamp" | "utcfromtimestamp") => {
            let Some(f) = args.pos.first().and_then(float_of) else {
                return match args.pos.first() {
                    Some(v) => type_error(format!("'{}' object cannot be interpreted as an integer", v.type_name())),
                    None => type_error("fromtimestamp() missing required argument 'timestamp' (pos 1)"),
                };
            };
            if f.is_nan() {
                return value_error("Invalid value NaN (not a number)");
            }
            let zone = if name == "utcfromtimestamp" { None } else { zone_of(args.get(1, "tz"))? };
            let (whole, fraction) = (f.floor(), f - f.floor());
            let micros = whole * 1e6 + (fraction * 1e6).round_ties_even();
            if micros.abs() > 9e18 || !(DateTime::MIN.micros as f64..=DateTime::MAX.micros as f64).contains(&micros) {
                let year = (f / 31_556_952.0 + 1970.0).trunc();
                return if year.abs() < 1e9 {
                    value_error(format!("year {year} is out of range"))
                } else {
                    raise(Kind::OverflowError, "timestamp out of range for platform time_t")
                };
            }
            let offset = zone.as_ref().map_or(0, |z| z.offset * 1_000_000);
            Ok(value(DateTime { micros: micros as i64 + offset, zone, date: false }))
        }
        (_, "fromisoformat") => match args.pos {
            [Value::Str(text)] => match parse_iso(text)? {
                Some(d) if date => Ok(value(DateTime { micros: d.micros.div_euclid(DAY) * DAY, zone: None, date })),
                Some(d) => Ok(value(d)),
                None => value_error(format!("Invalid isoformat string: {}", str_repr(text))),
            },
            _ => type_error("fromisoformat: argument must be str"),
        },
        (Type::DateTime, "strptime") => match args.pos {
            [Value::Str(text), Value::Str(format)] => strptime::strptime(vm, text, format).map(value),
            [Value::Str(_), v] | [v, _] => {
                let at = if matches!(args.pos[0], Value::Str(_)) { 1 } else { 0 };
                let name = if v.is_none() { "None".into() } else { v.type_name() };
                type_error(format!("strptime() argument {} must be str, not {name}", at + 1))
            }
            _ => type_error(format!("strptime() takes exactly 2 arguments ({} given)", args.pos.len())),
        },
        // An unbound method: datetime.isoformat(x).
        _ => match args.pos.split_first() {
            Some((Value::Lib(l), rest)) => match &**l {
                Lib::DateTime(d) => method(d, name, Args { pos: rest, kw: args.kw }),
                _ => unknown(format!("{}.{name}()", of.name())),
            },
            _ => unknown(format!("{}.{name}()", of.name())),
        },
    }
}
