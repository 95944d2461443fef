//! What may go wrong in a seed: drawn anew for each, some kinds switched off altogether.
use crate::rng::Rng;

/// Probabilities (per mille at each occasion) and shapes of one seed.
#[derive(Clone, Debug, Default)]
pub struct Mix {
    /// Faults in all.
    pub budget: u64,
    /// Kill at a scheduler's step.
    pub crash: u64,
    /// Kill at a crash point.
    pub crash_point: u64,
    /// A crash is a power cut: what was not synced may be lost.
    pub power: u64,
    /// Start the next incarnation while the last one goes on.
    pub zombie: u64,
    /// A request to the brokers is lost.
    pub lost: u64,
    /// A request is done, its answer is lost.
    pub unanswered: u64,
    /// A request arrives later; its sender does not know.
    pub late: u64,
    /// A request is done and answered, and a copy of it arrives later.
    pub copied: u64,
    /// The brokers end an open transaction and fence its writer.
    pub expired: u64,
    /// A write to the disk fails.
    pub disk_error: u64,
    /// A snapshot object is damaged while nobody runs.
    pub corrupt: u64,
    /// Ask for a reload (seal, next session).
    pub seal: u64,
    /// Ask for a command.
    pub command: u64,
    /// Epoch log and some sinks on a local disk, instead of all in Kafka.
    pub local: bool,
}

impl Mix {
    /// Draw one.
    pub fn draw(rng: &mut Rng) -> Mix {
        let mut on = |per: u64, most: u64| if rng.permille(per) { rng.range(1, most) } else { 0 };
        let mut m = Mix {
            budget: 0,
            crash: on(600, 40),
            crash_point: on(600, 60),
            power: on(700, 1000),
            zombie: on(500, 600),
            lost: on(400, 60),
            unanswered: on(500, 60),
            late: on(500, 80),
            copied: on(400, 40),
            expired: on(200, 20),
            disk_error: on(200, 10),
            corrupt: on(80, 300),
            seal: on(400, 30),
            command: on(500, 60),
            local: false,
        };
        m.local = rng.permille(400);
        m.budget = if rng.permille(60) { 0 } else { rng.range(1, 14) };
        if m.local {
            m.zombie = 0;
        }
        m
    }
}
