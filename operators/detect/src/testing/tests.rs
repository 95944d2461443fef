//! Runs over small rule files: verdicts, expectations, mocks, and the forms of the report.
use super::*;
use model::files::MemFiles;
use serde_json::json;

const HEAD: &str = "AnalysisType: rule\nEnabled: true\nSeverity: Low\nLogTypes: [A.B]\n";

const YAML: &str = "RuleID: Yaml.One
Detection:
  - Key: action
    Condition: Equals
    Value: deny
  - Enrichment: {Table: geo, Selector: ip, FieldPath: country}
    Condition: IsIn
    Values: [KP, IR]
InlineFilters:
  - KeyPath: p_log_type
    Condition: Equals
    Value: A.B
AlertTitle: 'denied {user}'
GroupBy: [{Key: user}]
AlertContext: [{KeyName: who, KeyValue: {Key: user}}]
DynamicSeverities: [{ChangeTo: Critical, Conditions: [{Key: user, Condition: Equals, Value: root}]}]
Tests:
  - Name: denied
    ExpectedResult: true
    ExpectedTitle: denied root
    ExpectedDedup: root
    ExpectedSeverity: CRITICAL
    ExpectedAlertContext: {who: root}
    Log: {p_log_type: A.B, action: deny, user: root, p_enrichment: {geo: {ip: {country: IR}}}}
  - Name: filtered
    ExpectedResult: false
    Log: {p_log_type: X, action: deny, user: root, p_enrichment: {geo: {ip: {country: IR}}}}
";

const LUA_YAML: &str = "RuleID: Lua.One
Filename: one.lua
Tests:
  - Name: mocked
    ExpectedResult: true
    ExpectedTitle: known ann
    ExpectedDestinations: [ops]
    Mocks: [{objectName: known, returnValue: true}]
    Log: {user: ann}
  - Name: not mocked
    ExpectedResult: false
    Log: {user: ann}
";

const LUA: &str = "function known(user) return false end
function rule(event) return known(event.user) end
function title(event) return 'known ' .. event.user end
function destinations() return {'ops'} end
";

fn run_of(files: &[(&str, String)], options: Options) -> Report {
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (*p, t.as_str())).collect();
    run(&MemFiles::of(&files), &["r".into()], &options)
}

fn both() -> Vec<(&'static str, String)> {
    vec![("r/lua.yml", format!("{HEAD}{LUA_YAML}")), ("r/one.lua", LUA.into()), ("r/yaml.yml", format!("{HEAD}{YAML}"))]
}

#[test]
fn yaml_and_lua_tests_pass() {
    let report = run_of(&both(), Options { filter: None, minimum_tests: 2, ..Options::default() });
    assert!(report.passed(), "{}", report.to_text(false, false));
    assert_eq!((report.counts(), report.rules.len()), ((4, 0), 2));
}

#[test]
fn every_expectation_can_fail() {
    for (from, to, field) in [
        ("ExpectedTitle: denied root", "ExpectedTitle: other", "ExpectedTitle"),
        ("ExpectedDedup: root", "ExpectedDedup: other", "ExpectedDedup"),
        ("ExpectedSeverity: CRITICAL", "ExpectedSeverity: LOW", "ExpectedSeverity"),
        ("ExpectedAlertContext: {who: root}", "ExpectedAlertContext: {who: x}", "ExpectedAlertContext.who"),
        ("ExpectedAlertContext: {who: root}", "ExpectedAlertContext: {}", "ExpectedAlertContext.who"),
        ("country: IR}}}}\n  - Name: f", "country: US}}}}\n  - Name: f", "ExpectedResult"),
        ("p_log_type: X", "p_log_type: A.B", "ExpectedResult"),
    ] {
        let text = format!("{HEAD}{YAML}");
        assert!(text.contains(from));
        let report = run_of(&[("r/yaml.yml", text.replacen(from, to, 1))], Options::default());
        let failed: Vec<_> = report.rules[0].tests.iter().flat_map(|t| &t.differences).collect();
        assert!(failed.len() == 1 && failed[0].field == field, "{from}: {failed:?}");
        assert!(!report.passed());
    }
}

#[test]
fn errors_fail_a_case_that_expects_a_match_only() {
    let lua = "function rule(event) return event.yes end function title(event) return event.a.b end";
    let yaml = "RuleID: L\nFilename: l.lua\nTests:\n  - {Name: aux fails, ExpectedResult: true, Log: {yes: true}}\n  \
                - {Name: no match, ExpectedResult: false, Log: {yes: false}}\n  \
                - {Name: rule fails, ExpectedResult: false, Log: {yes: 1}}\n";
    let report = run_of(&[("r/l.yml", format!("{HEAD}{yaml}")), ("r/l.lua", lua.into())], Options::default());
    let passed: Vec<bool> = report.rules[0].tests.iter().map(|t| t.verdict == Verdict::Passed).collect();
    assert_eq!(passed, [false, true, false]);
    assert!(report.rules[0].tests[0].errors[0].starts_with("title(): RuntimeError: r/l.lua:1:"));
    assert!(report.rules[0].tests[2].errors[0].contains("must return a boolean"));
}

#[test]
fn minimum_and_filter() {
    let one = format!(
        "{HEAD}RuleID: One\nDetection: [{{Condition: AlwaysTrue}}]\nTests: [{{Name: t, ExpectedResult: true, Log: {{}}}}]\n"
    );
    let two = one.replace("Tests: [", "Tests: [{Name: u, ExpectedResult: true, Log: {}}, ");
    let shortage = |text: &str, minimum_tests| {
        run_of(&[("r/a.yml", text.into())], Options { filter: None, minimum_tests, ..Options::default() }).rules[0]
            .shortage
            .clone()
    };
    assert_eq!(shortage(&one, 0), None);
    assert_eq!(shortage(&one, 1), None);
    assert_eq!(shortage(&one, 2).unwrap(), "has 1 of at least 2 tests");
    assert!(shortage(&two, 2).unwrap().contains("one that expects none"));
    let filtered = |f: &str| {
        run_of(&both(), Options { filter: Some(f.into()), minimum_tests: 0, ..Options::default() }).rules.len()
    };
    assert_eq!((filtered("Lua.One"), filtered("A.B"), filtered("r/yaml"), filtered("nothing")), (1, 2, 1, 0));
}

#[test]
fn reports_in_three_forms() {
    let mut files = both();
    files[0].1 = files[0].1.replace("known ann", "<\"&' \\u0001>");
    files.push(("r/broken.yml", "RuleID: [\n".into()));
    let report = run_of(&files, Options::default());
    assert!(!report.passed());

    let text = report.to_text(false, false);
    for part in ["FAIL  r/broken.yml:2:1: this is not YAML", "Yaml.One  r/yaml.yml", "  PASS  denied", "  FAIL  mocked"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(
        text.contains("got      \"known ann\"")
            && text.ends_with("2 rules: 3 tests passed, 1 failed, 1 other findings\n"),
        "{text}"
    );
    assert!(!report.to_text(false, true).contains("Yaml.One") && report.to_text(true, false).contains("\u{1b}[31m"));

    let j = report.to_json();
    assert_eq!(j["tests"], json!({"passed": 3, "failed": 1, "unknown": 0}));
    assert_eq!(j["rules"][0]["tests"][0]["differences"][0]["got"], json!("\"known ann\""));
    assert_eq!((&j["problems"][0]["line"], &j["passed"]), (&json!(2), &json!(false)));

    let xml = report.to_junit();
    assert!(xml.contains("<testsuite name=\"Lua.One\" tests=\"2\" failures=\"1\" file=\"r/lua.yml\">"), "{xml}");
    assert!(xml.contains("&lt;") && xml.contains("&quot;") && xml.contains("&amp;") && xml.contains("&apos;"), "{xml}");
    let bare = xml
        .replace("&amp;", "")
        .replace("&lt;", "")
        .replace("&gt;", "")
        .replace("&quot;", "")
        .replace("&apos;", "")
        .replace("&#10;", "");
    assert!(!bare.contains('&') && !bare.chars().any(|c| c < ' ' && c != '\n'), "{xml}");
}

#[test]
fn limit_of_cases() {
    let case = "{Name: t, ExpectedResult: true, Log: {}}";
    let rule = |n: usize| {
        let tests = vec![case; n].join(", ");
        let text = format!("{HEAD}RuleID: One\nDetection: [{{Condition: AlwaysTrue}}]\nTests: [{tests}]\n");
        run_of(&[("r/a.yml", text)], Options::default())
    };
    assert_eq!(rule(MAX_CASES).counts(), (MAX_CASES, 0));
    assert!(rule(MAX_CASES + 1).problems[0].message.contains("more than 500"));
}
