//! What is in the topics: a thread that keeps partitions and their ends fresh, and shows a consumer group how far the
//! source is. The coordinator only reads the [`Picture`]; a slow broker never holds it up.
use crate::client::{Link, RENEW};
use crate::settings::{Config, Start, Topics};
use rdkafka::bindings as ffi;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Most partitions of one source.
const MAX_PARTITIONS: usize = 10_000;
/// How long one answer of a broker is waited for.
const ANSWER: Duration = Duration::from_secs(5);
/// How long one partition alone is waited for, when the brokers do not answer for all at once.
const ANSWER_ALONE: Duration = Duration::from_millis(500);
/// Requests may fail for this long before it is called an outage.
const HICCUP: Duration = Duration::from_secs(3);
/// How long a partition that did not answer is left out.
const LEFT_OUT: Duration = Duration::from_secs(5);
/// Pause after a failed request.
const PAUSE: Duration = Duration::from_millis(200);
/// How long brokers may refuse us, or not know a topic, before that is taken for the truth.
const BELIEVED: Duration = Duration::from_secs(10);
/// How often topics are looked for while one that must be there is not.
const INCOMPLETE: Duration = Duration::from_millis(500);
/// How often the group is told, at most.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How long the last commit may take.
const LAST_COMMIT: Duration = Duration::from_secs(2);
/// Ends remembered per partition, to tell the age of what is not finished.
const MAX_MARKS: usize = 256;
/// A new end is remembered when this part of the time since the oldest one has passed: an age is right to a few percent.
const MARKS_PER_SPAN: i64 = 50;
/// Events of the client's queue handled in a row.
const MAX_EVENTS: usize = 1000;

/// Topic and partition.
pub(crate) type Key = (Arc<str>, i32);

/// What is known of a partition.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// First offset that is still there, not older than the interval of discovery.
    pub(crate) low: u64,
    /// Offset behind the last record that may be read.
    pub(crate) end: u64,
    /// The end when the partition was first seen.
    pub(crate) first_end: u64,
    /// Where reading starts by the time asked for.
    pub(crate) by_time: Option<u64>,
    /// `(end, first seen at)`, oldest first.
    marks: VecDeque<(u64, i64)>,
}

impl Seen {
    /// A partition that ends here.
    pub(crate) fn ending(end: u64) -> Seen {
        Seen { first_end: end, ..Seen::default() }
    }

    /// The end is now here.
    pub(crate) fn reaches(&mut self, end: u64, now_ms: i64) {
        // Closer marks than this would say nothing about the age of the oldest.
        let step = self.marks.front().map_or(0, |(_, at)| (now_ms - at) / MARKS_PER_SPAN);
        if self.marks.back().is_none_or(|(e, at)| *e < end && now_ms - at >= step) {
            if self.marks.len() == MAX_MARKS {
                let mut nth = 0;
                self.marks.retain(|_| {
                    nth += 1;
                    nth % 2 == 1
                });
            }
            self.marks.push_back((end, now_ms));
        }
        self.end = end;
    }

    /// When the end first passed an offset. Forgets what lies before it.
    pub(crate) fn passed(&mut self, offset: u64) -> Option<i64> {
        while self.marks.front().is_some_and(|(e, _)| *e <= offset) {
            self.marks.pop_front();
        }
        self.marks.front().map(|(_, at)| *at)
    }
}

/// Shared between the thread and the source.
#[derive(Default)]
pub(crate) struct Picture {
    /// Partitions that have been looked at at least once.
    pub(crate) parts: BTreeMap<Key, Seen>,
    /// Every topic has been looked at.
    pub(crate) complete: bool,
    /// What no waiting will mend: ends the run.
    pub(crate) problem: Option<String>,
    /// Offsets for the group that it has not been told.
    pub(crate) untold: BTreeMap<Key, u64>,
}

/// See [`Picture`].
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Picture>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Picture> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's side.
pub(crate) struct Watcher {
    config: Arc<Config>,
    id: String,
    /// Subject of messages: "source `x`".
    what: String,
    group: String,
    once: bool,
    shared: Shared,
    link: Link,
    consumer: BaseConsumer<Link>,
    left_out: BTreeMap<Key, Instant>,
    discover_at: Instant,
    failing: Option<Instant>,
    /// Since when this client has not told the end of every partition.
    partial: Option<Instant>,
    unknown: BTreeMap<Arc<str>, Instant>,
    /// It was said that no topic matches the pattern.
    lonely: bool,
    told_at: Instant,
}

fn client(config: &Config, id: &str, group: &str, link: &Link) -> KafkaResult<BaseConsumer<Link>> {
    let mut c = config.connection.config(&format!("{id}-watch"));
    c.set("group.id", group);
    c.set("enable.auto.commit", "false");
    c.set("isolation.level", config.isolation());
    c.create_with_context(link.clone())
}

impl Watcher {
    /// Make the client. Nothing is sent before [`Watcher::run`].
    pub(crate) fn new(config: Arc<Config>, id: &str, group: &str, once: bool, shared: Shared) -> KafkaResult<Watcher> {
        let what = format!("source `{id}`");
        let link = config.connection.link(&what);
        let consumer = client(&config, id, group, &link)?;
        let now = Instant::now();
        Ok(Watcher {
            config,
            id: id.into(),
            what,
            group: group.into(),
            once,
            shared,
            link,
            consumer,
            left_out: BTreeMap::new(),
            discover_at: now,
            failing: None,
            partial: None,
            unknown: BTreeMap::new(),
            lonely: false,
            told_at: now,
        })
    }

    /// Until the other end of `stop` is dropped.
    pub(crate) fn run(mut self, stop: Receiver<()>) {
        let mut pause = Duration::ZERO;
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(pause) {
            self.serve();
            pause = match self.look() {
                Ok(()) => {
                    self.link.reached();
                    self.failing = None;
                    self.tell();
                    Duration::from_millis(self.config.poll_ms)
                }
                Err(e) => {
                    self.failed(&e);
                    PAUSE
                }
            };
            self.renew();
        }
        self.tell_last();
    }

    /// Logs, errors, tokens and answers to commits come through the client's queue.
    fn serve(&self) {
        for _ in 0..MAX_EVENTS {
            if self.consumer.poll(Duration::ZERO).is_none() {
                break;
            }
        }
    }

    /// Replace a client that has not told the end of every partition for a while.
    fn renew(&mut self) {
        if self.failing.is_none() && self.left_out.is_empty() {
            self.partial = None;
            return;
        }
        if self.partial.get_or_insert_with(Instant::now).elapsed() >= RENEW {
            self.partial = None;
            // Settings that were accepted once are accepted again.
            if let Ok(c) = client(&self.config, &self.id, &self.group, &self.link) {
                self.consumer = c;
                self.left_out.clear();
            }
        }
    }

    fn failed(&mut self, e: &KafkaError) {
        let since = *self.failing.get_or_insert_with(Instant::now);
        if since.elapsed() >= HICCUP {
            self.link.waiting("see what is in its topics");
        }
        if since.elapsed() < BELIEVED {
            return;
        }
        if let Some(why) = self.link.refused() {
            self.give_up(format!("the brokers at {} refuse us: {why}; see `security`", self.config.connection.brokers));
        } else if e.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
            self.give_up("we are not allowed to describe its topics; grant Describe and Read on them".into());
        }
    }

    fn give_up(&self, why: String) {
        self.shared.lock().problem.get_or_insert(format!("{}: {why}", self.what));
    }

    fn look(&mut self) -> KafkaResult<()> {
        let frozen = self.once && self.shared.lock().complete;
        if Instant::now() >= self.discover_at && !frozen {
            self.discover()?;
            let every = Duration::from_millis(self.config.discover_ms);
            let every = if self.shared.lock().complete { every } else { every.min(INCOMPLETE) };
            self.discover_at = Instant::now() + every;
        } else if !frozen {
            let known: Vec<Key> = self.shared.lock().parts.keys().cloned().collect();
            let ends = self.list(&known, Offset::End)?;
            let mut p = self.shared.lock();
            let now = now_ms();
            for (key, end) in ends {
                if let (Some(seen), Some(end)) = (p.parts.get_mut(&key), end) {
                    seen.reaches(end, now);
                }
            }
        }
        Ok(())
    }

    /// Topics and partitions, with beginning and end.
    fn discover(&mut self) -> KafkaResult<()> {
        let found = self.partitions()?;
        if found.len() > MAX_PARTITIONS {
            self.give_up(format!("more than {MAX_PARTITIONS} partitions; use several sources"));
            return Ok(());
        }
        let all: Vec<Key> = found.into_iter().collect();
        // The end first: a beginning that is taken later cannot lie before one that a record was lost to.
        let ends = self.list(&all, Offset::End)?;
        let lows = self.list(&all, Offset::Beginning)?;
        let times = match self.config.start {
            Start::Timestamp(ms) if !self.shared.lock().complete => self.list(&all, Offset::Offset(ms))?,
            _ => BTreeMap::new(),
        };
        let mut p = self.shared.lock();
        let now = now_ms();
        for key in all {
            let (Some(Some(end)), Some(Some(low))) = (ends.get(&key), lows.get(&key)) else { continue };
            let seen = p.parts.entry(key.clone()).or_insert_with(|| Seen::ending(*end));
            seen.low = *low;
            seen.reaches(*end, now);
            seen.by_time = seen.by_time.or(times.get(&key).map(|t| t.unwrap_or(*end)));
        }
        p.complete |= self.unknown.is_empty() && self.left_out.is_empty() && !p.parts.is_empty();
        Ok(())
    }

    /// Every partition there is of our topics.
    fn partitions(&mut self) -> KafkaResult<BTreeSet<Key>> {
        let config = self.config.clone();
        let mut found = BTreeSet::new();
        match &config.topics {
            Topics::Named(names) => {
                for name in names {
                    let m = self.consumer.fetch_metadata(Some(name), ANSWER)?;
                    match m.topics().iter().find(|t| t.name() == &**name) {
                        Some(t) => self.topic(name, t, &mut found),
                        None => self.unknown_topic(name),
                    }
                }
            }
            Topics::Pattern(pattern) => {
                let m = self.consumer.fetch_metadata(None, ANSWER)?;
                for t in m.topics().iter().filter(|t| pattern.is_match(t.name())) {
                    self.topic(&t.name().into(), t, &mut found);
                }
                if found.is_empty() && self.once {
                    self.unknown_topic(&pattern.as_str().into());
                } else if found.is_empty() && !std::mem::replace(&mut self.lonely, true) {
                    eprintln!("{}: no topic matches its pattern yet; waiting for one", self.what);
                }
            }
        }
        Ok(found)
    }

    fn topic(&mut self, name: &Arc<str>, t: &MetadataTopic, found: &mut BTreeSet<Key>) {
        match t.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                self.unknown_topic(name);
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                self.give_up(format!("we may not read the topic `{name}`; grant Describe and Read on it"));
            }
            _ if t.partitions().is_empty() => self.unknown_topic(name),
            _ => {
                self.unknown.remove(name);
                found.extend(t.partitions().iter().map(|p| (name.clone(), p.id())));
            }
        }
    }

    /// A topic that is not there. Brokers hear of a new topic one after the other, so it is asked for again first.
    fn unknown_topic(&mut self, name: &Arc<str>) {
        let since = *self.unknown.entry(name.clone()).or_insert_with(Instant::now);
        if since.elapsed() >= BELIEVED {
            let known = self.shared.lock().parts.keys().any(|(t, _)| t == name);
            let (was, then) = if known {
                ("is gone", "if that was meant, take it out of the settings")
            } else {
                ("does not exist", "create it, or correct the settings")
            };
            self.give_up(format!("the topic `{name}` {was} at {}; {then}", self.config.connection.brokers));
        }
    }

    /// Offsets of many partitions, with one request to each broker. `None`: there is no such offset. A partition that
    /// cannot be asked is left out of the answer, so that one without a leader does not stop the others.
    fn list(&mut self, keys: &[Key], at: Offset) -> KafkaResult<BTreeMap<Key, Option<u64>>> {
        let now = Instant::now();
        self.left_out.retain(|_, until| *until > now);
        let asked: Vec<Key> = keys.iter().filter(|k| !self.left_out.contains_key(*k)).cloned().collect();
        if asked.is_empty() {
            return if keys.is_empty() { Ok(BTreeMap::new()) } else { Err(no_leader()) };
        }
        match self.ask(&asked, at, ANSWER) {
            Ok(found) => Ok(found),
            Err(e) => {
                let long = self.failing.is_some_and(|since| since.elapsed() >= HICCUP);
                if !long || asked.len() < 2 {
                    return Err(e);
                }
                self.leave_out(&asked);
                Err(e)
            }
        }
    }

    /// Find the partitions that do not answer, so that the next request leaves them out.
    fn leave_out(&mut self, keys: &[Key]) {
        let began = Instant::now();
        for key in keys {
            if began.elapsed() > ANSWER {
                break;
            }
            if self.ask(std::slice::from_ref(key), Offset::End, ANSWER_ALONE).is_err() {
                self.left_out.insert(key.clone(), Instant::now() + LEFT_OUT);
            }
        }
    }

    fn ask(&self, keys: &[Key], at: Offset, wait: Duration) -> KafkaResult<BTreeMap<Key, Option<u64>>> {
        let mut list = TopicPartitionList::with_capacity(keys.len());
        for (topic, partition) in keys {
            list.add_partition_offset(topic, *partition, at)?;
        }
        let answer = self.consumer.offsets_for_times(list, wait)?;
        let mut by_name: BTreeMap<(&str, i32), Option<u64>> = BTreeMap::new();
        let elements = answer.elements();
        for e in &elements {
            e.error()?;
            by_name.insert((e.topic(), e.partition()), e.offset().to_raw().and_then(|o| u64::try_from(o).ok()));
        }
        Ok(keys.iter().filter_map(|k| Some((k.clone(), *by_name.get(&(&*k.0, k.1))?))).collect())
    }

    /// Show the group how far we are.
    fn tell(&mut self) {
        if self.told_at.elapsed() >= COMMIT_EVERY {
            self.told_at = Instant::now();
            self.commit();
        }
    }

    fn commit(&mut self) -> bool {
        let untold = std::mem::take(&mut self.shared.lock().untold);
        if untold.is_empty() {
            return false;
        }
        let mut list = TopicPartitionList::with_capacity(untold.len());
        for ((topic, partition), offset) in untold {
            // An offset fits: it came from the broker.
            let _ = list.add_partition_offset(&topic, partition, Offset::Offset(offset as i64));
        }
        match commit_async(&self.consumer, &list) {
            RDKafkaErrorCode::NoError => true,
            e => {
                eprintln!("{}: the group `{}` was not told how far it is: {e}", self.what, self.group);
                false
            }
        }
    }

    fn tell_last(&mut self) {
        let before = self.link.commits_answered();
        if !self.commit() {
            return;
        }
        let began = Instant::now();
        while self.link.commits_answered() == before && began.elapsed() < LAST_COMMIT {
            self.consumer.poll(Duration::from_millis(10));
        }
    }
}

/// Commit to the client's own queue: the answer comes with the other events. The library's plain asynchronous commit
/// tells nobody of it.
fn commit_async(consumer: &BaseConsumer<Link>, list: &TopicPartitionList) -> RDKafkaErrorCode {
    let rk = consumer.client().native_ptr();
    // SAFETY: `rk` and `list` live through the call, which copies the list and keeps a reference of its own to the queue;
    // ours is given back. A queue that is null would make the call wait, so it is not made.
    unsafe {
        let queue = ffi::rd_kafka_queue_get_consumer(rk);
        if queue.is_null() {
            return RDKafkaErrorCode::UnknownGroup;
        }
        let code = ffi::rd_kafka_commit_queue(rk, list.ptr(), queue, None, std::ptr::null_mut());
        ffi::rd_kafka_queue_destroy(queue);
        code.into()
    }
}

fn no_leader() -> KafkaError {
    KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_what_is_not_finished() {
        let mut s = Seen::default();
        s.reaches(10, 1000);
        s.reaches(10, 1100);
        s.reaches(20, 2000);
        assert_eq!(s.passed(5), Some(1000));
        assert_eq!(s.passed(10), Some(2000));
        assert_eq!(s.passed(20), None);
        for i in 0..100_000u64 {
            s.reaches(21 + i, 25 * i as i64); // a record every 25 ms
        }
        assert!(s.marks.len() <= MAX_MARKS);
        assert_eq!(s.passed(20), Some(0));
        for done in [1_000, 20_000, 50_000, 90_000] {
            let (age, right) = (2_500_000 - s.passed(20 + done).unwrap(), 2_500_000 - 25 * done as i64);
            assert!(age <= right && age * 100 >= right * 70, "{age} {right}");
        }
    }
}
