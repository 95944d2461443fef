//! Whole events from a batch, for the few rows that somebody looks at whole.
use crate::decode::decode_json;
use crate::event::{Indicator, any_of, finish};
use crate::record::trimmed;
use crate::schema::{Kind, Schema};
use crate::text::Parser;
use model::Path;
use model::event::{EventBatch, FullEvent, Value};
use model::path::Seg;
use serde_json::{Map, Value as J};
use std::sync::Arc;

/// [`FullEvent`] of one log type.
///
/// JSON records are decoded again from their raw bytes: the columns hold what somebody needed, not everything. Text
/// records are put together from their columns: every top-level field has one, and the line alone may not say what
/// its columns are called (a `#fields` line far above it does).
pub struct Full {
    /// The schema.
    schema: Arc<Schema>,
    /// Its sources of indicators.
    indicators: Vec<Indicator>,
}

impl Full {
    /// Whole events of a log type.
    pub fn new(schema: Arc<Schema>) -> Full {
        Full { indicators: Indicator::all(&schema), schema }
    }

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
        finish(&self.schema, &self.indicators, batch, row, &mut event);
        event
    }

    fn may_have_twin(&self, path: &Path) -> bool {
        let mut fields = &self.schema.fields;
        for (i, seg) in path.0.iter().enumerate() {
            let Seg::Key(key) = seg else { return true };
            let folded = key.to_lowercase();
            if fields.iter().any(|f| f.name != *key && f.name.to_lowercase() == folded) {
                return true;
            }
            if i + 1 == path.0.len() {
                return false;
            }
            match fields.iter().find(|f| f.name == *key).map(|f| &f.spec.kind) {
                Some(Kind::Object(inner)) => fields = inner,
                // No key of what is not there, or no object, is found in any case.
                None => return false,
                Some(Kind::Json | Kind::Array(_)) => return true,
                Some(_) => return false,
            }
        }
        true
    }

    fn any(&self, batch: &EventBatch, row: usize, field: &str, out: &mut Vec<String>) {
        match batch.layout.slot(&Path::key(field)).map(|slot| batch.value(slot, row)) {
            Some(Value::Arr(raw)) => out.extend(serde_json::from_str::<Vec<String>>(raw).unwrap_or_default()),
            Some(_) => {}
            None => any_of(&self.indicators, &self.own_fields(batch, row), field, out),
        }
    }
}
