//! Runs the `Tests:` that stand beside a detection: no engine, no server, the same evaluators.
//!
//! A case gives an event and what is expected of it. The verdict follows the reference tool: a case that expects a
//! match passes if the rule matches and none of its functions fails; a case that expects none passes if the rule does
//! not match. Beyond the verdict a case may fix title, dedup string, severity, destinations and context; those are
//! compared only when named. `p_enrichment` in the event is data like any other, so lookups are tested offline.
mod case;
mod report;
mod run;

pub use case::{Case, MAX_CASES, Mock, listed};
pub use report::{Difference, Report, RuleReport, TestReport, Verdict};

use crate::meta;
use crate::python::cpython::{Cpython, Interpreter};
use crate::python::survey::STACK;
use crate::python::verify::Verify;
use crate::rule::Rule;
use model::{Files, Problem};
use std::sync::Arc;

/// Fewest rules that are worth a thread of their own.
const SHARE_MIN: usize = 32;

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Only rules of which id, file or a log type contains this text.
    pub filter: Option<String>,
    /// Cases every rule must have; from 2 on, at least one that expects a match and one that does not.
    pub minimum_tests: usize,
    /// The clock that Python rules see, in milliseconds since 1970.
    pub now_ms: i64,
    /// Who is asked what of Python rules is not compiled; without it such a case is unknown.
    pub cpython: Option<Interpreter>,
    /// Compare every Python rule that is compiled with that CPython.
    pub verify: bool,
}

/// Load the rules of these files and folders and run their tests. Never fails: what cannot be loaded is a finding in
/// the report.
pub fn run(files: &dyn Files, paths: &[String], options: &Options) -> Report {
    let (rules, mut problems) = meta::load(files, paths);
    let opened = options.cpython.as_ref().map(|i| Cpython::open(i, &rules));
    let cpython = match opened {
        Some(Ok((cpython, _))) => Some(Arc::new(cpython)),
        Some(Err(p)) => {
            problems.push(p);
            None
        }
        None => None,
    };
    let wanted = |text: &str| options.filter.as_deref().is_none_or(|f| text.contains(f));
    let wants = |r: &&Rule| wanted(&r.meta.id) || wanted(&r.file) || r.log_types.iter().any(|t| wanted(t));
    let chosen: Vec<&Rule> = rules.iter().filter(wants).collect();
    let verify = cpython.as_ref().filter(|_| options.verify);
    let verify = verify.map(|c| Arc::new(Verify::new(c.clone(), chosen.iter().copied())));
    let share = |rules: &[&Rule]| -> Vec<RuleReport> {
        let runner = run::Runner::new(rules, options.now_ms, cpython.clone(), verify.clone());
        rules.iter().enumerate().map(|(at, rule)| runner.rule(at, rule, options.minimum_tests)).collect()
    };
    let rules = on_threads(&chosen, &share);
    let keep = |p: &Problem| p.file.as_ref().is_none_or(|(f, _, _)| options.filter.is_none() || wanted(f));
    let verified = verify.map(|v| v.report());
    Report { rules, problems: problems.into_iter().filter(keep).collect(), verified }
}

/// Shares of the rules on as many threads as the machine runs at a time; the reports in the order of the rules.
fn on_threads(rules: &[&Rule], run: &(impl Fn(&[&Rule]) -> Vec<RuleReport> + Sync)) -> Vec<RuleReport> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let size = rules.len().div_ceil(threads).max(SHARE_MIN);
    std::thread::scope(|s| {
        let spawn = |share| {
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(s, move || run(share));
            thread.expect("the system gives no thread")
        };
        let all: Vec<_> = rules.chunks(size).map(spawn).collect();
        all.into_iter().flat_map(|t| t.join().expect("a panic ends the process")).collect()
    })
}

#[cfg(test)]
mod shipped;
#[cfg(test)]
mod tests;
