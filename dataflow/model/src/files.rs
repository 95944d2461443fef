//! The files a topology is made of. Everything that decides output (graph, rules, schemas, tables) is read through
//! this, so that a run can record what it used and a replay can use the same bytes.
use std::io;
use std::sync::Arc;

/// Read access to content files by path relative to the topology's folder.
pub trait Files: Send + Sync {
    /// Bytes of a file.
    fn read(&self, path: &str) -> io::Result<Arc<[u8]>>;
    /// Files under a folder (recursive) or matching a glob, sorted by path. A path that is a file gives itself.
    /// `NotFound` if nothing is there.
    fn list(&self, path_or_glob: &str) -> io::Result<Vec<String>>;
}

/// Files kept in memory: tests, bundles.
#[derive(Clone, Debug, Default)]
pub struct MemFiles(pub std::collections::BTreeMap<String, Arc<[u8]>>);

impl MemFiles {
    /// From `(path, text)` pairs.
    pub fn of(files: &[(&str, &str)]) -> MemFiles {
        MemFiles(files.iter().map(|(p, t)| (p.to_string(), Arc::from(t.as_bytes()))).collect())
    }
}

impl Files for MemFiles {
    fn read(&self, path: &str) -> io::Result<Arc<[u8]>> {
        self.0.get(path).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no file {path}")))
    }
    fn list(&self, at: &str) -> io::Result<Vec<String>> {
        let dir = format!("{}/", at.trim_end_matches('/'));
        let star = at.find('*');
        let hit = |p: &str| match star {
            None => p == at || p.starts_with(&dir),
            Some(i) => {
                let tail = at[i..].trim_start_matches(['*', '/']);
                p.starts_with(&at[..i]) && p.ends_with(tail) && (at.contains("**") || !p[i..].contains('/'))
            }
        };
        let v: Vec<String> = self.0.keys().filter(|p| hit(p)).cloned().collect();
        if v.is_empty() { Err(io::Error::new(io::ErrorKind::NotFound, format!("nothing at {at}"))) } else { Ok(v) }
    }
}
