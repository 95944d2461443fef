//! The `webhook` sink: every new alert as a JSON POST, signed and idempotent.
//!
//! `commit` puts new alerts into a durable outbox, exactly once; threads started by `recover` send them from there
//! ([`crate::delivery`]), at least once: the receiver tells repeats by the alert id, which is `webhook-id` and
//! `Idempotency-Key` (Standard Webhooks). A receiver that is slow or down slows nothing: alerts wait on disk.
mod request;
#[cfg(test)]
mod tests;

use crate::acks::Acks;
use crate::delivery::{Delivery, Policy};
use crate::outbox::Outbox;
use model::part::{Kind, Opened, Sharding};
use model::units::Dur;
use model::{
    Alert, AlertKind, BuildCx, Built, Change, EpochInfo, Files, Flow, Node, Packet, Part, Problem, Receipt, Record,
    Result, Severity, Sink, Spec,
};
use request::{Post, Target};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

/// `type = "webhook"`; see the module.
pub struct WebhookPart;

/// Settings of a `webhook` sink.
#[derive(Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where to POST. Must be https, except to this machine.
    url: String,
    /// Key of the signature (`whsec_…` as in Standard Webhooks, or any text); while keys are changed, a list of both.
    #[serde(default)]
    secret: Secrets,
    /// More request headers, such as `Authorization`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Only alerts of these severities. Default: all. An alert that names its destinations goes to them whatever its
    /// severity.
    #[schemars(with = "Option<Vec<SeverityName>>")]
    severities: Option<Vec<Severity>>,
    /// Allow http to other machines: alerts travel readable and changeable.
    #[serde(default)]
    allow_http: bool,
    /// Longest time for one request.
    #[serde(default = "timeout")]
    timeout: Dur,
    /// Attempts after the first; then the alert goes to the dead letters.
    #[serde(default = "retries")]
    retries: u32,
    /// Pause before the second attempt; it doubles with each, and half of it is spread by the alert's id.
    #[serde(default = "backoff")]
    backoff: Dur,
    /// Longest pause.
    #[serde(default = "backoff_max")]
    backoff_max: Dur,
    /// Requests at the same time.
    #[serde(default = "concurrency")]
    concurrency: usize,
}

/// Names of [`Severity`], for the schema.
#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "UPPERCASE", inline)]
#[allow(dead_code)]
enum SeverityName {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Secrets {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Secrets {
    fn all(&self) -> Vec<String> {
        match self {
            Secrets::None => Vec::new(),
            Secrets::One(s) => vec![s.clone()],
            Secrets::Many(v) => v.clone(),
        }
    }
}

fn timeout() -> Dur {
    Dur(10_000)
}
fn retries() -> u32 {
    10
}
fn backoff() -> Dur {
    Dur(30_000)
}
fn backoff_max() -> Dur {
    Dur(300_000)
}
fn concurrency() -> usize {
    4
}

/// Most requests at the same time.
const MAX_CONCURRENCY: usize = 32;
/// Longest `timeout`.
const MAX_TIMEOUT: u64 = 300_000;

impl Part for WebhookPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Sink,
            name: "webhook",
            doc: "Sends new alerts as signed JSON requests, with retries; each at least once under the same id.",
            inputs: &[Flow::Alerts],
            outputs: &[],
            sharding: Sharding::Single,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        let s = match Settings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let mut problems = Vec::new();
        let target = Target::check(&s.url, &s.secret.all(), &s.headers, s.allow_http, &mut problems);
        if s.concurrency == 0 || s.concurrency > MAX_CONCURRENCY {
            problems.push(Problem::at("concurrency", format!("between 1 and {MAX_CONCURRENCY}")));
        }
        if s.timeout.0 == 0 || s.timeout.0 > MAX_TIMEOUT {
            problems.push(Problem::at("timeout", format!("between 1ms and {}", Dur(MAX_TIMEOUT))));
        }
        match target {
            Some(target) if problems.iter().all(|p| p.warning) => {
                Opened { node: Some(Arc::new(WebhookNode { settings: s, target })), problems }
            }
            _ => Opened::failed(problems),
        }
    }
}

struct WebhookNode {
    settings: Settings,
    target: Target,
}

impl Node for WebhookNode {
    fn summary(&self) -> String {
        self.target.host() // a path may hold a token
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let s = &self.settings;
        Ok(Built::Sink(Box::new(Webhook {
            id: cx.id.clone(),
            dir: cx.data_dir.clone(),
            target: self.target.clone(),
            timeout: Duration::from_millis(s.timeout.0),
            policy: Policy {
                retries: s.retries,
                backoff: Duration::from_millis(s.backoff.0),
                backoff_max: Duration::from_millis(s.backoff_max.0),
                concurrency: s.concurrency,
            },
            severities: s.severities.clone(),
            staged: Vec::new(),
            rows: 0,
            running: None,
        })))
    }
}

struct Webhook {
    id: Arc<str>,
    dir: PathBuf,
    target: Target,
    timeout: Duration,
    policy: Policy,
    severities: Option<Vec<Severity>>,
    staged: Vec<u8>,
    rows: u64,
    running: Option<(Outbox, Delivery)>,
}

impl Webhook {
    /// Routing (functional spec §6.2): the rule's word first, then the severities of the destination. Errors of the
    /// system pay no heed to severity.
    fn wants(&self, a: &Alert) -> bool {
        if a.change != Change::New {
            return false;
        }
        let named = |names: &[String]| names.iter().any(|n| **n == *self.id);
        match &a.destinations {
            Some(names) => named(names),
            None if !a.rule.output_ids.is_empty() => named(&a.rule.output_ids),
            None => {
                a.kind == AlertKind::SystemError || self.severities.as_ref().is_none_or(|s| s.contains(&a.severity))
            }
        }
    }

    fn take(&mut self) -> (Vec<u8>, Receipt) {
        let bytes = std::mem::take(&mut self.staged);
        let digest = format!("{:032x}", xxh3_128(&bytes));
        (bytes, Receipt { rows: std::mem::take(&mut self.rows), digest, ..Receipt::default() })
    }
}

impl Sink for Webhook {
    fn recover(&mut self, last: Option<&Receipt>) -> Result<()> {
        let file = |ext: &str| self.dir.join("outbox").join(format!("{}.{ext}", self.id));
        let outbox = Outbox::open(&file("jsonl"), last)?;
        let acks = Acks::open(&file("acks"), outbox.len())?;
        let dead = self.dir.join("dlq").join(format!("{}.jsonl", self.id));
        let post = Box::new(Post::new(self.target.clone(), self.timeout));
        let delivery =
            Delivery::start(self.id.clone(), outbox.file(), outbox.len(), acks, dead, self.policy.clone(), post)?;
        self.running = Some((outbox, delivery));
        Ok(())
    }

    fn stage(&mut self, packet: &Packet) -> Result<()> {
        let Packet::Records(records) = packet else { return Ok(()) };
        for r in records {
            if let Record::Alert(a) = r
                && self.wants(a)
            {
                r.write_json(&mut self.staged)?;
                self.staged.push(b'\n');
                self.rows += 1;
            }
        }
        Ok(())
    }

    fn commit(&mut self, _info: &EpochInfo) -> Result<Option<Receipt>> {
        let (bytes, receipt) = self.take();
        let (outbox, delivery) = self.running.as_mut().ok_or("commit before recover")?;
        if let Some(e) = delivery.failure() {
            return Err(e.into());
        }
        let len = outbox.append(&bytes)?;
        delivery.grown(len);
        Ok(Some(Receipt { state: serde_json::json!({ "len": len }), ..receipt }))
    }

    fn discard(&mut self, _info: &EpochInfo) -> Result<Option<Receipt>> {
        Ok(Some(self.take().1))
    }

    fn finish(&mut self, deadline_ms: u64) -> Result<()> {
        if let Some((outbox, delivery)) = &self.running {
            delivery.grown(outbox.len());
            // What is left stays in the outbox for the next run.
            delivery.drain(Duration::from_millis(deadline_ms));
        }
        Ok(())
    }
}
