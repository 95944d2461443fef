//! Escapes in strings: checking them, and undoing them into a side buffer.

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
        // Nearly all are two bytes long; paths of Windows are full of them.
        if at >= behind && record.get(at + 1).is_some_and(|c| SHORT[*c as usize] != 0) {
            continue;
        }
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

/// What a backslash and this byte stand for; 0: not one byte, or no escape at all.
const SHORT: [u8; 256] = {
    let mut table = [0; 256];
    let pairs = [
        (b'"', b'"'),
        (b'\\', b'\\'),
        (b'/', b'/'),
        (b'n', b'\n'),
        (b't', b'\t'),
        (b'r', b'\r'),
        (b'b', 8),
        (b'f', 12),
    ];
    let mut i = 0;
    while i < pairs.len() {
        table[pairs[i].0 as usize] = pairs[i].1;
        i += 1;
    }
    table
};

/// Bytes that are copied at once. Texts between escapes are short: names of folders, mostly.
const COPY: usize = 32;

/// As [`unescape`], for `text[from..to]` of which the backslashes that begin an escape are known: `escapes` begins with the
/// first of them, in order, and may go on behind `to`. `text` goes on for at least [`model::raw::PAD`] bytes. Gives how many of
/// `escapes` are certainly not behind `to`.
pub(super) fn unescape_known(
    text: &[u8],
    from: usize,
    to: usize,
    escapes: &[u32],
    lenient: bool,
    out: &mut Vec<u8>,
) -> Result<usize, (usize, &'static str)> {
    const { assert!(model::raw::PAD >= COPY) };
    assert!(from <= to && to + COPY <= text.len());
    let (before, mut known, mut used) = (out.len(), true, 0);
    // What is written is never longer than what is read, and at most `COPY` bytes are written behind it.
    out.reserve(to - from + COPY);
    let (mut at, mut end) = (from, before);
    for &escape in escapes {
        let escape = escape as usize;
        if escape + 1 >= to {
            break;
        }
        let byte = SHORT[text[escape + 1] as usize];
        if byte == 0 {
            known = false;
            break;
        }
        // SAFETY: `at <= escape < to`; room and readable bytes are there, see above. The byte is one that is written too.
        unsafe {
            copy(text, at, escape, out.as_mut_ptr().add(end));
            end += escape - at;
            out.as_mut_ptr().add(end).write(byte);
        }
        end += 1;
        at = escape + 2;
        used += 1;
    }
    if known {
        // SAFETY: as above.
        unsafe { copy(text, at, to, out.as_mut_ptr().add(end)) };
        end += to - at;
    }
    // SAFETY: these bytes were written.
    unsafe { out.set_len(end) };
    if !known && let Err((place, what)) = unescape(&text[at..to], lenient, out) {
        out.truncate(before);
        return Err((at - from + place, what));
    }
    Ok(used)
}

/// Writes `text[from..to]` to `target`, a few bytes at a time.
///
/// # Safety
/// `from <= to`, `to + COPY <= text.len()`, and there is room for `to - from + COPY` bytes.
#[inline(always)]
unsafe fn copy(text: &[u8], from: usize, to: usize, target: *mut u8) {
    debug_assert!(to + COPY <= text.len());
    let mut done = 0;
    while done < to - from {
        // SAFETY: the caller's promise: less than `COPY` bytes behind `to` are read and written.
        unsafe {
            let bytes = text.as_ptr().add(from + done).cast::<[u8; COPY]>().read_unaligned();
            target.add(done).cast::<[u8; COPY]>().write_unaligned(bytes);
        }
        done += COPY;
    }
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
        fn known_places_make_no_difference(
            parts in prop::collection::vec("[a-z\u{dc}:]{0,40}|(\\\\[\\\\\"nt/u])|\\\\u00e9|\\\\ud83d(\\\\ude00)?", 0..9),
            before in 0u32..3,
            lenient: bool,
        ) {
            let text = parts.concat();
            let mut escapes: Vec<u32> = vec![0; before as usize];
            let mut at = 0;
            while let Some(n) = text[at..].find('\\') {
                escapes.push(before + (at + n) as u32);
                // A character behind a backslash is one byte here.
                at = (at + n + 2).min(text.len());
            }
            let padded = format!("{}{text}\"{:2$}", "x".repeat(before as usize), "\\n", model::raw::PAD);
            let (from, to) = (before as usize, before as usize + text.len());
            let mut out = b"before".to_vec();
            let got = unescape_known(padded.as_bytes(), from, to, &escapes[from..], lenient, &mut out);
            let mut want = b"before".to_vec();
            prop_assert!(got.is_ok_and(|used| used <= at.max(1)) || got.is_err());
            prop_assert_eq!(got.map(|_| ()), unescape(text.as_bytes(), lenient, &mut want));
            prop_assert_eq!(out, want);
        }
    }
}
