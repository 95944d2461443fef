//! A set of files to appear that can be undone.
//!
//! Before files appear in the lake, their names are written down durably. If the engine dies before the epoch's commit
//! record, the next incarnation finds the list and removes what it names: readers of the lake see an epoch's files only
//! once it is committed, or shortly before. Listing the lake's folders to find strays is never needed.
use crate::staging::Staging;
use model::{Epoch, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a shard is about to make visible.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Intent {
    /// Epoch of the commit.
    pub epoch: Epoch,
    /// Final paths; names, in object storage.
    pub files: Vec<PathBuf>,
    /// Staged files whose rows are in them.
    pub spent: Vec<String>,
}

impl Intent {
    /// Name of the list of an epoch.
    pub fn name(epoch: Epoch) -> String {
        format!("{epoch:012}.intent")
    }
    /// True for the name of a list.
    pub fn is(name: &str) -> bool {
        name.ends_with(".intent")
    }
    /// Read one.
    pub fn of(bytes: &[u8]) -> Result<Intent> {
        Ok(serde_json::from_slice(bytes).map_err(|e| format!("a list of files to appear: {e}"))?)
    }
    /// Write it down, durably.
    pub fn write(&self, staging: &Staging) -> Result<()> {
        staging.write(&Intent::name(self.epoch), &serde_json::to_vec(self)?)
    }
    /// Undo the list with this name by `remove` if its epoch was not committed; either way it is done with.
    pub fn undo(
        staging: &Staging,
        name: &str,
        committed: Epoch,
        mut remove: impl FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        let intent = Intent::of(&std::fs::read(staging.path(name)?)?)?;
        if intent.epoch > committed {
            intent.files.iter().try_for_each(|f| remove(f))?;
        }
        staging.remove(name)
    }
}
