//! A test case as written beside a rule.
use crate::condition::nearest;
use crate::python::AnalysisType;
use model::{Problem, Severity};
use serde_json::{Map, Value as J};

/// Most cases of one rule.
pub const MAX_CASES: usize = 500;

const KNOWN: &[&str] = &[
    "ExpectedAlertContext",
    "ExpectedDedup",
    "ExpectedDestinations",
    "ExpectedResult",
    "ExpectedSeverity",
    "ExpectedTitle",
    "Log",
    "LogType",
    "Mocks",
    "Name",
    "Resource",
    "ResourceType",
];

/// One case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// `Name`.
    pub name: String,
    /// `ExpectedResult`: the rule matches. Of a policy the opposite: it says whether the resource is as it should be.
    pub expected: bool,
    /// `Log`: the event, with its `p_` fields if the rule reads them; of a policy `Resource`.
    pub log: J,
    /// `Mocks`: globals of the script to replace.
    pub mocks: Vec<Mock>,
    /// `ExpectedTitle`.
    pub title: Option<String>,
    /// `ExpectedDedup`.
    pub dedup: Option<String>,
    /// `ExpectedSeverity`.
    pub severity: Option<Severity>,
    /// `ExpectedDestinations`: what `destinations()` returns.
    pub destinations: Option<Vec<String>>,
    /// `ExpectedAlertContext`: equal as JSON.
    pub context: Option<J>,
}

/// A global to replace.
#[derive(Clone, Debug, PartialEq)]
pub struct Mock {
    /// `objectName`.
    pub name: String,
    /// `returnValue`.
    pub value: J,
}

impl Case {
    /// Read `Tests`; every mistake is a finding, cases with mistakes are left out.
    pub fn read_all(tests: &J, script: bool, entry: AnalysisType, found: &mut Vec<Problem>) -> Vec<Case> {
        let list = listed(tests, found);
        let case = |(i, v): (usize, &J)| Reader { at: format!("Tests[{i}]"), script, entry, found }.case(v);
        list.iter().enumerate().filter_map(case).collect()
    }
}

/// The cases of a `Tests` key, of any kind of detection; what is no list, and what is too much, is a finding.
pub fn listed<'t>(tests: &'t J, found: &mut Vec<Problem>) -> &'t [J] {
    let list = match tests {
        J::Null => &[],
        J::Array(list) => list.as_slice(),
        _ => {
            found.push(Problem::at("Tests", "`Tests` must be a list of cases"));
            &[]
        }
    };
    if list.len() > MAX_CASES {
        found.push(Problem::at("Tests", format!("`Tests` has more than {MAX_CASES} cases")));
    }
    &list[..list.len().min(MAX_CASES)]
}

struct Reader<'a> {
    at: String,
    script: bool,
    entry: AnalysisType,
    found: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn case(mut self, v: &J) -> Option<Case> {
        let before = self.found.len();
        let J::Object(map) = v else {
            self.bad("", "must be a mapping with `Name`, `ExpectedResult` and `Log`");
            return None;
        };
        for key in map.keys().filter(|k| !KNOWN.contains(&k.as_str())) {
            let p = Problem::at(&format!("{}.{key}", self.at), format!("`{}.{key}` is not a key of a test", self.at));
            self.found.push(match nearest(key, KNOWN.iter().copied()) {
                Some(near) => p.hint(format!("did you mean `{near}`?")),
                None => p,
            });
        }
        let log = if self.entry == AnalysisType::Policy && !map.contains_key("Log") { "Resource" } else { "Log" };
        let case = Case {
            name: self.required(map, "Name", "a text", J::as_str).map(String::from).unwrap_or_default(),
            expected: self
                .required(map, "ExpectedResult", "true or false", J::as_bool)
                .is_some_and(|result| result == self.entry.alerting()),
            log: self.required(map, log, "a mapping", J::as_object).map(|o| J::Object(o.clone())).unwrap_or_default(),
            mocks: self.mocks(map),
            title: self.optional(map, "ExpectedTitle", "a text", |v| v.as_str().map(String::from)),
            dedup: self.optional(map, "ExpectedDedup", "a text", |v| v.as_str().map(String::from)),
            severity: self.optional(map, "ExpectedSeverity", "a severity", |v| Severity::parse(v.as_str()?)),
            destinations: self.optional(map, "ExpectedDestinations", "a list of texts", texts),
            context: self.optional(map, "ExpectedAlertContext", "a mapping", |v| v.is_object().then(|| v.clone())),
        };
        let details = ["Title", "Dedup", "Severity", "Destinations", "AlertContext"].map(|d| format!("Expected{d}"));
        if let (false, Some(key)) = (case.expected, details.iter().find(|d| map.contains_key(*d))) {
            self.bad(key, "cannot be expected of an event that is not to match");
        }
        (self.found.len() == before).then_some(case)
    }

    fn mocks(&mut self, map: &Map<String, J>) -> Vec<Mock> {
        let Some(v) = map.get("Mocks") else { return Vec::new() };
        if !self.script {
            self.bad("Mocks", "replace functions of a Lua or Python rule; this rule has none");
            return Vec::new();
        }
        let mock = |v: &J| match (v.as_object()?.len(), v.get("objectName")?.as_str()?, v.get("returnValue")?) {
            (2, name, value) => Some(Mock { name: name.into(), value: value.clone() }),
            _ => None,
        };
        let mocks = v.as_array().map(|list| list.iter().map(mock).collect::<Option<Vec<_>>>());
        mocks.flatten().unwrap_or_else(|| {
            self.bad("Mocks", "must be a list of `{objectName: …, returnValue: …}`");
            Vec::new()
        })
    }

    fn required<'v, T>(
        &mut self,
        map: &'v Map<String, J>,
        key: &str,
        want: &str,
        read: impl Fn(&'v J) -> Option<T>,
    ) -> Option<T> {
        let Some(v) = map.get(key) else {
            self.bad("", &format!("has no `{key}`"));
            return None;
        };
        let value = read(v);
        if value.is_none() {
            self.bad(key, &format!("must be {want}"));
        }
        value
    }

    fn optional<T>(
        &mut self,
        map: &Map<String, J>,
        key: &str,
        want: &str,
        read: impl Fn(&J) -> Option<T>,
    ) -> Option<T> {
        let v = map.get(key)?;
        let value = read(v);
        if value.is_none() {
            self.bad(key, &format!("must be {want}"));
        }
        value
    }

    fn bad(&mut self, key: &str, what: &str) {
        let at = if key.is_empty() { self.at.clone() } else { format!("{}.{key}", self.at) };
        self.found.push(Problem::at(&at, format!("`{at}` {what}")));
    }
}

fn texts(v: &J) -> Option<Vec<String>> {
    v.as_array()?.iter().map(|t| t.as_str().map(String::from)).collect()
}
