//! The parent of the engine processes: starts them, passes signals on, and starts the next incarnation when one dies.
//!
//! The processes of a cluster are one unit: when one dies, the others are killed and reaped before any is started again,
//! so nothing of the old incarnation can write beside the new one.
use crate::child::{CHILD, PLACE, Place, RESTARTED};
use crate::cli::RunArgs;
use anyhow::{Context, Result};
use engine::fatal::{EXIT_FULL, EXIT_LOST, EXIT_RESTART};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Shortest and longest pause before a restart.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// An incarnation that lived this long resets the pause.
const HEALTHY: Duration = Duration::from_secs(30);
/// The same while a disk is full.
const FULL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Restarts in a row without a healthy incarnation before the supervisor gives up.
const RESTARTS_MAX: u32 = 20;
/// Most processes of a cluster on one machine.
const PROCESSES_MAX: usize = 64;
/// When one process has ended in good order, the others get this long to do the same.
const GRACE: Duration = Duration::from_secs(60);

/// Process ids of the children, 0 where there is none.
static CHILDREN: [AtomicI32; PROCESSES_MAX] = [const { AtomicI32::new(0) }; PROCESSES_MAX];
static STOPPING: AtomicU32 = AtomicU32::new(0);

extern "C" fn pass_on(signal: libc::c_int) {
    STOPPING.fetch_add(1, Ordering::Relaxed);
    kill_all(signal);
}

/// Async-signal-safe.
fn kill_all(signal: libc::c_int) {
    for pid in CHILDREN.iter().map(|c| c.load(Ordering::Relaxed)).filter(|p| *p > 0) {
        // SAFETY: kill is async-signal-safe; the pid is our own child's, which has not been reaped.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Run this program again with the same arguments as the engine, until it ends in good order. Returns its exit code.
pub fn supervise(args: &RunArgs) -> Result<i32> {
    // SAFETY: the handler only touches atomics and calls kill.
    unsafe {
        libc::signal(libc::SIGTERM, pass_on as *const () as libc::sighandler_t);
        libc::signal(libc::SIGINT, pass_on as *const () as libc::sighandler_t);
    }
    let (mut pause, mut restarts, mut starts, mut full) = (BACKOFF.0, 0, 0, FULL.0);
    loop {
        let started = Instant::now();
        start(args.processes as usize, starts)?;
        if STOPPING.load(Ordering::Relaxed) > 0 {
            // The signal may have come before the children were known, and so have passed them by.
            kill_all(libc::SIGTERM);
        }
        let status = wait();
        if let Some(code) = ended(&status) {
            return Ok(code);
        }
        if STOPPING.load(Ordering::Relaxed) > 0 {
            return Ok(status.code().unwrap_or(130));
        }
        if started.elapsed() >= HEALTHY {
            (pause, restarts) = (BACKOFF.0, 0);
        }
        if started.elapsed() >= FULL.0 {
            full = FULL.0; // it had come to work
        }
        starts += 1;
        // Room comes from outside, so this never ends by itself.
        if status.code() == Some(EXIT_FULL) {
            eprintln!(
                "millstream: a disk is full (which one stands above); the engine starts again in {full:?} if there is room then"
            );
            if !pause_for(full) {
                return Ok(EXIT_FULL);
            }
            full = (full * 2).min(FULL.1);
            continue;
        }
        // A kill from outside says nothing about the next incarnation, nor does the loss of another process: only an
        // error of its own does.
        let own_fault = status.code().is_some_and(|c| c != EXIT_LOST);
        restarts += own_fault as u32;
        if restarts > RESTARTS_MAX {
            eprintln!("error: the engine died {restarts} times in a row; giving up. The last reason stands above");
            return Ok(EXIT_RESTART);
        }
        eprintln!("millstream: the engine ended ({status}); it restarts from the log in {} ms", pause.as_millis());
        if !pause_for(pause) {
            return Ok(status.code().unwrap_or(130));
        }
        if own_fault {
            pause = (pause * 2).min(BACKOFF.1);
        }
    }
}

/// Wait before the next start; false if the run is to end meanwhile.
fn pause_for(time: Duration) -> bool {
    let end = Instant::now() + time;
    while STOPPING.load(Ordering::Relaxed) == 0 {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
    false
}

/// Exit code that is final; `None` if the engine should be started again.
fn ended(status: &ExitStatus) -> Option<i32> {
    status.code().filter(|c| ![EXIT_RESTART, EXIT_FULL, EXIT_LOST, 101].contains(c))
}

/// Wait until every child has ended. The first that does not end in good order takes the others with it, and its status is
/// the result.
fn wait() -> ExitStatus {
    let mut first: Option<ExitStatus> = None;
    let mut good_since: Option<Instant> = None;
    while CHILDREN.iter().any(|c| c.load(Ordering::Relaxed) > 0) {
        let mut raw = 0;
        let flags = if good_since.is_some() { libc::WNOHANG } else { 0 };
        // SAFETY: waits for own children only; `raw` outlives the call.
        let pid = unsafe { libc::waitpid(-1, &mut raw, flags) };
        if pid == 0 {
            if good_since.is_some_and(|s| s.elapsed() > GRACE) {
                kill_all(libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        let Some(slot) = CHILDREN.iter().find(|c| c.load(Ordering::Relaxed) == pid) else {
            // Interrupted by a signal that was passed on.
            continue;
        };
        slot.store(0, Ordering::Relaxed);
        let status = ExitStatus::from_raw(raw);
        if status.success() {
            good_since.get_or_insert_with(Instant::now);
        } else if first.is_none() {
            first = Some(status);
            kill_all(libc::SIGKILL);
        }
    }
    first.unwrap_or_default()
}

/// Start the processes of an incarnation, before which there were `starts`. More than one get addresses on the loopback interface and a secret of their own.
fn start(processes: usize, starts: u32) -> Result<()> {
    if processes == 1 {
        return spawn(0, None, starts);
    }
    let ports = (0..processes).map(|_| std::net::TcpListener::bind("127.0.0.1:0"));
    let ports: Vec<_> = ports.collect::<std::io::Result<_>>().context("find free ports")?;
    let hosts: std::io::Result<Vec<String>> = ports.iter().map(|p| Ok(p.local_addr()?.to_string())).collect();
    let hosts = hosts.context("find free ports")?;
    drop(ports);
    let secret = model::random::hex(32).context("make a secret")?;
    for me in 0..processes {
        let place = Place { me, hosts: hosts.clone(), secret: secret.clone() };
        spawn(me, Some(serde_json::to_string(&place)?), starts)?;
    }
    Ok(())
}

fn spawn(slot: usize, place: Option<String>, starts: u32) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let mut c = Command::new(std::env::current_exe().context("find this program")?);
    c.args(std::env::args_os().skip(1)).env(CHILD, "1").env_remove(PLACE);
    c.envs(place.map(|p| (PLACE, p)));
    if starts > 0 {
        // A crash point is for one incarnation: the next one must be able to live.
        c.env_remove("MILLSTREAM_CRASH").env(RESTARTED, starts.to_string());
    }
    // SAFETY: prctl is async-signal-safe; the engine must not outlive its supervisor.
    unsafe {
        c.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let child = c.spawn().context("start the engine")?;
    CHILDREN[slot].store(child.id() as i32, Ordering::Relaxed);
    Ok(())
}
