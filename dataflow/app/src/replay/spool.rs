//! Matches on their way into the order of their event times: sorted runs on disk where they do not fit into memory.
//!
//! Each worker fills a [`Spool`]; [`merge`] hands out what all of them hold, one group of equal event times after the
//! other. Facts of a rule are kept once, not with every match.
use anyhow::{Context, Result, bail};
use model::{Match, Pos, RuleMeta};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Bytes of matches that a worker holds before it writes a run.
pub const RUN_BYTES: usize = 16 << 20;
/// Most runs of all workers: each is an open file while they are merged.
pub const RUNS_MAX: usize = 512;
/// Most matches of one event time that are handed out together.
pub const GROUP_MAX: usize = 65_536;

/// Output of a node: its index and port.
pub type Outlet = (usize, usize);
/// Facts of rules, by id and version.
pub type Rules = Arc<Mutex<BTreeMap<(Arc<str>, String), Arc<RuleMeta>>>>;

/// A match and the output it left by.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The output.
    pub from: Outlet,
    /// The match.
    pub found: Box<Match>,
}

/// The order: event time, position, rule, error, output.
type Key = (i64, Pos, Arc<str>, bool, Outlet);

impl Entry {
    fn key(&self) -> Key {
        let m = &self.found;
        (m.event_ms, m.pos, m.rule.id.clone(), m.error.is_some(), self.from)
    }
    fn weight(&self) -> usize {
        let m = &self.found;
        let own = [&m.dedup, &m.title, &m.description, &m.reference, &m.runbook];
        let more = [&m.error, &m.context, &m.unique, &m.event];
        size_of::<Match>()
            + own.iter().map(|t| t.len()).sum::<usize>()
            + more.iter().map(|t| t.as_ref().map_or(0, String::len)).sum::<usize>()
    }
}

/// A folder for runs; removed with everything in it when it is dropped.
pub struct Folder {
    path: PathBuf,
    runs: Mutex<Vec<PathBuf>>,
}

impl Folder {
    /// A new one below the system's temporary folder.
    pub fn new() -> Result<Arc<Folder>> {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millstream-replay-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Arc::new(Folder { path, runs: Mutex::default() }))
    }
    fn next(&self) -> Result<PathBuf> {
        let mut runs = self.runs.lock().expect("no holder panics");
        if runs.len() == RUNS_MAX {
            bail!("more than {} GiB of matches: replay fewer rules or less time", (RUNS_MAX * RUN_BYTES) >> 30);
        }
        let path = self.path.join(format!("{:04}.run", runs.len()));
        runs.push(path.clone());
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// The matches of one worker.
pub struct Spool {
    folder: Arc<Folder>,
    rules: Rules,
    held: Vec<Entry>,
    bytes: usize,
    run_bytes: usize,
}

impl Spool {
    /// An empty one.
    pub fn new(folder: Arc<Folder>, rules: Rules, run_bytes: usize) -> Spool {
        Spool { folder, rules, held: Vec::new(), bytes: 0, run_bytes }
    }
    /// Keep a match.
    pub fn add(&mut self, from: Outlet, found: Box<Match>) -> Result<()> {
        let entry = Entry { from, found };
        self.bytes += entry.weight();
        self.held.push(entry);
        if self.bytes >= self.run_bytes { self.write() } else { Ok(()) }
    }
    fn write(&mut self) -> Result<()> {
        let path = self.folder.next()?;
        self.held.sort_by_cached_key(Entry::key);
        let mut out = BufWriter::new(File::create(&path).with_context(|| format!("make {}", path.display()))?);
        for mut e in self.held.drain(..) {
            let key = (e.found.rule.id.clone(), e.found.rule.version.clone());
            let slim = RuleMeta { id: key.0.clone(), version: key.1.clone(), ..RuleMeta::default() };
            let whole = std::mem::replace(&mut e.found.rule, Arc::new(slim));
            self.rules.lock().expect("no holder panics").entry(key).or_insert(whole);
            let text = serde_json::to_vec(&(e.from, &e.found))?;
            out.write_all(&(text.len() as u32).to_le_bytes())?;
            out.write_all(&text)?;
        }
        out.flush().with_context(|| format!("write {}", path.display()))?;
        self.bytes = 0;
        Ok(())
    }
    /// What is held in memory, sorted.
    pub fn rest(mut self) -> Vec<Entry> {
        self.held.sort_by_cached_key(Entry::key);
        self.held
    }
}

/// A sorted run that is read back.
enum Run {
    Memory(std::vec::IntoIter<Entry>),
    Disk(BufReader<File>, Rules),
}

impl Run {
    fn next(&mut self) -> Result<Option<Entry>> {
        let (file, rules) = match self {
            Run::Memory(held) => return Ok(held.next()),
            Run::Disk(file, rules) => (file, rules),
        };
        let mut len = [0; 4];
        match file.read_exact(&mut len) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let mut text = vec![0; u32::from_le_bytes(len) as usize];
        file.read_exact(&mut text)?;
        let (from, mut found): (Outlet, Box<Match>) = serde_json::from_slice(&text)?;
        let key = (found.rule.id.clone(), found.rule.version.clone());
        found.rule = rules.lock().expect("no holder panics")[&key].clone();
        Ok(Some(Entry { from, found }))
    }
}

/// Everything that spools hold, in order.
pub struct Merged {
    /// Kept until the last of it is read.
    _folder: Arc<Folder>,
    runs: Vec<Run>,
    heads: Vec<Option<Entry>>,
    order: BinaryHeap<Reverse<(Key, usize)>>,
}

/// Merge the runs in a folder with what was held in memory.
pub fn merge(folder: Arc<Folder>, rules: Rules, rest: Vec<Vec<Entry>>) -> Result<Merged> {
    let open = |path: &Path| File::open(path).with_context(|| format!("read {}", path.display()));
    let paths = folder.runs.lock().expect("no holder panics").clone();
    let disk =
        paths.iter().map(|p| Ok(Run::Disk(BufReader::new(open(p)?), rules.clone()))).collect::<Result<Vec<_>>>()?;
    let runs: Vec<Run> = disk.into_iter().chain(rest.into_iter().map(|r| Run::Memory(r.into_iter()))).collect();
    let heads = runs.iter().map(|_| None).collect();
    let mut merged = Merged { _folder: folder, runs, heads, order: BinaryHeap::new() };
    (0..merged.runs.len()).try_for_each(|i| merged.refill(i))?;
    Ok(merged)
}

impl Merged {
    fn refill(&mut self, i: usize) -> Result<()> {
        self.heads[i] = self.runs[i].next()?;
        self.order.extend(self.heads[i].as_ref().map(|e| Reverse((e.key(), i))));
        Ok(())
    }
    fn group(&mut self) -> Result<Vec<Entry>> {
        let mut out: Vec<Entry> = Vec::new();
        while let Some(Reverse((key, i))) = self.order.peek() {
            let other = out.first().is_some_and(|e| e.found.event_ms != key.0);
            if other || out.len() == GROUP_MAX {
                break;
            }
            let i = *i;
            self.order.pop();
            out.extend(self.heads[i].take());
            self.refill(i)?;
        }
        Ok(out)
    }
}

impl Iterator for Merged {
    type Item = Result<Vec<Entry>>;
    fn next(&mut self) -> Option<Self::Item> {
        match self.group() {
            Ok(group) if group.is_empty() => None,
            other => Some(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(ms: i64, offset: u64, rule: &str) -> Entry {
        let rule = Arc::new(RuleMeta { id: rule.into(), name: format!("name of {rule}"), ..RuleMeta::default() });
        let pos = Pos { offset, ..Pos::default() };
        Entry { from: (1, 0), found: Box::new(Match { event_ms: ms, pos, rule, ..Match::default() }) }
    }

    fn merged(all: &[Entry], workers: usize, run_bytes: usize) -> Vec<Entry> {
        let (folder, rules) = (Folder::new().unwrap(), Rules::default());
        let path = folder.path.clone();
        let mut spools: Vec<Spool> =
            (0..workers).map(|_| Spool::new(folder.clone(), rules.clone(), run_bytes)).collect();
        for (i, e) in all.iter().enumerate() {
            spools[i % workers].add(e.from, e.found.clone()).unwrap();
        }
        let rest = spools.into_iter().map(Spool::rest).collect();
        let groups: Vec<Vec<Entry>> = merge(folder, rules, rest).unwrap().map(Result::unwrap).collect();
        assert!(groups.iter().all(|g| g.iter().all(|e| e.found.event_ms == g[0].found.event_ms)));
        assert!(!path.exists(), "the folder is gone with the last reader");
        groups.into_iter().flatten().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_order_is_that_of_a_sort_whatever_the_runs(
            all in prop::collection::vec((0..6i64, 0..200u64, 0..3usize), 0..60),
            workers in 1..4usize,
            run_bytes in prop::sample::select(vec![1usize, 900, 3_000, RUN_BYTES]),
        ) {
            let all: Vec<Entry> = all.into_iter().map(|(ms, at, r)| entry(ms, at, ["a", "b", "c"][r])).collect();
            let mut want = all.clone();
            want.sort_by_cached_key(Entry::key);
            prop_assert_eq!(merged(&all, workers, run_bytes), want);
        }
    }

    #[test]
    fn the_number_of_runs_is_bounded() {
        let folder = Folder::new().unwrap();
        let mut spool = Spool::new(folder.clone(), Rules::default(), 1);
        for i in 0..RUNS_MAX as u64 {
            spool.add((0, 0), entry(0, i, "r").found).unwrap();
        }
        let e = spool.add((0, 0), entry(0, 0, "r").found).unwrap_err().to_string();
        assert!(e.contains("8 GiB"), "{e}");
    }

    #[test]
    fn a_group_is_bounded() {
        let all: Vec<Entry> = (0..GROUP_MAX as u64 + 1).map(|i| entry(5, i, "r")).collect();
        let groups = merge(Folder::new().unwrap(), Rules::default(), vec![all]).unwrap();
        assert_eq!(groups.map(|g| g.unwrap().len()).collect::<Vec<_>>(), [GROUP_MAX, 1]);
    }
}
