//! The reference job of the fault tests, fed from a file: the plain reference must agree with an engine that nobody hurts,
//! or the fault tests would judge by a wrong measure.
use std::collections::BTreeSet;
use tests::checker::input::{Plan, Route};
use tests::checker::seen::Alert;
use tests::project::{python, root};
use tests::run::{Pipeline, copy_dir};

#[test]
fn the_plain_reference_agrees_with_an_unhurt_job() {
    let mut plan = Plan::new("file", 20_000, 4, 3);
    plan.storm = 3_000;
    let job = root().join("tests/kafka/job");
    let text = std::fs::read_to_string(job.join("topology.toml")).unwrap();
    let text = text.replace("@NAME@", "job").replace("@ENGINE@", "").replace("@SECTIONS@", "");
    // A file for each topic; what only Kafka needs goes.
    let mut kinds = ["path = \"events.jsonl\"\nfollow = false\ntype = \"file\""].into_iter();
    let lines: Vec<String> = text
        .lines()
        .filter(|l| {
            !["brokers", "topics", "discover", "memory", "@CONN", "transaction_timeout", "key = \"key\""]
                .iter()
                .any(|k| l.starts_with(k))
        })
        .map(|l| match l.strip_prefix("topic = \"job.") {
            Some(rest) => format!("path = \"out/{}.jsonl\"", rest.trim_end_matches('"')),
            None if l == "type = \"kafka\"" => kinds.next().unwrap_or("type = \"jsonl\"").to_string(),
            None => l.to_string(),
        })
        .collect();
    let p = Pipeline::new(&lines.join("\n")).unwrap();
    for dir in ["rules", "schemas"] {
        copy_dir(&job.join(dir), &p.dir.path().join(dir)).unwrap();
    }
    std::fs::copy(job.join("lookup.csv"), p.dir.path().join("lookup.csv")).unwrap();
    let input = p.dir.path().join("events.jsonl");
    plan.write_lines(&input).unwrap();
    let lookup = p.dir.path().join("lookup.csv");
    let want = python(&["tests/reference/chaos.py", &input.to_string_lossy(), &lookup.to_string_lossy()]).unwrap();
    let want: BTreeSet<Alert> = String::from_utf8(want)
        .unwrap()
        .lines()
        .map(|l| Alert::of(&serde_json::from_str(l).unwrap()).unwrap())
        .collect();
    for workers in [1, 2] {
        let _ = std::fs::remove_dir_all(p.dir.path().join("out"));
        std::fs::create_dir_all(p.dir.path().join("out")).unwrap();
        p.once(workers).unwrap();
        let got: BTreeSet<Alert> = p.rows("alerts.jsonl").iter().map(|j| Alert::of(j).unwrap()).collect();
        assert!(got == want, "{} alerts, the reference has {}", got.len(), want.len());
        assert_eq!(got.iter().filter(|a| a.rule == "C03").count(), 3_000, "600 an hour stay below the limit");
        assert_eq!(p.rows("events.jsonl").len() as u64, plan.count(Route::Event));
        assert_eq!(p.rows("dlq.jsonl").len() as u64, plan.count(Route::Reject));
    }
}
