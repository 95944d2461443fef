//! Whole events against what the schema language promises.
use super::*;
use crate::schema::load;
use serde_json::json;

fn schema(fields: &str) -> Schema {
    load("t.yml", &format!("version: 0\nschema: Custom.Test\nfields:\n{fields}"), None).unwrap()
}

fn run(fields: &str, record: J) -> Result<J, Miss> {
    decode_json(&schema(fields), &record.to_string()).map(J::Object)
}

const TYPES: &str = r#"
  - { name: s, type: string }
  - { name: i, type: int }
  - { name: f, type: float }
  - { name: b, type: boolean }
  - { name: t, type: timestamp, timeFormat: rfc3339 }
  - { name: o, type: object, fields: [ { name: a, type: bigint }, { name: need, type: string, required: true } ] }
  - { name: l, type: array, element: { type: int } }
  - { name: j, type: json }
  - { name: e, type: object, isEmbeddedJSON: true, fields: [ { name: x, type: string } ] }
"#;

#[test]
fn types_are_coerced_and_order_is_the_schemas() {
    let got = run(
        TYPES,
        json!({"e": "{\"x\": 5, \"y\": 1}", "j": {"k": null}, "l": ["1", 2, null], "o": {"z": 1, "a": "7", "need": "n"},
            "t": "2024-01-01T00:00:00Z", "b": "true", "f": "1.5", "i": "42", "s": 5, "unknown": 1}),
    );
    let want = json!({"s": "5", "i": 42, "f": 1.5, "b": true, "t": "2024-01-01T00:00:00Z", "o": {"a": 7, "need": "n"},
        "l": [1, 2, null], "j": {"k": null}, "e": {"x": "5"}});
    let got = got.unwrap();
    assert_eq!(got, want);
    assert_eq!(got.to_string(), want.to_string(), "order");
}

#[test]
fn numbers_as_text_keep_their_spelling() {
    let s = schema("  - { name: s, type: string }\n");
    assert_eq!(J::Object(decode_json(&s, r#"{"s":1.50}"#).unwrap()), json!({"s": "1.50"}));
}

#[test]
fn nulls_and_empties_are_left_out() {
    let got = run(TYPES, json!({"s": "", "i": null, "l": [], "j": {}, "e": "", "o": {"need": "x", "a": null}}));
    assert_eq!(got.unwrap(), json!({"o": {"need": "x"}}));
}

#[test]
fn faults_fail_at_the_top_only() {
    assert!(matches!(run(TYPES, json!({"i": "x"})), Err(Miss::WrongType { want: "int", got: "a string", .. })));
    assert!(matches!(run(TYPES, json!({"t": "now"})), Err(Miss::BadTime(f)) if &*f == "t"));
    assert!(matches!(run(TYPES, json!({"s": {}})), Err(Miss::WrongType { .. })));
    assert!(matches!(run(TYPES, json!({"e": "no json"})), Err(Miss::WrongType { .. })));
    assert_eq!(run(TYPES, json!({"o": {"need": "x", "a": "no"}})).unwrap(), json!({"o": {"need": "x", "a": "no"}}));
    assert_eq!(run(TYPES, json!({"o": {}})), Err(Miss::Missing("o.need".into())));
    assert_eq!(
        run("  - { name: r, type: json, required: true }\n", json!({"r": null})),
        Err(Miss::Missing("r".into()))
    );
    assert!(matches!(decode_json(&schema(TYPES), "[1]"), Err(Miss::Json(JsonError::NotAnObject))));
    assert!(matches!(decode_json(&schema(TYPES), "{\"a\":}"), Err(Miss::Json(JsonError::Syntax { .. }))));
}

#[test]
fn transformations_run_in_order() {
    let fields = r#"
  - { name: userId, type: string, rename: { from: PIN }, mask: { type: redact, to: "X" } }
  - { name: again, type: string, copy: { from: userId } }
  - { name: both, type: string, concat: { paths: [again, b.c, none], separator: "-" } }
  - { name: part, type: int, split: { from: both, separator: "-", index: 1 } }
  - { name: last, type: string, split: { from: both, separator: "-", index: -1 } }
  - { name: none, type: string, split: { from: both, separator: "-", index: 9 } }
  - { name: o, type: object, fields: [ { name: m, type: string, mask: { type: hash } }, { name: n, type: int, rename: { from: N } } ] }
"#;
    let got =
        run(fields, json!({"PIN": 1234, "b": {"c": "77"}, "o": {"m": "abc", "N": 3}, "userId": "not this"})).unwrap();
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(
        got,
        json!({"userId": "X", "again": "1234", "both": "1234-77", "part": 77, "last": "77", "o": {"m": hash, "n": 3}})
    );
}

#[test]
fn flat_text_is_typed() {
    let s = schema(TYPES);
    let mut flat = FlatMap::default();
    let line = "5 true {\"need\":\"n\"} x";
    flat.begin(line);
    flat.put("i", &line[..1]);
    flat.put("b", &line[2..6]);
    flat.put("o", &line[7..19]);
    flat.put("j", &line[20..]);
    flat.put_json("l", "[1,\"2\"]");
    let got = J::Object(decode_flat(&s, &flat, line).unwrap());
    assert_eq!(got, json!({"i": 5, "b": true, "o": {"need": "n"}, "l": [1, 2], "j": "x"}));
    flat.put("i", "x");
    assert!(matches!(decode_flat(&s, &flat, line), Err(Miss::WrongType { .. })));
}

#[test]
fn members_of_inlined_objects_are_those_of_the_record() {
    let fields = r##"
  - { name: id, type: int, required: true, aliases: [event_id, "#text"] }
  - { name: user, type: string }
  - { name: o, type: object, fields: [ { name: user, type: string } ] }
"##;
    let text = format!("version: 0\nschema: Custom.Test\ninline: [Event, System, Data, id]\nfields:\n{fields}");
    let s = load("t.yml", &text, None).unwrap();
    let run = |text: &str| decode_json(&s, text).map(J::Object);
    for same in [
        r#"{"id":7,"user":"ann","o":{"user":"bob"}}"#,
        r##"{"Event":{"System":{"id":{"a":1,"#text":"7"}},"Data":{"user":"ann","o":{"user":"bob"}}}}"##,
        r#"{"event_id":"7","Data":{"user":"ann"},"o":{"user":"bob"},"x":{"Data":{"user":"eve"}}}"#,
        // A member of the record itself counts, else the first.
        r#"{"event_id":1,"user":"ann","Data":{"user":"eve","id":8},"o":{"user":"bob"},"id":7}"#,
        r#"{"System":{"id":7,"user":"ann"},"Data":{"user":"eve","id":8,"o":{"user":"eve"}},"o":{"user":"bob"}}"#,
        r#"{"Data":"text","Event":[{"user":"eve"}],"id":7,"user":"ann","o":{"user":"bob"}}"#,
    ] {
        assert_eq!(run(same).unwrap(), json!({"id": 7, "user": "ann", "o": {"user": "bob"}}), "{same}");
    }
    assert_eq!(run(r#"{"id":7,"event_id":null}"#), Err(Miss::Missing("id".into())));
}
