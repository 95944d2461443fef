//! What a function of a detection returned, as far as the contract looks at it, whoever ran it.
use crate::contract::MAX_DESTINATIONS;
use ::python::run::to_json;
use ::python::value::Value;
use serde_json::Value as J;

/// Mappings that CPython knows by these names; one that JSON can hold is known by its JSON.
const MAPPINGS: [&str; 6] =
    ["dict", "OrderedDict", "defaultdict", "Counter", "ImmutableCaseInsensitiveDict", "PantherEvent"];

/// A value.
#[derive(Debug, PartialEq)]
pub(super) enum Returned {
    /// `None`.
    None,
    /// `bool`.
    Bool(bool),
    /// `str`.
    Text(String),
    /// `list`: its first items, as many as the contract takes: texts, or the type of what is none.
    List(Vec<Result<String, String>>),
    /// A mapping, its type and what JSON can hold of it: all or nothing.
    Map(String, Option<J>),
    /// Anything else: its type.
    Other(String),
}

impl Returned {
    /// Name of its type.
    pub fn type_name(&self) -> &str {
        match self {
            Returned::None => "NoneType",
            Returned::Bool(_) => "bool",
            Returned::Text(_) => "str",
            Returned::List(_) => "list",
            Returned::Map(name, _) | Returned::Other(name) => name,
        }
    }

    /// What CPython says of a value: its type and its JSON.
    pub fn told(kind: String, json: Option<J>) -> Returned {
        match json {
            Some(J::Null) => Returned::None,
            Some(J::Bool(b)) => Returned::Bool(b),
            Some(J::String(text)) => Returned::Text(text),
            Some(J::Array(items)) if kind == "list" => {
                let item = |v: J| match v {
                    J::String(text) => Ok(text),
                    J::Null => Err("NoneType".into()),
                    J::Bool(_) => Err("bool".into()),
                    J::Number(n) => Err(if n.is_f64() { "float" } else { "int" }.into()),
                    J::Array(_) => Err("list".into()),
                    J::Object(_) => Err("dict".into()),
                };
                Returned::List(items.into_iter().take(MAX_DESTINATIONS).map(item).collect())
            }
            Some(map @ J::Object(_)) => Returned::Map(kind, Some(map)),
            None if MAPPINGS.contains(&kind.as_str()) => Returned::Map(kind, None),
            None if kind == "list" => Returned::List(vec![Err("what JSON cannot hold".into())]),
            _ => Returned::Other(kind),
        }
    }
}

impl From<Value> for Returned {
    fn from(value: Value) -> Returned {
        match &value {
            Value::None => Returned::None,
            Value::Bool(b) => Returned::Bool(*b),
            Value::Str(text) => Returned::Text(text.to_string()),
            Value::List(list) => {
                let item = |v: &Value| match v {
                    Value::Str(s) => Ok(s.to_string()),
                    other => Err(other.type_name()),
                };
                Returned::List(list.items.borrow().iter().take(MAX_DESTINATIONS).map(item).collect())
            }
            Value::Dict(_) | Value::EvDict(_) => Returned::Map(value.type_name(), to_json(&value)),
            other => Returned::Other(other.type_name()),
        }
    }
}
