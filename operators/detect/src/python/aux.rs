//! The functions of a Python detection that matched: called in the order of the contract, their results checked.
use super::{AnalysisType, EventHandle, Failure};
use crate::contract::{Found, MAX_DESTINATIONS, SEVERITIES, context_text, default_dedup, error_context, fixed, kind};
use crate::template::clip;
use ::python::value::Value;
use ::python::{Compiled, Outcome, run::to_json};
use model::{RuleMeta, Severity};

/// A detection and the event it is asked about.
pub(super) struct Call<'a> {
    pub compiled: &'a Compiled,
    pub event: &'a EventHandle,
    pub entry: AnalysisType,
}

impl Call<'_> {
    /// Call a function of the detection.
    pub fn function(&self, name: &str) -> Result<Value, Failure> {
        let (compiled, setting) = (self.compiled, &self.event.setting);
        let outcome = match self.entry {
            AnalysisType::Rule | AnalysisType::ScheduledRule => compiled.call(name, self.event.event(), setting),
            // A policy may change its resource, so each function gets its own.
            AnalysisType::Policy => {
                compiled.call_value(name, ::python::event::plain_from_json(&self.event.json), setting)
            }
        };
        match outcome {
            Outcome::Value(value) => Ok(value),
            Outcome::Raised(raised) => {
                let at = raised.at.map(|p| format!("{}, line {}, in {}", p.file, p.line, p.function));
                let message = match at {
                    Some(at) if raised.message.is_empty() => at,
                    Some(at) => format!("{}: {at}", raised.message),
                    None => raised.message,
                };
                Err(Failure { kind: raised.class, message: clip(message), repr: clip(raised.repr) })
            }
            Outcome::Unknown(what) => {
                Err(Failure::new(kind::UNSUPPORTED, clip(format!("{name}(): {what} is not built"))))
            }
            Outcome::Exhausted("memory") => {
                let limit = setting.limits.memory;
                Err(Failure::new(kind::MEMORY, format!("{name}() asked for more than {limit} bytes")))
            }
            Outcome::Exhausted(_) => {
                let limit = setting.limits.steps;
                Err(Failure::new(kind::TIME, format!("{name}() took more than {limit} steps")))
            }
        }
    }
}

/// Call the auxiliary functions of a detection that matched.
pub(super) fn found(meta: &RuleMeta, call: &Call) -> Found {
    let mut aux = Aux { call, errors: Vec::new() };
    let title = aux.text("title").unwrap_or_else(|failed| match failed {
        false if !meta.name.is_empty() => clip(meta.name.clone()),
        _ => meta.id.to_string(),
    });
    let description = aux.text("description").unwrap_or_else(|failed| fixed(&meta.description, failed));
    let reference = aux.text("reference").unwrap_or_else(|failed| fixed(&meta.reference, failed));
    let severity = aux.severity().unwrap_or(meta.severity);
    let runbook = aux.text("runbook").unwrap_or_else(|failed| fixed(&meta.runbook, failed));
    let destinations = aux.destinations();
    let dedup = aux.text("dedup").unwrap_or_else(|failed| if failed { String::new() } else { title.clone() });
    let dedup = if dedup.is_empty() { default_dedup(&meta.id) } else { dedup };
    let context = aux.context();
    let unique = aux.text("unique").ok();
    let errors = aux.errors;
    Found { title, description, reference, severity, runbook, destinations, dedup, context, unique, errors }
}

struct Aux<'a> {
    call: &'a Call<'a>,
    errors: Vec<(&'static str, String)>,
}

impl Aux<'_> {
    /// Call a function if the detection has it; `read` checks and converts what it returns. `Ok(None)` = absent.
    fn ask<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        if self.call.compiled.module.get(name).is_none() {
            return Ok(None);
        }
        let result = self.call.function(name).and_then(read);
        result.map(Some).inspect_err(|e| self.errors.push((name, format!("{}: {}", e.kind, e.message))))
    }

    /// Text of a function, cut; `Err(true)` = failed, `Err(false)` = absent.
    fn text(&mut self, name: &'static str) -> Result<String, bool> {
        let text = self.ask(name, |v| match v {
            Value::Str(s) => Ok(clip(s.to_string())),
            other => Err(Failure::wrong_type(name, "a str", &other.type_name())),
        });
        text.map_err(|_| true)?.ok_or(false)
    }

    fn severity(&mut self) -> Option<Severity> {
        let read = |v: Value| match &v {
            Value::Str(s) => match Severity::parse(s) {
                Some(severity) => Ok(Some(severity)),
                None if s.eq_ignore_ascii_case("DEFAULT") => Ok(None),
                None => Err(Failure::wrong_type("severity", SEVERITIES, &format!("{:?}", clip(s.to_string())))),
            },
            other => Err(Failure::wrong_type("severity", "a str", &other.type_name())),
        };
        self.ask("severity", read).ok().flatten().flatten()
    }

    fn destinations(&mut self) -> Option<Vec<String>> {
        let read = |v: Value| match &v {
            Value::None => Ok(None),
            Value::List(list) => {
                let item = |v: &Value| match v {
                    Value::Str(s) => Ok(clip(s.to_string())),
                    other => {
                        let got = format!("a list with {}", other.type_name());
                        Err(Failure::wrong_type("destinations", "a list of str", &got))
                    }
                };
                list.items.borrow().iter().take(MAX_DESTINATIONS).map(item).collect::<Result<_, _>>().map(Some)
            }
            other => Err(Failure::wrong_type("destinations", "a list or None", &other.type_name())),
        };
        self.ask("destinations", read).ok().flatten().flatten()
    }

    fn context(&mut self) -> Option<String> {
        let read = |v: Value| match &v {
            Value::Dict(_) | Value::EvDict(_) => match to_json(&v) {
                Some(json) => Ok(context_text(&json)),
                None => Err(Failure::wrong_type("alert_context", "what JSON can hold", "a value that it cannot")),
            },
            other => Err(Failure::wrong_type("alert_context", "a mapping", &other.type_name())),
        };
        self.ask("alert_context", read).unwrap_or_else(|e| Some(error_context(e.repr)))
    }
}
