//! Taps: a look at what leaves a node, while it runs.
//!
//! The dataflow never waits for one who looks: a port that nobody looks at costs one relaxed load per packet; one that
//! is looked at renders a bounded number of rows per second and drops them when the reader is slow. A tap sees this
//! process's workers only. The clock here decides what is shown, never what flows.
use model::{EventBatch, Packet, Record};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Taps that may be open at once.
pub const TAPS_MAX: usize = 8;
/// Packets that a tap takes rows from in one second.
pub const PACKETS_PER_SECOND: usize = 20;
/// Rows that it takes from one packet.
pub const ROWS_PER_PACKET: usize = 16;
/// Lines that wait for a slow reader; further ones are dropped.
pub const LINES_WAITING: usize = 256;
/// A row whose JSON is longer than this is shown by its length only.
pub const LINE_MAX: usize = 64 << 10;

/// The open taps of a process.
#[derive(Default)]
pub struct Taps {
    open: AtomicUsize,
    list: Mutex<Vec<Arc<Tap>>>,
}

struct Tap {
    node: Arc<str>,
    port: usize,
    name: String,
    to: SyncSender<String>,
    /// When rows were taken within the last second.
    taken: Mutex<VecDeque<Instant>>,
    seen: AtomicU64,
    shown: AtomicU64,
    dropped: AtomicU64,
}

/// What a tap has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Rows that left the port.
    pub seen: u64,
    /// Rows that were given to the reader.
    pub shown: u64,
    /// Rows that were rendered and dropped because the reader was slow.
    pub dropped: u64,
}

/// The reader's end. Closes the tap when dropped.
pub struct Tapped {
    lines: Receiver<String>,
    tap: Arc<Tap>,
    taps: Arc<Taps>,
}

impl Taps {
    /// Look at a port (see [`crate::Status::port`]); `name` is how lines call it.
    ///
    /// # Errors
    /// Too many taps are open.
    pub fn open(self: &Arc<Self>, node: Arc<str>, port: usize, name: &str) -> Result<Tapped, String> {
        let mut list = self.list.lock().expect("no holder panics");
        if list.len() >= TAPS_MAX {
            return Err(format!("{TAPS_MAX} taps are open already; close one"));
        }
        let (to, lines) = sync_channel(LINES_WAITING);
        let tap = Arc::new(Tap {
            node,
            port,
            name: name.into(),
            to,
            taken: Mutex::default(),
            seen: AtomicU64::new(0),
            shown: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        list.push(tap.clone());
        self.open.store(list.len(), Relaxed);
        Ok(Tapped { lines, tap, taps: self.clone() })
    }
    /// True if somebody looks at something.
    pub(crate) fn any(&self) -> bool {
        self.open.load(Relaxed) > 0
    }
    /// Show a packet to whoever looks at this port.
    #[cold]
    pub(crate) fn show(&self, node: &str, port: usize, packet: &Packet) {
        // Another worker is here, or a tap opens or closes: better to miss a packet than to wait.
        let Ok(list) = self.list.try_lock() else { return };
        for tap in list.iter().filter(|t| *t.node == *node && t.port == port) {
            tap.take(packet);
        }
    }
}

impl Tap {
    fn take(&self, packet: &Packet) {
        self.seen.fetch_add(packet.len() as u64, Relaxed);
        let now = Instant::now();
        let mut taken = self.taken.lock().expect("no holder panics");
        while taken.front().is_some_and(|t| now.duration_since(*t) >= Duration::from_secs(1)) {
            taken.pop_front();
        }
        if taken.len() >= PACKETS_PER_SECOND {
            return;
        }
        taken.push_back(now);
        for row in 0..packet.len().min(ROWS_PER_PACKET) {
            match self.to.try_send(self.line(packet, row)) {
                Ok(()) => self.shown.fetch_add(1, Relaxed),
                Err(_) => self.dropped.fetch_add(1, Relaxed),
            };
        }
    }

    fn line(&self, packet: &Packet, row: usize) -> String {
        let (kind, data) = match packet {
            Packet::Raw(b) => {
                let bytes = b.bytes(row);
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_MAX)]);
                ("raw", json!({ "partition": b.origin.name, "offset": b.records[row].offset, "raw": text }))
            }
            Packet::Events(b) => ("event", event(b, row)),
            Packet::Records(r) => (kind(&r[row]), r[row].to_json()),
        };
        let line = json!({ "node": self.name, "kind": kind, "data": data }).to_string();
        match line.len() > LINE_MAX {
            true => json!({ "node": self.name, "kind": kind, "too_long": line.len() }).to_string(),
            false => line,
        }
    }
}

fn event(batch: &EventBatch, row: usize) -> Value {
    Value::Object(batch.layout.full.event(batch, row))
}

fn kind(r: &Record) -> &'static str {
    match r {
        Record::Match(_) => "match",
        Record::Signal(_) => "signal",
        Record::Alert(_) => "alert",
        Record::Rejected(_) => "rejected",
        Record::Event(_) => "event",
        Record::Ledger(_) => "ledger",
    }
}

impl Tapped {
    /// The next line; `None` if there is none within `wait`.
    pub fn next(&self, wait: Duration) -> Option<String> {
        self.lines.recv_timeout(wait).ok()
    }
    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        let (seen, shown) = (self.tap.seen.load(Relaxed), self.tap.shown.load(Relaxed));
        Seen { seen, shown, dropped: self.tap.dropped.load(Relaxed) }
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        let mut list = self.taps.list.lock().expect("no holder panics");
        list.retain(|t| !Arc::ptr_eq(t, &self.tap));
        self.taps.open.store(list.len(), Relaxed);
    }
}

/// An operator's end: one per operator and worker.
pub(crate) struct Faucet {
    node: Arc<str>,
    taps: Arc<Taps>,
}

impl Faucet {
    pub fn new(node: &Arc<str>, taps: &Arc<Taps>) -> Faucet {
        Faucet { node: node.clone(), taps: taps.clone() }
    }
    /// A packet leaves a port.
    #[inline]
    pub fn pass(&self, port: usize, packet: &Packet) {
        if self.taps.any() {
            self.taps.show(&self.node, port, packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Alert, Pos, Rejected};

    const SOON: Duration = Duration::from_millis(200);

    fn rejects(n: usize) -> Packet {
        let one = |i| Rejected { pos: Pos { offset: i as u64, ..Default::default() }, ..Default::default() };
        Packet::Records((0..n).map(|i| Record::Rejected(Box::new(one(i)))).collect())
    }

    #[test]
    fn a_tap_shows_its_port_only_and_closes_when_dropped() {
        let taps = Arc::<Taps>::default();
        let faucet = Faucet::new(&"events".into(), &taps);
        faucet.pass(1, &rejects(1));
        let tap = taps.open("events".into(), 1, "events.rejected").unwrap();
        faucet.pass(0, &Packet::Records(vec![Record::Alert(Box::<Alert>::default())]));
        Faucet::new(&"other".into(), &taps).pass(1, &rejects(1));
        faucet.pass(1, &rejects(2));
        let lines: Vec<Value> =
            std::iter::from_fn(|| tap.next(SOON)).map(|l| serde_json::from_str(&l).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((&lines[1]["node"], &lines[1]["kind"]), (&json!("events.rejected"), &json!("rejected")));
        assert_eq!(lines[1]["data"]["offset"], 1);
        assert_eq!(tap.seen(), Seen { seen: 2, shown: 2, dropped: 0 });
        assert!(taps.any());
        drop(tap);
        assert!(!taps.any());
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_not_time() {
        let taps = Arc::<Taps>::default();
        let tap = taps.open("n".into(), 0, "n").unwrap();
        let faucet = Faucet::new(&"n".into(), &taps);
        let packet = rejects(1000);
        let began = Instant::now();
        (0..PACKETS_PER_SECOND * 50).for_each(|_| faucet.pass(0, &packet));
        assert!(began.elapsed() < Duration::from_millis(900), "it waited for the reader: {:?}", began.elapsed());
        let s = tap.seen();
        assert_eq!(s.seen, 50_000 * PACKETS_PER_SECOND as u64);
        assert_eq!(s.shown, LINES_WAITING as u64);
        assert_eq!(s.shown + s.dropped, (PACKETS_PER_SECOND * ROWS_PER_PACKET) as u64);
    }

    #[test]
    fn there_is_an_end_to_taps_and_to_lines() {
        let taps = Arc::<Taps>::default();
        let open: Vec<Tapped> = (0..TAPS_MAX).map(|_| taps.open("n".into(), 0, "n").unwrap()).collect();
        assert!(taps.open("n".into(), 0, "n").is_err());
        let long = Rejected { raw: vec![b'x'; LINE_MAX], ..Default::default() };
        taps.show("n", 0, &Packet::Records(vec![Record::Rejected(Box::new(long))]));
        let line: Value = serde_json::from_str(&open[0].next(SOON).unwrap()).unwrap();
        assert!(line["too_long"].as_u64().unwrap() > LINE_MAX as u64 && line.get("data").is_none());
    }
}
