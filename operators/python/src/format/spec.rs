//! The specification: what it asks for, and padding.

use super::MAX_WIDTH;
use crate::exc::{R, value_error};
use crate::value::Value;

#[derive(Clone, Debug, Default)]
pub(super) struct Spec {
    pub(super) fill: Option<char>,
    pub(super) align: Option<char>,
    pub(super) sign: Option<char>,
    pub(super) alternate: bool,
    pub(super) zero: bool,
    pub(super) width: usize,
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    pub(super) kind: Option<char>,
}

pub(super) fn parse(text: &str, of: &Value) -> R<Spec> {
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

pub(super) fn pad(spec: &Spec, body: String, default: char) -> String {
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

pub(super) fn group(digits: &str, separator: Option<char>, every: usize) -> String {
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
pub(super) fn number(spec: &Spec, negative: bool, prefix: &str, digits: &str, rest: &str, every: usize) -> String {
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
