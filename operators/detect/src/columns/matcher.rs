//! All conditions on one column, asked of one text or number at once.
//!
//! Equality and list membership are one look-up, prefixes and suffixes one look-up per distinct length, regular
//! expressions and substrings one pass of a regex set; what is left is asked one by one. The gate in front rejects most
//! texts by their first or last byte and their length.
use super::hasher;
use crate::number::Num;
use crate::predicate::{MAX_HAYSTACK, Predicate, Scalar, TextOp};
use hashbrown::HashMap;
use regex::{RegexSet, RegexSetBuilder};

/// Index of a condition within its column.
pub type Atom = u32;
type Hash<K> = HashMap<K, Vec<Atom>, ahash::RandomState>;

/// From this many patterns on, they are searched as a set.
const SET_FROM: usize = 4;
/// Largest compiled regex set; larger ones are asked pattern by pattern.
const MAX_SET: usize = 16 << 20;

/// Conditions of a column.
pub struct Matcher {
    equal: Hash<Box<str>>,
    starts: Vec<(usize, Hash<Box<str>>)>,
    ends: Vec<(usize, Hash<Box<str>>)>,
    set: Option<(RegexSet, Vec<Atom>)>,
    /// Also asked where the set cannot be: texts longer than a pattern may look at.
    set_tests: Vec<(Atom, Predicate)>,
    rest: Vec<(Atom, Predicate)>,
    integers: HashMap<i128, Vec<Atom>, ahash::RandomState>,
    /// What is behind `integers`, for numbers that are not written as integers.
    integer_tests: Vec<(Atom, Predicate)>,
    number_tests: Vec<(Atom, Predicate)>,
    gate: Gate,
}

impl Matcher {
    /// From conditions that look at texts, and conditions that look at numbers.
    pub fn new(texts: &[(Atom, &Predicate)], numbers: &[(Atom, &Predicate)]) -> Matcher {
        let mut m = Matcher {
            equal: HashMap::with_hasher(hasher()),
            starts: Vec::new(),
            ends: Vec::new(),
            set: None,
            set_tests: Vec::new(),
            rest: Vec::new(),
            integers: HashMap::with_hasher(hasher()),
            integer_tests: Vec::new(),
            number_tests: Vec::new(),
            gate: Gate::shut(),
        };
        texts.iter().for_each(|(atom, test)| m.text(*atom, test));
        m.make_set();
        for (atom, test) in numbers {
            m.number(*atom, test);
        }
        m
    }

    fn text(&mut self, atom: Atom, test: &Predicate) {
        match test {
            Predicate::Equals(Scalar::Str(s)) => self.equals(atom, s),
            Predicate::Empty => self.equals(atom, ""),
            Predicate::In(m) => m.strings.iter().for_each(|s| self.equals(atom, s)),
            Predicate::Text { op: TextOp::StartsWith, fold: false, text } if !text.is_empty() => {
                self.gate.prefix(text);
                by_length(&mut self.starts, atom, text);
            }
            Predicate::Text { op: TextOp::EndsWith, fold: false, text } if !text.is_empty() => {
                self.gate.suffix(text);
                by_length(&mut self.ends, atom, text);
            }
            Predicate::Matches(_) | Predicate::Contains { value: Scalar::Str(_), fold: false, .. } => {
                self.gate.open();
                self.set_tests.push((atom, test.clone()));
            }
            _ => {
                self.gate.open();
                self.rest.push((atom, test.clone()));
            }
        }
    }

    fn equals(&mut self, atom: Atom, s: &str) {
        self.gate.equal(s);
        self.equal.entry(s.into()).or_default().push(atom);
    }

    fn make_set(&mut self) {
        let pattern = |test: &Predicate| match test {
            Predicate::Matches(regex) => regex.as_str().to_string(),
            Predicate::Contains { value: Scalar::Str(s), .. } => regex::escape(s),
            _ => String::new(),
        };
        if self.set_tests.len() < SET_FROM {
            self.rest.append(&mut self.set_tests);
            return;
        }
        match RegexSetBuilder::new(self.set_tests.iter().map(|(_, t)| pattern(t))).size_limit(MAX_SET).build() {
            Ok(set) => self.set = Some((set, self.set_tests.iter().map(|(a, _)| *a).collect())),
            Err(_) => self.rest.append(&mut self.set_tests),
        }
    }

    fn number(&mut self, atom: Atom, test: &Predicate) {
        let ints: Option<Vec<i128>> = match test {
            Predicate::Equals(Scalar::Num(Num::Int(i))) => Some(vec![*i]),
            Predicate::In(m) => m.numbers.iter().map(|n| if let Num::Int(i) = n { Some(*i) } else { None }).collect(),
            _ => None,
        };
        match ints {
            Some(ints) => {
                ints.into_iter().for_each(|i| self.integers.entry(i).or_default().push(atom));
                self.integer_tests.push((atom, test.clone()));
            }
            None => self.number_tests.push((atom, test.clone())),
        }
    }

    /// True if a text cannot fulfil any condition.
    #[inline]
    pub fn rejects(&self, text: &[u8]) -> bool {
        self.gate.rejects(text)
    }

    /// Calls `hit` for every condition that a text fulfils.
    pub fn on_text(&self, s: &str, hit: &mut dyn FnMut(Atom)) {
        let mut hits = |v: Option<&Vec<Atom>>| v.into_iter().flatten().for_each(|a| hit(*a));
        hits(self.equal.get(s));
        for (n, map) in &self.starts {
            hits(s.get(..*n).and_then(|p| map.get(p)));
        }
        for (n, map) in &self.ends {
            hits(s.len().checked_sub(*n).and_then(|at| s.get(at..)).and_then(|p| map.get(p)));
        }
        let ask = |tests: &[(Atom, Predicate)], hit: &mut dyn FnMut(Atom)| {
            tests.iter().filter(|(_, t)| t.on_str(s)).for_each(|(a, _)| hit(*a));
        };
        match &self.set {
            Some((set, atoms)) if s.len() <= MAX_HAYSTACK => set.matches(s).iter().for_each(|i| hit(atoms[i])),
            _ => ask(&self.set_tests, hit),
        }
        ask(&self.rest, hit);
    }

    /// Calls `hit` for every condition that a number fulfils.
    pub fn on_number(&self, n: Num, hit: &mut dyn FnMut(Atom)) {
        let ask = |tests: &[(Atom, Predicate)], hit: &mut dyn FnMut(Atom)| {
            tests.iter().filter(|(_, t)| t.on_num(n)).for_each(|(a, _)| hit(*a));
        };
        match n {
            Num::Int(i) => self.integers.get(&i).into_iter().flatten().for_each(|a| hit(*a)),
            // 22.0 equals 22.
            Num::Float(_) => ask(&self.integer_tests, hit),
        }
        ask(&self.number_tests, hit);
    }
}

fn by_length(maps: &mut Vec<(usize, Hash<Box<str>>)>, atom: Atom, text: &str) {
    let i = maps.iter().position(|(n, _)| *n == text.len()).unwrap_or_else(|| {
        maps.push((text.len(), HashMap::with_hasher(hasher())));
        maps.len() - 1
    });
    maps[i].1.entry(text.into()).or_default().push(atom);
}

/// Lengths (bit 63: 63 and more) that a text may have by its first byte, or by its last.
struct Gate {
    first: [u64; 256],
    last: [u64; 256],
    has_suffixes: bool,
    empty: bool,
    open: bool,
}

impl Gate {
    fn shut() -> Gate {
        Gate { first: [0; 256], last: [0; 256], has_suffixes: false, empty: false, open: false }
    }
    fn bit(len: usize) -> u64 {
        1 << len.min(63)
    }
    fn equal(&mut self, s: &str) {
        match s.as_bytes() {
            [] => self.empty = true,
            [first, ..] => self.first[*first as usize] |= Gate::bit(s.len()),
        }
    }
    fn prefix(&mut self, s: &str) {
        self.first[s.as_bytes()[0] as usize] |= !0 << s.len().min(63);
    }
    fn suffix(&mut self, s: &str) {
        self.has_suffixes = true;
        self.last[s.as_bytes()[s.len() - 1] as usize] |= !0 << s.len().min(63);
    }
    fn open(&mut self) {
        self.open = true;
    }
    #[inline]
    fn rejects(&self, text: &[u8]) -> bool {
        if self.open {
            return false;
        }
        let [first, ..] = text else { return !self.empty };
        let bit = Gate::bit(text.len());
        self.first[*first as usize] & bit == 0
            && (!self.has_suffixes || self.last[text[text.len() - 1] as usize] & bit == 0)
    }
}
