//! A webhook sink against a receiver that is down, slow, busy or rude.
use super::*;
use model::RuleMeta;
use serde_json::{Value as J, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

/// What the receiver does with a request.
#[derive(Clone, Copy)]
enum Reply {
    Status(u16),
    /// 429 with `Retry-After` in seconds.
    Busy(u64),
    Slow(Duration, u16),
    Reset,
}

#[derive(Clone, Debug)]
struct Request {
    at: Instant,
    headers: BTreeMap<String, String>,
    body: J,
}

type Seen = Arc<Mutex<Vec<Request>>>;

/// A receiver that answers request `n` (over all connections) as `reply(n, body)` says.
fn receiver(listener: TcpListener, reply: impl Fn(usize, &J) -> Reply + Send + Sync + 'static) -> Seen {
    let (seen, reply): (Seen, _) = (Seen::default(), Arc::new(reply));
    let all = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (seen, reply) = (all.clone(), reply.clone());
            std::thread::spawn(move || serve(stream, &seen, &*reply));
        }
    });
    seen
}

fn serve(stream: TcpStream, seen: &Seen, reply: &(dyn Fn(usize, &J) -> Reply + Sync)) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut out = stream;
    out.set_nodelay(true).ok()?;
    loop {
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((k, v)) = line.trim().split_once(": ") {
                headers.insert(k.to_ascii_lowercase(), v.to_string());
            }
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        let body: J = serde_json::from_slice(&body).ok()?;
        let n = {
            let mut s = seen.lock().unwrap();
            s.push(Request { at: Instant::now(), headers, body: body.clone() });
            s.len() - 1
        };
        let (status, more) = match reply(n, &body) {
            Reply::Status(s) => (s, String::new()),
            Reply::Busy(s) => (429, format!("Retry-After: {s}\r\n")),
            Reply::Slow(d, s) => {
                std::thread::sleep(d);
                (s, String::new())
            }
            Reply::Reset => return None,
        };
        let answer = format!("HTTP/1.1 {status} X\r\n{more}Content-Length: 2\r\n\r\nok");
        out.write_all(answer.as_bytes()).ok()?;
    }
}

fn listen() -> (TcpListener, String) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", l.local_addr().unwrap());
    (l, url)
}

fn sink(dir: &Path, url: &str, more: J) -> Box<dyn Sink> {
    let mut s = json!({"url": url, "backoff": "20ms", "backoff_max": "50ms", "timeout": "2s"});
    s.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let opened = WebhookPart.open("hook", &s, &model::files::MemFiles::default());
    let cx = BuildCx {
        id: "hook".into(),
        topology: "test".into(),
        generation: 1,
        index: 0,
        needs: Default::default(),
        store_events: false,
        groups: 1,
        shard: 0,
        data_dir: dir.into(),
        work_dir: dir.into(),
        event_time: false,
        once: true,
        ..Default::default()
    };
    let Built::Sink(s) = opened.node.unwrap_or_else(|| panic!("{:?}", opened.problems)).build(&cx).unwrap() else {
        panic!()
    };
    s
}

fn info(epoch: u64) -> EpochInfo {
    EpochInfo { epoch, now_ms: 0, commands: vec![], snapshot: false, seal: false }
}

fn alert(n: usize) -> Alert {
    Alert { id: format!("{n:032x}"), title: format!("alert {n}"), ..Alert::default() }
}

fn packet(of: impl IntoIterator<Item = Alert>) -> Packet {
    Packet::Records(of.into_iter().map(|a| Record::Alert(Box::new(a))).collect())
}

fn commit(s: &mut dyn Sink, epoch: u64, of: impl IntoIterator<Item = Alert>) -> Receipt {
    s.stage(&packet(of)).unwrap();
    s.commit(&info(epoch)).unwrap().unwrap()
}

fn ids(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap().iter().map(|r| r.headers["webhook-id"].clone()).collect()
}

fn sorted(mut v: Vec<String>) -> Vec<String> {
    v.sort();
    v
}

#[test]
fn each_alert_once_signed_with_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let (l, url) = listen();
    let seen = receiver(l, |_, _| Reply::Status(200));
    let mut s = sink(dir.path(), &url, json!({"secret": "key", "headers": {"X-Team": "blue"}}));
    s.recover(None).unwrap();
    let r = commit(&mut *s, 1, (0..50).map(alert));
    assert_eq!(r.rows, 50);
    s.finish(10_000).unwrap();
    assert_eq!(sorted(ids(&seen)), (0..50).map(|n| format!("{n:032x}")).collect::<Vec<_>>());
    let one = seen.lock().unwrap()[0].clone();
    assert_eq!(
        (&one.headers["idempotency-key"], &one.headers["x-team"]),
        (&one.headers["webhook-id"], &"blue".to_string())
    );
    assert_eq!(one.headers["webhook-id"], one.body["alertId"].as_str().unwrap());
    assert!(one.headers["webhook-signature"].starts_with("v1,") && one.headers["content-type"] == "application/json");
    assert!(one.headers["webhook-timestamp"].parse::<u64>().unwrap() > 1_700_000_000);
    // A new incarnation has nothing left to do.
    drop(s);
    let mut s = sink(dir.path(), &url, json!({}));
    s.recover(Some(&r)).unwrap();
    s.finish(5_000).unwrap();
    assert_eq!(ids(&seen).len(), 50);
}

#[test]
fn a_dead_receiver_costs_nothing_but_time() {
    let dir = tempfile::tempdir().unwrap();
    let (l, url) = listen();
    drop(l);
    let mut s = sink(dir.path(), &url, json!({"retries": 1000}));
    s.recover(None).unwrap();
    let started = Instant::now();
    for e in 1..=20 {
        commit(&mut *s, e, (0..100).map(|n| alert(e as usize * 1000 + n)));
    }
    assert!(started.elapsed() < Duration::from_secs(5), "commits do not wait for the receiver");
    s.finish(200).unwrap();
    // It comes back, on the same port.
    let at = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_string();
    let seen = receiver(TcpListener::bind(&at).unwrap(), |_, _| Reply::Status(202));
    s.finish(20_000).unwrap();
    let mut got = sorted(ids(&seen));
    got.dedup();
    assert_eq!(got.len(), 2_000);
}

#[test]
fn the_window_is_bounded_while_the_receiver_is_dead() {
    let dir = tempfile::tempdir().unwrap();
    let (l, url) = listen();
    drop(l);
    let outbox_path = dir.path().join("o");
    let mut outbox = Outbox::open(&outbox_path, None).unwrap();
    let lines: String = (0..5_000).map(|n| format!("{}\n", alert(n).to_json())).collect();
    let len = outbox.append(lines.as_bytes()).unwrap();
    let acks = Acks::open(&dir.path().join("a"), len).unwrap();
    let mut p = Vec::new();
    let target = Target::check(&url, &[], &BTreeMap::new(), false, &mut p).unwrap();
    let policy =
        Policy { retries: 9, backoff: Duration::from_secs(9), backoff_max: Duration::from_secs(9), concurrency: 4 };
    let d = Delivery::start(
        "x".into(),
        outbox.file(),
        len,
        acks,
        dir.path().join("d"),
        policy,
        Box::new(Post::new(target, Duration::from_secs(1))),
    )
    .unwrap();
    assert!(!d.drain(Duration::from_millis(300)));
    assert_eq!(d.window(), 64);
}

#[test]
fn a_busy_receiver_is_given_the_time_it_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let (l, url) = listen();
    let seen = receiver(l, |n, _| if n == 0 { Reply::Busy(1) } else { Reply::Status(200) });
    let mut s = sink(dir.path(), &url, json!({}));
    s.recover(None).unwrap();
    commit(&mut *s, 1, [alert(1)]);
    s.finish(10_000).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(1), "not before Retry-After");
}

#[test]
fn slow_answers_and_resets_are_tried_again_under_the_same_id() {
    let dir = tempfile::tempdir().unwrap();
    let (l, url) = listen();
    let seen = receiver(l, |n, _| match n {
        0 => Reply::Reset,
        1 => Reply::Slow(Duration::from_millis(600), 200),
        2 => Reply::Status(503),
        _ => Reply::Status(200),
    });
    let mut s = sink(dir.path(), &url, json!({"timeout": "200ms", "concurrency": 1}));
    s.recover(None).unwrap();
    commit(&mut *s, 1, (0..3).map(alert));
    s.finish(10_000).unwrap();
    let mut got = sorted(ids(&seen));
    assert_eq!(got.len(), 6);
    got.dedup();
    assert_eq!(got, (0..3).map(|n| format!("{n:032x}")).collect::<Vec<_>>());
    assert!(!dir.path().join("dlq/hook.jsonl").exists());
}

#[test]
fn what_is_refused_or_never_taken_goes_to_the_dead_letters() {
    let dir = tempfile::tempdir().unwrap();
    let (l, url) = listen();
    let seen = receiver(l, |_, body| match body["title"].as_str() {
        Some("alert 1") => Reply::Status(400),
        Some("alert 2") => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let mut s = sink(dir.path(), &url, json!({"retries": 2}));
    s.recover(None).unwrap();
    commit(&mut *s, 1, (0..4).map(alert));
    s.finish(10_000).unwrap();
    let text = std::fs::read_to_string(dir.path().join("dlq/hook.jsonl")).unwrap();
    let mut rows: Vec<J> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    rows.sort_by_key(|r| r["alertId"].to_string());
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["alert"]["title"], &rows[0]["attempts"], &rows[0]["reason"]),
        (&json!("alert 1"), &json!(1), &json!("HTTP 400: ok"))
    );
    assert_eq!((&rows[1]["alert"]["title"], &rows[1]["attempts"]), (&json!("alert 2"), &json!(3)));
    assert_eq!(ids(&seen).len(), 2 + 1 + 3);
}

#[test]
fn a_restart_sends_what_was_not_confirmed_and_only_that() {
    let dir = tempfile::tempdir().unwrap();
    let (l, url) = listen();
    let seen = receiver(l, |n, _| if n < 5 { Reply::Status(200) } else { Reply::Status(500) });
    let mut s = sink(dir.path(), &url, json!({"concurrency": 1, "retries": 1000}));
    s.recover(None).unwrap();
    let first = commit(&mut *s, 1, (0..8).map(alert));
    s.finish(300).unwrap();
    drop(s);
    let first_five: Vec<String> = ids(&seen)[..5].to_vec();
    std::thread::sleep(Duration::from_millis(100));
    // The outbox holds an epoch whose commit record was lost: it is cut, and comes again from the replay.
    let path = dir.path().join("outbox/hook.jsonl");
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"torn").unwrap();
    let (l, url) = listen();
    let seen = receiver(l, |_, _| Reply::Status(200));
    let mut s = sink(dir.path(), &url, json!({}));
    s.recover(Some(&first)).unwrap();
    s.stage(&packet((0..8).map(alert))).unwrap();
    let again = s.discard(&info(1)).unwrap().unwrap();
    assert_eq!((again.rows, &again.digest), (first.rows, &first.digest));
    commit(&mut *s, 2, [alert(8)]);
    s.finish(10_000).unwrap();
    let got = sorted(ids(&seen));
    let want: Vec<String> = (0..9).map(|n| format!("{n:032x}")).filter(|i| !first_five.contains(i)).collect();
    assert_eq!(got, want);
}

#[test]
fn routing_asks_the_rule_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut s = sink(dir.path(), "http://127.0.0.1:9/", json!({"severities": ["HIGH", "CRITICAL"]}));
    let to = |names: &[&str]| Some(names.iter().map(|n| n.to_string()).collect::<Vec<_>>());
    let rule = |ids: &[&str]| Arc::new(RuleMeta { output_ids: to(ids).unwrap(), ..RuleMeta::default() });
    let cases = [
        (Alert { severity: Severity::High, ..alert(0) }, 1),
        (Alert { severity: Severity::Low, ..alert(0) }, 0),
        (Alert { severity: Severity::High, change: Change::Update, ..alert(0) }, 0),
        (Alert { severity: Severity::High, destinations: to(&[]), ..alert(0) }, 0),
        (Alert { severity: Severity::Low, destinations: to(&["hook"]), ..alert(0) }, 1),
        (Alert { severity: Severity::High, destinations: to(&["other"]), ..alert(0) }, 0),
        (Alert { severity: Severity::Low, rule: rule(&["other", "hook"]), ..alert(0) }, 1),
        (Alert { severity: Severity::High, rule: rule(&["other"]), ..alert(0) }, 0),
        (Alert { severity: Severity::Info, kind: AlertKind::SystemError, ..alert(0) }, 1),
    ];
    for (i, (a, want)) in cases.into_iter().enumerate() {
        s.stage(&packet([a])).unwrap();
        assert_eq!(s.discard(&info(1)).unwrap().unwrap().rows, want, "case {i}");
    }
}

#[test]
fn settings_are_checked_together() {
    let s = json!({"url": "http://far.example/", "concurrency": 0, "timeout": "1h", "secret": ""});
    let p = WebhookPart.open("x", &s, &model::files::MemFiles::default()).problems;
    assert_eq!(p.iter().map(|p| p.setting.as_str()).collect::<Vec<_>>(), ["url", "secret", "concurrency", "timeout"]);
    let node = WebhookPart
        .open("x", &json!({"url": "https://h.example/T0KEN"}), &model::files::MemFiles::default())
        .node
        .unwrap();
    assert_eq!(node.summary(), "h.example");
}
