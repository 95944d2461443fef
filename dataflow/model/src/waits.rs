//! What this process waits for outside itself: a cluster that is away, a service that does not answer. Connectors say so
//! once, however many of their clients wait; health and figures show it. A pipeline that waits is not ill.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

struct Wait {
    why: String,
    since: Instant,
    who: BTreeSet<u64>,
}

/// By what is waited for. Holds what is away now, so it is as small as the topology.
fn waits() -> MutexGuard<'static, BTreeMap<String, Wait>> {
    static WAITS: Mutex<BTreeMap<String, Wait>> = Mutex::new(BTreeMap::new());
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Number of one that may wait.
pub fn id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// `who` cannot go on without `what`. The reason if that is news: nobody waited for it so far.
pub fn begin(what: &str, who: u64, why: impl FnOnce() -> String) -> Option<String> {
    let mut all = waits();
    let news = !all.contains_key(what);
    let new = || Wait { why: why(), since: Instant::now(), who: BTreeSet::new() };
    let w = all.entry(what.into()).or_insert_with(new);
    w.who.insert(who);
    news.then(|| w.why.clone())
}

/// `who` waits no longer. If it did and nobody else does, that is the end, and how long it was.
pub fn end(what: &str, who: u64) -> Option<Duration> {
    let mut all = waits();
    let w = all.get_mut(what)?;
    if !w.who.remove(&who) || !w.who.is_empty() {
        return None;
    }
    all.remove(what).map(|w| w.since.elapsed())
}

/// What is waited for now, and why.
pub fn all() -> BTreeMap<String, String> {
    waits().iter().map(|(what, w)| (what.clone(), w.why.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_begins_with_the_first_and_ends_with_the_last() {
        let (what, a, b) = ("only in this test", id(), id());
        let why = |text: &'static str| move || text.to_string();
        assert_eq!(begin(what, a, why("no answer")).as_deref(), Some("no answer"));
        assert_eq!((begin(what, b, why("later")), begin(what, a, why("again"))), (None, None));
        assert_eq!(all().get(what).map(String::as_str), Some("no answer"));
        assert_eq!((end(what, a), end(what, a)), (None, None));
        assert!(end(what, b).is_some() && !all().contains_key(what) && end(what, b).is_none());
    }
}
