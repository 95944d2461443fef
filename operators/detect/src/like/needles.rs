//! Many patterns, one pass over a text.
//!
//! Whole texts are one look-up, beginnings and ends a look-up each ([`anchored`]). What stands in the middle, the longest text
//! of a glob and the words of a regular expression are *needles*, which are searched for together, however many there are:
//! the long ones by windows ([`sampled`]), the others as many bytes at once ([`short`]). Globs and expressions are asked
//! themselves only where their text was found. What has no such text is asked every time.
mod anchored;
mod sampled;
mod short;

use super::glob::Shape;
use super::witness::{Words, shortest};
use super::{Pattern, Text, glob::Glob};
use crate::columns::hasher;
use anchored::{Anchor, Anchored};
use hashbrown::HashMap;
use sampled::Sampled;
use short::Short;
use smallvec::SmallVec;

/// What a pattern is known by; several may share one.
pub type Id = u32;

/// Patterns that are searched together.
pub struct Needles {
    folded: Side,
    cased: Side,
    /// Patterns that a found text only makes possible.
    checks: Vec<(Id, Pattern)>,
    /// Of these, the ones without a text, by index.
    always: Vec<u32>,
}

/// Patterns that read a text in one form: folded, or as it is.
struct Side {
    fold: bool,
    equal: HashMap<Box<str>, Vec<Id>, ahash::RandomState>,
    starts: Anchored,
    ends: Anchored,
    long: Option<Sampled>,
    short: Short,
    /// What a needle says, by its number.
    found: Vec<SmallVec<[Found; 1]>>,
}

#[derive(Clone, Copy)]
enum Found {
    /// The pattern fits.
    Fits(Id),
    /// This one of `checks` has to be asked.
    Check(u32),
}

/// A side while it is made.
struct Draft {
    side: Side,
    needles: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32, ahash::RandomState>,
}

impl Needles {
    /// From patterns and what each of them is known by.
    pub fn new<'p>(patterns: impl IntoIterator<Item = (Id, &'p Pattern)>) -> Needles {
        let patterns: Vec<(Id, &Pattern)> = patterns.into_iter().collect();
        let (mut folded, mut cased) = (Draft::new(true), Draft::new(false));
        let (mut checks, mut always) = (Vec::new(), Vec::new());
        let held = held(&patterns);
        for &(id, pattern) in &patterns {
            let index = checks.len() as u32;
            match pattern {
                Pattern::Glob(g) => {
                    let side = if g.folds() { &mut folded } else { &mut cased };
                    if side.plain(id, g) {
                        continue;
                    }
                    match g.needle() {
                        Some(text) => side.needle(text, Found::Check(index)),
                        None => always.push(index),
                    }
                }
                Pattern::Regex(regex) => match rarest(regex.witnesses(), &held) {
                    Some(words) => words.iter().for_each(|w| folded.needle(w, Found::Check(index))),
                    None => always.push(index),
                },
                _ => always.push(index),
            }
            checks.push((id, pattern.clone()));
        }
        match (folded.finish(), cased.finish()) {
            (Some(folded), Some(cased)) => Needles { folded, cased, checks, always },
            // More than can be searched for together: every pattern is asked by itself.
            _ => Needles {
                folded: Side::empty(true),
                cased: Side::empty(false),
                checks: patterns.iter().map(|(id, p)| (*id, (*p).clone())).collect(),
                always: (0..patterns.len() as u32).collect(),
            },
        }
    }

    /// Calls `hit` for patterns that fit a text, some of them more than once; stops when it says so. True if it did.
    pub fn find(&self, text: &Text, hit: &mut dyn FnMut(Id) -> bool) -> bool {
        // A bit for each of `checks`: a needle may stand in a text many times.
        let mut asked: SmallVec<[u64; 16]> = SmallVec::from_elem(0, self.checks.len().div_ceil(64));
        let mut check = |index: u32, hit: &mut dyn FnMut(Id) -> bool| {
            let (word, bit) = (&mut asked[index as usize / 64], 1 << (index % 64));
            if std::mem::replace(word, *word | bit) & bit != 0 {
                return false;
            }
            let (id, pattern) = &self.checks[index as usize];
            pattern.fits(text) && hit(*id)
        };
        self.folded.find(text, &mut check, hit)
            || self.cased.find(text, &mut check, hit)
            || self.always.iter().any(|index| {
                let (id, pattern) = &self.checks[*index as usize];
                pattern.fits(text) && hit(*id)
            })
    }
}

/// How many of the regular expressions hold a word.
fn held<'p>(patterns: &[(Id, &'p Pattern)]) -> HashMap<&'p str, usize, ahash::RandomState> {
    let mut out = HashMap::with_hasher(hasher());
    for (_, pattern) in patterns {
        if let Pattern::Regex(regex) = pattern {
            regex.witnesses().iter().flatten().for_each(|w| *out.entry(w.as_str()).or_default() += 1);
        }
    }
    out
}

/// The words that the fewest expressions hold, the longest of those: what all hold tells none from the others.
fn rarest<'w>(witnesses: &'w [Words], held: &HashMap<&str, usize, ahash::RandomState>) -> Option<&'w Words> {
    let most = |words: &Words| words.iter().map(|w| held[w.as_str()]).max();
    witnesses.iter().min_by_key(|words| (most(words), std::cmp::Reverse(shortest(words))))
}

impl Side {
    fn empty(fold: bool) -> Side {
        Side {
            fold,
            equal: HashMap::with_hasher(hasher()),
            starts: Anchored::new(Anchor::Start),
            ends: Anchored::new(Anchor::End),
            long: None,
            short: Short::default(),
            found: Vec::new(),
        }
    }

    /// The text as this side reads it; made only where something is compared with it.
    fn form<'t>(&self, text: &'t Text) -> &'t str {
        if self.fold { text.folded() } else { text.as_str() }
    }

    fn find(
        &self,
        text: &Text,
        check: &mut dyn FnMut(u32, &mut dyn FnMut(Id) -> bool) -> bool,
        hit: &mut dyn FnMut(Id) -> bool,
    ) -> bool {
        if !self.equal.is_empty() && self.equal.get(self.form(text)).is_some_and(|ids| ids.iter().any(|id| hit(*id)))
            || !self.starts.is_empty() && self.starts.find(self.form(text), hit)
            || !self.ends.is_empty() && self.ends.find(self.form(text), hit)
        {
            return true;
        }
        let mut found = |needle: u32| {
            self.found[needle as usize].iter().any(|found| match *found {
                Found::Fits(id) => hit(id),
                Found::Check(index) => check(index, hit),
            })
        };
        if !self.short.is_empty() && self.short.find(self.form(text), &mut found) {
            return true;
        }
        self.long.as_ref().is_some_and(|long| {
            // It takes capital letters of ASCII for small ones, and there may be no others.
            let form = if text.is_ascii() { text.as_str() } else { self.form(text) };
            long.find(form.as_bytes(), &mut found)
        })
    }
}

impl Draft {
    fn new(fold: bool) -> Draft {
        Draft { side: Side::empty(fold), needles: Vec::new(), numbers: HashMap::with_hasher(hasher()) }
    }

    /// Add a glob that a found text decides; false if it is not of that kind.
    fn plain(&mut self, id: Id, glob: &Glob) -> bool {
        match glob.shape() {
            Shape::Equals(t) => self.side.equal.entry(t.into()).or_default().push(id),
            Shape::StartsWith(t) => self.side.starts.add(t, id),
            Shape::EndsWith(t) => self.side.ends.add(t, id),
            Shape::Contains(t) => self.needle(t, Found::Fits(id)),
            Shape::Other => return false,
        }
        true
    }

    fn needle(&mut self, text: &str, found: Found) {
        let n = *self.numbers.entry(text.into()).or_insert_with(|| {
            self.needles.push(text.into());
            self.side.found.push(SmallVec::new());
            self.needles.len() as u32 - 1
        });
        self.side.found[n as usize].push(found);
    }

    /// The side; `None` if there is more than can be searched for.
    fn finish(mut self) -> Option<Side> {
        let all = (0..).zip(self.needles.iter().map(|t| &**t));
        let (long, short): (Vec<(u32, &str)>, Vec<_>) = all.partition(|(_, t)| t.len() >= sampled::MIN);
        self.side.long = Sampled::new(&long, self.side.fold);
        self.side.short = Short::new(&short)?;
        Some(self.side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::like::glob::tests::of;
    use proptest::prelude::*;

    fn pattern() -> impl Strategy<Value = Pattern> {
        let text = "[abAB]{1,3}|[abAB]{6,9}|[abAkü]{0,12}";
        prop_oneof![
            6 => (prop::sample::select(vec!["{}", "*{}", "{}*", "*{}*", "*{}?*", "a*{}"]), text, any::<bool>())
                .prop_map(|(form, t, cased)| Pattern::Glob(of(&form.replace("{}", &t), cased))),
            1 => "(\\(\\?i\\))?(aba|bab|k){1,4}".prop_map(|p| Pattern::regex(&p, "").unwrap()),
            1 => Just(Pattern::Net("1.2.0.0/16".parse().unwrap())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
        #[test]
        fn find_what_each_pattern_finds_alone(
            patterns in prop_oneof![prop::collection::vec(pattern(), 1..12), prop::collection::vec(pattern(), 100..200)],
            texts in prop::collection::vec("[abAB]{0,12}|[abABkK\u{212a}ü]{0,40}|1.2.3.4", 1..10),
        ) {
            let needles = Needles::new((0..).zip(&patterns));
            for text in &texts {
                let text = Text::new(text);
                let want: Vec<Id> = (0..).zip(&patterns).filter(|(_, p)| p.fits(&text)).map(|(i, _)| i).collect();
                let mut got = Vec::new();
                needles.find(&text, &mut |id| { got.push(id); false });
                got.sort_unstable();
                got.dedup();
                prop_assert_eq!(&got, &want, "{:?} {:?}", text.as_str(), patterns);
                prop_assert_eq!(needles.find(&text, &mut |_| true), !want.is_empty());
            }
        }
    }
}
