//! What an operator can do to a topology's transactions and dead letters. Used by the command line; nothing here runs
//! inside an engine.
mod dlq;
mod txn;

pub use dlq::{Group, Letter, Pick, Requeued};
pub use txn::{Blocked, TransactionalId};

use crate::client::{Connection, Link};
use crate::fail::Fail;
use crate::tail::Tail;
use crate::topics::Admin;
use model::Result;
use rdkafka::error::KafkaError;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A command may read a large topic, but not for ever.
const READ_MAX: Duration = Duration::from_secs(600);

/// A cluster to give commands to.
pub struct Cluster {
    connection: Arc<Connection>,
    link: Link,
}

impl Cluster {
    /// The cluster that the settings of a source, a sink or a log name (other settings in them are passed over). Opens
    /// no connection.
    pub fn of(settings: &serde_json::Value) -> Result<Cluster> {
        let connection = Connection::deserialize(settings).map_err(|e| format!("settings of the cluster: {e}"))?;
        if let Some(p) = connection.problems().first() {
            return Err(format!("{}: {}", p.setting, p.message).into());
        }
        let link = connection.link("command");
        Ok(Cluster { connection: Arc::new(connection), link })
    }

    /// Partitions of a topic. Unlike an engine a command does not wait for a cluster that is away.
    fn partitions(&self, topic: &str) -> Result<i32> {
        let admin = Admin::new(&self.connection, &self.link)?;
        let deadline = Instant::now() + Duration::from_millis(self.connection.request_timeout.0);
        loop {
            match admin.partitions(topic) {
                Ok((Some((n, _)), _)) => return Ok(n),
                Ok((None, _)) => return Err(format!("there is no topic `{topic}`").into()),
                Err(Fail::Unknown(_)) if Instant::now() < deadline && self.link.refused().is_none() => {}
                Err(f) => return Err(self.error(&format!("ask for the topic `{topic}`"), &f)),
            }
        }
    }

    fn tail<'a>(&'a self, topic: &'a str, partition: i32) -> Tail<'a> {
        Tail::new(&self.connection, &self.link, topic, partition, READ_MAX)
    }

    fn error(&self, doing: &str, f: &Fail) -> model::Error {
        let why = self.link.refused().unwrap_or_else(|| f.why().to_string());
        format!("cannot {doing} at {}: {why}", self.connection.brokers).into()
    }

    fn kafka_error(&self, doing: &str, e: &KafkaError) -> model::Error {
        self.error(doing, &Fail::of(e, None))
    }
}
