//! The signals that are held of one value of one rule, in the order of their times.
use model::codec::{Reader, Writer};
use model::{Pos, Result};

/// Signals held of one value. Beyond it the oldest of the item that has the most is given up, and counted as `evicted`.
pub const MAX_HELD: usize = 10_000;

/// A signal that is waiting for others.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Its event's time, milliseconds.
    pub at: i64,
    /// Where its event came from.
    pub pos: Pos,
    /// The item it counts for.
    pub item: u32,
    /// From when on it is waited for others: see [`crate::group`]. Milliseconds.
    pub since: i64,
    /// What became of it.
    pub state: State,
    /// Text of what is counted or added up.
    pub measure: Option<Box<str>>,
}

/// What became of a signal of a rule that is decided when windows are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The window that it opens is not over.
    Fresh,
    /// It is over; the signal may still be in windows that others open.
    Passed,
    /// It was in a match: it only counts against upper bounds.
    Spent,
}

impl Held {
    /// Place among the others.
    pub fn order(&self) -> (i64, Pos, u32) {
        (self.at, self.pos, self.item)
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.int(self.at);
        w.uint(self.pos.source as u64);
        w.uint(self.pos.partition as u64);
        w.uint(self.pos.offset);
        w.uint(self.pos.ordinal as u64);
        w.uint(self.item as u64);
        w.int(self.since);
        w.byte(self.state as u8);
        w.flag(self.measure.is_some());
        if let Some(m) = &self.measure {
            w.text(m);
        }
    }

    pub(crate) fn read(r: &mut Reader) -> Result<Held> {
        let at = r.int()?;
        let (source, partition, offset, ordinal) = (r.uint()? as u32, r.uint()? as u32, r.uint()?, r.uint()? as u32);
        let item = r.uint()? as u32;
        let since = r.int()?;
        let state = match r.byte()? {
            0 => State::Fresh,
            1 => State::Passed,
            2 => State::Spent,
            n => return Err(format!("correlate state is damaged: a signal has state {n}").into()),
        };
        let measure = if r.flag()? { Some(r.text()?.into()) } else { None };
        Ok(Held { at, pos: Pos { source, partition, offset, ordinal }, item, since, state, measure })
    }
}

/// Index at which a signal belongs; `Err` with its index if it is there already.
pub fn place(held: &[Held], s: &Held) -> std::result::Result<usize, usize> {
    match held.binary_search_by(|h| h.order().cmp(&s.order())) {
        Ok(i) => Err(i),
        Err(i) => Ok(i),
    }
}

/// Index of the first signal that is not before a time.
pub fn from(held: &[Held], at: i64) -> usize {
    held.partition_point(|h| h.at < at)
}

/// Index behind the last signal that is not after a time.
pub fn to(held: &[Held], at: i64) -> usize {
    held.partition_point(|h| h.at <= at)
}

/// The oldest signal of the item that has the most; of several such items, of the first.
pub fn spare(held: &[Held]) -> Option<usize> {
    let mut counts = std::collections::BTreeMap::<u32, usize>::new();
    held.iter().for_each(|h| *counts.entry(h.item).or_default() += 1);
    let (item, _) = counts.into_iter().max_by_key(|(item, n)| (*n, std::cmp::Reverse(*item)))?;
    held.iter().position(|h| h.item == item)
}
