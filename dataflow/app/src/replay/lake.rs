//! The lake as the source of a replay: events that a Parquet sink of the topology wrote are given to the nodes behind the
//! parser, as the parser gave them then.
//!
//! Transforms that the sink reads through are done and are passed over; lookups are made anew, for a lake does not keep
//! what they found.
use super::Plan;
use crate::cli::ReplayArgs;
use crate::load;
use anyhow::{Result, anyhow, bail};
use lake::{Events, LakeFile, Stored, Wanted};
use local::DiskFiles;
use model::source::{Budget, Poll};
use model::{Ctx, Kind, Packet, Split};
use parse::{StoredParser, StoredTypes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use topology::Topology;

/// Where stored events come from and where they go.
pub struct Lake {
    /// Index of the sink that wrote them.
    pub sink: usize,
    /// Transforms that they have been through.
    pub done: BTreeSet<usize>,
    /// Parse nodes of the sink's events, with the nodes before them.
    parsers: Vec<(usize, StoredTypes, BTreeSet<usize>)>,
    events: Events,
    files: Vec<LakeFile>,
}

/// Nodes whose output reaches `to`.
fn before(t: &Topology, to: usize) -> BTreeSet<usize> {
    let (mut out, mut todo) = (BTreeSet::new(), vec![to]);
    while let Some(at) = todo.pop() {
        todo.extend(t.nodes[at].inputs.iter().map(|(from, _)| *from).filter(|from| out.insert(*from)));
    }
    out
}

impl Lake {
    /// Of the sink that `--lake` names.
    pub fn open(t: &Topology, args: &ReplayArgs, range: super::Range) -> Result<Option<Lake>> {
        let Some(id) = &args.lake else { return Ok(None) };
        let lakes = || t.nodes.iter().filter(|n| n.kind == Kind::Sink && n.spec.name == "parquet");
        let Some(sink) = t.nodes.iter().position(|n| *n.id == **id && lakes().any(|l| l.id == n.id)) else {
            let there = lakes().map(|n| &*n.id).collect::<Vec<_>>().join(", ");
            bail!("there is no Parquet sink `{id}`; there are {}", if there.is_empty() { "none" } else { &there });
        };
        let above = before(t, sink);
        let done: BTreeSet<usize> = above.iter().copied().filter(|i| t.nodes[*i].kind == Kind::Transform).collect();
        for (i, n) in t.nodes.iter().enumerate().filter(|(_, n)| n.kind == Kind::Detect) {
            let reads = before(t, i);
            if let Some(missed) = done.iter().find(|d| !reads.contains(d) && !reads.is_disjoint(&above)) {
                bail!(
                    "the lake of {id} holds events as {} left them, and {} reads them as they were before: replay the sources",
                    t.nodes[*missed].id,
                    n.id
                );
            }
        }
        let (dir, _) = load::place(&args.topology);
        let mut parsers = Vec::new();
        for i in above.iter().copied().filter(|i| t.nodes[*i].kind == Kind::Parse) {
            let n = &t.nodes[i];
            let types = StoredTypes::open(&n.id, &n.settings, &DiskFiles::new(&dir));
            parsers.push((i, types.map_err(|p| anyhow!("{}: {}", n.id, p[0].message))?, before(t, i)));
        }
        let ns = |ms: i64| ms.saturating_mul(1_000_000);
        let mut wanted = Wanted { from_ns: ns(range.from_ms), to_ns: ns(range.to_ms), log_types: BTreeMap::new() };
        for (log_type, fields) in parsers.iter().flat_map(|p| p.1.fields()) {
            if args.log_type.is_empty() || args.log_type.iter().any(|l| **l == **log_type) {
                wanted.log_types.insert(log_type.clone(), fields);
            }
        }
        if let Some(l) = args.log_type.iter().find(|l| !wanted.log_types.contains_key(&***l)) {
            bail!("no parser before {id} knows the log type `{l}`");
        }
        let path = match &args.input[..] {
            [] => t.nodes[sink].settings["path"].as_str().unwrap_or_default().to_string(),
            [one] => one.to_string_lossy().into_owned(),
            _ => bail!("--lake reads one lake: name one folder or bucket with --input"),
        };
        let open = Events::open(&path, &std::env::current_dir()?, &model::OpenObjects::new(load::objects), wanted);
        let events = open.map_err(|e| anyhow!("{id}: {e}"))?;
        let files = events.files().map_err(|e| anyhow!("{id}: {e}"))?;
        Ok(Some(Lake { sink, done, parsers, events, files }))
    }

    /// The row groups to read, one file after the other.
    pub fn source(self: &Arc<Lake>) -> LakeSource {
        LakeSource { lake: self.clone(), next: 0 }
    }
}

/// Hands out row groups.
pub struct LakeSource {
    lake: Arc<Lake>,
    next: usize,
}

impl LakeSource {
    /// As the sources of a topology do; a split is a row group, or a file of a bucket.
    pub fn poll(&mut self, budget: Budget) -> model::Result<Poll> {
        let mut out = Poll::default();
        while let Some(file) = self.lake.files.get(self.next).filter(|_| out.bytes < budget.bytes) {
            for (group, bytes) in self.lake.events.groups(file)? {
                out.splits.push(Split {
                    source: "".into(),
                    partition: self.next as u32,
                    name: file.name.as_str().into(),
                    from: 0,
                    to: bytes,
                    detail: serde_json::json!(group),
                    lane: Split::ANY_LANE,
                });
                out.bytes += bytes;
            }
            self.next += 1;
        }
        out.exhausted = self.next == self.lake.files.len();
        Ok(out)
    }

    /// Files that are not handed out yet.
    pub fn left(&self) -> u64 {
        (self.lake.files.len() - self.next) as u64
    }
}

/// What a parser of stored events is for: parse node, log type, revision, texts.
type Form = (usize, Arc<str>, u32, BTreeSet<Arc<str>>);

/// Reads row groups for one worker.
pub struct LakeReader<'p> {
    plan: &'p Plan<'p>,
    lake: Arc<Lake>,
    parsers: BTreeMap<Form, StoredParser>,
}

impl<'p> LakeReader<'p> {
    /// With no parser yet.
    pub fn new(plan: &'p Plan<'p>, lake: Arc<Lake>) -> LakeReader<'p> {
        LakeReader { plan, lake, parsers: BTreeMap::new() }
    }

    /// Give what a split holds to `each`, as what left a port of a parse node.
    pub fn read(
        &mut self,
        split: &Split,
        each: &mut dyn FnMut(super::spool::Outlet, Packet) -> Result<()>,
    ) -> Result<()> {
        let lake = self.lake.clone();
        let file = &lake.files[split.partition as usize];
        let mut failed = None;
        let group = split.detail.as_u64().map(|g| g as usize);
        let read = lake.events.read(file, group, &mut |stored| {
            self.give(stored, each).map_err(|e| {
                failed = Some(e);
                "stopped".into()
            })
        });
        match (failed, read) {
            (Some(e), _) => Err(e),
            (None, read) => read.map_err(|e| anyhow!("{}: {e}", self.plan.topology.nodes[lake.sink].id)),
        }
    }

    fn give(&mut self, stored: Stored, each: &mut dyn FnMut(super::spool::Outlet, Packet) -> Result<()>) -> Result<()> {
        let Stored { log_type, version, texts, times, raw } = stored;
        let nodes = &self.plan.topology.nodes;
        let knows = |p: &&(usize, StoredTypes, BTreeSet<usize>)| p.1.fields().any(|(t, _)| *t == log_type);
        let fed = |p: &&(usize, StoredTypes, BTreeSet<usize>)| p.2.iter().any(|n| nodes[*n].id == raw.origin.source);
        let parsers = || self.lake.parsers.iter().filter(knows);
        let Some((at, types, _)) = parsers().find(fed).or_else(|| parsers().next()) else { return Ok(()) };
        let form: Form = (*at, log_type, version, texts);
        if !self.parsers.contains_key(&form) {
            let Some(parser) = types.parser(&form.1, form.2, &form.3, &self.plan.cx(*at).needs) else { return Ok(()) };
            self.parsers.insert(form.clone(), parser);
        }
        let Some(parser) = self.parsers.get_mut(&form) else { return Ok(()) };
        let mut cx = Ctx::default();
        parser.parse(raw, times, &mut cx).map_err(|e| anyhow!("{}: {e}", nodes[*at].id))?;
        cx.out.into_iter().try_for_each(|(port, packet)| each((*at, port), packet))
    }
}
