//! `/metrics`: the figures as OpenMetrics text. [`TABLE`] is the contract: a name, once published, keeps its meaning.
//! `dataflow/METRICS.md` is this table, and a test holds the two together.
use crate::progress;
use crate::stats::Stats;
use engine::figures::{BOUNDS_MS, Buckets};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt::Error;

/// Prefix of every name.
const PREFIX: &str = "millstream";

/// A family of metrics.
struct Family {
    /// Without prefix and without the suffix that its type adds (`_total`, `_info`).
    name: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
    help: &'static str,
}

const fn family(name: &'static str, kind: MetricType, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind, labels, help }
}

use MetricType::{Counter, Gauge, Histogram, Info};

/// Every metric there is.
const TABLE: &[Family] = &[
    family("build", Info, &["version"], "Version of the program"),
    family("generation", Gauge, &[], "Number of the incarnation: counts up with every start from the log"),
    family("topology_generation", Gauge, &[], "Number of the topology edit that runs"),
    family("restarts", Counter, &[], "Incarnations that the supervisor started before this one in this run"),
    family("uptime_seconds", Gauge, &[], "Age of the process"),
    family("live", Gauge, &[], "1 once logged epochs are replayed and new ones are opened, 0 before"),
    family("epoch", Gauge, &[], "Newest epoch that was opened"),
    family("committed_epoch", Gauge, &[], "Newest epoch that every sink has committed"),
    family(
        "frontier",
        Gauge,
        &["node"],
        "First epoch that a keyed node or sink is not through with, on its slowest worker",
    ),
    family("epochs_in_flight", Gauge, &[], "Epochs that are open"),
    family("in_flight_bytes", Gauge, &[], "Input in open epochs: what the pipeline holds in memory comes from it"),
    family("queue_bytes", Gauge, &["node"], "Data that waits in front of a sink's commit"),
    family("input_bytes", Counter, &[], "Input in committed epochs"),
    family(
        "events",
        Counter,
        &["node", "counter"],
        "Ledger counters of committed epochs, rules summed up; replayed epochs count again after a restart",
    ),
    family(
        "alerts",
        Counter,
        &["node", "rule", "severity"],
        "New alerts that left a keyed node of this process; rules beyond the 1,024th are `(other)`",
    ),
    family(
        "lag_records",
        Gauge,
        &["source", "partition"],
        "Records (bytes, for files) that are there and not committed; partitions beyond the 256 furthest behind are `(other)`",
    ),
    family("lag_seconds", Gauge, &["source", "partition"], "Age of the oldest of them, as far as the source can tell"),
    family("epoch_latency_seconds", Histogram, &[], "Time from an epoch's first input to its commit by every sink"),
    family(
        "sink_commit_seconds",
        Histogram,
        &["sink"],
        "Time that the shards of a sink on one worker took to commit an epoch",
    ),
    family("checkpoint_epoch", Gauge, &[], "Epoch of the newest checkpoint"),
    family(
        "checkpoint_age_seconds",
        Gauge,
        &[],
        "Time since it was made; since the process started if it has made none",
    ),
    family("checkpoint_bytes", Gauge, &[], "State that was written for it"),
    family("checkpoint_duration_seconds", Gauge, &[], "Time from its epoch's record to its manifest"),
    family(
        "state_bytes",
        Gauge,
        &["node"],
        "State of a keyed node as of the last checkpoint, on this process's workers",
    ),
    family("state_keys", Gauge, &["node"], "Keys in it"),
    family(
        "node_cpu_seconds",
        Counter,
        &["node"],
        "CPU time of a node's calls, on this process's workers and writers; `(coordinator)` is the thread that coordinates",
    ),
    family("process_resident_memory_bytes", Gauge, &[], "Memory in use"),
    family("process_cpu_seconds", Counter, &[], "CPU time used"),
];

/// The figures as OpenMetrics text.
pub fn text(stats: &Stats) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Scrape(stats.clone())));
    let mut out = String::new();
    encode(&mut out, &registry).expect("a String takes everything");
    out
}

#[derive(Debug)]
struct Scrape(Stats);

/// Samples of a family: label values and value.
type Samples<V> = Vec<(Vec<String>, V)>;

fn one<V>(v: V) -> Samples<V> {
    vec![(Vec::new(), v)]
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let Stats { figures: f, process: p, .. } = &self.0;
        let e = &mut encoder;
        info(e, "build", &[&p.version])?;
        gauge(e, "generation", one(f.generation as i64))?;
        gauge(e, "topology_generation", one(f.topology_generation as i64))?;
        counter(e, "restarts", one(p.restarts))?;
        gauge(e, "uptime_seconds", one(f.uptime_seconds))?;
        gauge(e, "live", one(f.live as i64))?;
        gauge(e, "epoch", one(f.epoch as i64))?;
        gauge(e, "committed_epoch", one(f.committed as i64))?;
        let by_node = |of: fn(&engine::figures::NodeFigures) -> Option<u64>| -> Samples<i64> {
            f.nodes.iter().filter_map(|n| of(n).map(|v| (vec![n.node.clone()], v as i64))).collect()
        };
        gauge(e, "frontier", by_node(|n| n.frontier))?;
        gauge(e, "epochs_in_flight", one(f.in_flight as i64))?;
        gauge(e, "in_flight_bytes", one(f.in_flight_bytes as i64))?;
        gauge(e, "queue_bytes", by_node(|n| n.queue_bytes))?;
        counter(e, "input_bytes", one(f.bytes))?;
        let events = f.nodes.iter().flat_map(|n| n.counters.iter().map(|(c, v)| (vec![n.node.clone(), c.clone()], *v)));
        counter(e, "events", events.collect())?;
        let alerts = f.alerts.iter().map(|a| (vec![a.node.clone(), a.rule.clone(), a.severity.as_str().into()], a.n));
        counter(e, "alerts", alerts.collect())?;
        let lag = |l: &engine::figures::LagFigures| vec![l.source.clone(), l.partition.clone()];
        gauge(e, "lag_records", f.lag.iter().map(|l| (lag(l), l.records as i64)).collect())?;
        gauge(e, "lag_seconds", f.lag.iter().map(|l| (lag(l), l.seconds)).collect())?;
        histogram(e, "epoch_latency_seconds", one(&f.latency.seconds))?;
        histogram(e, "sink_commit_seconds", f.commits.iter().map(|c| (vec![c.sink.clone()], &c.seconds)).collect())?;
        gauge(e, "checkpoint_epoch", one(f.checkpoint.epoch as i64))?;
        gauge(e, "checkpoint_age_seconds", one(f.checkpoint.age_seconds))?;
        gauge(e, "checkpoint_bytes", one(f.checkpoint.bytes as i64))?;
        gauge(e, "checkpoint_duration_seconds", one(f.checkpoint.seconds))?;
        gauge(e, "state_bytes", by_node(|n| n.state_bytes))?;
        gauge(e, "state_keys", by_node(|n| n.state_keys))?;
        let cpu = f.nodes.iter().map(|n| (vec![n.node.clone()], n.cpu_seconds));
        let coordinator = (vec![progress::COORDINATOR.into()], f.coordinator_cpu_seconds);
        counter(e, "node_cpu_seconds", cpu.chain([coordinator]).collect())?;
        gauge(e, "process_resident_memory_bytes", one(p.resident_bytes as i64))?;
        counter(e, "process_cpu_seconds", one(p.cpu_seconds))
    }
}

fn find(name: &str, kind: MetricType) -> &'static Family {
    let found = TABLE.iter().find(|f| f.name == name).expect("TABLE has every family");
    assert_eq!(found.kind.as_str(), kind.as_str(), "{name}");
    found
}

/// Label names with these values.
fn labels(f: &Family, values: &[String]) -> Vec<(&'static str, String)> {
    assert_eq!(f.labels.len(), values.len(), "{}", f.name);
    f.labels.iter().copied().zip(values.iter().cloned()).collect()
}

fn info(e: &mut DescriptorEncoder, name: &str, values: &[&str]) -> Result<(), Error> {
    let f = find(name, Info);
    let values: Vec<String> = values.iter().map(|v| (*v).into()).collect();
    e.encode_descriptor(f.name, &help(f), None, f.kind)?.encode_info(&labels(f, &values))
}

fn gauge<V: EncodeGaugeValue>(e: &mut DescriptorEncoder, name: &str, samples: Samples<V>) -> Result<(), Error> {
    let f = find(name, Gauge);
    let mut m = e.encode_descriptor(f.name, &help(f), None, f.kind)?;
    for (values, v) in samples {
        match values.is_empty() {
            true => m.encode_gauge(&v)?,
            false => m.encode_family(&labels(f, &values))?.encode_gauge(&v)?,
        }
    }
    Ok(())
}

/// Type of the exemplars that there are none of.
type Nothing = Vec<(String, String)>;

fn counter<V: EncodeCounterValue>(e: &mut DescriptorEncoder, name: &str, samples: Samples<V>) -> Result<(), Error> {
    let f = find(name, Counter);
    let mut m = e.encode_descriptor(f.name, &help(f), None, f.kind)?;
    for (values, v) in samples {
        match values.is_empty() {
            true => m.encode_counter::<Nothing, V, u64>(&v, None)?,
            false => m.encode_family(&labels(f, &values))?.encode_counter::<Nothing, V, u64>(&v, None)?,
        }
    }
    Ok(())
}

fn histogram(e: &mut DescriptorEncoder, name: &str, samples: Samples<&Buckets>) -> Result<(), Error> {
    let f = find(name, Histogram);
    let mut m = e.encode_descriptor(f.name, &help(f), None, f.kind)?;
    for (values, b) in samples {
        let bounds = BOUNDS_MS.iter().map(|ms| *ms as f64 / 1e3).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(b.counts).collect();
        let (sum, count) = (b.sum_ms as f64 / 1e3, b.count());
        match values.is_empty() {
            true => m.encode_histogram::<Nothing>(sum, count, &buckets, None)?,
            false => m.encode_family(&labels(f, &values))?.encode_histogram::<Nothing>(sum, count, &buckets, None)?,
        }
    }
    Ok(())
}

fn help(f: &Family) -> String {
    format!("{}.", f.help)
}

/// Name, type, labels and meaning of every metric: the text of `dataflow/METRICS.md`.
#[cfg(test)]
fn reference() -> String {
    let mut out = String::from(HEAD);
    for f in TABLE {
        let suffix = match f.kind {
            Counter => "_total",
            Info => "_info",
            _ => "",
        };
        let labels: Vec<String> = f.labels.iter().map(|l| format!("`{l}`")).collect();
        let name = format!("`{PREFIX}_{}{suffix}`", f.name);
        out += &format!("| {name} | {} | {} | {} |\n", f.kind.as_str(), labels.join(", "), help(f));
    }
    out
}

#[cfg(test)]
const HEAD: &str = "\
# Metrics

`millstream run --http 127.0.0.1:9600`, or `http = \"127.0.0.1:9600\"` in `[engine]`, serves them at `/metrics` as
OpenMetrics text. This is the whole list: `dataflow/app/src/metrics.rs` prints it, and tests compare it with what a
running engine serves. Names are an interface: they keep their meaning.

Every process of a cluster serves its own: keyed nodes, sinks and alerts of its workers. The ledger, epochs, lag and
checkpoints are process 0's, which coordinates. Counters start at 0 with a process.

| name | type | labels | meaning |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use engine::figures::{AlertFigures, LagFigures, NodeFigures};

    #[test]
    fn the_reference_is_the_table() {
        let path = "../METRICS.md";
        if std::env::var_os("MILLSTREAM_WRITE_REFERENCE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(
            kept == reference(),
            "run the tests of `app` with MILLSTREAM_WRITE_REFERENCE=1, and look at the difference"
        );
    }

    #[test]
    fn every_family_is_served_with_its_samples() {
        let mut stats = Stats::default();
        stats.process.version = "1.2.3".into();
        let f = &mut stats.figures;
        f.lag.push(LagFigures { source: "k".into(), partition: "logs/0".into(), records: 7, seconds: 1.5 });
        f.alerts.push(AlertFigures { node: "w".into(), rule: "A \"b\"\n".into(), n: 2, ..Default::default() });
        f.nodes.push(NodeFigures { node: "w".into(), state_bytes: Some(10), ..Default::default() });
        f.nodes[0].counters.insert("matches".into(), 3);
        f.latency.seconds.record(7);
        f.latency.seconds.record(400_000);
        let text = text(&stats);
        for line in [
            "millstream_build_info{version=\"1.2.3\"} 1",
            "millstream_lag_records{source=\"k\",partition=\"logs/0\"} 7",
            "millstream_lag_seconds{source=\"k\",partition=\"logs/0\"} 1.5",
            "millstream_alerts_total{node=\"w\",rule=\"A \\\"b\\\"\\n\",severity=\"INFO\"} 2",
            "millstream_events_total{node=\"w\",counter=\"matches\"} 3",
            "millstream_state_bytes{node=\"w\"} 10",
            "millstream_epoch_latency_seconds_bucket{le=\"0.005\"} 0",
            "millstream_epoch_latency_seconds_bucket{le=\"0.01\"} 1",
            "millstream_epoch_latency_seconds_bucket{le=\"+Inf\"} 2",
            "millstream_epoch_latency_seconds_sum 400.007",
            "millstream_epoch_latency_seconds_count 2",
        ] {
            assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
        }
        let served: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE millstream_")).collect();
        let table: Vec<String> = TABLE.iter().map(|f| format!("{} {}", f.name, f.kind.as_str())).collect();
        assert_eq!(served, table);
    }
}
