//! The columnar engine against the plain evaluator: the case tables of `cases/`, and random rules on random events.
#[path = "../../examples/support/columns.rs"]
pub mod support;

use super::classes::MAX_CLASSES;
use super::join::MAX_TABLES;
use super::view::View;
use super::{MAX_LAYOUTS, Program, Programs};
use crate::condition::{CONDITIONS, Op};
use crate::expr::{Expr, parse_exprs, parse_filters};
use crate::rule::{Body, Rule};
use crate::{detect, eval, scope};
use model::{Layout, RuleMeta, Severity};
use proptest::prelude::*;
use serde_json::{Value as J, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const LOG_TYPE: &str = "Test.Type";

const CASES: &[(&str, &str)] = &[
    ("addresses", include_str!("../../cases/addresses.yml")),
    ("enrichment", include_str!("../../cases/enrichment.yml")),
    ("filters", include_str!("../../cases/filters.yml")),
    ("keys", include_str!("../../cases/keys.yml")),
    ("lists", include_str!("../../cases/lists.yml")),
    ("numbers", include_str!("../../cases/numbers.yml")),
    ("text", include_str!("../../cases/text.yml")),
    ("two_keys", include_str!("../../cases/two_keys.yml")),
];

fn rule(id: usize, filters: Vec<Expr>, body: Vec<Expr>) -> Rule {
    Rule {
        meta: Arc::new(RuleMeta { id: format!("R{id:04}").into(), ..RuleMeta::default() }),
        file: String::new(),
        enabled: true,
        log_types: vec![LOG_TYPE.into()],
        filters,
        body: Body::Yaml(body),
        alert_title: None,
        alert_context: Vec::new(),
        group_by: Vec::new(),
        dynamic_severities: Vec::new(),
        tests: J::Null,
    }
}

pub fn layout_of(rules: &[Rule]) -> Arc<Layout> {
    layout_for(LOG_TYPE, rules)
}

pub fn layout_for(log_type: &str, rules: &[Rule]) -> Arc<Layout> {
    let mut paths = BTreeSet::new();
    for rule in rules {
        let mut keys = Vec::new();
        detect::keys_of(rule, LOG_TYPE, &mut |k| keys.push(k));
        scope::columns(&keys, |p| _ = paths.insert(p));
    }
    support::layout(log_type, &paths)
}

/// Hits of the columnar engine, batch by batch.
pub fn fast(program: &mut Program, rules: &[Rule], batches: &[&[J]]) -> Vec<Vec<(usize, usize)>> {
    let plan = program.plan();
    let run = |events: &&[J]| {
        let batch = support::batch(&plan.layout, events);
        let mut hits = Vec::new();
        program.run(&View::new(&batch, &plan), &mut hits);
        assert!(hits.iter().all(|(_, r)| *r < rules.len()));
        hits
    };
    batches.iter().map(run).collect()
}

/// What the plain evaluator says.
pub fn slow(rules: &[Rule], events: &[J]) -> Vec<(usize, usize)> {
    let holds = |r: &Rule, e: &J| match &r.body {
        Body::Yaml(body) => eval::all(&r.filters, e) && eval::all(body, e),
        Body::Lua { .. } | Body::Python(_) => false,
    };
    let row = |(row, e): (usize, &J)| {
        rules.iter().enumerate().filter(|(_, r)| holds(r, e)).map(move |(i, _)| (row, i)).collect::<Vec<_>>()
    };
    events.iter().enumerate().flat_map(row).collect()
}

fn cases() -> impl Iterator<Item = (String, J)> {
    CASES.iter().flat_map(|(file, text)| {
        let list: Vec<J> = yaml_serde::from_str(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        list.into_iter().map(move |c| (format!("{file}: {}", c["name"].as_str().unwrap()), c))
    })
}

#[test]
fn cases_hold_in_both_evaluators() {
    for (name, case) in cases() {
        let mut problems = Vec::new();
        let filters = case.get("filters").map_or(Vec::new(), |f| parse_filters(f, "InlineFilters", &mut problems));
        let body = case.get("detection").map_or(Vec::new(), |d| parse_exprs(d, "Detection", &mut problems));
        assert_eq!(problems, [], "{name}");
        let rules = [rule(0, filters, body)];
        let list = |k: &str| case[k].as_array().unwrap_or_else(|| panic!("{name}: {k}")).clone();
        let (hits, misses) = (list("match"), list("no_match"));
        let events: Vec<J> = misses.iter().chain(&hits).map(with_log_type).collect();
        let want: Vec<(usize, usize)> = (misses.len()..events.len()).map(|row| (row, 0)).collect();
        assert_eq!(slow(&rules, &events), want, "{name}, whole events");
        // Twice, so that the second batch meets what the first left in the caches.
        let mut program = Program::new(&rules, &layout_of(&rules));
        assert_eq!(fast(&mut program, &rules, &[&events, &events]), [want.clone(), want], "{name}, columns");
    }
}

fn with_log_type(e: &J) -> J {
    let mut e = e.clone();
    e.as_object_mut().unwrap().insert("p_log_type".into(), json!(LOG_TYPE));
    e
}

#[test]
fn every_condition_has_a_true_and_a_false_case() {
    let mut seen: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for (_, case) in cases() {
        let some = |k: &str| !case[k].as_array().unwrap().is_empty();
        for name in names(&case) {
            let s = seen.entry(name).or_default();
            *s = [s[0] | some("match"), s[1] | some("no_match")];
        }
    }
    for c in CONDITIONS {
        for name in [c.name].iter().chain(c.aliases) {
            let want = if c.op == Op::AlwaysTrue { [!c.negated, c.negated] } else { [true, true] };
            assert_eq!(seen.get(*name), Some(&want), "`{name}` needs a case that is true and one that is false");
        }
    }
}

fn names(v: &J) -> Vec<String> {
    match v {
        J::Object(o) => o
            .iter()
            .flat_map(|(k, v)| match v {
                J::String(s) if k == "Condition" => vec![s.clone()],
                v => names(v),
            })
            .collect(),
        J::Array(a) => a.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn rules_without_a_positive_condition_are_looked_at_on_every_row() {
    let body = |v: J| parse_exprs(&v, "", &mut Vec::new());
    let rules = [
        rule(0, vec![], body(json!([{"Key": "a", "Condition": "DoesNotEqual", "Value": 1}]))),
        rule(
            1,
            vec![],
            body(
                json!([{"Any": [{"Key": "a", "Condition": "Equals", "Value": 1}, {"Key": "b", "Condition": "IsIn", "Values": [2]}]}]),
            ),
        ),
        rule(
            2,
            vec![],
            body(
                json!([{"Any": [{"Key": "a", "Condition": "Equals", "Value": 1}, {"Key": "b", "Condition": "IsNotIn", "Values": [2]}]}]),
            ),
        ),
    ];
    let program = Program::new(&rules, &layout_of(&rules));
    assert_eq!(program.always(), [0, 2]);
}

#[test]
fn severities_come_from_columns() {
    let mut r = rule(0, vec![], parse_exprs(&json!([{"Condition": "AlwaysTrue"}]), "", &mut Vec::new()));
    let conditions =
        |v: &str| parse_exprs(&json!([{"Key": "a", "Condition": "IEquals", "Value": v}]), "", &mut Vec::new());
    r.dynamic_severities = vec![(Severity::High, conditions("x")), (Severity::Low, conditions("y"))];
    let rules = [r];
    let mut program = Program::new(&rules, &layout_of(&rules));
    let plan = program.plan();
    let batch = support::batch(&plan.layout, &[json!({"a": "X"}), json!({"a": "y"}), json!({})]);
    let view = View::new(&batch, &plan);
    let got: Vec<Severity> = (0..3).map(|row| program.severity(&view, 0, row, Severity::Medium)).collect();
    assert_eq!(got, [Severity::High, Severity::Low, Severity::Medium]);
}

#[test]
fn programs_are_kept_per_layout_and_bounded() {
    let rules = [rule(0, vec![], parse_exprs(&json!([{"Key": "a", "Condition": "Exists"}]), "", &mut Vec::new()))];
    let mut programs = Programs::new(rules.to_vec().into());
    for _ in 0..MAX_LAYOUTS + 3 {
        let layout = layout_of(&rules);
        let batch = support::batch(&layout, &[json!({"a": 1})]);
        let program = programs.of(&batch);
        let plan = program.plan();
        let mut hits = Vec::new();
        program.run(&View::new(&batch, &plan), &mut hits);
        assert_eq!(hits, [(0, 0)]);
    }
    assert_eq!(programs.by_layout.len(), MAX_LAYOUTS);
}

#[test]
fn an_index_starts_over_when_a_column_has_too_many_classes() {
    let contains = |c: char| json!({"Key": "a", "Condition": "Contains", "Value": c.to_string()});
    let letters: Vec<char> = ('a'..='q').collect();
    let body = |c: &char| parse_exprs(&json!([contains(*c)]), "", &mut Vec::new());
    let rules: Vec<Rule> = letters.iter().enumerate().map(|(i, c)| rule(i, vec![], body(c))).collect();
    let subset =
        |n: usize| letters.iter().enumerate().filter(|(i, _)| n >> i & 1 == 1).map(|(_, c)| *c).collect::<String>();
    let mut program = Program::new(&rules, &layout_of(&rules));
    let plan = program.plan();
    for start in (0..MAX_CLASSES + 8_192).step_by(8_192) {
        let events: Vec<J> = (start..start + 8_192).map(|n| json!({"a": subset(n)})).collect();
        let batch = support::batch(&plan.layout, &events);
        let mut hits = Vec::new();
        program.run(&View::new(&batch, &plan), &mut hits);
        let want = (0..8_192)
            .flat_map(|row| (0..letters.len()).filter(move |i| (start + row) >> i & 1 == 1).map(move |i| (row, i)));
        assert!(hits.into_iter().eq(want), "from {start}");
    }
    assert!(program.state.columns.iter().all(|c| c.classes() <= MAX_CLASSES));
}

#[test]
fn table_versions_are_classified_once_and_bounded() {
    let spec = json!([{"Enrichment": {"Table": "geo", "Selector": "ip", "FieldPath": "n"}, "Condition": "Equals", "Value": 1}]);
    let rules = [rule(0, vec![], parse_exprs(&spec, "", &mut Vec::new()))];
    let mut program = Program::new(&rules, &layout_of(&rules));
    for version in 0..MAX_TABLES + 3 {
        let hit = |n: usize| json!({"p_enrichment": {"geo": {"ip": {"n": n}}}});
        let events = [hit(version % 2), hit(1), json!({})];
        let want: Vec<(usize, usize)> = (1 - version % 2..2).map(|row| (row, 0)).collect();
        assert_eq!(fast(&mut program, &rules, &[&events]), [want]);
    }
    assert_eq!(program.state.joins[0].versions(), MAX_TABLES);
}

// Random rules on random events. Keys and values come from small pools, so that conditions are true often enough.

fn scalar() -> impl Strategy<Value = J> {
    prop_oneof![
        prop::sample::select(vec!["x", "y", "xy", "XY", "", "10.0.0.1", "8.8.8.8", "10.0.0.0/8", "admin-x", "ÄÖ"])
            .prop_map(J::from),
        prop::sample::select(vec![json!(0), json!(1), json!(1.0), json!(2.5), json!(-3), json!(u64::MAX)]),
        any::<bool>().prop_map(J::from),
    ]
}

fn value() -> impl Strategy<Value = J> {
    let leaf = prop_oneof![6 => scalar(), 1 => Just(J::Null)];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            3 => inner.clone(),
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(J::Array),
            1 => prop::collection::btree_map(prop::sample::select(vec!["a", "b", "d"]), inner, 0..3)
                .prop_map(|m| J::Object(m.into_iter().map(|(k, v)| (k.to_string(), v)).collect())),
        ]
    })
}

pub fn event() -> impl Strategy<Value = J> {
    let fields = prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c", "l"]), value(), 0..4);
    let row = prop::collection::btree_map(prop::sample::select(vec!["country", "n"]), scalar(), 0..2);
    let any = prop::collection::btree_set(prop::sample::select(vec!["10.0.0.1", "x"]), 0..2);
    (fields, prop::option::of(row), any, prop::option::of(scalar())).prop_map(|(fields, row, any, ip)| {
        let mut e: serde_json::Map<String, J> = fields.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
        if !any.is_empty() {
            e.insert("p_any_x".into(), json!(any));
        }
        if let Some(ip) = ip {
            e.insert("ip".into(), ip.clone());
            if let Some(row) = row {
                let mut hit: serde_json::Map<String, J> = row.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
                hit.insert("p_match".into(), ip);
                e.insert("p_enrichment".into(), json!({"geo": {"ip": hit}}));
            }
        }
        J::Object(e)
    })
}

fn key() -> BoxedStrategy<J> {
    let path = prop::sample::select(vec![
        "a", "b", "c.a", "c.b[0]", "l", "l[0]", "l[*]", "l[-1]", "l[*].a", "c[*].d", "p_any_x", "ip",
    ]);
    prop_oneof![
        6 => path.clone().prop_map(|p| json!({"KeyPath": p})),
        2 => prop::sample::select(vec!["country", "n", "p_match"])
            .prop_map(|f| json!({"Enrichment": {"Table": "geo", "Selector": "ip", "FieldPath": f}})),
        1 => (path.clone(), path).prop_map(|(p, q)| json!({"FirstOf": [{"KeyPath": p}, {"KeyPath": q}]})),
    ]
    .boxed()
}

fn plain_key() -> BoxedStrategy<J> {
    prop::sample::select(vec!["a", "b", "c.a"]).prop_map(|p| json!({"KeyPath": p})).boxed()
}

fn with(mut key: J, rest: J) -> J {
    if let (Some(k), J::Object(rest)) = (key.as_object_mut(), rest) {
        k.extend(rest);
    }
    key
}

fn condition(k: BoxedStrategy<J>) -> BoxedStrategy<J> {
    let names = |f: fn(Op) -> bool| {
        let of = |c: &&crate::condition::Condition| f(c.op);
        prop::sample::select(CONDITIONS.iter().filter(of).map(|c| c.name).collect::<Vec<_>>())
    };
    let unary = names(|op| op.takes() == crate::condition::Takes::Key);
    let order = names(|op| matches!(op, Op::Greater | Op::GreaterOrEqual | Op::Less | Op::LessOrEqual));
    let scalars = names(|op| matches!(op, Op::Equals | Op::Contains));
    let texts = names(|op| {
        matches!(op, Op::IEquals | Op::StartsWith | Op::IStartsWith | Op::EndsWith | Op::IEndsWith | Op::IContains)
    });
    let lists = names(|op| op == Op::IsIn);
    let nets = names(|op| matches!(op, Op::InCidr | Op::CidrContains));
    let patterns = names(|op| op == Op::Matches);
    let pairs = names(|op| op.takes() == crate::condition::Takes::Value && op != Op::Matches || op == Op::IsIn);
    prop_oneof![
        (k.clone(), unary).prop_map(|(k, c)| with(k, json!({"Condition": c}))),
        (k.clone(), order, prop_oneof![Just(json!(1)), Just(json!(2.5)), Just(json!("xy"))])
            .prop_map(|(k, c, v)| with(k, json!({"Condition": c, "Value": v}))),
        (k.clone(), scalars, scalar()).prop_map(|(k, c, v)| with(k, json!({"Condition": c, "Value": v}))),
        (k.clone(), texts, prop::sample::select(vec!["x", "Y", "", "äö"]))
            .prop_map(|(k, c, v)| with(k, json!({"Condition": c, "Value": v}))),
        (k.clone(), lists, prop::collection::vec(scalar(), 0..3))
            .prop_map(|(k, c, v)| with(k, json!({"Condition": c, "Values": v}))),
        (k.clone(), nets, prop::sample::select(vec!["10.0.0.0/8", "8.8.8.8"]))
            .prop_map(|(k, c, v)| with(k, json!({"Condition": c, "Value": v}))),
        (k.clone(), patterns, prop::sample::select(vec!["^x", "(?i)Y$", "^(10|8)\\."]))
            .prop_map(|(k, c, v)| with(k, json!({"Condition": c, "Value": v}))),
        (k.clone(), k, pairs).prop_map(|(a, b, c)| json!({"Condition": c, "Values": [a, b]})),
    ]
    .boxed()
}

fn expr() -> impl Strategy<Value = J> {
    let elements = (key(), prop::sample::select(vec!["AnyElement", "AllElements", "NoElement", "OnlyOneElement"]))
        .prop_filter("elements of an enrichment are tested elsewhere", |(k, _)| k.get("Enrichment").is_none());
    let inside = prop::collection::vec(condition(plain_key()), 1..3);
    let leaf = prop_oneof![
        8 => condition(key()),
        1 => (elements, inside).prop_map(|((k, c), e)| with(k, json!({"Condition": c, "Expressions": e}))),
        1 => Just(json!({"Condition": "AlwaysTrue"})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner, 0..3);
        (prop::sample::select(vec!["All", "Any", "OnlyOne", "None"]), list).prop_map(|(c, v)| json!({c: v}))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn columns_agree_with_whole_events(
        bodies in prop::collection::vec(prop::collection::vec(expr(), 1..3), 1..12),
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut problems = Vec::new();
        let body = |b: &Vec<J>| parse_exprs(&J::Array(b.clone()), "Detection", &mut problems);
        let rules: Vec<Rule> = bodies.iter().map(body).enumerate().map(|(i, b)| rule(i, vec![], b)).collect();
        prop_assert_eq!(problems, []);
        let batches: Vec<&[J]> = events.chunks(16).chain(events.chunks(7)).collect();
        let mut program = Program::new(&rules, &layout_of(&rules));
        let got = fast(&mut program, &rules, &batches);
        for (batch, got) in batches.iter().zip(got) {
            prop_assert_eq!(got, slow(&rules, batch));
        }
    }
}
