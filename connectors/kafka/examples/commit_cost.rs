//! What a commit of the `kafka` sink costs: latency of small epochs, CPU and rate of large ones.
//!
//! `KAFKA=host:port cargo run --release -p kafka --example commit_cost`, or without `KAFKA` against a broker of its own.
use model::part::{Built, Kind};
use model::sink::Sink;
use model::{BuildCx, EpochInfo, Packet, Record, record::EventRow};
use std::time::{Duration, Instant};

const SMALL_EPOCHS: u64 = 400;
const SMALL_ROWS: u64 = 10;
const LARGE_EPOCHS: u64 = 40;
const LARGE_ROWS: u64 = 25_000;

fn sink(brokers: &str, delivery: &str) -> Box<dyn Sink> {
    let part = kafka::parts().into_iter().find(|p| p.spec().kind == Kind::Sink).expect("the sink");
    let topic = format!("cost-{delivery}-{}", std::process::id());
    let settings = serde_json::json!({"brokers": brokers, "topic": topic, "delivery": delivery, "partitions": 4});
    let node = part.open("out", &settings, &model::files::MemFiles::default()).node.expect("settings");
    let cx =
        BuildCx { id: "out".into(), topology: topic.into(), run: "cost".into(), generation: 1, ..BuildCx::default() };
    match node.build(&cx).expect("build") {
        Built::Sink(s) => s,
        _ => unreachable!("a sink was asked for"),
    }
}

/// Rows of the size of a CloudTrail event, alike but not equal.
fn packet(epoch: u64, rows: u64) -> Packet {
    let row = |i: u64| {
        let id = epoch * 1_000_003 + i;
        let json = format!(
            r#"{{"eventVersion":"1.08","eventTime":"2026-03-01T12:{:02}:{:02}Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-central-1","sourceIPAddress":"192.0.2.{}","userAgent":"aws-sdk-java/2.{}","requestID":"{:016X}","eventID":"{:032x}","userIdentity":{{"type":"AssumedRole","principalId":"AROA{:012}","arn":"arn:aws:sts::123456789012:assumed-role/app/{}","accountId":"123456789012"}},"resources":[{{"ARN":"arn:aws:s3:::bucket-{}/key/{}","type":"AWS::S3::Object"}}],"readOnly":true}}"#,
            id % 60,
            id % 59,
            id % 250,
            id % 30,
            id.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            u128::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
            id % 100_000,
            id % 1000,
            id % 40,
            id
        );
        Record::Event(Box::new(EventRow { pos: model::Pos::default(), json }))
    };
    Packet::Records((0..rows).map(row).collect())
}

fn cpu() -> f64 {
    // SAFETY: the call fills the struct it is given.
    let usage = unsafe {
        let mut u = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut u);
        u
    };
    let s = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    s(usage.ru_utime) + s(usage.ru_stime)
}

fn info(epoch: u64) -> EpochInfo {
    EpochInfo { epoch, now_ms: 0, commands: vec![], snapshot: false, seal: false }
}

fn main() -> model::Result<()> {
    let own = match std::env::var("KAFKA") {
        Ok(_) => None,
        Err(_) => Some(tests::kafka::Broker::start(1).map_err(|e| e.to_string())?),
    };
    let brokers = own.as_ref().map_or_else(|| std::env::var("KAFKA").unwrap_or_default(), |b| b.bootstrap());
    for delivery in ["exactly_once", "at_least_once"] {
        let mut s = sink(&brokers, delivery);
        let t = Instant::now();
        let commits = s.own_commits()?.unwrap_or_default();
        s.recover(commits.last().map(|c| &c.receipt))?;
        println!("{delivery}: start {} ms", t.elapsed().as_millis());
        let mut latency: Vec<Duration> = Vec::new();
        for e in 1..=SMALL_EPOCHS {
            s.stage(&packet(e, SMALL_ROWS))?;
            let t = Instant::now();
            s.commit(&info(e))?;
            latency.push(t.elapsed());
        }
        latency.sort();
        let at = |q: usize| latency[latency.len() * q / 100].as_secs_f64() * 1e3;
        println!("  {SMALL_EPOCHS} epochs of {SMALL_ROWS} rows: commit p50 {:.1} ms, p99 {:.1} ms", at(50), at(99));
        let (mut wall, mut used, mut bytes) = (0.0, 0.0, 0);
        for e in 1..=LARGE_EPOCHS {
            let p = packet(e, LARGE_ROWS);
            if let Packet::Records(r) = &p {
                bytes += r.iter().map(|r| if let Record::Event(e) = r { e.json.len() } else { 0 }).sum::<usize>();
            }
            let (t, c) = (Instant::now(), cpu());
            s.stage(&p)?;
            s.commit(&info(SMALL_EPOCHS + e))?;
            wall += t.elapsed().as_secs_f64();
            used += cpu() - c;
        }
        let rows = (LARGE_EPOCHS * LARGE_ROWS) as f64;
        println!(
            "  {rows} rows of {} bytes: {:.2} CPU s per million rows, {:.0} rows/s",
            bytes / rows as usize,
            used * 1e6 / rows,
            rows / wall
        );
    }
    Ok(())
}
