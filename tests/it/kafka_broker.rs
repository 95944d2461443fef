//! The Kafka that other tests stand on: it does what they rely on.
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::{Duration, Instant};
use tests::kafka::{Broker, Setup, produce, read_all, unique};

fn transactional(bootstrap: &str, id: &str) -> BaseProducer {
    let mut c = ClientConfig::new();
    c.set("bootstrap.servers", bootstrap).set("transactional.id", id).set("linger.ms", "0").set("log_level", "2");
    c.create().unwrap()
}

fn send(p: &BaseProducer, topic: &str, value: &str) {
    p.send(BaseRecord::<(), _>::to(topic).partition(0).payload(value)).map_err(|e| e.0).unwrap();
    while p.in_flight_count() > 0 {
        p.poll(Duration::from_millis(1));
    }
}

const T: Duration = Duration::from_secs(30);

#[test]
fn transactions_are_atomic_and_an_old_producer_is_fenced() {
    let (broker, topic) = (Broker::shared(), unique("txn"));
    broker.create_topic(&topic, 1, 1).unwrap();
    let id = unique("id");
    let old = transactional(&broker.bootstrap(), &id);
    old.init_transactions(T).unwrap();
    old.begin_transaction().unwrap();
    send(&old, &topic, "one");
    old.commit_transaction(T).unwrap();
    old.begin_transaction().unwrap();
    send(&old, &topic, "aborted");
    old.abort_transaction(T).unwrap();
    old.begin_transaction().unwrap();
    send(&old, &topic, "of a zombie");
    let new = transactional(&broker.bootstrap(), &id);
    new.init_transactions(T).unwrap();
    assert!(old.commit_transaction(T).is_err(), "the old producer is fenced");
    new.begin_transaction().unwrap();
    send(&new, &topic, "two");
    new.commit_transaction(T).unwrap();
    let seen: Vec<String> = read_all(&broker.bootstrap(), &topic, true).unwrap().iter().map(|m| m.text()).collect();
    assert_eq!(seen, ["one", "two"]);
    let all: Vec<String> = read_all(&broker.bootstrap(), &topic, false).unwrap().iter().map(|m| m.text()).collect();
    assert_eq!(all, ["one", "aborted", "of a zombie", "two"]);
}

#[test]
fn records_keep_keys_headers_and_partitions_and_the_groups_tool_sees_offsets() {
    let (broker, topic) = (Broker::shared(), unique("plain"));
    broker.create_topic(&topic, 2, 1).unwrap();
    let headers: &[(&str, &[u8])] = &[("h", &[0, 255])];
    produce(&broker.bootstrap(), &topic, [(1, Some(b"k".as_slice()), b"v".as_slice(), headers), (0, None, b"w", &[])])
        .unwrap();
    let got = read_all(&broker.bootstrap(), &topic, true).unwrap();
    assert_eq!(got.len(), 2);
    assert_eq!((got[0].partition, got[0].key.clone(), got[0].text()), (0, None, "w".to_string()));
    assert_eq!((got[1].partition, got[1].key.clone(), got[1].offset), (1, Some(b"k".to_vec()), 0));
    assert_eq!(got[1].headers, [("h".to_string(), vec![0, 255])]);

    use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    let group = unique("group");
    let mut c = ClientConfig::new();
    c.set("bootstrap.servers", broker.bootstrap()).set("group.id", &group).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = c.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&topic, 1, rdkafka::Offset::Offset(0)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
    let lines = broker.describe_group(&group).unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((lines[0].partition, lines[0].current, lines[0].end, lines[0].lag), (1, Some(0), 1, Some(1)));
}

#[test]
fn a_broker_survives_kills_restarts_and_pauses() {
    let at = Instant::now();
    let broker = Broker::start_with(Setup::new(1)).unwrap();
    println!("one broker: ready after {} ms", at.elapsed().as_millis());
    broker.create_topic("t", 1, 1).unwrap();
    produce(&broker.bootstrap(), "t", [(0, None, b"a".as_slice(), [].as_slice())]).unwrap();
    broker.kill(0).unwrap();
    assert!(broker.pid(0).is_none() && broker.ready(Duration::from_millis(1)).is_err());
    let at = Instant::now();
    broker.restart(0).unwrap();
    println!("after SIGKILL: ready after {} ms", at.elapsed().as_millis());
    produce(&broker.bootstrap(), "t", [(0, None, b"b".as_slice(), [].as_slice())]).unwrap();
    let at = Instant::now();
    broker.restart(0).unwrap();
    println!("clean stop and start: {} ms", at.elapsed().as_millis());
    broker.stop_signal(0).unwrap();
    assert!(broker.admin().brokers(Duration::from_millis(300)).is_err());
    broker.cont(0).unwrap();
    let seen: Vec<String> = read_all(&broker.bootstrap(), "t", true).unwrap().iter().map(|m| m.text()).collect();
    assert_eq!(seen, ["a", "b"]);
}

#[test]
fn three_brokers_go_on_when_one_dies() {
    let at = Instant::now();
    let broker = Broker::start_with(Setup::new(3)).unwrap();
    println!("three brokers: ready after {} ms", at.elapsed().as_millis());
    broker.create_topic("t", 3, 3).unwrap();
    broker.kill(1).unwrap();
    for p in 0..3 {
        produce(&broker.bootstrap(), "t", [(p, None, b"x".as_slice(), [].as_slice())]).unwrap();
    }
    broker.restart(1).unwrap();
    assert_eq!(read_all(&broker.bootstrap(), "t", true).unwrap().len(), 3);
}
