//! Lua values to JSON: only plain data gets out.
//!
//! Tables are read raw, so metatables cannot run code or invent content. Nesting, number of values and bytes are
//! bounded, which also ends cycles and tables that hold themselves twice over. Keys come out sorted: the order of a
//! Lua table means nothing.
use super::view::View;
use mlua::{Table, Value};
use serde_json::{Map, Number, Value as J};
use std::collections::BTreeMap;

/// Deepest nesting.
pub const MAX_DEPTH: usize = 64;
/// Most values in one conversion.
pub const MAX_VALUES: usize = 20_000;
/// Most bytes of text in one conversion.
pub const MAX_BYTES: usize = 4 << 20;

/// Largest integer below which every integer is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Convert; errors say what cannot be JSON.
pub(super) fn to_json(v: &Value) -> Result<J, String> {
    Reader { values: 0, bytes: 0 }.value(v, 0)
}

/// Name of a value's shape for messages: tables that are lists are called so.
pub(super) fn name_of(v: &Value) -> &'static str {
    match v {
        Value::Table(t) if t.raw_len() > 0 => "a list",
        Value::UserData(_) => "a list of the event",
        other => other.type_name(),
    }
}

struct Reader {
    values: usize,
    bytes: usize,
}

impl Reader {
    fn value(&mut self, v: &Value, depth: usize) -> Result<J, String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("the value holds more than {MAX_VALUES} parts"));
        }
        if depth > MAX_DEPTH {
            return Err(format!("the value is nested deeper than {MAX_DEPTH} levels (or holds itself)"));
        }
        match v {
            Value::Nil => Ok(J::Null),
            Value::Boolean(b) => Ok(J::Bool(*b)),
            Value::Integer(i) => Ok(J::from(*i)),
            Value::Number(n) => number(*n),
            Value::String(s) => self.text(&s.to_string_lossy()).map(J::String),
            Value::Table(t) => self.table(t, depth),
            Value::UserData(u) => {
                let view = u.borrow::<View>().map_err(|_| "a userdata cannot be JSON".to_string())?;
                let (values, bytes) = view.size();
                self.values += values;
                self.take(bytes)?;
                Ok(view.to_json())
            }
            other => Err(format!("a {} cannot be JSON", other.type_name())),
        }
    }

    fn table(&mut self, t: &Table, depth: usize) -> Result<J, String> {
        let n = t.raw_len();
        let mut entries = BTreeMap::new();
        let mut list = vec![];
        for pair in t.pairs::<Value, Value>() {
            let (k, v) = pair.map_err(|e| super::contract::message(&e))?;
            let json = self.value(&v, depth + 1)?;
            match &k {
                Value::Integer(i) if list.len() < n && *i == list.len() as i64 + 1 => list.push(json),
                Value::Integer(i) => drop(entries.insert(i.to_string(), json)),
                Value::Number(x) => drop(entries.insert(number(*x)?.to_string(), json)),
                Value::String(s) => {
                    let key = self.text(&s.to_string_lossy())?;
                    entries.insert(key, json);
                }
                other => return Err(format!("a {} cannot be a key in JSON", other.type_name())),
            }
        }
        if entries.is_empty() && !list.is_empty() {
            return Ok(J::Array(list));
        }
        entries.extend(list.into_iter().enumerate().map(|(i, v)| ((i + 1).to_string(), v)));
        Ok(J::Object(entries.into_iter().collect::<Map<_, _>>()))
    }

    fn text(&mut self, s: &str) -> Result<String, String> {
        self.take(s.len())?;
        Ok(s.into())
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            Err(format!("the value holds more than {MAX_BYTES} bytes of text"))
        } else {
            Ok(())
        }
    }
}

fn number(n: f64) -> Result<J, String> {
    if n.fract() == 0.0 && n.abs() <= EXACT {
        return Ok(J::from(n as i64));
    }
    Number::from_f64(n).map(J::Number).ok_or_else(|| format!("{n} cannot be JSON"))
}
