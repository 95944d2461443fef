//! Equality, order and membership.

use std::cmp::Ordering;
use std::rc::Rc;

use super::{Cmp, MAX_NESTING, as_set, cmp_numbers, exact_int, frozen_copy, int_of, is, set_cmp};
use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::stdlib::{self};
use crate::table::Table;
use crate::value::{Part, Value};

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

pub(super) fn equal_all<'a>(
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

/// Elements of a list of the event and others: inside of the event a list is a `list`, so no tuple equals it.
fn equal_inside(items: &[Value], others: &[Value], depth: u32) -> R<bool> {
    if items.len() != others.len() {
        return Ok(false);
    }
    for (x, y) in items.iter().zip(others) {
        if !is(x, y) && !part_equal(x, y, depth)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `==` of what is inside of a list of the event and another value.
fn part_equal(part: &Value, other: &Value, depth: u32) -> R<bool> {
    match (part, other) {
        (Value::EvList(_), Value::Tuple(_)) => Ok(false),
        (Value::EvDict(x), Value::Dict(y)) if depth <= MAX_NESTING => {
            let y = y.table.borrow().clone();
            if x.items().len() != y.len() {
                return Ok(false);
            }
            for (key, value) in x.items() {
                match y.get(&Value::Str(key.clone()))? {
                    Some(other) if is(value, other) || part_equal(value, other, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        _ => equal(part, other, depth),
    }
}

/// `==` of a map of the event and another map, and of what is in them: both are compared as copies of `dict` and `list` all
/// the way down, so a tuple equals a list.
fn plain_equal(a: &Value, b: &Value, depth: u32) -> R<bool> {
    let items = |v: &Value| match v {
        Value::List(l) => Some(l.items.borrow().clone()),
        Value::Tuple(t) => Some(t.0.clone()),
        Value::EvList(l) => Some(l.items.clone()),
        _ => None,
    };
    let is_map = |v: &Value| matches!(v, Value::Dict(_) | Value::EvDict(_));
    if depth <= MAX_NESTING && is_map(a) && is_map(b) {
        let (x, y) = (plain_table(a)?, plain_table(b)?);
        if x.len() != y.len() {
            return Ok(false);
        }
        for (key, value) in x.iter() {
            match y.get(key)? {
                Some(other) if is(value, other) || plain_equal(value, other, depth + 1)? => {}
                _ => return Ok(false),
            }
        }
        return Ok(true);
    }
    match (items(a), items(b)) {
        (Some(x), Some(y)) if depth <= MAX_NESTING => {
            if x.len() != y.len() {
                return Ok(false);
            }
            for (x, y) in x.iter().zip(&y) {
                if !is(x, y) && !plain_equal(x, y, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => equal(a, b, depth),
    }
}

pub(super) fn equal(a: &Value, b: &Value, depth: u32) -> R<bool> {
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
            equal_inside(&x.items, &y, depth)?
        }
        (EvList(x), Tuple(y)) | (Tuple(y), EvList(x)) => equal_inside(&x.items, &y.0, depth)?,
        (EvDict(_), Dict(_) | EvDict(_)) | (Dict(_), EvDict(_)) => plain_equal(a, b, depth)?,
        (Dict(_), Dict(_)) => {
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
pub(super) fn plain_table(value: &Value) -> R<Table> {
    match value {
        Value::Dict(d) => Ok(d.table.borrow().clone()),
        Value::EvDict(e) => {
            let mut table = Table::default();
            for (key, value) in e.items() {
                table.set(Value::Str(key.clone()), value.clone())?;
            }
            Ok(table)
        }
        _ => type_error("not a mapping"),
    }
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

pub(super) fn no_order<T>(a: &Value, b: &Value, sign: &str) -> R<T> {
    let (a, b) = (a.type_name(), b.type_name());
    let short = |n: &str| n.rsplit('.').next().unwrap_or_default().to_string();
    let (a, b) = if a.starts_with("datetime") || b.starts_with("datetime") { (a, b) } else { (short(&a), short(&b)) };
    type_error(format!("'{sign}' not supported between instances of '{a}' and '{b}'"))
}

pub(super) fn order_all(a: &[Value], b: &[Value], sign: &str, depth: u32) -> R<Option<Ordering>> {
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
            // The event is asked for the key, whose case then does not matter.
            Part::Items => match (needle, &v.of) {
                (Tuple(t), EvDict(e)) if t.0.len() == 2 => match e.find(&t.0[0])? {
                    Some(value) => Ok(is(&value, &t.0[1]) || eq(&value, &t.0[1])?),
                    Option::None => Ok(false),
                },
                (_, EvDict(_)) => unknown("`in` of items() of the event and of what is no pair"),
                (Tuple(t), _) if t.0.len() == 2 => match plain_table(&v.of)?.get(&t.0[0])? {
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
