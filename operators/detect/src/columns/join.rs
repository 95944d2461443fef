//! The index of one lookup join: row id → class → rules to wake. A table version is classified once, row by row.
use super::classes::{Classes, MAX_CLASSES, put};
use super::index::Candidate;
use super::matcher::Atom;
use super::plan::{LitId, Literal, Plan, Source};
use super::truth::on_value;
use super::view::{View, field};
use crate::describe::Got;
use crate::predicate::Predicate;
use hashbrown::HashMap;
use model::lookup::{EnrichRows, NO_ROW};
use model::{LookupTable, Path};
use std::sync::Arc;

/// Table versions whose classes are kept: a refresh overlaps with the old version for a few batches.
pub const MAX_TABLES: usize = 4;
/// Distinct values of a column that are remembered while a table is classified.
const MAX_DISTINCT: usize = 1 << 16;

/// Conditions on the rows of one `(table, selector)` and the rules that wait for them.
pub struct JoinIndex {
    join: u32,
    /// True if some rule waits for one of the conditions.
    awake: bool,
    /// Conditions by the field they are on.
    fields: Vec<Field>,
    classes: Classes,
    /// Class of an event without a row.
    missing: u32,
    /// Class that wakes every rule: several rows joined.
    any: u32,
    tables: Vec<(Arc<LookupTable>, Vec<u32>)>,
}

struct Field {
    column: Option<String>,
    path: Path,
    tests: Vec<(Atom, Predicate)>,
}

impl JoinIndex {
    /// Index a join for literals whose home it is.
    pub fn new(plan: &Plan, join: u32, atoms: &[LitId], waiting: Vec<Vec<u32>>) -> JoinIndex {
        let mut fields: Vec<(u32, Field)> = Vec::new();
        for (i, lit) in atoms.iter().enumerate() {
            let Literal::Test(key, test) = &plan.literals[*lit as usize] else { continue };
            let Source::Join { column, path, .. } = plan.source(*key) else { continue };
            let at = fields.iter().position(|(k, _)| k == key).unwrap_or_else(|| {
                fields.push((*key, Field { column: column.clone(), path: path.clone(), tests: Vec::new() }));
                fields.len() - 1
            });
            fields[at].1.tests.push((i as Atom, test.clone()));
        }
        let awake = waiting.iter().any(|rules| !rules.is_empty());
        let mut classes = Classes::new(waiting);
        let fields: Vec<Field> = fields.into_iter().map(|(_, f)| f).collect();
        let mut set = classes.set();
        for (atom, test) in fields.iter().flat_map(|f| &f.tests) {
            if test.on_null(false) {
                put(&mut set, *atom);
            }
        }
        let missing = classes.class(&set);
        (0..atoms.len()).for_each(|i| put(&mut set, i as Atom));
        let any = classes.add(&set, &set);
        JoinIndex { join, awake, fields, classes, missing, any, tables: Vec::new() }
    }

    /// Wake the rules of every row that wait for this join.
    pub fn scan(&mut self, view: &View, out: &mut Vec<Candidate>) {
        if !self.awake {
            return;
        }
        let n = view.batch.len() as u32;
        let mut wake = |classes: &Classes, row: u32, class: u32| {
            out.extend(classes.rules(class).iter().map(|rule| (row, *rule)));
        };
        match view.joins[self.join as usize] {
            None => (0..n).for_each(|row| wake(&self.classes, row, self.missing)),
            Some(c) => match &c.rows {
                EnrichRows::One(ids) => {
                    let table = self.table(&c.table);
                    let rows = &self.tables[table].1;
                    for (row, id) in (0..n).zip(ids) {
                        let class =
                            if *id == NO_ROW { self.missing } else { *rows.get(*id as usize).unwrap_or(&self.any) };
                        wake(&self.classes, row, class);
                    }
                }
                EnrichRows::Many(hits) => {
                    for (row, hits) in (0..n).zip(hits) {
                        wake(&self.classes, row, if hits.is_empty() { self.missing } else { self.any });
                    }
                }
            },
        }
    }

    /// Truth of a condition for a row, if the join has at most one row per event.
    pub fn holds(&mut self, atom: Atom, view: &View, row: usize) -> Option<bool> {
        let c = view.joins[self.join as usize]?;
        let EnrichRows::One(ids) = &c.rows else { return None };
        let class = match *ids.get(row)? {
            NO_ROW => self.missing,
            id => {
                let table = self.table(&c.table);
                *self.tables[table].1.get(id as usize)?
            }
        };
        Some(self.classes.holds(class, atom))
    }

    /// Table versions that are kept.
    #[cfg(test)]
    pub fn versions(&self) -> usize {
        self.tables.len()
    }

    /// Position of a table version, classified.
    fn table(&mut self, table: &Arc<LookupTable>) -> usize {
        if let Some(i) = self.tables.iter().position(|(t, _)| Arc::ptr_eq(t, table)) {
            return i;
        }
        let rows = self.classify(table);
        if self.tables.len() == MAX_TABLES {
            self.tables.remove(0);
        }
        self.tables.push((table.clone(), rows));
        self.tables.len() - 1
    }

    fn classify(&mut self, table: &LookupTable) -> Vec<u32> {
        let mut known: Vec<Known> = self.fields.iter().map(|f| f.known(table)).collect();
        let mut out = Vec::with_capacity(table.rows as usize);
        // Rows come in runs that are alike in what is asked of them: most of them match nothing at all.
        let (mut set, mut before, mut class) = (self.classes.set(), self.classes.set(), None);
        for id in 0..table.rows {
            set.fill(0);
            for (f, known) in self.fields.iter().zip(&mut known) {
                f.put(table, id, known, &mut set);
            }
            let one = match class {
                Some(class) if set == before => class,
                // A table made to have very many classes costs candidates, not memory: its rows wake every rule.
                _ if self.classes.len() > MAX_CLASSES => self.any,
                _ => self.classes.class(&set),
            };
            out.push(one);
            class = Some(one);
            before.copy_from_slice(&set);
        }
        out
    }
}

/// What was found of a field while a table is classified.
struct Known {
    /// Its column, if it has one of its own.
    column: Option<usize>,
    /// Conditions that hold, by tag and place of the text: a table has an equal text once.
    seen: HashMap<(u8, u64), Box<[Atom]>>,
}

impl Field {
    fn known(&self, table: &LookupTable) -> Known {
        Known { column: self.column.as_deref().and_then(|name| table.column(name)), seen: HashMap::new() }
    }

    /// Put the conditions that hold for a row into a set.
    fn put(&self, table: &LookupTable, id: u32, known: &mut Known, set: &mut [u64]) {
        let value = known
            .column
            .map(|c| &table.columns[c])
            .and_then(|c| Some((*c.tag.get(id as usize)?, *c.pos.get(id as usize)?)));
        if let Some(hits) = value.and_then(|value| known.seen.get(&value)) {
            return hits.iter().for_each(|atom| put(set, *atom));
        }
        let hits = self.ask(&field(table, id, self.column.as_deref(), &self.path));
        hits.iter().for_each(|atom| put(set, *atom));
        if let Some(value) = value.filter(|_| known.seen.len() < MAX_DISTINCT) {
            known.seen.insert(value, hits.into());
        }
    }

    fn ask(&self, value: &Got) -> Vec<Atom> {
        let holds = |test: &Predicate| match value {
            Got::Span(v) => on_value(test, *v),
            Got::Json(v) => test.on_json(v.as_deref()),
        };
        self.tests.iter().filter(|(_, t)| holds(t)).map(|(a, _)| *a).collect()
    }
}
