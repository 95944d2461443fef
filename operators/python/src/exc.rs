//! Exceptions: the built-in classes, exception objects, and everything else that ends an evaluation.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::class::Class;
use crate::value::Value;

macro_rules! kinds {
    ($($name:ident $text:literal < $parent:ident),* $(,)?) => {
        /// A built-in exception class, or one of the standard library.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Kind { $($name),* }

        impl Kind {
            /// Every class, in the order of the table.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// The class's `__name__`.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$name => $text),* }
            }

            /// The class above it; `BaseException` is its own.
            pub fn parent(self) -> Kind {
                match self { $(Kind::$name => Kind::$parent),* }
            }
        }
    };
}

kinds! {
    BaseException "BaseException" < BaseException,
    Exception "Exception" < BaseException,
    ArithmeticError "ArithmeticError" < Exception,
    ZeroDivisionError "ZeroDivisionError" < ArithmeticError,
    OverflowError "OverflowError" < ArithmeticError,
    LookupError "LookupError" < Exception,
    KeyError "KeyError" < LookupError,
    IndexError "IndexError" < LookupError,
    TypeError "TypeError" < Exception,
    ValueError "ValueError" < Exception,
    UnicodeError "UnicodeError" < ValueError,
    UnicodeDecodeError "UnicodeDecodeError" < UnicodeError,
    UnicodeEncodeError "UnicodeEncodeError" < UnicodeError,
    AttributeError "AttributeError" < Exception,
    NameError "NameError" < Exception,
    UnboundLocalError "UnboundLocalError" < NameError,
    RuntimeError "RuntimeError" < Exception,
    RecursionError "RecursionError" < RuntimeError,
    NotImplementedError "NotImplementedError" < RuntimeError,
    StopIteration "StopIteration" < Exception,
    AssertionError "AssertionError" < Exception,
    ImportError "ImportError" < Exception,
    ModuleNotFoundError "ModuleNotFoundError" < ImportError,
    OSError "OSError" < Exception,
    MemoryError "MemoryError" < Exception,
    Warning "Warning" < Exception,
    JsonDecodeError "JSONDecodeError" < ValueError,
    AddressValueError "AddressValueError" < ValueError,
    NetmaskValueError "NetmaskValueError" < ValueError,
    BinasciiError "Error" < ValueError,
    ParserError "ParserError" < ValueError,
    PatternError "error" < Exception,
    PantherError "PantherError" < Exception,
}

impl Kind {
    /// True if it is `other` or stands below it.
    pub fn is(self, other: Kind) -> bool {
        self == other || (self != Kind::BaseException && self.parent().is(other))
    }

    /// The class that a name means without an import.
    pub fn builtin(name: &str) -> Option<Kind> {
        let imported = [Kind::BinasciiError, Kind::ParserError, Kind::PatternError, Kind::JsonDecodeError];
        let imported2 = [Kind::AddressValueError, Kind::NetmaskValueError, Kind::PantherError];
        if name == "IOError" || name == "EnvironmentError" {
            return Some(Kind::OSError);
        }
        Kind::ALL.iter().copied().find(|k| k.name() == name && !imported.contains(k) && !imported2.contains(k))
    }
}

/// The class of an exception object.
#[derive(Clone, Debug)]
pub enum ExcClass {
    /// One of [`Kind`].
    Builtin(Kind),
    /// A class of the detection or a helper that derives from one.
    User(Rc<Class>),
}

impl ExcClass {
    /// Its `__name__`.
    pub fn name(&self) -> &str {
        match self {
            ExcClass::Builtin(k) => k.name(),
            ExcClass::User(c) => &c.name,
        }
    }

    /// The nearest built-in class.
    pub fn kind(&self) -> Kind {
        match self {
            ExcClass::Builtin(k) => *k,
            ExcClass::User(c) => c.exception().unwrap_or(Kind::Exception),
        }
    }
}

/// Where an exception was raised: what an error record of a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File of the source.
    pub file: Rc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Name of the function.
    pub function: Rc<str>,
}

/// An exception object.
#[derive(Debug)]
pub struct Exc {
    /// Its class.
    pub class: ExcClass,
    /// Its arguments.
    pub args: Vec<Value>,
    /// Attributes that were set on it.
    pub attrs: RefCell<Vec<(Rc<str>, Value)>>,
    /// Where it was raised, once it has left a function.
    pub at: RefCell<Option<Place>>,
    /// True while it is being written out, against endless recursion.
    pub busy: Cell<bool>,
}

impl Exc {
    /// An exception of a class with arguments.
    pub fn new(class: ExcClass, args: Vec<Value>) -> Rc<Exc> {
        Rc::new(Exc { class, args, attrs: RefCell::default(), at: RefCell::default(), busy: Cell::new(false) })
    }
}

impl Drop for Exc {
    fn drop(&mut self) {
        crate::value::drop_all(self.args.drain(..).chain(self.attrs.get_mut().drain(..).map(|(_, v)| v)));
    }
}

/// Why an evaluation did not end with a value.
#[derive(Clone, Debug)]
pub enum Stop {
    /// A Python exception.
    Raise(Rc<Exc>),
    /// Something that is not built: the text says what.
    Unknown(Rc<str>),
    /// The step budget is used up.
    Steps,
    /// The memory budget is used up.
    Memory,
}

/// Result of an evaluation step.
pub type R<T> = Result<T, Stop>;

/// Raise a built-in exception with a message.
pub fn raise<T>(kind: Kind, message: impl AsRef<str>) -> R<T> {
    Err(Stop::Raise(Exc::new(ExcClass::Builtin(kind), vec![Value::str(message.as_ref())])))
}

/// Raise a `TypeError`.
pub fn type_error<T>(message: impl AsRef<str>) -> R<T> {
    raise(Kind::TypeError, message)
}

/// Raise a `ValueError`.
pub fn value_error<T>(message: impl AsRef<str>) -> R<T> {
    raise(Kind::ValueError, message)
}

/// Raise an `AttributeError` for a name on a value.
pub fn attribute_error<T>(value: &Value, name: &str) -> R<T> {
    raise(Kind::AttributeError, format!("'{}' object has no attribute '{name}'", value.type_name()))
}

/// Stop, because something is not built.
pub fn unknown<T>(what: impl AsRef<str>) -> R<T> {
    Err(Stop::Unknown(what.as_ref().into()))
}
