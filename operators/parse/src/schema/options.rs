//! A YAML mapping read key by key: typed, with unknown keys refused, every finding kept with its place.
use super::locate::{Step, locate};
use crate::hint;
use model::Problem;
use yaml_serde::{Mapping, Value};

/// The file being read and what was found in it.
pub struct Sheet<'a> {
    /// File name for messages.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Where the reader is.
    pub at: Vec<Step>,
    /// Findings.
    pub problems: Vec<Problem>,
}

impl<'a> Sheet<'a> {
    /// Start on a file.
    pub fn new(file: &'a str, text: &'a str) -> Sheet<'a> {
        Sheet { file, text, at: Vec::new(), problems: Vec::new() }
    }

    /// Report a problem where the reader is.
    pub fn problem(&mut self, message: impl Into<String>, hint: Option<String>) {
        let (line, col) = locate(self.text, &self.at);
        let mut p = Problem::at("schemas", message).in_file(self.file, line, col);
        p.hint = hint;
        self.problems.push(p);
    }

    /// Report a problem at a key below.
    pub fn problem_at(&mut self, key: &str, message: impl Into<String>, hint: Option<String>) {
        self.below(Step::Key(key.into()), |s| s.problem(message, hint));
    }

    /// Read with the place moved one step down.
    pub fn below<T>(&mut self, step: Step, f: impl FnOnce(&mut Self) -> T) -> T {
        self.at.push(step);
        let r = f(self);
        self.at.pop();
        r
    }

    /// Refuse keys that are not among `known`.
    pub fn only(&mut self, map: &Mapping, known: &[&str], what: &str) {
        for key in map.keys() {
            let name = text(key).unwrap_or_else(|| format!("{key:?}"));
            if !known.contains(&name.as_str()) {
                let hint = match hint::nearest(&name, known.iter().copied()) {
                    Some(n) => format!("did you mean `{n}`?"),
                    None => format!("{what} takes {}", known.join(", ")),
                };
                self.problem_at(&name, format!("unknown key `{name}` in {what}"), Some(hint));
            }
        }
    }

    /// A mapping, or a problem.
    pub fn map<'v>(&mut self, value: &'v Value, what: &str) -> Option<&'v Mapping> {
        let m = value.as_mapping();
        if m.is_none() {
            self.problem(format!("{what} must be a mapping (key: value)"), None);
        }
        m
    }

    /// Text at a key; numbers and booleans are taken as text.
    pub fn str(&mut self, map: &Mapping, key: &str) -> Option<String> {
        let v = map.get(key)?;
        let t = text(v);
        if t.is_none() && !v.is_null() {
            self.problem_at(key, format!("`{key}` must be text"), None);
        }
        t
    }

    /// Text at a key that has to be there.
    pub fn need(&mut self, map: &Mapping, key: &str, what: &str) -> Option<String> {
        if map.get(key).is_none_or(Value::is_null) {
            self.problem(format!("{what} needs `{key}`"), None);
            return None;
        }
        self.str(map, key)
    }

    /// A boolean at a key; false if it is not there.
    pub fn bool(&mut self, map: &Mapping, key: &str) -> bool {
        match map.get(key) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(b)) => *b,
            Some(_) => {
                self.problem_at(key, format!("`{key}` must be true or false"), None);
                false
            }
        }
    }

    /// A whole number at a key.
    pub fn int(&mut self, map: &Mapping, key: &str) -> Option<i64> {
        let v = map.get(key)?;
        let n = v.as_i64();
        if n.is_none() {
            self.problem_at(key, format!("`{key}` must be a whole number"), None);
        }
        n
    }

    /// A list of texts at a key (one text alone is a list of one).
    pub fn list(&mut self, map: &Mapping, key: &str) -> Option<Vec<String>> {
        let v = map.get(key)?;
        let items = match v {
            Value::Null => return None,
            Value::Sequence(s) => s.iter().map(text).collect(),
            v => text(v).map(|t| vec![t]),
        };
        if items.is_none() {
            self.problem_at(key, format!("`{key}` must be a list of texts"), None);
        }
        items
    }

    /// A mapping of texts at a key, in order.
    pub fn pairs(&mut self, map: &Mapping, key: &str) -> Vec<(String, String)> {
        let Some(v) = map.get(key).filter(|v| !v.is_null()) else { return Vec::new() };
        let pairs = v.as_mapping().and_then(|m| m.iter().map(|(k, v)| Some((text(k)?, text(v)?))).collect());
        if pairs.is_none() {
            self.problem_at(key, format!("`{key}` must be a mapping of names to texts"), None);
        }
        pairs.unwrap_or_default()
    }
}

/// Text of a scalar.
pub fn text(v: &Value) -> Option<String> {
    match v {
        Value::String(s) => Some(s.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}
