//! Starts processes that die with this process.
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

type Order = (Command, Sender<std::io::Result<Child>>);

/// Start a process that is killed when this one ends, however it ends.
///
/// The system sends that signal when the *thread* ends that started the child, so one thread that lives as long as the
/// process starts them all: a test's own thread ends with the test, but a shared broker must not.
pub fn spawn(mut command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, todo) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in todo {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let program = command.get_program().to_string_lossy().into_owned();
    // SAFETY: prctl is async-signal-safe and touches the child alone.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let (reply, answer) = channel();
    spawner.lock().unwrap_or_else(|e| e.into_inner()).send((command, reply)).context("the spawner thread is gone")?;
    answer.recv().context("the spawner thread is gone")?.with_context(|| format!("start {program}"))
}
