//! Modules, and what they have.

use std::rc::Rc;

use super::{Lib, Zone};
use super::{channel, difflib, json, misc, net, re, shlex, strptime, time, url};
use crate::exc::Kind;
use crate::native::NativeFn;
use crate::value::{Type, Value};

/// Modules, and what they have. Constants are in [`member`].
pub(super) static MODULES: &[(&str, &[NativeFn])] = &[
    ("re", re::FUNCTIONS),
    ("json", json::FUNCTIONS),
    ("ipaddress", net::FUNCTIONS),
    ("fnmatch", misc::FNMATCH),
    ("base64", misc::BASE64),
    ("binascii", misc::BINASCII),
    ("math", misc::MATH),
    ("functools", misc::FUNCTOOLS),
    ("os", misc::OS),
    ("logging", misc::LOGGING),
    ("time", time::TIME),
    ("urllib.parse", url::FUNCTIONS),
    ("shlex", shlex::FUNCTIONS),
    ("difflib", difflib::FUNCTIONS),
    ("dateutil.parser", strptime::DATEUTIL),
    ("worker.channel", channel::FUNCTIONS),
    ("worker", &[]),
    ("datetime", &[]),
    ("typing", &[]),
    ("collections", &[]),
    ("collections.abc", &[]),
    ("dateutil", &[]),
    ("urllib", &[]),
    ("panther_core", &[]),
    ("panther_core.exceptions", &[]),
    ("panther_core.immutable", &[]),
    ("unittest.mock", &[]),
    ("unittest", &[]),
    ("json.decoder", &[]),
    ("re.error", &[]),
];

/// The module of a name, if it is here.
pub fn module(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|(n, _)| *n == name).map(|(n, _)| *n)
}

/// A member of a module; one that is not here is a value whose use is unknown.
pub fn member(module: &'static str, name: &str) -> Value {
    use Type::*;
    let of = |t: Type| Value::Type(t);
    match (module, name) {
        ("json", "JSONDecodeError") | ("json.decoder", "JSONDecodeError") => of(Exc(Kind::JsonDecodeError)),
        ("json", "decoder") => Value::NativeModule("json.decoder"),
        ("re", "error") => of(Exc(Kind::PatternError)),
        ("re", "I" | "IGNORECASE") => Value::Int(re::IGNORECASE),
        ("re", "M" | "MULTILINE") => Value::Int(re::MULTILINE),
        ("re", "S" | "DOTALL") => Value::Int(re::DOTALL),
        ("re", "Pattern") => of(Pattern),
        ("re", "Match") => of(Match),
        ("ipaddress", "IPv4Address") => of(Ipv4Address),
        ("ipaddress", "IPv6Address") => of(Ipv6Address),
        ("ipaddress", "IPv4Network") => of(Ipv4Network),
        ("ipaddress", "IPv6Network") => of(Ipv6Network),
        ("ipaddress", "AddressValueError") => of(Exc(Kind::AddressValueError)),
        ("ipaddress", "NetmaskValueError") => of(Exc(Kind::NetmaskValueError)),
        ("binascii", "Error") => of(Exc(Kind::BinasciiError)),
        ("datetime", "datetime") => of(DateTime),
        ("datetime", "date") => of(Date),
        ("datetime", "timedelta") => of(TimeDelta),
        ("datetime", "timezone") => of(TimeZone),
        ("datetime", "UTC") => Value::lib(Lib::Zone(Zone::utc())),
        ("math", "pi") => Value::Float(std::f64::consts::PI),
        ("math", "e") => Value::Float(std::f64::consts::E),
        ("math", "inf") => Value::Float(f64::INFINITY),
        ("math", "nan") => Value::Float(f64::NAN),
        ("worker", "channel") => Value::NativeModule("worker.channel"),
        ("collections", "OrderedDict") => of(OrderedDict),
        ("collections.abc" | "typing", "Mapping") => of(Mapping),
        ("collections.abc" | "typing", "MutableMapping") => of(MutableMapping),
        ("collections.abc" | "typing", "Sequence") => of(Sequence),
        ("collections.abc" | "typing", "Iterable") => of(Iterable),
        ("collections", "abc") => Value::NativeModule("collections.abc"),
        ("typing", "Dict") => of(Dict),
        ("typing", "List") => of(List),
        ("typing", "Tuple") => of(Tuple),
        ("typing", "Set") => of(Set),
        ("typing", "Any" | "Optional" | "Union" | "Callable" | "Literal" | "Final") => of(Typing),
        ("dateutil", "parser") => Value::NativeModule("dateutil.parser"),
        ("dateutil.parser", "ParserError") => of(Exc(Kind::ParserError)),
        ("urllib", "parse") => Value::NativeModule("urllib.parse"),
        ("unittest", "mock") => Value::NativeModule("unittest.mock"),
        ("unittest.mock", "MagicMock") => of(MagicMock),
        ("panther_core", "PantherEvent") => of(Event),
        ("panther_core", "exceptions") => Value::NativeModule("panther_core.exceptions"),
        ("panther_core.exceptions", "PantherError") => of(Exc(Kind::PantherError)),
        ("panther_core", "immutable") => Value::NativeModule("panther_core.immutable"),
        ("panther_core.immutable", "ImmutableList") => of(EvList),
        ("panther_core.immutable", "ImmutableCaseInsensitiveDict" | "ImmutableDict") => of(EvDict),
        _ => {
            let functions = MODULES.iter().find(|(n, _)| *n == module).map_or(&[][..], |(_, f)| f);
            match functions.iter().find(|f| f.name == name) {
                Some(function) => Value::Native(function),
                None => Value::Missing(Rc::from(format!("{module}.{name}"))),
            }
        }
    }
}
