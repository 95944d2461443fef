//! The epoch log and the commit records in Kafka.
use super::*;
use model::part::Built;
use model::sink::Receipt;
use model::store::{Commit, Log};
use model::{BuildCx, EpochRecord};
use tests::kafka::unique;

fn log(broker: &Broker, prefix: &str) -> Box<dyn Log> {
    let part = crate::parts().into_iter().find(|p| p.spec().kind == model::Kind::Log).unwrap();
    let settings = serde_json::json!({ "brokers": broker.bootstrap(), "prefix": prefix });
    let opened = part.open("log", &settings, &model::files::MemFiles::default());
    assert!(opened.problems.is_empty(), "{:?}", opened.problems);
    match opened.node.unwrap().build(&BuildCx::default()).unwrap() {
        Built::Log(l) => l,
        _ => panic!("not a log"),
    }
}

fn record(epoch: u64, generation: u64) -> EpochRecord {
    EpochRecord {
        epoch,
        generation,
        now_ms: epoch as i64,
        bundle: "b".into(),
        splits: vec![],
        commands: vec![],
        quarantined: vec![],
        snapshot: epoch.is_multiple_of(5),
        seal: false,
    }
}

fn done(epoch: u64, generation: u64, rows: u64) -> Commit {
    Commit { epoch, generation, receipt: Receipt { rows, digest: "d".into(), ..Receipt::default() } }
}

fn epochs(l: &dyn Log, after: u64) -> Vec<u64> {
    l.epochs_after(after).unwrap().iter().map(|r| r.epoch).collect()
}

#[test]
fn what_was_appended_is_there_after_a_restart_until_it_is_trimmed() {
    let broker = Broker::shared();
    let prefix = unique("log");
    let l = log(broker, &prefix);
    assert_eq!(l.begin().unwrap(), 1);
    let identity = l.identity().unwrap();
    assert_eq!((epochs(&*l, 0).len(), l.shards().unwrap().len()), (0, 0));
    for e in 1..=10 {
        l.append_epoch(&record(e, 1)).unwrap();
        l.append_commit("out", 0, &done(e, 1, e), true).unwrap();
        l.append_commit("out", 1, &done(e, 1, 0), false).unwrap();
    }
    let e = l.append_epoch(&record(12, 1)).unwrap_err().to_string();
    assert!(e.contains("epoch 12 cannot follow epoch 10"), "{e}");
    drop(l);

    let l = log(broker, &prefix);
    assert_eq!(l.begin().unwrap(), 2);
    assert_eq!(l.identity().unwrap(), identity);
    assert_eq!(l.epochs_after(7).unwrap(), [record(8, 1), record(9, 1), record(10, 1)]);
    assert_eq!(l.shards().unwrap(), [("out".into(), 0), ("out".into(), 1)]);
    assert_eq!(l.commits("out", 0).unwrap().len(), 10);
    assert_eq!(l.commits("out", 0).unwrap()[9], done(10, 1, 10));
    assert_eq!(l.commits("none", 0).unwrap(), []);
    l.append_epoch(&record(11, 2)).unwrap();
    // An epoch that an earlier incarnation committed, committed again: the later record counts.
    l.append_commit("out", 0, &done(10, 2, 10), true).unwrap();
    assert_eq!(l.commits("out", 0).unwrap().last(), Some(&done(10, 2, 10)));
    assert_eq!(l.commits("out", 0).unwrap().len(), 10);
    l.forget(5).unwrap();
    drop(l); // waits for the trimming

    let l = log(broker, &prefix);
    assert_eq!(l.begin().unwrap(), 3);
    assert_eq!(epochs(&*l, 0), [6, 7, 8, 9, 10, 11]);
    assert_eq!(l.commits("out", 1).unwrap().first(), Some(&done(6, 1, 0)));
    // Everything is trimmed: the number of the incarnation and the identity are not forgotten.
    l.forget(11).unwrap();
    drop(l);
    let l = log(broker, &prefix);
    assert_eq!((l.begin().unwrap(), l.identity().unwrap()), (4, identity));
    assert_eq!(epochs(&*l, 11), [0u64; 0]);
}

#[test]
fn of_two_coordinators_the_older_is_fenced() {
    let broker = Broker::shared();
    let prefix = unique("two");
    let old = log(broker, &prefix);
    assert_eq!(old.begin().unwrap(), 1);
    old.append_epoch(&record(1, 1)).unwrap();
    let new = log(broker, &prefix);
    assert_eq!(new.begin().unwrap(), 2);
    let e = old.append_epoch(&record(2, 1)).unwrap_err().to_string();
    assert!(e.contains("fenced by a newer incarnation"), "{e}");
    // What the older one still says of its sinks is passed over.
    old.append_commit("out", 0, &done(1, 1, 9), true).unwrap();
    assert_eq!(new.commits("out", 0).unwrap(), []);
    new.append_epoch(&record(2, 2)).unwrap();
    assert_eq!(epochs(&*new, 0), [1, 2]);
    let member = log(broker, &prefix);
    let e = member.join(1).unwrap_err().to_string();
    assert!(e.contains("generation 2"), "{e}");
    member.join(2).unwrap();
    assert_eq!(member.identity().unwrap(), new.identity().unwrap());
    member.append_commit("out", 0, &done(2, 2, 1), true).unwrap();
    assert_eq!(new.commits("out", 0).unwrap(), [done(2, 2, 1)]);
    assert!(member.append_epoch(&record(3, 2)).unwrap_err().to_string().contains("by its coordinator only"));
    new.append_epoch(&record(3, 2)).unwrap();
}

#[test]
fn two_that_begin_at_once_do_not_get_the_same_number() {
    let broker = Broker::shared();
    let prefix = unique("race");
    log(broker, &prefix).begin().unwrap();
    for _ in 0..3 {
        let both: Vec<_> = (0..2)
            .map(|_| {
                let l = log(broker, &prefix);
                std::thread::spawn(move || l.begin().map_err(|e| e.to_string()))
            })
            .collect();
        let got: Vec<Result<u64, String>> = both.into_iter().map(|t| t.join().unwrap()).collect();
        let mut numbers: Vec<u64> = got.iter().flatten().copied().collect();
        numbers.dedup();
        assert_eq!(numbers.len(), got.iter().flatten().count(), "{got:?}");
        assert!(got.iter().all(|r| r.as_ref().err().is_none_or(|e| e.contains("fenced"))), "{got:?}");
    }
}

#[test]
fn a_damaged_record_is_named() {
    let broker = Broker::shared();
    let prefix = unique("damaged");
    let l = log(broker, &prefix);
    l.begin().unwrap();
    l.append_epoch(&record(1, 1)).unwrap();
    let topic = format!("{prefix}.epochs");
    let whole = visible(broker, &topic).pop().unwrap().text();
    let bad = whole.replace("\"now_ms\":1", "\"now_ms\":2");
    assert_ne!(bad, whole);
    tests::kafka::produce(&broker.bootstrap(), &topic, [(0, None, bad.as_bytes(), [].as_slice())]).unwrap();
    let e = l.epochs_after(0).unwrap_err().to_string();
    assert!(e.contains(&format!("{topic}[0] offset")) && e.contains("does not have the hash"), "{e}");
}
