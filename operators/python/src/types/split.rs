//! `split`, `rsplit` and `splitlines` of texts.

use super::str::int_arg;
use crate::exc::{R, type_error, value_error};
use crate::native::{Args, Vm};
use crate::unicode::is_space;
use crate::value::Value;

/// `split` and `rsplit`.
pub(super) fn split(vm: &mut Vm, text: &str, args: Args, from_right: bool) -> R<Value> {
    args.check_named(if from_right { "rsplit" } else { "split" }, 0, 2, &["sep", "maxsplit"])?;
    let most = int_arg(args.get(1, "maxsplit"), -1)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<&str> = match args.get(0, "sep") {
        None | Some(Value::None) if from_right => {
            let mut parts = Vec::new();
            let mut rest = text.trim_end_matches(is_space);
            while !rest.is_empty() {
                let cut = if parts.len() < most { rest.rfind(is_space) } else { None };
                match cut {
                    Some(at) => {
                        let width = rest[at..].chars().next().map_or(1, char::len_utf8);
                        parts.push(&rest[at + width..]);
                        rest = rest[..at].trim_end_matches(is_space);
                    }
                    None => {
                        parts.push(rest);
                        break;
                    }
                }
            }
            parts.reverse();
            parts
        }
        None | Some(Value::None) => {
            let mut parts = Vec::new();
            let mut rest = text.trim_start_matches(is_space);
            while !rest.is_empty() {
                let cut = if parts.len() < most { rest.find(is_space) } else { None };
                match cut {
                    Some(at) => {
                        parts.push(&rest[..at]);
                        rest = rest[at..].trim_start_matches(is_space);
                    }
                    None => {
                        parts.push(rest);
                        break;
                    }
                }
            }
            parts
        }
        Some(Value::Str(separator)) if separator.is_empty() => return value_error("empty separator"),
        Some(Value::Str(separator)) => {
            let limit = most.saturating_add(1);
            if from_right {
                let mut parts: Vec<&str> = text.rsplitn(limit, &**separator).collect();
                parts.reverse();
                parts
            } else {
                text.splitn(limit, &**separator).collect()
            }
        }
        Some(other) => return type_error(format!("must be str or None, not {}", other.type_name())),
    };
    vm.charge(parts.len() as u64 / 4)?;
    vm.memory(parts.len() * (size_of::<Value>() + 16))?;
    Ok(Value::list(parts.into_iter().map(Value::str).collect()))
}

/// `splitlines`.
pub(super) fn lines(text: &str, args: Args) -> R<Value> {
    args.check_named("splitlines", 0, 1, &["keepends"])?;
    let keep = int_arg(args.get(0, "keepends"), 0)? != 0;
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}') {
            continue;
        }
        let mut end = at + c.len_utf8();
        if c == '\r' && chars.peek().is_some_and(|(_, c)| *c == '\n') {
            chars.next();
            end += 1;
        }
        lines.push(Value::str(&text[start..if keep { end } else { at }]));
        start = end;
    }
    if start < text.len() {
        lines.push(Value::str(&text[start..]));
    }
    Ok(Value::list(lines))
}
