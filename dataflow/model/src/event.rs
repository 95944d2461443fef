//! The event batch: raw bytes plus span columns. Never a DOM.
//!
//! A parser writes, for each path somebody needs, one column of `(offset, length)` spans into the batch's buffer and
//! one tag per row. Values that are not in the raw bytes as they should read (escaped strings, split or masked
//! fields) are appended to the same buffer behind the raw bytes, so a span is all there is to a value.
use crate::lookup::EnrichColumn;
use crate::path::Path;
use crate::pos::Pos;
use crate::raw::{Origin, RawRecord};
use crate::time::TimeFormat;
pub use crate::value::{Value, tag};
use std::collections::HashMap;
use std::sync::Arc;

/// Type of a schema field, as the lake stores it.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldType {
    /// UTF-8 text.
    String,
    /// 16-bit signed.
    SmallInt,
    /// 32-bit signed.
    Int,
    /// 64-bit signed.
    BigInt,
    /// 64-bit float.
    Float,
    /// Boolean.
    Boolean,
    /// A point in time in the given text format.
    Timestamp(TimeFormat),
    /// Object, array or any JSON, kept as JSON text.
    Json,
}

/// A top-level schema field with its column.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name in the schema.
    pub name: Arc<str>,
    /// Its type.
    pub ty: FieldType,
    /// Column that holds it.
    pub slot: u32,
    /// Its times are texts, whatever their format: a text parser found them.
    pub quoted: bool,
}

/// Columns of one log type as one topology needs them. Shared by all its batches; consumers key caches by its address.
pub struct Layout {
    /// Log type, e.g. `AWS.CloudTrail`.
    pub log_type: Arc<str>,
    /// Table name: lower case, dots to underscores.
    pub table: String,
    /// Schema revision (`p_schema_version`).
    pub version: u32,
    /// Path of every slot.
    pub slots: Vec<Path>,
    /// Slot of a path.
    pub index: HashMap<Path, u32>,
    /// Every top-level schema field; empty unless a consumer asked for all fields ([`crate::Needs::all`]).
    pub fields: Vec<Field>,
    /// The slow way to a whole event, for the few that match.
    pub full: Arc<dyn FullEvent>,
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layout").field("log_type", &self.log_type).field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl Layout {
    /// Slot of a path, if the layout holds it.
    pub fn slot(&self, path: &Path) -> Option<u32> {
        self.index.get(path).copied()
    }
}

/// What is known of a field of a whole event without putting it together.
#[derive(Clone, Debug, PartialEq)]
pub enum OneField {
    /// Its name in the event, and its value.
    Value(Arc<str>, serde_json::Value),
    /// The event has none.
    Absent,
    /// Only the whole event tells.
    Unknown,
}

/// Builds whole events from a batch; implemented by the parser of the log type.
pub trait FullEvent: Send + Sync {
    /// The normalised event (schema fields in schema order, unknown input keys dropped) with the standard `p_` fields
    /// and the indicators, without `p_enrichment`.
    fn event(&self, batch: &EventBatch, row: usize) -> serde_json::Map<String, serde_json::Value>;
    /// A field of [`FullEvent::event`] by its name; without `exact`, if there is none of this name, the first whose name
    /// differs only in the case of its letters. Most rows that somebody looks at whole are asked for a few of them.
    fn field(&self, batch: &EventBatch, row: usize, name: &str, exact: bool) -> OneField {
        let _ = (batch, row, name, exact);
        OneField::Unknown
    }
    /// Values of one indicator field (`p_any_ip_addresses`, …): sorted, no duplicates.
    fn any(&self, batch: &EventBatch, row: usize, field: &str, out: &mut Vec<String>);
    /// True if an event may have a key of this path also in another case of its letters, at any level. Where it is false,
    /// an absent or null column means that whoever looks for the keys without regard to case finds nothing.
    fn may_have_twin(&self, path: &Path) -> bool {
        let _ = path;
        true
    }
}

/// Events of one log type from one raw batch, in order. Columns are slot-major: `pos[slot * stride + row]`.
#[derive(Clone)]
pub struct EventBatch {
    /// Where it was read.
    pub origin: Arc<Origin>,
    /// Epoch clock, milliseconds (`p_parse_time`).
    pub now_ms: i64,
    /// Lane of the split.
    pub lane: u32,
    /// Columns and log type.
    pub layout: Arc<Layout>,
    /// Raw bytes, then side values, then [`crate::raw::PAD`] bytes. Every span in `pos` with tag STR, NUM, OBJ or ARR
    /// is in bounds and valid UTF-8: the parser's promise, on which [`EventBatch::value`] relies.
    pub data: Arc<Vec<u8>>,
    /// The raw record of every row.
    pub rows: Vec<RawRecord>,
    /// Capacity of a column in rows.
    pub stride: usize,
    /// `offset | length << 32` into `data`.
    pub pos: Vec<u64>,
    /// See [`tag`].
    pub tag: Vec<u8>,
    /// `p_event_time`, nanoseconds since 1970.
    pub event_time: Vec<i64>,
    /// Columns joined by enrichment nodes.
    pub enrich: Vec<EnrichColumn>,
    /// See [`crate::RawBatch::header`].
    pub header: Option<Arc<[u8]>>,
}

impl std::fmt::Debug for EventBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventBatch({}, {} rows, {})", self.layout.log_type, self.rows.len(), self.origin.name)
    }
}

impl EventBatch {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// True if there is no event.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// Value in a column.
    #[inline]
    pub fn value(&self, slot: u32, row: usize) -> Value<'_> {
        let i = slot as usize * self.stride + row;
        match self.tag[i] {
            tag::STR => Value::Str(self.span(i)),
            tag::NUM => Value::Num(self.span(i)),
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::OBJ => Value::Obj(self.span(i)),
            tag::ARR => Value::Arr(self.span(i)),
            tag::NULL => Value::Null,
            _ => Value::Absent,
        }
    }
    /// Tags of a column.
    pub fn tags(&self, slot: u32) -> &[u8] {
        &self.tag[slot as usize * self.stride..][..self.rows.len()]
    }
    /// Spans of a column.
    pub fn spans(&self, slot: u32) -> &[u64] {
        &self.pos[slot as usize * self.stride..][..self.rows.len()]
    }
    #[inline]
    fn span(&self, i: usize) -> &str {
        let p = self.pos[i];
        let (o, n) = (p as u32 as usize, (p >> 32) as usize);
        let bytes = &self.data[o..o + n];
        debug_assert!(std::str::from_utf8(bytes).is_ok());
        // SAFETY: `data`'s documented promise: spans are valid UTF-8, checked by the parser that wrote them.
        unsafe { std::str::from_utf8_unchecked(bytes) }
    }
    /// Raw bytes of a row's record.
    pub fn raw(&self, row: usize) -> &[u8] {
        let r = &self.rows[row];
        &self.data[r.start as usize..(r.start + r.len) as usize]
    }
    /// Position of a row.
    pub fn pos_of(&self, row: usize) -> Pos {
        let r = &self.rows[row];
        Pos { source: self.origin.index, partition: self.origin.partition, offset: r.offset, ordinal: r.ordinal }
    }
    /// `p_event_time` of a row in milliseconds.
    pub fn event_ms(&self, row: usize) -> i64 {
        self.event_time[row].div_euclid(1_000_000)
    }
}
