//! The parent of an engine process: starts it, passes signals on, and starts the next incarnation when one dies.
use anyhow::{Context, Result};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Environment variable that tells a child that it is the engine.
pub const CHILD: &str = "MILLSTREAM_ENGINE";
/// Environment variable that tells an engine that it is not the first incarnation of this run.
pub const RESTARTED: &str = "MILLSTREAM_RESTARTED";
/// Shortest and longest pause before a restart.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// An incarnation that lived this long resets the pause.
const HEALTHY: Duration = Duration::from_secs(30);
/// Restarts in a row without a healthy incarnation before the supervisor gives up.
const RESTARTS_MAX: u32 = 20;

static CHILD_PID: AtomicI32 = AtomicI32::new(0);
static STOPPING: AtomicU32 = AtomicU32::new(0);

extern "C" fn pass_on(signal: libc::c_int) {
    STOPPING.fetch_add(1, Ordering::Relaxed);
    let pid = CHILD_PID.load(Ordering::Relaxed);
    if pid > 0 {
        // SAFETY: kill is async-signal-safe; the pid is our own child's.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Run this program again with the same arguments as the engine, until it ends in good order. Returns its exit code.
pub fn supervise() -> Result<i32> {
    // SAFETY: the handler only touches atomics and calls kill.
    unsafe {
        libc::signal(libc::SIGTERM, pass_on as *const () as libc::sighandler_t);
        libc::signal(libc::SIGINT, pass_on as *const () as libc::sighandler_t);
    }
    let (mut pause, mut restarts, mut again) = (BACKOFF.0, 0, false);
    loop {
        let started = Instant::now();
        let mut child = start(again)?;
        CHILD_PID.store(child.id() as i32, Ordering::Relaxed);
        let status = child.wait().context("wait for the engine")?;
        CHILD_PID.store(0, Ordering::Relaxed);
        if let Some(code) = ended(&status) {
            return Ok(code);
        }
        if STOPPING.load(Ordering::Relaxed) > 0 {
            return Ok(status.code().unwrap_or(130));
        }
        if started.elapsed() >= HEALTHY {
            (pause, restarts) = (BACKOFF.0, 0);
        }
        // A kill from outside says nothing about the next incarnation; an error of its own does.
        let own_fault = status.code().is_some();
        restarts += own_fault as u32;
        again = true;
        if restarts > RESTARTS_MAX {
            eprintln!("error: the engine died {restarts} times in a row; giving up. The last reason stands above");
            return Ok(engine::fatal::EXIT_RESTART);
        }
        eprintln!("millstream: the engine ended ({status}); it restarts from the log in {} ms", pause.as_millis());
        std::thread::sleep(pause);
        if own_fault {
            pause = (pause * 2).min(BACKOFF.1);
        }
    }
}

/// Exit code that is final; `None` if the engine should be started again.
fn ended(status: &ExitStatus) -> Option<i32> {
    status.code().filter(|c| *c != engine::fatal::EXIT_RESTART && *c != 101)
}

fn start(again: bool) -> Result<Child> {
    use std::os::unix::process::CommandExt;
    let mut c = Command::new(std::env::current_exe().context("find this program")?);
    c.args(std::env::args_os().skip(1)).env(CHILD, "1");
    if again {
        // A crash point is for one incarnation: the next one must be able to live.
        c.env_remove("MILLSTREAM_CRASH").env(RESTARTED, "1");
    }
    // SAFETY: prctl is async-signal-safe; the engine must not outlive its supervisor.
    unsafe {
        c.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    c.spawn().context("start the engine")
}
