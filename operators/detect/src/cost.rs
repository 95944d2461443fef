//! What each rule costs on given events: the detect node as it runs, with a clock around every decision.
use crate::columns::Cost;
use crate::detect::{Detect, Rules};
use crate::rule::Body;
use crate::scan::{Scan, Scanner};
use model::{EventBatch, Files, Problem, Record};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// A detect node that is measured.
pub struct Meter {
    detect: Detect,
    events: u64,
    ns: u64,
    matches: Vec<Record>,
    scanner: Option<Scanner>,
}

/// What one rule took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleCost {
    /// Its id.
    pub rule: String,
    /// Written in Lua.
    pub lua: bool,
    /// Written in Python.
    pub python: bool,
    /// Events for which it was looked at at all.
    pub looked_at: u64,
    /// Events that it matched.
    pub matches: u64,
    /// Events on which it failed.
    pub errors: u64,
    /// Nanoseconds: conditions, scripts, the text of matches.
    pub ns: u64,
    /// Columns and tables whose values wake it; none: it is looked at on every event of its log types.
    pub waits_for: Vec<String>,
}

/// What a node took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Costs {
    /// Events.
    pub events: u64,
    /// Nanoseconds in all.
    pub ns: u64,
    /// Of these: looking up every value of the columns that wake rules. It hardly depends on the number of rules.
    pub index_ns: u64,
    /// Rules that were there for a log type of the events, the dearest first.
    pub rules: Vec<RuleCost>,
    /// Rules for other log types.
    pub asleep: usize,
    /// What a scan found, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
}

impl Meter {
    /// The node with these settings.
    pub fn open(settings: &serde_json::Value, files: &dyn Files) -> Result<Meter, Vec<Problem>> {
        let (rules, _) = Rules::open(settings, files)?;
        let mut detect = rules.detect(false);
        detect.programs.measure();
        detect.costs = Some(vec![Cost::default(); detect.rules.len()]);
        Ok(Meter { detect, events: 0, ns: 0, matches: Vec::new(), scanner: None })
    }

    /// From now on, also decide every rule on every event by itself, and compare.
    pub fn scan(&mut self) {
        self.scanner = Some(Scanner::default());
    }

    /// Run the rules over a batch.
    pub fn add(&mut self, batch: &Arc<EventBatch>) {
        let began = Instant::now();
        self.detect.batch(batch, &mut self.matches);
        self.ns += began.elapsed().as_nanos() as u64;
        self.events += batch.len() as u64;
        if let Some(scanner) = &mut self.scanner {
            scanner.compare(&self.detect.rules, batch, &self.matches);
        }
        self.matches.clear();
    }

    /// The rules that are measured.
    pub(crate) fn rules(&self) -> &[crate::rule::Rule] {
        &self.detect.rules
    }

    /// The programs of the events so far.
    pub(crate) fn programs(&self) -> &[crate::columns::Program] {
        self.detect.programs.all()
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// What it took so far.
    pub fn costs(&self) -> Costs {
        let d = &self.detect;
        let after = d.costs.as_deref().unwrap_or_default();
        let row = |(i, rule): (usize, &crate::rule::Rule)| RuleCost {
            rule: rule.meta.id.to_string(),
            lua: matches!(rule.body, Body::Lua { .. }),
            python: matches!(rule.body, Body::Python(_)),
            looked_at: 0,
            matches: d.counts[i][0],
            errors: d.counts[i][1],
            ns: after.get(i).map_or(0, |c| c.ns),
            waits_for: Vec::new(),
        };
        let mut rules: Vec<RuleCost> = d.rules.iter().enumerate().map(row).collect();
        let (mut awake, mut waits) = (BTreeSet::new(), vec![BTreeSet::new(); rules.len()]);
        for program in d.programs.all() {
            for ((at, compiled), cost) in program.plan().rules.iter().enumerate().zip(program.costs()) {
                awake.insert(compiled.rule);
                rules[compiled.rule].looked_at += cost.looked;
                rules[compiled.rule].ns += cost.ns;
                waits[compiled.rule].extend(program.wakes(at));
            }
        }
        for (rule, waits) in rules.iter_mut().zip(waits) {
            rule.waits_for = waits.into_iter().collect();
        }
        let asleep = rules.len() - awake.len();
        let all = rules.into_iter().enumerate().filter(|(i, _)| awake.contains(i));
        let mut rules: Vec<RuleCost> = all.map(|(_, r)| r).collect();
        rules.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| a.rule.cmp(&b.rule)));
        let own: u64 = rules.iter().map(|r| r.ns).sum();
        let scan = self.scanner.as_ref().map(|s| s.found(&d.rules));
        Costs { events: self.events, ns: self.ns, index_ns: self.ns.saturating_sub(own), rules, asleep, scan }
    }
}

impl Costs {
    /// A table of the `top` dearest rules for people.
    pub fn table(&self, top: usize) -> String {
        let each = |ns: u64, n: u64| ns as f64 / n.max(1) as f64;
        let mut out = format!(
            "{} rules on {} events: {:.0} ns an event, {:.0} of them to look up the columns that wake rules\n",
            self.rules.len(),
            self.events,
            each(self.ns, self.events),
            each(self.index_ns, self.events)
        );
        if self.asleep > 0 {
            out += &format!("{} rules are for other log types and cost nothing here\n", self.asleep);
        }
        let width = self.rules.iter().take(top).map(|r| r.rule.len()).max().unwrap_or(0).max(4);
        out += &format!("\n{:<width$}  ns/event   share  looked at  ns each  matches  waits for\n", "rule");
        for r in self.rules.iter().take(top) {
            let waits = if r.waits_for.is_empty() { "nothing: every event".into() } else { r.waits_for.join(", ") };
            out += &format!(
                "{:<width$}  {:>8.2}  {:>5.1}%  {:>8.3}%  {:>7.0}  {:>7}  {waits}{}{}\n",
                r.rule,
                each(r.ns, self.events),
                each(r.ns, self.ns) * 100.0,
                each(r.looked_at, self.events) * 100.0,
                each(r.ns, r.looked_at),
                r.matches,
                match (r.lua, r.python) {
                    (true, _) => " (Lua)",
                    (_, true) => " (Python)",
                    _ => "",
                },
                if r.errors > 0 { format!(" ({} errors)", r.errors) } else { String::new() },
            );
        }
        if self.rules.len() > top {
            out += &format!("and {} cheaper ones\n", self.rules.len() - top);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::tests::support;
    use model::Path;
    use model::files::MemFiles;
    use serde_json::json;

    fn rule(id: &str, log_type: &str, detection: &str) -> (String, String) {
        let text = format!(
            "AnalysisType: rule\nRuleID: {id}\nEnabled: true\nSeverity: Low\nLogTypes: [{log_type}]\nDetection:\n  - {detection}\n"
        );
        (format!("rules/{id}.yml"), text)
    }

    #[test]
    fn a_rule_costs_where_it_is_looked_at() {
        let files = [
            rule("Seldom", "T", "{KeyPath: name, Condition: Equals, Value: b}"),
            rule("Always", "T", "{KeyPath: name, Condition: DoesNotEqual, Value: b}"),
            rule("Other", "Elsewhere", "{KeyPath: name, Condition: Equals, Value: b}"),
        ];
        let files = MemFiles::of(&files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect::<Vec<_>>());
        let mut meter = Meter::open(&json!({ "rules": ["rules"] }), &files).ok().unwrap();
        let events: Vec<serde_json::Value> =
            (0..40).map(|i| json!({ "name": if i == 7 { "b" } else { "a" } })).collect();
        meter.add(&Arc::new(support::batch(&support::layout("T", &[Path::key("name")].into()), &events)));
        let costs = meter.costs();
        assert_eq!((costs.events, costs.asleep, costs.rules.len()), (40, 1, 2));
        let of = |id: &str| costs.rules.iter().find(|r| r.rule == id).unwrap();
        assert_eq!((of("Seldom").looked_at, of("Seldom").matches), (1, 1));
        assert_eq!((of("Always").looked_at, of("Always").matches), (40, 39));
        assert_eq!(of("Seldom").waits_for, ["name"]);
        // Every nanosecond stands in one place. Which rule has more of them, a busy machine decides.
        assert!(costs.rules.iter().all(|r| r.ns > 0));
        assert_eq!(costs.index_ns + costs.rules.iter().map(|r| r.ns).sum::<u64>(), costs.ns);
        let table = costs.table(1);
        assert!(
            table.contains("Always") && table.contains("and 1 cheaper ones") && table.contains("1 rules are for other"),
            "{table}"
        );
    }
}
