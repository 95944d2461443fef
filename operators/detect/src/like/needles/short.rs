//! Short needles.
//!
//! Some dozens of them are compared with many bytes of a text at once (Teddy, of `aho_corasick::packed`); the very short ones
//! are searched for one by one, up to the first place where they stand. Only where there are more, they become an
//! automaton.
use aho_corasick::packed::{self, Searcher};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use memchr::memmem::Finder;

/// Longest needle that is searched for alone, bytes: it stands in too many places to look at each.
const TINY: usize = 2;
/// Most of them.
const MAX_TINY: usize = 8;
/// Most needles that are compared at once, and most groups of them.
const GROUP: usize = 64;
const MAX_GROUPS: usize = 2;
/// Bytes of needles up to which an automaton has its fast form: half a megabyte of memory.
const MAX_FAST: usize = 2 << 10;

/// Needles that are searched for.
#[derive(Default)]
pub struct Short {
    tiny: Vec<(u32, Finder<'static>)>,
    groups: Vec<Group>,
    /// The others, and what each is known by.
    rest: Option<(AhoCorasick, Vec<u32>)>,
}

/// Needles that are compared at once.
struct Group {
    search: Searcher,
    /// In the order of their bytes.
    needles: Vec<(Box<str>, u32)>,
    /// Those that begin with a byte: start and end in `needles`.
    begin: Box<[(u8, u8); 256]>,
}

impl Short {
    /// From needles that are not empty and what each is known by; `None` if they are more than an automaton can hold.
    pub fn new(list: &[(u32, &str)]) -> Option<Short> {
        let (tiny, mut more): (Vec<_>, Vec<_>) = list.iter().partition(|(_, t)| t.len() <= TINY);
        // What is searched for together has about the same length: the shortest decides how much is compared.
        more.sort_by_key(|(_, t)| t.len());
        let (mut out, mut rest) = (Short::default(), Vec::new());
        if tiny.len() <= MAX_TINY {
            let finder = |(n, t): &(u32, &str)| (*n, Finder::new(t.as_bytes()).into_owned());
            out.tiny = tiny.iter().map(finder).collect();
        } else {
            rest.extend(tiny);
        }
        let groups = more.chunks(GROUP).map(Group::new).collect::<Option<Vec<Group>>>();
        match groups.filter(|g| g.len() <= MAX_GROUPS) {
            Some(groups) => out.groups = groups,
            None => rest.extend(more),
        }
        if !rest.is_empty() {
            let bytes: usize = rest.iter().map(|(_, t)| t.len()).sum();
            let kind = if bytes <= MAX_FAST { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
            let automaton = AhoCorasick::builder().kind(Some(kind)).build(rest.iter().map(|(_, t)| t)).ok()?;
            out.rest = Some((automaton, rest.iter().map(|(n, _)| *n).collect()));
        }
        Some(out)
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.tiny.is_empty() && self.groups.is_empty() && self.rest.is_none()
    }

    /// Calls `hit` with what a needle is known by, wherever one stands in the text; stops when it says so. True if it did.
    pub fn find(&self, text: &str, hit: &mut dyn FnMut(u32) -> bool) -> bool {
        self.tiny.iter().any(|(n, finder)| finder.find(text.as_bytes()).is_some() && hit(*n))
            || self.groups.iter().any(|group| group.find(text.as_bytes(), hit))
            || self.rest.as_ref().is_some_and(|(search, numbers)| {
                search.find_overlapping_iter(text).any(|m| hit(numbers[m.pattern().as_usize()]))
            })
    }
}

impl Group {
    fn new(list: &[(u32, &str)]) -> Option<Group> {
        let search = packed::Config::new().builder().extend(list.iter().map(|(_, t)| t)).build()?;
        let mut needles: Vec<(Box<str>, u32)> = list.iter().map(|(n, t)| ((*t).into(), *n)).collect();
        needles.sort_unstable();
        let mut begin = Box::new([(0, 0); 256]);
        for (i, (needle, _)) in needles.iter().enumerate() {
            let range = &mut begin[needle.as_bytes()[0] as usize];
            *range = (if range.1 == 0 { i as u8 } else { range.0 }, i as u8 + 1);
        }
        Some(Group { search, needles, begin })
    }

    fn find(&self, text: &[u8], hit: &mut dyn FnMut(u32) -> bool) -> bool {
        let mut at = 0;
        while let Some(m) = self.search.find_in(text, (at..text.len()).into()) {
            // One needle is told; others may begin in the same place.
            let here = &text[m.start()..];
            let (start, end) = self.begin[here[0] as usize];
            let list = &self.needles[start as usize..end as usize];
            if list.iter().any(|(needle, n)| here.starts_with(needle.as_bytes()) && hit(*n)) {
                return true;
            }
            at = m.start() + 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn many(n: usize, len: usize) -> Vec<String> {
        (0..n).map(|i| format!("{i:0len$}")).collect()
    }

    fn short(needles: &[String]) -> Short {
        let list: Vec<(u32, &str)> = (0..).zip(needles.iter().map(String::as_str)).collect();
        Short::new(&list).unwrap()
    }

    #[test]
    fn many_needles_become_an_automaton() {
        assert!(short(&many(GROUP * MAX_GROUPS + 1, 3)).rest.is_some());
        assert!(short(&many(MAX_TINY + 1, 2)).rest.is_some());
        assert!(short(&many(MAX_TINY, 2)).rest.is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
        #[test]
        fn finds_what_stands_in_a_text(
            needles in prop_oneof![
                prop::collection::vec("[abü]{1,6}", 1..20),
                prop::collection::vec("[abc]{1,6}", 1..90),
                prop::collection::vec("[abcd]{3,6}", 60..150),
            ],
            text in "[abü]{0,12}|[abcd]{0,200}",
        ) {
            let mut needles = needles;
            needles.sort();
            needles.dedup();
            let mut got = Vec::new();
            let s = short(&needles);
            let stopped = s.find(&text, &mut |n| {
                got.push(n);
                false
            });
            prop_assert!(!stopped);
            got.sort_unstable();
            got.dedup();
            let want: Vec<u32> = (0..).zip(&needles).filter(|(_, n)| text.contains(n.as_str())).map(|(i, _)| i).collect();
            prop_assert_eq!(s.find(&text, &mut |_| true), !want.is_empty());
            prop_assert_eq!(got, want);
        }
    }
}
