//! A store made of a log elsewhere (Kafka) and object storage (a folder, a bucket).
//!
//! ```text
//! manifests/<epoch, 20 digits>-g<generation>.json   a line with the hash of the rest, then the manifest
//! objects/…                                         what manifests name
//! ```
//!
//! Nothing is overwritten: object names hold epoch and generation. A manifest counts if it has its hash.
//!
//! Nobody locks objects, so a predecessor that has not noticed that it is replaced may publish once more, also a later epoch
//! than its successor has, and name objects that were removed meanwhile. Therefore the newest generation's manifests come
//! first, and nothing is removed before the log has confirmed, after the publication of a manifest, that nobody has begun
//! since: whoever begins later starts from that manifest or a newer one.
use model::objects::Objects;
use model::store::{Commit, Log, Manifest, ObjectRef, Store};
use model::{Epoch, EpochRecord, Result, fault};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module.
pub struct Composed {
    log: Box<dyn Log>,
    objects: Arc<dyn Objects>,
    begun: Mutex<Begun>,
}

/// What an incarnation found when it began.
#[derive(Default)]
struct Begun {
    generation: u64,
    /// Names of manifests.
    manifests: BTreeSet<String>,
    /// Names of objects: what no kept manifest names is removed by the next trim.
    objects: BTreeSet<String>,
}

impl Composed {
    /// Put a log and object storage together.
    pub fn new(log: Box<dyn Log>, objects: Arc<dyn Objects>) -> Composed {
        Composed { log, objects, begun: Mutex::default() }
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `(name, manifest)`, newest generation first, then newest epoch.
    fn read_manifests(&self) -> Result<Vec<(String, std::result::Result<Manifest, String>)>> {
        let mut names = self.objects.list("manifests/")?;
        let age = |name: &String| name.rsplit_once("-g").map(|(epoch, g)| (g.to_string(), epoch.to_string()));
        names.sort_by_cached_key(|name| std::cmp::Reverse(age(name)));
        let read = |name: String| {
            let m = self.objects.get(&name).map_err(|e| e.to_string()).and_then(|b| Manifest::from_bytes(&b));
            (name.clone(), m.map_err(|e| format!("{name}: {e}")))
        };
        Ok(names.into_iter().map(read).collect())
    }
}

fn name_of(m: &Manifest) -> String {
    format!("manifests/{:020}-g{:010}.json", m.epoch, m.generation)
}

/// Names of the objects of a manifest, as they are stored.
fn objects_of(m: &Manifest) -> impl Iterator<Item = String> {
    m.objects().into_keys().map(|name| format!("objects/{name}"))
}

impl Log for Composed {
    fn begin(&self) -> Result<u64> {
        let generation = self.log.begin()?;
        let manifests = self.objects.list("manifests/")?.into_iter().collect();
        let objects = self.objects.list("objects/")?.into_iter().collect();
        *self.begun() = Begun { generation, manifests, objects };
        Ok(generation)
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
        self.log.append_epoch(record)
    }
    fn epochs_after(&self, epoch: Epoch) -> Result<Vec<EpochRecord>> {
        self.log.epochs_after(epoch)
    }
    fn append_commit(&self, sink: &str, shard: u32, commit: &Commit, sync: bool) -> Result<()> {
        self.log.append_commit(sink, shard, commit, sync)
    }
    fn commits(&self, sink: &str, shard: u32) -> Result<Vec<Commit>> {
        self.log.commits(sink, shard)
    }
    fn shards(&self) -> Result<Vec<(String, u32)>> {
        self.log.shards()
    }
    fn forget(&self, epoch: Epoch) -> Result<()> {
        self.log.forget(epoch)
    }
}

impl Store for Composed {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<ObjectRef> {
        fault::crash_point("snapshot.mid_objects");
        self.objects.put(&format!("objects/{name}"), bytes)?;
        Ok(ObjectRef::of(name, bytes))
    }
    fn get(&self, object: &ObjectRef) -> Result<Vec<u8>> {
        let bytes = self.objects.get(&format!("objects/{}", object.name))?;
        object.check(&bytes).map_err(|why| format!("object {} is damaged: {why}", object.name))?;
        Ok(bytes)
    }
    fn publish(&self, manifest: &Manifest) -> Result<()> {
        fault::crash_point("manifest.before_publish");
        self.objects.put(&name_of(manifest), &manifest.to_bytes()?)?;
        fault::crash_point("manifest.after_publish");
        Ok(())
    }
    fn manifests(&self) -> Result<Vec<std::result::Result<Manifest, String>>> {
        Ok(self.read_manifests()?.into_iter().map(|m| m.1).collect())
    }
    fn trim(&self, keep: usize) -> Result<()> {
        self.log.confirm()?;
        let all = self.read_manifests()?;
        let whole: Vec<(&String, &Manifest)> = all.iter().filter_map(|(n, m)| Some((n, m.as_ref().ok()?))).collect();
        let mut begun = self.begun();
        // What a predecessor published late is not relied on.
        let mine = |name: &String, m: &Manifest| m.generation == begun.generation || begun.manifests.contains(name);
        let (good, late): (Vec<_>, Vec<_>) = whole.iter().partition(|(name, m)| mine(name, m));
        let Some(oldest) = good.iter().take(keep.max(1)).next_back().map(|(_, m)| m.epoch) else { return Ok(()) };
        let first = format!("manifests/{oldest:020}");
        let used: BTreeSet<String> = good.iter().filter(|m| *m.0 >= first).flat_map(|m| objects_of(m.1)).collect();
        let mut unused = std::mem::take(&mut begun.objects);
        drop(begun);
        unused.extend(whole.iter().flat_map(|m| objects_of(m.1)));
        // Manifests first: what a crash leaves behind is then too much, never too little.
        let old = all.iter().map(|m| &m.0).filter(|name| **name < first);
        old.chain(late.iter().map(|m| m.0)).try_for_each(|name| self.objects.delete(name))?;
        fault::crash_point("trim.mid");
        self.log.forget(oldest)?;
        unused.iter().filter(|n| !used.contains(*n)).try_for_each(|name| self.objects.delete(name))
    }
}
