//! What every row has: seed, scale, a folder, and what it reports.
use crate::kills::Random;
use crate::project::root;
use anyhow::Result;
use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A few of each row, for every run of CI.
    Slice,
    /// The table's column for CI.
    Full,
    /// The table's column for long runs.
    Long,
}

impl Scale {
    /// As an argument.
    pub fn flag(self) -> &'static str {
        match self {
            Scale::Slice => "",
            Scale::Full => " --full",
            Scale::Long => " --long",
        }
    }
}

/// A row's surroundings.
pub struct Ctx {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// How many faults, and how long each.
    pub scale: Scale,
    /// When the row began.
    pub began: Instant,
    row: &'static str,
    random: RefCell<Random>,
    dir: RefCell<Option<TempDir>>,
    path: PathBuf,
}

impl Ctx {
    /// For a row.
    pub fn new(row: &'static str, seed: u64, scale: Scale, keep: bool) -> Result<Ctx> {
        let dir = tempfile::Builder::new().prefix(&format!("millstream-{row}-")).tempdir()?;
        // Rows do not share a sequence: one row alone draws what it draws among all.
        let mixed = row.bytes().fold(seed, |h, b| crate::checker::input::mix(h ^ b as u64));
        let (random, path) = (RefCell::new(Random(mixed)), dir.path().to_path_buf());
        let ctx = Ctx { seed, scale, began: Instant::now(), row, random, dir: RefCell::new(Some(dir)), path };
        if keep {
            ctx.keep();
        }
        Ok(ctx)
    }
    /// Run jobs, so many beside each other: most of the time a job waits. Each draws from a sequence of its own, so that
    /// none depends on who is quicker. The reports come in the order of the jobs.
    pub fn together<T: Send, R: Send>(
        &self,
        lanes: usize,
        jobs: impl IntoIterator<Item = T>,
        run: impl Fn(&Ctx, T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let parts: Vec<(Ctx, T)> = jobs.into_iter().map(|j| (self.part(), j)).collect();
        in_lanes(lanes, parts, |(ctx, job)| run(&ctx, job))
    }
    /// Jobs of at most `each` faults, so many beside each other, until `count` faults have hit. `run` gets the number of a
    /// job and its faults; what it has to say beside its report comes back in the order of the jobs.
    pub fn jobs<T: Send>(
        &self,
        lanes: usize,
        count: u64,
        each: u64,
        run: impl Fn(&Ctx, u64, u64) -> Result<(RowReport, T)> + Sync,
    ) -> Result<(RowReport, Vec<T>)> {
        let (mut report, mut said) = (RowReport::default(), Vec::new());
        while report.faults < count {
            let left = count - report.faults;
            let jobs = (0..left.div_ceil(each)).map(|n| (n, each.min(left - n * each)));
            for (r, t) in self.together(lanes, jobs, |ctx, (n, faults)| run(ctx, n, faults))? {
                report.add(r);
                said.push(t);
            }
        }
        Ok((report, said))
    }
    fn part(&self) -> Ctx {
        Ctx {
            seed: self.seed,
            scale: self.scale,
            began: self.began,
            row: self.row,
            random: RefCell::new(Random(self.below(u64::MAX))),
            dir: RefCell::new(None),
            path: self.path.clone(),
        }
    }
    /// A number below `n`.
    pub fn below(&self, n: u64) -> u64 {
        self.random.borrow_mut().below(n)
    }
    /// A time between two, in milliseconds.
    pub fn between(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }
    /// A time that is shorter in a slice: the table's `(from, to)` in milliseconds, or a fifth of it.
    pub fn scaled(&self, from: u64, to: u64) -> Duration {
        self.between(from / self.shorter(), to / self.shorter())
    }
    /// The longest of such times.
    pub fn longest(&self, to: u64) -> Duration {
        Duration::from_millis(to / self.shorter())
    }
    fn shorter(&self) -> u64 {
        if self.scale == Scale::Slice { 5 } else { 1 }
    }
    /// A line of the schedule, with the time since the row began.
    pub fn note(&self, what: &str) {
        println!("  {:<3} {:>6.1} s  {what}", self.row, self.began.elapsed().as_secs_f64());
    }
    /// Folder of the row.
    pub fn dir(&self) -> PathBuf {
        self.path.clone()
    }
    /// Keep the folder, and the jobs in it, for a look.
    pub fn keep(&self) -> PathBuf {
        if let Some(dir) = self.dir.borrow_mut().take() {
            let _ = dir.keep();
        }
        self.dir()
    }
}

/// Do tasks, so many at a time, each in a thread of its own; results in the order of the tasks. After an error no further
/// one is begun, and those that run come to their end before the error goes on.
pub fn in_lanes<T: Send, R: Send>(lanes: usize, tasks: Vec<T>, run: impl Fn(T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let queue = Mutex::new(tasks.into_iter().enumerate());
    let (done, run) = (Mutex::new(Vec::new()), &run);
    let failed = AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..lanes.max(1) {
            s.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let Some((i, task)) = queue.lock().expect("no holder panics").next() else { break };
                    let result = run(task);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    done.lock().expect("no holder panics").push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no holder panics");
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, r)| r).collect()
}

/// What a row did.
#[derive(Clone, Debug, Default)]
pub struct RowReport {
    /// Faults that hit the job while it worked.
    pub faults: u64,
    /// Jobs that were run, each judged exact.
    pub jobs: u64,
    /// Events that went in.
    pub events: u64,
    /// From a fault to the next output that a reader sees.
    pub resume: Vec<Duration>,
    /// What else is to be said.
    pub notes: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl RowReport {
    /// Add what another part of the row did.
    pub fn add(&mut self, other: RowReport) {
        self.faults += other.faults;
        self.jobs += other.jobs;
        self.events += other.events;
        self.resume.extend(other.resume);
        self.notes.extend(other.notes);
    }
    /// Quantile of the resume times.
    pub fn resumed(&self, q: f64) -> Duration {
        let mut v = self.resume.clone();
        v.sort();
        v.get(((v.len() as f64 * q).ceil() as usize).saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Display for RowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faults, {} jobs, {} events, EXACT", self.faults, self.jobs, self.events)?;
        if !self.resume.is_empty() {
            let (p50, max) = (self.resumed(0.5).as_secs_f64(), self.resumed(1.0).as_secs_f64());
            write!(f, ", resumed p50 {p50:.1} s, max {max:.1} s")?;
        }
        for n in &self.notes {
            write!(f, ", {n}")?;
        }
        write!(f, " ({:.0} s)", self.took.as_secs_f64())
    }
}

/// The checkout's commit, with a mark if files differ from it.
pub fn commit() -> String {
    let git = |args: &[&str]| {
        let out = Command::new("git").args(args).current_dir(root()).output().ok()?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_string())
    };
    let head = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let dirty = git(&["status", "--porcelain"]).is_some_and(|s| !s.is_empty());
    format!("{head}{}", if dirty { "+" } else { "" })
}
