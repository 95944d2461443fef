//! Ingestion filters (functional spec §1.9): what is dropped, counted, before any detection or the lake sees it.
//!
//! *Raw* filters look at the text of a record before it is parsed. *Normalised* filters look at the fields of a parsed
//! event. Each is an inclusion (what does not match is dropped) or an exclusion (what matches is dropped); a record
//! survives only if no filter drops it.
use model::event::Value;
use model::path::{Path, Seg};
use model::{Needs, Problem};
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Deepest nesting of `all` and `any`.
const MAX_DEPTH: usize = 16;

/// What a filter drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Drop what does not match.
    Include,
    /// Drop what matches.
    Exclude,
}

/// A filter on the text of records.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFilter {
    /// Drop what matches (`exclude`) or what does not (`include`).
    pub mode: Mode,
    /// Matches records that contain this text.
    pub contains: Option<String>,
    /// Matches records in which this regular expression is found.
    pub regex: Option<String>,
}

/// A filter on the fields of events.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Drop what matches (`exclude`) or what does not (`include`).
    pub mode: Mode,
    /// Log types it looks at; all of the node if left out.
    #[serde(default)]
    pub log_types: Vec<String>,
    /// The condition.
    #[serde(rename = "where")]
    pub condition: Condition,
}

/// A condition: `all` or `any` of others, or a test of one field.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// All of these hold.
    pub all: Option<Vec<Condition>>,
    /// One of these holds.
    pub any: Option<Vec<Condition>>,
    /// Path of the field, as in `userIdentity.type`.
    pub field: Option<String>,
    /// How it is tested.
    pub op: Option<Op>,
    /// Text, number or boolean to compare with.
    pub value: Option<serde_json::Value>,
    /// Values for `in` and `not_in`.
    pub values: Option<Vec<serde_json::Value>>,
}

/// A test of a field. A missing or null field fails every test but the negative ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// The text is equal.
    Equals,
    /// Not so.
    NotEquals,
    /// The text is found inside.
    Contains,
    /// Not so.
    NotContains,
    /// The field starts with the text.
    StartsWith,
    /// The field ends with the text.
    EndsWith,
    /// Equal to one of `values`.
    In,
    /// Not so.
    NotIn,
    /// A number over `value`.
    GreaterThan,
    /// A number under `value`.
    LessThan,
    /// A regular expression is found.
    Matches,
    /// There is a value.
    Exists,
    /// There is none.
    NotExists,
}

/// Compiled raw filters.
#[derive(Debug, Default)]
pub struct RawFilters(Vec<(Mode, RawTest)>);

#[derive(Debug)]
enum RawTest {
    Contains(Box<memchr::memmem::Finder<'static>>),
    Regex(regex::bytes::Regex),
}

impl RawFilters {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compile, with a problem for each that is wrong.
    pub fn new(filters: &[RawFilter], problems: &mut Vec<Problem>) -> RawFilters {
        let mut out = Vec::new();
        for (i, f) in filters.iter().enumerate() {
            let at = format!("raw_filters[{i}]");
            let test = match (&f.contains, &f.regex) {
                (Some(text), None) if !text.is_empty() => {
                    let finder = memchr::memmem::Finder::new(text.as_bytes()).into_owned();
                    Ok(RawTest::Contains(Box::new(finder)))
                }
                (None, Some(r)) => {
                    regex::bytes::Regex::new(r).map(RawTest::Regex).map_err(|e| Problem::at(&at, e.to_string()))
                }
                _ => Err(Problem::at(&at, "a raw filter takes either `contains` or `regex`")),
            };
            match test {
                Ok(t) => out.push((f.mode, t)),
                Err(p) => problems.push(p),
            }
        }
        RawFilters(out)
    }

    /// True if some filter drops the record.
    #[inline]
    pub fn drops(&self, record: &[u8]) -> bool {
        self.0.iter().any(|(mode, test)| {
            let hit = match test {
                RawTest::Contains(f) => f.find(record).is_some(),
                RawTest::Regex(r) => r.is_match(record),
            };
            hit == (*mode == Mode::Exclude)
        })
    }
}

/// A condition whose fields are slots of a layout.
#[derive(Clone, Debug)]
pub enum Test {
    /// All hold.
    All(Vec<Test>),
    /// One holds.
    Any(Vec<Test>),
    /// One field.
    Field(u32, Check),
}

/// What a field's value is compared with.
#[derive(Clone, Debug)]
pub enum Check {
    /// A text test.
    Text(Op, String),
    /// One of several texts (or none of them).
    List(bool, BTreeSet<String>),
    /// A number test.
    Number(Op, f64),
    /// A regular expression.
    Regex(Regex),
    /// There is a value (or none).
    Exists(bool),
}

impl Condition {
    /// Report what is wrong; `at` is the setting.
    pub fn problems(&self, at: &str, problems: &mut Vec<Problem>) {
        if let Err(e) = self.compile(&|_| Some(0)) {
            problems.push(Problem::at(at, e));
        }
    }

    /// Paths that are read.
    pub fn paths(&self, out: &mut BTreeSet<Path>) {
        for c in self.all.iter().chain(&self.any).flatten() {
            c.paths(out);
        }
        if let Some(Ok(p)) = self.field.as_deref().map(Path::parse) {
            out.insert(p);
        }
    }

    /// Compile against the slots of a layout.
    pub fn compile(&self, slot: &dyn Fn(&Path) -> Option<u32>) -> Result<Test, String> {
        self.compile_at(slot, 0)
    }

    fn compile_at(&self, slot: &dyn Fn(&Path) -> Option<u32>, depth: usize) -> Result<Test, String> {
        if depth > MAX_DEPTH {
            return Err(format!("conditions nest deeper than {MAX_DEPTH} levels"));
        }
        let list = |c: &[Condition]| c.iter().map(|c| c.compile_at(slot, depth + 1)).collect::<Result<Vec<_>, _>>();
        match (&self.all, &self.any, &self.field) {
            (Some(c), None, None) if !c.is_empty() => Ok(Test::All(list(c)?)),
            (None, Some(c), None) if !c.is_empty() => Ok(Test::Any(list(c)?)),
            (None, None, Some(f)) => {
                let path = Path::parse(f)?;
                let plain = |s: &Seg| !matches!(s, Seg::Each) && !matches!(s, Seg::Index(i) if *i < 0);
                if !path.0.iter().all(plain) {
                    return Err(format!("field `{f}`: filters take plain paths, without `[*]` and negative indices"));
                }
                let slot = slot(&path).ok_or_else(|| format!("field `{f}` has no column"))?;
                Ok(Test::Field(slot, self.check()?))
            }
            _ => Err("a condition takes exactly one of `all`, `any` (not empty) and `field`".into()),
        }
    }

    fn check(&self) -> Result<Check, String> {
        let op = self.op.ok_or("`op` is missing (equals, contains, starts_with, in, exists, …)")?;
        let value = || self.value.as_ref().map(plain).ok_or_else(|| "`value` is missing".to_string())?;
        Ok(match op {
            Op::Exists | Op::NotExists => Check::Exists(op == Op::Exists),
            Op::In | Op::NotIn => {
                let values = self.values.as_ref().ok_or("`values` is missing")?;
                Check::List(op == Op::In, values.iter().map(plain).collect::<Result<_, _>>()?)
            }
            Op::GreaterThan | Op::LessThan => {
                let v = value()?;
                Check::Number(op, v.parse().map_err(|_| format!("`{v}` is not a number"))?)
            }
            Op::Matches => Check::Regex(Regex::new(&value()?).map_err(|e| e.to_string())?),
            op => Check::Text(op, value()?),
        })
    }
}

fn plain(v: &serde_json::Value) -> Result<String, String> {
    use serde_json::Value as J;
    match v {
        J::String(s) => Ok(s.clone()),
        J::Number(n) => Ok(n.to_string()),
        J::Bool(b) => Ok(b.to_string()),
        _ => Err(format!("`{v}` is not a text, number or boolean")),
    }
}

impl Test {
    /// True if the condition holds for the values that `get` gives.
    pub fn holds<'a>(&self, get: &dyn Fn(u32) -> Value<'a>) -> bool {
        match self {
            Test::All(t) => t.iter().all(|t| t.holds(get)),
            Test::Any(t) => t.iter().any(|t| t.holds(get)),
            Test::Field(slot, check) => check.holds(get(*slot)),
        }
    }
}

impl Check {
    fn holds(&self, v: Value<'_>) -> bool {
        let (null, t) = (v.is_null(), v.text());
        match self {
            Check::Exists(yes) => null != *yes,
            Check::Text(Op::NotEquals, s) => null || t != s,
            Check::Text(Op::NotContains, s) => null || !t.contains(s.as_str()),
            Check::List(false, list) => null || !list.contains(t),
            _ if null => false,
            Check::Text(Op::Equals, s) => t == s,
            Check::Text(Op::Contains, s) => t.contains(s.as_str()),
            Check::Text(Op::StartsWith, s) => t.starts_with(s.as_str()),
            Check::Text(Op::EndsWith, s) => t.ends_with(s.as_str()),
            Check::Text(..) => false,
            Check::List(true, list) => list.contains(t),
            Check::Number(op, n) => {
                t.parse::<f64>().is_ok_and(|v| if *op == Op::GreaterThan { v > *n } else { v < *n })
            }
            Check::Regex(r) => r.is_match(t),
        }
    }
}

/// Filters of one log type, compiled.
#[derive(Clone, Debug, Default)]
pub struct Filters(Vec<(Mode, Test)>);

impl Filters {
    /// Compile those that look at `log_type`. Conditions were checked before; one that does not compile is left out.
    pub fn new(filters: &[Filter], log_type: &str, slot: &dyn Fn(&Path) -> Option<u32>) -> Filters {
        let of = filters.iter().filter(|f| concerns(f, log_type));
        Filters(of.filter_map(|f| Some((f.mode, f.condition.compile(slot).ok()?))).collect())
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if some filter drops the event.
    pub fn drops<'a>(&self, get: &dyn Fn(u32) -> Value<'a>) -> bool {
        self.0.iter().any(|(mode, test)| test.holds(get) == (*mode == Mode::Exclude))
    }
}

fn concerns(f: &Filter, log_type: &str) -> bool {
    f.log_types.is_empty() || f.log_types.iter().any(|t| t == log_type)
}

/// Add the paths that filters read.
pub fn needs(filters: &[Filter], log_type: &str, out: &mut Needs) {
    let mut paths = BTreeSet::new();
    filters.iter().filter(|f| concerns(f, log_type)).for_each(|f| f.condition.paths(&mut paths));
    paths.into_iter().for_each(|p| out.path(log_type, p));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(c: serde_json::Value, v: Value) -> bool {
        let c: Condition = serde_json::from_value(c).unwrap();
        c.compile(&|_| Some(0)).unwrap().holds(&|_| v)
    }

    #[test]
    fn every_operator() {
        let t =
            |op: &str, value: serde_json::Value, v: Value| holds(json!({"field": "a", "op": op, "value": value}), v);
        assert!(t("equals", json!("x"), Value::Str("x")) && !t("equals", json!("x"), Value::Str("y")));
        assert!(t("equals", json!(5), Value::Num("5")) && t("equals", json!(true), Value::Bool(true)));
        assert!(!t("equals", json!(""), Value::Absent) && t("not_equals", json!("x"), Value::Absent));
        assert!(t("contains", json!("b"), Value::Str("abc")) && t("not_contains", json!("z"), Value::Str("abc")));
        assert!(t("starts_with", json!("a"), Value::Str("abc")) && t("ends_with", json!("c"), Value::Str("abc")));
        assert!(t("greater_than", json!(1), Value::Num("1.5")) && !t("less_than", json!(1), Value::Num("1.5")));
        assert!(!t("greater_than", json!(1), Value::Str("x")));
        assert!(t("matches", json!("^a.c$"), Value::Str("abc")));
        assert!(holds(json!({"field": "a", "op": "in", "values": ["x", 1]}), Value::Num("1")));
        assert!(holds(json!({"field": "a", "op": "not_in", "values": ["x"]}), Value::Null));
        assert!(holds(json!({"field": "a", "op": "exists"}), Value::Str("")));
        assert!(holds(json!({"field": "a", "op": "not_exists"}), Value::Null));
        let x = json!({"field": "a", "op": "equals", "value": "x"});
        let y = json!({"field": "a", "op": "equals", "value": "y"});
        assert!(holds(json!({"any": [x, y]}), Value::Str("y")) && !holds(json!({"all": [x, y]}), Value::Str("y")));
    }

    #[test]
    fn bad_conditions_are_reported() {
        for bad in [
            json!({}),
            json!({"all": []}),
            json!({"field": "a"}),
            json!({"field": "a", "op": "equals"}),
            json!({"field": "a[*]", "op": "exists"}),
            json!({"field": "a", "op": "in"}),
            json!({"field": "a", "op": "matches", "value": "("}),
            json!({"field": "a", "op": "greater_than", "value": "x"}),
            json!({"field": "a", "op": "exists", "any": []}),
        ] {
            let c: Condition = serde_json::from_value(bad.clone()).unwrap();
            let mut p = Vec::new();
            c.problems("filters[0]", &mut p);
            assert_eq!(p.len(), 1, "{bad}");
        }
        let deep = (0..MAX_DEPTH + 1).fold(json!({"field": "a", "op": "exists"}), |c, _| json!({"all": [c]}));
        let c: Condition = serde_json::from_value(deep).unwrap();
        assert!(c.compile(&|_| Some(0)).unwrap_err().contains("deeper"));
    }

    #[test]
    fn raw_filters() {
        let f = |v: serde_json::Value| {
            let list: Vec<RawFilter> = serde_json::from_value(v).unwrap();
            let mut p = Vec::new();
            let f = RawFilters::new(&list, &mut p);
            (f, p.len())
        };
        let (keep, _) = f(json!([{"mode": "include", "contains": "abc"}]));
        assert!(!keep.drops(b"xabcx") && keep.drops(b"x"));
        let (drop, _) = f(json!([{"mode": "exclude", "regex": "^a+$"}]));
        assert!(drop.drops(b"aaa") && !drop.drops(b"b"));
        let bad = json!([{"mode": "include"}, {"mode": "include", "regex": "("}, {"mode": "exclude", "contains": ""}]);
        assert_eq!(f(bad).1, 3);
        assert!(!RawFilters::default().drops(b"x"));
    }
}
