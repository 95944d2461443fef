//! Classes: distinct sets of conditions that are true together, and the rules that each of them wakes.
//!
//! However many values a column has, they fall into few classes. A class is made when the first value of it is seen,
//! and its rules are written down then; afterwards a row costs one index. Ids depend on the order of arrival: they stay
//! inside one worker and decide nothing but cost.
use super::hasher;
use super::matcher::Atom;
use hashbrown::HashMap;

/// Classes after which an index starts over: only input made for it has so many.
pub const MAX_CLASSES: usize = 1 << 16;

/// Classes of one column or join.
pub struct Classes {
    words: usize,
    bits: Vec<u64>,
    ids: HashMap<Box<[u64]>, u32, ahash::RandomState>,
    /// `start..end` in `rules`, by class.
    wake: Vec<(u32, u32)>,
    rules: Vec<u32>,
    /// Rules that wait for a condition.
    waiting: Vec<Vec<u32>>,
}

impl Classes {
    /// No classes yet; `waiting[atom]` are the rules that a true condition wakes.
    pub fn new(waiting: Vec<Vec<u32>>) -> Classes {
        Classes {
            words: waiting.len().div_ceil(64).max(1),
            bits: Vec::new(),
            ids: HashMap::with_hasher(hasher()),
            wake: Vec::new(),
            rules: Vec::new(),
            waiting,
        }
    }
    /// An empty set of conditions.
    pub fn set(&self) -> Vec<u64> {
        vec![0; self.words]
    }
    /// Number of classes.
    pub fn len(&self) -> usize {
        self.wake.len()
    }
    /// Class of a set of true conditions.
    pub fn class(&mut self, set: &[u64]) -> u32 {
        match self.ids.get(set) {
            Some(id) => *id,
            None => {
                let id = self.add(set, set);
                self.ids.insert(set.into(), id);
                id
            }
        }
    }
    /// Add a class in which the conditions of `truth` hold and the rules that wait for those of `wakes` wake.
    pub fn add(&mut self, truth: &[u64], wakes: &[u64]) -> u32 {
        let start = self.rules.len();
        for atom in atoms(wakes) {
            self.rules.extend_from_slice(&self.waiting[atom as usize]);
        }
        self.rules[start..].sort_unstable();
        // A rule may wait for several conditions of one class.
        let mut keep = start;
        for i in start..self.rules.len() {
            if i == start || self.rules[i] != self.rules[keep - 1] {
                self.rules[keep] = self.rules[i];
                keep += 1;
            }
        }
        self.rules.truncate(keep);
        self.bits.extend_from_slice(truth);
        self.wake.push((start as u32, keep as u32));
        self.wake.len() as u32 - 1
    }
    /// True if a condition holds in a class.
    #[inline]
    pub fn holds(&self, class: u32, atom: Atom) -> bool {
        self.bits[class as usize * self.words + (atom >> 6) as usize] >> (atom & 63) & 1 == 1
    }
    /// Conditions that hold in a class.
    pub fn truth(&self, class: u32) -> &[u64] {
        &self.bits[class as usize * self.words..][..self.words]
    }
    /// Rules that a class wakes, ascending.
    #[inline]
    pub fn rules(&self, class: u32) -> &[u32] {
        let (start, end) = self.wake[class as usize];
        &self.rules[start as usize..end as usize]
    }
}

/// Put a condition into a set.
pub fn put(set: &mut [u64], atom: Atom) {
    set[(atom >> 6) as usize] |= 1 << (atom & 63);
}

/// Conditions of a set, ascending.
pub fn atoms(set: &[u64]) -> impl Iterator<Item = Atom> {
    set.iter().enumerate().flat_map(|(w, bits)| {
        let mut bits = *bits;
        std::iter::from_fn(move || {
            let i = bits.trailing_zeros();
            (bits != 0).then(|| {
                bits &= bits - 1;
                w as u32 * 64 + i
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_wakes_each_rule_once() {
        let mut waiting = vec![vec![]; 70];
        (waiting[0], waiting[3], waiting[69]) = (vec![7, 9], vec![2, 7], vec![1]);
        let mut c = Classes::new(waiting);
        let mut set = c.set();
        [0, 3, 69].iter().for_each(|a| put(&mut set, *a));
        assert_eq!(atoms(&set).collect::<Vec<_>>(), [0, 3, 69]);
        let id = c.class(&set);
        assert_eq!((c.class(&set), c.len()), (id, 1));
        assert_eq!(c.rules(id), [1, 2, 7, 9]);
        assert!(c.holds(id, 69) && !c.holds(id, 68));
        let none = c.set();
        let id = c.class(&none);
        assert!(c.rules(id).is_empty());
    }
}
