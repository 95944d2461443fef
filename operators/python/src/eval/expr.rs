//! Expressions.

use std::rc::Rc;

use super::Frame;
use crate::exc::{Kind, R, Stop, raise, type_error, unknown};
use crate::ir::{Expr, Gap, Item, Piece};
use crate::iter::{Gen, Iter};
use crate::native::Vm;
use crate::ops;
use crate::table::Table;
use crate::value::Value;

pub(crate) fn gap<T>(gap: &Gap) -> R<T> {
    unknown(format!("{} ({}:{})", gap.what, gap.file, gap.line))
}

impl Vm {
    /// Truth of a value, also of objects with a `__len__` or `__bool__` of their own.
    ///
    /// # Errors
    /// What such a method raises.
    pub fn truthy(&mut self, value: &Value) -> R<bool> {
        ops::truthy(value)
    }

    /// Evaluate an expression.
    ///
    /// # Errors
    /// A Python exception, something unknown, or a budget that is used up.
    pub fn expr(&mut self, f: &mut Frame, expr: &Expr) -> R<Value> {
        match expr {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Local(slot) => match f.load(*slot) {
                Value::Unbound => {
                    let name = &f.code.slots[*slot as usize];
                    if f.code.frees.iter().any(|(inner, _)| inner == slot) {
                        return raise(
                            Kind::NameError,
                            format!(
                                "cannot access free variable '{name}' where it is not associated with a value in enclosing scope"
                            ),
                        );
                    }
                    raise(
                        Kind::UnboundLocalError,
                        format!("cannot access local variable '{name}' where it is not associated with a value"),
                    )
                }
                value => Ok(value),
            },
            Expr::Global(slot) => {
                let value = f.module.globals.borrow()[*slot as usize].clone();
                match value {
                    Value::Unbound => self.unbound_global(f, *slot),
                    value => Ok(value),
                }
            }
            Expr::NameError(name) => raise(Kind::NameError, format!("name '{name}' is not defined")),
            Expr::And(parts) | Expr::Or(parts) => {
                let stop_at = matches!(expr, Expr::Or(_));
                let (last, first) = parts.split_last().expect("at least two operands");
                for part in first {
                    let value = self.expr(f, part)?;
                    if self.truthy(&value)? == stop_at {
                        return Ok(value);
                    }
                }
                self.expr(f, last)
            }
            Expr::Not(inner) => {
                let value = self.expr(f, inner)?;
                Ok(Value::Bool(!self.truthy(&value)?))
            }
            Expr::Unary(sign, inner) => ops::unary(*sign, &self.expr(f, inner)?),
            Expr::If(parts) => {
                let test = self.expr(f, &parts.0)?;
                if self.truthy(&test)? { self.expr(f, &parts.1) } else { self.expr(f, &parts.2) }
            }
            Expr::Binary(op, sides) => {
                let left = self.expr(f, &sides.0)?;
                let right = self.expr(f, &sides.1)?;
                self.binary(*op, &left, &right)
            }
            Expr::Compare(first, rest) => {
                let mut left = self.expr(f, first)?;
                let mut result = true;
                for (op, right) in rest {
                    let right = self.expr(f, right)?;
                    result = ops::compare(*op, &left, &right)?;
                    if !result {
                        break;
                    }
                    left = right;
                }
                Ok(Value::Bool(result))
            }
            Expr::List(items) => Ok(Value::list(self.items(f, items)?)),
            Expr::Tuple(items) => Ok(Value::tuple(self.items(f, items)?)),
            Expr::Set(items) => {
                let mut table = Table::default();
                for item in self.items(f, items)? {
                    table.set(item, Value::None)?;
                }
                Ok(Value::set(table))
            }
            Expr::Dict(entries) => {
                let mut table = Table::default();
                for (key, value) in entries {
                    match key {
                        Some(key) => {
                            let key = self.expr(f, key)?;
                            let value = self.expr(f, value)?;
                            table.set(key, value)?;
                        }
                        None => {
                            let value = self.expr(f, value)?;
                            for (key, value) in
                                self.mapping(&value, |v| format!("'{}' object is not a mapping", v.type_name()))?
                            {
                                table.set(key, value)?;
                            }
                        }
                    }
                }
                self.memory(64 * table.len())?;
                Ok(Value::dict(table))
            }
            Expr::FString(pieces) => {
                let mut out = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.push_str(text),
                        Piece::Value(expr, repr, spec) => {
                            let value = self.expr(f, expr)?;
                            match (repr, spec) {
                                (false, None) => match &value {
                                    Value::Str(s) => out.push_str(s),
                                    v => out.push_str(&crate::repr::to_str(self, v)?),
                                },
                                (true, None) => out.push_str(&crate::repr::to_repr(self, &value)?),
                                (repr, Some(spec)) => {
                                    let spec = self.expr(f, spec)?;
                                    let value =
                                        if *repr { Value::str(crate::repr::to_repr(self, &value)?) } else { value };
                                    let Value::Str(spec) = spec else { return type_error("not a specification") };
                                    out.push_str(&crate::format::format(self, &value, &spec)?);
                                }
                            }
                        }
                    }
                }
                self.memory(out.len())?;
                Ok(Value::str(out))
            }
            Expr::Attr(object, name, text) => {
                let object = self.expr(f, object)?;
                self.attribute_of(&object, *name, text)
            }
            Expr::Index(parts) => {
                let object = self.expr(f, &parts.0)?;
                let index = self.expr(f, &parts.1)?;
                self.index(&object, &index)
            }
            Expr::Slice(parts) => {
                let [a, b, c] = &**parts;
                Ok(Value::Slice(Rc::new([self.expr(f, a)?, self.expr(f, b)?, self.expr(f, c)?])))
            }
            Expr::Call(function, args) => {
                let function = self.expr(f, function)?;
                self.call_with(f, &function, args)
            }
            Expr::Method(object, name, text, args) => {
                let object = self.expr(f, object)?;
                self.method_with(f, &object, *name, text, args)
            }
            Expr::Super(slot, text, args) => self.super_with(f, *slot, text, args),
            Expr::Walrus(parts) => {
                let value = self.expr(f, &parts.1)?;
                self.assign(f, &parts.0, value.clone())?;
                Ok(value)
            }
            Expr::Comp(collect, comp) => self.comprehension(f, *collect, comp),
            Expr::Gen(code, first) => {
                let over = self.expr(f, first)?;
                let open = vec![Iter::over(&over)?];
                let mut frame = Frame::new(code, &f.module);
                for (inner, outer) in &code.frees {
                    frame.slots[*inner as usize] = f.slots[*outer as usize].clone();
                }
                frame.line = f.line;
                Ok(Value::iter(Iter::Gen(Box::new(Gen { code: code.clone(), frame, open }))))
            }
            Expr::Func(make) => self.make(f, make).map(Value::Func),
            Expr::Unknown(what) => gap(what),
        }
    }

    /// A binary operator, charged by the size of its result.
    ///
    /// # Errors
    /// As [`ops::binary`].
    pub fn binary(&mut self, op: ops::Bin, left: &Value, right: &Value) -> R<Value> {
        let value = ops::binary(op, left, right)?;
        match &value {
            Value::Str(s) => self.memory(s.len())?,
            Value::List(l) => self.memory(l.items.borrow().len() * size_of::<Value>())?,
            Value::Tuple(t) => self.memory(t.0.len() * size_of::<Value>())?,
            Value::Bytes(b) => self.memory(b.len())?,
            _ => {}
        }
        Ok(value)
    }

    /// Entries of a mapping.
    ///
    /// # Errors
    /// `TypeError` with the message given.
    pub fn mapping(&mut self, value: &Value, message: impl Fn(&Value) -> String) -> R<Vec<(Value, Value)>> {
        match value {
            Value::Dict(d) => Ok(d.table.borrow().iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
            Value::EvDict(e) => Ok(e.items().iter().map(|(k, v)| (Value::Str(k.clone()), v.clone())).collect()),
            Value::Missing(name) => unknown(format!("`{name}` is not available")),
            other => type_error(message(other)),
        }
    }

    pub(super) fn items(&mut self, f: &mut Frame, items: &[Item]) -> R<Vec<Value>> {
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::One(expr) => out.push(self.expr(f, expr)?),
                Item::Spread(expr) => {
                    let value = self.expr(f, expr)?;
                    let iter = match Iter::over(&value) {
                        Err(Stop::Raise(_)) => {
                            return type_error(format!("Value after * must be an iterable, not {}", value.type_name()));
                        }
                        other => other?,
                    };
                    out.extend(iter.collect(self)?);
                }
            }
        }
        self.memory(out.len() * size_of::<Value>())?;
        Ok(out)
    }
}
