//! A pipeline whose alerts are made by Python rules that share the key-value store, and what they must be.
use crate::kills::Random;
use crate::run::Pipeline;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

const TOPOLOGY: &str = r#"
schema = 1
name = "store"
time = "event"

[engine]
data_dir = "out/state"
epoch = "20ms"
epoch_bytes = "16KiB"
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

[dedup.window]
inputs = ["rules"]

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
  - {name: n, type: bigint}
  - {name: who, type: string}
  - {name: door, type: string}
  - {name: weight, type: bigint}
";

/// Rules by id. What the first one writes, the last one reads; every match is an alert of its own.
const RULES: [(&str, &str); 3] = [
    (
        "Door.First",
        "from panther_detection_helpers.caching import get_string_set, put_string_set\n\
         def rule(event):\n    if event.get('kind') != 'opened':\n        return False\n    \
         seen = get_string_set('seen-' + event.get('who'))\n    if event.get('door') in seen:\n        return False\n    \
         put_string_set('seen-' + event.get('who'), list(seen) + [event.get('door')], 3600)\n    return True\n",
    ),
    (
        "Door.Often",
        "from panther_detection_helpers import caching\n\
         def rule(event):\n    if event.get('kind') != 'alarm':\n        return False\n    \
         return caching.increment_counter('alarms-' + event.get('who'), 1, 300) % 3 == 0\n",
    ),
    (
        "Door.Weight",
        "from panther_detection_helpers.caching import get_dictionary, get_string_set, put_dictionary\n\
         def rule(event):\n    if event.get('kind') != 'carried':\n        return False\n    \
         last = get_dictionary('last-' + event.get('who'))\n    \
         put_dictionary('last-' + event.get('who'), {'weight': event.get('weight')}, 1200)\n    \
         return bool(get_string_set('seen-' + event.get('who'))) and last.get('weight', 0) + event.get('weight') > 40\n",
    ),
];

struct Event {
    second: i64,
    kind: &'static str,
    who: u64,
    door: u64,
    weight: u64,
}

/// One event every two seconds of their time, a minute late at most.
fn events(count: u64, seed: u64) -> Vec<Event> {
    let mut random = Random(seed);
    let mut one = |n: u64| Event {
        second: (2 * n + 60 - random.below(60)) as i64,
        kind: ["opened", "opened", "carried", "alarm", "other"][random.below(5) as usize],
        who: random.below(30),
        door: random.below(9),
        weight: random.below(30),
    };
    (0..count).map(&mut one).collect()
}

/// The pipeline over so many events.
pub fn pipeline(count: u64, seed: u64) -> Result<Pipeline> {
    let p = Pipeline::new(TOPOLOGY)?;
    p.file("schemas/door.yml", SCHEMA)?;
    for (id, body) in RULES {
        let yaml = format!(
            "AnalysisType: rule\nRuleID: {id}\nEnabled: true\nSeverity: Low\nLogTypes: [Custom.Door]\nFilename: {id}.py\n"
        );
        p.file(&format!("rules/{id}.yml"), yaml)?;
        p.file(&format!("rules/{id}.py"), format!("{body}def title(event):\n    return str(event.get('n'))\n"))?;
    }
    let mut lines = Vec::new();
    for (n, e) in events(count, seed).iter().enumerate() {
        let at = format!(
            "2026-03-{:02}T{:02}:{:02}:{:02}Z",
            1 + e.second / 86_400,
            e.second / 3_600 % 24,
            e.second / 60 % 60,
            e.second % 60
        );
        let Event { kind, who, door, weight, .. } = e;
        lines.push(format!(
            r#"{{"at":"{at}","kind":"{kind}","n":{n},"who":"w{who}","door":"d{door}","weight":{weight}}}"#
        ));
    }
    p.small_files("in", &lines)?;
    Ok(p)
}

/// Rule and title of every alert that there must be, sorted: dictionaries with a time, and nothing else.
pub fn expected(count: u64, seed: u64) -> Vec<(String, String)> {
    let mut seen: BTreeMap<u64, (BTreeSet<u64>, i64)> = BTreeMap::new();
    let (mut alarms, mut last): (BTreeMap<u64, (u64, i64)>, BTreeMap<u64, (u64, i64)>) = Default::default();
    let mut out = Vec::new();
    for (n, e) in events(count, seed).iter().enumerate() {
        let doors = seen.get(&e.who).filter(|(_, until)| *until > e.second).map(|(d, _)| d.clone()).unwrap_or_default();
        let number =
            |all: &BTreeMap<u64, (u64, i64)>| all.get(&e.who).filter(|(_, until)| *until > e.second).map_or(0, |a| a.0);
        let rule = match e.kind {
            "opened" if !doors.contains(&e.door) => {
                let doors = doors.into_iter().chain([e.door]).collect();
                seen.insert(e.who, (doors, e.second + 3_600));
                "Door.First"
            }
            "alarm" => {
                let count = number(&alarms) + 1;
                alarms.insert(e.who, (count, e.second + 300));
                if count % 3 != 0 {
                    continue;
                }
                "Door.Often"
            }
            "carried" => {
                let before = number(&last);
                last.insert(e.who, (e.weight, e.second + 1_200));
                if doors.is_empty() || before + e.weight <= 40 {
                    continue;
                }
                "Door.Weight"
            }
            _ => continue,
        };
        out.push((rule.to_string(), n.to_string()));
    }
    out.sort();
    out
}

/// Rule and title of the alerts of a pipeline, sorted.
pub fn found(p: &Pipeline) -> Vec<(String, String)> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_string();
    let mut out: Vec<(String, String)> =
        p.rows("alerts.jsonl").iter().map(|a| (text(&a["id"]), text(&a["title"]))).collect();
    out.sort();
    out
}
