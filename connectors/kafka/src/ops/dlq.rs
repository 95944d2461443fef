//! Dead letters: what is there, what one looks like, putting them back, throwing them away.
//!
//! Putting back writes the original bytes to the original topic and partition, in a transaction together with a record
//! of which letters it put back (`<topic>.requeued`); a letter with such a record is not put back again, whatever was
//! killed in between.
use super::Cluster;
use crate::headers::{CODE, NODE, ORIGIN, REQUEUED_FROM, TRUNCATED, partition_of};
use crate::log::random;
use crate::mark::{Mark, Who};
use crate::produce::{Compression, Target};
use crate::rows::Rows;
use crate::tail::From;
use crate::topics::{self, Admin, Wanted};
use crate::txn::{Txn, Writer};
use model::Result;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Most groups listed; the rest is counted as one.
const GROUPS_MAX: usize = 1000;
/// Letters and bytes put back in one transaction.
const BATCH_LETTERS: usize = 2000;
const BATCH_BYTES: usize = 16 << 20;
/// Most letters put back by one command; they are held in memory by their positions.
const PICK_MAX: usize = 1_000_000;
/// Largest letter that can be put back.
const MAX_MESSAGE: usize = 64 << 20;

/// Dead letters of one cause at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Stable code of the reason.
    pub code: String,
    /// Node that rejected them.
    pub node: String,
    /// How many.
    pub count: u64,
    /// Partition and offset of the first.
    pub first: (i32, i64),
    /// Partition and offset of the last.
    pub last: (i32, i64),
    /// Reason of the first, for a person.
    pub sample: String,
}

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Partition in the dead-letter topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// When it was written, milliseconds since 1970.
    pub time_ms: Option<i64>,
    /// Headers in order; a value that is not UTF-8 is shown with replacement characters.
    pub headers: Vec<(String, String)>,
    /// The original bytes.
    pub value: Vec<u8>,
}

/// Which letters a command is for.
#[derive(Clone, Debug, Default)]
pub struct Pick {
    /// Only with this code.
    pub code: Option<String>,
    /// Only from this node.
    pub node: Option<String>,
    /// Only these partitions and offsets; empty: all.
    pub at: Vec<(i32, i64)>,
}

/// What putting back did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requeued {
    /// Letters put back now.
    pub put_back: u64,
    /// Letters that had been put back before.
    pub before: u64,
    /// Letters that cannot be put back: partition, offset, why (the first [`Requeued::REFUSED_MAX`]).
    pub refused: Vec<(i32, i64, String)>,
    /// How many those are.
    pub refused_count: u64,
}

impl Requeued {
    /// Refusals that are listed one by one.
    pub const REFUSED_MAX: usize = 100;

    fn refuse(&mut self, l: &Letter, why: &str) {
        self.refused_count += 1;
        if self.refused.len() < Requeued::REFUSED_MAX {
            self.refused.push((l.partition, l.offset, why.into()));
        }
    }
}

impl Letter {
    fn of(m: &BorrowedMessage) -> Letter {
        let text = |v: Option<&[u8]>| String::from_utf8_lossy(v.unwrap_or_default()).into_owned();
        Letter {
            partition: m.partition(),
            offset: m.offset(),
            time_ms: m.timestamp().to_millis(),
            headers: m.headers().map_or_else(Vec::new, |h| h.iter().map(|h| (h.key.into(), text(h.value))).collect()),
            value: m.payload().unwrap_or_default().to_vec(),
        }
    }

    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

impl Pick {
    fn takes(&self, l: &Letter) -> bool {
        let is = |want: &Option<String>, name| want.as_deref().is_none_or(|w| l.header(name) == Some(w));
        is(&self.code, CODE)
            && is(&self.node, NODE)
            && (self.at.is_empty() || self.at.contains(&(l.partition, l.offset)))
    }
}

/// Record of one transaction that put letters back: their partitions and offsets.
#[derive(Serialize, Deserialize)]
struct Done {
    letters: Vec<(i32, i64)>,
}

impl Cluster {
    /// Dead letters of a topic, grouped by cause and node, the most frequent first.
    pub fn dlq_groups(&self, topic: &str) -> Result<Vec<Group>> {
        let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
        self.each_letter(topic, |l| {
            let text = |name| l.header(name).unwrap_or("?").to_string();
            let mut key = (text(CODE), text(NODE));
            if groups.len() >= GROUPS_MAX && !groups.contains_key(&key) {
                key = ("(others)".into(), "".into());
            }
            let here = (l.partition, l.offset);
            let g = groups.entry(key).or_insert_with_key(|(code, node)| Group {
                code: code.clone(),
                node: node.clone(),
                count: 0,
                first: here,
                last: here,
                sample: text("__connect.errors.exception.message"),
            });
            g.count += 1;
            g.last = here;
            Ok(true)
        })?;
        let mut out: Vec<Group> = groups.into_values().collect();
        out.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.code, &a.node).cmp(&(&b.code, &b.node))));
        Ok(out)
    }

    /// One dead letter; `None` if there is none at that offset (any more).
    pub fn dlq_letter(&self, topic: &str, partition: i32, offset: i64) -> Result<Option<Letter>> {
        if partition >= self.partitions(topic)? {
            return Err(format!("the topic `{topic}` has no partition {partition}").into());
        }
        let mut found = None;
        self.tail(topic, partition)
            .read(From::Offset(offset), None, |m| {
                found = (m.offset() == offset).then(|| Letter::of(m));
                false
            })
            .map_err(|f| self.error(&format!("read `{topic}`"), &f))?;
        Ok(found)
    }

    /// Put letters back, each once and for all: to the topic and partition they came from, or to `to`. A letter that
    /// is not whole, or that did not come from a topic, is refused.
    pub fn dlq_requeue(&self, topic: &str, pick: &Pick, to: Option<&str>) -> Result<Requeued> {
        self.partitions(topic)?;
        let state = format!("{topic}.requeued");
        let keep =
            [("cleanup.policy", "delete".to_string()), ("retention.ms", "-1".into()), ("retention.bytes", "-1".into())];
        topics::ensure(
            &self.connection,
            &self.link,
            &[Wanted {
                name: &state,
                partitions: 1,
                replication: None,
                config: keep.into(),
                message: None,
                create: true,
                grow: false,
            }],
        )?;
        let mut txn = Txn::new(Writer {
            connection: self.connection.clone(),
            link: self.link.clone(),
            id: format!("{topic}.requeue"),
            marks: state.clone(),
            partition: 0,
            key: "requeue".into(),
            who: Who::default(),
            timeout: Duration::from_secs(60),
            compression: Compression::Zstd,
            max_message: MAX_MESSAGE,
            crash_points: false,
            #[cfg(test)]
            trip: None,
        });
        let marks = txn.fence(false)?;
        let generation = marks.iter().map(|(_, m)| m.who.generation).max().unwrap_or(0) + 1;
        let who = Who { run: "requeue".into(), generation, owner: random() };
        let marks = txn.take_over(&who, marks, false)?;
        let mut done = BTreeSet::new();
        for (offset, m) in &marks {
            if let Some(r) = &m.record {
                let d: Done = serde_json::from_str(r.get()).map_err(|e| format!("{state}[0] offset {offset}: {e}"))?;
                done.extend(d.letters);
            }
        }
        let mut batch =
            Batch { who, step: marks.iter().filter_map(|(_, m)| m.epoch).max().unwrap_or(0), ..Batch::default() };
        let mut report = Requeued::default();
        let mut picked = 0;
        self.each_letter(topic, |l| {
            if !pick.takes(&l) {
                return Ok(true);
            }
            picked += 1;
            if picked > PICK_MAX {
                return Err(format!("more than {PICK_MAX} letters at once; run the command again for the rest").into());
            }
            if done.contains(&(l.partition, l.offset)) {
                report.before += 1;
                return Ok(true);
            }
            let from = l.header(ORIGIN).and_then(partition_of);
            let target = match (to, from) {
                _ if l.header(TRUNCATED) == Some("true") => {
                    report.refuse(&l, "it was cut when it was rejected: the original is not all there");
                    return Ok(true);
                }
                (Some(to), _) => Target { topic: to.into(), partition: 0 },
                (None, Some((t, p))) => Target { topic: t.into(), partition: p },
                (None, None) => {
                    report.refuse(&l, "it did not come from a topic: name one to put it into");
                    return Ok(true);
                }
            };
            if !batch.fits(&target) {
                report.put_back += batch.send(&mut txn)?;
            }
            batch.add(topic, target, &l);
            Ok(true)
        })?;
        report.put_back += batch.send(&mut txn)?;
        Ok(report)
    }

    /// Delete dead letters: of every partition all that are there now, or of one partition those below an offset.
    /// Returns how many offsets were freed.
    pub fn dlq_purge(&self, topic: &str, below: Option<(i32, i64)>) -> Result<u64> {
        let (mut offsets, mut freed) = (Vec::new(), 0);
        for partition in 0..self.partitions(topic)? {
            let (low, high) =
                self.tail(topic, partition).watermarks().map_err(|f| self.error(&format!("read `{topic}`"), &f))?;
            let until = match below {
                Some((p, _)) if p != partition => continue,
                Some((_, offset)) => offset.min(high),
                None => high,
            };
            if until > low {
                offsets.push((topic, partition, until));
                freed += (until - low) as u64;
            }
        }
        if !offsets.is_empty() {
            let admin = Admin::new(&self.connection, &self.link)?;
            admin.delete_below(&offsets).map_err(|f| self.error(&format!("delete records of `{topic}`"), &f))?;
        }
        Ok(freed)
    }

    /// Every visible letter of every partition, until `each` says false.
    fn each_letter(&self, topic: &str, mut each: impl FnMut(Letter) -> Result<bool>) -> Result<()> {
        for partition in 0..self.partitions(topic)? {
            let mut result = Ok(true);
            self.tail(topic, partition)
                .read(From::Start, None, |m| {
                    result = each(Letter::of(m));
                    matches!(result, Ok(true))
                })
                .map_err(|f| self.error(&format!("read `{topic}`"), &f))?;
            if !result? {
                break;
            }
        }
        Ok(())
    }
}

/// Letters of one target that go back in one transaction.
#[derive(Default)]
struct Batch {
    who: Who,
    /// Number of the last transaction.
    step: u64,
    target: Option<Target>,
    rows: Rows,
    bytes: usize,
    letters: Vec<(i32, i64)>,
}

impl Batch {
    fn fits(&self, target: &Target) -> bool {
        let same = self.target.as_ref().is_none_or(|t| (&t.topic, t.partition) == (&target.topic, target.partition));
        same && self.letters.len() < BATCH_LETTERS && self.bytes < BATCH_BYTES
    }

    fn add(&mut self, topic: &str, target: Target, l: &Letter) {
        let from = format!("{topic}[{}]@{}", l.partition, l.offset);
        self.rows.push(None, &l.value, &[(REQUEUED_FROM, from.as_bytes())]);
        self.bytes += l.value.len();
        self.letters.push((l.partition, l.offset));
        self.target = Some(target);
    }

    fn send(&mut self, txn: &mut Txn) -> Result<u64> {
        let Some(target) = self.target.take() else { return Ok(0) };
        self.step += 1;
        let done = Done { letters: std::mem::take(&mut self.letters) };
        let record = serde_json::value::RawValue::from_string(serde_json::to_string(&done)?)?;
        txn.commit(Some((&target, &self.rows)), &Mark::record(&self.who, self.step, record))?;
        self.rows.clear();
        self.bytes = 0;
        Ok(done.letters.len() as u64)
    }
}
