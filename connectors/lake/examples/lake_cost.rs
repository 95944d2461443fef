//! What the lake costs without the engine around it: reading, parsing at full schema, and Arrow columns encoded as Parquet.
//!
//! `cargo run --release -p lake --example lake_cost -- FILE LOG_TYPE` (the common job's: `ct_200000.jsonl AWS.CloudTrail`).
//! One thread takes the file through the file source, the parser and one shard of the sink, in blocks of an epoch's size.
//! The bound of `--variants lake` of the benchmark, which does the same and the rules besides, exactly once.
use lake::ParquetPart;
use model::files::MemFiles;
use model::source::Budget;
use model::{BuildCx, Built, Ctx, EpochInfo, Kind, Part, Result};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes of an epoch.
const EPOCH: u64 = 32 << 20;
/// Clock of the epochs.
const NOW_MS: i64 = 1_800_000_000_000;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(file), Some(log_type)) = (args.next(), args.next()) else {
        return Err("lake_cost FILE LOG_TYPE".into());
    };
    let file = std::fs::canonicalize(file)?;
    let out = std::env::temp_dir().join(format!("lake-cost-{}", std::process::id()));
    let done = run(&file, &log_type, &out);
    std::fs::remove_dir_all(&out)?;
    done
}

fn run(file: &std::path::Path, log_type: &str, out: &std::path::Path) -> Result<()> {
    let sink = ParquetPart.open("lake", &json!({ "path": out.join("lake") }), &MemFiles::default());
    let sink = sink.node.ok_or("no sink")?;
    let cx = BuildCx { needs: sink.needs(), ..context("lake", out) };
    let source = built(&local::parts(), Kind::Source, "file", &json!({ "path": [file], "follow": false }), &cx)?;
    let parser = built(&parse::parts(), Kind::Parse, "schema", &json!({ "log_types": [log_type] }), &cx)?;
    let (Built::Source(mut source, reader), Built::Map(mut parser), Built::Sink(mut sink)) =
        (source, parser, sink.build(&cx)?)
    else {
        return Err("not a source, a parser and a sink".into());
    };
    let mut reader = reader()?;
    sink.recover(None)?;
    let (mut read, mut parsed, mut encoded) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut events, mut epoch) = (0, 0);
    loop {
        let poll = source.poll(Budget { bytes: EPOCH, now_ms: NOW_MS })?;
        let end = poll.exhausted && poll.splits.is_empty();
        let mut packets = Vec::new();
        time(&mut read, || {
            poll.splits.iter().try_for_each(|split| {
                reader.read(split, &split.origin(0), &mut |p| packets.push(split.entered(p, NOW_MS).1))
            })
        })?;
        // Packet by packet, as the engine does.
        for packet in packets {
            let mut cx = Ctx::default();
            time(&mut parsed, || parser.map(packet, &mut cx))?;
            for (_, packet) in cx.out {
                events += packet.len();
                time(&mut encoded, || sink.stage(&packet))?;
            }
        }
        epoch += 1;
        let info = EpochInfo { epoch, now_ms: NOW_MS, commands: vec![], snapshot: end, seal: end };
        time(&mut encoded, || sink.commit(&info))?;
        if end {
            break;
        }
    }
    sink.finish(0)?;
    let us = |d: Duration| d.as_secs_f64() * 1e6 / events.max(1) as f64;
    println!("{events} events, µs for one on one thread");
    for (what, took) in [("read", read), ("parse at full schema", parsed), ("Arrow columns, Parquet", encoded)] {
        println!("{what:<24}{:>8.2}", us(took));
    }
    println!("{:<24}{:>8.2}", "together", us(read + parsed + encoded));
    Ok(())
}

fn time<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let out = work();
    *sum += began.elapsed();
    out
}

fn context(id: &str, dir: &std::path::Path) -> BuildCx {
    let dir = PathBuf::from(dir);
    BuildCx {
        id: id.into(),
        groups: 1,
        data_dir: dir.clone(),
        work_dir: dir,
        event_time: true,
        once: true,
        ..BuildCx::default()
    }
}

fn built(parts: &[&'static dyn Part], kind: Kind, name: &str, settings: &Value, cx: &BuildCx) -> Result<Built> {
    let part = parts.iter().find(|p| (p.spec().kind, p.spec().name) == (kind, name)).ok_or("no such part")?;
    let opened = part.open(name, settings, &MemFiles::default());
    opened.node.ok_or_else(|| format!("{name}: {:?}", opened.problems))?.build(cx)
}
