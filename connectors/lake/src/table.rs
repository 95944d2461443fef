//! Batches as Arrow columns: the schema's top-level fields, then the standard `p_` fields, then the indicators.
//!
//! An event can be read back as it was (`events.rs`): its position stands in `p_source_partition`, `p_source_offset` and
//! `p_source_ordinal`, and `p_original` holds the values that their columns do not tell exactly (`exact.rs`).
use crate::exact::Exact;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampNanosecondBuilder,
};
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field as Column, Schema, SchemaRef, TimeUnit};
use model::event::{Field, FieldType};
use model::{EventBatch, Layout, Path, Value};
use std::sync::Arc;

/// Indicator columns of every table (functional spec §2.3).
pub const INDICATORS: &[&str] = &[
    "p_any_ip_addresses",
    "p_any_domain_names",
    "p_any_usernames",
    "p_any_emails",
    "p_any_aws_account_ids",
    "p_any_aws_arns",
    "p_any_aws_instance_ids",
    "p_any_md5_hashes",
    "p_any_sha1_hashes",
    "p_any_sha256_hashes",
    "p_any_trace_ids",
];

/// Timestamps are UTC, always said so.
fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

fn data_type(t: &FieldType) -> DataType {
    match t {
        FieldType::String | FieldType::Json => DataType::Utf8,
        FieldType::SmallInt => DataType::Int16,
        FieldType::Int => DataType::Int32,
        FieldType::BigInt => DataType::Int64,
        FieldType::Float => DataType::Float64,
        FieldType::Boolean => DataType::Boolean,
        FieldType::Timestamp(_) => timestamp(),
    }
}

/// Arrow schema of a log type.
pub fn schema(layout: &Layout, indicators: bool) -> SchemaRef {
    let mut columns: Vec<Column> =
        layout.fields.iter().map(|f| Column::new(f.name.as_ref(), data_type(&f.ty), true)).collect();
    columns.push(Column::new("p_log_type", DataType::Utf8, false));
    columns.push(Column::new("p_row_id", DataType::Utf8, false));
    columns.push(Column::new("p_event_time", timestamp(), false));
    columns.push(Column::new("p_parse_time", timestamp(), false));
    columns.push(Column::new("p_source_id", DataType::Utf8, false));
    columns.push(Column::new("p_source_label", DataType::Utf8, false));
    columns.push(Column::new("p_source_file", DataType::Utf8, false));
    columns.push(Column::new(PARTITION, DataType::Int32, false));
    columns.push(Column::new(OFFSET, DataType::Int64, false));
    columns.push(Column::new(ORDINAL, DataType::Int32, false));
    columns.push(Column::new(ORIGINAL, DataType::Utf8, true));
    columns.push(Column::new("p_schema_version", DataType::Int32, false));
    if indicators {
        let item = Arc::new(Column::new_list_field(DataType::Utf8, true));
        columns.extend(INDICATORS.iter().map(|n| Column::new(*n, DataType::List(item.clone()), true)));
    }
    Arc::new(Schema::new(columns))
}

/// Number of the partition an event was read from; unsigned in truth, as are the next two.
pub const PARTITION: &str = "p_source_partition";
/// Byte or record offset there.
pub const OFFSET: &str = "p_source_offset";
/// Position of the event inside the record at that offset.
pub const ORDINAL: &str = "p_source_ordinal";
/// JSON object of the values that their columns do not tell exactly, as they were; null where there is none.
pub const ORIGINAL: &str = "p_original";

/// Column by which rows of events are sorted.
pub const TIME: &str = "p_event_time";

/// Columns of JSON text.
pub fn json(layout: &Layout) -> Vec<String> {
    layout.fields.iter().filter(|f| f.ty == FieldType::Json).map(|f| f.name.to_string()).collect()
}

/// Rows of some batches of one layout, waiting to be encoded.
pub type Gathered = [(Arc<EventBatch>, Vec<u32>)];

/// Gathered rows under [`schema`], in the order of their time. One pass per column over all batches, so that a column is
/// allocated once.
pub fn columns(gathered: &Gathered, schema: &SchemaRef, indicators: bool) -> model::Result<RecordBatch> {
    let Some((first, _)) = gathered.first() else { return Ok(RecordBatch::new_empty(schema.clone())) };
    let order = by_time(gathered);
    let n = order.len();
    let rows = || order.iter().map(|&(_, batch, row)| (&*gathered[batch as usize].0, row as usize));
    let mut exact = Exact::default();
    let mut out: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in &first.layout.fields {
        let column = column(rows(), n, field);
        exact.column(field, rows().map(|(b, r)| b.value(field.slot, r)), &column);
        out.push(column);
    }
    let constant = |f: &dyn Fn(&EventBatch) -> &str| -> ArrayRef {
        let mut b = StringBuilder::with_capacity(n, rows().map(|(batch, _)| f(batch).len()).sum());
        rows().for_each(|(batch, _)| b.append_value(f(batch)));
        Arc::new(b.finish())
    };
    out.push(constant(&|batch| &*batch.layout.log_type));
    let mut ids = StringBuilder::with_capacity(n, n * 32);
    rows().for_each(|(batch, row)| ids.append_value(hex(batch.pos_of(row).row_id(), &mut [0; 32])));
    out.push(Arc::new(ids.finish()));
    let mut time = |f: &dyn Fn(&EventBatch, usize) -> i64| {
        let mut b = TimestampNanosecondBuilder::with_capacity(n);
        rows().for_each(|(batch, row)| b.append_value(f(batch, row)));
        out.push(Arc::new(b.finish().with_timezone("UTC")));
    };
    time(&|batch, row| batch.event_time[row]);
    time(&|batch, _| batch.now_ms.saturating_mul(1_000_000));
    out.push(constant(&|batch| &batch.origin.source));
    out.push(constant(&|batch| &batch.origin.label));
    out.push(constant(&|batch| &batch.origin.name));
    let number = |f: &dyn Fn(&EventBatch, usize) -> i32| Int32Array::from_iter_values(rows().map(|(b, r)| f(b, r)));
    out.push(Arc::new(number(&|batch, _| batch.origin.partition as i32)));
    out.push(Arc::new(Int64Array::from_iter_values(rows().map(|(b, r)| b.rows[r].offset as i64))));
    out.push(Arc::new(number(&|batch, row| batch.rows[row].ordinal as i32)));
    out.push(Arc::new(exact.finish(n)));
    out.push(Arc::new(number(&|batch, _| batch.layout.version as i32)));
    if indicators {
        out.extend(INDICATORS.iter().map(|name| indicator(rows(), n, first.layout.slot(&Path::key(name)))));
    }
    Ok(RecordBatch::try_new(schema.clone(), out)?)
}

/// As `{:032x}` writes it, for every row of a lake.
fn hex(id: u128, text: &mut [u8; 32]) -> &str {
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(id.to_be_bytes()) {
        *pair = [byte >> 4, byte & 15].map(|n| b"0123456789abcdef"[n as usize]);
    }
    std::str::from_utf8(text).unwrap_or_default()
}

/// `(time, batch, row)` of gathered rows, sorted.
fn by_time(gathered: &Gathered) -> Vec<(i64, u32, u32)> {
    let of = |(b, (batch, rows)): (usize, &(Arc<EventBatch>, Vec<u32>))| {
        rows.iter().map(|&r| (batch.event_time[r as usize], b as u32, r)).collect::<Vec<_>>()
    };
    let mut order: Vec<_> = gathered.iter().enumerate().flat_map(of).collect();
    order.sort_unstable();
    order
}

fn column<'a>(rows: impl Iterator<Item = (&'a EventBatch, usize)> + Clone, n: usize, field: &Field) -> ArrayRef {
    let values = rows.map(|(b, r)| b.value(field.slot, r));
    macro_rules! numbers {
        ($builder:ident, $t:ty) => {{
            let mut b = $builder::with_capacity(n);
            values.for_each(|v| b.append_option(number::<$t>(v)));
            Arc::new(b.finish())
        }};
    }
    match &field.ty {
        FieldType::SmallInt => numbers!(Int16Builder, i16),
        FieldType::Int => numbers!(Int32Builder, i32),
        FieldType::BigInt => numbers!(Int64Builder, i64),
        FieldType::Float => numbers!(Float64Builder, f64),
        FieldType::Boolean => {
            let mut b = BooleanBuilder::with_capacity(n);
            values.for_each(|v| {
                b.append_option(match v {
                    Value::Bool(x) => Some(x),
                    Value::Str(s) => s.parse().ok(),
                    _ => None,
                })
            });
            Arc::new(b.finish())
        }
        FieldType::Timestamp(format) => {
            let mut b = TimestampNanosecondBuilder::with_capacity(n);
            values.for_each(|v| b.append_option(if v.is_null() { None } else { format.parse(v.text()) }));
            Arc::new(b.finish().with_timezone("UTC"))
        }
        FieldType::String | FieldType::Json => {
            let bytes = values.clone().map(|v| v.text().len()).sum();
            let mut b = StringBuilder::with_capacity(n, bytes);
            values.for_each(|v| match v.is_null() {
                true => b.append_null(),
                false => b.append_value(v.text()),
            });
            Arc::new(b.finish())
        }
    }
}

fn number<T: std::str::FromStr>(v: Value) -> Option<T> {
    match v {
        Value::Num(s) | Value::Str(s) => s.parse().ok(),
        _ => None,
    }
}

/// The parser gives an indicator of the schema as a column (at `slot`); what it does not give, no event of this type has.
fn indicator<'a>(rows: impl Iterator<Item = (&'a EventBatch, usize)> + Clone, n: usize, slot: Option<u32>) -> ArrayRef {
    let lists = rows.map(|(batch, row)| match slot.map(|s| batch.value(s, row)) {
        Some(Value::Arr(raw)) => raw,
        _ => "",
    });
    let bytes = lists.clone().map(str::len).sum();
    let mut b = ListBuilder::with_capacity(StringBuilder::with_capacity(n, bytes), n);
    for raw in lists {
        let before = b.values().len();
        texts(raw, |text| b.values().append_value(text));
        let some = b.values().len() > before;
        b.append(some);
    }
    Arc::new(b.finish())
}

/// The texts of a JSON array of texts, as the parser writes it.
fn texts(raw: &str, mut f: impl FnMut(&str)) {
    match memchr::memchr(b'\\', raw.as_bytes()) {
        // Without escapes every quote opens or closes a text.
        None => {
            let mut quotes = memchr::memchr_iter(b'"', raw.as_bytes());
            while let (Some(open), Some(close)) = (quotes.next(), quotes.next()) {
                f(&raw[open + 1..close]);
            }
        }
        Some(_) => serde_json::from_str::<Vec<String>>(raw).unwrap_or_default().iter().for_each(|text| f(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_ids_read_as_the_formatter_writes_them() {
        for id in [0, 1, 0x0123_4567_89ab_cdef_u128 << 60, u128::MAX - 255] {
            assert_eq!(hex(id, &mut [0; 32]), format!("{id:032x}"));
        }
    }

    #[test]
    fn texts_of_an_array() {
        for texts_ in [vec![], vec!["a"], vec!["a", "b,c", "[d]"], vec!["q\"", "b\\", "ü"], vec!["", ""]] {
            let raw = serde_json::to_string(&texts_).unwrap();
            let mut got = Vec::new();
            texts(&raw, |t| got.push(t.to_string()));
            assert_eq!(got, texts_, "{raw}");
        }
        texts("", |t| panic!("{t}"));
    }
}
