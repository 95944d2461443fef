//! Punycode (RFC 3492) labels of domain names, decoded so that a domain has one spelling.

/// Longest label that is decoded; longer ones are no labels (RFC 1035 allows 63 bytes).
const MAX_LABEL: usize = 63;

/// Decode every `xn--` label; labels that do not decode stay as they are.
pub fn to_unicode(domain: &str) -> String {
    let label = |l: &str| {
        let coded = l.get(..4).filter(|p| p.eq_ignore_ascii_case("xn--")).and(l.get(4..));
        coded.filter(|c| c.len() <= MAX_LABEL).and_then(decode).unwrap_or_else(|| l.to_string())
    };
    domain.split('.').map(label).collect::<Vec<_>>().join(".")
}

fn decode(text: &str) -> Option<String> {
    let (basic, coded) = text.rsplit_once('-').unwrap_or(("", text));
    let mut out: Vec<char> = basic.chars().collect();
    if !basic.is_ascii() || coded.is_empty() {
        return None;
    }
    let (mut n, mut i, mut bias) = (128u32, 0u32, 72u32);
    let mut digits = coded.bytes().peekable();
    while digits.peek().is_some() {
        let (start, mut weight, mut k) = (i, 1u32, 36u32);
        loop {
            let digit = match digits.next()? {
                c @ b'a'..=b'z' => c - b'a',
                c @ b'A'..=b'Z' => c - b'A',
                c @ b'0'..=b'9' => c - b'0' + 26,
                _ => return None,
            } as u32;
            i = i.checked_add(digit.checked_mul(weight)?)?;
            let t = k.saturating_sub(bias).clamp(1, 26);
            if digit < t {
                break;
            }
            weight = weight.checked_mul(36 - t)?;
            k += 36;
        }
        let len = out.len() as u32 + 1;
        bias = adapt(i - start, len, start == 0);
        n = n.checked_add(i / len)?;
        i %= len;
        out.insert(i as usize, char::from_u32(n)?);
        i += 1;
    }
    Some(out.into_iter().collect())
}

fn adapt(delta: u32, len: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / len;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_labels() {
        assert_eq!(to_unicode("xn--mnchen-3ya.de"), "münchen.de");
        assert_eq!(to_unicode("www.XN--BCHER-KVA.example"), "www.BüCHER.example");
        assert_eq!(to_unicode("xn--fiqs8s"), "中国");
        assert_eq!(to_unicode("plain.example"), "plain.example");
        for bad in ["xn--", "xn--é", "xn--a-", "xn--99999999", "xn"] {
            assert_eq!(to_unicode(bad), bad);
        }
        let long = format!("xn--{}", "a".repeat(64));
        assert_eq!(to_unicode(&long), long);
    }
}
