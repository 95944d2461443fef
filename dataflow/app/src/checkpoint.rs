//! `millstream checkpoint`: the snapshots of a pipeline, also while it runs.
use crate::cli::{CheckpointArgs, CheckpointTask, Output};
use crate::progress::group;
use crate::{cluster, exit, load};
use anyhow::{Result, anyhow};
use model::store::ObjectRef;
use serde::Serialize;
use std::collections::BTreeMap;

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
    let bad = unreadable.len() + shown.iter().filter(|s| !s.damage.is_empty()).count();
    match args.output {
        Output::Json => {
            let all = serde_json::json!({ "snapshots": shown, "unreadable": unreadable, "verified": verify });
            println!("{}", serde_json::to_string_pretty(&all)?)
        }
        _ => human(&shown, &unreadable, verify),
    }
    Ok(if bad > 0 { exit::FINDINGS } else { 0 })
}

fn human(shown: &[Shown], unreadable: &[String], verified: bool) {
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
    if verified && unreadable.is_empty() && shown.iter().all(|s| s.damage.is_empty()) {
        println!("{} snapshots, every object has its length and hash", shown.len());
    }
}
