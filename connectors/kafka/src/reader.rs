//! Worker side of the `kafka` source: reads a split exactly as it was logged.
//!
//! One client per worker; its partitions are started one by one and read ahead, within the `memory` of a worker.
//! Splits of a partition usually follow each other, so a reader goes on where it stopped; otherwise it starts the
//! partition anew at the split's first offset. A split is complete when something at or behind its end was seen: a
//! record, the end of the partition, or the position behind a transaction's marker.
//!
//! While brokers are away a reader waits. What cannot be read any more, because the topic has lost it, is an error:
//! other records of the same epoch may already count somewhere.
use crate::client::{Link, RENEW};
use crate::discover::Key;
use crate::queue::{Item, Stream};
use crate::settings::Config;
use crate::values;
use model::{Origin, Packet, Reader, Result, Split};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the queue is waited for before the reader looks around.
const LOOK: Duration = Duration::from_millis(20);
/// Waiting longer than this is called an outage.
const HICCUP: Duration = Duration::from_secs(3);
/// How long brokers may refuse us, or a partition may end before the split does, before that is taken for the truth.
const BELIEVED: Duration = Duration::from_secs(30);
/// How long a broker may take to say where a partition ends.
const ANSWER: Duration = Duration::from_secs(5);
/// A partition that was not read for this long is let go: another worker has it now.
const UNUSED: Duration = Duration::from_secs(600);
/// Partitions the memory is divided by at first; doubled when there are more.
const FIRST_PARTITIONS: usize = 4;
/// Bounds of what one fetch brings of a partition (compressed).
const FETCH: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 20;
/// Bounds of the number of records that are read ahead in a partition. Each costs some hundred bytes besides its own.
const AHEAD: std::ops::RangeInclusive<u64> = 1000..=100_000;
/// Record size that the number of records is reckoned with.
const SMALL_RECORD: u64 = 1024;
/// How long a broker may wait for new records before it answers a fetch, milliseconds. The end of a partition is told
/// with such an answer.
const FETCH_WAIT_MS: u64 = 100;
/// Pause of a partition whose queue was full, milliseconds (by default a second, which stops the flow).
const FULL_PAUSE_MS: u64 = 5;
/// Pause after a failed fetch, milliseconds.
const ERROR_PAUSE_MS: u64 = 100;
/// Events of the client's own queue handled in a row.
const MAX_EVENTS: usize = 1000;

/// See the module.
pub(crate) struct KafkaReader {
    config: Arc<Config>,
    /// Subject of messages: "source `x`".
    what: String,
    id: Arc<str>,
    client: Option<Client>,
}

/// The client and what it has started.
struct Client {
    open: BTreeMap<u32, Open>,
    /// Partitions the memory is divided by.
    room: usize,
    link: Link,
    consumer: Arc<BaseConsumer<Link>>,
}

/// A started partition.
struct Open {
    stream: Stream,
    /// The split that can be read without starting anew begins here.
    next: u64,
    /// Nothing is left below this offset, although no record there was handed out.
    clear: u64,
    used: Instant,
}

/// Topic and partition of a split, from its name `topic[partition]`.
pub(crate) fn place(name: &str) -> Option<Key> {
    let (topic, partition) = name.strip_suffix(']')?.rsplit_once('[')?;
    Some((topic.into(), partition.parse().ok().filter(|p| *p >= 0)?))
}

/// Name of a partition, as splits and rejects have it.
pub(crate) fn place_name(topic: &str, partition: i32) -> Arc<str> {
    format!("{topic}[{partition}]").into()
}

/// `queued.max.messages.kbytes` and its kin, for `room` partitions that share `memory` bytes.
fn limits(c: &mut ClientConfig, memory: u64, room: usize) {
    let each = memory / room as u64;
    // A fetch comes on top of a queue that is nearly full, and is larger when it is unpacked.
    let fetch = (each / 8).clamp(*FETCH.start(), *FETCH.end());
    c.set("queued.max.messages.kbytes", (each / 2 / 1024).max(64).to_string());
    c.set("queued.min.messages", (each / 2 / SMALL_RECORD).clamp(*AHEAD.start(), *AHEAD.end()).to_string());
    c.set("fetch.message.max.bytes", fetch.to_string());
    c.set("fetch.max.bytes", (memory / 4).clamp(1 << 20, 50 << 20).to_string());
}

impl KafkaReader {
    pub(crate) fn new(config: Arc<Config>, id: Arc<str>) -> KafkaReader {
        KafkaReader { config, what: format!("source `{id}`"), id, client: None }
    }

    fn connect(&self, room: usize) -> Result<Client> {
        let mut c = self.config.connection.config(&format!("{}-read", self.id));
        c.set("enable.auto.commit", "false");
        c.set("auto.commit.enable", "false");
        c.set("enable.auto.offset.store", "false");
        c.set("auto.offset.reset", "error");
        c.set("enable.partition.eof", "true");
        c.set("check.crcs", "true");
        c.set("isolation.level", self.config.isolation());
        c.set("fetch.wait.max.ms", FETCH_WAIT_MS.to_string());
        c.set("fetch.queue.backoff.ms", FULL_PAUSE_MS.to_string());
        c.set("fetch.error.backoff.ms", ERROR_PAUSE_MS.to_string());
        limits(&mut c, self.config.memory, room);
        let link = self.config.connection.link(&self.what);
        let consumer = c
            .create_with_context(link.clone())
            .map_err(|e| format!("{}: cannot make a client: {e}; see `options` and `security`", self.what))?;
        Ok(Client { open: BTreeMap::new(), room, link, consumer: Arc::new(consumer) })
    }

    /// The partition of a split, ready to hand out what is at an offset and behind.
    fn open(&mut self, split: &Split, from: u64, key: &Key) -> Result<&mut Client> {
        let room = self.client.as_ref().map_or(FIRST_PARTITIONS, |c| c.room);
        let open = self.client.as_ref().map_or(0, |c| c.open.len());
        let known = self.client.as_ref().is_some_and(|c| c.open.contains_key(&split.partition));
        let mut client = match self.client.take() {
            Some(c) if known || open < room => c,
            // More partitions than the memory was divided by: what was read ahead is given up, and read again.
            Some(c) => {
                drop(c);
                self.connect(room * 2)?
            }
            None => self.connect(room)?,
        };
        client.open.retain(|p, o| *p == split.partition || o.used.elapsed() < UNUSED);
        if client.open.get(&split.partition).is_none_or(|o| o.next != from) {
            // Stopped before it is started again: a partition has one queue.
            client.open.remove(&split.partition);
            let stream = Stream::start(&client.consumer, &key.0, key.1, from)?;
            let o = Open { stream, next: from, clear: from, used: Instant::now() };
            client.open.insert(split.partition, o);
        }
        Ok(self.client.insert(client))
    }
}

impl Reader for KafkaReader {
    /// A batch at a time: what came in since the last poll of a partition is one split, however much that is.
    fn read_part(
        &mut self,
        split: &Split,
        mut from: u64,
        origin: &Arc<Origin>,
        out: &mut dyn FnMut(Packet),
    ) -> Result<u64> {
        let labelled = self.config.label.clone().map(|label| Arc::new(Origin { label, ..Origin::clone(origin) }));
        let mut out = stream::Batcher::new(split, labelled.as_ref().unwrap_or(origin), out).in_runs(split.to - from);
        if split.from == split.to {
            return Ok(split.to); // says where a partition starts
        }
        if split.detail.get("lost").is_some() {
            let why = format!(
                "{} offsets from {} on were deleted by the topic's retention before they were read",
                split.to - split.from,
                split.from
            );
            out.reject((split.from, 0), "records_lost", why, b"", 0);
            return Ok(split.to);
        }
        let key = place(&split.name).ok_or_else(|| format!("`{}` is not a topic[partition]", split.name))?;
        let (what, config) = (self.what.clone(), self.config.clone());
        let mut waited = Waited::default();
        loop {
            let client = self.open(split, from, &key)?;
            let (link, consumer) = (client.link.clone(), client.consumer.clone());
            let Some(open) = client.open.get_mut(&split.partition) else { return Err("no such partition".into()) };
            let mut wait = Wait::new(&what, split, &key, link, consumer, waited);
            let read = each(open, split, from, &mut wait, |offset, value| {
                values::events(value, offset, &config, &mut out);
                !out.nearly_full()
            });
            let stuck = wait.stuck();
            waited = wait.waited;
            match read {
                Ok(next) if stuck => {
                    self.client = None;
                    from = next;
                }
                Ok(next) => {
                    out.flush();
                    return Ok(next);
                }
                Err(e) => {
                    // Whatever is in the queue belongs to nobody now.
                    client.open.remove(&split.partition);
                    return Err(e);
                }
            }
        }
    }
}

/// Every record of a split from an offset on, in order, until `take` says that it is enough. Gives the offset to go on from;
/// if `wait` is stuck there, the client is to be replaced.
fn each(
    open: &mut Open,
    split: &Split,
    from: u64,
    wait: &mut Wait,
    mut take: impl FnMut(u64, Option<&[u8]>) -> bool,
) -> Result<u64> {
    let mut next = from.max(open.clear);
    while next < split.to {
        match open.stream.peek(LOOK) {
            Some(Item::Record { offset, .. }) if offset < next => {
                return Err(format!("the broker sent offset {offset} after {next} was due").into());
            }
            // Belongs to the next split.
            Some(Item::Record { offset, .. }) if offset >= split.to => {
                open.clear = offset;
                next = split.to;
                break;
            }
            Some(Item::Record { offset, value }) => {
                let more = take(offset, value);
                next = offset + 1;
                open.stream.pop();
                wait.flows();
                if !more {
                    break;
                }
            }
            Some(Item::End(offset)) => {
                next = next.max(offset);
                open.clear = next;
                open.stream.pop();
                wait.ends_at(offset);
            }
            Some(Item::Failed(code, text)) => {
                open.stream.pop();
                wait.failed(code, &text, next)?;
            }
            None => match open.stream.position() {
                Some(at) if at > next => {
                    next = at;
                    open.clear = at;
                }
                _ => wait.look()?,
            },
        }
        if wait.stuck() {
            return Ok(next);
        }
    }
    wait.flows();
    next = next.min(split.to);
    (open.next, open.used) = (next, Instant::now());
    Ok(next)
}

/// Waiting for records that must be there.
struct Wait<'a> {
    what: &'a str,
    split: &'a Split,
    key: &'a Key,
    link: Link,
    consumer: Arc<BaseConsumer<Link>>,
    began: Instant,
    waited: Waited,
}

/// What is known of the waiting, also when the client is replaced.
#[derive(Clone, Copy, Default)]
struct Waited {
    since: Option<Instant>,
    /// The partition seems to end here, before the split does.
    ends: Option<(u64, Instant)>,
    told: bool,
}

impl<'a> Wait<'a> {
    fn new(
        what: &'a str,
        split: &'a Split,
        key: &'a Key,
        link: Link,
        consumer: Arc<BaseConsumer<Link>>,
        waited: Waited,
    ) -> Wait<'a> {
        let w = Wait { what, split, key, link, consumer, began: Instant::now(), waited };
        w.serve();
        w
    }

    /// This client has brought nothing for too long.
    fn stuck(&self) -> bool {
        self.waited.since.is_some_and(|since| since.max(self.began).elapsed() >= RENEW)
    }

    /// Logs, errors and tokens come through the client's own queue.
    fn serve(&self) {
        for _ in 0..MAX_EVENTS {
            if self.consumer.poll(Duration::ZERO).is_none() {
                break;
            }
        }
    }

    fn flows(&mut self) {
        self.waited.ends = None;
        if self.waited.since.take().is_some() {
            self.waited.told = false;
            self.link.reached();
        }
    }

    fn ends_at(&mut self, offset: u64) {
        // A client that was replaced says the same once more.
        if offset < self.split.to && self.waited.ends.is_none_or(|(end, _)| end != offset) {
            self.waited.ends = Some((offset, Instant::now()));
        }
    }

    /// Nothing has come for a while.
    fn look(&mut self) -> Result<()> {
        self.serve();
        let since = *self.waited.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= HICCUP && !self.waited.told {
            self.waited.told = true;
            self.link.waiting(&format!("read {} up to offset {}", self.split.name, self.split.to));
        }
        if since.elapsed() < BELIEVED {
            return Ok(());
        }
        if let Some(why) = self.link.refused() {
            return Err(format!("{}: the brokers refuse us: {why}; see `security`", self.what).into());
        }
        if let Some((end, seen)) = self.waited.ends
            && seen.elapsed() >= BELIEVED
        {
            // It may have grown since: ask.
            match self.consumer.fetch_watermarks(&self.key.0, self.key.1, ANSWER) {
                Ok((_, high)) if (high as u64) < self.split.to => return Err(self.shrunk(end.max(high as u64))),
                _ => self.waited.ends = Some((end, Instant::now())),
            }
        }
        Ok(())
    }

    fn shrunk(&self, end: u64) -> model::Error {
        format!(
            "{}: {} ends at offset {end}, but offsets up to {} were there when they were logged: the topic was made \
             anew, or a broker lost records; bring them back, or start over with a new data_dir",
            self.what, self.split.name, self.split.to
        )
        .into()
    }

    fn failed(&mut self, code: RDKafkaErrorCode, text: &str, next: u64) -> Result<()> {
        use RDKafkaErrorCode as E;
        let name = &self.split.name;
        match code {
            E::AutoOffsetReset | E::OffsetOutOfRange => {
                let (low, high) =
                    self.consumer.fetch_watermarks(&self.key.0, self.key.1, ANSWER).unwrap_or((-1, i64::MAX));
                if (high as u64) < self.split.to {
                    return Err(self.shrunk(high as u64));
                }
                let there = if low >= 0 { format!("; the first that is left is {low}") } else { String::new() };
                Err(format!(
                    "{}: offset {next} of {name} is no longer there{there}: the retention of the topic deleted records \
                     that the log names but that were not finished; bring them back, or start over with a new data_dir",
                    self.what
                )
                .into())
            }
            E::UnknownTopicOrPartition | E::UnknownTopic | E::UnknownPartition => {
                Err(format!("{}: {name} does not exist any more; {text}", self.what).into())
            }
            E::TopicAuthorizationFailed => {
                Err(format!("{}: we may not read the topic `{}`; grant Read on it", self.what, self.key.0).into())
            }
            E::BadMessage | E::BadCompression | E::InvalidMessage | E::UnsupportedCompressionType => Err(format!(
                "{}: {name} is damaged near offset {next}: {text}; repair the partition from a replica",
                self.what
            )
            .into()),
            // Everything else passes when brokers come back or leaders are known.
            _ => self.look(),
        }
    }
}
