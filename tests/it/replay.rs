//! `replay`: past data through the topology's own nodes, beside it and without a trace.
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;
use tests::project::common_input;
use tests::run::{Pipeline, wait};

fn replayed(p: &Pipeline, args: &[&str]) -> Value {
    let out = p.millstream(&[&["replay", "--quiet", "--output", "json"][..], args].concat()).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// New alerts by rule.
fn by_rule(rows: &[Value], rule: &str, change: &str) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for r in rows.iter().filter(|r| r[change] == "new" || r[change].is_null()) {
        *out.entry(r[rule].as_str().unwrap().to_string()).or_default() += 1;
    }
    out
}

const TO: &[&str] = &["--to", "2100-01-01"];

#[test]
fn a_replay_makes_the_alerts_of_a_run_on_any_number_of_workers() {
    let (input, lookup) = common_input(30_000, 1).unwrap();
    let p = Pipeline::common(&input, &lookup, "").unwrap();
    let first = replayed(&p, TO);
    assert_eq!(std::fs::read_dir(p.dir.path().join("out")).unwrap().count(), 0, "nothing is written");
    assert!(first["events"] == 30_000 && first["alerts"].as_u64() > Some(10), "{first}");
    for workers in ["1", "2", "5"] {
        assert_eq!(replayed(&p, &[TO, &["--workers", workers]].concat()), first, "{workers} workers");
    }
    // Input and topology of the common case are in the order of time: a run, which follows event time, says the same.
    p.once(2).unwrap();
    let rows = p.rows("alerts.jsonl");
    let want = by_rule(&rows, "rule", "change");
    let rules = first["rules"].as_object().unwrap();
    let got: BTreeMap<String, u64> =
        rules.iter().map(|(id, r)| (id.clone(), r["alerts"].as_u64().unwrap())).filter(|(_, n)| *n > 0).collect();
    assert_eq!(got, want);
    let audit: Value = serde_json::from_slice(&p.millstream(&["audit", "--output", "json"]).unwrap().stdout).unwrap();
    assert_eq!(audit["totals"]["rules"]["matches"], first["matches"]);
    // The run goes on from where it was.
    assert_eq!(replayed(&p, TO), first);
    p.once(1).unwrap();
    assert_eq!(p.rows("alerts.jsonl"), rows);
}

const TOPOLOGY: &str = r#"
schema = 1
name = "past"

[engine]
data_dir = "out/state"

[sources.a]
type = "file"
path = "in/a.jsonl"

[sources.b]
type = "file"
path = "in/b.jsonl"
follow = true

[parse.events]
inputs = ["a", "b"]
log_types = ["Custom.Step"]
schemas = ["schemas"]

[detect.rules]
inputs = ["events"]
rules = ["rules"]

[dedup.window]
inputs = ["rules"]

[limit.storm]
inputs = ["window"]
limit = "3/h"

[sinks.alerts]
type = "jsonl"
inputs = ["storm"]
path = "out/alerts.jsonl"
"#;

const SCHEMA: &str = "
version: 0
schema: Custom.Step
fields:
  - {name: t, type: timestamp, timeFormat: rfc3339, isEventTime: true, required: true}
  - {name: n, type: bigint}
  - {name: who, type: string}
";

fn rule(id: &str, more: &str) -> String {
    format!("AnalysisType: rule\nRuleID: {id}\nEnabled: true\nSeverity: High\nLogTypes: [Custom.Step]\n{more}")
}

/// Minutes of 1 March, with a number each; `b` holds the hour before `a`.
fn past() -> Pipeline {
    let p = Pipeline::new(TOPOLOGY).unwrap();
    p.file("schemas/step.yml", SCHEMA).unwrap();
    let line =
        |h: u32, m: u32, who: &str| format!("{{\"t\":\"2026-03-01T{h:02}:{m:02}:00Z\",\"n\":{m},\"who\":\"{who}\"}}\n");
    p.file("in/a.jsonl", (0..60).map(|m| line(11, m, "x")).collect::<String>() + "no json\n").unwrap();
    p.file("in/b.jsonl", (0..60).map(|m| line(10, m, "y")).collect::<String>()).unwrap();
    let all = "Detection:\n  - {Key: n, Condition: IsGreaterThan, Value: 49}\n";
    p.file("rules/late.yml", rule("Late", &format!("DedupPeriodMinutes: 15\nThreshold: 5\nOutputIds: [pager]\n{all}")))
        .unwrap();
    p.file("rules/each.yml", rule("Each", &format!("AlertTitle: '{{who}} {{n}}'\n{all}"))).unwrap();
    p.file("rules/never.yml", rule("Never", "Detection:\n  - {Key: n, Condition: Equals, Value: 77}\n")).unwrap();
    p
}

#[test]
fn matches_of_all_files_are_judged_in_the_order_of_their_times() {
    let p = past();
    let x = replayed(&p, TO);
    let late = &x["rules"]["Late"];
    // Ten minutes of each hour: a window each, whichever file is read first.
    assert_eq!((&late["matches"], &late["alerts"]), (&20.into(), &2.into()), "{x}");
    assert_eq!(
        (&late["first"], &late["last"]),
        (&json!("2026-03-01T10:50:00.000Z"), &json!("2026-03-01T11:59:00.000Z"))
    );
    assert_eq!((&late["dedup"]["below_threshold"], &late["dedup"]["deduped"]), (&8.into(), &10.into()));
    assert_eq!(late["samples"][0]["created"], "2026-03-01T10:54:00.000Z");
    assert_eq!(late["samples"][0]["count"], 10);
    // An alert each; the limit lets three pass and is told of once.
    let each = &x["rules"]["Each"];
    assert_eq!((&each["alerts"], &each["limit"]["suppressed"]), (&3.into(), &17.into()), "{x}");
    assert_eq!(x["system"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&x["alerts"], &x["by_severity"]["HIGH"], &x["destinations"]["pager"]),
        (&5.into(), &5.into(), &2.into())
    );
    assert_eq!((&x["events"], &x["rejected"], &x["quiet"]), (&120.into(), &1.into(), &json!(["Never"])));
    assert_eq!(x["sinks"]["alerts"], 6, "the system's own alert goes there too");
}

#[test]
fn a_part_of_the_time_some_sources_and_some_rules() {
    let p = past();
    let x = replayed(&p, &["--from", "2026-03-01T11:00:00Z", "--to", "2026-03-01T11:55:00Z", "--rule", "Late"]);
    assert_eq!((&x["events_in_range"], &x["matches"], &x["alerts"]), (&55.into(), &5.into(), &1.into()), "{x}");
    assert_eq!(x["rules"].as_object().unwrap().keys().collect::<Vec<_>>(), ["Late"]);
    let x = replayed(&p, &[TO, &["--source", "b"]].concat());
    assert_eq!((&x["events"], &x["rules"]["Late"]["matches"]), (&60.into(), &10.into()));
    let x = replayed(&p, &[TO, &["--source", "a", "--input", "in/b.jsonl"]].concat());
    assert_eq!((&x["events"], &x["rules"]["Late"]["first"]), (&60.into(), &json!("2026-03-01T10:50:00.000Z")));
    // Edited rules, which read a field that the topology's own do not.
    p.file("edited/late.yml", rule("Late", "Detection:\n  - {Key: who, Condition: Equals, Value: y}\n")).unwrap();
    let x = replayed(&p, &[TO, &["--rules", "edited"]].concat());
    assert_eq!((&x["rules"]["Late"]["matches"], &x["quiet"]), (&60.into(), &json!([])), "{x}");
    p.file("edited/bad.yml", rule("Bad", "Detecton: []\n")).unwrap();
    for (args, code, what) in [
        (&["--rules", "edited"][..], 78, "did you mean `Detection`?"),
        (&["--rule", "Lat"], 74, "no rule here has the id `Lat`"),
        (&["--source", "c"], 74, "there is no source `c`; there are a, b"),
        (&["--input", "in/b.jsonl"], 74, "name with --source which of a, b"),
        (&["--from", "yesterday"], 2, "2026-03-01T10:00:00Z"),
    ] {
        let out = p.millstream(&[&["replay", "--quiet"][..], args].concat()).unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(code) && err.contains(what), "{args:?}: {} {err}", out.status);
    }
    let out = p.millstream(&["replay", "--quiet", "--to", "2100-01-01"]).unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    for part in
        ["past: the beginning to 2100-01-01", "40 matches, 0 errors: 5 alerts (HIGH 5)", "1 rules did not match: Never"]
    {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn a_replay_that_is_stopped_reports_what_it_has() {
    let p = past();
    let text = std::fs::read_to_string(p.dir.path().join("topology.toml")).unwrap();
    let endless = "[sources.a]\ntype = \"generate\"\nrate = \"1000/s\"\ncount = 1000000000\n";
    let text = text.replace("[sources.a]\ntype = \"file\"\npath = \"in/a.jsonl\"\n", endless);
    let text = text.replace("[\"Custom.Step\"]", "[\"Custom.Step\", \"Okta.SystemLog\", \"Nginx.Access\"]");
    p.file("topology.toml", text).unwrap();
    let mut child = p
        .command(&["replay", "--output", "json", "--to", "2100-01-01"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    assert!(line.starts_with("replay: ") && line.contains("events/s"), "{line}");
    // SAFETY: our own child.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let status = wait(&mut child, Duration::from_secs(60)).unwrap();
    assert_eq!(status.code(), Some(130));
    let mut out = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();
    let x: Value = serde_json::from_str(&out).unwrap();
    assert!(x["stopped"] == true && x["events"].as_u64() > Some(60) && x["rules"]["Late"]["matches"] == 10, "{x}");
}
