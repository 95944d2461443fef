//! Files of one writer that are not in the lake: half-written ones, rows that wait for a larger file, and lists of what is
//! about to appear.
//!
//! For a lake in a folder they are in `_staging/<writer>/`. For object storage half-written files are in the data folder,
//! and what is kept is in the bucket under the same name, so that another machine finds it.
use crate::target::Target;
use model::{Objects, Result};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folder of a lake in which nothing is final.
pub const STAGING: &str = "_staging";

/// Staging of one writer.
pub struct Staging {
    /// Local folder.
    dir: PathBuf,
    /// Object storage, and what names in it start with.
    objects: Option<(Arc<dyn Objects>, String)>,
}

impl Staging {
    /// Of the writer with this name. Touches nothing yet.
    pub fn open(target: &Target, writer: &str, data_dir: &Path) -> Staging {
        match target {
            Target::Folder(root) => Staging { dir: root.join(STAGING).join(writer), objects: None },
            Target::Objects(o) => Staging {
                dir: data_dir.join("lake").join(writer),
                objects: Some((o.clone(), format!("{STAGING}/{writer}/"))),
            },
        }
    }
    /// Make the local folder.
    pub fn create(&self) -> Result<()> {
        Ok(fs::create_dir_all(&self.dir).map_err(|e| format!("make {}: {e}", self.dir.display()))?)
    }
    /// Path of a file that is being written.
    pub fn temp(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.tmp"))
    }
    /// Keep a complete file under a name; durable after [`Staging::settle`].
    pub fn keep(&self, temp: &Path, name: &str) -> Result<()> {
        if let Some((objects, prefix)) = &self.objects {
            let bytes = fs::read(temp).map_err(|e| format!("read {}: {e}", temp.display()))?;
            objects.put(&format!("{prefix}{name}"), &bytes)?;
        }
        Ok(fs::rename(temp, self.dir.join(name)).map_err(|e| format!("rename {}: {e}", temp.display()))?)
    }
    /// Make what was kept and removed durable.
    pub fn settle(&self) -> Result<()> {
        Ok(File::open(&self.dir)?.sync_all()?)
    }
    /// Keep a few bytes under a name, durably.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let temp = self.temp(name);
        let mut file = File::create(&temp).map_err(|e| format!("create {}: {e}", temp.display()))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.keep(&temp, name)?;
        self.settle()
    }
    /// Path of a kept file, fetched if another machine kept it.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if let Some((objects, prefix)) = self.objects.as_ref().filter(|_| !path.exists()) {
            fs::write(&path, objects.get(&format!("{prefix}{name}"))?)?;
        }
        Ok(path)
    }
    /// Every name there is, also of files that were never complete.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        if let Some((objects, prefix)) = &self.objects {
            names.extend(objects.list(prefix)?.iter().filter_map(|n| Some(n.strip_prefix(prefix)?.to_string())));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
    /// True if a kept file is where it can be read.
    pub fn has(&self, name: &str, names: &[String], bytes: u64) -> bool {
        match self.objects {
            None => fs::metadata(self.dir.join(name)).is_ok_and(|m| m.len() == bytes),
            Some(_) => names.iter().any(|n| n == name),
        }
    }
    /// Remove a file; it may be gone.
    pub fn remove(&self, name: &str) -> Result<()> {
        if let Some((objects, prefix)) = &self.objects {
            objects.delete(&format!("{prefix}{name}"))?;
        }
        match fs::remove_file(self.dir.join(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(format!("remove {name}: {e}").into()),
            _ => Ok(()),
        }
    }
    /// For messages.
    pub fn place(&self) -> String {
        match &self.objects {
            Some((_, prefix)) => format!("{prefix} of the bucket"),
            None => self.dir.display().to_string(),
        }
    }
}
