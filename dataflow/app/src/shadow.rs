//! `millstream rules shadow`: what the shadow rules of a running topology match, beside the live rules of the same ids.
//!
//! The counts are those of the ledger, of the epochs since the topology took over that runs now. Samples come from sinks
//! that read one of the outputs `gained` and `lost` of the detect node, and nothing else.
use crate::cli::{Output, RulesShadowArgs};
use crate::load::{self, LEDGER};
use crate::{exit, progress::group};
use anyhow::{Context, Result, anyhow};
use detect::shadow::{GAINED, LOST, PREFIX};
use model::{Kind, LedgerRow, time};
use serde::Serialize;
use serde_json::Value as J;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use topology::Topology;

/// A detect node with shadow rules.
#[derive(Debug, Serialize)]
struct Node {
    node: String,
    /// First epoch that counts, and its clock.
    since_epoch: u64,
    since: String,
    /// Events that both kinds of rules saw.
    events: u64,
    rules: BTreeMap<String, Diff>,
}

/// A shadow rule beside its live twin.
#[derive(Debug, Default, Serialize)]
struct Diff {
    /// There is a live rule of this id.
    live: bool,
    /// Matches of the live rule.
    live_matches: u64,
    /// Matches of the shadow rule.
    shadow_matches: u64,
    /// Events that both match.
    both: u64,
    /// Events that only the shadow rule matches.
    gained: u64,
    /// Events that only the live rule matches.
    lost: u64,
    /// Failures of the shadow rule.
    shadow_errors: u64,
    /// Of these, ends at a limit.
    stopped: u64,
    gained_samples: Vec<Sample>,
    lost_samples: Vec<Sample>,
}

#[derive(Debug, Serialize)]
struct Sample {
    event_time: String,
    severity: String,
    title: String,
    row_id: String,
}

/// Print the difference.
pub fn shadow(args: &RulesShadowArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    let Some(on_disk) = &loaded.topology else {
        loaded.diagnostics.iter().for_each(|d| eprint!("{}", d.render(false)));
        return Ok(exit::CONFIG);
    };
    let dir = load::data_dir(on_disk);
    let ran = load::last_run(&dir)?;
    let t = ran.as_ref().unwrap_or(on_disk);
    let running = std::fs::read_to_string(dir.join("running")).unwrap_or_default();
    let (folder, _) = load::place(&args.topology);
    let ledger = dir.join(format!("{LEDGER}.jsonl"));
    let since = since(&ledger, running.trim())?;
    let mut all = Vec::new();
    for (i, n) in t.nodes.iter().enumerate().filter(|(_, n)| n.kind == Kind::Detect) {
        let ids = |shadow| match detect::detect::load_either(&n.settings, &local::DiskFiles::new(&folder), shadow) {
            Ok(rules) => rules.iter().map(|r| r.meta.id.to_string()).collect(),
            // The files may have been edited since; the ledger knows what ran.
            Err(_) => Vec::new(),
        };
        if n.settings.get("shadow").and_then(J::as_array).is_none_or(Vec::is_empty) {
            continue;
        }
        let live: Vec<String> = ids(false);
        let mut node = Node {
            node: n.id.to_string(),
            since_epoch: since.0,
            since: time::rfc3339_ms(since.1),
            events: 0,
            rules: ids(true).into_iter().map(|id| (id, Diff::default())).collect(),
        };
        node.count(&ledger)?;
        for (id, diff) in &mut node.rules {
            diff.live = live.contains(id);
            diff.both = diff.shadow_matches.saturating_sub(diff.gained);
            for (port, n, into) in
                [(GAINED, diff.gained, &mut diff.gained_samples), (LOST, diff.lost, &mut diff.lost_samples)]
            {
                if n > 0 && args.samples > 0 {
                    *into = samples(t, (i, port), id, since.1, args.samples)?;
                }
            }
        }
        all.push(node);
    }
    if all.is_empty() {
        eprintln!("millstream: no detect node of {} has shadow rules: name them in its setting `shadow`", t.name);
        return Ok(exit::FINDINGS);
    }
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&all)?),
        _ => all.iter().for_each(|n| print!("{}", n.text())),
    }
    Ok(0)
}

/// Hands out the rows of a ledger.
fn rows(ledger: &Path, mut each: impl FnMut(LedgerRow)) -> Result<()> {
    let Ok(file) = std::fs::File::open(ledger) else { return Ok(()) };
    for (i, line) in BufReader::new(file).lines().enumerate() {
        each(serde_json::from_str(&line?).with_context(|| format!("{}:{}", ledger.display(), i + 1))?);
    }
    Ok(())
}

/// The first of the last epochs that ran under this bundle, and its clock.
fn since(ledger: &Path, bundle: &str) -> Result<(u64, i64)> {
    let mut first = None;
    rows(ledger, |row| {
        if row.counter == LedgerRow::CLOCK {
            first = match &first {
                _ if *row.rule != *bundle => None,
                None => Some((row.epoch, row.n as i64)),
                kept => *kept,
            };
        }
    })?;
    Ok(first.unwrap_or((0, 0)))
}

impl Node {
    fn count(&mut self, ledger: &Path) -> Result<()> {
        let (node, since) = (self.node.clone(), self.since_epoch);
        rows(ledger, |row| {
            if row.epoch < since || *row.node != *node {
                return;
            }
            if row.rule.is_empty() && row.counter == "events" {
                self.events += row.n;
            }
            let shadow = row.rule.strip_prefix(PREFIX);
            let own = matches!(row.counter.as_str(), "shadow_matches" | "shadow_errors" | "gained" | "lost");
            let id = shadow.unwrap_or(&row.rule);
            let Some(diff) = (match own || shadow.is_some() {
                true => Some(self.rules.entry(id.into()).or_default()),
                false => self.rules.get_mut(id),
            }) else {
                return;
            };
            match row.counter.as_str() {
                "matches" => diff.live_matches += row.n,
                "shadow_matches" => diff.shadow_matches += row.n,
                "shadow_errors" => diff.shadow_errors += row.n,
                "gained" => diff.gained += row.n,
                "lost" => diff.lost += row.n,
                model::operator::STOPPED if shadow.is_some() => diff.stopped += row.n,
                _ => {}
            }
        })
    }

    fn text(&self) -> String {
        let mut out = format!(
            "detect.{} since epoch {} ({}): {} events\n",
            self.node,
            group(self.since_epoch),
            self.since,
            group(self.events)
        );
        let width = self.rules.keys().map(String::len).max().unwrap_or(0).max(4);
        out += &format!(
            "\n{:<width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>8}\n",
            "rule", "live", "shadow", "both", "gained", "lost", "errors"
        );
        for (id, d) in &self.rules {
            let live = if d.live { group(d.live_matches) } else { "-".into() };
            out += &format!(
                "{id:<width$}  {live:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>8}\n",
                group(d.shadow_matches),
                group(d.both),
                group(d.gained),
                group(d.lost),
                group(d.shadow_errors)
            );
            if d.stopped > 0 {
                out += &format!("    stopped at its limits {} times\n", group(d.stopped));
            }
            for (sign, samples) in [('+', &d.gained_samples), ('-', &d.lost_samples)] {
                samples
                    .iter()
                    .for_each(|s| out += &format!("    {sign} {}  {:<8}  {}\n", s.event_time, s.severity, s.title));
            }
        }
        let shown = self.rules.values().any(|d| !d.gained_samples.is_empty() || !d.lost_samples.is_empty());
        if !shown && self.rules.values().any(|d| d.gained + d.lost > 0) {
            out += &format!(
                "\nto see some of them, give a sink `inputs = [\"{0}.gained\"]` and another `inputs = [\"{0}.lost\"]`\n",
                self.node
            );
        }
        out
    }
}

/// The first matches of a rule in the outputs that read this port alone, from a clock on.
fn samples(t: &Topology, port: (usize, usize), rule: &str, since: i64, max: usize) -> Result<Vec<Sample>> {
    let mut out: BTreeMap<(String, String), Sample> = BTreeMap::new();
    let mut add = |text: &str| {
        let Ok(row) = serde_json::from_str::<J>(text) else { return };
        let get = |key: &str| row.get(key).and_then(J::as_str).unwrap_or_default().to_string();
        let read = time::rfc3339_ns(&format!("{}Z", get("p_parse_time"))).map_or(0, |ns| ns.div_euclid(1_000_000));
        if get("p_rule_id") != rule || read < since {
            return;
        }
        let sample = Sample {
            event_time: get("p_event_time"),
            severity: get("p_alert_severity"),
            title: get("p_alert_title"),
            row_id: get("p_row_id"),
        };
        out.insert((sample.event_time.clone(), sample.row_id.clone()), sample);
        if out.len() > max {
            out.pop_last();
        }
    };
    for n in t.nodes.iter().filter(|n| n.kind == Kind::Sink && n.inputs == [port]) {
        let Some(path) = n.settings.get("path").and_then(J::as_str) else { continue };
        match n.spec.name {
            "jsonl" => {
                let Ok(file) = std::fs::File::open(path) else { continue };
                for line in BufReader::new(file).lines() {
                    add(&line?);
                }
            }
            "parquet" if path.contains("://") => load::objects(path)
                .and_then(|o| lake::find_in(&*o, "p_rule_id", rule, &mut add))
                .map_err(|e| anyhow!("{path}: {e}"))?,
            "parquet" => {
                lake::find(Path::new(path), "p_rule_id", rule, &mut add).map_err(|e| anyhow!("{path}: {e}"))?
            }
            _ => {}
        }
    }
    Ok(out.into_values().collect())
}
