//! F12: the topology is edited while it runs: a rule added, the rule dropped, a setting changed, a file that is wrong. A bad
//! edit is refused and the running graph goes on; a good one has a gap of at most two seconds.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::kafka::Broker;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;
/// Longest pause of the output around an edit.
const GAP_MAX: Duration = Duration::from_secs(2);
/// Edits of a job; then it is judged.
const JOB: u64 = 15;
/// Jobs beside each other.
const TOGETHER: usize = 2;
/// An edit is noticed and answered within this time.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// It matches nothing, so the alerts of the reference stay right.
const RULE: &str = "AnalysisType: rule\nRuleID: C09\nEnabled: true\nSeverity: Low\nLogTypes: [Custom.Chaos]\n\
    Detection:\n  - {KeyPath: action, Condition: Equals, Value: never}\n";

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let broker = broker()?;
    let (mut report, pauses) = ctx.jobs(TOGETHER, count, JOB, |ctx, _, edits| one(ctx, broker, edits))?;
    let longest = pauses.into_iter().max().unwrap_or_default();
    ensure!(longest <= GAP_MAX, "the output paused for {longest:?}");
    report.notes.push(format!("longest pause {:.2} s", longest.as_secs_f64()));
    Ok(report)
}

/// A job and its edits; the longest pause of its output.
fn one(ctx: &Ctx, broker: &Broker, edits: u64) -> Result<(RowReport, Duration)> {
    let (mut report, mut longest) = (RowReport::default(), Duration::ZERO);
    let job = Job::start(ctx, broker, lasting(ctx, edits as f64 * 4.0 + 4.0, RATE), Options::default())?;
    job.works()?;
    let (path, rule) = (job.dir.join("topology.toml"), job.dir.join("rules/C09.yml"));
    let text = std::fs::read_to_string(&path)?;
    let mut done = 0;
    while done < edits && !job.done() {
        std::thread::sleep(ctx.between(600, 1_500));
        let (what, answer) = match done % 5 {
            0 => (std::fs::write(&rule, RULE).map(|()| "rule added")?, " applied "),
            1 => (
                std::fs::write(&path, text.replace("\"1000/h\"", "\"1001/h\"")).map(|()| "limit changed")?,
                " applied ",
            ),
            2 => {
                (std::fs::write(&path, text.replace("\"geo\"", "\"gone\"")).map(|()| "wrong input")?, "was not applied")
            }
            3 => (std::fs::write(&path, &text).map(|()| "limit as before")?, " applied "),
            _ => (std::fs::remove_file(&rule).map(|()| "rule dropped")?, " applied "),
        };
        let before = job.said(answer);
        let began = Instant::now();
        let (mut gap, mut count, mut newest) = (Duration::ZERO, job.live.count(), Instant::now());
        while job.said(answer) == before && !job.done() {
            ensure!(began.elapsed() < ANSWER_MAX, "{what}: no answer `{answer}`\n{}", job.log());
            std::thread::sleep(Duration::from_millis(5));
            if job.live.count() > count {
                gap = gap.max(newest.elapsed());
                (count, newest) = (job.live.count(), Instant::now());
            }
        }
        // Also what comes after the answer.
        if job.output_since(Instant::now(), began)?.is_some() {
            gap = gap.max(newest.elapsed());
        }
        longest = longest.max(gap);
        ctx.note(&format!(
            "{what}:{}after {:.2} s, longest pause of the output {:.2} s",
            answer.trim_end().to_string() + " ",
            began.elapsed().as_secs_f64(),
            gap.as_secs_f64()
        ));
        done += 1;
    }
    job.finish(done, &mut report)?;
    Ok((report, longest))
}
