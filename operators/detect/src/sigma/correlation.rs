//! A Sigma correlation: what it counts, over which rules, in which time.
//!
//! Read here, so that a collection is checked as a whole; run by the crate `correlate`. Source of the language: Sigma
//! correlation rules specification 2.1 (`event_count`, `value_count`, `temporal`, `temporal_ordered` and the `value_*`
//! figures). Rules are named by `id` or by `name`, and may be correlations themselves. `generate` may stand beside
//! `correlation` or in it; without it, the rules that are named make no alerts of their own where the correlation is run.
use super::document::{Content, Document};
use super::finding::{Finding, Found, Kind as FindingKind};
use super::rule::{list, meta, status, text};
use model::RuleMeta;
use serde_json::{Map, Value as J};
use std::collections::BTreeMap;

/// Most rules, fields and aliases of a correlation.
pub const MAX_NAMES: usize = 100;

/// A correlation that was read.
#[derive(Clone, Debug)]
pub struct SigmaCorrelation {
    /// Facts that every match carries.
    pub meta: RuleMeta,
    /// `name`, by which others may refer to it.
    pub name: Option<String>,
    /// `type`.
    pub kind: Kind,
    /// `rules`: ids or names.
    pub rules: Vec<String>,
    /// `group-by`.
    pub group_by: Vec<String>,
    /// `timespan`, milliseconds.
    pub timespan_ms: i64,
    /// `condition`, without its field: operator and number, in the order as written.
    pub condition: Vec<(Operator, f64)>,
    /// `condition.field`.
    pub field: Option<String>,
    /// `condition.percentile`.
    pub percentile: f64,
    /// `aliases`: alias → name of a rule → field.
    pub aliases: BTreeMap<String, BTreeMap<String, String>>,
    /// `generate`: its rules alert also by themselves.
    pub generate: bool,
}

/// `type` of a correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How many events.
    EventCount,
    /// How many different values of a field.
    ValueCount,
    /// All rules match, in any order.
    Temporal,
    /// All rules match, in the order in which they are named.
    TemporalOrdered,
    /// The sum of a field.
    ValueSum,
    /// The mean of a field.
    ValueAvg,
    /// A percentile of a field.
    ValuePercentile,
    /// The median of a field.
    ValueMedian,
}

const KINDS: &[(&str, Kind)] = &[
    ("event_count", Kind::EventCount),
    ("value_count", Kind::ValueCount),
    ("temporal", Kind::Temporal),
    ("temporal_ordered", Kind::TemporalOrdered),
    ("value_sum", Kind::ValueSum),
    ("value_avg", Kind::ValueAvg),
    ("value_percentile", Kind::ValuePercentile),
    ("value_median", Kind::ValueMedian),
];

/// A comparison of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `gt`
    Gt,
    /// `gte`
    Gte,
    /// `lt`
    Lt,
    /// `lte`
    Lte,
    /// `eq`
    Eq,
    /// `neq`
    Neq,
}

const OPERATORS: &[(&str, Operator)] = &[
    ("gt", Operator::Gt),
    ("gte", Operator::Gte),
    ("lt", Operator::Lt),
    ("lte", Operator::Lte),
    ("eq", Operator::Eq),
    ("neq", Operator::Neq),
];

const KEYS: &[&str] = &["aliases", "condition", "generate", "group-by", "rules", "timespan", "type"];

/// Read a correlation. `None` if something stands in the way; it is among the findings.
pub fn correlation(map: &Map<String, J>, found: &mut Found) -> Option<SigmaCorrelation> {
    status(map, found);
    if found.stops() {
        return None;
    }
    let (meta, name) = (meta(map, found), text(map, "name", found));
    let outer = flag(map, found);
    let out = found.at_key("correlation", |found| {
        let Some(J::Object(c)) = map.get("correlation") else {
            found.broken("must be a mapping", "write `type`, `rules`, `group-by`, `timespan` and `condition`");
            return None;
        };
        for key in c.keys().filter(|k| !KEYS.contains(&k.as_str())) {
            found.at_key(key, |found| {
                found.broken("is not a key of a correlation", &format!("there are {}", KEYS.join(", ")))
            });
        }
        let kind = kind(c, found)?;
        let (rules, group_by) = (list(c, "rules", found), list(c, "group-by", found));
        if rules.is_empty() {
            found.broken("names no rules", "write `rules: [id or name]`");
        }
        if rules.len().max(group_by.len()) > MAX_NAMES {
            found.broken(format!("names more than {MAX_NAMES} rules or fields"), "");
        }
        let timespan_ms = timespan(c, found).unwrap_or(1);
        let aliases = aliases(c, found);
        let inner = flag(c, found);
        let mut out = SigmaCorrelation {
            meta,
            name,
            kind,
            rules,
            group_by,
            timespan_ms,
            condition: Vec::new(),
            field: None,
            percentile: 50.0,
            aliases,
            generate: inner.or(outer).unwrap_or(false),
        };
        found.at_key("condition", |found| condition(c.get("condition"), &mut out, found));
        Some(out)
    });
    out.filter(|_| !found.stops())
}

fn flag(map: &Map<String, J>, found: &mut Found) -> Option<bool> {
    match map.get("generate")? {
        J::Bool(b) => Some(*b),
        _ => {
            found.at_key("generate", |found| found.broken("must be true or false", ""));
            None
        }
    }
}

fn kind(c: &Map<String, J>, found: &mut Found) -> Option<Kind> {
    let name = text(c, "type", found).unwrap_or_default();
    let kind = KINDS.iter().find(|(n, _)| *n == name).map(|(_, k)| *k);
    if kind.is_none() {
        let names: Vec<&str> = KINDS.iter().map(|(n, _)| *n).collect();
        found.at_key("type", |found| {
            found.broken(format!("cannot be `{name}`"), &format!("one of {}", names.join(", ")))
        });
    }
    kind
}

fn timespan(c: &Map<String, J>, found: &mut Found) -> Option<i64> {
    let text = text(c, "timespan", found).unwrap_or_default();
    let unit = |u| match u {
        's' => Some(1_000),
        'm' => Some(60_000),
        'h' => Some(3_600_000),
        'd' => Some(86_400_000),
        _ => None,
    };
    let read = || {
        let last = text.chars().last()?;
        let n: i64 = text[..text.len() - last.len_utf8()].parse::<i64>().ok().filter(|n| *n > 0)?;
        n.checked_mul(unit(last)?)
    };
    let out = read();
    if out.is_none() {
        found.at_key("timespan", |found| {
            found.broken(format!("cannot be `{text}`"), "write a number and s, m, h or d: `15m`")
        });
    }
    out
}

fn aliases(c: &Map<String, J>, found: &mut Found) -> BTreeMap<String, BTreeMap<String, String>> {
    let field = |v: &J| v.as_str().map(String::from);
    let one =
        |v: &J| v.as_object()?.iter().map(|(r, f)| Some((r.clone(), field(f)?))).collect::<Option<BTreeMap<_, _>>>();
    let all = match c.get("aliases") {
        None | Some(J::Null) => return BTreeMap::new(),
        Some(J::Object(o)) => o.iter().map(|(a, v)| Some((a.clone(), one(v)?))).collect::<Option<BTreeMap<_, _>>>(),
        Some(_) => None,
    };
    all.filter(|a| a.len() <= MAX_NAMES).unwrap_or_else(|| {
        found.at_key("aliases", |found| {
            found.broken(
                "must map an alias to names of rules and their fields",
                "`aliases: {ip: {rule_name: source.ip}}`",
            )
        });
        BTreeMap::new()
    })
}

fn condition(v: Option<&J>, out: &mut SigmaCorrelation, found: &mut Found) {
    let temporal = matches!(out.kind, Kind::Temporal | Kind::TemporalOrdered);
    let map = match v {
        None | Some(J::Null) if temporal => return,
        Some(J::Object(map)) => map,
        Some(J::String(_)) => {
            return found
                .unsupported("a condition that is an expression over rules", "name the rules in several correlations");
        }
        _ => return found.broken("must be a mapping", "write `condition: {gte: 10}`"),
    };
    for (key, v) in map {
        let operator = OPERATORS.iter().find(|(n, _)| n == key).map(|(_, o)| *o);
        match (key.as_str(), operator) {
            (_, Some(o)) => match v.as_f64() {
                Some(n) => out.condition.push((o, n)),
                None => found.at_key(key, |found| found.broken("must be a number", "")),
            },
            ("field", _) => match v {
                J::String(f) => out.field = Some(f.clone()),
                J::Array(a) if a.len() == 1 && a[0].is_string() => out.field = a[0].as_str().map(String::from),
                J::Array(_) => found.unsupported("several fields in a condition", "count one of them"),
                _ => found.at_key(key, |found| found.broken("must be a text", "")),
            },
            ("percentile", _) => match v.as_f64().filter(|p| *p > 0.0 && *p <= 100.0) {
                Some(p) => out.percentile = p,
                None => found.at_key(key, |found| found.broken("must be a number above 0, and at most 100", "")),
            },
            _ => found.at_key(key, |found| {
                found.broken("is not a key of a condition", "there are gt, gte, lt, lte, eq, neq, field, percentile")
            }),
        }
    }
    if out.condition.is_empty() {
        found.broken("compares with nothing", "write `condition: {gte: 10}`");
    }
    let wants = !temporal && out.kind != Kind::EventCount;
    match (wants, &out.field) {
        (true, None) => found.broken("has no `field`", "name the field whose values are looked at"),
        (false, Some(_)) => found.broken("has a `field`, which this type does not look at", ""),
        _ => {}
    }
    if map.contains_key("percentile") && out.kind != Kind::ValuePercentile {
        found.broken("has a `percentile`, which is for `value_percentile`", "");
    }
    if out.kind == Kind::ValuePercentile && !map.contains_key("percentile") {
        found.broken("has no `percentile`", "write which one: `percentile: 95`");
    }
}

/// The document that a correlation names: a rule or a correlation, by id or by name.
pub fn named<'a>(documents: &'a [Document], reference: &str) -> Option<&'a Document> {
    let of = |d: &&Document| match &d.content {
        Content::Rule(r) => *r.meta.id == *reference || r.name.as_deref() == Some(reference),
        Content::Correlation(c) => *c.meta.id == *reference || c.name.as_deref() == Some(reference),
        _ => false,
    };
    documents.iter().find(of)
}

/// What is wrong with a correlation only among the documents it stands with: rules that are not here.
pub fn missing(c: &SigmaCorrelation, documents: &[Document], line: u32) -> Vec<Finding> {
    let gone = c.rules.iter().filter(|r| named(documents, r).is_none());
    gone.map(|r| Finding {
        kind: FindingKind::Unsupported,
        line,
        col: 1,
        reason: format!("it names the rule `{r}`, which is not here or not run"),
        hint: Some("load the rule beside it; a rule is named by its `id` or `name`".into()),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(correlation_: J) -> (Option<SigmaCorrelation>, Vec<String>) {
        let mut found = Found::default();
        let map = json!({"title": "T", "correlation": correlation_});
        let out = correlation(map.as_object().unwrap(), &mut found);
        (out, found.placed("", 0).into_iter().map(|f| format!("{:?}: {}", f.kind, f.reason)).collect())
    }

    #[test]
    fn the_eight_types_are_read() {
        for (name, kind) in KINDS {
            let mut c =
                json!({"type": name, "rules": ["a"], "group-by": ["User"], "timespan": "90m", "condition": {"gte": 3}});
            if name.starts_with("value") {
                c["condition"]["field"] = json!("x");
            }
            if *kind == Kind::ValuePercentile {
                c["condition"]["percentile"] = json!(95);
            }
            let (out, found) = read(c);
            let out = out.unwrap_or_else(|| panic!("{name}: {found:?}"));
            assert_eq!(
                (out.kind, out.timespan_ms, out.condition.as_slice()),
                (*kind, 5_400_000, &[(Operator::Gte, 3.0)][..])
            );
            assert!(!out.generate && found.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let good =
            json!({"type": "event_count", "rules": ["a"], "group-by": ["u"], "timespan": "1h", "condition": {"gt": 1}});
        for (key, v, want) in [
            ("type", json!("count"), "Broken: `correlation.type`: cannot be `count`"),
            ("rules", json!([]), "Broken: `correlation`: names no rules"),
            ("timespan", json!("1w"), "Broken: `correlation.timespan`: cannot be `1w`"),
            ("timespan", json!("0s"), "Broken: `correlation.timespan`: cannot be `0s`"),
            ("condition", json!({}), "Broken: `correlation.condition`: compares with nothing"),
            ("condition", json!({"gt": "x"}), "Broken: `correlation.condition.gt`: must be a number"),
            ("condition", json!({"gt": 1, "field": "x"}), "Broken: `correlation.condition`: has a `field`"),
            ("condition", json!("a and b"), "Unsupported: a condition that is an expression"),
            ("aliases", json!({"a": "b"}), "Broken: `correlation.aliases`: must map"),
            ("window", json!(1), "Broken: `correlation.window`: is not a key"),
            ("generate", json!("no"), "Broken: `correlation.generate`: must be true or false"),
        ] {
            let mut c = good.clone();
            c[key] = v;
            let (out, found) = read(c);
            assert!(out.is_none() && found.iter().any(|f| f.starts_with(want)), "{key}: {found:?}");
        }
        let mut c = good;
        c["type"] = json!("value_count");
        assert_eq!(read(c).1, ["Broken: `correlation.condition`: has no `field`"]);
    }
}
