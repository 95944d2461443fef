//! The stateless part of a replay: splits of the sources, read and judged by several workers.
use super::lake::{LakeReader, LakeSource};
use super::spool::{self, Entry, Folder, Merged, Outlet, Rules, Spool};
use super::{Plan, STOP};
use crate::progress::group;
use anyhow::{Result, anyhow, bail};
use model::source::{Budget, Poll};
use model::{Built, Ctx, Kind, Map, Packet, Reader, Record, Source, Split};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Bytes of splits that are asked of the sources at a time.
const STEP: u64 = 8 << 20;
/// Splits that wait for a worker.
const WAITING: usize = 4;
/// Time between lines of progress.
const EVERY: Duration = Duration::from_secs(2);
/// How long to wait where nothing can be done.
const PAUSE: Duration = Duration::from_millis(5);

type NewReader = Box<dyn Fn() -> model::Result<Box<dyn Reader>> + Send + Sync>;

/// What is read: a source of the topology, or a lake.
enum Feed {
    Source(Box<dyn Source>),
    Lake(LakeSource),
}

impl Feed {
    fn poll(&mut self, budget: Budget) -> model::Result<Poll> {
        match self {
            Feed::Source(s) => s.poll(budget),
            Feed::Lake(l) => l.poll(budget),
        }
    }
    /// Records, bytes or files that wait.
    fn left(&self, now_ms: i64) -> u64 {
        match self {
            Feed::Source(s) => s.lag(now_ms).iter().map(|l| l.records).sum(),
            Feed::Lake(l) => l.left(),
        }
    }
}

/// The workers and what they read.
pub struct Pipe<'p> {
    /// What is replayed.
    pub plan: &'p Plan<'p>,
    /// Threads.
    pub workers: usize,
    /// Print progress.
    pub progress: bool,
}

/// What was read.
pub struct Done {
    /// Bytes of input.
    pub bytes: u64,
    /// First offset and the one behind the last of each Kafka partition that was read.
    pub offsets: BTreeMap<String, (u64, u64)>,
    /// Events that left the parsers.
    pub events: u64,
    /// Those of them in the range.
    pub in_range: u64,
    /// Records that could not be used.
    pub rejected: u64,
    /// Somebody ended it before the sources did.
    pub stopped: bool,
    folder: Arc<Folder>,
    rules: Rules,
    rest: Vec<Vec<Entry>>,
}

impl Done {
    /// The matches, in groups of equal event time.
    pub fn matches(self) -> Result<Merged> {
        spool::merge(self.folder, self.rules, self.rest)
    }
}

#[derive(Default)]
struct Counts {
    events: AtomicU64,
    in_range: AtomicU64,
    rejected: AtomicU64,
}

impl Pipe<'_> {
    /// Read every source to its end, or until somebody stops it.
    pub fn run(&self) -> Result<Done> {
        let (mut sources, mut readers): (Vec<(usize, Feed)>, BTreeMap<usize, NewReader>) = Default::default();
        sources.extend(self.plan.lake.iter().map(|lake| (lake.sink, Feed::Lake(lake.source()))));
        for (i, n) in self.plan.topology.nodes.iter().enumerate() {
            let Some(node) = self.plan.anew.get(&i).filter(|_| n.kind == Kind::Source) else { continue };
            match node.build(&self.plan.cx(i)).map_err(|e| anyhow!("{}: {e}", n.id))? {
                Built::Source(source, reader) => {
                    sources.push((i, Feed::Source(source)));
                    readers.insert(i, reader);
                }
                _ => bail!("{}: a source must build a source", n.id),
            }
        }
        let (folder, rules, counts) = (Folder::new()?, Rules::default(), Counts::default());
        let (mut bytes, mut offsets) = (0, BTreeMap::new());
        let rest = std::thread::scope(|s| {
            let (mut to, mut workers) = (Vec::new(), Vec::new());
            for _ in 0..self.workers {
                let (send, work) = sync_channel(WAITING);
                let spool = Spool::new(folder.clone(), rules.clone(), spool::RUN_BYTES);
                let (readers, counts) = (&readers, &counts);
                to.push(send);
                workers.push(s.spawn(move || worker(self.plan, readers, work, spool, counts)));
            }
            let read = self.read(&mut sources, &to, &counts, &mut bytes, &mut offsets);
            drop(to);
            let ended: Vec<Result<Vec<Entry>>> =
                workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(anyhow!("a worker panicked")))).collect();
            // A worker's own error says more than that it is gone.
            let rest = ended.into_iter().collect::<Result<Vec<_>>>()?;
            read.map(|()| rest)
        })?;
        Ok(Done {
            bytes,
            offsets,
            events: counts.events.into_inner(),
            in_range: counts.in_range.into_inner(),
            rejected: counts.rejected.into_inner(),
            stopped: STOP.load(Relaxed),
            folder,
            rules,
            rest,
        })
    }

    fn read(
        &self,
        sources: &mut [(usize, Feed)],
        to: &[SyncSender<(usize, Split)>],
        counts: &Counts,
        bytes: &mut u64,
        offsets: &mut BTreeMap<String, (u64, u64)>,
    ) -> Result<()> {
        let (began, mut shown, mut next) = (Instant::now(), Instant::now(), 0);
        // The clock of events without a time of their own: the last moment that is replayed.
        let now_ms = self.plan.range.to_ms - 1;
        loop {
            let (mut exhausted, mut idle) = (true, true);
            for (i, source) in sources.iter_mut() {
                let id = &self.plan.topology.nodes[*i].id;
                let poll = source.poll(Budget { bytes: STEP, now_ms }).map_err(|e| anyhow!("{id}: {e}"))?;
                exhausted &= poll.exhausted && poll.splits.is_empty();
                idle &= poll.splits.is_empty();
                *bytes += poll.bytes;
                let in_kafka = self.plan.topology.nodes[*i].spec.name == "kafka";
                for split in poll.splits {
                    let Some(split) = self.plan.offsets.clip(split) else { continue };
                    if in_kafka {
                        let part = offsets.entry(split.name.to_string()).or_insert((split.from, split.to));
                        *part = (part.0.min(split.from), part.1.max(split.to));
                    }
                    // A reader that reads ahead keeps its partition.
                    let worker = match split.lane {
                        Split::ANY_LANE => {
                            next += 1;
                            next
                        }
                        lane => lane as usize,
                    };
                    if !give(&to[worker % to.len()], (*i, split))? {
                        return Ok(());
                    }
                }
            }
            if exhausted || STOP.load(Relaxed) {
                return Ok(());
            }
            if self.progress && shown.elapsed() >= EVERY {
                let events = counts.events.load(Relaxed);
                let left: u64 = sources.iter().map(|(_, s)| s.left(now_ms)).sum();
                eprintln!(
                    "replay: {} events, {} MB read{}, {} events/s",
                    group(events),
                    group(*bytes / 1_000_000),
                    if left > 0 { format!(", {} to go", group(left)) } else { String::new() },
                    group((events as f64 / began.elapsed().as_secs_f64()) as u64),
                );
                shown = Instant::now();
            }
            if idle {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Give a worker a split, when it has room. False if somebody stops the replay meanwhile.
fn give(to: &SyncSender<(usize, Split)>, mut work: (usize, Split)) -> Result<bool> {
    loop {
        match to.try_send(work) {
            Ok(()) => return Ok(true),
            Err(TrySendError::Disconnected(_)) => bail!("a worker has ended"),
            Err(TrySendError::Full(_)) if STOP.load(Relaxed) => return Ok(false),
            Err(TrySendError::Full(back)) => work = back,
        }
        std::thread::sleep(PAUSE);
    }
}

/// One worker: its readers, its operators, its matches.
struct Worker<'p> {
    plan: &'p Plan<'p>,
    maps: Vec<Option<Box<dyn Map>>>,
    counts: &'p Counts,
    spool: Spool,
}

fn worker(
    plan: &Plan,
    readers: &BTreeMap<usize, NewReader>,
    work: Receiver<(usize, Split)>,
    spool: Spool,
    counts: &Counts,
) -> Result<Vec<Entry>> {
    let mut maps = Vec::new();
    for (i, n) in plan.topology.nodes.iter().enumerate() {
        let stateless = matches!(n.kind, Kind::Parse | Kind::Transform | Kind::Enrich | Kind::Detect);
        maps.push(match stateless.then(|| plan.node(i).build(&plan.cx(i))).transpose() {
            Ok(Some(Built::Map(map))) => Some(map),
            Ok(_) => None,
            Err(e) => bail!("{}: {e}", n.id),
        });
    }
    let mut own: BTreeMap<usize, Box<dyn Reader>> = BTreeMap::new();
    let mut w = Worker { plan, maps, counts, spool };
    let mut stored = plan.lake.as_ref().map(|lake| LakeReader::new(plan, lake.clone()));
    let now_ms = plan.range.to_ms - 1;
    loop {
        let (i, split) = match work.recv_timeout(Duration::from_millis(100)) {
            Ok(work) => work,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(w.spool.rest()),
        };
        if let Some(reader) = &mut stored {
            reader.read(&split, &mut |from, packet| w.give(from, packet))?;
            continue;
        }
        let node = &plan.topology.nodes[i];
        let failed = |e: model::Error| anyhow!("{}: {e}", node.id);
        if let std::collections::btree_map::Entry::Vacant(v) = own.entry(i) {
            v.insert(readers[&i]().map_err(failed)?);
        }
        let mut packets = Vec::new();
        let mut keep = |p| packets.push(split.entered(p, now_ms));
        let reader = own.get_mut(&i).expect("made above");
        reader.read(&split, &split.origin(node.index), &mut keep).map_err(failed)?;
        for (port, packet) in packets {
            w.give((i, port), packet)?;
        }
    }
}

impl Worker<'_> {
    /// Give what left a node's port to everyone who reads it.
    fn give(&mut self, from: Outlet, packet: Packet) -> Result<()> {
        let packet = match self.count(from, packet)? {
            Some(packet) => packet,
            None => return Ok(()),
        };
        for at in from.0 + 1..self.maps.len() {
            let node = &self.plan.topology.nodes[at];
            if !node.inputs.contains(&from) {
                continue;
            }
            if self.plan.lake.as_ref().is_some_and(|l| l.done.contains(&at)) {
                self.give((at, 0), packet.clone())?;
                continue;
            }
            let Some(map) = &mut self.maps[at] else { continue };
            let mut cx = Ctx::default();
            map.map(packet.clone(), &mut cx).map_err(|e| anyhow!("{}: {e}", node.id))?;
            for (port, packet) in cx.out {
                self.give((at, port), packet)?;
            }
        }
        Ok(())
    }

    /// Count what leaves a port, and keep its matches. What is left has to be given to others.
    fn count(&mut self, from: Outlet, packet: Packet) -> Result<Option<Packet>> {
        let range = self.plan.range;
        match packet {
            Packet::Events(batch) if self.plan.topology.nodes[from.0].kind == Kind::Parse => {
                let n = (0..batch.len()).filter(|row| range.has(batch.event_ms(*row))).count();
                self.counts.events.fetch_add(batch.len() as u64, Relaxed);
                self.counts.in_range.fetch_add(n as u64, Relaxed);
                // Nobody needs a batch that lies outside altogether.
                Ok((n > 0).then_some(Packet::Events(batch)))
            }
            Packet::Records(records) => {
                for r in records {
                    match r {
                        Record::Match(m) if range.has(m.event_ms) => self.spool.add(from, m)?,
                        Record::Rejected(_) => drop(self.counts.rejected.fetch_add(1, Relaxed)),
                        _ => {}
                    }
                }
                Ok(None)
            }
            other => Ok(Some(other)),
        }
    }
}
