//! `dedup.window`: matches become alerts, at most one per (rule, kind, dedup string) and window.
//!
//! The window is fixed: it opens with its first match and does not slide; a match whose age is at least the period
//! opens the next one (functional spec §4.6, §13.3). An alert is created when the threshold is crossed; every later
//! match of the window is counted into it and told once per epoch as an update. The clock is the epoch's stamp, or the
//! event's time where the topology says `time = "event"`; there a match may also lie before the start of the window
//! that is open for its key, and belongs to it.
//!
//! The alert id is xxh3-128 of (rule, kind, dedup string, window start): a replay gives the same ids, and a rule's
//! match and its failure never share one.
use crate::group::{Group, Tables};
use crate::hex;
use crate::window::Step;
use model::key::{group_of, key_hash};
use model::operator::{Ctx, Keyed, Packet};
use model::part::{Flow, Kind, Opened, Port, Sharding, sort_records};
use model::units::Dur;
use model::{Alert, BuildCx, Built, Change, EpochInfo, Files, Match, Node, Part, Problem, Record, Result, Spec};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Settings of `[dedup.*]`. Period and threshold belong to the rules, not to the node.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DedupSettings {
    /// How far behind the newest match a match may come and still find its window, where the topology's time is
    /// `event`: windows are kept this much longer than their period. No effect with processing time.
    #[serde(default = "a_day")]
    pub lateness: Dur,
}

fn a_day() -> Dur {
    Dur(86_400_000)
}

/// The part `dedup.window`.
pub struct DedupPart;

impl Part for DedupPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Dedup,
            name: "window",
            doc: "Groups matches into alerts: one alert per rule, dedup string and window, once the rule's threshold is reached.",
            inputs: &[Flow::Matches],
            outputs: &[
                Port { name: "", flow: Flow::Alerts, error: false },
                Port { name: "matches", flow: Flow::Matches, error: false },
            ],
            sharding: Sharding::Single,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(DedupSettings).to_value()
    }
    fn open(&self, _: &str, settings: &serde_json::Value, _: &dyn Files) -> Opened {
        match DedupSettings::deserialize(settings) {
            Ok(s) => Opened::ok(DedupNode { lateness: s.lateness.0.min(i64::MAX as u64) as i64 }),
            Err(e) => Opened::failed(vec![Problem::at("", e.to_string())]),
        }
    }
}

struct DedupNode {
    lateness: i64,
}

impl Node for DedupNode {
    fn state_key(&self) -> String {
        "dedup.window/2".into()
    }
    fn summary(&self) -> String {
        "dedup windows as the rules say".into()
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        Ok(Built::Keyed(Box::new(Dedup::new(cx.groups, cx.event_time.then_some(self.lateness)))))
    }
}

/// The running operator.
struct Dedup {
    groups: u32,
    /// Set where the clock of a match is its event time: how late it may come.
    lateness: Option<i64>,
    state: BTreeMap<u32, Group>,
    tables: Tables,
    dirty: BTreeSet<u32>,
}

/// Counts of one rule in one epoch: `matches = alerted + deduped + below_threshold + signal_only`.
#[derive(Default)]
struct Tally {
    matches: u64,
    alerted: u64,
    deduped: u64,
    below_threshold: u64,
    signal_only: u64,
}

/// What one epoch gives.
#[derive(Default)]
struct Output {
    alerts: Vec<Record>,
    /// One update per alert and epoch, by alert id.
    updates: BTreeMap<u128, Alert>,
    matches: Vec<Record>,
    tallies: BTreeMap<Arc<str>, Tally>,
    evicted: u64,
}

impl Dedup {
    fn new(groups: u32, lateness: Option<i64>) -> Dedup {
        Dedup { groups, lateness, state: BTreeMap::new(), tables: Tables::default(), dirty: BTreeSet::new() }
    }

    fn key_of(m: &Match) -> u64 {
        key_hash(&[&m.rule.id, if m.error.is_some() { "error" } else { "match" }, &m.dedup])
    }

    fn one(&mut self, mut m: Box<Match>, now: i64, out: &mut Output) {
        let tally = out.tallies.entry(m.rule.id.clone()).or_default();
        tally.matches += 1;
        if !m.rule.create_alert {
            tally.signal_only += 1;
            return out.matches.push(Record::Match(m));
        }
        let n = group_of(Self::key_of(&m), self.groups);
        let (group, t) = (self.state.entry(n).or_default(), &mut self.tables);
        self.dirty.insert(n);
        let clock = if self.lateness.is_some() { m.event_ms } else { now };
        // The group's clock never runs ahead of the epoch's: one event dated in the far future must not expire all.
        group.advance(clock.min(now), t);
        let counted = group.count(&m, clock, self.lateness.unwrap_or(0), t);
        out.evicted += counted.evicted as u64;
        let (window, texts) = (&t.window, &t.texts);
        let number = window.id(texts);
        let id = hex(number);
        m.alert_id = Some(id.clone());
        match counted.step {
            Step::Below => tally.below_threshold += 1,
            Step::Crossed => {
                tally.alerted += 1;
                out.alerts.push(Record::Alert(Box::new(window.alert(&m, id, Change::New, texts))));
            }
            Step::Joined => {
                tally.deduped += 1;
                out.updates
                    .entry(number)
                    .and_modify(|a| window.refresh(a, &m, texts))
                    .or_insert_with(|| window.alert(&m, id, Change::Update, texts));
            }
        }
        out.matches.push(Record::Match(m));
    }
}

impl Keyed for Dedup {
    fn key(&self, record: &Record) -> u64 {
        match record {
            Record::Match(m) => Dedup::key_of(m),
            _ => 0,
        }
    }

    fn epoch(&mut self, info: &EpochInfo, records: Vec<Record>, cx: &mut Ctx) -> Result<()> {
        if self.lateness.is_none() {
            for (n, group) in &mut self.state {
                if group.advance(info.now_ms, &mut self.tables) {
                    self.dirty.insert(*n);
                }
            }
        }
        let mut out = Output::default();
        for record in records {
            match record {
                Record::Match(m) => self.one(m, info.now_ms, &mut out),
                other => return Err(format!("dedup takes matches, not {other:?}").into()),
            }
        }
        out.alerts.extend(out.updates.into_values().map(|a| Record::Alert(Box::new(a))));
        sort_records(&mut out.alerts);
        cx.emit(0, Packet::Records(out.alerts));
        cx.emit(1, Packet::Records(out.matches));
        for (rule, t) in out.tallies {
            cx.count_rule("matches", rule.clone(), t.matches);
            cx.count_rule("alerted", rule.clone(), t.alerted);
            cx.count_rule("deduped", rule.clone(), t.deduped);
            cx.count_rule("below_threshold", rule.clone(), t.below_threshold);
            cx.count_rule("signal_only", rule, t.signal_only);
        }
        cx.count("evicted", out.evicted);
        Ok(())
    }

    fn keys(&self) -> u64 {
        self.state.values().map(|g| g.keys() as u64).sum()
    }

    fn take_dirty(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.dirty).into_iter().collect()
    }

    fn save(&mut self, group: u32) -> Vec<u8> {
        let late = self.lateness.is_some();
        self.state.get_mut(&group).map_or_else(Vec::new, |g| g.save(late, &mut self.tables))
    }

    fn changes(&mut self, group: u32) -> Option<Vec<u8>> {
        let late = self.lateness.is_some();
        self.state.get_mut(&group).map(|g| g.changes(late, &mut self.tables))
    }

    fn load(&mut self, group: u32, bytes: &[u8]) -> Result<()> {
        if let Some(mut old) = self.state.remove(&group) {
            old.clear(&mut self.tables);
        }
        if !bytes.is_empty() {
            self.state.insert(group, Group::load(bytes, self.lateness.is_some(), &mut self.tables)?);
        }
        Ok(())
    }

    fn apply(&mut self, group: u32, bytes: &[u8]) -> Result<()> {
        let late = self.lateness.is_some();
        self.state.entry(group).or_default().apply(bytes, late, &mut self.tables)
    }
}

#[cfg(test)]
mod tests;
