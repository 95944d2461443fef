//! Coordinator side: decides which announced objects enter which epoch, and when their messages are deleted.
//!
//! A partition is a queue; an object is one split, and its offset the number of objects that were taken from that
//! queue before it. A message waits for all objects it named; it is deleted when every sink has committed the last of
//! them. What was taken lately is remembered in the snapshot, so an object that is announced again is taken once: its
//! message waits for the same object, or is deleted if that is finished.
use super::Config;
use super::clients::Clients;
use super::detail::Detail;
use super::memory::{Id, Memory};
use super::queue::{Arrived, Line};
use model::source::{Budget, Lag, Poll};
use model::{Result, Source, Split};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Objects of one poll at most, so that an epoch's record stays small; a message is taken whole.
const SPLITS_MAX: usize = 500;

/// What an object counts for at least in an epoch's budget of bytes: many small ones make a long record too.
pub(crate) const SPLIT_COST: u64 = 64 << 10;

/// A queue, for ever under its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Queue {
    url: Arc<str>,
    /// Offset of its next object.
    next: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    queues: Vec<Queue>,
}

/// See the module.
pub(crate) struct ObjectSource {
    id: Arc<str>,
    config: Arc<Config>,
    clients: Arc<Clients>,
    once: bool,
    /// By partition number.
    queues: Vec<Queue>,
    memory: Memory,
    /// What is in logged epochs that not every sink has committed, and the messages that wait for it.
    open: BTreeMap<Id, BTreeSet<Arc<str>>>,
    /// What a message waits for, and the number of its queue.
    waits: BTreeMap<Arc<str>, (usize, BTreeSet<Id>)>,
    /// By partition number; started with the first poll. A queue that is no longer in the settings has none.
    lines: Option<Vec<Option<Line>>>,
    /// Queues take turns: where the next poll starts.
    turn: usize,
}

impl ObjectSource {
    pub(crate) fn new(id: Arc<str>, config: Arc<Config>, clients: Arc<Clients>, once: bool) -> ObjectSource {
        ObjectSource {
            id,
            config,
            clients,
            once,
            queues: Vec::new(),
            memory: Memory::default(),
            open: BTreeMap::new(),
            waits: BTreeMap::new(),
            lines: None,
            turn: 0,
        }
    }

    fn start(&mut self) {
        for url in &self.config.queues {
            if !self.queues.iter().any(|q| *q.url == **url) {
                self.queues.push(Queue { url: url.as_str().into(), next: 0 });
            }
        }
        let line = |q: &Queue| {
            let wanted = self.config.queues.iter().any(|u| **u == *q.url);
            wanted.then(|| Line::start(&self.id, &q.url, &self.config, &self.clients, self.once))
        };
        self.lines = Some(self.queues.iter().map(line).collect());
    }

    fn line(&mut self, queue: usize) -> Option<&mut Line> {
        self.lines.as_mut()?.get_mut(queue)?.as_mut()
    }

    /// Take everything a message named.
    fn take(&mut self, queue: usize, arrived: Arrived, now_ms: i64, out: &mut Poll) -> Result<()> {
        let mut waits = BTreeSet::new();
        for mut d in arrived.items {
            let id = d.id();
            let known = self.memory.knows(id);
            self.memory.add(id, now_ms);
            if known {
                if let Some(messages) = self.open.get_mut(&id) {
                    messages.insert(arrived.message.clone());
                    waits.insert(id);
                }
                continue;
            }
            self.open.entry(id).or_default().insert(arrived.message.clone());
            waits.insert(id);
            d.at = now_ms;
            let q = self.queues.get_mut(queue).ok_or("a message of no queue")?;
            out.bytes += d.size.max(SPLIT_COST);
            out.splits.push(Split {
                source: self.id.clone(),
                partition: queue as u32,
                name: q.url.clone(),
                from: q.next,
                to: q.next + 1,
                detail: serde_json::to_value(d)?,
                lane: Split::ANY_LANE,
            });
            q.next += 1;
        }
        let message = &arrived.message;
        if let Some(line) = self.line(queue) {
            if waits.is_empty() { line.desk().done(message) } else { line.desk().logged(message) }
        }
        if !waits.is_empty() {
            self.waits.entry(message.clone()).or_insert((queue, BTreeSet::new())).1.extend(waits);
        }
        Ok(())
    }
}

impl Source for ObjectSource {
    fn poll(&mut self, budget: Budget) -> Result<Poll> {
        if self.lines.is_none() {
            self.start();
        }
        self.memory.expire(budget.now_ms - self.config.remember_ms);
        let mut out = Poll::default();
        // Asked before the lines are emptied: what comes in between is for the next poll.
        let idle = self.lines.iter().flatten().flatten().all(|l| l.is_idle());
        let (n, mut empty) = (self.queues.len(), 0);
        while empty < n && out.bytes < budget.bytes && out.splits.len() < SPLITS_MAX {
            let queue = self.turn % n;
            self.turn = (queue + 1) % n;
            match self.line(queue).map_or(Ok(None), Line::next)? {
                Some(arrived) => {
                    empty = 0;
                    self.take(queue, arrived, budget.now_ms, &mut out)?;
                }
                None => empty += 1,
            }
        }
        out.exhausted = idle && out.splits.is_empty();
        Ok(out)
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = serde_json::to_vec(&State { queues: self.queues.clone() }).unwrap_or_default();
        out.push(b'\n');
        self.memory.write(&mut out);
        out
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let bad = |why: String| format!("state of source {}: {why}", self.id);
        let end = state.iter().position(|b| *b == b'\n').ok_or_else(|| bad("it is cut short".into()))?;
        let s: State = serde_json::from_slice(&state[..end]).map_err(|e| bad(e.to_string()))?;
        self.memory = Memory::read(&state[end + 1..]).ok_or_else(|| bad("it is cut short".into()))?;
        self.queues = s.queues;
        Ok(())
    }

    fn replayed(&mut self, split: &Split) -> Result<()> {
        let d = Detail::of(split)?;
        let queue = split.partition as usize;
        while self.queues.len() <= queue {
            self.queues.push(Queue { url: split.name.clone(), next: 0 });
        }
        self.queues[queue] = Queue { url: split.name.clone(), next: split.to };
        self.memory.add(d.id(), d.at);
        // Its message is not known here: it comes again, and finds this.
        self.open.entry(d.id()).or_default();
        Ok(())
    }

    fn finished(&mut self, splits: &[&Split], _bytes: u64) -> Result<()> {
        for split in splits {
            let id = Detail::of(split)?.id();
            for message in self.open.remove(&id).unwrap_or_default() {
                let Some((queue, left)) = self.waits.get_mut(&message) else { continue };
                left.remove(&id);
                let (queue, whole) = (*queue, left.is_empty());
                if whole {
                    self.waits.remove(&message);
                    if let Some(line) = self.line(queue) {
                        line.desk().done(&message);
                    }
                }
            }
        }
        Ok(())
    }

    fn lag(&self, now_ms: i64) -> Vec<Lag> {
        let lines = self.lines.iter().flatten();
        let lag = |(q, line): (&Queue, &Option<Line>)| {
            let (records, oldest) = line.as_ref()?.lag();
            let ms = oldest.map_or(0, |t| (now_ms - t).max(0) as u64);
            Some(Lag { name: q.url.clone(), records, ms })
        };
        self.queues.iter().zip(lines).filter_map(lag).collect()
    }
}
