//! Settings of the `kafka` source, as written and as checked.
use crate::client::Connection;
use model::path::{Path, Seg};
use model::units::{Dur, Size};
use model::{Problem, time};
use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings of a `kafka` source.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(flatten)]
    connection: Connection,
    /// Topics to read. Either this or `pattern`.
    #[serde(default)]
    topics: Vec<String>,
    /// Regular expression that the whole name of a topic must match; topics that appear later are read as well.
    pattern: Option<String>,
    /// Where reading starts when this source runs for the first time: `earliest`, `latest`, or `timestamp:` and a time
    /// such as `timestamp:2026-01-31T00:00:00Z`. Partitions and topics that appear later are read from their
    /// beginning. Afterwards the engine's own log says where to go on.
    #[serde(default = "earliest")]
    start: String,
    /// First offset by `topic:partition`, for partitions that start elsewhere than at `start`.
    #[serde(default)]
    start_offsets: BTreeMap<String, u64>,
    /// What to do where the retention of a topic has deleted records before they were read. `stop` ends the run and
    /// says what is lost; `skip` goes on behind the gap and rejects one record in its place (code `records_lost`).
    #[serde(default)]
    missing: Missing,
    /// Consumer group that shows how far this source is, for lag tools. It is never read back. Default: the name of
    /// the topology, a dot, and the id of this source.
    group: Option<String>,
    /// `read_committed` passes over aborted transactions and does not read into open ones; `read_uncommitted` reads
    /// everything.
    #[serde(default)]
    isolation: Isolation,
    /// Memory of each worker for records that are read ahead, shared by its partitions. Much more is
    /// slower: a record has left the processor's cache when its turn comes.
    #[serde(default = "memory")]
    memory: Size,
    /// How the value of a Kafka record becomes events.
    #[serde(default)]
    stream: Stream,
    /// Field that holds the array of records, for `json_array`: a path such as `detail.records`. Default: the value
    /// itself is the array.
    array_field: Option<String>,
    /// Longest event; a longer one is rejected.
    #[serde(default = "max_record")]
    max_record: Size,
    /// How often the ends of the partitions are looked at.
    #[serde(default = "poll")]
    poll: Dur,
    /// How often new topics and partitions are looked for.
    #[serde(default = "discover")]
    discover: Dur,
    /// Name shown as `p_source_label`. Default: the id of this source.
    label: Option<String>,
}

/// See [`Settings::missing`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Missing {
    #[default]
    Stop,
    Skip,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Isolation {
    #[default]
    ReadCommitted,
    ReadUncommitted,
}

/// How the value of a Kafka record becomes events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stream {
    /// The value is one event.
    #[default]
    Record,
    /// One event per line of the value.
    Lines,
    /// Elements of a JSON array: the value itself, or the array at `array_field`.
    JsonArray,
    /// Elements of `Records`, as CloudTrail writes them.
    #[serde(rename = "cloudtrail")]
    CloudTrail,
}

fn earliest() -> String {
    "earliest".into()
}
fn memory() -> Size {
    Size(64 << 20)
}
fn max_record() -> Size {
    Size(1 << 20)
}
fn poll() -> Dur {
    Dur(25)
}
fn discover() -> Dur {
    Dur(10_000)
}

/// Bounds of `max_record`: spans are 32 bits wide, and a batch is held several times.
const MAX_RECORD: std::ops::RangeInclusive<u64> = 64..=64 << 20;
/// Least memory for reading ahead.
const MIN_MEMORY: u64 = 4 << 20;
/// Most topics that are named one by one.
const MAX_TOPICS: usize = 1000;
/// Longest name of a topic (Kafka's own limit).
const MAX_NAME: usize = 249;

/// Where a source begins that has never run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Earliest,
    Latest,
    /// At the first record with this time or a later one, milliseconds since 1970.
    Timestamp(i64),
}

/// Which topics are read.
#[derive(Debug)]
pub(crate) enum Topics {
    Named(Vec<Arc<str>>),
    Pattern(Regex),
}

impl Topics {
    /// True if a topic is one of them.
    pub(crate) fn has(&self, topic: &str) -> bool {
        match self {
            Topics::Named(names) => names.iter().any(|n| **n == *topic),
            Topics::Pattern(p) => p.is_match(topic),
        }
    }
}

/// Checked settings.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) connection: Connection,
    pub(crate) topics: Topics,
    pub(crate) start: Start,
    /// By `(topic, partition)`.
    pub(crate) start_offsets: BTreeMap<(String, i32), u64>,
    pub(crate) missing: Missing,
    pub(crate) group: Option<String>,
    pub(crate) committed_only: bool,
    pub(crate) memory: u64,
    pub(crate) stream: Stream,
    pub(crate) array: Path,
    pub(crate) max_record: usize,
    pub(crate) poll_ms: u64,
    pub(crate) discover_ms: u64,
    pub(crate) label: Option<Arc<str>>,
}

impl Config {
    /// Value of librdkafka's `isolation.level`.
    pub(crate) fn isolation(&self) -> &'static str {
        if self.committed_only { "read_committed" } else { "read_uncommitted" }
    }
}

/// Check the settings; reports everything that is wrong.
pub(crate) fn check(s: Settings) -> Result<Config, Vec<Problem>> {
    let mut problems = s.connection.problems();
    let mut bad = |setting: &str, message: String, hint: &str| problems.push(Problem::at(setting, message).hint(hint));
    let topics = topics(&s, &mut bad);
    let start = match s.start.split_once(':') {
        None if s.start == "earliest" => Start::Earliest,
        None if s.start == "latest" => Start::Latest,
        Some(("timestamp", at)) if time::rfc3339_ns(at).is_some_and(|ns| ns >= 0) => {
            Start::Timestamp(time::rfc3339_ns(at).map_or(0, |ns| ns.div_euclid(1_000_000)))
        }
        _ => {
            let hint = "earliest, latest, or timestamp:2026-01-31T00:00:00Z";
            bad("start", format!("`{}` is not a place to start", s.start), hint);
            Start::Earliest
        }
    };
    let mut start_offsets = BTreeMap::new();
    for (key, offset) in &s.start_offsets {
        match key.rsplit_once(':').map(|(t, p)| (t, p.parse::<i32>())) {
            Some((t, Ok(p))) if p >= 0 && topics.has(t) && *offset <= i64::MAX as u64 => {
                start_offsets.insert((t.to_string(), p), *offset);
            }
            Some((t, Ok(_))) if !topics.has(t) => {
                bad(
                    "start_offsets",
                    format!("`{key}`: this source does not read the topic `{t}`"),
                    "name it in topics",
                );
            }
            _ => bad("start_offsets", format!("`{key}` is not a partition"), "write \"topic:partition\" = offset"),
        }
    }
    if !MAX_RECORD.contains(&s.max_record.0) {
        bad("max_record", format!("{} is out of range", s.max_record), "between 64 bytes and 64MiB");
    }
    if s.memory.0 < MIN_MEMORY {
        bad("memory", format!("{} is too little", s.memory), "at least 4MiB");
    }
    for (name, t, range) in [("poll", s.poll, 5..=10_000), ("discover", s.discover, 100..=3_600_000)] {
        if !range.contains(&t.0) {
            let (low, high) = (Dur(*range.start()), Dur(*range.end()));
            bad(name, format!("{t} is out of range"), &format!("between {low} and {high}"));
        }
    }
    if s.group.as_deref() == Some("") {
        bad("group", "the name is empty".into(), "leave it out for the default");
    }
    if s.array_field.is_some() && s.stream != Stream::JsonArray {
        bad("array_field", "it is only used by one stream".into(), "set stream = \"json_array\"");
    }
    let array = match (s.stream, s.array_field.as_deref().map(Path::parse)) {
        (Stream::CloudTrail, _) => Path::key("Records"),
        (_, None) => Path::default(),
        (_, Some(Ok(p))) if p.0.iter().all(|s| matches!(s, Seg::Key(_))) => p,
        (_, Some(Ok(_))) => {
            bad("array_field", "only names of fields lead to an array".into(), "such as detail.records");
            Path::default()
        }
        (_, Some(Err(e))) => {
            bad("array_field", e.to_string(), "such as detail.records");
            Path::default()
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        connection: s.connection,
        topics,
        start,
        start_offsets,
        missing: s.missing,
        group: s.group,
        committed_only: s.isolation == Isolation::ReadCommitted,
        memory: s.memory.0,
        stream: s.stream,
        array,
        max_record: s.max_record.0 as usize,
        poll_ms: s.poll.0,
        discover_ms: s.discover.0,
        label: s.label.map(Arc::from),
    })
}

fn topics(s: &Settings, bad: &mut dyn FnMut(&str, String, &str)) -> Topics {
    if s.topics.is_empty() == s.pattern.is_none() {
        let what = if s.pattern.is_none() { "no topic is named" } else { "topics and pattern exclude each other" };
        bad(if s.pattern.is_none() { "topics" } else { "pattern" }, what.into(), "set topics or pattern");
    }
    if s.topics.len() > MAX_TOPICS {
        bad("topics", format!("more than {MAX_TOPICS} topics"), "use pattern");
    }
    for (i, t) in s.topics.iter().enumerate() {
        if !is_topic(t) {
            let hint = "letters, digits, dots, underscores and hyphens, at most 249";
            bad(&format!("topics[{i}]"), format!("`{t}` is not the name of a topic"), hint);
        } else if s.topics[..i].contains(t) {
            bad(&format!("topics[{i}]"), format!("`{t}` is named twice"), "name it once");
        }
    }
    let Some(pattern) = &s.pattern else { return Topics::Named(s.topics.iter().map(|t| Arc::from(&**t)).collect()) };
    match Regex::new(&format!("^(?:{pattern})$")) {
        Ok(r) => Topics::Pattern(r),
        Err(e) => {
            bad("pattern", format!("it is not a regular expression: {e}"), "such as raw\\\\.[a-z]+");
            Topics::Named(Vec::new())
        }
    }
}

fn is_topic(name: &str) -> bool {
    let legal = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    legal && !name.is_empty() && name.len() <= MAX_NAME && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Result<Config, Vec<String>> {
        let problems = |p: Vec<Problem>| p.iter().map(|p| format!("{}: {}", p.setting, p.message)).collect();
        check(serde_json::from_value(json).unwrap()).map_err(problems)
    }

    #[test]
    fn reads_every_kind_of_start() {
        let with = |start: &str| {
            read(serde_json::json!({"brokers": "a:1", "topics": ["t"], "start": start, "start_offsets": {"t:3": 7}}))
        };
        assert_eq!(with("earliest").unwrap().start, Start::Earliest);
        assert_eq!(with("latest").unwrap().start, Start::Latest);
        let c = with("timestamp:2026-01-31T00:00:00Z").unwrap();
        assert_eq!(c.start, Start::Timestamp(1_769_817_600_000));
        assert_eq!(c.start_offsets[&("t".to_string(), 3)], 7);
        assert!(c.committed_only && c.isolation() == "read_committed");
        assert_eq!(with("yesterday").err().unwrap(), ["start: `yesterday` is not a place to start"]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (settings, want) in [
            (serde_json::json!({}), "topics: no topic is named"),
            (serde_json::json!({"topics": ["a"], "pattern": "b"}), "pattern: topics and pattern exclude each other"),
            (serde_json::json!({"topics": ["a b"]}), "topics[0]: `a b` is not the name of a topic"),
            (serde_json::json!({"topics": ["a", "a"]}), "topics[1]: `a` is named twice"),
            (serde_json::json!({"pattern": "("}), "pattern: it is not a regular expression"),
            (serde_json::json!({"topics": ["a"], "memory": "1MiB"}), "memory: 1MiB is too little"),
            (serde_json::json!({"topics": ["a"], "poll": "1ms"}), "poll: 1ms is out of range"),
            (serde_json::json!({"topics": ["a"], "array_field": "x"}), "array_field: it is only used by one stream"),
            (serde_json::json!({"topics": ["a"], "start_offsets": {"a": 1}}), "start_offsets: `a` is not a partition"),
            (serde_json::json!({"topics": ["a"], "start_offsets": {"b:0": 1}}), "does not read the topic `b`"),
        ] {
            let mut all = serde_json::json!({"brokers": "a:1"});
            all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
            let found = read(all).err().unwrap();
            assert!(found.len() == 1 && found[0].contains(want), "{found:?}, not {want}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let c = read(serde_json::json!({"brokers": "a:1", "pattern": "raw\\.[a-z]+|x"})).unwrap();
        assert!(c.topics.has("raw.okta") && c.topics.has("x") && !c.topics.has("xx") && !c.topics.has("my.raw.okta"));
    }

    #[test]
    fn the_schema_knows_flattened_settings_and_no_others() {
        let schema = schemars::schema_for!(Settings).to_value();
        assert!(schema.pointer("/properties/brokers/description").is_some(), "{schema:#}");
        assert!(schema.pointer("/properties/security").is_some());
        assert_eq!(schema.pointer("/additionalProperties"), Some(&serde_json::Value::Bool(false)), "{schema:#}");
        assert!(schema.pointer("/required").unwrap().as_array().unwrap().iter().any(|r| r == "brokers"));
        let wrong = serde_json::json!({"brokers": "a:1", "topics": ["t"], "topisc": 1});
        assert!(serde_json::from_value::<Settings>(wrong).err().unwrap().to_string().contains("topisc"));
    }
}
