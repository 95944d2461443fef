//! A loaded table: its columns, the index of its primary key, and until when its rows are valid.
use crate::cidr::CidrIndex;
use crate::exact::ExactIndex;
use model::LookupTable;
use std::sync::Arc;

/// How the primary key is searched.
pub enum Index {
    /// By equality.
    Exact(ExactIndex),
    /// By the most specific block.
    Cidr(CidrIndex),
}

/// An immutable lookup table with its index.
pub struct Table {
    /// Names and values.
    pub data: Arc<LookupTable>,
    pub(crate) index: Index,
    /// Per row: valid before this time, nanoseconds. Empty if rows do not expire.
    pub(crate) expires: Vec<i64>,
}

impl Table {
    /// True if a row is valid at a time.
    #[inline]
    pub(crate) fn valid(&self, row: u32, now_ms: i64) -> bool {
        self.expires.get(row as usize).is_none_or(|ns| now_ms.saturating_mul(1_000_000) < *ns)
    }

    /// Row of a value at a time (milliseconds): the text of a scalar, compared as text, or an address.
    pub fn find(&self, value: &str, now_ms: i64) -> Option<u32> {
        match &self.index {
            Index::Exact(index) => index.find(index.hash(value), value).filter(|row| self.valid(*row, now_ms)),
            Index::Cidr(index) => index.find(value, |row| self.valid(row, now_ms)),
        }
    }
}
