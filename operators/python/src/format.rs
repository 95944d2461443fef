//! `format()`: the specification mini-language, and `str.format`.

use crate::exc::{R, type_error, unknown, value_error};
use crate::native::{Args, Vm};
use crate::number::float_repr;
use crate::repr::{to_repr, to_str};
use crate::stdlib;
use crate::value::Value;

/// Width and precision that a specification may ask for.
pub const MAX_WIDTH: usize = 10_000;

#[derive(Clone, Debug, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

fn parse(text: &str, of: &Value) -> R<Spec> {
    let bad = || value_error(format!("Invalid format specifier '{text}' for object of type '{}'", of.type_name()));
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    let mut spec = Spec::default();
    let is_align = |c: Option<&char>| matches!(c, Some('<' | '>' | '=' | '^'));
    if is_align(chars.get(1)) {
        (spec.fill, spec.align, at) = (Some(chars[0]), Some(chars[1]), 2);
    } else if is_align(chars.first()) {
        (spec.align, at) = (Some(chars[0]), 1);
    }
    if let Some(c @ ('+' | '-' | ' ')) = chars.get(at) {
        spec.sign = Some(*c);
        at += 1;
    }
    if chars.get(at) == Some(&'#') {
        spec.alternate = true;
        at += 1;
    }
    if chars.get(at) == Some(&'0') {
        spec.zero = true;
        at += 1;
    }
    let number = |at: &mut usize| -> R<Option<usize>> {
        let start = *at;
        while chars.get(*at).is_some_and(char::is_ascii_digit) {
            *at += 1;
        }
        let digits: String = chars[start..*at].iter().collect();
        match digits.parse::<usize>() {
            _ if digits.is_empty() => Ok(None),
            Ok(n) if n <= MAX_WIDTH => Ok(Some(n)),
            _ => Err(crate::exc::Stop::Memory),
        }
    };
    spec.width = number(&mut at)?.unwrap_or(0);
    if let Some(c @ (',' | '_')) = chars.get(at) {
        spec.grouping = Some(*c);
        at += 1;
    }
    if chars.get(at) == Some(&'.') {
        at += 1;
        match number(&mut at)? {
            Some(n) => spec.precision = Some(n),
            None => return value_error("Format specifier missing precision"),
        }
    }
    if let Some(c) = chars.get(at) {
        spec.kind = Some(*c);
        at += 1;
    }
    if at < chars.len() { bad() } else { Ok(spec) }
}

fn pad(spec: &Spec, body: String, default: char) -> String {
    let length = body.chars().count();
    if length >= spec.width {
        return body;
    }
    let fill: String = spec.fill.unwrap_or(' ').to_string();
    let room = spec.width - length;
    match spec.align.unwrap_or(default) {
        '<' => body + &fill.repeat(room),
        '^' => fill.repeat(room / 2) + &body + &fill.repeat(room - room / 2),
        _ => fill.repeat(room) + &body,
    }
}

fn group(digits: &str, separator: Option<char>, every: usize) -> String {
    let Some(separator) = separator else { return digits.into() };
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(every) {
            out.push(separator);
        }
        out.push(c);
    }
    out
}

/// Sign, digits and the rest of a number, padded.
fn number(spec: &Spec, negative: bool, prefix: &str, digits: &str, rest: &str, every: usize) -> String {
    let sign = match (negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    };
    let mut digits = group(digits, spec.grouping, every);
    let zero = spec.zero && spec.align.is_none();
    let mut spec = spec.clone();
    if zero {
        spec.fill = spec.fill.or(Some('0'));
        spec.align = Some('=');
    }
    if spec.align == Some('=') {
        let fixed = sign.len() + prefix.len() + rest.chars().count();
        let fill = spec.fill.unwrap_or(' ');
        while fixed + digits.chars().count() < spec.width {
            if zero && spec.grouping.is_some() {
                let plain = digits.chars().filter(|c| c.is_ascii_hexdigit()).collect::<String>();
                digits = group(&format!("0{plain}"), spec.grouping, every);
            } else {
                digits.insert(0, fill);
            }
        }
    }
    pad(&spec, format!("{sign}{prefix}{digits}{rest}"), '>')
}

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

/// `str.format(*args, **kwargs)`.
///
/// # Errors
/// `IndexError`, `KeyError`, `ValueError` as in Python.
pub fn str_format(vm: &mut Vm, template: &str, args: &Args) -> R<String> {
    let mut auto = Some(0);
    expand(vm, template, args, &mut auto, 0)
}

fn expand(vm: &mut Vm, template: &str, args: &Args, auto: &mut Option<usize>, depth: u32) -> R<String> {
    if depth > 1 {
        return value_error("Max string recursion exceeded");
    }
    let chars: Vec<char> = template.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            '{' if chars.get(at) == Some(&'{') => {
                out.push('{');
                at += 1;
            }
            '}' if chars.get(at) == Some(&'}') => {
                out.push('}');
                at += 1;
            }
            '}' => return value_error("Single '}' encountered in format string"),
            '{' => {
                let start = at;
                let mut level = 1;
                while level > 0 {
                    match chars.get(at) {
                        Some('{') => level += 1,
                        Some('}') => level -= 1,
                        Some(_) => {}
                        None if at == start => return value_error("Single '{' encountered in format string"),
                        None => return value_error("expected '}' before end of string"),
                    }
                    at += 1;
                }
                let field: String = chars[start..at - 1].iter().collect();
                let text = replace(vm, &field, args, auto, depth)?;
                out.push_str(&text);
            }
            c => out.push(c),
        }
    }
    vm.memory(out.len())?;
    Ok(out)
}

fn replace(vm: &mut Vm, field: &str, args: &Args, auto: &mut Option<usize>, depth: u32) -> R<String> {
    let split = field.find(['!', ':']).unwrap_or(field.len());
    let (name, rest) = field.split_at(split);
    let (conversion, spec) = match rest.strip_prefix('!') {
        Some(rest) => match rest.split_once(':') {
            Some((conversion, spec)) => (conversion, spec),
            None => (rest, ""),
        },
        None => ("", rest.strip_prefix(':').unwrap_or("")),
    };
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, path) = name.split_at(end);
    let mut value = if first.is_empty() || first.bytes().all(|b| b.is_ascii_digit()) {
        let index = match (first.parse::<usize>(), *auto) {
            (Ok(i), None) => i,
            (Ok(i), Some(0)) => {
                *auto = None;
                i
            }
            (Ok(_), Some(_)) => {
                return value_error("cannot switch from automatic field numbering to manual field specification");
            }
            (Err(_), Some(i)) => {
                *auto = Some(i + 1);
                i
            }
            (Err(_), None) => {
                return value_error("cannot switch from manual field specification to automatic field numbering");
            }
        };
        match args.pos.get(index) {
            Some(v) => v.clone(),
            None => {
                return crate::exc::raise(
                    crate::exc::Kind::IndexError,
                    format!("Replacement index {index} out of range for positional args tuple"),
                );
            }
        }
    } else {
        match args.kw(first) {
            Some(v) => v.clone(),
            None => return crate::exc::raise(crate::exc::Kind::KeyError, first),
        }
    };
    let mut path = path;
    while !path.is_empty() {
        if let Some(rest) = path.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            value = vm.attribute(&value, &rest[..end])?;
            path = &rest[end..];
        } else {
            let Some((key, rest)) = path[1..].split_once(']') else {
                return value_error("Missing ']' in format string");
            };
            let key = key.parse::<i128>().map_or_else(|_| Value::str(key), Value::Int);
            value = vm.index(&value, &key)?;
            path = rest;
        }
    }
    let spec = if spec.contains(['{', '}']) { expand(vm, spec, args, auto, depth + 1)? } else { spec.to_string() };
    let value = match conversion {
        "" => value,
        "s" => Value::str(to_str(vm, &value)?),
        "r" => Value::str(to_repr(vm, &value)?),
        _ => return unknown("a conversion other than !r and !s"),
    };
    format(vm, &value, &spec)
}
