//! The coordinator's side against a picture made by hand; `tests/source.rs` has the same against a broker.
use super::*;
use crate::discover::Picture;

fn config(settings: serde_json::Value) -> Arc<Config> {
    let mut all = serde_json::json!({"brokers": "127.0.0.1:1", "topics": ["a", "b"]});
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    Arc::new(check(serde_json::from_value(all).unwrap()).unwrap_or_else(|p| panic!("{p:?}")))
}

/// A source whose watcher is this test.
fn source(settings: serde_json::Value) -> KafkaSource {
    let mut s = KafkaSource::new(config(settings), "in".into(), "g".into(), false);
    s.watcher = Some((mpsc::channel().0, std::thread::spawn(|| ())));
    s
}

fn see(p: &mut Picture, topic: &str, partition: i32, low: u64, end: u64) {
    let seen = p.parts.entry((topic.into(), partition)).or_insert_with(|| Seen::ending(end));
    seen.low = low;
    seen.reaches(end, 1000);
    p.complete = true;
}

fn poll(s: &mut KafkaSource, bytes: u64) -> Vec<String> {
    let p = s.poll(Budget { bytes, now_ms: 5000 }).unwrap();
    p.splits.iter().map(|s| format!("{}:{} {}..{} @{}", s.partition, s.name, s.from, s.to, s.lane)).collect()
}

#[test]
fn partitions_are_numbered_and_shared_fairly() {
    let mut s = source(serde_json::json!({}));
    assert_eq!(poll(&mut s, 1 << 20), [""; 0], "nothing is known yet");
    {
        let mut p = s.shared.lock();
        see(&mut p, "a", 0, 5, 10_000);
        see(&mut p, "a", 1, 0, 3);
        see(&mut p, "b", 0, 0, 0);
    }
    // 100 records of 1 KiB: the small partition gives what it does not need to the large one.
    assert_eq!(
        poll(&mut s, 100 << 10),
        ["0:a[0] 5..5 @0", "1:a[1] 0..0 @1", "2:b[0] 0..0 @2", "0:a[0] 5..102 @0", "1:a[1] 0..3 @1"]
    );
    // No split is larger than what is read in one go, and ranges go on without a gap.
    let long = poll(&mut s, 4 << 20);
    assert_eq!(long, ["0:a[0] 102..1638 @0", "0:a[0] 1638..3174 @0", "0:a[0] 3174..4198 @0"]);
    // A new partition gets the next number, and is read from its beginning.
    see(&mut s.shared.lock(), "b", 1, 7, 9);
    assert_eq!(poll(&mut s, 1 << 10)[0], "3:b[1] 7..7 @3");
}

#[test]
fn the_size_of_records_is_learnt() {
    let mut s = source(serde_json::json!({}));
    see(&mut s.shared.lock(), "a", 0, 0, 1_000_000);
    let all = s.poll(Budget { bytes: 1 << 20, now_ms: 0 }).unwrap();
    assert_eq!(all.bytes, 1 << 20);
    for _ in 0..30 {
        s.finished(&all.splits.iter().collect::<Vec<_>>(), 100 * 1024).unwrap(); // 1024 records
    }
    assert!(s.size >= 100 && s.size < 110, "{}", s.size);
    let more = s.poll(Budget { bytes: 1 << 20, now_ms: 0 }).unwrap();
    assert!(more.splits.iter().map(|s| s.to - s.from).sum::<u64>() > 9_000);
}

#[test]
fn state_and_log_bring_back_numbers_and_offsets() {
    let mut s = source(serde_json::json!({"start": "latest"}));
    see(&mut s.shared.lock(), "a", 0, 0, 50);
    assert_eq!(poll(&mut s, 1 << 20), ["0:a[0] 50..50 @0"]);
    see(&mut s.shared.lock(), "a", 0, 0, 60);
    let state = s.snapshot();
    let later = s.poll(Budget { bytes: 1 << 20, now_ms: 0 }).unwrap().splits;
    see(&mut s.shared.lock(), "b", 0, 3, 9);
    let new = s.poll(Budget { bytes: 1 << 20, now_ms: 0 }).unwrap().splits;

    let mut t = source(serde_json::json!({"start": "latest"}));
    t.restore(&state).unwrap();
    for split in later.iter().chain(&new) {
        t.replayed(split).unwrap();
    }
    assert_eq!(t.snapshot(), s.snapshot());
    // What appears after the first run is read from its beginning, whatever `start` says.
    {
        let mut p = t.shared.lock();
        see(&mut p, "a", 0, 0, 60);
        see(&mut p, "b", 0, 3, 9);
        see(&mut p, "b", 1, 4, 5);
    }
    assert_eq!(poll(&mut t, 1 << 20), ["2:b[1] 4..4 @2", "2:b[1] 4..5 @2"]);
    assert!(t.restore(b"{}").is_err());
}

#[test]
fn what_is_lost_stops_the_run_or_is_said_once() {
    let lose = |missing: &str| {
        let mut s = source(serde_json::json!({"missing": missing}));
        see(&mut s.shared.lock(), "a", 0, 0, 50);
        poll(&mut s, 10 << 10);
        see(&mut s.shared.lock(), "a", 0, 30, 50);
        s
    };
    let e = lose("stop").poll(Budget { bytes: 1 << 20, now_ms: 0 }).err().unwrap().to_string();
    assert!(e.contains("offset 10 of a[0]") && e.contains("first that is left is 30"), "{e}");
    let mut s = lose("skip");
    let splits = s.poll(Budget { bytes: 1 << 20, now_ms: 0 }).unwrap().splits;
    assert_eq!((splits[0].from, splits[0].to, splits[0].detail.get("lost").is_some()), (10, 30, true));
    assert_eq!((splits[1].from, splits[1].to, splits[1].detail.is_null()), (30, 50, true));
}

#[test]
fn an_end_that_stays_behind_is_an_error() {
    let mut s = source(serde_json::json!({}));
    see(&mut s.shared.lock(), "a", 0, 0, 50);
    poll(&mut s, 1 << 20);
    see(&mut s.shared.lock(), "a", 0, 0, 20);
    assert!(s.poll(Budget { bytes: 1, now_ms: 10_000 }).is_ok(), "a new leader may be behind for a moment");
    let e = s.poll(Budget { bytes: 1, now_ms: 10_000 + BEHIND_MS + 1 }).err().unwrap().to_string();
    assert!(e.contains("a[0] ends at offset 20") && e.contains("up to 50"), "{e}");
}

#[test]
fn starts_where_it_is_told() {
    let first = |settings: serde_json::Value| {
        let mut s = source(settings);
        {
            let mut p = s.shared.lock();
            see(&mut p, "a", 0, 5, 50);
            see(&mut p, "a", 1, 0, 8);
            p.parts.get_mut(&("a".into(), 0)).unwrap().by_time = Some(22);
        }
        s.poll(Budget { bytes: 1 << 20, now_ms: 0 })
            .map(|p| (p.splits[0].from, p.splits[1].from))
            .map_err(|e| e.to_string())
    };
    assert_eq!(first(serde_json::json!({})), Ok((5, 0)));
    assert_eq!(first(serde_json::json!({"start": "latest"})), Ok((50, 8)));
    assert_eq!(first(serde_json::json!({"start": "timestamp:2026-01-31T00:00:00Z"})), Ok((22, 8)));
    assert_eq!(first(serde_json::json!({"start": "latest", "start_offsets": {"a:1": 3}})), Ok((50, 3)));
    assert!(first(serde_json::json!({"start_offsets": {"a:7": 3}})).err().unwrap().contains("no such partition"));
    assert!(first(serde_json::json!({"start_offsets": {"a:0": 99}})).err().unwrap().contains("ends at 50"));
}

#[test]
fn lag_counts_what_no_sink_has_committed() {
    let mut s = source(serde_json::json!({}));
    see(&mut s.shared.lock(), "a", 0, 0, 50);
    let splits = s.poll(Budget { bytes: 1 << 20, now_ms: 0 }).unwrap().splits;
    assert_eq!(s.lag(4000), [Lag { name: "a[0]".into(), records: 50, ms: 3000 }]);
    s.finished(&splits.iter().collect::<Vec<_>>(), 50 * 1024).unwrap();
    assert_eq!(s.lag(4000), [Lag { name: "a[0]".into(), records: 0, ms: 0 }]);
    assert_eq!(s.shared.lock().untold[&("a".into(), 0)], 50);
}
