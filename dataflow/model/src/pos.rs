//! Where an event came from; the only order the product knows.
use serde::{Deserialize, Serialize};

/// Position of one event: source node, partition of that source, offset in the partition, ordinal inside that offset
/// (a container record such as a CloudTrail file holds many events).
///
/// Every stateful step applies its epoch in this order, so results do not depend on workers or arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pos {
    /// Index of the source node (alphabetical among the topology's sources).
    pub source: u32,
    /// Partition, numbered by the source in the order of discovery; the number is kept in the epoch log.
    pub partition: u32,
    /// Byte offset (files), record offset (Kafka) or sequence number in the partition.
    pub offset: u64,
    /// Position inside the record at that offset.
    pub ordinal: u32,
}

impl Pos {
    /// 128-bit row id (`p_row_id`): a hash of the position, so a replay gives the same id.
    pub fn row_id(&self) -> u128 {
        let mut b = [0u8; 20];
        b[0..4].copy_from_slice(&self.source.to_le_bytes());
        b[4..8].copy_from_slice(&self.partition.to_le_bytes());
        b[8..16].copy_from_slice(&self.offset.to_le_bytes());
        b[16..20].copy_from_slice(&self.ordinal.to_le_bytes());
        xxhash_rust::xxh3::xxh3_128(&b)
    }
}
