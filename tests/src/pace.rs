//! What exactly-once costs on a real Kafka, and how late an output is: the same job with transactions and without them, in
//! turns; then events at a fixed rate, each due at a planned time, until a reader of committed records has them.
use crate::chaos::Options;
use crate::checker::input::{Loader, Plan, Route};
use crate::kafka::{Broker, Setup, read_all, settings, spawn, unique};
use crate::project::{common_input, common_reference, root};
use crate::run::{Pipeline, RUN_MAX, copy_dir, wait};
use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Partitions of input and output.
const PARTITIONS: u64 = 4;
/// Worker threads of the engine.
const WORKERS: usize = 2;
/// Epoch of the job whose latency is measured.
const EPOCH: Duration = Duration::from_millis(100);
/// What comes before is not counted: clients connect, tables grow.
const WARM: Duration = Duration::from_secs(5);
/// A rate is sustained if, after this time, the last event is out within [`BEHIND_MAX`] of its due time.
const TRIAL: Duration = Duration::from_secs(10);
/// See [`TRIAL`].
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Trials of the bisection.
const TRIALS: usize = 4;

/// Measure and print.
pub fn run(events: u64, rounds: usize, seconds: u64, rate: Option<u64>) -> Result<()> {
    ensure!(rounds > 0 && events > 0, "there must be events and rounds");
    let broker = Broker::start_or_use(Setup { lives_long: true, heap: "1g".into(), ..Setup::new(1) })?;
    let every = EveryEvent::load(&broker, events)?;
    let alerts = Common::load(&broker, events)?;
    println!("\nall input is there; {WORKERS} workers, {PARTITIONS} partitions, {events} events; medians of {rounds}");
    println!("{:<28}{:>16}{:>16}{:>8}{:>12}{:>12}", "", "exactly once", "at least once", "ratio", "CPU s", "CPU s");
    let mut rates = Vec::new();
    let jobs: [(&str, &dyn Fn(&str) -> Result<()>); 2] = [
        ("every event to Kafka", &|delivery| every.run(&broker, delivery)),
        ("common job, alerts to Kafka", &|delivery| alerts.run(&broker, delivery)),
    ];
    for (name, job) in jobs {
        let mut took: [Vec<Used>; 2] = Default::default();
        for round in 0..rounds {
            // Each goes first every second time.
            for turn in 0..2 {
                let which = (round + turn) % 2;
                let delivery = ["exactly_once", "at_least_once"][which];
                took[which].push(measured(|| job(delivery))?);
            }
        }
        let [exactly, least] = took.map(|t| median(&t));
        let rate = |u: Used| events as f64 / u.wall;
        println!(
            "{name:<28}{:>12.0} e/s{:>12.0} e/s{:>8.2}{:>12.2}{:>12.2}",
            rate(exactly),
            rate(least),
            rate(exactly) / rate(least),
            exactly.cpu,
            least.cpu
        );
        rates.push(rate(exactly));
    }
    let rate = match rate {
        Some(r) => r,
        None => sustainable(&broker, rates[0] as u64)? / 2,
    };
    let late = at_rate(&broker, rate, Duration::from_secs(seconds))?;
    let q = |q| late.quantile(q).as_secs_f64() * 1e3;
    println!(
        "{rate} events/s for {seconds} s, every one due at a planned time and read back committed, epoch {} ms: \
         p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms, p99.9 {:.0} ms, max {:.0} ms ({} events)",
        EPOCH.as_millis(),
        q(0.5),
        q(0.9),
        q(0.99),
        q(0.999),
        q(1.0),
        late.us.len()
    );
    Ok(())
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

/// The run with the median wall time.
fn median(all: &[Used]) -> Used {
    let mut all = all.to_vec();
    all.sort_by(|a, b| a.wall.total_cmp(&b.wall));
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

/// The common job over a topic that is filled once.
struct Common {
    input: String,
    lookup: PathBuf,
    alerts: u64,
}

impl Common {
    fn load(broker: &Broker, events: u64) -> Result<Common> {
        let (lines, lookup) = common_input(events, 20_260_301)?;
        let alerts = common_reference(&lines, &lookup, 1000)?;
        let alerts = alerts.iter().filter(|b| **b == b'\n').count() as u64;
        let input = unique("pace.common");
        broker.fill(&input, PARTITIONS as i32, &lines)?;
        Ok(Common { input, lookup, alerts })
    }
    fn run(&self, broker: &Broker, delivery: &str) -> Result<()> {
        let (mut p, alerts) = Pipeline::common_kafka(broker, &self.input, &self.lookup)?;
        p.set("DELIVERY", delivery);
        p.once(WORKERS)?;
        let n = read_all(&broker.bootstrap(), &alerts, true)?.len() as u64;
        ensure!(n == self.alerts, "{n} alerts, the reference has {}", self.alerts);
        Ok(())
    }
}

/// The highest rate, to within a tenth or so, that is sustained on this machine with broker, loader and reader on it.
fn sustainable(broker: &Broker, at_most: u64) -> Result<u64> {
    let (mut low, mut high) = (0, at_most.max(2_000));
    for _ in 0..TRIALS {
        let rate = if low == 0 { high / 2 } else { (low + high) / 2 };
        let late = at_rate(broker, rate, TRIAL)?;
        let behind = Duration::from_micros(late.last_us);
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

/// How late events were, after [`WARM`], in microseconds.
struct Late {
    us: Vec<u32>,
    /// Of the event that was due last.
    last_us: u64,
}

impl Late {
    fn quantile(&self, q: f64) -> Duration {
        let at = ((self.us.len() as f64 * q).ceil() as usize).clamp(1, self.us.len().max(1)) - 1;
        Duration::from_micros(self.us.get(at).copied().unwrap_or_default().into())
    }
}

/// Events at a rate through the job, read back by a reader of committed records.
fn at_rate(broker: &Broker, rate: u64, time: Duration) -> Result<Late> {
    let input = unique("pace.paced");
    broker.create_topic(&input, PARTITIONS as i32, 1)?;
    let (p, name) = every_event(broker, &input, "exactly_once")?;
    let topic = format!("{name}.events");
    broker.create_topic(&topic, PARTITIONS as i32, 1)?;
    let plan = Plan::new(&input, (rate as f64 * (time + WARM).as_secs_f64()) as u64, PARTITIONS as u32, 11);
    let log = std::fs::File::create(p.out("job.log"))?;
    let mut c = p.command(&["run", "topology.toml", "--quiet", "--workers", &WORKERS.to_string()]);
    c.stdout(log.try_clone()?).stderr(log);
    let mut job = spawn(c)?;
    let said = || String::from_utf8_lossy(&p.read("job.log")).into_owned();
    let reader = reader(broker, &topic)?;
    // The job reads before the first event is due.
    std::thread::sleep(Duration::from_secs(2));
    let loader = Loader::start(&broker.bootstrap(), &input, &plan, rate);
    let (want, mut seen, warm) = (plan.count(Route::Event), 0, rate * WARM.as_secs());
    let mut late = Late { us: Vec::with_capacity(want as usize), last_us: 0 };
    let (end, mut last) = (Instant::now() + WARM + time * 4 + Duration::from_secs(30), 0);
    while seen < want {
        ensure!(Instant::now() < end, "{seen} of {want} events came out\n{}", said());
        if let Some(status) = job.try_wait()? {
            bail!("the job ended: {status}\n{}", said());
        }
        let Some(m) = reader.poll(Duration::from_millis(50)) else { continue };
        let m = m.context("read the output")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
        let seq = seq(m.payload().unwrap_or_default()).context("an output without a number")?;
        let late_us = now.saturating_sub(loader.began_us() + seq * 1_000_000 / rate);
        seen += 1;
        if seq >= warm {
            late.us.push(late_us.min(u32::MAX as u64) as u32);
        }
        if seq >= last {
            (last, late.last_us) = (seq, late_us);
        }
    }
    loader.finish()?;
    // SAFETY: a child of ours that has not been waited for.
    unsafe { libc::kill(job.id() as i32, libc::SIGTERM) };
    let status = wait(&mut job, RUN_MAX)?;
    ensure!(status.success(), "the job ended with {status}\n{}", said());
    late.us.sort_unstable();
    for topic in [&input, &topic] {
        broker.admin().delete(topic)?;
    }
    Ok(late)
}

fn reader(broker: &Broker, topic: &str) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = settings(&broker.bootstrap())
        .set("group.id", "millstream-pace")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "20")
        .set("check.crcs", "false")
        .create()?;
    let mut list = TopicPartitionList::new();
    for p in 0..PARTITIONS as i32 {
        list.add_partition_offset(topic, p, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// The field `seq` of an event as the job writes it.
fn seq(value: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"seq\":";
    let at = value.windows(NAME.len()).position(|w| w == NAME)? + NAME.len();
    let digits = value[at..].iter().take_while(|b| b.is_ascii_digit());
    digits.map(|d| (d - b'0') as u64).reduce(|n, d| n * 10 + d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_an_event_and_quantiles_are_of_the_sorted_list() {
        assert_eq!(seq(br#"{"run":"r","seq":1207,"key":3}"#), Some(1207));
        assert_eq!((seq(br#"{"seq":"x"}"#), seq(b"{}")), (None, None));
        let late = Late { us: (1..=1000).collect(), last_us: 0 };
        let us = |q| late.quantile(q).as_micros();
        assert_eq!((us(0.5), us(0.99), us(1.0), us(0.0)), (500, 990, 1000, 1));
    }
}
