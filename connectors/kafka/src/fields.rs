//! A projection: which values of a record become which keys of the row, such as `ts=unix_ms(firstEventTime)`.
use model::{Path, Problem, Result, json, time};
use serde_json::{Value as J, to_writer};

/// Parsed `fields` of a sink.
pub(crate) struct Fields(Vec<Field>);

struct Field {
    /// `"name":` as it is written, with what comes before it.
    key: Vec<u8>,
    path: Path,
    unix_ms: bool,
}

impl Fields {
    /// Parse `name=path` and `name=unix_ms(path)`.
    pub(crate) fn parse(fields: &[String]) -> Result<Fields, Vec<Problem>> {
        let (mut out, mut names, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for (i, text) in fields.iter().enumerate() {
            let at = format!("fields[{i}]");
            match Field::parse(text, i > 0) {
                Ok((name, _)) if names.contains(&name) => {
                    problems.push(Problem::at(&at, format!("the key `{name}` is written twice")));
                }
                Ok((name, f)) => {
                    names.push(name);
                    out.push(f);
                }
                Err(e) => problems.push(Problem::at(&at, e).hint("write \"name=path\" or \"name=unix_ms(path)\"")),
            }
        }
        if fields.is_empty() {
            problems.push(Problem::at("fields", "the list is empty").hint("leave `fields` out to write whole records"));
        }
        if problems.is_empty() { Ok(Fields(out)) } else { Err(problems) }
    }

    /// Write the row of a JSON value.
    pub(crate) fn write(&self, value: &J, out: &mut Vec<u8>) -> Result<()> {
        for f in &self.0 {
            out.extend_from_slice(&f.key);
            f.value(json::get(value, &f.path.0), out)?;
        }
        out.push(b'}');
        Ok(())
    }
}

/// A path to one value.
pub(crate) fn one_value(path: &str) -> Result<Path, String> {
    let path = Path::parse(path)?;
    if path.has_each() { Err(format!("`{path}`: one value is needed; `[*]` is many")) } else { Ok(path) }
}

impl Field {
    fn parse(text: &str, comma: bool) -> Result<(String, Field), String> {
        let (name, from) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`"))?;
        let (name, from) = (name.trim(), from.trim());
        if name.is_empty() {
            return Err(format!("`{text}` has no name before `=`"));
        }
        let (path, unix_ms) = match from.strip_suffix(')').and_then(|f| f.split_once('(')) {
            Some((f, path)) if f.trim() == "unix_ms" => (path.trim(), true),
            Some((f, _)) => return Err(format!("`{}` is not a function; there is unix_ms", f.trim())),
            None => (from, false),
        };
        let key = format!("{}{}:", if comma { "," } else { "{" }, J::String(name.into()));
        Ok((name.into(), Field { key: key.into_bytes(), path: one_value(path)?, unix_ms }))
    }

    fn value(&self, value: Option<&J>, out: &mut Vec<u8>) -> Result<()> {
        match value {
            Some(J::String(s)) if self.unix_ms => match time::rfc3339_ns(s) {
                Some(ns) => to_writer(out, &ns.div_euclid(1_000_000))?,
                None => out.extend_from_slice(b"null"),
            },
            Some(v) if !self.unix_ms || v.is_number() => to_writer(out, v)?,
            _ => out.extend_from_slice(b"null"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_the_order_given_and_problems_with_their_place() {
        let f = ["r=id", "ts=unix_ms(at)", "ip=ctx.ip", "no=nothing.here", "n = unix_ms(n)"].map(String::from);
        let value =
            serde_json::json!({"id": "A", "at": "2026-03-01T12:00:00.123Z", "ctx": {"ip": "192.0.2.1"}, "n": 5});
        let mut out = Vec::new();
        Fields::parse(&f).unwrap().write(&value, &mut out).unwrap();
        let want = r#"{"r":"A","ts":1772366400123,"ip":"192.0.2.1","no":null,"n":5}"#;
        assert_eq!(String::from_utf8(out).unwrap(), want);
        let f = ["ok=id", "ok=title", "x", "=id", "y=now(id)", "z=a[*].b", "w=a..b"].map(String::from);
        let p = Fields::parse(&f).err().unwrap();
        let at: Vec<&str> = p.iter().map(|p| p.setting.as_str()).collect();
        assert_eq!(at, ["fields[1]", "fields[2]", "fields[3]", "fields[4]", "fields[5]", "fields[6]"]);
        assert!(Fields::parse(&[]).is_err());
    }
}
