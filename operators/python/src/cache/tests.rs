use super::*;
use crate::{Compiled, Event, Library, Limits, Outcome, Setting, Source, compile};

const CLOCK: i64 = 1_700_000_000_000_000;

fn compiled(text: &str) -> Compiled {
    let source = Source { name: "Door.Seen".into(), file: "d.py".into(), text: text.into() };
    compile(&source, &Library::new([])).unwrap()
}

fn call(c: &Compiled, function: &str, event: &Json, session: Option<&Rc<RefCell<Session>>>) -> Outcome {
    let setting = Setting { clock: CLOCK, cache: session.cloned(), limits: Limits::default(), model: None };
    c.call(function, &Event::new(event.as_object().unwrap()), &setting)
}

fn memory() -> Rc<RefCell<Memory>> {
    Rc::new(RefCell::new(Memory { most: 10, ..Memory::default() }))
}

fn begin(memory: &Rc<RefCell<Memory>>) -> Rc<RefCell<Session>> {
    Rc::new(RefCell::new(Session::new(memory.clone())))
}

fn text(outcome: Outcome) -> String {
    match outcome {
        Outcome::Value(value) => crate::canonical::canonical(&value),
        Outcome::Raised(raised) => raised.repr,
        Outcome::Unknown(what) => format!("unknown: {what}"),
        Outcome::Exhausted(what) => format!("exhausted: {what}"),
    }
}

#[test]
fn an_entry_is_what_the_module_writes_and_nothing_else() {
    let whole = json!({"intCount": 3, "stringSet": ["a", "b"], "dictionary": "{}", "expiresAt": 5});
    let entry = Entry::from_json(&whole).unwrap();
    assert_eq!((entry.to_json(), entry.is_over(4), entry.is_over(5)), (whole, false, true));
    assert_eq!(Entry::from_json(&json!({})).unwrap(), Entry::default());
    assert!(!Entry::default().is_over(i64::MAX));
    for bad in [
        json!([]),
        json!({"intCount": 1e30}),
        json!({"intCount": "1"}),
        json!({"expiresAt": 1.5}),
        json!({"stringSet": [1]}),
        json!({"dictionary": {}}),
        json!({"more": 1}),
    ] {
        assert!(Entry::from_json(&bad).is_err(), "{bad}");
    }
}

const SEEN: &str = "from panther_detection_helpers.caching import get_string_set, put_string_set, increment_counter\n\
    def rule(event):\n    if get_string_set(__name__ + event['k']):\n        return False\n    \
    put_string_set(__name__ + event['k'], ['x', 'w'], epoch_seconds='60')\n    return True\n\
    def title(event):\n    increment_counter('n', val=2)\n    return str(sorted(get_string_set(__name__ + event['k'])))\n\
    def dedup(event):\n    increment_counter('n')\n    while True:\n        pass\n\
    def severity(event):\n    for i in range(1001):\n        get_string_set(str(i))\n";

#[test]
fn what_a_detection_writes_counts_when_it_is_done_with_the_event() {
    let (c, memory, event) = (compiled(SEEN), memory(), json!({"k": "a"}));
    assert!(c.report.whole() && c.report.cache, "{:?}", c.report);
    for matched in ["True", "False"] {
        let session = begin(&memory);
        assert_eq!(text(call(&c, "rule", &event, Some(&session))), matched);
        if matched == "True" {
            assert!(memory.borrow().entries.is_empty(), "nothing before the end");
            assert_eq!(text(call(&c, "title", &event, Some(&session))), r#""['w', 'x']""#);
            assert_eq!(text(call(&c, "dedup", &event, Some(&session))), "exhausted: steps");
        }
        assert!(session.borrow_mut().commit().is_empty());
    }
    let held = memory.borrow().entries.clone();
    assert_eq!(held.keys().collect::<Vec<_>>(), ["Door.Seena", "n"]);
    let strings = vec!["w".to_string(), "x".into()];
    assert_eq!(held["Door.Seena"], Entry { strings: Some(strings), expires: Some(1_700_000_060), ..Entry::default() });
    assert_eq!(held["n"].count, Some(2), "a function that was stopped wrote nothing");
}

#[test]
fn the_cache_is_bounded_and_its_absence_is_told() {
    let (c, memory) = (compiled(SEEN), memory());
    let told = "RuntimeError('the cache was used more than 1000 times for one event')";
    assert_eq!(text(call(&c, "severity", &json!({}), Some(&begin(&memory)))), told);
    let large = compiled(
        "from panther_detection_helpers import caching\ndef rule(event):\n    caching.put_string_set('k', 'x' * 409600)\n",
    );
    let told = text(call(&large, "rule", &json!({}), Some(&begin(&memory))));
    assert!(told.ends_with("bytes, 409600 are allowed')"), "{told}");
    let told = text(call(&c, "rule", &json!({"k": "a"}), None));
    assert_eq!(told, "unknown: the key-value cache, which there is none of here");
    let session = begin(&Rc::new(RefCell::new(Memory::default())));
    call(&c, "rule", &json!({"k": "a"}), Some(&session));
    assert_eq!(session.borrow_mut().commit(), ["Door.Seena"], "there is no room");
}

#[test]
fn who_may_use_the_cache_is_known_and_no_filter_hides_a_use() {
    let plain = compiled("import json\ndef rule(event):\n    return event.get('a') == 'b'\n");
    assert!(!plain.report.cache);
    let quiet = "from panther_detection_helpers.caching import add_to_string_set\n\
        def rule(event):\n    if event.get('a') != 'b':\n        return False\n    add_to_string_set('k', event['c'])\n    return False\n";
    let c = compiled(quiet);
    assert!(c.report.whole() && c.report.cache);
    let condition = c.filter(None);
    let written = format!("{condition:?}");
    assert!(written.contains("\"b\"") && !written.contains("Always(false)"), "{written}");
}
