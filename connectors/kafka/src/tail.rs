//! Reading a partition up to its end, as a recovering writer must: `read_committed`, to the high watermark, no group.
use crate::client::{Connection, Link};
use crate::fail::Fail;
use crate::topics::LISTEN;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Offsets looked at from the end; marks of a shard are at most a few offsets apart, so the newest is among them.
pub(crate) const TAIL: i64 = 4000;

/// Pause between two looks at a watermark that has to move.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// One partition and how to read it.
pub(crate) struct Tail<'a> {
    pub connection: &'a Connection,
    pub link: &'a Link,
    pub topic: &'a str,
    pub partition: i32,
    /// How long the whole may take.
    pub timeout: Duration,
    /// Set when the end was not decided in that time: a transaction is open below it.
    pub open: Cell<bool>,
    /// Client that reads, made with the first reading, and anew after one that failed: one that has missed who leads the
    /// partition may never ask again.
    client: RefCell<Option<BaseConsumer<Link>>>,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    /// The first record there is.
    Start,
    /// This offset, or the first one if that is later.
    Offset(i64),
    /// So many offsets before the end.
    End(i64),
}

/// What there is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// First offset.
    pub low: i64,
    /// Last stable offset, exclusive: records before it are decided.
    pub stable: i64,
}

impl<'a> Tail<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        link: &'a Link,
        topic: &'a str,
        partition: i32,
        timeout: Duration,
    ) -> Tail<'a> {
        Tail { connection, link, topic, partition, timeout, open: Cell::new(false), client: RefCell::new(None) }
    }

    /// Hand every visible record from `from` up to the last stable offset to `each`, until it says false. With `high`
    /// (a high watermark taken before) it first waits until everything below that is decided.
    pub(crate) fn read(
        &self,
        from: From,
        high: Option<i64>,
        each: impl FnMut(&BorrowedMessage) -> bool,
    ) -> Result<Bounds, Fail> {
        let consumer = match self.client.take() {
            Some(c) => c,
            None => self.consumer(true)?,
        };
        let bounds = self.read_with(&consumer, from, high, each)?;
        self.client.replace(Some(consumer));
        Ok(bounds)
    }

    fn read_with(
        &self,
        consumer: &BaseConsumer<Link>,
        from: From,
        high: Option<i64>,
        each: impl FnMut(&BorrowedMessage) -> bool,
    ) -> Result<Bounds, Fail> {
        let deadline = Instant::now() + self.timeout;
        let bounds = loop {
            let (low, stable) = self.ask(consumer, deadline)?;
            if high.is_none_or(|h| stable >= h) {
                break Bounds { low, stable };
            }
            if Instant::now() >= deadline {
                self.open.set(true);
                return Err(Fail::Unknown(format!(
                    "{}[{}] has an open transaction at offset {stable}, below its end {}",
                    self.topic,
                    self.partition,
                    high.unwrap_or(stable)
                )));
            }
            std::thread::sleep(LOOK_AGAIN);
        };
        let start = match from {
            From::Start => bounds.low,
            From::Offset(o) => o.max(bounds.low),
            From::End(n) => (bounds.stable - n).max(bounds.low),
        };
        if start < bounds.stable {
            self.records(consumer, start, bounds.stable, deadline, each)?;
        }
        Ok(bounds)
    }

    /// Hand every visible record from `start` up to `stable` to `each`, until it says false.
    fn records(
        &self,
        consumer: &BaseConsumer<Link>,
        start: i64,
        stable: i64,
        deadline: Instant,
        mut each: impl FnMut(&BorrowedMessage) -> bool,
    ) -> Result<(), Fail> {
        let fail = |e: KafkaError| Fail::of(&e, consumer.client().fatal_error());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic, self.partition, Offset::Offset(start)).map_err(fail)?;
        consumer.assign(&list).map_err(fail)?;
        loop {
            if Instant::now() >= deadline {
                return Err(Fail::Unknown(format!("reading {}[{}] took too long", self.topic, self.partition)));
            }
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(m)) if m.offset() >= stable => return Ok(()),
                Some(Ok(m)) => {
                    if !each(&m) {
                        return Ok(());
                    }
                }
                // The fetch that says so was made after the stable offset was known.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                // The first records were trimmed since their offset was asked for. The library reads this partition no
                // further, and the caller begins anew.
                Some(Err(e)) if e.rdkafka_error_code() == Some(Code::AutoOffsetReset) => {
                    let (topic, partition) = (self.topic, self.partition);
                    return Err(Fail::Unknown(format!("{topic}[{partition}] was trimmed while it was read: {e}")));
                }
                // The library goes on by itself; the deadline bounds it.
                Some(Err(e)) => {
                    if let f @ Fail::Lasting(_) = fail(e) {
                        return Err(f);
                    }
                }
            }
        }
    }

    /// First and last offset with everything in it, also what is not decided yet.
    pub(crate) fn watermarks(&self) -> Result<(i64, i64), Fail> {
        self.ask(&self.consumer(false)?, Instant::now() + self.timeout)
    }

    /// In steps, because events (a token is due, we are refused) are heard in between only.
    fn ask(&self, consumer: &BaseConsumer<Link>, deadline: Instant) -> Result<(i64, i64), Fail> {
        loop {
            consumer.poll(Duration::from_millis(1));
            match consumer.fetch_watermarks(self.topic, self.partition, LISTEN) {
                Ok(bounds) => return Ok(bounds),
                Err(e) => {
                    let timeout = e.rdkafka_error_code() == Some(Code::OperationTimedOut);
                    if !timeout || Instant::now() >= deadline || self.link.refused().is_some() {
                        return Err(Fail::of(&e, consumer.client().fatal_error()));
                    }
                }
            }
        }
    }

    fn consumer(&self, committed: bool) -> Result<BaseConsumer<Link>, Fail> {
        let mut c = self.connection.config("tail");
        // Needed to assign, but nothing is ever committed to it.
        c.set("group.id", format!("_millstream-tail-{}", self.topic));
        c.set("enable.auto.commit", "false");
        c.set("isolation.level", if committed { "read_committed" } else { "read_uncommitted" });
        c.set("enable.partition.eof", "true");
        c.set("auto.offset.reset", "error");
        c.set("check.crcs", "true");
        // The end is told by an empty answer, which the broker would hold back this long.
        c.set("fetch.wait.max.ms", "5");
        c.create_with_context(self.link.clone()).map_err(|e| Fail::Lasting(e.to_string()))
    }
}

/// Offset, key and value of a record, owned.
pub(crate) fn owned(m: &BorrowedMessage) -> (i64, Vec<u8>, Vec<u8>) {
    (m.offset(), m.key().unwrap_or_default().to_vec(), m.payload().unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tests::kafka::{Broker, produce, unique};

    #[test]
    fn records_that_are_trimmed_while_they_are_read_are_told_at_once() {
        let (broker, topic) = (Broker::shared(), unique("trimmed"));
        broker.create_topic(&topic, 1, 1).unwrap();
        produce(&broker.bootstrap(), &topic, (0..9).map(|_| (0, None, &b"x"[..], &[][..]))).unwrap();
        let settings = serde_json::json!({"brokers": broker.bootstrap()});
        let connection: Connection = serde_json::from_value(settings).unwrap();
        let link = connection.link("test");
        let tail = Tail::new(&connection, &link, &topic, 0, Duration::from_secs(60));
        broker.admin().delete_before(&topic, 0, 5).unwrap();
        let (consumer, began) = (tail.consumer(true).unwrap(), Instant::now());
        // As if the first offset had been asked for before.
        let e = tail.records(&consumer, 0, 9, began + tail.timeout, |_| true).unwrap_err();
        assert!(matches!(&e, Fail::Unknown(why) if why.contains("trimmed")), "{e:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let mut read = Vec::new();
        let bounds = tail.read(From::Start, None, |m| {
            read.push(m.offset());
            true
        });
        assert_eq!((bounds.unwrap(), read), (Bounds { low: 5, stable: 9 }, vec![5, 6, 7, 8]));
    }
}
