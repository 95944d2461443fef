//! Text parsers: a line becomes a [`FlatMap`] of strings, which the schema then types (functional spec §1.7).
//!
//! Every parser shares the same options around it, in this order: skip lines at the start of a stream, skip comment
//! lines, parse, trim values, drop empty values, expand new fields from templates. Header and line counts are state
//! of the stream, which lives for one split; where a split starts in the middle of a file, the file's first line comes
//! with it, so a header is known there too and lines are skipped only where the file really starts.
mod csv;
mod fastmatch;
mod grok;
mod regexp;
mod template;

pub use csv::{Csv, Header};
pub use fastmatch::FastMatch;
pub use regexp::RegexFormat;
pub use template::Template;

use crate::flat::FlatMap;
use crate::native::{Native, NativeStream};
use std::fmt;
use std::sync::Arc;

/// How a record becomes fields.
#[derive(Clone, Debug)]
pub enum Parser {
    /// The record is a JSON object.
    Json,
    /// The record is a line of text.
    Text(Arc<TextParser>),
}

/// A text parser with its options.
#[derive(Debug)]
pub struct TextParser {
    /// What splits the line.
    pub format: Format,
    /// What is done around it.
    pub common: Common,
}

/// What splits the line.
pub enum Format {
    /// Delimited columns.
    Csv(Csv),
    /// Literal patterns with holes.
    FastMatch(FastMatch),
    /// A regular expression.
    Regex(RegexFormat),
    /// Code.
    Native(&'static dyn Native),
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Csv(_) => "csv",
            Format::FastMatch(_) => "fastmatch",
            Format::Regex(_) => "regex",
            Format::Native(n) => n.name(),
        })
    }
}

/// Options that every text parser has.
#[derive(Debug, Default)]
pub struct Common {
    /// Values treated as null.
    pub empty_values: Vec<String>,
    /// Trim every value.
    pub trim_space: bool,
    /// New fields from templates, in order.
    pub expand: Vec<(String, Template)>,
    /// Lines with this prefix are accepted and give no event.
    pub skip_prefix: String,
    /// Lines to skip at the start of a stream.
    pub skip_lines: usize,
}

impl TextParser {
    /// State for one stream of lines.
    pub fn stream(self: &Arc<Self>) -> TextStream {
        let native = match &self.format {
            Format::Native(n) => Some(n.new_stream()),
            _ => None,
        };
        TextStream { parser: self.clone(), lines: 0, from_start: false, header: None, native }
    }
}

/// A text parser on one stream.
pub struct TextStream {
    parser: Arc<TextParser>,
    /// Lines seen.
    lines: usize,
    /// The stream starts at the start of the file.
    from_start: bool,
    /// Column names read from the header line.
    header: Option<Vec<String>>,
    native: Option<Box<dyn NativeStream>>,
}

impl TextStream {
    /// See [`NativeStream::clock`].
    pub fn clock(&mut self, now_ms: i64) {
        if let Some(native) = &mut self.native {
            native.clock(now_ms);
        }
    }

    /// Parse a line, trimmed and not empty. See [`NativeStream::parse`] for the answer.
    pub fn parse(&mut self, line: &str, header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        out.begin(line);
        let parser = self.parser.clone();
        let header = header.map(str::trim);
        if self.lines == 0 {
            self.from_start = header.is_none_or(|h| h == line);
        }
        self.lines += 1;
        let common = &parser.common;
        if self.from_start && self.lines <= common.skip_lines {
            return Ok(None);
        }
        if !common.skip_prefix.is_empty() && line.starts_with(&common.skip_prefix) {
            return Ok(None);
        }
        let event = match &parser.format {
            Format::Csv(csv) => self.csv(csv, common.skip_lines, line, header, out)?,
            Format::FastMatch(f) => f.parse(line, out).map(Some)?,
            Format::Regex(r) => r.parse(line, out).map(Some)?,
            Format::Native(n) => match &mut self.native {
                Some(stream) => stream.parse(line, header, out)?,
                None => return Err(format!("native parser {} has no stream", n.name())),
            },
        };
        if out.overflowed() {
            return Err(format!("more than {} fields in one line", crate::flat::MAX_FIELDS));
        }
        if event.is_some() {
            common.finish(line, out);
        }
        Ok(event)
    }

    /// The header line is the file's first line where it is known, else the first line of the stream (after the
    /// skipped ones). A line equal to it is a header again (files that were joined), never an event.
    fn csv(
        &mut self,
        csv: &Csv,
        skip: usize,
        line: &str,
        header: Option<&str>,
        out: &mut FlatMap,
    ) -> Result<Option<()>, String> {
        if csv.header == Header::None {
            return csv.parse(line, csv.columns(), false, out).map(Some);
        }
        let header = header.filter(|_| skip == 0);
        let is_header = match header {
            Some(h) => h == line,
            None => self.header.is_none() && (self.from_start || skip == 0),
        };
        if self.header.is_none()
            && let Some(text) = header.or(is_header.then_some(line))
        {
            self.header = Some(csv.split_names(text));
        }
        if is_header {
            return Ok(None);
        }
        match (csv.header, &self.header) {
            (Header::Named, Some(names)) => csv.parse(line, names, true, out).map(Some),
            (Header::Named, None) => Err("the header line of this stream is not known".into()),
            _ => csv.parse(line, csv.columns(), false, out).map(Some),
        }
    }
}

impl Common {
    /// Trim, drop empty values, expand.
    fn finish(&self, line: &str, out: &mut FlatMap) {
        if self.trim_space {
            for i in 0..out.len() {
                let t = out.text(i, line);
                let from = t.len() - t.trim_start().len();
                let to = (t.trim_end().len()).max(from);
                if to - from < t.len() {
                    out.narrow(i, from..to);
                }
            }
        }
        let empty = |v: &str| v.is_empty() || self.empty_values.iter().any(|e| e == v);
        let drop: Vec<bool> = match (0..out.len()).any(|i| empty(out.text(i, line))) {
            true => (0..out.len()).map(|i| empty(out.text(i, line))).collect(),
            false => Vec::new(),
        };
        if !drop.is_empty() {
            out.retain(|i| !drop[i]);
        }
        for (name, template) in &self.expand {
            let v = template.render(|f| out.get(f, line));
            let v = if self.trim_space { v.trim() } else { &v };
            if !empty(v) {
                out.put(name, v);
            }
        }
    }
}

#[cfg(test)]
mod tests;
