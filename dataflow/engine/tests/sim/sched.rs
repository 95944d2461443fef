//! One thread at a time: real threads pass a turn, and a seeded choice says to whom.
//!
//! A task is a thread of some incarnation: its coordinator, or one of its workers; task 0 is the supervisor. Whoever has
//! the turn runs until it pauses (at every call of the world and every step of a worker), then picks the next. To kill an
//! incarnation is to mark it dead: each of its threads unwinds out of the pause it is in.
use crate::brokers::state::Brokers;
use crate::cover::Cover;
use crate::disk::Disk;
use crate::mix::Mix;
use crate::rng::Rng;
use crate::stores::History;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// A run that takes more turns than this has lost its liveness.
pub const TURNS_MAX: u64 = 400_000;
/// Wall clock at the start of every simulation, milliseconds.
pub const START_MS: i64 = 1_700_000_000_000;

/// Real time without a turn after which the simulation itself must be broken.
const STUCK: Duration = Duration::from_secs(60);

/// Payload with which the threads of a dead incarnation unwind.
pub struct Dead;

/// How an incarnation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// In good order.
    Done,
    /// Killed by the simulation, at a place.
    Killed(String),
    /// It ended itself with an error; true: starting again cannot help.
    Failed(String, bool),
}

struct Task {
    incarnation: usize,
    /// Index among the workers; `None`: coordinator or supervisor.
    worker: Option<usize>,
    gone: bool,
    weight: u64,
    /// Set once its thread is there.
    thread: Option<Thread>,
}

/// An incarnation as the scheduler knows it.
#[derive(Default)]
pub struct Incarnation {
    /// Its number in the log, once it has begun.
    pub generation: u64,
    /// Set once it has ended.
    pub end: Option<End>,
}

/// Everything that is decided under one lock.
pub struct State {
    /// The choices of this seed.
    pub rng: Rng,
    /// What may go wrong in this seed, and how often.
    pub mix: Mix,
    /// Faults that may still be made; none are once this is 0.
    pub budget: u64,
    /// What was made, for people.
    pub faults: Vec<String>,
    /// What happened how often.
    pub cover: Cover,
    /// Hash of every decision.
    pub trace: u64,
    /// Virtual time, milliseconds.
    pub ms: u64,
    /// Turns so far.
    pub turns: u64,
    /// By number.
    pub incarnations: Vec<Incarnation>,
    tasks: Vec<Task>,
}

/// The scheduler of one simulation.
pub struct Sched {
    /// The seed.
    seed: u64,
    /// The task that runs.
    turn: AtomicUsize,
    state: Mutex<State>,
    /// The brokers.
    pub brokers: Mutex<Brokers>,
    /// The disk of the one machine there is.
    pub disk: Mutex<Disk>,
    /// Objects that are durable at once.
    pub bucket: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Every epoch that was durable.
    pub history: Mutex<History>,
    /// Step of the protocol that is broken on purpose.
    mutation: Option<&'static str>,
}

thread_local! {
    static ME: RefCell<Option<(Arc<Sched>, usize)>> = const { RefCell::new(None) };
}

/// The simulation of the calling thread.
pub fn sched() -> Arc<Sched> {
    ME.with(|m| m.borrow().as_ref().expect("a thread of a simulation").0.clone())
}

/// The same, if the thread is in one.
pub fn try_sched() -> Option<Arc<Sched>> {
    ME.try_with(|m| m.borrow().as_ref().map(|m| m.0.clone())).ok().flatten()
}

fn me() -> usize {
    ME.with(|m| m.borrow().as_ref().expect("a thread of a simulation").1)
}

/// Say what happens, if somebody asked for it with `SIM_TRACE=1`.
pub fn say(what: impl FnOnce() -> String) {
    static ON: OnceLock<bool> = OnceLock::new();
    if *ON.get_or_init(|| std::env::var_os("SIM_TRACE").is_some())
        && let Some(s) = try_sched()
    {
        let st = s.state();
        let t = &st.tasks[me()];
        let (turn, ms, inc, worker) = (st.turns, st.ms, t.incarnation as i64, t.worker);
        drop(st);
        println!(
            "turn {turn} ms {ms} incarnation {inc} {}: {}",
            worker.map_or("c".into(), |w| format!("w{w}")),
            what()
        );
    }
}

/// Let others run.
pub fn pause() {
    sched().switch();
}

impl State {
    /// Add to the hash of decisions.
    pub fn mix_in(&mut self, n: u64) {
        self.trace = (self.trace ^ n).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(5);
    }
    /// A fault of some kind happens now with the probability the mix gives it, if there is budget.
    pub fn fault(&mut self, name: &'static str, permille: u64) -> bool {
        if self.budget == 0 || !self.rng.permille(permille) {
            return false;
        }
        self.budget -= 1;
        self.cover.hit(name);
        let at = self.turns;
        self.faults.push(format!("{name}@{at}"));
        true
    }
    /// Pick who is next.
    fn pick(&mut self) -> usize {
        let total: u64 = self.tasks.iter().filter(|t| !t.gone).map(|t| t.weight).sum();
        let mut at = self.rng.below(total.max(1));
        for (i, t) in self.tasks.iter().enumerate().filter(|(_, t)| !t.gone) {
            if at < t.weight {
                return i;
            }
            at -= t.weight;
        }
        0
    }
    fn pass(&mut self) -> usize {
        self.turns += 1;
        // Time passes slowly while work is done; those who wait make it pass faster.
        self.ms += self.rng.below(8) / 7;
        let next = self.pick();
        self.mix_in(next as u64);
        next
    }
    /// End an incarnation: none of its threads gets another turn.
    pub fn kill(&mut self, incarnation: usize, end: End) {
        let slot = &mut self.incarnations[incarnation].end;
        if slot.is_none() {
            *slot = Some(end);
        }
        for t in self.tasks.iter_mut().filter(|t| t.incarnation == incarnation && !t.gone) {
            t.gone = true;
            t.thread.iter().for_each(Thread::unpark);
        }
    }
}

impl Sched {
    /// A scheduler; the calling thread is its supervisor and has the turn.
    pub fn new(seed: u64, rng: Rng, mix: Mix, mutation: Option<&'static str>) -> Arc<Sched> {
        let budget = mix.budget;
        let thread = Some(thread::current());
        let supervisor = Task { incarnation: usize::MAX, worker: None, gone: false, weight: 1, thread };
        let state = State {
            rng,
            mix,
            budget,
            faults: Vec::new(),
            cover: Cover::default(),
            trace: 0xcbf2_9ce4_8422_2325,
            ms: 0,
            turns: 0,
            incarnations: Vec::new(),
            tasks: vec![supervisor],
        };
        let s = Arc::new(Sched {
            seed,
            turn: AtomicUsize::new(0),
            state: Mutex::new(state),
            brokers: Mutex::default(),
            disk: Mutex::default(),
            bucket: Mutex::default(),
            history: Mutex::default(),
            mutation,
        });
        ME.set(Some((s.clone(), 0)));
        s
    }

    /// The state; only for the thread that has the turn.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// True if this step is broken on purpose.
    pub fn broken(&self, step: &str) -> bool {
        self.mutation == Some(step)
    }

    /// A new incarnation with its coordinator's task.
    pub fn incarnation(&self) -> (usize, usize) {
        let mut s = self.state();
        s.incarnations.push(Incarnation::default());
        let n = s.incarnations.len() - 1;
        let weight = s.rng.range(1, 6);
        s.tasks.push(Task { incarnation: n, worker: None, gone: false, weight, thread: None });
        (n, s.tasks.len() - 1)
    }

    /// The calling thread is this task; wait for its turn.
    pub fn begin(self: &Arc<Self>, task: usize) {
        ME.set(Some((self.clone(), task)));
        self.state().tasks[task].thread = Some(thread::current());
        self.wait(task);
    }

    /// The task of a worker of the calling coordinator's incarnation.
    pub fn worker_task(&self, incarnation: usize, worker: usize) -> usize {
        let s = self.state();
        let at = s.tasks.iter().rposition(|t| t.incarnation == incarnation && t.worker == Some(worker));
        at.expect("workers are announced")
    }

    /// Announce workers of an incarnation.
    pub fn announce(&self, incarnation: usize, workers: usize) {
        let mut s = self.state();
        for worker in 0..workers {
            let weight = s.rng.range(1, 8);
            let worker = Some(worker);
            s.tasks.push(Task { incarnation, worker, gone: false, weight, thread: None });
        }
    }

    /// True if no worker of the incarnation is left.
    pub fn alone(&self, incarnation: usize) -> bool {
        !self.state().tasks.iter().any(|t| t.incarnation == incarnation && t.worker.is_some() && !t.gone)
    }

    /// The incarnation of the calling thread.
    pub fn mine(&self) -> usize {
        self.state().tasks[me()].incarnation
    }

    /// Name of the calling thread's place, for mutations that depend on it: its worker number.
    pub fn my_worker(&self) -> Option<usize> {
        self.state().tasks[me()].worker
    }

    /// Workers of a session of the calling thread's incarnation.
    pub fn peers(&self) -> usize {
        let incarnation = self.mine();
        let s = self.state();
        let all = s.tasks.iter().filter(|t| t.incarnation == incarnation);
        all.filter_map(|t| t.worker).max().map_or(0, |last| last + 1)
    }

    fn wait(&self, task: usize) {
        while self.turn.load(Acquire) != task && !self.state().tasks[task].gone {
            match task {
                0 => self.watch_over(),
                _ => thread::park(),
            }
        }
        if self.state().tasks[task].gone {
            resume_unwind(Box::new(Dead))
        }
    }

    /// The supervisor waits for its turn. It is the one that notices if nothing moves.
    fn watch_over(&self) {
        let (since, turns) = (Instant::now(), self.state().turns);
        thread::park_timeout(STUCK);
        if since.elapsed() >= STUCK && self.turn.load(Acquire) != 0 && self.state().turns == turns {
            eprintln!("SIM_SEED={}: nobody has passed the turn on for {STUCK:?}", self.seed);
            std::process::exit(101)
        }
    }

    /// Give the turn to a task.
    fn give(&self, s: MutexGuard<'_, State>, next: usize) {
        let thread = s.tasks[next].thread.clone();
        // Before the lock is free: a thread that only now comes to be must see it.
        self.turn.store(next, Release);
        drop(s);
        if let Some(t) = thread {
            t.unpark();
        }
    }

    /// Let somebody else run, maybe.
    pub fn switch(&self) {
        let me = me();
        let mut s = self.state();
        if s.tasks[me].gone {
            drop(s);
            resume_unwind(Box::new(Dead))
        }
        let sticky = s.mix.sticky;
        if s.rng.permille(sticky) {
            s.turns += 1;
            return;
        }
        let next = s.pass();
        if next == me {
            return;
        }
        self.give(s, next);
        self.wait(me);
    }

    /// The calling task is through; it gives the turn away for good.
    pub fn leave(&self) {
        let mut s = self.state();
        let me = me();
        if s.tasks[me].gone {
            drop(s);
            resume_unwind(Box::new(Dead))
        }
        s.tasks[me].gone = true;
        let next = s.pass();
        self.give(s, next);
    }

    /// End the calling thread's incarnation, and unwind.
    pub fn die(&self, end: End) -> ! {
        let mut s = self.state();
        let mine = s.tasks[me()].incarnation;
        if !s.tasks[me()].gone {
            s.kill(mine, end);
            let next = s.pass();
            self.give(s, next);
        } else {
            drop(s);
        }
        resume_unwind(Box::new(Dead))
    }

    /// A thread of this simulation panicked: its incarnation ends, and somebody else gets the turn. False for the
    /// supervisor, which is the test itself.
    pub fn panicked(&self, text: String) -> bool {
        let mut s = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (task, mine) = (me(), s.tasks[me()].incarnation);
        if task > 0 && !s.tasks[task].gone {
            s.kill(mine, End::Failed(format!("panic: {text}"), true));
            let next = s.pass();
            self.give(s, next);
        }
        task > 0
    }

    /// Virtual time.
    pub fn now(&self) -> Duration {
        Duration::from_millis(self.state().ms)
    }

    /// A thread waits: time passes.
    pub fn pass_time(&self, at_most: Duration) {
        let mut s = self.state();
        let most = (at_most.as_millis() as u64).clamp(1, 4);
        let n = s.rng.range(1, most);
        s.ms += n;
    }

    /// Clock.
    pub fn clock_ms(&self) -> i64 {
        START_MS + self.state().ms as i64
    }
}
