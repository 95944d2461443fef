//! Attributes: of objects, classes, modules, exceptions and native values.

use std::rc::Rc;

use crate::class::Member;
use crate::exc::{ExcClass, Kind, R, attribute_error, raise, unknown};
use crate::name::Name;
use crate::native::{Args, Vm};
use crate::stdlib;
use crate::types;
use crate::value::{Type, Value};

impl Vm {
    /// An attribute by its text.
    ///
    /// # Errors
    /// `AttributeError` if there is none.
    pub fn attribute(&mut self, object: &Value, text: &str) -> R<Value> {
        self.attribute_of(object, Name::of(text), &Rc::from(text))
    }

    /// An attribute.
    ///
    /// # Errors
    /// `AttributeError` if there is none.
    pub fn attribute_of(&mut self, object: &Value, name: Name, text: &Rc<str>) -> R<Value> {
        match object {
            Value::Missing(what) => return unknown(format!("`{what}` is not available")),
            Value::Object(o) => {
                if let Some(Member::Property(func)) = o.class.find(text) {
                    let func = func.clone();
                    return self.call_func(&func, Some(object.clone()), Args::positional(&[]));
                }
                if let Some(value) = o.get(text) {
                    return Ok(value);
                }
                match o.class.find(text) {
                    Some(Member::Method(func)) => return Ok(Value::Bound(Rc::new((object.clone(), func.clone())))),
                    Some(Member::Static(func)) => return Ok(Value::Func(func.clone())),
                    Some(Member::Value(value)) => return Ok(value.clone()),
                    _ => {}
                }
                if &**text == "__class__" {
                    return Ok(Value::Class(o.class.clone()));
                }
            }
            Value::Class(c) => match c.find(text) {
                Some(Member::Method(func) | Member::Static(func)) => return Ok(Value::Func(func.clone())),
                Some(Member::Value(value)) => return Ok(value.clone()),
                Some(Member::Property(_)) => return unknown("a property read from its class"),
                None if &**text == "__name__" => return Ok(Value::Str(c.name.clone())),
                None => {
                    return raise(Kind::AttributeError, format!("type object '{}' has no attribute '{text}'", c.name));
                }
            },
            Value::Module(m) => {
                return match m.get(text) {
                    Some(value) => Ok(value),
                    None if &**text == "__name__" => Ok(Value::Str(m.name.clone())),
                    None => raise(Kind::AttributeError, format!("module '{}' has no attribute '{text}'", m.name)),
                };
            }
            Value::NativeModule(m) => return Ok(stdlib::member(m, text)),
            Value::Exc(e) => match &**text {
                "args" => return Ok(Value::tuple(e.args.clone())),
                "__class__" => {
                    return Ok(match &e.class {
                        ExcClass::Builtin(k) => Value::Type(Type::Exc(*k)),
                        ExcClass::User(c) => Value::Class(c.clone()),
                    });
                }
                _ => {
                    if let Some((_, value)) = e.attrs.borrow().iter().find(|(n, _)| n == text) {
                        return Ok(value.clone());
                    }
                    if let ExcClass::User(c) = &e.class {
                        match c.find(text) {
                            Some(Member::Method(func)) => {
                                return Ok(Value::Bound(Rc::new((object.clone(), func.clone()))));
                            }
                            Some(Member::Value(value)) => return Ok(value.clone()),
                            _ => {}
                        }
                    }
                }
            },
            Value::Type(t) => match &**text {
                "__name__" => return Ok(Value::str(t.name())),
                _ => {
                    if let Some(value) = stdlib::class_attribute(*t, text) {
                        return Ok(value);
                    }
                }
            },
            Value::Lib(l) => {
                if let Some(value) = stdlib::attribute(l, text)? {
                    return Ok(value);
                }
            }
            Value::Func(func) if &**text == "__name__" => return Ok(Value::Str(func.code.name.clone())),
            _ => {}
        }
        if &**text == "__class__" {
            return Ok(Value::Type(object.type_of()));
        }
        if types::has(object, text) {
            return Ok(Value::Method(Rc::new((object.clone(), name, text.clone()))));
        }
        if text.starts_with("__") {
            return unknown(format!("the attribute {text} of a {}", object.type_name()));
        }
        match object {
            Value::Type(t) => {
                raise(Kind::AttributeError, format!("type object '{}' has no attribute '{text}'", t.name()))
            }
            Value::Method(_) | Value::Native(_) | Value::Bound(_) | Value::Mock(_) => {
                unknown(format!("the attribute {text} of a {}", object.type_name()))
            }
            other => attribute_error(other, text),
        }
    }
}
