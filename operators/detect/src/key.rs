//! Key specifiers: how a detection names a value of the event.
//!
//! | Written | Means |
//! |---|---|
//! | `Key: name` | the top-level key `name` (dots are part of the name) |
//! | `DeepKey: [a, 0, b]` | nested keys and list indexes; a negative index counts from the end |
//! | `KeyPath: a.b[0].c`, `a[*].b`, `a."odd.key"` | the same as a path; `[*]` gives the list of all hits |
//! | `Enrichment: {Table, Selector, FieldPath}` | the field of the lookup row that the selector's value found |
//! | `FirstOf: [specifier, …]` | the first that is not null (an extension of this product) |
//!
//! A value is *missing* if its path does not exist. `[*]` leaves nulls out and is missing if nothing is left; the same
//! holds for an enrichment whose selector is a list. `KeyPath: p_enrichment.table.selector.field` is the enrichment.
use model::path::Seg;
use model::{Path, json};
use serde_json::Value as J;
use std::borrow::Cow;
use std::sync::Arc;

/// Most members of a `FirstOf`.
pub const MAX_FIRST_OF: usize = 16;

/// Names a value of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySpec {
    /// `Key`, `DeepKey`, `KeyPath`. The empty path is the root: inside a list comprehension, the element itself.
    Path(Path),
    /// `Enrichment`.
    Enrich(EnrichKey),
    /// `FirstOf`.
    FirstOf(Vec<KeySpec>),
}

/// A field of a lookup row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnrichKey {
    /// `LookupName` of the table.
    pub table: Arc<str>,
    /// Selector, as the table's `LogTypeMap` writes it.
    pub selector: Arc<str>,
    /// Path inside the row; `p_match` is the selector's value.
    pub field: Path,
}

impl KeySpec {
    /// From a path; `p_enrichment.table.selector.field` becomes the enrichment it is.
    pub fn path(path: Path) -> KeySpec {
        match path.0.as_slice() {
            [Seg::Key(root), Seg::Key(table), Seg::Key(selector), field @ ..]
                if &**root == "p_enrichment" && !field.is_empty() =>
            {
                KeySpec::Enrich(EnrichKey {
                    table: table.clone(),
                    selector: selector.clone(),
                    field: Path(field.to_vec()),
                })
            }
            _ => KeySpec::Path(path),
        }
    }
    /// Value in a whole event (or in an element, inside a list comprehension). `None` = missing.
    pub fn get<'a>(&self, root: &'a J) -> Option<Cow<'a, J>> {
        match self {
            KeySpec::Path(p) => at_path(root, p),
            KeySpec::Enrich(e) => e.get(root),
            KeySpec::FirstOf(specs) => specs.iter().find_map(|s| s.get(root).filter(|v| !v.is_null())),
        }
    }
    /// Every path this names in the event itself.
    pub fn paths<'a>(&'a self, out: &mut Vec<&'a Path>) {
        match self {
            KeySpec::Path(p) => out.push(p),
            KeySpec::Enrich(_) => {}
            KeySpec::FirstOf(specs) => specs.iter().for_each(|s| s.paths(out)),
        }
    }
}

impl EnrichKey {
    /// Value of the field in `p_enrichment` of a whole event.
    pub fn get<'a>(&self, root: &'a J) -> Option<Cow<'a, J>> {
        match root.get("p_enrichment")?.get(&*self.table)?.get(&*self.selector)? {
            J::Array(rows) => list(rows.iter().filter_map(|r| at_path(r, &self.field)).map(Cow::into_owned)),
            row => at_path(row, &self.field),
        }
    }
}

/// Value at a path, `[*]` as the list of all hits that are not null.
pub fn at_path<'a>(root: &'a J, path: &Path) -> Option<Cow<'a, J>> {
    if path.has_each() {
        list(json::get_all(root, path).into_iter().cloned())
    } else {
        json::get(root, &path.0).map(Cow::Borrowed)
    }
}

/// A list of hits: nulls left out, missing if empty.
pub fn list<'a>(values: impl Iterator<Item = J>) -> Option<Cow<'a, J>> {
    let hits: Vec<J> = values.filter(|v| !v.is_null()).collect();
    (!hits.is_empty()).then_some(Cow::Owned(J::Array(hits)))
}

/// Text of a value as a title or a dedup string shows it: strings bare, nothing for null, JSON for the rest.
pub fn text(value: &J) -> Cow<'_, str> {
    match value {
        J::Null => Cow::Borrowed(""),
        J::String(s) => Cow::Borrowed(s),
        other => Cow::Owned(other.to_string()),
    }
}

impl std::fmt::Display for KeySpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeySpec::Path(p) => write!(f, "{p}"),
            KeySpec::Enrich(e) => write!(f, "p_enrichment.{}.{}.{}", e.table, e.selector, e.field),
            KeySpec::FirstOf(specs) => {
                f.write_str("FirstOf(")?;
                for (i, s) in specs.iter().enumerate() {
                    write!(f, "{}{s}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn get(path: &str, event: &J) -> Option<J> {
        KeySpec::path(Path::parse(path).unwrap()).get(event).map(Cow::into_owned)
    }

    #[test]
    fn each_leaves_nulls_out_and_is_missing_when_empty() {
        let e = json!({"a": [{"b": 1}, {"b": null}, {}, {"b": [2]}], "none": [{}]});
        assert_eq!(get("a[*].b", &e), Some(json!([1, [2]])));
        assert_eq!(get("a[-1].b[0]", &e), Some(json!(2)));
        assert_eq!(get("none[*].b", &e), None);
        assert_eq!(get("x[*]", &e), None);
    }

    #[test]
    fn enrichment_reads_rows_and_lists_of_rows() {
        let e = json!({"p_enrichment": {"geo": {"ip": {"country": "DE"}, "ips": [{"country": "FR"}, {}, {"country": "US"}]}}});
        assert_eq!(get("p_enrichment.geo.ip.country", &e), Some(json!("DE")));
        assert_eq!(get("p_enrichment.geo.ips.country", &e), Some(json!(["FR", "US"])));
        assert_eq!(get("p_enrichment.geo.ips.city", &e), None);
        assert_eq!(get("p_enrichment.tor.ip.country", &e), None);
    }

    #[test]
    fn first_of_skips_null() {
        let k = KeySpec::FirstOf(["a", "b", "c"].map(|n| KeySpec::Path(Path::key(n))).to_vec());
        assert_eq!(k.get(&json!({"a": null, "b": 0, "c": 1})).unwrap().into_owned(), json!(0));
        assert_eq!(k.get(&json!({"a": null})), None);
    }
}
