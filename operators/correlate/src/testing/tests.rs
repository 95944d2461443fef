use super::*;
use model::files::MemFiles;

/// Runs the tests of one rule file: name and verdict of each, whether they passed.
fn run_one(text: &str) -> (Vec<(String, bool)>, Report) {
    let files = MemFiles::of(&[("rules/a.yml", text)]);
    let mut report = Report::default();
    run(&files, &["rules".into()], &Options::default(), &mut report);
    let tests =
        report.rules.iter().flat_map(|r| &r.tests).map(|t| (t.name.clone(), t.verdict == Verdict::Passed)).collect();
    (tests, report)
}

fn rule(detection: &str, tests: &str) -> String {
    format!(
        "AnalysisType: correlation_rule\nRuleID: A.B\nEnabled: false\nSeverity: High\nDetection:\n{detection}\n    \
         Schedule: {{RateMinutes: 60, TimeoutMinutes: 5}}\nTests:\n{tests}"
    )
}

fn all_pass(detection: &str, tests: &str) {
    let (got, report) = run_one(&rule(detection, tests));
    assert!(report.passed() && !got.is_empty(), "{}", report.to_text(false, false));
}

const GROUP: &str = "  - Group:
      - {ID: Opened, RuleID: Door.Opened}
      - {ID: Alarm, RuleID: Alarm.Off, MinMatchCount: 2}
    MatchCriteria:
      door:
        - {GroupID: Opened, Match: door.id}
        - {GroupID: Alarm, Match: p_alert_context.doors}
    LookbackWindowMinutes: 30";

#[test]
fn a_group_in_any_order() {
    all_pass(
        GROUP,
        "  - {Name: yes, ExpectedResult: true, RuleOutputs: [
        {ID: Opened, Matches: {door.id: {d1: [20]}}}, {ID: Alarm, Matches: {p_alert_context.doors: {d1: [0, 30]}}}]}
  - {Name: too few, ExpectedResult: false, RuleOutputs: [
        {ID: Opened, Matches: {door.id: {d1: [20]}}}, {ID: Alarm, Matches: {p_alert_context.doors: {d1: [0], d2: [30]}}}]}
  - {Name: too far apart, ExpectedResult: false, RuleOutputs: [
        {ID: Opened, Matches: {door.id: {d1: [31]}}}, {ID: Alarm, Matches: {p_alert_context.doors: {d1: [0, 1]}}}]}
  - {Name: of other doors, ExpectedResult: false, RuleOutputs: [
        {ID: Opened, Matches: {door.id: {d2: [3]}}}, {ID: Alarm, Matches: {p_alert_context.doors: {d1: [0, 1]}}}]}
  - {Name: as clock times, ExpectedResult: true, RuleOutputs: [
        {ID: Opened, Matches: {door.id: {d1: ['2026-03-01T10:00:00Z']}}},
        {ID: Alarm, Matches: {p_alert_context.doors: {d1: ['2026-03-01T11:00:00+01:00', '2026-03-01T10:05:00.5Z']}}}]}
  - {Name: nothing, ExpectedResult: false, RuleOutputs: []}\n",
    );
}

#[test]
fn absence_before_and_after() {
    let detection = "  - Group:
      - {ID: Badge, RuleID: Badge.Read, Absence: true}
      - {ID: Opened, RuleID: Door.Opened}
    MatchCriteria:
      who: [{GroupID: Badge, Match: owner}, {GroupID: Opened, Match: user}]
    LookbackWindowMinutes: 30";
    all_pass(
        detection,
        "  - {Name: alone, ExpectedResult: true, RuleOutputs: [{ID: Opened, Matches: {user: {kim: [5]}}}]}
  - {Name: before, ExpectedResult: false, RuleOutputs: [
        {ID: Opened, Matches: {user: {kim: [30]}}}, {ID: Badge, Matches: {owner: {kim: [0]}}}]}
  - {Name: after, ExpectedResult: false, RuleOutputs: [
        {ID: Opened, Matches: {user: {kim: [0]}}}, {ID: Badge, Matches: {owner: {kim: [30]}}}]}
  - {Name: of another, ExpectedResult: true, RuleOutputs: [
        {ID: Opened, Matches: {user: {kim: [0]}}}, {ID: Badge, Matches: {owner: {lee: [1]}}}]}
  - {Name: long before, ExpectedResult: true, RuleOutputs: [
        {ID: Opened, Matches: {user: {kim: [31]}}}, {ID: Badge, Matches: {owner: {kim: [0]}}}]}
  - {Name: only absent, ExpectedResult: false, RuleOutputs: [{ID: Badge, Matches: {owner: {kim: [0]}}}]}\n",
    );
}

#[test]
fn at_most_and_some_of_them() {
    all_pass(
        "  - Group:
      - {ID: A, RuleID: a, MaxMatchCount: 2}
      - {ID: B, RuleID: b}
      - {ID: C, RuleID: c}
    MinMatchCount: 2
    LookbackWindowMinutes: 30",
        "  - {Name: two of three, ExpectedResult: true, RuleOutputs: [
        {ID: B, Matches: {x: {y: [5]}}}, {ID: C, Matches: {x: {y: [1]}}}]}
  - {Name: one of three, ExpectedResult: false, RuleOutputs: [{ID: B, Matches: {x: {y: [5, 6]}}}]}
  - {Name: within bounds, ExpectedResult: true, RuleOutputs: [
        {ID: A, Matches: {x: {y: [5, 6]}}}, {ID: C, Matches: {x: {z: [1]}}}]}
  - {Name: too many, ExpectedResult: false, RuleOutputs: [
        {ID: A, Matches: {x: {y: [5, 6, 7]}}}, {ID: C, Matches: {x: {z: [1]}}}]}\n",
    );
}

#[test]
fn a_sequence_in_its_order_and_time() {
    let detection = "  - Sequence:
      - {ID: A, RuleID: a}
      - {ID: B, RuleID: b, MinMatchCount: 2}
      - {ID: C, RuleID: c}
    Transitions:
      - {ID: t1, From: A, To: B, WithinTimeFrameMinutes: 10, Match: [{On: user}]}
      - {ID: t2, From: B, To: C, Match: [{From: user, To: actor.name}]}
    LookbackWindowMinutes: 30";
    let case = |name: &str, want: bool, a: &str, b: &str, c: &str| {
        format!(
            "  - {{Name: {name}, ExpectedResult: {want}, RuleOutputs: [{{ID: A, Matches: {{user: {{u: {a}}}}}}}, \
             {{ID: B, Matches: {{user: {{u: {b}}}}}}}, {{ID: C, Matches: {{actor.name: {{u: {c}}}}}}}]}}\n"
        )
    };
    let tests = [
        case("in order", true, "[0]", "[1, 10]", "[30]"),
        case("the second too late", false, "[0]", "[1, 11]", "[12]"),
        case("out of order", false, "[5]", "[1, 2]", "[6]"),
        case("one moment", true, "[5]", "[5, 5.5]", "[5.5]"),
        case("longer than the window", false, "[0]", "[1, 2]", "[31]"),
        case("a later beginning will do", true, "[0, 8]", "[9, 12]", "[31]"),
    ];
    all_pass(detection, &tests.concat());
}

#[test]
fn a_sequence_that_is_not_followed() {
    all_pass(
        "  - Sequence:
      - {ID: A, RuleID: a}
      - {ID: B, RuleID: b, Absence: true}
    Transitions:
      - {ID: A NOT FOLLOWED BY B, From: A, To: B, WithinTimeFrameMinutes: 10, Match: [{On: user}]}
    LookbackWindowMinutes: 30",
        "  - {Name: followed, ExpectedResult: false, RuleOutputs: [
        {ID: A, Matches: {user: {u: [0]}}}, {ID: B, Matches: {user: {u: [10]}}}]}
  - {Name: later, ExpectedResult: true, RuleOutputs: [
        {ID: A, Matches: {user: {u: [0]}}}, {ID: B, Matches: {user: {u: [11]}}}]}
  - {Name: before, ExpectedResult: true, RuleOutputs: [
        {ID: A, Matches: {user: {u: [5]}}}, {ID: B, Matches: {user: {u: [4]}}}]}\n",
    );
}

#[test]
fn a_test_that_fails_says_so_and_a_shortage_too() {
    let text = rule(GROUP, "  - {Name: no, ExpectedResult: true, RuleOutputs: []}\n");
    let (got, report) = run_one(&text);
    assert_eq!((got, report.passed()), (vec![("no".to_string(), false)], false));
    assert_eq!(report.rules[0].tests[0].differences[0].got, "false");
    let files = MemFiles::of(&[("rules/a.yml", &text)]);
    let mut report = Report::default();
    run(&files, &["rules".into()], &Options { minimum_tests: 2, ..Options::default() }, &mut report);
    assert!(report.rules[0].shortage.is_some());
    let mut none = Report::default();
    run(&files, &["rules".into()], &Options { filter: Some("other".into()), ..Options::default() }, &mut none);
    assert!(none.rules.is_empty());
}

#[test]
fn what_is_wrong_has_its_place() {
    let bad = |from: &str, to: &str, want: &str| {
        let good =
            rule(GROUP, "  - {Name: no, ExpectedResult: false, RuleOutputs: [{ID: Alarm, Matches: {a: {b: [1]}}}]}\n");
        assert!(run_one(&good).1.passed());
        assert!(good.contains(from), "{from}");
        let (_, report) = run_one(&good.replace(from, to));
        let told: Vec<String> = report.problems.iter().map(|p| p.message.clone()).collect();
        let placed =
            report.problems.iter().all(|p| p.file.as_ref().is_some_and(|(f, line, _)| f == "rules/a.yml" && *line > 0));
        assert!(placed && told.iter().any(|m| m.contains(want)), "{to}: {told:?}");
    };
    bad("Group:", "Groop:", "has not one of `Group` and `Sequence`");
    bad("RuleID: A.B", "RuleID: A.B\nLogTypes: [x]", "`LogTypes` is not a key");
    bad("GroupID: Alarm", "GroupID: Alam", "names `Alam`, which is no item");
    bad("        - {GroupID: Opened, Match: door.id}\n", "", "leaves out Opened");
    bad("MinMatchCount: 2", "MinMatchCount: 0", "must be a whole number from 1 to");
    bad("MinMatchCount: 2", "Absence: true, MinMatchCount: 2", "must be absent, so");
    bad("MinMatchCount: 2", "MinMatchCount: 2, MaxMatchCount: 1", "has a `MaxMatchCount` below");
    bad("Match: door.id", "Match: 'door['", "path `door[`");
    bad(
        "LookbackWindowMinutes: 30",
        "LookbackWindowMinutes: 30\n    EventEvaluationOrder: Random",
        "must be `Chronological`",
    );
    bad("RateMinutes: 60", "RateMinutes: 3", "has a `TimeoutMinutes` above");
    bad("RateMinutes: 60", "CronExpression: daily", "must have five or six fields");
    bad("{ID: Alarm, Matches: {a: {b: [1]}}}", "{ID: Al, Matches: {}}", "names `Al`, which is no item");
    bad("[1]", "[soon]", "has the time \"soon\"");
    bad("Name: no, ", "Name: no, Log: {}, ", "is not a key of a test");
}

#[test]
fn a_sequence_joins_all_or_nothing() {
    let detection = |transitions: &str| {
        format!(
            "  - Sequence: [{{ID: A, RuleID: a}}, {{ID: B, RuleID: b}}, {{ID: C, RuleID: c}}]\n    Transitions: [{transitions}]"
        )
    };
    for (transitions, want) in [
        ("{ID: t, From: A, To: C}", "does not follow the order"),
        ("{ID: t, From: A, To: B, Match: [{On: x}]}", "do not join all items"),
        ("{ID: t, From: A, To: B, Match: [{On: x}]}, {ID: u, From: B, To: C}", "do not join all items"),
        ("{ID: t, From: A, To: B, Match: [{On: x, To: y}]}", "has not one of `On`"),
        ("{ID: t, From: A, To: B}, {ID: u, From: A, To: B}", "have a transition"),
    ] {
        let (_, report) = run_one(&rule(&detection(transitions), "  []"));
        assert!(report.problems.iter().any(|p| p.message.contains(want)), "{transitions}: {:?}", report.problems);
    }
    // An item between two transitions has the value in both fields.
    let (_, report) = run_one(&rule(
        &detection(
            "{ID: t, From: A, To: B, Match: [{From: x, To: y}]}, {ID: u, From: B, To: C, Match: [{From: z, To: x}]}",
        ),
        "  - {Name: both, ExpectedResult: true, RuleOutputs: [{ID: A, Matches: {x: {v: [0]}}},
        {ID: B, Matches: {y: {v: [1]}, z: {v: [1]}}}, {ID: C, Matches: {x: {v: [2]}}}]}
  - {Name: different, ExpectedResult: false, RuleOutputs: [{ID: A, Matches: {x: {v: [0]}}},
        {ID: B, Matches: {y: {v: [1]}, z: {w: [1]}}}, {ID: C, Matches: {x: {w: [2]}}}]}\n",
    ));
    assert!(report.passed() && report.rules.len() == 1, "{}", report.to_text(false, false));
}
