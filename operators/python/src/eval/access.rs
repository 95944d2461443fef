//! Indexes, slices, items.

use std::rc::Rc;

use super::Frame;
use crate::event;
use crate::exc::{Exc, ExcClass, Kind, R, Stop, raise, type_error, unknown};
use crate::iter::Iter;
use crate::module::thaw;
use crate::native::Vm;
use crate::ops::int_of;
use crate::stdlib;
use crate::value::{Range, Type, Value};

/// Where a slice of a sequence starts, how many elements it has, and its step.
///
/// # Errors
/// `TypeError` for bounds that are no integers, `ValueError` for a step of 0.
pub(crate) fn slice_of(len: usize, slice: &[Value; 3]) -> R<(i128, usize, i128)> {
    let part = |v: &Value| match v {
        Value::None => Ok(None),
        v => match int_of(v) {
            Some(i) => Ok(Some(i)),
            None => type_error("slice indices must be integers or None or have an __index__ method"),
        },
    };
    let len = len as i128;
    let step = part(&slice[2])?.unwrap_or(1);
    if step == 0 {
        return crate::exc::value_error("slice step cannot be zero");
    }
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let clip = |v: Option<i128>, default: i128| match v {
        None => default,
        Some(i) if i < 0 => (i + len).max(low),
        Some(i) => i.min(high),
    };
    let start = clip(part(&slice[0])?, if step > 0 { low } else { high });
    let stop = clip(part(&slice[1])?, if step > 0 { high } else { low });
    let count = Range { start, stop, step }.len();
    Ok((start, count as usize, step))
}

fn pick<T: Clone>(items: &[T], slice: &[Value; 3]) -> R<Vec<T>> {
    let (start, count, step) = slice_of(items.len(), slice)?;
    Ok((0..count).map(|i| items[(start + i as i128 * step) as usize].clone()).collect())
}

fn position(len: usize, index: i128) -> Option<usize> {
    let index = if index < 0 { index + len as i128 } else { index };
    usize::try_from(index).ok().filter(|i| *i < len)
}

impl Vm {
    pub(super) fn unbound_global(&mut self, f: &Frame, slot: u32) -> R<Value> {
        let name = &f.module.names[slot as usize];
        match crate::builtins::find(name) {
            Some(value) => Ok(value),
            None => raise(Kind::NameError, format!("name '{name}' is not defined")),
        }
    }

    /// `object[index]`.
    ///
    /// # Errors
    /// `IndexError`, `KeyError` or `TypeError` as in Python.
    pub fn index(&mut self, object: &Value, index: &Value) -> R<Value> {
        let sequence = |items: &[Value], name: &str| -> R<Value> {
            match int_of(index) {
                Some(i) => match position(items.len(), i) {
                    Some(i) => Ok(items[i].clone()),
                    None => raise(Kind::IndexError, format!("{name} index out of range")),
                },
                None => type_error(format!("{name} indices must be integers or slices, not {}", index.type_name())),
            }
        };
        match (object, index) {
            (Value::List(l), Value::Slice(s)) => {
                let items = pick(&l.items.borrow(), s)?;
                self.memory(items.len() * size_of::<Value>())?;
                Ok(Value::list(items))
            }
            (Value::Tuple(t), Value::Slice(s)) => Ok(Value::tuple(pick(&t.0, s)?)),
            // A tuple is inside, and what it holds is not wrapped.
            (Value::EvList(l), Value::Slice(s)) => {
                let mut items = pick(&l.items, s)?;
                for item in items.iter_mut().filter(|v| matches!(v, Value::EvDict(_) | Value::EvList(_))) {
                    *item = event::inside(self, item)?;
                }
                Ok(Value::tuple(items))
            }
            (Value::Str(text), Value::Slice(s)) => {
                self.memory(text.len())?;
                if text.is_ascii() {
                    let (start, count, step) = slice_of(text.len(), s)?;
                    if step == 1 {
                        return Ok(Value::str(&text[start as usize..start as usize + count]));
                    }
                }
                let chars: Vec<char> = text.chars().collect();
                Ok(Value::str(pick(&chars, s)?.into_iter().collect::<String>()))
            }
            (Value::Bytes(b), Value::Slice(s)) => Ok(Value::Bytes(Rc::from(pick(b, s)?))),
            (Value::Range(_), Value::Slice(_)) => unknown("a slice of a range"),
            (Value::List(l), _) => sequence(&l.items.borrow(), "list"),
            (Value::EvList(l), _) => sequence(&l.items, "tuple"),
            (Value::Tuple(t), _) => sequence(&t.0, "tuple"),
            (Value::Str(text), _) => match int_of(index) {
                Some(i) => {
                    let found = if text.is_ascii() {
                        position(text.len(), i).map(|i| Value::str(&text[i..=i]))
                    } else {
                        let chars: Vec<char> = text.chars().collect();
                        position(chars.len(), i).map(|i| Value::str(chars[i].to_string()))
                    };
                    match found {
                        Some(value) => Ok(value),
                        None => raise(Kind::IndexError, "string index out of range"),
                    }
                }
                None => type_error(format!("string indices must be integers, not '{}'", index.type_name())),
            },
            (Value::Bytes(b), _) => match int_of(index) {
                Some(i) => match position(b.len(), i) {
                    Some(i) => Ok(Value::Int(b[i].into())),
                    None => raise(Kind::IndexError, "index out of range"),
                },
                None => type_error(format!("byte indices must be integers or slices, not {}", index.type_name())),
            },
            (Value::Range(r), _) => match int_of(index) {
                Some(i) => match position(r.len() as usize, i) {
                    Some(i) => Ok(Value::Int(r.start + i as i128 * r.step)),
                    None => raise(Kind::IndexError, "range object index out of range"),
                },
                None => type_error(format!("range indices must be integers or slices, not {}", index.type_name())),
            },
            (Value::Dict(d), _) => match d.table.borrow().get(index)? {
                Some(value) => Ok(value.clone()),
                None => Err(key_error(index)),
            },
            (Value::EvDict(e), _) => match e.find(index)? {
                Some(value) => Ok(value),
                None => Err(key_error(index)),
            },
            (Value::Lib(l), _) => stdlib::index(l, index),
            // `list[str]` and such, outside of an annotation.
            (
                Value::Type(
                    t @ (Type::Exc(_)
                    | Type::Int
                    | Type::Bool
                    | Type::Float
                    | Type::Str
                    | Type::Bytes
                    | Type::Object
                    | Type::Range
                    | Type::NoneType),
                ),
                _,
            ) => type_error(format!("type '{}' is not subscriptable", t.name())),
            (Value::Type(_), _) => Ok(object.clone()),
            (Value::Missing(name), _) => unknown(format!("`{name}` is not available")),
            (Value::Object(o), _) if o.class.find("__getitem__").is_some() => {
                unknown("an index into an object of a class")
            }
            (other, _) => type_error(format!("'{}' object is not subscriptable", other.type_name())),
        }
    }

    /// `object[index] = value`.
    ///
    /// # Errors
    /// As in Python; unknown for a change of a constant.
    pub fn set_index(&mut self, object: &Value, index: &Value, value: Value) -> R<()> {
        self.memory(64)?;
        match object {
            Value::Dict(d) => {
                thaw(&d.frozen)?;
                d.table.borrow_mut().set(index.clone(), value)
            }
            Value::List(l) => {
                thaw(&l.frozen)?;
                if matches!(index, Value::Slice(_)) {
                    return unknown("an assignment to a slice");
                }
                let mut items = l.items.borrow_mut();
                match int_of(index) {
                    Some(i) => match position(items.len(), i) {
                        Some(i) => {
                            items[i] = value;
                            Ok(())
                        }
                        None => raise(Kind::IndexError, "list assignment index out of range"),
                    },
                    None => type_error(format!("list indices must be integers or slices, not {}", index.type_name())),
                }
            }
            Value::Missing(name) => unknown(format!("`{name}` is not available")),
            Value::Object(o) if o.class.find("__setitem__").is_some() => unknown("an item of an object of a class"),
            other => type_error(format!("'{}' object does not support item assignment", other.type_name())),
        }
    }

    pub(super) fn delete_index(&mut self, object: &Value, index: &Value) -> R<()> {
        match object {
            Value::Dict(d) => {
                thaw(&d.frozen)?;
                match d.table.borrow_mut().remove(index)? {
                    Some(_) => Ok(()),
                    None => Err(key_error(index)),
                }
            }
            Value::List(l) => {
                thaw(&l.frozen)?;
                if matches!(index, Value::Slice(_)) {
                    return unknown("`del` of a slice");
                }
                let mut items = l.items.borrow_mut();
                match int_of(index) {
                    Some(i) => match position(items.len(), i) {
                        Some(i) => {
                            items.remove(i);
                            Ok(())
                        }
                        None => raise(Kind::IndexError, "list assignment index out of range"),
                    },
                    None => type_error(format!("list indices must be integers or slices, not {}", index.type_name())),
                }
            }
            other => type_error(format!("'{}' object doesn't support item deletion", other.type_name())),
        }
    }

    /// Entries of a mapping, or of an iterable of pairs.
    ///
    /// # Errors
    /// `TypeError` or `ValueError` as `dict()` and `update()` raise them.
    pub fn pairs(&mut self, value: &Value) -> R<Vec<(Value, Value)>> {
        if matches!(value, Value::Dict(_) | Value::EvDict(_)) {
            return self.mapping(value, |_| String::new());
        }
        let mut iter = Iter::over(value)?;
        let mut pairs = Vec::new();
        while let Some(item) = iter.next(self)? {
            let at = pairs.len();
            let parts = match Iter::over(&item) {
                Err(Stop::Raise(_)) => {
                    return type_error(format!(
                        "cannot convert dictionary update sequence element #{at} to a sequence"
                    ));
                }
                other => other?.collect(self)?,
            };
            match <[Value; 2]>::try_from(parts) {
                Ok([key, value]) => pairs.push((key, value)),
                Err(parts) => {
                    return crate::exc::value_error(format!(
                        "dictionary update sequence element #{at} has length {}; 2 is required",
                        parts.len()
                    ));
                }
            }
        }
        Ok(pairs)
    }
}

/// `KeyError` of a key: its argument is the key itself.
pub(crate) fn key_error(key: &Value) -> Stop {
    Stop::Raise(Exc::new(ExcClass::Builtin(Kind::KeyError), vec![key.clone()]))
}
