//! Attempts to get out of a worker, and detections that do harm: none succeeds, none hangs, no other detection notices.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::spawn::Spaces;
use super::worker::AFTER;
use super::{Answer, Call, Detection, Home, Limits, NoCache, Output, Pool, Settings, Sources};

/// A section of an attack file: name, what the answer must say, text.
fn sections(file: &str) -> Vec<(String, Option<String>, String)> {
    let mut list: Vec<(String, Option<String>, String)> = Vec::new();
    for line in file.lines() {
        if let Some(head) = line.strip_prefix("#: ") {
            let (name, says) = head.split_once(" = ").map_or((head, None), |(n, s)| (n, Some(s.to_string())));
            list.push((name.into(), says, String::new()));
        } else if let Some((_, _, text)) = list.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    list
}

const GOOD: &str = "def rule(event):\n    return event.get('n') == 1\ndef title(event):\n    return 'good'\n";

fn pool(attacks: Vec<(String, String)>, home: Home, limits: Limits, spaces: &[Spaces]) -> Option<Pool> {
    let detection =
        |id: &str, text: &str| Detection { id: id.into(), file: id.into(), text: text.into(), policy: false };
    let mut detections = vec![detection("good", GOOD)];
    detections.extend(attacks.iter().map(|(name, text)| detection(name, text)));
    // Without namespaces a worker of root is nobody, who cannot read an interpreter below /root.
    let python = Some("/usr/bin/python3".into()).filter(|p: &PathBuf| *spaces == [Spaces::None] && p.exists());
    let settings = Settings { python, home, limits, ..Settings::default() };
    match Pool::open_in(&settings, Sources { detections, ..Sources::default() }, spaces) {
        Ok(pool) => Some(pool),
        Err(problem) => {
            eprintln!("skipped: {}", problem.message);
            None
        }
    }
}

fn limits() -> Limits {
    Limits {
        call_cpu: Duration::from_millis(150),
        call_wait: Duration::from_millis(1000),
        load_cpu: Duration::from_millis(1000),
        load_wait: Duration::from_secs(20),
        memory: 256 << 20,
        processes: 8,
        ..Limits::default()
    }
}

/// The attack between two events of a detection that does its work.
fn between(pool: &Pool, attack: &str, event: &str) -> [Answer; 3] {
    let call =
        |detection, event| Call { detection, event, log_type: None, functions: &AFTER, mocks: &[], exact: false };
    let calls = [call("good", r#"{"n": 1}"#), call(attack, event), call("good", r#"{"n": 2}"#)];
    let answers = pool.call(&calls, 1_700_000_000_000_000, &mut NoCache).expect("a worker can be started");
    answers.try_into().expect("an answer for each call")
}

fn good(answers: &[Answer; 3]) -> bool {
    let value = |answer: &Answer, at: usize| match answer {
        Answer::Outputs(outputs) => match outputs.get(at) {
            Some((_, Output::Value { json, .. })) => json.clone(),
            _ => None,
        },
        _ => None,
    };
    value(&answers[0], 0) == Some(json!(true))
        && value(&answers[0], 1) == Some(json!("good"))
        && value(&answers[2], 0) == Some(json!(false))
}

#[test]
fn nothing_gets_out_of_a_worker() {
    escape(&[Spaces::Own, Spaces::OwnButUsers], &[]);
}

/// Where the machine allows no namespaces Landlock and the filter hold. They let see that a file is there.
#[test]
fn nothing_gets_out_of_a_worker_without_namespaces() {
    escape(&[Spaces::None], &["stat the secret", "host name of the machine"]);
}

fn escape(spaces: &[Spaces], seen: &[&str]) {
    let attempts = sections(include_str!("../../runtime/attacks/escapes.txt"));
    assert!(attempts.len() >= 100, "{} attempts", attempts.len());
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open.clone()).unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("kept"), "kept").unwrap();
    std::fs::set_permissions(&inside, open).unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret of the machine").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    unix.set_nonblocking(true).unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let event = json!({
        "port": tcp.local_addr().unwrap().port(), "udp": udp.local_addr().unwrap().port(),
        "unix": folder.path().join("socket"), "secret": secret, "folder": inside, "pid": std::process::id(),
        "host": host.trim(),
    })
    .to_string();
    let body = |text: &str| {
        let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
        format!("def rule(event):\n{lines}")
    };
    let detections = attempts.iter().map(|(name, _, text)| (name.clone(), body(text))).collect();
    let Some(pool) = pool(detections, Home::Together(4), limits(), spaces) else { return };
    println!("{}", pool.isolation());
    assert_eq!(attempts.iter().map(|a| &a.0).collect::<BTreeSet<_>>().len(), attempts.len(), "two of one name");
    let mut out = Vec::new();
    for (name, _, _) in &attempts {
        let answers = between(&pool, name, &event);
        let held = match &answers[1] {
            Answer::Outputs(outputs) => match &outputs[..] {
                [(_, Output::Raised(raised))] => raised.class != "SyntaxError",
                [(_, Output::Value { json, .. })] => *json == Some(json!(false)),
                _ => false,
            },
            Answer::Failed(_) => true,
            Answer::NotLoaded(_) => false,
        };
        if (!held && !seen.contains(&name.as_str())) || !good(&answers) {
            out.push(format!("{name}: {:?}", answers[1]));
        }
    }
    println!("{} attempts, {} got out, {} workers were replaced", attempts.len(), out.len(), pool.restarts());
    assert!(out.is_empty(), "{out:#?}");
    assert!(tcp.accept().is_err(), "somebody came over TCP");
    assert!(udp.recv(&mut [0; 8]).is_err(), "somebody came over UDP");
    assert!(unix.accept().is_err(), "somebody came over a UNIX socket");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "a secret of the machine");
    let names: Vec<_> = std::fs::read_dir(&inside).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["kept"], "something was written");
}

#[test]
fn a_detection_that_does_harm_harms_only_itself() {
    let attacks = sections(include_str!("../../runtime/attacks/hostile.txt"));
    assert!(attacks.len() >= 100, "{} scripts", attacks.len());
    let detections = attacks.iter().map(|(name, _, text)| (name.clone(), text.clone())).collect();
    let Some(pool) = pool(detections, Home::Apart, limits(), &[Spaces::Own, Spaces::OwnButUsers, Spaces::None]) else {
        return;
    };
    let run = &|part: &[(String, Option<String>, String)]| {
        let (mut wrong, mut slowest) = (Vec::new(), (Duration::ZERO, String::new()));
        for (name, says, _) in part {
            let start = Instant::now();
            let answers = between(&pool, name, r#"{"n": 1}"#);
            slowest = slowest.max((start.elapsed(), name.clone()));
            let text = format!("{:?}", answers[1]);
            let said = says.as_ref().is_none_or(|says| text.contains(says));
            if !good(&answers) || !said || text.len() > 3 << 20 {
                wrong.push(format!("{name}: wanted {says:?}, {}", text.chars().take(300).collect::<String>()));
            }
        }
        (wrong, slowest)
    };
    // Several threads at once, each with a part of them: many only wait for their end.
    let parts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            attacks.chunks(attacks.len().div_ceil(3)).map(|part| scope.spawn(move || run(part))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let slowest = parts.iter().map(|(_, slowest)| slowest.clone()).max();
    let wrong: Vec<String> = parts.into_iter().flat_map(|(wrong, _)| wrong).collect();
    println!("{} scripts, {} workers were replaced, the slowest took {slowest:?}", attacks.len(), pool.restarts());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
