//! What consumers need of an event, so that the parser decodes that and no more.
use crate::path::Path;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Needs of one node (and, united, of everything behind a parser).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Paths by log type; the key `*` stands for every log type.
    pub paths: BTreeMap<Arc<str>, BTreeSet<Path>>,
    /// Log types (or `*`) of which every schema field is needed as a column: a lake sink.
    pub all_fields: BTreeSet<Arc<str>>,
    /// Rules of which the whole event of a match is needed ([`crate::Match::event`]): some correlation reads its fields.
    pub events_of: BTreeSet<Arc<str>>,
    /// Rules whose matches count for some correlation and make no alerts of their own.
    pub signals_of: BTreeSet<Arc<str>>,
}

impl Needs {
    /// Ask for a path of a log type (`*` for all).
    pub fn path(&mut self, log_type: &str, path: Path) {
        self.paths.entry(log_type.into()).or_default().insert(path);
    }
    /// Ask for every schema field of a log type (`*` for all).
    pub fn all(&mut self, log_type: &str) {
        self.all_fields.insert(log_type.into());
    }
    /// Unite with another node's needs.
    pub fn merge(&mut self, other: &Needs) {
        for (t, p) in &other.paths {
            self.paths.entry(t.clone()).or_default().extend(p.iter().cloned());
        }
        self.all_fields.extend(other.all_fields.iter().cloned());
        self.events_of.extend(other.events_of.iter().cloned());
        self.signals_of.extend(other.signals_of.iter().cloned());
    }
    /// Paths needed of one log type.
    pub fn of(&self, log_type: &str) -> BTreeSet<Path> {
        let mut out: BTreeSet<Path> = self.paths.get("*").cloned().unwrap_or_default();
        out.extend(self.paths.get(log_type).into_iter().flatten().cloned());
        out
    }
    /// True if every schema field of the log type is needed.
    pub fn wants_all(&self, log_type: &str) -> bool {
        self.all_fields.contains("*") || self.all_fields.contains(log_type)
    }
}
