//! What was taken lately. SQS delivers a message at least once and S3 may announce an object twice; what is remembered
//! is taken once.
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};

/// Most that is remembered: about 5 MB of state.
const MAX: usize = 200_000;

/// Identity of something that was announced. Cut from SHA-256: keys are chosen by others, and two of them must not be
/// made to look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id([u8; 16]);

impl Id {
    /// Of these texts, in order.
    pub(crate) fn of(parts: &[&str]) -> Id {
        let mut h = Sha256::new();
        for p in parts {
            h.update((p.len() as u64).to_le_bytes());
            h.update(p.as_bytes());
        }
        let (hash, mut id) = (h.finalize(), [0; 16]);
        id.copy_from_slice(&hash[..16]);
        Id(id)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// When it was last seen, milliseconds.
    seen: BTreeMap<Id, i64>,
    /// The same by age, with entries that are out of date.
    by_age: VecDeque<(i64, Id)>,
}

impl Memory {
    pub(crate) fn knows(&self, id: Id) -> bool {
        self.seen.contains_key(&id)
    }
    /// Remember from now on.
    pub(crate) fn add(&mut self, id: Id, now_ms: i64) {
        if self.seen.insert(id, now_ms) != Some(now_ms) {
            self.by_age.push_back((now_ms, id));
        }
        while self.seen.len() > MAX || self.by_age.len() > 2 * MAX {
            self.forget_oldest();
        }
    }
    /// Forget what is older.
    pub(crate) fn expire(&mut self, before_ms: i64) {
        while self.by_age.front().is_some_and(|(t, _)| *t < before_ms) {
            self.forget_oldest();
        }
    }
    fn forget_oldest(&mut self) {
        if let Some((t, id)) = self.by_age.pop_front()
            && self.seen.get(&id) == Some(&t)
        {
            self.seen.remove(&id);
        }
    }
    /// As bytes, oldest first.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (t, id) in self.by_age.iter().filter(|(t, id)| self.seen.get(id) == Some(t)) {
            out.extend_from_slice(&id.0);
            out.extend_from_slice(&t.to_le_bytes());
        }
    }
    /// From bytes; `None` if they are no memory.
    pub(crate) fn read(bytes: &[u8]) -> Option<Memory> {
        let (entries, rest) = bytes.as_chunks::<24>();
        let mut m = Memory::default();
        for e in entries {
            let (id, t) = e.split_at(16);
            m.add(Id(id.try_into().ok()?), i64::from_le_bytes(t.try_into().ok()?));
        }
        rest.is_empty().then_some(m)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_for_a_while_and_not_too_much() {
        let id = |i: usize| Id::of(&["b", &i.to_string()]);
        assert_ne!(Id::of(&["a", "bc"]), Id::of(&["ab", "c"]));
        let mut m = Memory::default();
        (0..10).for_each(|i| m.add(id(i), i as i64));
        m.add(id(0), 20); // seen again
        m.expire(5);
        let known: Vec<usize> = (0..10).filter(|i| m.knows(id(*i))).collect();
        assert_eq!(known, [0, 5, 6, 7, 8, 9]);
        let mut bytes = Vec::new();
        m.write(&mut bytes);
        assert_eq!(bytes.len(), 6 * 24);
        let mut again = Memory::read(&bytes).unwrap();
        again.expire(9);
        assert!(again.knows(id(0)) && again.knows(id(9)) && !again.knows(id(8)));
        assert!(Memory::read(&bytes[1..]).is_none());
        (0..MAX + 5).for_each(|i| m.add(id(i), 100));
        assert!(m.seen.len() == MAX && !m.knows(id(4)) && m.knows(id(5)));
        (0..3 * MAX).for_each(|i| m.add(id(7), 200 + i as i64));
        assert!(m.by_age.len() <= 2 * MAX && m.knows(id(7)));
    }
}
