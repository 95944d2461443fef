//! F7: the disk with the job's state (epoch log, commit records, snapshots, ledger) is full for a while.
//! The job may wait, or end with an error that names the disk; when there is room again it is exact.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const RATE: u64 = 2_000;
const SIZE: &str = "size=48m";

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

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let (broker, mut report, mut named, mut ended) = (broker()?, RowReport::default(), 0, 0);
    while report.faults < count {
        let faults = (count - report.faults).min(5);
        let plan = lasting(ctx, faults as f64 * 6.0 + 3.0, RATE);
        let mut job = Job::prepare(ctx, broker, plan, Options { processes: 1, ..Options::default() })?;
        let disk = Disk::mount(&job.dir.join("out/state"))?;
        job.feed();
        job.launch()?;
        job.works()?;
        let mut hit = 0;
        while hit < faults && !job.done() {
            std::thread::sleep(ctx.between(500, 1_500));
            disk.fill()?;
            std::thread::sleep(ctx.between(1_000, 3_000));
            disk.free()?;
            let at = Instant::now();
            hit += 1;
            // It may wait for room or end with an error that names the disk; then somebody starts it again.
            if job.ended() {
                ended += 1;
                job.launch_again()?;
            }
            if let Some(t) = job.output_since(at, at)? {
                report.resume.push(t);
                ctx.note(&format!("disk full: output {:.2} s after there was room again", t.as_secs_f64()));
            }
        }
        let said = job.said("No space left on device") as u64;
        ensure!(said > 0, "a full disk was not named\n{}", job.log());
        named += said;
        job.finish(hit, &mut report)?;
        drop(disk);
    }
    report.notes.push(format!("the disk is named {named} times, the job ended and was started again {ended} times"));
    report.took = ctx.began.elapsed();
    Ok(report)
}
