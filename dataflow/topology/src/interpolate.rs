//! `${VAR}`, `${VAR:-default}` and `SECRET[backend.key]` in strings, filled in *after* parsing: a value can never add
//! keys, nodes or lines. `$${` gives `${`. Values are taken as they are and are not looked into again.
//!
//! A string comes out twice: as it is, for the part, and as it may be shown, where secrets keep the text that names
//! them. Only the second kind is kept, hashed or printed.
use crate::diagnostic::Findings;
use crate::item::{Item, Step, Val};
use serde_json::{Map, Value as J};
use std::collections::BTreeSet;

/// Longest string after filling in, in bytes.
pub const STRING_BYTES_MAX: usize = 1 << 20;

/// Looks up a variable.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;
/// Looks up a secret by `backend.key`; an error says why there is none.
pub(crate) type Secrets<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Where values come from, and what was used.
pub(crate) struct Values<'a> {
    pub env: Env<'a>,
    pub secrets: Secrets<'a>,
    /// Names of the variables that were asked for.
    pub used: BTreeSet<String>,
}

/// Settings of one node, filled in.
pub(crate) struct Filled {
    /// For the part.
    pub real: J,
    /// For everything else: secrets stand as `SECRET[…]`.
    pub shown: J,
    /// Strings that came from variables: they may be read as numbers where the schema wants one.
    pub from_env: Vec<Vec<Step>>,
    /// Strings that could not be filled in; already reported.
    pub failed: Vec<Vec<Step>>,
}

/// Fill in a value. `skip` names keys of the outermost table that are left out.
pub(crate) fn fill(item: &Item, skip: &[&str], values: &mut Values, findings: &mut Findings) -> Filled {
    let mut f = Filling { values, findings, secret: Vec::new(), from_env: Vec::new(), failed: Vec::new() };
    let real = match &item.value {
        Val::Table(t) => {
            let mut out = Map::new();
            for e in t.iter().filter(|e| !skip.contains(&e.key.as_str())) {
                let v = f.value(&e.item, &mut vec![Step::Key(e.key.clone())]);
                out.insert(e.key.clone(), v);
            }
            J::Object(out)
        }
        _ => f.value(item, &mut Vec::new()),
    };
    let (secret, from_env, failed) = (f.secret, f.from_env, f.failed);
    let mut shown = real.clone();
    for (path, text) in secret {
        if let Some(at) = at_mut(&mut shown, &path) {
            *at = J::String(text);
        }
    }
    Filled { real, shown, from_env, failed }
}

/// Value at a path.
pub(crate) fn at_mut<'a>(value: &'a mut J, path: &[Step]) -> Option<&'a mut J> {
    path.iter().try_fold(value, |v, step| match step {
        Step::Key(k) => v.get_mut(k.as_str()),
        Step::Index(i) => v.get_mut(*i),
    })
}

struct Filling<'a, 'v> {
    values: &'a mut Values<'v>,
    findings: &'a mut Findings,
    secret: Vec<(Vec<Step>, String)>,
    from_env: Vec<Vec<Step>>,
    failed: Vec<Vec<Step>>,
}

impl Filling<'_, '_> {
    fn value(&mut self, item: &Item, path: &mut Vec<Step>) -> J {
        match &item.value {
            Val::Int(i) => J::from(*i),
            Val::Float(f) => J::from(*f),
            Val::Bool(b) => J::from(*b),
            Val::Date(d) => J::from(d.as_str()),
            Val::Str(s) => self.string(s, item, path),
            Val::Array(a) => {
                let each = a.iter().enumerate();
                J::Array(each.map(|(i, v)| self.within(Step::Index(i), v, path)).collect())
            }
            Val::Table(t) => {
                let each = t.iter();
                J::Object(each.map(|e| (e.key.clone(), self.within(Step::Key(e.key.clone()), &e.item, path))).collect())
            }
        }
    }
    fn within(&mut self, step: Step, item: &Item, path: &mut Vec<Step>) -> J {
        path.push(step);
        let v = self.value(item, path);
        path.pop();
        v
    }
    fn string(&mut self, text: &str, item: &Item, path: &[Step]) -> J {
        if !text.contains("${") && !text.contains("SECRET[") {
            return J::from(text);
        }
        match expand(text, self.values) {
            Ok(x) => {
                if x.variables {
                    self.from_env.push(path.to_vec());
                }
                for (value, name) in &x.secrets {
                    self.findings.keep_secret(value, name);
                }
                if !x.secrets.is_empty() {
                    self.secret.push((path.to_vec(), x.shown));
                }
                J::String(x.real)
            }
            Err((message, hint)) => {
                self.findings.error(&item.place, message).maybe_hint(hint);
                self.failed.push(path.to_vec());
                J::from(text)
            }
        }
    }
}

/// A string, filled in.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expanded {
    real: String,
    shown: String,
    variables: bool,
    /// `(value, text that names it)`.
    secrets: Vec<(String, String)>,
}

/// Fill in one string; the error is a message and a hint.
fn expand(text: &str, values: &mut Values) -> Result<Expanded, (String, Option<String>)> {
    let mut out = Expanded::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, after) = if let Some(after) = rest.strip_prefix("$${") {
            ("${".to_string(), after)
        } else if let Some(body) = rest.strip_prefix("${") {
            let end = body.find('}').ok_or_else(|| no_end("${", "}"))?;
            out.variables = true;
            (variable(&body[..end], values)?, &body[end + 1..])
        } else if let Some(body) = rest.strip_prefix("SECRET[") {
            let end = body.find(']').ok_or_else(|| no_end("SECRET[", "]"))?;
            let name = format!("SECRET[{}]", &body[..end]);
            let value = secret(&body[..end], values)?;
            out.real.push_str(&value);
            out.shown.push_str(&name);
            out.secrets.push((value, name));
            (String::new(), &body[end + 1..])
        } else {
            let first = rest.chars().next().map_or(rest.len(), char::len_utf8);
            let end = rest[first..].find(['$', 'S']).map_or(rest.len(), |n| n + first);
            (rest[..end].to_string(), &rest[end..])
        };
        out.real.push_str(&plain);
        out.shown.push_str(&plain);
        if out.real.len() > STRING_BYTES_MAX {
            return Err((format!("the string is longer than {STRING_BYTES_MAX} bytes once filled in"), None));
        }
        rest = after;
    }
    Ok(out)
}

fn no_end(open: &str, close: &str) -> (String, Option<String>) {
    let literal = (open == "${").then(|| "write `$${` for a literal `${`".to_string());
    (format!("`{open}` has no closing `{close}`"), literal)
}

fn variable(body: &str, values: &mut Values) -> Result<String, (String, Option<String>)> {
    let (name, default) = match body.split_once(":-") {
        Some((n, d)) => (n, Some(d)),
        None => (body, None),
    };
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !name.starts_with(first) || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let hint = "write ${VAR} or ${VAR:-default}, or `$${` for a literal `${`".to_string();
        return Err((format!("`{name}` is not a name of a variable"), Some(hint)));
    }
    values.used.insert(name.into());
    match ((values.env)(name), default) {
        (Some(v), None) => Ok(v),
        (Some(v), Some(_)) if !v.is_empty() => Ok(v),
        (_, Some(d)) => Ok(d.into()),
        (None, None) => {
            let hint = format!("set it, or give a default: ${{{name}:-…}}");
            Err((format!("the variable {name} is not set"), Some(hint)))
        }
    }
}

fn secret(name: &str, values: &Values) -> Result<String, (String, Option<String>)> {
    let valid = name.split_once('.').is_some_and(|(b, k)| !b.is_empty() && !k.is_empty());
    if !valid {
        let hint = Some("write SECRET[backend.key], as in SECRET[env.TOKEN]".into());
        return Err((format!("`SECRET[{name}]` names no secret"), hint));
    }
    (values.secrets)(name).map_err(|e| (format!("no secret SECRET[{name}]: {e}"), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Expanded, String> {
        let env = |n: &str| match n {
            "A" => Some("x".to_string()),
            "EMPTY" => Some(String::new()),
            "EVIL" => Some("\"]\n${A} SECRET[env.P]".to_string()),
            "BIG" => Some("x".repeat(STRING_BYTES_MAX / 4)),
            _ => None,
        };
        let secrets = |n: &str| if n == "env.P" { Ok("hunter2".to_string()) } else { Err("unknown".into()) };
        let mut v = Values { env: &env, secrets: &secrets, used: BTreeSet::new() };
        expand(text, &mut v).map_err(|e| e.0)
    }

    #[test]
    fn fills_in_variables() {
        let real = |t: &str| run(t).unwrap().real;
        assert_eq!(real("${A}/b$c${A}"), "x/b$cx");
        assert_eq!(real("${NO:-d:-e}${EMPTY:-f}"), "d:-ef");
        assert_eq!(real("[${EMPTY}]"), "[]");
        assert_eq!(real("$${A} $$ ž$ž S"), "${A} $$ ž$ž S");
        assert_eq!(real("${EVIL}"), "\"]\n${A} SECRET[env.P]", "values are not looked into");
    }

    #[test]
    fn secrets_come_out_twice() {
        let x = run("u:SECRET[env.P]@h").unwrap();
        assert_eq!((x.real.as_str(), x.shown.as_str()), ("u:hunter2@h", "u:SECRET[env.P]@h"));
        assert_eq!(x.secrets, [("hunter2".to_string(), "SECRET[env.P]".to_string())]);
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(run("${NO}").unwrap_err(), "the variable NO is not set");
        assert_eq!(run("${A").unwrap_err(), "`${` has no closing `}`");
        assert_eq!(run("${A-b}").unwrap_err(), "`A-b` is not a name of a variable");
        assert_eq!(run("${}").unwrap_err(), "`` is not a name of a variable");
        assert_eq!(run("SECRET[x]").unwrap_err(), "`SECRET[x]` names no secret");
        assert_eq!(run("SECRET[env.Q]").unwrap_err(), "no secret SECRET[env.Q]: unknown");
    }

    #[test]
    fn strings_have_a_limit() {
        assert_eq!(run("${BIG}${BIG}${BIG}${BIG}").unwrap().real.len(), STRING_BYTES_MAX);
        assert!(run("${BIG}${BIG}${BIG}${BIG}.").unwrap_err().contains("longer than"));
    }
}
