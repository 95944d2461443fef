//! `ipaddress`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Lib;
use crate::exc::{Kind, R, raise, type_error, unknown, value_error};
use crate::native::{Args, NativeFn};
use crate::ops::{Bin, int_of};
use crate::repr::str_repr;
use crate::value::Value;

mod network;
mod ranges;

pub use network::{NETWORK_METHODS, Network, contains, network, network_attribute, network_method, network_text};
pub use ranges::address_attribute;
use ranges::{PRIVATE_V4, PRIVATE_V6, within};

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// IPv6.
    pub v6: bool,
    /// Its bits.
    pub bits: u128,
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
