//! One dedup window: its clock, its counts, and what the match that opened it said.
//!
//! A window is opened by a match and spans `[start, start + period)` of the alert clock; matches that come later in
//! the stream but lie before its start belong to it too. Live windows are kept as bytes ([`Window::write`]); one is
//! unpacked into a `Window` for as long as a match is counted into it, always the same one, so that nothing is allocated.
use crate::distinct::Distinct;
use crate::id_of;
use crate::texts::Texts;
use model::codec::{Reader, Writer};
use model::{Alert, AlertKind, Change, Match, Result, Severity};
use std::ops::Range;

/// By the number that stands in a record.
const SEVERITIES: [Severity; 5] = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

const ERROR: u8 = 1;
const CREATED: u8 = 2;
const DISTINCT: u8 = 4;
const DESTINATIONS: u8 = 8;
const CONTEXT: u8 = 16;

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

/// A text of an alert.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    /// The rule says it in all of its alerts: number of the text.
    Shared(u32),
    /// Place in [`Window::own`].
    Own(Range<usize>),
}

impl Default for Said {
    fn default() -> Said {
        Said::Own(0..0)
    }
}

/// What tells windows apart and orders them, read from a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Number of the rule's id.
    pub rule: u32,
    /// True for failures of the rule: they never share an alert with its matches.
    pub error: bool,
    /// Dedup string.
    pub dedup: &'a str,
    /// When the window is forgotten.
    pub expires: i64,
}

/// An unpacked window.
#[derive(Debug, Default, PartialEq)]
pub struct Window {
    rule: u32,
    error: bool,
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
    /// Numbers of log types, sorted by what they stand for.
    log_types: Vec<u32>,
    destinations: Option<Vec<String>>,
    /// The texts that are this window's own, one behind the other.
    own: String,
    dedup: Range<usize>,
    /// Title, description, reference, runbook.
    said: [Said; 4],
    context: Option<Range<usize>>,
}

impl Window {
    /// Becomes a window opened by a match at `clock`; it holds no match yet. It is forgotten `lateness` past its end, or
    /// past `now` if that is later. Periods are at least one millisecond, so that two windows of a key never start
    /// together.
    pub fn open(&mut self, m: &Match, clock: i64, now: i64, lateness: i64, texts: &mut Texts) {
        self.log_types.clear();
        self.own.clear();
        let ends = clock.saturating_add(m.rule.dedup_period_ms.max(1));
        *self = Window {
            rule: texts.number(&m.rule.id),
            error: m.error.is_some(),
            start: clock,
            ends,
            expires: now.max(ends).saturating_add(lateness),
            updated: clock,
            first_event: m.event_ms,
            last_event: m.event_ms,
            severity: m.severity,
            log_types: std::mem::take(&mut self.log_types),
            destinations: m.destinations.clone(),
            own: std::mem::take(&mut self.own),
            ..Window::default()
        };
        self.dedup = self.keep(&m.dedup);
        // What is the rule's own word repeats in every one of its windows.
        let said = [
            (&m.title, &m.rule.name),
            (&m.description, &m.rule.description),
            (&m.reference, &m.rule.reference),
            (&m.runbook, &m.rule.runbook),
        ];
        self.said = said.map(|(text, rule)| match !text.is_empty() && text == rule {
            true => Said::Shared(texts.number(text)),
            false => Said::Own(self.keep(text)),
        });
        self.context = m.context.as_deref().map(|c| self.keep(c));
    }

    fn keep(&mut self, text: &str) -> Range<usize> {
        let at = self.own.len();
        self.own.push_str(text);
        at..self.own.len()
    }

    /// First moment of the alert clock that belongs to the next window.
    pub fn ends(&self) -> i64 {
        self.ends
    }

    /// What tells it from others.
    pub fn head(&self) -> Head<'_> {
        Head { rule: self.rule, error: self.error, dedup: &self.own[self.dedup.clone()], expires: self.expires }
    }

    /// Id of its alert, also while the threshold is not reached.
    pub fn id(&self, texts: &Texts) -> u128 {
        id_of(&[texts.get(self.rule), self.kind().as_str(), self.head().dedup], self.start)
    }

    fn kind(&self) -> AlertKind {
        if self.error { AlertKind::RuleError } else { AlertKind::Rule }
    }

    /// Counts a match. Errors ignore the threshold; where `unique()` gave values, distinct values are compared with it.
    pub fn count(&mut self, m: &Match, clock: i64, texts: &mut Texts) -> Step {
        self.count += 1;
        self.updated = self.updated.max(clock);
        self.last_event = self.last_event.max(m.event_ms);
        let known = self.log_types.binary_search_by(|t| texts.get(*t).cmp(&m.log_type));
        if let Err(i) = known {
            self.log_types.insert(i, texts.number(&m.log_type));
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

    /// The alert as it stands, with the match that created or changed it and the id as it is written.
    pub fn alert(&self, m: &Match, id: String, change: Change, texts: &Texts) -> Alert {
        let said = |n: usize| match &self.said[n] {
            Said::Shared(t) => texts.get(*t).to_string(),
            Said::Own(at) => self.own[at.clone()].to_string(),
        };
        let mut alert = Alert {
            pos: m.pos,
            id,
            kind: self.kind(),
            change,
            rule: m.rule.clone(),
            severity: self.severity,
            title: said(0),
            description: said(1),
            reference: said(2),
            runbook: said(3),
            dedup: m.dedup.clone(),
            destinations: self.destinations.clone(),
            context: self.context.clone().map(|at| self.own[at].to_string()),
            created_ms: self.created.unwrap_or(self.start),
            first_event_ms: self.first_event,
            ..Alert::default()
        };
        self.refresh(&mut alert, m, texts);
        alert
    }

    /// Brings an alert of this window up to date with a later match.
    pub fn refresh(&self, alert: &mut Alert, m: &Match, texts: &Texts) {
        alert.pos = m.pos;
        alert.rule = m.rule.clone();
        alert.event_count = self.count;
        alert.log_types = self.log_types.iter().map(|t| texts.get(*t).clone()).collect();
        alert.updated_ms = self.updated;
        alert.last_event_ms = self.last_event;
    }

    /// Appends the window as a record. `name` gives the number by which a shared text is written.
    pub fn write(&self, w: &mut Writer, mut name: impl FnMut(u32) -> u32) {
        let flags = [
            (self.error, ERROR),
            (self.created.is_some(), CREATED),
            (self.distinct.is_some(), DISTINCT),
            (self.destinations.is_some(), DESTINATIONS),
            (self.context.is_some(), CONTEXT),
        ];
        w.byte(flags.iter().filter(|f| f.0).map(|f| f.1).sum());
        w.uint(name(self.rule) as u64);
        w.text(&self.own[self.dedup.clone()]);
        // Times lie close together: as distances they are short.
        w.int(self.start);
        w.int(self.ends.wrapping_sub(self.start));
        w.int(self.expires.wrapping_sub(self.ends));
        w.int(self.updated.wrapping_sub(self.start));
        w.int(self.first_event.wrapping_sub(self.start));
        w.int(self.last_event.wrapping_sub(self.first_event));
        if let Some(created) = self.created {
            w.int(created.wrapping_sub(self.start));
        }
        w.uint(self.count);
        w.byte(SEVERITIES.iter().position(|s| *s == self.severity).unwrap_or(0) as u8);
        w.uint(self.log_types.len() as u64);
        for t in &self.log_types {
            w.uint(name(*t) as u64);
        }
        if let Some(d) = &self.distinct {
            d.save(w);
        }
        for s in &self.said {
            match s {
                Said::Shared(t) => w.uint(name(*t) as u64 + 1),
                Said::Own(at) => {
                    w.uint(0);
                    w.text(&self.own[at.clone()]);
                }
            }
        }
        if let Some(d) = &self.destinations {
            w.uint(d.len() as u64);
            d.iter().for_each(|d| w.text(d));
        }
        if let Some(at) = &self.context {
            w.text(&self.own[at.clone()]);
        }
    }

    /// Becomes the window of a record. `name` gives the number of a shared text that was written with another one.
    pub fn read(&mut self, r: &mut Reader, name: impl Fn(u64) -> Result<u32>) -> Result<()> {
        self.own.clear();
        self.log_types.clear();
        let flags = r.byte()?;
        if flags >= 2 * CONTEXT {
            return Err(format!("dedup state: {flags} are no flags of a window").into());
        }
        let has = |flag: u8| flags & flag != 0;
        self.error = has(ERROR);
        self.rule = name(r.uint()?)?;
        self.dedup = self.keep(r.text()?);
        self.start = r.int()?;
        self.ends = self.start.wrapping_add(r.int()?);
        self.expires = self.ends.wrapping_add(r.int()?);
        self.updated = self.start.wrapping_add(r.int()?);
        self.first_event = self.start.wrapping_add(r.int()?);
        self.last_event = self.first_event.wrapping_add(r.int()?);
        self.created = if has(CREATED) { Some(self.start.wrapping_add(r.int()?)) } else { None };
        self.count = r.uint()?;
        let severity = r.byte()?;
        self.severity = *SEVERITIES
            .get(severity as usize)
            .ok_or_else(|| format!("dedup state: {severity} is the number of no severity"))?;
        for _ in 0..r.uint()? {
            self.log_types.push(name(r.uint()?)?);
        }
        self.distinct = if has(DISTINCT) { Some(Distinct::load(r)?) } else { None };
        for n in 0..self.said.len() {
            self.said[n] = match r.uint()? {
                0 => Said::Own(self.keep(r.text()?)),
                t => Said::Shared(name(t - 1)?),
            };
        }
        self.destinations = match has(DESTINATIONS) {
            true => Some((0..r.uint()?).map(|_| r.text().map(String::from)).collect::<Result<_>>()?),
            false => None,
        };
        self.context = if has(CONTEXT) { Some(self.keep(r.text()?)) } else { None };
        Ok(())
    }
}

/// The head of a record that [`Window::write`] made here, with its own numbers.
pub fn head(record: &[u8]) -> Head<'_> {
    let read = || {
        let mut r = Reader::of(record, "dedup");
        let (flags, rule, dedup) = (r.byte()?, r.uint()?, r.text()?);
        let expires = r.int()?.wrapping_add(r.int()?).wrapping_add(r.int()?);
        Ok::<_, model::Error>(Head { rule: rule as u32, error: flags & ERROR != 0, dedup, expires })
    };
    read().expect("a record in memory is whole")
}
