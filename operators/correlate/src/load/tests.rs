use super::*;
use crate::rule::{Bound, Figure, Range, Test, When};
use model::files::MemFiles;

/// Two rules for web servers, and what watches them.
const SIGMA: &str = "title: Failed
name: failed
id: f-1
logsource: {category: webserver}
detection:
  s: {sc-status: 401}
  condition: s
---
title: Login
name: login
id: l-1
logsource: {category: webserver}
detection:
  s: {cs-uri-stem: /login}
  condition: s
---
title: Many failed
name: many
id: m-1
correlation:
  type: event_count
  rules: [failed]
  group-by: [c-ip]
  timespan: 10m
  condition: {gte: 3}
---
title: Many failed, then a login
id: t-1
level: high
correlation:
  type: temporal_ordered
  rules: [many, l-1]
  group-by: [ip]
  aliases:
    ip: {many: c-ip, login: c-ip}
  timespan: 15m
";

fn load_one(text: &str) -> Loaded {
    load(&MemFiles::of(&[("rules/a.yml", text)]), &["rules".into()], &[])
}

fn told(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(|p| p.message.clone()).collect()
}

#[test]
fn correlations_of_correlations_stand_in_stages() {
    let loaded = load_one(SIGMA);
    assert_eq!(told(&loaded), Vec::<String>::new());
    let [many, then] = &loaded.rules[..] else { panic!("{:?}", loaded.rules) };
    // What only feeds another one makes no alert; what nobody watches does.
    assert_eq!((many.meta.create_alert, then.meta.create_alert), (false, true));
    assert_eq!((&*many.items[0].rule, &*then.items[0].rule, &*then.items[1].rule), ("f-1", "m-1", "l-1"));
    let at = |r: &Correlation, i: usize| r.items[i].key[0].all[0].field.to_string();
    assert_eq!(many.items[0].key[0].all[0].log_type.as_deref(), then.items[1].key[0].all[0].log_type.as_deref());
    assert_ne!((at(many, 0), at(then, 0)), (String::new(), String::new()));
    assert_eq!(at(then, 0), "c-ip");
    let mut problems = Vec::new();
    let stages = stages(&loaded.rules, &mut problems);
    let ids: Vec<Vec<&str>> = stages.iter().map(|s| s.iter().map(|r| &*r.meta.id).collect()).collect();
    assert_eq!((ids, problems.len()), (vec![vec!["m-1"], vec!["t-1"]], 0));
}

#[test]
fn what_a_correlation_watches_makes_no_alerts_unless_it_says_so() {
    for (generate, want) in [("", vec!["f-1", "l-1", "m-1"]), ("generate: true\n", vec!["f-1"])] {
        // Said of the last one; the first is silent on its rule in any case.
        let files = MemFiles::of(&[("rules/a.yml", &*format!("{SIGMA}{generate}"))]);
        let settings = serde_json::json!({"rules": ["rules"]});
        let opened = model::Part::open(&crate::operator::CorrelatePart, "c", &settings, &files);
        let needs = opened.node.unwrap_or_else(|| panic!("{:?}", opened.problems)).needs();
        assert_eq!(needs.signals_of.iter().map(|r| &**r).collect::<Vec<_>>(), want);
        let loaded = load(&files, &["rules".into()], &[]);
        assert_eq!(loaded.rules[0].meta.create_alert, !generate.is_empty());
    }
    // One that is not run silences nobody.
    let loaded = load_one(&SIGMA.replace("login: c-ip", "log_in: c-ip"));
    assert!(loaded.rules.len() == 1 && loaded.rules[0].meta.create_alert, "{:?}", loaded.rules);
}

#[test]
fn types_and_conditions_of_sigma() {
    let with = |kind: &str, condition: &str| {
        let text = SIGMA.replace("type: event_count", &format!("type: {kind}"));
        load_one(&text.replace("condition: {gte: 3}", &format!("condition: {condition}")))
    };
    let test = |kind: &str, condition: &str| {
        let loaded = with(kind, condition);
        let r = loaded.rules.first().unwrap_or_else(|| panic!("{kind} {condition}: {:?}", told(&loaded)));
        (r.test.clone(), r.when())
    };
    let tally = |figure, low: Option<(f64, Bound)>, high: Option<(f64, Bound)>, not| Test::Tally {
        figure,
        range: Range { low, high, not },
    };
    let at_least = |n| Some((n, Bound::In));
    assert_eq!(
        test("event_count", "{gt: 3}"),
        (tally(Figure::Count, Some((3.0, Bound::Out)), None, None), When::Complete)
    );
    let range = tally(Figure::Count, at_least(3.0), Some((9.0, Bound::Out)), None);
    assert_eq!(test("event_count", "{gte: 3, lt: 9}"), (range, When::Tumbling));
    let exactly = tally(Figure::Count, at_least(3.0), at_least(3.0), None);
    assert_eq!(test("event_count", "{eq: 3}"), (exactly, When::Tumbling));
    assert_eq!(test("event_count", "{neq: 3}"), (tally(Figure::Count, None, None, Some(3.0)), When::Tumbling));
    let of = |figure, when| (tally(figure, at_least(3.0), None, None), when);
    assert_eq!(test("value_count", "{field: cs-user-agent, gte: 3}"), of(Figure::Distinct, When::Complete));
    assert_eq!(test("value_sum", "{field: sc-bytes, gte: 3}"), of(Figure::Sum, When::Complete));
    assert_eq!(test("value_avg", "{field: sc-bytes, gte: 3}"), of(Figure::Mean, When::Tumbling));
    assert_eq!(test("value_median", "{field: sc-bytes, gte: 3}"), of(Figure::Median, When::Tumbling));
    let percentile = test("value_percentile", "{field: sc-bytes, percentile: 95, gte: 3}");
    assert_eq!(percentile, of(Figure::Percentile(95.0), When::Tumbling));
    assert_eq!(test("temporal", "").0, Test::Group { need: 1 });
    assert_eq!(test("temporal", "{gte: 3}"), of(Figure::Items, When::Complete));
    assert!(matches!(test("temporal_ordered", "{eq: 1}").0, Test::Sequence(_)));
    for (kind, condition, want) in [
        ("temporal_ordered", "{gte: 2}", "needs all of its rules"),
        ("event_count", "{gte: 10001}", "counts beyond 10000"),
        ("event_count", "{gt: 3, gte: 4}", "two bounds of one kind"),
        ("event_count", "{gt: 3}\n  x: 1", "is not a key of a correlation"),
    ] {
        let loaded = with(kind, condition);
        assert!(told(&loaded).iter().any(|t| t.contains(want)), "{condition}: {:?}", told(&loaded));
    }
}

#[test]
fn what_sigma_names_must_be_there() {
    let loaded = load_one(&SIGMA.replace("rules: [failed]", "rules: [faild]"));
    assert!(told(&loaded).iter().any(|t| t.contains("names the rule `faild`")), "{:?}", told(&loaded));
    assert!(loaded.problems.iter().all(|p| p.warning && p.file.as_ref().is_some_and(|(_, line, _)| *line == 17)));
    let loaded = load_one(&SIGMA.replace("login: c-ip", "log_in: c-ip"));
    assert!(told(&loaded).iter().any(|t| t.contains("the alias `ip` says nothing of the rule `l-1`")));
    let ring = SIGMA.replace("rules: [failed]", "rules: [t-1]");
    let (loaded, mut problems) = (load_one(&ring), Vec::new());
    assert_eq!(loaded.rules.len(), 2);
    stages(&loaded.rules, &mut problems);
    assert!(problems[0].message.contains("in a ring: m-1, t-1"), "{problems:?}");
}

#[test]
fn detections_beside_are_left_alone_and_ids_differ() {
    let rule = |id: &str| {
        format!(
            "AnalysisType: correlation_rule\nRuleID: {id}\nEnabled: true\nSeverity: Low\nDetection:\n  \
         - Group: [{{ID: A, RuleID: a}}]\n    Schedule: {{RateMinutes: 5, TimeoutMinutes: 1}}\n"
        )
    };
    let (a, b) = (rule("X"), rule("X"));
    let other = "AnalysisType: rule\nRuleID: [broken\n";
    let files = MemFiles::of(&[("r/a.yml", &a), ("r/b.yml", &b), ("r/other.yml", other), ("r/x.py", "nothing")]);
    let loaded = load(&files, &["r".into()], &[]);
    assert_eq!((loaded.rules.len(), loaded.files.len()), (1, 2));
    assert_eq!(told(&loaded), ["`X` is the id of the rule in r/a.yml too"]);
    let gone = load(&files, &["nowhere".into()], &[]);
    assert!(told(&gone)[0].contains("cannot read `nowhere`"));
}
