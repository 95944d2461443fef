//! The epoch: a set of source ranges and one stamp, durable before any of its output is visible.
use crate::source::Split;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Number of an epoch; also the timestamp of the dataflow. Dense, starts at 1.
pub type Epoch = u64;

/// One line of the epoch log. With the inputs it determines every byte of output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of this epoch.
    pub epoch: Epoch,
    /// Incarnation of the cluster that wrote it.
    pub generation: u64,
    /// Wall clock when the epoch closed, milliseconds since 1970; never lower than the previous epoch's.
    pub now_ms: i64,
    /// Hash of the topology bundle (graph, rules, schemas, tables) that this epoch runs under.
    pub bundle: String,
    /// What to read, in order; the index decides the lane (see [`Split::lane`]).
    pub splits: Vec<Split>,
    /// Operator commands that take effect at the start of this epoch.
    pub commands: Vec<Command>,
    /// Rules that are not evaluated in this epoch, because they ran away in an earlier one. Logged, so that a replay leaves out
    /// the same ones whatever it takes to run them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
    /// State is written after this epoch, and sinks that stage over several epochs commit at it.
    pub snapshot: bool,
    /// The last epoch before a drain, a reload or the end of a `--once` run.
    pub seal: bool,
}

/// An act of a person that must happen at one logical time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Let a rule that the storm limiter holds create alerts again, and one that is quarantined be evaluated again.
    Unsuppress {
        /// Rule to release.
        rule: Arc<str>,
    },
}

/// A rule that was stopped at its limits too often in one epoch. It stays out until an edit is applied or somebody lets it
/// go ([`Command::Unsuppress`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Node that evaluates it.
    pub node: Arc<str>,
    /// The rule.
    pub rule: Arc<str>,
    /// How often it was stopped.
    pub stopped: u64,
    /// In which epoch.
    pub epoch: Epoch,
}

/// What operators may know of an epoch: its number, its clock and its commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochInfo {
    /// Number of the epoch.
    pub epoch: Epoch,
    /// "Now" for everything in this epoch, milliseconds since 1970.
    pub now_ms: i64,
    /// Commands of this epoch.
    pub commands: Vec<Command>,
    /// See [`EpochRecord::snapshot`].
    pub snapshot: bool,
    /// See [`EpochRecord::seal`].
    pub seal: bool,
}

impl From<&EpochRecord> for EpochInfo {
    fn from(r: &EpochRecord) -> Self {
        EpochInfo { epoch: r.epoch, now_ms: r.now_ms, commands: r.commands.clone(), snapshot: r.snapshot, seal: r.seal }
    }
}
