//! What exactly-once costs on a real Kafka, and how late an output is: the same job with transactions and without them, in
//! turns; then events at fixed rates, each due at a planned time, until a reader of committed records has them; at last
//! with the engine paused for a while.
mod late;
mod paced;
mod page;

use crate::chaos::Options;
use crate::checker::input::{Loader, Plan, Route};
use crate::kafka::{Broker, Setup, read_all, unique};
use crate::project::{common_input, common_reference, root};
use crate::run::{Pipeline, copy_dir};
use anyhow::{Context, Result, ensure};
use paced::{Paced, Stall, at_rate, check_stall};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Partitions of input and output.
const PARTITIONS: u64 = 4;
/// Worker threads of the engine.
const WORKERS: usize = 2;
/// Epoch of the job whose latency is measured.
const EPOCH: Duration = Duration::from_millis(100);
/// A rate is sustained if, after this time, the last event is out within [`BEHIND_MAX`] of its due time.
const TRIAL: Duration = Duration::from_secs(10);
/// See [`TRIAL`].
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Trials of the bisection.
const TRIALS: usize = 4;
/// Where it starts from, if the cost was not measured: events per second.
const RATE_MAX: u64 = 200_000;

/// Ways of a job: delivery of the Kafka sink, and without Kafka at all.
const WAYS: [&str; 3] = ["exactly_once", "at_least_once", FILE];
/// See [`WAYS`].
const FILE: &str = "file";
/// Shares of the sustainable rate at which lateness is measured.
const SHARES: [f64; 3] = [0.5, 0.8, 1.0];
/// Time before and after a stall, as a multiple of it: at half the sustainable rate the backlog takes as long as it grew.
const AFTER_STALL: u32 = 2;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plans {
    /// Events of each run that measures the cost.
    pub events: u64,
    /// Rounds of them; 0: the cost is not measured.
    pub rounds: usize,
    /// Seconds of each run at a rate.
    pub seconds: u64,
    /// This rate alone, instead of shares of what is found to be sustainable.
    pub rate: Option<u64>,
    /// Seconds for which the engine is paused in a last run; 0: no such run.
    pub stall: u64,
    /// Where the page goes.
    pub html: Option<PathBuf>,
}

/// Measure and print.
pub fn run(plans: &Plans) -> Result<()> {
    let broker = Broker::start_or_use(Setup { lives_long: true, heap: "1g".into(), ..Setup::new(1) })?;
    let most = if plans.rounds > 0 { cost(&broker, plans.events, plans.rounds)? } else { RATE_MAX };
    let time = Duration::from_secs(plans.seconds);
    let mut facts = vec![format!(
        "{WORKERS} workers, {PARTITIONS} partitions, epoch {} ms; broker, loader and reader on the same machine",
        EPOCH.as_millis()
    )];
    let rates: Vec<(String, u64)> = match plans.rate {
        Some(r) => vec![(format!("{r} events/s"), r)],
        None => {
            let most = sustainable(&broker, most)?;
            facts.push(format!("sustainable: {most} events/s"));
            let of = |share: &f64| (most as f64 * share) as u64;
            SHARES.iter().map(|s| (format!("{s} of the sustainable rate, {} events/s", of(s)), of(s))).collect()
        }
    };
    let mut runs: Vec<(String, String, Paced)> = Vec::new();
    for (title, rate) in &rates {
        let paced = at_rate(&broker, *rate, time, None)?;
        println!("{title} for {} s, read back committed: {}", plans.seconds, paced.late.line());
        runs.push((title.clone(), paced.late.line(), paced));
    }
    if plans.stall > 0 {
        runs.push(stalled(&broker, rates[0].1, plans.stall, runs[0].2.late.quantile(0.99))?);
    }
    match &plans.html {
        Some(to) => write_page(to, &facts, &runs),
        None => Ok(()),
    }
}

/// A run at a rate in which the engine is paused.
fn stalled(broker: &Broker, rate: u64, seconds: u64, p99: Duration) -> Result<(String, String, Paced)> {
    let stall = Stall { after: Duration::from_secs(10), time: Duration::from_secs(seconds) };
    let paced = at_rate(broker, rate, stall.after + stall.time * (1 + AFTER_STALL), Some(stall))?;
    check_stall(&paced)?;
    let (from, to) = paced.stalled.context("the engine was not paused")?;
    let calm = p99 * 2 + EPOCH;
    let over = paced.late.calm_from(calm) as f64 - to;
    let title = format!("{rate} events/s, the engine paused for {:.0} s", to - from);
    let end = paced.late.seconds.len() as f64 - to;
    ensure!(over < end, "{title}: {end:.0} s after it, outputs are still later than {calm:.0?}");
    let note = format!(
        "every event that was due meanwhile is counted as late as it was; from {:.0} s after the pause on none is later than \
         {} ms (twice the p99 of a calm run and an epoch)",
        over.max(0.0),
        calm.as_millis()
    );
    println!("{title}: {note}");
    Ok((title, note, paced))
}

fn write_page(to: &Path, facts: &[String], runs: &[(String, String, Paced)]) -> Result<()> {
    let parts = runs.iter().map(|(title, note, paced)| page::Part { title, note, late: &paced.late });
    let parts: Vec<page::Part> = parts.collect();
    std::fs::write(to, page::page(facts, &parts)).with_context(|| format!("write {}", to.display()))?;
    println!("page: {}", to.display());
    Ok(())
}

/// What exactly-once costs; returns the rate of the job that sends every event on.
fn cost(broker: &Broker, events: u64, rounds: usize) -> Result<u64> {
    ensure!(events > 0, "there must be events");
    let every = EveryEvent::load(broker, events)?;
    let lz4 = Common::load(broker, events)?;
    let plain = Common { input: Common::topic(broker, &lz4.lines, "uncompressed")?, ..lz4.clone() };
    println!("\nall input is there; {WORKERS} workers, {PARTITIONS} partitions, {events} events; medians of {rounds}");
    println!("{:<28}{:>16}{:>16}{:>8}{:>12}{:>12}", "", "exactly once", "at least once", "ratio", "CPU s", "CPU s");
    let mut rates = Vec::new();
    let jobs: [(&str, &[&str], &dyn Fn(&str) -> Result<()>); 3] = [
        ("every event to Kafka", &WAYS[..2], &|way| every.run(broker, way)),
        ("common job, LZ4 topic", &WAYS, &|way| lz4.run(broker, way)),
        ("common job, plain topic", &WAYS, &|way| plain.run(broker, way)),
    ];
    for (name, ways, job) in jobs {
        let mut took: Vec<Vec<Used>> = vec![Vec::new(); ways.len()];
        for round in 0..rounds {
            // Each goes first in its turn.
            for turn in 0..ways.len() {
                let which = (round + turn) % ways.len();
                took[which].push(measured(|| job(ways[which]))?);
            }
        }
        let (exactly, least) = (median(&took[0], |u| u.wall), median(&took[1], |u| u.wall));
        let rate = |u: Used| events as f64 / u.wall;
        println!(
            "{name:<28}{:>12.0} e/s{:>12.0} e/s{:>8.2}{:>12.2}{:>12.2}",
            rate(exactly),
            rate(least),
            rate(exactly) / rate(least),
            exactly.cpu,
            least.cpu
        );
        if let Some(file) = took.get(2) {
            let per_core = |all: &[Used]| events as f64 / median(all, |u| u.cpu).cpu;
            let (kafka, file) = (per_core(&took[0]), per_core(file));
            println!(
                "the same from file to file: {file:.0} events for a CPU second; Kafka to Kafka, exactly once, {kafka:.0}: {:.2} of it",
                kafka / file
            );
        }
        rates.push(rate(exactly));
    }
    Ok(rates[0] as u64)
}

/// What a run used.
#[derive(Clone, Copy, Debug)]
struct Used {
    wall: f64,
    cpu: f64,
}

fn measured(run: impl FnOnce() -> Result<()>) -> Result<Used> {
    let (at, before) = (Instant::now(), children_cpu());
    run()?;
    Ok(Used { wall: at.elapsed().as_secs_f64(), cpu: children_cpu() - before })
}

/// The run with the median of a figure.
fn median(all: &[Used], of: impl Fn(&Used) -> f64) -> Used {
    let mut all = all.to_vec();
    all.sort_by(|a, b| of(a).total_cmp(&of(b)));
    all[all.len() / 2]
}

/// CPU seconds of children that were waited for, and of theirs.
fn children_cpu() -> f64 {
    // SAFETY: the call fills the struct it is given.
    let usage = unsafe {
        let mut u = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut u);
        u
    };
    let s = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    s(usage.ru_utime) + s(usage.ru_stime)
}

/// The fault tests' job over a topic that is filled once: every event that is not dropped goes out again.
struct EveryEvent {
    input: String,
    plan: Plan,
}

impl EveryEvent {
    fn load(broker: &Broker, events: u64) -> Result<EveryEvent> {
        let input = unique("pace.in");
        let plan = Plan::new(&input, events, PARTITIONS as u32, 7);
        broker.create_topic(&input, PARTITIONS as i32, 1)?;
        Loader::start(&broker.bootstrap(), &input, &plan, 0).finish()?;
        Ok(EveryEvent { input, plan })
    }
    fn run(&self, broker: &Broker, delivery: &str) -> Result<()> {
        let (p, name) = every_event(broker, &self.input, delivery)?;
        p.once(WORKERS)?;
        // Watermarks, not the records: reading them would cost more than the run.
        let (topic, want) = (format!("{name}.events"), self.plan.count(Route::Event));
        let written: i64 =
            (0..PARTITIONS as i32).map(|p| Ok(broker.admin().offsets(&topic, p)?.1)).sum::<Result<i64>>()?;
        ensure!(written as u64 >= want, "{written} records for {want} events in {topic}");
        broker.admin().delete(&topic)
    }
}

/// The fault tests' job over a topic, and its name.
fn every_event(broker: &Broker, input: &str, delivery: &str) -> Result<(Pipeline, String)> {
    let name = unique("pace");
    let text = Options::default()
        .topology(&name, &broker.bootstrap())?
        .replace("epoch = \"200ms\"", &format!("epoch = \"{} ms\"", EPOCH.as_millis()))
        .replace(&format!("[\"{name}.in\"]"), &format!("[\"{input}\"]"))
        .replace(
            "transaction_timeout = ",
            &format!("partitions = {PARTITIONS}\ndelivery = \"{delivery}\"\ntransaction_timeout = "),
        );
    let p = Pipeline::new("")?;
    copy_dir(&root().join("tests/kafka/job"), p.dir.path())?;
    p.file("topology.toml", text)?;
    Ok((p, name))
}

/// The common job over a topic that is filled once; alerts to Kafka.
#[derive(Clone)]
struct Common {
    input: String,
    lines: PathBuf,
    lookup: PathBuf,
    alerts: u64,
}

impl Common {
    fn load(broker: &Broker, events: u64) -> Result<Common> {
        let (lines, lookup) = common_input(events, 20_260_301)?;
        let alerts = common_reference(&lines, &lookup, 1000)?;
        let alerts = alerts.iter().filter(|b| **b == b'\n').count() as u64;
        Ok(Common { input: Common::topic(broker, &lines, "producer")?, lines, lookup, alerts })
    }
    /// A topic of the lines; compression `producer` is the loader's, LZ4.
    fn topic(broker: &Broker, lines: &Path, compression: &str) -> Result<String> {
        let input = unique("pace.common");
        broker.fill_with(&input, PARTITIONS as i32, lines, &[("compression.type", compression)])?;
        Ok(input)
    }
    fn run(&self, broker: &Broker, way: &str) -> Result<()> {
        let n = if way == FILE {
            let p = Pipeline::common(&self.lines, &self.lookup, "")?;
            p.once(WORKERS)?;
            p.rows("alerts.jsonl").len() as u64
        } else {
            let (mut p, alerts) = Pipeline::common_kafka(broker, &self.input, &self.lookup)?;
            p.set("DELIVERY", way);
            p.once(WORKERS)?;
            read_all(&broker.bootstrap(), &alerts, true)?.len() as u64
        };
        ensure!(n == self.alerts, "{n} alerts, the reference has {}", self.alerts);
        Ok(())
    }
}

/// The highest rate, to within a tenth or so, that is sustained on this machine with broker, loader and reader on it.
fn sustainable(broker: &Broker, at_most: u64) -> Result<u64> {
    let (mut low, mut high) = (0, at_most.max(2_000));
    for _ in 0..TRIALS {
        let rate = if low == 0 { high / 2 } else { (low + high) / 2 };
        let behind = at_rate(broker, rate, TRIAL, None)?.last;
        println!("  {rate} events/s: the last event is out {:.2} s after it was due", behind.as_secs_f64());
        if behind <= BEHIND_MAX {
            low = rate;
        } else {
            high = rate;
        }
    }
    ensure!(low > 0, "not even {high} events/s are sustained");
    println!("sustainable, with broker, loader and reader on the same machine: {low} events/s");
    Ok(low)
}
