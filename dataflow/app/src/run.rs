//! `millstream run`: the engine process. Starts from the log, runs sessions, and lets an edited topology take over.
use crate::bundle::{Bundle, Shelf};
use crate::cluster::{self, Order};
use crate::control::{Answer, Ask, Listener, Request};
use crate::load::{self, Loaded};
use crate::stop::{STOP, heed_signals};
use crate::{cli::RunArgs, exit, http, progress};
use anyhow::{Context, Result, anyhow, bail};
use engine::cluster::{Hub, Peers};
use engine::{Control, Outcome, Session, Start, Status};
use model::store::Store;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use topology::Topology;

/// How often the topology's files are looked at for an edit.
const WATCH: Duration = Duration::from_millis(300);

/// A topology that is running or about to.
struct Current {
    topology: Topology,
    bundle: Bundle,
    hash: String,
}

/// What the session, the watcher and the control socket share.
struct Shared {
    status: Arc<Status>,
    control: Mutex<Sender<Control>>,
    running: Mutex<Bundle>,
    fixed: Fixed,
    /// A member of the cluster was asked to end.
    drain: Arc<AtomicBool>,
    pending: Mutex<Option<Pending>>,
    generation: AtomicU64,
}

/// What no edit of a running topology may change.
#[derive(PartialEq)]
struct Fixed {
    key_groups: u32,
    lanes: u32,
    log: Option<serde_json::Value>,
    cluster: Option<topology::ClusterSettings>,
}

impl Fixed {
    fn of(t: &Topology) -> Fixed {
        Fixed {
            key_groups: t.engine.key_groups,
            lanes: t.engine.lanes,
            log: t.log.as_ref().map(|l| l.settings.clone()),
            cluster: t.cluster.clone(),
        }
    }
    /// Why a topology cannot take over from this one.
    fn refuses(&self, t: &Topology) -> Option<String> {
        let new = Fixed::of(t);
        let (groups, lanes) = (self.key_groups, self.lanes);
        if (groups, lanes) != (new.key_groups, new.lanes) {
            return Some(format!(
                "key_groups ({groups}) and lanes ({lanes}) are fixed for the life of the state: set them back, or start with a new data_dir"
            ));
        }
        (*self != new)
            .then(|| "[log] and [cluster] take effect with a restart: set them back, or drain and start again".into())
    }
}

struct Pending {
    next: Current,
    answer: Option<Sender<Answer>>,
}

/// Run the engine. Returns the process's exit code.
pub fn run(args: &RunArgs) -> Result<i32> {
    heed_signals();
    let disk = load::from_disk(&args.topology);
    report(&disk);
    let Some(first) = &disk.topology else {
        let errors = disk.diagnostics.iter().filter(|d| !d.warning).count();
        eprintln!(
            "millstream: {errors} error{} in the topology; nothing was started",
            if errors == 1 { "" } else { "s" }
        );
        return Ok(exit::CONFIG);
    };
    let dir = load::data_dir(first);
    let peers = cluster::peers(args, first)?;
    let (me, together) = (peers.as_ref().map_or(0, |p| p.me), cluster::together());
    // On one machine the processes listen on ports that follow each other.
    let http = match http::address(args.http.as_deref(), &first.engine, if together { me as u16 } else { 0 }) {
        Ok(http) => http,
        Err(e) => {
            eprintln!("error: {e:#}");
            return Ok(exit::CONFIG);
        }
    };
    if let Some(p) = peers.as_ref().filter(|p| p.me > 0) {
        std::fs::create_dir_all(&dir).with_context(|| format!("make the data folder {}", dir.display()))?;
        let _alone = (!together).then(|| local::lock(&dir)).transpose().map_err(|e| anyhow!("{e}"))?;
        return cluster::member(p.clone(), &dir, http);
    }
    if args.fresh && std::env::var_os(crate::child::RESTARTED).is_none() && !already_running(&dir) {
        fresh(&dir)?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("make the data folder {}", dir.display()))?;
    let shelf = Shelf::new(&dir);
    shelf.keep(&disk.bundle, &disk.contents).context("keep the topology's files")?;
    let hash = disk.bundle.hash();
    let current = Current { topology: disk.topology.expect("checked above"), bundle: disk.bundle, hash };
    sessions(args, &dir, &shelf, current, peers, http)
}

fn already_running(dir: &Path) -> bool {
    crate::control::ask(dir, &Ask::Status).is_ok()
}

/// Forget an earlier run's state.
fn fresh(dir: &Path) -> Result<()> {
    let known = dir.join("epochs.log").exists() || dir.join("generation").exists() || dir.join("content").exists();
    match dir.exists() {
        true if !known && std::fs::read_dir(dir)?.next().is_some() => {
            bail!("--fresh: {} does not look like a Millstream data folder; it was left alone", dir.display())
        }
        true => std::fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display())),
        false => Ok(()),
    }
}

fn sessions(
    args: &RunArgs,
    dir: &Path,
    shelf: &Shelf,
    mut current: Current,
    peers: Option<Peers>,
    http: Option<SocketAddr>,
) -> Result<i32> {
    let remote = current.topology.log.is_some();
    let _alone = remote.then(|| local::lock(dir)).transpose().map_err(|e| anyhow!("{e}"))?;
    let mut hub = peers.map(Hub::open).transpose().map_err(|e| anyhow!("{e}"))?;
    let store = cluster::store(&current.topology, dir, false)?;
    let generation = store.begin().map_err(|e| anyhow!("{e}"))?;
    model::fault::crash_point("recover.after_begin");
    std::fs::write(dir.join("engine.pid"), std::process::id().to_string()).context("write engine.pid")?;
    let (tx, rx) = channel();
    let shared = Arc::new(Shared {
        status: Arc::new(Status::default()),
        control: Mutex::new(tx),
        running: Mutex::new(current.bundle.clone()),
        fixed: Fixed::of(&current.topology),
        drain: hub.as_ref().map(Hub::asked_to_drain).unwrap_or_default(),
        pending: Mutex::new(None),
        generation: AtomicU64::new(0),
    });
    shared.status.generation.store(generation, Ordering::Relaxed);
    if let Some(address) = http {
        eprintln!("millstream: http on {}", http::start(address, shared.status.clone())?);
    }
    let mut start = Start::read(&*store).map_err(|e| anyhow!("{e}"))?;
    start.damaged.iter().for_each(|d| eprintln!("millstream: warning: passed over a damaged snapshot: {d}"));
    resume_note(&start, &current);
    let logged = start.replay.first().map(|r| r.bundle.clone());
    if let Some(old) = logged.filter(|b| *b != current.hash) {
        start = replay_old(args, shelf, &old, &store, generation, &shared, start, hub.as_mut())?;
    }
    let edits = start.manifest.topology_generation + (start.manifest.bundle != current.hash) as u64;
    shared.generation.store(edits.max(1), Ordering::Relaxed);
    let began = Instant::now();
    let _progress = progress::start(shared.status.clone(), args.progress());
    watch(args, dir.to_path_buf(), shared.clone());
    let listener = serve(dir, args.topology.clone(), shared.clone())?;
    let mut answer: Option<Sender<Answer>> = None;
    loop {
        let outcome = {
            let hub = hub.as_mut();
            session(args, shelf, &current, &store, generation, &shared, start, false, &rx, answer.take(), hub)?
        };
        start = Start::read(&*store).map_err(|e| anyhow!("{e}"))?;
        match outcome {
            Outcome::Sealed => {
                model::fault::crash_point("reload.after_seal");
                let Some(p) = shared.pending.lock().expect("no holder panics").take() else { continue };
                (current, answer) = (p.next, p.answer);
                *shared.running.lock().expect("no holder panics") = current.bundle.clone();
                let g = shared.generation.fetch_add(1, Ordering::Relaxed) + 1;
                eprintln!("millstream: topology {} applied (generation {g})", load::short(&current.hash));
            }
            Outcome::Drained | Outcome::Finished => break,
        }
    }
    drop(listener);
    if let Some(hub) = hub {
        hub.end();
    }
    let _ = std::fs::remove_file(dir.join("engine.pid"));
    progress::summary(&shared.status, began.elapsed(), args);
    Ok(0)
}

fn resume_note(start: &Start, current: &Current) {
    if start.last_epoch() > 0 {
        eprintln!(
            "millstream: {} resumes from the snapshot of epoch {}, {} logged epoch{} to replay",
            current.topology.name,
            start.manifest.epoch,
            start.replay.len(),
            if start.replay.len() == 1 { "" } else { "s" }
        );
    }
}

/// Logged epochs ran under an older topology than the file holds now: replay them under that one first.
fn replay_old(
    args: &RunArgs,
    shelf: &Shelf,
    old: &str,
    store: &Arc<dyn Store>,
    generation: u64,
    shared: &Arc<Shared>,
    start: Start,
    hub: Option<&mut Hub>,
) -> Result<Start> {
    if start.replay.iter().any(|r| r.bundle != old) {
        bail!(
            "the logged epochs span two topologies and the snapshot between them is damaged; restore the data folder from a copy"
        );
    }
    let (topology, bundle) = load::from_shelf(shelf, old)?;
    eprintln!("millstream: {} logged epochs are replayed under the topology they were opened with", start.replay.len());
    let old = Current { topology, bundle, hash: old.to_string() };
    let (_tx, rx) = channel();
    session(args, shelf, &old, store, generation, shared, start, true, &rx, None, hub)?;
    Start::read(&**store).map_err(|e| anyhow!("{e}"))
}

fn session(
    args: &RunArgs,
    shelf: &Shelf,
    current: &Current,
    store: &Arc<dyn Store>,
    generation: u64,
    shared: &Arc<Shared>,
    start: Start,
    replay_only: bool,
    control: &Receiver<Control>,
    answer: Option<Sender<Answer>>,
    hub: Option<&mut Hub>,
) -> Result<Outcome> {
    let run = store.identity().map_err(|e| anyhow!("{e}"))?;
    let settings = load::settings(&current.topology, args.workers(), args.once, &run);
    load::note_running(&settings.data_dir, &current.hash).context("note the running topology")?;
    let m = &start.manifest;
    if m.epoch > 0 && (m.groups, m.lanes) != (settings.groups, settings.lanes) {
        bail!(
            "key_groups and lanes are fixed for the life of the state ({} and {}); the topology asks for {} and {}",
            m.groups,
            m.lanes,
            settings.groups,
            settings.lanes
        );
    }
    model::fault::crash_point("reload.after_build");
    if let Some(a) = answer {
        let _ = a.send(Answer::applied(shared.generation.load(Ordering::Relaxed)));
    }
    let order = |session| {
        let order = Order {
            generation,
            session,
            bundle: current.hash.clone(),
            topology_generation: shared.generation.load(Ordering::Relaxed),
            workers: settings.workers,
            once: args.once,
            replay_only,
            start: start.clone(),
        };
        serde_json::to_vec(&order).expect("an order is plain data")
    };
    let mesh = hub.map(|h| h.assemble(generation, order, |name| shelf.get(name))).transpose();
    let mesh = mesh.map_err(|e| anyhow!(e))?;
    engine::run(Session {
        graph: load::graph(&current.topology)?,
        mesh,
        settings,
        store: store.clone(),
        generation,
        bundle: current.hash.clone(),
        topology_generation: shared.generation.load(Ordering::Relaxed),
        start: Arc::new(start),
        replay_only,
        control,
        status: shared.status.clone(),
    })
    .map_err(|e| anyhow!("{e}"))
}

/// Look at the topology's files; an edit that checks takes over, one that does not is reported once.
fn watch(args: &RunArgs, data_dir: PathBuf, shared: Arc<Shared>) {
    let (path, auto) = (args.topology.clone(), !args.no_watch && !args.once);
    std::thread::Builder::new()
        .name("watch".into())
        .spawn(move || {
            let mut refused: Option<String> = None;
            loop {
                std::thread::sleep(WATCH);
                if STOP.load(Ordering::Relaxed) || shared.drain.load(Ordering::Relaxed) {
                    let _ = shared.control.lock().expect("no holder panics").send(Control::Drain);
                    return;
                }
                if !auto || shared.pending.lock().expect("no holder panics").is_some() || !changed(&path, &shared) {
                    continue;
                }
                match propose(&path, &data_dir, &shared, None) {
                    Ok(_) => refused = None,
                    Err(why) => {
                        if refused.as_deref() != Some(&why) {
                            eprintln!("{why}\nmillstream: the edit was not applied; the running topology goes on");
                        }
                        refused = Some(why);
                    }
                }
            }
        })
        .expect("start the watcher");
}

/// True if some file, list or variable of the running bundle is not as it was.
fn changed(path: &Path, shared: &Shared) -> bool {
    let running = shared.running.lock().expect("no holder panics").clone();
    let (dir, _) = load::place(path);
    running.changed(&local::DiskFiles::new(&dir))
}

/// Check what is on disk and, if it differs and can be built, ask the session to seal for it.
fn propose(path: &Path, data_dir: &Path, shared: &Shared, answer: Option<Sender<Answer>>) -> Result<Answer, String> {
    let loaded = load::from_disk(path);
    let Some(topology) = loaded.topology else {
        return Err(loaded.diagnostics.iter().filter(|d| !d.warning).map(|d| d.render(false)).collect());
    };
    let hash = loaded.bundle.hash();
    let generation = shared.generation.load(Ordering::Relaxed);
    // Held to the end: the watcher and `apply` may see the same edit at the same moment.
    let mut pending = shared.pending.lock().expect("no holder panics");
    if let Some(p) = pending.as_mut() {
        if p.next.hash != hash {
            return Err("another edit is taking over at this moment; apply again".into());
        }
        p.answer = answer.or(p.answer.take());
        return Ok(Answer::sealing(generation));
    }
    if shared.running.lock().expect("no holder panics").hash() == hash {
        return Ok(Answer::unchanged(generation));
    }
    if let Some(why) = shared.fixed.refuses(&topology) {
        return Err(why);
    }
    let settings = load::settings(&topology, 1, false, "");
    let graph = load::graph(&topology).map_err(|e| format!("{e:#}"))?;
    load::trial(&graph, &settings).map_err(|e| format!("the topology checks but cannot be built: {e:#}"))?;
    Shelf::new(data_dir)
        .keep(&loaded.bundle, &loaded.contents)
        .map_err(|e| format!("keep the topology's files: {e}"))?;
    let next = Current { topology, bundle: loaded.bundle, hash };
    *pending = Some(Pending { next, answer });
    let _ = shared.control.lock().expect("no holder panics").send(Control::Seal);
    Ok(Answer::sealing(generation))
}

/// Answer questions on the control socket.
fn serve(dir: &Path, path: PathBuf, shared: Arc<Shared>) -> Result<Listener> {
    let data_dir = dir.to_path_buf();
    Listener::start(dir, shared.status.clone(), move |request: Request| match &request.ask {
        Ask::Status => Answer::status(&shared.status, shared.generation.load(Ordering::Relaxed)),
        Ask::Drain => {
            let _ = shared.control.lock().expect("no holder panics").send(Control::Drain);
            Answer::ok("draining")
        }
        Ask::Command(c) => {
            let _ = shared.control.lock().expect("no holder panics").send(Control::Command(c.clone()));
            Answer::ok("takes effect with the next epoch")
        }
        Ask::Apply => {
            let (tx, rx) = channel();
            match propose(&path, &data_dir, &shared, Some(tx)) {
                Ok(a) if a.state == "sealing" => rx
                    .recv_timeout(Duration::from_secs(60))
                    .unwrap_or_else(|_| Answer::failed("the edit was accepted but had not taken over after 60 s")),
                Ok(a) => a,
                Err(why) => Answer::failed(&why),
            }
        }
    })
}

fn report(loaded: &Loaded) {
    use std::io::IsTerminal;
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for d in &loaded.diagnostics {
        eprint!("{}", d.render(color));
    }
}
