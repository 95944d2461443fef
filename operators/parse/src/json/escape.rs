//! Escapes in strings: checking them, and undoing them into a side buffer.
use super::trie::word;

/// Reads the escape at `at` (its backslash) of `text`, which ends where escapes must end. Gives the character and the
/// position behind the escape, or what is wrong. `Err` of a lone surrogate is [`LONE`].
fn escape(text: &[u8], at: usize) -> Result<(char, usize), &'static str> {
    let plain = |c: u8| Ok((char::from(c), at + 2));
    match text.get(at + 1) {
        Some(c @ (b'"' | b'\\' | b'/')) => plain(*c),
        Some(b'n') => plain(b'\n'),
        Some(b't') => plain(b'\t'),
        Some(b'r') => plain(b'\r'),
        Some(b'b') => plain(8),
        Some(b'f') => plain(12),
        Some(b'u') => {
            let first = hex(text, at + 2).ok_or(HEX)?;
            let code = match first {
                0xD800..=0xDBFF => match (text.get(at + 6..at + 8), hex(text, at + 8)) {
                    (Some(br"\u"), Some(second @ 0xDC00..=0xDFFF)) => {
                        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                        return char::from_u32(code).map(|c| (c, at + 12)).ok_or(LONE);
                    }
                    _ => return Err(LONE),
                },
                code => code,
            };
            char::from_u32(code).map(|c| (c, at + 6)).ok_or(LONE)
        }
        _ => Err("unknown escape"),
    }
}

/// A surrogate that is not half of a pair.
const LONE: &str = "lone surrogate in a `\\u` escape";
const HEX: &str = "`\\u` takes four hexadecimal digits";

fn hex(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..at + 4)?.iter().try_fold(0, |code, c| Some(code << 4 | char::from(*c).to_digit(16)?))
}

/// Checks all escapes of a record, given the positions of their backslashes in order.
pub(super) fn check(record: &[u8], starts: &[u32]) -> Result<(), (usize, &'static str)> {
    let mut behind = 0;
    for at in starts.iter().map(|at| *at as usize) {
        // The second half of a surrogate pair was read with the first.
        if at >= behind {
            behind = escape(record, at).map_err(|what| (at, what))?.1;
        }
    }
    Ok(())
}

/// Appends `text` to `out` without its escapes. `lenient` reads a lone surrogate as U+FFFD. On failure gives the
/// position in `text`, and `out` is as it was.
pub(super) fn unescape(text: &[u8], lenient: bool, out: &mut Vec<u8>) -> Result<(), (usize, &'static str)> {
    let (before, mut at) = (out.len(), 0);
    while let Some(n) = memchr::memchr(b'\\', &text[at..]) {
        out.extend_from_slice(&text[at..at + n]);
        at += n;
        let (c, next) = match escape(text, at) {
            Err(LONE) if lenient => (char::REPLACEMENT_CHARACTER, at + 6),
            Err(what) => {
                out.truncate(before);
                return Err((at, what));
            }
            Ok(read) => read,
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        at = next;
    }
    out.extend_from_slice(&text[at..]);
    Ok(())
}

/// True if one of eight bytes at a time is a backslash: for keys, which are short.
#[inline]
pub(super) fn has_backslash(text: &[u8], from: usize, to: usize) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut at = from;
    while at < to {
        let keep = if to - at >= 8 { !0 } else { (1u64 << ((to - at) * 8)) - 1 };
        let zero_if = word(text, at) ^ (EACH * b'\\' as u64);
        if (zero_if.wrapping_sub(EACH) & !zero_if & (EACH * 0x80)) & keep != 0 {
            return true;
        }
        at += 8;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str, lenient: bool) -> Result<String, usize> {
        let mut out = b"before".to_vec();
        let done = unescape(text.as_bytes(), lenient, &mut out);
        assert!(done.is_ok() || out == b"before");
        done.map(|()| String::from_utf8(out[6..].to_vec()).unwrap()).map_err(|e| e.0)
    }

    #[test]
    fn undoes_every_escape() {
        assert_eq!(
            plain(r#"a\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\ude00z"#, false).unwrap(),
            "a\"\\/\u{8}\u{c}\n\r\tAé€😀z"
        );
        for (bad, at) in [
            (r"ab\x", 2),
            (r"\", 0),
            (r"\u12", 0),
            (r"\u12g4", 0),
            (r"a\ud83d", 1),
            (r"\ude00", 0),
            (r"\ud83d\u0041", 0),
            (r"\ud83d\n", 0),
        ] {
            assert_eq!(plain(bad, false), Err(at), "{bad}");
        }
        assert_eq!(plain(r"\ud83d\u0041\ude00", true).unwrap(), "\u{FFFD}A\u{FFFD}");
        assert_eq!(plain(r"\uq", true), Err(0));
    }

    proptest! {
        #[test]
        fn undoes_what_serde_json_does(text in any::<String>()) {
            let quoted = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(plain(&quoted[1..quoted.len() - 1], false), Ok(text));
        }

        #[test]
        fn finds_backslashes(text in "[a\\\\\u{dc}\u{5d}\\[]{0,20}", skip in 0usize..4) {
            let padded = format!("{text}{:8}", "\\");
            let from = (0..=skip).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
            prop_assert_eq!(has_backslash(padded.as_bytes(), from, text.len()), text[from..].contains('\\'));
        }
    }
}
