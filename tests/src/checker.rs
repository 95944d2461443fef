//! The judge of fault tests. It shares no code with the engine and believes nothing that the engine says of itself: it
//! knows what went in, reads what came out twice (while it is written, and once more at the end), and counts.
//!
//! - [`input`] makes the events: each carries run, sequence number, key and the route it must take.
//! - [`reader`] reads the output topics.
//! - [`verdict`] compares: every event exactly once and on its route, order per key, nothing aborted visible, whole
//!   epochs, both readers alike, the alerts of the plain reference.

pub mod input;
pub mod reader;
pub mod seen;
pub mod verdict;
