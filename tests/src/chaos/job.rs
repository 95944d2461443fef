//! The reference job under a fault: its topics, its input, its processes, and the verdict at its end.
use super::ctx::{Ctx, RowReport};
use crate::checker::input::{Loader, Plan, Route};
use crate::checker::reader::{LiveReader, Topics};
use crate::checker::seen::{Alert, Output};
use crate::checker::verdict::{Evidence, Mark, Verdict, check};
use crate::kafka::{Admin, Broker, read_all, spawn, unique};
use crate::project::{millstream, python, root};
use crate::run::{copy_dir, wait};
use anyhow::{Context, Result, bail, ensure};
use std::cell::Cell;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A job without output for this long is stuck; the longest fault of the table is shorter.
const STUCK: Duration = Duration::from_secs(90);
/// A graceful end.
const END_MAX: Duration = Duration::from_secs(60);
/// From the start of a process until it takes a signal to end as a wish to drain.
const SETTLE: Duration = Duration::from_secs(1);
/// How much of a log is shown.
const LOG_SHOWN: usize = 6_000;

/// How a job is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Processes on this machine.
    pub processes: usize,
    /// Worker threads of each.
    pub workers: usize,
    /// Lines for `[engine]`.
    pub engine: String,
    /// Sections of the topology: `[log]`, `[cluster]`.
    pub sections: String,
    /// Lines for source and sinks: `request_timeout = "1s"`.
    pub connection: String,
    /// Time-out of transactions.
    pub transaction: String,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// More arguments of `run`.
    pub args: Vec<String>,
    /// Events per second that go in; 0: as fast as they are taken.
    pub rate: u64,
    /// Brokers of another cluster that the input is in; default: the one of the output.
    pub input: Option<String>,
    /// Brokers as the job is told; default: the cluster's own.
    pub brokers: Option<String>,
    /// One command per machine: words in front of the program. Empty: one supervisor on this machine.
    pub machines: Vec<Vec<String>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            processes: 2,
            workers: 2,
            engine: String::new(),
            sections: String::new(),
            connection: String::new(),
            transaction: "10s".into(),
            env: Vec::new(),
            args: Vec::new(),
            rate: 2_000,
            input: None,
            brokers: None,
            machines: Vec::new(),
        }
    }
}

impl Options {
    /// The reference job's topology with these options.
    pub fn topology(&self, name: &str, brokers: &str) -> Result<String> {
        let template = std::fs::read_to_string(root().join("tests/kafka/job/topology.toml"))?;
        Ok(template
            .replace("@NAME@", name)
            .replace("@ENGINE@", &self.engine)
            .replace("@SECTIONS@", &self.sections)
            .replace("@INPUT@", self.input.as_deref().unwrap_or(brokers))
            .replace("@BROKERS@", brokers)
            .replace("@CONNECTION@", &self.connection)
            .replace("@TXN@", &self.transaction))
    }
    /// The same with the epoch log in Kafka, and snapshots in a folder or bucket.
    pub fn log_in_kafka(mut self, broker: &Broker, snapshots: impl std::fmt::Display) -> Options {
        self.engine = format!("snapshots = \"{snapshots}\"");
        self.sections = format!("[log]\ntype = \"kafka\"\nbrokers = \"{}\"\n", broker.bootstrap());
        self
    }
}

/// A job: topics, input, running processes, running reader.
pub struct Job {
    /// What goes in.
    pub plan: Plan,
    /// The running reader.
    pub live: LiveReader,
    /// Folder with the topology.
    pub dir: PathBuf,
    /// Name of topology and topics.
    pub name: String,
    /// How it is run; a restart may change it.
    pub options: Options,
    alerts: Vec<Alert>,
    /// Events and dead letters that must come out.
    wanted: (u64, u64),
    direct: String,
    loader: Option<Loader>,
    children: Vec<Child>,
    /// What copies the output of the children into `job.log`, until the last of their processes has ended.
    logs: Vec<JoinHandle<()>>,
    starts: usize,
    /// Times in the log count from here, as those of the schedule do.
    began: Instant,
    /// The stacks of this job have been written.
    looked: Cell<bool>,
}

impl Job {
    /// Make the topics, start the input, the reader and the job.
    pub fn start(ctx: &Ctx, broker: &Broker, plan: Plan, options: Options) -> Result<Job> {
        let mut job = Job::prepare(ctx, broker, plan, options)?;
        job.feed();
        job.launch()?;
        Ok(job)
    }

    /// The same without input and processes.
    pub fn prepare(ctx: &Ctx, broker: &Broker, mut plan: Plan, options: Options) -> Result<Job> {
        // Built before the input flows, which counts in seconds.
        millstream();
        let name = unique("chaos");
        plan.run = name.clone();
        let dir = ctx.dir().join(&name);
        copy_dir(&root().join("tests/kafka/job"), &dir)?;
        std::fs::create_dir_all(dir.join("out"))?;
        let brokers = options.brokers.clone().unwrap_or_else(|| broker.bootstrap());
        std::fs::write(dir.join("topology.toml"), options.topology(&name, &brokers)?)?;
        let lines = dir.join("events.jsonl");
        plan.write_lines(&lines)?;
        let (lines, lookup) = (lines.to_string_lossy().into_owned(), dir.join("lookup.csv"));
        let reference = python(&["tests/reference/chaos.py", &lines, &lookup.to_string_lossy()])?;
        let mut alerts = Vec::new();
        for line in String::from_utf8(reference)?.lines() {
            alerts.push(Alert::of(&serde_json::from_str(line)?).with_context(|| format!("reference: {line}"))?);
        }
        let replicas = broker.nodes().len().max(1) as i32;
        let input = format!("{name}.in");
        match &options.input {
            Some(other) => Admin::new(other).create(&input, plan.partitions as i32, 1, &[])?,
            None => broker.create_topic(&input, plan.partitions as i32, replicas)?,
        }
        let topics: Topics = [(Output::Events, "events", 4), (Output::Dlq, "dlq", 2), (Output::Alerts, "alerts", 2)]
            .into_iter()
            .map(|(output, topic, partitions)| {
                let topic = format!("{name}.{topic}");
                broker.create_topic(&topic, partitions, replicas).map(|()| (output, topic))
            })
            .collect::<Result<_>>()?;
        let direct = broker.direct();
        let live = LiveReader::start(&direct, &topics)?;
        let wanted = (plan.count(Route::Event), plan.count(Route::Reject));
        Ok(Job {
            plan,
            live,
            dir,
            name,
            options,
            alerts,
            wanted,
            direct,
            loader: None,
            children: Vec::new(),
            logs: Vec::new(),
            starts: 0,
            began: ctx.began,
            looked: Cell::new(false),
        })
    }

    /// Let the input flow.
    pub fn feed(&mut self) {
        let brokers = self.options.input.as_ref().unwrap_or(&self.direct);
        self.loader = Some(Loader::start(brokers, &format!("{}.in", self.name), &self.plan, self.options.rate));
    }

    /// Start the processes.
    pub fn launch(&mut self) -> Result<()> {
        self.starts += 1;
        let machines = if self.options.machines.is_empty() { vec![Vec::new()] } else { self.options.machines.clone() };
        let many = machines.len() > 1;
        for (i, words) in machines.iter().enumerate() {
            let mut c = match words.split_first() {
                Some((program, args)) => {
                    let mut c = Command::new(program);
                    c.args(args).arg(millstream());
                    c
                }
                None => Command::new(millstream()),
            };
            // Machines do not share a folder.
            let dir = if many { self.machine(i)? } else { self.dir.clone() };
            c.args(["run", "topology.toml", "--quiet", "--workers", &self.options.workers.to_string()]);
            if many {
                c.args(["--process", &i.to_string()]);
            } else if self.options.processes > 1 {
                c.args(["--processes", &self.options.processes.to_string()]);
            }
            let (said, says) = std::io::pipe()?;
            c.args(&self.options.args).envs(self.options.env.iter().cloned()).current_dir(&dir);
            c.stdin(Stdio::null()).stdout(says.try_clone()?).stderr(says);
            self.children.push(spawn(c)?);
            let (path, began) = (dir.join("job.log"), self.began);
            let mut log = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
            self.logs.push(std::thread::spawn(move || keep_log(said, &mut log, began)));
        }
        Ok(())
    }

    fn machine(&self, i: usize) -> Result<PathBuf> {
        let dir = self.dir.join(format!("machine-{i}"));
        if !dir.exists() {
            std::fs::create_dir_all(dir.join("out"))?;
            for what in ["rules", "schemas"] {
                copy_dir(&self.dir.join(what), &dir.join(what))?;
            }
            for what in ["topology.toml", "lookup.csv"] {
                std::fs::copy(self.dir.join(what), dir.join(what))?;
            }
        }
        Ok(dir)
    }

    /// Process ids of the engine's processes: the children of the supervisors.
    pub fn engines(&self) -> Vec<i32> {
        let parents: Vec<i32> = self.children.iter().map(|c| c.id() as i32).collect();
        children_of(&parents)
    }
    /// The supervisors.
    pub fn supervisors(&self) -> Vec<i32> {
        self.children.iter().map(|c| c.id() as i32).collect()
    }
    /// Wait until as many engine processes run as there should.
    pub fn up(&self) -> Result<Vec<i32>> {
        let want = if self.options.machines.len() > 1 { self.options.machines.len() } else { self.options.processes };
        let end = Instant::now() + STUCK;
        loop {
            let pids = self.engines();
            if pids.len() == want {
                return Ok(pids);
            }
            ensure!(Instant::now() < end, "{} of {want} processes run\n{}", pids.len(), self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    /// Wait for the first output.
    pub fn works(&self) -> Result<()> {
        let began = Instant::now();
        while self.live.count() == 0 {
            ensure!(!self.ended(), "the job ended\n{}", self.log());
            if began.elapsed() > STUCK {
                self.look();
                bail!("no output for {STUCK:?}\n{}{}", self.live.ends(), self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
    /// SIGKILL engine processes; false if one was not there any more.
    pub fn kill(&self, pids: &[i32]) -> bool {
        // SAFETY: processes that were children of our own supervisors a moment ago.
        pids.iter().all(|p| unsafe { libc::kill(*p, libc::SIGKILL) } == 0)
    }
    /// Send a signal to a process of the job.
    pub fn signal(&self, pid: i32, signal: i32) {
        // SAFETY: as in `kill`.
        unsafe { libc::kill(pid, signal) };
    }
    /// Wait until new processes of the engine (none of `old`) run and the reader sees new output; the time since `since`.
    pub fn resumed(&self, old: &[i32], since: Instant) -> Result<Option<Duration>> {
        let end = Instant::now() + STUCK;
        while !self.done() && self.engines().iter().all(|p| old.contains(p)) {
            ensure!(Instant::now() < end && !self.ended(), "the job is not started again\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        self.output_since(Instant::now(), since)
    }
    /// Wait until the reader sees something later than `mark`; the time since `since`, or nothing if all was seen before.
    pub fn output_since(&self, mark: Instant, since: Instant) -> Result<Option<Duration>> {
        let end = Instant::now() + STUCK;
        loop {
            if let Some(at) = self.live.newest().filter(|at| *at > mark) {
                return Ok(Some(at - since));
            }
            if self.done() {
                return Ok(None);
            }
            ensure!(!self.ended(), "the job ended\n{}", self.log());
            if Instant::now() > end {
                self.look();
                bail!("no output for {STUCK:?}\n{}{}", self.live.ends(), self.log());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    /// True if a supervisor has ended, which it does by itself only with a reason that it names.
    pub fn ended(&self) -> bool {
        self.supervisors().into_iter().any(|p| !runs(p))
    }
    /// Alerts of the reference.
    pub fn alerts_wanted(&self) -> u64 {
        self.alerts.len() as u64
    }
    /// Everything that has to come out has come out, as far as counts tell.
    pub fn done(&self) -> bool {
        self.live.count_of(Output::Events) >= self.wanted.0
            && self.live.count_of(Output::Dlq) >= self.wanted.1
            && self.live.count_of(Output::Alerts) >= self.alerts.len() as u64
    }
    /// Wait until everything has come out, or until nothing comes for a long time (then the verdict says what is missing).
    pub fn wait(&mut self) -> Result<()> {
        let (mut quiet, mut count) = (Instant::now(), self.live.count());
        while !self.done() && quiet.elapsed() < STUCK {
            if self.live.count() > count {
                (quiet, count) = (Instant::now(), self.live.count());
            }
            for c in &mut self.children {
                if let Some(status) = c.try_wait()? {
                    bail!("the job ended: {status}\n{}", self.log());
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if !self.done() {
            self.look();
            println!("{}: not all output is there\n{}", self.name, self.live.ends());
        }
        Ok(())
    }
    /// End the processes in good order. False if all output was there while the engine was just being started again: then
    /// there was nothing to drain, and its files may lack what the next start would have written.
    pub fn stop(&mut self) -> Result<bool> {
        let mut in_order = true;
        for c in &self.children {
            self.signal(c.id() as i32, libc::SIGTERM);
        }
        for mut c in std::mem::take(&mut self.children) {
            let end = Instant::now() + END_MAX;
            while Instant::now() < end && c.try_wait()?.is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
            if c.try_wait()?.is_none() {
                self.look_at(&children_of(&[c.id() as i32]));
            }
            let status =
                wait(&mut c, Duration::ZERO).with_context(|| format!("the job does not end\n{}", self.log()))?;
            let starting = matches!(status.code(), Some(75 | 130));
            ensure!(status.success() || starting, "the job ended with {status}\n{}", self.log());
            in_order &= status.success();
        }
        self.close_log();
        Ok(in_order)
    }
    /// Every process has ended: wait for the rest of what they have said.
    fn close_log(&mut self) {
        for l in self.logs.drain(..) {
            let _ = l.join();
        }
    }
    /// Keep the stacks of the engine's processes, where there is a debugger: once, for a job that does not get on. It
    /// stops them for seconds, so a job that may still get on is left alone.
    fn look(&self) {
        self.look_at(&self.engines());
    }
    fn look_at(&self, pids: &[i32]) {
        if self.looked.replace(true) {
            return;
        }
        for pid in pids {
            let mut c = Command::new("gdb");
            c.args(["-batch", "-ex", "thread apply all backtrace 20", "-p", &pid.to_string()]).stdin(Stdio::null());
            if let Ok(out) = c.output() {
                let _ = std::fs::write(self.dir.join(format!("stacks-{pid}.txt")), out.stdout);
            }
        }
    }
    /// SIGKILL everything, supervisors first so that they start nothing.
    pub fn kill_all(&mut self) {
        let engines = self.engines();
        for c in &mut self.children {
            let _ = c.kill();
            let _ = c.wait();
        }
        // They die with their supervisor; what is asked here is only that they are gone.
        let end = Instant::now() + Duration::from_secs(10);
        while engines.iter().any(|p| Path::new(&format!("/proc/{p}/exe")).exists()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.children.clear();
        self.close_log();
    }
    /// What the job has printed, its end.
    pub fn log(&self) -> String {
        let mut all = String::new();
        for dir in std::iter::once(self.dir.clone()).chain((0..8).map(|i| self.dir.join(format!("machine-{i}")))) {
            let Ok(text) = std::fs::read_to_string(dir.join("job.log")) else { continue };
            let mut from = text.len().saturating_sub(LOG_SHOWN);
            while !text.is_char_boundary(from) {
                from += 1;
            }
            all.push_str(&format!("--- {}\n{}", dir.join("job.log").display(), &text[from..]));
        }
        all
    }
    /// How often the log says something.
    pub fn said(&self, what: &str) -> usize {
        let dirs = std::iter::once(self.dir.clone()).chain((0..8).map(|i| self.dir.join(format!("machine-{i}"))));
        dirs.filter_map(|d| std::fs::read_to_string(d.join("job.log")).ok()).map(|t| t.matches(what).count()).sum()
    }

    /// Wait for the end, stop, judge; an error if it is not exact. Adds itself to the report.
    pub fn finish(mut self, faults: u64, report: &mut RowReport) -> Result<()> {
        self.wait()?;
        let end = Instant::now() + STUCK;
        // A start of the harness is not the first incarnation again: it must not die where that one did.
        self.options.env.retain(|(name, _)| name != "MILLSTREAM_CRASH");
        while !self.stop()? {
            ensure!(Instant::now() < end, "the job does not end in good order\n{}", self.log());
            self.launch()?;
            self.up()?;
            // A signal before the engine listens for it ends it as one between two starts does.
            std::thread::sleep(SETTLE);
        }
        if let Some(l) = self.loader.take() {
            l.finish()?;
        }
        let log = self.log();
        let (dir, plan, alerts) = (self.dir.clone(), self.plan.clone(), std::mem::take(&mut self.alerts));
        let (marks, filtered) = (marks(&self.direct, &self.name)?, dropped(&dir)?);
        let (seen, last) = self.live.finish()?;
        let verdict: Verdict = check(&Evidence {
            plan: &plan,
            live: &seen,
            last: &last,
            alerts: Some(&alerts),
            marks: marks.as_deref(),
            faults,
        });
        ensure!(verdict.exact(), "{verdict}\n{log}");
        if let Some(n) = filtered {
            let want = plan.count(Route::Filter);
            ensure!(n == want, "the ledger says {n} events were filtered, {want} had to be");
        }
        report.jobs += 1;
        report.events += plan.events;
        report.faults += faults;
        Ok(())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Copy what processes say into a file, with the time of each line.
fn keep_log(said: PipeReader, log: &mut std::fs::File, began: Instant) {
    for line in BufReader::new(said).split(b'\n').map_while(std::io::Result::ok) {
        let text = String::from_utf8_lossy(&line);
        // The folder may be gone before the last process is.
        let _ = writeln!(log, "{:>6.1} {text}", began.elapsed().as_secs_f64());
    }
}

/// Children of processes, by /proc: those that have not ended.
fn children_of(parents: &[i32]) -> Vec<i32> {
    let mut found = Vec::new();
    for parent in parents {
        // A child belongs to the thread that started it.
        for thread in std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(text.split_whitespace().filter_map(|p| p.parse::<i32>().ok()));
        }
    }
    found.retain(|p| runs(*p));
    found.sort_unstable();
    found
}

/// The progress records of the sinks: rows of each epoch, written in the transaction of those rows. They do not tell rows
/// apart by epoch, so what is compared are the sums. `None` if the sinks keep none.
fn marks(bootstrap: &str, name: &str) -> Result<Option<Vec<Mark>>> {
    let mut marks = Vec::new();
    for (output, sink) in [(Output::Events, "events"), (Output::Dlq, "dlq"), (Output::Alerts, "alerts")] {
        let topic = format!("{name}.{sink}.progress");
        if Admin::new(bootstrap).partitions(&topic).is_err() {
            return Ok(None);
        }
        for m in read_all(bootstrap, &topic, true)? {
            let j: serde_json::Value = serde_json::from_slice(m.value.as_deref().unwrap_or_default())
                .with_context(|| format!("{topic} [{}] offset {}", m.partition, m.offset))?;
            let rows = j["rows"].as_u64().unwrap_or(0);
            marks.push(Mark { output, epoch: 0, rows, xor: 0 });
        }
    }
    Ok(Some(marks))
}

/// Events that the filter dropped, by the ledger. `None` if the ledger is not in this folder.
fn dropped(dir: &Path) -> Result<Option<u64>> {
    let Ok(text) = std::fs::read_to_string(dir.join("out/state/ledger.jsonl")) else { return Ok(None) };
    let mut sum = 0;
    for line in text.lines() {
        let j: serde_json::Value = serde_json::from_str(line).with_context(|| format!("ledger: {line}"))?;
        if j["node"] == "keep" && j["counter"] == "dropped" {
            sum += j["n"].as_u64().unwrap_or(0);
        }
    }
    Ok(Some(sum))
}

/// True if a process runs or sleeps; one that has ended and that nobody has waited for does not.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Processes of a job that another machine has taken over.
pub struct Sleeper(Vec<Child>);

impl Sleeper {
    /// True if one of these still runs.
    pub fn alive(&self, pids: &[i32]) -> bool {
        pids.iter().any(|p| runs(*p))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        for c in &mut self.0 {
            let _ = c.kill();
            let _ = c.wait();
        }
    }
}

impl Job {
    /// Start the job once more in a folder of its own, as another machine would, beside the processes that run or sleep.
    pub fn hand_over(&mut self) -> Result<Sleeper> {
        let old = std::mem::take(&mut self.children);
        // They go on saying things.
        self.logs.clear();
        let next = self.dir.with_file_name(format!("{}-{}", self.name, self.starts));
        copy_dir(&root().join("tests/kafka/job"), &next)?;
        std::fs::copy(self.dir.join("topology.toml"), next.join("topology.toml"))?;
        std::fs::create_dir_all(next.join("out/state"))?;
        // The ledger is a file of the data folder, and the only state that is not in the log: it moves along.
        let ledger = "out/state/ledger.jsonl";
        if self.dir.join(ledger).exists() {
            std::fs::copy(self.dir.join(ledger), next.join(ledger))?;
        }
        self.dir = next;
        self.launch()?;
        Ok(Sleeper(old))
    }
}
