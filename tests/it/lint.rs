//! `rules lint`, `rules explain` and `rules shadow` with the real binary.
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tests::run::{Pipeline, eventually, wait};

const RULES: &[(&str, &str)] = &[
    (
        "rules/good.yml",
        "AnalysisType: rule\nRuleID: Good\nEnabled: true\nSeverity: High\nDescription: d\nRunbook: r\nLogTypes: [Custom.Number]\n\
         GroupBy: [{Key: kind}]\nDetection:\n  - {Key: n, Condition: IsGreaterThan, Value: 7}\nTests:\n\
         \x20 - {Name: a, ExpectedResult: true, Log: {n: 8}}\n  - {Name: b, ExpectedResult: false, Log: {n: 7}}\n",
    ),
    (
        "rules/poor.yml",
        "AnalysisType: rule\nRuleID: Poor\nEnabled: true\nSeverity: Low\nLogTypes: [Custom.Number]\n\
         Detection:\n  - {Key: nn, Condition: Equals, Value: 7}\n  - {Key: kind, Condition: Equals, Value: 5}\n",
    ),
    (
        "rules/far.yml",
        "AnalysisType: rule\nRuleID: Far\nEnabled: true\nSeverity: Low\nLogTypes: [Custom.Numbers]\n\
         Detection:\n  - {Key: n, Condition: Equals, Value: 7}\n",
    ),
];

fn run(p: &Pipeline, args: &[&str]) -> (i32, String) {
    let out = p.millstream(args).unwrap();
    (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap())
}

#[test]
fn everything_doubtful_is_found_at_once_with_its_place() {
    let p = crate::numbers::pipeline("lint", RULES);
    let (code, text) = run(&p, &["rules", "lint", "topology.toml"]);
    for part in [
        "rules/poor.yml:7:5: error[unknown-field]: Poor: `nn` is no field of Custom.Number: it is always missing\n   = help: did you mean `n`?",
        "rules/poor.yml:8:5: error[never-matches]: Poor: the rule can never match",
        "rules/far.yml:5:12: warning[log-type-not-parsed]: Far: no event of log type `Custom.Numbers` reaches the rule",
        "did you mean `Custom.Number`?",
        "warning[missing-tests]: Far",
        "2 errors, ",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(code == 1 && !text.contains("Good"), "{text}");
    // Alone there is no topology that parses; its schemas may be named.
    let (code, text) = run(&p, &["rules", "lint", "rules/good.yml", "--schemas", "schemas", "--minimum-tests", "2"]);
    assert_eq!((code, text.as_str()), (0, "0 errors, 0 warnings\n"));
    let (code, json) = run(&p, &["rules", "lint", "rules/good.yml", "--output", "json", "--minimum-tests", "3"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, &json[0]["code"], &json[1]["code"]),
        (1, &"unknown-log-type".into(), &"missing-tests".into()),
        "{json}"
    );
    assert_eq!(run(&p, &["rules", "lint", "rules/good.yml"]).0, 0, "warnings are no failure");
    assert_eq!(run(&p, &["rules", "lint", "rules/good.yml", "--strict"]).0, 1);
    // What does not load is told by the same command.
    p.file("rules/bad.yml", RULES[0].1.replace("Detection", "Detecton")).unwrap();
    let (code, text) = run(&p, &["rules", "lint", "rules"]);
    assert!(code == 1 && text.contains("error[load]") && text.contains("did you mean `Detection`?"), "{text}");
    assert!(text.contains("Poor") && text.contains("Far"), "the others are looked at all the same: {text}");
}

#[test]
fn a_rule_is_explained_with_what_a_run_says_of_it() {
    let p = crate::numbers::pipeline("lint", &RULES[..1]);
    p.file("in/numbers.jsonl", (0..20).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>()).unwrap();
    let (code, text) = run(&p, &["rules", "explain", "Good"]);
    assert!(code == 0 && text.contains("woken by n: n > 7") && !text.contains("ledger"), "{text}");
    p.once(1).unwrap();
    let (code, json) = run(&p, &["rules", "explain", "Good", "--output", "json", "--events", "20"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let x = &json[0];
    assert_eq!((code, &x["id"], &x["measured"][0]), (0, &"Good".into(), &"Custom.Number".into()), "{json}");
    assert_eq!(
        (&x["ledger"][0], &x["ledger"][1]["matches"], &x["cost"]["matches"]),
        (&20.into(), &12.into(), &12.into())
    );
    assert_eq!(x["ledger"][1]["window.alerted"], 1);
    assert_eq!(run(&p, &["rules", "explain", "Bad"]).0, 1);
}

const SHADOW: &str = "AnalysisType: rule\nRuleID: Good\nEnabled: true\nSeverity: High\nLogTypes: [Custom.Number]\n\
     AlertTitle: 'seen {n}'\nDetection:\n  - {Key: n, Condition: IsIn, Values: [3, 9]}\n";

#[test]
fn a_shadow_rule_is_added_and_removed_while_the_engine_runs_and_never_alerts() {
    let p = crate::numbers::pipeline("lint", &RULES[..1]);
    p.file("trial/good.yml", SHADOW).unwrap();
    let plain = std::fs::read_to_string(p.dir.path().join("topology.toml")).unwrap();
    let with = plain.replace("rules = [\"rules\"]\n", "rules = [\"rules\"]\nshadow = [\"trial\"]\n")
        + "\n[sinks.gained]\ntype = \"jsonl\"\ninputs = [\"rules.gained\"]\npath = \"out/gained.jsonl\"\n\
           \n[sinks.lost]\ntype = \"parquet\"\ninputs = [\"rules.lost\"]\npath = \"out/lost\"\n";
    let numbers = |from: u32| (from..from + 12).map(|n| format!("{{\"n\":{}}}\n", n % 12)).collect::<String>();
    let feed = |text: String| {
        use std::io::Write;
        let path = p.dir.path().join("in/numbers.jsonl");
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    let read = |n: usize| {
        let rows = || p.read("events.jsonl").iter().filter(|b| **b == b'\n').count();
        eventually("the rows are committed", Duration::from_secs(60), || rows() >= n);
    };
    let log = std::fs::File::create(p.dir.path().join("stderr.log")).unwrap();
    let args = ["run", "topology.toml", "--workers", "2", "--no-watch"];
    let mut child = p.command(&args).stderr(log).stdout(Stdio::null()).spawn().unwrap();
    feed(numbers(0));
    read(12);
    let (code, _) = run(&p, &["rules", "shadow"]);
    assert_eq!(code, 1, "there is none yet");
    p.file("topology.toml", &with).unwrap();
    let (code, text) = run(&p, &["apply"]);
    assert!(code == 0, "{text}");
    feed(numbers(0));
    read(24);
    let mut json = Value::Null;
    // The lake shows its rows at a snapshot, which may come after the ledger's row of the epoch.
    eventually("ledger and lake are written", Duration::from_secs(60), || {
        json = serde_json::from_str(&run(&p, &["rules", "shadow", "--output", "json"]).1).unwrap_or_default();
        let lost = json[0]["rules"]["Good"]["lost_samples"].as_array().map_or(0, Vec::len);
        json[0]["events"] == 12 && lost == 3
    });
    let d = &json[0]["rules"]["Good"];
    assert_eq!((&d["live_matches"], &d["shadow_matches"], &d["both"]), (&4.into(), &2.into(), &1.into()), "{json}");
    assert_eq!((&d["gained"], &d["lost"], &d["live"]), (&1.into(), &3.into(), &true.into()));
    assert_eq!(d["gained_samples"][0]["title"], "seen 3");
    let (_, text) = run(&p, &["rules", "shadow"]);
    assert!(text.contains("    + ") && text.contains("seen 3") && text.contains("    - "), "{text}");
    // Back to what was.
    p.file("topology.toml", &plain).unwrap();
    assert_eq!(run(&p, &["apply"]).0, 0);
    feed(numbers(0));
    read(36);
    // SAFETY: our own child.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert!(wait(&mut child, Duration::from_secs(60)).unwrap().success());
    let alerts = p.rows("alerts.jsonl");
    assert!(alerts.len() == 1 && alerts[0]["title"] == "Good", "{alerts:?}");
    let audit = p.millstream(&["audit"]).unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}
