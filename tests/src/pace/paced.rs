//! Events at a fixed rate through the job, each due at a planned time, read back by a reader of committed records.
use super::late::{Late, Schedule};
use super::{EPOCH, PARTITIONS, WORKERS, every_event};
use crate::checker::input::{Loader, Plan, Route};
use crate::kafka::{Broker, settings, spawn, unique};
use crate::run::{RUN_MAX, wait};
use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What comes before is not counted: clients connect, tables grow.
pub const WARM: Duration = Duration::from_secs(5);

/// A pause of the engine's process.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// When it begins, after [`WARM`].
    pub after: Duration,
    /// How long it lasts.
    pub time: Duration,
}

/// What a run at a rate showed.
pub struct Paced {
    /// Lateness of the events after [`WARM`].
    pub late: Late,
    /// Lateness of the event that was due last.
    pub last: Duration,
    /// Second, after [`WARM`], in which the engine was paused and in which it went on.
    pub stalled: Option<(f64, f64)>,
}

/// Run the job at `rate` events per second for `time`.
pub fn at_rate(broker: &Broker, rate: u64, time: Duration, stall: Option<Stall>) -> Result<Paced> {
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
    let mut out = Paced { late: Late::default(), last: Duration::ZERO, stalled: None };
    let (end, mut last) = (Instant::now() + WARM + time * 4 + Duration::from_secs(30), 0);
    let mut pause: Option<(i32, u64)> = None;
    while seen < want {
        ensure!(Instant::now() < end, "{seen} of {want} events came out\n{}", said());
        if let Some(status) = job.try_wait()? {
            bail!("the job ended: {status}\n{}", said());
        }
        let since_us = now_us().saturating_sub(loader.began_us() + WARM.as_micros() as u64);
        if let Some(s) = stall.filter(|_| loader.began_us() > 0) {
            match pause {
                None if out.stalled.is_none() && since_us >= s.after.as_micros() as u64 => {
                    let pid = p.engine_pid("out/state").context("no engine.pid")?;
                    signal(pid, libc::SIGSTOP);
                    pause = Some((pid, since_us));
                }
                Some((pid, from)) if since_us >= from + s.time.as_micros() as u64 => {
                    signal(pid, libc::SIGCONT);
                    out.stalled = Some((from as f64 / 1e6, since_us as f64 / 1e6));
                    pause = None;
                }
                _ => {}
            }
        }
        let Some(m) = reader.poll(Duration::from_millis(50)) else { continue };
        let m = m.context("read the output")?;
        let n = seq(m.payload().unwrap_or_default()).context("an output without a number")?;
        let (second, late_us) = Schedule { began_us: loader.began_us(), rate }.late(n, now_us());
        seen += 1;
        if n >= warm {
            out.late.add(second - WARM.as_secs(), late_us);
        }
        if n >= last {
            (last, out.last) = (n, Duration::from_micros(late_us));
        }
    }
    loader.finish()?;
    signal(job.id() as i32, libc::SIGTERM);
    let status = wait(&mut job, RUN_MAX)?;
    ensure!(status.success(), "the job ended with {status}\n{}", said());
    out.late.sort();
    for topic in [&input, &topic] {
        broker.admin().delete(topic)?;
    }
    Ok(out)
}

/// The harness's own check: an event that was due in the stall came after it, so it must have been counted as late as that.
pub fn check_stall(p: &Paced) -> Result<()> {
    let (from, to) = p.stalled.context("the engine was not paused")?;
    // What was in flight when the engine stopped may be out already.
    let margin = 2.0 + EPOCH.as_secs_f64();
    for second in (from + margin).ceil() as usize..to.floor() as usize {
        let least = p.late.seconds.get(second).map_or(0.0, |s| s.least_us as f64 / 1e6);
        let must = to - (second as f64 + 1.0);
        ensure!(
            least >= must,
            "an event due in second {second} was counted as {least:.2} s late; the engine stood still for {must:.1} s after it"
        );
    }
    Ok(())
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: a process that this run started, and that nobody has waited for.
    unsafe { libc::kill(pid, signal) };
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
    fn a_number_is_found_in_an_event() {
        assert_eq!(seq(br#"{"run":"r","seq":1207,"key":3}"#), Some(1207));
        assert_eq!((seq(br#"{"seq":"x"}"#), seq(b"{}")), (None, None));
    }

    #[test]
    fn a_harness_that_forgives_a_stall_is_found() {
        let mut late = Late::default();
        (0..60).for_each(|s| late.add(s, if (10..40).contains(&s) { (40 - s) * 1_000_000 } else { 50_000 }));
        let mut p = Paced { late, last: Duration::ZERO, stalled: Some((10.0, 40.0)) };
        check_stall(&p).unwrap();
        p.late.add(20, 50_000);
        assert!(check_stall(&p).unwrap_err().to_string().contains("due in second 20 was counted as 0.05 s late"));
    }
}
