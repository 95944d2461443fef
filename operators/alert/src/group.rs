//! The windows of a key group, packed: a table by key, and the order in which they are forgotten.
//!
//! A window is forgotten when the group's clock has passed its end by the lateness the node allows, so that memory
//! follows what is live, not what was ever seen. A live window costs its record ([`crate::slab`]), 5 bytes in a hash
//! table that is at least half full, and 4 in its bucket of expiry.
//!
//! What a snapshot writes is the windows that changed since the last one. Windows that expired need not be told: the clock
//! is written, and reading applies it.
use crate::slab::{Ref, Slab};
use crate::texts::Texts;
use crate::window::{Head, Step, Window, head};
use hashbrown::{HashMap, HashTable};
use model::codec::{Reader, Writer};
use model::{Match, Result};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Windows one key group keeps. Beyond it the window that ends first is given up, and counted as `evicted`.
pub const MAX_WINDOWS: usize = 100_000;

const VERSION: u8 = 2;
/// A bucket of expiry spans 2 to the power of this, in milliseconds: 16 s.
const BUCKET_BITS: u32 = 14;

/// What the groups of an operator share.
#[derive(Default)]
pub struct Tables {
    slab: Slab,
    /// Texts that windows share.
    pub texts: Texts,
    /// The window that the last match was counted into.
    pub window: Window,
    record: Writer,
}

/// What became of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What it did to its window.
    pub step: Step,
    /// True if another window was given up for it.
    pub evicted: bool,
}

/// Windows of one key group.
#[derive(Default)]
pub struct Group {
    by_key: HashTable<Ref>,
    /// By bucket, in it by expiry and key.
    by_expiry: BTreeMap<i64, VecDeque<Ref>>,
    /// Highest clock this group has seen.
    clock: Option<i64>,
    /// Windows that changed since the group was last written.
    changed: BTreeSet<Ref>,
    /// Windows that were given up since, as key records.
    evicted: Vec<(u32, bool, Box<str>)>,
}

impl Tables {
    /// Memory of the windows' records.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.slab.bytes()
    }

    fn head(&self, r: Ref) -> Head<'_> {
        head(self.slab.get(r))
    }

    /// The order in which windows are forgotten. Keys compare by what they say: numbers depend on who came first.
    fn order(&self, a: &Head, b: &Head) -> Ordering {
        let (rule_a, rule_b) = (self.texts.get(a.rule), self.texts.get(b.rule));
        (a.expires, rule_a, a.error, a.dedup).cmp(&(b.expires, rule_b, b.error, b.dedup))
    }

    fn unpack(&mut self, r: Ref) {
        let mut reader = Reader::of(self.slab.get(r), "dedup");
        self.window.read(&mut reader, |n| Ok(n as u32)).expect("a record in memory is whole");
    }

    fn pack(&mut self) {
        self.record.clear();
        self.window.write(&mut self.record, |n| n);
    }
}

fn hash(h: &Head) -> u64 {
    xxh3_64_with_seed(h.dedup.as_bytes(), (h.rule as u64) << 1 | h.error as u64)
}

fn same_key(a: &Head, b: &Head) -> bool {
    (a.rule, a.error, a.dedup) == (b.rule, b.error, b.dedup)
}

fn bucket(expires: i64) -> i64 {
    expires >> BUCKET_BITS
}

impl Group {
    /// Number of windows.
    pub fn keys(&self) -> usize {
        self.by_key.len()
    }

    /// Moves the clock on and forgets what has expired. True if that forgot anything.
    pub fn advance(&mut self, clock: i64, t: &mut Tables) -> bool {
        let now = self.clock.map_or(clock, |c| c.max(clock));
        self.clock = Some(now);
        let before = self.by_key.len();
        while let Some(mut first) = self.by_expiry.first_entry() {
            if *first.key() > bucket(now) {
                break;
            }
            let refs = first.get_mut();
            while let Some(r) = refs.front().copied().filter(|r| t.head(*r).expires <= now) {
                refs.pop_front();
                take_out(&mut self.by_key, t, r);
                self.changed.remove(&r);
                t.slab.remove(r);
            }
            if !refs.is_empty() {
                break;
            }
            first.remove();
        }
        self.by_key.len() != before
    }

    /// Counts a match at `clock` into its window, opened if need be; [`Tables::window`] is that window then.
    pub fn count(&mut self, m: &Match, clock: i64, lateness: i64, t: &mut Tables) -> Counted {
        let rule = t.texts.number(&m.rule.id);
        let key = Head { rule, error: m.error.is_some(), dedup: &m.dedup, expires: 0 };
        let now = self.clock.unwrap_or(i64::MIN);
        let known = self.by_key.find(hash(&key), |r| same_key(&t.head(*r), &key)).copied();
        let evicted = known.is_none() && self.by_key.len() >= MAX_WINDOWS && self.evict(t);
        known.into_iter().for_each(|r| t.unpack(r));
        let opens = known.is_none() || clock >= t.window.ends();
        if let Some(r) = known.filter(|_| opens) {
            self.unlink(r, t);
        }
        let Tables { window, texts, .. } = t;
        if opens {
            window.open(m, clock, now, lateness, texts);
        }
        let step = window.count(m, clock, texts);
        match known {
            Some(r) => self.replace(r, t, opens),
            None => self.insert(t),
        }
        Counted { step, evicted }
    }

    /// Keep [`Tables::window`], which is not here yet.
    fn insert(&mut self, t: &mut Tables) {
        t.pack();
        let r = t.slab.insert(t.record.as_slice());
        self.by_key.insert_unique(hash(&t.window.head()), r, |r| hash(&head(t.slab.get(*r))));
        self.link(r, t);
        self.changed.insert(r);
    }

    /// Keep [`Tables::window`], which was at `r`. `relink`: its expiry is another, and it is not in order now.
    fn replace(&mut self, r: Ref, t: &mut Tables, relink: bool) {
        t.pack();
        let new = t.slab.set(r, t.record.as_slice());
        if new != r {
            let place = self.by_key.find_mut(hash(&t.window.head()), |x| *x == r);
            *place.expect("a live window is in the table") = new;
            self.changed.remove(&r);
            if !relink {
                let refs = self.by_expiry.get_mut(&bucket(t.window.head().expires));
                let place = refs.and_then(|refs| refs.iter_mut().find(|x| **x == r));
                *place.expect("a live window is in order") = new;
            }
        }
        if relink {
            self.link(new, t);
        }
        self.changed.insert(new);
    }

    fn link(&mut self, r: Ref, t: &Tables) {
        let own = t.head(r);
        let refs = self.by_expiry.entry(bucket(own.expires)).or_default();
        let at = refs.partition_point(|x| t.order(&t.head(*x), &own).is_lt());
        refs.insert(at, r);
    }

    fn unlink(&mut self, r: Ref, t: &Tables) {
        let number = bucket(t.head(r).expires);
        let Some(refs) = self.by_expiry.get_mut(&number) else { return };
        if let Some(at) = refs.iter().position(|x| *x == r) {
            refs.remove(at);
        }
        if refs.is_empty() {
            self.by_expiry.remove(&number);
        }
    }

    /// Gives up the window that ends first.
    fn evict(&mut self, t: &mut Tables) -> bool {
        let Some(r) = self.by_expiry.first_entry().and_then(|e| e.get().front().copied()) else { return false };
        let h = t.head(r);
        self.evicted.push((h.rule, h.error, h.dedup.into()));
        self.forget(r, t);
        true
    }

    fn forget(&mut self, r: Ref, t: &mut Tables) {
        self.unlink(r, t);
        take_out(&mut self.by_key, t, r);
        self.changed.remove(&r);
        t.slab.remove(r);
    }

    /// The whole group as bytes; empty if there is nothing to keep. With `late` the clock is state as well: it decides
    /// what a late match finds.
    pub fn save(&mut self, late: bool, t: &mut Tables) -> Vec<u8> {
        self.changed.clear();
        self.evicted.clear();
        let clock = self.clock.filter(|_| late);
        if self.by_key.is_empty() && clock.is_none() {
            return Vec::new();
        }
        let all: Vec<Ref> = self.by_expiry.values().flatten().copied().collect();
        write(late, clock, &[], &all, t)
    }

    /// What changed since the group was last written, as bytes for [`Group::apply`].
    pub fn changes(&mut self, late: bool, t: &mut Tables) -> Vec<u8> {
        let mut changed: Vec<Ref> = std::mem::take(&mut self.changed).into_iter().collect();
        changed.sort_by(|a, b| t.order(&t.head(*a), &t.head(*b)));
        write(late, self.clock, &std::mem::take(&mut self.evicted), &changed, t)
    }

    /// Reads [`Group::save`]. Windows of another time base (`late` differs) mean nothing here and are left behind.
    pub fn load(bytes: &[u8], late: bool, t: &mut Tables) -> Result<Group> {
        let mut group = Group::default();
        if !bytes.is_empty() {
            group.apply(bytes, late, t)?;
        }
        Ok(group)
    }

    /// Reads [`Group::changes`] of a group that is in the state before them.
    pub fn apply(&mut self, bytes: &[u8], late: bool, t: &mut Tables) -> Result<()> {
        let mut r = Reader::open(bytes, VERSION, "dedup")?;
        let same_base = r.flag()? == late;
        let (has_clock, clock) = (r.flag()?, r.int()?);
        let texts = (0..r.uint()?).map(|_| Ok(t.texts.number(r.text()?))).collect::<Result<Vec<u32>>>()?;
        let name = |n: u64| {
            let known = usize::try_from(n).ok().and_then(|n| texts.get(n));
            Ok(*known.ok_or_else(|| format!("dedup state: text {n} of {}", texts.len()))?)
        };
        for _ in 0..r.uint()? {
            let key = Head { rule: name(r.uint()?)?, error: r.flag()?, dedup: r.text()?, expires: 0 };
            if let Some(old) = self.find(&key, t) {
                self.forget(old, t);
            }
        }
        for _ in 0..r.uint()? {
            t.window.read(&mut r, name)?;
            if let Some(old) = self.find(&t.window.head(), t) {
                self.forget(old, t);
            }
            self.insert(t);
        }
        r.end()?;
        if has_clock {
            self.advance(clock, t);
        }
        if !same_base {
            self.clear(t);
        }
        self.changed.clear();
        self.evicted.clear();
        Ok(())
    }

    fn find(&self, key: &Head, t: &Tables) -> Option<Ref> {
        self.by_key.find(hash(key), |r| same_key(&t.head(*r), key)).copied()
    }

    /// Forgets everything.
    pub fn clear(&mut self, t: &mut Tables) {
        self.by_key.iter().for_each(|r| t.slab.remove(*r));
        *self = Group::default();
    }
}

/// Takes a window out of the table.
fn take_out(by_key: &mut HashTable<Ref>, t: &Tables, r: Ref) {
    let entry = by_key.find_entry(hash(&t.head(r)), |x| *x == r);
    entry.expect("a live window is in the table").remove();
}

/// Windows as an object: the shared texts that they name stand before them, numbered as they come.
fn write(
    late: bool,
    clock: Option<i64>,
    evicted: &[(u32, bool, Box<str>)],
    windows: &[Ref],
    t: &mut Tables,
) -> Vec<u8> {
    let (mut texts, mut numbers) = (Vec::new(), HashMap::new());
    let mut name = |n: u32| {
        *numbers.entry(n).or_insert_with(|| {
            texts.push(n);
            texts.len() as u32 - 1
        })
    };
    let mut body = Writer::default();
    body.uint(evicted.len() as u64);
    for (rule, error, dedup) in evicted {
        body.uint(name(*rule) as u64);
        body.flag(*error);
        body.text(dedup);
    }
    body.uint(windows.len() as u64);
    for r in windows {
        t.unpack(*r);
        t.window.write(&mut body, &mut name);
    }
    let mut w = Writer::new(VERSION);
    w.flag(late);
    w.flag(clock.is_some());
    w.int(clock.unwrap_or(0));
    w.uint(texts.len() as u64);
    texts.iter().for_each(|n| w.text(t.texts.get(*n)));
    w.append(body);
    w.finish()
}

#[cfg(test)]
mod tests;
