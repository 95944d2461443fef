//! Readers: each worker reads the splits of its lanes, and then what others have not begun ([`crate::claims`]); a split or
//! a part of one per activation, so that what it read is still in the cache when the parser takes it.
use crate::board::Board;
use crate::claims::Claims;
use crate::fatal::fatal;
use crate::ports::{Outputs, Packets};
use model::source::{Reader, SOON};
use model::{Epoch, EpochRecord, Packet};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// An epoch of which this worker may take splits. Splits are named by their index in the record.
struct Work {
    caps: Vec<Capability<Epoch>>,
    record: Rc<EpochRecord>,
    /// Those of this worker's lanes.
    own: VecDeque<usize>,
    /// So many of them the reader knows to come.
    told: usize,
    /// Those of the other workers of this process, if any of them may read them.
    others: Vec<usize>,
}

/// A split that is being read.
struct Job {
    caps: Vec<Capability<Epoch>>,
    record: Rc<EpochRecord>,
    split: usize,
    /// What is below this offset has been read.
    from: u64,
}

/// The next split to read: the oldest epoch's, first of the own lanes, then what others have not begun. Epochs of which
/// nothing is left are let go.
fn take(works: &mut VecDeque<Work>, claims: &Claims) -> Option<Job> {
    while let Some(w) = works.front_mut() {
        let epoch = w.record.epoch;
        let next = std::iter::from_fn(|| {
            w.told = w.told.saturating_sub(1);
            w.own.pop_front().or_else(|| w.others.pop())
        })
        .find(|split| claims.take(epoch, *split));
        if let Some(split) = next {
            let from = w.record.splits[split].from;
            return Some(Job { caps: w.caps.clone(), record: w.record.clone(), split, from });
        }
        claims.through(epoch);
        works.pop_front();
    }
    None
}

/// Tell the reader of the splits that it will be asked for next.
fn tell(works: &mut VecDeque<Work>, reader: &mut dyn Reader) {
    let mut room = SOON - 1;
    for w in works {
        let coming = w.own.len().min(room);
        for split in w.own.range(w.told.min(coming)..coming) {
            reader.soon(&w.record.splits[*split]);
        }
        w.told = w.told.max(coming);
        room -= coming;
    }
}

/// Render the readers of one source. Returns its output ports.
pub(crate) fn read<'s>(
    epochs: StreamVec<'s, Epoch, Rc<EpochRecord>>,
    id: Arc<str>,
    index: u32,
    mut reader: Box<dyn Reader>,
    ports: usize,
    (claims, workers): (Arc<Claims>, usize),
    board: Board,
) -> Vec<Packets<'s>> {
    let scope = epochs.scope();
    let (me, peers) = (scope.index(), scope.peers());
    let mut b = OperatorBuilder::new(format!("read {id}"), scope);
    let activator = scope.activator_for(b.operator_info().address);
    let mut input = b.new_input(epochs, Pipeline);
    let (outputs, streams) = Outputs::new(&mut b, ports);
    let mut outputs = outputs.tapped(board.faucet(&id));
    b.build(move |caps| {
        drop(caps);
        let (mut works, cpu) = (VecDeque::<Work>::new(), board.cpu(&id));
        let mut begun: Option<Job> = None;
        let shared = reader.anywhere();
        move |_| {
            input.for_each_stamp(|cap, batches| {
                for record in batches.flat_map(|b| b.drain(..)) {
                    let caps = (0..=ports).map(|p| cap.retain_least(p).expect("records carry their epoch")).collect();
                    let (mut own, mut others) = (VecDeque::new(), Vec::new());
                    for (i, split) in record.splits.iter().enumerate().filter(|(_, s)| s.source == id) {
                        let worker = split.lane as usize % peers;
                        if worker == me {
                            own.push_back(i);
                        } else if shared && worker / workers == me / workers {
                            others.push(i);
                        }
                    }
                    works.push_back(Work { caps, record, own, told: 0, others });
                }
            });
            let Some(mut job) = begun.take().or_else(|| take(&mut works, &claims)) else { return };
            if !shared {
                tell(&mut works, &mut *reader);
            }
            let split = &job.record.splits[job.split];
            let origin = split.origin(index);
            let epoch = job.record.epoch;
            let mut out = |packet: Packet| {
                let (port, packet) = split.entered(packet, job.record.now_ms);
                match &packet {
                    Packet::Raw(raw) => {
                        board.count(epoch, &id, "".into(), "read", raw.records.len() as u64);
                        let bytes = raw.records.iter().map(|r| r.len as u64).sum();
                        board.count(epoch, &id, "".into(), "bytes", bytes);
                    }
                    Packet::Records(records) => {
                        board.count(epoch, &id, "".into(), "rejected", records.len() as u64);
                    }
                    Packet::Events(_) => {}
                }
                let port = port.min(ports - 1);
                outputs.give(port, &job.caps[port], packet);
                model::fault::crash_point("read.mid_split");
            };
            match cpu.of(|| reader.read_part(split, job.from, &origin, &mut out)) {
                Ok(next) if next < split.to => {
                    job.from = next;
                    begun = Some(job);
                }
                Ok(_) => {}
                Err(e) => fatal(&id, format!("read {} [{}, {}): {e}", split.name, split.from, split.to)),
            }
            if begun.is_some() || !works.is_empty() {
                activator.activate();
            }
        }
    });
    streams
}
