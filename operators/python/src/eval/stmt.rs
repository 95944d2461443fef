//! Statements.

use std::rc::Rc;

use super::Frame;
use crate::class::{Base, Class, Member};
use crate::exc::{Exc, ExcClass, Kind, R, Stop, raise, type_error, unknown};
use crate::ir::{Attribute, Expr, Line, Stmt, Try, Wrap};
use crate::iter::Iter;
use crate::native::Vm;
use crate::value::{Type, Value};

/// How a statement ended.
#[derive(Debug)]
pub(crate) enum Flow {
    Next,
    Break,
    Continue,
    Return(Value),
}

impl Vm {
    pub(crate) fn block(&mut self, f: &mut Frame, lines: &[Line]) -> R<Flow> {
        for line in lines {
            f.line = line.line;
            self.charge(1)?;
            match self.stmt(f, &line.stmt)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn stmt(&mut self, f: &mut Frame, stmt: &Stmt) -> R<Flow> {
        match stmt {
            Stmt::Expr(expr) => {
                self.expr(f, expr)?;
            }
            Stmt::Assign(targets, value) => {
                let value = self.expr(f, value)?;
                let (last, first) = targets.split_last().expect("a target");
                for target in first {
                    self.assign(f, target, value.clone())?;
                }
                self.assign(f, last, value)?;
            }
            Stmt::Augment(target, op, value) => self.augment(f, target, *op, value)?,
            Stmt::Delete(target) => self.delete(f, target)?,
            Stmt::Return(value) => return self.expr(f, value).map(Flow::Return),
            Stmt::If(branches, otherwise) => {
                for (test, body) in branches {
                    let test = self.expr(f, test)?;
                    if self.truthy(&test)? {
                        return self.block(f, body);
                    }
                }
                return self.block(f, otherwise);
            }
            Stmt::For(head, body, otherwise) => {
                let over = self.expr(f, &head.1)?;
                let mut iter = Iter::over(&over)?;
                while let Some(value) = iter.next(self)? {
                    self.assign(f, &head.0, value)?;
                    match self.block(f, body)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => return Ok(Flow::Next),
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                    }
                }
                return self.block(f, otherwise);
            }
            Stmt::While(test, body, otherwise) => {
                loop {
                    self.charge(1)?;
                    let go = self.expr(f, test)?;
                    if !self.truthy(&go)? {
                        break;
                    }
                    match self.block(f, body)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => return Ok(Flow::Next),
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                    }
                }
                return self.block(f, otherwise);
            }
            Stmt::Try(parts) => return self.attempt(f, parts),
            Stmt::Raise(exception, cause) => return self.raise_stmt(f, exception.as_ref(), cause.as_ref()),
            Stmt::Assert(test, message) => {
                let test = self.expr(f, test)?;
                if !self.truthy(&test)? {
                    let args = match message {
                        Some(m) => vec![self.expr(f, m)?],
                        None => vec![],
                    };
                    return Err(Stop::Raise(Exc::new(ExcClass::Builtin(Kind::AssertionError), args)));
                }
            }
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Continue => return Ok(Flow::Continue),
            Stmt::Pass => {}
            Stmt::Class(target, name, base, attributes) => {
                let class = self.class(f, name, base.as_ref(), attributes)?;
                self.assign(f, target, class)?;
            }
            Stmt::Import(target, module, name) => {
                let value = self.import(module, name.as_deref())?;
                self.assign(f, target, value)?;
            }
        }
        Ok(Flow::Next)
    }

    fn attempt(&mut self, f: &mut Frame, parts: &Try) -> R<Flow> {
        let outcome = self.handled(f, parts);
        if parts.finally.is_empty() {
            return outcome;
        }
        // Only what Python can see runs the finally clause: a budget that is used up ends everything.
        match outcome {
            Ok(_) | Err(Stop::Raise(_)) => match self.block(f, &parts.finally)? {
                Flow::Next => outcome,
                other => Ok(other),
            },
            stop => stop,
        }
    }

    fn handled(&mut self, f: &mut Frame, parts: &Try) -> R<Flow> {
        let exception = match self.block(f, &parts.body) {
            Ok(Flow::Next) => return self.block(f, &parts.orelse),
            Err(Stop::Raise(exception)) => exception,
            other => return other,
        };
        self.note(f, &exception);
        for (classes, name, body) in &parts.handlers {
            let matches = match classes {
                None => true,
                Some(classes) => {
                    let classes = self.expr(f, classes)?;
                    catches(&classes, &exception)?
                }
            };
            if !matches {
                continue;
            }
            f.handling.push(exception.clone());
            let outcome = match name {
                Some(target) => match self.assign(f, target, Value::Exc(exception.clone())) {
                    Ok(()) => self.block(f, body),
                    Err(stop) => Err(stop),
                },
                None => self.block(f, body),
            };
            f.handling.pop();
            if let Some(target) = name {
                self.assign(f, target, Value::Unbound)?;
            }
            return outcome;
        }
        Err(Stop::Raise(exception))
    }

    fn raise_stmt(&mut self, f: &mut Frame, exception: Option<&Expr>, cause: Option<&Expr>) -> R<Flow> {
        let Some(exception) = exception else {
            return match f.handling.last() {
                Some(e) => Err(Stop::Raise(e.clone())),
                None => raise(Kind::RuntimeError, "No active exception to reraise"),
            };
        };
        let value = self.expr(f, exception)?;
        if let Some(cause) = cause {
            self.expr(f, cause)?;
        }
        let raised = match value {
            Value::Exc(e) => Value::Exc(e),
            Value::Type(Type::Exc(_)) => self.call(&value, crate::native::Args::positional(&[]))?,
            Value::Class(ref c) if c.exception().is_some() => {
                self.call(&value, crate::native::Args::positional(&[]))?
            }
            Value::Missing(name) => return unknown(format!("`{name}` is not available")),
            _ => return type_error("exceptions must derive from BaseException"),
        };
        match raised {
            Value::Exc(e) => Err(Stop::Raise(e)),
            _ => type_error("exceptions must derive from BaseException"),
        }
    }

    fn class(
        &mut self,
        f: &mut Frame,
        name: &Rc<str>,
        base: Option<&Expr>,
        attributes: &[(Rc<str>, Attribute)],
    ) -> R<Value> {
        let base = match base {
            None => Base::Object,
            Some(base) => match self.expr(f, base)? {
                Value::Class(c) => Base::Class(c),
                Value::Type(Type::Exc(k)) => Base::Exc(k),
                Value::Type(Type::Object) => Base::Object,
                other => return unknown(format!("a class that derives from {}", other.type_name())),
            },
        };
        let mut members = Vec::new();
        for (name, attribute) in attributes {
            members.push((
                name.clone(),
                match attribute {
                    Attribute::Value(expr) => Member::Value(self.expr(f, expr)?),
                    Attribute::Func(wrap, make) => {
                        let func = self.make(f, make)?;
                        match wrap {
                            Wrap::Method => Member::Method(func),
                            Wrap::Property => Member::Property(func),
                            Wrap::Static => Member::Static(func),
                        }
                    }
                },
            ));
        }
        let class = Rc::new(Class { name: name.clone(), base, members });
        for (_, member) in &class.members {
            if let Member::Method(func) | Member::Property(func) | Member::Static(func) = member {
                *func.owner.borrow_mut() = Rc::downgrade(&class);
            }
        }
        Ok(Value::Class(class))
    }
}

/// True if an `except` clause takes an exception.
pub(crate) fn catches(classes: &Value, exception: &Exc) -> R<bool> {
    match classes {
        Value::Type(Type::Exc(kind)) => Ok(exception.class.kind().is(*kind)),
        Value::Class(class) if class.exception().is_some() => {
            Ok(matches!(&exception.class, ExcClass::User(own) if own.is(class)))
        }
        Value::Tuple(classes) => {
            for class in &classes.0 {
                if catches(class, exception)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Missing(name) => unknown(format!("`{name}` is not available")),
        _ => type_error("catching classes that do not inherit from BaseException is not allowed"),
    }
}
