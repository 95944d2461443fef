//! An idempotent writer without transactions: every row at least once, in order, acknowledged by all replicas.
use crate::client::{Connection, Link};
use crate::fail::Fail;
use crate::produce::{Compression, Context, Target, breathe, flush, is_full, produce_settings, record};
use crate::rows::Rows;
use crate::topics::{Pause, note};
use model::Result;
use rdkafka::producer::{BaseProducer, Producer};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The writer. Shared by threads: what they write at the same time travels together.
pub(crate) struct Plain {
    connection: Arc<Connection>,
    link: Link,
    compression: Compression,
    max_message: usize,
    live: Mutex<Option<Arc<BaseProducer<Context>>>>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plain {
    /// A writer that has not touched the world yet.
    pub(crate) fn new(connection: Arc<Connection>, link: Link, compression: Compression, max_message: usize) -> Plain {
        Plain { connection, link, compression, max_message, live: Mutex::new(None) }
    }

    /// Write rows in order. With `wait` it returns when all replicas have them, and waits for a cluster that is away;
    /// without, the rows may be lost if the process dies soon.
    pub(crate) fn write(&self, target: &Target, rows: &Rows, wait: bool) -> Result<()> {
        let mut pause = Pause::new();
        loop {
            let p = self.producer()?;
            match self.attempt(&p, target, rows, wait) {
                Ok(()) => {
                    if wait {
                        self.link.reached();
                    }
                    return Ok(());
                }
                Err(Fail::Lasting(why)) => return Err(format!("cannot write to {}: {why}", target.topic).into()),
                Err(Fail::Unknown(why) | Fail::Fenced(why)) => {
                    if let Some(refused) = self.link.refused() {
                        return Err(format!("Kafka refuses to write to {}: {refused}", target.topic).into());
                    }
                    let mut live = lock(&self.live);
                    if live.as_ref().is_some_and(|l| Arc::ptr_eq(l, &p)) {
                        *live = None;
                    }
                    drop(live);
                    note(&self.link, &why);
                    self.link.waiting("write");
                    pause.wait();
                }
            }
        }
    }

    /// Handle events of the client library while there is nothing to write.
    pub(crate) fn idle(&self) {
        if let Some(p) = &*lock(&self.live) {
            p.poll(Duration::ZERO);
        }
    }

    fn producer(&self) -> Result<Arc<BaseProducer<Context>>> {
        let mut live = lock(&self.live);
        if let Some(p) = &*live {
            return Ok(p.clone());
        }
        let mut c = self.connection.config("writer");
        produce_settings(&mut c, self.compression, self.max_message);
        // Bounded by the deadline below; the library must not give up on its own before.
        c.set("message.timeout.ms", (2 * self.connection.request_timeout.0).to_string());
        let p: BaseProducer<Context> = c
            .create_with_context(Context::new(self.link.clone()))
            .map_err(|e| format!("cannot make a Kafka client: {e}"))?;
        let p = Arc::new(p);
        *live = Some(p.clone());
        Ok(p)
    }

    fn attempt(&self, p: &BaseProducer<Context>, target: &Target, rows: &Rows, wait: bool) -> Result<(), Fail> {
        let deadline = Instant::now() + Duration::from_millis(2 * self.connection.request_timeout.0);
        // A record of another thread, or one that nobody waited for: this producer is no good any more.
        p.client().context().check()?;
        for row in rows.iter() {
            let partition = if row.key.is_some() { None } else { Some(target.partition) };
            let mut r = record(&target.topic, partition, &row);
            loop {
                match p.send(r) {
                    Ok(()) => break,
                    Err((e, back)) if is_full(&e) && Instant::now() < deadline => {
                        r = back;
                        breathe(p);
                    }
                    Err((e, _)) => return Err(Fail::of(&e, p.client().fatal_error())),
                }
            }
        }
        if wait {
            return flush(p, deadline);
        }
        p.poll(Duration::ZERO);
        Ok(())
    }
}
