//! The rows of the fault table.
use super::ctx::{Ctx, RowReport};
use crate::checker::input::Plan;
use crate::kafka::{Broker, Setup};
use anyhow::Result;
use std::sync::Mutex;

mod f01_crash_points;
mod f02_kills;
mod f03_zombies;
mod f04_broker;
mod f05_network;
mod f06_delays;
mod f07_disk;
mod f08_checkpoints;
mod f10_partitions;
mod f11_rescale;
mod f12_edits;
mod f14_away;
mod f15_s3;
mod f16_storm;
mod f17_correlation;
mod f18_store;

/// A row.
pub struct Row {
    /// Name in the table.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// Faults in a slice, in CI's column and in the long column.
    pub slice: u64,
    /// See `slice`.
    pub full: u64,
    /// See `slice`.
    pub long: u64,
    /// It measures times, so it runs before the others, and alone.
    pub first: bool,
    /// Do it.
    pub run: fn(&Ctx, u64) -> Result<RowReport>,
}

const fn row(name: &'static str, what: &'static str, counts: [u64; 3], run: fn(&Ctx, u64) -> Result<RowReport>) -> Row {
    let [slice, full, long] = counts;
    Row { name, what, slice, full, long, first: false, run }
}

impl Row {
    const fn first(mut self) -> Row {
        self.first = true;
        self
    }
}

/// All rows.
pub const ROWS: &[Row] = &[
    row("F1", "death at named crash points", [4, 72, 720], f01_crash_points::run),
    row("F2", "SIGKILL of one process or all", [6, 128, 1280], f02_kills::run).first(),
    row("F3", "SIGSTOP, and zombies that wake up", [4, 20, 200], f03_zombies::run),
    row("F4", "a broker is restarted, killed, paused", [4, 12, 100], f04_broker::run),
    row("F5", "network cut, lossy, slow", [3, 24, 240], f05_network::run),
    row("F6", "requests delayed into a later transaction", [12, 200, 2000], f06_delays::run),
    row("F7", "disk full, disk that cannot sync", [4, 40, 400], f07_disk::run),
    row("F8", "snapshots damaged", [20, 1050, 20_000], f08_checkpoints::run),
    row("F10", "more partitions, members that come and go in the group", [3, 10, 100], f10_partitions::run),
    row("F11", "other numbers of workers and processes", [3, 12, 100], f11_rescale::run),
    row("F12", "edits of the topology under load", [4, 30, 300], f12_edits::run).first(),
    row("F14", "the sinks' broker is away, and memory stays bounded", [1, 1, 1], f14_away::run),
    row("F15", "faults of object storage", [20, 500, 10_000], f15_s3::run),
    row("F16", "alert storm", [1, 1, 10], f16_storm::run),
    row("F17", "SIGKILL and other sizes under correlation rules", [5, 40, 400], f17_correlation::run),
    row("F18", "SIGKILL and other sizes under rules with the key-value store", [5, 40, 400], f18_store::run),
];

/// Settings of a broker of the row's own, which may be hurt. It does not compact within the hour: the checker adds up the
/// rows of all progress records, also of those that newer ones replace.
fn setup() -> Setup {
    setup_of(1)
}

/// The same for a cluster of 1 or 3.
fn setup_of(brokers: usize) -> Setup {
    Setup::new(brokers).property("log.cleaner.backoff.ms", "3600000")
}

/// The broker of all rows that do not hurt it.
fn broker() -> Result<&'static Broker> {
    static SHARED: Mutex<Option<&'static Broker>> = Mutex::new(None);
    let mut shared = SHARED.lock().expect("no holder panics");
    match *shared {
        Some(b) => Ok(b),
        None => Ok(shared.insert(Box::leak(Box::new(Broker::start_with(Setup { lives_long: true, ..setup() })?)))),
    }
}

/// A plan that lasts for so many seconds at a rate.
fn lasting(ctx: &Ctx, seconds: f64, rate: u64) -> Plan {
    Plan::new("", ((seconds * rate as f64) as u64).max(2_000), 4, ctx.below(u64::MAX))
}
