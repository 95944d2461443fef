//! A script that never ends is stopped at every event, and after too many stops it is not run any more: over restarts, until
//! an edit mends it. The rules beside it see every event.
use crate::numbers::{pipeline, topology};
use std::collections::BTreeMap;
use tests::run::Pipeline;

const HEAD: &str = "AnalysisType: rule\nEnabled: true\nSeverity: Low\nLogTypes: [Custom.Number]\n";
const FOREVER: &str = "function rule(e) if e.kind == 'bad' then while true do end end return true end";
const MENDED: &str = "function rule(e) return e.kind == 'bad' end";
/// More than the epochs hold that may be open at a time, and in each of them more than the engine endures.
const EVENTS: u64 = 3000;
/// Bytes of a field that no schema has, so that some 250 events fill an epoch.
const PADDING: usize = 4000;

/// Counts of the ledger for a rule.
fn counts(p: &Pipeline, rule: &str) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    let text = std::fs::read_to_string(p.out("state").join("ledger.jsonl")).unwrap();
    for row in text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()) {
        if row["node"] == "rules" && row["rule"] == rule {
            *out.entry(row["counter"].as_str().unwrap().to_string()).or_default() += row["n"].as_u64().unwrap();
        }
    }
    out
}

/// Append events to the input and run to its end; what the engine had to say.
fn more(p: &Pipeline, from: u64) -> String {
    let input = p.dir.path().join("in/numbers.jsonl");
    let mut text = std::fs::read_to_string(&input).unwrap();
    let padding = "x".repeat(PADDING);
    (from..from + EVENTS)
        .for_each(|n| text += &format!("{{\"n\": {n}, \"kind\": \"bad\", \"padding\": \"{padding}\"}}\n"));
    std::fs::write(&input, text).unwrap();
    String::from_utf8(p.once(1).unwrap().stderr).unwrap()
}

#[test]
fn a_runaway_rule_is_put_out_and_stays_out_until_it_is_mended() {
    let rules = [
        ("rules/good.yml", format!("{HEAD}RuleID: Good\nDetection: [{{Key: kind, Condition: Equals, Value: bad}}]\n")),
        ("rules/loop.yml", format!("{HEAD}RuleID: Loop\nFilename: loop.lua\n")),
        ("rules/loop.lua", FOREVER.to_string()),
    ];
    let rules: Vec<(&str, &str)> = rules.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let p = pipeline("quarantine", &rules);
    p.file(
        "topology.toml",
        topology("quarantine").replace("epoch = \"50ms\"", "epoch = \"50ms\"\nepoch_bytes = \"1MiB\""),
    )
    .unwrap();
    let said = more(&p, 0);
    assert!(said.contains("rule `Loop` of `rules` was stopped at its limits"), "{said}");
    let looped = counts(&p, "Loop");
    assert_eq!((looped.get("errors"), looped.get("matches")), (Some(&EVENTS), None), "{looped:?}");
    assert!(looped["stopped"] >= 100 && looped["stopped"] < EVENTS, "{looped:?}");
    assert_eq!(counts(&p, "Good")["matches"], EVENTS);
    let kinds: Vec<String> = p.rows("alerts.jsonl").iter().map(|a| a["dedup"].to_string()).collect();
    assert!(kinds.iter().any(|k| k.contains("QuarantineError")), "{kinds:?}");

    // Another start, from the snapshot alone.
    more(&p, EVENTS);
    let again = counts(&p, "Loop");
    assert_eq!((again["stopped"], again["errors"]), (looped["stopped"], 2 * EVENTS));

    p.file("rules/loop.lua", MENDED).unwrap();
    more(&p, 2 * EVENTS);
    let mended = counts(&p, "Loop");
    assert_eq!((mended["stopped"], mended["errors"], mended["matches"]), (looped["stopped"], 2 * EVENTS, EVENTS));
    assert_eq!(counts(&p, "Good")["matches"], 3 * EVENTS);
    assert!(p.millstream(&["audit"]).unwrap().status.success());
}
