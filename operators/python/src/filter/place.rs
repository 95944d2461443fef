//! A place in the event of which a walk knows what is there if it is a text, and what stands for it if it is missing.

use std::rc::Rc;

use super::condition::{Condition, Expression, How};
use super::{MAX_FOLDED, MAX_MATCHED};
use crate::value::Value;

/// What stands at a path of the event.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Keys of maps inside one another.
    pub path: Rc<[Rc<str>]>,
    /// What stands for it where the event does not have the first key; `None`: not known.
    pub gone: Option<Gone>,
    /// The same stands for it wherever the path leads nowhere.
    pub deep: bool,
}

/// What stands for a missing value.
#[derive(Clone, Debug)]
pub(super) enum Gone {
    /// This value.
    Is(Value),
    /// Some text.
    Text,
}

impl Place {
    /// A place that is asked for in one go.
    pub fn new(path: Rc<[Rc<str>]>, gone: Option<Gone>) -> Place {
        Place { path, gone, deep: true }
    }

    /// The value for a missing one, if it is known.
    pub fn gone(&self) -> Option<&Value> {
        if let Some(Gone::Is(value)) = &self.gone { Some(value) } else { None }
    }

    /// When the answer to a question about its text may be yes, and when no. `gone` is the answer where it is missing.
    pub fn ask(&self, how: How, gone: Option<bool>) -> (Condition, Condition) {
        (self.test(how.clone(), false, gone != Some(false)), self.test(how, true, gone != Some(true)))
    }

    fn test(&self, how: How, negated: bool, gone: bool) -> Condition {
        let inside = gone || !self.deep || self.path.len() < 2;
        Condition::nested(&self.path, how, negated, gone, inside)
    }

    /// It is no text; with `gone` also where it is missing.
    pub fn no_text(&self, gone: bool) -> Condition {
        self.ask(How::In(Default::default()), Some(gone)).0
    }

    /// It is neither a text nor what stands for a missing value, if that is one of these.
    pub fn no_text_nor(&self, fine: impl Fn(&Value) -> bool) -> Condition {
        self.no_text(match &self.gone {
            Some(Gone::Is(value)) => !fine(value),
            // It may be an odd one.
            Some(Gone::Text) => !fine(&Value::str("%")),
            None => true,
        })
    }

    /// It is a text with other characters than those of ASCII.
    pub fn beyond_ascii(&self) -> Condition {
        let gone = if let Some(Value::Str(text)) = self.gone() { Some(!text.is_ascii()) } else { None };
        match regex::Regex::new(r"[^\x00-\x7f]") {
            Ok(regex) => self.ask(How::Matches(Expression(regex)), gone).0,
            Err(_) => Condition::Always(true),
        }
    }

    /// It is a text of which changing the case takes memory that matters.
    pub fn too_long_to_fold(&self) -> Condition {
        self.ask(How::Longer(MAX_FOLDED), Some(false)).0
    }

    /// It is a text of which nothing is said about regular expressions.
    pub fn too_long_to_match(&self) -> Condition {
        self.ask(How::Longer(MAX_MATCHED), Some(false)).0
    }

    /// What both have for a missing value is the same.
    pub fn same_gone(&self, other: &Place) -> bool {
        self.deep == other.deep
            && match (&self.gone, &other.gone) {
                (None, None) | (Some(Gone::Text), Some(Gone::Text)) => true,
                (Some(Gone::Is(a)), Some(Gone::Is(b))) => match (a, b) {
                    (Value::None, Value::None) => true,
                    (Value::Bool(a), Value::Bool(b)) => a == b,
                    (Value::Int(a), Value::Int(b)) => a == b,
                    (Value::Str(a), Value::Str(b)) => a == b,
                    _ => false,
                },
                _ => false,
            }
    }
}
