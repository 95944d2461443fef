//! The part of the standard library that detections use, natively.
//!
//! [`module`] knows the modules, [`member`] their members; what is not here is a value whose use is unknown. Objects of
//! the library are a [`Lib`]; the functions below hand each operation to the file of its kind.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::exc::{R, attribute_error, type_error, unknown};
use crate::iter::Iter;
use crate::native::{Args, Vm};
use crate::ops::Bin;
use crate::value::{Type, Value};

mod channel;
mod civil;
mod difflib;
mod json;
mod misc;
mod net;
mod pattern;
mod re;
mod shlex;
mod strptime;
mod time;
mod url;

pub use channel::is_cache;
pub use net::{Address, Network};
pub(crate) use re::known as known_pattern;
pub use re::{Found, Pattern};
pub(crate) use strptime::strptime;
pub use time::{DateTime, Zone};
pub use url::Url;

mod registry;

pub use registry::{member, module};

/// An object of the standard library.
#[derive(Debug)]
pub enum Lib {
    /// A compiled regular expression.
    Pattern(Rc<Pattern>),
    /// A match.
    Match(Found),
    /// An IP address.
    Address(Address),
    /// An IP network.
    Network(Network),
    /// `datetime`, and `date` (at midnight).
    DateTime(DateTime),
    /// `timedelta`, in microseconds.
    Delta(i128),
    /// `timezone`.
    Zone(Zone),
    /// Result of `urlparse`.
    Url(Url),
    /// `SequenceMatcher`.
    Matcher(difflib::Matcher),
}

impl Lib {
    /// Its class.
    pub fn type_of(&self) -> Type {
        match self {
            Lib::Pattern(_) => Type::Pattern,
            Lib::Match(_) => Type::Match,
            Lib::Address(a) if a.v6 => Type::Ipv6Address,
            Lib::Address(_) => Type::Ipv4Address,
            Lib::Network(n) if n.v6 => Type::Ipv6Network,
            Lib::Network(_) => Type::Ipv4Network,
            Lib::DateTime(d) if d.date => Type::Date,
            Lib::DateTime(_) => Type::DateTime,
            Lib::Delta(_) => Type::TimeDelta,
            Lib::Zone(_) => Type::TimeZone,
            Lib::Url(_) => Type::Url,
            Lib::Matcher(_) => Type::Object,
        }
    }

    /// The name that error messages have: some with their module.
    pub fn dotted(&self) -> &'static str {
        match self.type_of() {
            Type::Pattern => "re.Pattern",
            Type::Match => "re.Match",
            Type::DateTime => "datetime.datetime",
            Type::Date => "datetime.date",
            Type::TimeDelta => "datetime.timedelta",
            Type::TimeZone => "datetime.timezone",
            other => other.name(),
        }
    }
}

/// True if an object of the library has a method of a name.
pub fn has_method(lib: &Lib, name: &str) -> bool {
    match lib {
        Lib::Pattern(_) => re::PATTERN_METHODS.contains(&name),
        Lib::Match(_) => re::MATCH_METHODS.contains(&name),
        Lib::Network(_) => net::NETWORK_METHODS.contains(&name),
        Lib::Address(_) => false,
        Lib::DateTime(_) => time::METHODS.contains(&name),
        Lib::Delta(_) => name == "total_seconds",
        Lib::Zone(_) | Lib::Url(_) => false,
        Lib::Matcher(_) => name == "ratio",
    }
}

/// True if a class of the library has a method that is called on it.
pub fn type_has_method(of: Type, name: &str) -> bool {
    matches!(of, Type::DateTime | Type::Date) && (time::CLASS_METHODS.contains(&name) || time::METHODS.contains(&name))
}

/// An attribute of a class: `timezone.utc`, `datetime.min`.
pub fn class_attribute(of: Type, name: &str) -> Option<Value> {
    match (of, name) {
        (Type::TimeZone, "utc") => Some(Value::lib(Lib::Zone(Zone::utc()))),
        (Type::DateTime, "min") => Some(Value::lib(Lib::DateTime(DateTime::MIN))),
        (Type::DateTime, "max") => Some(Value::lib(Lib::DateTime(DateTime::MAX))),
        _ => None,
    }
}

/// Call a method of an object.
///
/// # Errors
/// What the method raises.
pub fn method(vm: &mut Vm, lib: &Rc<Lib>, name: &str, args: Args) -> R<Value> {
    match &**lib {
        Lib::Pattern(p) => re::pattern_method(vm, p, name, args),
        Lib::Match(m) => re::match_method(m, name, args),
        Lib::Matcher(m) if name == "ratio" => difflib::ratio(vm, m),
        Lib::Network(n) => net::network_method(n, name, args),
        Lib::DateTime(d) => time::method(d, name, args),
        Lib::Delta(d) if name == "total_seconds" => {
            args.check("total_seconds", 0, 0)?;
            Ok(Value::Float(time::seconds_of(*d)))
        }
        _ => attribute_error(&Value::Lib(lib.clone()), name),
    }
}

/// An attribute of an object that is no method.
///
/// # Errors
/// Unknown for attributes that are not built.
pub fn attribute(lib: &Lib, name: &str) -> R<Option<Value>> {
    match lib {
        Lib::Address(a) => net::address_attribute(a, name),
        Lib::Network(n) => net::network_attribute(n, name),
        Lib::DateTime(d) => Ok(time::attribute(d, name)),
        Lib::Delta(d) => Ok(time::delta_attribute(*d, name)),
        Lib::Pattern(p) if name == "pattern" => Ok(Some(Value::str(&p.source))),
        Lib::Match(m) if name == "string" => Ok(Some(Value::Str(m.text.clone()))),
        Lib::Url(u) => Ok(url::attribute(u, name)?),
        _ => Ok(None),
    }
}

/// Call a class of the library.
///
/// # Errors
/// What the constructor raises; unknown for a class that detections do not call.
pub fn construct(vm: &mut Vm, of: Type, args: Args) -> R<Value> {
    match of {
        Type::DateTime | Type::Date => time::construct(of, args),
        Type::TimeDelta => time::delta(args),
        Type::TimeZone => time::zone(args),
        Type::Ipv4Address | Type::Ipv6Address => net::address(args, Some(of == Type::Ipv6Address)),
        Type::Ipv4Network | Type::Ipv6Network => net::network(args, Some(of == Type::Ipv6Network)),
        Type::Event | Type::EvDict => match args.pos {
            [Value::EvDict(_)] if args.kw.is_empty() => Ok(args.pos[0].clone()),
            [v @ Value::Dict(_)] => match crate::run::to_json(v) {
                Some(serde_json::Value::Object(map)) => {
                    vm.memory(256 * map.len())?;
                    Ok(Value::EvDict(crate::event::event(&map)))
                }
                _ => unknown("an event made of this"),
            },
            _ => unknown("an event made of this"),
        },
        other => unknown(format!("{}()", other.name())),
    }
}

/// Call a method on a class.
///
/// # Errors
/// As the method.
pub fn class_method(vm: &mut Vm, of: Type, name: &str, args: Args) -> R<Value> {
    time::class_method(vm, of, name, args)
}

/// `==` of two objects.
///
/// # Errors
/// None today; a comparison may be unknown.
pub fn equal(a: &Rc<Lib>, b: &Rc<Lib>) -> R<bool> {
    Ok(match (&**a, &**b) {
        (Lib::Address(x), Lib::Address(y)) => x == y,
        (Lib::Network(x), Lib::Network(y)) => x == y,
        (Lib::DateTime(x), Lib::DateTime(y)) => {
            x.date == y.date && x.zone.is_some() == y.zone.is_some() && x.instant() == y.instant()
        }
        (Lib::Delta(x), Lib::Delta(y)) => x == y,
        (Lib::Zone(x), Lib::Zone(y)) => x.offset == y.offset,
        _ => Rc::ptr_eq(a, b),
    })
}

/// Order of two objects; `None` if they have none.
///
/// # Errors
/// `TypeError` where Python has a message of its own.
pub fn order(a: &Lib, b: &Lib) -> R<Option<Ordering>> {
    match (a, b) {
        (Lib::Address(x), Lib::Address(y)) if x.v6 == y.v6 => Ok(Some(x.bits.cmp(&y.bits))),
        (Lib::Address(x), Lib::Address(y)) => {
            type_error(format!("{} and {} are not of the same version", net::text(x), net::text(y)))
        }
        (Lib::Network(_), Lib::Network(_)) => unknown("order of networks"),
        (Lib::DateTime(x), Lib::DateTime(y)) if x.date == y.date => {
            if x.zone.is_some() != y.zone.is_some() {
                return type_error("can't compare offset-naive and offset-aware datetimes");
            }
            Ok(Some(x.instant().cmp(&y.instant())))
        }
        (Lib::DateTime(_), Lib::DateTime(_)) => type_error("can't compare datetime.datetime to datetime.date"),
        (Lib::Delta(x), Lib::Delta(y)) => Ok(Some(x.cmp(y))),
        _ => Ok(None),
    }
}

/// A binary operator with an object; `None` if it does not fit.
///
/// # Errors
/// `OverflowError`, `TypeError` and so on of the operation.
pub fn binary(op: Bin, a: &Value, b: &Value) -> R<Option<Value>> {
    if let (Value::Lib(x), Value::Int(_)) = (a, b)
        && let Lib::Address(address) = &**x
    {
        return net::shift(address, op, b);
    }
    time::binary(op, a, b)
}

/// `needle in object`.
///
/// # Errors
/// `TypeError` for what is no container.
pub fn contains(lib: &Lib, needle: &Value) -> R<bool> {
    match lib {
        Lib::Network(n) => net::contains(n, needle),
        other => type_error(format!("argument of type '{}' is not iterable", other.dotted())),
    }
}

/// `object[index]`.
///
/// # Errors
/// `IndexError` for a group that is not there, `TypeError` for what takes no index.
pub fn index(lib: &Lib, index: &Value) -> R<Value> {
    match lib {
        Lib::Match(m) => re::group(m, index),
        Lib::Network(_) => unknown("an index into a network"),
        Lib::Url(_) => unknown("an index into a parsed URL"),
        other => type_error(format!("'{}' object is not subscriptable", other.dotted())),
    }
}

/// An iterator over an object.
///
/// # Errors
/// `TypeError` for what is not iterable.
pub fn iterate(lib: &Lib) -> R<Iter> {
    match lib {
        Lib::Network(_) => unknown("iteration over a network"),
        Lib::Url(_) => unknown("iteration over a parsed URL"),
        other => type_error(format!("'{}' object is not iterable", other.dotted())),
    }
}

/// `int(object)`.
///
/// # Errors
/// `TypeError` for what is no number.
pub fn to_int(lib: &Lib) -> R<Value> {
    match lib {
        Lib::Address(a) => match i128::try_from(a.bits) {
            Ok(i) => Ok(Value::Int(i)),
            Err(_) => unknown("an integer beyond 127 bits"),
        },
        other => type_error(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            other.dotted()
        )),
    }
}

/// `str(object)`.
///
/// # Errors
/// Unknown for objects whose text is not built.
pub fn to_str(lib: &Lib) -> R<String> {
    match lib {
        Lib::Address(a) => Ok(net::text(a)),
        Lib::Network(n) => Ok(net::network_text(n)),
        Lib::DateTime(d) => Ok(time::iso(d, ' ')),
        Lib::Delta(d) => Ok(time::delta_text(*d)),
        Lib::Zone(z) => Ok(z.text()),
        other => to_repr(other),
    }
}

/// `repr(object)`.
///
/// # Errors
/// Unknown for objects whose text is not built.
pub fn to_repr(lib: &Lib) -> R<String> {
    Ok(match lib {
        Lib::Address(a) => format!("{}('{}')", lib.type_of().name(), net::text(a)),
        Lib::Network(n) => format!("{}('{}')", lib.type_of().name(), net::network_text(n)),
        Lib::DateTime(d) => time::repr(d)?,
        Lib::Delta(d) => time::delta_repr(*d),
        other => return unknown(format!("repr() of a {}", other.dotted())),
    })
}

/// `format(object, spec)`.
///
/// # Errors
/// `TypeError` for objects that take no specification.
pub fn format(lib: &Lib, spec: &str) -> R<String> {
    match lib {
        Lib::DateTime(d) => time::strftime(d, spec),
        Lib::Address(_) | Lib::Network(_) => unknown("a specification for an address"),
        other => type_error(format!("unsupported format string passed to {}.__format__", other.dotted())),
    }
}
