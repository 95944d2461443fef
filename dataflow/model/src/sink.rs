//! How output leaves: staged per epoch, committed exactly once per (shard, epoch).
use crate::Result;
use crate::epoch::EpochInfo;
use crate::operator::Packet;
use crate::store::Commit;
use serde::{Deserialize, Serialize};

/// What a shard committed, kept in its commit record. A replay of the same epochs must give the same `rows` and
/// `digest`, or the engine stops: it never guesses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Rows committed: visible now, or [`Receipt::waiting`] to be.
    pub rows: u64,
    /// Hash of their bytes, in order (hex).
    pub digest: String,
    /// What the sink needs to find its place again (a file length); opaque to the engine.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub state: serde_json::Value,
    /// Committed rows become visible only at a later snapshot. The engine goes on taking snapshots though nothing comes in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
}

/// One shard of a sink. Order of calls: `own_commits`, `recover`, then per epoch any number of `stage` in a defined
/// order and one `commit` or `discard`, at last `finish`. A shard runs on a thread of its own, beside the workers, so
/// it may wait for the world (a broker that is away); the epochs in flight bound what piles up behind it.
pub trait Sink: Send {
    /// For a sink that writes its commit records itself, in the same transaction as its rows: fence every earlier
    /// writer of this shard, then read the records that are visible, oldest first (at least the newest one). `None`:
    /// the engine's store keeps the commit records of this sink.
    fn own_commits(&mut self) -> Result<Option<Vec<Commit>>> {
        Ok(None)
    }
    /// Take over from an earlier incarnation: `last` is this shard's newest commit record. Undo whatever is visible
    /// beyond it (cut the file, remove half-written files). Called once, before anything else.
    fn recover(&mut self, last: Option<&Receipt>) -> Result<()>;
    /// Add a packet to the open epoch. May write, but nothing becomes final before `commit`.
    fn stage(&mut self, packet: &Packet) -> Result<()>;
    /// Make everything staged durable and final. `None` = nothing is committed at this epoch (a sink that commits
    /// only at snapshot epochs); such a sink must commit when `info.snapshot` is set.
    fn commit(&mut self, info: &EpochInfo) -> Result<Option<Receipt>>;
    /// The epoch was committed by an earlier incarnation: forget what is staged, and say what `commit` would have
    /// said (`state` may be left null).
    fn discard(&mut self, info: &EpochInfo) -> Result<Option<Receipt>>;
    /// The run ends in good order: deliver what can be delivered within the time given (milliseconds).
    fn finish(&mut self, _deadline_ms: u64) -> Result<()> {
        Ok(())
    }
}
