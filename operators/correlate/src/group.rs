//! The signals of a key group: by rule and value, with the time at which each of them has to be looked at again.
//!
//! Windows are measured in the time of the events. How long is waited is another clock: with processing time a signal is
//! waited with from the epoch that brought it, and the clock is the epoch's stamp; with event time from its own time, and
//! the clock is the newest event of the group, never ahead of the epoch's. Either way a window is over once the clock has
//! passed its end, counted from there, by the lateness the node allows, or once a signal of the same value is newer than its end
//! by as much. A signal that comes later than that is counted as `late`.
//!
//! The clock is looked at behind the records of an epoch, so what came in an epoch is never too late for it.
use crate::decide::{Found, complete, over};
use crate::held::{Held, MAX_HELD, State, place, spare, to};
use crate::rule::{Correlation, When};
use model::codec::{Reader, Writer};
use model::{Pos, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Signals one key group holds. Beyond it the value that is looked at next is given up, and its signals are counted as `evicted`.
pub const MAX_SIGNALS: usize = 200_000;

const VERSION: u8 = 1;

/// A rule's id and a value.
pub type Key = Arc<(Arc<str>, Vec<String>)>;

/// The rules of an operator, and how late a signal may be.
pub struct Rules {
    /// In the order of their ids.
    pub list: Arc<[Correlation]>,
    /// Milliseconds.
    pub lateness_ms: i64,
    /// The clock is the events'.
    pub event_time: bool,
}

impl Rules {
    /// A rule by its id.
    pub fn find(&self, id: &str) -> Option<&Correlation> {
        self.list.binary_search_by(|r| (*r.meta.id).cmp(id)).ok().map(|i| &self.list[i])
    }
    /// How much older than the newest signal of its value one may be, milliseconds.
    fn reach(&self, rule: &Correlation) -> i64 {
        rule.reach_ms() + self.lateness_ms
    }
    /// How long a signal is waited with, milliseconds. A window that is decided when it is over looks back from the time of its
    /// first signal, which may have come late itself.
    fn patience(&self, rule: &Correlation) -> i64 {
        self.reach(rule) + if rule.when() == When::Over { self.lateness_ms } else { 0 }
    }
}

/// A match.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Rule and value.
    pub key: Key,
    /// The signal that completed it, or that opened its window.
    pub pos: Pos,
    /// Its signals that count, in order.
    pub signals: Vec<Held>,
    /// The figure of a tally.
    pub figure: Option<f64>,
}

/// What an epoch did.
#[derive(Default, Debug)]
pub struct Told {
    /// Matches, in the order in which they were found.
    pub hits: Vec<Hit>,
    /// By rule: signals that came too late.
    pub late: BTreeMap<Arc<str>, u64>,
    /// By rule: signals that were given up for want of room.
    pub evicted: BTreeMap<Arc<str>, u64>,
}

/// The signals of one value.
#[derive(Default)]
struct Value {
    held: Vec<Held>,
    /// End of the last tumbling window.
    closed: Option<i64>,
    /// When the clock has passed this, it is looked at.
    due: i64,
}

/// The signals of a key group.
#[derive(Default)]
pub struct Group {
    values: BTreeMap<Key, Value>,
    due: BTreeSet<(i64, Key)>,
    /// Newest event, where that is the clock.
    newest: Option<i64>,
    signals: usize,
    changed: BTreeSet<Key>,
}

impl Group {
    /// Values of which anything is held.
    pub fn keys(&self) -> usize {
        self.values.len()
    }

    /// Takes a signal; `s.since` is the epoch's clock.
    pub fn add(&mut self, key: Key, mut s: Held, rules: &Rules, out: &mut Told) {
        let Some(rule) = rules.find(&key.0) else { return };
        let now = s.since;
        // An event of the future has a wrong clock; it must not make all others late.
        s.at = s.at.min(now);
        if rules.event_time {
            self.newest = self.newest.max(Some(s.at));
            s.since = s.at;
        }
        let mut v = self.take(&key);
        let reach = rules.reach(rule);
        // What others may need to decide their windows, is forgotten behind those.
        if !rules.event_time && rule.when() == When::Complete {
            v.forget(rule, now - rules.patience(rule));
        }
        let newest = v.held.last().map_or(s.at, |h| h.at.max(s.at));
        let late = s.at < newest - reach || v.closed.is_some_and(|c| s.at <= c);
        if late {
            *out.late.entry(key.0.clone()).or_default() += 1;
        } else if let Ok(i) = place(&v.held, &s) {
            v.held.insert(i, s);
            v.decide(&key, rule, i, newest - rules.lateness_ms, out);
            let old = newest - reach;
            v.held.retain(|h| h.at >= old);
            if v.held.len() > MAX_HELD
                && let Some(i) = spare(&v.held)
            {
                v.held.remove(i);
                *out.evicted.entry(key.0.clone()).or_default() += 1;
            }
        }
        self.put(key, v, rule, rules);
        while self.signals > MAX_SIGNALS {
            let Some((_, key)) = self.due.first().cloned() else { break };
            let n = self.take(&key).held.len() as u64;
            self.changed.insert(key.clone());
            *out.evicted.entry(key.0.clone()).or_default() += n;
        }
    }

    /// Looks at every value whose time has come; `now` is the epoch's clock. True if there was any.
    pub fn tick(&mut self, now: i64, rules: &Rules, out: &mut Told) -> bool {
        let Some(clock) = (if rules.event_time { self.newest } else { Some(now) }) else { return false };
        let mut any = false;
        while let Some((due, key)) = self.due.first().cloned()
            && due < clock
        {
            any = true;
            let mut v = self.take(&key);
            let Some(rule) = rules.find(&key.0) else { continue };
            v.time(&key, rule, clock - rules.lateness_ms, out);
            v.forget(rule, clock - rules.patience(rule));
            if v.held.is_empty() {
                v.closed = None;
            }
            self.put(key, v, rule, rules);
        }
        any
    }

    /// A value, out of the group.
    fn take(&mut self, key: &Key) -> Value {
        let v = self.values.remove(key).unwrap_or_default();
        self.due.remove(&(v.due, key.clone()));
        self.signals -= v.weight();
        v
    }

    /// Puts a value back, unless nothing is left of it.
    fn put(&mut self, key: Key, mut v: Value, rule: &Correlation, rules: &Rules) {
        self.changed.insert(key.clone());
        self.insert(key, &mut v, rule, rules);
    }

    fn insert(&mut self, key: Key, v: &mut Value, rule: &Correlation, rules: &Rules) {
        if v.held.is_empty() && v.closed.is_none() {
            return;
        }
        v.due = v.next(rule, rules);
        self.signals += v.weight();
        self.due.insert((v.due, key.clone()));
        self.values.insert(key, std::mem::take(v));
    }

    /// Every value, in a form that is the same for the same state.
    pub fn save(&mut self, rules: &Rules) -> Vec<u8> {
        self.changed.clear();
        if self.values.is_empty() && self.newest.is_none() {
            return Vec::new();
        }
        let mut w = self.head(self.values.len());
        for (key, v) in &self.values {
            write(key, Some(v), rules, &mut w);
        }
        w.finish()
    }

    /// The values that changed since the last time.
    pub fn changes(&mut self, rules: &Rules) -> Vec<u8> {
        let mut w = self.head(self.changed.len());
        for key in std::mem::take(&mut self.changed) {
            write(&key, self.values.get(&key), rules, &mut w);
        }
        w.finish()
    }

    fn head(&self, n: usize) -> Writer {
        let mut w = Writer::new(VERSION);
        w.flag(self.newest.is_some());
        w.int(self.newest.unwrap_or_default());
        w.uint(n as u64);
        w
    }

    /// Takes over what [`Group::save`] or [`Group::changes`] wrote. Values of rules that are gone or mean something else
    /// now are left out.
    pub fn apply(&mut self, bytes: &[u8], rules: &Rules) -> Result<()> {
        let mut r = Reader::open(bytes, VERSION, "correlate")?;
        let (known, newest) = (r.flag()?, r.int()?);
        self.newest = known.then_some(newest);
        for _ in 0..r.uint()? {
            let id: Arc<str> = r.text()?.into();
            let shape = r.uint()?;
            let values = (0..r.uint()?).map(|_| Ok(r.text()?.to_string())).collect::<Result<Vec<_>>>()?;
            let there = r.flag()?;
            let key: Key = Arc::new((id, values));
            self.take(&key);
            if !there {
                continue;
            }
            let closed = if r.flag()? { Some(r.int()?) } else { None };
            let held = (0..r.uint()?).map(|_| Held::read(&mut r)).collect::<Result<Vec<_>>>()?;
            if let Some(rule) = rules.find(&key.0).filter(|rule| rule.shape() == shape) {
                self.insert(key, &mut Value { held, closed, due: 0 }, rule, rules);
            }
        }
        r.end()
    }
}

fn write(key: &Key, v: Option<&Value>, rules: &Rules, w: &mut Writer) {
    w.text(&key.0);
    w.uint(rules.find(&key.0).map_or(0, Correlation::shape));
    w.uint(key.1.len() as u64);
    key.1.iter().for_each(|t| w.text(t));
    w.flag(v.is_some());
    if let Some(v) = v {
        w.flag(v.closed.is_some());
        if let Some(c) = v.closed {
            w.int(c);
        }
        w.uint(v.held.len() as u64);
        v.held.iter().for_each(|h| h.write(w));
    }
}

impl Value {
    /// What it counts against [`MAX_SIGNALS`].
    fn weight(&self) -> usize {
        if self.held.is_empty() && self.closed.is_none() { 0 } else { self.held.len().max(1) }
    }

    /// Leaves out what is waited with since before `oldest`, but not what opens a window that is not over.
    fn forget(&mut self, rule: &Correlation, oldest: i64) {
        match rule.when() {
            When::Complete => self.held.retain(|h| h.since >= oldest),
            When::Over => self.held.retain(|h| h.since >= oldest || opens(rule, h)),
            When::Tumbling => {}
        }
    }

    /// What signal `i`, which has just come, makes; windows that ended before `newest` are over.
    fn decide(&mut self, key: &Key, rule: &Correlation, i: usize, newest: i64, out: &mut Told) {
        if rule.when() != When::Complete {
            return self.close(key, rule, out, |h| h.at + rule.window_ms < newest);
        }
        if let Some(found) = complete(rule, &self.held, i) {
            let pos = self.held[i].pos;
            let signals: Vec<Held> = self.held.drain(found.span).collect();
            out.hits.push(Hit { key: key.clone(), pos, signals, figure: found.figure });
        }
    }

    /// Windows that are over by the clock, which has the lateness taken off.
    fn time(&mut self, key: &Key, rule: &Correlation, clock: i64, out: &mut Told) {
        if rule.when() != When::Complete {
            self.close(key, rule, out, |h| h.since + rule.window_ms < clock);
        }
    }

    fn close(&mut self, key: &Key, rule: &Correlation, out: &mut Told, is_over: impl Fn(&Held) -> bool) {
        if rule.when() == When::Tumbling {
            while self.held.first().is_some_and(&is_over) {
                let (first, end) = (self.held[0].clone(), self.held[0].at + rule.window_ms);
                let found = over(rule, &self.held, 0);
                let inside = to(&self.held, end);
                let signals: Vec<Held> = self.held.drain(..inside).collect();
                self.closed = Some(end);
                if let Some(Found { figure, .. }) = found {
                    out.hits.push(Hit { key: key.clone(), pos: first.pos, signals, figure });
                }
            }
            return;
        }
        while let Some(first) = self.held.iter().position(|h| opens(rule, h) && is_over(h)) {
            self.held[first].state = State::Passed;
            let Some(found) = over(rule, &self.held, first) else { continue };
            let mut signals = Vec::new();
            for h in &mut self.held[found.span] {
                if h.state != State::Spent && !rule.items[h.item as usize].absent() {
                    h.state = State::Spent;
                    signals.push(h.clone());
                }
            }
            out.hits.push(Hit { key: key.clone(), pos: self.held[first].pos, signals, figure: None });
        }
    }

    /// When something has to be done.
    fn next(&self, rule: &Correlation, rules: &Rules) -> i64 {
        let newest = self.held.iter().map(|h| h.since).max().or(self.closed).unwrap_or_default();
        let last = newest + rules.patience(rule);
        let over = |h: &Held| h.since + rule.window_ms + rules.lateness_ms;
        let first = match rule.when() {
            When::Complete => None,
            When::Tumbling => self.held.first().map(over),
            When::Over => self.held.iter().filter(|h| opens(rule, h)).map(over).min(),
        };
        first.map_or(last, |f| f.min(last))
    }
}

/// True if a signal's own window is still to be decided.
fn opens(rule: &Correlation, h: &Held) -> bool {
    h.state == State::Fresh && !rule.items[h.item as usize].absent()
}

#[cfg(test)]
mod tests;
