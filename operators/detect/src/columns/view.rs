//! Reads values of a batch for a plan: from columns where there is one, from JSON made on demand where there is none.
use super::plan::{KeyId, Plan, Source};
use crate::describe::{Got, Values};
use crate::key::{self, KeySpec};
use crate::rule::Rule;
use crate::whole::whole_event;
use model::lookup::{EnrichRows, NO_ROW};
use model::{EnrichColumn, EventBatch, LookupTable, Path, Severity, Value};
use serde_json::Value as J;
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// A batch as a plan sees it.
pub struct View<'a> {
    /// The batch.
    pub batch: &'a EventBatch,
    /// The plan.
    pub plan: &'a Plan,
    /// The batch's column of each join, if it has one.
    pub joins: Vec<Option<&'a EnrichColumn>>,
    /// The last whole event: callers go row by row.
    whole: RefCell<Option<(usize, Rc<J>)>>,
}

impl<'a> View<'a> {
    /// Look at a batch.
    pub fn new(batch: &'a EventBatch, plan: &'a Plan) -> View<'a> {
        let column = |(table, selector): &(_, _)| {
            batch.enrich.iter().rev().find(|c| c.table.name == *table && c.selector == *selector)
        };
        View { batch, plan, joins: plan.joins.iter().map(column).collect(), whole: RefCell::new(None) }
    }

    /// The whole event of a row.
    pub fn whole(&self, row: usize) -> Rc<J> {
        let mut memo = self.whole.borrow_mut();
        match &*memo {
            Some((at, event)) if *at == row => event.clone(),
            _ => {
                let event = Rc::new(whole_event(self.batch, row));
                *memo = Some((row, event.clone()));
                event
            }
        }
    }

    /// True if a lookup found something for the row.
    pub fn is_joined(&self, row: usize) -> bool {
        self.batch.enrich.iter().any(|column| match &column.rows {
            EnrichRows::One(ids) => ids.get(row).is_some_and(|id| *id != NO_ROW),
            EnrichRows::Many(hits) => hits.get(row).is_some_and(|hits| !hits.is_empty()),
        })
    }

    /// Value of a key.
    pub fn get(&self, key: KeyId, row: usize) -> Got<'a> {
        match self.plan.source(key) {
            Source::Column(slot) => Got::Span(self.batch.value(*slot, row)),
            Source::Within { slot, rest } => {
                let value = self.batch.value(*slot, row);
                Got::Json(match value {
                    Value::Arr(_) | Value::Obj(_) => key::at_path(&value.to_json(), rest).map(owned),
                    _ => None,
                })
            }
            Source::Any(field) => {
                let mut values = Vec::new();
                self.batch.layout.full.any(self.batch, row, field, &mut values);
                let list = J::Array(values.into_iter().map(J::String).collect());
                Got::Json((list != J::Array(Vec::new())).then_some(Cow::Owned(list)))
            }
            Source::LogType => Got::Span(Value::Str(&self.plan.layout.log_type)),
            Source::Join { join, column, path } => self.joined(*join, column.as_deref(), path, row),
            Source::First(keys) => {
                let hit = keys.iter().map(|k| self.get(*k, row)).find(|v| !v.is_null());
                hit.unwrap_or(Got::Json(None))
            }
            Source::Whole(spec) => Got::Json(spec.get(&self.whole(row)).map(owned)),
        }
    }

    fn joined(&self, join: u32, column: Option<&str>, path: &Path, row: usize) -> Got<'a> {
        let Some(c) = self.joins[join as usize] else { return Got::Json(None) };
        match &c.rows {
            EnrichRows::One(ids) => match ids.get(row) {
                Some(&id) if id != NO_ROW => field(&c.table, id, column, path),
                _ => Got::Json(None),
            },
            EnrichRows::Many(hits) => {
                let hits = hits.get(row).map_or(&[][..], |h| h.as_slice());
                Got::Json(key::list(hits.iter().map(|(_, id)| field(&c.table, *id, column, path).to_json())))
            }
        }
    }
}

/// A field of a lookup row. Null is missing, as it is in `p_enrichment`.
pub fn field<'t>(table: &'t LookupTable, id: u32, column: Option<&str>, path: &Path) -> Got<'t> {
    match column.and_then(|name| table.column(name)) {
        Some(c) => match table.value(c, id) {
            Value::Null => Got::Json(None),
            v => Got::Span(v),
        },
        None => Got::Json(key::at_path(&J::Object(table.row_json(id)), path).map(owned)),
    }
}

fn owned<'x>(v: Cow<'_, J>) -> Cow<'x, J> {
    Cow::Owned(v.into_owned())
}

/// A row that matched, to be described.
pub struct Row<'v, 'a> {
    /// The batch.
    pub view: &'v View<'a>,
    /// The row.
    pub row: usize,
    /// Severity that the rule's conditions chose.
    pub severity: Severity,
}

impl Values for Row<'_, '_> {
    fn get<'b>(&'b self, key: &KeySpec) -> Got<'b> {
        match self.view.plan.key_ids.get(key) {
            Some(id) => self.view.get(*id, self.row),
            None => Got::Json(key.get(&self.view.whole(self.row)).map(owned)),
        }
    }
    fn severity(&self, _: &Rule) -> Severity {
        self.severity
    }
}
