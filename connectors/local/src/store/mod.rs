//! The durable state of an engine in a folder: epoch log, commit logs, snapshot objects and manifests.
//!
//! ```text
//! <dir>/lock                       held by the running process, names its pid
//!       format                     version of this layout
//!       identity                   random name of this state
//!       generation                 number of the newest incarnation
//!       epochs.log                 framed epoch records (log.rs)
//!       commits/<sink>.<shard>.log framed commit records
//!       manifests/<epoch>.json     a line with the hash of the rest, then the manifest
//!       objects/…                  snapshot objects; a manifest names length and hash of each
//!       tmp/                       files not yet renamed; emptied on open
//! ```
//!
//! What is damaged is refused with the file and byte, never read around: a wrong read could show as wrong output long
//! after. A torn tail (a crash in an append) is not damage. Records lost at the end of the epoch log show because the
//! commit logs are ahead of it: an epoch is in the log before anything of it is committed.
mod durable;
mod lock;
mod log;

pub(crate) use durable::{create_dirs, replace, sync_dir};
pub use lock::{Lock, exclusive};

use crate::failure::{at, damaged};
use log::Log;
use model::store::{Commit, Log as _, Manifest, ObjectRef, Store};
use model::{Epoch, EpochRecord, Result, fault};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const FORMAT: &str = "millstream store 1\n";
const FOLDERS: [&str; 4] = ["commits", "manifests", "objects", "tmp"];

/// A store in a local folder; see the module.
pub struct LocalStore {
    dir: PathBuf,
    role: Role,
    epochs: Mutex<EpochLog>,
    commits: Mutex<BTreeMap<(String, u32), Arc<Mutex<Log>>>>,
    /// Shards that this process commits, with the records appended since their log was last trimmed. A log is
    /// rewritten by its owner only.
    owned: Mutex<BTreeMap<(String, u32), u64>>,
    /// Objects found on open that no manifest may name: left by a crash, removed by the next trim.
    found: Mutex<BTreeSet<String>>,
    /// Highest generation seen in any record.
    seen: AtomicU64,
    tmp: AtomicU64,
}

/// What this process may do with the store.
enum Role {
    /// The coordinator: everything.
    Coordinator(#[expect(dead_code, reason = "held, not read")] Lock),
    /// Another process of the same cluster on this machine: commit records of its own shards, and objects.
    Member,
    /// Look only.
    Reader,
}

struct EpochLog {
    log: Log,
    last: Option<Epoch>,
}

/// A line of a commit log: which shard it is of, so that logs cannot be mixed up.
#[derive(Serialize, Deserialize)]
struct CommitLine {
    sink: String,
    shard: u32,
    commit: Commit,
}

fn locked<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalStore {
    /// Open or create the store of a folder for writing, take its lock, cut torn tails and check every record.
    pub fn open(dir: impl AsRef<Path>) -> Result<LocalStore> {
        let dir = dir.as_ref();
        create_dirs(dir)?;
        let lock = lock::exclusive(dir)?;
        check_format(dir, true)?;
        for f in FOLDERS {
            create_dirs(&dir.join(f))?;
        }
        for e in list(&dir.join("tmp"))? {
            fs::remove_file(dir.join("tmp").join(&e)).map_err(at("remove", &dir.join("tmp").join(&e)))?;
        }
        let store = LocalStore::load(dir, Role::Coordinator(lock), Log::open)?;
        let mut found = BTreeSet::new();
        objects_below(&dir.join("objects"), "", &mut found)?;
        *locked(&store.found) = found;
        Ok(store)
    }

    /// Open a store to look at it, also while an engine runs on it: takes no lock and changes nothing.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<LocalStore> {
        let dir = dir.as_ref();
        if !dir.join("format").exists() {
            return Err(format!("there is no engine state in {}", dir.display()).into());
        }
        check_format(dir, false)?;
        LocalStore::load(dir, Role::Reader, |p| Ok(Log::open_read_only(p)))
    }

    /// Open the store of a folder that the coordinator's process on this machine has open; see [`Store::join`].
    pub fn open_as_member(dir: impl AsRef<Path>) -> Result<LocalStore> {
        let dir = dir.as_ref();
        check_format(dir, false)?;
        Ok(LocalStore::new(dir, Role::Member, Log::open_read_only(&dir.join("epochs.log"))))
    }

    fn new(dir: &Path, role: Role, epochs: Log) -> LocalStore {
        LocalStore {
            dir: dir.into(),
            role,
            epochs: Mutex::new(EpochLog { log: epochs, last: None }),
            commits: Mutex::default(),
            owned: Mutex::default(),
            found: Mutex::default(),
            seen: AtomicU64::new(0),
            tmp: AtomicU64::new(0),
        }
    }

    fn load(dir: &Path, role: Role, open: impl Fn(&Path) -> Result<Log>) -> Result<LocalStore> {
        let store = LocalStore::new(dir, role, open(&dir.join("epochs.log"))?);
        let saw = |g: u64| store.seen.fetch_max(g, Ordering::Relaxed);
        let records = store.epoch_records()?;
        records.iter().for_each(|r| {
            saw(r.generation);
        });
        let mut last = records.last().map(|r| r.epoch);
        for m in store.manifests()?.into_iter().flatten() {
            saw(m.generation);
            last = last.max(Some(m.epoch));
        }
        for file in list(&dir.join("commits"))? {
            let path = dir.join("commits").join(&file);
            let log = open(&path)?;
            let Some(newest) = commit_lines(&log)?.pop() else { continue };
            if file != commit_file(&newest.sink, newest.shard) {
                return Err(damaged(&path, 0, &format!("it holds records of {} {}", newest.sink, newest.shard)));
            }
            if Some(newest.commit.epoch) > last {
                let why = format!("{file} commits epoch {}, which this log has lost", newest.commit.epoch);
                return Err(damaged(locked(&store.epochs).log.path(), 0, &why));
            }
            saw(newest.commit.generation);
            locked(&store.commits).insert((newest.sink, newest.shard), Arc::new(Mutex::new(log)));
        }
        locked(&store.epochs).last = last;
        Ok(store)
    }

    fn epoch_records(&self) -> Result<Vec<EpochRecord>> {
        let e = locked(&self.epochs);
        let mut out: Vec<EpochRecord> = Vec::new();
        for payload in e.log.read()? {
            let r: EpochRecord =
                serde_json::from_slice(&payload).map_err(at("understand a record of", e.log.path()))?;
            if let Some(before) = out.last()
                && r.epoch != before.epoch + 1
            {
                let why = format!("epoch {} follows epoch {}", r.epoch, before.epoch);
                return Err(damaged(e.log.path(), 0, &why));
            }
            out.push(r);
        }
        Ok(out)
    }

    /// Log of a shard; made if it is to be written and does not exist.
    fn commit_log(&self, sink: &str, shard: u32, make: bool) -> Result<Option<Arc<Mutex<Log>>>> {
        let mut logs = locked(&self.commits);
        if let Some(l) = logs.get(&(sink.to_string(), shard)) {
            return Ok(Some(l.clone()));
        }
        if !make {
            return Ok(None);
        }
        self.writable()?;
        let log = Arc::new(Mutex::new(Log::open(&self.dir.join("commits").join(commit_file(sink, shard)))?));
        logs.insert((sink.into(), shard), log.clone());
        Ok(Some(log))
    }

    fn writable(&self) -> Result<()> {
        match self.role {
            Role::Coordinator(_) | Role::Member => Ok(()),
            Role::Reader => Err(format!("the store {} is open for reading only", self.dir.display()).into()),
        }
    }

    fn coordinates(&self) -> Result<()> {
        self.writable()?;
        match self.role {
            Role::Member => Err(format!("only the coordinator writes that in {}", self.dir.display()).into()),
            _ => Ok(()),
        }
    }

    fn temp(&self) -> PathBuf {
        let n = self.tmp.fetch_add(1, Ordering::Relaxed);
        self.dir.join("tmp").join(format!("{}.{n}", std::process::id()))
    }

    /// Cut from a commit log what no kept manifest needs.
    fn trim_commits(&self, log: &Mutex<Log>, oldest: Epoch) -> Result<()> {
        let mut log = locked(log);
        let lines = commit_lines(&log)?;
        // The newest one stays in any case: it is where the shard stands.
        let newest = lines.last().map(|l| l.commit.epoch);
        let keep: Vec<&CommitLine> =
            lines.iter().filter(|l| l.commit.epoch > oldest || Some(l.commit.epoch) == newest).collect();
        if keep.len() < lines.len() {
            let keep = keep.into_iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>()?;
            log.rewrite(&self.temp(), &keep)?;
        }
        Ok(())
    }

    /// A member is not asked to trim: it cuts its logs by itself, after so many records, to the oldest manifest there is.
    fn trim_as_member(&self, key: &(String, u32), log: &Mutex<Log>) -> Result<()> {
        const EVERY: u64 = 512;
        let mut owned = locked(&self.owned);
        let n = owned.entry(key.clone()).or_default();
        *n += 1;
        if !n.is_multiple_of(EVERY) {
            return Ok(());
        }
        let oldest = list(&self.dir.join("manifests"))?;
        let oldest = oldest.first().and_then(|n| n.trim_end_matches(".json").parse().ok());
        oldest.map_or(Ok(()), |oldest| self.trim_commits(log, oldest))
    }
}

impl model::store::Log for LocalStore {
    fn begin(&self) -> Result<u64> {
        self.coordinates()?;
        let identity = self.dir.join("identity");
        if !identity.exists() {
            durable::replace(&self.temp(), &identity, &[checked(&model::random::hex(16)?).as_bytes()], || ())?;
        }
        self.identity()?;
        let path = self.dir.join("generation");
        let before = match path.exists() {
            true => read_checked(&path)?.parse().map_err(|_| damaged(&path, 0, "it does not hold a number"))?,
            false => 0,
        };
        let n = self.seen.fetch_max(before, Ordering::Relaxed).max(before) + 1;
        self.seen.store(n, Ordering::Relaxed);
        durable::replace(&self.temp(), &path, &[checked(&n.to_string()).as_bytes()], || ())?;
        Ok(n)
    }

    fn join(&self, generation: u64) -> Result<()> {
        let path = self.dir.join("generation");
        match read_checked(&path)?.parse::<u64>() {
            Ok(n) if n == generation => Ok(()),
            _ => Err(format!(
                "{}: this process joins generation {generation}, but the folder holds another one. With the local log, all \
                 processes of a cluster share one data folder; on several machines use [log]",
                path.display()
            )
            .into()),
        }
    }

    fn identity(&self) -> Result<String> {
        read_checked(&self.dir.join("identity"))
    }

    fn append_epoch(&self, record: &EpochRecord) -> Result<()> {
        self.coordinates()?;
        let payload = serde_json::to_vec(record)?;
        let mut e = locked(&self.epochs);
        if let Some(last) = e.last
            && record.epoch != last + 1
        {
            return Err(format!("{}: epoch {} cannot follow epoch {last}", e.log.path().display(), record.epoch).into());
        }
        fault::crash_point("epoch.before_append");
        e.log.append(&payload, true, "epoch.torn_append")?;
        e.last = Some(record.epoch);
        fault::crash_point("epoch.after_append");
        Ok(())
    }

    fn epochs_after(&self, epoch: Epoch) -> Result<Vec<EpochRecord>> {
        let mut records = self.epoch_records()?;
        if let Some(first) = records.first()
            && first.epoch > epoch + 1
            && (epoch > 0 || !self.manifests()?.iter().any(|m| m.is_ok()))
        {
            let why = format!("it starts at epoch {}; epochs from {} on are needed", first.epoch, epoch + 1);
            return Err(damaged(locked(&self.epochs).log.path(), 0, &why));
        }
        records.retain(|r| r.epoch > epoch);
        Ok(records)
    }

    fn append_commit(&self, sink: &str, shard: u32, commit: &Commit, sync: bool) -> Result<()> {
        let log = self.commit_log(sink, shard, true)?.ok_or("no commit log")?;
        let payload = serde_json::to_vec(&CommitLine { sink: sink.into(), shard, commit: commit.clone() })?;
        locked(&log).append(&payload, sync, "commit.torn_append")?;
        let key = (sink.to_string(), shard);
        match self.role {
            Role::Member => self.trim_as_member(&key, &log),
            _ => {
                locked(&self.owned).entry(key).or_default();
                Ok(())
            }
        }
    }

    fn commits(&self, sink: &str, shard: u32) -> Result<Vec<Commit>> {
        match self.commit_log(sink, shard, false)? {
            Some(log) => Ok(commit_lines(&locked(&log))?.into_iter().map(|l| l.commit).collect()),
            None => Ok(Vec::new()),
        }
    }

    fn shards(&self) -> Result<Vec<(String, u32)>> {
        let mut logs = locked(&self.commits);
        // Members of a cluster may have written since: look again at every log that is not this process's own.
        let owned = locked(&self.owned);
        if matches!(self.role, Role::Coordinator(_)) {
            let known: BTreeMap<String, Arc<Mutex<Log>>> =
                logs.iter().map(|((sink, shard), log)| (commit_file(sink, *shard), log.clone())).collect();
            for file in list(&self.dir.join("commits"))? {
                if known.get(&file).is_some_and(|log| locked(log).is_current()) {
                    continue;
                }
                let log = Log::open(&self.dir.join("commits").join(&file))?;
                let Some(newest) = commit_lines(&log)?.pop() else { continue };
                let key = (newest.sink, newest.shard);
                if !owned.contains_key(&key) {
                    logs.insert(key, Arc::new(Mutex::new(log)));
                }
            }
        }
        Ok(logs.keys().cloned().collect())
    }

    fn forget(&self, epoch: Epoch) -> Result<()> {
        self.coordinates()?;
        let keep = self
            .epoch_records()?
            .iter()
            .filter(|r| r.epoch > epoch)
            .map(serde_json::to_vec)
            .collect::<Result<Vec<_>, _>>()?;
        locked(&self.epochs).log.rewrite(&self.temp(), &keep)?;
        let owned = locked(&self.owned);
        let logs: Vec<_> =
            locked(&self.commits).iter().filter(|l| owned.contains_key(l.0)).map(|l| l.1.clone()).collect();
        logs.iter().try_for_each(|log| self.trim_commits(log, epoch))
    }
}

impl Store for LocalStore {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<ObjectRef> {
        self.writable()?;
        fault::crash_point("snapshot.mid_objects");
        let dest = object_path(&self.dir, name)?;
        if let Some(dir) = dest.parent() {
            create_dirs(dir)?;
        }
        durable::replace(&self.temp(), &dest, &[bytes], || fault::crash_point("object.before_rename"))?;
        locked(&self.found).remove(name);
        Ok(ObjectRef::of(name, bytes))
    }

    fn get(&self, object: &ObjectRef) -> Result<Vec<u8>> {
        let path = object_path(&self.dir, &object.name)?;
        let bytes = fs::read(&path).map_err(at("read", &path))?;
        let at = if bytes.len() as u64 == object.len { 0 } else { object.len.min(bytes.len() as u64) };
        object.check(&bytes).map_err(|why| damaged(&path, at, &why))?;
        Ok(bytes)
    }

    fn publish(&self, manifest: &Manifest) -> Result<()> {
        self.coordinates()?;
        fault::crash_point("manifest.before_publish");
        let dest = self.dir.join("manifests").join(manifest_file(manifest.epoch));
        durable::replace(&self.temp(), &dest, &[&manifest.to_bytes()?], || ())?;
        fault::crash_point("manifest.after_publish");
        Ok(())
    }

    fn manifests(&self) -> Result<Vec<std::result::Result<Manifest, String>>> {
        let dir = self.dir.join("manifests");
        let mut names = list(&dir)?;
        names.sort_by(|a, b| b.cmp(a));
        Ok(names.iter().map(|n| read_manifest(&dir.join(n), n)).collect())
    }

    fn trim(&self, keep: usize) -> Result<()> {
        self.coordinates()?;
        let all: Vec<Manifest> = self.manifests()?.into_iter().flatten().collect();
        let (kept, _) = all.split_at(keep.max(1).min(all.len()));
        let Some(oldest) = kept.last().map(|m| m.epoch) else { return Ok(()) };
        let used: BTreeSet<&str> = kept.iter().flat_map(|m| m.objects().into_keys()).collect();
        let mut unused: BTreeSet<String> = std::mem::take(&mut *locked(&self.found));
        unused.extend(all.iter().flat_map(|m| m.objects().into_keys()).map(String::from));

        // Manifests first: what a crash leaves behind is then too much, never too little.
        let dir = self.dir.join("manifests");
        for name in list(&dir)?.iter().filter(|n| **n < manifest_file(oldest)) {
            fs::remove_file(dir.join(name)).map_err(at("remove", &dir.join(name)))?;
        }
        sync_dir(&dir)?;
        fault::crash_point("trim.mid");
        self.forget(oldest)?;
        for name in unused.iter().filter(|n| !used.contains(n.as_str())) {
            let path = object_path(&self.dir, name)?;
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(at("remove", &path)(e)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A word with its checksum, for files that hold nothing else.
fn checked(word: &str) -> String {
    format!("{word} {:08x}\n", crc32fast::hash(word.as_bytes()))
}

/// The word of such a file.
fn read_checked(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(at("read", path))?;
    let text = String::from_utf8(bytes).map_err(|_| damaged(path, 0, "it is not text"))?;
    let word = text.strip_suffix('\n').and_then(|t| t.split_once(' ')).map(|(word, _)| word);
    let word = word.filter(|w| checked(w) == text).ok_or_else(|| damaged(path, 0, "it does not have its checksum"))?;
    Ok(word.to_string())
}

fn check_format(dir: &Path, make: bool) -> Result<()> {
    let path = dir.join("format");
    match fs::read(&path) {
        Ok(b) if b == FORMAT.as_bytes() => Ok(()),
        Ok(b) => Err(format!(
            "{}: this is `{}`, this version reads and writes `{}`; use the version that wrote it, or another data folder",
            path.display(),
            String::from_utf8_lossy(&b).trim(),
            FORMAT.trim()
        )
        .into()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && make => {
            if dir.join("epochs.log").exists() {
                return Err(damaged(&path, 0, "it is missing"));
            }
            durable::replace(&dir.join("format.new"), &path, &[FORMAT.as_bytes()], || ())
        }
        Err(e) => Err(at("read", &path)(e)),
    }
}

/// Names in a folder, sorted; none if it does not exist.
fn list(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        r => r.map_err(at("list", dir))?,
    };
    let mut names = Vec::new();
    for e in entries {
        names.push(e.map_err(at("list", dir))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn objects_below(dir: &Path, prefix: &str, out: &mut BTreeSet<String>) -> Result<()> {
    // A folder that a killed process made has a name that may not be durable, and what is put into it relies on that.
    sync_dir(dir)?;
    for name in list(dir)? {
        let (path, name) = (dir.join(&name), format!("{prefix}{name}"));
        if path.is_dir() {
            objects_below(&path, &format!("{name}/"), out)?;
        } else {
            out.insert(name);
        }
    }
    Ok(())
}

fn object_path(dir: &Path, name: &str) -> Result<PathBuf> {
    let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
    if name.is_empty() || !plain {
        return Err(format!("object name `{name}` leads out of the store").into());
    }
    Ok(dir.join("objects").join(name))
}

fn manifest_file(epoch: Epoch) -> String {
    format!("{epoch:020}.json")
}

fn read_manifest(path: &Path, name: &str) -> std::result::Result<Manifest, String> {
    let bytes = fs::read(path).map_err(|e| format!("{name}: {e}"))?;
    let m = Manifest::from_bytes(&bytes).map_err(|e| format!("{name}: {e}"))?;
    if manifest_file(m.epoch) != name {
        return Err(format!("{name}: it is the manifest of epoch {}", m.epoch));
    }
    Ok(m)
}

/// File of a shard's log. Characters that are not plain are written `%XX`, so different names never meet.
fn commit_file(sink: &str, shard: u32) -> String {
    let mut out = String::new();
    for b in sink.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => out.push(b as char),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    format!("{out}.{shard}.log")
}

fn commit_lines(log: &Log) -> Result<Vec<CommitLine>> {
    let mut out: Vec<CommitLine> = Vec::new();
    for payload in log.read()? {
        let line: CommitLine = serde_json::from_slice(&payload).map_err(at("understand a record of", log.path()))?;
        if let Some(before) = out.last()
            && (line.sink != before.sink || line.shard != before.shard || line.commit.epoch <= before.commit.epoch)
        {
            let why = format!("epoch {} of {} follows epoch {}", line.commit.epoch, line.sink, before.commit.epoch);
            return Err(damaged(log.path(), 0, &why));
        }
        out.push(line);
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
