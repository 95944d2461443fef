//! Decode log files as one log type and print the normalised events, for comparison with other decoders.
//!
//! `decode [--records] [--now-ms N] LOG_TYPE FILE…` reads lines (or, with `--records`, the elements of a
//! file's `Records` array, or of a file that is an array), runs them through the product's parser and prints one
//! event a line. Records that are not of the type go to standard error with the reason, then the totals.
use model::part::{BuildCx, Built};
use model::{Ctx, Files, Needs, Origin, Packet, RawBatch, RawRecord, Record};
use serde_json::value::RawValue;
use std::io::{BufWriter, Write};
use std::sync::Arc;

/// 2026-11-24T00:00:00Z, the default clock.
const NOW_MS: i64 = 1_795_478_400_000;

/// Records of one batch; small enough that the spans of a batch of long records stay in 32 bits.
const BATCH_RECORDS: usize = 512;

type Error = Box<dyn std::error::Error + Send + Sync>;

struct Args {
    records: bool,
    now_ms: i64,
    log_type: String,
    files: Vec<String>,
}

fn args() -> Result<Args, Error> {
    let mut args = Args { records: false, now_ms: NOW_MS, log_type: String::new(), files: Vec::new() };
    let mut rest = std::env::args().skip(1);
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--records" => args.records = true,
            "--now-ms" => args.now_ms = rest.next().ok_or("--now-ms needs a number")?.parse()?,
            _ if args.log_type.is_empty() => args.log_type = arg,
            _ => args.files.push(arg),
        }
    }
    if args.files.is_empty() {
        return Err("usage: decode [--records] [--now-ms N] LOG_TYPE FILE…".into());
    }
    Ok(args)
}

/// The texts of a file's records.
fn texts(file: &str, records: bool) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(file)?;
    if !records {
        return Ok(text.lines().map(str::to_string).collect());
    }
    #[derive(serde::Deserialize)]
    struct Delivery<'a> {
        #[serde(rename = "Records", borrow)]
        records: Vec<&'a RawValue>,
    }
    let raw = match text.trim_start().starts_with('[') {
        true => serde_json::from_str::<Vec<&RawValue>>(&text)?,
        false => serde_json::from_str::<Delivery>(&text)?.records,
    };
    Ok(raw.into_iter().map(|r| r.get().to_string()).collect())
}

/// Batches of one file, as a source makes them.
fn batches(file: &str, texts: &[String], partition: u32, records: bool, now_ms: i64) -> Vec<RawBatch> {
    let origin = Arc::new(Origin { partition, name: file.into(), source: "decode".into(), ..Origin::default() });
    let header = texts.first().filter(|_| !records).map(|t| Arc::from(t.as_bytes()));
    let mut out = Vec::new();
    for (n, chunk) in texts.chunks(BATCH_RECORDS).enumerate() {
        let (mut data, mut rows) = (Vec::new(), Vec::new());
        for (i, text) in chunk.iter().enumerate() {
            let start = data.len() as u32;
            data.extend_from_slice(text.as_bytes());
            let ordinal = (n * BATCH_RECORDS + i) as u32;
            rows.push(RawRecord { start, len: text.len() as u32, ordinal, offset: 0 });
        }
        data.resize(data.len() + model::raw::PAD, 0);
        let (origin, header) = (origin.clone(), header.clone());
        out.push(RawBatch { origin, now_ms, lane: 0, data, records: rows, header, first: n == 0 });
    }
    out
}

fn parser(log_type: &str) -> Result<Box<dyn model::Map>, Error> {
    let part = parse::parts().into_iter().find(|p| p.spec().kind == model::Kind::Parse).ok_or("no parser part")?;
    let files = model::files::MemFiles::default();
    let files: &dyn Files = &files;
    let opened = part.open("decode", &serde_json::json!({ "log_types": [log_type] }), files);
    for p in &opened.problems {
        eprintln!("{}: {} {}", p.setting, p.message, p.hint.as_deref().unwrap_or_default());
    }
    let cx = BuildCx {
        id: "decode".into(),
        topology: "test".into(),
        generation: 1,
        index: 0,
        needs: Needs::default(),
        store_events: false,
        groups: 1,
        shard: 0,
        data_dir: ".".into(),
        work_dir: ".".into(),
        event_time: true,
        once: true,
        ..Default::default()
    };
    match opened.node.ok_or("the log type cannot be opened")?.build(&cx)? {
        Built::Map(map) => Ok(map),
        _ => Err("the parser part is not a Map".into()),
    }
}

fn main() -> Result<(), Error> {
    let args = args()?;
    let mut map = parser(&args.log_type)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut offered, mut parsed, mut rejected) = (0usize, 0usize, 0usize);
    for (partition, file) in args.files.iter().enumerate() {
        let texts = texts(file, args.records)?;
        for batch in batches(file, &texts, partition as u32, args.records, args.now_ms) {
            offered += batch.records.len();
            let mut cx = Ctx::default();
            map.map(Packet::Raw(Arc::new(batch)), &mut cx)?;
            for (_, packet) in cx.out {
                match packet {
                    Packet::Events(events) => {
                        parsed += events.len();
                        for row in 0..events.len() {
                            serde_json::to_writer(&mut out, &events.layout.full.event(&events, row))?;
                            out.write_all(b"\n")?;
                        }
                    }
                    Packet::Records(records) => {
                        for record in records {
                            if let Record::Rejected(r) = record {
                                rejected += 1;
                                eprintln!("{file}:{}: {}: {}", r.pos.ordinal + 1, r.code, r.reason);
                            }
                        }
                    }
                    Packet::Raw(_) => {}
                }
            }
        }
    }
    out.flush()?;
    eprintln!(
        "{offered} records: {parsed} events, {rejected} rejected, {} without an event",
        offered - parsed - rejected
    );
    Ok(())
}
