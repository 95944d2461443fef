//! The checked topology: nodes in the order of the flow, with what only the whole graph knows — who reads what, which
//! paths a parser has to decode, whether a detection keeps the events of its matches.
use crate::check::{Checked, Head, OpenNode};
use crate::settings::{ClusterSettings, EngineSettings};
use crate::wiring::Wiring;
use model::{Flow, Kind, Needs, Node, Part, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A topology without errors.
#[derive(Clone, Debug)]
pub struct Topology {
    /// `name`; `millstream` if the file gives none.
    pub name: String,
    /// `time = "event"`: dedup windows, limiter and expiry follow event time.
    pub event_time: bool,
    /// `[engine]`.
    pub engine: EngineSettings,
    /// `[cluster]`.
    pub cluster: Option<ClusterSettings>,
    /// `[log]`.
    pub log: Option<LogNode>,
    /// Nodes, inputs before the nodes that read them; otherwise by kind and id, however the files are written.
    pub nodes: Vec<PlanNode>,
    /// Names of the environment variables that were asked for, sorted.
    pub env_used: Vec<String>,
}

/// Where the epoch log is kept.
#[derive(Clone)]
pub struct LogNode {
    /// `type`.
    pub name: &'static str,
    /// The opened part.
    pub node: Arc<dyn Node>,
    /// Settings as they may be shown.
    pub settings: serde_json::Value,
}

impl fmt::Debug for LogNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogNode").field("type", &self.name).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A node of the plan.
#[derive(Clone)]
pub struct PlanNode {
    /// Name.
    pub id: Arc<str>,
    /// Section.
    pub kind: Kind,
    /// What it is.
    pub part: &'static dyn Part,
    /// Facts of the part.
    pub spec: Spec,
    /// The opened node.
    pub node: Arc<dyn Node>,
    /// Settings as they may be shown: variables filled in, secrets as `SECRET[…]`.
    pub settings: serde_json::Value,
    /// Where it reads from: `(index of the node, index of its port)`, as written.
    pub inputs: Vec<(usize, usize)>,
    /// What each output carries (for transforms: what they read).
    pub flows: Vec<Flow>,
    /// Parsers: union of the needs of every node that their events reach. Detections: what the correlations behind them want of
    /// the matches of a rule. Other nodes: none.
    pub needs: Needs,
    /// Detections: a sink downstream stores matches, and with them the events.
    pub store_events: bool,
    /// Sources: place among the sources in order of their names. Other nodes: 0.
    pub index: u32,
    /// 16 hex digits over the shown settings, `state_key` and `summary`.
    pub settings_hash: String,
    /// Content files the node was opened with (rules, schemas, tables) and a hash of their bytes.
    pub content: BTreeMap<String, u64>,
    /// Error outputs that nobody reads: they go to the dead letters.
    pub dead_letter: Vec<usize>,
}

impl fmt::Debug for PlanNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("PlanNode");
        s.field("id", &self.id).field("kind", &self.kind).field("type", &self.spec.name);
        s.field("settings", &self.settings).field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl PlanNode {
    /// An output as an input list names it: `id` or `id.port`.
    pub fn output(&self, port: usize) -> String {
        match self.spec.outputs.get(port).map(|p| p.name) {
            None | Some("") => self.id.to_string(),
            Some(name) => format!("{}.{name}", self.id),
        }
    }
    /// True if something is carried from one epoch to the next under this node's name.
    pub fn has_state(&self) -> bool {
        matches!(self.kind, Kind::Source | Kind::Correlate | Kind::Dedup | Kind::Limit)
            || !self.node.state_key().is_empty()
    }
}

impl Topology {
    /// Node of a name.
    pub fn node(&self, id: &str) -> Option<&PlanNode> {
        self.nodes.iter().find(|n| &*n.id == id)
    }
    /// Inputs of a node as they are written.
    pub fn input_names(&self, node: &PlanNode) -> Vec<String> {
        node.inputs.iter().map(|(n, p)| self.nodes[*n].output(*p)).collect()
    }
    /// Connections: `(from, port, to)`, in the order of the nodes.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let of = |(to, n): (usize, &'_ PlanNode)| n.inputs.iter().map(move |(f, p)| (*f, *p, to)).collect::<Vec<_>>();
        self.nodes.iter().enumerate().flat_map(of)
    }
    /// What an output carries.
    pub fn flow(&self, node: usize, port: usize) -> Option<Flow> {
        self.nodes.get(node)?.flows.get(port).copied()
    }
}

/// Make the plan. `None` only if a node is not open, which has been reported.
pub(crate) fn plan(
    head: Head,
    log: Option<Checked>,
    checked: Vec<Checked>,
    wiring: &Wiring,
    env_used: BTreeSet<String>,
) -> Option<Topology> {
    let mut place = vec![0usize; checked.len()];
    wiring.order.iter().enumerate().for_each(|(at, i)| place[*i] = at);
    let mut slots: Vec<Option<Checked>> = checked.into_iter().map(Some).collect();
    let mut nodes = Vec::with_capacity(slots.len());
    for &i in &wiring.order {
        let inputs = wiring.links[i].iter().map(|l| Some((place[l.from], l.port?))).collect::<Option<Vec<_>>>()?;
        let flows = wiring.flows[i].iter().copied().collect::<Option<Vec<_>>>()?;
        nodes.push(plan_node(slots[i].take()?, inputs, flows)?);
    }
    let log = match log {
        None => None,
        Some(c) => {
            let (OpenNode { node, settings, .. }, (_, spec)) = (c.opened?, c.part?);
            Some(LogNode { name: spec.name, node, settings })
        }
    };
    let Head { name, event_time, engine, cluster } = head;
    let env_used = env_used.into_iter().collect();
    let mut t = Topology { name, event_time, engine, cluster, log, nodes, env_used };
    derive(&mut t);
    (t.nodes.len() == slots.len()).then_some(t)
}

fn plan_node(c: Checked, inputs: Vec<(usize, usize)>, flows: Vec<Flow>) -> Option<PlanNode> {
    let (part, spec) = c.part?;
    let OpenNode { node, settings, content } = c.opened?;
    let hash = [spec.name, &settings.to_string(), &node.state_key(), &node.summary()];
    Some(PlanNode {
        id: c.id.into(),
        kind: c.kind,
        part,
        spec,
        settings_hash: format!("{:016x}", model::key::key_hash(&hash)),
        node,
        settings,
        inputs,
        flows,
        needs: Needs::default(),
        store_events: false,
        index: 0,
        content,
        dead_letter: Vec::new(),
    })
}

/// Fill in what follows from the graph as a whole.
fn derive(t: &mut Topology) {
    let mut sources: Vec<usize> = (0..t.nodes.len()).filter(|i| t.nodes[*i].kind == Kind::Source).collect();
    sources.sort_by_key(|i| t.nodes[*i].id.clone());
    for (index, i) in sources.into_iter().enumerate() {
        t.nodes[i].index = index as u32;
    }
    for i in 0..t.nodes.len() {
        match t.nodes[i].kind {
            Kind::Parse => t.nodes[i].needs = needs_behind(t, i),
            Kind::Detect => {
                t.nodes[i].store_events = stores_matches(t, i);
                t.nodes[i].needs = correlated(t, i);
            }
            _ => {}
        }
        t.nodes[i].dead_letter = unread_errors(t, i);
    }
}

/// Union of the needs of the nodes that events of `parse` reach. What only matches or alerts reach is left out: the
/// columns end where an event becomes a record, and a lake sink of alerts must not make the parser decode every field.
fn needs_behind(t: &Topology, parse: usize) -> Needs {
    let mut needs = Needs::default();
    for i in reached(t, parse, Flow::Events) {
        needs.merge(&t.nodes[i].node.needs());
    }
    needs
}

/// True if a sink reads matches of `detect`, directly or as dedup passes them on.
fn stores_matches(t: &Topology, detect: usize) -> bool {
    reached(t, detect, Flow::Matches).into_iter().any(|i| t.nodes[i].kind == Kind::Sink)
}

/// What correlations behind `detect` want of the matches of its rules.
fn correlated(t: &Topology, detect: usize) -> Needs {
    let mut needs = Needs::default();
    for i in reached(t, detect, Flow::Matches).into_iter().filter(|i| t.nodes[*i].kind == Kind::Correlate) {
        needs.merge(&t.nodes[i].node.needs());
    }
    needs
}

/// Nodes reached from a node along connections that carry `flow`.
fn reached(t: &Topology, from: usize, flow: Flow) -> BTreeSet<usize> {
    let mut out = BTreeSet::new();
    // Inputs come first in the order: one pass is enough.
    for (to, n) in t.nodes.iter().enumerate().skip(from + 1) {
        let hit = |(f, p): &(usize, usize)| (*f == from || out.contains(f)) && t.flow(*f, *p) == Some(flow);
        if n.inputs.iter().any(hit) {
            out.insert(to);
        }
    }
    out
}

fn unread_errors(t: &Topology, i: usize) -> Vec<usize> {
    let read = |p: usize| t.nodes.iter().any(|n| n.inputs.contains(&(i, p)));
    let ports = t.nodes[i].spec.outputs.iter().enumerate();
    ports.filter(|(p, port)| port.error && !read(*p)).map(|(p, _)| p).collect()
}
