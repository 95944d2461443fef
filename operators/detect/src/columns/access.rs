//! Which literals a rule waits for.
//!
//! A rule is looked at only on rows where one of its *access literals* may be true: for a conjunction the rarest of its
//! literals, for a disjunction one of each branch. Rarity is measured on rows of the stream itself. A rule without
//! such literals (all of it is negative, or needs the whole event) is looked at on every row.
use super::home::{Home, OnTag, home, on_tag};
use super::index::ColumnIndex;
use super::matcher;
use super::plan::{LitId, Literal, Node, Plan, Source};
use super::truth;
use super::view::View;
use crate::predicate::Predicate;
use model::Value;
use model::event::tag;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Rows of a batch that are measured.
const SAMPLE: usize = 256;
/// What looking at a woken rule costs besides its conditions, in nanoseconds.
const CANDIDATE: f64 = 50.0;
/// What it costs per row to scan one more column where the path does not exist.
const SCAN_ABSENT: f64 = 0.7;
/// The same where there is a value.
const SCAN: f64 = 5.0;
/// The same where its text has to be looked up.
const SCAN_TEXT: f64 = 15.0;
/// What it costs more where the text was not seen before, and per costly condition then.
const NEW_TEXT: f64 = 100.0;
const COSTLY_TEST: f64 = 20.0;
/// The same for all conditions that are one pass over the text.
const PASS: f64 = 300.0;

/// Literals a rule waits for; `None` = it is looked at on every row.
pub type Waits = Option<Vec<LitId>>;

/// How often literals are true.
pub struct Frequency {
    homes: Vec<Option<Home>>,
    hits: Vec<f64>,
    rows: f64,
    /// As last measured.
    columns: HashMap<u32, Column>,
}

/// What the values of a column are like.
#[derive(Clone, Copy)]
struct Column {
    /// Share of rows that have a value.
    present: f64,
    /// Share of values that are the first of their kind.
    distinct: f64,
}

const UNKNOWN: Column = Column { present: 1.0, distinct: 0.0 };

impl Frequency {
    /// Nothing measured yet.
    pub fn new(plan: &Plan) -> Frequency {
        let homes: Vec<_> = (0..plan.literals.len() as LitId).map(|l| home(plan, l)).collect();
        Frequency { hits: vec![0.0; homes.len()], homes, rows: 0.0, columns: HashMap::new() }
    }

    /// Measure rows of a batch, with the indexes of its columns. Old measurements count half.
    pub fn sample(&mut self, view: &View, indexes: &mut [ColumnIndex]) {
        let n = view.batch.len();
        let step = n.div_ceil(SAMPLE).max(1);
        self.rows *= 0.5;
        self.rows += n.div_ceil(step) as f64;
        self.hits.iter_mut().for_each(|h| *h *= 0.5);
        let rows = || (0..n).step_by(step);
        // There may be thousands of conditions on a column that are one pass over its texts: they are not asked one by one.
        for index in indexes {
            for row in rows() {
                let hits = index.on_row(view.batch, row).filter(|l| is_one_pass(view.plan, *l));
                hits.for_each(|lit| self.hits[lit as usize] += 1.0);
            }
        }
        for lit in 0..self.homes.len() {
            if let Some(Home::Column(slot)) = self.homes[lit] {
                self.columns.entry(slot).or_insert(UNKNOWN);
            }
            if self.homes[lit].is_some() && !is_one_pass(view.plan, lit as LitId) {
                self.hits[lit] += rows().filter(|row| wakes(view, lit as LitId, *row)).count() as f64;
            }
        }
        self.measure_columns(view, step);
    }

    fn measure_columns(&mut self, view: &View, step: usize) {
        for (slot, column) in &mut self.columns {
            let (mut rows, mut values, mut kinds) = (0.0, 0.0, HashSet::new());
            for value in (0..view.batch.len()).step_by(step).map(|row| view.batch.value(*slot, row)) {
                rows += 1.0;
                if value != Value::Absent {
                    values += 1.0;
                    kinds.insert(value.text());
                }
            }
            *column =
                Column { present: values / f64::max(rows, 1.0), distinct: kinds.len() as f64 / f64::max(values, 1.0) };
        }
    }

    /// Share of rows on which a literal wakes its rules, 0.0 to 1.0.
    pub fn rate(&self, plan: &Plan, lit: LitId) -> f64 {
        (self.hits[lit as usize] + prior(&plan.literals[lit as usize])) / (self.rows + 2.0)
    }

    /// Choose for every rule; also gives the expected cost per row.
    pub fn choose(&self, plan: &Plan) -> (Vec<Waits>, f64) {
        let all = |_: Home| true;
        let mut waits: Vec<Waits> = plan.rules.iter().map(|r| self.access(plan, &r.root, &all).map(|a| a.1)).collect();
        self.save_columns(plan, &mut waits);
        let cost = self.cost(plan, &waits);
        (waits, cost)
    }

    /// Expected cost per row of a choice.
    pub fn cost(&self, plan: &Plan, waits: &[Waits]) -> f64 {
        let scans: f64 = by_home(self, waits).keys().map(|home| self.scan_cost(plan, *home, waits)).sum();
        let rate = |w: &Waits| w.as_ref().map_or(1.0, |lits| lits.iter().map(|l| self.rate(plan, *l)).sum());
        let rules = plan.rules.iter().zip(waits).map(|(rule, w)| rate(w) * (CANDIDATE + rule.no));
        scans + rules.sum::<f64>()
    }

    /// Columns that few rules need are given up where other literals of these rules cost less than the scan.
    fn save_columns(&self, plan: &Plan, waits: &mut [Waits]) {
        let mut homes: Vec<(Home, Vec<usize>)> = by_home(self, waits).into_iter().collect();
        homes.sort_by_key(|(_, rules)| rules.len());
        for (leave, rules) in homes {
            let used: Vec<Home> = by_home(self, waits).into_keys().collect();
            let other = |h: Home| h != leave && used.contains(&h);
            let moved: Option<Vec<(f64, Vec<LitId>)>> =
                rules.iter().map(|r| self.access(plan, &plan.rules[*r].root, &other)).collect();
            let Some(moved) = moved else { continue };
            let more = rules.iter().zip(&moved).map(|(r, (then, _))| {
                let now: f64 = waits[*r].iter().flatten().map(|l| self.rate(plan, *l)).sum();
                (then - now) * (CANDIDATE + plan.rules[*r].no)
            });
            if more.sum::<f64>() < self.scan_cost(plan, leave, waits) {
                rules.iter().zip(moved).for_each(|(r, (_, lits))| waits[*r] = Some(lits));
            }
        }
    }

    fn scan_cost(&self, plan: &Plan, home: Home, waits: &[Waits]) -> f64 {
        let Home::Column(slot) = home else { return SCAN };
        let costly = |l: &&LitId| {
            self.homes[**l as usize] == Some(home)
                && matches!(&plan.literals[**l as usize], Literal::Test(_, t) if super::plan::is_costly(t))
        };
        let column = self.columns.get(&slot).unwrap_or(&UNKNOWN);
        let costly: BTreeSet<LitId> = waits.iter().flatten().flatten().filter(costly).copied().collect();
        let one_pass = costly.iter().filter(|l| is_one_pass(plan, **l)).count();
        let value = match (costly.len() - one_pass, one_pass) {
            (0, 0) => SCAN,
            (n, m) => {
                let pass = if m > 0 { PASS } else { 0.0 };
                SCAN_TEXT + column.distinct * (NEW_TEXT + n as f64 * COSTLY_TEST + pass)
            }
        };
        SCAN_ABSENT + column.present * value
    }

    /// The cheapest literals of which at least one is true whenever the tree is, and their joint rate.
    fn access(&self, plan: &Plan, node: &Node, allowed: &dyn Fn(Home) -> bool) -> Option<(f64, Vec<LitId>)> {
        match node {
            Node::Const(false) => Some((0.0, Vec::new())),
            Node::Const(true) | Node::Not(_) => None,
            Node::Lit(l) => self.homes[*l as usize].filter(|h| allowed(*h)).map(|_| (self.rate(plan, *l), vec![*l])),
            Node::All(v) => {
                let branches = v.iter().filter_map(|n| self.access(plan, n, allowed));
                branches.min_by(|a, b| a.0.total_cmp(&b.0))
            }
            Node::Any(v) | Node::OnlyOne(v) => v.iter().try_fold((0.0, Vec::new()), |(rate, mut lits), n| {
                let (r, l) = self.access(plan, n, allowed)?;
                lits.extend(l);
                Some((rate + r, lits))
            }),
        }
    }
}

/// True for a condition on a column that is decided together with all others of its kind.
pub fn is_one_pass(plan: &Plan, lit: LitId) -> bool {
    let Literal::Test(key, test) = &plan.literals[lit as usize] else { return false };
    matcher::is_pattern(test) && matches!(plan.source(*key), Source::Column(_))
}

/// Rules by the columns and joins they wait on.
fn by_home(f: &Frequency, waits: &[Waits]) -> BTreeMap<Home, Vec<usize>> {
    let mut out: BTreeMap<Home, Vec<usize>> = BTreeMap::new();
    for (rule, lits) in waits.iter().enumerate() {
        for home in lits.iter().flatten().filter_map(|l| f.homes[*l as usize]) {
            let rules = out.entry(home).or_default();
            if rules.last() != Some(&rule) {
                rules.push(rule);
            }
        }
    }
    out
}

/// True if the literal would wake its rules on this row.
fn wakes(view: &View, lit: LitId, row: usize) -> bool {
    let literal = &view.plan.literals[lit as usize];
    match home(view.plan, lit) {
        Some(Home::Column(slot)) => {
            let value = view.batch.value(slot, row);
            match (on_tag(view.plan, lit, tag_of(&value)), literal) {
                (OnTag::No, _) => false,
                (OnTag::Look, Literal::Test(_, test)) => truth::on_value(test, value),
                _ => true,
            }
        }
        Some(Home::Join(_)) => truth::literal(view, literal, row),
        None => false,
    }
}

fn tag_of(v: &Value) -> u8 {
    match v {
        Value::Absent => tag::ABSENT,
        Value::Null => tag::NULL,
        Value::Bool(false) => tag::FALSE,
        Value::Bool(true) => tag::TRUE,
        Value::Num(_) => tag::NUM,
        Value::Str(_) => tag::STR,
        Value::Arr(_) => tag::ARR,
        Value::Obj(_) => tag::OBJ,
    }
}

/// Hits to expect of a literal that was not seen true, by its kind.
fn prior(literal: &Literal) -> f64 {
    match literal {
        Literal::Test(_, Predicate::Equals(_) | Predicate::NoText { .. } | Predicate::Longer(_)) => 0.1,
        Literal::Test(_, Predicate::In(_)) => 0.2,
        Literal::Test(_, Predicate::Like(like)) if like.is_plain() => 0.2,
        Literal::Test(_, Predicate::Like(_)) => 0.4,
        Literal::Test(_, Predicate::Text { .. } | Predicate::Matches(_)) => 0.4,
        Literal::Test(_, Predicate::Exists | Predicate::Present | Predicate::Null | Predicate::Empty) => 1.5,
        _ => 0.8,
    }
}
