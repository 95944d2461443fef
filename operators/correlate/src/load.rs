//! Files of correlation rules: Panther's and Sigma's, from the same folders as the detections that they watch.
use crate::rule::Correlation;
use crate::{panther, sigma};
use detect::meta::packs::{self, Packs};
use detect::meta::{self, MAX_FILE, MAX_FILES, yaml};
use detect::sigma::document::{self, Document};
use detect::sigma::mapping::Mappings;
use model::{Files, Problem};
use serde_json::Value as J;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most correlation rules of a node.
pub const MAX_RULES: usize = 5_000;
/// Most stages of rules that watch each other.
pub const MAX_STAGES: usize = 8;

/// What the files hold.
#[derive(Default)]
pub struct Loaded {
    /// Rules without mistakes, in the order of paths and files; disabled ones too.
    pub rules: Vec<Correlation>,
    /// Findings; their setting is `rules[i]`.
    pub problems: Vec<Problem>,
    /// Files that hold a correlation rule of Panther.
    pub files: BTreeSet<String>,
    /// Packs, and the correlation rules that they may name.
    pub packs: Packs,
}

/// Load every correlation rule of these files and folders. Other detections in them are not looked at.
pub fn load(files: &dyn Files, paths: &[String], mappings: &[String]) -> Loaded {
    let (mappings, mut problems) = Mappings::load(files, mappings);
    let mut out = Loaded::default();
    out.problems.append(&mut problems);
    let (mut seen, mut documents): (BTreeSet<String>, Vec<Document>) = Default::default();
    for (i, path) in paths.iter().enumerate() {
        let setting = format!("rules[{i}]");
        let list = match files.list(path) {
            Ok(list) => list,
            Err(e) => {
                let p = Problem::at(&setting, format!("cannot read `{path}`: {e}"));
                out.problems.push(p.hint("name a rule file, a folder of rule files, or a pattern"));
                continue;
            }
        };
        for file in list.iter().filter(|f| f.ends_with(".yml") || f.ends_with(".yaml")) {
            if seen.insert(file.clone()) && seen.len() <= MAX_FILES {
                out.file(files, &setting, file, &mappings, &mut documents);
            }
        }
    }
    if seen.len() > MAX_FILES {
        out.problems.push(Problem::at("rules", format!("more than {MAX_FILES} rule files")));
    }
    let (mut rules, mut found) = sigma::rules(&documents, &mappings);
    out.rules.append(&mut rules);
    out.problems.append(&mut found);
    out.check();
    out
}

impl Loaded {
    fn file(
        &mut self,
        files: &dyn Files,
        setting: &str,
        file: &str,
        mappings: &Mappings,
        documents: &mut Vec<Document>,
    ) {
        let text = match meta::read(files, file, MAX_FILE) {
            Ok(text) => text,
            Err(e) => return self.problems.push(Problem::at(setting, e).in_file(file, 1, 1)),
        };
        if let Some(mut docs) = document::read(setting, file, &text, mappings) {
            return documents.append(&mut docs);
        }
        // Files of detections are many and long; what they say is not for here.
        let kind = text.lines().find(|l| l.starts_with("AnalysisType:")).unwrap_or_default();
        let (is_rule, is_pack) = (kind.contains("correlation_rule"), kind.contains("pack"));
        if !is_rule && !is_pack {
            return;
        }
        if is_rule {
            self.files.insert(file.into());
        }
        let mut found = Vec::new();
        match yaml::parse(&text) {
            Ok(J::Object(map)) if is_pack => {
                // What is wrong with it is told by the detections.
                if let Some(pack) = packs::read(&map, setting, file, &text, &mut Vec::new()) {
                    self.packs.add(pack, &mut Vec::new());
                }
            }
            Ok(J::Object(map)) => {
                self.packs.items.extend(packs::item(&map, setting, file, &text));
                self.rules.extend(panther::read(&map, file, &text, &mut found));
            }
            Ok(_) => found.push(Problem::at("", "a rule file is a mapping of keys to values")),
            Err(((line, col), e)) => {
                found.push(Problem::at("", format!("this is not YAML: {e}")).in_file(file, line, col));
            }
        }
        self.problems.extend(found.into_iter().map(|p| meta::place(p, setting, file, &text)));
    }

    /// Rules run as the settings `packs` and `except` say. That a pack or an exception names a detection that is none of
    /// these says nothing.
    pub fn choose(&mut self, packs: Option<&[String]>, except: &[String]) {
        let mut found = Vec::new();
        let chosen = self.packs.choose(packs, except, &mut found);
        self.problems.extend(found.into_iter().filter(|p| !p.warning && !p.setting.starts_with("except")));
        for rule in &mut self.rules {
            rule.enabled = chosen.runs(&rule.meta.id, rule.enabled);
        }
    }

    /// Ids must differ; what another rule silences makes no alerts.
    fn check(&mut self) {
        let mut ids: BTreeMap<Arc<str>, String> = BTreeMap::new();
        let problems = &mut self.problems;
        self.rules.retain(|rule| match ids.get(&rule.meta.id) {
            Some(first) => {
                let p = Problem::at("rules", format!("`{}` is the id of the rule in {first} too", rule.meta.id));
                problems.push(p.hint("ids must differ: state and alerts are kept by id").in_file(&rule.file, 1, 1));
                false
            }
            None => {
                ids.insert(rule.meta.id.clone(), rule.file.clone());
                true
            }
        });
        let silenced = self.rules.iter().filter(|r| r.enabled && r.silences).flat_map(|r| &r.items);
        let silenced: BTreeSet<Arc<str>> = silenced.map(|i| i.rule.clone()).collect();
        for rule in self.rules.iter_mut().filter(|r| silenced.contains(&r.meta.id)) {
            Arc::make_mut(&mut rule.meta).create_alert = false;
        }
        if self.rules.len() > MAX_RULES {
            self.problems.push(Problem::at("rules", format!("more than {MAX_RULES} correlation rules")));
        }
    }
}

/// Enabled rules in stages: a rule stands behind those that it watches. Each stage is in the order of ids; there is at least one.
pub fn stages(rules: &[Correlation], problems: &mut Vec<Problem>) -> Vec<Vec<Correlation>> {
    let mut left: BTreeMap<Arc<str>, &Correlation> =
        rules.iter().filter(|r| r.enabled).map(|r| (r.meta.id.clone(), r)).collect();
    let mut out: Vec<Vec<Correlation>> = Vec::new();
    while !left.is_empty() {
        let free = |r: &&Correlation| !r.items.iter().any(|i| left.contains_key(&i.rule));
        let stage: Vec<Correlation> = left.values().filter(|r| free(r)).map(|r| (*r).clone()).collect();
        if stage.is_empty() {
            let ids: Vec<&str> = left.keys().map(|id| &**id).collect();
            problems.push(Problem::at(
                "rules",
                format!("correlation rules watch each other in a ring: {}", ids.join(", ")),
            ));
            break;
        }
        left.retain(|id, _| !stage.iter().any(|r| r.meta.id == *id));
        out.push(stage);
    }
    if out.len() > MAX_STAGES {
        problems.push(Problem::at(
            "rules",
            format!("correlation rules watch each other over more than {MAX_STAGES} stages"),
        ));
    }
    if out.is_empty() {
        out.push(Vec::new());
    }
    out
}

#[cfg(test)]
mod tests;
