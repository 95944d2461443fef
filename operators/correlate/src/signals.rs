//! From a match to the signals that it is: one for each rule that watches its detection, each item, and each value.
//!
//! A value is a string, a number or a boolean; numbers and booleans are compared by their text, so that `17` and `"17"` are one
//! value. A list stands for each of its members, so lists meet where they share one. Null, missing, objects and empty lists join
//! nothing: such a match is no signal of the item.
use crate::rule::{Correlation, Part, Place};
use detect::key::{KeySpec, text};
use model::path::Seg;
use model::{Match, Path, Signal};
use serde_json::Value as J;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values of one match for one item that are looked at; of a key of several parts, combinations of values. What is above is
/// counted as `values_over_limit`.
pub const MAX_VALUES: usize = 100;

/// Who watches which detection.
pub struct Watch {
    rules: Arc<[Correlation]>,
    /// Detection → rule and item.
    of: BTreeMap<Arc<str>, Vec<(usize, usize)>>,
}

/// What a match holds, taken apart when somebody asks.
struct View<'a> {
    m: &'a Match,
    event: Option<J>,
    context: Option<J>,
}

impl View<'_> {
    fn get(&mut self, place: &Place) -> Option<Cow<'_, J>> {
        if place.log_type.as_ref().is_some_and(|t| *t != self.m.log_type) {
            return None;
        }
        let parse = |text: &Option<String>| text.as_deref().and_then(|t| serde_json::from_str(t).ok());
        match of_context(&place.field) {
            Some(inner) => {
                let context = self.context.get_or_insert_with(|| parse(&self.m.context).unwrap_or(J::Null));
                inner.get(context)
            }
            None => {
                let event = self.event.get_or_insert_with(|| parse(&self.m.event).unwrap_or(J::Null));
                place.field.get(event)
            }
        }
    }

    /// The texts that stand at every place of a part, as far as the place is for the log type.
    fn values(&mut self, part: &Part) -> Vec<String> {
        let mut out: Option<Vec<String>> = None;
        for place in &part.all {
            if place.log_type.as_ref().is_some_and(|t| *t != self.m.log_type) {
                continue;
            }
            let here = self.get(place).map(|v| texts(&v)).unwrap_or_default();
            out = Some(match out {
                None => here,
                Some(all) => all.into_iter().filter(|v| here.contains(v)).collect(),
            });
        }
        out.unwrap_or_default()
    }
}

/// The field inside an alert context, if the field is in one.
pub fn of_context(field: &KeySpec) -> Option<KeySpec> {
    match field {
        KeySpec::Path(Path(segs)) => match segs.as_slice() {
            [Seg::Key(root), rest @ ..] if &**root == "p_alert_context" => Some(KeySpec::Path(Path(rest.to_vec()))),
            _ => None,
        },
        _ => None,
    }
}

/// What a value stands for, without repetitions.
fn texts(v: &J) -> Vec<String> {
    let one = |v: &J| (!v.is_null() && !v.is_object() && !v.is_array()).then(|| text(v).into_owned());
    let mut out: Vec<String> = match v {
        J::Array(list) => list.iter().filter_map(one).collect(),
        v => one(v).into_iter().collect(),
    };
    let mut seen = std::collections::BTreeSet::new();
    out.retain(|t| seen.insert(t.clone()));
    out
}

impl Watch {
    /// For these rules.
    pub fn new(rules: Arc<[Correlation]>) -> Watch {
        let mut of: BTreeMap<Arc<str>, Vec<(usize, usize)>> = BTreeMap::new();
        for (r, rule) in rules.iter().enumerate() {
            for (i, item) in rule.items.iter().enumerate() {
                of.entry(item.rule.clone()).or_default().push((r, i));
            }
        }
        Watch { rules, of }
    }

    /// The signals that a match is. The failure of a rule is none.
    pub fn signals(&self, m: &Match, mut f: impl FnMut(Signal)) {
        let Some(list) = self.of.get(&m.rule.id).filter(|_| m.error.is_none()) else { return };
        let mut view = View { m, event: None, context: None };
        for &(r, i) in list {
            let (rule, item) = (&self.rules[r], &self.rules[r].items[i]);
            let mut keys: Vec<Vec<String>> = vec![Vec::new()];
            let mut cut = false;
            for part in &item.key {
                let values = view.values(part);
                let longer = keys
                    .iter()
                    .flat_map(|k| values.iter().map(move |v| [k.as_slice(), std::slice::from_ref(v)].concat()));
                let longer: Vec<_> = longer.take(MAX_VALUES + 1).collect();
                cut |= longer.len() > MAX_VALUES;
                keys = longer;
                keys.truncate(MAX_VALUES);
            }
            let measure = item.measure.as_ref().and_then(|part| view.values(part).into_iter().next());
            if item.measure.is_some() && measure.is_none() {
                continue;
            }
            for (n, key) in keys.into_iter().enumerate() {
                let correlation = rule.meta.id.clone();
                let measure = measure.clone();
                // Told once.
                let cut = cut && n == 0;
                f(Signal { pos: m.pos, correlation, item: i as u32, key, event_ms: m.event_ms, measure, cut });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_value_stands_for() {
        for (v, want) in [
            (json!("a"), vec!["a"]),
            (json!(17), vec!["17"]),
            (json!(true), vec!["true"]),
            (json!(null), vec![]),
            (json!({"a": 1}), vec![]),
            (json!([]), vec![]),
            (json!(["a", 1, "a", null, {"x": 1}, [2]]), vec!["a", "1"]),
            (json!(""), vec![""]),
        ] {
            assert_eq!(texts(&v), want, "{v}");
        }
    }
}
