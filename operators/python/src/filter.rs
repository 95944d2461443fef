//! What must hold of an event for a function to do anything but return `False`.
//!
//! The function is walked along all its paths with what is known of its values: constants, the event, and fields of the
//! event at a path of constant keys. What a test of such a field says for a text, and for the value that stands for a
//! missing one, is exact; for a field that is anything else both answers are taken to be possible, and so is an exception. Wherever something else comes, the rest of the
//! path is taken to alert. So the condition may hold too often, never too seldom: an event for which it is false makes
//! the function return `False` and nothing else, without an exception, without anything unknown.

mod condition;
mod place;
mod sym;
mod walk;

#[cfg(test)]
mod tests;

pub use condition::{Affix, Condition, Expression, How, Test};

use crate::compile::Compiled;
use crate::model::DataModel;
use crate::value::Value;

/// Most tests of a condition; a larger one is given up.
pub const MAX_TESTS: usize = 200;
/// Most statements and expressions that are walked.
pub const MAX_WALK: u32 = 5_000;
/// Most texts that are made while the condition is found.
pub const MAX_TEXTS: u32 = 32;
/// Bytes up to which a text counts whose case is changed: [`MAX_TEXTS`] of them are less than any limit of memory.
pub const MAX_FOLDED: usize = 16 << 10;
/// Most regular expressions that are searched for.
pub const MAX_MATCHES: u32 = 12;
/// Bytes up to which a text counts that is searched: [`MAX_MATCHES`] of them take less than [`MIN_STEPS`], a step for 16.
pub const MAX_MATCHED: usize = 16 << 10;
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
