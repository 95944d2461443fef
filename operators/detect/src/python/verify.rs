//! `--verify`: Python detections that are compiled, asked of CPython as well.
//!
//! Every function that CPython calls for an event is called compiled too, and the two results are compared: values with
//! their types, exceptions with class and text. Where the derived filter of a rule leaves an event out, CPython must say
//! "no match" of it.
use super::cpython::Cpython;
use super::{EventHandle, Loaded};
use crate::eval;
use crate::expr::Expr;
use crate::rule::{Body, Rule};
use crate::template::clip;
use ::python::cache::{Cache, Unchanged};
use ::python::cpython::verify::{Tally, Verdict, compare};
use ::python::cpython::{Answer, Output};
use ::python::{Compiled, Setting};
use serde::Serialize;
use serde_json::Value as J;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// Most results that are not equal and told one by one.
pub const TOLD_MAX: usize = 1_000;
/// Longest text of a result, in characters.
const TEXT_MAX: usize = 500;

/// Who is asked, and what came of it. Shared by the workers of a node.
pub struct Verify {
    cpython: Arc<Cpython>,
    /// Rules that are compared, with the conditions of their filters by log type.
    rules: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Vec<Expr>>>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    rules: BTreeSet<Arc<str>>,
    events: u64,
    tally: Tally,
    told: BTreeSet<Difference>,
    untold: u64,
}

/// A result that is not equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// Id of the detection.
    pub rule: String,
    /// Function; `filter`: the event does not come to it.
    pub function: String,
    /// `different`: another value, type or exception. `wording`: the same exception with another text. `order`: the same
    /// characters in another order, that of a set. `unknown`: the compiled function, or CPython, did not come to an end.
    pub what: &'static str,
    /// What the compiled function gave.
    pub compiled: String,
    /// What CPython gave.
    pub cpython: String,
    /// Row id of the event, or the beginning of its JSON text.
    pub event: String,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Detections that were compared.
    pub rules: usize,
    /// Detections and events.
    pub events: u64,
    /// Results of functions by how they compare.
    pub results: BTreeMap<&'static str, u64>,
    /// Those that are not equal, sorted; at most [`TOLD_MAX`].
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub more: u64,
}

impl Verified {
    /// True if a compiled detection and CPython disagree.
    pub fn differs(&self) -> bool {
        self.results.get(word(Verdict::Different)).is_some_and(|n| *n > 0)
    }

    /// For people.
    pub fn text(&self) -> String {
        let all: Vec<String> = self.results.iter().map(|(what, n)| format!("{n} {what}")).collect();
        let mut out = format!(
            "compiled and CPython: {} detections, {} events of theirs; results: {}\n",
            self.rules,
            self.events,
            if all.is_empty() { "none".into() } else { all.join(", ") }
        );
        for d in self.differences.iter().filter(|d| d.what != word(Verdict::Unknown)) {
            out += &format!("  {} {}(): {}\n", d.rule, d.function, d.what);
            out += &format!("    compiled  {}\n    cpython   {}\n    event     {}\n", d.compiled, d.cpython, d.event);
        }
        if self.more > 0 {
            out += &format!("  and {} more\n", self.more);
        }
        out
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Equal => "equal",
        Verdict::Order => "order",
        Verdict::Wording => "wording",
        Verdict::Unknown => "unknown",
        Verdict::Different => "different",
    }
}

impl Verify {
    /// Compare these of the rules of a load, with the CPython that was opened for it.
    pub fn new<'a>(cpython: Arc<Cpython>, rules: impl IntoIterator<Item = &'a Rule>) -> Verify {
        let of = |r: &Rule| match &r.body {
            Body::Python(script) if script.blocker().is_none() => {
                let filters = script.filters.iter().map(|(t, exprs)| (t.clone(), exprs.clone()));
                Some((r.meta.id.clone(), filters.collect()))
            }
            _ => None,
        };
        Verify { cpython, rules: rules.into_iter().filter_map(of).collect(), found: Mutex::default() }
    }

    /// True if a rule is compared. It must be run on every event then, without its filter.
    pub fn watches(&self, id: &str) -> bool {
        self.rules.contains_key(id)
    }

    /// Compare an event.
    ///
    /// # Errors
    /// CPython cannot be asked.
    pub(super) fn check(
        &self,
        loaded: &Loaded,
        compiled: &Compiled,
        (event, setting): (&EventHandle, &Setting),
        mocks: &[(String, J)],
        cache: Option<&Rc<RefCell<dyn Cache>>>,
    ) -> Result<(), String> {
        let Some((id, filters)) = self.rules.get_key_value(&loaded.meta.id) else { return Ok(()) };
        let script = &loaded.script;
        // What CPython writes is not kept: both of them see the cache as it was before the event.
        let mut unchanged = cache.map(|c| Unchanged(c.clone()));
        let unchanged = unchanged.as_mut().map(|c| c as &mut dyn Cache);
        let answer = self.cpython.ask_exactly(id, event, mocks, unchanged)?;
        let mut tally = Tally::new();
        let mut differences: Vec<(String, Verdict, String, String)> = match &answer {
            Ok(answer) => compare(compiled, event.event(), setting, answer, &mut tally)
                .into_iter()
                .map(|d| (d.function, d.verdict, d.compiled, d.cpython))
                .collect(),
            // It asked for what neither of the two has here.
            Err(why) => {
                *tally.entry(Verdict::Unknown).or_default() += 1;
                vec![(script.entry.function().into(), Verdict::Unknown, String::new(), why.clone())]
            }
        };
        let passes = filters.get(&event.log_type).is_none_or(|exprs| eval::all(exprs, &event.json()));
        if let (false, Ok(Answer::Outputs(outputs))) = (passes, &answer) {
            let verdict = outputs.first().map(|(_, output)| output);
            let no =
                matches!(verdict, Some(Output::Value { json: Some(J::Bool(b)), .. }) if *b != script.entry.alerting());
            *tally.entry(if no { Verdict::Equal } else { Verdict::Different }).or_default() += 1;
            if !no {
                differences.push(("filter".into(), Verdict::Different, "no match".into(), format!("{verdict:?}")));
            }
        }
        let mut found = self.found.lock().expect("no holder panics");
        found.rules.insert(id.clone());
        found.events += 1;
        tally.into_iter().for_each(|(verdict, n)| *found.tally.entry(verdict).or_default() += n);
        for (function, verdict, compiled, cpython) in differences {
            let short = |text: String| text.chars().take(TEXT_MAX).collect();
            let row = event.json().get("p_row_id").and_then(J::as_str).map(str::to_string);
            let event = row.unwrap_or_else(|| short(clip(event.text().into())));
            let (compiled, cpython) = (short(compiled), short(cpython));
            let what = word(verdict);
            found.told.insert(Difference { rule: id.to_string(), function, what, compiled, cpython, event });
            // The first of their order are kept, whoever comes to them first.
            if found.told.len() > TOLD_MAX {
                found.told.pop_last();
                found.untold += 1;
            }
        }
        Ok(())
    }

    /// What was found so far.
    pub fn report(&self) -> Verified {
        let found = self.found.lock().expect("no holder panics");
        Verified {
            rules: found.rules.len(),
            events: found.events,
            results: found.tally.iter().map(|(verdict, n)| (word(*verdict), *n)).collect(),
            differences: found.told.iter().cloned().collect(),
            more: found.untold,
        }
    }
}

#[cfg(test)]
mod tests;
