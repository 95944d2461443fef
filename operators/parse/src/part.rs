//! The part `schema`: settings, checks, and the node that runs the classifier.
use crate::classify::{Classifier, Shared};
use crate::filter::{Filter, RawFilter, RawFilters};
use crate::plan::Plan;
use crate::registry::Schemas;
use crate::schema::Schema;
use model::part::{Opened, Sharding};
use model::path::Path;
use model::units::Size;
use model::{BuildCx, Built, Files, Flow, Kind, Node, Part, Port, Problem, Spec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as J;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Settings of a parse node.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Log types a record may be of, in the order in which they are tried at first.
    pub log_types: Vec<String>,
    /// More schemas: files, or folders with `.yml` files.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// Check every byte of a JSON record. False checks only what is read: faster, and broken JSON in parts that nobody
    /// reads goes unnoticed.
    #[serde(default = "strict")]
    pub strict: bool,
    /// Filters on the text of records, before they are parsed.
    #[serde(default)]
    pub raw_filters: Vec<RawFilter>,
    /// Filters on the fields of events, after they are parsed.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// Longest record; a longer one is rejected.
    #[serde(default = "max_record")]
    pub max_record: Size,
}

fn strict() -> bool {
    true
}
fn max_record() -> Size {
    Size(1 << 20)
}

/// The part.
pub struct ParsePart;

impl Part for ParsePart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Parse,
            name: "schema",
            doc: "Finds the log type of every record and turns it into a typed, normalised event.",
            inputs: &[Flow::Raw],
            outputs: &[
                Port { name: "", flow: Flow::Events, error: false },
                Port { name: "rejected", flow: Flow::Rejected, error: true },
            ],
            sharding: Sharding::Lanes,
        }
    }

    fn schema(&self) -> J {
        schemars::schema_for!(Settings).to_value()
    }

    fn open(&self, _id: &str, settings: &J, files: &dyn Files) -> Opened {
        let settings: Settings = match serde_json::from_value(settings.clone()) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let (mut all, mut problems) = (Schemas::builtin().clone(), Vec::new());
        all.add_files(&settings.schemas, files, &mut problems);
        let schemas = log_types(&settings, &all, &mut problems);
        RawFilters::new(&settings.raw_filters, &mut problems);
        for (i, f) in settings.filters.iter().enumerate() {
            check_filter(&format!("filters[{i}]"), f, &schemas, &mut problems);
        }
        if settings.max_record.0 == 0 || settings.max_record.0 > u32::MAX as u64 / 4 {
            problems.push(Problem::at("max_record", "must be between 1B and 1023MiB"));
        }
        if problems.iter().any(|p| !p.warning) {
            return Opened::failed(problems);
        }
        Opened { node: Some(Arc::new(ParseNode { settings, schemas })), problems }
    }
}

pub(crate) fn log_types(settings: &Settings, all: &Schemas, problems: &mut Vec<Problem>) -> Vec<Arc<Schema>> {
    let mut out: Vec<Arc<Schema>> = Vec::new();
    if settings.log_types.is_empty() {
        problems.push(Problem::at("log_types", "name at least one log type").hint("for example [\"AWS.CloudTrail\"]"));
    }
    for (i, name) in settings.log_types.iter().enumerate() {
        let at = format!("log_types[{i}]");
        match all.get(name) {
            Some(s) if out.iter().any(|o| o.name == s.name) => {
                problems.push(Problem::at(&at, format!("log type {name} is there twice")));
            }
            Some(s) => out.push(s.clone()),
            None => {
                let p = Problem::at(&at, format!("no schema for log type `{name}`"));
                problems.push(match all.nearest(name) {
                    Some(n) => p.hint(format!("did you mean `{n}`?")),
                    None => p.hint("see `millstream schemas`, or name your own files in `schemas`"),
                });
            }
        }
    }
    out
}

fn check_filter(at: &str, f: &Filter, schemas: &[Arc<Schema>], problems: &mut Vec<Problem>) {
    f.condition.problems(&format!("{at}.where"), problems);
    for t in f.log_types.iter().filter(|t| schemas.iter().all(|s| *s.name != ***t)) {
        problems.push(Problem::at(&format!("{at}.log_types"), format!("log type `{t}` is not one of this node")));
    }
    let mut paths = BTreeSet::new();
    f.condition.paths(&mut paths);
    let of = |s: &&Arc<Schema>| f.log_types.is_empty() || f.log_types.iter().any(|t| **t == *s.name);
    let known = |s: &Arc<Schema>, p: &Path| {
        p.root().and_then(|r| s.field(r)).is_some_and(|i| s.fields[i].spec.at(&p.0[1..]).is_some())
    };
    for p in &paths {
        if !schemas.iter().filter(of).any(|s| known(s, p)) {
            let text = format!("field `{p}` is in the schema of no log type that the filter looks at");
            problems.push(Problem::at(&format!("{at}.where"), text).warn());
        }
    }
}

/// A checked parse node.
struct ParseNode {
    settings: Settings,
    schemas: Vec<Arc<Schema>>,
}

impl Node for ParseNode {
    fn summary(&self) -> String {
        let names: Vec<&str> = self.schemas.iter().map(|s| &*s.name).collect();
        format!("{} ({})", names.join(", "), if self.settings.strict { "strict" } else { "structural" })
    }

    fn build(&self, cx: &BuildCx) -> model::Result<Built> {
        let mut problems = Vec::new();
        let shared = Shared {
            node: cx.id.clone(),
            raw_filters: RawFilters::new(&self.settings.raw_filters, &mut problems),
            max_record: self.settings.max_record.0 as usize,
        };
        let plan = |s: &Arc<Schema>| Arc::new(Plan::new(s, &cx.needs, &self.settings.filters));
        let plans: Vec<Arc<Plan>> = self.schemas.iter().map(plan).collect();
        Ok(Built::Map(Box::new(Classifier::new(Arc::new(shared), &plans, self.settings.strict))))
    }
}

/// Every part of this crate.
pub fn parts() -> Vec<&'static dyn Part> {
    vec![&ParsePart]
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::files::MemFiles;
    use serde_json::json;

    fn open(settings: J) -> (bool, Vec<String>) {
        let files = MemFiles::of(&[("s/Custom.App.yml", "version: 0\nfields: [{ name: a, type: int }]\n")]);
        let o = ParsePart.open("events", &settings, &files);
        let text = |p: &Problem| format!("{}: {} ({})", p.setting, p.message, p.hint.as_deref().unwrap_or(""));
        (o.node.is_some(), o.problems.iter().map(text).collect())
    }

    #[test]
    fn good_settings_open() {
        let s = json!({"log_types": ["AWS.CloudTrail", "Custom.App"], "schemas": ["s"], "strict": false, "max_record": "2MiB",
            "raw_filters": [{"mode": "exclude", "contains": "x"}],
            "filters": [{"mode": "exclude", "log_types": ["Custom.App"], "where": {"field": "a", "op": "equals", "value": 1}}]});
        assert_eq!(open(s), (true, vec![]));
        assert!(ParsePart.schema().to_string().contains("raw_filters"));
    }

    #[test]
    fn all_problems_are_reported() {
        let (node, problems) =
            open(json!({"log_types": ["AWS.CloudTrial", "Custom.App", "Custom.App"], "schemas": ["s"],
            "max_record": "0B", "raw_filters": [{"mode": "include"}],
            "filters": [{"mode": "exclude", "log_types": ["Nope"], "where": {"field": "zz", "op": "equals"}}]}));
        assert!(!node);
        for want in [
            "AWS.CloudTrail`?",
            "log_types[2]: log type Custom.App is there twice",
            "max_record:",
            "raw_filters[0]:",
            "filters[0].where: `value` is missing",
            "filters[0].log_types: log type `Nope`",
            "filters[0].where: field `zz`",
        ] {
            assert!(problems.iter().any(|p| p.contains(want)), "{want}: {problems:#?}");
        }
        assert!(
            !open(json!({"log_types": []})).0
                && !open(json!({})).0
                && !open(json!({"log_types": ["Custom.App"], "x": 1})).0
        );
    }
}
