//! The entries of the key-value cache that the Python rules of a node share: bounded, expiring, saved by what changed.
//!
//! An entry is gone when the clock reaches its time, whether or not the rule asks for that. At a limit the entry that would expire
//! first gives way, and is counted: a rule that has forgotten the oldest goes on, one that cannot remember anything new
//! would not.
use ::python::{Cache, Entry};
use model::Result;
use model::codec::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Version of the state's form.
const FORMAT: u8 = 1;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Keys.
    pub keys: usize,
    /// Bytes of keys and entries.
    pub bytes: usize,
}

/// Entries by key.
#[derive(Debug)]
pub struct Store {
    most: Most,
    entries: BTreeMap<Arc<str>, Entry>,
    /// Keys by the time at which they expire; those that never do come last.
    order: BTreeSet<(i64, Arc<str>)>,
    bytes: usize,
    /// The clock, seconds since 1970.
    now: i64,
    /// The latest that it was, and the one that was saved.
    latest: i64,
    saved: i64,
    /// Keys of entries that changed since they were saved.
    changed: BTreeSet<Arc<str>>,
    /// Entries that gave way to others since this was asked last.
    evicted: u64,
}

fn weight(key: &str, entry: &Entry) -> usize {
    // The key is held three times.
    3 * key.len() + entry.size()
}

fn place(key: &Arc<str>, entry: &Entry) -> (i64, Arc<str>) {
    (entry.expires.unwrap_or(i64::MAX), key.clone())
}

impl Store {
    /// An empty one.
    pub fn new(most: Most) -> Store {
        Store {
            most,
            entries: BTreeMap::new(),
            order: BTreeSet::new(),
            bytes: 0,
            now: i64::MIN,
            latest: i64::MIN,
            saved: i64::MIN,
            changed: BTreeSet::new(),
            evicted: 0,
        }
    }

    /// Set the clock, seconds since 1970. It may go back where it follows the time of events.
    pub fn set_clock(&mut self, now: i64) {
        self.now = now;
        self.latest = self.latest.max(now);
    }

    /// Remove what had expired `lateness` seconds before the latest clock; how many entries.
    pub fn expire(&mut self, lateness: i64) -> u64 {
        let (until, mut n) = (self.latest.saturating_sub(lateness), 0);
        while let Some((_, key)) = self.order.first().filter(|(at, _)| *at <= until && *at < i64::MAX) {
            let key = key.clone();
            self.set(&key, None);
            n += 1;
        }
        n
    }

    /// Keys that are held.
    pub fn keys(&self) -> usize {
        self.entries.len()
    }

    /// True if something changed since it was saved: an entry, or with `clock` the latest clock, where it does not come with
    /// the epoch.
    pub fn is_changed(&self, clock: bool) -> bool {
        !self.changed.is_empty() || clock && self.latest != self.saved
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        *self = Store::new(self.most);
    }

    /// Entries that gave way to others, since this was asked last.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Everything, for [`Store::apply`] on an empty one.
    pub fn save(&mut self) -> Vec<u8> {
        self.changed.clear();
        self.write(self.entries.keys().cloned().collect())
    }

    /// What changed since it was saved.
    pub fn changes(&mut self) -> Vec<u8> {
        let changed = std::mem::take(&mut self.changed);
        self.write(changed.into_iter().collect())
    }

    fn write(&mut self, keys: Vec<Arc<str>>) -> Vec<u8> {
        self.saved = self.latest;
        let mut w = Writer::new(FORMAT);
        w.int(self.latest);
        w.uint(keys.len() as u64);
        for key in keys {
            w.text(&key);
            let entry = self.entries.get(&key);
            w.flag(entry.is_some());
            if let Some(entry) = entry {
                write_entry(&mut w, entry);
            }
        }
        w.finish()
    }

    /// Take over what [`Store::save`] or [`Store::changes`] wrote.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<()> {
        let mut r = Reader::open(bytes, FORMAT, "the key-value cache")?;
        self.latest = self.latest.max(r.int()?);
        self.saved = self.latest;
        for _ in 0..r.uint()? {
            let key: Arc<str> = r.text()?.into();
            let entry = if r.flag()? { Some(read_entry(&mut r)?) } else { None };
            self.set(&key, entry);
        }
        self.changed.clear();
        r.end()
    }

    fn set(&mut self, key: &Arc<str>, entry: Option<Entry>) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= weight(key, &old);
            self.order.remove(&place(key, &old));
        }
        if let Some(entry) = entry {
            self.bytes += weight(key, &entry);
            self.order.insert(place(key, &entry));
            self.entries.insert(key.clone(), entry);
        }
        self.changed.insert(key.clone());
    }

    /// Make others give way to a key until everything fits.
    fn shrink(&mut self, kept: &str) {
        while self.entries.len() > self.most.keys || self.bytes > self.most.bytes {
            let Some(key) = self.order.iter().map(|(_, key)| key).find(|key| ***key != *kept).cloned() else { return };
            self.set(&key, None);
            self.evicted += 1;
        }
    }
}

impl Cache for Store {
    fn get(&mut self, key: &str) -> Option<Entry> {
        self.entries.get(key).filter(|entry| !entry.is_over(self.now)).cloned()
    }

    fn put(&mut self, key: &str, entry: Entry) -> bool {
        self.set(&key.into(), Some(entry));
        self.shrink(key);
        true
    }
}

fn write_entry(w: &mut Writer, entry: &Entry) {
    for number in [entry.count, entry.expires] {
        w.flag(number.is_some());
        number.into_iter().for_each(|n| w.int(n));
    }
    w.flag(entry.strings.is_some());
    if let Some(strings) = &entry.strings {
        w.uint(strings.len() as u64);
        strings.iter().for_each(|s| w.text(s));
    }
    w.flag(entry.dictionary.is_some());
    entry.dictionary.iter().for_each(|d| w.text(d));
}

fn read_entry(r: &mut Reader) -> Result<Entry> {
    let count = if r.flag()? { Some(r.int()?) } else { None };
    let expires = if r.flag()? { Some(r.int()?) } else { None };
    let mut entry = Entry { count, expires, ..Entry::default() };
    if r.flag()? {
        let n = r.uint()?;
        entry.strings = Some((0..n).map(|_| r.text().map(String::from)).collect::<Result<_>>()?);
    }
    if r.flag()? {
        entry.dictionary = Some(r.text()?.into());
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: Most = Most { keys: 4, bytes: 100_000 };

    fn entry(count: i64, expires: Option<i64>) -> Entry {
        Entry { count: Some(count), expires, ..Entry::default() }
    }

    #[test]
    fn what_would_expire_first_gives_way_and_is_counted() {
        let mut store = Store::new(MOST);
        store.set_clock(0);
        for (key, at) in [("never", None), ("late", Some(90)), ("soon", Some(10)), ("later", Some(100))] {
            store.put(key, entry(1, at));
        }
        assert_eq!((store.keys(), store.take_evicted()), (4, 0));
        store.put("soonest", entry(1, Some(5)));
        assert!(store.get("soon").is_none() && store.get("soonest").is_some(), "what was just written stays");
        store.put("large", Entry { dictionary: Some("x".repeat(100_000)), ..Entry::default() });
        assert_eq!((store.keys(), store.take_evicted(), store.take_evicted()), (1, 5, 0));
        assert!(store.get("large").is_some(), "the last one stays, whatever its size");
    }

    #[test]
    fn an_entry_is_gone_when_the_clock_reaches_its_time() {
        let mut store = Store::new(MOST);
        store.set_clock(100);
        store.put("a", entry(1, Some(110)));
        store.put("b", entry(1, None));
        store.set_clock(109);
        assert_eq!((store.get("a").is_some(), store.expire(0)), (true, 0));
        store.set_clock(110);
        assert_eq!((store.get("a"), store.keys()), (None, 2));
        store.set_clock(105);
        assert!(store.get("a").is_some(), "the time of events goes back");
        assert_eq!((store.expire(1), store.expire(0), store.keys()), (0, 1, 1));
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let mut store = Store::new(MOST);
        store.put("key", Entry { strings: Some(vec!["a".into()]), ..entry(1, Some(5)) });
        let bytes = store.save();
        for n in 0..bytes.len() {
            assert!(Store::new(MOST).apply(&bytes[..n]).is_err(), "{n}");
        }
        assert!(Store::new(MOST).apply(&[&bytes[..], &[0]].concat()).is_err());
    }

    fn entries() -> impl Strategy<Value = Entry> {
        let text = || prop::sample::select(vec!["", "a", "ä"]).prop_map(String::from);
        let parts = (any::<Option<i64>>(), prop::option::of(prop::collection::vec(text(), 0..3)));
        let more = (prop::option::of(text()), prop::option::of(0..40i64));
        (parts, more).prop_map(|((count, strings), (dictionary, expires))| Entry {
            count,
            strings,
            dictionary,
            expires,
        })
    }

    proptest! {
        /// Whole and changes, applied in turn, give the same store as is there, and equal stores give equal bytes.
        #[test]
        fn a_store_comes_back_from_what_it_saved(
            steps in prop::collection::vec((0..6u8, 0..9u8, entries(), 0..40i64), 0..60)
        ) {
            let (mut store, mut copy) = (Store::new(MOST), Store::new(MOST));
            for (what, key, entry, clock) in steps {
                match what {
                    0 => store.set_clock(clock),
                    1 => _ = store.expire(0),
                    2 => copy.apply(&store.changes()).unwrap(),
                    3 => {
                        copy = Store::new(MOST);
                        copy.apply(&store.save()).unwrap();
                    }
                    _ => _ = store.put(&format!("k{key}"), entry),
                }
            }
            copy.apply(&store.changes()).unwrap();
            prop_assert_eq!(&copy.entries, &store.entries);
            prop_assert_eq!(&copy.order, &store.order);
            prop_assert_eq!((copy.bytes, copy.latest), (store.bytes, store.latest));
            prop_assert_eq!(copy.save(), store.save());
        }
    }
}
