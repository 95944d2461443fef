//! Worker side of the `file` source: reads a split exactly as it was logged.
//!
//! What to read was decided when the split was logged; reading it again must give the same packets. So a file that
//! is gone, was replaced or was cut since then is an error that stops the engine: it cannot be told from here whether
//! its records already count in some state. (What was *known* to be gone when the split was logged is in its detail,
//! and is a reject.) A file that goes between being offered and being read for the first time is still read: the
//! coordinator holds it open ([`Pins`]).
use super::Config;
use super::batch::Batcher;
use super::detail::{Detail, FileId};
use super::lines;
use crate::failure::at;
use model::{Origin, Packet, Reader, Result, Split};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use stream::{Ahead, How, Limits};

/// Files the coordinator holds open for the readers of this process.
const MAX_PINS: usize = 256;
/// Files a reader holds open.
const MAX_OPEN: usize = 16;
/// First lines a reader remembers.
const MAX_HEADERS: usize = 1024;

/// Files offered lately, by partition, still open.
#[derive(Default)]
pub(crate) struct Pins(Mutex<VecDeque<(u32, Arc<File>)>>);

impl Pins {
    /// Hold a file; the oldest makes room.
    pub(crate) fn add(&self, partition: u32, file: Arc<File>) {
        let mut q = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        q.retain(|(p, _)| *p != partition);
        if q.len() == MAX_PINS {
            q.pop_front();
        }
        q.push_back((partition, file));
    }
    /// The file of a partition, if it is held.
    pub(crate) fn get(&self, partition: u32) -> Option<Arc<File>> {
        let q = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        q.iter().find(|(p, _)| *p == partition).map(|(_, f)| f.clone())
    }
}

/// See the module.
pub(crate) struct FileReader {
    config: Arc<Config>,
    /// Where relative names start.
    dir: PathBuf,
    pins: Arc<Pins>,
    open: VecDeque<(u32, Arc<File>)>,
    headers: BTreeMap<u32, Option<Arc<[u8]>>>,
    labelled: Option<(Arc<Origin>, Arc<Origin>)>,
    whole: Ahead,
}

impl FileReader {
    pub(crate) fn new(config: Arc<Config>, dir: PathBuf, pins: Arc<Pins>) -> FileReader {
        let (open, headers) = (VecDeque::new(), BTreeMap::new());
        FileReader { config, dir, pins, open, headers, labelled: None, whole: Ahead::default() }
    }

    /// The open file of a split, known to be the one that was logged.
    fn file(&mut self, split: &Split, id: &FileId) -> Result<Arc<File>> {
        if let Some((_, f)) = self.open.iter().find(|(p, f)| *p == split.partition && id.matches(f)) {
            return Ok(f.clone());
        }
        let path = self.dir.join(&*split.name);
        let pinned = self.pins.get(split.partition).filter(|f| id.matches(f));
        let file = match pinned.or_else(|| open_as(&path, id)).or_else(|| find_beside(&path, id)) {
            Some(f) => f,
            None => {
                let why = "it is gone, or another file has its name";
                return Err(no_replay(split, why));
            }
        };
        self.open.retain(|(p, _)| *p != split.partition);
        if self.open.len() == MAX_OPEN {
            self.open.pop_front();
        }
        self.open.push_back((split.partition, file.clone()));
        Ok(file)
    }

    fn header(&mut self, file: &File, split: &Split, end: u64) -> Result<Option<Arc<[u8]>>> {
        if let Some(h) = self.headers.get(&split.partition) {
            return Ok(h.clone());
        }
        let (header, lasting) = lines::header(file, end)?;
        if lasting {
            if self.headers.len() == MAX_HEADERS {
                self.headers.pop_first();
            }
            self.headers.insert(split.partition, header.clone());
        }
        Ok(header)
    }

    /// Begin a file that is read as a whole.
    fn begin_whole(&mut self, split: &Split, detail: &Detail, origin: &Arc<Origin>) -> Result<()> {
        let file = self.file(split, &detail.id)?;
        let len = file.metadata().map_err(at("look at", Path::new(&*split.name)))?.len();
        if len < split.to {
            return Err(no_replay(split, "it is shorter than it was"));
        }
        let Config { array, max_line, max_ratio, max_decoded, .. } = &*self.config;
        let limits = Limits { ratio: *max_ratio, decoded: *max_decoded };
        let (codec, stream, array) = (detail.codec, detail.stream, array.clone());
        let how = How { codec, stream, array, max_record: *max_line, limits };
        let bytes = FileRange { file, at: 0, end: split.to };
        self.whole.begin(bytes, how, split, origin, false).map_err(|e| no_replay(split, &e.to_string()))
    }

    /// The origin with the label of the settings.
    fn origin(&mut self, origin: &Arc<Origin>) -> Arc<Origin> {
        let Some(label) = &self.config.label else { return origin.clone() };
        match &self.labelled {
            Some((plain, labelled)) if Arc::ptr_eq(plain, origin) => labelled.clone(),
            _ => {
                let labelled = Arc::new(Origin { label: label.clone(), ..(**origin).clone() });
                self.labelled = Some((origin.clone(), labelled.clone()));
                labelled
            }
        }
    }
}

impl Reader for FileReader {
    fn anywhere(&self) -> bool {
        true
    }

    fn read_part(
        &mut self,
        split: &Split,
        _from: u64,
        origin: &Arc<Origin>,
        out: &mut dyn FnMut(Packet),
    ) -> Result<u64> {
        let detail = Detail::of(split)?;
        let origin = self.origin(origin);
        let mut batch = Batcher::new(split, &origin, out);
        if let Some(fault) = &detail.fault {
            batch.reject((split.from, 0), &fault.code, fault.reason.clone(), b"", 0);
            return Ok(split.to);
        }
        if detail.is_whole() {
            if !self.whole.reads(split) {
                self.begin_whole(split, &detail, &origin)?;
            }
            return self.whole.part(out).map_err(|e| no_replay(split, &e.to_string()));
        }
        let file = self.file(split, &detail.id)?;
        batch.header = self.header(&file, split, detail.end).map_err(|e| no_replay(split, &e.to_string()))?;
        lines::read(&file, split, &detail, self.config.max_line, &mut batch)
            .map_err(|e| no_replay(split, &e.to_string()))?;
        Ok(split.to)
    }
}

fn no_replay(split: &Split, why: &str) -> model::Error {
    format!(
        "input no longer replays: bytes {} to {} of {} (source {}, partition {}) cannot be read: {why}; put the file back \
         as it was, or start over with an empty data folder",
        split.from, split.to, split.name, split.source, split.partition
    )
    .into()
}

fn open_as(path: &Path, id: &FileId) -> Option<Arc<File>> {
    File::open(path).ok().filter(|f| id.matches(f)).map(Arc::new)
}

/// The file under another name in its folder: log rotation renames.
pub(crate) fn find_beside(path: &Path, id: &FileId) -> Option<Arc<File>> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut same = std::fs::read_dir(dir).ok()?.flatten().filter(|e| e.metadata().is_ok_and(|m| m.ino() == id.ino));
    same.find_map(|e| open_as(&e.path(), id))
}

/// The first bytes of a file, up to `end`, whatever it has grown to since.
struct FileRange {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for FileRange {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = (buf.len() as u64).min(self.end - self.at) as usize;
        match self.file.read_at(&mut buf[..n], self.at)? {
            0 if n > 0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was")),
            n => {
                self.at += n as u64;
                Ok(n)
            }
        }
    }
}
