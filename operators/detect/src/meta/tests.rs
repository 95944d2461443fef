//! Every key of a rule file: what is accepted, what is refused, and where the finding points.
use super::*;
use model::Severity;
use model::files::MemFiles;
use proptest::prelude::*;

const BASE: &str = "AnalysisType: rule\nRuleID: A.B\nEnabled: true\nSeverity: High\nLogTypes: [AWS.CloudTrail]\n";
const BODY: &str = "Detection:\n  - Key: a\n    Condition: Equals\n    Value: 1\n";

fn load_text(text: &str) -> (Vec<Rule>, Vec<Problem>) {
    let lua = "function rule(event) return true end";
    let files = MemFiles::of(&[("rules/r.yml", text), ("rules/r.lua", lua), ("rules/bad.lua", "function rule(\n")]);
    load(&files, &["rules/r.yml".into()])
}

/// The rule, which must have no findings.
fn good(text: &str) -> Rule {
    let (mut rules, problems) = load_text(text);
    assert_eq!(problems, [], "{text}");
    rules.pop().unwrap()
}

/// Findings of a text that gives no rule.
fn bad(text: &str) -> Vec<Problem> {
    let (rules, problems) = load_text(text);
    assert!(rules.is_empty() && problems.iter().any(|p| !p.warning), "{text}\n{problems:?}");
    problems
}

/// The base with one more line, or with the line of a key replaced.
fn with(line: &str) -> String {
    let key = line.split(':').next().unwrap();
    let base: String = BASE.lines().filter(|l| !l.starts_with(&format!("{key}:"))).map(|l| format!("{l}\n")).collect();
    let body = if ["Detection", "Filename"].contains(&key) { "" } else { BODY };
    format!("{base}{line}\n{body}")
}

#[test]
fn defaults() {
    let r = good(&format!("{BASE}{BODY}"));
    let m = &r.meta;
    assert_eq!((&*m.id, m.name.as_str(), m.severity), ("A.B", "A.B", Severity::High));
    assert_eq!((m.dedup_period_ms, m.threshold, m.create_alert), (3_600_000, 1, true));
    assert!(m.tags.is_empty() && m.reports.is_empty() && m.output_ids.is_empty() && m.summary.is_empty());
    assert_eq!((m.description.as_str(), m.reference.as_str(), m.runbook.as_str()), ("", "", ""));
    assert!(r.enabled && r.filters.is_empty() && r.alert_title.is_none() && r.tests.is_null());
    assert_eq!((r.file.as_str(), r.log_types.as_slice()), ("rules/r.yml", ["AWS.CloudTrail".into()].as_slice()));
    assert!(m.version.len() == 32 && m.version.bytes().all(|b| b.is_ascii_hexdigit()));
}

#[test]
fn every_key_has_good_and_bad_values() {
    let long = "x".repeat(1001);
    let prose = "x".repeat(10_001);
    let many = |n: usize| (0..n).map(|i| format!("t{i}")).collect::<Vec<_>>().join(", ");
    let (max, over) = (many(500), many(501));
    let good_values: Vec<(&str, Vec<String>)> = vec![
        ("RuleID", vec!["X.Y-z_1 ok".into(), "x".repeat(1000)]),
        ("Enabled", vec!["false".into(), "true".into()]),
        ("Severity", ["Info", "Low", "Medium", "High", "Critical", "CRITICAL"].map(String::from).to_vec()),
        ("LogTypes", vec!["[A.B]".into(), format!("[{max}]")]),
        ("DedupPeriodMinutes", vec!["5".into(), "1440".into(), "43200".into()]),
        ("Threshold", vec!["0".into(), "1".into(), "999999".into()]),
        ("CreateAlert", vec!["false".into()]),
        ("DisplayName", vec!["A name".into(), "''".into()]),
        ("Description", vec!["Some text".into(), "x".repeat(10_000)]),
        ("Reference", vec!["https://example.com".into()]),
        ("Runbook", vec!["Do this.".into()]),
        ("OutputIds", vec!["[a, b]".into(), "[]".into()]),
        ("Tags", vec!["[b, a]".into(), format!("[{max}]")]),
        (
            "Reports",
            vec!["{'MITRE ATT&CK': ['TA0006:T1110', 'TA0001:T1078.004'], CIS: ['1.1', 1.2]}".into(), "{}".into()],
        ),
        ("SummaryAttributes", vec!["[p_any_ip_addresses]".into()]),
        ("InlineFilters", vec!["[{All: []}]".into(), "[{KeyPath: a.b, Condition: Equals, Value: x}]".into()]),
        ("Tests", vec!["[{Name: t, ExpectedResult: true, Log: {a: 1}}]".into(), "[]".into()]),
        ("AlertTitle", vec!["'{a.b} did {c}'".into()]),
        ("AlertContext", vec!["[{KeyName: n, KeyValue: {KeyPath: a.b}}]".into()]),
        ("GroupBy", vec!["[{Key: a}, {DeepKey: [a, 0]}]".into()]),
        ("DynamicSeverities", vec!["[{ChangeTo: Low, Conditions: [{Key: a, Condition: Exists}]}]".into()]),
        ("Status", vec!["Stable".into()]),
        ("CreatedBy", vec!["ann".into()]),
        ("BaseVersion", vec!["'1'".into()]),
        ("OnlyUseBaseRiskScore", vec!["true".into()]),
        ("Detection", vec!["[{Condition: AlwaysTrue}]".into()]),
        ("Filename", vec!["r.lua".into()]),
        ("AnalysisType", vec!["rule".into()]),
    ];
    let bad_values: Vec<(&str, Vec<String>)> = vec![
        (
            "RuleID",
            vec!["''".into(), "'a<b'".into(), "'a&b'".into(), "'a%'".into(), "'a\"b'".into(), "1".into(), long.clone()],
        ),
        ("Enabled", vec!["On".into(), "1".into(), "'true'".into()]),
        ("Severity", vec!["Urgent".into(), "3".into(), "".into()]),
        ("LogTypes", vec!["[]".into(), "A.B".into(), "[1]".into(), format!("[{over}]")]),
        ("DedupPeriodMinutes", vec!["4".into(), "43201".into(), "1.5".into(), "'60'".into()]),
        ("Threshold", vec!["-1".into(), "1.5".into(), "many".into()]),
        ("CreateAlert", vec!["yes".into()]),
        ("DisplayName", vec![long.clone(), "[a]".into()]),
        ("Description", vec![prose.clone()]),
        ("Reference", vec![prose.clone(), "5".into()]),
        ("Runbook", vec![prose.clone()]),
        ("OutputIds", vec!["a".into(), "[{}]".into()]),
        ("Tags", vec![format!("[{over}]"), format!("[{long}]"), "['']".into()]),
        ("Reports", vec!["[a]".into(), "{CIS: 1}".into()]),
        ("SummaryAttributes", vec!["x".into()]),
        ("InlineFilters", vec!["[{KeyPath: a, Condition: Nope, Value: 1}]".into(), "5".into()]),
        ("Tests", vec!["5".into(), "[{Name: t}]".into(), "[{Name: t, ExpectedResult: yes, Log: {}}]".into()]),
        ("AlertTitle", vec!["'{a'".into(), "5".into()]),
        ("AlertContext", vec!["[{KeyName: n}]".into()]),
        ("GroupBy", vec!["[{Kee: a}]".into(), "a".into()]),
        ("DynamicSeverities", vec!["[{ChangeTo: Urgent, Conditions: []}]".into()]),
        ("Status", vec!["[1]".into()]),
        ("CreatedBy", vec!["5".into()]),
        ("BaseVersion", vec!["1".into()]),
        ("OnlyUseBaseRiskScore", vec!["x".into()]),
        ("Detection", vec!["[]".into(), "[{Key: a, Condition: Equals}]".into(), "x".into()]),
        ("Filename", vec!["r.txt".into(), "../r.lua".into(), "/r.lua".into(), "gone.lua".into(), "bad.lua".into()]),
        ("AnalysisType", vec!["rules".into(), "5".into()]),
    ];
    for known in keys::KNOWN {
        assert!(good_values.iter().any(|(k, _)| k == known), "{known} has no good value");
        assert!(bad_values.iter().any(|(k, _)| k == known), "{known} has no bad value");
    }
    for (key, values) in good_values {
        for v in values {
            good(&with(&format!("{key}: {v}")));
        }
    }
    for (key, values) in bad_values {
        for v in values {
            let text = with(&format!("{key}: {v}"));
            let problems = bad(&text);
            let at = text.lines().position(|l| l.starts_with(&format!("{key}:"))).unwrap() as u32 + 1;
            for p in problems {
                let (file, line, col) = p.file.clone().unwrap();
                assert_eq!(p.setting, "rules[0]");
                assert!(p.message.contains(key) || file == "rules/bad.lua", "{key}: {v:.20}: {p:?}");
                assert!(file == "rules/bad.lua" || (line, col > 0) == (at, true), "{key}: {v:.20}: {p:?}");
            }
        }
    }
}

#[test]
fn required_keys() {
    for key in ["AnalysisType", "RuleID", "Enabled", "Severity", "LogTypes"] {
        let text: String =
            format!("{BASE}{BODY}").lines().filter(|l| !l.starts_with(key)).map(|l| format!("{l}\n")).collect();
        let problems = bad(&text);
        assert!(
            problems.iter().any(|p| p.message.contains(key) && p.message.contains("missing")),
            "{key}: {problems:?}"
        );
    }
    assert!(bad(BASE)[0].message.contains("no body"));
    let both = bad(&format!("{BASE}{BODY}Filename: r.lua\n"));
    assert!(both[0].message.contains("cannot stand together"), "{both:?}");
}

#[test]
fn values_arrive() {
    let r = good(&format!(
        "{BASE}{BODY}DedupPeriodMinutes: 15\nThreshold: 0\nCreateAlert: false\nDisplayName: Name\nTags: [b, a, b]\n\
         Reports: {{'MITRE ATT&CK': ['TA0006:T1110', 'TA0001:T1078']}}\nRunbook: |\n  one\n  two\n\
         GroupBy: [{{Key: user}}]\nAlertTitle: 'T {{a}}'\n"
    ));
    let m = &r.meta;
    assert_eq!((m.dedup_period_ms, m.threshold, m.create_alert, m.name.as_str()), (900_000, 1, false, "Name"));
    assert_eq!((m.tags.as_slice(), m.runbook.as_str()), (["a".to_string(), "b".into()].as_slice(), "one\ntwo"));
    assert_eq!(m.reports["MITRE ATT&CK"], ["TA0001:T1078", "TA0006:T1110"]);
    assert!(r.group_by.len() == 1 && r.alert_title.is_some());
}

#[test]
fn all_findings_at_once_with_places_and_hints() {
    let text = "AnalysisType: rule\nRuleID: A\nEnabld: true\nSeverity: Bad\nLogTypes: [X]\nDetection:\n  - Key: a\n    \
                Condition: Equalls\n    Value: 1\n  - Kye: b\n    Condition: Exists\nTests:\n  - Name: t\n    \
                ExpectedResult: true\n    Log: {}\n    Mock: []\n";
    let problems = bad(text);
    let at = |line: u32| problems.iter().find(|p| p.file.as_ref().unwrap().1 == line);
    assert_eq!(at(3).unwrap().hint.as_deref(), Some("did you mean `Enabled`?"));
    assert!(at(4).unwrap().message.contains("Severity"));
    assert!(at(8).unwrap().message.contains("Equalls"), "{problems:#?}");
    assert!(at(10).is_some(), "{problems:#?}");
    assert_eq!(at(16).unwrap().hint.as_deref(), Some("did you mean `Mocks`?"));
    assert!(problems.iter().any(|p| p.message.contains("`Enabled` is missing")));
}

#[test]
fn yaml_keys_do_not_mix_with_lua() {
    for line in ["AlertTitle: x", "AlertContext: []", "GroupBy: []", "DynamicSeverities: []"] {
        let problems = bad(&format!("{BASE}Filename: r.lua\n{line}\n"));
        assert!(problems[0].hint.as_deref().unwrap().contains("(event)` in the Lua file"), "{problems:?}");
    }
    let problems = bad(&format!("{BASE}{BODY}Tests: [{{Name: t, ExpectedResult: true, Log: {{}}, Mocks: []}}]\n"));
    assert!(problems[0].message.contains("Mocks"), "{problems:?}");
    let lua_error = bad(&format!("{BASE}Filename: bad.lua\n"));
    assert_eq!(lua_error[0].file, Some(("rules/bad.lua".into(), 2, 1)));
}

#[test]
fn folders_types_and_duplicates() {
    let rule = |id: &str| format!("{BASE}{BODY}").replace("A.B", id);
    let files = MemFiles::of(&[
        ("rules/a.yml", &rule("One")),
        ("rules/sub/b.yaml", &rule("Two")),
        ("rules/c.yml", &rule("One")),
        ("rules/query.yml", "AnalysisType: saved_query\nQueryName: Q\n"),
        ("rules/readme.md", "not yaml: ["),
        ("rules/broken.yml", "a: [1\n"),
    ]);
    let (rules, problems) = load(&files, &["rules".into(), "rules/a.yml".into(), "gone".into()]);
    let ids: Vec<&str> = rules.iter().map(|r| &*r.meta.id).collect();
    assert_eq!(ids, ["One", "Two"]);
    let find = |what: &str| {
        problems.iter().find(|p| p.message.contains(what)).unwrap_or_else(|| panic!("{what}: {problems:?}"))
    };
    assert!(find("saved_query").warning);
    assert_eq!(find("not YAML").file.as_ref().unwrap().0, "rules/broken.yml");
    let twice = find("rules/a.yml");
    assert_eq!((twice.file.clone().unwrap(), twice.setting.as_str()), (("rules/c.yml".into(), 2, 1), "rules[0]"));
    assert_eq!(find("cannot read `gone`").setting, "rules[2]");
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn limits_of_files() {
    let at = |n: usize| {
        let lua = format!("function rule(e) return true end --{}", "x".repeat(n - 35));
        let files = MemFiles::of(&[("r.yml", &format!("{BASE}Filename: r.lua\n")), ("r.lua", &lua)]);
        assert_eq!(lua.len(), n);
        load(&files, &["r.yml".into()])
    };
    assert_eq!(at(MAX_BODY).1, []);
    assert!(at(MAX_BODY + 1).1[0].message.contains("longer than 100000 characters"));
    let big = format!("{BASE}{BODY}#{}", "x".repeat(MAX_FILE));
    let (_, problems) = load(&MemFiles::of(&[("r.yml", &big)]), &["r.yml".into()]);
    assert!(problems[0].message.contains("larger than"));
    let mut files = MemFiles::of(&[]);
    files.0.insert("r.yml".into(), b"a: \xff".to_vec().into());
    assert!(load(&files, &["r.yml".into()]).1[0].message.contains("not UTF-8"));
}

#[test]
fn the_version_follows_the_text_and_the_body() {
    let version = |yaml: &str, lua: &str| {
        let files = MemFiles::of(&[("r.yml", yaml), ("r.lua", lua)]);
        load(&files, &["r.yml".into()]).0[0].meta.version.clone()
    };
    let (yaml, lua) = (format!("{BASE}Filename: r.lua\n"), "function rule(e) return true end");
    let first = version(&yaml, lua);
    assert_eq!(first, version(&yaml, lua));
    assert_ne!(first, version(&yaml, "function rule(e) return false end"));
    assert_ne!(first, version(&format!("{yaml}Threshold: 2\n"), lua));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_text_gives_rules_or_findings(text in "\\PC{0,200}") {
        let (rules, problems) = load_text(&text);
        prop_assert!(!rules.is_empty() || !problems.is_empty());
    }

    #[test]
    fn a_damaged_rule_never_panics(at in 0usize..300, junk in "[\\PC\\n]{0,6}") {
        let mut text = format!("{BASE}{BODY}Tests: [{{Name: t, ExpectedResult: true, Log: {{a: 1}}}}]\n");
        let at = at.min(text.len());
        text.insert_str(at, &junk);
        let (rules, problems) = load_text(&text);
        prop_assert!(!rules.is_empty() || !problems.is_empty());
    }
}
