//! The ports of operators: what edges carry, and how an operator sends.
use model::{Epoch, Packet};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// What edges carry.
pub(crate) type Packets<'s> = StreamVec<'s, Epoch, Packet>;

/// The output ports of an operator.
pub(crate) struct Outputs(Vec<OutputBuilder<Epoch, CapacityContainerBuilder<Vec<Packet>>>>);

impl Outputs {
    /// `ports` data ports and one more that never sends: its frontier tells that the operator is through.
    pub fn new<'s>(b: &mut OperatorBuilder<'s, Epoch>, ports: usize) -> (Outputs, Vec<Packets<'s>>) {
        let (outs, streams) = (0..=ports)
            .map(|_| {
                let (out, stream) = b.new_output::<Vec<Packet>>();
                (OutputBuilder::from(out), stream)
            })
            .unzip();
        (Outputs(outs), streams)
    }
    /// Send at once, so that the next operator gets it while it is warm.
    pub fn give(&mut self, port: usize, cap: &Capability<Epoch>, packet: Packet) {
        self.0[port].activate().session(cap).give(packet);
    }
}
