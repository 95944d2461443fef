//! The outbox: a file of alerts to deliver, one JSON line each, written exactly once like any other output.
//!
//! A line's offset is its identity for delivery: a replay writes the same lines at the same offsets, so what was
//! delivered before a crash stays delivered after it.
use crate::at;
use model::{Receipt, Result};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest line that is read back; an alert is a few kilobytes.
const MAX_LINE: usize = 16 << 20;

/// Writer's side of the outbox.
pub(crate) struct Outbox {
    path: PathBuf,
    file: Arc<File>,
    len: u64,
}

impl Outbox {
    /// Open the outbox of a sink and cut it to what was committed.
    pub(crate) fn open(path: &Path, last: Option<&Receipt>) -> Result<Outbox> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(at("create folder", dir))?;
        }
        let new = !path.exists();
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = open.map_err(at("open", path))?;
        let committed = match last {
            None => 0,
            Some(r) => {
                r.state.get("len").and_then(|l| l.as_u64()).ok_or("a commit record without the length of its outbox")?
            }
        };
        let have = file.metadata().map_err(at("look at", path))?.len();
        if have < committed {
            return Err(format!(
                "{} has {have} bytes, but {committed} were committed: it was changed by somebody else; restore it, or \
                 start over with an empty data folder",
                path.display()
            )
            .into());
        }
        if have > committed {
            file.set_len(committed).and_then(|()| file.sync_all()).map_err(at("cut", path))?;
        }
        if new && let Some(dir) = path.parent() {
            File::open(dir).and_then(|d| d.sync_all()).map_err(at("sync folder", dir))?;
        }
        Ok(Outbox { path: path.into(), file: Arc::new(file), len: committed })
    }

    /// Append lines, durable when this returns; the new length.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<u64> {
        if !lines.is_empty() {
            let written = self.file.write_all_at(lines, self.len).and_then(|()| self.file.sync_data());
            written.map_err(at("write", &self.path))?;
            self.len += lines.len() as u64;
        }
        Ok(self.len)
    }

    /// Committed length.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Handle for reading.
    pub(crate) fn file(&self) -> Arc<File> {
        self.file.clone()
    }
}

/// The line at `offset` of an outbox that is `len` bytes long, without its line end.
pub(crate) fn line_at(file: &File, offset: u64, len: u64) -> Result<Vec<u8>> {
    let (mut line, mut block) = (Vec::new(), [0; 4096]);
    while line.len() < MAX_LINE {
        let at = offset + line.len() as u64;
        let n = (len - at).min(block.len() as u64) as usize;
        file.read_exact_at(&mut block[..n], at).map_err(|e| format!("cannot read the outbox at byte {at}: {e}"))?;
        match block[..n].iter().position(|b| *b == b'\n') {
            Some(i) => {
                line.extend_from_slice(&block[..i]);
                return Ok(line);
            }
            None if n == 0 => break,
            None => line.extend_from_slice(&block[..n]),
        }
    }
    Err(format!("the outbox has no line end behind byte {offset}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back_and_cut_to_what_was_committed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox/x.jsonl");
        let mut o = Outbox::open(&path, None).unwrap();
        let long = "y".repeat(10_000);
        let len = o.append(format!("one\n{long}\n").as_bytes()).unwrap();
        assert_eq!(line_at(&o.file(), 0, len).unwrap(), b"one");
        assert_eq!(line_at(&o.file(), 4, len).unwrap(), long.as_bytes());
        assert!(line_at(&o.file(), 4, 100).is_err());
        o.append(b"three\n").unwrap();
        let last = Receipt { state: serde_json::json!({ "len": len }), ..Receipt::default() };
        assert_eq!(Outbox::open(&path, Some(&last)).unwrap().len(), len);
        assert_eq!(fs::metadata(&path).unwrap().len(), len);
        fs::write(&path, "short").unwrap();
        assert!(Outbox::open(&path, Some(&last)).err().unwrap().to_string().contains("were committed"));
    }
}
