//! What a column says of a value, and which values it does not tell exactly.
//!
//! A column holds a time, a number, or a text; an event has what was written: `1.50`, a time with another offset, a text in
//! free JSON that looks like a number. [`says`] is how a cell is read back. Where that is not the value it was made of, the
//! value itself goes into [`crate::table::ORIGINAL`]. Of most log types no row has one.
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::DataType;
use model::Value;
use model::event::{Field, FieldType};
use std::fmt::Write;

/// What a cell is read as: its JSON text in `out` (a text without its quotes). True if it is a text. `ty` is the type of
/// the field and may be another one than the column's: the field was hidden, or the schema has changed.
pub fn says(ty: &FieldType, quoted: bool, column: &ArrayRef, row: usize, out: &mut String) -> bool {
    out.clear();
    match column.data_type() {
        DataType::Int16 => drop(write!(out, "{}", column.as_primitive::<Int16Type>().value(row))),
        DataType::Int32 => drop(write!(out, "{}", column.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => drop(write!(out, "{}", column.as_primitive::<Int64Type>().value(row))),
        DataType::Float64 => drop(write!(out, "{}", column.as_primitive::<Float64Type>().value(row))),
        DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Timestamp(..) => {
            let ns = column.as_primitive::<TimestampNanosecondType>().value(row);
            return match ty {
                FieldType::Timestamp(format) => !format.write(ns, out) || quoted,
                _ => {
                    out.push_str(&model::time::text_ns(ns));
                    true
                }
            };
        }
        DataType::Utf8 => {
            let text = column.as_string::<i32>().value(row);
            out.push_str(text);
            return *ty != FieldType::Json || !is_json(text);
        }
        _ => return true,
    }
    false
}

/// True for a text in a column of JSON that is not a JSON string.
pub fn is_json(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'{' | b'[') => true,
        Some(b'-' | b'0'..=b'9') => serde_json::from_str::<serde_json::Number>(text).is_ok(),
        _ => matches!(text, "true" | "false"),
    }
}

/// Gathers what columns do not tell.
#[derive(Default)]
pub struct Exact {
    /// Row, and a member of its JSON object; by column.
    values: Vec<(u32, String)>,
}

impl Exact {
    /// Compare a column with the values it was made of.
    pub fn column<'a>(&mut self, field: &Field, values: impl Iterator<Item = Value<'a>>, column: &ArrayRef) {
        // These say what they hold.
        if matches!(field.ty, FieldType::String | FieldType::Boolean) {
            return;
        }
        let mut text = String::new();
        for (row, v) in values.enumerate() {
            let same = match v {
                Value::Absent | Value::Null => continue,
                // An object or array reads as one.
                Value::Obj(_) | Value::Arr(_) => field.ty == FieldType::Json,
                _ if column.is_null(row) => false,
                v => {
                    let is_text = says(&field.ty, field.quoted, column, row, &mut text);
                    text == v.text() && is_text == matches!(v, Value::Str(_))
                }
            };
            if !same {
                self.values.push((row as u32, format!("{}:{}", serde_json::json!(*field.name), json(v))));
            }
        }
    }

    /// The column of `n` rows.
    pub fn finish(mut self, n: usize) -> StringArray {
        // Stable: members keep the order of the columns.
        self.values.sort_by_key(|(row, _)| *row);
        let mut rows = self.values.chunk_by(|a, b| a.0 == b.0).peekable();
        let of = |row| {
            let found = rows.next_if(|members| members[0].0 as usize == row)?;
            let members: Vec<&str> = found.iter().map(|(_, member)| member.as_str()).collect();
            Some(format!("{{{}}}", members.join(",")))
        };
        (0..n).map(of).collect()
    }
}

/// A value as JSON text, as it is written.
fn json(v: Value<'_>) -> String {
    match v {
        Value::Str(s) => serde_json::json!(s).to_string(),
        v => v.text().into(),
    }
}
