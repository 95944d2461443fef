//! F7: a disk is full for a while: the one with the job's state (epoch log, commit records, snapshots, ledger), the one with
//! the snapshots alone (the log is in Kafka), or the one of a sink that writes files (dead letters). Or the disk with the
//! state cannot make anything durable (fsync fails with EIO). The job says so and waits for room, or starts again from
//! what is durable, without anybody's help; then it is exact.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::checker::input::Route;
use crate::kafka::{Broker, unique};
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;
const SIZE: &str = "size=48m";
/// A job is judged after so many faults at most.
const JOB: u64 = 5;
/// The job writes to each disk within this time.
const MET_MAX: Duration = Duration::from_secs(20);
/// Jobs beside each other, each with a disk of its own.
const TOGETHER: usize = 2;

/// A small file system in memory.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Result<Disk> {
        std::fs::create_dir_all(at)?;
        let out = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "millstream-chaos"]).arg(at).output();
        let out = out.context("start mount (this row needs root)")?;
        ensure!(out.status.success(), "mount a tmpfs (this row needs root): {}", String::from_utf8_lossy(&out.stderr));
        Ok(Disk(at.into()))
    }
    /// Fill it to the last byte.
    fn fill(&self) -> Result<()> {
        let mut f = std::fs::File::create(self.ballast())?;
        let block = vec![0u8; 64 << 10];
        for size in [block.len(), 512, 1] {
            while f.write_all(&block[..size]).is_ok() {}
        }
        Ok(())
    }
    fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }
    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the job may be on its way out.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What is on the disk that gets full.
#[derive(Clone, Copy, Debug)]
enum On {
    State,
    Snapshots,
    Letters,
    /// Nothing gets full: syncing fails.
    Sync,
}

const DISKS: [On; 4] = [On::State, On::Snapshots, On::Letters, On::Sync];

impl On {
    /// What the job must say of it.
    fn named(self) -> &'static str {
        match self {
            On::Sync => "Input/output error",
            _ => "No space left on device",
        }
    }
}

/// Every call of a process that makes files durable fails until `healed` returns, as on a broken disk.
fn break_sync(pid: i32, healed: impl FnOnce()) -> Result<()> {
    let mut c = Command::new("strace");
    c.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    c.args(["-e", "inject=fsync,fdatasync:error=EIO", "-p", &pid.to_string()]).stdin(Stdio::null());
    let mut strace = c.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start strace")?;
    healed();
    // SAFETY: our own child, which nobody has waited for. It lets go of the process, if that is still there.
    unsafe { libc::kill(strace.id() as i32, libc::SIGTERM) };
    strace.wait()?;
    Ok(())
}

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let broker = broker()?;
    let each = count.div_ceil(DISKS.len() as u64).min(JOB);
    let (mut report, named) = ctx.jobs(TOGETHER, count, each, |ctx, n, faults| one(ctx, broker, n, faults))?;
    report.notes.push(format!("the disk is named {} times", named.iter().sum::<u64>()));
    Ok(report)
}

/// The n-th job: what it did, and how often it named what is wrong with the disk.
fn one(ctx: &Ctx, broker: &Broker, n: u64, faults: u64) -> Result<(RowReport, u64)> {
    let (on, mut report) = (DISKS[n as usize % DISKS.len()], RowReport::default());
    let small = ctx.dir().join(unique("small"));
    let mut options = Options { processes: 1, ..Options::default() };
    match on {
        On::State | On::Sync => {}
        On::Snapshots => options = options.log_in_kafka(broker, small.display()),
        On::Letters => {
            options.sections = format!(
                "[sinks.letters]\ntype = \"jsonl\"\ninputs = [\"parsed.rejected\"]\npath = \"{}\"\n",
                small.join("letters.jsonl").display()
            );
        }
    }
    let mut job = Job::prepare(ctx, broker, lasting(ctx, faults as f64 * 6.0 + 3.0, RATE), options)?;
    let small = if let On::State = on { job.dir.join("out/state") } else { small };
    let disk = if let On::Sync = on { None } else { Some(Disk::mount(&small)?) };
    job.feed();
    job.launch()?;
    job.works()?;
    let (mut hit, rejects) = (0, job.plan.count(Route::Reject));
    while hit < faults && !job.done() {
        std::thread::sleep(ctx.between(500, 1_500));
        // The job meets the fault when it next writes there, and says so.
        let (time, before) = (ctx.between(1_000, 3_000), job.said(on.named()));
        let met = || {
            let end = Instant::now() + MET_MAX;
            std::thread::sleep(time);
            while job.said(on.named()) == before && !job.done() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        match &disk {
            Some(disk) => {
                disk.fill()?;
                met();
                disk.free()?;
            }
            None => break_sync(job.up()?[0], met)?,
        }
        let at = Instant::now();
        hit += 1;
        // A supervisor that ended is an error here.
        if let Some(t) = job.output_since(at, at)? {
            report.resume.push(t);
            ctx.note(&format!("{on:?}: output {:.2} s after the disk was well again", t.as_secs_f64()));
        }
    }
    let said = job.said(on.named()) as u64;
    ensure!(said > 0, "`{}` was not named\n{}", on.named(), job.log());
    job.finish(hit, &mut report)?;
    if let On::Letters = on {
        let text = std::fs::read_to_string(small.join("letters.jsonl"))?;
        let lines = text.lines().filter(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()).count() as u64;
        ensure!(lines == rejects, "{lines} dead letters on the disk, {rejects} were to be there");
    }
    Ok((report, said))
}
