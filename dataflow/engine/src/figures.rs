//! The figures as they leave the engine: one plain snapshot, the same for `top`, `/status` and `/metrics`.
use model::Severity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Upper bounds of the buckets of a [`Buckets`], milliseconds; what is longer goes into one more.
pub const BOUNDS_MS: [u64; 14] = [1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 60_000, 300_000];

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buckets {
    /// Counts by bucket (not cumulative): one per bound and one for what is longer.
    pub counts: [u64; BOUNDS_MS.len() + 1],
    /// Sum, milliseconds.
    pub sum_ms: u64,
}

impl Buckets {
    /// Count one.
    pub fn record(&mut self, ms: u64) {
        self.counts[BOUNDS_MS.iter().position(|b| ms <= *b).unwrap_or(BOUNDS_MS.len())] += 1;
        self.sum_ms += ms;
    }
    /// How many.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
    /// Mean, milliseconds; 0 for none.
    pub fn mean_ms(&self) -> f64 {
        self.sum_ms as f64 / self.count().max(1) as f64
    }
}

/// A running engine, or one process of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Name of the topology.
    pub topology: String,
    /// `live`, `replaying` or `draining`.
    pub state: String,
    /// What outside is waited for, and why.
    pub waiting: BTreeMap<String, String>,
    /// Incarnation number.
    pub generation: u64,
    /// Number of the topology edit.
    pub topology_generation: u64,
    /// True once the log is replayed.
    pub live: bool,
    /// Age of the process, seconds.
    pub uptime_seconds: f64,
    /// Newest epoch that was opened.
    pub epoch: u64,
    /// Newest epoch that every sink has committed.
    pub committed: u64,
    /// Epochs between the two.
    pub in_flight: u64,
    /// Bytes of input in them.
    pub in_flight_bytes: u64,
    /// Bytes of input in committed epochs, since this process started.
    pub bytes: u64,
    /// CPU time of the thread that coordinates: reading the sources' ends, epoch log, manifests. Seconds.
    pub coordinator_cpu_seconds: f64,
    /// The newest checkpoint.
    pub checkpoint: CheckpointFigures,
    /// From an epoch's first input to its commit.
    pub latency: LatencyFigures,
    /// By source and partition.
    pub lag: Vec<LagFigures>,
    /// New alerts by node, rule and severity, since this process started, of this process's workers.
    pub alerts: Vec<AlertFigures>,
    /// New alerts by rule, from the ledger.
    pub alerts_by_rule: BTreeMap<String, u64>,
    /// By sink.
    pub commits: Vec<CommitFigures>,
    /// In the order of the flow.
    pub nodes: Vec<NodeFigures>,
}

/// The newest checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointFigures {
    /// Its epoch; 0 for none.
    pub epoch: u64,
    /// State written for it, bytes.
    pub bytes: u64,
    /// Time from the epoch's record to the manifest, seconds.
    pub seconds: f64,
    /// Since then; since the process started if it has made none.
    pub age_seconds: f64,
}

/// Latency of epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyFigures {
    /// Epochs.
    pub count: u64,
    /// Median, milliseconds.
    pub p50_ms: u64,
    /// 90th percentile, milliseconds.
    pub p90_ms: u64,
    /// 99th percentile, milliseconds.
    pub p99_ms: u64,
    /// Longest, milliseconds.
    pub max_ms: u64,
    /// The same in buckets.
    pub seconds: Buckets,
}

/// How far a partition is behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LagFigures {
    /// Source node.
    pub source: String,
    /// Partition.
    pub partition: String,
    /// Records (bytes, for files).
    pub records: u64,
    /// Age of the oldest.
    pub seconds: f64,
}

/// New alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertFigures {
    /// Node that sent them on.
    pub node: String,
    /// Rule id.
    pub rule: String,
    /// Severity.
    pub severity: Severity,
    /// How many.
    pub n: u64,
}

/// Commits of a sink.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CommitFigures {
    /// Sink node.
    pub sink: String,
    /// How long they took.
    pub seconds: Buckets,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeFigures {
    /// Its id.
    pub node: String,
    /// Its section in the topology; empty if it no longer runs.
    pub section: String,
    /// CPU time of its calls on this process's workers and writers, seconds.
    pub cpu_seconds: f64,
    /// Ledger counters, rules summed up.
    pub counters: BTreeMap<String, u64>,
    /// First epoch that it is not through with on some worker, where known.
    pub frontier: Option<u64>,
    /// Bytes that wait in front of it, where known.
    pub queue_bytes: Option<u64>,
    /// Size of its state as of the last snapshot, bytes.
    pub state_bytes: Option<u64>,
    /// Keys in its state.
    pub state_keys: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_at_most_their_bound() {
        let mut b = Buckets::default();
        [0, 1, 2, 300_000, 300_001].into_iter().for_each(|ms| b.record(ms));
        assert_eq!((b.counts[0], b.counts[1], b.counts[13], b.counts[14]), (2, 1, 1, 1));
        assert_eq!((b.count(), b.sum_ms), (5, 600_004));
    }
}
