//! The runs: every configuration, every program, in turn, each in a fresh folder; each result checked before it counts.
//!
//! Round by round instead of configuration by configuration: a neighbour that wakes up meets all of them, and two
//! programs that are compared always run one right after the other.
use crate::case::{Case, Input, Variant};
use crate::child::{self, Used};
use crate::cli::{Configuration, OURS};
use crate::fill;
use crate::outcome::{self, Latency};
use crate::scrape::{Scraper, free_port};
use crate::stats::group;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Bytes of a failed run's standard error that are shown.
const TAIL: usize = 2000;

/// A program that does the case's job.
#[derive(Clone, Debug)]
pub enum Program {
    /// `millstream`, the binary.
    Millstream(PathBuf),
    /// The same binary on a variant of the case.
    Variant(PathBuf, Variant),
    /// Another, by name and shell command with placeholders.
    Other(String, String),
}

/// One good run.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// From the start of the process to its end, seconds.
    pub wall_s: f64,
    /// User and system time of the process and its children, seconds.
    pub cpu_s: f64,
    /// Peak resident memory, MiB.
    pub rss_mib: f64,
    /// Bytes of input, as the engine counted them.
    pub bytes: u64,
    /// Lines of output.
    pub alerts: u64,
    /// Percentiles of the epochs' latency, where the program tells them.
    pub latency_ms: Option<Latency>,
    /// CPU seconds by node, where the program tells them.
    pub nodes_s: BTreeMap<String, f64>,
}

/// The good runs of one program on one configuration, in the order they were taken.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name of the program.
    pub program: String,
    /// What it ran on.
    pub on: Configuration,
    /// Its runs.
    pub samples: Vec<Sample>,
}

/// Everything that the runs need.
pub struct Bench<'a> {
    /// The case.
    pub case: &'a Case,
    /// Inputs by number of events.
    pub inputs: BTreeMap<u64, Input>,
    /// The programs, Millstream first: the others' output is held against its.
    pub programs: Vec<Program>,
    /// Folder for outputs; removed when all went well.
    pub out: PathBuf,
    /// Longest time of a run.
    pub limit: Duration,
}

impl Program {
    /// How a report calls it.
    pub fn name(&self) -> &str {
        match self {
            Program::Millstream(_) => OURS,
            Program::Variant(_, v) => &v.name,
            Program::Other(name, _) => name,
        }
    }

    /// True if it is asked for its metrics while it runs.
    fn watched(&self) -> bool {
        matches!(self, Program::Variant(_, v) if v.watched)
    }

    fn command(&self, case: &Case, input: &Input, on: Configuration, out: &Path, port: u16) -> Result<Command> {
        let mut values = input.values.clone();
        values.insert("PORT".into(), port.to_string());
        values.insert("OUT".into(), out.display().to_string());
        values.insert("WORKERS".into(), on.workers.to_string());
        let mut command = match self {
            Program::Millstream(binary) => engine(binary, &case.topology, on),
            Program::Variant(binary, v) => {
                let topology = out.with_extension("toml");
                v.apply(case, &mut values, &topology)?;
                engine(binary, &topology, on)
            }
            Program::Other(_, template) => {
                let mut c = Command::new("sh");
                c.arg("-c").arg(fill::shell(template, &values)?);
                c
            }
        };
        // A setting that happens to be in the caller's environment must not change what is measured.
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("MILLSTREAM_")) {
            command.env_remove(name);
        }
        command.envs(values);
        Ok(command)
    }
}

fn engine(binary: &Path, topology: &Path, on: Configuration) -> Command {
    let mut c = Command::new(binary);
    c.arg("run").arg(topology).args(["--once", "--no-supervisor", "--stats", "--quiet"]);
    c.args(["--workers", &on.workers.to_string()]);
    c
}

impl Bench<'_> {
    /// Run all configurations `runs` times. The first wrong result or failed run ends it.
    pub fn run(&self, configurations: &[Configuration], runs: u64) -> Result<Vec<Series>> {
        let mut all: Vec<Series> = configurations
            .iter()
            .flat_map(|&on| {
                self.programs.iter().map(move |p| Series { program: p.name().into(), on, samples: Vec::new() })
            })
            .collect();
        self.warm_up(configurations)?;
        let total = runs as usize * all.len();
        let mut number = 0;
        for _ in 0..runs {
            for (i, series) in all.iter_mut().enumerate() {
                number += 1;
                let program = &self.programs[i % self.programs.len()];
                series.samples.push(self.told(&format!("{number}/{total}"), program, series.on)?);
            }
        }
        std::fs::remove_dir_all(&self.out).with_context(|| format!("remove {}", self.out.display()))?;
        Ok(all)
    }

    /// One run of each program that does not count: it brings the programs' own pages into memory.
    fn warm_up(&self, configurations: &[Configuration]) -> Result<()> {
        let smallest = configurations.iter().min().context("nothing to run")?;
        for program in &self.programs {
            self.told("warm-up", program, *smallest)?;
        }
        Ok(())
    }

    /// One run, with a line on standard error.
    fn told(&self, label: &str, program: &Program, on: Configuration) -> Result<Sample> {
        let what = format!("{} on {on}", program.name());
        eprint!("[{label}] {what} … ");
        let out = self.out.join(format!("run-{}", label.split('/').next().unwrap_or(label)));
        let sample = self.one(program, on, &out).inspect_err(|_| eprintln!("failed"));
        let sample = sample.with_context(|| format!("{what}: see {}", out.display()))?;
        eprintln!("{:.2} s, {:.2} CPU s, {:.0} MiB", sample.wall_s, sample.cpu_s, sample.rss_mib);
        Ok(sample)
    }

    /// One run in the new folder `out`, checked; the folder is removed when the run is good.
    fn one(&self, program: &Program, on: Configuration, out: &Path) -> Result<Sample> {
        let input = self.inputs.get(&on.events).context("no input was generated")?;
        std::fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
        let (stdout, stderr) = (out.with_extension("stdout"), out.with_extension("stderr"));
        let port = free_port()?;
        let mut command = program.command(self.case, input, on, out, port)?;
        command.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let scraper = program.watched().then(|| Scraper::start(port));
        let (status, used) = child::run(&mut command, self.limit)?;
        if !status.success() {
            bail!("it failed ({status}): {}", outcome::tail(&stderr, TAIL));
        }
        scraper.map_or(Ok(()), Scraper::stop)?;
        let sample = match program {
            Program::Millstream(_) => self.millstream(input, on, out, &stdout, used, None)?,
            Program::Variant(_, v) => {
                std::fs::remove_file(out.with_extension("toml"))?;
                self.millstream(input, on, out, &stdout, used, Some(v).filter(|v| v.other_output))?
            }
            Program::Other(..) => self.other(input, on, out, used)?,
        };
        for file in [stdout, stderr] {
            std::fs::remove_file(file)?;
        }
        std::fs::remove_dir_all(out).with_context(|| format!("remove {}", out.display()))?;
        Ok(sample)
    }

    /// Check a run of ours. `other`: the variant whose output is its own.
    fn millstream(
        &self,
        input: &Input,
        on: Configuration,
        out: &Path,
        stdout: &Path,
        used: Used,
        other: Option<&Variant>,
    ) -> Result<Sample> {
        let stats = outcome::stats(stdout)?;
        ensure!(stats.events == on.events, "it read {} events of {}", group(stats.events), group(on.events));
        let output = out.join(&self.case.output);
        let alerts = self.count(&output, input.expected.filter(|_| other.is_none()))?;
        let first = self.first(on.events, other.map_or(OURS, |v| &v.name));
        if first.exists() {
            if let Some(line) = outcome::first_difference(&first, &output)? {
                bail!("its output differs from the first run's ({}) in line {line}", first.display());
            }
        } else {
            std::fs::copy(&output, &first).with_context(|| format!("keep the output as {}", first.display()))?;
        }
        let mut sample = sample(used, stats.bytes, alerts);
        (sample.latency_ms, sample.nodes_s) = (Some(stats.latency_ms), stats.cpu_by_node_s);
        Ok(sample)
    }

    /// The other program's alerts may be written another way, but there must be as many.
    fn other(&self, input: &Input, on: Configuration, out: &Path, used: Used) -> Result<Sample> {
        let known = match input.expected {
            Some(n) => n,
            None => outcome::lines(&self.first(on.events, OURS))?,
        };
        let alerts = self.count(&out.join(&self.case.output), Some(known))?;
        let bytes = input.values.get("INPUT").map_or(Ok(0), |p| std::fs::metadata(p).map(|m| m.len()))?;
        Ok(sample(used, bytes, alerts))
    }

    fn count(&self, output: &Path, expected: Option<u64>) -> Result<u64> {
        let alerts = outcome::lines(output)?;
        match expected.filter(|e| *e != alerts) {
            Some(e) => bail!("a wrong result: {} lines of output, expected {}", group(alerts), group(e)),
            None => Ok(alerts),
        }
    }

    /// Where the first output of a number of events is kept, to hold the others against.
    fn first(&self, events: u64, name: &str) -> PathBuf {
        self.out.join(format!("first-{events}-{name}"))
    }
}

fn sample(used: Used, bytes: u64, alerts: u64) -> Sample {
    let (wall_s, cpu_s, rss_mib) = (used.wall_s, used.cpu_s, used.rss_mib);
    Sample { wall_s, cpu_s, rss_mib, bytes, alerts, latency_ms: None, nodes_s: BTreeMap::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A case with 3 events of which 2 lines come out, and a stand-in for the engine that runs `script`.
    struct Stage {
        tmp: tempfile::TempDir,
        case: Case,
    }

    impl Stage {
        fn new() -> Stage {
            let tmp = tempfile::tempdir().unwrap();
            let dir = tmp.path().join("c");
            std::fs::create_dir(&dir).unwrap();
            let text = "schema = 1\nabout = 'x'\ntopology = 't.toml'\noutput = 'o'\nseed = 7\n\
                [[generate]]\ncommand = ['sh', '-c', 'seq {EVENTS} >{DIR}/in']\n[variables]\nINPUT = '{DIR}/in'\n\
                [[expected]]\nevents = 3\nalerts = 2\n";
            std::fs::write(dir.join("case.toml"), text).unwrap();
            let case = Case::load(&dir).unwrap();
            Stage { tmp, case }
        }

        fn run(&self, script: &str, other: Option<&str>, workers: &[u64]) -> Result<Vec<Series>> {
            let binary = self.tmp.path().join("engine");
            // Another process writes it: a test that forks meanwhile must not hold it open for writing.
            let write = "cat >\"$0\" <<'END'\n#!/bin/sh\n$1\nEND\nchmod +x \"$0\"".replace("$1", script);
            assert!(Command::new("sh").arg("-c").arg(write).arg(&binary).status().unwrap().success());
            let mut programs = vec![Program::Millstream(binary)];
            programs.extend(other.map(|o| Program::Other("hand".into(), o.into())));
            let input = self.case.input(3, 7, &self.tmp.path().join("cache")).unwrap();
            let out = self.tmp.path().join("out");
            let bench = Bench { case: &self.case, inputs: [(3, input)].into(), programs, out, limit: LIMIT };
            let on: Vec<_> = workers.iter().map(|&workers| Configuration { events: 3, workers }).collect();
            bench.run(&on, 2)
        }
    }

    const FIGURES: &str = r#"echo '{"events":3,"bytes":6,"latency_ms":{"p50":1,"p90":2,"p99":3,"max":4},"cpu_by_node_s":{"in":0.5},"more":"is passed over"}'"#;

    #[test]
    fn programs_run_in_turn_and_leave_nothing() {
        let stage = Stage::new();
        let log = stage.tmp.path().join("log");
        let ours = format!("echo a$8 >>{}; head -n 2 $INPUT >$OUT/o; {FIGURES}", log.display());
        let theirs = format!("echo b{{WORKERS}} >>{}; printf 'x\\ny\\n' >{{OUT}}/o", log.display());
        let all = stage.run(&ours, Some(&theirs), &[1, 2]).unwrap();
        assert_eq!(std::fs::read_to_string(log).unwrap().replace('\n', " ").trim(), "a1 b1 a1 b1 a2 b2 a1 b1 a2 b2");
        let names: Vec<_> = all.iter().map(|s| (s.program.as_str(), s.on.workers, s.samples.len())).collect();
        assert_eq!(names, [("millstream", 1, 2), ("hand", 1, 2), ("millstream", 2, 2), ("hand", 2, 2)]);
        let sample = &all[0].samples[0];
        assert_eq!((sample.bytes, sample.alerts, sample.latency_ms.unwrap().p99), (6, 2, 3.0));
        assert_eq!(sample.nodes_s["in"], 0.5);
        assert!(all[1].samples[0].latency_ms.is_none() && all[1].samples[0].bytes == 6);
        assert!(!stage.tmp.path().join("out").exists());
    }

    fn error(script: &str, other: Option<&str>, workers: &[u64]) -> String {
        format!("{:#}", Stage::new().run(script, other, workers).unwrap_err())
    }

    #[test]
    fn a_wrong_result_is_no_figure() {
        let e = error(&format!("head -n 1 $INPUT >$OUT/o; {FIGURES}"), None, &[1]);
        assert!(e.contains("1 lines of output, expected 2"), "{e}");
        let e = error(&format!("head -n 2 $INPUT >$OUT/o; {}", FIGURES.replace(":3,", ":2,")), None, &[1]);
        assert!(e.contains("it read 2 events of 3"), "{e}");
        let e = error(&format!("echo $8 >$OUT/o; echo x >>$OUT/o; {FIGURES}"), None, &[1, 2]);
        assert!(e.contains("2 workers") && e.contains("in line 1"), "{e}");
        let e = error(&format!("head -n 2 $INPUT >$OUT/o; {FIGURES}"), Some("cp {INPUT} {OUT}/o"), &[1]);
        assert!(e.contains("hand on") && e.contains("3 lines of output, expected 2"), "{e}");
        let e = error(FIGURES, None, &[1]);
        assert!(e.contains("read the output"), "{e}");
    }

    #[test]
    fn a_failed_run_says_why() {
        let e = error("echo the reason >&2; exit 70", None, &[1]);
        assert!(e.contains("70") && e.contains("the reason"), "{e}");
        let e = error(&format!("head -n 2 $INPUT >$OUT/o; {FIGURES}"), Some("true {NONE}"), &[1]);
        assert!(e.contains("{NONE}"), "{e}");
    }
}
