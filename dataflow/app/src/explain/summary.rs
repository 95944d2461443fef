//! `SummaryAttributes`: which values the events of an alert have most often.
use model::Path;
use serde_json::Value as J;
use std::collections::{BTreeMap, BTreeSet};

/// Values of an attribute that are told.
const TOP: usize = 5;
/// Different values of an attribute that are counted; later ones are not.
const COUNTED_MAX: usize = 10_000;

/// The most frequent values of each attribute with the number of events that have them, the most frequent first. Without
/// attributes, of every indicator (`p_any_…`).
pub fn summary<'a>(
    attributes: &[String],
    events: impl Iterator<Item = &'a J> + Clone,
) -> BTreeMap<String, Vec<(String, u64)>> {
    let indicators = |e: &'a J| e.as_object().into_iter().flat_map(|o| o.keys()).filter(|k| k.starts_with("p_any_"));
    let names: BTreeSet<String> = match attributes {
        [] => events.clone().flat_map(indicators).cloned().collect(),
        some => some.iter().cloned().collect(),
    };
    let mut out = BTreeMap::new();
    for name in names {
        let Ok(path) = Path::parse(&name) else { continue };
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for event in events.clone() {
            let mut values = BTreeSet::new();
            model::json::get_all(event, &path).into_iter().for_each(|v| texts(v, &mut values));
            for v in values {
                if let Some(n) = counts.get_mut(&v) {
                    *n += 1;
                } else if counts.len() < COUNTED_MAX {
                    counts.insert(v, 1);
                }
            }
        }
        let mut top: Vec<(String, u64)> = counts.into_iter().collect();
        // Equal counts stay in the order of their values.
        top.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        top.truncate(TOP);
        if !top.is_empty() {
            out.insert(name, top);
        }
    }
    out
}

/// A value as text; of a list, those of its members.
fn texts(v: &J, out: &mut BTreeSet<String>) {
    match v {
        J::Null => {}
        J::String(s) => drop(out.insert(s.clone())),
        J::Array(list) => list.iter().for_each(|v| texts(v, out)),
        v => drop(out.insert(v.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_most_frequent_values_come_first() {
        let event = |n: u64| json!({"a": {"b": n % 7}, "p_any_ips": ["x", format!("y{}", n % 2)], "c": null});
        let events: Vec<J> = (0..20).map(event).collect();
        let of = |names: &[&str]| summary(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>(), events.iter());
        let some = of(&["a.b", "c", "gone"]);
        assert_eq!(some.keys().collect::<Vec<_>>(), ["a.b"]);
        let want = [("0", 3), ("1", 3), ("2", 3), ("3", 3), ("4", 3)];
        assert_eq!(some["a.b"], want.map(|(v, n)| (v.to_string(), n)));
        let all = of(&[]);
        assert_eq!(all["p_any_ips"], [("x", 20), ("y0", 10), ("y1", 10)].map(|(v, n)| (v.to_string(), n)));
    }
}
