//! The text of the files a topology is written in, and places in it.
//!
//! Everything that can be wrong has a [`Place`] (file and byte range), turned into line, column and the line itself
//! only when it is reported. Columns count characters, so that they agree with what an editor shows.
use std::ops::Range;

/// A range of bytes in one of the files.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Index into [`Texts`].
    pub file: usize,
    /// Bytes.
    pub span: Range<usize>,
}

/// A place as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Line from 1.
    pub line: u32,
    /// Column in characters from 1.
    pub col: u32,
    /// Characters covered on that line, at least 1.
    pub len: u32,
    /// The line, without its end.
    pub text: String,
}

/// One file.
struct Text {
    name: String,
    text: String,
    /// Byte offset of the start of each line.
    starts: Vec<usize>,
}

/// All files read so far.
#[derive(Default)]
pub(crate) struct Texts(Vec<Text>);

impl Texts {
    /// Add a file; gives its index.
    pub fn add(&mut self, name: &str, text: String) -> usize {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        self.0.push(Text { name: name.into(), text, starts });
        self.0.len() - 1
    }
    /// Name of a file.
    pub fn name(&self, file: usize) -> &str {
        self.0.get(file).map_or("", |t| &t.name)
    }
    /// Text of a file.
    pub fn text(&self, file: usize) -> &str {
        self.0.get(file).map_or("", |t| &t.text)
    }
    /// Line, column and text of a place. A range over several lines is cut at the end of its first one.
    pub fn position(&self, place: &Place) -> Option<Position> {
        let t = self.0.get(place.file)?;
        let start = floor(&t.text, place.span.start);
        let line = t.starts.partition_point(|&s| s <= start) - 1;
        let from = t.starts[line];
        let to = t.starts.get(line + 1).map_or(t.text.len(), |n| n - 1);
        let text = t.text[from..to].trim_end_matches('\r');
        let start = start.min(from + text.len());
        let end = floor(&t.text, place.span.end).clamp(start, from + text.len());
        let chars = |r: Range<usize>| t.text[r].chars().count() as u32;
        Some(Position {
            line: line as u32 + 1,
            col: chars(from..start) + 1,
            len: chars(start..end).max(1),
            text: text.into(),
        })
    }
    /// `file:line:col` of a place.
    pub fn at(&self, place: &Place) -> String {
        match self.position(place) {
            Some(p) => format!("{}:{}:{}", self.name(place.file), p.line, p.col),
            None => self.name(place.file).into(),
        }
    }
}

/// Nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_and_lines() {
        let mut t = Texts::default();
        let f = t.add("x.toml", "a = 1\r\nß = \"žluť\" # é\r\n".into());
        let at = |span| t.position(&Place { file: f, span }).unwrap();
        assert_eq!(at(0..1), Position { line: 1, col: 1, len: 1, text: "a = 1".into() });
        let p = at(7 + 5..7 + 5 + 8);
        assert_eq!((p.line, p.col, p.len, p.text.as_str()), (2, 5, 6, "ß = \"žluť\" # é"));
        assert_eq!(at(0..20).len, 5, "cut at the end of the line, before CR");
        assert_eq!((at(900..901).line, at(900..901).col), (3, 1), "past the end");
        assert_eq!(t.at(&Place { file: f, span: 4..5 }), "x.toml:1:5");
    }
}
