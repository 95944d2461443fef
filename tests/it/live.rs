//! Looking at a running engine: HTTP, `top`, `tap`. What is served is what METRICS.md says, and looking changes nothing.
use crate::numbers::pipeline;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;
use tests::run::{Pipeline, eventually, wait};

const RULE: &str = "AnalysisType: rule
RuleID: Seven
Enabled: true
Severity: High
LogTypes: [Custom.Number]
Detection:
  - Key: n
    Condition: Equals
    Value: 7
";

/// Rows of one append.
const ROWS: usize = 100;

struct Live {
    p: Pipeline,
    child: Child,
    http: String,
    rows: usize,
}

impl Live {
    fn start(args: &[&str]) -> Live {
        let p = pipeline("live", &[("rules/seven.yml", RULE)]);
        let log = std::fs::File::create(p.dir.path().join("stderr.log")).unwrap();
        let all = [&["run", "topology.toml", "--workers", "2", "--http", "127.0.0.1:0"][..], args].concat();
        let child = p.command(&all).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let mut live = Live { p, child, http: String::new(), rows: 0 };
        eventually("http listens", Duration::from_secs(20), || {
            let log = live.log();
            let at = log.lines().filter_map(|l| l.strip_prefix("millstream: http on ")).next_back();
            live.http = at.unwrap_or_default().into();
            !live.http.is_empty()
        });
        live
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.p.dir.path().join("stderr.log")).unwrap_or_default()
    }
    /// Append good rows and one bad, and wait until they are committed.
    fn feed(&mut self) {
        let path = self.p.dir.path().join("in/numbers.jsonl");
        let mut f = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        let text: String = (0..ROWS).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        f.write_all((text + "not json\n").as_bytes()).unwrap();
        self.rows += ROWS;
        eventually("the rows are committed", Duration::from_secs(30), || {
            self.p.read("events.jsonl").iter().filter(|b| **b == b'\n').count() >= self.rows
        });
    }
    /// Status code and body.
    fn get(&self, path: &str) -> (u16, String) {
        let mut s = TcpStream::connect(&self.http).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        s.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut out = String::new();
        s.read_to_string(&mut out).unwrap();
        let (head, body) = out.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.into())
    }
    /// Value of a sample.
    fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.get("/metrics").1;
        text.lines().find_map(|l| l.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let out = self.p.command(args).output().unwrap();
        let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    }
    fn finish(mut self) -> Pipeline {
        // SAFETY: our own child.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = wait(&mut self.child, Duration::from_secs(30)).unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
        self.p
    }
}

/// `name type` of every family that is served.
fn served(text: &str) -> BTreeSet<(String, String)> {
    let families = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split_once(' '));
    let full = |name: &str, kind: &str| match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.into(),
    };
    families.map(|(n, k)| (full(n, k), k.to_string())).collect()
}

/// `name type` of every row of METRICS.md.
fn documented() -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(tests::project::root().join("dataflow/METRICS.md")).unwrap();
    let rows = text.lines().filter_map(|l| l.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, rest)| (name.into(), rest.split(' ').next().unwrap_or_default().into())).collect()
}

#[test]
fn what_http_serves_is_what_the_reference_says_and_is_true() {
    let mut live = Live::start(&[]);
    live.feed();
    let (code, text) = live.get("/metrics");
    assert_eq!((code, text.lines().next_back()), (200, Some("# EOF")));
    assert_eq!(served(&text), documented());
    eventually("the ledger is told", Duration::from_secs(10), || {
        live.metric(r#"millstream_events_total{node="events",counter="parsed"}"#) == Some(ROWS as f64)
    });
    assert_eq!(live.metric(r#"millstream_events_total{node="events",counter="rejected"}"#), Some(1.0));
    assert_eq!(live.metric(r#"millstream_events_total{node="all",counter="written"}"#), Some(ROWS as f64));
    assert_eq!(live.metric(r#"millstream_alerts_total{node="window",rule="Seven",severity="HIGH"}"#), Some(1.0));
    eventually("a checkpoint is told", Duration::from_secs(10), || {
        live.metric("millstream_checkpoint_epoch") > Some(0.0)
            && live.metric(r#"millstream_state_keys{node="window"}"#) == Some(1.0)
    });
    assert!(live.metric(r#"millstream_state_bytes{node="window"}"#) > Some(0.0));
    assert!(live.metric("millstream_checkpoint_bytes") > Some(0.0));
    assert!(live.metric(r#"millstream_sink_commit_seconds_count{sink="all"}"#) > Some(0.0));
    assert!(live.metric("millstream_epoch_latency_seconds_count") > Some(0.0));
    assert!(live.metric(r#"millstream_frontier{node="window"}"#) > Some(1.0));
    assert!(live.metric("millstream_process_resident_memory_bytes") > Some(1e6));
    assert_eq!(live.metric("millstream_topology_generation"), Some(1.0));
    assert_eq!(live.metric("millstream_restarts_total"), Some(0.0));
    assert_eq!(live.get("/readyz").0, 200);
    assert_eq!(live.get("/healthz").0, 200);
    let status: serde_json::Value = serde_json::from_str(&live.get("/status").1).unwrap();
    assert!(status["topology"] == "live" && status["state"] == "live", "{status}");
    let p = live.finish();
    assert_eq!(p.rows("alerts.jsonl").len(), 1);
}

#[test]
fn top_shows_a_running_engine_and_says_when_none_runs() {
    let mut live = Live::start(&[]);
    live.feed();
    eventually("the ledger is told", Duration::from_secs(10), || live.run(&["top", "--once"]).1.contains("parsed 100"));
    let (code, text, err) = live.run(&["top", "--once"]);
    assert_eq!(code, 0, "{err}");
    for part in ["millstream live  live", "numbers", "window", "HIGH 1", "Seven", "rejected 1"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let (code, json, _) = live.run(&["top", "--once", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(code == 0 && json["alerts_by_rule"]["Seven"] == 1, "{json}");
    let p = live.finish();
    let out = p.millstream(&["top", "--once"]).unwrap();
    assert_eq!(out.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&out.stderr).contains("no engine answers"));
}

#[test]
fn a_tap_shows_what_leaves_a_node_and_changes_nothing() {
    let mut live = Live::start(&[]);
    live.feed();
    let tap = |port: &str, more: &[&str]| {
        let all = [&["tap", port, "--seconds", "60"][..], more].concat();
        live.p.command(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let taps = [
        ("numbers", "raw", tap("numbers", &["--count", "3"])),
        ("events", "event", tap("events", &["--count", "3"])),
        ("events.rejected", "rejected", tap("events.rejected", &["--count", "1"])),
        ("rules", "match", tap("rules", &["--count", "1"])),
        ("window", "alert", tap("window", &["--count", "1"])),
    ];
    let mut done: Vec<(&str, &str, Child)> = taps.into();
    // Taps need a moment to open; each feed gives every one of them something.
    for _ in 0..50 {
        live.feed();
        if done.iter_mut().all(|(_, _, c)| c.try_wait().unwrap().is_some()) {
            break;
        }
    }
    for (port, kind, child) in done {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{port}: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        let rows: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(!rows.is_empty(), "{port}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(rows.iter().all(|r| r["node"] == port && r["kind"] == kind && r["data"].is_object()), "{rows:?}");
    }
    let (code, _, err) = live.run(&["tap", "all"]);
    assert!(code == 69 && err.contains("sink"), "{code} {err}");
    let (code, _, err) = live.run(&["tap", "events.late"]);
    assert!(code == 69 && err.contains("events.rejected"), "{code} {err}");
    let rows = live.rows;
    let p = live.finish();
    assert_eq!(p.rows("events.jsonl").len(), rows);
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let p = pipeline("live", &[("rules/seven.yml", RULE)]);
    let out = p.millstream(&["run", "--once", "--http", "0.0.0.0:0"]).unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(78) && err.contains("http_public = true"), "{} {err}", out.status);
}
