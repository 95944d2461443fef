//! The join: for each (table, selector) of a batch's log type, which row every event finds.
//!
//! A selector is a path of the event or an indicator field (`p_any_*`). A path gives one row id per event. An array (a
//! path with `[*]`, a path whose value is an array, an indicator field) gives a list of `(value, row)` per event. A
//! path that holds scalars in some events of a batch and arrays in others gives one column of each kind, so that the
//! shape of an event's enrichment depends on that event alone.
use crate::exact::{BLOCK, ExactIndex};
use crate::load::json_cell_text;
use crate::spec::TableSpec;
use crate::table::{Index, Table};
use model::event::{Value, tag};
use model::lookup::{EnrichColumn, EnrichRows, NO_ROW};
use model::operator::{Ctx, Map, Packet};
use model::path::{Path, Seg};
use model::{EventBatch, Needs, Problem, Result, json};
use serde_json::Value as J;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values of one array selector that are looked up per event; more are counted as `values_over_limit`.
pub const MAX_VALUES: usize = 1_000;

/// Where a selector's values come from.
enum Read {
    /// An indicator field.
    Any,
    /// A column, and what to take of it if it is an array: its elements, or what lies at a path inside them.
    Column { column: Path, each: Option<Path> },
}

/// One (table, selector).
struct Probe {
    table: Arc<Table>,
    selector: Arc<str>,
    read: Read,
}

/// Every probe by log type; `*` is every log type.
#[derive(Default)]
pub struct Plan {
    probes: BTreeMap<Arc<str>, Vec<Probe>>,
}

impl Plan {
    /// Adds a table's selectors. Selectors that cannot be read are told together.
    pub fn add(&mut self, spec: &TableSpec, table: Arc<Table>) -> Result<(), Vec<Problem>> {
        let mut bad = Vec::new();
        for (log_type, selectors) in &spec.selectors {
            for selector in selectors {
                let read = match selector.starts_with("p_any_") {
                    true => Read::Any,
                    false => match Path::parse(selector) {
                        Ok(path) => column(path),
                        Err(e) => {
                            bad.push(spec.problem("selectors", format!("table `{}`, `{log_type}`: {e}", spec.name)));
                            continue;
                        }
                    },
                };
                let probe = Probe { table: table.clone(), selector: selector.clone(), read };
                self.probes.entry(log_type.clone()).or_default().push(probe);
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }

    /// Paths the probes read.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for (log_type, probes) in &self.probes {
            for probe in probes {
                if let Read::Column { column, .. } = &probe.read {
                    needs.path(log_type, column.clone());
                }
            }
        }
        needs
    }

    fn of(&self, log_type: &str) -> impl Iterator<Item = &Probe> {
        let all = if log_type == "*" { None } else { self.probes.get("*") };
        self.probes.get(log_type).into_iter().chain(all).flatten()
    }
}

/// The parser gives the array in front of the first `[*]`; the rest of the path is walked here.
fn column(path: Path) -> Read {
    match path.0.iter().position(|s| *s == Seg::Each) {
        None => Read::Column { column: path, each: None },
        Some(i) => Read::Column { column: Path(path.0[..i].to_vec()), each: Some(Path(path.0[i..].to_vec())) },
    }
}

/// The running operator.
pub struct Join {
    plan: Arc<Plan>,
    hits: Vec<(Arc<str>, Found)>,
}

#[derive(Clone, Copy, Default)]
struct Found {
    hits: u64,
    misses: u64,
    over: u64,
}

impl Join {
    /// An instance for one worker.
    pub fn new(plan: Arc<Plan>) -> Join {
        Join { plan, hits: Vec::new() }
    }
}

impl Map for Join {
    fn map(&mut self, input: Packet, cx: &mut Ctx) -> Result<()> {
        let Packet::Events(mut batch) = input else { return Err("enrich takes events".into()) };
        let mut columns = Vec::new();
        self.hits.clear();
        for probe in self.plan.of(&batch.layout.log_type) {
            let mut found = Found::default();
            probe.columns(&batch, &mut columns, &mut found);
            self.hits.push((probe.table.data.name.clone(), found));
        }
        if !columns.is_empty() {
            Arc::make_mut(&mut batch).enrich.append(&mut columns);
        }
        for (table, found) in self.hits.drain(..) {
            cx.count_rule("hits", table.clone(), found.hits);
            cx.count_rule("misses", table.clone(), found.misses);
            cx.count_rule("values_over_limit", table, found.over);
        }
        cx.emit(0, Packet::Events(batch));
        Ok(())
    }
}

impl Probe {
    fn columns(&self, batch: &EventBatch, out: &mut Vec<EnrichColumn>, found: &mut Found) {
        let mut push = |rows| {
            out.push(EnrichColumn { table: self.table.data.clone(), selector: self.selector.clone(), rows });
        };
        match &self.read {
            Read::Any => push(EnrichRows::Many(self.many(batch, found, |row, values| {
                batch.layout.full.any(batch, row, &self.selector, values);
            }))),
            Read::Column { column, each } => {
                let Some(slot) = batch.layout.slot(column) else { return };
                if each.is_none() {
                    push(EnrichRows::One(self.one(batch, slot, found)));
                }
                if each.is_some() || batch.tags(slot).contains(&tag::ARR) {
                    push(EnrichRows::Many(self.many(batch, found, |row, values| {
                        if let Value::Arr(text) = batch.value(slot, row) {
                            elements(text, each.as_ref(), values);
                        }
                    })));
                }
            }
        }
    }

    /// Scalars of a column.
    fn one(&self, batch: &EventBatch, slot: u32, found: &mut Found) -> Vec<u32> {
        let mut rows = vec![NO_ROW; batch.len()];
        match &self.table.index {
            Index::Exact(index) => self.one_exact(index, batch, slot, &mut rows, found),
            Index::Cidr(_) => {
                for (row, hit) in rows.iter_mut().enumerate() {
                    if let Some(text) = scalar(batch.value(slot, row)) {
                        *hit = self.find(text, batch.now_ms, found);
                    }
                }
            }
        }
        rows
    }

    /// Exact keys, in blocks: ask for the memory of all, then look.
    fn one_exact(&self, index: &ExactIndex, batch: &EventBatch, slot: u32, rows: &mut [u32], found: &mut Found) {
        let (mut texts, mut hashes) = ([""; BLOCK], [0u64; BLOCK]);
        for (n, block) in rows.chunks_mut(BLOCK).enumerate() {
            for i in 0..block.len() {
                texts[i] = scalar(batch.value(slot, n * BLOCK + i)).unwrap_or_default();
                hashes[i] = index.hash(texts[i]);
                index.prefetch_slot(hashes[i]);
            }
            for hash in &hashes[..block.len()] {
                index.prefetch_record(*hash);
            }
            for (i, hit) in block.iter_mut().enumerate().filter(|(i, _)| !texts[*i].is_empty()) {
                match index.find(hashes[i], texts[i]).filter(|row| self.table.valid(*row, batch.now_ms)) {
                    Some(row) => (*hit, found.hits) = (row, found.hits + 1),
                    None => found.misses += 1,
                }
            }
        }
    }

    fn find(&self, text: &str, now_ms: i64, found: &mut Found) -> u32 {
        match self.table.find(text, now_ms) {
            Some(row) => {
                found.hits += 1;
                row
            }
            None => {
                found.misses += 1;
                NO_ROW
            }
        }
    }

    /// Lists of values.
    fn many(
        &self,
        batch: &EventBatch,
        found: &mut Found,
        mut read: impl FnMut(usize, &mut Vec<String>),
    ) -> Vec<Vec<(String, u32)>> {
        let mut values = Vec::new();
        let mut one = |row| {
            values.clear();
            read(row, &mut values);
            found.over += values.len().saturating_sub(MAX_VALUES) as u64;
            values.truncate(MAX_VALUES);
            let mut hits = Vec::new();
            for value in values.drain(..) {
                let row = self.find(&value, batch.now_ms, found);
                if row != NO_ROW {
                    hits.push((value, row));
                }
            }
            hits
        };
        (0..batch.len()).map(&mut one).collect()
    }
}

/// Text of a value that can be a key.
#[inline]
fn scalar(v: Value<'_>) -> Option<&str> {
    match v {
        Value::Str(s) | Value::Num(s) if !s.is_empty() => Some(s),
        Value::Bool(_) => Some(v.text()),
        _ => None,
    }
}

/// Scalars among the elements of a JSON array, or among what lies at a path inside it.
fn elements(text: &str, each: Option<&Path>, out: &mut Vec<String>) {
    let Ok(array) = serde_json::from_str::<J>(text) else { return };
    let list = match each {
        Some(path) => json::get_all(&array, path),
        None => array.as_array().into_iter().flatten().collect(),
    };
    let scalars = list.into_iter().filter(|v| !v.is_null() && !v.is_array() && !v.is_object());
    out.extend(scalars.map(json_cell_text).filter(|s| !s.is_empty()));
}

#[cfg(test)]
mod tests;
