//! Lookup tables joined to events: what is known about an address, a user or a host is there when rules look at it.
//!
//! A table is loaded once, checked whole, and immutable from then on ([`Table`]); an edit of its file makes a new
//! topology bundle, and events see either the old or the new table. A batch gets one column of row ids per (table,
//! selector); the row itself is only read by whoever asks for it, so a join costs one probe per event.
//!
//! Formats: CSV with a header, JSON lines, and MMDB (MaxMind's format for tables of address blocks). Matching: exact
//! text, or the most specific address block that contains the event's address (functional spec §3.2).

mod builder;
mod cidr;
mod exact;
mod join;
mod load;
mod lookup_file;
mod mmdb;
mod part;
mod schema;
mod spec;
mod table;

pub use part::{EnrichPart, EnrichSettings, TableSettings};
pub use spec::{ColumnType, Matching};
pub use table::Table;

/// Every part of this crate, for the registry.
pub fn parts() -> Vec<&'static dyn model::Part> {
    vec![&EnrichPart]
}

/// The row of a table that a key finds at a time, as JSON: what a rule's `lookup(table, key)` returns.
pub fn lookup_row(table: &Table, key: &str, now_ms: i64) -> Option<serde_json::Map<String, serde_json::Value>> {
    table.find(key, now_ms).map(|row| table.data.row_json(row))
}

/// `1234567` as `1,234,567`.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}
