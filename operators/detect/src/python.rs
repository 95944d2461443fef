//! Python rules and policies: compiled by the crate [`python`](::python), run here under the contract of all scripts.
//!
//! A detection is a module with `rule(event)` (or `policy(resource)`) and, if it likes, the other functions of
//! [`crate::contract`]. It may import helper modules (`AnalysisType: global`) and ask data models
//! (`AnalysisType: datamodel`); [`repository`] holds both. One [`Engine`] per worker: a detection is compiled when its
//! first event comes, an event is converted once for all detections of a row.
//!
//! The same event gives the same result wherever it runs: globals that functions assign start anew with each event,
//! the clock is that of the epoch, and steps and memory are counted, not timed.
mod aux;
pub mod filter;
pub mod repository;
pub mod script;
pub mod survey;

#[cfg(test)]
mod tests;

use crate::contract::{Found, Outcome, kind};
use crate::rule::{Body, Rule};
use ::python::value::Value;
use ::python::{Compiled, Limits, Setting, compile};
use model::RuleMeta;
use repository::Shared;
pub use script::{AnalysisType, Blocker, Script, Support};
use serde_json::Value as J;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

/// All Python detections of a node. Not `Send`: make one per worker.
pub struct Engine {
    rules: Vec<Loaded>,
    shared: Shared,
    limits: Limits,
}

/// An event prepared for any number of detections.
pub struct EventHandle {
    json: Rc<J>,
    event: OnceCell<::python::Event>,
    setting: Setting,
}

struct Loaded {
    meta: Arc<RuleMeta>,
    script: Arc<Script>,
    answer: OnceCell<Answer>,
}

/// Who answers for a detection. What cannot be compiled, and an evaluation that ends as unknown, is an error here; an
/// interpreter beside the engine would be a third case.
enum Answer {
    /// The compiled module.
    Native(Compiled),
    /// Nobody: every event that it should see is this error.
    Nobody(Failure),
}

/// Why an evaluation gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub kind: String,
    pub message: String,
    /// `repr` of a Python exception, as a context shows it.
    pub repr: String,
}

impl Failure {
    fn new(kind: &str, message: String) -> Failure {
        Failure { kind: kind.into(), repr: format!("{kind}: {message}"), message }
    }

    fn wrong_type(function: &str, want: &str, got: &str) -> Failure {
        Failure::new(kind::RETURN, format!("{function}() must return {want}, got {got}"))
    }
}

impl From<Failure> for Outcome {
    fn from(f: Failure) -> Outcome {
        Outcome::Error { kind: f.kind, message: f.message }
    }
}

impl Engine {
    /// The Python detections among these, which all come from one load; the index of one here is its index in
    /// [`Engine::run`]. Nothing is compiled yet.
    pub fn new(rules: &[&Rule], limits: Limits) -> Engine {
        let script = |r: &&Rule| match &r.body {
            Body::Python(script) => Some((r.meta.clone(), script.clone())),
            _ => None,
        };
        let loaded = |(meta, script)| Loaded { meta, script, answer: OnceCell::new() };
        let rules: Vec<Loaded> = rules.iter().filter_map(script).map(loaded).collect();
        let repository = rules.first().map(|r: &Loaded| r.script.repository.clone()).unwrap_or_default();
        Engine { rules, shared: Shared::new(repository), limits }
    }

    /// Prepare an event of a log type, at a clock in milliseconds since 1970.
    pub fn event(&self, event: Rc<J>, log_type: &str, now_ms: i64) -> EventHandle {
        let setting =
            Setting { model: self.shared.model(log_type), clock: now_ms.saturating_mul(1_000), limits: self.limits };
        EventHandle { json: event, event: OnceCell::new(), setting }
    }

    /// Evaluate one detection on an event.
    pub fn run(&self, rule: usize, event: &EventHandle) -> Outcome {
        let loaded = &self.rules[rule];
        match loaded.answer.get_or_init(|| self.load(&loaded.script)) {
            Answer::Native(compiled) => self.evaluate(loaded, compiled, event),
            Answer::Nobody(failure) => failure.clone().into(),
        }
    }

    /// Evaluate one detection with names of its module replaced by stand-ins that return a value, as tests of rules do.
    /// It is compiled anew, so nothing of it stays.
    pub fn run_mocked(&self, rule: usize, event: &EventHandle, mocks: &[(String, J)]) -> Outcome {
        let loaded = &self.rules[rule];
        match self.load(&loaded.script) {
            Answer::Nobody(failure) => failure.into(),
            Answer::Native(compiled) => {
                for (name, value) in mocks {
                    let value = Value::Mock(Rc::new(::python::event::plain_from_json(value)));
                    if !compiled.module.mock(name, value) {
                        let message = format!("Mocks: the module has no name `{name}`");
                        return Failure::new(kind::LOAD, message).into();
                    }
                }
                self.evaluate(loaded, &compiled, event)
            }
        }
    }

    fn load(&self, script: &Script) -> Answer {
        let entry = script.entry.function();
        match compile(&script.module.source(entry), &self.shared.library) {
            Ok(c) if script.entry != AnalysisType::ScheduledRule && c.module.get(entry).is_none() => Answer::Nobody(
                Failure::new(kind::LOAD, format!("{} defines no function `{entry}`", script.module.file)),
            ),
            Ok(compiled) => Answer::Native(compiled),
            Err(e) => Answer::Nobody(Failure::new(kind::LOAD, e.to_string())),
        }
    }

    fn evaluate(&self, loaded: &Loaded, compiled: &Compiled, event: &EventHandle) -> Outcome {
        compiled.begin();
        let entry = loaded.script.entry;
        let function = entry.function();
        let call = aux::Call { compiled, event, entry };
        if entry == AnalysisType::ScheduledRule && compiled.module.get(function).is_none() {
            return Outcome::Match(Box::new(self.found(loaded, &call)));
        }
        match call.function(function) {
            Ok(Value::Bool(b)) if b == entry.alerting() => Outcome::Match(Box::new(self.found(loaded, &call))),
            Ok(Value::Bool(_)) => Outcome::No,
            Ok(other) => Failure::wrong_type(function, "a boolean", &other.type_name()).into(),
            Err(failure) => failure.into(),
        }
    }

    fn found(&self, loaded: &Loaded, call: &aux::Call) -> Found {
        aux::found(&loaded.meta, call)
    }
}

impl EventHandle {
    /// Convert the event now; otherwise that is done when the first rule runs.
    pub fn prepare(&self) {
        self.event();
    }

    fn event(&self) -> &::python::Event {
        self.event.get_or_init(|| match &*self.json {
            J::Object(map) => ::python::Event::new(map),
            _ => ::python::Event::new(&serde_json::Map::new()),
        })
    }
}
