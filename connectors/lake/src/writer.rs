//! One Parquet file that is being written, under a temporary name.
use crate::form::Form;
use crate::{rows, table};
use model::{EventBatch, Record, Result};
use parquet::arrow::ArrowWriter;
use parquet::file::writer::SerializedFileWriter;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// A row group is closed early when it takes this much memory, bytes: every lane has one open.
const ROW_GROUP_BYTES: usize = 16 << 20;
/// Rows that are gathered before they are encoded: an encoder for fifty columns takes megabytes and has a cost per
/// call, so a file of few rows is encoded in one go when it is closed.
pub const GATHER_ROWS: usize = 16 * 1024;
/// Gathered rows are encoded early when they take this much memory, bytes: so much stays in the caches.
const GATHER_BYTES: usize = 4 << 20;

/// What a gathered record counts for, bytes.
const RECORD_BYTES: usize = 2 << 10;

/// Bytes on their way to a file, hashed as they pass.
pub struct Hashed {
    out: BufWriter<File>,
    hash: Xxh3,
    bytes: u64,
}

impl Hashed {
    /// Make a file.
    pub fn create(path: &Path) -> Result<Hashed> {
        let file = File::create(path).map_err(|e| format!("create {}: {e}", path.display()))?;
        Ok(Hashed { out: BufWriter::with_capacity(64 << 10, file), hash: Xxh3::new(), bytes: 0 })
    }
    /// Everything is written: make it durable.
    pub fn close(self, path: &Path, rows: u64) -> Result<Closed> {
        let (hash, bytes) = (self.hash.digest128(), self.bytes);
        let file = self.out.into_inner().map_err(|e| format!("write {}: {}", path.display(), e.error()))?;
        file.sync_all().map_err(|e| format!("sync {}: {e}", path.display()))?;
        Ok(Closed { temp: path.into(), rows, bytes, hash })
    }
}

impl Write for Hashed {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(buf)?;
        self.hash.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A writer of row groups.
pub type Groups = SerializedFileWriter<Hashed>;

/// An open file.
pub struct OpenFile {
    form: Arc<Form>,
    events: Vec<(Arc<EventBatch>, Vec<u32>)>,
    records: Vec<Record>,
    gathered_rows: usize,
    gathered_bytes: usize,
    writer: Option<ArrowWriter<Hashed>>,
    /// Temporary path.
    temp: PathBuf,
    /// Rows so far.
    pub rows: u64,
}

/// A file that is complete and durable under its temporary name.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Temporary path.
    pub temp: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// xxh3-128 of its bytes.
    pub hash: u128,
}

impl OpenFile {
    /// Start a file.
    pub fn create(temp: &Path, form: Arc<Form>) -> OpenFile {
        OpenFile {
            form,
            events: Vec::new(),
            records: Vec::new(),
            gathered_rows: 0,
            gathered_bytes: 0,
            writer: None,
            temp: temp.into(),
            rows: 0,
        }
    }
    /// How its rows are encoded.
    pub fn form(&self) -> &Arc<Form> {
        &self.form
    }
    /// Add rows of a batch; the batch is kept until they are encoded.
    pub fn events(&mut self, batch: &Arc<EventBatch>, rows: Vec<u32>) -> Result<()> {
        let share = rows.len() as f64 / batch.len().max(1) as f64;
        let bytes = (batch.data.len() + batch.pos.len() * 9) as f64 * share;
        let n = rows.len();
        self.events.push((batch.clone(), rows));
        self.gathered(n, bytes as usize)
    }
    /// Add records.
    pub fn records(&mut self, records: Vec<Record>) -> Result<()> {
        let n = records.len();
        self.records.extend(records);
        self.gathered(n, n * RECORD_BYTES)
    }
    fn gathered(&mut self, rows: usize, bytes: usize) -> Result<()> {
        self.rows += rows as u64;
        self.gathered_rows += rows;
        self.gathered_bytes += bytes;
        match self.gathered_rows >= GATHER_ROWS || self.gathered_bytes >= GATHER_BYTES {
            true => self.encode(false),
            false => Ok(()),
        }
    }
    /// Encode what is gathered. `last`: nothing follows.
    fn encode(&mut self, last: bool) -> Result<()> {
        let form = &self.form;
        let rows = match self.records.is_empty() {
            true => table::columns(&self.events, &form.schema, form.indicators)?,
            false => rows::columns(&self.records, &form.folder, &form.schema)?,
        };
        self.events.clear();
        self.records.clear();
        (self.gathered_rows, self.gathered_bytes) = (0, 0);
        let mut writer = match self.writer.take() {
            Some(w) => w,
            None => form.writer(Hashed::create(&self.temp)?, &rows, last)?,
        };
        writer.write(&rows)?;
        if writer.in_progress_size() > ROW_GROUP_BYTES {
            writer.flush()?;
        }
        self.writer = Some(writer);
        Ok(())
    }
    /// Bytes in the file so far.
    pub fn written(&self) -> u64 {
        self.writer.as_ref().map_or(0, |w| w.bytes_written() as u64)
    }
    /// Encode what is gathered, write the footer and make the file durable.
    pub fn close(mut self) -> Result<Closed> {
        if self.gathered_rows > 0 || self.writer.is_none() {
            self.encode(self.writer.is_none())?;
        }
        let writer = self.writer.take().ok_or("a file without rows")?;
        writer.into_inner()?.close(&self.temp, self.rows)
    }
}
