//! Conditions of small rules, and that none is false where the rule says anything but `False`.
use std::rc::Rc;

use serde_json::{Map, Value as Json, json};

use crate::value::Value;
use crate::{Compiled, Condition, DataModel, Event, How, Library, Mapping, Outcome, Setting, Source, Test, compile};

const HELPERS: &str = "
NAMES = ('Start', 'Stop')
def ok(event):
    if event.get('errorCode', '') or event.get('errorMessage', ''):
        return False
    return True
COUNT = 0
def count():
    global COUNT
    COUNT = COUNT + 1
def kind(event):
    return event.deep_get('user', 'type', default='')
";

fn rule(body: &str) -> Compiled {
    let source =
        |name: &str, text: &str| Source { name: name.into(), file: format!("{name}.py").into(), text: text.into() };
    let library = Library::new([source("helpers", HELPERS)]);
    let text = format!(
        "import helpers\nfrom helpers import NAMES, kind, ok\nSET = {{'a', 'b'}}\nLIST = ['a', 1, None]\nSTATE = ''\n{body}"
    );
    compile(&source("rule", &text), &library).unwrap()
}

const MODEL: &str = "
def what(event):
    if event.get('name') == 'a' and event.get('kind') == 'x':
        return 'login'
    if event.get('name') == 'b':
        return 'logout'
    return None
def who(event):
    return event.get('user') or 'nobody'
";

/// A data model with a path and two methods.
fn model() -> DataModel {
    let source = Source { name: "model".into(), file: "model.py".into(), text: MODEL.into() };
    let module = Library::new([]).load(&source).unwrap();
    let mappings = [
        ("type", Mapping::Path("$.user.type".into())),
        ("what", Mapping::Method("what".into())),
        ("who", Mapping::Method("who".into())),
    ];
    DataModel { mappings: mappings.into_iter().map(|(n, m)| (n.into(), m)).collect(), module: Some(module) }
}

/// As a text: `name in [a]`, `not name in [a]`, `&`, `|`.
fn shown(c: &Condition) -> String {
    let list = |list: &[Condition], sign: &str| {
        let parts: Vec<String> = list.iter().map(shown).collect();
        format!("({})", parts.join(sign))
    };
    match c {
        Condition::Always(b) => b.to_string(),
        Condition::All(parts) => list(parts, " & "),
        Condition::Any(parts) => list(parts, " | "),
        Condition::Text(Test { path, how, negated }) => {
            let how = match how {
                How::In(set) => format!("in [{}]", set.iter().map(|s| &**s).collect::<Vec<_>>().join(",")),
                How::StartsWith(s) => format!("^ {s}"),
                How::EndsWith(s) => format!("$ {s}"),
                How::Contains(s) => format!("~ {s}"),
            };
            let path: Vec<&str> = path.iter().map(|s| &**s).collect();
            format!("{}{} {how}", if *negated { "not " } else { "" }, path.join("."))
        }
    }
}

/// Bodies of rules, and the condition of each.
const RULES: &[(&str, &str)] = &[
    ("    return event.get('name') == 'a'", "name in [a]"),
    ("    return event['name'] == 'a'", "name in [a]"),
    ("    return event.get('name') in SET", "name in [a,b]"),
    ("    return event.get('name') in LIST", "name in [a]"),
    (
        "    return event.get('name') in NAMES and ok(event)",
        "(name in [Start,Stop] & errorCode in [] & errorMessage in [])",
    ),
    ("    if event.get('name') != 'a':\n        return False\n    return unknown(event)", "name in [a]"),
    (
        "    if event.get('name') != 'a' or event.get('kind') not in ('x', 'y'):\n        return False\n    return len(event) > 1",
        "(name in [a] & kind in [x,y])",
    ),
    (
        "    if not ok(event):\n        return False\n    return event.get('name') == 'a'",
        "(errorCode in [] & errorMessage in [] & name in [a])",
    ),
    (
        "    return ok(event) and event.get('name').startswith('De')",
        "(errorCode in [] & errorMessage in [] & name ^ De)",
    ),
    (
        "    name = event.get('name', '')\n    if name.endswith(('x', 'y')):\n        return True\n    return False",
        "(name $ x | name $ y)",
    ),
    (
        "    return all([event.get('name') == 'a', not event.get('kind'), kind(event) == 'Root'])",
        "(name in [a] & kind in [] & user.type in [Root])",
    ),
    ("    return any(event.get('name', '').startswith(n) for n in NAMES)", "(name ^ Start | name ^ Stop)"),
    ("    return event.get('user', {}).get('type') == 'Root'", "user.type in [Root]"),
    ("    return 'x' in event.get('name', '')", "name ~ x"),
    (
        "    if (name := event.get('name')) == 'a':\n        return unknown(name)\n    elif name == 'b':\n        return True\n    return False",
        "name in [a,b]",
    ),
    ("    wanted = ['a']\n    wanted.append(event.get('kind'))\n    return event.get('name') in wanted", "true"),
    ("    global STATE\n    STATE = event.get('name')\n    return STATE == 'a'", "true"),
    ("    for x in [1]:\n        if event.get('name') == 'a':\n            return True\n    return False", "true"),
    ("    return event.get('name')", "true"),
    ("    return not event.get('name')", "name in []"),
    ("    return bool(event.get('name') == 'a')", "name in [a]"),
    ("    if event.get('name') == 'a':\n        return False\n    return True", "not name in [a]"),
    ("    if event.udm('x') and event.get('name') == 'a':\n        return True\n    return False", "true"),
    (
        "    is_a = event.get('name') == 'a'\n    return is_a and kind(event) == 'Root'",
        "(name in [a] & user.type in [Root])",
    ),
    ("    return event.udm('what') == 'login'", "(name in [a] & kind in [x])"),
    (
        "    if event.udm('what') != 'logout':\n        return False\n    return unknown(event)",
        "((not name in [a] | not kind in [x]) & name in [b])",
    ),
    ("    return event.udm('type', default='x') == 'Root'", "user.type in [Root]"),
    ("    return event.udm('what', default='login') == 'login'", "(name in [a] & kind in [x])"),
    ("    return event.udm('who') == 'ann'", "true"),
    ("    return event.udm('unmapped') == 'ann'", "true"),
    ("    f = lambda: event\n    return event.get('name') == 'a'", "true"),
    (
        "    return helpers.ok(event) and event.get('name') in helpers.NAMES",
        "(errorCode in [] & errorMessage in [] & name in [Start,Stop])",
    ),
    (
        "    found = {'a': lambda e: e.get('x'), 'b': ok}.get(event.get('name'))\n    if not found:\n        return False\n    return found(event)",
        "name in [a,b]",
    ),
    ("    kinds = {'a': 1}\n    kinds['b'] = 2\n    return event.get('name') in kinds", "true"),
    ("    kinds = {'a': 1}\n    kinds.update({'b': 2})\n    return event.get('name') in kinds", "true"),
    ("    return helpers.COUNT == 1 or event.get('name') == 'a'", "true"),
    ("    pass", "true"),
    ("    return False", "false"),
    ("    if event.get('name') == 'a':\n        raise ValueError()\n    return False", "name in [a]"),
    ("    return {'name': 'a'}.get('name') == event.get('name')", "true"),
];

#[test]
fn conditions_of_small_rules() {
    let got = |body| shown(&rule(&format!("def rule(event):\n{body}\n")).filter(Some(&model())));
    let wrong: Vec<_> = RULES.iter().map(|(body, want)| (got(body), want, body)).filter(|(g, w, _)| g != *w).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Values that a field may have, in no order of likelihood.
fn values() -> Vec<Option<Json>> {
    let texts = ["a", "b", "Start", "Stop", "Delete", "De", "x", "y", "bx", "", "Root", "A"].map(|s| Some(json!(s)));
    let others = [json!(null), json!(1), json!(true), json!(1.5), json!([]), json!(["a"]), json!({}), json!({"a": 1})];
    texts.into_iter().chain(others.into_iter().map(Some)).chain([None]).collect()
}

#[test]
fn no_condition_is_false_where_the_rule_is_not() {
    let values = values();
    let mut filtered = 0;
    let setting = Setting { model: Some(Rc::new(model())), ..Setting::default() };
    for (body, _) in RULES {
        let rule = rule(&format!("def rule(event):\n{body}\n"));
        let condition = rule.filter(Some(&model()));
        for (i, name) in values.iter().enumerate() {
            for (j, kind) in values.iter().enumerate() {
                // Every pair of the two, with the others in turn.
                let (user, error) = (&values[(i + 3 * j) % values.len()], &values[(5 * i + j) % values.len()]);
                let key = if (i + j) % 7 == 0 { "NAME" } else { "name" };
                let fields = [(key, name), ("kind", kind), ("errorCode", error)];
                let mut map: Map<String, Json> =
                    fields.into_iter().filter_map(|(k, v)| Some((k.to_string(), v.clone()?))).collect();
                match (i + j) % 3 {
                    0 => _ = map.insert("user".into(), json!({ "type": user })),
                    1 => _ = user.clone().map(|u| map.insert("user".into(), u)),
                    _ => _ = map.insert("user".into(), json!({ "TYPE": user })),
                }
                let event = Event::new(&map);
                if condition.holds(&event.0) {
                    continue;
                }
                filtered += 1;
                rule.begin();
                let outcome = rule.call("rule", &event, &setting);
                assert!(matches!(outcome, Outcome::Value(Value::Bool(false))), "{body}\n{map:?}\n{outcome:?}");
            }
        }
    }
    assert!(filtered > 4_000, "{filtered}");
}

#[test]
fn large_conditions_are_given_up() {
    let of = |n: usize| {
        let tests: Vec<String> = (0..n).map(|i| format!("event.get('f{i}') == 'a'")).collect();
        rule(&format!("def rule(event):\n    return {}\n", tests.join(" or "))).filter(Some(&model())).size()
    };
    assert_eq!((of(100), of(super::MAX_TESTS), of(super::MAX_TESTS + 1)), (100, super::MAX_TESTS, 0));
}

#[test]
fn long_functions_are_given_up() {
    let of = |n: usize| {
        let lines = "    x = 1\n".repeat(n);
        rule(&format!("def rule(event):\n{lines}    return event.get('name') == 'a'\n")).filter(Some(&model()))
    };
    assert_eq!(of(100).size(), 1);
    assert_eq!(of(super::MAX_WALK as usize), Condition::Always(true));
}
