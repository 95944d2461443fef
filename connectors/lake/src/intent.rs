//! A set of files to appear that can be undone.
//!
//! Before files get their final names, the names are written down durably. If the engine dies before the epoch's commit
//! record, the next incarnation finds the list and removes what it names: readers of the lake see an epoch's files only
//! once it is committed, or shortly before. Listing folders to find strays is never needed.
use model::Result;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What a shard is about to make visible.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Intent {
    /// Epoch of the commit.
    pub epoch: u64,
    /// Final paths; names, in object storage.
    pub files: Vec<PathBuf>,
}

impl Intent {
    /// Write it down in `dir`, durably.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let temp = dir.join("intent.tmp");
        fs::write(&temp, serde_json::to_vec(self)?)?;
        File::open(&temp)?.sync_all()?;
        fs::rename(&temp, dir.join("intent.json"))?;
        Ok(File::open(dir)?.sync_all()?)
    }
    /// Undo the last intent with `remove` if its epoch was not committed.
    pub fn undo(dir: &Path, committed: u64, mut remove: impl FnMut(&Path) -> Result<()>) -> Result<()> {
        let bytes = match fs::read(dir.join("intent.json")) {
            Ok(b) => b,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(format!("read {}: {e}", dir.join("intent.json").display()).into()),
        };
        let intent: Intent = serde_json::from_slice(&bytes)?;
        if intent.epoch > committed {
            intent.files.iter().try_for_each(|f| remove(f))?;
        }
        Ok(())
    }
}
