//! The checked graph as a timely dataflow, on one worker.
use crate::board::Board;
use crate::collect::{Done, collect};
use crate::epochs::{Feed, epochs};
use crate::fatal::fatal;
use crate::graph::{Graph, GraphNode, Settings};
use crate::keyed::{Keep, keyed};
use crate::map::map;
use crate::ports::Packets;
use crate::read::read;
use crate::recovery::Start;
use crate::sink::{Committer, Shard, lanes, single};
use crate::status::Status;
use model::part::Sharding;
use model::store::Store;
use model::{Built, Epoch, Flow, Kind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use timely::dataflow::Scope;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::operator::empty;

/// Everything a worker needs to build its part of the dataflow. Shared by the workers of a process.
pub(crate) struct Plan {
    pub graph: Graph,
    pub settings: Settings,
    pub store: Arc<dyn Store>,
    pub start: Start,
    pub generation: u64,
    pub status: Arc<Status>,
}

/// What worker 0 has besides: its ends of the coordinator's channels.
pub(crate) struct Coordinated {
    pub feed: Feed,
    pub tell: Sender<Done>,
}

/// Build the dataflow in `scope`.
pub(crate) fn render<'s>(scope: Scope<'s, Epoch>, plan: &Plan, own: Option<Coordinated>) {
    let board = Board::default();
    let start = plan.start.manifest.epoch;
    let (feed, tell) = own.map_or((None, None), |c| (Some(c.feed), Some(c.tell)));
    let records = epochs(scope, start, feed, board.clone());
    let mut ports: Vec<Vec<Packets<'s>>> = Vec::new();
    let mut done: Vec<Packets<'s>> = Vec::new();
    for (index, node) in plan.graph.nodes.iter().enumerate() {
        let inputs: Vec<Packets<'s>> = node.inputs.iter().map(|(n, p)| ports[*n][*p].clone()).collect();
        let input = match inputs.is_empty() {
            true => empty(scope),
            false => scope.concatenate(inputs),
        };
        let outs = node.spec.outputs.len();
        let mut streams = match node.spec.kind {
            Kind::Source => {
                let reader = match build(plan, node, 0) {
                    Built::Source(_, make) => make().unwrap_or_else(|e| fatal(&node.id, e)),
                    _ => fatal(&node.id, "a source must build a source"),
                };
                read(records.clone(), node.id.clone(), node.index, reader, outs, board.clone())
            }
            Kind::Sink => {
                let on_lanes = node.spec.sharding == Sharding::Lanes && carries_events(plan, node);
                let owner = index % scope.peers();
                let shards: Vec<u32> = match on_lanes {
                    true => (0..plan.settings.lanes).filter(|l| *l as usize % scope.peers() == scope.index()).collect(),
                    false => (0..1).filter(|_| owner == scope.index()).collect(),
                };
                let committer = committer(plan, node, &shards);
                match on_lanes {
                    true => lanes(input, committer, start, board.clone()),
                    false => single(input, owner, committer, start, board.clone()),
                }
            }
            _ => match build(plan, node, 0) {
                Built::Map(op) => map(input, node.id.clone(), op, outs, board.clone()),
                Built::Keyed(op) => {
                    let state_key = plan.graph.state_key(node);
                    let kept = plan.start.manifest.state.get(&*node.id).filter(|s| s.state_key == state_key);
                    let keep = Keep {
                        store: plan.store.clone(),
                        state: kept.cloned().unwrap_or_default(),
                        state_key,
                        generation: plan.generation,
                    };
                    keyed(input, node.id.clone(), op, outs, start, keep, &plan.settings, board.clone())
                }
                _ => fatal(&node.id, "an operator must build an operator"),
            },
        };
        done.extend(streams.pop());
        ports.push(streams);
    }
    let ledger = (scope.index() == 0).then(|| committer(plan, &plan.graph.ledger, &[0]));
    collect(scope.concatenate(done), start, ledger, tell, plan.status.clone(), board);
}

fn build(plan: &Plan, node: &GraphNode, shard: u32) -> Built {
    node.node
        .build(&plan.graph.cx(node, shard, &plan.settings))
        .unwrap_or_else(|e| fatal(&node.id, format!("build: {e}")))
}

/// True if what flows into the node are events.
fn carries_events(plan: &Plan, node: &GraphNode) -> bool {
    node.inputs.iter().any(|(n, p)| flow_of(&plan.graph, *n, *p) == Some(Flow::Events))
}

/// What a port carries; transforms pass on what they take.
fn flow_of(graph: &Graph, node: usize, port: usize) -> Option<Flow> {
    graph.nodes[node].spec.outputs.get(port).map(|o| o.flow)
}

/// Build the given shards of a sink and let each take over from its newest commit record.
fn committer(plan: &Plan, node: &GraphNode, shards: &[u32]) -> Committer {
    let shards = shards.iter().map(|&number| {
        let Built::Sink(mut sink) = build(plan, node, number) else { fatal(&node.id, "a sink must build a sink") };
        let progress = plan.start.progress(&node.id, number);
        if let Err(e) = sink.recover(progress.last.as_ref()) {
            fatal(&node.id, format!("take over shard {number}: {e}"));
        }
        Shard { number, sink, committed: progress.committed, receipts: progress.receipts }
    });
    Committer {
        shards: shards.collect(),
        id: node.id.clone(),
        store: plan.store.clone(),
        generation: plan.generation,
        drain_ms: plan.settings.drain_ms,
    }
}
