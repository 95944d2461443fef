//! Kafka: source, transactional sink, and the durable store of a cluster. The only crate that uses rdkafka.
mod client;
mod discover;
mod fail;
mod headers;
mod log;
mod mark;
pub mod ops;
mod plain;
mod produce;
mod queue;
mod reader;
mod render;
mod rows;
mod settings;
mod sink;
mod source;
mod tail;
mod token;
mod topics;
mod txn;
mod values;

pub use headers::REQUEUED_FROM;
use model::Part;

/// Crash points this crate passes, in protocol order; see `model::fault`. Beside them the log passes
/// `epoch.before_append`, `epoch.after_append` and `trim.mid` at the places where a local store does.
pub const KAFKA_CRASH_POINTS: &[&str] =
    &["kafka.init", "kafka.after_begin", "kafka.mid_produce", "kafka.before_commit", "kafka.after_commit"];

/// The parts of this crate.
pub fn parts() -> Vec<&'static dyn Part> {
    vec![&source::KafkaSourcePart, &sink::KafkaSinkPart, &log::KafkaLogPart]
}

#[cfg(test)]
mod broker_tests;
