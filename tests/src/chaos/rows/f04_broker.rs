//! F4: the broker is restarted in good order, killed, or paused. The job waits, and none of its processes dies for it.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{lasting, setup};
use crate::kafka::Broker;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let (broker, mut report) = (Broker::start_with(setup())?, RowReport::default());
    for n in 0..count {
        let pause = ctx.scaled(25_000, 30_000);
        // A transaction that the pause outlives is aborted by the broker; some of the pauses are longer than that.
        let job = Job::start(ctx, &broker, lasting(ctx, 8.0, RATE), Options::default())?;
        job.live.progress(0, Duration::from_secs(30))?;
        std::thread::sleep(ctx.between(500, 2_000));
        let pids = job.up()?;
        let what = match n % 3 {
            0 => {
                broker.restart(0)?;
                "restarted"
            }
            1 => {
                broker.kill(0)?;
                std::thread::sleep(ctx.between(0, 3_000));
                broker.restart(0)?;
                "killed"
            }
            _ => {
                broker.stop_signal(0)?;
                std::thread::sleep(pause);
                broker.cont(0)?;
                "paused"
            }
        };
        let at = Instant::now();
        if let Some(t) = job.output_since(at, at)? {
            report.resume.push(t);
            ctx.note(&format!("broker {what}: output again {:.2} s after it was back", t.as_secs_f64()));
        }
        ensure!(job.engines() == pids, "the broker was {what}, and a process of the job died\n{}", job.log());
        job.finish(1, &mut report)?;
    }
    report.took = ctx.began.elapsed();
    Ok(report)
}
