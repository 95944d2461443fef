//! F11: the job is stopped, in good order or by SIGKILL, and goes on with another number of workers and processes.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;
/// Processes and workers, in turn: 1 → 2 → 4 → 2 → 1 workers, then 1 → 2 → 1 processes. State moves with every change, while
/// input flows; what comes out must be what the reference in Python says.
const SIZES: [(usize, usize); 8] = [(1, 1), (1, 2), (1, 4), (1, 2), (1, 1), (2, 1), (2, 2), (1, 3)];

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let (broker, mut report) = (broker()?, RowReport::default());
    let (mut at, mut steps) = (0, BTreeSet::new());
    while report.faults < count {
        let changes = (count - report.faults).min(SIZES.len() as u64);
        let (processes, workers) = SIZES[at % SIZES.len()];
        let options = Options { processes, workers, ..Options::default() };
        let mut job = Job::start(ctx, broker, lasting(ctx, changes as f64 * 5.0 + 4.0, RATE), options)?;
        let mut done = 0;
        while done < changes && !job.done() {
            job.live.progress(job.live.count(), Duration::from_secs(60))?;
            std::thread::sleep(ctx.between(800, 2_000));
            let from = (job.options.processes, job.options.workers);
            let (hard, since) = (ctx.below(2) == 0, Instant::now());
            if hard {
                job.kill_all();
            } else {
                job.stop()?;
            }
            at += 1;
            steps.insert(at % SIZES.len());
            (job.options.processes, job.options.workers) = SIZES[at % SIZES.len()];
            job.launch()?;
            // What is still on its way to the reader comes from the one before.
            job.up()?;
            done += 1;
            if let Some(t) = job.output_since(Instant::now(), since)? {
                report.resume.push(t);
                let (how, to) = (if hard { "SIGKILL" } else { "stopped" }, SIZES[at % SIZES.len()]);
                ctx.note(&format!(
                    "{how}, {from:?} → {to:?} (processes, workers): output after {:.2} s",
                    t.as_secs_f64()
                ));
            }
        }
        job.finish(done, &mut report)?;
    }
    ensure!(steps.len() as u64 == count.min(SIZES.len() as u64), "not every change of size was made: {steps:?}");
    Ok(report)
}
