//! Correlation rules in a topology: alerts of signals that make none themselves, the same ones on any number of workers, after
//! any kill, and when state moves to other workers.
use tests::correlation::{alerts, pipeline, run_killed, timed};
use tests::kills::Random;

const EVENTS: u64 = 6_000;

#[test]
fn correlation_rules_alert_alike_on_any_number_of_workers() {
    let p = pipeline(EVENTS, 7).unwrap();
    p.once(1).unwrap();
    let (want, rules) = alerts(&p);
    let ids: Vec<&str> = rules.keys().map(String::as_str).collect();
    assert_eq!(
        ids,
        ["Doors.Chain", "Doors.NoBadge", "Doors.Sequence", "Doors.Together", "sigma.little", "sigma.too-much"]
    );
    assert!(rules.values().all(|n| *n > 3), "{rules:?}");
    for workers in [2, 4] {
        let p = pipeline(EVENTS, 7).unwrap();
        p.once(workers).unwrap();
        assert_eq!(alerts(&p).0, want, "{workers} workers");
        let audit = p.millstream(&["audit"]).unwrap();
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    }
}

#[test]
fn correlation_state_survives_sigkill_and_rescale_with_equal_alerts() {
    let whole = pipeline(EVENTS, 8).unwrap();
    let time = timed(&whole, 2).unwrap();
    let (want, _) = alerts(&whole);
    let (mut random, mut hit) = (Random(8), 0);
    while hit < 8 {
        let p = pipeline(EVENTS, 8).unwrap();
        hit += run_killed(&p, 5, time, &mut random).unwrap();
        assert_eq!(alerts(&p).0, want, "after {hit} kills");
        let audit = p.millstream(&["audit"]).unwrap();
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    }
}

#[test]
fn tests_of_correlation_rules_run_with_those_of_the_others() {
    let p = pipeline(1, 1).unwrap();
    let rule = std::fs::read_to_string(p.dir.path().join("correlations/absent.yml")).unwrap();
    let tests =
        "Tests:\n  - {Name: alone, ExpectedResult: true, RuleOutputs: [{ID: C, Matches: {who.name: {kim: [0]}}}]}\n";
    p.file("correlations/absent.yml", format!("{rule}{tests}")).unwrap();
    let out = p.millstream(&["test", "rules", "correlations"]).unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && text.contains("1 tests passed, 0 failed"), "{text}");
    p.file("correlations/absent.yml", format!("{rule}{}", tests.replace("true", "false"))).unwrap();
    assert_eq!(p.millstream(&["test", "correlations"]).unwrap().status.code(), Some(1));
    let out = p.millstream(&["check"]).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_replay_correlates_too() {
    let p = pipeline(EVENTS, 7).unwrap();
    let replay = |workers: &str| {
        let args = ["replay", "--quiet", "--output", "json", "--to", "2100-01-01", "--workers", workers];
        let out = p.millstream(&args).unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()
    };
    let (one, two) = (replay("1"), replay("2"));
    assert_eq!(one["rules"], two["rules"]);
    for id in ["Doors.Chain", "Doors.NoBadge", "Doors.Sequence", "Doors.Together", "sigma.little", "sigma.too-much"] {
        let rule = &one["rules"][id];
        assert!(rule["alerts"].as_u64() > Some(0) && rule["matches"].as_u64() > Some(0), "{id}: {rule}");
    }
}
