//! The source as the engine sees it, on a real server: objects in, records out, messages gone afterwards.
use super::coordinate::SPLIT_COST;
use super::reader::COMING_MAX;
use super::*;
use crate::blob::RANGE;
use crate::runtime::wait;
use ::tests::kafka::unique;
use ::tests::moto::Moto;
use ::tests::s3_faults::Faults;
use aws_sdk_s3::types::{Event, NotificationConfiguration, QueueConfiguration, TopicConfiguration};
use aws_sdk_sqs::types::QueueAttributeName;
use model::source::{Budget, SOON};
use model::{Origin, Packet, Reader, Record, Rejected, Source, Split};
use serde_json::{Value as J, json};
use std::io::Write;
use std::time::Instant;

/// A source that has nothing after this time will never have it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A bucket and a queue that hears of its objects.
struct World {
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    bucket: String,
    url: String,
}

fn access(endpoint: &str) -> Access {
    let (region, endpoint) = (Some("us-east-1".into()), Some(endpoint.into()));
    Access { region, endpoint, keys: Some(("test", "test")), ..Access::default() }
}

impl World {
    /// `through`: how notices come, "sqs", "sns" or "raw" (SNS without its envelope).
    fn new(through: &str) -> World {
        let a = access(&Moto::shared().url());
        let config = wait(a.load(Duration::from_secs(30)));
        let (s3, sqs) = (a.s3(&config, None), aws_sdk_sqs::Client::new(&config));
        let bucket = unique("source").replace('_', "-").to_lowercase();
        wait(s3.create_bucket().bucket(&bucket).send()).unwrap();
        let url = wait(sqs.create_queue().queue_name(&bucket).send()).unwrap().queue_url.unwrap();
        let ask = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
        let arn = wait(ask.send()).unwrap().attributes.unwrap().remove(&QueueAttributeName::QueueArn).unwrap();
        let c = NotificationConfiguration::builder();
        let c = if through == "sqs" {
            c.queue_configurations(
                QueueConfiguration::builder().queue_arn(arn).events(Event::S3ObjectCreated).build().unwrap(),
            )
        } else {
            let topic = Moto::shared().topic(&bucket, &arn, through == "raw").unwrap();
            c.topic_configurations(
                TopicConfiguration::builder().topic_arn(topic).events(Event::S3ObjectCreated).build().unwrap(),
            )
        };
        let put = s3.put_bucket_notification_configuration().bucket(&bucket);
        wait(put.notification_configuration(c.build()).send()).unwrap();
        World { s3, sqs, bucket, url }
    }
    fn put(&self, key: &str, body: impl Into<Vec<u8>>) {
        wait(self.s3.put_object().bucket(&self.bucket).key(key).body(body.into().into()).send()).unwrap();
    }
    fn delete(&self, key: &str) {
        wait(self.s3.delete_object().bucket(&self.bucket).key(key).send()).unwrap();
    }
    fn say(&self, body: &str) {
        wait(self.sqs.send_message().queue_url(&self.url).message_body(body).send()).unwrap();
    }
    /// Announce an object once more, as it is or was.
    fn announce(&self, key: &str, etag: &str) {
        let object = json!({"key": key, "size": 1, "eTag": etag});
        let s3 = json!({"bucket": {"name": self.bucket}, "object": object});
        self.say(&json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]}).to_string());
    }
    /// Messages, seen and hidden.
    fn messages(&self) -> u32 {
        let ask = self.sqs.get_queue_attributes().queue_url(&self.url).attribute_names(QueueAttributeName::All);
        let a = wait(ask.send()).unwrap().attributes.unwrap();
        let n = |name| a.get(&name).map_or(0, |v| v.parse::<u32>().unwrap());
        n(QueueAttributeName::ApproximateNumberOfMessages)
            + n(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
    }
    fn wait_for_messages(&self, want: u32) {
        let begun = Instant::now();
        while self.messages() != want {
            assert!(begun.elapsed() < DEADLINE, "{} messages, not {want}", self.messages());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

struct Rig {
    config: Arc<Config>,
    clients: Arc<Clients>,
    source: ObjectSource,
    now: i64,
    log: Vec<Split>,
}

impl Rig {
    fn new(w: &World, more: J) -> Rig {
        Rig::through(w, &Moto::shared().url(), more)
    }
    fn through(w: &World, endpoint: &str, more: J) -> Rig {
        let mut s = json!({"queue": w.url});
        s.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let mut config = check(serde_json::from_value(s).unwrap()).map_err(|p| format!("{p:?}")).unwrap();
        // Shorter than the settings allow, so that a test sees messages come back.
        config.visibility = Duration::from_secs(2);
        config.access = access(endpoint);
        let config = Arc::new(config);
        let clients = Arc::new(Clients::new(config.access.clone()));
        let source = ObjectSource::new("src".into(), config.clone(), clients.clone(), true);
        Rig { config, clients, source, now: 1_000_000, log: Vec::new() }
    }
    /// Poll until there are so many splits in the log.
    fn until(&mut self, splits: usize) {
        let begun = Instant::now();
        while self.log.len() < splits {
            assert!(begun.elapsed() < DEADLINE, "{} splits, not {splits}", self.log.len());
            self.poll();
        }
        assert_eq!(self.log.len(), splits);
    }
    fn poll(&mut self) -> bool {
        self.now += 250;
        let p = self.source.poll(Budget { bytes: 32 << 20, now_ms: self.now }).unwrap();
        assert_eq!(p.bytes, p.splits.iter().map(|s| s.detail["size"].as_u64().unwrap().max(SPLIT_COST)).sum::<u64>());
        self.log.extend(p.splits);
        std::thread::sleep(Duration::from_millis(20));
        p.exhausted
    }
    /// Poll until the source says that it is all.
    fn to_end(&mut self) {
        let begun = Instant::now();
        while !self.poll() {
            assert!(begun.elapsed() < DEADLINE, "it does not end");
        }
    }
    /// Poll until the queue has so many messages.
    fn poll_until_messages(&mut self, w: &World, want: u32) {
        let begun = Instant::now();
        while w.messages() != want {
            assert!(begun.elapsed() < DEADLINE, "{} messages, not {want}", w.messages());
            self.poll();
        }
    }
    fn finish(&mut self) {
        let log = std::mem::take(&mut self.log);
        self.source.finished(&log.iter().collect::<Vec<_>>(), 0).unwrap();
        self.log = log;
    }
    /// The next incarnation: from a snapshot of now, or from nothing and the log.
    fn restart(&mut self, from_log: bool) {
        let state = self.source.snapshot();
        self.source = ObjectSource::new("src".into(), self.config.clone(), self.clients.clone(), true);
        match from_log {
            true => self.log.iter().for_each(|s| self.source.replayed(s).unwrap()),
            false => self.source.restore(&state).unwrap(),
        }
    }
    fn read(&self, split: &Split) -> Result<Seen> {
        let (label, name) = ("src".into(), split.name.clone());
        let origin = Arc::new(Origin { source: "src".into(), label, index: 3, partition: split.partition, name });
        let mut seen = Seen::default();
        let mut reader = ObjectReader::new(self.config.clone(), self.clients.clone());
        reader.read(split, &origin, &mut |p| seen.take(p))?;
        Ok(seen)
    }
    /// Everything in the log, by position.
    fn read_log(&self) -> Seen {
        let mut all = Seen::default();
        for s in &self.log {
            let one = self.read(s).unwrap();
            assert_eq!(one, self.read(s).unwrap(), "a replay gives the same");
            all.records.extend(one.records);
            all.rejects.extend(one.rejects);
        }
        all
    }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Offset, ordinal, name, label, bytes.
    records: Vec<(u64, u32, String, String, String)>,
    rejects: Vec<Rejected>,
}

impl Seen {
    fn take(&mut self, p: Packet) {
        match p {
            Packet::Raw(b) => (0..b.records.len()).for_each(|i| {
                let (pos, o) = (b.pos(i), &b.origin);
                let text = String::from_utf8_lossy(b.bytes(i)).into_owned();
                self.records.push((pos.offset, pos.ordinal, o.name.to_string(), o.label.to_string(), text));
            }),
            Packet::Records(r) => r.into_iter().for_each(|r| match r {
                Record::Rejected(r) => self.rejects.push(*r),
                r => panic!("{r:?}"),
            }),
            p => panic!("{p:?}"),
        }
    }
    fn texts(&self) -> Vec<&str> {
        let mut t: Vec<&str> = self.records.iter().map(|r| r.4.as_str()).collect();
        t.sort();
        t
    }
    fn codes(&self) -> Vec<&str> {
        self.rejects.iter().map(|r| r.code.as_str()).collect()
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(text.as_bytes()).unwrap();
    e.finish().unwrap()
}

#[test]
fn objects_announced_in_every_way_are_read_as_their_prefix_says() {
    for through in ["sqs", "sns", "raw"] {
        let w = World::new(through);
        let mut rig = Rig::new(
            &w,
            json!({"label": "all", "prefix": [
                {"prefix": "", "exclude": ["tmp/*/skip"]},
                {"prefix": "arrays/", "stream": "json_array", "array_field": "x.y", "label": "arrays"},
            ]}),
        );
        w.put("lines/a b+c/ä.log", "one\r\ntwo\n");
        w.put(
            "trail/123456789012_CloudTrail_eu-west-1_20260101T0000Z_x.json.gz",
            gzip("{\"Records\":[{\"n\":1},{\"n\":2}]}"),
        );
        w.put("arrays/1", "{\"x\":{\"y\":[7,8]}}");
        w.put("tmp/a/skip", "no");
        w.put("tmp/a/keep", "yes");
        w.put("folder/", "");
        w.put("empty", "");
        w.put("broken.gz", &gzip(&"x".repeat(10_000))[..40]);
        rig.to_end();
        let mut seen = rig.read_log();
        assert_eq!(seen.texts(), ["7", "8", "one", "two", "yes", "{\"n\":1}", "{\"n\":2}"], "{through}");
        assert_eq!(seen.codes(), ["corrupt_gzip"]);
        assert!(seen.rejects[0].reason.contains("gzip: ") && seen.rejects[0].origin.ends_with("/broken.gz"));
        seen.records.sort_by_key(|r| r.4.clone());
        let s3 = |key: &str| format!("s3://{}/{key}", w.bucket);
        let (eight, two) = (&seen.records[1], &seen.records[3]);
        assert_eq!((eight.1, eight.2.as_str(), eight.3.as_str()), (1, s3("arrays/1").as_str(), "arrays"));
        assert_eq!((two.1, two.2.as_str(), two.3.as_str()), (1, s3("lines/a b+c/ä.log").as_str(), "all"));
        // One offset per object, dense.
        let mut at: Vec<u64> = rig.log.iter().map(|s| s.from).collect();
        at.sort();
        assert_eq!(at, (0..5).collect::<Vec<_>>());
        assert!(rig.log.iter().all(|s| s.to == s.from + 1 && s.partition == 0 && *s.name == *w.url));
        // What led to something waits for the commit; the rest is gone already.
        w.wait_for_messages(5);
        rig.finish();
        w.wait_for_messages(0);
    }
}

#[test]
fn what_is_announced_again_is_taken_once() {
    let w = World::new("sqs");
    let mut rig = Rig::new(&w, json!({}));
    w.put("x", "1\n2\n");
    rig.until(1);
    let etag = rig.log[0].detail["etag"].as_str().unwrap().to_string();
    // While it is open: the second message waits with the first.
    w.announce("x", &etag);
    w.say("no notice");
    rig.until(2);
    rig.to_end();
    assert_eq!(rig.read_log().codes(), ["notice_not_understood"]);
    assert_eq!(rig.read_log().rejects[0].raw, b"no notice");
    rig.poll_until_messages(&w, 3);
    // The incarnation ends before anything is committed. The messages come back, and are known.
    rig.restart(true);
    rig.to_end();
    std::thread::sleep(Duration::from_millis(2500));
    rig.to_end();
    assert_eq!(rig.log.len(), 2);
    rig.poll_until_messages(&w, 3);
    rig.finish();
    rig.finish(); // may be said twice
    rig.poll_until_messages(&w, 0);
    // Finished, and announced once more: by this incarnation and by one that knows it from a snapshot. Even if the
    // object is gone by now.
    w.announce("x", &etag);
    rig.to_end();
    rig.poll_until_messages(&w, 0);
    rig.restart(false);
    w.delete("x");
    w.announce("x", &etag);
    rig.to_end();
    rig.poll_until_messages(&w, 0);
    assert_eq!(rig.log.len(), 2);
    // Other content under the same key is another object.
    w.put("x", "3\n");
    rig.until(3);
    assert_eq!((rig.log[2].from, rig.read(&rig.log[2]).unwrap().texts()), (2, vec!["3"]));
    // Forgotten after an hour.
    rig.finish();
    rig.now += 3_600_001;
    w.announce("x", "");
    rig.until(4);
    assert_eq!(rig.read(&rig.log[3]).unwrap().texts(), ["3"]);
}

#[test]
fn objects_that_go_or_change_are_rejects_before_and_errors_after_they_are_logged() {
    let w = World::new("sqs");
    let mut rig = Rig::new(&w, json!({"max_object": "10B", "buckets": [w.bucket]}));
    w.put("gone", "x\n");
    w.put("long", "more than ten bytes\n");
    w.put("stays", "1\n");
    w.put("changes", "2\n");
    w.delete("gone");
    let foreign = json!({"s3Bucket": "other-bucket", "s3ObjectKey": ["stays"]});
    w.say(&foreign.to_string());
    rig.to_end();
    assert_eq!(rig.log.len(), 4);
    let seen = rig.read_log();
    let mut codes = seen.codes();
    codes.sort();
    assert_eq!((codes, seen.texts()), (vec!["object_too_large", "object_vanished"], vec!["1", "2"]));
    w.delete("stays");
    w.put("changes", "3\n");
    for key in ["stays", "changes"] {
        let split = rig.log.iter().find(|s| s.detail["key"] == key).unwrap();
        let e = rig.read(split).unwrap_err().to_string();
        assert!(e.contains("input no longer replays") && e.contains(&format!("s3://{}/{key}", w.bucket)), "{e}");
        assert!(e.contains("put the object back"), "{e}");
    }
}

/// Part of row F15: every record once, whatever requests fail.
#[test]
fn bad_days_lose_nothing_and_double_nothing() {
    let w = World::new("sqs");
    let faults =
        Faults::start(&format!("127.0.0.1:{}", Moto::shared().port), 7, 25, Duration::from_millis(300)).unwrap();
    let mut rig = Rig::through(&w, &faults.url(), json!({}));
    let mut want = Vec::new();
    for i in 0..25 {
        w.put(&format!("logs/{i}"), format!("{i:03}-a\n{i:03}-b\n"));
        want.extend([format!("{i:03}-a"), format!("{i:03}-b")]);
    }
    // More than one range, so that ranges fail too.
    let large: String = (0..90_000).map(|i| format!("large line {i:06} {}\n", "x".repeat(180))).collect();
    want.extend(large.lines().map(str::to_string));
    w.put("logs/large", large);
    rig.until(26);
    let one: Vec<Seen> = rig.log.iter().map(|s| rig.read(s).unwrap()).collect();
    let mut got: Vec<String> = one.iter().flat_map(|s| s.records.iter().map(|r| r.4.clone())).collect();
    got.sort();
    want.sort();
    assert!(got == want, "{} records, not {}", got.len(), want.len());
    assert!(faults.total() >= 10, "{} faults", faults.total());
    rig.finish();
    w.wait_for_messages(0);
    rig.to_end();
    assert_eq!(rig.log.len(), 26);
}

#[test]
fn a_role_is_assumed_to_read_objects() {
    use aws_sdk_s3::config::ProvideCredentials;
    let role = Role { arn: "arn:aws:iam::123456789012:role/reader".into(), external_id: Some("x1".into()) };
    let a = Access { role: Some(role), ..access(&Moto::shared().url()) };
    let keys = wait(async {
        let config = a.load(Duration::from_secs(30)).await;
        config.credentials_provider().unwrap().provide_credentials().await
    });
    let keys = keys.unwrap();
    assert!(keys.access_key_id().starts_with("ASIA") && keys.session_token().is_some() && keys.expiry().is_some());
}

#[test]
fn a_queue_that_is_not_there_is_an_error() {
    let w = World::new("sqs");
    let mut rig = Rig::new(&w, json!({"queue": format!("{}-not", w.url)}));
    let begun = Instant::now();
    let e = loop {
        match rig.source.poll(Budget { bytes: 1, now_ms: 0 }) {
            Ok(p) => assert!(!p.exhausted && begun.elapsed() < DEADLINE),
            Err(e) => break e.to_string(),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(e.contains("source src: the queue") && e.contains("-not is not there"), "{e}");
}

#[test]
fn every_problem_of_the_settings_is_reported() {
    let problems = |s: J| -> Vec<String> {
        let o = S3Part.open("src", &s, &model::files::MemFiles::default());
        assert_eq!(o.node.is_some(), o.problems.is_empty());
        o.problems.iter().map(|p| format!("{}: {}", p.setting, p.message)).collect()
    };
    assert_eq!(
        problems(json!({"queue": "https://sqs.eu-west-1.amazonaws.com/1/q", "role_arn": "arn:aws:iam::1:role/r"}))
            .len(),
        0
    );
    let got = problems(json!({
        "queue": ["https://q", "arn:x", "https://q"], "role_arn": "r", "endpoint": "localhost", "visibility": "1s",
        "remember": "0s", "max_object": "0B", "max_line": "1B", "max_ratio": 0, "max_decoded": "5GiB",
        "array_field": "a", "prefix": [{"prefix": "x", "stream": "json_array", "array_field": "a[*]"}],
    }));
    for want in [
        "queue[1]: `arn:x` is not",
        "queue[2]: the queue is named twice",
        "role_arn:",
        "endpoint:",
        "visibility:",
        "remember:",
        "max_object:",
        "max_line:",
        "max_ratio:",
        "max_decoded:",
        "array_field: it is only",
        "prefix[0].array_field: only",
    ] {
        assert!(got.iter().any(|g| g.starts_with(want)), "{want} in {got:#?}");
    }
    assert_eq!(problems(json!({"queue": [], "external_id": "x"})).len(), 2);
    assert_eq!(problems(json!({})).len(), 1);
}

#[test]
fn the_next_objects_are_on_their_way_before_their_turn() {
    let w = World::new("sqs");
    let counted = Faults::start(&format!("127.0.0.1:{}", Moto::shared().port), 7, 0, Duration::ZERO).unwrap();
    let mut rig = Rig::through(&w, &counted.url(), json!({}));
    let n = 2 + SOON;
    for i in 0..n {
        w.put(&format!("logs/{i:02}"), format!("{i:02}-a\n{i:02}-b\n"));
    }
    rig.until(n);
    let want: Vec<Seen> = rig.log.iter().map(|s| rig.read(s).unwrap()).collect();
    let mut reader = ObjectReader::new(rig.config.clone(), rig.clients.clone());
    let begun = counted.requests();
    rig.log[1..].iter().for_each(|s| reader.soon(s));
    let asked = || counted.requests() - begun;
    let at = Instant::now();
    while asked() < SOON as u64 {
        assert!(at.elapsed() < DEADLINE, "{} requests", asked());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((asked(), reader.coming()), (SOON as u64, SOON), "and not one more");
    let mut read = |split: &Split| {
        let mut seen = Seen::default();
        reader.read(split, &split.origin(3), &mut |p| seen.take(p)).unwrap();
        (seen, reader.coming())
    };
    for (i, split) in rig.log.iter().enumerate() {
        let (seen, coming) = read(split);
        assert_eq!(
            seen.records.iter().map(|r| &r.4).collect::<Vec<_>>(),
            want[i].records.iter().map(|r| &r.4).collect::<Vec<_>>()
        );
        // The first came by itself, and so did the last, of which it was told too early.
        assert_eq!(coming, (SOON - i.min(SOON)), "{i}");
    }
    assert_eq!(asked(), n as u64, "each object once");
    // Of large ones only what is bounded.
    for split in &rig.log {
        let mut large = split.clone();
        large.detail["size"] = (20 << 20).into();
        reader.soon(&large);
    }
    assert_eq!(reader.coming() as u64, COMING_MAX / RANGE);
}
