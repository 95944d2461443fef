//! The Python body of a detection, and what the compiler says about it.
use super::filter;
use super::repository::{Module, Repository, Shared};
use crate::expr::Expr;
use ::python::{Source, compile};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The package with the module of the key-value cache.
const CACHE: &str = "panther_detection_helpers";

/// The Python body of a detection.
#[derive(Clone, Debug)]
pub struct Script {
    /// Id of the detection, which is the `__name__` of its module.
    pub id: Arc<str>,
    /// Its module.
    pub module: Module,
    /// What kind of detection it is.
    pub entry: AnalysisType,
    /// What a policy or scheduled rule judges: types of resources (none: all), names of queries.
    pub subjects: Vec<Arc<str>>,
    /// Helpers and data models.
    pub repository: Arc<Repository>,
    /// What compiles.
    pub support: Support,
    /// By log type: conditions that hold whenever the detection does anything but say "no match".
    pub filters: BTreeMap<Arc<str>, Vec<Expr>>,
}

/// What a detection is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnalysisType {
    /// `rule(event)`: true is a match.
    Rule,
    /// `policy(resource)`: false is a match. The resource is a plain `dict`.
    Policy,
    /// `rule(row)` on the rows of a query; without the function every row matches.
    ScheduledRule,
}

impl AnalysisType {
    /// Name of the function.
    pub fn function(self) -> &'static str {
        match self {
            AnalysisType::Rule | AnalysisType::ScheduledRule => "rule",
            AnalysisType::Policy => "policy",
        }
    }

    /// `AnalysisType`.
    pub fn name(self) -> &'static str {
        match self {
            AnalysisType::Rule => "rule",
            AnalysisType::Policy => "policy",
            AnalysisType::ScheduledRule => "scheduled_rule",
        }
    }

    /// What the function says of an event that is to alert.
    pub fn alerting(self) -> bool {
        self != AnalysisType::Policy
    }
}

/// What of a detection runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// Why its module does not load: file, line, what.
    pub broken: Option<Blocker>,
    /// What blocks its functions, in the order in which they are called.
    pub blocked: Vec<(&'static str, Blocker)>,
    /// It may use the key-value cache.
    pub cache: bool,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The construct.
    pub what: String,
    /// File.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}:{})", self.what, self.file, self.line)
    }
}

impl Script {
    /// A body as read, without what it shares.
    pub fn new(id: Arc<str>, module: Module, entry: AnalysisType, subjects: Vec<Arc<str>>) -> Script {
        let repository = Arc::default();
        Script { id, module, entry, subjects, repository, support: Support::default(), filters: BTreeMap::new() }
    }

    /// Say what compiles, and what must hold of events of these log types.
    pub fn examine(&mut self, log_types: &[Arc<str>], shared: &Shared) {
        let entry = self.entry.function();
        self.support = match compile(&self.source(), &shared.library) {
            Err(e) => {
                let broken = Blocker { what: e.message.clone(), file: e.file.to_string(), line: e.line };
                Support { broken: Some(broken), ..Support::default() }
            }
            Ok(compiled) if self.entry != AnalysisType::ScheduledRule && compiled.module.get(entry).is_none() => {
                let what = format!("the module defines no function `{entry}`");
                Support {
                    broken: Some(Blocker { what, file: self.module.file.to_string(), line: 1 }),
                    ..Support::default()
                }
            }
            Ok(compiled) => {
                let functions = compiled.report.functions.iter().filter(|f| f.name == entry || !is_entry(f.name));
                let first = functions.filter_map(|f| f.gaps.first().map(|gap| (f.name, gap)));
                let blocked = first.map(|(name, gap)| {
                    (name, Blocker { what: gap.what.to_string(), file: gap.file.to_string(), line: gap.line })
                });
                if self.entry == AnalysisType::Rule {
                    for log_type in log_types {
                        let exprs = filter::exprs(&compiled.filter(shared.model(log_type).as_deref()));
                        self.filters.insert(log_type.clone(), exprs);
                    }
                }
                Support { broken: None, blocked: blocked.collect(), cache: compiled.report.cache }
            }
        };
        // What is behind a construct that is not built is not known.
        let gaps = self.support.broken.is_some() || !self.support.blocked.is_empty();
        self.support.cache |= gaps && self.repository.imports(&self.module, CACHE);
    }

    /// Its module, as the compiler takes it.
    pub fn source(&self) -> Source {
        self.module.source(&self.id)
    }

    /// What must hold of an event of a log type.
    pub fn filter(&self, log_type: &str) -> &[Expr] {
        self.filters.get(log_type).map_or(&[], Vec::as_slice)
    }

    /// True if some events are told without running it.
    pub fn is_filtered(&self) -> bool {
        self.filters.values().any(|exprs| !exprs.is_empty())
    }

    /// What keeps the verdict from being found natively on every event.
    pub fn blocker(&self) -> Option<&Blocker> {
        let entry = self.entry.function();
        let blocked = self.support.blocked.iter().find(|(name, _)| *name == entry).map(|(_, b)| b);
        self.support.broken.as_ref().or(blocked)
    }
}

fn is_entry(name: &str) -> bool {
    matches!(name, "rule" | "policy")
}
