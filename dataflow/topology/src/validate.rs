//! Settings against the JSON Schema of their part: every violation, each with its path.
//!
//! Covers what `schemars` writes for settings structs (draft 2020-12: types, enums, tables, lists, limits, patterns,
//! references, unions). It is not a general validator: its purpose is good messages. For a union it reports the
//! violations of the alternative that was most likely meant, not "matches none of them".
use crate::diagnostic::{listed, nearest, suggest};
use crate::item::{Step, show_path};
use crate::unit::Unit;
use regex::Regex;
use serde_json::{Map, Value as J};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Deepest nesting of schemas followed (references included).
const DEPTH_MAX: usize = 200;

/// One thing wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Where.
    pub path: Vec<Step>,
    /// The key is wrong, not its value.
    pub at_key: bool,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// A schema, ready to judge values.
pub(crate) struct Validator<'a> {
    root: &'a J,
    /// What the whole is called: `` a `file` source ``.
    what: &'a str,
    patterns: RefCell<BTreeMap<String, Option<Regex>>>,
}

/// All violations of `value`.
pub(crate) fn validate(schema: &J, value: &J, what: &str) -> Vec<Violation> {
    let v = Validator { root: schema, what, patterns: RefCell::default() };
    let mut out = Vec::new();
    v.check(schema, value, &mut Vec::new(), 0, &mut out);
    out
}

impl<'a> Validator<'a> {
    fn check(&self, schema: &'a J, value: &J, path: &mut Vec<Step>, depth: usize, out: &mut Vec<Violation>) {
        let Some(s) = schema.as_object() else {
            if schema == &J::Bool(false) {
                out.push(violation(path, format!("{} is not allowed here", self.subject(path)), None));
            }
            return;
        };
        if depth > DEPTH_MAX {
            out.push(violation(path, format!("{} is nested too deeply", self.subject(path)), None));
            return;
        }
        if let Some(target) = s.get("$ref").and_then(|r| self.resolve(r)) {
            self.check(target, value, path, depth + 1, out);
        }
        if s.contains_key("type") && !self.accepts(schema, value) {
            out.push(self.mismatch(schema, value, path));
            return;
        }
        let before = out.len();
        self.choices(s, value, path, out);
        match value {
            J::Number(_) => self.number(s, value, path, out),
            J::String(text) => self.string(schema, s, text, path, out),
            J::Array(items) => self.array(s, items, path, depth, out),
            J::Object(map) => self.object(schema, s, map, path, depth, out),
            _ => {}
        }
        if out.len() > before && value.is_string() {
            return;
        }
        for sub in list(s, "allOf") {
            self.check(sub, value, path, depth + 1, out);
        }
        for key in ["anyOf", "oneOf"] {
            let branches = list(s, key);
            if !branches.is_empty() {
                self.union(branches, value, path, depth, out);
            }
        }
    }

    /// `enum` and `const`.
    fn choices(&self, s: &Map<String, J>, value: &J, path: &[Step], out: &mut Vec<Violation>) {
        let mut allowed: Vec<&J> = list(s, "enum").iter().collect();
        allowed.extend(s.get("const"));
        if !allowed.is_empty() && !allowed.contains(&value) {
            out.push(self.not_among(&allowed, value, path));
        }
    }
    fn not_among(&self, allowed: &[&J], value: &J, path: &[Step]) -> Violation {
        let names: Vec<String> = allowed.iter().filter(|v| !v.is_null()).map(|v| bare(v)).collect();
        let names = names.iter().map(String::as_str);
        let one = if names.len() == 1 { "" } else { "one of " };
        let message = format!("{} must be {one}{}, got {}", self.subject(path), listed(names.clone()), show(value));
        let hint = value.as_str().and_then(|v| nearest(v, names)).map(|n| format!("did you mean `{n}`?"));
        violation(path, message, hint)
    }

    fn number(&self, s: &Map<String, J>, value: &J, path: &[Step], out: &mut Vec<Violation>) {
        let Some(n) = value.as_f64() else { return };
        let limit = |key: &str| s.get(key).filter(|l| l.is_number());
        let (format_min, format_max) = format_limits(s);
        let mut say = |word: &str, l: &J| {
            let m = format!("{} must be {word} {l}, got {value}", self.subject(path));
            out.push(violation(path, m, None));
        };
        let broken = |l: &&J, f: fn(f64, f64) -> bool| l.as_f64().is_some_and(|l| !f(n, l));
        if let Some(l) = limit("minimum").or(format_min.as_ref()).filter(|l| broken(l, |n, l| n >= l)) {
            say("at least", l);
        }
        if let Some(l) = limit("maximum").or(format_max.as_ref()).filter(|l| broken(l, |n, l| n <= l)) {
            say("at most", l);
        }
        if let Some(l) = limit("exclusiveMinimum").filter(|l| broken(l, |n, l| n > l)) {
            say("more than", l);
        }
        if let Some(l) = limit("exclusiveMaximum").filter(|l| broken(l, |n, l| n < l)) {
            say("less than", l);
        }
        if let Some(l) = limit("multipleOf").filter(|l| broken(l, |n, l| l > 0.0 && n % l == 0.0)) {
            say("a multiple of", l);
        }
    }

    fn string(&self, schema: &J, s: &Map<String, J>, text: &str, path: &[Step], out: &mut Vec<Violation>) {
        let len = text.chars().count() as u64;
        let limit = |key: &str| s.get(key).and_then(J::as_u64);
        if limit("minLength").is_some_and(|l| len < l) {
            let short = if len == 0 { "must not be empty".into() } else { format!("has {len} characters, too few") };
            out.push(violation(path, format!("{} {short}", self.subject(path)), None));
        }
        if let Some(l) = limit("maxLength").filter(|l| len > *l) {
            let m = format!("{} has {len} characters; at most {l} are allowed", self.subject(path));
            out.push(violation(path, m, None));
        }
        if let Some(unit) = Unit::of(schema) {
            if let Err(e) = unit.check(text) {
                out.push(violation(path, format!("{}: {e}", self.subject(path)), None));
            }
        } else if let Some(p) = s.get("pattern").and_then(J::as_str).filter(|p| !self.matches(p, text)) {
            let hint = s.get("description").and_then(J::as_str).map(first_sentence);
            let m = format!("{} does not have the form `{p}`, got {}", self.subject(path), show(&J::from(text)));
            out.push(violation(path, m, hint));
        }
    }
    /// A pattern that is no regular expression of ours matches everything: a schema's fault is not the user's.
    fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut cache = self.patterns.borrow_mut();
        let re = cache.entry(pattern.into()).or_insert_with(|| Regex::new(pattern).ok());
        re.as_ref().is_none_or(|r| r.is_match(text))
    }

    fn array(&self, s: &'a Map<String, J>, items: &[J], path: &mut Vec<Step>, depth: usize, out: &mut Vec<Violation>) {
        let limit = |key: &str| s.get(key).and_then(J::as_u64);
        let n = items.len() as u64;
        if let Some(l) = limit("minItems").filter(|l| n < *l) {
            let m = match n {
                0 => format!("{} must not be empty", self.subject(path)),
                _ => format!("{} has {n} elements; at least {l} are needed", self.subject(path)),
            };
            out.push(violation(path, m, None));
        }
        if let Some(l) = limit("maxItems").filter(|l| n > *l) {
            let m = format!("{} has {n} elements; at most {l} are allowed", self.subject(path));
            out.push(violation(path, m, None));
        }
        let prefix = list(s, "prefixItems");
        for (i, item) in items.iter().enumerate() {
            path.push(Step::Index(i));
            if let Some(sub) = prefix.get(i).or_else(|| s.get("items")) {
                self.check(sub, item, path, depth + 1, out);
            }
            if s.get("uniqueItems") == Some(&J::Bool(true)) && items[..i].contains(item) {
                out.push(violation(path, format!("{} is in the list twice", show(item)), None));
            }
            path.pop();
        }
    }

    fn object(
        &self,
        schema: &'a J,
        s: &'a Map<String, J>,
        map: &Map<String, J>,
        path: &mut Vec<Step>,
        depth: usize,
        out: &mut Vec<Violation>,
    ) {
        let mut meant = BTreeSet::new();
        for (key, value) in map {
            path.push(Step::Key(key.clone()));
            if let Some(names) = s.get("propertyNames") {
                self.check_name(names, key, path, depth, out);
            }
            if let Some(sub) = s.get("properties").and_then(|p| p.get(key)) {
                self.check(sub, value, path, depth + 1, out);
            } else if let Some(sub) = self.by_pattern(s, key) {
                self.check(sub, value, path, depth + 1, out);
            } else if s.get("additionalProperties") == Some(&J::Bool(false))
                || s.get("unevaluatedProperties") == Some(&J::Bool(false)) && !self.knows(schema, key)
            {
                let known = self.keys(schema, 0);
                meant.extend(nearest(key, known.iter().copied()));
                out.push(self.unknown(key, &known, path));
            } else if let Some(sub) = s.get("additionalProperties") {
                self.check(sub, value, path, depth + 1, out);
            }
            path.pop();
        }
        for key in list(s, "required").iter().filter_map(J::as_str) {
            // A misspelt key is one mistake, not two.
            if !map.contains_key(key) && !meant.contains(key) {
                path.push(Step::Key(key.into()));
                let doc = s.get("properties").and_then(|p| p.get(key)).and_then(|p| p.get("description"));
                let hint = doc.and_then(J::as_str).map(|d| format!("`{key}`: {}", first_sentence(d)));
                out.push(violation(path, format!("`{}` is missing", show_path(path)), hint));
                path.pop();
            }
        }
        let limit = |key: &str| s.get(key).and_then(J::as_u64);
        if limit("minProperties").is_some_and(|l| (map.len() as u64) < l) {
            out.push(violation(path, format!("{} has too few entries", self.subject(path)), None));
        }
        if let Some(l) = limit("maxProperties").filter(|l| map.len() as u64 > *l) {
            let m = format!("{} has {} entries; at most {l} are allowed", self.subject(path), map.len());
            out.push(violation(path, m, None));
        }
    }
    fn check_name(&self, names: &'a J, key: &str, path: &mut Vec<Step>, depth: usize, out: &mut Vec<Violation>) {
        let from = out.len();
        self.check(names, &J::from(key), path, depth + 1, out);
        for v in &mut out[from..] {
            v.at_key = true;
        }
    }
    fn by_pattern(&self, s: &'a Map<String, J>, key: &str) -> Option<&'a J> {
        let patterns = s.get("patternProperties")?.as_object()?;
        patterns.iter().find(|(p, _)| self.matches(p, key)).map(|(_, sub)| sub)
    }
    fn unknown(&self, key: &str, known: &BTreeSet<&str>, path: &[Step]) -> Violation {
        let within = match &path[..path.len() - 1] {
            [] => self.what.to_string(),
            p => format!("`{}`", show_path(p)),
        };
        let hint = suggest(key, known.iter().copied(), "it has").or(Some("it has no settings".into()));
        let message = format!("{within} has no setting `{key}`");
        Violation { path: path.to_vec(), at_key: true, message, hint }
    }
    /// Names of all properties a schema knows, through references and unions.
    fn keys(&self, schema: &'a J, depth: usize) -> BTreeSet<&'a str> {
        let mut out = BTreeSet::new();
        if depth > DEPTH_MAX / 10 {
            return out;
        }
        let Some(s) = schema.as_object() else { return out };
        out.extend(s.get("properties").and_then(J::as_object).into_iter().flatten().map(|(k, _)| k.as_str()));
        for sub in self.parts(s) {
            out.extend(self.keys(sub, depth + 1));
        }
        out
    }
    fn knows(&self, schema: &'a J, key: &str) -> bool {
        self.keys(schema, 0).contains(key)
    }
    /// Schemas that are part of this one: its reference and the members of its unions.
    fn parts(&self, s: &'a Map<String, J>) -> Vec<&'a J> {
        let mut out: Vec<&J> = s.get("$ref").and_then(|r| self.resolve(r)).into_iter().collect();
        for key in ["allOf", "anyOf", "oneOf"] {
            out.extend(list(s, key));
        }
        out
    }

    fn union(&self, all: &'a [J], value: &J, path: &mut Vec<Step>, depth: usize, out: &mut Vec<Violation>) {
        let mut tried: Vec<(&J, Vec<Violation>)> = Vec::new();
        for b in all {
            let mut found = Vec::new();
            self.check(b, value, path, depth + 1, &mut found);
            if found.is_empty() {
                return;
            }
            tried.push((b, found));
        }
        tried.retain(|(b, _)| self.deref(b).get("type") != Some(&J::from("null")));
        let fits: Vec<&(&J, Vec<Violation>)> = tried.iter().filter(|(b, _)| self.accepts(b, value)).collect();
        if fits.is_empty() {
            match tried.as_slice() {
                [(_, found)] => out.extend(found.iter().cloned()),
                _ => {
                    let expected = tried.iter().map(|(b, _)| self.describe(b)).collect::<BTreeSet<_>>();
                    let expected = expected.into_iter().collect::<Vec<_>>().join(" or ");
                    out.push(self.expected(&expected, value, path, None));
                }
            }
            return;
        }
        let constants: Vec<&J> = fits.iter().flat_map(|(b, _)| self.constants(b)).collect();
        if fits.len() > 1 && fits.iter().all(|(b, _)| !self.constants(b).is_empty()) {
            out.push(self.not_among(&constants, value, path));
        } else if let Some(v) = self.wrong_tag(&fits, value, path) {
            out.push(v);
        } else {
            let best = fits.iter().min_by_key(|(b, found)| (!self.tag_fits(b, value), found.len()));
            out.extend(best.into_iter().flat_map(|(_, found)| found.iter().cloned()));
        }
    }
    fn constants(&self, schema: &'a J) -> Vec<&'a J> {
        let s = self.deref(schema);
        s.get("const").into_iter().chain(s.get("enum").and_then(J::as_array).into_iter().flatten()).collect()
    }
    /// Properties with a fixed value: what tells the variants of a tagged union apart.
    fn tags(&self, schema: &'a J) -> Vec<(&'a str, &'a J)> {
        let properties = self.deref(schema).get("properties").and_then(J::as_object);
        properties.into_iter().flatten().filter_map(|(k, p)| Some((k.as_str(), p.get("const")?))).collect()
    }
    fn tag_fits(&self, schema: &'a J, value: &J) -> bool {
        let tags = self.tags(schema);
        !tags.is_empty() && tags.iter().all(|(k, c)| value.get(k) == Some(c))
    }
    fn wrong_tag(&self, fits: &[&(&'a J, Vec<Violation>)], value: &J, path: &[Step]) -> Option<Violation> {
        let tag = self.tags(fits.first()?.0).first()?.0;
        let of = |b| self.tags(b).into_iter().find(|(k, _)| *k == tag).map(|(_, c)| c);
        let allowed: Vec<&J> = fits.iter().filter_map(|(b, _)| of(b)).collect();
        if fits.len() < 2 || allowed.len() != fits.len() || value.get(tag).is_some_and(|v| allowed.contains(&v)) {
            return None;
        }
        let mut at = path.to_vec();
        at.push(Step::Key(tag.into()));
        Some(match value.get(tag) {
            Some(v) => self.not_among(&allowed, v, &at),
            None => {
                let names: Vec<String> = allowed.iter().map(|v| bare(v)).collect();
                let hint = format!("one of {}", listed(names.iter().map(String::as_str)));
                violation(&at, format!("`{}` is missing", show_path(&at)), Some(hint))
            }
        })
    }

    /// True if the type of the value is one the schema takes, whatever else may be wrong with it.
    fn accepts(&self, schema: &'a J, value: &J) -> bool {
        let types = self.types(schema, 0);
        types.is_empty() || types.iter().any(|t| is_type(value, t))
    }
    /// Types a schema takes; empty = any.
    fn types(&self, schema: &'a J, depth: usize) -> BTreeSet<&'a str> {
        let Some(s) = schema.as_object() else { return BTreeSet::new() };
        match s.get("type") {
            Some(J::String(t)) => return BTreeSet::from([t.as_str()]),
            Some(J::Array(t)) => return t.iter().filter_map(J::as_str).collect(),
            _ => {}
        }
        let constants = list(s, "enum").iter().chain(s.get("const"));
        let mut out: BTreeSet<&str> = constants.map(type_of).collect();
        if depth < DEPTH_MAX / 10 {
            for sub in self.parts(s) {
                out.extend(self.types(sub, depth + 1));
            }
        }
        out
    }
    fn mismatch(&self, schema: &'a J, value: &J, path: &[Step]) -> Violation {
        let hint = match (value, Unit::of(schema)) {
            (J::Number(n), Some(unit)) => n.as_u64().map(|n| unit.write(n)),
            (J::String(s), None) => self.unquoted(schema, s),
            _ => None,
        };
        self.expected(&self.describe(schema), value, path, hint)
    }
    /// What to write instead of a string.
    fn unquoted(&self, schema: &'a J, text: &str) -> Option<String> {
        let types = self.types(schema, 0);
        let number = types.contains("integer") && text.parse::<i64>().is_ok()
            || types.contains("number") && text.parse::<f64>().is_ok()
            || types.contains("boolean") && text.parse::<bool>().is_ok();
        if number {
            return Some("write it without quotes".into());
        }
        let item = schema.get("items").filter(|_| types.contains("array"))?;
        self.accepts(item, &J::from(text)).then(|| format!("write it as a list: [\"{text}\"]"))
    }
    fn expected(&self, expected: &str, value: &J, path: &[Step], hint: Option<String>) -> Violation {
        let got = match value {
            J::Number(n) => format!("{} {n}", if n.is_f64() { "the number" } else { "the integer" }),
            J::Bool(b) => format!("the boolean {b}"),
            v => name_of(type_of(v)).into(),
        };
        violation(path, format!("{} must be {expected}, got {got}", self.subject(path)), hint)
    }
    /// What a schema wants, in words.
    fn describe(&self, schema: &'a J) -> String {
        let s = self.deref(schema);
        if let Some(unit) = Unit::of(s) {
            return unit.describe().into();
        }
        let constants: Vec<String> = self.constants(schema).iter().map(|v| bare(v)).collect();
        if !constants.is_empty() {
            return listed(constants.iter().map(String::as_str));
        }
        let types = self.types(schema, 0);
        let names: Vec<&str> = types.into_iter().filter(|t| *t != "null").map(name_of).collect();
        if names.is_empty() { "something else".into() } else { names.join(" or ") }
    }
    fn subject(&self, path: &[Step]) -> String {
        if path.is_empty() { self.what.into() } else { format!("`{}`", show_path(path)) }
    }
    fn resolve(&self, reference: &J) -> Option<&'a J> {
        self.root.pointer(reference.as_str()?.strip_prefix('#')?)
    }
    fn deref(&self, schema: &'a J) -> &'a J {
        let mut s = schema;
        for _ in 0..DEPTH_MAX {
            match s.get("$ref").and_then(|r| self.resolve(r)) {
                Some(target) => s = target,
                None => break,
            }
        }
        s
    }
    /// Schema of a path inside the settings.
    fn at(&self, schema: &'a J, path: &[Step], depth: usize) -> Option<&'a J> {
        let schema = self.deref(schema);
        let s = schema.as_object().filter(|_| depth < DEPTH_MAX / 10)?;
        let Some((step, rest)) = path.split_first() else { return Some(schema) };
        let direct = match step {
            Step::Key(k) => s.get("properties").and_then(|p| p.get(k)).or_else(|| s.get("additionalProperties")),
            Step::Index(_) => s.get("items"),
        };
        let down = direct.filter(|d| d.is_object()).and_then(|d| self.at(d, rest, depth + 1));
        down.or_else(|| self.parts(s).into_iter().find_map(|p| self.at(p, path, depth + 1)))
    }
}

/// A string that came from a variable, read as the number or boolean that the schema wants at its place.
pub(crate) fn coerce(schema: &J, path: &[Step], text: &str) -> Option<J> {
    let v = Validator { root: schema, what: "", patterns: RefCell::default() };
    let types = v.types(v.at(schema, path, 0)?, 0);
    let text = text.trim();
    if types.is_empty() || types.contains("string") {
        return None;
    }
    let integer = || types.contains("integer").then(|| text.parse::<i64>().ok().map(J::from)).flatten();
    let number = || types.contains("number").then(|| text.parse::<f64>().ok().filter(|f| f.is_finite())).flatten();
    let boolean = || types.contains("boolean").then(|| text.parse::<bool>().ok().map(J::from)).flatten();
    integer().or_else(|| number().map(J::from)).or_else(boolean)
}

fn violation(path: &[Step], message: String, hint: Option<String>) -> Violation {
    Violation { path: path.to_vec(), at_key: false, message, hint }
}

fn list<'a>(s: &'a Map<String, J>, key: &str) -> &'a [J] {
    s.get(key).and_then(J::as_array).map_or(&[], Vec::as_slice)
}

fn is_type(value: &J, name: &str) -> bool {
    match name {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => type_of(value) == name,
    }
}

fn type_of(value: &J) -> &'static str {
    match value {
        J::Null => "null",
        J::Bool(_) => "boolean",
        J::Number(n) if n.is_f64() => "number",
        J::Number(_) => "integer",
        J::String(_) => "string",
        J::Array(_) => "array",
        J::Object(_) => "object",
    }
}

fn name_of(type_name: &str) -> &str {
    match type_name {
        "null" => "nothing",
        "boolean" => "true or false",
        "number" => "a number",
        "integer" => "an integer",
        "string" => "a string",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

/// Range of Rust's integer types, which `schemars` names in `format`.
fn format_limits(s: &Map<String, J>) -> (Option<J>, Option<J>) {
    match s.get("format").and_then(J::as_str) {
        Some("uint8") => (Some(0.into()), Some(u8::MAX.into())),
        Some("uint16") => (Some(0.into()), Some(u16::MAX.into())),
        Some("uint32") => (Some(0.into()), Some(u32::MAX.into())),
        Some("uint64" | "uint") => (Some(0.into()), None),
        Some("int8") => (Some(i8::MIN.into()), Some(i8::MAX.into())),
        Some("int16") => (Some(i16::MIN.into()), Some(i16::MAX.into())),
        Some("int32") => (Some(i32::MIN.into()), Some(i32::MAX.into())),
        _ => (None, None),
    }
}

/// Longest value repeated in a message, in characters.
const VALUE_SHOWN: usize = 60;

fn show(value: &J) -> String {
    let text = bare(value);
    match text.char_indices().nth(VALUE_SHOWN) {
        Some((at, _)) => format!("`{}…`", &text[..at]),
        None => format!("`{text}`"),
    }
}

fn bare(value: &J) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn first_sentence(text: &str) -> String {
    let text = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    match text.find(". ") {
        Some(at) => text[..at].to_string(),
        None => text.trim_end_matches('.').to_string(),
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
