//! Simulated brokers, and the client library as far as the Kafka connector uses it.
//!
//! The connector's own transaction, mark, sink and log files are compiled into this test as they are (see `main.rs`);
//! what they import from the client library comes from [`library`], what they import from the connector's files that
//! talk to real brokers comes from [`client`], [`tail`] and [`topics`].
pub mod client;
pub mod library;
pub mod state;
pub mod tail;
pub mod topics;
