//! S3 and SQS: a source of objects that notifications announce, and objects in a bucket (snapshots, lake files). The
//! only crate that uses the AWS SDK.
//!
//! [`objects()`] opens a bucket by its URL; `object/` is behind it. `source/` is the source `type = "s3"`. Both share
//! `access.rs` (credentials, regions, clients), `retry.rs` (what a failure means and how long it is fought),
//! `blob.rs` (reading an object in parallel ranges) and `runtime.rs` (the one tokio runtime).

mod access;
mod blob;
mod object;
mod retry;
mod runtime;
mod source;

pub use object::objects;
pub use source::S3Part;

use model::Part;

/// The parts of this crate.
pub fn parts() -> Vec<&'static dyn Part> {
    vec![&S3Part]
}
