//! A record as the slow path sees it: values by path, as JSON text or plain text, nothing decoded before it is asked
//! for. Numbers keep the text they were written with.
use crate::flat::FlatMap;
use model::event::{Value, tag};
use model::path::Seg;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A value of the input.
#[derive(Clone, Debug, PartialEq)]
pub enum In<'a> {
    /// JSON text.
    Json(Cow<'a, str>),
    /// Plain text (from a text parser, or made by a transformation).
    Text(Cow<'a, str>),
}

/// Something with values at paths.
pub trait Input {
    /// Value at a plain path.
    fn get<'a>(&'a self, path: &[Seg]) -> Option<In<'a>>;
    /// Value of a key that has several names: as if all were one.
    fn named<'a>(&'a self, names: &[Arc<str>]) -> Option<In<'a>>;
}

/// Keys and raw values of a JSON object, in order.
#[derive(Debug, Default)]
pub struct RawObject<'a> {
    own: Members<'a>,
    /// Members of objects in it that count as its own members.
    inlined: Members<'a>,
}

type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

impl<'a> RawObject<'a> {
    /// Read one level of an object. The whole text is checked to be JSON.
    pub fn parse(text: &'a str) -> Result<RawObject<'a>, serde_json::Error> {
        let mut de = serde_json::Deserializer::from_str(text);
        let object = de.deserialize_map(ObjectVisitor)?;
        de.end()?;
        Ok(object)
    }

    /// Members of objects under these keys, and of such objects in them, count as members.
    pub fn inlining(mut self, keys: &[Arc<str>]) -> RawObject<'a> {
        let mut open: Vec<(Cow<'a, str>, &'a RawValue)> = std::mem::take(&mut self.own);
        open.reverse();
        let own = open.len();
        let mut left = own;
        // What is below `left` is the object's own.
        while let Some((key, v)) = open.pop() {
            let is_own = open.len() < left;
            left = left.min(open.len());
            let inner = keys.iter().any(|k| **k == *key).then(|| RawObject::parse(v.get()).ok()).flatten();
            match inner {
                Some(inner) => open.extend(inner.own.into_iter().rev()),
                None if is_own => self.own.push((key, v)),
                None => self.inlined.push((key, v)),
            }
        }
        self
    }

    /// The member that counts of those with such a key: the last of its own, then the first of the inlined ones.
    fn member(&self, is: impl Fn(&str) -> bool) -> Option<&'a str> {
        let own = self.own.iter().rev().find(|(k, _)| is(k));
        own.or_else(|| self.inlined.iter().find(|(k, _)| is(k))).map(|(_, v)| v.get())
    }

    /// Value of a key; the last one if it is there more than once.
    pub fn key(&self, key: &str) -> Option<&'a str> {
        self.member(|k| k == key)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = RawObject<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut out = RawObject::default();
        while let Some((k, v)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            out.own.push((k.0, v));
        }
        Ok(out)
    }
}

/// A key that borrows where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Raw elements of a JSON array.
pub fn raw_array(text: &str) -> Option<Vec<&str>> {
    struct ArrayVisitor;
    impl<'de> Visitor<'de> for ArrayVisitor {
        type Value = Vec<&'de str>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut out = Vec::new();
            while let Some(v) = seq.next_element::<&'de RawValue>()? {
                out.push(v.get());
            }
            Ok(out)
        }
    }
    let mut de = serde_json::Deserializer::from_str(text);
    de.deserialize_seq(ArrayVisitor).ok()
}

/// Raw value at a path below a JSON text.
pub fn raw_get<'a>(text: &'a str, path: &[Seg]) -> Option<&'a str> {
    let Some((first, rest)) = path.split_first() else { return Some(text) };
    let next = match first {
        Seg::Key(k) => RawObject::parse(text).ok()?.key(k)?,
        Seg::Index(i) => raw_array(text)?.get(usize::try_from(*i).ok()?).copied()?,
        Seg::Each => return None,
    };
    raw_get(next, rest)
}

/// Tag and text of a JSON value: strings unescaped, the rest as written.
pub fn view(json: &str) -> (u8, Cow<'_, str>) {
    let json = json.trim();
    match json.as_bytes().first() {
        Some(b'"') => (tag::STR, unquote(json)),
        Some(b'{') => (tag::OBJ, json.into()),
        Some(b'[') => (tag::ARR, json.into()),
        Some(b't') => (tag::TRUE, json.into()),
        Some(b'f') => (tag::FALSE, json.into()),
        Some(b'n') => (tag::NULL, json.into()),
        Some(_) => (tag::NUM, json.into()),
        None => (tag::ABSENT, json.into()),
    }
}

/// A tag and its text as a value.
pub fn value(tag: u8, text: &str) -> Value<'_> {
    match tag {
        tag::STR => Value::Str(text),
        tag::NUM => Value::Num(text),
        tag::FALSE => Value::Bool(false),
        tag::TRUE => Value::Bool(true),
        tag::OBJ => Value::Obj(text),
        tag::ARR => Value::Arr(text),
        tag::NULL => Value::Null,
        _ => Value::Absent,
    }
}

/// Text of a JSON string. Structural reading lets a lone surrogate pass; it reads as U+FFFD, as in the columns.
fn unquote(json: &str) -> Cow<'_, str> {
    let inner = json.get(1..json.len().max(2) - 1).unwrap_or_default();
    if !inner.contains('\\') {
        return inner.into();
    }
    serde_json::from_str::<String>(json).map_or_else(|_| lossy(inner).into(), Cow::from)
}

fn lossy(inner: &str) -> String {
    let mut bytes = Vec::with_capacity(inner.len());
    match crate::json::unescape_lossy(inner.as_bytes(), &mut bytes) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => inner.to_string(),
    }
}

impl Input for RawObject<'_> {
    fn get<'a>(&'a self, path: &[Seg]) -> Option<In<'a>> {
        let (Seg::Key(k), rest) = path.split_first()? else { return None };
        let raw = raw_get(self.key(k)?, rest)?;
        (raw != "null").then_some(In::Json(raw.into()))
    }

    fn named<'a>(&'a self, names: &[Arc<str>]) -> Option<In<'a>> {
        let raw = self.member(|k| names.iter().any(|n| **n == *k))?;
        (raw != "null").then_some(In::Json(raw.into()))
    }
}

/// A flat map with its line.
pub struct FlatInput<'a> {
    /// Fields.
    pub flat: &'a FlatMap,
    /// The line they were parsed from.
    pub line: &'a str,
}

impl Input for FlatInput<'_> {
    fn get<'a>(&'a self, path: &[Seg]) -> Option<In<'a>> {
        let (Seg::Key(k), rest) = path.split_first()? else { return None };
        let i = self.flat.find(k)?;
        let text = self.flat.text(i, self.line);
        if rest.is_empty() {
            return match self.flat.is_json(i) {
                true => (text.trim() != "null").then_some(In::Json(text.into())),
                false => (!text.is_empty()).then_some(In::Text(text.into())),
            };
        }
        let raw = raw_get(text, rest)?;
        (raw != "null").then_some(In::Json(raw.into()))
    }

    fn named<'a>(&'a self, names: &[Arc<str>]) -> Option<In<'a>> {
        names.iter().rev().find_map(|n| self.get(&[Seg::Key(n.clone())]))
    }
}

impl In<'_> {
    /// The value as text: what concat, split and mask work on. Containers give their JSON.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            In::Text(t) => t.as_ref().into(),
            In::Json(j) => view(j).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Path;

    #[test]
    fn values_by_path() {
        let text = r#"{"a":{"b":[1.50,{"c":"x\u0041"}]},"a2":null,"k":1,"k":2,"q\"k":true}"#;
        let o = RawObject::parse(text).unwrap();
        let get = |p: &str| o.get(&Path::parse(p).unwrap().0).map(|v| v.text().into_owned());
        assert_eq!(get("a.b[0]").as_deref(), Some("1.50"));
        assert_eq!(get("a.b[1].c").as_deref(), Some("xA"));
        assert_eq!(get("a2"), None);
        assert_eq!(get("k").as_deref(), Some("2"));
        assert_eq!(get("a.b[7]"), None);
        assert_eq!(get("a.x.y"), None);
        assert_eq!(o.get(&[Seg::Key("q\"k".into())]), Some(In::Json("true".into())));
        assert!(RawObject::parse("[1]").is_err() && RawObject::parse("{} x").is_err());
    }

    #[test]
    fn flat_values_reach_into_json() {
        let line = r#"x {"a":[5]}"#;
        let mut flat = FlatMap::default();
        flat.begin(line);
        flat.put("t", &line[..1]);
        flat.put_json("j", &line[2..]);
        let input = FlatInput { flat: &flat, line };
        assert_eq!(input.get(&Path::parse("t").unwrap().0), Some(In::Text("x".into())));
        assert_eq!(input.get(&Path::parse("j.a[0]").unwrap().0), Some(In::Json("5".into())));
        assert_eq!(input.get(&Path::parse("t.a").unwrap().0), None);
    }
}
