//! Several staged files of one folder and form as one.
//!
//! Few rows are read, sorted by time and encoded again, so that a quiet log type has one row group a file. More are copied:
//! their row groups go behind each other as they are, with their indexes and filters.
use crate::form::Form;
use crate::writer::{Closed, Groups, Hashed};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use model::Result;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most rows that are encoded again.
const AGAIN_ROWS: usize = 32 * 1024;
/// Most bytes of them in memory.
const AGAIN_BYTES: i64 = 32 << 20;

struct Part {
    file: File,
    metadata: ParquetMetaData,
}

/// Columns of a staged file.
pub fn schema(path: &Path) -> Result<SchemaRef> {
    Ok(ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.schema().clone())
}

/// Write the rows of `parts` to `temp`. `form` tells how they are encoded, `time` which column they are sorted by.
pub fn merge(parts: &[PathBuf], form: &Form, time: &str, temp: &Path) -> Result<Closed> {
    let open = |path: &PathBuf| -> Result<Part> {
        let file = File::open(path).map_err(|e| format!("open {}: {e}", path.display()))?;
        let metadata = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .parse_and_finish(&file)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Part { file, metadata })
    };
    let parts = parts.iter().map(open).collect::<Result<Vec<_>>>()?;
    let groups = || parts.iter().flat_map(|p| p.metadata.row_groups());
    let rows: i64 = groups().map(|g| g.num_rows()).sum();
    // A dictionary makes texts that repeat small, but not in memory.
    let texts = |c: &ColumnChunkMetaData| c.unencoded_byte_array_data_bytes().unwrap_or(0).max(c.uncompressed_size());
    let bytes: i64 = groups().flat_map(|g| g.columns()).map(texts).sum();
    match rows as usize <= AGAIN_ROWS && bytes <= AGAIN_BYTES {
        true => encode(parts, form, time, temp, rows as usize),
        false => append(&parts, temp, rows as u64),
    }
}

fn encode(parts: Vec<Part>, form: &Form, time: &str, temp: &Path, rows: usize) -> Result<Closed> {
    let mut batches = Vec::new();
    for part in parts {
        let reader = ParquetRecordBatchReaderBuilder::try_new(part.file)?.with_batch_size(rows.max(1)).build()?;
        for batch in reader {
            batches.push(batch?);
        }
    }
    let all = concat_batches(&form.schema, &batches)?;
    let all = by_time(&all, time)?;
    let mut writer = form.writer(Hashed::create(temp)?, &all, true)?;
    writer.write(&all)?;
    writer.into_inner()?.close(temp, rows as u64)
}

/// The rows in the order of their times; equal ones stay as they are.
fn by_time(rows: &RecordBatch, time: &str) -> Result<RecordBatch> {
    let Some(column) = rows.column_by_name(time) else { return Ok(rows.clone()) };
    let times = column.as_primitive::<TimestampNanosecondType>().values();
    if times.is_sorted() {
        return Ok(rows.clone());
    }
    let mut order: Vec<u32> = (0..times.len() as u32).collect();
    order.sort_by_key(|&i| times[i as usize]);
    Ok(take_record_batch(rows, &UInt32Array::from(order))?)
}

fn append(parts: &[Part], temp: &Path, rows: u64) -> Result<Closed> {
    let head = parts.first().ok_or("nothing to merge")?.metadata.file_metadata();
    let props = WriterProperties::builder()
        .set_created_by("millstream".into())
        .set_key_value_metadata(head.key_value_metadata().cloned())
        .build();
    let schema = head.schema_descr().root_schema_ptr();
    let mut out = Groups::new(Hashed::create(temp)?, schema, Arc::new(props))?;
    for Part { file, metadata } in parts {
        for (n, group) in metadata.row_groups().iter().enumerate() {
            let mut to = out.next_row_group()?;
            for (c, column) in group.columns().iter().enumerate() {
                let index = metadata.column_index().and_then(|i| i.get(n)?.get(c));
                let offsets = metadata.offset_index().and_then(|i| i.get(n)?.get(c));
                let close = ColumnCloseResult {
                    bytes_written: column.compressed_size() as u64,
                    rows_written: group.num_rows() as u64,
                    metadata: column.clone(),
                    bloom_filter: Sbbf::read_from_column_chunk(column, file)?,
                    column_index: index.cloned(),
                    offset_index: offsets.cloned(),
                };
                to.append_column(file, close)?;
            }
            to.close()?;
        }
    }
    out.into_inner()?.close(temp, rows)
}
