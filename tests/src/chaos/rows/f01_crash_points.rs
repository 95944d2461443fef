//! F1: the process kills itself at a named point of the protocol, at its n-th pass.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::kafka::Broker;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// Points that the Kafka connectors pass beside the engine's own.
const KAFKA: &[&str] =
    &["kafka.init", "kafka.after_begin", "kafka.mid_produce", "kafka.before_commit", "kafka.after_commit"];
/// Points that need something else to happen: an edit (F12).
const ELSEWHERE: &[&str] = &["reload.after_seal", "reload.after_build"];
/// Points that an incarnation passes once.
const ONCE: &[&str] = &["recover.after_begin"];
/// A point that is not passed in this time is not passed by this job.
const REACHED_MAX: Duration = Duration::from_secs(20);
/// Every point is tried at its first pass, and at two later ones.
const HITS: [u64; 3] = [1, 4, 9];
const RATE: u64 = 3_000;
/// Seconds of input: the later hits are passed in them.
const SECONDS: f64 = 2.5;
/// Jobs beside each other.
const TOGETHER: usize = 3;

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let (broker, mut report, mut missed) = (broker()?, RowReport::default(), Vec::new());
    let points: Vec<&str> =
        model::fault::CRASH_POINTS.iter().chain(KAFKA).filter(|p| !ELSEWHERE.contains(p)).copied().collect();
    let mut all: Vec<(&str, u64)> =
        points.iter().flat_map(|p| HITS.map(|h| (*p, h))).filter(|(p, h)| *h == 1 || !ONCE.contains(p)).collect();
    // Without repeats first, in an order that the seed decides.
    for i in (1..all.len()).rev() {
        all.swap(i, ctx.below(i as u64 + 1) as usize);
    }
    let mut todo = all.iter().cycle().take(count as usize * 2).enumerate();
    while report.faults < count {
        let jobs: Vec<_> = todo.by_ref().take((count - report.faults) as usize).collect();
        if jobs.is_empty() {
            break;
        }
        for (died, what) in ctx.together(TOGETHER, jobs, |ctx, (n, (point, hit))| one(ctx, broker, n, point, *hit))? {
            match died {
                Some(r) => report.add(r),
                None => missed.push(what),
            }
        }
    }
    ensure!(report.faults == count, "only {} of {count} deaths; not passed: {missed:?}", report.faults);
    // A point that is never passed at its first hit is a point that no longer exists, or that this job does not have.
    if !missed.is_empty() {
        report.notes.push(format!("not passed: {}", missed.join(" ")));
    }
    Ok(report)
}

/// A job that dies at the n-th pass of a point: what it did, if it died, and the point.
fn one(ctx: &Ctx, broker: &Broker, n: usize, point: &str, hit: u64) -> Result<(Option<RowReport>, String)> {
    let (what, mut report) = (format!("{point}:{hit}"), RowReport::default());
    let env = vec![("MILLSTREAM_CRASH".to_string(), what.clone())];
    // One process or two: a point may be passed by one of them only.
    let processes = 1 + n % 2;
    let options = Options { processes, env, rate: RATE, ..Options::default() };
    let mut job = Job::prepare(ctx, broker, lasting(ctx, SECONDS, RATE), options)?;
    if point.starts_with("recover.") {
        // Needs something to recover from.
        let env = std::mem::take(&mut job.options.env);
        job.feed();
        job.launch()?;
        job.works()?;
        job.kill_all();
        job.options.env = env;
    } else {
        job.feed();
    }
    job.launch()?;
    let end = Instant::now() + REACHED_MAX;
    let died = format!("crash point {point}");
    while job.said(&died) == 0 && !job.done() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let hits = job.said(&died) as u64;
    ctx.note(&format!("{what}, {processes} processes: {}", if hits > 0 { "died" } else { "not passed" }));
    if hits == 0 {
        return Ok((None, what));
    }
    job.finish(1, &mut report)?;
    Ok((Some(report), what))
}
