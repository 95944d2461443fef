//! A batch of some rows of another one. Spans point into the same bytes, so only the columns are copied.
use model::EventBatch;
use model::lookup::{EnrichColumn, EnrichRows};

/// The given rows, in the given order.
pub fn select(batch: &EventBatch, rows: &[u32]) -> EventBatch {
    let slots = batch.layout.slots.len();
    let mut out = EventBatch {
        origin: batch.origin.clone(),
        now_ms: batch.now_ms,
        lane: batch.lane,
        layout: batch.layout.clone(),
        data: batch.data.clone(),
        rows: pick(&batch.rows, rows),
        stride: rows.len(),
        pos: Vec::with_capacity(slots * rows.len()),
        tag: Vec::with_capacity(slots * rows.len()),
        event_time: pick(&batch.event_time, rows),
        enrich: batch.enrich.iter().map(|c| column(c, rows)).collect(),
        header: batch.header.clone(),
    };
    for slot in 0..slots as u32 {
        let (spans, tags) = (batch.spans(slot), batch.tags(slot));
        out.pos.extend(rows.iter().map(|r| spans[*r as usize]));
        out.tag.extend(rows.iter().map(|r| tags[*r as usize]));
    }
    out
}

fn pick<T: Clone>(from: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|r| from[*r as usize].clone()).collect()
}

fn column(c: &EnrichColumn, rows: &[u32]) -> EnrichColumn {
    let picked = match &c.rows {
        EnrichRows::One(v) => EnrichRows::One(pick(v, rows)),
        EnrichRows::Many(v) => EnrichRows::Many(pick(v, rows)),
    };
    EnrichColumn { table: c.table.clone(), selector: c.selector.clone(), rows: picked }
}
