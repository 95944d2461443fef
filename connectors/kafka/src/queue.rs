//! The records of one partition, out of a queue of its own, many at a time.
//!
//! The library's safe interface hands out one event per call, and its "end of partition" has lost its offset. Here a
//! partition is started by itself (no consumer group, no assignment that concerns the others) into its own queue.
use crate::client::Link;
use model::Result;
use rdkafka::TopicPartitionList;
use rdkafka::bindings as ffi;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Most messages taken from the queue in one call.
const TAKE: usize = 1024;

/// What comes next in a partition.
pub(crate) enum Item<'a> {
    /// A record.
    Record {
        /// Its offset.
        offset: u64,
        /// Its value; `None` for a tombstone.
        value: Option<&'a [u8]>,
    },
    /// Everything below this offset has been handed out.
    End(u64),
    /// The partition, or the way to it, has a problem.
    Failed(RDKafkaErrorCode, String),
}

/// A started partition.
pub(crate) struct Stream {
    topic: NonNull<ffi::rd_kafka_topic_t>,
    queue: NonNull<ffi::rd_kafka_queue_t>,
    partition: i32,
    /// The topic and the partition, to ask for the position.
    place: TopicPartitionList,
    /// Taken from the queue, not handed out yet.
    taken: VecDeque<NonNull<ffi::rd_kafka_message_t>>,
    /// Where the end of the partition was last seen.
    end: Option<u64>,
    /// Last, so that it outlives what belongs to it.
    consumer: Arc<BaseConsumer<Link>>,
}

impl Stream {
    /// Begin to fetch a partition at an offset. Fails where the library refuses (it never asks the broker here).
    pub(crate) fn start(
        consumer: &Arc<BaseConsumer<Link>>,
        topic: &str,
        partition: i32,
        offset: u64,
    ) -> Result<Stream> {
        let name = CString::new(topic)?;
        let mut place = TopicPartitionList::with_capacity(1);
        place.add_partition(topic, partition);
        let rk = consumer.client().native_ptr();
        // SAFETY: `rk` lives as long as `consumer`, which the stream keeps; `name` ends with NUL; a null configuration
        // means the client's defaults.
        let (topic_ptr, queue) =
            unsafe { (ffi::rd_kafka_topic_new(rk, name.as_ptr(), std::ptr::null_mut()), ffi::rd_kafka_queue_new(rk)) };
        let (Some(topic_ptr), Some(queue)) = (NonNull::new(topic_ptr), NonNull::new(queue)) else {
            return Err(format!("cannot start to read {topic}[{partition}]: the client library refuses").into());
        };
        // From here on, dropping the stream gives both back.
        let s = Stream {
            topic: topic_ptr,
            queue,
            partition,
            place,
            taken: VecDeque::new(),
            end: None,
            consumer: consumer.clone(),
        };
        // SAFETY: both pointers were just made by this client and are owned by `s`.
        let started =
            unsafe { ffi::rd_kafka_consume_start_queue(s.topic.as_ptr(), partition, offset as i64, s.queue.as_ptr()) };
        if started != 0 {
            // SAFETY: reads a value of this thread.
            let code = RDKafkaErrorCode::from(unsafe { ffi::rd_kafka_last_error() });
            return Err(format!("cannot start to read {topic}[{partition}] at offset {offset}: {code}").into());
        }
        Ok(s)
    }

    /// What comes next, without taking it; waits for it if nothing is there.
    pub(crate) fn peek(&mut self, wait: Duration) -> Option<Item<'_>> {
        if self.taken.is_empty() {
            // All that is there; only if that is nothing, the next one that comes.
            if self.take(Duration::ZERO, TAKE) == 0 {
                self.take(wait, 1);
            }
        }
        let message = self.taken.front()?;
        // SAFETY: the message is owned by this stream until `pop`, which needs `&mut self`: the borrow ends before.
        let m = unsafe { message.as_ref() };
        if m.err == ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            let value = (!m.payload.is_null()).then(|| {
                // SAFETY: the library says that `len` bytes are at `payload`, and they live as long as the message.
                unsafe { std::slice::from_raw_parts(m.payload.cast::<u8>(), m.len) }
            });
            return Some(Item::Record { offset: m.offset as u64, value });
        }
        if m.err == ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF {
            self.end = Some(m.offset as u64);
            return Some(Item::End(m.offset as u64));
        }
        // SAFETY: a message with an error has a text that ends with NUL and lives as long as it.
        let text = unsafe { CStr::from_ptr(ffi::rd_kafka_message_errstr(m)) };
        Some(Item::Failed(RDKafkaErrorCode::from(m.err), text.to_string_lossy().into_owned()))
    }

    /// Take what [`Stream::peek`] showed.
    pub(crate) fn pop(&mut self) {
        if let Some(m) = self.taken.pop_front() {
            // SAFETY: the message came from the queue and was owned by `taken` alone.
            unsafe { ffi::rd_kafka_message_destroy(m.as_ptr()) }
        }
    }

    /// An offset below which nothing is left to hand out, as far as is known: behind the marker that ended a
    /// transaction, which is not handed out itself. Only worth asking when [`Stream::peek`] shows nothing.
    pub(crate) fn position(&self) -> Option<u64> {
        if !self.taken.is_empty() {
            return None;
        }
        // SAFETY: client and list are alive; the call fills in the list's offset.
        unsafe { ffi::rd_kafka_position(self.consumer.client().native_ptr(), self.place.ptr()) };
        let at = self.place.elements().first()?.offset().to_raw().filter(|o| *o >= 0)? as u64;
        // The library counts the end of the partition as if it were a record there: that says nothing.
        (self.end.is_none_or(|end| at > end + 1)).then_some(at)
    }

    fn take(&mut self, wait: Duration, most: usize) -> usize {
        let mut got = [std::ptr::null_mut(); TAKE];
        // SAFETY: the queue is alive, and `got` has room for `most` pointers.
        let n = unsafe {
            ffi::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                wait.as_millis().min(i32::MAX as u128) as i32,
                got.as_mut_ptr(),
                most.min(TAKE),
            )
        };
        let n = n.max(0) as usize;
        self.taken.extend(got[..n].iter().copied().filter_map(NonNull::new));
        n
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        while !self.taken.is_empty() {
            self.pop();
        }
        // SAFETY: topic and queue are owned by this stream and not used again; the client outlives them, because
        // `consumer` is dropped after this. Stopping what was never started is an error code and nothing more.
        unsafe {
            ffi::rd_kafka_consume_stop(self.topic.as_ptr(), self.partition);
            ffi::rd_kafka_queue_destroy(self.queue.as_ptr());
            ffi::rd_kafka_topic_destroy(self.topic.as_ptr());
        }
    }
}
