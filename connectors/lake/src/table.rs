//! Batches as Arrow columns: the schema's top-level fields, then the standard `p_` fields, then the indicators.
use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampNanosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
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
    columns.push(Column::new("p_source_file", DataType::Utf8, false));
    columns.push(Column::new("p_schema_version", DataType::Int32, false));
    if indicators {
        let item = Arc::new(Column::new_list_field(DataType::Utf8, true));
        columns.extend(INDICATORS.iter().map(|n| Column::new(*n, DataType::List(item.clone()), true)));
    }
    Arc::new(Schema::new(columns))
}

/// Rows of some batches of one layout, waiting to be encoded.
pub type Gathered = [(Arc<EventBatch>, Vec<u32>)];

/// Gathered rows under [`schema`]. One pass per column over all batches, so that a column is allocated once.
pub fn columns(gathered: &Gathered, schema: &SchemaRef, indicators: bool) -> model::Result<RecordBatch> {
    let Some((first, _)) = gathered.first() else { return Ok(RecordBatch::new_empty(schema.clone())) };
    let n = gathered.iter().map(|g| g.1.len()).sum();
    let rows = || gathered.iter().flat_map(|(b, rows)| rows.iter().map(move |&r| (&**b, r as usize)));
    let mut out: Vec<ArrayRef> = first.layout.fields.iter().map(|f| column(rows(), n, f)).collect();
    let mut text = |f: &dyn Fn(&mut StringBuilder, &EventBatch, usize)| {
        let mut b = StringBuilder::with_capacity(n, n * 16);
        rows().for_each(|(batch, row)| f(&mut b, batch, row));
        out.push(Arc::new(b.finish()));
    };
    text(&|b, batch, _| b.append_value(&batch.layout.log_type));
    text(&|b, batch, row| b.append_value(format!("{:032x}", batch.pos_of(row).row_id())));
    let mut time = |f: &dyn Fn(&EventBatch, usize) -> i64| {
        let mut b = TimestampNanosecondBuilder::with_capacity(n);
        rows().for_each(|(batch, row)| b.append_value(f(batch, row)));
        out.push(Arc::new(b.finish().with_timezone("UTC")));
    };
    time(&|batch, row| batch.event_time[row]);
    time(&|batch, _| batch.now_ms.saturating_mul(1_000_000));
    let mut text = |f: &dyn Fn(&mut StringBuilder, &EventBatch)| {
        let mut b = StringBuilder::with_capacity(n, n * 16);
        rows().for_each(|(batch, _)| f(&mut b, batch));
        out.push(Arc::new(b.finish()));
    };
    text(&|b, batch| b.append_value(&batch.origin.source));
    text(&|b, batch| b.append_value(&batch.origin.name));
    let mut version = Int32Builder::with_capacity(n);
    rows().for_each(|(batch, _)| version.append_value(batch.layout.version as i32));
    out.push(Arc::new(version.finish()));
    if indicators {
        out.extend(INDICATORS.iter().map(|name| indicator(rows(), first, name)));
    }
    Ok(RecordBatch::try_new(schema.clone(), out)?)
}

fn column<'a>(rows: impl Iterator<Item = (&'a EventBatch, usize)>, n: usize, field: &Field) -> ArrayRef {
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
            let mut b = StringBuilder::with_capacity(n, 0);
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

/// The parser gives an indicator of the schema as a column; what it does not give, no event of this type has.
fn indicator<'a>(rows: impl Iterator<Item = (&'a EventBatch, usize)>, first: &EventBatch, name: &str) -> ArrayRef {
    let mut b = ListBuilder::with_capacity(StringBuilder::with_capacity(0, 0), 0);
    let slot = first.layout.slot(&Path::key(name));
    for (batch, row) in rows {
        let values = match slot.map(|s| batch.value(s, row)) {
            Some(Value::Arr(raw)) => serde_json::from_str::<Vec<std::borrow::Cow<str>>>(raw).unwrap_or_default(),
            _ => Vec::new(),
        };
        values.iter().for_each(|v| b.values().append_value(v));
        b.append(!values.is_empty());
    }
    Arc::new(b.finish())
}
