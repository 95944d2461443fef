//! What a split of a file says beyond its byte range, so that it can be read again in a later incarnation.
use model::Result;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
pub(crate) use stream::{Codec, Stream};
use xxhash_rust::xxh3::xxh3_64;

/// The detail of a split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Detail {
    /// Identity of the file.
    pub(crate) id: FileId,
    /// How to cut it.
    pub(crate) stream: Stream,
    /// How to unpack it.
    #[serde(skip_serializing_if = "is_plain")]
    pub(crate) codec: Codec,
    /// Where the file ended for the reader, whatever it has grown to since: nothing behind this is looked at.
    pub(crate) end: u64,
    /// A record starts at the first byte of the split, even if no line end is before it.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) fresh: bool,
    /// The split ends in the middle of a line that the writer had not finished.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) cut: bool,
    /// Nothing can be read, and why: decided and logged before the split was, so a replay rejects the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Unreadable>,
}

/// Why a part of a file was never offered for reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unreadable {
    /// `file_vanished`, `file_unreadable`.
    pub(crate) code: String,
    /// For a person.
    pub(crate) reason: String,
}

fn is_plain(c: &Codec) -> bool {
    *c == Codec::Plain
}
fn is_false(b: &bool) -> bool {
    !*b
}

/// Which file, apart from its name: inode and a hash of how it begins (inodes are used again, and a file can be
/// emptied and refilled in place). Not the device: its number changes when a disk is mounted again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileId {
    /// Inode.
    pub(crate) ino: u64,
    /// Number of bytes hashed.
    pub(crate) head: u32,
    /// xxh3-64 of them.
    pub(crate) hash: u64,
}

/// Most bytes of a file's beginning that tell it apart.
const HEAD: u64 = 1024;

impl FileId {
    /// Identity of an open file as it is now.
    pub(crate) fn of(file: &File) -> std::io::Result<FileId> {
        let m = file.metadata()?;
        let mut head = vec![0; m.len().min(HEAD) as usize];
        file.read_exact_at(&mut head, 0)?;
        Ok(FileId { ino: m.ino(), head: head.len() as u32, hash: xxh3_64(&head) })
    }
    /// True if the file still begins as it did.
    pub(crate) fn begins_alike(&self, file: &File) -> bool {
        let mut head = vec![0; self.head as usize];
        file.read_exact_at(&mut head, 0).is_ok() && xxh3_64(&head) == self.hash
    }
    /// True if this is the file.
    pub(crate) fn matches(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|m| m.ino() == self.ino) && self.begins_alike(file)
    }
}

impl Detail {
    /// True if the file is read in one go.
    pub(crate) fn is_whole(&self) -> bool {
        self.stream.is_whole() || self.codec != Codec::Plain
    }
    /// From the split of a log.
    pub(crate) fn of(split: &model::Split) -> Result<Detail> {
        Detail::deserialize(&split.detail)
            .map_err(|e| format!("split {} of {}: its detail cannot be read: {e}", split.from, split.name).into())
    }
}
