//! Figures of a running session for people: progress lines, `top`, `/metrics`, the bench report. Never read by
//! operators. The engine writes here once per epoch or less often, never per event; whoever looks pays for looking.
use crate::cpu::{Cpu, thread_ns};
use crate::figures::{
    AlertFigures, Buckets, CheckpointFigures, CommitFigures, Figures, LagFigures, LatencyFigures, NodeFigures,
};
use crate::graph::Graph;
use crate::tap::Taps;
use hdrhistogram::Histogram;
use model::source::Lag;
use model::{Alert, Epoch, LedgerRow, Severity, waits};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// Highest latency that is told apart, milliseconds (ten minutes).
const LATENCY_MAX_MS: u64 = 600_000;
/// Partitions of a source whose lag is kept by name, the furthest behind first; the others are one figure, [`OTHER`].
pub const LAG_PARTITIONS_MAX: usize = 256;
/// Rules whose alerts are counted by name; the others are one figure, [`OTHER`].
pub const ALERT_RULES_MAX: usize = 1024;
/// Name of what is beyond a limit.
pub const OTHER: &str = "(other)";
/// A coordinator that has not moved, or an open epoch during which nothing was committed, for this long is ill.
pub const STALL_MS: u64 = 60_000;

/// A node of the running graph.
#[derive(Clone, Debug)]
struct NodeInfo {
    id: Arc<str>,
    section: &'static str,
    /// Names of its output ports; the default one is `""`.
    ports: Vec<&'static str>,
}

/// Figures that change with epochs.
#[derive(Default)]
struct Book {
    topology: Arc<str>,
    nodes: Vec<NodeInfo>,
    lag: BTreeMap<Arc<str>, Vec<Lag>>,
    /// By node and worker: bytes and keys.
    state: BTreeMap<(Arc<str>, usize), (u64, u64)>,
    /// By node and worker: first epoch that is not through.
    frontier: BTreeMap<(Arc<str>, usize), Epoch>,
    /// By node and worker: bytes that wait.
    queue: BTreeMap<(Arc<str>, usize), u64>,
    commits: BTreeMap<Arc<str>, Buckets>,
    checkpoint: Option<(Epoch, u64, u64, Instant)>,
    alerts: BTreeMap<(Arc<str>, Arc<str>, Severity), u64>,
}

struct Latency {
    exact: Histogram<u64>,
    buckets: Buckets,
}

/// Shared by the coordinator, the dataflow and whoever shows progress.
pub struct Status {
    /// Newest epoch that every sink has committed.
    pub epoch: AtomicU64,
    /// Newest epoch whose state is in a manifest.
    pub snapshot: AtomicU64,
    /// Incarnation number.
    pub generation: AtomicU64,
    /// Number of the running topology edit.
    pub topology_generation: AtomicU64,
    /// Bytes of input in committed epochs.
    pub bytes: AtomicU64,
    /// Epochs opened and not yet committed.
    pub open: AtomicU64,
    /// Bytes of input in them.
    pub in_flight_bytes: AtomicU64,
    /// True once logged epochs are replayed and new ones are opened.
    pub live: AtomicBool,
    /// True once the engine was told to end.
    pub draining: AtomicBool,
    started: Instant,
    /// Milliseconds since `started`: the coordinator's last sign of life.
    beat_ms: AtomicU64,
    /// Milliseconds since `started`: the last commit, or the last time nothing was open.
    progress_ms: AtomicU64,
    taps: Arc<Taps>,
    /// CPU time of the thread that coordinates, nanoseconds.
    coordinator_ns: AtomicU64,
    cpu: Mutex<BTreeMap<Arc<str>, Cpu>>,
    book: Mutex<Book>,
    totals: Mutex<BTreeMap<(String, String, String), u64>>,
    latency: Mutex<Latency>,
}

impl Default for Status {
    fn default() -> Self {
        let exact = Histogram::new_with_bounds(1, LATENCY_MAX_MS, 3).expect("bounds are constants");
        Status {
            epoch: AtomicU64::new(0),
            snapshot: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            topology_generation: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            open: AtomicU64::new(0),
            in_flight_bytes: AtomicU64::new(0),
            live: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            started: Instant::now(),
            beat_ms: AtomicU64::new(0),
            progress_ms: AtomicU64::new(0),
            taps: Arc::default(),
            coordinator_ns: AtomicU64::new(0),
            cpu: Mutex::default(),
            book: Mutex::default(),
            totals: Mutex::default(),
            latency: Mutex::new(Latency { exact, buckets: Buckets::default() }),
        }
    }
}

/// What the engine tells.
impl Status {
    /// A session begins with this graph. Figures of nodes that do not go on are forgotten, ledger counters stay.
    pub fn begin(&self, topology: &str, graph: &Graph, topology_generation: u64) {
        self.topology_generation.store(topology_generation, Relaxed);
        let mut b = self.book();
        let nodes = graph.nodes.iter().chain([&graph.ledger]).map(|n| NodeInfo {
            id: n.id.clone(),
            section: n.spec.kind.section(),
            ports: n.spec.outputs.iter().map(|p| p.name).collect(),
        });
        (b.topology, b.nodes) = (topology.into(), nodes.collect());
        let ids: Vec<Arc<str>> = b.nodes.iter().map(|n| n.id.clone()).collect();
        // Kept where a node goes on: its workers may have told the new ones already.
        b.lag.retain(|id, _| ids.contains(id));
        b.state.retain(|(id, _), _| ids.contains(id));
        b.frontier.retain(|(id, _), _| ids.contains(id));
        b.queue.retain(|(id, _), _| ids.contains(id));
        b.commits.retain(|id, _| ids.contains(id));
        b.alerts.retain(|(id, _, _), _| ids.contains(id));
    }
    /// The coordinator lives. Called at least every second.
    pub fn beat(&self) {
        let now = self.now_ms();
        self.beat_ms.store(now, Relaxed);
        if self.open.load(Relaxed) == 0 {
            self.progress_ms.store(now, Relaxed);
        }
    }
    /// The calling thread coordinates: take down what it has used.
    pub(crate) fn coordinated(&self) {
        self.coordinator_ns.store(thread_ns(), Relaxed);
    }
    /// Where the CPU time of a node is counted.
    pub(crate) fn cpu(&self, node: &Arc<str>) -> Cpu {
        self.cpu.lock().expect("no holder panics").entry(node.clone()).or_default().clone()
    }
    /// Add the ledger rows of a finished epoch.
    pub(crate) fn add(&self, epoch: Epoch, rows: &[LedgerRow]) {
        let mut t = self.totals.lock().expect("no holder panics");
        for r in rows {
            *t.entry((r.node.to_string(), r.rule.to_string(), r.counter.clone())).or_default() += r.n;
        }
        self.epoch.store(epoch, Relaxed);
        self.progress_ms.store(self.now_ms(), Relaxed);
    }
    /// Record the time from an epoch's first input to its commit.
    pub(crate) fn latency(&self, ms: u64) {
        let mut l = self.latency.lock().expect("no holder panics");
        l.exact.saturating_record(ms.max(1));
        l.buckets.record(ms);
    }
    /// How far the partitions of a source are behind. Called at most every second.
    pub fn lag(&self, source: &Arc<str>, mut lag: Vec<Lag>) {
        if lag.len() > LAG_PARTITIONS_MAX {
            lag.sort_by(|a, b| (b.records, b.ms, &a.name).cmp(&(a.records, a.ms, &b.name)));
            let rest = lag.split_off(LAG_PARTITIONS_MAX);
            let records = rest.iter().map(|l| l.records).sum();
            lag.push(Lag { name: OTHER.into(), records, ms: rest.iter().map(|l| l.ms).max().unwrap_or(0) });
        }
        self.book().lag.insert(source.clone(), lag);
    }
    /// Size of a keyed node's state on one worker, as of its last snapshot.
    pub fn state(&self, node: &Arc<str>, worker: usize, bytes: u64, keys: u64) {
        self.book().state.insert((node.clone(), worker), (bytes, keys));
    }
    /// A worker's part of a node is through every epoch before `next`.
    pub fn frontier(&self, node: &Arc<str>, worker: usize, next: Epoch) {
        self.book().frontier.insert((node.clone(), worker), next);
    }
    /// Bytes that wait in front of a worker's part of a node.
    pub fn queue(&self, node: &Arc<str>, worker: usize, bytes: u64) {
        self.book().queue.insert((node.clone(), worker), bytes);
    }
    /// A sink's shards on one worker took this long to commit an epoch.
    pub fn commit_ms(&self, sink: &Arc<str>, ms: u64) {
        self.book().commits.entry(sink.clone()).or_default().record(ms);
    }
    /// A manifest is published: bytes of state that were written for it, and the time from the epoch's record to here.
    pub fn checkpoint(&self, epoch: Epoch, bytes: u64, ms: u64) {
        self.snapshot.store(epoch, Relaxed);
        self.book().checkpoint = Some((epoch, bytes, ms, Instant::now()));
    }
    /// A keyed node created an alert.
    pub fn alert(&self, node: &Arc<str>, alert: &Alert) {
        let mut b = self.book();
        let known = |b: &Book, rule: &Arc<str>| b.alerts.contains_key(&(node.clone(), rule.clone(), alert.severity));
        let full = b.alerts.len() >= ALERT_RULES_MAX && !known(&b, &alert.rule.id);
        let rule = if full { OTHER.into() } else { alert.rule.id.clone() };
        *b.alerts.entry((node.clone(), rule, alert.severity)).or_default() += 1;
    }
}

/// What people ask.
impl Status {
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
        let h = &self.latency.lock().expect("no holder panics").exact;
        (h.len(), h.value_at_quantile(0.5), h.value_at_quantile(0.9), h.value_at_quantile(0.99), h.max())
    }
    /// The taps.
    pub fn taps(&self) -> &Arc<Taps> {
        &self.taps
    }
    /// Node and port index of `node` or `node.port`.
    ///
    /// # Errors
    /// What does not exist, with what there is.
    pub fn port(&self, name: &str) -> Result<(Arc<str>, usize), String> {
        let b = self.book();
        let find = |id: &str| b.nodes.iter().find(|n| *n.id == *id);
        let (node, port) = match (find(name), name.rsplit_once('.')) {
            (Some(n), _) => (n, ""),
            (None, Some((id, port))) => (find(id).ok_or_else(|| unknown(&b, id))?, port),
            (None, None) => return Err(unknown(&b, name)),
        };
        if node.ports.is_empty() {
            return Err(format!("`{}` is a sink: nothing leaves it. Tap what feeds it", node.id));
        }
        match node.ports.iter().position(|p| *p == port) {
            Some(i) => Ok((node.id.clone(), i)),
            None => {
                let all: Vec<String> = node.ports.iter().map(|p| full_name(&node.id, p)).collect();
                Err(format!("`{}` has no output `{port}`; it has {}", node.id, all.join(", ")))
            }
        }
    }
    /// `Err` with the reason if the engine does not do its work. While something outside is away ([`model::waits`]) it is
    /// not ill for standing still.
    pub fn health(&self) -> Result<String, String> {
        let (now, open) = (self.now_ms(), self.open.load(Relaxed));
        if let Some((what, why)) = waits::all().pop_first() {
            return Ok(format!("waits: {what} {why}"));
        }
        let progress = self.progress_ms.load(Relaxed);
        let (silent, still) =
            (now.saturating_sub(self.beat_ms.load(Relaxed).max(progress)), now.saturating_sub(progress));
        if self.live.load(Relaxed) && silent > STALL_MS {
            return Err(format!("the coordinator has not moved for {} s", silent / 1000));
        }
        match open {
            0 => Ok("idle".into()),
            _ if still > STALL_MS => {
                let next = self.epoch.load(Relaxed) + 1;
                Err(format!("epoch {next} is open, and nothing has been committed for {} s", still / 1000))
            }
            _ => Ok(format!("open epochs: {open}")),
        }
    }
    /// `Err` with the reason while the engine replays or drains.
    pub fn ready(&self) -> Result<(), &'static str> {
        match (self.draining.load(Relaxed), self.live.load(Relaxed)) {
            (true, _) => Err("draining"),
            (_, false) => Err("replaying"),
            _ => Ok(()),
        }
    }
    /// Everything at once.
    pub fn figures(&self) -> Figures {
        let mut nodes: Vec<NodeFigures> = Vec::new();
        let b = self.book();
        for n in &b.nodes {
            nodes.push(NodeFigures { node: n.id.to_string(), section: n.section.into(), ..Default::default() });
        }
        // Also nodes that no longer run: a counter does not vanish.
        let mut rules = BTreeMap::new();
        for ((node, rule, counter), n) in self.totals() {
            let at = nodes.iter().position(|f| f.node == node).unwrap_or_else(|| {
                nodes.push(NodeFigures { node: node.clone(), ..Default::default() });
                nodes.len() - 1
            });
            if !rule.is_empty() && counter == "alerted" {
                *rules.entry(rule).or_default() += n;
            }
            *nodes[at].counters.entry(counter).or_default() += n;
        }
        let cpu = self.cpu.lock().expect("no holder panics").clone();
        for f in &mut nodes {
            f.cpu_seconds = cpu.get(&*f.node).map_or(0.0, Cpu::seconds);
            let own = |(id, _): &(Arc<str>, usize)| **id == *f.node;
            f.frontier = b.frontier.iter().filter(|(k, _)| own(k)).map(|(_, e)| *e).min();
            f.queue_bytes = sum(b.queue.iter().filter(|(k, _)| own(k)).map(|(_, n)| *n));
            f.state_bytes = sum(b.state.iter().filter(|(k, _)| own(k)).map(|(_, s)| s.0));
            f.state_keys = sum(b.state.iter().filter(|(k, _)| own(k)).map(|(_, s)| s.1));
        }
        let alerts = b.alerts.iter().map(|((node, rule, severity), n)| AlertFigures {
            node: node.to_string(),
            rule: rule.to_string(),
            severity: *severity,
            n: *n,
        });
        let lag = b.lag.iter().flat_map(|(source, all)| {
            all.iter().map(|l| LagFigures {
                source: source.to_string(),
                partition: l.name.to_string(),
                records: l.records,
                seconds: l.ms as f64 / 1e3,
            })
        });
        let commits = b.commits.iter().map(|(sink, c)| CommitFigures { sink: sink.to_string(), seconds: c.clone() });
        let (count, p50, p90, p99, max) = self.latencies();
        let committed = self.epoch.load(Relaxed);
        let (in_flight, live) = (self.open.load(Relaxed), self.live.load(Relaxed));
        let age = |since: Instant| since.elapsed().as_secs_f64();
        Figures {
            topology: b.topology.to_string(),
            state: self.ready().err().unwrap_or("live").into(),
            waiting: waits::all(),
            generation: self.generation.load(Relaxed),
            topology_generation: self.topology_generation.load(Relaxed),
            live,
            uptime_seconds: age(self.started),
            epoch: committed + in_flight,
            committed,
            in_flight,
            in_flight_bytes: if in_flight == 0 { 0 } else { self.in_flight_bytes.load(Relaxed) },
            bytes: self.bytes.load(Relaxed),
            coordinator_cpu_seconds: self.coordinator_ns.load(Relaxed) as f64 / 1e9,
            checkpoint: CheckpointFigures {
                epoch: self.snapshot.load(Relaxed),
                bytes: b.checkpoint.map_or(0, |c| c.1),
                seconds: b.checkpoint.map_or(0.0, |c| c.2 as f64 / 1e3),
                age_seconds: age(b.checkpoint.map_or(self.started, |c| c.3)),
            },
            latency: LatencyFigures {
                count,
                p50_ms: p50,
                p90_ms: p90,
                p99_ms: p99,
                max_ms: max,
                seconds: self.latency.lock().expect("no holder panics").buckets.clone(),
            },
            lag: lag.collect(),
            alerts: alerts.collect(),
            alerts_by_rule: rules,
            commits: commits.collect(),
            nodes,
        }
    }
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder panics")
    }
}

fn sum(all: impl Iterator<Item = u64>) -> Option<u64> {
    all.fold(None, |s, n| Some(s.unwrap_or(0) + n))
}

fn full_name(id: &str, port: &str) -> String {
    if port.is_empty() { id.into() } else { format!("{id}.{port}") }
}

fn unknown(b: &Book, id: &str) -> String {
    let all: Vec<&str> = b.nodes.iter().filter(|n| !n.ports.is_empty()).map(|n| &*n.id).collect();
    format!("no node `{id}` runs; there are {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(name: &str, records: u64) -> Lag {
        Lag { name: name.into(), records, ms: records * 10 }
    }

    #[test]
    fn lag_is_kept_by_name_up_to_a_limit_and_nothing_is_lost_beyond_it() {
        let s = Status::default();
        let n = LAG_PARTITIONS_MAX as u64 + 3;
        s.lag(&"k".into(), (0..n).map(|i| lag(&format!("p{i}"), i)).collect());
        let f = s.figures();
        assert_eq!(f.lag.len(), LAG_PARTITIONS_MAX + 1);
        assert_eq!(f.lag.iter().map(|l| l.records).sum::<u64>(), n * (n - 1) / 2);
        let other = f.lag.iter().find(|l| l.partition == OTHER).unwrap();
        assert_eq!((other.records, other.seconds), (3, 0.02));
        s.lag(&"k".into(), vec![lag("p1", 7)]);
        assert_eq!(s.figures().lag.len(), 1, "the newest answer replaces the one before");
    }

    #[test]
    fn alerts_are_counted_by_rule_up_to_a_limit_and_nothing_is_lost_beyond_it() {
        let s = Status::default();
        for i in 0..ALERT_RULES_MAX + 5 {
            let rule = model::RuleMeta { id: format!("R{i}").into(), ..Default::default() };
            let alert = Alert { rule: Arc::new(rule), severity: Severity::High, ..Default::default() };
            s.alert(&"window".into(), &alert);
            s.alert(&"window".into(), &alert);
        }
        let f = s.figures();
        assert_eq!(f.alerts.len(), ALERT_RULES_MAX + 1);
        assert_eq!(f.alerts.iter().map(|a| a.n).sum::<u64>(), 2 * (ALERT_RULES_MAX as u64 + 5));
        assert_eq!(f.alerts.iter().find(|a| a.rule == OTHER).unwrap().n, 10);
    }

    #[test]
    fn workers_are_summed_and_the_slowest_one_is_the_frontier() {
        let s = Status::default();
        s.add(3, &[LedgerRow { epoch: 3, node: "w".into(), rule: "R".into(), counter: "alerted".into(), n: 2 }]);
        for worker in 0..2 {
            s.state(&"w".into(), worker, 100, 3);
            s.frontier(&"w".into(), worker, 4 + worker as u64);
        }
        let f = s.figures();
        let w = &f.nodes[0];
        assert_eq!((w.state_bytes, w.state_keys, w.frontier, w.queue_bytes), (Some(200), Some(6), Some(4), None));
        assert_eq!((f.alerts_by_rule["R"], w.counters["alerted"], f.committed), (2, 2, 3));
    }

    #[test]
    fn an_engine_that_stands_still_is_ill_unless_it_waits_for_the_world() {
        let s = Status { started: Instant::now() - std::time::Duration::from_secs(100), ..Default::default() };
        assert_eq!(s.health(), Ok("idle".into()), "it restores its state");
        s.open.store(1, Relaxed);
        let ill = s.health().unwrap_err();
        assert!(ill.contains("epoch 1 is open"), "{ill}");
        waits::begin("a broker", 0, || "is away".into());
        assert_eq!(s.health(), Ok("waits: a broker is away".into()));
        waits::end("a broker", 0);
        s.add(1, &[]);
        assert_eq!(s.health(), Ok("open epochs: 1".into()));
        s.open.store(0, Relaxed);
        s.live.store(true, Relaxed);
        s.progress_ms.store(1, Relaxed);
        assert!(s.health().unwrap_err().contains("has not moved for 99"), "{:?}", s.health());
        s.beat();
        assert_eq!(s.health(), Ok("idle".into()));
    }

    #[test]
    fn ready_says_why_not() {
        let s = Status::default();
        assert_eq!(s.ready(), Err("replaying"));
        s.live.store(true, Relaxed);
        assert_eq!(s.ready(), Ok(()));
        s.draining.store(true, Relaxed);
        assert_eq!((s.ready(), s.figures().state.as_str()), (Err("draining"), "draining"));
    }
}
