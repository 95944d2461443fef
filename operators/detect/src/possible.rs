//! Whether conditions can hold together at all.
//!
//! [`impossible`] says yes only where no event whatever fulfils them: of every value it keeps what conditions on it leave
//! over (kinds of values; the one value that an equality allows; an order; beginnings and ends), and looks for a value with
//! nothing left. What it does not understand may hold. So a finding is always right, and a contradiction may go unseen.
use crate::expr::Expr;
use crate::key::KeySpec;
use crate::number::Num;
use crate::predicate::{OrderOp, Predicate, Scalar, TextOp, fold};
use serde_json::{Value as J, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Most branches of alternatives that are tried for one question; beyond it everything may hold.
pub const BRANCHES_MAX: usize = 10_000;

/// Kinds of values, as bits.
pub mod kinds {
    /// The path does not exist.
    pub const MISSING: u8 = 1;
    /// `null`.
    pub const NULL: u8 = 2;
    /// A text.
    pub const TEXT: u8 = 4;
    /// A number.
    pub const NUMBER: u8 = 8;
    /// `true` or `false`.
    pub const BOOL: u8 = 16;
    /// A list.
    pub const LIST: u8 = 32;
    /// An object.
    pub const OBJECT: u8 = 64;
    /// Whatever there is.
    pub const ANY: u8 = 127;
}
use kinds::*;

/// Which kinds of values a key of the event can have, by what is known of its log type.
pub type Kinds<'a> = &'a dyn Fn(&KeySpec) -> u8;

/// Conditions in the form in which they are looked at: negations pushed down to the single ones.
enum Form<'a> {
    Known(bool),
    Test(&'a KeySpec, &'a Predicate, bool),
    All(Vec<Form<'a>>),
    Any(Vec<Form<'a>>),
}

fn forms(v: &[Expr], wanted: bool) -> Vec<Form<'_>> {
    v.iter().map(|e| form(e, wanted)).collect()
}

fn form(e: &Expr, wanted: bool) -> Form<'_> {
    match e {
        Expr::Always(b) => Form::Known(*b == wanted),
        Expr::Test { key, test, negated } => Form::Test(key, test, negated != &wanted),
        Expr::All(v) | Expr::None(v) | Expr::Any(v) => {
            // All(v); none: all of the opposites; any: alternatives. What is not wanted is the other way round.
            let (conjunction, of) = match e {
                Expr::All(_) => (wanted, wanted),
                Expr::None(_) => (wanted, !wanted),
                _ => (!wanted, wanted),
            };
            let parts = forms(v, of);
            if conjunction { Form::All(parts) } else { Form::Any(parts) }
        }
        Expr::OnlyOne(v) if wanted => Form::Any(forms(v, true)),
        Expr::OnlyOne(_) | Expr::Compare { .. } | Expr::Elements { .. } => Form::Known(true),
        Expr::Joined | Expr::Known { .. } => Form::Known(true),
    }
}

/// True if no event fulfils all of `holds` and none of the conjunctions in `fails`.
pub fn impossible<'a>(
    holds: impl IntoIterator<Item = &'a Expr>,
    fails: impl IntoIterator<Item = &'a [Expr]>,
    kinds: Kinds,
) -> bool {
    let mut all: Vec<Form> = holds.into_iter().map(|e| form(e, true)).collect();
    all.extend(fails.into_iter().map(|c| Form::Any(forms(c, false))));
    let mut budget = BRANCHES_MAX;
    let all: Vec<&Form> = all.iter().collect();
    !may_hold(all, Vec::new(), kinds, &mut budget)
}

/// One single condition that is true.
type Fact<'a> = (&'a KeySpec, &'a Predicate, bool);

fn may_hold<'a>(mut open: Vec<&'a Form<'a>>, mut facts: Vec<Fact<'a>>, kinds: Kinds, budget: &mut usize) -> bool {
    let mut alternatives: Vec<&'a [Form<'a>]> = Vec::new();
    while let Some(f) = open.pop() {
        match f {
            Form::Known(true) => {}
            Form::Known(false) => return false,
            Form::Test(key, test, yes) => facts.push((key, test, *yes)),
            Form::All(v) => open.extend(v),
            Form::Any(v) => alternatives.push(v),
        }
    }
    let mut by_key: BTreeMap<&KeySpec, Vec<(&Predicate, bool)>> = BTreeMap::new();
    facts.iter().for_each(|(key, test, yes)| by_key.entry(key).or_default().push((test, *yes)));
    if by_key.iter().any(|(key, tests)| !value_exists(tests, kinds(key))) {
        return false;
    }
    let Some(branches) = alternatives.pop() else { return true };
    branches.iter().any(|branch| {
        if *budget == 0 {
            return true;
        }
        *budget -= 1;
        // The other alternatives stand beside this branch as they are.
        let rest: Vec<Form> = alternatives.iter().map(|v| Form::Any(v.iter().map(copy).collect())).collect();
        let branch = [branch].into_iter().chain(&rest).collect();
        may_hold(branch, facts.clone(), kinds, budget)
    })
}

fn copy<'a>(f: &Form<'a>) -> Form<'a> {
    match f {
        Form::Known(b) => Form::Known(*b),
        Form::Test(k, t, y) => Form::Test(k, t, *y),
        Form::All(v) => Form::All(v.iter().map(copy).collect()),
        Form::Any(v) => Form::Any(v.iter().map(copy).collect()),
    }
}

/// True unless no value of these kinds fulfils all tests.
fn value_exists(tests: &[(&Predicate, bool)], mut left: u8) -> bool {
    for (test, yes) in tests {
        left &= kinds_of(test, *yes);
    }
    // Few enough values of a kind to try them all.
    let fits = |v: Option<&J>| tests.iter().all(|(t, yes)| t.on_json(v) == *yes);
    for (kind, values) in
        [(MISSING, vec![None]), (NULL, vec![Some(J::Null)]), (BOOL, vec![Some(json!(false)), Some(json!(true))])]
    {
        if left & kind != 0 && !values.iter().any(|v| fits(v.as_ref())) {
            left &= !kind;
        }
    }
    let positive = || tests.iter().filter(|(_, yes)| *yes).map(|(t, _)| *t);
    if left & TEXT != 0 {
        let named = positive().find_map(texts);
        let gone = match named {
            Some(all) => !all.into_iter().any(|t| fits(Some(&J::String(t)))),
            None => no_text(&positive().collect::<Vec<_>>()),
        };
        left &= if gone { !TEXT } else { ANY };
    }
    if left & NUMBER != 0 && no_number(&positive().collect::<Vec<_>>()) {
        left &= !NUMBER;
    }
    left != 0
}

/// Kinds of values for which a test can have this outcome.
fn kinds_of(test: &Predicate, yes: bool) -> u8 {
    use Predicate::*;
    let scalar = |s: &Scalar| match s {
        Scalar::Str(_) => TEXT,
        Scalar::Num(_) => NUMBER,
        Scalar::Bool(_) => BOOL,
    };
    match (test, yes) {
        (Exists, true) => ANY & !MISSING,
        (Exists, false) => MISSING,
        (Null, true) => MISSING | NULL,
        (Null, false) => ANY & !(MISSING | NULL),
        (Empty, true) => MISSING | NULL | TEXT | LIST | OBJECT,
        (Empty, false) => ANY & !(MISSING | NULL),
        (NoText { missing: true }, true) => ANY,
        (NoText { missing: false }, true) | (Present, true) => ANY & !(MISSING | NULL),
        (Present, false) => MISSING | NULL,
        (NoText { missing: true }, false) => TEXT,
        (NoText { missing: false }, false) => TEXT | MISSING | NULL,
        (Longer(_), true) => TEXT,
        (_, false) => ANY,
        (Equals(s) | Order(_, s), true) => scalar(s),
        (Text { .. } | Ip(_) | InCidr(_) | Matches(_), true) => TEXT,
        (Contains { value: Scalar::Str(_), .. }, true) => TEXT | LIST,
        (Contains { .. }, true) => LIST,
        (CidrContains(_), true) => TEXT | LIST,
        (In(m), true) => {
            let of = |there: bool, kind: u8| if there { kind } else { 0 };
            LIST | of(!m.strings.is_empty(), TEXT) | of(!m.numbers.is_empty(), NUMBER) | of(m.bools != [false; 2], BOOL)
        }
        (Like(_), true) => ANY & !(MISSING | NULL),
    }
}

/// The texts that a condition allows, if it names them.
fn texts(test: &Predicate) -> Option<Vec<String>> {
    match test {
        Predicate::Equals(Scalar::Str(s)) => Some(vec![s.to_string()]),
        Predicate::In(m) => Some(m.strings.iter().map(|s| s.to_string()).collect()),
        _ => None,
    }
}

/// True if no text has all these beginnings, ends and orders. Where one of two texts is compared without regard to case,
/// both are.
fn no_text(tests: &[&Predicate]) -> bool {
    let parts = |which: TextOp| {
        tests.iter().filter_map(move |t| match t {
            Predicate::Text { op, fold: f, text } if *op == which => Some((*f, &**text)),
            _ => None,
        })
    };
    // Beyond ASCII the lower case of a part is not always a part of the lower case.
    let plain = |a: (bool, &str), b: (bool, &str)| !(a.0 || b.0) || a.1.is_ascii() && b.1.is_ascii();
    let apart = |a: (bool, &str), b: (bool, &str), holds: fn(&str, &str) -> bool| {
        let (x, y) = if a.0 || b.0 { (fold(a.1), fold(b.1)) } else { (a.1.into(), b.1.into()) };
        plain(a, b) && !holds(&x, &y) && !holds(&y, &x)
    };
    let clash = |op: TextOp, holds: fn(&str, &str) -> bool| {
        let all: Vec<_> = parts(op).collect();
        all.iter().enumerate().any(|(i, a)| all[i + 1..].iter().any(|b| apart(*a, *b, holds)))
    };
    let whole = parts(TextOp::Equals).any(|e| {
        let differs = |(f, t): (bool, &str), holds: fn(&str, &str) -> bool| {
            let (x, y) = if e.0 || f { (fold(e.1), fold(t)) } else { (e.1.into(), t.into()) };
            plain(e, (f, t)) && !holds(&x, &y)
        };
        parts(TextOp::Equals).any(|t| differs(t, |a, b| a == b))
            || parts(TextOp::StartsWith).any(|t| differs(t, |a, b| a.starts_with(b)))
            || parts(TextOp::EndsWith).any(|t| differs(t, |a, b| a.ends_with(b)))
    });
    let bounds = tests.iter().filter_map(|t| match t {
        Predicate::Order(op, Scalar::Str(s)) => Some((*op, &**s)),
        _ => None,
    });
    whole
        || clash(TextOp::StartsWith, |a, b| a.starts_with(b))
        || clash(TextOp::EndsWith, |a, b| a.ends_with(b))
        || nothing_between(&bounds.collect::<Vec<_>>(), |a, b| Some(a.cmp(b)))
}

/// True if no number fulfils all equalities and orders.
fn no_number(tests: &[&Predicate]) -> bool {
    let named: Option<Vec<Num>> = tests.iter().find_map(|t| match t {
        Predicate::Equals(Scalar::Num(n)) => Some(vec![*n]),
        Predicate::In(m) => Some(m.numbers.clone()),
        _ => None,
    });
    if let Some(all) = named {
        return !all.iter().any(|n| tests.iter().all(|t| t.on_num(*n)));
    }
    let bounds = tests.iter().filter_map(|t| match t {
        Predicate::Order(op, Scalar::Num(n)) => Some((*op, *n)),
        _ => None,
    });
    nothing_between(&bounds.collect::<Vec<_>>(), |a, b| a.compare(*b))
}

/// True if a lower bound lies above an upper one, or meets it where one of them excludes it.
fn nothing_between<T>(bounds: &[(OrderOp, T)], compare: impl Fn(&T, &T) -> Option<Ordering>) -> bool {
    let lower = |op: OrderOp| matches!(op, OrderOp::Greater | OrderOp::GreaterOrEqual);
    let open = |op: OrderOp| matches!(op, OrderOp::Greater | OrderOp::Less);
    bounds.iter().filter(|(op, _)| lower(*op)).any(|(low, a)| {
        bounds.iter().filter(|(op, _)| !lower(*op)).any(|(high, b)| match compare(a, b) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => open(*low) || open(*high),
            _ => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;
    use crate::expr::parse_exprs;
    use crate::meta::yaml;
    use proptest::prelude::*;

    fn exprs(text: &str) -> Vec<Expr> {
        let mut found = Vec::new();
        let out = parse_exprs(&yaml::parse(text).unwrap(), "Detection", &mut found);
        assert_eq!(found, [], "{text}");
        out
    }

    fn never(text: &str) -> bool {
        impossible(&exprs(text), [], &|_| ANY)
    }

    #[test]
    fn contradictions_are_seen() {
        for text in [
            "- {Key: a, Condition: Equals, Value: x}\n- {Key: a, Condition: Equals, Value: y}",
            "- {Key: a, Condition: Equals, Value: x}\n- {Key: a, Condition: DoesNotEqual, Value: x}",
            "- {Key: a, Condition: Equals, Value: 5}\n- {Key: a, Condition: StartsWith, Value: x}",
            "- {Key: a, Condition: IsIn, Values: [x, y]}\n- {Key: a, Condition: EndsWith, Value: z}\n- {Key: a, Condition: IsIPAddress}",
            "- {Key: a, Condition: IsGreaterThan, Value: 5}\n- {Key: a, Condition: IsLessThanOrEquals, Value: 5}",
            "- {Key: a, Condition: IsNull}\n- {Key: a, Condition: Contains, Value: x}",
            "- {Key: a, Condition: DoesNotExist}\n- {Key: a, Condition: IsNotNull}",
            "- {Key: a, Condition: StartsWith, Value: abc}\n- {Key: a, Condition: StartsWith, Value: abd}",
            "- {Key: a, Condition: IEndsWith, Value: X}\n- {Key: a, Condition: EndsWith, Value: y}",
            "- {Condition: AlwaysFalse}",
            "- {Key: a, Condition: Equals, Value: x}\n- Any:\n    - {Key: a, Condition: Equals, Value: y}\n    - {Key: a, Condition: IsNull}",
            "- None:\n    - {Key: a, Condition: Exists}\n- {Key: a, Condition: Equals, Value: x}",
        ] {
            assert!(never(text), "{text}");
        }
    }

    #[test]
    fn what_can_hold_is_left_alone() {
        for text in [
            "- {Key: a, Condition: Equals, Value: x}\n- {Key: b, Condition: Equals, Value: y}",
            "- {Key: a, Condition: DoesNotEqual, Value: x}\n- {Key: a, Condition: DoesNotEqual, Value: y}",
            "- {Key: a, Condition: StartsWith, Value: ab}\n- {Key: a, Condition: StartsWith, Value: abc}",
            "- {Key: a, Condition: IStartsWith, Value: AB}\n- {Key: a, Condition: StartsWith, Value: Abc}",
            "- {Key: a, Condition: IsGreaterThan, Value: 5}\n- {Key: a, Condition: IsLessThan, Value: 6}",
            "- {Key: a, Condition: IsGreaterThanOrEquals, Value: 5}\n- {Key: a, Condition: IsLessThanOrEquals, Value: 5}",
            // A list may hold both.
            "- {Key: a, Condition: IsIn, Values: [x]}\n- {Key: a, Condition: IsIn, Values: [y]}",
            "- {Key: a, Condition: Contains, Value: x}\n- {Key: a, Condition: Contains, Value: 5}",
            "- {Key: a, Condition: IsNull}\n- {Key: a, Condition: IsNullOrEmpty}",
        ] {
            assert!(!never(text), "{text}");
        }
    }

    #[test]
    fn kinds_of_a_schema_decide_as_well() {
        let number = |text: &str| impossible(&exprs(text), [], &|_| MISSING | NULL | NUMBER);
        assert!(number("- {Key: n, Condition: Equals, Value: '5'}"));
        assert!(number("- {Key: n, Condition: IsIn, Values: [a, b]}"));
        assert!(!number("- {Key: n, Condition: Equals, Value: 5}"));
        assert!(!number("- {Key: n, Condition: DoesNotEqual, Value: '5'}"));
    }

    #[test]
    fn what_was_taken_before_leaves_nothing() {
        let (rule, first) =
            (exprs("- {Key: a, Condition: IsIn, Values: [x, 1]}"), exprs("- {Key: a, Condition: IsNotNull}"));
        let second = exprs("- {Key: a, Condition: Equals, Value: x}");
        let all = || rule.iter().chain(&second);
        assert!(impossible(all(), [&first[..]], &|_| ANY));
        assert!(!impossible(all(), [], &|_| ANY));
    }

    #[test]
    fn branches_are_bounded_and_doubt_holds() {
        let either =
            "- Any:\n    - {Key: NAME, Condition: Equals, Value: x}\n    - {Key: NAME, Condition: Equals, Value: y}\n";
        let many: String = (0..20).map(|i| either.replace("NAME", &format!("k{i}"))).collect();
        let no = "- {Key: a, Condition: Equals, Value: x}\n- {Key: a, Condition: Equals, Value: y}\n";
        assert!(never(&(many + no)), "single conditions are looked at before any branch");
        let hidden = "- Any:\n    - All:\n        - {Key: a, Condition: Equals, Value: x}\n        - {Key: a, Condition: Equals, Value: y}\n";
        let hidden = exprs(hidden);
        let holds = |mut budget: usize| {
            let form = form(&hidden[0], true);
            may_hold(vec![&form], Vec::new(), &|_| ANY, &mut budget)
        };
        assert!(!holds(1), "the one branch is tried and does not hold");
        assert!(holds(0), "what is not tried may hold");
    }

    fn value() -> impl Strategy<Value = Option<J>> {
        prop_oneof![
            Just(None),
            prop::sample::select(vec![
                json!(null),
                json!("x"),
                json!("xy"),
                json!("Y"),
                json!(5),
                json!(true),
                json!(["x"]),
                json!({})
            ])
            .prop_map(Some),
        ]
    }

    fn condition() -> impl Strategy<Value = String> {
        let with_value = prop::sample::select(vec![
            "Equals",
            "DoesNotEqual",
            "StartsWith",
            "DoesNotStartWith",
            "EndsWith",
            "IEquals",
            "IStartsWith",
            "Contains",
            "IsGreaterThan",
            "IsLessThanOrEquals",
        ]);
        let literal = prop::sample::select(vec!["x", "xy", "'Y'", "5", "'5'"]);
        let key = prop::sample::select(vec!["a", "b"]);
        let alone =
            prop::sample::select(vec!["Exists", "DoesNotExist", "IsNull", "IsNotNull", "IsNullOrEmpty", "IsIPAddress"]);
        let leaf = prop_oneof![
            (key.clone(), with_value, literal).prop_map(|(k, c, v)| {
                let v = if c.ends_with("With") || c.starts_with('I') && !c.starts_with("Is") {
                    format!("'{}'", v.trim_matches('\''))
                } else {
                    v.into()
                };
                format!("{{Key: {k}, Condition: {c}, Value: {v}}}")
            }),
            (key, alone).prop_map(|(k, c)| format!("{{Key: {k}, Condition: {c}}}")),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            (prop::sample::select(vec!["All", "Any", "None", "OnlyOne"]), prop::collection::vec(inner, 1..3))
                .prop_map(|(how, v)| format!("{{{how}: [{}]}}", v.join(", ")))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn no_event_fulfils_what_is_impossible(
            all in prop::collection::vec(condition(), 1..5),
            a in value(),
            b in value(),
        ) {
            let e = exprs(&all.iter().map(|c| format!("- {c}\n")).collect::<String>());
            let mut event = serde_json::Map::new();
            a.map(|v| event.insert("a".into(), v));
            b.map(|v| event.insert("b".into(), v));
            if eval::all(&e, &J::Object(event)) {
                prop_assert!(!impossible(&e, [], &|_| ANY), "{:?}", all);
            }
        }
    }
}
