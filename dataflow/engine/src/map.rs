//! Stateless operators on the worker that read the data.
use crate::board::Board;
use crate::fatal::fatal;
use crate::ports::{Outputs, Packets};
use model::{Ctx, Map};
use std::sync::Arc;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// Render a stateless operator. Returns its output ports.
pub(crate) fn map<'s>(
    input: Packets<'s>,
    id: Arc<str>,
    mut op: Box<dyn Map>,
    ports: usize,
    board: Board,
) -> Vec<Packets<'s>> {
    let mut b = OperatorBuilder::new(format!("map {id}"), input.scope());
    let mut input = b.new_input(input, Pipeline);
    let (outputs, streams) = Outputs::new(&mut b, ports);
    let mut outputs = outputs.tapped(board.faucet(&id));
    b.build(move |caps| {
        drop(caps);
        let (mut cx, cpu) = (Ctx::default(), board.cpu(&id));
        let mut out: Vec<Arc<str>> = Vec::new();
        move |_| {
            input.for_each_stamp(|cap, batches| {
                let Some(&epoch) = cap.least() else { return };
                // Packets of two epochs may come by turns.
                let quarantined = board.quarantined(epoch, &id);
                if quarantined != out {
                    op.quarantine(&quarantined);
                    out = quarantined;
                }
                let caps: Vec<_> = (0..ports).map(|p| cap.retain_least(p).expect("the stamp has a time")).collect();
                for packet in batches.flat_map(|b| b.drain(..)) {
                    if let Err(e) = cpu.of(|| op.map(packet, &mut cx)) {
                        fatal(&id, e);
                    }
                    for (counter, rule, n) in cx.counts.drain(..) {
                        board.count(epoch, &id, rule, counter, n);
                    }
                    for (port, packet) in cx.out.drain(..) {
                        outputs.give(port, &caps[port], packet);
                    }
                }
            })
        }
    });
    streams
}
