//! A dead webhook: the pipeline goes on as before, memory stays flat, and every alert arrives afterwards, with one id.
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::project::common_input;
use tests::run::{Pipeline, eventually, wait};

/// A tiny HTTP receiver: refuses with 503 until told to accept; remembers bodies by idempotency key.
struct Receiver {
    port: u16,
    alive: Arc<AtomicBool>,
    got: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl Receiver {
    fn start() -> Receiver {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let (alive, got) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeMap::new())));
        let (a, g) = (alive.clone(), got.clone());
        std::thread::spawn(move || {
            for client in socket.incoming().flatten() {
                let (a, g) = (a.clone(), g.clone());
                std::thread::spawn(move || answer(client, &a, &g));
            }
        });
        Receiver { port, alive, got }
    }
}

fn answer(mut client: TcpStream, alive: &AtomicBool, got: &Mutex<BTreeMap<String, Vec<String>>>) {
    let _ = client.set_read_timeout(Some(Duration::from_secs(10)));
    let mut buf = Vec::new();
    loop {
        let head = loop {
            if let Some(i) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
                break i + 4;
            }
            let mut chunk = [0; 4096];
            match client.read(&mut chunk) {
                Ok(n) if n > 0 => buf.extend_from_slice(&chunk[..n]),
                _ => return,
            }
        };
        let text = String::from_utf8_lossy(&buf[..head]).into_owned();
        let header = |name: &str| {
            let lower = format!("{name}:");
            text.lines().find(|l| l.to_lowercase().starts_with(&lower)).map(|l| l[lower.len()..].trim().to_string())
        };
        let len: usize = header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        while buf.len() < head + len {
            let mut chunk = [0; 4096];
            match client.read(&mut chunk) {
                Ok(n) if n > 0 => buf.extend_from_slice(&chunk[..n]),
                _ => return,
            }
        }
        let body = String::from_utf8_lossy(&buf[head..head + len]).into_owned();
        buf.drain(..head + len);
        let reply = if alive.load(Ordering::Relaxed) {
            let key = header("idempotency-key").unwrap_or_default();
            got.lock().unwrap().entry(key).or_default().push(body);
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
        };
        if client.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn alerts_wait_for_a_dead_webhook_and_arrive_once() {
    let receiver = Receiver::start();
    let (input, lookup) = common_input(30_000, 1).unwrap();
    let mut p = Pipeline::common(&input, &lookup, "").unwrap();
    let text =
        std::fs::read_to_string(p.dir.path().join("topology.toml")).unwrap().replace("follow = false", "follow = true");
    let hook = format!(
        "\n[sinks.hook]\ntype = \"webhook\"\ninputs = [\"storm\"]\nurl = \"http://127.0.0.1:{}/\"\nbackoff = \"200ms\"\nbackoff_max = \"400ms\"\nretries = 1000\n",
        receiver.port
    );
    p.file("topology.toml", text + &hook).unwrap();
    p.set("UNUSED", "");
    let log = std::fs::File::create(p.dir.path().join("stderr.log")).unwrap();
    let mut child = p.command(&["run", "--workers", "1"]).stderr(log).spawn().unwrap();
    let want =
        String::from_utf8(tests::project::common_reference(&input, &lookup, 1000).unwrap()).unwrap().lines().count();
    let lines = || p.read("alerts.jsonl").iter().filter(|b| **b == b'\n').count();
    eventually("the pipeline is not held up", Duration::from_secs(60), || lines() == want);
    let rss = || {
        let pid = p.engine_pid("out/state").unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap().to_string();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = rss();
    std::thread::sleep(Duration::from_secs(5));
    let after = rss();
    assert!(after < before + 8 * 1024, "memory grew from {before} to {after} KiB while the webhook was dead");
    assert!(receiver.got.lock().unwrap().is_empty());
    receiver.alive.store(true, Ordering::Relaxed);
    eventually("every alert arrives", Duration::from_secs(60), || receiver.got.lock().unwrap().len() == want);
    // SAFETY: our own child.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert!(wait(&mut child, Duration::from_secs(30)).unwrap().success());
    for (key, bodies) in receiver.got.lock().unwrap().iter() {
        assert_eq!(bodies.len(), 1, "{key}");
        let body: serde_json::Value = serde_json::from_str(&bodies[0]).unwrap();
        assert_eq!(body["alertId"], key.as_str());
    }
}
