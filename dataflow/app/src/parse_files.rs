//! `millstream parse`: what a log type makes of files, without a topology.
use crate::cli::ParseArgs;
use crate::exit;
use crate::registry::parts;
use anyhow::{Context, Result, anyhow, bail};
use model::files::MemFiles;
use model::source::Budget;
use model::{BuildCx, Built, Ctx, Kind, Needs, Node, Packet, Record};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;

/// A node of the registry with these settings, without a topology.
pub fn open(kind: Kind, name: &str, settings: serde_json::Value) -> Result<Arc<dyn Node>> {
    let part =
        parts().into_iter().find(|p| p.spec().kind == kind && p.spec().name == name).context("part is registered")?;
    let opened = part.open("parse", &settings, &MemFiles::default());
    if let Some(p) = opened.problems.iter().find(|p| !p.warning) {
        bail!("{}{}", p.message, p.hint.as_ref().map_or_else(String::new, |h| format!(" ({h})")));
    }
    opened.node.context("no problem, no node")
}

/// Print one normalised event per line on standard output, one reject per line on standard error.
pub fn parse(args: &ParseArgs) -> Result<i32> {
    let cwd = std::env::current_dir()?;
    let cx = BuildCx {
        id: "parse".into(),
        topology: "parse".into(),
        generation: 1,
        index: 0,
        needs: Needs::default(),
        store_events: false,
        groups: 1,
        shard: 0,
        data_dir: cwd.clone(),
        work_dir: cwd,
        event_time: true,
        once: true,
        ..Default::default()
    };
    let paths: Vec<String> = args.files.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    let source = open(Kind::Source, "file", json!({ "path": paths, "stream": args.stream, "follow": false }))?;
    let parser = open(Kind::Parse, "schema", json!({ "log_types": args.log_type }))?;
    let file = BuildCx { id: "file".into(), ..cx.clone() };
    let Built::Source(mut source, reader) = source.build(&file).map_err(|e| anyhow!("{e}"))? else {
        bail!("not a source")
    };
    let Built::Map(mut parser) = parser.build(&cx).map_err(|e| anyhow!("{e}"))? else { bail!("not a parser") };
    let mut reader = reader().map_err(|e| anyhow!("{e}"))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (mut events, mut rejected) = (0u64, 0u64);
    let clock_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() as i64;
    let now_ms = args.now.unwrap_or(clock_ms);
    loop {
        let poll = source.poll(Budget { bytes: 64 << 20, now_ms }).map_err(|e| anyhow!("{e}"))?;
        for split in &poll.splits {
            let mut packets = Vec::new();
            let mut give = |p| packets.push(split.entered(p, now_ms));
            reader.read(split, &split.origin(0), &mut give).map_err(|e| anyhow!("{}: {e}", split.name))?;
            for (port, packet) in packets {
                let mut cx = Ctx::default();
                match packet {
                    raw @ Packet::Raw(_) => parser.map(raw, &mut cx).map_err(|e| anyhow!("{e}"))?,
                    other => cx.out.push((port, other)),
                }
                for (_, packet) in cx.out {
                    match packet {
                        Packet::Events(b) => {
                            for row in 0..b.len() {
                                serde_json::to_writer(&mut out, &b.layout.full.event(&b, row))?;
                                out.write_all(b"\n")?;
                            }
                            events += b.len() as u64;
                        }
                        Packet::Records(records) => {
                            rejected += records.len() as u64;
                            for r in records.iter().filter(|r| matches!(r, Record::Rejected(_))) {
                                eprintln!("{}", r.to_json());
                            }
                        }
                        Packet::Raw(_) => {}
                    }
                }
            }
        }
        if poll.exhausted && poll.splits.is_empty() {
            break;
        }
    }
    out.flush()?;
    eprintln!("{events} events, {rejected} rejected");
    Ok(if rejected > 0 { exit::DATA } else { 0 })
}
