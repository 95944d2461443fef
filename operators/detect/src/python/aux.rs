//! The functions of a Python detection that matched: called in the order of the contract, their results checked.
use super::returned::Returned;
use super::{AnalysisType, EventHandle, Failure};
use crate::contract::{Answers, Found, MAX_DESTINATIONS, SEVERITIES, context_text, error_context, kind};
use crate::template::clip;
use ::python::cpython::Output;
use ::python::{Compiled, Outcome, Setting};
use model::{RuleMeta, Severity};
use std::cell::Cell;

/// A detection and the event it is asked about.
pub(super) enum Call<'a> {
    /// The compiled functions, called when they are asked for.
    Native {
        /// The module.
        compiled: &'a Compiled,
        /// The event.
        event: &'a EventHandle,
        /// With what its functions are called.
        setting: &'a Setting,
        /// What kind of detection it is.
        entry: AnalysisType,
        /// One of them came upon something that is not built.
        unknown: &'a Cell<bool>,
    },
    /// What CPython gave, by function; one that is not here is not in the module.
    Cpython(&'a [(String, Output)]),
}

impl Call<'_> {
    /// Whether the detection has a function.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Call::Native { compiled, .. } => compiled.module.get(name).is_some(),
            Call::Cpython(outputs) => outputs.iter().any(|(n, _)| n == name),
        }
    }

    /// Result of a function of the detection.
    pub fn function(&self, name: &str) -> Result<Returned, Failure> {
        match self {
            Call::Native { compiled, event, setting, entry, unknown } => {
                native(compiled, event, setting, *entry, unknown, name)
            }
            Call::Cpython(outputs) => match outputs.iter().find(|(n, _)| n == name).map(|(_, output)| output) {
                Some(Output::Value { kind, json, .. }) => Ok(Returned::told(kind.clone(), json.clone())),
                Some(Output::Raised(raised)) => {
                    let at = raised.at.as_ref().map(|(file, line, function)| place(file, *line, function));
                    let failure = raised_error(&raised.class, &raised.message, &raised.repr, at);
                    // The limit of the process is met by an exception.
                    let spent = raised.class == "MemoryError";
                    Err(if spent { Failure { kind: kind::MEMORY.into(), ..failure } } else { failure })
                }
                Some(Output::TooLarge(most)) => {
                    Err(Failure::new(kind::RETURN, format!("{name}() returned more than {most} bytes")))
                }
                None => Err(Failure::new(kind::LOAD, format!("CPython gave nothing for {name}()"))),
            },
        }
    }
}

/// Call a compiled function.
fn native(
    compiled: &Compiled,
    event: &EventHandle,
    setting: &Setting,
    entry: AnalysisType,
    unknown: &Cell<bool>,
    name: &str,
) -> Result<Returned, Failure> {
    let outcome = match entry {
        AnalysisType::Rule | AnalysisType::ScheduledRule => compiled.call(name, event.event(), setting),
        // A policy may change its resource, so each function gets its own.
        AnalysisType::Policy => compiled.call_value(name, ::python::event::plain_from_json(&event.json()), setting),
    };
    match outcome {
        Outcome::Value(value) => Ok(value.into()),
        Outcome::Raised(raised) => {
            let at = raised.at.map(|p| place(&p.file, p.line, &p.function));
            Err(raised_error(&raised.class, &raised.message, &raised.repr, at))
        }
        Outcome::Unknown(what) => {
            unknown.set(true);
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

fn place(file: &str, line: u32, function: &str) -> String {
    format!("{file}, line {line}, in {function}")
}

fn raised_error(class: &str, message: &str, repr: &str, at: Option<String>) -> Failure {
    let message = match at {
        Some(at) if message.is_empty() => at,
        Some(at) => format!("{message}: {at}"),
        None => message.into(),
    };
    Failure { kind: class.into(), message: clip(message), repr: clip(repr.into()) }
}

/// Call the auxiliary functions of a detection that matched.
pub(super) fn found(meta: &RuleMeta, call: &Call) -> Found {
    let mut aux = Aux { call, errors: Vec::new() };
    let answers = Answers {
        title: aux.text("title"),
        description: aux.text("description"),
        reference: aux.text("reference"),
        severity: aux.severity(),
        runbook: aux.text("runbook"),
        destinations: aux.destinations(),
        dedup: aux.text("dedup"),
        context: aux.context(),
        unique: aux.text("unique"),
        errors: aux.errors,
    };
    answers.found(meta)
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
        read: impl FnOnce(Returned) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        if !self.call.has(name) {
            return Ok(None);
        }
        let result = self.call.function(name).and_then(read);
        result.map(Some).inspect_err(|e| self.errors.push((name, format!("{}: {}", e.kind, e.message))))
    }

    /// Text of a function, cut; `Err(true)` = failed, `Err(false)` = absent.
    fn text(&mut self, name: &'static str) -> Result<String, bool> {
        let text = self.ask(name, |v| match v {
            Returned::Text(s) => Ok(clip(s)),
            other => Err(Failure::wrong_type(name, "a str", other.type_name())),
        });
        text.map_err(|_| true)?.ok_or(false)
    }

    fn severity(&mut self) -> Option<Severity> {
        let read = |v: Returned| match v {
            Returned::Text(s) => match Severity::parse(&s) {
                Some(severity) => Ok(Some(severity)),
                None if s.eq_ignore_ascii_case("DEFAULT") => Ok(None),
                None => Err(Failure::wrong_type("severity", SEVERITIES, &format!("{:?}", clip(s)))),
            },
            other => Err(Failure::wrong_type("severity", "a str", other.type_name())),
        };
        self.ask("severity", read).ok().flatten().flatten()
    }

    fn destinations(&mut self) -> Option<Vec<String>> {
        let read = |v: Returned| match v {
            Returned::None => Ok(None),
            Returned::List(list) => {
                let item = |v: Result<String, String>| match v {
                    Ok(s) => Ok(clip(s)),
                    Err(other) => {
                        let got = format!("a list with {other}");
                        Err(Failure::wrong_type("destinations", "a list of str", &got))
                    }
                };
                list.into_iter().take(MAX_DESTINATIONS).map(item).collect::<Result<_, _>>().map(Some)
            }
            other => Err(Failure::wrong_type("destinations", "a list or None", other.type_name())),
        };
        self.ask("destinations", read).ok().flatten().flatten()
    }

    fn context(&mut self) -> Option<String> {
        let read = |v: Returned| match v {
            Returned::Map(_, Some(json)) => Ok(context_text(&json)),
            Returned::Map(_, None) => {
                Err(Failure::wrong_type("alert_context", "what JSON can hold", "a value that it cannot"))
            }
            other => Err(Failure::wrong_type("alert_context", "a mapping", other.type_name())),
        };
        self.ask("alert_context", read).unwrap_or_else(|e| Some(error_context(e.repr)))
    }
}
