//! Named crash points and deliberate faults, for tests that must see the product die.
//!
//! `MILLSTREAM_CRASH=name:n` kills the process (SIGKILL to itself: no unwinding, no flush) at the n-th time the point
//! is passed. `MILLSTREAM_FAULT=name` breaks one protocol step on purpose, so that the tests which should notice can
//! be shown to notice. Both cost one atomic load where they are not set.
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

static CRASH: OnceLock<Option<(String, u64)>> = OnceLock::new();
static FAULT: OnceLock<Option<String>> = OnceLock::new();
static HITS: AtomicU64 = AtomicU64::new(0);
/// Some thread of this process is simulated.
static SIMULATED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static SIMULATION: RefCell<Option<Arc<dyn Simulation>>> = const { RefCell::new(None) };
}

/// Decides for the threads of a simulated incarnation what happens at crash points, in place of the environment.
pub trait Simulation: Send + Sync {
    /// A crash point is passed. Does not return if the incarnation dies here.
    fn crash_point(&self, name: &str);
    /// True if the incarnation is to die here, after half the work; [`Simulation::die`] follows.
    fn about_to_crash(&self, name: &str) -> bool;
    /// The incarnation dies.
    fn die(&self, name: &str) -> !;
    /// True if this protocol step is broken on purpose.
    fn broken(&self, step: &str) -> bool;
}

/// Simulate this thread from here on, or (`None`) no longer.
pub fn simulate(simulation: Option<Arc<dyn Simulation>>) {
    SIMULATED.fetch_or(simulation.is_some(), Ordering::Relaxed);
    SIMULATION.set(simulation);
}

#[inline]
fn simulation() -> Option<Arc<dyn Simulation>> {
    // Gone while the thread ends: then nothing is simulated either.
    if SIMULATED.load(Ordering::Relaxed) { SIMULATION.try_with(|s| s.borrow().clone()).ok().flatten() } else { None }
}

/// Names of every crash point the engine and its local store pass, in protocol order. Tests walk this list.
pub const CRASH_POINTS: &[&str] = &[
    "epoch.before_append",
    "epoch.torn_append",
    "epoch.after_append",
    "read.mid_split",
    "state.after_apply",
    "sink.before_write",
    "sink.mid_write",
    "sink.after_write",
    "sink.before_commit",
    "commit.torn_append",
    "sink.after_commit",
    "snapshot.mid_objects",
    "object.before_rename",
    "manifest.before_publish",
    "manifest.after_publish",
    "trim.mid",
    "recover.after_begin",
    "recover.mid_replay",
    "reload.after_seal",
    "reload.after_build",
];

/// Pass a crash point.
#[inline]
pub fn crash_point(name: &str) {
    if let Some(s) = simulation() {
        return s.crash_point(name);
    }
    if let Some((want, n)) = CRASH.get_or_init(crash_setting)
        && want == name
        && HITS.fetch_add(1, Ordering::Relaxed) + 1 == *n
    {
        die(name)
    }
}

/// True if the crash point is the one asked for and this is its hit: for torn writes, which must do half the work
/// before they call [`die`].
pub fn about_to_crash(name: &str) -> bool {
    if let Some(s) = simulation() {
        return s.about_to_crash(name);
    }
    matches!(CRASH.get_or_init(crash_setting), Some((want, n))
        if want == name && HITS.fetch_add(1, Ordering::Relaxed) + 1 == *n)
}

/// Die at once, as a power cut would have it for this process.
pub fn die(name: &str) -> ! {
    if let Some(s) = simulation() {
        s.die(name)
    }
    eprintln!("crash point {name}: killing this process");
    // SAFETY: plain system calls; the process does not outlive them.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
        libc::_exit(137)
    }
}

/// True if this protocol step is to be broken on purpose.
#[inline]
pub fn broken(step: &str) -> bool {
    if let Some(s) = simulation() {
        return s.broken(step);
    }
    FAULT.get_or_init(|| std::env::var("MILLSTREAM_FAULT").ok()).as_deref() == Some(step)
}

fn crash_setting() -> Option<(String, u64)> {
    let v = std::env::var("MILLSTREAM_CRASH").ok()?;
    let (name, n) = v.rsplit_once(':').unwrap_or((&v, "1"));
    Some((name.to_string(), n.parse().unwrap_or(1)))
}
