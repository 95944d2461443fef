//! Python rules that use the key-value cache, in one place and in order.
//!
//! Such rules share keys, so what one of them says of an event depends on what all of them did before. The detect node
//! decides their filters where the events are, and hands every event that passes on to a keyed node of its own
//! (`<id>.store`), as a match that nobody has judged yet. All of these meet in one key group, and are judged in the order of
//! epochs, positions and rule ids. What matches goes on like every other match of the detect node.
//!
//! "Now" of these rules, and of the entries' times, is the epoch's clock; with `time = "event"` it is the time of the event.
use crate::contract::Outcome;
use crate::detect::{Limits, OUTPUTS, Place, Wanted, quarantined, record};
use crate::python::cpython::Cpython;
use crate::python::store::{Most, Store};
use crate::python::verify::Verify;
use crate::python::{Engine, EventHandle};
use crate::rule::Rule;
use model::key::{group_of, key_hash};
use model::operator::STOPPED;
use model::part::Inner;
use model::{BuildCx, Built, Ctx, EpochInfo, Keyed, Match, Node, Packet, Pos, Record, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Identity of the meaning of the store's state.
pub const STATE_KEY: &str = "detect.store/1";
/// With `time = "event"`: how long after the latest event an entry is kept that has expired, for events that come late, seconds.
pub const LATENESS: i64 = 86_400;

/// The keyed node of a detect node.
pub(crate) struct Stored {
    /// Rules that use the cache, in the order of their ids.
    pub rules: Arc<[Rule]>,
    pub limits: Limits,
    pub most: Most,
    pub cpython: Option<Arc<Cpython>>,
    pub verify: Option<Arc<Verify>>,
}

impl Stored {
    /// As the detect node tells of it.
    pub fn inner(self) -> Inner {
        Inner { name: "store", outputs: OUTPUTS, node: Arc::new(self) }
    }
}

impl Node for Stored {
    fn state_key(&self) -> String {
        STATE_KEY.into()
    }

    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let rules: Vec<&Rule> = self.rules.iter().collect();
        let mut engine = Engine::new(&rules, self.limits.python, self.cpython.clone());
        engine.verify(self.verify.clone());
        let store = Rc::new(RefCell::new(Store::new(self.most)));
        engine.share(store.clone());
        let key = key_hash(&[STATE_KEY, &cx.id]);
        Ok(Built::Keyed(Box::new(Judge {
            wanted: self.rules.iter().map(|r| Wanted::of(r, &cx.needs)).collect(),
            quarantined: vec![false; self.rules.len()],
            rules: self.rules.clone(),
            engine,
            store,
            key,
            group: group_of(key, cx.groups.max(1)),
            event_time: cx.event_time,
            store_events: cx.store_events,
            dirty: false,
        })))
    }
}

/// The running operator.
struct Judge {
    rules: Arc<[Rule]>,
    wanted: Vec<Wanted>,
    quarantined: Vec<bool>,
    engine: Engine,
    store: Rc<RefCell<Store>>,
    /// The one key of all records, and its group.
    key: u64,
    group: u32,
    event_time: bool,
    store_events: bool,
    dirty: bool,
}

impl Judge {
    /// What a rule says of an event.
    fn judge(&self, at: usize, event: &EventHandle) -> Outcome {
        if self.quarantined[at] { quarantined() } else { self.engine.run(at, event) }
    }

    /// The event of a record as rules see it, and the clock set to its time.
    fn event(&self, m: &Match) -> Result<EventHandle> {
        let now_ms = if self.event_time { m.event_ms } else { m.now_ms };
        self.store.borrow_mut().set_clock(now_ms.div_euclid(1_000));
        let json = serde_json::from_str(m.event.as_deref().unwrap_or_default())?;
        Ok(self.engine.event(Rc::new(json), &m.log_type, now_ms))
    }
}

impl Keyed for Judge {
    fn key(&self, _: &Record) -> u64 {
        self.key
    }

    fn epoch(&mut self, info: &EpochInfo, records: Vec<Record>, cx: &mut Ctx) -> Result<()> {
        if !self.event_time {
            self.store.borrow_mut().set_clock(info.now_ms.div_euclid(1_000));
        }
        let mut counts: BTreeMap<usize, [u64; 3]> = BTreeMap::new();
        let (mut out, mut event): (_, Option<(Pos, EventHandle)>) = (Vec::new(), None);
        for r in records {
            let Record::Match(m) = r else { return Err("the store of a detect node takes events of its own".into()) };
            let at = self.rules.binary_search_by(|r| r.meta.id.cmp(&m.rule.id));
            let at = at.map_err(|_| format!("there is no rule {} that uses the store", m.rule.id))?;
            let handle = match event.take() {
                Some((pos, handle)) if pos == m.pos => handle,
                _ => self.event(&m)?,
            };
            let outcome = self.judge(at, &handle);
            let (pos, stopped) = (m.pos, outcome.is_stopped());
            event = Some((pos, handle));
            let place = Place { pos, log_type: m.log_type, event_ms: m.event_ms, now_ms: m.now_ms };
            let Some(mut found) = record(&self.rules[at], place, outcome) else { continue };
            let count = counts.entry(at).or_default();
            count[found.error.is_some() as usize] += 1;
            count[2] += u64::from(stopped);
            let wanted = &self.wanted[at];
            found.rule = wanted.signal.clone().unwrap_or(found.rule);
            found.event = m.event.filter(|_| self.store_events || wanted.event);
            out.push(Record::Match(Box::new(found)));
        }
        if let Some(why) = self.engine.lost() {
            return Err(format!("CPython cannot be asked: {why}").into());
        }
        for (at, n) in counts {
            for (name, n) in ["matches", "errors", STOPPED].into_iter().zip(n) {
                cx.count_rule(name, self.rules[at].meta.id.clone(), n);
            }
        }
        let mut store = self.store.borrow_mut();
        cx.count("store_expired", store.expire(if self.event_time { LATENESS } else { 0 }));
        cx.count("store_evicted", store.take_evicted());
        self.dirty |= store.is_changed(self.event_time);
        cx.emit(0, Packet::Records(out));
        Ok(())
    }

    fn quarantine(&mut self, rules: &[Arc<str>]) {
        for (rule, out) in self.rules.iter().zip(&mut self.quarantined) {
            *out = rules.contains(&rule.meta.id);
        }
    }

    fn keys(&self) -> u64 {
        self.store.borrow().keys() as u64
    }

    fn take_dirty(&mut self) -> Vec<u32> {
        if std::mem::take(&mut self.dirty) { vec![self.group] } else { Vec::new() }
    }

    fn save(&mut self, _: u32) -> Vec<u8> {
        self.store.borrow_mut().save()
    }

    fn changes(&mut self, _: u32) -> Option<Vec<u8>> {
        Some(self.store.borrow_mut().changes())
    }

    fn load(&mut self, group: u32, bytes: &[u8]) -> Result<()> {
        let mut store = self.store.borrow_mut();
        store.clear();
        match (bytes.is_empty(), group == self.group) {
            (true, _) => Ok(()),
            (false, true) => store.apply(bytes),
            (false, false) => Err(format!("the store's state is in group {group}, not {}", self.group).into()),
        }
    }

    fn apply(&mut self, _: u32, bytes: &[u8]) -> Result<()> {
        self.store.borrow_mut().apply(bytes)
    }
}

#[cfg(test)]
mod tests;
