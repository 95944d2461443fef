//! Epoch log and commit records in two topics, for a cluster whose processes share no disk.
//!
//! `<prefix>.epochs` is written by the coordinator alone, one transaction per record, under one transactional id: an
//! older coordinator is fenced the moment a newer one begins. `<prefix>.commits` holds the commit records of sinks that
//! do not keep their own; a new incarnation writes its number there before it reads, and readers pass over what an
//! older one writes after it. Both have one partition, keep their records until they are trimmed, and are read up to
//! the high watermark.
use crate::client::{Connection, Link};
use crate::mark::{Mark, Who};
use crate::plain::Plain;
use crate::produce::{Compression, Target};
use crate::rows::Rows;
use crate::sink::timeout_problem;
use crate::tail::{From, Tail, owned};
use crate::topics::{self, Admin, Wanted, persist};
use crate::txn::{Txn, Writer};
use model::part::{Kind, Opened, Sharding};
use model::store::{Commit, Log};
use model::units::Dur;
use model::{BuildCx, Built, Epoch, EpochRecord, Files, Node, Part, Problem, Result, Spec, fault};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// `type = "kafka"` in `[log]`; see the module.
pub struct KafkaLogPart;

/// Settings of a `kafka` log.
#[derive(Clone, Deserialize, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Settings {
    #[serde(flatten)]
    connection: Connection,
    /// Beginning of the names of its topics, `<prefix>.epochs` and `<prefix>.commits`. Default:
    /// `_millstream.<name of the topology>`.
    prefix: Option<String>,
    /// Replicas of these topics when they are made. Default: 3, or as many as there are brokers.
    replication: Option<i32>,
    /// Age at which the brokers end a transaction by themselves.
    #[serde(default = "transaction_timeout")]
    transaction_timeout: Dur,
}

fn transaction_timeout() -> Dur {
    Dur(30_000)
}

/// Largest record of either topic, bytes: an epoch names its splits, of which there may be many.
const MAX_RECORD: usize = 16 << 20;

impl Part for KafkaLogPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Log,
            name: "kafka",
            doc: "Keeps epoch log and commit records in two Kafka topics, so that the processes of a cluster need no common disk.",
            inputs: &[],
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
        let mut problems = s.connection.problems();
        if let Some(p) = s.prefix.as_deref().and_then(|p| topics::name_problem(&format!("{p}.commits"))) {
            problems.push(Problem::at("prefix", p));
        }
        if s.replication.is_some_and(|r| !(1..=100).contains(&r)) {
            problems.push(Problem::at("replication", "between 1 and 100"));
        }
        problems.extend(timeout_problem(s.transaction_timeout));
        if problems.is_empty() { Opened::ok(KafkaLogNode(s)) } else { Opened::failed(problems) }
    }
}

struct KafkaLogNode(Settings);

impl Node for KafkaLogNode {
    fn summary(&self) -> String {
        self.0.prefix.as_ref().map(|p| format!("topics {p}.*")).unwrap_or_default()
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let prefix = self.0.prefix.clone().unwrap_or_else(|| default_prefix(&cx.topology));
        if let Some(p) = topics::name_problem(&format!("{prefix}.commits")) {
            return Err(format!("the name of the topology makes that of a topic: {p}").into());
        }
        Ok(Built::Log(Box::new(KafkaLog::new(&self.0, &prefix))))
    }
}

/// Beginning of the names of a log's topics where none is set.
pub(crate) fn default_prefix(topology: &str) -> String {
    format!("_millstream.{topology}")
}

/// Transactional id of the coordinator of a log.
pub(crate) fn coordinator_id(prefix: &str) -> String {
    format!("{prefix}.coordinator")
}

struct KafkaLog {
    connection: Arc<Connection>,
    link: Link,
    replication: Option<i32>,
    timeout: Duration,
    epochs: String,
    commits: String,
    owner: u64,
    state: Mutex<State>,
    /// Newest epoch appended or read. Never held while brokers are asked, so that workers can read while the coordinator
    /// appends.
    last: Mutex<Option<Epoch>>,
    /// Commit records as [`Log::shards`] read them: each is handed out once without reading again, because recovery
    /// asks for one shard after the other.
    picture: Mutex<Picture>,
    plain: Plain,
    /// Trimming at work.
    trimming: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    txn: Txn,
    /// Generation 0 until it has begun or joined.
    who: Who,
}

type Picture = BTreeMap<(String, u32), Vec<Commit>>;

/// A record of the commits topic: a commit of a shard, or the beginning of an incarnation.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Commit {
        sink: String,
        shard: u32,
        commit: Commit,
    },
    /// `last`: the newest epoch of the log at that moment; no older incarnation can commit a later one.
    Begin {
        generation: u64,
        last: Epoch,
    },
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KafkaLog {
    fn new(s: &Settings, prefix: &str) -> KafkaLog {
        let connection = Arc::new(s.connection.clone());
        let link = connection.link(&format!("log `{prefix}`"));
        let timeout = Duration::from_millis(s.transaction_timeout.0);
        // Two coordinators that begin at the same moment may read the same number; this tells them apart. Not a part
        // of any result.
        let owner = random();
        let (epochs, commits) = (format!("{prefix}.epochs"), format!("{prefix}.commits"));
        let txn = Txn::new(Writer {
            connection: connection.clone(),
            link: link.clone(),
            id: coordinator_id(prefix),
            marks: epochs.clone(),
            partition: 0,
            key: "epoch".into(),
            who: Who { owner, ..Who::default() },
            timeout,
            compression: Compression::Zstd,
            max_message: MAX_RECORD,
            crash_points: false,
            #[cfg(test)]
            trip: None,
        });
        let plain = Plain::new(connection.clone(), link.clone(), Compression::Zstd, MAX_RECORD);
        let state = Mutex::new(State { txn, who: Who::default() });
        let last = Mutex::new(None);
        let trimming = Mutex::new(None);
        KafkaLog {
            connection,
            link,
            replication: s.replication,
            timeout,
            epochs,
            commits,
            owner,
            state,
            last,
            picture: Mutex::default(),
            plain,
            trimming,
        }
    }

    fn make_topics(&self) -> Result<()> {
        let config = || {
            vec![
                ("cleanup.policy", "delete".to_string()),
                ("retention.ms", "-1".to_string()),
                ("retention.bytes", "-1".to_string()),
                ("max.message.bytes", MAX_RECORD.to_string()),
            ]
        };
        let wanted = [&self.epochs, &self.commits].map(|name| Wanted {
            name,
            partitions: 1,
            replication: self.replication,
            config: config(),
            message: Some((MAX_RECORD, "the log")),
            create: true,
            grow: false,
        });
        topics::ensure(&self.connection, &self.link, &wanted).map(drop)
    }

    fn tail<'a>(&'a self, topic: &'a str) -> Tail<'a> {
        Tail::new(&self.connection, &self.link, topic, 0, 2 * self.timeout)
    }

    /// Every visible record of a topic, up to the high watermark of now.
    fn read(&self, topic: &str) -> Result<Vec<(i64, Vec<u8>)>> {
        let tail = self.tail(topic);
        persist(&self.link, &format!("read {topic}"), || {
            let (_, high) = tail.watermarks()?;
            let mut found = Vec::new();
            tail.read(From::Start, Some(high), |m| {
                let (offset, _, value) = owned(m);
                found.push((offset, value));
                true
            })?;
            Ok(found)
        })
    }

    /// Epoch records in order, each checked against its hash and its predecessor.
    fn records(&self, after: Epoch) -> Result<Vec<EpochRecord>> {
        let (mut out, mut before): (Vec<EpochRecord>, Option<(Epoch, u64)>) = (Vec::new(), None);
        for (offset, value) in self.read(&self.epochs)? {
            let at = || format!("{}[0] offset {offset}", self.epochs);
            let m = Mark::read(&value, at)?;
            let Some(epoch) = m.epoch else { continue };
            let text = m.record.as_ref().ok_or_else(|| format!("{} is damaged: its record is missing", at()))?;
            let record: EpochRecord =
                serde_json::from_str(text.get()).map_err(|e| format!("{} is damaged: {e}", at()))?;
            if record.epoch != epoch {
                return Err(format!("{} is damaged: it is of epoch {epoch} and of {}", at(), record.epoch).into());
            }
            if let Some((e, g)) = before
                && (epoch != e + 1 || m.who.generation < g)
            {
                return Err(format!(
                    "{}: epoch {epoch} of generation {} cannot follow epoch {e} of generation {g}; the log was altered, \
                     restore the topic",
                    at(),
                    m.who.generation
                )
                .into());
            }
            before = Some((epoch, m.who.generation));
            if epoch > after {
                out.push(record);
            }
        }
        // A worker may read while the coordinator appends: what is known already stays known.
        let mut last = lock(&self.last);
        *last = (*last).max(before.map(|(e, _)| e));
        Ok(out)
    }

    fn read_commits(&self) -> Result<Picture> {
        let mut out = Picture::new();
        let mut generation = 0;
        for (offset, value) in self.read(&self.commits)? {
            let line: Line = serde_json::from_slice(&value)
                .map_err(|e| format!("{}[0] offset {offset} is damaged: {e}", self.commits))?;
            match line {
                Line::Begin { generation: g, .. } => generation = generation.max(g),
                // Written by an incarnation that had been replaced.
                Line::Commit { commit, .. } if commit.generation < generation => {}
                Line::Commit { sink, shard, commit } => {
                    let commits = out.entry((sink, shard)).or_default();
                    // A late copy of an older record takes nothing away.
                    if commits.last().is_some_and(|c| c.epoch > commit.epoch && c.generation >= commit.generation) {
                        continue;
                    }
                    // A record that was produced again after an unknown outcome, or again by a later incarnation.
                    while commits.last().is_some_and(|c: &Commit| c.epoch >= commit.epoch) {
                        commits.pop();
                    }
                    commits.push(commit);
                }
            }
        }
        Ok(out)
    }

    fn write(&self, key: String, line: &Line, wait: bool) -> Result<()> {
        let mut rows = Rows::default();
        rows.push(Some(key.as_bytes()), &serde_json::to_vec(line)?, &[]);
        self.plain.write(&Target { topic: self.commits.clone(), partition: 0 }, &rows, wait)
    }
}

impl Log for KafkaLog {
    fn begin(&self) -> Result<u64> {
        self.make_topics()?;
        let mut s = lock(&self.state);
        let marks = s.txn.fence(false)?;
        let generation = marks.iter().map(|(_, m)| m.who.generation).max().unwrap_or(0) + 1;
        let run =
            marks.last().map_or_else(|| format!("{:016x}{:016x}", random(), random()), |(_, m)| m.who.run.clone());
        let who = Who { run, generation, owner: self.owner };
        let marks = s.txn.take_over(&who, marks, false)?;
        s.who = who;
        let newest = marks.iter().filter_map(|(_, m)| m.epoch).max();
        *lock(&self.last) = newest;
        let last = newest.unwrap_or(0);
        drop(s);
        lock(&self.picture).clear();
        self.write("begin".into(), &Line::Begin { generation, last }, true)?;
        Ok(generation)
    }

    fn join(&self, generation: u64) -> Result<()> {
        let mut s = lock(&self.state);
        let marks = s.txn.look()?;
        let (_, newest) = marks.last().ok_or_else(|| format!("the log {} is empty: nobody has begun", self.epochs))?;
        if newest.who.generation != generation {
            return Err(format!(
                "the log {} is at generation {}, not at {generation}: another coordinator has begun",
                self.epochs, newest.who.generation
            )
            .into());
        }
        s.who = newest.who.clone();
        Ok(())
    }

    fn identity(&self) -> Result<String> {
        let run = lock(&self.state).who.run.clone();
        if run.is_empty() { Err(format!("the log {} has not begun", self.epochs).into()) } else { Ok(run) }
    }

    fn confirm(&self) -> Result<()> {
        let mut s = lock(&self.state);
        if s.who.generation == 0 || s.who.owner != self.owner {
            return Err(format!("{}: only its coordinator may confirm", self.epochs).into());
        }
        let mark = Mark::takeover(&s.who);
        s.txn.commit(None, &mark)
    }

    fn append_epoch(&self, record: &EpochRecord) -> Result<()> {
        let text = RawValue::from_string(serde_json::to_string(record)?)?;
        let mut s = lock(&self.state);
        let last = *lock(&self.last);
        if let Some(last) = last
            && record.epoch != last + 1
        {
            return Err(format!("{}: epoch {} cannot follow epoch {last}", self.epochs, record.epoch).into());
        }
        if (s.who.generation, s.who.owner) != (record.generation, self.owner) {
            return Err(format!(
                "{}: epoch {} of generation {} may be appended by its coordinator only",
                self.epochs, record.epoch, record.generation
            )
            .into());
        }
        let mark = Mark::record(&s.who, record.epoch, text);
        fault::crash_point("epoch.before_append");
        s.txn.commit(None, &mark)?;
        *lock(&self.last) = Some(record.epoch);
        fault::crash_point("epoch.after_append");
        Ok(())
    }

    fn epochs_after(&self, epoch: Epoch) -> Result<Vec<EpochRecord>> {
        self.records(epoch)
    }

    fn append_commit(&self, sink: &str, shard: u32, commit: &Commit, sync: bool) -> Result<()> {
        lock(&self.picture).clear();
        let line = Line::Commit { sink: sink.into(), shard, commit: commit.clone() };
        self.write(format!("{sink}/{shard}"), &line, sync)
    }

    fn commits(&self, sink: &str, shard: u32) -> Result<Vec<Commit>> {
        let key = (sink.to_string(), shard);
        if let Some(commits) = lock(&self.picture).remove(&key) {
            return Ok(commits);
        }
        Ok(self.read_commits()?.remove(&key).unwrap_or_default())
    }

    fn shards(&self) -> Result<Vec<(String, u32)>> {
        let all = self.read_commits()?;
        let shards = all.keys().cloned().collect();
        *lock(&self.picture) = all;
        Ok(shards)
    }

    fn forget(&self, epoch: Epoch) -> Result<()> {
        let mut trimming = lock(&self.trimming);
        match trimming.take() {
            // The next one trims further; what stays is ignored.
            Some(t) if !t.is_finished() => *trimming = Some(t),
            _ => {
                let t = Trim {
                    connection: self.connection.clone(),
                    link: self.link.clone(),
                    topics: [self.epochs.clone(), self.commits.clone()],
                    timeout: self.timeout,
                };
                *trimming = Some(std::thread::Builder::new().name("trim".into()).spawn(move || t.run(epoch))?);
            }
        }
        Ok(())
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        if let Some(t) = lock(&self.trimming).take() {
            // It is bounded by its timeouts, and has nothing left to say if it panicked.
            let _ = t.join();
        }
    }
}

/// Forgets old records, on a thread of its own: no epoch waits for it.
struct Trim {
    connection: Arc<Connection>,
    link: Link,
    topics: [String; 2],
    timeout: Duration,
}

impl Trim {
    fn run(&self, epoch: Epoch) {
        if let Err(e) = self.delete(epoch) {
            eprintln!("log: old records stay for now: {e}");
        }
    }

    fn delete(&self, epoch: Epoch) -> Result<(), String> {
        let mut below = Vec::new();
        for (topic, epoch_of) in self.topics.iter().zip([epoch_of_mark as fn(&[u8]) -> _, epoch_of_line]) {
            if let Some(offset) = self.first_needed(topic, epoch, epoch_of).map_err(|f| f.why().to_string())? {
                below.push((topic.as_str(), 0, offset));
            }
        }
        if below.is_empty() {
            return Ok(());
        }
        let admin = Admin::new(&self.connection, &self.link).map_err(|e| e.to_string())?;
        fault::crash_point("trim.mid");
        admin.delete_below(&below).map_err(|f| f.why().to_string())
    }

    /// Offset of the first record after `epoch`, or of the last record: its generation must not be forgotten.
    fn first_needed(
        &self,
        topic: &str,
        epoch: Epoch,
        epoch_of: fn(&[u8]) -> Option<Epoch>,
    ) -> Result<Option<i64>, crate::fail::Fail> {
        let t = Tail::new(&self.connection, &self.link, topic, 0, self.timeout);
        let (mut first, mut last) = (None, None);
        let bounds = t.read(From::Start, None, |m| {
            let (offset, _, value) = owned(m);
            last = Some(offset);
            if epoch_of(&value).is_some_and(|e| e > epoch) {
                first = Some(offset);
            }
            first.is_none()
        })?;
        Ok(first.or(last).filter(|o| *o > bounds.low))
    }
}

/// Not a part of any result: it only tells apart what would otherwise have the same name.
pub(crate) fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish().max(1)
}

fn epoch_of_mark(value: &[u8]) -> Option<Epoch> {
    serde_json::from_slice::<Mark>(value).ok()?.epoch
}

fn epoch_of_line(value: &[u8]) -> Option<Epoch> {
    match serde_json::from_slice(value).ok()? {
        Line::Commit { commit, .. } => Some(commit.epoch),
        // It stays as long as a record could come after it that it forbids.
        Line::Begin { last, .. } => Some(last),
    }
}
