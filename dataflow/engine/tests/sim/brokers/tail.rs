//! Reading a partition of the simulated brokers up to its end, with `read_committed`.
use super::client::{Connection, Link};
use super::library::{brokers, settle};
use crate::fail::Fail;
use crate::sched::{pause, sched};
use std::cell::Cell;
use std::time::Duration;

/// Offsets looked at from the end: all there are in a simulation.
pub const TAIL: i64 = 4000;
/// Looks at a transaction that is not decided, before it is given up for now.
const LOOKS: usize = 50;

/// One partition and how to read it.
#[allow(dead_code)]
pub struct Tail<'a> {
    pub connection: &'a Connection,
    pub link: &'a Link,
    pub topic: &'a str,
    pub partition: i32,
    pub timeout: Duration,
    /// Set when the end was not decided in time.
    pub open: Cell<bool>,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code)]
pub enum From {
    /// The first record there is.
    Start,
    /// This offset.
    Offset(i64),
    /// So many offsets before the end.
    End(i64),
}

/// What there is to read.
pub struct Bounds {
    /// First offset.
    pub low: i64,
    /// Last stable offset, exclusive.
    pub stable: i64,
}

/// A record.
pub struct Message(i64, Vec<u8>, Vec<u8>);

impl<'a> Tail<'a> {
    /// A way to read a partition.
    pub fn new(c: &'a Connection, link: &'a Link, topic: &'a str, partition: i32, timeout: Duration) -> Tail<'a> {
        Tail { connection: c, link, topic, partition, timeout, open: Cell::new(false) }
    }
    /// Hand out what is visible; with `high`, once everything below is decided.
    pub fn read(&self, from: From, high: Option<i64>, mut each: impl FnMut(&Message) -> bool) -> Result<Bounds, Fail> {
        let s = sched();
        for _ in 0..LOOKS {
            pause();
            settle(&s);
            let (low, stable, found) = {
                let b = brokers(&s);
                let p = &b.topic(self.topic)[self.partition as usize];
                let own = |(o, r): (usize, &super::state::Stored)| {
                    Message(o as i64, r.key.clone().unwrap_or_default(), r.value.clone())
                };
                (p.low as i64, p.stable() as i64, p.visible().map(own).collect::<Vec<_>>())
            };
            if high.is_some_and(|h| stable < h) {
                s.state().cover.hit("waited for a transaction");
                continue;
            }
            let start = match from {
                From::Start => low,
                From::Offset(o) => o.max(low),
                From::End(n) => (stable - n).max(low),
            };
            for m in found.iter().filter(|m| m.0 >= start) {
                if !each(m) {
                    break;
                }
            }
            return Ok(Bounds { low, stable });
        }
        self.open.set(true);
        // As long as this takes, the brokers would not wait either.
        brokers(&s).expire_in(self.topic, self.partition as usize);
        s.state().cover.hit("transaction too old");
        Err(Fail::Unknown("a transaction is not decided".into()))
    }

    /// First and last offset with everything in it.
    pub fn watermarks(&self) -> Result<(i64, i64), Fail> {
        pause();
        let s = sched();
        settle(&s);
        let b = brokers(&s);
        let p = &b.topic(self.topic)[self.partition as usize];
        Ok((p.low as i64, p.records.len() as i64))
    }
}

/// Offset, key and value of a record.
pub fn owned(m: &Message) -> (i64, Vec<u8>, Vec<u8>) {
    (m.0, m.1.clone(), m.2.clone())
}
