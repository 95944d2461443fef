//! Iterators: lazy, so that what raises does so when Python would get there.

use std::rc::Rc;

use crate::eval::Frame;
use crate::event::{EvDict, EvList};
use crate::exc::{ExcClass, Kind, R, Stop, raise, type_error, unknown, value_error};
use crate::ir::Code;
use crate::native::{Args, MORE_STACK, RED_ZONE, Vm};
use crate::value::{Dict, List, Part, Set, Tuple, Value};

/// An iterator.
#[derive(Debug)]
pub enum Iter {
    /// A list, live: what is appended is seen.
    List(Rc<List>, usize),
    /// A tuple.
    Tuple(Rc<Tuple>, usize),
    /// A list of the event.
    EvList(Rc<EvList>, usize),
    /// Values made beforehand.
    Items(std::vec::IntoIter<Value>),
    /// `reversed`, and what its class is called.
    Reversed(std::vec::IntoIter<Value>, &'static str),
    /// Characters of a text.
    Chars(Rc<str>, usize),
    /// Bytes.
    Bytes(Rc<[u8]>, usize),
    /// Next number, count left, step.
    Range(i128, i128, i128),
    /// A dict: position, length at the start, part.
    Dict(Rc<Dict>, usize, usize, Part),
    /// A set: position, length at the start.
    Set(Rc<Set>, usize, usize),
    /// A map of the event.
    EvDict(Rc<EvDict>, usize, Part),
    /// `map`.
    Map(Value, Vec<Iter>),
    /// `filter`.
    Filter(Value, Box<Iter>),
    /// `zip`.
    Zip(Vec<Iter>),
    /// `enumerate`.
    Enumerate(i128, Box<Iter>),
    /// A generator expression.
    Gen(Box<Gen>),
    /// Another iterator object.
    Shared(Rc<std::cell::RefCell<Iter>>),
    /// Used up.
    Done,
}

/// Iterators over iterators over …: more would need as much stack as they are deep.
pub const MAX_CHAIN: u32 = 50;

/// A generator expression on its way.
#[derive(Debug)]
pub struct Gen {
    /// Its code.
    pub code: Rc<Code>,
    /// Its variables.
    pub frame: Frame,
    /// Iterators of the clauses that are open.
    pub open: Vec<Iter>,
}

impl Iter {
    /// `iter(value)`.
    ///
    /// # Errors
    /// `TypeError` for what is not iterable.
    pub fn over(value: &Value) -> R<Iter> {
        Ok(match value {
            Value::List(l) => Iter::List(l.clone(), 0),
            Value::Tuple(t) => Iter::Tuple(t.clone(), 0),
            Value::EvList(l) => Iter::EvList(l.clone(), 0),
            Value::Str(s) => Iter::Chars(s.clone(), 0),
            Value::Bytes(b) => Iter::Bytes(b.clone(), 0),
            Value::Dict(d) => Iter::Dict(d.clone(), 0, d.table.borrow().len(), Part::Keys),
            Value::Set(s) => Iter::Set(s.clone(), 0, s.table.borrow().len()),
            Value::EvDict(e) => Iter::EvDict(e.clone(), 0, Part::Keys),
            Value::Range(r) => Iter::Range(r.start, r.len(), r.step),
            Value::View(v) => match &v.of {
                Value::Dict(d) => Iter::Dict(d.clone(), 0, d.table.borrow().len(), v.part),
                Value::EvDict(e) => Iter::EvDict(e.clone(), 0, v.part),
                _ => Iter::Done,
            },
            Value::Iter(i) => {
                let depth = i.try_borrow().map_or(0, |i| i.depth());
                if depth >= MAX_CHAIN {
                    return unknown(format!("more than {MAX_CHAIN} iterators over one another"));
                }
                Iter::Shared(i.clone())
            }
            Value::Lib(l) => return crate::stdlib::iterate(l),
            Value::Missing(name) => return unknown(format!("`{name}` is not available")),
            Value::Mock(_) => return unknown("iteration over a mock"),
            Value::Object(o) if o.class.find("__iter__").is_some() || o.class.find("__getitem__").is_some() => {
                return unknown("iteration over an object of a class");
            }
            other => return type_error(format!("'{}' object is not iterable", other.type_name())),
        })
    }

    /// Name of its class.
    pub fn class_name(&self) -> &'static str {
        match self {
            Iter::List(..) => "list_iterator",
            Iter::Tuple(..) => "tuple_iterator",
            Iter::Chars(text, _) if text.is_ascii() => "str_ascii_iterator",
            Iter::Chars(..) => "str_iterator",
            Iter::Bytes(..) => "bytes_iterator",
            Iter::Range(..) => "range_iterator",
            Iter::Dict(.., Part::Keys) => "dict_keyiterator",
            Iter::Dict(.., Part::Values) => "dict_valueiterator",
            Iter::Dict(.., Part::Items) => "dict_itemiterator",
            Iter::EvDict(.., Part::Keys) => "dict_keyiterator",
            Iter::Set(..) => "set_iterator",
            Iter::Reversed(_, name) => name,
            Iter::Map(..) | Iter::EvList(..) => "map",
            Iter::Filter(..) => "filter",
            Iter::Zip(..) => "zip",
            Iter::Enumerate(..) => "enumerate",
            Iter::Items(_) => "callable_iterator",
            Iter::EvDict(..) | Iter::Gen(_) | Iter::Shared(_) | Iter::Done => "generator",
        }
    }

    /// How many iterators are behind one another.
    fn depth(&self) -> u32 {
        match self {
            Iter::Shared(shared) => 1 + shared.try_borrow().map_or(0, |i| i.depth()),
            Iter::Map(_, iters) | Iter::Zip(iters) => iters.iter().map(Iter::depth).max().unwrap_or(0),
            Iter::Filter(_, iter) | Iter::Enumerate(_, iter) => iter.depth(),
            Iter::Gen(generator) => generator.open.iter().map(Iter::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The next value.
    ///
    /// # Errors
    /// What the step raises.
    pub fn next(&mut self, vm: &mut Vm) -> R<Option<Value>> {
        vm.charge(1)?;
        Ok(match self {
            Iter::List(list, at) => {
                *at += 1;
                list.items.borrow().get(*at - 1).cloned()
            }
            Iter::Tuple(tuple, at) => {
                *at += 1;
                tuple.0.get(*at - 1).cloned()
            }
            Iter::EvList(list, at) => {
                *at += 1;
                list.items.get(*at - 1).cloned()
            }
            Iter::Items(items) | Iter::Reversed(items, _) => items.next(),
            Iter::Chars(text, at) => match text[*at..].chars().next() {
                Some(c) => {
                    *at += c.len_utf8();
                    Some(Value::str(c.encode_utf8(&mut [0; 4])))
                }
                None => None,
            },
            Iter::Bytes(bytes, at) => {
                *at += 1;
                bytes.get(*at - 1).map(|b| Value::Int(i128::from(*b)))
            }
            Iter::Range(next, left, step) => {
                if *left == 0 {
                    return Ok(None);
                }
                *left -= 1;
                let value = *next;
                *next += *step;
                Some(Value::Int(value))
            }
            Iter::Dict(dict, at, length, part) => {
                let table = dict.table.borrow();
                if table.len() != *length {
                    return raise(Kind::RuntimeError, "dictionary changed size during iteration");
                }
                match table.next(*at) {
                    Some((next, key, value)) => {
                        *at = next;
                        Some(match part {
                            Part::Keys => key.clone(),
                            Part::Values => value.clone(),
                            Part::Items => Value::tuple(vec![key.clone(), value.clone()]),
                        })
                    }
                    None => None,
                }
            }
            Iter::Set(set, at, length) => {
                let table = set.table.borrow();
                if table.len() != *length {
                    return raise(Kind::RuntimeError, "Set changed size during iteration");
                }
                match table.next(*at) {
                    Some((next, key, _)) => {
                        *at = next;
                        Some(key.clone())
                    }
                    None => None,
                }
            }
            Iter::EvDict(map, at, part) => {
                *at += 1;
                map.items().get(*at - 1).map(|(key, value)| match part {
                    Part::Keys => Value::Str(key.clone()),
                    Part::Values => value.clone(),
                    Part::Items => Value::tuple(vec![Value::Str(key.clone()), value.clone()]),
                })
            }
            Iter::Map(function, iters) => {
                let mut args = Vec::with_capacity(iters.len());
                for iter in iters {
                    match iter.next(vm)? {
                        Some(value) => args.push(value),
                        None => return Ok(None),
                    }
                }
                Some(vm.call(function, Args::positional(&args))?)
            }
            Iter::Filter(function, iter) => loop {
                let Some(value) = iter.next(vm)? else { return Ok(None) };
                let keep = match &*function {
                    Value::None => vm.truthy(&value)?,
                    f => {
                        let result = vm.call(f, Args::positional(std::slice::from_ref(&value)))?;
                        vm.truthy(&result)?
                    }
                };
                if keep {
                    return Ok(Some(value));
                }
            },
            Iter::Zip(iters) => {
                if iters.is_empty() {
                    return Ok(None);
                }
                let mut items = Vec::with_capacity(iters.len());
                for iter in iters {
                    match iter.next(vm)? {
                        Some(value) => items.push(value),
                        None => return Ok(None),
                    }
                }
                Some(Value::tuple(items))
            }
            Iter::Enumerate(n, iter) => match iter.next(vm)? {
                Some(value) => {
                    *n += 1;
                    Some(Value::tuple(vec![Value::Int(*n - 1), value]))
                }
                None => None,
            },
            Iter::Gen(generator) => match generator.next(vm) {
                Ok(value) => {
                    if value.is_none() {
                        *self = Iter::Done;
                    }
                    return Ok(value);
                }
                Err(stop) => {
                    *self = Iter::Done;
                    // PEP 479: a StopIteration must not end a generator silently.
                    if let Stop::Raise(e) = &stop
                        && matches!(&e.class, ExcClass::Builtin(Kind::StopIteration))
                    {
                        return raise(Kind::RuntimeError, "generator raised StopIteration");
                    }
                    return Err(stop);
                }
            },
            Iter::Shared(shared) => match shared.try_borrow_mut() {
                Ok(mut iter) => iter.next(vm)?,
                Err(_) => return value_error("generator already executing"),
            },
            Iter::Done => None,
        })
    }

    /// All values that are left.
    ///
    /// # Errors
    /// What a step raises.
    pub fn collect(mut self, vm: &mut Vm) -> R<Vec<Value>> {
        let mut items = Vec::new();
        while let Some(value) = self.next(vm)? {
            vm.memory(size_of::<Value>())?;
            items.push(value);
        }
        Ok(items)
    }
}

impl Gen {
    fn next(&mut self, vm: &mut Vm) -> R<Option<Value>> {
        let code = self.code.clone();
        vm.enter(&code)?;
        let value = stacker::maybe_grow(RED_ZONE, MORE_STACK, || self.step(vm, &code));
        vm.leave(&code);
        value
    }

    fn step(&mut self, vm: &mut Vm, code: &Rc<Code>) -> R<Option<Value>> {
        let Some(comp) = &code.comp else { return Ok(None) };
        'turn: while let Some(iter) = self.open.last_mut() {
            let Some(value) = iter.next(vm)? else {
                self.open.pop();
                continue;
            };
            let level = self.open.len() - 1;
            let clause = &comp.clauses[level];
            vm.assign(&mut self.frame, &clause.target, value)?;
            for condition in &clause.ifs {
                let keep = vm.expr(&mut self.frame, condition)?;
                if !vm.truthy(&keep)? {
                    continue 'turn;
                }
            }
            match comp.clauses.get(level + 1) {
                Some(next) => {
                    let over = vm.expr(&mut self.frame, &next.iter)?;
                    self.open.push(Iter::over(&over)?);
                }
                None => return vm.expr(&mut self.frame, &comp.element).map(Some),
            }
        }
        Ok(None)
    }
}
