//! `str()` and `repr()` of values, and what Python says of characters.

use crate::exc::{Kind, R, raise, unknown};
use crate::iter::Iter;
use crate::native::Vm;
use crate::number::float_repr;
use crate::ops::MAX_NESTING;
use crate::stdlib;
use crate::unicode::is_printable;
use crate::value::{Part, Value};

/// The digit that a decimal character of any script stands for. Scripts come in runs of ten that start at their zero.
pub fn decimal_digit(c: char) -> Option<u32> {
    const ZEROS: &[u32] = &[
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
        0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
        0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x11066, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec,
        0x1d7f6,
    ];
    let c = c as u32;
    ZEROS.iter().find(|z| (**z..**z + 10).contains(&c)).map(|z| c - z)
}

/// `repr` of a text.
pub fn str_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            c if c == quote || c == '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push(quote);
    out
}

/// `repr` of bytes.
pub fn bytes_repr(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = format!("b{quote}");
    for &b in bytes {
        match b {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            b if b as char == quote => {
                out.push('\\');
                out.push(quote);
            }
            b' '..=b'~' => out.push(b as char),
            b => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    out.push(quote);
    out
}

/// `str(value)`.
///
/// # Errors
/// What a method of the value raises; unknown for values whose text holds an address.
pub fn to_str(vm: &mut Vm, value: &Value) -> R<String> {
    match value {
        Value::Str(s) => Ok(s.to_string()),
        Value::Exc(e) => match &e.args[..] {
            _ if e.class.kind() == Kind::KeyError && e.args.len() == 1 => to_repr(vm, &e.args[0]),
            [] => Ok(String::new()),
            [one] => to_str(vm, one),
            many => to_repr(vm, &Value::tuple(many.to_vec())),
        },
        Value::Lib(l) => stdlib::to_str(l),
        // A container of the event is written like the plain one that it holds.
        Value::Object(o) => match o.class.find("__str__") {
            Some(_) => unknown("str() of an object with its own __str__"),
            None => unknown("str() of an object: its text holds an address"),
        },
        v => to_repr(vm, v),
    }
}

/// `repr(value)`.
///
/// # Errors
/// As for [`to_str`].
pub fn to_repr(vm: &mut Vm, value: &Value) -> R<String> {
    let mut out = String::new();
    write(vm, value, &mut out, 0, false)?;
    vm.memory(out.len())?;
    Ok(out)
}

/// `inside`: in a container of the event, which shows what it holds as it is.
fn write(vm: &mut Vm, value: &Value, out: &mut String, depth: u32, inside: bool) -> R<()> {
    if depth > MAX_NESTING {
        return raise(Kind::RecursionError, "maximum recursion depth exceeded while getting the repr of an object");
    }
    vm.charge(8)?;
    let depth = depth + 1;
    let within = inside || matches!(value, Value::EvDict(_) | Value::EvList(_));
    match value {
        Value::None => out.push_str("None"),
        Value::Bool(b) => out.push_str(if *b { "True" } else { "False" }),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(f) => out.push_str(&float_repr(*f)),
        Value::Str(s) => out.push_str(&str_repr(s)),
        Value::Bytes(b) => out.push_str(&bytes_repr(b)),
        Value::List(l) => {
            let items = l.items.borrow().clone();
            sequence(vm, '[', &items, ']', out, depth, within)?;
        }
        Value::EvList(l) if !inside => {
            out.push_str("ImmutableList(");
            tuple(vm, &l.items, out, depth, within)?;
            out.push(')');
        }
        Value::EvList(l) => sequence(vm, '[', &l.items, ']', out, depth, within)?,
        Value::Tuple(t) => tuple(vm, &t.0, out, depth, within)?,
        Value::Dict(d) => {
            let entries: Vec<(Value, Value)> = d.table.borrow().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            if d.ordered {
                out.push_str("OrderedDict(");
                if !entries.is_empty() {
                    let pairs: Vec<Value> = entries.into_iter().map(|(k, v)| Value::tuple(vec![k, v])).collect();
                    sequence(vm, '[', &pairs, ']', out, depth, within)?;
                }
                out.push(')');
            } else {
                map(vm, &entries, out, depth, within)?;
            }
        }
        Value::EvDict(e) => {
            let entries: Vec<(Value, Value)> =
                e.items().iter().map(|(k, v)| (Value::Str(k.clone()), v.clone())).collect();
            if !inside {
                out.push_str(value.type_of().name());
                out.push('(');
            }
            map(vm, &entries, out, depth, within)?;
            if !inside {
                out.push(')');
            }
        }
        Value::Set(s) => {
            let items: Vec<Value> = s.table.borrow().keys().cloned().collect();
            match (items.is_empty(), s.immutable) {
                (true, false) => out.push_str("set()"),
                (true, true) => out.push_str("frozenset()"),
                (false, false) => sequence(vm, '{', &items, '}', out, depth, within)?,
                (false, true) => {
                    out.push_str("frozenset(");
                    sequence(vm, '{', &items, '}', out, depth, within)?;
                    out.push(')');
                }
            }
        }
        Value::Range(r) if r.step == 1 => out.push_str(&format!("range({}, {})", r.start, r.stop)),
        Value::Range(r) => out.push_str(&format!("range({}, {}, {})", r.start, r.stop, r.step)),
        Value::View(v) => {
            let mut items = Vec::new();
            let mut iter = Iter::over(value)?;
            while let Some(item) = iter.next(vm)? {
                items.push(item);
            }
            if matches!(v.of, Value::EvDict(_)) {
                return unknown("repr() of a view of the event");
            }
            out.push_str(match v.part {
                Part::Keys => "dict_keys(",
                Part::Values => "dict_values(",
                Part::Items => "dict_items(",
            });
            sequence(vm, '[', &items, ']', out, depth, within)?;
            out.push(')');
        }
        Value::Slice(s) => {
            out.push_str("slice");
            sequence(vm, '(', &s[..], ')', out, depth, within)?;
        }
        Value::Exc(e) => {
            out.push_str(e.class.name());
            match &e.args[..] {
                [one] => {
                    out.push('(');
                    write(vm, one, out, depth, within)?;
                    out.push(')');
                }
                many => sequence(vm, '(', many, ')', out, depth, within)?,
            }
        }
        Value::Type(t) => out.push_str(&format!("<class '{}'>", t.name())),
        Value::Lib(l) => out.push_str(&stdlib::to_repr(l)?),
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        other => return unknown(format!("repr() of a {}: its text holds an address", other.type_name())),
    }
    Ok(())
}

fn tuple(vm: &mut Vm, items: &[Value], out: &mut String, depth: u32, within: bool) -> R<()> {
    match items {
        [one] => {
            out.push('(');
            write(vm, one, out, depth, within)?;
            out.push_str(",)");
            Ok(())
        }
        items => sequence(vm, '(', items, ')', out, depth, within),
    }
}

fn sequence(
    vm: &mut Vm,
    open: char,
    items: &[Value],
    close: char,
    out: &mut String,
    depth: u32,
    within: bool,
) -> R<()> {
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write(vm, item, out, depth, within)?;
    }
    out.push(close);
    Ok(())
}

fn map(vm: &mut Vm, entries: &[(Value, Value)], out: &mut String, depth: u32, within: bool) -> R<()> {
    out.push('{');
    for (i, (key, value)) in entries.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write(vm, key, out, depth, within)?;
        out.push_str(": ");
        write(vm, value, out, depth, within)?;
    }
    out.push('}');
    Ok(())
}
