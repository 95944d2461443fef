//! `transforms.project`: keep or drop whole fields, for sinks that need less than everything.
//!
//! A dropped field is gone from columns and whole events alike. Standard fields (`p_*`) always stay, also indicators
//! that a dropped field gave: to hide a value, mask it.
use crate::reshape::{Layouts, with};
use crate::scope::Scope;
use model::event::{FullEvent, tag};
use model::operator::{Ctx, Map, Packet};
use model::part::{Flow, Kind, Opened, Port, Sharding};
use model::{BuildCx, Built, EventBatch, Files, Layout, Node, Part, Problem, Result, Spec};
use serde::Deserialize;
use serde_json::Value as J;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Settings of a projection: one of `keep` and `drop`.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectSettings {
    /// Log types it looks at. Default: every one.
    #[serde(default)]
    pub log_types: Vec<String>,
    /// Top-level fields that stay; all others go.
    #[serde(default)]
    pub keep: Vec<String>,
    /// Top-level fields that go; all others stay.
    #[serde(default)]
    pub drop: Vec<String>,
}

/// The part `transforms.project`.
pub struct ProjectPart;

impl Part for ProjectPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Transform,
            name: "project",
            doc: "Keeps or drops whole fields of events.",
            inputs: &[Flow::Events],
            outputs: &[Port { name: "", flow: Flow::Events, error: false }],
            sharding: Sharding::Lanes,
        }
    }
    fn schema(&self) -> J {
        schemars::schema_for!(ProjectSettings).to_value()
    }
    fn open(&self, _: &str, settings: &J, _: &dyn Files) -> Opened {
        let s = match ProjectSettings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let mut found = Vec::new();
        if s.keep.is_empty() == s.drop.is_empty() {
            let p = Problem::at("", "one of `keep` and `drop` must name fields");
            found.push(p.hint("keep = [\"eventName\", \"sourceIPAddress\"] or drop = [\"requestParameters\"]"));
        }
        for (setting, list) in [("keep", &s.keep), ("drop", &s.drop)] {
            for (i, name) in list.iter().enumerate() {
                let at = format!("{setting}[{i}]");
                if name.starts_with("p_") {
                    found.push(Problem::at(&at, format!("`{name}`: standard fields always stay")));
                } else if name.contains(['.', '[']) {
                    let p = Problem::at(&at, format!("`{name}` is not a top-level field"));
                    found.push(p.hint("to hide a part of a field, use type = \"mask\""));
                }
            }
        }
        if !found.is_empty() {
            return Opened::failed(found);
        }
        let keep = !s.keep.is_empty();
        let names = if keep { s.keep } else { s.drop }.into_iter().collect();
        Opened::ok(ProjectNode { scope: Scope::new(&s.log_types), fields: Arc::new(Fields { keep, names }) })
    }
}

/// Which fields stay.
struct Fields {
    keep: bool,
    names: BTreeSet<String>,
}

impl Fields {
    fn stays(&self, name: &str) -> bool {
        name.starts_with("p_") || self.names.contains(name) == self.keep
    }
}

struct ProjectNode {
    scope: Scope,
    fields: Arc<Fields>,
}

impl Node for ProjectNode {
    fn summary(&self) -> String {
        format!("{} fields {}", self.fields.names.len(), if self.fields.keep { "kept" } else { "dropped" })
    }
    fn build(&self, _: &BuildCx) -> Result<Built> {
        let (scope, fields) = (self.scope.clone(), self.fields.clone());
        Ok(Built::Map(Box::new(Running { scope, fields, layouts: Layouts::default() })))
    }
}

struct Running {
    scope: Scope,
    fields: Arc<Fields>,
    layouts: Layouts,
}

impl Map for Running {
    fn map(&mut self, input: Packet, cx: &mut Ctx) -> Result<()> {
        let Packet::Events(mut batch) = input else { return Err("project takes events".into()) };
        if self.scope.has(&batch.layout.log_type) {
            let layout = self.layouts.of(&batch.layout, |input| projected(input, &self.fields));
            let b = Arc::make_mut(&mut batch);
            for (slot, path) in layout.slots.iter().enumerate() {
                if !path.root().is_some_and(|r| self.fields.stays(r)) {
                    b.tag[slot * b.stride..][..b.rows.len()].fill(tag::ABSENT);
                }
            }
            b.layout = layout;
        }
        cx.emit(0, Packet::Events(batch));
        Ok(())
    }
}

fn projected(input: &Arc<Layout>, fields: &Arc<Fields>) -> Layout {
    let kept = input.fields.iter().filter(|f| fields.stays(&f.name)).cloned().collect();
    with(input, kept, Arc::new(Projected { inner: input.full.clone(), fields: fields.clone() }))
}

/// Whole events with some of their fields.
struct Projected {
    inner: Arc<dyn FullEvent>,
    fields: Arc<Fields>,
}

impl FullEvent for Projected {
    fn event(&self, batch: &EventBatch, row: usize) -> serde_json::Map<String, J> {
        let mut event = self.inner.event(batch, row);
        event.retain(|k, _| self.fields.stays(k));
        event
    }
    fn any(&self, batch: &EventBatch, row: usize, field: &str, out: &mut Vec<String>) {
        self.inner.any(batch, row, field, out);
    }
    fn may_have_twin(&self, path: &model::Path) -> bool {
        self.inner.may_have_twin(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, build, run};
    use model::Value;
    use serde_json::json;

    #[test]
    fn fields_go_from_columns_and_events_alike() {
        let doc = r#"{"a":{"b":"x"},"c":"y","d":1,"p_any_emails":["e@x"]}"#;
        for (settings, kept) in [
            (json!({ "keep": ["a"] }), true),
            (json!({ "drop": ["c", "d"] }), true),
            (json!({ "drop": ["c"], "log_types": ["U"] }), false),
        ] {
            let mut map = build(&ProjectPart, settings);
            let b = run(&mut *map, batch("T", &["a.b", "c"], &[doc]));
            assert_eq!(b.value(0, 0), Value::Str("x"));
            assert_eq!(b.value(1, 0), if kept { Value::Absent } else { Value::Str("y") });
            let event = J::Object(b.layout.full.event(&b, 0));
            assert_eq!(event["p_any_emails"], json!(["e@x"]));
            assert_eq!((event.get("c").is_none(), event["a"]["b"].as_str()), (kept, Some("x")));
            assert_eq!(b.layout.fields.iter().any(|f| &*f.name == "c"), !kept);
            let again = run(&mut *map, EventBatch { layout: b.layout.clone(), ..(*b).clone() });
            assert_eq!(again.value(0, 0), Value::Str("x"), "may be applied twice");
        }
    }

    #[test]
    fn settings_are_checked() {
        let open = |s: J| ProjectPart.open("p", &s, &model::files::MemFiles::default());
        for bad in [
            json!({}),
            json!({ "keep": ["a"], "drop": ["b"] }),
            json!({ "drop": ["a.b"] }),
            json!({ "drop": ["p_row_id"] }),
        ] {
            assert!(open(bad.clone()).node.is_none(), "{bad}");
        }
        assert_eq!(open(json!({ "drop": ["a"] })).node.unwrap().summary(), "1 fields dropped");
    }
}
