//! The bucket against a real server, on good days and bad ones.
use super::*;
use ::tests::kafka::unique;
use ::tests::moto::Moto;
use ::tests::s3_faults::{Fault, Faults};
use std::time::Duration;

/// For days on which a third of all requests fail.
const STUBBORN: Patience = Patience {
    tries: 40,
    total: Duration::from_secs(60),
    first: Duration::from_millis(2),
    longest: Duration::from_millis(50),
    attempt: Duration::from_millis(2500),
};

fn access(url: &str) -> Access {
    Access {
        region: Some("us-east-1".into()),
        endpoint: Some(url.into()),
        keys: Some(("test", "test")),
        ..Access::default()
    }
}

fn bucket(url: &str, name: &str, patience: Patience) -> Bucket {
    Bucket::new(Place { bucket: name.into(), prefix: "run/1/".into() }, access(url), patience)
}

/// A new bucket; a client of its own sees all of it.
fn made() -> (String, Client) {
    let name = unique("objects").replace('_', "-").to_lowercase();
    let a = access(&Moto::shared().url());
    let client = wait(async { a.s3(&a.load(Duration::from_secs(30)).await, None) });
    wait(client.create_bucket().bucket(&name).send()).unwrap();
    (name, client)
}

fn unfinished(client: &Client, bucket: &str) -> usize {
    wait(client.list_multipart_uploads().bucket(bucket).send()).unwrap().uploads().len()
}

/// Bytes that differ everywhere.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    (0..len.div_ceil(8))
        .flat_map(|i| (i as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(len)
        .collect()
}

#[test]
fn objects_are_whole_and_written_once() {
    let (name, client) = made();
    let b = bucket(&Moto::shared().url(), &name, Patience::CALL);
    assert!(b.list("").unwrap().is_empty());
    b.put("a/1", b"x").unwrap();
    b.put("a/2", b"").unwrap();
    b.put("b=1/x.parquet", b"z").unwrap();
    b.put("a/1", b"x").unwrap();
    let e = b.put("a/1", b"y").unwrap_err().to_string();
    assert!(
        e.contains(&format!("s3://{name}/run/1/a/1 exists with other bytes")) && e.contains("prefix of its own"),
        "{e}"
    );
    assert_eq!((b.get("a/1").unwrap(), b.get("a/2").unwrap()), (b"x".to_vec(), Vec::new()));
    assert_eq!(b.list("").unwrap(), ["a/1", "a/2", "b=1/x.parquet"]);
    assert_eq!(b.list("a/").unwrap(), ["a/1", "a/2"]);
    b.delete("a/1").unwrap();
    b.delete("a/1").unwrap();
    let e = b.get("a/1").unwrap_err().to_string();
    assert!(e.starts_with(&format!("cannot read s3://{name}/run/1/a/1: NoSuchKey")), "{e}");
    assert!(b.put("../x", b"").is_err() && b.get("/x").is_err() && b.delete("a//b").is_err());
    // Other prefixes of the bucket are not ours.
    wait(client.put_object().bucket(&name).key("other/x").body(ByteStream::from_static(b"1")).send()).unwrap();
    assert_eq!(b.list("").unwrap().len(), 2);
    let e = bucket(&Moto::shared().url(), "no-such-bucket", Patience::CALL).put("x", b"").unwrap_err().to_string();
    assert!(e.contains("NoSuchBucket"), "{e}");
}

#[test]
fn more_names_than_a_page() {
    let (name, _) = made();
    let b = bucket(&Moto::shared().url(), &name, Patience::CALL);
    let want: Vec<String> = (0..1005).map(|i| format!("n/{i:04}")).collect();
    for n in &want {
        b.put(n, n.as_bytes()).unwrap();
    }
    assert_eq!(b.list("n/").unwrap(), want);
}

#[test]
fn large_objects_go_up_in_parts_and_nothing_stays_of_failed_ones() {
    let (name, client) = made();
    let b = bucket(&Moto::shared().url(), &name, Patience::CALL);
    let large = bytes(WHOLE_MAX + 5, 1);
    let orphan = |key: &str| wait(client.create_multipart_upload().bucket(&name).key(key).send()).unwrap();
    // Left behind by processes that were killed; this server says of every upload that it is years old.
    orphan("run/1/large");
    orphan("run/1/of-another");
    orphan("other/x");
    b.put("large", &large).unwrap();
    assert_eq!(unfinished(&client, &name), 1, "other prefixes are not ours");
    b.put("large", &large).unwrap();
    assert!(b.get("large").unwrap() == large);
    let e = b.put("large", &bytes(WHOLE_MAX + 6, 2)).unwrap_err().to_string();
    assert!(e.contains("exists with other bytes"), "{e}");
    // Of this very name every upload is aborted at once, of others only once an hour.
    orphan("run/1/of-another");
    orphan("run/1/large/2");
    b.put("large/2", &large).unwrap();
    assert_eq!(unfinished(&client, &name), 2);
}

#[test]
fn a_service_that_stays_away_is_an_error_with_its_place() {
    let short = Patience { tries: 3, attempt: Duration::from_millis(300), ..STUBBORN };
    let port = ::tests::kafka::free_port("127.0.0.1").unwrap();
    let b = bucket(&format!("http://127.0.0.1:{port}"), "bucket", short);
    for e in
        [b.put("x", b"1").unwrap_err(), b.get("x").unwrap_err(), b.list("").unwrap_err(), b.delete("x").unwrap_err()]
    {
        let e = e.to_string();
        assert!(e.contains("s3://bucket/run/1/") && e.contains("tried 3 times") && e.contains("refused"), "{e}");
    }
}

/// Row F15: whatever answers are lost and uploads are cut, what is listed is what was written, once, and no parts stay.
#[test]
fn bad_days_leave_exactly_what_was_written() {
    let (name, client) = made();
    let faults =
        Faults::start(&format!("127.0.0.1:{}", Moto::shared().port), 15, 30, Duration::from_millis(2600)).unwrap();
    let mut want = std::collections::BTreeMap::new();
    // Each looks for old uploads first: this server calls all of them old, those of the others too.
    let writers: Vec<Bucket> = (0..4).map(|_| bucket(&faults.url(), &name, STUBBORN)).collect();
    writers.iter().for_each(|b| assert!(b.list("").unwrap().is_empty()));
    std::thread::scope(|s| {
        let work: Vec<_> = (0u64..)
            .zip(&writers)
            .map(|(t, b)| {
                s.spawn(move || {
                    let mut done = Vec::new();
                    for i in 0..12u64 {
                        let large = i == 5;
                        let n = format!("{}/{t}-{i}", if large { "large" } else { "small" });
                        let body = bytes(if large { WHOLE_MAX + 1000 } else { 100 + i as usize * 997 }, t << 8 | i);
                        b.put(&n, &body).unwrap();
                        if i % 4 == 3 {
                            b.put(&n, &body).unwrap();
                            assert_eq!(b.get(&n).unwrap(), body);
                            b.delete(&format!("small/{t}-{}", i - 1)).unwrap();
                            done.pop();
                        }
                        done.push((n, body));
                    }
                    done
                })
            })
            .collect();
        work.into_iter().for_each(|w| want.extend(w.join().unwrap()));
    });
    let seen = [Fault::SlowDown, Fault::Silence, Fault::LostAnswer, Fault::CutUpload].map(|f| faults.met(f));
    assert!(faults.total() >= 40 && seen.iter().all(|n| *n > 0), "{seen:?}");
    let clear = bucket(&Moto::shared().url(), &name, Patience::CALL);
    assert_eq!(clear.list("").unwrap(), want.keys().cloned().collect::<Vec<_>>());
    for (n, body) in &want {
        assert!(clear.get(n).unwrap() == *body, "{n}");
    }
    assert_eq!(unfinished(&client, &name), 0);
}
