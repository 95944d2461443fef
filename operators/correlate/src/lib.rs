//! From matches to what they mean together: correlation rules, evaluated as the matches come.
//!
//! ```text
//! matches ──▶ signals ──▶ (rule, value) ──▶ window ──▶ matches ──▶ dedup, like any other
//!             signals.rs   group.rs          decide.rs   told.rs
//! ```
//!
//! [`panther`] and [`sigma`] read rules into one form ([`rule`]). A match of a detection becomes a signal of every rule that
//! watches the detection ([`signals`]), also where the detection makes no alert. Signals of one rule and one value meet in one
//! place, whatever the number of workers; [`decide`] says when they make a match, [`group`] for how long they are waited with.
//! [`testing`] runs the `Tests:` of the rules, in virtual time.
//!
//! Nothing is lost on the way without a count: `late` and `values_over_limit` by rule, and `evicted` at the named limits
//! [`held::MAX_HELD`] and [`group::MAX_SIGNALS`].

pub mod decide;
pub mod group;
pub mod held;
pub mod load;
pub mod operator;
pub mod panther;
pub mod rule;
pub mod sigma;
pub mod signals;
pub mod testing;
pub mod told;

/// Every part of this crate, for the registry.
pub fn parts() -> Vec<&'static dyn model::Part> {
    vec![&operator::CorrelatePart]
}
