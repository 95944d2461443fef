//! What happened how often: points that must be reached, in the sum over all seeds.
use crate::mix::POINTS;
use std::collections::BTreeMap;

/// How often each must happen in an ordinary run.
const OFTEN: u64 = 100;

/// What must happen, beside a death at each of the [`POINTS`].
const MUST: &[&str] = &[
    "answer lost",
    "command",
    "compacted",
    "crash at a step",
    "disk error",
    "file cut at recovery",
    "late request arrived",
    "object damaged",
    "older snapshot used",
    "power cut",
    "refused after damage",
    "reload",
    "request copied",
    "request late",
    "request lost",
    "split of another lane read",
    "transaction expired",
    "waited for a transaction",
    "zombie",
    "zombie fenced",
];

/// Counters by name.
#[derive(Clone, Debug, Default)]
pub struct Cover(pub BTreeMap<String, u64>);

impl Cover {
    /// It happened.
    pub fn hit(&mut self, name: &str) {
        match self.0.get_mut(name) {
            Some(n) => *n += 1,
            None => drop(self.0.insert(name.into(), 1)),
        }
    }
    /// Add those of another run.
    pub fn add(&mut self, other: &Cover) {
        for (name, n) in &other.0 {
            *self.0.entry(name.clone()).or_default() += n;
        }
    }
    /// What happened less often than it must in an ordinary run of `ordinary` seeds; nothing if there were fewer seeds.
    pub fn missed(&self, seeds: u64, ordinary: u64) -> Vec<(String, u64)> {
        let deaths = POINTS.iter().map(|p| format!("died at {p}"));
        let must = MUST.iter().map(|m| m.to_string()).chain(deaths);
        let counted = must.map(|m| (m.clone(), self.0.get(&m).copied().unwrap_or(0)));
        counted.filter(|(_, n)| seeds >= ordinary && *n < OFTEN).collect()
    }
    /// All of it, for people.
    pub fn list(&self) -> String {
        self.0.iter().map(|(name, n)| format!("  {n:>9} {name}\n")).collect()
    }
}
