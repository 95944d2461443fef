//! The report: samples become figures; as one JSON document they are all there.
//!
//! CPU time is the figure to compare: wall time, and what follows from it, depends on what else the machine does.
use crate::case::Case;
use crate::cli::Configuration;
use crate::machine::Machine;
use crate::measure::{Sample, Series};
use crate::stats::{Summary, pairwise};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of the JSON document.
const SCHEMA: u32 = 1;

/// One benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    schema: u32,
    /// Name of the case.
    pub case: String,
    /// What it does.
    pub about: String,
    /// When it started, UTC.
    pub started: String,
    /// The command line.
    pub command: String,
    /// What it ran on.
    pub machine: Machine,
    /// Runs of each row.
    pub runs: u64,
    /// Seed of the input.
    pub seed: u64,
    /// Figures, by configuration and program.
    pub rows: Vec<Row>,
    /// Comparisons with the other programs.
    pub against: Vec<Against>,
    /// What one more event costs.
    pub marginal: Vec<Marginal>,
    /// What more workers bring.
    pub scale: Vec<Scale>,
    /// Growth of the peak memory.
    pub memory: Option<Memory>,
}

/// Figures of one program on one configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the program.
    pub program: String,
    /// What it ran on.
    #[serde(flatten)]
    pub on: Configuration,
    /// Lines of output, the same for every run.
    pub alerts: u64,
    /// Events by wall time.
    pub events_per_s: Summary,
    /// Megabytes (10⁶) of input by wall time.
    pub mb_per_s: Summary,
    /// CPU seconds for a million events, which is microseconds for one.
    pub cpu_s_per_million: Summary,
    /// Events by CPU time: what one busy core does.
    pub events_per_cpu_s: Summary,
    /// Peak resident memory, MiB.
    pub rss_mib: Summary,
    /// Latency, where the program tells it.
    pub latency_ms: Option<Latency>,
    /// CPU microseconds per event by node, the dearest first, where the program tells them.
    pub nodes_us: Vec<(String, Summary)>,
    /// The runs.
    pub samples: Vec<Sample>,
}

/// Percentiles of the epochs' latency, milliseconds, each over the runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half of the epochs took at most this.
    pub p50: Summary,
    /// Nine of ten.
    pub p90: Summary,
    /// 99 of a hundred.
    pub p99: Summary,
    /// The slowest.
    pub max: Summary,
}

/// How much more CPU time the other program took than Millstream.
#[derive(Clone, Debug, Serialize)]
pub struct Against {
    /// The other program, or variant of the case.
    pub program: String,
    /// What is different, if it is a variant.
    pub about: Option<String>,
    /// What both ran on.
    #[serde(flatten)]
    pub on: Configuration,
    /// Its median by Millstream's.
    pub of_medians: f64,
    /// Over pairs of runs that followed each other.
    pub of_pairs: Summary,
}

/// CPU time of one more event, between the smallest and the largest number of events: what a start takes is not in it.
#[derive(Clone, Debug, Serialize)]
pub struct Marginal {
    /// Name of the program.
    pub program: String,
    /// Worker threads.
    pub workers: u64,
    /// The two numbers of events.
    pub between: [u64; 2],
    /// Microseconds, over pairs of runs of one round.
    pub us: Summary,
    /// Its median by Millstream's.
    pub of_ours: f64,
}

/// Events by wall time with more workers than one, by those with one.
#[derive(Clone, Debug, Serialize)]
pub struct Scale {
    /// Number of events and of worker threads.
    #[serde(flatten)]
    pub on: Configuration,
    /// Ratio of the medians.
    pub times: f64,
}

/// Peak memory at N and 10 N events.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// Worker threads.
    pub workers: u64,
    /// N, and the peak in MiB.
    pub small: (u64, Summary),
    /// 10 N, and the peak in MiB.
    pub large: (u64, Summary),
    /// Median peak at 10 N by that at N.
    pub growth: f64,
}

impl Row {
    fn new(series: &Series) -> Result<Row> {
        let events = series.on.events as f64;
        let of = |f: &dyn Fn(&Sample) -> f64| Summary::of(series.samples.iter().map(f)).context("a run has no figures");
        let latencies: Option<Vec<_>> = series.samples.iter().map(|s| s.latency_ms).collect();
        let latency_ms = latencies.and_then(|l| {
            let of = |f: fn(&crate::outcome::Latency) -> f64| Summary::of(l.iter().map(f));
            Some(Latency { p50: of(|l| l.p50)?, p90: of(|l| l.p90)?, p99: of(|l| l.p99)?, max: of(|l| l.max)? })
        });
        Ok(Row {
            program: series.program.clone(),
            on: series.on,
            alerts: series.samples.first().context("no run")?.alerts,
            events_per_s: of(&|s| events / s.wall_s)?,
            mb_per_s: of(&|s| s.bytes as f64 / 1e6 / s.wall_s)?,
            cpu_s_per_million: of(&|s| s.cpu_s * 1e6 / events)?,
            events_per_cpu_s: of(&|s| events / s.cpu_s)?,
            rss_mib: of(&|s| s.rss_mib)?,
            latency_ms,
            nodes_us: by_node(&series.samples, events),
            samples: series.samples.clone(),
        })
    }

    fn cpu(&self) -> Vec<f64> {
        self.samples.iter().map(|s| s.cpu_s).collect()
    }
}

impl Report {
    /// Figures of the runs in `series`.
    pub fn new(
        case: &Case,
        machine: Machine,
        started: String,
        command: String,
        (runs, seed): (u64, u64),
        series: &[Series],
        memory: Option<[Configuration; 2]>,
    ) -> Result<Report> {
        let rows: Vec<Row> = series.iter().map(Row::new).collect::<Result<_>>()?;
        let ours = rows.first().map(|r| r.program.clone()).unwrap_or_default();
        let about = |name: &str| case.variants.iter().find(|v| v.name == name).map(|v| v.about.clone());
        let others = rows.iter().filter(|r| r.program != ours);
        let against = others.filter_map(|r| compare(&rows, &ours, r, about(&r.program))).collect();
        let memory = memory.and_then(|pair| growth(&rows, &ours, pair));
        let (marginal, scale) = (marginal(&rows, &ours), scale(&rows, &ours));
        let (case, about) = (case.name.clone(), case.about.clone());
        Ok(Report {
            schema: SCHEMA,
            case,
            about,
            started,
            command,
            machine,
            runs,
            seed,
            rows,
            against,
            marginal,
            scale,
            memory,
        })
    }

    /// One JSON document.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// What each node took, by its median.
fn by_node(samples: &[Sample], events: f64) -> Vec<(String, Summary)> {
    let mut all: BTreeMap<&String, Vec<f64>> = BTreeMap::new();
    for (node, s) in samples.iter().flat_map(|s| &s.nodes_s) {
        all.entry(node).or_default().push(s * 1e6 / events);
    }
    let mut out: Vec<_> = all.into_iter().filter_map(|(n, v)| Some((n.clone(), Summary::of(v)?))).collect();
    out.sort_by(|a, b| b.1.median.total_cmp(&a.1.median));
    out
}

fn find<'a>(rows: &'a [Row], program: &str, on: Configuration) -> Option<&'a Row> {
    rows.iter().find(|r| r.program == program && r.on == on)
}

fn compare(rows: &[Row], ours: &str, theirs: &Row, about: Option<String>) -> Option<Against> {
    let ours = find(rows, ours, theirs.on)?;
    Some(Against {
        program: theirs.program.clone(),
        about,
        on: theirs.on,
        of_medians: theirs.cpu_s_per_million.median / ours.cpu_s_per_million.median,
        of_pairs: pairwise(&ours.cpu(), &theirs.cpu())?,
    })
}

fn marginal(rows: &[Row], ours: &str) -> Vec<Marginal> {
    let of = |program: &str, workers: u64| -> Option<([u64; 2], Summary)> {
        let all = || rows.iter().filter(|r| r.program == program && r.on.workers == workers);
        let (few, many) = (all().min_by_key(|r| r.on.events)?, all().max_by_key(|r| r.on.events)?);
        let more = many.on.events.checked_sub(few.on.events).filter(|n| *n > 0)?;
        let us = few.cpu().into_iter().zip(many.cpu()).map(|(f, m)| (m - f) * 1e6 / more as f64);
        Some(([few.on.events, many.on.events], Summary::of(us.collect::<Vec<_>>())?))
    };
    let mut out: Vec<Marginal> = Vec::new();
    for row in rows {
        let (program, workers) = (&row.program, row.on.workers);
        if out.iter().any(|m| m.program == *program && m.workers == workers) {
            continue;
        }
        if let (Some((between, us)), Some((_, own))) = (of(program, workers), of(ours, workers)) {
            out.push(Marginal { program: program.clone(), workers, between, us, of_ours: us.median / own.median });
        }
    }
    out
}

fn scale(rows: &[Row], ours: &str) -> Vec<Scale> {
    let own = rows.iter().filter(|r| r.program == ours && r.on.workers > 1);
    own.filter_map(|r| {
        let one = find(rows, ours, Configuration { workers: 1, ..r.on })?;
        Some(Scale { on: r.on, times: r.events_per_s.median / one.events_per_s.median })
    })
    .collect()
}

fn growth(rows: &[Row], ours: &str, [small, large]: [Configuration; 2]) -> Option<Memory> {
    let peak = |on: Configuration| find(rows, ours, on).map(|r| (on.events, r.rss_mib));
    let (s, l) = (peak(small)?, peak(large)?);
    Some(Memory { workers: small.workers, small: s, large: l, growth: l.1.median / s.1.median })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::stats::short;
    use std::path::Path;

    fn series(program: &str, events: u64, workers: u64, cpu: &[f64], latency: bool) -> Series {
        let latency = latency.then_some(crate::outcome::Latency { p50: 20.0, p90: 31.0, p99: 38.0, max: 45.0 });
        let sample = |&cpu_s: &f64| Sample {
            wall_s: cpu_s / workers as f64 * 1.1,
            cpu_s,
            rss_mib: 60.0 + workers as f64 + events as f64 / 1e5,
            bytes: events * 1560,
            alerts: events / 200,
            latency_ms: latency,
            nodes_s: match latency {
                Some(_) => [("parse".to_string(), cpu_s * 0.75), ("(rest)".to_string(), cpu_s * 0.25)].into(),
                None => BTreeMap::new(),
            },
        };
        Series {
            program: program.into(),
            on: Configuration { events, workers },
            samples: cpu.iter().map(sample).collect(),
        }
    }

    /// A report as a benchmark makes it, with made-up samples.
    pub fn report() -> Report {
        let case = Case::load(Path::new("cases/common")).unwrap();
        let load = Some([2.5, 1.0, 0.5]);
        let cpu = "A <fast> & \"cheap\" one".to_string();
        let machine = Machine {
            cpu,
            cores: 2,
            memory_gib: Some(24.0),
            kernel: "Linux 6".into(),
            load,
            commit: Some("abc+".into()),
        };
        let all = [
            series("millstream", 100_000, 1, &[0.2, 0.25, 0.21], true),
            series("by hand", 100_000, 1, &[0.4, 0.5, 0.43], false),
            series("millstream", 1_000_000, 1, &[2.0, 2.5, 2.1], true),
            series("by hand", 1_000_000, 1, &[5.0, 5.0, 5.0], false),
            series("millstream", 1_000_000, 2, &[2.2, 2.6, 2.4], true),
            series("by hand", 1_000_000, 2, &[5.5, 5.2, 5.6], false),
        ];
        let memory = [100_000, 1_000_000].map(|events| Configuration { events, workers: 1 });
        Report::new(&case, machine, "2026-01-01T00:00:00Z".into(), "bench --runs 3".into(), (3, 7), &all, Some(memory))
            .unwrap()
    }

    #[test]
    fn samples_become_figures() {
        let r = report();
        let row = &r.rows[2];
        assert_eq!(
            (row.cpu_s_per_million.median, row.cpu_s_per_million.min, row.cpu_s_per_million.max),
            (2.1, 2.0, 2.5)
        );
        assert_eq!(row.events_per_cpu_s.median.round(), 476_190.0);
        assert_eq!(row.events_per_s.median.round(), 432_900.0);
        assert_eq!(row.mb_per_s.median.round(), 675.0);
        assert_eq!(row.latency_ms.unwrap().p99.median, 38.0);
        let nodes: Vec<_> = row.nodes_us.iter().map(|(n, s)| (n.as_str(), short(s.median))).collect();
        assert_eq!(nodes, [("parse", "1.58".to_string()), ("(rest)", "0.525".to_string())]);
        assert!(r.rows[1].latency_ms.is_none());
    }

    #[test]
    fn programs_are_compared_on_the_same_configuration() {
        let r = report();
        let all: Vec<_> = r.against.iter().map(|a| (a.on.events, a.on.workers, a.program.as_str())).collect();
        assert_eq!(all, [(100_000, 1, "by hand"), (1_000_000, 1, "by hand"), (1_000_000, 2, "by hand")]);
        assert_eq!(short(r.against[1].of_medians), "2.38");
        assert_eq!(r.against[1].of_pairs.min, 2.0);
    }

    #[test]
    fn one_more_event_costs_what_lies_between_two_sizes() {
        let r = report();
        let all: Vec<_> = r.marginal.iter().map(|m| (m.program.as_str(), m.workers, short(m.us.median))).collect();
        assert_eq!(all, [("millstream", 1, "2.10".into()), ("by hand", 1, "5.08".to_string())]);
        assert_eq!((r.marginal[1].between, short(r.marginal[1].of_ours)), ([100_000, 1_000_000], "2.42".into()));
    }

    #[test]
    fn more_workers_are_held_against_one() {
        let r = report();
        assert_eq!(r.scale.len(), 1);
        assert_eq!((r.scale[0].on.workers, short(r.scale[0].times)), (2, "1.75".into()));
    }

    #[test]
    fn memory_growth_is_that_of_the_medians() {
        let m = report().memory.unwrap();
        assert_eq!((m.small.1.median, m.large.1.median), (62.0, 71.0));
        assert_eq!(short(m.growth), "1.15");
    }

    #[test]
    fn the_json_document_holds_every_sample() {
        let v: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(v["rows"][2]["events"], 1_000_000);
        assert_eq!(v["rows"][2]["samples"][1]["cpu_s"], 2.5);
        assert_eq!(v["rows"][2]["latency_ms"]["p90"]["median"], 31.0);
        assert_eq!(v["machine"]["cores"], 2);
    }
}
