//! Rule files: read, checked key by key, made into [`Rule`]s.
//!
//! Every file is checked whole and every finding is reported with file, line and column: one round of editing is
//! enough. A rule with findings is left out; the caller refuses to run while there are errors.
//!
//! A rule file is YAML with `AnalysisType: rule` and a body: match expressions under `Detection`, or a Lua chunk named
//! by `Filename`, relative to the file's folder. Other analysis types in the same folder are skipped with a warning.
//! A file with `detection:` in small letters holds Sigma rules ([`crate::sigma`]).
pub(crate) mod keys;
pub mod yaml;

use crate::lua;
use crate::rule::{Body, Rule};
use crate::sigma::document::Document;
use crate::sigma::mapping::Mappings;
use crate::sigma::{self, Entry};
use crate::testing::Case;
use keys::Keys;
use model::path::Seg;
use model::{Files, Path, Problem};
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

const OTHER_TYPES: &[&str] = &[
    "correlation_rule",
    "datamodel",
    "global",
    "lookup_table",
    "pack",
    "policy",
    "saved_query",
    "scheduled_prompt",
    "scheduled_query",
    "scheduled_rule",
];

/// Load every rule of these files and folders. Rules come in the order of the paths, then by file, those of Sigma last; a
/// file named twice is loaded once. Findings carry the setting `rules[i]` of the path they come from. Files are read by
/// as many threads as the machine runs at a time.
pub fn load(files: &dyn Files, paths: &[String]) -> (Vec<Rule>, Vec<Problem>) {
    load_with(files, paths, &Mappings::shipped())
}

/// As [`load`], with these mappings for Sigma rules.
pub fn load_with(files: &dyn Files, paths: &[String], mappings: &Mappings) -> (Vec<Rule>, Vec<Problem>) {
    let mut out = Loader {
        files,
        mappings,
        rules: Vec::new(),
        problems: Vec::new(),
        seen: BTreeSet::new(),
        ids: BTreeMap::new(),
        sigma: Vec::new(),
    };
    for (i, path) in paths.iter().enumerate() {
        out.path(&format!("rules[{i}]"), path);
    }
    out.sigma();
    (out.rules, out.problems)
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
        for (file, loaded) in new.iter().zip(each(&new[..new.len().min(room)], read)) {
            self.add(setting, file, loaded);
        }
        if new.len() > room {
            let p = Problem::at(setting, format!("more than {MAX_FILES} rule files"));
            self.problems.push(p.hint("split the rules over several detect nodes"));
        }
    }

    fn add(&mut self, setting: &str, file: &str, mut loaded: Loaded) {
        if let Some(id) = loaded.id.filter(|id| !id.is_empty()) {
            match self.ids.get(&id) {
                Some(first) => {
                    let p = Problem::at("RuleID", format!("`RuleID` `{id}` is the id of the rule in {first} too"));
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
    let (id, rule) = rule(files, name, &text, &mut found).unwrap_or_default();
    let errors = found.iter().any(|p| !p.warning);
    let problems = found.into_iter().map(|p| place(p, setting, name, &text)).collect();
    Loaded { id, rule: rule.filter(|_| !errors), problems, ..Loaded::default() }
}

/// The id of a file's rule, and the rule as far as it could be read.
fn rule(
    files: &dyn Files,
    file: &str,
    text: &str,
    found: &mut Vec<Problem>,
) -> Option<(Option<Arc<str>>, Option<Rule>)> {
    let map = match yaml::parse(text) {
        Ok(J::Object(map)) => map,
        Ok(_) => {
            found.push(Problem::at("", "a rule file is a mapping of keys to values"));
            return None;
        }
        Err(((line, col), e)) => {
            found.push(Problem::at("", format!("this is not YAML: {e}")).in_file(file, line, col));
            return None;
        }
    };
    if !is_rule(&map, found) {
        return None;
    }
    let mut keys = Keys::new(&map, found);
    keys.check_names();
    let mut meta = keys.meta();
    let enabled = keys.enabled();
    let log_types = keys.log_types();
    let filters = keys.filters();
    let detection = keys.detection();
    let filename = keys.filename();
    let lua_body = filename.is_some();
    let (alert_title, alert_context) = (keys.alert_title(lua_body), keys.alert_context(lua_body));
    let (group_by, dynamic_severities) = (keys.group_by(lua_body), keys.dynamic_severities(lua_body));
    let tests = map.get("Tests").cloned().unwrap_or(J::Null);
    Case::read_all(&tests, lua_body, found);
    let body = match (detection, filename) {
        (Some(exprs), None) => Some(Body::Yaml(exprs)),
        (None, Some(name)) => chunk(files, file, &name, found),
        _ => None,
    };
    let id = Some(meta.id.clone());
    let Some(body) = body else { return Some((id, None)) };
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
    Some((id, Some(rule)))
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

/// True if the file is a rule; what else it is, is told.
fn is_rule(map: &Map<String, J>, found: &mut Vec<Problem>) -> bool {
    match map.get("AnalysisType") {
        Some(J::String(t)) if t == "rule" => return true,
        Some(J::String(t)) if OTHER_TYPES.contains(&t.as_str()) => {
            found.push(Problem::at("AnalysisType", format!("skipped: `{t}` is not run here, only `rule` is")).warn());
        }
        Some(t) => {
            let p = Problem::at("AnalysisType", format!("`AnalysisType` cannot be {t}"));
            found.push(p.hint("write `AnalysisType: rule`"));
        }
        None => found.push(Problem::at("AnalysisType", "`AnalysisType` is missing").hint("write `AnalysisType: rule`")),
    }
    false
}

pub(crate) fn read(files: &dyn Files, path: &str, max: usize) -> Result<String, String> {
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
fn place(mut p: Problem, setting: &str, file: &str, text: &str) -> Problem {
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

/// 32 hex digits over everything that decides what the rule does.
fn version(text: &str, body: &Body) -> String {
    let body = match body {
        Body::Lua { source, .. } => source,
        Body::Yaml(_) => "",
    };
    let half = |salt: &str| model::part::key_hash(&[salt, text, body]);
    format!("{:016x}{:016x}", half("version"), half("rule"))
}

#[cfg(test)]
mod tests;
