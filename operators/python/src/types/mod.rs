//! Methods of native values: which there are, and the way to each.

use std::rc::Rc;
use std::sync::LazyLock;

use crate::exc::{R, attribute_error, type_error, unknown};
use crate::name::Name;
use crate::native::{Args, Vm};
use crate::stdlib;
use crate::table::Table;
use crate::value::{Type, Value};

mod bytes;
mod list;
mod map;
mod set;
mod split;
mod str;

pub(crate) use bytes::decode;
pub(crate) use list::sort;

const STR: &str = " capitalize casefold center count encode endswith expandtabs find format format_map index isalnum \
isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower \
lstrip maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split \
splitlines startswith strip swapcase title translate upper zfill ";
const LIST: &str = " append clear copy count extend index insert pop remove reverse sort ";
const DICT: &str = " clear copy fromkeys get items keys pop popitem setdefault update values ";
const SET: &str = " add clear copy difference difference_update discard intersection intersection_update isdisjoint \
issubset issuperset pop remove symmetric_difference symmetric_difference_update union update ";
const FROZEN: &str = " copy difference intersection isdisjoint issubset issuperset symmetric_difference union ";
const BYTES: &str = " capitalize center count decode endswith expandtabs find fromhex hex index isalnum isalpha isascii \
isdigit islower isspace istitle isupper join ljust lower lstrip maketrans partition removeprefix removesuffix replace \
rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title translate upper zfill ";
const EVENT: &str = " get keys values items copy to_dict deep_get deep_walk udm udm_path event_time_epoch lookup ";
const EVDICT: &str = " get keys values items copy to_dict deep_get ";
const EVLIST: &str = " count index copy ";
const INT: &str = " bit_length to_bytes from_bytes as_integer_ratio conjugate bit_count ";
const FLOAT: &str = " is_integer hex fromhex as_integer_ratio conjugate ";
const KEYS: &str = " isdisjoint ";

/// True if a native value has a method of a name.
pub fn has(value: &Value, name: &str) -> bool {
    let of = match value {
        Value::Type(t) => return of_type(*t, name),
        Value::Lib(l) => return stdlib::has_method(l, name),
        v => v.type_of(),
    };
    of_type(of, name)
}

fn list_of(of: Type) -> Option<&'static str> {
    Some(match of {
        Type::Str => STR,
        Type::List => LIST,
        Type::Dict | Type::OrderedDict => DICT,
        Type::Set => SET,
        Type::FrozenSet => FROZEN,
        Type::Bytes => BYTES,
        Type::Event => EVENT,
        Type::EvDict => EVDICT,
        Type::EvList => EVLIST,
        Type::Tuple | Type::Range => " count index ",
        Type::Int | Type::Bool => INT,
        Type::Float => FLOAT,
        Type::View => KEYS,
        _ => return None,
    })
}

fn of_type(of: Type, name: &str) -> bool {
    match list_of(of) {
        Some(list) => list.split_ascii_whitespace().any(|n| n == name),
        None => stdlib::type_has_method(of, name),
    }
}

/// Methods of the kinds of values that rules call most, by [`Name`]: no text is compared on the hot path.
static FAST: LazyLock<[Vec<bool>; 5]> = LazyLock::new(|| {
    [Type::Str, Type::Event, Type::EvDict, Type::Dict, Type::List].map(|of| {
        let mut known = Vec::new();
        for name in list_of(of).unwrap_or("").split_ascii_whitespace() {
            let at = Name::of(name) as usize;
            if known.len() <= at {
                known.resize(at + 1, false);
            }
            known[at] = true;
        }
        known[Name::Other as usize] = false;
        known
    })
});

/// [`has`] for a name that is known as an enum.
pub fn has_name(value: &Value, name: Name, text: &str) -> bool {
    let kind = match value {
        Value::Str(_) => 0,
        Value::EvDict(e) => 2 - usize::from(e.root),
        Value::Dict(_) => 3,
        Value::List(_) => 4,
        _ => return has(value, text),
    };
    FAST[kind].get(name as usize).copied().unwrap_or(false) || (name == Name::Other && has(value, text))
}

/// Call a method of a native value.
///
/// # Errors
/// What the method raises; `AttributeError` if there is none.
pub fn method(vm: &mut Vm, object: &Value, name: Name, text: &Rc<str>, args: Args) -> R<Value> {
    if !has_name(object, name, text) {
        return attribute_error(object, text);
    }
    match object {
        Value::Str(s) => str::method(vm, s, name, text, args),
        Value::List(l) => list::method(vm, l, name, args),
        Value::Tuple(t) => list::search(&t.0, "tuple", name, args),
        Value::EvList(l) if name == Name::copy => {
            args.check("copy", 0, 0)?;
            Ok(Value::list(l.items.iter().map(crate::event::plain).collect()))
        }
        Value::EvList(l) => list::search(&l.items, "ImmutableList", name, args),
        Value::Dict(d) => map::method(vm, d, name, args),
        Value::EvDict(e) => map::event_method(vm, e, name, args),
        Value::Set(s) => set::method(vm, s, name, text, args),
        Value::Bytes(b) => bytes::method(vm, b, name, text, args),
        Value::Int(i) => int_method(*i, name, text, args),
        Value::Bool(b) => int_method(i128::from(*b), name, text, args),
        Value::Float(f) if name == Name::is_integer => {
            args.check("is_integer", 0, 0)?;
            Ok(Value::Bool(f.is_finite() && f.fract() == 0.0))
        }
        other => unknown(format!("{}.{text}()", other.type_name())),
    }
}

fn int_method(i: i128, name: Name, text: &str, args: Args) -> R<Value> {
    match name {
        Name::bit_length => {
            args.check(text, 0, 0)?;
            Ok(Value::Int(i128::from(128 - i.unsigned_abs().leading_zeros())))
        }
        _ => unknown(format!("int.{text}()")),
    }
}

/// Call a method on a class: `dict.fromkeys(…)`, `str.lower(text)`, `datetime.now()`.
///
/// # Errors
/// As the method; `TypeError` without an object.
pub fn class_method(vm: &mut Vm, of: Type, text: &Rc<str>, args: Args) -> R<Value> {
    match (of, &**text) {
        (Type::Dict, "fromkeys") => {
            args.check("fromkeys", 1, 2)?;
            let value = args.pos.get(1).cloned().unwrap_or(Value::None);
            let mut table = Table::default();
            for key in crate::iter::Iter::over(&args.pos[0])?.collect(vm)? {
                table.set(key, value.clone())?;
            }
            Ok(Value::dict(table))
        }
        (Type::Bytes, "fromhex") => bytes::from_hex(args),
        (Type::Int, "from_bytes") => bytes::int_from(args),
        (Type::Str, "maketrans") => unknown("str.maketrans()"),
        (Type::DateTime | Type::Date | Type::TimeDelta | Type::TimeZone, _) => stdlib::class_method(vm, of, text, args),
        _ => match args.pos.split_first() {
            Some((this, rest)) if this.type_of() == of => {
                vm.method(this, Name::of(text), text, Args { pos: rest, kw: args.kw })
            }
            Some((this, _)) => type_error(format!(
                "descriptor '{text}' for '{}' objects doesn't apply to a '{}' object",
                of.name(),
                this.type_name()
            )),
            None => type_error(format!("unbound method {}.{text}() needs an argument", of.name())),
        },
    }
}
