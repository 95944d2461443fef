//! The checked graph as a timely dataflow, on one worker.
use crate::board::Board;
use crate::claims::Claims;
use crate::collect::{Done, collect};
use crate::epochs::{Feed, epochs};
use crate::fatal::fatal;
use crate::graph::{Graph, GraphNode, Settings};
use crate::handover::Handover;
use crate::keyed::keyed;
use crate::map::map;
use crate::ports::Packets;
use crate::read::read;
use crate::recovery::Start;
use crate::sink::{groups, lanes, single};
use crate::state::Keep;
use crate::status::Status;
use crate::writer::{Committer, Shards};
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
    pub start: Arc<Start>,
    pub generation: u64,
    /// Hash of the topology bundle that every epoch of the session runs under.
    pub bundle: Arc<str>,
    pub status: Arc<Status>,
    /// By node: what the workers of this process share.
    pub shared: Vec<Shared>,
}

/// What the copies of a node in the workers of one process share.
pub(crate) struct Shared {
    /// Of a source: which splits are taken.
    claims: Arc<Claims>,
    /// Of a sink by lanes: events that another worker has read.
    handover: Handover,
}

impl Shared {
    /// For so many workers.
    pub fn new(workers: usize) -> Shared {
        Shared { claims: Arc::new(Claims::new(workers)), handover: Handover::default() }
    }
}

/// What worker 0 has besides: its ends of the coordinator's channels.
pub(crate) struct Coordinated {
    pub feed: Feed,
    pub tell: Sender<Done>,
}

/// Build the dataflow in `scope`.
pub(crate) fn render<'s>(scope: Scope<'s, Epoch>, plan: &Plan, own: Option<Coordinated>) {
    let board = Board::new(plan.status.clone());
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
                let sharing = (plan.shared[index].claims.clone(), plan.settings.workers.max(1));
                read(records.clone(), node.id.clone(), node.index, reader, outs, sharing, board.clone())
            }
            Kind::Sink => {
                let (me, peers) = (scope.index(), scope.peers());
                let events = carries_events(plan, node);
                let sharded = node.spec.sharding == Sharding::Groups || node.spec.sharding == Sharding::Lanes && events;
                // One writer lives in process 0, where the coordinator is: a file of one order stays in one place.
                let owner = index % plan.settings.workers.max(1);
                let count = match events {
                    true => plan.settings.lanes,
                    false => node.node.shards(plan.settings.lanes).clamp(1, plan.settings.lanes),
                };
                let shards: Vec<u32> = match sharded {
                    true => (0..count).filter(|s| *s as usize % peers == me).collect(),
                    false => (0..1).filter(|_| owner == me).collect(),
                };
                let committer = committer(plan, node, shards);
                match sharded {
                    true if events => {
                        let handover = (plan.settings.workers > 1).then(|| plan.shared[index].handover.clone());
                        lanes(input, handover, committer, start, board.clone())
                    }
                    true => groups(input, (plan.settings.groups, count), committer, start, board.clone()),
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
                        whole_below: plan.settings.whole_below,
                    };
                    keyed(input, node.id.clone(), op, outs, start, keep, &plan.settings, board.clone())
                }
                _ => fatal(&node.id, "an operator must build an operator"),
            },
        };
        done.extend(streams.pop());
        ports.push(streams);
    }
    let ledger = (scope.index() == 0).then(|| Shards::open(committer(plan, &plan.graph.ledger, vec![0])));
    collect(scope.concatenate(done), start, ledger, tell, plan.status.clone(), board, plan.bundle.clone());
}

fn build(plan: &Plan, node: &GraphNode, shard: u32) -> Built {
    node.node
        .build(&plan.graph.cx(node, shard, plan.generation, &plan.settings))
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

/// What the writer of a sink needs for the given shards.
fn committer(plan: &Plan, node: &GraphNode, shards: Vec<u32>) -> Committer {
    let (built, graph, settings, generation) =
        (node.clone(), plan.graph.clone(), plan.settings.clone(), plan.generation);
    Committer {
        id: node.id.clone(),
        store: plan.store.clone(),
        generation,
        shards,
        build: Box::new(move |shard| match built.node.build(&graph.cx(&built, shard, generation, &settings)) {
            Ok(Built::Sink(sink)) => sink,
            Ok(_) => fatal(&built.id, "a sink must build a sink"),
            Err(e) => fatal(&built.id, format!("build: {e}")),
        }),
        start: plan.start.clone(),
        status: plan.status.clone(),
        drain_ms: plan.settings.drain_ms,
        inline: plan.settings.inline,
    }
}
