//! A small pipeline for tests that watch or edit a running engine: a growing file of numbers, rules, two outputs.
use tests::run::Pipeline;

const TOPOLOGY: &str = r#"
schema = 1
name = "NAME"

[engine]
data_dir = "out/state"
epoch = "50ms"
checkpoint = "300ms"

[sources.numbers]
type = "file"
path = "in/numbers.jsonl"

[parse.events]
inputs = ["numbers"]
log_types = ["Custom.Number"]
schemas = ["schemas"]

[detect.rules]
inputs = ["events"]
rules = ["rules"]

[dedup.window]
inputs = ["rules"]

[sinks.all]
type = "jsonl"
inputs = ["events"]
path = "out/events.jsonl"

[sinks.alerts]
type = "jsonl"
inputs = ["window"]
path = "out/alerts.jsonl"
only = "new"
"#;

/// Type of its events.
const SCHEMA: &str = "
version: 0
schema: Custom.Number
fields:
  - name: n
    type: bigint
    required: true
  - name: kind
    type: string
";

/// Its topology.
pub fn topology(name: &str) -> String {
    TOPOLOGY.replace("NAME", name)
}

/// The pipeline in a folder of its own, with an empty input and these rules.
pub fn pipeline(name: &str, rules: &[(&str, &str)]) -> Pipeline {
    let p = Pipeline::new(&topology(name)).unwrap();
    p.file("schemas/number.yml", SCHEMA).unwrap();
    p.file("in/numbers.jsonl", "").unwrap();
    for (path, text) in rules {
        p.file(path, text).unwrap();
    }
    p
}
