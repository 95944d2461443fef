//! `limit.storm`: no detection creates more than so many alerts in a given time (functional spec §5).
//!
//! Position: behind dedup, before destinations. It counts new alerts per detection, all dedup strings together;
//! matches and failures of a detection have a count each. What is over the limit goes to `suppressed` (signals and
//! events are not touched). The 1000th alert passes, the 1001st does not. With `release = "hand"` the detection is then
//! held until a person releases it, and one system error says so; with `release = "window"` the next window starts
//! from zero.
//!
//! The update of an alert goes where the alert went: ids of suppressed alerts are remembered for as long as dedup can
//! update them (the rule's period and [`SLACK_MS`] more, up to [`crate::meter::MAX_REMEMBERED`] per detection), also
//! over a release. Updates are not counted against the limit. System errors pass.
use crate::meter::{Meter, Verdict};
use crate::{hex, id_of};
use model::codec::{Reader, Writer};
use model::epoch::Command;
use model::key::{group_of, key_hash};
use model::operator::{Ctx, Keyed, Packet};
use model::part::{Flow, Kind, Opened, Port, Sharding, sort_records};
use model::units::{Dur, Rate};
use model::{
    Alert, AlertKind, BuildCx, Built, Change, EpochInfo, Files, Node, Part, Problem, Record, Result, RuleMeta,
    Severity, Spec,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Type of the system error that says a detection is over its limit.
pub const NOTICE: &str = "DETECTION_ALERT_LIMIT_EXCEEDED";
/// A suppressed alert is remembered this much longer than its rule's dedup period: delay and late events.
const SLACK_MS: i64 = 86_400_000;
const VERSION: u8 = 1;

/// Settings of `[limit.*]`.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// New alerts one detection may create, and in what time: "1000/h".
    #[serde(default = "thousand_an_hour")]
    pub limit: Rate,
    /// How a detection that was over its limit alerts again.
    #[serde(default)]
    pub release: Release,
    /// Send a system error when a detection goes over its limit. Default: only with release by hand, where somebody
    /// has to act.
    #[serde(default)]
    pub notice: Option<bool>,
}

fn thousand_an_hour() -> Rate {
    Rate { count: 1000, per_ms: 3_600_000 }
}

/// How a detection that was over its limit alerts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// It is held until a person releases it. The limit counts a sliding time in 60 steps.
    #[default]
    Hand,
    /// With the next window. A window opens with the first alert and has the length of the limit's time.
    Window,
}

/// The part `limit.storm`.
pub struct LimitPart;

impl Part for LimitPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Limit,
            name: "storm",
            doc: "Bounds how many alerts one detection may create in a given time.",
            inputs: &[Flow::Alerts],
            outputs: &[
                Port { name: "", flow: Flow::Alerts, error: false },
                Port { name: "suppressed", flow: Flow::Alerts, error: true },
            ],
            sharding: Sharding::Single,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(LimitSettings).to_value()
    }
    fn open(&self, _: &str, settings: &serde_json::Value, _: &dyn Files) -> Opened {
        let s = match LimitSettings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let mut opened = Opened::ok(LimitNode(s.clone()));
        if s.limit.count == 0 {
            let p = Problem::at("limit", format!("a limit of {} suppresses every alert", s.limit));
            opened.problems.push(p.hint("write a count of at least 1, as in \"1000/h\"").warn());
        }
        opened
    }
}

struct LimitNode(LimitSettings);

impl Node for LimitNode {
    fn state_key(&self) -> String {
        // Another limit keeps counts and holds; the two ways of release count differently.
        format!("limit.storm/1/{:?}", self.0.release)
    }
    fn summary(&self) -> String {
        let release = if self.0.release == Release::Hand { "by hand" } else { "with the window" };
        format!("{} per detection, released {release}", self.0.limit)
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        Ok(Built::Keyed(Box::new(Limit::new(cx.groups, cx.event_time, &self.0))))
    }
}

/// Meters of one key group by detection and kind (true = its failures). Bounded by the detections of the topology.
type Group = BTreeMap<(Arc<str>, bool), Meter>;

/// The running operator.
struct Limit {
    groups: u32,
    event_time: bool,
    limit: Rate,
    by_hand: bool,
    notice: bool,
    state: BTreeMap<u32, Group>,
    dirty: BTreeSet<u32>,
}

/// Counts of one rule in one epoch: `offered = passed + suppressed`, of new alerts.
#[derive(Default)]
struct Tally {
    offered: u64,
    passed: u64,
    suppressed: u64,
    updates: u64,
    updates_suppressed: u64,
    system: u64,
    forgotten: u64,
}

#[derive(Default)]
struct Output {
    passed: Vec<Record>,
    suppressed: Vec<Record>,
    tallies: BTreeMap<Arc<str>, Tally>,
}

impl Limit {
    fn new(groups: u32, event_time: bool, s: &LimitSettings) -> Limit {
        let by_hand = s.release == Release::Hand;
        let notice = s.notice.unwrap_or(by_hand);
        Limit { groups, event_time, limit: s.limit, by_hand, notice, state: BTreeMap::new(), dirty: BTreeSet::new() }
    }

    fn release(&mut self, rule: &Arc<str>) -> bool {
        let n = group_of(key_hash(&[rule]), self.groups);
        let Some(group) = self.state.get_mut(&n) else { return false };
        let mut released = false;
        for error in [false, true] {
            released |= group.get_mut(&(rule.clone(), error)).is_some_and(|m| m.gauge.release());
        }
        if released {
            self.dirty.insert(n);
        }
        released
    }

    fn expire(&mut self, now: i64) {
        for (n, group) in &mut self.state {
            for meter in group.values_mut() {
                if meter.suppressed.expire(now) {
                    self.dirty.insert(*n);
                }
            }
        }
    }

    fn one(&mut self, a: Box<Alert>, now: i64, out: &mut Output) {
        let rule = a.rule.id.clone();
        let tally = out.tallies.entry(rule.clone()).or_default();
        if a.kind == AlertKind::SystemError {
            tally.system += 1;
            return out.passed.push(Record::Alert(a));
        }
        let n = group_of(key_hash(&[&rule]), self.groups);
        let key = (rule, a.kind == AlertKind::RuleError);
        if a.change == Change::Update {
            tally.updates += 1;
            let meter = self.state.get(&n).and_then(|g| g.get(&key));
            if meter.is_some_and(|m| m.suppressed.has(number(&a.id))) {
                tally.updates_suppressed += 1;
                out.suppressed.push(Record::Alert(a));
            } else {
                out.passed.push(Record::Alert(a));
            }
            return;
        }
        tally.offered += 1;
        self.dirty.insert(n);
        let meter = self.state.entry(n).or_default().entry(key).or_insert_with(|| Meter::new(self.by_hand));
        let clock = if self.event_time { a.created_ms } else { now };
        let verdict = meter.gauge.offer(clock, self.limit);
        if verdict == Verdict::Pass {
            tally.passed += 1;
            return out.passed.push(Record::Alert(a));
        }
        tally.suppressed += 1;
        let until = now.saturating_add(a.rule.dedup_period_ms).saturating_add(SLACK_MS);
        tally.forgotten += meter.suppressed.add(number(&a.id), until) as u64;
        if verdict == Verdict::Trip && self.notice {
            out.passed.push(Record::Alert(Box::new(self.tell(&a, clock))));
        }
        out.suppressed.push(Record::Alert(a));
    }

    /// The system error about a detection that went over its limit with this alert.
    fn tell(&self, a: &Alert, clock: i64) -> Alert {
        let (rule, what) = (&a.rule, if a.kind == AlertKind::RuleError { "errors" } else { "alerts" });
        let per = Dur(self.limit.per_ms);
        let runbook = match self.by_hand {
            true => "Make the detection quieter or raise the limit, then release the detection.",
            false => "Make the detection quieter or raise the limit. It alerts again with the next window.",
        };
        let context = serde_json::json!({
            "type": NOTICE,
            "detectionId": rule.id,
            "detectionName": rule.name,
            "alertType": a.type_name(),
            "limit": self.limit,
            "release": if self.by_hand { "hand" } else { "window" },
        });
        Alert {
            pos: a.pos,
            id: hex(id_of(&[NOTICE, &rule.id, a.kind.as_str(), &a.id], clock)),
            kind: AlertKind::SystemError,
            // The detection's id and name, but none of its tags and destinations: this is for whoever takes system errors.
            rule: Arc::new(RuleMeta {
                id: rule.id.clone(),
                version: rule.version.clone(),
                name: rule.name.clone(),
                severity: Severity::Critical,
                threshold: 1,
                create_alert: true,
                ..RuleMeta::default()
            }),
            severity: Severity::Critical,
            title: format!("{NOTICE}: {}", rule.name),
            description: format!(
                "Detection `{}` created more than {} {what} within {per}. Further {what} of it are suppressed; its signals and events are kept.",
                rule.id, self.limit.count
            ),
            runbook: runbook.into(),
            dedup: format!("{NOTICE}:{}:{}", rule.id, a.kind.as_str()),
            context: Some(context.to_string()),
            event_count: 1,
            log_types: a.log_types.clone(),
            created_ms: clock,
            updated_ms: clock,
            first_event_ms: a.first_event_ms,
            last_event_ms: a.last_event_ms,
            ..Alert::default()
        }
    }
}

/// An alert id as a number; ids of another form are hashed.
fn number(id: &str) -> u128 {
    match u128::from_str_radix(id, 16) {
        Ok(n) if id.len() == 32 => n,
        _ => id_of(&[id], 0),
    }
}

impl Keyed for Limit {
    fn key(&self, record: &Record) -> u64 {
        match record {
            Record::Alert(a) => key_hash(&[&a.rule.id]),
            _ => 0,
        }
    }

    fn epoch(&mut self, info: &EpochInfo, records: Vec<Record>, cx: &mut Ctx) -> Result<()> {
        for Command::Unsuppress { rule } in &info.commands {
            if self.release(rule) {
                cx.count_rule("released", rule.clone(), 1);
            }
        }
        self.expire(info.now_ms);
        let mut out = Output::default();
        for record in records {
            match record {
                Record::Alert(a) => self.one(a, info.now_ms, &mut out),
                other => return Err(format!("limit takes alerts, not {other:?}").into()),
            }
        }
        // Notices come behind the alerts of their position.
        sort_records(&mut out.passed);
        cx.emit(0, Packet::Records(out.passed));
        cx.emit(1, Packet::Records(out.suppressed));
        for (rule, t) in out.tallies {
            for (counter, n) in [
                ("offered", t.offered),
                ("passed", t.passed),
                ("suppressed", t.suppressed),
                ("updates", t.updates),
                ("updates_suppressed", t.updates_suppressed),
                ("system", t.system),
                ("forgotten", t.forgotten),
            ] {
                cx.count_rule(counter, rule.clone(), n);
            }
        }
        Ok(())
    }

    fn keys(&self) -> u64 {
        self.state.values().map(|g| g.len() as u64).sum()
    }

    fn take_dirty(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.dirty).into_iter().collect()
    }

    fn save(&mut self, group: u32) -> Vec<u8> {
        let Some(meters) = self.state.get(&group).filter(|g| !g.is_empty()) else { return Vec::new() };
        let mut w = Writer::new(VERSION);
        w.flag(self.event_time);
        w.uint(meters.len() as u64);
        for ((rule, error), meter) in meters {
            w.text(rule);
            w.flag(*error);
            meter.save(&mut w);
        }
        w.finish()
    }

    fn load(&mut self, group: u32, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            self.state.remove(&group);
            return Ok(());
        }
        let mut r = Reader::open(bytes, VERSION, "limit")?;
        let same_base = r.flag()? == self.event_time;
        let mut meters = Group::new();
        for _ in 0..r.uint()? {
            let key = (r.text()?.into(), r.flag()?);
            let mut meter = Meter::load(&mut r)?;
            if !same_base {
                meter.gauge.forget_times();
            }
            meters.insert(key, meter);
        }
        r.end()?;
        self.state.insert(group, meters);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
