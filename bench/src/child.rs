//! One child process, measured from outside: wall time, CPU time of its whole tree, peak memory.
//!
//! The kernel adds up a process and the children it waited for, and hands the sum over when the process is reaped
//! (`wait4`). The child gets a process group of its own, so that a run that takes too long ends with all it started.
//! The kernel counts the peak from the fork on: it never reads below this program's own few MiB.
use anyhow::{Context, Result, bail};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Bytes of one unit of `ru_maxrss`.
const RSS_UNIT: f64 = if cfg!(target_os = "macos") { 1.0 } else { 1024.0 };

/// Process group that runs now, for the interrupt handler; 0: none.
static GROUP: AtomicI32 = AtomicI32::new(0);

/// What a child used.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// From start to end, seconds.
    pub wall_s: f64,
    /// User and system time of the child and its children, seconds.
    pub cpu_s: f64,
    /// Largest resident memory of the child or one of its children, MiB.
    pub rss_mib: f64,
}

extern "C" fn interrupted(_: libc::c_int) {
    let group = GROUP.load(Ordering::Relaxed);
    // SAFETY: kill and _exit are async-signal-safe; the group is that of our own child.
    unsafe {
        if group > 0 {
            libc::kill(-group, libc::SIGKILL);
        }
        libc::_exit(130);
    }
}

/// End the running child too when this program is interrupted: a group of its own does not see the terminal's signal.
pub fn end_with_us() {
    // SAFETY: the handler touches an atomic and calls async-signal-safe functions only.
    unsafe {
        libc::signal(libc::SIGINT, interrupted as *const () as libc::sighandler_t);
        libc::signal(libc::SIGTERM, interrupted as *const () as libc::sighandler_t);
    }
}

/// Run `command` to its end, at most for `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<(ExitStatus, Used)> {
    let started = Instant::now();
    let child = command.stdin(Stdio::null()).process_group(0).spawn();
    let pid = child.with_context(|| format!("start {}", command.get_program().to_string_lossy()))?.id() as i32;
    GROUP.store(pid, Ordering::Relaxed);
    let in_time = wait(pid, limit);
    let wall_s = started.elapsed().as_secs_f64();
    // The leader is not reaped yet, so the group's number cannot belong to another.
    kill(pid);
    let reaped = reap(pid);
    GROUP.store(0, Ordering::Relaxed);
    let (status, cpu_s, rss_mib) = reaped?;
    if !in_time {
        bail!("it did not end within {} s and was killed (--timeout)", limit.as_secs());
    }
    Ok((status, Used { wall_s, cpu_s, rss_mib }))
}

/// Wait until the child ends, but leave it to be reaped; false if its time was over and it had to be killed.
fn wait(pid: i32, limit: Duration) -> bool {
    let (ended, clock) = channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = clock.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if late {
            kill(pid);
        }
        !late
    });
    // SAFETY: waitid fills the struct it is given; WNOWAIT leaves the child, and so its number, in place.
    while unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, libc::WEXITED | libc::WNOWAIT)
    } != 0
        && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
    {}
    drop(ended);
    watch.join().unwrap_or(false)
}

fn kill(group: i32) {
    // SAFETY: signals the group of our own child, which is not reaped yet.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}

/// Status, CPU seconds and peak MiB of an ended child.
fn reap(pid: i32) -> Result<(ExitStatus, f64, f64)> {
    // SAFETY: wait4 fills the two it is given.
    let (got, status, r) = unsafe {
        let (mut status, mut r): (libc::c_int, libc::rusage) = (0, std::mem::zeroed());
        (libc::wait4(pid, &mut status, 0, &mut r), status, r)
    };
    if got != pid {
        return Err(std::io::Error::last_os_error()).context("wait for the process");
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    let rss = r.ru_maxrss as f64 * RSS_UNIT / 1024.0 / 1024.0;
    Ok((ExitStatus::from_raw(status), seconds(r.ru_utime) + seconds(r.ru_stime), rss))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<(ExitStatus, Used)> {
        run(Command::new("sh").args(["-c", script]), limit)
    }

    #[test]
    fn the_exit_code_and_the_tree_are_seen() {
        let (status, _) = sh("exit 3", Duration::from_secs(20)).unwrap();
        assert_eq!(status.code(), Some(3));
        let idle = sh("sleep 0.2", Duration::from_secs(20)).unwrap().1;
        assert!(idle.wall_s >= 0.2, "{idle:?}");
        // The loop runs in a grandchild; the `true` after it keeps the shell from replacing itself.
        let (_, used) =
            sh("sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; true", Duration::from_secs(60)).unwrap();
        assert!(used.cpu_s > idle.cpu_s + 0.02 && used.rss_mib > 0.1, "{used:?}");
    }

    #[test]
    fn a_run_over_its_time_ends_with_its_children() {
        let started = Instant::now();
        let e = sh("sleep 60; true", Duration::from_millis(100)).unwrap_err().to_string();
        assert!(e.contains("did not end within") && started.elapsed() < Duration::from_secs(30), "{e}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let e = run(&mut Command::new("/no/such/program"), Duration::from_secs(1)).unwrap_err();
        assert!(format!("{e:#}").contains("/no/such/program"));
    }
}
