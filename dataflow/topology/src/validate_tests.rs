//! Each keyword on its own, and the choice of the alternative that was meant.
use super::*;
use model::units::{Dur, Rate, Size};
use schemars::JsonSchema;
use serde_json::json;

fn found(schema: J, value: J) -> Vec<String> {
    let say = |v: Violation| {
        let hint = v.hint.map(|h| format!(" ({h})")).unwrap_or_default();
        format!("{}: {}{hint}", show_path(&v.path), v.message)
    };
    validate(&schema, &value, "the node").into_iter().map(say).collect()
}

#[allow(dead_code)]
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Settings {
    /// Where to read. More text.
    path: String,
    /// How long.
    #[schemars(default)]
    window: Option<Dur>,
    #[schemars(default)]
    size: Option<Size>,
    #[schemars(default)]
    rate: Option<Rate>,
    #[schemars(default)]
    level: Option<Level>,
    #[schemars(default)]
    table: Vec<Table>,
    #[schemars(default)]
    small: Option<u8>,
    #[schemars(default)]
    names: std::collections::BTreeMap<String, Vec<String>>,
    #[schemars(default)]
    format: Option<Format>,
    #[schemars(default)]
    either: Option<Either>,
}
#[allow(dead_code)]
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Table {
    /// File of the table.
    file: String,
    #[schemars(default, range(min = 1, max = 9))]
    rows: Option<i64>,
}
#[allow(dead_code)]
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Level {
    /// Low.
    Low,
    /// High.
    High,
}
#[allow(dead_code)]
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Format {
    Csv { separator: String },
    Json { depth: u32 },
}
#[allow(dead_code)]
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Either {
    One(String),
    Many(Vec<String>),
}

fn settings(value: J) -> Vec<String> {
    found(serde_json::to_value(schemars::schema_for!(Settings)).unwrap(), value)
}

#[test]
fn a_valid_value_has_no_findings() {
    let all = json!({
        "path": "x", "window": "90s", "size": "1MiB", "rate": "10/s", "level": "low", "small": 255,
        "table": [{ "file": "f", "rows": 9 }], "names": { "AWS.X": ["a"] },
        "format": { "type": "json", "depth": 1 }, "either": ["a"]
    });
    assert_eq!(settings(all), Vec::<String>::new());
    assert_eq!(settings(json!({ "path": "x", "either": "a" })), Vec::<String>::new());
}

#[test]
fn keys_that_are_unknown_or_missing() {
    assert_eq!(settings(json!({ "pth": "x" })), ["pth: the node has no setting `pth` (did you mean `path`?)"]);
    assert_eq!(settings(json!({})), ["path: `path` is missing (`path`: Where to read)"]);
    assert_eq!(
        settings(json!({ "path": "x", "table": [{ "file": "f" }, { "fil": "f", "zzz": 1 }] })),
        [
            "table[1].fil: `table[1]` has no setting `fil` (did you mean `file`?)",
            "table[1].zzz: `table[1]` has no setting `zzz` (it has: `file`, `rows`)",
        ]
    );
}

#[test]
fn values_of_a_wrong_kind() {
    let with = |key: &str, v: J| {
        let mut all = json!({ "path": "x" });
        all[key] = v;
        settings(all).join("; ")
    };
    assert_eq!(with("path", json!(1)), "path: `path` must be a string, got the integer 1");
    assert_eq!(
        with("window", json!(90)),
        "window: `window` must be a duration such as \"90s\" (ms, s, m, h, d), got the integer 90 (write \"90s\" or \"90ms\")"
    );
    assert!(with("window", json!("9 weeks")).contains("`9 weeks` is not a duration"));
    assert!(with("size", json!(1048576)).ends_with("(write \"1MiB\")"));
    assert!(with("rate", json!(10)).ends_with("(write \"10/h\")"));
    assert_eq!(
        with("level", json!("hgih")),
        "level: `level` must be one of `low`, `high`, got `hgih` (did you mean `high`?)"
    );
    assert_eq!(with("small", json!(256)), "small: `small` must be at most 255, got 256");
    assert_eq!(with("small", json!("7")), "small: `small` must be an integer, got a string (write it without quotes)");
    assert_eq!(with("small", json!(1.5)), "small: `small` must be an integer, got the number 1.5");
    assert_eq!(
        with("table", json!([{ "file": "f", "rows": 0 }])),
        "table[0].rows: `table[0].rows` must be at least 1, got 0"
    );
    assert_eq!(
        with("names", json!({ "AWS.X": "a" })),
        "names.\"AWS.X\": `names.\"AWS.X\"` must be a list, got a string (write it as a list: [\"a\"])"
    );
}

#[test]
fn unions_report_the_alternative_that_was_meant() {
    let format = |v: J| settings(json!({ "path": "x", "format": v })).join("; ");
    assert_eq!(
        format(json!({ "type": "jsn", "depth": 1 })),
        "format.type: `format.type` must be one of `csv`, `json`, got `jsn` (did you mean `json`?)"
    );
    assert_eq!(format(json!({ "depth": 1 })), "format.type: `format.type` is missing (one of `csv`, `json`)");
    assert_eq!(
        format(json!({ "type": "json", "depth": "x" })),
        "format.depth: `format.depth` must be an integer, got a string"
    );
    assert_eq!(format(json!(3)), "format: `format` must be a table, got the integer 3");
    let either = |v: J| settings(json!({ "path": "x", "either": v })).join("; ");
    assert_eq!(either(json!(3)), "either: `either` must be a list or a string, got the integer 3");
    assert_eq!(either(json!(["a", 3])), "either[1]: `either[1]` must be a string, got the integer 3");
}

#[test]
fn the_other_keywords() {
    assert_eq!(found(json!(false), json!(1)), [": the node is not allowed here"]);
    assert_eq!(found(json!({ "const": 1 }), json!(2)), [": the node must be `1`, got `2`"]);
    assert_eq!(found(json!({ "minLength": 1 }), json!("")), [": the node must not be empty"]);
    assert_eq!(found(json!({ "maxLength": 2 }), json!("žlu")), [": the node has 3 characters; at most 2 are allowed"]);
    assert_eq!(found(json!({ "minItems": 1 }), json!([])), [": the node must not be empty"]);
    assert_eq!(found(json!({ "maxItems": 1 }), json!([1, 2])), [": the node has 2 elements; at most 1 are allowed"]);
    assert_eq!(found(json!({ "uniqueItems": true }), json!(["a", "a"])), ["[1]: `a` is in the list twice"]);
    assert_eq!(found(json!({ "exclusiveMinimum": 0 }), json!(0)), [": the node must be more than 0, got 0"]);
    assert_eq!(
        found(json!({ "pattern": "^a+$", "description": "Only a. Nothing else." }), json!("b")),
        [": the node does not have the form `^a+$`, got `b` (Only a)"]
    );
    let prefix = json!({ "prefixItems": [{ "type": "string" }], "items": { "type": "integer" } });
    assert_eq!(found(prefix, json!(["a", "b"])), ["[1]: `[1]` must be an integer, got a string"]);
    let flat = json!({
        "allOf": [{ "$ref": "#/$defs/a" }], "properties": { "b": true }, "unevaluatedProperties": false,
        "$defs": { "a": { "type": "object", "properties": { "a": { "type": "integer" } } } }
    });
    assert_eq!(found(flat.clone(), json!({ "a": 1, "b": 2 })), Vec::<String>::new());
    assert_eq!(found(flat, json!({ "a": 1, "c": 2 })), ["c: the node has no setting `c` (it has: `a`, `b`)"]);
    let loops = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } });
    assert_eq!(found(loops, json!(1)), [": the node is nested too deeply"]);
}

#[test]
fn variables_become_numbers_where_numbers_are_wanted() {
    let schema = serde_json::to_value(schemars::schema_for!(Settings)).unwrap();
    let at = |p: &str, t: &str| coerce(&schema, &crate::item::read_path(p), t);
    assert_eq!(at("small", "7"), Some(json!(7)));
    assert_eq!(at("small", "x"), None);
    assert_eq!(at("table[3].rows", "7"), Some(json!(7)));
    assert_eq!(at("format.depth", "7"), Some(json!(7)));
    assert_eq!(at("path", "7"), None);
    assert_eq!(at("window", "7"), None);
    assert_eq!(at("names.x[0]", "7"), None);
}
