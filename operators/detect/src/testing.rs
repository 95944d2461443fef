//! Runs the `Tests:` that stand beside a detection: no engine, no server, the same evaluators.
//!
//! A case gives an event and what is expected of it. The verdict follows the reference tool: a case that expects a
//! match passes if the rule matches and none of its functions fails; a case that expects none passes if the rule does
//! not match. Beyond the verdict a case may fix title, dedup string, severity, destinations and context; those are
//! compared only when named. `p_enrichment` in the event is data like any other, so lookups are tested offline.
mod case;
mod report;
mod run;

pub use case::{Case, MAX_CASES, Mock};
pub use report::{Difference, Report, RuleReport, TestReport};

use crate::meta;
use model::{Files, Problem};

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Only rules of which id, file or a log type contains this text.
    pub filter: Option<String>,
    /// Cases every rule must have; from 2 on, at least one that expects a match and one that does not.
    pub minimum_tests: usize,
}

/// Load the rules of these files and folders and run their tests. Never fails: what cannot be loaded is a finding in
/// the report.
pub fn run(files: &dyn Files, paths: &[String], options: &Options) -> Report {
    let (rules, problems) = meta::load(files, paths);
    let wanted = |text: &str| options.filter.as_deref().is_none_or(|f| text.contains(f));
    let chosen =
        rules.iter().filter(|r| wanted(&r.meta.id) || wanted(&r.file) || r.log_types.iter().any(|t| wanted(t)));
    let rules = chosen.map(|rule| run::rule(rule, options.minimum_tests)).collect();
    let keep = |p: &Problem| p.file.as_ref().is_none_or(|(f, _, _)| options.filter.is_none() || wanted(f));
    Report { rules, problems: problems.into_iter().filter(keep).collect() }
}

#[cfg(test)]
mod shipped;
#[cfg(test)]
mod tests;
