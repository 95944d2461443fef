//! Matches.

use std::rc::Rc;

use super::super::Lib;
use super::Pattern;
use crate::exc::{Kind, R, raise, unknown};
use crate::native::Args;
use crate::ops::int_of;
use crate::table::Table;
use crate::value::Value;

/// A match.
#[derive(Debug)]
pub struct Found {
    /// The text that was searched.
    pub text: Rc<str>,
    pub(super) pattern: Rc<Pattern>,
    /// Bytes of each group.
    pub(super) groups: Vec<Option<(usize, usize)>>,
}

/// Methods of a match.
pub const MATCH_METHODS: &[&str] = &["group", "groups", "groupdict", "start", "end", "span"];

pub(super) fn found(pattern: &Rc<Pattern>, text: &Rc<str>, captures: &regex::Captures) -> Value {
    let groups = captures.iter().map(|g| g.map(|g| (g.start(), g.end()))).collect();
    Value::lib(Lib::Match(Found { text: text.clone(), pattern: pattern.clone(), groups }))
}

/// A match of a pattern without groups.
pub(super) fn found_at(pattern: &Rc<Pattern>, text: &Rc<str>, at: std::ops::Range<usize>) -> Value {
    let groups = vec![Some((at.start, at.end))];
    Value::lib(Lib::Match(Found { text: text.clone(), pattern: pattern.clone(), groups }))
}

pub(super) fn number(m: &Found, index: &Value) -> R<usize> {
    let found = match index {
        Value::Str(name) => m.pattern.search.capture_names().position(|n| n == Some(&**name)),
        v => int_of(v).and_then(|i| usize::try_from(i).ok()),
    };
    match found {
        Some(i) if i < m.groups.len() => Ok(i),
        _ => raise(Kind::IndexError, "no such group"),
    }
}

/// `match[index]`, `match.group(index)`.
///
/// # Errors
/// `IndexError` for a group that is not there.
pub fn group(m: &Found, index: &Value) -> R<Value> {
    Ok(part(m, number(m, index)?))
}

pub(super) fn part(m: &Found, i: usize) -> Value {
    m.groups[i].map_or(Value::None, |(a, b)| Value::str(&m.text[a..b]))
}

/// Call a method of a match.
///
/// # Errors
/// `IndexError` for a group that is not there.
pub fn match_method(m: &Found, name: &str, args: Args) -> R<Value> {
    let default = args.get(0, "default").cloned().unwrap_or(Value::None);
    let or_default = |v: Value| if v.is_none() { default.clone() } else { v };
    let place = |byte: usize| m.text[..byte].chars().count() as i128;
    match name {
        "group" => match args.pos {
            [] => Ok(part(m, 0)),
            [one] => group(m, one),
            many => Ok(Value::tuple(many.iter().map(|i| group(m, i)).collect::<R<_>>()?)),
        },
        "groups" => Ok(Value::tuple((1..m.groups.len()).map(|i| or_default(part(m, i))).collect())),
        "groupdict" => {
            let mut table = Table::default();
            for (i, name) in m.pattern.search.capture_names().enumerate() {
                if let Some(name) = name {
                    table.set(Value::str(name), or_default(part(m, i)))?;
                }
            }
            Ok(Value::dict(table))
        }
        "start" | "end" | "span" => {
            let i = match args.pos.first() {
                Some(v) => number(m, v)?,
                None => 0,
            };
            let (a, b) = m.groups[i].map_or((-1, -1), |(a, b)| (place(a), place(b)));
            Ok(match name {
                "start" => Value::Int(a),
                "end" => Value::Int(b),
                _ => Value::tuple(vec![Value::Int(a), Value::Int(b)]),
            })
        }
        _ => unknown(format!("Match.{name}()")),
    }
}
