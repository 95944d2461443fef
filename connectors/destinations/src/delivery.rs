//! From the outbox to the destination: a few threads, a bounded window of alerts, retries with growing pauses.
//!
//! The outbox is read lazily: only the window of alerts in work is in memory, so a dead destination costs disk and
//! nothing else. An alert that waits for its next attempt does not hold up the others, up to [`AHEAD`] bytes of them.
//! What is given up goes to a dead-letter file with the reason. Nothing here stops or slows the stream; only a failing
//! disk is reported back.
use crate::acks::Acks;
use crate::at;
use crate::outbox::line_at;
use model::{Result, time};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use xxhash_rust::xxh3::xxh3_64;

/// Alerts in memory: in flight or waiting for another attempt.
const WINDOW: usize = 64;
/// Bytes of the outbox that may be delivered ahead of its oldest undelivered alert.
const AHEAD: u64 = 64 << 20;
/// Longest pause a destination may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What the destination made of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It has the alert.
    Delivered,
    /// Try again, not before the time it asked for.
    Retry(String, Option<Duration>),
    /// It will never take this alert.
    Refused(String),
}

/// One attempt to deliver a line; called from several threads.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Send an alert.
    fn deliver(&self, alert_id: &str, body: &[u8]) -> Outcome;
}

/// How often and how fast.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Attempts after the first.
    pub(crate) retries: u32,
    /// First pause.
    pub(crate) backoff: Duration,
    /// Longest pause.
    pub(crate) backoff_max: Duration,
    /// Attempts at the same time.
    pub(crate) concurrency: usize,
}

impl Policy {
    /// Pause before attempt `n` (from 1): doubled each time, of which half is spread by the alert id, so that alerts
    /// of one outage do not come back all at once.
    fn pause(&self, alert_id: &str, n: u32) -> Duration {
        let whole = self.backoff.saturating_mul(1 << (n - 1).min(20)).min(self.backoff_max);
        let spread = xxh3_64(format!("{alert_id}/{n}").as_bytes()) % 1000;
        whole / 2 + (whole / 2).mul_f64(spread as f64 / 1000.0)
    }
}

/// An alert in the window.
struct Job {
    attempts: u32,
    due: Instant,
    running: bool,
    line: Arc<Vec<u8>>,
}

struct State {
    /// Where the window ends in the outbox.
    next: u64,
    /// Length of the outbox.
    len: u64,
    /// Length of which the engine has the commit record.
    committed: u64,
    jobs: BTreeMap<u64, Job>,
    acks: Acks,
    stop: bool,
    failed: Option<String>,
}

struct Shared {
    name: Arc<str>,
    outbox: Arc<File>,
    dead_letters: PathBuf,
    policy: Policy,
    to: Box<dyn Deliver>,
    state: Mutex<State>,
    news: Condvar,
}

/// The running threads of one destination.
pub(crate) struct Delivery {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Delivery {
    /// Start delivering what is in an outbox of `len` bytes.
    pub(crate) fn start(
        name: Arc<str>,
        outbox: Arc<File>,
        len: u64,
        acks: Acks,
        dead_letters: PathBuf,
        policy: Policy,
        to: Box<dyn Deliver>,
    ) -> Result<Delivery> {
        let next = acks.low();
        let state = State { next, len, committed: len, jobs: BTreeMap::new(), acks, stop: false, failed: None };
        let n = policy.concurrency;
        let shared =
            Arc::new(Shared { name, outbox, dead_letters, policy, to, state: Mutex::new(state), news: Condvar::new() });
        let mut threads = Vec::new();
        for _ in 0..n {
            let s = shared.clone();
            let t = std::thread::Builder::new().name(format!("deliver-{}", s.name)).spawn(move || s.work());
            threads.push(t.map_err(|e| format!("cannot start a delivery thread: {e}"))?);
        }
        Ok(Delivery { shared, threads })
    }

    /// The outbox has grown to `len`; what it held before is committed.
    pub(crate) fn grown(&self, len: u64) {
        let mut s = self.shared.lock();
        (s.committed, s.len) = (s.len, len);
        drop(s);
        self.shared.news.notify_all();
    }

    /// Why delivery cannot go on, if it cannot.
    pub(crate) fn failure(&self) -> Option<String> {
        self.shared.lock().failed.clone()
    }

    /// Wait until everything is delivered or given up; false if time ran out before.
    pub(crate) fn drain(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut s = self.shared.lock();
        while !s.jobs.is_empty() || s.next < s.len {
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) else { return false };
            if s.failed.is_some() {
                return false;
            }
            s = self.shared.news.wait_timeout(s, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        s.acks.sync().is_ok()
    }

    /// Alerts in memory.
    #[cfg(test)]
    pub(crate) fn window(&self) -> usize {
        self.shared.lock().jobs.len()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.news.notify_all();
        // Idle threads end at once. One in the middle of a request ends with it, and records what came of it.
        self.threads.retain(|t| !t.is_finished());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some((offset, line, attempts)) = self.take() {
            let id = alert_id(&line);
            let outcome = self.to.deliver(&id, &line);
            let done = match outcome {
                Outcome::Delivered => self.done(offset, &line),
                Outcome::Refused(why) => self.give_up(offset, &line, &id, attempts, &why),
                Outcome::Retry(why, _) if attempts > self.policy.retries => {
                    self.give_up(offset, &line, &id, attempts, &why)
                }
                Outcome::Retry(_, asked) => {
                    let pause = asked.map_or_else(|| self.policy.pause(&id, attempts), |a| a.min(MAX_RETRY_AFTER));
                    self.again(offset, attempts, pause);
                    Ok(())
                }
            };
            if let Err(e) = done {
                self.lock().failed = Some(format!("destination {}: {e}", self.name));
            }
            self.news.notify_all();
        }
    }

    /// Next alert that is due; waits for one. `None`: stop.
    fn take(&self) -> Option<(u64, Arc<Vec<u8>>, u32)> {
        let mut s = self.lock();
        loop {
            if s.stop || s.failed.is_some() {
                return None;
            }
            if let Err(e) = self.fill(&mut s) {
                s.failed = Some(format!("destination {}: {e}", self.name));
                return None;
            }
            let now = Instant::now();
            let next = s.jobs.iter_mut().filter(|(_, j)| !j.running).min_by_key(|(o, j)| (j.due, **o));
            let wait = match next {
                Some((offset, job)) if job.due <= now => {
                    job.running = true;
                    job.attempts += 1;
                    return Some((*offset, job.line.clone(), job.attempts));
                }
                Some((_, job)) => job.due - now,
                None => Duration::from_secs(60),
            };
            s = self.news.wait_timeout(s, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Read on in the outbox while there is room in the window.
    fn fill(&self, s: &mut State) -> Result<()> {
        let oldest = s.jobs.keys().next().copied().unwrap_or(s.next);
        while s.jobs.len() < WINDOW && s.next < s.len && s.next - oldest < AHEAD {
            let line = line_at(&self.outbox, s.next, s.len)?;
            let offset = s.next;
            s.next += line.len() as u64 + 1;
            if !s.acks.has(offset, &line) {
                let job = Job { attempts: 0, due: Instant::now(), running: false, line: Arc::new(line) };
                s.jobs.insert(offset, job);
            }
        }
        Ok(())
    }

    fn done(&self, offset: u64, line: &[u8]) -> Result<()> {
        let mut s = self.lock();
        s.jobs.remove(&offset);
        let committed = s.committed;
        s.acks.add(offset, line, committed)
    }

    fn again(&self, offset: u64, attempts: u32, pause: Duration) {
        if let Some(job) = self.lock().jobs.get_mut(&offset) {
            (job.running, job.due, job.attempts) = (false, Instant::now() + pause, attempts);
        }
    }

    /// Keep what cannot be delivered, then forget it.
    fn give_up(&self, offset: u64, line: &[u8], id: &str, attempts: u32, why: &str) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        let mut row = json!({
            "time": time::rfc3339_ms(now),
            "node": &*self.name,
            "stage": "deliver",
            "code": "not_delivered",
            "reason": why,
            "attempts": attempts,
            "alertId": id,
            "alert": serde_json::from_slice::<serde_json::Value>(line).unwrap_or_default(),
        })
        .to_string();
        row.push('\n');
        let path = &self.dead_letters;
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(at("create folder", dir))?;
        }
        let mut f = OpenOptions::new().append(true).create(true).open(path).map_err(at("open", path))?;
        f.write_all(row.as_bytes()).and_then(|()| f.sync_data()).map_err(at("write", path))?;
        self.done(offset, line)
    }
}

fn alert_id(line: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Id {
        alert_id: String,
    }
    serde_json::from_slice::<Id>(line).map(|i| i.alert_id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ_by_alert() {
        let p = Policy {
            retries: 10,
            backoff: Duration::from_secs(30),
            backoff_max: Duration::from_secs(300),
            concurrency: 1,
        };
        for n in 1..12 {
            let whole = (30.0 * 2f64.powi(n as i32 - 1)).min(300.0);
            let got = p.pause("a", n).as_secs_f64();
            assert!(got >= whole / 2.0 - 1e-6 && got <= whole, "{n}: {got}");
            assert_eq!(p.pause("a", n), p.pause("a", n));
        }
        assert_ne!(p.pause("a", 1), p.pause("b", 1));
        assert!(p.pause("a", u32::MAX) <= Duration::from_secs(300));
    }
}
