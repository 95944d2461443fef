//! A disk that forgets what was not synced when the power goes, and sometimes cannot write.
use crate::rng::Rng;
use crate::sched::{pause, sched};
use model::{Objects, Result, fault};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Clone, Debug)]
enum NameOp {
    Set(String, usize),
    Remove(String),
}

/// Files by path.
#[derive(Debug, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// Changes of names since the folders were synced, in order.
    pending: Vec<NameOp>,
}

fn apply(names: &mut BTreeMap<String, usize>, op: &NameOp) {
    match op {
        NameOp::Set(n, i) => drop(names.insert(n.clone(), *i)),
        NameOp::Remove(n) => drop(names.remove(n)),
    }
}

impl Disk {
    fn name_op(&mut self, op: NameOp) {
        apply(&mut self.names, &op);
        self.pending.push(op);
    }
    /// Contents of a file.
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        self.names.get(path).map(|i| self.inodes[*i].now.as_slice())
    }
    /// Files whose path starts so.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        self.names.keys().filter(|n| n.starts_with(prefix)).cloned().collect()
    }
    fn file(&mut self, path: &str) -> &mut Inode {
        if !self.names.contains_key(path) {
            self.inodes.push(Inode::default());
            self.name_op(NameOp::Set(path.into(), self.inodes.len() - 1));
        }
        &mut self.inodes[self.names[path]]
    }
    /// Damage a byte of a file, also of its safe copy.
    pub fn damage(&mut self, path: &str, rng: &mut Rng) {
        let i = self.names[path];
        let f = &mut self.inodes[i];
        if !f.now.is_empty() {
            let at = rng.below(f.now.len() as u64) as usize;
            f.now[at] ^= 1 << rng.below(8);
            f.synced = f.now.clone();
        }
    }
    /// The power goes: of what was not synced, some part is there afterwards.
    pub fn power_cut(&mut self, rng: &mut Rng) {
        for f in &mut self.inodes {
            if f.now.starts_with(&f.synced) {
                let more = (f.now.len() - f.synced.len()) as u64;
                f.now.truncate(f.synced.len() + rng.below(more + 1) as usize);
            } else if rng.coin() {
                f.now = f.synced.clone();
            }
            f.synced = f.now.clone();
        }
        let keep = rng.below(self.pending.len() as u64 + 1) as usize;
        for op in &self.pending[..keep] {
            apply(&mut self.synced_names, op);
        }
        self.names = self.synced_names.clone();
        self.pending.clear();
    }
}

fn with<T>(f: impl FnOnce(&mut Disk) -> T) -> T {
    let s = sched();
    let mut d = s.disk.lock().expect("no holder panics");
    f(&mut d)
}

fn failing(what: &str, path: &str) -> Result<bool> {
    pause();
    let s = sched();
    let mut st = s.state();
    let n = st.mix.disk_error;
    if st.fault("disk error", n) {
        let half = st.rng.coin();
        drop(st);
        if half {
            return Ok(true);
        }
        return Err(error(what, path));
    }
    Ok(false)
}

fn error(what: &str, path: &str) -> model::Error {
    format!("{what} {path}: simulated disk error").into()
}

/// Contents of a file.
pub fn read(path: &str) -> Option<Vec<u8>> {
    with(|d| d.read(path).map(<[u8]>::to_vec))
}

/// Append; not durable yet.
pub fn append(path: &str, bytes: &[u8]) -> Result<()> {
    let half = failing("write", path)?;
    let n = if half { bytes.len() / 2 } else { bytes.len() };
    with(|d| d.file(path).now.extend_from_slice(&bytes[..n]));
    if half { Err(error("write", path)) } else { Ok(()) }
}

/// Cut; not durable yet.
pub fn truncate(path: &str, len: usize) {
    with(|d| d.file(path).now.truncate(len));
}

/// Make the contents of a file durable.
pub fn sync(path: &str) -> Result<()> {
    if failing("sync", path)? {
        return Err(error("sync", path));
    }
    with(|d| {
        let f = d.file(path);
        f.synced = f.now.clone();
    });
    Ok(())
}

/// Make names durable.
pub fn sync_names() {
    pause();
    with(|d| {
        let ops = std::mem::take(&mut d.pending);
        ops.iter().for_each(|op| apply(&mut d.synced_names, op));
    });
}

/// Write a whole file: beside, sync, rename, sync the folder.
pub fn replace(path: &str, bytes: &[u8]) -> Result<()> {
    let s = sched();
    let temp = format!("tmp/{path}");
    with(|d| {
        d.names.contains_key(&temp).then(|| d.name_op(NameOp::Remove(temp.clone())));
    });
    append(&temp, bytes)?;
    if !s.broken("mock_no_object_sync") {
        sync(&temp)?;
    }
    fault::crash_point("object.before_rename");
    pause();
    with(|d| {
        let i = d.names[&temp];
        d.name_op(NameOp::Set(path.into(), i));
        d.name_op(NameOp::Remove(temp.clone()));
    });
    if !s.broken("mock_no_folder_sync") {
        sync_names();
    }
    Ok(())
}

/// Remove a file.
pub fn remove(path: &str) {
    with(|d| d.name_op(NameOp::Remove(path.into())));
}

/// Objects in a folder of the disk.
pub struct DiskObjects;

impl Objects for DiskObjects {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match read(name) {
            Some(b) if b == bytes => Ok(()),
            Some(_) => Err(format!("{name} exists with other bytes").into()),
            None => replace(name, bytes),
        }
    }
    fn get(&self, name: &str) -> Result<Vec<u8>> {
        pause();
        read(name).ok_or_else(|| format!("{name} does not exist").into())
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        pause();
        Ok(with(|d| d.list(prefix)))
    }
    fn delete(&self, name: &str) -> Result<()> {
        pause();
        remove(name);
        Ok(())
    }
}

/// Files whose path starts so.
pub fn list(prefix: &str) -> Vec<String> {
    with(|d| d.list(prefix))
}
