//! Matches and alerts as Arrow columns: the fields people search by, and the whole record as JSON text.
use arrow_array::builder::{StringBuilder, TimestampNanosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::Record;
use std::sync::Arc;

/// Text columns of a match row, by the key of [`model::Match::to_json`].
const MATCH: &[&str] = &[
    "p_rule_id",
    "p_log_type",
    "p_row_id",
    "p_alert_id",
    "p_alert_severity",
    "p_alert_title",
    "p_alert_dedup",
    "p_rule_error",
];
/// Text columns of an alert row, by the key of [`model::Alert::to_json`].
const ALERT: &[&str] = &["alertId", "id", "type", "change", "severity", "title", "dedup"];

/// Column by which records are sorted.
pub const TIME: &str = "time";
/// Column of the whole record.
pub const RECORD: &str = "record";

/// Folder below the lake's path, event time in milliseconds.
pub fn place(record: &Record) -> Option<(&'static str, i64)> {
    match record {
        Record::Match(m) if m.error.is_some() => Some(("rule_errors", m.event_ms)),
        Record::Match(m) => Some(("rules", m.event_ms)),
        Record::Alert(a) => Some(("alerts", a.created_ms)),
        _ => None,
    }
}

/// Arrow schema of a folder of [`place`].
pub fn schema(table: &str) -> SchemaRef {
    let names = if table == "alerts" { ALERT } else { MATCH };
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let mut columns: Vec<Field> = names.iter().map(|n| Field::new(*n, DataType::Utf8, true)).collect();
    columns.push(Field::new(TIME, time, false));
    columns.push(Field::new(RECORD, DataType::Utf8, false));
    Arc::new(Schema::new(columns))
}

/// Records of one folder under its [`schema`].
pub fn columns(records: &[Record], table: &str, schema: &SchemaRef) -> model::Result<RecordBatch> {
    let names = if table == "alerts" { ALERT } else { MATCH };
    let json: Vec<serde_json::Value> = records.iter().map(|r| r.to_json()).collect();
    let mut out: Vec<ArrayRef> = Vec::new();
    for name in names {
        let mut b = StringBuilder::new();
        json.iter().for_each(|j| b.append_option(j.get(name).and_then(|v| v.as_str())));
        out.push(Arc::new(b.finish()));
    }
    let mut time = TimestampNanosecondBuilder::new();
    records.iter().for_each(|r| time.append_value(place(r).map_or(0, |p| p.1).saturating_mul(1_000_000)));
    out.push(Arc::new(time.finish().with_timezone("UTC")));
    let mut b = StringBuilder::new();
    json.iter().for_each(|j| b.append_value(j.to_string()));
    out.push(Arc::new(b.finish()));
    Ok(RecordBatch::try_new(schema.clone(), out)?)
}
