//! What tests of the whole parser share: batches of lines, a node around schemas, and the law that columns and whole
//! events agree.
use crate::classify::{Classifier, Shared};
use crate::filter::{Filter, RawFilter, RawFilters};
use crate::indicator::Any;
use crate::plan::Plan;
use crate::schema::{Field, Kind, Schema, load};
use crate::text::Parser;
use model::event::{EventBatch, OneField, Value};
use model::path::{Path, Seg};
use model::raw::PAD;
use model::{Ctx, Map, Needs, Origin, Packet, RawBatch, RawRecord, Record, Rejected};
use serde_json::Value as J;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Epoch clock of test batches: 2026-03-01T00:00:00Z.
pub const NOW_MS: i64 = 1_772_323_200_000;

/// A schema of fields in YAML (flow or block items).
pub fn schema(name: &str, head: &str, fields: &str) -> Arc<Schema> {
    let text = format!("version: 0\nschema: {name}\n{head}\nfields:\n{fields}");
    Arc::new(load("t.yml", &text, None).unwrap_or_else(|p| panic!("{p:#?}\n{text}")))
}

/// A batch of records as a reader of a file makes it.
pub fn batch(lines: &[&[u8]], first: bool) -> RawBatch {
    let mut b = RawBatch {
        origin: Arc::new(Origin {
            source: "src".into(),
            label: "Source".into(),
            index: 0,
            partition: 7,
            name: "logs/a.log".into(),
        }),
        now_ms: NOW_MS,
        first,
        header: lines.first().map(|l| Arc::from(*l)),
        ..RawBatch::default()
    };
    for line in lines {
        let start = b.data.len() as u32;
        b.records.push(RawRecord { start, len: line.len() as u32, ordinal: 0, offset: start as u64 });
        b.data.extend_from_slice(line);
        b.data.push(b'\n');
    }
    b.data.extend_from_slice(&[0; PAD]);
    b
}

/// What a node made of some batches.
#[derive(Default)]
pub struct Out {
    /// Event batches in order.
    pub events: Vec<Arc<EventBatch>>,
    /// Rejects in order.
    pub rejected: Vec<Rejected>,
    /// Counters, summed.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Out {
    /// A counter.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }
    /// Every event, whole.
    pub fn whole(&self) -> Vec<J> {
        let rows = self.events.iter().flat_map(|b| (0..b.len()).map(move |row| (b, row)));
        rows.map(|(b, row)| J::Object(b.layout.full.event(b, row))).collect()
    }
}

/// A node around schemas.
pub struct Rig {
    node: Classifier,
}

impl Rig {
    /// Without filters.
    pub fn new(schemas: &[Arc<Schema>], needs: &Needs) -> Rig {
        Rig::with(schemas, needs, &[], &[])
    }
    /// With filters.
    pub fn with(schemas: &[Arc<Schema>], needs: &Needs, raw: &[RawFilter], filters: &[Filter]) -> Rig {
        let raw_filters = RawFilters::new(raw, &mut Vec::new());
        let shared = Shared { node: "parse".into(), raw_filters, max_record: 4096 };
        let plans: Vec<_> = schemas.iter().map(|s| Arc::new(Plan::new(s, needs, filters))).collect();
        Rig { node: Classifier::new(Arc::new(shared), &plans, true) }
    }
    /// Run a batch and check the ledger law.
    pub fn run(&mut self, batch: RawBatch) -> Out {
        let (mut cx, mut out, offered) = (Ctx::default(), Out::default(), batch.records.len() as u64);
        self.node.map(Packet::Raw(Arc::new(batch)), &mut cx).unwrap();
        for (port, packet) in cx.out {
            match (port, packet) {
                (0, Packet::Events(b)) => out.events.push(b),
                (1, Packet::Records(r)) => out.rejected.extend(r.into_iter().map(|r| match r {
                    Record::Rejected(r) => *r,
                    r => panic!("{r:?}"),
                })),
                p => panic!("{p:?}"),
            }
        }
        for (name, _, n) in cx.counts {
            *out.counts.entry(name).or_default() += n;
        }
        let parts = ["parsed", "rejected", "filtered", "empty", "skipped"];
        assert_eq!(out.count("offered"), offered);
        assert_eq!(parts.iter().map(|p| out.count(p)).sum::<u64>(), offered, "{:?}", out.counts);
        assert_eq!(out.events.iter().map(|b| b.len() as u64).sum::<u64>(), out.count("parsed"));
        assert_eq!(out.rejected.len() as u64, out.count("rejected"));
        out
    }
}

/// Needs of every path of a schema, all fields, all indicators and all standard fields.
pub fn everything(schema: &Schema) -> Needs {
    fn go(fields: &[Field], at: &Path, add: &mut impl FnMut(Path)) {
        for f in fields {
            let mut path = at.clone();
            path.0.push(Seg::Key(f.name.clone()));
            add(path.clone());
            match &f.spec.kind {
                Kind::Object(inner) => go(inner, &path, add),
                Kind::Array(_) => {
                    for i in [0, 1] {
                        add(Path(path.0.iter().cloned().chain([Seg::Index(i)]).collect()));
                    }
                    add(Path(path.0.iter().cloned().chain([Seg::Each, Seg::Key("x".into())]).collect()));
                }
                Kind::Json => {
                    for k in ["a", "b"] {
                        add(Path(path.0.iter().cloned().chain([Seg::Key(k.into())]).collect()));
                    }
                }
                _ => {}
            }
        }
    }
    let mut needs = Needs::default();
    go(&schema.fields, &Path::default(), &mut |p| needs.path(&schema.name, p));
    let standard = [
        "p_log_type",
        "p_row_id",
        "p_event_time",
        "p_parse_time",
        "p_source_id",
        "p_source_label",
        "p_schema_version",
        "p_source_file",
        "p_source_file.path",
    ];
    for p in Any::NAMES.iter().map(|(n, _)| *n).chain(standard) {
        needs.path("*", Path::parse(p).unwrap());
    }
    needs.path("*", Path::key("no_such_key"));
    needs.all("*");
    needs
}

/// Check that every column has the value of the whole event. A container that the schema types inside is raw JSON in
/// its column, so only its kind is compared.
pub fn assert_agree(schema: &Schema, batch: &EventBatch) {
    for row in 0..batch.len() {
        let event = J::Object(batch.layout.full.event(batch, row));
        for (path, slot) in batch.layout.slots.iter().zip(0..) {
            let (v, want) = (batch.value(slot, row), model::json::get(&event, &path.0));
            let spec = path.root().and_then(|r| schema.field(r)).map(|i| &schema.fields[i].spec);
            let spec = spec.and_then(|s| s.at(&path.0[1..]));
            let raw = matches!(&schema.parser, Parser::Json)
                && matches!(spec.map(|s| &s.kind), Some(Kind::Object(_) | Kind::Array(_)))
                && matches!(v, Value::Obj(_) | Value::Arr(_));
            let want = want.filter(|w| !w.is_null()).cloned().unwrap_or(J::Null);
            if raw && !matches!(want, J::String(_) | J::Number(_) | J::Bool(_)) {
                continue;
            }
            assert_eq!(v.to_json(), want, "{path} of {event} from {}", String::from_utf8_lossy(batch.raw(row)));
        }
        let fields = schema.fields.iter().map(|f| &*f.name);
        let map = event.as_object().expect("an event is an object");
        for name in fields.chain(["p_log_type", "p_parse_time", "p_source_file", "p_row_id", "unheard-of"]) {
            let (upper, lower) = (name.to_ascii_uppercase(), name.to_ascii_lowercase());
            for (asked, exact) in [(name, true), (name, false), (&upper, true), (&upper, false), (&lower, false)] {
                let same = |k: &&String| k.eq_ignore_ascii_case(asked) && !exact;
                let key = map.get_key_value(asked).map(|(k, _)| k).or_else(|| map.keys().find(same));
                match batch.layout.full.field(batch, row, asked, exact) {
                    OneField::Unknown => assert!(name.starts_with("p_"), "{asked} of {event}"),
                    OneField::Absent => assert_eq!(key, None, "{asked} of {event}"),
                    OneField::Value(name, v) => {
                        let Some(key) = key else { panic!("no {asked} but {v} in {event}") };
                        assert_eq!((&*name, &v), (key.as_str(), &event[key]), "{asked} of {event}");
                    }
                }
            }
        }
        for (name, _) in Any::NAMES {
            let mut got = Vec::new();
            batch.layout.full.any(batch, row, name, &mut got);
            let want = event.get(name).map_or(J::from(Vec::<String>::new()), J::clone);
            assert_eq!(J::from(got), want, "{name} of {event}");
        }
    }
}
