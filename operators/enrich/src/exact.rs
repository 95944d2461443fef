//! Exact keys: an open-addressing table made to be probed a batch at a time.
//!
//! A slot is eight bytes, 32 bits of the key's hash and the place of a record; a record is row, length and key in one
//! run of bytes. So a miss costs one cache line and a hit two. Callers work on a block of keys in three passes: hash and
//! ask for the slots ([`ExactIndex::prefetch_slot`]), ask for the records ([`ExactIndex::prefetch_record`]), look
//! ([`ExactIndex::find`]): the memory latency of a block overlaps. The table is at most half full and does not change
//! once it is built.
use ahash::RandomState;

/// Keys of a block.
pub const BLOCK: usize = 256;

/// Row and length in front of every key.
const HEAD: usize = 8;
/// Bytes of a key that room is made for: an address, a name.
const USUAL: usize = 16;

/// Key → row.
pub struct ExactIndex {
    hasher: RandomState,
    /// `hash's high half << 32 | place of the record`; 0 is free.
    slots: Vec<u64>,
    records: Vec<u8>,
    len: usize,
}

impl ExactIndex {
    /// An index with room for `n` keys.
    pub fn with_capacity(n: usize) -> ExactIndex {
        // No record lies at 0, which marks free slots.
        let mut records = Vec::with_capacity(HEAD + n * (HEAD + USUAL));
        records.resize(HEAD, 0);
        ExactIndex {
            // Fixed seeds: the keys are the table's own, and every run should cost the same.
            hasher: RandomState::with_seeds(0x6d69_6c6c, 0x7374_7265, 0x616d_6c6f, 0x6f6b_7570),
            slots: vec![0; (n * 2).next_power_of_two().max(16)],
            records,
            len: 0,
        }
    }

    /// Adds a key; the last row of a key wins, and the one it replaces is given back.
    pub fn insert(&mut self, key: &str, row: u32) -> Result<Option<u32>, String> {
        let hash = self.hash(key);
        if let Some(at) = self.record(hash, key) {
            let replaced = self.number(at);
            self.records[at..at + 4].copy_from_slice(&row.to_le_bytes());
            return Ok((replaced != row).then_some(replaced));
        }
        if (self.len + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let place = u32::try_from(self.records.len()).ok().zip(u32::try_from(key.len()).ok());
        let (at, len) = place.ok_or("the keys of a table hold at most 4 GiB")?;
        self.records.extend_from_slice(&row.to_le_bytes());
        self.records.extend_from_slice(&len.to_le_bytes());
        self.records.extend_from_slice(key.as_bytes());
        self.len += 1;
        self.place(hash >> 32 << 32 | at as u64, hash);
        Ok(None)
    }

    fn place(&mut self, slot: u64, hash: u64) {
        let mask = self.slots.len() - 1;
        let mut i = hash as usize & mask;
        while self.slots[i] != 0 {
            i = (i + 1) & mask;
        }
        self.slots[i] = slot;
    }

    fn grow(&mut self) {
        let double = vec![0; self.slots.len() * 2];
        for slot in std::mem::replace(&mut self.slots, double).into_iter().filter(|s| *s != 0) {
            let hash = self.hasher.hash_one(self.key(slot as u32 as usize));
            self.place(slot, hash);
        }
    }

    #[inline]
    fn number(&self, at: usize) -> u32 {
        let mut b = [0u8; 4];
        b.copy_from_slice(&self.records[at..at + 4]);
        u32::from_le_bytes(b)
    }

    #[inline]
    fn key(&self, at: usize) -> &[u8] {
        &self.records[at + HEAD..][..self.number(at + 4) as usize]
    }

    /// Hash of a key, for the other calls.
    #[inline]
    pub fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key.as_bytes())
    }

    /// Asks for the slot of a hash.
    #[inline]
    pub fn prefetch_slot(&self, hash: u64) {
        prefetch(&self.slots[hash as usize & (self.slots.len() - 1)]);
    }

    /// Asks for the record a hash most likely finds.
    #[inline]
    pub fn prefetch_record(&self, hash: u64) {
        let slot = self.slots[hash as usize & (self.slots.len() - 1)];
        if slot >> 32 == hash >> 32 {
            prefetch(&self.records[slot as u32 as usize]);
        }
    }

    #[inline]
    fn record(&self, hash: u64, key: &str) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut i = hash as usize & mask;
        loop {
            let slot = self.slots[i];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == hash >> 32 && self.key(slot as u32 as usize) == key.as_bytes() {
                return Some(slot as u32 as usize);
            }
            i = (i + 1) & mask;
        }
    }

    /// Row of a key.
    #[inline]
    pub fn find(&self, hash: u64, key: &str) -> Option<u32> {
        self.record(hash, key).map(|at| self.number(at))
    }
}

#[inline]
fn prefetch<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch changes nothing and reads nothing a program could see; the address is that of a reference.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>((&raw const *at).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn agrees_with_a_map(
            keys in prop::collection::vec("[ab]{0,6}", 0..300),
            asked in prop::collection::vec("[ab]{0,7}", 0..100),
        ) {
            let (mut index, mut map) = (ExactIndex::with_capacity(0), HashMap::new());
            for (row, key) in keys.iter().enumerate() {
                prop_assert_eq!(index.insert(key, row as u32).unwrap(), map.insert(key.clone(), row as u32));
            }
            for key in keys.iter().chain(&asked) {
                let hash = index.hash(key);
                index.prefetch_slot(hash);
                index.prefetch_record(hash);
                prop_assert_eq!(index.find(hash, key), map.get(key).copied());
            }
        }
    }
}
