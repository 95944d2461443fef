//! Deterministic simulation of whole incarnations: the engine's real coordinator, timely workers, keyed operators, sinks'
//! protocol, recovery and store, and the Kafka connector's real transactions, in a world where everything may fail.
//!
//! One thread runs at a time ([`sched`]); a seed decides which, how long requests take, what fails and when incarnations
//! die. At the end, what is visible is compared with a plain reference ([`reference`]). A seed is run again exactly with
//! `SIM_SEED=n cargo test --release -p engine --test sim`.
//!
//! The files of the Kafka connector that hold its protocol are compiled in as they are; the crate takes the place of the
//! client library that they import.
extern crate self as rdkafka;

mod brokers;
mod check;
mod cover;
mod disk;
mod disklog;
mod hooks;
mod input;
mod mix;
mod mutations;
mod outputs;
mod pipeline;
mod reference;
mod rng;
mod run;
mod sched;
mod stores;
mod suite;

pub(crate) use brokers::library::{ClientConfig, config, error, message, producer};
pub(crate) use brokers::{client, tail, topics};

/// The product's allocator: a simulation builds a dataflow for every incarnation.
#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

macro_rules! connector {
    ($($name:ident = $path:literal,)*) => {
        $(#[path = $path] #[allow(dead_code, unused_imports, missing_docs, clippy::all)] mod $name;)*
    };
}

connector! {
    fail = "../../../../connectors/kafka/src/fail.rs",
    headers = "../../../../connectors/kafka/src/headers.rs",
    log = "../../../../connectors/kafka/src/log.rs",
    mark = "../../../../connectors/kafka/src/mark.rs",
    plain = "../../../../connectors/kafka/src/plain.rs",
    produce = "../../../../connectors/kafka/src/produce.rs",
    render = "../../../../connectors/kafka/src/render.rs",
    rows = "../../../../connectors/kafka/src/rows.rs",
    sink = "../../../../connectors/kafka/src/sink.rs",
    txn = "../../../../connectors/kafka/src/txn.rs",
}
