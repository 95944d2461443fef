//! `datetime.strptime`, and the part of `dateutil.parser` that is unambiguous.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use regex::Regex;

use super::time::{DAYS, DateTime, MONTHS, Zone, of_parts, parse_iso};
use super::{Lib, civil};
use crate::exc::{R, type_error, unknown, value_error};
use crate::native::{Args, NativeFn, Vm};
use crate::repr::str_repr;
use crate::value::Value;

/// `dateutil.parser`.
pub static DATEUTIL: &[NativeFn] = &[NativeFn { name: "parse", call: parse }];

/// `parse(text)`: the ISO form; dateutil guesses at all others, and so the result is unknown.
fn parse(_: &mut Vm, args: Args) -> R<Value> {
    match args.pos {
        [Value::Str(text)] => match parse_iso(text) {
            Ok(Some(d)) => Ok(Value::lib(Lib::DateTime(d))),
            _ => unknown("dateutil.parser.parse of a time that is not in the ISO form"),
        },
        [Value::Missing(name), ..] => unknown(format!("`{name}` is not available")),
        [v] => type_error(format!("Parser must be a string or character stream, not {}", v.type_name())),
        _ => unknown("dateutil.parser.parse with options"),
    }
}

/// Formats that one thread keeps compiled.
const CACHE: usize = 256;

thread_local! {
    static FORMATS: RefCell<HashMap<String, Rc<(Regex, Vec<char>)>>> = RefCell::default();
}

/// Seconds of `+hh:mm`, `-hhmm`, `+hh:mm:ss`.
pub fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let digits: Vec<&str> = if rest.contains(':') {
        rest.split(':').collect()
    } else if rest.is_ascii() && rest.len() % 2 == 0 {
        (0..rest.len() / 2).map(|i| &rest[2 * i..2 * i + 2]).collect()
    } else {
        return None;
    };
    if digits.is_empty()
        || digits.len() > 3
        || digits.iter().any(|d| d.len() != 2 || !d.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let n = |i: usize| digits.get(i).map_or(0, |d| d.parse::<i64>().unwrap_or(0));
    (n(0) < 24 && n(1) < 60 && n(2) < 60).then(|| sign * (n(0) * 3600 + n(1) * 60 + n(2)))
}

fn names(list: &[&str], short: bool) -> String {
    let mut names: Vec<String> =
        list.iter().map(|n| if short { n[..3].to_lowercase() } else { n.to_lowercase() }).collect();
    names.sort_by_key(|n| std::cmp::Reverse(n.len()));
    names.join("|")
}

fn compile(format: &str) -> R<Rc<(Regex, Vec<char>)>> {
    if let Some(known) = FORMATS.with_borrow(|f| f.get(format).cloned()) {
        return Ok(known);
    }
    let mut pattern = String::from("(?i)^");
    let mut letters = Vec::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            while chars.peek().is_some_and(|c| c.is_whitespace()) {
                chars.next();
            }
            pattern.push_str(r"\s+");
            continue;
        }
        if c != '%' {
            pattern.push_str(&regex::escape(&c.to_string()));
            continue;
        }
        let Some(letter) = chars.next() else { return value_error(format!("stray %% in format '{format}'")) };
        let part = match letter {
            'd' => "3[0-1]|[1-2][0-9]|0[1-9]|[1-9]| [1-9]".into(),
            'f' => "[0-9]{1,6}".into(),
            'H' => "2[0-3]|[0-1][0-9]|[0-9]".into(),
            'I' => "1[0-2]|0[1-9]|[1-9]".into(),
            'j' => "36[0-6]|3[0-5][0-9]|[1-2][0-9][0-9]|0[1-9][0-9]|00[1-9]|[1-9][0-9]|0[1-9]|[1-9]".into(),
            'm' => "1[0-2]|0[1-9]|[1-9]".into(),
            'M' => "[0-5][0-9]|[0-9]".into(),
            'S' => "6[0-1]|[0-5][0-9]|[0-9]".into(),
            'y' => "[0-9][0-9]".into(),
            'Y' => "[0-9]{4}".into(),
            'z' => r"[+-][0-9]{2}:?[0-5][0-9](?::?[0-5][0-9](?:\.[0-9]{1,6})?)?|Z".into(),
            'A' => names(&DAYS, false),
            'a' => names(&DAYS, true),
            'B' => names(&MONTHS, false),
            'b' => names(&MONTHS, true),
            'p' => "am|pm".into(),
            'Z' => "utc|gmt".into(),
            '%' => {
                pattern.push('%');
                continue;
            }
            other => return unknown(format!("%{other} in strptime")),
        };
        pattern.push_str(&format!("({part})"));
        letters.push(letter);
    }
    let Ok(regex) = Regex::new(&pattern) else { return unknown("this format of strptime") };
    let made = Rc::new((regex, letters));
    FORMATS.with_borrow_mut(|f| {
        if f.len() >= CACHE {
            f.clear();
        }
        f.insert(format.into(), made.clone());
    });
    Ok(made)
}

/// `datetime.strptime(text, format)`.
///
/// # Errors
/// `ValueError` if the text does not have the form.
pub fn strptime(vm: &mut Vm, text: &str, format: &str) -> R<DateTime> {
    vm.charge(2 + text.len() as u64 / 16)?;
    let compiled = compile(format)?;
    let (regex, letters) = &*compiled;
    let Some(found) = regex.captures(text) else {
        return value_error(format!("time data {} does not match format {}", str_repr(text), str_repr(format)));
    };
    let end = found.get(0).map_or(0, |m| m.end());
    if end < text.len() {
        return value_error(format!("unconverted data remains: {}", &text[end..]));
    }
    let mut parts = [1900, 1, 1, 0, 0, 0, 0];
    let (mut zone, mut pm, mut twelve, mut day_of_year) = (None, None, None, None);
    for (i, letter) in letters.iter().enumerate() {
        let part = found.get(i + 1).map_or("", |m| m.as_str());
        let n = || part.trim().parse::<i64>().unwrap_or(0);
        let index = |list: &[&str], short: bool| {
            list.iter()
                .position(|name| (if short { &name[..3] } else { *name }).eq_ignore_ascii_case(part))
                .unwrap_or(0) as i64
        };
        match letter {
            'Y' => parts[0] = n(),
            'y' => parts[0] = n() + if n() <= 68 { 2000 } else { 1900 },
            'm' => parts[1] = n(),
            'B' => parts[1] = index(&MONTHS, false) + 1,
            'b' => parts[1] = index(&MONTHS, true) + 1,
            'd' => parts[2] = n(),
            'H' => parts[3] = n(),
            'I' => twelve = Some(n()),
            'p' => pm = Some(part.eq_ignore_ascii_case("pm")),
            'M' => parts[4] = n(),
            'S' => parts[5] = n(),
            'f' => parts[6] = format!("{part:0<6}").parse().unwrap_or(0),
            'j' => day_of_year = Some(n()),
            'z' if part == "Z" || part == "z" => zone = Some(Zone::utc()),
            'z' if part.contains('.') => return unknown("an offset with microseconds"),
            'z' => zone = offset(part).map(|offset| Zone { offset, name: None }),
            _ => {}
        }
    }
    if let Some(hour) = twelve {
        parts[3] = hour % 12 + if pm == Some(true) { 12 } else { 0 };
    }
    if let Some(day) = day_of_year {
        let (_, month, day) = civil::date(civil::days(parts[0], 1, 1) + day - 1);
        (parts[1], parts[2]) = (month, day);
    }
    of_parts(parts, zone, false)
}
