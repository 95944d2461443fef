//! What a broker for tests is told: its ports, and settings that make it small and quick.
use super::Setup;
use super::tls::{Certificate, PASSWORD};
use anyhow::{Result, bail};
use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports are taken from here: below what the system gives to clients, so that nobody gets a port of a broker that is down.
const PORTS: std::ops::Range<u16> = 12_000..31_000;

/// One node: broker and controller in one process.
#[derive(Clone, Debug)]
pub struct Node {
    /// From 1.
    pub id: usize,
    /// Address of every listener.
    pub host: String,
    /// For clients; what is told to them may be another one, see `advertised`.
    pub client: u16,
    /// Host and port that clients are told: this node's own, or a proxy's.
    pub advertised: (String, u16),
    /// For the other brokers, and for a harness that wants to go past a proxy.
    pub internal: u16,
    /// For clients that log in with SASL PLAIN.
    pub sasl: u16,
    /// For clients that speak TLS.
    pub tls: u16,
    /// For clients that speak TLS and log in with SCRAM or a bearer token.
    pub sasl_tls: u16,
    /// For the controllers' quorum.
    pub controller: u16,
    /// Where its log segments are.
    pub data: PathBuf,
}

impl Node {
    /// A node with free ports and its data below `dir`.
    pub fn new(id: usize, host: &str, dir: &Path) -> Result<Node> {
        let client = free_port(host)?;
        Ok(Node {
            id,
            host: host.into(),
            client,
            advertised: (host.into(), client),
            internal: free_port(host)?,
            sasl: free_port(host)?,
            tls: free_port(host)?,
            sasl_tls: free_port(host)?,
            controller: free_port(host)?,
            data: dir.join(format!("node-{id}")),
        })
    }
}

/// A port that nobody listens on; not given twice by one process.
pub fn free_port(host: &str) -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let len = PORTS.end - PORTS.start;
    // Processes start at different places.
    let start = (std::process::id().wrapping_mul(2_654_435_761) >> 16) as u16 % len;
    // An address of another namespace cannot be bound from here; there, only our own nodes listen.
    let probe = if host.starts_with("127.") { host } else { "127.0.0.1" };
    for _ in 0..len {
        let port = PORTS.start + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % len;
        if TcpListener::bind((probe, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port in {PORTS:?}")
}

/// User and password of the SASL listener.
pub const SASL_USER: (&str, &str) = ("millstream", "millstream-secret");

/// `server.properties` of a node; the lines of the set-up come last and win.
pub fn properties(node: &Node, all: &[Node], setup: &Setup) -> String {
    let many = all.len() as u32;
    let quorum: Vec<String> = all.iter().map(|n| format!("{}@{}:{}", n.id, n.host, n.controller)).collect();
    let (user, password) = SASL_USER;
    let mut text = format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={quorum}
{listeners}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\";
log.dirs={data}
",
        id = node.id,
        quorum = quorum.join(","),
        listeners = listeners(node, setup.certificate.is_some()),
        data = node.data.display(),
    );
    let replicas = many.to_string();
    let in_sync = many.div_ceil(2).to_string();
    let fixed: &[(&str, &str)] = &[
        ("offsets.topic.replication.factor", &replicas),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.min.isr", &in_sync),
        ("share.coordinator.state.topic.replication.factor", &replicas),
        ("share.coordinator.state.topic.min.isr", &in_sync),
        ("min.insync.replicas", &in_sync),
        // Each is created at its first use; a test should not wait for fifty partitions.
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.num.partitions", "4"),
        ("share.coordinator.state.topic.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "1000"),
        ("transaction.max.timeout.ms", "900000"),
        // A transaction that outlived its time-out is aborted within a second, not ten.
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
        // A dead broker of three is noticed in seconds.
        ("broker.heartbeat.interval.ms", "300"),
        ("broker.session.timeout.ms", "3000"),
        ("auto.create.topics.enable", "false"),
        ("auto.leader.rebalance.enable", "false"),
        ("log.cleaner.dedupe.buffer.size", "8388608"),
        ("log.cleaner.threads", "1"),
        ("log.cleaner.backoff.ms", "1000"),
        ("log.retention.check.interval.ms", "1000"),
        ("log.segment.delete.delay.ms", "1000"),
        ("num.network.threads", "2"),
        ("num.io.threads", "4"),
        ("background.threads", "2"),
        ("controlled.shutdown.max.retries", "1"),
    ];
    for (k, v) in fixed {
        let _ = writeln!(text, "{k}={v}");
    }
    if let Some(c) = &setup.certificate {
        text += &secure(c);
    }
    for (k, v) in &setup.properties {
        let _ = writeln!(text, "{k}={v}");
    }
    text
}

/// The lines that name the listeners; with TLS there are two more.
fn listeners(node: &Node, tls: bool) -> String {
    let own = |port: u16| format!("{}:{port}", node.host);
    let (host, port) = &node.advertised;
    // Name, protocol, where it listens, what clients are told: nothing of the controllers'.
    let mut all = vec![
        ("CLIENT", "PLAINTEXT", own(node.client), Some(format!("{host}:{port}"))),
        ("INTERNAL", "PLAINTEXT", own(node.internal), Some(own(node.internal))),
        ("SASL", "SASL_PLAINTEXT", own(node.sasl), Some(own(node.sasl))),
        ("CONTROLLER", "PLAINTEXT", own(node.controller), None),
    ];
    if tls {
        all.push(("TLS", "SSL", own(node.tls), Some(own(node.tls))));
        all.push(("SASLTLS", "SASL_SSL", own(node.sasl_tls), Some(own(node.sasl_tls))));
    }
    let at: Vec<String> = all.iter().map(|(name, _, at, _)| format!("{name}://{at}")).collect();
    let told: Vec<String> =
        all.iter().filter_map(|(name, .., told)| Some(format!("{name}://{}", told.as_ref()?))).collect();
    let map: Vec<String> = all.iter().map(|(name, protocol, ..)| format!("{name}:{protocol}")).collect();
    let (at, told, map) = (at.join(","), told.join(","), map.join(","));
    format!("listeners={at}\nadvertised.listeners={told}\nlistener.security.protocol.map={map}")
}

/// What the listeners with TLS ask for: one takes everybody, the other a SCRAM password or a token. An unsigned token will
/// do: that is what Kafka takes as long as nobody names a server of tokens.
fn secure(certificate: &Certificate) -> String {
    let store = certificate.store.display();
    let mut text = String::from(
        "listener.name.sasltls.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasltls.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasltls.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasltls.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";
",
    );
    for listener in ["tls", "sasltls"] {
        let name = format!("listener.name.{listener}.ssl");
        let _ = writeln!(text, "{name}.keystore.type=PKCS12\n{name}.keystore.location={store}");
        let _ = writeln!(text, "{name}.keystore.password={PASSWORD}\n{name}.key.password={PASSWORD}");
    }
    text
}
