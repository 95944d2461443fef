//! Where a lake is: a folder, or object storage (`s3://bucket/prefix`).
//!
//! Both ways a file appears whole, under a name that is a function of epoch, lane and number. In a folder it is renamed
//! from staging. To object storage it is sent from staging in the data folder; should the name be taken by the same
//! bytes (a crash came between this and the commit record), that is success.
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

    /// Folder for files that are not final, of a writer with this name. It is local, and for a folder in the same file
    /// system.
    pub fn staging(&self, writer: &str, data_dir: &Path) -> PathBuf {
        match self {
            Target::Folder(root) => root.join("_staging").join(writer),
            Target::Objects(_) => data_dir.join("lake").join(writer),
        }
    }

    /// What an [`crate::intent::Intent`] calls the file `name`.
    pub fn place(&self, name: &str) -> PathBuf {
        match self {
            Target::Folder(root) => root.join(name),
            Target::Objects(_) => name.into(),
        }
    }

    /// Make a staged file visible, durably, at its place.
    pub fn publish(&self, temp: &Path, place: &Path) -> Result<()> {
        match self {
            Target::Folder(_) => {
                let dir = place.parent().unwrap_or(Path::new("."));
                fs::create_dir_all(dir).map_err(|e| format!("make {}: {e}", dir.display()))?;
                fs::rename(temp, place).map_err(|e| format!("rename to {}: {e}", place.display()))?;
                Ok(File::open(dir)?.sync_all()?)
            }
            Target::Objects(objects) => {
                let bytes = fs::read(temp).map_err(|e| format!("read {}: {e}", temp.display()))?;
                objects.put(&place.to_string_lossy(), &bytes)?;
                Ok(fs::remove_file(temp).map_err(|e| format!("remove {}: {e}", temp.display()))?)
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

    /// Size at which a file is closed and the next one begun: one that is sent is held in memory.
    pub fn file_max(&self) -> usize {
        match self {
            Target::Folder(_) => usize::MAX,
            Target::Objects(_) => SENT_MAX,
        }
    }
}

/// See [`Target::file_max`], bytes; a row group more may be in the file.
const SENT_MAX: usize = 64 << 20;
