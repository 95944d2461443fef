//! A bad topology: every mistake at once, each with its place.
use tests::run::Pipeline;

/// Ten mistakes of different kinds; the comment of a line says what must be found there.
const BAD: &str = r#"schema = 1
name = "bad"

[engine]
epoch = 250

[sources.logs]
type = "fiel"
path = "x.jsonl"

[sources.more]
type = "file"
path = "${MILLSTREAM_TEST_UNSET}"

[parse.events]
inputs = ["logs", "more"]
log_types = ["AWS.CloudTrial"]

[detect.rules]
inputs = ["events"]
rules = ["no-such-folder"]

[dedup.window]
inputs = ["events"]

[limit.storm]
inputs = ["windwo"]
limit = "1000 per hour"
relase = "hand"

[sinks.alerts]
type = "jsonl"
inputs = ["storm.supressed"]
"#;

#[test]
fn ten_mistakes_are_reported_at_once_with_their_places() {
    let p = Pipeline::new(BAD).unwrap();
    let out = p.millstream(&["check"]).unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(78), "{text}");
    let places = [
        (5, "epoch"),
        (8, "file"),
        (13, "MILLSTREAM_TEST_UNSET"),
        (17, "AWS.CloudTrail"),
        (21, "no-such-folder"),
        (24, "events"),
        (27, "window"),
        (28, "1000"),
        (29, "release"),
        (31, "path"),
        (33, "suppressed"),
    ];
    let mut found = 0;
    for (line, word) in places {
        let at = format!("topology.toml:{line}:");
        let hit = text.split("topology.toml:").any(|part| part.starts_with(&format!("{line}:")) && part.contains(word));
        assert!(hit, "nothing about `{word}` at {at}\n{text}");
        found += hit as u32;
    }
    assert!(found >= 10);
    let json = p.millstream(&["check", "--output", "json"]).unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(rows.as_array().unwrap().len() >= 10);
}

#[test]
fn the_shipped_topologies_check_and_draw() {
    let root = tests::project::root();
    let mut p = Pipeline::new("").unwrap();
    p.set("INPUT", "in.jsonl");
    p.set("LOOKUP", &root.join("tests/data/lookup.csv").to_string_lossy());
    for t in ["topology.toml", "bench/cases/common/topology.toml"] {
        let path = root.join(t).to_string_lossy().into_owned();
        let out = p.millstream(&["check", &path]).unwrap();
        assert!(out.status.success(), "{t}\n{}", String::from_utf8_lossy(&out.stderr));
        for (format, start) in [("svg", "<svg"), ("mermaid", "flowchart"), ("dot", "digraph")] {
            let out = p.millstream(&["graph", &path, "--format", format]).unwrap();
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(text.trim_start().starts_with(start) && text.contains("storm"), "{t} {format}: {text}");
        }
    }
}

#[test]
fn the_schema_file_is_the_one_the_program_prints() {
    let p = Pipeline::new("").unwrap();
    let out = p.millstream(&["schema"]).unwrap();
    let kept = std::fs::read(tests::project::root().join("topology.schema.json")).unwrap_or_default();
    assert!(out.stdout == kept, "run: millstream schema > topology.schema.json");
}
