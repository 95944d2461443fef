//! Collects the records of a split into raw batches, and turns what cannot be read into rejects.
use model::raw::PAD;
use model::{Origin, Packet, Pos, RawBatch, RawRecord, Record, Rejected, Split};
use std::sync::Arc;

/// Bytes of records in one batch; a larger record makes a batch of its own. Where a batch ends depends on the records
/// alone, never on how they arrived.
pub(crate) const BATCH: usize = 384 * 4096;
/// Size that the buffer of a split's first batch starts with.
const FIRST: usize = 32 << 10;
/// Most bytes of a bad record that its reject keeps.
pub(crate) const REJECT_RAW: usize = 4096;

/// Room behind `used` bytes of raw data for the values a parser appends.
fn spare(used: usize) -> usize {
    (64 << 10) + used / 16
}

/// What a split's reader hands out.
pub(crate) struct Batcher<'a> {
    split: &'a Split,
    origin: &'a Arc<Origin>,
    out: &'a mut dyn FnMut(Packet),
    first: bool,
    data: Vec<u8>,
    records: Vec<RawRecord>,
}

impl<'a> Batcher<'a> {
    pub(crate) fn new(split: &'a Split, origin: &'a Arc<Origin>, out: &'a mut dyn FnMut(Packet)) -> Batcher<'a> {
        Batcher { split, origin, out, first: true, data: Vec::new(), records: Vec::new() }
    }

    /// Add an event: part `ordinal` of the Kafka record at `offset`.
    pub(crate) fn push(&mut self, bytes: &[u8], offset: u64, ordinal: u32) {
        if self.data.len() + bytes.len() > BATCH {
            self.flush();
        }
        if self.data.capacity() == 0 {
            // The first batch of a split is often small, and the buffer lives as long as the events in it; the others
            // follow a full one.
            let size = if self.first { FIRST } else { BATCH }.max(bytes.len());
            self.data.reserve_exact(size + PAD + spare(size));
        }
        let start = self.data.len() as u32;
        self.data.extend_from_slice(bytes);
        self.records.push(RawRecord { start, len: bytes.len() as u32, ordinal, offset });
    }

    /// Send what was pushed.
    pub(crate) fn flush(&mut self) {
        if self.records.is_empty() {
            return;
        }
        let (mut data, records) = (std::mem::take(&mut self.data), std::mem::take(&mut self.records));
        // A buffer that grew with its records may have no room left; one that was made for its size has.
        data.reserve_exact(PAD + spare(data.len()));
        data.resize(data.len() + PAD, 0);
        (self.out)(Packet::Raw(Arc::new(RawBatch {
            origin: self.origin.clone(),
            now_ms: 0, // the engine knows the epoch
            lane: self.split.lane,
            data,
            records,
            header: None,
            first: std::mem::take(&mut self.first),
        })));
    }

    /// Reject a record, or a part of one; keeps the first [`REJECT_RAW`] bytes.
    pub(crate) fn reject(&mut self, at: (u64, u32), code: &str, reason: String, raw: &[u8]) {
        let kept = &raw[..raw.len().min(REJECT_RAW)];
        let o = self.origin;
        (self.out)(Packet::Records(vec![Record::Rejected(Box::new(Rejected {
            pos: Pos { source: o.index, partition: o.partition, offset: at.0, ordinal: at.1 },
            node: self.split.source.clone(),
            stage: "read".into(),
            code: code.into(),
            reason,
            origin: o.name.clone(),
            raw: kept.to_vec(),
            truncated: kept.len() < raw.len(),
            now_ms: 0,
        }))]));
    }
}
