//! F18: a pipeline of rules that share the key-value store is killed, and goes on with another number of workers. Its alerts
//! must be those of a plain model.
use super::super::ctx::{Ctx, RowReport, Scale};
use crate::correlation::{run_killed, timed};
use crate::kills::Random;
use crate::store::{expected, found, pipeline};
use anyhow::{Result, ensure};

/// Kills of one run.
const EACH: u64 = 5;

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let events = if ctx.scale == Scale::Slice { 6_000 } else { 40_000 };
    let (mut report, seed) = (RowReport::default(), ctx.below(u64::MAX));
    let want = expected(events, seed);
    let whole = pipeline(events, seed)?;
    let time = timed(&whole, 1)?;
    ensure!(found(&whole) == want, "without a fault: other alerts");
    let mut random = Random(ctx.below(u64::MAX));
    while report.faults < count {
        let p = pipeline(events, seed)?;
        let hit = run_killed(&p, EACH.min(count - report.faults), time, &mut random)?;
        let got = found(&p);
        ensure!(got == want, "after {hit} kills: other alerts, {} and not {}", got.len(), want.len());
        ensure!(p.millstream(&["audit"])?.status.success(), "the audit finds something");
        (report.faults, report.jobs, report.events) = (report.faults + hit, report.jobs + 1, report.events + events);
        ctx.note(&format!("{hit} kills, as many changes of size, {} alerts", got.len()));
        ensure!(report.jobs < 50 + count, "kills do not land");
    }
    Ok(report)
}
