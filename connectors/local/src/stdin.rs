//! The `stdin` source: lines from standard input.
//!
//! A pipe cannot be read twice, so what comes in is first written to a spool file in the data folder, and splits are
//! ranges of that file: a crash loses nothing that reached the spool. What was read from the pipe and not yet written
//! (64 KiB at most) dies with the process; use a file where that matters. Every process that reads standard input
//! has a spool of its own, which is a partition; what an earlier one had spooled and not offered is offered first.
//! One source only can read standard input.
use crate::failure::at;
use crate::file::detail::{Detail, FileId, Stream};
use crate::file::reader::{FileReader, Pins};
use crate::file::source::{cut, limit};
use crate::file::{Config, check_max_line};
use crate::store::{create_dirs, sync_dir};
use model::part::Opened;
use model::source::{Budget, Poll};
use model::units::Size;
use model::{BuildCx, Built, Files, Node, Part, Problem, Result, Source, Spec, Split};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// `type = "stdin"`; see the module.
pub struct StdinPart;

/// Settings of a `stdin` source.
#[derive(Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Longest line; a longer one is rejected.
    #[serde(default = "max_line")]
    max_line: Size,
    /// Most bytes kept in the spool of one run; the run stops when more come.
    #[serde(default = "spool")]
    spool: Size,
    /// Name shown as `p_source_label`. Default: the id of this source.
    label: Option<String>,
}

fn max_line() -> Size {
    Size(1 << 20)
}
fn spool() -> Size {
    Size(64 << 30)
}

impl Part for StdinPart {
    fn spec(&self) -> Spec {
        Spec::source("stdin", "Reads lines from standard input, kept in a spool file so that they can be replayed.")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        match Settings::deserialize(settings) {
            Ok(s) => match check_max_line(s.max_line) {
                Some(p) => Opened::failed(vec![p]),
                None => Opened::ok(StdinNode(s)),
            },
            Err(e) => Opened::failed(vec![Problem::at("", e.to_string())]),
        }
    }
}

struct StdinNode(Settings);

impl Node for StdinNode {
    fn build(&self, cx: &BuildCx) -> Result<Built> {
        let (config, pins) =
            (Arc::new(Config::lines(self.0.max_line, self.0.label.clone())), Arc::new(Pins::default()));
        let source = Stdin::new(cx.id.clone(), &cx.data_dir, &self.0, Input::Standard);
        let dir = cx.data_dir.clone();
        let readers = move || -> Result<Box<dyn model::Reader>> {
            Ok(Box::new(FileReader::new(config.clone(), dir.clone(), pins.clone())))
        };
        Ok(Built::Source(Box::new(source), Box::new(readers)))
    }
}

/// Where the bytes come from.
enum Input {
    /// Standard input: one spool per process, kept over a rebuilt graph.
    Standard,
    #[cfg(test)]
    Given(Option<Box<dyn Read + Send>>),
}

/// A spool that a thread is filling.
struct Spool {
    number: u32,
    file: File,
    len: AtomicU64,
    ended: AtomicBool,
    failed: Mutex<Option<String>>,
}

static STANDARD: OnceLock<std::result::Result<(PathBuf, Arc<Spool>), String>> = OnceLock::new();

impl Spool {
    fn start(dir: &Path, id: &str, max: u64, input: Box<dyn Read + Send>) -> Result<Arc<Spool>> {
        create_dirs(dir)?;
        let number = spools(dir, id)?.last().map_or(0, |n| n + 1);
        let path = dir.join(file_name(id, number));
        let file =
            OpenOptions::new().read(true).append(true).create_new(true).open(&path).map_err(at("create", &path))?;
        sync_dir(dir)?;
        let s = Arc::new(Spool { number, file, len: 0.into(), ended: false.into(), failed: Mutex::default() });
        let filler = s.clone();
        let fill = move || filler.fill(input, max);
        std::thread::Builder::new().name("stdin".into()).spawn(fill).map_err(at("start a thread for", &path))?;
        Ok(s)
    }

    fn fill(&self, mut input: Box<dyn Read + Send>, max: u64) {
        let mut block = vec![0; 64 << 10];
        loop {
            let done = match input.read(&mut block) {
                Ok(0) => break self.ended.store(true, Ordering::Release),
                Ok(n) if self.len.load(Ordering::Relaxed) + n as u64 > max => {
                    Err(format!("the spool is full ({max} bytes)"))
                }
                Ok(n) => {
                    (&self.file).write_all(&block[..n]).map(|()| n).map_err(|e| format!("cannot write the spool: {e}"))
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(format!("cannot read standard input: {e}")),
            };
            match done {
                Ok(n) => self.len.fetch_add(n as u64, Ordering::Release),
                Err(e) => {
                    *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
                    break;
                }
            };
        }
    }
}

fn file_name(id: &str, number: u32) -> String {
    format!("stdin-{id}-{number}.log")
}

/// Numbers of the spools of a source, ascending.
fn spools(dir: &Path, id: &str) -> Result<Vec<u32>> {
    let mut out = Vec::new();
    for e in std::fs::read_dir(dir).map_err(at("list", dir))? {
        let name = e.map_err(at("list", dir))?.file_name().to_string_lossy().into_owned();
        let number: Option<u32> =
            name.strip_prefix(&format!("stdin-{id}-")).and_then(|n| n.strip_suffix(".log")?.parse().ok());
        out.extend(number);
    }
    out.sort();
    Ok(out)
}

/// How far a spool was offered.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Offered {
    next: u64,
    cut: bool,
}

struct Stdin {
    id: Arc<str>,
    dir: PathBuf,
    max_line: u64,
    max_spool: u64,
    input: Input,
    /// Spools of earlier processes that may hold more than was offered.
    earlier: Vec<u32>,
    now: Option<Arc<Spool>>,
    offered: BTreeMap<u32, Offered>,
}

impl Stdin {
    fn new(id: Arc<str>, dir: &Path, s: &Settings, input: Input) -> Stdin {
        Stdin {
            id,
            dir: dir.into(),
            max_line: s.max_line.0,
            max_spool: s.spool.0,
            input,
            earlier: Vec::new(),
            now: None,
            offered: BTreeMap::new(),
        }
    }

    /// Spool of this process; started at the first poll, after the state of earlier ones is known.
    fn spool(&mut self) -> Result<Arc<Spool>> {
        if let Some(s) = &self.now {
            return Ok(s.clone());
        }
        let (dir, id, max) = (self.dir.clone(), self.id.clone(), self.max_spool);
        let s = match &mut self.input {
            Input::Standard => {
                let started = STANDARD.get_or_init(|| {
                    let s = Spool::start(&dir, &id, max, Box::new(io::stdin())).map_err(|e| e.to_string())?;
                    Ok((dir.join(&*id), s))
                });
                match started {
                    Ok((of, s)) if *of == dir.join(&*id) => s.clone(),
                    Ok(_) => return Err(format!("source {id}: another source reads standard input already").into()),
                    Err(e) => return Err(e.clone().into()),
                }
            }
            #[cfg(test)]
            Input::Given(input) => Spool::start(&dir, &id, max, input.take().ok_or("taken twice")?)?,
        };
        self.earlier = spools(&dir, &id)?.into_iter().filter(|n| *n != s.number).collect();
        self.now = Some(s.clone());
        Ok(s)
    }

    /// Offer what a spool holds; true if all of it is offered now.
    fn offer(
        &mut self,
        number: u32,
        file: &File,
        size: u64,
        growing: bool,
        bytes: u64,
        out: &mut Poll,
    ) -> Result<bool> {
        let path = self.dir.join(file_name(&self.id, number));
        let mut o = self.offered.get(&number).copied().unwrap_or_default();
        let limit = limit(file, o.next, size, growing, self.max_line).map_err(at("read", &path))?;
        if limit > o.next && out.bytes < bytes {
            // Durable before the epoch that names it.
            file.sync_data().map_err(at("sync", &path))?;
        }
        while o.next < limit && out.bytes < bytes {
            let from = o.next;
            let id = FileId::of(file).map_err(at("read", &path))?;
            let fresh = o.cut;
            (o.next, o.cut) = cut(file, from, limit, self.max_line).map_err(at("read", &path))?;
            let detail = Detail { id, stream: Stream::Lines, end: limit, fresh, cut: o.cut, ..Detail::default() };
            out.bytes += o.next - from;
            out.splits.push(Split {
                source: self.id.clone(),
                partition: number,
                name: file_name(&self.id, number).into(),
                from,
                to: o.next,
                detail: serde_json::to_value(detail)?,
                lane: Split::ANY_LANE,
            });
        }
        self.offered.insert(number, o);
        Ok(o.next == size)
    }
}

impl Source for Stdin {
    fn poll(&mut self, budget: Budget) -> Result<Poll> {
        let (mut out, spool) = (Poll::default(), self.spool()?);
        while let Some(n) = self.earlier.first().copied() {
            let path = self.dir.join(file_name(&self.id, n));
            let file = File::open(&path).map_err(at("open", &path))?;
            let size = file.metadata().map_err(at("look at", &path))?.len();
            if !self.offer(n, &file, size, false, budget.bytes, &mut out)? {
                return Ok(out);
            }
            self.earlier.remove(0);
        }
        let ended = spool.ended.load(Ordering::Acquire);
        let size = spool.len.load(Ordering::Acquire);
        let all = self.offer(spool.number, &spool.file, size, !ended, budget.bytes, &mut out)?;
        if let Some(e) = &*spool.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(format!("source {}: {e}", self.id).into());
        }
        out.exhausted = ended && all;
        Ok(out)
    }
    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.offered).unwrap_or_default()
    }
    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.offered = serde_json::from_slice(state).map_err(|e| format!("state of source {}: {e}", self.id))?;
        Ok(())
    }
    fn replayed(&mut self, split: &Split) -> Result<()> {
        let cut = Detail::of(split)?.cut;
        self.offered.insert(split.partition, Offered { next: split.to, cut });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Origin, Packet};
    use std::sync::mpsc;

    /// A pipe: reads block until something is sent, and end when the sender goes.
    struct Pipe(mpsc::Receiver<Vec<u8>>, Vec<u8>);
    impl Read for Pipe {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.1.is_empty() {
                self.1 = self.0.recv().unwrap_or_default();
            }
            let n = self.1.len().min(buf.len());
            buf[..n].copy_from_slice(&self.1.drain(..n).collect::<Vec<_>>());
            Ok(n)
        }
    }

    fn start(dir: &Path, settings: &str) -> (Stdin, mpsc::Sender<Vec<u8>>) {
        let (tx, rx) = mpsc::channel();
        let s: Settings = serde_json::from_str(settings).unwrap();
        (Stdin::new("in".into(), dir, &s, Input::Given(Some(Box::new(Pipe(rx, Vec::new()))))), tx)
    }

    /// Poll until `n` bytes are offered, or until the end if `n` is 0.
    fn poll(s: &mut Stdin, n: u64, log: &mut Vec<Split>) {
        let mut got = 0;
        for _ in 0..2_000 {
            let p = s.poll(Budget { bytes: 1 << 20, now_ms: 0 }).unwrap();
            got += p.bytes;
            log.extend(p.splits);
            if p.exhausted || (n > 0 && got >= n) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("{got} of {n} bytes came");
    }

    fn read(dir: &Path, log: &[Split]) -> Vec<(u32, String)> {
        let config = Arc::new(Config::lines(max_line(), None));
        let mut r = FileReader::new(config, dir.into(), Arc::default());
        let mut out = Vec::new();
        for s in log {
            let mut take = |p: Packet| {
                let Packet::Raw(b) = p else { panic!() };
                out.extend(
                    (0..b.records.len()).map(|i| (s.partition, String::from_utf8_lossy(b.bytes(i)).into_owned())),
                );
            };
            model::Reader::read(&mut r, s, &Arc::new(Origin::default()), &mut take).unwrap();
        }
        out
    }

    #[test]
    fn what_was_taken_from_the_pipe_is_never_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (mut s, tx) = start(dir.path(), "{}");
        let mut log = Vec::new();
        tx.send(b"one\ntwo\nthr".to_vec()).unwrap();
        poll(&mut s, 8, &mut log);
        tx.send(b"ee\nfour".to_vec()).unwrap();
        poll(&mut s, 6, &mut log);
        // The process dies with `four` spooled; the next one has its own input.
        while s.now.as_ref().unwrap().len.load(Ordering::Acquire) < 18 {
            std::thread::yield_now();
        }
        let (mut next, tx) = start(dir.path(), "{}");
        log.iter().for_each(|x| next.replayed(x).unwrap());
        tx.send(b"five\nsix".to_vec()).unwrap();
        drop(tx);
        poll(&mut next, 0, &mut log);
        let want = [(0, "one"), (0, "two"), (0, "three"), (0, "four"), (1, "five"), (1, "six")];
        assert_eq!(read(dir.path(), &log), want.map(|(p, t)| (p, t.to_string())));
        assert_eq!(read(dir.path(), &log), read(dir.path(), &log));
        let (mut restored, tx) = start(dir.path(), "{}");
        restored.restore(&next.snapshot()).unwrap();
        drop(tx);
        let mut more = Vec::new();
        poll(&mut restored, 0, &mut more);
        assert!(more.is_empty());
    }

    #[test]
    fn a_full_spool_stops_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let (mut s, tx) = start(dir.path(), r#"{"spool": "10B"}"#);
        let mut log = Vec::new();
        tx.send(b"12345678\n".to_vec()).unwrap();
        poll(&mut s, 9, &mut log);
        tx.send(b"9\n".to_vec()).unwrap();
        let e = (0..2_000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            s.poll(Budget { bytes: 1 << 20, now_ms: 0 }).err()
        });
        assert!(e.unwrap().to_string().contains("spool is full"));
    }
}
