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

/// Texts of which one stands in the folded form of every text that a regular expression matches; they are in lower case.
pub type Words = Vec<String>;

/// Each of these is true of the expression; which of them is rare depends on what else is searched for.
pub fn witnesses(hir: &Hir) -> Vec<Words> {
    let mut all = required(hir);
    all.retain(|words| words.iter().all(|w| w.len() >= MIN));
    all
}

fn required(hir: &Hir) -> Vec<Words> {
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => exact(hir).map(|t| vec![t]).into_iter().collect(),
        HirKind::Capture(c) => required(&c.sub),
        HirKind::Repetition(r) if r.min > 0 => required(&r.sub),
        HirKind::Concat(parts) => concat(parts),
        HirKind::Alternation(branches) => {
            let each = branches.iter().map(|b| required(b).into_iter().max_by_key(shortest));
            let words = each.collect::<Option<Vec<Words>>>().map(|v| v.concat());
            words.filter(|words| words.len() <= MAX).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// What decides how much a set of words says.
pub fn shortest(words: &Words) -> usize {
    words.iter().map(String::len).min().unwrap_or(0)
}

/// What a sequence needs: runs of its characters, and what its parts need.
fn concat(parts: &[Hir]) -> Vec<Words> {
    let (mut out, mut run) = (Vec::new(), String::new());
    for part in parts {
        match exact(part) {
            Some(t) => run.push_str(&t),
            None => {
                out.push(vec![std::mem::take(&mut run)]);
                out.extend(required(part));
            }
        }
    }
    out.push(vec![run]);
    out.retain(|words| shortest(words) > 0);
    out
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
        HirKind::Class(Class::Bytes(class)) => {
            if class.ranges().iter().map(|r| u32::from(r.end() - r.start()) + 1).sum::<u32>() > 2 {
                return None;
            }
            let mut folded = class.iter().flat_map(|r| r.start()..=r.end()).map(|b| b.to_ascii_lowercase() as char);
            let first = folded.next().filter(char::is_ascii)?;
            folded.all(|c| c == first).then(|| first.to_string())
        }
        HirKind::Capture(c) => exact(&c.sub),
        HirKind::Concat(parts) => parts.iter().map(exact).collect::<Option<Vec<_>>>().map(|t| t.concat()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::fold;
    use crate::regex::Regex;
    use proptest::prelude::*;

    #[test]
    fn finds_words() {
        let w = |p: &str| {
            let all = witnesses(&regex_syntax::parse(p).unwrap());
            (!all.is_empty()).then(|| all.iter().map(|w| w.join("|")).collect::<Vec<_>>().join(" & "))
        };
        assert_eq!(w(r"^C:\\Users\\[^\\]+\\NTUSER\.DAT$").as_deref(), Some(r"c:\users\ & \ntuser.dat"));
        assert_eq!(w(r"^a::\d+:role/(bcd|.*-end)$").as_deref(), Some("a:: & :role/ & bcd|-end"));
        assert_eq!(w("(?i)(?-u:curl|Wget)").as_deref(), Some("curl|wget"));
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
            let regex = Regex::new(&pattern).unwrap();
            let all = witnesses(&regex_syntax::parse(&pattern).unwrap());
            for words in all.iter().filter(|_| regex.is_match(&text)) {
                prop_assert!(words.iter().any(|w| fold(&text).contains(w.as_str())), "{} {:?} {:?}", pattern, text, words);
            }
        }
    }
}
