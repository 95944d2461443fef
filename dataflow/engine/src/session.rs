//! One incarnation of a pipeline under one topology, from its starting point to its seal.
use crate::coordinator::{Control, Coordinator};
use crate::epochs::Feed;
use crate::fatal::{exit_on_panic, fatal};
use crate::graph::{Graph, Settings};
use crate::recovery::Start;
use crate::render::{Coordinated, Plan, render};
use crate::status::Status;
use model::store::Store;
use model::{Built, Kind, Result, Source};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

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
    pub start: Start,
    /// Replay what is logged, then seal at once: used before an edited topology takes over.
    pub replay_only: bool,
    /// Commands to the coordinator.
    pub control: &'a Receiver<Control>,
    /// Figures for people.
    pub status: Arc<Status>,
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

/// Run a session to its end. Blocks the calling thread, which becomes the coordinator. Failures of the world end the
/// process (exit code 70, see [`crate::fatal`]); an error is returned only before anything has started.
pub fn run(session: Session) -> Result<Outcome> {
    exit_on_panic();
    let Session { graph, settings, store, generation, start, status, .. } = &session;
    let mut sources: BTreeMap<Arc<str>, Box<dyn Source>> = BTreeMap::new();
    for n in graph.nodes.iter().filter(|n| n.spec.kind == Kind::Source) {
        let Built::Source(source, _) = n.node.build(&graph.cx(n, 0, settings))? else {
            return Err(format!("{}: a source must build a source", n.id).into());
        };
        sources.insert(n.id.clone(), source);
    }
    let (epoch_tx, epoch_rx) = channel();
    let (wake_tx, wake_rx) = channel();
    let (done_tx, done_rx) = channel();
    let plan = Arc::new(Plan {
        graph: graph.clone(),
        settings: settings.clone(),
        store: store.clone(),
        start: start.clone(),
        generation: *generation,
        status: status.clone(),
    });
    let own = Mutex::new(Some(Coordinated { feed: Feed { epochs: epoch_rx, wake: wake_tx }, tell: done_tx }));
    let config = timely::Config::process(settings.workers.max(1));
    let workers = timely::execute(config, move |worker| {
        let own = match worker.index() {
            0 => own.lock().expect("taken once").take(),
            _ => None,
        };
        worker.dataflow::<model::Epoch, _, _>(|scope| render(scope, &plan, own));
        while worker.has_dataflows() {
            worker.step_or_park(None);
        }
    })?;
    let wake = wake_rx.recv().map_err(|_| "worker 0 ended before the dataflow was built")?;
    let mut coordinator = Coordinator::new(&session, sources, epoch_tx, done_rx, wake);
    let outcome = coordinator.run().unwrap_or_else(|e| fatal("coordinator", e));
    coordinator.end();
    for w in workers.join() {
        w.map_err(|e| format!("worker: {e}"))?;
    }
    Ok(outcome)
}
