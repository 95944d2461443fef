//! Texts with wildcards.
//!
//! A glob is matched without backtracking: what stands between two `*` has a fixed number of characters, so the first
//! place where it fits is the best one. A text of n bytes and a glob of m bytes take at most n·m steps.
use crate::predicate::fold;
use std::fmt;

/// The dashes that a command line may have before an option. Source: Sigma specification 2.1, modifier `windash`.
pub const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// A part of a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Text(String),
    /// One character: `?`.
    One,
    /// One of [`DASHES`].
    Dash,
    /// Any characters, also none: `*`.
    Many,
}

/// Parts of which the whole text must consist.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    fold: bool,
    /// What stands between `*`, in order; none of it is [`Part::Many`], none is empty.
    segments: Box<[Box<[Part]>]>,
    /// The first segment stands at the start; without segments: nothing may stand there.
    start: bool,
    /// The last segment stands at the end.
    end: bool,
}

/// Forms that need no matching part by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// The whole text.
    Equals(&'a str),
    /// Its beginning.
    StartsWith(&'a str),
    /// Its end.
    EndsWith(&'a str),
    /// Somewhere in it.
    Contains(&'a str),
    /// Anything else.
    Other,
}

impl Glob {
    /// From parts; `cased` keeps the case, otherwise texts must be folded before they are compared.
    pub fn new(parts: Vec<Part>, cased: bool) -> Glob {
        let start = !matches!(parts.first(), Some(Part::Many));
        let end = !matches!(parts.last(), Some(Part::Many));
        let mut segments = vec![Vec::new()];
        for part in parts {
            let last = segments.len() - 1;
            match (part, segments[last].last_mut()) {
                (Part::Many, _) => segments.push(Vec::new()),
                (Part::Text(t), _) if t.is_empty() => {}
                (Part::Text(t), Some(Part::Text(before))) => before.push_str(&t),
                (part, _) => segments[last].push(part),
            }
        }
        segments.retain(|s| !s.is_empty());
        if !cased {
            for part in segments.iter_mut().flatten() {
                if let Part::Text(t) = part {
                    *t = fold(t).into_owned();
                }
            }
        }
        // Rules have tens of thousands of these: no room is left for more parts.
        let segments = segments.into_iter().map(Vec::into_boxed_slice).collect();
        Glob { fold: !cased, segments, start, end }
    }

    /// True if it is compared with folded texts.
    pub fn folds(&self) -> bool {
        self.fold
    }

    /// Its form.
    pub fn shape(&self) -> Shape<'_> {
        let text = match &*self.segments {
            [] if self.start && self.end => "",
            [one] => match &**one {
                [Part::Text(t)] => t,
                _ => return Shape::Other,
            },
            _ => return Shape::Other,
        };
        match (self.start, self.end) {
            (true, true) => Shape::Equals(text),
            (true, false) => Shape::StartsWith(text),
            (false, true) => Shape::EndsWith(text),
            (false, false) => Shape::Contains(text),
        }
    }

    /// The longest text that stands in everything that fits.
    pub fn needle(&self) -> Option<&str> {
        let texts = self.segments.iter().flat_map(|s| s.iter()).filter_map(|p| match p {
            Part::Text(t) => Some(t.as_str()),
            _ => None,
        });
        texts.max_by_key(|t| t.len())
    }

    /// True if a text (folded, if the glob folds) fits.
    pub fn fits(&self, text: &str) -> bool {
        let (mut rest, mut segments) = (text, &*self.segments);
        if segments.is_empty() {
            return text.is_empty() || !(self.start && self.end);
        }
        if self.start {
            let Some(after) = front(&segments[0], rest) else { return false };
            (rest, segments) = (after, &segments[1..]);
            if segments.is_empty() {
                return !self.end || rest.is_empty();
            }
        }
        if self.end {
            let Some((last, before)) = segments.split_last() else { return false };
            let Some(left) = back(last, rest) else { return false };
            (rest, segments) = (left, before);
        }
        for segment in segments {
            let Some(after) = find(segment, rest) else { return false };
            rest = after;
        }
        true
    }
}

/// Prints as it is written, texts in quotes.
impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", if self.fold { "i" } else { "c" })?;
        if !self.start {
            f.write_str("*")?;
        }
        for (i, segment) in self.segments.iter().enumerate() {
            f.write_str(if i > 0 { "*" } else { "" })?;
            for part in segment {
                match part {
                    Part::Text(t) => write!(f, "{t:?}")?,
                    Part::One => f.write_str("?")?,
                    Part::Dash => f.write_str("-")?,
                    Part::Many => f.write_str("*")?,
                }
            }
        }
        f.write_str(if self.end { "" } else { "*" })
    }
}

/// What is left behind a segment at the start of a text.
fn front<'t>(segment: &[Part], text: &'t str) -> Option<&'t str> {
    segment.iter().try_fold(text, |rest, part| match part {
        Part::Text(t) => rest.strip_prefix(t.as_str()),
        Part::Dash => rest.strip_prefix(DASHES),
        Part::One | Part::Many => {
            let mut chars = rest.chars();
            chars.next().map(|_| chars.as_str())
        }
    })
}

/// What is left in front of a segment at the end of a text.
fn back<'t>(segment: &[Part], text: &'t str) -> Option<&'t str> {
    segment.iter().rev().try_fold(text, |rest, part| match part {
        Part::Text(t) => rest.strip_suffix(t.as_str()),
        Part::Dash => rest.strip_suffix(DASHES),
        Part::One | Part::Many => {
            let mut chars = rest.chars();
            chars.next_back().map(|_| chars.as_str())
        }
    })
}

/// What is left behind the first place where a segment fits.
fn find<'t>(segment: &[Part], text: &'t str) -> Option<&'t str> {
    if let [Part::Text(t), rest @ ..] = segment {
        let mut from = text;
        loop {
            let at = memchr::memmem::find(from.as_bytes(), t.as_bytes())?;
            if let Some(after) = front(rest, &from[at + t.len()..]) {
                return Some(after);
            }
            let step = from[at..].chars().next().map_or(1, char::len_utf8);
            from = &from[at + step..];
        }
    }
    text.char_indices().find_map(|(i, _)| front(segment, &text[i..]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From text: `*`, `?` and `~` (a dash).
    pub fn of(text: &str, cased: bool) -> Glob {
        let part = |c: char| match c {
            '*' => Part::Many,
            '?' => Part::One,
            '~' => Part::Dash,
            c => Part::Text(c.into()),
        };
        Glob::new(text.chars().map(part).collect(), cased)
    }

    /// By definition, with backtracking.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], t) => t.is_empty(),
            (['*', p @ ..], t) => (0..=t.len()).any(|i| slow(p, &t[i..])),
            (['?', p @ ..], [_, t @ ..]) => slow(p, t),
            (['~', p @ ..], [c, t @ ..]) => DASHES.contains(c) && slow(p, t),
            ([a, p @ ..], [b, t @ ..]) => a == b && slow(p, t),
            _ => false,
        }
    }

    #[test]
    fn shapes() {
        assert_eq!(of("Ab", false).shape(), Shape::Equals("ab"));
        assert_eq!(of("Ab", true).shape(), Shape::Equals("Ab"));
        assert_eq!(of("ab*", false).shape(), Shape::StartsWith("ab"));
        assert_eq!(of("*ab", false).shape(), Shape::EndsWith("ab"));
        assert_eq!(of("**ab*", false).shape(), Shape::Contains("ab"));
        assert_eq!(of("", false).shape(), Shape::Equals(""));
        assert_eq!(of("a*b", false).shape(), Shape::Other);
        assert_eq!(of("*", false).shape(), Shape::Other);
        assert_eq!(of("a?bc*d", false).needle(), Some("bc"));
        assert_eq!(format!("{:?}", of("*a?~b*", false)), r#"i*"a"?-"b"*"#);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
        #[test]
        fn fits_what_backtracking_finds(pattern in "[ab*?~ü]{0,7}", text in "[abü/-]{0,8}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(of(&pattern, true).fits(&text), slow(&p, &t), "{:?} on {:?}", pattern, text);
        }
    }
}
