//! Needles that a text must begin or end with.
//!
//! They are looked up by the eight bytes they begin or end with, or by all of their bytes where they have fewer: one look-up
//! for each such length, however many needles there are and however long the text is.
use super::Id;
use crate::columns::hasher;
use hashbrown::HashMap;

/// Most bytes of a key.
const KEY: usize = 8;

/// Where the needles stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At the beginning of a text.
    Start,
    /// At its end.
    End,
}

impl Anchor {
    /// The first or last bytes of a text, as a number; `None` if it has not so many.
    fn key(self, text: &[u8], bytes: usize) -> Option<u64> {
        let part = match self {
            Anchor::Start => text.get(..bytes)?,
            Anchor::End => &text[text.len().checked_sub(bytes)?..],
        };
        let mut key = [0; KEY];
        key[..bytes].copy_from_slice(part);
        Some(u64::from_le_bytes(key))
    }

    fn holds(self, text: &[u8], needle: &[u8]) -> bool {
        match self {
            Anchor::Start => text.starts_with(needle),
            Anchor::End => text.ends_with(needle),
        }
    }
}

/// Needles at one end of a text.
pub struct Anchored {
    anchor: Anchor,
    /// By length of their keys.
    tables: Vec<(usize, Table)>,
}

type Table = HashMap<u64, Vec<(Box<str>, Id)>, ahash::RandomState>;

impl Anchored {
    /// No needles yet.
    pub fn new(anchor: Anchor) -> Anchored {
        Anchored { anchor, tables: Vec::new() }
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Add one that is not empty.
    pub fn add(&mut self, needle: &str, id: Id) {
        let bytes = needle.len().min(KEY);
        let Some(key) = self.anchor.key(needle.as_bytes(), bytes) else { return };
        let at = self.tables.iter().position(|(n, _)| *n == bytes).unwrap_or_else(|| {
            self.tables.push((bytes, HashMap::with_hasher(hasher())));
            self.tables.len() - 1
        });
        self.tables[at].1.entry(key).or_default().push((needle.into(), id));
    }

    /// Calls `hit` for the needles that stand there; stops when it says so. True if it did.
    #[inline]
    pub fn find(&self, text: &str, hit: &mut dyn FnMut(Id) -> bool) -> bool {
        let text = text.as_bytes();
        self.tables.iter().any(|(bytes, table)| {
            let list = self.anchor.key(text, *bytes).and_then(|key| table.get(&key));
            list.into_iter().flatten().any(|(needle, id)| self.anchor.holds(text, needle.as_bytes()) && hit(*id))
        })
    }
}
