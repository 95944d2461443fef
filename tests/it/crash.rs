//! Death at any moment: named crash points, random SIGKILLs, and proof that a broken protocol would be noticed.
use model::fault::CRASH_POINTS;
use tests::kills::{Random, run_with_kills};
use tests::project::{common_input, common_reference};
use tests::run::Pipeline;

/// Short epochs and frequent snapshots, so that there is much to interrupt.
const BUSY: &str = "epoch = \"20ms\"\nepoch_bytes = \"512KiB\"\ncheckpoint = \"20ms\"\nin_flight = 3";
/// Of that, the snapshots.
const OFTEN: &str = "checkpoint = \"20ms\"";
/// Alerts per rule and hour: so few that the limiter's state decides most of the output.
const LIMIT: u64 = 3;
/// Points that only a reload passes; see reload.rs.
const RELOAD: &[&str] = &["reload.after_seal", "reload.after_build"];
/// Kills in CI; `cargo xtask kill` does more.
const KILLS: u64 = 24;

fn pipeline(want: &mut Option<Vec<u8>>) -> (Pipeline, Vec<u8>) {
    let (input, lookup) = common_input(60_000, 1).unwrap();
    let want = want.get_or_insert_with(|| common_reference(&input, &lookup, LIMIT).unwrap()).clone();
    let p = Pipeline::common(&input, &lookup, BUSY).unwrap();
    let text = std::fs::read_to_string(p.dir.path().join("topology.toml")).unwrap();
    p.file("topology.toml", text.replace("limit = \"1000/h\"", &format!("limit = \"{LIMIT}/h\""))).unwrap();
    (p, want)
}

#[test]
fn every_crash_point_ends_with_the_same_bytes() {
    let (mut missed, mut reference) = (Vec::new(), None);
    for point in CRASH_POINTS.iter().filter(|p| !RELOAD.contains(p)) {
        for hit in [1, 4] {
            let (p, want) = pipeline(&mut reference);
            let first = [("MILLSTREAM_CRASH", format!("{point}:{hit}"))];
            let env: Vec<(&str, &str)> = first.iter().map(|(k, v)| (*k, v.as_str())).collect();
            if point.starts_with("recover.") {
                // Needs something to recover from: many epochs in the log, and no snapshot that makes their replay short.
                let text = std::fs::read_to_string(p.dir.path().join("topology.toml")).unwrap();
                assert!(text.contains(OFTEN));
                p.file("topology.toml", text.replace(OFTEN, "checkpoint = \"1h\"")).unwrap();
                let dead = p
                    .millstream_env(
                        &["run", "--once", "--no-supervisor"],
                        &[("MILLSTREAM_CRASH", "sink.after_write:30")],
                    )
                    .unwrap();
                assert!(!dead.status.success());
            }
            let out = p.millstream_env(&["run", "--once", "--workers", "2"], &env).unwrap();
            let log = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(out.status.success(), "{point}:{hit}\n{log}");
            if !log.contains(&format!("crash point {point}")) {
                missed.push(format!("{point}:{hit}"));
            }
            assert!(p.read("alerts.jsonl") == want, "{point}:{hit}: other bytes\n{log}");
            let audit = p.millstream(&["audit"]).unwrap();
            assert!(audit.status.success(), "{point}:{hit}\n{}", String::from_utf8_lossy(&audit.stdout));
        }
    }
    // Passed once in a run: a fourth hit does not exist.
    missed.retain(|m| !(m.starts_with("recover.after_begin") && m.ends_with(":4")));
    assert!(missed.is_empty(), "never reached: {missed:?}");
}

#[test]
fn random_kills_end_with_the_same_bytes() {
    let (mut total, mut random, mut runs, mut reference) = (0, Random(20_260_301), 0, None);
    while total < KILLS {
        let (p, want) = pipeline(&mut reference);
        let workers = 1 + random.below(3) as usize;
        let k = run_with_kills(&p, "out/state", workers, KILLS - total, 400, &mut random).unwrap();
        assert!(p.read("alerts.jsonl") == want, "after {} kills: other bytes", k.mid_work);
        let audit = p.millstream(&["audit"]).unwrap();
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
        (total, runs) = (total + k.mid_work, runs + 1);
        assert!(runs < 200, "kills do not land: {total} in {runs} runs");
    }
    println!("{total} kills landed mid-work in {runs} runs");
}

#[test]
fn a_broken_protocol_step_is_noticed() {
    let mut reference = None;
    // A fault shows only if the process dies between the broken step and what depends on it, with something written
    // on either side: which hit that is depends on the timing of epochs, so a few in a row are tried.
    let faults = [
        ("skip_truncate", "sink.after_write", 30),
        ("commit_before_write", "sink.before_write", 30),
        ("skip_state", "sink.after_commit", 150),
        ("no_epoch_log", "sink.after_commit", 90),
    ];
    for (fault, point, first) in faults {
        let mut log = String::new();
        let noticed = (first..first + 6).any(|hit| {
            let (p, want) = pipeline(&mut reference);
            let crash = format!("{point}:{hit}");
            // No supervisor: one death, then one more incarnation, whose failure is an answer and not retried.
            let run = ["run", "--once", "--workers", "1", "--no-supervisor"];
            let dead =
                p.millstream_env(&run, &[("MILLSTREAM_FAULT", fault), ("MILLSTREAM_CRASH", crash.as_str())]).unwrap();
            assert!(!dead.status.success(), "{fault}: {crash} was never reached");
            let out = p.millstream_env(&run, &[("MILLSTREAM_FAULT", fault)]).unwrap();
            log = String::from_utf8_lossy(&out.stderr).into_owned();
            let audit = p.millstream(&["audit"]).unwrap();
            !(out.status.success() && audit.status.success() && p.read("alerts.jsonl") == want)
        });
        assert!(noticed, "{fault}: nothing was noticed\n{log}");
    }
}

#[test]
fn verify_tells_where_a_start_would_go_on() {
    // What it would give does not matter here.
    let (p, _) = pipeline(&mut Some(Vec::new()));
    let dead = p.millstream_env(&["run", "--once", "--no-supervisor"], &[("MILLSTREAM_CRASH", "sink.after_write:60")]);
    assert!(!dead.unwrap().status.success());
    let verify = || {
        let out = p.millstream(&["checkpoint", "verify", "--output", "json"]).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        (out.status.code(), told)
    };
    let folder = p.out("state").join("manifests");
    let manifests = || {
        let mut all: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        all.sort();
        all
    };
    let (code, whole) = verify();
    let number = |told: &serde_json::Value, key: &str| told["start"][key].as_u64().unwrap_or_else(|| panic!("{told}"));
    assert!(code == Some(0) && manifests().len() > 1 && number(&whole, "snapshot") > 0, "{whole}");
    // Without the newest an older one serves, and the log behind it.
    std::fs::remove_file(manifests().pop().unwrap()).unwrap();
    let (code, older) = verify();
    assert_eq!((code, number(&older, "epoch")), (Some(0), number(&whole, "epoch")));
    assert!(
        number(&older, "snapshot") < number(&whole, "snapshot") && number(&older, "again") > number(&whole, "again")
    );
    // Without any the log begins too late.
    manifests().iter().for_each(|m| std::fs::remove_file(m).unwrap());
    let (code, none) = verify();
    let why = none["refused"].as_str().unwrap_or_else(|| panic!("{none}"));
    assert!(code == Some(1) && why.contains("epochs from 1 on are needed"), "{none}");
    let out = p.millstream(&["checkpoint", "verify"]).unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("a start would be refused: ") && text.contains("epochs from 1 on are needed"), "{text}");
}
