//! Events for fault tests: a function of the seed and the sequence number alone.
use crate::kafka::{Admin, SendMany};
use anyhow::Result;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where an event must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// In the output topic.
    Event,
    /// In the dead-letter topic, with its original bytes.
    Reject,
    /// Nowhere: a filter drops it.
    Filter,
}

/// What is fed into a job.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the run, in every event: events of another run are foreign.
    pub run: String,
    /// How many events; sequence numbers are `0..events`.
    pub events: u64,
    /// Input partitions. A key is in one of them.
    pub partitions: u32,
    /// After this many events there are twice as many partitions, with keys of their own.
    pub grow_at: Option<u64>,
    /// Seed.
    pub seed: u64,
    /// Different keys.
    pub keys: u32,
    /// Events in a thousand that are broken.
    pub reject: u32,
    /// Events in a thousand that the filter drops.
    pub filter: u32,
    /// Events in a thousand that match a detection.
    pub bad: u32,
    /// Matches of one detection, each with a dedup string of its own, spread evenly: an alert storm.
    pub storm: u64,
    /// Bytes of padding.
    pub padding: usize,
    /// Milliseconds of event time from one event to the next.
    pub step_ms: u64,
}

impl Plan {
    /// A mix with everything in it but a storm.
    pub fn new(run: &str, events: u64, partitions: u32, seed: u64) -> Plan {
        // Five hours of event time: dedup windows of an hour open and close again.
        let step_ms = (5 * 3_600_000 / events.max(1)).max(1);
        let (run, grow_at) = (run.into(), None);
        Plan {
            run,
            events,
            partitions,
            grow_at,
            seed,
            keys: 97,
            reject: 10,
            filter: 20,
            bad: 30,
            storm: 0,
            padding: 100,
            step_ms,
        }
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Sequence number.
    pub seq: u64,
    /// Input partition.
    pub partition: i32,
    /// Key.
    pub key: u32,
    /// Where it must end.
    pub route: Route,
    /// Bytes.
    pub value: Vec<u8>,
}

/// Mixes a number; equal to what `tests/reference/chaos.py` does not need to know.
pub fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The field `check` of an event: what was not made by this plan, or was damaged, does not have it.
pub fn check_of(seed: u64, seq: u64) -> u32 {
    mix(seed ^ mix(seq)) as u32
}

impl Plan {
    /// Partitions at the end.
    pub fn partitions_at_end(&self) -> u32 {
        self.partitions * if self.grow_at.is_some() { 2 } else { 1 }
    }

    /// Where event `seq` must end.
    pub fn route(&self, seq: u64) -> Route {
        let draw = (mix(self.seed.wrapping_add(1) ^ mix(seq)) % 1000) as u32;
        if self.is_storm(seq) {
            Route::Event
        } else if draw < self.reject {
            Route::Reject
        } else if draw < self.reject + self.filter {
            Route::Filter
        } else {
            Route::Event
        }
    }

    fn is_storm(&self, seq: u64) -> bool {
        // Spread evenly, rounded as a line is drawn on a grid.
        self.storm > 0 && (seq + 1) * self.storm / self.events.max(1) > seq * self.storm / self.events.max(1)
    }

    /// Event `seq`.
    pub fn event(&self, seq: u64) -> Event {
        let h = mix(self.seed ^ mix(seq ^ 0xABCD));
        let (route, storm) = (self.route(seq), self.is_storm(seq));
        let grown = self.grow_at.is_some_and(|g| seq >= g);
        // Storm events share a partition: which of them the limiter lets through depends on their order.
        let mut key = if storm { 0 } else { (h % self.keys as u64) as u32 };
        let mut partition = (mix(key as u64) % self.partitions as u64) as i32;
        if grown && !storm {
            // Keys that have been seen stay where they are; new keys use the new partitions too.
            key += self.keys;
            partition = (mix(key as u64) % self.partitions_at_end() as u64) as i32;
        }
        let bad = (mix(h) % 1000) as u32 >= 1000 - self.bad.min(1000);
        let action = match (storm, bad, mix(h ^ 7) % 2) {
            (true, ..) => "storm",
            (_, true, 0) => "login_failed",
            (_, true, _) => "read_secret",
            _ => "ok",
        };
        let ms = seq * self.step_ms;
        let (day, hour, min, s, milli) =
            (1 + ms / 86_400_000, ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        let mut text = String::with_capacity(220 + self.padding);
        let route_name = match route {
            Route::Event => "event",
            Route::Reject => "reject",
            Route::Filter => "filter",
        };
        let _ = write!(
            text,
            "{{\"run\":\"{}\",\"seq\":{seq},\"key\":{key},\"check\":{},\"route\":\"{route_name}\",\
             \"ts\":\"2026-03-{day:02}T{hour:02}:{min:02}:{s:02}.{milli:03}Z\",\"action\":\"{action}\",\
             \"ip\":\"198.51.100.{}\",\"pad\":\"{:x<width$}\"",
            self.run,
            check_of(self.seed, seq),
            mix(h ^ 3) % 256,
            "",
            width = self.padding,
        );
        // A record that was cut off: it says who it is, and is not JSON.
        text.push_str(if route == Route::Reject { ",\"cut" } else { "}" });
        Event { seq, partition, key, route, value: text.into_bytes() }
    }

    /// All events as lines, for the reference and for a file source. Rejected ones are in it.
    pub fn write_lines(&self, path: &Path) -> Result<()> {
        use std::io::Write as _;
        let mut f = std::io::BufWriter::new(std::fs::File::create(path)?);
        for seq in 0..self.events {
            f.write_all(&self.event(seq).value)?;
            f.write_all(b"\n")?;
        }
        Ok(f.flush()?)
    }

    /// How many events take a route.
    pub fn count(&self, route: Route) -> u64 {
        (0..self.events).filter(|s| self.route(*s) == route).count() as u64
    }
}

/// Events are sent together that are due within this time: a wake-up for each would cost more than all else here.
const STEP: Duration = Duration::from_millis(5);
/// At low rates the number of requests would cost the broker more than the records; nobody measures latency there.
const SLOW: (u64, Duration) = (5_000, Duration::from_millis(25));

/// Feeds a plan into a topic at a rate, in a thread of its own. Each record has the header `planned_us`: when it was due,
/// in microseconds since 1970, so that a loader that was held up does not hide delay.
pub struct Loader {
    sent: Arc<AtomicU64>,
    began_us: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Loader {
    /// Start. With rate 0 events come as fast as they are taken.
    pub fn start(bootstrap: &str, topic: &str, plan: &Plan, per_second: u64) -> Loader {
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let began_us = Arc::new(AtomicU64::new(0));
        let (plan, bootstrap, topic) = (plan.clone(), bootstrap.to_string(), topic.to_string());
        let (s, end, began) = (sent.clone(), stop.clone(), began_us.clone());
        let thread = std::thread::spawn(move || load(&plan, &bootstrap, &topic, per_second, (&s, &began), &end));
        Loader { sent, began_us, stop, thread: Some(thread) }
    }
    /// Events handed to the client so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
    /// When the first event was due, in microseconds since 1970; 0 before it was.
    pub fn began_us(&self) -> u64 {
        self.began_us.load(Ordering::Acquire)
    }
    /// Wait until all are in the topic.
    pub fn finish(mut self) -> Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => anyhow::bail!("the loader panicked"),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}

fn load(
    plan: &Plan,
    bootstrap: &str,
    topic: &str,
    rate: u64,
    (sent, began): (&AtomicU64, &AtomicU64),
    stop: &AtomicBool,
) -> Result<()> {
    let step = if (1..=SLOW.0).contains(&rate) { SLOW.1 } else { STEP };
    let mut producer = SendMany::lingering(bootstrap, topic, step)?;
    let (start, epoch) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64);
    began.store(epoch, Ordering::Release);
    for seq in 0..plan.events {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if plan.grow_at == Some(seq) {
            producer.flush()?;
            Admin::new(bootstrap).grow(topic, plan.partitions_at_end() as i32)?;
            // The old one would learn of the new partitions only when its metadata is due.
            producer = SendMany::lingering(bootstrap, topic, step)?;
        }
        let due = if rate == 0 { start.elapsed() } else { Duration::from_micros(seq * 1_000_000 / rate) };
        if let Some(wait) = due.checked_sub(start.elapsed()).filter(|w| *w > step) {
            producer.poll();
            std::thread::sleep(wait);
        }
        let e = plan.event(seq);
        let planned = (epoch + due.as_micros() as u64).to_string();
        producer.send(e.partition, None, &e.value, &[("planned_us", planned.as_bytes())])?;
        sent.store(seq + 1, Ordering::Relaxed);
    }
    producer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_in_its_partition_and_every_route_is_taken() {
        let mut plan = Plan::new("r", 20_000, 4, 7);
        plan.grow_at = Some(10_000);
        plan.storm = 500;
        let mut home = std::collections::BTreeMap::new();
        let (mut storms, mut partitions) = (0, std::collections::BTreeSet::new());
        for seq in 0..plan.events {
            let e = plan.event(seq);
            assert_eq!(*home.entry(e.key).or_insert(e.partition), e.partition);
            assert!(seq >= 10_000 || e.partition < 4);
            partitions.insert(e.partition);
            let json = serde_json::from_slice::<serde_json::Value>(&e.value);
            assert_eq!(json.is_err(), e.route == Route::Reject);
            storms += json.is_ok_and(|j| j["action"] == "storm") as u64;
        }
        assert_eq!((storms, partitions.len()), (500, 8));
        for (route, share) in [(Route::Event, 970), (Route::Reject, 10), (Route::Filter, 20)] {
            let n = plan.count(route);
            assert!(n.abs_diff(20 * share) < 100, "{route:?}: {n}");
        }
    }
}
