//! The benchmark: runs a case through `millstream run`, measures it from outside, checks every result, reports.
//!
//! ```text
//! case      what to run: topology, generator, expected result      child     one process: wall, CPU, peak memory
//! measure   the runs, in turn, each checked                        outcome   output file and printed figures
//! peers     the same job in other engines                          scrape    somebody who asks for the metrics meanwhile
//! report    figures, comparisons, JSON                             table     for people; html: a page, with chart
//! ```
mod case;
mod chart;
mod child;
mod cli;
mod fill;
mod html;
mod machine;
mod measure;
mod outcome;
mod peers;
mod report;
mod scrape;
mod stats;
mod table;

use anyhow::{Context, Result, bail};
use case::{Case, Input};
use clap::{CommandFactory, Parser};
use cli::{Cli, Configuration, Output};
use machine::Machine;
use measure::{Bench, Program};
use report::Report;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let configurations = match cli.configurations() {
        Ok(all) => all,
        Err(why) => Cli::command().error(clap::error::ErrorKind::ValueValidation, why).exit(),
    };
    match run(&cli, &configurations) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, configurations: &[Configuration]) -> Result<()> {
    child::end_with_us();
    // Not where it was compiled: checkouts that share a target folder share this program.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&package).ancestors().find(|d| d.join("Cargo.lock").is_file()).context("find the checkout")?;
    let case = Case::load(&folder(root, &cli.case))?;
    let seed = cli.seed.unwrap_or(case.seed);
    let cache = cache(cli)?;
    let programs = programs(cli, root, &cache, &case)?;
    let inputs = inputs(&case, configurations, seed, &cache)?;
    let machine = Machine::look(root);
    let now = jiff::Timestamp::now();
    let started = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let out = cache.join(format!("out-{}", std::process::id()));
    let bench = Bench { case: &case, inputs, programs, out, limit: Duration::from_secs(cli.timeout) };
    let series = bench.run(configurations, cli.runs)?;
    let counts = (cli.runs, seed);
    let report = Report::new(&case, machine, started, command_line(), counts, &series, cli.memory_check())?;
    if let Some(path) = &cli.html {
        write(path, &html::page(&report)?)?;
    }
    if let Some(path) = &cli.picture {
        write(path, &html::picture(&report))?;
    }
    match cli.output {
        Output::Human => print!("{}", report.human()),
        Output::Json => print!("{}", report.json()?),
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Folder of a case by its name, or the folder itself.
fn folder(root: &Path, case: &str) -> PathBuf {
    if case.contains('/') { PathBuf::from(case) } else { root.join("bench/cases").join(case) }
}

/// Millstream, then the others.
fn programs(cli: &Cli, root: &Path, cache: &Path, case: &Case) -> Result<Vec<Program>> {
    let binary = match &cli.binary {
        Some(path) => path.canonicalize().with_context(|| format!("find the program {}", path.display()))?,
        None => build(root)?,
    };
    let mut all = vec![Program::Millstream(binary.clone())];
    let (every, names) = (cli.variants.iter().any(|v| v == "all"), case.variants.iter().map(|v| v.name.as_str()));
    if let Some(unknown) = cli.variants.iter().find(|v| *v != "all" && !names.clone().any(|n| n == *v)) {
        bail!("{} has no variant {unknown}; there are {}", case.name, names.collect::<Vec<_>>().join(", "));
    }
    let wanted = case.variants.iter().filter(|v| every || cli.variants.contains(&v.name));
    all.extend(wanted.map(|v| Program::Variant(binary.clone(), v.clone())));
    all.extend(cli.against.iter().map(|(name, command)| Program::Other(name.clone(), command.clone())));
    for name in &cli.peers {
        all.push(Program::Other(name.clone(), peers::command(root, name, cache)?));
    }
    Ok(all)
}

/// The program beside this one, brought up to date: a figure must belong to the checkout it is reported for.
fn build(root: &Path) -> Result<PathBuf> {
    let target = target()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("build millstream");
    let mut command = Command::new(cargo);
    // The selection of `cargo xtask bench`: nothing is left to do then.
    let selection = ["build", "--release", "--quiet", "--package", "app", "--package", "bench", "--target-dir"];
    command.args(selection).arg(&target).current_dir(root);
    if !command.status().context("start cargo; --binary FILE measures a program as it is")?.success() {
        bail!("millstream does not build; --binary FILE measures a program as it is");
    }
    Ok(target.join("release/millstream"))
}

/// The target folder that this program lies in.
fn target() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("find this program")?;
    let release = exe.ancestors().find(|d| d.ends_with("release")).and_then(Path::parent);
    Ok(release.context("this program does not lie in target/release; name --binary and --inputs")?.to_path_buf())
}

/// The folder for inputs and outputs, absolute: programs run elsewhere.
fn cache(cli: &Cli) -> Result<PathBuf> {
    let dir = match &cli.inputs {
        Some(dir) => dir.clone(),
        None => target()?.join("bench-inputs"),
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    dir.canonicalize().with_context(|| format!("find {}", dir.display()))
}

/// The inputs of all configurations, generated where they are missing, and in the page cache.
fn inputs(case: &Case, configurations: &[Configuration], seed: u64, cache: &Path) -> Result<BTreeMap<u64, Input>> {
    let mut all = BTreeMap::new();
    for c in configurations {
        if let Entry::Vacant(place) = all.entry(c.events) {
            let input = case.input(c.events, seed, cache)?;
            if input.expected.is_none() {
                let n = stats::group(c.events);
                eprintln!(
                    "note: the number of alerts for {n} events and seed {seed} is not known; runs are only compared"
                );
            }
            input.warm()?;
            place.insert(input);
        }
    }
    Ok(all)
}

fn command_line() -> String {
    let quoted = |a: String| if a.contains([' ', '\'', '"']) { format!("{a:?}") } else { a };
    std::iter::once("bench".to_string()).chain(std::env::args().skip(1).map(quoted)).collect::<Vec<_>>().join(" ")
}
