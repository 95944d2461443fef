//! The fast path against the truth: for any record, both refuse it, or every column has the value
//! that the whole event has.
use crate::decoder::Decoder;
use crate::schema::Schema;
use crate::testing::{Rig, assert_agree, batch, everything, schema};
use proptest::prelude::*;
use serde_json::{Map, Value as J, json};
use std::sync::Arc;

const FIELDS: &str = r##"
  - { name: s, type: string, indicators: [ip, email], required: true }
  - { name: v, type: string, validate: { deny: [no] } }
  - { name: i, type: smallint, aliases: [I, "#i"] }
  - { name: big, type: bigint, rename: { from: BIG } }
  - { name: f, type: float }
  - { name: b, type: boolean }
  - { name: t, type: timestamp, timeFormat: unix, isEventTime: true }
  - name: o
    type: object
    fields:
      - { name: s, type: string, indicators: [hostname] }
      - { name: need, type: int, required: true }
      - { name: t, type: timestamp, timeFormat: rfc3339, isEventTime: true }
      - { name: o, type: object, fields: [ { name: deep, type: json, required: true } ] }
      - { name: l, type: array, element: { type: string, indicators: [username] } }
  - { name: l, type: array, element: { type: object, fields: [ { name: x, type: string, indicators: [md5] } ] } }
  - { name: li, type: array, element: { type: int } }
  - { name: j, type: json }
  - { name: e, type: object, isEmbeddedJSON: true, fields: [ { name: x, type: int }, { name: y, type: json } ] }
  - { name: m, type: string, rename: { from: secret }, mask: { type: hash, salt: z } }
  - { name: om, type: object, fields: [ { name: m, type: string, mask: { type: redact, to: X } }, { name: n, type: int } ] }
  - { name: c, type: string, copy: { from: o.s } }
  - { name: cc, type: string, concat: { paths: [s, o.need, j], separator: ":" } }
  - { name: sp, type: int, split: { from: cc, separator: ":", index: 1 } }
  - { name: sp2, type: string, split: { from: s, separator: ".", index: -1 } }
"##;

fn test_schema(name: &str) -> Arc<Schema> {
    schema(name, "inline: [in, i]\n", FIELDS)
}

/// Values that mean something to some type.
fn value() -> impl Strategy<Value = J> {
    let scalar = prop_oneof![
        Just(J::Null),
        any::<bool>().prop_map(J::from),
        any::<i16>().prop_map(J::from),
        any::<i64>().prop_map(J::from),
        (-1e6f64..1e6).prop_map(J::from),
        prop::sample::select(vec![
            "",
            "x",
            "no",
            "12",
            "007",
            " 5 ",
            "1.5",
            "true",
            "1.2.3.4",
            "a@b",
            "h.example",
            "é\"\\\u{1}",
            "null",
            "2024-01-01T00:00:00Z",
            "{\"x\":\"3\",\"y\":[1]}",
            "[1]",
            "{}",
            "d41d8cd98f00b204e9800998ecf8427e",
        ])
        .prop_map(J::from),
    ];
    scalar.prop_recursive(3, 24, 4, |inner| {
        let key = prop::sample::select(vec![
            "s", "need", "t", "o", "l", "x", "y", "m", "n", "a", "b", "deep", "tags", "i", "I", "#i", "in",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(J::from),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|kv| J::Object(kv.into_iter().map(|(k, v)| (k.to_string(), v)).collect())),
        ]
    })
}

/// Mostly good records: each field gets a fitting value or, rarely, anything.
fn record() -> impl Strategy<Value = J> {
    let good = json!({"s": "1.2.3.4", "v": "yes", "i": "12", "BIG": 5, "f": 1.5, "b": true, "t": 1700000000.5,
        "o": {"s": "h.example", "need": 1, "t": "2024-01-01T00:00:00Z", "o": {"deep": 1}, "l": ["u", 5]},
        "l": [{"x": "d41d8cd98f00b204e9800998ecf8427e"}], "li": [1, "2"], "j": {"a": 1, "b": [null]},
        "e": "{\"x\":\"3\"}", "secret": "abc", "om": {"m": "q", "n": "4"}, "unknown": 1});
    let mut keys: Vec<String> = good.as_object().unwrap().keys().cloned().collect();
    // Another name of a field, and objects whose members are the record's.
    keys.extend(["#i", "in", "in"].map(String::from));
    prop::collection::vec((prop::sample::select(keys), value()), 0..3).prop_map(move |changes| {
        let mut r = good.as_object().unwrap().clone();
        for (k, v) in changes {
            r.insert(k, v);
        }
        J::Object(r)
    })
}

fn check_one(name: &str, r: &J) -> Result<(), TestCaseError> {
    let s = test_schema(name);
    let text = r.to_string();
    let truth = Decoder::new(s.clone()).decode(&text, None);
    let out = Rig::new(std::slice::from_ref(&s), &everything(&s)).run(batch(&[text.as_bytes()], true));
    match truth {
        Err(miss) => {
            // Where a record has two faults, either may be named.
            prop_assert_eq!(out.rejected.len(), 1, "{} should be refused: {}", text, miss);
        }
        Ok(event) => {
            prop_assert_eq!(out.events.len(), 1, "{}: {:?}", text, out.rejected);
            let own: Map<String, J> = out.whole().remove(0).as_object().unwrap().clone();
            let own: Map<String, J> = own.into_iter().filter(|(k, _)| !k.starts_with("p_")).collect();
            prop_assert_eq!(Some(own), event);
            assert_agree(&s, &out.events[0]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn columns_are_the_whole_event(r in record()) {
        check_one("Custom.Test", &r)?;
    }

    #[test]
    fn columns_are_the_whole_event_of_aws(r in record()) {
        check_one("AWS.Test", &r)?;
    }

    /// The same for text: a line with the values as columns.
    #[test]
    fn columns_of_text_are_the_whole_event(values in prop::collection::vec("[a-z0-9.@:{}\\[\\]\"-]{0,6}", 1..8)) {
        let head = "parser:\n  csv:\n    columns: [s, i, o, l, j, b, secret, none]\n    emptyValues: ['-']\n    expandFields: { x: '%{s}/%{i}' }";
        let fields = r#"
  - { name: s, type: string, indicators: [hostname] }
  - { name: i, type: int }
  - { name: o, type: object, fields: [ { name: a, type: int } ] }
  - { name: l, type: array, element: { type: int } }
  - { name: j, type: json }
  - { name: b, type: string }
  - { name: m, type: string, rename: { from: secret }, mask: { type: redact, to: X } }
  - { name: x, type: string }
  - { name: c, type: string, concat: { paths: [s, b, x], separator: "+" } }
"#;
        let s = schema("Custom.Csv", head, fields);
        let line = values.join(",");
        let truth = Decoder::new(s.clone()).decode(&line, Some("h"));
        let mut raw = batch(&[line.as_bytes()], true);
        raw.header = Some(Arc::from(&b"h"[..]));
        let out = Rig::new(std::slice::from_ref(&s), &everything(&s)).run(raw);
        match truth {
            Err(miss) => prop_assert_eq!(out.rejected.len(), 1, "{} should be refused: {}", line, miss),
            Ok(None) => prop_assert_eq!(out.count("parsed"), 0),
            Ok(Some(event)) => {
                prop_assert_eq!(out.events.len(), 1, "{}: {:?}", line, out.rejected);
                let own = out.whole().remove(0).as_object().unwrap().clone();
                let own: Map<String, J> = own.into_iter().filter(|(k, _)| !k.starts_with("p_")).collect();
                prop_assert_eq!(own, event);
                assert_agree(&s, &out.events[0]);
            }
        }
    }
}

#[test]
fn a_masked_value_is_in_no_column() {
    let s = test_schema("Custom.Test");
    let text = json!({"s": "x", "secret": "TOPSECRET", "om": {"m": "TOPSECRET", "n": 1}}).to_string();
    let out = Rig::new(std::slice::from_ref(&s), &everything(&s)).run(batch(&[text.as_bytes()], true));
    let b = &out.events[0];
    for slot in 0..b.layout.slots.len() as u32 {
        assert!(!b.value(slot, 0).text().contains("TOPSECRET"), "{}", b.layout.slots[slot as usize]);
    }
    assert_eq!(b.tag.len(), b.layout.slots.len() * b.stride, "hidden slots are cut off");
    assert!(!out.whole()[0].to_string().contains("TOPSECRET"));
}
