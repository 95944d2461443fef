//! The running detect node: events in, matches and failures out, in the order of rows, and of rule ids within a row.
use super::TO_STORE;
use crate::columns::view::{Row, View};
use crate::columns::{Cost, Programs};
use crate::contract::{Found, Outcome, kind};
use crate::describe::describe;
use crate::python::cpython::Cpython;
use crate::rule::{Body, Rule};
use crate::template::clip;
use crate::{lua, python};
use model::operator::STOPPED;
use model::{Ctx, EventBatch, Map, Match, Needs, Packet, Pos, Record, Result, RuleMeta};
use std::sync::Arc;
use std::time::Instant;

/// What scripts may use for one event.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub lua: lua::Limits,
    pub python: ::python::Limits,
}

/// What correlations want of the matches of a rule.
#[derive(Default)]
pub(crate) struct Wanted {
    /// They read the events.
    pub event: bool,
    /// The facts of the rule, if it makes no alerts because of them.
    pub signal: Option<Arc<RuleMeta>>,
}

impl Wanted {
    pub fn of(rule: &Rule, needs: &Needs) -> Wanted {
        let (meta, id) = (&rule.meta, &rule.meta.id);
        let silent = meta.create_alert && needs.signals_of.contains(id);
        let signal = silent.then(|| Arc::new(RuleMeta { create_alert: false, ..(**meta).clone() }));
        Wanted { event: needs.events_of.contains(id), signal }
    }
}

/// The running node.
pub(crate) struct Detect {
    pub rules: Arc<[Rule]>,
    pub programs: Programs,
    pub(super) lua: lua::Engine,
    pub(super) python: python::Engine,
    /// Who runs the body of each rule.
    pub(super) runners: Vec<Runner>,
    pub(super) store_events: bool,
    /// By rule: what correlations want of its matches. Empty = nothing.
    pub(super) wanted: Vec<Wanted>,
    /// Rules that are not evaluated: they ran away.
    pub(super) quarantined: Vec<bool>,
    /// `[matches, errors, stopped]` of each rule in the current packet, and the rules that have any: most of thousands have
    /// none. What is stopped is an error too.
    pub counts: Vec<[u64; 3]>,
    pub(super) counted: Vec<usize>,
    /// What running its script or describing its matches took, by rule, if that is measured.
    pub costs: Option<Vec<Cost>>,
    /// What is for the store, of the current packet.
    pub(super) to_store: Vec<Record>,
}

/// Who runs the body of a rule.
#[derive(Clone, Copy)]
pub(super) enum Runner {
    /// The columns have decided it already.
    Columns,
    /// The Lua machine, where it has this index.
    Lua(usize),
    /// The Python engine, where it has this index.
    Python(usize),
    /// The node of the key-value store.
    Store,
}

/// The event of the current row as scripts see it, made once for all rules of the row.
#[derive(Default)]
struct Events {
    row: usize,
    lua: Option<lua::EventHandle>,
    python: Option<python::EventHandle>,
    /// Its text, for the store.
    text: Option<String>,
}

impl Detect {
    pub(super) fn new(rules: Arc<[Rule]>, limits: Limits, cpython: Option<Arc<Cpython>>, store_events: bool) -> Detect {
        let (mut lua, mut python): (Vec<&Rule>, Vec<&Rule>) = Default::default();
        let mut runners = Vec::new();
        for rule in rules.iter() {
            let (list, runner): (_, fn(usize) -> Runner) = match rule.body {
                Body::Yaml(_) => {
                    runners.push(Runner::Columns);
                    continue;
                }
                Body::Lua { .. } => (&mut lua, Runner::Lua),
                Body::Python(_) => (&mut python, Runner::Python),
            };
            runners.push(runner(list.len()));
            list.push(rule);
        }
        let (lua, python) = (lua::Engine::new(&lua, limits.lua), python::Engine::new(&python, limits.python, cpython));
        let (counts, quarantined) = (vec![[0; 3]; rules.len()], vec![false; rules.len()]);
        Detect {
            programs: Programs::new(rules.clone()),
            rules,
            lua,
            python,
            runners,
            store_events,
            wanted: Vec::new(),
            quarantined,
            counts,
            counted: Vec::new(),
            costs: None,
            to_store: Vec::new(),
        }
    }

    /// Matches and failures of a batch, with their counts.
    ///
    /// # Errors
    /// CPython is to answer and the machine starts no worker.
    pub fn judge(&mut self, batch: &Arc<EventBatch>, cx: &mut Ctx) -> Result<Vec<Record>> {
        let mut out = Vec::new();
        self.batch(batch, &mut out);
        if let Some(why) = self.python.lost() {
            return Err(format!("CPython cannot be asked: {why}").into());
        }
        cx.count("events", batch.len() as u64);
        cx.count("to_store", self.to_store.len() as u64);
        cx.emit(TO_STORE, Packet::Records(std::mem::take(&mut self.to_store)));
        for index in self.counted.drain(..) {
            for (name, n) in ["matches", "errors", STOPPED].into_iter().zip(std::mem::take(&mut self.counts[index])) {
                cx.count_rule(name, self.rules[index].meta.id.clone(), n);
            }
        }
        Ok(out)
    }

    pub fn batch(&mut self, batch: &Arc<EventBatch>, out: &mut Vec<Record>) {
        let program = self.programs.of(batch);
        let plan = program.plan();
        let view = View::new(batch, &plan);
        let mut hits = Vec::new();
        program.run(&view, &mut hits);
        let mut events = Events::default();
        for (row, hit) in hits {
            let index = plan.rules[hit].rule;
            let rule = &self.rules[index];
            let began = self.costs.is_some().then(Instant::now);
            if events.row != row {
                events = Events { row, ..Events::default() };
            }
            let outcome = match self.runners[index] {
                Runner::Columns => {
                    let severity = program.severity(&view, hit, row, rule.meta.severity);
                    Outcome::Match(Box::new(describe(rule, &Row { view: &view, row, severity })))
                }
                Runner::Store => {
                    let text = events.text.get_or_insert_with(|| view.whole(row).to_string());
                    let place = Place::of(batch, row);
                    let found = Match { rule: rule.meta.clone(), event: Some(text.clone()), ..place.into() };
                    self.to_store.push(Record::Match(Box::new(found)));
                    continue;
                }
                _ if self.quarantined[index] => quarantined(),
                Runner::Lua(script) => {
                    let event = events.lua.get_or_insert_with(|| self.lua.event(view.whole(row).as_ref().clone()));
                    self.lua.run(script, event)
                }
                Runner::Python(script) => {
                    let event = || self.python.row(batch, row);
                    self.python.run(script, events.python.get_or_insert_with(event))
                }
            };
            let stopped = outcome.is_stopped();
            if let Some(mut m) = record(rule, Place::of(batch, row), outcome) {
                if self.counts[index] == [0; 3] {
                    self.counted.push(index);
                }
                self.counts[index][2] += u64::from(stopped);
                self.counts[index][m.error.is_some() as usize] += 1;
                let wanted = self.wanted.get(index);
                if let Some(meta) = wanted.and_then(|w| w.signal.as_ref()) {
                    m.rule = meta.clone();
                }
                let stored = self.store_events || wanted.is_some_and(|w| w.event);
                m.event = stored.then(|| match &events.python {
                    Some(event) => event.json().to_string(),
                    None => view.whole(row).to_string(),
                });
                out.push(Record::Match(Box::new(m)));
            }
            if let (Some(costs), Some(began)) = (&mut self.costs, began) {
                costs[index].add(began);
            }
        }
    }
}

/// What is said in place of a rule that is out.
pub(crate) fn quarantined() -> Outcome {
    let message = "not evaluated, because it was stopped at its limits too often; mend the rule, or let it go";
    Outcome::Error { kind: kind::QUARANTINE.into(), message: message.into() }
}

/// What a match has of its event.
pub(crate) struct Place {
    pub pos: Pos,
    pub log_type: Arc<str>,
    pub event_ms: i64,
    pub now_ms: i64,
}

impl Place {
    fn of(batch: &EventBatch, row: usize) -> Place {
        let (pos, log_type) = (batch.pos_of(row), batch.layout.log_type.clone());
        Place { pos, log_type, event_ms: batch.event_ms(row), now_ms: batch.now_ms }
    }
}

impl From<Place> for Match {
    fn from(p: Place) -> Match {
        Match { pos: p.pos, log_type: p.log_type, event_ms: p.event_ms, now_ms: p.now_ms, ..Match::default() }
    }
}

/// Match or rule error of an outcome, without the event.
pub(crate) fn record(rule: &Rule, place: Place, outcome: Outcome) -> Option<Match> {
    let meta = &rule.meta;
    let (found, error) = match outcome {
        Outcome::No => return None,
        Outcome::Match(found) => (*found, None),
        Outcome::Error { kind, message } => {
            let found = Found {
                title: format!("{kind}: {message}"),
                dedup: kind,
                severity: meta.severity,
                description: meta.description.clone(),
                reference: meta.reference.clone(),
                runbook: meta.runbook.clone(),
                ..Found::default()
            };
            (found, Some(message))
        }
    };
    Some(Match {
        rule: meta.clone(),
        error,
        dedup: found.dedup,
        title: clip(found.title),
        severity: found.severity,
        description: found.description,
        reference: found.reference,
        runbook: found.runbook,
        destinations: found.destinations,
        context: found.context,
        unique: found.unique,
        ..place.into()
    })
}

impl Map for Detect {
    fn map(&mut self, input: Packet, cx: &mut Ctx) -> Result<()> {
        let Packet::Events(batch) = input else { return Err("detect takes events".into()) };
        let out = self.judge(&batch, cx)?;
        cx.emit(0, Packet::Records(out));
        Ok(())
    }

    fn quarantine(&mut self, rules: &[Arc<str>]) {
        for (rule, out) in self.rules.iter().zip(&mut self.quarantined) {
            *out = rules.contains(&rule.meta.id);
        }
    }
}
