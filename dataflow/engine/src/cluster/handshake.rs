//! Who is it? Both sides prove that they know the secret before anything else is said.
//!
//! ```text
//! dialler  → hello: JSON with a fresh nonce, who it is and what it wants
//! acceptor → hello: the same of itself
//! dialler  → HMAC-SHA-256(secret, "dial"   ‖ hello ‖ hello)
//! acceptor → HMAC-SHA-256(secret, "accept" ‖ hello ‖ hello), or a refusal in words
//! ```
//!
//! Each proof covers both nonces and a word for its direction, so it cannot be used again or reflected. The acceptor
//! proves nothing to a dialler that did not.
use super::{Peers, Refused};
use hmac::{Hmac, KeyInit, Mac};
use model::Result;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest hello or refusal.
const HELLO_MAX: usize = 4096;
/// Time for a connection to be made: shorter than the system's second pause, since a new attempt asks at once.
const CONNECT: Duration = Duration::from_secs(2);
/// Time for a whole handshake.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);
const PROTOCOL: u32 = 1;

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// `millstream` and the version of this exchange.
    magic: String,
    protocol: u32,
    nonce: String,
    build: String,
    name: String,
    processes: usize,
    /// Number of the speaker, and of whom it takes the other for.
    pub from: usize,
    pub to: usize,
    pub purpose: Purpose,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// From a member to process 0.
    Control,
    /// Data of one session.
    Mesh { generation: u64, session: u64 },
}

/// How a handshake failed.
pub(crate) enum Failure {
    /// The other one said no, or is not who it should be: trying again will not help.
    No(Refused),
    /// The connection failed: try again.
    Lost(model::Error),
}

impl<E: Into<model::Error>> From<E> for Failure {
    fn from(e: E) -> Failure {
        Failure::Lost(e.into())
    }
}

impl Hello {
    fn new(peers: &Peers, to: usize, purpose: Purpose) -> Result<Hello> {
        Ok(Hello {
            magic: "millstream".into(),
            protocol: PROTOCOL,
            nonce: model::random::hex(32)?,
            build: peers.build.clone(),
            name: peers.name.clone(),
            processes: peers.hosts.len(),
            from: peers.me,
            to,
            purpose,
        })
    }
    /// What of another's hello does not fit to this process.
    fn disagrees(&self, peers: &Peers) -> Option<String> {
        let n = peers.hosts.len();
        let differ = |what: &str, theirs: &str, ours: &str| {
            Some(format!("{what} differs: process {} has {theirs}, process {} has {ours}", self.from, peers.me))
        };
        if self.protocol != PROTOCOL {
            return differ("the version of the handshake", &self.protocol.to_string(), &PROTOCOL.to_string());
        }
        if self.name != peers.name {
            return differ("the name of the topology", &self.name, &peers.name);
        }
        if self.processes != n {
            return differ("the number of processes", &self.processes.to_string(), &n.to_string());
        }
        if self.build != peers.build {
            return differ("the program", &self.build, &peers.build);
        }
        if self.to != peers.me || self.from >= n || self.from == self.to {
            return Some(format!(
                "process {} takes process {} for process {}; the lists of hosts differ, or a process was given the number \
                 of another",
                self.from, peers.me, self.to
            ));
        }
        None
    }
}

/// A time limit over several reads: no single read may outlast what is left.
struct Timed<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> std::io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the handshake took too long")),
            false => Ok(left),
        }
    }
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        let mut frame = (bytes.len() as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(bytes);
        (&mut &*self.stream).write_all(&frame)
    }
    fn fill(&mut self, mut buffer: &mut [u8]) -> std::io::Result<()> {
        while !buffer.is_empty() {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match (&mut &*self.stream).read(buffer)? {
                0 => return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the connection was closed")),
                n => buffer = &mut buffer[n..],
            }
        }
        Ok(())
    }
    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut len = [0; 4];
        self.fill(&mut len)?;
        let len = u32::from_be_bytes(len) as usize;
        if len > HELLO_MAX {
            let why = "what it says is not of this protocol";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        }
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
    fn hello(&mut self) -> Result<(Vec<u8>, Hello)> {
        let bytes = self.receive()?;
        let hello: Hello = serde_json::from_slice(&bytes).map_err(|_| "what it says is not of this protocol")?;
        if hello.magic != "millstream" {
            return Err("what it says is not of this protocol".into());
        }
        Ok((bytes, hello))
    }
}

fn mac(secret: &str, direction: &str, a: &[u8], b: &[u8]) -> Hmac<sha2::Sha256> {
    let mut m = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length of key will do");
    for part in [direction.as_bytes(), a, b] {
        m.update(&(part.len() as u32).to_be_bytes());
        m.update(part);
    }
    m
}

/// Connect to process `to`.
pub(crate) fn dial(peers: &Peers, to: usize, purpose: Purpose) -> std::result::Result<TcpStream, Failure> {
    use std::net::ToSocketAddrs;
    let host = &peers.hosts[to];
    let address = host.to_socket_addrs()?.next().ok_or_else(|| format!("{host} has no address"))?;
    let stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_nodelay(true)?;
    let mut t = Timed { stream: &stream, until: Instant::now() + DEADLINE };
    let hello = Hello::new(peers, to, purpose)?;
    let mine = serde_json::to_vec(&hello)?;
    t.send(&mine)?;
    let (theirs, other) = t.hello()?;
    t.send(&mac(&peers.secret, "dial", &mine, &theirs).finalize().into_bytes())?;
    let answer = t.receive()?;
    let proven = mac(&peers.secret, "accept", &mine, &theirs).verify_slice(&answer).is_ok();
    if !proven {
        let why = match answer.strip_prefix(b"refused: ") {
            Some(why) => String::from_utf8_lossy(why).chars().filter(|c| !c.is_control()).take(300).collect(),
            None => "it does not know the cluster's secret".to_string(),
        };
        return Err(Failure::No(Refused(format!("cluster: process {to} ({host}) and this one do not fit: {why}"))));
    }
    if other.from != to {
        let why = format!("cluster: {host} is process {} and not {to}: the lists of hosts differ", other.from);
        return Err(Failure::No(Refused(why)));
    }
    plain(&stream)?;
    Ok(stream)
}

/// Let somebody in, or say why not. The error is what to log.
pub(crate) fn accept(peers: &Peers, stream: TcpStream) -> Result<(Hello, TcpStream)> {
    stream.set_nodelay(true)?;
    let mut t = Timed { stream: &stream, until: Instant::now() + DEADLINE };
    let (theirs, other) = t.hello()?;
    let mut hello = Hello::new(peers, other.from, other.purpose)?;
    hello.from = peers.me;
    let mine = serde_json::to_vec(&hello)?;
    t.send(&mine)?;
    let proof = t.receive()?;
    let why = match mac(&peers.secret, "dial", &theirs, &mine).verify_slice(&proof).is_ok() {
        false => Some("the cluster secret differs".to_string()),
        true => other.disagrees(peers),
    };
    if let Some(why) = why {
        t.send(format!("refused: {why}").as_bytes())?;
        return Err(why.into());
    }
    t.send(&mac(&peers.secret, "accept", &theirs, &mine).finalize().into_bytes())?;
    plain(&stream)?;
    Ok((other, stream))
}

/// Back to a socket without time limits.
fn plain(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)
}
