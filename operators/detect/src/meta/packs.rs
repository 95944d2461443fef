//! Packs (`AnalysisType: pack`): named lists of detections and of what they share, as a checkout of Panther's has them.
//!
//! A path of `rules` that holds packs is a source of them. If packs are chosen, of its detections those run that a chosen
//! pack names, all of them: whoever enables a pack enables its members. Detections of other paths keep their `Enabled`.
//! Helpers and data models are there whatever is chosen.
use super::hash;
use super::keys::{BAD_ID, Keys, MAX_NAME};
use crate::condition::nearest;
use crate::python::AnalysisType;
use model::{Path, Problem};
use serde_json::{Map, Value as J};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const KNOWN: &[&str] = &["AnalysisType", "CreatedBy", "Description", "DisplayName", "PackDefinition", "PackID"];
/// Keys that hold the id of other things than detections.
const OTHER_IDS: &[&str] = &["RuleID", "LookupName", "QueryName", "PromptName"];
/// Most ids of a pack.
const MAX_IDS: usize = 5_000;

/// A pack.
#[derive(Clone, Debug, PartialEq)]
pub struct Pack {
    /// `PackID`.
    pub id: String,
    /// `DisplayName`.
    pub name: String,
    /// `Description`.
    pub description: String,
    /// Content file.
    pub file: String,
    /// Setting of the path it was found under, as `rules[0]`.
    pub setting: String,
    /// `PackDefinition.IDs`, with line and column of each.
    pub ids: Vec<(String, (u32, u32))>,
}

/// What a pack may name.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `AnalysisType`.
    pub kind: String,
    /// Content file.
    pub file: String,
    /// Setting of the path it was found under.
    pub setting: String,
    /// `Enabled`, where there is such a key.
    pub enabled: Option<bool>,
    /// Hash of what it does: its texts, and of a Python detection what it shares with others.
    pub version: String,
}

/// Everything that packs are about.
#[derive(Clone, Debug, Default)]
pub struct Packs {
    /// In the order of their files.
    pub packs: Vec<Pack>,
    /// By id.
    pub items: BTreeMap<Arc<str>, Item>,
    /// Files of packs, also those with mistakes.
    pub files: BTreeSet<String>,
}

/// Read a pack; `text` is its file.
pub fn read(map: &Map<String, J>, setting: &str, file: &str, text: &str, found: &mut Vec<Problem>) -> Option<Pack> {
    let before = found.len();
    let mut keys = Keys::new(map, AnalysisType::Rule, found);
    keys.only("pack", KNOWN);
    let id = keys.text("PackID", MAX_NAME).unwrap_or_default();
    if id.is_empty() || id.contains(BAD_ID) || id.contains('*') {
        keys.bad("PackID", "must be an id", Some("write `PackID: Vendor.Name`"));
    }
    let name = keys.text("DisplayName", MAX_NAME).filter(|n| !n.is_empty()).unwrap_or_else(|| id.clone());
    let description = keys.text("Description", super::keys::MAX_PROSE).unwrap_or_default();
    let mut ids: Vec<(String, (u32, u32))> = Vec::new();
    match map.get("PackDefinition").map(|d| d.get("IDs")) {
        Some(Some(J::Array(list))) if list.len() <= MAX_IDS => {
            let mut seen = BTreeSet::new();
            for (i, item) in list.iter().enumerate() {
                let at = format!("PackDefinition.IDs[{i}]");
                match item.as_str() {
                    Some(id) if !id.is_empty() && seen.insert(id) => {
                        let place = Path::parse(&at).map_or((1, 1), |p| super::yaml::locate(text, &p.0));
                        ids.push((id.into(), place));
                    }
                    // Named twice it is a member all the same.
                    Some(id) if !id.is_empty() => {}
                    _ => keys.bad(&at, "must be the id of a detection or of what detections share", None),
                }
            }
        }
        Some(Some(J::Array(_))) => keys.bad("PackDefinition", &format!("names more than {MAX_IDS} ids"), None),
        _ => keys.bad("PackDefinition", "must have a list `IDs`", Some("write `PackDefinition: {IDs: [Vendor.Rule]}`")),
    }
    (found.len() == before).then(|| Pack { id, name, description, file: file.into(), setting: setting.into(), ids })
}

/// What a pack may name, by its id.
pub fn item(map: &Map<String, J>, setting: &str, file: &str, text: &str) -> Option<(Arc<str>, Item)> {
    let kind = map.get("AnalysisType")?.as_str()?;
    let key = match kind {
        "rule" | "scheduled_rule" => "RuleID",
        "policy" => "PolicyID",
        "global" => "GlobalID",
        "datamodel" => "DataModelID",
        "pack" => return None,
        _ => OTHER_IDS.iter().find(|k| map.contains_key(**k))?,
    };
    let enabled = map.get("Enabled").and_then(J::as_bool);
    let item = Item { kind: kind.into(), file: file.into(), setting: setting.into(), enabled, version: hash(&[text]) };
    Some((map.get(key)?.as_str()?.into(), item))
}

/// Which detections run.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// Whether an id of a source of packs runs; an id that is not here keeps its `Enabled`.
    managed: BTreeMap<Arc<str>, bool>,
    /// Ids that do not run.
    except: BTreeSet<String>,
    /// Ids of the packs that are chosen.
    pub packs: BTreeSet<String>,
}

impl Chosen {
    /// True if a detection runs that says this of itself.
    pub fn runs(&self, id: &str, enabled: bool) -> bool {
        !self.except.contains(id) && self.managed.get(id).copied().unwrap_or(enabled)
    }
}

impl Packs {
    /// Add a pack; ids must differ.
    pub fn add(&mut self, pack: Pack, problems: &mut Vec<Problem>) {
        match self.packs.iter().find(|p| p.id == pack.id) {
            Some(first) => {
                let message = format!("`PackID` `{}` is the id of the pack in {} too", pack.id, first.file);
                problems.push(Problem::at(&pack.setting, message).in_file(&pack.file, 1, 1));
            }
            None => self.packs.push(pack),
        }
    }

    /// Choose by the settings `packs` and `except`: ids, where `*` stands for any text. Without `packs` nothing is managed.
    /// What they name in vain is an error, what a chosen pack names in vain a warning.
    pub fn choose(&self, packs: Option<&[String]>, except: &[String], problems: &mut Vec<Problem>) -> Chosen {
        let mut out = Chosen::default();
        for (i, wanted) in packs.unwrap_or_default().iter().enumerate() {
            let before = out.packs.len();
            out.packs.extend(self.packs.iter().map(|p| p.id.clone()).filter(|id| is_like(id, wanted)));
            if out.packs.len() == before && !self.packs.iter().any(|p| is_like(&p.id, wanted)) {
                problems.push(self.unknown(&format!("packs[{i}]"), "pack", wanted, false));
            }
        }
        for (i, wanted) in except.iter().enumerate() {
            let before = out.except.len();
            out.except.extend(self.items.keys().filter(|id| is_like(id, wanted)).map(|id| id.to_string()));
            let named = self.packs.iter().filter(|p| is_like(&p.id, wanted));
            let mut of_packs = named.flat_map(|p| &p.ids).peekable();
            let known = of_packs.peek().is_some() || self.items.keys().any(|id| is_like(id, wanted));
            out.except.extend(of_packs.map(|(id, _)| id.clone()));
            if out.except.len() == before && !known {
                problems.push(self.unknown(&format!("except[{i}]"), "pack or detection", wanted, true));
            }
        }
        if packs.is_none() {
            return out;
        }
        let chosen = || self.packs.iter().filter(|p| out.packs.contains(&p.id));
        let members: BTreeSet<&str> = chosen().flat_map(|p| &p.ids).map(|(id, _)| id.as_str()).collect();
        let sources: BTreeSet<&str> = self.packs.iter().map(|p| p.setting.as_str()).collect();
        for id in self.items.iter().filter(|(_, i)| sources.contains(i.setting.as_str())).map(|(id, _)| id) {
            out.managed.insert(id.clone(), members.contains(&**id));
        }
        for (pack, id, (line, col)) in self.missing().filter(|(p, ..)| out.packs.contains(&p.id)) {
            let message = format!("the pack {} names `{id}`, which is not there", pack.id);
            problems.push(Problem::at(&pack.setting, message).in_file(&pack.file, line, col).warn());
        }
        out
    }

    /// What packs name in vain.
    pub fn missing(&self) -> impl Iterator<Item = (&Pack, &str, (u32, u32))> {
        let vain = |p: &&(String, (u32, u32))| !self.items.contains_key(p.0.as_str());
        self.packs.iter().flat_map(move |p| p.ids.iter().filter(vain).map(move |(id, at)| (p, id.as_str(), *at)))
    }

    /// 16 hex digits over the members of a pack: their ids and versions.
    pub fn version(&self, pack: &Pack) -> String {
        let mut parts: Vec<&str> = Vec::new();
        let mut ids: Vec<&str> = pack.ids.iter().map(|(id, _)| id.as_str()).collect();
        ids.sort_unstable();
        for id in ids {
            parts.extend([id, self.items.get(id).map_or("", |i| i.version.as_str())]);
        }
        format!("{:016x}", model::key::key_hash(&parts))
    }

    fn unknown(&self, setting: &str, what: &str, wanted: &str, items: bool) -> Problem {
        let p = Problem::at(setting, format!("there is no {what} `{wanted}` in `rules`"));
        let packs = self.packs.iter().map(|p| p.id.as_str());
        let items = self.items.keys().map(|id| &**id).filter(|_| items);
        match nearest(wanted, packs.chain(items)) {
            Some(near) => p.hint(format!("did you mean `{near}`?")),
            None if self.packs.is_empty() => p.hint("none of the paths holds a pack (`AnalysisType: pack`)"),
            None => p.hint("`millstream rules packs PATH` lists them"),
        }
    }
}

/// True if an id is like a text in which `*` stands for any text.
pub fn is_like(id: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('*');
    let Some(mut rest) = id.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
