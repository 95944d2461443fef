//! Hidden values must be gone from everywhere: own column, columns around and inside, whole events, indicators.
use super::*;
use crate::testing::{FromColumns, batch, build, run};
use model::files::MemFiles;
use proptest::prelude::*;
use serde_json::json;

const DOC: &str = r#"{"user":{"email":"Ann@Corp.com","id":7,"tags":["t1",null]},"url":"https://secret.example/x","n":5,
    "list":[{"ip":"10.0.0.1","ok":true},{"ip":"10.0.0.2"}],"p_any_emails":["ann@corp.com","bob@corp.com"],"p_any_domain_names":["secret.example"]}"#;

fn hide(fields: J, columns: &[&str]) -> Arc<EventBatch> {
    run(&mut *build(&MaskPart, json!({ "fields": fields })), batch("T", columns, &[DOC, r#"{"n":null}"#]))
}

#[test]
fn a_value_is_hidden_in_every_column_that_shows_it() {
    let fields = json!([{ "path": "user.email" }, { "path": "list[*].ip", "to": "x" }, { "path": "n", "with": "hash", "salt": "s" }]);
    let b = hide(fields, &["user.email", "user", "list", "list[0].ip", "list[0].ok", "n", "p_any_emails", "url"]);
    let n = crate::conceal::Cover::Hash("s".into()).text("5");
    let want = [
        Value::Str("***"),
        Value::Obj(r#"{"email":"***","id":7,"tags":["t1",null]}"#),
        Value::Arr(r#"[{"ip":"x","ok":true},{"ip":"x"}]"#),
        Value::Str("x"),
        Value::Bool(true),
        Value::Str(&n),
        Value::Arr(r#"["bob@corp.com"]"#),
        Value::Str("https://secret.example/x"),
    ];
    for (slot, want) in want.into_iter().enumerate() {
        assert_eq!(b.value(slot as u32, 0), want, "{}", b.layout.slots[slot]);
        let other = if slot == 5 { Value::Null } else { Value::Absent };
        assert_eq!(b.value(slot as u32, 1), other, "nothing is made up");
    }
    assert!(b.data.ends_with(&[0; PAD]));
    assert_eq!(b.layout.fields.iter().find(|f| &*f.name == "n").unwrap().ty, FieldType::String);
    let event = J::Object(b.layout.full.event(&b, 0));
    assert_eq!(event["user"]["email"], "***");
    assert_eq!(event["list"][1]["ip"], "x");
    assert_eq!(event["n"], json!(n));
    assert_eq!(event["p_any_emails"], json!(["bob@corp.com"]));
    let mut any = Vec::new();
    b.layout.full.any(&b, 0, "p_any_emails", &mut any);
    assert_eq!(any, ["bob@corp.com"]);
}

#[test]
fn columns_inside_of_a_hidden_object_are_gone_and_empty_indicators_too() {
    let b = hide(json!([{ "path": "user" }, { "path": "url" }]), &["user.id", "user", "p_any_domain_names"]);
    assert_eq!((b.value(0, 0), b.value(1, 0)), (Value::Absent, Value::Str("***")));
    let event = b.layout.full.event(&b, 0);
    assert_eq!((&event["user"], event.get("p_any_domain_names")), (&json!("***"), None));
    assert_eq!(event.get("p_any_emails"), Some(&json!(["bob@corp.com"])));
}

#[test]
fn a_view_made_from_columns_is_not_hashed_twice() {
    let mut b = batch("T", &["n"], &[r#"{"n":"v"}"#]);
    b.layout = Arc::new(crate::reshape::with(&b.layout, vec![], Arc::new(FromColumns)));
    let b = run(&mut *build(&MaskPart, json!({ "fields": [{ "path": "n", "with": "hash" }] })), b);
    assert_eq!(b.layout.full.event(&b, 0)["n"], crate::conceal::Cover::Hash(String::new()).text("v"));
}

#[test]
fn other_log_types_are_left_alone_and_layouts_are_stable() {
    let mut map = build(&MaskPart, json!({ "log_types": ["U"], "fields": [{ "path": "n" }] }));
    let b = batch("T", &["n"], &[DOC]);
    let layout = b.layout.clone();
    assert!(Arc::ptr_eq(&run(&mut *map, b).layout, &layout));
    let b = batch("U", &["n"], &[DOC]);
    let (one, two) = (run(&mut *map, b.clone()), run(&mut *map, b));
    assert!(Arc::ptr_eq(&one.layout, &two.layout));
}

#[test]
fn settings_are_checked() {
    let open = |s: J| MaskPart.open("m", &s, &MemFiles::default());
    for (field, setting) in [
        (json!({ "path": "a[" }), "fields[0].path"),
        (json!({ "path": "p_any_emails" }), "fields[0].path"),
        (json!({ "path": "a", "salt": "s" }), "fields[0].salt"),
        (json!({ "path": "a", "with": "hash", "to": "s" }), "fields[0].to"),
    ] {
        let o = open(json!({ "fields": [field] }));
        assert!(o.node.is_none() && o.problems[0].setting == setting, "{:?}", o.problems);
    }
    assert!(open(json!({ "fields": [] })).node.is_none());
    assert_eq!(open(json!({ "fields": [{ "path": "a.b[*].c" }] })).node.unwrap().needs().of("T").len(), 1);
}

fn tree() -> impl Strategy<Value = J> {
    let leaf = prop_oneof![
        Just(J::Null),
        Just(json!(true)),
        (0u32..9).prop_map(|n| json!(n)),
        Just(json!("SECRET")),
        Just(json!("plain"))
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(J::Array),
            prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|m| J::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever the shape of the event and of the columns: behind the mask, every column shows what the whole masked
    /// event shows at its path, or nothing.
    #[test]
    fn columns_and_events_agree(doc in prop::collection::btree_map("[abc]", tree(), 1..4), path in "[abc](\\.[abc]|\\[\\*\\]|\\[[01]\\]){0,3}") {
        let doc = J::Object(doc.into_iter().collect()).to_string();
        let columns = ["a", "b", "c", "a.a", "a.b", "b[0]", "b[0].a", "c.a.b", "a.b.c", "a[1]"];
        let hidden = Path::parse(&path).unwrap();
        let column = column_of(&hidden).0.to_string();
        let mut all = columns.to_vec();
        if !all.contains(&column.as_str()) {
            all.push(&column);
        }
        let b = run(&mut *build(&MaskPart, json!({ "fields": [{ "path": path }] })), batch("T", &all, &[&doc]));
        let event = J::Object(b.layout.full.event(&b, 0));
        for (slot, column) in b.layout.slots.iter().enumerate() {
            let v = b.value(slot as u32, 0);
            match model::json::get(&event, &column.0) {
                Some(want) => prop_assert_eq!(&v.to_json(), want, "{} of {}", column, doc),
                None => prop_assert_eq!(v, Value::Absent, "{} of {}", column, doc),
            }
        }
        for v in model::json::get_all(&event, &hidden) {
            prop_assert!(v.is_null() || v == "***", "{} in {}", path, event);
        }
    }
}
