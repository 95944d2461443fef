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

/// The given rows of a batch under [`schema`].
pub fn columns(batch: &EventBatch, rows: &[u32], schema: &SchemaRef, indicators: bool) -> model::Result<RecordBatch> {
    let mut out: Vec<ArrayRef> = batch.layout.fields.iter().map(|f| column(batch, rows, f)).collect();
    let text = |f: &dyn Fn(usize) -> String| -> ArrayRef {
        let mut b = StringBuilder::with_capacity(rows.len(), rows.len() * 32);
        rows.iter().for_each(|&r| b.append_value(f(r as usize)));
        Arc::new(b.finish())
    };
    let same = |s: &str| -> ArrayRef {
        let mut b = StringBuilder::with_capacity(rows.len(), rows.len() * s.len());
        rows.iter().for_each(|_| b.append_value(s));
        Arc::new(b.finish())
    };
    let time = |f: &dyn Fn(usize) -> i64| -> ArrayRef {
        let mut b = TimestampNanosecondBuilder::with_capacity(rows.len());
        rows.iter().for_each(|&r| b.append_value(f(r as usize)));
        Arc::new(b.finish().with_timezone("UTC"))
    };
    out.push(same(&batch.layout.log_type));
    out.push(text(&|r| format!("{:032x}", batch.pos_of(r).row_id())));
    out.push(time(&|r| batch.event_time[r]));
    out.push(time(&|_| batch.now_ms.saturating_mul(1_000_000)));
    out.push(same(&batch.origin.source));
    out.push(same(&batch.origin.name));
    let mut version = Int32Builder::with_capacity(rows.len());
    rows.iter().for_each(|_| version.append_value(batch.layout.version as i32));
    out.push(Arc::new(version.finish()));
    if indicators {
        out.extend(indicator_columns(batch, rows));
    }
    Ok(RecordBatch::try_new(schema.clone(), out)?)
}

fn column(batch: &EventBatch, rows: &[u32], field: &Field) -> ArrayRef {
    let values = || rows.iter().map(|&r| batch.value(field.slot, r as usize));
    macro_rules! numbers {
        ($builder:ident, $t:ty) => {{
            let mut b = $builder::with_capacity(rows.len());
            values().for_each(|v| b.append_option(number::<$t>(v)));
            Arc::new(b.finish())
        }};
    }
    match &field.ty {
        FieldType::SmallInt => numbers!(Int16Builder, i16),
        FieldType::Int => numbers!(Int32Builder, i32),
        FieldType::BigInt => numbers!(Int64Builder, i64),
        FieldType::Float => numbers!(Float64Builder, f64),
        FieldType::Boolean => {
            let mut b = BooleanBuilder::with_capacity(rows.len());
            values().for_each(|v| {
                b.append_option(match v {
                    Value::Bool(x) => Some(x),
                    Value::Str(s) => s.parse().ok(),
                    _ => None,
                })
            });
            Arc::new(b.finish())
        }
        FieldType::Timestamp(format) => {
            let mut b = TimestampNanosecondBuilder::with_capacity(rows.len());
            values().for_each(|v| b.append_option(if v.is_null() { None } else { format.parse(v.text()) }));
            Arc::new(b.finish().with_timezone("UTC"))
        }
        FieldType::String | FieldType::Json => {
            let mut b = StringBuilder::with_capacity(rows.len(), rows.len() * 24);
            values().for_each(|v| match v.is_null() {
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
fn indicator_columns(batch: &EventBatch, rows: &[u32]) -> Vec<ArrayRef> {
    let column = |name: &&str| -> ArrayRef {
        let mut b = ListBuilder::new(StringBuilder::new());
        let slot = batch.layout.slot(&Path::key(name));
        for &row in rows {
            let values = match slot.map(|s| batch.value(s, row as usize)) {
                Some(Value::Arr(raw)) => serde_json::from_str::<Vec<std::borrow::Cow<str>>>(raw).unwrap_or_default(),
                _ => Vec::new(),
            };
            values.iter().for_each(|v| b.values().append_value(v));
            b.append(!values.is_empty());
        }
        Arc::new(b.finish())
    };
    INDICATORS.iter().map(column).collect()
}
