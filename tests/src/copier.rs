//! A plain transactional copier: the smallest program that reads, writes and commits offsets exactly once with Kafka
//! alone. It qualifies the broker and the checker: if they do not call *this* exact, the fault is not the engine's.
//!
//! It takes the routes of the events by itself (see [`crate::checker::input`]), tags every record with its transaction,
//! and aborts every fifth transaction on purpose. Any error ends the process; whoever started it starts it again.
use crate::kafka::settings;
use anyhow::{Context, Result, ensure};
use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A call that takes longer has an unknown outcome: the process ends.
const CALL_MAX: Duration = Duration::from_secs(30);
/// A transaction is committed after this long, full or not.
const LINGER: Duration = Duration::from_millis(50);
/// Every so many transactions one is aborted first.
const ABORT_EVERY: u64 = 5;

/// Arguments of the copier's process.
#[derive(Args, Clone, Debug)]
pub struct CopierArgs {
    /// Brokers.
    #[arg(long)]
    pub bootstrap: String,
    /// Topic to read.
    #[arg(long)]
    pub input: String,
    /// Topic for events.
    #[arg(long)]
    pub events: String,
    /// Topic for broken ones.
    #[arg(long)]
    pub dlq: String,
    /// Topic for a mark per transaction and output.
    #[arg(long)]
    pub marks: String,
    /// Consumer group and transactional id.
    #[arg(long)]
    pub id: String,
    /// Most records of a transaction.
    #[arg(long, default_value_t = 750)]
    pub batch: usize,
}

impl CopierArgs {
    /// As a command line.
    pub fn to_args(&self) -> Vec<String> {
        let pairs = [
            ("--bootstrap", self.bootstrap.clone()),
            ("--input", self.input.clone()),
            ("--events", self.events.clone()),
            ("--dlq", self.dlq.clone()),
            ("--marks", self.marks.clone()),
            ("--id", self.id.clone()),
            ("--batch", self.batch.to_string()),
        ];
        let mut args = vec!["copier".to_string()];
        args.extend(pairs.into_iter().flat_map(|(k, v)| [k.to_string(), v]));
        args
    }
}

/// Copy until killed.
pub fn run(a: &CopierArgs) -> Result<()> {
    let producer: BaseProducer = settings(&a.bootstrap)
        .set("transactional.id", &a.id)
        .set("transaction.timeout.ms", "20000")
        .set("linger.ms", "0")
        .create()?;
    // First fence and settle what an earlier process left open; only then do its offsets mean anything.
    producer.init_transactions(CALL_MAX).context("init_transactions")?;
    let consumer: BaseConsumer = settings(&a.bootstrap)
        .set("group.id", &a.id)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .create()?;
    let partitions = consumer.fetch_metadata(Some(&a.input), CALL_MAX)?.topics()[0].partitions().len() as i32;
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&a.input, 0, partitions - 1);
    let start = consumer.committed_offsets(list, CALL_MAX).context("ask for the committed offsets")?;
    for p in 0..partitions {
        if let Some(mut e) = start.find_partition(&a.input, p)
            && e.offset() == Offset::Invalid
        {
            e.set_offset(Offset::Offset(0))?;
        }
    }
    consumer.assign(&start)?;
    let born = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    for n in 1.. {
        let batch = fill(&consumer, a.batch)?;
        if batch.is_empty() {
            continue;
        }
        // Unique over all processes: milliseconds of this one's start, and a count.
        let epoch = born << 20 | n;
        if n % ABORT_EVERY == 0 {
            producer.begin_transaction()?;
            write(&producer, a, &batch, epoch, true)?;
            producer.abort_transaction(CALL_MAX).context("abort_transaction")?;
        }
        producer.begin_transaction()?;
        write(&producer, a, &batch, epoch, false)?;
        let mut offsets = TopicPartitionList::new();
        for m in &batch {
            match offsets.find_partition(&a.input, m.partition()) {
                Some(mut e) => e.set_offset(Offset::Offset(m.offset() + 1))?,
                None => offsets.add_partition_offset(&a.input, m.partition(), Offset::Offset(m.offset() + 1))?,
            }
        }
        let group = consumer.group_metadata().context("no group metadata")?;
        producer.send_offsets_to_transaction(&offsets, &group, CALL_MAX).context("send_offsets_to_transaction")?;
        producer.commit_transaction(CALL_MAX).context("commit_transaction")?;
    }
    Ok(())
}

fn fill(consumer: &BaseConsumer, most: usize) -> Result<Vec<OwnedMessage>> {
    let (mut batch, began) = (Vec::new(), Instant::now());
    while batch.len() < most && began.elapsed() < LINGER {
        match consumer.poll(Duration::from_millis(10)) {
            Some(m) => batch.push(m.context("read")?.detach()),
            None if batch.is_empty() => {}
            None => break,
        }
    }
    Ok(batch)
}

fn write(producer: &BaseProducer, a: &CopierArgs, batch: &[OwnedMessage], epoch: u64, abort: bool) -> Result<()> {
    let tag = epoch.to_string();
    // Rows and xor of their sequence numbers, for events and for dead letters.
    let mut marks = [(0u64, 0u64); 2];
    for m in batch {
        let value = m.payload().unwrap_or_default();
        let text = String::from_utf8_lossy(value);
        let mut headers = OwnedHeaders::new().insert(Header { key: "epoch", value: Some(&tag) });
        if abort {
            headers = headers.insert(Header { key: "aborted", value: Some("1") });
        }
        let rejected = !text.ends_with('}');
        if rejected {
            headers =
                headers.insert(Header { key: "__connect.errors.exception.message", value: Some("no closing brace") });
        } else if text.contains("\"route\":\"filter\"") {
            continue;
        }
        let seq = text.split_once("\"seq\":").and_then(|t| t.1.split(',').next()?.parse().ok()).unwrap_or(0u64);
        let mark = &mut marks[rejected as usize];
        *mark = (mark.0 + 1, mark.1 ^ seq);
        let topic = if rejected { &a.dlq } else { &a.events };
        send(producer, BaseRecord::to(topic).partition(m.partition()).payload(value).headers(headers))?;
    }
    for (output, (rows, xor)) in ["events", "dlq"].into_iter().zip(marks) {
        if rows > 0 {
            let mark = format!("{{\"output\":\"{output}\",\"epoch\":{epoch},\"rows\":{rows},\"xor\":{xor}}}");
            send(producer, BaseRecord::to(&a.marks).partition(0).payload(mark.as_bytes()))?;
        }
    }
    // A commit would wait in steps of 100 ms for what is in flight.
    let began = Instant::now();
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
        ensure!(began.elapsed() < CALL_MAX, "records are not acknowledged");
    }
    Ok(())
}

fn send(producer: &BaseProducer, record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
    producer.send(record).map_err(|(e, _)| e).context("write")
}
