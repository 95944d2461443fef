//! `millstream audit`: re-count a pipeline from its outputs alone.
//!
//! Reads the ledger and every file that sinks wrote, and trusts nothing the engine holds in memory. Checks that no
//! ledger row stands twice, that the conservation laws hold for every epoch and node, and that what the ledger says
//! was written is in the outputs, once.
use crate::cli::{AuditArgs, Output};
use crate::load::{self, DEAD_LETTER, LEDGER};
use crate::{exit, progress::group};
use anyhow::{Context, Result};
use model::{Kind, LedgerRow};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use topology::Topology;

/// Findings that are listed one by one; the rest is counted.
const FINDINGS_MAX: usize = 20;

/// `whole = sum of parts`, for every epoch of every node of a kind.
const LAWS: &[(Kind, &str, &[&str])] = &[
    (Kind::Parse, "offered", &["parsed", "rejected", "filtered", "empty", "skipped"]),
    (Kind::Dedup, "matches", &["alerted", "deduped", "below_threshold", "signal_only"]),
    (Kind::Limit, "offered", &["passed", "suppressed"]),
];

/// Result of an audit.
#[derive(Debug, Default, Serialize)]
pub struct Audit {
    /// Epochs in the ledger.
    pub epochs: u64,
    /// Rows that the ledger says were written and are not there.
    pub lost: u64,
    /// Rows that are there more than once, or that the ledger does not know.
    pub duplicated: u64,
    /// Laws that do not hold, ledger rows that stand twice.
    pub violations: u64,
    /// The first findings, in words.
    pub findings: Vec<String>,
    /// Sums over all epochs: node → counter → n.
    pub totals: BTreeMap<String, BTreeMap<String, u64>>,
    /// Per output: rows by the ledger, rows found.
    pub outputs: BTreeMap<String, (u64, u64)>,
}

impl Audit {
    /// Nothing lost, nothing doubled, every law holds.
    pub fn clean(&self) -> bool {
        self.lost + self.duplicated + self.violations == 0
    }
    fn finding(&mut self, text: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(text);
        }
    }
}

/// `audit`.
pub fn audit(args: &AuditArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    let Some(t) = &loaded.topology else {
        loaded.diagnostics.iter().for_each(|d| eprint!("{}", d.render(false)));
        return Ok(exit::CONFIG);
    };
    let audit = count(t)?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&audit)?),
        _ => print!("{}", human(&audit)),
    }
    Ok(if audit.clean() { 0 } else { exit::FINDINGS })
}

/// Re-count everything a topology wrote.
pub fn count(t: &Topology) -> Result<Audit> {
    let dir = load::data_dir(t);
    let mut audit = Audit::default();
    let rows = ledger(&dir.join(format!("{LEDGER}.jsonl")), &mut audit)?;
    laws(t, &rows, &mut audit);
    for ((_, node, counter), n) in &rows {
        *audit.totals.entry(node.clone()).or_default().entry(counter.clone()).or_default() += n;
    }
    let written = |audit: &Audit, id: &str| audit.totals.get(id).and_then(|c| c.get("written")).copied().unwrap_or(0);
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    let mut lakes: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for n in t.nodes.iter().filter(|n| n.kind == Kind::Sink) {
        let path = n.settings.get("path").and_then(|p| p.as_str());
        match (n.spec.name, path) {
            ("jsonl", Some(p)) => files.push((n.id.to_string(), p.into())),
            ("parquet", Some(p)) => lakes.entry(p.into()).or_default().push(n.id.to_string()),
            _ => {}
        }
    }
    for (path, ids) in lakes {
        let counted = match path.to_str().filter(|p| p.contains("://")) {
            Some(url) => load::objects(url).and_then(|o| lake::count_rows_in(&*o)),
            None => lake::count_rows(&path),
        };
        let found = counted.map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
        let want = ids.iter().map(|id| written(&audit, id)).sum();
        compare(&ids.join("+"), want, found, &mut audit);
    }
    files.push((DEAD_LETTER.into(), dir.join(format!("{DEAD_LETTER}.jsonl"))));
    for (id, path) in files {
        let (found, doubled) = lines(&path)?;
        let want = written(&audit, &id);
        audit.duplicated += doubled;
        if doubled > 0 {
            audit.finding(format!("{id}: {doubled} lines of {} stand more than once", path.display()));
        }
        compare(&id, want, found, &mut audit);
    }
    Ok(audit)
}

fn compare(id: &str, want: u64, found: u64, audit: &mut Audit) {
    audit.outputs.insert(id.into(), (want, found));
    audit.lost += want.saturating_sub(found);
    audit.duplicated += found.saturating_sub(want);
    if want != found {
        audit.finding(format!("{id}: the ledger says {want} rows, the output holds {found}"));
    }
}

/// Ledger rows by (epoch, node, counter), rules summed.
fn ledger(path: &Path, audit: &mut Audit) -> Result<BTreeMap<(u64, String, String), u64>> {
    let mut rows = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut epochs = HashSet::new();
    let Ok(file) = std::fs::File::open(path) else { return Ok(rows) };
    for (i, line) in BufReader::new(file).lines().enumerate() {
        let row: LedgerRow = serde_json::from_str(&line?).with_context(|| format!("{}:{}", path.display(), i + 1))?;
        epochs.insert(row.epoch);
        if !seen.insert((row.epoch, row.node.clone(), row.rule.clone(), row.counter.clone())) {
            audit.violations += 1;
            audit.finding(format!("ledger line {}: epoch {} of {} is counted twice", i + 1, row.epoch, row.node));
        }
        if row.counter != LedgerRow::CLOCK {
            *rows.entry((row.epoch, row.node.to_string(), row.counter)).or_default() += row.n;
        }
    }
    audit.epochs = epochs.len() as u64;
    Ok(rows)
}

fn laws(t: &Topology, rows: &BTreeMap<(u64, String, String), u64>, audit: &mut Audit) {
    let epochs: HashSet<u64> = rows.keys().map(|k| k.0).collect();
    let mut epochs: Vec<u64> = epochs.into_iter().collect();
    epochs.sort_unstable();
    for n in &t.nodes {
        for (kind, whole, parts) in LAWS.iter().filter(|l| l.0 == n.kind) {
            debug_assert_eq!(*kind, n.kind);
            for &e in &epochs {
                let get = |c: &str| rows.get(&(e, n.id.to_string(), c.to_string())).copied().unwrap_or(0);
                let (left, right) = (get(whole), parts.iter().map(|p| get(p)).sum::<u64>());
                if left != right {
                    audit.violations += 1;
                    audit.finding(format!(
                        "epoch {e}, {}: {whole} {left} is not {} = {right}",
                        n.id,
                        parts.join(" + ")
                    ));
                }
            }
        }
    }
}

/// Lines of a file, and how many repeat an earlier one.
fn lines(path: &Path) -> Result<(u64, u64)> {
    let Ok(file) = std::fs::File::open(path) else { return Ok((0, 0)) };
    let (mut n, mut doubled) = (0, 0);
    let mut seen = HashSet::new();
    for line in BufReader::new(file).split(b'\n') {
        n += 1;
        if !seen.insert(crate::bundle::hash(&line?)) {
            doubled += 1;
        }
    }
    Ok((n, doubled))
}

/// The audit in words.
pub fn human(a: &Audit) -> String {
    let mut out = String::new();
    for (node, counters) in &a.totals {
        let text: Vec<String> = counters.iter().map(|(c, n)| format!("{c} {}", group(*n))).collect();
        out += &format!("{node:>16}  {}\n", text.join(", "));
    }
    for (id, (want, found)) in &a.outputs {
        out += &format!("{id:>16}  {} rows in the output, {} in the ledger\n", group(*found), group(*want));
    }
    for f in &a.findings {
        out += &format!("      difference  {f}\n");
    }
    let laws = if a.violations == 0 { "every law holds".into() } else { format!("{} laws broken", a.violations) };
    out += &format!("{} lost, {} duplicated; {} epochs, {laws}\n", group(a.lost), group(a.duplicated), group(a.epochs));
    out
}
