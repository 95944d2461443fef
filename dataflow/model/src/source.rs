//! How input enters: a source lists splits, an epoch logs them, readers read exactly them.
use crate::epoch::Epoch;
use crate::operator::Packet;
use crate::record::Record;
use crate::{Result, raw::Origin};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A piece of input that one reader reads in one go. Splits are logged before they are read; reading the same split
/// twice gives the same packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Id of the source node.
    pub source: Arc<str>,
    /// Partition number, given by the source when it first saw the partition; never reused.
    pub partition: u32,
    /// Name of the partition: a file path, a topic and partition.
    pub name: Arc<str>,
    /// First offset, inclusive.
    pub from: u64,
    /// Last offset, exclusive.
    pub to: u64,
    /// What the reader needs besides (inode, stream type, end of stream …); opaque to the engine.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
    /// Virtual lane of this split: fixed number of lanes, so what a lane holds does not depend on the workers. A source
    /// sets [`Split::ANY_LANE`] where any will do, or a number that stays with the partition where its reader reads
    /// ahead; the engine takes that modulo the number of lanes.
    pub lane: u32,
}

impl Split {
    /// The engine chooses: lanes in turn.
    pub const ANY_LANE: u32 = u32::MAX;

    /// Where its records come from; `index`: of its source among the sources.
    pub fn origin(&self, index: u32) -> Arc<Origin> {
        Arc::new(Origin {
            source: self.source.clone(),
            label: self.source.clone(),
            index,
            partition: self.partition,
            name: self.name.clone(),
        })
    }

    /// What a reader handed out of this split, with the clock of its epoch; and the port of the source by which it leaves:
    /// what could not be read by the second.
    pub fn entered(&self, packet: Packet, now_ms: i64) -> (usize, Packet) {
        match packet {
            Packet::Raw(mut raw) => {
                let batch = Arc::make_mut(&mut raw);
                (batch.now_ms, batch.lane) = (now_ms, self.lane);
                (0, Packet::Raw(raw))
            }
            Packet::Records(mut records) => {
                for r in &mut records {
                    if let Record::Rejected(x) = r {
                        (x.now_ms, x.node) = (now_ms, self.source.clone());
                    }
                }
                (1, Packet::Records(records))
            }
            events => (0, events),
        }
    }
}

/// How far a partition is behind its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Name of the partition.
    pub name: Arc<str>,
    /// Records (bytes, for files) that are there and not committed by every sink.
    pub records: u64,
    /// Age of the oldest of them, milliseconds (as far as the source can tell).
    pub ms: u64,
}

/// What may still enter the open epoch.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes of input left in this epoch.
    pub bytes: u64,
    /// Wall clock, milliseconds since 1970 (sources have no clock of their own).
    pub now_ms: i64,
}

/// Answer of [`Source::poll`].
#[derive(Debug, Default)]
pub struct Poll {
    /// Splits to put into the open epoch; see [`Split::lane`].
    pub splits: Vec<Split>,
    /// Bytes they hold.
    pub bytes: u64,
    /// True when nothing more will come unless the world changes (all files read to their end). `--once` ends when
    /// every source says so.
    pub exhausted: bool,
}

/// Coordinator side of a source: decides *what* is read. Lives on one thread of process 0.
pub trait Source: Send {
    /// Offer splits for the open epoch, at most `budget.bytes` (a single split may exceed it).
    fn poll(&mut self, budget: Budget) -> Result<Poll>;
    /// State after the last polled split, for the snapshot manifest.
    fn snapshot(&self) -> Vec<u8>;
    /// Set the state from a manifest.
    fn restore(&mut self, state: &[u8]) -> Result<()>;
    /// A logged split is replayed: move past it as if it had been polled now.
    fn replayed(&mut self, split: &Split) -> Result<()>;
    /// Every sink has committed an epoch that held these splits (all of this source's splits of the epoch, in order);
    /// `bytes` were read for them. Called for replayed epochs too, so it may say a thing twice. Here a source tells
    /// the outside: offsets of a consumer group, messages of a queue. A failure to tell is not an error of the run.
    fn finished(&mut self, _splits: &[&Split], _bytes: u64) -> Result<()> {
        Ok(())
    }
    /// A snapshot of everything up to here is durable; the source may forget what it needs only to replay earlier.
    fn committed(&mut self, _epoch: Epoch) -> Result<()> {
        Ok(())
    }
    /// Lag by partition, for people and metrics; empty where it means nothing.
    fn lag(&self, _now_ms: i64) -> Vec<Lag> {
        Vec::new()
    }
}

/// Splits that a reader is told of before they are read, with the one that it is asked for next.
pub const SOON: usize = 16;

/// Worker side of a source: reads a split. One per worker.
pub trait Reader {
    /// Read a part of a split: from the offset `from` on (at first [`Split::from`]), as far as this reader sees fit. One
    /// that cannot go on from the middle gives `from` again until it is at the end, and knows by itself where it is: a
    /// split is read to its end before the next. Hands out packets ([`Packet::Raw`] of at most ~1.6 MB;
    /// [`Packet::Records`] with [`crate::record::Rejected`] for what cannot be read), and gives the offset to go on from, [`Split::to`] when all was
    /// read. Packets, and where parts end, must be a function of the split and the input alone. Between two parts the
    /// engine parses what came, while it is in the cache: a split of many batches is best read one by one.
    fn read_part(&mut self, split: &Split, from: u64, origin: &Arc<Origin>, out: &mut dyn FnMut(Packet))
    -> Result<u64>;

    /// True if it makes no difference which worker of a process reads a split: then one that has nothing left to read
    /// takes what another has not begun. Not for a reader that reads ahead of what it is asked for.
    fn anywhere(&self) -> bool {
        false
    }

    /// This split is among the next [`SOON`] to be read; it is told once, in the order of reading, and perhaps not at all. A
    /// reader of what is far away begins to fetch it. One that reads [`Reader::anywhere`] is told nothing.
    fn soon(&mut self, split: &Split) {
        let _ = split;
    }

    /// Read the whole split, part by part.
    fn read(&mut self, split: &Split, origin: &Arc<Origin>, out: &mut dyn FnMut(Packet)) -> Result<()> {
        let mut from = split.from;
        loop {
            from = self.read_part(split, from, origin, out)?;
            if from >= split.to {
                return Ok(());
            }
        }
    }
}
