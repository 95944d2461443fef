//! The client library's names as the connector uses them, on simulated brokers.
use super::state::{Broken, Brokers, Refusal, Request, Row};
use crate::sched::{Sched, pause, say, sched};
use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// How late a late request may be, in turns.
const LATE: u64 = 600;

/// `rdkafka::error`.
pub mod error {
    /// Codes that the connector names.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(missing_docs, dead_code)]
    pub enum RDKafkaErrorCode {
        Fenced,
        ProducerFenced,
        InvalidProducerEpoch,
        TopicAuthorizationFailed,
        GroupAuthorizationFailed,
        ClusterAuthorizationFailed,
        TransactionalIdAuthorizationFailed,
        InvalidTransactionTimeout,
        MessageSizeTooLarge,
        InvalidMessageSize,
        InvalidRecord,
        PolicyViolation,
        UnsupportedVersion,
        UnsupportedFeature,
        InvalidArgument,
        InvalidTopic,
        UnknownTopic,
        UnknownPartition,
        NotImplemented,
        OperationTimedOut,
        BrokerTransportFailure,
        OutOfOrderSequenceNumber,
        InvalidTransactionalState,
        QueueFull,
        Fatal,
    }
    /// An error of the library.
    #[derive(Clone, Debug)]
    #[allow(missing_docs, dead_code)]
    pub enum KafkaError {
        Global(RDKafkaErrorCode),
        MessageProduction(RDKafkaErrorCode),
        Transaction(RDKafkaError),
    }
    /// An error of a transactional call.
    #[derive(Clone, Debug)]
    pub struct RDKafkaError(pub RDKafkaErrorCode);
    #[allow(dead_code)]
    impl RDKafkaError {
        /// The call may be made again.
        pub fn is_retriable(&self) -> bool {
            matches!(self.0, RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::BrokerTransportFailure)
        }
        /// The producer is of no use any more.
        pub fn is_fatal(&self) -> bool {
            matches!(self.0, RDKafkaErrorCode::ProducerFenced)
        }
        /// Its code.
        pub fn code(&self) -> RDKafkaErrorCode {
            self.0
        }
    }
    impl KafkaError {
        /// Its code.
        pub fn rdkafka_error_code(&self) -> Option<RDKafkaErrorCode> {
            match self {
                KafkaError::Global(c) | KafkaError::MessageProduction(c) => Some(*c),
                KafkaError::Transaction(e) => Some(e.0),
            }
        }
    }
    impl std::fmt::Display for KafkaError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{:?}", self.rdkafka_error_code())
        }
    }
}

/// `rdkafka::config`.
pub mod config {
    /// Level of a line.
    #[derive(Clone, Copy, Debug)]
    #[allow(missing_docs)]
    pub enum RDKafkaLogLevel {
        Warning,
    }
}

/// `rdkafka::message`.
pub mod message {
    /// Headers are not kept.
    #[derive(Default)]
    pub struct OwnedHeaders;
    /// A header.
    #[allow(missing_docs, dead_code)]
    pub struct Header<'a, V> {
        pub key: &'a str,
        pub value: Option<V>,
    }
    impl OwnedHeaders {
        /// None yet.
        pub fn new() -> OwnedHeaders {
            OwnedHeaders
        }
        /// Add one.
        pub fn insert<V>(self, _: Header<'_, V>) -> OwnedHeaders {
            self
        }
    }
}

use error::{KafkaError, RDKafkaErrorCode as Code};

/// `rdkafka::client::ClientContext`.
pub trait ClientContext {
    /// Tokens are not simulated.
    #[allow(dead_code)]
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = false;
    /// A line of the library's log.
    fn log(&self, level: config::RDKafkaLogLevel, fac: &str, text: &str);
    /// An error beside the calls.
    fn error(&self, error: KafkaError, reason: &str);
    /// A token is due.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>>;
}

/// `rdkafka::client::OAuthToken`.
pub struct OAuthToken;

/// `rdkafka::ClientConfig`.
#[derive(Default)]
pub struct ClientConfig(BTreeMap<String, String>);

impl ClientConfig {
    /// Set an option.
    pub fn set(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.0.insert(key.into(), value.into());
        self
    }
    /// Make a client.
    pub fn create_with_context<C: producer::ProducerContext>(
        &self,
        context: C,
    ) -> Result<producer::BaseProducer<C>, KafkaError> {
        Ok(producer::BaseProducer::new(self.0.get("transactional.id").cloned(), context))
    }
}

/// The brokers, for the thread that has the turn.
pub fn brokers(s: &Sched) -> MutexGuard<'_, Brokers> {
    s.brokers.lock().expect("no holder panics")
}

fn broken(s: &Sched) -> Broken {
    Broken { no_fence: s.broken("mock_no_fence"), keep_producer: s.broken("mock_keep_producer") }
}

/// Requests that are due arrive.
pub fn settle(s: &Sched) {
    let turns = s.state().turns;
    let n = brokers(s).arrive(turns, broken(s));
    if n > 0 {
        s.state().cover.hit("late request arrived");
    }
}

/// Ask the brokers. The answer may be lost, or the request late.
fn call(request: Request) -> Result<(u64, bool), Code> {
    pause();
    let s = sched();
    settle(&s);
    let (mut lost, mut unanswered, mut late, mut copied) = (false, false, None, None);
    {
        let mut st = s.state();
        st.mix_in(match &request {
            Request::Init { .. } => 1,
            Request::Produce { seq, rows, .. } => 2 + seq * 1000 + rows.len() as u64,
            Request::End { .. } => 3,
        });
        let m = st.mix.clone();
        if let Request::Produce { id, txn: true, .. } | Request::End { id, .. } = &request
            && st.fault("transaction expired", m.expired)
        {
            brokers(&s).expire(id);
        }
        if st.fault("request lost", m.lost) {
            lost = true;
        } else if st.fault("answer lost", m.unanswered) {
            unanswered = true;
        } else if st.fault("request late", m.late) {
            late = Some(st.turns + st.rng.range(1, LATE));
        } else if st.fault("request copied", m.copied) {
            copied = Some(st.turns + st.rng.range(1, LATE));
        }
    }
    say(|| {
        let text = match &request {
            Request::Produce { id, epoch, seq, topic, partition, rows, .. } => {
                let rows: Vec<_> =
                    rows.iter().map(|r| String::from_utf8_lossy(&r.1).chars().take(200).collect::<String>()).collect();
                format!("produce {id} epoch {epoch} seq {seq} {topic}[{partition}] {rows:?}")
            }
            r => format!("{r:?}"),
        };
        format!("{text} lost {lost} unanswered {unanswered} late {late:?} copied {copied:?}")
    });
    if lost {
        return Err(Code::OperationTimedOut);
    }
    if let Some(at) = late {
        brokers(&s).send_later(at, request);
        return Err(Code::OperationTimedOut);
    }
    if let Some(at) = copied {
        brokers(&s).send_later(at, request.clone());
    }
    let answer = brokers(&s).take(request, broken(&s));
    say(|| format!("  answer {answer:?}"));
    pause();
    match answer {
        _ if unanswered => Err(Code::OperationTimedOut),
        Ok(epoch) => Ok((epoch, copied.is_some())),
        Err(Refusal::Fenced) => Err(Code::ProducerFenced),
        Err(Refusal::Ended) => Err(Code::InvalidTransactionalState),
        Err(Refusal::OutOfOrder) => Err(Code::OutOfOrderSequenceNumber),
    }
}

/// `rdkafka::producer`.
pub mod producer {
    use super::*;

    /// Nothing to import: the methods are [`BaseProducer`]'s own.
    pub trait Producer {}
    impl<C> Producer for BaseProducer<C> where C: ProducerContext {}

    /// What is told of a record.
    pub type DeliveryResult<'a> = Result<(), (KafkaError, PhantomData<&'a ()>)>;

    /// Who is told.
    pub trait ProducerContext: ClientContext {
        /// What travels with a record.
        type DeliveryOpaque;
        /// A record was taken, or not.
        fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque);
    }

    /// A record to produce.
    pub struct BaseRecord<'a, K: ?Sized, P: ?Sized, D = ()> {
        topic: &'a str,
        key: Option<&'a K>,
        payload: Option<&'a P>,
        partition: Option<i32>,
        opaque: D,
    }

    impl<'a, K: ?Sized, P: ?Sized> BaseRecord<'a, K, P> {
        /// A record for a topic, with nothing that travels along.
        pub fn to(topic: &'a str) -> Self {
            BaseRecord::with_opaque_to(topic, ())
        }
    }

    #[allow(dead_code)]
    impl<'a, K: ?Sized, P: ?Sized, D> BaseRecord<'a, K, P, D> {
        /// A record for a topic.
        pub fn with_opaque_to(topic: &'a str, opaque: D) -> Self {
            BaseRecord { topic, key: None, payload: None, partition: None, opaque }
        }
        /// With a value.
        pub fn payload(mut self, payload: &'a P) -> Self {
            self.payload = Some(payload);
            self
        }
        /// With a key.
        pub fn key(mut self, key: &'a K) -> Self {
            self.key = Some(key);
            self
        }
        /// For a partition.
        pub fn partition(mut self, partition: i32) -> Self {
            self.partition = Some(partition);
            self
        }
        /// With headers.
        pub fn headers(self, _: message::OwnedHeaders) -> Self {
            self
        }
    }

    fn failed(code: Code) -> KafkaError {
        KafkaError::Transaction(error::RDKafkaError(code))
    }

    type Waiting<D> = ((String, usize), Row, D);

    /// A producer.
    pub struct BaseProducer<C: ProducerContext> {
        id: Option<String>,
        context: C,
        inner: Mutex<Inner<C::DeliveryOpaque>>,
    }

    struct Inner<D> {
        epoch: u64,
        seqs: BTreeMap<(String, usize), u64>,
        queue: VecDeque<Waiting<D>>,
        plain: String,
        busy: bool,
    }

    /// `rdkafka::client::Client`.
    pub struct Client<'a, C>(&'a C);

    impl<C> Client<'_, C> {
        /// There is none: fencing is told by the calls.
        pub fn fatal_error(&self) -> Option<(Code, String)> {
            None
        }
        /// First and last offset.
        pub fn fetch_watermarks(&self, topic: &str, partition: i32, _: Duration) -> Result<(i64, i64), KafkaError> {
            pause();
            let s = sched();
            settle(&s);
            let b = brokers(&s);
            let p = &b.topic(topic)[partition as usize];
            Ok((p.low as i64, p.records.len() as i64))
        }
    }

    impl<'a, C> Client<'a, C> {
        /// The context.
        pub fn context(&self) -> &'a C {
            self.0
        }
    }

    impl<C: ProducerContext> BaseProducer<C> {
        pub(super) fn new(id: Option<String>, context: C) -> Self {
            let s = sched();
            let mut b = brokers(&s);
            b.plain += 1;
            let plain = format!("plain {}", b.plain);
            let inner = Inner { epoch: 0, seqs: BTreeMap::new(), queue: VecDeque::new(), plain, busy: false };
            BaseProducer { id, context, inner: Mutex::new(inner) }
        }
        fn inner(&self) -> MutexGuard<'_, Inner<C::DeliveryOpaque>> {
            self.inner.lock().expect("no holder panics")
        }
        /// The client inside.
        pub fn client(&self) -> Client<'_, C> {
            Client(&self.context)
        }
        /// Records that are not taken yet. Asking is waiting here: the connector would sleep between two looks, which in a
        /// simulation is real time.
        pub fn in_flight_count(&self) -> i32 {
            while !self.inner().queue.is_empty() || self.inner().busy {
                self.poll(Duration::ZERO);
            }
            0
        }
        /// Queue a record.
        pub fn send<'a>(
            &self,
            r: BaseRecord<'a, [u8], [u8], C::DeliveryOpaque>,
        ) -> Result<(), (KafkaError, BaseRecord<'a, [u8], [u8], C::DeliveryOpaque>)> {
            let partitions = brokers(&sched()).topic(r.topic).len() as u64;
            let of_key = |k: &[u8]| (xxhash_rust::xxh3::xxh3_64(k) % partitions.max(1)) as usize;
            let partition = r.partition.map_or_else(|| r.key.map_or(0, of_key), |p| p as usize);
            let row = (r.key.map(<[u8]>::to_vec), r.payload.map(<[u8]>::to_vec).unwrap_or_default());
            self.inner().queue.push_back(((r.topic.into(), partition), row, r.opaque));
            Ok(())
        }
        /// Send a batch: what is queued first, with all that follows for the same partition.
        pub fn poll(&self, _: Duration) {
            if self.inner().busy {
                // Another thread's batch is on its way.
                return pause();
            }
            let (request, opaques, at) = {
                let mut i = self.inner();
                let Some((at, _, _)) = i.queue.front() else { return };
                let at = at.clone();
                let (mut rows, mut opaques, mut rest) = (Vec::new(), Vec::new(), VecDeque::new());
                for (to, row, opaque) in std::mem::take(&mut i.queue) {
                    if to == at {
                        rows.push(row);
                        opaques.push(opaque);
                    } else {
                        rest.push_back((to, row, opaque));
                    }
                }
                i.queue = rest;
                let id = self.id.clone().unwrap_or_else(|| i.plain.clone());
                i.busy = true;
                let seq = i.seqs.get(&at).copied().unwrap_or(0);
                let (topic, partition) = at.clone();
                let txn = self.id.is_some();
                (Request::Produce { id, epoch: i.epoch, seq, topic, partition, rows, txn }, opaques, at)
            };
            let answer = call(request);
            self.inner().busy = false;
            let result = match answer {
                Ok((_, copied)) => {
                    *self.inner().seqs.entry(at).or_default() += 1;
                    self.disturbed(copied);
                    Ok(())
                }
                Err(code) => Err((KafkaError::MessageProduction(code), PhantomData)),
            };
            opaques.into_iter().for_each(|o| self.context.delivery(&result, o));
        }
        fn disturbed(&self, copied: bool) {
            if copied {
                self.context.log(config::RDKafkaLogLevel::Warning, "FAIL", "connection lost and made again");
            }
        }
        fn id(&self) -> String {
            self.id.clone().expect("a transactional producer")
        }
        /// Take the transactional id.
        pub fn init_transactions(&self, _: Duration) -> Result<(), KafkaError> {
            let incarnation = sched().mine();
            let (epoch, _) = call(Request::Init { id: self.id(), incarnation }).map_err(failed)?;
            let mut i = self.inner();
            i.epoch = epoch;
            i.seqs.clear();
            Ok(())
        }
        /// The brokers hear of it with the first record.
        pub fn begin_transaction(&self) -> Result<(), KafkaError> {
            Ok(())
        }
        /// End the transaction.
        pub fn commit_transaction(&self, _: Duration) -> Result<(), KafkaError> {
            self.end(true)
        }
        /// End the transaction without effect.
        #[allow(dead_code)]
        pub fn abort_transaction(&self, _: Duration) -> Result<(), KafkaError> {
            self.end(false)
        }
        fn end(&self, commit: bool) -> Result<(), KafkaError> {
            let epoch = self.inner().epoch;
            let (_, copied) = call(Request::End { id: self.id(), epoch, commit }).map_err(failed)?;
            self.disturbed(copied);
            Ok(())
        }
    }
}
