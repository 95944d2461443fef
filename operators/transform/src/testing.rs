//! Batches of JSON documents for the tests of this crate, with a view that reads the raw record as a JSON parser's does.
use model::event::{Field, FieldType, FullEvent, Layout, tag};
use model::operator::{Ctx, Map, Packet};
use model::path::Path;
use model::raw::{Origin, PAD, RawRecord};
use model::{BuildCx, Built, EventBatch, Needs, Part, json};
use serde_json::{Map as JsonMap, Value as J};
use std::sync::Arc;

struct FromRaw;

impl FullEvent for FromRaw {
    fn event(&self, batch: &EventBatch, row: usize) -> JsonMap<String, J> {
        serde_json::from_slice(batch.raw(row)).unwrap()
    }
    fn any(&self, batch: &EventBatch, row: usize, field: &str, out: &mut Vec<String>) {
        let list = self.event(batch, row).get(field).and_then(J::as_array).cloned().unwrap_or_default();
        out.extend(list.iter().filter_map(|v| v.as_str().map(String::from)));
    }
}

/// A view that puts the event together from its columns, as that of a text parser does.
pub struct FromColumns;

impl FullEvent for FromColumns {
    fn event(&self, batch: &EventBatch, row: usize) -> JsonMap<String, J> {
        let slots = batch.layout.slots.iter().enumerate();
        let values = slots.map(|(i, p)| (p.to_string(), batch.value(i as u32, row)));
        values.filter(|(_, v)| !v.is_null()).map(|(p, v)| (p, v.to_json())).collect()
    }
    fn any(&self, _: &EventBatch, _: usize, _: &str, _: &mut Vec<String>) {}
}

/// A batch of documents with the given columns.
pub fn batch(log_type: &str, columns: &[&str], docs: &[&str]) -> EventBatch {
    let slots: Vec<Path> = columns.iter().map(|c| Path::parse(c).unwrap()).collect();
    let field = |(i, p): (usize, &Path)| match &p.0[..] {
        [_] => Some(Field { name: p.to_string().into(), ty: FieldType::BigInt, slot: i as u32, quoted: false }),
        _ => None,
    };
    let layout = Layout {
        log_type: log_type.into(),
        table: log_type.to_lowercase(),
        version: 1,
        index: slots.iter().cloned().zip(0..).collect(),
        fields: slots.iter().enumerate().filter_map(field).collect(),
        slots,
        full: Arc::new(FromRaw),
    };
    let (mut data, mut rows) = (Vec::new(), Vec::new());
    for (i, doc) in docs.iter().enumerate() {
        rows.push(RawRecord { start: data.len() as u32, len: doc.len() as u32, ordinal: 0, offset: i as u64 });
        data.extend_from_slice(doc.as_bytes());
    }
    let (mut pos, mut tags) = (Vec::new(), Vec::new());
    for path in &layout.slots {
        for doc in docs {
            let doc: J = serde_json::from_str(doc).unwrap();
            let (t, text) = match json::get(&doc, &path.0) {
                None => (tag::ABSENT, String::new()),
                Some(J::Null) => (tag::NULL, String::new()),
                Some(J::Bool(b)) => (if *b { tag::TRUE } else { tag::FALSE }, String::new()),
                Some(J::String(s)) => (tag::STR, s.clone()),
                Some(v @ J::Number(_)) => (tag::NUM, v.to_string()),
                Some(v @ J::Array(_)) => (tag::ARR, v.to_string()),
                Some(v @ J::Object(_)) => (tag::OBJ, v.to_string()),
            };
            pos.push(data.len() as u64 | (text.len() as u64) << 32);
            tags.push(t);
            data.extend_from_slice(text.as_bytes());
        }
    }
    data.resize(data.len() + PAD, 0);
    EventBatch {
        origin: Arc::new(Origin::default()),
        now_ms: 0,
        lane: 0,
        layout: Arc::new(layout),
        data: Arc::new(data),
        event_time: (0..docs.len() as i64).collect(),
        stride: docs.len(),
        rows,
        pos,
        tag: tags,
        enrich: vec![],
        header: None,
    }
}

/// Raw records of a packet.
pub fn events(p: &Packet) -> Vec<String> {
    let Packet::Events(b) = p else { panic!("transforms send events") };
    (0..b.len()).map(|r| String::from_utf8(b.raw(r).to_vec()).unwrap()).collect()
}

/// A running instance of a part.
pub fn build(part: &dyn Part, settings: J) -> Box<dyn Map> {
    let opened = part.open("t", &settings, &model::files::MemFiles::default());
    let node = opened.node.unwrap_or_else(|| panic!("{:?}", opened.problems));
    let cx = BuildCx {
        id: "t".into(),
        topology: "test".into(),
        generation: 1,
        index: 0,
        needs: Needs::default(),
        store_events: false,
        groups: 1,
        shard: 0,
        data_dir: Default::default(),
        work_dir: Default::default(),
        event_time: false,
        once: true,
        ..Default::default()
    };
    match node.build(&cx).unwrap() {
        Built::Map(m) => m,
        _ => panic!("transforms are maps"),
    }
}

/// The batch an operator makes of a batch.
pub fn run(map: &mut dyn Map, b: EventBatch) -> Arc<EventBatch> {
    let mut cx = Ctx::default();
    map.map(Packet::Events(Arc::new(b)), &mut cx).unwrap();
    match cx.out.pop() {
        Some((0, Packet::Events(b))) => b,
        other => panic!("{other:?}"),
    }
}
