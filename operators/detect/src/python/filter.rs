//! The condition of a Python rule as match expressions, which the columns decide for all rows at once.
//!
//! A parser leaves empty texts out of the event but not out of its columns, so here an empty text is none.
use crate::expr::Expr;
use crate::key::KeySpec;
use crate::predicate::{Members, Predicate, Scalar, TextOp};
use crate::regex::Regex;
use ::python::{Affix, Condition, How, Test};
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
    let Some(root) = test.path.first() else { return Expr::Always(true) };
    // Standard fields are made with the whole event, but for what is joined.
    if root.starts_with("p_") {
        let joined = &**root == "p_enrichment" && !test.absent;
        return if joined { Expr::Joined } else { Expr::Always(true) };
    }
    let known = |n: usize, then: Expr, otherwise: Expr| {
        let path = Path(test.path[..n].iter().map(|k| Seg::Key((**k).into())).collect());
        Expr::Known { path, then: Box::new(then), otherwise: Box::new(otherwise) }
    };
    let loose = || of_text(test, true);
    match (test.absent, test.path.len()) {
        (true, _) => loose(),
        (false, 1) => known(1, of_text(test, false), loose()),
        (false, n) => {
            let first = known(1, both(loose(), there(&test.path[..1])), loose());
            if test.inside { first } else { known(n, of_text(test, false), first) }
        }
    }
}

fn both(a: Expr, b: Expr) -> Expr {
    if let Expr::Always(true) = a { b } else { Expr::All(vec![a, b]) }
}

fn key(path: &[std::rc::Rc<str>]) -> KeySpec {
    KeySpec::Path(Path(path.iter().map(|k| Seg::Key((**k).into())).collect()))
}

fn there(path: &[std::rc::Rc<str>]) -> Expr {
    Expr::Test { key: key(path), test: Predicate::Present, negated: false }
}

/// The test of a path; `missing` is what it says where there is none.
fn of_text(test: &Test, missing: bool) -> Expr {
    let one = |test_of: Predicate, negated| Expr::Test { key: key(&test.path), test: test_of, negated };
    let part = |op, fold, text: &str| match text.is_empty() {
        // Every text has it.
        true => None,
        false => Some(Predicate::Text { op, fold, text: text.into() }),
    };
    let how = match &test.how {
        How::In(set) => {
            let texts: Vec<Scalar> =
                set.iter().filter(|s| !s.is_empty()).map(|s| Scalar::Str(Arc::from(&**s))).collect();
            Some(Predicate::In(Members::of(texts)))
        }
        How::StartsWith(text) => part(TextOp::StartsWith, false, text),
        How::EndsWith(text) => part(TextOp::EndsWith, false, text),
        How::Contains(text) => part(TextOp::Contains, false, text),
        How::Lower(Affix::Whole, text) if text.is_empty() => Some(Predicate::In(Members::default())),
        How::Lower(affix, text) => {
            let op = match affix {
                Affix::Whole => TextOp::Equals,
                Affix::Start => TextOp::StartsWith,
                Affix::End => TextOp::EndsWith,
                Affix::Anywhere => TextOp::Contains,
            };
            part(op, true, text)
        }
        How::Matches(expression) => match Regex::new(expression.0.as_str()) {
            Ok(regex) => Some(Predicate::Matches(regex)),
            Err(_) => return if missing { Expr::Always(true) } else { there(&test.path) },
        },
        How::Longer(bytes) => Some(Predicate::Longer(*bytes)),
    };
    let no_text = || one(Predicate::NoText { missing }, false);
    let there = || there(&test.path);
    match (how, test.negated) {
        (Some(Predicate::In(m)), false) if m.strings.is_empty() => no_text(),
        (Some(test), false) => Expr::Any(vec![one(test, false), no_text()]),
        (Some(Predicate::In(m)), true) if m.strings.is_empty() => {
            if missing {
                Expr::Always(true)
            } else {
                there()
            }
        }
        // A list of which an element is in the set is no text, and an empty text may be none.
        (Some(test), true) if !missing => Expr::Any(vec![Expr::All(vec![there(), one(test, true)]), no_text()]),
        (Some(test @ (Predicate::In(_) | Predicate::Matches(_))), true) => Expr::Any(vec![one(test, true), no_text()]),
        (Some(test), true) => one(test, true),
        (None, true) => no_text(),
        (None, false) => {
            if missing {
                Expr::Always(true)
            } else {
                there()
            }
        }
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
        Condition::text(&path, how, negated, true)
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
