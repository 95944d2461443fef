//! Parsing: raw records to typed, normalised events by log type.
//!
//! A [`schema::Schema`] says what the events of a log type are; it is YAML, and the shipped ones are in the binary
//! ([`Schemas::builtin`]). There are two ways through it:
//!
//! - [`decode`] is the truth: one record to one whole event, with every rule of the language. It serves the few events
//!   that are looked at whole, and the tests.
//! - [`plan`] and [`fill`] are the fast way: what everything behind the parser needs is compiled into one plan per log
//!   type, and each record becomes one row of span columns. Where a column exists, its value is the one the whole event
//!   has; tests hold the two against each other.
//!
//! [`classify`] decides which log type a record is and is the operator itself; [`part`] is what a topology sees of it.
//!
//! Columns: slot *i* is top-level field *i*; paths the schema does not know are absent. For a needed path with `[*]` or
//! a negative index, its longest plain prefix is a slot. A column of an `object` or `array` field is its raw JSON, with
//! keys the schema does not know still inside, unless the schema renames, masks or unpacks something in it.
//! Standard fields (`p_log_type`, `p_event_time`, …) and indicators (`p_any_*`, an array) are columns where somebody
//! needs them as paths.
pub mod aws;
mod builtin;
pub mod classify;
pub mod decode;
pub mod decoder;
pub mod event;
pub mod fill;
pub mod filter;
pub mod flat;
pub mod found;
mod full;
mod hint;
pub mod indicator;
pub mod input;
pub mod json;
pub mod mask;
pub mod miss;
pub mod native;
pub mod part;
pub mod plan;
mod punycode;
mod record;
pub mod registry;
pub mod schema;
mod stored;
pub mod text;
pub mod typed;
pub mod validate;

pub use decoder::{Decoder, decode_one};
pub use part::{ParsePart, parts};
pub use registry::Schemas;
pub use stored::{StoredParser, StoredTypes};

#[cfg(test)]
mod agree;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod testing;
