//! The `[detect.*]` node: events in, matches out.
//!
//! Rules are read once, when the topology is opened; every worker then compiles them for each layout it meets. Matches
//! leave in the order of rows, and of rule ids within a row, whatever the caches of a worker hold.
use crate::key::KeySpec;
use crate::python::cpython::{Cpython, Interpreter};
use crate::python::store::{Most, Store};
use crate::python::verify::Verify;
use crate::rule::{Body, Rule};
use crate::shadow::Shadowed;
use crate::sigma::mapping::Mappings;
use crate::stored::{self, Stored};
use crate::{lua, meta, python, scope, subject};
use ::python::cpython::Home;
pub(crate) use judge::{Detect, Limits, Place, Wanted, quarantined, record};
use model::part::{Inner, Opened, Sharding};
use model::units::Size;
use model::{BuildCx, Built, Files, Flow, Kind, Needs, Node, Part, Port, Problem, Result, Spec};
use serde::Deserialize;
use settings::Settings;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// `[detect.*]`, type `rules`.
pub struct DetectPart;

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
                *runner = judge::Runner::Store;
            }
        }
        detect
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

mod judge;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
