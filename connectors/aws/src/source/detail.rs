//! What a split of an object says, so that it can be read again in a later incarnation.
use super::memory::Id;
use model::{Result, Split};
use serde::{Deserialize, Serialize};

/// The detail of a split: one object in exactly one state, or one message that led to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Detail {
    pub(crate) bucket: String,
    pub(crate) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// Without quotes.
    pub(crate) etag: String,
    /// Bytes.
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// Id of the message that announced it.
    pub(crate) message: String,
    /// When it was taken, milliseconds since 1970.
    pub(crate) at: i64,
    /// It cannot be read, and why: known before the split was logged, so a replay rejects the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
}

/// Why there is nothing to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// `notice_not_understood`, `object_vanished`, `object_denied`, `object_too_large`.
    pub(crate) code: String,
    /// For a person.
    pub(crate) reason: String,
    /// The beginning of the message, if that was not understood.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) raw: String,
    /// Length of the message.
    #[serde(default)]
    pub(crate) len: u64,
}

impl Detail {
    /// From the split of a log.
    pub(crate) fn of(split: &Split) -> Result<Detail> {
        Detail::deserialize(&split.detail)
            .map_err(|e| format!("split {} of {}: its detail cannot be read: {e}", split.from, split.name).into())
    }
    /// What makes it the same when it is announced again.
    pub(crate) fn id(&self) -> Id {
        match self.key.is_empty() {
            true => Id::of(&["message", &self.message]),
            false => Id::of(&["object", &self.bucket, &self.key, self.version.as_deref().unwrap_or(""), &self.etag]),
        }
    }
    /// `s3://bucket/key`, or the message.
    pub(crate) fn name(&self) -> String {
        match self.key.is_empty() {
            true => format!("message {}", self.message),
            false => format!("s3://{}/{}", self.bucket, self.key),
        }
    }
}
