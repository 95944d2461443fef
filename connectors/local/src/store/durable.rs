//! Files that are either wholly there or not at all: write beside, fsync, rename, fsync the folder.
use crate::failure::at;
use model::Result;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Make names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(at("sync folder", dir))
}

/// Create a folder with its parents, each new name durable.
pub(crate) fn create_dirs(dir: &Path) -> Result<()> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut d = dir;
    while !d.exists() {
        missing.push(d.to_path_buf());
        match d.parent() {
            Some(p) if !p.as_os_str().is_empty() => d = p,
            _ => break,
        }
    }
    for d in missing.iter().rev() {
        match fs::create_dir(d) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(at("create folder", d)(e)),
        }
        if let Some(p) = d.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_dir(p)?;
        }
    }
    Ok(())
}

/// Replace `dest` by `parts`, written one after the other; `before_rename` runs when the bytes are safe under the
/// temporary name `tmp` (same file system) and nothing is visible yet.
pub(crate) fn replace(tmp: &Path, dest: &Path, parts: &[&[u8]], before_rename: impl FnOnce()) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut f = File::create(tmp)?;
        for p in parts {
            f.write_all(p)?;
        }
        f.sync_all()
    };
    if let Err(e) = write() {
        let _ = fs::remove_file(tmp);
        return Err(at("write", tmp)(e));
    }
    before_rename();
    fs::rename(tmp, dest).map_err(at("publish", dest))?;
    match dest.parent() {
        Some(dir) => sync_dir(dir),
        None => Ok(()),
    }
}
