//! The `[detect.*]` node: events in, matches out.
//!
//! Rules are read once, when the topology is opened; every worker then compiles them for each layout it meets. Matches
//! leave in the order of rows, and of rule ids within a row, whatever the caches of a worker hold.
use crate::columns::view::{Row, View};
use crate::columns::{Cost, Programs};
use crate::contract::{Found, Outcome, kind};
use crate::describe::describe;
use crate::key::KeySpec;
use crate::python::cpython::{Cpython, Interpreter};
use crate::python::store::{Most, Store};
use crate::python::verify::Verify;
use crate::rule::{Body, Rule};
use crate::shadow::Shadowed;
use crate::sigma::mapping::Mappings;
use crate::stored::{self, Stored};
use crate::template::clip;
use crate::{lua, meta, python, scope, subject};
use ::python::cpython::Home;
use model::operator::STOPPED;
use model::part::{Inner, Opened, Sharding};
use model::units::{Dur, Size};
use model::{
    BuildCx, Built, Ctx, EventBatch, Files, Flow, Kind, Map, Match, Needs, Node, Packet, Part, Port, Pos, Problem,
    Record, Result, RuleMeta, Spec,
};
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// `[detect.*]`, type `rules`.
pub struct DetectPart;

/// Settings of a `[detect.*]` node.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Files, folders or globs of detections, relative to the topology: YAML, Lua and Python in the form of this product,
    /// Sigma. Helper modules and data models of Python rules are found in the same places.
    rules: Vec<String>,
    /// Packs that are enabled, by `PackID`; `*` stands for any text. Of a path of `rules` that holds packs those detections run
    /// that an enabled pack names, all of them; detections of other paths go by their own `Enabled`. Default: every
    /// detection does.
    #[serde(default)]
    packs: Option<Vec<String>>,
    /// Detections that do not run, whatever enables them, and packs whose detections do not: ids; `*` stands for any text.
    #[serde(default)]
    except: Vec<String>,
    /// Files that say which events a Sigma log source means, what its fields are called, and what its placeholders stand
    /// for. They are asked before the shipped mappings.
    #[serde(default)]
    sigma_mappings: Vec<String>,
    /// Changed rules that run beside those of the same ids: files, folders or globs. What they match leaves by the outputs
    /// `shadow`, `gained` and `lost`, never by the ordinary one; `millstream rules shadow` tells the difference.
    #[serde(default)]
    shadow: Vec<String>,
    /// Log types whose events are cloud resources, with their type in the field `ResourceType`: policies judge them. Default:
    /// policies run in tests only.
    #[serde(default)]
    resources: Vec<String>,
    /// Log types whose events are rows of scheduled queries, by the name of the query: scheduled rules judge them. Default:
    /// scheduled rules run in tests only.
    #[serde(default)]
    queries: BTreeMap<String, String>,
    /// Only rules for these log types; default: all that the rules name.
    #[serde(default)]
    log_types: Option<Vec<String>>,
    /// CPU time a Lua rule may use for one event.
    #[serde(default = "lua_time")]
    lua_time: Dur,
    /// Memory a Lua rule may use for one event.
    #[serde(default = "lua_memory")]
    lua_memory: Size,
    /// Steps (statements, calls, turns of loops) that each function of a Python rule may take for one event.
    #[serde(default = "python_steps")]
    #[schemars(range(min = 20_000))]
    python_steps: u64,
    /// Memory that each function of a Python rule may ask for in one event.
    #[serde(default = "python_memory")]
    python_memory: Size,
    /// A CPython of the machine, 3.9 or later, by path or name, such as `python3`. Worker processes of it, shut in, answer
    /// for Python rules of which the verdict is not compiled as a whole, and for single events that come to something else
    /// that is not built; without it these are errors.
    #[serde(default)]
    cpython: Option<String>,
    /// Folder of a virtual environment of that CPython whose packages the rules may import; relative to where the process
    /// runs.
    #[serde(default)]
    cpython_venv: Option<String>,
    /// A Python rule that cannot be compiled as a whole is an error instead of a warning.
    #[serde(default)]
    strict: bool,
    /// Keys that the key-value store of Python rules may hold.
    #[serde(default = "store_keys")]
    #[schemars(range(min = 1))]
    store_keys: usize,
    /// Memory that it may take. At both limits the entry that would expire first gives way.
    #[serde(default = "store_memory")]
    store_memory: Size,
}

/// What leaves a detect node; the last port is for its store ([`crate::stored`]) and for nobody else.
pub(crate) const OUTPUTS: &[Port] = &[
    Port { name: "", flow: Flow::Matches, error: false },
    Port { name: "shadow", flow: Flow::Matches, error: false },
    Port { name: "gained", flow: Flow::Matches, error: false },
    Port { name: "lost", flow: Flow::Matches, error: false },
    Port { name: "to_store", flow: Flow::Matches, error: false },
];
/// Index of the port for the store.
const TO_STORE: usize = OUTPUTS.len() - 1;

/// Most memory of the key-value store, bytes: a snapshot of it is one object.
const STORE_MEMORY_MAX: u64 = 2 << 30;

/// Processes that answer while compiled rules are compared.
const VERIFY_PROCESSES: usize = 2;
/// Least memory of a Python function, in bytes: what its filter decides without it never uses more.
const PYTHON_MEMORY_MIN: u64 = 1 << 20;

fn lua_time() -> Dur {
    Dur(10)
}
fn lua_memory() -> Size {
    Size(16 << 20)
}
fn store_keys() -> usize {
    1_000_000
}
fn store_memory() -> Size {
    Size(256 << 20)
}
fn python_steps() -> u64 {
    ::python::Limits::default().steps
}
fn python_memory() -> Size {
    Size(::python::Limits::default().memory as u64)
}

impl Part for DetectPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Detect,
            name: "rules",
            doc: "Matches events against detections written in YAML, Sigma, Lua or Python.",
            inputs: &[Flow::Events],
            outputs: OUTPUTS.split_last().map_or(&[], |(_, shown)| shown),
            sharding: Sharding::Lanes,
        }
    }

    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).into()
    }

    fn open(&self, _id: &str, settings: &serde_json::Value, files: &dyn Files) -> Opened {
        match Rules::open(settings, files) {
            Ok((node, problems)) => Opened { node: Some(Arc::new(node)), problems },
            Err(problems) => Opened::failed(problems),
        }
    }
}

/// The enabled rules of a `[detect.*]` node with these settings, in the order of their ids; or every finding, if there is an
/// error among them.
pub fn load(settings: &serde_json::Value, files: &dyn Files) -> std::result::Result<Arc<[Rule]>, Vec<Problem>> {
    load_either(settings, files, false)
}

/// As [`load`], or the shadow rules of the node.
pub fn load_either(
    settings: &serde_json::Value,
    files: &dyn Files,
    shadow: bool,
) -> std::result::Result<Arc<[Rule]>, Vec<Problem>> {
    Rules::open(settings, files).map(|(node, _)| if shadow { node.shadow } else { node.rules })
}

/// The node with these settings, which compares the Python rules that are compiled with its CPython: those of these ids, or
/// all. They are run on every event of their log types.
pub fn verifying(
    settings: &serde_json::Value,
    files: &dyn Files,
    only: &[String],
) -> std::result::Result<(Arc<dyn Node>, Arc<Verify>), Vec<Problem>> {
    let (mut node, _) = Rules::open(settings, files)?;
    let settings = Settings::deserialize(settings).map_err(|e| vec![Problem::at("", e.to_string())])?;
    let Some(interpreter) = settings.interpreter() else {
        let p = Problem::at("cpython", "there is no CPython to compare with");
        return Err(vec![p.hint("add `cpython = \"python3\"`, or name one with --cpython")]);
    };
    // Detections are asked in turns: with a process for each, most questions would start one.
    let together = Interpreter { home: Home::Together(VERIFY_PROCESSES), ..interpreter };
    let cpython = Arc::new(Cpython::open(&together, node.rules.iter()).map_err(|p| vec![p])?.0);
    let chosen = node.rules.iter().filter(|r| only.is_empty() || only.iter().any(|id| **id == *r.meta.id));
    let verify = Arc::new(Verify::new(cpython, chosen));
    let unfiltered = |r: &Rule| {
        let mut r = r.clone();
        if let (Body::Python(script), true) = (&mut r.body, verify.watches(&r.meta.id)) {
            Arc::make_mut(script).filters.clear();
        }
        r
    };
    node.rules = node.rules.iter().map(unfiltered).collect();
    node.verify = Some(verify.clone());
    Ok((Arc::new(node), verify))
}

impl Rules {
    /// Load what the settings name; findings, if any of them is an error.
    pub(crate) fn open(
        settings: &serde_json::Value,
        files: &dyn Files,
    ) -> std::result::Result<(Rules, Vec<Problem>), Vec<Problem>> {
        let settings = Settings::deserialize(settings).map_err(|e| vec![Problem::at("", e.to_string())])?;
        let (mappings, mut problems) = Mappings::load(files, &settings.sigma_mappings);
        if settings.cpython_venv.is_some() && settings.cpython.is_none() {
            let p = Problem::at("cpython_venv", "there is no `cpython` whose packages these are");
            problems.push(p.hint("add `cpython = \"python3\"`, or leave this out"));
        }
        let meta::Collection { mut rules, packs, problems: mut found } =
            meta::collect(files, &settings.rules, &mappings);
        problems.append(&mut found);
        let chosen = packs.choose(settings.packs.as_deref(), &settings.except, &mut problems);
        rules.iter_mut().for_each(|r| r.enabled = chosen.runs(&r.meta.id, r.enabled));
        problems.extend(python::survey::findings(&rules, settings.strict, settings.cpython.is_some()));
        let (mut shadow, found) = match settings.shadow.is_empty() {
            true => Default::default(),
            false => meta::load_with(files, &settings.shadow, &mappings),
        };
        problems.extend(found.into_iter().map(|p| Problem { setting: p.setting.replacen("rules", "shadow", 1), ..p }));
        if problems.iter().any(|p| !p.warning) {
            return Err(problems);
        }
        subject::assign(&mut rules, &settings.resources, &settings.queries, &mut problems);
        subject::assign(&mut shadow, &settings.resources, &settings.queries, &mut Vec::new());
        let disabled = rules.iter().filter(|r| !r.enabled).count();
        let rules = select(rules, settings.log_types.as_deref(), &mut problems);
        if settings.python_memory.0 < PYTHON_MEMORY_MIN {
            let p = Problem::at("python_memory", format!("must be at least {PYTHON_MEMORY_MIN} bytes"));
            problems.push(p);
            return Err(problems);
        }
        if settings.store_memory.0 > STORE_MEMORY_MAX {
            let p = Problem::at("store_memory", format!("must be at most {STORE_MEMORY_MAX} bytes"));
            problems.push(p);
            return Err(problems);
        }
        let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        let limits = Limits {
            lua: lua::Limits {
                cpu: Duration::from_millis(settings.lua_time.0),
                memory: bytes(settings.lua_memory),
                ..lua::Limits::default()
            },
            python: ::python::Limits { steps: settings.python_steps, memory: bytes(settings.python_memory) },
        };
        let mut shadow = match shadow.is_empty() {
            true => shadow,
            false => select(shadow, settings.log_types.as_deref(), &mut Vec::new()),
        };
        shadow.retain(|r| {
            let live = rules.iter().find(|l| l.meta.id == r.meta.id);
            let store = r.uses_store() || live.is_some_and(Rule::uses_store);
            if store {
                let text =
                    format!("{} uses the key-value store, which the shadow has none of; it is left out", r.meta.id);
                problems.push(Problem::at("shadow", text).in_file(&r.file, 1, 1).warn());
            }
            !store
        });
        // Without a rule the interpreter is looked at all the same, so that a mistake is told.
        let cpython = settings.open_cpython(&rules, &mut problems);
        let shadow_cpython = match shadow.is_empty() {
            true => None,
            false => settings.open_cpython(&shadow, &mut problems),
        };
        if problems.iter().any(|p| !p.warning) {
            return Err(problems);
        }
        let packs = settings.packs.is_some().then_some((chosen.packs.len(), packs.packs.len()));
        Ok((
            Rules {
                rules: rules.into(),
                shadow: shadow.into(),
                disabled,
                packs,
                limits,
                cpython,
                shadow_cpython,
                verify: None,
                most: Most { keys: settings.store_keys, bytes: bytes(settings.store_memory) },
            },
            problems,
        ))
    }

    /// The running node, with the key-value store in it: for one thread that sees all events in order.
    pub(crate) fn detect(&self, store_events: bool) -> Detect {
        let mut detect = Detect::new(self.rules.clone(), self.limits, self.cpython.clone(), store_events);
        detect.python.verify(self.verify.clone());
        detect.python.share(Rc::new(RefCell::new(Store::new(self.most))));
        detect
    }

    /// The running node of a worker: rules that use the store are not run but handed on.
    fn handing_on(&self, store_events: bool) -> Detect {
        let mut detect = Detect::new(self.rules.clone(), self.limits, self.cpython.clone(), store_events);
        detect.python.verify(self.verify.clone());
        for (rule, runner) in self.rules.iter().zip(&mut detect.runners) {
            if rule.uses_store() {
                *runner = Runner::Store;
            }
        }
        detect
    }
}

impl Settings {
    /// The CPython that is named, with a process for each detection.
    fn interpreter(&self) -> Option<Interpreter> {
        let venv = self.cpython_venv.as_ref().map(Into::into);
        Some(Interpreter { program: self.cpython.as_ref()?.into(), venv, home: Home::Apart })
    }

    /// CPython for these rules, if it is wanted and can be had.
    fn open_cpython(&self, rules: &[Rule], problems: &mut Vec<Problem>) -> Option<Arc<Cpython>> {
        let interpreter = self.interpreter()?;
        let (opened, problem) = match Cpython::open(&interpreter, rules) {
            Ok((opened, warning)) => (Some(Arc::new(opened)), warning),
            Err(p) => (None, Some(p)),
        };
        problems.extend(problem.filter(|p| !problems.contains(p)));
        opened
    }
}

/// Enabled rules, each for the log types that are wanted of it, in the order of their ids.
fn select(rules: Vec<Rule>, only: Option<&[String]>, problems: &mut Vec<Problem>) -> Vec<Rule> {
    for (i, t) in only.unwrap_or_default().iter().enumerate() {
        if !rules.iter().any(|r| r.log_types.iter().any(|l| **l == **t)) {
            let p = Problem::at(&format!("log_types[{i}]"), format!("no rule is for log type `{t}`"));
            problems.push(p.warn());
        }
    }
    let mut out: Vec<Rule> = rules.into_iter().filter(|r| r.enabled).collect();
    if let Some(only) = only {
        out.iter_mut().for_each(|r| r.log_types.retain(|l| only.iter().any(|t| **t == **l)));
    }
    // Policies and scheduled rules meet events only where the settings say which are resources, and rows.
    out.retain(|r| !r.log_types.is_empty());
    if out.is_empty() {
        let p = Problem::at("rules", "no rule is enabled, so nothing will ever match");
        problems.push(p.hint("set `Enabled: true` in a rule, or check `log_types`").warn());
    }
    out.sort_by(|a, b| a.meta.id.cmp(&b.meta.id));
    out
}

/// What scripts may use for one event.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    lua: lua::Limits,
    pub python: ::python::Limits,
}

/// The checked node.
pub(crate) struct Rules {
    rules: Arc<[Rule]>,
    /// Rules that run beside them, see [`crate::shadow`].
    shadow: Arc<[Rule]>,
    disabled: usize,
    /// How many packs are enabled, of how many.
    packs: Option<(usize, usize)>,
    limits: Limits,
    /// Who answers for what of them is not compiled.
    cpython: Option<Arc<Cpython>>,
    shadow_cpython: Option<Arc<Cpython>>,
    /// Who compares what is compiled with CPython.
    verify: Option<Arc<Verify>>,
    /// What the key-value store may hold.
    most: Most,
}

impl Node for Rules {
    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for rule in self.rules.iter().chain(self.shadow.iter()) {
            for log_type in &rule.log_types {
                let mut keys = Vec::new();
                keys_of(rule, log_type, &mut |k| keys.push(k));
                scope::columns(&keys, |path| needs.path(log_type, path));
            }
        }
        needs
    }

    fn summary(&self) -> String {
        let lua = self.rules.iter().filter(|r| matches!(r.body, Body::Lua { .. })).count();
        let python = self.rules.iter().filter(|r| matches!(r.body, Body::Python(_))).count();
        let asked = |r: &&Rule| matches!(&r.body, Body::Python(script) if script.blocker().is_some());
        let store = self.rules.iter().filter(|r| r.uses_store()).count();
        let cpython = self.cpython.iter().flat_map(|_| self.rules.iter().filter(asked)).count();
        let mut text = format!("{} rules", self.rules.len());
        let shadow = self.shadow.len();
        for (n, what) in [
            (lua, "Lua"),
            (python, "Python"),
            (cpython, "of these by CPython"),
            (store, "with the key-value store"),
            (self.disabled, "disabled, not loaded"),
            (shadow, "in the shadow"),
        ] {
            if n > 0 {
                text += &format!(", {n} {what}");
            }
        }
        if let Some((chosen, of)) = self.packs {
            text += &format!("; {chosen} of {of} packs");
        }
        text
    }

    fn state_key(&self) -> String {
        if self.rules.iter().any(Rule::uses_store) { stored::STATE_KEY.into() } else { String::new() }
    }

    fn inner(&self) -> Option<Inner> {
        let rules: Arc<[Rule]> = self.rules.iter().filter(|r| r.uses_store()).cloned().collect();
        let (cpython, verify) = (self.cpython.clone(), self.verify.clone());
        let stored = Stored { rules, limits: self.limits, most: self.most, cpython, verify };
        (!stored.rules.is_empty()).then(|| stored.inner())
    }

    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let mut live = self.handing_on(cx.store_events);
        live.wanted = self.rules.iter().map(|r| Wanted::of(r, &cx.needs)).collect();
        if self.shadow.is_empty() {
            return Ok(Built::Map(Box::new(live)));
        }
        let shadow = Detect::new(self.shadow.clone(), self.limits, self.shadow_cpython.clone(), cx.store_events);
        Ok(Built::Map(Box::new(Shadowed::new(live, shadow))))
    }
}

/// Every key that the columns must have for a rule on events of a log type, from the root of an event.
pub fn keys_of<'a>(rule: &'a Rule, log_type: &str, f: &mut dyn FnMut(&'a KeySpec)) {
    let body = rule.body.columns(log_type);
    let severities = rule.dynamic_severities.iter().flat_map(|(_, conditions)| conditions);
    rule.filters.iter().chain(body).chain(severities).for_each(|e| e.keys(f));
    rule.group_by.iter().for_each(&mut *f);
    rule.alert_title.iter().flat_map(|t| t.keys()).for_each(&mut *f);
    rule.alert_context.iter().for_each(|(_, k)| f(k));
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
    lua: lua::Engine,
    python: python::Engine,
    /// Who runs the body of each rule.
    runners: Vec<Runner>,
    store_events: bool,
    /// By rule: what correlations want of its matches. Empty = nothing.
    wanted: Vec<Wanted>,
    /// Rules that are not evaluated: they ran away.
    quarantined: Vec<bool>,
    /// `[matches, errors, stopped]` of each rule in the current packet, and the rules that have any: most of thousands have
    /// none. What is stopped is an error too.
    pub counts: Vec<[u64; 3]>,
    counted: Vec<usize>,
    /// What running its script or describing its matches took, by rule, if that is measured.
    pub costs: Option<Vec<Cost>>,
    /// What is for the store, of the current packet.
    to_store: Vec<Record>,
}

/// Who runs the body of a rule.
#[derive(Clone, Copy)]
enum Runner {
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
    fn new(rules: Arc<[Rule]>, limits: Limits, cpython: Option<Arc<Cpython>>, store_events: bool) -> Detect {
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

#[cfg(test)]
pub(crate) mod tests;
