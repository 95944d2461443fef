//! Conditions of small rules, and that none is false where the rule says anything but `False`.
use std::rc::Rc;

use serde_json::{Map, Value as Json, json};

use crate::value::Value;
use crate::{Compiled, Condition, DataModel, Event, How, Library, Mapping, Outcome, Setting, Source, Test, compile};

const HELPERS: &str = "
from functools import reduce
from collections.abc import Mapping
def deep_get(dictionary, *keys, default=None):
    '''What stands at some keys.'''
    out = reduce(
        lambda d, key: d.get(key, default) if isinstance(d, Mapping) else default, keys, dictionary
    )
    if out is None:
        return default
    return out
def other_get(dictionary, *keys, default=None):
    out = reduce(lambda d, key: d.get(key) if isinstance(d, Mapping) else default, keys, dictionary)
    if out is None:
        return default
    return out
def regions():
    return ['a', 'b']
def is_ip(text):
    try:
        ip_address(text)
        return True
    except ValueError:
        return False
from ipaddress import ip_address
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
def actor(event):
    sort = deep_get(event, 'user', 'type')
    if sort == 'Root':
        who = deep_get(event, 'user', 'name', default=deep_get(event, 'user', 'id', default='x'))
    elif sort in ('a', 'b'):
        who = deep_get(event, 'user', 'name', default=f'Unknown{sort}')
    elif sort in ('De', 'Delete'):
        who = deep_get(event, 'user', 'from', 'name', default=f'Unknown{sort}')
        if who.startswith('Sto'):
            who = deep_get(event, 'name', default=f'Unknown{sort}').split('t')[1]
    elif sort == 'Start':
        who = deep_get(event, 'kind', default=f'Unknown{sort}')
    elif sort in ('x', 'y'):
        who = event.get('name', f'Unknown{sort}')
    elif event.get('kind') == 'x':
        who = deep_get(event, 'user', 'by', default='UnknownService')
    else:
        who = 'nobody'
    return who
";

fn rule(body: &str) -> Compiled {
    let source =
        |name: &str, text: &str| Source { name: name.into(), file: format!("{name}.py").into(), text: text.into() };
    let library = Library::new([source("helpers", HELPERS)]);
    let text = format!(
        "import helpers, ipaddress, re\nfrom collections.abc import Mapping\nfrom helpers import NAMES, deep_get, is_ip, kind, ok, other_get, regions\nSTART = re.compile('^(St|De)')\nSET = {{'a', 'b'}}\nLIST = ['a', 1, None]\nSTATE = ''\n{body}"
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
    let source = Source { name: "model".into(), file: "model.py".into(), text: format!("{HELPERS}{MODEL}").into() };
    let module = Library::new([]).load(&source).unwrap();
    let mappings = [
        ("actor", Mapping::Method("actor".into())),
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
        Condition::Text(Test { path, how, negated, absent, inside }) => {
            let how = match how {
                How::In(set) => format!("in [{}]", set.iter().map(|s| &**s).collect::<Vec<_>>().join(",")),
                How::StartsWith(s) => format!("^ {s}"),
                How::EndsWith(s) => format!("$ {s}"),
                How::Contains(s) => format!("~ {s}"),
                How::Lower(affix, s) => format!("lower {affix:?} {s}"),
                How::Matches(e) => format!("/{}/", e.0),
                How::Longer(n) => format!("> {n}"),
            };
            let path: Vec<&str> = path.iter().map(|s| &**s).collect();
            // `?`: also of an event without the first key; `*`: where no later key is found.
            let absent = match (*absent, *inside || path.len() == 1) {
                (true, true) => "?",
                (true, false) => "?!",
                (false, true) if path.len() > 1 => "*",
                (false, _) => "",
            };
            format!("{}{}{absent} {how}", if *negated { "not " } else { "" }, path.join("."))
        }
    }
}

/// Bodies of rules, and the condition of each.
const RULES: &[(&str, &str)] = &[
    ("    return event.get('name') == 'a'", "name in [a]"),
    ("    return event['name'] == 'a'", "name? in [a]"),
    ("    return event.get('name') in SET", "name in [a,b]"),
    ("    return event.get('name') in LIST", "name? in [a]"),
    (
        "    return event.get('name') in NAMES and ok(event)",
        "(name in [Start,Stop] & errorCode? in [] & errorMessage? in [])",
    ),
    ("    if event.get('name') != 'a':\n        return False\n    return unknown(event)", "name in [a]"),
    (
        "    if event.get('name') != 'a' or event.get('kind') not in ('x', 'y'):\n        return False\n    return len(event) > 1",
        "(name in [a] & kind in [x,y])",
    ),
    (
        "    if not ok(event):\n        return False\n    return event.get('name') == 'a'",
        "(errorCode? in [] & errorMessage? in [] & name in [a])",
    ),
    (
        "    return ok(event) and event.get('name').startswith('De')",
        "(errorCode? in [] & errorMessage? in [] & name? ^ De)",
    ),
    (
        "    name = event.get('name', '')\n    if name.endswith(('x', 'y')):\n        return True\n    return False",
        "(name $ x | name $ y)",
    ),
    (
        "    return all([event.get('name') == 'a', not event.get('kind'), kind(event) == 'Root'])",
        "(name in [a] & kind? in [] & user.type in [Root])",
    ),
    ("    return any(event.get('name', '').startswith(n) for n in NAMES)", "(name ^ Start | name ^ Stop)"),
    ("    return event.get('user', {}).get('type') == 'Root'", "user.type* in [Root]"),
    ("    return 'x' in event.get('name', '')", "name ~ x"),
    (
        "    if (name := event.get('name')) == 'a':\n        return unknown(name)\n    elif name == 'b':\n        return True\n    return False",
        "name in [a,b]",
    ),
    ("    wanted = ['a']\n    wanted.append(event.get('kind'))\n    return event.get('name') in wanted", "true"),
    ("    global STATE\n    STATE = event.get('name')\n    return STATE == 'a'", "true"),
    ("    for x in [1]:\n        if event.get('name') == 'a':\n            return True\n    return False", "true"),
    ("    return event.get('name')", "true"),
    ("    return not event.get('name')", "name? in []"),
    ("    return bool(event.get('name') == 'a')", "name in [a]"),
    ("    if event.get('name') == 'a':\n        return False\n    return True", "not name? in [a]"),
    ("    if event.udm('x') and event.get('name') == 'a':\n        return True\n    return False", "true"),
    (
        "    is_a = event.get('name') == 'a'\n    return is_a and kind(event) == 'Root'",
        "(name in [a] & user.type in [Root])",
    ),
    ("    return event.udm('what') == 'login'", "(name in [a] & kind in [x])"),
    (
        "    if event.udm('what') != 'logout':\n        return False\n    return unknown(event)",
        "((not name? in [a] | not kind? in [x]) & name in [b])",
    ),
    ("    return event.udm('type', default='x') == 'Root'", "user.type in [Root]"),
    ("    return event.udm('what', default='login') == 'login'", "(name in [a] & kind in [x])"),
    ("    return event.udm('who') == 'ann'", "true"),
    ("    return event.udm('unmapped') == 'ann'", "true"),
    ("    f = lambda: event\n    return event.get('name') == 'a'", "true"),
    (
        "    return helpers.ok(event) and event.get('name') in helpers.NAMES",
        "(errorCode? in [] & errorMessage? in [] & name in [Start,Stop])",
    ),
    (
        "    found = {'a': lambda e: e.get('x'), 'b': ok}.get(event.get('name'))\n    if not found:\n        return False\n    return found(event)",
        "name in [a,b]",
    ),
    ("    kinds = {'a': 1}\n    kinds['b'] = 2\n    return event.get('name') in kinds", "true"),
    ("    kinds = {'a': 1}\n    kinds.update({'b': 2})\n    return event.get('name') in kinds", "true"),
    ("    return helpers.COUNT == 1 or event.get('name') == 'a'", "name in [a]"),
    ("    pass", "true"),
    ("    return False", "false"),
    ("    if event.get('name') == 'a':\n        raise ValueError()\n    return False", "name in [a]"),
    ("    return {'name': 'a'}.get('name') == event.get('name')", "true"),
    // The case of letters.
    ("    return event.get('name', '').lower() == 'start'", "(name lower Whole start | name > 16384)"),
    (
        "    return event.get('name', '').lower().startswith(('st', 'de'))",
        "(name lower Start st | name lower Start de | name > 16384)",
    ),
    ("    return 'ele' in event.get('name', 'x').lower()", "(name lower Anywhere ele | name > 16384)"),
    (
        "    return event.get('name', '').upper() in ('START', 'STOP')",
        "(name lower Whole start | name lower Whole stop | name /[^\\x00-\\x7f]/ | name > 16384)",
    ),
    (
        "    return event.get('name', '').upper() != 'ROOT'",
        "(not name? lower Whole root | name /[^\\x00-\\x7f]/ | name > 16384)",
    ),
    ("    return event.get('name', '').lower() == 'Start'", "true"),
    (
        "    return event.get('name').lower() == 'start' if event.get('name') else False",
        "(not name in [] & (name? lower Whole start | name > 16384))",
    ),
    // Regular expressions.
    ("    return bool(re.search('e.*e', event.get('name', '')))", "(name /e.*e/ | name > 16384)"),
    ("    return re.match('e', event.get('name', '')) is not None", "(name /\\A(?:e)/ | name > 16384)"),
    (
        "    if not START.search(event.get('name', '')):\n        return False\n    return unknown(event)",
        "(name /^(St|De)/ | name > 16384)",
    ),
    ("    return not re.fullmatch('S[a-z]+$', event.get('name', ''))", "true"),
    (
        "    return bool(re.search(r'\\bRoot', event.get('name', '')))",
        "(name /\\bRoot/ | name > 16384 | name /[^\\x00-\\x7f]/)",
    ),
    ("    return bool(re.search('(?=x)', event.get('name', '')))", "true"),
    // Exceptions.
    (
        "    try:\n        ipaddress.ip_address(event.get('name'))\n    except ValueError:\n        return False\n    return event.get('kind') == 'x'",
        "(kind in [x] | name ~ %)",
    ),
    (
        "    try:\n        found = ipaddress.IPv4Address(event.get('name'))\n    except ipaddress.AddressValueError:\n        return event.get('kind') == 'x'\n    return event.get('kind') == 'y'",
        "(kind in [x,y] | name ~ %)",
    ),
    (
        "    try:\n        ipaddress.ip_address(event.get('name'))\n    except KeyError:\n        return False\n    return False",
        "true",
    ),
    (
        "    try:\n        return event.get('name')['x'] == 1\n    except ValueError:\n        return False",
        "name.x? in []",
    ),
    ("    return event.get('kind') == 'x' and is_ip(event.get('name'))", "kind in [x]"),
    // What is missing.
    ("    return event.get('name', 'a') == 'a'", "name? in [a]"),
    ("    return event.get('name') is None and event.get('kind') == 'x'", "(name? in [] & kind in [x])"),
    ("    if event.get('kind') is None:\n        return False\n    return unknown(event)", "not kind in []"),
    (
        "    return event.get('user') is not None and event.get('user').get('type') == 'x'",
        "(not user in [] & user.type? in [x])",
    ),
    ("    return event.deep_get('user', 'type') is not None", "not user.type in []"),
    // Helpers.
    ("    return deep_get(event, 'user', 'type') == 'Root'", "user.type in [Root]"),
    ("    return deep_get(event, 'user', 'type', default='Root') == 'Root'", "user.type? in [Root]"),
    ("    return deep_get(event.get('user', {}), 'type', default='') == 'Root'", "user.type in [Root]"),
    ("    return other_get(event, 'user', 'type') == 'Root'", "true"),
    ("    return any(event.get('name') == 'x' + region for region in regions())", "name in [xa,xb]"),
    (
        "    name = event.get('name')\n    if any(name == 'x' + region for region in regions()) and event.get('kind'):\n        return False\n    return name == 'xa'",
        "((not name? in [xa,xb] | kind? in []) & name in [xa])",
    ),
    (
        "    if event.get('kind') and unknown(event):\n        return True\n    return event.get('name') == 'a'",
        "(not kind in [] | name in [a])",
    ),
    (
        "    if isinstance(STATE, Mapping):\n        return True\n    return STATE == '' and event.get('name') == 'a'\ndef other():\n    global STATE\n    STATE = 'x'",
        "name in [a]",
    ),
    ("    return (event.get('user') or {}).get('type') == 'Root'", "true"),
    ("    return event.deep_get('user', 'type', default='').startswith('R')", "user.type ^ R"),
    ("    return event.deep_get('user', 'type') in SET", "user.type in [a,b]"),
    (
        "    return deep_get(event, 'user', 'type', default=f\"{event.get('name')}!\").startswith('R')",
        "(user.type? ^ R | name > 16384)",
    ),
    // What is joined.
    (
        "    for name in event.deep_get('p_enrichment', default={}).keys():\n        if name.endswith('x'):\n            return True\n    return False",
        "not p_enrichment in []",
    ),
    (
        "    if event.deep_get('p_enrichment', 'x'):\n        return unknown(event)\n    return event.get('name') == 'a'",
        "(not p_enrichment.x in [] | name in [a])",
    ),
    // Other expressions.
    ("    return event.get('name') == event.get('kind') == 'x'", "(kind in [x] | name in [])"),
    (
        "    return (event.get('name') if event.get('kind') else 'a') == 'a'",
        "((not kind in [] & name in [a]) | kind? in [])",
    ),
    (
        "    for name in NAMES:\n        if name == event.get('name'):\n            return False\n    return event.get('kind') == 'x'",
        "(not name? in [Start,Stop] & kind in [x])",
    ),
    (
        "    for name in NAMES:\n        if name == event.get('name'):\n            continue\n    return event.get('kind') == 'x'",
        "(name in [Start,Stop] | kind in [x])",
    ),
    (
        "    for x in event.get('kind', []):\n        return unknown(x)\n    return event.get('name') == 'a'",
        "(not kind in [] | name in [a])",
    ),
    (
        "    who = f\"{event.get('name', '')}:x\"\n    return event.get('kind') == 'x' and len(who) > 1",
        "(kind in [x] | name > 16384)",
    ),
    ("    return isinstance(event.get('name'), str) and event.get('kind') == 'x'", "kind in [x]"),
    ("    return isinstance(event.get('user'), Mapping) and event.get('kind') == 'x'", "(user in [] & kind in [x])"),
    ("    return str(event.get('name')) == 'a'", "name? in [a]"),
    (
        "    return event.get('name', '').split('t')[0] == 'S' and event.get('kind') == 'x'",
        "(kind in [x] | name > 16384)",
    ),
    ("    return event.get('kind') == 'x' and event.get('name', '').split('t')[1] == 'a'", "kind in [x]"),
    (
        "    who = event.get('name', '')\n    if who.startswith('S'):\n        who = who.split('t')[1]\n    return who in LIST and event.get('kind') == 'x'",
        "(((name ^ S | name in [a]) & kind in [x]) | name in [] | (name ^ S & (name > 16384 | not name? ~ t)))",
    ),
    (
        "    if event.get('kind') == 'x':\n        who = event.get('name', 'y')\n        if who.startswith('S'):\n            who = who.split('t')[-2]\n    else:\n        who = 'b'\n    return who == 'xa' and event.get('errorCode') == 'a'",
        "(kind in [x] & (((name ^ S | name in [xa]) & errorCode in [a]) | name in [] | (name ^ S & (name > 16384 | not name? ~ t))))",
    ),
    ("    parts = event.get('name', '').split('t')\n    parts.clear()\n    return parts[0] == 'a'", "true"),
    ("    return event.get('name', '').split('t')[2] == 'a'", "true"),
    (
        "    who = event.udm('actor')\n    if any(who == 'x' + region for region in regions()) and event.get('kind') == event.get('name') == 'x':\n        return False\n    return event.get('errorCode') == 'a' and event.deep_get('user', 'at') == 'b'",
        "(((user.type in [Root,a,b] | (user.type in [De,Delete] & ((not user.type? in [Root,a,b] & (user.from.name? ^ Sto | not user.from.name? in [xa,xb])) | user.from.name? ^ Sto | user.from.name? in [xa,xb])) | (not user.type? in [De,Delete,Root,a,b] & user.type in [Start]) | (not user.type? in [De,Delete,Root,Start,a,b] & user.type in [x,y]) | (not user.type? in [De,Delete,Root,Start,a,b,x,y] & ((kind in [x] & not user.by? in [xa,xb]) | not kind? in [x] | user.by in [xa,xb]))) & errorCode in [a] & user.at in [b]) | (user.type > 16384 & ((not user.type? in [Root] & user.type in [a,b]) | (not user.type? in [Root,a,b] & user.type in [De,Delete]) | (not user.type? in [De,Delete,Root,a,b] & user.type in [Start]) | (not user.type? in [De,Delete,Root,Start,a,b] & user.type in [x,y]))) | (not user.type? in [Root,a,b] & user.type in [De,Delete] & (user.from.name in [] | (user.from.name? ^ Sto & (user.type > 16384 | name > 16384 | not name? ~ t)))) | (((user.name? in [xa,xb] & user.type in [Root,a,b]) | (not user.type? in [Root,a,b] & user.type in [De,Delete] & (user.from.name? ^ Sto | user.from.name? in [xa,xb])) | (not user.type? in [De,Delete,Root,a,b] & user.type in [Start] & kind? in [xa,xb]) | (not user.type? in [De,Delete,Root,Start,a,b] & user.type in [x,y] & name? in [xa,xb]) | (not user.type? in [De,Delete,Root,Start,a,b,x,y] & kind in [x] & user.by in [xa,xb])) & (kind in [] | name in [])))",
    ),
];

#[test]
fn conditions_of_small_rules() {
    let got = |body| shown(&rule(&format!("def rule(event):\n{body}\n")).filter(Some(&model())));
    let wrong: Vec<_> = RULES.iter().map(|(body, want)| (got(body), want, body)).filter(|(g, w, _)| g != *w).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Values that a field may have, in no order of likelihood.
fn values() -> Vec<Option<Json>> {
    let texts = [
        "a", "b", "Start", "Stop", "Delete", "De", "x", "y", "bx", "", "Root", "A", "START", "sTOP", "Straße", "ſtop",
        "xa", "1.2.3.4", "::1%x", "Root\n", "éRoot", "DELETE",
    ]
    .map(|s| Some(json!(s)));
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
                if (i + j) % 5 == 0 {
                    map.insert("p_enrichment".into(), json!({ "x": { "user": kind } }));
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
