//! From a topology file (or a kept bundle) to a graph the engine can run.
use crate::bundle::{Bundle, Recorder, Shelf, Shelved};
use crate::registry::parts;
use crate::secrets;
use anyhow::{Context, Result};
use engine::{Graph, GraphNode, Settings};
use local::DiskFiles;
use model::{Files, Kind, Needs, Objects, OpenObjects, Part};
use serde_json::Value as J;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use topology::{Diagnostic, PlanNode, Topology};

/// Id of the sink that unconnected error ports go to.
pub const DEAD_LETTER: &str = "dead-letter";
/// Id of the sink that the ledger goes to.
pub const LEDGER: &str = "ledger";

/// A loaded topology with its bundle.
pub struct Loaded {
    /// `None` if there are errors.
    pub topology: Option<Topology>,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// What was read.
    pub bundle: Bundle,
    /// Contents by hash.
    pub contents: BTreeMap<String, Arc<[u8]>>,
}

/// Split a path into the folder that content paths start from, and the file's name in it.
pub fn place(path: &Path) -> (PathBuf, String) {
    let path = if path.is_dir() { path.join("topology.toml") } else { path.to_path_buf() };
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (dir.to_path_buf(), path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()))
}

/// Load from disk, recording what is read.
pub fn from_disk(path: &Path) -> Loaded {
    let (dir, entry) = place(path);
    let disk = DiskFiles::new(&dir);
    let rec = Recorder::new(&entry, &disk);
    let env = |name: &str| rec.env(name, std::env::var(name).ok());
    let secrets = secrets::resolve;
    let loaded = topology::load(&entry, &rec, &env, &secrets, &parts());
    let (bundle, contents) = rec.finish();
    Loaded { topology: loaded.topology, diagnostics: loaded.diagnostics, bundle, contents }
}

/// Load a kept bundle.
pub fn from_shelf(shelf: &Shelf, hash: &str) -> Result<(Topology, Bundle)> {
    let files: Shelved = shelf.open(hash)?;
    let bundle = files.bundle.clone();
    let env = |name: &str| bundle.env.get(name).cloned().flatten();
    let loaded = topology::load(&bundle.entry, &files, &env, &secrets::resolve, &parts());
    let why = loaded.diagnostics.iter().find(|d| !d.warning).map_or_else(String::new, |d| d.render(false));
    let topology = loaded.topology.with_context(|| format!("kept topology {hash} no longer loads: {why}"))?;
    Ok((topology, bundle))
}

/// Data folder of a topology: `[engine] data_dir`, else `.millstream/<name>` in the current folder.
pub fn data_dir(t: &Topology) -> PathBuf {
    match &t.engine.data_dir {
        Some(d) => d.into(),
        None => Path::new(".millstream").join(&t.name),
    }
}

/// The engine's view of a topology: its nodes, the dead-letter sink behind unconnected error ports, and the ledger.
pub fn graph(t: &Topology) -> Result<Graph> {
    let mut nodes: Vec<GraphNode> = Vec::with_capacity(t.nodes.len());
    // The nodes that each node of the topology became: one, or its stages.
    let mut became: Vec<std::ops::Range<usize>> = Vec::with_capacity(t.nodes.len());
    let of = |became: &[std::ops::Range<usize>], n: usize, p: usize| became[n].clone().map(move |g| (g, p));
    for n in &t.nodes {
        let first = nodes.len();
        let stages = if n.node.stages().len() > 1 { n.node.stages() } else { vec![n.node.clone()] };
        for (i, node) in stages.into_iter().enumerate() {
            let mut inputs: Vec<_> = n.inputs.iter().flat_map(|(from, p)| of(&became, *from, *p)).collect();
            inputs.extend((first..first + i).map(|before| (before, 0)));
            nodes.push(GraphNode {
                id: if i == 0 { n.id.clone() } else { format!("{}.{}", n.id, i + 1).into() },
                spec: n.spec.clone(),
                node,
                inputs,
                needs: n.needs.clone(),
                store_events: n.store_events,
                index: n.index,
            });
        }
        if let Some(inner) = n.node.inner() {
            nodes[first].spec.outputs = inner.outputs;
            nodes.push(GraphNode {
                id: format!("{}.{}", n.id, inner.name).into(),
                spec: n.spec.clone(),
                node: inner.node,
                inputs: vec![(first, inner.outputs.len() - 1)],
                needs: n.needs.clone(),
                store_events: n.store_events,
                index: n.index,
            });
        }
        became.push(first..nodes.len());
    }
    let lost: Vec<(usize, usize)> = t
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(i, n)| n.dead_letter.iter().flat_map(|p| of(&became, i, *p)).collect::<Vec<_>>())
        .collect();
    let dir = data_dir(t);
    if !lost.is_empty() {
        nodes.push(own_sink(DEAD_LETTER, &dir.join("dead-letter.jsonl"), lost)?);
    }
    let ledger = own_sink(LEDGER, &dir.join("ledger.jsonl"), Vec::new())?;
    Ok(Graph { nodes, ledger, event_time: t.event_time })
}

fn own_sink(id: &str, path: &Path, inputs: Vec<(usize, usize)>) -> Result<GraphNode> {
    let part: &'static dyn Part = parts()
        .into_iter()
        .find(|p| p.spec().kind == Kind::Sink && p.spec().name == "jsonl")
        .context("the registry has no jsonl sink")?;
    let settings = serde_json::json!({ "path": path });
    let opened = part.open(id, &settings, &model::files::MemFiles::default() as &dyn Files);
    let node = opened.node.with_context(|| format!("{id}: {:?}", opened.problems))?;
    Ok(GraphNode {
        id: id.into(),
        spec: part.spec(),
        node,
        inputs,
        needs: Needs::default(),
        store_events: false,
        index: 0,
    })
}

/// Engine settings from the topology and the command line.
pub fn settings(t: &Topology, workers: usize, once: bool, run: &str) -> Settings {
    let e = &t.engine;
    Settings {
        name: t.name.as_str().into(),
        run: run.into(),
        workers,
        epoch_ms: e.epoch.0,
        epoch_bytes: e.epoch_bytes.0,
        in_flight: e.in_flight as u64,
        checkpoint_ms: e.checkpoint.0,
        whole_below: Settings::WHOLE_BELOW,
        groups: e.key_groups,
        lanes: e.lanes,
        keep: e.keep_snapshots as usize,
        once,
        drain_ms: e.drain.0,
        inline: false,
        objects: OpenObjects::new(objects),
        data_dir: data_dir(t),
        work_dir: std::env::current_dir().unwrap_or_default(),
    }
}

/// Object storage by its URL: `s3://bucket/prefix`, or the path of a folder.
pub fn objects(url: &str) -> model::Result<Arc<dyn Objects>> {
    match url.split_once("://") {
        Some(("s3", _)) => aws::objects(url),
        Some((scheme, _)) => Err(format!("there is no object storage `{scheme}://`; use s3:// or a folder").into()),
        None => Ok(Arc::new(local::Folder::new(url))),
    }
}

/// Build every node once and drop it: what cannot be built must not take over from what runs.
pub fn trial(graph: &Graph, settings: &Settings) -> Result<()> {
    for n in &graph.nodes {
        n.node.build(&graph.cx(n, 0, 0, settings)).map_err(|e| anyhow::anyhow!("{}: {e}", n.id))?;
    }
    Ok(())
}

/// Short form of a hash for people.
pub fn short(h: &str) -> &str {
    &h[..h.len().min(8)]
}

/// Leave a note of the topology that runs now, for `plan`.
pub fn note_running(dir: &Path, hash: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let temp = dir.join(".running.tmp");
    std::fs::write(&temp, hash)?;
    std::fs::rename(temp, dir.join("running"))
}

/// The topology that runs or ran last on a data folder.
pub fn last_run(dir: &Path) -> Result<Option<Topology>> {
    match std::fs::read_to_string(dir.join("running")) {
        Ok(hash) => Ok(Some(from_shelf(&Shelf::new(dir), hash.trim())?.0)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("read {}", dir.join("running").display())),
    }
}

/// Texts of a setting that is a list.
pub fn texts(node: &PlanNode, setting: &str) -> Vec<String> {
    let items = node.settings.get(setting).and_then(J::as_array).into_iter().flatten();
    items.filter_map(J::as_str).map(String::from).collect()
}
