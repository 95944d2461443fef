//! What the functions of a Lua rule must return, as [`crate::contract`] has it.
use super::{Machine, function, value};
use crate::contract::{Answers, MAX_DESTINATIONS, SEVERITIES, context_text, error_context};
pub use crate::contract::{Found, Outcome, kind};
pub use crate::template::clip as cut;
use mlua::{AnyUserData, Table, Value};
use model::{RuleMeta, Severity};

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

/// Call the auxiliary functions of a rule that matched, in the order of the contract.
pub(super) fn found(m: &Machine, meta: &RuleMeta, env: &Table, event: &AnyUserData) -> Found {
    let mut aux = Aux { m, env, event, errors: Vec::new() };
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
                match Severity::parse(&s) {
                    Some(severity) => Ok(Some(severity)),
                    None if s.eq_ignore_ascii_case("DEFAULT") => Ok(None),
                    None => Err(Failure::wrong_type("severity", SEVERITIES, &format!("{:?}", cut(s)))),
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
            Ok(context_text(&json))
        };
        self.call("alert_context", read).unwrap_or_else(|e| Some(error_context(format!("{}: {}", e.kind, e.message))))
    }
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
