//! The keys of a rule file, one function each: what is allowed, what stands in for an absent one.
//!
//! The table of functional specification §4.3. Findings name the key in their setting (the caller turns that into a
//! place in the file) and say in their message what is wrong with it.
use crate::condition::nearest;
use crate::expr::{self, Expr};
use crate::key::KeySpec;
use crate::python::AnalysisType;
use crate::template::Template;
use model::{Judges, Problem, RuleMeta, Severity};
use serde_json::{Map, Value as J};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every key of a rule file.
pub const KNOWN: &[&str] = &[
    "AlertContext",
    "AlertTitle",
    "AnalysisType",
    "BaseVersion",
    "CreateAlert",
    "CreatedBy",
    "DedupPeriodMinutes",
    "Description",
    "Detection",
    "DisplayName",
    "DynamicSeverities",
    "Enabled",
    "Filename",
    "GroupBy",
    "InlineFilters",
    "LogTypes",
    "OnlyUseBaseRiskScore",
    "OutputIds",
    "Reference",
    "Reports",
    "RuleID",
    "Runbook",
    "Severity",
    "Status",
    "SummaryAttributes",
    "Tags",
    "Tests",
    "Threshold",
];

/// Keys that a policy has besides, and those of a rule that it has not.
const POLICY: (&[&str], &[&str]) = (
    &[
        "ActionDelaySeconds",
        "AutoRemediationID",
        "AutoRemediationParameters",
        "PolicyID",
        "ResourceTypes",
        "Suppressions",
    ],
    &["InlineFilters", "LogTypes", "RuleID", "ScheduledQueries"],
);
/// The same of a scheduled rule.
const SCHEDULED: (&[&str], &[&str]) = (&["ScheduledQueries"], &["LogTypes"]);
/// The same of a rule.
const RULE: (&[&str], &[&str]) = (&[], &[]);

/// Longest id, display name, tag or list item, in characters.
pub const MAX_NAME: usize = 1_000;
/// Longest description, reference, runbook, in characters.
pub const MAX_PROSE: usize = 10_000;
/// Most items of a list.
pub const MAX_ITEMS: usize = 500;
/// Shortest and longest `DedupPeriodMinutes`.
pub const DEDUP_MINUTES: std::ops::RangeInclusive<u64> = 5..=43_200;
/// Characters an id must not hold.
pub const BAD_ID: &[char] = &['<', '>', '&', '"', '%'];

/// The keys of one file, and where findings go.
pub struct Keys<'a> {
    map: &'a Map<String, J>,
    entry: AnalysisType,
    found: &'a mut Vec<Problem>,
}

/// In what the body of a detection is written, if not in its YAML file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Lua,
    Python,
}

impl<'a> Keys<'a> {
    pub fn new(map: &'a Map<String, J>, entry: AnalysisType, found: &'a mut Vec<Problem>) -> Keys<'a> {
        Keys { map, entry, found }
    }

    /// Unknown keys are mistakes, not extensions.
    pub fn check_names(&mut self) {
        let (what, (more, fewer)) = match self.entry {
            AnalysisType::Rule => ("rule", RULE),
            AnalysisType::ScheduledRule => ("scheduled rule", SCHEDULED),
            AnalysisType::Policy => ("policy", POLICY),
        };
        let known: Vec<&str> = KNOWN.iter().chain(more).filter(|k| !fewer.contains(k)).copied().collect();
        self.only(what, &known);
        ["Status", "CreatedBy", "BaseVersion"].iter().for_each(|key| drop(self.text(key, MAX_NAME)));
        self.flag("OnlyUseBaseRiskScore");
    }

    /// Findings for keys that are not among the known ones of a kind of file.
    pub fn only(&mut self, what: &str, known: &[&str]) {
        for key in self.map.keys().filter(|k| !known.contains(&k.as_str())) {
            let p = Problem::at(key, format!("`{key}` is not a key of a {what}"));
            self.found.push(match (key.as_str(), nearest(key, known.iter().copied())) {
                ("ScheduledQueries", _) => p.hint("write `AnalysisType: scheduled_rule`, or name `LogTypes`"),
                (_, Some(near)) => p.hint(format!("did you mean `{near}`?")),
                (_, None) => p,
            });
        }
    }

    pub fn meta(&mut self) -> RuleMeta {
        let id = self.id();
        let name = self.text("DisplayName", MAX_NAME).filter(|n| !n.is_empty()).unwrap_or_else(|| id.clone());
        RuleMeta {
            id: id.into(),
            version: String::new(),
            name,
            severity: self.severity(),
            dedup_period_ms: self.number("DedupPeriodMinutes", 60, DEDUP_MINUTES) as i64 * 60_000,
            // Zero has always been accepted and means one.
            threshold: self.number("Threshold", 1, 0..=1_000_000_000).max(1),
            create_alert: self.flag("CreateAlert").unwrap_or(true),
            judges: match self.entry {
                AnalysisType::Rule => Judges::Events,
                AnalysisType::Policy => Judges::Resources,
                AnalysisType::ScheduledRule => Judges::Rows,
            },
            tags: sorted(self.list("Tags")),
            reports: self.reports(),
            output_ids: self.list("OutputIds"),
            description: self.text("Description", MAX_PROSE).unwrap_or_default(),
            reference: self.text("Reference", MAX_PROSE).unwrap_or_default(),
            runbook: self.text("Runbook", MAX_PROSE).unwrap_or_default(),
            summary: self.list("SummaryAttributes"),
        }
    }

    pub fn enabled(&mut self) -> bool {
        if !self.map.contains_key("Enabled") {
            self.bad("Enabled", "is missing", Some("write `Enabled: true`"));
        }
        self.flag("Enabled").unwrap_or(false)
    }

    /// What a policy or scheduled rule is for in place of log types: types of resources, names of queries.
    pub fn subjects(&mut self) -> Vec<Arc<str>> {
        let list = match self.entry {
            AnalysisType::Rule => Vec::new(),
            AnalysisType::Policy => self.list("ResourceTypes"),
            AnalysisType::ScheduledRule => self.list("ScheduledQueries"),
        };
        if list.is_empty() && self.entry == AnalysisType::ScheduledRule {
            self.bad("ScheduledQueries", "is missing or empty", Some("name the query whose rows it is for"));
        }
        list.into_iter().map(Arc::from).collect()
    }

    pub fn log_types(&mut self) -> Vec<Arc<str>> {
        // Types of resources are no log types, though some have the same names: AWS.CloudTrail is also a trail.
        if self.entry != AnalysisType::Rule {
            return Vec::new();
        }
        let list = self.list("LogTypes");
        match self.map.get("LogTypes") {
            None => self.bad("LogTypes", "is missing", Some("write `LogTypes: [AWS.CloudTrail]`")),
            Some(J::Array(a)) if a.is_empty() => self.bad("LogTypes", "is empty", Some("name at least one log type")),
            Some(_) => {}
        }
        list.into_iter().map(Arc::from).collect()
    }

    pub fn filters(&mut self) -> Vec<Expr> {
        match self.map.get("InlineFilters") {
            Some(v) => expr::parse_filters(v, "InlineFilters", self.found),
            None => Vec::new(),
        }
    }

    /// `Detection`, unless the body is a file.
    pub fn detection(&mut self) -> Option<Vec<Expr>> {
        match (self.map.get("Detection"), self.map.get("Filename")) {
            (Some(_), Some(_)) => {
                self.bad("Detection", "and `Filename` cannot stand together", Some("keep one of them"));
                None
            }
            (None, None) => {
                let p = Problem::at("", "the rule has no body");
                self.found
                    .push(p.hint("write `Detection:` (match expressions) or `Filename:` with a .lua or .py file"));
                None
            }
            (Some(v), None) => Some(expr::parse_exprs(v, "Detection", self.found)),
            (None, Some(_)) => None,
        }
    }

    /// Name of the body's file, and its language.
    pub fn filename(&mut self) -> Option<(String, Language)> {
        let name = self.text("Filename", MAX_NAME)?;
        let language = match name.rsplit_once('.') {
            Some((_, "lua" | "luau")) => Some(Language::Lua),
            Some((_, "py")) => Some(Language::Python),
            _ => None,
        };
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            self.bad("Filename", "must stay in the folder of the rule file", None);
        } else if language.is_none() {
            let hint = "bodies are written in Lua (.lua), in Python (.py) or as match expressions under `Detection`";
            self.bad("Filename", &format!("names `{name}`, which is not a Lua or Python file"), Some(hint));
        } else if language == Some(Language::Lua) && self.entry != AnalysisType::Rule {
            let what = format!("names `{name}`, but a {} is written in Python", self.entry.name());
            self.bad("Filename", &what, None);
        } else {
            return language.map(|l| (name, l));
        }
        None
    }

    pub fn alert_title(&mut self, script: Option<Language>) -> Option<Template> {
        self.yaml_only("AlertTitle", script, "title")?;
        let text = self.text("AlertTitle", MAX_NAME)?;
        Template::parse(&text).map_err(|e| self.bad("AlertTitle", &e, None)).ok()
    }

    pub fn alert_context(&mut self, script: Option<Language>) -> Vec<(String, KeySpec)> {
        let value = self.yaml_only("AlertContext", script, "alert_context");
        value.map_or(Vec::new(), |v| expr::parse_alert_context(v, "AlertContext", self.found))
    }

    pub fn group_by(&mut self, script: Option<Language>) -> Vec<KeySpec> {
        let value = self.yaml_only("GroupBy", script, "dedup");
        value.map_or(Vec::new(), |v| expr::parse_group_by(v, "GroupBy", self.found))
    }

    pub fn dynamic_severities(&mut self, script: Option<Language>) -> Vec<(Severity, Vec<Expr>)> {
        let value = self.yaml_only("DynamicSeverities", script, "severity");
        value.map_or(Vec::new(), |v| expr::parse_dynamic_severities(v, "DynamicSeverities", self.found))
    }

    /// A key that says in YAML what a script says in a function. Collections of Python rules have some that never had
    /// an effect, so there it is no error.
    fn yaml_only(&mut self, key: &str, script: Option<Language>, function: &str) -> Option<&'a J> {
        let value = self.map.get(key)?;
        let p = Problem::at(key, format!("`{key}` belongs to rules with `Detection`"));
        match script {
            None => return Some(value),
            Some(Language::Lua) => self.found.push(p.hint(format!("define `{function}(event)` in the Lua file"))),
            Some(Language::Python) => {
                let p = p.hint(format!("it has no effect; define `{function}(event)` in the Python file"));
                self.found.push(p.warn());
            }
        }
        None
    }

    fn id(&mut self) -> String {
        let key = id_key(self.entry);
        let Some(id) = self.text(key, MAX_NAME) else {
            if !self.map.contains_key(key) {
                self.bad(key, "is missing", Some(&format!("write `{key}: Vendor.What.It.Finds`")));
            }
            return String::new();
        };
        if id.is_empty() {
            self.bad(key, "is empty", None);
        }
        if let Some(c) = id.chars().find(|c| BAD_ID.contains(c) || c.is_control()) {
            self.bad(key, &format!("holds {c:?}, which is not allowed in an id"), None);
        }
        id
    }

    fn severity(&mut self) -> Severity {
        let hint = Some("write Info, Low, Medium, High or Critical");
        match self.map.get("Severity") {
            None => self.bad("Severity", "is missing", hint),
            Some(v) => match v.as_str().and_then(Severity::parse) {
                Some(s) => return s,
                None => self.bad("Severity", &format!("cannot be {v}"), hint),
            },
        }
        Severity::Info
    }

    fn reports(&mut self) -> BTreeMap<String, Vec<String>> {
        let mut out = BTreeMap::new();
        match self.map.get("Reports") {
            None | Some(J::Null) => {}
            Some(J::Object(o)) => {
                for (name, items) in o {
                    let at = format!("Reports.{name}");
                    let list = sorted(self.items(&at, items));
                    if name.contains("ATT&CK") {
                        list.iter().filter(|t| !is_technique(t)).for_each(|t| {
                            let p = Problem::at(
                                &at,
                                format!("`{at}` holds `{t}`, which is not of the form TA0006:T1110.001"),
                            );
                            self.found.push(p.warn());
                        });
                    }
                    out.insert(name.clone(), list);
                }
            }
            Some(_) => {
                self.bad("Reports", "must map names to lists", Some("`Reports: {MITRE ATT&CK: [TA0006:T1110]}`"))
            }
        }
        out
    }

    pub fn flag(&mut self, key: &str) -> Option<bool> {
        match self.map.get(key)? {
            J::Bool(b) => return Some(*b),
            v => self.bad(key, &format!("cannot be {v}"), Some("write true or false")),
        }
        None
    }

    fn number(&mut self, key: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(v) = self.map.get(key) else { return default };
        match v.as_u64().filter(|n| range.contains(n)) {
            Some(n) => n,
            None => {
                let want = format!("must be a whole number from {} to {}", range.start(), range.end());
                self.bad(key, &want, None);
                default
            }
        }
    }

    /// A text of at most `max` characters; absent and null are the same.
    pub fn text(&mut self, key: &str, max: usize) -> Option<String> {
        match self.map.get(key)? {
            J::Null => return None,
            J::String(s) if s.chars().count() <= max => return Some(s.trim_end_matches('\n').to_string()),
            J::String(_) => self.bad(key, &format!("is longer than {max} characters"), None),
            v => self.bad(key, &format!("must be a text, not {v}"), Some("put it in quotes")),
        }
        None
    }

    pub fn list(&mut self, key: &str) -> Vec<String> {
        match self.map.get(key) {
            None | Some(J::Null) => Vec::new(),
            Some(v) => self.items(key, v),
        }
    }

    fn items(&mut self, at: &str, v: &J) -> Vec<String> {
        let J::Array(items) = v else {
            self.bad(at, "must be a list of texts", None);
            return Vec::new();
        };
        if items.len() > MAX_ITEMS {
            self.bad(at, &format!("has more than {MAX_ITEMS} items"), None);
        }
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match item {
                J::String(s) if !s.is_empty() && s.chars().count() <= MAX_NAME => out.push(s.clone()),
                J::String(s) if s.is_empty() => self.bad(&format!("{at}[{i}]"), "is empty", None),
                J::String(_) => self.bad(&format!("{at}[{i}]"), &format!("is longer than {MAX_NAME} characters"), None),
                // Sections of a standard are often written without quotes.
                J::Number(n) if at.starts_with("Reports.") => out.push(n.to_string()),
                v => self.bad(&format!("{at}[{i}]"), &format!("must be a text, not {v}"), Some("put it in quotes")),
            }
        }
        out
    }

    pub fn bad(&mut self, at: &str, what: &str, hint: Option<&str>) {
        let p = Problem::at(at, format!("`{at}` {what}"));
        self.found.push(match hint {
            Some(h) => p.hint(h),
            None => p,
        });
    }
}

/// Key of the id of a detection.
pub fn id_key(entry: AnalysisType) -> &'static str {
    match entry {
        AnalysisType::Rule | AnalysisType::ScheduledRule => "RuleID",
        AnalysisType::Policy => "PolicyID",
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list.dedup();
    list
}

/// `TA0006:T1110` or `TA0006:T1110.001`.
fn is_technique(text: &str) -> bool {
    let digits = |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
    let technique = |t: &str| match t.strip_prefix('T').map(|t| t.split_once('.').unwrap_or((t, "000"))) {
        Some((id, sub)) => digits(id, 4) && digits(sub, 3),
        None => false,
    };
    text.split_once(':')
        .is_some_and(|(tactic, t)| tactic.strip_prefix("TA").is_some_and(|n| digits(n, 4)) && technique(t))
}
