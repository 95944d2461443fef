//! One Parquet file that is being written, under a temporary name.
use crate::{rows, table};
use arrow_schema::SchemaRef;
use model::{EventBatch, Record, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// A row group is closed early when it takes this much memory, bytes.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// Rows that are gathered before they are encoded: an encoder for fifty columns takes megabytes and has a cost per
/// call, so a file of few rows is encoded in one go when it is closed.
const GATHER_ROWS: usize = 16 * 1024;
/// Gathered rows are encoded early when they take this much memory, bytes.
const GATHER_BYTES: usize = 16 << 20;

/// What a gathered record counts for, bytes.
const RECORD_BYTES: usize = 2 << 10;

/// Bytes on their way to the file, hashed as they pass.
struct Hashed(BufWriter<File>, Xxh3);

impl Write for Hashed {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.0.write(buf)?;
        self.1.update(&buf[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// How the rows of one file are encoded.
#[derive(Clone)]
pub struct Form {
    /// Arrow schema.
    pub schema: SchemaRef,
    /// Folder below the lake; tells events (`logs/…`) from records.
    pub folder: String,
    /// zstd level.
    pub level: i32,
    /// Columns with a bloom filter.
    pub bloom: Vec<String>,
    /// Write the indicator columns.
    pub indicators: bool,
}

/// An open file.
pub struct OpenFile {
    form: Form,
    events: Vec<(Arc<EventBatch>, Vec<u32>)>,
    records: Vec<Record>,
    gathered_rows: usize,
    gathered_bytes: usize,
    writer: Option<ArrowWriter<Hashed>>,
    /// Temporary path.
    pub temp: PathBuf,
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
    /// xxh3-128 of its bytes.
    pub hash: u128,
}

impl OpenFile {
    /// Start a file.
    pub fn create(temp: &Path, form: Form) -> OpenFile {
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
    /// Add rows of a batch; the batch is kept until they are encoded.
    pub fn events(&mut self, batch: &Arc<EventBatch>, rows: Vec<u32>) -> Result<()> {
        let (n, bytes) = (rows.len(), batch.data.len() + batch.pos.len() * 9);
        self.events.push((batch.clone(), rows));
        self.gathered(n, bytes)
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
            true => self.encode(),
            false => Ok(()),
        }
    }
    fn encode(&mut self) -> Result<()> {
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
            None => self.encoder(rows.num_rows())?,
        };
        writer.write(&rows)?;
        if writer.in_progress_size() > ROW_GROUP_BYTES {
            writer.flush()?;
        }
        self.writer = Some(writer);
        Ok(())
    }
    fn encoder(&self, rows: usize) -> Result<ArrowWriter<Hashed>> {
        // A file that reaches a full gathering may become large; a smaller one is whole already.
        let distinct = if rows < GATHER_ROWS { rows.max(1) } else { ROW_GROUP_ROWS };
        let mut props = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(self.form.level)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_created_by("millstream".into());
        for column in &self.form.bloom {
            props = props
                .set_column_bloom_filter_enabled(column.as_str().into(), true)
                .set_column_bloom_filter_ndv(column.as_str().into(), distinct as u64);
        }
        let file = File::create(&self.temp).map_err(|e| format!("create {}: {e}", self.temp.display()))?;
        let out = Hashed(BufWriter::with_capacity(64 << 10, file), Xxh3::new());
        Ok(ArrowWriter::try_new(out, self.form.schema.clone(), Some(props.build()))?)
    }
    /// Bytes in the file so far.
    pub fn written(&self) -> usize {
        self.writer.as_ref().map_or(0, |w| w.bytes_written())
    }
    /// Encode what is gathered, write the footer and make the file durable.
    pub fn close(mut self) -> Result<Closed> {
        self.encode()?;
        let writer = self.writer.take().ok_or("a file without rows")?;
        let out = writer.into_inner()?;
        let hash = out.1.digest128();
        let file = out.0.into_inner().map_err(|e| format!("write {}: {}", self.temp.display(), e.error()))?;
        file.sync_all().map_err(|e| format!("sync {}: {e}", self.temp.display()))?;
        Ok(Closed { temp: self.temp, rows: self.rows, hash })
    }
}
