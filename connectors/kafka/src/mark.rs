//! Marks: the records by which a transactional writer knows, after any death, what it has made visible.
//!
//! A mark is written in the same transaction as the rows it speaks of. Taking over writes a mark as well, so that an
//! older writer which wakes up later sees that it has been replaced, also before the newer one has written anything.
use model::{Result, store::Commit};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

/// Who writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    /// Identity of the state ([`model::BuildCx::run`]).
    pub run: String,
    /// Incarnation.
    pub generation: u64,
    /// Tells writers of one generation apart (the coordinator's log, which gives the generations out); 0 for sinks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub owner: u64,
}

/// One mark. JSON in the value of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Who wrote it.
    #[serde(flatten)]
    pub who: Who,
    /// Epoch that it ends; `None`: the writer took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Rows of the epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// Hash of the rows, or of `record` (hex).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// Record of the epoch log, as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RawValue>>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// xxh3-128, hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

impl Mark {
    /// The writer takes over.
    pub(crate) fn takeover(who: &Who) -> Mark {
        Mark { who: who.clone(), epoch: None, rows: 0, hash: String::new(), record: None }
    }

    /// Rows of an epoch.
    pub(crate) fn rows(who: &Who, epoch: u64, rows: u64, hash: String) -> Mark {
        Mark { epoch: Some(epoch), rows, hash, ..Mark::takeover(who) }
    }

    /// A record of the epoch log.
    pub(crate) fn record(who: &Who, epoch: u64, record: Box<RawValue>) -> Mark {
        let hash = hash(record.get().as_bytes());
        Mark { record: Some(record), ..Mark::rows(who, epoch, 0, hash) }
    }

    /// Read a mark; `at` says where it was found. A hash that does not fit is an error, never passed over.
    pub(crate) fn read(value: &[u8], at: impl Fn() -> String) -> Result<Mark> {
        let value = std::str::from_utf8(value).map_err(|_| format!("{} is not a mark", at()))?;
        let mark: Mark = serde_json::from_str(value).map_err(|e| format!("{} is not a mark: {e}", at()))?;
        match &mark.record {
            Some(r) if hash(r.get().as_bytes()) != mark.hash => {
                Err(format!("{} is damaged: it does not have the hash that was written", at()).into())
            }
            _ => Ok(mark),
        }
    }

    /// Bytes of the record's value.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// True if this mark, found in the topic, says that `mine` is visible. Two marks of one epoch with different rows
    /// are an error: somebody else writes here.
    pub(crate) fn stands_for(&self, mine: &Mark) -> Result<bool> {
        if self.epoch != mine.epoch || self.who.run != mine.who.run {
            return Ok(false);
        }
        if mine.epoch.is_none() {
            return Ok(self.who == mine.who);
        }
        if self.hash != mine.hash {
            return Err(format!(
                "epoch {} is visible with other content (generation {}, hash {}) than is to be written now \
                 (generation {}, hash {})",
                mine.epoch.unwrap_or_default(),
                self.who.generation,
                self.hash,
                mine.who.generation,
                mine.hash
            )
            .into());
        }
        Ok(true)
    }

    /// As the engine knows it, if it ends an epoch of a sink in this run.
    pub(crate) fn commit(&self, run: &str) -> Option<Commit> {
        let epoch = self.epoch.filter(|_| self.who.run == run)?;
        let state = serde_json::json!({ "at": epoch });
        let receipt = model::Receipt { rows: self.rows, digest: self.hash.clone(), state, waiting: false };
        Some(Commit { epoch, generation: self.who.generation, receipt })
    }
}

/// The mark (with its offset) of whoever has replaced `me`, if somebody has: a later incarnation of the same run, or
/// another run that took over after I did. `taken`: offset of the mark by which I took over, or of the newest one that I
/// knew when I set out to; what is before it is not newer.
///
/// A log (it has an owner) is of one run: if two begin on an empty one, the first to write names the state, and anything
/// it wrote tells the other, also when its first mark was trimmed since.
pub(crate) fn successor<'a>(marks: &'a [(i64, Mark)], me: &Who, taken: Option<i64>) -> Option<&'a (i64, Mark)> {
    marks.iter().find(|(offset, m)| {
        if m.who.run == me.run {
            (m.who.generation, m.who.owner) != (me.generation, me.owner) && m.who.generation >= me.generation
        } else {
            (m.epoch.is_none() || me.owner != 0) && taken.is_some_and(|t| *offset > t)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(run: &str, generation: u64, owner: u64) -> Who {
        Who { run: run.into(), generation, owner }
    }
    fn epoch(generation: u64, epoch: u64, hash: &str) -> Mark {
        Mark::rows(&who("r", generation, 0), epoch, 1, hash.into())
    }

    #[test]
    fn the_same_step_of_any_incarnation_counts_other_rows_do_not() {
        let mine = epoch(5, 17, "ab");
        assert!(epoch(4, 17, "ab").stands_for(&mine).unwrap());
        assert!(!epoch(4, 16, "ab").stands_for(&mine).unwrap());
        assert!(
            epoch(4, 17, "cd").stands_for(&mine).unwrap_err().to_string().contains("epoch 17 is visible with other")
        );
        let other_run = Mark::rows(&who("s", 4, 0), 17, 1, "ab".into());
        assert!(!other_run.stands_for(&mine).unwrap() && other_run.commit("r").is_none());
        let (a, b) = (Mark::takeover(&who("r", 5, 1)), Mark::takeover(&who("r", 5, 2)));
        assert!(a.stands_for(&a.clone()).unwrap() && !a.stands_for(&b).unwrap() && !a.stands_for(&mine).unwrap());
        assert_eq!(mine.commit("r").unwrap().receipt.state, serde_json::json!({"at": 17}));
    }

    #[test]
    fn who_has_replaced_whom() {
        let take = |run: &str, g, o| Mark::takeover(&who(run, g, o));
        let marks = [(0, take("r", 4, 1)), (2, take("s", 9, 1)), (4, take("r", 5, 1)), (6, take("r", 5, 2))];
        let by = |me: Who, taken, n: usize| successor(&marks[..n], &me, taken).map(|(o, _)| *o);
        assert_eq!(by(who("r", 4, 1), Some(0), 1), None);
        assert_eq!(by(who("r", 4, 1), Some(0), 2), Some(2), "another run came after me");
        assert_eq!(by(who("r", 5, 1), None, 2), None, "I have not taken over yet: what was there before is not newer");
        assert_eq!(by(who("r", 5, 1), Some(4), 3), None);
        assert_eq!(by(who("s", 9, 1), Some(2), 4), Some(4));
        assert_eq!(by(who("r", 5, 1), Some(4), 4), Some(6), "same number, other coordinator");
        assert_eq!(by(who("r", 3, 1), None, 1), Some(0), "an older incarnation that comes late");
        let rows = [(5, Mark::rows(&who("s", 1, 7), 1, 0, String::new()))];
        assert!(successor(&rows, &who("r", 1, 8), Some(-1)).is_some(), "a log is of the run that was first");
        assert!(successor(&rows, &who("r", 1, 0), Some(-1)).is_none(), "an old writer of a sink wrote once more");
    }

    #[test]
    fn every_flipped_bit_of_a_log_record_is_found_or_harmless() {
        let record = RawValue::from_string(r#"{"epoch":1,"now_ms":3}"#.into()).unwrap();
        let mark = Mark::record(&who("r", 1, 7), 1, record);
        let bytes = mark.to_bytes().unwrap();
        assert_eq!(Mark::read(&bytes, || "here".into()).unwrap().to_bytes().unwrap(), bytes);
        let start = bytes.windows(8).position(|w| w == b"\"record\"").unwrap();
        for bit in start * 8..(bytes.len() - 1) * 8 {
            let mut b = bytes.clone();
            b[bit / 8] ^= 1 << (bit % 8);
            if let Ok(m) = Mark::read(&b, || "here".into()) {
                // Only the name of the key was hit: then the record is missing, which its reader refuses.
                assert!(m.record.is_none(), "bit {bit}");
            }
        }
    }
}
