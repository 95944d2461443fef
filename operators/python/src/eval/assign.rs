//! Assignment: targets, unpacking, `+=` and its like, `del`.

use std::rc::Rc;

use super::Frame;
use super::expr::gap;
use crate::class::Member;
use crate::exc::{Exc, ExcClass, Kind, R, Stop, attribute_error, raise, type_error, unknown};
use crate::ir::{Expr, Target};
use crate::iter::Iter;
use crate::module::thaw;
use crate::native::Vm;
use crate::ops;
use crate::value::Value;

impl Vm {
    /// Put a value where a target says.
    ///
    /// # Errors
    /// What unpacking or an item assignment raises; unknown for a change of a constant.
    pub fn assign(&mut self, f: &mut Frame, target: &Target, value: Value) -> R<()> {
        match target {
            Target::Local(slot) => {
                f.store(*slot, value);
                Ok(())
            }
            Target::Global(slot) => {
                f.module.globals.borrow_mut()[*slot as usize] = value;
                f.module.dirty.set(true);
                Ok(())
            }
            Target::Attr(object, name) => {
                let object = self.expr(f, object)?;
                match &object {
                    Value::Object(o) if o.class.find(name).is_some_and(|m| matches!(m, Member::Property(_))) => raise(
                        Kind::AttributeError,
                        format!("property '{name}' of '{}' object has no setter", o.class.name),
                    ),
                    Value::Object(o) => {
                        thaw(&o.frozen)?;
                        self.memory(64)?;
                        o.set(name, value);
                        Ok(())
                    }
                    Value::EvDict(_) | Value::EvList(_) => unknown("an attribute set on the event"),
                    Value::Func(_) | Value::Class(_) | Value::Module(_) | Value::Exc(_) => {
                        unknown(format!("an attribute set on a {}", object.type_name()))
                    }
                    other => attribute_error(other, name),
                }
            }
            Target::Index(object, index) => {
                let object = self.expr(f, object)?;
                let index = self.expr(f, index)?;
                self.set_index(&object, &index, value)
            }
            Target::Unpack(targets, star) => {
                let values = self.unpack(&value, targets.len(), *star)?;
                for (target, value) in targets.iter().zip(values) {
                    self.assign(f, target, value)?;
                }
                Ok(())
            }
            Target::Unknown(what) => gap(what),
        }
    }

    pub(crate) fn unpack(&mut self, value: &Value, count: usize, star: Option<usize>) -> R<Vec<Value>> {
        let mut iter = match Iter::over(value) {
            Err(Stop::Raise(_)) => {
                return type_error(format!("cannot unpack non-iterable {} object", value.type_name()));
            }
            other => other?,
        };
        let Some(star) = star else {
            let mut values = Vec::with_capacity(count);
            while values.len() < count {
                match iter.next(self)? {
                    Some(value) => values.push(value),
                    None => {
                        return raise(
                            Kind::ValueError,
                            format!("not enough values to unpack (expected {count}, got {})", values.len()),
                        );
                    }
                }
            }
            if iter.next(self)?.is_some() {
                return raise(Kind::ValueError, format!("too many values to unpack (expected {count})"));
            }
            return Ok(values);
        };
        let mut values = iter.collect(self)?;
        let fixed = count - 1;
        if values.len() < fixed {
            return raise(
                Kind::ValueError,
                format!("not enough values to unpack (expected at least {fixed}, got {})", values.len()),
            );
        }
        let after = values.split_off(values.len() - (fixed - star));
        let rest = values.split_off(star);
        values.push(Value::list(rest));
        values.extend(after);
        Ok(values)
    }

    pub(crate) fn augment(&mut self, f: &mut Frame, target: &Target, op: ops::Bin, value: &Expr) -> R<()> {
        // The place is evaluated once, then read, combined and written.
        let (object, index) = match target {
            Target::Attr(object, _) => (Some(self.expr(f, object)?), None),
            Target::Index(object, index) => (Some(self.expr(f, object)?), Some(self.expr(f, index)?)),
            _ => (None, None),
        };
        let old = match (target, &object, &index) {
            (Target::Local(slot), ..) => self.expr(f, &Expr::Local(*slot))?,
            (Target::Global(slot), ..) => self.expr(f, &Expr::Global(*slot))?,
            (Target::Attr(_, name), Some(object), _) => self.attribute(object, name)?,
            (Target::Index(..), Some(object), Some(index)) => self.index(object, index)?,
            (Target::Unknown(what), ..) => return gap(what),
            _ => return unknown("an augmented assignment to several targets"),
        };
        let value = self.expr(f, value)?;
        let new = match (op, &old) {
            // In place: every name for the list sees it.
            (ops::Bin::Add, Value::List(list)) => {
                thaw(&list.frozen)?;
                let more = Iter::over(&value)?.collect(self)?;
                list.items.borrow_mut().extend(more);
                old
            }
            (ops::Bin::Mul, Value::List(_)) => return unknown("`*=` on a list"),
            (ops::Bin::Or, Value::Dict(dict)) => {
                thaw(&dict.frozen)?;
                for (key, value) in self.pairs(&value)? {
                    dict.table.borrow_mut().set(key, value)?;
                }
                old
            }
            (ops::Bin::Or | ops::Bin::And | ops::Bin::Sub | ops::Bin::Xor, Value::Set(set)) if !set.immutable => {
                thaw(&set.frozen)?;
                let Value::Set(_) = &value else {
                    return type_error(format!(
                        "unsupported operand type(s) for {}=: 'set' and '{}'",
                        op.sign(),
                        value.type_name()
                    ));
                };
                let Value::Set(result) = ops::set_operator(op, &old, &value)? else { return unknown("a set") };
                let table = std::mem::take(&mut *result.table.borrow_mut());
                *set.table.borrow_mut() = table;
                old
            }
            _ => match self.binary(op, &old, &value) {
                Err(Stop::Raise(e)) => return Err(Stop::Raise(in_place(e, op))),
                other => other?,
            },
        };
        match (target, object, index) {
            (Target::Attr(_, name), Some(Value::Object(o)), _) => {
                thaw(&o.frozen)?;
                o.set(name, new);
                Ok(())
            }
            (Target::Attr(..), ..) => unknown("an attribute set on something else than an object"),
            (Target::Index(..), Some(object), Some(index)) => self.set_index(&object, &index, new),
            (target, ..) => self.assign(f, target, new),
        }
    }

    pub(crate) fn delete(&mut self, f: &mut Frame, target: &Target) -> R<()> {
        match target {
            Target::Local(slot) => {
                self.expr(f, &Expr::Local(*slot))?;
                f.store(*slot, Value::Unbound);
                Ok(())
            }
            Target::Global(slot) => {
                self.expr(f, &Expr::Global(*slot))?;
                f.module.globals.borrow_mut()[*slot as usize] = Value::Unbound;
                f.module.dirty.set(true);
                Ok(())
            }
            Target::Index(object, index) => {
                let object = self.expr(f, object)?;
                let index = self.expr(f, index)?;
                self.delete_index(&object, &index)
            }
            Target::Unpack(targets, _) => targets.iter().try_for_each(|t| self.delete(f, t)),
            Target::Attr(..) => unknown("`del` of an attribute"),
            Target::Unknown(what) => gap(what),
        }
    }
}

/// The message of an operator, with the sign of its assignment form.
fn in_place(e: Rc<Exc>, op: ops::Bin) -> Rc<Exc> {
    if let (ExcClass::Builtin(Kind::TypeError), [Value::Str(message)]) = (&e.class, &e.args[..])
        && let Some(rest) = message.strip_prefix(&format!("unsupported operand type(s) for {}:", op.sign()))
    {
        let text = format!("unsupported operand type(s) for {}=:{rest}", op.sign().trim_end_matches(" or pow()"));
        return Exc::new(e.class.clone(), vec![Value::str(text)]);
    }
    e
}
