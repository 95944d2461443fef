//! The generator's promises: the same bytes again, the right number, the pace, and lines that are what they claim.
use super::*;
use serde_json::{Value as J, json};

const NOW: i64 = 1_772_366_400_000;

fn build(settings: J, once: bool) -> (Box<dyn Source>, Box<dyn Reader>) {
    let node = GeneratePart.open("gen", &settings, &model::files::MemFiles::default()).node.unwrap();
    let cx = BuildCx {
        id: "gen".into(),
        topology: "test".into(),
        generation: 1,
        index: 0,
        needs: Default::default(),
        store_events: false,
        groups: 1,
        shard: 0,
        data_dir: "data".into(),
        work_dir: ".".into(),
        event_time: false,
        once,
        ..Default::default()
    };
    let Built::Source(s, r) = node.build(&cx).unwrap() else { panic!() };
    (s, r().unwrap())
}

fn read(reader: &mut dyn Reader, split: &Split) -> Vec<String> {
    let mut lines = Vec::new();
    let mut take = |p: Packet| {
        let Packet::Raw(b) = p else { panic!() };
        assert_eq!(b.header.is_some(), &*split.name == "AWS.VPCFlow");
        for i in 0..b.records.len() {
            assert_eq!(b.pos(i).offset, split.from + lines.len() as u64);
            lines.push(String::from_utf8(b.bytes(i).to_vec()).unwrap());
        }
    };
    reader.read(split, &Arc::default(), &mut take).unwrap();
    lines
}

/// All lines of a run by log type.
fn lines(settings: J) -> BTreeMap<String, Vec<String>> {
    let (mut source, mut reader) = build(settings, true);
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    loop {
        let p = source.poll(Budget { bytes: 3 << 20, now_ms: NOW }).unwrap();
        for s in &p.splits {
            assert!(s.to - s.from <= CHUNK);
            out.entry(s.name.to_string()).or_default().extend(read(reader.as_mut(), s));
        }
        if p.exhausted {
            return out;
        }
    }
}

#[test]
fn exactly_as_many_as_asked_and_the_same_again() {
    let a = lines(json!({"count": 45_678, "seed": 7}));
    assert_eq!(a.values().map(|v| v.len()).sum::<usize>(), 45_678);
    assert_eq!(a.len(), KINDS.len());
    assert_eq!(a, lines(json!({"count": 45_678, "seed": 7})));
    let b = lines(json!({"count": 45_678, "seed": 8}));
    assert!(a.iter().all(|(k, v)| v[..50] != b[k][..50]), "another seed, other events");
}

#[test]
fn a_replay_of_the_log_gives_the_same_bytes_and_goes_on_behind_it() {
    let settings = json!({"count": 9_000, "rate": "1000/s"});
    let (mut source, mut reader) = build(settings.clone(), false);
    let mut log = Vec::new();
    for i in 0..4 {
        log.extend(source.poll(Budget { bytes: 32 << 20, now_ms: NOW + i * 250 }).unwrap().splits);
    }
    let first: Vec<_> = log.iter().map(|s| read(reader.as_mut(), s)).collect();
    let (mut again, mut reader) = build(settings, false);
    log.iter().for_each(|s| again.replayed(s).unwrap());
    assert_eq!(log.iter().map(|s| read(reader.as_mut(), s)).collect::<Vec<_>>(), first);
    let next = again.poll(Budget { bytes: 32 << 20, now_ms: NOW + 86_400_000 }).unwrap();
    for s in &next.splits {
        let last = log.iter().filter(|l| l.partition == s.partition).map(|l| l.to).max().unwrap();
        assert_eq!(s.from, last);
    }
    let (mut from_state, _) = build(json!({"count": 9_000, "rate": "1000/s"}), false);
    from_state.restore(&source.snapshot()).unwrap();
    assert_eq!(from_state.snapshot(), source.snapshot());
}

#[test]
fn the_pace_is_the_rate() {
    let (mut source, _) = build(json!({"rate": "2000/s"}), false);
    let mut n = 0;
    for i in 0..=40 {
        let p = source.poll(Budget { bytes: 32 << 20, now_ms: NOW + i * 250 }).unwrap();
        n += p.splits.iter().map(|s| s.to - s.from).sum::<u64>();
        assert!(!p.exhausted);
    }
    assert_eq!(n, 200 + 20_000);
    let p = source.poll(Budget { bytes: 32 << 20, now_ms: NOW + 3_600_000 }).unwrap();
    assert_eq!(p.splits.iter().map(|s| s.to - s.from).sum::<u64>(), 4_000, "an hour's pause is not made up for");
    let small = source.poll(Budget { bytes: 5_120, now_ms: NOW + 3_601_000 }).unwrap();
    assert_eq!(small.splits.iter().map(|s| s.to - s.from).sum::<u64>(), 10, "the budget is kept");
}

#[test]
fn lines_are_what_their_log_type_says() {
    let all = lines(json!({"count": 40_000}));
    for t in ["AWS.CloudTrail", "Okta.SystemLog", "GitHub.Audit", "Zeek.DNS"] {
        for l in &all[t] {
            let v: J = serde_json::from_str(l).unwrap_or_else(|e| panic!("{t}: {e}: {l}"));
            let must: &[&str] = match t {
                "AWS.CloudTrail" => &[
                    "eventID",
                    "eventName",
                    "eventSource",
                    "eventTime",
                    "eventType",
                    "eventVersion",
                    "awsRegion",
                    "sourceIPAddress",
                    "userIdentity",
                ],
                "Okta.SystemLog" => &["uuid", "published", "eventType", "version", "severity"],
                "GitHub.Audit" => &["@timestamp", "action"],
                _ => &["ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"],
            };
            assert!(must.iter().all(|k| !v[k].is_null()), "{l}");
        }
    }
    assert!(all["AWS.VPCFlow"].iter().all(|l| l.split(' ').count() == 14));
    assert!(
        all["Nginx.Access"]
            .iter()
            .all(|l| l.split(' ').count() >= 11 && l.contains(" - - [") && l.contains(" +0000] \""))
    );
    assert!(all["Syslog.RFC3164"].iter().all(|l| l.starts_with('<') && l.contains("]: ")));
    let times: Vec<i64> = all["AWS.CloudTrail"]
        .iter()
        .map(|l| {
            let v: J = serde_json::from_str(l).unwrap();
            model::time::rfc3339_ns(v["eventTime"].as_str().unwrap()).unwrap() / 1_000_000
        })
        .collect();
    assert!(times[0] == NOW && times.is_sorted(), "time goes on with the sequence");
    assert_eq!(times[times.len() - 1] / 1000, NOW / 1000 + 19, "40,000 events at 2,000/s");
}

#[test]
fn the_story_is_told_and_can_be_left_out() {
    let told = lines(json!({"count": 20_000}));
    let has = |m: &BTreeMap<String, Vec<String>>, t: &str, what: &str| m[t].iter().filter(|l| l.contains(what)).count();
    let scenes = [
        ("AWS.CloudTrail", "\"MFAUsed\":\"No\"", 1),
        ("AWS.CloudTrail", "\"StopLogging\"", 1),
        ("AWS.CloudTrail", "policy/AdministratorAccess", 1),
        ("AWS.CloudTrail", "\"CreateAccessKey\"", 1),
        ("AWS.CloudTrail", "\"PutBucketPolicy\"", 1),
        ("AWS.CloudTrail", "\"GetSecretValue\"", 25),
        ("Okta.SystemLog", "deny_push", 7),
        ("GitHub.Audit", "\"repo.access\"", 1),
        ("AWS.VPCFlow", " 1 40 ", 120),
        ("Nginx.Access", "Nikto", 20),
        ("Syslog.RFC3164", "Accepted password for root", 1),
        ("Syslog.RFC3164", "Failed password for root", 50),
        ("Zeek.DNS", "\"TXT\"", 80),
    ];
    let plain = lines(json!({"count": 20_000, "stories": false}));
    for (t, what, n) in scenes {
        assert!(has(&told, t, what) >= n, "{t} {what}: {}", has(&told, t, what));
        assert!(has(&plain, t, what) == 0 || what == " 1 40 ", "{t} {what}");
    }
    let actors: std::collections::BTreeSet<String> = (0..20)
        .map(|c| story::Cast::of(0, c))
        .map(|c| {
            let mut s = String::new();
            story::okta(&c, 9, NOW, &mut s);
            serde_json::from_str::<J>(&s).unwrap()["actor"]["alternateId"].to_string()
        })
        .collect();
    assert!(actors.len() > 8, "{actors:?}");
}

#[test]
fn twenty_seconds_of_404s_trip_a_limiter_of_a_thousand() {
    let all = lines(json!({"count": 40_000}));
    let pairs: std::collections::BTreeSet<(&str, &str)> = all["Nginx.Access"]
        .iter()
        .filter(|l| l.contains("\" 404 "))
        .map(|l| {
            let mut w = l.split(' ');
            (w.next().unwrap(), w.nth(5).unwrap())
        })
        .collect();
    assert!(pairs.len() > 1_500, "{}", pairs.len());
}

#[test]
fn a_run_without_end_is_refused() {
    let node = GeneratePart.open("gen", &json!({}), &model::files::MemFiles::default()).node.unwrap();
    let cx = BuildCx {
        id: "gen".into(),
        topology: "test".into(),
        generation: 1,
        index: 0,
        needs: Default::default(),
        store_events: false,
        groups: 1,
        shard: 0,
        data_dir: "d".into(),
        work_dir: ".".into(),
        event_time: false,
        once: true,
        ..Default::default()
    };
    assert!(node.build(&cx).err().unwrap().to_string().contains("needs `count`"));
    assert!(!GeneratePart.open("gen", &json!({"rate": "0/s"}), &model::files::MemFiles::default()).problems.is_empty());
}

#[test]
fn with_a_start_the_events_do_not_depend_on_the_pace() {
    let settings = |count: u64| json!({ "rate": "1000/s", "count": count, "start": "2026-03-02T09:00:00Z", "seed": 3 });
    let whole = lines(settings(3_000));
    let (mut source, mut reader) = build(settings(3_000), false);
    let (mut now, mut paced) = (NOW, BTreeMap::<String, Vec<String>>::new());
    loop {
        let poll = source.poll(Budget { bytes: 1 << 30, now_ms: now }).unwrap();
        for split in &poll.splits {
            paced.entry(split.name.to_string()).or_default().extend(read(&mut *reader, split));
        }
        if poll.exhausted {
            break;
        }
        now += 37;
    }
    assert_eq!(paced, whole);
    let bad = GeneratePart.open("gen", &json!({ "start": "yesterday" }), &model::files::MemFiles::default());
    assert_eq!(bad.problems[0].setting, "start");
}
