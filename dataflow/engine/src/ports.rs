//! The ports of operators: what edges carry, and how an operator sends.
use crate::tap::Faucet;
use model::{Epoch, Packet, Record};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// What edges carry.
pub(crate) type Packets<'s> = StreamVec<'s, Epoch, Packet>;

/// The output ports of an operator.
pub(crate) struct Outputs {
    ports: Vec<OutputBuilder<Epoch, CapacityContainerBuilder<Vec<Packet>>>>,
    faucet: Option<Faucet>,
}

impl Outputs {
    /// `ports` data ports and one more that never sends: its frontier tells that the operator is through.
    pub fn new<'s>(b: &mut OperatorBuilder<'s, Epoch>, ports: usize) -> (Outputs, Vec<Packets<'s>>) {
        let (outs, streams) = (0..=ports)
            .map(|_| {
                let (out, stream) = b.new_output::<Vec<Packet>>();
                (OutputBuilder::from(out), stream)
            })
            .unzip();
        (Outputs { ports: outs, faucet: None }, streams)
    }
    /// Let people look at what leaves.
    pub fn tapped(mut self, faucet: Faucet) -> Outputs {
        self.faucet = Some(faucet);
        self
    }
    /// Send at once, so that the next operator gets it while it is warm.
    pub fn give(&mut self, port: usize, cap: &Capability<Epoch>, packet: Packet) {
        if let Some(f) = &self.faucet {
            f.pass(port, &packet);
        }
        self.ports[port].activate().session(cap).give(packet);
    }
}

/// About how many bytes a packet holds: told of what waits in front of a sink.
pub(crate) fn weight(packet: &Packet) -> u64 {
    let bytes = match packet {
        Packet::Raw(b) => b.data.len(),
        Packet::Events(b) => b.data.len() + b.tag.len() + size_of_val(&*b.pos),
        Packet::Records(all) => all.iter().map(record_weight).sum(),
    };
    bytes as u64
}

fn record_weight(r: &Record) -> usize {
    let opt = |t: &Option<String>| t.as_ref().map_or(0, String::len);
    let texts = match r {
        Record::Match(m) => {
            let own = [&m.dedup, &m.title, &m.description, &m.reference, &m.runbook];
            size_of_val(&**m) + own.iter().map(|t| t.len()).sum::<usize>() + opt(&m.context) + opt(&m.event)
        }
        Record::Alert(a) => {
            let own = [&a.dedup, &a.title, &a.description, &a.reference, &a.runbook];
            size_of_val(&**a) + own.iter().map(|t| t.len()).sum::<usize>() + opt(&a.context)
        }
        Record::Signal(s) => size_of_val(&**s) + s.key.iter().map(|k| k.len()).sum::<usize>() + opt(&s.measure),
        Record::Rejected(x) => size_of_val(&**x) + x.raw.len() + x.reason.len(),
        Record::Event(e) => size_of_val(&**e) + e.json.len(),
        Record::Ledger(l) => size_of_val(&**l) + l.counter.len(),
    };
    size_of::<Record>() + texts
}
