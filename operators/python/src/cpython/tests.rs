//! The contract of a pool. Without a CPython on the machine these tests say so and pass.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::spawn::{Launch, Spaces, Starter};
use super::verify::{Verdict, compare};
use super::worker::{AFTER, BOOTSTRAP, Worker};
use super::{
    Answer, Cache, Call, Detection, Field, Home, Isolation, Limits, Memory, Model, Module, NoCache, Output, Pool,
    Settings, Sources,
};
use crate::{Entry, Event, Library, Outcome, Session, Setting, Source, compile};

const CLOCK: i64 = 1_700_000_000_123_456;

fn detection(id: &str, text: &str) -> Detection {
    Detection { id: id.into(), file: format!("{id}.py"), text: text.into(), policy: false }
}

fn helper(name: &str, text: &str) -> Module {
    Module { name: name.into(), file: format!("{name}.py"), text: text.into() }
}

fn open(settings: &Settings, sources: Sources) -> Option<Pool> {
    match Pool::open(settings, sources) {
        Ok(pool) => Some(pool),
        Err(problem) if problem.message.contains("no CPython") => {
            eprintln!("skipped: {}", problem.message);
            None
        }
        Err(problem) => panic!("{problem:?}"),
    }
}

fn pool(detections: &[(&str, &str)]) -> Option<Pool> {
    let detections = detections.iter().map(|(id, text)| detection(id, text)).collect();
    open(&Settings::default(), Sources { detections, ..Sources::default() })
}

fn call<'a>(detection: &'a str, event: &'a str) -> Call<'a> {
    Call { detection, event, log_type: None, functions: &AFTER, mocks: &[], exact: false }
}

fn ask(pool: &Pool, detection: &str, event: &str) -> Answer {
    let answers = pool.call(&[call(detection, event)], CLOCK, &mut NoCache).unwrap();
    answers.into_iter().next().unwrap()
}

/// An answer as JSON: values as they are, exceptions as texts.
fn short(answer: &Answer) -> Json {
    match answer {
        Answer::Outputs(outputs) => outputs
            .iter()
            .map(|(name, output)| {
                let output = match output {
                    Output::Value { kind, json: None, .. } => json!(format!("<{kind}>")),
                    Output::Value { json: Some(json), .. } => json.clone(),
                    Output::Raised(r) => json!(format!("{}: {}", r.class, r.message)),
                    Output::TooLarge(bytes) => json!(format!("more than {bytes}")),
                };
                json!([name, output])
            })
            .collect(),
        Answer::NotLoaded(r) => json!(format!("not loaded: {}: {}", r.class, r.message)),
        Answer::Failed(why) => json!(why),
    }
}

#[test]
fn the_other_functions_run_in_order_and_only_on_a_match() {
    let text = "
def unique(event): return event['u']
def alert_context(event): return {'set': {'b', 'a'}, 'tuple': (1, None), 3: event.get('list'), 'event': event}
def dedup(event): raise KeyError('d')
def destinations(event): return ['a']
def severity(event): return object()
def title(event): return 't' * 5000
def rule(event): return event.get('N') == 1
";
    let Some(pool) =
        pool(&[("order", text), ("text", "def rule(event): return 'yes'\ndef title(event): return 1 / 0")])
    else {
        return;
    };
    let answer = ask(&pool, "order", r#"{"n": 1, "list": [1, {"k": 2.5}], "u": "ü"}"#);
    let expected = json!([
        ["rule", true],
        ["title", "t".repeat(4096)],
        ["severity", "<object>"],
        ["destinations", ["a"]],
        ["dedup", "KeyError: 'd'"],
        ["alert_context", {
            "set": ["a", "b"], "tuple": [1, null], "3": [1, {"k": 2.5}],
            "event": {"n": 1, "list": [1, {"k": 2.5}], "u": "ü"},
        }],
        ["unique", "ü"],
    ]);
    assert_eq!(short(&answer), expected);
    let Answer::Outputs(outputs) = &answer else { panic!("{answer:?}") };
    let Output::Raised(raised) = &outputs[4].1 else { panic!("{outputs:?}") };
    assert_eq!(raised.repr, "KeyError('d')");
    assert_eq!(raised.at, Some(("order.py".into(), 4, "dedup".into())));
    assert_eq!(short(&ask(&pool, "order", r#"{"n": 2}"#)), json!([["rule", false]]));
    assert_eq!(short(&ask(&pool, "text", "{}")), json!([["rule", "yes"]]), "only True is a match");
    assert_eq!(short(&ask(&pool, "other", "{}")), json!("the pool has no detection other"));
}

#[test]
fn a_policy_gets_a_plain_dict_and_matches_with_false() {
    let text = "
def policy(resource): return type(resource) is dict and resource.get('A') is None and resource['a'] == 1
def title(resource): return type(resource).__name__
";
    let detections = vec![Detection { policy: true, ..detection("policy", text) }];
    let Some(pool) = open(&Settings::default(), Sources { detections, ..Sources::default() }) else { return };
    assert_eq!(short(&ask(&pool, "policy", r#"{"a": 1}"#)), json!([["policy", true]]));
    assert_eq!(short(&ask(&pool, "policy", r#"{"a": 2}"#)), json!([["policy", false], ["title", "dict"]]));
}

#[test]
fn a_module_remembers_one_event_only() {
    let text = "
import remember
SEEN, COUNT, NAME = [], {'n': 0}, None
def rule(event):
    global NAME, NEW
    NAME = NEW = event.get('name')
    SEEN.append(NAME); COUNT['n'] += 1; COUNT.setdefault(NAME, [])
    remember.LIST.append(NAME); remember.put(NAME)
    return True
def title(event): return f'{NAME} {NEW} {SEEN} {COUNT} {remember.LIST} {remember.LAST} {remember.NESTED}'
remember.FOUND.append('loading')
def dedup(event):
    remember.FOUND.append(NAME)
    return str(remember.FOUND)
def unique(event):
    import late
    late.ADDED.append('late')
    return str(late.ADDED)
";
    let late = helper("late", "ADDED = []");
    let helper = helper(
        "remember",
        "LIST, LAST, NESTED, FOUND = [], 0, {'a': [1]}, []\nALIAS = LIST\ndef put(x):\n    global LAST\n    LAST = x\n    NESTED['a'].append(x)\n    assert ALIAS is LIST and len(LIST) == 1\n",
    );
    let sources =
        Sources { helpers: vec![helper, late], detections: vec![detection("state", text)], ..Sources::default() };
    let Some(pool) = open(&Settings::default(), sources) else { return };
    for name in ["a", "b", "a"] {
        let late = format!("['loading', '{name}']");
        let title =
            format!("{name} {name} ['{name}'] {{'n': 1, '{name}': []}} ['{name}'] {name} {{'a': [1, '{name}']}}");
        let event = json!({ "name": name }).to_string();
        let all = json!([["rule", true], ["title", title], ["dedup", late], ["unique", "['late']"]]);
        assert_eq!(short(&ask(&pool, "state", &event)), all);
    }
}

#[test]
fn the_clock_is_the_one_that_is_given_and_random_numbers_repeat() {
    let text = "
import datetime, random, secrets, time, uuid, os
from datetime import date, datetime as dt, timezone, timedelta
def rule(event): return True
def alert_context(event):
    now = dt.now()
    return {
        'now': [str(now), str(dt.utcnow()), str(dt.now(timezone.utc)), str(date.today()), repr(now), repr(date(2020, 1, 2))],
        'time': [time.time(), time.time_ns(), time.monotonic(), time.strftime('%Y-%m-%dT%H:%M:%S'), time.gmtime().tm_year],
        'kinds': [isinstance(now, datetime.datetime), isinstance(now, date), type(now).__name__, isinstance(now.date(), date),
                  isinstance(dt.strptime('2024', '%Y'), dt), isinstance(now - timedelta(1), dt), isinstance(1, dt),
                  (now - dt(2023, 11, 14)).days, dt.fromisoformat('2024-01-01') > now, hash(now) == hash(dt.now())],
    }
def unique(event):
    time.sleep(1000)
    return ' '.join([str(uuid.uuid4()), str(uuid.uuid1()), str(random.random()), secrets.token_hex(8), os.urandom(4).hex(),
                     str({'a', 'b', 'c', 'd', 1.5}), str(hash('x'))])
";
    let unique = |answer: &Answer| match answer {
        Answer::Outputs(outputs) => format!("{:?}", outputs.last()),
        other => panic!("{other:?}"),
    };
    let (Some(first), Some(second)) = (pool(&[("clock", text)]), pool(&[("clock", text)])) else { return };
    let answer = ask(&first, "clock", "{}");
    assert_eq!(
        short(&answer)[1],
        json!(["alert_context", {
            "now": ["2023-11-14 22:13:20.123456", "2023-11-14 22:13:20.123456", "2023-11-14 22:13:20.123456+00:00",
                "2023-11-14", "datetime.datetime(2023, 11, 14, 22, 13, 20, 123456)", "datetime.date(2020, 1, 2)"],
            "time": [1_700_000_000.123456, 1_700_000_000_123_456_000_i64, 1_700_000_000.123456, "2023-11-14T22:13:20", 2023],
            "kinds": [true, true, "datetime", true, true, true, false, 0, true, true],
        }])
    );
    let other = ask(&first, "clock", r#"{"x": 1}"#);
    assert_ne!(unique(&answer), unique(&other), "events have their own numbers");
    assert_eq!(answer, ask(&first, "clock", "{}"), "the same event, the same numbers");
    assert_eq!(ask(&second, "clock", "{}"), answer, "in another process, too");
}

#[test]
fn data_models_are_chosen_by_log_type() {
    let methods =
        "def get_user(event): return event.get('Who') or event.deep_get('a', 'b')\ndef bad(event): return 1 / 0\n";
    let model = Model {
        log_types: vec!["T.A".into(), "T.B".into()],
        mappings: vec![
            ("ip".into(), Field::Path("$.src.ip".into())),
            ("odd".into(), Field::Path("$.'odd key'[0]['x']".into())),
            ("all".into(), Field::Path("$.list[*].x".into())),
            ("user".into(), Field::Method("get_user".into())),
            ("bad".into(), Field::Method("bad".into())),
        ],
        module: helper("model", methods),
    };
    let text = "
def rule(event): return True
def title(event): return repr([event.udm(n) for n in ('ip', 'odd', 'user', 'x', 'y')] + [event.udm('ip', default=7)])
def description(event): return event.udm('all')
def reference(event): return event.udm('bad')
def dedup(event): return f\"{event.udm_path('ip')} {event.udm_path('user')} {event.udm_path('x')} {event.udm_path('odd')}\"
";
    let sources = Sources { models: vec![model], detections: vec![detection("udm", text)], ..Sources::default() };
    let Some(pool) = open(&Settings::default(), sources) else { return };
    let event = r#"{"p_log_type": "T.B", "SRC": {"ip": "no"}, "odd key": [{"x": "o"}], "who": "w", "x": 0, "p_udm": {"y": "u"},
        "list": [{"x": 1}, {"x": 2}]}"#;
    let answer = short(&ask(&pool, "udm", event));
    assert_eq!(
        answer,
        json!([
            ["rule", true],
            ["title", "[None, 'o', 'w', None, 'u', 7]"],
            ["description", "Exception: the path $.list[*].x of the data model finds 2 values, it must find one"],
            ["reference", "ZeroDivisionError: division by zero"],
            ["dedup", "None get_user None odd key.[0].x"],
        ])
    );
    let calls = [Call { log_type: Some("T.Other"), functions: &["title"], ..call("udm", event) }];
    let answers = pool.call(&calls, CLOCK, &mut NoCache).unwrap();
    assert_eq!(
        short(&answers[0])[1][1],
        "[None, None, None, None, 'u', 7]",
        "the call's log type goes before the event's"
    );
}

#[test]
fn a_worker_that_dies_loses_no_call() {
    let dies = "import os\ndef rule(event):\n    if event['n'] in (3, 4, 9): os._exit(event['n'])\n    return event['n'] % 2 == 0\n";
    let Some(pool) = pool(&[("dies", dies), ("good", "def rule(event): return True")]) else { return };
    let events: Vec<String> = (0..12).map(|n| json!({ "n": n }).to_string()).collect();
    let calls: Vec<Call> = events.iter().flat_map(|e| [call("dies", e), call("good", e)]).collect();
    let answers = pool.call(&calls, CLOCK, &mut NoCache).unwrap();
    assert_eq!(answers.len(), 24);
    for (n, pair) in answers.chunks(2).enumerate() {
        let expected = match n {
            3 | 4 | 9 => json!(format!("the worker ended with exit code {n}")),
            _ => json!([["rule", n % 2 == 0]]),
        };
        assert_eq!((n, short(&pair[0])), (n, expected));
        assert_eq!(short(&pair[1]), json!([["rule", true]]));
    }
    // Each of the three was tried twice at least.
    assert!(pool.restarts() >= 6, "{}", pool.restarts());
}

#[test]
fn what_a_killed_call_has_written_into_the_cache_is_not_there() {
    let text = "
import os
from panther_detection_helpers import caching as c
def rule(event):
    n = c.increment_counter('count', 2)
    seen = c.add_to_string_set('seen', event['n'])
    c.put_dictionary('last', {'n': event['n']})
    if event['n'] == 'b': os._exit(1)
    return True
def title(event):
    return f\"{c.get_counter('count')} {sorted(c.get_string_set('seen'))} {c.get_dictionary('last')} {c.get_counter('no')}\"
";
    let Some(pool) = pool(&[("cache", text)]) else { return };
    let mut cache = Memory { most: 3, ..Memory::default() };
    let events = ["a", "b", "c"].map(|n| json!({ "n": n }).to_string());
    let calls = [call("cache", &events[0]), call("cache", &events[1]), call("cache", &events[2])];
    let answers = pool.call(&calls, CLOCK, &mut cache).unwrap();
    let title = |answer: &Answer| short(answer)[1][1].as_str().unwrap_or_default().to_string();
    assert_eq!(title(&answers[0]), "2 ['a'] {'n': 'a'} 0");
    assert_eq!(short(&answers[1]), json!("the worker ended with exit code 1"));
    assert_eq!(title(&answers[2]), "4 ['a', 'c'] {'n': 'c'} 0");
    let expires = 1_700_000_000 + 90 * 86400;
    let entry = |json: Json| Entry::from_json(&json).ok();
    assert_eq!(cache.get("count"), entry(json!({"intCount": 4, "expiresAt": expires})));
    assert_eq!(cache.get("seen"), entry(json!({"stringSet": ["a", "c"], "expiresAt": expires})));
    // At its limit the cache refuses a new key, and the call is an error.
    let mut full = Memory { most: 2, ..Memory::default() };
    let answers = pool.call(&calls[..1], CLOCK, &mut full).unwrap();
    assert_eq!(short(&answers[0]), json!("the cache has no room for the key \"seen\""));
}

#[test]
fn detections_share_the_cache_in_the_order_of_the_calls() {
    let text = "
from panther_detection_helpers.caching import add_to_string_set
def rule(event): return True
def title(event): return str(sorted(add_to_string_set('k', event['n'])))
";
    let Some(pool) = pool(&[("a", text), ("b", text)]) else { return };
    let events = ["1", "2"].map(|n| json!({ "n": n }).to_string());
    let mut cache = Memory { most: 1, ..Memory::default() };
    let calls = [call("a", &events[0]), call("b", &events[0]), call("a", &events[1]), call("b", &events[1])];
    let titles: Vec<Json> =
        pool.call(&calls, CLOCK, &mut cache).unwrap().iter().map(|answer| short(answer)[1][1].clone()).collect();
    assert_eq!(titles, ["['1']", "['1']", "['1', '2']", "['1', '2']"]);
}

/// Uses of the cache, one an event; what goes wrong is told as well.
const USES: &str = "
from panther_detection_helpers import caching as c
def rule(event): return True
def title(event):
    out = []
    for op in event['ops']:
        key, args = op[1], op[2:]
        try:
            if op[0] == 'count': got = c.increment_counter(key, *args)
            elif op[0] == 'counter': got = c.get_counter(key, *args)
            elif op[0] == 'reset': got = c.reset_counter(key)
            elif op[0] == 'expire': got = c.set_key_expiration(key, *args)
            elif op[0] == 'put': got = c.put_string_set(key, *args)
            elif op[0] == 'add': got = sorted(c.add_to_string_set(key, *args))
            elif op[0] == 'remove': got = sorted(c.remove_from_string_set(key, *args))
            elif op[0] == 'get': got = sorted(c.get_string_set(key, *args))
            elif op[0] == 'empty': got = c.reset_string_set(key)
            elif op[0] == 'dict': got = c.put_dictionary(key, *args)
            elif op[0] == 'read': got = c.get_dictionary(key, *args)
            elif op[0] == 'limit': got = c.evaluate_threshold(key, *args)
            else: got = c.check_account_age(key)
        except Exception as e:
            got = (type(e).__name__, str(e))
        out.append(got)
    return str(out)
";

#[test]
fn a_compiled_detection_and_a_worker_mean_the_same_by_the_cache() {
    let Some(pool) = pool(&[("uses", USES)]) else { return };
    let source = Source { name: "uses".into(), file: "uses.py".into(), text: USES.into() };
    let compiled = compile(&source, &Library::new([])).unwrap();
    assert!(compiled.report.whole() && compiled.report.cache, "{:?}", compiled.report);
    let calls = [
        (0, json!([["count", "k"], ["count", "k", 2, 50], ["counter", "k"], ["count", 7], ["counter", "7", true]])),
        (10, json!([["count", "k", "3"], ["count", "k", "x"], ["count", "k", null], ["reset", "n"], ["counter", "n"]])),
        (60, json!([["counter", "k"], ["counter", "k", true], ["count", "k"], ["counter", "k", true]])),
        (
            61,
            json!([
                ["put", "s", ["b", "a", "b"]],
                ["get", "s"],
                ["add", "s", "c", 5],
                ["remove", "s", ["a"]],
                ["age", "s"]
            ]),
        ),
        (
            62,
            json!([
                ["put", "s", [1]],
                ["put", "s", "z", "30"],
                ["get", "s"],
                ["put", "s", []],
                ["get", "s"],
                ["age", "s"]
            ]),
        ),
        (
            63,
            json!([
                ["add", "t", []],
                ["get", "t"],
                ["add", "t", ["x", "y"], 1_800_000_000],
                ["empty", "t"],
                ["age", 5]
            ]),
        ),
        (
            64,
            json!([["dict", "d", {"a": [1, null, 2.5]}], ["read", "d"], ["dict", "d", "x"], ["dict", "d", {}], ["read", "d"]]),
        ),
        (
            65,
            json!([
                ["read", "none"],
                ["count", "d"],
                ["read", "d"],
                ["counter", "d"],
                ["expire", "d", 3],
                ["read", "d"]
            ]),
        ),
        (70, json!([["read", "d"], ["read", "d", true], ["add", "d", "q"], ["counter", "d"], ["read", "d", true]])),
        (71, json!([["limit", "l", 3], ["limit", "l", 3], ["limit", "l", 3], ["limit", "l", 3, 10], ["counter", "l"]])),
        (
            72,
            json!([
                ["expire", "never", 604_801],
                ["counter", "never", true],
                ["expire", "e", "x"],
                ["count", "big", 9223372036854775807i64],
                ["count", "big"]
            ]),
        ),
    ];
    let (mut theirs, ours) = (Memory { most: 100, ..Memory::default() }, Memory { most: 100, ..Memory::default() });
    let ours = Rc::new(RefCell::new(ours));
    for (seconds, ops) in calls {
        let (event, clock) = (json!({ "ops": ops }), CLOCK + seconds * 1_000_000);
        let text = event.to_string();
        let answer = short(&pool.call(&[call("uses", &text)], clock, &mut theirs).unwrap()[0]);
        let session = Rc::new(RefCell::new(Session::new(ours.clone())));
        let setting = Setting { clock, cache: Some(session.clone()), ..Setting::default() };
        compiled.begin();
        let outcome = compiled.call("title", &Event::new(event.as_object().unwrap()), &setting);
        let Outcome::Value(value) = outcome else { panic!("{event}: {outcome:?}") };
        session.borrow_mut().commit();
        assert_eq!(crate::run::to_json(&value), Some(answer[1][1].clone()), "{event}");
        assert_eq!(ours.borrow().entries, theirs.entries, "{event}");
    }
    assert_eq!(theirs.entries.len(), 9, "{:?}", theirs.entries.keys());
}

#[test]
fn entries_of_the_cache_expire_by_the_given_clock() {
    let text = "
from panther_detection_helpers import caching as c
def rule(event): return True
def title(event): return f\"{c.increment_counter('k', 1, 60)} {c.get_counter('k', force_ttl_check=True)}\"
def dedup(event): return f\"{c.evaluate_threshold('t', 3, 100)}\"
def unique(event):
    c.put_string_set('s', 'one'); c.put_string_set('s', ['a', 'b']); c.remove_from_string_set('s', ['a'])
    gone = c.get_string_set('s'); c.reset_string_set('s')
    return f\"{gone} {c.get_string_set('s')} {c.check_account_age('s')} {c.check_account_age(None)}\"
";
    let Some(pool) = pool(&[("ttl", text)]) else { return };
    let mut cache = Memory { most: 100, ..Memory::default() };
    let mut at = |seconds: i64| {
        let answers = pool.call(&[call("ttl", "{}")], CLOCK + seconds * 1_000_000, &mut cache).unwrap();
        let answer = short(&answers[0]);
        assert_eq!(answer[3][1], "{'b'} set() False False");
        format!("{} {}", answer[1][1], answer[2][1])
    };
    assert_eq!(at(0), r#""1 1" "False""#);
    assert_eq!(at(50), r#""2 2" "False""#);
    assert_eq!(at(99), r#""3 3" "True""#, "a later use moves the end");
    assert_eq!(at(1000), r#""1 1" "False""#, "an expired counter starts anew");
}

#[test]
fn a_detection_that_cannot_be_loaded_is_an_error_of_every_event() {
    let Some(pool) = pool(&[
        ("syntax", "def rule(event) return"),
        ("import", "import nothing_of_that_name\ndef rule(event): return True"),
        ("raises", "x = {}['k']\ndef rule(event): return True"),
        (
            "good",
            "import boto3\nfrom botocore.exceptions import NoCredentialsError\ndef rule(event):\n    try: boto3.resource('d').Table('t').get_item()\n    except NoCredentialsError: return True",
        ),
    ]) else {
        return;
    };
    for (id, says) in [
        ("syntax", "not loaded: SyntaxError:"),
        ("import", "not loaded: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("raises", "not loaded: KeyError: 'k'"),
    ] {
        for event in ["{}", "{\"a\": 1}"] {
            let answer = short(&ask(&pool, id, event));
            assert!(answer.as_str().unwrap_or_default().starts_with(says), "{id}: {answer}");
        }
        assert!(pool.check(id, CLOCK).unwrap().is_some());
    }
    assert_eq!(short(&ask(&pool, "good", "{}")), json!([["rule", true]]));
    assert_eq!(pool.check("good", CLOCK), Ok(None));
    assert_eq!(pool.restarts(), 0);
}

#[test]
fn limits_hold_at_the_limit() {
    let text = "def rule(event): return True\ndef title(event): return str(len(event['x']))\ndef alert_context(event): return {'x': 'y' * event['size']}";
    let mut detections: Vec<Detection> = ["a", "b", "c"].map(|id| detection(id, text)).into();
    let deep = "def rule(event): return True\ndef title(event):\n    a = []\n    for _ in range(event['deep'] - 1): a = [a]\n    return a";
    detections.push(detection("deep", deep));
    let limits = Limits { event: 200, batch: 2, processes: 1, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let Some(pool) = open(&settings, Sources { detections, ..Sources::default() }) else { return };
    let event = |size: usize, length: usize| {
        let empty = json!({"size": size, "x": ""}).to_string().len();
        json!({"size": size, "x": "x".repeat(length - empty)}).to_string()
    };
    let (fits, large) = (event(1, 200), event(1, 201));
    let calls: Vec<Call> = ["a", "b", "c", "a", "a", "a", "b"].iter().map(|id| call(id, &fits)).collect();
    for answer in pool.call(&calls, CLOCK, &mut NoCache).unwrap() {
        assert_eq!(short(&answer)[0], json!(["rule", true]));
    }
    assert_eq!(pool.alive(), 1, "one process at a time");
    assert_eq!(short(&ask(&pool, "a", &large)), json!("the event has 201 bytes, 200 are allowed"));
    // Two braces, four quotes, a colon and such are counted too.
    let most = (1 << 20) - 8;
    assert_eq!(short(&ask(&pool, "a", &event(most, 50)))[2][1]["x"].as_str().map(str::len), Some(most));
    assert_eq!(short(&ask(&pool, "a", &event(most + 1, 50)))[2], json!(["alert_context", "more than 1048576"]));
    // Lists in one another: the last that has a JSON form, and the first that has none.
    let depth = |n: usize| json!({"x": "", "size": 0, "deep": n}).to_string();
    let kind = |n: usize| match &ask(&pool, "deep", &depth(n)) {
        Answer::Outputs(outputs) => matches!(&outputs[1].1, Output::Value { json: Some(_), .. }),
        other => panic!("{other:?}"),
    };
    assert_eq!((kind(100), kind(101)), (true, false));
    for bad in ["[1]", "5", "{", "null"] {
        let answer = short(&ask(&pool, "a", bad));
        assert!(answer[0][1].as_str().is_some_and(|text| text.contains("Error")), "{bad}: {answer}");
    }
    assert_eq!(pool.restarts(), 0);
}

#[test]
fn time_and_memory_have_an_end() {
    let Some(pool) = open(
        &Settings {
            limits: Limits {
                call_cpu: Duration::from_millis(200),
                call_wait: Duration::from_millis(1500),
                memory: 128 << 20,
                ..Limits::default()
            },
            ..Settings::default()
        },
        Sources {
            detections: vec![
                detection("loop", "def rule(event):\n    while event['n']: pass\n    return False"),
                detection("memory", "def rule(event): return len(bytearray(event['n'] << 20)) > 0"),
            ],
            ..Sources::default()
        },
    ) else {
        return;
    };
    assert_eq!(
        short(&ask(&pool, "loop", r#"{"n": 1}"#)),
        json!("it took more than 200ms on a processor or waited more than 1.5s")
    );
    assert_eq!(short(&ask(&pool, "loop", r#"{"n": 0}"#)), json!([["rule", false]]));
    assert_eq!(short(&ask(&pool, "memory", r#"{"n": 128}"#)), json!([["rule", "MemoryError: "]]));
    assert_eq!(short(&ask(&pool, "memory", r#"{"n": 8}"#)), json!([["rule", true]]));
}

#[test]
fn threads_may_call_at_the_same_time() {
    let text = "def rule(event): return event['n'] % 3 == 0\ndef title(event): return str(event['n'])";
    let detections = (0..3).map(|i| detection(&i.to_string(), text)).collect();
    let settings = Settings { limits: Limits { processes: 2, ..Limits::default() }, ..Settings::default() };
    let Some(pool) = open(&settings, Sources { detections, ..Sources::default() }) else { return };
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..10 {
                    let event = json!({"n": n * 4 + thread}).to_string();
                    let calls = ["0", "1", "2"].map(|id| call(id, &event));
                    for answer in pool.call(&calls, CLOCK, &mut NoCache).unwrap() {
                        let n = n * 4 + thread;
                        let expected = match n % 3 {
                            0 => json!([["rule", true], ["title", n.to_string()]]),
                            _ => json!([["rule", false]]),
                        };
                        assert_eq!(short(&answer), expected);
                    }
                }
            });
        }
    });
    assert_eq!(pool.restarts(), 0);
}

#[test]
fn mocks_are_there_for_one_call() {
    let text = "
from unittest.mock import MagicMock
def lookup(x): return x
LIMIT = 5
def rule(event): return isinstance(lookup, MagicMock)
def title(event): return lookup(1) + LIMIT()
";
    let Some(pool) = pool(&[("mocked", text)]) else { return };
    let mocks = [("lookup".to_string(), json!("a")), ("LIMIT".to_string(), json!("b"))];
    let calls = [Call { mocks: &mocks, ..call("mocked", "{}") }, call("mocked", "{}")];
    let answers = pool.call(&calls, CLOCK, &mut NoCache).unwrap();
    assert_eq!(short(&answers[0]), json!([["rule", true], ["title", "ab"]]));
    assert_eq!(short(&answers[1]), json!([["rule", false]]));
}

#[test]
fn strict_refuses_what_the_machine_does_not_allow() {
    let Some(pool) = pool(&[("a", "def rule(event): return True")]) else { return };
    println!("{}", pool.isolation());
    let whole = pool.isolation().missing.is_empty();
    let settings = Settings { strict: true, ..Settings::default() };
    match Pool::open(&settings, Sources::default()) {
        Ok(_) => assert!(whole),
        Err(problem) => assert!(!whole && problem.setting == "strict", "{problem:?}"),
    }
}

#[test]
fn the_cases_of_the_compiled_evaluator_mean_the_same_here() {
    let event = json!({
        "s": "Alice", "empty": "", "n": 42, "neg": -7, "f": 2.5, "t": true, "z": false, "none": null,
        "list": ["a", "b", "a"], "nums": [3, 1, 2], "mixed": [1, "a", null, 2.5], "rows": [{"k": 1, "v": "x"}, {"k": 2}],
        "map": {"a": 1, "B": {"c": "deep"}, "l": [1, [2]]}, "ip": "10.0.0.1", "json": "{\"k\": [1, null]}",
        "text": "user alice logged in from 10.0.0.1 at 12:30", "csv": "a,b,,c", "Key": "upper", "key2": "x",
        "time": "2024-05-01T10:00:00Z", "num": "17", "p_event_time": "2024-05-01 10:00:00.5",
    });
    let prelude = "import base64, datetime, difflib, fnmatch, functools, ipaddress, json, math, re, shlex\n\
        from collections.abc import Mapping, Sequence\nfrom urllib.parse import parse_qs, unquote, urlparse\n";
    let own = ["e.event_time_epoch()", "e.lookup('t', 'k')", "e.deep_walk('rows', 'k'), e.udm('ip')"];
    let lines = include_str!("../../cases/event.txt").lines().chain(include_str!("../../cases/builtins.txt").lines());
    let lines: Vec<&str> = lines.filter(|l| !l.is_empty() && !l.starts_with('#')).chain(own).collect();
    let text = |line: &str| format!("{prelude}def rule(e):\n    return {line}\n");
    let detections = lines.iter().enumerate().map(|(i, line)| detection(&i.to_string(), &text(line))).collect();
    let settings = Settings { home: Home::Together(1), ..Settings::default() };
    let Some(pool) = open(&settings, Sources { detections, ..Sources::default() }) else { return };
    if pool.version().starts_with("3.9.") {
        eprintln!("skipped: the compiled evaluator has the meaning of 3.10 and later (`int | None`)");
        return;
    }
    let json = event.to_string();
    let ids: Vec<String> = (0..lines.len()).map(|i| i.to_string()).collect();
    let calls: Vec<Call> = ids.iter().map(|id| Call { exact: true, ..call(id, &json) }).collect();
    let answers = pool.call(&calls, CLOCK, &mut NoCache).unwrap();
    let texts: Vec<String> = lines.iter().map(|line| text(line)).collect();
    // Debug builds of the compiled evaluator need a large stack.
    let compared = std::thread::Builder::new().stack_size(256 << 20).spawn(move || {
        let (mut tally, mut different) = (Default::default(), Vec::new());
        let event = Event::new(event.as_object().unwrap());
        let setting = Setting { clock: CLOCK, ..Setting::default() };
        for (text, answer) in texts.iter().zip(&answers) {
            let source = Source { name: "case".into(), file: "case".into(), text: text.as_str().into() };
            let compiled = compile(&source, &Library::new([])).unwrap();
            let found = compare(&compiled, &event, &setting, answer, &mut tally);
            different.extend(found.into_iter().filter(|d| d.verdict == Verdict::Different));
        }
        println!("{tally:?}");
        assert!(different.is_empty(), "{different:#?}");
        assert!(tally[&Verdict::Equal] * 10 > texts.len() as u64 * 9, "{tally:?}");
    });
    compared.unwrap().join().unwrap();
}

#[test]
fn a_worker_of_another_version_is_refused() {
    let Ok(interpreter) = super::interpreter::Interpreter::find(&Settings::default()) else { return };
    let limits = Limits::default();
    let first = String::from_utf8(super::worker::first(&interpreter, &Sources::default())).unwrap();
    let start = |bootstrap: &str, first: &str| {
        [Spaces::Own, Spaces::None].map(|spaces| {
            let launch = Launch::new(&interpreter, bootstrap, &limits, spaces, &mut Isolation::default()).unwrap();
            Worker::start(&Starter::new(launch).unwrap(), first.as_bytes(), &limits).err()
        })
    };
    assert!(start(BOOTSTRAP, &first).contains(&None), "this version comes up");
    // The worker refuses the engine's, and the engine the worker's.
    let other = first.replace("\"version\":1,", "\"version\":2,");
    let says = |found: [Option<String>; 2], what: &str| found.iter().flatten().any(|why| why.contains(what));
    assert!(says(start(BOOTSTRAP, &other), "exit code 3"), "{:?}", start(BOOTSTRAP, &other));
    let other = (BOOTSTRAP.replace("VERSION = 1", "VERSION = 2"), other);
    assert!(says(start(&other.0, &other.1), "speaks another version"));
}

#[test]
fn an_interpreter_may_be_behind_symbolic_links() {
    let Ok(found) = super::interpreter::Interpreter::find(&Settings::default()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(found.home.split(':').next().unwrap(), &link).unwrap();
    let settings = Settings { python: Some(link.join("bin/python3")), ..Settings::default() };
    let detections = vec![detection("a", "import json, decimal\ndef rule(event): return decimal.Decimal(1) == 1")];
    let Some(pool) = open(&settings, Sources { detections, ..Sources::default() }) else { return };
    assert_eq!(short(&ask(&pool, "a", "{}")), json!([["rule", true]]));
    let other = open(&Settings::default(), Sources::default()).unwrap();
    assert_eq!(pool.isolation(), other.isolation());
}

#[test]
fn without_python_only_the_pool_is_missing() {
    let settings = Settings { python: Some("/nowhere/python3".into()), ..Settings::default() };
    let problem = Pool::open(&settings, Sources::default()).unwrap_err();
    assert_eq!(problem.setting, "python");
    assert!(problem.message.contains("/nowhere/python3: cannot be started"), "{problem:?}");
    assert!(problem.hint.unwrap().contains("CPython 3.9"));
}
