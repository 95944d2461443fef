//! Rule files: read, checked key by key, made into [`Rule`]s.
//!
//! Every file is checked whole and every finding is reported with file, line and column: one round of editing is
//! enough. A rule with findings is left out; the caller refuses to run while there are errors.
//!
//! A rule file is YAML with `AnalysisType: rule` and a body: match expressions under `Detection`, or a Lua or Python file
//! named by `Filename`, relative to the file's folder. A Python body may also be a `policy` or a `scheduled_rule`, and
//! it shares what `global` and `datamodel` files of all named folders hold; `pack` files name detections that are chosen
//! together ([`packs`]), and a rule with `BaseDetection` is another one with other facts ([`derived`]). Other analysis types, and YAML files that
//! have none and were not named on their own, are skipped with a warning.
//! A file with `detection:` in small letters holds Sigma rules ([`crate::sigma`]).
mod derived;
pub(crate) mod keys;
pub mod packs;
mod shared;
pub mod yaml;

use crate::lua;
use crate::python::repository::{DataModel, Helper, Repository};
use crate::python::{AnalysisType, Script, survey};
use crate::rule::{Body, Rule};
use crate::sigma::document::Document;
use crate::sigma::mapping::Mappings;
use crate::sigma::{self, Entry};
use crate::testing::Case;
use derived::{Base, Derived};
use keys::{Keys, Language, id_key};
use model::path::Seg;
use model::{Files, Path, Problem, RuleMeta};
use packs::{Item, Pack, Packs};
use serde_json::{Map, Value as J};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most rule files of one node.
pub const MAX_FILES: usize = 20_000;
/// Largest rule file, in bytes (tests included).
pub const MAX_FILE: usize = 4 << 20;
/// Longest body, in characters.
pub const MAX_BODY: usize = 100_000;
/// Fewest files that are worth a thread of their own.
const SHARE_MIN: usize = 64;

const OTHER_TYPES: &[&str] =
    &["correlation_rule", "lookup_table", "saved_query", "scheduled_prompt", "scheduled_query"];
/// What a file is told that has no analysis type.
const NO_TYPE: &str = "";

/// Load every rule of these files and folders. Rules come in the order of the paths, then by file, those of Sigma last; a
/// file named twice is loaded once. Findings carry the setting `rules[i]` of the path they come from. Files are read by
/// as many threads as the machine runs at a time.
pub fn load(files: &dyn Files, paths: &[String]) -> (Vec<Rule>, Vec<Problem>) {
    load_with(files, paths, &Mappings::shipped())
}

/// As [`load`], with these mappings for Sigma rules.
pub fn load_with(files: &dyn Files, paths: &[String], mappings: &Mappings) -> (Vec<Rule>, Vec<Problem>) {
    let all = collect(files, paths, mappings);
    (all.rules, all.problems)
}

/// What some files and folders hold.
#[derive(Default)]
pub struct Collection {
    /// As of [`load`].
    pub rules: Vec<Rule>,
    /// Packs and what they may name.
    pub packs: Packs,
    /// Findings.
    pub problems: Vec<Problem>,
}

/// As [`load_with`], with packs.
pub fn collect(files: &dyn Files, paths: &[String], mappings: &Mappings) -> Collection {
    let mut out = Loader {
        files,
        mappings,
        rules: Vec::new(),
        problems: Vec::new(),
        seen: BTreeSet::new(),
        ids: BTreeMap::new(),
        sigma: Vec::new(),
        repository: Repository::default(),
        skipped: BTreeMap::new(),
        packs: Packs::default(),
        derived: Vec::new(),
    };
    for (i, path) in paths.iter().enumerate() {
        out.path(&format!("rules[{i}]"), path);
    }
    out.tell_skipped();
    out.derive();
    out.python();
    out.sigma();
    for rule in &out.rules {
        // By now the version of a Python rule says what it shares.
        if let Some(item) = out.packs.items.get_mut(&rule.meta.id) {
            item.version.clone_from(&rule.meta.version);
        }
    }
    Collection { rules: out.rules, packs: out.packs, problems: out.problems }
}

struct Loader<'a> {
    files: &'a dyn Files,
    mappings: &'a Mappings,
    rules: Vec<Rule>,
    problems: Vec<Problem>,
    seen: BTreeSet<String>,
    /// File in which an id was first seen.
    ids: BTreeMap<Arc<str>, String>,
    /// Sigma documents of all files.
    sigma: Vec<Document>,
    /// Helpers and data models of all files.
    repository: Repository,
    /// Files of other types: setting, type, first file, how many.
    skipped: BTreeMap<(String, &'static str), (String, usize)>,
    packs: Packs,
    /// Rules that wait for their base.
    derived: Vec<(String, Derived)>,
}

/// What a file holds.
#[derive(Default)]
struct Loaded {
    /// `RuleID`, if the file is a rule.
    id: Option<Arc<str>>,
    /// The rule, if nothing is wrong with it.
    rule: Option<Rule>,
    /// Its documents, if it is of Sigma.
    sigma: Vec<Document>,
    helper: Option<Helper>,
    model: Option<DataModel>,
    /// Its analysis type, if it is one that is not run here.
    other: Option<&'static str>,
    pack: Option<Pack>,
    /// It is to be a pack.
    is_pack: bool,
    derived: Option<Derived>,
    /// What a pack may name, and its id.
    item: Option<(Arc<str>, Item)>,
    problems: Vec<Problem>,
}

impl Loader<'_> {
    fn path(&mut self, setting: &str, path: &str) {
        let list = match self.files.list(path) {
            Ok(list) => list,
            Err(e) => {
                let p = Problem::at(setting, format!("cannot read `{path}`: {e}"));
                return self.problems.push(p.hint("name a rule file, a folder of rule files, or a pattern"));
            }
        };
        let yaml: Vec<&String> = list.iter().filter(|f| f.ends_with(".yml") || f.ends_with(".yaml")).collect();
        if yaml.is_empty() {
            let p = Problem::at(setting, format!("`{path}` holds no rule file"));
            self.problems.push(p.hint("rule files end in .yml or .yaml"));
        }
        let new: Vec<&str> = yaml.into_iter().filter(|f| self.seen.insert(f.to_string())).map(String::as_str).collect();
        let room = MAX_FILES.saturating_sub(self.seen.len() - new.len());
        let read = |name: &str| file(self.files, setting, name, self.mappings);
        for (file, mut loaded) in new.iter().zip(each(&new[..new.len().min(room)], read)) {
            if let Some(other) = loaded.other {
                let count = &mut self.skipped.entry((setting.into(), other)).or_insert((file.to_string(), 0)).1;
                *count += 1;
                // Among other files in a folder it may be anything; named on its own, it was meant to be a rule.
                if other == NO_TYPE && *file == path {
                    loaded.problems.push(no_type().in_file(file, 1, 1));
                }
            }
            self.add(setting, file, loaded);
        }
        if new.len() > room {
            let p = Problem::at(setting, format!("more than {MAX_FILES} rule files"));
            self.problems.push(p.hint("split the rules over several detect nodes"));
        }
    }

    fn add(&mut self, setting: &str, file: &str, mut loaded: Loaded) {
        if let Some(id) = loaded.id.take().filter(|id| !id.is_empty()) {
            match self.ids.get(&id) {
                Some(first) => {
                    let key = if is_policy(&loaded) { "PolicyID" } else { "RuleID" };
                    let p = Problem::at(key, format!("`{key}` `{id}` is the id of the rule in {first} too"));
                    let p = p.hint("ids must differ: state and alerts are kept by id");
                    let text = read(self.files, file, MAX_FILE).unwrap_or_default();
                    loaded.problems.push(place(p, setting, file, &text));
                    loaded.rule = None;
                }
                None => drop(self.ids.insert(id, file.into())),
            }
        }
        self.problems.append(&mut loaded.problems);
        self.rules.extend(loaded.rule);
        self.sigma.append(&mut loaded.sigma);
        if let Some(helper) = loaded.helper {
            match self.repository.helpers.iter().find(|h| h.id == helper.id) {
                Some(first) => {
                    let message = format!("`GlobalID` `{}` is the id of {} too", helper.id, first.module.file);
                    self.problems.push(Problem::at(setting, message).in_file(file, 1, 1));
                }
                None => self.repository.helpers.push(helper),
            }
        }
        self.repository.models.extend(loaded.model);
        if loaded.is_pack {
            self.packs.files.insert(file.into());
        }
        if let Some(pack) = loaded.pack {
            self.packs.add(pack, &mut self.problems);
        }
        self.derived.extend(loaded.derived.map(|d| (setting.to_string(), d)));
        if let Some((id, item)) = loaded.item {
            self.packs.items.entry(id).or_insert(item);
        }
    }

    /// Rules that have a base, once all of them are there. A base may have one itself.
    fn derive(&mut self) {
        let mut left = std::mem::take(&mut self.derived);
        let mut bases: BTreeMap<Arc<str>, Base> = BTreeMap::new();
        loop {
            let before = left.len();
            for (setting, d) in std::mem::take(&mut left) {
                let base = self.rules.iter().find(|r| *r.meta.id == *d.base);
                let read = |r: &Rule| Some((r.meta.id.clone(), Base::read(r, self.files)?));
                if !bases.contains_key(&*d.base) {
                    bases.extend(base.and_then(read));
                }
                let (Some(base), Some(of)) = (base, bases.get(&*d.base)) else {
                    left.push((setting, d));
                    continue;
                };
                let mut found = Vec::new();
                let made = d.rule(base, of, self.files, &mut found);
                let broken = found.iter().any(|p| !p.warning);
                self.problems.extend(found.into_iter().map(|p| place(p, &setting, &d.file, &d.text)));
                if let Some((rule, of)) = made.filter(|_| !broken) {
                    bases.insert(rule.meta.id.clone(), of);
                    self.rules.push(rule);
                }
            }
            if left.len() == before {
                break;
            }
        }
        for (setting, d) in left {
            let p = Problem::at(
                "BaseDetection",
                format!("there is no detection `{}` that this one can be derived from", d.base),
            );
            let p = match crate::condition::nearest(&d.base, self.rules.iter().map(|r| &*r.meta.id)) {
                Some(near) => p.hint(format!("did you mean `{near}`?")),
                None => p.hint("name its file or folder in `rules` too; a base with mistakes is none"),
            };
            self.problems.push(place(p, &setting, &d.file, &d.text));
        }
    }

    /// One warning for all files of a type that is not run here.
    fn tell_skipped(&mut self) {
        for ((setting, other), (first, count)) in &self.skipped {
            let files = match count {
                1 => "a file".to_string(),
                n => format!("{n} files, of which this is the first,"),
            };
            let message = match *other {
                NO_TYPE => format!("skipped: {files} without `AnalysisType`"),
                other => format!("skipped: {files} of type `{other}`, which is not run here"),
            };
            let p = Problem::at(setting, message).in_file(first, 1, 1).warn();
            self.problems.push(match *other {
                "correlation_rule" => p.hint("a [correlate.*] node that names them in `rules` runs them"),
                _ => p,
            });
        }
    }

    /// Give Python bodies what they share, and say what of them compiles.
    fn python(&mut self) {
        for (log_type, ids) in self.repository.doubled() {
            let message = format!("{log_type} has more than one data model: {}", ids.join(", "));
            self.problems.push(Problem::at("rules", message).hint("disable all but one with `Enabled: false`"));
        }
        let repository = Arc::new(std::mem::take(&mut self.repository));
        let digest = repository.digest();
        let mut scripts = Vec::new();
        for rule in &mut self.rules {
            if let Body::Python(script) = &mut rule.body
                && let Some(script) = Arc::get_mut(script)
            {
                script.repository = repository.clone();
                if let Some(meta) = Arc::get_mut(&mut rule.meta) {
                    meta.version = hash(&[&meta.version, &digest]);
                }
                scripts.push((script, &rule.log_types[..]));
            }
        }
        survey::examine(&repository, &mut scripts);
    }

    /// Rules of the Sigma documents, once all of them are there.
    fn sigma(&mut self) {
        let mut entries = sigma::finish(std::mem::take(&mut self.sigma), self.mappings);
        self.problems.append(&mut sigma::problems(&entries));
        for Entry { setting, file, line, rule, .. } in &mut entries {
            let Some(rule) = rule.take() else { continue };
            match self.ids.get(&rule.meta.id) {
                Some(first) => {
                    let p =
                        Problem::at(setting, format!("`id` `{}` is the id of the rule in {first} too", rule.meta.id));
                    let p = p.hint("ids must differ: state and alerts are kept by id");
                    self.problems.push(p.in_file(file, *line, 1));
                }
                None => self.rules.push(rule),
            }
        }
    }
}

/// What each file holds, in their order.
pub(crate) fn each<T: Send>(names: &[&str], read: impl Fn(&str) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = names.len().div_ceil(threads).max(SHARE_MIN);
    std::thread::scope(|s| {
        let load = |names: &[&str]| names.iter().map(|name| read(name)).collect::<Vec<_>>();
        let all: Vec<_> = names.chunks(share).map(|names| s.spawn(move || load(names))).collect();
        all.into_iter().flat_map(|t| t.join().expect("a panic ends the process")).collect()
    })
}

fn file(files: &dyn Files, setting: &str, name: &str, mappings: &Mappings) -> Loaded {
    let text = match read(files, name, MAX_FILE) {
        Ok(text) => text,
        Err(e) => {
            let problems = vec![Problem::at(setting, e).in_file(name, 1, 1)];
            return Loaded { problems, ..Loaded::default() };
        }
    };
    if let Some(sigma) = sigma::document::read(setting, name, &text, mappings) {
        return Loaded { sigma, ..Loaded::default() };
    }
    let mut found = Vec::new();
    let mut loaded = content(files, setting, name, &text, &mut found);
    if found.iter().any(|p| !p.warning) {
        (loaded.rule, loaded.helper, loaded.model, loaded.derived) = (None, None, None, None);
    }
    loaded.problems = found.into_iter().map(|p| place(p, setting, name, &text)).collect();
    loaded
}

/// What a file holds, as far as it could be read.
fn content(files: &dyn Files, setting: &str, file: &str, text: &str, found: &mut Vec<Problem>) -> Loaded {
    let mut out = Loaded::default();
    let map = match yaml::parse(text) {
        Ok(J::Object(map)) => map,
        Ok(_) => {
            found.push(Problem::at("", "a rule file is a mapping of keys to values"));
            return out;
        }
        Err(((line, col), e)) => {
            found.push(Problem::at("", format!("this is not YAML: {e}")).in_file(file, line, col));
            return out;
        }
    };
    out.item = packs::item(&map, setting, file, text);
    let entry = match map.get("AnalysisType") {
        Some(J::String(t)) => match t.as_str() {
            "rule" => Some(AnalysisType::Rule),
            "policy" => Some(AnalysisType::Policy),
            "scheduled_rule" => Some(AnalysisType::ScheduledRule),
            "global" => {
                out.helper = shared::helper(files, file, &map, found);
                if let (Some((_, item)), Some(h)) = (&mut out.item, &out.helper) {
                    item.version = hash(&[text, &h.module.text]);
                }
                return out;
            }
            "datamodel" => {
                out.model = shared::data_model(files, file, &map, found);
                let module = out.model.as_ref().and_then(|m| m.module.as_ref());
                if let (Some((_, item)), Some(module)) = (&mut out.item, module) {
                    item.version = hash(&[text, &module.text]);
                }
                return out;
            }
            "pack" => {
                out.is_pack = true;
                out.pack = packs::read(&map, setting, file, text, found);
                return out;
            }
            other => {
                out.other = OTHER_TYPES.iter().find(|t| **t == other).copied();
                if out.other.is_some() {
                    return out;
                }
                None
            }
        },
        Some(_) => None,
        // A rule that lost this line still has one of these.
        None if ["RuleID", "PolicyID", "Detection"].iter().any(|k| map.contains_key(*k)) => {
            found.push(no_type());
            return out;
        }
        None => {
            out.other = Some(NO_TYPE);
            return out;
        }
    };
    match entry {
        Some(entry) if map.contains_key("BaseDetection") => {
            out.derived = Derived::read(file, text, map, entry, found);
            out.id = out.derived.as_ref().map(|d| d.id.clone());
        }
        Some(entry) => (out.id, out.rule) = rule(files, file, text, &map, entry, found),
        None => {
            let t = &map["AnalysisType"];
            let p = Problem::at("AnalysisType", format!("`AnalysisType` cannot be {t}"));
            found.push(p.hint("write `AnalysisType: rule`"));
        }
    }
    out
}

/// The id of a file's rule, and the rule as far as it could be read.
fn rule(
    files: &dyn Files,
    file: &str,
    text: &str,
    map: &Map<String, J>,
    entry: AnalysisType,
    found: &mut Vec<Problem>,
) -> (Option<Arc<str>>, Option<Rule>) {
    let mut keys = Keys::new(map, entry, found);
    keys.check_names();
    let mut meta = keys.meta();
    let enabled = keys.enabled();
    let (log_types, subjects) = (keys.log_types(), keys.subjects());
    let filters = keys.filters();
    let detection = keys.detection();
    let filename = keys.filename();
    let script = filename.as_ref().map(|(_, language)| *language);
    let (alert_title, alert_context) = (keys.alert_title(script), keys.alert_context(script));
    let (group_by, dynamic_severities) = (keys.group_by(script), keys.dynamic_severities(script));
    let tests = map.get("Tests").cloned().unwrap_or(J::Null);
    Case::read_all(&tests, script.is_some(), entry, found);
    let body = match (detection, filename) {
        (Some(_), None) if entry != AnalysisType::Rule => {
            let p = Problem::at("Detection", format!("a {} is written in Python", entry.name()));
            found.push(p.hint("write `Filename:` with a .py file"));
            None
        }
        (Some(exprs), None) => Some(Body::Yaml(exprs)),
        (None, Some((name, Language::Lua))) => chunk(files, file, &name, found),
        (None, Some((name, Language::Python))) => {
            let script = |module| Script::new(meta.id.clone(), module, entry, subjects);
            shared::body(files, file, &name, found).map(|module| Body::Python(Arc::new(script(module))))
        }
        _ => None,
    };
    let id = Some(meta.id.clone());
    let Some(body) = body else { return (id, None) };
    meta.version = version(text, &body);
    let rule = Rule {
        meta: Arc::new(meta),
        file: file.into(),
        enabled,
        log_types,
        filters,
        body,
        alert_title,
        alert_context,
        group_by,
        dynamic_severities,
        tests,
    };
    (id, Some(rule))
}

fn is_policy(loaded: &Loaded) -> bool {
    let script = loaded.rule.as_ref().map(|r| &r.body);
    matches!(script, Some(Body::Python(script)) if id_key(script.entry) == "PolicyID")
}

/// Facts of a rule file of another kind that has the same keys (correlation rules), and whether it is `Enabled`.
pub fn facts(map: &Map<String, J>, text: &str, found: &mut Vec<Problem>) -> (RuleMeta, bool) {
    let mut keys = Keys::new(map, AnalysisType::Rule, found);
    let (mut meta, enabled) = (keys.meta(), keys.enabled());
    meta.version = version(text, &Body::Yaml(Vec::new()));
    (meta, enabled)
}

/// The Lua chunk beside a rule file.
fn chunk(files: &dyn Files, file: &str, name: &str, found: &mut Vec<Problem>) -> Option<Body> {
    let path = beside(file, name);
    let source = match read(files, &path, MAX_BODY * 4) {
        Ok(s) if s.chars().count() > MAX_BODY => Err(format!("`{path}` is longer than {MAX_BODY} characters")),
        other => other,
    };
    let source = source.map_err(|e| found.push(Problem::at("Filename", e))).ok()?;
    match lua::check(&source, &path) {
        Ok(()) => Some(Body::Lua { source: source.into(), chunk: path }),
        Err((line, message)) => {
            found.push(Problem::at("Filename", message).in_file(&path, line.max(1), 1));
            None
        }
    }
}

fn no_type() -> Problem {
    Problem::at("AnalysisType", "`AnalysisType` is missing").hint("write `AnalysisType: rule`")
}

/// The text of a content file; the error says which file and why.
pub fn read(files: &dyn Files, path: &str, max: usize) -> Result<String, String> {
    let bytes = files.read(path).map_err(|e| format!("cannot read `{path}`: {e}"))?;
    if bytes.len() > max {
        return Err(format!("`{path}` is larger than {max} bytes"));
    }
    String::from_utf8(bytes.to_vec())
        .map_err(|e| format!("`{path}` is not UTF-8 (byte {})", e.utf8_error().valid_up_to()))
}

/// Path of a file named in another file of the same folder.
fn beside(file: &str, name: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.into(),
    }
}

/// A finding about a key (its setting is the key's path) with its place in the file.
pub fn place(mut p: Problem, setting: &str, file: &str, text: &str) -> Problem {
    if p.file.is_none() {
        let (line, col) = yaml::locate(text, &path_of(&p.setting));
        p = p.in_file(file, line, col);
        // Findings of match expressions name their key only in the setting.
        if !p.setting.is_empty() && !p.message.starts_with(&format!("`{}`", p.setting)) {
            p.message = format!("`{}`: {}", p.setting, p.message);
        }
    }
    p.setting = setting.into();
    p
}

/// Path of a setting such as `Tests[1].Log.a key`; keys may hold anything but dots and brackets.
fn path_of(setting: &str) -> Vec<Seg> {
    Path::parse(setting).map_or_else(|_| setting.split('.').take(1).map(|k| Seg::Key(k.into())).collect(), |p| p.0)
}

/// 32 hex digits over everything that decides what the rule does; of a Python rule, without what it shares.
fn version(text: &str, body: &Body) -> String {
    hash(&[
        text,
        match body {
            Body::Lua { source, .. } => source,
            Body::Python(script) => &script.module.text,
            Body::Yaml(_) => "",
        },
    ])
}

/// 32 hex digits over texts.
fn hash(parts: &[&str]) -> String {
    let half = |salt: &str| model::key::key_hash(&[&[salt], parts].concat());
    format!("{:016x}{:016x}", half("version"), half("rule"))
}

#[cfg(test)]
mod tests;
