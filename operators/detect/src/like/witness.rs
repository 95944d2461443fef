//! What a text must hold for a regular expression to be found in it.
//!
//! A set of regular expressions costs what they share; most of them hold a word that nearly no text has. Such a word is
//! searched for together with all others of a column, and only then the expression itself is asked. Only ASCII is
//! used: there, folding a text and folding its characters one by one are the same.
use regex_syntax::hir::{Class, Hir, HirKind};

/// Shortest text that is worth searching for, bytes.
const MIN: usize = 3;
/// Most alternatives of an expression.
const MAX: usize = 32;

/// Texts in lower case of which one stands in the folded form of every text that a regular expression matches.
pub fn witnesses(pattern: &str) -> Option<Vec<String>> {
    let hir = regex_syntax::parse(pattern).ok()?;
    required(&hir).filter(|w| w.iter().all(|t| t.len() >= MIN))
}

fn required(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => exact(hir).map(|t| vec![t]),
        HirKind::Capture(c) => required(&c.sub),
        HirKind::Repetition(r) if r.min > 0 => required(&r.sub),
        HirKind::Concat(parts) => concat(parts),
        HirKind::Alternation(branches) => {
            let all: Vec<String> = branches.iter().map(required).collect::<Option<Vec<_>>>()?.concat();
            (all.len() <= MAX).then_some(all)
        }
        _ => None,
    }
}

/// The best of what a sequence needs: runs of its characters, or what one of its parts needs.
fn concat(parts: &[Hir]) -> Option<Vec<String>> {
    let (mut best, mut run): (Option<Vec<String>>, String) = (None, String::new());
    let worth = |w: &Option<Vec<String>>| w.as_ref().map_or(0, |w| w.iter().map(String::len).min().unwrap_or(0));
    let mut offer = |w: Option<Vec<String>>| {
        if worth(&w) > worth(&best) {
            best = w;
        }
    };
    for part in parts {
        match exact(part) {
            Some(t) => run.push_str(&t),
            None => {
                offer(Some(vec![std::mem::take(&mut run)]));
                offer(required(part));
            }
        }
    }
    offer(Some(vec![run]));
    best
}

/// The one text in lower case that an expression matches, whatever its case.
fn exact(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(l) => {
            let text = std::str::from_utf8(&l.0).ok()?;
            text.is_ascii().then(|| text.to_ascii_lowercase())
        }
        HirKind::Class(Class::Unicode(class)) => {
            // `(?i)k` is the class of k, K and the Kelvin sign; `(?i)s` has the long s, which folds to itself.
            if class.ranges().iter().map(|r| u64::from(u32::from(r.end()) - u32::from(r.start())) + 1).sum::<u64>() > 4
            {
                return None;
            }
            let mut folded = class.iter().flat_map(|r| r.start()..=r.end()).map(|c| c.to_lowercase().to_string());
            let first = folded.next().filter(|t| t.is_ascii())?;
            folded.all(|t| t == first).then_some(first)
        }
        HirKind::Capture(c) => exact(&c.sub),
        HirKind::Concat(parts) => parts.iter().map(exact).collect::<Option<Vec<_>>>().map(|t| t.concat()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::{compile, fold};
    use proptest::prelude::*;

    #[test]
    fn finds_words() {
        let w = |p: &str| witnesses(p).map(|w| w.join("|"));
        assert_eq!(w(r"^C:\\Users\\[^\\]+\\NTUSER\.DAT$").as_deref(), Some(r"\ntuser.dat"));
        assert_eq!(w("(?i)CMD /c").as_deref(), Some("cmd /c"));
        assert_eq!(w("(power|pwsh)[ab]").as_deref(), Some("power|pwsh"));
        assert_eq!(w("(foo)+x").as_deref(), Some("foo"));
        // The long s is another letter after folding.
        assert_eq!(w("(?i)system").as_deref(), Some("tem"));
        assert_eq!(w("(?i)sysdm"), None);
        assert_eq!(w("(foo)?"), None);
        assert_eq!(w("ab"), None);
        assert_eq!(w("abc|x"), None);
        assert_eq!(w(r"\d+.*"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
        #[test]
        fn stand_in_every_match(
            pattern in r"(\(\?i\))?(abc|\(ab\|Cks\)|\[ab\]|k\{1,2\}|b\*|\.|cKa|s\+){1,4}",
            text in "[abcksABCKS\u{212a}\u{17f}.]{0,12}",
        ) {
            let regex = compile(&pattern).unwrap();
            if let (true, Some(words)) = (regex.is_match(&text), witnesses(&pattern)) {
                prop_assert!(words.iter().any(|w| fold(&text).contains(w.as_str())), "{} {:?} {:?}", pattern, text, words);
            }
        }
    }
}
