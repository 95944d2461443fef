//! Runs the cases of one rule.
use super::case::Case;
use super::report::{Difference, RuleReport, TestReport};
use crate::describe::describe;
use crate::eval;
use crate::lua::{Engine, Found, Limits, Outcome};
use crate::rule::{Body, Rule};
use serde_json::{Value as J, json};

/// Run the cases of a rule; the rule has been checked, so its cases read without findings.
pub(super) fn rule(rule: &Rule, minimum: usize) -> RuleReport {
    let lua = matches!(rule.body, Body::Lua { .. });
    let cases = Case::read_all(&rule.tests, lua, &mut Vec::new());
    let mut engine = Engine::new(&[rule], Limits::default());
    let tests = cases.iter().map(|case| test(rule, &mut engine, case)).collect();
    RuleReport { id: rule.meta.id.to_string(), file: rule.file.clone(), tests, shortage: shortage(&cases, minimum) }
}

/// What is missing to the demanded minimum.
fn shortage(cases: &[Case], minimum: usize) -> Option<String> {
    if cases.len() < minimum {
        return Some(format!("has {} of at least {minimum} tests", cases.len()));
    }
    let both = cases.iter().any(|c| c.expected) && cases.iter().any(|c| !c.expected);
    (minimum >= 2 && !both).then(|| "needs a test that expects a match and one that expects none".into())
}

fn test(rule: &Rule, engine: &mut Engine, case: &Case) -> TestReport {
    let (outcome, mut errors) = match outcome(rule, engine, case) {
        Outcome::No => (Ok(None), Vec::new()),
        Outcome::Match(found) => {
            let errors = found.errors.iter().map(|(name, e)| format!("{name}(): {e}")).collect();
            (Ok(Some(found)), errors)
        }
        Outcome::Error { kind, message } => (Err(()), vec![format!("{kind}: {message}")]),
    };
    let mut differences = Vec::new();
    let matched = match &outcome {
        Ok(found) => {
            let matched = found.is_some();
            compare("ExpectedResult", &json!(case.expected), &json!(matched), &mut differences);
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
    let passed = errors.is_empty() && differences.is_empty();
    TestReport { name: case.name.clone(), passed, matched, differences, errors }
}

/// Evaluate a rule on the event of a case.
fn outcome(rule: &Rule, engine: &mut Engine, case: &Case) -> Outcome {
    if !eval::all(&rule.filters, &case.log) {
        return Outcome::No;
    }
    match &rule.body {
        Body::Yaml(exprs) if eval::all(exprs, &case.log) => Outcome::Match(Box::new(describe(rule, &case.log))),
        Body::Yaml(_) => Outcome::No,
        Body::Lua { .. } => {
            let mocks: Vec<_> = case.mocks.iter().map(|m| (m.name.clone(), m.value.clone())).collect();
            engine.mock(0, &mocks);
            engine.run(0, &engine.event(case.log.clone()))
        }
    }
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
