//! Random SIGKILLs of a working engine, until it has finished all the same.
use crate::run::{Pipeline, RUN_MAX, wait};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// What a round of kills did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Killed {
    /// Kills that hit a living engine before it had finished.
    pub mid_work: u64,
    /// Full runs that were needed for them.
    pub runs: u64,
}

/// Small deterministic generator (splitmix64): a seed replays the schedule.
pub struct Random(pub u64);

impl Random {
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n.max(1)
    }
}

/// Run a pipeline to its end while killing its engine at random, at most `kills` times. The pause before a kill is
/// drawn up to `pause_ms` after the engine came up.
pub fn run_with_kills(
    p: &Pipeline,
    data_dir: &str,
    workers: usize,
    kills: u64,
    pause_ms: u64,
    random: &mut Random,
) -> Result<Killed> {
    let mut killed = Killed { mid_work: 0, runs: 1 };
    let log = std::fs::File::create(p.dir.path().join("kills.log"))?;
    let mut child = p
        .command(&["run", "topology.toml", "--once", "--quiet", "--workers", &workers.to_string()])
        .stderr(log.try_clone()?)
        .stdout(log)
        .spawn()?;
    let (end, mut last) = (Instant::now() + RUN_MAX, 0);
    while killed.mid_work < kills && Instant::now() < end && child.try_wait()?.is_none() {
        let Some(pid) = p.engine_pid(data_dir).filter(|pid| *pid != last) else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        std::thread::sleep(Duration::from_millis(random.below(pause_ms)));
        // SAFETY: kill on a process id that our own run wrote; it is checked to be a child of our supervisor.
        let hit = parent_of(pid) == Some(child.id() as i32) && unsafe { libc::kill(pid, libc::SIGKILL) } == 0;
        last = pid;
        killed.mid_work += hit as u64;
    }
    let status = wait(&mut child, RUN_MAX)?;
    let text = std::fs::read_to_string(p.dir.path().join("kills.log")).unwrap_or_default();
    ensure!(status.success(), "the run did not finish: {status}\n{}", &text[text.len().saturating_sub(4000)..]);
    Ok(killed)
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
