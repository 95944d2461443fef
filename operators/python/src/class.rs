//! Classes of detections and helpers: one base, methods, properties and plain attributes.
//!
//! What a class may do beyond that (metaclasses, several bases, operators such as `__eq__`, decorators other than
//! `property` and `staticmethod`) is refused when it is lowered, so that nothing behaves almost like Python.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::exc::Kind;
use crate::value::{Func, Value};

/// What a class derives from.
#[derive(Clone, Debug)]
pub enum Base {
    /// `object`.
    Object,
    /// A built-in exception.
    Exc(Kind),
    /// Another class.
    Class(Rc<Class>),
}

/// An attribute of a class.
#[derive(Clone, Debug)]
pub enum Member {
    /// A plain value.
    Value(Value),
    /// A method.
    Method(Rc<Func>),
    /// A method that is called when the attribute is read.
    Property(Rc<Func>),
    /// A function without `self`.
    Static(Rc<Func>),
}

/// A class.
#[derive(Debug)]
pub struct Class {
    /// Its `__name__`.
    pub name: Rc<str>,
    /// Its base.
    pub base: Base,
    /// Its own attributes, in the order of the source.
    pub members: Vec<(Rc<str>, Member)>,
}

impl Class {
    /// An attribute of the class or of one above it.
    pub fn find(&self, name: &str) -> Option<&Member> {
        match self.members.iter().rev().find(|(n, _)| &**n == name) {
            Some((_, m)) => Some(m),
            None => match &self.base {
                Base::Class(c) => c.find(name),
                _ => None,
            },
        }
    }

    /// The built-in exception at the top, if there is one.
    pub fn exception(&self) -> Option<Kind> {
        match &self.base {
            Base::Object => None,
            Base::Exc(k) => Some(*k),
            Base::Class(c) => c.exception(),
        }
    }

    /// True if it is `other` or derives from it.
    pub fn is(&self, other: &Class) -> bool {
        std::ptr::eq(self, other) || matches!(&self.base, Base::Class(c) if c.is(other))
    }
}

/// An object of a [`Class`].
#[derive(Debug)]
pub struct Object {
    /// Its class.
    pub class: Rc<Class>,
    /// Its attributes, in the order in which they were set.
    pub attrs: RefCell<Vec<(Rc<str>, Value)>>,
    /// True after loading: such an object must not change.
    pub frozen: Cell<bool>,
}

impl Object {
    /// An attribute of the object itself.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.attrs.borrow().iter().find(|(n, _)| &**n == name).map(|(_, v)| v.clone())
    }

    /// Set an attribute.
    pub fn set(&self, name: &Rc<str>, value: Value) {
        let mut attrs = self.attrs.borrow_mut();
        match attrs.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = value,
            None => attrs.push((name.clone(), value)),
        }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        crate::value::drop_all(self.attrs.get_mut().drain(..).map(|(_, v)| v));
    }
}
