//! What leaves the columns: matches, alerts, rejects and ledger rows. Few, owned, and able to cross workers.
use crate::alert_row::AlertRow;
use crate::key::key_hash;
use crate::pos::Pos;
use crate::severity::Severity;
use crate::{Result, time};
use serde::{Deserialize, Serialize};
use serde_json::{Value as J, json, to_writer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Anything that is exchanged by key or written by a record sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A detection said yes (or failed) for one event.
    Match(Box<Match>),
    /// A match as one item of a correlation rule sees it, on its way to the key that joins it with others.
    Signal(Box<Signal>),
    /// An alert was created or changed.
    Alert(Box<Alert>),
    /// Input that could not be used, with its reason.
    Rejected(Box<Rejected>),
    /// A whole event as JSON, where events leave through a record sink (JSONL, stdout).
    Event(Box<EventRow>),
    /// Counts of one epoch.
    Ledger(Box<LedgerRow>),
}

/// An event rendered to JSON for a record sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Position of the event.
    pub pos: Pos,
    /// JSON object text.
    pub json: String,
}

/// Facts of a detection that do not depend on the event. Shared by all its matches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleMeta {
    /// `RuleID`.
    pub id: Arc<str>,
    /// Hash of the detection's text: changes when the rule changes.
    pub version: String,
    /// `DisplayName`, else the id.
    pub name: String,
    /// Static `Severity`.
    pub severity: Severity,
    /// `DedupPeriodMinutes` in milliseconds; default one hour.
    pub dedup_period_ms: i64,
    /// `Threshold`, at least 1.
    pub threshold: u64,
    /// `CreateAlert`; false = signal only.
    pub create_alert: bool,
    /// What it judges.
    #[serde(default)]
    pub judges: Judges,
    /// `Tags`, sorted.
    pub tags: Vec<String>,
    /// `Reports` (name → sorted list).
    pub reports: BTreeMap<String, Vec<String>>,
    /// `OutputIds`.
    pub output_ids: Vec<String>,
    /// Static `Description`.
    pub description: String,
    /// Static `Reference`.
    pub reference: String,
    /// Static `Runbook`.
    pub runbook: String,
    /// `SummaryAttributes`.
    pub summary: Vec<String>,
}

/// One event matched one rule, or made it fail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// Position of the event.
    pub pos: Pos,
    /// The rule.
    pub rule: Arc<RuleMeta>,
    /// Text of the failure if the rule failed: this is a rule error, not a match.
    pub error: Option<String>,
    /// Log type of the event.
    pub log_type: Arc<str>,
    /// `p_event_time`, milliseconds.
    pub event_ms: i64,
    /// Epoch clock, milliseconds.
    pub now_ms: i64,
    /// Dedup string (at most 1,000 characters).
    pub dedup: String,
    /// Generated title.
    pub title: String,
    /// Severity of this match.
    pub severity: Severity,
    /// Generated or static description.
    pub description: String,
    /// Generated or static reference.
    pub reference: String,
    /// Generated or static runbook.
    pub runbook: String,
    /// What `destinations()` said: `None` = routing rules, empty = skip delivery.
    pub destinations: Option<Vec<String>>,
    /// `alert_context` as JSON object text.
    pub context: Option<String>,
    /// What `unique()` said.
    pub unique: Option<String>,
    /// The whole event as JSON object text with standard fields, if some sink stores events of matches.
    pub event: Option<String>,
    /// Alert this match belongs to, once dedup has decided (32 hex digits).
    pub alert_id: Option<String>,
}

/// A match with one value that it is joined by, for one item of a correlation rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Position of the event.
    pub pos: Pos,
    /// The correlation rule.
    pub correlation: Arc<str>,
    /// Which of the rule's items it counts for.
    pub item: u32,
    /// Texts of the values that all signals of a match of the rule share, one for each part of its key.
    pub key: Vec<String>,
    /// `p_event_time`, milliseconds.
    pub event_ms: i64,
    /// Text of the value that the rule counts or adds up.
    pub measure: Option<String>,
    /// The match had more values than are looked at.
    pub cut: bool,
}

/// What a detection judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judges {
    /// Events: a rule.
    #[default]
    Events,
    /// Cloud resources: a policy.
    Resources,
    /// Rows of queries: a scheduled rule.
    Rows,
}

/// Kind of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlertKind {
    /// A rule matched.
    #[default]
    Rule,
    /// A rule failed.
    RuleError,
    /// The system has something to say (storm limit reached, …).
    SystemError,
}

impl AlertKind {
    /// Name as in payloads: `RULE`, `RULE_ERROR`, `SYSTEM_ERROR`.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertKind::Rule => "RULE",
            AlertKind::RuleError => "RULE_ERROR",
            AlertKind::SystemError => "SYSTEM_ERROR",
        }
    }
}

/// Why an alert record is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The alert exists from now on; destinations are told.
    #[default]
    New,
    /// More events joined it; stores update the row, destinations are not told again.
    Update,
}

/// An alert as of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Position of the event that created or last changed it.
    pub pos: Pos,
    /// 32 hex digits: hash of (rule, kind, dedup string, window start).
    pub id: String,
    /// Kind.
    pub kind: AlertKind,
    /// New or update.
    pub change: Change,
    /// The rule.
    pub rule: Arc<RuleMeta>,
    /// Severity of the first match.
    pub severity: Severity,
    /// Title of the first match.
    pub title: String,
    /// Description of the first match.
    pub description: String,
    /// Reference of the first match.
    pub reference: String,
    /// Runbook of the first match.
    pub runbook: String,
    /// Dedup string.
    pub dedup: String,
    /// Destinations chosen by the rule, see [`Match::destinations`].
    pub destinations: Option<Vec<String>>,
    /// Context of the first match, JSON object text.
    pub context: Option<String>,
    /// Events in this alert so far.
    pub event_count: u64,
    /// Log types seen, sorted.
    pub log_types: Vec<Arc<str>>,
    /// When it was created (threshold crossed), milliseconds of the alert clock.
    pub created_ms: i64,
    /// When it last changed, milliseconds of the alert clock.
    pub updated_ms: i64,
    /// Event time of the event that opened the window, milliseconds.
    pub first_event_ms: i64,
    /// Highest event time in it, milliseconds.
    pub last_event_ms: i64,
}

/// Input or a record that could not be used. Never dropped without one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Position.
    pub pos: Pos,
    /// Node that rejected it.
    pub node: Arc<str>,
    /// Where in the node: `read`, `decode`, `classify`, `validate`, `deliver` …
    pub stage: String,
    /// Stable code in snake case: `bad_utf8`, `line_too_long`, `no_schema_matched` …
    pub code: String,
    /// What is wrong, for a person.
    pub reason: String,
    /// Partition name (file, topic and partition).
    pub origin: Arc<str>,
    /// The original bytes; cut to a named limit where they exceed one, and then `truncated`.
    pub raw: Vec<u8>,
    /// True if `raw` is not everything.
    pub truncated: bool,
    /// Epoch clock, milliseconds.
    pub now_ms: i64,
}

/// One counter of one epoch, node and (where it has one) rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The epoch.
    pub epoch: u64,
    /// Node id.
    pub node: Arc<str>,
    /// Rule id, empty where a count is not per rule.
    pub rule: Arc<str>,
    /// Counter name: `offered`, `parsed`, `rejected`, `filtered`, `matches`, `alerted`, `deduped`, …
    pub counter: String,
    /// The count.
    pub n: u64,
}

impl LedgerRow {
    /// Counter of the row that says under which topology and at which time an epoch ran: its `node` is the ledger itself,
    /// its `rule` the hash of the topology's bundle, its `n` the epoch's clock in milliseconds. Every epoch that counted
    /// anything has one. It is no count, and is never summed.
    pub const CLOCK: &str = "clock_ms";
}

impl Record {
    /// Total order inside an epoch: position, then kind, then rule, then dedup string: one event can complete several
    /// matches of a correlation rule. Sinks and keyed operators see this order.
    pub fn order(&self) -> (Pos, u8, &str, u32, &str) {
        match self {
            Record::Match(m) => (m.pos, 0, &m.rule.id, m.error.is_some() as u32, &m.dedup),
            Record::Alert(a) => (a.pos, 1, &a.rule.id, a.kind as u32, &a.dedup),
            Record::Rejected(r) => (r.pos, 2, &r.code, 0, ""),
            Record::Event(e) => (e.pos, 3, "", 0, ""),
            Record::Ledger(_) => (Pos::default(), 4, "", 0, ""),
            Record::Signal(s) => (s.pos, 5, &s.correlation, s.item, s.key.first().map_or("", String::as_str)),
        }
    }
    /// Key that decides the shard of a sink with [`crate::part::Sharding::Groups`]: what belongs to one alert stays
    /// in one order.
    pub fn key(&self) -> u64 {
        match self {
            Record::Match(m) => key_hash(&[&m.rule.id, &m.dedup]),
            Record::Alert(a) => key_hash(&[&a.rule.id, &a.dedup]),
            Record::Rejected(r) => key_hash(&[&r.origin]),
            Record::Signal(s) => s.state_key(),
            Record::Event(e) => e.pos.partition as u64,
            Record::Ledger(_) => 0,
        }
    }
    /// JSON form, as record sinks write it.
    pub fn to_json(&self) -> J {
        match self {
            Record::Match(m) => m.to_json(),
            Record::Alert(a) => a.to_json(),
            Record::Rejected(r) => r.to_json(),
            Record::Signal(s) => serde_json::to_value(s).unwrap_or(J::Null),
            Record::Event(e) => serde_json::from_str(&e.json).unwrap_or(J::Null),
            Record::Ledger(l) => serde_json::to_value(l).unwrap_or(J::Null),
        }
    }

    /// Append the text of [`Record::to_json`], without the value where there is a shorter way.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Record::Alert(a) => to_writer(out, &AlertRow::of(a))?,
            Record::Signal(s) => to_writer(out, s)?,
            Record::Ledger(l) => to_writer(out, l)?,
            // An event is not taken apart to be put together again.
            Record::Event(e) => out.extend_from_slice(e.json.as_bytes()),
            Record::Match(_) | Record::Rejected(_) => to_writer(out, &self.to_json())?,
        }
        Ok(())
    }
}

fn object(text: &Option<String>) -> J {
    text.as_deref().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_else(|| json!({}))
}

impl Signal {
    /// Hash of the rule and the key: signals that may make a match together have the same.
    pub fn state_key(&self) -> u64 {
        let parts: Vec<&str> = std::iter::once(&*self.correlation).chain(self.key.iter().map(String::as_str)).collect();
        key_hash(&parts)
    }
}

impl Match {
    /// A row of the signals table: the event with the `p_rule_*` and `p_alert_*` fields (functional spec §2.2), and where
    /// exactly it was read.
    pub fn to_json(&self) -> J {
        let mut e = match self.event.as_deref().map(serde_json::from_str) {
            Some(Ok(J::Object(o))) => o,
            _ => serde_json::Map::new(),
        };
        let r = &self.rule;
        let mut put = |k: &str, v: J| e.insert(k.into(), v);
        put("p_row_id", json!(format!("{:032x}", self.pos.row_id())));
        put("p_log_type", json!(self.log_type));
        put("p_event_time", json!(time::text_ms(self.event_ms)));
        let at = &self.pos;
        put(
            "p_source_position",
            json!({ "source": at.source, "partition": at.partition, "offset": at.offset, "ordinal": at.ordinal }),
        );
        put("p_rule_id", json!(r.id));
        put("p_rule_version", json!(r.version));
        put("p_rule_tags", json!(r.tags));
        put("p_rule_reports", json!(r.reports));
        put("p_rule_severity", json!(r.severity));
        put("p_alert_severity", json!(self.severity));
        put("p_alert_title", json!(self.title));
        put("p_alert_dedup", json!(self.dedup));
        put("p_alert_context", object(&self.context));
        if let Some(id) = &self.alert_id {
            put("p_alert_id", json!(id));
        }
        if let Some(err) = &self.error {
            put("p_rule_error", json!(err));
        }
        J::Object(e)
    }
}

impl Alert {
    /// Type as in payloads: the kind, of what the detection judges.
    pub fn type_name(&self) -> &'static str {
        match (self.kind, self.rule.judges) {
            (AlertKind::Rule, Judges::Resources) => "POLICY",
            (AlertKind::RuleError, Judges::Resources) => "POLICY_ERROR",
            (AlertKind::Rule, Judges::Rows) => "SCHEDULED_RULE",
            (AlertKind::RuleError, Judges::Rows) => "SCHEDULED_RULE_ERROR",
            (kind, _) => kind.as_str(),
        }
    }

    /// Canonical alert JSON: Panther's notification plus counts, times and versions. Keys are always present, arrays
    /// and objects never null.
    pub fn to_json(&self) -> J {
        serde_json::to_value(AlertRow::of(self)).unwrap_or(J::Null)
    }
}

impl Rejected {
    /// A dead-letter row. Bytes that are not UTF-8 are given as hex, so the original is never lost.
    pub fn to_json(&self) -> J {
        let (key, raw) = match std::str::from_utf8(&self.raw) {
            Ok(s) => ("raw", s.to_string()),
            Err(_) => ("rawHex", self.raw.iter().map(|b| format!("{b:02x}")).collect()),
        };
        json!({
            "time": time::rfc3339_ms(self.now_ms),
            "node": self.node,
            "stage": self.stage,
            "code": self.code,
            "reason": self.reason,
            "origin": self.origin,
            "offset": self.pos.offset,
            "ordinal": self.pos.ordinal,
            "rowId": format!("{:032x}", self.pos.row_id()),
            "truncated": self.truncated,
            key: raw,
        })
    }
}
