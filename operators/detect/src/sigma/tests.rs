//! Sigma rules from text to match: the cases of `cases/`, and rules at random against the plain evaluator.
mod checkout;
mod random;

use super::document;
use super::finding::{Finding, Found};
use super::lower::{Forms, MAX_TESTS, lower};
use super::mapping::{Mappings, Shape};
use super::modifier::MAX_VALUES;
use super::rule::rule;
use super::survey::survey;
use crate::columns::Program;
use crate::columns::tests::{LOG_TYPE, fast, layout_for, slow, support};
use crate::cost::Meter;
use crate::meta::{self, yaml};
use crate::rule::Rule;
use model::files::MemFiles;
use model::{Path, Problem, Severity};
use serde_json::{Value as J, json};
use std::sync::Arc;

/// Beside the shipped mappings: any `product: test` is the log type of the tests.
const MAPPING: &str = "
sources:
  - logsource: [{product: test}, {product: test, category: special}]
    shapes: [{log_type: Test.Type}]
  - logsource: {product: two}
    shapes:
      - {log_type: Test.Type, when: {kind: 1}, fields: {Image: [path, 'exe.path'], Word: {path: line, form: '* {} *'}}, strict: true}
      - {log_type: Test.Type, when: {kind: 2}}
placeholders: {Admins: ['adm_*', root], None: []}
";

fn mappings() -> Mappings {
    let (mappings, problems) = Mappings::load(&MemFiles::of(&[("m.yml", MAPPING)]), &["m.yml".into()]);
    assert_eq!(problems, []);
    mappings
}

/// Rules of a file, and what was found.
fn load(text: &str) -> (Vec<Rule>, Vec<Problem>) {
    meta::load_with(&MemFiles::of(&[("rules/r.yml", text)]), &["rules".into()], &mappings())
}

/// A rule around a detection.
fn around(detection: &str) -> String {
    format!("title: T\nid: t\nlogsource: {{product: test}}\ndetection:\n{detection}")
}

#[test]
fn a_detect_node_names_mappings_and_measures_sigma_rules() {
    let rule = around("  s: {'User|expand|contains': '%Admins%'}\n  condition: s\n");
    let files = MemFiles::of(&[("rules/r.yml", &rule), ("m.yml", MAPPING)]);
    let settings = json!({"rules": ["rules"], "sigma_mappings": ["m.yml"]});
    let mut meter = Meter::open(&settings, &files).ok().unwrap();
    let events: Vec<J> = (0..20).map(|i| json!({"User": if i == 7 { "the ROOT" } else { "ann" }})).collect();
    meter.add(&Arc::new(support::batch(&support::layout(LOG_TYPE, &[Path::key("User")].into()), &events)));
    let costs = meter.costs();
    let r = &costs.rules[0];
    assert_eq!(
        (&*r.rule, r.looked_at, r.matches, r.waits_for.as_slice()),
        ("t", 1, 1, ["User".to_string()].as_slice())
    );
    // Without the mapping there is no log type for it.
    let problems = Meter::open(&json!({"rules": ["rules"], "sigma_mappings": ["none.yml"]}), &files).err().unwrap();
    assert!(problems.iter().any(|p| !p.warning && p.setting == "sigma_mappings[0]"), "{problems:?}");
}

/// Findings of a detection, which is not loaded.
fn refused(detection: &str) -> Vec<Finding> {
    let docs = document::read("", "r.yml", &around(detection), &mappings()).unwrap();
    assert!(matches!(docs[0].content, document::Content::Nothing), "{detection}");
    docs[0].findings.clone()
}

/// Rules that match each event, in both evaluators.
fn matches(rules: &[Rule], log_type: &str, events: &[J]) -> Vec<Vec<String>> {
    let with = |e: &J| {
        let mut e = e.clone();
        e["p_log_type"] = json!(log_type);
        e
    };
    let events: Vec<J> = events.iter().map(with).collect();
    let want = slow(rules, &events);
    // Twice, so that the second batch meets what the first left in the caches.
    let mut program = Program::new(rules, &layout_for(log_type, rules));
    assert_eq!(fast(&mut program, rules, &[&events, &events]), [want.clone(), want.clone()], "columns");
    let of = |row: usize| want.iter().filter(move |(r, _)| *r == row).map(|(_, rule)| rules[*rule].meta.id.to_string());
    (0..events.len()).map(|row| of(row).collect()).collect()
}

#[test]
fn shipped_mappings_are_without_findings() {
    let files = MemFiles::of(&[]);
    let (shipped, problems) = Mappings::load(&files, &[]);
    assert_eq!(problems, []);
    assert!(shipped.log_types().contains(&"Windows.EventLogs"));
}

const CASES: &[(&str, &str)] = &[
    ("condition", include_str!("cases/condition.yml")),
    ("encodings", include_str!("cases/encodings.yml")),
    ("fields", include_str!("cases/fields.yml")),
    ("filters", include_str!("cases/filters.yml")),
    ("keywords", include_str!("cases/keywords.yml")),
    ("mappings", include_str!("cases/mappings.yml")),
    ("null", include_str!("cases/null.yml")),
    ("numbers", include_str!("cases/numbers.yml")),
    ("text", include_str!("cases/text.yml")),
];

fn list<'a>(v: &'a J, key: &str) -> &'a [J] {
    v[key].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn cases_hold_in_both_evaluators() {
    for (file, text) in CASES {
        let cases = yaml::parse(text).unwrap_or_else(|e| panic!("{file}: {e:?}"));
        for case in cases.as_array().unwrap() {
            let name = format!("{file}: {}", case["name"].as_str().unwrap());
            match case.get("detection") {
                Some(d) => detection_case(&name, d, case),
                None => documents_case(&name, case),
            }
        }
    }
}

fn detection_case(name: &str, detection: &J, case: &J) {
    let doc = json!({"title": "T", "id": "t", "logsource": {"product": "test"}, "detection": detection});
    let rules = [compile(&doc).unwrap_or_else(|f| panic!("{name}: {f:?}"))];
    for (key, want) in [("match", vec!["t".to_string()]), ("no_match", vec![])] {
        let events = list(case, key);
        for (event, got) in events.iter().zip(matches(&rules, LOG_TYPE, events)) {
            assert_eq!(got, want, "{name}: {event}");
        }
    }
}

fn documents_case(name: &str, case: &J) {
    let (rules, problems) = load(case["documents"].as_str().unwrap());
    assert_eq!(problems, [], "{name}");
    let log_type = case["log_type"].as_str().unwrap_or(LOG_TYPE);
    let events: Vec<J> = list(case, "events").iter().map(|e| e["event"].clone()).collect();
    for (case, got) in list(case, "events").iter().zip(matches(&rules, log_type, &events)) {
        let want: Vec<&str> = list(case, "match").iter().map(|id| id.as_str().unwrap()).collect();
        assert_eq!(got, want, "{name}: {}", case["event"]);
    }
}

/// A rule for the log type of the tests, from a document.
fn compile(doc: &J) -> Result<Rule, Vec<Finding>> {
    let mut found = Found::default();
    let sigma = rule(doc.as_object().unwrap(), &mappings().placeholders, &mut found);
    let Some(sigma) = sigma else { return Err(found.placed("", 0)) };
    let shape = Shape {
        log_type: LOG_TYPE.into(),
        when: Vec::new(),
        fields: Default::default(),
        strict: false,
        keywords: None,
    };
    Ok(lower(&sigma, &[], &Forms::new(vec![&shape]), "f.yml", &doc.to_string()).unwrap())
}

#[test]
fn a_rule_becomes_an_alert() {
    let (rules, problems) = load(
        "title: A title\nid: 6f3e2987-db24\nstatus: test\nlevel: high\ndescription: |\n  What it is.\n\
         tags: [attack.execution, attack.t1059]\nreferences: [https://a.example]\nfields: [Image, Word, Image]\n\
         logsource: {product: two}\ndetection: {s: {Image: x}, condition: s}\n",
    );
    assert_eq!(problems, []);
    let r = &rules[0];
    assert_eq!((&*r.meta.id, &*r.meta.name, r.meta.severity), ("6f3e2987-db24", "A title", Severity::High));
    assert_eq!((&*r.meta.description, &*r.meta.reference), ("What it is.", "https://a.example"));
    assert_eq!(r.meta.reports["MITRE ATT&CK"], ["TA0002:T1059"]);
    assert_eq!((r.meta.dedup_period_ms, r.meta.threshold, r.meta.create_alert), (3_600_000, 1, true));
    assert_eq!(
        (r.file.as_str(), r.enabled, r.log_types.as_slice()),
        ("rules/r.yml", true, [LOG_TYPE.into()].as_slice())
    );
    let context: Vec<String> = r.alert_context.iter().map(|(name, key)| format!("{name}: {key}")).collect();
    assert_eq!(context, ["Image: FirstOf(Image, exe.path, path)", "Word: FirstOf(Word, line)"]);
    assert_eq!(r.meta.version.len(), 32);
    let events = [
        json!({"kind": 1, "path": "X"}),
        json!({"kind": 1, "exe": {"path": "x"}}),
        json!({"kind": 1, "Image": "x"}),
        json!({"kind": 2, "Image": "x"}),
        json!({"kind": 3, "Image": "x", "path": "x"}),
    ];
    let got: Vec<usize> = matches(&rules, LOG_TYPE, &events).iter().map(Vec::len).collect();
    assert_eq!(got, [1, 1, 0, 1, 0]);
}

#[test]
fn placeholders_come_from_mappings() {
    let (rules, problems) =
        load(&around("  s: {'User|expand': '%Admins%'}\n  n: {'x|expand': '%None%'}\n  condition: s or n\n"));
    assert_eq!(problems, []);
    let events = [json!({"User": "ADM_1"}), json!({"User": "root"}), json!({"User": "%Admins%"}), json!({"x": ""})];
    let got: Vec<usize> = matches(&rules, LOG_TYPE, &events).iter().map(Vec::len).collect();
    assert_eq!(got, [1, 1, 0, 0]);
    // One without values stands for itself, and that is told.
    let (rules, found) = load(&around("  s: {'User|contains|expand': 'x%Hosts%'}\n  condition: s\n"));
    let got: Vec<usize> =
        matches(&rules, LOG_TYPE, &[json!({"User": "X%HOSTS%"}), json!({"User": "x"})]).iter().map(Vec::len).collect();
    assert_eq!(got, [1, 0]);
    assert_eq!((found[0].warning, found[0].file.as_ref().map(|f| (f.1, f.2))), (true, Some((5, 7))));
    assert_eq!(found[0].message, "the placeholder %Hosts% has no values and stands for itself");
}

#[test]
fn rules_woken_together_read_a_text_alike_whatever_its_length() {
    let rule = |i: usize| {
        format!(
            "title: T\nid: t{i}\nlogsource: {{product: test}}\ndetection:\n  s: {{kind: 1, 'text|contains': 'Word{i}x'}}\n  \
             n: {{'text|endswith': ['end{i}', '?nd{i}']}}\n  condition: s and not n\n"
        )
    };
    let (rules, problems) = load(&(0..40).map(rule).collect::<Vec<_>>().join("---\n"));
    assert_eq!((rules.len(), problems), (40, vec![]));
    let event = |i: usize, length: usize| {
        let filler = "äb ".repeat(length / 4);
        json!({"kind": i % 3, "text": format!("{filler}wORD{}X {filler} End{}", i % 40, i % 7)})
    };
    // Beyond 4 KiB a text is not remembered.
    let events: Vec<J> = (0..200).map(|i| event(i, [8, 800, 8_000][i % 5 % 3])).collect();
    let got = matches(&rules, LOG_TYPE, &events);
    let want = |i: usize| usize::from(i % 3 == 1 && i % 40 != i % 7);
    assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), (0..200).map(want).collect::<Vec<_>>());
}

#[test]
fn mistakes_have_a_place_and_all_are_told() {
    let found =
        refused("  s:\n    a|containz: 1\n    b|re: '('\n    c|cidr: [10.0.0.0/8, x]\n  t: []\n  condition: s and u\n");
    let told: Vec<String> = found.iter().map(|f| format!("{}:{} {:?} {}", f.line, f.col, f.kind, f.reason)).collect();
    let want = [
        "6:5 Broken `detection.s.a|containz`: `containz` is not a modifier",
        "7:5 Unsupported regular expression: unclosed group",
        "8:26 Broken `detection.s.c|cidr[1]`: `x` is not a network",
        "9:3 Broken `detection.t`: the search is empty",
        "10:3 Broken `detection.condition`: there is no search `u`",
    ];
    assert_eq!(told, want);
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `contains`?"));
    for (detection, want) in [
        ("  s: {'a|i': x}\n  condition: s\n", "belongs to a regular expression"),
        ("  s: {'a|contains|re': x}\n  condition: s\n", "do not go together"),
        ("  s: {'a|re|contains': x}\n  condition: s\n", "does not go with"),
        ("  s: {'a|exists': 1}\n  condition: s\n", "true or false"),
        ("  s: {'a|gt': x}\n  condition: s\n", "not a number"),
        ("  s: {'a|base64': 'x*'}\n  condition: s\n", "wildcards cannot be encoded"),
        ("  s: {'a|utf16': 'x'}\n  condition: s\n", "no text of an event can hold"),
        ("  s: {'a|contains': ~}\n  condition: s\n", "null does not go"),
        ("  s: {'a|fieldref': [1]}\n  condition: s\n", "names of fields"),
        ("  s: {a: {b: 1}}\n  condition: s\n", "a value is"),
        ("  s: ~\n  condition: s\n", "the search is empty"),
        ("  s: {a: 1}\n", "the condition is missing"),
        ("  s: {a: 1}\n  condition: s | count() > 5\n", "aggregation"),
        ("  s: {a: 1}\n  timeframe: 5m\n  condition: s\n", "`timeframe`"),
    ] {
        let found = refused(detection);
        assert!(found.iter().any(|f| f.reason.contains(want)), "{detection}: {found:?}");
    }
}

#[test]
fn what_is_not_run_is_reported_once_per_reason() {
    let one =
        |id: &str, more: &str| format!("title: T\nid: {id}\n{more}\ndetection: {{s: {{a: 1}}, condition: s}}\n---\n");
    let text = [
        one("a", "logsource: {product: windows, service: x}"),
        one("b", "logsource: {product: windows, service: x}"),
        one("c", "logsource: {product: test}\nstatus: deprecated"),
        one("d", "logsource: {product: test}"),
        one("d", "logsource: {product: test}"),
        "title: C\ncorrelation: {type: event_count, rules: [x], timespan: 1h, condition: {gte: 2}}\n---\n".into(),
        "title: F\nlogsource: {product: test}\nfilter: {rules: [nobody], s: {a: 1}, condition: s}\n".into(),
    ]
    .concat();
    let (rules, problems) = load(&text);
    assert_eq!(rules.iter().map(|r| &*r.meta.id).collect::<Vec<_>>(), ["d"]);
    let told: Vec<String> = problems
        .iter()
        .map(|p| {
            format!("{} {} {}", p.file.as_ref().unwrap().1, if p.warning { "warning" } else { "error" }, p.message)
        })
        .collect();
    assert_eq!(
        told,
        [
            "24 error `id` `d` is the id of the rule in rules/r.yml too",
            "30 warning the filter applies to no rule that is here",
            "27 warning this Sigma rule is not loaded: it names the rule `x`, which is not here or not run",
            "3 warning 2 Sigma rules are not loaded: no log type for product=windows service=x; the first is here",
            "14 warning this Sigma rule is not loaded: status: deprecated",
        ]
    );
    let survey =
        survey(&MemFiles::of(&[("rules/r.yml", &text), ("rules/x.yml", "a: 1")]), &["rules".into()], &mappings());
    let survey = survey.unwrap();
    assert_eq!((survey.files, survey.others, survey.supported, survey.unsupported, survey.broken), (2, 1, 1, 3, 1));
    assert_eq!((survey.filters, survey.correlations, survey.documents.len()), (1, 1, 7));
    let text = survey.text();
    assert!(text.contains("product=windows service=x          0      2"), "{text}");
    assert!(text.contains("     2  no log type for product=windows service=x\n        rules/r.yml:3:1\n"), "{text}");
    assert!(
        text.contains(
            "1 of 5 rules are supported, 3 are not, 1 documents are broken; 1 filters; \
             0 of 1 correlations are supported"
        ),
        "{text}"
    );
    let json = serde_json::to_value(&survey).unwrap();
    assert_eq!(json["documents"][0]["findings"][0]["reason"], "no log type for product=windows service=x");
}

#[test]
fn limits_are_at_their_numbers() {
    let named = |times: usize| {
        let items: String = (0..100).map(|i| format!("f{i}: 1, ")).collect();
        let doc = json!({"title": "T", "logsource": {"product": "test"}, "detection": {
            "s": yaml::parse(&format!("{{{items}}}")).unwrap(), "condition": vec!["s"; times].join(" or "),
        }});
        let mut found = Found::default();
        let sigma = rule(doc.as_object().unwrap(), &Default::default(), &mut found).unwrap();
        let shape = mappings();
        lower(&sigma, &[], &Forms::new(shape.shapes(&sigma.logsource)), "f.yml", "").map(drop)
    };
    assert_eq!(named(MAX_TESTS / 100), Ok(()));
    assert!(named(MAX_TESTS / 100 + 1).unwrap_err().contains("50000"));
    let values = |n: usize| around(&format!("  s:\n    a: [{}]\n  condition: s\n", vec!["x"; n].join(", ")));
    assert_eq!(load(&values(MAX_VALUES)).1, []);
    assert!(load(&values(MAX_VALUES + 1)).1[0].message.contains("limit is 10000"));
}

#[test]
fn mistakes_in_mappings_are_told() {
    let text = "sources:\n  - logsource: {product: x}\n    shape: []\n  - logsource: {}\n    shapes:\n      - {when: {a: 1}}\n      \
                - {log_type: A.B, fields: {f: {path: x, form: y}}}\nplaceholder: {}\n";
    let (_, problems) = Mappings::load(&MemFiles::of(&[("m.yml", text)]), &["m.yml".into(), "none.yml".into()]);
    let told: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(told.len(), 6, "{told:#?}");
    for want in [
        "`placeholder`: is not known",
        "`sources[0].shape`",
        "names nothing",
        "`log_type` is missing",
        "needs `{}`",
        "cannot read `none.yml`",
    ] {
        assert!(told.iter().any(|t| t.contains(want)), "{want}: {told:#?}");
    }
}
