//! What the registries say of an address: private, global, reserved, …

use super::super::Lib;
use super::{Address, Network, parse_v4, parse_v6, text};
use crate::exc::{R, unknown};
use crate::value::Value;

pub(super) fn within(a: &Address, networks: &[&str]) -> bool {
    networks.iter().any(|n| {
        let (host, prefix) = n.split_once('/').unwrap_or((n, "0"));
        let bits = if a.v6 { parse_v6(host) } else { parse_v4(host) };
        let prefix = prefix.parse().unwrap_or(0);
        bits.is_some_and(|bits| Network { v6: a.v6, bits, prefix }.holds(a))
    })
}

// The lists of CPython 3.11.7 (IANA special-purpose registries).
pub(super) const PRIVATE_V4: &[&str] = &[
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

pub(super) const PRIVATE_V6: &[&str] = &[
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

pub(super) const RESERVED_V6: &[&str] = &[
    "::/8", "100::/8", "200::/7", "400::/6", "800::/5", "1000::/4", "4000::/3", "6000::/3", "8000::/3", "a000::/3",
    "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9",
];

pub(super) fn mapped(a: &Address) -> Option<Address> {
    (a.v6 && a.bits >> 32 == 0xffff).then_some(Address { v6: false, bits: a.bits & 0xffff_ffff })
}

pub(super) fn private(a: &Address) -> bool {
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
