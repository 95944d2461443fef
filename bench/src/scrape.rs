//! Somebody who watches: asks a run for its `/metrics` all the time, as a collector does, only more often.
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two looks: a collector's interval is some hundred times longer, but so is what it watches.
const INTERVAL: Duration = Duration::from_millis(100);
/// Longest time that an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read, bytes.
const ANSWER_MAX: u64 = 64 << 20;

/// A thread that asks until it is told to stop.
pub struct Scraper {
    done: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> Result<u16> {
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(any.local_addr()?.port())
}

impl Scraper {
    /// Begin to ask at a port of this machine.
    pub fn start(port: u16) -> Scraper {
        let done = Arc::new(AtomicBool::new(false));
        let stop = done.clone();
        let thread = std::thread::spawn(move || {
            let mut answers = 0;
            while !stop.load(Ordering::Relaxed) {
                answers += u64::from(ask(port).is_ok());
                std::thread::sleep(INTERVAL);
            }
            answers
        });
        Scraper { done, thread }
    }

    /// Stop; an error if there never was an answer: then nothing was measured.
    pub fn stop(self) -> Result<()> {
        self.done.store(true, Ordering::Relaxed);
        let answers = self.thread.join().unwrap_or(0);
        ensure!(answers > 0, "it never answered when it was asked for its metrics");
        Ok(())
    }
}

/// One look. An answer is only one if it names a metric of ours.
fn ask(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 200") && text.contains("\nmillstream_"), "not the metrics");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_none_is_an_error() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let scraper = Scraper::start(port);
        let (mut asked, _) = listener.accept().unwrap();
        // To the end of the request: a connection that is closed with bytes unread takes its answer back.
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            asked.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        assert!(request.starts_with(b"GET /metrics "));
        asked.write_all(b"HTTP/1.1 200 OK\r\n\r\n# TYPE x gauge\nmillstream_up 1\n").unwrap();
        drop(asked);
        drop(listener);
        scraper.stop().unwrap();
        let scraper = Scraper::start(free_port().unwrap());
        assert!(scraper.stop().unwrap_err().to_string().contains("never answered"));
    }
}
