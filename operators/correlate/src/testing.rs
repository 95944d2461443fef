//! The `Tests:` of correlation rules, in virtual time: the operator itself, with an epoch for every moment of the test.
//!
//! A case names what the detections found: `RuleOutputs: [{ID, Matches: {field: {value: [times]}}}]`. A time is a number of
//! minutes or RFC 3339; an item that is not listed found nothing. Behind the last signal the clock goes on until no window is
//! open. Times of two fields that are the same are one match that has both.
use crate::group::Rules;
use crate::load;
use crate::operator::Correlate;
use crate::rule::{Correlation, Item};
use detect::condition::nearest;
use detect::testing::{Difference, Options, Report, RuleReport, TestReport, Verdict, listed};
use model::path::Seg;
use model::{Ctx, EpochInfo, Files, Keyed, Match, Packet, Path, Pos, Problem, Record, RuleMeta, time};
use serde_json::{Map, Value as J, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most moments of one case.
pub const MAX_TIMES: usize = 10_000;
/// Where minutes are counted from: a midnight.
const MINUTES_FROM: i64 = 1_704_067_200_000;

const CASE: &[&str] = &["ExpectedResult", "Name", "RuleOutputs"];

/// Run the tests of every correlation rule below these paths and add them to a report of the other detections' tests.
pub fn run(files: &dyn Files, paths: &[String], options: &Options, report: &mut Report) {
    let loaded = load::load(files, paths, &[]);
    let wanted = |text: &str| options.filter.as_deref().is_none_or(|f| text.contains(f));
    // That they are no rules of the other kinds is told by who reads those.
    report.problems.retain(|p| !p.warning || p.file.as_ref().is_none_or(|(f, ..)| !loaded.files.contains(f)));
    let told: Vec<_> = report.problems.iter().map(|p| (p.file.clone(), p.message.clone())).collect();
    let new = loaded.problems.into_iter().filter(|p| !told.contains(&(p.file.clone(), p.message.clone())));
    let keep = |p: &Problem| p.file.as_ref().is_none_or(|(f, ..)| options.filter.is_none() || wanted(f));
    report.problems.extend(new.filter(keep));
    let chosen = loaded.rules.iter().filter(|r| wanted(&r.meta.id) || wanted(&r.file));
    report.rules.extend(chosen.map(|r| rule(r, options.minimum_tests)));
}

fn rule(rule: &Correlation, minimum: usize) -> RuleReport {
    let cases = cases(&rule.tests, &rule.items, &mut Vec::new());
    let both = cases.iter().any(|c| c.expected) && cases.iter().any(|c| !c.expected);
    let shortage = if cases.len() < minimum {
        Some(format!("has {} of at least {minimum} tests", cases.len()))
    } else if minimum >= 2 && !both {
        Some("needs a test that expects a match and one that expects none".into())
    } else {
        None
    };
    let tests = cases.iter().map(|c| test(rule, c)).collect();
    RuleReport { id: rule.meta.id.to_string(), file: rule.file.clone(), tests, shortage }
}

fn test(rule: &Correlation, case: &Case) -> TestReport {
    let matched = !matches(rule, &case.found).is_empty();
    let mut differences = Vec::new();
    if matched != case.expected {
        let (expected, got) = (json!(case.expected), json!(matched));
        differences.push(Difference::new("ExpectedResult".into(), Some(&expected), Some(&got)));
    }
    let verdict = if differences.is_empty() { Verdict::Passed } else { Verdict::Failed };
    TestReport { name: case.name.clone(), verdict, matched, differences, errors: Vec::new() }
}

/// A case.
struct Case {
    name: String,
    expected: bool,
    found: Vec<Event>,
}

/// What a detection found at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    item: usize,
    at: i64,
    fields: Vec<(Path, String)>,
}

/// What a rule makes of these, in virtual time.
fn matches(rule: &Correlation, found: &[Event]) -> Vec<Match> {
    let reach = 2 * rule.window_ms + 1;
    let rules: Arc<[Correlation]> = vec![rule.clone()].into();
    let mut op = Correlate::new(Rules { list: rules, lateness_ms: 0, event_time: false }, 1);
    let mut moments: BTreeMap<i64, Vec<Record>> = BTreeMap::new();
    for (n, e) in found.iter().enumerate() {
        let m = Record::Match(Box::new(e.matched(&rule.items[e.item], n as u64)));
        op.split(m, moments.entry(e.at).or_default());
    }
    let last = moments.keys().last().copied().unwrap_or_default();
    moments.insert(last + reach, Vec::new());
    let mut cx = Ctx::default();
    for (epoch, (now_ms, mut records)) in (1..).zip(moments) {
        model::part::sort_records(&mut records);
        let info = EpochInfo { epoch, now_ms, commands: Vec::new(), snapshot: false, seal: false };
        op.epoch(&info, records, &mut cx).expect("only signals are given");
    }
    let records = cx.out.into_iter().filter_map(|(_, p)| match p {
        Packet::Records(r) => Some(r),
        _ => None,
    });
    let of = |r| match r {
        Record::Match(m) => Some(*m),
        _ => None,
    };
    records.flatten().filter_map(of).collect()
}

impl Event {
    /// The match that a detection would have made.
    fn matched(&self, item: &Item, offset: u64) -> Match {
        let (mut event, mut context) = (J::Object(Map::new()), J::Object(Map::new()));
        for (path, value) in &self.fields {
            match path.0.as_slice() {
                [Seg::Key(root), rest @ ..] if &**root == "p_alert_context" => put(&mut context, rest, value),
                path => put(&mut event, path, value),
            }
        }
        Match {
            pos: Pos { offset, ..Pos::default() },
            rule: Arc::new(RuleMeta { id: item.rule.clone(), ..RuleMeta::default() }),
            event_ms: self.at,
            event: Some(event.to_string()),
            context: Some(context.to_string()),
            ..Match::default()
        }
    }
}

/// Set a value where a path finds it.
fn put(root: &mut J, path: &[Seg], value: &str) {
    let mut at = root;
    for seg in path {
        at = match seg {
            Seg::Key(k) => {
                if !at.is_object() {
                    *at = json!({});
                }
                &mut at[&**k]
            }
            Seg::Index(_) | Seg::Each => {
                if !at.is_array() {
                    *at = json!([null]);
                }
                &mut at[0]
            }
        };
    }
    *at = json!(value);
}

/// Check `Tests`.
pub(crate) fn check(tests: &J, items: &[Item], found: &mut Vec<Problem>) {
    cases(tests, items, found);
}

fn cases(tests: &J, items: &[Item], found: &mut Vec<Problem>) -> Vec<Case> {
    let list = listed(tests, found);
    let mut read = |(i, v): (usize, &J)| Reader { items, found }.case(&format!("Tests[{i}]"), v);
    list.iter().enumerate().filter_map(&mut read).collect()
}

struct Reader<'a> {
    items: &'a [Item],
    found: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn case(mut self, at: &str, v: &J) -> Option<Case> {
        let before = self.found.len();
        let J::Object(map) = v else {
            self.bad(at, "must be a mapping with `Name`, `ExpectedResult` and `RuleOutputs`", None);
            return None;
        };
        self.names(map, at, CASE);
        let (name, expected) = (map.get("Name").and_then(J::as_str), map.get("ExpectedResult").and_then(J::as_bool));
        if name.is_none() {
            self.bad(&format!("{at}.Name"), "must be a text", None);
        }
        if expected.is_none() {
            self.bad(&format!("{at}.ExpectedResult"), "must be true or false", None);
        }
        let mut out = Vec::new();
        match map.get("RuleOutputs") {
            Some(J::Array(list)) => {
                for (i, v) in list.iter().enumerate() {
                    self.output(&format!("{at}.RuleOutputs[{i}]"), v, &mut out);
                }
            }
            None | Some(J::Null) => {}
            Some(_) => self.bad(&format!("{at}.RuleOutputs"), "must be a list of `{ID, Matches}`", None),
        }
        if out.len() > MAX_TIMES {
            self.bad(at, &format!("has more than {MAX_TIMES} times"), None);
        }
        let (name, expected) = (name?.to_string(), expected?);
        (self.found.len() == before).then_some(Case { name, expected, found: out })
    }

    fn output(&mut self, at: &str, v: &J, out: &mut Vec<Event>) {
        let J::Object(map) = v else { return self.bad(at, "must be `{ID, Matches}`", None) };
        self.names(map, at, &["ID", "Matches"]);
        let id = map.get("ID").and_then(J::as_str).unwrap_or_default();
        let Some(item) = self.items.iter().position(|i| i.id == id) else {
            let hint = nearest(id, self.items.iter().map(|i| i.id.as_str())).map(|n| format!("did you mean `{n}`?"));
            return self.bad(&format!("{at}.ID"), &format!("names `{id}`, which is no item"), hint.as_deref());
        };
        let first = out.len();
        for (field, values) in map.get("Matches").and_then(J::as_object).into_iter().flatten() {
            let at = format!("{at}.Matches.{field}");
            let path = match Path::parse(field) {
                Ok(path) => path,
                Err(e) => {
                    self.bad(&at, &e, None);
                    continue;
                }
            };
            let Some(values) = values.as_object() else {
                self.bad(&at, "must map values to lists of times", None);
                continue;
            };
            for (value, times) in values {
                for t in times.as_array().into_iter().flatten() {
                    let Some(at_ms) = moment(t) else {
                        self.bad(&at, &format!("has the time {t}"), Some("write minutes or RFC 3339"));
                        continue;
                    };
                    let fits = |e: &&mut Event| e.at == at_ms && e.fields.iter().all(|(p, _)| *p != path);
                    match out[first..].iter_mut().find(fits) {
                        Some(e) => e.fields.push((path.clone(), value.clone())),
                        None => out.push(Event { item, at: at_ms, fields: vec![(path.clone(), value.clone())] }),
                    }
                }
            }
        }
    }

    fn names(&mut self, map: &Map<String, J>, at: &str, known: &[&str]) {
        for key in map.keys().filter(|k| !known.contains(&k.as_str())) {
            let hint = nearest(key, known.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            self.bad(&format!("{at}.{key}"), "is not a key of a test", hint.as_deref());
        }
    }

    fn bad(&mut self, at: &str, what: &str, hint: Option<&str>) {
        let p = Problem::at(at, format!("`{at}` {what}"));
        self.found.push(match hint {
            Some(h) => p.hint(h),
            None => p,
        });
    }
}

/// A time of a test, milliseconds.
fn moment(v: &J) -> Option<i64> {
    match v {
        J::Number(n) => {
            let minutes = n.as_f64().filter(|m| m.abs() < 1e9)?;
            Some(MINUTES_FROM + (minutes * 60_000.0).round() as i64)
        }
        J::String(s) => time::rfc3339_ns(s).map(|ns| ns.div_euclid(1_000_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
