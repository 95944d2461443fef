//! The transactional writer and the log against a real broker.
mod log;
mod ops;
mod security;
mod sink;
mod txn;

use crate::client::Connection;
use crate::mark::Who;
use crate::produce::Compression;
use crate::txn::{Trip, Txn, Writer};
use std::sync::Arc;
use std::time::Duration;
use tests::kafka::{Broker, Message, read_all};

fn connection(brokers: &str) -> Arc<Connection> {
    Arc::new(serde_json::from_value(serde_json::json!({ "brokers": brokers })).unwrap())
}

fn who(generation: u64) -> Who {
    Who { run: "run".into(), generation, owner: 0 }
}

/// A writer of its own id and topic of marks.
fn writer(broker: &Broker, id: &str, trip: Trip) -> Writer {
    let connection = connection(&broker.bootstrap());
    let link = connection.link(&format!("test {id}"));
    Writer {
        connection,
        link,
        id: id.into(),
        marks: format!("{id}.progress"),
        partition: 0,
        key: "0".into(),
        who: Who::default(),
        timeout: Duration::from_secs(10),
        compression: Compression::Zstd,
        max_message: 1 << 20,
        crash_points: true,
        trip,
    }
}

/// A writer that has taken over, with its topics made.
fn started(broker: &Broker, id: &str, generation: u64, trip: Trip) -> Txn {
    let mut t = Txn::new(writer(broker, id, trip));
    let marks = t.fence(true).unwrap();
    t.take_over(&who(generation), marks, true).unwrap();
    t
}

fn topics(broker: &Broker, id: &str) {
    broker.create_topic(id, 2, 1).unwrap();
    broker.create_topic_with(&format!("{id}.progress"), 1, 1, &[("cleanup.policy", "compact")]).unwrap();
}

fn visible(broker: &Broker, topic: &str) -> Vec<Message> {
    read_all(&broker.bootstrap(), topic, true).unwrap()
}

fn texts(broker: &Broker, topic: &str) -> Vec<String> {
    let mut out: Vec<String> = visible(broker, topic).iter().map(|m| m.text()).collect();
    out.sort();
    out
}
