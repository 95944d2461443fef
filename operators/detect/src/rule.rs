//! A loaded detection: what its file says, checked and in the shape the engine runs.
//!
//! Filled by [`crate::meta`] from rule files, run by [`crate::detect`] over event batches and by [`crate::testing`]
//! over single events. Nothing here depends on an event.
use crate::expr::Expr;
use crate::key::KeySpec;
use crate::python::{AnalysisType, Script};
use crate::template::Template;
use model::{RuleMeta, Severity};
use std::sync::Arc;

/// One detection.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Facts that every match carries.
    pub meta: Arc<RuleMeta>,
    /// Content file it was read from.
    pub file: String,
    /// `Enabled`; a disabled rule is checked but never run.
    pub enabled: bool,
    /// `LogTypes`.
    pub log_types: Vec<Arc<str>>,
    /// `InlineFilters`: all must hold before the body is looked at.
    pub filters: Vec<Expr>,
    /// What decides.
    pub body: Body,
    /// `AlertTitle`; `None` = display name.
    pub alert_title: Option<Template>,
    /// `AlertContext`: name and value, in file order.
    pub alert_context: Vec<(String, KeySpec)>,
    /// `GroupBy`: the dedup string; empty = the title.
    pub group_by: Vec<KeySpec>,
    /// `DynamicSeverities`, in file order; the first whose conditions all hold wins.
    pub dynamic_severities: Vec<(Severity, Vec<Expr>)>,
    /// `Tests`, as written.
    pub tests: serde_json::Value,
}

impl Rule {
    /// True if it may use the key-value store of Python rules.
    pub fn uses_store(&self) -> bool {
        matches!(&self.body, Body::Python(script) if script.support.cache)
    }
}

/// The deciding part of a detection.
#[derive(Clone, Debug)]
pub enum Body {
    /// `Detection`: all expressions must hold.
    Yaml(Vec<Expr>),
    /// A Lua chunk with a function `rule(event)`.
    Lua {
        /// Source text.
        source: Arc<str>,
        /// Name of the chunk in error messages: the path of its file.
        chunk: String,
    },
    /// A Python module with a function `rule(event)` or `policy(resource)`.
    Python(Arc<Script>),
}

impl Body {
    /// What kind of detection it is.
    pub fn entry(&self) -> AnalysisType {
        match self {
            Body::Python(script) => script.entry,
            _ => AnalysisType::Rule,
        }
    }

    /// What the columns decide for events of a log type: nothing of a script but its filter.
    pub fn columns(&self, log_type: &str) -> &[Expr] {
        match self {
            Body::Yaml(exprs) => exprs,
            Body::Lua { .. } => &[],
            Body::Python(script) => script.filter(log_type),
        }
    }
}
