//! A condition on one field: `{ path = "awsRegion", op = "in", values = ["us-east-1"] }`.
//!
//! A field that is missing or null equals nothing, contains nothing and is not greater or less than anything; only
//! `exists` asks for it. `not = true` turns the answer round, so `not` with `equals` holds for a missing field (as the
//! inline filters of detections do, functional spec §13.7). With `[*]` in the path the condition holds if it holds for
//! any of the values there.
use crate::scope::column_of;
use model::path::Path;
use model::{Problem, Value, json};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value as J;
use std::cmp::Ordering;

/// How a field is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Equals `value`: same type, numbers by size.
    Equals,
    /// Equals one of `values`.
    In,
    /// Text that contains the text `value`, or an array with an element that equals it.
    Contains,
    /// Text that starts with `value`.
    StartsWith,
    /// Text that ends with `value`.
    EndsWith,
    /// Text in which the regular expression `value` is found.
    Matches,
    /// Present and not null.
    Exists,
    /// A number greater than `value`.
    Greater,
    /// A number of at least `value`.
    AtLeast,
    /// A number less than `value`.
    Less,
    /// A number of at most `value`.
    AtMost,
}

/// A condition on one field.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Path of the field: `a.b`, `a[0].b`, `a[*].b`.
    pub path: String,
    /// How it is tested.
    pub op: Op,
    /// What it is tested against (all but `in` and `exists`).
    pub value: Option<J>,
    /// What it is tested against (`in`).
    #[serde(default)]
    pub values: Vec<J>,
    /// Turn the answer round.
    #[serde(default)]
    pub not: bool,
}

/// A condition ready to run.
#[derive(Debug)]
pub struct Test {
    /// Column it reads.
    pub column: Path,
    each: Path,
    not: bool,
    check: Check,
}

#[derive(Debug)]
enum Check {
    In(Vec<J>),
    Contains(J),
    Starts(String),
    Ends(String),
    Matches(Regex),
    Exists,
    Number(String, fn(Ordering) -> bool),
}

impl Condition {
    /// Checks the condition; `setting` is its place.
    pub fn compile(&self, setting: &str, found: &mut Vec<Problem>) -> Option<Test> {
        let path = Path::parse(&self.path).map_err(|e| found.push(Problem::at(&format!("{setting}.path"), e)));
        let check = self.check().map_err(|(field, e)| found.push(Problem::at(&format!("{setting}.{field}"), e)));
        let (column, each) = column_of(&path.ok()?);
        Some(Test { column, each, not: self.not, check: check.ok()? })
    }

    fn check(&self) -> Result<Check, (&'static str, String)> {
        let op = format!("{:?}", self.op);
        let none = |field: &'static str, unused: bool| match unused {
            true => Ok(()),
            false => Err((field, format!("{op} takes no `{field}`"))),
        };
        match self.op {
            Op::In => none("value", self.value.is_none())?,
            Op::Exists => none("value", self.value.is_none()).and(none("values", self.values.is_empty()))?,
            _ => none("values", self.values.is_empty())?,
        }
        let value = || self.value.clone().ok_or(("value", format!("{op} needs a `value`")));
        let scalar = |v: J| match v {
            J::Null | J::Array(_) | J::Object(_) => Err(("value", format!("{v} is not a text, number or boolean"))),
            v => Ok(v),
        };
        let text = || match value()? {
            J::String(s) => Ok(s),
            v => Err(("value", format!("{op} needs a text, not {v}"))),
        };
        let number = |test| match value()? {
            J::Number(n) => Ok(Check::Number(n.to_string(), test)),
            v => Err(("value", format!("{op} needs a number, not {v}"))),
        };
        Ok(match self.op {
            Op::Equals => Check::In(vec![scalar(value()?)?]),
            Op::In if self.values.is_empty() => return Err(("values", "In needs at least one of `values`".into())),
            Op::In => Check::In(
                self.values.iter().cloned().map(scalar).collect::<Result<_, _>>().map_err(|e| ("values", e.1))?,
            ),
            Op::Contains => Check::Contains(scalar(value()?)?),
            Op::StartsWith => Check::Starts(text()?),
            Op::EndsWith => Check::Ends(text()?),
            Op::Matches => Check::Matches(Regex::new(&text()?).map_err(|e| ("value", e.to_string()))?),
            Op::Exists => Check::Exists,
            Op::Greater => number(Ordering::is_gt)?,
            Op::AtLeast => number(Ordering::is_ge)?,
            Op::Less => number(Ordering::is_lt)?,
            Op::AtMost => number(Ordering::is_le)?,
        })
    }
}

impl Test {
    /// True if the condition holds for a value of its column.
    pub fn holds(&self, v: Value<'_>) -> bool {
        let yes = match v {
            _ if self.each.0.is_empty() => self.check.value(v),
            Value::Arr(text) => match serde_json::from_str::<J>(text) {
                Ok(array) => json::get_all(&array, &self.each).into_iter().any(|e| self.check.json(e)),
                Err(_) => false,
            },
            _ => false,
        };
        yes != self.not
    }
}

impl Check {
    fn value(&self, v: Value<'_>) -> bool {
        match self {
            Check::Exists => !v.is_null(),
            Check::In(list) => list.iter().any(|want| equal(v, want)),
            Check::Contains(want) => match (v, want) {
                (Value::Str(s), J::String(want)) => s.contains(want.as_str()),
                (Value::Arr(text), want) => match serde_json::from_str::<Vec<J>>(text) {
                    Ok(list) => list.iter().any(|e| with_value(e, |v| equal(v, want))),
                    Err(_) => false,
                },
                _ => false,
            },
            Check::Starts(want) => v.as_str().is_some_and(|s| s.starts_with(want.as_str())),
            Check::Ends(want) => v.as_str().is_some_and(|s| s.ends_with(want.as_str())),
            Check::Matches(want) => v.as_str().is_some_and(|s| want.is_match(s)),
            Check::Number(want, test) => match v {
                Value::Num(n) => compare(n, want).is_some_and(test),
                _ => false,
            },
        }
    }

    fn json(&self, v: &J) -> bool {
        with_value(v, |v| self.value(v))
    }
}

/// Owned JSON seen as a value of a batch.
fn with_value<T>(v: &J, f: impl FnOnce(Value<'_>) -> T) -> T {
    match v {
        J::Null => f(Value::Null),
        J::Bool(b) => f(Value::Bool(*b)),
        J::String(s) => f(Value::Str(s)),
        J::Number(n) => f(Value::Num(&n.to_string())),
        J::Array(_) => f(Value::Arr(&v.to_string())),
        J::Object(_) => f(Value::Obj(&v.to_string())),
    }
}

fn equal(v: Value<'_>, want: &J) -> bool {
    match (v, want) {
        (Value::Str(s), J::String(want)) => s == want,
        (Value::Bool(b), J::Bool(want)) => b == *want,
        (Value::Num(n), J::Number(want)) => compare(n, &want.to_string()).is_some_and(Ordering::is_eq),
        _ => false,
    }
}

/// Whole numbers are compared exactly, others as 64-bit floats.
fn compare(a: &str, b: &str) -> Option<Ordering> {
    match (a.parse::<i128>(), b.parse::<i128>()) {
        (Ok(a), Ok(b)) => Some(a.cmp(&b)),
        _ => a.parse::<f64>().ok()?.partial_cmp(&b.parse::<f64>().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(condition: J, v: Value<'_>) -> bool {
        let mut found = Vec::new();
        let c: Condition = serde_json::from_value(condition).unwrap();
        c.compile("keep[0]", &mut found).unwrap_or_else(|| panic!("{found:?}")).holds(v)
    }

    #[test]
    fn tests_values_of_every_type() {
        let c = |op: &str, value: J| json!({ "path": "a", "op": op, "value": value });
        assert!(holds(c("equals", json!("x")), Value::Str("x")));
        assert!(!holds(c("equals", json!("1")), Value::Num("1")));
        assert!(holds(c("equals", json!(1)), Value::Num("1.0")));
        assert!(!holds(c("equals", json!(9_007_199_254_740_993u64)), Value::Num("9007199254740992")));
        assert!(
            holds(c("equals", json!(false)), Value::Bool(false))
                && !holds(c("equals", json!("false")), Value::Bool(false))
        );
        assert!(holds(json!({ "path": "a", "op": "in", "values": ["x", 2] }), Value::Num("2")));
        assert!(
            holds(c("contains", json!("b")), Value::Str("abc")) && holds(c("contains", json!(2)), Value::Arr("[1,2]"))
        );
        assert!(
            holds(c("starts_with", json!("a")), Value::Str("abc"))
                && holds(c("ends_with", json!("c")), Value::Str("abc"))
        );
        assert!(holds(c("matches", json!("(?i)^A.c$")), Value::Str("abc")));
        for (op, want) in [
            ("greater", [false, false, true]),
            ("at_least", [false, true, true]),
            ("less", [true, false, false]),
            ("at_most", [true, true, false]),
        ] {
            let got = ["1", "2", "2.5"].map(|n| holds(c(op, json!(2)), Value::Num(n)));
            assert_eq!(got, want, "{op}");
        }
    }

    #[test]
    fn a_missing_field_fails_and_not_turns_it_round() {
        for v in [Value::Absent, Value::Null] {
            assert!(!holds(json!({ "path": "a", "op": "exists" }), v));
            assert!(!holds(json!({ "path": "a", "op": "equals", "value": "x" }), v));
            assert!(holds(json!({ "path": "a", "op": "equals", "value": "x", "not": true }), v));
            assert!(!holds(json!({ "path": "a", "op": "less", "value": 1 }), v));
        }
    }

    #[test]
    fn each_is_any() {
        let c = json!({ "path": "a[*].b", "op": "equals", "value": 2 });
        assert!(holds(c.clone(), Value::Arr(r#"[{"b":1},{"b":2},{}]"#)));
        assert!(!holds(c.clone(), Value::Arr(r#"[{"b":1},{}]"#)) && !holds(c, Value::Str("x")));
    }

    #[test]
    fn what_cannot_be_tested_is_told() {
        for (c, setting) in [
            (json!({ "path": "a[", "op": "exists" }), "keep[0].path"),
            (json!({ "path": "a", "op": "equals" }), "keep[0].value"),
            (json!({ "path": "a", "op": "equals", "value": [1] }), "keep[0].value"),
            (json!({ "path": "a", "op": "in" }), "keep[0].values"),
            (json!({ "path": "a", "op": "in", "value": 1, "values": [1] }), "keep[0].value"),
            (json!({ "path": "a", "op": "matches", "value": "(" }), "keep[0].value"),
            (json!({ "path": "a", "op": "less", "value": "1" }), "keep[0].value"),
            (json!({ "path": "a", "op": "exists", "value": 1 }), "keep[0].value"),
        ] {
            let mut found = Vec::new();
            let condition: Condition = serde_json::from_value(c.clone()).unwrap();
            assert!(condition.compile("keep[0]", &mut found).is_none(), "{c}");
            assert_eq!(found[0].setting, setting, "{c}");
        }
    }
}
