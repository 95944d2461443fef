//! The writer of a sink: takes whole epochs of its shards through stage and commit, once per (shard, epoch).
//!
//! A writer runs on a thread of its own: a commit waits for a disk or a broker, and while it waits the worker goes on
//! with the next epochs. What may pile up in front of it is bounded by the epochs in flight.
use crate::cpu::Cpu;
use crate::fatal::{Diverged, commit_failed, fatal};
use crate::recovery::Start;
use crate::status::Status;
use model::epoch::EpochInfo;
use model::sink::{Receipt, Sink};
use model::store::{Commit, Store};
use model::{Epoch, Packet};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;
use timely::scheduling::SyncActivator;

/// What a writer needs: the shards that this worker owns, and where their commit records are.
pub(crate) struct Committer {
    pub id: Arc<str>,
    pub store: Arc<dyn Store>,
    pub generation: u64,
    /// Numbers of the shards.
    pub shards: Vec<u32>,
    /// Makes the sink of a shard.
    pub build: Box<dyn Fn(u32) -> Box<dyn Sink> + Send + Sync>,
    /// Where each takes over.
    pub start: Arc<Start>,
    /// Figures for people.
    pub status: Arc<Status>,
    /// Given to [`Sink::finish`] after the last epoch.
    pub drain_ms: u64,
    /// Commit on the worker's own thread: for simulation, which has one runner at a time.
    pub inline: bool,
}

/// To a writer.
pub(crate) enum Job {
    /// An epoch, with the packets of each shard in order.
    Epoch(Arc<EpochInfo>, Vec<Vec<Packet>>),
    /// The last epoch is through.
    Finish,
}

/// An epoch that is through in one shard.
pub(crate) struct Closed {
    pub shard: u32,
    /// Rows that it has made visible with this epoch, now or before.
    pub rows: u64,
    /// What the next manifest is to say of the shard. None for an epoch that was committed before and whose record is gone
    /// (a Kafka topic keeps the newest of a shard): the sink knows better where it stands.
    pub commit: Option<Commit>,
}

/// From a writer.
pub(crate) enum Done {
    /// Committed, by shard.
    Epoch(Epoch, Vec<Closed>),
    /// Everything is delivered that could be in the time given.
    Finished,
}

/// Handle of a writer.
pub(crate) enum Writer {
    Thread { jobs: Sender<Job>, done: Receiver<Done> },
    Inline { shards: Box<Shards>, done: VecDeque<Done> },
}

impl Writer {
    /// Let the shards take over, and be ready for their first epoch. `wake` tells the operator that there is an answer.
    pub fn start(committer: Committer, wake: SyncActivator) -> Writer {
        if committer.inline || committer.shards.is_empty() {
            return Writer::Inline { shards: Box::new(Shards::open(committer)), done: VecDeque::new() };
        }
        let (jobs, inbox) = channel();
        let (answers, done) = channel();
        let run = move || {
            let mut shards = Shards::open(committer);
            while let Ok(job) = inbox.recv() {
                if answers.send(shards.work(job)).is_err() || wake.activate().is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("writer".into()).spawn(run).expect("start a writer thread");
        Writer::Thread { jobs, done }
    }
    /// Give it something to do.
    pub fn give(&mut self, job: Job) {
        match self {
            // A writer that has ended has ended the process.
            Writer::Thread { jobs, .. } => drop(jobs.send(job)),
            Writer::Inline { shards, done } => done.push_back(shards.work(job)),
        }
    }
    /// Take an answer, if there is one.
    pub fn take(&mut self) -> Option<Done> {
        match self {
            Writer::Thread { done, .. } => done.try_recv().ok(),
            Writer::Inline { done, .. } => done.pop_front(),
        }
    }
}

/// An error if a shard has committed an epoch that is not in the log. `last` is the log's end as it was at the start: if this
/// incarnation has moved on since, a predecessor that had not noticed that it is replaced may have read the new epochs and
/// committed them.
fn logged(store: &dyn Store, last: Epoch, committed: Epoch) -> model::Result<()> {
    if committed <= last {
        return Ok(());
    }
    let last = store.epochs_after(last)?.last().map_or(last, |r| r.epoch);
    if committed <= last {
        return Ok(());
    }
    Err(format!("it has committed epoch {committed}, but the epoch log ends at {last}: the log lost its end").into())
}

/// One shard with its progress.
struct Shard {
    number: u32,
    sink: Box<dyn Sink>,
    /// The sink writes its commit records itself.
    own: bool,
    /// Epoch up to which an earlier incarnation committed.
    committed: Epoch,
    /// Receipts of epochs that may be replayed.
    receipts: BTreeMap<Epoch, Receipt>,
}

/// The shards of one writer.
pub(crate) struct Shards {
    /// The sink.
    pub id: Arc<str>,
    store: Arc<dyn Store>,
    generation: u64,
    drain_ms: u64,
    status: Arc<Status>,
    cpu: Cpu,
    shards: Vec<Shard>,
}

impl Shards {
    /// Build every shard and let it take over from its newest commit record.
    pub fn open(c: Committer) -> Shards {
        let open = |&number: &u32| {
            let mut sink = (c.build)(number);
            let failed = |e: model::Error| -> ! { fatal(&c.id, format!("take over shard {number}: {e}")) };
            let own = sink.own_commits().unwrap_or_else(|e| failed(e));
            let newest = own.iter().flatten().map(|o| o.epoch).max().unwrap_or(0);
            if let Err(e) = logged(&*c.store, c.start.last_epoch(), newest) {
                failed(e)
            }
            let progress = c.start.progress(&c.id, number, own.as_deref());
            if let Err(e) = sink.recover(progress.last.as_ref()) {
                failed(e)
            }
            let (committed, receipts) = (progress.committed, progress.receipts);
            Shard { number, sink, own: own.is_some(), committed, receipts }
        };
        let shards = match c.inline || c.shards.len() < 2 {
            true => c.shards.iter().map(open).collect(),
            // Each may have a conversation with a broker: they are held side by side.
            false => std::thread::scope(|s| {
                let all: Vec<_> = c.shards.iter().map(|n| s.spawn(|| open(n))).collect();
                all.into_iter().map(|t| t.join().expect("a panic ends the process")).collect()
            }),
        };
        let Committer { id, store, generation, drain_ms, status, .. } = c;
        let cpu = status.cpu(&id);
        Shards { id, store, generation, drain_ms, status, cpu, shards }
    }

    fn work(&mut self, job: Job) -> Done {
        match job {
            Job::Epoch(info, packets) => {
                let began = Instant::now();
                let closed = self.epoch(&info, packets);
                if !self.shards.is_empty() {
                    self.status.commit_ms(&self.id, began.elapsed().as_millis() as u64);
                }
                Done::Epoch(info.epoch, closed)
            }
            Job::Finish => {
                self.finish();
                Done::Finished
            }
        }
    }

    /// Take an epoch of every shard through; a failure ends the process.
    pub fn epoch(&mut self, info: &EpochInfo, packets: Vec<Vec<Packet>>) -> Vec<Closed> {
        self.cpu.clone().of(|| self.take(info, packets))
    }

    fn take(&mut self, info: &EpochInfo, packets: Vec<Vec<Packet>>) -> Vec<Closed> {
        let mut out = Vec::new();
        for (at, packets) in packets.into_iter().enumerate() {
            for packet in &packets {
                if let Err(e) = self.shards[at].sink.stage(packet) {
                    fatal(&self.id, format!("stage epoch {}: {e}", info.epoch));
                }
            }
            match self.close(at, info) {
                Ok(closed) => out.extend(closed),
                Err(e) => commit_failed(&self.id, info.epoch, e),
            }
        }
        out
    }

    /// Take an epoch of one shard through `commit`, or check it against the receipt of an earlier incarnation.
    fn close(&mut self, at: usize, info: &EpochInfo) -> model::Result<Option<Closed>> {
        let shard = &mut self.shards[at];
        let number = shard.number;
        let commit = |receipt| Commit { epoch: info.epoch, generation: self.generation, receipt };
        if info.epoch <= shard.committed {
            let got = shard.sink.discard(info)?;
            let want = shard.receipts.remove(&info.epoch);
            return match (got, want) {
                (Some(got), Some(want)) if (got.rows, &got.digest) != (want.rows, &want.digest) => Err(Diverged(format!(
                    "replay of epoch {} gave {} rows with digest {}, but {} rows with digest {} were committed. The \
                     input or a content file changed under the log; nothing was written. Restore them, or start with \
                     a new data_dir",
                    info.epoch, got.rows, got.digest, want.rows, want.digest
                ))
                .into()),
                // Told again: the ledger of this epoch may not be committed yet, and the next manifest carries the newest receipt.
                (got, want) => Ok(want.as_ref().or(got.as_ref()).map(|r| r.rows).map(|rows| Closed {
                    shard: number,
                    rows,
                    commit: want.map(commit),
                })),
            };
        }
        let early = model::fault::broken("commit_before_write") && !shard.own;
        if early {
            self.store.append_commit(&self.id, number, &commit(Receipt::default()), true)?;
        }
        let Some(receipt) = shard.sink.commit(info)? else { return Ok(None) };
        model::fault::crash_point("sink.before_commit");
        let sync = receipt.rows > 0 || info.snapshot;
        let commit = commit(receipt);
        if !early && !shard.own {
            self.store.append_commit(&self.id, number, &commit, sync)?;
        }
        model::fault::crash_point("sink.after_commit");
        Ok(Some(Closed { shard: number, rows: commit.receipt.rows, commit: Some(commit) }))
    }

    /// The last epoch is through.
    pub fn finish(&mut self) {
        for s in &mut self.shards {
            if let Err(e) = s.sink.finish(self.drain_ms) {
                fatal(&self.id, format!("finish: {e}"));
            }
        }
    }
}
