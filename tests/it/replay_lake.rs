//! A replay of the lake says what a replay of the records says that the lake was made of.
use serde_json::{Value, json};
use tests::project::common_input;
use tests::run::Pipeline;

fn replayed(p: &Pipeline, args: &[&str]) -> Value {
    let out = p.millstream(&[&["replay", "--quiet", "--output", "json", "--samples", "1000"][..], args].concat());
    let out = out.unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    let mut said: Value = serde_json::from_slice(&out.stdout).unwrap();
    // A lake has other bytes than its input, and nothing that was refused.
    ["bytes", "rejected"].iter().for_each(|key| drop(said.as_object_mut().unwrap().remove(*key)));
    said
}

const TO: &[&str] = &["--to", "2100-01-01"];

#[test]
fn the_common_job_says_the_same_of_its_lake() {
    let (input, lookup) = common_input(30_000, 1).unwrap();
    let engine = "epoch_bytes = \"1MiB\"\nepoch = \"20ms\"\ncheckpoint = \"100ms\"";
    let p = Pipeline::common(&input, &lookup, engine).unwrap();
    let text = String::from_utf8(p.read("../topology.toml")).unwrap();
    let sink = "\n[sinks.lake]\ntype = \"parquet\"\ninputs = [\"geo\"]\npath = \"${OUT}/lake\"\nmax_age = \"200ms\"\n";
    p.file("topology.toml", text + sink).unwrap();
    p.once(2).unwrap();
    let want = replayed(&p, TO);
    assert!(want["alerts"].as_u64() > Some(10), "{want}");
    for workers in ["1", "3"] {
        let got = replayed(&p, &[TO, &["--lake", "lake", "--workers", workers]].concat());
        assert!(got == want, "{workers} workers: {got}\nnot {want}");
    }
}

const TOPOLOGY: &str = r#"
schema = 1
name = "past"

[engine]
data_dir = "out/state"

[sources.a]
type = "file"
path = "in/*.jsonl"

[parse.events]
inputs = ["a"]
log_types = ["Custom.Odd", "Nginx.Access", "Okta.SystemLog"]
schemas = ["schemas"]

[transforms.hide]
type = "mask"
inputs = ["events"]
fields = [{ path = "n", with = "hash", salt = "s" }]

[detect.rules]
inputs = ["hide"]
rules = ["rules"]

[dedup.window]
inputs = ["rules"]

[sinks.alerts]
type = "jsonl"
inputs = ["window"]
path = "out/alerts.jsonl"

[sinks.lake]
type = "parquet"
inputs = ["hide"]
path = "out/lake"
max_age = "0s"
"#;

const SCHEMA: &str = "
version: 0
schema: Custom.Odd
fields:
  - {name: t, type: timestamp, timeFormat: rfc3339, isEventTime: true, required: true}
  - {name: n, type: bigint}
  - {name: f, type: float}
  - {name: u, type: timestamp, timeFormat: unix}
  - {name: j, type: json}
  - {name: who, type: string, rename: {from: user}, indicators: [username]}
  - {name: inner, type: object, fields: [{name: ip, type: string, indicators: [ip]}, {name: l, type: array, element: {type: json}}]}
";

/// Everything of an event but when it was parsed.
const PYTHON: &str = "
def rule(event):
    return event.get('who') is not None

def title(event):
    told = event.to_dict()
    told.pop('p_parse_time')
    return repr(sorted(told.items(), key=lambda item: item[0]))[:990]

def dedup(event):
    return f\"{event.get('p_row_id')} {event.deep_get('inner', 'ip')} {event.get('p_any_usernames')}\"
";

const LUA: &str = "
function rule(event) return event.p_log_type == 'Custom.Odd' end
function title(event) return tostring(event.f) .. ' ' .. tostring(event.u) .. ' ' .. tostring(event.n) end
";

fn past() -> Pipeline {
    let p = Pipeline::new(TOPOLOGY).unwrap();
    p.file("schemas/odd.yml", SCHEMA).unwrap();
    let rule = |id: &str, types: &str, more: &str| {
        format!("AnalysisType: rule\nRuleID: {id}\nEnabled: true\nSeverity: High\nLogTypes: [{types}]\n{more}")
    };
    p.file("rules/whole.py", PYTHON).unwrap();
    p.file("rules/whole.yml", rule("Whole", "Custom.Odd", "Filename: whole.py\n")).unwrap();
    p.file("rules/some.lua", LUA).unwrap();
    p.file("rules/some.yml", rule("Some", "Custom.Odd", "Filename: some.lua\n")).unwrap();
    let web = "Detection: [{Key: status, Condition: Equals, Value: 404}]\nAlertTitle: '{remoteAddr} {request} {p_source_file.path}'\n";
    p.file("rules/web.yml", rule("Web", "Nginx.Access", &format!("{web}GroupBy: [{{Key: remoteAddr}}]\n"))).unwrap();
    let sigma = "title: Sigma\nid: 6a1f5d0c-5f3c-4a0e-9c55-0b4d8f0f1e01\nstatus: test\nlevel: low\n\
                 logsource: {category: webserver}\ndetection:\n  s: {cs-method: GET}\n  condition: s\n";
    p.file("rules/sigma.yml", sigma).unwrap();
    // Several events of one moment in several files, so that the order among them decides which is told.
    let odd = |file: u32, i: u32| {
        let f = ["1.50", "2", "0.1", "3.0", "1e3"][i as usize % 5];
        let u = ["5", "\"5\"", "1.25"][i as usize % 3];
        let j = ["{\"a\":[1.50,\"x\"]}", "\"7\"", "7", "null", "\"text\""][i as usize % 5];
        let t = ["Z", ".000Z", ".5Z", "+00:00"][i as usize % 4];
        format!(
            "{{\"t\":\"2026-03-01T{:02}:{:02}:00{t}\",\"n\":{i},\"f\":{f},\"u\":{u},\"j\":{j},\"user\":\"u{}\",\"more\":1,\
             \"inner\":{{\"ip\":\"192.0.2.{i}\",\"l\":[null,{i}],\"left\":true}}}}\n",
            10 + i / 60,
            i % 60,
            file * 7 + i % 3,
        )
    };
    for file in 0..3 {
        p.file(&format!("in/{file}.jsonl"), (0..200).map(|i| odd(file, i)).collect::<String>()).unwrap();
    }
    let line = |i: u32| {
        let status = if i.is_multiple_of(3) { 404 } else { 200 };
        format!(
            "198.51.100.{} - - [01/Mar/2026:1{}:{:02}:09 +0000] \"GET /p{i} HTTP/1.1\" {status} 612 \"-\" \"curl\"\n",
            i % 7,
            i / 60,
            i % 60
        )
    };
    p.file("in/web.jsonl", (0..120).map(line).collect::<String>()).unwrap();
    p
}

#[test]
fn every_kind_of_rule_sees_the_event_that_the_parser_gave() {
    let p = past();
    p.once(2).unwrap();
    let want = replayed(&p, TO);
    for rule in ["Whole", "Some", "Web", "6a1f5d0c-5f3c-4a0e-9c55-0b4d8f0f1e01"] {
        assert!(want["rules"][rule]["matches"].as_u64() > Some(30), "{rule}: {want}");
    }
    let got = replayed(&p, &[TO, &["--lake", "lake"]].concat());
    for (id, rule) in want["rules"].as_object().unwrap() {
        assert!(got["rules"][id] == *rule, "{id}: {}\nnot {rule}", got["rules"][id]);
    }
    assert_eq!(got, want);
    // What the run itself said, by its ids.
    let titles = |rule: &str| {
        let rows = p.rows("alerts.jsonl");
        let mut all: Vec<String> =
            rows.iter().filter(|r| r["id"] == *rule && r["change"] == "new").map(|r| r["title"].to_string()).collect();
        all.sort();
        all
    };
    let mut of_lake: Vec<String> =
        got["rules"]["Whole"]["samples"].as_array().unwrap().iter().map(|s| s["title"].to_string()).collect();
    of_lake.sort();
    assert_eq!(titles("Whole"), of_lake);
}

#[test]
fn a_part_of_the_lake() {
    let p = past();
    p.once(1).unwrap();
    let part = ["--from", "2026-03-01T10:30:00Z", "--to", "2026-03-01T12:10:00Z"];
    let want = replayed(&p, &part);
    let mut got = replayed(&p, &[&part[..], &["--lake", "lake"]].concat());
    assert_eq!(got["events"], want["events_in_range"], "what is outside is not even read");
    got["events"] = want["events"].clone();
    assert_eq!(got, want);
    let web = replayed(&p, &[TO, &["--lake", "lake", "--log-type", "Nginx.Access"]].concat());
    assert_eq!((&web["events"], &web["rules"]["Whole"]), (&json!(120), &Value::Null));
    // A copy of the lake, and no source at all.
    std::fs::rename(p.out("lake"), p.out("copy")).unwrap();
    std::fs::remove_dir_all(p.dir.path().join("in")).unwrap();
    let copy = replayed(&p, &[TO, &["--lake", "lake", "--input", "out/copy"]].concat());
    assert_eq!(copy["events"], 720);
    for (args, what) in [
        (&["--lake", "alerts"][..], "there is no Parquet sink `alerts`; there are lake"),
        (&["--lake", "lake", "--log-type", "X"], "no parser before lake knows the log type `X`"),
    ] {
        let out = p.millstream(&[&["replay", "--quiet"][..], args].concat()).unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(74) && err.contains(what), "{args:?}: {} {err}", out.status);
    }
    let text = TOPOLOGY.replace("[detect.rules]\ninputs = [\"hide\"]", "[detect.rules]\ninputs = [\"events\"]");
    p.file("topology.toml", text).unwrap();
    let out = p.millstream(&["replay", "--quiet", "--lake", "lake"]).unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && err.contains("holds events as hide left them"), "{err}");
}
