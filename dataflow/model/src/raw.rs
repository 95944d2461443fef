//! Raw input on its way to the parser.
use crate::pos::Pos;
use std::sync::Arc;

/// Readable bytes that every data buffer has past its last used byte, so that vector code may read over the end.
pub const PAD: usize = 64;

/// Where a batch was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Node id of the source (`p_source_id`).
    pub source: Arc<str>,
    /// Human name of the source (`p_source_label`); the node id unless configured.
    pub label: Arc<str>,
    /// Index of the source node, for [`Pos`].
    pub index: u32,
    /// Partition number.
    pub partition: u32,
    /// Partition name (file path, topic and partition).
    pub name: Arc<str>,
}

/// One record of raw input: a span of the batch's buffer and its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// First byte in the buffer.
    pub start: u32,
    /// Length in bytes, without line end.
    pub len: u32,
    /// See [`Pos::ordinal`].
    pub ordinal: u32,
    /// See [`Pos::offset`].
    pub offset: u64,
}

/// Records of one split, as read: at most ~1.6 MB (one larger record makes a batch of its own).
#[derive(Clone, Debug, Default)]
pub struct RawBatch {
    /// Where it was read.
    pub origin: Arc<Origin>,
    /// Epoch clock, milliseconds since 1970: `p_parse_time` of everything in here.
    pub now_ms: i64,
    /// Lane of the split.
    pub lane: u32,
    /// The bytes; [`PAD`] readable bytes follow the last used one (the Vec's length includes them).
    pub data: Vec<u8>,
    /// The records, in order.
    pub records: Vec<RawRecord>,
    /// First line of the stream, for formats with a header (CSV, VPC Flow). `None` when the stream type has no lines.
    pub header: Option<Arc<[u8]>>,
    /// True for the first batch of a split, or of a part that was read by itself: so long lives the classifier's state.
    pub first: bool,
}

impl RawBatch {
    /// Bytes of record `i`.
    pub fn bytes(&self, i: usize) -> &[u8] {
        let r = &self.records[i];
        &self.data[r.start as usize..(r.start + r.len) as usize]
    }
    /// Position of record `i`.
    pub fn pos(&self, i: usize) -> Pos {
        let r = &self.records[i];
        Pos { source: self.origin.index, partition: self.origin.partition, offset: r.offset, ordinal: r.ordinal }
    }
}
