//! The columnar rule engine: all rules of a log type over a batch at once.
//!
//! [`plan`] compiles the rules for one layout. [`access`] chooses which literals wake a rule, from measured
//! frequencies. A scanned column ([`index`]) maps each value to a *class* ([`classes`]) — the set of conditions that
//! are true of it, found once per distinct value ([`matcher`], remembered in [`cache`]) — and a class to the rules it
//! wakes; a join does the same per lookup row ([`join`]). Woken rules are then decided row by row from columns
//! ([`code`], [`truth`], [`view`]). So thousands of rules cost what the few woken ones cost.
//!
//! Caches, samples and the choice of access literals change the cost of a batch, never its matches.
mod access;
mod cache;
mod classes;
mod code;
pub mod explain;
mod home;
mod index;
mod join;
mod matcher;
pub mod plan;
mod truth;
pub mod view;

#[cfg(test)]
pub(crate) mod tests;

use access::{Frequency, Waits};
use code::{Code, Odds};
use home::Home;
use index::{Candidate, ColumnIndex, Matchers};
use join::JoinIndex;
use matcher::Atom;
use model::{EventBatch, Layout, Severity};
use plan::{LitId, Literal, Plan, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use truth::Truth;
use view::View;

use crate::rule::Rule;

/// Batches after which frequencies are measured again.
const SAMPLE_EVERY: u64 = 4_096;

/// The rules of one log type and one layout, running on one worker.
pub struct Program {
    plan: Rc<Plan>,
    frequency: Frequency,
    waits: Vec<Waits>,
    matchers: Matchers,
    state: State,
    batches: u64,
    /// Candidates of one column, and those that wait for the whole event; kept for their memory.
    woken: Vec<Candidate>,
    later: Vec<Candidate>,
    /// What deciding each of [`Plan::rules`] took, if that is measured.
    costs: Option<Vec<Cost>>,
}

/// What a rule took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rows for which it was decided.
    pub looked: u64,
    /// Nanoseconds that took, clock included (some 40 each time).
    pub ns: u64,
}

impl Cost {
    /// Count what began then.
    pub fn add(&mut self, began: Instant) {
        self.looked += 1;
        self.ns += began.elapsed().as_nanos() as u64;
    }
}

/// What changes when rules wait for other literals.
#[derive(Default)]
struct State {
    /// Rules that are looked at on every row.
    always: Vec<u32>,
    /// Columns that wake rules, then columns whose costly conditions are remembered.
    columns: Vec<ColumnIndex>,
    /// How many of `columns` are scanned.
    scanned: usize,
    joins: Vec<JoinIndex>,
    /// Where the truth of a literal is remembered.
    memo: Vec<Memo>,
    code: Code,
    how: Vec<How>,
}

/// How a woken rule is decided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// By its code.
    Code,
    /// By its tree.
    Tree,
    /// Later than others of its batch, by its tree: it may take the whole event.
    Whole,
}

/// What asking for a literal costs where its column was scanned, where it is remembered, and more where it is not, in
/// nanoseconds.
const KNOWN: f64 = 3.0;
const REMEMBERED: f64 = 30.0;

#[derive(Clone, Copy)]
enum Memo {
    No,
    Column(u32, Atom),
    Join(u32, Atom),
}

impl Program {
    /// Compile the rules that are for the log type of the layout.
    pub fn new(rules: &[Rule], layout: &Arc<Layout>) -> Program {
        let plan = Rc::new(Plan::new(rules, layout));
        let frequency = Frequency::new(&plan);
        let (waits, _) = frequency.choose(&plan);
        let mut matchers = Matchers::default();
        let state = State::new(&plan, &waits, &frequency, &mut matchers);
        let (woken, later) = (Vec::new(), Vec::new());
        Program { plan, frequency, waits, matchers, state, batches: 0, woken, later, costs: None }
    }

    /// What each of [`Plan::rules`] took, if it is measured.
    pub fn costs(&self) -> &[Cost] {
        self.costs.as_deref().unwrap_or_default()
    }

    /// Columns and joins that wake a rule, by name; none: it is looked at on every row.
    pub fn wakes(&self, rule: usize) -> Vec<String> {
        let lits = self.waits[rule].iter().flatten();
        let homes: BTreeSet<Home> = lits.filter_map(|l| home::home(&self.plan, *l)).collect();
        homes.into_iter().map(|h| self.name(h)).collect()
    }

    fn name(&self, home: Home) -> String {
        match home {
            Home::Column(slot) => self.plan.layout.slots[slot as usize].to_string(),
            Home::Join(join) => {
                let (table, selector) = &self.plan.joins[join as usize];
                format!("{table} by {selector}")
            }
        }
    }

    /// The plan, shared so that a [`View`] can outlive a borrow of the program.
    pub fn plan(&self) -> Rc<Plan> {
        self.plan.clone()
    }

    /// Indexes of rules ([`Plan::rules`]) that are looked at on every row.
    pub fn always(&self) -> &[u32] {
        &self.state.always
    }

    /// Columns and joins that are looked at on every row, by name, with the rules that wait on each.
    pub fn scanned(&self) -> Vec<(String, usize)> {
        let mut out: BTreeMap<Home, usize> = BTreeMap::new();
        for lits in self.waits.iter().flatten() {
            let homes: BTreeSet<Home> = lits.iter().filter_map(|l| home::home(&self.plan, *l)).collect();
            homes.into_iter().for_each(|h| *out.entry(h).or_default() += 1);
        }
        out.into_iter().map(|(h, n)| (self.name(h), n)).collect()
    }

    /// Decide all rules on all rows: `(row, index in plan.rules)` of every rule whose tree is true, ascending,
    /// into an empty `hits`.
    pub fn run(&mut self, view: &View, hits: &mut Vec<(usize, usize)>) {
        if self.plan.rules.is_empty() {
            return;
        }
        self.state.columns.iter_mut().for_each(ColumnIndex::next_batch);
        self.measure(view);
        let (woken, later) = (&mut self.woken, &mut self.later);
        later.clear();
        let state = &mut self.state;
        let costs = self.costs.as_deref_mut();
        let State { columns, joins, memo, code, how, .. } = state;
        let mut decide = Decide { view, columns, joins, memo, code, how, costs };
        for i in 0..state.scanned + decide.joins.len() {
            woken.clear();
            match i.checked_sub(state.scanned) {
                None => decide.columns[i].scan(view.batch, woken),
                Some(join) => decide.joins[join].scan(view, woken),
            }
            woken.iter().for_each(|&c| decide.candidate(c, later, hits));
        }
        for rule in &state.always {
            (0..view.batch.len() as u32).for_each(|row| decide.candidate((row, *rule), later, hits));
        }
        // Row by row, so that the whole event of a row, once made, serves all its rules.
        later.sort_unstable();
        later.iter().for_each(|&c| decide.now(c, hits));
        hits.sort_unstable();
        // A rule that waits for several literals may have been woken by more than one.
        hits.dedup();
    }

    /// Severity of a match: the first of `DynamicSeverities` whose conditions hold.
    pub fn severity(&mut self, view: &View, rule: usize, row: usize, fixed: Severity) -> Severity {
        let state = &mut self.state;
        let State { columns, joins, memo, code, how, .. } = state;
        let mut decide = Decide { view, columns, joins, memo, code, how, costs: None };
        let changed = view.plan.rules[rule].severities.iter().find(|(_, node)| decide.node(node, row));
        changed.map_or(fixed, |(s, _)| *s)
    }

    /// Now and then, measure how often literals are true, and wait for others if that is clearly cheaper.
    fn measure(&mut self, view: &View) {
        let n = self.batches;
        self.batches += 1;
        if view.batch.is_empty() || !(n == 0 || n == 16 || n == 256 || n.is_multiple_of(SAMPLE_EVERY)) {
            return;
        }
        self.frequency.sample(view, &mut self.state.columns);
        let (waits, cost) = self.frequency.choose(&self.plan);
        let first = n == 0;
        if waits != self.waits && (first || cost < 0.8 * self.frequency.cost(&self.plan, &self.waits)) {
            self.state = State::new(&self.plan, &waits, &self.frequency, &mut self.matchers);
            self.matchers.tidy();
            self.waits = waits;
        }
    }
}

impl State {
    fn new(plan: &Rc<Plan>, waits: &[Waits], frequency: &Frequency, matchers: &mut Matchers) -> State {
        let mut out = State { memo: vec![Memo::No; plan.literals.len()], ..State::default() };
        let mut homes: BTreeMap<Home, BTreeMap<LitId, Vec<u32>>> = BTreeMap::new();
        for (rule, lits) in waits.iter().enumerate() {
            match lits {
                None => out.always.push(rule as u32),
                Some(lits) => {
                    for lit in lits {
                        if let Some(home) = home::home(plan, *lit) {
                            homes.entry(home).or_default().entry(*lit).or_default().push(rule as u32);
                        }
                    }
                }
            }
        }
        let along = one_pass(plan);
        for (home, waiting) in &homes {
            if let Home::Column(slot) = home {
                let mut waiting = waiting.clone();
                let lits = along.get(slot).map_or(&[][..], Vec::as_slice);
                // A column that is searched for some of them is searched for all: it is the same pass.
                if lits.iter().any(|l| waiting.contains_key(l)) {
                    lits.iter().for_each(|l| _ = waiting.entry(*l).or_default());
                }
                out.column(plan, *slot, waiting, matchers);
            }
        }
        out.scanned = out.columns.len();
        out.remember(plan, homes, &along, matchers);
        out.encode(plan, waits, frequency);
        out
    }

    /// Put the literals of each rule in order.
    fn encode(&mut self, plan: &Plan, waits: &[Waits], frequency: &Frequency) {
        for (rule, waits) in plan.rules.iter().zip(waits) {
            let odds = |lit: LitId| Odds {
                cost: match self.memo[lit as usize] {
                    Memo::Column(column, _) if (column as usize) < self.scanned => KNOWN,
                    Memo::No => f64::from(plan.literal_cost(lit)),
                    Memo::Column(..) | Memo::Join(..) => REMEMBERED,
                },
                // It has woken the rule.
                rate: if waits.as_ref().is_some_and(|w| w.contains(&lit)) { 1.0 } else { frequency.rate(plan, lit) },
            };
            let coded = self.code.add(&rule.root, &odds);
            self.how.push(match (rule.whole, coded) {
                (true, _) => How::Whole,
                (false, true) => How::Code,
                (false, false) => How::Tree,
            });
        }
    }

    /// Columns and joins where costly conditions are remembered; joins are also scanned.
    fn remember(
        &mut self,
        plan: &Rc<Plan>,
        homes: BTreeMap<Home, BTreeMap<LitId, Vec<u32>>>,
        along: &BTreeMap<u32, Vec<LitId>>,
        matchers: &mut Matchers,
    ) {
        let mut joins: BTreeMap<u32, BTreeMap<LitId, Vec<u32>>> = BTreeMap::new();
        for (home, waiting) in homes {
            if let Home::Join(join) = home {
                joins.insert(join, waiting);
            }
        }
        for (slot, lits) in along {
            if matches!(self.memo[lits[0] as usize], Memo::No) {
                let none = lits.iter().map(|l| (*l, Vec::new())).collect();
                self.column(plan, *slot, none, matchers);
            }
        }
        let mut columns: BTreeMap<u32, BTreeMap<LitId, Vec<u32>>> = BTreeMap::new();
        for (lit, literal) in plan.literals.iter().enumerate() {
            let Literal::Test(key, test) = literal else { continue };
            match plan.source(*key) {
                Source::Column(slot) if plan::is_costly(test) && matches!(self.memo[lit], Memo::No) => {
                    columns.entry(*slot).or_default().insert(lit as LitId, Vec::new());
                }
                Source::Join { join, .. } => {
                    joins.entry(*join).or_default().entry(lit as LitId).or_default();
                }
                _ => {}
            }
        }
        columns.into_iter().for_each(|(slot, waiting)| self.column(plan, slot, waiting, matchers));
        for (join, waiting) in joins {
            let (atoms, waiting): (Vec<LitId>, Vec<Vec<u32>>) = waiting.into_iter().unzip();
            for (atom, lit) in atoms.iter().enumerate() {
                self.memo[*lit as usize] = Memo::Join(self.joins.len() as u32, atom as Atom);
            }
            self.joins.push(JoinIndex::new(plan, join, &atoms, waiting));
        }
    }

    fn column(&mut self, plan: &Rc<Plan>, slot: u32, waiting: BTreeMap<LitId, Vec<u32>>, matchers: &mut Matchers) {
        let (atoms, waiting): (Vec<LitId>, Vec<Vec<u32>>) = waiting.into_iter().unzip();
        for (atom, lit) in atoms.iter().enumerate() {
            if matches!(&plan.literals[*lit as usize], Literal::Test(key, test)
                if plan::is_costly(test) && matches!(plan.source(*key), Source::Column(_)))
            {
                self.memo[*lit as usize] = Memo::Column(self.columns.len() as u32, atom as Atom);
            }
        }
        self.columns.push(ColumnIndex::new(plan, slot, &atoms, waiting, matchers));
    }
}

/// Literals by column that are decided in one pass over a text.
fn one_pass(plan: &Plan) -> BTreeMap<u32, Vec<LitId>> {
    let mut out: BTreeMap<u32, Vec<LitId>> = BTreeMap::new();
    for lit in (0..plan.literals.len() as LitId).filter(|l| access::is_one_pass(plan, *l)) {
        if let Some(Home::Column(slot)) = home::home(plan, lit) {
            out.entry(slot).or_default().push(lit);
        }
    }
    out
}

/// Decides literals of a row with what the program remembers.
struct Decide<'s, 'v, 'a> {
    view: &'v View<'a>,
    columns: &'s mut [ColumnIndex],
    joins: &'s mut [JoinIndex],
    memo: &'s [Memo],
    code: &'s Code,
    how: &'s [How],
    costs: Option<&'s mut [Cost]>,
}

impl Decide<'_, '_, '_> {
    /// Decide a rule on a row, or put it off if that may take the whole event.
    #[inline]
    fn candidate(&mut self, c: Candidate, later: &mut Vec<Candidate>, hits: &mut Vec<(usize, usize)>) {
        match self.how[c.1 as usize] {
            How::Whole => later.push(c),
            How::Code | How::Tree => self.now(c, hits),
        }
    }

    #[inline]
    fn now(&mut self, (row, rule): Candidate, hits: &mut Vec<(usize, usize)>) {
        let began = self.costs.is_some().then(Instant::now);
        let holds = match self.how[rule as usize] {
            How::Code => {
                let code = self.code;
                code.holds(rule, |lit| self.literal(lit, row as usize))
            }
            How::Tree | How::Whole => self.node(&self.view.plan.rules[rule as usize].root, row as usize),
        };
        if holds {
            hits.push((row as usize, rule as usize));
        }
        if let (Some(costs), Some(began)) = (&mut self.costs, began) {
            costs[rule as usize].add(began);
        }
    }
}

impl Truth for Decide<'_, '_, '_> {
    #[inline]
    fn literal(&mut self, lit: LitId, row: usize) -> bool {
        let known = match self.memo[lit as usize] {
            Memo::No => None,
            Memo::Column(index, atom) => self.columns[index as usize].holds(atom, self.view.batch, row),
            Memo::Join(index, atom) => self.joins[index as usize].holds(atom, self.view, row),
        };
        known.unwrap_or_else(|| truth::literal(self.view, &self.view.plan.literals[lit as usize], row))
    }
}

/// Hashing for what input or rules fill. Seeded from the system, so that input cannot be made to collide.
pub(crate) fn hasher() -> ahash::RandomState {
    let seed = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    ahash::RandomState::with_seeds(seed(), seed(), seed(), seed())
}

/// Programs of a worker, one per layout.
pub struct Programs {
    rules: Arc<[Rule]>,
    by_layout: Vec<Program>,
    measured: bool,
}

/// Layouts with a program; one topology has one per log type and version of its needs.
pub const MAX_LAYOUTS: usize = 512;

impl Programs {
    /// Programs are compiled when their layout is first seen.
    pub fn new(rules: Arc<[Rule]>) -> Programs {
        Programs { rules, by_layout: Vec::new(), measured: false }
    }
    /// From now on, measure what each rule takes.
    pub fn measure(&mut self) {
        self.measured = true;
    }
    /// Every program there is.
    pub fn all(&self) -> &[Program] {
        &self.by_layout
    }
    /// Program of a batch's layout.
    pub fn of(&mut self, batch: &EventBatch) -> &mut Program {
        let at = self.by_layout.iter().position(|p| Arc::ptr_eq(&p.plan.layout, &batch.layout));
        let at = at.unwrap_or_else(|| {
            if self.by_layout.len() == MAX_LAYOUTS {
                self.by_layout.remove(0);
            }
            let mut program = Program::new(&self.rules, &batch.layout);
            program.costs = self.measured.then(|| vec![Cost::default(); program.plan.rules.len()]);
            self.by_layout.push(program);
            self.by_layout.len() - 1
        });
        &mut self.by_layout[at]
    }
}
