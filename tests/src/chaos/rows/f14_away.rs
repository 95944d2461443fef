//! F14: the cluster of the sinks is away for long (ten minutes in the long column) while input goes on in another cluster.
//! The engine holds no more than its settings allow: the open epochs and the source's budget.
use super::super::ctx::{Ctx, RowReport, Scale};
use super::super::job::{Job, Options};
use super::{broker, lasting, setup};
use crate::kafka::Broker;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;
/// What may wait in memory: `memory` of the source (64 MiB), and `in_flight` epochs (4) of `epoch_bytes` (32 MiB).
const LIMIT_MIB: u64 = 64 + 4 * 32;
/// Time in which the engine reaches the size it has while it works.
const WARM: Duration = Duration::from_secs(5);
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(200);

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let (input, mut report) = (broker()?, RowReport::default());
    // It must not be taken for dead by itself when it wakes up.
    let output = Broker::start_with(setup().property("broker.session.timeout.ms", "1200000"))?;
    let away = match ctx.scale {
        Scale::Slice => Duration::from_secs(8),
        Scale::Full => Duration::from_secs(60),
        Scale::Long => Duration::from_secs(600),
    };
    while report.faults < count {
        let options = Options { processes: 1, input: Some(input.bootstrap()), ..Options::default() };
        let job = Job::start(ctx, &output, lasting(ctx, (WARM + away).as_secs_f64() + 5.0, RATE), options)?;
        job.works()?;
        std::thread::sleep(WARM);
        let pids = job.up()?;
        let (before, mut peak) = (resident_mib(pids[0])?, 0);
        output.stop_signal(0)?;
        let end = Instant::now() + away;
        while Instant::now() < end {
            std::thread::sleep(LOOK);
            peak = peak.max(resident_mib(pids[0])?);
        }
        output.cont(0)?;
        let at = Instant::now();
        report.resume.extend(job.output_since(at, at)?);
        ensure!(job.engines() == pids, "the process died\n{}", job.log());
        let allowed = (before + LIMIT_MIB) * 11 / 10;
        ensure!(peak <= allowed, "{peak} MiB resident while the sinks wait, {before} before; {allowed} are allowed");
        let line = format!("away for {} s: {before} MiB before, at most {peak} MiB meanwhile", away.as_secs());
        ctx.note(&line);
        report.notes.push(line);
        job.finish(1, &mut report)?;
    }
    Ok(report)
}

/// Resident memory of a process.
fn resident_mib(pid: i32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the engine's process is gone")?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}
