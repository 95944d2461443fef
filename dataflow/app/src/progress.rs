//! The ledger line while an engine runs, and the summary when it ends.
use crate::cli::RunArgs;
use engine::Status;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Time between ledger lines.
const EVERY: Duration = Duration::from_secs(5);

/// What the coordinating thread is called among the nodes, and what no node took: scheduling, exchange, client libraries.
pub const COORDINATOR: &str = "(coordinator)";
const REST: &str = "(rest)";

/// Prints until dropped.
pub struct Progress(Arc<AtomicBool>);

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Print a ledger line every few seconds on standard error while something happens.
pub fn start(status: Arc<Status>, wanted: bool) -> Progress {
    let end = Arc::new(AtomicBool::new(!wanted));
    let done = end.clone();
    std::thread::spawn(move || {
        let (mut last, mut at) = (0, Instant::now());
        while !done.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
            let epoch = status.epoch.load(Relaxed);
            if at.elapsed() >= EVERY && epoch != last {
                eprintln!("{}", line(&status));
                (last, at) = (epoch, Instant::now());
            }
        }
    });
    Progress(end)
}

/// `epoch 42 | in 1,204,113 = parsed … + rejected … | matches … = alerts … + deduped … | p99 38 ms`.
pub fn line(s: &Status) -> String {
    let t = |c: &str| group(s.total(c));
    let mut out = format!(
        "epoch {} | in {} = parsed {} + rejected {}",
        s.epoch.load(Relaxed),
        group(events(s)),
        t("parsed"),
        t("rejected")
    );
    for (name, counter) in [("filtered", "filtered"), ("skipped", "skipped"), ("empty", "empty")] {
        if s.total(counter) > 0 {
            out += &format!(" + {name} {}", t(counter));
        }
    }
    let matches = ["alerted", "deduped", "below_threshold", "signal_only"].iter().map(|c| s.total(c)).sum();
    out += &format!(
        " | matches {} = alerts {} + deduped {} + below threshold {}",
        group(matches),
        t("alerted"),
        t("deduped"),
        t("below_threshold")
    );
    if s.total("signal_only") > 0 {
        out += &format!(" + signals {}", t("signal_only"));
    }
    if s.total("suppressed") > 0 {
        out += &format!(" | passed {} + suppressed {}", t("passed"), t("suppressed"));
    }
    let (n, _, _, p99, _) = s.latencies();
    if n > 0 {
        out += &format!(" | p99 {p99} ms");
    }
    out
}

/// Raw records that parsers took.
fn events(s: &Status) -> u64 {
    ["parsed", "rejected", "filtered", "empty", "skipped"].iter().map(|c| s.total(c)).sum()
}

/// What a run did, at its end.
pub fn summary(s: &Status, took: Duration, args: &RunArgs) {
    let secs = took.as_secs_f64().max(1e-9);
    let (events, bytes) = (events(s), s.bytes.load(Relaxed));
    let (cpu, rss) = usage();
    let (_, p50, p90, p99, max) = s.latencies();
    if args.stats {
        let f = s.figures();
        let mut nodes: BTreeMap<&str, f64> = f.nodes.iter().map(|n| (n.node.as_str(), n.cpu_seconds)).collect();
        nodes.insert(COORDINATOR, f.coordinator_cpu_seconds);
        nodes.insert(REST, (cpu - nodes.values().sum::<f64>()).max(0.0));
        let stats = serde_json::json!({
            "events": events, "bytes": bytes, "wall_s": secs, "cpu_s": cpu, "cpu_by_node_s": nodes, "rss_mib": rss,
            "epochs": s.epoch.load(Relaxed), "latency_ms": { "p50": p50, "p90": p90, "p99": p99, "max": max },
            "alerts": s.total("alerted"), "passed": s.total("passed"), "suppressed": s.total("suppressed"),
        });
        println!("{stats}");
    }
    if args.progress() {
        eprintln!("{}", line(s));
        eprintln!(
            "done: {} events in {secs:.2} s ({} events/s, {:.0} MB/s), {cpu:.2} CPU s, {rss:.0} MiB peak",
            group(events),
            group((events as f64 / secs) as u64),
            bytes as f64 / secs / 1e6
        );
    }
}

/// CPU seconds and peak resident MiB of this process.
pub fn usage() -> (f64, f64) {
    // SAFETY: getrusage fills the struct it is given.
    let r = unsafe {
        let mut r: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut r);
        r
    };
    let secs = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    (secs(r.ru_utime) + secs(r.ru_stime), r.ru_maxrss as f64 / 1024.0)
}

/// `1204113` → `1,204,113`.
pub fn group(n: u64) -> String {
    let s = n.to_string();
    let mut out = String::with_capacity(s.len() + s.len() / 3);
    for (i, c) in s.chars().enumerate() {
        if i > 0 && (s.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
