//! The processes of a run: `--processes N` on this machine, or `[cluster]` of the topology over several.
//!
//! Process 0 coordinates. It tells every member what to run, and hands out the topology's files, so an edit is made on its
//! machine only. With the local log the processes share one data folder on one machine; with `[log]` each has its own.
use crate::bundle::Shelf;
use crate::child::{PLACE, Place};
use crate::cli::RunArgs;
use crate::{exit, http, load};
use anyhow::{Context, Result, anyhow, bail};
use engine::cluster::{Member, Next, Peers, Refused};
use engine::composed::Composed;
use engine::{Session, Start, Status};
use local::LocalStore;
use model::BuildCx;
use model::store::Store;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;
use topology::Topology;
use xxhash_rust::xxh3::Xxh3;

/// Default silence after which a process is lost, with `--processes`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What process 0 tells the others.
#[derive(Serialize, Deserialize)]
pub struct Order {
    /// Incarnation.
    pub generation: u64,
    /// Session in it.
    pub session: u64,
    /// Hash of the bundle to run.
    pub bundle: String,
    /// Number of the topology edit.
    pub topology_generation: u64,
    /// Worker threads in each process.
    pub workers: usize,
    /// See [`engine::Settings::once`].
    pub once: bool,
    /// See [`Session::replay_only`].
    pub replay_only: bool,
    /// Where to start.
    pub start: Start,
}

/// The cluster that this process belongs to, if any.
pub fn peers(args: &RunArgs, t: &Topology) -> Result<Option<Peers>> {
    let place = match std::env::var(PLACE) {
        Ok(text) => Some(serde_json::from_str::<Place>(&text).with_context(|| format!("read {PLACE}"))?),
        Err(_) => None,
    };
    let (hosts, bind, me, secret, timeout) = match (place, &t.cluster) {
        (Some(p), c) => {
            let timeout = c.as_ref().map_or(TIMEOUT, |c| Duration::from_millis(c.timeout.0));
            (p.hosts, None, p.me, p.secret, timeout)
        }
        (None, Some(c)) => {
            let Some(me) = args.process else {
                bail!(
                    "[cluster] has {0} processes: say which one this is with --process 0 to {1}",
                    c.hosts.len(),
                    c.hosts.len() - 1
                )
            };
            if me >= c.hosts.len() {
                bail!("--process {me}: [cluster] has processes 0 to {}", c.hosts.len() - 1);
            }
            (c.hosts.clone(), c.bind.clone(), me, c.secret.clone(), Duration::from_millis(c.timeout.0))
        }
        (None, None) if args.process.is_some() => bail!("--process needs a [cluster] in the topology"),
        (None, None) => return Ok(None),
    };
    if hosts.len() == 1 {
        return Ok(None);
    }
    if t.log.is_none() && !together() {
        bail!(
            "processes on several machines need a [log] that all of them reach: without it the epoch log is in the data folder of one machine"
        );
    }
    Ok(Some(Peers { hosts, bind, me, secret, name: t.name.clone(), build: build()?, timeout }))
}

/// True if the processes of the cluster were started together on this machine, over one data folder.
pub fn together() -> bool {
    std::env::var_os(PLACE).is_some()
}

/// Identity of this program: its version and what its file holds, read in pieces: it may be large, and every start waits
/// for this.
fn build() -> Result<String> {
    let mut exe = File::open("/proc/self/exe").context("open this program")?;
    let (mut hash, mut piece) = (Xxh3::new(), vec![0; 256 << 10]);
    loop {
        match exe.read(&mut piece).context("read this program")? {
            0 => break,
            n => hash.update(&piece[..n]),
        }
    }
    Ok(format!("{} {}", env!("CARGO_PKG_VERSION"), load::short(&format!("{:032x}", hash.digest128()))))
}

/// Open the durable state of a topology: the data folder, or what `[log]` names.
pub fn store(t: &Topology, dir: &Path, member: bool) -> Result<Arc<dyn Store>> {
    if t.log.is_none() {
        let store = if member { LocalStore::open_as_member(dir) } else { LocalStore::open(dir) };
        return Ok(Arc::new(store.map_err(|e| anyhow!("{e}"))?));
    }
    remote(t, dir)
}

/// The same, to look at snapshots only: takes no lock and fences nobody.
pub fn store_to_read(t: &Topology, dir: &Path) -> Result<Arc<dyn Store>> {
    match t.log {
        None => Ok(Arc::new(LocalStore::open_read_only(dir).map_err(|e| anyhow!("{e}"))?)),
        Some(_) => remote(t, dir),
    }
}

fn remote(t: &Topology, dir: &Path) -> Result<Arc<dyn Store>> {
    let log = t.log.as_ref().context("the topology has no [log]")?;
    let cx = BuildCx { id: "log".into(), topology: t.name.as_str().into(), data_dir: dir.into(), ..BuildCx::default() };
    let model::Built::Log(log) = log.node.build(&cx).map_err(|e| anyhow!("log: {e}"))? else {
        bail!("[log] must build a log");
    };
    let url = t.engine.snapshots.clone().unwrap_or_else(|| dir.join("snapshots").to_string_lossy().into_owned());
    let objects = load::objects(&url).map_err(|e| anyhow!("snapshots: {e}"))?;
    Ok(Arc::new(Composed::new(log, objects)))
}

/// A cluster that cannot be formed as it is configured: say why, once; starting again will not help.
pub fn refused(e: model::Error) -> Result<i32> {
    if e.is::<Refused>() {
        eprintln!("error: {e}");
        return Ok(exit::CONFIG);
    }
    Err(anyhow!(e))
}

/// Run as a member until process 0 says that it is over. Returns the exit code.
pub fn member(peers: Peers, dir: &Path, http: Option<SocketAddr>) -> Result<i32> {
    engine::fatal::exit_on_panic();
    let me = peers.me;
    let status = Arc::new(Status::default());
    if let Some(address) = http {
        eprintln!("millstream: process {me}: http on {}", http::start(address, status.clone())?);
    }
    let member = match Member::join(peers) {
        Ok(m) => m,
        Err(e) => return refused(e),
    };
    let drain = member.drainer();
    // A member that lives is well: when process 0 or the connection to it is lost, it ends.
    let beating = status.clone();
    std::thread::Builder::new().name("watch".into()).spawn(move || {
        let mut asked = false;
        loop {
            beating.beat();
            if crate::stop::STOP.load(Ordering::Relaxed) && !asked {
                asked = true;
                drain();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    })?;
    std::fs::write(dir.join(format!("engine-{me}.pid")), std::process::id().to_string()).context("write engine.pid")?;
    let shelf = Shelf::new(dir);
    loop {
        let order = match member.next() {
            Next::Order(text) => serde_json::from_slice::<Order>(&text).context("read the order of process 0")?,
            Next::End => {
                let _ = std::fs::remove_file(dir.join(format!("engine-{me}.pid")));
                return Ok(0);
            }
        };
        shelf.fetch(&order.bundle, |name| member.want(name).map_err(|e| anyhow!("{e}")))?;
        let (topology, _) = load::from_shelf(&shelf, &order.bundle)?;
        let store = store(&topology, dir, true)?;
        store.join(order.generation).map_err(|e| anyhow!("process {me}: {e}"))?;
        let run = store.identity().map_err(|e| anyhow!("{e}"))?;
        let settings = load::settings(&topology, order.workers, order.once, &run);
        let mesh = match member.mesh(order.generation, order.session) {
            Ok(mesh) => mesh,
            Err(e) => return refused(e),
        };
        let (_tx, control) = channel();
        let graph = load::graph(&topology)?;
        status.begin(&topology.name, &graph, order.topology_generation);
        status.generation.store(order.generation, Ordering::Relaxed);
        status.live.store(true, Ordering::Relaxed);
        engine::run(Session {
            graph,
            settings,
            store,
            generation: order.generation,
            bundle: order.bundle,
            topology_generation: order.topology_generation,
            start: Arc::new(order.start),
            replay_only: order.replay_only,
            control: &control,
            status: status.clone(),
            mesh: Some(mesh),
        })
        .map_err(|e| anyhow!("{e}"))?;
    }
}
