//! Qualifies the broker and the checker with the plain copier: many events, many kills, and it must be exact.
use crate::checker::input::{Loader, Plan, Route};
use crate::checker::reader::{LiveReader, Topics};
use crate::checker::seen::Output;
use crate::checker::verdict::{Evidence, Mark, Verdict, check};
use crate::copier::CopierArgs;
use crate::kafka::{Broker, read_all, spawn, unique};
use crate::kills::Random;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Partitions of input and output.
const PARTITIONS: u32 = 3;
/// A copier that gets nothing done for this long is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Result of a qualification.
pub struct Qualified {
    /// The checker's word.
    pub verdict: Verdict,
    /// Kills that hit a copier that had written something since its start.
    pub kills: u64,
    /// How long it took.
    pub took: Duration,
}

/// Copy `events` events with the program `xtask copier`, killed `kills` times while it works.
pub fn qualify(broker: &Broker, xtask: &Path, events: u64, kills: u64, seed: u64) -> Result<Qualified> {
    let began = Instant::now();
    let name = unique("copy");
    let plan = Plan::new(&name, events, PARTITIONS, seed);
    let a = CopierArgs {
        bootstrap: broker.bootstrap(),
        input: format!("{name}.in"),
        events: format!("{name}.events"),
        dlq: format!("{name}.dlq"),
        marks: format!("{name}.marks"),
        id: name.clone(),
        // Small enough that every kill has some transactions before and after it.
        batch: (events / 100).clamp(10, 750) as usize,
    };
    for topic in [&a.input, &a.events, &a.dlq] {
        broker.create_topic(topic, PARTITIONS as i32, 1)?;
    }
    broker.create_topic(&a.marks, 1, 1)?;
    let topics: Topics = vec![(Output::Events, a.events.clone()), (Output::Dlq, a.dlq.clone())];
    let mut live = LiveReader::start(&a.bootstrap, &topics)?;
    // The last events come after the last kill, so that every kill is in the middle of the work.
    let loader = Loader::start(&a.bootstrap, &a.input, &plan, 0);
    let want = plan.count(Route::Event) + plan.count(Route::Reject);
    let (mut random, mut landed) = (Random(seed), 0);
    let log = std::env::temp_dir().join(format!("{name}.log"));
    let mut copier = Copier::start(xtask, &a, &log)?;
    let mut quiet = Instant::now();
    let mut before = live.count();
    while live.count() < want {
        ensure!(quiet.elapsed() < STUCK, "the copier is stuck at {} of {want}: {}", live.count(), copier.log()?);
        if live.count() > before {
            quiet = Instant::now();
            // Kills are spread over the whole input.
            if landed < kills && live.count() >= want * landed / kills {
                std::thread::sleep(Duration::from_millis(random.below(60)));
                copier.child.kill()?;
                copier.child.wait()?;
                landed += (live.count() < want) as u64;
                copier = Copier::start(xtask, &a, &log)?;
            }
            before = live.count();
        } else if copier.child.try_wait()?.is_some() {
            copier = Copier::start(xtask, &a, &log)?;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    loader.finish()?;
    // Were anything to be copied twice, it would be by now.
    std::thread::sleep(Duration::from_millis(500));
    drop(copier);
    let marks = read_marks(&a)?;
    let (seen, last) = live.finish()?;
    let faults = landed;
    let evidence = Evidence { plan: &plan, live: &seen, last: &last, alerts: None, marks: Some(&marks), faults };
    let verdict = check(&evidence);
    let _ = std::fs::remove_file(log);
    Ok(Qualified { verdict, kills: landed, took: began.elapsed() })
}

struct Copier {
    child: Child,
    log: std::path::PathBuf,
}

impl Copier {
    fn start(xtask: &Path, a: &CopierArgs, log: &Path) -> Result<Copier> {
        let mut c = Command::new(xtask);
        c.args(a.to_args()).stderr(std::fs::OpenOptions::new().create(true).append(true).open(log)?);
        Ok(Copier { child: spawn(c)?, log: log.into() })
    }
    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_marks(a: &CopierArgs) -> Result<Vec<Mark>> {
    read_all(&a.bootstrap, &a.marks, true)?
        .iter()
        .map(|m| {
            let j: serde_json::Value = serde_json::from_slice(m.value.as_deref().unwrap_or_default())?;
            let n = |k: &str| j[k].as_u64().with_context(|| format!("mark without {k}: {j}"));
            let output = if j["output"] == "dlq" { Output::Dlq } else { Output::Events };
            Ok(Mark { output, epoch: n("epoch")?, rows: n("rows")?, xor: n("xor")? })
        })
        .collect()
}
