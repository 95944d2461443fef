//! F8: after a job has died its snapshots are damaged: cut, a bit flipped, two swapped, one deleted, one from elsewhere.
//! Every damage must be noticed: an older snapshot is used, or the start is refused; never a wrong result.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::project::millstream;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const RATE: u64 = 3_000;
/// A job that meets a damaged snapshot goes on or refuses within this time.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Damages after which the whole job is run to its end; the others are only looked for by `checkpoint verify`.
const WHOLE: u64 = 3;

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let (broker, mut report) = (broker()?, RowReport::default());
    let mut job = Job::start(ctx, broker, lasting(ctx, 8.0, RATE), Options { processes: 1, ..Options::default() })?;
    // Some snapshots, taken a second apart.
    job.works()?;
    std::thread::sleep(Duration::from_secs(4));
    job.kill_all();
    let state = job.dir.join("out/state");
    let good = job.dir.join("good-state");
    copy(&state, &good)?;
    ensure!(verify(&job.dir)?, "an undamaged data folder does not verify");
    let mut kinds = [0u64; 5];
    for n in 0..count {
        let what = damage(ctx, &state, n)?;
        ensure!(!verify(&job.dir)?, "not noticed by `checkpoint verify`: {what}; the folder is {}", state.display());
        kinds[(n % 5) as usize] += 1;
        std::fs::remove_dir_all(&state)?;
        copy(&good, &state)?;
    }
    ctx.note(&format!("{count} damages noticed (cut, flipped, swapped, deleted, stale: {kinds:?})"));
    report.faults = count.saturating_sub(1);
    for n in 0..WHOLE.min(count) {
        let before = job.dir.join(format!("before-{n}"));
        copy(&state, &before)?;
        let what = damage(ctx, &state, n)?;
        job.launch()?;
        let (seen, end) = (job.live.count(), Instant::now() + ANSWER_MAX);
        while job.live.count() == seen && !job.ended() && !job.done() {
            ensure!(Instant::now() < end, "{what}: neither output nor an error\n{}", job.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        let refused = job.ended();
        job.kill_all();
        if refused {
            let log = job.log();
            ensure!(log.contains("snapshot") || log.contains("damaged"), "{what}: refused without a reason\n{log}");
            std::fs::remove_dir_all(&state)?;
            copy(&before, &state)?;
        }
        ctx.note(&format!("{what}: {}", if refused { "the start is refused" } else { "an older snapshot is used" }));
    }
    job.launch()?;
    job.finish(1, &mut report)?;
    Ok(report)
}

/// Copy files; sockets of the process that died stay behind.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let (path, target) = (entry?.path(), to.to_path_buf());
        let target = target.join(path.file_name().context("a file in the folder")?);
        if path.is_dir() {
            copy(&path, &target)?;
        } else if path.is_file() {
            std::fs::copy(&path, target)?;
        }
    }
    Ok(())
}

/// True if the data folder's snapshots are whole.
fn verify(dir: &Path) -> Result<bool> {
    let mut c = Command::new(millstream());
    let out = c.args(["checkpoint", "verify", "topology.toml"]).current_dir(dir).output()?;
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    // 1: findings. Anything else is not an answer.
    ensure!(matches!(out.status.code(), Some(0 | 1)), "checkpoint verify: {}\n{text}", out.status);
    Ok(out.status.success())
}

/// Damage one file; what was done.
fn damage(ctx: &Ctx, state: &Path, n: u64) -> Result<String> {
    let files = files(state)?;
    ensure!(files.len() >= 2, "there are no snapshots to damage in {}", state.display());
    let pick = |not: Option<&PathBuf>| {
        let rest: Vec<&PathBuf> = files.iter().filter(|f| Some(*f) != not).collect();
        rest[ctx.below(rest.len() as u64) as usize].clone()
    };
    let file = pick(None);
    let name = file.strip_prefix(state).unwrap_or(&file).display().to_string();
    let mut bytes = std::fs::read(&file)?;
    Ok(match n % 5 {
        0 => {
            let at = ctx.below(bytes.len() as u64) as usize;
            bytes.truncate(at);
            std::fs::write(&file, bytes)?;
            format!("{name} cut at {at}")
        }
        1 => {
            let bit = ctx.below(bytes.len() as u64 * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            std::fs::write(&file, bytes)?;
            format!("{name} bit {bit} flipped")
        }
        2 => {
            // Two that are equal cannot be told apart, and need not be.
            let mut other = pick(Some(&file));
            for _ in 0..files.len() * 4 {
                if std::fs::read(&other)? != bytes {
                    break;
                }
                other = pick(Some(&file));
            }
            std::fs::write(&file, std::fs::read(&other)?)?;
            std::fs::write(&other, bytes)?;
            format!("{name} and {} swapped", other.strip_prefix(state).unwrap_or(&other).display())
        }
        3 => {
            // Without a manifest there is one snapshot less, and nothing to notice: an object it must be.
            let objects: Vec<&PathBuf> = files.iter().filter(|f| f.starts_with(state.join("objects"))).collect();
            ensure!(!objects.is_empty(), "no snapshot has objects");
            let object = objects[ctx.below(objects.len() as u64) as usize];
            std::fs::remove_file(object)?;
            format!("{} deleted", object.strip_prefix(state).unwrap_or(object).display())
        }
        _ => {
            std::fs::write(&file, b"{\"version\":0}")?;
            format!("{name} replaced by another version's")
        }
    })
}

/// Objects that a manifest names, and the manifests.
fn files(state: &Path) -> Result<Vec<PathBuf>> {
    let (mut manifests, mut found, objects) = (Vec::new(), Vec::new(), state.join("objects"));
    list(&state.join("manifests"), &mut manifests)?;
    list(&objects, &mut found)?;
    let text: String = manifests.iter().map(|m| std::fs::read_to_string(m).unwrap_or_default()).collect();
    // An object that no manifest names any more is garbage, and nobody looks at it.
    found.retain(|f| f.strip_prefix(&objects).is_ok_and(|name| text.contains(&*name.to_string_lossy())));
    found.extend(manifests);
    found.retain(|f| std::fs::metadata(f).is_ok_and(|m| m.len() > 0));
    found.sort();
    Ok(found)
}

fn list(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
