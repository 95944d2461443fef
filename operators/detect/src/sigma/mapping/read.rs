//! Mapping files, read key by key.
use super::{LogSource, Shape, Target};
use crate::condition::nearest;
use crate::sigma::finding::Found;
use crate::sigma::modifier::item;
use crate::sigma::rule::logsource;
use crate::sigma::value::{self, Placeholders};
use model::Path;
use model::path::Seg;
use serde_json::{Map, Value as J};

/// The sources and placeholders of a file.
pub fn read(v: &J, found: &mut Found) -> (Vec<(LogSource, Vec<Shape>)>, Placeholders) {
    let Some(map) = v.as_object() else {
        found.broken("a mapping file is a mapping of keys to values", "write `sources:` or `placeholders:`");
        return Default::default();
    };
    // `definitions` may hold what anchors refer to.
    names(map, &["sources", "placeholders", "definitions"], found);
    let sources =
        found.at_key("sources", |found| each(map.get("sources"), found, source).into_iter().flatten().collect());
    let placeholders = found.at_key("placeholders", |found| placeholders(map.get("placeholders"), found));
    (sources, placeholders)
}

fn placeholders(v: Option<&J>, found: &mut Found) -> Placeholders {
    let mut out = Placeholders::new();
    for (name, values) in v.and_then(J::as_object).into_iter().flatten() {
        let list = match values {
            J::Array(list) if list.iter().all(|v| !v.is_array() && !v.is_object() && !v.is_null()) => {
                list.iter().map(|v| crate::key::text(v).into_owned()).collect()
            }
            J::String(one) => vec![one.clone()],
            _ => {
                found.at_key(name, |found| found.broken("must be a text, or a list of texts", ""));
                continue;
            }
        };
        out.insert(name.clone(), list);
    }
    out
}

/// One entry of `sources`: its log sources, each with all shapes.
fn source(map: &Map<String, J>, found: &mut Found) -> Vec<(LogSource, Vec<Shape>)> {
    names(map, &["logsource", "shapes"], found);
    let sources: Vec<LogSource> = found.at_key("logsource", |found| match map.get("logsource") {
        Some(J::Array(list)) => {
            let one = |(i, v): (usize, &J)| found.inside(Seg::Index(i as i64), |found| logsource(Some(v), found));
            list.iter().enumerate().filter_map(one).collect()
        }
        one => logsource(one, found).into_iter().collect(),
    });
    let shapes: Vec<Shape> =
        found.at_key("shapes", |found| each(map.get("shapes"), found, shape).into_iter().flatten().collect());
    sources.into_iter().map(|l| (l, shapes.clone())).collect()
}

fn shape(map: &Map<String, J>, found: &mut Found) -> Option<Shape> {
    names(map, &["log_type", "when", "fields", "strict", "keywords"], found);
    let Some(log_type) = map.get("log_type").and_then(J::as_str) else {
        found.broken("`log_type` is missing", "write `log_type: Vendor.Type`");
        return None;
    };
    let none = Placeholders::new();
    let when = found.at_key("when", |found| {
        let all = map.get("when").and_then(J::as_object).into_iter().flatten();
        let one = |(key, v): (&String, &J)| found.at_key(key, |found| item(key, v, &none, found));
        all.map(one).collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
    })?;
    if when.iter().any(|i| i.field.is_none()) {
        found.broken("`when` asks for fields", "");
        return None;
    }
    let fields = found.at_key("fields", |found| {
        let all = map.get("fields").and_then(J::as_object).into_iter().flatten();
        all.map(|(name, v)| (name.clone(), found.at_key(name, |found| targets(v, found)))).collect()
    });
    let keywords = map.get("keywords").map(|v| found.at_key("keywords", |found| targets(v, found)));
    let strict = map.get("strict").and_then(J::as_bool).unwrap_or(false);
    Some(Shape { log_type: log_type.into(), when, fields, strict, keywords })
}

fn targets(v: &J, found: &mut Found) -> Vec<Target> {
    match v {
        J::Array(list) => list.iter().filter_map(|v| target(v, found)).collect(),
        one => target(one, found).into_iter().collect(),
    }
}

fn target(v: &J, found: &mut Found) -> Option<Target> {
    let mut path = |text: Option<&str>| match Path::parse(text.unwrap_or_default()) {
        Ok(p) => Some(p),
        Err(e) => {
            found.broken(e, "write a path such as `actor.id`");
            None
        }
    };
    match v {
        J::Object(map) => {
            let path = path(map.get("path").and_then(J::as_str))?;
            names(map, &["path", "form"], found);
            let forms: Vec<&str> = match map.get("form") {
                Some(J::Array(list)) => list.iter().filter_map(J::as_str).collect(),
                one => one.and_then(J::as_str).into_iter().collect(),
            };
            let split = |f: &&str| f.split_once("{}").map(|(a, b)| (value::parse(a), value::parse(b)));
            let forms: Option<Vec<_>> = forms.iter().map(split).collect();
            match forms.filter(|f| !f.is_empty()) {
                Some(forms) => Some(Target { path, forms }),
                None => {
                    found.broken("`form` needs `{}` where the value stands", "for example `form: '{} *'`");
                    None
                }
            }
        }
        v => path(v.as_str()).map(Target::whole),
    }
}

/// Read the mappings of a list.
fn each<T>(v: Option<&J>, found: &mut Found, read: fn(&Map<String, J>, &mut Found) -> T) -> Vec<T> {
    let list = match v {
        None | Some(J::Null) => return Vec::new(),
        Some(J::Array(list)) => list,
        Some(_) => {
            found.broken("must be a list", "");
            return Vec::new();
        }
    };
    let one = |(i, v): (usize, &J)| {
        found.inside(Seg::Index(i as i64), |found| match v {
            J::Object(map) => Some(read(map, found)),
            _ => {
                found.broken("must be a mapping", "");
                None
            }
        })
    };
    list.iter().enumerate().filter_map(one).collect()
}

/// Unknown keys of a mapping file are mistakes.
fn names(map: &Map<String, J>, known: &[&str], found: &mut Found) {
    for key in map.keys().filter(|k| !known.contains(&k.as_str())) {
        let hint = match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        found.at_key(key, |found| found.broken("is not known here", &hint));
    }
}
