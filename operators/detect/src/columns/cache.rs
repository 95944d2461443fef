//! Distinct values of a column and the class each was found to have.
//!
//! Two levels: a direct-mapped table that costs one hash of at most 24 bytes and one full comparison, and behind it a
//! bounded hash table. A column whose values hardly repeat would fill both for nothing: its hit rate is measured, and while
//! it is low the cache steps aside. Forgetting never changes a result, only its cost.
use super::hasher;
use hashbrown::HashTable;

/// Values remembered of one column.
pub const MAX_VALUES: usize = 1 << 16;
/// Bytes of values remembered of one column.
pub const MAX_BYTES: usize = 8 << 20;
/// Longest value that is remembered.
pub const MAX_VALUE: usize = 4 << 10;
const SLOT_BITS: u32 = 11;
/// Evaluations after which the hit rate is judged.
const WINDOW: u32 = 2_048;
/// Lookups for which a cache with a low hit rate steps aside.
const ASIDE: u32 = 1 << 16;

/// Remembers the class of values.
pub struct ValueCache {
    seed: u64,
    /// Values by their [`ValueCache::hash`]. Made at the first value: most topologies have more columns than ever see one.
    slots: Vec<Known>,
    /// All of them, by a hash of all their bytes.
    values: HashTable<Known>,
    hasher: ahash::RandomState,
    /// Their bytes.
    arena: Vec<u8>,
    lookups: u32,
    misses: u32,
    aside: u32,
}

/// A value.
#[derive(Clone, Copy, Default)]
struct Known {
    hash: u64,
    start: u32,
    len: u32,
    class: u32,
}

impl Known {
    #[inline]
    fn is(&self, value: &[u8], arena: &[u8]) -> bool {
        self.len as usize == value.len() && arena[self.start as usize..][..value.len()] == *value
    }
}

impl ValueCache {
    /// An empty cache. Its hashes are seeded from the system, so that input cannot be made to collide.
    pub fn new() -> ValueCache {
        let hasher = hasher();
        ValueCache {
            seed: hasher.hash_one(0),
            slots: Vec::new(),
            values: HashTable::new(),
            hasher,
            arena: Vec::new(),
            lookups: 0,
            misses: 0,
            aside: 0,
        }
    }

    /// Class of a value with its [`ValueCache::hash`]; `evaluate` finds it if it is not remembered.
    #[inline]
    pub fn class(&mut self, value: &[u8], hash: u64, evaluate: impl FnOnce() -> u32) -> u32 {
        if self.aside > 0 || value.len() > MAX_VALUE {
            self.aside = self.aside.saturating_sub(1);
            return evaluate();
        }
        self.lookups = self.lookups.wrapping_add(1);
        if let Some(known) = self.slots.get((hash >> (64 - SLOT_BITS)) as usize)
            && known.hash == hash
            && known.is(value, &self.arena)
        {
            return known.class;
        }
        self.second(value, hash, evaluate)
    }

    #[inline(never)]
    fn second(&mut self, value: &[u8], hash: u64, evaluate: impl FnOnce() -> u32) -> u32 {
        let all = self.hasher.hash_one(value);
        let known = match self.values.find(all, |known| known.is(value, &self.arena)) {
            Some(known) => *known,
            None => {
                let class = evaluate();
                self.remember(value, hash, all, class)
            }
        };
        self.slots[(hash >> (64 - SLOT_BITS)) as usize] = known;
        known.class
    }

    fn remember(&mut self, value: &[u8], hash: u64, all: u64, class: u32) -> Known {
        self.misses += 1;
        if self.misses == WINDOW {
            if self.lookups < 2 * WINDOW {
                self.aside = ASIDE;
            }
            (self.lookups, self.misses) = (0, 0);
        }
        let full = self.values.len() >= MAX_VALUES || self.arena.len() + value.len() > MAX_BYTES;
        if full || self.slots.is_empty() {
            self.values.clear();
            self.arena.clear();
            self.slots.clear();
            self.slots.resize(1 << SLOT_BITS, Known::default());
        }
        let known = Known { hash, start: self.arena.len() as u32, len: value.len() as u32, class };
        self.arena.extend_from_slice(value);
        let (arena, hasher) = (&self.arena, &self.hasher);
        let rehash = |known: &Known| hasher.hash_one(&arena[known.start as usize..][..known.len as usize]);
        self.values.insert_unique(all, known, rehash);
        known
    }

    /// Hash of length, first, middle and last bytes: the comparison is full, so a weak hash costs time only. Never 0,
    /// which marks an empty slot.
    #[inline]
    pub fn hash(&self, v: &[u8]) -> u64 {
        let n = v.len();
        let eight = |at: usize| v.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()));
        let (a, b) = match n {
            0 => (0, 0),
            1..=3 => (v[0] as u64 | (v[n / 2] as u64) << 8 | (v[n - 1] as u64) << 16, 0),
            4..=7 => {
                let four =
                    |at: usize| v.get(at..at + 4).map_or(0, |b| u32::from_le_bytes(b.try_into().unwrap_or_default()));
                (four(0) as u64 | (four(n - 4) as u64) << 32, 0)
            }
            8..=16 => (eight(0), eight(n - 8)),
            _ => (eight(0) ^ eight(n / 2).rotate_left(23), eight(n - 8)),
        };
        let x = (a ^ self.seed) as u128 * (b ^ 0x9e37_79b9_7f4a_7c15 ^ (n as u64) << 56) as u128;
        let y = (x as u64 ^ (x >> 64) as u64) as u128 * 0xa076_1d64_78bd_642f;
        (y as u64 ^ (y >> 64) as u64) | 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_and_forgets_without_changing_a_class() {
        let mut c = ValueCache::new();
        let class_of = |i: u32| i.wrapping_mul(2_654_435_761) >> 8;
        let mut evaluated = 0;
        // More distinct values than fit, each asked for three times in a row.
        for i in 0..(MAX_VALUES as u32 + 10_000) * 3 {
            let i = i / 3;
            let v = format!("value-{i:0width$}", width = (i % 40) as usize);
            let hash = c.hash(v.as_bytes());
            let got = c.class(v.as_bytes(), hash, || {
                evaluated += 1;
                class_of(i)
            });
            assert_eq!(got, class_of(i));
            assert!(c.values.len() <= MAX_VALUES && c.arena.len() <= MAX_BYTES);
        }
        assert_eq!(evaluated, MAX_VALUES as u32 + 10_000);
    }

    fn ask(c: &mut ValueCache, value: &[u8], class: u32) -> u32 {
        let hash = c.hash(value);
        c.class(value, hash, || class)
    }

    #[test]
    fn steps_aside_where_values_do_not_repeat() {
        let mut c = ValueCache::new();
        for i in 0..WINDOW * 4 {
            ask(&mut c, &i.to_le_bytes(), i);
        }
        assert!(c.aside > 0 && c.values.len() <= WINDOW as usize);
        let big = vec![b'x'; MAX_VALUE + 1];
        let mut c = ValueCache::new();
        assert_eq!((ask(&mut c, &big, 1), ask(&mut c, &big, 2)), (1, 2));
        assert_eq!((ask(&mut c, &big[1..], 1), ask(&mut c, &big[1..], 2)), (1, 1));
    }
}
