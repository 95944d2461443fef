//! Which log types a transform looks at; events of others pass as they are.
use model::path::{Path, Seg};
use model::{EventBatch, Needs, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Log types; empty = every one.
#[derive(Clone, Debug, Default)]
pub struct Scope(BTreeSet<Arc<str>>);

impl Scope {
    /// From the setting `log_types`.
    pub fn new(log_types: &[String]) -> Scope {
        Scope(log_types.iter().map(|t| t.as_str().into()).collect())
    }
    /// True if the transform looks at this log type.
    pub fn has(&self, log_type: &str) -> bool {
        self.0.is_empty() || self.0.contains(log_type)
    }
    /// Asks for a path of every log type it looks at.
    pub fn need(&self, needs: &mut Needs, path: &Path) {
        match self.0.is_empty() {
            true => needs.path("*", path.clone()),
            false => self.0.iter().for_each(|t| needs.path(t, path.clone())),
        }
    }
}

/// A path as columns have it: the part in front of the first `[*]` is a column, the rest is walked in its JSON.
pub fn column_of(path: &Path) -> (Path, Path) {
    let at = path.0.iter().position(|s| *s == Seg::Each).unwrap_or(path.0.len());
    (Path(path.0[..at].to_vec()), Path(path.0[at..].to_vec()))
}

/// Value of a column; absent where the layout has no such column.
pub fn value_at<'a>(batch: &'a EventBatch, slot: Option<u32>, row: usize) -> Value<'a> {
    slot.map_or(Value::Absent, |s| batch.value(s, row))
}
