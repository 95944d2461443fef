//! A topology in a folder of its own, and runs of it.
use crate::kafka::{Broker, unique};
use crate::project::{millstream, root};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Lines in a file of [`Pipeline::small_files`].
const IN_FILE: usize = 60;
/// A run that takes longer than this hangs.
pub const RUN_MAX: Duration = Duration::from_secs(300);

/// A pipeline in a temporary folder: `topology.toml` with its content, and `out/`.
pub struct Pipeline {
    /// The folder.
    pub dir: TempDir,
    env: Vec<(String, String)>,
}

impl Pipeline {
    /// From the text of a topology; content files are added with [`Pipeline::file`].
    pub fn new(topology: &str) -> Result<Pipeline> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir_all(dir.path().join("out"))?;
        std::fs::write(dir.path().join("topology.toml"), topology)?;
        let out = dir.path().join("out").to_string_lossy().into_owned();
        Ok(Pipeline { dir, env: vec![("OUT".into(), out)] })
    }
    /// The common workload over an input, with lines added to its `[engine]` section.
    pub fn common(input: &Path, lookup: &Path, engine: &str) -> Result<Pipeline> {
        let case = root().join("bench/cases/common");
        let text = std::fs::read_to_string(case.join("topology.toml"))?;
        let text = text.replace("[engine]\n", &format!("[engine]\n{engine}\n"));
        let mut p = Pipeline::new(&text)?;
        copy_dir(&case.join("rules"), &p.dir.path().join("rules"))?;
        p.set("INPUT", &input.to_string_lossy());
        p.set("LOOKUP", &lookup.to_string_lossy());
        Ok(p)
    }
    /// The common workload from a topic to a topic, under names of its own. The topic of its alerts beside.
    pub fn common_kafka(broker: &Broker, events: &str, lookup: &Path) -> Result<(Pipeline, String)> {
        let case = root().join("bench/cases/common");
        let mut p = Pipeline::new(&std::fs::read_to_string(case.join("kafka.toml"))?)?;
        copy_dir(&case.join("rules"), &p.dir.path().join("rules"))?;
        let name = unique("common-kafka");
        let alerts = format!("{name}.alerts");
        p.set("KAFKA", &broker.bootstrap());
        p.set("EVENTS", events);
        p.set("LOOKUP", &lookup.to_string_lossy());
        p.set("ALERTS", &alerts);
        p.set("DLQ", &format!("{name}.dlq"));
        p.set("NAME", &name);
        Ok((p, alerts))
    }
    /// Set a variable of the topology.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.into(), value.into()));
    }
    /// Write lines into files of [`IN_FILE`] in a folder, named in their order: small files make many epochs, as the input of one
    /// is a file at least.
    pub fn small_files(&self, folder: &str, lines: &[String]) -> Result<()> {
        for (n, part) in lines.chunks(IN_FILE).enumerate() {
            self.file(&format!("{folder}/{n:06}.jsonl"), part.join("\n") + "\n")?;
        }
        Ok(())
    }

    /// Write a file of the pipeline's folder.
    pub fn file(&self, path: &str, text: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().context("a path in the folder")?)?;
        std::fs::write(&path, text)?;
        Ok(path)
    }
    /// Path of an output.
    pub fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join("out").join(name)
    }
    /// Bytes of an output, empty if it is not there.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.out(name)).unwrap_or_default()
    }
    /// Lines of an output as JSON.
    pub fn rows(&self, name: &str) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.read(name)).expect("outputs are UTF-8");
        text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{name}: {e}: {l}"))).collect()
    }
    /// The command line of this pipeline, not started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(millstream());
        c.args(args).current_dir(self.dir.path()).envs(self.env.iter().cloned()).stdin(Stdio::null());
        c
    }
    /// Run a command to its end, within [`RUN_MAX`].
    pub fn millstream(&self, args: &[&str]) -> Result<Output> {
        self.millstream_env(args, &[])
    }
    /// The same with more environment.
    pub fn millstream_env(&self, args: &[&str], env: &[(&str, &str)]) -> Result<Output> {
        let log = self.dir.path().join("stderr.log");
        let out = self.dir.path().join("stdout.log");
        let mut c = self.command(args);
        c.envs(env.iter().copied()).stderr(std::fs::File::create(&log)?).stdout(std::fs::File::create(&out)?);
        let mut child = c.spawn().context("start millstream")?;
        let status = wait(&mut child, RUN_MAX)?;
        Ok(Output { status, stdout: std::fs::read(out)?, stderr: std::fs::read(log)? })
    }
    /// `run --once`, which must succeed.
    pub fn once(&self, workers: usize) -> Result<Output> {
        let out = self.millstream(&["run", "topology.toml", "--once", "--workers", &workers.to_string()])?;
        ensure!(out.status.success(), "run --once: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
        Ok(out)
    }
    /// Run `--once` as several processes, which must succeed.
    pub fn once_as(&self, processes: usize, workers: usize) -> Result<Output> {
        let (p, w) = (processes.to_string(), workers.to_string());
        let out = self.millstream(&["run", "topology.toml", "--once", "--processes", &p, "--workers", &w])?;
        ensure!(out.status.success(), "run --once: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
        Ok(out)
    }
    /// Process id of a member of a running cluster.
    pub fn member_pid(&self, data_dir: &str, process: usize) -> Option<i32> {
        let path = self.dir.path().join(data_dir).join(format!("engine-{process}.pid"));
        std::fs::read_to_string(path).ok()?.parse().ok()
    }
    /// Process id of the running engine.
    pub fn engine_pid(&self, data_dir: &str) -> Option<i32> {
        std::fs::read_to_string(self.dir.path().join(data_dir).join("engine.pid")).ok()?.parse().ok()
    }
}

/// Wait for a child; one that hangs is killed and is an error.
pub fn wait(child: &mut Child, limit: Duration) -> Result<std::process::ExitStatus> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("still running after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Wait until something holds.
pub fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Copy a folder.
pub fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_dir(&entry.path(), &target)?,
            false => std::fs::copy(entry.path(), target).map(|_| ())?,
        }
    }
    Ok(())
}
