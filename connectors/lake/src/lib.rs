//! The lake: every event at full schema in Parquet, in hive folders by log type and hour of event time.
//!
//! `parquet.rs` is the sink (what is staged, when it becomes visible), `table.rs` and `rows.rs` turn batches and records into
//! Arrow columns, `form.rs` says how they are encoded, `writer.rs` is one open file. `staged.rs` says which small files become
//! a larger one, `merge.rs` makes it. `target.rs` is the folder or bucket, `staging.rs` what is not final there, `intent.rs`
//! makes a commit undoable, `count.rs` and `records.rs` read back; `events.rs` and
//! `stored.rs` read events as they were parsed (which, says `wanted.rs`), with `exact.rs` for what a column alone does not tell.

mod chunks;
mod count;
mod events;
mod exact;
mod form;
mod intent;
mod merge;
mod parquet;
mod records;
mod rows;
mod staged;
mod staging;
mod stored;
mod table;
mod target;
mod wanted;
mod writer;

pub use count::{count_rows, count_rows_in, files};
pub use events::{Events, LakeFile};
pub use parquet::ParquetPart;
pub use records::{find, find_in};
pub use stored::Stored;
pub use wanted::Wanted;

/// Parts of this crate.
pub fn parts() -> Vec<&'static dyn model::Part> {
    vec![&ParquetPart]
}
