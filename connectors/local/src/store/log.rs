//! An append-only log of framed records: `len u32 | crc32 u32 | payload`, little endian, the payload a JSON object.
//!
//! A crash in an append leaves a torn last frame, which is cut when the log is opened. Anything else that does not
//! read back is damage, and damage is an error, never a shorter log: a record that was once durable may have visible
//! output. The two look alike when the *length* of a frame is hit, so a frame that reaches past the end of the file
//! counts as torn only if no prefix of what follows has its checksum and no whole frame lies behind it.
use super::durable;
use crate::failure::{at, damaged};
use model::{Result, fault};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of a frame before its payload.
const HEAD: usize = 8;
/// Largest payload; a length above it is damage, not a record.
pub(crate) const MAX_RECORD: usize = 64 << 20;

/// One open log file.
pub(crate) struct Log {
    path: PathBuf,
    /// `None` in a store opened for reading.
    file: Option<File>,
    len: u64,
    /// An append failed: what is on disk behind `len` is unknown until the next open.
    failed: bool,
}

impl Log {
    /// Open for appending, creating the file and cutting a torn tail.
    ///
    /// What is found is made durable before anybody acts on it: a process that was killed may have left records, or the
    /// name of the file itself, where a power cut would still take them away.
    pub(crate) fn open(path: &Path) -> Result<Log> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(at("open", path))?;
        let bytes = std::fs::read(path).map_err(at("read", path))?;
        let len = scan(&bytes).map_err(|d| damaged(path, d.at, d.what))?.end as u64;
        if len < bytes.len() as u64 {
            file.set_len(len).map_err(at("cut the torn tail of", path))?;
        }
        file.sync_all().map_err(at("sync", path))?;
        if let Some(dir) = path.parent() {
            durable::sync_dir(dir)?;
        }
        Ok(Log { path: path.into(), file: Some(file), len, failed: false })
    }

    /// Open for reading beside a running writer: a torn tail is passed over, not cut.
    pub(crate) fn open_read_only(path: &Path) -> Log {
        Log { path: path.into(), file: None, len: 0, failed: false }
    }

    /// Append a record, all or nothing as far as a later open can tell. `torn` names the crash point that dies with
    /// half a frame written.
    pub(crate) fn append(&mut self, payload: &[u8], sync: bool, torn: &str) -> Result<()> {
        let file = self.file.as_mut().ok_or_else(|| format!("{} is open for reading only", self.path.display()))?;
        if self.failed {
            return Err(format!("{}: an earlier append failed; restart to recover", self.path.display()).into());
        }
        if payload.len() > MAX_RECORD {
            return Err(format!("{}: a record of {} bytes is too large", self.path.display(), payload.len()).into());
        }
        let mut frame = Vec::with_capacity(HEAD + payload.len());
        frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        frame.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        frame.extend_from_slice(payload);
        if fault::about_to_crash(torn) {
            let _ = file.write_all(&frame[..frame.len() / 2]);
            fault::die(torn)
        }
        let done = file.write_all(&frame).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        if let Err(e) = done {
            self.failed = true;
            let _ = file.set_len(self.len);
            return Err(at("append to", &self.path)(e));
        }
        self.len += frame.len() as u64;
        Ok(())
    }

    /// Payloads of all whole records, in order.
    pub(crate) fn read(&self) -> Result<Vec<Vec<u8>>> {
        let bytes = match std::fs::read(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            r => r.map_err(at("read", &self.path))?,
        };
        let scanned = scan(&bytes).map_err(|d| damaged(&self.path, d.at, d.what))?;
        Ok(scanned.records.into_iter().map(|r| bytes[r].to_vec()).collect())
    }

    /// Keep only these payloads: a new file takes the old one's place in one step.
    pub(crate) fn rewrite(&mut self, tmp: &Path, keep: &[Vec<u8>]) -> Result<()> {
        let mut bytes = Vec::new();
        for p in keep {
            bytes.extend_from_slice(&(p.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&crc32fast::hash(p).to_le_bytes());
            bytes.extend_from_slice(p);
        }
        durable::replace(tmp, &self.path, &[&bytes], || ())?;
        self.len = bytes.len() as u64;
        self.file = Some(OpenOptions::new().read(true).append(true).open(&self.path).map_err(at("open", &self.path))?);
        Ok(())
    }

    /// True if the file is as long as this process left it: nobody else has written.
    pub(crate) fn is_current(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|m| m.len() == self.len)
    }

    /// Where it is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Where records lie, and where the whole ones end.
struct Scan {
    records: Vec<Range<usize>>,
    end: usize,
}

/// What is wrong, and at which byte.
#[derive(Debug)]
struct Damage {
    at: u64,
    what: &'static str,
}

fn word(b: &[u8], i: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(i..i + 4)?.try_into().ok()?))
}

/// Payload of the whole and sound frame at `at`.
fn frame(b: &[u8], at: usize) -> Option<Range<usize>> {
    let (len, crc) = (word(b, at)? as usize, word(b, at + 4)?);
    let payload = at + HEAD..at + HEAD + len;
    (len > 0 && len <= MAX_RECORD && crc32fast::hash(b.get(payload.clone())?) == crc).then_some(payload)
}

fn scan(b: &[u8]) -> std::result::Result<Scan, Damage> {
    let (mut records, mut end) = (Vec::new(), 0);
    while end < b.len() {
        match frame(b, end) {
            Some(payload) => {
                end = payload.end;
                records.push(payload);
            }
            None if is_torn(b, end) => break,
            None => return Err(Damage { at: end as u64, what: "a record does not have its checksum" }),
        }
    }
    Ok(Scan { records, end })
}

/// True if the bytes from `at` are what a crash in an append leaves, and not a record that was whole once.
fn is_torn(b: &[u8], at: usize) -> bool {
    let rest = &b[at..];
    if rest.iter().all(|&c| c == 0) {
        return true; // the file grew, its blocks were never written
    }
    let (Some(len), Some(crc)) = (word(b, at), word(b, at + 4)) else { return true };
    let payload = &rest[HEAD..];
    if len == 0 || len as usize > MAX_RECORD {
        return false;
    }
    if payload.len() >= len as usize {
        // The size is all there: only unwritten blocks at the very end are a tear. JSON does not end in a zero byte.
        return payload.len() == len as usize && payload.last() == Some(&0);
    }
    !(prefix_has(payload, crc) || frame_behind(payload))
}

/// True if some prefix that looks like a JSON object has this checksum: the frame was whole, its length was hit.
fn prefix_has(payload: &[u8], crc: u32) -> bool {
    let (mut h, mut from) = (crc32fast::Hasher::new(), 0);
    memchr::memchr_iter(b'}', payload).any(|i| {
        h.update(&payload[from..=i]);
        from = i + 1;
        h.clone().finalize() == crc
    })
}

/// True if a whole frame starts somewhere in here: a torn frame is the last thing in a log.
fn frame_behind(rest: &[u8]) -> bool {
    memchr::memchr_iter(b'{', rest).any(|i| i >= HEAD && frame(rest, i - HEAD).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, payloads: &[&str]) -> Vec<u8> {
        let mut log = Log::open(path).unwrap();
        for p in payloads {
            log.append(p.as_bytes(), true, "none").unwrap();
        }
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_cut_in_the_last_record_loses_that_record_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let whole = write(&path, &[r#"{"a":1}"#, r#"{"b":{"c":2}}"#, r#"{"d":[{},{}]}"#]);
        let last = whole.len() - HEAD - r#"{"d":[{},{}]}"#.len();
        for cut in last..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut log = Log::open(&path).unwrap();
            assert_eq!(log.read().unwrap().len(), 2, "cut at {cut}");
            log.append(br#"{"e":3}"#, true, "none").unwrap();
            assert_eq!(Log::open(&path).unwrap().read().unwrap()[2], br#"{"e":3}"#);
        }
    }

    #[test]
    fn unwritten_blocks_at_the_end_are_a_tear() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let whole = write(&path, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        for n in 1..15 {
            let mut b = whole.clone();
            b[whole.len() - n..].fill(0);
            std::fs::write(&path, &b).unwrap();
            assert_eq!(Log::open(&path).unwrap().read().unwrap(), vec![br#"{"a":1}"#.to_vec()], "{n} zero bytes");
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let whole = write(&path, &[r#"{"a":1}"#, r#"{"b":{"c":2}}"#, r#"{"d":[{},{}]}"#]);
        for bit in 0..whole.len() * 8 {
            let mut b = whole.clone();
            b[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &b).unwrap();
            let e = Log::open(&path).map(|_| ()).expect_err(&format!("bit {bit} of {}", whole.len() * 8)).to_string();
            assert!(e.contains("is damaged at byte"), "{e}");
            assert_eq!(std::fs::read(&path).unwrap(), b, "a damaged log is left as it is");
        }
    }

    #[test]
    fn a_reader_beside_the_writer_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let whole = write(&path, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert_eq!(Log::open_read_only(&path).read().unwrap().len(), 1);
        assert_eq!(std::fs::read(&path).unwrap().len(), whole.len() - 3);
        assert!(Log::open_read_only(&path).append(b"{}", true, "none").is_err());
    }
}
