//! Match expressions: the tree that `Detection`, `InlineFilters`, `Expressions` and `Conditions` hold.
//!
//! [`parse_exprs`] builds it from YAML and reports everything that is wrong at once; [`crate::eval`] evaluates it over a
//! whole event, [`crate::columns`] compiles it for batches. What a condition means for a value is in
//! [`crate::predicate`].
mod lists;
mod parse;

pub use lists::{parse_alert_context, parse_dynamic_severities, parse_group_by, parse_keyspec};
pub use parse::{MAX_DEPTH, MAX_EXPRS, MAX_VALUES, parse_exprs, parse_filters};

use crate::key::KeySpec;
use crate::predicate::{OrderOp, Predicate, TextOp};

/// One match expression.
#[derive(Clone, Debug)]
pub enum Expr {
    /// `AlwaysTrue`, `AlwaysFalse`.
    Always(bool),
    /// Something is joined to the event: it has a `p_enrichment`. Not to be written in a rule.
    Joined,
    /// The first, where events have no key of the path in another case of its letters; else the second, which holds wherever
    /// the first does. Not to be written in a rule.
    Known {
        /// Keys of maps inside one another.
        path: model::Path,
        /// What may take an absent column for a missing key.
        then: Box<Expr>,
        /// What may not.
        otherwise: Box<Expr>,
    },
    /// A condition on one value.
    Test {
        /// Which value.
        key: KeySpec,
        /// What is asked.
        test: Predicate,
        /// The opposite is asked.
        negated: bool,
    },
    /// A condition on two values of the event.
    Compare {
        /// Left value.
        left: KeySpec,
        /// Right value: what `Value` is elsewhere.
        right: KeySpec,
        /// What is asked.
        how: Comparison,
        /// The opposite is asked.
        negated: bool,
    },
    /// A list comprehension: every element is the root of `exprs` in turn.
    Elements {
        /// The list.
        key: KeySpec,
        /// How many elements must fulfil all of `exprs`.
        which: Quantifier,
        /// The opposite is asked (`NoElement`).
        negated: bool,
        /// Expressions on an element, all of which must hold.
        exprs: Vec<Expr>,
    },
    /// All hold; true if empty.
    All(Vec<Expr>),
    /// At least one holds; false if empty.
    Any(Vec<Expr>),
    /// Exactly one holds.
    OnlyOne(Vec<Expr>),
    /// None holds; true if empty.
    None(Vec<Expr>),
}

/// How many elements of a list must hold. A value that is not a list has none: [`Quantifier::Any`] and
/// [`Quantifier::One`] are false, and so is [`Quantifier::All`], which is true for an empty list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// At least one.
    Any,
    /// Every one.
    All,
    /// Exactly one.
    One,
}

/// A comparison between two values. False if one of them is missing or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal by value: scalars of one type, lists and objects member by member.
    Equals,
    /// Two texts; `fold` ignores case.
    Text(TextOp, bool),
    /// Two texts: contains; a list and a scalar: has an equal element. `fold` ignores the case of texts.
    Contains(bool),
    /// The left is an element of the right; two lists: they share an element.
    In,
    /// Two numbers by value, two texts by bytes.
    Order(OrderOp),
    /// An address or network that overlaps a network.
    InCidr,
    /// A list of which an element overlaps a network.
    CidrContains,
    /// Any value in the left and any in the right, as texts; `fold` ignores case. See [`crate::like`].
    Like(TextOp, bool),
}

impl Expr {
    /// Calls `f` for every key specifier that starts at the root of the event (not at a list element).
    pub fn keys<'a>(&'a self, f: &mut dyn FnMut(&'a KeySpec)) {
        match self {
            Expr::Always(_) | Expr::Joined => {}
            Expr::Test { key, .. } | Expr::Elements { key, .. } => f(key),
            Expr::Known { then, otherwise, .. } => {
                then.keys(f);
                otherwise.keys(f);
            }
            Expr::Compare { left, right, .. } => {
                f(left);
                f(right)
            }
            Expr::All(v) | Expr::Any(v) | Expr::OnlyOne(v) | Expr::None(v) => v.iter().for_each(|e| e.keys(f)),
        }
    }
}
