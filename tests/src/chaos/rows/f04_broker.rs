//! F4: a broker is restarted in good order, killed, or paused for longer than a transaction lives. The job waits, and none
//! of its processes dies for it.
//!
//! One of three brokers is hurt; the other two go on. A broker that stands alone is only paused: while a partition has no
//! leader at all, Apache Kafka 4.1 to 4.4 forgets to end transactions in it (KAFKA-20734), and then a transaction is half
//! committed whoever writes it.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{lasting, setup, setup_of};
use crate::kafka::Broker;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;
/// The pauses are longer than transactions may be open.
const TRANSACTION: (&str, Duration) = ("5s", Duration::from_secs(5));
/// A cluster has all replicas again within this time.
const IN_SYNC_MAX: Duration = Duration::from_secs(60);

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let three = Broker::start_with(setup_of(3))?;
    // It must not be taken for dead by itself when it wakes up.
    let alone = Broker::start_with(setup().property("broker.session.timeout.ms", "120000"))?;
    let mut report = RowReport::default();
    // The two clusters beside each other, each hurt once at a time.
    let parts: [(&Broker, Vec<u64>); 2] =
        [(&three, (0..count).filter(|n| n % 4 != 3).collect()), (&alone, (0..count).filter(|n| n % 4 == 3).collect())];
    let reports = ctx.together(2, parts, |ctx, (broker, turns)| {
        let mut report = RowReport::default();
        for n in turns {
            one(ctx, broker, n, &mut report)?;
        }
        Ok(report)
    })?;
    for r in reports {
        report.add(r);
    }
    Ok(report)
}

fn one(ctx: &Ctx, broker: &Broker, n: u64, report: &mut RowReport) -> Result<()> {
    let pause = ctx.scaled(25_000, 30_000).max(TRANSACTION.1 + Duration::from_millis(500));
    let who = ctx.below(broker.nodes().len() as u64) as usize;
    let options = Options { transaction: TRANSACTION.0.into(), ..Options::default() };
    // Input flows for longer than a restart takes.
    let job = Job::start(ctx, broker, lasting(ctx, 14.0, RATE), options)?;
    job.works()?;
    std::thread::sleep(ctx.between(500, 2_000));
    let pids = job.up()?;
    let what = match n % 4 {
        0 => {
            broker.restart(who)?;
            "one of three restarted"
        }
        1 => {
            broker.kill(who)?;
            std::thread::sleep(ctx.between(0, 3_000));
            broker.restart(who)?;
            "one of three killed"
        }
        turn => {
            broker.stop_signal(who)?;
            std::thread::sleep(pause);
            broker.cont(who)?;
            if turn == 2 { "one of three paused" } else { "the only one paused" }
        }
    };
    let at = Instant::now();
    if let Some(t) = job.output_since(at, at)? {
        report.resume.push(t);
        ctx.note(&format!("{what}: output again {:.2} s after it was back", t.as_secs_f64()));
    } else {
        ctx.note(&format!("{what}: all output came meanwhile"));
    }
    ensure!(job.engines() == pids, "{what}, and a process of the job died\n{}", job.log());
    job.finish(1, report)?;
    broker.in_sync(IN_SYNC_MAX)
}
