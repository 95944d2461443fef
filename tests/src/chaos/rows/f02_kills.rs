//! F2: SIGKILL of one process, or of all of them (one time in four), every few seconds.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::kafka::Broker;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;
/// A job is judged after so many kills, so that a failure has a short history.
const KILLS_A_JOB: u64 = 16;
/// Jobs beside each other.
const TOGETHER: usize = 3;
/// What resuming may take: half of the times, and at most.
const RESUME: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(15));

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let broker = broker()?;
    let (report, _) = ctx.jobs(TOGETHER, count, KILLS_A_JOB, |ctx, _, kills| Ok((one(ctx, broker, kills)?, ())))?;
    let (p50, max) = (report.resumed(0.5), report.resumed(1.0));
    ensure!(p50 <= RESUME.0 && max <= RESUME.1, "resumed too late: p50 {p50:?}, max {max:?}");
    Ok(report)
}

/// A job and its kills.
fn one(ctx: &Ctx, broker: &Broker, kills: u64) -> Result<RowReport> {
    let mut report = RowReport::default();
    // More input than the kills take, so that each hits a job that works.
    let job = Job::start(ctx, broker, lasting(ctx, kills as f64 * 6.5 + 3.0, RATE), Options::default())?;
    job.works()?;
    let mut landed = 0;
    while landed < kills && !job.done() {
        std::thread::sleep(ctx.scaled(2_000, 6_000));
        let pids = job.up()?;
        let both = ctx.below(4) == 0;
        let hit = if both { pids.clone() } else { vec![pids[ctx.below(pids.len() as u64) as usize]] };
        if job.done() {
            break;
        }
        let at = Instant::now();
        landed += job.kill(&hit) as u64;
        if let Some(t) = job.resumed(&pids, at)? {
            report.resume.push(t);
            ctx.note(&format!("kill -9 {hit:?}: output again after {:.2} s", t.as_secs_f64()));
        }
    }
    ensure!(landed > 0, "no kill hit the job while it worked");
    job.finish(landed, &mut report)?;
    Ok(report)
}
