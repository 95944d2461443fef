//! One value of an event: its tag in a column, and as it is borrowed from a batch.

/// Tag of a value in a column. Fits a bit set (`1 << tag`).
pub mod tag {
    /// The path does not exist in the event.
    pub const ABSENT: u8 = 0;
    /// A string, unescaped.
    pub const STR: u8 = 1;
    /// A number, as written.
    pub const NUM: u8 = 2;
    /// `false`.
    pub const FALSE: u8 = 3;
    /// `true`.
    pub const TRUE: u8 = 4;
    /// An object, raw JSON.
    pub const OBJ: u8 = 5;
    /// An array, raw JSON.
    pub const ARR: u8 = 6;
    /// JSON `null`.
    pub const NULL: u8 = 7;
}

/// One value of a batch, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// The path does not exist.
    Absent,
    /// Present and `null`.
    Null,
    /// Boolean.
    Bool(bool),
    /// Number, as written in the input (JSON number grammar).
    Num(&'a str),
    /// String, unescaped.
    Str(&'a str),
    /// Array as raw JSON text.
    Arr(&'a str),
    /// Object as raw JSON text.
    Obj(&'a str),
}

impl<'a> Value<'a> {
    /// True for [`Value::Absent`] and [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Absent | Value::Null)
    }
    /// The text of a string.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }
    /// Text of a scalar as a template or a key shows it: strings bare, numbers as written, `true`, raw JSON of
    /// containers, empty for null.
    pub fn text(&self) -> &'a str {
        match self {
            Value::Absent | Value::Null => "",
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Num(s) | Value::Str(s) | Value::Arr(s) | Value::Obj(s) => s,
        }
    }
    /// Owned JSON. Raw containers are parsed; text that is not JSON becomes a string.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as J;
        match self {
            Value::Absent | Value::Null => J::Null,
            Value::Bool(b) => J::Bool(*b),
            Value::Str(s) => J::String((*s).into()),
            Value::Num(s) | Value::Arr(s) | Value::Obj(s) => {
                serde_json::from_str(s).unwrap_or_else(|_| J::String((*s).into()))
            }
        }
    }
}
