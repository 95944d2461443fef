//! Which content files a node was opened with, and what was in them: so that a plan can name the rule file that
//! changed, and not only the node.
use model::Files;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Passes on to `inner` and notes a hash of what was read.
pub(crate) struct Recorder<'a> {
    inner: &'a dyn Files,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl<'a> Recorder<'a> {
    pub fn new(inner: &'a dyn Files) -> Self {
        Recorder { inner, seen: Mutex::default() }
    }
    /// Files that were read, with a hash of their bytes.
    pub fn seen(self) -> BTreeMap<String, u64> {
        self.seen.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for Recorder<'_> {
    fn read(&self, path: &str) -> io::Result<Arc<[u8]>> {
        let bytes = self.inner.read(path)?;
        let hash = xxhash_rust::xxh3::xxh3_64(&bytes);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(path.into(), hash);
        Ok(bytes)
    }
    fn list(&self, path_or_glob: &str) -> io::Result<Vec<String>> {
        self.inner.list(path_or_glob)
    }
}
