//! Which events of a lake are read.
use crate::count::is_staged;
use model::event::Field;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const HOUR_NS: i64 = 3_600_000_000_000;

/// What is read of a lake.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// First event time, nanoseconds since 1970.
    pub from_ns: i64,
    /// The one behind the last.
    pub to_ns: i64,
    /// Log types, and their fields as the parser knows them.
    pub log_types: BTreeMap<Arc<str>, Vec<Field>>,
}

impl Wanted {
    pub(crate) fn has(&self, ns: i64) -> bool {
        self.from_ns <= ns && ns < self.to_ns
    }
    /// False for a file of the lake that cannot hold such an event, by its name.
    pub(crate) fn may_be_in(&self, name: &str) -> bool {
        let Some((table, rest)) = name.strip_prefix(crate::parquet::LOGS).and_then(|n| n.split_once('/')) else {
            return is_staged(Path::new(name));
        };
        if !self.log_types.keys().any(|t| t.to_lowercase().replace('.', "_") == table) {
            return false;
        }
        let part = |key: &str| {
            let value = rest.split('/').find_map(|p| p.strip_prefix(key)?.strip_prefix('='))?;
            value.parse::<i64>().ok()
        };
        let (Some(y), Some(m), Some(d), Some(h)) = (part("year"), part("month"), part("day"), part("hour")) else {
            return true;
        };
        let hour = model::time::days(y, m, d).saturating_mul(24).saturating_add(h).saturating_mul(HOUR_NS);
        hour < self.to_ns && hour.saturating_add(HOUR_NS) > self.from_ns
    }
}
