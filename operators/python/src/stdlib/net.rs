//! `ipaddress`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Lib;
use crate::exc::{Kind, R, raise, type_error, unknown, value_error};
use crate::native::{Args, NativeFn};
use crate::ops::{self, Bin, int_of};
use crate::repr::str_repr;
use crate::value::Value;

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// IPv6.
    pub v6: bool,
    /// Its bits.
    pub bits: u128,
}

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
    fn width(&self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    fn mask(&self) -> u128 {
        mask(self.width(), self.prefix)
    }

    fn holds(&self, other: &Address) -> bool {
        self.v6 == other.v6 && other.bits & self.mask() == self.bits
    }

    fn last(&self) -> u128 {
        self.bits | (!self.mask() & mask(self.width(), self.width()))
    }
}

fn mask(width: u32, prefix: u32) -> u128 {
    let all = if width == 128 { u128::MAX } else { u128::from(u32::MAX) };
    if prefix == 0 { 0 } else { all & (all << (width - prefix)) }
}

/// Functions of the module.
pub static FUNCTIONS: &[NativeFn] = &[
    NativeFn { name: "ip_address", call: |_, args| address(args, None) },
    NativeFn { name: "ip_network", call: |_, args| network(args, None) },
];

/// Methods of a network.
pub const NETWORK_METHODS: &[&str] = &["overlaps", "subnet_of", "supernet_of"];

/// The text of an address.
pub fn text(a: &Address) -> String {
    if !a.v6 {
        return Ipv4Addr::from(a.bits as u32).to_string();
    }
    // CPython writes no dotted part; the longest run of at least two zero groups is left out.
    let groups: Vec<u16> = (0..8).map(|i| (a.bits >> (112 - 16 * i)) as u16).collect();
    let (mut best, mut length) = (0, 1);
    let mut i = 0;
    while i < 8 {
        let run = groups[i..].iter().take_while(|g| **g == 0).count();
        if run > length {
            (best, length) = (i, run);
        }
        i += run.max(1);
    }
    let hex = |gs: &[u16]| gs.iter().map(|g| format!("{g:x}")).collect::<Vec<_>>().join(":");
    if length < 2 { hex(&groups) } else { format!("{}::{}", hex(&groups[..best]), hex(&groups[best + length..])) }
}

/// The text of a network.
pub fn network_text(n: &Network) -> String {
    format!("{}/{}", text(&Address { v6: n.v6, bits: n.bits }), n.prefix)
}

fn parse_v4(text: &str) -> Option<u128> {
    let parts: Vec<&str> = text.split('.').collect();
    let octet = |p: &&str| {
        let ok = !p.is_empty()
            && p.len() <= 3
            && p.bytes().all(|b| b.is_ascii_digit())
            && (p.len() == 1 || !p.starts_with('0'));
        if ok { p.parse::<u8>().ok() } else { None }
    };
    if parts.len() != 4 {
        return None;
    }
    let octets = parts.iter().map(octet).collect::<Option<Vec<u8>>>()?;
    Some(octets.iter().fold(0, |acc, o| (acc << 8) | u128::from(*o)))
}

fn parse_v6(text: &str) -> Option<u128> {
    text.parse::<Ipv6Addr>().ok().map(u128::from)
}

/// What CPython says of a text that is no IPv4 address.
fn v4_error(text: &str) -> String {
    if text.is_empty() {
        return "Address cannot be empty".into();
    }
    let parts: Vec<&str> = text.split('.').collect();
    if text.contains('/') {
        return format!("Unexpected '/' in {}", str_repr(text));
    }
    if parts.len() != 4 {
        return format!("Expected 4 octets in {}", str_repr(text));
    }
    for p in parts {
        let why = if p.is_empty() {
            "Empty octet not permitted".into()
        } else if !p.bytes().all(|b| b.is_ascii_digit()) {
            format!("Only decimal digits permitted in {}", str_repr(p))
        } else if p.len() > 3 {
            format!("At most 3 characters permitted in {}", str_repr(p))
        } else if p.len() > 1 && p.starts_with('0') {
            format!("Leading zeros are not permitted in {}", str_repr(p))
        } else if p.parse::<u32>().unwrap_or(256) > 255 {
            format!("Octet {} (> 255) not permitted", p.parse::<u32>().unwrap_or(0))
        } else {
            continue;
        };
        return format!("{why} in {}", str_repr(text));
    }
    String::new()
}

/// `ip_address(…)`, `IPv4Address(…)`, `IPv6Address(…)`.
///
/// # Errors
/// `ValueError` or `AddressValueError` for what is no address.
pub fn address(args: Args, v6: Option<bool>) -> R<Value> {
    args.check_named("ip_address", 1, 1, &["address"])?;
    let Some(value) = args.get(0, "address") else { return type_error("missing address") };
    if let Value::Missing(name) = value {
        return unknown(format!("`{name}` is not available"));
    }
    let make = |v6, bits| Ok(Value::lib(Lib::Address(Address { v6, bits })));
    match value {
        Value::Str(s) => {
            if s.contains('%') {
                return unknown("an IPv6 address with a scope");
            }
            if v6 != Some(true)
                && let Some(bits) = parse_v4(s)
            {
                return make(false, bits);
            }
            if v6 != Some(false)
                && let Some(bits) = parse_v6(s)
            {
                return make(true, bits);
            }
        }
        v => {
            if let Some(i) = int_of(v) {
                let limit = i128::from(u32::MAX);
                if i >= 0 && i <= limit && v6 != Some(true) {
                    return make(false, i as u128);
                }
                if i >= 0 && v6 != Some(false) {
                    return make(true, i as u128);
                }
                if v6.is_some() {
                    return raise(
                        Kind::AddressValueError,
                        if i < 0 {
                            format!("{i} (< 0) is not permitted as an IPv4 address")
                        } else {
                            format!("{i} (>= 2**32) is not permitted as an IPv4 address")
                        },
                    );
                }
            } else if matches!(v, Value::Bytes(_) | Value::Lib(_)) {
                return unknown("an address made of this");
            }
        }
    }
    let text = match value {
        Value::Str(s) => s.to_string(),
        v => crate::repr::to_str(&mut crate::native::Vm::detached(), v)?,
    };
    match v6 {
        None => {
            let written = match value {
                Value::Str(s) => str_repr(s),
                v => crate::repr::to_repr(&mut crate::native::Vm::detached(), v)?,
            };
            value_error(format!("{written} does not appear to be an IPv4 or IPv6 address"))
        }
        Some(false) => raise(Kind::AddressValueError, v4_error(&text)),
        // The wording of each IPv6 error is not built; its class is.
        Some(true) => raise(Kind::AddressValueError, format!("At least 3 parts expected in {}", str_repr(&text))),
    }
}

fn prefix_of(text: &str, v6: bool) -> Option<u32> {
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

fn within(a: &Address, networks: &[&str]) -> bool {
    networks.iter().any(|n| {
        let (host, prefix) = n.split_once('/').unwrap_or((n, "0"));
        let bits = if a.v6 { parse_v6(host) } else { parse_v4(host) };
        let prefix = prefix.parse().unwrap_or(0);
        bits.is_some_and(|bits| Network { v6: a.v6, bits, prefix }.holds(a))
    })
}

// The lists of CPython 3.11.7 (IANA special-purpose registries).
const PRIVATE_V4: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/29",
    "192.0.0.170/31",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
];
const PRIVATE_V6: &[&str] = &[
    "::1/128",
    "::/128",
    "::ffff:0:0/96",
    "100::/64",
    "2001::/23",
    "2001:2::/48",
    "2001:db8::/32",
    "2001:10::/28",
    "fc00::/7",
    "fe80::/10",
];
const RESERVED_V6: &[&str] = &[
    "::/8", "100::/8", "200::/7", "400::/6", "800::/5", "1000::/4", "4000::/3", "6000::/3", "8000::/3", "a000::/3",
    "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9",
];

fn mapped(a: &Address) -> Option<Address> {
    (a.v6 && a.bits >> 32 == 0xffff).then_some(Address { v6: false, bits: a.bits & 0xffff_ffff })
}

fn private(a: &Address) -> bool {
    if let Some(v4) = mapped(a) {
        return private(&v4);
    }
    within(a, if a.v6 { PRIVATE_V6 } else { PRIVATE_V4 })
}

/// An attribute of an address.
///
/// # Errors
/// Unknown for what is not built.
pub fn address_attribute(a: &Address, name: &str) -> R<Option<Value>> {
    let bool_of = |b| Ok(Some(Value::Bool(b)));
    let v6 = a.v6;
    match name {
        "version" => Ok(Some(Value::Int(if v6 { 6 } else { 4 }))),
        "compressed" => Ok(Some(Value::str(text(a)))),
        "exploded" if !v6 => Ok(Some(Value::str(text(a)))),
        "max_prefixlen" => Ok(Some(Value::Int(if v6 { 128 } else { 32 }))),
        "is_private" => bool_of(private(a)),
        "is_global" if v6 => bool_of(!private(a)),
        "is_global" => bool_of(!within(a, &["100.64.0.0/10"]) && !private(a)),
        "is_loopback" => bool_of(if v6 { a.bits == 1 } else { within(a, &["127.0.0.0/8"]) }),
        "is_multicast" => bool_of(within(a, &[if v6 { "ff00::/8" } else { "224.0.0.0/4" }])),
        "is_link_local" => bool_of(within(a, &[if v6 { "fe80::/10" } else { "169.254.0.0/16" }])),
        "is_unspecified" => bool_of(a.bits == 0),
        "is_reserved" => bool_of(within(a, if v6 { RESERVED_V6 } else { &["240.0.0.0/4"] })),
        "ipv4_mapped" if v6 => Ok(Some(mapped(a).map_or(Value::None, |v4| Value::lib(Lib::Address(v4))))),
        "packed" | "exploded" | "reverse_pointer" | "is_site_local" | "teredo" | "sixtofour" => {
            unknown(format!("address.{name}"))
        }
        _ => Ok(None),
    }
}

/// `address + 1`, `address - 1`.
///
/// # Errors
/// `AddressValueError` beyond the last address.
pub fn shift(a: &Address, op: Bin, by: &Value) -> R<Option<Value>> {
    let by = int_of(by).unwrap_or(0);
    let by = match op {
        Bin::Add => by,
        Bin::Sub => -by,
        _ => return Ok(None),
    };
    match a.bits.checked_add_signed(by).filter(|b| a.v6 || *b <= u128::from(u32::MAX)) {
        Some(bits) => Ok(Some(Value::lib(Lib::Address(Address { v6: a.v6, bits })))),
        None => raise(Kind::AddressValueError, "not permitted as an address"),
    }
}
