//! The search for indicators in the free JSON of AWS events (`requestParameters` and its like), functional spec §2.3.
use crate::found::Found;
use crate::indicator::Scanner;
use crate::json::Strings;
use serde_json::Value;
use std::borrow::Cow;

/// Gather what the keys and strings of `value` give away.
pub fn search(value: &Value, found: &mut Found) {
    walk("", value, found);
}

fn walk(key: &str, value: &Value, found: &mut Found) {
    match value {
        Value::String(s) => string(key, s, found),
        Value::Array(items) => {
            for item in items {
                if key == "tags" {
                    tag(item, found);
                }
                walk(key, item, found);
            }
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| walk(k, v, found)),
        _ => {}
    }
}

fn string(key: &str, s: &str, found: &mut Found) {
    if s.starts_with("arn:") {
        found.scan(Scanner::AwsArn, s);
    }
    match key {
        "ipv6Addresses" | "publicIp" | "privateIpAddress" | "ipAddressV4" => found.scan(Scanner::Ip, s),
        "publicDnsName" | "privateDnsName" | "domain" => found.scan(Scanner::Domain, s),
        k if k == "instanceId" || k.ends_with("InstanceId") => found.scan(Scanner::AwsInstanceId, s),
        k if k == "accountId" || k.ends_with("AccountId") => found.scan(Scanner::AwsAccountId, s),
        _ => {}
    }
}

fn tag(item: &Value, found: &mut Found) {
    if let (Some(k), Some(v)) = (item.get("key").and_then(Value::as_str), item.get("value").and_then(Value::as_str)) {
        found.tag(k, v);
    }
}

/// As [`search`], over JSON text without a tree: this runs for every event where somebody needs the indicators. The
/// text is valid JSON (the walker has read it); on anything else the search ends early. `record`: the strings of the record
/// that the text is a part of, and where it begins there.
pub fn search_text(json: &str, record: Option<(Strings<'_>, usize)>, found: &mut Found) {
    let mut scan = Scan { text: json, at: 0, record, found };
    scan.value("", 0);
}

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = crate::json::MAX_DEPTH;

struct Scan<'a, 'f> {
    text: &'a str,
    at: usize,
    record: Option<(Strings<'f>, usize)>,
    found: &'f mut Found,
}

impl<'a> Scan<'a, '_> {
    fn peek(&mut self) -> Option<u8> {
        let b = self.text.as_bytes();
        while b.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        b.get(self.at).copied()
    }

    /// Read a string that starts here.
    #[inline]
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let from = self.at + 1;
        let (end, escaped) = match self.record {
            Some((strings, start)) => {
                let end = strings.end(start + from)? - start;
                let inside = self.text.as_bytes().get(from..end)?;
                (end, strings.escapes && memchr::memchr(b'\\', inside).is_some())
            }
            None => self.string_end(from)?,
        };
        self.at = end + 1;
        Some(match escaped {
            true => crate::input::view(self.text.get(from - 1..=end)?).1,
            false => self.text.get(from..end)?.into(),
        })
    }

    /// The closing quote, and whether there is an escape before it.
    fn string_end(&self, from: usize) -> Option<(usize, bool)> {
        let b = self.text.as_bytes();
        let (mut i, mut escaped) = (from, false);
        loop {
            i += memchr::memchr2(b'"', b'\\', b.get(i..)?)?;
            if b[i] == b'"' {
                return Some((i, escaped));
            }
            escaped = true;
            i += 2;
        }
    }

    fn value(&mut self, key: &str, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => {
                let s = self.string()?;
                string(key, &s, self.found);
            }
            b'{' if depth < MAX_DEPTH => self.object(false, depth)?,
            b'[' if depth < MAX_DEPTH => self.array(key, depth)?,
            b'{' | b'[' => return None,
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                let end = rest.iter().position(|b| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace());
                self.at += end.unwrap_or(rest.len());
            }
        }
        Some(())
    }

    fn array(&mut self, key: &str, depth: usize) -> Option<()> {
        self.at += 1;
        while self.peek()? != b']' {
            match self.peek()? {
                b'{' if key == "tags" && depth + 1 < MAX_DEPTH => self.object(true, depth + 1)?,
                _ => self.value(key, depth + 1)?,
            }
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(())
    }

    /// `tag`: this is an element of `tags`, with a `key` and a `value`.
    fn object(&mut self, tag: bool, depth: usize) -> Option<()> {
        self.at += 1;
        let (mut tag_key, mut tag_value) = (None, None);
        while self.peek()? != b'}' {
            let key = self.string()?;
            if self.peek()? != b':' {
                return None;
            }
            self.at += 1;
            if tag && self.peek()? == b'"' && matches!(&*key, "key" | "value") {
                let s = self.string()?;
                string(&key, &s, self.found);
                if key == "key" { tag_key = Some(s) } else { tag_value = Some(s) }
            } else {
                self.value(&key, depth + 1)?;
            }
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        if let (Some(k), Some(v)) = (tag_key, tag_value) {
            self.found.tag(&k, &v);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Columns, Trie, Walker};
    use serde_json::json;

    #[test]
    fn finds_what_the_keys_name() {
        let v = json!({
            "a": {"roleArn": "arn:aws:iam::123456789012:role/R", "sourceInstanceId": "i-1", "note": "not arn:x"},
            "tags": [{"key": "env", "value": "prod"}, {"key": "x"}],
            "ipv6Addresses": ["::1", "no"],
            "targetAccountId": "210987654321",
            "n": [{"publicIp": "1.1.1.1", "publicDnsName": "h.example"}, 5, null],
        });
        let mut f = Found::default();
        search(&v, &mut f);
        let mut g = Found::default();
        search_text(&v.to_string(), None, &mut g);
        assert_eq!(f.clone().finish(), g.finish());
        let got: Vec<(&str, Vec<String>)> = f.finish().into_iter().map(|(a, v)| (a.name(), v)).collect();
        assert_eq!(
            got,
            vec![
                ("p_any_aws_account_ids", vec!["123456789012".into(), "210987654321".into()]),
                ("p_any_aws_arns", vec!["arn:aws:iam::123456789012:role/R".into()]),
                ("p_any_aws_instance_ids", vec!["i-1".into()]),
                ("p_any_aws_tags", vec!["env:prod".into()]),
                ("p_any_domain_names", vec!["h.example".into()]),
                ("p_any_ip_addresses", vec!["1.1.1.1".to_string(), "::1".to_string()]),
            ]
        );
    }

    #[test]
    fn text_and_tree_find_the_same() {
        for v in [
            json!("arn:aws:s3:::b"),
            json!({"a\"b": {"instanceId": "i-\u{e9}\\", "tags": [[{"key": "k", "value": "v"}], {"key": "a\"", "value": ""}]}}),
            json!({"domain": ["d.example", {"domain": "e.example"}], "n": [1.5, true, null, {}, []]}),
            json!([]),
        ] {
            for text in [v.to_string(), serde_json::to_string_pretty(&v).unwrap()] {
                let (mut f, mut g) = (Found::default(), Found::default());
                search(&v, &mut f);
                search_text(&text, None, &mut g);
                assert_eq!(f.clone().finish(), g.finish(), "{text}");
                // The same as a part of a record that was walked.
                let record = format!(r#"{{"first": "a\"b", "it": {text}}}"#);
                let mut walker = Walker::new(true);
                let (mut cols, mut side) = (Columns::new(0, 1), Vec::new());
                let trie = Trie::compile(&[]);
                walker.walk(&trie, record.as_bytes(), 0, record.len(), 0, &mut cols, &mut side, record.len()).unwrap();
                let start = record.len() - 1 - text.len();
                let mut h = Found::default();
                search_text(&record[start..start + text.len()], Some((walker.strings(), start)), &mut h);
                assert_eq!(f.finish(), h.finish(), "{text}");
            }
        }
        for bad in ["", "{", "[1", "{\"a\"", "{\"a\":", "\"x", "{\"a\" 1}", "[\"\\"] {
            search_text(bad, None, &mut Found::default());
        }
    }
}
