//! Rows of the lake as JSON records of the fields that the parser gave.
use crate::exact::{is_json, says};
use crate::table::{OFFSET, ORDINAL, ORIGINAL, PARTITION, TIME};
use crate::wanted::Wanted;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::DataType;
use model::event::{Field, FieldType};
use model::raw::PAD;
use model::{Origin, Pos, RawBatch, RawRecord, Result};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::sync::Arc;

/// Rows decoded at a time.
pub(crate) const ROWS: usize = 2048;
/// Sources of a topology that a row id is tried with.
const SOURCES_MAX: u32 = 4096;

/// Events of one log type and origin, to be parsed as [`Wanted::log_types`] tells.
#[derive(Debug)]
pub struct Stored {
    /// Their log type.
    pub log_type: Arc<str>,
    /// Revision of the schema they were parsed by.
    pub version: u32,
    /// Fields that are texts in the lake, whatever the schema says: a mask has hidden them. Free JSON may hold texts.
    pub texts: BTreeSet<Arc<str>>,
    /// Their event times, nanoseconds since 1970.
    pub times: Vec<i64>,
    /// The events as JSON records, with origin, positions and parse time.
    pub raw: RawBatch,
}

/// The wanted rows of a batch, by origin and parse time.
pub(crate) fn stored(batch: &RecordBatch, wanted: &Wanted) -> Result<Vec<Stored>> {
    let rows = Rows::of(batch)?;
    let Some(log_type) = (batch.num_rows() > 0).then(|| rows.log_type.value(0)) else {
        return Ok(Vec::new());
    };
    let Some((log_type, fields)) = wanted.log_types.get_key_value(log_type) else { return Ok(Vec::new()) };
    let columns: Vec<(&Field, &ArrayRef)> =
        fields.iter().filter_map(|f| Some((f, batch.column_by_name(&f.name)?))).collect();
    let texts = |(f, c): &&(&Field, &ArrayRef)| match (c.data_type(), &f.ty) {
        (DataType::Utf8, FieldType::Json) => c.as_string::<i32>().iter().flatten().any(|text| !is_json(text)),
        (DataType::Utf8, ty) => *ty != FieldType::String,
        _ => false,
    };
    let texts: BTreeSet<Arc<str>> = columns.iter().filter(texts).map(|(f, _)| f.name.clone()).collect();
    let mut out: BTreeMap<Key<'_>, Stored> = BTreeMap::new();
    let mut scratch = String::new();
    for row in (0..batch.num_rows()).filter(|row| wanted.has(rows.time.value(*row))) {
        let key = rows.key(row);
        let stored = match out.entry(key) {
            Entry::Occupied(o) => o.into_mut(),
            Entry::Vacant(v) => v.insert(key.begin(log_type, texts.clone(), rows.source_number(row)?)),
        };
        let data = &mut stored.raw.data;
        let start = data.len();
        record(data, &columns, rows.original(row)?, row, &mut scratch)?;
        let (len, pos) = ((data.len() - start) as u32, rows.pos(row, 0));
        let (ordinal, offset) = (pos.ordinal, pos.offset);
        stored.raw.records.push(RawRecord { start: start as u32, len, ordinal, offset });
        stored.times.push(rows.time.value(row));
    }
    let finished = |mut s: Stored| {
        s.raw.data.resize(s.raw.data.len() + PAD, 0);
        s
    };
    Ok(out.into_values().map(finished).collect())
}

/// One event as a JSON object.
fn record(
    data: &mut Vec<u8>,
    columns: &[(&Field, &ArrayRef)],
    original: BTreeMap<String, Box<RawValue>>,
    row: usize,
    scratch: &mut String,
) -> Result<()> {
    let mut before = b'{';
    for (f, column) in columns {
        let original = original.get(&*f.name);
        if original.is_none() && column.is_null(row) {
            continue;
        }
        data.push(before);
        before = b',';
        serde_json::to_writer(&mut *data, &*f.name)?;
        data.push(b':');
        match original {
            Some(raw) => data.extend_from_slice(raw.get().as_bytes()),
            None if says(&f.ty, f.quoted, column, row, scratch) => serde_json::to_writer(&mut *data, &**scratch)?,
            None => data.extend_from_slice(scratch.as_bytes()),
        }
    }
    if before == b'{' {
        data.push(b'{');
    }
    data.push(b'}');
    Ok(())
}

/// What events of one batch have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    source: &'a str,
    label: &'a str,
    file: &'a str,
    partition: i32,
    parsed_ns: i64,
    version: i32,
}

impl Key<'_> {
    fn begin(&self, log_type: &Arc<str>, texts: BTreeSet<Arc<str>>, index: u32) -> Stored {
        let origin = Origin {
            source: self.source.into(),
            label: self.label.into(),
            index,
            partition: self.partition as u32,
            name: self.file.into(),
        };
        let now_ms = self.parsed_ns.div_euclid(1_000_000);
        let raw = RawBatch { origin: Arc::new(origin), now_ms, first: true, ..RawBatch::default() };
        Stored { log_type: log_type.clone(), version: self.version as u32, texts, times: Vec::new(), raw }
    }
}

/// The standard columns of a batch.
struct Rows<'b> {
    time: &'b PrimitiveArray<TimestampNanosecondType>,
    parsed: &'b PrimitiveArray<TimestampNanosecondType>,
    offset: &'b PrimitiveArray<Int64Type>,
    partition: &'b PrimitiveArray<Int32Type>,
    ordinal: &'b PrimitiveArray<Int32Type>,
    version: &'b PrimitiveArray<Int32Type>,
    log_type: &'b StringArray,
    source: &'b StringArray,
    label: &'b StringArray,
    file: &'b StringArray,
    row_id: &'b StringArray,
    original: &'b StringArray,
}

/// A standard column as the array it must be.
fn typed<'b, A>(batch: &'b RecordBatch, name: &str, of: impl Fn(&'b ArrayRef) -> Option<&'b A>) -> Result<&'b A> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| format!("there is no column {name}: another program wrote it, or an older millstream"))?;
    Ok(of(column).ok_or_else(|| format!("the column {name} has another type than this product gives it"))?)
}

fn number<'b, T: ArrowPrimitiveType>(batch: &'b RecordBatch, name: &str) -> Result<&'b PrimitiveArray<T>> {
    typed(batch, name, |c| c.as_primitive_opt::<T>())
}

impl<'b> Rows<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Rows<'b>> {
        let text = |name| typed(batch, name, |c| c.as_string_opt::<i32>());
        Ok(Rows {
            time: number(batch, TIME)?,
            parsed: number(batch, "p_parse_time")?,
            offset: number(batch, OFFSET)?,
            partition: number(batch, PARTITION)?,
            ordinal: number(batch, ORDINAL)?,
            version: number(batch, "p_schema_version")?,
            log_type: text("p_log_type")?,
            source: text("p_source_id")?,
            label: text("p_source_label")?,
            file: text("p_source_file")?,
            row_id: text("p_row_id")?,
            original: text(ORIGINAL)?,
        })
    }

    fn key(&self, row: usize) -> Key<'b> {
        Key {
            source: self.source.value(row),
            label: self.label.value(row),
            file: self.file.value(row),
            partition: self.partition.value(row),
            parsed_ns: self.parsed.value(row),
            version: self.version.value(row),
        }
    }

    fn pos(&self, row: usize, source: u32) -> Pos {
        Pos {
            source,
            partition: self.partition.value(row) as u32,
            offset: self.offset.value(row) as u64,
            ordinal: self.ordinal.value(row) as u32,
        }
    }

    /// Number of the source that an event came from: the one with which its position makes its row id. The topology that
    /// wrote it may have had other sources.
    fn source_number(&self, row: usize) -> Result<u32> {
        let id = self.row_id.value(row);
        let id = u128::from_str_radix(id, 16).map_err(|e| format!("p_row_id {id}: {e}"))?;
        let number = (0..SOURCES_MAX).find(|n| self.pos(row, *n).row_id() == id);
        Ok(number.ok_or_else(|| format!("p_row_id {id:032x} does not belong to the position beside it"))?)
    }

    fn original(&self, row: usize) -> Result<BTreeMap<String, Box<RawValue>>> {
        if self.original.is_null(row) {
            return Ok(BTreeMap::new());
        }
        let text = self.original.value(row);
        Ok(serde_json::from_str(text).map_err(|e| format!("{ORIGINAL}: {e}"))?)
    }
}

#[cfg(test)]
mod tests;
