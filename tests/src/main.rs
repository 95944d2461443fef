//! `cargo xtask`: what developers run. `cargo xtask test` passes every test and does its own set-up.
use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use std::process::Command;
use std::time::Instant;
use tests::chaos::Scale;
use tests::copier::CopierArgs;
use tests::kafka::{Broker, Setup, read_all};
use tests::kills::{Random, run_with_kills};
use tests::pace::Plans;
use tests::project::{common_input, common_reference};
use tests::qualify::qualify;
use tests::run::Pipeline;

/// Rows of the fault table beside each other.
const LANES: u64 = 2;

/// Tasks of the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set up what is missing, then check formatting, run every test, and a slice of every row of the fault table.
    Test,
    /// Kill the common workload at random, many times, and compare every end with the reference.
    Kill {
        /// Kills that must land while the engine works.
        #[arg(long, default_value_t = 200)]
        kills: u64,
        /// Events of the workload.
        #[arg(long, default_value_t = 200_000)]
        events: u64,
        /// Seed of the schedule.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Hurt the reference job on a real Kafka, row by row of the fault table, and judge what comes out.
    Chaos {
        /// Only this row, such as F2.
        #[arg(long)]
        only: Option<String>,
        /// Seed of everything that is drawn.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// As many faults as the table's column for CI. Default: a slice of it.
        #[arg(long, conflicts_with = "long")]
        full: bool,
        /// As many faults as the table's column for long runs.
        #[arg(long)]
        long: bool,
        /// Keep every folder, not only those of rows that failed.
        #[arg(long)]
        keep: bool,
        /// Rows beside each other: most of the time a row waits.
        #[arg(long, default_value_t = LANES, value_parser = clap::value_parser!(u64).range(1..=16))]
        lanes: u64,
    },
    /// What exactly-once costs on Kafka against at-least-once; how late an output is at 0.5, 0.8 and all of the sustainable
    /// rate; how long a pause of the engine is felt.
    Pace {
        /// Events of each run.
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        /// Rounds; each runs both ways, in turns. Medians are reported. 0: the cost is not measured.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Seconds of each run at a rate.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Events per second, instead of shares of what is found to be sustainable.
        #[arg(long)]
        rate: Option<u64>,
        /// Seconds for which the engine is paused in a last run; 0: no such run.
        #[arg(long, default_value_t = 60)]
        stall: u64,
        /// Also write the distributions and what happened over time as a page.
        #[arg(long, value_name = "FILE")]
        html: Option<std::path::PathBuf>,
    },
    /// What each stage costs by itself, beside what bounds it: walk, parser, rules, windows, Parquet.
    Micro {
        /// Events of the common workload.
        #[arg(long, default_value_t = 200_000)]
        events: u64,
        /// Count instructions (with valgrind) in place of measuring time; fewer events will do.
        #[arg(long)]
        instructions: bool,
    },
    /// Start an Apache Kafka to try things with, with events in a topic; it ends with Ctrl-C.
    Kafka {
        /// Port on 127.0.0.1.
        #[arg(long, default_value_t = 9092)]
        port: u16,
        /// Topic that the events go into.
        #[arg(long, default_value = "sec.events.raw.v1")]
        topic: String,
        /// Its partitions.
        #[arg(long, default_value_t = 4)]
        partitions: i32,
        /// Events of the common workload.
        #[arg(long, default_value_t = 200_000)]
        events: u64,
        /// Only print the path of the workload's lookup table, which `bench/cases/common/kafka.toml` asks for.
        #[arg(long)]
        lookup: bool,
        /// Only print what a reader of committed records sees in this topic.
        #[arg(long, value_name = "TOPIC")]
        read: Option<String>,
    },
    /// Qualify the Kafka of the tests and the checker: a plain transactional copier, killed while it works, must be exact.
    Qualify {
        /// Messages.
        #[arg(long, default_value_t = 100_000)]
        events: u64,
        /// Kills that must land while it works.
        #[arg(long, default_value_t = 20)]
        kills: u64,
        /// Seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The copier's own process.
    #[command(hide = true)]
    Copier(CopierArgs),
    /// Run the bench (arguments are the bench's own).
    Bench {
        /// See `cargo xtask bench -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Test => test(),
        Task::Kill { kills, events, seed } => kill(kills, events, seed),
        Task::Kafka { port, topic, partitions, events, lookup, read } => {
            set_up()?;
            if lookup {
                println!("{}", common_input(events, 20_260_301)?.1.display());
                return Ok(());
            }
            match read {
                Some(topic) => print_topic(port, &topic),
                None => kafka(port, &topic, partitions, events),
            }
        }
        Task::Chaos { only, seed, full, long, keep, lanes } => {
            set_up()?;
            let scale = match (full, long) {
                (true, _) => Scale::Full,
                (_, true) => Scale::Long,
                _ => Scale::Slice,
            };
            leave(tests::chaos::run(only.as_deref(), scale, seed, keep, lanes))
        }
        Task::Pace { events, rounds, seconds, rate, stall, html } => {
            set_up()?;
            leave(tests::pace::run(&Plans { events, rounds, seconds, rate, stall, html }))
        }
        Task::Micro { events, instructions } => tests::micro::run(events, instructions),
        Task::Qualify { events, kills, seed } => {
            set_up()?;
            let q = qualify(&Broker::start(1)?, &std::env::current_exe()?, events, kills, seed)?;
            println!("seed {seed}, {} kills, {:.1} s: {}", q.kills, q.took.as_secs_f64(), q.verdict);
            ensure!(q.verdict.exact() && q.kills == kills, "not qualified: {} of {kills} kills landed", q.kills);
            Ok(())
        }
        Task::Copier(args) => tests::copier::run(&args),
        Task::Bench { args } => {
            set_up()?;
            cargo(&["build", "--release", "--package", "app", "--package", "bench"])?;
            let status = Command::new(std::env::current_exe()?.with_file_name("bench")).args(args).status();
            ensure!(status.context("start bench")?.success(), "bench failed");
            Ok(())
        }
    }
}

/// End this process without the library's clean-up at exit: Kafka clients of the shared broker still run in their own
/// threads, and would find what they use gone.
fn leave(result: Result<()>) -> ! {
    if let Err(e) = &result {
        eprintln!("Error: {e:#}");
    }
    // SAFETY: ends the process; nothing here waits to be written.
    unsafe { libc::_exit(result.is_err() as i32) }
}

/// A broker with the events of the common workload, until somebody ends it.
fn kafka(port: u16, topic: &str, partitions: i32, events: u64) -> Result<()> {
    let (input, lookup) = common_input(events, 20_260_301)?;
    println!("starting Apache Kafka on 127.0.0.1:{port} …");
    let broker = Broker::start_with(Setup { port: Some(port), ..Setup::new(1) })?;
    let n = broker.fill(topic, partitions, &input)?;
    println!("{n} events are in {topic} ({partitions} partitions). In another terminal:");
    println!("  export LOOKUP={} OUT=/tmp/millstream KAFKA=127.0.0.1:{port}", lookup.display());
    println!("  cargo run --release -- run bench/cases/common/kafka.toml --processes 2 --workers 2");
    println!("  cargo xtask kafka --port {port} --read sec.alerts.v1");
    println!("Ctrl-C ends the broker and deletes its data.");
    loop {
        std::thread::park();
    }
}

fn print_topic(port: u16, topic: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for m in read_all(&format!("127.0.0.1:{port}"), topic, true)? {
        if writeln!(out, "{}", m.text()).is_err() {
            break;
        }
    }
    Ok(())
}

fn cargo(args: &[&str]) -> Result<()> {
    let at = Instant::now();
    println!("$ cargo {}", args.join(" "));
    let status = tests::project::cargo().args(args).status().context("start cargo")?;
    ensure!(status.success(), "cargo {} failed", args.join(" "));
    println!("  took {:.0} s", at.elapsed().as_secs_f64());
    Ok(())
}

fn test() -> Result<()> {
    set_up()?;
    if has("cargo-fmt") {
        cargo(&["fmt", "--all", "--check"])?;
    }
    // One selection of crates and targets, so that every dependency is compiled once.
    cargo(&["build", "--release", "--workspace", "--all-targets"])?;
    cargo(&["test", "--release", "--workspace"])?;
    // At last everything together, on real brokers, while it is hurt.
    leave(tests::chaos::run(None, Scale::Slice, 1, false, LANES))
}

/// What the build and the tests need besides Rust and a C compiler: program, Debian package.
const NEEDS: &[(&str, &str)] = &[
    ("c++", "g++"),
    ("python3", "python3"),
    ("git", "git"),
    // librdkafka and its OpenSSL.
    ("make", "make"),
    ("perl", "perl"),
    // Apache Kafka.
    ("java", "openjdk-17-jre-headless|default-jre-headless"),
    ("mvn", "maven"),
    // Network faults.
    ("ip", "iproute2"),
    ("nft", "nftables"),
    // Calls that fail.
    ("strace", "strace"),
];

fn set_up() -> Result<()> {
    let missing: Vec<&(&str, &str)> = NEEDS.iter().filter(|n| !has(n.0)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // SAFETY: geteuid has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root || !has("apt-get") {
        let (programs, packages): (Vec<&str>, Vec<&str>) = missing.iter().map(|n| (n.0, n.1)).unzip();
        bail!(
            "missing on this machine: {}. On Debian or Ubuntu: apt-get install {}",
            programs.join(", "),
            packages.join(" ")
        );
    }
    let apt = |args: &[&str]| Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").status();
    ensure!(apt(&["update"])?.success(), "apt-get update failed");
    let packages: Vec<&str> = missing.iter().map(|n| package(n.1)).collect();
    println!("installing {}", packages.join(", "));
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(&packages);
    ensure!(apt(&args)?.success(), "apt-get install {} failed", packages.join(" "));
    Ok(())
}

/// The first of `a|b` that this release of Debian has, else the last.
fn package(names: &'static str) -> &'static str {
    let known = |name: &&str| {
        Command::new("apt-cache").args(["show", "--quiet", name]).output().is_ok_and(|o| o.status.success())
    };
    names.split('|').find(known).or_else(|| names.split('|').next_back()).unwrap_or(names)
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian keeps what root uses.
    let sbin = [std::path::PathBuf::from("/usr/sbin"), "/sbin".into()];
    std::env::split_paths(&path).chain(sbin).any(|d| d.join(program).is_file())
}

fn kill(kills: u64, events: u64, seed: u64) -> Result<()> {
    let (input, lookup) = common_input(events, 20_260_301)?;
    let want = common_reference(&input, &lookup, 1000)?;
    let (mut landed, mut runs, mut random, at) = (0, 0, Random(seed), Instant::now());
    while landed < kills {
        let p = Pipeline::common(&input, &lookup, "epoch = \"50ms\"\nepoch_bytes = \"1MiB\"\ncheckpoint = \"50ms\"")?;
        let workers = 1 + random.below(3) as usize;
        let k = run_with_kills(&p, "out/state", workers, kills - landed, 700, &mut random)?;
        ensure!(
            p.read("alerts.jsonl") == want,
            "run {runs}: other bytes after {} kills; kept in {}",
            k.mid_work,
            p.dir.path().display()
        );
        let audit = p.millstream(&["audit"])?;
        ensure!(audit.status.success(), "run {runs}: {}", String::from_utf8_lossy(&audit.stdout));
        (landed, runs) = (landed + k.mid_work, runs + 1);
        println!(
            "{landed} of {kills} kills landed mid-work, {runs} runs, every end has the reference's bytes ({:.0} s)",
            at.elapsed().as_secs_f64()
        );
        ensure!(runs < kills * 10 + 10, "kills do not land");
    }
    Ok(())
}
