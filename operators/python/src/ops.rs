//! Operators on values: truth, identity, equality, order, membership, arithmetic.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::exc::{R, unknown};
use crate::iter::Iter;
use crate::stdlib::Lib;
use crate::value::Value;

mod arithmetic;
mod compare;
mod sets;

use arithmetic::bad_operands;
pub use arithmetic::{MAX_REPEAT, binary, float_divmod, unary};
use compare::plain_table;
pub use compare::{compare, contains, eq, order, same};
pub use sets::{as_set, frozen_copy, set_cmp, set_operator};

/// Depth of nested values up to which they are compared or written; CPython gives up at about a thousand frames.
pub const MAX_NESTING: u32 = 200;

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Bin {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
    Shl,
    Shr,
    And,
    Or,
    Xor,
}

impl Bin {
    /// Its sign, as error messages have it.
    pub fn sign(self) -> &'static str {
        match self {
            Bin::Add => "+",
            Bin::Sub => "-",
            Bin::Mul => "*",
            Bin::Div => "/",
            Bin::FloorDiv => "//",
            Bin::Mod => "%",
            Bin::Pow => "** or pow()",
            Bin::Shl => "<<",
            Bin::Shr => ">>",
            Bin::And => "&",
            Bin::Or => "|",
            Bin::Xor => "^",
        }
    }
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Is,
    IsNot,
    In,
    NotIn,
}

/// Truth of a value.
///
/// # Errors
/// Unknown for something that is not there.
pub fn truthy(value: &Value) -> R<bool> {
    Ok(match value {
        Value::None => false,
        Value::Bool(b) => *b,
        Value::Int(i) => *i != 0,
        Value::Float(f) => *f != 0.0,
        Value::Str(s) => !s.is_empty(),
        Value::Bytes(b) => !b.is_empty(),
        Value::List(l) => !l.items.borrow().is_empty(),
        Value::Tuple(t) => !t.0.is_empty(),
        Value::Dict(d) => !d.table.borrow().is_empty(),
        Value::Set(s) => !s.table.borrow().is_empty(),
        Value::Range(r) => !r.is_empty(),
        Value::EvDict(e) => !e.items().is_empty(),
        Value::EvList(l) => !l.items.is_empty(),
        Value::View(v) => truthy(&v.of)?,
        Value::Lib(l) => match &**l {
            Lib::Delta(d) => *d != 0,
            _ => true,
        },
        Value::Object(o) if o.class.find("__len__").is_some() || o.class.find("__bool__").is_some() => {
            return unknown("truth of an object with its own __len__ or __bool__");
        }
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        _ => true,
    })
}

/// A number that stands for the identity of an object.
pub fn identity(value: &Value) -> usize {
    fn at<T: ?Sized>(rc: &Rc<T>) -> usize {
        Rc::as_ptr(rc) as *const u8 as usize
    }
    match value {
        Value::Str(v) => at(v),
        Value::Bytes(v) => at(v),
        Value::List(v) => at(v),
        Value::Tuple(v) => at(v),
        Value::Dict(v) => at(v),
        Value::Set(v) => at(v),
        Value::Range(v) => at(v),
        Value::Slice(v) => at(v),
        Value::View(v) => at(v),
        Value::EvDict(v) => at(v),
        Value::EvList(v) => at(v),
        Value::Iter(v) => at(v),
        Value::Func(v) => at(v),
        Value::Native(f) => *f as *const _ as usize,
        Value::Method(v) => at(v),
        Value::Bound(v) => at(v),
        Value::Class(v) => at(v),
        Value::Object(v) => at(v),
        Value::Module(v) => at(v),
        Value::NativeModule(n) => n.as_ptr() as usize,
        Value::Exc(v) => at(v),
        Value::Lib(v) => at(v),
        Value::Mock(v) => at(v),
        Value::Type(t) => t.name().as_ptr() as usize,
        _ => 0,
    }
}

/// `is`. Small values are one object each; equal numbers and texts count as one object, which CPython promises for
/// neither (it warns about `is` with a literal).
pub fn is(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(x), Value::Bool(y)) => x == y,
        (Value::Int(x), Value::Int(y)) => x == y,
        (Value::Float(x), Value::Float(y)) => !x.is_nan() && x.to_bits() == y.to_bits(),
        (Value::Str(x), Value::Str(y)) => x == y,
        (Value::Type(x), Value::Type(y)) => x == y,
        (Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_), _) => false,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b) && identity(a) == identity(b),
    }
}

/// The integer that a float is exactly, if it is one.
pub fn exact_int(f: f64) -> Option<i128> {
    (f.is_finite() && f.fract() == 0.0 && f.abs() < 1.7e38).then_some(f as i128)
}

/// The number in an `int` or `bool`.
pub fn int_of(value: &Value) -> Option<i128> {
    match value {
        Value::Int(i) => Some(*i),
        Value::Bool(b) => Some(i128::from(*b)),
        _ => None,
    }
}

/// The number in an `int`, `bool` or `float`, as a float.
pub fn float_of(value: &Value) -> Option<f64> {
    match value {
        Value::Float(f) => Some(*f),
        v => int_of(v).map(|i| i as f64),
    }
}

fn cmp_int_float(i: i128, f: f64) -> Option<Ordering> {
    if f.is_nan() {
        return None;
    }
    if f.abs() >= 1.7e38 {
        return Some(if f > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let whole = f.trunc();
    Some(i.cmp(&(whole as i128)).then_with(|| {
        if f > whole {
            Ordering::Less
        } else if f < whole {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }))
}

/// Order of two numbers; `None` with a NaN. Outer `None` if one of them is not a number.
pub fn cmp_numbers(a: &Value, b: &Value) -> Option<Option<Ordering>> {
    match (a, b) {
        (Value::Float(x), Value::Float(y)) => Some(x.partial_cmp(y)),
        (Value::Float(x), y) => int_of(y).map(|i| cmp_int_float(i, *x).map(Ordering::reverse)),
        (x, Value::Float(y)) => int_of(x).map(|i| cmp_int_float(i, *y)),
        (x, y) => Some(Some(int_of(x)?.cmp(&int_of(y)?))),
    }
}

/// An iterator over a value.
///
/// # Errors
/// `TypeError` for what is not iterable.
pub fn iterate(value: &Value) -> R<Iter> {
    Iter::over(value)
}
