//! Topics the product makes: created if they are missing, never changed when they exist, except for more partitions
//! where the caller says so.
use crate::client::{Connection, Link};
use crate::fail::Fail;
use model::Result;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::bindings as rdsys;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use std::cell::OnceCell;
use std::ffi::CString;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Replicas of a topic where nothing else is said; fewer where there are fewer brokers.
const REPLICATION: i32 = 3;
/// How long a new topic may take to have leaders everywhere.
const READY: Duration = Duration::from_secs(30);
/// A hiccup that is over by then (a leader that moves, a topic that is new) is not worth a line.
const QUIET: Duration = Duration::from_secs(1);
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// A topic that has to be there.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub name: &'a str,
    /// Partitions of a new topic; with `grow` also the least an existing one must have.
    pub partitions: i32,
    pub replication: Option<i32>,
    /// Settings of a new topic.
    pub config: Vec<(&'a str, String)>,
    /// Largest message that will be sent to it, and the setting that says so; a topic that takes less is an error.
    pub message: Option<(usize, &'static str)>,
    /// Make it if it is missing; otherwise that is an error.
    pub create: bool,
    /// Add partitions to an existing topic that has fewer.
    pub grow: bool,
}

/// Pauses between attempts: doubling, bounded.
pub(crate) struct Pause {
    next: Duration,
    began: Instant,
}

impl Pause {
    pub(crate) fn new() -> Pause {
        Pause { next: PAUSE_MIN, began: Instant::now() }
    }
    pub(crate) fn wait(&mut self) {
        thread::sleep(self.next);
        self.next = (self.next * 2).min(PAUSE_MAX);
    }
    /// Pause after an attempt that came to nothing, and say once that it waits if that has lasted. An error if the brokers
    /// refuse us: then another attempt is of no use.
    pub(crate) fn after(&mut self, link: &Link, doing: &str, why: &str) -> Result<()> {
        if let Some(refused) = link.refused() {
            return Err(format!("Kafka refuses to {doing}: {refused}").into());
        }
        note(link, why);
        if self.began.elapsed() > QUIET {
            link.waiting(doing);
        }
        self.wait();
        Ok(())
    }
}

/// Administration of a cluster, on a client of its own.
pub(crate) struct Admin<'a> {
    connection: &'a Connection,
    link: &'a Link,
    /// Made when it is needed: mostly everything is there.
    client: OnceCell<AdminClient<Link>>,
    /// Asks for metadata, and hears why the brokers refuse us: the administration client does not listen.
    ears: BaseConsumer<Link>,
}

/// How long to wait for an answer before listening for refusals.
pub(crate) const LISTEN: Duration = Duration::from_secs(2);

impl<'a> Admin<'a> {
    pub(crate) fn new(connection: &'a Connection, link: &'a Link) -> Result<Admin<'a>> {
        let ears = connection
            .config("topics")
            .create_with_context(link.clone())
            .map_err(|e| format!("cannot make a Kafka client: {e}"))?;
        Ok(Admin { connection, link, client: OnceCell::new(), ears })
    }

    fn client(&self) -> Result<&AdminClient<Link>, Fail> {
        if let Some(c) = self.client.get() {
            return Ok(c);
        }
        let client: AdminClient<Link> = self
            .connection
            .config("admin")
            .create_with_context(self.link.clone())
            .map_err(|e| Fail::Lasting(format!("cannot make a Kafka client: {e}")))?;
        if self.connection.config("").get("sasl.mechanism") == Some("OAUTHBEARER") {
            set_token(&client, self.link).map_err(|e| Fail::Lasting(e.to_string()))?;
        }
        Ok(self.client.get_or_init(|| client))
    }

    fn options(&self) -> AdminOptions {
        let t = Duration::from_millis(self.connection.request_timeout.0);
        AdminOptions::new().request_timeout(Some(t)).operation_timeout(Some(t / 2))
    }

    /// Partitions of a topic with and without leader; `None`: there is no such topic. Number of brokers beside.
    pub(crate) fn partitions(&self, topic: &str) -> Result<(Option<(i32, i32)>, i32), Fail> {
        // Also tokens are handed over in answer to an event.
        self.ears.poll(Duration::from_millis(1));
        let m = self.ears.fetch_metadata(Some(topic), LISTEN).map_err(|e| {
            self.ears.poll(Duration::from_millis(10));
            Fail::of(&e, None)
        })?;
        let brokers = m.brokers().len() as i32;
        let Some(t) = m.topics().iter().find(|t| t.name() == topic) else { return Ok((None, brokers)) };
        match t.error().map(Code::from) {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok((None, brokers)),
            Some(Code::TopicAuthorizationFailed) => {
                Err(Fail::Lasting(format!("the topic `{topic}` may not be described (missing right)")))
            }
            _ => {
                let ready = t.partitions().iter().filter(|p| p.leader() >= 0).count() as i32;
                Ok((Some((t.partitions().len() as i32, ready)), brokers))
            }
        }
    }

    /// Make what is missing. Returns the number of partitions once all of them have a leader.
    fn ensure(&self, w: &Wanted) -> Result<i32, Fail> {
        let deadline = Instant::now() + READY;
        let mut pause = Pause::new();
        loop {
            match self.partitions(w.name)? {
                (None, _) if !w.create => {
                    return Err(Fail::Lasting(format!(
                        "the topic `{}` does not exist; make it, or set create_topic = true",
                        w.name
                    )));
                }
                (None, brokers) => self.create(w, brokers)?,
                (Some((n, _)), _) if w.grow && n < w.partitions => self.grow(w)?,
                (Some((n, ready)), _) if n > 0 && ready == n => {
                    self.check_size(w)?;
                    return Ok(n);
                }
                _ => {}
            }
            if Instant::now() >= deadline {
                return Err(Fail::Unknown(format!("the topic `{}` has partitions without a leader", w.name)));
            }
            pause.wait();
        }
    }

    /// Compare the largest message with what the topic takes, where we may ask: finding out later stops the run.
    fn check_size(&self, w: &Wanted) -> Result<(), Fail> {
        let Some((size, setting)) = w.message else { return Ok(()) };
        let asked = [ResourceSpecifier::Topic(w.name)];
        let answer =
            block_on(self.client()?.describe_configs(&asked, &self.options())).map_err(|e| Fail::of(&e, None))?;
        let limit =
            answer.iter().flatten().find_map(|r| r.get("max.message.bytes")?.value.as_ref()?.parse::<usize>().ok());
        match limit {
            Some(limit) if limit < size => Err(Fail::Lasting(format!(
                "the topic `{}` takes messages of at most {limit} bytes (max.message.bytes), and {setting} needs {size}: \
                 raise the one or lower the other",
                w.name
            ))),
            _ => Ok(()),
        }
    }

    fn create(&self, w: &Wanted, brokers: i32) -> Result<(), Fail> {
        let replication = w.replication.unwrap_or(REPLICATION.min(brokers.max(1)));
        let mut topic = NewTopic::new(w.name, w.partitions, TopicReplication::Fixed(replication));
        for (k, v) in &w.config {
            topic = topic.set(k, v);
        }
        let results = block_on(self.client()?.create_topics([&topic], &self.options()));
        self.judge(w.name, "create", results, &[Code::TopicAlreadyExists])
    }

    fn grow(&self, w: &Wanted) -> Result<(), Fail> {
        let more = NewPartitions::new(w.name, w.partitions as usize);
        let results = block_on(self.client()?.create_partitions([&more], &self.options()));
        // Another shard was quicker.
        self.judge(w.name, "add partitions to", results, &[Code::InvalidPartitions])
    }

    fn judge(
        &self,
        topic: &str,
        doing: &str,
        results: Result<Vec<rdkafka::admin::TopicResult>, KafkaError>,
        fine: &[Code],
    ) -> Result<(), Fail> {
        for r in results.map_err(|e| Fail::of(&e, None))? {
            match r {
                Err((_, code)) if !fine.contains(&code) => {
                    let text = format!("cannot {doing} the topic `{topic}`: {code}");
                    return Err(match code {
                        Code::InvalidReplicationFactor | Code::InvalidConfig | Code::InvalidPartitions => {
                            Fail::Lasting(text)
                        }
                        code => Fail::of_code(code, text),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Delete the records of partitions below the given offsets.
    pub(crate) fn delete_below(&self, offsets: &[(&str, i32, i64)]) -> Result<(), Fail> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(|e| Fail::of(&e, None))?;
        }
        let done = block_on(self.client()?.delete_records(&list, &self.options())).map_err(|e| Fail::of(&e, None))?;
        done.elements().iter().try_for_each(|e| e.error()).map_err(|e| Fail::of(&e, None))
    }

    /// Run an operation until the cluster answers; lasting failures are errors.
    pub(crate) fn persist<T>(&self, doing: &str, op: impl Fn(&Admin) -> Result<T, Fail>) -> Result<T> {
        persist(self.link, doing, || op(self))
    }
}

/// Do something until the cluster answers. Says once that it waits; a refusal or a lasting failure is an error.
pub(crate) fn persist<T>(link: &Link, doing: &str, mut op: impl FnMut() -> Result<T, Fail>) -> Result<T> {
    let mut pause = Pause::new();
    loop {
        match op() {
            Ok(v) => {
                link.reached();
                return Ok(v);
            }
            Err(Fail::Unknown(why)) => pause.after(link, doing, &why)?,
            Err(f) => return Err(format!("cannot {doing}: {}", f.why()).into()),
        }
    }
}

/// Remember why something failed, for the line that tells of an outage.
pub(crate) fn note(link: &Link, why: &str) {
    link.log(RDKafkaLogLevel::Warning, "FAIL", why);
}

/// Make the topics that are missing, waiting for a cluster that is away. Returns their numbers of partitions.
pub(crate) fn ensure(connection: &Connection, link: &Link, wanted: &[Wanted]) -> Result<Vec<i32>> {
    let admin = Admin::new(connection, link)?;
    wanted.iter().map(|w| admin.persist(&format!("make the topic `{}`", w.name), |a| a.ensure(w))).collect()
}

/// The administration client never polls for the events that ask for a token, so it is given one beforehand.
fn set_token(client: &AdminClient<Link>, link: &Link) -> Result<()> {
    let t = link.generate_oauth_token(None).map_err(|e| e.to_string())?;
    let (value, name) = (CString::new(t.token)?, CString::new(t.principal_name)?);
    let mut why = [0 as std::ffi::c_char; 256];
    // SAFETY: a live client, NUL-terminated strings, and a buffer with its length; the library keeps none of them.
    let code = unsafe {
        rdsys::rd_kafka_oauthbearer_set_token(
            client.inner().native_ptr(),
            value.as_ptr(),
            t.lifetime_ms,
            name.as_ptr(),
            std::ptr::null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    match Code::from(code) {
        Code::NoError => Ok(()),
        code => Err(format!("the bearer token is not accepted by the client library: {code}").into()),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Wait for a future on this thread. The library's own thread completes it.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Arc::new(Unpark(thread::current())).into();
    let (mut cx, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(v) => return v,
            Poll::Pending => thread::park(),
        }
    }
}

/// Characters of a Kafka topic name, and at most so many.
const NAME_MAX: usize = 249;

/// What is wrong with a topic name, if anything.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || matches!(name, "." | "..") || name.len() > NAME_MAX || !name.chars().all(fits) {
        return Some(format!("`{name}` is not a topic name: letters, digits, `.`, `_` and `-`, at most {NAME_MAX}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_topics() {
        assert_eq!(name_problem("a.b-c_9"), None);
        for bad in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
            assert!(name_problem(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn waiting_for_a_future_that_another_thread_completes() {
        let (tx, rx) = std::sync::mpsc::channel::<std::task::Waker>();
        let other = thread::spawn(move || rx.recv().unwrap().wake());
        let mut polled = 0;
        let f = std::future::poll_fn(|cx| {
            polled += 1;
            if polled == 1 {
                tx.send(cx.waker().clone()).unwrap();
                return Poll::Pending;
            }
            Poll::Ready(7)
        });
        assert_eq!(block_on(f), 7);
        other.join().unwrap();
    }
}
