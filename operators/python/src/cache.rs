//! The key-value cache that detections may read and write, compiled or in a worker.
//!
//! `panther_detection_helpers.caching` ([`crate::library`] gives compiled detections the same module as workers have) asks for
//! entries and replaces them; who holds them is a [`Cache`]. What a detection writes for an event is kept apart until it is
//! done with the event, so that one which is stopped in the middle has written nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value as Json, json};

/// Uses of the cache for one event in one detection.
pub const MAX_USES: usize = 1_000;
/// Bytes of a key and its entry, as JSON.
pub const MAX_ENTRY: usize = 400 << 10;

/// What is kept under a key. Counter, set and dictionary stand beside each other, as one name may be used for each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// `intCount`.
    pub count: Option<i64>,
    /// `stringSet`, sorted.
    pub strings: Option<Vec<String>>,
    /// `dictionary`, as JSON text.
    pub dictionary: Option<String>,
    /// `expiresAt`, seconds since 1970: from then on it is as if there were no entry.
    pub expires: Option<i64>,
}

impl Entry {
    /// From what the module writes.
    ///
    /// # Errors
    /// It is no such object, or a number has more than 64 bits.
    pub fn from_json(json: &Json) -> Result<Entry, String> {
        let bad = |what: &str| format!("an entry of the cache has a wrong `{what}`");
        let mut entry = Entry::default();
        for (name, value) in json.as_object().ok_or("an entry of the cache is no object")? {
            let number = || value.as_i64().map(Some).ok_or_else(|| bad(name));
            match name.as_str() {
                "intCount" => entry.count = number()?,
                "expiresAt" => entry.expires = number()?,
                "dictionary" => entry.dictionary = Some(value.as_str().ok_or_else(|| bad(name))?.into()),
                "stringSet" => {
                    let text = |v: &Json| v.as_str().map(String::from).ok_or_else(|| bad(name));
                    let list = value.as_array().ok_or_else(|| bad(name))?;
                    entry.strings = Some(list.iter().map(text).collect::<Result<_, _>>()?);
                }
                _ => return Err(bad(name)),
            }
        }
        Ok(entry)
    }

    /// As the module reads it.
    pub fn to_json(&self) -> Json {
        let parts = [
            ("intCount", self.count.map(Json::from)),
            ("stringSet", self.strings.as_ref().map(|s| json!(s))),
            ("dictionary", self.dictionary.as_ref().map(|d| json!(d))),
            ("expiresAt", self.expires.map(Json::from)),
        ];
        let there = parts.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?)));
        Json::Object(there.collect::<Map<_, _>>())
    }

    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        let strings = self.strings.iter().flatten().map(|s| size_of::<String>() + s.len()).sum::<usize>();
        size_of::<Entry>() + strings + self.dictionary.as_ref().map_or(0, String::len)
    }

    /// Whether it has expired, at a time in seconds since 1970.
    pub fn is_over(&self, now: i64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// Entries by key. The engine holds them.
pub trait Cache {
    /// The entry of a key.
    fn get(&mut self, key: &str) -> Option<Entry>;
    /// Replace the entry of a key; false if there is no room.
    fn put(&mut self, key: &str, entry: Entry) -> bool;
}

/// A cache that is always empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCache;

impl Cache for NoCache {
    fn get(&mut self, _key: &str) -> Option<Entry> {
        None
    }
    fn put(&mut self, _key: &str, _entry: Entry) -> bool {
        true
    }
}

/// A cache in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The entries.
    pub entries: BTreeMap<String, Entry>,
    /// Keys that there may be; at it a new key is refused.
    pub most: usize,
}

impl Cache for Memory {
    fn get(&mut self, key: &str) -> Option<Entry> {
        self.entries.get(key).cloned()
    }
    fn put(&mut self, key: &str, entry: Entry) -> bool {
        if self.entries.len() >= self.most && !self.entries.contains_key(key) {
            return false;
        }
        self.entries.insert(key.into(), entry);
        true
    }
}

/// Another cache, of which nothing is changed.
pub struct Unchanged(pub Rc<RefCell<dyn Cache>>);

impl Cache for Unchanged {
    fn get(&mut self, key: &str) -> Option<Entry> {
        self.0.borrow_mut().get(key)
    }
    fn put(&mut self, _key: &str, _entry: Entry) -> bool {
        true
    }
}

/// What a detection has written for an event.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    written: BTreeMap<String, Entry>,
    uses: usize,
}

impl Overlay {
    /// The entry of a key; the error is one of the detection.
    pub fn get(&mut self, key: &str, cache: &mut dyn Cache, most: usize) -> Result<Option<Entry>, String> {
        self.used(most)?;
        Ok(self.written.get(key).cloned().or_else(|| cache.get(key)))
    }

    /// Replace the entry of a key; the error is one of the detection.
    pub fn put(&mut self, key: &str, entry: &Json, most: usize, bytes: usize) -> Result<(), String> {
        self.used(most)?;
        let size = key.len() + entry.to_string().len();
        if size > bytes {
            return Err(format!("an entry of the cache has {size} bytes, {bytes} are allowed"));
        }
        self.written.insert(key.into(), Entry::from_json(entry)?);
        Ok(())
    }

    fn used(&mut self, most: usize) -> Result<(), String> {
        self.uses += 1;
        match self.uses > most {
            true => Err(format!("the cache was used more than {most} times for one event")),
            false => Ok(()),
        }
    }

    /// Hand over what was written; the keys for which there was no room.
    pub fn commit(self, cache: &mut dyn Cache) -> Vec<String> {
        self.written.into_iter().filter_map(|(key, entry)| (!cache.put(&key, entry)).then_some(key)).collect()
    }
}

/// The cache as a compiled detection sees it while it judges one event.
pub struct Session {
    cache: Rc<RefCell<dyn Cache>>,
    overlay: Overlay,
    /// What each key held before the function that runs wrote it first: `None`, nothing was written before.
    before: Vec<(String, Option<Entry>)>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("overlay", &self.overlay).finish_non_exhaustive()
    }
}

impl Session {
    /// Over a cache, with nothing written.
    pub fn new(cache: Rc<RefCell<dyn Cache>>) -> Session {
        Session { cache, overlay: Overlay::default(), before: Vec::new() }
    }

    /// The entry of a key.
    ///
    /// # Errors
    /// The detection has used the cache too often.
    pub fn get(&mut self, key: &str) -> Result<Option<Entry>, String> {
        self.overlay.get(key, &mut *self.cache.borrow_mut(), MAX_USES)
    }

    /// Replace the entry of a key.
    ///
    /// # Errors
    /// It is too large or no entry, or the detection has used the cache too often.
    pub fn put(&mut self, key: &str, entry: &Json) -> Result<(), String> {
        let before = self.overlay.written.get(key).cloned();
        self.overlay.put(key, entry, MAX_USES, MAX_ENTRY)?;
        self.before.push((key.into(), before));
        Ok(())
    }

    /// A function has come to its end, by a value or an exception: what it wrote stays. One that was stopped wrote nothing.
    pub fn function_ended(&mut self, stopped: bool) {
        for (key, before) in std::mem::take(&mut self.before).into_iter().rev().filter(|_| stopped) {
            match before {
                Some(entry) => self.overlay.written.insert(key, entry),
                None => self.overlay.written.remove(&key),
            };
        }
    }

    /// The detection is done with the event: what it wrote counts. The keys for which there was no room.
    pub fn commit(&mut self) -> Vec<String> {
        std::mem::take(&mut self.overlay).commit(&mut *self.cache.borrow_mut())
    }
}

#[cfg(test)]
mod tests;
