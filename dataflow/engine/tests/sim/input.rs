//! The input of a seed: partitions of records with gaps in their offsets, that grow while time passes; and the rules.
use crate::rng::Rng;
use crate::sched::{pause, sched};
use model::raw::{Origin, PAD, RawBatch, RawRecord};
use model::source::{Budget, Poll, SOON};
use model::{Packet, Pos, Reader, Record, Rejected, Result, RuleMeta, Source, Split};
use std::collections::VecDeque;
use std::sync::Arc;

/// Nothing is at an offset: a control record, or one that was compacted away.
pub type Slot = Option<Vec<u8>>;

/// Partitions, rules, and how fast the input grows.
pub struct Input {
    /// By partition, then offset.
    pub partitions: Vec<Vec<Slot>>,
    /// The rules; a record names the number of its rule.
    pub rules: Vec<Arc<RuleMeta>>,
    /// Offsets that become available per second and partition.
    pub rate: u64,
}

impl Input {
    /// Draw one.
    pub fn draw(rng: &mut Rng) -> Input {
        let n = rng.range(1, 4);
        let per = rng.range(6, 30);
        let slot = |rng: &mut Rng, p: u64, o: u64| match rng.below(12) {
            0 => None,
            1 => Some(format!("bad {p} {o}").into_bytes()),
            k => {
                let error = if k == 2 { "!" } else { "" };
                Some(format!("r{} k{} {p}.{o}{error}", rng.below(4), rng.below(3)).into_bytes())
            }
        };
        let partitions = (0..n).map(|p| (0..rng.range(per / 2, per)).map(|o| slot(rng, p, o)).collect()).collect();
        let rule = |i: usize, rng: &mut Rng| {
            Arc::new(RuleMeta {
                id: format!("r{i}").into(),
                name: format!("rule {i}"),
                dedup_period_ms: rng.range(20, 400) as i64,
                threshold: [1, 2, 3, 1][i],
                create_alert: i != 3,
                ..RuleMeta::default()
            })
        };
        let rules = (0..4).map(|i| rule(i, rng)).collect();
        Input { partitions, rules, rate: rng.range(20, 300) }
    }
    /// End of a partition at a time.
    pub fn end(&self, partition: usize, ms: u64) -> u64 {
        (self.partitions[partition].len() as u64).min(1 + ms * self.rate / 1000)
    }
}

/// Rule number, dedup string and failure of a record's text.
pub fn understand(text: &str) -> (usize, &str, bool) {
    let mut words = text.split(' ');
    let rule = words.next().and_then(|w| w[1..].parse().ok()).expect("made by Input::draw");
    (rule, words.next().expect("made by Input::draw"), text.ends_with('!'))
}

/// Coordinator's side.
pub struct Feed {
    input: Arc<Input>,
    next: Vec<u64>,
}

/// Workers' side.
pub struct Lines {
    input: Arc<Input>,
    /// Splits it was told of.
    soon: VecDeque<Split>,
}

impl Feed {
    /// From the start.
    pub fn new(input: Arc<Input>) -> Feed {
        let next = vec![0; input.partitions.len()];
        Feed { input, next }
    }
}

impl Lines {
    /// A reader.
    pub fn new(input: Arc<Input>) -> Lines {
        Lines { input, soon: VecDeque::new() }
    }
}

impl Source for Feed {
    fn poll(&mut self, budget: Budget) -> Result<Poll> {
        let s = sched();
        let ms = s.state().ms;
        let mut poll = Poll { exhausted: true, ..Poll::default() };
        for p in 0..self.next.len() {
            let (from, end) = (self.next[p], self.input.end(p, ms));
            let left = budget.bytes.saturating_sub(poll.bytes) / 16;
            let most = (end - from).min(left);
            if most > 0 && s.state().rng.permille(700) {
                let n = s.state().rng.range(1, most);
                let lane = if s.state().mix.local { Split::ANY_LANE } else { p as u32 };
                poll.splits.push(Split {
                    source: "in".into(),
                    partition: p as u32,
                    name: format!("p{p}").into(),
                    from,
                    to: from + n,
                    detail: serde_json::Value::Null,
                    lane,
                });
                poll.bytes += n * 16;
                self.next[p] += n;
            }
            poll.exhausted &= self.next[p] == self.input.partitions[p].len() as u64;
        }
        Ok(poll)
    }
    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.next).expect("numbers")
    }
    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.next = serde_json::from_slice(state)?;
        Ok(())
    }
    fn replayed(&mut self, split: &Split) -> Result<()> {
        let next = &mut self.next[split.partition as usize];
        if split.from != *next {
            return Err(format!("{}: a replayed split starts at {}, not at {next}", split.name, split.from).into());
        }
        *next = split.to;
        Ok(())
    }
}

impl Reader for Lines {
    fn anywhere(&self) -> bool {
        sched().state().mix.anywhere
    }

    fn soon(&mut self, split: &Split) {
        assert!(!self.anywhere(), "another worker may read what this one is told of");
        self.soon.push_back(split.clone());
        assert!(self.soon.len() <= SOON);
    }

    fn read_part(
        &mut self,
        split: &Split,
        _from: u64,
        origin: &Arc<Origin>,
        out: &mut dyn FnMut(Packet),
    ) -> Result<u64> {
        if sched().my_worker().is_some_and(|w| split.lane as usize % sched().peers() != w) {
            assert!(self.anywhere(), "a split of another worker's lane");
            sched().state().cover.hit("split of another lane read");
        }
        // Told of in the order of reading, or not at all: the first of an empty queue.
        match self.soon.front() {
            Some(told) if told == split => _ = self.soon.pop_front(),
            _ => assert!(!self.soon.contains(split)),
        }
        let slots = &self.input.partitions[split.partition as usize];
        let batch = |first| RawBatch { origin: origin.clone(), first, ..RawBatch::default() };
        let mut raw = batch(true);
        let mut bad = Vec::new();
        let mut give = |raw: &mut RawBatch| {
            if !raw.records.is_empty() {
                let mut full = std::mem::replace(raw, batch(false));
                full.data.extend_from_slice(&[0; PAD]);
                out(Packet::Raw(Arc::new(full)));
            }
        };
        // A reader that reads what is there, not what was logged.
        let to = match sched().broken("mock_read_on") {
            true => self.input.end(split.partition as usize, sched().state().ms),
            false => split.to,
        };
        for offset in split.from..to {
            let Some(bytes) = &slots[offset as usize] else { continue };
            if bytes.starts_with(b"bad") {
                let pos = Pos { source: origin.index, partition: split.partition, offset, ordinal: 0 };
                let (stage, code) = ("read".into(), "bad".into());
                let origin = origin.name.clone();
                let r = Rejected { pos, stage, code, origin, raw: bytes.clone(), ..Rejected::default() };
                bad.push(Record::Rejected(Box::new(r)));
                continue;
            }
            let (start, len) = (raw.data.len() as u32, bytes.len() as u32);
            raw.data.extend_from_slice(bytes);
            raw.records.push(RawRecord { start, len, ordinal: 0, offset });
            if raw.records.len() == 5 {
                give(&mut raw);
                pause();
            }
        }
        give(&mut raw);
        if !bad.is_empty() {
            out(Packet::Records(bad));
        }
        Ok(split.to)
    }
}
