//! `validate` of a string field: the value must be (or must not be) one of a list, an address or a network.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Family of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 or IPv6.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Condition on a string.
#[derive(Clone, Debug, PartialEq)]
pub enum Validate {
    /// One of these.
    Allow(Vec<String>),
    /// None of these.
    Deny(Vec<String>),
    /// An IP address.
    Ip(Family),
    /// A network in CIDR form.
    Cidr(Family),
}

impl Validate {
    /// True if the text is acceptable.
    pub fn accepts(&self, text: &str) -> bool {
        match self {
            Validate::Allow(list) => list.iter().any(|v| v == text),
            Validate::Deny(list) => list.iter().all(|v| v != text),
            Validate::Ip(f) => address(text, *f).is_some(),
            Validate::Cidr(f) => text.split_once('/').is_some_and(|(ip, bits)| {
                let max = match address(ip, *f) {
                    Some(IpAddr::V4(_)) => 32,
                    Some(IpAddr::V6(_)) => 128,
                    None => return false,
                };
                bits.len() <= 3
                    && bits.bytes().all(|b| b.is_ascii_digit())
                    && bits.parse::<u32>().is_ok_and(|b| b <= max)
            }),
        }
    }

    /// For messages: what the value must be.
    pub fn wants(&self) -> String {
        let family = |f: &Family| match f {
            Family::Any => "an IP",
            Family::V4 => "an IPv4",
            Family::V6 => "an IPv6",
        };
        match self {
            Validate::Allow(list) => format!("one of {}", list.join(", ")),
            Validate::Deny(list) => format!("none of {}", list.join(", ")),
            Validate::Ip(f) => format!("{} address", family(f)),
            Validate::Cidr(f) => format!("{} network (CIDR)", family(f)),
        }
    }
}

fn address(text: &str, family: Family) -> Option<IpAddr> {
    match family {
        Family::Any => text.parse().ok(),
        Family::V4 => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Family::V6 => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition() {
        assert!(Validate::Allow(vec!["a".into()]).accepts("a") && !Validate::Allow(vec!["a".into()]).accepts("b"));
        assert!(Validate::Deny(vec!["a".into()]).accepts("b") && !Validate::Deny(vec!["a".into()]).accepts("a"));
        assert!(Validate::Ip(Family::Any).accepts("::1") && !Validate::Ip(Family::V4).accepts("::1"));
        assert!(Validate::Ip(Family::V6).accepts("::1") && !Validate::Ip(Family::V6).accepts("1.2.3.4"));
        assert!(!Validate::Ip(Family::Any).accepts("1.2.3"));
        let net = Validate::Cidr(Family::Any);
        assert!(net.accepts("10.0.0.0/8") && net.accepts("::/128") && net.accepts("1.1.1.1/32"));
        for bad in ["10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "x/8"] {
            assert!(!net.accepts(bad), "{bad}");
        }
        assert!(!Validate::Cidr(Family::V4).accepts("::/0"));
    }
}
