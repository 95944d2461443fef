//! Whole events from a batch, for the few rows that somebody looks at whole.
use crate::decode::{convert_tagged, decode_json};
use crate::event::{Indicator, any_of, finish, standard_field};
use crate::record::trimmed;
use crate::schema::{Kind, Schema};
use crate::text::Parser;
use crate::typed::tag_of;
use model::Path;
use model::event::{EventBatch, FullEvent, OneField, Value};
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
    /// By field: its column has what the schema makes of it, not what was read.
    rewritten: Vec<bool>,
    /// The names of the fields are ASCII.
    ascii: bool,
}

impl Full {
    /// Whole events of a log type.
    pub fn new(schema: Arc<Schema>) -> Full {
        let rewritten = schema.fields.iter().map(|f| f.spec.rewrites()).collect();
        let ascii = schema.fields.iter().all(|f| f.name.is_ascii());
        Full { indicators: Indicator::all(&schema), schema, ascii, rewritten }
    }

    /// A top-level field from its column.
    fn top(&self, batch: &EventBatch, row: usize, at: usize) -> Option<J> {
        let (field, value) = (&self.schema.fields[at], batch.value(at as u32, row));
        match (&self.schema.parser, value) {
            (_, Value::Absent | Value::Null) => None,
            // The column has what was read; of it the whole event has what the schema declares.
            (Parser::Json, Value::Obj(raw) | Value::Arr(raw)) if !self.rewritten[at] => {
                convert_tagged(&field.spec, tag_of(&value), raw, &field.name).ok().flatten()
            }
            (_, value) => Some(value.to_json()),
        }
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

    fn field(&self, batch: &EventBatch, row: usize, name: &str, exact: bool) -> OneField {
        if name.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("p_")) {
            return match standard_field(&self.schema, batch, row, name) {
                Some(value) => OneField::Value(name.into(), value),
                None => OneField::Unknown,
            };
        }
        if let Some(at) = self.schema.field(name)
            && let Some(value) = self.top(batch, row, at)
        {
            return OneField::Value(self.schema.fields[at].name.clone(), value);
        }
        if exact {
            return OneField::Absent;
        }
        if !name.is_ascii() || !self.ascii {
            return OneField::Unknown;
        }
        let twins = self.schema.fields.iter().enumerate().filter(|(_, f)| f.name.eq_ignore_ascii_case(name));
        let found = twins.filter(|(_, f)| *f.name != *name).find_map(|(at, f)| Some((f, self.top(batch, row, at)?)));
        found.map_or(OneField::Absent, |(f, value)| OneField::Value(f.name.clone(), value))
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
