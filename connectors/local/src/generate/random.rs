//! Numbers that look random and are a function of where they are used.
use xxhash_rust::xxh3::xxh3_64;

/// A stream of numbers for one place.
pub(crate) struct Random(u64);

impl Random {
    /// The stream of a place: seed, kind and sequence number.
    pub(crate) fn at(seed: u64, kind: u64, n: u64) -> Random {
        let mut b = [0; 24];
        b[..8].copy_from_slice(&seed.to_le_bytes());
        b[8..16].copy_from_slice(&kind.to_le_bytes());
        b[16..].copy_from_slice(&n.to_le_bytes());
        Random(xxh3_64(&b))
    }
    /// Next 64 bits (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// Below `n` (at least 1).
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    /// True in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    /// One of a list.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }
    /// Lower-case hex digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut s = format!("{:016x}{:016x}", self.next(), self.next());
        s.truncate(digits);
        s
    }
    /// A UUID-shaped string.
    pub(crate) fn uuid(&mut self) -> String {
        let h = self.hex(32);
        format!("{}-{}-4{}-a{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..32])
    }
}
