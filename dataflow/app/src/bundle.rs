//! A topology with everything that decides its output: the files it read, what its globs found, the variables it used.
//!
//! The bundle's hash stands in every epoch record. A replay after a crash runs under the bundle of the record, from
//! copies kept in the data folder, so an edit that was saved while the engine was down cannot change what is replayed.
use model::Files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
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

/// Bundles and their contents in the data folder.
pub struct Shelf(PathBuf);

impl Shelf {
    /// In `data_dir/content`.
    pub fn new(data_dir: &Path) -> Shelf {
        Shelf(data_dir.join("content"))
    }
    /// Keep a bundle: contents first, then the list that names them.
    pub fn keep(&self, bundle: &Bundle, contents: &BTreeMap<String, Arc<[u8]>>) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        for (h, bytes) in contents {
            self.write(h, bytes)?;
        }
        self.write(&format!("{}.bundle", bundle.hash()), &serde_json::to_vec_pretty(bundle)?)?;
        std::fs::File::open(&self.0)?.sync_all()
    }
    /// Bytes of a kept file or bundle (`<hash>`, `<hash>.bundle`), if it is here.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') && !name.starts_with('.');
        std::fs::read(self.0.join(name)).ok().filter(|_| plain)
    }
    /// Make sure that a bundle and its files are here; `want` fetches what is not.
    pub fn fetch(&self, hash_: &str, want: impl Fn(&str) -> anyhow::Result<Vec<u8>>) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let name = format!("{hash_}.bundle");
        if self.get(&name).is_none() {
            self.write(&name, &want(&name)?)?;
        }
        let bundle = self.open(hash_)?.bundle;
        for file in bundle.files.values().flatten().filter(|f| self.get(f).is_none()) {
            let bytes = want(file)?;
            anyhow::ensure!(hash(&bytes) == *file, "process 0 sent something else than {file}");
            self.write(file, &bytes)?;
        }
        Ok(())
    }
    /// Read a bundle back.
    pub fn open(&self, hash_: &str) -> io::Result<Shelved<'_>> {
        let path = self.0.join(format!("{hash_}.bundle"));
        let bytes = std::fs::read(&path)
            .map_err(|e| io::Error::new(e.kind(), format!("kept topology {}: {e}", path.display())))?;
        let bundle: Bundle = serde_json::from_slice(&bytes)?;
        Ok(Shelved { shelf: self, bundle })
    }
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.0.join(name);
        if path.exists() {
            return Ok(());
        }
        let temp = self.0.join(format!("{name}.{}.tmp", std::process::id()));
        std::fs::write(&temp, bytes)?;
        std::fs::File::open(&temp)?.sync_all()?;
        std::fs::rename(&temp, &path)
    }
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
        let bytes = std::fs::read(self.shelf.0.join(&h))?;
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
}
