//! `millstream explain ALERT_ID`: which events made an alert, where they were read, and under what they were judged.
//!
//! Everything is taken from what a run wrote down: the alert's rows and the matches that sinks stored, the clock of each
//! epoch in the ledger, the kept bundles of the data folder, and the source's files where they can be read again.
mod found;
mod raw;
mod summary;

use crate::bundle::{Bundle, Shelf};
use crate::cli::{ExplainArgs, Output};
use crate::{exit, load, progress::group};
use anyhow::{Context, Result};
use found::{Epochs, Found};
use model::{Kind, time};
use serde::Serialize;
use serde_json::Value as J;
use std::collections::BTreeMap;
use topology::Topology;

/// What an alert is made of.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Its id.
    pub alert_id: String,
    /// Its newest row in an output, if a sink that can be read again holds one.
    pub alert: Option<J>,
    /// The rule, as the events name it: versions, oldest event first.
    pub rule: Rule,
    /// Events that sinks stored for it. Compare with `count` of the alert.
    pub events_found: u64,
    /// The first of them, in the order of their positions.
    pub events: Vec<Event>,
    /// By `SummaryAttributes` of the rule, or by indicator: the values that most of the events have, with their number.
    pub summary: BTreeMap<String, Vec<(String, u64)>>,
    /// The topologies that judged them, by the hash of their bundle.
    pub topologies: BTreeMap<String, Ran>,
}

/// The detection.
#[derive(Debug, Default, Serialize)]
pub struct Rule {
    /// `RuleID`.
    pub id: String,
    /// Hashes of the rule's text with which the events matched.
    pub versions: Vec<String>,
}

/// One event of an alert.
#[derive(Debug, Serialize)]
pub struct Event {
    /// Id of the source node.
    pub source: String,
    /// File, or topic and partition.
    pub name: String,
    /// Number of the partition in its source.
    pub partition: u64,
    /// Byte offset in a file, offset in a Kafka partition.
    pub offset: u64,
    /// Which of the events of the record at that offset.
    pub ordinal: u32,
    /// `p_row_id`.
    pub row_id: String,
    /// `p_log_type`.
    pub log_type: String,
    /// `p_event_time`.
    pub event_time: String,
    /// When it was read: the clock of its epoch.
    pub parse_time: String,
    /// Version of the rule that matched it.
    pub rule_version: String,
    /// Epochs with that clock: one, or a few of the same millisecond.
    pub epochs: Vec<u64>,
    /// Topologies of these epochs, by hash.
    pub topologies: Vec<String>,
    /// Text of the failure, if the rule failed on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The event's bytes as its source gives them today; bytes that are not UTF-8 are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_raw: Option<String>,
}

/// A topology that ran.
#[derive(Debug, Default, Serialize)]
pub struct Ran {
    /// File of the rule, and the hash of its bytes.
    pub rule_file: Option<(String, String)>,
    /// Version of the rule in it.
    pub rule_version: Option<String>,
    #[serde(skip)]
    summary: Vec<String>,
    /// Lookup tables (and what else the enrichment reads), with the hash of their bytes.
    pub tables: BTreeMap<String, String>,
    /// Why no more is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// Explain an alert.
pub fn explain(args: &ExplainArgs) -> Result<i32> {
    let loaded = load::from_disk(&args.topology);
    let Some(on_disk) = &loaded.topology else {
        loaded.diagnostics.iter().for_each(|d| eprint!("{}", d.render(false)));
        return Ok(exit::CONFIG);
    };
    let dir = load::data_dir(on_disk);
    // What ran knows where it wrote; the file may have been edited since.
    let ran = load::last_run(&dir).unwrap_or_else(|e| {
        eprintln!("millstream: warning: {e:#}; the topology on disk is used");
        None
    });
    let t = ran.as_ref().unwrap_or(on_disk);
    let found = found::find(t, &args.alert)?;
    if found.alert.is_none() && found.matches.is_empty() {
        eprintln!("millstream: no output of {} holds an alert `{}`", t.name, args.alert);
        found.looked.iter().for_each(|l| eprintln!("  looked in {l}"));
        return Ok(exit::FINDINGS);
    }
    let explained = explained(args, t, found)?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&explained)?),
        _ => print!("{}", human(&explained, t)),
    }
    Ok(0)
}

fn explained(args: &ExplainArgs, t: &Topology, found: Found) -> Result<Explained> {
    let dir = load::data_dir(t);
    let text = |j: &J, key: &str| j.get(key).and_then(J::as_str).unwrap_or_default().to_string();
    let mut events: Vec<Event> = found.matches.values().map(|m| event(m, &text)).collect();
    let mut rule = Rule::default();
    for m in found.matches.values() {
        rule.id = text(m, "p_rule_id");
    }
    if let (true, Some(alert)) = (rule.id.is_empty(), &found.alert) {
        (rule.id, rule.versions) = (text(alert, "id"), vec![text(alert, "version")]);
    }
    for e in &events {
        if !rule.versions.contains(&e.rule_version) {
            rule.versions.push(e.rule_version.clone());
        }
    }
    let events_found = events.len() as u64;
    events.truncate(args.events);
    let epochs = Epochs::read(&dir, &events.iter().map(|e| clock(&e.parse_time)).collect())?;
    let shelf = Shelf::new(&dir);
    let mut topologies = BTreeMap::new();
    for e in &mut events {
        for (epoch, bundle) in epochs.of(clock(&e.parse_time)) {
            e.epochs.push(*epoch);
            if !e.topologies.contains(bundle) {
                e.topologies.push(bundle.clone());
                topologies.entry(bundle.clone()).or_insert_with(|| facts(&shelf, bundle, &rule.id));
            }
        }
    }
    if !args.no_raw {
        raw::fill(t, &mut events);
    }
    let newest = rule.versions.last();
    let ran = topologies.values().find(|r: &&Ran| r.rule_version.as_ref() == newest);
    let summary = summary::summary(ran.map_or(&[][..], |r| &r.summary[..]), found.matches.values());
    Ok(Explained { alert_id: args.alert.clone(), alert: found.alert, rule, events_found, events, summary, topologies })
}

fn event(m: &J, text: &dyn Fn(&J, &str) -> String) -> Event {
    let at = |key: &str| m.get("p_source_position").and_then(|p| p.get(key)).and_then(J::as_u64).unwrap_or_default();
    let file = m.get("p_source_file").map(|f| text(f, "path"));
    Event {
        source: text(m, "p_source_id"),
        name: file.unwrap_or_default(),
        partition: at("partition"),
        offset: at("offset"),
        ordinal: at("ordinal") as u32,
        row_id: text(m, "p_row_id"),
        log_type: text(m, "p_log_type"),
        event_time: text(m, "p_event_time"),
        parse_time: text(m, "p_parse_time"),
        rule_version: text(m, "p_rule_version"),
        epochs: Vec::new(),
        topologies: Vec::new(),
        error: m.get("p_rule_error").and_then(J::as_str).map(String::from),
        raw: None,
        no_raw: None,
    }
}

/// Milliseconds of a standard field's time.
fn clock(text: &str) -> i64 {
    time::rfc3339_ns(&format!("{text}Z")).map_or(0, |ns| ns.div_euclid(1_000_000))
}

/// What a kept bundle says about a rule and the tables.
fn facts(shelf: &Shelf, hash: &str, rule: &str) -> Ran {
    let (t, bundle) = match load::from_shelf(shelf, hash) {
        Ok(both) => both,
        Err(e) => return Ran { unknown: Some(format!("{e:#}")), ..Ran::default() },
    };
    let mut ran = Ran::default();
    let digest = |bundle: &Bundle, file: &str| bundle.files.get(file).cloned().flatten().unwrap_or_default();
    for n in t.nodes.iter().filter(|n| n.kind == Kind::Enrich) {
        ran.tables.extend(n.content.keys().map(|file| (file.clone(), digest(&bundle, file))));
    }
    let Ok(files) = shelf.open(hash) else { return ran };
    for n in t.nodes.iter().filter(|n| n.kind == Kind::Detect) {
        let Ok(rules) = detect::detect::load(&n.settings, &files) else { continue };
        if let Some(r) = rules.iter().find(|r| &*r.meta.id == rule) {
            ran.rule_file = Some((r.file.clone(), digest(&bundle, &r.file)));
            ran.rule_version = Some(r.meta.version.clone());
            ran.summary.clone_from(&r.meta.summary);
        }
    }
    ran
}

/// The explanation in words.
fn human(x: &Explained, t: &Topology) -> String {
    let get = |key: &str| x.alert.as_ref().and_then(|a| a.get(key)).and_then(J::as_str).unwrap_or("?").to_string();
    let mut out = format!("alert {}", x.alert_id);
    match &x.alert {
        Some(a) => {
            out += &format!("  {} {}: {}\n", get("type"), get("severity"), get("title"));
            out += &format!("   dedup  {}\n", get("dedup"));
            out += &format!("  opened  {}, last change {}\n", get("createdAt"), get("updatedAt"));
            let count = a.get("count").and_then(J::as_u64).unwrap_or(0);
            out += &format!("  events  {} counted, {} stored by a sink\n", group(count), group(x.events_found));
        }
        None => {
            out += &format!("\n  events  {} stored by a sink; no sink here holds the alert itself\n", x.events_found)
        }
    }
    let versions: Vec<&str> = x.rule.versions.iter().map(|v| load::short(v)).collect();
    out += &format!("    rule  {}  version {}\n", x.rule.id, versions.join(", "));
    for (name, values) in &x.summary {
        let all: Vec<String> = values.iter().map(|(v, n)| format!("{v} ({})", group(*n))).collect();
        out += &format!(" summary  {name}: {}\n", all.join(", "));
    }
    for (hash, ran) in &x.topologies {
        out += &format!("topology  {}\n", load::short(hash));
        if let Some((file, digest)) = &ran.rule_file {
            out += &format!("          rule   {file}  {}\n", load::short(digest));
        }
        for (file, digest) in &ran.tables {
            out += &format!("          table  {file}  {}\n", load::short(digest));
        }
        ran.unknown.iter().for_each(|why| out += &format!("          {why}\n"));
    }
    if x.events.is_empty() {
        let dedup = t.nodes.iter().find(|n| n.kind == Kind::Dedup).map_or("window".to_string(), |n| n.id.to_string());
        out +=
            &format!("no sink stores matches: give one `inputs = [\"{dedup}.matches\"]` to see the events of alerts\n");
    }
    for e in &x.events {
        let epochs: Vec<String> = e.epochs.iter().map(|n| group(*n)).collect();
        let epoch = if epochs.is_empty() { "?".into() } else { epochs.join(" or ") };
        let name = if e.name.is_empty() { format!("partition {}", e.partition) } else { e.name.clone() };
        let ordinal = if e.ordinal > 0 { format!(" event {}", e.ordinal) } else { String::new() };
        out += &format!(
            "\n{}  {}\n  {} {name} at {}{ordinal}, epoch {epoch}, rule {}, row {}\n",
            e.event_time,
            e.log_type,
            e.source,
            e.offset,
            load::short(&e.rule_version),
            e.row_id,
        );
        e.error.iter().for_each(|error| out += &format!("  error: {error}\n"));
        match (&e.raw, &e.no_raw) {
            (Some(raw), _) => out += &format!("  {raw}\n"),
            (None, Some(why)) => out += &format!("  (no bytes: {why})\n"),
            _ => {}
        }
    }
    if x.events_found > x.events.len() as u64 {
        out += &format!("\nand {} more events (--events N)\n", group(x.events_found - x.events.len() as u64));
    }
    out
}

/// A JSON text that has to be an object.
fn object(text: &str) -> Result<J> {
    serde_json::from_str(text).context("a stored record")
}
