//! Epoch log and commit records in framed files on the simulated disk, by the rules of the local store.
use crate::disk;
use crate::sched::pause;
use model::store::{Commit, Log};
use model::{Epoch, EpochRecord, Result, fault};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use xxhash_rust::xxh3::xxh3_64;

/// See the module.
#[derive(Default)]
pub struct DiskLog {
    last: Mutex<Option<Epoch>>,
    busy: AtomicBool,
}

/// The log is this thread's while it lives. Whoever finds it taken passes the turn.
struct Held<'a>(&'a AtomicBool);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

const EPOCHS: &str = "log/epochs";

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut f = (payload.len() as u32).to_le_bytes().to_vec();
    f.extend_from_slice(&(xxh3_64(payload) as u32).to_le_bytes());
    f.extend_from_slice(payload);
    f
}

/// Payloads of a file, and the length of what is whole.
fn frames(path: &str) -> (Vec<Vec<u8>>, usize) {
    let bytes = disk::read(path).unwrap_or_default();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(head) = bytes.get(at..at + 8) {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let hash = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let Some(payload) = bytes.get(at + 8..at + 8 + len).filter(|p| xxh3_64(p) as u32 == hash) else { break };
        out.push(payload.to_vec());
        at += 8 + len;
    }
    (out, at)
}

fn append(path: &str, payload: &[u8], durable: bool, torn: &str) -> Result<()> {
    let new = disk::read(path).is_none();
    let f = frame(payload);
    if fault::about_to_crash(torn) {
        disk::append(path, &f[..f.len() / 2])?;
        disk::sync(path)?;
        fault::die(torn)
    }
    disk::append(path, &f)?;
    if durable {
        disk::sync(path)?;
    }
    if new {
        disk::sync_names();
    }
    Ok(())
}

/// Rewrite a file with fewer records.
fn rewrite(path: &str, keep: &[Vec<u8>]) -> Result<()> {
    disk::replace(path, &keep.iter().flat_map(|p| frame(p)).collect::<Vec<u8>>())
}

fn commit_file(sink: &str, shard: u32) -> String {
    format!("log/commits/{sink}/{shard}")
}

impl DiskLog {
    fn hold(&self) -> Held<'_> {
        while self.busy.swap(true, Relaxed) {
            pause();
        }
        Held(&self.busy)
    }
    fn epochs(&self) -> Result<Vec<EpochRecord>> {
        frames(EPOCHS).0.iter().map(|p| Ok(serde_json::from_slice(p)?)).collect()
    }
}

impl Log for DiskLog {
    fn begin(&self) -> Result<u64> {
        for path in disk::list("log/") {
            let whole = frames(&path).1;
            if path != "log/generation" && disk::read(&path).is_some_and(|b| b.len() > whole) {
                disk::truncate(&path, whole);
            }
            // What an earlier process wrote and did not sync can be read, and is not durable.
            disk::sync(&path)?;
        }
        let last = self.epochs()?.last().map(|r| r.epoch);
        *self.last.lock().expect("no holder panics") = last;
        let before = disk::read("log/generation").and_then(|b| String::from_utf8(b).ok()?.parse::<u64>().ok());
        let n = before.unwrap_or(0) + 1;
        disk::replace("log/generation", n.to_string().as_bytes())?;
        Ok(n)
    }
    fn join(&self, _: u64) -> Result<()> {
        Ok(())
    }
    fn identity(&self) -> Result<String> {
        Ok("this-disk".into())
    }
    fn append_epoch(&self, record: &EpochRecord) -> Result<()> {
        let mut last = self.last.lock().expect("no holder panics");
        if let Some(l) = *last
            && record.epoch != l + 1
        {
            return Err(format!("epoch {} cannot follow epoch {l}", record.epoch).into());
        }
        *last = Some(record.epoch);
        drop(last);
        fault::crash_point("epoch.before_append");
        let _held = self.hold();
        append(EPOCHS, &serde_json::to_vec(record)?, true, "epoch.torn_append")?;
        fault::crash_point("epoch.after_append");
        Ok(())
    }
    fn epochs_after(&self, epoch: Epoch) -> Result<Vec<EpochRecord>> {
        Ok(self.epochs()?.into_iter().filter(|r| r.epoch > epoch).collect())
    }
    fn append_commit(&self, sink: &str, shard: u32, commit: &Commit, durable: bool) -> Result<()> {
        let _held = self.hold();
        append(&commit_file(sink, shard), &serde_json::to_vec(commit)?, durable, "commit.torn_append")
    }
    fn commits(&self, sink: &str, shard: u32) -> Result<Vec<Commit>> {
        frames(&commit_file(sink, shard)).0.iter().map(|p| Ok(serde_json::from_slice(p)?)).collect()
    }
    fn shards(&self) -> Result<Vec<(String, u32)>> {
        let of = |path: String| {
            let (sink, shard) = path.strip_prefix("log/commits/")?.split_once('/')?;
            Some((sink.to_string(), shard.parse().ok()?))
        };
        Ok(disk::list("log/commits/").into_iter().filter_map(of).collect())
    }
    fn forget(&self, epoch: Epoch) -> Result<()> {
        let _held = self.hold();
        let keep = self.epochs()?.into_iter().filter(|r| r.epoch > epoch);
        rewrite(EPOCHS, &keep.map(|r| Ok(serde_json::to_vec(&r)?)).collect::<Result<Vec<_>>>()?)?;
        for (sink, shard) in self.shards()? {
            let all = self.commits(&sink, shard)?;
            let newest = all.last().map(|c| c.epoch);
            let keep = all.iter().filter(|c| c.epoch > epoch || Some(c.epoch) == newest);
            let keep = keep.map(|c| Ok(serde_json::to_vec(c)?)).collect::<Result<Vec<_>>>()?;
            rewrite(&commit_file(&sink, shard), &keep)?;
        }
        Ok(())
    }
}
