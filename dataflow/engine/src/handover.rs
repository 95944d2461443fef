//! Events whose lane is another worker's, because their split was taken from it ([`crate::claims`]): their packet goes to
//! that worker by a place in memory that both see. timely carries a note of where it is, so its frontiers count.
//!
//! Only workers of one process take splits from each other, so events do not leave the process.
use crate::ports::Packets;
use model::Packet;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Concat, Operator};

/// Packets of one sink on their way between the workers of a process. Bounded by what the open epochs hold.
#[derive(Clone, Default)]
pub(crate) struct Handover(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    next: u64,
    packets: HashMap<u64, Packet>,
}

impl Handover {
    fn put(&self, packet: Packet) -> u64 {
        let mut shelf = self.0.lock().expect("nothing fails under the lock");
        shelf.next += 1;
        let place = shelf.next;
        shelf.packets.insert(place, packet);
        place
    }
    fn take(&self, place: u64) -> Option<Packet> {
        self.0.lock().expect("nothing fails under the lock").packets.remove(&place)
    }
}

/// Sends the events of each lane to its worker, `lane % workers`.
pub(crate) fn to_lanes<'s>(input: Packets<'s>, handover: Handover) -> Packets<'s> {
    let scope = input.scope();
    let (me, peers) = (scope.index(), scope.peers());
    let mut b = OperatorBuilder::new("lanes".into(), scope);
    let mut input = b.new_input(input, Pipeline);
    let (own, stays) = b.new_output::<Vec<Packet>>();
    let (notes, leaves) = b.new_output::<Vec<(u64, u64)>>();
    let mut own = OutputBuilder::<_, CapacityContainerBuilder<Vec<Packet>>>::from(own);
    let mut notes = OutputBuilder::<_, CapacityContainerBuilder<Vec<(u64, u64)>>>::from(notes);
    let giver = handover.clone();
    b.build(move |caps| {
        drop(caps);
        move |_| {
            input.for_each_stamp(|cap, batches| {
                let (Some(stay), Some(leave)) = (cap.retain_least(0), cap.retain_least(1)) else { return };
                for packet in batches.flat_map(|b| b.drain(..)) {
                    match &packet {
                        Packet::Events(b) if b.lane as usize % peers != me && !model::fault::broken("keep_events") => {
                            let to = (b.lane as usize % peers) as u64;
                            notes.activate().session(&leave).give((to, giver.put(packet)));
                        }
                        _ => own.activate().session(&stay).give(packet),
                    }
                }
            });
        }
    });
    let come = leaves.unary::<CapacityContainerBuilder<Vec<Packet>>, _, _, _>(
        Exchange::new(|note: &(u64, u64)| note.0),
        "handed over",
        move |_, _| {
            move |input, output| {
                input.for_each_stamp(|cap, batches| {
                    let Some(cap) = cap.retain_least(0) else { return };
                    let mut session = output.session(&cap);
                    for (_, place) in batches.flat_map(|b| b.drain(..)) {
                        session.give(handover.take(place).expect("a note is of a packet of this process"));
                    }
                })
            }
        },
    );
    stays.concat(come)
}
