//! Figures of a running session for people: progress lines, `top`, the bench report. Never read by operators.
use hdrhistogram::Histogram;
use model::{Epoch, LedgerRow};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Highest latency that is told apart, milliseconds (ten minutes).
const LATENCY_MAX_MS: u64 = 600_000;

/// Shared by the coordinator, the dataflow and whoever shows progress.
pub struct Status {
    /// Newest epoch that every sink has committed.
    pub epoch: AtomicU64,
    /// Newest epoch whose state is in a manifest.
    pub snapshot: AtomicU64,
    /// Incarnation number.
    pub generation: AtomicU64,
    /// Bytes of input in committed epochs.
    pub bytes: AtomicU64,
    /// Epochs opened and not yet committed.
    pub open: AtomicU64,
    /// True once logged epochs are replayed and new ones are opened.
    pub live: AtomicBool,
    totals: Mutex<BTreeMap<(String, String, String), u64>>,
    latency: Mutex<Histogram<u64>>,
}

impl Default for Status {
    fn default() -> Self {
        Status {
            epoch: AtomicU64::new(0),
            snapshot: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            open: AtomicU64::new(0),
            live: AtomicBool::new(false),
            totals: Mutex::default(),
            latency: Mutex::new(Histogram::new_with_bounds(1, LATENCY_MAX_MS, 3).expect("bounds are constants")),
        }
    }
}

impl Status {
    /// Add the ledger rows of a finished epoch.
    pub(crate) fn add(&self, epoch: Epoch, rows: &[LedgerRow]) {
        let mut t = self.totals.lock().expect("no holder panics");
        for r in rows {
            *t.entry((r.node.to_string(), r.rule.to_string(), r.counter.clone())).or_default() += r.n;
        }
        self.epoch.store(epoch, Ordering::Relaxed);
    }
    /// Record the time from an epoch's first input to its commit.
    pub(crate) fn latency(&self, ms: u64) {
        self.latency.lock().expect("no holder panics").saturating_record(ms.max(1));
    }
    /// Sum of a counter over all nodes and rules, since this process started.
    pub fn total(&self, counter: &str) -> u64 {
        self.totals.lock().expect("no holder panics").iter().filter(|(k, _)| k.2 == counter).map(|(_, n)| n).sum()
    }
    /// All counters: `(node, rule, counter) → n`.
    pub fn totals(&self) -> BTreeMap<(String, String, String), u64> {
        self.totals.lock().expect("no holder panics").clone()
    }
    /// Latency from input offered to output committed: `(count, p50, p90, p99, max)` in milliseconds, per epoch.
    pub fn latencies(&self) -> (u64, u64, u64, u64, u64) {
        let h = self.latency.lock().expect("no holder panics");
        (h.len(), h.value_at_quantile(0.5), h.value_at_quantile(0.9), h.value_at_quantile(0.99), h.max())
    }
}
