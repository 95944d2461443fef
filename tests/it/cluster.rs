//! Several processes on this machine: the same bytes as one, whatever dies.
use std::time::{Duration, Instant};
use tests::kills::Random;
use tests::project::{common_input, common_reference};
use tests::run::{Pipeline, RUN_MAX, wait};

#[test]
fn two_processes_give_the_bytes_of_one_and_sizes_may_change_between_runs() {
    let (input, lookup) = common_input(200_000, 20_260_301).unwrap();
    let want = common_reference(&input, &lookup, 1000).unwrap();
    let p = Pipeline::common(&input, &lookup, "").unwrap();
    p.once_as(2, 2).unwrap();
    assert!(p.read("alerts.jsonl") == want, "2 processes of 2 workers: the bytes differ from the reference's");
    let audit = p.millstream(&["audit", "topology.toml"]).unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

/// A file that grows while the number of workers and processes changes: state moves with its key groups.
#[test]
fn rescaling_keeps_the_alerts() {
    let (input, lookup) = common_input(60_000, 5).unwrap();
    let want = common_reference(&input, &lookup, 3).unwrap();
    let text = std::fs::read(&input).unwrap();
    let mut p = Pipeline::common(&input, &lookup, "").unwrap();
    let topology = std::fs::read_to_string(p.dir.path().join("topology.toml")).unwrap();
    p.file("topology.toml", topology.replace("1000/h", "3/h")).unwrap();
    let grown = p.file("in/events.jsonl", "").unwrap();
    p.set("INPUT", &grown.to_string_lossy());
    let sizes = [(1, 1), (1, 2), (1, 4), (2, 2), (1, 2), (2, 1), (1, 1)];
    let mut from = 0;
    for (i, (processes, workers)) in sizes.into_iter().enumerate() {
        let to = match i + 1 == sizes.len() {
            true => text.len(),
            false => text[..text.len() * (i + 1) / sizes.len()].iter().rposition(|b| *b == b'\n').unwrap() + 1,
        };
        use std::io::Write;
        std::fs::OpenOptions::new().append(true).open(&grown).unwrap().write_all(&text[from..to]).unwrap();
        from = to;
        p.once_as(processes, workers).unwrap();
    }
    assert!(p.read("alerts.jsonl") == want, "the alerts differ from the reference's");
}

#[test]
fn a_killed_process_takes_the_others_with_it_and_the_run_ends_with_the_same_bytes() {
    let (input, lookup) = common_input(200_000, 20_260_301).unwrap();
    let want = common_reference(&input, &lookup, 1000).unwrap();
    let p = Pipeline::common(&input, &lookup, "epoch_bytes = \"2MiB\"\ncheckpoint = \"300ms\"").unwrap();
    let log = std::fs::File::create(p.dir.path().join("kills.log")).unwrap();
    let mut child = p
        .command(&["run", "topology.toml", "--once", "--quiet", "--processes", "2", "--workers", "2"])
        .stderr(log)
        .spawn()
        .unwrap();
    let (mut random, mut kills, mut last) = (Random(11), 0, (0, 0));
    let end = Instant::now() + RUN_MAX;
    while kills < 6 && Instant::now() < end && child.try_wait().unwrap().is_none() {
        let now = (p.engine_pid("out/state").unwrap_or(0), p.member_pid("out/state", 1).unwrap_or(0));
        // A process that has no id yet has none to be killed: 0 would be this test's own group.
        if now.0 <= 0 || now.1 <= 0 || now.0 == last.0 || now.1 == last.1 {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        last = now;
        std::thread::sleep(Duration::from_millis(random.below(400)));
        let pid = if random.below(2) == 0 { now.0 } else { now.1 };
        // SAFETY: a plain system call on a process id that our own run wrote.
        kills += (unsafe { libc::kill(pid, libc::SIGKILL) } == 0) as u32;
    }
    let status = wait(&mut child, RUN_MAX).unwrap();
    let text = std::fs::read_to_string(p.dir.path().join("kills.log")).unwrap();
    assert!(status.success(), "{status}: {text}");
    assert!(kills >= 2, "{kills} kills landed");
    assert!(p.read("alerts.jsonl") == want, "after {kills} kills the bytes differ");
}
