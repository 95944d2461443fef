//! Networks.

use super::super::Lib;
use super::{Address, PRIVATE_V4, PRIVATE_V6, mask, parse_v4, parse_v6, text, v4_error, within};
use crate::exc::{Kind, R, raise, type_error, unknown, value_error};
use crate::native::Args;
use crate::ops::{self, int_of};
use crate::repr::str_repr;
use crate::value::Value;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// IPv6.
    pub v6: bool,
    /// Bits of its first address.
    pub bits: u128,
    /// Length of its prefix.
    pub prefix: u32,
}

impl Network {
    pub(super) fn width(&self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    pub(super) fn mask(&self) -> u128 {
        mask(self.width(), self.prefix)
    }

    pub(super) fn holds(&self, other: &Address) -> bool {
        self.v6 == other.v6 && other.bits & self.mask() == self.bits
    }

    pub(super) fn last(&self) -> u128 {
        self.bits | (!self.mask() & mask(self.width(), self.width()))
    }
}

/// Methods of a network.
pub const NETWORK_METHODS: &[&str] = &["overlaps", "subnet_of", "supernet_of"];

/// The text of a network.
pub fn network_text(n: &Network) -> String {
    format!("{}/{}", text(&Address { v6: n.v6, bits: n.bits }), n.prefix)
}

pub(super) fn prefix_of(text: &str, v6: bool) -> Option<u32> {
    let width = if v6 { 128 } else { 32 };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|p| *p <= width);
    }
    if v6 {
        return None;
    }
    let bits = parse_v4(text)? as u32;
    let ones = bits.leading_ones();
    if mask(32, ones) as u32 == bits {
        return Some(ones);
    }
    let zeros = bits.leading_zeros();
    (mask(32, zeros) as u32 == !bits).then_some(zeros)
}

/// `ip_network(…, strict=True)`, `IPv4Network(…)`, `IPv6Network(…)`.
///
/// # Errors
/// `ValueError` for what is no network, or has host bits set.
pub fn network(args: Args, v6: Option<bool>) -> R<Value> {
    args.check_named("ip_network", 1, 2, &["address", "strict"])?;
    let Some(value) = args.get(0, "address") else { return type_error("missing address") };
    let strict = match args.get(1, "strict") {
        Some(v) => ops::truthy(v)?,
        None => true,
    };
    let text = match value {
        Value::Str(s) => s.to_string(),
        Value::Lib(l) => match &**l {
            Lib::Address(a) => text(a),
            Lib::Network(n) => network_text(n),
            _ => return unknown("a network made of this"),
        },
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        v if int_of(v).is_some() || matches!(v, Value::Bytes(_) | Value::Tuple(_)) => {
            return unknown("a network made of this");
        }
        v => crate::repr::to_str(&mut crate::native::Vm::detached(), v)?,
    };
    if text.contains('%') {
        return unknown("an IPv6 network with a scope");
    }
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (&*text, None),
    };
    let found = [(false, parse_v4(host)), (true, parse_v6(host))]
        .into_iter()
        .filter(|(six, _)| v6.is_none_or(|v| v == *six))
        .find_map(|(six, bits)| {
            let width = if six { 128 } else { 32 };
            let prefix = match prefix {
                None => width,
                Some(p) => prefix_of(p, six)?,
            };
            Some((six, bits?, width, prefix))
        });
    let Some((six, bits, width, prefix)) = found else {
        return match v6 {
            None => {
                let written = match value {
                    Value::Str(s) => str_repr(s),
                    v => crate::repr::to_repr(&mut crate::native::Vm::detached(), v)?,
                };
                value_error(format!("{written} does not appear to be an IPv4 or IPv6 network"))
            }
            Some(six) if prefix.is_some() && (if six { parse_v6(host) } else { parse_v4(host) }).is_some() => {
                raise(Kind::NetmaskValueError, format!("{} is not a valid netmask", str_repr(prefix.unwrap_or(""))))
            }
            Some(false) => raise(Kind::AddressValueError, v4_error(host)),
            Some(true) => raise(Kind::AddressValueError, format!("At least 3 parts expected in {}", str_repr(host))),
        };
    };
    let first = bits & mask(width, prefix);
    if strict && first != bits {
        return value_error(format!("{text} has host bits set"));
    }
    Ok(Value::lib(Lib::Network(Network { v6: six, bits: first, prefix })))
}

/// `address in network`.
///
/// # Errors
/// `AttributeError` for something else than an address, as CPython has it.
pub fn contains(n: &Network, needle: &Value) -> R<bool> {
    match needle {
        Value::Lib(l) => match &**l {
            Lib::Address(a) => Ok(n.holds(a)),
            Lib::Network(_) => Ok(false),
            _ => unknown("`in` of a network"),
        },
        v => raise(Kind::AttributeError, format!("'{}' object has no attribute '_version'", v.type_name())),
    }
}

/// `network.overlaps(…)` and such.
///
/// # Errors
/// `TypeError` for networks of two versions.
pub fn network_method(n: &Network, name: &str, args: Args) -> R<Value> {
    args.check(name, 1, 1)?;
    let other = match &args.pos[0] {
        Value::Lib(l) => match &**l {
            Lib::Network(o) => *o,
            _ => return unknown("a network method with something else"),
        },
        _ => return unknown("a network method with something else"),
    };
    let first = |n: &Network| Address { v6: n.v6, bits: n.bits };
    if name != "overlaps" && n.v6 != other.v6 {
        return type_error(format!("{} and {} are not of the same version", network_text(n), network_text(&other)));
    }
    let inside = |a: &Network, b: &Network| b.bits <= a.bits && a.last() <= b.last();
    Ok(Value::Bool(match name {
        "overlaps" => n.v6 == other.v6 && (n.holds(&first(&other)) || other.holds(&first(n))),
        "subnet_of" => inside(n, &other),
        _ => inside(&other, n),
    }))
}

/// An attribute of a network.
///
/// # Errors
/// Unknown for what is not built.
pub fn network_attribute(n: &Network, name: &str) -> R<Option<Value>> {
    let at = |bits| Value::lib(Lib::Address(Address { v6: n.v6, bits }));
    Ok(Some(match name {
        "version" => Value::Int(if n.v6 { 6 } else { 4 }),
        "prefixlen" => Value::Int(n.prefix.into()),
        "network_address" => at(n.bits),
        "broadcast_address" => at(n.last()),
        "netmask" => at(n.mask()),
        "num_addresses" if n.width() - n.prefix < 127 => Value::Int(1 << (n.width() - n.prefix)),
        "with_prefixlen" => Value::str(network_text(n)),
        "is_private" | "is_global" => {
            // Private: both ends in one and the same network of the list.
            let (first, last) = (Address { v6: n.v6, bits: n.bits }, Address { v6: n.v6, bits: n.last() });
            let both = |list: &[&str]| list.iter().any(|one| within(&first, &[one]) && within(&last, &[one]));
            let private = both(if n.v6 { PRIVATE_V6 } else { PRIVATE_V4 });
            let shared = !n.v6 && both(&["100.64.0.0/10"]);
            Value::Bool(if name == "is_private" { private } else { !private && !shared })
        }
        "hosts" | "subnets" | "supernet" | "hostmask" | "is_loopback" | "is_multicast" | "compressed" | "exploded" => {
            return unknown(format!("network.{name}"));
        }
        _ => return Ok(None),
    }))
}
