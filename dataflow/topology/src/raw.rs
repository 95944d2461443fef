//! The topology as written: the entry file, its includes, and the nodes found in them. Nothing is judged here but the
//! shape: sections hold nodes, nodes are tables, a name is given once.
use crate::diagnostic::{Findings, suggest};
use crate::item::{self, Entry, Item, Val};
use crate::text::Place;
use model::{Files, Kind};
use std::collections::BTreeMap;

/// Largest topology file.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Most files that includes may name.
pub const INCLUDED_FILES_MAX: usize = 1024;
/// Most nodes.
pub const NODES_MAX: usize = 1024;
/// Longest node id.
pub const ID_LEN_MAX: usize = 64;
/// Names of the sinks that every run has: unread error outputs go to one, the counts of epochs to the other.
pub const RESERVED_IDS: [&str; 2] = ["dead-letter", "ledger"];
/// Keys of the entry file that are not sections.
pub(crate) const TOP_KEYS: [&str; 7] = ["schema", "name", "time", "engine", "cluster", "log", "include"];

/// A node as written.
pub(crate) struct RawNode {
    pub id: String,
    pub kind: Kind,
    /// Its table; the place of that is the header.
    pub item: Item,
}

/// Everything as written.
#[derive(Default)]
pub(crate) struct Raw {
    /// [`TOP_KEYS`] of the entry file.
    pub top: Vec<Entry>,
    /// Nodes in order of the files.
    pub nodes: Vec<RawNode>,
    /// Something could not be read, so that nodes may be missing: the graph cannot be judged.
    pub incomplete: bool,
}

impl Raw {
    /// `[log]` as the node that it is.
    pub fn log(&self) -> Option<RawNode> {
        let e = self.top("log")?;
        Some(RawNode { id: "log".into(), kind: Kind::Log, item: e.item.clone() })
    }
    /// Key of the entry file.
    pub fn top(&self, key: &str) -> Option<&Entry> {
        self.top.iter().find(|e| e.key == key)
    }
}

/// Read the entry file and what it includes.
pub(crate) fn read(entry: &str, files: &dyn Files, findings: &mut Findings) -> Raw {
    let mut reading = Reading { raw: Raw::default(), ids: BTreeMap::new(), findings };
    let place = Place { file: usize::MAX, span: 0..0 };
    for e in reading.file(entry, files, &place) {
        match TOP_KEYS.contains(&e.key.as_str()) {
            true => reading.raw.top.push(e),
            false => reading.section(e, false),
        }
    }
    if let Some(include) = reading.raw.top("include").cloned() {
        reading.includes(entry, &include, files);
    }
    reading.raw
}

struct Reading<'a> {
    raw: Raw,
    /// Where an id was first used.
    ids: BTreeMap<String, Place>,
    findings: &'a mut Findings,
}

impl Reading<'_> {
    /// Entries of a file; `by` is where it is named.
    fn file(&mut self, name: &str, files: &dyn Files, by: &Place) -> Vec<Entry> {
        let bytes = match files.read(name) {
            Ok(b) if b.len() <= FILE_BYTES_MAX => b,
            Ok(b) => {
                let m = format!("{name} has {} bytes; at most {FILE_BYTES_MAX} are read", b.len());
                self.unreadable(name, by, m);
                return Vec::new();
            }
            Err(e) => {
                self.unreadable(name, by, format!("cannot read {name}: {e}"));
                return Vec::new();
            }
        };
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let bad = std::str::from_utf8(bytes).err().map(|e| e.valid_up_to());
        let file = self.findings.texts.add(name, String::from_utf8_lossy(bytes).into_owned());
        if let Some(at) = bad {
            self.raw.incomplete = true;
            self.findings.error(&Place { file, span: at..at + 1 }, "the file is not UTF-8").hint("save it as UTF-8");
            return Vec::new();
        }
        let (entries, ok) = item::parse(file, self.findings);
        self.raw.incomplete |= !ok;
        entries
    }
    fn unreadable(&mut self, name: &str, by: &Place, message: String) {
        self.raw.incomplete = true;
        match by.file {
            usize::MAX => drop(self.findings.error_in(name, message)),
            _ => drop(self.findings.error(by, message)),
        }
    }
    fn includes(&mut self, entry: &str, include: &Entry, files: &dyn Files) {
        let Val::Array(patterns) = &include.item.value else {
            let m = format!("`include` is a list of files, got {}", include.item.type_name());
            self.findings.error(&include.item.place, m).hint("write include = [\"nodes/*.toml\"]");
            self.raw.incomplete = true;
            return;
        };
        let mut seen = vec![entry.to_string()];
        for p in patterns {
            let Val::Str(pattern) = &p.value else {
                self.findings.error(&p.place, format!("`include` takes strings, got {}", p.type_name()));
                continue;
            };
            let listed = files.list(pattern);
            let why = match &listed {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => format!(": {e}"),
                _ => String::new(),
            };
            let names: Vec<String> =
                listed.unwrap_or_default().into_iter().filter(|n| n.ends_with(".toml") || n == pattern).collect();
            if names.is_empty() {
                self.raw.incomplete = true;
                let hint = "files are looked for from the topology's folder and end in .toml";
                self.findings.error(&p.place, format!("no file matches `{pattern}`{why}")).hint(hint);
            }
            for name in names {
                if seen.len() > INCLUDED_FILES_MAX {
                    let m = format!("more than {INCLUDED_FILES_MAX} files are included");
                    self.raw.incomplete = true;
                    self.findings.error(&p.place, m);
                    return;
                }
                if seen.contains(&name) {
                    continue;
                }
                for e in self.file(&name, files, &p.place) {
                    self.section(e, true);
                }
                seen.push(name);
            }
        }
    }
    /// Take in the nodes of `[sources]`, `[parse]`, ….
    fn section(&mut self, e: Entry, included: bool) {
        let Some(kind) = Kind::ALL.into_iter().find(|k| k.section() == e.key) else {
            return self.unknown_key(&e, included);
        };
        let Val::Table(nodes) = e.item.value else {
            let m = format!("`{}` is a section of named nodes, got {}", e.key, e.item.type_name());
            self.raw.incomplete = true;
            self.findings.error(&e.item.place, m).hint(format!("write [{}.<name>]", e.key));
            return;
        };
        for n in nodes {
            self.node(kind, n);
        }
    }
    fn unknown_key(&mut self, e: &Entry, included: bool) {
        let sections = Kind::ALL.map(Kind::section);
        if included && TOP_KEYS.contains(&e.key.as_str()) {
            let m = format!("an included file holds nodes only; `{}` belongs into the topology itself", e.key);
            self.findings.error(&e.key_place, m);
            return;
        }
        let own: &[&str] = if included { &[] } else { &TOP_KEYS };
        let hint = suggest(&e.key, own.iter().chain(&sections).copied(), "a topology has");
        self.raw.incomplete |= e.item.table().is_some();
        self.findings.error(&e.key_place, format!("unknown key `{}`", e.key)).maybe_hint(hint);
    }
    fn node(&mut self, kind: Kind, n: Entry) {
        let section = kind.section();
        if n.item.table().is_none() {
            let m = format!("`{section}.{}` is a node and must be a table, got {}", n.key, n.item.type_name());
            self.raw.incomplete = true;
            self.findings.error(&n.item.place, m).hint(format!("write [{section}.{}]", n.key)).node(&n.key);
            return;
        }
        if let Some(first) = self.ids.get(&n.key) {
            let at = self.findings.texts.at(first);
            let m = format!("the name `{}` is taken: it is given first at {at}", n.key);
            self.findings.error(&n.key_place, m).hint("names are shared by all sections and files").node(&n.key);
            return;
        }
        if self.raw.nodes.len() >= NODES_MAX {
            self.raw.incomplete = true;
            self.findings.error(&n.key_place, format!("more than {NODES_MAX} nodes"));
            return;
        }
        if RESERVED_IDS.contains(&n.key.as_str()) {
            let m = format!("`{}` is the name of a sink that every run has", n.key);
            self.findings.error(&n.key_place, m).hint("choose another name").node(&n.key);
        }
        if !valid_id(&n.key) {
            let hint = format!("use a-z, 0-9, `_` and `-`, a letter first, at most {ID_LEN_MAX} characters");
            self.findings.error(&n.key_place, format!("`{}` cannot be a name of a node", n.key)).hint(hint);
        }
        self.ids.insert(n.key.clone(), n.key_place.clone());
        self.raw.nodes.push(RawNode { id: n.key, kind, item: n.item });
    }
}

/// `[a-z][a-z0-9_-]*`, at most [`ID_LEN_MAX`] long.
pub(crate) fn valid_id(id: &str) -> bool {
    id.len() <= ID_LEN_MAX
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
}
