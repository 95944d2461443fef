//! The simulation as the engine and the fault points see it.
use crate::sched::{End, Sched, pause};
use engine::world::Simulated;
use model::fault::{Simulation, simulate};
use std::sync::Arc;
use std::time::Duration;

/// Deaths per mille at the point that a seed likes best.
const FAVOURITE: u64 = 250;
/// The same at points that are seldom passed.
const RARE: u64 = 800;

/// The world of one incarnation.
pub struct Inside {
    /// The scheduler.
    pub sched: Arc<Sched>,
    /// Number of the incarnation.
    pub incarnation: usize,
}

/// Fault points of the threads of a simulation.
struct Points(Arc<Sched>);

/// The calling thread passes simulated fault points from here on.
pub fn points(sched: &Arc<Sched>) {
    simulate(Some(Arc::new(Points(sched.clone()))));
}

impl Simulated for Inside {
    fn now(&self) -> Duration {
        self.sched.now()
    }
    fn clock_ms(&self) -> i64 {
        self.sched.clock_ms()
    }
    fn pause(&self) {
        pause();
    }
    fn wait(&self, time: Duration) {
        self.sched.pass_time(time);
    }
    fn starting(&self, workers: usize) {
        self.sched.announce(self.incarnation, workers);
    }
    fn enter(&self, index: usize) {
        let task = self.sched.worker_task(self.incarnation, index);
        points(&self.sched);
        self.sched.begin(task);
    }
    fn leave(&self) {
        self.sched.leave();
    }
    fn left(&self) -> bool {
        self.sched.alone(self.incarnation)
    }
    fn fatal(&self, node: &str, error: String, lasting: bool) -> ! {
        self.sched.die(End::Failed(format!("{node}: {error}"), lasting))
    }
}

impl Simulation for Points {
    fn crash_point(&self, name: &str) {
        if self.about_to_crash(name) {
            self.die(name);
        }
    }
    fn about_to_crash(&self, name: &str) -> bool {
        let mut s = self.0.state();
        s.cover.hit(name);
        let n = match s.mix.favourite == name {
            true if ["reload", "manifest", "trim"].iter().any(|p| name.starts_with(p)) => RARE,
            true => FAVOURITE,
            false => s.mix.crash_point,
        };
        s.fault("crash at a point", n)
    }
    fn die(&self, name: &str) -> ! {
        self.0.state().cover.hit(&format!("died at {name}"));
        self.0.die(End::Killed(name.into()))
    }
    fn broken(&self, step: &str) -> bool {
        self.0.broken(step)
    }
}
