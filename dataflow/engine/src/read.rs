//! Readers: each worker reads the splits of its lanes, a split or a part of one per activation, so that what it read is
//! still in the cache when the parser takes it.
use crate::board::Board;
use crate::fatal::fatal;
use crate::ports::{Outputs, Packets};
use model::source::{Reader, SOON, Split};
use model::{Epoch, EpochRecord, Packet};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

struct Job {
    caps: Vec<Capability<Epoch>>,
    record: Rc<EpochRecord>,
    split: Split,
    /// What is below this offset has been read.
    from: u64,
    /// The reader knows that it comes.
    told: bool,
}

/// Render the readers of one source. Returns its output ports.
pub(crate) fn read<'s>(
    epochs: StreamVec<'s, Epoch, Rc<EpochRecord>>,
    id: Arc<str>,
    index: u32,
    mut reader: Box<dyn Reader>,
    ports: usize,
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
        let (mut jobs, cpu) = (VecDeque::<Job>::new(), board.cpu(&id));
        move |_| {
            input.for_each_stamp(|cap, batches| {
                for record in batches.flat_map(|b| b.drain(..)) {
                    for split in record.splits.iter().filter(|s| s.source == id && s.lane as usize % peers == me) {
                        let caps =
                            (0..=ports).map(|p| cap.retain_least(p).expect("records carry their epoch")).collect();
                        let (record, split, from) = (record.clone(), split.clone(), split.from);
                        jobs.push_back(Job { caps, record, split, from, told: false });
                    }
                }
            });
            let Some(mut job) = jobs.pop_front() else { return };
            for next in jobs.iter_mut().take(SOON - 1).filter(|next| !next.told) {
                reader.soon(&next.split);
                next.told = true;
            }
            let origin = job.split.origin(index);
            let epoch = job.record.epoch;
            let mut out = |packet: Packet| {
                let (port, packet) = job.split.entered(packet, job.record.now_ms);
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
            match cpu.of(|| reader.read_part(&job.split, job.from, &origin, &mut out)) {
                Ok(next) if next < job.split.to => {
                    job.from = next;
                    jobs.push_front(job);
                }
                Ok(_) => {}
                Err(e) => fatal(&id, format!("read {} [{}, {}): {e}", job.split.name, job.split.from, job.split.to)),
            }
            if !jobs.is_empty() {
                activator.activate();
            }
        }
    });
    streams
}
