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
mod chain;
mod values;

use super::finding::Found;
use super::value::Placeholders;
use crate::like::Pattern;
use crate::like::glob::{Glob, Part};
use crate::predicate::TextOp;
use chain::{Chain, chain};
use serde_json::Value as J;
use values::wanted;

/// Most values of one item.
pub const MAX_VALUES: usize = 10_000;

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
