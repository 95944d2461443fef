//! `format()`: the specification mini-language, and `str.format`.

use crate::exc::{R, type_error, unknown, value_error};
use crate::native::Vm;
use crate::number::float_repr;
use crate::repr::to_str;
use crate::stdlib;
use crate::value::Value;

mod spec;
mod template;

use spec::{Spec, number, pad, parse};
pub use template::str_format;

/// Width and precision that a specification may ask for.
pub const MAX_WIDTH: usize = 10_000;

fn exponent(f: f64, precision: usize, upper: bool) -> String {
    let text = format!("{f:.precision$e}");
    let (mantissa, exp) = text.split_once('e').unwrap_or((&text, "0"));
    let exp: i32 = exp.parse().unwrap_or(0);
    let e = if upper { 'E' } else { 'e' };
    format!("{mantissa}{e}{}{:02}", if exp < 0 { '-' } else { '+' }, exp.abs())
}

/// The `g` form of a positive number.
pub fn general(f: f64, precision: usize, alternate: bool, upper: bool) -> String {
    let precision = precision.max(1);
    let exp: i32 = if f == 0.0 {
        0
    } else {
        format!("{f:.*e}", precision - 1).split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0)
    };
    let trim = |s: String| {
        if alternate || !s.contains('.') { s } else { s.trim_end_matches('0').trim_end_matches('.').to_string() }
    };
    if exp < -4 || exp >= precision as i32 {
        let text = exponent(f, precision - 1, upper);
        let at = text.find(['e', 'E']).unwrap_or(text.len());
        return trim(text[..at].to_string()) + &text[at..];
    }
    trim(format!("{f:.*}", (precision as i32 - 1 - exp).max(0) as usize))
}

fn float(spec: &Spec, f: f64, of: &Value) -> R<String> {
    let negative = f.is_sign_negative() && !f.is_nan();
    let magnitude = f.abs();
    let upper = matches!(spec.kind, Some('E' | 'F' | 'G'));
    if !f.is_finite() {
        let text = if f.is_nan() { "nan" } else { "inf" };
        let percent = if spec.kind == Some('%') { "%" } else { "" };
        let text = if upper { text.to_uppercase() } else { text.into() };
        return Ok(number(&Spec { grouping: None, ..spec.clone() }, negative, "", &text, percent, 3));
    }
    let precision = spec.precision.unwrap_or(6);
    let text = match spec.kind {
        None => match spec.precision {
            None => float_repr(magnitude),
            // As `g`, but with a digit behind the point, and an exponent one digit earlier.
            Some(p) => {
                let p = p.max(1);
                let text = format!("{magnitude:.*e}", p - 1);
                let exp: i32 = text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
                if exp < -4 || exp >= p as i32 - 1 {
                    let text = exponent(magnitude, p - 1, false);
                    let at = text.find('e').unwrap_or(text.len());
                    let digits = &text[..at];
                    let digits =
                        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
                    format!("{digits}{}", &text[at..])
                } else {
                    let text = general(magnitude, p, spec.alternate, false);
                    if text.contains('.') { text } else { text + ".0" }
                }
            }
        },
        Some('f' | 'F') => format!("{magnitude:.precision$}"),
        Some('e' | 'E') => exponent(magnitude, precision, upper),
        Some('g' | 'G') => general(magnitude, precision, spec.alternate, upper),
        Some('n') => general(magnitude, precision, spec.alternate, false),
        Some('%') => format!("{:.precision$}", magnitude * 100.0),
        Some(c) => return bad_kind(c, of),
    };
    let at = text.find(['.', 'e', 'E']).unwrap_or(text.len());
    let rest = if spec.kind == Some('%') { format!("{}%", &text[at..]) } else { text[at..].to_string() };
    Ok(number(spec, negative, "", &text[..at], &rest, 3))
}

fn bad_kind<T>(kind: char, of: &Value) -> R<T> {
    value_error(format!("Unknown format code '{kind}' for object of type '{}'", of.type_name()))
}

fn integer(spec: &Spec, i: i128, of: &Value) -> R<String> {
    if spec.precision.is_some() && matches!(spec.kind, None | Some('d' | 'b' | 'o' | 'x' | 'X' | 'n' | 'c')) {
        return value_error("Precision not allowed in integer format specifier");
    }
    let n = i.unsigned_abs();
    let (digits, prefix, every) = match spec.kind {
        None | Some('d' | 'n') => (n.to_string(), "", 3),
        Some('b') => (format!("{n:b}"), "0b", 4),
        Some('o') => (format!("{n:o}"), "0o", 4),
        Some('x') => (format!("{n:x}"), "0x", 4),
        Some('X') => (format!("{n:X}"), "0X", 4),
        Some('c') => match u32::try_from(i).ok().and_then(char::from_u32) {
            Some(c) => return Ok(pad(spec, c.to_string(), '<')),
            None => return crate::exc::raise(crate::exc::Kind::OverflowError, "%c arg not in range(0x110000)"),
        },
        Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => return float(spec, i as f64, of),
        Some(c) => return bad_kind(c, of),
    };
    Ok(number(spec, i < 0, if spec.alternate { prefix } else { "" }, &digits, "", every))
}

/// `format(value, spec)`.
///
/// # Errors
/// `ValueError` for a specification that does not fit; `TypeError` for a value that takes none.
pub fn format(vm: &mut Vm, value: &Value, spec: &str) -> R<String> {
    if spec.is_empty() {
        return to_str(vm, value);
    }
    match value {
        Value::Str(s) => {
            let parsed = parse(spec, value)?;
            if !matches!(parsed.kind, None | Some('s')) {
                return bad_kind(parsed.kind.unwrap_or('s'), value);
            }
            if parsed.sign.is_some() {
                return value_error("Sign not allowed in string format specifier");
            }
            if parsed.alternate {
                return value_error("Alternate form (#) not allowed in string format specifier");
            }
            if parsed.align == Some('=') {
                return value_error("'=' alignment not allowed in string format specifier");
            }
            if let Some(c) = parsed.grouping {
                return value_error(format!("Cannot specify '{c}' with 's'."));
            }
            let mut parsed = parsed;
            if parsed.zero && parsed.fill.is_none() {
                parsed.fill = Some('0');
            }
            let cut = match parsed.precision {
                Some(p) => s.chars().take(p).collect(),
                None => s.to_string(),
            };
            Ok(pad(&parsed, cut, '<'))
        }
        Value::Bool(b) => {
            // bool has int's format: with a width, True is written as 1.
            integer(&parse(spec, value)?, i128::from(*b), value)
        }
        Value::Int(i) => integer(&parse(spec, value)?, *i, value),
        Value::Float(f) => float(&parse(spec, value)?, *f, value),
        Value::Lib(l) => stdlib::format(l, spec),
        Value::Missing(_) | Value::Object(_) => unknown("format() of an object"),
        other => type_error(format!("unsupported format string passed to {}.__format__", other.type_name())),
    }
}
