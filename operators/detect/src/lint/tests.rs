use super::*;
use crate::meta;
use model::files::MemFiles;

/// `T` has a text `name`, a number `count` and a list `tags`; nothing is known of other log types.
fn field(log_type: &str, path: &Path) -> Field {
    match (log_type, path.root()) {
        ("T", None) => Field::Is(kinds::ANY),
        ("T", Some("name")) => Field::Is(kinds::TEXT),
        ("T", Some("count")) => Field::Is(kinds::NUMBER),
        ("T", Some("tags")) => Field::Is(kinds::LIST),
        ("T", Some(other)) => Field::Missing(nearest(other, ["count", "name", "tags"].into_iter()).map(String::from)),
        _ => Field::Unknown,
    }
}

const GOOD: &str = "AnalysisType: rule
RuleID: R
Enabled: true
Severity: Low
Description: What it finds.
Runbook: What to do.
LogTypes: [T]
GroupBy: [{Key: name}]
";
const TESTS: &str = "Tests:
  - {Name: yes, ExpectedResult: true, Log: {name: a}}
  - {Name: no, ExpectedResult: false, Log: {name: b}}
";

fn with(minimum_tests: usize, parsed: Option<&[&str]>, text: &str) -> Vec<Finding> {
    let files = MemFiles::of(&[("rules/r.yml", text)]);
    let (rules, problems) = meta::load(&files, &["rules".into()]);
    assert_eq!(problems, [], "{text}");
    let parsed = parsed.map(|p| p.iter().map(|t| t.to_string()).collect());
    Lint { minimum_tests, parsed, field: &field }.run(&files, &rules)
}

/// `code line:col` of a rule with this body.
fn found(body: &str) -> Vec<String> {
    let text = format!("{GOOD}{TESTS}{body}");
    with(2, Some(&["T"]), &text).iter().map(|f| format!("{} {}:{}", f.code, f.line, f.col)).collect()
}

#[test]
fn a_good_rule_has_no_findings() {
    assert_eq!(found("Detection:\n  - {Key: name, Condition: Equals, Value: a}\n"), [""; 0]);
}

#[test]
fn what_never_matches_is_found_where_it_stands() {
    let never = |body: &str| {
        let text = format!("{GOOD}{TESTS}{body}");
        let found = with(2, Some(&["T"]), &text);
        assert_eq!(found.iter().map(|f| f.code).collect::<Vec<_>>(), ["never-matches"], "{body}");
        (found[0].line, found[0].message.clone(), found[0].hint.clone())
    };
    let (line, message, hint) = never(
        "Detection:\n  - {Key: name, Condition: Equals, Value: a}\n  - {Key: count, Condition: Exists}\n  - {Key: name, Condition: StartsWith, Value: b}\n",
    );
    assert_eq!((line, hint.as_deref()), (15, Some("compare it with the condition on line 13")));
    assert!(message.contains("contradict each other"), "{message}");
    let (line, message, hint) =
        never("Detection:\n  - {Key: name, Condition: Exists}\n  - {Key: count, Condition: Equals, Value: '5'}\n");
    assert!(line == 14 && message.contains("of this type") && hint.is_none(), "{line} {message}");
}

#[test]
fn fields_that_no_schema_has_are_found_with_what_is_meant() {
    let text = format!(
        "{GOOD}{TESTS}Detection:\n  - {{Key: nmae, Condition: Equals, Value: a}}\n  - {{KeyPath: p_any_ip_addresses, Condition: Exists}}\n"
    );
    let found = with(0, Some(&["T"]), &text);
    assert_eq!((found.len(), found[0].code, found[0].line, found[0].warning), (1, "unknown-field", 13, false));
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `name`?"));
    // Another log type of the rule may have it.
    let text = text.replace("LogTypes: [T]", "LogTypes: [T, U]");
    assert_eq!(with(0, Some(&["T", "U"]), &text), []);
}

#[test]
fn log_types_that_do_not_reach_a_rule_are_found() {
    let text = format!("{GOOD}{TESTS}Detection:\n  - {{Key: name, Condition: Equals, Value: a}}\n");
    let of = |f: &[Finding]| f.iter().map(|f| (f.code, f.line, f.warning)).collect::<Vec<_>>();
    assert_eq!(of(&with(0, Some(&["U"]), &text)), [("log-type-not-parsed", 7, true)]);
    let both = text.replace("LogTypes: [T]", "LogTypes: [T, V]");
    assert_eq!(of(&with(0, Some(&["T"]), &both)), [("log-type-not-parsed", 7, true)]);
    assert_eq!(of(&with(0, None, &both)), [("unknown-log-type", 7, true)]);
}

#[test]
fn tests_are_asked_for() {
    let body = "Detection:\n  - {Key: name, Condition: Equals, Value: a}\n";
    let of = |n, tests: &str| {
        let found = with(n, Some(&["T"]), &format!("{GOOD}{tests}{body}"));
        found.into_iter().map(|f| (f.code, f.warning)).collect::<Vec<_>>()
    };
    assert_eq!(of(0, ""), [("missing-tests", true)]);
    assert_eq!(of(1, ""), [("missing-tests", false)]);
    assert_eq!(of(3, TESTS), [("missing-tests", false)]);
    let one = "Tests:\n  - {Name: yes, ExpectedResult: true, Log: {name: a}}\n";
    assert_eq!(of(0, one), [("one-sided-tests", true)]);
    assert_eq!(of(2, one), [("missing-tests", false), ("one-sided-tests", false)]);
}

#[test]
fn severities_that_are_never_reached_are_found() {
    let body = "Detection:
  - {Key: name, Condition: IsNotNull}
DynamicSeverities:
  - ChangeTo: High
    Conditions: [{Key: name, Condition: StartsWith, Value: a}]
  - ChangeTo: Medium
    Conditions: [{Key: name, Condition: Equals, Value: abc}]
  - ChangeTo: Info
    Conditions: [{Key: name, Condition: IsNull}]
  - ChangeTo: Critical
    Conditions: [{Key: name, Condition: Equals, Value: b}]
";
    let found = with(0, Some(&["T"]), &format!("{GOOD}{TESTS}{body}"));
    let of: Vec<_> = found.iter().map(|f| (f.code, f.line)).collect();
    assert_eq!(of, [("unreachable-severity", 17), ("unreachable-severity", 19)], "{found:?}");
    assert!(found[0].message.contains("an entry before it") && found[1].message.contains("those of the rule"));
}

#[test]
fn costly_expressions_and_missing_texts_are_found() {
    let of = |pattern: &str| found(&format!("Detection:\n  - {{Key: name, Condition: Matches, Value: '{pattern}'}}\n"));
    for costly in ["abc", ".*admin", "^.*admin", "[a-z]+[0-9]", "admin([a-z]{1,900}){2}"] {
        assert_eq!(of(costly), ["costly-regex 13:5"], "{costly}");
    }
    assert_eq!(of("admin[0-9]+"), [""; 0]);
    let bare = "AnalysisType: rule\nRuleID: R\nEnabled: true\nSeverity: Low\nLogTypes: [T]\nDetection:\n  - {Key: name, Condition: Equals, Value: a}\n";
    let found = with(0, Some(&["T"]), &format!("{bare}{TESTS}"));
    let codes: BTreeSet<&str> = found.iter().map(|f| f.code).collect();
    assert_eq!(codes, ["constant-dedup", "no-description", "no-runbook"].into());
    assert!(found.iter().all(|f| f.warning));
}

#[test]
fn a_rule_that_matches_everything_is_found() {
    let found = found(
        "Detection:\n  - Any:\n      - {Key: name, Condition: Exists}\n      - {Key: name, Condition: DoesNotExist}\n",
    );
    assert_eq!(found, ["always-matches 12:1"]);
}
