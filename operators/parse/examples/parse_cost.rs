//! What parsing costs: CPU time per event of the whole parse operator over a file of JSON lines.
//!
//! ```text
//! cargo run --release -p parse --example parse_cost -- events.jsonl [AWS.CloudTrail] [structural] [all]
//! ```
//!
//! The paths are those of a typical set of detections; `all` asks for every schema field besides, as a lake sink does.
use model::raw::PAD;
use model::{BuildCx, Built, Ctx, Needs, Origin, Packet, Part, Path, RawBatch, RawRecord};
use std::sync::Arc;

/// Bytes of a batch, as readers cut them.
const BATCH: usize = 1_600_000;
/// Passes over the file.
const ROUNDS: usize = 5;

const PATHS: &[&str] = &[
    "eventName",
    "eventSource",
    "eventType",
    "eventID",
    "errorCode",
    "sourceIPAddress",
    "userAgent",
    "readOnly",
    "recipientAccountId",
    "userIdentity.type",
    "userIdentity.arn",
    "userIdentity.principalId",
    "userIdentity.invokedBy",
    "userIdentity.accountId",
    "userIdentity.sessionContext.sessionIssuer.userName",
    "additionalEventData.MFAUsed",
    "responseElements.ConsoleLogin",
    "requestParameters.userName",
    "requestParameters.policyArn",
    "requestParameters.ipPermissions.items[0].ipRanges.items[0].cidrIp",
    "requestParameters.acl",
    "requestParameters.roleArn",
    "requestParameters.userData",
    "requestParameters.createVolumePermission.add.items[0].group",
    "requestParameters.bucketName",
];

fn batches(bytes: &[u8]) -> Vec<RawBatch> {
    let origin = Arc::new(Origin { source: "bench".into(), name: "bench.jsonl".into(), ..Origin::default() });
    let new = || RawBatch { origin: origin.clone(), ..RawBatch::default() };
    let (mut out, mut b, mut offset) = (Vec::new(), new(), 0u64);
    for line in bytes.split_inclusive(|c| *c == b'\n') {
        if b.data.len() + line.len() > BATCH {
            b.data.resize(b.data.len() + PAD, 0);
            out.push(std::mem::replace(&mut b, new()));
        }
        let (start, len) = (b.data.len() as u32, line.trim_ascii_end().len() as u32);
        b.records.push(RawRecord { start, len, ordinal: 0, offset });
        b.data.extend_from_slice(line);
        offset += line.len() as u64;
    }
    b.data.resize(b.data.len() + PAD, 0);
    out.push(b);
    out
}

/// CPU time of this thread, nanoseconds.
fn cpu_ns() -> u64 {
    // The kernel's own count, so that other load on the machine does not matter.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let file = args.first().ok_or("name a file of JSON lines")?;
    let has = |word: &str| args.iter().any(|a| a == word);
    let log_type = args.iter().find(|a| a.contains('.') && *a != file).map_or("AWS.CloudTrail", String::as_str);
    let settings = serde_json::json!({ "log_types": [log_type], "strict": !has("structural") });
    let files = model::files::MemFiles::default();
    let node = parse::ParsePart.open("events", &settings, &files).node.ok_or("the settings are wrong")?;
    let mut needs = Needs::default();
    for p in PATHS {
        needs.path(log_type, Path::parse(p)?);
    }
    if has("all") {
        needs.all(log_type);
    }
    let cx = BuildCx {
        id: "events".into(),
        topology: "test".into(),
        generation: 1,
        index: 0,
        needs,
        store_events: false,
        groups: 128,
        shard: 0,
        data_dir: ".".into(),
        work_dir: ".".into(),
        event_time: false,
        once: true,
        ..Default::default()
    };
    let Built::Map(mut map) = node.build(&cx)? else { return Err("not a map".into()) };
    let bytes = std::fs::read(file)?;
    let input = batches(&bytes);
    drop(bytes);
    for round in 0..ROUNDS {
        let (mut ns, mut events, mut rejected, mut sum) = (0, 0u64, 0u64, 0u64);
        for b in &input {
            let packet = Packet::Raw(Arc::new(b.clone()));
            let mut out = Ctx::default();
            let from = cpu_ns();
            map.map(packet, &mut out)?;
            ns += cpu_ns() - from;
            for (port, p) in &out.out {
                match p {
                    Packet::Events(e) => {
                        events += e.len() as u64;
                        sum = sum.wrapping_add(e.event_time.iter().fold(0, |s, t| s.wrapping_add(*t as u64)));
                    }
                    p if *port == 1 => rejected += p.len() as u64,
                    _ => {}
                }
            }
        }
        let each = ns as f64 / events.max(1) as f64;
        println!("round {round}: {each:.0} ns/event, {events} events, {rejected} rejected, checksum {sum:x}");
    }
    Ok(())
}
