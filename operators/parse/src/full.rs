//! Whole events from a batch, for the few rows that somebody looks at whole.
use crate::decode::decode_json;
use crate::event::{any_of, finish};
use crate::record::trimmed;
use crate::schema::Schema;
use crate::text::Parser;
use model::Path;
use model::event::{EventBatch, FullEvent, Value};
use serde_json::{Map, Value as J};
use std::sync::Arc;

/// [`FullEvent`] of one log type.
///
/// JSON records are decoded again from their raw bytes: the columns hold what somebody needed, not everything. Text
/// records are put together from their columns: every top-level field has one, and the line alone may not say what
/// its columns are called (a `#fields` line far above it does).
pub struct Full {
    /// The schema.
    pub schema: Arc<Schema>,
}

impl Full {
    fn own_fields(&self, batch: &EventBatch, row: usize) -> Map<String, J> {
        match self.schema.parser {
            Parser::Json => {
                let text = std::str::from_utf8(trimmed(batch.raw(row))).unwrap_or_default();
                // The row was accepted, so this does not fail; if it did, the standard fields still tell which it was.
                decode_json(&self.schema, text).unwrap_or_default()
            }
            Parser::Text(_) => {
                let each = self.schema.fields.iter().zip(0u32..).map(|(f, slot)| (f, batch.value(slot, row)));
                each.filter(|(_, v)| !v.is_null()).map(|(f, v)| (f.name.to_string(), v.to_json())).collect()
            }
        }
    }
}

impl FullEvent for Full {
    fn event(&self, batch: &EventBatch, row: usize) -> Map<String, J> {
        let mut event = self.own_fields(batch, row);
        finish(&self.schema, batch, row, &mut event);
        event
    }

    fn any(&self, batch: &EventBatch, row: usize, field: &str, out: &mut Vec<String>) {
        match batch.layout.slot(&Path::key(field)).map(|slot| batch.value(slot, row)) {
            Some(Value::Arr(raw)) => out.extend(serde_json::from_str::<Vec<String>>(raw).unwrap_or_default()),
            Some(_) => {}
            None => any_of(&self.schema, &self.own_fields(batch, row), field, out),
        }
    }
}
