//! What dedup state costs: memory, time per match, and bytes and time of snapshots.
//!
//! `cargo run --release -p alert --example state_cost -- [KEYS]` (default 10,000,000): a match for every key, a snapshot of
//! everything, another match for one key in a hundred, a snapshot of what changed, and a start from both. Drives the dedup
//! operator as the engine does: in epochs, by key group. Beside it, in a process of its own, the hash table of the standard
//! library with the same keys and a word for each, as the bound.
use alert::DedupPart;
use model::files::MemFiles;
use model::{BuildCx, Built, Ctx, EpochInfo, Keyed, Match, Part, Record, RuleMeta};
use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const GROUPS: u32 = 128;
/// Second argument of the process that measures the hash table.
const BOUND: &str = "bound";
/// Matches of an epoch.
const EPOCH: u64 = 50_000;

fn main() -> model::Result<()> {
    let keys: u64 = std::env::args().nth(1).map_or(Ok(10_000_000), |n| n.parse())?;
    if std::env::args().nth(2).as_deref() == Some(BOUND) {
        let before = resident();
        let table = (0..keys).map(|k| (dedup(k), 0u64)).collect::<HashMap<_, _>>();
        println!(
            "{:<44}{:>8.0} bytes a key",
            "a hash table of the same strings",
            each(resident() - before, table.len() as u64)
        );
        return Ok(());
    }
    Command::new(std::env::current_exe()?).args([&keys.to_string(), BOUND]).status()?;
    let rule = Arc::new(RuleMeta {
        id: "AWS.Console.LoginFailed".into(),
        name: "Failed console logins".into(),
        description: "Somebody fails to log in again and again.".into(),
        runbook: "Ask the user; look at the address; lock the account if it is not theirs.".into(),
        dedup_period_ms: 3_600_000,
        threshold: 1,
        create_alert: true,
        ..RuleMeta::default()
    });
    let (mut op, before) = (operator()?, resident());
    let match_of = |op: &mut dyn Keyed, epoch: u64, keys: &mut dyn Iterator<Item = u64>| -> model::Result<f64> {
        let records: Vec<Record> = keys.map(|k| record(&rule, k, epoch)).collect();
        let info =
            EpochInfo { epoch, now_ms: 1_000_000 + epoch as i64, commands: vec![], snapshot: false, seal: false };
        let began = Instant::now();
        op.epoch(&info, records, &mut Ctx::default())?;
        Ok(began.elapsed().as_secs_f64())
    };
    let (mut took, mut epoch) = (0.0, 0);
    for from in (0..keys).step_by(EPOCH as usize) {
        epoch += 1;
        took += match_of(&mut *op, epoch, &mut (from..keys.min(from + EPOCH)))?;
    }
    println!("{:<44}{:>8.0} ns", "a match that opens a window", took * 1e9 / keys as f64);
    println!("{:<44}{:>8.0} bytes a key, {} keys", "memory", each(resident() - before, keys), op.keys());
    let whole = snapshot("snapshot of everything", &mut *op, |op, g| op.save(g));

    let (some, mut took) = (keys.div_ceil(100), 0.0);
    for from in (0..some).step_by(EPOCH as usize) {
        epoch += 1;
        took += match_of(&mut *op, epoch, &mut (from..some.min(from + EPOCH)).map(|k| k * 100 % keys))?;
    }
    println!("{:<44}{:>8.0} ns", "a match that joins one", took * 1e9 / some as f64);
    let changes = snapshot("snapshot of 1 % of the keys", &mut *op, |op, g| op.changes(g).unwrap_or_default());
    let live = op.keys();
    drop(op);

    let (mut op, began) = (operator()?, Instant::now());
    for (g, bytes) in &whole {
        op.load(*g, bytes)?;
        changes.get(g).map_or(Ok(()), |c| op.apply(*g, c))?;
    }
    println!("{:<44}{:>8.2} s", "start from both", began.elapsed().as_secs_f64());
    match op.keys() == live {
        true => Ok(()),
        false => Err(format!("{} keys of {live} came back", op.keys()).into()),
    }
}

fn operator() -> model::Result<Box<dyn Keyed>> {
    let opened = DedupPart.open("window", &serde_json::json!({}), &MemFiles::default());
    let cx = BuildCx { groups: GROUPS, ..BuildCx::default() };
    match opened.node.ok_or("dedup takes no settings")?.build(&cx)? {
        Built::Keyed(op) => Ok(op),
        _ => Err("dedup builds a keyed operator".into()),
    }
}

fn dedup(key: u64) -> String {
    format!("arn:aws:iam::123456789012:user/{key:08}")
}

fn record(rule: &Arc<RuleMeta>, key: u64, epoch: u64) -> Record {
    Record::Match(Box::new(Match {
        rule: rule.clone(),
        dedup: dedup(key),
        title: rule.name.clone(),
        description: rule.description.clone(),
        runbook: rule.runbook.clone(),
        log_type: "AWS.CloudTrail".into(),
        event_ms: 1_000_000 + epoch as i64,
        ..Match::default()
    }))
}

/// Write every group that is marked, and tell what that took.
fn snapshot(what: &str, op: &mut dyn Keyed, write: impl Fn(&mut dyn Keyed, u32) -> Vec<u8>) -> BTreeMap<u32, Vec<u8>> {
    let began = Instant::now();
    let all: BTreeMap<u32, Vec<u8>> = op.take_dirty().into_iter().map(|g| (g, write(op, g))).collect();
    let bytes: usize = all.values().map(Vec::len).sum();
    println!("{what:<44}{:>8.2} s, {:.1} MB", began.elapsed().as_secs_f64(), bytes as f64 / 1e6);
    all
}

fn each(bytes: u64, keys: u64) -> f64 {
    bytes as f64 / keys as f64
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * 4096
}
