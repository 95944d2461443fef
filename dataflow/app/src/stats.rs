//! The figures of this process as others see them: the engine's, the ledger line, and what the system says of us.
use crate::{child, progress};
use engine::{Figures, Status};
use serde::{Deserialize, Serialize};

/// Answer of the control socket to `stats` and of HTTP to `/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The engine's.
    #[serde(flatten)]
    pub figures: Figures,
    /// The ledger line.
    pub ledger: String,
    /// What the system says of this process.
    pub process: Process,
}

/// What the system says of this process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Version of the program.
    pub version: String,
    /// Memory in use, bytes.
    pub resident_bytes: u64,
    /// CPU time used, seconds.
    pub cpu_seconds: f64,
    /// Incarnations that its supervisor started before it.
    pub restarts: u64,
}

impl Stats {
    /// As of now.
    pub fn of(status: &Status) -> Stats {
        Stats { figures: status.figures(), ledger: progress::line(status), process: Process::of_this() }
    }
}

impl Process {
    fn of_this() -> Process {
        Process {
            version: env!("CARGO_PKG_VERSION").into(),
            resident_bytes: resident_bytes().unwrap_or(0),
            cpu_seconds: progress::usage().0,
            restarts: std::env::var(child::RESTARTED).ok().and_then(|n| n.parse().ok()).unwrap_or(0),
        }
    }
}

/// Second number of `/proc/self/statm`, in pages.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: sysconf only reads.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * page.max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_over_the_socket() {
        let stats = Stats::of(&Status::default());
        assert!(stats.process.resident_bytes > 1 << 20 && stats.process.cpu_seconds > 0.0, "{:?}", stats.process);
        let text = serde_json::to_string(&stats).unwrap();
        assert_eq!(serde_json::from_str::<Stats>(&text).unwrap(), stats);
    }
}
