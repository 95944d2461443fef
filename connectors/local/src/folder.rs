//! A folder as object storage: one file per object, written beside, synced and renamed.
use crate::failure::at;
use crate::store::{create_dirs, replace};
use model::{Objects, Result};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Objects below a folder; see [`Objects`].
pub struct Folder {
    root: PathBuf,
    temp: AtomicU64,
}

impl Folder {
    /// Objects below this folder, which is made with the first object.
    pub fn new(root: impl Into<PathBuf>) -> Folder {
        Folder { root: root.into(), temp: AtomicU64::new(0) }
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
        if name.is_empty() || !plain {
            return Err(format!("object name `{name}` leads out of {}", self.root.display()).into());
        }
        Ok(self.root.join(name))
    }
}

impl Objects for Folder {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name)?;
        match fs::read(&path) {
            Ok(there) if there == bytes => return Ok(()),
            Ok(_) => {
                return Err(format!("{} exists with other bytes: another writer uses it", path.display()).into());
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(at("read", &path)(e)),
        }
        let dir = path.parent().unwrap_or(&self.root);
        create_dirs(dir)?;
        let n = self.temp.fetch_add(1, Ordering::Relaxed);
        // A name that `list` passes over, in the same file system.
        let temp = dir.join(format!(".tmp.{}.{n}", std::process::id()));
        replace(&temp, &path, &[bytes], || model::fault::crash_point("object.before_rename"))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name)?;
        fs::read(&path).map_err(at("read", &path))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut out = Vec::new();
        walk(&self.root, "", &mut out)?;
        out.retain(|n| n.starts_with(prefix));
        out.sort();
        Ok(out)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(at("remove", &path)(e)),
            _ => Ok(()),
        }
    }
}

fn walk(dir: &Path, prefix: &str, out: &mut Vec<String>) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        r => r.map_err(at("list", dir))?,
    };
    for e in entries {
        let e = e.map_err(at("list", dir))?;
        let name = e.file_name().to_string_lossy().into_owned();
        if name.starts_with(".tmp.") {
            continue;
        }
        match e.file_type().map_err(at("look at", dir))?.is_dir() {
            true => walk(&e.path(), &format!("{prefix}{name}/"), out)?,
            false => out.push(format!("{prefix}{name}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_whole_and_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let f = Folder::new(dir.path().join("deep/er"));
        assert!(f.list("").unwrap().is_empty());
        f.put("a/1", b"x").unwrap();
        f.put("a/2", b"y").unwrap();
        f.put("a/1", b"x").unwrap();
        assert!(f.put("a/1", b"z").unwrap_err().to_string().contains("another writer"));
        assert_eq!(f.get("a/1").unwrap(), b"x");
        assert_eq!(f.list("a/").unwrap(), ["a/1", "a/2"]);
        std::fs::write(dir.path().join("deep/er/a/.tmp.1.2"), "half").unwrap();
        f.delete("a/1").unwrap();
        f.delete("a/1").unwrap();
        assert_eq!(f.list("").unwrap(), ["a/2"]);
        assert!(f.put("../x", b"").is_err() && f.get("/etc/passwd").is_err() && f.get("a/1").is_err());
    }
}
