//! The command line.
mod rules;

use clap::{Args, Parser, Subcommand, ValueEnum};
pub use rules::*;
use std::path::PathBuf;

/// A stream-processing dataflow engine for security logs: raw logs in; parsed, enriched, matched against detections,
/// deduplicated, storm-limited; alerts and a Parquet lake out, each event counted exactly once.
#[derive(Parser)]
#[command(name = "millstream", version, max_term_width = 110, after_help = AFTER)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "\
Exit codes: 0 ok, 1 findings (failed tests, audit differences), 2 usage, 3 compiled and CPython disagree (--verify), 65 data that cannot be used (or a replay that \
does not reproduce what was committed), 69 no engine answers, 70 the engine failed and could not be restarted, \
74 disk or data folder, 130 stopped with Ctrl-C (a replay prints what it has), 75 a disk is full and 76 another process is lost (without a \
supervisor, which starts the engine again), 78 errors in the configuration.

First steps:
  millstream demo                       a generated attack story through the shipped topology
  millstream check topology.toml        every error at once, with line and hint
  millstream run topology.toml          run it; edits are applied while it runs
  millstream test operators/detect/detections   run the tests of detections";

/// Subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Run a topology until it is stopped (or, with --once, until its sources are exhausted).
    Run(RunArgs),
    /// Check a topology with everything it names: every error at once, with file:line:col and a hint.
    #[command(alias = "validate")]
    Check(CheckArgs),
    /// Draw the graph of a topology as DOT, Mermaid or SVG.
    Graph(GraphArgs),
    /// Show what applying the topology on disk would change in the running (or last run) one.
    Plan(PlanArgs),
    /// Let the topology on disk take over in the running engine.
    Apply(ApplyArgs),
    /// Run the `Tests:` of detections, offline.
    Test(TestArgs),
    /// Detections: what each of them costs in a topology, and what of other collections can be run.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Show a running engine: throughput, lag, epochs, state, alerts.
    Top(TopArgs),
    /// Show what leaves a node of a running engine, as JSON lines.
    Tap(TapArgs),
    /// Re-count a finished or running pipeline's ledger from its outputs alone.
    Audit(AuditArgs),
    /// Show which events made an alert, where they were read, and which rule, tables and topology judged them.
    Explain(ExplainArgs),
    /// Run detections over past data and show the alerts they would have made.
    ///
    /// Sources, or the lake, are read beside a running engine; nothing of it is touched, and nothing is delivered.
    /// Every event is judged at its own time by the topology's own dedup and limit.
    Replay(ReplayArgs),
    /// Parse files with one log type and print normalised events as JSON lines.
    Parse(ParseArgs),
    /// Let a rule that the storm limiter holds create alerts again, and one that is quarantined run again.
    Unsuppress(UnsuppressArgs),
    /// Show what the pipeline of a generated attack story finds; --crash kills it at random meanwhile.
    Demo(DemoArgs),
    /// Dead letters in Kafka: what cannot be used, why, and putting it back.
    Dlq(DlqArgs),
    /// Transactions of a topology's Kafka sinks: what is open, and ending what hangs.
    Txn(TxnArgs),
    /// Snapshots of the state: list them, or read every object back.
    Checkpoint(CheckpointArgs),
    /// Print the JSON Schema of topology files (for editors).
    Schema,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// `run`.
#[derive(Args, Clone)]
pub struct RunArgs {
    /// The topology file (or a folder with a topology.toml).
    #[arg(default_value = "topology.toml", env = "MILLSTREAM_TOPOLOGY")]
    pub topology: PathBuf,
    /// Worker threads; default: one per core.
    #[arg(short, long, env = "MILLSTREAM_WORKERS")]
    pub workers: Option<usize>,
    /// Run as this many processes on this machine, each with --workers threads.
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64), env = "MILLSTREAM_PROCESSES")]
    pub processes: u32,
    /// Which process of the topology's [cluster] this is: 0 coordinates.
    #[arg(long, conflicts_with = "processes", env = "MILLSTREAM_PROCESS")]
    pub process: Option<usize>,
    /// End when every source is read to its end.
    #[arg(long)]
    pub once: bool,
    /// Forget the state of earlier runs in the data folder first.
    #[arg(long)]
    pub fresh: bool,
    /// Do not apply edits of the topology's files by themselves (`millstream apply` still does).
    #[arg(long)]
    pub no_watch: bool,
    /// No progress on standard error.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the run's figures as one JSON line on standard output at the end.
    #[arg(long)]
    pub stats: bool,
    /// Serve /metrics, /healthz, /readyz and /status here, as 127.0.0.1:9600; overrides `http` of the topology.
    #[arg(long, value_name = "ADDR", env = "MILLSTREAM_HTTP")]
    pub http: Option<String>,
    /// Run the engine in this process, without a supervisor that restarts it.
    #[arg(long)]
    pub no_supervisor: bool,
}

impl RunArgs {
    /// Number of worker threads.
    pub fn workers(&self) -> usize {
        threads(self.workers)
    }
    /// Progress lines are wanted.
    pub fn progress(&self) -> bool {
        !self.quiet
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// JUnit XML (tests only).
    Junit,
}

/// `check`.
#[derive(Args)]
pub struct CheckArgs {
    /// The topology file.
    #[arg(default_value = "topology.toml")]
    pub topology: PathBuf,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// Form of a drawn graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// A picture; open it in a browser.
    Svg,
    /// For Markdown.
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// `graph`.
#[derive(Args)]
pub struct GraphArgs {
    /// The topology file.
    #[arg(default_value = "topology.toml")]
    pub topology: PathBuf,
    /// Form of the drawing.
    #[arg(long, value_enum, default_value = "mermaid")]
    pub format: Drawing,
}

/// `plan`.
#[derive(Args)]
pub struct PlanArgs {
    /// The topology file.
    #[arg(default_value = "topology.toml")]
    pub topology: PathBuf,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `apply`.
#[derive(Args)]
pub struct ApplyArgs {
    /// The topology file that the engine runs.
    #[arg(default_value = "topology.toml")]
    pub topology: PathBuf,
}

/// `test`.
#[derive(Args)]
pub struct TestArgs {
    /// Files or folders of detections.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Only detections whose id contains this.
    #[arg(long)]
    pub filter: Option<String>,
    /// Fail detections with fewer tests; 2 or more also asks for one true and one false case.
    #[arg(long, default_value_t = 0)]
    pub minimum_tests: usize,
    /// Only show what fails.
    #[arg(long)]
    pub show_failures_only: bool,
    /// Run again whenever a file changes, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    /// A CPython of the machine, by path or name, such as `python3`: it answers for what of Python rules is not compiled.
    #[arg(long)]
    pub cpython: Option<PathBuf>,
    /// Folder of a virtual environment of that CPython whose packages the rules may import.
    #[arg(long, requires = "cpython")]
    pub cpython_venv: Option<PathBuf>,
    /// Also ask that CPython about every Python rule that is compiled, and compare: verdicts, exceptions, and what the other
    /// functions say. A difference ends with code 3.
    #[arg(long, requires = "cpython")]
    pub verify: bool,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `audit`.
#[derive(Args)]
pub struct AuditArgs {
    /// The topology file.
    #[arg(default_value = "topology.toml")]
    pub topology: PathBuf,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `replay`.
#[derive(Args)]
pub struct ReplayArgs {
    /// The topology file.
    #[arg(default_value = "topology.toml", env = "MILLSTREAM_TOPOLOGY")]
    pub topology: PathBuf,
    /// Only show this rule; may be given several times.
    #[arg(long, value_name = "ID")]
    pub rule: Vec<String>,
    /// Run these rules (files, folders) in place of those that the topology names.
    #[arg(long, value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// The detect node that --rules is for, if there are several.
    #[arg(long, value_name = "ID")]
    pub node: Option<String>,
    /// First moment, by event time: 2026-03-01, or 2026-03-01T10:00:00Z. Default: the beginning.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<i64>,
    /// The moment behind the last. Default: now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<i64>,
    /// Only read this source; may be given several times.
    #[arg(long, value_name = "ID")]
    pub source: Vec<String>,
    /// Read these files in place of what the source reads; with --lake, this folder or bucket in place of the sink's.
    #[arg(long, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Read the events that this Parquet sink wrote, and no source. They are what the parser made of them then; lookups are
    /// made anew.
    #[arg(long, value_name = "ID", conflicts_with = "source")]
    pub lake: Option<String>,
    /// Only read events of this log type from the lake; may be given several times.
    #[arg(long, value_name = "TYPE", requires = "lake")]
    pub log_type: Vec<String>,
    /// Only read this partition of a Kafka source, from an offset to one that is not read any more: orders:0=100..250,
    /// orders:1=100.., orders:2=..; may be given several times. At most what is there when the replay starts is read.
    #[arg(long, value_name = "TOPIC:PARTITION=FROM..TO", conflicts_with_all = ["input", "lake"])]
    pub offsets: Vec<String>,
    /// Alerts of each rule that are shown.
    #[arg(long, default_value_t = 3)]
    pub samples: usize,
    /// A CPython of the machine, in place of `cpython` of the detect nodes.
    #[arg(long)]
    pub cpython: Option<PathBuf>,
    /// Folder of a virtual environment of that CPython whose packages the rules may import.
    #[arg(long, requires = "cpython")]
    pub cpython_venv: Option<PathBuf>,
    /// Also ask CPython about every Python rule that is compiled (with --rule: those), on every event of its log types, and
    /// compare: verdicts, exceptions, and what the other functions say. A difference ends with code 3.
    #[arg(long)]
    pub verify: bool,
    /// Worker threads; default: one per core. The result does not depend on it.
    #[arg(short, long, env = "MILLSTREAM_WORKERS")]
    pub workers: Option<usize>,
    /// No progress on standard error.
    #[arg(short, long)]
    pub quiet: bool,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

impl ReplayArgs {
    /// Number of worker threads.
    pub fn workers(&self) -> usize {
        threads(self.workers)
    }
    /// Progress lines are wanted.
    pub fn progress(&self) -> bool {
        !self.quiet
    }
}

/// As many threads as asked for, or one per core.
fn threads(wanted: Option<usize>) -> usize {
    wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).clamp(1, 256)
}

/// `explain`.
#[derive(Args)]
pub struct ExplainArgs {
    /// Id of the alert: 32 hex digits.
    pub alert: String,
    /// The topology file; what it wrote is looked through.
    #[arg(long, default_value = "topology.toml", env = "MILLSTREAM_TOPOLOGY")]
    pub topology: PathBuf,
    /// Events that are shown, in the order of their positions.
    #[arg(long, default_value_t = 20)]
    pub events: usize,
    /// Do not read the events' bytes from their files.
    #[arg(long)]
    pub no_raw: bool,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `parse`.
#[derive(Args)]
pub struct ParseArgs {
    /// Log types to try, comma separated.
    #[arg(long, value_delimiter = ',', required = true)]
    pub log_type: Vec<String>,
    /// Stream type: auto, lines, json, json_array, cloudtrail, cloudwatch, csv.
    #[arg(long, default_value = "auto")]
    pub stream: String,
    /// The moment that counts as now: a time without a year (syslog) is of the latest year that puts it at most 31
    /// days ahead of it. Default: the clock's.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub now: Option<i64>,
    /// Files or folders.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// `2026-03-01`, or a time as RFC 3339 has it: milliseconds since 1970.
fn moment(text: &str) -> Result<i64, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_string() };
    let ns = model::time::rfc3339_ns(&whole);
    Ok(ns.ok_or("not a time: write 2026-03-01 or 2026-03-01T10:00:00Z")?.div_euclid(1_000_000))
}

/// `top`.
#[derive(Args)]
pub struct TopArgs {
    /// The topology file that the engine runs.
    #[arg(default_value = "topology.toml")]
    pub topology: PathBuf,
    /// Print one plain frame and end; so it does also where standard output is not a terminal.
    #[arg(long)]
    pub once: bool,
    /// Form of the result; `json` prints one document a second (one with --once).
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `tap`.
#[derive(Args)]
pub struct TapArgs {
    /// The node, or node.port: `events`, `events.rejected`.
    pub node: String,
    /// The topology file that the engine runs.
    #[arg(long, default_value = "topology.toml")]
    pub topology: PathBuf,
    /// End after this many rows.
    #[arg(long)]
    pub count: Option<u64>,
    /// End after this many seconds.
    #[arg(long)]
    pub seconds: Option<u64>,
}

/// `unsuppress`.
#[derive(Args)]
pub struct UnsuppressArgs {
    /// Rule id.
    pub rule: String,
    /// The topology file that the engine runs.
    #[arg(long, default_value = "topology.toml")]
    pub topology: PathBuf,
}

/// `demo`.
#[derive(Args, Clone)]
pub struct DemoArgs {
    /// How long to run, seconds.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Kill the engine at random while it runs, then show that nothing was lost or doubled.
    #[arg(long)]
    pub crash: bool,
    /// Worker threads.
    #[arg(short, long)]
    pub workers: Option<usize>,
    /// Seed of the generated story.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

/// What to do with snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckpointTask {
    /// List them, newest first.
    Ls,
    /// Read every object of every one and check its length and hash; tell where a start would go on, or why it would not.
    Verify,
}

/// `checkpoint`.
#[derive(Args)]
pub struct CheckpointArgs {
    /// `ls` or `verify`.
    #[arg(value_enum)]
    pub task: CheckpointTask,
    /// The topology file.
    #[arg(default_value = "topology.toml", env = "MILLSTREAM_TOPOLOGY")]
    pub topology: PathBuf,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `dlq`.
#[derive(Args)]
pub struct DlqArgs {
    /// What to do.
    #[command(subcommand)]
    pub task: DlqTask,
    /// The topology file whose dead-letter sink is meant.
    #[arg(long, global = true, default_value = "topology.toml", env = "MILLSTREAM_TOPOLOGY")]
    pub topology: PathBuf,
    /// The kafka sink that takes the dead letters, if there is more than one.
    #[arg(long, global = true)]
    pub sink: Option<String>,
    /// Form of the result.
    #[arg(long, global = true, value_enum, default_value = "human")]
    pub output: Output,
}

/// What to do with dead letters.
#[derive(Subcommand)]
pub enum DlqTask {
    /// Group them by cause and node.
    Ls,
    /// Show one with its headers: `partition:offset`.
    Show {
        /// Where it is.
        at: String,
    },
    /// Put letters back where they came from, each once and for all.
    Requeue {
        /// These only: `partition:offset`; none: all.
        at: Vec<String>,
        /// Only with this code.
        #[arg(long)]
        code: Option<String>,
        /// Only from this node.
        #[arg(long)]
        node: Option<String>,
        /// Topic to put them into; default: where each came from.
        #[arg(long)]
        to: Option<String>,
    },
    /// Delete letters: all that are there now, or those of a partition below `partition:offset`.
    Purge {
        /// Up to here, exclusive.
        #[arg(long)]
        below: Option<String>,
        /// Yes, for good.
        #[arg(long)]
        yes: bool,
    },
}

/// `txn`.
#[derive(Args)]
pub struct TxnArgs {
    /// What to do.
    #[command(subcommand)]
    pub task: TxnTask,
    /// The topology file whose sinks are meant.
    #[arg(long, global = true, default_value = "topology.toml", env = "MILLSTREAM_TOPOLOGY")]
    pub topology: PathBuf,
    /// Form of the result.
    #[arg(long, global = true, value_enum, default_value = "human")]
    pub output: Output,
}

/// What to do with transactions.
#[derive(Subcommand)]
pub enum TxnTask {
    /// List the transactional ids with their newest committed epoch, and partitions that an open transaction blocks.
    Ls,
    /// End what an id has open. A writer that lives starts a new producer and goes on.
    Abort {
        /// Transactional id, as `txn ls` shows it.
        id: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_moments() {
        assert_eq!(moment("1970-01-02"), Ok(86_400_000));
        assert_eq!(moment("1970-01-01T00:00:01.5+00:00"), Ok(1_500));
        assert!(moment("yesterday").unwrap_err().contains("2026-03-01"));
    }
}
