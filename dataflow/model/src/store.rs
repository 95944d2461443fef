//! Durable state of the engine: epoch log, commit records, snapshot objects, manifests. One contract, two backends:
//! a local folder, and a [`Log`] in Kafka topics with [`crate::Objects`] in a folder or a bucket, which the engine puts
//! together.
use crate::Result;
use crate::epoch::{Epoch, EpochRecord, Quarantined};
use crate::sink::Receipt;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A progress record of one sink shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Epoch up to and including which the shard's output is final.
    pub epoch: Epoch,
    /// Incarnation that wrote it.
    pub generation: u64,
    /// What was committed.
    pub receipt: Receipt,
}

/// Name, length and hash of a stored object; a read checks both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Name relative to the store.
    pub name: String,
    /// Length in bytes.
    pub len: u64,
    /// xxh3-128 of the bytes, hex.
    pub hash: String,
}

/// State of one keyed node at a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// [`crate::Node::state_key`] of the node that wrote it; another key means the state is not carried over.
    pub state_key: String,
    /// What `groups` names by index, oldest first.
    pub objects: Vec<ObjectRef>,
    /// By key group the objects its state is read from: the last one that holds all of it, then those with changes, in
    /// order. Groups without state are absent.
    pub groups: BTreeMap<u32, Vec<u32>>,
}

/// What an object holds of a key group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// No state any more.
    Nothing,
    /// All of its state.
    Whole,
    /// What changed since the object before.
    Changes,
}

impl NodeState {
    /// Take in an object and what it holds; without one, groups only lose their state. Objects that no group names any
    /// more are dropped.
    pub fn add(&mut self, object: Option<ObjectRef>, pieces: &[(u32, Piece)]) {
        let new = self.objects.len() as u32;
        self.objects.extend(object);
        for (group, piece) in pieces {
            match piece {
                Piece::Nothing => drop(self.groups.remove(group)),
                Piece::Whole => drop(self.groups.insert(*group, vec![new])),
                Piece::Changes => self.groups.entry(*group).or_default().push(new),
            }
        }
        let used: BTreeSet<u32> = self.groups.values().flatten().copied().collect();
        let mut at = 0;
        self.objects.retain(|_| {
            at += 1;
            used.contains(&(at - 1))
        });
        // Indices in order are those of the kept objects.
        let index: BTreeMap<u32, u32> = used.into_iter().zip(0..).collect();
        self.groups.values_mut().flatten().for_each(|i| *i = index[i]);
    }
}

/// A consistent cut: every sink shard has committed `epoch`, every object named here exists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The epoch of the cut.
    pub epoch: Epoch,
    /// Incarnation that wrote it.
    pub generation: u64,
    /// Topology bundle that epochs after the cut run under.
    pub bundle: String,
    /// Topology generation number, counted up by every applied edit.
    pub topology_generation: u64,
    /// Number of key groups; fixed for the life of the state.
    pub groups: u32,
    /// Number of lanes; fixed likewise.
    pub lanes: u32,
    /// Clock of the cut, milliseconds; later epochs are not earlier.
    pub now_ms: i64,
    /// Source states by node id.
    pub sources: BTreeMap<String, ObjectRef>,
    /// Keyed state by node id.
    pub state: BTreeMap<String, NodeState>,
    /// Commit of every `(sink/shard)` at the cut, so that commit logs can be trimmed.
    pub commits: BTreeMap<String, Commit>,
    /// Rules that are quarantined at the cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
}

impl ObjectRef {
    /// What stands for these bytes under a name.
    pub fn of(name: &str, bytes: &[u8]) -> ObjectRef {
        ObjectRef { name: name.into(), len: bytes.len() as u64, hash: hash(bytes) }
    }
    /// Why these are not the bytes that were written.
    pub fn check(&self, bytes: &[u8]) -> std::result::Result<(), String> {
        if bytes.len() as u64 != self.len {
            return Err(format!("it has {} bytes, {} were written", bytes.len(), self.len));
        }
        match hash(bytes) == self.hash {
            true => Ok(()),
            false => Err("it does not have the hash that was written".into()),
        }
    }
}

impl Manifest {
    /// Every object that it names, once.
    pub fn objects(&self) -> BTreeMap<&str, &ObjectRef> {
        let state = self.state.values().flat_map(|s| &s.objects);
        self.sources.values().chain(state).map(|o| (o.name.as_str(), o)).collect()
    }
    /// As it is stored: a line with the hash of the rest, then JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        Ok([format!("{}\n", hash(&json)).as_bytes(), &json].concat())
    }
    /// Read what [`Manifest::to_bytes`] made; says what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> std::result::Result<Manifest, String> {
        let (head, json) = bytes.split_at_checked(33).ok_or("it is cut short")?;
        if head != format!("{}\n", hash(json)).as_bytes() {
            return Err("it does not have its hash".into());
        }
        serde_json::from_slice(json).map_err(|e| e.to_string())
    }
}

fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes))
}

/// Epoch log and commit records: the part of a [`Store`] that may be kept outside the data folder. Every method that
/// writes returns only when the write is durable, unless it says otherwise.
pub trait Log: Send + Sync {
    /// Start a new incarnation: take the exclusive lock, count the generation up, make it durable, return it. Only the
    /// coordinator's process does that.
    fn begin(&self) -> Result<u64>;
    /// Take part in an incarnation that the coordinator has begun, from another process: commit records and objects
    /// may be written, epochs and manifests may not.
    fn join(&self, generation: u64) -> Result<()>;
    /// Identity of this state: a random name, made with the first [`Log::begin`] of an empty store and kept with it. Known
    /// after `begin` or `join`. Sinks that keep commit records of their own put it into them ([`crate::BuildCx::run`]),
    /// so that those of a state that was thrown away are not taken for progress.
    fn identity(&self) -> Result<String>;
    /// Make sure that nobody has begun after this incarnation did; an error if somebody has. Whoever begins after this
    /// returns sees everything that was published before. Where a lock keeps others out there is nothing to do.
    fn confirm(&self) -> Result<()> {
        Ok(())
    }
    /// Append to the epoch log.
    fn append_epoch(&self, record: &EpochRecord) -> Result<()>;
    /// Records with a higher epoch, in order. A torn tail (crash in append) is cut; other damage is an error.
    fn epochs_after(&self, epoch: Epoch) -> Result<Vec<EpochRecord>>;
    /// Append a commit record of one sink shard. With `sync == false` it may be lost in a crash (only for epochs in
    /// which the shard wrote nothing).
    fn append_commit(&self, sink: &str, shard: u32, commit: &Commit, sync: bool) -> Result<()>;
    /// Commit records of a shard since the last trim, in order.
    fn commits(&self, sink: &str, shard: u32) -> Result<Vec<Commit>>;
    /// Every `(sink, shard)` that has commit records.
    fn shards(&self) -> Result<Vec<(String, u32)>>;
    /// Forget epochs and commit records up to and including `epoch` (the oldest kept manifest names the newest commit
    /// of every shard). Best effort: what stays is ignored.
    fn forget(&self, epoch: Epoch) -> Result<()>;
}

/// The durable store: a log, with snapshot objects and the manifests that name them. Writes are durable as those of [`Log`].
pub trait Store: Log {
    /// Write an object: temp file, checksum, fsync, rename, fsync of the folder.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<ObjectRef>;
    /// Read an object and check length and hash.
    fn get(&self, object: &ObjectRef) -> Result<Vec<u8>>;
    /// Publish a manifest (same care as [`Store::put`]).
    fn publish(&self, manifest: &Manifest) -> Result<()>;
    /// Manifests, those of the newest incarnation and then the newest epoch first; each is `Err` with its name if it is
    /// damaged.
    fn manifests(&self) -> Result<Vec<std::result::Result<Manifest, String>>>;
    /// Forget what no kept manifest needs: keep the newest `keep` manifests, objects they name, epochs and commits
    /// after the oldest kept one.
    fn trim(&self, keep: usize) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_for_as_long_as_a_group_needs_them() {
        let mut s = NodeState::default();
        let object = |n: &str| Some(ObjectRef::of(n, n.as_bytes()));
        let names = |s: &NodeState, g: u32| -> Vec<String> {
            s.groups[&g].iter().map(|i| s.objects[*i as usize].name.clone()).collect()
        };
        s.add(object("a"), &[(1, Piece::Whole), (2, Piece::Whole), (3, Piece::Whole)]);
        s.add(object("b"), &[(1, Piece::Changes), (3, Piece::Nothing)]);
        s.add(object("c"), &[(1, Piece::Changes), (2, Piece::Whole)]);
        assert_eq!(
            (names(&s, 1), names(&s, 2), s.groups.contains_key(&3)),
            (vec!["a".into(), "b".into(), "c".into()], vec!["c".into()], false)
        );
        s.add(object("d"), &[(1, Piece::Whole)]);
        assert_eq!((names(&s, 1), names(&s, 2), s.objects.len()), (vec!["d".to_string()], vec!["c".to_string()], 2));
        s.add(None, &[(2, Piece::Nothing)]);
        assert_eq!((names(&s, 1), s.objects.len()), (vec!["d".to_string()], 1));
    }
}
