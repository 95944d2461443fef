//! Byte records of any length, packed into chunks: 4 bytes name a record, and what it costs beyond its bytes is the
//! rounding to eight of them.
//!
//! A chunk holds slots of one size. A free slot holds the number of the next free one, so a chunk needs no list beside
//! it; a chunk whose last record goes is given back.

/// Bytes of a chunk. A record above [`LARGE`] has a chunk of its own.
const CHUNK: usize = 64 << 10;
/// Largest record that shares a chunk.
const LARGE: usize = 8 << 10;
/// Smallest slot, so that the slots of a chunk are told apart by [`SLOT_BITS`].
const SMALLEST: usize = 64;
const STEP: usize = 8;
const SLOT_BITS: u32 = (CHUNK / SMALLEST).ilog2();
/// Chunks there can be: 256 GiB of small records.
const CHUNKS_MAX: usize = 1 << (32 - SLOT_BITS);
/// No slot.
const NONE: u16 = u16::MAX;

/// Name of a record. It stays until the record is removed, or set to bytes that do not fit.
pub type Ref = u32;

/// The records of an operator.
pub struct Slab {
    chunks: Vec<Chunk>,
    /// By slot size in steps: chunks with room.
    open: Vec<Vec<u32>>,
    /// Numbers of chunks that were given back.
    spare: Vec<u32>,
}

#[derive(Default)]
struct Chunk {
    data: Box<[u8]>,
    size: usize,
    used: u16,
    /// Slots from here on were never used.
    fresh: u16,
    free: u16,
}

impl Default for Slab {
    fn default() -> Slab {
        Slab { chunks: Vec::new(), open: vec![Vec::new(); LARGE / STEP + 1], spare: Vec::new() }
    }
}

impl Chunk {
    fn slots(&self) -> usize {
        self.data.len() / self.size
    }
    fn full(&self) -> bool {
        self.used as usize == self.slots()
    }
    fn slot(&mut self, n: u16) -> &mut [u8] {
        let at = n as usize * self.size;
        &mut self.data[at..at + self.size]
    }
    fn take(&mut self) -> u16 {
        self.used += 1;
        if self.free == NONE {
            self.fresh += 1;
            return self.fresh - 1;
        }
        let n = self.free;
        let s = self.slot(n);
        self.free = u16::from_le_bytes([s[0], s[1]]);
        n
    }
    fn give(&mut self, n: u16) {
        self.used -= 1;
        let next = std::mem::replace(&mut self.free, n).to_le_bytes();
        self.slot(n)[..2].copy_from_slice(&next);
    }
}

fn size_of(record: &[u8]) -> usize {
    record.len().max(SMALLEST).next_multiple_of(STEP)
}

fn parts(r: Ref) -> (usize, u16) {
    ((r >> SLOT_BITS) as usize, (r & ((1 << SLOT_BITS) - 1)) as u16)
}

impl Slab {
    /// Memory of all chunks.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|c| c.data.len()).sum()
    }

    /// The record, and behind it whatever fills its slot.
    pub fn get(&self, r: Ref) -> &[u8] {
        let (chunk, slot) = parts(r);
        let c = &self.chunks[chunk];
        &c.data[slot as usize * c.size..][..c.size]
    }

    /// Keep a record.
    pub fn insert(&mut self, record: &[u8]) -> Ref {
        let size = size_of(record);
        let number = match self.open.get(size / STEP).and_then(|o| o.last()) {
            Some(n) => *n,
            None => self.chunk(size),
        };
        let chunk = &mut self.chunks[number as usize];
        let slot = chunk.take();
        chunk.slot(slot)[..record.len()].copy_from_slice(record);
        if chunk.full() && size <= LARGE {
            self.open[size / STEP].pop();
        }
        number << SLOT_BITS | slot as u32
    }

    /// A new chunk with room for records of `size`.
    fn chunk(&mut self, size: usize) -> u32 {
        let len = if size > LARGE { size } else { CHUNK };
        let chunk = Chunk { data: vec![0; len].into(), size, used: 0, fresh: 0, free: NONE };
        let number = match self.spare.pop() {
            Some(n) => {
                self.chunks[n as usize] = chunk;
                n
            }
            None => {
                assert!(self.chunks.len() < CHUNKS_MAX, "alert state holds {CHUNKS_MAX} chunks, which is its limit");
                self.chunks.push(chunk);
                self.chunks.len() as u32 - 1
            }
        };
        if size <= LARGE {
            self.open[size / STEP].push(number);
        }
        number
    }

    /// Forget a record.
    pub fn remove(&mut self, r: Ref) {
        let (number, slot) = parts(r);
        let chunk = &mut self.chunks[number];
        let (was_full, size) = (chunk.full(), chunk.size);
        chunk.give(slot);
        let empty = chunk.used == 0;
        if empty {
            *chunk = Chunk::default();
            self.spare.push(number as u32);
        }
        if let Some(open) = self.open.get_mut(size / STEP).filter(|_| size <= LARGE) {
            match (empty, was_full) {
                (true, false) => open.retain(|n| *n as usize != number),
                (false, true) => open.push(number as u32),
                _ => {}
            }
        }
    }

    /// Replace a record; its name changes if the new bytes need another slot.
    pub fn set(&mut self, r: Ref, record: &[u8]) -> Ref {
        let (chunk, slot) = parts(r);
        if self.chunks[chunk].size == size_of(record) {
            self.chunks[chunk].slot(slot)[..record.len()].copy_from_slice(record);
            return r;
        }
        self.remove(r);
        self.insert(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn holds_what_a_map_holds(steps in prop::collection::vec((0u8..4, any::<u16>(), 0usize..20_000), 1..300)) {
            let (mut slab, mut map) = (Slab::default(), BTreeMap::<Ref, Vec<u8>>::new());
            for (n, (kind, pick, len)) in steps.into_iter().enumerate() {
                // Small ones often.
                let record = vec![n as u8; if len % 4 == 0 { len } else { len % 300 }];
                let old = map.keys().nth(pick as usize % map.len().max(1)).copied();
                match (kind, old) {
                    (0, Some(r)) => {
                        slab.remove(r);
                        map.remove(&r);
                    }
                    (1, Some(r)) => {
                        let new = slab.set(r, &record);
                        map.remove(&r);
                        prop_assert!(map.insert(new, record).is_none());
                    }
                    _ => prop_assert!(map.insert(slab.insert(&record), record).is_none()),
                }
                prop_assert!(map.iter().all(|(r, want)| slab.get(*r).starts_with(want)));
            }
            for r in map.into_keys() {
                slab.remove(r);
            }
            prop_assert_eq!((slab.bytes(), slab.spare.len()), (0, slab.chunks.len()));
            prop_assert!(slab.open.iter().all(|o| o.is_empty()));
        }
    }

    #[test]
    fn a_chunk_is_filled_before_the_next_one_is_made() {
        let mut slab = Slab::default();
        let all: Vec<Ref> = (0..CHUNK / SMALLEST).map(|_| slab.insert(b"x")).collect();
        assert_eq!(slab.bytes(), CHUNK);
        let one_more = slab.insert(b"x");
        assert_eq!(slab.bytes(), 2 * CHUNK);
        slab.remove(one_more);
        slab.remove(all[7]);
        assert_eq!((slab.bytes(), slab.insert(b"y")), (CHUNK, all[7]));
    }
}
