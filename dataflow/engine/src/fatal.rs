//! How an incarnation ends when the world breaks: at once, with a named error and exit code 70.
//!
//! timely hangs when a worker thread panics, so nothing may try to carry on or to unwind into the dataflow. The
//! supervisor starts the next incarnation from the log.
use crate::world;
use std::fmt::Display;
use std::sync::OnceLock;

/// Exit code of an incarnation that must be restarted (sysexits `EX_SOFTWARE`).
pub const EXIT_RESTART: i32 = 70;

/// Exit code when a disk has no room (sysexits `EX_TEMPFAIL`): the incarnation is started again when there may be some.
pub const EXIT_FULL: i32 = 75;

/// Exit code when another process of the cluster was lost (sysexits `EX_PROTOCOL`): says nothing about this one.
pub const EXIT_LOST: i32 = 76;

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

/// True if an error says that a disk, or a quota of it, is full. It comes from anywhere, as text.
pub fn is_full(error: &str) -> bool {
    [libc::ENOSPC, libc::EDQUOT].iter().any(|code| error.contains(&format!("(os error {code})")))
}

fn exit(error: &str) -> ! {
    std::process::exit(if is_full(error) { EXIT_FULL } else { EXIT_RESTART })
}

/// End the process for a failed commit of `epoch`; a [`Diverged`] one is not started again.
pub fn commit_failed(node: &str, epoch: u64, error: model::Error) -> ! {
    let text = format!("commit epoch {epoch}: {error}");
    world::fatal(node, &text, error.is::<Diverged>());
    eprintln!("error: {node}: {text}");
    if error.is::<Diverged>() {
        std::process::exit(EXIT_DIVERGED)
    }
    exit(&text)
}

/// End the process: `node` is what failed.
pub fn fatal(node: &str, error: impl Display) -> ! {
    world::fatal(node, &error, false);
    let text = error.to_string();
    eprintln!("error: {node}: {text}");
    exit(&text)
}

/// End the process because another one of its cluster is gone, or did not come.
pub fn lost(error: impl Display) -> ! {
    world::fatal("cluster", &error, false);
    eprintln!("error: cluster: {error}");
    std::process::exit(EXIT_LOST)
}

/// Make every panic in any thread end the process with the panic's place and text. Idempotent.
pub fn exit_on_panic() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            default(info);
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("?");
            eprintln!("error: engine thread {name} panicked; this incarnation ends");
            // timely's threads that carry data between processes panic when the other end is gone.
            std::process::exit(if name.starts_with("timely:") { EXIT_LOST } else { EXIT_RESTART })
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_known_by_its_text() {
        let full = std::io::Error::from_raw_os_error(libc::ENOSPC);
        assert!(is_full(&format!("store: write epochs.log: {full}")));
        assert!(!is_full(&std::io::Error::from_raw_os_error(libc::EIO).to_string()));
    }
}
