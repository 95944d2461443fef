//! The command line of the benchmark.
use crate::peers;
use crate::stats::group;
use clap::{Parser, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;

/// Most events of one configuration: the generator writes about 1.6 kB for each.
const EVENTS_MAX: u64 = 100_000_000;
/// Most runs of one configuration.
const RUNS_MAX: u64 = 100;
/// Most worker threads.
const WORKERS_MAX: u64 = 256;
/// Longest time that a run may be given, seconds.
const TIMEOUT_MAX: u64 = 86_400;
/// Most configurations of one report; more than this cannot be read.
pub const CONFIGURATIONS_MAX: usize = 24;

/// A number from one to `max`.
fn to(max: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=max)
}

/// `NAME=COMMAND`.
fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, command)) if name == OURS || peers::names().contains(&name) => {
            Err(format!("`{name}` is another program's name ({command})"))
        }
        Some((name, command))
            if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_ .".contains(c)) =>
        {
            Ok((name.into(), command.into()))
        }
        _ => Err("a name (letters, digits, - _ . and spaces), =, and a command".into()),
    }
}

/// What a report calls Millstream.
pub const OURS: &str = "millstream";

/// Run a case of bench/cases through `millstream run`, measure it from outside, check its result, report.
///
/// Every configuration (events × workers) runs several times, in turn with the others. A run whose output is not the
/// expected one ends the benchmark with an error: it never becomes a figure.
#[derive(Parser, Debug)]
#[command(name = "bench", version, max_term_width = 110, after_help = AFTER)]
pub struct Cli {
    /// Name of a folder of bench/cases, or a path to such a folder.
    #[arg(long, default_value = "common")]
    pub case: String,
    /// Numbers of input events, comma separated.
    #[arg(long, value_delimiter = ',', default_value = "200000,1000000", value_parser = to(EVENTS_MAX))]
    pub events: Vec<u64>,
    /// Numbers of worker threads, comma separated.
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_parser = to(WORKERS_MAX))]
    pub workers: Vec<u64>,
    /// Runs of each configuration.
    #[arg(long, default_value_t = 3, value_parser = to(RUNS_MAX))]
    pub runs: u64,
    /// Seed of the generated input; default: the case's own, for which the number of alerts is known.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Another program for the same job: a name and a shell command with {INPUT} {LOOKUP} {OUT} {WORKERS} {EVENTS}; it must
    /// write the case's output into {OUT}. Runs in turn with Millstream; the report gives the ratio of their CPU times. May
    /// be given several times.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = named)]
    pub against: Vec<(String, String)>,
    /// Variants of the case, comma separated, or `all`: the same job with one thing different (see its case.toml). They run in
    /// turn with it, and the report gives the ratio of their CPU times.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub variants: Vec<String>,
    /// Engines of bench/peers, comma separated: they run in turn with Millstream. Installed from PyPI at the first run.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(peers::names()))]
    pub peers: Vec<String>,
    /// Also run N and 10 N events with the most workers and report the growth of the peak memory.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "100000")]
    #[arg(value_parser = to(EVENTS_MAX / 10))]
    pub memory: Option<u64>,
    /// Form of the report on standard output.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
    /// Also write the report as one self-contained page with pictures.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Also write the CPU time of every program as one picture (SVG).
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
    /// The millstream program; default: the one beside this program, built first so that it is that of the checkout.
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
    /// Folder for generated inputs, kept between benchmarks, and for the outputs while they run; default: bench-inputs
    /// in the target folder.
    #[arg(long, value_name = "FOLDER")]
    pub inputs: Option<PathBuf>,
    /// Longest time of one run, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = to(TIMEOUT_MAX))]
    pub timeout: u64,
}

const AFTER: &str = "\
Exit codes: 0 ok, 1 a wrong result or a failed run, 2 usage.

Examples:
  cargo run --release -p bench
  cargo run --release -p bench -- --events 1000000 --runs 5 --html bench.html
  cargo run --release -p bench -- --workers 1 --peers duckdb,clickhouse,tenzir,flink --html bench.html
  cargo run --release -p bench -- --workers 1 --against 'by hand=LOOKUP={LOOKUP} job {INPUT} {OUT}/alerts.jsonl {WORKERS}'";

/// Form of the report on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for people.
    Human,
    /// One JSON document with every sample.
    Json,
}

/// One cell of the benchmark: how much input, how many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Configuration {
    /// Input events.
    pub events: u64,
    /// Worker threads.
    pub workers: u64,
}

impl std::fmt::Display for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = |n| if n == 1 { "" } else { "s" };
        write!(f, "{} event{}, {} worker{}", group(self.events), s(self.events), self.workers, s(self.workers))
    }
}

impl Cli {
    /// The configurations to run, each once, by events, then workers; the memory check adds its two.
    pub fn configurations(&self) -> Result<Vec<Configuration>, String> {
        let mut all: Vec<Configuration> = Vec::new();
        for &events in &self.events {
            all.extend(self.workers.iter().map(|&workers| Configuration { events, workers }));
        }
        all.extend(self.memory_check().into_iter().flatten());
        all.sort_unstable();
        all.dedup();
        match all.len() > CONFIGURATIONS_MAX {
            true => Err(format!(
                "{} configurations are more than {CONFIGURATIONS_MAX}; name fewer --events or --workers",
                all.len()
            )),
            false => Ok(all),
        }
    }

    /// The two configurations of the memory check, if it is wanted: N and 10 N events with the most workers.
    pub fn memory_check(&self) -> Option<[Configuration; 2]> {
        let workers = self.workers.iter().copied().max().unwrap_or(1);
        self.memory.map(|n| [n, 10 * n].map(|events| Configuration { events, workers }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["bench"], args].concat())
    }

    #[test]
    fn configurations_are_the_product_in_order_without_repeats() {
        let cli = parse(&["--events", "300,20,300", "--workers", "2,1"]).unwrap();
        let all: Vec<_> = cli.configurations().unwrap().iter().map(|c| (c.events, c.workers)).collect();
        assert_eq!(all, [(20, 1), (20, 2), (300, 1), (300, 2)]);
    }

    #[test]
    fn the_memory_check_adds_what_is_not_there_yet() {
        let cli = parse(&["--events", "1000", "--workers", "1,2", "--memory", "100"]).unwrap();
        let all: Vec<_> = cli.configurations().unwrap().iter().map(|c| (c.events, c.workers)).collect();
        assert_eq!(all, [(100, 2), (1000, 1), (1000, 2)]);
        assert_eq!(parse(&["--memory"]).unwrap().memory, Some(100_000));
    }

    #[test]
    fn limits_hold() {
        assert!(parse(&["--events", "0"]).is_err());
        assert!(parse(&["--workers", "257"]).is_err());
        assert!(parse(&["--runs", "101"]).is_err());
        let against = |text: &str| parse(&["--against", text]).map(|c| c.against);
        assert_eq!(against("by hand=A=1 job").unwrap(), [("by hand".to_string(), "A=1 job".to_string())]);
        assert!(["=x", "x", "millstream=x", "duckdb=x"].iter().all(|t| against(t).is_err()));
        assert!(parse(&["--peers", "duckdb,nobody"]).is_err());
        let list = |n: usize| (1..=n).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
        let with = |n| parse(&["--events", &list(n), "--workers", "1"]).unwrap().configurations();
        assert!(with(CONFIGURATIONS_MAX).is_ok() && with(CONFIGURATIONS_MAX + 1).is_err());
    }
}
