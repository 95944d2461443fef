//! Files named by a path: a file, a folder with everything below it, or a glob.
//!
//! Symbolic links are followed; a folder that is its own ancestor is entered once. Names that start with a dot are
//! passed over unless they are named. The result is sorted by path and bounded by [`MAX_FILES`].
use globset::{GlobBuilder, GlobMatcher};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most files one path may name.
pub(crate) const MAX_FILES: usize = 100_000;
/// Deepest folder below the one that is named.
const MAX_DEPTH: usize = 32;

/// A file that was found.
pub(crate) struct Found {
    /// Its path as the user would write it: relative where the given path was.
    pub(crate) name: String,
    /// What the system knows of it.
    pub(crate) meta: Metadata,
}

/// True if a path holds glob characters.
pub(crate) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// Check a glob without touching the disk.
pub(crate) fn check(path: &str) -> Result<(), String> {
    matcher(path).map(drop).map_err(|e| e.to_string())
}

fn matcher(path: &str) -> io::Result<GlobMatcher> {
    let glob = GlobBuilder::new(path).literal_separator(true).build();
    glob.map(|g| g.compile_matcher()).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.to_string()))
}

/// Everything `path` names below `root` (an absolute `path` stands for itself). `NotFound` if that is nothing.
pub(crate) fn find(root: &Path, path: &str) -> io::Result<Vec<Found>> {
    let mut walk = Walk { root, glob: None, above: Vec::new(), out: Vec::new() };
    if is_glob(path) {
        walk.glob = Some(matcher(path)?);
        let fixed = &path[..path.find(['*', '?', '[', '{']).unwrap_or(0)];
        walk.folder(fixed.rfind('/').map_or("", |i| &path[..i + 1]), 0)?;
    } else {
        let meta = fs::metadata(root.join(path))?;
        if !meta.is_dir() {
            return Ok(vec![Found { name: path.into(), meta }]);
        }
        walk.folder(&format!("{}/", path.trim_end_matches('/')), 0)?;
    }
    let mut out = walk.out;
    if out.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("nothing at {path}")));
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

struct Walk<'a> {
    root: &'a Path,
    glob: Option<GlobMatcher>,
    /// Folders we are in, by device and inode.
    above: Vec<(u64, u64)>,
    out: Vec<Found>,
}

impl Walk<'_> {
    /// Enter a folder; `prefix` is its name with a slash, or empty for the root itself.
    fn folder(&mut self, prefix: &str, depth: usize) -> io::Result<()> {
        let dir: PathBuf = if prefix.is_empty() { self.root.into() } else { self.root.join(prefix) };
        let id = fs::metadata(&dir).map(|m| (m.dev(), m.ino()))?;
        if depth > MAX_DEPTH || self.above.contains(&id) {
            return Ok(());
        }
        self.above.push(id);
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{file}");
            // A file may go between being listed and being looked at: then it is not there.
            let Ok(meta) = fs::metadata(entry.path()) else { continue };
            if meta.is_dir() {
                match self.folder(&format!("{name}/"), depth + 1) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    r => r?,
                }
            } else if meta.is_file() && self.glob.as_ref().is_none_or(|g| g.is_match(&name)) {
                if self.out.len() == MAX_FILES {
                    return Err(io::Error::other(format!("more than {MAX_FILES} files; name a smaller folder")));
                }
                self.out.push(Found { name, meta });
            }
        }
        self.above.pop();
        Ok(())
    }
}
