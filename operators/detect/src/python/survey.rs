//! What of the Python detections of a load runs: found once, told at every check.
use super::cpython::{Cpython, Interpreter};
use super::repository::{Repository, Shared};
use super::script::{Blocker, Script};
use crate::meta;
use crate::rule::{Body, Rule};
use model::{Files, Problem};
use serde::Serialize;
use std::fmt::Write;
use std::sync::Arc;

/// Fewest detections that are worth a thread of their own.
const SHARE_MIN: usize = 32;
/// Stack of a thread that compiles or evaluates Python, in bytes: a debug build's frames are several times larger.
pub const STACK: usize = 64 << 20;

/// Compile every script on as many threads as the machine runs at a time, and note what of it runs.
pub fn examine(repository: &Arc<Repository>, scripts: &mut [(&mut Script, &[Arc<str>])]) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = scripts.len().div_ceil(threads).max(SHARE_MIN);
    std::thread::scope(|s| {
        for scripts in scripts.chunks_mut(share) {
            let examine = move || {
                let shared = Shared::new(repository.clone());
                scripts.iter_mut().for_each(|(script, log_types)| script.examine(log_types, &shared));
            };
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(s, examine);
            thread.expect("the system gives no thread");
        }
    });
}

/// A finding for every enabled detection of log types of which something does not run.
/// With `cpython` it says that CPython answers.
pub fn findings(rules: &[Rule], strict: bool, cpython: bool) -> Vec<Problem> {
    let mut out = Vec::new();
    for rule in rules.iter().filter(|r| r.enabled && !r.log_types.is_empty()) {
        let Body::Python(script) = &rule.body else { continue };
        let id = &rule.meta.id;
        let mut tell = |blocker: &Blocker, message: String| {
            let p = Problem::at("rules", message).in_file(&blocker.file, blocker.line, 1);
            out.push(if strict { p } else { p.warn() });
        };
        if let Some(broken) = &script.support.broken {
            tell(
                broken,
                match cpython {
                    true => format!("{id} is not compiled: {}; CPython answers for it", broken.what),
                    false => format!("{id} cannot run: {}; every event for it is an error", broken.what),
                },
            );
        }
        for (function, blocker) in &script.support.blocked {
            let then = match (*function == script.entry.function(), cpython) {
                (true, true) => "CPython answers for the rule",
                (false, true) => "CPython answers for an event that comes to it",
                (true, false) => "an event that comes to it is an error",
                (false, false) => "an alert that comes to it does without",
            };
            tell(blocker, format!("{id}: {function}() is not compiled as a whole: {}; {then}", blocker.what));
        }
    }
    out
}

/// What of the Python detections of some folders runs.
#[derive(Debug, Serialize)]
pub struct Survey {
    /// Python detections.
    pub detections: Vec<Detection>,
    /// Helper modules.
    pub helpers: usize,
    /// Data models that are enabled.
    pub data_models: usize,
    /// Detections by what became of them.
    pub counts: Counts,
    /// Files with mistakes: `file:line:column: message`.
    pub broken: Vec<String>,
}

/// Detections by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// [`Status::Compiled`].
    pub compiled: usize,
    /// [`Status::Verdict`].
    pub verdict: usize,
    /// [`Status::FilterOnly`].
    pub filter_only: usize,
    /// [`Status::CannotRun`].
    pub cannot_run: usize,
    /// [`Status::Cpython`].
    pub cpython: usize,
    /// Of all of them, those that are not enabled.
    pub disabled: usize,
}

/// A Python detection.
#[derive(Debug, Serialize)]
pub struct Detection {
    /// `RuleID`, `PolicyID`.
    pub id: String,
    /// `AnalysisType`.
    pub kind: &'static str,
    /// Its file.
    pub file: String,
    /// `Enabled`; a detection that is not is checked, but does not run.
    pub enabled: bool,
    /// `LogTypes`; none: it is only tested.
    pub log_types: Vec<String>,
    /// What became of it.
    pub status: Status,
    /// What is in the way, by function.
    pub blocked: Vec<Blocked>,
}

/// What became of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All of it runs.
    Compiled,
    /// Its verdict does, another function does not in every case: its default stands in.
    Verdict,
    /// Events that it cannot match are told from the others, on which its verdict does not run in every case.
    FilterOnly,
    /// It does not load, or its verdict does not run in every case.
    CannotRun,
    /// CPython answers for what of it is not compiled.
    Cpython,
}

/// A function that does not run in every case.
#[derive(Debug, Serialize)]
pub struct Blocked {
    /// The function; empty: the module does not load.
    pub function: &'static str,
    /// The construct.
    pub what: String,
    /// File.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

impl Script {
    /// What became of it.
    pub fn status(&self) -> Status {
        match self.blocker() {
            Some(_) if self.support.broken.is_none() && self.is_filtered() => Status::FilterOnly,
            Some(_) => Status::CannotRun,
            None if self.support.blocked.is_empty() => Status::Compiled,
            None => Status::Verdict,
        }
    }
}

/// Look at the Python detections below these paths; with an interpreter, those that need it are loaded there.
pub fn survey(files: &dyn Files, paths: &[String], interpreter: Option<&Interpreter>) -> Survey {
    let (rules, mut problems) = meta::load(files, paths);
    let opened = interpreter.map(|i| Cpython::open(i, &rules));
    let cpython = match opened {
        Some(Ok((cpython, _))) => Some(cpython),
        Some(Err(p)) => {
            problems.push(p);
            None
        }
        None => None,
    };
    let mut out = Survey {
        detections: Vec::new(),
        helpers: 0,
        data_models: 0,
        counts: Counts::default(),
        broken: problems.iter().filter(|p| !p.warning).map(told).collect(),
    };
    for rule in &rules {
        let Body::Python(script) = &rule.body else { continue };
        (out.helpers, out.data_models) = (script.repository.helpers.len(), script.repository.models.len());
        let blocked = |function: &'static str, b: &Blocker| Blocked {
            function,
            what: b.what.clone(),
            file: b.file.clone(),
            line: b.line,
        };
        let broken = script.support.broken.iter().map(|b| blocked("", b));
        let mut blocked: Vec<Blocked> =
            broken.chain(script.support.blocked.iter().map(|(f, b)| blocked(f, b))).collect();
        let mut status = script.status();
        if let (false, Some(cpython)) = (status == Status::Compiled, &cpython) {
            match cpython.check(&rule.meta.id) {
                None => status = Status::Cpython,
                Some(what) => blocked.push(Blocked {
                    function: "",
                    what: format!("CPython: {what}"),
                    file: script.module.file.to_string(),
                    line: 1,
                }),
            }
        }
        match status {
            Status::Compiled => out.counts.compiled += 1,
            Status::Verdict => out.counts.verdict += 1,
            Status::FilterOnly => out.counts.filter_only += 1,
            Status::CannotRun => out.counts.cannot_run += 1,
            Status::Cpython => out.counts.cpython += 1,
        }
        out.counts.disabled += usize::from(!rule.enabled);
        out.detections.push(Detection {
            id: rule.meta.id.to_string(),
            kind: script.entry.name(),
            file: rule.file.clone(),
            enabled: rule.enabled,
            log_types: rule.log_types.iter().map(|t| t.to_string()).collect(),
            status,
            blocked,
        });
    }
    out
}

fn told(p: &Problem) -> String {
    let place = p.file.as_ref().map_or(p.setting.clone(), |(f, l, c)| format!("{f}:{l}:{c}"));
    format!("{place}: {}", p.message)
}

impl Survey {
    /// For people: everything that does not run as a whole, and the counts.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let mut say = |line: String| _ = writeln!(out, "{line}");
        for (status, title) in [
            (Status::CannotRun, "Cannot run"),
            (Status::FilterOnly, "Filter only: an event that passes the filter may come to what is not built"),
            (Status::Verdict, "Verdict runs, another function does not in every case"),
            (Status::Cpython, "CPython answers for what is not compiled"),
        ] {
            let list: Vec<&Detection> = self.detections.iter().filter(|d| d.status == status).collect();
            if !list.is_empty() {
                say(format!("{title}:"));
            }
            for d in list {
                let off = if d.enabled { "" } else { ", disabled" };
                say(format!("  {} ({}{off}) {}", d.id, d.kind, d.file));
                for b in &d.blocked {
                    let function = if b.function.is_empty() { "loading" } else { b.function };
                    say(format!("    {function}: {} ({}:{})", b.what, b.file, b.line));
                }
            }
        }
        if !self.broken.is_empty() {
            say("Files with mistakes:".into());
            self.broken.iter().for_each(|b| say(format!("  {b}")));
        }
        let c = &self.counts;
        say(format!(
            "{} Python detections, {} helpers, {} data models: {} compiled, {} with their verdict, {} filter only, {} cannot \
             run, {} by CPython; {} of them disabled",
            self.detections.len(),
            self.helpers,
            self.data_models,
            c.compiled,
            c.verdict,
            c.filter_only,
            c.cannot_run,
            c.cpython,
            c.disabled
        ));
        out
    }
}
