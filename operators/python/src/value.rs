//! Python values.
//!
//! Containers are shared and mutable as in Python (`Rc` and `RefCell`), so a compiled detection belongs to one thread:
//! every worker compiles its own. Integers have 128 bits; what does not fit ends the evaluation as unknown. Text is
//! Unicode without lone surrogates, which JSON input cannot bring either. Sets keep the order of insertion: CPython's
//! order depends on a hash that differs between runs, so any fixed order is as right, and this one is deterministic.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::class::{Class, Object};
use crate::event::{EvDict, EvList};
use crate::exc::Exc;
use crate::ir::Code;
use crate::iter::Iter;
use crate::module::Module;
use crate::name::Name;
use crate::native::NativeFn;
use crate::stdlib::Lib;
use crate::table::Table;

mod kind;

pub use kind::Type;

/// A value, or what stands in a slot.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// An empty slot; never seen by a detection.
    #[default]
    Unbound,
    /// A variable that inner functions share; never seen by a detection.
    Cell(Rc<RefCell<Value>>),
    /// Something imported that is not there. Any use of it is unknown.
    Missing(Rc<str>),
    /// `None`.
    None,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i128),
    /// `float`.
    Float(f64),
    /// `str`.
    Str(Rc<str>),
    /// `bytes`.
    Bytes(Rc<[u8]>),
    /// `list`.
    List(Rc<List>),
    /// `tuple`.
    Tuple(Rc<Tuple>),
    /// `dict`.
    Dict(Rc<Dict>),
    /// `set` or `frozenset`.
    Set(Rc<Set>),
    /// `range`.
    Range(Rc<Range>),
    /// `slice`.
    Slice(Rc<[Value; 3]>),
    /// What `keys()`, `values()` and `items()` give.
    View(Rc<View>),
    /// The event, or a map in it.
    EvDict(Rc<EvDict>),
    /// A list in the event.
    EvList(Rc<EvList>),
    /// An iterator.
    Iter(Rc<RefCell<Iter>>),
    /// A function.
    Func(Rc<Func>),
    /// A native function.
    Native(&'static NativeFn),
    /// A method of a native value.
    Method(Rc<(Value, Name, Rc<str>)>),
    /// A method of an object.
    Bound(Rc<(Value, Rc<Func>)>),
    /// A class of a detection.
    Class(Rc<Class>),
    /// An object of one.
    Object(Rc<Object>),
    /// A built-in class.
    Type(Type),
    /// A module of the detection's repository.
    Module(Rc<Module>),
    /// A native module.
    NativeModule(&'static str),
    /// An exception object.
    Exc(Rc<Exc>),
    /// An object of the standard library.
    Lib(Rc<Lib>),
    /// A stand-in of a unit test: gives a value when called.
    Mock(Rc<Value>),
}

/// `list`.
#[derive(Debug, Default)]
pub struct List {
    /// Its elements.
    pub items: RefCell<Vec<Value>>,
    /// True after loading: a constant of a module must not change.
    pub frozen: Cell<bool>,
}

/// `tuple`.
#[derive(Debug, Default)]
pub struct Tuple(pub Vec<Value>);

/// `dict`.
#[derive(Debug, Default)]
pub struct Dict {
    /// Its entries.
    pub table: RefCell<Table>,
    /// True after loading.
    pub frozen: Cell<bool>,
    /// True for an `OrderedDict`.
    pub ordered: bool,
}

/// `set` or `frozenset`.
#[derive(Debug, Default)]
pub struct Set {
    /// Its elements, as keys.
    pub table: RefCell<Table>,
    /// True for a `frozenset`, and for a `set` after loading.
    pub frozen: Cell<bool>,
    /// True for a `frozenset`.
    pub immutable: bool,
}

/// `range`.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// First number.
    pub start: i128,
    /// The number before which it ends.
    pub stop: i128,
    /// Step, not 0.
    pub step: i128,
}

impl Range {
    /// Count of its numbers.
    pub fn len(&self) -> i128 {
        let (lo, hi, step) =
            if self.step > 0 { (self.start, self.stop, self.step) } else { (self.stop, self.start, -self.step) };
        if hi <= lo { 0 } else { (hi - lo - 1) / step + 1 }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which part of a map a view shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `keys()`.
    Keys,
    /// `values()`.
    Values,
    /// `items()`.
    Items,
}

/// A view of a map.
#[derive(Debug)]
pub struct View {
    /// A dict or a map of the event.
    pub of: Value,
    /// What it shows.
    pub part: Part,
}

/// A function with what it closes over.
#[derive(Debug)]
pub struct Func {
    /// Its code.
    pub code: Rc<Code>,
    /// Its module. Weak: the module holds the function.
    pub module: Weak<Module>,
    /// Values of the parameters with a default, the last positional ones.
    pub defaults: Vec<Value>,
    /// Defaults of keyword-only parameters.
    pub kw_defaults: Vec<(Rc<str>, Value)>,
    /// Variables of enclosing functions.
    pub closure: Vec<Rc<RefCell<Value>>>,
    /// The class that it was defined in, for `super()`.
    pub owner: RefCell<Weak<Class>>,
}

impl Value {
    /// A `str`.
    pub fn str(text: impl AsRef<str>) -> Value {
        Value::Str(Rc::from(text.as_ref()))
    }

    /// A `list`.
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Rc::new(List { items: RefCell::new(items), frozen: Cell::new(false) }))
    }

    /// A `tuple`.
    pub fn tuple(items: Vec<Value>) -> Value {
        Value::Tuple(Rc::new(Tuple(items)))
    }

    /// A `dict`.
    pub fn dict(table: Table) -> Value {
        Value::Dict(Rc::new(Dict { table: RefCell::new(table), ..Dict::default() }))
    }

    /// A `set`.
    pub fn set(table: Table) -> Value {
        Value::Set(Rc::new(Set { table: RefCell::new(table), ..Set::default() }))
    }

    /// An iterator.
    pub fn iter(iter: Iter) -> Value {
        Value::Iter(Rc::new(RefCell::new(iter)))
    }

    /// An object of the standard library.
    pub fn lib(lib: Lib) -> Value {
        Value::Lib(Rc::new(lib))
    }

    /// Its class, for values whose class is built in.
    pub fn type_of(&self) -> Type {
        match self {
            Value::None => Type::NoneType,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Float(_) => Type::Float,
            Value::Str(_) => Type::Str,
            Value::Bytes(_) => Type::Bytes,
            Value::List(_) => Type::List,
            Value::Tuple(_) => Type::Tuple,
            Value::Dict(d) if d.ordered => Type::OrderedDict,
            Value::Dict(_) => Type::Dict,
            Value::Set(s) if s.immutable => Type::FrozenSet,
            Value::Set(_) => Type::Set,
            Value::Range(_) => Type::Range,
            Value::Slice(_) => Type::Slice,
            Value::View(_) => Type::View,
            Value::EvDict(e) if e.root => Type::Event,
            Value::EvDict(_) => Type::EvDict,
            Value::EvList(_) => Type::EvList,
            Value::Iter(_) => Type::Iterator,
            Value::Func(_) => Type::Function,
            Value::Native(_) | Value::Method(_) | Value::Bound(_) => Type::Builtin,
            Value::Class(_) | Value::Type(_) => Type::Meta,
            Value::Module(_) | Value::NativeModule(_) => Type::Module,
            Value::Exc(e) => Type::Exc(e.class.kind()),
            Value::Lib(l) => l.type_of(),
            Value::Mock(_) => Type::MagicMock,
            Value::Object(_) | Value::Unbound | Value::Cell(_) | Value::Missing(_) => Type::Object,
        }
    }

    /// Name of its class, as error messages have it.
    pub fn type_name(&self) -> String {
        match self {
            Value::Object(o) => o.class.name.to_string(),
            Value::Exc(e) => e.class.name().into(),
            Value::View(v) => match v.part {
                Part::Keys if matches!(v.of, Value::EvDict(_)) => "KeysView".into(),
                Part::Values if matches!(v.of, Value::EvDict(_)) => "ValuesView".into(),
                Part::Items if matches!(v.of, Value::EvDict(_)) => "ItemsView".into(),
                Part::Keys => "dict_keys".into(),
                Part::Values => "dict_values".into(),
                Part::Items => "dict_items".into(),
            },
            Value::Lib(l) => l.dotted().into(),
            Value::Iter(i) => i.try_borrow().map_or("generator", |i| i.class_name()).into(),
            v => v.type_of().name().into(),
        }
    }

    /// True for `None`.
    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }
}

thread_local! {
    /// Children of dropped containers that wait: a deep value is taken apart in a loop, not by recursion.
    static WAITING: RefCell<(bool, Vec<Value>)> = const { RefCell::new((false, Vec::new())) };
}

/// Drop values one after the other, however deep they are.
pub(crate) fn drop_all(values: impl Iterator<Item = Value>) {
    let plain = |v: &Value| {
        matches!(
            v,
            Value::Unbound
                | Value::None
                | Value::Bool(_)
                | Value::Int(_)
                | Value::Float(_)
                | Value::Str(_)
                | Value::Bytes(_)
                | Value::Type(_)
                | Value::Native(_)
                | Value::NativeModule(_)
        )
    };
    let mut deep = values.filter(|v| !plain(v)).peekable();
    if deep.peek().is_none() {
        return;
    }
    let first = WAITING.with_borrow_mut(|(busy, waiting)| {
        waiting.extend(deep);
        !std::mem::replace(busy, true)
    });
    if first {
        while let Some(value) = WAITING.with_borrow_mut(|(_, waiting)| waiting.pop()) {
            drop(value);
        }
        WAITING.with_borrow_mut(|(busy, _)| *busy = false);
    }
}

impl Drop for Func {
    fn drop(&mut self) {
        let cells = self.closure.drain(..).filter_map(|cell| Rc::try_unwrap(cell).ok()).map(RefCell::into_inner);
        drop_all(cells.chain(self.defaults.drain(..)).chain(self.kw_defaults.drain(..).map(|(_, v)| v)));
    }
}

impl Drop for List {
    fn drop(&mut self) {
        drop_all(self.items.get_mut().drain(..));
    }
}

impl Drop for Tuple {
    fn drop(&mut self) {
        drop_all(self.0.drain(..));
    }
}
