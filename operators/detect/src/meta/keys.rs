//! The keys of a rule file, one function each: what is allowed, what stands in for an absent one.
//!
//! The table of functional specification §4.3. Findings name the key in their setting (the caller turns that into a
//! place in the file) and say in their message what is wrong with it.
use crate::condition::nearest;
use crate::expr::{self, Expr};
use crate::key::KeySpec;
use crate::template::Template;
use model::{Problem, RuleMeta, Severity};
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
    found: &'a mut Vec<Problem>,
}

impl<'a> Keys<'a> {
    pub fn new(map: &'a Map<String, J>, found: &'a mut Vec<Problem>) -> Keys<'a> {
        Keys { map, found }
    }

    /// Unknown keys are mistakes, not extensions.
    pub fn check_names(&mut self) {
        for key in self.map.keys().filter(|k| !KNOWN.contains(&k.as_str())) {
            let p = Problem::at(key, format!("`{key}` is not a key of a rule"));
            self.found.push(match (key.as_str(), nearest(key, KNOWN.iter().copied())) {
                ("ScheduledQueries", _) => p.hint("scheduled rules are not run here; name `LogTypes`"),
                ("BaseDetection", _) => p.hint("derived detections are not run here; copy the base"),
                (_, Some(near)) => p.hint(format!("did you mean `{near}`?")),
                (_, None) => p,
            });
        }
        ["Status", "CreatedBy", "BaseVersion"].iter().for_each(|key| drop(self.text(key, MAX_NAME)));
        self.flag("OnlyUseBaseRiskScore");
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

    pub fn log_types(&mut self) -> Vec<Arc<str>> {
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
                self.found.push(p.hint("write `Detection:` (match expressions) or `Filename: name.lua`"));
                None
            }
            (Some(v), None) => Some(expr::parse_exprs(v, "Detection", self.found)),
            (None, Some(_)) => None,
        }
    }

    /// Name of the body's file.
    pub fn filename(&mut self) -> Option<String> {
        let name = self.text("Filename", MAX_NAME)?;
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            self.bad("Filename", "must stay in the folder of the rule file", None);
        } else if !name.ends_with(".lua") && !name.ends_with(".luau") {
            let hint = "bodies are written in Lua (.lua) or as match expressions under `Detection`";
            self.bad("Filename", &format!("names `{name}`, which is not a Lua file"), Some(hint));
        } else {
            return Some(name);
        }
        None
    }

    pub fn alert_title(&mut self, lua: bool) -> Option<Template> {
        self.yaml_only("AlertTitle", lua, "title")?;
        let text = self.text("AlertTitle", MAX_NAME)?;
        Template::parse(&text).map_err(|e| self.bad("AlertTitle", &e, None)).ok()
    }

    pub fn alert_context(&mut self, lua: bool) -> Vec<(String, KeySpec)> {
        let value = self.yaml_only("AlertContext", lua, "alert_context");
        value.map_or(Vec::new(), |v| expr::parse_alert_context(v, "AlertContext", self.found))
    }

    pub fn group_by(&mut self, lua: bool) -> Vec<KeySpec> {
        let value = self.yaml_only("GroupBy", lua, "dedup");
        value.map_or(Vec::new(), |v| expr::parse_group_by(v, "GroupBy", self.found))
    }

    pub fn dynamic_severities(&mut self, lua: bool) -> Vec<(Severity, Vec<Expr>)> {
        let value = self.yaml_only("DynamicSeverities", lua, "severity");
        value.map_or(Vec::new(), |v| expr::parse_dynamic_severities(v, "DynamicSeverities", self.found))
    }

    /// A key that says in YAML what a Lua rule says in a function.
    fn yaml_only(&mut self, key: &str, lua: bool, function: &str) -> Option<&'a J> {
        let value = self.map.get(key)?;
        if lua {
            let hint = format!("define `{function}(event)` in the Lua file");
            self.bad(key, "belongs to rules with `Detection`", Some(&hint));
            return None;
        }
        Some(value)
    }

    fn id(&mut self) -> String {
        let Some(id) = self.text("RuleID", MAX_NAME) else {
            if !self.map.contains_key("RuleID") {
                self.bad("RuleID", "is missing", Some("write `RuleID: Vendor.What.It.Finds`"));
            }
            return String::new();
        };
        if id.is_empty() {
            self.bad("RuleID", "is empty", None);
        }
        if let Some(c) = id.chars().find(|c| BAD_ID.contains(c) || c.is_control()) {
            self.bad("RuleID", &format!("holds {c:?}, which is not allowed in an id"), None);
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

    fn flag(&mut self, key: &str) -> Option<bool> {
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
    fn text(&mut self, key: &str, max: usize) -> Option<String> {
        match self.map.get(key)? {
            J::Null => return None,
            J::String(s) if s.chars().count() <= max => return Some(s.trim_end_matches('\n').to_string()),
            J::String(_) => self.bad(key, &format!("is longer than {max} characters"), None),
            v => self.bad(key, &format!("must be a text, not {v}"), Some("put it in quotes")),
        }
        None
    }

    fn list(&mut self, key: &str) -> Vec<String> {
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
                v => self.bad(&format!("{at}[{i}]"), &format!("must be a text, not {v}"), Some("put it in quotes")),
            }
        }
        out
    }

    fn bad(&mut self, at: &str, what: &str, hint: Option<&str>) {
        let p = Problem::at(at, format!("`{at}` {what}"));
        self.found.push(match hint {
            Some(h) => p.hint(h),
            None => p,
        });
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
