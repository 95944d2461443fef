//! From JSON text to span columns in one pass, without a tree.
//!
//! A topology asks for some dozens of paths; an event holds hundreds of values. So nothing is decoded that nobody
//! asked for: [`Trie`] is compiled once from the wanted paths, and [`Walker::walk`] goes over each record once, forward,
//! and writes for every wanted path where its value lies and of which type it is ([`Columns`]).
//!
//! Two steps per record:
//! 1. `scan` looks at 64 bytes at a time and notes the place of every unescaped quote. After that no byte inside a string
//!    is looked at again, and where a string ends does not depend on what was read before it.
//! 2. `walk` follows the grammar from quote to quote, guided by the trie and by what it has learned about the order of
//!    keys (`order`): most members are where they were in the last record, and are taken with one comparison.
//!
//! *Strict* (the default of the product) accepts exactly the records that `serde_json` accepts as an object, with one
//! exception: a number out of the range of a double (`1e400`) is a number, because a legal event must not be lost for
//! a field that may not even be read. *Structural* checks only what it traverses: a container that holds no wanted path
//! is skipped by counting brackets, and a lone surrogate reads as U+FFFD. Choose it for its tolerance: on log events,
//! whose containers are small, strict walks are as fast (`examples/walk_cost.rs`).
//!
//! Both check that the record is UTF-8, and cut spans at ASCII bytes only, so every span is valid. `scan` tells whether all
//! bytes are ASCII; only records where they are not are looked at once more ([`valid_utf8`]).
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod columns;
mod container;
mod escape;
mod number;
mod order;
mod scan;
mod skip;
mod trie;
mod vectors;
mod walk;
mod walker;
mod wanted;

#[cfg(test)]
mod tests;

pub use columns::Columns;
pub use trie::{Trie, Want};
pub use walker::{Strings, Walked, Walker};

use std::fmt;

/// Deepest nesting of objects and arrays, the record's own object included: the recursion limit of `serde_json`.
pub const MAX_DEPTH: usize = 127;

/// Why a record was not taken. `at` counts bytes from the start of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not UTF-8.
    NotUtf8 {
        /// The first byte that is not.
        at: usize,
    },
    /// Not JSON.
    Syntax {
        /// Byte of the record.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The record does not begin with `{`.
    NotAnObject,
    /// More than [`MAX_DEPTH`] objects and arrays inside one another.
    TooDeep,
    /// The value of a wanted path is of a type that [`Want::allowed`] excludes.
    WrongType {
        /// Slot of the path.
        slot: u32,
        /// First byte of the value in the record.
        at: usize,
    },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::NotUtf8 { at } => write!(f, "not UTF-8 at byte {at} of the record"),
            JsonError::Syntax { at, what } => write!(f, "not JSON: {what} at byte {at}"),
            JsonError::NotAnObject => f.write_str("not a JSON object: the record does not begin with `{`"),
            JsonError::TooDeep => write!(f, "JSON nested deeper than {MAX_DEPTH} levels"),
            JsonError::WrongType { slot, at } => {
                write!(f, "the value at byte {at} is not of the type declared for column {slot}")
            }
        }
    }
}

impl std::error::Error for JsonError {}

/// Checks a text; on failure, the first byte that is not UTF-8.
pub fn valid_utf8(bytes: &[u8]) -> Result<(), usize> {
    // The basic check is faster than the one that knows where it failed; the second look is for bad input only.
    match simdutf8::basic::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(simdutf8::compat::from_utf8(bytes).map_or_else(|e| e.valid_up_to(), |s| s.len())),
    }
}

/// Appends the text of a JSON string (without its quotes) to `out`, a lone surrogate as U+FFFD: how *structural* reads
/// it. On failure gives the byte and what is wrong there.
pub(crate) fn unescape_lossy(text: &[u8], out: &mut Vec<u8>) -> Result<(), (usize, &'static str)> {
    escape::unescape(text, true, out)
}
