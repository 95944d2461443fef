//! Frames between the engine and a worker: four bytes of length, little-endian, then so many bytes.
//!
//! Neither side is waited for without an end: a [`Watch`] bounds what a worker may take. Its time on a processor counts, and
//! the time in which it waits for something else than a processor, so that a busy machine does not change a result.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::spawn::{self, Started};

/// Longest time between two looks at what a worker takes.
const LOOK: Duration = Duration::from_millis(20);

/// Why a worker cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Its pipe ended.
    Ended,
    /// It took more time on a processor than the first, or waited longer than the second.
    Slow(Duration, Duration),
    /// It has answered, but its memory was used up on the way.
    Memory,
    /// It wrote what is no answer.
    Protocol(String),
}

/// The two pipes of a worker.
#[derive(Debug)]
pub struct Wire {
    pid: libc::pid_t,
    requests: OwnedFd,
    replies: OwnedFd,
    /// Bytes that were read and not yet used.
    buffer: Vec<u8>,
    most: usize,
    /// How the process ended, once it has: its number may belong to another one then.
    ended: Option<String>,
}

/// What a worker may take from now on.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    cpu: Duration,
    wait: Duration,
    start: Instant,
    before: Taken,
}

/// What a process has taken since its start.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    /// Time on a processor.
    cpu: Duration,
    /// Time in line for a processor.
    queue: Duration,
}

impl Wire {
    /// The pipes of a process; `most` bounds a frame that it writes, in bytes.
    pub fn new(started: Started, most: usize) -> Wire {
        let Started { pid, requests, replies } = started;
        Wire { pid, requests, replies, buffer: Vec::new(), most, ended: None }
    }

    /// Begin to watch.
    pub fn watch(&self, cpu: Duration, wait: Duration) -> Watch {
        Watch { cpu, wait, start: Instant::now(), before: self.taken() }
    }

    /// What the worker has taken. Of a process that is gone, and of a kernel that does not count: nothing.
    fn taken(&self) -> Taken {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.pid)).unwrap_or_default();
        let mut numbers = text.split_whitespace().map_while(|n| n.parse().ok()).map(Duration::from_nanos);
        let (cpu, queue) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        Taken { cpu: cpu.max(self.cpu()), queue }
    }

    fn cpu(&self) -> Duration {
        let mut clock = 0;
        // SAFETY: both structures are ours; a process that is gone gives an error.
        let time = unsafe {
            let mut time: libc::timespec = std::mem::zeroed();
            if libc::clock_getcpuclockid(self.pid, &mut clock) != 0 || libc::clock_gettime(clock, &mut time) != 0 {
                return Duration::ZERO;
            }
            time
        };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    /// Write a frame of several parts.
    ///
    /// # Errors
    /// The worker is gone or does not take it in time.
    pub fn send(&self, parts: &[&[u8]], watch: &Watch) -> Result<(), Broken> {
        let size: usize = parts.iter().map(|p| p.len()).sum();
        let size = u32::try_from(size).map_err(|_| Broken::Protocol("a request of more than 4 GiB".into()))?;
        let mut frame = Vec::with_capacity(4 + size as usize);
        frame.extend_from_slice(&size.to_le_bytes());
        parts.iter().for_each(|p| frame.extend_from_slice(p));
        let mut rest = &frame[..];
        while !rest.is_empty() {
            // SAFETY: the slice is ours and so long.
            let written = unsafe { libc::write(self.requests.as_raw_fd(), rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(written) => rest = &rest[written..],
                Err(_) => self.wait(&self.requests, libc::POLLOUT, watch)?,
            }
        }
        Ok(())
    }

    /// Read a frame.
    ///
    /// # Errors
    /// The worker is gone, takes too long, or writes a frame that is too large.
    pub fn receive(&mut self, watch: &Watch) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<4>() {
                let size = u32::from_le_bytes(*head) as usize;
                if size > self.most {
                    return Err(Broken::Protocol(format!("an answer of {size} bytes, {} are allowed", self.most)));
                }
                if self.buffer.len() >= 4 + size {
                    let frame = self.buffer[4..4 + size].to_vec();
                    self.buffer.drain(..4 + size);
                    return Ok(frame);
                }
            }
            let mut part = [0u8; 64 << 10];
            // SAFETY: the array is ours and so long.
            let read = unsafe { libc::read(self.replies.as_raw_fd(), part.as_mut_ptr().cast(), part.len()) };
            match usize::try_from(read) {
                Ok(0) => return Err(Broken::Ended),
                Ok(read) => self.buffer.extend_from_slice(&part[..read]),
                Err(_) => self.wait(&self.replies, libc::POLLIN, watch)?,
            }
        }
    }

    /// True if the worker has written what nobody asked for.
    pub fn chatter(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// After a call that would block: wait until it would not.
    fn wait(&self, end: &OwnedFd, events: libc::c_short, watch: &Watch) -> Result<(), Broken> {
        match io::Error::last_os_error().kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
            _ => return Err(Broken::Ended),
        }
        loop {
            let mut poll = libc::pollfd { fd: end.as_raw_fd(), events, revents: 0 };
            // SAFETY: one structure, ours.
            let ready = unsafe { libc::poll(&mut poll, 1, LOOK.as_millis() as libc::c_int) };
            if ready > 0 {
                return Ok(());
            }
            let now = self.taken();
            let cpu = now.cpu.saturating_sub(watch.before.cpu);
            let queue = now.queue.saturating_sub(watch.before.queue);
            let waited = watch.start.elapsed().saturating_sub(cpu + queue);
            if cpu > watch.cpu || waited > watch.wait {
                return Err(Broken::Slow(watch.cpu, watch.wait));
            }
        }
    }

    /// Kill the worker; how it ended. With `patience` it may end by itself first.
    pub fn end(&mut self, patience: bool) -> String {
        self.ended.get_or_insert_with(|| spawn::kill(self.pid, patience)).clone()
    }
}
