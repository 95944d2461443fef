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
    /// A point at which this seed dies often.
    pub favourite: &'static str,
    /// A thread goes on without asking whose turn it is, per mille.
    pub sticky: u64,
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
    /// The brokers compact.
    pub compact: u64,
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
    /// Workers read each other's splits.
    pub anywhere: bool,
}

/// Points at which an incarnation may die.
pub const POINTS: &[&str] = &[
    "commit.torn_append",
    "epoch.after_append",
    "epoch.before_append",
    "epoch.torn_append",
    "kafka.after_begin",
    "kafka.after_commit",
    "kafka.before_commit",
    "kafka.init",
    "kafka.mid_produce",
    "manifest.after_publish",
    "manifest.before_publish",
    "object.before_rename",
    "read.mid_split",
    "recover.after_begin",
    "recover.mid_replay",
    "reload.after_build",
    "reload.after_seal",
    "sink.after_commit",
    "sink.after_write",
    "sink.before_commit",
    "sink.before_write",
    "sink.mid_write",
    "snapshot.mid_objects",
    "state.after_apply",
    "trim.mid",
];

impl Mix {
    /// Draw one.
    pub fn draw(rng: &mut Rng) -> Mix {
        // Off, or anywhere between one and the most, small numbers as often as large ones.
        let mut on = |per: u64, most: u64| match rng.permille(per) {
            true => (most >> rng.below(6)).max(1),
            false => 0,
        };
        let mut m = Mix {
            budget: 0,
            crash: on(600, 40),
            crash_point: on(600, 40),
            favourite: "",
            sticky: 0,
            power: on(700, 1000),
            zombie: on(500, 600),
            lost: on(400, 60),
            unanswered: on(500, 60),
            late: on(500, 80),
            copied: on(400, 40),
            expired: on(200, 20),
            compact: on(300, 100),
            disk_error: on(200, 10),
            corrupt: on(950, 1000),
            seal: on(400, 30),
            command: on(500, 60),
            local: false,
            anywhere: false,
        };
        m.local = rng.permille(450);
        m.anywhere = rng.permille(500);
        m.sticky = [0, 300, 500, 600, 700, 800, 850, 900, 950][rng.below(9) as usize];
        m.budget = if rng.permille(60) { 0 } else { rng.range(1, 16) };
        if rng.permille(600) {
            m.favourite = match rng.below(10) {
                0 => "reload.after_seal",
                1 => "reload.after_build",
                _ => POINTS[rng.below(POINTS.len() as u64) as usize],
            };
            m.budget = m.budget.max(4);
        }
        if m.favourite.starts_with("reload") {
            m.seal = 100;
            m.budget = m.budget.max(10);
        }
        if m.local {
            m.zombie = 0;
        }
        m
    }
}
