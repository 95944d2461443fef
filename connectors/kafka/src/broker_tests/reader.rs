//! Splits that are read in parts.
use crate::reader::KafkaReader;
use model::{Packet, Reader, Split};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tests::kafka::{Broker, SendMany, unique};

/// Offsets of each raw batch that was handed out; every batch that begins a part is marked as the first.
fn batches(packets: &[Packet]) -> Vec<(bool, Vec<u64>)> {
    let offsets = |p: &Packet| match p {
        Packet::Raw(b) => (b.first, b.records.iter().map(|r| r.offset).collect()),
        _ => panic!("not raw"),
    };
    packets.iter().map(offsets).collect()
}

#[test]
fn a_long_split_comes_a_batch_at_a_time_and_whole_alike() {
    let broker = Broker::start(1).unwrap();
    let topic = unique("parts");
    broker.create_topic(&topic, 1, 1).unwrap();
    let send = SendMany::new(&broker.bootstrap(), &topic).unwrap();
    for n in 0..5_000 {
        send.send(0, None, format!("{n:01000}").as_bytes(), &[]).unwrap();
    }
    send.flush().unwrap();
    let settings = serde_json::json!({"brokers": broker.bootstrap(), "topics": [topic]});
    let config = crate::settings::check(serde_json::from_value(settings).unwrap()).unwrap_or_else(|p| panic!("{p:?}"));
    let mut reader = KafkaReader::new(Arc::new(config), "s".into(), Arc::new(AtomicUsize::new(0)));
    let split = Split {
        source: "s".into(),
        partition: 0,
        name: format!("{topic}[0]").into(),
        from: 100,
        to: 4_900,
        detail: serde_json::Value::Null,
        lane: 0,
    };
    let (origin, mut parts) = (split.origin(0), Vec::new());
    let mut from = split.from;
    while from < split.to {
        let mut packets = Vec::new();
        from = reader.read_part(&split, from, &origin, &mut |p| packets.push(p)).unwrap();
        let [(true, offsets)] = &batches(&packets)[..] else { panic!("one batch that is the first: {packets:?}") };
        assert_eq!(*offsets.last().unwrap() + 1, from);
        parts.push((true, offsets.clone()));
    }
    assert!(parts.len() == 4, "4.8 MB in {} parts", parts.len());
    assert!(parts.iter().flat_map(|(_, o)| o).copied().eq(100..4_900));
    let mut whole = Vec::new();
    reader.read(&split, &origin, &mut |p| whole.push(p)).unwrap();
    assert_eq!(batches(&whole), parts);
}
