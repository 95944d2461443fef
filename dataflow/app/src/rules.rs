//! `millstream rules cost`: a topology's events, without the engine, through its stateless nodes up to the detections.
//! `millstream rules explain`: how one rule is run.
//! `millstream rules import`: which Sigma or Python rules of a collection run here, and why others do not.
use crate::cli::{ImportPythonArgs, ImportSigmaArgs, Output, RulesCostArgs, RulesExplainArgs};
use crate::progress::group;
use crate::{exit, load, parse_files};
use anyhow::{Context, Result, anyhow, bail};
use detect::cost::{Costs, Meter, RuleCost};
use detect::explain::RuleExplained;
use detect::python::cpython::Interpreter;
use detect::python::survey::Status;
use detect::sigma::mapping::Mappings;
use detect::sigma::survey::survey;
use local::DiskFiles;
use model::source::Budget;
use model::{Built, Ctx, Kind, LedgerRow, Map, Packet, Reader, Source};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use topology::Topology;

/// Bytes read at a time.
const STEP: u64 = 8 << 20;
/// Sources that can be read without leaving a trace where they read.
const READABLE: [&str; 2] = ["file", "generate"];

/// A node that takes part.
enum Piece {
    Source(Box<dyn Source>, Box<dyn Reader>),
    Map(Box<dyn Map>),
    Rules(Meter),
}

/// Print what each rule takes.
pub fn cost(args: &RulesCostArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    let Some(t) = &loaded.topology else {
        loaded.diagnostics.iter().for_each(|d| eprint!("{}", d.render(false)));
        return Ok(exit::CONFIG);
    };
    if !t.nodes.iter().any(|n| n.kind == Kind::Detect) {
        bail!("{} has no [detect.*] node", args.topology.display());
    }
    let mut pipe = Pipe::open(t, args)?;
    pipe.run(args.events)?;
    let costs = pipe.costs();
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&costs)?),
        _ => costs.iter().for_each(|(id, c)| {
            print!("detect.{id}: {}", c.table(args.top));
            c.scan.iter().for_each(|scan| print!("detect.{id}: {}", scan.text()));
        }),
    }
    let differ = costs.values().filter_map(|c| c.scan.as_ref()).any(|scan| !scan.agrees());
    Ok(if differ { exit::FINDINGS } else { 0 })
}

/// How a rule is run, and what a run's ledger says of it.
#[derive(Serialize)]
struct Explained {
    /// Node that runs it.
    node: String,
    #[serde(flatten)]
    rule: RuleExplained,
    /// What it took on the events that were measured, if any were.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<RuleCost>,
    /// Events that the node saw in the ledger of the data folder, and counters of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<(u64, BTreeMap<String, u64>)>,
}

/// Print how a rule is run.
pub fn explain(args: &RulesExplainArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    let Some(t) = &loaded.topology else {
        loaded.diagnostics.iter().for_each(|d| eprint!("{}", d.render(false)));
        return Ok(exit::CONFIG);
    };
    let (dir, _) = load::place(&args.topology);
    let mut all = Vec::new();
    for n in t.nodes.iter().filter(|n| n.kind == Kind::Detect) {
        let meter = Meter::open(&n.settings, &DiskFiles::new(&dir)).map_err(|p| anyhow!("{}: {p:?}", n.id))?;
        let Some(rule) = meter.explain(&args.rule) else { continue };
        let ledger = of_ledger(&load::data_dir(t), &n.id, &args.rule)?;
        all.push(Explained { node: n.id.to_string(), rule, cost: None, ledger });
    }
    if all.is_empty() {
        eprintln!("millstream: no rule of {} has the id `{}`", args.topology.display(), args.rule);
        return Ok(exit::FINDINGS);
    }
    if args.events > 0 {
        let mut pipe = Pipe::open(t, &args.measured())?;
        pipe.run(args.events)?;
        let costs = pipe.costs();
        for x in &mut all {
            x.rule = pipe.meter(&x.node).and_then(|m| m.explain(&args.rule)).unwrap_or_else(|| x.rule.clone());
            x.cost = costs.get(&x.node).and_then(|c| c.rules.iter().find(|r| r.rule == args.rule)).cloned();
        }
    }
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&all)?),
        _ => all.iter().for_each(|x| print!("{}", x.text())),
    }
    Ok(0)
}

impl Explained {
    fn text(&self) -> String {
        let mut out = format!("detect.{}: {}", self.node, self.rule.text());
        if let Some(c) = &self.cost {
            let each = c.ns as f64 / c.looked_at.max(1) as f64;
            out +=
                &format!("\nmeasured: looked at on {} events, {} matches, {each:.0} ns each\n", c.looked_at, c.matches);
        }
        if let Some((events, counters)) = &self.ledger {
            let rate = |n: u64| n as f64 * 100.0 / (*events).max(1) as f64;
            let all: Vec<String> = counters.iter().map(|(c, n)| format!("{c} {}", group(*n))).collect();
            let matches = counters.get("matches").copied().unwrap_or(0);
            out +=
                &format!("\nledger: {} events, {:.4} % matched: {}\n", group(*events), rate(matches), all.join(", "));
        }
        out
    }
}

/// Events of a detect node and counters of one of its rules, summed over the ledger; `None` if nothing has run.
fn of_ledger(dir: &Path, node: &str, rule: &str) -> Result<Option<(u64, BTreeMap<String, u64>)>> {
    let path = dir.join(format!("{}.jsonl", load::LEDGER));
    let Ok(file) = std::fs::File::open(&path) else { return Ok(None) };
    let (mut events, mut counters) = (0, BTreeMap::new());
    for line in BufReader::new(file).lines() {
        let row: LedgerRow = serde_json::from_str(&line?).with_context(|| path.display().to_string())?;
        if *row.node == *node && row.rule.is_empty() && row.counter == "events" {
            events += row.n;
        }
        if *row.rule == *rule {
            *counters
                .entry(if *row.node == *node { row.counter } else { format!("{}.{}", row.node, row.counter) })
                .or_default() += row.n;
        }
    }
    Ok(Some((events, counters)))
}

/// Tell what of a collection of Sigma rules is supported.
pub fn import_sigma(args: &ImportSigmaArgs) -> Result<i32> {
    let files = DiskFiles::new(std::env::current_dir()?);
    let (mappings, problems) = Mappings::load(&files, &names(&args.mapping));
    for p in &problems {
        match &p.file {
            Some((file, line, col)) => eprintln!("{file}:{line}:{col}: error: {}", p.message),
            None => eprintln!("error: {}", p.message),
        }
        p.hint.iter().for_each(|hint| eprintln!("   = help: {hint}"));
    }
    if !problems.is_empty() {
        return Ok(exit::CONFIG);
    }
    let survey = survey(&files, &names(&args.paths), &mappings).map_err(anyhow::Error::msg)?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&survey)?),
        _ => print!("{}", survey.text()),
    }
    Ok(if args.strict && survey.broken > 0 { exit::FINDINGS } else { 0 })
}

/// Tell what of a collection of Python rules runs.
pub fn import_python(args: &ImportPythonArgs) -> Result<i32> {
    let files = DiskFiles::new(std::env::current_dir()?);
    let interpreter = args.cpython.clone().map(|program| Interpreter {
        program,
        venv: args.cpython_venv.clone(),
        ..Interpreter::default()
    });
    let survey = detect::python::survey::survey(&files, &names(&args.paths), interpreter.as_ref());
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&survey)?),
        _ => print!("{}", survey.text()),
    }
    let blocked =
        survey.detections.iter().any(|d| d.enabled && !matches!(d.status, Status::Compiled | Status::Cpython));
    Ok(if args.strict && (blocked || !survey.broken.is_empty()) { exit::FINDINGS } else { 0 })
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|p| p.to_string_lossy().into_owned()).collect()
}

/// The nodes of a topology that events meet before anything is remembered.
struct Pipe<'t> {
    topology: &'t Topology,
    pieces: Vec<Option<Piece>>,
    now_ms: i64,
}

impl<'t> Pipe<'t> {
    fn open(t: &'t Topology, args: &RulesCostArgs) -> Result<Pipe<'t>> {
        let (graph, settings) = (load::graph(t)?, load::settings(t, 1, true, ""));
        let (dir, _) = load::place(&args.topology);
        let sources: Vec<&str> = t.nodes.iter().filter(|n| n.kind == Kind::Source).map(|n| &*n.id).collect();
        let replaced = replaced(args, &sources)?;
        let mut pieces = Vec::new();
        for n in &t.nodes {
            let g = graph.node(&n.id).expect("every node is in the graph under its id");
            let cx = graph.cx(g, 0, 0, &settings);
            let failed = |e: model::Error| anyhow!("{}: {e}", n.id);
            let built = match n.kind {
                Kind::Source => match replaced {
                    Some(id) if id == &*n.id => files(&args.input)?.build(&cx),
                    Some(_) => {
                        pieces.push(None);
                        continue;
                    }
                    None if READABLE.contains(&n.spec.name) => n.node.build(&cx),
                    None => bail!("{}: a {} source is not read for this; name files with --input", n.id, n.spec.name),
                },
                Kind::Parse | Kind::Transform | Kind::Enrich => n.node.build(&cx),
                Kind::Detect => {
                    let meter = Meter::open(&n.settings, &DiskFiles::new(&dir));
                    let mut meter = meter.map_err(|p| anyhow!("{}: {p:?}", n.id))?;
                    if args.scan {
                        meter.scan();
                    }
                    pieces.push(Some(Piece::Rules(meter)));
                    continue;
                }
                _ => {
                    pieces.push(None);
                    continue;
                }
            };
            pieces.push(match built.map_err(failed)? {
                Built::Source(source, reader) => Some(Piece::Source(source, reader().map_err(failed)?)),
                Built::Map(map) => Some(Piece::Map(map)),
                _ => None,
            });
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
        Ok(Pipe { topology: t, pieces, now_ms })
    }

    /// Until every source is exhausted or the rules have seen enough.
    fn run(&mut self, events: u64) -> Result<()> {
        loop {
            let mut exhausted = true;
            for at in 0..self.pieces.len() {
                let Some(Piece::Source(source, reader)) = &mut self.pieces[at] else { continue };
                let node = &self.topology.nodes[at];
                let failed = |e: model::Error| anyhow!("{}: {e}", node.id);
                let poll = source.poll(Budget { bytes: STEP, now_ms: self.now_ms }).map_err(failed)?;
                exhausted &= poll.exhausted && poll.splits.is_empty();
                let mut packets = Vec::new();
                for split in &poll.splits {
                    let mut give = |p| packets.push(split.entered(p, self.now_ms));
                    reader.read(split, &split.origin(node.index), &mut give).map_err(failed)?;
                }
                for (port, packet) in packets {
                    self.give((at, port), packet)?;
                }
            }
            if exhausted || self.seen() >= events {
                return Ok(());
            }
        }
    }

    /// Give what left a node's port to everyone who reads it.
    fn give(&mut self, from: (usize, usize), packet: Packet) -> Result<()> {
        for at in 0..self.pieces.len() {
            let node = &self.topology.nodes[at];
            if !node.inputs.contains(&from) {
                continue;
            }
            let mut cx = Ctx::default();
            match (&mut self.pieces[at], &packet) {
                (Some(Piece::Map(map)), _) => {
                    map.map(packet.clone(), &mut cx).map_err(|e| anyhow!("{}: {e}", node.id))?
                }
                (Some(Piece::Rules(meter)), Packet::Events(batch)) => meter.add(batch),
                _ => {}
            }
            for (port, packet) in cx.out {
                self.give((at, port), packet)?;
            }
        }
        Ok(())
    }

    /// Events that the rules have seen.
    fn seen(&self) -> u64 {
        let of = |p: &Option<Piece>| if let Some(Piece::Rules(meter)) = p { meter.events() } else { 0 };
        self.pieces.iter().map(of).max().unwrap_or(0)
    }

    fn meter(&self, node: &str) -> Option<&Meter> {
        let at = self.topology.nodes.iter().position(|n| *n.id == *node)?;
        if let Some(Piece::Rules(meter)) = &self.pieces[at] { Some(meter) } else { None }
    }

    fn costs(&self) -> BTreeMap<String, Costs> {
        let of = |(n, p): (&topology::PlanNode, &Option<Piece>)| match p {
            Some(Piece::Rules(meter)) => Some((n.id.to_string(), meter.costs())),
            _ => None,
        };
        self.topology.nodes.iter().zip(&self.pieces).filter_map(of).collect()
    }
}

/// The source that --input stands for, if it is there.
fn replaced<'a>(args: &'a RulesCostArgs, sources: &[&'a str]) -> Result<Option<&'a str>> {
    match (&args.source, sources) {
        _ if args.input.is_empty() => Ok(None),
        (Some(id), _) if sources.contains(&id.as_str()) => Ok(Some(id)),
        (Some(id), _) => bail!("there is no source `{id}`; there are {}", sources.join(", ")),
        (None, [one]) => Ok(Some(one)),
        (None, _) => bail!("name with --source which of {} --input stands for", sources.join(", ")),
    }
}

/// A source that reads these files once.
fn files(paths: &[PathBuf]) -> Result<Arc<dyn model::Node>> {
    let absolute = |p: &PathBuf| std::path::absolute(p).map(|p: PathBuf| p.to_string_lossy().into_owned());
    let paths = paths.iter().map(absolute).collect::<std::io::Result<Vec<String>>>()?;
    parse_files::open(Kind::Source, "file", serde_json::json!({ "path": paths, "follow": false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_mappings_name_shipped_log_types() {
        let schemas = parse::Schemas::builtin();
        for log_type in Mappings::shipped().log_types() {
            assert!(schemas.get(log_type).is_some(), "{log_type}");
        }
    }
}
