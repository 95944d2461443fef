//! A whole event with its enrichment, for the few rows that columns cannot serve, and its fields one by one.
use ::python::event::{Field, Source};
use model::event::OneField;
use model::lookup::{EnrichRows, NO_ROW};
use model::path::Seg;
use model::{EnrichColumn, EventBatch, Path, Value, json};
use serde_json::{Map, Value as J};
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

/// The normalised event of a row, with `p_enrichment` if something was joined to it.
pub fn whole_event(batch: &EventBatch, row: usize) -> J {
    let event = J::Object(batch.layout.full.event(batch, row));
    let joined = enrichment(&batch.enrich, row, &event);
    let J::Object(mut event) = event else { return J::Null };
    if !joined.is_empty() {
        event.insert("p_enrichment".into(), J::Object(joined));
    }
    J::Object(event)
}

/// The event of a row, which is put together only if it is wanted whole.
#[derive(Debug)]
pub struct RowEvent {
    batch: Arc<EventBatch>,
    row: usize,
    whole: OnceCell<Rc<J>>,
}

impl RowEvent {
    /// Of a row of a batch.
    pub fn new(batch: Arc<EventBatch>, row: usize) -> RowEvent {
        RowEvent { batch, row, whole: OnceCell::new() }
    }
}

impl Source for RowEvent {
    fn field(&self, name: &str, exact: bool) -> Field {
        match self.batch.layout.full.field(&self.batch, self.row, name, exact) {
            OneField::Value(name, value) => Field::Value(name, value),
            OneField::Absent => Field::Absent,
            OneField::Unknown => Field::Unknown,
        }
    }

    fn scalar(&self, keys: &[&str]) -> Option<J> {
        // Standard fields have columns that say less than the event.
        if keys.first()?.starts_with("p_") {
            return None;
        }
        let path = Path(keys.iter().map(|key| Seg::Key((*key).into())).collect());
        let value = self.batch.value(self.batch.layout.slot(&path)?, self.row);
        let scalar =
            matches!(value, Value::Bool(_) | Value::Num(_)) || matches!(value, Value::Str(text) if !text.is_empty());
        scalar.then(|| value.to_json())
    }

    fn whole(&self) -> Rc<J> {
        self.whole.get_or_init(|| Rc::new(whole_event(&self.batch, self.row))).clone()
    }
}

/// `{table: {selector: row or rows}}` of one event; a row is `{p_match, …columns that are not null}`.
fn enrichment(columns: &[EnrichColumn], row: usize, event: &J) -> Map<String, J> {
    let mut out = Map::new();
    for c in columns {
        let joined = |p_match: J, id: u32| {
            let mut fields = Map::from_iter([("p_match".to_string(), p_match)]);
            fields.extend(c.table.row_json(id));
            J::Object(fields)
        };
        let hit = match &c.rows {
            EnrichRows::One(ids) => match ids.get(row) {
                Some(&id) if id != NO_ROW => joined(selected(&c.selector, event), id),
                _ => continue,
            },
            EnrichRows::Many(hits) => match hits.get(row) {
                Some(hits) if !hits.is_empty() => {
                    J::Array(hits.iter().map(|(value, id)| joined(J::String(value.clone()), *id)).collect())
                }
                _ => continue,
            },
        };
        let table = out.entry(&*c.table.name).or_insert_with(|| J::Object(Map::new()));
        if let Some(selectors) = table.as_object_mut() {
            selectors.insert(c.selector.to_string(), hit);
        }
    }
    out
}

fn selected(selector: &str, event: &J) -> J {
    let path = Path::parse(selector).unwrap_or_else(|_| Path::key(selector));
    json::get(event, &path.0).cloned().unwrap_or(J::Null)
}
