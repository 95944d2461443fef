//! Coordinator side of the `file` source: finds files and decides which bytes of them enter which epoch.
//!
//! Everything that depends on the moment (what exists, how long it is, where its last line ends) is decided here and
//! goes into the split, so that reading is a function of the split. A file that grows is offered up to its last line
//! end; the unfinished line waits, until the run ends or the file was rotated away and rests. An unfinished line that
//! is longer than `max_line` is offered too: the reader rejects it, once.
use super::Config;
use super::batch::BATCH;
use super::detail::{Codec, Detail, FileId, Stream, Unreadable};
use super::reader::{Pins, find_beside};
use crate::failure::at;
use crate::walk::{self, Found};
use model::source::{Budget, Poll};
use model::{Result, Source, Split};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Splits of line files end at multiples of this.
const CHUNK: u64 = BATCH as u64;
/// A file that is read as a whole, or was rotated away, is at rest after so many milliseconds.
const SETTLE_MS: i64 = 2_000;
/// A file shorter than this, without a line end, is not judged before it rests.
const EARLY: u64 = 64 << 10;
/// Shortest time between two looks at the folders, milliseconds; more files, fewer looks.
const SCAN_MS: i64 = 200;
/// Most partitions of a source over its life.
const MAX_PARTITIONS: usize = 1_000_000;

/// One file, as far as it was offered.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    /// Name when it was found: the partition's name for ever.
    name: Arc<str>,
    id: FileId,
    stream: Stream,
    codec: Codec,
    /// First byte not offered yet.
    next: u64,
    /// The last offer ended inside a line.
    #[serde(default)]
    cut: bool,
    /// Nothing more will be offered, unless it grows after all.
    done: bool,
    /// Where it is now.
    at: Arc<str>,
    /// Length when last looked at.
    size: u64,
    /// Offered up to here at most, as of `size`; computed when needed.
    #[serde(skip)]
    limit: Option<u64>,
    /// Last change, milliseconds.
    #[serde(skip)]
    changed_ms: i64,
    /// No longer among the files that the settings name.
    #[serde(skip)]
    left: bool,
}

impl Part {
    fn is_whole(&self) -> bool {
        self.stream.is_whole() || self.codec != Codec::Plain
    }
}

#[derive(Serialize, Deserialize)]
struct State {
    next: u32,
    parts: BTreeMap<u32, Part>,
}

/// See the module.
pub(crate) struct FileSource {
    id: Arc<str>,
    config: Arc<Config>,
    dir: PathBuf,
    follow: bool,
    pins: Arc<Pins>,
    parts: BTreeMap<u32, Part>,
    next: u32,
    by_inode: BTreeMap<u64, Vec<u32>>,
    /// Partitions with something to offer.
    ready: BTreeSet<u32>,
    /// Followed files take turns: where the next poll starts.
    turn: u32,
    scanned_ms: Option<i64>,
}

impl FileSource {
    pub(crate) fn new(id: Arc<str>, config: Arc<Config>, dir: PathBuf, follow: bool, pins: Arc<Pins>) -> FileSource {
        FileSource {
            id,
            config,
            dir,
            follow,
            pins,
            parts: BTreeMap::new(),
            next: 0,
            by_inode: BTreeMap::new(),
            ready: BTreeSet::new(),
            turn: 0,
            scanned_ms: None,
        }
    }

    fn scan_due(&self, now_ms: i64) -> bool {
        let interval = SCAN_MS + self.parts.len() as i64 / 10;
        match self.scanned_ms {
            None => true,
            Some(t) => self.follow && (now_ms - t >= interval || now_ms < t),
        }
    }

    /// Look at the disk: new, grown, renamed, cut and lost files.
    fn scan(&mut self, now_ms: i64) -> Result<()> {
        let first = self.scanned_ms.is_none();
        self.scanned_ms = Some(now_ms);
        let mut found: BTreeMap<String, Metadata> = BTreeMap::new();
        for path in &self.config.paths {
            match walk::find(&self.dir, path) {
                Ok(files) => found.extend(files.into_iter().map(|Found { name, meta }| (name, meta))),
                Err(e) if e.kind() == io::ErrorKind::NotFound && (self.follow || !first || walk::is_glob(path)) => {}
                Err(e) => return Err(at("find the input", &self.dir.join(path))(format!("{e} (source {})", self.id))),
            }
        }
        let mut seen = BTreeSet::new();
        for (name, meta) in found {
            if let Some(p) = self.look(&name, &meta, now_ms)? {
                seen.insert(p);
            }
        }
        let missing: Vec<u32> =
            self.parts.iter().filter(|(p, x)| !x.done && !seen.contains(p)).map(|(p, _)| *p).collect();
        for p in missing {
            self.look_beside(p, now_ms);
        }
        Ok(())
    }

    /// One file that was found: the partition it is, if it is one already or becomes one.
    fn look(&mut self, name: &str, meta: &Metadata, now_ms: i64) -> Result<Option<u32>> {
        let size = meta.len();
        let known = self.by_inode.get(&meta.ino()).and_then(|v| v.last()).copied();
        if let Some(p) = known
            && self.is_same(p, name, meta)
        {
            self.grew(p, size, changed_ms(meta));
            let part = self.part(p)?;
            part.at = name.into();
            part.left = false;
            return Ok(Some(p));
        }
        let settled = now_ms - changed_ms(meta) >= SETTLE_MS;
        if size == 0 || (self.follow && !settled && too_early(&self.dir.join(name), size)) {
            return Ok(None);
        }
        self.add(name, meta, size).map(Some)
    }

    /// True if what is now at an inode we know is still the file we know.
    fn is_same(&self, p: u32, name: &str, meta: &Metadata) -> bool {
        let Some(part) = self.parts.get(&p) else { return false };
        if part.size == meta.len() && part.changed_ms == changed_ms(meta) {
            return true;
        }
        if meta.len() < part.next || (part.is_whole() && part.done && meta.len() != part.size) {
            return false;
        }
        File::open(self.dir.join(name)).is_ok_and(|f| part.id.begins_alike(&f))
    }

    fn grew(&mut self, p: u32, size: u64, changed_ms: i64) {
        let Some(part) = self.parts.get_mut(&p) else { return };
        part.changed_ms = changed_ms;
        if size != part.size || (size > part.next && part.limit.is_none()) {
            part.size = size;
            part.limit = None;
        }
        if size > part.next {
            part.done = false;
            self.ready.insert(p);
        }
    }

    fn add(&mut self, name: &str, meta: &Metadata, size: u64) -> Result<u32> {
        if self.parts.len() >= MAX_PARTITIONS {
            return Err(format!("source {}: more than {MAX_PARTITIONS} files; use several sources", self.id).into());
        }
        let mut part = Part {
            name: name.into(),
            id: FileId { ino: meta.ino(), ..FileId::default() },
            stream: Stream::Lines,
            codec: Codec::Plain,
            next: 0,
            cut: false,
            done: false,
            at: name.into(),
            size,
            limit: None,
            changed_ms: changed_ms(meta),
            left: false,
        };
        // What cannot be opened now is tried again when it is offered, and rejected then.
        if let Ok(f) = File::open(self.dir.join(name)) {
            (part.codec, part.stream) = sniff(&f, size, self.config.stream);
            part.id = FileId::of(&f).map_err(at("read", &self.dir.join(name)))?;
        }
        let p = self.next;
        self.next += 1;
        self.by_inode.entry(meta.ino()).or_default().push(p);
        self.parts.insert(p, part);
        self.ready.insert(p);
        Ok(p)
    }

    /// A file that the settings no longer name: renamed by rotation, or deleted.
    fn look_beside(&mut self, p: u32, now_ms: i64) {
        let Some(part) = self.parts.get_mut(&p) else { return };
        let here = self.dir.join(&*part.at);
        let found = File::open(&here)
            .ok()
            .filter(|f| part.id.matches(f))
            .map(Arc::new)
            .or_else(|| find_beside(&here, &part.id));
        match found.and_then(|f| f.metadata().ok()) {
            Some(m) => {
                part.left = true;
                if part.next == m.len() && now_ms - changed_ms(&m) >= SETTLE_MS {
                    part.done = true;
                }
                self.grew_left(p, &m, now_ms);
            }
            None => {
                // Deleted. If something was left in it, say so once.
                part.left = true;
                if part.size > part.next {
                    part.limit = None;
                    self.ready.insert(p);
                } else {
                    part.done = true;
                }
            }
        }
    }

    fn grew_left(&mut self, p: u32, m: &Metadata, now_ms: i64) {
        let rests = now_ms - changed_ms(m) >= SETTLE_MS;
        self.grew(p, m.len(), changed_ms(m));
        if let Some(part) = self.parts.get_mut(&p)
            && part.next == part.size
            && rests
        {
            part.done = true;
            self.ready.remove(&p);
        }
    }

    fn part(&mut self, p: u32) -> Result<&mut Part> {
        self.parts.get_mut(&p).ok_or_else(|| format!("no partition {p}").into())
    }

    /// Next split of a partition, if something of it can be offered now.
    /// `looked`: the file that was found to be its partition's in this poll.
    fn offer(&mut self, p: u32, now_ms: i64, looked: &mut Option<(u32, Arc<File>)>) -> Result<Option<Split>> {
        let (id, dir, follow, max_line) = (self.id.clone(), self.dir.clone(), self.follow, self.config.max_line as u64);
        let (pins, wanted) = (self.pins.clone(), self.config.stream);
        let part = self.part(p)?;
        let path = dir.join(&*part.at);
        let known = looked.take().filter(|(of, _)| *of == p).map(|(_, f)| f);
        let pinned = || pins.get(p).filter(|f| part.id.matches(f) && f.metadata().is_ok_and(|m| m.nlink() > 0));
        let opened = match known.or_else(pinned) {
            Some(f) => Ok(f),
            None => open_part(&path, &part.id),
        };
        let split = |from: u64, to: u64, d: Detail, name: &Arc<str>| -> Result<Split> {
            let detail = serde_json::to_value(d)?;
            Ok(Split { source: id.clone(), partition: p, name: name.clone(), from, to, detail, lane: Split::ANY_LANE })
        };
        let mut detail = Detail {
            id: part.id.clone(),
            stream: part.stream,
            codec: part.codec,
            fresh: part.cut,
            ..Detail::default()
        };
        let file = match opened {
            Ok(f) => f,
            Err(e) => {
                part.done = true;
                let gone = e.kind() == io::ErrorKind::NotFound;
                let code = if gone { "file_vanished" } else { "file_unreadable" }.into();
                let reason = format!("{} bytes from byte {} on were not read: {e}", part.size - part.next, part.next);
                detail.fault = Some(Unreadable { code, reason });
                return split(part.next, part.next, detail, &part.name).map(Some);
            }
        };
        if part.is_whole() {
            if follow && now_ms - part.changed_ms < SETTLE_MS {
                return Ok(None);
            }
            let size = file.metadata().map_err(at("look at", &path))?.len();
            (part.codec, part.stream) = sniff(&file, size, wanted);
            (detail.codec, detail.stream) = (part.codec, part.stream);
            (part.size, part.next, part.done, detail.end) = (size, size, true, size);
            pins.add(p, file);
            return split(0, size, detail, &part.name).map(Some);
        }
        let rests = part.left && now_ms - part.changed_ms >= SETTLE_MS;
        let limit = match part.limit {
            Some(l) if l > part.next || !rests => l,
            _ => {
                let size = part.size.min(file.metadata().map_err(at("look at", &path))?.len());
                limit(&file, part.next, size, follow && !rests, max_line).map_err(at("read", &path))?
            }
        };
        part.limit = Some(limit);
        if limit <= part.next {
            return Ok(None);
        }
        let from = part.next;
        (part.next, part.cut) = cut(&file, from, limit, max_line).map_err(at("read", &path))?;
        (detail.end, detail.cut) = (limit, part.cut);
        let to = part.next;
        pins.add(p, file.clone());
        *looked = Some((p, file));
        split(from, to, detail, &part.name).map(Some)
    }

    /// Partitions to ask, in order: from the first one, or (followed files) from where the last poll stopped.
    fn order(&self) -> Vec<u32> {
        let from = if self.follow { self.turn } else { 0 };
        self.ready.range(from..).chain(self.ready.range(..from)).copied().collect()
    }
}

/// The file of a partition, at its path or renamed in its folder.
fn open_part(path: &std::path::Path, id: &FileId) -> io::Result<Arc<File>> {
    match File::open(path) {
        Ok(f) if id.matches(&f) => return Ok(Arc::new(f)),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    find_beside(path, id).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the file is gone"))
}

/// Codec and stream of a file. What cannot be read is taken for lines: the reader will say so.
fn sniff(file: &File, size: u64, wanted: Stream) -> (Codec, Stream) {
    let mut head = vec![0; size.min(stream::WINDOW as u64) as usize];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => stream::sniff(&head, wanted),
        Err(_) => (Codec::Plain, Stream::Lines),
    }
}

/// True if nothing of a file that is being written tells yet what it is: no line end, and not much of it.
fn too_early(path: &std::path::Path, size: u64) -> bool {
    let mut head = vec![0; size.min(EARLY) as usize];
    let read = File::open(path).and_then(|f| f.read_exact_at(&mut head, 0));
    read.is_ok() && size < EARLY && memchr::memchr(b'\n', &head).is_none()
}

fn changed_ms(m: &Metadata) -> i64 {
    m.mtime() * 1000 + m.mtime_nsec() / 1_000_000
}

fn ends_line(file: &File, at: u64) -> io::Result<bool> {
    let mut b = [0];
    file.read_exact_at(&mut b, at - 1)?;
    Ok(b[0] == b'\n')
}

/// True if the line that `at` lies in has already more than `max` bytes before `at`.
fn over_long(file: &File, at: u64, max: u64) -> io::Result<bool> {
    Ok(at > max && last_line_end(file, at - max - 1, at)?.is_none())
}

/// Up to where `size` bytes of a line file can be offered: all, or to the last line end while somebody may be writing.
pub(crate) fn limit(file: &File, next: u64, size: u64, growing: bool, max_line: u64) -> io::Result<u64> {
    if !growing || size <= next {
        return Ok(size);
    }
    let back = next.max(size.saturating_sub(max_line + 1));
    match last_line_end(file, back, size)? {
        Some(end) => Ok(end),
        None if back > next => Ok(size), // over-long already
        None => Ok(next),
    }
}

/// End of the split that starts at `next`, and whether it ends inside a line whose rest may still come. What comes
/// then starts afresh, unless the line is over-long and was rejected from its beginning.
pub(crate) fn cut(file: &File, next: u64, limit: u64, max_line: u64) -> io::Result<(u64, bool)> {
    let to = limit.min((next / CHUNK + 1) * CHUNK);
    Ok((to, to == limit && !ends_line(file, to)? && !over_long(file, to, max_line)?))
}

/// Offset behind the last line end in `[from, to)`, searched backwards.
fn last_line_end(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let (mut end, mut block) = (to, vec![0; 64 << 10]);
    while end > from {
        let start = from.max(end.saturating_sub(block.len() as u64));
        let b = &mut block[..(end - start) as usize];
        file.read_exact_at(b, start)?;
        if let Some(i) = memchr::memrchr(b'\n', b) {
            return Ok(Some(start + i as u64 + 1));
        }
        end = start;
    }
    Ok(None)
}

impl Source for FileSource {
    fn poll(&mut self, budget: Budget) -> Result<Poll> {
        let mut out = Poll::default();
        if self.scan_due(budget.now_ms) {
            self.scan(budget.now_ms)?;
        }
        let (mut idle, mut looked) = (0, None);
        while out.bytes < budget.bytes && idle == 0 {
            idle = 1;
            for p in self.order() {
                while out.bytes < budget.bytes {
                    let Some(split) = self.offer(p, budget.now_ms, &mut looked)? else {
                        let part = self.part(p)?;
                        let waits = !part.done && part.size > part.next && (part.is_whole() || part.left);
                        if !waits {
                            self.ready.remove(&p);
                        }
                        break;
                    };
                    out.bytes += split.to - split.from;
                    out.splits.push(split);
                    if self.part(p)?.done {
                        self.ready.remove(&p);
                        break;
                    }
                    if self.follow {
                        (self.turn, idle) = (p + 1, 0);
                        break; // the next file's turn
                    }
                }
            }
        }
        out.exhausted = self.ready.is_empty();
        Ok(out)
    }

    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&State { next: self.next, parts: self.parts.clone() }).unwrap_or_default()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let s: State = serde_json::from_slice(state).map_err(|e| format!("state of source {}: {e}", self.id))?;
        (self.next, self.parts, self.scanned_ms) = (s.next, s.parts, None);
        self.ready.clear();
        self.by_inode.clear();
        for (p, part) in &self.parts {
            self.by_inode.entry(part.id.ino).or_default().push(*p);
        }
        Ok(())
    }

    fn replayed(&mut self, split: &Split) -> Result<()> {
        let d = Detail::of(split)?;
        let part = self.parts.entry(split.partition).or_insert_with(|| {
            self.by_inode.entry(d.id.ino).or_default().push(split.partition);
            Part {
                name: split.name.clone(),
                id: d.id.clone(),
                stream: d.stream,
                codec: d.codec,
                next: 0,
                cut: false,
                done: false,
                at: split.name.clone(),
                size: 0,
                limit: None,
                changed_ms: 0,
                left: false,
            }
        });
        part.next = part.next.max(split.to);
        part.size = part.size.max(part.next);
        part.limit = None;
        part.cut = d.cut;
        part.done = d.fault.is_some() || d.is_whole();
        self.next = self.next.max(split.partition + 1);
        Ok(())
    }
}
