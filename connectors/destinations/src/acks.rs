//! Which lines of an outbox are dealt with: confirmed by the destination, or given up.
//!
//! A file of short lines, each with a checksum: `A <offset> <hash of the line>` for one line, `L <offset>` for
//! everything below. It is appended to with every entry, synced every second, and written anew when it has grown. An
//! entry that a power cut takes is an alert that is sent once more. The low mark never passes what the engine has committed, and entries name
//! the content, so an outbox that was cut and filled with something else is not taken for delivered.
use crate::at;
use model::Result;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// Entries are on disk after this long; the death of the process alone loses none.
const SYNC: Duration = Duration::from_secs(1);
/// The file is written anew when it is this long.
const COMPACT: u64 = 1 << 20;

/// Entries of one outbox.
pub(crate) struct Acks {
    path: PathBuf,
    file: File,
    size: u64,
    synced: Instant,
    /// Everything below is dealt with.
    low: u64,
    /// Lines above `low` that are dealt with: offset → (hash of the line, length with line end).
    done: BTreeMap<u64, (u64, u64)>,
}

impl Acks {
    /// Open the acknowledgements of an outbox of which `committed` bytes are committed.
    pub(crate) fn open(path: &Path, committed: u64) -> Result<Acks> {
        let text = match fs::read(path) {
            Ok(b) => String::from_utf8_lossy(&b).into_owned(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(at("read", path)(e)),
        };
        let (mut low, mut done) = (0, BTreeMap::new());
        // A line that does not check is passed over: at worst an alert is delivered once more.
        for words in text.lines().filter_map(checked) {
            let word = |i: usize| words.get(i).copied().unwrap_or(0);
            match words.len() {
                1 => low = low.max(word(0)),
                3 => {
                    done.insert(word(0), (word(1), word(2)));
                }
                _ => {}
            }
        }
        if low > committed {
            (low, done) = (0, BTreeMap::new()); // of another outbox
        }
        done = done.split_off(&low);
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(at("open", path))?;
        let mut acks = Acks { path: path.into(), file, size: 0, synced: Instant::now(), low, done };
        acks.advance(committed);
        acks.rewrite()?;
        Ok(acks)
    }

    /// First offset that may not be dealt with.
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// True if this line is dealt with.
    pub(crate) fn has(&self, offset: u64, line: &[u8]) -> bool {
        offset < self.low || self.done.get(&offset).is_some_and(|(h, _)| *h == xxh3_64(line))
    }

    /// A line is dealt with.
    pub(crate) fn add(&mut self, offset: u64, line: &[u8], committed: u64) -> Result<()> {
        let (hash, len) = (xxh3_64(line), line.len() as u64 + 1);
        self.done.insert(offset, (hash, len));
        self.advance(committed);
        let entry = format!("A {offset} {hash} {len}");
        let entry = format!("{entry} {:08x}\n", xxh3_64(entry.as_bytes()) as u32);
        self.file.write_all(entry.as_bytes()).map_err(at("write", &self.path))?;
        self.size += entry.len() as u64;
        match self.size > COMPACT {
            true => self.rewrite(),
            false if self.synced.elapsed() >= SYNC => self.sync(),
            false => Ok(()),
        }
    }

    /// Make every entry durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.synced = Instant::now();
        self.file.sync_data().map_err(at("sync", &self.path))
    }

    /// Move the low mark over lines that are dealt with and committed.
    fn advance(&mut self, committed: u64) {
        while let Some((&at, &(_, len))) = self.done.first_key_value()
            && at == self.low
            && at + len <= committed
        {
            self.done.pop_first();
            self.low = at + len;
        }
    }

    /// Keep what counts only: a new file takes the old one's place.
    fn rewrite(&mut self) -> Result<()> {
        let tmp = self.path.with_extension("new");
        self.file = File::create(&tmp).map_err(at("create", &tmp))?;
        self.size = 0;
        let entries = self.done.iter().map(|(o, (h, n))| format!("A {o} {h} {n}"));
        let text: String = std::iter::once(format!("L {}", self.low))
            .chain(entries)
            .map(|e| format!("{e} {:08x}\n", xxh3_64(e.as_bytes()) as u32))
            .collect();
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all()).map_err(at("write", &tmp))?;
        fs::rename(&tmp, &self.path).map_err(at("publish", &self.path))?;
        self.size = text.len() as u64;
        match self.path.parent() {
            Some(dir) => File::open(dir).and_then(|d| d.sync_all()).map_err(at("sync folder", dir)),
            None => Ok(()),
        }
    }
}

/// Numbers of an entry whose checksum is right.
fn checked(line: &str) -> Option<Vec<u64>> {
    let (entry, sum) = line.rsplit_once(' ')?;
    let right = format!("{:08x}", xxh3_64(entry.as_bytes()) as u32) == sum;
    let (kind, numbers) = entry.split_once(' ')?;
    (right && (kind == "A" || kind == "L")).then(|| numbers.split(' ').filter_map(|n| n.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_over_reopening_and_tears() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.acks");
        let mut a = Acks::open(&path, 100).unwrap();
        a.add(10, b"second...", 100).unwrap();
        assert!(a.low() == 0 && a.has(10, b"second...") && !a.has(10, b"another") && !a.has(0, b"first...."));
        a.add(0, b"first....", 100).unwrap();
        assert_eq!(a.low(), 20);
        a.add(30, b"fourth...", 100).unwrap();
        drop(a);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let a = Acks::open(&path, 100).unwrap();
            assert!(a.low() == 0 || a.low() == 20, "entries are whole or not there");
            assert!(!a.has(40, b"fifth...."));
        }
        fs::write(&path, &whole).unwrap();
        let a = Acks::open(&path, 100).unwrap();
        assert!(a.has(0, b"first....") && a.has(10, b"second...") && a.has(30, b"fourth..."));
        assert!(!a.has(20, b"third...."));
        // The low mark is behind the end of this outbox: it is of another one.
        assert!(!Acks::open(&path, 5).unwrap().has(0, b"first...."));
    }

    #[test]
    fn the_low_mark_waits_for_the_commit() {
        let dir = tempfile::tempdir().unwrap();
        let mut a = Acks::open(&dir.path().join("x"), 0).unwrap();
        a.add(0, b"first....", 0).unwrap();
        assert!(a.low() == 0 && a.has(0, b"first...."));
        a.add(10, b"second...", 20).unwrap();
        assert_eq!(a.low(), 20);
    }

    #[test]
    fn the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut a = Acks::open(&path, u64::MAX).unwrap();
        for i in 0..10 {
            a.add(i * 10, b"123456789", u64::MAX).unwrap();
        }
        a.size = COMPACT + 1;
        a.add(100, b"123456789", u64::MAX).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 40 && a.low() == 110);
        a.add(110, b"123456789", u64::MAX).unwrap();
        let again = Acks::open(&path, 115).unwrap();
        assert!(again.low() == 110 && again.has(110, b"123456789"), "behind the mark an entry stays an entry");
        assert_eq!(Acks::open(&path, 120).unwrap().low(), 120);
    }
}
