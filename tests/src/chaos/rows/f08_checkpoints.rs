//! F8: after a job has died its snapshots are damaged: cut, a bit flipped, two swapped, one deleted, one from elsewhere.
//! Every damage must be noticed: an older snapshot is used, or the start is refused; never a wrong result.
use super::super::ctx::{Ctx, RowReport};
use super::super::job::{Job, Options};
use super::{broker, lasting};
use crate::project::millstream;
use crate::run::copy_dir;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const RATE: u64 = 3_000;
/// Damages after which the whole job is run to its end; the others are only looked for by `checkpoint verify`.
const WHOLE: u64 = 3;

pub fn run(ctx: &Ctx, count: u64) -> Result<RowReport> {
    let (broker, mut report) = (broker()?, RowReport::default());
    let mut job = Job::start(ctx, &broker, lasting(ctx, 8.0, RATE), Options { processes: 1, ..Options::default() })?;
    // Some snapshots, taken a second apart.
    job.live.progress(0, Duration::from_secs(30))?;
    std::thread::sleep(Duration::from_secs(4));
    job.kill_all();
    let state = job.dir.join("out/state");
    let good = job.dir.join("good-state");
    copy_dir(&state, &good)?;
    ensure!(verify(&job.dir)?, "an undamaged data folder does not verify");
    let mut kinds = [0u64; 5];
    for n in 0..count {
        let what = damage(ctx, &state, n)?;
        ensure!(!verify(&job.dir)?, "not noticed by `checkpoint verify`: {what}; the folder is {}", state.display());
        kinds[(n % 5) as usize] += 1;
        std::fs::remove_dir_all(&state)?;
        copy_dir(&good, &state)?;
    }
    ctx.note(&format!("{count} damages noticed (cut, flipped, swapped, deleted, stale: {kinds:?})"));
    report.faults = count.saturating_sub(1);
    for n in 0..WHOLE.min(count) {
        let what = damage(ctx, &state, n)?;
        job.launch()?;
        let before = job.live.count();
        if n + 1 < WHOLE.min(count) {
            job.live.progress(before, Duration::from_secs(30)).with_context(|| what.clone())?;
            job.kill_all();
        }
        ctx.note(&format!("{what}: goes on from an older snapshot or the log"));
    }
    job.finish(1, &mut report)?;
    report.took = ctx.began.elapsed();
    Ok(report)
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
            std::fs::remove_file(&file)?;
            format!("{name} deleted")
        }
        _ => {
            std::fs::write(&file, b"{\"version\":0}")?;
            format!("{name} replaced by another version's")
        }
    })
}

/// Objects that a manifest names, and the manifests.
fn files(state: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let manifests: Vec<PathBuf> = list(&state.join("manifests"))?;
    let text: String = manifests.iter().map(|m| std::fs::read_to_string(m).unwrap_or_default()).collect();
    for object in list(&state.join("objects"))? {
        // An object that no manifest names any more is garbage, and nobody looks at it.
        let name = object.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if text.contains(&name) && std::fs::metadata(&object)?.len() > 0 {
            found.push(object);
        }
    }
    found.extend(manifests.into_iter().filter(|m| std::fs::metadata(m).is_ok_and(|m| m.len() > 0)));
    found.sort();
    Ok(found)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    let mut found: Vec<PathBuf> = entries.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
    found.retain(|p| p.is_file());
    Ok(found)
}
