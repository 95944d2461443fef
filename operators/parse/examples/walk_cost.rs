//! What the JSON walk costs: CPU nanoseconds per event for a file of JSON lines.
//!
//! `walk_cost FILE [strict|structural|scan|utf8]…` takes the best of several turns per mode. Each batch
//! is first copied into one buffer, as a source's read would; `copy` alone is measured too, and taken off the others.
use model::raw::PAD;
use parse::json::{Columns, Trie, Walker, Want, valid_utf8};

/// Bytes per batch, as the sources cut them.
const BATCH: usize = 1_600_000;
/// Events per mode, over all turns, and turns at least.
const EVENTS: usize = 1_500_000;
const TURNS: usize = 5;
const PATHS: &[&str] = &[
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "readOnly",
    "eventID",
    "recipientAccountId",
    "userIdentity.type",
    "userIdentity.arn",
    "userIdentity.principalId",
    "userIdentity.accountId",
    "userIdentity.userName",
    "userIdentity.invokedBy",
    "userIdentity.sessionContext.attributes.mfaAuthenticated",
    "userIdentity.sessionContext.sessionIssuer.userName",
    "userIdentity.sessionContext.sessionIssuer.arn",
    "requestParameters.bucketName",
    "requestParameters.roleArn",
    "requestParameters.policyArn",
    "requestParameters.userName",
    "responseElements.ConsoleLogin",
    "additionalEventData.MFAUsed",
];

/// CPU time of this thread in nanoseconds.
fn cpu_ns() -> u64 {
    /// `struct timespec` of Linux on 64-bit machines.
    #[repr(C)]
    struct Time {
        seconds: i64,
        nanoseconds: i64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Time) -> i32;
    }
    const THREAD_CPU: i32 = 3;
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    // SAFETY: the C library that the program is linked with has this function, and it writes the struct only.
    unsafe { clock_gettime(THREAD_CPU, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

/// Padded batches of whole lines, with the spans of the lines.
fn batches(file: &[u8]) -> Vec<(Vec<u8>, Vec<(usize, usize)>)> {
    let mut out = vec![];
    let mut rest = file;
    while !rest.is_empty() {
        let cut = rest.len().min(BATCH);
        let cut = rest[..cut].iter().rposition(|b| *b == b'\n').map_or(rest.len(), |n| n + 1);
        let mut data = rest[..cut].to_vec();
        let (mut spans, mut start) = (vec![], 0);
        for line in data.split(|b| *b == b'\n') {
            if !line.is_empty() {
                spans.push((start, line.len()));
            }
            start += line.len() + 1;
        }
        data.resize(cut + PAD, 0);
        out.push((data, spans));
        rest = &rest[cut..];
    }
    out
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(name) = args.first() else { return eprintln!("usage: walk_cost FILE [MODE]…") };
    let file = match std::fs::read(name) {
        Ok(file) => file,
        Err(e) => return eprintln!("{name}: {e}"),
    };
    let modes = ["copy", "utf8", "scan", "strict", "structural"];
    let chosen = |m: &&str| args.len() == 1 || *m == "copy" || args[1..].iter().any(|a| a == m);
    let modes: Vec<&str> = modes.into_iter().filter(chosen).collect();
    let batches = batches(&file);
    let events: usize = batches.iter().map(|b| b.1.len()).sum();
    let want = |(slot, path): (usize, &&str)| {
        let path = model::Path::parse(path).expect("the list holds paths");
        Want { path, slot: slot as u32, allowed: 0, required: None }
    };
    let trie = Trie::compile(&PATHS.iter().enumerate().map(want).collect::<Vec<_>>());
    println!("{events} events, {} bytes each, {} paths", file.len() / events.max(1), PATHS.len());
    let mut best = vec![u64::MAX; modes.len()];
    let mut sums = vec![0usize; modes.len()];
    let (mut cols, mut data) = (Columns::new(PATHS.len(), 1), vec![]);
    for _ in 0..TURNS.max(EVENTS / events.max(1)) {
        for (mode, (best, sum)) in modes.iter().zip(best.iter_mut().zip(&mut sums)) {
            let mut walker = Walker::new(*mode != "structural");
            let (mut side, start) = (vec![], cpu_ns());
            *sum = 0;
            for (read, spans) in &batches {
                data.clear();
                data.extend_from_slice(read);
                cols.clear_for(spans.len());
                side.clear();
                if matches!(*mode, "copy" | "utf8") {
                    *sum += usize::from(*mode == "copy" || valid_utf8(&data).is_ok());
                    continue;
                }
                for (row, (start, len)) in spans.iter().enumerate() {
                    if *mode == "scan" {
                        *sum += usize::from(walker.scan_only(&data, *start, *len));
                        continue;
                    }
                    let done = walker.walk(&trie, &data, *start, *len, row, &mut cols, &mut side, data.len() - PAD);
                    *sum += usize::from(done.is_ok());
                }
                *sum += cols.tag.iter().filter(|t| **t != 0).count();
            }
            *best = (*best).min(cpu_ns() - start);
        }
    }
    let copy = best[0];
    for (mode, (best, sum)) in modes.iter().zip(best.iter().zip(&sums)) {
        let ns = if *mode == "copy" { *best } else { best.saturating_sub(copy) };
        println!("{mode:16} {:6.0} ns/event   (check {sum})", ns as f64 / events.max(1) as f64);
    }
}
