//! A reader that runs beside the job and sees what a consumer sees.
use super::seen::{Output, Seen};
use super::verdict::Logs;
use crate::kafka::{Admin, Message, read_all};
use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is committed is seen by a running reader within this time.
const UNSEEN_MAX: Duration = Duration::from_secs(60);

/// A client that has brought nothing for this long is replaced: librdkafka never reads a partition again that had no leader
/// for a moment, if it learns of the next one in an unlucky order. What a reader sees must not depend on that.
const RENEW: Duration = Duration::from_secs(5);

/// How long a broker may take to say where a partition ends.
const ANSWER: Duration = Duration::from_secs(5);

/// The output topics of a job.
pub type Topics = Vec<(Output, String)>;

/// A running reader: `read_committed`, from the first offset.
pub struct LiveReader {
    shared: Arc<Shared>,
    bootstrap: String,
    topics: Topics,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    logs: Mutex<Logs>,
    at: Mutex<HashMap<(Output, i32), i64>>,
    count: AtomicU64,
    newest: Mutex<Option<Instant>>,
    stop: AtomicBool,
}

impl LiveReader {
    /// Start to read. The topics must be there.
    pub fn start(bootstrap: &str, topics: &[(Output, String)]) -> Result<LiveReader> {
        let (admin, mut next) = (Admin::new(bootstrap), HashMap::new());
        for (_, topic) in topics {
            for p in 0..admin.partitions(topic)? {
                next.insert((topic.clone(), p), 0);
            }
        }
        let first = client(bootstrap, &next)?;
        let shared = Arc::new(Shared::default());
        let (s, names, hosts) = (shared.clone(), topics.to_vec(), bootstrap.to_string());
        let thread = std::thread::spawn(move || read(&hosts, first, next, &names, &s));
        Ok(LiveReader { shared, bootstrap: bootstrap.into(), topics: topics.to_vec(), thread: Some(thread) })
    }

    /// Records seen so far, of all outputs.
    pub fn count(&self) -> u64 {
        self.shared.count.load(Ordering::Relaxed)
    }
    /// Records of one output seen so far.
    pub fn count_of(&self, output: Output) -> u64 {
        lock(&self.shared.logs).get(&output).map_or(0, |v| v.len() as u64)
    }
    /// When the newest record came.
    pub fn newest(&self) -> Option<Instant> {
        *lock(&self.shared.newest)
    }
    /// For somebody who waits in vain: how far each partition is written, committed and seen. Where a transaction stays open, the
    /// broker hides what is behind its first record.
    pub fn ends(&self) -> String {
        let seen = lock(&self.shared.at).clone();
        let end = |isolation: &str, topic: &str, p: i32| -> Result<i64> {
            let client: BaseConsumer =
                crate::kafka::settings(&self.bootstrap).set("isolation.level", isolation).create()?;
            Ok(client.fetch_watermarks(topic, p, ANSWER)?.1)
        };
        let admin = Admin::new(&self.bootstrap);
        let mut out = String::new();
        for (output, topic) in &self.topics {
            for p in 0..admin.partitions(topic).unwrap_or(0) {
                let told = |isolation| match end(isolation, topic, p) {
                    Ok(n) => n.to_string(),
                    Err(e) => format!("? ({e:#})"),
                };
                let (written, committed) = (told("read_uncommitted"), told("read_committed"));
                let at = seen.get(&(*output, p)).map_or(0, |at| at + 1);
                let hidden = if written == committed { "" } else { "  A TRANSACTION IS OPEN" };
                out += &format!("{topic}[{p}]: written to {written}, committed to {committed}, seen to {at}{hidden}\n");
            }
        }
        out
    }
    /// Wait until more than `count` records were seen; how long it took.
    pub fn progress(&self, count: u64, limit: Duration) -> Result<Duration> {
        let at = Instant::now();
        while self.count() <= count {
            ensure!(at.elapsed() < limit, "no output for {limit:?}: {count} records so far");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(at.elapsed())
    }

    /// Read everything once more, wait until the running reader has seen as much, and give both logs: running, last.
    pub fn finish(&mut self) -> Result<(Logs, Logs)> {
        let mut last = Logs::new();
        for (output, topic) in &self.topics {
            let read = read_all(&self.bootstrap, topic, true).with_context(|| format!("read {topic} at the end"))?;
            last.insert(*output, read.iter().map(|m| Seen::of(*output, m)).collect());
        }
        let mut ends: HashMap<(Output, i32), i64> = HashMap::new();
        for (output, records) in &last {
            for s in records {
                ends.insert((*output, s.partition), s.offset);
            }
        }
        let began = Instant::now();
        // What it does not see in time is missing in its log, and the verdict says so.
        while began.elapsed() < UNSEEN_MAX && !self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            let at = lock(&self.shared.at);
            if ends.iter().all(|(k, end)| at.get(k).is_some_and(|a| a >= end)) {
                break;
            }
            drop(at);
            std::thread::sleep(Duration::from_millis(10));
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result?,
            _ => bail!("the running reader panicked"),
        }
        let live = std::mem::take(&mut *lock(&self.shared.logs));
        Ok((live, last))
    }
}

impl Drop for LiveReader {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}

/// A client that reads partitions from these offsets on.
fn client(bootstrap: &str, next: &HashMap<(String, i32), i64>) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = crate::kafka::settings(bootstrap)
        .set("group.id", "millstream-live-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "50")
        // A running reader that was reset would skip or repeat, and that is for the verdict to say.
        .set("auto.offset.reset", "error")
        .create()?;
    let mut list = TopicPartitionList::new();
    for ((topic, p), offset) in next {
        list.add_partition_offset(topic, *p, Offset::Offset(*offset))?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

fn read(
    bootstrap: &str,
    mut consumer: BaseConsumer,
    mut next: HashMap<(String, i32), i64>,
    topics: &[(Output, String)],
    shared: &Shared,
) -> Result<()> {
    let outputs: HashMap<&str, Output> = topics.iter().map(|(o, t)| (t.as_str(), *o)).collect();
    // When each partition last brought something, or was last begun anew.
    let mut heard: HashMap<(String, i32), Instant> = next.keys().map(|k| (k.clone(), Instant::now())).collect();
    while !shared.stop.load(Ordering::Relaxed) {
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(m)) => {
                let Some(output) = outputs.get(m.topic()).copied() else { continue };
                lock(&shared.logs).entry(output).or_default().push(Seen::of(output, &Message::of(&m)));
                lock(&shared.at).insert((output, m.partition()), m.offset());
                let (now, place) = (Instant::now(), (m.topic().to_string(), m.partition()));
                *lock(&shared.newest) = Some(now);
                shared.count.fetch_add(1, Ordering::Relaxed);
                next.insert(place.clone(), m.offset() + 1);
                heard.insert(place, now);
            }
            // Brokers come and go in these tests; only what is wrong with the data ends the reader.
            Some(Err(e)) if is_outage(&e) => {}
            Some(Err(e)) => return Err(e).context("the running reader"),
            None => {
                if heard.values().any(|at| at.elapsed() >= RENEW) {
                    consumer = client(bootstrap, &next)?;
                    heard.values_mut().for_each(|at| *at = Instant::now());
                }
            }
        }
    }
    Ok(())
}

fn is_outage(e: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as C;
    let Some(code) = e.rdkafka_error_code() else { return false };
    !matches!(code, C::AutoOffsetReset | C::OffsetOutOfRange | C::TopicAuthorizationFailed | C::UnknownTopicOrPartition)
}
