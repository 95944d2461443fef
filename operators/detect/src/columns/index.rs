//! The index of one column: value → class → rules to wake.
use super::cache::ValueCache;
use super::classes::{Classes, MAX_CLASSES, atoms, put};
use super::home::{OnTag, on_tag};
use super::matcher::{Atom, Matcher};
use super::plan::{LitId, Literal, Plan};
use crate::number::Num;
use crate::predicate::Predicate;
use model::EventBatch;
use model::event::tag;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Conditions on one column and the rules that wait for them.
pub struct ColumnIndex {
    slot: u32,
    plan: Rc<Plan>,
    atoms: Box<[LitId]>,
    matcher: Lazy,
    texts: ValueCache,
    numbers: ValueCache,
    classes: Classes,
    waiting: Vec<Vec<u32>>,
    on_tag: [Vec<u64>; 8],
    /// Class of a text that the gate rejects.
    none: u32,
    /// Bit of every tag that may wake a rule.
    awake: u8,
    /// Class of every row of the batch, where its text or number was looked at; empty until one is.
    rows: Vec<u32>,
    looks_at_numbers: bool,
}

/// Made when the first value is met: of the columns that rules name, a stream has few.
pub type Lazy = Rc<OnceCell<Matcher>>;

/// Matchers by column and conditions. What rules wait for changes more often than the conditions that are looked at
/// together, and a matcher may take a tenth of a second to make.
#[derive(Default)]
pub struct Matchers(BTreeMap<(u32, Box<[LitId]>), Lazy>);

impl Matchers {
    fn of(&mut self, slot: u32, atoms: &[LitId]) -> Lazy {
        self.0.entry((slot, atoms.into())).or_default().clone()
    }

    /// Forget those that no index has.
    pub fn tidy(&mut self) {
        self.0.retain(|_, m| Rc::strong_count(m) > 1);
    }
}

/// Rows whose texts are touched together.
const BLOCK: usize = 16;
/// Stands for the class of a row that was not looked at.
const NO_CLASS: u32 = u32::MAX;
/// Stands for the hash of a text that the gate rejects; hashes are never 0.
const REJECTED: u64 = 0;

/// `(row, rule)` to be decided.
pub type Candidate = (u32, u32);

impl ColumnIndex {
    /// Index a column for literals whose home it is; `waiting[i]` are the rules that `atoms[i]` wakes.
    pub fn new(
        plan: &Rc<Plan>,
        slot: u32,
        atoms: &[LitId],
        waiting: Vec<Vec<u32>>,
        matchers: &mut Matchers,
    ) -> ColumnIndex {
        let sets = Classes::new(waiting.clone());
        let maybes = std::array::from_fn(|t| {
            let mut set = sets.set();
            let maybe = |l: &LitId| on_tag(plan, *l, t as u8) == OnTag::Maybe;
            atoms.iter().enumerate().filter(|(_, l)| maybe(l)).for_each(|(i, _)| put(&mut set, i as Atom));
            set
        });
        let looks_at_numbers = atoms.iter().any(|l| on_tag(plan, *l, tag::NUM) == OnTag::Look);
        let mut index = ColumnIndex {
            slot,
            plan: plan.clone(),
            atoms: atoms.into(),
            matcher: matchers.of(slot, atoms),
            texts: ValueCache::new(),
            numbers: ValueCache::new(),
            classes: sets,
            waiting,
            on_tag: maybes,
            none: 0,
            awake: 0,
            rows: Vec::new(),
            looks_at_numbers,
        };
        index.start();
        index
    }

    fn matcher(&self) -> &Matcher {
        self.matcher.get_or_init(|| {
            let looks = |t: u8| -> Vec<(Atom, &Predicate)> {
                let test = |(i, l): (usize, &LitId)| match &self.plan.literals[*l as usize] {
                    Literal::Test(_, test) if on_tag(&self.plan, *l, t) == OnTag::Look => Some((i as Atom, test)),
                    _ => None,
                };
                self.atoms.iter().enumerate().filter_map(test).collect()
            };
            Matcher::new(&looks(tag::STR), &looks(tag::NUM))
        })
    }

    /// Begin with no class but one per tag, numbered as the tag.
    fn start(&mut self) {
        self.classes = Classes::new(self.waiting.clone());
        self.texts = ValueCache::new();
        self.numbers = ValueCache::new();
        self.rows.clear();
        for t in 0..8u8 {
            let none = self.classes.set();
            let class = self.classes.add(&none, &self.on_tag[t as usize]);
            let looks = t == tag::STR || (t == tag::NUM && self.looks_at_numbers);
            if looks || !self.classes.rules(class).is_empty() {
                self.awake |= 1 << t;
            }
        }
        self.none = self.classes.class(&self.on_tag[tag::STR as usize].clone());
    }

    /// Wake the rules of every row.
    pub fn scan(&mut self, batch: &EventBatch, out: &mut Vec<Candidate>) {
        let (tags, spans) = (batch.tags(self.slot), batch.spans(self.slot));
        let absent_sleeps = self.awake & 1 << tag::ABSENT == 0;
        let none_sleeps = self.classes.rules(self.none).is_empty();
        self.rows.resize(batch.len(), NO_CLASS);
        for (block, (tags, spans)) in tags.chunks(BLOCK).zip(spans.chunks(BLOCK)).enumerate() {
            if absent_sleeps && tags.iter().fold(0, |a, t| a | t) == tag::ABSENT {
                continue;
            }
            // The texts lie apart in memory: first touch all of a block, so that the cache misses overlap.
            let hashes = self.hashes(batch, tags, spans);
            for (i, &t) in tags.iter().enumerate() {
                if self.awake >> (t & 7) & 1 == 0 || (t == tag::STR && hashes[i] == REJECTED && none_sleeps) {
                    continue;
                }
                let row = block * BLOCK + i;
                let class = match t {
                    tag::STR => self.text_class(batch, row, hashes[i]),
                    tag::NUM if self.looks_at_numbers => self.number_class(bytes(batch, spans[i])),
                    t => t as u32 & 7,
                };
                if t == tag::STR || t == tag::NUM && self.looks_at_numbers {
                    self.rows[row] = class;
                }
                out.extend(self.classes.rules(class).iter().map(|rule| (row as u32, *rule)));
            }
        }
        if self.classes.len() > MAX_CLASSES {
            self.start();
        }
    }

    /// Hashes of the texts of a block; [`REJECTED`] where the gate is shut.
    #[inline]
    fn hashes(&self, batch: &EventBatch, tags: &[u8], spans: &[u64]) -> [u64; BLOCK] {
        let mut out = [REJECTED; BLOCK];
        if self.awake >> tag::STR & 1 == 1 {
            for (i, (&t, &span)) in tags.iter().zip(spans).enumerate() {
                if t == tag::STR {
                    out[i] = self.hash(bytes(batch, span));
                }
            }
        }
        out
    }

    #[inline]
    fn hash(&self, text: &[u8]) -> u64 {
        if self.matcher().rejects(text) { REJECTED } else { self.texts.hash(text) }
    }

    /// Number of classes.
    #[cfg(test)]
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Forget the batch that was looked at last.
    pub fn next_batch(&mut self) {
        self.rows.clear();
    }

    /// Truth of a condition on a row of the batch, if the row has a text or a number that is looked at. All conditions of
    /// the column are decided together, once in a batch: a rule that asks for one is followed by others that ask for more.
    #[inline]
    pub fn holds(&mut self, atom: Atom, batch: &EventBatch, row: usize) -> Option<bool> {
        let class = self.class(batch, row)?;
        Some(self.classes.holds(class, atom))
    }

    /// Class of a row's text or number.
    #[inline]
    fn class(&mut self, batch: &EventBatch, row: usize) -> Option<u32> {
        match self.rows.get(row) {
            Some(&class) if class != NO_CLASS => Some(class),
            _ => self.look(batch, row),
        }
    }

    #[inline(never)]
    fn look(&mut self, batch: &EventBatch, row: usize) -> Option<u32> {
        let (t, span) = (batch.tags(self.slot)[row], batch.spans(self.slot)[row]);
        let looks = t == tag::STR || t == tag::NUM && self.looks_at_numbers;
        if !looks {
            return None;
        }
        if self.classes.len() > MAX_CLASSES {
            self.start();
        }
        self.rows.resize(batch.len(), NO_CLASS);
        let text = bytes(batch, span);
        let class = if t == tag::NUM { self.number_class(text) } else { self.text_class(batch, row, self.hash(text)) };
        self.rows[row] = class;
        Some(class)
    }

    /// Conditions that are true of a row, or may be.
    pub fn on_row(&mut self, batch: &EventBatch, row: usize) -> impl Iterator<Item = LitId> {
        let set = match self.class(batch, row) {
            Some(class) => self.classes.truth(class),
            None => &self.on_tag[batch.tags(self.slot)[row] as usize & 7],
        };
        atoms(set).map(|atom| self.atoms[atom as usize])
    }

    #[inline]
    fn text_class(&mut self, batch: &EventBatch, row: usize, hash: u64) -> u32 {
        if hash == REJECTED {
            return self.none;
        }
        let value = batch.value(self.slot, row);
        let text = value.text();
        self.matcher();
        let (matcher, classes, base) = (&self.matcher, &mut self.classes, &self.on_tag[tag::STR as usize]);
        self.texts.class(text.as_bytes(), hash, || {
            let mut set = base.clone();
            if let Some(matcher) = matcher.get() {
                matcher.on_text(text, &mut |atom| put(&mut set, atom));
            }
            classes.class(&set)
        })
    }

    #[inline]
    fn number_class(&mut self, text: &[u8]) -> u32 {
        let hash = self.numbers.hash(text);
        self.matcher();
        let (matcher, classes, base) = (&self.matcher, &mut self.classes, &self.on_tag[tag::NUM as usize]);
        self.numbers.class(text, hash, || {
            let mut set = base.clone();
            if let (Ok(s), Some(matcher)) = (std::str::from_utf8(text), matcher.get()) {
                matcher.on_number(Num::parse(s), &mut |atom| put(&mut set, atom));
            }
            classes.class(&set)
        })
    }
}

#[inline]
fn bytes(batch: &EventBatch, span: u64) -> &[u8] {
    let (start, len) = (span as u32 as usize, (span >> 32) as usize);
    &batch.data[start..start + len]
}
