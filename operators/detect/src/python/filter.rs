//! The condition of a Python rule as match expressions, which the columns decide for all rows at once.
//!
//! A parser leaves empty texts out of the event but not out of its columns, so here an empty text is none.
use crate::expr::Expr;
use crate::key::KeySpec;
use crate::predicate::{Members, Predicate, Scalar, TextOp};
use ::python::{Condition, How, Test};
use model::Path;
use model::path::Seg;
use std::sync::Arc;

/// Expressions all of which hold whenever the condition does.
pub fn exprs(condition: &Condition) -> Vec<Expr> {
    match expr(condition) {
        Expr::Always(true) => Vec::new(),
        Expr::All(list) => list,
        one => vec![one],
    }
}

fn expr(condition: &Condition) -> Expr {
    match condition {
        Condition::Always(b) => Expr::Always(*b),
        Condition::Text(test) => text(test),
        Condition::All(list) => {
            let list: Vec<Expr> = list.iter().map(expr).filter(|e| !matches!(e, Expr::Always(true))).collect();
            if list.is_empty() { Expr::Always(true) } else { Expr::All(list) }
        }
        Condition::Any(list) => {
            let list: Vec<Expr> = list.iter().map(expr).collect();
            if list.iter().any(|e| matches!(e, Expr::Always(true))) { Expr::Always(true) } else { Expr::Any(list) }
        }
    }
}

fn text(test: &Test) -> Expr {
    // Standard fields are made with the whole event.
    if test.path.is_empty() || test.path[0].starts_with("p_") {
        return Expr::Always(true);
    }
    let key = || KeySpec::Path(Path(test.path.iter().map(|k| Seg::Key((**k).into())).collect()));
    let part = |op, text: &str| match text.is_empty() {
        // Every text has it.
        true => None,
        false => Some(Predicate::Text { op, fold: false, text: text.into() }),
    };
    let how = match &test.how {
        How::In(set) => {
            let texts: Vec<Scalar> =
                set.iter().filter(|s| !s.is_empty()).map(|s| Scalar::Str(Arc::from(&**s))).collect();
            Some(Predicate::In(Members::of(texts)))
        }
        How::StartsWith(text) => part(TextOp::StartsWith, text),
        How::EndsWith(text) => part(TextOp::EndsWith, text),
        How::Contains(text) => part(TextOp::Contains, text),
    };
    let no_text = || Expr::Test { key: key(), test: Predicate::NoText, negated: false };
    match (how, test.negated) {
        // A list of which an element is in the set is no text.
        (Some(test @ Predicate::In(_)), true) => {
            Expr::Any(vec![Expr::Test { key: key(), test, negated: true }, no_text()])
        }
        (Some(test), true) => Expr::Test { key: key(), test, negated: true },
        (Some(Predicate::In(m)), false) if m.strings.is_empty() => no_text(),
        (Some(test), false) => Expr::Any(vec![Expr::Test { key: key(), test, negated: false }, no_text()]),
        (None, true) => no_text(),
        (None, false) => Expr::Always(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn test(path: &[&str], how: How, negated: bool) -> Condition {
        let path: Vec<std::rc::Rc<str>> = path.iter().map(|k| (*k).into()).collect();
        Condition::text(&path, how, negated)
    }

    #[test]
    fn texts_decide_and_everything_else_passes() {
        let set = |texts: &[&str]| How::In(texts.iter().map(|t| (*t).into()).collect::<BTreeSet<_>>());
        let holds = |c: &Condition, event: serde_json::Value| eval::all(&exprs(c), &event);
        for (how, yes, no) in [
            (set(&["a", "b"]), "a", "c"),
            (How::StartsWith("De".into()), "Delete", "delete"),
            (How::EndsWith("e".into()), "Delete", "Deleted"),
            (How::Contains("let".into()), "Delete", "De"),
        ] {
            for negated in [false, true] {
                let c = test(&["user", "name"], how.clone(), negated);
                assert_eq!(holds(&c, json!({"user": {"name": yes}})), !negated, "{c:?}");
                assert_eq!(holds(&c, json!({"user": {"name": no}})), negated, "{c:?}");
                for other in [json!(""), json!(null), json!(1), json!(true), json!(["a"]), json!({"a": 1})] {
                    assert!(holds(&c, json!({"user": {"name": other}})), "{c:?} {other}");
                }
                assert!(holds(&c, json!({"user": "a"})) && holds(&c, json!({"User": {"name": no}})), "{c:?}");
            }
        }
    }

    #[test]
    fn empty_texts_and_standard_fields_decide_nothing() {
        let empty = || How::In(BTreeSet::from(["".into()]));
        let holds = |c: &Condition, event: serde_json::Value| eval::all(&exprs(c), &event);
        // The field is true: for an empty text in a column there is none in the event.
        let truthy = test(&["name"], empty(), true);
        assert!(holds(&truthy, json!({"name": ""})) && holds(&truthy, json!({"name": "a"})));
        let falsy = test(&["name"], empty(), false);
        assert!(holds(&falsy, json!({"name": ""})) && !holds(&falsy, json!({"name": "a"})));
        assert!(exprs(&test(&["p_log_type"], empty(), false)).is_empty());
        assert!(exprs(&Condition::Any(vec![test(&["p_x"], empty(), false), truthy])).is_empty());
        assert!(matches!(exprs(&Condition::Always(false))[..], [Expr::Always(false)]));
    }
}
