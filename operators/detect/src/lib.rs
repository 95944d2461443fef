//! Detections: rule files in, matches out.
//!
//! A rule is YAML ([`expr`]: match expressions), Sigma ([`sigma`]), Lua ([`lua`]) or Python ([`python`](mod@python)). [`meta`] loads rule files, [`detect`] runs them over
//! event batches, [`testing`] runs the `Tests:` that stand beside a rule. YAML and Sigma bodies and the inline filters of all
//! rules are compiled per log type to a columnar program ([`columns`]) whose cost hardly depends on the number of
//! rules; [`eval`] is the plain evaluator of the same language, against which the program is tested.

pub mod address;
pub mod columns;
pub mod condition;
pub mod contract;
pub mod cost;
pub mod describe;
pub mod detect;
pub mod eval;
pub mod explain;
pub mod expr;
pub mod key;
pub mod like;
pub mod lint;
pub mod lua;
pub mod meta;
pub mod number;
pub mod possible;
pub mod predicate;
pub mod python;
pub mod regex;
pub mod rule;
pub mod scan;
pub mod scope;
pub mod shadow;
pub mod sigma;
mod stored;
pub mod subject;
pub mod template;
pub mod testing;
pub mod whole;

/// Parts of this crate, for the registry.
pub fn parts() -> Vec<&'static dyn model::Part> {
    vec![&detect::DetectPart]
}
