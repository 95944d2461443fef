//! What the operators of one worker share: the clock of each open epoch, its counts, and what must be reported.
//!
//! Single-threaded (one per worker). An epoch's info is on the board before any operator's frontier can pass it,
//! because the operator that puts it there holds the epoch's capability until then.
use crate::cpu::Cpu;
use crate::status::Status;
use crate::tap::Faucet;
use model::epoch::Quarantined;
use model::store::{ObjectRef, Piece};
use model::{Epoch, EpochInfo, LedgerRow};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// What a worker tells the coordinator about an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// A sink shard committed.
    Commit { sink: Arc<str>, shard: u32, commit: model::store::Commit },
    /// What changed in key groups of a node was written to an object, if it was anything.
    State { node: Arc<str>, state_key: String, object: Option<ObjectRef>, pieces: Vec<(u32, Piece)> },
}

/// Counts and reports of one worker and epoch, as sent to worker 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub counts: Vec<LedgerRow>,
    pub reports: Vec<Report>,
}

#[derive(Default)]
struct Inner {
    status: Arc<Status>,
    infos: BTreeMap<Epoch, Arc<EpochInfo>>,
    /// Rules that are not evaluated in an epoch, where there are any.
    quarantined: BTreeMap<Epoch, Vec<Quarantined>>,
    counts: BTreeMap<Epoch, BTreeMap<(Arc<str>, Arc<str>, &'static str), u64>>,
    reports: BTreeMap<Epoch, Vec<Report>>,
}

/// Handle to the board of one worker.
#[derive(Clone, Default)]
pub(crate) struct Board(Rc<RefCell<Inner>>);

impl Board {
    /// A board of a worker whose operators show their figures in `status`.
    pub fn new(status: Arc<Status>) -> Board {
        Board(Rc::new(RefCell::new(Inner { status, ..Default::default() })))
    }
    /// Figures for people.
    pub fn status(&self) -> Arc<Status> {
        self.0.borrow().status.clone()
    }
    /// Where the CPU time of a node is counted.
    pub fn cpu(&self, node: &Arc<str>) -> Cpu {
        self.0.borrow().status.cpu(node)
    }
    /// What lets people look at the ports of an operator.
    pub fn faucet(&self, node: &Arc<str>) -> Faucet {
        Faucet::new(node, self.0.borrow().status.taps())
    }
    /// Announce an epoch.
    pub fn open(&self, info: EpochInfo) {
        self.0.borrow_mut().infos.insert(info.epoch, Arc::new(info));
    }
    /// Info of an open epoch.
    pub fn info(&self, epoch: Epoch) -> Option<Arc<EpochInfo>> {
        self.0.borrow().infos.get(&epoch).cloned()
    }
    /// Announce which rules are not evaluated in an epoch.
    pub fn quarantine(&self, epoch: Epoch, rules: &[Quarantined]) {
        if !rules.is_empty() {
            self.0.borrow_mut().quarantined.insert(epoch, rules.to_vec());
        }
    }
    /// Rules of a node that are not evaluated in an open epoch.
    pub fn quarantined(&self, epoch: Epoch, node: &str) -> Vec<Arc<str>> {
        let b = self.0.borrow();
        let of_node = b.quarantined.get(&epoch).into_iter().flatten().filter(|q| *q.node == *node);
        of_node.map(|q| q.rule.clone()).collect()
    }
    /// Add to a counter.
    pub fn count(&self, epoch: Epoch, node: &Arc<str>, rule: Arc<str>, counter: &'static str, n: u64) {
        if n > 0 {
            let mut b = self.0.borrow_mut();
            *b.counts.entry(epoch).or_default().entry((node.clone(), rule, counter)).or_default() += n;
        }
    }
    /// Leave a report.
    pub fn report(&self, epoch: Epoch, report: Report) {
        self.0.borrow_mut().reports.entry(epoch).or_default().push(report);
    }
    /// Take an epoch off the board: everything about it on this worker is done.
    pub fn close(&self, epoch: Epoch) -> Tally {
        let mut b = self.0.borrow_mut();
        b.infos.remove(&epoch);
        b.quarantined.remove(&epoch);
        let counts = b.counts.remove(&epoch).unwrap_or_default();
        Tally {
            counts: counts
                .into_iter()
                .map(|((node, rule, c), n)| LedgerRow { epoch, node, rule, counter: c.into(), n })
                .collect(),
            reports: b.reports.remove(&epoch).unwrap_or_default(),
        }
    }
}
