//! The `kafka` source, and its coordinator side: which offsets of which partitions an epoch holds.
//!
//! [`crate::discover`] keeps a picture of the topics; `poll` only reads it. A partition gets its number when it is
//! first seen, and an empty split at its first offset then puts both into the log: where reading started is decided
//! once, however often the engine starts before the first snapshot. A partition keeps its lane, so the worker that
//! reads ahead in it is the one that gets its splits.
use crate::discover::{Key, Seen, Shared, Watcher};
use crate::reader::{KafkaReader, place, place_name};
use crate::settings::{Config, Missing, Settings, Start, Topics, check};
use model::part::Opened;
use model::source::{Budget, Lag, Poll};
use model::{BuildCx, Built, Epoch, Files, Node, Part, Problem, Result, Source, Spec, Split};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// Bytes of one split, as far as the size of records is known: what a worker reads in one go.
const SPLIT: u64 = 1536 << 10;
/// Size of a record before any was read, bytes.
const FIRST_SIZE: u64 = 1024;
/// An end may lie before what was read for this long (a new leader may not know it yet), milliseconds.
const BEHIND_MS: i64 = 30_000;

/// `type = "kafka"` among the sources; see the module.
pub struct KafkaSourcePart;

impl Part for KafkaSourcePart {
    fn spec(&self) -> Spec {
        Spec::source("kafka", "Reads topics of a Kafka cluster, each record exactly once.")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        match Settings::deserialize(settings).map_err(|e| vec![Problem::at("", e.to_string())]).and_then(check) {
            Ok(config) => Opened::ok(KafkaNode(Arc::new(config))),
            Err(problems) => Opened::failed(problems),
        }
    }
}

struct KafkaNode(Arc<Config>);

impl Node for KafkaNode {
    fn summary(&self) -> String {
        let topics = match &self.0.topics {
            Topics::Named(names) => names.join(", "),
            Topics::Pattern(p) => {
                format!("topics like {}", p.as_str().trim_start_matches("^(?:").trim_end_matches(")$"))
            }
        };
        format!("{topics} at {}", self.0.connection.brokers)
    }
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let group = self.0.group.clone().unwrap_or_else(|| match &*cx.topology {
            "" => cx.id.to_string(),
            t => format!("{t}.{}", cx.id),
        });
        let source = KafkaSource::new(self.0.clone(), cx.id.clone(), group, cx.once);
        let (config, id) = (self.0.clone(), cx.id.clone());
        let readers =
            move || -> Result<Box<dyn model::Reader>> { Ok(Box::new(KafkaReader::new(config.clone(), id.clone()))) };
        Ok(Built::Source(Box::new(source), Box::new(readers)))
    }
}

/// A partition that has a number.
struct Partition {
    key: Key,
    name: Arc<str>,
    /// First offset that no split names.
    next: u64,
    /// Everything below is committed by every sink.
    finished: u64,
    /// The end has been lying before `next` since then (wall clock).
    behind: Option<i64>,
}

/// What a snapshot keeps.
#[derive(Serialize, Deserialize)]
struct State {
    next_number: u32,
    partitions: BTreeMap<u32, Saved>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    topic: Arc<str>,
    partition: i32,
    next: u64,
}

/// See the module.
pub(crate) struct KafkaSource {
    config: Arc<Config>,
    id: Arc<str>,
    group: String,
    once: bool,
    next_number: u32,
    parts: BTreeMap<u32, Partition>,
    numbers: BTreeMap<Key, u32>,
    /// Bytes of a record, as measured.
    size: u64,
    /// Partition whose turn it is to be first where the budget is short.
    turn: u32,
    /// No state and no log: the source has never run.
    fresh: bool,
    shared: Shared,
    watcher: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl KafkaSource {
    pub(crate) fn new(config: Arc<Config>, id: Arc<str>, group: String, once: bool) -> KafkaSource {
        KafkaSource {
            config,
            id,
            group,
            once,
            next_number: 0,
            parts: BTreeMap::new(),
            numbers: BTreeMap::new(),
            size: FIRST_SIZE,
            turn: 0,
            fresh: true,
            shared: Shared::default(),
            watcher: None,
        }
    }

    fn watch(&mut self) -> Result<()> {
        if self.watcher.is_none() {
            let (stop, stopped) = mpsc::channel();
            let w = Watcher::new(self.config.clone(), &self.id, &self.group, self.once, self.shared.clone())
                .map_err(|e| format!("source `{}`: cannot make a client: {e}; see `options`, `security`", self.id))?;
            let thread =
                std::thread::Builder::new().name(format!("watch {}", self.id)).spawn(move || w.run(stopped))?;
            self.watcher = Some((stop, thread));
        }
        Ok(())
    }

    fn add(&mut self, number: u32, key: Key, next: u64) {
        let name = place_name(&key.0, key.1);
        self.next_number = self.next_number.max(number + 1);
        self.numbers.insert(key.clone(), number);
        self.parts.insert(number, Partition { key, name, next, finished: next, behind: None });
    }

    fn split(&self, number: u32, from: u64, to: u64) -> Split {
        let name = self.parts[&number].name.clone();
        let detail = serde_json::Value::Null;
        Split { source: self.id.clone(), partition: number, name, from, to, detail, lane: number }
    }

    /// Number the partitions that are new in the picture, and log where they start.
    fn adopt(&mut self, splits: &mut Vec<Split>) -> Result<()> {
        let picture = self.shared.clone();
        let picture = picture.lock();
        if !picture.complete {
            return Ok(()); // all of them at once, so that their numbers follow their names
        }
        let new: Vec<&Key> = picture.parts.keys().filter(|k| !self.numbers.contains_key(*k)).collect();
        for key in new {
            let start = self.start(key, &picture.parts[key])?;
            let number = self.next_number;
            self.add(number, key.clone(), start);
            splits.push(self.split(number, start, start));
        }
        if self.fresh
            && let Some(((t, p), _)) = self
                .config
                .start_offsets
                .iter()
                .find(|((t, p), _)| !picture.parts.contains_key(&(t.as_str().into(), *p)))
        {
            return Err(
                self.problem(format!("start_offsets names {t}:{p}, but there is no such partition; correct it"))
            );
        }
        self.fresh = false;
        Ok(())
    }

    /// First offset of a partition that was never read.
    fn start(&self, key: &Key, seen: &Seen) -> Result<u64> {
        if !self.fresh {
            return Ok(seen.low);
        }
        if let Some(n) = self.config.start_offsets.get(&(key.0.to_string(), key.1)) {
            return match *n {
                n if n > seen.end => Err(self.problem(format!(
                    "start_offsets names offset {n} of {}:{}, which ends at {}; correct it",
                    key.0, key.1, seen.end
                ))),
                n => Ok(n),
            };
        }
        Ok(match self.config.start {
            Start::Earliest => seen.low,
            Start::Latest => seen.end,
            Start::Timestamp(_) => seen.by_time.unwrap_or(seen.end),
        })
    }

    fn problem(&self, what: String) -> model::Error {
        format!("source `{}`: {what}", self.id).into()
    }

    /// Up to where each partition can be read now: `(number, end)`. Finds what can never be read.
    fn ends(&mut self, now_ms: i64, splits: &mut Vec<Split>) -> Result<Vec<(u32, u64)>> {
        let picture = self.shared.clone();
        let picture = picture.lock();
        let mut out = Vec::new();
        let numbers: Vec<u32> = self.parts.keys().copied().collect();
        for number in numbers {
            let part = &self.parts[&number];
            let Some(seen) = picture.parts.get(&part.key) else { continue };
            let (name, next) = (part.name.clone(), part.next);
            if next < seen.low {
                if self.config.missing == Missing::Stop {
                    return Err(self.problem(format!(
                        "offset {next} of {name} is no longer there; the first that is left is {}: the retention of \
                         the topic deleted {} offsets before they were read; set missing = \"skip\" to go on without \
                         them, and a longer retention",
                        seen.low,
                        seen.low - next
                    )));
                }
                eprintln!(
                    "source `{}`: offsets {next} to {} of {name} are lost; going on behind them",
                    self.id, seen.low
                );
                let detail = serde_json::json!({"lost": true});
                splits.push(Split { detail, ..self.split(number, next, seen.low) });
            }
            let Some(part) = self.parts.get_mut(&number) else { continue };
            part.next = part.next.max(seen.low);
            part.behind = (seen.end < part.next).then(|| part.behind.unwrap_or(now_ms));
            if part.behind.is_some_and(|since| now_ms - since > BEHIND_MS) {
                let (end, next) = (seen.end, part.next);
                return Err(self.problem(format!(
                    "{name} ends at offset {end}, but everything up to {next} was read: the topic was made anew, or a \
                     broker lost records; bring them back, or start over with a new data_dir"
                )));
            }
            out.push((number, if self.once { seen.first_end } else { seen.end }));
        }
        Ok(out)
    }

    /// Share `records` among partitions: who has little gives the rest to the others.
    fn share(&self, ends: &[(u32, u64)], mut records: u64) -> Vec<(u32, u64)> {
        let waiting = |&(n, end): &(u32, u64)| Some((n, end.checked_sub(self.parts[&n].next).filter(|k| *k > 0)?));
        let mut left: Vec<(u32, u64)> = ends.iter().filter_map(waiting).collect();
        left.sort_by_key(|&(n, k)| (k, n.wrapping_sub(self.turn)));
        let mut out = Vec::with_capacity(left.len());
        for (i, (n, k)) in left.iter().enumerate() {
            let take = (*k).min(records.div_ceil((left.len() - i) as u64));
            if take > 0 {
                out.push((*n, take));
                records -= take;
            }
        }
        out.sort_unstable();
        out
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, budget: Budget) -> Result<Poll> {
        self.watch()?;
        let mut out = Poll::default();
        if let Some(problem) = &self.shared.lock().problem {
            return Err(problem.as_str().into());
        }
        self.adopt(&mut out.splits)?;
        let ends = self.ends(budget.now_ms, &mut out.splits)?;
        let per_split = (SPLIT / self.size).max(1);
        for (number, records) in self.share(&ends, (budget.bytes / self.size).max(1)) {
            let Some(part) = self.parts.get_mut(&number) else { continue };
            let (mut from, to) = (part.next, part.next + records);
            part.next = to;
            while from < to {
                let end = to.min(from + per_split);
                out.splits.push(self.split(number, from, end));
                from = end;
            }
            out.bytes += records * self.size;
            self.turn = number + 1;
        }
        let complete = self.shared.lock().complete;
        out.exhausted = complete && ends.iter().all(|(n, end)| self.parts[n].next >= *end);
        Ok(out)
    }

    fn snapshot(&self) -> Vec<u8> {
        let saved = |p: &Partition| Saved { topic: p.key.0.clone(), partition: p.key.1, next: p.next };
        let partitions = self.parts.iter().map(|(n, p)| (*n, saved(p))).collect();
        serde_json::to_vec(&State { next_number: self.next_number, partitions }).unwrap_or_default()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let s: State = serde_json::from_slice(state).map_err(|e| format!("state of source {}: {e}", self.id))?;
        (self.parts, self.numbers, self.next_number) = (BTreeMap::new(), BTreeMap::new(), s.next_number);
        self.fresh = s.partitions.is_empty();
        for (number, p) in s.partitions {
            self.add(number, (p.topic, p.partition), p.next);
        }
        Ok(())
    }

    fn replayed(&mut self, split: &Split) -> Result<()> {
        self.fresh = false;
        if !self.parts.contains_key(&split.partition) {
            let key = place(&split.name).ok_or_else(|| format!("`{}` is not a topic[partition]", split.name))?;
            self.add(split.partition, key, split.from);
        }
        if let Some(p) = self.parts.get_mut(&split.partition) {
            p.next = p.next.max(split.to);
        }
        Ok(())
    }

    fn finished(&mut self, splits: &[&Split], bytes: u64) -> Result<()> {
        let mut picture = self.shared.lock();
        let mut records = 0;
        for split in splits {
            records += split.to - split.from;
            let Some(p) = self.parts.get_mut(&split.partition) else { continue };
            if split.to > p.finished || split.from == split.to {
                p.finished = p.finished.max(split.to);
                picture.untold.insert(p.key.clone(), p.finished);
            }
        }
        if records > 0 && bytes > 0 {
            self.size = (self.size * 3 + bytes.div_ceil(records)).div_ceil(4).clamp(16, self.config.max_record as u64);
        }
        Ok(())
    }

    fn committed(&mut self, _epoch: Epoch) -> Result<()> {
        let mut picture = self.shared.lock();
        // Once more, in case the group was lost or an earlier commit failed.
        for p in self.parts.values() {
            picture.untold.insert(p.key.clone(), p.finished);
        }
        Ok(())
    }

    fn lag(&self, now_ms: i64) -> Vec<Lag> {
        let mut picture = self.shared.lock();
        let mut of = |p: &Partition| {
            let seen = picture.parts.get_mut(&p.key)?;
            let ms = seen.passed(p.finished).map_or(0, |at| (now_ms - at).max(0) as u64);
            Some(Lag { name: p.name.clone(), records: seen.end.saturating_sub(p.finished), ms })
        };
        self.parts.values().filter_map(&mut of).collect()
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.watcher.take() {
            drop(stop);
            // It tells the group the last offsets; a panic in it has ended the process already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
