//! What a table is before it is loaded: the same for an inline table of the topology and for a lookup file.
use model::Problem;
use model::time::TimeFormat;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a value finds a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// The value equals the key.
    #[default]
    Exact,
    /// The value is an address inside the key's block; the most specific block wins.
    Cidr,
}

/// Type of a table's column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Text.
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// `true` or `false`.
    Boolean,
    /// Any JSON.
    Json,
}

/// The column that says until when a row is valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Expiry {
    /// Column name.
    pub column: String,
    /// How its times are written.
    pub format: TimeFormat,
}

/// A table to load.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Name under `p_enrichment`.
    pub name: Arc<str>,
    /// Data file.
    pub file: String,
    /// Primary key column; MMDB files need none.
    pub key: Option<String>,
    /// How values are compared with it.
    pub matching: Matching,
    /// Selectors by log type (`*` = every log type).
    pub selectors: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Declared column types.
    pub types: BTreeMap<String, ColumnType>,
    /// Expiry of rows.
    pub expires: Option<Expiry>,
    /// Setting to blame (`table[2]`).
    pub setting: String,
    /// Lookup file to blame, if the table comes from one.
    pub declared_in: Option<String>,
}

impl TableSpec {
    /// A finding about the table as it is declared.
    pub fn problem(&self, field: &str, message: impl Into<String>) -> Problem {
        match &self.declared_in {
            Some(file) => Problem::at(&self.setting, message).in_file(file, 1, 1),
            None if field.is_empty() => Problem::at(&self.setting, message),
            None => Problem::at(&format!("{}.{field}", self.setting), message),
        }
    }
}
