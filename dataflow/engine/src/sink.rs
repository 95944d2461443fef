//! Sinks: an epoch is staged when it is whole, in a defined order, and committed once per (shard, epoch).
use crate::board::{Board, Report};
use crate::fatal::{Diverged, commit_failed, fatal};
use crate::ports::{Outputs, Packets};
use model::epoch::EpochInfo;
use model::part::sort_records;
use model::sink::{Receipt, Sink};
use model::store::{Commit, Store};
use model::{Epoch, EventBatch, Packet, Pos, Record};
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// One shard with its progress.
pub(crate) struct Shard {
    pub number: u32,
    pub sink: Box<dyn Sink>,
    /// Epoch up to which an earlier incarnation committed.
    pub committed: Epoch,
    /// Receipts of epochs that may be replayed.
    pub receipts: BTreeMap<Epoch, Receipt>,
}

/// What the shards of one sink need to commit.
pub(crate) struct Committer {
    pub id: Arc<str>,
    pub store: Arc<dyn Store>,
    pub generation: u64,
    pub shards: Vec<Shard>,
    /// Given to [`Sink::finish`] after the last epoch.
    pub drain_ms: u64,
}

impl Committer {
    /// Take an epoch of one shard through `commit`, or check it against the receipt of an earlier incarnation.
    pub fn close(&mut self, at: usize, info: &EpochInfo) -> model::Result<Option<Commit>> {
        let shard = &mut self.shards[at];
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
                // Reported again, so that the next manifest carries the newest receipt.
                (_, want) => Ok(want.map(|receipt| Commit { epoch: info.epoch, generation: self.generation, receipt })),
            };
        }
        let early = model::fault::broken("commit_before_write");
        if early {
            let commit = Commit { epoch: info.epoch, generation: self.generation, receipt: Receipt::default() };
            self.store.append_commit(&self.id, shard.number, &commit, true)?;
        }
        let Some(receipt) = shard.sink.commit(info)? else { return Ok(None) };
        model::fault::crash_point("sink.before_commit");
        let sync = receipt.rows > 0 || info.snapshot;
        let commit = Commit { epoch: info.epoch, generation: self.generation, receipt };
        if !early {
            self.store.append_commit(&self.id, shard.number, &commit, sync)?;
        }
        model::fault::crash_point("sink.after_commit");
        Ok(Some(commit))
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

/// Render the shards of a sink that stay where the events are: one per lane.
pub(crate) fn lanes<'s>(input: Packets<'s>, committer: Committer, start: Epoch, board: Board) -> Vec<Packets<'s>> {
    render(input, committer, start, board, |stash, shard| {
        stash.sort_by_cached_key(|p| order(p));
        stash.iter().filter(|p| matches!(p, Packet::Events(b) if b.lane == shard)).cloned().collect()
    })
}

/// Render a sink of one shard: everything is sent to one worker and put into one order.
pub(crate) fn single<'s>(
    input: Packets<'s>,
    owner: usize,
    committer: Committer,
    start: Epoch,
    board: Board,
) -> Vec<Packets<'s>> {
    let records = input.unary::<CapacityContainerBuilder<Vec<Record>>, _, _, _>(Pipeline, "rows", |_, _| {
        |input, output| {
            input.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let mut session = output.session(&cap);
                for packet in batches.flat_map(|b| b.drain(..)) {
                    match packet {
                        Packet::Records(r) => session.give_iterator(r.into_iter()),
                        Packet::Events(b) => session.give_iterator((0..b.len()).map(|row| event_row(&b, row))),
                        Packet::Raw(_) => {}
                    }
                }
            })
        }
    });
    let packets = records.unary::<CapacityContainerBuilder<Vec<Packet>>, _, _, _>(
        Exchange::new(move |_: &Record| owner as u64),
        "gather",
        |_, _| {
            |input, output| {
                input.for_each_stamp(|cap, batches| {
                    let Some(cap) = cap.retain_least(0) else { return };
                    let records: Vec<Record> = batches.flat_map(|b| b.drain(..)).collect();
                    output.session(&cap).give(Packet::Records(records));
                })
            }
        },
    );
    render(packets, committer, start, board, |stash, _| {
        let mut all: Vec<Record> = Vec::new();
        for p in stash.drain(..) {
            if let Packet::Records(r) = p {
                all.extend(r);
            }
        }
        sort_records(&mut all);
        if all.is_empty() { Vec::new() } else { vec![Packet::Records(all)] }
    })
}

/// Events leave through a record sink as whole JSON objects.
fn event_row(batch: &EventBatch, row: usize) -> Record {
    let json = serde_json::Value::Object(batch.layout.full.event(batch, row)).to_string();
    Record::Event(Box::new(model::record::EventRow { pos: batch.pos_of(row), json }))
}

/// Packets of one epoch and lane come from one worker, but from several sources: order them by where they were read.
fn order(p: &Packet) -> (u32, u32, Pos, Arc<str>) {
    match p {
        Packet::Events(b) if !b.is_empty() => (b.lane, b.origin.index, b.pos_of(0), b.layout.log_type.clone()),
        _ => (u32::MAX, 0, Pos::default(), "".into()),
    }
}

fn render<'s>(
    input: Packets<'s>,
    mut committer: Committer,
    start: Epoch,
    board: Board,
    pick: impl Fn(&mut Vec<Packet>, u32) -> Vec<Packet> + 'static,
) -> Vec<Packets<'s>> {
    let mut b = OperatorBuilder::new(format!("sink {}", committer.id), input.scope());
    let mut input = b.new_input(input, Pipeline);
    let (_outputs, streams) = Outputs::new(&mut b, 0);
    b.build(move |caps| {
        let mut caps: Option<Vec<_>> = Some(caps.iter().map(|c| c.delayed(&(start + 1))).collect());
        let mut stash: BTreeMap<Epoch, Vec<Packet>> = BTreeMap::new();
        let mut next = start + 1;
        move |frontiers| {
            input.for_each_stamp(|cap, batches| {
                let Some(&epoch) = cap.least() else { return };
                let slot = stash.entry(epoch).or_default();
                batches.for_each(|b| slot.append(b));
            });
            let Some(held) = &mut caps else { return };
            while !frontiers[0].less_equal(&next) {
                let Some(info) = board.info(next) else { break };
                let mut packets = stash.remove(&next).unwrap_or_default();
                for at in 0..committer.shards.len() {
                    let number = committer.shards[at].number;
                    for packet in pick(&mut packets, number) {
                        if let Err(e) = committer.shards[at].sink.stage(&packet) {
                            fatal(&committer.id, format!("stage epoch {next}: {e}"));
                        }
                    }
                    match committer.close(at, &info) {
                        Ok(Some(commit)) => {
                            board.count(next, &committer.id, "".into(), "written", commit.receipt.rows);
                            let report = Report::Commit { sink: committer.id.clone(), shard: number, commit };
                            board.report(next, report)
                        }
                        Ok(None) => {}
                        Err(e) => commit_failed(&committer.id, next, e),
                    }
                }
                next += 1;
                held.iter_mut().for_each(|c| c.downgrade(&next));
            }
            if frontiers[0].is_empty() && caps.take().is_some() {
                committer.finish();
            }
        }
    });
    streams
}
