//! `millstream demo`: the shipped topology over a generated attack story, in a folder of its own.
//!
//! `--crash` kills the engine at random while it runs, re-counts everything from the outputs, and compares the alerts
//! with those of an uninterrupted run over the same events.
use crate::cli::DemoArgs;
use crate::progress::group;
use crate::{audit, exit, load};
use anyhow::{Context, Result, ensure};
use include_dir::{Dir, include_dir};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TOPOLOGY: &str = include_str!("../../../topology.toml");
const TOR: &str = include_str!("../../../operators/enrich/tables/tor_exit_nodes.csv");
static DETECTIONS: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../operators/detect/detections");

/// Events per second of the demo, as in the shipped topology.
const RATE: u64 = 4_000;
/// Alerts of one rule that are shown one by one; the rest is counted.
const SHOWN_PER_RULE: u64 = 2;
/// Pause before a kill, milliseconds: at least, and at most so much more.
const KILL_AFTER_MS: (u64, u64) = (400, 2_200);
/// Time of the first event in the crash demo: both runs must make the same events.
const CRASH_START: &str = "2026-03-02T09:00:00Z";
/// The crash demo ends with an error if the events are not all through after this long.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Run the demo.
pub fn demo(args: &DemoArgs) -> Result<i32> {
    let dir = std::env::temp_dir().join(format!("millstream-demo-{}", std::process::id()));
    if args.crash { crash(args, &dir) } else { show(args, &dir) }
}

/// Write the shipped content into a folder.
fn lay_out(dir: &Path, topology: &str) -> Result<()> {
    let detections = dir.join("operators/detect/detections");
    std::fs::create_dir_all(&detections).with_context(|| format!("make {}", dir.display()))?;
    DETECTIONS.extract(&detections).context("write the detections")?;
    std::fs::create_dir_all(dir.join("operators/enrich/tables"))?;
    std::fs::write(dir.join("operators/enrich/tables/tor_exit_nodes.csv"), TOR)?;
    std::fs::write(dir.join("topology.toml"), topology)?;
    Ok(())
}

fn start(args: &DemoArgs, dir: &Path, extra: &[&str], log: Stdio) -> Result<Child> {
    let mut c = Command::new(std::env::current_exe()?);
    c.args(["run", "topology.toml"])
        .args(extra)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    if let Some(w) = args.workers {
        c.args(["--workers", &w.to_string()]);
    }
    c.spawn().context("start the engine")
}

fn seeded(args: &DemoArgs, more: &str) -> String {
    TOPOLOGY.replace("rate = \"4000/s\"\n", &format!("rate = \"{RATE}/s\"\nseed = {}\n{more}", args.seed))
}

fn show(args: &DemoArgs, dir: &Path) -> Result<i32> {
    lay_out(dir, &seeded(args, ""))?;
    println!(
        "Seven log types, {} events/s, an attack told in them; {} s. Everything is in {}\n",
        group(RATE),
        args.seconds,
        dir.display()
    );
    let began = Instant::now();
    let mut child = start(args, dir, &[], Stdio::inherit())?;
    let mut alerts = Alerts::new(&dir.join("out/alerts.jsonl"));
    let mut first = None;
    while began.elapsed() < Duration::from_secs(args.seconds) {
        std::thread::sleep(Duration::from_millis(100));
        alerts.show()?;
        if first.is_none() && alerts.total > 0 {
            first = Some(began.elapsed());
        }
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("the engine ended: {status}");
        }
    }
    terminate(&mut child)?;
    alerts.show()?;
    println!("\n{}", alerts.summary());
    if let Some(t) = first {
        println!("first alert after {:.1} s", t.as_secs_f64());
    }
    close(dir)
}

/// Stop in good order.
fn terminate(child: &mut Child) -> Result<()> {
    // SAFETY: our own child.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    let status = child.wait()?;
    ensure!(status.success(), "the engine did not end in good order: {status}");
    Ok(())
}

fn close(dir: &Path) -> Result<i32> {
    let audit = recount(dir)?;
    print!("{}", audit::human(&audit));
    println!(
        "\nNext: cd {} && millstream graph --format svg > graph.svg; edit topology.toml while `millstream run` runs",
        dir.display()
    );
    Ok(if audit.clean() { 0 } else { exit::FINDINGS })
}

/// Audit the run in `dir`.
fn recount(dir: &Path) -> Result<audit::Audit> {
    let here = std::env::current_dir()?;
    std::env::set_current_dir(dir)?;
    let loaded = load::from_disk(Path::new("topology.toml"));
    let counted = loaded.topology.as_ref().context("the demo's topology loads").and_then(audit::count);
    std::env::set_current_dir(here)?;
    counted
}

fn crash(args: &DemoArgs, dir: &Path) -> Result<i32> {
    let events = RATE * args.seconds;
    let text = seeded(args, &format!("count = {events}\nstart = \"{CRASH_START}\"\n"));
    let text = text.replace("name = \"shipped\"\n", "name = \"shipped\"\ntime = \"event\"\n");
    let (killed, whole) = (dir.join("killed"), dir.join("whole"));
    lay_out(&killed, &text)?;
    lay_out(&whole, &text)?;
    println!(
        "{} events over {} s while the engine is killed with SIGKILL at random. In {}\n",
        group(events),
        args.seconds,
        dir.display()
    );
    let log = std::fs::File::create(killed.join("engine.log"))?;
    let mut child = start(args, &killed, &["--no-watch"], log.into())?;
    let kills = kill_for(&mut child, &killed, Duration::from_secs(args.seconds), args.seed)?;
    let end = Instant::now() + CATCH_UP;
    while offered(&killed)? < events {
        ensure!(Instant::now() < end, "not all events are through; see {}", killed.join("engine.log").display());
        std::thread::sleep(Duration::from_millis(200));
    }
    terminate(&mut child)?;
    println!("\n{kills} kills. The outputs alone, re-counted:");
    let audit = recount(&killed)?;
    print!("{}", audit::human(&audit));
    println!("\nThe same events without a kill:");
    let log = std::fs::File::create(whole.join("engine.log"))?;
    let status = start(args, &whole, &["--once"], log.into())?.wait()?;
    ensure!(status.success(), "the uninterrupted run: {status}; see {}", whole.join("engine.log").display());
    let (a, b) = (created(&killed)?, created(&whole)?);
    let same = a == b;
    println!(
        "{} alerts after {kills} kills, {} without: {}",
        group(a.len() as u64),
        group(b.len() as u64),
        if same { "the same alerts" } else { "THEY DIFFER" }
    );
    for missing in b.difference(&a).take(5) {
        println!("  only without kills: {missing}");
    }
    for extra in a.difference(&b).take(5) {
        println!("  only with kills:    {extra}");
    }
    Ok(if same && audit.clean() && kills > 0 { 0 } else { exit::FINDINGS })
}

/// Kill the engine at random for a while. Returns the number of kills that hit.
fn kill_for(child: &mut Child, dir: &Path, time: Duration, seed: u64) -> Result<u64> {
    let (began, mut kills, mut random, mut last) = (Instant::now(), 0, seed | 1, 0);
    let pid_file = load_dir(dir).join("engine.pid");
    while began.elapsed() < time {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pause = Duration::from_millis(KILL_AFTER_MS.0 + random % KILL_AFTER_MS.1);
        std::thread::sleep(pause.min(time.saturating_sub(began.elapsed())));
        ensure!(child.try_wait()?.is_none(), "the supervisor ended; see {}", dir.join("engine.log").display());
        let pid = std::fs::read_to_string(&pid_file).ok().and_then(|t| t.trim().parse::<i32>().ok()).unwrap_or(0);
        if pid <= 1 || pid == last || began.elapsed() >= time {
            continue;
        }
        // SAFETY: the pid is the engine's own note; the supervisor that started it still runs.
        if unsafe { libc::kill(pid, libc::SIGKILL) } == 0 {
            kills += 1;
            let at = began.elapsed().as_secs_f64();
            println!("{at:5.1} s  kill -9 {pid:<8} {} events were through", group(offered(dir)?));
        }
        last = pid;
    }
    Ok(kills)
}

fn load_dir(dir: &Path) -> PathBuf {
    dir.join(".millstream/shipped")
}

/// Events that the ledger says were offered to the parser.
fn offered(dir: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(load_dir(dir).join("ledger.jsonl")).unwrap_or_default();
    let rows = text.lines().filter_map(|l| serde_json::from_str::<model::LedgerRow>(l).ok());
    Ok(rows.filter(|r| r.counter == "offered" && &*r.node == "events").map(|r| r.n).sum())
}

/// Alerts as they were created: what does not depend on where epochs were cut.
fn created(dir: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(dir.join("out/alerts.jsonl")).context("read the alerts")?;
    let mut out = BTreeSet::new();
    for line in text.lines() {
        let a: Value = serde_json::from_str(line)?;
        if a["change"] == "new" {
            let fields = ["createdAt", "alertId", "type", "severity", "id", "title", "dedup"];
            out.insert(fields.map(|f| a[f].as_str().unwrap_or_default()).join(" | "));
        }
    }
    Ok(out)
}

/// Follows the alert file.
struct Alerts {
    path: PathBuf,
    read: u64,
    total: u64,
    rules: BTreeMap<String, (String, u64)>,
    color: bool,
}

impl Alerts {
    fn new(path: &Path) -> Alerts {
        let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Alerts { path: path.into(), read: 0, total: 0, rules: BTreeMap::new(), color }
    }
    /// Print what is new.
    fn show(&mut self) -> Result<()> {
        let Ok(mut f) = std::fs::File::open(&self.path) else { return Ok(()) };
        f.seek(SeekFrom::Start(self.read))?;
        let mut text = String::new();
        f.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |i| i + 1);
        self.read += whole as u64;
        for line in text[..whole].lines() {
            let a: Value = serde_json::from_str(line).context("an alert line")?;
            if a["change"] != "new" {
                continue;
            }
            self.total += 1;
            let (s, id) = (a["severity"].as_str().unwrap_or(""), a["id"].as_str().unwrap_or(""));
            let seen = self.rules.entry(id.to_string()).or_insert_with(|| (s.to_string(), 0));
            seen.1 += 1;
            if seen.1 <= SHOWN_PER_RULE || a["type"] == "SYSTEM_ERROR" {
                println!("  {} {:<34} {}", self.paint(s), id, a["title"].as_str().unwrap_or(""));
            }
        }
        Ok(())
    }
    fn paint(&self, severity: &str) -> String {
        let code = match severity {
            "CRITICAL" => "1;35",
            "HIGH" => "31",
            "MEDIUM" => "33",
            "LOW" => "36",
            _ => "2",
        };
        if self.color { format!("\x1b[{code}m{severity:<8}\x1b[0m") } else { format!("{severity:<8}") }
    }
    fn summary(&self) -> String {
        let mut out = format!("{} alerts of {} rules:\n", group(self.total), self.rules.len());
        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_by_key(|(id, (_, n))| (std::cmp::Reverse(*n), (*id).clone()));
        for (id, (s, n)) in rules {
            out += &format!("  {} {:<34} {:>7}\n", self.paint(s), id, group(*n));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_shipped_topology_takes_the_demo_s_settings() {
        let cli = crate::cli::Cli::parse_from(["millstream", "demo", "--seed", "11"]);
        let crate::cli::Command::Demo(args) = cli.command else { unreachable!() };
        assert!(seeded(&args, "count = 5\n").contains("seed = 11\ncount = 5\n"));
        assert!(TOPOLOGY.contains("name = \"shipped\"\n") && TOPOLOGY.contains("rate = \"4000/s\"\n"));
    }
}
