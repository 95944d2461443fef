//! `millstream dlq` and `millstream txn`: what a person does to dead letters and to transactions that hang.
use crate::cli::{DlqArgs, DlqTask, Output, TxnArgs, TxnTask};
use crate::progress::group;
use crate::{exit, load};
use anyhow::{Context, Result, anyhow, bail, ensure};
use kafka::ops::{Cluster, Pick};
use model::Kind;
use std::path::Path;
use topology::{PlanNode, Topology};

fn topology(path: &Path) -> Result<Option<Topology>> {
    let loaded = load::from_disk(path);
    if loaded.topology.is_none() {
        loaded.diagnostics.iter().for_each(|d| eprint!("{}", d.render(false)));
    }
    Ok(loaded.topology)
}

/// The `kafka` sinks of a topology.
fn sinks(t: &Topology) -> impl Iterator<Item = &PlanNode> {
    t.nodes.iter().filter(|n| n.kind == Kind::Sink && n.spec.name == "kafka")
}

/// Settings of a node with their secrets filled in, which the plan does not hold.
fn cluster(n: &PlanNode) -> Result<Cluster> {
    let mut settings = n.settings.clone();
    crate::secrets::fill(&mut settings)?;
    Cluster::of(&settings).map_err(|e| anyhow!("{}: {e}", n.id))
}

fn topic(n: &PlanNode) -> Result<&str> {
    n.settings.get("topic").and_then(|t| t.as_str()).with_context(|| format!("{} has no topic", n.id))
}

/// `dlq`.
pub fn dlq(args: &DlqArgs) -> Result<i32> {
    let Some(t) = topology(&args.topology)? else { return Ok(exit::CONFIG) };
    let reads_rejects = |n: &&PlanNode| n.inputs.iter().any(|(f, p)| t.flow(*f, *p) == Some(model::Flow::Rejected));
    let found: Vec<&PlanNode> = match &args.sink {
        Some(id) => sinks(&t).filter(|n| *n.id == **id).collect(),
        None => sinks(&t).filter(reads_rejects).collect(),
    };
    let sink = match found.as_slice() {
        [one] => *one,
        [] => bail!(
            "no kafka sink {}. Dead letters that no sink reads are in the data folder: dead-letter.jsonl",
            args.sink.as_ref().map_or("reads rejected input".into(), |s| format!("is called `{s}`"))
        ),
        more => bail!("which one? --sink {}", more.iter().map(|n| &*n.id).collect::<Vec<_>>().join(" | --sink ")),
    };
    let (cluster, topic) = (cluster(sink)?, topic(sink)?);
    let json = args.output == Output::Json;
    let show = |v: serde_json::Value| println!("{v:#}");
    let failed = |e: model::Error| anyhow!("{e}");
    match &args.task {
        DlqTask::Ls => {
            let groups = cluster.dlq_groups(topic).map_err(failed)?;
            if json {
                show(serde_json::to_value(&groups)?);
                return Ok(0);
            }
            println!("{:>10}  {:<24}  {:<16}  {:>14}  sample", "letters", "code", "node", "first");
            for g in groups {
                let first = format!("{}:{}", g.first.0, g.first.1);
                println!("{:>10}  {:<24}  {:<16}  {first:>14}  {}", group(g.count), g.code, g.node, g.sample);
            }
        }
        DlqTask::Show { at } => {
            let (p, o) = place(at)?;
            let Some(letter) = cluster.dlq_letter(topic, p, o).map_err(failed)? else {
                eprintln!("millstream: there is no letter at {at} in {topic}");
                return Ok(exit::FINDINGS);
            };
            if json {
                let mut v = serde_json::to_value(&letter)?;
                v["value"] = String::from_utf8_lossy(&letter.value).into();
                show(v);
                return Ok(0);
            }
            letter.headers.iter().for_each(|(k, v)| println!("{k}: {v}"));
            println!("\n{}", String::from_utf8_lossy(&letter.value));
        }
        DlqTask::Requeue { at, code, node, to } => {
            let at = at.iter().map(|a| place(a)).collect::<Result<Vec<_>>>()?;
            let pick = Pick { code: code.clone(), node: node.clone(), at };
            let done = cluster.dlq_requeue(topic, &pick, to.as_deref()).map_err(failed)?;
            match json {
                true => show(serde_json::to_value(&done)?),
                false => {
                    println!(
                        "{} put back, {} had been before, {} refused",
                        group(done.put_back),
                        group(done.before),
                        group(done.refused_count)
                    );
                    done.refused.iter().for_each(|(p, o, why)| println!("  {p}:{o}  {why}"));
                }
            }
            return Ok(if done.refused_count > 0 { exit::FINDINGS } else { 0 });
        }
        DlqTask::Purge { below, yes } => {
            ensure!(*yes, "purge deletes dead letters for good: say --yes");
            let below = below.as_deref().map(place).transpose()?;
            let freed = cluster.dlq_purge(topic, below).map_err(failed)?;
            match json {
                true => show(serde_json::json!({ "freed": freed })),
                false => println!("{} offsets of {topic} are free", group(freed)),
            }
        }
    }
    Ok(0)
}

/// `partition:offset`.
fn place(text: &str) -> Result<(i32, i64)> {
    let both = text.split_once(':').and_then(|(p, o)| Some((p.parse().ok()?, o.parse().ok()?)));
    both.with_context(|| format!("`{text}` is not a place: write partition:offset, as 0:1234"))
}

/// `txn`.
pub fn txn(args: &TxnArgs) -> Result<i32> {
    let Some(t) = topology(&args.topology)? else { return Ok(exit::CONFIG) };
    let failed = |e: model::Error| anyhow!("{e}");
    let (mut ids, mut blocked) = (Vec::new(), Vec::new());
    for n in sinks(&t).filter(|n| n.settings.get("delivery").is_none_or(|d| d == "exactly_once")) {
        let c = cluster(n)?;
        ids.extend(c.transactional_ids(&t.name, &n.id).map_err(failed)?.into_iter().map(|id| (n, id)));
        blocked.extend(c.blocked(topic(n)?).map_err(failed)?);
    }
    match &args.task {
        TxnTask::Ls if args.output == Output::Json => {
            let ids: Vec<_> = ids.iter().map(|(n, id)| serde_json::json!({ "sink": n.id, "id": id })).collect();
            println!("{:#}", serde_json::json!({ "ids": ids, "blocked": blocked }));
        }
        TxnTask::Ls => {
            println!("{:<44}  {:>12}  {:>10}  run", "transactional id", "last epoch", "generation");
            for (_, id) in &ids {
                let epoch = id.epoch.map_or("-".into(), group);
                let (run, generation) = id.taken_over.as_ref().map_or(("-", 0), |(r, g)| (load::short(r), *g));
                println!("{:<44}  {epoch:>12}  {generation:>10}  {run}", id.id);
            }
            for b in &blocked {
                println!(
                    "open: {}[{}] readers of committed rows stand at offset {}, the end is {}. A running writer ends its \
                     transaction in a moment: ask again",
                    b.topic, b.partition, b.stable, b.end
                );
            }
        }
        TxnTask::Abort { id } => {
            let Some((sink, _)) = ids.iter().find(|(_, i)| i.id == *id) else {
                bail!("`{id}` is no transactional id of this topology: see `millstream txn ls`")
            };
            cluster(sink)?.abort(id).map_err(failed)?;
            println!("{id}: nothing of it is open any more");
        }
    }
    Ok(if blocked.is_empty() { 0 } else { exit::FINDINGS })
}
