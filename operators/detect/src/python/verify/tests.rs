//! Compiled detections beside the CPython of the machine; skipped where there is none.
use super::*;
use crate::meta;
use crate::python::Engine;
use crate::python::cpython::Interpreter;
use model::files::MemFiles;
use serde_json::json;
use std::rc::Rc;

const HEAD: &str = "AnalysisType: rule\nEnabled: true\nSeverity: Low\nLogTypes: [A.B]\n";
const BODY: &str = "def rule(event):\n    if event.get('kind') != 'x':\n        return False\n    return event['n'] > 1\n\
                    def title(event):\n    return f\"{event.get('n'):>5} {event.get('f')}\"\n\
                    def alert_context(event):\n    return {'l': [event.get('f')], 'd': {1: event.get('gone')}}\n";

/// Compare on these events; `tamper` may change what is compared.
fn verified(events: &[J], tamper: impl FnOnce(&mut Verify)) -> Option<Verified> {
    let rule = format!("{HEAD}RuleID: R\nFilename: r.py\n");
    let files = MemFiles::of(&[("d/r.yml", &rule), ("d/r.py", BODY)]);
    let (rules, problems) = meta::load(&files, &["d".into()]);
    assert_eq!(problems, []);
    let interpreter = Interpreter { program: "python3".into(), ..Interpreter::default() };
    let cpython = match Cpython::open(&interpreter, &rules) {
        Ok((cpython, _)) => Arc::new(cpython),
        Err(p) => {
            eprintln!("skipped: {p:?}");
            return None;
        }
    };
    let mut verify = Verify::new(cpython, &rules);
    assert!(verify.watches("R"));
    tamper(&mut verify);
    let verify = Arc::new(verify);
    let mut engine = Engine::new(&rules.iter().collect::<Vec<_>>(), Default::default(), None);
    engine.verify(Some(verify.clone()));
    for event in events {
        engine.run(0, &engine.event(Rc::new(event.clone()), "A.B", 1_700_000_000_000));
    }
    assert_eq!(engine.lost(), None);
    Some(verify.report())
}

fn events() -> Vec<J> {
    vec![
        json!({"kind": "x", "n": 2, "f": 1.5}),
        json!({"kind": "x", "n": 1}),
        json!({"kind": "y", "n": 9}),
        json!({"kind": "x", "n": "text"}),
        json!({"kind": "x"}),
    ]
}

#[test]
fn verdicts_exceptions_and_what_the_others_say_are_equal() {
    let Some(v) = verified(&events(), |_| {}) else { return };
    assert!(!v.differs() && v.differences.is_empty(), "{}", v.text());
    // Five verdicts, two functions on the match, and one event that the filter leaves out.
    assert_eq!((v.rules, v.events, v.results), (1, 5, [("equal", 8)].into()));
}

#[test]
fn a_filter_that_leaves_out_a_match_is_told() {
    let tamper = |v: &mut Verify| {
        let of_other = crate::expr::parse_exprs(
            &json!([{"Key": "kind", "Condition": "Equals", "Value": "y"}]),
            "",
            &mut Vec::new(),
        );
        v.rules.insert("R".into(), [("A.B".into(), of_other)].into());
    };
    let Some(v) = verified(&events(), tamper) else { return };
    assert!(v.differs());
    let told: Vec<(&str, &str)> = v.differences.iter().map(|d| (d.function.as_str(), d.what)).collect();
    // One match and two errors; that it said no of the other event is right.
    assert_eq!(told, [("filter", "different"); 3], "{}", v.text());
}
