//! The rules of one log type, compiled against one layout.
//!
//! Equal keys and equal conditions of different rules become one: a *literal* is an affirmative condition on keys of
//! the event, a rule a tree of literals. What a literal costs decides the order in which a tree asks for them.
use super::hasher;
use crate::expr::{Comparison, Expr, Quantifier};
use crate::key::KeySpec;
use crate::predicate::Predicate;
use crate::rule::Rule;
use crate::{detect, scope};
use model::path::Seg;
use model::{Layout, Path, Severity};
use std::collections::HashMap;
use std::sync::Arc;

/// Cost of making a whole event, in nanoseconds.
const WHOLE: u32 = 10_000;

/// Index of a [`Source`] in [`Plan::keys`].
pub type KeyId = u32;
/// Index of a [`Literal`] in [`Plan::literals`].
pub type LitId = u32;

/// Where the value of a key is read.
#[derive(Clone, Debug)]
pub enum Source {
    /// A column.
    Column(u32),
    /// Inside the list or object of a column.
    Within {
        /// The column.
        slot: u32,
        /// Path from there.
        rest: Path,
    },
    /// An indicator field, `p_any_…`.
    Any(Arc<str>),
    /// The name of the log type.
    LogType,
    /// A field of a joined lookup row.
    Join {
        /// Index in [`Plan::joins`].
        join: u32,
        /// Name of the table's column, if the path has only keys.
        column: Option<String>,
        /// Path in the row.
        path: Path,
    },
    /// The first that is not null.
    First(Vec<KeyId>),
    /// The whole event.
    Whole(KeySpec),
}

/// An affirmative condition.
#[derive(Clone, Debug)]
pub enum Literal {
    /// On one value.
    Test(KeyId, Predicate),
    /// On two values.
    Compare(KeyId, KeyId, Comparison),
    /// On the elements of a list.
    Elements(KeyId, Quantifier, Vec<Expr>),
    /// Something is joined to the row.
    Joined,
}

/// A condition of a rule.
#[derive(Clone, Debug)]
pub enum Node {
    /// Known at compile time.
    Const(bool),
    /// A literal.
    Lit(LitId),
    /// The opposite.
    Not(Box<Node>),
    /// All of them, cheapest first.
    All(Vec<Node>),
    /// Any of them, cheapest first.
    Any(Vec<Node>),
    /// Exactly one of them.
    OnlyOne(Vec<Node>),
}

/// A compiled rule.
#[derive(Debug)]
pub struct Compiled {
    /// Index among the rules of the node.
    pub rule: usize,
    /// Inline filters, and the body if it is YAML.
    pub root: Node,
    /// True if deciding it may take the whole event.
    pub whole: bool,
    /// Rough cost of deciding that it does not match, in nanoseconds.
    pub no: f64,
    /// `DynamicSeverities`.
    pub severities: Vec<(Severity, Node)>,
}

/// Rules of one log type over one layout.
pub struct Plan {
    /// The layout; kept so that its address stays its own.
    pub layout: Arc<Layout>,
    /// Sources of keys.
    pub keys: Vec<Source>,
    /// Key of a specifier.
    pub key_ids: HashMap<KeySpec, KeyId, ahash::RandomState>,
    /// `(table, selector)` of lookups.
    pub joins: Vec<(Arc<str>, Arc<str>)>,
    /// Literals.
    pub literals: Vec<Literal>,
    /// Rules, in the order of the node.
    pub rules: Vec<Compiled>,
}

impl Plan {
    /// Compile the rules that are for the layout's log type.
    pub fn new(rules: &[Rule], layout: &Arc<Layout>) -> Plan {
        let mut c = Compiler { plan: Plan::empty(layout), known: HashMap::new() };
        for (i, rule) in rules.iter().enumerate().filter(|(_, r)| r.log_types.contains(&layout.log_type)) {
            let root = c.all(rule.filters.iter().chain(rule.body.columns(&layout.log_type)));
            let severities = rule.dynamic_severities.iter().map(|(s, v)| (*s, c.all(v))).collect();
            c.plan.rules.push(Compiled { rule: i, root, whole: false, no: 0.0, severities });
            detect::keys_of(rule, &layout.log_type, &mut |k| _ = c.key(k));
        }
        let mut plan = c.plan;
        let costs: Vec<u32> = (0..plan.literals.len() as LitId).map(|l| plan.literal_cost(l)).collect();
        for r in &mut plan.rules {
            r.whole = order(&mut r.root, &costs) >= WHOLE;
            r.no = no(&r.root, &costs);
            r.severities.iter_mut().for_each(|(_, n)| _ = order(n, &costs));
        }
        plan
    }

    fn empty(layout: &Arc<Layout>) -> Plan {
        Plan {
            layout: layout.clone(),
            keys: Vec::new(),
            key_ids: HashMap::with_hasher(hasher()),
            joins: Vec::new(),
            literals: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// Source of a key.
    pub fn source(&self, key: KeyId) -> &Source {
        &self.keys[key as usize]
    }

    /// Rough cost of a literal on one row, in nanoseconds.
    pub fn literal_cost(&self, lit: LitId) -> u32 {
        match &self.literals[lit as usize] {
            Literal::Test(key, test) => self.read_cost(*key) + test_cost(test),
            Literal::Compare(a, b, _) => self.read_cost(*a) + self.read_cost(*b) + 5,
            Literal::Elements(key, ..) => self.read_cost(*key) + 500,
            Literal::Joined => 3,
        }
    }

    fn read_cost(&self, key: KeyId) -> u32 {
        match self.source(key) {
            Source::Column(_) | Source::LogType | Source::Join { .. } => 3,
            Source::Within { .. } => 500,
            Source::Any(_) => 1_000,
            Source::Whole(_) => WHOLE,
            Source::First(keys) => keys.iter().map(|k| self.read_cost(*k)).fold(0, u32::saturating_add),
        }
    }
}

/// Rough cost of a test on a text, in nanoseconds.
fn test_cost(test: &Predicate) -> u32 {
    match test {
        Predicate::Like(like) if like.is_plain() => 20,
        Predicate::Like(like) => 60 + like.patterns().len().min(100) as u32,
        test if is_costly(test) => 60,
        _ => 2,
    }
}

/// True if a test on a text is worth remembering per distinct text.
pub fn is_costly(test: &Predicate) -> bool {
    match test {
        Predicate::Text { fold, .. } => *fold,
        Predicate::In(m) => m.strings.len() > 64,
        Predicate::Matches(_) | Predicate::Contains { .. } | Predicate::Ip(_) => true,
        Predicate::InCidr(_) | Predicate::CidrContains(_) | Predicate::Like(_) => true,
        _ => false,
    }
}

/// Visiting a literal, in nanoseconds.
const VISIT: f64 = 6.0;

/// Rough cost of finding out that an ordered tree does not hold: of a conjunction the first branch says so.
fn no(node: &Node, costs: &[u32]) -> f64 {
    match node {
        Node::Const(_) => 0.0,
        Node::Lit(l) => VISIT + f64::from(costs[*l as usize]),
        Node::Not(n) => no(n, costs),
        Node::All(v) => v.first().map_or(0.0, |n| no(n, costs)),
        Node::Any(v) | Node::OnlyOne(v) => v.iter().map(|n| no(n, costs)).sum(),
    }
}

/// Sort the branches of a tree by cost and give its cost.
fn order(node: &mut Node, costs: &[u32]) -> u32 {
    match node {
        Node::Const(_) => 0,
        Node::Lit(l) => costs[*l as usize],
        Node::Not(n) => order(n, costs),
        Node::OnlyOne(v) => v.iter_mut().map(|n| order(n, costs)).fold(0, u32::saturating_add),
        Node::All(v) | Node::Any(v) => {
            let mut keyed: Vec<(u32, Node)> =
                std::mem::take(v).into_iter().map(|mut n| (order(&mut n, costs), n)).collect();
            keyed.sort_by_key(|(cost, _)| *cost);
            let total = keyed.iter().map(|(cost, _)| *cost).fold(0, u32::saturating_add);
            v.extend(keyed.into_iter().map(|(_, n)| n));
            total
        }
    }
}

struct Compiler {
    plan: Plan,
    /// Literals by their text: equal conditions print equally.
    known: HashMap<String, LitId>,
}

impl Compiler {
    fn all<'a>(&mut self, exprs: impl IntoIterator<Item = &'a Expr>) -> Node {
        let mut out = Vec::new();
        for e in exprs {
            match self.node(e) {
                Node::Const(true) => {}
                Node::Const(false) => return Node::Const(false),
                Node::All(v) => out.extend(v),
                n => out.push(n),
            }
        }
        match out.len() {
            0 => Node::Const(true),
            1 => out.remove(0),
            _ => Node::All(out),
        }
    }

    fn any(&mut self, exprs: &[Expr]) -> Node {
        let mut out = Vec::new();
        for e in exprs {
            match self.node(e) {
                Node::Const(false) => {}
                Node::Const(true) => return Node::Const(true),
                Node::Any(v) => out.extend(v),
                n => out.push(n),
            }
        }
        match out.len() {
            0 => Node::Const(false),
            1 => out.remove(0),
            _ => Node::Any(out),
        }
    }

    fn node(&mut self, e: &Expr) -> Node {
        match e {
            Expr::Always(b) => Node::Const(*b),
            Expr::Joined => self.literal(Literal::Joined, false),
            Expr::Known { path, then, otherwise } => {
                self.node(if self.plan.layout.full.may_have_twin(path) { otherwise } else { then })
            }
            Expr::All(v) => self.all(v),
            Expr::Any(v) => self.any(v),
            Expr::None(v) => not(self.any(v)),
            Expr::OnlyOne(v) => Node::OnlyOne(v.iter().map(|e| self.node(e)).collect()),
            Expr::Test { key, test, negated } => {
                let id = self.key(key);
                match self.plan.source(id) {
                    Source::LogType => Node::Const(test.on_str(&self.plan.layout.log_type) != *negated),
                    _ => self.literal(Literal::Test(id, test.clone()), *negated),
                }
            }
            Expr::Compare { left, right, how, negated } => {
                let lit = Literal::Compare(self.key(left), self.key(right), *how);
                self.literal(lit, *negated)
            }
            Expr::Elements { key, which, negated, exprs } => {
                let lit = Literal::Elements(self.key(key), *which, exprs.clone());
                self.literal(lit, *negated)
            }
        }
    }

    fn literal(&mut self, lit: Literal, negated: bool) -> Node {
        let literals = &mut self.plan.literals;
        let id = *self.known.entry(format!("{lit:?}")).or_insert_with(|| {
            literals.push(lit);
            literals.len() as LitId - 1
        });
        if negated { not(Node::Lit(id)) } else { Node::Lit(id) }
    }

    fn key(&mut self, spec: &KeySpec) -> KeyId {
        if let Some(id) = self.plan.key_ids.get(spec) {
            return *id;
        }
        let source = self.source(spec);
        self.plan.keys.push(source);
        let id = self.plan.keys.len() as KeyId - 1;
        self.plan.key_ids.insert(spec.clone(), id);
        id
    }

    fn source(&mut self, spec: &KeySpec) -> Source {
        match spec {
            KeySpec::FirstOf(specs) => Source::First(specs.iter().map(|s| self.key(s)).collect()),
            KeySpec::Path(path) => self.path(path).unwrap_or_else(|| Source::Whole(spec.clone())),
            // `p_match` is not in the table but in the event.
            KeySpec::Enrich(e) if e.field.root() == Some("p_match") => Source::Whole(spec.clone()),
            KeySpec::Enrich(e) => {
                let join = (e.table.clone(), e.selector.clone());
                let at = self.plan.joins.iter().position(|j| *j == join).unwrap_or_else(|| {
                    self.plan.joins.push(join);
                    self.plan.joins.len() - 1
                });
                let keys = e.field.0.iter().map(|s| if let Seg::Key(k) = s { Some(&**k) } else { None });
                let column = keys.collect::<Option<Vec<_>>>().map(|v| v.join("."));
                Source::Join { join: at as u32, column, path: e.field.clone() }
            }
        }
    }

    fn path(&self, path: &Path) -> Option<Source> {
        let root = path.root()?;
        if path.0.len() == 1 && root == "p_log_type" {
            return Some(Source::LogType);
        }
        if path.0.len() == 1 && root.starts_with("p_any_") {
            return Some(Source::Any(root.into()));
        }
        let (column, rest) = scope::split(path)?;
        let slot = self.plan.layout.slot(&column)?;
        Some(if rest.0.is_empty() { Source::Column(slot) } else { Source::Within { slot, rest } })
    }
}

fn not(n: Node) -> Node {
    match n {
        Node::Const(b) => Node::Const(!b),
        Node::Not(n) => *n,
        n => Node::Not(Box::new(n)),
    }
}
