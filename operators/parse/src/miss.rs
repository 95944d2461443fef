//! Why a record is not an event of a log type: what the classifier counts, and what a person reads.
use crate::json::JsonError;
use std::fmt;
use std::sync::Arc;

/// One reason. Cheap to make: a failing candidate is part of normal classification.
#[derive(Clone, Debug, PartialEq)]
pub enum Miss {
    /// Not a JSON object.
    Json(JsonError),
    /// A text parser does not know the line.
    Text(String),
    /// A required field is missing or null.
    Missing(Arc<str>),
    /// A field has a value of another type.
    WrongType {
        /// Path of the field.
        field: Arc<str>,
        /// Type in the schema.
        want: &'static str,
        /// What is there.
        got: &'static str,
    },
    /// A timestamp that cannot be read.
    BadTime(Arc<str>),
    /// `validate` says no.
    Denied {
        /// Path of the field.
        field: Arc<str>,
        /// What it must be.
        wants: String,
    },
    /// Values computed from the batch do not fit its buffer.
    TooLarge,
}

impl Miss {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Miss::Json(JsonError::NotUtf8 { .. }) => "bad_utf8",
            Miss::Json(_) => "bad_json",
            Miss::Text(_) => "bad_format",
            Miss::Missing(_) => "missing_field",
            Miss::WrongType { .. } => "wrong_type",
            Miss::BadTime(_) => "bad_time",
            Miss::Denied { .. } => "denied_value",
            Miss::TooLarge => "too_large",
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Json(e) => e.fmt(f),
            Miss::Text(t) => f.write_str(t),
            Miss::Missing(field) => write!(f, "required field `{field}` is missing or null"),
            Miss::WrongType { field, want, got } => write!(f, "field `{field}` is {got}, the schema says {want}"),
            Miss::BadTime(field) => write!(f, "field `{field}` is not a time in the schema's timeFormat"),
            Miss::Denied { field, wants } => write!(f, "field `{field}` must be {wants}"),
            Miss::TooLarge => f.write_str("the values computed for this batch are too large"),
        }
    }
}

/// Name of a value's type for messages, by [`model::event::tag`].
pub fn tag_name(tag: u8) -> &'static str {
    use model::event::tag;
    match tag {
        tag::STR => "a string",
        tag::NUM => "a number",
        tag::FALSE | tag::TRUE => "a boolean",
        tag::OBJ => "an object",
        tag::ARR => "an array",
        tag::NULL => "null",
        _ => "missing",
    }
}
