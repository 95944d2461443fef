//! Where a session starts: the newest manifest that is whole, and the logged epochs after it.
use model::sink::Receipt;
use model::store::{Commit, Manifest, Store};
use model::{Epoch, EpochRecord, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Starting point of a session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Start {
    /// The cut to start from; epoch 0 with empty state for a first start.
    pub manifest: Manifest,
    /// Logged epochs after it: replayed with their ranges and clocks before new ones open.
    pub replay: Vec<EpochRecord>,
    /// Commit records per `(sink, shard)`, in order.
    #[serde(with = "pairs")]
    pub commits: BTreeMap<(String, u32), Vec<Commit>>,
    /// Manifests that were damaged and passed over, for the log.
    pub damaged: Vec<String>,
}

/// A map as a list: JSON has no pairs as keys.
mod pairs {
    use super::*;
    type Map = BTreeMap<(String, u32), Vec<Commit>>;
    pub fn serialize<S: serde::Serializer>(map: &Map, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_seq(map)
    }
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Map, D::Error> {
        Ok(Vec::deserialize(d)?.into_iter().collect())
    }
}

/// Progress of one sink shard at the start.
pub(crate) struct Progress {
    /// Receipt of the newest commit record.
    pub last: Option<Receipt>,
    /// Epoch it stands for (at least the manifest's).
    pub committed: Epoch,
    /// Receipts by epoch.
    pub receipts: BTreeMap<Epoch, Receipt>,
}

impl Start {
    /// Read the starting point. An older manifest is used only if the log still holds every epoch after it.
    pub fn read(store: &dyn Store) -> Result<Start> {
        Start::look(store).or_else(|e| {
            // If somebody has begun since, that one may have moved on and trimmed: then nothing is wrong with the store.
            store.confirm()?;
            Err(e)
        })
    }
    /// As [`Start::read`], of a store that somebody else may be using: who looks while that one trims may not find it whole.
    pub fn look(store: &dyn Store) -> Result<Start> {
        // What a predecessor still removes that has not noticed that it is replaced lies before its newest manifest, which
        // is among these.
        let (manifest, damaged) = newest(store, &store.manifests()?);
        let replay = store.epochs_after(manifest.epoch)?;
        contiguous(&manifest, &replay, &damaged)?;
        let mut commits = BTreeMap::new();
        for (sink, shard) in store.shards()? {
            let c = store.commits(&sink, shard)?;
            commits.insert((sink, shard), c);
        }
        Ok(Start { manifest, replay, commits, damaged })
    }
    /// Progress of a shard: its newest commit record (`own`: those that the sink keeps itself), or the manifest's if the
    /// log was trimmed.
    pub(crate) fn progress(&self, sink: &str, shard: u32, own: Option<&[Commit]>) -> Progress {
        let key = (sink.to_string(), shard);
        let logged = own.or(self.commits.get(&key).map(Vec::as_slice)).unwrap_or_default();
        let cut = self.manifest.commits.get(&format!("{sink}/{shard}"));
        let last = logged.last().into_iter().chain(cut).max_by_key(|c| c.epoch);
        Progress {
            last: last.map(|c| c.receipt.clone()),
            committed: last.map_or(0, |c| c.epoch).max(self.manifest.epoch),
            receipts: logged.iter().map(|c| (c.epoch, c.receipt.clone())).collect(),
        }
    }
    /// The last logged epoch.
    pub fn last_epoch(&self) -> Epoch {
        self.replay.last().map_or(self.manifest.epoch, |r| r.epoch)
    }
}

/// The newest manifest that is whole, and what was passed over. None at all is a first start; whether the log reaches back
/// far enough is checked next.
fn newest(store: &dyn Store, manifests: &[std::result::Result<Manifest, String>]) -> (Manifest, Vec<String>) {
    let mut damaged = Vec::new();
    for m in manifests {
        match m {
            Ok(m) if intact(store, m, &mut damaged) => return (m.clone(), damaged),
            Ok(_) => {}
            Err(e) => damaged.push(e.clone()),
        }
    }
    (Manifest::default(), damaged)
}

/// Every object a manifest names must be there and whole before the manifest counts.
fn intact(store: &dyn Store, m: &Manifest, damaged: &mut Vec<String>) -> bool {
    for o in m.objects().into_values() {
        if let Err(e) = store.get(o) {
            damaged.push(format!("manifest of epoch {}: {e}", m.epoch));
            return false;
        }
    }
    true
}

fn contiguous(manifest: &Manifest, replay: &[EpochRecord], damaged: &[String]) -> Result<()> {
    for (r, want) in replay.iter().zip(manifest.epoch + 1..) {
        if r.epoch != want {
            return Err(format!(
                "the epoch log continues at {} but {want} is needed after the snapshot of epoch {}{}. An older snapshot \
                 cannot be used when the log after it is trimmed: restore the data_dir from a copy, or start with a new one",
                r.epoch,
                manifest.epoch,
                if damaged.is_empty() { String::new() } else { format!(" (damaged: {})", damaged.join("; ")) },
            )
            .into());
        }
    }
    if manifest.epoch == 0 && replay.is_empty() && !damaged.is_empty() {
        return Err(format!("no usable snapshot: {}", damaged.join("; ")).into());
    }
    Ok(())
}
