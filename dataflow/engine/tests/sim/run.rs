//! One simulation: a supervisor that starts incarnations, makes faults, and judges what is visible at the end.
use crate::check::check;
use crate::cover::Cover;
use crate::hooks::{Inside, points};
use crate::input::Input;
use crate::mix::Mix;
use crate::pipeline::{GROUPS, LANES, Shape, graph};
use crate::rng::Rng;
use crate::sched::{End, Sched, TURNS_MAX, pause, say};
use crate::stores;
use engine::{Control, Outcome, Session, Settings, Start, Status, World, run_in};
use model::epoch::Command;
use model::{OpenObjects, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Incarnations that run at the same time: a live one and what has not noticed yet that it is replaced.
const ALIVE_MAX: usize = 3;
/// More incarnations than this cannot come from the faults.
const INCARNATIONS_MAX: usize = 60;
/// What explains that an incarnation ended itself.
const DISK: &str = "simulated disk error";

/// What a simulation gave.
pub struct Report {
    /// Why it is wrong.
    pub failure: Option<String>,
    /// Hash of every decision.
    pub trace: u64,
    /// Faults that were made.
    pub faults: Vec<String>,
    /// Mix of the seed.
    pub mix: Mix,
    /// Points that were reached.
    pub cover: Cover,
    /// Incarnations.
    pub incarnations: usize,
    /// Turns.
    pub turns: u64,
    /// Epochs that were logged.
    pub epochs: usize,
}

/// What every incarnation of a simulation gets.
struct Setting {
    input: Arc<Input>,
    shape: Shape,
    local: bool,
    settings: Settings,
}

struct Live {
    number: usize,
    control: Sender<Control>,
    thread: JoinHandle<()>,
    /// It has ended with everything read and committed.
    finished: Arc<AtomicBool>,
    /// Another one ran at the same time.
    overlapped: bool,
}

/// Run a seed.
pub fn simulate(seed: u64, mutation: Option<&'static str>) -> Report {
    let mut rng = Rng::new(seed);
    let mix = Mix::draw(&mut rng);
    let input = Arc::new(Input::draw(&mut rng));
    let shape = Shape {
        limit: (rng.range(1, 4), rng.range(60, 600)),
        by_hand: rng.coin(),
        partitions: rng.range(1, 3),
        kafka: rng.coin(),
    };
    let settings = Settings {
        name: "sim".into(),
        run: "".into(),
        workers: 1,
        epoch_ms: rng.range(2, 30),
        epoch_bytes: rng.range(64, 600),
        in_flight: rng.range(1, 4),
        checkpoint_ms: rng.range(20, 200),
        // Half of the seeds write changes of every group.
        whole_below: if seed.is_multiple_of(2) { 0 } else { Settings::WHOLE_BELOW },
        groups: GROUPS,
        lanes: LANES,
        keep: rng.range(1, 3) as usize,
        once: true,
        drain_ms: 0,
        inline: true,
        objects: OpenObjects::default(),
        data_dir: "/nonexistent".into(),
        work_dir: "/nonexistent".into(),
    };
    let local = mix.local;
    let sched = Sched::new(seed, rng, mix, mutation);
    points(&sched);
    let setting = Arc::new(Setting { input, shape, local, settings });
    let failure = match supervise(&sched, &setting) {
        Ok(true) => check(&sched, &setting.input, &setting.shape).err(),
        Ok(false) => None,
        Err(why) => Some(why),
    };
    let mut s = sched.state();
    Report {
        failure,
        trace: s.trace,
        faults: std::mem::take(&mut s.faults),
        mix: s.mix.clone(),
        cover: std::mem::take(&mut s.cover),
        incarnations: s.incarnations.len(),
        turns: s.turns,
        epochs: sched.history.lock().expect("no holder panics").epochs.len(),
    }
}

/// Start incarnations until one has finished. `Ok(false)`: it was refused to go on with damaged state, rightly.
fn supervise(sched: &Arc<Sched>, setting: &Arc<Setting>) -> Result<bool, String> {
    let mut old: Vec<Live> = Vec::new();
    let outcome = loop {
        let mut live = start(sched, setting);
        live.overlapped = !old.is_empty();
        if live.number > INCARNATIONS_MAX {
            old.push(live);
            break Err(format!("{INCARNATIONS_MAX} incarnations were not enough"));
        }
        let end = watch(sched, &mut live, &mut old);
        if let Some(why) = unexplained(sched, &live, end.as_ref()) {
            old.push(live);
            break Err(why);
        }
        match end {
            Some(End::Done) if live.finished.load(Relaxed) => {
                old.push(live);
                break Ok(true);
            }
            Some(End::Failed(why, _)) if !why.contains(DISK) && was_damaged(sched) => {
                sched.state().cover.hit("refused after damage");
                old.push(live);
                break Ok(false);
            }
            Some(_) => {
                old.push(live);
                after(sched, setting);
            }
            // It goes on, and does not know.
            None => {
                live.overlapped = true;
                old.push(live);
            }
        }
        reap(sched, &mut old);
    };
    for l in &old {
        sched.state().kill(l.number, End::Killed("the end".into()));
    }
    old.into_iter().for_each(|l| drop(l.thread.join()));
    outcome
}

/// Join what has ended.
fn reap(sched: &Arc<Sched>, old: &mut Vec<Live>) {
    let ended = |l: &Live| {
        let mut s = sched.state();
        let end = s.incarnations[l.number].end.clone();
        if matches!(&end, Some(End::Failed(why, _)) if why.contains("fenced by a newer incarnation")) {
            s.cover.hit("zombie fenced");
        }
        end.is_some()
    };
    let (gone, rest): (Vec<Live>, Vec<Live>) = old.drain(..).partition(ended);
    *old = rest;
    gone.into_iter().for_each(|l| drop(l.thread.join()));
}

/// Something is wrong if an incarnation ended itself for no reason that was made.
fn unexplained(sched: &Arc<Sched>, live: &Live, end: Option<&End>) -> Option<String> {
    let Some(End::Failed(why, _)) = end else { return None };
    // A predecessor that still runs may fence it while both begin. If that one begins later, it removes what is old to it.
    let gone = why.contains("does not exist") && is_replaced(sched, live);
    if why.contains(DISK) || live.overlapped && (gone || why.contains("fenced by a newer incarnation")) {
        return None;
    }
    (!was_damaged(sched) || why.starts_with("panic"))
        .then(|| format!("incarnation {} ended itself: {why}", live.number))
}

/// True if another incarnation has begun after this one.
fn is_replaced(sched: &Sched, live: &Live) -> bool {
    let all = &sched.state().incarnations;
    all.iter().any(|i| i.generation > all[live.number].generation)
}

fn was_damaged(sched: &Sched) -> bool {
    sched.state().cover.0.contains_key("object damaged")
}

/// What happens while nobody runs.
fn after(sched: &Arc<Sched>, setting: &Setting) {
    if !setting.local {
        return;
    }
    let mut s = sched.state();
    let (power, corrupt) = (s.mix.power, s.mix.corrupt);
    let mut disk = sched.disk.lock().expect("no holder panics");
    if s.fault("power cut", power) {
        disk.power_cut(&mut s.rng);
    }
    if s.fault("object damaged", corrupt) {
        let names: Vec<String> =
            disk.list("").into_iter().filter(|n| n.starts_with("manifests/") || n.starts_with("objects/")).collect();
        let newest = names.iter().rposition(|n| n.starts_with("manifests/")).filter(|_| s.rng.permille(750));
        if !names.is_empty() {
            let at = newest.unwrap_or(s.rng.below(names.len() as u64) as usize);
            disk.damage(&names[at], &mut s.rng);
        }
    }
}

/// Let an incarnation run until it ends, is killed, or is to be replaced while it goes on (`None`).
fn watch(sched: &Arc<Sched>, live: &mut Live, old: &mut [Live]) -> Option<End> {
    loop {
        pause();
        let mut s = sched.state();
        if s.turns > TURNS_MAX {
            let end = End::Failed(format!("no end after {TURNS_MAX} turns"), true);
            s.kill(live.number, end.clone());
            return Some(end);
        }
        for l in old.iter() {
            if let Some(End::Failed(why, _)) = &s.incarnations[l.number].end
                && why.starts_with("panic")
            {
                return Some(End::Failed(why.clone(), true));
            }
        }
        if let Some(end) = &s.incarnations[live.number].end {
            return Some(end.clone());
        }
        let m = s.mix.clone();
        if s.fault("crash at a step", m.crash) {
            s.kill(live.number, End::Killed("a step".into()));
            continue;
        }
        if old.len() + 1 < ALIVE_MAX && s.fault("zombie", m.zombie) {
            return None;
        }
        if let Some(l) = old.first()
            && s.rng.permille(20)
        {
            s.kill(l.number, End::Killed("an old one".into()));
        }
        if s.rng.permille(m.compact) {
            s.cover.hit("compacted");
            sched.brokers.lock().expect("no holder panics").compact(&mut s.rng);
        }
        if s.fault("reload", m.seal) {
            let _ = live.control.send(if s.rng.permille(750) { Control::Seal } else { Control::Drain });
        }
        if s.fault("command", m.command) {
            let rule = format!("r{}", s.rng.below(3)).into();
            let _ = live.control.send(Control::Command(Command::Unsuppress { rule }));
        }
    }
}

fn start(sched: &Arc<Sched>, setting: &Arc<Setting>) -> Live {
    let (number, task) = sched.incarnation();
    let (control, orders) = channel();
    let finished = Arc::new(AtomicBool::new(false));
    let (s, set, done) = (sched.clone(), setting.clone(), finished.clone());
    let run = move || {
        points(&s);
        // It always unwinds: dead, done, or by a panic that the hook has told of.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            s.begin(task);
            match incarnation(&s, number, &set, &orders) {
                Ok(end) => {
                    done.store(end, Relaxed);
                    s.die(End::Done)
                }
                Err(e) => s.die(End::Failed(e.to_string(), false)),
            }
        }));
    };
    let thread = std::thread::Builder::new().name(format!("incarnation {number}")).spawn(run).expect("start a thread");
    Live { number, control, thread, finished, overlapped: false }
}

/// One incarnation: what the product does between two starts of its process. True if all input is through.
fn incarnation(sched: &Arc<Sched>, number: usize, set: &Setting, orders: &Receiver<Control>) -> Result<bool> {
    let store = stores::open(set.local)?;
    let generation = store.begin()?;
    sched.state().incarnations[number].generation = generation;
    model::fault::crash_point("recover.after_begin");
    let mut start = Start::read(&*store)?;
    say(|| {
        let commits: Vec<_> = start
            .commits
            .iter()
            .map(|(k, c)| (k, c.iter().map(|c| (c.epoch, c.generation, c.receipt.rows)).collect::<Vec<_>>()))
            .collect();
        let replay: Vec<_> = start.replay.iter().map(|r| r.epoch).collect();
        format!("generation {generation} starts from {} replay {replay:?} commits {commits:?}", start.manifest.epoch)
    });
    if !start.damaged.is_empty() {
        sched.state().cover.hit("older snapshot used");
    }
    let world: Arc<dyn engine::world::Simulated> = Arc::new(Inside { sched: sched.clone(), incarnation: number });
    let workers = [1, 1, 1, 2, 2, 2, 3, 3, 4][sched.state().rng.below(9) as usize];
    loop {
        let outcome = run_in(
            Session {
                graph: graph(&set.input, &set.shape, set.local),
                settings: Settings { workers, run: store.identity()?.into(), ..set.settings.clone() },
                store: store.clone(),
                generation,
                bundle: "bundle".into(),
                topology_generation: 1,
                start: Arc::new(start),
                replay_only: false,
                control: orders,
                status: Arc::new(Status::default()),
                mesh: None,
            },
            World::Simulated(world.clone()),
        )?;
        match outcome {
            Outcome::Sealed => {
                model::fault::crash_point("reload.after_seal");
                start = Start::read(&*store)?;
                model::fault::crash_point("reload.after_build");
            }
            Outcome::Drained => return Ok(false),
            Outcome::Finished => return Ok(true),
        }
    }
}
