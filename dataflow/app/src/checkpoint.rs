//! `millstream checkpoint`: the snapshots of a pipeline, also while it runs.
use crate::cli::{CheckpointArgs, CheckpointTask, Output};
use crate::progress::group;
use crate::{cluster, exit, load};
use anyhow::{Result, anyhow};
use engine::Start;
use model::store::{ObjectRef, Store};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Times that the start is looked for: a running engine may trim what is being read.
const LOOKS: u32 = 5;

/// A snapshot as it is shown.
#[derive(Serialize)]
struct Shown {
    epoch: u64,
    generation: u64,
    topology_generation: u64,
    time: String,
    objects: usize,
    bytes: u64,
    /// Bytes of state by node.
    state: BTreeMap<String, u64>,
    /// What is wrong with it; empty if nothing, or if nobody looked.
    damage: Vec<String>,
}

/// `checkpoint ls` and `checkpoint verify`.
pub fn checkpoint(args: &CheckpointArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    let Some(t) = &loaded.topology else {
        loaded.diagnostics.iter().for_each(|d| eprint!("{}", d.render(false)));
        return Ok(exit::CONFIG);
    };
    let verify = args.task == CheckpointTask::Verify;
    let store = cluster::store_to_read(t, &load::data_dir(t))?;
    let mut shown = Vec::new();
    let mut unreadable = Vec::new();
    for m in store.manifests().map_err(|e| anyhow!("{e}"))? {
        let m = match m {
            Ok(m) => m,
            Err(why) => {
                unreadable.push(why);
                continue;
            }
        };
        let objects = m.objects();
        let check = |o: &&ObjectRef| store.get(o).err().map(|e| format!("{}: {e}", o.name));
        let damage = if verify { objects.values().filter_map(check).collect() } else { Vec::new() };
        shown.push(Shown {
            epoch: m.epoch,
            generation: m.generation,
            topology_generation: m.topology_generation,
            time: model::time::rfc3339_ms(m.now_ms),
            objects: objects.len(),
            bytes: objects.values().map(|o| o.len).sum(),
            state: m.state.iter().map(|(id, s)| (id.clone(), s.objects.iter().map(|o| o.len).sum())).collect(),
            damage,
        });
    }
    let start = if verify { Some(start(&*store)) } else { None };
    let refused = usize::from(matches!(start, Some(Err(_))));
    let bad = refused + unreadable.len() + shown.iter().filter(|s| !s.damage.is_empty()).count();
    match args.output {
        Output::Json => {
            let mut all = serde_json::json!({ "snapshots": shown, "unreadable": unreadable, "verified": verify });
            match &start {
                Some(Ok(start)) => all["start"] = serde_json::to_value(start)?,
                Some(Err(why)) => all["refused"] = why.as_str().into(),
                None => {}
            }
            println!("{}", serde_json::to_string_pretty(&all)?)
        }
        _ => human(&shown, &unreadable, start.as_ref()),
    }
    Ok(if bad > 0 { exit::FINDINGS } else { 0 })
}

/// Where a start goes on.
#[derive(Serialize)]
struct Next {
    /// The snapshot it begins from; 0: none, from the beginning.
    snapshot: u64,
    /// Logged epochs behind it, which are read again.
    again: usize,
    /// The first epoch that is new.
    epoch: u64,
}

/// What a start would find now, or why it would be refused: snapshots that are whole are of no use without the log behind
/// them, and the log is of none without a snapshot where it begins.
fn start(store: &dyn Store) -> Result<Next, String> {
    let mut looks = 0;
    loop {
        looks += 1;
        match Start::look(store) {
            Ok(s) => {
                return Ok(Next { snapshot: s.manifest.epoch, again: s.replay.len(), epoch: s.last_epoch() + 1 });
            }
            Err(e) if looks == LOOKS => return Err(e.to_string()),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn human(shown: &[Shown], unreadable: &[String], start: Option<&Result<Next, String>>) {
    println!("{:>12}  {:<24}  {:>10}  {:>8}  {:>14}  state", "epoch", "time", "generation", "objects", "bytes");
    for s in shown {
        let state: Vec<String> = s.state.iter().map(|(id, n)| format!("{id} {}", group(*n))).collect();
        println!(
            "{:>12}  {:<24}  {:>10}  {:>8}  {:>14}  {}",
            group(s.epoch),
            s.time,
            s.generation,
            s.objects,
            group(s.bytes),
            state.join(", ")
        );
        s.damage.iter().for_each(|d| println!("{:>12}  damaged: {d}", ""));
    }
    unreadable.iter().for_each(|u| println!("{:>12}  damaged: {u}", ""));
    if start.is_some() && unreadable.is_empty() && shown.iter().all(|s| s.damage.is_empty()) {
        println!("{} snapshots, every object has its length and hash", shown.len());
    }
    match start {
        Some(Ok(Next { snapshot: 0, again, epoch })) => {
            println!("a start reads the {again} logged epochs again and goes on with epoch {}", group(*epoch));
        }
        Some(Ok(Next { snapshot, again, epoch })) => println!(
            "a start takes the snapshot of epoch {}, reads the {again} logged epochs behind it again and goes on with epoch {}",
            group(*snapshot),
            group(*epoch)
        ),
        Some(Err(why)) => println!("a start would be refused: {why}"),
        None => {}
    }
}
