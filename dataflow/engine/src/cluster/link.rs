//! The control connection between process 0 and a member: frames in both directions, and beats that tell that the other
//! side lives.
use crate::fatal::lost;
use model::Result;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Largest frame: a starting point with many logged epochs, a large lookup table.
const FRAME_MAX: usize = 1 << 30;

/// What is said on a control connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// I live.
    Beat = 0,
    /// To a member: what to run next.
    Order = 1,
    /// To the hub: the file with this hash is not here.
    Want = 2,
    /// To a member: that file.
    Give = 3,
    /// To the hub: everything that the order needs is here.
    Ready = 4,
    /// To the hub: end in good order, please.
    Drain = 5,
    /// To a member: the run is over.
    End = 6,
}

impl Tag {
    const ALL: [Tag; 7] = [Tag::Beat, Tag::Order, Tag::Want, Tag::Give, Tag::Ready, Tag::Drain, Tag::End];
}

/// One frame.
pub(crate) type Frame = (Tag, Vec<u8>);

/// One side of a control connection.
pub(crate) struct Link {
    stream: Arc<Mutex<TcpStream>>,
    /// Everything but beats and wishes to drain.
    pub frames: Receiver<Frame>,
    over: Arc<AtomicBool>,
}

/// Says something on a link from another thread.
#[derive(Clone)]
pub(crate) struct Speaker(Arc<Mutex<TcpStream>>);

impl Speaker {
    /// Say it.
    pub fn send(&self, tag: Tag, payload: &[u8]) -> Result<()> {
        Ok(write(&mut self.0.lock().expect("no holder panics"), tag, payload)?)
    }
}

impl Link {
    /// Take over a connection to `whom`. From now on silence for `timeout` ends this process. `drain` is set when the
    /// other side asks for that.
    pub fn start(stream: TcpStream, whom: String, timeout: Duration, drain: Arc<AtomicBool>) -> Result<Link> {
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let (tx, frames) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let mut reading = stream.try_clone()?;
        let stream = Arc::new(Mutex::new(stream));
        let (ended, name) = (over.clone(), whom.clone());
        std::thread::Builder::new().name("link".into()).spawn(move || {
            loop {
                match read(&mut reading) {
                    Ok((Tag::Beat, _)) => {}
                    Ok((Tag::Drain, _)) => drain.store(true, Ordering::Relaxed),
                    Ok(frame) => {
                        let last = frame.0 == Tag::End;
                        ended.fetch_or(last, Ordering::Relaxed);
                        if tx.send(frame).is_err() || last {
                            return;
                        }
                    }
                    Err(_) if ended.load(Ordering::Relaxed) => return,
                    Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                        lost(format!("{name} has said nothing for {timeout:?}: it is taken for lost"))
                    }
                    Err(e) => lost(format!("{name} is lost: {e}")),
                }
            }
        })?;
        let (beating, ended) = (stream.clone(), over.clone());
        std::thread::Builder::new().name("beat".into()).spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(timeout / 10);
                let sent = write(&mut beating.lock().expect("no holder panics"), Tag::Beat, &[]);
                if let Err(e) = sent
                    && !ended.load(Ordering::Relaxed)
                {
                    lost(format!("{whom} is lost: {e}"))
                }
            }
        })?;
        Ok(Link { stream, frames, over })
    }

    /// Say something.
    pub fn send(&self, tag: Tag, payload: &[u8]) -> Result<()> {
        self.speaker().send(tag, payload)
    }

    /// For other threads.
    pub fn speaker(&self) -> Speaker {
        Speaker(self.stream.clone())
    }

    /// The other side may go: its silence is no loss any more.
    pub fn over(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn write(stream: &mut TcpStream, tag: Tag, payload: &[u8]) -> std::io::Result<()> {
    let mut head = [tag as u8, 0, 0, 0, 0];
    head[1..].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    stream.write_all(&head)?;
    stream.write_all(payload)
}

fn read(stream: &mut TcpStream) -> std::io::Result<Frame> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_string());
    let tag = Tag::ALL.get(head[0] as usize).copied().ok_or_else(|| invalid("a frame of no known kind"))?;
    let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if len > FRAME_MAX {
        return Err(invalid("a frame that is too large"));
    }
    let mut payload = Vec::new();
    stream.take(len as u64).read_to_end(&mut payload)?;
    match payload.len() == len {
        true => Ok((tag, payload)),
        false => Err(invalid("a frame that is cut short")),
    }
}
