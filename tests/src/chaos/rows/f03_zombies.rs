//! F3: SIGSTOP. Every second time of one process, which goes on as if nothing had happened; otherwise of the whole job,
//! while another one takes over on another "machine" (the log is in Kafka), and then the sleeper wakes up: it must be
//! fenced, and nothing that it still writes may count. Some of the stops are longer than a process may be silent and a
//! transaction may be open.
use super::super::ctx::{Ctx, RowReport, Scale};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::kafka::{Broker, free_port, unique};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;
/// Seconds of silence after which a process is lost, and age at which a transaction is ended: in a slice, and else.
const LIMITS: [(u64, u64); 2] = [(3, 3), (6, 10)];
/// Jobs beside each other.
const TOGETHER: usize = 3;
/// A woken writer notices that it is fenced within this time.
const FENCED_MAX: Duration = Duration::from_secs(30);

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let broker = broker()?;
    let (mut report, long) = ctx.jobs(TOGETHER, count, 1, |ctx, n, _| one(ctx, broker, n))?;
    let longer = long.into_iter().filter(|l| *l).count();
    report.notes.push(format!("{} zombies fenced, {longer} stops longer than every time-out", count / 2));
    Ok(report)
}

/// The n-th stop; true if it was longer than every time-out.
fn one(ctx: &Ctx, broker: &Broker, n: u64) -> Result<(RowReport, bool)> {
    let slice = ctx.scale == Scale::Slice;
    let (silence, transaction) = LIMITS[!slice as usize];
    let stop = match (slice, n % 4) {
        (true, 0 | 1) => ctx.between(4_000, 6_000),
        (true, _) => ctx.between(500, 2_500),
        // Both kinds of stop get one in two that is longer than everything.
        (false, 0 | 1) => ctx.between(11_000, 20_000),
        (false, _) => ctx.between(1_000, 20_000),
    };
    let transaction_timeout = format!("{transaction}s");
    let report = match n % 2 {
        0 => one_process(ctx, broker, stop, silence, transaction_timeout)?,
        _ => whole_job(ctx, broker, stop, transaction_timeout)?,
    };
    Ok((report, stop > Duration::from_secs(silence.max(transaction))))
}

/// One of two processes stops, and goes on as if nothing had happened.
fn one_process(ctx: &Ctx, broker: &Broker, stop: Duration, silence: u64, transaction: String) -> Result<RowReport> {
    let mut report = RowReport::default();
    let (a, b) = (free_port("127.0.0.1")?, free_port("127.0.0.1")?);
    let options = Options {
        sections: format!(
            "[cluster]\nhosts = [\"127.0.0.1:{a}\", \"127.0.0.1:{b}\"]\nsecret = \"{}\"\ntimeout = \"{silence}s\"\n",
            "a secret of the fault tests",
        ),
        transaction,
        ..Options::default()
    };
    let job = Job::start(ctx, broker, lasting(ctx, stop.as_secs_f64() + 4.0, RATE), options)?;
    job.works()?;
    let pids = job.up()?;
    let pid = pids[ctx.below(pids.len() as u64) as usize];
    job.signal(pid, libc::SIGSTOP);
    std::thread::sleep(stop);
    job.signal(pid, libc::SIGCONT);
    let at = Instant::now();
    report.resume.extend(job.output_since(at, at)?);
    ctx.note(&format!("SIGSTOP {pid} for {:.1} s", stop.as_secs_f64()));
    job.finish(1, &mut report)?;
    Ok(report)
}

/// The whole job stops, and another "machine" takes over: process 0 of 1, in a folder of its own. Then the sleeper wakes.
fn whole_job(ctx: &Ctx, broker: &Broker, stop: Duration, transaction: String) -> Result<RowReport> {
    let mut report = RowReport::default();
    let snapshots = ctx.dir().join(unique("snapshots"));
    std::fs::create_dir_all(&snapshots)?;
    let options = Options { processes: 1, transaction, ..Options::default() }.log_in_kafka(broker, snapshots.display());
    let mut job = Job::start(ctx, broker, lasting(ctx, stop.as_secs_f64() + 8.0, RATE), options)?;
    job.works()?;
    std::thread::sleep(ctx.between(300, 1_500));
    let (engines, supervisors) = (job.engines(), job.supervisors());
    for pid in supervisors.iter().chain(&engines) {
        job.signal(*pid, libc::SIGSTOP);
    }
    let sleeper = job.hand_over()?;
    let at = Instant::now();
    report.resume.extend(job.output_since(at, at)?);
    std::thread::sleep(stop);
    // The engine wakes, its supervisor does not: nobody starts it again.
    for pid in &engines {
        job.signal(*pid, libc::SIGCONT);
    }
    let end = Instant::now() + FENCED_MAX;
    while sleeper.alive(&engines) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(!sleeper.alive(&engines), "a fenced engine goes on after {FENCED_MAX:?}\n{}", job.log());
    ctx.note(&format!("zombie {engines:?} woke after {:.1} s and ended", stop.as_secs_f64()));
    drop(sleeper);
    job.finish(1, &mut report)?;
    Ok(report)
}
