//! A bad day of S3: a proxy in front of a server that answers 503, says nothing, loses answers, and cuts uploads.
//!
//! One request per connection. Which request meets which fault is a function of the seed and the number of the request.
use anyhow::Result;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Longest head of a request or answer.
const HEAD_MAX: usize = 64 << 10;

/// Kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503 SlowDown; the server hears nothing.
    SlowDown,
    /// Nothing is answered for a while, then the connection closes; the server hears nothing.
    Silence,
    /// The server does it, but its answer is lost.
    LostAnswer,
    /// The connection breaks in the middle of the request's body.
    CutUpload,
}

const FAULTS: [Fault; 4] = [Fault::SlowDown, Fault::Silence, Fault::LostAnswer, Fault::CutUpload];

struct Shared {
    to: String,
    seed: u64,
    percent: AtomicU32,
    silence: Duration,
    requests: AtomicU64,
    met: [AtomicU64; 4],
}

/// A running proxy; its threads end with the process.
pub struct Faults {
    /// Port on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
}

impl Faults {
    /// In front of `to` (`host:port`): so many of a hundred requests meet a fault.
    pub fn start(to: &str, seed: u64, percent: u32, silence: Duration) -> Result<Faults> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            to: to.into(),
            seed,
            percent: AtomicU32::new(percent),
            silence,
            requests: AtomicU64::new(0),
            met: Default::default(),
        });
        let s = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let s = s.clone();
                // A broken connection is what clients must live with.
                std::thread::spawn(move || drop(serve(client, &s)));
            }
        });
        Ok(Faults { port, shared })
    }
    /// URL of the proxy.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
    /// Change the share of requests that meet a fault.
    pub fn set_percent(&self, percent: u32) {
        self.shared.percent.store(percent, Ordering::Relaxed);
    }
    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
    /// Faults of a kind so far.
    pub fn met(&self, fault: Fault) -> u64 {
        self.shared.met[fault as usize].load(Ordering::Relaxed)
    }
    /// Faults so far.
    pub fn total(&self) -> u64 {
        FAULTS.iter().map(|f| self.met(*f)).sum()
    }
}

fn serve(mut client: TcpStream, s: &Shared) -> Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    let (head, mut body) = head(&mut client)?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|l| l.split_once(':'));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_string())
    };
    let len: usize = field("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    if field("expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let fault = pick(s);
    let cut = fault == Some(Fault::CutUpload) && len > 0;
    let have = body.len();
    body.resize(if cut { have.max(len / 2) } else { len }, 0);
    client.read_exact(&mut body[have..])?;
    if let Some(f) = fault {
        s.met[f as usize].fetch_add(1, Ordering::Relaxed);
    }
    match fault {
        Some(Fault::SlowDown) => {
            let why = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
            let head = format!("HTTP/1.1 503 Slow Down\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", why.len());
            client.write_all(head.as_bytes())?;
            return Ok(client.write_all(why.as_bytes())?);
        }
        Some(Fault::Silence) => {
            std::thread::sleep(s.silence);
            return Ok(());
        }
        _ => {}
    }
    let mut server = TcpStream::connect(&s.to)?;
    let kept = text.lines().filter(|l| {
        let name = l.split(':').next().unwrap_or_default();
        !l.is_empty() && !name.eq_ignore_ascii_case("connection") && !name.eq_ignore_ascii_case("expect")
    });
    let request: String = kept.map(|l| format!("{l}\r\n")).collect();
    server.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    if cut {
        return Ok(()); // both connections close here
    }
    let (answer, rest) = self::head(&mut server)?;
    let mut rest = rest;
    server.read_to_end(&mut rest)?;
    if fault.is_some() {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let kept = answer.lines().filter(|l| !l.is_empty() && !l.to_ascii_lowercase().starts_with("connection:"));
    let answer: String = kept.map(|l| format!("{l}\r\n")).collect();
    client.write_all(format!("{answer}Connection: close\r\n\r\n").as_bytes())?;
    Ok(client.write_all(&rest)?)
}

/// The fault of the next request, if it meets one.
fn pick(s: &Shared) -> Option<Fault> {
    let n = s.requests.fetch_add(1, Ordering::Relaxed);
    let mut x = (s.seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    (x % 100 < s.percent.load(Ordering::Relaxed) as u64).then(|| FAULTS[(x >> 32) as usize % FAULTS.len()])
}

/// Head of a message, with its empty line, and what came behind it.
fn head(from: &mut TcpStream) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut got, mut block) = (Vec::new(), [0; 8192]);
    loop {
        let n = from.read(&mut block)?;
        anyhow::ensure!(n > 0 && got.len() < HEAD_MAX, "no whole head");
        got.extend_from_slice(&block[..n]);
        if let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = got.split_off(end + 4);
            return Ok((got, rest));
        }
    }
}
