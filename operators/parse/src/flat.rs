//! The flat map: what a text parser makes of one line, an ordered list of (field name, value text).
//!
//! Most values are parts of the line itself. Those are kept as spans, found by their address, so that the columns can
//! point straight into the raw bytes; other text (decoded, joined, made up) is copied into the map's own arena. One
//! map is reused for all lines of a stream: no allocation per line once it has grown.
use std::ops::Range;

/// Largest number of fields of one line; more are refused (a hostile line cannot grow the map without bound).
pub const MAX_FIELDS: usize = 1024;

/// One value.
#[derive(Clone, Debug)]
struct Entry {
    /// Name, in `names`.
    name: Range<usize>,
    value: FlatValue,
    /// The text is JSON, not plain text.
    json: bool,
}

/// Where the text of a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlatValue {
    /// Bytes of the line.
    Line(Range<usize>),
    /// Bytes of the map's arena.
    Own(Range<usize>),
}

/// Ordered fields of one line.
#[derive(Clone, Debug, Default)]
pub struct FlatMap {
    /// The line of [`FlatMap::begin`], as addresses: tells values that are parts of it from others.
    line: Range<usize>,
    names: String,
    own: String,
    entries: Vec<Entry>,
    overflow: bool,
}

impl FlatMap {
    /// Empty the map and start on `line`.
    pub fn begin(&mut self, line: &str) {
        let at = line.as_ptr() as usize;
        self.line = at..at + line.len();
        self.clear();
    }

    /// Drop the fields, keep the line: a parser that tries another pattern starts over.
    pub fn clear(&mut self) {
        self.names.clear();
        self.own.clear();
        self.entries.clear();
        self.overflow = false;
    }

    /// Add a field. A value that is a part of the line costs no copy.
    pub fn put(&mut self, name: &str, value: &str) {
        self.push(name, value, false);
    }

    /// Add a field whose value is JSON text (an object, an array, a number, a quoted string).
    pub fn put_json(&mut self, name: &str, json: &str) {
        self.push(name, json, true);
    }

    fn push(&mut self, name: &str, value: &str, json: bool) {
        if self.entries.len() >= MAX_FIELDS {
            self.overflow = true;
            return;
        }
        let value = self.locate(value);
        let from = self.names.len();
        self.names.push_str(name);
        self.entries.push(Entry { name: from..self.names.len(), value, json });
    }

    fn locate(&mut self, value: &str) -> FlatValue {
        let at = value.as_ptr() as usize;
        if at >= self.line.start && at + value.len() <= self.line.end {
            let from = at - self.line.start;
            return FlatValue::Line(from..from + value.len());
        }
        let from = self.own.len();
        self.own.push_str(value);
        FlatValue::Own(from..self.own.len())
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is no field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True if the line had more than [`MAX_FIELDS`] fields.
    pub fn overflowed(&self) -> bool {
        self.overflow
    }

    /// Name of field `i`.
    pub fn name(&self, i: usize) -> &str {
        &self.names[self.entries[i].name.clone()]
    }

    /// Where the value of field `i` is.
    pub fn place(&self, i: usize) -> &FlatValue {
        &self.entries[i].value
    }

    /// True if the value of field `i` is JSON text.
    pub fn is_json(&self, i: usize) -> bool {
        self.entries[i].json
    }

    /// Text of field `i`; `line` is the line of [`FlatMap::begin`].
    pub fn text<'a>(&'a self, i: usize, line: &'a str) -> &'a str {
        match &self.entries[i].value {
            FlatValue::Line(r) => &line[r.clone()],
            FlatValue::Own(r) => &self.own[r.clone()],
        }
    }

    /// Index of the field with this name; the last one if there are several.
    pub fn find(&self, name: &str) -> Option<usize> {
        (0..self.entries.len()).rev().find(|&i| self.name(i) == name)
    }

    /// Text of the field with this name.
    pub fn get<'a>(&'a self, name: &str, line: &'a str) -> Option<&'a str> {
        self.find(name).map(|i| self.text(i, line))
    }

    /// Replace the value of field `i`.
    pub fn set(&mut self, i: usize, value: &str) {
        self.entries[i].value = self.locate(value);
    }

    /// Narrow the value of field `i` to a part of itself (trimming).
    pub fn narrow(&mut self, i: usize, part: Range<usize>) {
        let (FlatValue::Line(r) | FlatValue::Own(r)) = &mut self.entries[i].value;
        *r = r.start + part.start..r.start + part.end;
    }

    /// Keep the fields for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut i = 0;
        self.entries.retain(|_| {
            i += 1;
            keep(i - 1)
        });
    }

    /// Fields as owned pairs, for tests and messages.
    pub fn to_pairs(&self, line: &str) -> Vec<(String, String)> {
        (0..self.len()).map(|i| (self.name(i).to_string(), self.text(i, line).to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_line_stay_spans() {
        let line = String::from("one two");
        let mut f = FlatMap::default();
        f.begin(&line);
        f.put("a", &line[4..7]);
        f.put("b", &String::from("two"));
        f.put_json("c", "[1]");
        assert_eq!(*f.place(0), FlatValue::Line(4..7));
        assert!(matches!(f.place(1), FlatValue::Own(_)));
        assert!(f.is_json(2) && !f.is_json(0));
        assert_eq!(f.get("a", &line), Some("two"));
        assert_eq!(f.get("b", &line), Some("two"));
        assert_eq!(f.get("x", &line), None);
        f.narrow(0, 1..3);
        assert_eq!(f.text(0, &line), "wo");
        f.set(1, "new");
        assert_eq!(f.text(1, &line), "new");
        f.retain(|i| i != 1);
        assert_eq!(f.to_pairs(&line), vec![("a".into(), "wo".into()), ("c".into(), "[1]".into())]);
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let mut f = FlatMap::default();
        f.begin("");
        for _ in 0..MAX_FIELDS {
            f.put("a", "b");
        }
        assert!(!f.overflowed());
        f.put("a", "b");
        assert!(f.overflowed());
        assert_eq!(f.len(), MAX_FIELDS);
    }
}
