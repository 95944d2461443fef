//! The `kafka` sink: every row exactly once for readers with `read_committed`.
//!
//! A shard has its own transactional id. The rows of an epoch and the record of its progress go into one transaction,
//! so what is visible and what is known to be visible are never apart. Taking over fences the earlier writer first and
//! reads the progress then. Epochs without rows need no transaction.
use crate::client::{Connection, Link};
use crate::mark::{Mark, Who};
use crate::plain::Plain;
use crate::produce::{Compression, Target};
use crate::render::{Key, Render};
use crate::rows::Rows;
use crate::topics::{self, Wanted};
use crate::txn::{Txn, Writer};
use model::part::{Kind, Opened, Sharding};
use model::store::Commit;
use model::units::{Dur, Size};
use model::{BuildCx, Built, EpochInfo, Fields, Files, Flow, Node, Packet, Part, Problem, Receipt, Result, Sink, Spec};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// `type = "kafka"` in `[sinks.*]`; see the module.
pub struct KafkaSinkPart;

/// Settings of a `kafka` sink.
#[derive(Clone, Deserialize, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Settings {
    #[serde(flatten)]
    connection: Connection,
    /// Topic to write to.
    topic: String,
    /// What the key of a record is: `none`, or a path to a value of it. Default: rule and dedup string for alerts and
    /// matches, none for others. Records with equal keys stay in order, in one partition.
    key: Option<String>,
    /// Values to write in place of the whole record: `"key=path"` or `"key=unix_ms(path)"` (a time as milliseconds
    /// since 1970), in this order. A path that leads nowhere writes `null`. Rejected input is always written as its
    /// original bytes, with the reason in the headers.
    fields: Option<Vec<String>>,
    /// `new`: alerts are written when they begin, not when more events join them.
    #[serde(default)]
    only: Only,
    /// Make the topic if it does not exist.
    #[serde(default = "yes")]
    create_topic: bool,
    /// Partitions of a topic that is made.
    #[serde(default = "partitions")]
    partitions: i32,
    /// Replicas of a topic that is made. Default: 3, or as many as there are brokers.
    replication: Option<i32>,
    /// `exactly_once`: one transaction per epoch and shard. `at_least_once`: without transactions; after a crash or an
    /// outage some records may be there twice.
    #[serde(default)]
    delivery: Delivery,
    /// Producers for alerts, matches and rejected input, each with a transaction per epoch that has rows for it: more of
    /// them share the work of very many rows, fewer cost less. At most `lanes` of `[engine]`, which events are written by.
    #[serde(default = "shards")]
    #[schemars(range(min = 1))]
    shards: u32,
    /// Compression of what is written.
    #[serde(default)]
    compression: Compression,
    /// Age at which the brokers end a transaction by themselves. Readers with `read_committed` wait so long for a
    /// writer that has died and does not come back.
    #[serde(default = "transaction_timeout")]
    transaction_timeout: Dur,
    /// Largest record, with key and headers. A larger one is replaced by a small one that says where it came from;
    /// rejected input is cut. The topic's `max.message.bytes` must be larger by 64 KiB.
    #[serde(default = "max_record")]
    max_record: Size,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Only {
    /// Every record.
    #[default]
    All,
    /// No updates of alerts.
    New,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Delivery {
    /// In transactions.
    #[default]
    ExactlyOnce,
    /// Without.
    AtLeastOnce,
}

fn yes() -> bool {
    true
}
fn partitions() -> i32 {
    8
}
fn shards() -> u32 {
    2
}
fn transaction_timeout() -> Dur {
    Dur(60_000)
}
fn max_record() -> Size {
    Size(960 << 10)
}

/// Room for what the record format adds to a record; a topic with Kafka's own limit (1 MiB and 12 bytes) has it.
pub(crate) const OVERHEAD: usize = 64 << 10;
/// Range of `transaction_timeout`, milliseconds: at least three epochs with room, at most what brokers allow.
pub(crate) const TRANSACTION_MS: std::ops::RangeInclusive<u64> = 3_000..=900_000;
/// Range of `max_record`.
const RECORD: std::ops::RangeInclusive<u64> = (4 << 10)..=(64 << 20);
/// Most partitions of a topic that is made.
const PARTITIONS_MAX: i32 = 10_000;
/// Partitions of the progress topic come in steps of this many; a shard has one.
const PROGRESS_STEP: i32 = 8;

/// What is wrong with `transaction_timeout`, if anything.
pub(crate) fn timeout_problem(t: Dur) -> Option<Problem> {
    (!TRANSACTION_MS.contains(&t.0))
        .then(|| Problem::at("transaction_timeout", format!("{t} is out of range")).hint("between 3s and 15m"))
}

impl Settings {
    fn problems(&self, id: &str) -> Vec<Problem> {
        let mut out = self.connection.problems();
        out.extend(topics::name_problem(&self.topic).map(|p| Problem::at("topic", p)));
        out.extend(topics::name_problem(id).map(|p| Problem::at("", format!("the id names a topic: {p}"))));
        if let Err(mut p) = self.fields() {
            out.append(&mut p);
        }
        if let Err(e) = self.key() {
            out.push(Problem::at("key", e).hint("\"none\", or a path such as \"user.name\""));
        }
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            out.push(Problem::at("partitions", format!("between 1 and {PARTITIONS_MAX}")));
        }
        if self.replication.is_some_and(|r| !(1..=100).contains(&r)) {
            out.push(Problem::at("replication", "between 1 and 100"));
        }
        if !RECORD.contains(&self.max_record.0) {
            out.push(Problem::at("max_record", format!("{} is out of range", self.max_record)).hint("4KiB to 64MiB"));
        }
        out.extend(timeout_problem(self.transaction_timeout));
        out
    }
    fn fields(&self) -> Result<Option<Fields>, Vec<Problem>> {
        self.fields.as_ref().map(|f| Fields::parse(f)).transpose()
    }
    fn key(&self) -> Result<Key, String> {
        Ok(match self.key.as_deref() {
            None => Key::Natural,
            Some("none") => Key::None,
            Some(path) => Key::At(model::fields::one_value(path)?),
        })
    }
}

/// Topic of a sink's progress records.
pub(crate) fn progress_topic(topology: &str, sink: &str) -> String {
    format!("{topology}.{sink}.progress")
}

/// Transactional id of a shard.
pub(crate) fn transactional_id(topology: &str, sink: &str, shard: u32) -> String {
    format!("{topology}.{sink}.{shard}")
}

impl Part for KafkaSinkPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Sink,
            name: "kafka",
            doc: "Writes records to a Kafka topic, exactly once; rejected input as its original bytes with the reason in headers.",
            inputs: &[Flow::Events, Flow::Matches, Flow::Alerts, Flow::Rejected],
            outputs: &[],
            sharding: Sharding::Groups,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        let s = match Settings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let problems = s.problems(id);
        if problems.is_empty() { Opened::ok(KafkaSinkNode(s)) } else { Opened::failed(problems) }
    }
}

struct KafkaSinkNode(Settings);

impl Node for KafkaSinkNode {
    fn summary(&self) -> String {
        format!("topic {}", self.0.topic)
    }
    fn shards(&self, lanes: u32) -> u32 {
        self.0.shards.min(lanes)
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let s = &self.0;
        let connection = Arc::new(s.connection.clone());
        let link = connection.link(&format!("sink `{}` shard {}", cx.id, cx.shard));
        let render = Render {
            topology: cx.topology.clone(),
            shard: cx.shard,
            fields: s.fields().map_err(|p| format!("fields: {}", p[0].message))?,
            only_new: s.only == Only::New,
            key: s.key()?,
            max_row: s.max_record.0 as usize,
            oversized: 0,
            scratch: Vec::new(),
        };
        let max_message = s.max_record.0 as usize + OVERHEAD;
        let progress = progress_topic(&cx.topology, &cx.id);
        if s.delivery == Delivery::ExactlyOnce
            && let Some(p) = topics::name_problem(&progress)
        {
            return Err(format!("the names of topology and sink make that of a topic: {p}").into());
        }
        let who = Who { run: cx.run.to_string(), generation: cx.generation, owner: 0 };
        let how = match s.delivery {
            Delivery::AtLeastOnce => {
                How::Plain(Plain::new(connection.clone(), link.clone(), s.compression, max_message))
            }
            Delivery::ExactlyOnce => How::Txn(Txn::new(Writer {
                connection: connection.clone(),
                link: link.clone(),
                id: transactional_id(&cx.topology, &cx.id, cx.shard),
                marks: progress.clone(),
                partition: cx.shard as i32,
                key: cx.shard.to_string(),
                who: who.clone(),
                timeout: Duration::from_millis(s.transaction_timeout.0),
                compression: s.compression,
                max_message,
                crash_points: true,
                #[cfg(test)]
                trip: None,
            })),
        };
        let target = Target { topic: s.topic.clone(), partition: 0 };
        Ok(Built::Sink(Box::new(KafkaSink {
            settings: s.clone(),
            name: format!("sink `{}` shard {}", cx.id, cx.shard),
            shard: cx.shard,
            who,
            connection,
            link,
            progress,
            how,
            target,
            render,
            rows: Rows::default(),
            at: 0,
            ready: false,
        })))
    }
}

enum How {
    Txn(Txn),
    Plain(Plain),
}

struct KafkaSink {
    settings: Settings,
    name: String,
    shard: u32,
    who: Who,
    connection: Arc<Connection>,
    link: Link,
    progress: String,
    how: How,
    target: Target,
    render: Render,
    rows: Rows,
    /// Newest epoch with rows that is visible.
    at: u64,
    /// The topics are there.
    ready: bool,
}

impl KafkaSink {
    fn topics(&mut self) -> Result<()> {
        if self.ready {
            return Ok(());
        }
        let s = &self.settings;
        let bytes = s.max_record.0 as usize + OVERHEAD;
        let mut wanted = vec![Wanted {
            name: &s.topic,
            partitions: s.partitions,
            replication: s.replication,
            config: vec![("max.message.bytes", bytes.to_string())],
            // One shard asks for all.
            message: (self.shard == 0).then_some((bytes, "max_record")),
            create: s.create_topic,
            grow: false,
        }];
        if matches!(self.how, How::Txn(_)) {
            let shards = (self.shard as i32 / PROGRESS_STEP + 1) * PROGRESS_STEP;
            wanted.push(Wanted {
                name: &self.progress,
                partitions: shards,
                replication: s.replication,
                config: vec![("cleanup.policy", "compact".into())],
                message: None,
                create: true,
                grow: true,
            });
        }
        let partitions = topics::ensure(&self.connection, &self.link, &wanted)?;
        // Rows without a key: a partition of the shard's own, so that their order is kept.
        self.target.partition = (self.shard % partitions[0].max(1) as u32) as i32;
        self.ready = true;
        Ok(())
    }

    fn say_oversized(&mut self, epoch: u64) {
        let n = self.render.take_oversized();
        if n > 0 {
            eprintln!(
                "{}: {n} records of epoch {epoch} were larger than max_record = {} and were replaced or cut",
                self.name, self.settings.max_record
            );
        }
    }

    /// Receipt of what is staged.
    fn receipt(&self) -> Receipt {
        let state = serde_json::json!({ "at": self.at });
        Receipt { rows: self.rows.count(), digest: self.rows.digest(), state, waiting: false }
    }
}

impl Sink for KafkaSink {
    fn own_commits(&mut self) -> Result<Option<Vec<Commit>>> {
        self.topics()?;
        let How::Txn(txn) = &mut self.how else { return Ok(None) };
        let marks = txn.fence(true)?;
        let marks = txn.take_over(&self.who, marks, true)?;
        if self.shard == 0 && marks.iter().any(|(_, m)| m.who.run != self.who.run) {
            eprintln!(
                "{}: warning: another run (with another data_dir) has written to `{}` before; its output is still there",
                self.name, self.settings.topic
            );
        }
        let mut commits: Vec<Commit> = marks.iter().filter_map(|(_, m)| m.commit(&self.who.run)).collect();
        if model::fault::broken("kafka_commit_twice") {
            commits.pop();
        }
        self.at = commits.last().map_or(0, |c| c.epoch);
        Ok(Some(commits))
    }

    fn recover(&mut self, last: Option<&Receipt>) -> Result<()> {
        self.topics()?;
        let told = last.and_then(|r| r.state.get("at")).and_then(|a| a.as_u64()).unwrap_or(0);
        if matches!(self.how, How::Plain(_)) {
            self.at = told;
        } else if told > self.at && !model::fault::broken("kafka_commit_twice") {
            return Err(format!(
                "{}: epoch {told} was committed, but the newest progress record in `{}`[{}] is of epoch {}: the topic \
                 was deleted, re-created or emptied. Nothing was written. Restore the topic, or start with a new \
                 data_dir and a new output topic",
                self.name, self.progress, self.shard, self.at
            )
            .into());
        }
        Ok(())
    }

    fn stage(&mut self, packet: &Packet) -> Result<()> {
        self.render.add(packet, &mut self.rows)
    }

    fn commit(&mut self, info: &EpochInfo) -> Result<Option<Receipt>> {
        if self.rows.count() == 0 {
            match &self.how {
                How::Txn(t) => t.idle(),
                How::Plain(p) => p.idle(),
            }
            return Ok(Some(self.receipt()));
        }
        self.say_oversized(info.epoch);
        self.topics()?;
        let digest = self.rows.digest();
        match &mut self.how {
            How::Txn(txn) => {
                let mark = Mark::rows(&self.who, info.epoch, self.rows.count(), digest);
                txn.commit(Some((&self.target, &self.rows)), &mark)?;
            }
            How::Plain(p) => p.write(&self.target, &self.rows, true)?,
        }
        self.at = info.epoch;
        let receipt = self.receipt();
        self.rows.clear();
        Ok(Some(receipt))
    }

    fn discard(&mut self, info: &EpochInfo) -> Result<Option<Receipt>> {
        if self.rows.count() > 0 && matches!(self.how, How::Plain(_)) {
            self.at = self.at.max(info.epoch);
        }
        self.render.take_oversized();
        let receipt = self.receipt();
        self.rows.clear();
        Ok(Some(receipt))
    }
}
