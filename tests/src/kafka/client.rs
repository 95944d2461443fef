//! What tests ask of a cluster: create topics, write, read to the end.
use anyhow::{Context, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::future::Future;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

/// A request that is not answered by then failed.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Every broker knows of a topic after this time.
const KNOWN_MAX: Duration = Duration::from_secs(2);
/// Writing may have to wait for a broker that is being restarted.
const FLUSH_MAX: Duration = Duration::from_secs(120);
/// A transaction that is open for longer was left behind.
const STABLE_MAX: Duration = Duration::from_secs(70);

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// A copy of a message of librdkafka's.
    pub fn of(m: &BorrowedMessage<'_>) -> Message {
        let headers = m.headers().map_or_else(Vec::new, |h| {
            h.iter().map(|h| (h.key.to_string(), h.value.unwrap_or_default().to_vec())).collect()
        });
        Message {
            partition: m.partition(),
            offset: m.offset(),
            key: m.key().map(<[u8]>::to_vec),
            value: m.payload().map(<[u8]>::to_vec),
            headers,
        }
    }
    /// The value as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|h| h.0 == name).map(|h| String::from_utf8_lossy(&h.1).into_owned())
    }
}

/// A client for questions and topics.
pub struct Admin {
    admin: AdminClient<DefaultClientContext>,
    consumer: BaseConsumer,
}

/// Settings of every client here: it tries again quickly when a broker comes back.
pub(crate) fn settings(bootstrap: &str) -> ClientConfig {
    let mut c = ClientConfig::new();
    c.set("bootstrap.servers", bootstrap).set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "200");
    // Refused connections are what a test with dead brokers is about; what matters is an error that a call returns.
    c.set("log_level", "0").set("broker.address.family", "v4");
    c
}

impl Admin {
    /// A client of a cluster; connects when asked something.
    pub fn new(bootstrap: &str) -> Admin {
        let s = settings(bootstrap);
        Admin {
            admin: s.create().expect("settings of an admin client"),
            consumer: s.clone().set("isolation.level", "read_uncommitted").create().expect("settings of a consumer"),
        }
    }

    /// Brokers that the cluster knows to be up.
    pub fn brokers(&self, limit: Duration) -> Result<usize> {
        Ok(self.consumer.fetch_metadata(None, limit).context("ask for the brokers")?.brokers().len())
    }

    /// Partitions that lack a leader or a replica.
    pub fn behind(&self) -> Result<Vec<String>> {
        let meta = self.consumer.fetch_metadata(None, ANSWER_MAX).context("ask for the topics")?;
        let mut behind = Vec::new();
        for t in meta.topics() {
            for p in t.partitions() {
                if p.leader() < 0 || p.isr().len() < p.replicas().len() {
                    behind.push(format!("{}[{}]", t.name(), p.id()));
                }
            }
        }
        Ok(behind)
    }

    /// Create a topic and wait until every partition has a leader.
    pub fn create(&self, name: &str, partitions: i32, replication: i32, settings: &[(&str, &str)]) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (k, v) in settings {
            topic = topic.set(k, v);
        }
        let done = block_on(self.admin.create_topics([&topic], &options())).context("create a topic")?;
        for one in done {
            one.map_err(|(topic, e)| anyhow::anyhow!("create topic {topic}: {e}"))?;
        }
        self.wait_for_partitions(name, partitions)
    }

    /// Delete a topic.
    pub fn delete(&self, name: &str) -> Result<()> {
        for one in block_on(self.admin.delete_topics(&[name], &options())).context("delete a topic")? {
            one.map_err(|(topic, e)| anyhow::anyhow!("delete topic {topic}: {e}"))?;
        }
        Ok(())
    }

    /// Give a topic more partitions.
    pub fn grow(&self, name: &str, partitions: i32) -> Result<()> {
        let new = NewPartitions::new(name, partitions as usize);
        for one in block_on(self.admin.create_partitions([&new], &options())).context("create partitions")? {
            one.map_err(|(topic, e)| anyhow::anyhow!("more partitions for {topic}: {e}"))?;
        }
        self.wait_for_partitions(name, partitions)
    }

    /// Delete the records of a partition below an offset, as retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        let done = block_on(self.admin.delete_records(&list, &options())).context("delete records")?;
        for e in done.elements() {
            e.error().with_context(|| format!("delete records of {topic}[{partition}]"))?;
        }
        Ok(())
    }

    fn wait_for_partitions(&self, name: &str, partitions: i32) -> Result<()> {
        let end = Instant::now() + ANSWER_MAX;
        loop {
            let meta = self.consumer.fetch_metadata(Some(name), ANSWER_MAX).context("ask for a topic")?;
            let led = meta.topics()[0].partitions().iter().filter(|p| p.error().is_none() && p.leader() >= 0).count();
            if led == partitions as usize {
                return Ok(());
            }
            ensure!(Instant::now() < end, "topic {name}: {led} of {partitions} partitions have a leader");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Number of partitions of a topic. Brokers hear of a new topic one after the other, so it is asked for again first.
    pub fn partitions(&self, topic: &str) -> Result<i32> {
        let end = Instant::now() + KNOWN_MAX;
        loop {
            let meta = self.consumer.fetch_metadata(Some(topic), ANSWER_MAX).context("ask for a topic")?;
            let t = &meta.topics()[0];
            match t.error() {
                None => return Ok(t.partitions().len() as i32),
                Some(e) if Instant::now() >= end => bail!("topic {topic}: {e:?}"),
                Some(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// First offset and high watermark of a partition (records of open transactions lie below it).
    pub fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        self.consumer
            .fetch_watermarks(topic, partition, ANSWER_MAX)
            .with_context(|| format!("ask for the offsets of {topic}[{partition}]"))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX))
}

/// Wait for a future of librdkafka, which makes progress in its own threads.
fn block_on<F: Future>(f: F) -> F::Output {
    let mut f = pin!(f);
    let mut cx = TaskContext::from_waker(Waker::noop());
    loop {
        match f.as_mut().poll(&mut cx) {
            Poll::Ready(v) => return v,
            Poll::Pending => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// An idempotent producer for one topic; it survives brokers that come and go.
pub struct SendMany {
    producer: BaseProducer,
    topic: String,
}

impl SendMany {
    /// For a topic.
    pub fn new(bootstrap: &str, topic: &str) -> Result<SendMany> {
        SendMany::lingering(bootstrap, topic, Duration::from_millis(5))
    }
    /// The same; records of so long a time travel together.
    pub fn lingering(bootstrap: &str, topic: &str, linger: Duration) -> Result<SendMany> {
        let mut s = settings(bootstrap);
        s.set("acks", "all").set("enable.idempotence", "true").set("compression.type", "lz4");
        s.set("linger.ms", linger.as_millis().to_string());
        Ok(SendMany { producer: s.create()?, topic: topic.into() })
    }
    /// Hand over a record; waits while the queue is full.
    pub fn send(&self, partition: i32, key: Option<&[u8]>, value: &[u8], headers: &[(&str, &[u8])]) -> Result<()> {
        let mut list = OwnedHeaders::new_with_capacity(headers.len());
        for (name, value) in headers {
            list = list.insert(rdkafka::message::Header { key: name, value: Some(*value) });
        }
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&self.topic).partition(partition).payload(value).headers(list);
        if let Some(key) = key {
            record = record.key(key);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(rdkafka::types::RDKafkaErrorCode::QueueFull), again)) => {
                    self.producer.poll(Duration::from_millis(10));
                    record = again;
                }
                Err((e, _)) => return Err(e).with_context(|| format!("write to {}", self.topic)),
            }
        }
    }
    /// Let the client do its work.
    pub fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }
    /// Wait until the cluster has everything.
    pub fn flush(&self) -> Result<()> {
        self.producer.flush(FLUSH_MAX).with_context(|| format!("write to {}", self.topic))
    }
}

/// Write records `(partition, key, value, headers)` and wait until the cluster has them all.
pub fn produce<'a>(
    bootstrap: &str,
    topic: &str,
    records: impl IntoIterator<Item = (i32, Option<&'a [u8]>, &'a [u8], &'a [(&'a str, &'a [u8])])>,
) -> Result<()> {
    let producer = SendMany::new(bootstrap, topic)?;
    for (partition, key, value, headers) in records {
        producer.send(partition, key, value, headers)?;
    }
    producer.flush()
}

/// Read a whole topic as it is now: each partition up to the end that it has at the call, in order of partition and
/// offset. With `committed`, open transactions below that end are waited for, and aborted records are not seen.
pub fn read_all(bootstrap: &str, topic: &str, committed: bool) -> Result<Vec<Message>> {
    let isolation = if committed { "read_committed" } else { "read_uncommitted" };
    let consumer: BaseConsumer = settings(bootstrap)
        .set("group.id", "millstream-test-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .set("fetch.wait.max.ms", "20")
        .set("auto.offset.reset", "error")
        .create()?;
    let admin = Admin::new(bootstrap);
    let (mut list, mut ends, mut waited) = (TopicPartitionList::new(), Vec::new(), Instant::now());
    for p in 0..admin.partitions(topic)? {
        let (low, end) = admin.offsets(topic, p)?;
        // Under read_committed the end that a broker tells is the last stable offset.
        while consumer.fetch_watermarks(topic, p, ANSWER_MAX)?.1 < end {
            ensure!(waited.elapsed() < STABLE_MAX, "a transaction on {topic}[{p}] stays open below offset {end}");
            std::thread::sleep(Duration::from_millis(10));
        }
        list.add_partition_offset(topic, p, Offset::Offset(low))?;
        ends.push((low, end));
    }
    consumer.assign(&list)?;
    let mut open: Vec<bool> = ends.iter().map(|(low, end)| low < end).collect();
    let mut got = Vec::new();
    waited = Instant::now();
    while open.contains(&true) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(m)) => {
                waited = Instant::now();
                let (p, end) = (m.partition() as usize, ends[m.partition() as usize].1);
                if m.offset() < end {
                    got.push(Message::of(&m));
                }
                open[p] &= m.offset() + 1 < end;
            }
            // The stable end was at or beyond ours before reading began, so this one is too.
            Some(Err(KafkaError::PartitionEOF(p))) => open[p as usize] = false,
            Some(Err(e)) => return Err(e).with_context(|| format!("read {topic}")),
            None => {}
        }
        ensure!(waited.elapsed() < ANSWER_MAX, "reading {topic} does not get on");
    }
    got.sort_by_key(|m| (m.partition, m.offset));
    Ok(got)
}
