//! `regex`: a regular expression (RE2 syntax) with grok names; its named groups are the fields.
use super::grok;
use crate::flat::FlatMap;
use regex::Regex;
use std::collections::BTreeMap;

/// Largest compiled expression, bytes.
const MAX_COMPILED: usize = 16 << 20;

/// A `regex` parser.
#[derive(Clone, Debug)]
pub struct RegexFormat {
    regex: Regex,
    /// `(capture group, field)`, in order of the expression.
    groups: Vec<(usize, String)>,
}

impl RegexFormat {
    /// Compile `match` (joined without separators) with `patternDefinitions`.
    pub fn new(parts: &[String], definitions: &BTreeMap<String, String>) -> Result<RegexFormat, String> {
        let text = parts.concat();
        if text.is_empty() {
            return Err("regex needs an expression in `match`".into());
        }
        let e = grok::expand(&text, definitions)?;
        let regex = regex::RegexBuilder::new(&e.regex)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|err| format!("the expression does not compile: {err}"))?;
        let mut groups = Vec::new();
        for (i, name) in regex.capture_names().enumerate() {
            let Some(name) = name else { continue };
            let grok = name.strip_prefix('g').and_then(|n| n.parse::<usize>().ok()).and_then(|n| e.fields.get(n));
            groups.push((i, grok.map_or(name, String::as_str).to_string()));
        }
        if groups.is_empty() {
            return Err("the expression names no field: use %{PATTERN:field} or (?P<field>…)".into());
        }
        Ok(RegexFormat { regex, groups })
    }

    /// Match a line. Groups that took no part give no field.
    pub fn parse(&self, line: &str, out: &mut FlatMap) -> Result<(), String> {
        let mut at = self.regex.capture_locations();
        self.regex.captures_read(&mut at, line).ok_or("the line does not match the expression")?;
        for (group, field) in &self.groups {
            if let Some((from, to)) = at.get(*group) {
                out.put(field, &line[from..to]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_groups_are_fields() {
        let parts = ["^%{IP:ip} ".to_string(), r"(?P<verb>\w+)(?: %{INT:n})?$".to_string()];
        let r = RegexFormat::new(&parts, &BTreeMap::new()).unwrap();
        let line = "1.2.3.4 GET";
        let mut out = FlatMap::default();
        out.begin(line);
        r.parse(line, &mut out).unwrap();
        assert_eq!(out.to_pairs(line), vec![("ip".into(), "1.2.3.4".into()), ("verb".into(), "GET".into())]);
        assert!(r.parse("x GET", &mut out).is_err());
    }

    #[test]
    fn bad_expressions_are_refused() {
        for bad in ["", "(", "abc", "(?=x)%{IP:a}"] {
            assert!(RegexFormat::new(&[bad.to_string()], &BTreeMap::new()).is_err(), "{bad}");
        }
    }
}
