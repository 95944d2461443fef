//! Events that were parsed before, once more: records of the fields that a parser gave, under their names in the event.
//!
//! What a schema does to a record is done: nothing is renamed, copied, joined, split, masked or unpacked again, and nothing
//! can be missing. What is left of it are names, types and indicators, so the ordinary parser makes the columns and
//! whole events that it made at first.
use crate::classify::{Classifier, Shared};
use crate::filter::RawFilters;
use crate::part::{Settings, log_types};
use crate::plan::Plan;
use crate::registry::Schemas;
use crate::schema::{Field, Kind, Schema, Source, Spec};
use crate::text::Parser;
use model::event;
use model::{Ctx, Files, Map, Needs, Packet, Problem, RawBatch};
use serde_json::Value as J;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Log types of a parse node, whose events come from storage.
pub struct StoredTypes {
    node: Arc<str>,
    schemas: Vec<Arc<Schema>>,
}

impl StoredTypes {
    /// Of the parse node with these settings.
    pub fn open(node: &str, settings: &J, files: &dyn Files) -> Result<StoredTypes, Vec<Problem>> {
        let settings: Settings =
            serde_json::from_value(settings.clone()).map_err(|e| vec![Problem::at("", e.to_string())])?;
        let (mut all, mut problems) = (Schemas::builtin().clone(), Vec::new());
        all.add_files(&settings.schemas, files, &mut problems);
        let schemas = log_types(&settings, &all, &mut problems);
        problems.retain(|p| !p.warning);
        if problems.is_empty() { Ok(StoredTypes { node: node.into(), schemas }) } else { Err(problems) }
    }

    /// Log types with the fields of their events.
    pub fn fields(&self) -> impl Iterator<Item = (&Arc<str>, Vec<event::Field>)> {
        self.schemas.iter().map(|s| (&s.name, s.event_fields()))
    }

    /// A parser of events of a log type that were stored by a revision of its schema. `texts`: fields that are texts now,
    /// whatever their type was. `None`: the node does not know the log type.
    pub fn parser(
        &self,
        log_type: &str,
        revision: u32,
        texts: &BTreeSet<Arc<str>>,
        needs: &Needs,
    ) -> Option<StoredParser> {
        let schema = self.schemas.iter().find(|s| *s.name == *log_type)?;
        let plan = Arc::new(Plan::new(&Arc::new(as_given(schema, revision, texts)), needs, &[]));
        let raw_filters = RawFilters::new(&[], &mut Vec::new());
        let shared = Shared { node: self.node.clone(), raw_filters, max_record: u32::MAX as usize };
        Some(StoredParser(Classifier::new(Arc::new(shared), &[plan], false)))
    }
}

/// See [`StoredTypes::parser`].
pub struct StoredParser(Classifier);

impl StoredParser {
    /// Parse records whose event times (nanoseconds since 1970) are known.
    pub fn parse(&mut self, records: RawBatch, times: Vec<i64>, cx: &mut Ctx) -> model::Result<()> {
        self.0.times(times);
        self.0.map(Packet::Raw(Arc::new(records)), cx)
    }
}

/// The schema of a record that has the fields of an event as they are.
fn as_given(schema: &Schema, revision: u32, texts: &BTreeSet<Arc<str>>) -> Schema {
    let mut out = Schema { parser: Parser::Json, revision, ..schema.clone() };
    out.fields.iter_mut().for_each(given);
    let is_text = |f: &&mut Field| texts.contains(&f.name) && !matches!(f.spec.kind, Kind::Json);
    for f in out.fields.iter_mut().filter(is_text) {
        f.spec.kind = Kind::String;
    }
    out
}

fn given(field: &mut Field) {
    field.source = Source::Key(field.name.clone());
    (field.mask, field.required) = (None, false);
    spec(&mut field.spec);
}

fn spec(s: &mut Spec) {
    (s.validate, s.embedded, s.event_time) = (None, false, false);
    match &mut s.kind {
        Kind::Object(fields) => fields.iter_mut().for_each(given),
        Kind::Array(e) => spec(e),
        _ => {}
    }
}
