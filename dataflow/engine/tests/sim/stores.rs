//! The store of an incarnation, and what it is watched for: the history of epochs is what outputs are judged by.
use crate::disk::DiskObjects;
use crate::disklog::DiskLog;
use crate::sched::{Sched, pause, say, sched};
use engine::composed::Composed;
use model::files::MemFiles;
use model::store::{Commit, Log, Store};
use model::{BuildCx, Built, Epoch, EpochRecord, Objects, Part, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Every epoch that was ever durable.
#[derive(Default)]
pub struct History {
    /// By number.
    pub epochs: BTreeMap<Epoch, EpochRecord>,
    /// What went wrong with it.
    pub broken: Option<String>,
}

impl History {
    fn see(&mut self, r: &EpochRecord) {
        match self.epochs.get(&r.epoch) {
            Some(old) if old != r => {
                let (a, b) = (old.generation, r.generation);
                self.broken = Some(format!("epoch {} was logged twice, by generations {a} and {b}", r.epoch));
            }
            Some(_) => {}
            None => drop(self.epochs.insert(r.epoch, r.clone())),
        }
    }
}

/// A bucket: what is put is durable.
pub struct Bucket;

impl Objects for Bucket {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        pause();
        let s = sched();
        let mut b = s.bucket.lock().expect("no holder panics");
        match b.get(name) {
            Some(old) if old != bytes => Err(format!("{name} exists with other bytes").into()),
            _ => {
                say(|| format!("put {name}"));
                b.insert(name.into(), bytes.to_vec());
                Ok(())
            }
        }
    }
    fn get(&self, name: &str) -> Result<Vec<u8>> {
        pause();
        let s = sched();
        let b = s.bucket.lock().expect("no holder panics");
        b.get(name).cloned().ok_or_else(|| format!("{name} does not exist").into())
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        pause();
        let s = sched();
        let b = s.bucket.lock().expect("no holder panics");
        Ok(b.keys().filter(|n| n.starts_with(prefix)).cloned().collect())
    }
    fn delete(&self, name: &str) -> Result<()> {
        pause();
        say(|| format!("delete {name}"));
        sched().bucket.lock().expect("no holder panics").remove(name);
        Ok(())
    }
}

/// A log that is watched.
struct Watched {
    log: Box<dyn Log>,
    /// An epoch that a broken protocol hands out before it is durable.
    held: Mutex<Option<EpochRecord>>,
}

fn history(s: &Sched) -> std::sync::MutexGuard<'_, History> {
    s.history.lock().expect("no holder panics")
}

impl Log for Watched {
    fn begin(&self) -> Result<u64> {
        self.log.begin()
    }
    fn join(&self, generation: u64) -> Result<()> {
        self.log.join(generation)
    }
    fn identity(&self) -> Result<String> {
        self.log.identity()
    }
    fn confirm(&self) -> Result<()> {
        self.log.confirm()
    }
    fn append_epoch(&self, record: &EpochRecord) -> Result<()> {
        let s = sched();
        if s.broken("mock_late_epoch") {
            let before = self.held.lock().expect("no holder panics").replace(record.clone());
            let held = before.into_iter().chain(record.seal.then(|| record.clone()));
            for r in held {
                self.log.append_epoch(&r)?;
                history(&s).see(&r);
            }
            return Ok(());
        }
        self.log.append_epoch(record)?;
        history(&s).see(record);
        Ok(())
    }
    fn epochs_after(&self, epoch: Epoch) -> Result<Vec<EpochRecord>> {
        let records = self.log.epochs_after(epoch)?;
        let s = sched();
        records.iter().for_each(|r| history(&s).see(r));
        Ok(records)
    }
    fn append_commit(&self, sink: &str, shard: u32, commit: &Commit, durable: bool) -> Result<()> {
        self.log.append_commit(sink, shard, commit, durable)
    }
    fn commits(&self, sink: &str, shard: u32) -> Result<Vec<Commit>> {
        self.log.commits(sink, shard)
    }
    fn shards(&self) -> Result<Vec<(String, u32)>> {
        self.log.shards()
    }
    fn forget(&self, epoch: Epoch) -> Result<()> {
        self.log.forget(if sched().broken("mock_trim_too_much") { epoch + 1 } else { epoch })
    }
}

/// The Kafka log, which trims on a thread of its own; here it is done by its topics' keeper, in turn.
struct KafkaLog(Box<dyn Log>);

impl Log for KafkaLog {
    fn begin(&self) -> Result<u64> {
        self.0.begin()
    }
    fn join(&self, generation: u64) -> Result<()> {
        self.0.join(generation)
    }
    fn identity(&self) -> Result<String> {
        self.0.identity()
    }
    fn confirm(&self) -> Result<()> {
        self.0.confirm()
    }
    fn append_epoch(&self, record: &EpochRecord) -> Result<()> {
        self.0.append_epoch(record)
    }
    fn epochs_after(&self, epoch: Epoch) -> Result<Vec<EpochRecord>> {
        self.0.epochs_after(epoch)
    }
    fn append_commit(&self, sink: &str, shard: u32, commit: &Commit, durable: bool) -> Result<()> {
        self.0.append_commit(sink, shard, commit, durable)
    }
    fn commits(&self, sink: &str, shard: u32) -> Result<Vec<Commit>> {
        self.0.commits(sink, shard)
    }
    fn shards(&self) -> Result<Vec<(String, u32)>> {
        self.0.shards()
    }
    fn forget(&self, epoch: Epoch) -> Result<()> {
        pause();
        let s = sched();
        let mut b = s.brokers.lock().expect("no holder panics");
        let p = &b.topic("sim.epochs")[0];
        let of = |v: &[u8]| serde_json::from_slice::<serde_json::Value>(v).ok()?.get("epoch")?.as_u64();
        let (mut first, mut last) = (None, None);
        for (o, r) in p.visible() {
            last = Some(o);
            if first.is_none() && of(&r.value).is_some_and(|e| e > epoch) {
                first = Some(o);
            }
        }
        if let Some(o) = first.or(last) {
            b.delete_below("sim.epochs", 0, o);
        }
        Ok(())
    }
}

/// The store of a new incarnation, not begun.
pub fn open(local: bool) -> Result<Arc<dyn Store>> {
    let log: Box<dyn Log> = if local {
        Box::new(DiskLog::default())
    } else {
        let part = crate::log::KafkaLogPart;
        let opened = part.open("log", &serde_json::json!({ "prefix": "sim" }), &MemFiles::default());
        let node = opened.node.ok_or_else(|| format!("{:?}", opened.problems))?;
        match node.build(&BuildCx { topology: "sim".into(), ..BuildCx::default() })? {
            Built::Log(log) => Box::new(KafkaLog(log)),
            _ => return Err("a log must build a log".into()),
        }
    };
    let objects: Arc<dyn Objects> = if local { Arc::new(DiskObjects) } else { Arc::new(Bucket) };
    Ok(Arc::new(Composed::new(Box::new(Watched { log, held: Mutex::default() }), objects)))
}
