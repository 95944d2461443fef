//! The `kafka` source against a real broker.
use model::source::Budget;
use model::{BuildCx, Built, Kind, Origin, Packet, Reader, Record, Source, Split};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::kafka::{Broker, SASL_USER, unique};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(40);

type Readers = Box<dyn Fn() -> model::Result<Box<dyn Reader>> + Send + Sync>;

fn build(settings: &serde_json::Value, once: bool) -> (Box<dyn Source>, Readers) {
    let part = kafka::parts().into_iter().find(|p| p.spec().kind == Kind::Source).unwrap();
    let opened = part.open("in", settings, &model::files::MemFiles::default());
    let node = opened.node.unwrap_or_else(|| panic!("{:?}", opened.problems));
    let cx = BuildCx { id: "in".into(), topology: "t".into(), once, ..BuildCx::default() };
    match node.build(&cx).unwrap() {
        Built::Source(s, r) => (s, r),
        _ => panic!("not a source"),
    }
}

fn settings(broker: &Broker, topic: &str, more: serde_json::Value) -> serde_json::Value {
    let mut all = serde_json::json!({"brokers": broker.bootstrap(), "topics": [topic], "discover": "200ms"});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

fn poll(s: &mut dyn Source, bytes: u64) -> model::source::Poll {
    s.poll(Budget { bytes, now_ms: 0 }).unwrap()
}

/// Splits that hold something, until `records` offsets are covered.
fn splits(s: &mut dyn Source, bytes: u64, records: u64) -> Vec<Split> {
    let (began, mut out, mut got) = (Instant::now(), Vec::new(), 0);
    while got < records {
        for split in poll(s, bytes).splits {
            got += split.to - split.from;
            if split.from < split.to {
                out.push(split);
            }
        }
        assert!(began.elapsed() < PATIENCE, "{got} of {records} offsets");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(got, records);
    out
}

/// Everything up to the end that was seen first.
fn once(s: &mut dyn Source) -> Vec<Split> {
    let (began, mut out) = (Instant::now(), Vec::new());
    loop {
        let p = poll(s, 1 << 20);
        out.extend(p.splits);
        if p.exhausted {
            return out;
        }
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn split(topic: &str, from: u64, to: u64) -> Split {
    let name = format!("{topic}[0]").into();
    Split { source: "in".into(), partition: 0, name, from, to, detail: serde_json::Value::Null, lane: 0 }
}

/// Packets of a split, batches as `(first, [(offset, bytes)])`, rejects as `(false, [(offset, code)])`.
fn packets(r: &mut dyn Reader, s: &Split) -> model::Result<Vec<Shown>> {
    let mut out = Vec::new();
    let origin = Arc::new(Origin { source: "in".into(), name: s.name.clone(), ..Origin::default() });
    r.read(s, &origin, &mut |p| out.push(shown(p)))?;
    Ok(out)
}

/// Is it the first of its part; offsets and texts, or codes of rejects.
type Shown = (bool, Vec<(u64, String)>);

fn shown(p: Packet) -> Shown {
    match p {
        Packet::Raw(b) => {
            let text = |i| String::from_utf8(b.bytes(i).to_vec()).unwrap();
            (b.first, (0..b.records.len()).map(|i| (b.records[i].offset, text(i))).collect())
        }
        Packet::Records(records) => {
            let code = |r: &Record| match r {
                Record::Rejected(x) => (x.pos.offset, x.code.to_string()),
                _ => panic!("not a reject"),
            };
            (false, records.iter().map(code).collect())
        }
        Packet::Events(_) => panic!("events"),
    }
}

fn read(r: &mut dyn Reader, s: &Split) -> Vec<(u64, String)> {
    packets(r, s).unwrap().into_iter().flat_map(|(_, b)| b).collect()
}

fn producer(broker: &Broker, id: Option<&str>) -> BaseProducer {
    let mut c = ClientConfig::new();
    c.set("bootstrap.servers", broker.bootstrap()).set("linger.ms", "1");
    if let Some(id) = id {
        c.set("transactional.id", id);
    }
    let p: BaseProducer = c.create().unwrap();
    if id.is_some() {
        p.init_transactions(PATIENCE).unwrap();
    }
    p
}

fn send(p: &BaseProducer, topic: &str, partition: i32, texts: impl Iterator<Item = String>) {
    for text in texts {
        p.send(BaseRecord::<(), str>::to(topic).partition(partition).payload(&text)).map_err(|e| e.0).unwrap();
    }
    p.flush(PATIENCE).unwrap();
}

fn transaction(p: &BaseProducer, topic: &str, texts: impl Iterator<Item = String>, commit: bool) {
    p.begin_transaction().unwrap();
    send(p, topic, 0, texts);
    if commit { p.commit_transaction(PATIENCE) } else { p.abort_transaction(PATIENCE) }.unwrap();
}

fn topic(broker: &Broker, name: &str, partitions: i32) -> String {
    let name = unique(name);
    broker.create_topic(&name, partitions, 1).unwrap();
    name
}

#[test]
fn any_cut_gives_the_same_records() {
    let broker = Broker::shared();
    let topic = topic(broker, "cuts", 1);
    let (plain, tx) = (producer(broker, None), producer(broker, Some(&topic)));
    let text = |kind: &str, i: usize| format!("{kind} {i} {}", "x".repeat(i * 37 % 900));
    let mut want = Vec::new();
    for round in 0..30 {
        let kind = ["plain", "committed", "aborted"][round % 3];
        let texts: Vec<String> = (0..100).map(|i| text(kind, round * 100 + i)).collect();
        match kind {
            "plain" => send(&plain, &topic, 0, texts.iter().cloned()),
            _ => transaction(&tx, &topic, texts.iter().cloned(), kind == "committed"),
        }
        if kind != "aborted" {
            want.extend(texts);
        }
    }
    // A marker for each transaction; the last one is written after the abort was acknowledged.
    let (end, began) = (3000 + 20i64, Instant::now());
    while broker.admin().offsets(&topic, 0).unwrap().1 < end {
        assert!(began.elapsed() < PATIENCE);
    }
    let (_s, readers) = build(&settings(broker, &topic, serde_json::json!({})), false);
    let mut whole_reader = readers().unwrap();
    let whole = read(&mut *whole_reader, &split(&topic, 0, end as u64));
    assert_eq!(whole.iter().map(|r| r.1.clone()).collect::<Vec<_>>(), want);
    assert!(whole.windows(2).all(|w| w[0].0 < w[1].0));

    // Cuts anywhere, also inside transactions, at markers and in aborted ones; by one reader and by two in turn.
    for (seed, readers_used) in [(1u64, 1), (2, 1), (3, 2), (4, 2)] {
        let mut used: Vec<Box<dyn Reader>> = (0..readers_used).map(|_| readers().unwrap()).collect();
        let (mut from, mut x, mut got, mut n) = (0, seed, Vec::new(), 0);
        while from < end as u64 {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let to = (from + 1 + (x >> 33) % if seed % 2 == 0 { 400 } else { 120 }).min(end as u64);
            got.extend(read(&mut *used[n % readers_used], &split(&topic, from, to)));
            (from, n) = (to, n + 1);
        }
        assert_eq!(got, whole, "seed {seed}");
    }
    // Again, from the middle, backwards: the packets are the same, with the same batches.
    let s = split(&topic, 700, 2900);
    let first = packets(&mut *whole_reader, &s).unwrap();
    assert_eq!(packets(&mut *whole_reader, &s).unwrap(), first);
    assert_eq!(packets(&mut *readers().unwrap(), &s).unwrap(), first);
}

#[test]
fn batches_are_cut_by_size_alone() {
    let broker = Broker::shared();
    let topic = topic(broker, "sizes", 1);
    send(&producer(broker, None), &topic, 0, (0..4000).map(|i| format!("{i:05}{}", "y".repeat(995))));
    let (_s, readers) = build(&settings(broker, &topic, serde_json::json!({"max_record": "2KiB"})), false);
    let got = packets(&mut *readers().unwrap(), &split(&topic, 0, 4000)).unwrap();
    let sizes: Vec<usize> = got.iter().map(|(_, b)| b.len()).collect();
    assert_eq!(sizes, [1475, 1475, 1050], "15/16 of 1.5 MiB each");
    // Each is a part that could have been read by itself, and the same then.
    assert!(got.iter().all(|b| b.0));
    let (mut reader, split, mut parts) = (readers().unwrap(), split(&topic, 0, 4000), Vec::new());
    let (origin, mut from) = (split.origin(0), 0);
    for (size, next) in sizes.iter().zip([1475, 2950, 4000]) {
        let mut part = Vec::new();
        from = reader.read_part(&split, from, &origin, &mut |p| part.push(shown(p))).unwrap();
        assert!(from == next && part.len() == 1, "{from}, {} packets for {size} records", part.len());
        parts.extend(part);
    }
    assert_eq!(parts, got);
}

#[test]
fn an_end_of_aborted_records_is_reached_at_once() {
    let broker = Broker::shared();
    let topic = topic(broker, "aborted", 1);
    let tx = producer(broker, Some(&topic));
    transaction(&tx, &topic, (0..3).map(|i| format!("a{i}")), true);
    transaction(&tx, &topic, (0..5).map(|i| format!("b{i}")), false);
    let (mut s, readers) = build(&settings(broker, &topic, serde_json::json!({})), false);
    let mut r = readers().unwrap();
    let list = splits(&mut *s, 1 << 20, 4 + 6);
    let began = Instant::now();
    let got: Vec<String> = list.iter().flat_map(|s| read(&mut *r, s)).map(|x| x.1).collect();
    assert_eq!(got, ["a0", "a1", "a2"]);
    // And a range of nothing but aborted records, then one behind it.
    assert_eq!(read(&mut *r, &split(&topic, 5, 8)), []);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    transaction(&tx, &topic, ["c".to_string()].into_iter(), true);
    let list = splits(&mut *s, 1 << 20, 2);
    assert_eq!((list[0].from, list[0].to), (10, 12));
    let began = Instant::now();
    assert_eq!(read(&mut *r, &list[0]), [(10, "c".to_string())]);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn an_open_transaction_is_not_read_into() {
    let broker = Broker::shared();
    let topic = topic(broker, "open", 1);
    let (plain, tx) = (producer(broker, None), producer(broker, Some(&topic)));
    send(&plain, &topic, 0, ["1".to_string()].into_iter());
    tx.begin_transaction().unwrap();
    send(&tx, &topic, 0, ["2".to_string()].into_iter());
    send(&plain, &topic, 0, ["3".to_string()].into_iter());
    let (mut s, readers) = build(&settings(broker, &topic, serde_json::json!({})), false);
    let mut r = readers().unwrap();
    let first = splits(&mut *s, 1 << 20, 1);
    assert_eq!((first[0].from, first[0].to), (0, 1));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        assert!(poll(&mut *s, 1 << 20).splits.is_empty(), "offset 1 is in an open transaction");
    }
    assert_eq!(read(&mut *r, &first[0]), [(0, "1".to_string())]);
    tx.commit_transaction(PATIENCE).unwrap();
    let rest = splits(&mut *s, 1 << 20, 3);
    let got: Vec<_> = rest.iter().flat_map(|s| read(&mut *r, s)).collect();
    assert_eq!(got, [(1, "2".to_string()), (2, "3".to_string())]);

    // Who asks for it reads it at once, and aborted records too.
    transaction(&tx, &topic, ["4".to_string()].into_iter(), false);
    let all = serde_json::json!({"isolation": "read_uncommitted"});
    let (mut s, readers) = build(&settings(broker, &topic, all), false);
    let list = splits(&mut *s, 1 << 20, 6);
    assert_eq!(list.iter().flat_map(|s| read(&mut *readers().unwrap(), s)).count(), 4);
}

#[test]
fn new_partitions_are_found_and_read_from_their_beginning() {
    let broker = Broker::shared();
    let topic = topic(broker, "grow", 1);
    let p = producer(broker, None);
    send(&p, &topic, 0, (0..3).map(|i| format!("old{i}")));
    let (mut s, readers) = build(&settings(broker, &topic, serde_json::json!({"start": "latest"})), false);
    let began = Instant::now();
    let mut anchors = Vec::new();
    while anchors.is_empty() {
        anchors = poll(&mut *s, 1 << 20).splits;
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!((anchors[0].from, anchors[0].to), (3, 3));
    broker.admin().grow(&topic, 3).unwrap();
    send(&producer(broker, None), &topic, 2, (0..2).map(|i| format!("new{i}")));
    let list = splits(&mut *s, 1 << 20, 2);
    assert_eq!((&*list[0].name, list[0].partition, list[0].lane), (&*format!("{topic}[2]"), 2, 2));
    let got: Vec<String> = list.iter().flat_map(|s| read(&mut *readers().unwrap(), s)).map(|x| x.1).collect();
    assert_eq!(got, ["new0", "new1"]);
}

#[test]
fn starts_at_a_time_or_an_offset_and_ends_where_it_was() {
    let broker = Broker::shared();
    let topic = topic(broker, "start", 2);
    let p = producer(broker, None);
    for (partition, ms) in [(0, 1_000_000), (0, 2_000_000), (0, 3_000_000), (1, 1_000_000)] {
        let record = BaseRecord::<(), str>::to(&topic).partition(partition).payload("x").timestamp(ms);
        p.send(record).map_err(|e| e.0).unwrap();
        p.flush(PATIENCE).unwrap();
    }
    let ranges = |more: serde_json::Value| {
        let (mut s, _) = build(&settings(broker, &topic, more), true);
        let mut by_partition: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for s in once(&mut *s) {
            by_partition.entry(s.partition).or_insert((s.from, s.to)).1 = s.to;
        }
        by_partition.into_values().collect::<Vec<_>>()
    };
    assert_eq!(ranges(serde_json::json!({})), [(0, 3), (0, 1)]);
    assert_eq!(ranges(serde_json::json!({"start": "latest"})), [(3, 3), (1, 1)]);
    assert_eq!(ranges(serde_json::json!({"start": "timestamp:1970-01-01T00:33:20Z"})), [(1, 3), (1, 1)]);
    let one = format!("{topic}:0");
    assert_eq!(ranges(serde_json::json!({"start_offsets": {one: 2}})), [(2, 3), (0, 1)]);
}

#[test]
fn the_group_shows_how_far_it_is() {
    let broker = Broker::shared();
    let topic = topic(broker, "group", 1);
    send(&producer(broker, None), &topic, 0, (0..10).map(|i| format!("{i}")));
    let group = unique("group");
    let (mut s, _) = build(&settings(broker, &topic, serde_json::json!({"group": group})), false);
    let list = splits(&mut *s, 7 << 10, 10);
    assert_eq!(s.lag(0)[0].records, 10);
    let (first, rest) = list.split_first().unwrap();
    s.finished(&[first], 100).unwrap();
    let (began, want) = (Instant::now(), Some(first.to as i64));
    while broker.describe_group(&group).unwrap().first().is_none_or(|l| l.current != want) {
        assert!(began.elapsed() < PATIENCE, "{:?}", broker.describe_group(&group));
    }
    s.finished(&rest.iter().collect::<Vec<_>>(), 100).unwrap();
    assert_eq!(s.lag(0)[0].records, 0);
    drop(s); // tells the rest
    let line = &broker.describe_group(&group).unwrap()[0];
    assert_eq!((line.topic.as_str(), line.current, line.end, line.lag), (topic.as_str(), Some(10), 10, Some(0)));
}

#[test]
fn retention_that_overtakes_is_named() {
    let broker = Broker::shared();
    let topic = topic(broker, "retention", 1);
    send(&producer(broker, None), &topic, 0, (0..100).map(|i| format!("{i}")));
    let start = |missing: &str| {
        let (mut s, readers) = build(&settings(broker, &topic, serde_json::json!({"missing": missing})), false);
        let replayed = Split { to: 10, ..split(&topic, 0, 10) };
        s.replayed(&replayed).unwrap();
        (s, readers)
    };
    let ((mut stop, readers), (mut skip, _)) = (start("stop"), start("skip"));
    broker.admin().delete_before(&topic, 0, 40).unwrap();
    let began = Instant::now();
    let e = loop {
        match stop.poll(Budget { bytes: 1 << 20, now_ms: 0 }) {
            Err(e) => break e.to_string(),
            Ok(p) => assert!(p.splits.is_empty() && began.elapsed() < PATIENCE),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(e.contains(&format!("offset 10 of {topic}[0]")) && e.contains("first that is left is 40"), "{e}");
    // A logged split that cannot be read any more.
    let e = packets(&mut *readers().unwrap(), &split(&topic, 10, 50)).err().unwrap().to_string();
    assert!(e.contains(&format!("offset 10 of {topic}[0]")) && e.contains("that is left is 40"), "{e}");
    // One that was never there.
    let e = packets(&mut *readers().unwrap(), &split(&topic, 200, 300)).err().unwrap().to_string();
    assert!(e.contains("ends at offset 100"), "{e}");
    let list = splits(&mut *skip, 1 << 20, 90);
    let got: Vec<(u64, String)> = list.iter().flat_map(|s| read(&mut *readers().unwrap(), s)).collect();
    assert_eq!((got.len(), &got[0], &got[1]), (61, &(10, "records_lost".to_string()), &(40, "40".to_string())));
}

#[test]
fn who_may_not_in_is_told_why() {
    let broker = Broker::shared();
    let topic = topic(broker, "secret", 1);
    send(&producer(broker, None), &topic, 0, ["in".to_string()].into_iter());
    let with = |password: &str| {
        let (user, protocol) = (SASL_USER.0, "sasl_plaintext");
        let security = serde_json::json!(
            {"protocol": protocol, "mechanism": "PLAIN", "username": user, "password": password});
        settings(broker, &topic, serde_json::json!({"brokers": broker.sasl(), "security": security}))
    };
    let fails = |settings: serde_json::Value| {
        let (mut s, began) = (build(&settings, false).0, Instant::now());
        loop {
            match s.poll(Budget { bytes: 1 << 20, now_ms: 0 }) {
                Err(e) => return e.to_string(),
                Ok(_) => assert!(began.elapsed() < PATIENCE),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let (mut s, readers) = build(&with(SASL_USER.1), false);
    let list = splits(&mut *s, 1 << 20, 1);
    assert_eq!(read(&mut *readers().unwrap(), &list[0]), [(0, "in".to_string())]);
    let e = fails(with("wrong"));
    assert!(e.starts_with("source `in`: the brokers at") && e.contains("refuse us"), "{e}");
    let e = fails(settings(broker, "no-such-topic", serde_json::json!({})));
    assert!(e.contains("the topic `no-such-topic` does not exist") && e.contains("create it"), "{e}");
}

#[test]
fn an_outage_is_waited_for() {
    let broker = Broker::start_with(tests::kafka::Setup::new(1)).unwrap();
    let topic = topic(&broker, "outage", 1);
    send(&producer(&broker, None), &topic, 0, (0..2000).map(|i| format!("{i} {}", "z".repeat(500))));
    // Little memory, so that most of it has not been read ahead when the broker goes.
    let (mut s, readers) = build(&settings(&broker, &topic, serde_json::json!({"memory": "4MiB"})), false);
    let list = splits(&mut *s, 64 << 10, 2000);
    let mut r = readers().unwrap();
    let mut got = read(&mut *r, &list[0]);
    broker.kill(0).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(6));
            broker.restart(0).unwrap();
        });
        for split in &list[1..] {
            got.extend(read(&mut *r, split));
        }
    });
    assert_eq!(got.len(), 2000);
    assert!(
        got.iter().enumerate().all(|(i, (offset, text))| *offset == i as u64 && text.starts_with(&format!("{i} ")))
    );
    send(&producer(&broker, None), &topic, 0, ["after".to_string()].into_iter());
    let list = splits(&mut *s, 1 << 20, 1);
    assert_eq!(read(&mut *r, &list[0]), [(2000, "after".to_string())]);
}

#[test]
fn more_partitions_than_the_memory_was_divided_by() {
    let broker = Broker::shared();
    let topic = topic(broker, "many", 11);
    let p = producer(broker, None);
    for partition in 0..11 {
        send(&p, &topic, partition, (0..50).map(|i| format!("{partition} {i}")));
    }
    let (mut s, readers) = build(&settings(broker, &topic, serde_json::json!({"memory": "4MiB"})), true);
    let mut r = readers().unwrap();
    // Small splits in turn: every partition is come back to after the client was made anew.
    let mut list: Vec<Split> = Vec::new();
    for s in once(&mut *s) {
        let step = |from: u64| (from, (from + 20).min(s.to));
        let cuts = std::iter::successors(Some(step(s.from)), |(_, to)| (*to < s.to).then(|| step(*to)));
        list.extend(cuts.map(|(from, to)| Split { from, to, ..s.clone() }));
    }
    list.sort_by_key(|s| (s.from, s.partition));
    let mut got: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for s in &list {
        got.entry(s.partition).or_default().extend(read(&mut *r, s).into_iter().map(|x| x.1));
    }
    for (partition, texts) in &got {
        assert_eq!(*texts, (0..50).map(|i| format!("{partition} {i}")).collect::<Vec<_>>());
    }
    assert_eq!(got.len(), 11);
}
