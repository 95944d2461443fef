//! The clock and the threads an incarnation runs with: the machine's, or those of a simulation.
//!
//! A simulation lets one thread run at a time and decides which. Its threads are the real ones (the coordinator's and
//! timely's); wherever they would wait they ask it, and the rest of the engine does not know.
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use timely::worker::Worker;

/// A simulated world. Every call comes from a thread that has the turn.
pub trait Simulated: Send + Sync {
    /// Time since some moment before the start.
    fn now(&self) -> Duration;
    /// Wall clock, milliseconds since 1970.
    fn clock_ms(&self) -> i64;
    /// Let the others run; returns when it is this thread's turn again. Does not return if the incarnation has died.
    fn pause(&self);
    /// Time passes for a thread that waits.
    fn wait(&self, time: Duration);
    /// The calling coordinator is about to start so many workers.
    fn starting(&self, workers: usize);
    /// The calling thread is worker `index` of these; wait for its turn.
    fn enter(&self, index: usize);
    /// The calling worker is through.
    fn leave(&self);
    /// True once every worker of the calling coordinator has left.
    fn left(&self) -> bool;
    /// The world broke for `node`: the incarnation ends. With `lasting`, starting again cannot help.
    fn fatal(&self, node: &str, error: String, lasting: bool) -> !;
}

/// The world of one incarnation.
#[derive(Clone)]
pub enum World {
    /// The machine; holds the moment that time is counted from.
    Real(Instant),
    /// A simulation.
    Simulated(Arc<dyn Simulated>),
}

thread_local! {
    static HERE: RefCell<Option<Arc<dyn Simulated>>> = const { RefCell::new(None) };
}

/// The simulation that the calling thread is in.
pub(crate) fn here() -> Option<Arc<dyn Simulated>> {
    HERE.try_with(|h| h.borrow().clone()).ok().flatten()
}

impl World {
    /// The machine.
    pub fn real() -> World {
        World::Real(Instant::now())
    }
    /// Make it the calling thread's.
    pub(crate) fn adopt(&self) {
        if let World::Simulated(s) = self {
            HERE.set(Some(s.clone()));
        }
    }
    /// Time since some moment before the start.
    pub(crate) fn now(&self) -> Duration {
        match self {
            World::Real(start) => start.elapsed(),
            World::Simulated(s) => s.now(),
        }
    }
    /// Milliseconds since `then`.
    pub(crate) fn ms_since(&self, then: Duration) -> u64 {
        self.now().saturating_sub(then).as_millis() as u64
    }
    /// Wall clock, milliseconds since 1970.
    pub(crate) fn clock_ms(&self) -> i64 {
        match self {
            World::Real(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64),
            World::Simulated(s) => s.clock_ms(),
        }
    }
    /// Wait for a message.
    pub(crate) fn recv<T>(&self, from: &Receiver<T>, time: Duration) -> Result<T, RecvTimeoutError> {
        let World::Simulated(s) = self else { return from.recv_timeout(time) };
        let until = s.now().saturating_add(time);
        loop {
            s.pause();
            match from.try_recv() {
                Ok(t) => return Ok(t),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) if s.now() >= until => return Err(RecvTimeoutError::Timeout),
                Err(TryRecvError::Empty) => s.wait(time),
            }
        }
    }
    /// See [`Simulated::starting`].
    pub(crate) fn starting(&self, workers: usize) {
        if let World::Simulated(s) = self {
            s.starting(workers);
        }
    }
    /// The calling thread is a worker and begins.
    pub(crate) fn enter(&self, index: usize) {
        if let World::Simulated(s) = self {
            self.adopt();
            s.enter(index);
        }
    }
    /// Run a worker's dataflow to its end.
    pub(crate) fn work(&self, worker: &mut Worker) {
        while worker.has_dataflows() {
            match self {
                World::Real(_) => {
                    worker.step_or_park(None);
                }
                World::Simulated(s) => {
                    s.pause();
                    worker.step();
                }
            }
        }
        if let World::Simulated(s) = self {
            s.leave();
        }
    }
    /// Wait until the workers are through; then their threads can be joined.
    pub(crate) fn left(&self) {
        if let World::Simulated(s) = self {
            while !s.left() {
                s.pause();
            }
        }
    }
}

/// End the simulated incarnation that the calling thread is in, if it is in one.
pub(crate) fn fatal(node: &str, error: &dyn std::fmt::Display, lasting: bool) {
    if let Some(s) = here() {
        s.fatal(node, error.to_string(), lasting)
    }
}
