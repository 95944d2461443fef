//! A replay of Kafka: from offsets or times to offsets, never beyond what is there when it starts, without a trace.
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tests::kafka::{Broker, unique};
use tests::run::Pipeline;

const TOPOLOGY: &str = r#"
schema = 1
name = "${NAME}"

[sources.events]
type = "kafka"
brokers = "${KAFKA}"
topics = ["${TOPIC}"]

[parse.events_]
inputs = ["events"]
log_types = ["Custom.Step"]
schemas = ["schemas"]

[detect.rules]
inputs = ["events_"]
rules = ["rules"]

[dedup.window]
inputs = ["rules"]

[sinks.alerts]
type = "jsonl"
inputs = ["window"]
path = "out/alerts.jsonl"
"#;

const SCHEMA: &str = "
version: 0
schema: Custom.Step
fields:
  - {name: t, type: timestamp, timeFormat: rfc3339, isEventTime: true, required: true}
  - {name: n, type: bigint}
";

const RULE: &str = "AnalysisType: rule\nRuleID: Each\nEnabled: true\nSeverity: High\nLogTypes: [Custom.Step]\n\
                    AlertTitle: '{n}'\nDetection: [{Key: n, Condition: IsGreaterThan, Value: 9}]\n";

/// 2026-03-01.
const BEGIN_MS: i64 = 1_772_323_200_000;

fn record(i: i64) -> String {
    format!("{{\"t\":\"2026-03-{:02}T{:02}:{:02}:00Z\",\"n\":{i}}}", 1 + i / 1440, i / 60 % 24, i % 60)
}

struct Sender(BaseProducer);

impl Sender {
    fn new(broker: &Broker) -> Sender {
        let mut c = ClientConfig::new();
        c.set("bootstrap.servers", broker.bootstrap()).set("linger.ms", "5").set("log_level", "2");
        Sender(c.create().unwrap())
    }
    fn send(&self, topic: &str, i: i64) {
        let value = record(i);
        let record = BaseRecord::<(), _>::to(topic).partition((i % 2) as i32).payload(&value);
        self.0.send(record.timestamp(BEGIN_MS + i * 60_000)).map_err(|e| e.0).unwrap();
        self.0.poll(Duration::ZERO);
    }
}

/// A topic of two partitions: event `i` of minute `i` in partition `i % 2`.
fn topic(broker: &Broker, n: i64) -> (Pipeline, String, Sender) {
    let (name, topic) = (unique("replay"), unique("replay-in"));
    // The records are older than a broker keeps them.
    broker.create_topic_with(&topic, 2, 1, &[("retention.ms", "-1")]).unwrap();
    let sender = Sender::new(broker);
    (0..n).for_each(|i| sender.send(&topic, i));
    sender.0.flush(Duration::from_secs(30)).unwrap();
    let mut p = Pipeline::new(TOPOLOGY).unwrap();
    p.file("schemas/step.yml", SCHEMA).unwrap();
    p.file("rules/each.yml", RULE).unwrap();
    p.set("KAFKA", &broker.bootstrap());
    p.set("TOPIC", &topic);
    p.set("NAME", &name);
    (p, topic, sender)
}

fn replayed(p: &Pipeline, args: &[&str]) -> Value {
    let all =
        [&["replay", "--quiet", "--output", "json", "--samples", "1000", "--to", "2100-01-01"][..], args].concat();
    let out = p.millstream(&all).unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn from_offsets_or_times_to_offsets() {
    let broker = Broker::shared();
    let (p, topic, _) = topic(broker, 400);
    let (zero, one) = (format!("{topic}[0]"), format!("{topic}[1]"));
    let all = replayed(&p, &[]);
    assert_eq!((&all["events"], &all["alerts"]), (&json!(400), &json!(390)), "{all}");
    assert_eq!(all["offsets"], json!({ zero.clone(): [0, 200], one.clone(): [0, 200] }));
    for workers in ["1", "4"] {
        assert_eq!(replayed(&p, &["--workers", workers]), all, "{workers} workers");
    }
    // The same events in a file make the same alerts.
    p.file("in.jsonl", (0..400).map(|i| record(i) + "\n").collect::<String>()).unwrap();
    let of_file = replayed(&p, &["--input", "in.jsonl"]);
    let alerts = |x: &Value| {
        let samples = x["rules"]["Each"]["samples"].as_array().unwrap();
        samples.iter().map(|s| json!([s["title"], s["dedup"], s["created"], s["count"]])).collect::<Vec<_>>()
    };
    assert_eq!(alerts(&all), alerts(&of_file));
    // Parts of partitions, and one that is not read at all.
    let (a, b) = (format!("{topic}:0=10..20"), format!("{topic}:1=195.."));
    let some = replayed(&p, &["--offsets", &a, "--offsets", &b]);
    assert_eq!(some["offsets"], json!({ zero: [10, 20], one.clone(): [195, 200] }));
    let titles: Vec<String> = some["rules"]["Each"]["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["title"].as_str().unwrap().into())
        .collect();
    let want: Vec<String> =
        (10..20).map(|o| 2 * o).chain((195..200).map(|o| 2 * o + 1)).map(|n| n.to_string()).collect();
    assert_eq!((titles, &some["events"]), (want, &json!(15)));
    let last = replayed(&p, &["--offsets", &format!("{topic}:1=..5")]);
    assert_eq!((&last["events"], &last["offsets"]), (&json!(5), &json!({ one.clone(): [0, 5] })));
    // From a time: what was written before is not read. The minutes from 300 on.
    let late = replayed(&p, &["--from", "2026-03-01T05:00:00Z"]);
    assert_eq!((&late["events"], &late["events_in_range"]), (&json!(100), &json!(100)), "{late}");
    assert_eq!(late["offsets"][&one], json!([150, 200]));
    for (args, what) in [
        (vec!["--offsets".into(), format!("{topic}:0=9-12")], "write TOPIC:PARTITION=FROM..TO"),
        (vec!["--offsets".into(), format!("{topic}:7=1..2")], "there is no such partition"),
        (vec!["--offsets".into(), format!("{topic}:0=900..")], "which ends at 200"),
        (vec!["--offsets".into(), "other:0=1..2".into()], "does not read the topic `other`"),
    ] {
        let args: Vec<&str> = ["replay", "--quiet"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let out = p.millstream(&args).unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(74) && err.contains(what), "{args:?}: {} {err}", out.status);
    }
}

#[test]
fn it_ends_while_more_is_written_and_leaves_no_trace() {
    let broker = Broker::shared();
    let (p, topic, sender) = topic(broker, 1_000);
    let stop = AtomicBool::new(false);
    let said = std::thread::scope(|s| {
        let writer = s.spawn(|| {
            let mut i = 1_000;
            while !stop.load(Relaxed) {
                sender.send(&topic, i);
                i += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            sender.0.flush(Duration::from_secs(30)).unwrap();
        });
        let said = replayed(&p, &[]);
        stop.store(true, Relaxed);
        writer.join().unwrap();
        said
    });
    let end = |partition| broker.admin().offsets(&topic, partition).unwrap().1;
    let read: i64 = (0..2).map(|n| said["offsets"][format!("{topic}[{n}]")][1].as_i64().unwrap()).sum();
    assert!(read >= 1_000 && read < end(0) + end(1), "{read} of {} and {}", end(0), end(1));
    assert_eq!(said["events"], read);
    let group = format!("{}.events", said["topology"].as_str().unwrap());
    let told = broker.describe_group(&group).unwrap();
    assert!(told.is_empty(), "the group was told {} offsets", told.len());
}
