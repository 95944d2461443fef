//! The proxy delays what it is told to, past the patience of the sender, and into the next transaction.
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;
use tests::kafka::{Broker, Setup, free_port, read_all};
use tests::proxy::{Proxy, Rule, api};

const T: Duration = Duration::from_secs(20);

fn producer(bootstrap: &str) -> BaseProducer {
    let mut c = ClientConfig::new();
    c.set("bootstrap.servers", bootstrap).set("transactional.id", "p").set("linger.ms", "0").set("log_level", "0");
    c.set("socket.timeout.ms", "1000").set("transaction.timeout.ms", "30000").set("reconnect.backoff.ms", "10");
    let p: BaseProducer = c.create().unwrap();
    p.init_transactions(T).unwrap();
    p
}

fn send(p: &BaseProducer, value: &str) {
    p.send(BaseRecord::<(), _>::to("t").partition(0).payload(value)).map_err(|e| e.0).unwrap();
    while p.in_flight_count() > 0 {
        p.poll(Duration::from_millis(1));
    }
}

#[test]
fn a_commit_is_held_until_its_sender_has_given_up_and_begun_anew() {
    let port = free_port("127.0.0.1").unwrap();
    let mut setup = Setup::new(1);
    setup.advertised = vec![("127.0.0.1".into(), port)];
    let broker = Broker::start_with(setup).unwrap();
    let proxy = Proxy::start(port, &format!("127.0.0.1:{}", broker.nodes()[0].client)).unwrap();
    broker.create_topic("t", 1, 1).unwrap();
    let p = producer(&broker.bootstrap());
    p.begin_transaction().unwrap();
    send(&p, "one");
    p.commit_transaction(T).unwrap();
    assert!(proxy.requests()[&api::PRODUCE] >= 1 && proxy.requests()[&api::END_TXN] == 1);
    assert_eq!(proxy.held().held, 0);

    let kinds = vec![api::END_TXN];
    let (at_least, at_most) = (Duration::from_millis(1500), Duration::from_secs(8));
    proxy.hold(Some(Rule { kinds, one_in: 1, at_least, at_most }), 1);
    p.begin_transaction().unwrap();
    send(&p, "two");
    // The sender gives up after this time; a new one with its id takes over and opens the next transaction.
    assert!(p.commit_transaction(Duration::from_millis(1200)).is_err());
    drop(p);
    proxy.hold(None, 1);
    let p = producer(&broker.bootstrap());
    p.begin_transaction().unwrap();
    send(&p, "three");
    // What is held is let go now, into this transaction.
    let mut waited = 0;
    while proxy.held().crossed == 0 {
        std::thread::sleep(Duration::from_millis(20));
        waited += 20;
        assert!(waited < 10_000, "not let go: {:?}", proxy.held());
    }
    p.abort_transaction(T).unwrap();
    p.begin_transaction().unwrap();
    send(&p, "four");
    p.commit_transaction(T).unwrap();
    let seen: Vec<String> = read_all(&broker.direct(), "t", true).unwrap().iter().map(|m| m.text()).collect();
    // The new producer fenced the old one, so the late commit changed nothing.
    assert_eq!(seen, ["one", "four"]);
    assert!(proxy.held().held >= 1 && proxy.held().orphans >= 1, "{:?}", proxy.held());
}
