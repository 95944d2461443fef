//! A whole event with its enrichment, for the few rows that columns cannot serve.
use model::lookup::{EnrichRows, NO_ROW};
use model::{EnrichColumn, EventBatch, Path, json};
use serde_json::{Map, Value as J};

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
