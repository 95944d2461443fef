//! Evaluates match expressions over one whole event.
//!
//! The plain reading of the language: `Tests:` run on it, list elements are tested with it, and the columnar engine is
//! compared with it. It allocates only for `[*]` and `FirstOf` hits.
use crate::address;
use crate::expr::{Comparison, Expr, Quantifier};
use crate::key::KeySpec;
use crate::like;
use crate::number::Num;
use crate::predicate::{TextOp, fold};
use serde_json::Value as J;
use std::borrow::Cow;

/// True if all expressions hold.
pub fn all(exprs: &[Expr], root: &J) -> bool {
    exprs.iter().all(|e| holds(e, root))
}

/// True if the expression holds for the event (or list element).
pub fn holds(expr: &Expr, root: &J) -> bool {
    match expr {
        Expr::Always(b) => *b,
        Expr::Known { otherwise, .. } => holds(otherwise, root),
        Expr::Joined => root.get("p_enrichment").is_some(),
        Expr::Test { key, test, negated } => test.on_json(key.get(root).as_deref()) != *negated,
        Expr::Compare { left, right, how, negated } => compare(*how, left, right, root) != *negated,
        Expr::Elements { key, which, negated, exprs } => elements(*which, exprs, key.get(root).as_deref()) != *negated,
        Expr::All(v) => all(v, root),
        Expr::Any(v) => v.iter().any(|e| holds(e, root)),
        Expr::OnlyOne(v) => exactly_one(v.iter().map(|e| holds(e, root))),
        Expr::None(v) => !v.iter().any(|e| holds(e, root)),
    }
}

/// True if exactly one of them is true; looks no further than the second.
pub fn exactly_one(results: impl Iterator<Item = bool>) -> bool {
    results.filter(|b| *b).take(2).count() == 1
}

/// A list comprehension on a value; anything but a list fulfils no quantifier.
pub fn elements(which: Quantifier, exprs: &[Expr], value: Option<&J>) -> bool {
    let Some(J::Array(list)) = value else { return false };
    let mut hits = list.iter().map(|e| all(exprs, e));
    match which {
        Quantifier::Any => hits.any(|b| b),
        Quantifier::All => hits.all(|b| b),
        Quantifier::One => exactly_one(hits),
    }
}

fn compare(how: Comparison, left: &KeySpec, right: &KeySpec, root: &J) -> bool {
    match (left.get(root), right.get(root)) {
        (Some(a), Some(b)) => pair(how, &a, &b),
        _ => false,
    }
}

/// A comparison of two values; false if one is null.
pub fn pair(how: Comparison, a: &J, b: &J) -> bool {
    if a.is_null() || b.is_null() {
        return false;
    }
    match how {
        Comparison::Equals => equal(a, b),
        Comparison::Text(op, fold_case) => texts(op, fold_case, a, b),
        Comparison::Contains(fold_case) => match a {
            J::Array(list) if fold_case => list.iter().any(|e| texts(TextOp::Equals, true, e, b)),
            J::Array(list) => !b.is_array() && list.iter().any(|e| equal(e, b)),
            _ => texts(TextOp::Contains, fold_case, a, b),
        },
        Comparison::In => match (a, b) {
            (J::Array(x), J::Array(y)) => x.iter().any(|e| y.iter().any(|f| equal(e, f))),
            (_, J::Array(y)) => y.iter().any(|f| equal(a, f)),
            _ => false,
        },
        Comparison::Order(op) => match (a, b) {
            (J::Number(x), J::Number(y)) => op.accepts(Num::from(x).compare(y.into())),
            (J::String(x), J::String(y)) => op.accepts(Some(x.cmp(y))),
            _ => false,
        },
        Comparison::InCidr => a.is_string() && in_net(a, b),
        Comparison::CidrContains => match a {
            J::Array(list) => list.iter().any(|e| in_net(e, b)),
            _ => in_net(a, b),
        },
        Comparison::Like(op, fold_case) => like::scalars(b, &mut |y| {
            let y = if fold_case { fold(y) } else { Cow::Borrowed(y) };
            like::scalars(a, &mut |x| op.holds(fold_case, x, &y))
        }),
    }
}

fn texts(op: TextOp, fold_case: bool, a: &J, b: &J) -> bool {
    match (a, b) {
        (J::String(x), J::String(y)) if fold_case => op.holds(true, x, &fold(y)),
        (J::String(x), J::String(y)) => op.holds(false, x, y),
        _ => false,
    }
}

fn in_net(a: &J, net: &J) -> bool {
    let parse = |v: &J| v.as_str().and_then(address::parse_net);
    matches!((parse(a), parse(net)), (Some(x), Some(y)) if address::overlap(&x, &y))
}

/// Equality by value: numbers compare as numbers wherever they stand.
pub fn equal(a: &J, b: &J) -> bool {
    match (a, b) {
        (J::Number(x), J::Number(y)) => Num::from(x) == Num::from(y),
        (J::Array(x), J::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| equal(a, b)),
        (J::Object(x), J::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, a)| y.get(k).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}
