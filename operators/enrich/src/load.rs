//! From a data file to a [`Table`]: every row is checked, and every kind of finding is reported at once.
//!
//! A CSV cell without a declared type is text; a column all of whose cells are `true`, `false` or empty is boolean. So
//! account numbers keep their leading zeros. An empty cell is no value. A row that cannot be used is an error of the
//! check: a table is used whole or not at all.
use crate::builder::{Builder, Cell, json_cell, typed_cell};
use crate::cidr::{Block, CidrIndex};
use crate::exact::ExactIndex;
use crate::mmdb;
use crate::spec::{ColumnType, Matching, TableSpec};
use crate::table::{Index, Table};
use crate::thousands;
use model::event::{Value, tag};
use model::{Files, LookupTable, Problem};
use serde_json::Value as J;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Findings of one kind that are told one by one.
const TOLD: usize = 5;

/// Loads a table. Without errors among the findings there is one.
pub fn load(spec: &TableSpec, files: &dyn Files, found: &mut Vec<Problem>) -> Option<Table> {
    let bytes = match files.read(&spec.file) {
        Ok(b) => b,
        Err(e) => {
            let p = spec.problem("file", format!("cannot read `{}`: {e}", spec.file));
            found.push(p.hint("write the path relative to the topology's folder"));
            return None;
        }
    };
    let ending = spec.file.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    match ending.as_deref() {
        Some("csv") => Loader::new(spec, found).csv(&bytes),
        Some("jsonl" | "ndjson" | "json") => Loader::new(spec, found).jsonl(&bytes),
        Some("mmdb") => mmdb::load(spec, &bytes, found),
        _ => {
            let p = spec.problem("file", format!("the format of `{}` is not known", spec.file));
            found.push(p.hint("name the file .csv, .jsonl or .mmdb after what is in it"));
            None
        }
    }
}

/// The rows of a CSV file: their texts one behind the other.
struct Rows {
    columns: usize,
    text: String,
    /// Where each cell ends.
    ends: Vec<usize>,
    lines: Vec<u32>,
}

impl Rows {
    fn push(&mut self, line: u32, record: &csv::StringRecord) {
        self.lines.push(line);
        for cell in record {
            self.text.push_str(cell);
            self.ends.push(self.text.len());
        }
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        let at = row * self.columns + column;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }
}

struct Loader<'a> {
    spec: &'a TableSpec,
    found: &'a mut Vec<Problem>,
    builder: Builder,
    /// File line of every row.
    lines: Vec<u32>,
    bad: usize,
    /// An error about the table as a whole has been told.
    failed: bool,
}

impl<'a> Loader<'a> {
    fn new(spec: &'a TableSpec, found: &'a mut Vec<Problem>) -> Loader<'a> {
        Loader { spec, found, builder: Builder::new(&spec.name), lines: Vec::new(), bad: 0, failed: false }
    }

    fn bad(&mut self, line: u32, why: String) {
        self.bad += 1;
        if self.bad <= TOLD {
            let p = Problem::at(&self.spec.setting, format!("table `{}`: {why}", self.spec.name));
            self.found.push(p.in_file(&self.spec.file, line, 1));
        }
    }

    fn no_key(&mut self, why: String, hint: String) -> Option<Table> {
        self.found.push(self.spec.problem("key", why).hint(hint));
        None
    }

    fn csv(mut self, bytes: &[u8]) -> Option<Table> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let names: Vec<String> = match reader.headers() {
            Ok(h) => h.iter().map(|n| n.trim().to_string()).collect(),
            Err(e) => {
                self.bad(1, format!("the header cannot be read: {e}"));
                return self.finish();
            }
        };
        if let Some(key) = self.spec.key.as_ref().filter(|k| !names.contains(k)) {
            let why = format!("table `{}` has no column `{key}`", self.spec.name);
            return self.no_key(why, format!("the columns of `{}` are {}", self.spec.file, names.join(", ")));
        }
        // The type of a column is known when all of it was read.
        let most = memchr::memchr_iter(b'\n', bytes).count() + 1;
        let mut rows = Rows {
            columns: names.len(),
            text: String::with_capacity(bytes.len()),
            ends: Vec::with_capacity(most.saturating_mul(names.len()).min(bytes.len())),
            lines: Vec::with_capacity(most),
        };
        let mut record = csv::StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {
                    let line = record.position().map_or(0, |p| p.line() as u32);
                    match record.len() == names.len() {
                        true => rows.push(line, &record),
                        false => {
                            self.bad(line, format!("{} fields where the header has {}", record.len(), names.len()));
                        }
                    }
                }
                Err(e) => {
                    let line = e.position().map_or(0, |p| p.line() as u32);
                    self.bad(line, e.to_string());
                }
            }
        }
        let types: Vec<ColumnType> = names.iter().enumerate().map(|(i, n)| self.csv_type(n, i, &rows)).collect();
        self.lines.reserve(rows.lines.len());
        self.builder.reserve(rows.lines.len(), rows.text.len());
        for name in &names {
            let column = self.builder.column(name);
            if self.spec.key.as_ref() == Some(name) {
                self.builder.distinct(column);
            }
        }
        let mut cells: Vec<(usize, Cell)> = Vec::with_capacity(names.len());
        for (row, line) in rows.lines.iter().enumerate() {
            cells.clear();
            let mut wrong = None;
            for (i, ty) in types.iter().enumerate() {
                match typed_cell(rows.cell(row, i), *ty) {
                    Ok(cell) => cells.push((i, cell)),
                    Err(e) => wrong = wrong.or_else(|| Some(format!("column `{}`: {e}", names[i]))),
                }
            }
            self.row(*line, wrong.map_or_else(|| Ok(cells.drain(..)), Err));
        }
        self.finish()
    }

    fn csv_type(&self, name: &str, column: usize, rows: &Rows) -> ColumnType {
        if let Some(t) = self.spec.types.get(name) {
            return *t;
        }
        let cells = (0..rows.lines.len()).map(|row| rows.cell(row, column));
        let mut cells = cells.filter(|c| !c.is_empty()).peekable();
        let some = cells.peek().is_some() && self.spec.key.as_deref() != Some(name);
        if some && cells.all(|c| c == "true" || c == "false") { ColumnType::Boolean } else { ColumnType::String }
    }

    fn jsonl(mut self, bytes: &[u8]) -> Option<Table> {
        for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
            let n = i as u32 + 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let cells = match serde_json::from_slice::<J>(line) {
                Ok(J::Object(o)) => self.json_row(&o),
                Ok(_) => Err("a line must be a JSON object".into()),
                Err(e) => Err(format!("not JSON: {e}")),
            };
            self.row(n, cells);
        }
        self.finish()
    }

    fn json_row(&mut self, o: &serde_json::Map<String, J>) -> Result<Vec<(usize, Cell<'static>)>, String> {
        let mut cells = BTreeMap::new();
        flatten("", o, &mut |name, value| {
            let cell = match (self.spec.types.get(name), value) {
                (None | Some(ColumnType::Json), v) => json_cell(v),
                (Some(_), J::Null) => json_cell(&J::Null),
                (Some(ty), v) => {
                    let text = v.as_str().map_or_else(|| v.to_string(), String::from);
                    let (tag, text) = typed_cell(&text, *ty).map_err(|e| format!("column `{name}`: {e}"))?;
                    (tag, text.into_owned().into())
                }
            };
            cells.insert(self.builder.column(name), cell);
            Ok(())
        })?;
        Ok(cells.into_iter().collect())
    }

    fn row<'c>(&mut self, line: u32, cells: Result<impl IntoIterator<Item = (usize, Cell<'c>)>, String>) {
        match cells.and_then(|c| self.builder.row(c)) {
            Ok(_) => self.lines.push(line),
            Err(e) => self.bad(line, e),
        }
    }

    fn finish(mut self) -> Option<Table> {
        let data = std::mem::take(&mut self.builder).finish();
        if data.rows == 0 && self.bad == 0 {
            self.found.push(self.spec.problem("file", format!("table `{}` has no rows", self.spec.name)).warn());
        }
        let Some(key) = self.spec.key.clone() else {
            return self.no_key(
                "a key column is required".into(),
                "name the column that selectors are compared with: key = \"ip\"".into(),
            );
        };
        let column = match data.column(&key) {
            Some(c) => c,
            None if data.rows == 0 => return self.result(data, Index::Exact(ExactIndex::with_capacity(0)), Vec::new()),
            None => {
                let why = format!("table `{}` has no column `{key}`", self.spec.name);
                let names: Vec<&str> = data.columns.iter().map(|c| &*c.name).collect();
                return self.no_key(why, format!("the columns of `{}` are {}", self.spec.file, names.join(", ")));
            }
        };
        let expires = self.expiry(&data);
        let index = match self.spec.matching {
            Matching::Exact => self.exact(&data, column),
            Matching::Cidr => self.cidr(&data, column),
        };
        self.result(data, index, expires)
    }

    fn result(self, data: LookupTable, index: Index, expires: Vec<i64>) -> Option<Table> {
        if self.bad > TOLD {
            let more = thousands(self.bad - TOLD);
            let p =
                Problem::at(&self.spec.setting, format!("table `{}`: {more} more rows cannot be used", self.spec.name));
            self.found.push(p);
        }
        (self.bad == 0 && !self.failed).then(|| Table { data: Arc::new(data), index, expires })
    }

    /// Calls `each` with every key of every row.
    fn keys(&mut self, data: &LookupTable, column: usize, mut each: impl FnMut(&str, u32) -> Result<(), String>) {
        for row in 0..data.rows {
            let result = match data.value(column, row) {
                Value::Absent | Value::Null | Value::Str("") => Err("the key is empty".to_string()),
                Value::Obj(_) => Err("the key is an object".to_string()),
                Value::Arr(text) => match serde_json::from_str::<Vec<J>>(text) {
                    Ok(list) => list.iter().try_for_each(|v| match v {
                        J::Null | J::Array(_) | J::Object(_) => {
                            Err(format!("`{v}` in the key's array is not a scalar"))
                        }
                        v => each(&json_cell_text(v), row),
                    }),
                    Err(e) => Err(format!("the key is not a readable array: {e}")),
                },
                scalar => each(scalar.text(), row),
            };
            if let Err(e) = result {
                self.bad(self.lines.get(row as usize).copied().unwrap_or(0), e);
            }
        }
    }

    fn exact(&mut self, data: &LookupTable, column: usize) -> Index {
        let mut index = ExactIndex::with_capacity(data.rows as usize);
        let mut lost = Vec::new();
        self.keys(data, column, |key, row| {
            lost.extend(index.insert(key, row)?);
            Ok(())
        });
        self.duplicates(&lost);
        Index::Exact(index)
    }

    fn cidr(&mut self, data: &LookupTable, column: usize) -> Index {
        let mut blocks = Vec::with_capacity(data.rows as usize);
        self.keys(data, column, |key, row| match Block::parse(key) {
            Some(b) => {
                blocks.push((b, row));
                Ok(())
            }
            None => Err(format!("`{key}` is not an address or a block such as 10.0.0.0/8")),
        });
        let (index, lost) = CidrIndex::build(blocks);
        self.duplicates(&lost);
        Index::Cidr(index)
    }

    fn duplicates(&mut self, lost: &[u32]) {
        let lines = lost.iter().filter_map(|row| self.lines.get(*row as usize));
        if let Some(first) = lines.min() {
            let n = thousands(lost.len());
            let p = Problem::at(
                &self.spec.setting,
                format!(
                    "table `{}`: {n} rows have a key that a later row has as well; the later row is used",
                    self.spec.name
                ),
            );
            self.found.push(p.in_file(&self.spec.file, *first, 1).hint("keep one row for each key").warn());
        }
    }

    fn expiry(&mut self, data: &LookupTable) -> Vec<i64> {
        let Some(e) = &self.spec.expires else { return Vec::new() };
        let Some(column) = data.column(&e.column) else {
            let p = self.spec.problem("expires", format!("table `{}` has no column `{}`", self.spec.name, e.column));
            self.found.push(p.hint("expires.column names the column that says until when a row is valid"));
            self.failed = true;
            return Vec::new();
        };
        let mut out = Vec::with_capacity(data.rows as usize);
        for row in 0..data.rows {
            let v = data.value(column, row);
            out.push(match (v.is_null(), e.format.parse(v.text())) {
                (true, _) => i64::MAX,
                (false, Some(ns)) => ns,
                (false, None) => {
                    let line = self.lines.get(row as usize).copied().unwrap_or(0);
                    self.bad(
                        line,
                        format!("column `{}`: `{}` is not a time of the declared format", e.column, v.text()),
                    );
                    0
                }
            });
        }
        out
    }
}

/// Text of a scalar JSON value as a key.
pub fn json_cell_text(v: &J) -> String {
    match json_cell(v) {
        (tag::TRUE, _) => "true".into(),
        (tag::FALSE, _) => "false".into(),
        (_, text) => text.into_owned(),
    }
}

/// Calls `each` with every leaf and its dotted name. Empty objects are leaves.
pub fn flatten(
    prefix: &str,
    o: &serde_json::Map<String, J>,
    each: &mut dyn FnMut(&str, &J) -> Result<(), String>,
) -> Result<(), String> {
    for (k, v) in o {
        let name = if prefix.is_empty() { k.clone() } else { format!("{prefix}.{k}") };
        match v {
            J::Object(inner) if !inner.is_empty() => flatten(&name, inner, each)?,
            v => each(&name, v)?,
        }
    }
    Ok(())
}

#[cfg(test)]
pub mod tests;
