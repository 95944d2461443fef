//! `millstream rules packs`: the packs of collections of detections, or of a topology.
use crate::cli::{Output, RulesPacksArgs};
use crate::{exit, load};
use anyhow::{Result, bail};
use detect::meta::packs::{Pack, Packs};
use detect::meta::{self, Collection};
use detect::sigma::mapping::Mappings;
use local::DiskFiles;
use model::{Kind, Problem};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Kinds that are detections.
const DETECTIONS: &[&str] = &["rule", "policy", "scheduled_rule", "correlation_rule"];

/// Packs of some paths.
#[derive(Debug, Serialize)]
struct Listing {
    /// Detect node whose they are; none: of paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// Checkouts of git, with tag and commit.
    checkouts: BTreeMap<String, String>,
    packs: Vec<Row>,
}

/// A pack.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    name: String,
    description: String,
    file: String,
    /// Hash of everything that it names.
    hash: String,
    /// True if the node runs it; none: packs are not chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen: Option<bool>,
    /// Detections that run.
    enabled: usize,
    /// Detections that do not.
    disabled: usize,
    /// Helpers, data models, tables, queries.
    others: usize,
    /// What it names in vain.
    missing: Vec<String>,
    members: Vec<Member>,
}

/// What a pack names.
#[derive(Debug, Serialize)]
struct Member {
    id: String,
    kind: String,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    version: String,
}

/// Print them.
pub fn packs(args: &RulesPacksArgs) -> Result<i32> {
    let of_topology = |p: &PathBuf| p.extension().is_some_and(|e| e == "toml");
    let mut problems = Vec::new();
    let listings = match &args.paths[..] {
        [one] if of_topology(one) => of_nodes(one, &mut problems)?,
        paths if paths.iter().any(of_topology) => bail!("name one topology, or folders of detections"),
        paths => {
            let files = DiskFiles::new(std::env::current_dir()?);
            let paths: Vec<String> = paths.iter().map(|p| p.to_string_lossy().into_owned()).collect();
            let mut all = meta::collect(&files, &paths, &Mappings::shipped());
            // Detections with mistakes of their own are for `rules lint`.
            all.problems.retain(|p| p.file.as_ref().is_some_and(|f| all.packs.files.contains(&f.0)));
            problems.append(&mut all.problems);
            vec![list(None, Path::new("."), &paths, &all.packs, None, &[], &mut problems)]
        }
    };
    problems.retain(|p| !p.warning);
    problems.iter().for_each(|p| eprint!("{}", crate::replay::said(p)));
    if !problems.is_empty() {
        return Ok(exit::CONFIG);
    }
    let mut listings = listings;
    for l in &mut listings {
        l.packs.retain(|p| args.pack.is_empty() || args.pack.iter().any(|like| meta::packs::is_like(&p.id, like)));
    }
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&listings)?),
        _ => listings.iter().for_each(|l| print!("{}", l.text())),
    }
    let missing = listings.iter().flat_map(|l| &l.packs).any(|p| !p.missing.is_empty());
    Ok(if args.strict && missing { exit::FINDINGS } else { 0 })
}

/// Packs of each detect node of a topology.
fn of_nodes(path: &Path, problems: &mut Vec<Problem>) -> Result<Vec<Listing>> {
    let loaded = load::from_disk(path);
    let Some(t) = &loaded.topology else {
        loaded.diagnostics.iter().for_each(|d| eprint!("{}", d.render(false)));
        bail!("{} has errors", path.display());
    };
    let (dir, _) = load::place(path);
    let mut out = Vec::new();
    for n in t.nodes.iter().filter(|n| n.kind == Kind::Detect) {
        let (files, paths) = (DiskFiles::new(&dir), load::texts(n, "rules"));
        let all: Collection = meta::collect(&files, &paths, &Mappings::shipped());
        let chosen = n.settings["packs"].as_array().map(|_| load::texts(n, "packs"));
        let except = load::texts(n, "except");
        out.push(list(Some(n.id.to_string()), &dir, &paths, &all.packs, chosen.as_deref(), &except, problems));
    }
    Ok(out)
}

fn list(
    node: Option<String>,
    dir: &Path,
    paths: &[String],
    packs: &Packs,
    wanted: Option<&[String]>,
    except: &[String],
    problems: &mut Vec<Problem>,
) -> Listing {
    let chosen = packs.choose(wanted, except, problems);
    let row = |pack: &Pack| {
        let member = |(id, _): &(String, _)| {
            let item = packs.items.get(id.as_str())?;
            let is_detection = DETECTIONS.contains(&item.kind.as_str());
            let enabled = item.enabled.map(|e| if is_detection { chosen.runs(id, e) } else { e });
            let (kind, file, version) = (item.kind.clone(), item.file.clone(), item.version.clone());
            Some(Member { id: id.clone(), kind, file, enabled, version })
        };
        let members: Vec<Member> = pack.ids.iter().filter_map(member).collect();
        let detections = || members.iter().filter(|m| DETECTIONS.contains(&m.kind.as_str()));
        let enabled = detections().filter(|m| m.enabled == Some(true)).count();
        let vain = |(id, _): &&(String, _)| !packs.items.contains_key(id.as_str());
        Row {
            id: pack.id.clone(),
            name: pack.name.clone(),
            description: pack.description.clone(),
            file: pack.file.clone(),
            hash: packs.version(pack),
            chosen: wanted.map(|_| chosen.packs.contains(&pack.id)),
            enabled,
            disabled: detections().count() - enabled,
            others: members.len() - detections().count(),
            missing: pack.ids.iter().filter(vain).map(|(id, _)| id.clone()).collect(),
            members,
        }
    };
    let mut rows: Vec<Row> = packs.packs.iter().map(row).collect();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    let checkouts = paths.iter().filter_map(|p| Some((p.clone(), checkout(&dir.join(p))?))).collect();
    Listing { node, checkouts, packs: rows }
}

/// Tag and commit of a folder in a checkout of git, as `git describe` tells them; `None` where git has no say.
fn checkout(path: &Path) -> Option<String> {
    let dir = if path.is_dir() { path } else { path.parent()? };
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(["describe", "--tags", "--always", "--dirty"]).stdin(Stdio::null());
    let out = git.stderr(Stdio::null()).output().ok().filter(|o| o.status.success())?;
    let text = String::from_utf8(out.stdout).ok()?.trim().to_string();
    (!text.is_empty()).then_some(text)
}

impl Listing {
    fn text(&self) -> String {
        let mut out = String::new();
        self.node.iter().for_each(|n| out += &format!("detect.{n}:\n"));
        self.checkouts.iter().for_each(|(path, version)| out += &format!("{path} is at {version}\n"));
        if self.packs.is_empty() {
            return out + "no packs\n";
        }
        let width = self.packs.iter().map(|p| p.id.len()).max().unwrap_or(0).max(4);
        out += &format!("{:<width$}  hash              enabled  disabled  others  missing\n", "pack");
        for p in &self.packs {
            let mark = if p.chosen == Some(false) { "  off" } else { "" };
            let (on, off, others, missing) = (p.enabled, p.disabled, p.others, p.missing.len());
            out += &format!("{:<width$}  {}  {on:>7}  {off:>8}  {others:>6}  {missing:>7}{mark}\n", p.id, p.hash);
            p.missing.iter().for_each(|id| out += &format!("    {}: there is no `{id}`\n", p.file));
        }
        let n = |what: &dyn Fn(&Row) -> bool| self.packs.iter().filter(|p| what(p)).count();
        out += &format!("{} packs", self.packs.len());
        if self.packs.iter().any(|p| p.chosen.is_some()) {
            out += &format!(", {} of them enabled", n(&|p| p.chosen == Some(true)));
        }
        out += &format!("; {} name something that is not there\n", n(&|p| !p.missing.is_empty()));
        out
    }
}
