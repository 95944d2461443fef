//! `transforms.filter`: keep or drop events by their fields (functional spec §1.9).
//!
//! An event stays if every condition of `keep` holds and not every condition of `drop` does. Dropped events leave
//! through the output `dropped`; the ledger has `kept` and `dropped`, which add up to what came in.
use crate::condition::{Condition, Test};
use crate::scope::{Scope, value_at};
use crate::select::select;
use model::operator::{Ctx, Map, Packet};
use model::part::{Flow, Kind, Opened, Port, Sharding};
use model::{BuildCx, Built, EventBatch, Files, Needs, Node, Part, Problem, Result, Spec};
use serde::Deserialize;
use std::sync::Arc;

/// Conditions of one filter at most.
pub const MAX_CONDITIONS: usize = 1_000;

/// Settings of a filter.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterSettings {
    /// Log types it looks at; events of others stay. Default: every one.
    #[serde(default)]
    pub log_types: Vec<String>,
    /// An event stays only if all of these hold.
    #[serde(default)]
    pub keep: Vec<Condition>,
    /// An event is dropped if all of these hold.
    #[serde(default)]
    pub drop: Vec<Condition>,
}

/// The part `transforms.filter`.
pub struct FilterPart;

impl Part for FilterPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Transform,
            name: "filter",
            doc: "Keeps or drops events by conditions on their fields.",
            inputs: &[Flow::Events],
            outputs: &[
                Port { name: "", flow: Flow::Events, error: false },
                Port { name: "dropped", flow: Flow::Events, error: false },
            ],
            sharding: Sharding::Lanes,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(FilterSettings).to_value()
    }
    fn open(&self, _: &str, settings: &serde_json::Value, _: &dyn Files) -> Opened {
        let s = match FilterSettings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let mut found = Vec::new();
        let n = s.keep.len() + s.drop.len();
        if n == 0 {
            let p = Problem::at("", "a filter without conditions drops nothing");
            found.push(p.hint("add conditions to `keep` or `drop`"));
        } else if n > MAX_CONDITIONS {
            found.push(Problem::at("", format!("{n} conditions, where {MAX_CONDITIONS} are the limit")));
        }
        let mut compile = |name: &str, list: &[Condition]| -> Vec<Test> {
            let each = list.iter().enumerate();
            each.filter_map(|(i, c)| c.compile(&format!("{name}[{i}]"), &mut found)).collect()
        };
        let (keep, drop) = (compile("keep", &s.keep), compile("drop", &s.drop));
        if !found.is_empty() {
            return Opened::failed(found);
        }
        Opened::ok(FilterNode(Arc::new(Filter { scope: Scope::new(&s.log_types), keep, drop })))
    }
}

/// The checked filter.
struct Filter {
    scope: Scope,
    keep: Vec<Test>,
    drop: Vec<Test>,
}

struct FilterNode(Arc<Filter>);

impl Node for FilterNode {
    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for test in self.0.keep.iter().chain(&self.0.drop) {
            self.0.scope.need(&mut needs, &test.column);
        }
        needs
    }
    fn summary(&self) -> String {
        format!("{} conditions to keep, {} to drop", self.0.keep.len(), self.0.drop.len())
    }
    fn build(&self, _: &BuildCx) -> Result<Built> {
        Ok(Built::Map(Box::new(Running(self.0.clone()))))
    }
}

struct Running(Arc<Filter>);

impl Filter {
    /// Per row: do all conditions hold?
    fn all(tests: &[Test], batch: &EventBatch) -> Vec<bool> {
        let mut yes = vec![true; batch.len()];
        for test in tests {
            let slot = batch.layout.slot(&test.column);
            for (row, yes) in yes.iter_mut().enumerate() {
                *yes = *yes && test.holds(value_at(batch, slot, row));
            }
        }
        yes
    }

    fn stays(&self, batch: &EventBatch) -> Vec<bool> {
        let mut stays = Filter::all(&self.keep, batch);
        if !self.drop.is_empty() {
            let dropped = Filter::all(&self.drop, batch);
            stays.iter_mut().zip(dropped).for_each(|(s, d)| *s &= !d);
        }
        stays
    }
}

impl Map for Running {
    fn map(&mut self, input: Packet, cx: &mut Ctx) -> Result<()> {
        let Packet::Events(batch) = input else { return Err("filter takes events".into()) };
        let stays = match self.0.scope.has(&batch.layout.log_type) {
            true => self.0.stays(&batch),
            false => vec![true; batch.len()],
        };
        let rows = |want: bool| -> Vec<u32> {
            stays.iter().enumerate().filter(|(_, s)| **s == want).map(|(row, _)| row as u32).collect()
        };
        let (kept, dropped) = (rows(true), rows(false));
        cx.count("kept", kept.len() as u64);
        cx.count("dropped", dropped.len() as u64);
        // A batch that stays or goes whole is not copied.
        match (kept.is_empty(), dropped.is_empty()) {
            (_, true) => cx.emit(0, Packet::Events(batch)),
            (true, _) => cx.emit(1, Packet::Events(batch)),
            _ => {
                cx.emit(0, Packet::Events(Arc::new(select(&batch, &kept))));
                cx.emit(1, Packet::Events(Arc::new(select(&batch, &dropped))));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, build, events};
    use model::lookup::{EnrichColumn, EnrichRows, LookupTable};
    use serde_json::json;

    fn rows(settings: serde_json::Value, b: EventBatch) -> (Vec<String>, Vec<String>) {
        let mut map = build(&FilterPart, settings);
        let mut cx = Ctx::default();
        let n = b.len() as u64;
        map.map(Packet::Events(Arc::new(b)), &mut cx).unwrap();
        assert_eq!(cx.counts.iter().map(|(_, _, n)| n).sum::<u64>(), n, "kept + dropped = offered");
        let of = |port| cx.out.iter().filter(|(p, _)| *p == port).flat_map(|(_, p)| events(p)).collect();
        (of(0), of(1))
    }

    #[test]
    fn keeps_and_drops_rows_with_everything_that_belongs_to_them() {
        let docs = [r#"{"a":"x","n":1}"#, r#"{"a":"y","n":2}"#, r#"{"a":"x","n":3}"#, r#"{"n":4}"#];
        let mut b = batch("T", &["a", "n"], &docs);
        let table = Arc::new(LookupTable::default());
        b.enrich = vec![
            EnrichColumn { table: table.clone(), selector: "a".into(), rows: EnrichRows::One(vec![10, 11, 12, 13]) },
            EnrichColumn {
                table,
                selector: "l".into(),
                rows: EnrichRows::Many((0..4).map(|i| vec![("v".into(), i)]).collect()),
            },
        ];
        let kept = select(&b, &[1, 3]);
        assert_eq!((kept.pos_of(0), kept.event_time[1]), (b.pos_of(1), b.event_time[3]));
        assert!(matches!(&kept.enrich[0].rows, EnrichRows::One(v) if *v == [11, 13]));
        assert!(matches!(&kept.enrich[1].rows, EnrichRows::Many(v) if v[1][0].1 == 3));

        let x = json!({ "path": "a", "op": "equals", "value": "x" });
        let big = json!({ "path": "n", "op": "at_least", "value": 3 });
        let docs_of = |rows: &[usize]| rows.iter().map(|r| docs[*r].to_string()).collect::<Vec<_>>();
        assert_eq!(rows(json!({ "keep": [x] }), b.clone()), (docs_of(&[0, 2]), docs_of(&[1, 3])));
        assert_eq!(rows(json!({ "keep": [x, big] }), b.clone()), (docs_of(&[2]), docs_of(&[0, 1, 3])));
        assert_eq!(rows(json!({ "drop": [x, big] }), b.clone()), (docs_of(&[0, 1, 3]), docs_of(&[2])));
        assert_eq!(rows(json!({ "keep": [big], "drop": [x] }), b.clone()), (docs_of(&[3]), docs_of(&[0, 1, 2])));
        assert_eq!(rows(json!({ "keep": [x], "log_types": ["U"] }), b.clone()).0.len(), 4);
        assert_eq!(rows(json!({ "keep": [{ "path": "z", "op": "exists" }] }), b).1.len(), 4);
    }

    #[test]
    fn needs_the_columns_it_reads() {
        let s = json!({ "log_types": ["T"], "keep": [{ "path": "a.b[*].c", "op": "exists" }] });
        let o = FilterPart.open("f", &s, &model::files::MemFiles::default());
        let needs = o.node.unwrap().needs();
        assert_eq!(needs.of("T").into_iter().map(|p| p.to_string()).collect::<Vec<_>>(), ["a.b"]);
        assert!(needs.of("U").is_empty());
    }

    #[test]
    fn every_problem_is_told() {
        let s = json!({ "keep": [{ "path": "a[", "op": "exists" }], "drop": [{ "path": "a", "op": "less" }] });
        let o = FilterPart.open("f", &s, &model::files::MemFiles::default());
        let at: Vec<_> = o.problems.iter().map(|p| p.setting.as_str()).collect();
        assert_eq!(at, ["keep[0].path", "drop[0].value"]);
        assert!(FilterPart.open("f", &json!({}), &model::files::MemFiles::default()).node.is_none());
        let many = vec![json!({ "path": "a", "op": "exists" }); MAX_CONDITIONS + 1];
        let o = FilterPart.open("f", &json!({ "keep": many }), &model::files::MemFiles::default());
        assert!(o.node.is_none() && o.problems[0].message.contains("limit"));
    }
}
