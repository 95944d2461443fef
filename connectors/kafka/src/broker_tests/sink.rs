//! The sink as the engine drives it.
use super::*;
use model::part::Built;
use model::sink::{Receipt, Sink};
use model::store::Commit;
use model::{Alert, BuildCx, EpochInfo, Packet, Pos, Record, Rejected, RuleMeta};
use serde_json::{Value as J, json};
use tests::kafka::{SASL_USER, unique};

pub(super) fn sink(settings: J, topology: &str, run: &str, generation: u64, shard: u32) -> Box<dyn Sink> {
    let part = crate::parts().into_iter().find(|p| p.spec().kind == model::Kind::Sink).unwrap();
    let opened = part.open("out", &settings, &model::files::MemFiles::default());
    assert!(opened.problems.is_empty(), "{:?}", opened.problems);
    let cx = BuildCx {
        id: "out".into(),
        topology: topology.into(),
        run: run.into(),
        generation,
        shard,
        ..BuildCx::default()
    };
    match opened.node.unwrap().build(&cx).unwrap() {
        Built::Sink(s) => s,
        _ => panic!("not a sink"),
    }
}

/// As the engine starts a shard: its own commits, then the newest of them and of the engine's.
pub(super) fn start(s: &mut dyn Sink, engine: Option<&Receipt>) -> model::Result<Vec<Commit>> {
    let commits = s.own_commits()?.unwrap_or_default();
    s.recover(commits.last().map(|c| &c.receipt).or(engine))?;
    Ok(commits)
}

fn settings(topic: &str) -> J {
    json!({"brokers": Broker::shared().bootstrap(), "topic": topic, "fields": ["d=dedup"], "partitions": 4})
}

pub(super) fn info(epoch: u64) -> EpochInfo {
    EpochInfo { epoch, now_ms: 0, commands: vec![], snapshot: false, seal: false }
}

pub(super) fn alerts(names: &[&str]) -> Packet {
    let rule = Arc::new(RuleMeta { id: "R".into(), ..RuleMeta::default() });
    let alert =
        |d: &&str| Record::Alert(Box::new(Alert { dedup: d.to_string(), rule: rule.clone(), ..Alert::default() }));
    Packet::Records(names.iter().map(alert).collect())
}

fn row(name: &str) -> String {
    format!("{{\"d\":\"{name}\"}}")
}

#[test]
fn rows_are_there_once_over_restarts() {
    let (broker, topology) = (Broker::shared(), unique("once"));
    let topic = format!("{topology}-out");
    let mut s = sink(settings(&topic), &topology, "run", 1, 2);
    assert_eq!(start(&mut *s, None).unwrap(), []);
    s.stage(&alerts(&["a", "b"])).unwrap();
    let first = s.commit(&info(1)).unwrap().unwrap();
    let empty = s.commit(&info(2)).unwrap().unwrap();
    s.stage(&alerts(&["c"])).unwrap();
    let third = s.commit(&info(3)).unwrap().unwrap();
    assert_eq!((first.rows, &first.state), (2, &json!({"at": 1})));
    assert_eq!((empty.rows, &empty.state, &third.state), (0, &json!({"at": 1}), &json!({"at": 3})));
    s.stage(&alerts(&["never committed"])).unwrap();
    drop(s);

    let mut s = sink(settings(&topic), &topology, "run", 2, 2);
    let found = start(&mut *s, Some(&first)).unwrap();
    assert_eq!(
        found,
        [
            Commit { epoch: 1, generation: 1, receipt: first.clone() },
            Commit { epoch: 3, generation: 1, receipt: third.clone() }
        ]
    );
    s.stage(&alerts(&["a", "b"])).unwrap();
    let again = s.discard(&info(1)).unwrap().unwrap();
    assert_eq!((again.rows, &again.digest), (first.rows, &first.digest));
    assert_eq!(s.discard(&info(2)).unwrap().unwrap().digest, empty.digest);
    s.stage(&alerts(&["c"])).unwrap();
    assert_eq!(s.discard(&info(3)).unwrap().unwrap().digest, third.digest);
    s.stage(&alerts(&["d"])).unwrap();
    s.commit(&info(4)).unwrap();
    assert_eq!(texts(broker, &topic), ["a", "b", "c", "d"].map(row));
    let keys: Vec<_> = visible(broker, &topic).into_iter().map(|m| (m.key.unwrap(), m.partition)).collect();
    assert!(keys.iter().all(|(k, _)| k.starts_with(b"R/")), "{keys:?}");

    // Another data folder: its epochs are other epochs, and what was there is neither taken for its own nor lost.
    let mut other = sink(settings(&topic), &topology, "another run", 1, 2);
    assert_eq!(start(&mut *other, None).unwrap(), []);
    other.stage(&alerts(&["e"])).unwrap();
    other.commit(&info(1)).unwrap();
    s.stage(&alerts(&["too late"])).unwrap();
    let e = s.commit(&info(5)).unwrap_err().to_string();
    assert!(e.contains("fenced") && e.contains("another run"), "{e}");
    assert_eq!(texts(broker, &topic), ["a", "b", "c", "d", "e"].map(row));
}

#[test]
fn lost_progress_is_noticed() {
    let (broker, topology) = (Broker::shared(), unique("lost"));
    let topic = format!("{topology}-out");
    let mut s = sink(settings(&topic), &topology, "run", 1, 0);
    start(&mut *s, None).unwrap();
    s.stage(&alerts(&["a"])).unwrap();
    let receipt = s.commit(&info(7)).unwrap().unwrap();
    drop(s);
    broker.admin().delete(&format!("{topology}.out.progress")).unwrap();
    let mut s = sink(settings(&topic), &topology, "run", 2, 0);
    let e = start(&mut *s, Some(&receipt)).unwrap_err().to_string();
    assert!(e.contains("epoch 7 was committed") && e.contains("deleted"), "{e}");
}

#[test]
fn dead_letters_keep_their_bytes_and_say_why() {
    let (broker, topology) = (Broker::shared(), unique("dead"));
    let topic = format!("{topology}-dlq");
    let mut s = sink(json!({"brokers": broker.bootstrap(), "topic": topic}), &topology, "run", 1, 1);
    start(&mut *s, None).unwrap();
    let raw: Vec<u8> = (0..=255).cycle().take(700).collect();
    let rejected = |raw: &[u8], origin: &str| {
        Record::Rejected(Box::new(Rejected {
            pos: Pos { source: 0, partition: 3, offset: 4711, ordinal: 2 },
            node: "parse".into(),
            stage: "decode".into(),
            code: "bad_utf8".into(),
            reason: "byte 0 is not UTF-8\n\u{1b}[2J".into(),
            origin: origin.into(),
            raw: raw.to_vec(),
            ..Rejected::default()
        }))
    };
    let records = vec![rejected(&raw, "logs.in[3]"), rejected(b"", "/var/log/x.json")];
    s.stage(&Packet::Records(records)).unwrap();
    s.commit(&info(1)).unwrap();
    let got = visible(broker, &topic);
    assert_eq!((got.len(), got[0].value.as_deref(), got[1].value.as_deref()), (2, Some(&*raw), Some(b"".as_slice())));
    for (name, want) in [
        ("__connect.errors.topic", "logs.in"),
        ("__connect.errors.partition", "3"),
        ("__connect.errors.offset", "4711"),
        ("__connect.errors.connector.name", &topology),
        ("__connect.errors.task.id", "1"),
        ("__connect.errors.stage", "DECODE"),
        ("__connect.errors.class.name", "parse"),
        ("__connect.errors.exception.class.name", "bad_utf8"),
        ("__connect.errors.exception.message", "byte 0 is not UTF-8\n\u{1b}[2J"),
        ("millstream.node", "parse"),
        ("millstream.code", "bad_utf8"),
        ("millstream.origin", "logs.in[3]"),
        ("millstream.ordinal", "2"),
        ("millstream.truncated", "false"),
    ] {
        assert_eq!(got[0].header(name).as_deref(), Some(want), "{name}");
    }
    assert_eq!(got[1].header("__connect.errors.topic").as_deref(), Some("/var/log/x.json"));
    assert_eq!(got[1].header("__connect.errors.partition"), None);
}

#[test]
fn without_transactions_rows_are_there_too() {
    let (broker, topology) = (Broker::shared(), unique("alo"));
    let topic = format!("{topology}-out");
    let mut with = settings(&topic);
    with["delivery"] = "at_least_once".into();
    let mut s = sink(with, &topology, "run", 1, 0);
    assert!(s.own_commits().unwrap().is_none());
    s.recover(None).unwrap();
    s.stage(&alerts(&["a", "b"])).unwrap();
    let r = s.commit(&info(3)).unwrap().unwrap();
    assert_eq!((r.rows, r.state), (2, json!({"at": 3})));
    assert_eq!(texts(broker, &topic), ["a", "b"].map(row));
}

#[test]
fn what_is_wrong_is_named() {
    let broker = Broker::shared();
    let topology = unique("wrong");
    let mut s =
        sink(json!({"brokers": broker.bootstrap(), "topic": "nowhere", "create_topic": false}), &topology, "r", 1, 0);
    let e = start(&mut *s, None).unwrap_err().to_string();
    assert!(e.contains("`nowhere` does not exist"), "{e}");

    broker.create_topic_with(&topology, 1, 1, &[("max.message.bytes", "2000")]).unwrap();
    let mut s = sink(json!({"brokers": broker.bootstrap(), "topic": topology}), &topology, "r", 1, 0);
    let e = start(&mut *s, None).unwrap_err().to_string();
    assert!(e.contains("max.message.bytes") && e.contains("2000") && e.contains("max_record"), "{e}");

    let security =
        json!({"protocol": "sasl_plaintext", "mechanism": "PLAIN", "username": SASL_USER.0, "password": "wrong"});
    let mut s = sink(json!({"brokers": broker.sasl(), "topic": "x", "security": security}), &topology, "r", 1, 0);
    let e = start(&mut *s, None).unwrap_err().to_string();
    assert!(e.contains("refuses") && e.to_lowercase().contains("auth"), "{e}");
    let security =
        json!({"protocol": "sasl_plaintext", "mechanism": "PLAIN", "username": SASL_USER.0, "password": SASL_USER.1});
    let ok = json!({"brokers": broker.sasl(), "topic": format!("{topology}-x"), "security": security});
    start(&mut *sink(ok, &topology, "r", 1, 0), None).unwrap();

    let check = |s: J| {
        let part = crate::parts().into_iter().find(|p| p.spec().kind == model::Kind::Sink).unwrap();
        let problems = part.open("out", &s, &model::files::MemFiles::default()).problems;
        problems.iter().map(|p| p.setting.clone()).collect::<Vec<_>>()
    };
    let bad = json!({"brokers": "b", "topic": "a b", "key": "x[*]", "fields": ["x"], "partitions": 0, "max_record": "1B",
        "transaction_timeout": "1s", "replication": 0});
    let want =
        ["brokers", "topic", "fields[0]", "key", "partitions", "replication", "max_record", "transaction_timeout"];
    assert_eq!(check(bad), want);
    assert_eq!(check(json!({"brokers": "b:1", "topic": "t", "key": "user.name", "compression": "lz4"})), [""; 0]);
}
