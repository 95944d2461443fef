//! Transforms: what happens to events between parsing and detection, or on the way to a sink.
//!
//! ```text
//! events ──▶ filter ──▶ events          keep or drop events by their fields
//!              │ "dropped"
//! events ──▶ mask ──▶ events            hide values: hash or redact
//! events ──▶ project ──▶ events         keep or drop whole fields
//! ```
//!
//! Transforms work on columns: rows are selected and values replaced without building an event. What a whole event
//! looks like behind a transform is decided by a layout of its own ([`reshape`]), so that the columns and the few
//! events that are looked at whole always agree.

mod conceal;
mod condition;
mod filter;
mod mask;
mod project;
mod reshape;
mod scope;
mod select;
#[cfg(test)]
mod testing;

pub use condition::{Condition, Op};
pub use filter::{FilterPart, FilterSettings};
pub use mask::{MaskField, MaskPart, MaskSettings, MaskWith};
pub use project::{ProjectPart, ProjectSettings};

/// Every part of this crate, for the registry.
pub fn parts() -> Vec<&'static dyn model::Part> {
    vec![&FilterPart, &MaskPart, &ProjectPart]
}
