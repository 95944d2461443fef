//! How an incarnation ends when the world breaks: at once, with a named error and exit code 70.
//!
//! timely hangs when a worker thread panics, so nothing may try to carry on or to unwind into the dataflow. The
//! supervisor starts the next incarnation from the log.
use crate::world;
use std::fmt::Display;
use std::sync::OnceLock;

/// Exit code of an incarnation that must be restarted (sysexits `EX_SOFTWARE`).
pub const EXIT_RESTART: i32 = 70;

/// Exit code when starting again cannot help: what is replayed is not what was committed (sysexits `EX_DATAERR`).
pub const EXIT_DIVERGED: i32 = 65;

/// A replay that does not reproduce what was committed.
#[derive(Debug)]
pub struct Diverged(pub String);

impl std::fmt::Display for Diverged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Diverged {}

/// End the process for a failed commit of `epoch`; a [`Diverged`] one is not started again.
pub fn commit_failed(node: &str, epoch: u64, error: model::Error) -> ! {
    world::fatal(node, &format!("commit epoch {epoch}: {error}"), error.is::<Diverged>());
    eprintln!("error: {node}: commit epoch {epoch}: {error}");
    std::process::exit(if error.is::<Diverged>() { EXIT_DIVERGED } else { EXIT_RESTART })
}

/// End the process: `node` is what failed.
pub fn fatal(node: &str, error: impl Display) -> ! {
    world::fatal(node, &error, false);
    eprintln!("error: {node}: {error}");
    std::process::exit(EXIT_RESTART)
}

/// Make every panic in any thread end the process with the panic's place and text. Idempotent.
pub fn exit_on_panic() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            default(info);
            let thread = std::thread::current();
            eprintln!("error: engine thread {} panicked; this incarnation ends", thread.name().unwrap_or("?"));
            std::process::exit(EXIT_RESTART)
        }));
    });
}
