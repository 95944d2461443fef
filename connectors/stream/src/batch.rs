//! Collects the records of a split into raw batches, and turns what cannot be read into rejects.
use model::raw::PAD;
use model::{Origin, Packet, Pos, RawBatch, RawRecord, Record, Rejected, Split};
use std::sync::Arc;

/// Bytes of records in one batch (384 pages); a larger record makes a batch of its own.
pub const BATCH: usize = 384 * 4096;
/// A reader that stops between batches does so here: most records are smaller than what is left.
const NEARLY: usize = BATCH - BATCH / 16;
/// Size that the buffer of copied records starts with.
const FIRST: usize = 32 << 10;
/// Size that a record is reckoned with where their number is known: a small one, so that a buffer is seldom too large.
const SMALL: u64 = 256;
/// Most bytes of a bad record that its reject keeps.
pub const REJECT_RAW: usize = 4096;
/// Longest first line that is kept as a header.
pub const MAX_HEADER: usize = 64 << 10;

/// Room behind `used` bytes of raw data for the values a parser appends (indicators of every event, for a lake). What is not
/// used of it is never touched; without it the parser would copy the data.
pub fn spare(used: usize) -> usize {
    (64 << 10) + used / 2
}

/// What a split's reader hands out, of the whole split or of a part of it.
pub struct Batcher<'a> {
    split: &'a Split,
    origin: &'a Arc<Origin>,
    out: &'a mut dyn FnMut(Packet),
    /// First line of the stream, if it has lines.
    pub header: Option<Arc<[u8]>>,
    first: bool,
    /// Where every record has the offset of its stream, and its number as ordinal: that offset and the next number.
    numbered: Option<(u64, u32)>,
    /// Size that the next buffer starts with, and each after that.
    size: usize,
    later: usize,
    data: Vec<u8>,
    records: Vec<RawRecord>,
}

impl<'a> Batcher<'a> {
    /// Records of a split, at the offsets their readers give them.
    pub fn new(split: &'a Split, origin: &'a Arc<Origin>, out: &'a mut dyn FnMut(Packet)) -> Batcher<'a> {
        let (data, records) = (Vec::new(), Vec::new());
        Batcher {
            split,
            origin,
            out,
            header: None,
            first: true,
            numbered: None,
            size: FIRST,
            later: FIRST,
            data,
            records,
        }
    }

    /// Records of one stream that as a whole is at one offset of its partition: they are numbered in it.
    pub fn numbered(mut self, offset: u64) -> Batcher<'a> {
        self.numbered = Some((offset, 0));
        self
    }

    /// A source that comes in long runs, of about so many records: most batches will be full, so their buffers start at
    /// that size.
    pub fn in_runs(mut self, records: u64) -> Batcher<'a> {
        self.size = usize::try_from(records.saturating_mul(SMALL)).unwrap_or(BATCH).clamp(FIRST, BATCH);
        self.later = BATCH;
        self
    }

    /// The next record might not fit: a good place to stop.
    pub fn nearly_full(&self) -> bool {
        self.data.len() >= NEARLY
    }

    fn place(&mut self, offset: u64, ordinal: u32) -> (u64, u32) {
        match &mut self.numbered {
            None => (offset, ordinal),
            Some((at, next)) => {
                let n = *next;
                *next += 1;
                (*at, n)
            }
        }
    }

    /// Add a record by copying it.
    pub fn push(&mut self, bytes: &[u8], offset: u64, ordinal: u32) {
        if self.data.len() + bytes.len() > BATCH {
            self.flush();
        }
        if self.data.capacity() == 0 {
            // Grows from here: most batches of a slow source are far from full, and the buffer lives as long as the
            // events in it.
            let size = std::mem::replace(&mut self.size, self.later).max(bytes.len());
            self.data.reserve_exact(size + PAD + spare(size));
        }
        let start = self.data.len() as u32;
        let (offset, ordinal) = self.place(offset, ordinal);
        self.data.extend_from_slice(bytes);
        self.records.push(RawRecord { start, len: bytes.len() as u32, ordinal, offset });
    }

    /// Send what was pushed.
    pub fn flush(&mut self) {
        let (data, records) = (std::mem::take(&mut self.data), std::mem::take(&mut self.records));
        self.send(data, records);
    }

    /// Send a buffer as it is; the records lie in its used part.
    pub fn send(&mut self, mut data: Vec<u8>, records: Vec<RawRecord>) {
        if records.is_empty() {
            return;
        }
        // A buffer that grew with its records may have no room left; one that was made for its split has.
        data.reserve_exact(PAD + spare(data.len()));
        data.resize(data.len() + PAD, 0);
        (self.out)(Packet::Raw(Arc::new(RawBatch {
            origin: self.origin.clone(),
            now_ms: 0, // the engine knows the epoch
            lane: self.split.lane,
            data,
            records,
            header: self.header.clone(),
            first: std::mem::take(&mut self.first),
        })));
    }

    /// Reject input at a place; keeps the first [`REJECT_RAW`] bytes, of `size` in all.
    pub fn reject(&mut self, at: (u64, u32), code: &str, reason: String, raw: &[u8], size: u64) {
        let kept = &raw[..raw.len().min(REJECT_RAW)];
        let reason = if self.numbered.is_some() { format!("{reason} (byte {})", at.0) } else { reason };
        let (offset, ordinal) = self.place(at.0, at.1);
        let o = self.origin;
        (self.out)(Packet::Records(vec![Record::Rejected(Box::new(Rejected {
            pos: Pos { source: o.index, partition: o.partition, offset, ordinal },
            node: self.split.source.clone(),
            stage: "read".into(),
            code: code.into(),
            reason,
            origin: o.name.clone(),
            raw: kept.to_vec(),
            truncated: (kept.len() as u64) < size,
            now_ms: 0,
        }))]));
    }
}
