//! What a session runs: checked nodes, their edges, and the engine's settings.
use model::{BuildCx, Needs, Node, OpenObjects, Spec};
use std::path::PathBuf;
use std::sync::Arc;

/// A node of the graph, as the planner left it.
#[derive(Clone)]
pub struct GraphNode {
    /// Node id.
    pub id: Arc<str>,
    /// Kind, ports, sharding.
    pub spec: Spec,
    /// The checked node.
    pub node: Arc<dyn Node>,
    /// `(node index, output port)` of every input; inputs have lower indices (topological order).
    pub inputs: Vec<(usize, usize)>,
    /// For parsers: what everything downstream needs.
    pub needs: Needs,
    /// For detectors: some sink stores the events of matches.
    pub store_events: bool,
    /// Index among the sources, for positions.
    pub index: u32,
}

/// The whole graph, in topological order.
#[derive(Clone)]
pub struct Graph {
    /// Nodes; inputs point backwards.
    pub nodes: Vec<GraphNode>,
    /// The sink that the ledger is written to (a single-shard record sink); not among `nodes`.
    pub ledger: GraphNode,
    /// True: windows follow event time.
    pub event_time: bool,
}

/// Settings of the engine for one session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the topology.
    pub name: Arc<str>,
    /// Identity of the state, see [`model::store::Store::identity`].
    pub run: Arc<str>,
    /// Worker threads in each process.
    pub workers: usize,
    /// An epoch closes this long after its first input, milliseconds.
    pub epoch_ms: u64,
    /// … or when it holds this much input, bytes.
    pub epoch_bytes: u64,
    /// Epochs that may be open at once: the credit that bounds memory.
    pub in_flight: u64,
    /// Time between state snapshots, milliseconds.
    pub checkpoint_ms: u64,
    /// A key group whose state is at most this large is written to a snapshot as a whole, bytes; of a larger one only what
    /// changed.
    pub whole_below: u64,
    /// Number of key groups.
    pub groups: u32,
    /// Number of lanes.
    pub lanes: u32,
    /// Manifests to keep.
    pub keep: usize,
    /// End when every source is exhausted.
    pub once: bool,
    /// Time given to destinations to deliver at a graceful end, milliseconds.
    pub drain_ms: u64,
    /// Commit on the workers' own threads instead of writer threads: for simulation, which runs one thread at a time.
    pub inline: bool,
    /// Opens object storage.
    pub objects: OpenObjects,
    /// The product's own files.
    pub data_dir: PathBuf,
    /// Where relative input and output paths start.
    pub work_dir: PathBuf,
}

impl Settings {
    /// [`Settings::whole_below`] where nobody says otherwise: small enough to read and write in no time.
    pub const WHOLE_BELOW: u64 = 16 << 10;
}

impl Graph {
    /// A node by its id.
    pub fn node(&self, id: &str) -> Option<&GraphNode> {
        self.nodes.iter().find(|n| *n.id == *id)
    }

    /// Identity of a node's state: what the node says, and the clock its windows follow.
    pub(crate) fn state_key(&self, node: &GraphNode) -> String {
        format!("{};{}", node.node.state_key(), if self.event_time { "event" } else { "processing" })
    }
    /// What a node's build may know.
    pub fn cx(&self, node: &GraphNode, shard: u32, generation: u64, s: &Settings) -> BuildCx {
        BuildCx {
            id: node.id.clone(),
            topology: s.name.clone(),
            generation,
            run: s.run.clone(),
            index: node.index,
            needs: node.needs.clone(),
            store_events: node.store_events,
            groups: s.groups,
            shard,
            data_dir: s.data_dir.clone(),
            work_dir: s.work_dir.clone(),
            event_time: self.event_time,
            once: s.once,
            objects: s.objects.clone(),
        }
    }
}
