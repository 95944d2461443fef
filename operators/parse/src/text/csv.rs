//! Delimited columns, with quotes read as leniently as log producers write them.
use crate::flat::FlatMap;

/// What the first line of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// An event.
    None,
    /// A header that gives the column names.
    Named,
    /// A header, skipped: the schema names the columns.
    Skipped,
}

/// A `csv` parser.
#[derive(Clone, Debug)]
pub struct Csv {
    /// `,`, tab or space.
    pub delimiter: u8,
    /// What the first line is.
    pub header: Header,
    columns: Vec<String>,
}

impl Csv {
    /// From the schema's options.
    pub fn new(delimiter: &str, has_header: bool, columns: Option<Vec<String>>) -> Result<Csv, String> {
        let delimiter = match delimiter {
            "," => b',',
            "\t" | "\\t" => b'\t',
            " " => b' ',
            d => return Err(format!("csv delimiter `{d}` is not one of \",\", tab and space")),
        };
        let header = match (has_header, &columns) {
            (true, None) => Header::Named,
            (true, Some(_)) => Header::Skipped,
            (false, Some(_)) => Header::None,
            (false, None) => return Err("csv needs `columns` or `hasHeader: true`".into()),
        };
        Ok(Csv { delimiter, header, columns: columns.unwrap_or_default() })
    }

    /// Columns the schema names.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Names in a header line.
    pub fn split_names(&self, line: &str) -> Vec<String> {
        let mut names = Vec::new();
        split(line, self.delimiter, |v| names.push(v.trim().trim_start_matches('\u{feff}').to_string()));
        names
    }

    /// Parse a row. Missing columns at the end are empty; too many are an error, and so is any other count than a
    /// header's (`exact`).
    pub fn parse(&self, line: &str, names: &[String], exact: bool, out: &mut FlatMap) -> Result<(), String> {
        let mut n = 0;
        split(line, self.delimiter, |v| {
            if let Some(name) = names.get(n)
                && !name.is_empty()
            {
                out.put(name, v);
            }
            n += 1;
        });
        if n > names.len() || (exact && n != names.len()) {
            return Err(format!("{n} columns where {} are known", names.len()));
        }
        Ok(())
    }
}

/// Split a line. A field that starts with `"` ends at the next `"` before a delimiter or the end; `""` in it is one
/// quote, any other quote is itself. In space-separated text, runs of spaces are kept as empty columns, as written.
pub fn split(line: &str, delimiter: u8, mut field: impl FnMut(&str)) {
    let b = line.as_bytes();
    let mut i = 0;
    loop {
        if b.get(i) == Some(&b'"')
            && let Some(end) = quoted_end(b, i + 1, delimiter)
        {
            let inner = &line[i + 1..end];
            if inner.contains("\"\"") {
                field(&inner.replace("\"\"", "\""))
            } else {
                field(inner)
            }
            i = end + 1;
        } else {
            let end = memchr::memchr(delimiter, &b[i..]).map_or(b.len(), |n| i + n);
            field(&line[i..end]);
            i = end;
        }
        if i >= b.len() {
            return;
        }
        i += 1;
    }
}

/// Position of the closing quote of a field that starts at `from`; `None` if it is never closed.
fn quoted_end(b: &[u8], from: usize, delimiter: u8) -> Option<usize> {
    let mut i = from;
    loop {
        i += memchr::memchr(b'"', &b[i..])?;
        match b.get(i + 1) {
            None => return Some(i),
            Some(&c) if c == delimiter => return Some(i),
            Some(b'"') => i += 2,
            Some(_) => i += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str, d: u8) -> Vec<String> {
        let mut v = Vec::new();
        split(line, d, |f| v.push(f.to_string()));
        v
    }

    #[test]
    fn splits_with_lenient_quotes() {
        assert_eq!(fields("a,b,c", b','), ["a", "b", "c"]);
        assert_eq!(fields(r#"a,"b,c",d"#, b','), ["a", "b,c", "d"]);
        assert_eq!(fields(r#""a""b",c"#, b','), ["a\"b", "c"]);
        assert_eq!(fields(r#"a"b,c"#, b','), ["a\"b", "c"]);
        assert_eq!(fields(r#""a"b",c"#, b','), ["a\"b", "c"]);
        assert_eq!(fields(r#""open,c"#, b','), ["\"open", "c"]);
        assert_eq!(fields("a,,", b','), ["a", "", ""]);
        assert_eq!(fields("", b','), [""]);
        assert_eq!(fields("a \"GET / HTTP\" -", b' '), ["a", "GET / HTTP", "-"]);
        assert_eq!(fields("\"\",x", b','), ["", "x"]);
    }

    #[test]
    fn unquoted_values_are_spans() {
        let c = Csv::new(",", false, Some(vec!["a".into(), "".into(), "b".into()])).unwrap();
        let line = String::from(r#"1,2,"3""#);
        let mut out = FlatMap::default();
        out.begin(&line);
        c.parse(&line, c.columns(), false, &mut out).unwrap();
        assert_eq!(out.to_pairs(&line), vec![("a".into(), "1".into()), ("b".into(), "3".into())]);
        assert!((0..2).all(|i| matches!(out.place(i), crate::flat::FlatValue::Line(_))));
        assert!(c.parse("1,2,3,4", c.columns(), false, &mut out).is_err());
        assert!(c.parse("1", c.columns(), true, &mut out).is_err());
        assert!(c.parse("1", c.columns(), false, &mut out).is_ok());
    }

    #[test]
    fn options_are_checked() {
        assert!(Csv::new(";", true, None).is_err());
        assert!(Csv::new(",", false, None).is_err());
        assert_eq!(Csv::new("\t", true, None).unwrap().header, Header::Named);
    }
}
