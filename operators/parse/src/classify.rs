//! The classifier: which log type a record is (functional spec §1.4), and the operator around it.
//!
//! Candidates are tried in order of their penalty: a failure adds one, a success sets it to zero, so a stream of one
//! type soon costs one try per record. Penalties, like headers and line counts, live for one split of the input. A
//! record that no candidate takes is rejected with each one's reason; one that is empty, dropped by a filter or a
//! header is counted. `offered = parsed + rejected + filtered + empty + skipped`, each record once.
use crate::event::BatchFacts;
use crate::fill::{Buf, Filled, Filler, Place, Rows, standard};
use crate::filter::RawFilters;
use crate::json::{Columns, JsonError, Walker, valid_utf8};
use crate::miss::Miss;
use crate::plan::Plan;
use crate::record::trimmed;
use crate::text::Parser;
use model::event::EventBatch;
use model::raw::PAD;
use model::{Ctx, Map, Packet, Pos, RawBatch, RawRecord, Record, Rejected};
use std::sync::Arc;

/// Most bytes of a rejected record that are kept with the reject.
pub const MAX_REJECT_RAW: usize = 1 << 20;
/// Port of the rejects.
const REJECTED: usize = 1;

/// One log type a record may be of.
struct Candidate {
    plan: Arc<Plan>,
    filler: Filler,
    penalty: u32,
    /// Columns in which no row was kept, for the next batch.
    spare: Option<Columns>,
    /// Rows of the current batch.
    rows: Option<Rows>,
    kept: Vec<RawRecord>,
}

/// Counts of one batch.
#[derive(Default)]
struct Counts {
    offered: u64,
    parsed: u64,
    rejected: u64,
    filtered: u64,
    empty: u64,
    skipped: u64,
    bytes: u64,
    duplicate_keys: u64,
}

/// What all instances of a node share.
pub struct Shared {
    /// Node id.
    pub node: Arc<str>,
    /// Raw filters.
    pub raw_filters: RawFilters,
    /// Longest record, bytes.
    pub max_record: usize,
}

/// The running parser of one worker.
pub struct Classifier {
    shared: Arc<Shared>,
    candidates: Vec<Candidate>,
    /// Indices of the candidates, lowest penalty first.
    order: Vec<usize>,
    walker: Walker,
    /// Every record goes through the walker first, which finds out whether it is UTF-8.
    walked: bool,
    /// Split whose state this is: source and partition.
    stream: Option<(u32, u32)>,
    /// Computed bytes of the last batch, for their capacity.
    side: Vec<u8>,
    /// Times of the next batch's records, nanoseconds since 1970; empty: the epoch's clock.
    times: Vec<i64>,
}

impl Classifier {
    /// From compiled plans, in the order in which they are tried at first.
    pub fn new(shared: Arc<Shared>, plans: &[Arc<Plan>], strict: bool) -> Classifier {
        let candidate = |p: &Arc<Plan>| Candidate {
            filler: Filler::new(p),
            plan: p.clone(),
            penalty: 1,
            spare: None,
            rows: None,
            kept: Vec::new(),
        };
        let walked = shared.raw_filters.is_empty() && plans.iter().all(|p| matches!(p.schema.parser, Parser::Json));
        Classifier {
            shared,
            candidates: plans.iter().map(candidate).collect(),
            order: (0..plans.len()).collect(),
            walker: Walker::new(strict),
            walked,
            stream: None,
            side: Vec::new(),
            times: Vec::new(),
        }
    }

    /// The event times of the next batch's records, for those whose fields tell none.
    pub fn times(&mut self, ns: Vec<i64>) {
        self.times = ns;
    }

    fn begin(&mut self, batch: &RawBatch) {
        let stream = (batch.origin.index, batch.origin.partition);
        if batch.first || self.stream != Some(stream) {
            self.stream = Some(stream);
            self.order = (0..self.candidates.len()).collect();
            for c in &mut self.candidates {
                c.penalty = 1;
                c.filler.reset(&c.plan);
            }
        }
        for c in &mut self.candidates {
            c.filler.clock(batch.now_ms);
        }
    }

    fn batch(&mut self, batch: RawBatch, cx: &mut Ctx) {
        self.begin(&batch);
        let end = batch.records.iter().map(|r| r.start as usize + r.len as usize).max().unwrap_or(0);
        let base = batch.data.len().saturating_sub(PAD).max(end).min(batch.data.len());
        let valid = self.walked || valid_utf8(&batch.data[..base]).is_ok();
        let header = batch.header.as_deref().and_then(|h| std::str::from_utf8(trimmed(h)).ok());
        let mut side = std::mem::take(&mut self.side);
        side.clear();
        let mut buf = Buf { data: &batch.data, base, side };
        let (mut counts, mut rejects) = (Counts::default(), Vec::new());
        counts.offered = batch.records.len() as u64;
        for i in 0..batch.records.len() {
            counts.bytes += batch.records[i].len as u64;
            let time_ns = self.times.get(i).copied().unwrap_or_else(|| batch.now_ms.saturating_mul(1_000_000));
            let view = View { batch: &batch, header, valid, index: i, time_ns };
            if let Err((code, reason)) = self.record(&view, &mut buf, &mut counts) {
                counts.rejected += 1;
                rejects.push(Record::Rejected(Box::new(self.reject(&batch, i, code, reason))));
            }
        }
        for c in &mut self.candidates {
            c.standard(&batch, &mut buf);
        }
        let side = buf.side;
        self.times.clear();
        self.emit(batch, base, side, cx);
        cx.emit(REJECTED, Packet::Records(rejects));
        counts.report(cx);
    }

    /// Classify one record: a row in one candidate, a count, or the code and reason of a reject.
    #[inline]
    fn record(&mut self, v: &View<'_>, buf: &mut Buf<'_>, counts: &mut Counts) -> Result<(), (&'static str, String)> {
        let raw = v.batch.bytes(v.index);
        if raw.len() > self.shared.max_record {
            let text = format!("the record has {} bytes, at most {} are read", raw.len(), self.shared.max_record);
            return Err(("record_too_large", text));
        }
        if !v.valid
            && let Err(at) = valid_utf8(raw)
        {
            return Err(bad_utf8(at));
        }
        let text = trimmed(raw);
        if text.is_empty() {
            counts.empty += 1;
            return Ok(());
        }
        if self.shared.raw_filters.drops(text) {
            counts.filtered += 1;
            return Ok(());
        }
        self.classify(v, text, buf, counts)
    }

    #[inline]
    fn classify(
        &mut self,
        v: &View<'_>,
        text: &[u8],
        buf: &mut Buf<'_>,
        counts: &mut Counts,
    ) -> Result<(), (&'static str, String)> {
        let record = v.batch.records[v.index];
        let start = text.as_ptr() as usize - v.batch.data.as_ptr() as usize;
        let mut misses: Vec<(usize, Miss)> = Vec::new();
        for n in 0..self.order.len() {
            let c = &mut self.candidates[self.order[n]];
            match c.take(v, &mut self.walker, buf, start, text.len()) {
                Err(Miss::Json(JsonError::NotUtf8 { at })) => return Err(bad_utf8(start - record.start as usize + at)),
                Err(miss) => {
                    c.penalty = c.penalty.saturating_add(1);
                    misses.push((self.order[n], miss));
                    continue;
                }
                Ok(Filled::Row(duplicates)) => {
                    c.kept.push(record);
                    counts.parsed += 1;
                    counts.duplicate_keys += duplicates as u64;
                }
                Ok(Filled::Filtered) => counts.filtered += 1,
                Ok(Filled::Skipped) => counts.skipped += 1,
            }
            c.penalty = 0;
            if !misses.is_empty() {
                self.sort();
            }
            return Ok(());
        }
        self.sort();
        Err(self.reason(misses))
    }

    /// Lowest penalty first; equal ones in the order of the settings.
    fn sort(&mut self) {
        let candidates = &self.candidates;
        self.order.sort_by_key(|&i| (candidates[i].penalty, i));
    }

    fn reason(&self, mut misses: Vec<(usize, Miss)>) -> (&'static str, String) {
        misses.sort_by_key(|(i, _)| *i);
        let code = match &misses[..] {
            [(_, only)] => only.code(),
            _ => "no_schema_matched",
        };
        let each = misses.iter().map(|(i, m)| format!("{}: {m}", self.candidates[*i].plan.schema.name));
        (code, each.collect::<Vec<_>>().join("; "))
    }

    fn reject(&self, batch: &RawBatch, i: usize, code: &str, reason: String) -> Rejected {
        let raw = batch.bytes(i);
        Rejected {
            pos: batch.pos(i),
            node: self.shared.node.clone(),
            stage: "classify".into(),
            code: code.into(),
            reason,
            origin: batch.origin.name.clone(),
            raw: raw[..raw.len().min(MAX_REJECT_RAW)].to_vec(),
            truncated: raw.len() > MAX_REJECT_RAW,
            now_ms: batch.now_ms,
        }
    }

    /// Send what the candidates hold. All batches share the bytes; the computed ones go behind the raw ones.
    fn emit(&mut self, batch: RawBatch, base: usize, mut side: Vec<u8>, cx: &mut Ctx) {
        let RawBatch { origin, now_ms, lane, mut data, header, .. } = batch;
        // Without computed bytes the buffer is passed on as it came.
        if !side.is_empty() || data.len() < base + PAD {
            data.truncate(base);
            data.reserve(side.len() + PAD);
            data.append(&mut side);
            data.resize(data.len() + PAD, 0);
        }
        let data = Arc::new(data);
        for c in &mut self.candidates {
            let Some(mut rows) = c.rows.take() else { continue };
            if c.kept.is_empty() {
                c.spare = Some(rows.cols);
                continue;
            }
            // Hidden slots come last, so they are cut off here.
            rows.cols.pos.truncate(c.plan.visible * rows.cols.stride);
            rows.cols.tag.truncate(c.plan.visible * rows.cols.stride);
            let events = EventBatch {
                origin: origin.clone(),
                now_ms,
                lane,
                layout: c.plan.layout.clone(),
                data: data.clone(),
                rows: std::mem::take(&mut c.kept),
                stride: rows.cols.stride,
                pos: rows.cols.pos,
                tag: rows.cols.tag,
                event_time: rows.event_time,
                enrich: Vec::new(),
                header: header.clone(),
            };
            cx.emit(0, Packet::Events(Arc::new(events)));
        }
        self.side = side;
    }
}

/// Code and reason of a record that is not UTF-8 from this byte on.
fn bad_utf8(at: usize) -> (&'static str, String) {
    let miss = Miss::Json(JsonError::NotUtf8 { at });
    (miss.code(), miss.to_string())
}

/// A record in its batch.
struct View<'a> {
    batch: &'a RawBatch,
    header: Option<&'a str>,
    /// The whole batch is UTF-8, or the walker looks whether a record is.
    valid: bool,
    index: usize,
    /// Its event time, if its fields tell none.
    time_ns: i64,
}

impl Candidate {
    #[inline]
    fn take(
        &mut self,
        v: &View<'_>,
        walker: &mut Walker,
        buf: &mut Buf<'_>,
        start: usize,
        len: usize,
    ) -> Result<Filled, Miss> {
        if self.rows.is_none() {
            let room = v.batch.records.len();
            let spare = self.spare.take().filter(|c| c.stride >= room);
            let cols = spare.unwrap_or_else(|| Columns::new(self.plan.slots, room));
            self.rows = Some(Rows { cols, event_time: Vec::with_capacity(room) });
            self.kept.reserve(room);
        }
        let Some(rows) = &mut self.rows else { return Err(Miss::TooLarge) };
        let at = Place { start, len, row: self.kept.len(), header: v.header, time_ns: v.time_ns };
        self.filler.fill(&self.plan, walker, buf, rows, at)
    }

    fn standard(&mut self, batch: &RawBatch, buf: &mut Buf<'_>) {
        let Some(rows) = &mut self.rows else { return };
        let facts = BatchFacts { schema: &self.plan.schema, origin: &batch.origin, now_ms: batch.now_ms };
        let kept = &self.kept;
        let id = |row: usize| {
            let r: &RawRecord = &kept[row];
            let o = &batch.origin;
            let pos = Pos { source: o.index, partition: o.partition, offset: r.offset, ordinal: r.ordinal };
            format!("{:032x}", pos.row_id())
        };
        standard(&self.plan, &facts, buf, rows, id);
    }
}

impl Counts {
    fn report(&self, cx: &mut Ctx) {
        cx.count("offered", self.offered);
        cx.count("parsed", self.parsed);
        cx.count("rejected", self.rejected);
        cx.count("filtered", self.filtered);
        cx.count("empty", self.empty);
        cx.count("skipped", self.skipped);
        cx.count("bytes", self.bytes);
        cx.count("duplicate_keys", self.duplicate_keys);
    }
}

impl Map for Classifier {
    fn map(&mut self, input: Packet, cx: &mut Ctx) -> model::Result<()> {
        match input {
            Packet::Raw(batch) => self.batch(Arc::unwrap_or_clone(batch), cx),
            // What a reader could not read is rejected already.
            Packet::Records(r) => cx.emit(REJECTED, Packet::Records(r)),
            Packet::Events(b) => return Err(format!("parse node {} was given events: {b:?}", self.shared.node).into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
