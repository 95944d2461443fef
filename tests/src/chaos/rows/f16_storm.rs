//! F16: one detection matches everything. Exactly a thousand alerts an hour go out; every event is stored all the same.
//! A kill in the middle shows that the limiter's count survives it.
use super::super::ctx::{Ctx, RowReport, Scale};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::checker::seen::Output;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// Alerts of a rule in an hour: the topology's.
const LIMIT: u64 = 1_000;

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let (broker, mut report) = (broker()?, RowReport::default());
    while report.faults < count {
        // Half of the matches fall into an hour of event time, twice the limit at least.
        let (storm, rate) = if ctx.scale == Scale::Slice { (20_000, 5_000) } else { (1_000_000, 50_000) };
        let mut plan = lasting(ctx, storm as f64 / rate as f64 * 1.1, rate);
        plan.storm = storm;
        plan.bad = 0;
        plan.step_ms = (2 * 3_600_000 / plan.events).max(1);
        let job = Job::start(ctx, broker, plan, Options { rate, ..Options::default() })?;
        job.live.progress(2 * LIMIT, Duration::from_secs(60))?;
        let (pids, at) = (job.up()?, Instant::now());
        ensure!(job.kill(&pids), "the job was through before it could be killed");
        report.resume.extend(job.resumed(&pids, at)?);
        let dir = job.dir.clone();
        let alerts = job.alerts_wanted();
        ensure!(alerts >= LIMIT && alerts % LIMIT == 0, "{alerts} alerts wanted: the storm is too small");
        job.finish(1, &mut report)?;
        ctx.note(&format!("{storm} matches of one rule, {alerts} alerts ({})", dir.display()));
    }
    report.notes.push(format!("{:?}: {LIMIT} an hour", Output::Alerts));
    Ok(report)
}
