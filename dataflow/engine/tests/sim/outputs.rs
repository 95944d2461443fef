//! Sinks of the simulation beside the Kafka connector's: a file, and objects in a bucket.
use crate::disk;
use crate::sched::sched;
use crate::stores::Bucket;
use model::{EpochInfo, Objects, Packet, Receipt, Result, Sink, fault};
use xxhash_rust::xxh3::xxh3_128;

fn lines(packet: &Packet, out: &mut Vec<String>) {
    match packet {
        Packet::Records(r) => out.extend(r.iter().map(|r| r.to_json().to_string())),
        Packet::Events(b) => {
            out.extend((0..b.len()).map(|row| String::from_utf8_lossy(b.raw(row)).into_owned()));
        }
        Packet::Raw(_) => {}
    }
}

fn receipt(rows: &[String], state: serde_json::Value) -> Receipt {
    let text: String = rows.iter().map(|r| format!("{r}\n")).collect();
    Receipt { rows: rows.len() as u64, digest: format!("{:032x}", xxh3_128(text.as_bytes())), state, waiting: false }
}

/// Appends lines to a file on the simulated disk, by the rules of the `jsonl` sink.
pub struct FileSink {
    path: String,
    rows: Vec<String>,
}

impl FileSink {
    /// Path of a sink's file.
    pub fn path(id: &str) -> String {
        format!("out/{id}")
    }
    /// A shard.
    pub fn new(id: &str) -> FileSink {
        FileSink { path: FileSink::path(id), rows: Vec::new() }
    }
}

impl Sink for FileSink {
    fn recover(&mut self, last: Option<&Receipt>) -> Result<()> {
        let len = last.and_then(|r| r.state.get("len")).and_then(|l| l.as_u64()).unwrap_or(0) as usize;
        let have = disk::read(&self.path).map_or(0, |b| b.len());
        if have < len {
            return Err(format!("{} has {have} bytes, but {len} were committed", self.path).into());
        }
        if have > len && !sched().broken("mock_no_truncate") {
            sched().state().cover.hit("file cut at recovery");
            disk::truncate(&self.path, len);
            disk::sync(&self.path)?;
        }
        Ok(())
    }
    fn stage(&mut self, packet: &Packet) -> Result<()> {
        lines(packet, &mut self.rows);
        Ok(())
    }
    fn commit(&mut self, _: &EpochInfo) -> Result<Option<Receipt>> {
        let new = disk::read(&self.path).is_none();
        if !self.rows.is_empty() {
            fault::crash_point("sink.before_write");
            for row in &self.rows {
                disk::append(&self.path, format!("{row}\n").as_bytes())?;
                fault::crash_point("sink.mid_write");
            }
            fault::crash_point("sink.after_write");
            if !sched().broken("mock_no_data_sync") {
                disk::sync(&self.path)?;
                if new {
                    disk::sync_names();
                }
            }
        }
        let len = disk::read(&self.path).map_or(0, |b| b.len());
        let r = receipt(&self.rows, serde_json::json!({ "len": len }));
        self.rows.clear();
        Ok(Some(r))
    }
    fn discard(&mut self, _: &EpochInfo) -> Result<Option<Receipt>> {
        let r = receipt(&self.rows, serde_json::Value::Null);
        self.rows.clear();
        Ok(Some(r))
    }
}

/// Writes an object per epoch with rows; shards by lane. Objects are durable at once and can be written again.
pub struct BucketSink {
    prefix: String,
    rows: Vec<String>,
}

impl BucketSink {
    /// Beginning of the names of a sink's objects.
    pub fn prefix(id: &str) -> String {
        format!("out/{id}/")
    }
    /// A shard.
    pub fn new(id: &str, shard: u32) -> BucketSink {
        BucketSink { prefix: format!("{}{shard}/", BucketSink::prefix(id)), rows: Vec::new() }
    }
}

impl Sink for BucketSink {
    fn recover(&mut self, _: Option<&Receipt>) -> Result<()> {
        Ok(())
    }
    fn stage(&mut self, packet: &Packet) -> Result<()> {
        lines(packet, &mut self.rows);
        Ok(())
    }
    fn commit(&mut self, info: &EpochInfo) -> Result<Option<Receipt>> {
        if !self.rows.is_empty() {
            let text: String = self.rows.iter().map(|r| format!("{r}\n")).collect();
            Bucket.put(&format!("{}{:08}", self.prefix, info.epoch), text.as_bytes())?;
        }
        self.discard(info)
    }
    fn discard(&mut self, _: &EpochInfo) -> Result<Option<Receipt>> {
        let r = receipt(&self.rows, serde_json::Value::Null);
        self.rows.clear();
        Ok(Some(r))
    }
}
