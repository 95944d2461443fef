//! What a replay tells.
use super::pipe::Done;
use super::{Plan, Range};
use crate::cli::ReplayArgs;
use crate::progress::group;
use detect::python::verify::Verified;
use model::{Alert, AlertKind, Change, Kind, Match, Record, Severity, time};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Rules without a match that are named one by one.
const QUIET_MAX: usize = 50;

/// The whole of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Name of the topology.
    pub topology: String,
    /// First moment; none: the beginning.
    pub from: Option<String>,
    /// The moment behind the last.
    pub to: String,
    /// Somebody stopped it: only a part of the input was read.
    pub stopped: bool,
    /// Bytes of input that were read.
    pub bytes: u64,
    /// First offset and the one behind the last of each Kafka partition that was read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub offsets: BTreeMap<String, (u64, u64)>,
    /// Events that were parsed.
    pub events: u64,
    /// Those with a time in the range.
    pub events_in_range: u64,
    /// Records that could not be used.
    pub rejected: u64,
    /// Matches in the range.
    pub matches: u64,
    /// Failures of rules in the range.
    pub errors: u64,
    /// Alerts that would have been made.
    pub alerts: u64,
    /// The same, by severity.
    pub by_severity: BTreeMap<Severity, u64>,
    /// New alerts that each sink would have got.
    pub sinks: BTreeMap<String, u64>,
    /// Alerts by the destinations that rules name.
    pub destinations: BTreeMap<String, u64>,
    /// Words of the system, such as a detection over its limit.
    pub system: Vec<String>,
    /// By rule: every one that matched or failed.
    pub rules: BTreeMap<String, RuleReport>,
    /// How compiled rules and CPython compare, by detect node, if that was asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub verified: BTreeMap<String, Verified>,
    /// Ids of the rules that did neither.
    pub quiet: Vec<String>,
    #[serde(skip)]
    chosen: Vec<String>,
    #[serde(skip)]
    samples_max: usize,
}

/// What one rule did.
#[derive(Debug, Default, Serialize)]
pub struct RuleReport {
    /// Versions of its text.
    pub versions: BTreeSet<String>,
    /// Events that it matched.
    pub matches: u64,
    /// Events on which it failed.
    pub errors: u64,
    /// The first failure in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// Alerts of matches.
    pub alerts: u64,
    /// Alerts of failures.
    pub error_alerts: u64,
    /// Its alerts of matches by severity.
    pub by_severity: BTreeMap<Severity, u64>,
    /// Event time of its first match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// And of its last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Counters of dedup: what became of its matches and failures.
    pub dedup: BTreeMap<String, u64>,
    /// Counters of the limit: what became of its alerts.
    pub limit: BTreeMap<String, u64>,
    /// The first of its alerts.
    pub samples: Vec<Sample>,
}

/// An alert in short.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// Its id.
    pub alert_id: String,
    /// Match or failure.
    pub kind: AlertKind,
    /// Severity.
    pub severity: Severity,
    /// Title.
    pub title: String,
    /// Dedup string.
    pub dedup: String,
    /// When the threshold was crossed.
    pub created: String,
    /// Events in it.
    pub count: u64,
}

impl Report {
    /// Of nothing yet.
    pub fn new(plan: &Plan, args: &ReplayArgs) -> Report {
        let Range { from_ms, to_ms } = plan.range;
        Report {
            topology: plan.topology.name.clone(),
            from: (from_ms > i64::MIN).then(|| time::rfc3339_ms(from_ms)),
            to: time::rfc3339_ms(to_ms),
            stopped: false,
            bytes: 0,
            offsets: BTreeMap::new(),
            events: 0,
            events_in_range: 0,
            rejected: 0,
            matches: 0,
            errors: 0,
            alerts: 0,
            by_severity: BTreeMap::new(),
            sinks: BTreeMap::new(),
            destinations: BTreeMap::new(),
            system: Vec::new(),
            rules: BTreeMap::new(),
            verified: BTreeMap::new(),
            quiet: plan.rules.iter().filter(|r| plan.wants(r)).map(|r| r.to_string()).collect(),
            chosen: plan.chosen.clone(),
            samples_max: args.samples,
        }
    }

    /// What was read.
    pub fn read(&mut self, done: &Done) {
        (self.bytes, self.events, self.events_in_range) = (done.bytes, done.events, done.in_range);
        self.offsets.clone_from(&done.offsets);
        (self.rejected, self.stopped) = (done.rejected, done.stopped);
    }

    fn rule(&mut self, id: &str) -> Option<&mut RuleReport> {
        let wanted = self.chosen.is_empty() || self.chosen.iter().any(|c| c == id);
        wanted.then(|| self.rules.entry(id.into()).or_default())
    }

    /// A match or failure, in the order of time.
    pub fn matched(&mut self, m: &Match) {
        let failed = m.error.is_some();
        let Some(rule) = self.rule(&m.rule.id) else { return };
        if !rule.versions.contains(&m.rule.version) {
            rule.versions.insert(m.rule.version.clone());
        }
        let at = || Some(time::rfc3339_ms(m.event_ms));
        if failed {
            rule.errors += 1;
            rule.first_error.get_or_insert_with(|| m.title.clone());
        } else {
            rule.matches += 1;
            rule.first = rule.first.take().or_else(at);
            rule.last = at();
        }
        if failed { self.errors += 1 } else { self.matches += 1 }
    }

    /// A counter of dedup or limit.
    pub fn count(&mut self, kind: Kind, rule: &str, counter: &str, n: u64) {
        if rule.is_empty() {
            return;
        }
        let Some(r) = self.rule(rule) else { return };
        let of = match kind {
            Kind::Limit => &mut r.limit,
            Kind::Dedup => &mut r.dedup,
            // What it finds is counted match by match.
            _ => return,
        };
        *of.entry(counter.into()).or_default() += n;
    }

    /// An alert that would have been made, or changed.
    pub fn made(&mut self, a: &Alert) {
        let samples_max = self.samples_max;
        let Some(rule) = self.rule(&a.rule.id) else { return };
        if a.kind == AlertKind::SystemError {
            return self.system.push(a.title.clone());
        }
        if a.change == Change::Update {
            if let Some(s) = rule.samples.iter_mut().find(|s| s.alert_id == a.id) {
                s.count = a.event_count;
            }
            return;
        }
        match a.kind {
            AlertKind::RuleError => rule.error_alerts += 1,
            _ => {
                rule.alerts += 1;
                *rule.by_severity.entry(a.severity).or_default() += 1;
            }
        }
        if rule.samples.len() < samples_max {
            rule.samples.push(Sample {
                alert_id: a.id.clone(),
                kind: a.kind,
                severity: a.severity,
                title: a.title.clone(),
                dedup: a.dedup.clone(),
                created: time::rfc3339_ms(a.created_ms),
                count: a.event_count,
            });
        }
        self.alerts += 1;
        *self.by_severity.entry(a.severity).or_default() += 1;
        for to in a.destinations.as_ref().unwrap_or(&a.rule.output_ids) {
            *self.destinations.entry(to.clone()).or_default() += 1;
        }
    }

    /// A record that a sink would have got.
    pub fn sent(&mut self, sink: &str, record: &Record) {
        let Record::Alert(a) = record else { return };
        if a.change == Change::New && self.rule(&a.rule.id).is_some() {
            *self.sinks.entry(sink.into()).or_default() += 1;
        }
    }

    /// Everything was told.
    pub fn finish(&mut self) {
        self.rules.retain(|_, r| r.matches + r.errors + r.alerts + r.error_alerts > 0);
        self.quiet.retain(|id| !self.rules.contains_key(id));
    }

    /// For people.
    pub fn text(&self) -> String {
        let n = |v: u64| group(v);
        let mut out = format!(
            "{}: {} to {}{}\n",
            self.topology,
            self.from.as_deref().unwrap_or("the beginning"),
            self.to,
            if self.stopped { "; stopped before the end of the input" } else { "" }
        );
        out += &format!(
            "read {} bytes: {} events, {} of them in this time, {} rejected\n",
            n(self.bytes),
            n(self.events),
            n(self.events_in_range),
            n(self.rejected)
        );
        for (name, (from, to)) in &self.offsets {
            out += &format!("{name}: offsets {} to {}\n", n(*from), n(to.saturating_sub(1)));
        }
        out += &format!("{} matches, {} errors: {} alerts", n(self.matches), n(self.errors), n(self.alerts));
        let by: Vec<String> = self.by_severity.iter().rev().map(|(s, c)| format!("{} {}", s.as_str(), n(*c))).collect();
        out += &if by.is_empty() { "\n".into() } else { format!(" ({})\n", by.join(", ")) };
        for (what, map) in [("sinks", &self.sinks), ("destinations", &self.destinations)] {
            if !map.is_empty() {
                let all: Vec<String> = map.iter().map(|(to, c)| format!("{to} {}", n(*c))).collect();
                out += &format!("{what} that would have got them: {}\n", all.join(", "));
            }
        }
        self.system.iter().for_each(|s| out += &format!("system: {s}\n"));
        let width = self.rules.keys().map(String::len).max().unwrap_or(0).max(4);
        if !self.rules.is_empty() {
            out += &format!(
                "\n{:<width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>8}  first match … last\n",
                "rule", "matches", "alerts", "deduped", "below", "held back", "errors"
            );
        }
        for (id, r) in &self.rules {
            let of = |m: &BTreeMap<String, u64>, c: &str| n(m.get(c).copied().unwrap_or(0));
            out += &format!(
                "{id:<width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>8}  {} … {}\n",
                n(r.matches),
                n(r.alerts + r.error_alerts),
                of(&r.dedup, "deduped"),
                of(&r.dedup, "below_threshold"),
                of(&r.limit, "suppressed"),
                n(r.errors),
                r.first.as_deref().unwrap_or("-"),
                r.last.as_deref().unwrap_or("-")
            );
            for s in &r.samples {
                let times = if s.count == 1 { String::new() } else { format!(" ({} events)", n(s.count)) };
                out += &format!("    {} {:<8} {}{times}\n", s.created, s.severity.as_str(), s.title);
            }
            r.first_error.iter().for_each(|e| out += &format!("    error: {e}\n"));
        }
        if !self.quiet.is_empty() {
            let named = self.quiet.iter().take(QUIET_MAX).cloned().collect::<Vec<_>>().join(", ");
            let more = self.quiet.len().saturating_sub(QUIET_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            out += &format!("\n{} rules did not match: {named}{more}\n", self.quiet.len());
        }
        for (node, verified) in &self.verified {
            out += &format!("\n{node}: {}", verified.text());
        }
        out
    }
}
