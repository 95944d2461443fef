//! The graph of a simulation: `in` → `rules` → dedup → limit, four sinks and the ledger. Dedup, limit and the Kafka sink
//! are the product's, opened through their parts.
use crate::input::{Feed, Input, Lines, understand};
use crate::outputs::{BucketSink, FileSink};
use crate::sched::sched;
use engine::{Graph, GraphNode};
use model::event::{FullEvent, Layout};
use model::files::MemFiles;
use model::part::Sharding;
use model::{
    BuildCx, Built, Ctx, EventBatch, Flow, Kind, Map, Match, Needs, Node, Packet, Part, Port, Record, Result, Severity,
    Spec,
};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// What a seed chose for its operators and sinks.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Limit of the storm limiter.
    pub limit: (u64, u64),
    /// Released by hand.
    pub by_hand: bool,
    /// Partitions of output topics.
    pub partitions: u64,
    /// Alerts and signals go to Kafka although the log is local.
    pub kafka: bool,
}

type Build = Box<dyn Fn(&BuildCx) -> Result<Built> + Send + Sync>;

struct Simple(Build);

impl Node for Simple {
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        (self.0)(cx)
    }
}

struct Rules {
    input: Arc<Input>,
    layout: Arc<Layout>,
}

struct NoEvent;

impl FullEvent for NoEvent {
    fn event(&self, _: &EventBatch, _: usize) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::new()
    }
    fn any(&self, _: &EventBatch, _: usize, _: &str, _: &mut Vec<String>) {}
}

impl Map for Rules {
    fn map(&mut self, input: Packet, cx: &mut Ctx) -> Result<()> {
        let Packet::Raw(raw) = input else { return Err("rules take raw records".into()) };
        let mut out = Vec::new();
        for i in 0..raw.records.len() {
            let text = std::str::from_utf8(raw.bytes(i))?;
            let (rule, dedup, failed) = understand(text);
            out.push(Record::Match(Box::new(Match {
                pos: raw.pos(i),
                rule: self.input.rules[rule].clone(),
                error: failed.then(|| "it failed".to_string()),
                log_type: "Sim".into(),
                event_ms: raw.now_ms,
                now_ms: raw.now_ms,
                dedup: dedup.into(),
                title: text.into(),
                severity: Severity::default(),
                ..Match::default()
            })));
        }
        cx.count("matched", out.len() as u64);
        cx.emit(0, Packet::Records(out));
        let lane = match sched().broken("mock_lane_by_worker") {
            true => sched().my_worker().unwrap_or(0) as u32 % LANES,
            false => raw.lane,
        };
        cx.emit(
            1,
            Packet::Events(Arc::new(EventBatch {
                origin: raw.origin.clone(),
                now_ms: raw.now_ms,
                lane,
                layout: self.layout.clone(),
                data: Arc::new(raw.data.clone()),
                rows: raw.records.clone(),
                stride: 0,
                pos: Vec::new(),
                tag: Vec::new(),
                event_time: vec![0; raw.records.len()],
                enrich: Vec::new(),
                header: None,
            })),
        );
        Ok(())
    }
}

/// Lanes of every simulation.
pub const LANES: u32 = 3;
/// Key groups of every simulation.
pub const GROUPS: u32 = 6;

const RAW: &[Port] =
    &[Port { name: "", flow: Flow::Raw, error: false }, Port { name: "rejected", flow: Flow::Rejected, error: true }];
const RULES: &[Port] =
    &[Port { name: "", flow: Flow::Matches, error: false }, Port { name: "events", flow: Flow::Events, error: false }];

fn node(id: &str, spec: Spec, node: Arc<dyn Node>, inputs: &[(usize, usize)]) -> GraphNode {
    let inputs = inputs.to_vec();
    GraphNode { id: id.into(), spec, node, inputs, needs: Needs::default(), store_events: false, index: 0 }
}

fn spec(kind: Kind, outputs: &'static [Port], sharding: Sharding) -> Spec {
    Spec { kind, name: "simulated", doc: "", inputs: &[], outputs, sharding }
}

fn part(id: &str, part: &dyn Part, settings: serde_json::Value, inputs: &[(usize, usize)]) -> GraphNode {
    let opened = part.open(id, &settings, &MemFiles::default());
    let checked = opened.node.unwrap_or_else(|| panic!("{id}: {:?}", opened.problems));
    node(id, part.spec(), checked, inputs)
}

fn kafka(id: &str, partitions: u64, single: bool, inputs: &[(usize, usize)]) -> GraphNode {
    let settings = json!({ "topic": id, "partitions": partitions });
    let mut n = part(id, &crate::sink::KafkaSinkPart, settings, inputs);
    if single {
        n.spec.sharding = Sharding::Single;
    }
    n
}

fn file(id: &'static str, inputs: &[(usize, usize)]) -> GraphNode {
    let build: Build = Box::new(move |_| Ok(Built::Sink(Box::new(FileSink::new(id)))));
    node(id, spec(Kind::Sink, &[], Sharding::Single), Arc::new(Simple(build)), inputs)
}

/// The graph.
pub fn graph(input: &Arc<Input>, shape: &Shape, local: bool) -> Graph {
    let feed = input.clone();
    let source: Build = Box::new(move |_| {
        let lines = feed.clone();
        let readers = Box::new(move || Ok(Box::new(Lines::new(lines.clone())) as Box<dyn model::Reader>));
        Ok(Built::Source(Box::new(Feed::new(feed.clone())), readers))
    });
    let rules = input.clone();
    let layout = Arc::new(Layout {
        log_type: "Sim".into(),
        table: "sim".into(),
        version: 1,
        slots: Vec::new(),
        index: HashMap::new(),
        fields: Vec::new(),
        full: Arc::new(NoEvent),
    });
    let detect: Build =
        Box::new(move |_| Ok(Built::Map(Box::new(Rules { input: rules.clone(), layout: layout.clone() }))));
    let bucket: Build = Box::new(|cx| Ok(Built::Sink(Box::new(BucketSink::new("events", cx.shard)))));
    let release = if shape.by_hand { "hand" } else { "window" };
    let limit = json!({ "limit": format!("{}/{}ms", shape.limit.0, shape.limit.1), "release": release });
    let n = shape.partitions;
    let remote = !local || shape.kafka;
    let nodes = vec![
        node("in", spec(Kind::Source, RAW, Sharding::Single), Arc::new(Simple(source)), &[]),
        node("rules", spec(Kind::Detect, RULES, Sharding::Single), Arc::new(Simple(detect)), &[(0, 0)]),
        part("dedup", &alert::DedupPart, json!({}), &[(1, 0)]),
        part("limit", &alert::LimitPart, limit, &[(2, 0)]),
        if remote { kafka("alerts", n, false, &[(3, 0)]) } else { file("alerts", &[(3, 0)]) },
        if remote { kafka("signals", n, false, &[(2, 1)]) } else { file("signals", &[(2, 1)]) },
        node("events", spec(Kind::Sink, &[], Sharding::Lanes), Arc::new(Simple(bucket)), &[(1, 1)]),
        if local { file("dead", &[(0, 1), (3, 1)]) } else { kafka("dead", 1, true, &[(0, 1), (3, 1)]) },
    ];
    let ledger = if local { file("ledger", &[]) } else { kafka("ledger", 1, true, &[]) };
    Graph { nodes, ledger, event_time: false }
}
