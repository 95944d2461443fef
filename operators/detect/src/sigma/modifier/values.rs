//! Values of an item, with its modifiers applied.
use super::Wanted;
use super::chain::Chain;
use crate::address;
use crate::like::glob::Part;
use crate::like::{NumText, Pattern};
use crate::number::Num;
use crate::sigma::finding::Found;
use crate::sigma::value::{self, Placeholders, Utf16};
use model::path::Seg;
use serde_json::Value as J;

/// Most texts that the values of an item stand for (placeholders, encodings).
pub const MAX_TEXTS: usize = 50_000;

/// A value on its way through the modifiers.
enum Val {
    Texts(Vec<Vec<Part>>),
    Bytes(Vec<Vec<u8>>),
}

/// What the values ask. Findings stand at each of them.
pub fn wanted(
    c: &Chain,
    whole: &J,
    values: &[&J],
    keywords: bool,
    placeholders: &Placeholders,
    found: &mut Found,
) -> Option<Vec<Wanted>> {
    let mut out = Vec::with_capacity(values.len());
    let mut good = true;
    for (i, v) in values.iter().enumerate() {
        let read = |found: &mut Found| one(c, v, keywords, placeholders, found);
        let got = if whole.is_array() { found.inside(Seg::Index(i as i64), read) } else { read(found) };
        match got {
            Some(w) => out.push(w),
            None => good = false,
        }
    }
    let texts: usize = out.iter().map(|w| if let Wanted::Text(t, _) = w { t.len() } else { 1 }).sum();
    if texts > MAX_TEXTS {
        found.broken(format!("the values stand for {texts} texts, the limit is {MAX_TEXTS}"), "use a lookup table");
        return None;
    }
    good.then_some(out)
}

fn one(c: &Chain, v: &J, keywords: bool, placeholders: &Placeholders, found: &mut Found) -> Option<Wanted> {
    let text = match v {
        J::Null if keywords => {
            found.broken("null cannot be searched for", "");
            return None;
        }
        J::Null if c.names.iter().all(|n| matches!(*n, "all" | "neq" | "cased")) => return Some(Wanted::Null),
        J::Null => {
            found.broken("null does not go with these modifiers", "");
            return None;
        }
        J::String(s) => s.clone(),
        J::Number(n) => NumText::of(n.into()).as_str().to_string(),
        J::Bool(b) => b.to_string(),
        J::Array(_) | J::Object(_) => {
            found.broken("a value is a text, a number, true, false or null", "");
            return None;
        }
    };
    if let Some(flags) = &c.regex {
        return match Pattern::regex(&ascii_classes(&text), flags) {
            Ok(p) => Some(Wanted::Other(p)),
            Err(e) => {
                let line = e.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
                found.unsupported(format!("regular expression: {line}"), "no look-around, no back-references");
                None
            }
        };
    }
    if c.cidr {
        let net = address::parse_net(&text);
        if net.is_none() {
            found.broken(format!("`{text}` is not a network"), "for example `10.0.0.0/8` or `2001:db8::/32`");
        }
        return net.map(|n| Wanted::Other(Pattern::Net(n)));
    }
    if c.order.is_some() || c.date.is_some() {
        let number = serde_json::from_str::<serde_json::Number>(&text).ok().map(|n| Num::from(&n));
        return match (number, c.date, c.order) {
            (Some(n), Some(part), op) => Some(Wanted::Other(Pattern::Date(part, op, n))),
            (Some(n), None, Some(op)) => Some(Wanted::Other(Pattern::Order(op, n))),
            _ => {
                found.broken(format!("`{text}` is not a number"), "");
                None
            }
        };
    }
    const GIVE_VALUES: &str = "give the placeholder values in a file of `sigma_mappings`";
    let texts = match c.expand {
        true => {
            let mut unknown = Vec::new();
            let texts = value::parse_expand(&text, placeholders, &mut unknown);
            for name in unknown {
                found.warning(format!("the placeholder %{name}% has no values and stands for itself"), GIVE_VALUES);
            }
            match texts {
                Ok(texts) => texts,
                Err(e) => {
                    found.unsupported(e, GIVE_VALUES);
                    return None;
                }
            }
        }
        false => vec![value::parse(&text)],
    };
    let texts = if keywords { texts.into_iter().map(|t| around(t, true, true)).collect() } else { texts };
    let mut val = Val::Texts(texts);
    for name in &c.names {
        val = match apply(name, val) {
            Ok(v) => v,
            Err(e) => {
                found.broken(format!("`{name}`: {e}"), "");
                return None;
            }
        };
    }
    match texts_of(val) {
        Ok(texts) => Some(Wanted::Text(texts, c.cased)),
        Err(e) => {
            found.unsupported(e, "add `base64` or `base64offset` behind it");
            None
        }
    }
}

/// A regular expression with the classes that PCRE has: here they would be those of Unicode, and many times as large.
fn ascii_classes(pattern: &str) -> String {
    let (mut out, mut chars) = (String::with_capacity(pattern.len()), pattern.chars());
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        match escaped {
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('s') => out.push_str(r"[\t\n\x0B\f\r ]"),
            Some('S') => out.push_str(r"[^\t\n\x0B\f\r ]"),
            other => {
                out.push(c);
                out.extend(other);
            }
        }
    }
    out
}

/// Apply a modifier that changes texts.
fn apply(name: &str, val: Val) -> Result<Val, String> {
    let form = match name {
        "wide" | "utf16le" => Some(Utf16::Little),
        "utf16be" => Some(Utf16::Big),
        "utf16" => Some(Utf16::Marked),
        _ => None,
    };
    if let Some(form) = form {
        let texts = plain(val)?;
        return Ok(Val::Bytes(texts.iter().map(|t| value::utf16(&String::from_utf8_lossy(t), form)).collect()));
    }
    let text = |t: String| vec![Part::Text(t)];
    Ok(match (name, val) {
        ("base64", val) => Val::Texts(plain(val)?.iter().map(|b| text(value::base64(b))).collect()),
        ("base64offset", val) => {
            Val::Texts(plain(val)?.iter().flat_map(|b| value::base64_offsets(b)).map(text).collect())
        }
        ("contains" | "startswith" | "endswith" | "windash", val) => {
            let change = |parts: Vec<Part>| match name {
                "contains" => around(parts, true, true),
                "startswith" => around(parts, false, true),
                "endswith" => around(parts, true, false),
                _ => value::windash(parts),
            };
            Val::Texts(texts_of(val)?.into_iter().map(change).collect())
        }
        (_, val) => val,
    })
}

/// Bytes of values without wildcards.
fn plain(val: Val) -> Result<Vec<Vec<u8>>, String> {
    match val {
        Val::Bytes(b) => Ok(b),
        Val::Texts(texts) => {
            let all = texts.iter().map(|parts| value::plain(parts)).collect::<Result<Vec<_>, _>>()?;
            Ok(all.into_iter().flatten().map(String::into_bytes).collect())
        }
    }
}

/// Texts that bytes are.
fn texts_of(val: Val) -> Result<Vec<Vec<Part>>, String> {
    match val {
        Val::Texts(t) => Ok(t),
        Val::Bytes(all) => all
            .into_iter()
            .map(|b| String::from_utf8(b).map(|t| vec![Part::Text(t)]))
            .collect::<Result<_, _>>()
            .map_err(|_| "bytes in UTF-16 that no text of an event can hold".into()),
    }
}

fn around(mut parts: Vec<Part>, before: bool, after: bool) -> Vec<Part> {
    if before && parts.first() != Some(&Part::Many) {
        parts.insert(0, Part::Many);
    }
    if after && parts.last() != Some(&Part::Many) {
        parts.push(Part::Many);
    }
    parts
}
