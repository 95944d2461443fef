//! The event as detections see it: a read-only map whose keys ignore case, and read-only lists in it.
//!
//! An event is converted once and shared by all detections; one with a [`Source`] field by field, as they are asked for. Keys: exact first, then without regard to case, where the
//! first of several wins; a key that is no text has no case, so looking for it raises. A map of the event is a `Mapping`
//! but no `dict`, a list a `Sequence` but no `list`, and inside a tuple: so it prints, so it is sliced. What `deep_walk`
//! finds, and what `copy()` and `to_dict()` give, is plain.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use ahash::RandomState;
use serde_json::Value as Json;

use crate::exc::{Kind, R, attribute_error, raise, type_error, unknown};
use crate::native::Vm;
use crate::table::{self, Table};
use crate::value::{Dict, List, Type, Value};

/// Where an event is that has not been put together: it is read field by field.
pub trait Source: std::fmt::Debug {
    /// A field by its name; without `exact`, by a name that differs in the case of its letters only if there is none of
    /// this name.
    fn field(&self, name: &str, exact: bool) -> Field;
    /// What stands at keys inside one another, exact ones, if that is a scalar other than `None` and is known without more
    /// work.
    fn scalar(&self, keys: &[&str]) -> Option<Json>;
    /// The event as a JSON object.
    fn whole(&self) -> Rc<Json>;
}

/// What a [`Source`] says of a field.
#[derive(Debug)]
pub enum Field {
    /// Its name in the event, and its value.
    Value(Arc<str>, Json),
    /// There is none.
    Absent,
    /// Only the whole event tells.
    Unknown,
}

/// A map of the event.
#[derive(Debug, Default)]
pub struct EvDict {
    /// Entries, in the order of the event; of an event with a source, once all are wanted.
    items: OnceCell<Vec<(Rc<str>, Value)>>,
    /// True for the event itself.
    pub root: bool,
    source: Option<Rc<dyn Source>>,
    /// What the source said so far.
    read: RefCell<Vec<Read>>,
    /// True if every key is ASCII.
    ascii: OnceCell<bool>,
    exact: OnceCell<HashMap<Rc<str>, usize, RandomState>>,
    folded: OnceCell<HashMap<String, usize, RandomState>>,
}

/// An answer of a source.
#[derive(Debug)]
struct Read {
    key: Rc<str>,
    exact: bool,
    /// The name and value of a field.
    found: Option<(Arc<str>, Value)>,
}

/// A list of the event.
#[derive(Debug, Default)]
pub struct EvList {
    /// Its elements.
    pub items: Vec<Value>,
}

/// Entries up to which a map is searched in order: to make an index costs more than the few searches of an event.
pub(crate) const FEW: usize = 48;

/// Seeds are fixed: no order depends on a hash.
fn hashes() -> RandomState {
    RandomState::with_seeds(5, 6, 7, 8)
}

impl EvDict {
    /// A map with these entries, inside of an event.
    pub fn of(items: Vec<(Rc<str>, Value)>) -> EvDict {
        EvDict { items: items.into(), ..EvDict::default() }
    }

    /// An event that is read from a source.
    pub fn from(source: Rc<dyn Source>) -> EvDict {
        EvDict { source: Some(source), root: true, ..EvDict::default() }
    }

    /// All entries, in the order of the event.
    pub fn items(&self) -> &[(Rc<str>, Value)] {
        self.items.get_or_init(|| {
            let Some(source) = &self.source else { return Vec::new() };
            let whole = source.whole();
            let read = self.read.borrow();
            // A value that a detection has already is that value and no copy.
            let had = |name: &str| {
                let named = |r: &Read| r.found.as_ref().filter(|f| *f.0 == *name).map(|f| f.1.clone());
                read.iter().find_map(named)
            };
            let entry = |(k, v): (&String, &Json)| (Rc::from(k.as_str()), had(k).unwrap_or_else(|| from_json(v)));
            whole.as_object().into_iter().flatten().map(entry).collect()
        })
    }

    /// Ask the source; `Err` where all entries are there or have to be.
    fn ask(&self, key: &str, exact: bool) -> Result<Option<Value>, ()> {
        let (None, Some(source)) = (self.items.get(), &self.source) else { return Err(()) };
        let asked = |r: &&Read| *r.key == *key && (r.exact == exact || r.found.as_ref().is_some_and(|f| *f.0 == *key));
        if let Some(read) = self.read.borrow().iter().find(asked) {
            return Ok(read.found.as_ref().map(|f| f.1.clone()));
        }
        let found = match source.field(key, exact) {
            Field::Unknown => return Err(()),
            Field::Absent => None,
            Field::Value(name, json) => {
                let had = self.read.borrow().iter().find_map(|r| r.found.clone().filter(|f| f.0 == name));
                Some(had.unwrap_or_else(|| (name, from_json(&json))))
            }
        };
        let value = found.as_ref().map(|f| f.1.clone());
        self.read.borrow_mut().push(Read { key: key.into(), exact, found });
        Ok(value)
    }

    /// The scalar at exact keys inside one another, where the source knows it at once.
    fn scalar(&self, keys: &[Value]) -> Option<Value> {
        let (None, Some(source), 2..) = (self.items.get(), &self.source, keys.len()) else { return None };
        let keys: Option<Vec<&str>> =
            keys.iter().map(|key| if let Value::Str(text) = key { Some(&**text) } else { None }).collect();
        source.scalar(&keys?).map(|json| from_json(&json))
    }

    /// Value of an exact key.
    pub fn exact(&self, key: &str) -> Option<Value> {
        if let Ok(answer) = self.ask(key, true) {
            return answer;
        }
        let items = self.items();
        if items.len() <= FEW {
            return items.iter().find(|(k, _)| &**k == key).map(|(_, v)| v.clone());
        }
        let index = self.exact.get_or_init(|| {
            let mut index = HashMap::with_capacity_and_hasher(items.len(), hashes());
            for (i, (k, _)) in items.iter().enumerate() {
                index.insert(k.clone(), i);
            }
            index
        });
        index.get(key).map(|i| items[*i].1.clone())
    }

    /// Value of a key, exact or without regard to case.
    pub fn get(&self, key: &str) -> Option<Value> {
        match self.ask(key, false) {
            Ok(answer) => answer,
            Err(()) => self.exact(key).or_else(|| self.ignoring_case(key)),
        }
    }

    fn ignoring_case(&self, key: &str) -> Option<Value> {
        let items = self.items();
        let ascii = || *self.ascii.get_or_init(|| items.iter().all(|(k, _)| k.is_ascii()));
        if items.len() <= FEW && key.is_ascii() && ascii() {
            return items.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.clone());
        }
        let folded = self.folded.get_or_init(|| {
            let mut index = HashMap::with_capacity_and_hasher(items.len(), hashes());
            for (i, (k, _)) in items.iter().enumerate() {
                index.entry(k.to_lowercase()).or_insert(i);
            }
            index
        });
        folded.get(&key.to_lowercase()).map(|i| items[*i].1.clone())
    }

    /// Value of any key.
    ///
    /// # Errors
    /// `TypeError` for a key that cannot be hashed, `AttributeError` for another one that has no `lower()`.
    pub fn find(&self, key: &Value) -> R<Option<Value>> {
        match key {
            Value::Str(key) => Ok(self.get(key)),
            other => no_text(other),
        }
    }
}

/// Looking for a key that is no text: the key is asked for its `lower()`.
#[cold]
fn no_text(key: &Value) -> R<Option<Value>> {
    table::hash(key)?;
    match key {
        Value::Bytes(_) => Ok(None),
        Value::Type(t @ (Type::Str | Type::Bytes)) => {
            type_error(format!("unbound method {}.lower() needs an argument", t.name()))
        }
        Value::Type(t) => raise(Kind::AttributeError, format!("type object '{}' has no attribute 'lower'", t.name())),
        Value::Missing(name) => unknown(format!("`{name}` is not available")),
        Value::Object(_) | Value::Class(_) | Value::Module(_) | Value::NativeModule(_) | Value::Mock(_) => {
            unknown(format!("a {} as a key of the event", key.type_name()))
        }
        other => attribute_error(other, "lower"),
    }
}

/// A JSON value as part of an event.
pub fn from_json(json: &Json) -> Value {
    convert(json, false)
}

/// A JSON object as an event.
pub fn event(map: &serde_json::Map<String, Json>) -> Rc<EvDict> {
    let items = map.iter().map(|(k, v)| (Rc::from(k.as_str()), from_json(v))).collect();
    Rc::new(EvDict { root: true, ..EvDict::of(items) })
}

/// A JSON value as plain values: `dict` and `list`.
pub fn plain_from_json(json: &Json) -> Value {
    convert(json, true)
}

fn convert(json: &Json, plain: bool) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Value::Int(i.into()),
            (_, Some(u)) => Value::Int(u.into()),
            _ => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(s) => Value::str(s),
        Json::Array(items) if plain => Value::list(items.iter().map(plain_from_json).collect()),
        Json::Array(items) => Value::EvList(Rc::new(EvList { items: items.iter().map(from_json).collect() })),
        Json::Object(map) if plain => {
            let mut table = Table::default();
            for (key, value) in map {
                // A text key can always be hashed.
                let _ = table.set(Value::str(key), plain_from_json(value));
            }
            Value::dict(table)
        }
        Json::Object(map) => {
            let items = map.iter().map(|(k, v)| (Rc::from(k.as_str()), from_json(v))).collect();
            Value::EvDict(Rc::new(EvDict::of(items)))
        }
    }
}

/// A plain copy of a value of the event, `dict` and `list` all the way down.
pub fn plain(value: &Value) -> Value {
    let entry = |table: &mut Table, key: Value, value: &Value| {
        // A key of another table can be hashed.
        let _ = table.set(key, plain(value));
    };
    match value {
        Value::EvDict(e) => {
            let mut table = Table::default();
            for (key, value) in e.items() {
                entry(&mut table, Value::Str(key.clone()), value);
            }
            Value::dict(table)
        }
        Value::EvList(l) => Value::list(l.items.iter().map(plain).collect()),
        // What a method of a data model gave may have these in it.
        Value::Tuple(t) => Value::list(t.0.iter().map(plain).collect()),
        Value::List(l) => Value::list(l.items.borrow().iter().map(plain).collect()),
        Value::Dict(d) => {
            let mut table = Table::default();
            for (key, value) in d.table.borrow().iter() {
                entry(&mut table, key.clone(), value);
            }
            Value::dict(table)
        }
        other => other.clone(),
    }
}

/// What is inside of a container of the event, as a slice of a list shows it: `dict` and `list`, which the event shares
/// and which therefore must not change.
///
/// # Errors
/// If the budget of memory is used up.
pub(crate) fn inside(vm: &mut Vm, value: &Value) -> R<Value> {
    match value {
        Value::EvDict(e) => {
            vm.memory(256 * e.items().len())?;
            let mut table = Table::default();
            for (key, value) in e.items() {
                table.set(Value::Str(key.clone()), inside(vm, value)?)?;
            }
            Ok(Value::Dict(Rc::new(Dict { table: table.into(), frozen: true.into(), ordered: false })))
        }
        Value::EvList(l) => {
            vm.memory(64 * l.items.len())?;
            let items = l.items.iter().map(|v| inside(vm, v)).collect::<R<Vec<_>>>()?;
            Ok(Value::List(Rc::new(List { items: items.into(), frozen: true.into() })))
        }
        other => Ok(other.clone()),
    }
}

/// A value that a method of a data model gave as a part of the event: a `dict` and a `list` are read-only from then on.
///
/// # Errors
/// Unknown for containers that no JSON could have made; if the budget of memory is used up.
pub(crate) fn read_only(vm: &mut Vm, value: Value) -> R<Value> {
    match value {
        Value::List(_) => convert_inside(vm, &value, 0),
        Value::Dict(ref d) if !d.ordered => convert_inside(vm, &value, 0),
        other => Ok(other),
    }
}

fn convert_inside(vm: &mut Vm, value: &Value, depth: u32) -> R<Value> {
    if depth > crate::ops::MAX_NESTING {
        return unknown("a deep container that a method of a data model gives");
    }
    match value {
        Value::List(l) => {
            vm.memory(64 * l.items.borrow().len())?;
            let items = l.items.borrow().iter().map(|v| convert_inside(vm, v, depth + 1)).collect::<R<Vec<_>>>()?;
            Ok(Value::EvList(Rc::new(EvList { items })))
        }
        Value::Dict(d) if !d.ordered => {
            vm.memory(64 * d.table.borrow().len())?;
            let mut items = Vec::new();
            for (key, value) in d.table.borrow().iter() {
                let Value::Str(key) = key else {
                    return unknown("a dict with a key that is no text, which a method of a data model gives");
                };
                items.push((key.clone(), convert_inside(vm, value, depth + 1)?));
            }
            Ok(Value::EvDict(Rc::new(EvDict::of(items))))
        }
        Value::Tuple(t) if t.0.iter().all(|v| !table::is_container(v)) => Ok(value.clone()),
        other if table::is_container(other) => {
            unknown(format!("a {} in a container that a method of a data model gives", other.type_name()))
        }
        other => Ok(other.clone()),
    }
}

/// `event.deep_get(*keys, default=None)`: the default also for `None`, and where a value on the way is no map.
///
/// # Errors
/// As [`EvDict::find`].
pub fn deep_get(event: &Rc<EvDict>, keys: &[Value], default: &Value) -> R<Value> {
    if let Some(found) = event.scalar(keys) {
        return Ok(found);
    }
    let mut at = Value::EvDict(event.clone());
    for key in keys {
        // As a fold: where a key is missing, the walk goes on in the default.
        at = match &at {
            Value::EvDict(e) => e.find(key)?.unwrap_or_else(|| default.clone()),
            Value::Dict(d) => d.table.borrow().get(key)?.unwrap_or(default).clone(),
            _ => default.clone(),
        };
    }
    Ok(if at.is_none() { default.clone() } else { at })
}

/// `event.deep_walk(*keys, default=None, return_val="all")`: as `deep_get`, but through lists, case-sensitive, on the
/// raw event. Hits in a list are flattened and made unique; a single one is unwrapped.
///
/// # Errors
/// `TypeError` if a hit in a list cannot be hashed.
pub fn deep_walk(event: &Rc<EvDict>, keys: &[Value], default: &Value, which: &Value) -> R<Value> {
    walk(&Value::EvDict(event.clone()), keys, default, which)
}

fn hollow(value: &Value, depth: u32) -> bool {
    match value {
        Value::EvList(l) if depth < crate::ops::MAX_NESTING => l.items.iter().all(|v| hollow(v, depth + 1)),
        _ => false,
    }
}

fn walk(at: &Value, keys: &[Value], default: &Value, which: &Value) -> R<Value> {
    let Some((key, rest)) = keys.split_first() else {
        return Ok(if hollow(at, 0) { default.clone() } else { plain(at) });
    };
    match at {
        Value::EvDict(e) => {
            let next = match key {
                Value::Str(k) => e.exact(k),
                other => {
                    table::hash(other)?;
                    None
                }
            };
            match next {
                None | Some(Value::None) => Ok(default.clone()),
                Some(next) => walk(&next, rest, default, which),
            }
        }
        Value::EvList(l) => {
            let mut found = Table::default();
            for item in &l.items {
                match walk(item, keys, default, which)? {
                    Value::None => {}
                    Value::List(hits) => {
                        for hit in hits.items.borrow().iter() {
                            found.set(hit.clone(), Value::None)?;
                        }
                    }
                    Value::EvList(hits) => {
                        for hit in &hits.items {
                            found.set(hit.clone(), Value::None)?;
                        }
                    }
                    Value::Tuple(hits) => {
                        for hit in &hits.0 {
                            found.set(hit.clone(), Value::None)?;
                        }
                    }
                    hit => found.set(hit, Value::None)?,
                }
            }
            let hits: Vec<Value> = found.keys().cloned().collect();
            let (Some(first), Some(last)) = (hits.first().cloned(), hits.last().cloned()) else {
                return Ok(default.clone());
            };
            match which {
                Value::Str(s) if &**s == "first" => Ok(first),
                Value::Str(s) if &**s == "last" => Ok(last),
                Value::Str(s) if &**s == "all" => Ok(if hits.len() == 1 { first } else { Value::list(hits) }),
                _ => Ok(Value::str("all")),
            }
        }
        _ => Ok(default.clone()),
    }
}
