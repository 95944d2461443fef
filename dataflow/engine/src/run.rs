//! Runs a session: builds its sources, starts the workers, and coordinates them to its end.
use crate::coordinator::Coordinator;
use crate::epochs::Feed;
use crate::fatal::{exit_on_panic, fatal};
use crate::render::{Coordinated, Plan, Shared, render};
use crate::session::{Outcome, Session};
use crate::world::World;
use model::{Built, Kind, Result, Source};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::worker::Worker;

/// Run a session to its end. Blocks the calling thread, which becomes the coordinator in process 0. Failures of the world
/// end the process (exit code 70, see [`crate::fatal`]); an error is returned only before anything has started.
pub fn run(session: Session) -> Result<Outcome> {
    exit_on_panic();
    run_in(session, World::real())
}

/// Run a session in a world: what [`run`] does in the real one. In a simulated one the calling thread has the turn, and
/// a failure of the world unwinds it.
pub fn run_in(mut session: Session, world: World) -> Result<Outcome> {
    world.adopt();
    let mesh = session.mesh.take();
    let coordinates = mesh.as_ref().is_none_or(|m| m.me == 0);
    let Session { graph, settings, store, generation, start, status, .. } = &session;
    let mut sources: BTreeMap<Arc<str>, Box<dyn Source>> = BTreeMap::new();
    for n in graph.nodes.iter().filter(|n| coordinates && n.spec.kind == Kind::Source) {
        let Built::Source(source, _) = n.node.build(&graph.cx(n, 0, *generation, settings))? else {
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
        bundle: session.bundle.as_str().into(),
        status: status.clone(),
        shared: graph.nodes.iter().map(|_| Shared::new(settings.workers)).collect(),
    });
    let own = Mutex::new(Some(Coordinated { feed: Feed { epochs: epoch_rx, wake: wake_tx }, tell: done_tx }));
    let (threads, their) = (settings.workers.max(1), world.clone());
    let work = move |worker: &mut Worker| {
        their.enter(worker.index());
        let own = match worker.index() {
            0 => own.lock().expect("taken once").take(),
            _ => None,
        };
        worker.dataflow::<model::Epoch, _, _>(|scope| render(scope, &plan, own));
        their.work(worker);
    };
    world.starting(threads);
    let workers = match mesh {
        None => timely::execute(timely::Config::process(threads), work)?,
        Some(mesh) => {
            let hooks = Hooks::default;
            let local = ProcessBuilder::new_typed_vector(threads, hooks().refill, hooks().spill);
            let (tcp, guard) = initialize_networking_from_sockets(local, mesh.sockets, mesh.me, threads, hooks())?;
            let all = tcp.into_iter().map(AllocatorBuilder::Tcp).collect();
            timely::execute::execute_from(all, Box::new(guard), timely::WorkerConfig::default(), work)?
        }
    };
    let mut outcome = Outcome::Finished;
    if coordinates {
        let coordinate = || {
            let wake =
                world.recv(&wake_rx, Duration::MAX).map_err(|_| "worker 0 ended before the dataflow was built")?;
            let mut coordinator = Coordinator::new(&session, &world, sources, epoch_tx, done_rx, wake);
            let outcome = coordinator.run().unwrap_or_else(|e| fatal("coordinator", e));
            coordinator.end();
            world.left();
            Ok::<_, model::Error>(outcome)
        };
        // Only a simulated incarnation unwinds; its workers do too, and have to be gone before its coordinator is.
        match catch_unwind(AssertUnwindSafe(coordinate)) {
            Ok(ended) => outcome = ended?,
            Err(died) => {
                drop(workers.join());
                resume_unwind(died)
            }
        }
    }
    for w in workers.join() {
        w.map_err(|e| format!("worker: {e}"))?;
    }
    Ok(outcome)
}
