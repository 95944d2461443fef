//! A transactional writer that survives unknown outcomes.
//!
//! Every transaction carries a [`Mark`] beside its rows. If it cannot be said whether a transaction was committed (a
//! timeout, a broken connection, a broker that died), the producer is thrown away, a new one with the same id is
//! initialised, which fences whatever of the old one is still on its way, and then the marks are read: what is visible
//! is not produced again. The client library's own retries of a commit can leave a copy of the request on its way even
//! though the commit succeeded; therefore a producer whose connection was disturbed meanwhile is replaced as well
//! before its next transaction. A new producer begins with a transaction that it takes back ([`Txn::sweep`]): what an
//! earlier one left undecided must not be committed by the next.
//!
//! An older writer that wakes up finds itself fenced and sees the mark of the one that replaced it: it ends. A writer
//! that was fenced because its transaction had become too old sees no such mark and goes on.
use crate::client::{Connection, Link};
use crate::fail::Fail;
use crate::mark::{self, Mark, Who};
use crate::produce::{
    Compression, Context, Target, breathe, flush, init_transactions, is_full, produce_settings, record,
};
use crate::rows::{Row, Rows};
use crate::tail::{self, From, TAIL, Tail};
use crate::topics::{Pause, note, persist};
use model::{Result, fault};
use rdkafka::producer::{BaseProducer, Producer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An end of the marks that is not decided after this long never will be.
const STUCK: Duration = Duration::from_secs(3);
/// Events handled in one go after a commit.
const EVENTS: usize = 256;

/// Who writes, and how.
#[derive(Clone)]
pub(crate) struct Writer {
    pub connection: Arc<Connection>,
    pub link: Link,
    /// `transactional.id`; one writer at a time has it.
    pub id: String,
    /// Topic, partition and key of the marks.
    pub marks: String,
    pub partition: i32,
    pub key: String,
    pub who: Who,
    /// Age at which the brokers end a transaction by themselves.
    pub timeout: Duration,
    pub compression: Compression,
    /// Largest record, bytes, with key and headers.
    pub max_message: usize,
    /// Pass the crash points of a sink.
    pub crash_points: bool,
    /// What goes wrong at a point of a transaction, in tests.
    #[cfg(test)]
    pub trip: Trip,
}

/// Asked at every point of a transaction, by its name.
#[cfg(test)]
pub(crate) type Trip = Option<Arc<dyn Fn(&str) -> Option<Fail> + Send + Sync>>;

/// The writer, with its producer while it has a good one. No transaction is open between calls.
pub(crate) struct Txn {
    w: Writer,
    live: Option<BaseProducer<Context>>,
    /// Offset of the mark by which it took over, or while it does so, of the newest one that was there before.
    taken: Option<i64>,
    /// The live producer has swept the partitions of its rows, see [`Txn::sweep`].
    swept: bool,
}

impl Txn {
    /// A writer that has not touched the world yet.
    pub(crate) fn new(w: Writer) -> Txn {
        Txn { w, live: None, taken: None, swept: false }
    }

    /// Fence every earlier writer of this id and end its transaction. Returns the visible marks, oldest first: all
    /// there are, or with `tail_only` at least the newest.
    pub(crate) fn fence(&mut self, tail_only: bool) -> Result<Vec<(i64, Mark)>> {
        let early = if fault::broken("kafka_no_fence") { Some(self.marks(tail_only)?) } else { None };
        self.open()?;
        fault::crash_point("kafka.init");
        match early {
            Some(marks) => Ok(marks),
            None => self.marks(tail_only),
        }
    }

    /// Take the place of earlier writers for good, as `who`: from here on they see that they were replaced. `marks` is
    /// what [`Txn::fence`] said; returns them once more, because an older writer may have woken up in between, fenced
    /// this one, and written. An error if a newer incarnation has taken over.
    pub(crate) fn take_over(
        &mut self,
        who: &Who,
        marks: Vec<(i64, Mark)>,
        tail_only: bool,
    ) -> Result<Vec<(i64, Mark)>> {
        self.w.who = who.clone();
        self.yield_to_newer(&marks)?;
        self.taken = Some(marks.last().map_or(-1, |(offset, _)| *offset));
        self.commit(None, &Mark::takeover(who))?;
        if fault::broken("kafka_no_fence") {
            return Ok(marks);
        }
        let marks = self.marks(tail_only)?;
        let mine = marks.iter().rfind(|(_, m)| m.epoch.is_none() && m.who == *who).map(|(offset, _)| *offset);
        self.taken = mine.or(self.taken);
        // Somebody may have come after this one already: then what is visible is not this one's to judge.
        self.yield_to_newer(&marks)?;
        Ok(marks)
    }

    /// Marks that are visible now, without fencing anybody.
    pub(crate) fn look(&self) -> Result<Vec<(i64, Mark)>> {
        self.read(true, None)
    }

    /// Make rows and their mark visible, all or nothing and once. Waits for a cluster that is away; an error if a newer
    /// incarnation has taken over, or if the brokers refuse for good.
    pub(crate) fn commit(&mut self, rows: Option<(&Target, &Rows)>, mark: &Mark) -> Result<()> {
        let value = mark.to_bytes()?;
        if value.len() > self.w.max_message {
            return Err(format!("{}: a mark of {} bytes is too large", self.w.id, value.len()).into());
        }
        let (mut unsure, mut pause) = (false, Pause::new());
        loop {
            if self.live.is_none() {
                self.open()?;
                let seen = self.marks(true)?;
                self.yield_to_newer(&seen)?;
                if unsure && !fault::broken("kafka_commit_twice") && self.is_visible(&seen, mark)? {
                    return Ok(());
                }
            }
            let swept = self.swept || rows.is_none();
            let done = if swept { Ok(()) } else { self.sweep(rows, &value) };
            self.swept |= done.is_ok() && rows.is_some();
            match done.and_then(|()| self.attempt(rows, mark, &value)) {
                Ok(()) => {
                    self.w.link.reached();
                    return Ok(());
                }
                Err(Fail::Lasting(why)) => {
                    self.live = None;
                    return Err(format!("transaction of {}: {why}", self.w.id).into());
                }
                Err(Fail::Fenced(why)) => {
                    self.live = None;
                    note(&self.w.link, &why);
                    // Before fencing anybody in turn: was it a newer incarnation?
                    let seen = self.read(true, None)?;
                    self.yield_to_newer(&seen)?;
                }
                Err(Fail::Unknown(why)) => {
                    self.live = None;
                    pause.after(&self.w.link, "write", &why)?;
                }
            }
            unsure = true;
        }
    }

    /// Handle events of the client library while there is nothing to write.
    pub(crate) fn idle(&self) {
        if let Some(p) = &self.live {
            p.poll(Duration::ZERO);
        }
    }

    fn is_visible(&self, seen: &[(i64, Mark)], mark: &Mark) -> Result<bool> {
        for (offset, m) in seen {
            if m.stands_for(mark).map_err(|e| self.at(*offset, e))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn at(&self, offset: i64, e: model::Error) -> model::Error {
        format!("{}[{}] offset {offset}: {e}", self.w.marks, self.w.partition).into()
    }

    fn yield_to_newer(&self, seen: &[(i64, Mark)]) -> Result<()> {
        let w = &self.w;
        let Some((offset, m)) = mark::successor(seen, &w.who, self.taken) else { return Ok(()) };
        Err(format!(
            "fenced by a newer incarnation: {} was taken over by generation {} of run {} ({}[{}] offset {offset}); this \
             is generation {} of run {}. Two runs cannot write as one: stop one, or give its topology another name",
            w.id, m.who.generation, m.who.run, w.marks, w.partition, w.who.generation, w.who.run
        )
        .into())
    }

    /// A new producer, initialised: everything of earlier ones is fenced and their transactions are ended.
    fn open(&mut self) -> Result<()> {
        self.live = None;
        self.swept = false;
        let w = &self.w;
        let p = persist(&w.link, &format!("start transactions of {}", w.id), || w.init())?;
        self.live = Some(p);
        Ok(())
    }

    /// Marks up to the high watermark of now: the producer has been initialised before.
    ///
    /// After that every transaction of this id is decided, and nobody else writes to this partition. Still it happens
    /// (brokers that were killed while a producer was at work) that a record stays behind of which the coordinator
    /// knows nothing: it would block this partition for ever. It was not committed, so it is swept away.
    fn marks(&mut self, tail_only: bool) -> Result<Vec<(i64, Mark)>> {
        let mut pause = Pause::new();
        loop {
            let Some(p) = &self.live else { return self.read(tail_only, None) };
            let high = match self.w.high(p) {
                Ok(high) => Some(high),
                // With another client: one that has missed who leads the partition may never ask again.
                Err(Fail::Unknown(why)) => {
                    pause.after(&self.w.link, "read the end of its marks", &why)?;
                    self.open()?;
                    continue;
                }
                Err(f) => return Err(format!("cannot read the end of the marks of {}: {}", self.w.id, f.why()).into()),
            };
            let mut tail = self.tail(STUCK);
            match tail.read(From::End(0), high, |_| false) {
                Ok(_) => {
                    tail.timeout = self.patience();
                    return self.read_from(&tail, tail_only, high);
                }
                Err(_) if tail.open.get() => {}
                // Nothing was learnt: ask again, or a record that blocks the partition would be waited for without end.
                Err(Fail::Unknown(why)) => {
                    pause.after(&self.w.link, &format!("read the marks in {}", self.w.marks), &why)?;
                    continue;
                }
                Err(f) => return Err(format!("cannot read the marks of {}: {}", self.w.id, f.why()).into()),
            }
            eprintln!(
                "{}: {}[{}] holds a record of a transaction that the brokers have forgotten; it is swept away",
                self.w.id, self.w.marks, self.w.partition
            );
            if self.sweep(None, b"swept").is_err() {
                self.open()?;
            }
        }
    }

    /// Write once and take it back. Every partition that an earlier producer of this id may have written to has then
    /// seen this one: what comes late from the earlier one is refused there, and what it left undecided is aborted with
    /// this, instead of being committed with the next transaction.
    fn sweep(&self, rows: Option<(&Target, &Rows)>, value: &[u8]) -> Result<(), Fail> {
        let Some(p) = &self.live else { return Ok(()) };
        let w = &self.w;
        let deadline = Instant::now() + w.timeout / 2;
        w.drain(p);
        w.link.take_disturbed();
        p.begin_transaction().map_err(|e| Fail::of(&e, p.client().fatal_error()))?;
        if let Some((target, rows)) = rows {
            rows.iter().try_for_each(|row| w.send(p, target, &row, deadline))?;
        }
        let key = w.takeover_key();
        w.send_to(p, &w.marks, Some(w.partition), &Row::plain(key.as_bytes(), value), deadline)?;
        flush(p, deadline)?;
        p.abort_transaction(w.call_timeout()).map_err(|e| Fail::of(&e, p.client().fatal_error()))?;
        // A copy of the abort may still be on its way, and would end the next transaction of this producer.
        if w.link.take_disturbed() { Err(Fail::Unknown("the connection was disturbed".into())) } else { Ok(()) }
    }

    fn tail(&self, timeout: Duration) -> Tail<'_> {
        let w = &self.w;
        Tail::new(&w.connection, &w.link, &w.marks, w.partition, timeout)
    }

    fn patience(&self) -> Duration {
        self.w.timeout.max(Duration::from_millis(self.w.connection.request_timeout.0))
    }

    fn read(&self, tail_only: bool, high: Option<i64>) -> Result<Vec<(i64, Mark)>> {
        self.read_from(&self.tail(self.patience()), tail_only, high)
    }

    fn read_from(&self, tail: &Tail, tail_only: bool, high: Option<i64>) -> Result<Vec<(i64, Mark)>> {
        let w = &self.w;
        let get = |from: From| {
            persist(&w.link, &format!("read the marks in {}", w.marks), || {
                let mut found = Vec::new();
                let bounds = tail.read(from, high, |m| {
                    found.push(tail::owned(m));
                    true
                })?;
                Ok((found, bounds))
            })
        };
        let (mut found, bounds) = get(if tail_only { From::End(TAIL) } else { From::Start })?;
        // Nothing but aborted transactions at the end: the newest mark lies further back.
        if tail_only && bounds.low < bounds.stable - TAIL && !found.iter().any(|(_, key, _)| self.is_epoch(key)) {
            found = get(From::Start)?.0;
        }
        let at = |o: i64| move || format!("{}[{}] offset {o}", w.marks, w.partition);
        found.iter().map(|(o, _, value)| Ok((*o, Mark::read(value, at(*o))?))).collect()
    }

    fn is_epoch(&self, key: &[u8]) -> bool {
        key == self.w.key.as_bytes()
    }

    /// One transaction, start to end.
    fn attempt(&mut self, rows: Option<(&Target, &Rows)>, mark: &Mark, value: &[u8]) -> Result<(), Fail> {
        let Some(p) = &self.live else { return Err(Fail::Unknown("there is no producer".into())) };
        let w = &self.w;
        let key = if mark.epoch.is_some() { w.key.clone() } else { w.takeover_key() };
        w.drain(p);
        w.link.take_disturbed();
        w.begin(p)?;
        let deadline = Instant::now() + w.timeout / 2;
        if let Some((target, rows)) = rows {
            let half = rows.count() / 2;
            for (i, row) in rows.iter().enumerate() {
                if i as u64 == half {
                    w.crash_flushed(p, deadline, "kafka.mid_produce")?;
                }
                w.send(p, target, &row, deadline)?;
            }
            if fault::broken("kafka_progress_outside") {
                w.finish(p, deadline)?;
                w.begin(p)?;
            }
        }
        w.send_to(p, &w.marks, Some(w.partition), &Row::plain(key.as_bytes(), value), deadline)?;
        flush(p, deadline)?;
        w.point("kafka.before_commit")?;
        w.end(p)?;
        w.point("kafka.after_commit")?;
        w.drain(p);
        if w.link.take_disturbed() {
            self.live = None;
        }
        Ok(())
    }
}

impl Writer {
    /// Key of the marks by which a writer takes over: apart from the epochs', so that compaction keeps both.
    fn takeover_key(&self) -> String {
        format!("{}/takeover", self.key)
    }

    fn point(&self, name: &str) -> Result<(), Fail> {
        if self.crash_points {
            fault::crash_point(name);
        }
        #[cfg(test)]
        if let Some(f) = self.trip.as_ref().and_then(|t| t(name)) {
            return Err(f);
        }
        Ok(())
    }

    /// Crash point that leaves what was sent so far with the brokers.
    fn crash_flushed(&self, p: &BaseProducer<Context>, deadline: Instant, name: &str) -> Result<(), Fail> {
        if self.crash_points && fault::about_to_crash(name) {
            flush(p, deadline)?;
            fault::die(name)
        }
        #[cfg(test)]
        if self.trip.is_some() {
            flush(p, deadline)?;
            self.point(name)?;
        }
        Ok(())
    }

    /// How long one call of the library may take: shorter than its own patience with a request, so that it does not
    /// send a second copy of a commit before this side has given up.
    fn call_timeout(&self) -> Duration {
        self.socket_timeout() * 9 / 10
    }

    fn socket_timeout(&self) -> Duration {
        Duration::from_millis(self.connection.request_timeout.0).min(self.timeout / 3)
    }

    fn init(&self) -> Result<BaseProducer<Context>, Fail> {
        let mut c = self.connection.config(&self.id);
        let socket = self.socket_timeout().as_millis().to_string();
        c.set("transactional.id", &self.id);
        c.set("transaction.timeout.ms", self.timeout.as_millis().to_string());
        c.set("socket.timeout.ms", &socket);
        c.set("request.timeout.ms", &socket);
        produce_settings(&mut c, self.compression, self.max_message);
        // Asked for the end of a partition it must say where the log ends, not the last decided transaction.
        c.set("isolation.level", "read_uncommitted");
        let context = Context::new(self.link.clone());
        let p: BaseProducer<Context> =
            c.create_with_context(context).map_err(|e| Fail::Lasting(format!("cannot make a Kafka client: {e}")))?;
        match init_transactions(&p, &self.link, self.timeout) {
            Ok(()) => Ok(p),
            // Somebody else took the id at the same moment; whoever is newer will see the marks.
            Err(Fail::Fenced(why)) => Err(Fail::Unknown(why)),
            Err(f) => Err(f),
        }
    }

    fn high(&self, p: &BaseProducer<Context>) -> Result<i64, Fail> {
        let r = p.client().fetch_watermarks(&self.marks, self.partition, self.call_timeout());
        r.map(|(_, high)| high).map_err(|e| Fail::of(&e, p.client().fatal_error()))
    }

    fn begin(&self, p: &BaseProducer<Context>) -> Result<(), Fail> {
        p.begin_transaction().map_err(|e| Fail::of(&e, p.client().fatal_error()))?;
        self.point("kafka.after_begin")
    }

    /// End a transaction whose records have been sent.
    fn finish(&self, p: &BaseProducer<Context>, deadline: Instant) -> Result<(), Fail> {
        flush(p, deadline)?;
        self.end(p)
    }

    fn end(&self, p: &BaseProducer<Context>) -> Result<(), Fail> {
        p.commit_transaction(self.call_timeout()).map_err(|e| Fail::of(&e, p.client().fatal_error()))
    }

    fn send(&self, p: &BaseProducer<Context>, t: &Target, row: &Row, deadline: Instant) -> Result<(), Fail> {
        let partition = if row.key.is_some() { None } else { Some(t.partition) };
        self.send_to(p, &t.topic, partition, row, deadline)
    }

    fn send_to(
        &self,
        p: &BaseProducer<Context>,
        topic: &str,
        partition: Option<i32>,
        row: &Row,
        deadline: Instant,
    ) -> Result<(), Fail> {
        let mut record = record(topic, partition, row);
        loop {
            match p.send(record) {
                Ok(()) => return Ok(()),
                Err((e, back)) if is_full(&e) && Instant::now() < deadline => {
                    record = back;
                    breathe(p);
                }
                Err((e, _)) => return Err(Fail::of(&e, p.client().fatal_error())),
            }
        }
    }

    fn drain(&self, p: &BaseProducer<Context>) {
        for _ in 0..EVENTS {
            if p.in_flight_count() == 0 {
                break;
            }
            p.poll(Duration::ZERO);
        }
    }
}
