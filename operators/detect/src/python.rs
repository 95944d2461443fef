//! Python rules and policies: compiled by the crate [`python`](::python), run here under the contract of all scripts.
//!
//! A detection is a module with `rule(event)` (or `policy(resource)`) and, if it likes, the other functions of
//! [`crate::contract`]. It may import helper modules (`AnalysisType: global`) and ask data models
//! (`AnalysisType: datamodel`); [`repository`] holds both. One [`Engine`] per worker: a detection is compiled when its
//! first event comes, an event is read or converted once for all detections of a row.
//!
//! What is not built is asked of a CPython of the machine, if there is one: see [`cpython`].
//!
//! The same event gives the same result wherever it runs: globals that functions assign start anew with each event,
//! the clock is that of the epoch, and steps and memory are counted, not timed.
mod aux;
pub mod cpython;
pub mod filter;
pub mod repository;
mod returned;
pub mod script;
pub mod store;
pub mod survey;
pub mod verify;

#[cfg(test)]
mod tests;

use crate::contract::{Outcome, kind};
use crate::rule::{Body, Rule};
use crate::whole::RowEvent;
use ::python::event::Source;
use ::python::value::Value;
use ::python::{Cache, Limits, Session, Setting, compile};
use cpython::Cpython;
use model::{EventBatch, RuleMeta};
use repository::Shared;
use returned::Returned;
pub use script::{AnalysisType, Blocker, Script, Support};
use serde_json::Value as J;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use verify::Verify;

/// All Python detections of a node. Not `Send`: make one per worker.
pub struct Engine {
    rules: Vec<Loaded>,
    shared: Shared,
    limits: Limits,
    /// Who is asked what is not built.
    cpython: Option<Arc<Cpython>>,
    /// Why no worker of CPython can be started.
    lost: RefCell<Option<String>>,
    /// Who compares what is compiled with CPython.
    verify: Option<Arc<Verify>>,
    /// The key-value cache. Without one a use of it is an error.
    cache: RefCell<Option<Rc<RefCell<dyn Cache>>>>,
}

/// An event prepared for any number of detections.
pub struct EventHandle {
    origin: Origin,
    event: OnceCell<::python::Event>,
    /// As CPython is given it.
    text: OnceCell<String>,
    log_type: Arc<str>,
    setting: Setting,
}

/// Where an event is.
enum Origin {
    Json(Rc<J>),
    Row(Rc<RowEvent>),
}

struct Loaded {
    meta: Arc<RuleMeta>,
    script: Arc<Script>,
    answer: OnceCell<Answer>,
}

/// Who answers for a detection.
enum Answer {
    /// The compiled module; CPython, if it is there, for an event that ends as unknown.
    Native(::python::Compiled),
    /// CPython, because the module or its verdict is not compiled as a whole.
    Cpython(Arc<Cpython>),
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
    /// [`Engine::run`]. Nothing is compiled yet. What is not built is asked of `cpython`, which was opened for the same
    /// load; without it that is an error.
    pub fn new(rules: &[&Rule], limits: Limits, cpython: Option<Arc<Cpython>>) -> Engine {
        let script = |r: &&Rule| match &r.body {
            Body::Python(script) => Some((r.meta.clone(), script.clone())),
            _ => None,
        };
        let loaded = |(meta, script)| Loaded { meta, script, answer: OnceCell::new() };
        let rules: Vec<Loaded> = rules.iter().filter_map(script).map(loaded).collect();
        let repository = rules.first().map(|r: &Loaded| r.script.repository.clone()).unwrap_or_default();
        Engine {
            rules,
            shared: Shared::new(repository),
            limits,
            cpython,
            lost: RefCell::default(),
            verify: None,
            cache: RefCell::default(),
        }
    }

    /// Compare what is compiled with CPython from now on.
    pub fn verify(&mut self, verify: Option<Arc<Verify>>) {
        self.verify = verify;
    }

    /// Detections share this key-value cache from now on. What one writes for an event counts when it is done with the event.
    pub fn share(&self, cache: Rc<RefCell<dyn Cache>>) {
        self.cache.replace(Some(cache));
    }

    /// Prepare an event of a log type, at a clock in milliseconds since 1970.
    pub fn event(&self, event: Rc<J>, log_type: &str, now_ms: i64) -> EventHandle {
        self.handle(Origin::Json(event), log_type.into(), now_ms)
    }

    /// Prepare the event of a row, whose fields are read when they are asked for.
    pub fn row(&self, batch: &Arc<EventBatch>, row: usize) -> EventHandle {
        let event = Rc::new(RowEvent::new(batch.clone(), row));
        self.handle(Origin::Row(event), batch.layout.log_type.clone(), batch.now_ms)
    }

    fn handle(&self, origin: Origin, log_type: Arc<str>, now_ms: i64) -> EventHandle {
        let setting = Setting {
            model: self.shared.model(&log_type),
            clock: now_ms.saturating_mul(1_000),
            limits: self.limits,
            cache: None,
        };
        EventHandle { origin, event: OnceCell::new(), text: OnceCell::new(), log_type, setting }
    }

    /// Evaluate one detection on an event.
    pub fn run(&self, rule: usize, event: &EventHandle) -> Outcome {
        let loaded = &self.rules[rule];
        self.answer(loaded, loaded.answer.get_or_init(|| self.load(&loaded.script)), event, &[])
    }

    /// Evaluate one detection with names of its module replaced by stand-ins that return a value, as tests of rules do.
    /// It is compiled anew, so nothing of it stays.
    pub fn run_mocked(&self, rule: usize, event: &EventHandle, mocks: &[(String, J)]) -> Outcome {
        let loaded = &self.rules[rule];
        let answer = self.load(&loaded.script);
        if let Answer::Native(compiled) = &answer {
            for (name, value) in mocks {
                let value = Value::Mock(Rc::new(::python::event::plain_from_json(value)));
                if !compiled.module.mock(name, value) {
                    let message = format!("Mocks: the module has no name `{name}`");
                    return Failure::new(kind::LOAD, message).into();
                }
            }
        }
        self.answer(loaded, &answer, event, mocks)
    }

    /// Why no worker of CPython could be started since this was asked last: outcomes since then are not those of the
    /// detections.
    pub(crate) fn lost(&self) -> Option<String> {
        self.lost.take()
    }

    fn load(&self, script: &Script) -> Answer {
        let entry = script.entry.function();
        let failure = match compile(&script.source(), &self.shared.library) {
            Ok(c) if c.module.get(entry).is_none() => match script.entry {
                AnalysisType::ScheduledRule => return Answer::Native(c),
                _ => format!("{} defines no function `{entry}`", script.module.file),
            },
            Ok(c) => match &self.cpython {
                Some(cpython) if !c.report.compiled(entry) => return Answer::Cpython(cpython.clone()),
                _ => return Answer::Native(c),
            },
            Err(e) => e.to_string(),
        };
        match &self.cpython {
            Some(cpython) => Answer::Cpython(cpython.clone()),
            None => Answer::Nobody(Failure::new(kind::LOAD, failure)),
        }
    }

    fn answer(&self, loaded: &Loaded, answer: &Answer, event: &EventHandle, mocks: &[(String, J)]) -> Outcome {
        let entry = loaded.script.entry;
        match answer {
            Answer::Nobody(failure) => failure.clone().into(),
            Answer::Cpython(cpython) => self.ask(cpython, loaded, event, mocks),
            Answer::Native(compiled) => {
                compiled.begin();
                let unknown = Cell::new(false);
                let cache = self.cache.borrow().clone();
                let begun = || cache.clone().map(|c| Rc::new(RefCell::new(Session::new(c))));
                let setting = Setting { cache: begun(), ..event.setting.clone() };
                let call = aux::Call::Native { compiled, event, setting: &setting, unknown: &unknown, entry };
                // CPython loads no module without the function, and none is needed for the rows of a query.
                let outcome = match entry == AnalysisType::ScheduledRule && !call.has(entry.function()) {
                    true => return Outcome::Match(Box::new(aux::found(&loaded.meta, &call))),
                    false => evaluate(loaded, &call),
                };
                if let Some(verify) = &self.verify {
                    let setting = Setting { cache: begun(), ..event.setting.clone() };
                    if let Err(why) = verify.check(loaded, compiled, (event, &setting), mocks, cache.as_ref()) {
                        self.lost.replace(Some(why));
                    }
                }
                match (&self.cpython, &setting.cache) {
                    (Some(cpython), _) if unknown.get() => self.ask(cpython, loaded, event, mocks),
                    (_, Some(session)) => match session.borrow_mut().commit().first() {
                        Some(key) => {
                            Failure::new(kind::WORKER, format!("the cache has no room for the key {key:?}")).into()
                        }
                        None => outcome,
                    },
                    _ => outcome,
                }
            }
        }
    }

    /// Ask CPython about an event.
    fn ask(&self, cpython: &Cpython, loaded: &Loaded, event: &EventHandle, mocks: &[(String, J)]) -> Outcome {
        let cache = self.cache.borrow().clone();
        let mut cache = cache.as_ref().map(|c| c.borrow_mut());
        match cpython.ask(&loaded.meta.id, event, mocks, cache.as_mut().map(|c| &mut **c as &mut dyn Cache)) {
            Ok(Ok(outputs)) => evaluate(loaded, &aux::Call::Cpython(&outputs)),
            Ok(Err(failure)) => failure.into(),
            Err(why) => {
                let failure = Failure::new(kind::WORKER, why.clone());
                self.lost.replace(Some(why));
                failure.into()
            }
        }
    }
}

/// The verdict of a detection that has its entry function, and on a match what else it says.
fn evaluate(loaded: &Loaded, call: &aux::Call) -> Outcome {
    let entry = loaded.script.entry;
    let function = entry.function();
    match call.function(function) {
        Ok(Returned::Bool(b)) if b == entry.alerting() => Outcome::Match(Box::new(aux::found(&loaded.meta, call))),
        Ok(Returned::Bool(_)) => Outcome::No,
        Ok(other) => Failure::wrong_type(function, "a boolean", other.type_name()).into(),
        Err(failure) => failure.into(),
    }
}

impl EventHandle {
    /// Convert the event now; otherwise that is done when the first rule runs.
    pub fn prepare(&self) {
        self.event();
    }

    /// The event as JSON.
    pub fn json(&self) -> Rc<J> {
        match &self.origin {
            Origin::Json(json) => json.clone(),
            Origin::Row(row) => row.whole(),
        }
    }

    fn text(&self) -> &str {
        self.text.get_or_init(|| self.json().to_string())
    }

    fn event(&self) -> &::python::Event {
        self.event.get_or_init(|| match &self.origin {
            Origin::Row(row) => ::python::Event::of(row.clone()),
            Origin::Json(json) => match &**json {
                J::Object(map) => ::python::Event::new(map),
                _ => ::python::Event::new(&serde_json::Map::new()),
            },
        })
    }
}
