//! Derived detections: `BaseDetection` names another one, whose logic this one has with other facts.
//!
//! The body, what it is for and the `Tests` are those of the base; every other key that the file has stands in place of
//! the base's. A detection that is derived is one of its own: an id, a state, alerts of its own, whether the base runs or not.
use super::keys::id_key;
use super::{hash, read, yaml};
use crate::python::AnalysisType;
use crate::rule::Rule;
use model::path::Seg;
use model::{Files, Path, Problem};
use serde_json::{Map, Value as J};
use std::sync::Arc;

/// What only the base says.
const OF_THE_BASE: &[&str] = &["Detection", "Filename", "LogTypes", "ResourceTypes", "ScheduledQueries"];

/// A rule file that waits for its base.
pub(super) struct Derived {
    /// Its own id.
    pub id: Arc<str>,
    /// Id of the base.
    pub base: String,
    /// Content file.
    pub file: String,
    /// Its text.
    pub text: String,
    map: Map<String, J>,
    entry: AnalysisType,
}

impl Derived {
    /// Read what stands in the file itself.
    pub fn read(
        file: &str,
        text: &str,
        mut map: Map<String, J>,
        entry: AnalysisType,
        found: &mut Vec<Problem>,
    ) -> Option<Derived> {
        for key in OF_THE_BASE.iter().filter(|k| map.contains_key(**k)) {
            let p = Problem::at(key, format!("`{key}` of a derived detection is that of its base"));
            found.push(p.hint("leave it out, or leave `BaseDetection` out"));
        }
        let base = match map.remove("BaseDetection") {
            Some(J::String(base)) if !base.is_empty() => base,
            _ => {
                found.push(Problem::at("BaseDetection", "`BaseDetection` must be the id of a detection"));
                return None;
            }
        };
        let id = map.get(id_key(entry)).and_then(J::as_str).unwrap_or_default().into();
        Some(Derived { id, base, file: file.into(), text: text.into(), map, entry })
    }

    /// The detection, made of its base and the keys of that. Findings are about keys of this file.
    pub fn rule(&self, base: &Rule, of: &Base, files: &dyn Files, found: &mut Vec<Problem>) -> Option<(Rule, Base)> {
        if base.body.entry() != self.entry {
            let message = format!("`AnalysisType` is that of the base, `{}`", base.body.entry().name());
            found.push(Problem::at("AnalysisType", message));
            return None;
        }
        let mut keys = of.keys.clone();
        [id_key(self.entry), "Enabled"].iter().for_each(|key| drop(keys.remove(*key)));
        keys.extend(self.map.iter().map(|(k, v)| (k.clone(), v.clone())));
        let mut all = Vec::new();
        let (_, rule) = super::rule(files, &of.file, &self.text, &keys, self.entry, &mut all);
        // What is wrong with the base is told at its own file.
        let own = |p: &Problem| {
            let root = Path::parse(&p.setting).ok().and_then(|path| match path.0.first() {
                Some(Seg::Key(k)) => Some(k.to_string()),
                _ => None,
            });
            p.file.is_none() && (self.map.contains_key(&root.unwrap_or_else(|| p.setting.clone())) || is_missing(p))
        };
        found.extend(all.into_iter().filter(own));
        let mut rule = rule?;
        rule.file.clone_from(&self.file);
        if let Some(meta) = Arc::get_mut(&mut rule.meta) {
            meta.version = hash(&[&meta.version, &base.meta.version]);
        }
        Some((rule, Base { file: of.file.clone(), keys }))
    }
}

/// What a detection hands down.
pub(super) struct Base {
    /// The file beside which its body is.
    file: String,
    keys: Map<String, J>,
}

impl Base {
    /// Of a detection with a body of its own.
    pub fn read(rule: &Rule, files: &dyn Files) -> Option<Base> {
        let text = read(files, &rule.file, super::MAX_FILE).ok()?;
        match yaml::parse(&text) {
            Ok(J::Object(keys)) => Some(Base { file: rule.file.clone(), keys }),
            _ => None,
        }
    }
}

/// The id and `Enabled` are the file's own, always.
fn is_missing(p: &Problem) -> bool {
    ["RuleID", "PolicyID", "Enabled"].contains(&p.setting.as_str())
}

#[cfg(test)]
mod tests;
