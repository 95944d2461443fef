//! The stateful part of a replay: the topology's correlate, dedup and limit nodes, one moment of event time after the other.
use super::Plan;
use super::report::Report;
use super::spool::{Entry, Outlet};
use anyhow::{Result, anyhow};
use model::part::sort_records;
use model::{Built, Ctx, EpochInfo, Keyed, Kind, Node, Packet, Record};
use std::sync::Arc;

/// The nodes, by their place in the topology.
pub struct Chain<'p> {
    plan: &'p Plan<'p>,
    /// Each is its stages; none where no state is kept.
    nodes: Vec<Vec<Box<dyn Keyed>>>,
    epoch: u64,
}

impl<'p> Chain<'p> {
    /// Build every node that keeps state.
    pub fn open(plan: &'p Plan<'p>) -> Result<Chain<'p>> {
        let mut nodes = Vec::new();
        for (i, n) in plan.topology.nodes.iter().enumerate() {
            let stateless = matches!(n.kind, Kind::Source | Kind::Sink | Kind::Parse | Kind::Transform | Kind::Enrich);
            let mut ops = Vec::new();
            for stage in if stateless { Vec::new() } else { stages(plan.node(i)) } {
                if let Built::Keyed(op) = stage.build(&plan.cx(i)).map_err(|e| anyhow!("{}: {e}", n.id))? {
                    ops.push(op);
                }
            }
            nodes.push(ops);
        }
        Ok(Chain { plan, nodes, epoch: 0 })
    }

    /// The matches of one moment.
    pub fn at(&mut self, group: Vec<Entry>, report: &mut Report) -> Result<()> {
        let Some(now_ms) = group.first().map(|e| e.found.event_ms) else { return Ok(()) };
        let mut inbox: Vec<Vec<Record>> = vec![Vec::new(); self.nodes.len()];
        for e in group {
            // What goes to a node's own store has matched nothing yet.
            if !self.is_inner(e.from) {
                report.matched(&e.found);
            }
            self.give(e.from, Record::Match(e.found), &mut inbox, report);
        }
        self.pass(now_ms, false, inbox, report)
    }

    /// No more matches: nodes that wait for a time see it come.
    pub fn end(&mut self, now_ms: i64, report: &mut Report) -> Result<()> {
        self.pass(now_ms, true, vec![Vec::new(); self.nodes.len()], report)
    }

    fn pass(&mut self, now_ms: i64, seal: bool, mut inbox: Vec<Vec<Record>>, report: &mut Report) -> Result<()> {
        self.epoch += 1;
        let info = EpochInfo { epoch: self.epoch, now_ms, commands: Vec::new(), snapshot: seal, seal };
        for at in 0..self.nodes.len() {
            let node = &self.plan.topology.nodes[at];
            let (mut records, mut ops) = (std::mem::take(&mut inbox[at]), std::mem::take(&mut self.nodes[at]));
            for op in &mut ops {
                let (mut keyed, mut cx) = (Vec::new(), Ctx::default());
                records.iter().for_each(|r| op.split(r.clone(), &mut keyed));
                sort_records(&mut keyed);
                op.epoch(&info, keyed, &mut cx).map_err(|e| anyhow!("{}: {e}", node.id))?;
                for (counter, rule, n) in cx.counts {
                    report.count(node.kind, &rule, counter, n);
                }
                for (port, packet) in cx.out {
                    let Packet::Records(out) = packet else { continue };
                    // What a stage found, the next ones see too.
                    records.extend(out.iter().filter(|_| port == 0).cloned());
                    for r in out {
                        // What such a node finds by itself; dedup only passes on what it took.
                        if let (Record::Match(m), false) = (&r, matches!(node.kind, Kind::Dedup | Kind::Limit)) {
                            report.matched(m);
                        }
                        self.give((at, port), r, &mut inbox, report);
                    }
                }
            }
            self.nodes[at] = ops;
        }
        Ok(())
    }

    /// True for the output that leads to the node inside of the same one: it is behind all that the topology shows.
    fn is_inner(&self, from: Outlet) -> bool {
        from.1 == self.plan.topology.nodes[from.0].spec.outputs.len()
    }

    /// Give what left a port to everyone who reads it; an alert that no other node here reads is one that was made.
    fn give(&self, from: Outlet, record: Record, inbox: &mut [Vec<Record>], report: &mut Report) {
        if self.is_inner(from) {
            return inbox[from.0].push(record);
        }
        let mut passed_on = false;
        for (at, node) in self.plan.topology.nodes.iter().enumerate().skip(from.0 + 1) {
            if !node.inputs.contains(&from) {
                continue;
            }
            if !self.nodes[at].is_empty() {
                inbox[at].push(record.clone());
                passed_on = true;
            } else if node.kind == Kind::Sink {
                report.sent(&node.id, &record);
            }
        }
        if let (Record::Alert(alert), false, 0) = (&record, passed_on, from.1) {
            report.made(alert);
        }
    }
}

/// The stages of a node, or the one inside of it, or the node itself.
fn stages(node: &Arc<dyn Node>) -> Vec<Arc<dyn Node>> {
    match (node.stages(), node.inner()) {
        (stages, _) if !stages.is_empty() => stages,
        (_, Some(inner)) => vec![inner.node],
        _ => vec![node.clone()],
    }
}
