//! A topology with everything that decides its output: the files it read, what its globs found, the variables it used.
//!
//! The bundle's hash stands in every epoch record. A replay after a crash runs under the bundle of the record, from
//! copies kept in the data folder, so an edit that was saved while the engine was down cannot change what is replayed.
use model::Files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a load read. Equal bundles give equal topologies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Path of the topology file, relative to its folder.
    pub entry: String,
    /// Content hash of every file read (`None`: the file did not exist).
    pub files: BTreeMap<String, Option<String>>,
    /// Result of every folder or glob listed.
    pub lists: BTreeMap<String, Vec<String>>,
    /// Variables asked for, with their values.
    pub env: BTreeMap<String, Option<String>>,
}

impl Bundle {
    /// Name of the bundle: hash of its canonical text.
    pub fn hash(&self) -> String {
        hash(&serde_json::to_vec(self).expect("plain data"))
    }
    /// True if some file or list is not as it was.
    pub fn changed(&self, disk: &dyn Files) -> bool {
        self.files.iter().any(|(p, h)| disk.read(p).ok().map(|b| hash(&b)) != *h)
            || self.lists.iter().any(|(p, l)| disk.list(p).unwrap_or_default() != *l)
    }
}

/// xxh3-128 in hex.
pub fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes))
}

/// Files that remember what was asked of them.
pub struct Recorder<'a> {
    inner: &'a dyn Files,
    seen: Mutex<(Bundle, BTreeMap<String, Arc<[u8]>>)>,
}

impl<'a> Recorder<'a> {
    /// Record what is read from `inner`.
    pub fn new(entry: &str, inner: &'a dyn Files) -> Recorder<'a> {
        let bundle = Bundle { entry: entry.into(), ..Bundle::default() };
        Recorder { inner, seen: Mutex::new((bundle, BTreeMap::new())) }
    }
    /// Remember a variable.
    pub fn env(&self, name: &str, value: Option<String>) -> Option<String> {
        self.seen.lock().expect("no holder panics").0.env.insert(name.into(), value.clone());
        value
    }
    /// The bundle, and contents by hash.
    pub fn finish(self) -> (Bundle, BTreeMap<String, Arc<[u8]>>) {
        self.seen.into_inner().expect("no holder panics")
    }
}

impl Files for Recorder<'_> {
    fn read(&self, path: &str) -> io::Result<Arc<[u8]>> {
        let got = self.inner.read(path);
        let mut seen = self.seen.lock().expect("no holder panics");
        match &got {
            Ok(bytes) => {
                let h = hash(bytes);
                seen.1.insert(h.clone(), bytes.clone());
                seen.0.files.insert(path.into(), Some(h));
            }
            Err(_) => {
                seen.0.files.insert(path.into(), None);
            }
        }
        got
    }
    fn list(&self, at: &str) -> io::Result<Vec<String>> {
        let got = self.inner.list(at);
        let found = got.as_ref().cloned().unwrap_or_default();
        self.seen.lock().expect("no holder panics").0.lists.insert(at.into(), found);
        got
    }
}

/// Files that are kept in one go are packed if there are more: each of its own would be waited for until it is on the disk.
const FEW: usize = 16;

/// Where a packed file is: the pack, offset, length.
type Place = (PathBuf, u64, usize);

/// Bundles and their contents in the data folder: a file each, or many in a pack.
///
/// `<hash>.pack` is named after the bundle it was made for, and holds a line of JSON (`[["<hash>", length], …]`), then the
/// files, one behind the other.
pub struct Shelf {
    dir: PathBuf,
    /// What packs held when they were last read. Another shelf of this folder may have added to them since.
    packed: Mutex<BTreeMap<String, Place>>,
}

impl Shelf {
    /// In `data_dir/content`.
    pub fn new(data_dir: &Path) -> Shelf {
        Shelf { dir: data_dir.join("content"), packed: Mutex::default() }
    }
    /// Keep a bundle: contents first, then the list that names them.
    pub fn keep(&self, bundle: &Bundle, contents: &BTreeMap<String, Arc<[u8]>>) -> io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        self.put(&bundle.hash(), contents)?;
        self.write(&format!("{}.bundle", bundle.hash()), &serde_json::to_vec_pretty(bundle)?)?;
        std::fs::File::open(&self.dir)?.sync_all()
    }
    /// Bytes of a kept file or bundle (`<hash>`, `<hash>.bundle`), if it is here.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') && !name.starts_with('.');
        if !plain {
            return None;
        }
        if let Ok(bytes) = std::fs::read(self.dir.join(name)) {
            return Some(bytes);
        }
        let (pack, offset, len) = self.place(name)?;
        let mut bytes = vec![0; len];
        std::fs::File::open(pack).and_then(|f| f.read_exact_at(&mut bytes, offset)).ok()?;
        Some(bytes)
    }
    /// Where a packed file is. One that is not known is looked for on the disk again.
    fn place(&self, name: &str) -> Option<Place> {
        let mut packed = self.packed.lock().expect("no holder panics");
        if !packed.contains_key(name) {
            *packed = packs(&self.dir);
        }
        packed.get(name).cloned()
    }
    /// Those that are not here, after one look at the packs.
    fn missing<'n>(&self, names: impl Iterator<Item = &'n String>) -> Vec<&'n String> {
        let packed = packs(&self.dir);
        names.filter(|n| !packed.contains_key(*n) && !self.dir.join(n).exists()).collect()
    }
    /// Keep the files that are not here yet; `hash_` is the bundle's.
    fn put(&self, hash_: &str, contents: &BTreeMap<String, Arc<[u8]>>) -> io::Result<()> {
        let new = self.missing(contents.keys());
        if new.len() <= FEW {
            return new.into_iter().try_for_each(|h| self.write(h, &contents[h]));
        }
        let head: Vec<(&String, usize)> = new.iter().map(|h| (*h, contents[*h].len())).collect();
        let mut pack = serde_json::to_vec(&head)?;
        pack.push(b'\n');
        new.iter().for_each(|h| pack.extend_from_slice(&contents[*h]));
        self.write(&format!("{hash_}.pack"), &pack)
    }
    /// Make sure that a bundle and its files are here; `want` fetches what is not.
    pub fn fetch(&self, hash_: &str, want: impl Fn(&str) -> anyhow::Result<Vec<u8>>) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let name = format!("{hash_}.bundle");
        if self.get(&name).is_none() {
            self.write(&name, &want(&name)?)?;
        }
        let bundle = self.open(hash_)?.bundle;
        let mut contents: BTreeMap<String, Arc<[u8]>> = BTreeMap::new();
        for file in self.missing(bundle.files.values().flatten()) {
            let bytes = want(file)?;
            anyhow::ensure!(hash(&bytes) == *file, "process 0 sent something else than {file}");
            contents.insert(file.clone(), bytes.into());
        }
        Ok(self.put(hash_, &contents)?)
    }
    /// Read a bundle back.
    pub fn open(&self, hash_: &str) -> io::Result<Shelved<'_>> {
        let path = self.dir.join(format!("{hash_}.bundle"));
        let bytes = std::fs::read(&path)
            .map_err(|e| io::Error::new(e.kind(), format!("kept topology {}: {e}", path.display())))?;
        let bundle: Bundle = serde_json::from_slice(&bytes)?;
        Ok(Shelved { shelf: self, bundle })
    }
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.dir.join(name);
        if path.exists() {
            return Ok(());
        }
        let temp = self.dir.join(format!("{name}.{}.tmp", std::process::id()));
        std::fs::write(&temp, bytes)?;
        std::fs::File::open(&temp)?.sync_all()?;
        std::fs::rename(&temp, &path)
    }
}

/// What the packs of a folder hold. One that cannot be read holds nothing: its files are missing then.
fn packs(dir: &Path) -> BTreeMap<String, Place> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "pack") {
            continue;
        }
        let Ok(file) = std::fs::File::open(&path) else { continue };
        let mut head = Vec::new();
        let read = io::BufReader::new(file).read_until(b'\n', &mut head);
        let Ok(files) = read.and_then(|_| Ok(serde_json::from_slice::<Vec<(String, usize)>>(&head)?)) else { continue };
        let mut offset = head.len() as u64;
        for (name, len) in files {
            all.insert(name, (path.clone(), offset, len));
            offset += len as u64;
        }
    }
    all
}

/// The files of a kept bundle.
pub struct Shelved<'a> {
    shelf: &'a Shelf,
    /// What it holds.
    pub bundle: Bundle,
}

impl Files for Shelved<'_> {
    fn read(&self, path: &str) -> io::Result<Arc<[u8]>> {
        let missing =
            || io::Error::new(io::ErrorKind::NotFound, format!("{path} was not there when this topology was applied"));
        let h = self.bundle.files.get(path).cloned().flatten().ok_or_else(missing)?;
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("the kept copy of {path} is gone"));
        let bytes = self.shelf.get(&h).ok_or_else(gone)?;
        match hash(&bytes) == h {
            true => Ok(bytes.into()),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, format!("the kept copy of {path} is damaged"))),
        }
    }
    fn list(&self, at: &str) -> io::Result<Vec<String>> {
        match self.bundle.lists.get(at) {
            Some(v) if !v.is_empty() => Ok(v.clone()),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, format!("nothing at {at}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::files::MemFiles;

    #[test]
    fn a_kept_bundle_reads_back_as_it_was() {
        let dir = std::env::temp_dir().join(format!("millstream-shelf-{}", std::process::id()));
        let files = MemFiles::of(&[("t.toml", "a"), ("rules/x.yml", "b")]);
        let rec = Recorder::new("t.toml", &files);
        rec.read("t.toml").unwrap();
        rec.list("rules").unwrap();
        rec.read("rules/x.yml").unwrap();
        assert!(rec.read("gone").is_err());
        rec.env("X", Some("1".into()));
        let (bundle, contents) = rec.finish();
        let shelf = Shelf::new(&dir);
        shelf.keep(&bundle, &contents).unwrap();
        let back = shelf.open(&bundle.hash()).unwrap();
        assert_eq!(back.bundle, bundle);
        assert_eq!(&*back.read("rules/x.yml").unwrap(), b"b");
        assert_eq!(back.list("rules").unwrap(), vec!["rules/x.yml"]);
        assert!(back.read("gone").is_err() && back.read("other").is_err());
        std::fs::write(dir.join("content").join(hash(b"b")), "c").unwrap();
        assert!(back.read("rules/x.yml").unwrap_err().to_string().contains("damaged"));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn many_files_are_one_on_the_disk() {
        let dir = std::env::temp_dir().join(format!("millstream-pack-{}", std::process::id()));
        let texts: Vec<(String, String)> = (0..100).map(|i| (format!("r{i}"), "x".repeat(i))).collect();
        let files = MemFiles::of(&texts.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect::<Vec<_>>());
        let rec = Recorder::new("r0", &files);
        texts.iter().for_each(|(n, _)| drop(rec.read(n).unwrap()));
        let (bundle, contents) = rec.finish();
        let (shelf, early) = (Shelf::new(&dir), Shelf::new(&dir));
        assert_eq!(early.get(&hash(b"x")), None);
        shelf.keep(&bundle, &contents).unwrap();
        assert_eq!(early.get(&hash(b"x")).unwrap(), b"x", "a shelf finds what another one has packed since");
        let on_disk = || std::fs::read_dir(dir.join("content")).unwrap().count();
        assert_eq!(on_disk(), 2);
        shelf.keep(&bundle, &contents).unwrap();
        assert_eq!(on_disk(), 2, "what is here is not kept again");
        // Another process, and one that gets them from it.
        let (reader, other) = (Shelf::new(&dir), Shelf::new(&dir.join("other")));
        other.fetch(&bundle.hash(), |name| Ok(reader.get(name).unwrap())).unwrap();
        for shelf in [&reader, &other] {
            let back = shelf.open(&bundle.hash()).unwrap();
            assert!(texts.iter().all(|(n, t)| &*back.read(n).unwrap() == t.as_bytes()));
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
