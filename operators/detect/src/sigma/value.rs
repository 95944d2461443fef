//! Texts of Sigma rules: wildcards, escapes, placeholders, encodings.
//!
//! | Written | Means |
//! |---|---|
//! | `*`, `?` | any characters; one character |
//! | `\*`, `\?` | the character itself |
//! | `\\` | one backslash; so `\\*` is a backslash and a wildcard, `\\\*` a backslash and a star |
//! | `\` before anything else | a backslash |
//! | `%name%` | with the modifier `expand`: the values of a placeholder, itself if it has none; `\%` is a percent sign there |
//!
//! Source: Sigma specification 2.1, "String Wildcard", "Escape Character", "Placeholders".
use crate::like::glob::{DASHES, Part};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// Most texts that one value may stand for (placeholders, dashes in front of an encoding).
pub const MAX_VARIANTS: usize = 2_000;

/// Values of placeholders by name.
pub type Placeholders = BTreeMap<String, Vec<String>>;

/// Parts of a text.
pub fn parse(text: &str) -> Vec<Part> {
    // Without placeholders there is exactly one reading.
    expand(text, None, &mut Vec::new()).map(|mut v| v.pop().unwrap_or_default()).unwrap_or_default()
}

/// Parts of a text with placeholders: one reading per combination of their values. A placeholder that nobody knows stands
/// for its own text and is put into `unknown`. The error says what is in the way.
pub fn parse_expand(
    text: &str,
    placeholders: &Placeholders,
    unknown: &mut Vec<String>,
) -> Result<Vec<Vec<Part>>, String> {
    expand(text, Some(placeholders), unknown)
}

fn expand(
    text: &str,
    placeholders: Option<&Placeholders>,
    unknown: &mut Vec<String>,
) -> Result<Vec<Vec<Part>>, String> {
    let mut out: Vec<Vec<Part>> = vec![Vec::new()];
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let part = match c {
            '\\' => {
                let escaped = |c: &char| matches!(c, '\\' | '*' | '?') || (*c == '%' && placeholders.is_some());
                plain.push(chars.next_if(escaped).unwrap_or('\\'));
                continue;
            }
            '*' => Part::Many,
            '?' => Part::One,
            '%' if let (Some(known), Some(name)) = (placeholders, name(chars.clone())) => {
                // The name and the percent sign behind it.
                chars.nth(name.chars().count());
                if let Some(values) = known.get(&name) {
                    flush(&mut plain, &mut out);
                    out = product(&out, values)?;
                } else {
                    plain.push_str(&format!("%{name}%"));
                    unknown.push(name);
                }
                continue;
            }
            c => {
                plain.push(c);
                continue;
            }
        };
        flush(&mut plain, &mut out);
        out.iter_mut().for_each(|parts| parts.push(part.clone()));
    }
    flush(&mut plain, &mut out);
    Ok(out)
}

/// Name of a placeholder that begins here, up to its closing percent sign.
fn name(chars: impl Iterator<Item = char>) -> Option<String> {
    let mut out = String::new();
    for c in chars {
        match c {
            '%' if !out.is_empty() => return Some(out),
            c if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ') => out.push(c),
            _ => return None,
        }
    }
    None
}

fn flush(plain: &mut String, out: &mut [Vec<Part>]) {
    if !plain.is_empty() {
        let text = std::mem::take(plain);
        out.iter_mut().for_each(|parts| parts.push(Part::Text(text.clone())));
    }
}

fn product(readings: &[Vec<Part>], values: &[String]) -> Result<Vec<Vec<Part>>, String> {
    if readings.len() * values.len() > MAX_VARIANTS {
        return Err(format!("its placeholders stand for more than {MAX_VARIANTS} texts"));
    }
    let with = |parts: &Vec<Part>, value: &String| parts.iter().cloned().chain(parse(value)).collect();
    Ok(readings.iter().flat_map(|parts| values.iter().map(move |value| with(parts, value))).collect())
}

/// The parts with every dash standing for each of them: the modifier `windash`.
pub fn windash(parts: Vec<Part>) -> Vec<Part> {
    let mut out = Vec::new();
    for part in parts {
        let Part::Text(text) = part else {
            out.push(part);
            continue;
        };
        let mut rest = text.as_str();
        while let Some(at) = rest.find(DASHES) {
            let dash = rest[at..].chars().next().map_or(1, char::len_utf8);
            out.extend([Part::Text(rest[..at].into()), Part::Dash]);
            rest = &rest[at + dash..];
        }
        out.push(Part::Text(rest.into()));
    }
    out.retain(|p| !matches!(p, Part::Text(t) if t.is_empty()));
    out
}

/// The texts that parts without wildcards stand for. The error says what is in the way.
pub fn plain(parts: &[Part]) -> Result<Vec<String>, String> {
    let mut out = vec![String::new()];
    for part in parts {
        match part {
            Part::Text(t) => out.iter_mut().for_each(|s| s.push_str(t)),
            Part::Dash if out.len() * DASHES.len() <= MAX_VARIANTS => {
                out = out.iter().flat_map(|s| DASHES.map(|d| format!("{s}{d}"))).collect();
            }
            Part::Dash => return Err(format!("its dashes stand for more than {MAX_VARIANTS} texts")),
            Part::One | Part::Many => return Err("a text with wildcards cannot be encoded".into()),
        }
    }
    Ok(out)
}

/// The modifier `base64`.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The modifier `base64offset`: what of the encoding does not depend on the bytes around, for each of the three places
/// that a text may begin at.
pub fn base64_offsets(bytes: &[u8]) -> Vec<String> {
    let at = |offset: usize| {
        let padded: Vec<u8> = vec![b' '; offset].into_iter().chain(bytes.iter().copied()).collect();
        let text = STANDARD.encode(&padded);
        let start = [0, 2, 3][offset];
        let end = text.len() - [0, 3, 2][padded.len() % 3];
        text[start..end.max(start)].to_string()
    };
    (0..3).map(at).collect()
}

/// How a text is written in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utf16 {
    /// `utf16le`, `wide`.
    Little,
    /// `utf16be`.
    Big,
    /// `utf16`: with a byte order mark, little endian.
    Marked,
}

/// Bytes of a text.
pub fn utf16(text: &str, form: Utf16) -> Vec<u8> {
    let mark: &[u8] = if form == Utf16::Marked { &[0xff, 0xfe] } else { &[] };
    let unit = |u: u16| if form == Utf16::Big { u.to_be_bytes() } else { u.to_le_bytes() };
    mark.iter().copied().chain(text.encode_utf16().flat_map(unit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Part::{Dash, Many, One};

    fn text(t: &str) -> Part {
        Part::Text(t.into())
    }

    #[test]
    fn escapes_of_the_specification() {
        for (written, want) in [
            (r"C:\Windows\cmd.exe", vec![text(r"C:\Windows\cmd.exe")]),
            (r"C:\\Windows", vec![text(r"C:\Windows")]),
            (r"\*", vec![text("*")]),
            (r"\?", vec![text("?")]),
            (r"\\*", vec![text(r"\"), Many]),
            (r"\\\*", vec![text(r"\*")]),
            (r"\\\\*", vec![text(r"\\"), Many]),
            (r"\\\", vec![text(r"\\")]),
            (r"\\\\", vec![text(r"\\")]),
            (r"\", vec![text(r"\")]),
            (r"\\", vec![text(r"\")]),
            ("a?b*", vec![text("a"), One, text("b"), Many]),
            ("%name% \\%", vec![text("%name% \\%")]),
            ("", vec![]),
        ] {
            assert_eq!(parse(written), want, "{written}");
        }
    }

    #[test]
    fn placeholders() {
        let known = Placeholders::from([("dc".into(), vec!["dc1".into(), "dc-*".into()]), ("no".into(), vec![])]);
        let mut unknown = Vec::new();
        let mut parse_expand = |text: &str, known: &Placeholders| super::parse_expand(text, known, &mut unknown);
        let all = parse_expand(r"\%x%dc%$", &known).unwrap();
        assert_eq!(all, [vec![text("%x"), text("dc1"), text("$")], vec![text("%x"), text("dc-"), Many, text("$")]]);
        assert_eq!(parse_expand("100%", &known).unwrap(), [vec![text("100%")]]);
        assert_eq!(parse_expand("%%dc%", &known).unwrap().len(), 2);
        assert_eq!(parse_expand("%no%", &known).unwrap(), Vec::<Vec<Part>>::new());
        assert_eq!(parse_expand("a%hosts%*", &known).unwrap(), [vec![text("a%hosts%"), Many]]);
        let many = Placeholders::from([("n".into(), vec!["x".to_string(); 50])]);
        assert!(parse_expand("%n%%n%%n%", &many).unwrap_err().contains("2000"));
        assert_eq!(unknown, ["hosts"]);
    }

    #[test]
    fn dashes() {
        let dashed = windash(parse(" -a/b*\u{2014}"));
        assert_eq!(dashed, [text(" "), Dash, text("a"), Dash, text("b"), Many, Dash]);
        assert_eq!(plain(&windash(parse("-x"))).unwrap(), ["-x", "/x", "\u{2013}x", "\u{2014}x", "\u{2015}x"]);
        assert!(plain(&parse("a*")).is_err());
        assert!(plain(&vec![Dash; 5]).is_err());
    }

    #[test]
    fn encodings() {
        assert_eq!(base64(b"foo"), "Zm9v");
        // Whatever stands around a text, one of its three forms is in the encoding.
        for word in ["a", "ab", "/bin/sh", "New-Object"] {
            for before in ["", "x", "xy", "xyz"] {
                for after in ["", "1", "12"] {
                    let whole = base64(format!("{before}{word}{after}").as_bytes());
                    assert!(base64_offsets(word.as_bytes()).iter().any(|o| whole.contains(o)), "{before}{word}{after}");
                }
            }
        }
        assert_eq!(utf16("cmd", Utf16::Little), b"c\0m\0d\0");
        assert_eq!(utf16("cmd", Utf16::Big), b"\0c\0m\0d");
        assert_eq!(utf16("c", Utf16::Marked), b"\xff\xfec\0");
    }
}
