//! Reads key specifiers and the lists of a YAML detection that are made of them.
use super::Expr;
use super::parse::parse_exprs;
use crate::condition::nearest;
use crate::key::{EnrichKey, KeySpec, MAX_FIRST_OF};
use model::path::Seg;
use model::{Path, Problem, Severity};
use serde_json::{Map, Value as J};

/// Settings of which one names a key.
pub(super) const KEY_KEYS: [&str; 5] = ["Key", "DeepKey", "KeyPath", "Enrichment", "FirstOf"];

/// Read a key specifier that stands alone (an item of `GroupBy`, a `KeyValue`).
pub fn parse_keyspec(v: &J, at: &str, problems: &mut Vec<Problem>) -> Option<KeySpec> {
    let Some(map) = v.as_object() else {
        let hint = "write a mapping such as `KeyPath: userIdentity.arn`";
        problems.push(Problem::at(at, format!("expected a key specifier, found {}", kind(v))).hint(hint));
        return None;
    };
    unknown_keys(map, &KEY_KEYS, at, problems);
    match keyspec(map, at, false, problems) {
        Ok(None) if !map.keys().any(|k| KEY_KEYS.contains(&k.as_str())) => {
            problems.push(Problem::at(at, "a key specifier is missing").hint("write Key, DeepKey or KeyPath"));
            None
        }
        Ok(spec) => spec,
        Err(()) => None,
    }
}

/// Read `GroupBy`.
pub fn parse_group_by(v: &J, at: &str, problems: &mut Vec<Problem>) -> Vec<KeySpec> {
    items(v, at, problems)
        .iter()
        .enumerate()
        .filter_map(|(i, item)| parse_keyspec(item, &format!("{at}[{i}]"), problems))
        .collect()
}

/// Read `AlertContext`: a list of `{KeyName, KeyValue: specifier}` with distinct names.
pub fn parse_alert_context(v: &J, at: &str, problems: &mut Vec<Problem>) -> Vec<(String, KeySpec)> {
    let mut out: Vec<(String, KeySpec)> = Vec::new();
    for (i, item) in items(v, at, problems).iter().enumerate() {
        let at = format!("{at}[{i}]");
        let Some(map) = item.as_object() else {
            problems.push(Problem::at(&at, format!("expected `KeyName` and `KeyValue`, found {}", kind(item))));
            continue;
        };
        unknown_keys(map, &["KeyName", "KeyValue"], &at, problems);
        let name = match map.get("KeyName") {
            Some(J::String(s)) if !s.is_empty() => Some(s.clone()),
            _ => {
                problems.push(Problem::at(&format!("{at}.KeyName"), "a text that is not empty is missing"));
                None
            }
        };
        let spec = match map.get("KeyValue") {
            Some(v) => parse_keyspec(v, &format!("{at}.KeyValue"), problems),
            None => {
                problems.push(Problem::at(&format!("{at}.KeyValue"), "a key specifier is missing"));
                None
            }
        };
        let (Some(name), Some(spec)) = (name, spec) else { continue };
        if out.iter().any(|(n, _)| *n == name) {
            problems.push(Problem::at(&format!("{at}.KeyName"), format!("`{name}` is used twice")));
        } else {
            out.push((name, spec));
        }
    }
    out
}

/// Read `DynamicSeverities`: a list of `{ChangeTo, Conditions: [expression, …]}`.
pub fn parse_dynamic_severities(v: &J, at: &str, problems: &mut Vec<Problem>) -> Vec<(Severity, Vec<Expr>)> {
    let mut out = Vec::new();
    for (i, item) in items(v, at, problems).iter().enumerate() {
        let at = format!("{at}[{i}]");
        let Some(map) = item.as_object() else {
            problems.push(Problem::at(&at, format!("expected `ChangeTo` and `Conditions`, found {}", kind(item))));
            continue;
        };
        unknown_keys(map, &["ChangeTo", "Conditions"], &at, problems);
        let severity = map.get("ChangeTo").and_then(J::as_str).and_then(Severity::parse);
        if severity.is_none() {
            let hint = "write Info, Low, Medium, High or Critical";
            problems.push(Problem::at(&format!("{at}.ChangeTo"), "this is not a severity").hint(hint));
        }
        let conditions = match map.get("Conditions") {
            Some(c) => parse_exprs(c, &format!("{at}.Conditions"), problems),
            None => {
                problems.push(Problem::at(&format!("{at}.Conditions"), "a list of match expressions is missing"));
                continue;
            }
        };
        out.extend(severity.map(|s| (s, conditions)));
    }
    out
}

/// Items of a list; anything else is a finding.
pub(super) fn items<'a>(v: &'a J, at: &str, problems: &mut Vec<Problem>) -> &'a [J] {
    match v {
        J::Array(a) => a,
        other => {
            problems.push(Problem::at(at, format!("expected a list, found {}", kind(other))));
            &[]
        }
    }
}

/// What a value is, in a message.
pub(super) fn kind(v: &J) -> &'static str {
    match v {
        J::Null => "nothing",
        J::Bool(_) => "true or false",
        J::Number(_) => "a number",
        J::String(_) => "a text",
        J::Array(_) => "a list",
        J::Object(_) => "a mapping",
    }
}

/// Report keys that are not known, with the nearest that is.
pub(super) fn unknown_keys(map: &Map<String, J>, known: &[&str], at: &str, problems: &mut Vec<Problem>) {
    for k in map.keys().filter(|k| !known.contains(&k.as_str())) {
        let p = Problem::at(&format!("{at}.{k}"), format!("`{k}` is not a key that is known here"));
        problems.push(match nearest(k, known.iter().copied()) {
            Some(n) => p.hint(format!("did you mean `{n}`?")),
            None => p.hint(format!("known are {}", known.join(", "))),
        });
    }
}

/// The key specifier of a mapping: `Ok(None)` if there is none, `Err` if there is one but it is wrong (reported).
pub(super) fn keyspec(
    map: &Map<String, J>,
    at: &str,
    nested: bool,
    problems: &mut Vec<Problem>,
) -> Result<Option<KeySpec>, ()> {
    let mut given = KEY_KEYS.iter().filter_map(|k| Some((*k, map.get(*k)?)));
    let Some((name, v)) = given.next() else { return Ok(None) };
    if let Some((other, _)) = given.next() {
        problems.push(Problem::at(at, format!("`{name}` and `{other}` both name a key; keep one")));
        return Err(());
    }
    let at = format!("{at}.{name}");
    let spec = match name {
        "Key" => match v.as_str() {
            Some(s) if !s.is_empty() => Ok(KeySpec::Path(Path::key(s))),
            _ => Err(Problem::at(&at, "expected the name of a key")),
        },
        "KeyPath" => match v.as_str() {
            Some(s) => Path::parse(s).map(KeySpec::path).map_err(|e| Problem::at(&at, e)),
            None => Err(Problem::at(&at, format!("expected a path such as `a.b[0].c`, found {}", kind(v)))),
        },
        "DeepKey" => deep_key(v).map(KeySpec::path).map_err(|e| Problem::at(&at, e)),
        "Enrichment" => return enrichment(v, &at, problems).map(|e| Some(KeySpec::Enrich(e))),
        _ if nested => Err(Problem::at(&at, "FirstOf inside FirstOf").hint("write one list")),
        _ => return first_of(v, &at, problems).map(Some),
    };
    spec.map(Some).map_err(|p| problems.push(p))
}

fn deep_key(v: &J) -> Result<Path, String> {
    let list = v.as_array().filter(|a| !a.is_empty()).ok_or("expected a list of keys and indexes")?;
    let seg = |item: &J| match item {
        J::String(s) => Ok(Seg::Key(s.as_str().into())),
        J::Number(n) => n.as_i64().map(Seg::Index).ok_or(format!("`{n}` is not an index")),
        other => Err(format!("expected a key or an index, found {}", kind(other))),
    };
    match list.iter().map(seg).collect::<Result<Vec<Seg>, String>>()? {
        segs if matches!(segs[0], Seg::Key(_)) => Ok(Path(segs)),
        _ => Err("the first item must be a key".into()),
    }
}

fn enrichment(v: &J, at: &str, problems: &mut Vec<Problem>) -> Result<EnrichKey, ()> {
    let Some(map) = v.as_object() else {
        problems.push(Problem::at(at, "expected `Table`, `Selector` and `FieldPath`"));
        return Err(());
    };
    let before = problems.len();
    unknown_keys(map, &["Table", "Selector", "FieldPath"], at, problems);
    let mut text = |k: &str| match map.get(k).and_then(J::as_str) {
        Some(s) if !s.is_empty() => s,
        _ => {
            problems.push(Problem::at(&format!("{at}.{k}"), "a text is missing"));
            ""
        }
    };
    let (table, selector, field) = (text("Table"), text("Selector"), text("FieldPath"));
    let field = match Path::parse(field) {
        Ok(p) => p,
        Err(e) => {
            if !field.is_empty() {
                problems.push(Problem::at(&format!("{at}.FieldPath"), e));
            }
            Path::default()
        }
    };
    if problems.len() > before {
        return Err(());
    }
    Ok(EnrichKey { table: table.into(), selector: selector.into(), field })
}

fn first_of(v: &J, at: &str, problems: &mut Vec<Problem>) -> Result<KeySpec, ()> {
    let list = items(v, at, problems);
    if list.is_empty() || list.len() > MAX_FIRST_OF {
        problems.push(Problem::at(at, format!("expected a list of 1 to {MAX_FIRST_OF} key specifiers")));
        return Err(());
    }
    let mut specs = Vec::new();
    for (i, item) in list.iter().enumerate() {
        let at = format!("{at}[{i}]");
        let Some(map) = item.as_object() else {
            problems.push(Problem::at(&at, format!("expected a key specifier, found {}", kind(item))));
            continue;
        };
        unknown_keys(map, &KEY_KEYS, &at, problems);
        match keyspec(map, &at, true, problems) {
            Ok(Some(s)) => specs.push(s),
            Ok(None) => problems.push(Problem::at(&at, "a key specifier is missing")),
            Err(()) => {}
        }
    }
    if specs.len() == list.len() { Ok(KeySpec::FirstOf(specs)) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_of_a_rule() {
        let mut p = Vec::new();
        let g = parse_group_by(
            &json!([{"Key": "a.b"}, {"DeepKey": ["x", -1, "y"]}, {"KeyPath": "p_enrichment.geo.ip.country"}]),
            "GroupBy",
            &mut p,
        );
        assert_eq!(
            g.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["\"a.b\"", "x[-1].y", "p_enrichment.geo.ip.country"]
        );
        assert!(matches!(g[2], KeySpec::Enrich(_)));
        let c = parse_alert_context(&json!([{"KeyName": "ip", "KeyValue": {"Key": "a"}}]), "AlertContext", &mut p);
        assert_eq!(c[0].0, "ip");
        let d = parse_dynamic_severities(
            &json!([{"ChangeTo": "High", "Conditions": [{"Key": "a", "Condition": "Exists"}]}]),
            "D",
            &mut p,
        );
        assert_eq!(d[0].0, Severity::High);
        assert_eq!(p, []);
        parse_alert_context(
            &json!([{"KeyName": "x", "KeyValue": {"Key": "a"}}, {"KeyName": "x", "KeyValue": {"Key": "b"}}, {"KeyName": ""}]),
            "AlertContext",
            &mut p,
        );
        assert_eq!(p.len(), 3);
        parse_dynamic_severities(&json!([{"ChangeTo": "Hot", "Conditions": []}, {"Changeto": "Low"}]), "D", &mut p);
        assert_eq!(p.len(), 8);
        parse_group_by(&json!([{"DeepKey": [0, "a"]}, {"KeyPath": "a..b"}, {}, 3]), "GroupBy", &mut p);
        assert_eq!(p.len(), 12);
    }
}
