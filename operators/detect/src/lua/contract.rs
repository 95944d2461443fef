//! The contract between a rule and the engine: what each function must return, and what happens when it does not.
//!
//! | function | absent | fails or returns something else | too long |
//! |---|---|---|---|
//! | `title` | `DisplayName`, else the rule's id | the rule's id | cut to 1,000 characters |
//! | `description`, `reference`, `runbook` | the static text | empty | cut |
//! | `severity` | static | static | – |
//! | `destinations` | routing rules | routing rules | first 10 |
//! | `dedup` | the title, else `defaultDedupString:<id>` | `defaultDedupString:<id>` | cut |
//! | `alert_context` | none | `{"_error": …}` | over 204,800 characters: `{"_error": …}` |
//! | `unique` | none | none | cut |
//!
//! A failing auxiliary function never costs the match; its error is kept for tests of rules ([`Found::errors`]).
use super::{Machine, function, value};
pub use crate::template::clip as cut;
use mlua::{AnyUserData, Table, Value};
use model::{RuleMeta, Severity};
use serde_json::json;

/// Longest `alert_context`, in characters of its JSON.
pub const MAX_CONTEXT: usize = 204_800;
/// Most destinations a rule can choose.
pub const MAX_DESTINATIONS: usize = 10;

/// Kinds of failure; a rule error is deduplicated by its kind.
pub mod kind {
    /// The chunk does not compile, fails when run, or defines no `rule`.
    pub const LOAD: &str = "LoadError";
    /// The rule raised an error.
    pub const RUNTIME: &str = "RuntimeError";
    /// A function returned a value of the wrong type.
    pub const RETURN: &str = "FunctionReturnTypeError";
    /// The tick or CPU limit.
    pub const TIME: &str = "TimeLimitError";
    /// The memory limit.
    pub const MEMORY: &str = "MemoryLimitError";
    /// Not evaluated: the rule was stopped at these limits too often before.
    pub const QUARANTINE: &str = "QuarantineError";
}

/// Result of one rule on one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// No match.
    No,
    /// A match, with everything the rule says about it.
    Match(Box<Found>),
    /// A rule error.
    Error {
        /// See [`kind`].
        kind: String,
        /// What happened, with file and line where known.
        message: String,
    },
}

/// What a rule says about a match, after fallbacks and cuts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// Reference.
    pub reference: String,
    /// Severity.
    pub severity: Severity,
    /// Runbook.
    pub runbook: String,
    /// `None` = routing rules, empty = no delivery.
    pub destinations: Option<Vec<String>>,
    /// Dedup string, never empty.
    pub dedup: String,
    /// JSON object text.
    pub context: Option<String>,
    /// Value to count instead of events.
    pub unique: Option<String>,
    /// Auxiliary functions that failed: name and error.
    pub errors: Vec<(&'static str, String)>,
}

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub kind: &'static str,
    pub message: String,
}

impl Failure {
    pub fn load(message: &str) -> Failure {
        Failure { kind: kind::LOAD, message: message.into() }
    }
    pub fn runtime(message: String) -> Failure {
        Failure { kind: kind::RUNTIME, message }
    }
    pub fn wrong_type(function: &str, want: &str, got: &str) -> Failure {
        Failure { kind: kind::RETURN, message: format!("{function}() must return {want}, got {got}") }
    }
}

impl From<Failure> for Outcome {
    fn from(f: Failure) -> Outcome {
        Outcome::Error { kind: f.kind.into(), message: f.message }
    }
}

/// Dedup string of a rule that names none.
pub fn default_dedup(id: &str) -> String {
    format!("defaultDedupString:{id}")
}

/// Call the auxiliary functions of a rule that matched, in the order of the contract.
pub(super) fn found(m: &Machine, meta: &RuleMeta, env: &Table, event: &AnyUserData) -> Found {
    let mut aux = Aux { m, env, event, errors: Vec::new() };
    let id = || meta.id.to_string();
    let title = aux.text("title").unwrap_or_else(|failed| match failed {
        false if !meta.name.is_empty() => meta.name.clone(),
        _ => id(),
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

fn fixed(text: &str, failed: bool) -> String {
    if failed { String::new() } else { text.into() }
}

struct Aux<'a> {
    m: &'a Machine,
    env: &'a Table,
    event: &'a AnyUserData,
    errors: Vec<(&'static str, String)>,
}

impl Aux<'_> {
    /// Call a function if the rule has it; `read` checks and converts what it returns. `Ok(None)` = absent.
    fn call<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Machine, Value) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let Some(f) = function(self.env, name) else { return Ok(None) };
        // After a limit was hit the remaining functions have no budget: their fallbacks apply.
        let result = self.m.meter.verdict().and_then(|()| self.m.call(&f, self.event)).and_then(|v| read(self.m, v));
        result.map(Some).inspect_err(|e| self.errors.push((name, format!("{}: {}", e.kind, e.message))))
    }

    /// Text of a function, cut; `Err(true)` = failed, `Err(false)` = absent.
    fn text(&mut self, name: &'static str) -> Result<String, bool> {
        let text = self.call(name, |_, v| match v {
            Value::String(s) => Ok(cut(s.to_string_lossy())),
            other => Err(Failure::wrong_type(name, "a string", other.type_name())),
        });
        text.map_err(|_| true)?.ok_or(false)
    }

    fn severity(&mut self) -> Option<Severity> {
        let read = |_: &Machine, v: Value| match &v {
            Value::String(s) => {
                let s = s.to_string_lossy();
                let one_of = "one of INFO, LOW, MEDIUM, HIGH, CRITICAL, DEFAULT";
                match Severity::parse(&s) {
                    Some(severity) => Ok(Some(severity)),
                    None if s.eq_ignore_ascii_case("DEFAULT") => Ok(None),
                    None => Err(Failure::wrong_type("severity", one_of, &format!("{:?}", cut(s)))),
                }
            }
            other => Err(Failure::wrong_type("severity", "a string", other.type_name())),
        };
        self.call("severity", read).ok().flatten().flatten()
    }

    fn destinations(&mut self) -> Option<Vec<String>> {
        let wrong = |got: &str| Failure::wrong_type("destinations", "a list of strings", got);
        let read = |_: &Machine, v: Value| match v {
            Value::Nil => Ok(None),
            Value::Table(t) => {
                let n = t.raw_len();
                if n == 0 && !t.is_empty() {
                    return Err(wrong("a table with keys"));
                }
                let item = |i: usize| match t.raw_get(i) {
                    Ok(Value::String(s)) => Ok(cut(s.to_string_lossy())),
                    Ok(other) => Err(wrong(&format!("a list with {}", other.type_name()))),
                    Err(e) => Err(Failure::runtime(message(&e))),
                };
                (1..=n.min(MAX_DESTINATIONS)).map(item).collect::<Result<_, _>>().map(Some)
            }
            other => Err(wrong(other.type_name())),
        };
        self.call("destinations", read).ok().flatten().flatten()
    }

    fn context(&mut self) -> Option<String> {
        let read = |_: &Machine, v: Value| {
            let json = value::to_json(&v).map_err(|e| Failure { kind: kind::RETURN, message: e })?;
            if !json.is_object() {
                return Err(Failure::wrong_type("alert_context", "a table with string keys", value::name_of(&v)));
            }
            let text = json.to_string();
            match text.chars().count() {
                n if n > MAX_CONTEXT => Ok(error_context(format!(
                    "alert_context size is [{n}] characters, bigger than maximum of [{MAX_CONTEXT}] characters"
                ))),
                _ => Ok(text),
            }
        };
        self.call("alert_context", read).unwrap_or_else(|e| Some(error_context(format!("{}: {}", e.kind, e.message))))
    }
}

fn error_context(message: String) -> String {
    json!({ "_error": message }).to_string()
}

/// True if an error of the machine is the memory limit, however it is wrapped.
pub(super) fn is_memory(e: &mlua::Error) -> bool {
    match e {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => is_memory(cause),
        mlua::Error::BadArgument { cause, .. } => is_memory(cause),
        _ => false,
    }
}

/// Text of an error of the machine: without stack trace, cut, and without addresses, which differ from run to run.
pub(super) fn message(e: &mlua::Error) -> String {
    let text = match e {
        mlua::Error::CallbackError { cause, .. } => return message(cause),
        mlua::Error::RuntimeError(m) | mlua::Error::SyntaxError { message: m, .. } => m.clone(),
        other => other.to_string(),
    };
    let text = text.split("\nstack traceback:").next().unwrap_or_default().trim_end();
    cut(without_addresses(text))
}

fn without_addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find("0x") {
        let digits = rest[i + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
        // Short numbers are not addresses but something the rule wrote.
        let end = i + 2 + digits;
        out.push_str(if digits < 8 { &rest[..end] } else { &rest[..i] });
        if digits >= 8 {
            out.push_str("0x…");
        }
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_no_addresses() {
        assert_eq!(without_addresses("table: 0x000055d9643b35e0!"), "table: 0x…!");
        assert_eq!(without_addresses("flags 0x1F and 0x"), "flags 0x1F and 0x");
    }
}
