//! Operators on values: truth, identity, equality, order, membership, arithmetic.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::iter::Iter;
use crate::stdlib::{self, Lib};
use crate::table::Table;
use crate::value::{Part, Value};

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
        Value::EvDict(e) => !e.items.is_empty(),
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

/// `==` of values that can be keys: it cannot fail.
pub fn same(a: &Value, b: &Value) -> bool {
    equal(a, b, 0).unwrap_or(false)
}

/// `==`.
///
/// # Errors
/// `RecursionError` for values that are nested too deep.
pub fn eq(a: &Value, b: &Value) -> R<bool> {
    equal(a, b, 0)
}

fn equal_all<'a>(
    a: impl ExactSizeIterator<Item = &'a Value>,
    b: impl ExactSizeIterator<Item = &'a Value>,
    depth: u32,
) -> R<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (x, y) in a.zip(b) {
        // Containers look at identity first: [nan] == [nan] with one and the same nan.
        if !is(x, y) && !equal(x, y, depth)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal(a: &Value, b: &Value, depth: u32) -> R<bool> {
    use Value::*;
    if depth > MAX_NESTING {
        return raise(Kind::RecursionError, "maximum recursion depth exceeded in comparison");
    }
    let depth = depth + 1;
    Ok(match (a, b) {
        (Str(x), Str(y)) => x == y,
        (None, None) => true,
        // In a container identity comes first, and a float has none here.
        (Float(x), Float(y)) if depth > 1 && x.is_nan() && y.is_nan() => {
            return unknown("identity of a NaN in a container");
        }
        (Bool(_) | Int(_) | Float(_), Bool(_) | Int(_) | Float(_)) => cmp_numbers(a, b) == Some(Some(Ordering::Equal)),
        (Bytes(x), Bytes(y)) => x == y,
        (List(x), List(y)) => {
            if Rc::ptr_eq(x, y) {
                let items = x.items.borrow().clone();
                return equal_all(items.iter(), items.iter(), depth);
            }
            let (x, y) = (x.items.borrow().clone(), y.items.borrow().clone());
            equal_all(x.iter(), y.iter(), depth)?
        }
        (Tuple(x), Tuple(y)) => equal_all(x.0.iter(), y.0.iter(), depth)?,
        // A list of the event equals a list or a tuple with equal elements.
        (EvList(x), EvList(y)) => equal_all(x.items.iter(), y.items.iter(), depth)?,
        (EvList(x), List(y)) | (List(y), EvList(x)) => {
            let y = y.items.borrow().clone();
            equal_all(x.items.iter(), y.iter(), depth)?
        }
        (EvList(x), Tuple(y)) | (Tuple(y), EvList(x)) => equal_all(x.items.iter(), y.0.iter(), depth)?,
        (Dict(_) | EvDict(_), Dict(_) | EvDict(_)) => {
            let (x, y) = (plain_table(a)?, plain_table(b)?);
            if x.len() != y.len() {
                return Ok(false);
            }
            for (key, value) in x.iter() {
                match y.get(key)? {
                    Some(other) if is(value, other) || equal(value, other, depth)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Set(_), Set(_)) => set_cmp(a, b)? == Some(Ordering::Equal),
        (View(x), Set(_)) if x.part != Part::Values => equal(&as_set(a)?, b, depth)?,
        (Set(_), View(y)) if y.part != Part::Values => equal(a, &as_set(b)?, depth)?,
        (View(x), View(y)) if x.part != Part::Values && y.part != Part::Values => {
            equal(&as_set(a)?, &as_set(b)?, depth)?
        }
        (Range(x), Range(y)) => {
            x.len() == y.len() && (x.is_empty() || (x.start == y.start && (x.len() == 1 || x.step == y.step)))
        }
        (Type(x), Type(y)) => x == y,
        (Lib(x), Lib(y)) => stdlib::equal(x, y)?,
        (Missing(name), _) | (_, Missing(name)) => return unknown(format!("`{name}` is not available")),
        (Object(o), _) | (_, Object(o)) if o.class.find("__eq__").is_some() => {
            return unknown("comparison of an object with its own __eq__");
        }
        _ => is(a, b),
    })
}

/// The entries of a dict or of a map of the event.
fn plain_table(value: &Value) -> R<Table> {
    match value {
        Value::Dict(d) => Ok(d.table.borrow().clone()),
        Value::EvDict(e) => {
            let mut table = Table::default();
            for (key, value) in &e.items {
                table.set(Value::Str(key.clone()), value.clone())?;
            }
            Ok(table)
        }
        _ => type_error("not a mapping"),
    }
}

/// A view as the set that it behaves like.
///
/// # Errors
/// `TypeError` if an element cannot be hashed.
pub fn as_set(value: &Value) -> R<Value> {
    let mut table = Table::default();
    if let Value::View(v) = value {
        let of = plain_table(&v.of)?;
        for (key, value) in of.iter() {
            match v.part {
                Part::Items => table.set(Value::tuple(vec![key.clone(), value.clone()]), Value::None)?,
                _ => table.set(key.clone(), Value::None)?,
            }
        }
    }
    Ok(Value::set(table))
}

/// Order of two sets by inclusion; `None` if neither holds the other.
pub fn set_cmp(a: &Value, b: &Value) -> R<Option<Ordering>> {
    let (Value::Set(x), Value::Set(y)) = (a, b) else { return Ok(None) };
    let (x, y) = (x.table.borrow(), y.table.borrow());
    let mut both = 0;
    for key in x.keys() {
        if y.get(key)?.is_some() {
            both += 1;
        }
    }
    Ok(match (both == x.len(), both == y.len()) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        _ => None,
    })
}

/// One comparison.
///
/// # Errors
/// `TypeError` where Python has no order or no membership.
pub fn compare(op: Cmp, a: &Value, b: &Value) -> R<bool> {
    match op {
        Cmp::Eq => eq(a, b),
        Cmp::Ne => eq(a, b).map(|r| !r),
        Cmp::Is => Ok(is(a, b)),
        Cmp::IsNot => Ok(!is(a, b)),
        Cmp::In => contains(b, a),
        Cmp::NotIn => contains(b, a).map(|r| !r),
        Cmp::Lt => order(a, b, "<", 0).map(|o| o == Some(Ordering::Less)),
        Cmp::Le => order(a, b, "<=", 0).map(|o| matches!(o, Some(Ordering::Less | Ordering::Equal))),
        Cmp::Gt => order(a, b, ">", 0).map(|o| o == Some(Ordering::Greater)),
        Cmp::Ge => order(a, b, ">=", 0).map(|o| matches!(o, Some(Ordering::Greater | Ordering::Equal))),
    }
}

/// Order of two values.
///
/// # Errors
/// `TypeError` if their types have no order.
pub fn order(a: &Value, b: &Value, sign: &str, depth: u32) -> R<Option<Ordering>> {
    use Value::*;
    if depth > MAX_NESTING {
        return raise(Kind::RecursionError, "maximum recursion depth exceeded in comparison");
    }
    if let Some(numbers) = cmp_numbers(a, b) {
        return Ok(numbers);
    }
    match (a, b) {
        (Str(x), Str(y)) => Ok(Some(x.chars().cmp(y.chars()))),
        (Bytes(x), Bytes(y)) => Ok(Some(x.cmp(y))),
        (List(x), List(y)) => {
            let (x, y) = (x.items.borrow().clone(), y.items.borrow().clone());
            order_all(&x, &y, sign, depth)
        }
        (Tuple(x), Tuple(y)) => order_all(&x.0, &y.0, sign, depth),
        (Set(_), Set(_)) => set_cmp(a, b),
        (View(x), View(y)) if x.part != Part::Values && y.part != Part::Values => set_cmp(&as_set(a)?, &as_set(b)?),
        (View(x), Set(_)) if x.part != Part::Values => set_cmp(&as_set(a)?, b),
        (Set(_), View(y)) if y.part != Part::Values => set_cmp(a, &as_set(b)?),
        (Lib(x), Lib(y)) => match stdlib::order(x, y)? {
            Some(o) => Ok(Some(o)),
            Option::None => no_order(a, b, sign),
        },
        (Missing(name), _) | (_, Missing(name)) => unknown(format!("`{name}` is not available")),
        (Object(_), _) | (_, Object(_)) => unknown("order of objects of a class"),
        _ => no_order(a, b, sign),
    }
}

fn no_order<T>(a: &Value, b: &Value, sign: &str) -> R<T> {
    let (a, b) = (a.type_name(), b.type_name());
    let short = |n: &str| n.rsplit('.').next().unwrap_or_default().to_string();
    let (a, b) = if a.starts_with("datetime") || b.starts_with("datetime") { (a, b) } else { (short(&a), short(&b)) };
    type_error(format!("'{sign}' not supported between instances of '{a}' and '{b}'"))
}

fn order_all(a: &[Value], b: &[Value], sign: &str, depth: u32) -> R<Option<Ordering>> {
    for (x, y) in a.iter().zip(b) {
        if !is(x, y) && !equal(x, y, depth + 1)? {
            return order(x, y, sign, depth + 1);
        }
    }
    Ok(Some(a.len().cmp(&b.len())))
}

/// `needle in haystack`.
///
/// # Errors
/// `TypeError` where Python raises it: a non-text in a text, something that cannot be hashed in a set or dict, a
/// haystack that is no container.
pub fn contains(haystack: &Value, needle: &Value) -> R<bool> {
    use Value::*;
    let among = |items: &[Value]| -> R<bool> {
        for item in items {
            if is(item, needle) || equal(item, needle, 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match haystack {
        Str(s) => match needle {
            Str(n) => Ok(s.contains(&**n)),
            n => type_error(format!("'in <string>' requires string as left operand, not {}", n.type_name())),
        },
        List(l) => {
            let items = l.items.borrow().clone();
            among(&items)
        }
        Tuple(t) => among(&t.0),
        EvList(l) => among(&l.items),
        Set(s) => match needle {
            // A set is looked up as the frozenset of its elements.
            Set(n) if !n.immutable => {
                let frozen = frozen_copy(n);
                s.table.borrow().get(&frozen).map(|v| v.is_some())
            }
            n => s.table.borrow().get(n).map(|v| v.is_some()),
        },
        Dict(d) => d.table.borrow().get(needle).map(|v| v.is_some()),
        EvDict(e) => e.find(needle).map(|v| v.is_some()),
        View(v) => match v.part {
            Part::Keys => contains(&v.of, needle),
            Part::Values => {
                let values: Vec<Value> = plain_table(&v.of)?.iter().map(|(_, v)| v.clone()).collect();
                among(&values)
            }
            Part::Items => match needle {
                Tuple(t) if t.0.len() == 2 => match plain_table(&v.of)?.get(&t.0[0])? {
                    Some(value) => Ok(is(value, &t.0[1]) || eq(value, &t.0[1])?),
                    Option::None => Ok(false),
                },
                _ => Ok(false),
            },
        },
        Range(r) => match needle {
            Int(_) | Bool(_) | Float(_) => Ok(
                match int_of(needle).or(match needle {
                    Float(f) => exact_int(*f),
                    _ => Option::None,
                }) {
                    Some(i) => {
                        let inside = if r.step > 0 { r.start <= i && i < r.stop } else { r.stop < i && i <= r.start };
                        inside && (i - r.start) % r.step == 0
                    }
                    Option::None => false,
                },
            ),
            _ => Ok(false),
        },
        Bytes(b) => match needle {
            Bytes(n) => Ok(n.is_empty() || b.windows(n.len()).any(|w| w == &**n)),
            n => match int_of(n) {
                Some(i) if (0..256).contains(&i) => Ok(b.contains(&(i as u8))),
                Some(_) => crate::exc::value_error("byte must be in range(0, 256)"),
                Option::None => type_error(format!("a bytes-like object is required, not '{}'", n.type_name())),
            },
        },
        Lib(l) => stdlib::contains(l, needle),
        Missing(name) => unknown(format!("`{name}` is not available")),
        Iter(_) => unknown("`in` on an iterator"),
        Object(o) if o.class.find("__contains__").is_some() => unknown("`in` on an object with its own __contains__"),
        other => type_error(format!("argument of type '{}' is not iterable", other.type_name())),
    }
}

/// A set as a `frozenset`.
pub fn frozen_copy(set: &crate::value::Set) -> Value {
    Value::Set(Rc::new(crate::value::Set {
        table: set.table.borrow().clone().into(),
        frozen: true.into(),
        immutable: true,
    }))
}

fn too_big<T>() -> R<T> {
    unknown("an integer beyond 128 bits")
}

/// `-`, `+` and `~` in front of a value.
///
/// # Errors
/// `TypeError` for what is not a number.
pub fn unary(sign: char, value: &Value) -> R<Value> {
    match (sign, value) {
        ('-', Value::Float(f)) => Ok(Value::Float(-f)),
        ('+', Value::Float(f)) => Ok(Value::Float(*f)),
        ('-', Value::Lib(l)) if matches!(**l, Lib::Delta(_)) => match &**l {
            Lib::Delta(d) => Ok(Value::lib(Lib::Delta(-d))),
            _ => unreachable!("matched above"),
        },
        (_, v) => match (sign, int_of(v)) {
            ('-', Some(i)) => i.checked_neg().map_or_else(too_big, |i| Ok(Value::Int(i))),
            ('+', Some(i)) => Ok(Value::Int(i)),
            ('~', Some(i)) => Ok(Value::Int(!i)),
            _ => {
                if let Value::Missing(name) = v {
                    return unknown(format!("`{name}` is not available"));
                }
                type_error(format!("bad operand type for unary {sign}: '{}'", v.type_name()))
            }
        },
    }
}

/// A binary operator.
///
/// # Errors
/// `TypeError` for operands it does not fit, `ZeroDivisionError`, `OverflowError`; unknown beyond 128 bits.
pub fn binary(op: Bin, a: &Value, b: &Value) -> R<Value> {
    use Value::*;
    if let (Some(x), Some(y)) = (int_of(a), int_of(b)) {
        // bool & bool stays a bool.
        if let (Bool(x), Bool(y)) = (a, b) {
            match op {
                Bin::And => return Ok(Bool(*x && *y)),
                Bin::Or => return Ok(Bool(*x || *y)),
                Bin::Xor => return Ok(Bool(x != y)),
                _ => {}
            }
        }
        return integers(op, x, y);
    }
    if let (Some(x), Some(y)) = (float_of(a), float_of(b)) {
        if let Some(result) = floats(op, x, y)? {
            return Ok(result);
        }
        return bad_operands(op, a, b);
    }
    match (op, a, b) {
        (Bin::Add, Str(x), Str(y)) => Ok(Str(Rc::from([&**x, &**y].concat()))),
        (Bin::Add, Bytes(x), Bytes(y)) => Ok(Bytes(Rc::from([&**x, &**y].concat()))),
        (Bin::Add, List(x), List(y)) => {
            let mut items = x.items.borrow().clone();
            items.extend(y.items.borrow().iter().cloned());
            Ok(Value::list(items))
        }
        (Bin::Add, Tuple(x), Tuple(y)) => Ok(Value::tuple(x.0.iter().chain(&y.0).cloned().collect())),
        (Bin::Mul, Str(_) | Bytes(_) | List(_) | Tuple(_), n) if int_of(n).is_some() => {
            repeat(a, int_of(n).unwrap_or(0))
        }
        (Bin::Mul, n, Str(_) | Bytes(_) | List(_) | Tuple(_)) if int_of(n).is_some() => {
            repeat(b, int_of(n).unwrap_or(0))
        }
        (Bin::Mod, Bytes(_), _) => unknown("% on bytes"),
        (Bin::Mod, Str(s), _) => crate::percent::percent(s, b).map(Value::str),
        (Bin::Or, Dict(x), Dict(y)) => {
            let mut table = x.table.borrow().clone();
            for (key, value) in y.table.borrow().iter() {
                table.set(key.clone(), value.clone())?;
            }
            Ok(Value::dict(table))
        }
        (Bin::Sub | Bin::And | Bin::Or | Bin::Xor, Set(_) | View(_), Set(_) | View(_)) => set_operator(op, a, b),
        (_, Lib(_), _) | (_, _, Lib(_)) => match stdlib::binary(op, a, b)? {
            Some(value) => Ok(value),
            Option::None => bad_operands(op, a, b),
        },
        // What `X | None` means in an annotation or an isinstance.
        (Bin::Or, Type(_) | Class(_) | None, Type(_) | Class(_) | None) if !(a.is_none() && b.is_none()) => {
            let class = |v: &Value| if v.is_none() { Type(crate::value::Type::NoneType) } else { v.clone() };
            Ok(Value::tuple(vec![class(a), class(b)]))
        }
        (_, Missing(name), _) | (_, _, Missing(name)) => unknown(format!("`{name}` is not available")),
        (_, Object(_), _) | (_, _, Object(_)) => unknown("an operator on an object of a class"),
        (Bin::Add, Bytes(_), other) => type_error(format!("can't concat {} to bytes", other.type_name())),
        (Bin::Add, List(_), other) => {
            type_error(format!("can only concatenate list (not \"{}\") to list", other.type_name()))
        }
        (Bin::Add, Str(_), other) => {
            type_error(format!("can only concatenate str (not \"{}\") to str", other.type_name()))
        }
        (Bin::Add, Tuple(_), other) => {
            type_error(format!("can only concatenate tuple (not \"{}\") to tuple", other.type_name()))
        }
        (Bin::Mul, Str(_) | Bytes(_) | List(_) | Tuple(_), other) => {
            type_error(format!("can't multiply sequence by non-int of type '{}'", other.type_name()))
        }
        (Bin::Mul, other, Str(_) | Bytes(_) | List(_) | Tuple(_)) => {
            type_error(format!("can't multiply sequence by non-int of type '{}'", other.type_name()))
        }
        _ => bad_operands(op, a, b),
    }
}

fn bad_operands<T>(op: Bin, a: &Value, b: &Value) -> R<T> {
    type_error(format!("unsupported operand type(s) for {}: '{}' and '{}'", op.sign(), a.type_name(), b.type_name()))
}

/// `&`, `|`, `-` and `^` of sets; the result has the type of the left one.
///
/// # Errors
/// `TypeError` if an element cannot be hashed.
pub fn set_operator(op: Bin, a: &Value, b: &Value) -> R<Value> {
    let immutable = matches!(a, Value::Set(s) if s.immutable);
    let (a, b) = (
        if matches!(a, Value::View(_)) { as_set(a)? } else { a.clone() },
        if matches!(b, Value::View(_)) { as_set(b)? } else { b.clone() },
    );
    let (Value::Set(x), Value::Set(y)) = (&a, &b) else { return bad_operands(op, &a, &b) };
    let (x, y) = (x.table.borrow(), y.table.borrow());
    let mut table = Table::default();
    for key in x.keys() {
        let shared = y.get(key)?.is_some();
        if match op {
            Bin::And => shared,
            Bin::Or => true,
            _ => !shared,
        } {
            table.set(key.clone(), Value::None)?;
        }
    }
    if matches!(op, Bin::Or | Bin::Xor) {
        for key in y.keys() {
            if op == Bin::Or || x.get(key)?.is_none() {
                table.set(key.clone(), Value::None)?;
            }
        }
    }
    Ok(Value::Set(Rc::new(crate::value::Set { table: table.into(), frozen: immutable.into(), immutable })))
}

/// Elements that `sequence * n` may have at most; more ends the evaluation as out of memory.
pub const MAX_REPEAT: usize = 1 << 20;

fn repeat(value: &Value, times: i128) -> R<Value> {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    let fits = |len: usize| match len.checked_mul(times) {
        Some(total) if total <= MAX_REPEAT => Ok(times),
        _ => Err(crate::exc::Stop::Memory),
    };
    Ok(match value {
        Value::Str(s) => Value::str(s.repeat(fits(s.len())?)),
        Value::Bytes(b) => Value::Bytes(Rc::from(b.repeat(fits(b.len())?))),
        Value::List(l) => {
            let items = l.items.borrow();
            Value::list(items.iter().cycle().take(items.len() * fits(items.len())?).cloned().collect())
        }
        Value::Tuple(t) => Value::tuple(t.0.iter().cycle().take(t.0.len() * fits(t.0.len())?).cloned().collect()),
        _ => return type_error("can't multiply"),
    })
}

fn integers(op: Bin, x: i128, y: i128) -> R<Value> {
    let whole = |r: Option<i128>| r.map_or_else(too_big, |i| Ok(Value::Int(i)));
    match op {
        Bin::Add => whole(x.checked_add(y)),
        Bin::Sub => whole(x.checked_sub(y)),
        Bin::Mul => whole(x.checked_mul(y)),
        Bin::Div => {
            if y == 0 {
                return raise(Kind::ZeroDivisionError, "division by zero");
            }
            // Python divides exactly and rounds once. Below 2^53 the division of floats does the same.
            if x.unsigned_abs() < 1 << 53 && y.unsigned_abs() < 1 << 53 {
                return Ok(Value::Float(x as f64 / y as f64));
            }
            unknown("a true division of integers beyond 53 bits")
        }
        Bin::FloorDiv | Bin::Mod => {
            if y == 0 {
                return raise(
                    Kind::ZeroDivisionError,
                    if op == Bin::Mod { "integer modulo by zero" } else { "integer division or modulo by zero" },
                );
            }
            let Some(mut quotient) = x.checked_div(y) else { return too_big() };
            let mut rest = x - quotient * y;
            if rest != 0 && (rest < 0) != (y < 0) {
                quotient -= 1;
                rest += y;
            }
            Ok(Value::Int(if op == Bin::Mod { rest } else { quotient }))
        }
        Bin::Pow => match u32::try_from(y) {
            Ok(y) => whole(x.checked_pow(y)),
            Err(_) if y < 0 && x == 0 => raise(Kind::ZeroDivisionError, "0.0 cannot be raised to a negative power"),
            Err(_) if y < 0 => Ok(Value::Float((x as f64).powf(y as f64))),
            Err(_) => too_big(),
        },
        Bin::Shl => match u32::try_from(y) {
            Ok(y) if y < 127 => whole(x.checked_mul(1 << y)),
            Ok(_) if x == 0 => Ok(Value::Int(0)),
            Ok(_) => too_big(),
            Err(_) if y < 0 => crate::exc::value_error("negative shift count"),
            Err(_) => too_big(),
        },
        Bin::Shr => match u32::try_from(y) {
            Ok(y) => Ok(Value::Int(x >> y.min(127))),
            Err(_) if y < 0 => crate::exc::value_error("negative shift count"),
            Err(_) => Ok(Value::Int(if x < 0 { -1 } else { 0 })),
        },
        Bin::And => Ok(Value::Int(x & y)),
        Bin::Or => Ok(Value::Int(x | y)),
        Bin::Xor => Ok(Value::Int(x ^ y)),
    }
}

fn floats(op: Bin, x: f64, y: f64) -> R<Option<Value>> {
    let zero = |message| raise(Kind::ZeroDivisionError, message);
    Ok(Some(Value::Float(match op {
        Bin::Add => x + y,
        Bin::Sub => x - y,
        Bin::Mul => x * y,
        Bin::Div if y == 0.0 => return zero("float division by zero"),
        Bin::Div => x / y,
        Bin::FloorDiv if y == 0.0 => return zero("float floor division by zero"),
        Bin::Mod if y == 0.0 => return zero("float modulo"),
        Bin::FloorDiv | Bin::Mod => {
            let (quotient, rest) = float_divmod(x, y);
            if op == Bin::Mod { rest } else { quotient }
        }
        Bin::Pow if x == 0.0 && y < 0.0 => return zero("0.0 cannot be raised to a negative power"),
        Bin::Pow if x < 0.0 && y.is_finite() && y.fract() != 0.0 => return unknown("a complex number"),
        Bin::Pow => {
            let result = x.powf(y);
            if result.is_infinite() && x.is_finite() && y.is_finite() {
                return raise(Kind::OverflowError, "(34, 'Numerical result out of range')");
            }
            result
        }
        _ => return Ok(None),
    })))
}

/// Quotient and rest as CPython rounds them.
pub fn float_divmod(x: f64, y: f64) -> (f64, f64) {
    let mut rest = x % y;
    let mut div = (x - rest) / y;
    if rest != 0.0 {
        if (y < 0.0) != (rest < 0.0) {
            rest += y;
            div -= 1.0;
        }
    } else {
        rest = 0f64.copysign(y);
    }
    let floor = if div != 0.0 {
        let floor = div.floor();
        if div - floor > 0.5 { floor + 1.0 } else { floor }
    } else {
        0f64.copysign(x / y)
    };
    (floor, rest)
}

/// An iterator over a value.
///
/// # Errors
/// `TypeError` for what is not iterable.
pub fn iterate(value: &Value) -> R<Iter> {
    Iter::over(value)
}
