//! The common workload against a plain reference in another language: same alerts, same bytes, any number of workers.
use tests::project::{common_input, common_reference};
use tests::run::Pipeline;

#[test]
fn the_200_000_event_file_gives_980_alerts_with_any_number_of_workers() {
    let (input, lookup) = common_input(200_000, 20_260_301).unwrap();
    let want = common_reference(&input, &lookup, 1000).unwrap();
    for workers in [1, 2, 4] {
        let p = Pipeline::common(&input, &lookup, "").unwrap();
        p.once(workers).unwrap();
        let got = p.read("alerts.jsonl");
        assert_eq!(got.iter().filter(|b| **b == b'\n').count(), 980, "{workers} workers");
        assert!(got == want, "{workers} workers: the bytes differ from the reference's");
    }
}

#[test]
fn other_seeds_agree_with_the_reference_whatever_the_epochs() {
    let epochs = [
        "",
        "epoch_bytes = \"1MiB\"\nlanes = 3\nkey_groups = 7",
        "epoch = \"20ms\"\nepoch_bytes = \"5MiB\"\ncheckpoint = \"100ms\"",
    ];
    for (seed, engine) in [1, 2, 3].into_iter().zip(epochs) {
        let (input, lookup) = common_input(30_000, seed).unwrap();
        let want = common_reference(&input, &lookup, 1000).unwrap();
        assert!(want.len() > 10_000, "the reference finds alerts");
        let p = Pipeline::common(&input, &lookup, engine).unwrap();
        p.once(2).unwrap();
        assert!(p.read("alerts.jsonl") == want, "seed {seed}");
        let audit = p.millstream(&["audit", "topology.toml"]).unwrap();
        let text = String::from_utf8_lossy(&audit.stdout).into_owned();
        assert!(audit.status.success() && text.contains("0 lost, 0 duplicated"), "{text}");
    }
}

#[test]
fn a_finished_run_started_again_adds_nothing_and_more_input_adds_only_itself() {
    let (input, lookup) = common_input(30_000, 1).unwrap();
    let want = common_reference(&input, &lookup, 1000).unwrap();
    let text = std::fs::read(&input).unwrap();
    let cut = text[..text.len() / 2].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let mut p = Pipeline::common(&input, &lookup, "").unwrap();
    let half = p.file("in/events.jsonl", &text[..cut]).unwrap();
    p.set("INPUT", &half.to_string_lossy());
    p.once(2).unwrap();
    let first = p.read("alerts.jsonl");
    assert!(!first.is_empty() && want.starts_with(&first));
    p.once(1).unwrap();
    assert!(p.read("alerts.jsonl") == first);
    use std::io::Write;
    std::fs::OpenOptions::new().append(true).open(&half).unwrap().write_all(&text[cut..]).unwrap();
    p.once(2).unwrap();
    assert!(p.read("alerts.jsonl") == want);
}

#[test]
fn the_cost_of_every_rule_is_told_and_its_matches_are_those_of_a_run() {
    let (input, lookup) = common_input(30_000, 1).unwrap();
    let p = Pipeline::common(&input, &lookup, "").unwrap();
    let out = p.millstream(&["rules", "cost", "topology.toml", "--events", "30000", "--output", "json"]).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let costs: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let rules = &costs["rules"];
    assert_eq!((&rules["events"], rules["rules"].as_array().unwrap().len()), (&30_000.into(), 20));
    // The ledger of a run says the same.
    p.once(1).unwrap();
    let audit: serde_json::Value =
        serde_json::from_slice(&p.millstream(&["audit", "--output", "json"]).unwrap().stdout).unwrap();
    let told: u64 = rules["rules"].as_array().unwrap().iter().map(|r| r["matches"].as_u64().unwrap()).sum();
    assert_eq!(audit["totals"]["rules"]["matches"], told);
    // Other files in place of the source's.
    let some = p.file("some.jsonl", &std::fs::read(&input).unwrap()[..]).unwrap();
    let some = some.to_string_lossy();
    let out = p.millstream(&["rules", "cost", "topology.toml", "--input", &some, "--events", "1000", "--top", "3"]);
    let text = String::from_utf8_lossy(&out.unwrap().stdout).into_owned();
    assert!(text.starts_with("detect.rules: 20 rules on") && text.contains("and 17 cheaper ones"), "{text}");
    let out = p.millstream(&["rules", "cost", "topology.toml", "--input", &some, "--source", "none"]).unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("there is no source `none`; there are cloudtrail"));
}
