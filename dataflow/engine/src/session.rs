//! One incarnation of a pipeline under one topology, from its starting point to its seal: what it is made of, what may be asked
//! of it, and how it ends.
use crate::cluster::Mesh;
use crate::graph::{Graph, Settings};
use crate::recovery::Start;
use crate::status::Status;
use model::epoch::Command;
use model::store::Store;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// What a session is made of.
pub struct Session<'a> {
    /// The graph.
    pub graph: Graph,
    /// Engine settings.
    pub settings: Settings,
    /// Durable state; the caller has called [`Store::begin`].
    pub store: Arc<dyn Store>,
    /// Incarnation number that `begin` returned.
    pub generation: u64,
    /// Hash of the topology bundle that new epochs run under.
    pub bundle: String,
    /// Number of the topology edit, for people.
    pub topology_generation: u64,
    /// Where to start.
    pub start: Arc<Start>,
    /// Replay what is logged, then seal at once: used before an edited topology takes over.
    pub replay_only: bool,
    /// Commands to the coordinator.
    pub control: &'a Receiver<Control>,
    /// Figures for people.
    pub status: Arc<Status>,
    /// Connections to the other processes, if there are any. Process 0 coordinates.
    pub mesh: Option<Mesh>,
}

/// How a session ended in good order. Everything opened is committed and in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sources are exhausted (`--once`), or `replay_only` is through.
    Finished,
    /// Asked to drain.
    Drained,
    /// Asked to seal for an edit.
    Sealed,
}

/// What the outside may ask of a running session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Finish what is open, snapshot, end.
    Drain,
    /// The same, because an edited topology is to take over.
    Seal,
    /// Put a command into the next epoch.
    Command(Command),
}
