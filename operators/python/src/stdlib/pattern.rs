//! Python's regular expressions in the syntax of the regex crate, where both mean the same.
//!
//! Both take the leftmost match and prefer alternatives in order, so results are equal where the syntax is. Not here,
//! and so unknown: look-around, back references, possessive and atomic groups, conditionals, flags inside a pattern
//! other than `i`, `m`, `s` at its start.

use regex_syntax::hir::{Hir, HirKind};

use crate::exc::{R, unknown};

/// A translated pattern.
pub struct Translated {
    /// In the crate's syntax.
    pub text: String,
    /// It has a `$` that also matches before a last newline.
    pub dollar: bool,
    /// It has a word boundary.
    pub words: bool,
}

const WORD: &str = r"\p{L}\p{N}_";
const SPACE: &str = r"\s\x1c-\x1f";

/// Refuse a pattern that ignores the case of letters beyond ASCII: Python folds them by a table of its own.
///
/// # Errors
/// Unknown for such a pattern.
pub fn ignores_case(source: &str, ignore: bool) -> R<()> {
    if !source.is_ascii() && (ignore || source.starts_with("(?")) {
        return unknown("a regular expression that ignores the case of letters beyond ASCII");
    }
    Ok(())
}

/// What of a translated pattern decides whether both engines walk it alike.
pub struct Shape {
    /// A group that can match nothing is repeated: CPython's rounds over nothing leave other groups behind.
    pub hollow: bool,
    /// Something may be preferred empty: a lazy quantifier or alternatives. CPython then tries again at the same place.
    pub shy: bool,
}

/// The shape of a pattern in the crate's syntax.
///
/// # Errors
/// Unknown for one that the crate does not read.
pub fn shape(text: &str) -> R<Shape> {
    fn walk(hir: &Hir, shape: &mut Shape) {
        match hir.kind() {
            HirKind::Repetition(r) => {
                let nothing = r.sub.properties().minimum_len().unwrap_or(0) == 0;
                let groups = r.sub.properties().explicit_captures_len() > 0;
                shape.hollow |= nothing && (groups || r.max != Some(1));
                shape.shy |= !r.greedy;
                walk(&r.sub, shape);
            }
            HirKind::Capture(c) => walk(&c.sub, shape),
            HirKind::Concat(subs) => subs.iter().for_each(|s| walk(s, shape)),
            HirKind::Alternation(subs) => {
                shape.shy = true;
                subs.iter().for_each(|s| walk(s, shape));
            }
            _ => {}
        }
    }
    let Ok(hir) = regex_syntax::parse(text) else {
        return unknown("a regular expression that the crate does not read");
    };
    let mut shape = Shape { hollow: false, shy: false };
    walk(&hir, &mut shape);
    Ok(shape)
}

/// Translate a pattern.
///
/// # Errors
/// Unknown for what the crate cannot do.
pub fn translate(source: &str, multiline: bool) -> R<Translated> {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len() + 16);
    let (mut dollar, mut words) = (false, false);
    let mut multiline = multiline;
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            '\\' => {
                let Some(&e) = chars.get(at) else { return unknown("a pattern that ends with a backslash") };
                at += 1;
                match e {
                    'b' | 'B' => {
                        words = true;
                        out.push('\\');
                        out.push(e);
                    }
                    'A' => out.push_str("\\A"),
                    'Z' => out.push_str("\\z"),
                    _ => {
                        at -= 1;
                        let (text, next) = escape(&chars, at, false)?;
                        out.push_str(&text);
                        at = next;
                    }
                }
            }
            '$' => {
                dollar |= !multiline;
                out.push(c);
            }
            '[' => {
                let (text, next) = class(&chars, at)?;
                out.push_str(&text);
                at = next;
            }
            '(' if chars.get(at) == Some(&'?') => {
                let rest: String = chars[at + 1..].iter().take(3).collect();
                if rest.starts_with("P<") || rest.starts_with(':') {
                    out.push('(');
                } else if at == 1 {
                    let end = chars.iter().position(|c| *c == ')').unwrap_or(chars.len());
                    let flags: String = chars[2..end].iter().collect();
                    if flags.is_empty() || !flags.chars().all(|f| "ims".contains(f)) {
                        return unknown(format!("(?{flags}) in a regular expression"));
                    }
                    multiline |= flags.contains('m');
                    out.push_str(&format!("(?{flags})"));
                    at = end + 1;
                } else {
                    return unknown(format!("(?{} in a regular expression", rest.chars().take(2).collect::<String>()));
                }
            }
            '{' => {
                let end = chars[at..].iter().position(|c| *c == '}').map(|i| at + i);
                let inner: String = end.map(|e| chars[at..e].iter().collect()).unwrap_or_default();
                let counts = inner.split(',').count() <= 2
                    && inner.chars().any(|c| c.is_ascii_digit())
                    && inner.chars().all(|c| c.is_ascii_digit() || c == ',');
                if counts {
                    let (low, high) = inner.split_once(',').map_or((&*inner, None), |(l, h)| (l, Some(h)));
                    let low = if low.is_empty() { "0" } else { low };
                    out.push_str(&match high {
                        Some(high) => format!("{{{low},{high}}}"),
                        None => format!("{{{low}}}"),
                    });
                    at = end.unwrap_or(at) + 1;
                    if chars.get(at) == Some(&'+') {
                        return unknown("a possessive quantifier");
                    }
                } else {
                    out.push_str("\\{");
                }
            }
            '*' | '+' | '?' => {
                if chars.get(at) == Some(&'+') {
                    return unknown("a possessive quantifier");
                }
                out.push(c);
            }
            '}' | ']' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    Ok(Translated { text: out, dollar, words })
}

/// The escape at a position, and the position after it.
fn escape(chars: &[char], at: usize, inside: bool) -> R<(String, usize)> {
    let e = chars[at];
    let hex = |n: usize| -> Option<char> {
        let digits: String = chars.get(at + 1..at + 1 + n)?.iter().collect();
        char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
    };
    let literal = |c: char| format!("\\x{{{:x}}}", u32::from(c));
    let set = |positive: &str, negative: bool| match (inside, negative) {
        (false, false) => format!("[{positive}]"),
        (_, true) => format!("[^{positive}]"),
        (true, false) => positive.to_string(),
    };
    let text = match e {
        'd' => r"\p{Nd}".to_string(),
        'D' => r"\P{Nd}".to_string(),
        'w' => set(WORD, false),
        'W' => set(WORD, true),
        's' => set(SPACE, false),
        'S' => set(SPACE, true),
        'n' => "\\n".into(),
        't' => "\\t".into(),
        'r' => "\\r".into(),
        'f' => "\\x0c".into(),
        'v' => "\\x0b".into(),
        'a' => "\\x07".into(),
        'b' if inside => "\\x08".into(),
        '0' if !chars.get(at + 1).is_some_and(|c| c.is_digit(8)) => "\\x00".into(),
        'x' | 'u' | 'U' => {
            let n = match e {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            return match hex(n) {
                Some(c) => Ok((literal(c), at + 1 + n)),
                None => unknown("this escape in a regular expression"),
            };
        }
        c if c.is_ascii_digit() => return unknown("a back reference in a regular expression"),
        c if c.is_ascii_alphabetic() => return unknown(format!("\\{c} in a regular expression")),
        c => literal(c),
    };
    Ok((text, at + 1))
}

/// The class after a `[`, and the position after it.
fn class(chars: &[char], at: usize) -> R<(String, usize)> {
    let mut out = String::from("[");
    let mut at = at;
    if chars.get(at) == Some(&'^') {
        out.push('^');
        at += 1;
    }
    let start = at;
    loop {
        let Some(&c) = chars.get(at) else { return unknown("a class in a regular expression that does not end") };
        at += 1;
        match c {
            ']' if at - 1 > start => {
                out.push(']');
                return Ok((out, at));
            }
            '\\' => {
                if at >= chars.len() {
                    return unknown("a pattern that ends with a backslash");
                }
                let (text, next) = escape(chars, at, true)?;
                out.push_str(&text);
                at = next;
            }
            '-' => {
                // A dash is a range between two characters, and itself at the ends or beside a class.
                let after_class = at >= 3 && chars[at - 3] == '\\' && "dwsDWS".contains(chars[at - 2]);
                let ends = at - 1 == start || chars.get(at) == Some(&']') || after_class;
                out.push_str(if ends { "\\-" } else { "-" });
            }
            '[' | ']' | '&' | '~' | '^' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
}
