//! Cost of the Python rules of one log type in ns per event, and a check that their filters change nothing.
//!
//! `cargo run --release -p detect --example python_cost -- CHECKOUT LOG_TYPE EVENTS_FOLDER [ROUNDS] [MUTATIONS]`
//!
//! EVENTS_FOLDER holds JSON files with `Records`, or JSON lines. Measured is the detect node as it runs in the product
//! (columns in, finished matches out), then every enabled rule on every event without filters. Columns are built
//! beforehand and do not count. Then both say what they find, on the events and on MUTATIONS of each, and must agree.
#[path = "support/columns.rs"]
mod support;

use detect::columns::{Programs, view::View};
use detect::contract::Outcome;
use detect::detect::DetectPart;
use detect::python::{self, Engine};
use detect::rule::{Body, Rule};
use detect::template::clip;
use model::files::MemFiles;
use model::part::Node;
use model::{BuildCx, Built, Ctx, EventBatch, Map, Match, Packet, Part, Record};
use serde_json::{Value as J, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

const BATCH: usize = 1_000;
const NOW_MS: i64 = 1_000;

fn main() -> Result<(), model::Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkout, log_type, events, rest @ ..] = args.as_slice() else {
        return Err("usage: python_cost CHECKOUT LOG_TYPE EVENTS_FOLDER [ROUNDS] [MUTATIONS]".into());
    };
    let rounds: usize = rest.first().map_or(Ok(10), |n| n.parse())?;
    let mutations: usize = rest.get(1).map_or(Ok(0), |n| n.parse())?;
    let mut files = MemFiles::default();
    read(Path::new(checkout), Path::new(checkout), &mut files)?;
    let mut events = records(Path::new(events))?;
    // A batch here keeps enrichment as joins of its own, which are not the event's where that is malformed.
    for event in events.iter_mut().filter_map(J::as_object_mut) {
        event.shift_remove("p_enrichment");
    }
    println!("{} events", events.len());

    let begun = cpu_ns();
    let opened = DetectPart.open("rules", &json!({"rules": ["c"], "log_types": [log_type]}), &files);
    opened.problems.iter().filter(|p| !p.warning).for_each(|p| eprintln!("{:?} {}", p.file, p.message));
    let node = opened.node.ok_or("the rules have errors")?;
    println!("{}, loaded in {} ms of this thread", node.summary(), (cpu_ns() - begun) / 1_000_000);
    let (mut rules, _) = detect::meta::load(&files, &["c".into()]);
    rules.retain(|r| r.enabled && r.log_types.iter().any(|t| **t == **log_type));
    rules.retain(|r| matches!(r.body, Body::Python(_)));
    rules.sort_by(|a, b| a.meta.id.cmp(&b.meta.id));
    let filtered = |r: &&Rule| matches!(&r.body, Body::Python(s) if s.is_filtered());
    println!("{} Python rules, {} with a filter", rules.len(), rules.iter().filter(filtered).count());

    for rule in rules.iter().filter(|r| !filtered(r)) {
        println!("  without: {}", rule.meta.id);
    }
    let layout = support::layout(log_type, &node.needs().of(log_type));
    events.iter_mut().for_each(|e| support::normalise(&layout, e));
    let batches: Vec<Arc<EventBatch>> =
        events.chunks(BATCH).map(|chunk| Arc::new(support::batch(&layout, chunk))).collect();
    let mut map = map_of(&*node)?;
    let mut best = f64::INFINITY;
    let mut counts = BTreeMap::new();
    for _ in 0..rounds {
        counts.clear();
        let begun = cpu_ns();
        for batch in &batches {
            let mut cx = Ctx::default();
            map.map(Packet::Events(batch.clone()), &mut cx)?;
            cx.counts.into_iter().for_each(|(name, _, n)| *counts.entry(name).or_insert(0u64) += n);
        }
        best = best.min((cpu_ns() - begun) as f64 / events.len() as f64);
    }
    println!("node: {best:.0} ns/event, {counts:?}");
    parts(&rules, &batches, log_type);
    plain(&rules, &events, log_type);
    check(&node, &rules, &events, log_type, mutations)
}

/// What the node does: columns, events as Python sees them, rules that are woken.
fn parts(rules: &[Rule], batches: &[Arc<EventBatch>], log_type: &str) {
    let list: Vec<&Rule> = rules.iter().collect();
    let engine = Engine::new(&list, Default::default(), None);
    let mut programs = Programs::new(rules.to_vec().into());
    let (mut columns, mut whole, mut events, mut run) = (0, 0, 0, 0);
    let (mut rows, mut woken, mut count) = (0u64, 0u64, 0u64);
    let mut by_rule = vec![(0u64, 0u64); list.len()];
    for batch in batches.iter().chain(batches) {
        let program = programs.of(batch);
        let plan = program.plan();
        let view = View::new(batch, &plan);
        let mut hits = Vec::new();
        let begun = cpu_ns();
        program.run(&view, &mut hits);
        columns += cpu_ns() - begun;
        count += batch.len() as u64;
        woken += hits.len() as u64;
        for hits in hits.chunk_by(|a, b| a.0 == b.0) {
            let begun = cpu_ns();
            let json = view.whole(hits[0].0);
            whole += cpu_ns() - begun;
            let begun = cpu_ns();
            let handle = engine.event(json, log_type, NOW_MS);
            handle.prepare();
            events += cpu_ns() - begun;
            rows += 1;
            for (_, hit) in hits {
                let at = plan.rules[*hit].rule;
                let begun = cpu_ns();
                let _ = engine.run(at, &handle);
                let took = cpu_ns() - begun;
                run += took;
                by_rule[at].0 += took;
                by_rule[at].1 += 1;
            }
        }
    }
    let each = |ns: u64| ns as f64 / count as f64;
    println!(
        "  columns {:.0}, whole {:.0}, as Python sees it {:.0}, rules {:.0} ns/event",
        each(columns),
        each(whole),
        each(events),
        each(run)
    );
    println!("  {:.3} rules woken an event, on {:.3} of the events", each(woken), each(rows));
    let mut by_rule: Vec<_> = by_rule.into_iter().zip(&list).filter(|(c, _)| c.1 > 0).collect();
    by_rule.sort_unstable_by_key(|(cost, _)| std::cmp::Reverse(cost.0));
    let show = std::env::var("SHOW").unwrap_or_default();
    for rule in list.iter().filter(|r| *r.meta.id == *show) {
        if let Body::Python(script) = &rule.body {
            println!("{:#?}", script.filter(log_type));
        }
    }
    for ((ns, n), rule) in by_rule.iter().take(12) {
        println!("    {:>6.0} ns/event, woken {:.4}, {:>6} ns each: {}", each(*ns), each(*n), ns / n, rule.meta.id);
    }
}

/// Every rule on every event, without filters; then the same with events that are converted already.
fn plain(rules: &[Rule], events: &[J], log_type: &str) {
    let list: Vec<&Rule> = rules.iter().collect();
    let engine = Engine::new(&list, Default::default(), None);
    let shared: Vec<Rc<J>> = events.iter().map(|e| Rc::new(e.clone())).collect();
    for what in ["cold", "whole"] {
        let begun = cpu_ns();
        for event in &shared {
            let handle = engine.event(event.clone(), log_type, NOW_MS);
            (0..list.len()).for_each(|at| _ = engine.run(at, &handle));
        }
        println!("without filters, {what}: {:.0} ns/event", (cpu_ns() - begun) as f64 / events.len() as f64);
    }
    let mut costs: Vec<(u64, &str)> = Vec::new();
    let handles: Vec<python::EventHandle> = shared.iter().map(|e| engine.event(e.clone(), log_type, NOW_MS)).collect();
    for (at, rule) in list.iter().enumerate() {
        let begun = cpu_ns();
        handles.iter().for_each(|handle| _ = engine.run(at, handle));
        costs.push((cpu_ns() - begun, &rule.meta.id));
    }
    let sum: u64 = costs.iter().map(|(ns, _)| ns).sum();
    println!("rules alone: {:.0} ns/event", sum as f64 / events.len() as f64);
    costs.sort_unstable_by(|a, b| b.cmp(a));
    for (ns, id) in costs.iter().take(15) {
        println!("  {:>8.0} ns/event {id}", *ns as f64 / events.len() as f64);
    }
}

/// Node and rules must say the same.
fn check(
    node: &Arc<dyn Node>,
    rules: &[Rule],
    events: &[J],
    log_type: &str,
    mutations: usize,
) -> Result<(), model::Error> {
    let list: Vec<&Rule> = rules.iter().collect();
    let engine = Engine::new(&list, Default::default(), None);
    let layout = support::layout(log_type, &node.needs().of(log_type));
    let mut map = map_of(&**node)?;
    let mut random = Random(1);
    let (mut pairs, mut errors) = (0u64, 0u64);
    for turn in 0..=mutations {
        let mut chunk: Vec<J> = events.to_vec();
        if turn > 0 {
            chunk.iter_mut().for_each(|e| mutate(e, &mut random));
            chunk.iter_mut().for_each(|e| support::normalise(&layout, e));
        }
        for chunk in chunk.chunks(BATCH) {
            let mut cx = Ctx::default();
            map.map(Packet::Events(Arc::new(support::batch(&layout, chunk))), &mut cx)?;
            let said = cx.out.into_iter().flat_map(|(_, p)| if let Packet::Records(r) = p { r } else { Vec::new() });
            let ours = |m: &Match| list.iter().any(|rule| rule.meta.id == m.rule.id);
            let said = said.filter_map(|r| if let Record::Match(m) = r { Some(*m) } else { None }).filter(ours);
            let got: Vec<(u64, String, String)> =
                said.map(|m| (m.pos.offset, m.rule.id.to_string(), m.title)).collect();
            let mut want = Vec::new();
            for (row, event) in chunk.iter().enumerate() {
                let handle = engine.event(Rc::new(event.clone()), log_type, NOW_MS);
                for (at, rule) in list.iter().enumerate() {
                    pairs += 1;
                    let title = match engine.run(at, &handle) {
                        Outcome::No => continue,
                        Outcome::Match(found) => found.title,
                        Outcome::Error { kind, message } => {
                            errors += 1;
                            clip(format!("{kind}: {message}"))
                        }
                    };
                    want.push((row as u64, rule.meta.id.to_string(), title));
                }
            }
            if got != want {
                let at = got.iter().zip(&want).position(|(a, b)| a != b).unwrap_or(got.len().min(want.len()));
                let event = want.get(at).or(got.get(at)).map(|w| chunk[w.0 as usize].to_string());
                return Err(format!("with filters {:?}, without {:?}: {event:?}", got.get(at), want.get(at)).into());
            }
        }
    }
    println!("{pairs} pairs of rule and event equal, {errors} of them errors");
    Ok(())
}

/// A generator that gives the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

/// Change one value or key at the top, or in an object below it.
fn mutate(event: &mut J, random: &mut Random) {
    let Some(map) = event.as_object_mut().filter(|m| !m.is_empty()) else { return };
    let key = map.keys().nth(random.below(map.len())).cloned().unwrap_or_default();
    if random.below(3) > 0
        && let Some(inner) = map.get_mut(&key).filter(|v| v.as_object().is_some_and(|o| !o.is_empty()))
    {
        return mutate(inner, random);
    }
    let value = map.shift_remove(&key).unwrap_or_default();
    let new = match random.below(8) {
        0 => return,
        1 => J::Null,
        2 => json!(7),
        3 => json!([value]),
        4 => json!({ key.clone(): value }),
        5 => json!(""),
        6 => {
            map.insert(key.to_uppercase(), value);
            return;
        }
        _ => json!(value.as_str().unwrap_or_default().to_lowercase()),
    };
    map.insert(key, new);
}

fn map_of(node: &dyn Node) -> Result<Box<dyn Map>, model::Error> {
    match node.build(&BuildCx::default())? {
        Built::Map(map) => Ok(map),
        _ => Err("detect is a map".into()),
    }
}

fn read(at: &Path, root: &Path, files: &mut MemFiles) -> std::io::Result<()> {
    for entry in std::fs::read_dir(at)? {
        let path = entry?.path();
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
            continue;
        }
        if path.is_dir() {
            read(&path, root, files)?;
        } else if path.extension().is_some_and(|e| e == "yml" || e == "py") {
            files.0.insert(format!("c/{name}"), std::fs::read(&path)?.into());
        }
    }
    Ok(())
}

fn records(at: &Path) -> Result<Vec<J>, model::Error> {
    let mut out = Vec::new();
    let mut list: Vec<_> = std::fs::read_dir(at)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    list.sort();
    for path in list {
        if path.is_dir() {
            out.extend(records(&path)?);
        } else if path.extension().is_some_and(|e| e == "json" || e == "jsonl") {
            let text = std::fs::read_to_string(&path)?;
            for value in serde_json::Deserializer::from_str(&text).into_iter::<J>() {
                let Ok(mut value) = value else { break };
                match value.get_mut("Records").map(J::take) {
                    Some(J::Array(records)) => out.extend(records),
                    _ => out.push(value),
                }
            }
        }
    }
    Ok(out)
}

/// CPU time of this thread: other work on the machine does not count.
fn cpu_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a plain system call that fills `t`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
