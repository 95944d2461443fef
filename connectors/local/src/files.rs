//! Content files of a topology on disk: schemas, rules, lookup tables.
use crate::walk;
use model::Files;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Largest content file.
pub const MAX_FILE: u64 = 256 << 20;

/// [`Files`] below a folder of the disk; absolute paths stand for themselves, links are followed.
#[derive(Clone, Debug)]
pub struct DiskFiles {
    root: PathBuf,
}

impl DiskFiles {
    /// Files relative to `root`, the folder of the topology.
    pub fn new(root: impl Into<PathBuf>) -> DiskFiles {
        DiskFiles { root: root.into() }
    }
}

impl Files for DiskFiles {
    fn read(&self, path: &str) -> io::Result<Arc<[u8]>> {
        let full = self.root.join(path);
        let meta = std::fs::metadata(&full)?;
        if !meta.is_file() {
            return Err(io::Error::other(format!("{path} is not a file")));
        }
        if meta.len() > MAX_FILE {
            return Err(io::Error::other(format!("{path} has {} bytes; at most {MAX_FILE} are read", meta.len())));
        }
        std::fs::read(&full).map(Arc::from)
    }
    fn list(&self, at: &str) -> io::Result<Vec<String>> {
        Ok(walk::find(&self.root, at)?.into_iter().map(|f| f.name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn finds_files_folders_and_globs() {
        let dir = tempfile::tempdir().unwrap();
        for f in ["rules/b.yml", "rules/a.yml", "rules/deep/c.yml", "rules/.hidden", "top.csv"] {
            fs::create_dir_all(dir.path().join(f).parent().unwrap()).unwrap();
            fs::write(dir.path().join(f), f).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("rules/loop")).unwrap();
        std::os::unix::fs::symlink("top.csv", dir.path().join("link.csv")).unwrap();
        let files = DiskFiles::new(dir.path());
        let loops = |v: Vec<String>| v.into_iter().filter(|p| !p.contains("loop")).collect::<Vec<_>>();
        assert_eq!(loops(files.list("rules").unwrap()), ["rules/a.yml", "rules/b.yml", "rules/deep/c.yml"]);
        assert_eq!(files.list("rules/*.yml").unwrap(), ["rules/a.yml", "rules/b.yml"]);
        assert_eq!(loops(files.list("**/*.yml").unwrap()), ["rules/a.yml", "rules/b.yml", "rules/deep/c.yml"]);
        assert_eq!(files.list("*.csv").unwrap(), ["link.csv", "top.csv"]);
        assert_eq!(files.list("top.csv").unwrap(), ["top.csv"]);
        assert_eq!(&*files.read("link.csv").unwrap(), b"top.csv");
        let abs = dir.path().join("top.csv").to_string_lossy().into_owned();
        assert_eq!(DiskFiles::new("/nowhere").list(&abs).unwrap(), std::slice::from_ref(&abs));
        assert_eq!(&*DiskFiles::new("/nowhere").read(&abs).unwrap(), b"top.csv");
        assert_eq!(files.list("none").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(files.list("none/*.x").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(files.read("rules").is_err() && files.list("[").is_err());
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let f = fs::File::create(dir.path().join("big")).unwrap();
        f.set_len(MAX_FILE + 1).unwrap();
        assert!(DiskFiles::new(dir.path()).read("big").unwrap_err().to_string().contains("at most"));
        f.set_len(10).unwrap();
        assert_eq!(DiskFiles::new(dir.path()).read("big").unwrap().len(), 10);
    }
}
