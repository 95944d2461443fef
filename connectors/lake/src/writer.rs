//! One Parquet file that is being written, under a temporary name.
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use model::Result;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// A row group is closed early when it takes this much memory, bytes.
const ROW_GROUP_BYTES: usize = 32 << 20;

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

/// An open file.
pub struct OpenFile {
    writer: ArrowWriter<Hashed>,
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
    /// Start a file. `bloom` names columns that get a bloom filter.
    pub fn create(temp: &Path, schema: SchemaRef, level: i32, bloom: &[String]) -> Result<OpenFile> {
        let mut props = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_created_by("millstream".into());
        for column in bloom {
            props = props.set_column_bloom_filter_enabled(column.as_str().into(), true);
        }
        let file = File::create(temp).map_err(|e| format!("create {}: {e}", temp.display()))?;
        let out = Hashed(BufWriter::with_capacity(1 << 20, file), Xxh3::new());
        let writer = ArrowWriter::try_new(out, schema, Some(props.build()))?;
        Ok(OpenFile { writer, temp: temp.into(), rows: 0 })
    }
    /// Add rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch)?;
        self.rows += batch.num_rows() as u64;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES {
            self.writer.flush()?;
        }
        Ok(())
    }
    /// Write the footer and make the file durable.
    pub fn close(mut self) -> Result<Closed> {
        let out = self.writer.into_inner()?;
        let hash = out.1.digest128();
        let file = out.0.into_inner().map_err(|e| format!("write {}: {}", self.temp.display(), e.error()))?;
        file.sync_all().map_err(|e| format!("sync {}: {e}", self.temp.display()))?;
        Ok(Closed { temp: self.temp, rows: self.rows, hash })
    }
}
