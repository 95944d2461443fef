//! What the store promises, tested against files that were cut, flipped, swapped and lost.
use super::*;
use model::Receipt;
use model::store::NodeState;
use std::process::Command;

fn epoch(n: Epoch) -> EpochRecord {
    EpochRecord {
        epoch: n,
        generation: 1,
        now_ms: 1_000 + n as i64,
        bundle: "b".into(),
        splits: vec![],
        commands: vec![],
        quarantined: vec![],
        snapshot: n.is_multiple_of(3),
        seal: false,
    }
}

fn commit(n: Epoch) -> Commit {
    let receipt =
        Receipt { rows: n, digest: format!("{n:032x}"), state: serde_json::json!({ "len": n * 10 }), waiting: false };
    Commit { epoch: n, generation: 1, receipt }
}

/// Three epochs, commits of two shards, an object and a manifest per third epoch.
fn fill(s: &LocalStore, from: Epoch, to: Epoch) {
    for n in from..=to {
        s.append_epoch(&epoch(n)).unwrap();
        s.append_commit("alerts", 0, &commit(n), true).unwrap();
        s.append_commit("lake/x", 1, &commit(n), n % 2 == 0).unwrap();
        if n % 3 == 0 {
            let o = s.put(&format!("snap/{n}/dedup/7"), format!("state at {n}").as_bytes()).unwrap();
            let node = NodeState { state_key: "k".into(), objects: vec![o], groups: [(7, vec![0])].into() };
            let m = Manifest {
                epoch: n,
                generation: 1,
                state: [("dedup".to_string(), node)].into(),
                ..Manifest::default()
            };
            s.publish(&m).unwrap();
        }
    }
}

#[test]
fn what_was_written_is_read_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    assert_eq!(s.begin().unwrap(), 1);
    assert!(s.manifests().unwrap().is_empty() && s.epochs_after(0).unwrap().is_empty());
    fill(&s, 1, 7);
    drop(s);
    let s = LocalStore::open(dir.path()).unwrap();
    assert_eq!(s.begin().unwrap(), 2);
    assert_eq!(s.epochs_after(3).unwrap(), (4..=7).map(epoch).collect::<Vec<_>>());
    assert_eq!(s.shards().unwrap(), [("alerts".to_string(), 0), ("lake/x".to_string(), 1)]);
    assert_eq!(s.commits("lake/x", 1).unwrap(), (1..=7).map(commit).collect::<Vec<_>>());
    assert_eq!(s.commits("nobody", 0).unwrap(), []);
    let ms = s.manifests().unwrap();
    assert_eq!(ms.iter().map(|m| m.as_ref().unwrap().epoch).collect::<Vec<_>>(), [6, 3]);
    assert_eq!(s.get(&ms[0].as_ref().unwrap().state["dedup"].objects[0]).unwrap(), b"state at 6");
    let e = s.append_epoch(&epoch(9)).unwrap_err().to_string();
    assert!(e.contains("epoch 9 cannot follow epoch 7"), "{e}");
}

#[test]
fn a_second_process_is_refused_and_told_who_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    let e = LocalStore::open(dir.path()).err().unwrap().to_string();
    assert!(e.contains(&format!("in use by process {}", std::process::id())), "{e}");
    assert!(LocalStore::open_read_only(dir.path()).is_ok());
    drop(s);
    assert!(LocalStore::open(dir.path()).is_ok());
}

#[test]
fn looking_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(LocalStore::open_read_only(dir.path()).is_err());
    let s = LocalStore::open(dir.path()).unwrap();
    fill(&s, 1, 4);
    let r = LocalStore::open_read_only(dir.path()).unwrap();
    assert_eq!(r.epochs_after(0).unwrap().len(), 4);
    assert_eq!(r.commits("alerts", 0).unwrap().len(), 4);
    assert!(r.begin().is_err() && r.append_epoch(&epoch(5)).is_err() && r.put("x", b"").is_err());
    assert!(r.append_commit("new", 0, &commit(5), true).is_err() && r.trim(1).is_err());
}

#[test]
fn trim_keeps_what_the_kept_manifests_need() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    fill(&s, 1, 14); // manifests at 3, 6, 9, 12
    let pending = s.put("snap/15/dedup/7", b"not published yet").unwrap();
    s.trim(2).unwrap();
    let check = |s: &LocalStore| {
        let ms: Vec<Manifest> = s.manifests().unwrap().into_iter().map(|m| m.unwrap()).collect();
        assert_eq!(ms.iter().map(|m| m.epoch).collect::<Vec<_>>(), [12, 9]);
        for m in &ms {
            assert!(s.get(&m.state["dedup"].objects[0]).is_ok());
        }
        assert_eq!(s.epochs_after(9).unwrap().len(), 5);
        assert!(s.epochs_after(6).is_err(), "epochs 7 to 9 are gone, and that is said");
        assert_eq!(s.commits("alerts", 0).unwrap().len(), 5);
    };
    check(&s);
    assert!(!dir.path().join("objects/snap/6/dedup/7").exists());
    assert!(s.get(&pending).is_ok(), "an object on its way into a manifest stays");
    s.append_epoch(&epoch(15)).unwrap();
    drop(s);
    let s = LocalStore::open(dir.path()).unwrap();
    s.trim(2).unwrap();
    assert!(s.get(&pending).is_err(), "left by a crash: no manifest came");
    assert_eq!(s.epochs_after(12).unwrap().len(), 3);
    // A log is cut by the process that writes it.
    s.append_commit("alerts", 0, &commit(15), true).unwrap();
    s.trim(1).unwrap();
    assert_eq!(s.commits("alerts", 0).unwrap().len(), 3);
}

#[test]
fn a_quiet_shard_keeps_its_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    fill(&s, 1, 2);
    s.append_commit("once", 0, &commit(2), true).unwrap();
    fill(&s, 3, 6);
    s.trim(1).unwrap();
    assert_eq!(s.commits("once", 0).unwrap(), [commit(2)]);
    drop(s);
    assert!(LocalStore::open(dir.path()).is_ok(), "commits of trimmed epochs are no damage");
}

#[test]
fn every_cut_of_the_last_record_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    fill(&s, 1, 2);
    let path = dir.path().join("epochs.log");
    let before = fs::read(&path).unwrap().len();
    s.append_epoch(&epoch(3)).unwrap();
    let whole = fs::read(&path).unwrap();
    drop(s);
    for cut in before..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let s = LocalStore::open(dir.path()).unwrap();
        assert_eq!(s.epochs_after(0).unwrap().len(), 2, "cut at {cut}");
        s.append_epoch(&epoch(3)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    // One byte less, and an epoch is gone of which there are commits.
    fs::write(&path, &whole[..before - 1]).unwrap();
    let e = LocalStore::open(dir.path()).err().unwrap().to_string();
    assert!(e.contains("commits epoch 2, which this log has lost"), "{e}");
}

/// Everything the store can say, or the first error.
fn read_all(dir: &Path) -> Result<String> {
    let s = LocalStore::open(dir)?;
    let mut out = format!("{:?} {:?}", s.epochs_after(0)?, s.shards()?);
    for (sink, shard) in s.shards()? {
        out += &format!("{:?}", s.commits(&sink, shard)?);
    }
    for m in s.manifests()? {
        let m = m?;
        for o in m.state.values().flat_map(|n| &n.objects) {
            out += &format!("{:?}", s.get(o)?);
        }
        out += &format!("{m:?}");
    }
    Ok(out)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for e in fs::read_dir(dir).unwrap() {
        let p = e.unwrap().path();
        if p.is_dir() { out.extend(files_below(&p)) } else { out.push(p) }
    }
    out.sort();
    out
}

#[test]
fn a_thousand_flipped_bits_never_give_a_wrong_read() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    s.begin().unwrap();
    fill(&s, 1, 7);
    drop(s);
    let want = read_all(dir.path()).unwrap();
    // The lock file says nothing about state.
    let files: Vec<PathBuf> = files_below(dir.path()).into_iter().filter(|p| !p.ends_with("lock")).collect();
    let random = |i: u32| xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes()) as usize;
    for i in 0..1_000 {
        let path = &files[random(2 * i) % files.len()];
        let whole = fs::read(path).unwrap();
        let mut b = whole.clone();
        let bit = random(2 * i + 1) % (b.len() * 8);
        b[bit / 8] ^= 1 << (bit % 8);
        fs::write(path, &b).unwrap();
        // These are read when the engine begins; nothing else depends on them.
        let begins = || LocalStore::open(dir.path()).and_then(|s| s.begin());
        let word = path.ends_with("generation") || path.ends_with("identity");
        let noticed = if word { begins().is_err() } else { read_all(dir.path()).is_err() };
        assert!(noticed, "flip {i}: bit {bit} of {} was not noticed", path.display());
        fs::write(path, &whole).unwrap();
    }
    assert_eq!(read_all(dir.path()).unwrap(), want);
}

#[test]
fn swapped_and_lost_files_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    fill(&s, 1, 7);
    drop(s);
    let swap = |a: &str, b: &str| {
        let (a, b, t) = (dir.path().join(a), dir.path().join(b), dir.path().join("swap"));
        fs::rename(&a, &t).unwrap();
        fs::rename(&b, &a).unwrap();
        fs::rename(&t, &b).unwrap();
    };
    for (a, b) in [
        ("commits/alerts.0.log", "commits/lake%2Fx.1.log"),
        ("manifests/00000000000000000003.json", "manifests/00000000000000000006.json"),
        ("objects/snap/3/dedup/7", "objects/snap/6/dedup/7"),
        ("epochs.log", "commits/alerts.0.log"),
    ] {
        swap(a, b);
        assert!(read_all(dir.path()).is_err(), "{a} and {b} were swapped");
        swap(a, b);
    }
    for lost in ["epochs.log", "objects/snap/6/dedup/7", "format"] {
        let (p, keep) = (dir.path().join(lost), dir.path().join("keep"));
        fs::rename(&p, &keep).unwrap();
        assert!(read_all(dir.path()).is_err(), "{lost} was lost");
        fs::rename(&keep, &p).unwrap();
    }
    assert!(read_all(dir.path()).is_ok());
}

#[test]
fn a_damaged_manifest_is_named_and_the_older_one_stands() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    fill(&s, 1, 6);
    fs::write(dir.path().join("manifests/00000000000000000006.json"), "short").unwrap();
    let ms = s.manifests().unwrap();
    assert_eq!(ms[0], Err("00000000000000000006.json: it is cut short".to_string()));
    assert_eq!(ms[1].as_ref().unwrap().epoch, 3);
    s.trim(1).unwrap();
    assert_eq!(s.epochs_after(3).unwrap().len(), 3, "the kept manifest is the newest one that can be used");
}

#[test]
fn object_names_stay_inside() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    for bad in ["", "../x", "/etc/x", "a/../b", "."] {
        assert!(s.put(bad, b"x").is_err(), "{bad}");
    }
    assert_eq!(commit_file("a.b", 1), "a%2Eb.1.log");
    assert_ne!(commit_file("a%2Eb", 1), commit_file("a.b", 1));
}

/// Not a test of its own: the process that dies in `each_crash_point_leaves_a_store_that_opens`.
#[test]
fn crash_child() {
    let Ok(dir) = std::env::var("STORE_UNDER_TEST") else { return };
    let s = LocalStore::open(dir).unwrap();
    s.begin().unwrap();
    let last = s.epochs_after(0).unwrap().last().map_or(0, |r| r.epoch);
    fill(&s, last + 1, last + 9);
    s.trim(2).unwrap();
    fill(&s, last + 10, last + 12);
}

#[test]
fn each_crash_point_leaves_a_store_that_opens() {
    let mine = [
        "epoch.before_append",
        "epoch.torn_append",
        "epoch.after_append",
        "commit.torn_append",
        "snapshot.mid_objects",
        "object.before_rename",
        "manifest.before_publish",
        "manifest.after_publish",
        "trim.mid",
    ];
    assert!(mine.iter().all(|p| fault::CRASH_POINTS.contains(p)));
    for point in mine {
        for hit in if point == "trim.mid" { 1..=1 } else { 2..=3 } {
            let dir = tempfile::tempdir().unwrap();
            let out = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "store::tests::crash_child", "--test-threads=1"])
                .env("STORE_UNDER_TEST", dir.path())
                .env("MILLSTREAM_CRASH", format!("{point}:{hit}"))
                .output()
                .unwrap();
            assert!(!out.status.success(), "{point}:{hit} was never passed");
            let s = LocalStore::open(dir.path()).unwrap();
            assert_eq!(s.begin().unwrap(), 2, "{point}");
            let last = s.epochs_after(0).unwrap().last().unwrap().epoch;
            assert!(s.commits("alerts", 0).unwrap().last().unwrap().epoch <= last);
            for m in s.manifests().unwrap() {
                let m = m.unwrap();
                assert!(s.get(&m.state["dedup"].objects[0]).is_ok(), "{point}: every manifest has its objects");
            }
            fill(&s, last + 1, last + 4);
            s.trim(1).unwrap();
        }
    }
}

/// Not a test of its own: the process that runs out of space in `a_full_disk_is_named_and_leaves_nothing_torn`.
#[test]
fn full_disk_child() {
    let Ok(dir) = std::env::var("FULL_STORE_UNDER_TEST") else { return };
    let s = LocalStore::open(dir).unwrap();
    // SAFETY: plain system calls; a write over the limit becomes an error, as on a full disk.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &libc::rlimit { rlim_cur: 1000, rlim_max: 1000 });
    }
    let e = (1..100).find_map(|n| s.append_epoch(&epoch(n)).err()).expect("the limit is reached").to_string();
    assert!(e.contains("cannot append to") && e.contains("epochs.log"), "{e}");
    let e = s.append_epoch(&epoch(100)).unwrap_err().to_string();
    assert!(e.contains("cannot follow") || e.contains("restart to recover"), "{e}");
    let e = s.put("big", &[7; 2000]).unwrap_err().to_string();
    assert!(e.contains("cannot write"), "{e}");
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing_torn() {
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::full_disk_child", "--test-threads=1"])
        .env("FULL_STORE_UNDER_TEST", dir.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    let s = LocalStore::open(dir.path()).unwrap();
    let last = s.epochs_after(0).unwrap().len() as u64;
    assert!((3..50).contains(&last), "{last}");
    assert_eq!(files_below(dir.path()).iter().filter(|p| p.starts_with(dir.path().join("objects"))).count(), 0);
    s.append_epoch(&epoch(last + 1)).unwrap();
}

#[test]
fn a_member_writes_beside_the_coordinator_and_neither_cuts_the_others_records() {
    let dir = tempfile::tempdir().unwrap();
    let s = LocalStore::open(dir.path()).unwrap();
    assert_eq!(s.begin().unwrap(), 1);
    let m = LocalStore::open_as_member(dir.path()).unwrap();
    assert!(m.join(2).unwrap_err().to_string().contains("generation 2"));
    m.join(1).unwrap();
    assert_eq!(m.identity().unwrap(), s.identity().unwrap());
    assert!(m.begin().is_err() && m.append_epoch(&epoch(1)).is_err() && m.trim(1).is_err());
    assert!(m.publish(&Manifest::default()).is_err());
    for n in 1..=600 {
        fill(&s, n, n);
        m.append_commit("far", 1, &commit(n), false).unwrap();
        if n % 3 == 0 {
            s.trim(1).unwrap();
        }
    }
    let far = s.commits("far", 1).unwrap();
    assert!(far.is_empty(), "the coordinator does not follow a member's log while both run");
    assert!(s.shards().unwrap().contains(&("far".to_string(), 1)));
    let far = s.commits("far", 1).unwrap();
    assert_eq!(far.last(), Some(&commit(600)));
    assert!(far.len() < 600 && far.len() > 80, "the member cuts its own log: {} records", far.len());
    assert_eq!(s.commits("alerts", 0).unwrap(), [commit(600)]);
    let o = m.put("snap/600/w1", b"x").unwrap();
    assert_eq!(s.get(&o).unwrap(), b"x");
}
