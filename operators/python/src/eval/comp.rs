//! Comprehensions, and generators that are used up where they stand.

use super::Frame;
use crate::exc::{ExcClass, Kind, R, Stop, raise};
use crate::ir::{Collect, Comp};
use crate::iter::Iter;
use crate::native::Vm;
use crate::table::Table;
use crate::value::Value;

impl Vm {
    pub(super) fn comprehension(&mut self, f: &mut Frame, collect: Collect, comp: &Comp) -> R<Value> {
        // The first iterable is evaluated outside, before the variables are new.
        let over = self.expr(f, &comp.clauses[0].iter)?;
        let first = Iter::over(&over)?;
        for slot in &comp.slots {
            f.slots[*slot as usize] = Value::Unbound;
        }
        f.renew(&comp.cells);
        let mut sink = Sink::new(collect);
        match self.clause(f, comp, 0, first, &mut sink) {
            // PEP 479, as in a generator of its own.
            Err(Stop::Raise(e)) if comp.generator && matches!(&e.class, ExcClass::Builtin(Kind::StopIteration)) => {
                return raise(Kind::RuntimeError, "generator raised StopIteration");
            }
            other => other?,
        };
        for slot in &comp.slots {
            f.slots[*slot as usize] = Value::Unbound;
        }
        Ok(match (collect, sink) {
            (_, Sink::List(items)) => Value::list(items),
            (Collect::Dict, Sink::Table(table)) => Value::dict(table),
            (_, Sink::Table(table)) => Value::set(table),
            (_, Sink::Test(_, found)) => Value::Bool(found),
        })
    }

    /// True if the comprehension is decided.
    fn clause(&mut self, f: &mut Frame, comp: &Comp, level: usize, mut iter: Iter, sink: &mut Sink) -> R<bool> {
        let clause = &comp.clauses[level];
        'turn: while let Some(value) = iter.next(self)? {
            self.assign(f, &clause.target, value)?;
            for condition in &clause.ifs {
                let keep = self.expr(f, condition)?;
                if !self.truthy(&keep)? {
                    continue 'turn;
                }
            }
            let decided = match comp.clauses.get(level + 1) {
                Some(next) => {
                    let over = self.expr(f, &next.iter)?;
                    self.clause(f, comp, level + 1, Iter::over(&over)?, sink)?
                }
                None => self.element(f, comp, sink)?,
            };
            if decided {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn element(&mut self, f: &mut Frame, comp: &Comp, sink: &mut Sink) -> R<bool> {
        let element = self.expr(f, &comp.element)?;
        match sink {
            Sink::List(items) => {
                self.memory(size_of::<Value>())?;
                items.push(element);
            }
            Sink::Table(table) => {
                self.memory(64)?;
                let value = match &comp.value {
                    Some(value) => self.expr(f, value)?,
                    None => Value::None,
                };
                table.set(element, value)?;
            }
            Sink::Test(stop_at, found) => {
                if self.truthy(&element)? == *stop_at {
                    *found = *stop_at;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Where a comprehension puts its elements.
enum Sink {
    List(Vec<Value>),
    Table(Table),
    /// The truth at which it is decided, and the result.
    Test(bool, bool),
}

impl Sink {
    fn new(collect: Collect) -> Sink {
        match collect {
            Collect::List => Sink::List(Vec::new()),
            Collect::Set | Collect::Dict => Sink::Table(Table::default()),
            Collect::Any => Sink::Test(true, false),
            Collect::All => Sink::Test(false, true),
        }
    }
}
