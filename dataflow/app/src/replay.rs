//! `millstream replay`: what detections would have made of past data, beside a running engine and without touching it.
//!
//! ```text
//! sources → parse, transform, enrich, detect  (as many workers as asked for; `pipe`)
//!         → matches, sorted by event time on disk where they do not fit (`spool`)
//!         → correlate, dedup, limit            (one thread; `chain`) → a report
//! ```
//!
//! Sources are read from their beginning to their end, or a lake in their place (`lake`). Matches are judged in the order of their event times, each at its
//! own time, by the same correlate, dedup and limit nodes that the topology runs: as if every event had been processed in the moment
//! it happened. That order does not depend on workers, so neither does the report. Nothing is delivered, nothing is kept.
mod chain;
mod lake;
mod offsets;
mod pipe;
mod report;
mod spool;

use crate::cli::{Output, ReplayArgs};
use crate::{exit, load, parse_files, secrets};
use anyhow::{Result, anyhow, bail};
use detect::python::verify::Verify;
use local::DiskFiles;
use model::{Kind, Node, Part, time};
use offsets::Offsets;
use pipe::Pipe;
pub use report::Report;
use serde_json::{Value as J, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};
use topology::{PlanNode, Topology};

/// Sources that can be read without leaving a trace where they read.
const READABLE: [&str; 3] = ["file", "generate", "kafka"];

/// Somebody pressed Ctrl-C: the report is of what was read so far.
pub static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(signal: libc::c_int) {
    STOP.store(true, Relaxed);
    // The second time ends the process at once.
    // SAFETY: setting a handler is allowed in one.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Times that are replayed, milliseconds since 1970: from the first, up to and without the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First millisecond.
    pub from_ms: i64,
    /// The one behind the last.
    pub to_ms: i64,
}

impl Range {
    /// True for a time inside.
    pub fn has(&self, ms: i64) -> bool {
        self.from_ms <= ms && ms < self.to_ms
    }
}

/// Replay and print the report.
pub fn replay(args: &ReplayArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    let Some(t) = &loaded.topology else {
        loaded.diagnostics.iter().for_each(|d| eprint!("{}", d.render(false)));
        return Ok(exit::CONFIG);
    };
    // SAFETY: the handler only stores to an atomic and resets itself.
    unsafe { libc::signal(libc::SIGINT, stop as *const () as libc::sighandler_t) };
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let range = range(args, now_ms)?;
    let plan = match Plan::new(t, args, range)? {
        Ok(plan) => plan,
        Err(problems) => {
            problems.iter().for_each(|p| eprint!("{}", said(p)));
            return Ok(exit::CONFIG);
        }
    };
    let report = run(&plan, args)?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        _ => print!("{}", report.text()),
    }
    Ok(match report.verified.iter().any(|(_, v)| v.differs()) {
        true => exit::DIFFERENT,
        false if report.stopped => exit::STOPPED,
        false => 0,
    })
}

fn run(plan: &Plan, args: &ReplayArgs) -> Result<Report> {
    let mut report = Report::new(plan, args);
    let read = Pipe { plan, workers: args.workers(), progress: args.progress() }.run()?;
    report.read(&read);
    let mut chain = chain::Chain::open(plan)?;
    for group in read.matches()? {
        chain.at(group?, &mut report)?;
    }
    chain.end(plan.range.to_ms, &mut report)?;
    report.finish();
    report.verified = plan.verify.iter().map(|(node, v)| (node.clone(), v.report())).collect();
    Ok(report)
}

/// A finding in words.
pub fn said(p: &model::Problem) -> String {
    let what = if p.warning { "warning" } else { "error" };
    let mut out = match &p.file {
        Some((file, line, col)) => format!("{file}:{line}:{col}: {what}: {}\n", p.message),
        None => format!("{}: {what}: {}\n", p.setting, p.message),
    };
    p.hint.iter().for_each(|h| out += &format!("   = help: {h}\n"));
    out
}

fn range(args: &ReplayArgs, now_ms: i64) -> Result<Range> {
    let range = Range { from_ms: args.from.unwrap_or(i64::MIN), to_ms: args.to.unwrap_or(now_ms) };
    if range.from_ms >= range.to_ms {
        bail!("--from must be before --to");
    }
    Ok(range)
}

/// What is replayed: the topology's nodes, some of them opened anew.
pub struct Plan<'t> {
    /// The topology.
    pub topology: &'t Topology,
    /// Its graph as the engine sees it.
    pub graph: engine::Graph,
    /// Settings for builds.
    pub settings: engine::Settings,
    /// Sources to read, and detect nodes with other rules, by index.
    pub anew: BTreeMap<usize, Arc<dyn Node>>,
    /// Ids of the rules that are reported on; none: all.
    pub chosen: Vec<String>,
    /// Ids of every rule that runs.
    pub rules: Vec<Arc<str>>,
    /// Which events count.
    pub range: Range,
    /// Where events come from in place of the sources.
    pub lake: Option<Arc<lake::Lake>>,
    /// Which part of Kafka partitions is read.
    pub offsets: Offsets,
    /// Detect nodes that compare compiled rules with CPython.
    pub verify: Vec<(String, Arc<Verify>)>,
}

impl<'t> Plan<'t> {
    fn new(
        t: &'t Topology,
        args: &ReplayArgs,
        range: Range,
    ) -> Result<std::result::Result<Plan<'t>, Vec<model::Problem>>> {
        let (dir, _) = load::place(&args.topology);
        let offsets = Offsets::parse(&args.offsets)?;
        let lake = lake::Lake::open(t, args, range)?.map(Arc::new);
        let mut anew = if lake.is_some() { BTreeMap::new() } else { sources(t, args, range, &offsets)? };
        let (mut rules, mut problems, mut verify) = (Vec::new(), Vec::new(), Vec::new());
        let detects: Vec<usize> = (0..t.nodes.len()).filter(|i| t.nodes[*i].kind == Kind::Detect).collect();
        if detects.is_empty() {
            bail!("{} has no [detect.*] node", args.topology.display());
        }
        let changed = edited(t, &detects, args)?;
        for i in detects {
            let n = &t.nodes[i];
            let mut settings = n.settings.clone();
            if let Some(program) = &args.cpython {
                settings["cpython"] = json!(program);
                settings.as_object_mut().map(|s| s.remove("cpython_venv"));
            }
            if let Some(venv) = &args.cpython_venv {
                settings["cpython_venv"] = json!(std::path::absolute(venv)?);
            }
            if changed == Some(i) {
                settings["rules"] = json!(absolute(&args.rules)?);
            }
            if args.verify {
                match detect::detect::verifying(&settings, &DiskFiles::new(&dir), &args.rule) {
                    Ok((node, v)) => {
                        anew.insert(i, node);
                        verify.push((n.id.to_string(), v));
                    }
                    Err(mut found) => problems.append(&mut found),
                }
            } else if changed == Some(i) || args.cpython.is_some() {
                match open(n.part, n, &settings, &dir) {
                    Ok(node) => drop(anew.insert(i, node)),
                    Err(mut found) => problems.append(&mut found),
                }
            }
            if let Ok(all) = detect::detect::load(&settings, &DiskFiles::new(&dir)) {
                rules.extend(all.iter().map(|r| r.meta.id.clone()));
            }
        }
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        rules.sort();
        // A stateful node with rules of its own knows ids that are not here.
        let closed = t.nodes.iter().all(|n| {
            use Kind::{Dedup, Detect, Enrich, Limit, Parse, Sink, Source, Transform};
            matches!(n.kind, Source | Parse | Transform | Enrich | Detect | Dedup | Limit | Sink)
        });
        if let Some(id) = args.rule.iter().find(|id| closed && !rules.iter().any(|r| **r == **id)) {
            bail!("no rule here has the id `{id}`");
        }
        let mut graph = load::graph(t)?;
        // What edited rules read is decoded as well.
        for node in anew.values() {
            let needs = node.needs();
            graph.nodes.iter_mut().filter(|n| n.spec.kind == Kind::Parse).for_each(|n| n.needs.merge(&needs));
        }
        graph.event_time = true;
        let settings = load::settings(t, args.workers(), true, "");
        Ok(Ok(Plan {
            topology: t,
            graph,
            settings,
            anew,
            chosen: args.rule.clone(),
            rules,
            range,
            lake,
            offsets,
            verify,
        }))
    }

    /// The node that stands at an index.
    pub fn node(&self, i: usize) -> &Arc<dyn Node> {
        self.anew.get(&i).unwrap_or(&self.topology.nodes[i].node)
    }

    /// What its build may know.
    pub fn cx(&self, i: usize) -> model::BuildCx {
        let node = self.graph.node(&self.topology.nodes[i].id).expect("every node is in the graph under its id");
        self.graph.cx(node, 0, 1, &self.settings)
    }

    /// True if a rule is reported on.
    pub fn wants(&self, rule: &str) -> bool {
        self.chosen.is_empty() || self.chosen.iter().any(|c| c == rule)
    }
}

/// The detect node that gets the rules of `--rules`.
fn edited(t: &Topology, detects: &[usize], args: &ReplayArgs) -> Result<Option<usize>> {
    if args.rules.is_empty() {
        return Ok(None);
    }
    let ids = || detects.iter().map(|i| &*t.nodes[*i].id).collect::<Vec<_>>().join(", ");
    match (&args.node, detects) {
        (None, [one]) => Ok(Some(*one)),
        (None, _) => bail!("name with --node which of {} gets the rules", ids()),
        (Some(id), _) => match detects.iter().find(|i| *t.nodes[**i].id == **id) {
            Some(i) => Ok(Some(*i)),
            None => bail!("there is no detect node `{id}`; there are {}", ids()),
        },
    }
}

/// The sources to read, opened so that they end.
fn sources(t: &Topology, args: &ReplayArgs, range: Range, offsets: &Offsets) -> Result<BTreeMap<usize, Arc<dyn Node>>> {
    let all: Vec<usize> = (0..t.nodes.len()).filter(|i| t.nodes[*i].kind == Kind::Source).collect();
    let ids = || all.iter().map(|i| &*t.nodes[*i].id).collect::<Vec<_>>().join(", ");
    if let Some(id) = args.source.iter().find(|id| !all.iter().any(|i| *t.nodes[*i].id == ***id)) {
        bail!("there is no source `{id}`; there are {}", ids());
    }
    let chosen = |i: &usize| args.source.is_empty() || args.source.iter().any(|id| *t.nodes[*i].id == **id);
    let chosen: Vec<usize> = all.iter().copied().filter(chosen).collect();
    if !args.input.is_empty() {
        let [one] = chosen[..] else { bail!("name with --source which of {} --input stands for", ids()) };
        let files = json!({ "path": absolute(&args.input)?, "follow": false });
        return Ok([(one, parse_files::open(Kind::Source, "file", files)?)].into());
    }
    let mut out = BTreeMap::new();
    for i in chosen {
        let n = &t.nodes[i];
        let mut settings = n.settings.clone();
        match n.spec.name {
            "file" => settings["follow"] = json!(false),
            "generate" => {}
            "kafka" => {
                // A record is not older than its event: what was written before the time need not be read.
                settings["start"] = match range.from_ms {
                    i64::MIN => json!("earliest"),
                    ms => json!(format!("timestamp:{}", time::rfc3339_ms(ms))),
                };
                settings["start_offsets"] = json!(offsets.starts());
            }
            other => bail!(
                "{}: a {other} source cannot be read a second time (only {}); name files with --input, or other sources with \
                 --source",
                n.id,
                READABLE.join(", ")
            ),
        }
        secrets::fill(&mut settings)?;
        let node = open(n.part, n, &settings, Path::new(".")).map_err(|p| anyhow!("{}: {}", n.id, p[0].message))?;
        out.insert(i, node);
    }
    Ok(out)
}

fn open(
    part: &'static dyn Part,
    n: &PlanNode,
    settings: &J,
    dir: &Path,
) -> std::result::Result<Arc<dyn Node>, Vec<model::Problem>> {
    let opened = part.open(&n.id, settings, &DiskFiles::new(dir));
    opened.node.ok_or(opened.problems)
}

fn absolute(paths: &[PathBuf]) -> Result<Vec<String>> {
    let of = |p: &PathBuf| std::path::absolute(p).map(|p| p.to_string_lossy().into_owned());
    Ok(paths.iter().map(of).collect::<std::io::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_before_its_second_moment() {
        let range = Range { from_ms: 5, to_ms: 7 };
        assert_eq!([4, 5, 6, 7].map(|ms| range.has(ms)), [false, true, true, false]);
    }
}
