//! What happened how often: points that must be reached, in the sum over all seeds.
use std::collections::BTreeMap;

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
}
