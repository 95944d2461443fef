//! All conditions on one column, asked of one text or number at once.
//!
//! Equality and list membership are one look-up, prefixes and suffixes one look-up per distinct length, regular
//! expressions and substrings one pass of a regex set; whatever ignores case or comes from a Sigma rule is one look-up
//! and one pass over the folded text ([`Needles`]); what is left is asked one by one. The gate in front rejects most texts
//! by their first or last byte and their length.
use super::hasher;
use crate::like::glob::{Glob, Part};
use crate::like::needles::Needles;
use crate::like::{NumText, Pattern, Text};
use crate::number::Num;
use crate::predicate::{Predicate, Scalar, TextOp};
use crate::regex::MAX_HAYSTACK;
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
    /// Conditions that ignore case, and those of Sigma rules.
    folded: Option<Needles>,
    /// Conditions of Sigma rules on the text of a number.
    number_texts: Option<Needles>,
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
            folded: None,
            number_texts: None,
            integers: HashMap::with_hasher(hasher()),
            integer_tests: Vec::new(),
            number_tests: Vec::new(),
            gate: Gate::shut(),
        };
        let (mut folded, mut number_texts) = (Vec::new(), Vec::new());
        for (atom, test) in texts {
            if !patterns(*atom, test, &mut folded) {
                m.text(*atom, test);
            }
        }
        m.make_set();
        for (atom, test) in numbers {
            if !patterns(*atom, test, &mut number_texts) {
                m.number(*atom, test);
            }
        }
        let needles = |list: &[(Atom, Pattern)]| {
            (!list.is_empty()).then(|| Needles::new(list.iter().map(|(atom, pattern)| (*atom, pattern))))
        };
        if !folded.is_empty() {
            m.gate.open();
        }
        (m.folded, m.number_texts) = (needles(&folded), needles(&number_texts));
        m
    }

    fn text(&mut self, atom: Atom, test: &Predicate) {
        match test {
            Predicate::Equals(Scalar::Str(s)) => self.equals(atom, s),
            Predicate::Empty | Predicate::NoText { .. } => self.equals(atom, ""),
            Predicate::In(m) => m.strings.iter().for_each(|s| self.equals(atom, s)),
            Predicate::Text { op: TextOp::StartsWith, fold: false, text } if !text.is_empty() => {
                self.gate.prefix(text);
                by_length(&mut self.starts, atom, text);
            }
            Predicate::Text { op: TextOp::EndsWith, fold: false, text } if !text.is_empty() => {
                self.gate.suffix(text);
                by_length(&mut self.ends, atom, text);
            }
            Predicate::Matches(_) => {
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
        if self.set_tests.len() < SET_FROM {
            self.rest.append(&mut self.set_tests);
            return;
        }
        match RegexSetBuilder::new(self.set_tests.iter().map(|(_, t)| expression(t))).size_limit(MAX_SET).build() {
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
        if let Some(folded) = &self.folded {
            folded.find(&Text::new(s), &mut |atom| {
                hit(atom);
                false
            });
        }
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
        if let Some(texts) = &self.number_texts {
            let text = NumText::of(n);
            texts.find(&Text::new(text.as_str()), &mut |atom| {
                hit(atom);
                false
            });
        }
    }
}

fn expression(test: &Predicate) -> &str {
    if let Predicate::Matches(regex) = test { regex.as_str() } else { "" }
}

/// True if a condition is one of those that are searched for in one pass over a text.
pub fn is_pattern(test: &Predicate) -> bool {
    match test {
        Predicate::Matches(regex) => !regex.witnesses().is_empty(),
        Predicate::Like(_) | Predicate::Contains { value: Scalar::Str(_), .. } => true,
        Predicate::Text { fold, .. } => *fold,
        _ => false,
    }
}

/// Collect what a condition says as patterns; false if it is none.
fn patterns(atom: Atom, test: &Predicate, out: &mut Vec<(Atom, Pattern)>) -> bool {
    let glob = |before: bool, text: &str, after: bool, cased: bool| {
        let many = |b: bool| b.then_some(Part::Many);
        let parts = [many(before), Some(Part::Text(text.into())), many(after)];
        Pattern::Glob(Glob::new(parts.into_iter().flatten().collect(), cased))
    };
    let folded = |before: bool, text: &str, after: bool| glob(before, text, after, false);
    match test {
        Predicate::Matches(regex) if is_pattern(test) => out.push((atom, Pattern::Regex(regex.clone()))),
        Predicate::Like(like) => out.extend(like.patterns().iter().map(|p| (atom, p.clone()))),
        Predicate::Contains { value: Scalar::Str(text), fold, .. } => out.push((atom, glob(true, text, true, !fold))),
        Predicate::Text { op, fold: true, text } => out.push((
            atom,
            match op {
                TextOp::Equals => folded(false, text, false),
                TextOp::StartsWith => folded(false, text, true),
                TextOp::EndsWith => folded(true, text, false),
                TextOp::Contains => folded(true, text, true),
            },
        )),
        _ => return false,
    }
    true
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::like::{Like, glob::tests::of};
    use crate::predicate::{IpKind, Members, OrderOp, fold};
    use crate::regex::Regex;
    use proptest::prelude::*;

    fn pattern() -> impl Strategy<Value = Pattern> {
        prop_oneof![
            6 => ("[abAk.*?~-]{0,5}", any::<bool>()).prop_map(|(p, cased)| Pattern::Glob(of(&p, cased))),
            1 => "(\\(\\?i\\))?(aba|bab|k){1,2}".prop_map(|p| Pattern::regex(&p, "").unwrap()),
            1 => Just(Pattern::Net("1.2.0.0/16".parse().unwrap())),
        ]
    }

    fn predicate() -> impl Strategy<Value = Predicate> {
        let text = "[abA.]{0,3}";
        let op = prop::sample::select(vec![TextOp::Equals, TextOp::StartsWith, TextOp::EndsWith]);
        prop_oneof![
            text.prop_map(|s| Predicate::Equals(Scalar::Str(s.as_str().into()))),
            Just(Predicate::Empty),
            any::<bool>().prop_map(|missing| Predicate::NoText { missing }),
            Just(Predicate::Present),
            (0usize..5).prop_map(Predicate::Longer),
            prop::collection::vec(text, 0..4)
                .prop_map(|v| Predicate::In(Members::of(v.iter().map(|s| Scalar::Str(s.as_str().into()))))),
            (op, any::<bool>(), text).prop_map(|(op, fold_case, s)| {
                let text = if fold_case { fold(&s).into_owned() } else { s };
                Predicate::Text { op, fold: fold_case, text: text.into() }
            }),
            text.prop_map(|s| Predicate::Contains { value: Scalar::Str(s.as_str().into()), fold: false, parts: false }),
            text.prop_map(|s| Predicate::Matches(Regex::new(&format!("^{s}b?$")).unwrap())),
            Just(Predicate::Ip(IpKind::Any)),
            text.prop_map(|s| {
                let value = Scalar::Str(fold(&s).as_ref().into());
                Predicate::Contains { value, fold: true, parts: false }
            }),
            prop::collection::vec(pattern(), 1..12).prop_map(|v| Predicate::Like(Like::new(v))),
            text.prop_map(|s| Predicate::Order(OrderOp::Less, Scalar::Str(s.as_str().into()))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn finds_what_each_condition_finds_alone(
            tests in prop::collection::vec(predicate(), 1..12),
            texts in prop::collection::vec("[abA.k\u{212a}]{0,4}|1.2.3.4|a{62,65}|[ab]{63}", 1..40),
        ) {
            let numbered: Vec<(Atom, &Predicate)> = tests.iter().enumerate().map(|(i, t)| (i as Atom, t)).collect();
            let m = Matcher::new(&numbered, &[]);
            for text in &texts {
                let want: Vec<Atom> = numbered.iter().filter(|(_, t)| t.on_str(text)).map(|(i, _)| *i).collect();
                let mut got = Vec::new();
                m.on_text(text, &mut |a| got.push(a));
                got.sort_unstable();
                got.dedup();
                prop_assert_eq!(&got, &want, "{:?}", text);
                prop_assert!(want.is_empty() || !m.rejects(text.as_bytes()), "{:?} was rejected", text);
            }
        }

        #[test]
        fn finds_numbers(
            values in prop::collection::vec(prop_oneof![(-3i64..3).prop_map(|i| i as f64), Just(0.5), Just(1e300)], 1..8),
            numbers in prop::collection::vec(prop::sample::select(vec!["0", "-0", "1", "1.0", "-2", "0.5", "3e0", "1e300", "2"]), 1..8),
        ) {
            let json = |v: f64| if v.fract() == 0.0 && v.abs() < 1e9 { serde_json::json!(v as i64) } else { serde_json::json!(v) };
            let scalar = |v: &f64| Scalar::from_json(&json(*v)).unwrap();
            let mut tests: Vec<Predicate> = values.iter().map(|v| Predicate::Equals(scalar(v))).collect();
            tests.push(Predicate::In(Members::of(values.iter().map(scalar))));
            tests.push(Predicate::Order(OrderOp::GreaterOrEqual, scalar(&values[0])));
            let texts = values.iter().map(|v| Pattern::Glob(of(NumText::of(Num::Float(*v)).as_str(), false)));
            tests.push(Predicate::Like(Like::new(texts.collect())));
            tests.push(Predicate::Like(Like::new(vec![Pattern::Order(OrderOp::Less, Num::Int(1))])));
            let numbered: Vec<(Atom, &Predicate)> = tests.iter().enumerate().map(|(i, t)| (i as Atom, t)).collect();
            let m = Matcher::new(&[], &numbered);
            for text in numbers {
                let n = Num::parse(text);
                let want: Vec<Atom> = numbered.iter().filter(|(_, t)| t.on_num(n)).map(|(i, _)| *i).collect();
                let mut got = Vec::new();
                m.on_number(n, &mut |a| got.push(a));
                got.sort_unstable();
                got.dedup();
                prop_assert_eq!(got, want, "{}", text);
            }
        }
    }
}
