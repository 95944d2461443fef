//! What Python says of characters beyond ASCII, from the tables of the regex crate.

use std::sync::LazyLock;

use regex::Regex;

fn class(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a fixed pattern")
}

static LETTER: LazyLock<Regex> = LazyLock::new(|| class(r"^\p{L}$"));
static DECIMAL: LazyLock<Regex> = LazyLock::new(|| class(r"^\p{Nd}$"));
static HIDDEN: LazyLock<Regex> = LazyLock::new(|| class(r"^[\p{C}\p{Z}]$"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| class(r"^\p{N}$"));

fn is(class: &Regex, c: char) -> bool {
    class.is_match(c.encode_utf8(&mut [0; 4]))
}

/// `str.isalpha` of a character.
pub fn is_alpha(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { is(&LETTER, c) }
}

/// `str.isdecimal` of a character.
pub fn is_decimal(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_digit() } else { is(&DECIMAL, c) }
}

/// A number that is no decimal digit: whether it counts as a digit is not in the tables.
pub fn is_other_number(c: char) -> bool {
    !c.is_ascii() && is(&NUMBER, c) && !is_decimal(c)
}

/// `str.isprintable` of a character.
pub fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        c if c.is_ascii() => false,
        c => !is(&HIDDEN, c),
    }
}

/// `str.isspace` of a character, and what `strip` and `split` take for one.
pub fn is_space(c: char) -> bool {
    matches!(c, '\u{9}'..='\u{d}' | '\u{1c}'..='\u{1f}' | ' ' | '\u{85}') || (!c.is_ascii() && c.is_whitespace())
}

// CPython 3.11 has Unicode 14. What later versions changed for letters that were there is undone below.

/// `str.islower` of a character.
pub fn is_lower(c: char) -> bool {
    c.is_lowercase() || c == 'ʕ'
}

/// `str.upper`.
pub fn upper(text: &str) -> String {
    if text.contains(['ƛ', 'ɤ']) {
        return text.chars().map(upper_of).collect();
    }
    text.to_uppercase()
}

/// Upper case of a character.
pub fn upper_of(c: char) -> String {
    match c {
        'ƛ' | 'ɤ' => c.into(),
        c => c.to_uppercase().collect(),
    }
}

/// True for a letter that has a case.
pub fn is_cased(c: char) -> bool {
    is_lower(c) || c.is_uppercase() || matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1f88}'..='\u{1faf}')
}

/// `str.casefold`: lower case of the upper case, but for letters whose upper case is another letter's.
pub fn casefold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'ı' => out.push(c),
            '\u{13a0}'..='\u{13f5}' => out.push(c),
            '\u{13f8}'..='\u{13fd}' => out.extend(c.to_uppercase()),
            '\u{ab70}'..='\u{abbf}' => out.extend(c.to_uppercase()),
            'ẞ' => out.push_str("ss"),
            c => out.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    out
}
