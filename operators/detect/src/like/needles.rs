//! Many patterns, one pass over a text.
//!
//! Whole texts are one look-up. Beginnings, ends, what stands in the middle, the longest text of a glob and the words of
//! a regular expression go into one Aho-Corasick automaton, however many there are; globs and expressions are asked
//! themselves only where their text was found. What has no such text is asked every time.
use super::glob::Shape;
use super::witness::{Words, shortest};
use super::{Pattern, glob::Glob};
use crate::columns::hasher;
use aho_corasick::packed::{self, Searcher};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Bytes of needles up to which an automaton has its fast form: some 3 MB of memory.
const MAX_FAST: usize = 12 << 10;
/// Most needles of a column that are looked for with vector instructions first: most texts have none of them.
const MAX_FEW: usize = 64;
/// Texts from so many bytes on.
const LONG: usize = 64;

/// What a pattern is known by; several may share one.
pub type Id = u32;

/// What needles are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// One of many conditions.
    Often,
    /// All texts of a column.
    Column,
}

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
    equal: HashMap<Box<str>, Vec<Id>, ahash::RandomState>,
    search: Option<AhoCorasick>,
    /// Says whether a text has any needle, where they are few.
    any: Option<Searcher>,
    /// What a needle of `search` says, by its number.
    found: Vec<Vec<Found>>,
}

#[derive(Clone, Copy)]
enum Found {
    /// The pattern fits.
    Fits(Id),
    /// It fits if the needle stands at the start.
    Start(Id),
    /// It fits if the needle stands at the end.
    End(Id),
    /// This one of `checks` has to be asked.
    Check(u32),
}

/// A side while it is made.
struct Draft {
    equal: HashMap<Box<str>, Vec<Id>, ahash::RandomState>,
    needles: Vec<String>,
    numbers: HashMap<String, usize, ahash::RandomState>,
    found: Vec<Vec<Found>>,
}

impl Needles {
    /// From patterns and what each of them is known by.
    pub fn new<'p>(patterns: impl IntoIterator<Item = (Id, &'p Pattern)>) -> Needles {
        Needles::with(patterns, Use::Often)
    }

    /// From patterns, for so many texts. What is searched often may take time and memory to make: the fast form of the
    /// automaton is several times as fast as the small one and takes ten times its memory.
    pub fn with<'p>(patterns: impl IntoIterator<Item = (Id, &'p Pattern)>, kind: Use) -> Needles {
        let patterns: Vec<(Id, &Pattern)> = patterns.into_iter().collect();
        let (mut folded, mut cased) = (Draft::new(), Draft::new());
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
        match (folded.finish(kind), cased.finish(kind)) {
            (Some(folded), Some(cased)) => Needles { folded, cased, checks, always },
            // More than an automaton can hold: every pattern is asked by itself.
            _ => Needles {
                folded: Side::empty(),
                cased: Side::empty(),
                checks: patterns.iter().map(|(id, p)| (*id, (*p).clone())).collect(),
                always: (0..patterns.len() as u32).collect(),
            },
        }
    }

    /// Calls `hit` for patterns that fit a text, some of them more than once; stops when it says so. True if it did.
    pub fn find(&self, text: &str, folded: &str, hit: &mut dyn FnMut(Id) -> bool) -> bool {
        // A bit for each of `checks`: a needle may stand in a text many times.
        let mut asked: SmallVec<[u64; 16]> = SmallVec::from_elem(0, self.checks.len().div_ceil(64));
        let mut check = |index: u32, hit: &mut dyn FnMut(Id) -> bool| {
            let (word, bit) = (&mut asked[index as usize / 64], 1 << (index % 64));
            if std::mem::replace(word, *word | bit) & bit != 0 {
                return false;
            }
            let (id, pattern) = &self.checks[index as usize];
            pattern.fits(text, folded) && hit(*id)
        };
        self.folded.find(folded, &mut check, hit)
            || self.cased.find(text, &mut check, hit)
            || self.always.iter().any(|index| {
                let (id, pattern) = &self.checks[*index as usize];
                pattern.fits(text, folded) && hit(*id)
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
    fn empty() -> Side {
        Side { equal: HashMap::with_hasher(hasher()), search: None, any: None, found: Vec::new() }
    }

    fn find(
        &self,
        text: &str,
        check: &mut dyn FnMut(u32, &mut dyn FnMut(Id) -> bool) -> bool,
        hit: &mut dyn FnMut(Id) -> bool,
    ) -> bool {
        if self.equal.get(text).is_some_and(|ids| ids.iter().any(|id| hit(*id))) {
            return true;
        }
        let Some(search) = &self.search else { return false };
        if let Some(any) = &self.any
            && text.len() >= LONG
            && any.find(text).is_none()
        {
            return false;
        }
        search.find_overlapping_iter(text).any(|m| {
            self.found[m.pattern().as_usize()].iter().any(|found| match *found {
                Found::Fits(id) => hit(id),
                Found::Start(id) => m.start() == 0 && hit(id),
                Found::End(id) => m.end() == text.len() && hit(id),
                Found::Check(index) => check(index, hit),
            })
        })
    }
}

impl Draft {
    fn new() -> Draft {
        Draft {
            equal: HashMap::with_hasher(hasher()),
            needles: Vec::new(),
            numbers: HashMap::with_hasher(hasher()),
            found: Vec::new(),
        }
    }

    /// Add a glob that a found text decides; false if it is not of that kind.
    fn plain(&mut self, id: Id, glob: &Glob) -> bool {
        match glob.shape() {
            Shape::Equals(t) => self.equal.entry(t.into()).or_default().push(id),
            Shape::StartsWith(t) => self.needle(t, Found::Start(id)),
            Shape::EndsWith(t) => self.needle(t, Found::End(id)),
            Shape::Contains(t) => self.needle(t, Found::Fits(id)),
            Shape::Other => return false,
        }
        true
    }

    fn needle(&mut self, text: &str, found: Found) {
        let n = *self.numbers.entry(text.into()).or_insert_with(|| {
            self.needles.push(text.into());
            self.found.push(Vec::new());
            self.needles.len() - 1
        });
        self.found[n].push(found);
    }

    /// The automaton; `None` if there is more than one can hold.
    fn finish(self, kind: Use) -> Option<Side> {
        let bytes: usize = self.needles.iter().map(String::len).sum();
        let few = kind == Use::Column && self.needles.len() <= MAX_FEW;
        let any = few.then(|| packed::Config::new().builder().extend(&self.needles).build()).flatten();
        let kind = match kind {
            Use::Column if bytes <= MAX_FAST => AhoCorasickKind::DFA,
            Use::Often | Use::Column => AhoCorasickKind::ContiguousNFA,
        };
        let search = match self.needles.as_slice() {
            [] => None,
            needles => Some(AhoCorasick::builder().kind(Some(kind)).build(needles).ok()?),
        };
        Some(Side { equal: self.equal, search, any, found: self.found })
    }
}
