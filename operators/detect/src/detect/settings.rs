//! Settings of a detect node.
use crate::python::cpython::{Cpython, Interpreter};
use crate::rule::Rule;
use ::python::cpython::Home;
use model::Problem;
use model::units::{Dur, Size};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings of a `[detect.*]` node.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Files, folders or globs of detections, relative to the topology: YAML, Lua and Python in the form of this product,
    /// Sigma. Helper modules and data models of Python rules are found in the same places.
    pub rules: Vec<String>,
    /// Packs that are enabled, by `PackID`; `*` stands for any text. Of a path of `rules` that holds packs those detections run
    /// that an enabled pack names, all of them; detections of other paths go by their own `Enabled`. Default: every
    /// detection does.
    #[serde(default)]
    pub packs: Option<Vec<String>>,
    /// Detections that do not run, whatever enables them, and packs whose detections do not: ids; `*` stands for any text.
    #[serde(default)]
    pub except: Vec<String>,
    /// Files that say which events a Sigma log source means, what its fields are called, and what its placeholders stand
    /// for. They are asked before the shipped mappings.
    #[serde(default)]
    pub sigma_mappings: Vec<String>,
    /// Changed rules that run beside those of the same ids: files, folders or globs. What they match leaves by the outputs
    /// `shadow`, `gained` and `lost`, never by the ordinary one; `millstream rules shadow` tells the difference.
    #[serde(default)]
    pub shadow: Vec<String>,
    /// Log types whose events are cloud resources, with their type in the field `ResourceType`: policies judge them. Default:
    /// policies run in tests only.
    #[serde(default)]
    pub resources: Vec<String>,
    /// Log types whose events are rows of scheduled queries, by the name of the query: scheduled rules judge them. Default:
    /// scheduled rules run in tests only.
    #[serde(default)]
    pub queries: BTreeMap<String, String>,
    /// Only rules for these log types; default: all that the rules name.
    #[serde(default)]
    pub log_types: Option<Vec<String>>,
    /// CPU time a Lua rule may use for one event.
    #[serde(default = "lua_time")]
    pub lua_time: Dur,
    /// Memory a Lua rule may use for one event.
    #[serde(default = "lua_memory")]
    pub lua_memory: Size,
    /// Steps (statements, calls, turns of loops) that each function of a Python rule may take for one event.
    #[serde(default = "python_steps")]
    #[schemars(range(min = 20_000))]
    pub python_steps: u64,
    /// Memory that each function of a Python rule may ask for in one event.
    #[serde(default = "python_memory")]
    pub python_memory: Size,
    /// A CPython of the machine, 3.9 or later, by path or name, such as `python3`. Worker processes of it, shut in, answer
    /// for Python rules of which the verdict is not compiled as a whole, and for single events that come to something else
    /// that is not built; without it these are errors.
    #[serde(default)]
    pub cpython: Option<String>,
    /// Folder of a virtual environment of that CPython whose packages the rules may import; relative to where the process
    /// runs.
    #[serde(default)]
    pub cpython_venv: Option<String>,
    /// A Python rule that cannot be compiled as a whole is an error instead of a warning.
    #[serde(default)]
    pub strict: bool,
    /// Keys that the key-value store of Python rules may hold.
    #[serde(default = "store_keys")]
    #[schemars(range(min = 1))]
    pub store_keys: usize,
    /// Memory that it may take. At both limits the entry that would expire first gives way.
    #[serde(default = "store_memory")]
    pub store_memory: Size,
}

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

impl Settings {
    /// The CPython that is named, with a process for each detection.
    pub fn interpreter(&self) -> Option<Interpreter> {
        let venv = self.cpython_venv.as_ref().map(Into::into);
        Some(Interpreter { program: self.cpython.as_ref()?.into(), venv, home: Home::Apart })
    }

    /// CPython for these rules, if it is wanted and can be had.
    pub fn open_cpython(&self, rules: &[Rule], problems: &mut Vec<Problem>) -> Option<Arc<Cpython>> {
        let interpreter = self.interpreter()?;
        let (opened, problem) = match Cpython::open(&interpreter, rules) {
            Ok((opened, warning)) => (Some(Arc::new(opened)), warning),
            Err(p) => (None, Some(p)),
        };
        problems.extend(problem.filter(|p| !problems.contains(p)));
        opened
    }
}
