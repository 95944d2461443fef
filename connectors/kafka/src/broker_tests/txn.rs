//! Kills, unknown outcomes and zombies of a transactional writer.
use super::*;
use crate::fail::Fail;
use crate::mark::Mark;
use crate::produce::Target;
use crate::rows::Rows;
use std::sync::atomic::{AtomicU64, Ordering};
use tests::kafka::unique;

fn rows(texts: &[&str]) -> Rows {
    let mut r = Rows::default();
    texts.iter().for_each(|t| r.push(Some(t.as_bytes()), t.as_bytes(), &[]));
    r
}

fn commit(t: &mut Txn, topic: &str, generation: u64, epoch: u64, texts: &[&str]) -> model::Result<()> {
    let r = rows(texts);
    let mark = Mark::rows(&who(generation), epoch, r.count(), r.digest());
    t.commit(Some((&Target { topic: topic.into(), partition: 0 }, &r)), &mark)
}

/// Says `f` the n-th time `point` is passed.
fn trip(point: &'static str, n: u64, f: fn() -> Fail) -> Trip {
    let passed = AtomicU64::new(0);
    Some(Arc::new(move |p| (p == point && passed.fetch_add(1, Ordering::Relaxed) + 1 == n).then(f)))
}

const POINTS: [&str; 4] = ["kafka.after_begin", "kafka.mid_produce", "kafka.before_commit", "kafka.after_commit"];

#[test]
fn a_death_at_any_point_leaves_each_epoch_once_or_not_at_all() {
    let broker = Broker::shared();
    for point in POINTS {
        let id = unique("death");
        topics(broker, &id);
        // Taking over passes every point but the one in the middle of rows.
        let nth = if point == "kafka.mid_produce" { 2 } else { 3 };
        let mut t = started(broker, &id, 1, trip(point, nth, || Fail::Lasting("dies here".into())));
        commit(&mut t, &id, 1, 1, &["a", "b"]).unwrap();
        let e = commit(&mut t, &id, 1, 2, &["c", "d"]).unwrap_err();
        assert!(e.to_string().contains("dies here"), "{point}: {e}");
        drop(t);
        let mut t = Txn::new(writer(broker, &id, None));
        let marks = t.fence(true).unwrap();
        let marks = t.take_over(&who(2), marks, true).unwrap();
        let newest = marks.iter().filter_map(|(_, m)| m.epoch).max();
        let done = point == "kafka.after_commit";
        assert_eq!(newest, Some(if done { 2 } else { 1 }), "{point}");
        if !done {
            assert_eq!(texts(broker, &id), ["a", "b"], "{point}");
            commit(&mut t, &id, 2, 2, &["c", "d"]).unwrap();
        }
        commit(&mut t, &id, 2, 3, &["e"]).unwrap();
        assert_eq!(texts(broker, &id), ["a", "b", "c", "d", "e"], "{point}");
    }
}

#[test]
fn an_unknown_outcome_is_found_out_not_guessed() {
    let broker = Broker::shared();
    for point in POINTS {
        let id = unique("unknown");
        topics(broker, &id);
        let nth = if point == "kafka.mid_produce" { 2 } else { 3 };
        let mut t = started(broker, &id, 1, trip(point, nth, || Fail::Unknown("the answer was lost".into())));
        for (epoch, row) in [(1, "a"), (2, "b"), (3, "c")] {
            commit(&mut t, &id, 1, epoch, &[row]).unwrap();
        }
        assert_eq!(texts(broker, &id), ["a", "b", "c"], "{point}");
    }
}

#[test]
fn other_rows_for_a_visible_epoch_are_refused() {
    let broker = Broker::shared();
    let id = unique("other");
    topics(broker, &id);
    let mut t = started(broker, &id, 1, None);
    commit(&mut t, &id, 1, 1, &["a"]).unwrap();
    drop(t);
    let mut t = started(broker, &id, 2, trip("kafka.before_commit", 2, || Fail::Unknown("lost".into())));
    let e = commit(&mut t, &id, 2, 1, &["not a"]).unwrap_err().to_string();
    assert!(e.contains("epoch 1 is visible with other content") && e.contains("offset"), "{e}");
    assert_eq!(texts(broker, &id), ["a"]);
}

#[test]
fn a_zombie_is_fenced_and_says_by_whom() {
    let broker = Broker::shared();
    let id = unique("zombie");
    topics(broker, &id);
    let mut old = started(broker, &id, 1, None);
    commit(&mut old, &id, 1, 1, &["a"]).unwrap();
    let mut new = started(broker, &id, 2, None);
    let e = commit(&mut old, &id, 1, 2, &["from the zombie"]).unwrap_err().to_string();
    assert!(e.contains("fenced by a newer incarnation") && e.contains("generation 2"), "{e}");
    // It did not fence the newer one in turn, and one that starts late does not get through either.
    commit(&mut new, &id, 2, 2, &["b"]).unwrap();
    let mut late = Txn::new(writer(broker, &id, None));
    let marks = late.fence(true).unwrap();
    let e = late.take_over(&who(1), marks, true).unwrap_err().to_string();
    assert!(e.contains("generation 2"), "{e}");
    // Starting it fenced the newer one, which goes on all the same.
    commit(&mut new, &id, 2, 3, &["c"]).unwrap();
    assert_eq!(texts(broker, &id), ["a", "b", "c"]);
}

#[test]
fn a_transaction_that_became_too_old_is_written_again() {
    let broker = Broker::shared();
    let id = unique("old");
    topics(broker, &id);
    let passed = AtomicU64::new(0);
    let slow: Trip = Some(Arc::new(move |p| {
        if p == "kafka.before_commit" && passed.fetch_add(1, Ordering::Relaxed) == 1 {
            std::thread::sleep(Duration::from_secs(6));
        }
        None
    }));
    let mut w = writer(broker, &id, slow);
    w.timeout = Duration::from_secs(3);
    let mut t = Txn::new(w);
    let marks = t.fence(true).unwrap();
    t.take_over(&who(1), marks, true).unwrap();
    commit(&mut t, &id, 1, 1, &["a"]).unwrap();
    commit(&mut t, &id, 1, 2, &["b"]).unwrap();
    assert_eq!(texts(broker, &id), ["a", "b"]);
}

#[test]
fn of_many_marks_the_newest_are_read() {
    let broker = Broker::shared();
    let id = unique("tail");
    topics(broker, &id);
    let marks: Vec<(Option<Vec<u8>>, Vec<u8>)> = (1..=4500u64)
        .map(|e| (Some(b"0".to_vec()), Mark::rows(&who(1), e, 1, format!("{e}")).to_bytes().unwrap()))
        .collect();
    let mut plain = Rows::default();
    marks.iter().for_each(|(k, v)| plain.push(k.as_deref(), v, &[]));
    let w = writer(broker, &id, None);
    let p = crate::plain::Plain::new(w.connection.clone(), w.link.clone(), Compression::None, 1 << 20);
    p.write(&Target { topic: w.marks.clone(), partition: 0 }, &plain, true).unwrap();
    let mut t = Txn::new(w);
    let seen = t.fence(true).unwrap();
    assert_eq!((seen.len(), seen[0].1.epoch, seen[3999].1.epoch), (4000, Some(501), Some(4500)));
    assert_eq!(t.fence(false).unwrap().len(), 4500);
}

#[test]
fn a_broker_that_dies_and_comes_back_is_waited_for() {
    // One of three: while a partition has no leader at all, Kafka 4.1 to 4.4 forgets to end transactions in it
    // (KAFKA-20734), and then a transaction is half committed whoever writes it.
    let broker = Broker::start_with(tests::kafka::Setup::new(3)).unwrap();
    let id = "restart";
    broker.create_topic(id, 2, 3).unwrap();
    broker.create_topic_with(&format!("{id}.progress"), 1, 3, &[("cleanup.policy", "compact")]).unwrap();
    let mut t = started(&broker, id, 1, None);
    let writer = std::thread::spawn(move || {
        let all: Vec<String> = (0..400).map(|i| format!("{i:03}")).collect();
        for (i, row) in all.iter().enumerate() {
            commit(&mut t, id, 1, i as u64 + 1, &[row]).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        all
    });
    std::thread::sleep(Duration::from_millis(800));
    broker.kill(0).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    broker.restart(0).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    broker.stop_signal(1).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    broker.cont(1).unwrap();
    let all = writer.join().unwrap();
    assert_eq!(texts(&broker, id), all);
}
