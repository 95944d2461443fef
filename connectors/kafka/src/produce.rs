//! Producing: settings, batches, waiting, and what the client library tells meanwhile. Shared by the writers with and
//! without transactions.
use crate::client::Link;
use crate::fail::Fail;
use crate::rows::Row;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes and records waiting inside the client library; what does not fit waits in [`crate::rows::Rows`].
pub(crate) const QUEUE_KIB: usize = 16 << 10;
const QUEUE_RECORDS: usize = 200_000;
/// Bytes of a batch on the wire, before compression.
const BATCH: usize = 1 << 20;
/// How long records wait for company in a batch. All of an epoch is there at once, so company comes at once.
const LINGER_MS: &str = "1";
/// How long an attempt waits at a time before it looks at events again.
const STEP: Duration = Duration::from_millis(500);
/// Ending the transaction of a dead writer takes its time; only after this long it is worth a line.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pause between two looks at records on their way.
const BREATH: Duration = Duration::from_micros(500);
/// Pause before asking brokers again that were busy.
const BUSY: Duration = Duration::from_millis(20);

/// Compression of what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// Small and still fast.
    #[default]
    Zstd,
    /// Faster, larger.
    Lz4,
    /// As it is.
    None,
}

impl Compression {
    pub(crate) fn codec(self) -> &'static str {
        match self {
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
            Compression::None => "none",
        }
    }
}

/// Where rows go.
pub(crate) struct Target {
    pub topic: String,
    /// For rows without a key; rows with one are spread by it.
    pub partition: i32,
}

/// Initialise a new producer, which ends what earlier ones with its id have left open. The brokers may be busy with
/// just that, or with moving the coordinator, so this takes up to `limit`.
pub(crate) fn init_transactions(p: &BaseProducer<Context>, link: &Link, limit: Duration) -> Result<(), Fail> {
    let started = Instant::now();
    loop {
        // In steps, because events (a token is due, a wrong password) are heard in between only.
        breathe(p);
        let Err(e) = p.init_transactions(STEP) else { return Ok(()) };
        let again = matches!(&e, KafkaError::Transaction(t) if t.is_retriable() && !t.is_fatal());
        if !again || started.elapsed() >= limit || link.refused().is_some() {
            return Err(Fail::of(&e, p.client().fatal_error()));
        }
        if started.elapsed() > PATIENCE {
            link.waiting("start transactions");
        }
        if e.rdkafka_error_code() != Some(Code::OperationTimedOut) {
            std::thread::sleep(BUSY);
        }
    }
}

/// Settings of everything that produces.
pub(crate) fn produce_settings(c: &mut rdkafka::ClientConfig, compression: Compression, max_message: usize) {
    c.set("enable.idempotence", "true");
    c.set("acks", "all");
    c.set("compression.type", compression.codec());
    c.set("linger.ms", LINGER_MS);
    c.set("queue.buffering.max.kbytes", QUEUE_KIB.max(2 * max_message >> 10).to_string());
    c.set("queue.buffering.max.messages", QUEUE_RECORDS.to_string());
    c.set("batch.num.messages", "100000");
    c.set("batch.size", BATCH.to_string());
    c.set("message.max.bytes", max_message.to_string());
    // Only failures are reported one by one; when nothing is on its way any more, all others have arrived.
    c.set("delivery.report.only.error", "true");
    // Equal keys go to one partition, the one that the Java clients choose.
    c.set("partitioner", "murmur2_random");
}

/// Wait until every record was taken by the brokers. Looked at in small steps: the library's own way of waiting in a
/// commit costs a tenth of a second.
pub(crate) fn flush(p: &BaseProducer<Context>, deadline: Instant) -> Result<(), Fail> {
    while p.in_flight_count() > 0 {
        if Instant::now() >= deadline {
            return Err(Fail::Unknown("the records were not taken in time".into()));
        }
        breathe(p);
        p.client().context().check()?;
    }
    p.client().context().check()
}

/// Wait a moment, then handle what has happened. Not by waiting inside the library's poll: for times below a
/// millisecond that is a busy loop, which costs more than everything else a commit does.
pub(crate) fn breathe<C: ProducerContext>(p: &BaseProducer<C>) {
    std::thread::sleep(BREATH);
    for _ in 0..8 {
        p.poll(Duration::ZERO);
    }
}

/// The library's queue is full; it empties as the brokers answer.
pub(crate) fn is_full(e: &KafkaError) -> bool {
    e.rdkafka_error_code() == Some(Code::QueueFull)
}

/// A row as the client library takes it.
pub(crate) fn record<'a>(topic: &'a str, partition: Option<i32>, row: &Row<'a>) -> BaseRecord<'a, [u8], [u8]> {
    let mut r = BaseRecord::to(topic).payload(row.value);
    if let Some(k) = row.key {
        r = r.key(k);
    }
    if let Some(p) = partition {
        r = r.partition(p);
    }
    let mut headers: Option<OwnedHeaders> = None;
    for (key, value) in row.headers() {
        headers = Some(headers.unwrap_or_else(OwnedHeaders::new).insert(Header { key, value: Some(value) }));
    }
    match headers {
        Some(h) => r.headers(h),
        None => r,
    }
}

/// Context of a producer: the link, and the first record that could not be delivered.
pub(crate) struct Context {
    link: Link,
    failed: Mutex<Option<KafkaError>>,
}

impl Context {
    pub(crate) fn new(link: Link) -> Context {
        Context { link, failed: Mutex::new(None) }
    }

    /// Fails if a record could not be delivered.
    pub(crate) fn check(&self) -> Result<(), Fail> {
        match &*self.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(e) => Err(Fail::of(e, None)),
            None => Ok(()),
        }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, text: &str) {
        self.link.log(level, fac, text);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(error, reason);
    }
    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.link.generate_oauth_token(config)
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((e, _)) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| e.clone());
        }
    }
}
