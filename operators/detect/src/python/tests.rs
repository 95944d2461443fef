//! Python rules through the node and through their tests: what they share, what they return, how they fail.
use super::*;
use crate::contract::Found;
use crate::detect::DetectPart;
use crate::meta;
use crate::testing::{self, Options, Verdict};
use model::files::MemFiles;
use model::{Files, Part, Severity};
use proptest::prelude::*;
use serde_json::json;

const HEAD: &str = "AnalysisType: rule\nEnabled: true\nSeverity: Low\nLogTypes: [Door.Log]\n";
const HELPER: &str = "AnalysisType: global\nGlobalID: door_helpers\nFilename: door_helpers.py\nDescription: x\n";
const MODEL: &str = "AnalysisType: datamodel\nDataModelID: Door\nEnabled: true\nLogTypes: [Door.Log]\nFilename: model.py\n\
    Mappings:\n  - {Name: who, Path: $.badge.owner}\n  - {Name: what, Method: what}\n";

/// A rule `Door.<name>` with this body, and more lines for its YAML file.
fn rule(name: &str, body: &str, more: &str) -> Vec<(String, String)> {
    vec![
        (format!("d/rules/{name}.yml"), format!("{HEAD}RuleID: Door.{name}\nFilename: {name}.py\n{more}")),
        (format!("d/rules/{name}.py"), body.into()),
    ]
}

fn files(lists: &[Vec<(String, String)>]) -> MemFiles {
    let shared = [
        ("d/helpers/h.yml", HELPER.to_string()),
        ("d/helpers/door_helpers.py", "def forced(event):\n    return event.get('result') == 'forced'\n".into()),
        ("d/models/m.yml", MODEL.into()),
        ("d/models/model.py", "def what(event):\n    return event.get('result', '').upper()\n".into()),
    ];
    let mut all: Vec<(&str, &str)> = shared.iter().map(|(p, t)| (*p, t.as_str())).collect();
    all.extend(lists.iter().flatten().map(|(p, t)| (p.as_str(), t.as_str())));
    MemFiles::of(&all)
}

fn load(files: &dyn Files) -> Vec<Rule> {
    let (rules, problems) = meta::load(files, &["d".into()]);
    assert!(problems.iter().all(|p| p.warning), "{problems:?}");
    rules
}

fn run(files: &MemFiles, id: &str, event: J) -> Outcome {
    let rules = load(files);
    let python: Vec<&Rule> = rules.iter().filter(|r| matches!(r.body, Body::Python(_))).collect();
    let at = python.iter().position(|r| *r.meta.id == *id).unwrap();
    let engine = Engine::new(&python, Limits::default(), None);
    engine.run(at, &engine.event(Rc::new(event), "Door.Log", 1_700_000_000_000))
}

fn found(outcome: Outcome) -> Found {
    match outcome {
        Outcome::Match(found) => *found,
        other => panic!("{other:?}"),
    }
}

fn error(outcome: Outcome) -> (String, String) {
    match outcome {
        Outcome::Error { kind, message } => (kind, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn helpers_and_data_models_are_found_beside_the_rules() {
    let body = "from door_helpers import forced\n\
        def rule(event):\n    return forced(event) and event.udm('who') == 'ann'\n\
        def title(event):\n    return f\"{event.udm('what')} by {event.udm('who')}\"\n\
        def severity(event):\n    return 'critical'\n\
        def destinations(event):\n    return ['ops'] * 11\n\
        def alert_context(event):\n    return {'badge': event.get('badge'), 'tags': {'a'}}\n\
        def unique(event):\n    return event.deep_get('badge', 'id')\n";
    let files = files(&[rule("Forced", body, "Description: static\n")]);
    let event = json!({"result": "forced", "badge": {"owner": "ann", "id": "7"}});
    let got = found(run(&files, "Door.Forced", event));
    assert_eq!((got.title.as_str(), got.dedup.as_str()), ("FORCED by ann", "FORCED by ann"));
    assert_eq!((got.severity, got.description.as_str()), (Severity::Critical, "static"));
    assert_eq!(got.context.as_deref(), Some(r#"{"badge":{"owner":"ann","id":"7"},"tags":["a"]}"#));
    assert_eq!((got.unique.as_deref(), got.destinations.unwrap().len()), (Some("7"), 10));
    assert_eq!(run(&files, "Door.Forced", json!({"result": "opened"})), Outcome::No);
}

#[test]
fn functions_that_fail_leave_the_match_and_their_defaults() {
    let body = "def rule(event):\n    return True\n\
        def title(event):\n    return event['gone']\n\
        def description(event):\n    return 5\n\
        def severity(event):\n    return 'urgent'\n\
        def destinations(event):\n    return 'ops'\n\
        def dedup(event):\n    raise ValueError('no')\n\
        def alert_context(event):\n    return [1]\n\
        def unique(event):\n    return None\n";
    let got =
        found(run(&files(&[rule("Bad", body, "DisplayName: Name\nDescription: static\n")]), "Door.Bad", json!({})));
    assert_eq!((got.title.as_str(), got.dedup.as_str()), ("Door.Bad", "defaultDedupString:Door.Bad"));
    assert_eq!((got.severity, got.description.as_str(), got.destinations, got.unique), (Severity::Low, "", None, None));
    let context: J = serde_json::from_str(&got.context.unwrap()).unwrap();
    assert_eq!(context["_error"], "FunctionReturnTypeError: alert_context() must return a mapping, got list");
    let names: Vec<&str> = got.errors.iter().map(|(name, _)| *name).collect();
    let order = ["title", "description", "severity", "destinations", "dedup", "alert_context", "unique"];
    assert_eq!(names, order, "in the order of the contract");
    assert!(got.errors[0].1.starts_with("KeyError: 'gone': d/rules/Bad.py, line 4, in title"), "{}", got.errors[0].1);

    let plain =
        found(run(&files(&[rule("Plain", "def rule(event):\n    return True\n", "")]), "Door.Plain", json!({})));
    assert_eq!((plain.title.as_str(), plain.dedup.as_str(), plain.context), ("Door.Plain", "Door.Plain", None));
    let empty = "def rule(event):\n    return True\ndef title(event):\n    return ''\n";
    let empty = found(run(&files(&[rule("Empty", empty, "")]), "Door.Empty", json!({})));
    assert_eq!(empty.dedup, "defaultDedupString:Door.Empty");
}

#[test]
fn long_results_are_cut_and_large_contexts_refused() {
    let body = "def rule(event):\n    return True\n\
        def title(event):\n    return 'x' * event['n']\n\
        def alert_context(event):\n    return {'a': 'x' * (event['c'] - 8)}\n";
    let files = files(&[rule("Long", body, "")]);
    let of = |n: usize, c: usize| found(run(&files, "Door.Long", json!({"n": n, "c": c})));
    assert_eq!(of(1_000, 9).title.len(), 1_000);
    let cut = of(1_001, 9).title;
    assert!(cut.len() == 1_000 && cut.ends_with("... (truncated)"));
    let limit = crate::contract::MAX_CONTEXT;
    assert_eq!(of(1, limit).context.unwrap().len(), limit);
    assert!(of(1, limit + 1).context.unwrap().contains("alert_context size is [204801]"));
}

#[test]
fn every_end_of_a_rule_that_is_no_verdict_is_a_named_error() {
    let cases = [
        ("    raise ValueError('no such door')\n", "ValueError", "no such door: d/rules/R.py, line 2, in rule"),
        ("    return 'yes'\n", kind::RETURN, "rule() must return a boolean, got str"),
        ("    pass\n", kind::RETURN, "rule() must return a boolean, got NoneType"),
        ("    while True:\n        pass\n", kind::TIME, "rule() took more than 200000 steps"),
        ("    return len(('x' * 1000000) * 20) > 1\n", kind::MEMORY, "rule() asked for more than 16777216 bytes"),
        ("    import boto3\n    return boto3.client('s3') == 1\n", kind::UNSUPPORTED, "is not built"),
    ];
    for (body, kind, message) in cases {
        let files = files(&[rule("R", &format!("def rule(event):\n{body}"), "")]);
        let got = error(run(&files, "Door.R", json!({})));
        assert!(got.0 == kind && got.1.contains(message), "{body}: {got:?}");
    }
    let broken = [
        ("def rule(event)\n    return True\n", "SyntaxError"),
        ("X = 1 / 0\n", "ZeroDivisionError"),
        ("X = 1\n", "no function"),
    ];
    for (body, message) in broken {
        let files = files(&[rule("R", body, "")]);
        let got = error(run(&files, "Door.R", json!({})));
        assert!(got.0 == kind::LOAD && got.1.contains(message), "{got:?}");
    }
}

#[test]
fn nothing_of_one_event_is_seen_by_the_next() {
    let body = "SEEN = []\nCOUNT = 0\ndef rule(event):\n    global COUNT, SEEN\n    COUNT += 1\n    SEEN = SEEN + [COUNT]\n    return True\n\
        def title(event):\n    return f'{COUNT} {SEEN}'\n";
    let rules = load(&files(&[rule("Count", body, "")]));
    let python: Vec<&Rule> = rules.iter().collect();
    let engine = Engine::new(&python, Limits::default(), None);
    for _ in 0..3 {
        let event = engine.event(Rc::new(json!({})), "Door.Log", 0);
        assert_eq!(found(engine.run(0, &event)).title, "1 [1]");
    }
}

#[test]
fn the_clock_is_the_one_of_the_epoch() {
    let body = "from datetime import datetime\ndef rule(event):\n    return True\ndef title(event):\n    return datetime.utcnow().isoformat()\n";
    let got = found(run(&files(&[rule("Clock", body, "")]), "Door.Clock", json!({})));
    assert_eq!(got.title, "2023-11-14T22:13:20");
}

#[test]
fn policies_fail_on_false_and_get_a_dict_of_their_own() {
    let yaml = "AnalysisType: policy\nPolicyID: Door.Locked\nEnabled: true\nSeverity: High\nResourceTypes: [Door]\nFilename: p.py\n\
        Tests:\n  - {Name: locked, ExpectedResult: true, Resource: {locked: true}}\n  \
        - {Name: open, ExpectedResult: false, ExpectedTitle: open, Resource: {locked: false}}\n  \
        - {Name: wrong, ExpectedResult: true, Resource: {locked: false}}\n";
    let body = "def policy(resource):\n    resource['seen'] = 1\n    return isinstance(resource, dict) and resource['locked']\n\
        def title(resource):\n    return 'again' if 'seen' in resource else 'open'\n";
    let files = MemFiles::of(&[("d/p.yml", yaml), ("d/p.py", body)]);
    let report = testing::run(&files, &["d".into()], &Options::default());
    let verdicts: Vec<Verdict> = report.rules[0].tests.iter().map(|t| t.verdict).collect();
    assert_eq!(verdicts, [Verdict::Passed, Verdict::Passed, Verdict::Failed], "{}", report.to_text(false, false));
    let difference = &report.rules[0].tests[2].differences[0];
    assert_eq!((difference.expected.as_str(), difference.got.as_str()), ("true", "false"));
}

#[test]
fn scheduled_rules_are_tested_and_match_every_row_without_a_function() {
    let yaml = "AnalysisType: scheduled_rule\nRuleID: Door.Rows\nEnabled: true\nSeverity: High\nScheduledQueries: [q]\nFilename: s.py\n\
        Tests:\n  - {Name: row, ExpectedResult: true, ExpectedTitle: 5 doors, Log: {n: 5}}\n";
    let body = "def title(row):\n    return f\"{row['n']} doors\"\n";
    let files = MemFiles::of(&[("d/s.yml", yaml), ("d/s.py", body)]);
    let report = testing::run(&files, &["d".into()], &Options::default());
    assert!(report.passed(), "{}", report.to_text(false, false));
}

#[test]
fn mocks_stand_in_for_one_test_only() {
    let body = "def known(event):\n    return False\nLIMIT = 3\ndef rule(event):\n    return known(event)\n";
    let tests = "Tests:\n  - {Name: mocked, ExpectedResult: true, Log: {}, Mocks: [{objectName: known, returnValue: true}]}\n  \
        - {Name: not, ExpectedResult: false, Log: {}}\n  \
        - {Name: gone, ExpectedResult: false, Log: {}, Mocks: [{objectName: gone, returnValue: true}]}\n";
    let report = testing::run(&files(&[rule("Mock", body, tests)]), &["d".into()], &Options::default());
    let verdicts: Vec<Verdict> = report.rules[0].tests.iter().map(|t| t.verdict).collect();
    assert_eq!(verdicts, [Verdict::Passed, Verdict::Passed, Verdict::Failed], "{}", report.to_text(false, false));
}

#[test]
fn a_test_that_meets_what_is_not_built_is_unknown() {
    let body = "import boto3\ndef rule(event):\n    return event.get('a') == 1 and boto3.client('s3')\n";
    let tests = "Tests:\n  - {Name: met, ExpectedResult: true, Log: {a: 1}}\n  - {Name: not met, ExpectedResult: false, Log: {a: 2}}\n";
    let report = testing::run(&files(&[rule("Boto", body, tests)]), &["d".into()], &Options::default());
    assert_eq!((report.counts(), report.count(Verdict::Unknown), report.passed()), ((1, 0), 1, false));
    assert!(report.to_text(false, false).contains("1 tests passed, 0 failed, 1 unknown, 0 other"));
}

#[test]
fn what_does_not_compile_is_named_and_stops_no_other() {
    let boto = "import boto3\ndef rule(event):\n    return event.get('a') == 'x' and boto3.client('s3')\n";
    let list = [
        rule("Boto", boto, ""),
        rule("Broken", "def rule(event)\n", ""),
        rule("Fine", "def rule(event):\n    return event.get('a') == 'x'\n", ""),
        rule("Off", boto, "").into_iter().map(|(p, t)| (p, t.replace("Enabled: true", "Enabled: false"))).collect(),
        rule("Title", "import boto3\ndef rule(event):\n    return True\ndef title(event):\n    return boto3.x()\n", ""),
    ];
    let files = files(&list);
    let opened = DetectPart.open("rules", &json!({"rules": ["d"]}), &files);
    let told: Vec<(bool, String, u32)> = opened
        .problems
        .iter()
        .map(|p| (p.warning, p.message.clone(), p.file.as_ref().map_or(0, |(_, line, _)| *line)))
        .collect();
    assert!(opened.node.is_some() && told.len() == 3 && told.iter().all(|t| t.0), "{told:?}");
    assert!(told[0].1.starts_with("Door.Boto: rule() is not compiled") && told[0].1.contains("boto3"), "{told:?}");
    assert!(told[1].1.starts_with("Door.Broken cannot run: SyntaxError") && told[1].2 == 1, "{told:?}");
    assert!(told[2].1.starts_with("Door.Title: title()"), "{told:?}");
    let strict = DetectPart.open("rules", &json!({"rules": ["d"], "strict": true}), &files);
    assert!(strict.node.is_none() && strict.problems.iter().filter(|p| !p.warning).count() == 3);

    let survey = survey::survey(&files, &["d".into()], None);
    let status = |id: &str| survey.detections.iter().find(|d| d.id == id).unwrap().status;
    assert_eq!(status("Door.Boto"), survey::Status::FilterOnly);
    assert_eq!(status("Door.Broken"), survey::Status::CannotRun);
    assert_eq!((status("Door.Fine"), status("Door.Title")), (survey::Status::Compiled, survey::Status::Verdict));
    assert_eq!((survey.helpers, survey.data_models, survey.counts.disabled), (1, 1, 1));
    let text = survey.text();
    assert!(text.contains("Door.Off (rule, disabled)") && text.contains("d/rules/Boto.py:3"), "{text}");
}

#[test]
fn a_detection_without_its_file_is_left_out() {
    let yaml = format!("{HEAD}RuleID: Template\nFilename: name.py\n");
    let fine = rule("Fine", "def rule(event):\n    return True\n", "");
    let files = files(&[fine, vec![("d/t.yml".into(), yaml)]]);
    let (rules, problems) = meta::load(&files, &["d".into()]);
    assert_eq!(rules.iter().map(|r| &*r.meta.id).collect::<Vec<_>>(), ["Door.Fine"]);
    let message = "`Filename`: cannot read `d/name.py`: no file d/name.py; the detection is left out";
    assert!(problems.len() == 1 && problems[0].warning && problems[0].message == message, "{problems:?}");
}

#[test]
fn shared_files_are_checked() {
    let problems = |list: &[(&str, &str)]| meta::load(&MemFiles::of(list), &["d".into()]).1;
    let bad = problems(&[
        ("d/a.yml", "AnalysisType: global\nGlobalID: a-b\nFilename: gone.py\nTypo: 1\n"),
        ("d/b.yml", "AnalysisType: datamodel\nDataModelID: B\nEnabled: true\nLogTypes: []\nMappings: [{Name: x}]\n"),
        ("d/c.yml", HELPER),
        ("d/door_helpers.py", ""),
        ("d/e.yml", HELPER),
        ("d/f.yml", &MODEL.replace("Filename: model.py\n", "")),
    ]);
    for what in [
        "`Typo` is not a key of a helper",
        "`GlobalID` must be",
        "cannot read `d/gone.py`",
        "`Mappings[0]` must be",
        "`LogTypes` is empty",
        "is the id of d/door_helpers.py too",
        "gives `what` by a method",
    ] {
        assert!(bad.iter().any(|p| !p.warning && p.message.contains(what)), "{what}: {bad:#?}");
    }
    let twice = problems(&[
        ("d/a.yml", &MODEL.replace("Filename: model.py\n", "").replace(", Method: what", ", Path: a")),
        ("d/b.yml", &MODEL.replace("Filename: model.py\n", "").replace(", Method: what", ", Path: a")),
    ]);
    assert!(twice[0].message.contains("Door.Log has more than one data model"), "{twice:?}");
}

#[test]
fn other_files_of_a_checkout_are_told_once() {
    let query = "AnalysisType: saved_query\nQueryName: Q\n";
    let list = [("d/a.yml", query), ("d/b.yml", query), ("d/c.yml", "repos: []\n")];
    let (_, problems) = meta::load(&MemFiles::of(&list), &["d".into()]);
    let told: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("a file without `AnalysisType`")
            && told[1].contains("2 files")
            && told[1].contains("`saved_query`")
    );
    let (_, problems) = meta::load(&MemFiles::of(&list), &["d/c.yml".into()]);
    assert!(!problems[0].warning && problems[0].message.contains("`AnalysisType` is missing"), "{problems:?}");
}

#[test]
fn the_version_follows_what_a_rule_shares() {
    let body = "from door_helpers import forced\ndef rule(event):\n    return forced(event)\n";
    let version = |files: &MemFiles| load(files)[0].meta.version.clone();
    let mut files = files(&[rule("Forced", body, "")]);
    let first = version(&files);
    assert_eq!((first.len(), &first), (32, &version(&files)));
    files.0.insert("d/helpers/door_helpers.py".into(), b"def forced(event):\n    return False\n"[..].into());
    assert_ne!(first, version(&files));
}

/// Rules whose conditions are found in different ways.
const GUARDED: &[&str] = &[
    "def rule(event):\n    return event.get('result') == 'forced'\n",
    "from door_helpers import forced\ndef rule(event):\n    if not forced(event):\n        return False\n    return event['badge']['owner'] != 'ann'\n",
    "def rule(event):\n    return event.get('result', 'forced') in ('forced', 'held') and event.deep_get('badge', 'owner') == 'ann'\n",
    "def rule(event):\n    if event.get('result'):\n        return False\n    return True\n",
    "def rule(event):\n    return any(event.get('result', '').startswith(p) for p in ('fo', 'he')) and len(event['badge']) > 0\n",
    "def rule(event):\n    return all([event.get('result') != 'opened', not event.deep_get('badge', 'owner')])\n",
];

fn field() -> impl Strategy<Value = J> {
    let text = prop::sample::select(vec!["forced", "held", "opened", "ann", "bob", "", "fo"]).prop_map(|t| json!(t));
    prop_oneof![6 => text, 1 => Just(json!(null)), 1 => Just(json!(1)), 1 => Just(json!(["ann"])), 1 => Just(json!({"owner": "ann"}))]
}

fn event() -> impl Strategy<Value = J> {
    let key = |name: &'static str, other: &'static str| prop::sample::select(vec![name, name, name, other]);
    let inner = (key("owner", "Owner"), field()).prop_map(|(k, v)| json!({ k: v }));
    let badge = prop_oneof![4 => inner, 1 => field()];
    // At the top a parser knows a field by its name only, and drops nulls.
    (prop::option::of(field()), prop::option::of(badge)).prop_map(|(result, badge)| {
        let pairs = [("result", result), ("badge", badge)];
        let there = pairs.into_iter().filter_map(|(k, v)| Some((k.to_string(), v.filter(|v| !v.is_null())?)));
        J::Object(there.collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// What the node says with its filters is what each rule says on every event.
    #[test]
    fn filters_change_no_verdict_and_no_error(events in prop::collection::vec(event(), 1..60)) {
        let list: Vec<_> = GUARDED.iter().enumerate().map(|(i, body)| rule(&format!("G{i}"), body, "")).collect();
        let files = files(&list);
        let rules = load(&files);
        let filtered = |r: &&Rule| matches!(&r.body, Body::Python(s) if s.is_filtered());
        prop_assert_eq!(rules.iter().filter(filtered).count(), GUARDED.len());
        let python: Vec<&Rule> = rules.iter().collect();
        let engine = Engine::new(&python, Limits::default(), None);
        let mut want = Vec::new();
        for (row, event) in events.iter().enumerate() {
            let handle = engine.event(Rc::new(event.clone()), "Door.Log", 1_000);
            for (at, rule) in python.iter().enumerate() {
                match engine.run(at, &handle) {
                    Outcome::No => {}
                    Outcome::Match(found) => want.push((row as u64, rule.meta.id.to_string(), found.title, None)),
                    Outcome::Error { kind, message } => {
                        want.push((row as u64, rule.meta.id.to_string(), format!("{kind}: {message}"), Some(message)));
                    }
                }
            }
        }
        let got: Vec<_> = crate::detect::tests::run_files(&files, "Door.Log", &events)
            .into_iter()
            .map(|m| (m.pos.offset, m.rule.id.to_string(), m.title, m.error))
            .collect();
        prop_assert_eq!(got, want);
    }
}
