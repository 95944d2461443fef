//! Value modifiers: what `Field|modifier|modifier: values` asks.
//!
//! Modifiers apply in the order they are written. Those that change texts (`contains`, `base64offset`, `windash`, …) work
//! on each value, those that say what kind of value it is (`re`, `cidr`, `gt`, …) come once. Source: Sigma specification
//! 2.1, appendix of modifiers. Where it is open:
//!
//! - `''` is an empty text, or no value: parsers of this product leave empty texts out, so there is no difference in an
//!   event. `null` is no value.
//! - `windash` lets every dash of a value stand for each of the five, wherever it stands.
//! - `neq` is the plain negation of its item, so it is true of a field that is missing.
//! - `exists` asks for the path: a field that is null exists.
//! - `gt`, `lte`, … also read numbers that are written as texts. With a time modifier they compare that part of the date.
//! - `re` finds its expression anywhere in the text. Syntax is that of the Rust `regex` crate: no look-around, no
//!   back-references. `\w`, `\d` and `\s` are ASCII, as in PCRE.
use super::finding::Found;
use super::value::{self, Placeholders, Utf16};
use crate::address;
use crate::condition::nearest;
use crate::like::date::DatePart;
use crate::like::glob::{Glob, Part};
use crate::like::{NumText, Pattern};
use crate::number::Num;
use crate::predicate::{OrderOp, TextOp};
use model::path::Seg;
use serde_json::Value as J;

/// Most values of one item.
pub const MAX_VALUES: usize = 10_000;

/// Every modifier.
const KNOWN: &[&str] = &[
    "all",
    "base64",
    "base64offset",
    "cased",
    "cidr",
    "contains",
    "day",
    "endswith",
    "exists",
    "expand",
    "fieldref",
    "gt",
    "gte",
    "hour",
    "i",
    "lt",
    "lte",
    "m",
    "minute",
    "month",
    "neq",
    "re",
    "s",
    "startswith",
    "utf16",
    "utf16be",
    "utf16le",
    "week",
    "wide",
    "windash",
    "year",
];

/// `Field|modifiers: values`, read.
#[derive(Clone, Debug)]
pub struct Item {
    /// The field; `None` = keywords.
    pub field: Option<String>,
    /// What is asked of it.
    pub ask: Ask,
    /// The opposite is asked (`neq`).
    pub negated: bool,
}

/// What is asked of a field.
#[derive(Clone, Debug)]
pub enum Ask {
    /// One of these values, or with `all` each of them.
    Values {
        /// The values.
        values: Vec<Wanted>,
        /// The modifier `all`.
        all: bool,
    },
    /// The field exists, or does not.
    Exists(bool),
    /// It compares with one of these fields, or with `all` each of them.
    Fields {
        /// How.
        op: TextOp,
        /// Ignoring case.
        fold: bool,
        /// The other fields.
        names: Vec<String>,
        /// The modifier `all`.
        all: bool,
    },
}

/// One value.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// `null`: missing or null.
    Null,
    /// One of these texts; `true` keeps the case.
    Text(Vec<Vec<Part>>, bool),
    /// Anything else.
    Other(Pattern),
}

impl Wanted {
    /// True for the empty text.
    pub fn is_empty(&self) -> bool {
        matches!(self, Wanted::Text(texts, _) if texts.len() == 1 && texts[0].is_empty())
    }

    /// As patterns; none for null.
    pub fn patterns(&self) -> Vec<Pattern> {
        match self {
            Wanted::Null => Vec::new(),
            Wanted::Text(texts, cased) => {
                texts.iter().map(|parts| Pattern::Glob(Glob::new(parts.clone(), *cased))).collect()
            }
            Wanted::Other(p) => vec![p.clone()],
        }
    }
}

/// A value on its way through the modifiers.
enum Val {
    Texts(Vec<Vec<Part>>),
    Bytes(Vec<Vec<u8>>),
}

/// What the modifiers of an item say together.
#[derive(Default)]
struct Chain<'k> {
    names: Vec<&'k str>,
    all: bool,
    cased: bool,
    negated: bool,
    expand: bool,
    /// `re`, with its flags.
    regex: Option<String>,
    cidr: bool,
    exists: bool,
    fieldref: bool,
    order: Option<OrderOp>,
    date: Option<DatePart>,
}

/// Read an item. Findings stand at its key.
pub fn item(key: &str, value: &J, placeholders: &Placeholders, found: &mut Found) -> Option<Item> {
    let mut parts = key.split('|');
    let field = parts.next().filter(|f| !f.is_empty()).map(String::from);
    let chain = chain(parts.collect(), found)?;
    let values: Vec<&J> = match value {
        J::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    if values.len() > MAX_VALUES {
        found.broken(format!("{} values, the limit is {MAX_VALUES}", values.len()), "use a lookup table");
        return None;
    }
    if field.is_none() && (chain.exists || chain.fieldref) {
        found.broken("`exists` and `fieldref` need a field", "write the name of the field before `|`");
        return None;
    }
    let negated = chain.negated;
    let ask = match &chain {
        c if c.exists => match values.as_slice() {
            [J::Bool(b)] => Ask::Exists(*b),
            [J::String(s)] if matches!(s.as_str(), "true" | "false" | "yes" | "no") => {
                Ask::Exists(s == "true" || s == "yes")
            }
            _ => {
                found.broken("`exists` takes true or false", "");
                return None;
            }
        },
        c if c.fieldref => fields(c, &values, found)?,
        c => Ask::Values { values: wanted(c, value, &values, field.is_none(), placeholders, found)?, all: c.all },
    };
    Some(Item { field, ask, negated })
}

fn chain<'k>(names: Vec<&'k str>, found: &mut Found) -> Option<Chain<'k>> {
    let mut c = Chain::default();
    for name in &names {
        let kind = [c.regex.is_some(), c.cidr, c.exists, c.fieldref].iter().filter(|b| **b).count();
        match *name {
            "all" => c.all = true,
            "cased" => c.cased = true,
            "neq" => c.negated = true,
            "expand" => c.expand = true,
            "re" if kind == 0 => c.regex = Some(String::new()),
            "cidr" if kind == 0 => c.cidr = true,
            "exists" if kind == 0 => c.exists = true,
            "fieldref" if kind == 0 => c.fieldref = true,
            "i" | "m" | "s" => match &mut c.regex {
                Some(flags) if !flags.contains(name) => flags.push_str(name),
                Some(_) => {}
                None => {
                    found.broken(format!("`{name}` belongs to a regular expression"), "write `re` before it");
                    return None;
                }
            },
            "lt" => c.order = Some(OrderOp::Less),
            "lte" => c.order = Some(OrderOp::LessOrEqual),
            "gt" => c.order = Some(OrderOp::Greater),
            "gte" => c.order = Some(OrderOp::GreaterOrEqual),
            "minute" => c.date = Some(DatePart::Minute),
            "hour" => c.date = Some(DatePart::Hour),
            "day" => c.date = Some(DatePart::Day),
            "week" => c.date = Some(DatePart::Week),
            "month" => c.date = Some(DatePart::Month),
            "year" => c.date = Some(DatePart::Year),
            known if KNOWN.contains(&known) && kind == 0 => {}
            "contains" | "startswith" | "endswith" if c.fieldref => {}
            known if KNOWN.contains(&known) => {
                found.broken(format!("the modifier `{known}` does not go with the ones before it"), "");
                return None;
            }
            unknown => {
                let near = nearest(unknown, KNOWN.iter().copied()).map(|n| format!("did you mean `{n}`?"));
                found.broken(format!("`{unknown}` is not a modifier"), &near.unwrap_or_default());
                return None;
            }
        }
    }
    let kinds = [c.regex.is_some(), c.cidr, c.exists, c.fieldref, c.order.is_some() || c.date.is_some()];
    let changes = names.iter().any(|n| {
        matches!(*n, "contains" | "startswith" | "endswith" | "windash" | "wide")
            || n.starts_with("base64")
            || n.starts_with("utf16")
    });
    if kinds.iter().filter(|k| **k).count() > 1 || (changes && kinds.iter().any(|k| *k) && !c.fieldref) {
        found.broken(format!("the modifiers `{}` do not go together", names.join("|")), "");
        return None;
    }
    c.names = names;
    Some(c)
}

/// `fieldref`.
fn fields(c: &Chain, values: &[&J], found: &mut Found) -> Option<Ask> {
    let names: Option<Vec<String>> = values.iter().map(|v| v.as_str().map(String::from)).collect();
    let Some(names) = names.filter(|n| !n.is_empty()) else {
        found.broken("`fieldref` takes names of fields", "");
        return None;
    };
    let op = c.names.iter().fold(TextOp::Equals, |op, name| match *name {
        "contains" => TextOp::Contains,
        "startswith" => TextOp::StartsWith,
        "endswith" => TextOp::EndsWith,
        _ => op,
    });
    Some(Ask::Fields { op, fold: !c.cased, names, all: c.all })
}

fn wanted(
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
    let texts = match c.expand {
        true => match value::parse_expand(&text, placeholders) {
            Ok(texts) => texts,
            Err(e) => {
                found.unsupported(e, "give the placeholder values in a file of `sigma_mappings`");
                return None;
            }
        },
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
