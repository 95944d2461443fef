//! What is doubtful about detections that load: rules that cannot match, fields that nobody fills, missing tests and texts.
//!
//! Every finding has a code, so that a list of them can be filtered. Errors are what makes a rule useless; warnings what
//! makes it hard to work with, or dear.
use crate::condition::nearest;
use crate::detect::keys_of;
use crate::expr::Expr;
use crate::key::KeySpec;
use crate::like::Pattern;
use crate::like::witness::witnesses;
use crate::meta::{MAX_FILE, read, yaml};
use crate::possible::{impossible, kinds};
use crate::predicate::Predicate;
use crate::rule::{Body, Rule};
use crate::testing::Case;
use model::path::Seg;
use model::{Files, Path, Problem};
use serde::Serialize;
use serde_json::{Map, Value as J};
use std::collections::BTreeSet;

/// A regular expression above this size when compiled is called large, bytes.
pub const LARGE_REGEX: usize = 64 << 10;
/// Conditions of a rule of which pairs are looked at to say which two contradict each other.
const PAIRS_MAX: usize = 64;

/// What is asked of rules, and what is known of their events.
pub struct Lint<'a> {
    /// Tests every rule must have; from 2 on, one that expects a match and one that does not. 0: their absence is a warning.
    pub minimum_tests: usize,
    /// Log types of the events that reach the rules, if a topology says so.
    pub parsed: Option<BTreeSet<String>>,
    /// What the schema of a log type says of a path; of the empty path: whether there is a schema.
    pub field: &'a dyn Fn(&str, &Path) -> Field,
}

/// A field of a log type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// It exists; its values are of these kinds ([`kinds`]).
    Is(u8),
    /// It does not; this one may be meant.
    Missing(Option<String>),
    /// Nothing is known of the log type.
    Unknown,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// File of the rule.
    pub file: String,
    /// Line in it, from 1.
    pub line: u32,
    /// Column, from 1.
    pub col: u32,
    /// What kind of finding.
    pub code: &'static str,
    /// Id of the rule.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// It makes the rule no less right.
    pub warning: bool,
}

impl Finding {
    /// A finding of the loader: what keeps a rule from being loaded, or is doubtful already there.
    pub fn loading(p: &Problem) -> Finding {
        let (file, line, col) = p.file.clone().unwrap_or_else(|| (p.setting.clone(), 1, 1));
        let (message, hint) = (p.message.clone(), p.hint.clone());
        Finding { file, line, col, code: "load", rule: String::new(), message, hint, warning: p.warning }
    }
}

impl Lint<'_> {
    /// Everything about these rules, by file and line.
    pub fn run(&self, files: &dyn Files, rules: &[Rule]) -> Vec<Finding> {
        let mut out = Vec::new();
        for rule in rules {
            let text = read(files, &rule.file, MAX_FILE).unwrap_or_default();
            let map = match yaml::parse(&text) {
                Ok(J::Object(map)) if map.contains_key("AnalysisType") => Some(map),
                _ => None,
            };
            let mut one = OneRule { lint: self, rule, text: &text, map: map.as_ref(), out: &mut out };
            one.log_types();
            one.fields();
            one.body();
            one.severities();
            one.regexes();
            one.tests();
            one.texts();
        }
        out.sort();
        out.dedup();
        out
    }
}

struct OneRule<'a> {
    lint: &'a Lint<'a>,
    rule: &'a Rule,
    text: &'a str,
    /// The file's keys; none for a rule of Sigma.
    map: Option<&'a Map<String, J>>,
    out: &'a mut Vec<Finding>,
}

impl OneRule<'_> {
    fn add(&mut self, warning: bool, code: &'static str, at: &[Seg], message: String, hint: Option<String>) {
        let (line, col) = match self.map {
            Some(_) => yaml::locate(self.text, at),
            None => (self.line_of_id(), 1),
        };
        let (file, rule) = (self.rule.file.clone(), self.rule.meta.id.to_string());
        self.out.push(Finding { file, line, col, code, rule, message, hint, warning });
    }

    /// A Sigma file holds several documents: the one of this rule names its id.
    fn line_of_id(&self) -> u32 {
        let id = &*self.rule.meta.id;
        self.text.lines().position(|l| l.starts_with("id:") && l.contains(id)).map_or(1, |n| n as u32 + 1)
    }

    /// Its log types that are known, of those that reach it.
    fn reach(&self) -> impl Iterator<Item = &str> {
        let parsed = |t: &&str| self.lint.parsed.as_ref().is_none_or(|p| p.contains(*t));
        self.rule.log_types.iter().map(|t| &**t).filter(parsed)
    }

    fn log_types(&mut self) {
        let all: Vec<&str> = self.rule.log_types.iter().map(|t| &**t).collect();
        let Some(parsed) = &self.lint.parsed else {
            for (i, t) in all.iter().enumerate() {
                if (self.lint.field)(t, &Path::default()) == Field::Unknown {
                    let at = [Seg::Key("LogTypes".into()), Seg::Index(i as i64)];
                    self.add(true, "unknown-log-type", &at, format!("no schema is known for log type `{t}`"), None);
                }
            }
            return;
        };
        let none = !all.iter().any(|t| parsed.contains(*t));
        for (i, t) in all.iter().enumerate().filter(|(_, t)| !parsed.contains(**t)) {
            let at = [Seg::Key("LogTypes".into()), Seg::Index(i as i64)];
            let what = if none { ": the rule never sees an event" } else { "" };
            let hint = nearest(t, parsed.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
            self.add(
                true,
                "log-type-not-parsed",
                &at,
                format!("no event of log type `{t}` reaches the rule{what}"),
                hint,
            );
        }
    }

    fn fields(&mut self) {
        let mut keys = Vec::new();
        self.rule.log_types.iter().for_each(|t| keys_of(self.rule, t, &mut |k| keys.push(k)));
        let mut paths = Vec::new();
        keys.iter().for_each(|k| k.paths(&mut paths));
        let paths: BTreeSet<&Path> = paths.into_iter().collect();
        for path in paths.into_iter().filter(|p| p.root().is_some_and(|r| !r.starts_with("p_"))) {
            let known: Vec<(&str, Field)> = self.reach().map(|t| (t, (self.lint.field)(t, path))).collect();
            let missing = !known.is_empty() && known.iter().all(|(_, f)| matches!(f, Field::Missing(_)));
            if !missing {
                continue;
            }
            let types: Vec<&str> = known.iter().map(|(t, _)| *t).collect();
            let near = known.iter().find_map(|(_, f)| if let Field::Missing(near) = f { near.clone() } else { None });
            let message = format!("`{path}` is no field of {}: it is always missing", types.join(", "));
            let at = self.place_of_key(path);
            self.add(false, "unknown-field", &at, message, near.map(|n| format!("did you mean `{n}`?")));
        }
    }

    /// What values of a key can be, in any of the log types that reach the rule.
    fn kinds(&self, key: &KeySpec) -> u8 {
        let KeySpec::Path(path) = key else { return kinds::ANY };
        if path.has_each() || path.root().is_none_or(|r| r.starts_with("p_")) {
            return kinds::ANY;
        }
        let of = |t: &str| match (self.lint.field)(t, path) {
            Field::Is(kinds) => kinds | kinds::MISSING | kinds::NULL,
            Field::Missing(_) | Field::Unknown => kinds::ANY,
        };
        self.reach().map(of).reduce(|a, b| a | b).unwrap_or(kinds::ANY)
    }

    /// Filters and match expressions, each with its place.
    fn conditions(&self) -> Vec<(&Expr, [Seg; 2])> {
        let body: &[Expr] = match &self.rule.body {
            Body::Yaml(exprs) => exprs,
            _ => &[],
        };
        placed("InlineFilters", &self.rule.filters).chain(placed("Detection", body)).collect()
    }

    fn body(&mut self) {
        let all = self.conditions();
        let typed = |k: &KeySpec| self.kinds(k);
        let anything = |_: &KeySpec| kinds::ANY;
        let never = |list: &[&Expr], kinds: &dyn Fn(&KeySpec) -> u8| impossible(list.iter().copied(), [], kinds);
        let exprs: Vec<&Expr> = all.iter().map(|(e, _)| *e).collect();
        if !exprs.is_empty() && never(&exprs, &typed) {
            let why = match never(&exprs, &anything) {
                true => "its conditions contradict each other",
                false => "a condition asks for what a field of this type cannot be",
            };
            let some = &all[..all.len().min(PAIRS_MAX)];
            let single = some.iter().find(|(e, _)| never(&[e], &typed)).map(|(_, at)| (at.clone(), None));
            let pair = || {
                let pairs = some.iter().enumerate().flat_map(|(i, a)| some[i + 1..].iter().map(move |b| (a, b)));
                let mut pairs = pairs.filter(|(a, b)| never(&[a.0, b.0], &typed));
                pairs.next().map(|(a, b)| (b.1.clone(), Some(yaml::locate(self.text, &a.1).0)))
            };
            let found = single.or_else(pair);
            let hint = match &found {
                Some((_, Some(line))) if self.map.is_some() => {
                    Some(format!("compare it with the condition on line {line}"))
                }
                _ => None,
            };
            let at = found.map_or([Seg::Key("Detection".into()), Seg::Index(0)], |(at, _)| at);
            self.add(false, "never-matches", &at, format!("the rule can never match: {why}"), hint);
        } else if matches!(self.rule.body, Body::Yaml(_)) {
            let owned: Vec<Expr> = exprs.into_iter().cloned().collect();
            if impossible([], [&owned[..]], &typed) {
                let message = "the rule matches every event of its log types".to_string();
                self.add(true, "always-matches", &[Seg::Key("Detection".into())], message, None);
            }
        }
    }

    fn severities(&mut self) {
        for i in 0..self.rule.dynamic_severities.len() {
            let (all, typed) = (self.conditions(), |k: &KeySpec| self.kinds(k));
            let (severity, conditions) = &self.rule.dynamic_severities[i];
            let before: Vec<&[Expr]> = self.rule.dynamic_severities[..i].iter().map(|(_, c)| &c[..]).collect();
            let holds = || all.iter().map(|(e, _)| *e).chain(conditions);
            // A rule that never matches is a finding of its own.
            if impossible(all.iter().map(|(e, _)| *e), [], &typed)
                || !impossible(holds(), before.iter().copied(), &typed)
            {
                continue;
            }
            let why = match impossible(holds(), [], &typed) {
                true => "its conditions contradict those of the rule",
                false => "an entry before it always holds where it does",
            };
            let message = format!("severity {} is never reached: {why}", severity.as_str());
            let at = [Seg::Key("DynamicSeverities".into()), Seg::Index(i as i64)];
            self.add(true, "unreachable-severity", &at, message, Some("remove it, or change the order".into()));
        }
    }

    fn regexes(&mut self) {
        let mut patterns = BTreeSet::new();
        let severities = self.rule.dynamic_severities.iter().flat_map(|(_, c)| c);
        self.conditions().into_iter().map(|(e, _)| e).chain(severities).for_each(|e| regexes(e, &mut patterns));
        for pattern in patterns {
            let Some((message, hint)) = costly(&pattern) else { continue };
            let at = self.find(&|m| m.get("Value").and_then(J::as_str) == Some(&*pattern));
            self.add(true, "costly-regex", &at, format!("regular expression `{pattern}` {message}"), Some(hint.into()));
        }
    }

    fn tests(&mut self) {
        let scripted = !matches!(self.rule.body, Body::Yaml(_));
        if self.map.is_none() {
            return;
        }
        let cases = Case::read_all(&self.rule.tests, scripted, self.rule.body.entry(), &mut Vec::new());
        let (minimum, at) = (self.lint.minimum_tests, [Seg::Key("Tests".into())]);
        let hint = || Some("write `Tests:` with `Name`, `ExpectedResult` and `Log`".to_string());
        if cases.len() < minimum.max(1) {
            let message = match minimum {
                0 => "the rule has no tests".to_string(),
                n => format!("the rule has {} of at least {n} tests", cases.len()),
            };
            self.add(minimum == 0, "missing-tests", &at, message, hint());
        }
        for (expected, what) in [(true, "a match"), (false, "no match")] {
            if !cases.is_empty() && !cases.iter().any(|c| c.expected == expected) {
                self.add(minimum < 2, "one-sided-tests", &at, format!("no test expects {what}"), None);
            }
        }
    }

    fn texts(&mut self) {
        let (Some(_), Body::Yaml(_)) = (self.map, &self.rule.body) else { return };
        let meta = &self.rule.meta;
        for (code, key, text) in
            [("no-description", "Description", &meta.description), ("no-runbook", "Runbook", &meta.runbook)]
        {
            if text.trim().is_empty() {
                let message = format!("the rule has no `{key}`: its alerts say nothing there");
                self.add(true, code, &[Seg::Key(key.into())], message, None);
            }
        }
        let title = self.rule.alert_title.as_ref();
        if meta.create_alert && self.rule.group_by.is_empty() && title.is_none_or(|t| t.keys().next().is_none()) {
            let message = "all matches of the dedup period become one alert, whoever they are about".to_string();
            let hint = "name in `GroupBy` what belongs together, or put a field into `AlertTitle`";
            self.add(true, "constant-dedup", &[Seg::Key("RuleID".into())], message, Some(hint.into()));
        }
    }

    fn place_of_key(&self, path: &Path) -> Vec<Seg> {
        let names = |m: &Map<String, J>| {
            let text = |key: &str| m.get(key).and_then(J::as_str);
            let deep = || -> Option<Path> {
                let seg = |v: &J| v.as_str().map(|s| Seg::Key(s.into())).or(v.as_i64().map(Seg::Index));
                Some(Path(m.get("DeepKey")?.as_array()?.iter().map(seg).collect::<Option<_>>()?))
            };
            text("Key").is_some_and(|k| *path == Path::key(k))
                || text("KeyPath").and_then(|p| Path::parse(p).ok()).as_ref() == Some(path)
                || deep().as_ref() == Some(path)
        };
        self.find(&names)
    }

    /// Path in the file of the first mapping that is meant; the title if there is none.
    fn find(&self, wanted: &dyn Fn(&Map<String, J>) -> bool) -> Vec<Seg> {
        fn go(v: &J, at: &mut Vec<Seg>, wanted: &dyn Fn(&Map<String, J>) -> bool) -> bool {
            let mut into = |seg: Seg, v: &J| {
                at.push(seg);
                let found = go(v, at, wanted);
                if !found {
                    at.pop();
                }
                found
            };
            match v {
                J::Object(m) if wanted(m) => true,
                J::Object(m) => m.iter().any(|(k, v)| into(Seg::Key(k.as_str().into()), v)),
                J::Array(list) => list.iter().enumerate().any(|(i, v)| into(Seg::Index(i as i64), v)),
                _ => false,
            }
        }
        let Some(map) = self.map else { return Vec::new() };
        for key in ["InlineFilters", "Detection", "DynamicSeverities", "GroupBy", "AlertContext"] {
            let mut at = vec![Seg::Key(key.into())];
            if map.get(key).is_some_and(|v| go(v, &mut at, wanted)) {
                return at;
            }
        }
        vec![Seg::Key("AlertTitle".into())]
    }
}

/// Expressions with their places below a key.
fn placed<'e>(key: &'static str, exprs: &'e [Expr]) -> impl Iterator<Item = (&'e Expr, [Seg; 2])> {
    exprs.iter().enumerate().map(move |(i, e)| (e, [Seg::Key(key.into()), Seg::Index(i as i64)]))
}

/// Every regular expression in an expression.
fn regexes(e: &Expr, out: &mut BTreeSet<String>) {
    match e {
        Expr::Test { test: Predicate::Matches(r), .. } => drop(out.insert(r.as_str().into())),
        Expr::Test { test: Predicate::Like(like), .. } => {
            let of = |p: &Pattern| if let Pattern::Regex(r) = p { Some(r.as_str().to_string()) } else { None };
            out.extend(like.patterns().iter().filter_map(of));
        }
        Expr::Elements { exprs: v, .. } | Expr::All(v) | Expr::Any(v) | Expr::OnlyOne(v) | Expr::None(v) => {
            v.iter().for_each(|e| regexes(e, out))
        }
        Expr::Always(_) | Expr::Joined | Expr::Known { .. } | Expr::Test { .. } | Expr::Compare { .. } => {}
    }
}

/// Why a regular expression costs more than it has to, and what to do.
fn costly(pattern: &str) -> Option<(&'static str, &'static str)> {
    let hir = regex_syntax::parse(pattern).ok()?;
    if matches!(hir.kind(), regex_syntax::hir::HirKind::Literal(_)) {
        return Some(("is a plain text", "use `Contains`, which is looked up and not searched"));
    }
    if pattern.trim_start_matches("(?i)").trim_start_matches('^').starts_with(".*") {
        return Some(("begins with `.*`", "leave `.*` out: it is found anywhere in the text"));
    }
    if regex::RegexBuilder::new(pattern).size_limit(LARGE_REGEX).build().is_err() {
        return Some(("is large when compiled", "use smaller repetitions, or several conditions"));
    }
    if witnesses(&hir).is_empty() {
        return Some((
            "holds no fixed text of three characters",
            "it is run on every value; with a text that every match has it would be run where that is found",
        ));
    }
    None
}

#[cfg(test)]
mod tests;
