//! What a stream of bytes is: how it is packed, and how it is cut into records.
use serde::{Deserialize, Serialize};

/// How a file is cut into records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Decided by the content.
    Auto,
    /// One record per line.
    #[default]
    Lines,
    /// JSON values one after the other, over any number of lines.
    Json,
    /// Elements of a JSON array: the file itself, or the array at `array_field`.
    JsonArray,
    /// Elements of `Records`, as CloudTrail delivers files.
    #[serde(rename = "cloudtrail")]
    CloudTrail,
    /// Messages of CloudWatch Logs envelopes.
    #[serde(rename = "cloudwatch")]
    CloudWatch,
    /// Comma-separated values: quoted fields may hold line ends.
    Csv,
}

/// Compression, found in the first bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// Not compressed.
    #[default]
    Plain,
    /// gzip, any number of members.
    Gzip,
    /// Zstandard without dictionary, any number of frames.
    Zstd,
}

impl Codec {
    /// From the first bytes of a file.
    pub fn of(head: &[u8]) -> Codec {
        match head {
            [0x1f, 0x8b, 8, ..] => Codec::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
            _ => Codec::Plain,
        }
    }
    /// Name in codes and messages.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Plain => "plain",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        }
    }
}

impl Stream {
    /// True if a file is read in one go: its records cannot be found from the middle.
    pub fn is_whole(self) -> bool {
        self != Stream::Lines
    }
}
