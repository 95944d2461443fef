//! How the rows of a file are encoded: what costs time or space where it gains nothing is left out, by what the first rows
//! look like.
//!
//! A dictionary pays where values repeat: a column of which more than half the values are new ones goes without. Its least
//! and greatest values say something if people search by it; of JSON text that hardly repeats they are not kept.
use crate::table::{INDICATORS, OFFSET};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, SchemaRef};
use model::Result;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use std::collections::HashSet;
use std::io::Write;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Rows of a row group.
pub const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Values of a column that are looked at.
const SAMPLE: usize = 4096;

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
    /// Columns of JSON text.
    pub json: Vec<String>,
    /// Write the indicator columns.
    pub indicators: bool,
}

impl Form {
    /// Stands for the columns, their types and how they are written.
    pub fn name(&self) -> String {
        let mut h = Xxh3::new();
        for f in self.schema.fields() {
            h.update(format!("{} {} {};", f.name(), f.data_type(), f.is_nullable()).as_bytes());
        }
        h.update(format!("{} {:?} {:?}", self.level, self.bloom, self.json).as_bytes());
        format!("{:016x}", h.digest())
    }

    /// A writer for a file that begins with these rows. `whole`: and ends with them.
    pub fn writer<W: Write + Send>(&self, out: W, rows: &RecordBatch, whole: bool) -> Result<ArrowWriter<W>> {
        let mut props = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(self.level)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_created_by("millstream".into());
        let expected = if whole { rows.num_rows() } else { ROW_GROUP_ROWS };
        for (field, column) in self.schema.fields().iter().zip(rows.columns()) {
            props = self.column(props, field.name(), field.data_type(), column, expected);
        }
        Ok(ArrowWriter::try_new(out, self.schema.clone(), Some(props.build()))?)
    }

    fn column(
        &self,
        props: WriterPropertiesBuilder,
        name: &str,
        data_type: &DataType,
        column: &ArrayRef,
        expected: usize,
    ) -> WriterPropertiesBuilder {
        let (path, texts) = match data_type {
            DataType::Utf8 => (ColumnPath::from(name), column.as_string::<i32>()),
            DataType::List(item) if *item.data_type() == DataType::Utf8 => {
                let path = ["", "list", item.name()].map(|part| if part.is_empty() { name } else { part }.to_string());
                (ColumnPath::from(path.to_vec()), column.as_list::<i32>().values().as_string::<i32>())
            }
            _ if name == OFFSET || matches!(data_type, DataType::Timestamp(..)) => {
                // Times are close to each other, and so are offsets: differences are short.
                let path = ColumnPath::from(name);
                return props
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            _ => return props,
        };
        let (looked_at, different) = sample(texts);
        let mut props = props;
        if different * 2 > looked_at {
            props = props.set_column_dictionary_enabled(path.clone(), false);
            if self.json.iter().any(|j| j == name) {
                props = props.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
            }
        }
        // An indicator that no row has is left without: it would be empty space.
        let empty = looked_at == 0 && INDICATORS.contains(&name);
        if !empty && self.bloom.iter().any(|b| b == name) {
            let share = (different.max(1) as f64 / looked_at.max(1) as f64).min(1.0);
            let values = (expected as f64 * share).ceil().max(64.0) as u64;
            props = props.set_column_bloom_filter_enabled(path.clone(), true).set_column_bloom_filter_ndv(path, values);
        }
        props
    }
}

/// How many of the first values were looked at, and how many of them differ.
fn sample(texts: &StringArray) -> (usize, usize) {
    let mut seen = HashSet::new();
    let mut n = 0;
    for text in texts.iter().flatten().take(SAMPLE) {
        n += 1;
        seen.insert(xxh3_64(text.as_bytes()));
    }
    (n, seen.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_counts_values_and_different_ones() {
        let of = |values: Vec<Option<&str>>| sample(&StringArray::from(values));
        assert_eq!(of(vec![]), (0, 0));
        assert_eq!(of(vec![None, Some("a"), Some("b"), None, Some("a")]), (3, 2));
        let many: Vec<String> = (0..SAMPLE + 10).map(|i| i.to_string()).collect();
        assert_eq!(of(many.iter().map(|s| Some(s.as_str())).collect()), (SAMPLE, SAMPLE));
    }
}
