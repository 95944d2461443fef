//! Runs the cases of rules.
use super::case::Case;
use super::report::{Difference, RuleReport, TestReport, Verdict};
use crate::contract::{Found, Outcome, kind};
use crate::describe::describe;
use crate::python::cpython::Cpython;
use crate::python::verify::Verify;
use crate::rule::{Body, Rule};
use crate::{eval, lua, python};
use ::python::Memory;
use serde_json::{Value as J, json};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Who runs the bodies of the rules under test.
pub(super) struct Runner {
    python: python::Engine,
    /// Index of each rule's body in the Python engine.
    scripts: Vec<Option<usize>>,
    /// The clock that Python rules see, in milliseconds since 1970.
    now_ms: i64,
}

impl Runner {
    pub fn new(rules: &[&Rule], now_ms: i64, cpython: Option<Arc<Cpython>>, verify: Option<Arc<Verify>>) -> Runner {
        let mut next = 0..;
        let index = |r: &&Rule| matches!(r.body, Body::Python(_)).then(|| next.next()).flatten();
        let scripts = rules.iter().map(index).collect();
        let mut python = python::Engine::new(rules, Default::default(), cpython);
        python.verify(verify);
        Runner { python, scripts, now_ms }
    }

    /// Run the cases of the rule of this index; it has been checked, so its cases read without findings.
    pub fn rule(&self, at: usize, rule: &Rule, minimum: usize) -> RuleReport {
        let cases =
            Case::read_all(&rule.tests, !matches!(rule.body, Body::Yaml(_)), rule.body.entry(), &mut Vec::new());
        let mut lua = matches!(rule.body, Body::Lua { .. }).then(|| lua::Engine::new(&[rule], Default::default()));
        let outcome = |case: &Case| match (self.scripts[at], &mut lua) {
            _ if !eval::all(&rule.filters, &case.log) => Outcome::No,
            (Some(script), _) => self.python(script, case),
            (_, Some(engine)) => {
                engine.mock(0, &mocks(case));
                engine.run(0, &engine.event(case.log.clone()))
            }
            _ => match &rule.body {
                Body::Yaml(exprs) if eval::all(exprs, &case.log) => Outcome::Match(Box::new(describe(rule, &case.log))),
                _ => Outcome::No,
            },
        };
        let tests = cases.iter().zip(cases.iter().map(outcome)).map(|(case, outcome)| test(rule, case, outcome));
        let tests = tests.collect();
        RuleReport { id: rule.meta.id.to_string(), file: rule.file.clone(), tests, shortage: shortage(&cases, minimum) }
    }

    fn python(&self, script: usize, case: &Case) -> Outcome {
        let log_type = case.log.get("p_log_type").and_then(J::as_str).unwrap_or_default();
        // A test begins with an empty key-value cache, and what it writes is gone with it.
        self.python.share(Rc::new(RefCell::new(Memory { most: usize::MAX, ..Memory::default() })));
        let event = self.python.event(Rc::new(case.log.clone()), log_type, self.now_ms);
        match mocks(case) {
            none if none.is_empty() => self.python.run(script, &event),
            mocks => self.python.run_mocked(script, &event, &mocks),
        }
    }
}

fn mocks(case: &Case) -> Vec<(String, J)> {
    case.mocks.iter().map(|m| (m.name.clone(), m.value.clone())).collect()
}

/// What is missing to the demanded minimum.
fn shortage(cases: &[Case], minimum: usize) -> Option<String> {
    if cases.len() < minimum {
        return Some(format!("has {} of at least {minimum} tests", cases.len()));
    }
    let both = cases.iter().any(|c| c.expected) && cases.iter().any(|c| !c.expected);
    (minimum >= 2 && !both).then(|| "needs a test that expects a match and one that expects none".into())
}

fn test(rule: &Rule, case: &Case, outcome: Outcome) -> TestReport {
    let mut unknown = false;
    let (outcome, mut errors) = match outcome {
        Outcome::No => (Ok(None), Vec::new()),
        Outcome::Match(found) => {
            let errors = found.errors.iter().map(|(name, e)| format!("{name}(): {e}")).collect();
            (Ok(Some(found)), errors)
        }
        Outcome::Error { kind, message } => {
            unknown = kind == kind::UNSUPPORTED;
            (Err(()), vec![format!("{kind}: {message}")])
        }
    };
    let mut differences = Vec::new();
    let matched = match &outcome {
        Ok(found) => {
            let matched = found.is_some();
            let says = |alert: bool| json!(alert == rule.body.entry().alerting());
            compare("ExpectedResult", &says(case.expected), &says(matched), &mut differences);
            matched
        }
        Err(()) => false,
    };
    if let (Ok(Some(found)), true) = (&outcome, case.expected) {
        details(case, found, &mut differences);
    }
    // What the other functions say about an event that was not to match is of no interest.
    if !case.expected && outcome.is_ok() {
        errors.clear();
    }
    let verdict = match (unknown, errors.is_empty() && differences.is_empty()) {
        (true, _) => Verdict::Unknown,
        (_, true) => Verdict::Passed,
        (_, false) => Verdict::Failed,
    };
    TestReport { name: case.name.clone(), verdict, matched, differences, errors }
}

/// Compare what the case fixes beyond the verdict.
fn details(case: &Case, found: &Found, out: &mut Vec<Difference>) {
    let mut fixed = |field: &str, expected: Option<J>, got: J| {
        if let Some(expected) = expected {
            compare(field, &expected, &got, out);
        }
    };
    fixed("ExpectedTitle", case.title.as_ref().map(|v| json!(v)), json!(found.title));
    fixed("ExpectedDedup", case.dedup.as_ref().map(|v| json!(v)), json!(found.dedup));
    fixed("ExpectedSeverity", case.severity.as_ref().map(|v| json!(v)), json!(found.severity));
    fixed("ExpectedDestinations", case.destinations.as_ref().map(|v| json!(v)), json!(found.destinations));
    let context = found.context.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(J::Null);
    fixed("ExpectedAlertContext", case.context.clone(), context);
}

/// Compare as JSON; objects field by field, so that a difference names the field.
fn compare(field: &str, expected: &J, got: &J, out: &mut Vec<Difference>) {
    match (expected, got) {
        (J::Object(a), J::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            let at = |k: &str| format!("{field}.{k}");
            keys.for_each(|k| match (a.get(k), b.get(k)) {
                (Some(a), Some(b)) => compare(&at(k), a, b, out),
                (a, b) => out.push(Difference::new(at(k), a, b)),
            });
        }
        _ if eval::equal(expected, got) => {}
        _ => out.push(Difference::new(field.into(), Some(expected), Some(got))),
    }
}
