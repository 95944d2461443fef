//! What an operator is: plain structs, driven batch by batch, tested with plain vectors.
use crate::Result;
use crate::epoch::EpochInfo;
use crate::event::EventBatch;
use crate::raw::RawBatch;
use crate::record::Record;
use std::sync::Arc;

/// What travels along an edge.
#[derive(Clone, Debug)]
pub enum Packet {
    /// Raw records of one split.
    Raw(Arc<RawBatch>),
    /// Parsed events of one log type.
    Events(Arc<EventBatch>),
    /// Matches, alerts, rejects.
    Records(Vec<Record>),
}

impl Packet {
    /// Number of records or events.
    pub fn len(&self) -> usize {
        match self {
            Packet::Raw(b) => b.records.len(),
            Packet::Events(b) => b.len(),
            Packet::Records(r) => r.len(),
        }
    }
    /// True if it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What an operator produced in one call: packets by output port and counts for the ledger. The engine drains it.
#[derive(Debug, Default)]
pub struct Ctx {
    /// `(port, packet)`; port 0 is the default output, the others follow [`crate::part::Spec::outputs`].
    pub out: Vec<(usize, Packet)>,
    /// `(counter, rule or "", n)`.
    pub counts: Vec<(&'static str, Arc<str>, u64)>,
}

impl Ctx {
    /// Send a packet to a port; empty packets are not sent.
    pub fn emit(&mut self, port: usize, packet: Packet) {
        if !packet.is_empty() {
            self.out.push((port, packet));
        }
    }
    /// Add to a counter of this node.
    pub fn count(&mut self, counter: &'static str, n: u64) {
        self.count_rule(counter, "".into(), n);
    }
    /// Add to a counter of one rule of this node.
    pub fn count_rule(&mut self, counter: &'static str, rule: Arc<str>, n: u64) {
        if n > 0 {
            self.counts.push((counter, rule, n));
        }
    }
}

/// Counter of the evaluations of a rule that ended at a limit: what the engine quarantines rules by.
pub const STOPPED: &str = "stopped";

/// A stateless operator: parse, filter, enrich, detect. One instance per worker; events never cross workers here.
///
/// Must be deterministic: what it emits for a packet is a function of the packet (caches may change the cost, never
/// the result). Bad data goes to an error port; `Err` stops the engine.
pub trait Map {
    /// Process one packet.
    fn map(&mut self, input: Packet, cx: &mut Ctx) -> Result<()>;
    /// From now on these of its rules are not evaluated, and all others are: rules that were stopped at a limit (counter
    /// [`STOPPED`]) too often, or none. Only who runs scripts need care.
    fn quarantine(&mut self, _rules: &[Arc<str>]) {}
}

/// A stateful operator: dedup, limit. State lives in key groups, so a snapshot restores on any number of workers.
pub trait Keyed {
    /// Key of a record: records with equal keys meet in the same group (`key % groups`).
    fn key(&self, record: &Record) -> u64;
    /// What goes to the groups for a record, before its key is asked for: the record, unless it concerns several keys. Called
    /// where the record was made, so it may not touch state; counts are not kept.
    fn split(&self, record: Record, out: &mut Vec<Record>) {
        out.push(record);
    }
    /// Process one epoch: every record of this worker's groups, in [`Record::order`]. Called for every epoch, also
    /// without records, so that commands and timers have a place.
    fn epoch(&mut self, info: &EpochInfo, records: Vec<Record>, cx: &mut Ctx) -> Result<()>;
    /// As [`Map::quarantine`]: called before an epoch.
    fn quarantine(&mut self, _rules: &[Arc<str>]) {}
    /// Keys that hold state on this worker, for people.
    fn keys(&self) -> u64;
    /// Groups changed since the last call; clears the marks.
    fn take_dirty(&mut self) -> Vec<u32>;
    /// State of a group, in a stable form: equal state gives equal bytes. Empty = no state.
    fn save(&mut self, group: u32) -> Vec<u8>;
    /// What changed in a group since it was saved, its changes were asked for, or it was loaded, whichever was last: for
    /// [`Keyed::apply`]. `None` where a group can only be saved as a whole.
    fn changes(&mut self, _group: u32) -> Option<Vec<u8>> {
        None
    }
    /// Set the state of a group.
    fn load(&mut self, group: u32, bytes: &[u8]) -> Result<()>;
    /// Bring a group from the state before some [`Keyed::changes`] to the one after them.
    fn apply(&mut self, group: u32, _bytes: &[u8]) -> Result<()> {
        Err(format!("the state of group {group} holds changes, which this operator does not write").into())
    }
}
