//! Space-separated columns, some of them in double quotes: the shape of the access logs of load balancers, object
//! stores and web servers. Shared by their native parsers, with their common conventions: `-` means no value, and a
//! number that is none is no value either (functional specification, appendix A1).
use crate::flat::FlatMap;

/// How a quoted column may hold a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// `\"` is a quote inside the value.
    Escaped,
    /// Written as it came: only a quote before a space or the end of the line closes the value.
    Bare,
}

/// Columns of one line, from left to right. Runs of spaces separate once.
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    rest: &'a str,
    quotes: Quotes,
}

impl<'a> Columns<'a> {
    /// Columns of `line`.
    pub fn new(line: &'a str, quotes: Quotes) -> Self {
        Columns { rest: line, quotes }
    }

    /// Next column without its quotes; `Ok(None)` at the end. A value is returned as logged, escapes and all.
    pub fn next_column(&mut self) -> Result<Option<&'a str>, String> {
        let text = self.rest.trim_start_matches(' ');
        if text.is_empty() {
            self.rest = text;
            return Ok(None);
        }
        if let Some(inner) = text.strip_prefix('"') {
            let end = closing_quote(inner, self.quotes).ok_or("a quoted column is not closed")?;
            self.rest = &inner[end + 1..];
            return Ok(Some(&inner[..end]));
        }
        let end = memchr::memchr(b' ', text.as_bytes()).unwrap_or(text.len());
        self.rest = &text[end..];
        Ok(Some(&text[..end]))
    }

    /// Next column, or an error that names the one that is missing.
    pub fn column(&mut self, name: &str) -> Result<&'a str, String> {
        self.next_column()?.ok_or_else(|| format!("the line ends before column `{name}`"))
    }

    /// Next column in `[` and `]`, which may hold spaces.
    pub fn bracketed(&mut self, name: &str) -> Result<&'a str, String> {
        let inner = self
            .rest
            .trim_start_matches(' ')
            .strip_prefix('[')
            .ok_or_else(|| format!("column `{name}` does not start with `[`"))?;
        let end = inner.find(']').ok_or_else(|| format!("column `{name}` is not closed with `]`"))?;
        self.rest = &inner[end + 1..];
        Ok(&inner[..end])
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a str {
        self.rest
    }
}

/// Offset of the quote that closes a value whose opening quote is already gone.
fn closing_quote(inner: &str, quotes: Quotes) -> Option<usize> {
    let bytes = inner.as_bytes();
    memchr::memchr_iter(b'"', bytes).find(|&i| {
        let ends = matches!(bytes.get(i + 1), None | Some(b' '));
        let backslashes = bytes[..i].iter().rev().take_while(|b| **b == b'\\').count();
        ends && (quotes == Quotes::Bare || backslashes % 2 == 0)
    })
}

/// Put a text column; `-` and the empty text are no value.
pub fn text(out: &mut FlatMap, name: &str, value: &str) {
    if !value.is_empty() && value != "-" {
        out.put(name, value);
    }
}

/// Put a whole number; anything else is no value.
pub fn int(out: &mut FlatMap, name: &str, value: &str) {
    if value.parse::<i64>().is_ok() {
        out.put(name, value);
    }
}

/// Put a decimal number such as `0.086` or `-1`; anything else is no value.
pub fn float(out: &mut FlatMap, name: &str, value: &str) {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let decimal = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if decimal(whole) && decimal(part) {
        out.put(name, value);
    }
}

/// Put a list of texts as a JSON array; an empty list is no value.
pub fn list<'a>(out: &mut FlatMap, name: &str, values: impl IntoIterator<Item = &'a str>) {
    let values: Vec<&str> = values.into_iter().filter(|v| !v.is_empty()).collect();
    if !values.is_empty() {
        out.put_json(name, &serde_json::Value::from(values).to_string());
    }
}

/// Put `host:port`, with IPv6 addresses in brackets, as two columns. Without a port the whole is the host.
pub fn host_port(out: &mut FlatMap, host_name: &str, port_name: &str, value: &str) {
    let (host, port) = value.rsplit_once(':').filter(|(_, p)| p.parse::<u16>().is_ok()).unwrap_or((value, ""));
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    text(out, host_name, bare);
    int(out, port_name, port);
}

/// The parts of a request line `GET /path HTTP/1.1`. A part that is not there is empty or `-`; what has no method
/// (garbage sent to the port) is all path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET`.
    pub method: &'a str,
    /// Path or address as sent, possibly with spaces.
    pub target: &'a str,
    /// `HTTP/1.1`.
    pub version: &'a str,
}

impl<'a> Request<'a> {
    /// Split a request line.
    pub fn split(line: &'a str) -> Self {
        let whole = Request { method: "", target: line, version: "" };
        let Some((method, rest)) = line.trim_end().split_once(' ') else { return whole };
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_alphabetic() || b"-_".contains(&b)) {
            return whole;
        }
        match rest.rsplit_once(' ').unwrap_or(("", rest)) {
            (target, version) if version == "-" || version.starts_with("HTTP/") => Request { method, target, version },
            _ => Request { method, target: rest, version: "" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(line: &str, quotes: Quotes) -> Result<Vec<&str>, String> {
        let mut c = Columns::new(line, quotes);
        let mut out = Vec::new();
        while let Some(v) = c.next_column()? {
            out.push(v);
        }
        Ok(out)
    }

    #[test]
    fn splits_quoted_and_bare_columns() {
        assert_eq!(all(r#"a "b c"  - "" "d""#, Quotes::Escaped).unwrap(), ["a", "b c", "-", "", "d"]);
        assert_eq!(all(r#""say \"hi\" now" x"#, Quotes::Escaped).unwrap(), [r#"say \"hi\" now"#, "x"]);
        assert_eq!(all(r#""a"b" c\" x"#, Quotes::Bare).unwrap(), [r#"a"b"#, r#"c\""#, "x"]);
        assert_eq!(all(r#""ends in \\" x"#, Quotes::Escaped).unwrap(), [r"ends in \\", "x"]);
        assert!(all(r#"a "b c"#, Quotes::Escaped).unwrap_err().contains("not closed"));
        assert!(all("", Quotes::Bare).unwrap().is_empty());
    }

    #[test]
    fn names_the_column_that_is_missing() {
        let mut c = Columns::new("[1 2] x", Quotes::Bare);
        assert_eq!(c.bracketed("time").unwrap(), "1 2");
        assert_eq!(c.column("host").unwrap(), "x");
        assert!(c.column("status").unwrap_err().contains("`status`"));
        assert!(Columns::new("1", Quotes::Bare).bracketed("time").is_err());
    }

    #[test]
    fn what_is_no_value_is_left_out() {
        let mut out = FlatMap::default();
        out.begin("");
        text(&mut out, "a", "-");
        int(&mut out, "b", "12x");
        float(&mut out, "c", "1e5");
        list(&mut out, "d", [""]);
        assert!(out.is_empty());
        host_port(&mut out, "host", "port", "[2001:db8::1]:443");
        host_port(&mut out, "h2", "p2", "192.0.2.1");
        float(&mut out, "t", "-1");
        list(&mut out, "l", ["a\"", "b"]);
        let want =
            [("host", "2001:db8::1"), ("port", "443"), ("h2", "192.0.2.1"), ("t", "-1"), ("l", r#"["a\"","b"]"#)];
        assert_eq!(out.to_pairs(""), want.map(|(a, b)| (a.to_string(), b.to_string())));
    }

    #[test]
    fn splits_request_lines() {
        let is = |line, method, target, version| assert_eq!(Request::split(line), Request { method, target, version });
        is("GET /a b HTTP/1.1", "GET", "/a b", "HTTP/1.1");
        is("GET /a", "GET", "/a", "");
        is("- http://www.example.com:80- -", "-", "http://www.example.com:80-", "-");
        is("- - - ", "-", "-", "-");
        is(r"\x16\x03\x01", "", r"\x16\x03\x01", "");
        is("", "", "", "");
    }

    proptest! {
        #[test]
        fn any_text_is_split_without_panic(line in "\\PC{0,60}|[ab \"\\\\\\[\\]-]{0,40}") {
            for quotes in [Quotes::Bare, Quotes::Escaped] {
                if let Ok(columns) = all(&line, quotes) {
                    // Nothing but spaces and quotes is lost.
                    let kept: String = columns.concat().chars().filter(|c| !" \"".contains(*c)).collect();
                    let want: String = line.chars().filter(|c| !" \"".contains(*c)).collect();
                    prop_assert_eq!(kept, want);
                }
            }
            let _ = Request::split(&line);
            let _ = Columns::new(&line, Quotes::Bare).bracketed("x");
        }
    }
}
