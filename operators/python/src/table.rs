//! The table behind `dict` and `set`: entries in the order of insertion, an index by hash beside them.

use std::hash::{BuildHasher, Hash, Hasher};

use ahash::{AHasher, RandomState};

use hashbrown::HashTable;

use crate::exc::{R, type_error};
use crate::ops;
use crate::stdlib::Lib;
use crate::value::Value;

/// Entries in order of insertion.
#[derive(Clone, Debug, Default)]
pub struct Table {
    index: HashTable<usize>,
    entries: Vec<Entry>,
    live: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    hash: u64,
    key: Value,
    value: Value,
}

impl Table {
    /// Count of entries.
    pub fn len(&self) -> usize {
        self.live
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    fn position(&self, key: &Value, hash: u64) -> Option<usize> {
        self.index.find(hash, |&i| self.entries[i].hash == hash && ops::same(&self.entries[i].key, key)).copied()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `TypeError` for a key that cannot be hashed.
    pub fn get(&self, key: &Value) -> R<Option<&Value>> {
        let hash = hash(key)?;
        Ok(self.position(key, hash).map(|i| &self.entries[i].value))
    }

    /// The value of a text key.
    pub fn get_str(&self, key: &str) -> Option<&Value> {
        let hash = hash_str(key);
        self.index
            .find(hash, |&i| matches!(&self.entries[i].key, Value::Str(s) if &**s == key))
            .map(|&i| &self.entries[i].value)
    }

    /// Set the value of a key. A key that is there keeps its place and its identity, as in Python.
    ///
    /// # Errors
    /// `TypeError` for a key that cannot be hashed.
    pub fn set(&mut self, key: Value, value: Value) -> R<()> {
        let hash = hash(&key)?;
        match self.position(&key, hash) {
            Some(i) => self.entries[i].value = value,
            None => {
                let at = self.entries.len();
                self.entries.push(Entry { hash, key, value });
                let entries = &self.entries;
                self.index.insert_unique(hash, at, |&i| entries[i].hash);
                self.live += 1;
            }
        }
        Ok(())
    }

    /// Take an entry out.
    ///
    /// # Errors
    /// `TypeError` for a key that cannot be hashed.
    pub fn remove(&mut self, key: &Value) -> R<Option<Value>> {
        let hash = hash(key)?;
        let Some(at) = self.position(key, hash) else { return Ok(None) };
        if let Ok(slot) = self.index.find_entry(hash, |&i| i == at) {
            slot.remove();
        }
        self.live -= 1;
        self.entries[at].key = Value::Unbound;
        Ok(Some(std::mem::take(&mut self.entries[at].value)))
    }

    /// Take the last entry out.
    pub fn pop_last(&mut self) -> Option<(Value, Value)> {
        while let Some(last) = self.entries.last() {
            if matches!(last.key, Value::Unbound) {
                self.entries.pop();
                continue;
            }
            let (hash, at) = (last.hash, self.entries.len() - 1);
            if let Ok(slot) = self.index.find_entry(hash, |&i| i == at) {
                slot.remove();
            }
            self.live -= 1;
            let last = self.entries.pop()?;
            return Some((last.key, last.value));
        }
        None
    }

    /// Take everything out.
    pub fn clear(&mut self) {
        *self = Table::default();
    }

    /// The first entry at or after a position, and the position after it.
    pub fn next(&self, from: usize) -> Option<(usize, &Value, &Value)> {
        self.entries[from.min(self.entries.len())..]
            .iter()
            .enumerate()
            .find(|(_, e)| !matches!(e.key, Value::Unbound))
            .map(|(i, e)| (from + i + 1, &e.key, &e.value))
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Value, &Value)> {
        self.entries.iter().filter(|e| !matches!(e.key, Value::Unbound)).map(|e| (&e.key, &e.value))
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.iter().map(|(k, _)| k)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        crate::value::drop_all(self.entries.drain(..).flat_map(|e| [e.key, e.value]));
    }
}

/// Seeds are fixed; no hash leaves the engine, and no order depends on one.
const SEEDS: RandomState = RandomState::with_seeds(1, 2, 3, 4);

fn hasher() -> AHasher {
    SEEDS.build_hasher()
}

fn hash_str(text: &str) -> u64 {
    let mut h = hasher();
    text.hash(&mut h);
    h.finish()
}

/// True for a value that holds others.
pub fn is_container(value: &Value) -> bool {
    matches!(
        value,
        Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::Set(_)
            | Value::EvDict(_)
            | Value::EvList(_)
            | Value::View(_)
            | Value::Iter(_)
    )
}

/// Hash of a value: equal values have equal hashes (`1 == True == 1.0`). It never leaves the engine.
///
/// # Errors
/// `TypeError` for lists, dicts, sets and what contains one.
pub fn hash(value: &Value) -> R<u64> {
    let mut h = hasher();
    match value {
        Value::Str(s) => return Ok(hash_str(s)),
        Value::None => 1u8.hash(&mut h),
        Value::Bool(b) => i128::from(*b).hash(&mut h),
        Value::Int(i) => i.hash(&mut h),
        Value::Float(f) => match ops::exact_int(*f) {
            Some(i) => i.hash(&mut h),
            None => f.to_bits().hash(&mut h),
        },
        Value::Bytes(b) => b.hash(&mut h),
        Value::Tuple(t) => {
            for item in &t.0 {
                hash(item)?.hash(&mut h);
            }
        }
        Value::Set(s) if s.immutable => {
            let mut sum = 0u64;
            for key in s.table.borrow().keys() {
                sum = sum.wrapping_add(hash(key)?);
            }
            sum.hash(&mut h);
        }
        Value::Lib(l) => match &**l {
            Lib::Address(a) => a.hash(&mut h),
            Lib::Network(n) => n.hash(&mut h),
            Lib::DateTime(d) => d.instant().hash(&mut h),
            Lib::Delta(d) => d.hash(&mut h),
            other => (other as *const Lib as usize).hash(&mut h),
        },
        Value::List(_) | Value::Dict(_) | Value::Set(_) | Value::EvDict(_) | Value::EvList(_) | Value::Slice(_) => {
            return type_error(format!("unhashable type: '{}'", value.type_name()));
        }
        Value::View(_) => return type_error(format!("unhashable type: '{}'", value.type_name())),
        Value::Type(t) => t.hash(&mut h),
        other => ops::identity(other).hash(&mut h),
    }
    Ok(h.finish())
}
