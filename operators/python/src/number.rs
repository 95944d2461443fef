//! Numbers as text, both ways.

use crate::exc::{Kind, R, raise, unknown, value_error};
use crate::repr;
use crate::value::Value;

/// `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
pub fn float_repr(f: f64) -> String {
    if f.is_nan() {
        return "nan".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let text = format!("{f:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{f}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Digits and sign of a number in text, cleaned as `int()` and `float()` do: spaces around, single underscores between
/// digits, decimal digits of any script.
fn clean(text: &str) -> Option<String> {
    let trimmed = text.trim_matches(crate::unicode::is_space);
    let mut out = String::with_capacity(trimmed.len());
    let mut last = ' ';
    for c in trimmed.chars() {
        match c {
            '_' if !last.is_ascii_digit() => return None,
            '_' => {}
            c if c.is_ascii() => {
                if last == '_' && !c.is_ascii_alphanumeric() {
                    return None;
                }
                out.push(c);
            }
            c => out.push(char::from_digit(repr::decimal_digit(c)?, 10)?),
        }
        last = if c.is_ascii() { c } else { '0' };
    }
    (last != '_').then_some(out)
}

/// `int(text, base)`.
///
/// # Errors
/// `ValueError` for what is no integer; unknown beyond 128 bits.
pub fn parse_int(text: &str, base: u32) -> R<Value> {
    let bad = || value_error(format!("invalid literal for int() with base {base}: {}", repr::str_repr(text)));
    let Some(cleaned) = clean(text) else { return bad() };
    let (negative, mut digits) = match cleaned.as_bytes().first() {
        Some(b'-') => (true, &cleaned[1..]),
        Some(b'+') => (false, &cleaned[1..]),
        _ => (false, &cleaned[..]),
    };
    let mut radix = base;
    for (prefix, r) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if (base == 0 || base == r) && digits.to_ascii_lowercase().starts_with(prefix) {
            digits = &digits[2..];
            radix = r;
            break;
        }
    }
    if radix == 0 {
        if digits.len() > 1 && digits.starts_with('0') && !digits.trim_matches('0').is_empty() {
            return bad();
        }
        radix = 10;
    }
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return bad();
    }
    // CPython refuses more than 4,300 digits.
    if digits.len() > 4300 && !radix.is_power_of_two() {
        return value_error(format!(
            "Exceeds the limit (4300 digits) for integer string conversion: value has {} digits; use sys.set_int_max_str_digits() to increase the limit",
            digits.len()
        ));
    }
    match i128::from_str_radix(digits, radix) {
        Ok(n) => Ok(Value::Int(if negative { -n } else { n })),
        Err(_) => unknown("an integer beyond 128 bits"),
    }
}

/// `float(text)`.
///
/// # Errors
/// `ValueError` for what is no number.
pub fn parse_float(text: &str) -> R<f64> {
    let bad = || value_error(format!("could not convert string to float: {}", repr::str_repr(text)));
    let Some(cleaned) = clean(text) else { return bad() };
    let lower = cleaned.to_ascii_lowercase();
    let body = lower.trim_start_matches(['+', '-']);
    if lower.len() - body.len() > 1 {
        return bad();
    }
    let sign = if lower.starts_with('-') { -1.0 } else { 1.0 };
    match body {
        "inf" | "infinity" => return Ok(sign * f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    let digits = body.bytes().any(|b| b.is_ascii_digit());
    let allowed = body.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'));
    match lower.parse::<f64>() {
        Ok(f) if digits && allowed => Ok(f),
        _ => bad(),
    }
}

/// `int(float)`.
///
/// # Errors
/// `ValueError` for a NaN, `OverflowError` for an infinity; unknown beyond 128 bits.
pub fn int_from_float(f: f64) -> R<Value> {
    if f.is_nan() {
        return value_error("cannot convert float NaN to integer");
    }
    if f.is_infinite() {
        return raise(Kind::OverflowError, "cannot convert float infinity to integer");
    }
    if f.abs() >= 1.7e38 {
        return unknown("an integer beyond 128 bits");
    }
    Ok(Value::Int(f.trunc() as i128))
}

/// `round(float, digits)`: half to even on the exact value, as CPython's correctly rounded conversion does it.
pub fn round_float(f: f64, digits: i128) -> f64 {
    if !f.is_finite() || digits > 308 {
        return f;
    }
    if digits >= 0 {
        return format!("{f:.*}", digits as usize).parse().unwrap_or(f);
    }
    let power = 10f64.powi(-(digits.max(-400)) as i32);
    if !power.is_finite() {
        return 0.0 * f;
    }
    (f / power).round_ties_even() * power
}
