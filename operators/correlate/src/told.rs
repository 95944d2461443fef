//! From what the signals made to a match like any other.
use crate::group::Hit;
use crate::held::Held;
use crate::rule::Correlation;
use detect::template::clip;
use model::{Match, time};
use serde_json::{Map, Value as J, json};

/// Log type of the matches of correlation rules.
pub const LOG_TYPE: &str = "Correlation";
/// Row ids of events that a match names, for each item.
pub const MAX_ROWS: usize = 10;

/// The match. Its dedup string is the value, its context says which signals made it; fields of its event are the
/// parts of the key by their names, and the context as `correlation`.
pub fn told(rule: &Correlation, hit: &Hit, now_ms: i64) -> Match {
    let (first, last) = (hit.signals.first(), hit.signals.last());
    let at = |h: Option<&Held>| h.map_or(now_ms, |h| h.at);
    let key: Map<String, J> = rule.labels.iter().cloned().zip(hit.key.1.iter().map(|v| json!(v))).collect();
    let mut context = Map::new();
    context.insert("key".into(), J::Object(key.clone()));
    context.insert("from".into(), json!(time::rfc3339_ms(at(first))));
    context.insert("to".into(), json!(time::rfc3339_ms(at(last))));
    if let Some(x) = hit.figure {
        context.insert("figure".into(), json!(x));
    }
    let items: Vec<J> = (0..rule.items.len()).map(|i| item(rule, i, hit)).collect();
    context.insert("items".into(), J::Array(items));
    let mut event = Map::new();
    for (label, value) in &key {
        put(&mut event, label, value.clone());
    }
    event.insert("correlation".into(), J::Object(context.clone()));
    let meta = &rule.meta;
    let dedup = match hit.key.1.join(":") {
        key if key.is_empty() => meta.name.clone(),
        key => key,
    };
    Match {
        pos: hit.pos,
        rule: meta.clone(),
        log_type: LOG_TYPE.into(),
        event_ms: at(last),
        now_ms,
        dedup: clip(dedup),
        title: clip(meta.name.clone()),
        severity: meta.severity,
        description: meta.description.clone(),
        reference: meta.reference.clone(),
        runbook: meta.runbook.clone(),
        context: Some(J::Object(context).to_string()),
        event: Some(J::Object(event).to_string()),
        ..Match::default()
    }
}

/// An item's signals. With `ReverseChronological` the newest are named.
fn item(rule: &Correlation, i: usize, hit: &Hit) -> J {
    let of: Vec<&Held> = hit.signals.iter().filter(|h| h.item as usize == i).collect();
    let row = |h: &&Held| format!("{:032x}", h.pos.row_id());
    let rows: Vec<String> = match rule.latest {
        false => of.iter().take(MAX_ROWS).map(row).collect(),
        true => of.iter().rev().take(MAX_ROWS).map(row).collect(),
    };
    let mut out = json!({ "id": rule.items[i].id, "rule": rule.items[i].rule, "count": of.len() });
    if let (Some(first), Some(last)) = (of.first(), of.last()) {
        out["first"] = json!(time::rfc3339_ms(first.at));
        out["last"] = json!(time::rfc3339_ms(last.at));
        out["rows"] = json!(rows);
    }
    out
}

/// Set a field whose name may have dots, as a path finds it.
fn put(event: &mut Map<String, J>, name: &str, value: J) {
    match name.split_once('.') {
        Some((head, rest)) if !head.is_empty() && !rest.is_empty() => {
            let inner = event.entry(head).or_insert_with(|| J::Object(Map::new()));
            match inner {
                J::Object(inner) => put(inner, rest, value),
                _ => drop(event.insert(name.into(), value)),
            }
        }
        _ => drop(event.insert(name.into(), value)),
    }
}
