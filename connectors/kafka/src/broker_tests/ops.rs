//! Commands on dead letters and transactions.
use super::sink::{alerts, info, sink, start};
use super::*;
use crate::ops::{Cluster, Pick};
use model::{Packet, Pos, Record, Rejected};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use tests::kafka::unique;

fn rejected(n: u64, code: &str, origin: &str, truncated: bool) -> Record {
    Record::Rejected(Box::new(Rejected {
        pos: Pos { source: 0, partition: 0, offset: n, ordinal: 0 },
        node: "parse".into(),
        code: code.into(),
        reason: format!("letter {n}"),
        origin: origin.into(),
        raw: vec![0xff, n as u8],
        truncated,
        ..Rejected::default()
    }))
}

#[test]
fn letters_are_listed_shown_put_back_once_and_purged() {
    let (broker, topology) = (Broker::shared(), unique("ops"));
    let (input, dlq) = (format!("{topology}-in"), format!("{topology}-dlq"));
    broker.create_topic(&input, 2, 1).unwrap();
    let settings = json!({"brokers": broker.bootstrap(), "topic": dlq, "partitions": 1});
    let mut s = sink(settings.clone(), &topology, "run", 1, 0);
    start(&mut *s, None).unwrap();
    let origin = format!("{input}[1]");
    s.stage(&Packet::Records(vec![
        rejected(1, "bad_utf8", &origin, false),
        rejected(2, "bad_utf8", &origin, false),
        rejected(3, "no_schema_matched", &origin, false),
        rejected(4, "bad_utf8", &origin, true),
        rejected(5, "bad_utf8", "/var/log/x", false),
    ]))
    .unwrap();
    s.commit(&info(1)).unwrap();

    let c = Cluster::of(&settings).unwrap();
    let groups = c.dlq_groups(&dlq).unwrap();
    // A new producer writes once and takes it back: what is visible begins behind that.
    let base = groups[0].first.1;
    let short: Vec<_> =
        groups.iter().map(|g| (g.code.as_str(), g.count, g.first.1 - base, g.sample.as_str())).collect();
    assert_eq!(short, [("bad_utf8", 4, 0, "letter 1"), ("no_schema_matched", 1, 2, "letter 3")]);
    let letter = c.dlq_letter(&dlq, 0, base + 2).unwrap().unwrap();
    assert_eq!((letter.value, letter.time_ms.is_some()), (vec![0xff, 3], true));
    assert_eq!(c.dlq_letter(&dlq, 0, 99).unwrap(), None);

    let one = Pick { at: vec![(0, base + 1)], ..Pick::default() };
    assert_eq!(c.dlq_requeue(&dlq, &one, None).unwrap().put_back, 1);
    let again = c.dlq_requeue(&dlq, &one, None).unwrap();
    assert_eq!((again.put_back, again.before), (0, 1));
    let all = c.dlq_requeue(&dlq, &Pick { code: Some("bad_utf8".into()), ..Pick::default() }, None).unwrap();
    assert_eq!((all.put_back, all.before, all.refused_count), (1, 1, 2));
    assert!(all.refused[0].2.contains("cut") && all.refused[1].2.contains("not come from a topic"), "{all:?}");
    let back = visible(broker, &input);
    assert_eq!(
        back.iter().map(|m| (m.partition, m.value.clone().unwrap())).collect::<Vec<_>>(),
        [(1, vec![0xff, 2]), (1, vec![0xff, 1])]
    );
    assert_eq!(back[0].header(crate::REQUEUED_FROM), Some(format!("{dlq}[0]@{}", base + 1)));
    // Named, the letter of a file can go somewhere too.
    let file = c.dlq_requeue(&dlq, &Pick { at: vec![(0, base + 4)], ..Pick::default() }, Some(&input)).unwrap();
    assert_eq!(file.put_back, 1);

    assert_eq!(c.dlq_purge(&dlq, Some((0, base + 2))).unwrap(), base as u64 + 2);
    assert_eq!(c.dlq_groups(&dlq).unwrap().iter().map(|g| g.count).sum::<u64>(), 3);
    assert!(c.dlq_purge(&dlq, None).unwrap() >= 3);
    assert_eq!(c.dlq_groups(&dlq).unwrap(), []);
    assert!(c.dlq_groups("no-such-topic").unwrap_err().to_string().contains("there is no topic"));
}

#[test]
fn an_open_transaction_is_seen_and_ended() {
    let (broker, topology) = (Broker::shared(), unique("txn"));
    let topic = format!("{topology}-out");
    let settings = json!({"brokers": broker.bootstrap(), "topic": topic, "partitions": 1});
    let mut s = sink(settings.clone(), &topology, "run", 3, 1);
    start(&mut *s, None).unwrap();
    s.stage(&alerts(&["a"])).unwrap();
    s.commit(&info(5)).unwrap();
    drop(s);
    let c = Cluster::of(&settings).unwrap();
    let ids = c.transactional_ids(&topology, "out").unwrap();
    assert_eq!((ids.len(), ids[1].id.as_str()), (8, format!("{topology}.out.1").as_str()));
    assert_eq!((&ids[1].taken_over, ids[1].epoch), (&Some(("run".to_string(), 3)), Some(5)));
    assert_eq!((&ids[0].taken_over, ids[0].epoch), (&None, None));
    assert_eq!(c.blocked(&topic).unwrap(), []);

    // Somebody begins one and dies.
    let p: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("transactional.id", &ids[1].id)
        .create()
        .unwrap();
    p.init_transactions(Duration::from_secs(20)).unwrap();
    p.begin_transaction().unwrap();
    p.send(BaseRecord::<(), str>::to(&topic).payload("open")).map_err(|e| e.0).unwrap();
    p.flush(Duration::from_secs(20)).unwrap();
    std::mem::forget(p);
    let blocked = c.blocked(&topic).unwrap();
    assert_eq!((blocked.len(), blocked[0].end > blocked[0].stable), (1, true));
    c.abort(&ids[1].id).unwrap();
    assert_eq!(c.blocked(&topic).unwrap(), []);
    assert_eq!(visible(broker, &topic).len(), 1);
}
