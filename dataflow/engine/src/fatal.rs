//! How an incarnation ends when the world breaks: at once, with a named error and exit code 70.
//!
//! timely hangs when a worker thread panics, so nothing may try to carry on or to unwind into the dataflow. The
//! supervisor starts the next incarnation from the log.
use std::fmt::Display;
use std::sync::OnceLock;

/// Exit code of an incarnation that must be restarted (sysexits `EX_SOFTWARE`).
pub const EXIT_RESTART: i32 = 70;

/// End the process: `node` is what failed.
pub fn fatal(node: &str, error: impl Display) -> ! {
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
