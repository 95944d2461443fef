//! What must hold of an event for a function to do anything but return `False`.
//!
//! The function is walked along all its paths with what is known of its values: constants, the event, and fields of the
//! event at a path of constant keys. What a test of such a field says for a text is exact; for a field that is no text
//! both answers are taken to be possible, and so is an exception. Wherever something else comes, the rest of the
//! path is taken to alert. So the condition may hold too often, never too seldom: an event for which it is false makes
//! the function return `False` and nothing else, without an exception, without anything unknown.

mod condition;
mod sym;
mod walk;

#[cfg(test)]
mod tests;

pub use condition::{Condition, How, Test};

use crate::compile::Compiled;
use crate::model::DataModel;
use crate::value::Value;

/// Most tests of a condition; a larger one is given up.
pub const MAX_TESTS: usize = 200;
/// Most statements and expressions that are walked.
pub const MAX_WALK: u32 = 5_000;
/// Steps that a function must be allowed for what is walked here never to use them up.
pub const MIN_STEPS: u64 = 20_000;

impl Compiled {
    /// What must hold of an event of a log type with this data model for the function `rule` to do anything but return
    /// `False`.
    pub fn filter(&self, model: Option<&DataModel>) -> Condition {
        let Some(Value::Func(func)) = self.module.get("rule") else { return Condition::Always(true) };
        let condition = walk::alerts(&func, model);
        if condition.size() > MAX_TESTS { Condition::Always(true) } else { condition }
    }
}
