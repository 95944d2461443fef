//! Regular expressions within limits, compiled when they are first asked.
//!
//! Most of what thousands of rules name is never asked alone: a column decides its expressions as a set. So loading checks
//! an expression and compiles it only if it may be larger than allowed.
use crate::like::witness::{Words, witnesses};
use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind};
use regex_syntax::utf8::Utf8Sequences;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Longest regular expression, bytes.
pub const MAX_PATTERN: usize = 4 << 10;
/// Largest compiled regular expression, bytes.
pub const MAX_PROGRAM: usize = 1 << 20;
/// How much of a text a regular expression looks at, bytes.
pub const MAX_HAYSTACK: usize = 64 << 10;

/// What a state of a compiled expression and a transition from it take at most, bytes.
const STATE: u64 = 64;

/// A regular expression, found anywhere in a text.
#[derive(Clone)]
pub struct Regex(Arc<Inner>);

struct Inner {
    pattern: Box<str>,
    witnesses: Vec<Words>,
    compiled: OnceLock<Option<regex::Regex>>,
}

impl Regex {
    /// Check an expression; the error says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Regex, String> {
        if pattern.len() > MAX_PATTERN {
            return Err(format!("the regular expression has {} bytes, the limit is {MAX_PATTERN}", pattern.len()));
        }
        let compiled = OnceLock::new();
        let hir = regex_syntax::parse(pattern);
        if !hir.as_ref().is_ok_and(is_small) {
            _ = compiled.set(Some(compile(pattern)?));
        }
        let witnesses = hir.map(|hir| witnesses(&hir)).unwrap_or_default();
        Ok(Regex(Arc::new(Inner { pattern: pattern.into(), witnesses, compiled })))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0.pattern
    }

    /// What a text must hold for it to be found there; empty: nothing is known.
    pub fn witnesses(&self) -> &[Words] {
        &self.0.witnesses
    }

    /// True if it is found in the part of a text that it may look at.
    pub fn is_match(&self, text: &str) -> bool {
        let compiled = self.0.compiled.get_or_init(|| compile(&self.0.pattern).ok());
        compiled.as_ref().is_some_and(|r| r.is_match(head(text)))
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Regex({:?})", self.as_str())
    }
}

/// What a regular expression may look at.
pub fn head(s: &str) -> &str {
    if s.len() <= MAX_HAYSTACK { s } else { &s[..s.floor_char_boundary(MAX_HAYSTACK)] }
}

fn compile(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(MAX_PROGRAM).build().map_err(|e| match e {
        regex::Error::CompiledTooBig(_) => {
            format!("the regular expression needs more than {MAX_PROGRAM} bytes when compiled; use smaller repetitions")
        }
        other => other.to_string(),
    })
}

/// True if an expression is certainly within [`MAX_PROGRAM`].
fn is_small(hir: &Hir) -> bool {
    states(hir).saturating_mul(STATE) <= MAX_PROGRAM as u64
}

/// States and transitions, at most.
fn states(hir: &Hir) -> u64 {
    let sum = |parts: &[Hir]| parts.iter().map(states).fold(parts.len() as u64 + 1, u64::saturating_add);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(text) => text.0.len() as u64 + 1,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() as u64 + 1,
        HirKind::Class(Class::Unicode(class)) => {
            let bytes =
                |r: &ClassUnicodeRange| Utf8Sequences::new(r.start(), r.end()).map(|s| s.len() as u64).sum::<u64>();
            class.ranges().iter().map(bytes).sum::<u64>() + 1
        }
        HirKind::Repetition(r) => {
            let times = u64::from(r.max.unwrap_or(r.min).max(r.min)) + 1;
            times.saturating_mul(states(&r.sub).saturating_add(2))
        }
        HirKind::Capture(c) => states(&c.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => sum(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_hold() {
        assert!(Regex::new(&"a".repeat(MAX_PATTERN)).is_ok());
        assert!(Regex::new(&"a".repeat(MAX_PATTERN + 1)).unwrap_err().contains("limit is 4096"));
        assert!(Regex::new(r"(?i)(\w+\s?){1,200}x").unwrap_err().contains("1048576"));
        assert!(Regex::new("(").is_err());
        let r = Regex::new("b$").unwrap();
        let long = "a".repeat(MAX_HAYSTACK - 1);
        assert!(r.is_match(&format!("{long}b")));
        assert!(!r.is_match(&format!("{long}ab")));
        assert!(r.is_match(&format!("{long}b{long}")));
    }

    #[test]
    fn an_ordinary_expression_waits_and_a_large_one_does_not() {
        let waits = |pattern: &str| Regex::new(pattern).unwrap().0.compiled.get().is_none();
        assert!(waits(r"^arn:aws:iam::\d{12}:role/(a|b|.*-break)$") && waits("(?i)curl|wget"));
        assert!(!waits(r"\w{9}"));
    }

    fn pattern() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[a-zäß€]{1,6}",
            prop::sample::select(vec![
                ".",
                "(?s:.)",
                r"\d",
                r"\w",
                r"\s",
                r"\b",
                "^",
                "$",
                "[^a]",
                "[α-ω]",
                r"\pL",
                r"(?-u:\w)",
                "(?i:k)",
                "(?i:straße)",
                "[\u{80}-\u{10ffff}]",
                "[a-z0-9]",
                "",
            ])
            .prop_map(str::to_string),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..5).prop_map(|v| v.concat()),
                prop::collection::vec(inner.clone(), 1..5).prop_map(|v| format!("({})", v.join("|"))),
                (inner.clone(), 0u32..40, 0u32..40).prop_map(|(p, a, b)| format!(
                    "(?:{p}){{{},{}}}",
                    a.min(b),
                    a.max(b)
                )),
                (inner.clone(), 0u32..60).prop_map(|(p, n)| format!("(?:{p}){{{n},}}")),
                (inner, prop::sample::select(vec!["*", "+", "?", "+?"])).prop_map(|(p, r)| format!("(?:{p}){r}")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
        #[test]
        fn what_is_taken_for_small_can_be_compiled(pattern in pattern()) {
            prop_assume!(pattern.len() <= MAX_PATTERN);
            let small = regex_syntax::parse(&pattern).is_ok_and(|hir| is_small(&hir));
            prop_assert!(!small || compile(&pattern).is_ok(), "{pattern}");
            prop_assert_eq!(Regex::new(&pattern).is_ok(), compile(&pattern).is_ok());
        }
    }
}
