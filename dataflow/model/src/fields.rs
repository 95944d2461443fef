//! A projection of a sink: which values of a record become which keys of the row, such as `ts=unix_ms(firstEventTime)`.
//!
//! Most projections of alerts ask for a few plain values, so those are written straight from the alert; everything
//! else goes through the record's JSON form, which says the same (tested).
use crate::path::{Path, Seg};
use crate::{Alert, Problem, Record, Result, json, time};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value as J, to_writer};
use std::borrow::Cow;

/// Parsed `fields` of a sink.
pub struct Fields(Vec<Field>);

struct Field {
    /// `"name":` as it is written, with a comma before all but the first.
    key: Vec<u8>,
    path: Path,
    unix_ms: bool,
}

impl Fields {
    /// Parse `name=path` and `name=unix_ms(path)`.
    pub fn parse(fields: &[String]) -> Result<Fields, Vec<Problem>> {
        let (mut out, mut names, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for (i, text) in fields.iter().enumerate() {
            match Field::parse(text, i > 0) {
                Ok((name, _)) if names.contains(&name) => {
                    problems.push(Problem::at(&format!("fields[{i}]"), format!("the key `{name}` is written twice")));
                }
                Ok((name, f)) => {
                    names.push(name);
                    out.push(f);
                }
                Err(e) => problems.push(
                    Problem::at(&format!("fields[{i}]"), e).hint("write \"name=path\" or \"name=unix_ms(path)\""),
                ),
            }
        }
        if fields.is_empty() {
            problems.push(Problem::at("fields", "the list is empty").hint("leave `fields` out to write whole records"));
        }
        if problems.is_empty() { Ok(Fields(out)) } else { Err(problems) }
    }

    /// Write the row of a record.
    pub fn write(&self, record: &Record, out: &mut Vec<u8>) -> Result<()> {
        match record {
            Record::Alert(a) => self.alert(a, out),
            r => self.write_value(&r.to_json(), out),
        }
    }

    /// Write the row of a JSON value.
    pub fn write_value(&self, value: &J, out: &mut Vec<u8>) -> Result<()> {
        for f in &self.0 {
            out.extend_from_slice(&f.key);
            f.value(json::get(value, &f.path.0), out)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn alert(&self, a: &Alert, out: &mut Vec<u8>) -> Result<()> {
        let (mut whole, mut context) = (None, None);
        for f in &self.0 {
            out.extend_from_slice(&f.key);
            if f.alert(a, &mut context, out)? {
                continue;
            }
            let whole = whole.get_or_insert_with(|| a.to_json());
            f.value(json::get(whole, &f.path.0), out)?;
        }
        out.push(b'}');
        Ok(())
    }
}

/// The members of a JSON object as their text: few of them are asked for, so none is made a value.
#[derive(Default)]
struct Members<'a>(Vec<(Key<'a>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// Of an object's text; none of anything else.
    fn of(text: &'a str) -> Members<'a> {
        if json::shallow(text) { serde_json::from_str(text).unwrap_or_default() } else { Members::default() }
    }
    fn get(&self, member: &Seg) -> Option<&'a RawValue> {
        let Seg::Key(name) = member else { return None };
        self.0.iter().rfind(|(key, _)| key.0 == **name).map(|(_, text)| *text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(Key<'de>, &'de RawValue)>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::with_capacity(8);
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(all)
            }
        }
        from.deserialize_map(Object).map(Members)
    }
}

/// A path to one value.
pub fn one_value(path: &str) -> Result<Path, String> {
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
        let inner = from.strip_suffix(')').and_then(|f| f.split_once('('));
        let (path, unix_ms) = match inner {
            Some((f, path)) if f.trim() == "unix_ms" => (path.trim(), true),
            Some((f, _)) => return Err(format!("`{}` is not a function; there is unix_ms", f.trim())),
            None => (from, false),
        };
        let path = one_value(path)?;
        let key = format!("{}{}:", if comma { "," } else { "{" }, J::String(name.into()));
        Ok((name.into(), Field { key: key.into_bytes(), path, unix_ms }))
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

    /// Plain values of an alert, as [`Alert::to_json`] names them. False: look at the whole.
    fn alert<'a>(&self, a: &'a Alert, context: &mut Option<Members<'a>>, out: &mut Vec<u8>) -> Result<bool> {
        let (Some(Seg::Key(root)), rest) = (self.path.0.first(), self.path.0.get(1..).unwrap_or_default()) else {
            return Ok(false);
        };
        if &**root == "alertContext" && !rest.is_empty() {
            let members = context.get_or_insert_with(|| Members::of(a.context.as_deref().unwrap_or_default()));
            return match (members.get(&rest[0]), &rest[1..]) {
                // As it was written, from a JSON value.
                (Some(text), []) if !self.unix_ms => {
                    out.extend_from_slice(text.get().as_bytes());
                    Ok(true)
                }
                (text, deeper) => {
                    let value: Option<J> = text.and_then(|t| serde_json::from_str(t.get()).ok());
                    self.value(value.as_ref().and_then(|v| json::get(v, deeper)), out).map(|()| true)
                }
            };
        }
        if !rest.is_empty() {
            return Ok(false);
        }
        let ms = match &**root {
            "createdAt" => a.created_ms,
            "updatedAt" => a.updated_ms,
            "firstEventTime" => a.first_event_ms,
            "lastEventTime" => a.last_event_ms,
            _ => return self.text(a, root, out),
        };
        match self.unix_ms {
            // Outside the four-digit years the text form is no RFC 3339, and there is no number for it.
            true if time::rfc3339_ns(&time::rfc3339_ms(ms)).is_none() => out.extend_from_slice(b"null"),
            true => to_writer(out, &ms)?,
            false => to_writer(out, &time::rfc3339_ms(ms))?,
        }
        Ok(true)
    }

    fn text(&self, a: &Alert, root: &str, out: &mut Vec<u8>) -> Result<bool> {
        let text = match root {
            "id" => &*a.rule.id,
            "alertId" => &a.id,
            "title" => &a.title,
            "dedup" => &a.dedup,
            "severity" => a.severity.as_str(),
            "type" => a.kind.as_str(),
            _ => return Ok(false),
        };
        match self.unix_ms {
            true => self.value(Some(&J::String(text.into())), out)?,
            false => to_writer(out, text)?,
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RuleMeta;
    use std::sync::Arc;

    pub fn alert() -> Alert {
        Alert {
            id: "ab".repeat(16),
            rule: Arc::new(RuleMeta { id: "AWS.Root".into(), ..RuleMeta::default() }),
            title: "a \"title\"\u{1}".into(),
            dedup: "root".into(),
            context: Some(
                r#"{"ip":"192.0.2.1","deep":{"list":[1,{"x":null}]},"when":"2026-03-01T12:00:00.5Z"}"#.into(),
            ),
            first_event_ms: 1_772_366_400_123,
            ..Alert::default()
        }
    }

    #[test]
    fn keys_in_the_order_given() {
        let f = ["rule=id", "principal=dedup", "ts=unix_ms(firstEventTime)", "ip=alertContext.ip", "no=nothing.here"];
        let f = Fields::parse(&f.map(String::from)).unwrap();
        let mut out = Vec::new();
        f.write(&Record::Alert(Box::new(alert())), &mut out).unwrap();
        let want = r#"{"rule":"AWS.Root","principal":"root","ts":1772366400123,"ip":"192.0.2.1","no":null}"#;
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    /// The short way of an alert and the long way over its JSON say the same, whatever is asked.
    #[test]
    fn straight_from_the_alert_is_what_its_json_says() {
        let mut a = alert();
        let paths: Vec<String> = a.to_json().as_object().unwrap().keys().cloned().collect();
        let more = [
            "alertContext.ip",
            "alertContext.deep.list[1]",
            "alertContext.deep.list[-1].x",
            "alertContext.when",
            "tags[0]",
            "id.x",
            "title[0]",
            "[0]",
        ];
        let paths: Vec<String> = paths.into_iter().chain(more.map(String::from)).collect();
        let all: Vec<String> = paths
            .iter()
            .enumerate()
            .flat_map(|(i, p)| [format!("a{i}={p}"), format!("b{i} = unix_ms( {p} )")])
            .collect();
        let f = Fields::parse(&all).unwrap();
        for _ in 0..3 {
            let (mut short, mut long) = (Vec::new(), Vec::new());
            f.alert(&a, &mut short).unwrap();
            f.write_value(&a.to_json(), &mut long).unwrap();
            assert_eq!(String::from_utf8(short).unwrap(), String::from_utf8(long).unwrap());
            assert!(a.context.is_none() || a.first_event_ms > 0);
            a.context = if a.context.is_some() { Some("not json".into()) } else { None };
            a.created_ms = i64::MAX / 2_000_000;
            a.dedup = "2026-03-01T12:00:00Z".into();
        }
    }

    #[test]
    fn values_of_json_are_written_in_the_order_given() {
        let f = ["r=id", "ts=unix_ms(at)", "ip=ctx.ip", "no=nothing.here", "n = unix_ms(n)"].map(String::from);
        let value =
            serde_json::json!({"id": "A", "at": "2026-03-01T12:00:00.123Z", "ctx": {"ip": "192.0.2.1"}, "n": 5});
        let mut out = Vec::new();
        Fields::parse(&f).unwrap().write_value(&value, &mut out).unwrap();
        let want = r#"{"r":"A","ts":1772366400123,"ip":"192.0.2.1","no":null,"n":5}"#;
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn problems_name_the_entry() {
        let f = ["ok=id", "ok=title", "x", "=id", "y=now(id)", "z=a[*].b", "w=a..b"].map(String::from);
        let p = Fields::parse(&f).err().unwrap();
        let at: Vec<&str> = p.iter().map(|p| p.setting.as_str()).collect();
        assert_eq!(at, ["fields[1]", "fields[2]", "fields[3]", "fields[4]", "fields[5]", "fields[6]"]);
        assert!(Fields::parse(&[]).is_err());
    }
}
