//! What a run's outputs hold about an alert: its rows, its matches, and the clocks of epochs.
use super::object;
use crate::load::{self, LEDGER};
use anyhow::{Context, Result, anyhow};
use model::{Flow, Kind, LedgerRow};
use serde_json::Value as J;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use topology::Topology;

/// Most matches of one alert that are looked at; what is found beyond is left out.
pub const MATCHES_MAX: usize = 100_000;

/// What was found.
#[derive(Default)]
pub struct Found {
    /// The newest row of the alert.
    pub alert: Option<J>,
    /// Its matches by source, partition, offset and ordinal: a match that several sinks store is one.
    pub matches: BTreeMap<[u64; 4], J>,
    /// Outputs that were read.
    pub looked: Vec<String>,
}

impl Found {
    fn alert(&mut self, row: J) {
        let count = |j: &J| j.get("count").and_then(J::as_u64).unwrap_or(0);
        if self.alert.as_ref().is_none_or(|old| count(old) < count(&row)) {
            self.alert = Some(row);
        }
    }
    fn matched(&mut self, row: J) {
        let Some(at) = row.get("p_source_position") else { return };
        let n = |key: &str| at.get(key).and_then(J::as_u64).unwrap_or_default();
        let key = [n("source"), n("partition"), n("offset"), n("ordinal")];
        if self.matches.len() < MATCHES_MAX || self.matches.contains_key(&key) {
            self.matches.insert(key, row);
        }
    }
    /// A record of some sink.
    fn add(&mut self, id: &str, text: &str) -> Result<()> {
        let row = object(text)?;
        let is = |key: &str| row.get(key).and_then(J::as_str) == Some(id);
        if is("alertId") {
            self.alert(row);
        } else if is("p_alert_id") {
            self.matched(row);
        }
        Ok(())
    }
}

/// Look through every output of a topology that holds matches or alerts and can be read again.
pub fn find(t: &Topology, id: &str) -> Result<Found> {
    let mut found = Found::default();
    for n in t.nodes.iter().filter(|n| n.kind == Kind::Sink) {
        let takes = |flow: Flow| n.inputs.iter().any(|(from, port)| t.flow(*from, *port) == Some(flow));
        let Some(path) = n.settings.get("path").and_then(J::as_str) else { continue };
        if !takes(Flow::Alerts) && !takes(Flow::Matches) {
            continue;
        }
        match n.spec.name {
            "jsonl" => lines(Path::new(path), id, &mut found)?,
            "parquet" => {
                for (flow, column) in [(Flow::Alerts, "alertId"), (Flow::Matches, "p_alert_id")] {
                    if takes(flow) {
                        lake(path, column, id, &mut found)?;
                    }
                }
            }
            _ => continue,
        }
        found.looked.push(format!("{} ({path})", n.id));
    }
    Ok(found)
}

fn lines(path: &Path, id: &str, found: &mut Found) -> Result<()> {
    let Ok(file) = std::fs::File::open(path) else { return Ok(()) };
    for (i, line) in BufReader::new(file).lines().enumerate() {
        let line = line?;
        if line.contains(id) {
            found.add(id, &line).with_context(|| format!("{}:{}", path.display(), i + 1))?;
        }
    }
    Ok(())
}

fn lake(path: &str, column: &str, id: &str, found: &mut Found) -> Result<()> {
    let mut texts = Vec::new();
    let mut each = |text: &str| {
        if texts.len() < MATCHES_MAX {
            texts.push(text.to_string());
        }
    };
    let read = match path.contains("://") {
        true => load::objects(path).and_then(|o| lake::find_in(&*o, column, id, &mut each)),
        false => lake::find(Path::new(path), column, id, &mut each),
    };
    read.map_err(|e| anyhow!("{path}: {e}"))?;
    texts.iter().try_for_each(|text| found.add(id, text))
}

/// Epochs by their clock, with the topology they ran under.
pub struct Epochs(BTreeMap<i64, Vec<(u64, String)>>);

impl Epochs {
    /// Those of the ledger in this data folder that have one of these clocks.
    pub fn read(dir: &Path, clocks: &BTreeSet<i64>) -> Result<Epochs> {
        let mut all: BTreeMap<i64, Vec<(u64, String)>> = BTreeMap::new();
        let path = dir.join(format!("{LEDGER}.jsonl"));
        let Ok(file) = std::fs::File::open(&path) else { return Ok(Epochs(all)) };
        for (i, line) in BufReader::new(file).lines().enumerate() {
            let line = line?;
            if !line.contains(LedgerRow::CLOCK) {
                continue;
            }
            let row: LedgerRow =
                serde_json::from_str(&line).with_context(|| format!("{}:{}", path.display(), i + 1))?;
            let clock = row.n as i64;
            if row.counter == LedgerRow::CLOCK && clocks.contains(&clock) {
                all.entry(clock).or_default().push((row.epoch, row.rule.to_string()));
            }
        }
        Ok(Epochs(all))
    }
    /// Epochs with this clock.
    pub fn of(&self, clock: i64) -> &[(u64, String)] {
        self.0.get(&clock).map_or(&[], Vec::as_slice)
    }
}
