//! What the engine relies on: limits, reports, resets, constants. What Python means is in [`crate::oracle`].

use std::rc::Rc;

use serde_json::json;

use crate::native::{MAX_CALLS, MAX_WEIGHT};
use crate::value::Value;
use crate::{Compiled, DataModel, Event, Library, Limits, Mapping, Outcome, Setting, Source, compile};

fn source(name: &str, text: &str) -> Source {
    Source { name: Rc::from(name), file: Rc::from(format!("{name}.py")), text: Rc::from(text) }
}

fn detection(text: &str) -> Compiled {
    compile(&source("door", text), &Library::new([])).expect("a detection")
}

fn event(json: serde_json::Value) -> Event {
    Event::new(json.as_object().expect("an object"))
}

fn value(outcome: Outcome) -> String {
    match outcome {
        Outcome::Value(value) => crate::canonical::canonical(&value),
        other => panic!("no value: {other:?}"),
    }
}

fn unknown(outcome: Outcome) -> String {
    match outcome {
        Outcome::Unknown(what) => what,
        other => panic!("not unknown: {other:?}"),
    }
}

fn run(text: &str, setting: &Setting) -> Outcome {
    detection(text).call("rule", &event(json!({"a": 1})), setting)
}

/// A thread with the stack that debug builds need.
fn deep(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(256 << 20).spawn(test).expect("a thread").join().expect("no panic");
}

#[test]
fn steps_end_an_evaluation_at_their_limit() {
    let text = "def rule(event):\n    n = 0\n    while True:\n        n += 1\n";
    assert!(matches!(run(text, &Setting::default()), Outcome::Exhausted("steps")));
    let text = "def rule(event):\n    return 1\n";
    // One for the call, one for the function, one for the statement.
    let with = |steps| Setting { limits: Limits { steps, ..Limits::default() }, ..Setting::default() };
    assert_eq!(value(run(text, &with(3))), "1");
    assert!(matches!(run(text, &with(2)), Outcome::Exhausted("steps")));
}

#[test]
fn a_budget_that_is_used_up_cannot_be_caught() {
    let text = "def rule(event):\n    try:\n        while True: pass\n    except BaseException:\n        return 1\n    finally:\n        return 2\n";
    assert!(matches!(run(text, &Setting::default()), Outcome::Exhausted("steps")));
}

#[test]
fn memory_is_bounded_however_it_is_asked_for() {
    for body in [
        "x = 'a'\n    while True: x += x",
        "x = [1]\n    while True: x = x + x",
        "x = []\n    while True: x.append('a' * 1000)",
        "x = {}\n    n = 0\n    while True:\n        n += 1\n        x[n] = n",
        "return 'a' * 10 ** 12",
        "return [0] * 10 ** 12",
        "return '%1000000000d' % 1",
        "return f'{1:1000000000}'",
        "return 'a'.ljust(10 ** 12)",
        "return 'a'.replace('', 'b' * 1000) * 1000 * 100",
        "return ','.join('abc' * 1000 for _ in range(10 ** 9))",
    ] {
        let outcome = run(&format!("def rule(event):\n    {body}\n"), &Setting::default());
        assert!(matches!(outcome, Outcome::Exhausted(_)), "{body}: {outcome:?}");
    }
}

#[test]
fn calls_end_at_their_limit() {
    // The stack of an ordinary thread is enough: more is taken where it ends.
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let test = || {
        let text =
            |n: u32| format!("def f(n):\n    return n if n <= 1 else f(n - 1)\ndef rule(event):\n    return f({n})\n");
        // rule() is one of the calls.
        assert_eq!(value(run(&text(MAX_CALLS - 1), &Setting::default())), "1");
        assert!(unknown(run(&text(MAX_CALLS), &Setting::default())).contains("60 calls"));
        let heavy = format!(
            "def f(n):\n    return n if n < 1 else {}f(n - 1)\ndef rule(event):\n    return f(40)\n",
            "not ".repeat(50)
        );
        assert!(unknown(run(&heavy, &Setting::default())).contains(&MAX_WEIGHT.to_string()));
        // As heavy as may be: every call with 16 of the 1,000.
        let deepest = "def f(n):\n    return n if n < 1 else not not not not not not not not not f(n - 1)\ndef rule(event):\n    return f(40)\n";
        assert!(matches!(run(deepest, &Setting::default()), Outcome::Value(_)));
    };
    thread.spawn(test).expect("a thread").join().expect("no panic");
}

#[test]
fn what_is_nested_too_deep_in_the_source_is_a_gap() {
    let text = |n: usize| format!("def rule(event):\n    return {}event\n", "not ".repeat(n));
    assert!(detection(&text(50)).report.compiled("rule"));
    let report = detection(&text(70)).report;
    assert!(report.functions[0].gaps[0].what.contains("inside one another"), "{report:?}");
}

#[test]
fn deep_values_are_dropped_in_a_loop() {
    let text = "def rule(event):\n    x = []\n    for i in range(30000):\n        x = [x]\n    y = {}\n    for i in range(30000):\n        y = {'k': (y,)}\n    f = 1\n    for i in range(20000):\n        f = (lambda g: lambda: g)(f)\n    return len(x) + len(y)\n";
    let limits = Limits { steps: 10_000_000, memory: 1 << 30 };
    assert_eq!(value(run(text, &Setting { limits, ..Setting::default() })), "2");
    let text = "def rule(event):\n    x = []\n    for i in range(3000):\n        x = [x]\n    return x == [[]]\n";
    assert_eq!(value(run(text, &Setting::default())), "False");
    let text =
        "def rule(event):\n    x, y = [], []\n    for i in range(3000):\n        x, y = [x], [y]\n    return x == y\n";
    deep(move || assert!(matches!(run(text, &Setting::default()), Outcome::Raised(r) if r.class == "RecursionError")));
}

#[test]
fn iterators_over_one_another_are_bounded() {
    deep(|| {
        let text = |n: u32| {
            format!(
                "def rule(event):\n    x = iter([1])\n    for i in range({n}):\n        x = map(abs, x)\n    return list(x)\n"
            )
        };
        assert_eq!(value(run(&text(crate::iter::MAX_CHAIN - 1), &Setting::default())), "[1]");
        assert!(unknown(run(&text(crate::iter::MAX_CHAIN + 1), &Setting::default())).contains("iterators"));
    });
}

#[test]
fn a_report_names_construct_file_and_line() {
    let text = "import boto3\nfrom helper import far\n\ndef near(event):\n    return far(event)\n\ndef rule(event):\n    return near(event)\n\ndef title(event):\n    return 'fine'\n\ndef dedup(event):\n    return boto3.client('s3')\n";
    let helper = source("helper", "def far(event):\n    x = 1\n    with open('x') as f:\n        return f.read()\n");
    let compiled = compile(&source("door", text), &Library::new([helper])).expect("a detection");
    let report = &compiled.report;
    assert!(report.compiled("title") && !report.compiled("rule") && !report.compiled("severity"));
    let gap = &report.functions.iter().find(|f| f.name == "rule").expect("rule").gaps[0];
    assert_eq!((&*gap.what, &*gap.file, gap.line), ("`with`", "helper.py", 3));
    let gap = &report.functions.iter().find(|f| f.name == "dedup").expect("dedup").gaps[0];
    assert_eq!((&*gap.what, &*gap.file, gap.line), ("`boto3` is not available", "door.py", 14));
    assert!(unknown(compiled.call("rule", &event(json!({})), &Setting::default())).contains("helper.py:3"));
}

#[test]
fn a_module_that_python_refuses_is_refused_with_the_line() {
    let load = |text: &str| compile(&source("door", text), &Library::new([])).expect_err("an error").to_string();
    assert_eq!(load("def rule(event):\n  return (\n").split(": ").next(), Some("door.py:3"));
    assert_eq!(load("x = 1\ny = {}['k']\n"), "door.py:2: KeyError: 'k'");
    assert_eq!(load("def f():\n    return 1 / 0\n\nx = f()\n"), "door.py:2: ZeroDivisionError: division by zero");
}

#[test]
fn globals_that_functions_assign_start_anew_with_each_event() {
    let text = "SEEN = None\nALL = []\ndef rule(event):\n    global SEEN, ALL\n    old = SEEN\n    SEEN = event.get('a')\n    ALL.append(SEEN)\n    return (old, len(ALL))\ndef title(event):\n    return str(SEEN)\n";
    let compiled = detection(text);
    for n in 0..2 {
        let event = event(json!({ "a": n }));
        compiled.begin();
        assert_eq!(value(compiled.call("rule", &event, &Setting::default())), "(None, 1,)");
        assert_eq!(value(compiled.call("title", &event, &Setting::default())), format!("'{n}'"));
    }
}

#[test]
fn constants_of_a_module_cannot_change() {
    for body in [
        "TABLE['b'] = 1",
        "TABLE.update(b=1)",
        "LIST.append(1)",
        "LIST[0] = 2",
        "SET.add(3)",
        "NESTED[0].append(1)",
        "OBJECT.x = 1",
    ] {
        let text = format!(
            "TABLE = {{'a': 1}}\nLIST = [1]\nSET = {{1}}\nNESTED = ([],)\nclass C:\n    pass\nOBJECT = C()\ndef rule(event):\n    {body}\n"
        );
        assert!(unknown(run(&text, &Setting::default())).contains("when it was loaded"), "{body}");
    }
    let copy = "TABLE = {'a': 1}\ndef rule(event):\n    own = TABLE.copy()\n    own['b'] = 2\n    return own\n";
    assert_eq!(value(run(copy, &Setting::default())), "{'a': 1, 'b': 2}");
}

#[test]
fn an_exception_says_where_it_came_up() {
    let text = "class Oops(Exception):\n    pass\n\ndef inner(x):\n    y = x\n    raise Oops('bad', y)\n\ndef rule(event):\n    return inner(event.get('a'))\n";
    let Outcome::Raised(raised) = run(text, &Setting::default()) else { panic!("no exception") };
    assert_eq!((&*raised.class, &*raised.message, &*raised.repr), ("Oops", "('bad', 1)", "Oops('bad', 1)"));
    let at = raised.at.expect("a place");
    assert_eq!((&*at.file, at.line, &*at.function), ("door.py", 6, "inner"));
}

#[test]
fn a_mock_replaces_a_name_of_the_detection() {
    let text = "from unittest.mock import MagicMock\nALLOWED = set()\ndef rule(event):\n    global ALLOWED\n    if isinstance(ALLOWED, MagicMock):\n        ALLOWED = set(ALLOWED().split(','))\n    return 'x' in ALLOWED\n";
    let compiled = detection(text);
    compiled.begin();
    assert_eq!(value(compiled.call("rule", &event(json!({})), &Setting::default())), "False");
    assert!(compiled.module.mock("ALLOWED", Value::Mock(Rc::new(Value::str("x,y")))));
    compiled.begin();
    assert_eq!(value(compiled.call("rule", &event(json!({})), &Setting::default())), "True");
}

#[test]
fn a_data_model_maps_by_path_and_method() {
    let library = Library::new([]);
    let module = library
        .load(&source("model", "def user(event):\n    return event.deep_get('who', 'name')\ndef nothing(event):\n    return None\ndef given(event):\n    return {'a': [{'b': 1}]}\n"))
        .expect("a module");
    let map = |name: &str, mapping| (Rc::<str>::from(name), mapping);
    let model = DataModel {
        mappings: vec![
            map("ip", Mapping::Path("$.src.ip".into())),
            map("user", Mapping::Method("user".into())),
            map("case", Mapping::Path("SRC.ip".into())),
            map("null", Mapping::Path("$.who.none".into())),
            map("no_method", Mapping::Method("nothing".into())),
            map("map", Mapping::Path("who".into())),
            map("given", Mapping::Method("given".into())),
            map("first", Mapping::Path("$.list[0].k".into())),
            map("every", Mapping::Path("$.list[*].k".into())),
            map("odd", Mapping::Path("$['a.b'].\"c d\"".into())),
            map("far", Mapping::Path("$.list[7].k".into())),
        ],
        module: Some(module),
    };
    let setting = Setting { model: Some(Rc::new(model)), ..Setting::default() };
    let log = event(json!({
        "who": {"none": null, "Name": "kira"}, "list": [{"k": 1}, {"k": 2}], "a.b": {"c d": 5}, "p_udm": {"null": 3},
    }));
    for (body, expected) in [
        ("event.udm('null', default=1), event.udm('no_method', default=1)", "(None, None,)"),
        (
            "event.udm('map').get('NAME'), str(event.udm('map'))",
            "('kira', \"ImmutableCaseInsensitiveDict({'none': None, 'Name': 'kira'})\",)",
        ),
        (
            "event.udm('given').get('A')[0].get('B'), str(event.udm('given')['a'])",
            "(1, \"ImmutableList(({'b': 1},))\",)",
        ),
        ("event.udm('given').copy(), event.udm('far', default=0)", "({'a': [{'b': 1}]}, 0,)"),
        (
            "event.udm('first'), event.udm('odd'), event.udm_path('first'), event.udm_path('odd')",
            "(1, 5, 'list.[0].k', 'a.b.c d',)",
        ),
        ("event.udm_path('far'), event.udm_path('case'), event.udm_path(5)", "(None, None, None,)"),
    ] {
        assert_eq!(
            value(detection(&format!("def rule(event):\n    return {body}\n")).call("rule", &log, &setting)),
            expected
        );
    }
    let several = detection("def rule(event):\n    return event.udm('every')\n").call("rule", &log, &setting);
    let Outcome::Raised(raised) = several else { panic!("no exception") };
    assert_eq!(raised.message, "the path $.list[*].k of the data model finds 2 values, it must find one");
    let text = "def rule(event):\n    return [event.udm('ip'), event.udm('user'), event.udm('case', default='d'), event.udm('other'), event.udm('p'), event.udm_path('ip'), event.udm_path('user'), event.udm_path('no')]\n";
    let log = event(json!({"src": {"ip": "10.0.0.1"}, "who": {"name": "kira"}, "other": "own", "p_udm": {"p": 7}}));
    assert_eq!(
        value(detection(text).call("rule", &log, &setting)),
        "['10.0.0.1', 'kira', 'd', 'own', 7, 'src.ip', 'user', None]"
    );
}

#[test]
fn what_the_event_shares_cannot_change() {
    let log = event(json!({"rows": [{"k": 1}, [2]]}));
    for body in ["event.get('rows')[:1][0].update(k=2)", "event.get('rows')[1:][0].append(3)"] {
        let text = format!("def rule(event):\n    return {body}\n");
        let what = unknown(detection(&text).call("rule", &log, &Setting::default()));
        assert!(what.contains("a part of the event"), "{body}: {what}");
    }
    let copy = "def rule(event):\n    rows = event.get('rows').copy()\n    rows[1].append(3)\n    return rows\n";
    assert_eq!(value(detection(copy).call("rule", &log, &Setting::default())), "[{'k': 1}, [2, 3]]");
}

#[test]
fn a_data_model_that_gives_parts_of_the_event_in_a_list_is_unknown() {
    let library = Library::new([]);
    let text = "def rows(event):\n    return [event.get('row')]\ndef pairs(event):\n    return {1: 2}\n";
    let module = library.load(&source("model", text)).expect("a module");
    let map = |name: &str| (Rc::<str>::from(name), Mapping::Method(name.into()));
    let model = DataModel { mappings: vec![map("rows"), map("pairs")], module: Some(module) };
    let setting = Setting { model: Some(Rc::new(model)), ..Setting::default() };
    for (name, what) in [("rows", "ImmutableCaseInsensitiveDict in a container"), ("pairs", "a key that is no text")] {
        let text = format!("def rule(event):\n    return event.udm('{name}')\n");
        let found = unknown(detection(&text).call("rule", &event(json!({"row": {"k": 1}})), &setting));
        assert!(found.contains(what), "{found}");
    }
}

#[test]
fn the_clock_is_the_one_that_is_handed_in() {
    let text = "import datetime, time\ndef rule(event):\n    return str(datetime.datetime.utcnow()), time.time(), str(datetime.date.today())\n";
    let setting = Setting { clock: 1_714_557_600_500_000, ..Setting::default() };
    assert_eq!(value(run(text, &setting)), "('2024-05-01 10:00:00.500000', 1714557600.5, '2024-05-01',)");
}

#[test]
fn integers_beyond_128_bits_are_unknown_and_not_wrong() {
    for body in ["2 ** 127", "10 ** 38 * 10", "int('9' * 50)", "1 << 130", "(2 ** 126) * 4", "-(2 ** 126) * 4"] {
        assert!(
            unknown(run(&format!("def rule(event):\n    return {body}\n"), &Setting::default())).contains("128 bits"),
            "{body}"
        );
    }
    let text = "def rule(event):\n    return 2 ** 126, -(2 ** 126), 10 ** 38\n";
    assert!(value(run(text, &Setting::default())).starts_with("(85070591730234615865843651857942052864, "));
}

#[test]
fn modules_that_import_each_other_are_no_endless_loop() {
    let library = Library::new([source("a", "import b\nX = 1\n"), source("b", "import a\nY = 2\n")]);
    let compiled =
        compile(&source("door", "import a\ndef rule(event):\n    return a.X\n"), &library).expect("a detection");
    assert_eq!(value(compiled.call("rule", &event(json!({})), &Setting::default())), "1");
}

#[test]
fn functions_that_know_themselves_are_freed() {
    let text = "def rule(event):\n    def down(n):\n        return n if n <= 0 else up(n - 1)\n    def up(n):\n        return down(n)\n    def alone(n):\n        return 0 if n <= 0 else alone(n - 1)\n    return down(3) + alone(2)\n\ndef title(event):\n    def walk(n):\n        return n if n <= 0 else walk(n - 1)\n    return lambda n: walk(n)\n";
    let compiled = detection(text);
    let codes: Vec<Rc<crate::ir::Code>> = match compiled.module.get("rule") {
        Some(Value::Func(f)) => f.code.body.iter().filter_map(inner).collect(),
        _ => panic!("no rule"),
    };
    let before: Vec<usize> = codes.iter().map(Rc::strong_count).collect();
    assert_eq!(value(compiled.call("rule", &event(json!({})), &Setting::default())), "0");
    assert_eq!(codes.iter().map(Rc::strong_count).collect::<Vec<_>>(), before, "a function was left behind");
    // One that is given back keeps what it needs.
    let Outcome::Value(function) = compiled.call("title", &event(json!({})), &Setting::default()) else { panic!() };
    let mut vm = crate::native::Vm::new(Limits::default(), 0);
    let answer = vm.call(&function, crate::native::Args::positional(&[Value::Int(2)])).expect("a value");
    assert_eq!(crate::canonical::canonical(&answer), "0");
}

fn inner(line: &crate::ir::Line) -> Option<Rc<crate::ir::Code>> {
    match &line.stmt {
        crate::ir::Stmt::Assign(_, crate::ir::Expr::Func(make)) => Some(make.code.clone()),
        _ => None,
    }
}

#[test]
fn keys_are_found_in_any_case_in_small_and_in_large_events() {
    for count in [1, crate::event::FEW - 3, crate::event::FEW - 2, 200] {
        let mut map: serde_json::Map<String, serde_json::Value> =
            (0..count).map(|i| (format!("Key{i}"), json!(i))).collect();
        map.insert("name".into(), json!("first"));
        map.insert("NAME".into(), json!("second"));
        let ascii = Event::new(&map).0;
        map.insert("\u{212a}elvin".into(), json!("k"));
        let other = Event::new(&map).0;
        for event in [&ascii, &other] {
            let text = |key: &str| event.get(key).map(|v| crate::canonical::canonical(&v));
            assert_eq!(text("Key0"), text("kEY0"));
            assert_eq!(text("key0").as_deref(), Some("0"));
            assert_eq!((text("NAME"), text("name")), (Some("'second'".into()), Some("'first'".into())), "{count}");
            assert_eq!((text("Name"), text("gone"), text("Ä")), (Some("'first'".into()), None, None), "{count}");
        }
        assert!(ascii.get("kelvin").is_none() && other.get("kelvin").is_some(), "{count}");
    }
}
