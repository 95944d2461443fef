//! What a reader keeps of a record: a few words, so that ten million fit in memory.
use crate::kafka::Message;
use serde_json::Value as J;

/// An output of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// Events that went through.
    Events,
    /// Dead letters.
    Dlq,
    /// Alerts.
    Alerts,
}

/// A record of an output topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Hash of key, value and headers: two readers must agree on it.
    pub digest: u64,
    /// Sequence number, if the record carries one.
    pub seq: Option<u64>,
    /// Key of the event.
    pub key: u32,
    /// The field `check`.
    pub check: u32,
    /// Hash of the run's name.
    pub run: u64,
    /// Hash of the value alone: dead letters must have the original bytes.
    pub value: u64,
    /// Transaction that the writer says it belongs to (header `epoch`): 0 if it says nothing.
    pub epoch: u64,
    /// The writer aborted the transaction on purpose (header `aborted`).
    pub aborted: bool,
    /// Why it was rejected: the message of the dead letter's headers.
    pub reason: Option<String>,
    /// An alert.
    pub alert: Option<Alert>,
}

/// An alert as the reference and the job must both have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alert {
    /// Detection.
    pub rule: String,
    /// Dedup string.
    pub dedup: String,
    /// Event that opened the window.
    pub seq: u64,
}

impl Alert {
    /// From an object with `rule`, `dedup` and `seq` (a number, or a text with one).
    pub fn of(j: &J) -> Option<Alert> {
        let text = |v: &J| v.as_str().map_or_else(|| v.to_string(), String::from);
        let seq = text(&j["seq"]).parse().ok()?;
        Some(Alert { rule: j["rule"].as_str()?.into(), dedup: text(&j["dedup"]), seq })
    }
}

/// FNV-1a.
pub fn hash(parts: &[&[u8]]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    for part in parts {
        for b in part.iter().chain(&[0xff]) {
            h = (h ^ *b as u64).wrapping_mul(0x100_0000_01b3);
        }
    }
    h
}

impl Seen {
    /// Of a message of an output.
    pub fn of(output: Output, m: &Message) -> Seen {
        let value = m.value.as_deref().unwrap_or_default();
        let mut parts: Vec<&[u8]> = vec![m.key.as_deref().unwrap_or_default(), value];
        parts.extend(m.headers.iter().flat_map(|(k, v)| [k.as_bytes(), v.as_slice()]));
        let alert = (output == Output::Alerts)
            .then(|| serde_json::from_slice::<J>(value).ok().as_ref().and_then(Alert::of))
            .flatten();
        Seen {
            partition: m.partition,
            offset: m.offset,
            digest: hash(&parts),
            seq: number(value, b"\"seq\":"),
            key: number(value, b"\"key\":").unwrap_or(0) as u32,
            check: number(value, b"\"check\":").unwrap_or(0) as u32,
            run: text(value, b"\"run\":\"").map_or(0, |r| hash(&[r])),
            value: hash(&[value]),
            epoch: m.header("epoch").and_then(|e| e.parse().ok()).unwrap_or(0),
            aborted: m.header("aborted").is_some(),
            reason: m.header("__connect.errors.exception.message").filter(|r| !r.is_empty()),
            alert,
        }
    }
}

/// The number behind a name. Dead letters are not JSON, so nothing here parses them.
fn number(value: &[u8], name: &[u8]) -> Option<u64> {
    let at = after(value, name)?;
    let digits = at.iter().position(|b| !b.is_ascii_digit()).unwrap_or(at.len());
    std::str::from_utf8(&at[..digits]).ok()?.parse().ok()
}

fn text<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = after(value, name)?;
    Some(&at[..at.iter().position(|b| *b == b'"')?])
}

fn after<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = value.windows(name.len()).position(|w| w == name)? + name.len();
    Some(&value[at..])
}
