//! How to reach a cluster: the settings that source, sink and log share, and the context of every client.
//!
//! The client library logs a flood while a broker is away. Here one line says that an outage has begun for this
//! process and one that it has ended, however many clients are waiting ([`Link::waiting`], [`Link::reached`]).
use crate::token;
use model::units::Dur;
use model::{Problem, waits};
use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After waiting so long for what a partition must bring, and again each time, a client is replaced: the library (librdkafka up
/// to 2.14 at least) never reads a partition again that had no leader for a moment, if it learns of the next one in an unlucky
/// order.
pub(crate) const RENEW: Duration = Duration::from_secs(5);

/// Connection to a Kafka cluster. Flattened into the settings of source, sink and log.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Connection {
    /// Brokers to ask first, as `host:port,host:port`; the others are learnt from them.
    pub(crate) brokers: String,
    /// Encryption and authentication. Default: neither.
    pub(crate) security: Option<Security>,
    /// Name of this client in the brokers' logs and quotas. Default: `millstream`.
    pub(crate) client_id: Option<String>,
    /// How long setting up a connection (TCP, TLS, SASL) may take.
    #[serde(default = "connect_timeout")]
    pub(crate) connect_timeout: Dur,
    /// How long a broker may take to answer a request before the connection is given up.
    #[serde(default = "request_timeout")]
    pub(crate) request_timeout: Dur,
    /// Options of the client library (librdkafka) by their own names, for what has no setting here. Options that
    /// exactly-once delivery or the memory budget rests on are refused.
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
}

/// Encryption and authentication of a connection.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Security {
    /// What the brokers' listener speaks.
    protocol: Protocol,
    /// PEM file with the authorities that sign the brokers' certificates. Default: those of the system.
    ca_file: Option<String>,
    /// PEM file with the certificate of this client.
    cert_file: Option<String>,
    /// PEM file with the private key of `cert_file`.
    key_file: Option<String>,
    /// Password of `key_file`.
    key_password: Option<String>,
    /// How to log in, with one of the `sasl` protocols.
    mechanism: Option<Mechanism>,
    /// User name (PLAIN, SCRAM).
    username: Option<String>,
    /// Password (PLAIN, SCRAM).
    password: Option<String>,
    /// File with the bearer token (OAUTHBEARER). Read again whenever a new one is due, so something else may renew it.
    token_file: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    Scram256,
    #[serde(rename = "SCRAM-SHA-512")]
    Scram512,
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

fn connect_timeout() -> Dur {
    Dur(10_000)
}
fn request_timeout() -> Dur {
    Dur(30_000)
}

/// Range of both timeouts, milliseconds (the client library takes no more).
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 1_000..=300_000;
/// Most raw options.
const MAX_OPTIONS: usize = 64;
/// Longest pause between two attempts to connect, milliseconds: how late the end of an outage is noticed.
const RECONNECT_MAX_MS: u64 = 1_000;

/// Options nobody may set by hand, and why.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "bootstrap.servers",
            "metadata.broker.list",
            "client.id",
            "socket.timeout.ms",
            "socket.connection.setup.timeout.ms",
        ],
        "there is a setting for it: brokers, client_id, request_timeout, connect_timeout",
    ),
    (
        &[
            "security.protocol",
            "sasl.mechanism",
            "sasl.mechanisms",
            "sasl.username",
            "sasl.password",
            "ssl.ca.location",
            "ssl.certificate.location",
            "ssl.key.location",
            "ssl.key.password",
        ],
        "there is a setting for it in `security`",
    ),
    (
        &[
            "group.id",
            "group.instance.id",
            "enable.auto.commit",
            "auto.commit.enable",
            "enable.auto.offset.store",
            "auto.offset.reset",
        ],
        "positions are kept by the product, in the epoch log; a group only shows them",
    ),
    (
        &["isolation.level", "enable.partition.eof", "check.crcs"],
        "exactly-once reading rests on it (the source has the setting `isolation`)",
    ),
    (
        &[
            "transactional.id",
            "transaction.timeout.ms",
            "enable.idempotence",
            "enable.gapless.guarantee",
            "acks",
            "request.required.acks",
            "max.in.flight",
            "max.in.flight.requests.per.connection",
            "retries",
            "message.send.max.retries",
            "message.timeout.ms",
            "delivery.timeout.ms",
            "partitioner",
        ],
        "exactly-once writing rests on it",
    ),
    (
        &[
            "queued.max.messages.kbytes",
            "fetch.message.max.bytes",
            "max.partition.fetch.bytes",
            "fetch.max.bytes",
            "receive.message.max.bytes",
            "message.max.bytes",
        ],
        "it follows from the settings `memory` and `max_record`",
    ),
    (&["compression.codec", "compression.type"], "the sink has the setting `compression`"),
    (&["plugin.library.paths"], "it would load foreign code into the engine"),
    (
        &["log.queue", "log_level", "statistics.interval.ms", "test.mock.num.brokers"],
        "it is for tests of the client library",
    ),
];

impl Connection {
    /// Everything that is wrong with these settings. Opens nothing.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut out = Vec::new();
        if let Some(bad) = self.brokers.split(',').map(str::trim).find(|b| !is_address(b)) {
            let what = if bad.is_empty() { "an address is empty".into() } else { format!("`{bad}` is not an address") };
            out.push(Problem::at("brokers", what).hint("host:port, several with commas between"));
        }
        for (name, t) in [("connect_timeout", self.connect_timeout), ("request_timeout", self.request_timeout)] {
            if !TIMEOUT_MS.contains(&t.0) {
                out.push(Problem::at(name, format!("{t} is out of range")).hint("between 1s and 300s"));
            }
        }
        if let Some(s) = &self.security {
            s.problems(&mut out);
        }
        self.option_problems(&mut out);
        out
    }

    fn option_problems(&self, out: &mut Vec<Problem>) {
        if self.options.len() > MAX_OPTIONS {
            out.push(Problem::at("options", format!("more than {MAX_OPTIONS} options")));
            return;
        }
        for (key, value) in &self.options {
            if let Some((_, why)) = REFUSED.iter().find(|(keys, _)| keys.contains(&key.as_str())) {
                out.push(Problem::at("options", format!("`{key}` cannot be set here")).hint(*why));
            } else if let Err(e) = ClientConfig::new().set(key, value).create_native_config() {
                let why = match e {
                    KafkaError::ClientConfig(_, why, _, _) => why,
                    e => e.to_string(),
                };
                out.push(Problem::at("options", format!("`{key}` is not accepted by the client library: {why}")));
            }
        }
    }

    /// Configuration of a client. `what` names it in the brokers' logs, behind the client id.
    pub(crate) fn config(&self, what: &str) -> ClientConfig {
        let mut c = ClientConfig::new();
        // The raw options first: what the product sets wins.
        for (k, v) in &self.options {
            c.set(k, v);
        }
        c.set("bootstrap.servers", &self.brokers);
        c.set("client.id", format!("{}-{what}", self.client_id.as_deref().unwrap_or("millstream")));
        c.set("socket.timeout.ms", self.request_timeout.0.to_string());
        c.set("socket.connection.setup.timeout.ms", self.connect_timeout.0.to_string());
        c.set("reconnect.backoff.max.ms", RECONNECT_MAX_MS.to_string());
        c.set("socket.keepalive.enable", "true");
        if let Some(s) = &self.security {
            s.configure(&mut c);
        }
        // Warnings tell of requests that timed out and connections that broke: see `Link::disturbed`.
        c.set_log_level(RDKafkaLogLevel::Warning);
        c
    }

    /// Context of a new client: `what` is the subject of the lines it writes, such as "source `logs`".
    pub(crate) fn link(&self, what: &str) -> Link {
        Link(Arc::new(State {
            id: waits::id(),
            what: what.into(),
            cluster: format!("Kafka at {}", self.brokers),
            token_file: self.security.as_ref().and_then(|s| s.token_file.clone()),
            disturbed: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            untold: AtomicBool::new(false),
            last: Mutex::default(),
            refused: Mutex::default(),
        }))
    }
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let named = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
    named && port.parse::<u16>().is_ok_and(|p| p > 0)
}

impl Security {
    fn sasl(&self) -> bool {
        matches!(self.protocol, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }

    fn problems(&self, out: &mut Vec<Problem>) {
        let at = |key: &str, message: &str, hint: &str| Problem::at(&format!("security.{key}"), message).hint(hint);
        let tls = matches!(self.protocol, Protocol::Ssl | Protocol::SaslSsl);
        let files = [("ca_file", &self.ca_file), ("cert_file", &self.cert_file), ("key_file", &self.key_file)];
        if let Some((key, _)) = files.iter().find(|(_, f)| f.is_some() && !tls) {
            out.push(at(key, "this protocol does not encrypt", "set protocol = \"ssl\" or \"sasl_ssl\""));
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            let (has, lacks) =
                if self.cert_file.is_some() { ("cert_file", "key_file") } else { ("key_file", "cert_file") };
            out.push(at(has, "a certificate and its key go together", &format!("set {lacks} as well")));
        }
        let Some(mechanism) = self.mechanism else {
            if self.sasl() {
                let hint = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
                out.push(at("mechanism", "this protocol logs in, and needs a mechanism", hint));
            } else if self.username.is_some() || self.password.is_some() || self.token_file.is_some() {
                out.push(at(
                    "protocol",
                    "this protocol does not log in",
                    "set protocol = \"sasl_ssl\" and a mechanism",
                ));
            }
            return;
        };
        if !self.sasl() {
            out.push(at("mechanism", "this protocol does not log in", "set protocol = \"sasl_ssl\""));
        }
        if mechanism == Mechanism::OauthBearer {
            if self.token_file.is_none() {
                out.push(at("mechanism", "OAUTHBEARER needs a token", "set token_file"));
            }
        } else if self.username.is_none() || self.password.is_none() {
            out.push(at("mechanism", "it needs a user", "set username and password"));
        }
    }

    fn configure(&self, c: &mut ClientConfig) {
        let protocol = match self.protocol {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        };
        c.set("security.protocol", protocol);
        let mechanism = self.mechanism.map(|m| match m {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram256 => "SCRAM-SHA-256",
            Mechanism::Scram512 => "SCRAM-SHA-512",
            Mechanism::OauthBearer => "OAUTHBEARER",
        });
        for (key, value) in [
            ("ssl.ca.location", self.ca_file.as_deref()),
            ("ssl.certificate.location", self.cert_file.as_deref()),
            ("ssl.key.location", self.key_file.as_deref()),
            ("ssl.key.password", self.key_password.as_deref()),
            ("sasl.mechanism", mechanism),
            ("sasl.username", self.username.as_deref()),
            ("sasl.password", self.password.as_deref()),
        ] {
            if let Some(v) = value {
                c.set(key, v);
            }
        }
    }
}

/// Context of a client: hears what the library has to say. Clones share their state.
///
/// The library's logs and errors come through the client's queue, so they are heard only while somebody polls it.
#[derive(Clone)]
pub(crate) struct Link(Arc<State>);

struct State {
    id: u64,
    what: String,
    /// The cluster, as it is called in what people read.
    cluster: String,
    token_file: Option<String>,
    disturbed: AtomicBool,
    /// Commits of group offsets that were answered, one way or the other.
    commits: AtomicU64,
    /// The newest of them failed.
    untold: AtomicBool,
    /// Newest complaint of the library.
    last: Mutex<String>,
    /// Why the brokers do not let us in.
    refused: Mutex<Option<String>>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// The caller cannot go on without the cluster and will try again. Says so once for the whole process.
    pub(crate) fn waiting(&self, doing: &str) {
        let why = || {
            let last = lock(&self.0.last);
            format!("cannot be reached to {doing}: {}", if last.is_empty() { "no answer" } else { last.as_str() })
        };
        if let Some(why) = waits::begin(&self.0.cluster, self.0.id, why) {
            eprintln!("{}: {} {why}; waiting", self.0.what, self.0.cluster);
        }
    }

    /// The cluster answered. Ends the outage when nobody else waits.
    pub(crate) fn reached(&self) {
        *lock(&self.0.refused) = None;
        if let Some(away) = self.0.leave() {
            let away = Duration::from_secs(away.as_secs());
            eprintln!("{}: {} answers again after {away:?}", self.0.what, self.0.cluster);
        }
    }

    /// True if anything was wrong with the connection since the last call: an error, a disconnect, a request that
    /// timed out. Poll the client first.
    pub(crate) fn take_disturbed(&self) -> bool {
        self.0.disturbed.swap(false, Relaxed)
    }

    /// How many commits of group offsets the brokers have answered.
    pub(crate) fn commits_answered(&self) -> u64 {
        self.0.commits.load(Relaxed)
    }

    /// Why the brokers refuse us (wrong password, no such user, bad certificate), until they let us in.
    pub(crate) fn refused(&self) -> Option<String> {
        lock(&self.0.refused).clone()
    }
}

impl State {
    /// Wait no longer. If nobody else does, that is the end of the outage, and how long it was.
    fn leave(&self) -> Option<Duration> {
        waits::end(&self.cluster, self.id)
    }
    fn complain(&self, text: &str) {
        self.disturbed.store(true, Relaxed);
        // The library begins with the name of its thread.
        let text = text.strip_prefix("[thrd:").and_then(|t| t.split_once("]: ")).map_or(text, |(_, t)| t);
        *lock(&self.last) = text.to_string();
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.leave();
    }
}

impl ClientContext for Link {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _level: RDKafkaLogLevel, fac: &str, text: &str) {
        // Warnings about the configuration are no disturbance, and not the operator's business: the product set it. What the
        // binding adds says less than the library's own words.
        if fac != "CONFWARN" && !text.starts_with("Meta data fetch error") {
            self.0.complain(text);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let refused = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => true,
            // Other failures of TLS may be those of the network.
            Some(RDKafkaErrorCode::SSL) => reason.contains("certificate verify failed"),
            // That follows from the reason that was told before.
            Some(RDKafkaErrorCode::AllBrokersDown) if !lock(&self.0.last).is_empty() => {
                self.0.disturbed.store(true, Relaxed);
                return;
            }
            _ => false,
        };
        self.0.complain(reason);
        if refused {
            *lock(&self.0.refused) = Some(reason.to_string());
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let file = self.0.token_file.as_deref().ok_or("security.token_file is not set")?;
        Ok(token::read(file)?)
    }
}

impl ConsumerContext for Link {
    /// A group's offsets are for people: a failure is told once, and the next commit holds the newer offsets anyway.
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.0.commits.fetch_add(1, Relaxed);
        let failed = result.is_err();
        if self.0.untold.swap(failed, Relaxed) != failed {
            match result {
                Ok(()) => eprintln!("{}: its consumer group is told again how far it is", self.0.what),
                Err(e) => eprintln!("{}: its consumer group cannot be told how far it is: {e}", self.0.what),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: serde_json::Value) -> Connection {
        serde_json::from_value(json).unwrap()
    }
    fn messages(json: serde_json::Value) -> Vec<String> {
        let show = |p: &Problem| format!("{}: {} ({})", p.setting, p.message, p.hint.as_deref().unwrap_or(""));
        of(json).problems().iter().map(show).collect()
    }

    #[test]
    fn good_settings_become_a_configuration() {
        let c = of(serde_json::json!({
            "brokers": "a:9092, [::1]:9093", "client_id": "soc", "request_timeout": "5s",
            "security": {"protocol": "sasl_ssl", "mechanism": "SCRAM-SHA-512", "username": "u", "password": "p"},
            "options": {"socket.nagle.disable": "false"}
        }));
        assert_eq!(c.problems(), []);
        let config = c.config("in");
        for (k, v) in [
            ("bootstrap.servers", "a:9092, [::1]:9093"),
            ("client.id", "soc-in"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("socket.timeout.ms", "5000"),
            ("socket.nagle.disable", "false"),
        ] {
            assert_eq!(config.get(k), Some(v), "{k}");
        }
        config.create_native_config().unwrap();
    }

    #[test]
    fn every_problem_is_named() {
        assert_eq!(
            messages(serde_json::json!({"brokers": "a:9092,b", "request_timeout": "1ms"})),
            [
                "brokers: `b` is not an address (host:port, several with commas between)",
                "request_timeout: 1ms is out of range (between 1s and 300s)",
            ]
        );
        let refused = messages(serde_json::json!({
            "brokers": "a:1", "options": {"isolation.level": "read_uncommitted", "acks": "0", "nonsense": "1"}
        }));
        assert_eq!(refused.len(), 3, "{refused:?}");
        assert!(refused[0].contains("`acks` cannot be set here (exactly-once writing rests on it)"), "{refused:?}");
        assert!(refused[1].contains("`isolation.level` cannot be set here"), "{refused:?}");
        assert!(refused[2].contains("`nonsense` is not accepted"), "{refused:?}");
        for (security, want) in [
            (serde_json::json!({"protocol": "sasl_ssl"}), "security.mechanism: this protocol logs in"),
            (serde_json::json!({"protocol": "ssl", "cert_file": "c"}), "security.cert_file: a certificate and its key"),
            (serde_json::json!({"protocol": "plaintext", "ca_file": "c"}), "security.ca_file: this protocol does not"),
            (
                serde_json::json!({"protocol": "plaintext", "password": "c"}),
                "security.protocol: this protocol does not",
            ),
            (serde_json::json!({"protocol": "sasl_ssl", "mechanism": "OAUTHBEARER"}), "OAUTHBEARER needs a token"),
            (serde_json::json!({"protocol": "sasl_ssl", "mechanism": "PLAIN", "username": "u"}), "it needs a user"),
        ] {
            let found = messages(serde_json::json!({"brokers": "a:1", "security": security}));
            assert!(found.len() == 1 && found[0].contains(want), "{found:?} {want}");
        }
    }

    #[test]
    fn an_outage_ends_when_the_last_client_is_through() {
        let c = of(serde_json::json!({"brokers": "only-in-this-test:1"}));
        let (a, b) = (c.link("source `a`"), c.link("sink `b`"));
        let waiting = || waits::all().get("Kafka at only-in-this-test:1").cloned();
        a.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert!(a.take_disturbed() && !a.take_disturbed() && !b.take_disturbed());
        a.waiting("read");
        b.waiting("write");
        a.waiting("read");
        assert_eq!(waiting().as_deref(), Some("cannot be reached to read: 1/1 brokers are down"));
        a.reached();
        assert!(waiting().is_some(), "b waits still");
        drop(b);
        assert_eq!(waiting(), None);
        a.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "SASL authentication error: wrong password");
        assert!(a.refused().is_some_and(|r| r.contains("wrong password")));
        a.reached();
        assert_eq!(a.refused(), None);
    }
}
