//! Detections that are not compiled, answered by the CPython of the machine; skipped where there is none.
use super::*;
use crate::detect::DetectPart;
use crate::python::survey;
use crate::testing::{self, Options, Verdict};
use model::files::MemFiles;
use model::{BuildCx, Built, Ctx, EventBatch, Map, Match, Packet, Part, Record};
use serde_json::json;

/// A generator function, which is not compiled, decides; the other functions are ordinary.
const BADGES: &str = "from door_helpers import forced\n\
    def badges(event):\n    for badge in event.get('badges', []):\n        yield badge\n\
    def rule(event):\n    return forced(event) and any(b == event.udm('wanted') for b in badges(event))\n\
    def title(event):\n    return f\"{event.get('n')} by {event.udm('wanted')}\"\n\
    def severity(event):\n    return 'critical'\n\
    def destinations(event):\n    return ['ops'] * 11\n\
    def dedup(event):\n    return 5\n\
    def alert_context(event):\n    return {'badges': set(badges(event)), 'time': __import__('time').time()}\n";
const HEAD: &str = "AnalysisType: rule\nEnabled: true\nSeverity: Low\nLogTypes: [Door.Log]\n";
const NOW_MS: i64 = 1_700_000_000_000;

fn interpreter() -> Interpreter {
    Interpreter { program: "python3".into(), ..Interpreter::default() }
}

/// Rules by name and body, with lines for their YAML files, and what they share.
fn files(rules: &[(&str, &str, &str)]) -> MemFiles {
    let model = |id: &str, path: &str| {
        format!(
            "AnalysisType: datamodel\nDataModelID: {id}\nEnabled: true\nLogTypes: [Door.Log]\nMappings:\n  - {{Name: wanted, Path: {path}}}\n"
        )
    };
    let mut list = vec![
        (
            "d/h.yml".to_string(),
            "AnalysisType: global\nGlobalID: door_helpers\nFilename: door_helpers.py\n".to_string(),
        ),
        ("d/door_helpers.py".into(), "def forced(event):\n    return event.get('result') == 'forced'\n".into()),
        ("d/m.yml".into(), model("A", "$.wanted")),
    ];
    for (name, body, more) in rules {
        list.push((format!("d/{name}.yml"), format!("{HEAD}RuleID: {name}\nFilename: {name}.py\n{more}")));
        list.push((format!("d/{name}.py"), body.to_string()));
    }
    MemFiles::of(&list.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect::<Vec<_>>())
}

/// The node with CPython, and its findings; none where the machine has no CPython.
fn open(files: &MemFiles) -> Option<(Box<dyn Map>, std::sync::Arc<dyn model::Node>, Vec<Problem>)> {
    let opened = DetectPart.open("rules", &json!({"rules": ["d"], "cpython": "python3"}), files);
    let Some(node) = opened.node else {
        eprintln!("skipped: {:?}", opened.problems);
        assert!(opened.problems.iter().any(|p| p.setting == "cpython"), "{:?}", opened.problems);
        return None;
    };
    let Ok(Built::Map(map)) = node.build(&BuildCx::default()) else { panic!("detect is a map") };
    Some((map, node, opened.problems.into_iter().filter(|p| p.setting != "cpython").collect()))
}

fn run(map: &mut dyn Map, node: &dyn model::Node, events: &[J]) -> (Vec<Match>, Vec<(&'static str, String, u64)>) {
    let layout = crate::columns::tests::support::layout("Door.Log", &node.needs().of("Door.Log"));
    let mut batch: EventBatch = crate::columns::tests::support::batch(&layout, events);
    batch.now_ms = NOW_MS;
    let mut cx = Ctx::default();
    map.map(Packet::Events(batch.into()), &mut cx).unwrap();
    let records = cx.out.into_iter().flat_map(|(_, p)| if let Packet::Records(r) = p { r } else { panic!("{p:?}") });
    let matches = records.map(|r| if let Record::Match(m) = r { *m } else { panic!("{r:?}") });
    (matches.collect(), cx.counts.into_iter().map(|(c, r, n)| (c, r.to_string(), n)).collect())
}

#[test]
fn a_rule_that_is_not_compiled_matches_through_cpython_under_the_same_contract() {
    let files = files(&[("Badges", BADGES, ""), ("Plain", "def rule(event):\n    return event.get('n') == 2\n", "")]);
    let Some((mut map, node, problems)) = open(&files) else { return };
    let told = "CPython answers for the rule";
    assert!(!problems.is_empty() && problems.iter().all(|p| p.warning), "{problems:?}");
    assert!(problems[0].message.starts_with("Badges: rule()") && problems[0].message.ends_with(told), "{problems:?}");
    assert_eq!(node.summary(), "2 rules, 2 Python, 1 of these by CPython");
    let event = |n: u64, wanted: &str| json!({"n": n, "result": "forced", "badges": ["b", "a"], "wanted": wanted});
    for _ in 0..2 {
        let (matches, counts) = run(&mut *map, &*node, &[event(1, "a"), event(2, "x"), event(3, "b")]);
        let told: Vec<(&str, &str)> = matches.iter().map(|m| (&*m.rule.id, m.title.as_str())).collect();
        assert_eq!(told, [("Badges", "1 by a"), ("Plain", "Plain"), ("Badges", "3 by b")]);
        let m = &matches[0];
        assert_eq!((m.severity, m.destinations.as_ref().map(Vec::len)), (model::Severity::Critical, Some(10)));
        assert_eq!(m.dedup, "defaultDedupString:Badges", "a dedup string must be a text");
        assert_eq!(m.context.as_deref(), Some(r#"{"badges":["a","b"],"time":1700000000.0}"#));
        assert!(counts.contains(&("matches", "Badges".into(), 2)), "{counts:?}");
    }
}

#[test]
fn an_event_that_is_unknown_to_the_compiled_rule_is_asked_as_a_whole() {
    // Integers of the evaluator have 128 bits, and its functions share state: the title must see what the rule did there.
    let body = "SEEN = None\ndef rule(event):\n    global SEEN\n    SEEN = 2 ** event.get('n')\n    return SEEN > 0\n\
        def title(event):\n    return str(SEEN)\n";
    let late = "STATE = []\ndef rule(event):\n    global STATE\n    STATE = [event.get('n')]\n    return True\n\
        def title(event):\n    STATE.append(2 ** event.get('n') > 0)\n    return str(STATE)\n";
    let files = files(&[("Late", late, ""), ("Power", body, "")]);
    let Some((mut map, node, problems)) = open(&files) else { return };
    assert_eq!(problems, []);
    let (matches, counts) = run(&mut *map, &*node, &[json!({"n": 3}), json!({"n": 130})]);
    let titles: Vec<&str> = matches.iter().map(|m| m.title.as_str()).collect();
    assert_eq!(titles, ["[3, True]", "8", "[130, True]", "1361129467683753853853498429727072845824"]);
    assert!(!counts.iter().any(|(counter, ..)| *counter == "errors"), "{counts:?}");
}

#[test]
fn what_goes_wrong_there_is_an_error_of_its_rule() {
    let generator = "def g():\n    yield 1\ndef rule(event):\n    ";
    let body = |rest: &str| format!("{generator}{rest}\n");
    let list = [
        ("Died", body("list(g())\n    while True: pass")),
        ("Gone", format!("import nowhere_to_be_found\n{}", body("return bool(list(g()))"))),
        ("Number", body("return len(list(g()))")),
        ("Raised", body("return list(g())[event.get('n')]")),
        ("Right", body("return list(g()) == [1]")),
    ];
    let list: Vec<(&str, &str, &str)> = list.iter().map(|(name, body)| (*name, body.as_str(), "")).collect();
    let Some((mut map, node, _)) = open(&files(&list)) else { return };
    let (matches, counts) = run(&mut *map, &*node, &[json!({"n": 7})]);
    let titles: Vec<&str> = matches.iter().map(|m| m.title.as_str()).collect();
    let starts = [
        "WorkerError: it took more than 1s on a processor",
        "LoadError: ",
        "FunctionReturnTypeError: rule() must return a boolean, got int",
        "IndexError: list index out of range: d/Raised.py, line 4, in rule",
        "Right",
    ];
    assert!(titles.len() == starts.len(), "{titles:?}");
    titles.iter().zip(starts).for_each(|(title, start)| assert!(title.starts_with(start), "{title} is not {start}"));
    assert!(titles[1].contains("nowhere_to_be_found"), "{titles:?}");
    let stopped: Vec<_> = counts.iter().filter(|(c, _, n)| *c == model::operator::STOPPED && *n > 0).collect();
    assert_eq!(stopped.iter().map(|(_, rule, _)| rule.as_str()).collect::<Vec<_>>(), ["Died"]);
}

#[test]
fn tests_of_rules_and_policies_run_there_with_their_mocks() {
    let tests = "Tests:\n  - {Name: hit, ExpectedResult: true, ExpectedTitle: 1 by a, Log: {p_log_type: Door.Log, n: 1, result: forced, wanted: a, badges: [a]}}\n  \
        - {Name: none, ExpectedResult: false, Log: {p_log_type: Door.Log, n: 1, result: forced, wanted: x, badges: [a]}}\n  \
        - {Name: mocked, ExpectedResult: true, Log: {result: forced, n: 1}, Mocks: [{objectName: badges, returnValue: [null]}]}\n";
    let body = BADGES.replace("return 5", "return 'd'");
    let mut files = files(&[("Badges", &body, tests)]);
    let policy = "AnalysisType: policy\nPolicyID: Open\nEnabled: true\nSeverity: Low\nResourceTypes: [Door]\nFilename: p.py\n\
        Tests:\n  - {Name: open, ExpectedResult: false, Resource: {locked: false}}\n  - {Name: locked, ExpectedResult: true, Resource: {locked: true}}\n";
    let body = "def g(r):\n    yield r['locked']\ndef policy(resource):\n    return type(resource) is dict and all(g(resource))\n";
    for (path, text) in [("d/p.yml", policy), ("d/p.py", body)] {
        files.0.insert(path.into(), std::sync::Arc::from(text.as_bytes()));
    }
    let without = testing::run(&files, &["d".into()], &Options::default());
    assert!(without.count(Verdict::Unknown) >= 4, "{}", without.to_text(false, false));
    let options = Options { now_ms: NOW_MS, cpython: Some(interpreter()), ..Options::default() };
    let report = testing::run(&files, &["d".into()], &options);
    if report.problems.iter().any(|p| p.setting == "cpython") {
        eprintln!("skipped: {:?}", report.problems);
        return;
    }
    assert!(report.passed() && report.counts() == (5, 0), "{}", report.to_text(false, false));
}

#[test]
fn a_survey_loads_what_needs_it() {
    let gone = "import nowhere_to_be_found\ndef rule(event):\n    return nowhere_to_be_found.x()\n";
    let files = files(&[("Badges", BADGES, ""), ("Gone", gone, "")]);
    if let Err(p) = Cpython::open(&interpreter(), &[]) {
        eprintln!("skipped: {}", p.message);
        return;
    }
    let survey = survey::survey(&files, &["d".into()], Some(&interpreter()));
    let status: Vec<survey::Status> = survey.detections.iter().map(|d| d.status).collect();
    assert_eq!(status, [survey::Status::Cpython, survey::Status::CannotRun], "{}", survey.text());
    assert!(survey.text().contains("CPython answers for what is not compiled:\n  Badges"), "{}", survey.text());
    assert!(survey.text().contains("loading: CPython: "), "{}", survey.text());
}

#[test]
fn a_mistake_is_told_at_its_setting() {
    let files = files(&[("Plain", "def rule(event):\n    return True\n", "")]);
    let open = |settings: J| DetectPart.open("rules", &settings, &files);
    let opened = open(json!({"rules": ["d"], "cpython": "/nowhere/python3"}));
    assert!(opened.node.is_none() && opened.problems[0].setting == "cpython", "{:?}", opened.problems);
    assert!(opened.problems[0].message.contains("/nowhere/python3") && opened.problems[0].hint.is_some());
    let opened = open(json!({"rules": ["d"], "cpython_venv": "v"}));
    assert!(opened.node.is_none() && opened.problems[0].setting == "cpython_venv", "{:?}", opened.problems);
    let opened = open(json!({"rules": ["d"], "cpython": "python3", "cpython_venv": "/nowhere"}));
    assert!(opened.node.is_none() && opened.problems[0].setting.starts_with("cpython"), "{:?}", opened.problems);
}
