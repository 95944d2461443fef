//! Standard fields and indicators: what every event carries besides its own fields (functional spec §2.1, §2.3).
use crate::aws;
use crate::found::Found;
use crate::indicator::{AWS_WRITES, Any};
use crate::schema::{Scan, Schema};
use model::Path;
use model::event::EventBatch;
use model::time::{text_ms, text_ns};
use serde_json::{Map, Value as J, json};
use std::sync::Arc;

/// Standard fields, in their order.
const STANDARD: &[&str] = &[
    "p_log_type",
    "p_row_id",
    "p_event_time",
    "p_parse_time",
    "p_source_id",
    "p_source_label",
    "p_schema_version",
    "p_source_file",
];

/// Standard fields that are the same for every event of a batch, in their order.
pub fn batch_field(batch: &BatchFacts<'_>, name: &str) -> Option<J> {
    Some(match name {
        "p_log_type" => json!(&*batch.schema.name),
        "p_parse_time" => json!(text_ms(batch.now_ms)),
        "p_source_id" => json!(&*batch.origin.source),
        "p_source_label" => json!(&*batch.origin.label),
        "p_schema_version" => json!(batch.schema.revision),
        "p_source_file" if !batch.origin.name.is_empty() => json!({ "path": &*batch.origin.name }),
        _ => return None,
    })
}

/// A standard field of a row by its name; `None` where it has none, and for indicators.
pub fn standard_field(schema: &Schema, batch: &EventBatch, row: usize, name: &str) -> Option<J> {
    match name {
        "p_row_id" => Some(json!(format!("{:032x}", batch.pos_of(row).row_id()))),
        "p_event_time" => Some(json!(text_ns(batch.event_time[row]))),
        _ => batch_field(&BatchFacts { schema, origin: &batch.origin, now_ms: batch.now_ms }, name),
    }
}

/// What the standard fields of a batch are made of.
pub struct BatchFacts<'a> {
    /// Its schema.
    pub schema: &'a Schema,
    /// Where it was read.
    pub origin: &'a model::Origin,
    /// Epoch clock, milliseconds.
    pub now_ms: i64,
}

/// Add the standard fields and the indicators to an event's own fields.
pub fn finish(schema: &Schema, sources: &[Indicator], batch: &EventBatch, row: usize, event: &mut Map<String, J>) {
    let found = indicators(sources, event, Found::default());
    for name in STANDARD {
        if let Some(v) = standard_field(schema, batch, row, name) {
            event.insert((*name).into(), v);
        }
    }
    for (field, values) in found.finish() {
        event.insert(field.name().into(), json!(values));
    }
}

/// A source of indicators in an event.
pub struct Indicator {
    /// The top-level field.
    root: Arc<str>,
    /// Where in it.
    below: Path,
    /// What to do with the value there.
    scan: Scan,
}

impl Indicator {
    /// Those of a schema.
    pub fn all(schema: &Schema) -> Vec<Indicator> {
        let one = |(path, scan): (Path, Scan)| {
            Some(Indicator { root: path.root()?.into(), below: Path(path.0[1..].to_vec()), scan })
        };
        schema.indicators().into_iter().filter_map(one).collect()
    }
}

/// Gather the indicators of an event.
pub fn indicators(sources: &[Indicator], event: &Map<String, J>, mut found: Found) -> Found {
    for Indicator { root, below, scan } in sources {
        let Some(root) = event.get(&**root) else { continue };
        for v in model::json::get_all(root, below) {
            apply(scan, v, &mut found);
        }
    }
    found
}

/// Run a source's scanners over one value.
pub fn apply(scan: &Scan, v: &J, found: &mut Found) {
    match (scan, v) {
        (Scan::Aws, v) => aws::search(v, found),
        (Scan::With(scanners), J::String(s)) => scanners.iter().for_each(|scanner| found.scan(*scanner, s)),
        // An element of a raw array: the whole event has it as text.
        (Scan::With(_), J::Number(_) | J::Bool(_)) => apply(scan, &J::String(v.to_string()), found),
        _ => {}
    }
}

/// True if a source can write to one of the fields in `only`.
pub fn concerns(scan: &Scan, only: u16) -> bool {
    match scan {
        Scan::Aws => AWS_WRITES & only != 0,
        Scan::With(s) => s.iter().any(|s| s.writes() & only != 0),
    }
}

/// Values of one indicator field of an event.
pub fn any_of(sources: &[Indicator], event: &Map<String, J>, field: &str, out: &mut Vec<String>) {
    let Some(any) = Any::parse(field) else { return };
    let found = indicators(sources, event, Found::only(any)).finish();
    out.extend(found.into_iter().flat_map(|(_, v)| v));
}
