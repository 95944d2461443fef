//! YAML of rule files: the 1.2 dialect as JSON values, and where things stand in the text.
//!
//! Only `true` and `false` are booleans (`On`, `Yes`, `off` are text), timestamps are text, numbers with leading zeros
//! are text. A key that occurs twice, a tag, and a number that JSON has no form for are errors. `<<` merges.
use model::path::Seg;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as J};
use std::fmt;

/// A place in the text, 1-based.
pub type Place = (u32, u32);

/// Parse; the error has its place and message.
pub fn parse(text: &str) -> Result<J, (Place, String)> {
    Any.deserialize(yaml_serde::Deserializer::from_str(text)).map_err(|e| {
        let message = e.to_string();
        // The place is told apart; the text repeats it.
        let message = message.split(" at line ").next().unwrap_or_default().to_string();
        (place(&e).unwrap_or((1, 1)), message)
    })
}

/// Place of the deepest part of a path that exists: of a key, or of an item of a list.
pub fn locate(text: &str, path: &[Seg]) -> Place {
    (1..=path.len())
        .rev()
        .find_map(|n| {
            let found = Find(&path[..n]).deserialize(yaml_serde::Deserializer::from_str(text));
            found.err().filter(|e| e.to_string().contains(FOUND)).and_then(|e| place(&e))
        })
        .unwrap_or((1, 1))
}

fn place(e: &yaml_serde::Error) -> Option<Place> {
    e.location().map(|l| (l.line() as u32, l.column() as u32))
}

/// Any value, as JSON.
struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = J;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<J, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = J;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value without a tag")
    }
    fn visit_bool<E>(self, v: bool) -> Result<J, E> {
        Ok(J::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<J, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<J, E> {
        Ok(v.into())
    }
    fn visit_u128<E: Error>(self, v: u128) -> Result<J, E> {
        self.visit_f64(v as f64)
    }
    fn visit_i128<E: Error>(self, v: i128) -> Result<J, E> {
        self.visit_f64(v as f64)
    }
    fn visit_f64<E: Error>(self, v: f64) -> Result<J, E> {
        Number::from_f64(v).map(J::Number).ok_or_else(|| E::custom(format!("the number {v} is not allowed")))
    }
    fn visit_str<E>(self, v: &str) -> Result<J, E> {
        Ok(J::String(v.into()))
    }
    fn visit_unit<E>(self) -> Result<J, E> {
        Ok(J::Null)
    }
    fn visit_none<E>(self) -> Result<J, E> {
        Ok(J::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<J, A::Error> {
        let mut out = Vec::new();
        while let Some(v) = seq.next_element_seed(Any)? {
            out.push(v);
        }
        Ok(J::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<J, A::Error> {
        let (mut out, mut merged) = (Map::new(), Vec::new());
        while let Some(key) = map.next_key_seed(Key(|k: &str| match out.contains_key(k) {
            true => Some(format!("the key `{k}` occurs twice")),
            false => None,
        }))? {
            let value = map.next_value_seed(Any)?;
            match (key.as_str(), value) {
                ("<<", J::Object(o)) => merged.push(o),
                ("<<", J::Array(list)) if list.iter().all(J::is_object) => {
                    merged.extend(list.into_iter().filter_map(|v| match v {
                        J::Object(o) => Some(o),
                        _ => None,
                    }));
                }
                (_, value) => drop(out.insert(key, value)),
            }
        }
        for (k, v) in merged.into_iter().flatten() {
            out.entry(k).or_insert(v);
        }
        Ok(J::Object(out))
    }
}

/// A key of a mapping, as text. The function may refuse it, with the reason; the error then stands at the key.
struct Key<F>(F);

impl<'de, F: FnOnce(&str) -> Option<String>> DeserializeSeed<'de> for Key<F> {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<String, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de, F: FnOnce(&str) -> Option<String>> Visitor<'de> for Key<F> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a text as key")
    }
    fn visit_str<E: Error>(self, v: &str) -> Result<String, E> {
        match (self.0)(v) {
            Some(refused) => Err(E::custom(refused)),
            None => Ok(v.into()),
        }
    }
    fn visit_bool<E: Error>(self, v: bool) -> Result<String, E> {
        self.visit_str(if v { "true" } else { "false" })
    }
    fn visit_i64<E: Error>(self, v: i64) -> Result<String, E> {
        self.visit_str(&v.to_string())
    }
    fn visit_u64<E: Error>(self, v: u64) -> Result<String, E> {
        self.visit_str(&v.to_string())
    }
    fn visit_f64<E: Error>(self, v: f64) -> Result<String, E> {
        self.visit_str(&v.to_string())
    }
    fn visit_unit<E: Error>(self) -> Result<String, E> {
        self.visit_str("null")
    }
}

const FOUND: &str = "\u{1}found";

/// Walks to a path and fails there: the parser adds the place to the error.
struct Find<'a>(&'a [Seg]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(FOUND)
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_u128<E: Error>(self, _: u128) -> Result<(), E> {
        self.scalar()
    }
    fn visit_i128<E: Error>(self, _: i128) -> Result<(), E> {
        self.scalar()
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar()
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let [Seg::Index(want), rest @ ..] = self.0 else { return self.scalar() };
        for _ in 0..*want {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Find(rest))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let [Seg::Key(want), rest @ ..] = self.0 else { return self.scalar() };
        let here = |k: &str| (rest.is_empty() && k == &**want).then(|| FOUND.to_string());
        while let Some(key) = map.next_key_seed(Key(here))? {
            match key == **want {
                true => map.next_value_seed(Find(rest))?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl Find<'_> {
    fn scalar<E: Error>(self) -> Result<(), E> {
        if self.0.is_empty() { Err(E::custom(FOUND)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Path;
    use serde_json::json;

    #[test]
    fn dialect() {
        let got = parse(
            "a: [On, yes, off, true, False]\nt: 2024-01-02\nt2: 2024-01-02T03:04:05Z\nz: 007\nn: [1, -2, 1.5, 1e3]\n\
             s: '1'\ne:\nq: ~\n12: k\nbase: &b {x: 1, y: 2}\nm:\n  <<: *b\n  y: 3\n",
        );
        let want = json!({
            "a": ["On", "yes", "off", true, false], "t": "2024-01-02", "t2": "2024-01-02T03:04:05Z", "z": "007",
            "n": [1, -2, 1.5, 1000.0], "s": "1", "e": null, "q": null, "12": "k", "base": {"x": 1, "y": 2},
            "m": {"y": 3, "x": 1},
        });
        assert_eq!(got, Ok(want));
    }

    #[test]
    fn errors_have_a_place() {
        for (text, line, what) in [
            ("a: 1\nb: 2\na: 3\n", 3, "`a` occurs twice"),
            ("a: 1\nb: [1, 2\n", 3, "did not find"),
            ("a: !env X\n", 1, "without a tag"),
            ("a: 1\nb: .nan\n", 2, "NaN is not allowed"),
            ("a: {b: 1, b: 2}\n", 1, "`b` occurs twice"),
        ] {
            let ((l, c), message) = parse(text).unwrap_err();
            assert!(l == line && c > 0 && message.contains(what), "{text:?}: {l}:{c} {message}");
        }
    }

    #[test]
    fn finds_places() {
        let text = "Name: x\nTests:\n  - Name: one\n    Log: {a: 1, b: [5, 6]}\n  - Name: two\n    Log:\n      c: 1\n";
        for (path, want) in [
            ("Name", (1, 1)),
            ("Tests", (2, 1)),
            ("Tests[0].Log", (4, 5)),
            ("Tests[0].Log.b", (4, 17)),
            ("Tests[0].Log.b[1]", (4, 24)),
            ("Tests[1].Name", (5, 5)),
            ("Tests[1].Log.c", (7, 7)),
            ("Tests[1].ExpectedResult", (5, 5)),
            ("Missing.key", (1, 1)),
        ] {
            assert_eq!(locate(text, &Path::parse(path).unwrap().0), want, "{path}");
        }
    }
}
