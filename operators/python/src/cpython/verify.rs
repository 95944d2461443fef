//! The compiled evaluator and CPython on the same events: are they equal?

use std::collections::BTreeMap;

use super::worker::{Answer, Output};
use crate::canonical::canonical;
use crate::value::Value;
use crate::{Compiled, Event, Outcome, Setting};

/// How two results compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The same value of the same type, or the same exception with the same text.
    Equal,
    /// The same characters in another order: that of a set.
    Order,
    /// The same exception with another text.
    Wording,
    /// The compiled evaluator does not build it, or it was stopped at a limit on either side.
    Unknown,
    /// Another value, or another exception, or one where there is none.
    Different,
}

/// One result that is not equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Function.
    pub function: String,
    /// How it compares.
    pub verdict: Verdict,
    /// What the compiled evaluator gave.
    pub compiled: String,
    /// What CPython gave.
    pub cpython: String,
}

/// Results by how they compare.
pub type Tally = BTreeMap<Verdict, u64>;

/// Call the compiled detection for every function that CPython answered, and compare; what is not equal comes back.
/// The answer must be one with exact texts, of the same event, data model and clock.
pub fn compare(
    compiled: &Compiled,
    event: &Event,
    setting: &Setting,
    answer: &Answer,
    tally: &mut Tally,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut count = |function: &str, verdict: Verdict, ours: String, theirs: String| {
        *tally.entry(verdict).or_default() += 1;
        if verdict != Verdict::Equal {
            differences.push(Difference { function: function.into(), verdict, compiled: ours, cpython: theirs });
        }
    };
    let outputs = match answer {
        Answer::Outputs(outputs) => outputs,
        other => {
            count("rule", Verdict::Unknown, String::new(), format!("{other:?}"));
            return differences;
        }
    };
    compiled.begin();
    // A policy and its functions are called with a plain dict.
    let mut unknown = false;
    let policy = outputs.first().is_some_and(|(function, _)| function == "policy");
    for (function, output) in outputs {
        let argument = Value::EvDict(event.0.clone());
        let outcome = match policy {
            true => compiled.call_value(function, crate::event::plain(&argument), setting),
            false => compiled.call(function, event, setting),
        };
        let (mut verdict, ours, theirs) = one(&outcome, output);
        // What a function that was not run to its end would have left for the next one is not known.
        unknown |= verdict == Verdict::Unknown;
        if unknown {
            verdict = Verdict::Unknown;
        }
        count(function, verdict, ours, theirs);
    }
    differences
}

/// Compare one result.
pub fn one(outcome: &Outcome, output: &Output) -> (Verdict, String, String) {
    let theirs = match output {
        Output::Value { exact, .. } => exact.clone().unwrap_or_default(),
        Output::Raised(r) => format!("{}: {}", r.class, r.message),
        Output::TooLarge(bytes) => format!("more than {bytes} bytes"),
    };
    let ours = match outcome {
        Outcome::Value(value) => canonical(value),
        Outcome::Raised(r) => format!("{}: {}", r.class, r.message),
        Outcome::Unknown(what) => what.clone(),
        Outcome::Exhausted(what) => (*what).into(),
    };
    let verdict = match (outcome, output) {
        (Outcome::Unknown(_) | Outcome::Exhausted(_), _) | (_, Output::TooLarge(_)) => Verdict::Unknown,
        (Outcome::Value(_), Output::Value { .. }) if ours == theirs => Verdict::Equal,
        (Outcome::Value(_), Output::Value { .. }) if sorted(&ours) == sorted(&theirs) => Verdict::Order,
        (Outcome::Raised(a), Output::Raised(b)) if a.class == b.class && a.message == b.message => Verdict::Equal,
        (Outcome::Raised(a), Output::Raised(b)) if a.class == b.class => Verdict::Wording,
        _ => Verdict::Different,
    };
    (verdict, ours, theirs)
}

fn sorted(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.sort_unstable();
    bytes
}
