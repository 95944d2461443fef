//! Matches and alerts read back from a lake: the whole record as JSON text, of rows that have a value in a column. For
//! commands that look at what a run wrote; the files are scanned one by one, and only two columns of them are decoded.
use crate::count::{is_staged, spent, walk};
use crate::rows::RECORD;
use arrow_array::cast::AsArray;
use model::{Objects, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use std::fs::File;
use std::path::Path;

/// Rows decoded at a time.
const ROWS: usize = 1024;

/// Hand every record of the lake at `path` to `each` that has `value` in the text column `column`, in no order that means
/// anything. Files without the column (events, other records) are passed over; staged files count as well.
pub fn find(path: &Path, column: &str, value: &str, each: &mut dyn FnMut(&str)) -> Result<()> {
    let name = |f: std::path::PathBuf| Some(f.strip_prefix(path).ok()?.to_string_lossy().into_owned());
    let names: Vec<String> = walk(path)?.into_iter().filter_map(name).collect();
    let read = |n: &str| Ok(std::fs::read(path.join(n))?);
    for name in lasting(&names, read)? {
        scan(File::open(path.join(name))?, column, value, each).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// As [`find`], in object storage. Reads every file whole.
pub fn find_in(objects: &dyn Objects, column: &str, value: &str, each: &mut dyn FnMut(&str)) -> Result<()> {
    let names = objects.list("")?;
    for name in lasting(&names, |n| objects.get(n))? {
        scan(bytes::Bytes::from(objects.get(name)?), column, value, each).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// Files whose rows stand in no other file.
fn lasting(names: &[String], read: impl Fn(&str) -> Result<Vec<u8>>) -> Result<Vec<&str>> {
    let spent = spent(names, read)?;
    let in_lake = |n: &&String| n.ends_with(".parquet") && !spent.contains(*n);
    let mut all: Vec<&str> = names.iter().filter(in_lake).map(String::as_str).collect();
    all.sort_by_key(|n| (is_staged(Path::new(n)), *n));
    Ok(all)
}

fn scan<R: ChunkReader + 'static>(file: R, column: &str, value: &str, each: &mut dyn FnMut(&str)) -> Result<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let schema = builder.schema().clone();
    if schema.column_with_name(column).is_none() || schema.column_with_name(RECORD).is_none() {
        return Ok(());
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), [column, RECORD]);
    for batch in builder.with_projection(mask).with_batch_size(ROWS).build()? {
        let batch = batch?;
        let text = |name: &str| batch.column_by_name(name).and_then(|c| c.as_string_opt::<i32>());
        let (Some(keys), Some(records)) = (text(column), text(RECORD)) else { continue };
        keys.iter().zip(records).filter(|(k, _)| *k == Some(value)).filter_map(|(_, r)| r).for_each(&mut *each);
    }
    Ok(())
}
