//! `correlate.rules`: matches in, matches of correlation rules out.
//!
//! A match becomes signals where it was made; they meet by rule and value. A rule may watch another correlation rule, so the
//! rules of a node stand in stages: what a stage finds, the next ones see in the same epoch.
use crate::group::{Group, Key, Rules, Told};
use crate::held::{Held, State};
use crate::load;
use crate::rule::Correlation;
use crate::signals::{Watch, of_context};
use crate::told::told;
use model::key::group_of;
use model::operator::{Ctx, Keyed, Packet};
use model::part::{Flow, Kind, Opened, Port, Sharding};
use model::units::Dur;
use model::{BuildCx, Built, EpochInfo, Files, Needs, Node, Part, Problem, Record, Result, Signal, Spec};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Settings of `[correlate.*]`.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrelateSettings {
    /// Files, folders or globs of correlation rules, relative to the topology: Panther's (`AnalysisType: correlation_rule`) and
    /// Sigma's. Other detections in them are left to `[detect.*]`.
    pub rules: Vec<String>,
    /// Packs that are enabled, as of the detections. Default: every rule goes by its own `Enabled`.
    #[serde(default)]
    pub packs: Option<Vec<String>>,
    /// Rules that do not run, and packs whose rules do not, as of the detections.
    #[serde(default)]
    pub except: Vec<String>,
    /// Files that say what a field of a Sigma rule is called: the same as those of the detections.
    #[serde(default)]
    pub sigma_mappings: Vec<String>,
    /// How late a signal may come: it is waited for so much longer than a rule's window, and rules with `Absence` are decided
    /// so much later.
    #[serde(default = "a_quarter")]
    pub lateness: Dur,
}

fn a_quarter() -> Dur {
    Dur(900_000)
}

/// The part `correlate.rules`.
pub struct CorrelatePart;

impl Part for CorrelatePart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Correlate,
            name: "rules",
            doc: "Finds matches that belong together: correlation rules of Panther and Sigma over the matches of detections.",
            inputs: &[Flow::Matches],
            outputs: &[Port { name: "", flow: Flow::Matches, error: false }],
            sharding: Sharding::Single,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(CorrelateSettings).to_value()
    }
    fn open(&self, _: &str, settings: &serde_json::Value, files: &dyn Files) -> Opened {
        let settings = match CorrelateSettings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let mut loaded = load::load(files, &settings.rules, &settings.sigma_mappings);
        loaded.choose(settings.packs.as_deref(), &settings.except);
        let stages = load::stages(&loaded.rules, &mut loaded.problems);
        if loaded.problems.iter().any(|p| !p.warning) {
            return Opened::failed(loaded.problems);
        }
        let disabled = loaded.rules.iter().filter(|r| !r.enabled).count();
        if loaded.rules.len() == disabled {
            let p = Problem::at("rules", "no correlation rule is enabled, so nothing will ever match");
            loaded.problems.push(p.hint("set `Enabled: true` in a rule").warn());
        }
        let lateness_ms = settings.lateness.0.min(i64::MAX as u64 / 4) as i64;
        let stage = |rules: Vec<Correlation>| Arc::new(Stage { rules: rules.into(), lateness_ms });
        let node = CorrelateNode { stages: stages.into_iter().map(stage).collect(), disabled };
        Opened { node: Some(Arc::new(node)), problems: loaded.problems }
    }
}

/// The checked node.
struct CorrelateNode {
    /// At least one.
    stages: Vec<Arc<Stage>>,
    disabled: usize,
}

/// Rules that do not watch each other, in the order of their ids.
struct Stage {
    rules: Arc<[Correlation]>,
    lateness_ms: i64,
}

impl Node for CorrelateNode {
    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        self.stages.iter().for_each(|s| needs.merge(&s.needs()));
        needs
    }
    fn state_key(&self) -> String {
        self.stages[0].state_key()
    }
    fn summary(&self) -> String {
        let n: usize = self.stages.iter().map(|s| s.rules.len()).sum();
        let mut text = format!("{n} correlation rules");
        for (n, what) in [(self.stages.len() - 1, "more stages"), (self.disabled, "disabled, not loaded")] {
            if n > 0 {
                text += &format!(", {n} {what}");
            }
        }
        text
    }
    fn stages(&self) -> Vec<Arc<dyn Node>> {
        self.stages.iter().map(|s| s.clone() as Arc<dyn Node>).collect()
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        self.stages[0].build(cx)
    }
}

impl Node for Stage {
    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for (rule, item) in self.rules.iter().flat_map(|r| r.items.iter().map(move |i| (r, i))) {
            if rule.silences {
                needs.signals_of.insert(item.rule.clone());
            }
            let mut places = item.key.iter().chain(&item.measure).flat_map(|p| &p.all);
            if places.any(|p| of_context(&p.field).is_none()) {
                needs.events_of.insert(item.rule.clone());
            }
        }
        needs
    }
    fn state_key(&self) -> String {
        "correlate.rules/1".into()
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let rules = Rules { list: self.rules.clone(), lateness_ms: self.lateness_ms, event_time: cx.event_time };
        Ok(Built::Keyed(Box::new(Correlate::new(rules, cx.groups))))
    }
}

/// The running operator.
pub(crate) struct Correlate {
    rules: Rules,
    watch: Watch,
    groups: u32,
    state: BTreeMap<u32, Group>,
    dirty: BTreeSet<u32>,
}

impl Correlate {
    /// With no state.
    pub fn new(rules: Rules, groups: u32) -> Correlate {
        let watch = Watch::new(rules.list.clone());
        Correlate { rules, watch, groups, state: BTreeMap::new(), dirty: BTreeSet::new() }
    }

    fn take(&mut self, s: Signal, now: i64, told: &mut Told) {
        let n = group_of(s.state_key(), self.groups);
        let held = Held {
            at: s.event_ms,
            pos: s.pos,
            item: s.item,
            since: now,
            state: State::Fresh,
            measure: s.measure.map(Into::into),
        };
        let key: Key = Arc::new((s.correlation, s.key));
        self.state.entry(n).or_default().add(key, held, &self.rules, told);
        self.dirty.insert(n);
    }
}

impl Keyed for Correlate {
    fn key(&self, record: &Record) -> u64 {
        match record {
            Record::Signal(s) => s.state_key(),
            _ => 0,
        }
    }

    fn split(&self, record: Record, out: &mut Vec<Record>) {
        if let Record::Match(m) = record {
            self.watch.signals(&m, |s| out.push(Record::Signal(Box::new(s))));
        }
    }

    fn epoch(&mut self, info: &EpochInfo, records: Vec<Record>, cx: &mut Ctx) -> Result<()> {
        let mut signals: BTreeMap<Arc<str>, [u64; 2]> = BTreeMap::new();
        let mut done = Told::default();
        for record in records {
            match record {
                Record::Signal(s) => {
                    let n = signals.entry(s.correlation.clone()).or_default();
                    n[0] += 1;
                    n[1] += u64::from(s.cut);
                    self.take(*s, info.now_ms, &mut done);
                }
                other => return Err(format!("correlate takes signals, not {other:?}").into()),
            }
        }
        for (n, group) in &mut self.state {
            if group.tick(info.now_ms, &self.rules, &mut done) {
                self.dirty.insert(*n);
            }
        }
        let mut out = Vec::new();
        for hit in &done.hits {
            let Some(rule) = self.rules.find(&hit.key.0) else { continue };
            cx.count_rule("matches", rule.meta.id.clone(), 1);
            out.push(Record::Match(Box::new(told(rule, hit, info.now_ms))));
        }
        model::part::sort_records(&mut out);
        cx.emit(0, Packet::Records(out));
        for (rule, [n, cut]) in signals {
            cx.count_rule("signals", rule.clone(), n);
            cx.count_rule("values_over_limit", rule, cut);
        }
        for (counter, by_rule) in [("late", done.late), ("evicted", done.evicted)] {
            by_rule.into_iter().for_each(|(rule, n)| cx.count_rule(counter, rule, n));
        }
        Ok(())
    }

    fn keys(&self) -> u64 {
        self.state.values().map(|g| g.keys() as u64).sum()
    }

    fn take_dirty(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.dirty).into_iter().collect()
    }

    fn save(&mut self, group: u32) -> Vec<u8> {
        self.state.get_mut(&group).map_or_else(Vec::new, |g| g.save(&self.rules))
    }

    fn changes(&mut self, group: u32) -> Option<Vec<u8>> {
        self.state.get_mut(&group).map(|g| g.changes(&self.rules))
    }

    fn load(&mut self, group: u32, bytes: &[u8]) -> Result<()> {
        self.state.remove(&group);
        if !bytes.is_empty() {
            self.apply(group, bytes)?;
        }
        Ok(())
    }

    fn apply(&mut self, group: u32, bytes: &[u8]) -> Result<()> {
        self.state.entry(group).or_default().apply(bytes, &self.rules)
    }
}

#[cfg(test)]
mod tests;
