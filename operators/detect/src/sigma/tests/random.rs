//! The columnar engine against the plain evaluator: random Sigma rules on random events.
//!
//! Fields and values come from small pools, so that searches are true often enough.
use super::compile;
use crate::columns::Program;
use crate::columns::tests::{LOG_TYPE, event, fast, layout_for, slow};
use crate::rule::Rule;
use proptest::prelude::*;
use serde_json::{Value as J, json};

fn text() -> impl Strategy<Value = J> {
    let texts =
        vec!["x", "Y", "xy", "*", "x*", "*Y", "?", "", "äö", "10.*", "admin?x", "ad*-X", "1", "2.5", "true", "8", "-x"];
    prop_oneof![
        8 => prop::sample::select(texts).prop_map(J::from),
        1 => prop::sample::select(vec![json!(1), json!(2.5), json!(0), json!(true), json!(false)]),
    ]
}

fn texts() -> impl Strategy<Value = J> {
    prop_oneof![text(), prop::collection::vec(text(), 1..12).prop_map(J::Array)]
}

fn search_item() -> impl Strategy<Value = (String, J)> {
    let field = || prop::sample::select(vec!["a", "b", "c.a", "c.b", "l", "ip", "c"]);
    let words = [
        "",
        "|contains",
        "|startswith",
        "|endswith",
        "|cased",
        "|contains|cased",
        "|neq",
        "|contains|windash",
        "|base64",
    ];
    let plain = vec!["x", "Y", "", "xy", "äö"];
    let some = |v: Vec<&'static str>| prop::sample::select(v).prop_map(J::from);
    prop_oneof![
        6 => (field(), prop::sample::select(words[..8].to_vec()), texts()),
        1 => (field(), Just(words[8]), some(plain)),
        2 => (field(), Just("|contains|all"), prop::collection::vec(text(), 1..3).prop_map(J::Array)),
        1 => (field(), Just(""), prop_oneof![Just(J::Null), Just(json!([null, "x"]))]),
        1 => (field(), prop::sample::select(vec!["|re", "|re|i"]), some(vec!["^x", "Y$", "^(10|8)\\.", "adm.n", "\\d"])),
        1 => (field(), Just("|cidr"), some(vec!["10.0.0.0/8", "8.8.8.8"])),
        1 => (field(), prop::sample::select(vec!["|gt", "|lte"]), prop::sample::select(vec![json!(1), json!(2.5)])),
        1 => (field(), Just("|exists"), any::<bool>().prop_map(J::from)),
        1 => (field(), prop::sample::select(vec!["|fieldref", "|fieldref|contains", "|fieldref|cased"]), some(vec!["a", "b", "l"])),
    ]
    .prop_map(|(field, modifiers, v)| (format!("{field}{modifiers}"), v))
}

fn search() -> impl Strategy<Value = J> {
    let map =
        || prop::collection::btree_map("[a-z]", search_item(), 1..3).prop_map(|m| J::Object(m.into_values().collect()));
    prop_oneof![
        6 => map(),
        2 => prop::collection::vec(map(), 1..3).prop_map(J::Array),
        1 => prop::collection::vec(text(), 1..10).prop_map(J::Array),
    ]
}

fn sigma_rule() -> impl Strategy<Value = J> {
    let conditions = [
        "s0",
        "not s0",
        "s0 and not s1",
        "s0 or s1",
        "1 of s*",
        "all of them",
        "not 1 of s*",
        "(s0 or s1) and not (s1 and s2)",
    ];
    (prop::collection::vec(search(), 3), prop::sample::select(conditions.to_vec())).prop_map(|(searches, condition)| {
        let mut d: serde_json::Map<String, J> =
            searches.into_iter().enumerate().map(|(i, s)| (format!("s{i}"), s)).collect();
        d.insert("condition".into(), condition.into());
        json!({"title": "T", "logsource": {"product": "test"}, "detection": d})
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn columns_agree_with_whole_events(
        docs in prop::collection::vec(sigma_rule(), 1..12),
        events in prop::collection::vec(event(), 1..40),
    ) {
        let rules: Vec<Rule> = docs.iter().map(|d| compile(d).unwrap_or_else(|f| panic!("{d}: {f:?}"))).collect();
        let batches: Vec<&[J]> = events.chunks(16).chain(events.chunks(7)).collect();
        let mut program = Program::new(&rules, &layout_for(LOG_TYPE, &rules));
        let got = fast(&mut program, &rules, &batches);
        for (batch, got) in batches.iter().zip(got) {
            prop_assert_eq!(got, slow(&rules, batch));
        }
    }
}
