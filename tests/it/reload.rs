//! An edit while the engine runs: applied with no event lost or doubled, or refused with the running graph left alone.
use crate::numbers::{pipeline, topology};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::run::{Pipeline, eventually, wait};

fn rule(id: &str, kind: &str) -> String {
    format!(
        "AnalysisType: rule\nRuleID: {id}\nEnabled: true\nSeverity: Low\nLogTypes: [Custom.Number]\nDetection:\n  - Key: kind\n    Condition: Equals\n    Value: {kind}\nGroupBy:\n  - Key: n\n"
    )
}

/// A pipeline whose input grows until told to stop.
struct Live {
    p: Pipeline,
    child: Child,
    stop: Arc<AtomicBool>,
    writer: std::thread::JoinHandle<u64>,
}

impl Live {
    fn start(env: &[(&str, &str)]) -> Live {
        let p = pipeline("reload", &[("rules/odd.yml", &rule("Odd", "odd"))]);
        let path = p.dir.path().join("in/numbers.jsonl");
        let stop = Arc::new(AtomicBool::new(false));
        let done = stop.clone();
        let writer = std::thread::spawn(move || {
            let mut f = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                for _ in 0..50 {
                    writeln!(f, "{{\"n\":{n},\"kind\":\"{}\"}}", if n % 2 == 1 { "odd" } else { "even" }).unwrap();
                    n += 1;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            n
        });
        let log = std::fs::File::create(p.dir.path().join("stderr.log")).unwrap();
        let mut c = p.command(&["run", "topology.toml", "--workers", "2"]);
        c.envs(env.iter().copied()).stderr(log).stdout(Stdio::null());
        let child = c.spawn().unwrap();
        let live = Live { p, child, stop, writer };
        eventually("events arrive", Duration::from_secs(20), || !live.p.read("events.jsonl").is_empty());
        live
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.p.dir.path().join("stderr.log")).unwrap_or_default()
    }
    /// Stop the writer, wait until everything is through, drain, and return how many numbers there were.
    fn finish(mut self) -> (Pipeline, u64, String) {
        self.stop.store(true, Ordering::Relaxed);
        let n = self.writer.join().unwrap();
        let p = &self.p;
        eventually("every event arrives", Duration::from_secs(60), || {
            p.read("events.jsonl").iter().filter(|b| **b == b'\n').count() as u64 >= n
        });
        // SAFETY: our own child.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = wait(&mut self.child, Duration::from_secs(30)).unwrap();
        let log = std::fs::read_to_string(self.p.dir.path().join("stderr.log")).unwrap_or_default();
        assert!(status.success(), "{status}\n{log}");
        (self.p, n, log)
    }
}

fn each_once(p: &Pipeline, n: u64) {
    let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
    for row in p.rows("events.jsonl") {
        *seen.entry(row["n"].as_u64().unwrap()).or_default() += 1;
    }
    assert!(seen.values().all(|c| *c == 1), "doubled: {:?}", seen.iter().find(|(_, c)| **c > 1));
    assert_eq!(seen.len() as u64, n, "lost");
}

#[test]
fn an_edit_is_applied_with_no_event_lost_or_doubled() {
    let live = Live::start(&[]);
    let first = live.p.millstream(&["plan"]).unwrap();
    assert!(
        String::from_utf8_lossy(&first.stdout).contains("Nothing changes"),
        "{}",
        String::from_utf8_lossy(&first.stdout)
    );
    // A new rule in a content file, then a new node in the topology itself.
    live.p.file("rules/even.yml", rule("Even", "even")).unwrap();
    eventually("the rule takes over", Duration::from_secs(20), || live.log().contains("applied (generation 2)"));
    let edited =
        topology("reload") + "\n[sinks.copy]\ntype = \"jsonl\"\ninputs = [\"window\"]\npath = \"out/copy.jsonl\"\n";
    live.p.file("topology.toml", &edited).unwrap();
    eventually("the node takes over", Duration::from_secs(20), || live.log().contains("applied (generation 3)"));
    let again = live.p.millstream(&["apply"]).unwrap();
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("unchanged"));
    let (p, n, log) = live.finish();
    each_once(&p, n);
    let alerts = p.rows("alerts.jsonl");
    let odd = alerts.iter().filter(|a| a["id"] == "Odd").count() as u64;
    let even = alerts.iter().filter(|a| a["id"] == "Even").count() as u64;
    assert_eq!(odd, n / 2, "the old rule saw every odd number once");
    assert!(even > 0 && even < n - n / 2, "the new rule saw numbers from its edit on: {even} of {n}\n{log}");
    assert!(!p.read("copy.jsonl").is_empty());
}

#[test]
fn a_bad_edit_leaves_the_running_graph_alone_and_says_why() {
    let live = Live::start(&[]);
    let bad = topology("reload").replace("inputs = [\"rules\"]", "inputs = [\"ruels\"]");
    live.p.file("topology.toml", &bad).unwrap();
    eventually("the edit is refused", Duration::from_secs(20), || live.log().contains("was not applied"));
    assert!(live.log().contains("ruels") && live.log().contains("topology.toml:"), "{}", live.log());
    let apply = live.p.millstream(&["apply"]).unwrap();
    assert_eq!(apply.status.code(), Some(78));
    live.p.file("topology.toml", topology("reload")).unwrap();
    let (p, n, log) = live.finish();
    each_once(&p, n);
    assert!(!log.contains("generation 2"), "{log}");
    assert_eq!(p.rows("alerts.jsonl").len() as u64, n / 2);
}

#[test]
fn a_crash_in_a_reload_loses_and_doubles_nothing() {
    for point in ["reload.after_seal:1", "reload.after_build:2"] {
        let live = Live::start(&[("MILLSTREAM_CRASH", point)]);
        live.p.file("rules/even.yml", rule("Even", "even")).unwrap();
        eventually("the engine dies", Duration::from_secs(20), || live.log().contains("crash point"));
        eventually("it comes back", Duration::from_secs(20), || live.log().contains("resumes from"));
        let (p, n, log) = live.finish();
        each_once(&p, n);
        assert!(p.rows("alerts.jsonl").iter().any(|a| a["id"] == "Even"), "{point}\n{log}");
    }
}
