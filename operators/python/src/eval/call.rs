//! Calls: arguments, parameters, classes.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Flow, Frame};
use crate::builtins;
use crate::class::{Base, Class, Member, Object};
use crate::exc::{Exc, ExcClass, Kind, Place, R, Stop, raise, type_error, unknown};
use crate::ir::{self, Item, MakeFunc};
use crate::iter::Iter;
use crate::name::Name;
use crate::native::{Args, MORE_STACK, RED_ZONE, Vm};
use crate::stdlib;
use crate::types;
use crate::value::{Func, Value};

mod bind;

use bind::bind;

type Named = Vec<(Rc<str>, Value)>;

impl Vm {
    fn arguments(&mut self, f: &mut Frame, args: &ir::Args) -> R<(Vec<Value>, Named)> {
        let mut pos = Vec::with_capacity(args.pos.len());
        for item in &args.pos {
            match item {
                Item::One(expr) => pos.push(self.expr(f, expr)?),
                Item::Spread(expr) => {
                    let value = self.expr(f, expr)?;
                    let more = match Iter::over(&value) {
                        Err(Stop::Raise(_)) => {
                            return type_error(format!("Value after * must be an iterable, not {}", value.type_name()));
                        }
                        other => other?.collect(self)?,
                    };
                    pos.extend(more);
                }
            }
        }
        let mut kw: Named = Vec::with_capacity(args.kw.len());
        for (name, expr) in &args.kw {
            let value = self.expr(f, expr)?;
            match name {
                Some(name) => kw.push((name.clone(), value)),
                None => {
                    let entries = self
                        .mapping(&value, |v| format!("argument after ** must be a mapping, not {}", v.type_name()))?;
                    for (key, value) in entries {
                        let Value::Str(key) = key else { return type_error("keywords must be strings") };
                        if kw.iter().any(|(n, _)| *n == key) {
                            return type_error(format!("got multiple values for keyword argument '{key}'"));
                        }
                        kw.push((key, value));
                    }
                }
            }
        }
        Ok((pos, kw))
    }

    pub(super) fn call_with(&mut self, f: &mut Frame, function: &Value, args: &ir::Args) -> R<Value> {
        let (pos, kw) = self.arguments(f, args)?;
        self.call(function, Args { pos: &pos, kw: &kw })
    }

    pub(super) fn method_with(
        &mut self,
        f: &mut Frame,
        object: &Value,
        name: Name,
        text: &Rc<str>,
        args: &ir::Args,
    ) -> R<Value> {
        // The attribute is read before the arguments are evaluated: what has no such method raises first.
        match object {
            Value::Object(_) | Value::Class(_) | Value::Module(_) | Value::NativeModule(_) | Value::Exc(_) => {
                let function = self.attribute_of(object, name, text)?;
                self.call_with(f, &function, args)
            }
            Value::Missing(what) => unknown(format!("`{what}` is not available")),
            _ => {
                if !types::has_name(object, name, text) {
                    let attribute = self.attribute_of(object, name, text)?;
                    return self.call_with(f, &attribute, args);
                }
                let (pos, kw) = self.arguments(f, args)?;
                self.method(object, name, text, Args { pos: &pos, kw: &kw })
            }
        }
    }

    pub(super) fn super_with(&mut self, f: &mut Frame, slot: u32, text: &Rc<str>, args: &ir::Args) -> R<Value> {
        let this = f.load(slot);
        let Some(owner) = f.owner.clone() else { return raise(Kind::RuntimeError, "super(): no arguments") };
        let member = match &owner.base {
            Base::Class(base) => base.find(text).cloned(),
            _ => None,
        };
        let (pos, kw) = self.arguments(f, args)?;
        let args = Args { pos: &pos, kw: &kw };
        match member {
            Some(Member::Method(func)) => self.call_func(&func, Some(this), args),
            Some(Member::Static(func)) => self.call_func(&func, None, args),
            Some(_) => unknown("super() and an attribute that is no method"),
            None if &**text == "__init__" && matches!(owner.base, Base::Object | Base::Class(_)) => {
                if pos.is_empty() && kw.is_empty() {
                    return Ok(Value::None);
                }
                type_error("object.__init__() takes exactly one argument (the instance to initialize)")
            }
            None => raise(Kind::AttributeError, format!("'super' object has no attribute '{text}'")),
        }
    }

    /// Call a value.
    ///
    /// # Errors
    /// What the call raises; `TypeError` for what cannot be called.
    pub fn call(&mut self, function: &Value, args: Args) -> R<Value> {
        self.charge(1)?;
        match function {
            Value::Func(func) => self.call_func(func, None, args),
            Value::Native(native) => (native.call)(self, args),
            Value::Method(method) => self.method(&method.0, method.1, &method.2, args),
            Value::Bound(bound) => self.call_func(&bound.1, Some(bound.0.clone()), args),
            Value::Class(class) => self.instantiate(class, args),
            Value::Type(of) => builtins::construct(self, *of, args),
            Value::Mock(value) => Ok((**value).clone()),
            Value::Missing(name) => unknown(format!("`{name}` is not available")),
            Value::Object(o) if o.class.find("__call__").is_some() => unknown("an object that is called"),
            other => type_error(format!("'{}' object is not callable", other.type_name())),
        }
    }

    /// Call a method of a native value, or of an object.
    ///
    /// # Errors
    /// What the method raises; `AttributeError` if there is none of the name.
    pub fn method(&mut self, object: &Value, name: Name, text: &Rc<str>, args: Args) -> R<Value> {
        self.charge(1)?;
        match object {
            Value::Object(_) | Value::Class(_) | Value::Module(_) | Value::NativeModule(_) | Value::Exc(_) => {
                let function = self.attribute_of(object, name, text)?;
                self.call(&function, args)
            }
            Value::Type(of) => types::class_method(self, *of, text, args),
            Value::Lib(l) => stdlib::method(self, l, text, args),
            _ => types::method(self, object, name, text, args),
        }
    }

    fn instantiate(&mut self, class: &Rc<Class>, args: Args) -> R<Value> {
        if class.exception().is_some() {
            if !args.kw.is_empty() {
                return type_error(format!("{}() takes no keyword arguments", class.name));
            }
            return Ok(Value::Exc(Exc::new(ExcClass::User(class.clone()), args.pos.to_vec())));
        }
        self.memory(128)?;
        let object = Rc::new(Object { class: class.clone(), attrs: RefCell::default(), frozen: false.into() });
        let value = Value::Object(object);
        match class.find("__init__") {
            Some(Member::Method(init)) => {
                let init = init.clone();
                self.call_func(&init, Some(value.clone()), args)?;
            }
            Some(_) => return unknown("an __init__ that is no method"),
            None if args.pos.is_empty() && args.kw.is_empty() => {}
            None => return type_error(format!("{}() takes no arguments", class.name)),
        }
        Ok(value)
    }

    pub(super) fn make(&mut self, f: &mut Frame, make: &MakeFunc) -> R<Rc<Func>> {
        if let Some(what) = &make.decorated {
            return super::expr::gap(what);
        }
        let mut defaults = Vec::with_capacity(make.defaults.len());
        for default in &make.defaults {
            defaults.push(self.expr(f, default)?);
        }
        let mut kw_defaults = Vec::with_capacity(make.kw_defaults.len());
        for (name, default) in &make.kw_defaults {
            kw_defaults.push((name.clone(), self.expr(f, default)?));
        }
        let mut closure = Vec::with_capacity(make.code.frees.len());
        for (_, outer) in &make.code.frees {
            match &f.slots[*outer as usize] {
                Value::Cell(cell) => closure.push(cell.clone()),
                _ => return unknown("a variable of an enclosing scope that is not shared"),
            }
        }
        Ok(Rc::new(Func {
            code: make.code.clone(),
            module: Rc::downgrade(&f.module),
            defaults,
            kw_defaults,
            closure,
            owner: RefCell::new(f.owner.as_ref().map(Rc::downgrade).unwrap_or_default()),
        }))
    }

    /// Call a function, with `self` in front if it is a method.
    ///
    /// # Errors
    /// `TypeError` for arguments that do not fit; what the body raises.
    pub fn call_func(&mut self, func: &Rc<Func>, this: Option<Value>, args: Args) -> R<Value> {
        self.charge(1)?;
        let Some(module) = func.module.upgrade() else { return unknown("a function of a module that is gone") };
        let code = &func.code;
        let mut frame = Frame::new(code, &module);
        frame.owner = func.owner.borrow().upgrade();
        for ((inner, _), cell) in code.frees.iter().zip(&func.closure) {
            frame.slots[*inner as usize] = Value::Cell(cell.clone());
        }
        bind(func, &mut frame, this, args)?;
        self.enter(code)?;
        let outcome = stacker::maybe_grow(RED_ZONE, MORE_STACK, || self.block(&mut frame, &code.body));
        self.leave(code);
        if !code.cells.is_empty() {
            super::release::release(&frame);
        }
        match outcome {
            Ok(Flow::Return(value)) => Ok(value),
            Ok(_) => Ok(Value::None),
            Err(Stop::Raise(e)) => {
                self.note(&frame, &e);
                Err(Stop::Raise(e))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Note where an exception came up, unless it is known: an error record names the innermost frame.
    pub(super) fn note(&mut self, f: &Frame, e: &Exc) {
        e.at.borrow_mut().get_or_insert_with(|| Place {
            file: f.code.file.clone(),
            line: f.line,
            function: f.code.name.clone(),
        });
    }
}

impl Vm {}
