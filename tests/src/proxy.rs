//! A TCP proxy that understands the outside of Kafka's requests: length, kind, version. It holds chosen requests back and
//! lets them go later, also when their sender has given up and is already in another transaction: what a slow network
//! does, and what a broker cannot tell from a request that is meant.
use crate::kills::Random;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Kinds of requests (Kafka's `api_key`) that a transaction consists of.
pub mod api {
    /// Records.
    pub const PRODUCE: i16 = 0;
    /// A transaction will touch these partitions: the first request of a transaction.
    pub const ADD_PARTITIONS: i16 = 24;
    /// A transaction will commit offsets of this group.
    pub const ADD_OFFSETS: i16 = 25;
    /// A producer gets its number, and fences the earlier ones of its transactional id.
    pub const INIT_PRODUCER: i16 = 22;
    /// Commit or abort.
    pub const END_TXN: i16 = 26;
    /// Offsets in a transaction.
    pub const TXN_OFFSET_COMMIT: i16 = 28;
}

/// A request longer than this is no Kafka request.
const FRAME_MAX: usize = 64 << 20;
/// Connections at a time; more are refused.
const CONNECTIONS_MAX: u64 = 1_000;
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// What to hold back.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Kinds of requests.
    pub kinds: Vec<i16>,
    /// One in so many requests of these kinds is held.
    pub one_in: u64,
    /// It is let go when a request that opens a later transaction has gone through, but not before this time (the
    /// sender's own time-out, so that it has given up) …
    pub at_least: Duration,
    /// … and at this time in any case.
    pub at_most: Duration,
}

/// Counts of a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Requests held back.
    pub held: u64,
    /// Of these, let go after their sender had closed its connection: the outcome is unknown to it.
    pub orphans: u64,
    /// Of these, let go when a later transaction was open.
    pub crossed: u64,
}

struct State {
    rule: Mutex<Option<(Rule, Random)>>,
    /// Requests that open a transaction, so far; waited for by what is held.
    opened: Mutex<u64>,
    opened_more: Condvar,
    counts: Mutex<(Held, BTreeMap<i16, u64>)>,
    connections: AtomicU64,
    stop: AtomicBool,
}

/// A running proxy.
pub struct Proxy {
    /// Port on 127.0.0.1.
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Listen on a port and pass everything on to `upstream` (`host:port`).
    pub fn start(port: u16, upstream: &str) -> Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("listen on port {port}"))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State {
            rule: Mutex::new(None),
            opened: Mutex::new(0),
            opened_more: Condvar::new(),
            counts: Mutex::default(),
            connections: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let (s, upstream) = (state.clone(), upstream.to_string());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if s.stop.load(Ordering::Relaxed) {
                    return;
                }
                if s.connections.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
                    continue;
                }
                let (s, upstream) = (s.clone(), upstream.clone());
                s.connections.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || {
                    // A connection that fails is what both ends are built to bear.
                    let _ = s.pass(client, &upstream);
                    s.connections.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Ok(Proxy { port, state })
    }
    /// Hold back by this rule from now on; `None`: nothing. What is held already is let go by its own rule.
    pub fn hold(&self, rule: Option<Rule>, seed: u64) {
        *lock(&self.state.rule) = rule.map(|r| (r, Random(seed)));
    }
    /// What was held so far.
    pub fn held(&self) -> Held {
        lock(&self.state.counts).0
    }
    /// Requests seen so far, by kind.
    pub fn requests(&self) -> BTreeMap<i16, u64> {
        lock(&self.state.counts).1.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        self.state.opened_more.notify_all();
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}

impl State {
    fn pass(&self, mut client: TcpStream, upstream: &str) -> Result<()> {
        let address = std::net::ToSocketAddrs::to_socket_addrs(upstream)?.next().context("no address")?;
        let mut server = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut back_from, mut back_to) = (server.try_clone()?, client.try_clone()?);
        let back = std::thread::spawn(move || {
            let _ = std::io::copy(&mut back_from, &mut back_to);
            let _ = back_to.shutdown(Shutdown::Both);
        });
        let result = self.requests_of(&mut client, &mut server);
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
        let _ = back.join();
        result
    }

    fn requests_of(&self, client: &mut TcpStream, server: &mut TcpStream) -> Result<()> {
        let mut frame = Vec::new();
        loop {
            let mut head = [0; 4];
            client.read_exact(&mut head)?;
            let len = u32::from_be_bytes(head) as usize;
            anyhow::ensure!((8..=FRAME_MAX).contains(&len), "not a Kafka request");
            frame.clear();
            frame.extend_from_slice(&head);
            frame.resize(4 + len, 0);
            client.read_exact(&mut frame[4..])?;
            let kind = i16::from_be_bytes([frame[4], frame[5]]);
            *lock(&self.counts).1.entry(kind).or_default() += 1;
            if let Some(rule) = self.drawn(kind) {
                self.wait(&rule, client);
            }
            server.write_all(&frame)?;
            if kind == api::ADD_PARTITIONS {
                *lock(&self.opened) += 1;
                self.opened_more.notify_all();
            }
        }
    }

    fn drawn(&self, kind: i16) -> Option<Rule> {
        let mut rule = lock(&self.rule);
        let (rule, random) = rule.as_mut()?;
        (rule.kinds.contains(&kind) && random.below(rule.one_in) == 0).then(|| rule.clone())
    }

    /// Hold a request. Its sender may give up meanwhile; the connection to the broker stays, and the request goes out.
    fn wait(&self, rule: &Rule, client: &TcpStream) {
        lock(&self.counts).0.held += 1;
        let began = Instant::now();
        let mut opened = lock(&self.opened);
        let before = *opened;
        while began.elapsed() < rule.at_most && !self.stop.load(Ordering::Relaxed) {
            let least = rule.at_least.saturating_sub(began.elapsed());
            if least.is_zero() && *opened > before {
                break;
            }
            let pause = if least.is_zero() { rule.at_most.saturating_sub(began.elapsed()) } else { least };
            opened = self.opened_more.wait_timeout(opened, pause).unwrap_or_else(|e| e.into_inner()).0;
        }
        let crossed = *opened > before;
        drop(opened);
        let gone = closed(client);
        let mut counts = lock(&self.counts);
        counts.0.orphans += gone as u64;
        counts.0.crossed += (gone && crossed) as u64;
    }
}

/// True if the other end has closed the connection.
fn closed(client: &TcpStream) -> bool {
    let mut byte = [0];
    let _ = client.set_nonblocking(true);
    let gone = match client.peek(&mut byte) {
        Ok(n) => n == 0,
        Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
    };
    let _ = client.set_nonblocking(false);
    gone
}
