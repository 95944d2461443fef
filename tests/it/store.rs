//! Python rules that share the key-value store: alerts as a plain model has them, the same ones on any number of workers, after any
//! kill, and when the store moves to another worker.
use tests::correlation::{alerts, run_killed, timed};
use tests::kills::Random;
use tests::store::{expected, found, pipeline};

const EVENTS: u64 = 6_000;

#[test]
fn rules_that_share_the_store_alert_alike_on_any_number_of_workers() {
    let want = expected(EVENTS, 7);
    let mut all = Vec::new();
    for workers in [1, 2, 4] {
        let p = pipeline(EVENTS, 7).unwrap();
        p.once(workers).unwrap();
        assert!(found(&p) == want, "{workers} workers: {} alerts, not {}", found(&p).len(), want.len());
        all.push(alerts(&p));
        let audit = p.millstream(&["audit"]).unwrap();
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    }
    assert!(all[0].1.len() == 3 && all[0].1.values().all(|n| *n > 20), "{:?}", all[0].1);
    assert!(all.iter().all(|a| *a == all[0]), "ids, times and texts are the same");
}

#[test]
fn the_store_survives_sigkill_and_rescale_with_equal_alerts() {
    let whole = pipeline(EVENTS, 8).unwrap();
    let time = timed(&whole, 2).unwrap();
    let (want, _) = alerts(&whole);
    assert!(found(&whole) == expected(EVENTS, 8));
    let (mut random, mut hit) = (Random(8), 0);
    while hit < 8 {
        let p = pipeline(EVENTS, 8).unwrap();
        hit += run_killed(&p, 5, time, &mut random).unwrap();
        assert!(alerts(&p).0 == want, "after {hit} kills");
        let audit = p.millstream(&["audit"]).unwrap();
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    }
}

/// Events of a run that no machine is through with at its second snapshot.
const LONG: u64 = 25_000;
/// Points of the protocol that state depends on, and which of their hits kills.
const POINTS: [(&str, u64); 6] = [
    ("state.after_apply", 25),
    ("snapshot.mid_objects", 2),
    ("object.before_rename", 3),
    ("manifest.before_publish", 2),
    ("manifest.after_publish", 2),
    ("sink.after_commit", 14),
];

#[test]
fn the_store_is_right_after_a_death_in_the_middle_and_a_store_that_is_not_saved_is_noticed() {
    let want = expected(LONG, 9);
    let after = |point: &str, hit: u64, fault: &str| {
        let p = pipeline(LONG, 9).unwrap();
        let run = ["run", "topology.toml", "--once", "--no-supervisor", "--workers"];
        let crash = format!("{point}:{hit}");
        let env = [("MILLSTREAM_CRASH", crash.as_str()), ("MILLSTREAM_FAULT", fault)];
        let dead = p.millstream_env(&[&run[..], &["2"]].concat(), &env).unwrap();
        assert!(!dead.status.success(), "{crash} was never reached");
        // Whole lines: the last one may be torn until the next run cuts off what was not committed.
        let early = p.read("alerts.jsonl").iter().filter(|b| **b == b'\n').count();
        assert!(early < want.len(), "{crash}: nothing was left to do");
        let out = p.millstream_env(&[&run[..], &["4"]].concat(), &env[1..]).unwrap();
        assert!(out.status.success() || fault != "none", "{crash}: {}", String::from_utf8_lossy(&out.stderr));
        found(&p)
    };
    for (point, hit) in POINTS {
        assert!(after(point, hit, "none") == want, "{point}:{hit}");
    }
    assert!(after("manifest.after_publish", 2, "skip_state") != want);
}

#[test]
fn check_needs_no_more_and_a_replay_has_a_store_of_its_own() {
    let p = pipeline(EVENTS, 7).unwrap();
    let out = p.millstream(&["check"]).unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && text.contains("0 warnings"), "{text}");
    assert!(text.contains("3 with the key-value store"), "{text}");
    let replay = |workers: &str| {
        let args = ["replay", "--quiet", "--output", "json", "--to", "2100-01-01", "--workers", workers];
        let out = p.millstream(&args).unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()
    };
    let (one, two) = (replay("1"), replay("2"));
    assert_eq!(one["rules"], two["rules"]);
    for id in ["Door.First", "Door.Often", "Door.Weight"] {
        let rule = &one["rules"][id];
        assert!(rule["matches"].as_u64() > Some(0) && rule["alerts"] == rule["matches"], "{id}: {rule}");
        assert_eq!(rule["errors"].as_u64().unwrap_or(0), 0, "{id}: {rule}");
    }
}
