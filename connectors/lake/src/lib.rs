//! The lake: every event at full schema in Parquet, in hive folders by log type and hour of event time.
//!
//! `parquet.rs` is the sink (what is staged, when it becomes visible), `table.rs` turns batches into Arrow columns,
//! `writer.rs` is one open file, `target.rs` the folder or bucket it goes to, `intent.rs` makes a commit undoable,
//! `count.rs` reads back.

mod count;
mod intent;
mod parquet;
mod rows;
mod table;
mod target;
mod writer;

pub use count::{count_rows, count_rows_in, files};
pub use parquet::ParquetPart;

/// Parts of this crate.
pub fn parts() -> Vec<&'static dyn model::Part> {
    vec![&ParquetPart]
}
