//! Syslog with structured data (RFC 5424):
//! `<34>1 2003-10-11T22:14:15.003Z host app 42 ID47 [id key="value"] message`.
//!
//! Best effort: a line may end after any header field, and what should be structured data but is not counts as
//! message. Priority, version and a time (or `-`) are required.
use super::columns::text;
use super::{Native, NativeStream, clock, syslog};
use crate::flat::FlatMap;
use serde_json::{Map, Value};

/// `Syslog.RFC5424`.
pub struct Rfc5424;

impl Native for Rfc5424 {
    fn name(&self) -> &'static str {
        "syslog_rfc5424"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(Rfc5424)
    }
}

impl NativeStream for Rfc5424 {
    fn parse(&mut self, line: &str, _header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        let (priority, rest) = syslog::priority(line).ok_or("the line does not start with a priority like `<34>`")?;
        let (version, rest) = word(rest);
        if !(1..=3).contains(&version.len()) || clock::number(version.as_bytes()).is_none_or(|v| v == 0) {
            return Err("no version follows the priority".into());
        }
        let (time, mut rest) = word(rest);
        if time != "-" && clock::rfc3339(time).is_none() {
            return Err("neither an RFC 3339 time nor `-` follows the version".into());
        }
        syslog::put_priority(out, priority);
        out.put("version", version);
        text(out, "timestamp", time);
        for name in ["hostname", "appname", "procid", "msgid"] {
            let value;
            (value, rest) = word(rest);
            text(out, name, value);
        }
        let mut message = rest;
        if let Some((data, after)) = structured_data(rest) {
            if !data.is_empty() {
                out.put_json("structured_data", &Value::Object(data).to_string());
            }
            message = after;
        }
        syslog::put_message(out, message);
        Ok(Some(()))
    }
}

/// Text up to the next space, and what follows that space.
fn word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// `-` or `[id name="value" …][id …]` at the start of `text`: elements by id, and what follows. Of two parameters of
/// one name the last is kept.
fn structured_data(text: &str) -> Option<(Map<String, Value>, &str)> {
    let mut data = Map::new();
    if let Some(rest) = text.strip_prefix('-') {
        return (rest.is_empty() || rest.starts_with(' ')).then_some((data, rest));
    }
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix('[') {
        let end = inner.find([' ', ']'])?;
        let (id, mut inner) = inner.split_at(end);
        let element = data.entry(id).or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
        loop {
            inner = inner.trim_start_matches(' ');
            if let Some(after) = inner.strip_prefix(']') {
                rest = after;
                break;
            }
            let (name, after) = inner.split_once("=\"")?;
            if name.is_empty() || name.contains([' ', ']', '"']) {
                return None;
            }
            let (value, after) = quoted(after)?;
            element.insert(name.to_string(), Value::String(value));
            inner = after;
        }
    }
    (!data.is_empty() && (rest.is_empty() || rest.starts_with(' '))).then_some((data, rest))
}

/// A parameter's value up to its closing quote, with `\"`, `\\` and `\]` decoded, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next_if(|(_, c)| ['"', '\\', ']'].contains(c)) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::testing::{field, parse};
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = r#"<165>1 2026-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 ID47 [ex@32473 iut="3" note="a \"b\" \] \\ \n"][origin ip="192.0.2.9"][empty] %% It's time"#;

    #[test]
    fn reads_every_part() {
        let f = parse(&Rfc5424, LINE).unwrap().unwrap();
        for (name, want) in [
            ("priority", "165"),
            ("facility", "20"),
            ("severity", "5"),
            ("version", "1"),
            ("timestamp", "2026-08-24T05:14:15.000003-07:00"),
            ("hostname", "192.0.2.1"),
            ("appname", "myproc"),
            ("procid", "8710"),
            ("msgid", "ID47"),
            (
                "structured_data",
                r#"{"ex@32473":{"iut":"3","note":"a \"b\" ] \\ \\n"},"origin":{"ip":"192.0.2.9"},"empty":{}}"#,
            ),
            ("message", "%% It's time"),
        ] {
            assert_eq!(field(&f, name), Some(want), "{name}");
        }
    }

    #[test]
    fn reads_lines_that_lack_parts() {
        for (line, message) in [
            ("<34>1 - - - - - -", None),
            ("<34>1 2026-10-11T22:14:15Z host", None),
            ("<34>1 - - su - ID47 - \u{feff}'su root' failed", Some("'su root' failed")),
            ("<34>1 - - su - - no structured data", Some("no structured data")),
            (r#"<34>1 - - su - - [a b="c] x"#, Some(r#"[a b="c] x"#)),
            (r#"<34>1 - - su - - [a b="c"]x"#, Some(r#"[a b="c"]x"#)),
        ] {
            let f = parse(&Rfc5424, line).unwrap().unwrap();
            assert_eq!(field(&f, "message"), message, "{line}");
            assert_eq!(field(&f, "structured_data"), None, "{line}");
        }
    }

    #[test]
    fn other_formats_are_refused() {
        for line in [
            "<34>Oct 11 22:14:15 mymachine su: x",
            "1 2026-10-11T22:14:15Z h",
            "<34>0 - - - - - -",
            "<34>1 yesterday h",
            "<192>1 - - - - - -",
            "x",
        ] {
            assert!(parse(&Rfc5424, line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "\\PC{0,60}|<13>1 - h a p m [\\[\\]a-c=\" \\\\]{0,40}") {
            let _ = parse(&Rfc5424, line.trim());
        }
    }
}
