//! One dedup window, and the windows of a key group with their order of expiry.
//!
//! A window is opened by a match and spans `[start, start + period)` of the alert clock; matches that come later in
//! the stream but lie before its start belong to it too. It is forgotten when the group's clock has passed its end by
//! the lateness the node allows, so that memory follows what is live, not what was ever seen.
use crate::codec::{Reader, Writer};
use crate::distinct::Distinct;
use crate::{hex, id_of};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::{Alert, AlertKind, Change, Match, Result, Severity};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Windows one key group keeps. Beyond it the window that ends first is given up, and counted as `evicted`.
pub const MAX_WINDOWS: usize = 100_000;

const VERSION: u8 = 1;

/// What matches are grouped by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Rule id.
    pub rule: Arc<str>,
    /// True for failures of the rule: they never share an alert with its matches.
    pub error: bool,
    /// Dedup string.
    pub dedup: Box<str>,
}

impl Key {
    /// Key of a match.
    pub fn of(m: &Match) -> Key {
        Key { rule: m.rule.id.clone(), error: m.error.is_some(), dedup: m.dedup.as_str().into() }
    }
    /// Kind of its alerts.
    pub fn kind(&self) -> AlertKind {
        if self.error { AlertKind::RuleError } else { AlertKind::Rule }
    }
}

/// A window: its clock, its counts, and the texts of the match that opened it.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Id of its alert, also while the threshold is not reached.
    pub id: u128,
    start: i64,
    ends: i64,
    expires: i64,
    count: u64,
    /// Values of `unique()`, while they are needed to decide.
    distinct: Option<Distinct>,
    created: Option<i64>,
    updated: i64,
    first_event: i64,
    last_event: i64,
    severity: Severity,
    title: String,
    description: String,
    reference: String,
    runbook: String,
    destinations: Option<Vec<String>>,
    context: Option<String>,
    log_types: Vec<Arc<str>>,
}

/// What a match did to its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Not enough yet.
    Below,
    /// This match crossed the threshold: a new alert.
    Crossed,
    /// The alert exists already.
    Joined,
}

impl Window {
    /// A window opened by a match at `clock`; it holds no match yet. Periods are at least one millisecond, so that two
    /// windows of a key never start together.
    pub fn open(key: &Key, m: &Match, clock: i64) -> Window {
        let ends = clock.saturating_add(m.rule.dedup_period_ms.max(1));
        Window {
            id: window_id(key, clock),
            start: clock,
            ends,
            expires: ends,
            count: 0,
            distinct: None,
            created: None,
            updated: clock,
            first_event: m.event_ms,
            last_event: m.event_ms,
            severity: m.severity,
            title: m.title.clone(),
            description: m.description.clone(),
            reference: m.reference.clone(),
            runbook: m.runbook.clone(),
            destinations: m.destinations.clone(),
            context: m.context.clone(),
            log_types: Vec::new(),
        }
    }

    /// Counts a match. Errors ignore the threshold; where `unique()` gave values, distinct values are compared with it.
    pub fn count(&mut self, m: &Match, clock: i64) -> Step {
        self.count += 1;
        self.updated = self.updated.max(clock);
        self.last_event = self.last_event.max(m.event_ms);
        if let Err(i) = self.log_types.binary_search(&m.log_type) {
            self.log_types.insert(i, m.log_type.clone());
        }
        if self.created.is_some() {
            return Step::Joined;
        }
        if m.error.is_none() && !self.reached(m) {
            return Step::Below;
        }
        self.created = Some(clock);
        self.distinct = None;
        Step::Crossed
    }

    fn reached(&mut self, m: &Match) -> bool {
        let threshold = m.rule.threshold;
        if threshold <= 1 {
            return true;
        }
        if let Some(value) = &m.unique {
            self.distinct.get_or_insert_default().add(value);
        }
        self.distinct.as_ref().map_or(self.count, Distinct::estimate) >= threshold
    }

    /// The alert as it stands, with the match that created or changed it.
    pub fn alert(&self, m: &Match, change: Change) -> Alert {
        let kind = if m.error.is_some() { AlertKind::RuleError } else { AlertKind::Rule };
        let mut alert = Alert {
            pos: m.pos,
            id: hex(self.id),
            kind,
            change,
            rule: m.rule.clone(),
            severity: self.severity,
            title: self.title.clone(),
            description: self.description.clone(),
            reference: self.reference.clone(),
            runbook: self.runbook.clone(),
            dedup: m.dedup.clone(),
            destinations: self.destinations.clone(),
            context: self.context.clone(),
            created_ms: self.created.unwrap_or(self.start),
            first_event_ms: self.first_event,
            ..Alert::default()
        };
        self.refresh(&mut alert, m);
        alert
    }

    /// Brings an alert of this window up to date with a later match.
    pub fn refresh(&self, alert: &mut Alert, m: &Match) {
        alert.pos = m.pos;
        alert.rule = m.rule.clone();
        alert.event_count = self.count;
        alert.log_types.clone_from(&self.log_types);
        alert.updated_ms = self.updated;
        alert.last_event_ms = self.last_event;
    }

    fn save(&self, w: &mut Writer) {
        for n in [self.start, self.ends, self.expires, self.updated, self.first_event, self.last_event] {
            w.int(n);
        }
        w.uint(self.count);
        w.flag(self.created.is_some());
        w.int(self.created.unwrap_or(0));
        w.flag(self.distinct.is_some());
        if let Some(d) = &self.distinct {
            d.save(w);
        }
        w.text(self.severity.as_str());
        for s in [&self.title, &self.description, &self.reference, &self.runbook] {
            w.text(s);
        }
        w.flag(self.destinations.is_some());
        let destinations = self.destinations.as_deref().unwrap_or_default();
        w.uint(destinations.len() as u64);
        destinations.iter().for_each(|d| w.text(d));
        w.opt_text(self.context.as_deref());
        w.uint(self.log_types.len() as u64);
        self.log_types.iter().for_each(|t| w.text(t));
    }

    fn load(key: &Key, r: &mut Reader, texts: &mut Texts) -> Result<Window> {
        let mut times = [0i64; 6];
        for t in &mut times {
            *t = r.int()?;
        }
        let [start, ends, expires, updated, first_event, last_event] = times;
        let count = r.uint()?;
        let (has_created, created) = (r.flag()?, r.int()?);
        let distinct = if r.flag()? { Some(Distinct::load(r)?) } else { None };
        let severity = r.text()?;
        let severity =
            Severity::parse(severity).ok_or_else(|| format!("dedup state: `{severity}` is not a severity"))?;
        let mut text = || r.text().map(String::from);
        let (title, description, reference, runbook) = (text()?, text()?, text()?, text()?);
        let has_destinations = r.flag()?;
        let destinations = (0..r.uint()?).map(|_| r.text().map(String::from)).collect::<Result<Vec<_>>>()?;
        let context = r.opt_text()?.map(String::from);
        let log_types = (0..r.uint()?).map(|_| Ok(texts.share(r.text()?))).collect::<Result<Vec<_>>>()?;
        Ok(Window {
            id: window_id(key, start),
            start,
            ends,
            expires,
            count,
            distinct,
            created: has_created.then_some(created),
            updated,
            first_event,
            last_event,
            severity,
            title,
            description,
            reference,
            runbook,
            destinations: has_destinations.then_some(destinations),
            context,
            log_types,
        })
    }
}

fn window_id(key: &Key, start: i64) -> u128 {
    id_of(&[&key.rule, key.kind().as_str(), &key.dedup], start)
}

/// Rule ids and log types repeat in every window: share them.
#[derive(Default)]
struct Texts(BTreeSet<Arc<str>>);

impl Texts {
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(t) = self.0.get(text) {
            return t.clone();
        }
        let t: Arc<str> = text.into();
        self.0.insert(t.clone());
        t
    }
}

/// Windows of one key group.
#[derive(Debug, Default)]
pub struct Group {
    windows: HashMap<Arc<Key>, Window>,
    by_expiry: BTreeSet<(i64, Arc<Key>)>,
    /// Highest clock this group has seen.
    clock: Option<i64>,
}

impl Group {
    /// Number of windows.
    pub fn keys(&self) -> usize {
        self.windows.len()
    }
    /// Moves the clock on and forgets what has expired. True if that forgot anything.
    pub fn advance(&mut self, clock: i64) -> bool {
        let now = self.clock.map_or(clock, |c| c.max(clock));
        self.clock = Some(now);
        let before = self.windows.len();
        while let Some((expires, _)) = self.by_expiry.first()
            && *expires <= now
            && let Some((_, key)) = self.by_expiry.pop_first()
        {
            self.windows.remove(&key);
        }
        self.windows.len() != before
    }

    /// The window a match at `clock` belongs to, opened if need be, and whether another one was given up for it. It
    /// lives until the group's clock is `lateness` past its end, or past the clock it was opened at if that is later.
    pub fn window(&mut self, m: &Match, clock: i64, lateness: i64) -> (&mut Window, bool) {
        let key = Arc::new(Key::of(m));
        let mut evicted = false;
        if self.windows.len() >= MAX_WINDOWS
            && !self.windows.contains_key(&key)
            && let Some((_, first)) = self.by_expiry.pop_first()
        {
            evicted = self.windows.remove(&first).is_some();
        }
        let now = self.clock.unwrap_or(i64::MIN);
        let opened = || {
            let mut w = Window::open(&key, m, clock);
            w.expires = now.max(w.ends).saturating_add(lateness);
            w
        };
        let window = match self.windows.entry(key.clone()) {
            Entry::Vacant(e) => {
                let w = e.insert(opened());
                self.by_expiry.insert((w.expires, key.clone()));
                w
            }
            Entry::Occupied(e) => {
                let w = e.into_mut();
                if clock >= w.ends {
                    self.by_expiry.remove(&(w.expires, key.clone()));
                    *w = opened();
                    self.by_expiry.insert((w.expires, key.clone()));
                }
                w
            }
        };
        (window, evicted)
    }

    /// The group as bytes; empty if there is nothing to keep. With `late` the clock is state as well: it decides what
    /// a late match finds.
    pub fn save(&self, late: bool) -> Vec<u8> {
        let clock = self.clock.filter(|_| late);
        if self.windows.is_empty() && clock.is_none() {
            return Vec::new();
        }
        let mut w = Writer::new(VERSION);
        w.flag(late);
        w.flag(clock.is_some());
        w.int(clock.unwrap_or(0));
        let mut sorted: Vec<_> = self.windows.iter().collect();
        sorted.sort_unstable_by_key(|(k, _)| *k);
        w.uint(sorted.len() as u64);
        for (key, window) in sorted {
            w.text(&key.rule);
            w.flag(key.error);
            w.text(&key.dedup);
            window.save(&mut w);
        }
        w.finish()
    }

    /// Reads [`Group::save`]. Windows of another time base (`late` differs) mean nothing here and are left behind.
    pub fn load(bytes: &[u8], late: bool) -> Result<Group> {
        let mut group = Group::default();
        if bytes.is_empty() {
            return Ok(group);
        }
        let mut r = Reader::open(bytes, VERSION, "dedup")?;
        let same_base = r.flag()? == late;
        let (has_clock, clock) = (r.flag()?, r.int()?);
        group.clock = has_clock.then_some(clock);
        let mut texts = Texts::default();
        for _ in 0..r.uint()? {
            let key = Key { rule: texts.share(r.text()?), error: r.flag()?, dedup: r.text()?.into() };
            let window = Window::load(&key, &mut r, &mut texts)?;
            let key = Arc::new(key);
            group.by_expiry.insert((window.expires, key.clone()));
            group.windows.insert(key, window);
        }
        r.end()?;
        Ok(if same_base { group } else { Group::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::RuleMeta;

    fn of(dedup: &str, period: i64) -> Match {
        let rule = Arc::new(RuleMeta { id: "r".into(), dedup_period_ms: period, threshold: 1, ..RuleMeta::default() });
        Match { rule, dedup: dedup.into(), ..Match::default() }
    }

    fn put(g: &mut Group, dedup: &str, clock: i64, period: i64) -> bool {
        g.window(&of(dedup, period), clock, 0).1
    }

    fn start_of(g: &Group, dedup: &str) -> Option<i64> {
        g.windows.get(&Key::of(&of(dedup, 10))).map(|w| w.start)
    }

    #[test]
    fn gives_up_the_window_that_ends_first_at_the_limit() {
        let mut g = Group::default();
        for i in 0..MAX_WINDOWS as i64 {
            assert!(!put(&mut g, &i.to_string(), 1_000_000 - i, 10));
        }
        assert!(!put(&mut g, "5", 2_000_000, 10), "replacing a window needs no room");
        assert!(put(&mut g, "one more", 2_000_000, 10));
        assert_eq!((g.windows.len(), g.by_expiry.len()), (MAX_WINDOWS, MAX_WINDOWS));
        assert_eq!(start_of(&g, &(MAX_WINDOWS - 1).to_string()), None);
        assert_eq!(start_of(&g, "5"), Some(2_000_000));
        put(&mut g, "5", 2_000_009, 10);
        assert_eq!(start_of(&g, "5"), Some(2_000_000));
        put(&mut g, "5", 2_000_010, 10);
        assert_eq!(start_of(&g, "5"), Some(2_000_010), "an age of one period is a new window");
    }

    #[test]
    fn forgets_what_has_expired_and_keeps_its_index_in_step() {
        let mut g = Group::default();
        put(&mut g, "a", 0, 10);
        put(&mut g, "b", 5, 10);
        put(&mut g, "b", 15, 10);
        assert!(!g.advance(9));
        assert!(g.advance(10));
        assert!(!g.advance(3), "the clock never goes back");
        assert_eq!((g.windows.len(), g.by_expiry.len()), (1, 1));
        assert!(g.advance(25));
        assert!(g.save(false).is_empty());
        assert!(!g.save(true).is_empty(), "the clock itself is state where matches may be late");
    }

    #[test]
    fn another_time_base_starts_empty() {
        let mut g = Group::default();
        put(&mut g, "a", 0, 10);
        let b = g.save(true);
        assert_eq!(Group::load(&b, true).unwrap().windows.len(), 1);
        assert!(Group::load(&b, false).unwrap().windows.is_empty());
        assert!(Group::load(&b[..b.len() - 1], true).is_err());
    }
}
