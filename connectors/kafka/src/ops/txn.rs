//! Transactions that somebody left behind.
//!
//! The client library cannot ask the brokers which transactions are open, so this says what can be seen: the writers a
//! topology has had, and the partitions whose readers are held back by a transaction that is not decided.
use super::Cluster;
use crate::mark::Mark;
use crate::produce::{Context, init_transactions};
use crate::sink::{progress_topic, transactional_id};
use crate::tail::{From, TAIL, owned};
use model::Result;
use rdkafka::producer::BaseProducer;
use std::time::Duration;

/// Age at which the brokers would end a transaction of this command; it opens none.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A transactional id of a sink's shard and its newest progress record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TransactionalId {
    /// The id.
    pub id: String,
    /// Shard of the sink.
    pub shard: u32,
    /// Run and incarnation that took over last; `None`: nobody has.
    pub taken_over: Option<(String, u64)>,
    /// Newest epoch with rows of that run.
    pub epoch: Option<u64>,
}

/// A partition with records that readers with `read_committed` cannot see yet.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Blocked {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Readers wait here.
    pub stable: i64,
    /// Last offset, exclusive.
    pub end: i64,
}

impl Cluster {
    /// Transactional ids of a sink, by shard.
    pub fn transactional_ids(&self, topology: &str, sink: &str) -> Result<Vec<TransactionalId>> {
        let topic = progress_topic(topology, sink);
        let mut out = Vec::new();
        for partition in 0..self.partitions(&topic)? {
            let mut records = Vec::new();
            self.tail(&topic, partition)
                .read(From::End(TAIL), None, |m| {
                    records.push(owned(m));
                    true
                })
                .map_err(|f| self.error(&format!("read `{topic}`"), &f))?;
            let mut marks = Vec::new();
            for (offset, _, value) in &records {
                marks.push(Mark::read(value, || format!("{topic}[{partition}] offset {offset}"))?);
            }
            let owner = marks.iter().rfind(|m| m.epoch.is_none()).map(|m| m.who.clone());
            let epoch = marks.iter().filter(|m| Some(&m.who.run) == owner.as_ref().map(|w| &w.run));
            out.push(TransactionalId {
                id: transactional_id(topology, sink, partition as u32),
                shard: partition as u32,
                epoch: epoch.filter_map(|m| m.epoch).max(),
                taken_over: owner.map(|w| (w.run, w.generation)),
            });
        }
        Ok(out)
    }

    /// Partitions of a topic in which a transaction is open now. One that a running writer will end in a moment shows
    /// as well: ask twice.
    pub fn blocked(&self, topic: &str) -> Result<Vec<Blocked>> {
        let mut out = Vec::new();
        for partition in 0..self.partitions(topic)? {
            let tail = self.tail(topic, partition);
            let doing = format!("read the ends of `{topic}`");
            // In this order: what is committed in between is not taken for open.
            let (_, end) = tail.watermarks().map_err(|f| self.error(&doing, &f))?;
            let stable = tail.read(From::End(0), None, |_| false).map_err(|f| self.error(&doing, &f))?.stable;
            if stable < end {
                out.push(Blocked { topic: topic.into(), partition, stable, end });
            }
        }
        Ok(out)
    }

    /// End the open transaction of a transactional id, whoever began it. A writer that is alive is fenced by that: it
    /// starts a new producer and goes on.
    pub fn abort(&self, id: &str) -> Result<()> {
        let mut c = self.connection.config(id);
        c.set("transactional.id", id);
        c.set("transaction.timeout.ms", TIMEOUT.as_millis().to_string());
        c.set("socket.timeout.ms", (self.connection.request_timeout.0.min(TIMEOUT.as_millis() as u64 / 3)).to_string());
        let p: BaseProducer<Context> = c
            .create_with_context(Context::new(self.link.clone()))
            .map_err(|e| self.kafka_error("make a client", &e))?;
        init_transactions(&p, &self.link, TIMEOUT)
            .map_err(|f| self.error(&format!("end the transaction of `{id}`"), &f))
    }
}
