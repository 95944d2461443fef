//! `explain`: from an alert back to the bytes of its events, and what judged them.
use serde_json::Value;
use tests::run::Pipeline;

const TOPOLOGY: &str = r#"
schema = 1
name = "explained"

[engine]
data_dir = "out/state"

[sources.files]
type = "file"
path = "in"

[parse.events]
inputs = ["files"]
log_types = ["Custom.Login"]
schemas = ["schemas"]

[enrich.lookup]
inputs = ["events"]

[[enrich.lookup.table]]
name = "bad"
file = "bad.csv"
key = "ip"
selectors = { "Custom.Login" = ["ip"] }

[detect.rules]
inputs = ["lookup"]
rules = ["rules"]

[dedup.window]
inputs = ["rules"]

[sinks.alerts]
type = "jsonl"
inputs = ["window"]
path = "out/alerts.jsonl"

[sinks.signals]
type = "SIGNALS"
inputs = ["window.matches"]
path = "out/signals"
"#;

const SCHEMA: &str = "
version: 0
schema: Custom.Login
fields:
  - name: user
    type: string
    required: true
  - name: ip
    type: string
  - name: ok
    type: boolean
";

const RULE: &str = "AnalysisType: rule
RuleID: Login.Failed
Enabled: true
Severity: High
Threshold: 2
LogTypes: [Custom.Login]
SummaryAttributes: [ip]
Detection:
  - {Key: ok, Condition: Equals, Value: false}
GroupBy: [{Key: user}]
";

const LINES: [&str; 5] = [
    r#"{"user":"eve","ip":"192.0.2.7","ok":false}"#,
    r#"{"user":"bob","ip":"192.0.2.8","ok":true}"#,
    r#"{"user":"eve","ip":"192.0.2.7","ok":false,"more":"ä"}"#,
    r#"{"user":"ann","ip":"192.0.2.9","ok":false}"#,
    r#"{"user":"eve","ip":"192.0.2.9","ok":false}"#,
];

/// A name with the signs of a pattern, and a document that is read whole.
fn pipeline(signals: &str) -> Pipeline {
    let p = Pipeline::new(&TOPOLOGY.replace("SIGNALS", signals)).unwrap();
    p.file("schemas/login.yml", SCHEMA).unwrap();
    p.file("rules/failed.yml", RULE).unwrap();
    p.file("bad.csv", "ip,why\n192.0.2.7,tor\n").unwrap();
    p.file("in/a[1].jsonl", LINES[..3].join("\n") + "\n").unwrap();
    p.file("in/b.json", format!("[{},\n {}]", LINES[3], LINES[4])).unwrap();
    p
}

fn explained(p: &Pipeline, alert: &str, more: &[&str]) -> Value {
    let args = [&["explain", alert, "--output", "json"][..], more].concat();
    let out = p.millstream(&args).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn eve(p: &Pipeline) -> String {
    let rows = p.rows("alerts.jsonl");
    assert!(!rows.is_empty() && rows.iter().all(|r| r["dedup"] == "eve"), "{rows:?}");
    rows[0]["alertId"].as_str().unwrap().into()
}

#[test]
fn an_alert_is_traced_to_its_bytes_its_rule_and_its_tables() {
    for (signals, workers) in [("jsonl", 1), ("parquet", 2)] {
        let p = pipeline(signals);
        p.once(workers).unwrap();
        let id = eve(&p);
        let x = explained(&p, &id, &[]);
        assert_eq!((&x["alert"]["count"], &x["events_found"]), (&3.into(), &3.into()), "{x}");
        let events = x["events"].as_array().unwrap();
        let raw: Vec<&str> = events.iter().map(|e| e["raw"].as_str().unwrap_or_default()).collect();
        assert_eq!(raw, [LINES[0], LINES[2], LINES[4]], "{x}");
        let at = LINES[0].len() + LINES[1].len() + 2;
        assert_eq!((&events[1]["offset"], &events[1]["name"]), (&at.into(), &"in/a[1].jsonl".into()));
        assert_eq!(events[2]["name"], "in/b.json");
        // One epoch, one topology, one rule; the files of both are named with the hash of their bytes.
        let alert = &p.rows("alerts.jsonl")[0];
        assert_eq!(x["rule"]["id"], "Login.Failed");
        assert_eq!(x["rule"]["versions"], serde_json::json!([alert["version"]]));
        let topologies = x["topologies"].as_object().unwrap();
        assert_eq!(topologies.len(), 1);
        let (hash, ran) = topologies.iter().next().unwrap();
        assert!(
            events
                .iter()
                .all(|e| e["topologies"] == serde_json::json!([hash]) && e["epochs"] == serde_json::json!([1]))
        );
        assert_eq!((&ran["rule_file"][0], &ran["rule_version"]), (&"rules/failed.yml".into(), &alert["version"]));
        assert_eq!(ran["tables"]["bad.csv"].as_str().map(str::len), Some(32));
        assert_eq!(x["summary"], serde_json::json!({ "ip": [["192.0.2.7", 2], ["192.0.2.9", 1]] }), "{x}");
        // For people, and only some of it.
        let out = p.millstream(&["explain", &id, "--events", "1"]).unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        for part in [
            LINES[0],
            "and 2 more events",
            "rules/failed.yml",
            "table  bad.csv",
            "3 counted, 3 stored",
            "ip: 192.0.2.7 (2), 192",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
    }
}

#[test]
fn events_under_an_edited_rule_name_both_versions_and_lost_bytes_are_told() {
    let p = pipeline("jsonl");
    p.once(1).unwrap();
    let id = eve(&p);
    p.file("rules/failed.yml", RULE.to_string() + "Description: Edited.\n").unwrap();
    p.file("bad.csv", "ip,why\n").unwrap();
    p.file("in/c.jsonl", LINES[0].to_string() + "\n").unwrap();
    p.once(2).unwrap();
    std::fs::remove_file(p.dir.path().join("in/b.json")).unwrap();
    let x = explained(&p, &id, &[]);
    assert_eq!(
        (x["rule"]["versions"].as_array().unwrap().len(), x["topologies"].as_object().unwrap().len()),
        (2, 2),
        "{x}"
    );
    let tables: Vec<&Value> = x["topologies"].as_object().unwrap().values().map(|t| &t["tables"]["bad.csv"]).collect();
    assert_ne!(tables[0], tables[1]);
    let events = x["events"].as_array().unwrap();
    assert_eq!(events.len(), 4);
    assert!(events[2]["no_raw"].as_str().unwrap().contains("in/b.json is gone"), "{x}");
    assert_eq!(events[3]["raw"], LINES[0]);
    assert_ne!(events[3]["rule_version"], events[0]["rule_version"]);
    assert_ne!(events[3]["topologies"], events[0]["topologies"]);
    // The ledger's clock rows are no counts.
    let audit = p.millstream(&["audit"]).unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[test]
fn an_alert_that_no_output_holds_is_said_to_be_unknown() {
    let p = pipeline("jsonl");
    p.once(1).unwrap();
    let out = p.millstream(&["explain", "00000000000000000000000000000000"]).unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1) && err.contains("no output of explained") && err.contains("out/alerts.jsonl"),
        "{err}"
    );
}
