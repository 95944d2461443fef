//! JSON numbers, read only to find their end.
use super::trie::word;

/// End of the number that begins at `at` (with `-` or a digit), or the byte that makes it none. `text` is padded by
/// [`model::raw::PAD`]; a number that runs into the padding ends there, and the caller sees it run over the record.
#[inline]
pub(super) fn number_end(text: &[u8], at: usize) -> Result<usize, usize> {
    let first = at + usize::from(byte(text, at) == b'-');
    let mut end = digits_end(text, first);
    if end == first || (byte(text, first) == b'0' && end > first + 1) {
        return Err(first);
    }
    if byte(text, end) == b'.' {
        let fraction = end + 1;
        end = digits_end(text, fraction);
        if end == fraction {
            return Err(fraction);
        }
    }
    if byte(text, end) | 0x20 == b'e' {
        let exponent = end + 1 + usize::from(matches!(byte(text, end + 1), b'+' | b'-'));
        end = digits_end(text, exponent);
        if end == exponent {
            return Err(exponent);
        }
    }
    Ok(end)
}

#[inline(always)]
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// First byte from `at` that is no digit, eight at a time: almost all numbers take one turn.
#[inline(always)]
fn digits_end(text: &[u8], mut at: usize) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    while at + 8 <= text.len() {
        // Digits become 0..=9; adding 0x76 carries a larger value into the top bit. A carry into the next byte does
        // no harm: only the lowest mark is used.
        let value = word(text, at) ^ (EACH * 0x30);
        let other = (value.wrapping_add(EACH * 0x76) | value) & (EACH * 0x80);
        if other != 0 {
            return at + other.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while byte(text, at).is_ascii_digit() {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(number: &str) -> bool {
        let text = format!("{number},{:64}", "");
        number_end(text.as_bytes(), 0) == Ok(number.len())
    }

    #[test]
    fn knows_the_grammar() {
        for good in [
            "0",
            "-0",
            "7",
            "12345678",
            "123456789012345678901234567890",
            "-1.5",
            "0.10",
            "1e5",
            "1E+05",
            "9.5e-300",
            "1e400",
        ] {
            assert!(whole(good), "{good}");
        }
        for bad in [
            "", "-", "01", "-01", "00", ".5", "1.", "1.e5", "1e", "1e+", "+1", "1.5.5", "1e5e5", "0x1", "--1", "1-",
            "NaN",
        ] {
            assert!(!whole(bad), "{bad}");
        }
    }

    #[test]
    fn digits_end_at_any_byte() {
        for n in 0..20 {
            for other in 0..=255u8 {
                let mut text = vec![b'5'; n];
                text.push(other);
                text.extend([b'5'; 4]);
                let end = if other.is_ascii_digit() { n + 5 } else { n };
                assert_eq!(digits_end(&text, 0), end);
                text.extend([0; 8]);
                assert_eq!(digits_end(&text, 0), end);
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in "-?[0-9]{0,3}[.]?[0-9]{0,3}[eE]?[+-]?[0-9]{0,2}") {
            prop_assert_eq!(whole(&text), serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
