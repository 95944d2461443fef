//! The coordinator: decides what an epoch holds, makes that durable, hands it to the workers, and publishes a manifest
//! when a snapshot epoch is committed everywhere. One thread; the only place that looks at the wall clock.
use crate::board::Report;
use crate::collect::Done;
use crate::quarantine::Quarantine;
use crate::session::{Control, Outcome, Session};
use crate::world::World;
use model::epoch::{Command, Quarantined};
use model::source::{Budget, Source, Split};
use model::store::{Commit, Manifest, ObjectRef};
use model::{Epoch, EpochRecord, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use timely::scheduling::SyncActivator;

/// How often idle sources are asked again, and how long a wait for the workers lasts at most.
const POLL: Duration = Duration::from_millis(10);
/// How often lag is shown.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// As much input as so many full epochs hold may be open: one that is worked on while the other is committed. More of
/// them at once do no more, and take more memory.
const FULL_EPOCHS: u64 = 2;

struct Open {
    since: Duration,
    splits: Vec<Split>,
    bytes: u64,
    commands: Vec<Command>,
}

/// A snapshot that is being made.
struct Snapshot {
    since: Duration,
    now_ms: i64,
    sources: BTreeMap<String, ObjectRef>,
    quarantined: Vec<Quarantined>,
}

/// An epoch that the workers have and have not finished.
struct Flight {
    /// Its first input came at this time.
    since: Duration,
    bytes: u64,
    record: Arc<EpochRecord>,
}

pub(crate) struct Coordinator<'a> {
    s: &'a Session<'a>,
    world: &'a World,
    sources: BTreeMap<Arc<str>, Box<dyn Source>>,
    epochs: Sender<Arc<EpochRecord>>,
    done: Receiver<Done>,
    wake: SyncActivator,
    /// Epoch of the last record handed out.
    last: Epoch,
    committed: Epoch,
    now_ms: i64,
    lane: u32,
    flight: BTreeMap<Epoch, Flight>,
    /// The manifest to be: state and commits as of the newest report.
    manifest: Manifest,
    /// Source states at snapshot epochs in flight.
    snapshots: BTreeMap<Epoch, Snapshot>,
    since_snapshot: (Duration, bool),
    ending: Option<Outcome>,
    commands: Vec<Command>,
    quarantine: Quarantine,
    lag_shown: Duration,
}

impl<'a> Coordinator<'a> {
    pub fn new(
        s: &'a Session<'a>,
        world: &'a World,
        sources: BTreeMap<Arc<str>, Box<dyn Source>>,
        epochs: Sender<Arc<EpochRecord>>,
        done: Receiver<Done>,
        wake: SyncActivator,
    ) -> Self {
        let m = &s.start.manifest;
        let kept = carried(s);
        Coordinator {
            s,
            world,
            sources,
            epochs,
            done,
            wake,
            last: m.epoch,
            committed: m.epoch,
            now_ms: m.now_ms,
            lane: 0,
            flight: BTreeMap::new(),
            quarantine: Quarantine::new(kept.quarantined.clone()),
            manifest: Manifest {
                generation: s.generation,
                bundle: s.bundle.clone(),
                topology_generation: s.topology_generation,
                groups: s.settings.groups,
                lanes: s.settings.lanes,
                ..kept
            },
            snapshots: BTreeMap::new(),
            since_snapshot: (world.now(), false),
            ending: None,
            commands: Vec::new(),
            lag_shown: world.now(),
        }
    }

    /// Replay, then run until told to end.
    pub fn run(&mut self) -> Result<Outcome> {
        self.s.status.begin(&self.s.settings.name, &self.s.graph, self.s.topology_generation);
        self.restore()?;
        for record in self.s.start.replay.clone() {
            self.replay(record)?;
        }
        self.wait_until(|c| c.flight.is_empty())?;
        self.s.status.live.store(true, Relaxed);
        if self.s.replay_only {
            self.ending = Some(Outcome::Finished);
        }
        loop {
            let sealed = self.epoch()?;
            self.drain_done()?;
            if sealed {
                self.wait_until(|c| c.flight.is_empty())?;
                return Ok(self.ending.take().unwrap_or(Outcome::Finished));
            }
        }
    }

    /// No more epochs: let the dataflow run out. The source of epochs must be woken to see the end of its channel.
    pub fn end(self) {
        drop(self.epochs);
        let _ = self.wake.activate();
    }

    fn restore(&mut self) -> Result<()> {
        for (id, source) in &mut self.sources {
            if let Some(o) = self.s.start.manifest.sources.get(&**id) {
                source.restore(&self.s.store.get(o)?)?;
            }
        }
        Ok(())
    }

    fn replay(&mut self, record: EpochRecord) -> Result<()> {
        for split in &record.splits {
            if let Some(source) = self.sources.get_mut(&split.source) {
                source.replayed(split)?;
            }
            self.lane = (split.lane + 1) % self.s.settings.lanes;
        }
        model::fault::crash_point("recover.mid_replay");
        self.credit()?;
        self.hand_out(record, 0, self.world.now())
    }

    /// Gather one epoch and hand it out. True if it was the seal.
    fn epoch(&mut self) -> Result<bool> {
        self.credit()?;
        let settings = &self.s.settings;
        let mut open: Option<Open> = None;
        let mut exhausted;
        loop {
            self.listen();
            self.show_lag();
            let budget = settings.epoch_bytes.saturating_sub(open.as_ref().map_or(0, |o| o.bytes));
            exhausted = true;
            let mut got = 0;
            if budget > 0 && self.ending.is_none() {
                let share = (budget / self.sources.len().max(1) as u64).max(1);
                for source in self.sources.values_mut() {
                    let poll = source.poll(Budget { bytes: share, now_ms: self.now_ms.max(self.world.clock_ms()) })?;
                    exhausted &= poll.exhausted;
                    if !poll.splits.is_empty() {
                        got += poll.bytes;
                        let o = open.get_or_insert_with(|| Open::new(self.world.now()));
                        o.bytes += poll.bytes;
                        o.splits.extend(poll.splits);
                    }
                }
            }
            if !self.commands.is_empty() {
                open.get_or_insert_with(|| Open::new(self.world.now())).commands.append(&mut self.commands);
            }
            let owed = self.since_snapshot.1 || self.manifest.commits.values().any(|c| c.receipt.waiting);
            let due = owed && self.world.ms_since(self.since_snapshot.0) >= settings.checkpoint_ms;
            let full = open
                .as_ref()
                .is_some_and(|o| o.bytes >= settings.epoch_bytes || self.world.ms_since(o.since) >= settings.epoch_ms);
            if full || due || self.ending.is_some() || (exhausted && settings.once) {
                break;
            }
            if got == 0 {
                self.wait(POLL)?;
            }
        }
        if exhausted && settings.once && self.ending.is_none() {
            self.ending = Some(Outcome::Finished);
        }
        let seal = self.ending.is_some();
        self.close(open.unwrap_or_else(|| Open::new(self.world.now())), seal)?;
        Ok(seal)
    }

    /// Make the epoch durable, then visible to the workers.
    fn close(&mut self, open: Open, seal: bool) -> Result<()> {
        self.now_ms = self.now_ms.max(self.world.clock_ms());
        let lanes = self.s.settings.lanes;
        let mut splits = joined(open.splits);
        for s in &mut splits {
            if s.lane == Split::ANY_LANE {
                s.lane = self.lane;
                self.lane = (self.lane + 1) % lanes;
            }
            s.lane %= lanes;
        }
        let elapsed = self.world.ms_since(self.since_snapshot.0);
        let snapshot = seal || elapsed >= self.s.settings.checkpoint_ms;
        let quarantined = self.quarantined(&open.commands);
        let record = EpochRecord {
            epoch: self.last + 1,
            generation: self.s.generation,
            now_ms: self.now_ms,
            bundle: self.s.bundle.clone(),
            splits,
            commands: open.commands,
            quarantined,
            snapshot,
            seal,
        };
        if !model::fault::broken("no_epoch_log") {
            self.s.store.append_epoch(&record)?;
        }
        self.hand_out(record, open.bytes, open.since)
    }

    /// Who is not evaluated from the epoch on that is about to be logged; says who is out for the first time.
    fn quarantined(&mut self, commands: &[Command]) -> Vec<Quarantined> {
        let (out, new) = self.quarantine.next(self.last + 1, commands);
        for Quarantined { node, rule, stopped, epoch } in new {
            eprintln!(
                "millstream: rule `{rule}` of `{node}` was stopped at its limits {stopped} times in epoch {epoch}: it is not \
                 evaluated any more, and each event it should have seen is an error of it; mend it, or let it go with \
                 `millstream unsuppress {rule}`"
            );
        }
        out
    }

    fn hand_out(&mut self, record: EpochRecord, bytes: u64, since: Duration) -> Result<()> {
        self.now_ms = self.now_ms.max(record.now_ms);
        self.last = record.epoch;
        self.quarantine.handed_out(record.epoch, &record.commands, &record.quarantined);
        self.since_snapshot.1 = true;
        if record.snapshot {
            self.since_snapshot = (self.world.now(), false);
            let mut states = BTreeMap::new();
            for (id, source) in &self.sources {
                let name = format!("source-{id}/{:020}-g{}", record.epoch, self.s.generation);
                states.insert(id.to_string(), self.s.store.put(&name, &source.snapshot())?);
            }
            let (since, quarantined) = (self.world.now(), record.quarantined.clone());
            let snapshot = Snapshot { since, now_ms: record.now_ms, sources: states, quarantined };
            self.snapshots.insert(record.epoch, snapshot);
        }
        let record = Arc::new(record);
        self.flight.insert(record.epoch, Flight { since, bytes, record: record.clone() });
        self.show_flight();
        self.epochs.send(record).map_err(|_| "the workers are gone")?;
        let _ = self.wake.activate();
        Ok(())
    }

    fn show_flight(&self) {
        self.s.status.open.store(self.flight.len() as u64, Relaxed);
        self.s.status.in_flight_bytes.store(self.flight_bytes(), Relaxed);
    }

    /// Wait until another epoch may be opened.
    fn credit(&mut self) -> Result<()> {
        let (in_flight, epoch_bytes) = (self.s.settings.in_flight, self.s.settings.epoch_bytes);
        self.wait_until(|c| room(c.flight.len() as u64, c.flight_bytes(), in_flight, epoch_bytes))
    }

    /// Bytes of input in the open epochs.
    fn flight_bytes(&self) -> u64 {
        self.flight.values().map(|f| f.bytes).sum()
    }

    fn wait_until(&mut self, ready: impl Fn(&Self) -> bool) -> Result<()> {
        while !ready(self) {
            self.wait(Duration::from_millis(100))?;
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<()> {
        self.s.status.beat();
        self.s.status.coordinated();
        match self.world.recv(&self.done, time) {
            Ok(d) => self.finished(d),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err("the workers ended before their last epoch".into()),
        }
    }

    /// Show how far the sources are behind.
    fn show_lag(&mut self) {
        if self.world.now().saturating_sub(self.lag_shown) >= LAG_EVERY {
            self.lag_shown = self.world.now();
            let now = self.now_ms.max(self.world.clock_ms());
            for (id, source) in &self.sources {
                self.s.status.lag(id, source.lag(now));
            }
        }
    }

    fn drain_done(&mut self) -> Result<()> {
        while let Ok(d) = self.done.try_recv() {
            self.finished(d)?;
        }
        Ok(())
    }

    fn listen(&mut self) {
        while let Ok(c) = self.s.control.try_recv() {
            match c {
                Control::Drain => {
                    self.s.status.draining.store(true, Relaxed);
                    self.ending = Some(Outcome::Drained)
                }
                Control::Seal => self.ending = Some(Outcome::Sealed),
                Control::Command(c) => self.commands.push(c),
            }
        }
    }

    /// An epoch is committed by every sink shard.
    fn finished(&mut self, done: Done) -> Result<()> {
        assert_eq!(done.epoch, self.committed + 1, "epochs are committed in order");
        self.committed = done.epoch;
        if let Some(f) = self.flight.remove(&done.epoch) {
            self.s.status.latency(self.world.ms_since(f.since));
            self.s.status.bytes.fetch_add(f.bytes, Relaxed);
            for (id, source) in &mut self.sources {
                let splits: Vec<&Split> = f.record.splits.iter().filter(|s| s.source == *id).collect();
                if !splits.is_empty() {
                    source.finished(&splits, done.bytes.get(id).copied().unwrap_or(0))?;
                }
            }
        }
        self.quarantine.finished(done.epoch, done.stopped);
        self.show_flight();
        for report in done.reports {
            match report {
                Report::Commit { sink, shard, commit } => {
                    self.manifest.commits.insert(format!("{sink}/{shard}"), commit);
                }
                Report::State { node, state_key, object, pieces } => {
                    let slot = self.manifest.state.entry(node.to_string()).or_default();
                    slot.state_key = state_key;
                    slot.add(object, &pieces);
                }
            }
        }
        match self.snapshots.remove(&done.epoch) {
            Some(snapshot) => self.publish(done.epoch, snapshot),
            None => Ok(()),
        }
    }

    fn publish(&mut self, epoch: Epoch, snapshot: Snapshot) -> Result<()> {
        for (shard, c) in &self.manifest.commits {
            assert!(c.epoch <= epoch, "sink shard {shard} is ahead of the cut");
        }
        self.manifest.epoch = if model::fault::broken("manifest_early") { self.last } else { epoch };
        self.manifest.now_ms = snapshot.now_ms;
        self.manifest.sources = snapshot.sources;
        self.manifest.quarantined = snapshot.quarantined;
        self.s.store.publish(&self.manifest)?;
        self.s.store.trim(self.s.settings.keep)?;
        let bytes = self.manifest.objects().values().map(|o| o.len).sum();
        self.s.status.checkpoint(epoch, bytes, self.world.ms_since(snapshot.since));
        for source in self.sources.values_mut() {
            source.committed(epoch)?;
        }
        Ok(())
    }
}

impl Open {
    fn new(since: Duration) -> Open {
        Open { since, splits: Vec::new(), bytes: 0, commands: Vec::new() }
    }
}

/// May another epoch be opened beside so many that hold so much?
fn room(open: u64, bytes: u64, in_flight: u64, epoch_bytes: u64) -> bool {
    open < in_flight.max(1) && (open == 0 || bytes < FULL_EPOCHS.saturating_mul(epoch_bytes))
}

/// Splits that go on where another of the same partition and lane ends become one. Splits with a detail stay as they are.
fn joined(splits: Vec<Split>) -> Vec<Split> {
    let mut out: Vec<Split> = Vec::with_capacity(splits.len());
    let mut last: HashMap<(Arc<str>, u32), usize> = HashMap::new();
    for s in splits {
        let plain = s.lane != Split::ANY_LANE && s.detail.is_null() && s.from < s.to;
        let key = (s.source.clone(), s.partition);
        match last.get(&key).map(|at| &mut out[*at]) {
            Some(before) if plain && before.to == s.from && before.lane == s.lane => before.to = s.to,
            _ => {
                last.remove(&key);
                if plain {
                    last.insert(key, out.len());
                }
                out.push(s);
            }
        }
    }
    out
}

/// What the new session takes over from the last manifest: state of nodes that keep their meaning, and commits.
fn carried(s: &Session) -> Manifest {
    let mut m = s.start.manifest.clone();
    // An edit may have mended them; those that it has not run away again.
    if m.topology_generation != s.topology_generation {
        m.quarantined.clear();
    }
    m.state.retain(|id, kept| s.graph.nodes.iter().any(|n| *n.id == **id && s.graph.state_key(n) == kept.state_key));
    for ((sink, shard), commits) in &s.start.commits {
        if let Some(c) = commits.iter().rfind(|c| c.epoch <= m.epoch) {
            m.commits.entry(format!("{sink}/{shard}")).or_insert_with(|| Commit::clone(c));
        }
    }
    m
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_epochs_are_two_and_others_as_many_as_may_be() {
        let fits = |open, bytes| room(open, bytes, 4, 100);
        assert!(fits(0, 0) && fits(1, 100) && fits(1, 199) && fits(3, 199));
        assert!(!fits(2, 200) && !fits(1, 200) && !fits(4, 0));
        // One that is too large by itself does not stop the next when it is done; without a number there is one.
        assert!(fits(0, 1000) && room(0, 0, 0, 100) && !room(1, 0, 0, 100));
        assert!(room(1, u64::MAX - 1, 4, u64::MAX));
    }
}
