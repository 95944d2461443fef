//! Lookup tables as immutable columns, and the row ids an enrichment node joins to a batch.
use crate::value::{Value, tag};
use std::sync::Arc;

/// Row id that means "no row".
pub const NO_ROW: u32 = u32::MAX;

/// Values of one column of a lookup table: spans into the table's arena.
#[derive(Clone, Debug, Default)]
pub struct LookupColumn {
    /// Column name; nested columns are joined with dots.
    pub name: Arc<str>,
    /// `offset | length << 32` into [`LookupTable::arena`].
    pub pos: Vec<u64>,
    /// See [`tag`].
    pub tag: Vec<u8>,
}

/// An immutable lookup table. A refresh makes a new one; nothing is ever changed in place.
#[derive(Clone, Debug, Default)]
pub struct LookupTable {
    /// `LookupName`.
    pub name: Arc<str>,
    /// The bytes behind all columns.
    pub arena: String,
    /// Columns, in file order.
    pub columns: Vec<LookupColumn>,
    /// Number of rows.
    pub rows: u32,
}

impl LookupTable {
    /// Column by name (`a.b` for nested rows).
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| &*c.name == name)
    }
    /// Value in a column; absent for [`NO_ROW`].
    pub fn value(&self, column: usize, row: u32) -> Value<'_> {
        let c = &self.columns[column];
        let Some(&t) = c.tag.get(row as usize) else { return Value::Absent };
        let p = c.pos[row as usize];
        let s = || &self.arena[p as u32 as usize..p as u32 as usize + (p >> 32) as usize];
        match t {
            tag::STR => Value::Str(s()),
            tag::NUM => Value::Num(s()),
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::OBJ => Value::Obj(s()),
            tag::ARR => Value::Arr(s()),
            tag::NULL => Value::Null,
            _ => Value::Absent,
        }
    }
    /// A row as JSON; nested columns (`a.b`) become nested objects, nulls are left out.
    pub fn row_json(&self, row: u32) -> serde_json::Map<String, serde_json::Value> {
        let mut out = serde_json::Map::new();
        for (i, c) in self.columns.iter().enumerate() {
            let v = self.value(i, row);
            if v.is_null() {
                continue;
            }
            let mut at = &mut out;
            let mut parts = c.name.split('.').peekable();
            while let Some(p) = parts.next() {
                if parts.peek().is_none() {
                    at.insert(p.into(), v.to_json());
                    break;
                }
                let next = at.entry(p).or_insert_with(|| serde_json::Value::Object(Default::default()));
                match next.as_object_mut() {
                    Some(o) => at = o,
                    None => break,
                }
            }
        }
        out
    }
}

/// Result of one (table, selector) for every row of a batch.
#[derive(Clone, Debug)]
pub struct EnrichColumn {
    /// The table; its address identifies the version.
    pub table: Arc<LookupTable>,
    /// Selector as written in the lookup's `LogTypeMap`: a path or a `p_any_*` field.
    pub selector: Arc<str>,
    /// The rows that matched.
    pub rows: EnrichRows,
}

/// Rows that matched, per event.
#[derive(Clone, Debug)]
pub enum EnrichRows {
    /// Scalar selector: a row id or [`NO_ROW`] per event; `p_match` is the selector's value.
    One(Vec<u32>),
    /// Array selector: `(p_match, row id)` pairs per event.
    Many(Vec<Vec<(String, u32)>>),
}
