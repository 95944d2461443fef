//! Fills a [`LookupTable`]: row by row, columns as they turn up, equal texts stored once.
use crate::spec::ColumnType;
use hashbrown::{DefaultHashBuilder, HashTable};
use model::LookupTable;
use model::event::tag;
use model::lookup::LookupColumn;
use serde_json::Value as J;
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Rows of one table at most.
pub const MAX_ROWS: u32 = 100_000_000;
/// Bytes of text in one table at most: offsets have 32 bits.
pub const MAX_TEXT: usize = u32::MAX as usize;
/// Texts up to this length are stored once however often they occur.
const SHARED: usize = 128;

/// A cell: its tag and text (empty where the tag says everything).
pub type Cell<'a> = (u8, Cow<'a, str>);

/// Builds one table.
#[derive(Default)]
pub struct Builder {
    table: LookupTable,
    columns: HashMap<Arc<str>, usize>,
    texts: HashTable<u64>,
    hasher: DefaultHashBuilder,
    /// Texts of this column are each other's: looking for equal ones would find none.
    distinct: Option<usize>,
    /// Rows to make room for when a column turns up.
    rows: usize,
}

impl Builder {
    /// An empty table.
    pub fn new(name: &Arc<str>) -> Builder {
        Builder { table: LookupTable { name: name.clone(), ..LookupTable::default() }, ..Builder::default() }
    }

    /// Makes room: as much as will be asked for, so that nothing is moved while it grows. `text` is in bytes.
    pub fn reserve(&mut self, rows: usize, text: usize) {
        self.rows = rows;
        self.table.arena.reserve(text.min(MAX_TEXT));
        self.texts.reserve(rows, |_| 0);
    }

    /// Says that a column holds a text once only, as that of the key does.
    pub fn distinct(&mut self, column: usize) {
        self.distinct = Some(column);
    }

    /// Column of a name, made if it is new.
    pub fn column(&mut self, name: &str) -> usize {
        if let Some(c) = self.columns.get(name) {
            return *c;
        }
        let name: Arc<str> = name.into();
        let (pos, tag) = (Vec::with_capacity(self.rows), Vec::with_capacity(self.rows));
        self.table.columns.push(LookupColumn { name: name.clone(), pos, tag });
        self.columns.insert(name, self.table.columns.len() - 1);
        self.table.columns.len() - 1
    }

    /// Adds a row of `(column, cell)`; columns without a cell are absent in it. Gives the row id.
    pub fn row<'c>(&mut self, cells: impl IntoIterator<Item = (usize, Cell<'c>)>) -> Result<u32, String> {
        let row = self.table.rows;
        if row == MAX_ROWS {
            return Err(format!("a table holds at most {MAX_ROWS} rows"));
        }
        for (column, (tag, text)) in cells {
            let span = if text.is_empty() { 0 } else { self.text(&text, self.distinct != Some(column))? };
            let c = &mut self.table.columns[column];
            c.pos.resize(row as usize, 0);
            c.tag.resize(row as usize, tag::ABSENT);
            c.pos.push(span);
            c.tag.push(tag);
        }
        self.table.rows += 1;
        Ok(row)
    }

    fn text(&mut self, text: &str, shared: bool) -> Result<u64, String> {
        let arena = &self.table.arena;
        let read = |p: u64| &arena[p as u32 as usize..p as u32 as usize + (p >> 32) as usize];
        let shared = shared && text.len() <= SHARED;
        let hash = if shared { self.hasher.hash_one(text) } else { 0 };
        if shared && let Some(span) = self.texts.find(hash, |p| read(*p) == text) {
            return Ok(*span);
        }
        if arena.len() + text.len() > MAX_TEXT {
            return Err(format!("the text of a table holds at most {MAX_TEXT} bytes"));
        }
        let span = arena.len() as u64 | (text.len() as u64) << 32;
        self.table.arena.push_str(text);
        if shared {
            let (arena, hasher) = (&self.table.arena, &self.hasher);
            let read = |p: u64| &arena[p as u32 as usize..p as u32 as usize + (p >> 32) as usize];
            self.texts.insert_unique(hash, span, |p| hasher.hash_one(read(*p)));
        }
        Ok(span)
    }

    /// The finished table.
    pub fn finish(mut self) -> LookupTable {
        for c in &mut self.table.columns {
            c.pos.resize(self.table.rows as usize, 0);
            c.tag.resize(self.table.rows as usize, tag::ABSENT);
            c.pos.shrink_to_fit();
            c.tag.shrink_to_fit();
        }
        self.table.arena.shrink_to_fit();
        self.table
    }
}

/// A JSON value as a cell.
pub fn json_cell(v: &J) -> Cell<'static> {
    match v {
        J::Null => (tag::NULL, "".into()),
        J::Bool(false) => (tag::FALSE, "".into()),
        J::Bool(true) => (tag::TRUE, "".into()),
        J::Number(n) => (tag::NUM, n.to_string().into()),
        J::String(s) => (tag::STR, s.clone().into()),
        J::Array(_) => (tag::ARR, v.to_string().into()),
        J::Object(_) => (tag::OBJ, v.to_string().into()),
    }
}

/// Text (a CSV cell, or a JSON string whose column says it is something else) as a cell of a type. Empty text is no
/// value. The error names what was expected.
pub fn typed_cell(text: &str, ty: ColumnType) -> Result<Cell<'_>, String> {
    let number = |what: &str| match serde_json::from_str::<serde_json::Number>(text) {
        Ok(n) if ty == ColumnType::Float || n.is_i64() || n.is_u64() => Ok((tag::NUM, text.into())),
        _ => Err(format!("`{text}` is not {what}")),
    };
    match ty {
        _ if text.is_empty() => Ok((tag::NULL, "".into())),
        ColumnType::String => Ok((tag::STR, text.into())),
        ColumnType::Int => number("a whole number"),
        ColumnType::Float => number("a number"),
        ColumnType::Boolean => match text {
            "true" => Ok((tag::TRUE, "".into())),
            "false" => Ok((tag::FALSE, "".into())),
            _ => Err(format!("`{text}` is neither true nor false")),
        },
        ColumnType::Json => match serde_json::from_str::<J>(text) {
            Ok(v) => Ok(json_cell(&v)),
            Err(e) => Err(format!("`{text}` is not JSON: {e}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Value;

    #[test]
    fn columns_may_come_late_and_texts_are_shared() {
        let mut b = Builder::new(&"t".into());
        let a = b.column("a");
        b.row([(a, (tag::STR, "x".repeat(100).into()))]).unwrap();
        let late = b.column("n.b");
        b.row([(late, (tag::NUM, "1.50".into())), (a, (tag::STR, "x".repeat(100).into()))]).unwrap();
        b.row([(a, (tag::NULL, "".into()))]).unwrap();
        let t = b.finish();
        assert_eq!(t.arena.len(), 104);
        assert_eq!(
            (t.value(late, 0), t.value(late, 1), t.value(a, 2)),
            (Value::Absent, Value::Num("1.50"), Value::Null)
        );
        assert_eq!(J::Object(t.row_json(1))["n"]["b"].to_string(), "1.5");
    }

    #[test]
    fn typed_cells_say_what_was_expected() {
        use ColumnType::*;
        assert_eq!(typed_cell("12", Int).unwrap(), (tag::NUM, "12".into()));
        assert_eq!(typed_cell("true", Boolean).unwrap().0, tag::TRUE);
        assert_eq!(typed_cell("[1]", Json).unwrap(), (tag::ARR, "[1]".into()));
        assert_eq!(typed_cell("", Int).unwrap().0, tag::NULL);
        for (text, ty, what) in [
            ("1.5", Int, "whole number"),
            ("007", Int, "whole"),
            ("x", Float, "a number"),
            ("yes", Boolean, "neither"),
            ("{", Json, "not JSON"),
        ] {
            assert!(typed_cell(text, ty).unwrap_err().contains(what), "{text}");
        }
    }
}
