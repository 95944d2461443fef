//! Objects announced by SQS in, a lake in a bucket out: every line once, whatever dies, and no message left.
use std::collections::BTreeMap;
use std::time::Duration;
use tests::kafka::unique;
use tests::moto::Moto;
use tests::run::{Pipeline, eventually};

const OBJECTS: usize = 12;
const LINES: usize = 400;
/// Runs after which no message may be left.
const RUNS_MAX: usize = 4;

const TOPOLOGY: &str = r#"
schema = 1
name = "buckets"

[engine]
data_dir = "${OUT}/state"
epoch = "20ms"
checkpoint = "50ms"

[sources.objects]
type = "s3"
queue = "${QUEUE}"
endpoint = "${ENDPOINT}"
visibility = "10s"

[[sources.objects.prefix]]
prefix = "logs/"

[parse.events]
inputs = ["objects"]
log_types = ["Nginx.Access"]

[sinks.lines]
type = "jsonl"
inputs = ["events"]
path = "${OUT}/events.jsonl"

[sinks.lake]
type = "parquet"
inputs = ["events"]
path = "${LAKE}"
"#;

/// How often each line's mark is in the output.
fn marks(p: &Pipeline) -> BTreeMap<String, u32> {
    let mut n = BTreeMap::new();
    for row in p.rows("events.jsonl") {
        let text = row.to_string();
        let mark = text.split("/mark-").nth(1).and_then(|m| m.split(' ').next().map(str::to_string));
        *n.entry(mark.unwrap_or(text)).or_default() += 1;
    }
    n
}

#[test]
fn objects_in_and_a_lake_out_once_whatever_dies() {
    let moto = Moto::start().unwrap();
    let moto = &moto;
    std::thread::scope(|s| {
        for crash in ["epoch.after_append:1", "sink.mid_write:1", "sink.after_write:3", "sink.after_commit:4"] {
            s.spawn(move || dies_at(moto, crash));
        }
    });
}

fn dies_at(moto: &Moto, crash: &str) {
    let name = unique("it").replace('_', "-").to_lowercase();
    let queue = moto.bucket_with_queue(&name).unwrap();
    moto.bucket(&format!("{name}-lake")).unwrap();
    for o in 0..OBJECTS {
        let line = |l: usize| {
            format!(
                "192.0.2.7 - - [01/Jan/2026:0{}:00:00 +0000] \"GET /mark-{o}-{l} HTTP/1.1\" 200 612 \"-\" \"curl\"\n",
                o % 3
            )
        };
        moto.put(&name, &format!("logs/{o}.log"), &(0..LINES).map(line).collect::<String>()).unwrap();
    }
    let mut p = Pipeline::new(TOPOLOGY).unwrap();
    p.set("QUEUE", &queue);
    p.set("ENDPOINT", &moto.url());
    p.set("LAKE", &format!("s3://{name}-lake/run?endpoint={}", moto.url()));
    for (k, v) in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")] {
        p.set(k, v);
    }
    let out = p.millstream_env(&["run", "--once", "--workers", "2"], &[("MILLSTREAM_CRASH", crash)]).unwrap();
    let log = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && log.contains("crash point"), "{crash}\n{log}");
    // What the dead incarnation had received comes back and is known. A request for messages that was cut off when a run
    // ended may take them along once more.
    for _ in 0..RUNS_MAX {
        eventually("the messages come back", Duration::from_secs(30), || moto.messages(&queue).unwrap().1 == 0);
        p.once(2).unwrap();
        if moto.messages(&queue).unwrap() == (0, 0) {
            break;
        }
    }
    assert_eq!(moto.messages(&queue).unwrap(), (0, 0), "{crash}");
    let marks = marks(&p);
    assert_eq!(marks.len(), OBJECTS * LINES, "{crash}\n{log}");
    assert!(marks.values().all(|n| *n == 1), "{crash}\n{log}");
    let files = moto.keys(&format!("{name}-lake")).unwrap();
    assert!(
        files.iter().all(|f| f.starts_with("run/logs/nginx_access/year=2026/") && f.ends_with(".parquet")),
        "{files:?}"
    );
    let audit = p.millstream(&["audit"]).unwrap();
    assert!(audit.status.success(), "{crash}\n{}", String::from_utf8_lossy(&audit.stdout));
}
