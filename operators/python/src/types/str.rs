//! Methods of `str`.

use std::rc::Rc;

use super::split;
use crate::exc::{R, Stop, type_error, unknown, value_error};
use crate::iter::Iter;
use crate::name::Name;
use crate::native::{Args, Vm};
use crate::ops::int_of;
use crate::unicode::{self, is_cased, is_space};
use crate::value::Value;

pub(super) fn text_arg<'a>(args: &Args<'a>, at: usize, method: &str) -> R<&'a str> {
    match args.pos.get(at) {
        Some(Value::Str(s)) => Ok(s),
        Some(other) => {
            let which = if at == 0 && args.pos.len() == 1 { String::new() } else { format!(" {}", at + 1) };
            let name = if other.is_none() { "None".into() } else { other.type_name() };
            type_error(format!("{method}() argument{which} must be str, not {name}"))
        }
        None => type_error(format!("{method}() takes at least {} argument ({} given)", at + 1, args.pos.len())),
    }
}

pub(super) fn int_arg(value: Option<&Value>, default: i128) -> R<i128> {
    match value {
        None => Ok(default),
        Some(v) => match int_of(v) {
            Some(i) => Ok(i),
            None => type_error(format!("'{}' object cannot be interpreted as an integer", v.type_name())),
        },
    }
}

/// The part of a text that optional start and end arguments leave, and the count of characters before it.
fn window<'a>(text: &'a str, args: &Args, at: usize) -> R<Option<(&'a str, usize)>> {
    if args.pos.len() <= at {
        return Ok(Some((text, 0)));
    }
    let len = text.chars().count() as i128;
    let bound = |v: Option<&Value>, default: i128| -> R<i128> {
        match v {
            None | Some(Value::None) => Ok(default),
            Some(v) => match int_of(v) {
                Some(i) if i < 0 => Ok((i + len).max(0)),
                Some(i) => Ok(i),
                None => type_error("slice indices must be integers or None or have an __index__ method"),
            },
        }
    };
    let (start, end) = (bound(args.pos.get(at), 0)?, bound(args.pos.get(at + 1), len)?.min(len));
    if start > end {
        return Ok(None);
    }
    let byte = |n: i128| text.char_indices().nth(n as usize).map_or(text.len(), |(i, _)| i);
    Ok(Some((&text[byte(start)..byte(end)], start as usize)))
}

fn affix(text: &str, args: &Args, method: &str, test: fn(&str, &str) -> bool) -> R<Value> {
    args.check_parsed(method, 1, 3, &[])?;
    let part = window(text, args, 1)?;
    let one = |affix: &str| part.is_some_and(|(part, _)| test(part, affix));
    match &args.pos[0] {
        Value::Str(s) => Ok(Value::Bool(one(s))),
        Value::Tuple(t) => {
            for item in &t.0 {
                match item {
                    Value::Str(s) if one(s) => return Ok(Value::Bool(true)),
                    Value::Str(_) => {}
                    other => {
                        return type_error(format!(
                            "tuple for {method} must only contain str, not {}",
                            other.type_name()
                        ));
                    }
                }
            }
            Ok(Value::Bool(false))
        }
        Value::Missing(name) => unknown(format!("`{name}` is not available")),
        other => type_error(format!("{method} first arg must be str or a tuple of str, not {}", other.type_name())),
    }
}

fn find(text: &str, args: &Args, method: &str, last: bool) -> R<Option<usize>> {
    args.check_parsed(method, 1, 3, &[])?;
    window(text, args, 1)?;
    let needle = match &args.pos[0] {
        Value::Str(s) => s,
        other => return type_error(format!("must be str, not {}", other.type_name())),
    };
    let Some((part, before)) = window(text, args, 1)? else { return Ok(None) };
    let at = if last { part.rfind(&**needle) } else { part.find(&**needle) };
    Ok(at.map(|byte| before + part[..byte].chars().count()))
}

fn strip(text: &str, args: &Args, method: &str, left: bool, right: bool) -> R<Value> {
    args.check(method, 0, 1)?;
    let trim = |test: &dyn Fn(char) -> bool| {
        let mut out = text;
        if left {
            out = out.trim_start_matches(test);
        }
        if right {
            out = out.trim_end_matches(test);
        }
        Value::str(out)
    };
    match args.pos.first() {
        None | Some(Value::None) => Ok(trim(&is_space)),
        Some(Value::Str(set)) => Ok(trim(&|c| set.contains(c))),
        Some(_) => type_error(format!("{method} arg must be None or str")),
    }
}

fn pad(vm: &mut Vm, text: &str, args: &Args, method: &str) -> R<Value> {
    args.check(method, 1, 2)?;
    let width = int_arg(args.pos.first(), 0)?;
    let fill = match args.pos.get(1) {
        None => ' ',
        Some(Value::Str(s)) if s.chars().count() == 1 => s.chars().next().unwrap_or(' '),
        Some(Value::Str(_)) => return type_error("The fill character must be exactly one character long"),
        Some(v) => return type_error(format!("The fill character must be a unicode character, not {}", v.type_name())),
    };
    let len = text.chars().count();
    let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
    if width <= len {
        return Ok(Value::str(text));
    }
    let room = width - len;
    vm.memory(room)?;
    let fills = |n: usize| fill.to_string().repeat(n);
    Ok(Value::str(match method {
        "ljust" => text.to_string() + &fills(room),
        "rjust" => fills(room) + text,
        // CPython puts the odd one to the left if the width is odd.
        _ => {
            let left = room / 2 + (room & width & 1);
            fills(left) + text + &fills(room - left)
        }
    }))
}

fn all(text: &str, test: impl Fn(char) -> bool) -> Value {
    Value::Bool(!text.is_empty() && text.chars().all(test))
}

/// True for characters whose title case is not their upper case.
fn has_title_case(c: char) -> bool {
    matches!(c, 'Ǆ'..='ǌ' | 'Ǳ'..='ǳ') || (!c.is_ascii() && c != 'ß' && c.to_uppercase().len() > 1)
}

pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match (inside, c) {
            (true, c) => out.extend(c.to_lowercase()),
            (false, 'ß') => out.push_str("Ss"),
            (false, c) => out.push_str(&unicode::upper_of(c)),
        }
        inside = is_cased(c);
    }
    out
}

/// Call a method of a text.
pub(super) fn method(vm: &mut Vm, text: &Rc<str>, name: Name, method: &str, args: Args) -> R<Value> {
    // Those that only look make nothing.
    if !matches!(name, Name::startswith | Name::endswith | Name::find | Name::rfind | Name::index | Name::rindex) {
        vm.memory(text.len())?;
    }
    match name {
        Name::isalpha
        | Name::isdecimal
        | Name::isdigit
        | Name::isnumeric
        | Name::isalnum
        | Name::isspace
        | Name::isascii
        | Name::isprintable
        | Name::isupper
        | Name::islower
        | Name::istitle => args.check(&format!("str.{method}"), 0, 0)?,
        Name::partition | Name::rpartition | Name::removeprefix | Name::removesuffix | Name::zfill => {
            args.check(&format!("str.{method}"), 1, 1)?;
        }
        _ => {}
    }
    let none = || args.check(&format!("str.{method}"), 0, 0);
    if matches!(name, Name::title | Name::istitle | Name::capitalize) && text.chars().any(has_title_case) {
        return unknown("title case of this character");
    }
    Ok(match name {
        Name::lower => {
            none()?;
            Value::str(text.to_lowercase())
        }
        Name::upper => {
            none()?;
            Value::str(unicode::upper(text))
        }
        Name::casefold => {
            none()?;
            Value::str(unicode::casefold(text))
        }
        Name::title => {
            none()?;
            Value::str(title(text))
        }
        Name::capitalize => {
            none()?;
            let mut chars = text.chars();
            let first = chars.next().map(|c| if c == 'ß' { "Ss".into() } else { c.to_uppercase().collect::<String>() });
            Value::str(first.unwrap_or_default() + &chars.as_str().to_lowercase())
        }
        Name::swapcase => {
            none()?;
            let mut out = String::new();
            for c in text.chars() {
                match c {
                    c if c.is_uppercase() => out.extend(c.to_lowercase()),
                    c if unicode::is_lower(c) => out.push_str(&unicode::upper_of(c)),
                    c => out.push(c),
                }
            }
            Value::str(out)
        }
        Name::strip => strip(text, &args, "strip", true, true)?,
        Name::lstrip => strip(text, &args, "lstrip", true, false)?,
        Name::rstrip => strip(text, &args, "rstrip", false, true)?,
        Name::startswith => affix(text, &args, "startswith", |t, a| t.starts_with(a))?,
        Name::endswith => affix(text, &args, "endswith", |t, a| t.ends_with(a))?,
        Name::find => Value::Int(find(text, &args, "find", false)?.map_or(-1, |i| i as i128)),
        Name::rfind => Value::Int(find(text, &args, "rfind", true)?.map_or(-1, |i| i as i128)),
        Name::index | Name::rindex => match find(text, &args, method, name == Name::rindex)? {
            Some(i) => Value::Int(i as i128),
            None => return value_error("substring not found"),
        },
        Name::count => {
            args.check_parsed("count", 1, 3, &[])?;
            window(text, &args, 1)?;
            let Value::Str(needle) = &args.pos[0] else {
                return type_error(format!("must be str, not {}", args.pos[0].type_name()));
            };
            match window(text, &args, 1)? {
                None => Value::Int(0),
                Some((part, _)) if needle.is_empty() => Value::Int(part.chars().count() as i128 + 1),
                Some((part, _)) => Value::Int(part.matches(&**needle).count() as i128),
            }
        }
        Name::split | Name::rsplit => split::split(vm, text, args, name == Name::rsplit)?,
        Name::splitlines => split::lines(text, args)?,
        Name::partition | Name::rpartition => {
            let Value::Str(separator) = &args.pos[0] else {
                return type_error(format!("must be str, not {}", args.pos[0].type_name()));
            };
            if separator.is_empty() {
                return value_error("empty separator");
            }
            let found = if name == Name::partition { text.find(&**separator) } else { text.rfind(&**separator) };
            let parts = match found {
                Some(at) => [&text[..at], &**separator, &text[at + separator.len()..]],
                None if name == Name::partition => [&**text, "", ""],
                None => ["", "", &**text],
            };
            Value::tuple(parts.iter().map(Value::str).collect())
        }
        Name::replace => {
            args.check("replace", 2, 3)?;
            let (old, new) = (text_arg(&args, 0, "replace")?, text_arg(&args, 1, "replace")?);
            let count = int_arg(args.pos.get(2), -1)?;
            let times = usize::try_from(count).unwrap_or(usize::MAX);
            let grown = if old.is_empty() { text.chars().count() + 1 } else { text.len() / old.len() };
            vm.memory(grown.saturating_mul(new.len()))?;
            Value::str(if times == usize::MAX { text.replace(old, new) } else { text.replacen(old, new, times) })
        }
        Name::join => {
            args.check("str.join", 1, 1)?;
            let items = match Iter::over(&args.pos[0]) {
                Err(Stop::Raise(_)) => return type_error("can only join an iterable"),
                other => other?.collect(vm)?,
            };
            let mut out = String::new();
            for (i, item) in items.iter().enumerate() {
                let Value::Str(s) = item else {
                    return type_error(format!("sequence item {i}: expected str instance, {} found", item.type_name()));
                };
                if i > 0 {
                    out.push_str(text);
                }
                out.push_str(s);
                vm.memory(s.len() + text.len())?;
            }
            Value::str(out)
        }
        Name::format => Value::str(crate::format::str_format(vm, text, &args)?),
        Name::encode => return super::bytes::encode(text, args),
        Name::isalpha => all(text, unicode::is_alpha),
        Name::isdecimal => all(text, unicode::is_decimal),
        Name::isdigit | Name::isnumeric | Name::isalnum => {
            if text.chars().any(unicode::is_other_number) {
                return unknown("numbers of other scripts");
            }
            match name {
                Name::isalnum => all(text, |c| unicode::is_alpha(c) || unicode::is_decimal(c)),
                _ => all(text, unicode::is_decimal),
            }
        }
        Name::isspace => all(text, is_space),
        Name::isascii => Value::Bool(text.is_ascii()),
        Name::isprintable => Value::Bool(text.chars().all(unicode::is_printable)),
        Name::isupper => Value::Bool(text.chars().any(char::is_uppercase) && !text.chars().any(unicode::is_lower)),
        Name::islower => Value::Bool(text.chars().any(unicode::is_lower) && !text.chars().any(char::is_uppercase)),
        Name::istitle => Value::Bool(text.chars().any(is_cased) && title(text) == **text),
        Name::zfill => {
            let width = int_arg(args.pos.first(), 0)?;
            let len = text.chars().count();
            let room = usize::try_from(width.max(0)).unwrap_or(usize::MAX).saturating_sub(len);
            vm.memory(room)?;
            let (sign, rest) = match text.chars().next() {
                Some('+' | '-') => text.split_at(1),
                _ => ("", &**text),
            };
            Value::str(format!("{sign}{}{rest}", "0".repeat(room)))
        }
        Name::ljust | Name::rjust | Name::center => pad(vm, text, &args, method)?,
        Name::removeprefix => Value::str(text.strip_prefix(text_arg(&args, 0, method)?).unwrap_or(text)),
        Name::removesuffix => Value::str(text.strip_suffix(text_arg(&args, 0, method)?).unwrap_or(text)),
        _ => return unknown(format!("str.{method}()")),
    })
}
