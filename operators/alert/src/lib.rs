//! From matches to alerts: group what belongs together, and stay quiet when one detection goes wild.
//!
//! ```text
//! matches ──▶ dedup (window) ──▶ alerts ──▶ limit (storm) ──▶ alerts
//!                 │ "matches"                  │ "suppressed"
//! ```
//!
//! [`DedupPart`] opens one alert per (rule, kind, dedup string) and window, counts every further match into it and
//! applies thresholds. [`LimitPart`] bounds how many alerts one detection may create in a given time. Both are keyed
//! operators: state lives in key groups, time comes from the epoch or from the events, and the same epochs give the
//! same bytes on any number of workers.
//!
//! Nothing is lost on the way; both nodes keep a ledger per rule:
//! - dedup: `matches = alerted + deduped + below_threshold + signal_only`
//! - limit: `offered = passed + suppressed` (new alerts), beside it `updates`, `updates_suppressed` and `system`

mod dedup;
mod distinct;
mod group;
mod limit;
mod meter;
mod slab;
mod texts;
mod window;

pub use dedup::{DedupPart, DedupSettings};
pub use group::MAX_WINDOWS;
pub use limit::{LimitPart, LimitSettings, NOTICE, Release};

/// Every part of this crate, for the registry.
pub fn parts() -> Vec<&'static dyn model::Part> {
    vec![&DedupPart, &LimitPart]
}

/// 128-bit id of a few texts and one number, as 32 hex digits: xxh3-128 over length-prefixed parts. The same on every
/// machine and in every run; not a secret and not meant to resist forgery.
fn id_of(parts: &[&str], n: i64) -> u128 {
    let mut h = xxhash_rust::xxh3::Xxh3::new();
    for p in parts {
        h.update(&(p.len() as u64).to_le_bytes());
        h.update(p.as_bytes());
    }
    h.update(&n.to_le_bytes());
    h.digest128()
}

/// An id as it is written everywhere: 32 hex digits.
fn hex(id: u128) -> String {
    format!("{id:032x}")
}
