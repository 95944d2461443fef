//! IP addresses as detections see them: valid, public, private, inside a network.
//!
//! "Private" is wider than RFC 1918: every block that the IANA special-purpose registries mark as not globally
//! reachable (loopback, link local, documentation, benchmarking, unique local, reserved, …). "Public" is what is neither
//! private nor shared address space (100.64.0.0/10), so an address can be neither. IPv4-mapped IPv6 addresses
//! (`::ffff:a.b.c.d`) count as the IPv4 address they carry.
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Address from its usual text form; no surrounding space, no zone.
pub fn parse(text: &str) -> Option<IpAddr> {
    // Nothing longer than this is an address; long values are not worth parsing.
    if text.len() > 45 {
        return None;
    }
    text.parse().ok()
}

/// Network from `10.0.0.0/8` (bits of the host part are ignored) or from a single address.
pub fn parse_net(text: &str) -> Option<IpNet> {
    if text.len() > 49 {
        return None;
    }
    match text.parse::<IpNet>() {
        Ok(n) => Some(n.trunc()),
        Err(_) => Some(IpNet::from(parse(text)?)),
    }
}

/// True if the two networks share an address.
pub fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// Not globally reachable by registry.
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => private_v4(a),
        IpAddr::V6(a) => match a.to_ipv4_mapped() {
            Some(v4) => private_v4(v4),
            None => private_v6(a),
        },
    }
}

/// Globally reachable.
pub fn is_public(ip: IpAddr) -> bool {
    let shared = |a: Ipv4Addr| u32::from(a) >> 22 == u32::from(Ipv4Addr::new(100, 64, 0, 0)) >> 22;
    let v4 = match ip {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(a) => a.to_ipv4_mapped(),
    };
    !v4.is_some_and(shared) && !is_private(ip)
}

fn private_v4(a: Ipv4Addr) -> bool {
    match a.octets() {
        [0 | 10 | 127, ..] | [240..=255, ..] => true,
        [169, 254, ..] | [192, 168, ..] | [198, 18 | 19, ..] => true,
        [172, b, ..] => b & 0xf0 == 16,
        // 192.0.0.9 and 192.0.0.10 are the anycast addresses of PCP and TURN.
        [192, 0, 0, d] => d != 9 && d != 10,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        _ => false,
    }
}

fn private_v6(a: Ipv6Addr) -> bool {
    let s = a.segments();
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => true,
        [0x64, 0xff9b, 1, ..] | [0x100, 0, 0, 0, ..] => true,
        [0x2001, 1, 0, 0, 0, 0, 0, 1 | 2] => false,
        [0x2001, 3, ..] | [0x2001, 4, 0x112, ..] => false,
        [0x2001, b, ..] if b & 0xfff0 == 0x20 || b & 0xfff0 == 0x30 => false,
        [0x2001, b, ..] if b < 0x200 || b == 0xdb8 => true,
        [0x2002, ..] => true,
        [0x3fff, b, ..] if b < 0x1000 => true,
        [x, ..] => x & 0xfe00 == 0xfc00 || x & 0xffc0 == 0xfe80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_private_neither() {
        for (ip, private, public) in [
            ("10.1.2.3", true, false),
            ("172.16.0.1", true, false),
            ("172.32.0.1", false, true),
            ("192.168.255.255", true, false),
            ("127.0.0.1", true, false),
            ("169.254.169.254", true, false),
            ("192.0.0.8", true, false),
            ("192.0.0.9", false, true),
            ("198.19.0.1", true, false),
            ("203.0.113.9", true, false),
            ("255.255.255.255", true, false),
            ("100.64.0.1", false, false),
            ("100.128.0.1", false, true),
            ("8.8.8.8", false, true),
            ("::1", true, false),
            ("fe80::1", true, false),
            ("fd00::1", true, false),
            ("2001:db8::1", true, false),
            ("2001:20::1", false, true),
            ("2001:4860:4860::8888", false, true),
            ("2002::1", true, false),
            ("::ffff:10.0.0.1", true, false),
            ("::ffff:8.8.8.8", false, true),
        ] {
            let a = parse(ip).unwrap();
            assert_eq!((is_private(a), is_public(a)), (private, public), "{ip}");
        }
    }

    #[test]
    fn networks_ignore_host_bits_and_take_addresses() {
        let ten = parse_net("10.1.2.3/8").unwrap();
        assert!(overlap(&ten, &parse_net("10.200.0.1").unwrap()));
        assert!(overlap(&parse_net("10.9.0.0/16").unwrap(), &ten));
        assert!(!overlap(&ten, &parse_net("11.0.0.0/8").unwrap()));
        assert!(!overlap(&ten, &parse_net("::ffff:10.0.0.1").unwrap()));
        for bad in ["", "10.0.0", "10.0.0.0/33", "x", " 10.0.0.1"] {
            assert!(parse_net(bad).is_none(), "{bad}");
        }
    }
}
