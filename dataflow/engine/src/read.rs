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

#[cfg(test)]
mod tests {
    use super::*;
    use model::Split;

    fn record(epoch: Epoch, splits: usize) -> Rc<EpochRecord> {
        let split = |i| Split {
            source: "in".into(),
            partition: 0,
            name: "p".into(),
            from: i * 10,
            to: i * 10 + 10,
            detail: serde_json::Value::Null,
            lane: 0,
        };
        Rc::new(EpochRecord {
            epoch,
            generation: 1,
            now_ms: 0,
            bundle: String::new(),
            splits: (0..splits as u64).map(split).collect(),
            commands: Vec::new(),
            quarantined: Vec::new(),
            snapshot: false,
            seal: false,
        })
    }

    fn work(epoch: Epoch, own: &[usize], others: &[usize]) -> Work {
        let (own, others) = (own.iter().copied().collect(), others.to_vec());
        Work { caps: Vec::new(), record: record(epoch, 6), own, told: 0, others }
    }

    #[test]
    fn the_own_splits_in_order_then_the_last_of_the_others_epoch_by_epoch() {
        let claims = Claims::new(2);
        let mut fast: VecDeque<_> = [work(1, &[0, 2, 4], &[1, 3, 5]), work(2, &[0], &[1])].into();
        let mut slow: VecDeque<_> = [work(1, &[1, 3, 5], &[0, 2, 4]), work(2, &[1], &[0])].into();
        let next = |w: &mut VecDeque<Work>| take(w, &claims).map(|j| (j.record.epoch, j.split, j.from));
        assert_eq!(next(&mut slow), Some((1, 1, 10)));
        let took: Vec<_> = std::iter::from_fn(|| next(&mut fast)).take(6).collect();
        assert_eq!(took, [(1, 0, 0), (1, 2, 20), (1, 4, 40), (1, 5, 50), (1, 3, 30), (2, 0, 0)]);
        assert_eq!(slow.len(), 2, "it may take of an epoch until it has seen that nothing is left");
        assert_eq!((next(&mut slow), next(&mut fast), next(&mut slow)), (Some((2, 1, 10)), None, None));
        assert!(fast.is_empty() && slow.is_empty());
    }

    #[test]
    fn a_reader_is_told_once_of_what_comes_over_epochs_too() {
        struct Told(Vec<u64>);
        impl Reader for Told {
            fn read_part(
                &mut self,
                _: &Split,
                _: u64,
                _: &Arc<model::raw::Origin>,
                _: &mut dyn FnMut(Packet),
            ) -> model::Result<u64> {
                unreachable!("nothing is read here")
            }
            fn soon(&mut self, split: &Split) {
                self.0.push(split.from / 10);
            }
        }
        let (claims, mut reader) = (Claims::new(1), Told(Vec::new()));
        let epochs = 1..=5;
        let mut works: VecDeque<_> = epochs.map(|e| work(e, &[0, 1, 2, 3, 4, 5], &[])).collect();
        for read in 0..30 {
            let job = take(&mut works, &claims).unwrap();
            assert_eq!(job.split, read % 6);
            tell(&mut works, &mut reader);
            // All but the first, which is asked for at once, and not more than may be on their way.
            let want: Vec<u64> = (1..30.min(read as u64 + SOON as u64)).map(|i| i % 6).collect();
            assert_eq!(reader.0, want);
        }
        assert!(take(&mut works, &claims).is_none());
    }
}
