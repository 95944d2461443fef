//! `--verify`: what is compiled and CPython say the same of tests and past data; where they do not, that is told.
use serde_json::{Value, json};
use tests::run::Pipeline;

const TOPOLOGY: &str = r#"
schema = 1
name = "verified"

[sources.a]
type = "file"
path = "in.jsonl"
follow = false

[parse.events]
inputs = ["a"]
log_types = ["Custom.Step"]
schemas = ["schemas"]

[detect.rules]
inputs = ["events"]
rules = ["rules"]

[dedup.window]
inputs = ["rules"]

[sinks.alerts]
type = "jsonl"
inputs = ["window"]
path = "out/alerts.jsonl"
"#;

const SCHEMA: &str =
    "version: 0\nschema: Custom.Step\nfields:\n  - {name: n, type: bigint}\n  - {name: who, type: string}\n";
const RULE: &str = "AnalysisType: rule\nRuleID: R\nEnabled: true\nSeverity: Low\nLogTypes: [Custom.Step]\nFilename: r.py\n\
                    Tests:\n  - {Name: yes, ExpectedResult: true, Log: {n: 3, who: x}}\n  - {Name: no, ExpectedResult: false, Log: {n: 1, who: x}}\n";
const BODY: &str = "def rule(event):\n    if event.get('who') != 'x':\n        return False\n    return event.get('n') > 2\n\
                    def title(event):\n    return f\"{event.get('n'):03}\"\n";
/// Whether two equal numbers are one object is not promised: compiled they are.
const IDENTITY: &str =
    "def severity(event):\n    return 'HIGH' if event.get('n') * 1000 is event.get('n') * 1000 else 'LOW'\n";

fn pipeline() -> Pipeline {
    let p = Pipeline::new(TOPOLOGY).unwrap();
    p.file("schemas/step.yml", SCHEMA).unwrap();
    p.file("rules/r.yml", RULE).unwrap();
    p.file("rules/r.py", BODY).unwrap();
    let line = |n: u32| format!("{{\"n\":{n},\"who\":\"{}\"}}\n", if n.is_multiple_of(2) { "x" } else { "y" });
    p.file("in.jsonl", (0..40).map(line).collect::<String>() + "{\"who\":\"x\"}\n").unwrap();
    p
}

fn said(p: &Pipeline, args: &[&str]) -> (Option<i32>, Value) {
    let out = p.millstream(&[args, &["--cpython", "python3", "--verify", "--output", "json"]].concat()).unwrap();
    let json = serde_json::from_slice(&out.stdout);
    (out.status.code(), json.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr))))
}

#[test]
fn tests_and_past_data_are_compared() {
    let p = pipeline();
    let (code, x) = said(&p, &["test", "rules"]);
    // Two verdicts, and a title.
    assert_eq!((code, &x["verified"]["results"]), (Some(0), &json!({ "equal": 3 })), "{x}");
    let replay = ["replay", "--quiet", "--to", "2100-01-01"];
    let (code, x) = said(&p, &replay);
    let v = &x["verified"]["rules"];
    // 41 verdicts, one of them an error; what the filter leaves out is the 20 of `y`; 18 matches have titles.
    assert_eq!((code, &v["events"], &v["results"]), (Some(0), &json!(41), &json!({ "equal": 41 + 20 + 18 })), "{x}");
    assert_eq!((&x["matches"], &x["errors"]), (&json!(18), &json!(1)));
    // The comparison changes nothing of what the replay says.
    let out = p.millstream(&[&replay[..], &["--output", "json"]].concat()).unwrap();
    let mut plain: Value = serde_json::from_slice(&out.stdout).unwrap();
    plain["verified"] = x["verified"].clone();
    assert_eq!(plain, x);
}

#[test]
fn a_difference_has_a_code_of_its_own() {
    let p = pipeline();
    p.file("rules/r.py", BODY.to_string() + IDENTITY).unwrap();
    let (code, x) = said(&p, &["test", "rules"]);
    let v = &x["verified"];
    assert_eq!((code, &x["passed"], &v["results"]["different"]), (Some(3), &json!(true), &json!(1)), "{x}");
    let d = &v["differences"][0];
    assert_eq!((&d["rule"], &d["function"], &d["what"]), (&json!("R"), &json!("severity"), &json!("different")), "{d}");
    assert!(d["compiled"].to_string().contains("HIGH") && d["cpython"].to_string().contains("LOW"), "{d}");
    let (code, x) = said(&p, &["replay", "--quiet", "--to", "2100-01-01", "--workers", "2"]);
    assert_eq!((code, &x["verified"]["rules"]["results"]["different"]), (Some(3), &json!(18)), "{x}");
    // Without it the same rule is none of its business.
    let out = p.millstream(&["test", "rules", "--cpython", "python3"]).unwrap();
    assert_eq!(out.status.code(), Some(0));
    let out = p.millstream(&["replay", "--quiet", "--verify"]).unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(78) && err.contains("there is no CPython to compare with"), "{err}");
}
