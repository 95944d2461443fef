//! How a rule is run: its facts, and for each of its log types what it was compiled to.
use crate::columns::Program;
use crate::columns::explain::Explained;
use crate::cost::Meter;
use crate::detect::keys_of;
use crate::rule::Rule;
use crate::scope;
use model::event::FullEvent;
use model::{EventBatch, Layout, Path, Severity};
use serde::Serialize;
use serde_json::{Map, Value as J};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleExplained {
    /// `RuleID`.
    pub id: String,
    /// Hash of its text.
    pub version: String,
    /// File it was read from.
    pub file: String,
    /// Static severity.
    pub severity: Severity,
    /// Matches that make an alert.
    pub threshold: u64,
    /// Length of its dedup window, minutes.
    pub dedup_minutes: i64,
    /// It makes alerts, not only signals.
    pub create_alert: bool,
    /// Values of which the dedup string is made; none: the title.
    pub group_by: Vec<String>,
    /// It shares the key-value store.
    pub store: bool,
    /// By log type.
    pub programs: Vec<Explained>,
    /// Log types of which the program is one for measured events: what wakes the rule was chosen by what they look like.
    pub measured: Vec<String>,
}

impl Meter {
    /// A rule of the node, if there is one with this id. For log types whose events have been measured the program is that
    /// of the events, for others one of an event that has every column.
    pub fn explain(&self, id: &str) -> Option<RuleExplained> {
        let rules = self.rules();
        let rule = rules.iter().find(|r| &*r.meta.id == id)?;
        let (mut programs, mut measured) = (Vec::new(), Vec::new());
        for log_type in &rule.log_types {
            let seen = self.programs().iter().rev().find(|p| p.plan().layout.log_type == *log_type);
            measured.extend(seen.map(|_| log_type.to_string()));
            programs.extend(match seen {
                Some(program) => program.explain(rules, id),
                None => Program::new(rules, &every_column(rules, log_type)).explain(rules, id),
            });
        }
        let m = &rule.meta;
        Some(RuleExplained {
            id: id.into(),
            version: m.version.clone(),
            file: rule.file.clone(),
            severity: m.severity,
            threshold: m.threshold,
            dedup_minutes: m.dedup_period_ms / 60_000,
            create_alert: m.create_alert,
            group_by: rule.group_by.iter().map(|k| k.to_string()).collect(),
            store: rule.uses_store(),
            programs,
            measured,
        })
    }
}

/// A layout with a column for whatever the rules read of a log type. No event is ever of it.
fn every_column(rules: &[Rule], log_type: &Arc<str>) -> Arc<Layout> {
    let (mut keys, mut columns) = (Vec::new(), BTreeSet::new());
    rules.iter().filter(|r| r.log_types.contains(log_type)).for_each(|r| keys_of(r, log_type, &mut |k| keys.push(k)));
    scope::columns(&keys, |path| _ = columns.insert(path));
    let slots: Vec<Path> = columns.into_iter().collect();
    Arc::new(Layout {
        log_type: log_type.clone(),
        table: log_type.to_lowercase().replace('.', "_"),
        version: 0,
        index: slots.iter().cloned().zip(0..).collect(),
        slots,
        fields: Vec::new(),
        full: Arc::new(NoEvent),
    })
}

struct NoEvent;

impl FullEvent for NoEvent {
    fn event(&self, _: &EventBatch, _: usize) -> Map<String, J> {
        Map::new()
    }
    fn any(&self, _: &EventBatch, _: usize, _: &str, _: &mut Vec<String>) {}
    fn may_have_twin(&self, _: &Path) -> bool {
        false
    }
}

impl RuleExplained {
    /// For people.
    pub fn text(&self) -> String {
        let mut out = format!("{}  {}  version {}\n  {}\n", self.id, self.severity.as_str(), self.version, self.file);
        let what = if self.create_alert { "alert" } else { "signal, no alert" };
        out += &format!("  {what} at {} within {} min", self.threshold, self.dedup_minutes);
        out += &match self.group_by.is_empty() {
            true => " of one title\n".to_string(),
            false => format!(" of one {}\n", self.group_by.join(", ")),
        };
        if self.store {
            out += "  shares the key-value store: run in one place, in the order of events\n";
        }
        for p in &self.programs {
            let measured = if self.measured.contains(&p.log_type) { ", measured" } else { "" };
            out += &format!("\n{}{measured}\n", p.log_type);
            if p.wakes.is_empty() {
                out += "  looked at on every event\n";
            }
            for (home, conditions) in &p.wakes {
                out += &format!("  woken by {home}: {}\n", conditions.join("; "));
            }
            p.conditions.iter().for_each(|line| out += &format!("    {line}\n"));
            if p.script {
                out += "  then its script is run\n";
            }
            for (severity, lines) in &p.severities {
                out += &format!("  severity {} if\n", severity.as_str());
                lines.iter().for_each(|line| out += &format!("    {line}\n"));
            }
            if !p.reads.is_empty() {
                out += &format!("  reads {}\n", p.reads.join(", "));
            }
            if p.whole_event {
                out += "  deciding it may take the whole event\n";
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::tests::support;
    use model::files::MemFiles;
    use serde_json::json;

    const RULES: &str = "AnalysisType: rule
RuleID: R
Enabled: true
Severity: High
LogTypes: [T, U]
InlineFilters:
  - {KeyPath: kind, Condition: DoesNotEqual, Value: test}
Detection:
  - {Key: name, Condition: Equals, Value: root}
  - Any:
      - {Key: n, Condition: IsGreaterThan, Value: 4}
      - {KeyPath: p_enrichment.tor.ip.country, Condition: IsIn, Values: [a, b]}
  - {KeyPath: 'tags', Condition: AnyElement, Expressions: [{Condition: Equals, Value: x}]}
GroupBy: [{Key: name}]
";

    fn meter() -> Meter {
        let noise: Vec<(String, String)> = (0..3)
            .map(|i| {
                let text = format!("AnalysisType: rule\nRuleID: N{i}\nEnabled: true\nSeverity: Low\nLogTypes: [T]\nDetection:\n  - {{Key: other{i}, Condition: Equals, Value: {i}}}\n");
                (format!("rules/n{i}.yml"), text)
            })
            .collect();
        let mut all: Vec<(&str, &str)> = noise.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        all.push(("rules/r.yml", RULES));
        Meter::open(&json!({ "rules": ["rules"] }), &MemFiles::of(&all)).ok().unwrap()
    }

    #[test]
    fn the_program_of_a_rule_in_words() {
        let meter = meter();
        assert_eq!(meter.explain("S"), None);
        let told = meter.explain("R").unwrap();
        assert_eq!((told.programs.len(), told.measured.len(), told.group_by.clone()), (2, 0, vec!["name".to_string()]));
        let t = &told.programs[0];
        let mut lines: Vec<&str> = t.conditions.iter().map(|l| l.trim()).collect();
        lines.sort_unstable();
        let want = [
            "all of",
            "an element of tags: it = \"x\"",
            "any of",
            "n > 4",
            "name = \"root\"",
            "not kind = \"test\"",
            "p_enrichment.tor.ip.country is in [\"a\", \"b\"]",
        ];
        assert_eq!(lines, want);
        assert_eq!(t.wakes.len(), 1, "{:?}", t.wakes);
        assert_eq!(t.reads, ["kind", "n", "name", "p_enrichment.tor.ip.country", "tags"]);
        let text = told.text();
        assert!(text.contains("alert at 1 within 60 min of one name") && text.contains("woken by name"), "{text}");
    }

    #[test]
    fn what_wakes_a_rule_is_what_the_events_make_rare() {
        let mut meter = meter();
        let columns: std::collections::BTreeSet<Path> = ["kind", "n", "name", "tags"].map(Path::key).into();
        let layout = support::layout("T", &columns.into_iter().collect());
        let events: Vec<J> = (0..200).map(|i| json!({ "name": "root", "n": i % 4, "tags": ["y"] })).collect();
        meter.add(&Arc::new(support::batch(&layout, &events)));
        let told = meter.explain("R").unwrap();
        assert_eq!(told.measured, ["T"]);
        let homes: Vec<&String> = told.programs[0].wakes.keys().collect();
        assert!(!homes.contains(&&"name".to_string()), "every event has that name: {homes:?}");
    }
}
