//! A topology with many mistakes reports all of them at once, each at its place.
use crate::fake::findings;

const MISTAKES: &str = r#"schema = 1
tme = "event"

[engine]
epoch = 250

[sources.trail]
type = "flie"
path = "in.jsonl"

[parse.events]
inputs = ["trail"]
log_types = "AWS.CloudTrail"

[enrich.geo]
inputs = ["events"]
[[enrich.geo.table]]
nam = "geo"

[detect.rules]
inputs = ["goe"]
rules = ["gone"]

[dedup.dedup]
inputs = ["rules"]
window = "1 week"

[limit.storm]
inputs = ["rules"]
limit = "1000/h"
release = "windw"

[sinks.alerts]
type = "jsonl"
inputs = ["storm.supressed"]
path = "${OUT_DIR}/alerts.jsonl"

[sinks.Lake]
type = "lake"
inputs = ["events", "events"]
path = "lake"
"#;

const REPORT: &str = r#"t.toml:2:1: error: unknown key `tme`
   | tme = "event"
   | ^^^
   = help: did you mean `time`?
t.toml:5:9: error: `epoch` must be a duration such as "90s" (ms, s, m, h, d), got the integer 250
   | epoch = 250
   |         ^^^
   = help: write "250s" or "250ms"
t.toml:8:8: error: there is no source of type `flie`
   | type = "flie"
   |        ^^^^^^
   = help: did you mean `file`?
t.toml:13:13: error: `log_types` must be a list, got a string
   | log_types = "AWS.CloudTrail"
   |             ^^^^^^^^^^^^^^^^
   = help: write it as a list: ["AWS.CloudTrail"]
t.toml:18:1: error: `table[0]` has no setting `nam`
   | nam = "geo"
   | ^^^
   = help: did you mean `name`?
t.toml:21:11: error: there is no node `goe`
   | inputs = ["goe"]
   |           ^^^^^
   = help: did you mean `geo`?
t.toml:22:10: error: nothing at `gone`
   | rules = ["gone"]
   |          ^^^^^^
t.toml:26:10: error: `window`: `1 week` is not a duration: write a whole number and ms, s, m, h or d, as in "90s"
   | window = "1 week"
   |          ^^^^^^^^
t.toml:29:11: error: `rules` gives matches, `storm` takes alerts
   | inputs = ["rules"]
   |           ^^^^^^^
   = help: put a dedup node between
t.toml:31:11: error: `release` must be one of `window`, `hand`, got `windw`
   | release = "windw"
   |           ^^^^^^^
   = help: did you mean `window`?
t.toml:35:11: error: `storm` has no output `supressed`
   | inputs = ["storm.supressed"]
   |           ^^^^^^^^^^^^^^^^^
   = help: did you mean `suppressed`?
t.toml:36:8: error: the variable OUT_DIR is not set
   | path = "${OUT_DIR}/alerts.jsonl"
   |        ^^^^^^^^^^^^^^^^^^^^^^^^^
   = help: set it, or give a default: ${OUT_DIR:-…}
t.toml:38:8: error: `Lake` cannot be a name of a node
   | [sinks.Lake]
   |        ^^^^
   = help: use a-z, 0-9, `_` and `-`, a letter first, at most 64 characters
t.toml:40:21: error: `events` is in the list twice
   | inputs = ["events", "events"]
   |                     ^^^^^^^^
t.toml:15:1: warning: nobody reads from `geo`
   | [enrich.geo]
   | ^^^^^^^^^^^^
   = help: name it in the inputs of a node, or take it out
t.toml:24:1: warning: nobody reads from `dedup`
   | [dedup.dedup]
   | ^^^^^^^^^^^^^
   = help: name it in the inputs of a node, or take it out
t.toml:28:1: warning: nobody reads from `storm`
   | [limit.storm]
   | ^^^^^^^^^^^^^
   = help: name it in the inputs of a node, or take it out
"#;

#[test]
fn all_of_them_at_once() {
    let text = findings(&[("t.toml", MISTAKES)]);
    assert_eq!(text, REPORT, "\n{text}");
}
