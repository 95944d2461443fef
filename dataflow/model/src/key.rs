//! Keys and their groups.

/// Key group of a key.
pub fn group_of(key: u64, groups: u32) -> u32 {
    (key % groups as u64) as u32
}

/// Stable 64-bit hash for keys: same value on every machine and in every run.
pub fn key_hash(parts: &[&str]) -> u64 {
    let mut h = xxhash_rust::xxh3::Xxh3::new();
    for p in parts {
        h.update(&(p.len() as u32).to_le_bytes());
        h.update(p.as_bytes());
    }
    h.digest()
}
