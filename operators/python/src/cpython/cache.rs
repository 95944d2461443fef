//! The key-value cache that detections may read and write.
//!
//! An entry is a JSON object (`intCount`, `stringSet`, `dictionary`, `expiresAt`); the worker's own module gives it its
//! meaning. What a call writes is kept apart until the call ends, so that one which is killed has written nothing.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// Entries by key. The engine holds them.
pub trait Cache {
    /// The entry of a key.
    fn get(&mut self, key: &str) -> Option<Json>;
    /// Replace the entry of a key; false if there is no room.
    fn put(&mut self, key: &str, entry: Json) -> bool;
}

/// A cache that is always empty: for tests and replays that must not write.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCache;

impl Cache for NoCache {
    fn get(&mut self, _key: &str) -> Option<Json> {
        None
    }
    fn put(&mut self, _key: &str, _entry: Json) -> bool {
        true
    }
}

/// A cache in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The entries.
    pub entries: BTreeMap<String, Json>,
    /// Keys that there may be; at it a new key is refused.
    pub most: usize,
}

impl Cache for Memory {
    fn get(&mut self, key: &str) -> Option<Json> {
        self.entries.get(key).cloned()
    }
    fn put(&mut self, key: &str, entry: Json) -> bool {
        if self.entries.len() >= self.most && !self.entries.contains_key(key) {
            return false;
        }
        self.entries.insert(key.into(), entry);
        true
    }
}

/// What one call has written.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    written: BTreeMap<String, Json>,
    calls: usize,
}

impl Overlay {
    /// Answer a question of a worker; the error is one of the detection.
    pub fn ask(&mut self, question: &Json, cache: &mut dyn Cache, calls: usize, entry: usize) -> Result<Json, String> {
        let key = question["key"].as_str().unwrap_or_default();
        self.calls += 1;
        if self.calls > calls {
            return Err(format!("the cache was used more than {calls} times for one event"));
        }
        if question["cache"] == "put" {
            let size = key.len() + question["entry"].to_string().len();
            if size > entry {
                return Err(format!("an entry of the cache has {size} bytes, {entry} are allowed"));
            }
            self.written.insert(key.into(), question["entry"].clone());
            return Ok(Json::Null);
        }
        match self.written.get(key) {
            Some(entry) => Ok(entry.clone()),
            None => Ok(cache.get(key).unwrap_or(Json::Null)),
        }
    }

    /// Hand over what was written; the keys for which there was no room.
    pub fn commit(self, cache: &mut dyn Cache) -> Vec<String> {
        self.written.into_iter().filter_map(|(key, entry)| (!cache.put(&key, entry)).then_some(key)).collect()
    }
}
