//! Sinks: an epoch is handed to its shards' writer when it is whole, in a defined order; the operator holds the epoch
//! until the writer says that it is committed.
use crate::board::{Board, Report};
use crate::cpu::Cpu;
use crate::handover::{Handover, to_lanes};
use crate::ports::{Outputs, Packets, weight};
use crate::writer::{Committer, Done, Job, Writer};
use model::key::group_of;
use model::part::sort_records;
use model::{Epoch, EventBatch, Packet, Pos, Record};
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// Render the shards of a sink that stay where the events are: one per lane. `handover`: where another worker of the
/// process may have read a split of the lane.
pub(crate) fn lanes<'s>(
    input: Packets<'s>,
    handover: Option<Handover>,
    committer: Committer,
    start: Epoch,
    board: Board,
) -> Vec<Packets<'s>> {
    let input = match handover {
        Some(handover) => to_lanes(input, handover),
        None => input,
    };
    render(input, committer, start, board, |mut stash, shards| {
        stash.sort_by_cached_key(order);
        let of = |shard| stash.iter().filter(move |p| matches!(p, Packet::Events(b) if b.lane == shard)).cloned();
        shards.iter().map(|shard| of(*shard).collect()).collect()
    })
}

/// Render the shards of a sink of records that are spread by key group.
pub(crate) fn groups<'s>(
    input: Packets<'s>,
    (groups, shards): (u32, u32),
    committer: Committer,
    start: Epoch,
    board: Board,
) -> Vec<Packets<'s>> {
    let peers = input.scope().peers() as u64;
    let shard_of = move |r: &Record| group_of(r.key(), groups) % shards;
    let packets = gather(input, board.cpu(&committer.id), move |r| shard_of(r) as u64 % peers);
    render(packets, committer, start, board, move |stash, shards| {
        let mut out: Vec<Vec<Record>> = vec![Vec::new(); shards.len()];
        for r in records(stash) {
            let at = shards.iter().position(|s| *s == shard_of(&r)).expect("records are sent to their shard's worker");
            out[at].push(r);
        }
        out.into_iter().map(sorted).collect()
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
    let packets = gather(input, board.cpu(&committer.id), move |_| owner as u64);
    render(
        packets,
        committer,
        start,
        board,
        |stash, shards| {
            if shards.is_empty() { Vec::new() } else { vec![sorted(records(stash))] }
        },
    )
}

/// Send records to the workers of their shards.
fn gather<'s>(input: Packets<'s>, cpu: Cpu, to: impl Fn(&Record) -> u64 + 'static) -> Packets<'s> {
    let records = input.unary::<CapacityContainerBuilder<Vec<Record>>, _, _, _>(Pipeline, "rows", |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let mut session = output.session(&cap);
                for packet in batches.flat_map(|b| b.drain(..)) {
                    match packet {
                        Packet::Records(r) => session.give_iterator(r.into_iter()),
                        Packet::Events(b) => {
                            cpu.of(|| session.give_iterator((0..b.len()).map(|row| event_row(&b, row))))
                        }
                        Packet::Raw(_) => {}
                    }
                }
            })
        }
    });
    records.unary::<CapacityContainerBuilder<Vec<Packet>>, _, _, _>(Exchange::new(to), "gather", |_, _| {
        |input, output| {
            input.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let records: Vec<Record> = batches.flat_map(|b| b.drain(..)).collect();
                output.session(&cap).give(Packet::Records(records));
            })
        }
    })
}

fn records(stash: Vec<Packet>) -> impl Iterator<Item = Record> {
    stash.into_iter().flat_map(|p| if let Packet::Records(r) = p { r } else { Vec::new() })
}

fn sorted(records: impl IntoIterator<Item = Record>) -> Vec<Packet> {
    let mut all: Vec<Record> = records.into_iter().collect();
    sort_records(&mut all);
    if all.is_empty() { Vec::new() } else { vec![Packet::Records(all)] }
}

/// Events leave through a record sink as whole JSON objects.
fn event_row(batch: &EventBatch, row: usize) -> Record {
    let json = serde_json::Value::Object(batch.layout.full.event(batch, row)).to_string();
    Record::Event(Box::new(model::record::EventRow { pos: batch.pos_of(row), json }))
}

/// Packets of one epoch and lane come from several sources and, where splits are shared, workers: order them by where they
/// were read.
fn order(p: &Packet) -> (u32, u32, Pos, Arc<str>) {
    match p {
        Packet::Events(b) if !b.is_empty() => (b.lane, b.origin.index, b.pos_of(0), b.layout.log_type.clone()),
        _ => (u32::MAX, 0, Pos::default(), "".into()),
    }
}

fn render<'s>(
    input: Packets<'s>,
    committer: Committer,
    start: Epoch,
    board: Board,
    split: impl Fn(Vec<Packet>, &[u32]) -> Vec<Vec<Packet>> + 'static,
) -> Vec<Packets<'s>> {
    let scope = input.scope();
    let id = committer.id.clone();
    let shards = committer.shards.clone();
    let mut b = OperatorBuilder::new(format!("sink {id}"), scope);
    let worker = scope.index();
    let wake = scope.worker().sync_activator_for(b.operator_info().address.to_vec());
    let mut input = b.new_input(input, Pipeline);
    let (_outputs, streams) = Outputs::new(&mut b, 0);
    b.build(move |caps| {
        let mut caps: Option<Vec<_>> = Some(caps.iter().map(|c| c.delayed(&(start + 1))).collect());
        let mut stash: BTreeMap<Epoch, Vec<Packet>> = BTreeMap::new();
        // Bytes of epochs that are not committed, for people.
        let mut weights: BTreeMap<Epoch, u64> = BTreeMap::new();
        let (status, cpu) = (board.status(), board.cpu(&id));
        let mut writer = Writer::start(committer, wake);
        let (mut next, mut through, mut finishing) = (start + 1, start, false);
        move |frontiers| {
            input.for_each_stamp(|cap, batches| {
                let Some(&epoch) = cap.least() else { return };
                let slot = stash.entry(epoch).or_default();
                batches.for_each(|b| {
                    *weights.entry(epoch).or_default() += b.iter().map(weight).sum::<u64>();
                    slot.append(b);
                });
                status.queue(&id, worker, weights.values().sum());
            });
            let Some(held) = &mut caps else { return };
            while !frontiers[0].less_equal(&next) {
                let Some(info) = board.info(next) else { break };
                let packets = cpu.of(|| split(stash.remove(&next).unwrap_or_default(), &shards));
                writer.give(Job::Epoch(info, packets));
                next += 1;
            }
            while let Some(done) = writer.take() {
                let Done::Epoch(epoch, closed) = done else {
                    caps = None;
                    return;
                };
                for c in closed {
                    board.count(epoch, &id, "".into(), "written", c.rows);
                    if let Some(commit) = c.commit {
                        board.report(epoch, Report::Commit { sink: id.clone(), shard: c.shard, commit });
                    }
                }
                through = epoch;
                if weights.remove(&epoch).is_some() {
                    status.queue(&id, worker, weights.values().sum());
                }
                status.frontier(&id, worker, epoch + 1);
                held.iter_mut().for_each(|c| c.downgrade(&(epoch + 1)));
            }
            if frontiers[0].is_empty() && through + 1 == next && !finishing {
                finishing = true;
                writer.give(Job::Finish);
                if let Some(Done::Finished) = writer.take() {
                    caps = None;
                }
            }
        }
    });
    streams
}
