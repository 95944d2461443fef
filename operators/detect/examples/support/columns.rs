//! Event batches from JSON events, for tests and measurements that do without a parser.
//!
//! `p_enrichment` of an event becomes lookup tables and joins, everything else columns, as a parser and an enrichment
//! node would leave them. The raw record of a row is the event itself.
use model::event::{FullEvent, tag};
use model::lookup::{EnrichRows, LookupColumn, NO_ROW};
use model::path::Seg;
use model::raw::{Origin, PAD, RawRecord};
use model::{EnrichColumn, EventBatch, Layout, LookupTable, Path, json};
use serde_json::{Map, Value as J};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

struct Raw;

impl FullEvent for Raw {
    fn event(&self, batch: &EventBatch, row: usize) -> Map<String, J> {
        serde_json::from_slice(batch.raw(row)).expect("raw records are JSON objects")
    }
    fn any(&self, batch: &EventBatch, row: usize, field: &str, out: &mut Vec<String>) {
        let event = self.event(batch, row);
        let values = event.get(field).and_then(J::as_array).into_iter().flatten();
        out.extend(values.filter_map(|v| v.as_str().map(String::from)));
    }
    /// As of a parser: see [`normalise`].
    fn may_have_twin(&self, path: &Path) -> bool {
        path.0.len() > 1 && path.root() != Some(TYPED)
    }
}

/// A layout with these columns.
pub fn layout(log_type: &str, paths: &BTreeSet<Path>) -> Arc<Layout> {
    let slots: Vec<Path> = paths.iter().cloned().collect();
    let index = slots.iter().enumerate().map(|(i, p)| (p.clone(), i as u32)).collect();
    let log_type = log_type.into();
    Arc::new(Layout {
        log_type,
        table: "test".into(),
        version: 1,
        slots,
        index,
        fields: Vec::new(),
        full: Arc::new(Raw),
    })
}

/// The field whose keys the schema of the layouts here knows; what is inside of all others is free JSON.
const TYPED: &str = "userIdentity";

/// Drop what a parser drops of an event: nulls, and keys that columns have in another case of their letters, at the top and
/// in [`TYPED`]. Only measurements do.
#[allow(dead_code)]
pub fn normalise(layout: &Layout, event: &mut J) {
    let keys = |p: &Path| p.0.iter().map(|s| if let Seg::Key(k) = s { k.to_string() } else { String::new() }).collect();
    let paths: Vec<Vec<String>> = layout.slots.iter().map(keys).collect();
    prune(&paths.iter().map(Vec::as_slice).collect::<Vec<_>>(), event, 0);
}

#[allow(dead_code)]
fn prune(paths: &[&[String]], event: &mut J, depth: usize) {
    let Some(map) = event.as_object_mut() else { return };
    let known = |key: &str| paths.iter().any(|p| p.first().is_some_and(|k| k == key));
    let twin = |key: &str| paths.iter().any(|p| p.first().is_some_and(|k| k.to_lowercase() == key.to_lowercase()));
    map.retain(|key, value| !value.is_null() && (known(key) || !twin(key)));
    for (key, value) in map.iter_mut().filter(|(key, _)| depth > 0 || *key == TYPED) {
        let below: Vec<&[String]> = paths.iter().filter(|p| p.first() == Some(key)).map(|p| &p[1..]).collect();
        prune(&below, value, depth + 1);
    }
}

/// A batch of these events.
pub fn batch(layout: &Arc<Layout>, events: &[J]) -> EventBatch {
    let n = events.len();
    let mut b = EventBatch {
        origin: Arc::new(Origin::default()),
        now_ms: 1_000,
        lane: 0,
        layout: layout.clone(),
        data: Arc::new(Vec::new()),
        rows: Vec::new(),
        stride: n,
        pos: vec![0; n * layout.slots.len()],
        tag: vec![tag::ABSENT; n * layout.slots.len()],
        event_time: vec![0; n],
        enrich: joins(events),
        header: None,
    };
    let mut data = Vec::new();
    for (row, event) in events.iter().enumerate() {
        let mut bare = event.clone();
        bare.as_object_mut().map(|o| o.shift_remove("p_enrichment"));
        let (start, len) = span(&mut data, &bare.to_string());
        b.rows.push(RawRecord { start, len, ordinal: 0, offset: row as u64 });
        for (slot, path) in layout.slots.iter().enumerate() {
            let at = slot * n + row;
            let (t, text) = cell(json::get(event, &path.0));
            let (start, len) = span(&mut data, &text);
            (b.tag[at], b.pos[at]) = (t, start as u64 | (len as u64) << 32);
        }
    }
    data.extend([0; PAD]);
    b.data = Arc::new(data);
    b
}

fn span(data: &mut Vec<u8>, text: &str) -> (u32, u32) {
    let start = data.len() as u32;
    data.extend_from_slice(text.as_bytes());
    (start, text.len() as u32)
}

fn cell(v: Option<&J>) -> (u8, String) {
    match v {
        None => (tag::ABSENT, String::new()),
        Some(J::Null) => (tag::NULL, String::new()),
        Some(J::Bool(b)) => (if *b { tag::TRUE } else { tag::FALSE }, String::new()),
        Some(J::String(s)) => (tag::STR, s.clone()),
        Some(v @ J::Number(_)) => (tag::NUM, v.to_string()),
        Some(v @ J::Array(_)) => (tag::ARR, v.to_string()),
        Some(v @ J::Object(_)) => (tag::OBJ, v.to_string()),
    }
}

/// Joins of the events: one table for every `(table, selector)`, with the rows in the order they are met.
fn joins(events: &[J]) -> Vec<EnrichColumn> {
    let mut hits: BTreeMap<(String, String), Vec<Option<&J>>> = BTreeMap::new();
    for (row, event) in events.iter().enumerate() {
        let tables = event.get("p_enrichment").and_then(J::as_object).into_iter().flatten();
        for (table, selectors) in tables {
            for (selector, hit) in selectors.as_object().into_iter().flatten() {
                let key = (table.clone(), selector.clone());
                hits.entry(key).or_insert_with(|| vec![None; events.len()])[row] = Some(hit);
            }
        }
    }
    hits.into_iter().map(|((table, selector), hits)| join(&table, &selector, &hits)).collect()
}

fn join(table: &str, selector: &str, hits: &[Option<&J>]) -> EnrichColumn {
    let mut rows: Vec<&Map<String, J>> = Vec::new();
    let many = hits.iter().flatten().any(|h| h.is_array());
    let mut one = Vec::new();
    let mut lists = Vec::new();
    for hit in hits {
        let objects: Vec<&Map<String, J>> = match hit {
            Some(J::Array(list)) => list.iter().filter_map(J::as_object).collect(),
            Some(J::Object(row)) => vec![row],
            _ => Vec::new(),
        };
        let first = rows.len() as u32;
        one.push(if objects.is_empty() { NO_ROW } else { first });
        let p_match = |o: &Map<String, J>| o.get("p_match").and_then(J::as_str).unwrap_or_default().to_string();
        lists.push(objects.iter().zip(first..).map(|(o, id)| (p_match(o), id)).collect());
        rows.extend(objects);
    }
    let rows = Arc::new(lookup(table, &rows));
    let ids = if many { EnrichRows::Many(lists) } else { EnrichRows::One(one) };
    EnrichColumn { table: rows, selector: selector.into(), rows: ids }
}

/// A lookup table with these rows; nested objects become dotted columns.
pub fn lookup(name: &str, rows: &[&Map<String, J>]) -> LookupTable {
    let flat: Vec<BTreeMap<String, &J>> = rows
        .iter()
        .map(|row| {
            let mut out = BTreeMap::new();
            row.iter().filter(|(k, _)| *k != "p_match").for_each(|(k, v)| flatten(k.clone(), v, &mut out));
            out
        })
        .collect();
    let names: BTreeSet<&String> = flat.iter().flat_map(|r| r.keys()).collect();
    let mut arena = Vec::new();
    let columns = names
        .into_iter()
        .map(|name| {
            let mut c = LookupColumn { name: name.as_str().into(), ..Default::default() };
            for row in &flat {
                let (t, text) = cell(row.get(name).copied());
                let (start, len) = span(&mut arena, &text);
                c.pos.push(start as u64 | (len as u64) << 32);
                c.tag.push(t);
            }
            c
        })
        .collect();
    let arena = String::from_utf8(arena).expect("cells are text");
    LookupTable { name: name.into(), arena, columns, rows: rows.len() as u32 }
}

fn flatten<'a>(name: String, v: &'a J, out: &mut BTreeMap<String, &'a J>) {
    match v {
        J::Object(o) if !o.is_empty() => o.iter().for_each(|(k, v)| flatten(format!("{name}.{k}"), v, out)),
        v => _ = out.insert(name, v),
    }
}
