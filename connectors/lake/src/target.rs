//! Where a lake is: a folder, or object storage (`s3://bucket/prefix`).
//!
//! Both ways a file appears whole, under a name that is a function of epoch, lane and number. In a folder it gets its
//! second name there. To object storage it is sent; should the name be taken by the same bytes (a crash came between this
//! and the commit record), that is success.
use model::{Objects, OpenObjects, Result};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A lake that can be written to.
pub enum Target {
    /// A folder.
    Folder(PathBuf),
    /// Object storage.
    Objects(Arc<dyn Objects>),
}

/// True if a path of the settings is the URL of object storage.
pub fn is_url(path: &str) -> bool {
    path.contains("://")
}

impl Target {
    /// Open the lake at `path`, relative to `work_dir` if it is a folder. Touches nothing yet.
    pub fn open(path: &str, work_dir: &Path, objects: &OpenObjects) -> Result<Target> {
        match is_url(path) {
            true => Ok(Target::Objects(objects.open(path)?)),
            false => Ok(Target::Folder(work_dir.join(path))),
        }
    }

    /// What an [`crate::intent::Intent`] calls the file `name`.
    pub fn place(&self, name: &str) -> PathBuf {
        match self {
            Target::Folder(root) => root.join(name),
            Target::Objects(_) => name.into(),
        }
    }

    /// Make a file of staging visible, durably, at its place. It stays in staging as well: if the commit is undone, its rows
    /// are needed again.
    pub fn publish(&self, staged: &Path, place: &Path) -> Result<()> {
        match self {
            Target::Folder(_) => {
                let dir = place.parent().unwrap_or(Path::new("."));
                fs::create_dir_all(dir).map_err(|e| format!("make {}: {e}", dir.display()))?;
                link(staged, place).map_err(|e| format!("link {}: {e}", place.display()))?;
                Ok(File::open(dir)?.sync_all()?)
            }
            Target::Objects(objects) => {
                let bytes = fs::read(staged).map_err(|e| format!("read {}: {e}", staged.display()))?;
                objects.put(&place.to_string_lossy(), &bytes)
            }
        }
    }

    /// Remove what was published at a place; it may not be there.
    pub fn remove(&self, place: &Path) -> Result<()> {
        match self {
            Target::Folder(_) => match fs::remove_file(place) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(format!("remove {}: {e}", place.display()).into()),
                _ => Ok(()),
            },
            Target::Objects(objects) => objects.delete(&place.to_string_lossy()),
        }
    }

    /// Most bytes at which the next file is begun: one that is sent is held in memory.
    pub fn bytes_max(&self) -> u64 {
        match self {
            Target::Folder(_) => u64::MAX,
            Target::Objects(_) => SENT_MAX,
        }
    }
}

/// See [`Target::bytes_max`]; a file may have twice as many.
const SENT_MAX: u64 = 128 << 20;

/// A second name for a file; a copy, where the file system has no second names.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::hard_link(from, to) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::StorageFull) => Err(e),
        Err(_) => {
            let temp = to.with_extension("tmp");
            fs::copy(from, &temp)?;
            File::open(&temp)?.sync_all()?;
            fs::rename(&temp, to)
        }
        ok => ok,
    }
}
