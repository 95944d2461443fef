//! What the brokers hold: partitions, transactional ids with their epochs, and requests that are still on their way.
//!
//! As in Kafka before KIP-890: all transactions of a producer between two initialisations have one epoch, so a late
//! request to end one transaction ends whichever of that epoch is open when it arrives.
use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Of a transaction that is not decided.
    Open,
    /// Visible.
    Done,
    /// Of a transaction that was ended without effect.
    Aborted,
    /// Says how a transaction ended: an offset that no reader sees.
    Control,
    /// Compacted away.
    Gone,
}

/// A record in a partition.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Vec<u8>,
    /// Who wrote it.
    pub id: String,
    /// See [`Fate`].
    pub fate: Fate,
}

/// A partition; offsets count from 0, those below `low` are deleted.
#[derive(Debug, Default)]
pub struct Partition {
    /// First offset that is not deleted.
    pub low: usize,
    /// Every record there ever was.
    pub records: Vec<Stored>,
}

/// A row to produce.
pub type Row = (Option<Vec<u8>>, Vec<u8>);

/// What a client asks of the brokers.
#[derive(Clone, Debug)]
pub enum Request {
    /// Fence earlier producers of this id and end their transaction.
    Init { id: String, incarnation: usize },
    /// Append rows; `seq` numbers the requests of a producer to a partition.
    Produce { id: String, epoch: u64, seq: u64, topic: String, partition: usize, rows: Vec<Row>, txn: bool },
    /// End the open transaction.
    End { id: String, epoch: u64, commit: bool },
}

/// Why the brokers refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A newer producer has the id.
    Fenced,
    /// A request of this producer is missing before this one.
    OutOfOrder,
    /// The last transaction ended the other way.
    Ended,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u64,
    incarnation: usize,
    open: BTreeSet<(String, usize)>,
    /// How the last transaction ended.
    committed: Option<bool>,
    seqs: BTreeMap<(String, usize), u64>,
}

/// The cluster.
#[derive(Debug, Default)]
pub struct Brokers {
    topics: BTreeMap<String, Vec<Partition>>,
    /// Topics of which the brokers keep the newest record of every key.
    compacted: BTreeSet<String>,
    producers: BTreeMap<String, Producer>,
    /// Requests that arrive when so many turns have passed.
    wire: Vec<(u64, Request)>,
    /// Producers without a transactional id so far.
    pub plain: u64,
}

/// How the brokers are broken on purpose.
#[derive(Clone, Copy, Default)]
pub struct Broken {
    /// Initialising ends the open transaction, but does not fence.
    pub no_fence: bool,
    /// A client that initialises again goes on with the epoch it had.
    pub keep_producer: bool,
}

impl Brokers {
    /// Make a topic, or add partitions. Returns how many it has.
    pub fn ensure(&mut self, topic: &str, partitions: usize, grow: bool, compacted: bool) -> usize {
        if compacted {
            self.compacted.insert(topic.into());
        }
        let t = self.topics.entry(topic.into()).or_default();
        if t.is_empty() || grow {
            while t.len() < partitions {
                t.push(Partition::default());
            }
        }
        t.len()
    }
    /// Partitions of a topic.
    pub fn topic(&self, topic: &str) -> &[Partition] {
        self.topics.get(topic).map(Vec::as_slice).unwrap_or_default()
    }
    /// Put a request on the wire.
    pub fn send_later(&mut self, at: u64, request: Request) {
        self.wire.push((at, request));
    }
    /// Requests whose time has come arrive. Returns how many changed something they no longer should have a say in.
    pub fn arrive(&mut self, turns: u64, broken: Broken) -> usize {
        let mut n = 0;
        while let Some(i) = (0..self.wire.len()).filter(|i| self.wire[*i].0 <= turns).min_by_key(|i| self.wire[*i].0) {
            let (_, request) = self.wire.remove(i);
            n += 1;
            let _ = self.take(request, broken);
        }
        n
    }
    /// Carry out a request. `Ok` holds the producer's epoch.
    pub fn take(&mut self, request: Request, broken: Broken) -> Result<u64, Refusal> {
        match request {
            Request::Init { id, incarnation } => {
                let p = self.producers.entry(id.clone()).or_default();
                let known = p.epoch > 0;
                let same = known && broken.keep_producer && p.incarnation == incarnation;
                p.incarnation = incarnation;
                p.seqs.clear();
                if !(same || known && broken.no_fence) {
                    p.epoch += 1;
                }
                self.end(&id, false);
                self.producers.entry(id.clone()).and_modify(|p| p.committed = None);
                Ok(self.producers[&id].epoch)
            }
            Request::Produce { id, epoch, seq, topic, partition, rows, txn } => {
                let p = self.producers.entry(id.clone()).or_default();
                if epoch < p.epoch {
                    return Err(Refusal::Fenced);
                }
                let at = (topic.clone(), partition);
                let next = p.seqs.entry(at.clone()).or_default();
                if !broken.no_fence {
                    if seq < *next {
                        return Ok(epoch);
                    }
                    if seq > *next {
                        return Err(Refusal::OutOfOrder);
                    }
                }
                *next = seq + 1;
                if txn {
                    p.open.insert(at);
                }
                let fate = if txn { Fate::Open } else { Fate::Done };
                let slot = &mut self.topics.get_mut(&topic).expect("topics are made before use")[partition];
                slot.records.extend(rows.into_iter().map(|(key, value)| Stored { key, value, id: id.clone(), fate }));
                Ok(epoch)
            }
            Request::End { id, epoch, commit } => {
                if self.producers.get(&id).is_none_or(|p| epoch < p.epoch) {
                    return Err(Refusal::Fenced);
                }
                let p = &self.producers[&id];
                // To end once more what has ended is no error, unless it ended the other way.
                if p.open.is_empty() && p.committed.is_some_and(|c| c != commit) {
                    return Err(Refusal::Ended);
                }
                self.end(&id, commit);
                Ok(epoch)
            }
        }
    }
    /// The brokers end a transaction by themselves: it is too old.
    pub fn expire(&mut self, id: &str) {
        if self.producers.get(id).is_some_and(|p| !p.open.is_empty()) {
            self.producers.entry(id.into()).and_modify(|p| p.epoch += 1);
            self.end(id, false);
        }
    }
    /// Time has passed: the brokers end every transaction that is open in a partition.
    pub fn expire_in(&mut self, topic: &str, partition: usize) {
        let at = (topic.to_string(), partition);
        let open = self.producers.iter().filter(|p| p.1.open.contains(&at)).map(|p| p.0.clone());
        open.collect::<Vec<_>>().iter().for_each(|id| self.expire(id));
    }
    fn end(&mut self, id: &str, commit: bool) {
        let Some(p) = self.producers.get_mut(id) else { return };
        p.committed = Some(commit).filter(|_| !p.open.is_empty()).or(p.committed);
        for (topic, partition) in std::mem::take(&mut p.open) {
            let slot = &mut self.topics.get_mut(&topic).expect("it was written to")[partition];
            let fate = if commit { Fate::Done } else { Fate::Aborted };
            slot.records.iter_mut().filter(|r| r.id == id && r.fate == Fate::Open).for_each(|r| r.fate = fate);
            let control = Stored { key: None, value: Vec::new(), id: id.into(), fate: Fate::Control };
            slot.records.push(control);
        }
    }
    /// Compact topics up to some offset: of visible records with one key only the newest must stay.
    pub fn compact(&mut self, rng: &mut Rng) {
        for topic in &self.compacted {
            for p in self.topics.get_mut(topic).into_iter().flatten() {
                let upto = rng.below(p.stable() as u64 + 1) as usize;
                let mut newer: BTreeSet<Option<Vec<u8>>> = BTreeSet::new();
                for r in p.records[..upto].iter_mut().rev().filter(|r| r.fate == Fate::Done) {
                    if !newer.insert(r.key.clone()) {
                        r.fate = Fate::Gone;
                    }
                }
            }
        }
    }
    /// Forget records below an offset.
    pub fn delete_below(&mut self, topic: &str, partition: usize, offset: usize) {
        let p = &mut self.topics.get_mut(topic).expect("it was read")[partition];
        p.low = p.low.max(offset.min(p.records.len()));
    }
}

impl Partition {
    /// First offset that is not decided.
    pub fn stable(&self) -> usize {
        self.records.iter().position(|r| r.fate == Fate::Open).unwrap_or(self.records.len())
    }
    /// What a reader with `read_committed` sees, with offsets.
    pub fn visible(&self) -> impl Iterator<Item = (usize, &Stored)> {
        let upto = self.stable();
        self.records.iter().enumerate().take(upto).skip(self.low).filter(|(_, r)| r.fate == Fate::Done)
    }
}
