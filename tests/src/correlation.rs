//! A pipeline whose alerts are made by correlation rules alone, and runs of it that are killed and go on in another size.
use crate::kills::Random;
use crate::run::{Pipeline, RUN_MAX, wait};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Workers of one life after the other.
pub const SIZES: [usize; 5] = [1, 2, 4, 3, 1];

const TOPOLOGY: &str = r#"
schema = 1
name = "correlation"
time = "event"

[engine]
data_dir = "out/state"
epoch = "20ms"
epoch_bytes = "64KiB"
checkpoint = "30ms"
in_flight = 3

[sources.doors]
type = "file"
path = "in/*.jsonl"

[parse.events]
inputs = ["doors"]
log_types = ["Custom.Door"]
schemas = ["schemas"]

[detect.rules]
inputs = ["events"]
rules = ["rules"]
sigma_mappings = ["mapping.yml"]

[correlate.chains]
inputs = ["rules"]
rules = ["rules", "correlations"]
sigma_mappings = ["mapping.yml"]
lateness = "1m"

[dedup.window]
inputs = ["rules", "chains"]

[sinks.alerts]
type = "jsonl"
inputs = ["window"]
path = "out/alerts.jsonl"
only = "new"
"#;

const SCHEMA: &str = "
version: 0
schema: Custom.Door
fields:
  - {name: at, type: timestamp, timeFormat: rfc3339, isEventTime: true, required: true}
  - {name: kind, type: string, required: true}
  - {name: who, type: object, fields: [{name: name, type: string}]}
  - {name: doors, type: array, element: {type: string}}
  - {name: weight, type: bigint}
";

const MAPPING: &str = "
sources:
  - logsource: {product: door}
    shapes:
      - log_type: Custom.Door
        fields: {Person: who.name}
";

const SIGMA: &str = "
title: Carried
name: carried
id: door.carried
logsource: {product: door}
detection:
  s: {kind: carried}
  condition: s
---
title: Too much carried
id: sigma.too-much
level: high
correlation:
  type: value_sum
  rules: [carried]
  group-by: [Person]
  timespan: 30m
  condition: {field: weight, gte: 60}
---
title: Little carried
id: sigma.little
level: low
correlation:
  type: value_avg
  rules: [carried]
  group-by: [Person]
  timespan: 10m
  condition: {field: weight, lt: 4}
";

const HEAD: &str = "AnalysisType: correlation_rule\nEnabled: true\nSeverity: High\n";
const SCHEDULE: &str = "    Schedule: {RateMinutes: 60, TimeoutMinutes: 5}\n";

/// Correlation rules by file: a group over a list, a sequence, one that something is absent from, one of another one's matches.
fn correlations() -> Vec<(&'static str, String)> {
    let rule = |id: &str, detection: &str| format!("{HEAD}RuleID: {id}\nDetection:\n{detection}{SCHEDULE}");
    vec![
        (
            "correlations/group.yml",
            rule(
                "Doors.Together",
                "  - Group:\n      - {ID: O, RuleID: door.opened, MinMatchCount: 3}\n      - {ID: A, RuleID: door.alarm}\n    \
                 MatchCriteria: {door: [{GroupID: O, Match: doors}, {GroupID: A, Match: doors}]}\n    \
                 LookbackWindowMinutes: 5\n",
            ),
        ),
        (
            "correlations/sequence.yml",
            rule(
                "Doors.Sequence",
                "  - Sequence: [{ID: A, RuleID: door.alarm}, {ID: O, RuleID: door.opened}, {ID: C, RuleID: door.carried}]\n    \
                 Transitions:\n      - {ID: t, From: A, To: O, WithinTimeFrameMinutes: 5, Match: [{On: who.name}]}\n      \
                 - {ID: u, From: O, To: C, WithinTimeFrameMinutes: 5, Match: [{On: who.name}]}\n    \
                 LookbackWindowMinutes: 8\n",
            ),
        ),
        (
            "correlations/absent.yml",
            rule(
                "Doors.NoBadge",
                "  - Group: [{ID: C, RuleID: door.carried}, {ID: B, RuleID: door.badge, Absence: true}]\n    \
                 MatchCriteria: {who: [{GroupID: C, Match: who.name}, {GroupID: B, Match: p_alert_context.name}]}\n    \
                 LookbackWindowMinutes: 6\n",
            ),
        ),
        (
            "correlations/chain.yml",
            rule(
                "Doors.Chain",
                "  - Group: [{ID: S, RuleID: Doors.Sequence}, {ID: M, RuleID: sigma.too-much}]\n    \
                 MatchCriteria: {who: [{GroupID: S, Match: p_alert_context.key.\"who.name\"}, {GroupID: M, Match: Person}]}\n    \
                 LookbackWindowMinutes: 60\n",
            ),
        ),
    ]
}

/// The pipeline over so many events, one every two seconds of their time.
pub fn pipeline(events: u64, seed: u64) -> Result<Pipeline> {
    let p = Pipeline::new(TOPOLOGY)?;
    p.file("schemas/door.yml", SCHEMA)?;
    p.file("mapping.yml", MAPPING)?;
    p.file("rules/sigma.yml", SIGMA)?;
    for kind in ["opened", "alarm", "badge"] {
        let context = "AlertContext: [{KeyName: name, KeyValue: {KeyPath: who.name}}]\n";
        let rule = format!(
            "AnalysisType: rule\nRuleID: door.{kind}\nEnabled: true\nSeverity: Info\nCreateAlert: false\n\
             LogTypes: [Custom.Door]\nDetection: [{{Key: kind, Condition: Equals, Value: {kind}}}]\n{context}"
        );
        p.file(&format!("rules/{kind}.yml"), rule)?;
    }
    for (file, text) in correlations() {
        p.file(file, text)?;
    }
    let (mut random, mut lines) = (Random(seed), Vec::new());
    for n in 0..events {
        let kind = ["opened", "opened", "carried", "alarm", "badge", "other"][random.below(6) as usize];
        let (who, door) = (random.below(40), random.below(25));
        // A minute late at most, as the topology says.
        let second = 2 * n + 60 - random.below(60);
        let at = format!(
            "2026-03-{:02}T{:02}:{:02}:{:02}Z",
            1 + second / 86_400,
            second / 3_600 % 24,
            second / 60 % 60,
            second % 60
        );
        lines.push(format!(
            r#"{{"at":"{at}","kind":"{kind}","who":{{"name":"w{who}"}},"doors":["d{door}","d{}"],"weight":{}}}"#,
            (door + 1) % 25,
            random.below(30)
        ));
    }
    p.small_files("in", &lines)?;
    Ok(p)
}

/// The alerts, sorted: in which epoch one is told that something absent completes, is a matter of the run's clock. How many there
/// are of each rule.
pub fn alerts(p: &Pipeline) -> (Vec<String>, BTreeMap<String, usize>) {
    let (mut out, mut rules) = (Vec::new(), BTreeMap::new());
    for a in p.rows("alerts.jsonl") {
        *rules.entry(a["id"].as_str().unwrap_or_default().to_string()).or_default() += 1;
        out.push(a.to_string());
    }
    out.sort();
    (out, rules)
}

/// Run a pipeline to its end, undisturbed; how long that takes.
pub fn timed(p: &Pipeline, workers: usize) -> Result<Duration> {
    let began = Instant::now();
    p.once(workers)?;
    Ok(began.elapsed())
}

/// Run a pipeline to its end; its engine is killed with SIGKILL so many times, each within the time that a run takes, and begins
/// again with the next number of [`SIZES`]. How many kills hit it at work.
pub fn run_killed(p: &Pipeline, kills: u64, time: Duration, random: &mut Random) -> Result<u64> {
    let (mut hit, end) = (0, Instant::now() + RUN_MAX);
    for n in 0.. {
        let workers = SIZES[n % SIZES.len()].to_string();
        let log = std::fs::File::create(p.dir.path().join("kills.log"))?;
        let mut child = p
            .command(&["run", "topology.toml", "--once", "--quiet", "--no-supervisor", "--workers", &workers])
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()?;
        if hit < kills {
            std::thread::sleep(Duration::from_micros(random.below(time.as_micros().max(1) as u64)));
            if child.try_wait()?.is_none() {
                child.kill()?;
                child.wait()?;
                hit += 1;
                ensure!(Instant::now() < end, "kills take longer than {RUN_MAX:?}");
                continue;
            }
        }
        let status = wait(&mut child, RUN_MAX)?;
        let text = std::fs::read_to_string(p.dir.path().join("kills.log")).unwrap_or_default();
        ensure!(status.success(), "the run with {workers} workers did not finish: {status}\n{text}");
        break;
    }
    Ok(hit)
}
