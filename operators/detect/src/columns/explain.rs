//! A compiled rule in words: the tree as the engine asks it, what wakes it, which columns it reads.
use super::plan::{KeyId, LitId, Literal, Node, Plan, Source};
use super::{Program, home};
use crate::expr::{Comparison, Expr, Quantifier};
use crate::key::KeySpec;
use crate::number::Num;
use crate::predicate::{IpKind, OrderOp, Predicate, Scalar, TextOp};
use crate::rule::Rule;
use model::Severity;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Values of one condition that are shown.
const VALUES: usize = 8;

/// A rule as it is compiled for one log type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The log type.
    pub log_type: String,
    /// Filters and match expressions, a condition a line, indented below what joins them; cheapest first.
    pub conditions: Vec<String>,
    /// Conditions that wake the rule, by the column or table they stand in the index of. None: it is looked at on every
    /// event.
    pub wakes: BTreeMap<String, Vec<String>>,
    /// Columns and lookups it reads.
    pub reads: Vec<String>,
    /// Deciding it may take the whole event as JSON.
    pub whole_event: bool,
    /// Its script is run where the conditions hold.
    pub script: bool,
    /// `DynamicSeverities` in the order in which they are asked.
    pub severities: Vec<(Severity, Vec<String>)>,
}

impl Program {
    /// A rule of this program in words, if it is one of its log type.
    pub fn explain(&self, rules: &[Rule], id: &str) -> Option<Explained> {
        let at = self.plan.rules.iter().position(|c| &*rules[c.rule].meta.id == id)?;
        let (compiled, rule) = (&self.plan.rules[at], &rules[self.plan.rules[at].rule]);
        let words = Words::of(&self.plan);
        let lines = |node: &Node| {
            let mut out = Vec::new();
            words.node(node, 0, false, &mut out);
            out
        };
        let mut wakes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for lit in self.waits[at].iter().flatten() {
            if let Some(home) = home::home(&self.plan, *lit) {
                wakes.entry(self.name(home)).or_default().push(words.literal(*lit, false));
            }
        }
        let mut keys = Vec::new();
        crate::detect::keys_of(rule, &self.plan.layout.log_type, &mut |k| keys.push(k));
        let reads: BTreeSet<String> = keys.iter().map(|k| k.to_string()).collect();
        Some(Explained {
            log_type: self.plan.layout.log_type.to_string(),
            conditions: lines(&compiled.root),
            wakes,
            reads: reads.into_iter().collect(),
            whole_event: compiled.whole,
            script: !matches!(rule.body, crate::rule::Body::Yaml(_)),
            severities: compiled.severities.iter().map(|(s, n)| (*s, lines(n))).collect(),
        })
    }
}

struct Words<'p> {
    plan: &'p Plan,
    keys: BTreeMap<KeyId, &'p KeySpec>,
}

impl<'p> Words<'p> {
    fn of(plan: &'p Plan) -> Words<'p> {
        Words { plan, keys: plan.key_ids.iter().map(|(spec, id)| (*id, spec)).collect() }
    }

    fn node(&self, node: &Node, depth: usize, negated: bool, out: &mut Vec<String>) {
        let mut line = |text: String| out.push(format!("{}{text}", "  ".repeat(depth)));
        match node {
            Node::Const(b) => line((*b != negated).to_string()),
            Node::Lit(l) => line(self.literal(*l, negated)),
            Node::Not(n) if matches!(**n, Node::Lit(_) | Node::Const(_)) => self.node(n, depth, !negated, out),
            Node::Not(n) => {
                line("not".into());
                self.node(n, depth + 1, false, out);
            }
            Node::All(v) | Node::Any(v) | Node::OnlyOne(v) => {
                line(match node {
                    Node::All(_) => "all of".into(),
                    Node::Any(_) => "any of".into(),
                    _ => "exactly one of".into(),
                });
                v.iter().for_each(|n| self.node(n, depth + 1, false, out));
            }
        }
    }

    fn literal(&self, lit: LitId, negated: bool) -> String {
        let not = if negated { "not " } else { "" };
        match &self.plan.literals[lit as usize] {
            Literal::Test(key, test) => format!("{not}{} {}", self.key(*key), test_words(test)),
            Literal::Joined => format!("{not}something is joined to the event"),
            Literal::Compare(a, b, how) => format!("{not}{} {} {}", self.key(*a), comparison(*how), self.key(*b)),
            Literal::Elements(key, which, exprs) => {
                let which = match which {
                    Quantifier::Any => "an element",
                    Quantifier::All => "every element",
                    Quantifier::One => "exactly one element",
                };
                let inner: Vec<String> = exprs.iter().map(expr).collect();
                format!("{not}{which} of {}: {}", self.key(*key), inner.join(" and "))
            }
        }
    }

    fn key(&self, key: KeyId) -> String {
        let name = self.keys.get(&key).map_or_else(String::new, |k| k.to_string());
        match self.plan.source(key) {
            Source::Whole(_) => format!("{name} (in the whole event)"),
            _ => name,
        }
    }
}

/// An expression on one line.
fn expr(e: &Expr) -> String {
    let list = |v: &[Expr], with: &str| v.iter().map(expr).collect::<Vec<_>>().join(with);
    let name = |k: &KeySpec| match k.to_string() {
        name if name.is_empty() => "it".to_string(),
        name => name,
    };
    let not = |negated: &bool| if *negated { "not " } else { "" };
    match e {
        Expr::Always(b) => b.to_string(),
        Expr::Known { then, .. } => expr(then),
        Expr::Joined => "something is joined to the event".into(),
        Expr::Test { key, test, negated } => format!("{}{} {}", not(negated), name(key), test_words(test)),
        Expr::Compare { left, right, how, negated } => {
            format!("{}{} {} {}", not(negated), name(left), comparison(*how), name(right))
        }
        Expr::Elements { key, exprs, negated, .. } => {
            format!("{}elements of {} ({})", not(negated), name(key), list(exprs, " and "))
        }
        Expr::All(v) => format!("({})", list(v, " and ")),
        Expr::Any(v) => format!("({})", list(v, " or ")),
        Expr::OnlyOne(v) => format!("exactly one of ({})", list(v, ", ")),
        Expr::None(v) => format!("not ({})", list(v, " or ")),
    }
}

fn scalar(s: &Scalar) -> String {
    match s {
        Scalar::Str(s) => format!("{s:?}"),
        Scalar::Num(n) => number(n),
        Scalar::Bool(b) => b.to_string(),
    }
}

fn number(n: &Num) -> String {
    match n {
        Num::Int(i) => i.to_string(),
        Num::Float(f) => f.to_string(),
    }
}

fn sign(op: OrderOp) -> &'static str {
    match op {
        OrderOp::Greater => ">",
        OrderOp::GreaterOrEqual => ">=",
        OrderOp::Less => "<",
        OrderOp::LessOrEqual => "<=",
    }
}

fn text_op(op: TextOp, fold: bool) -> String {
    let what = match op {
        TextOp::Equals => "is",
        TextOp::StartsWith => "starts with",
        TextOp::EndsWith => "ends with",
        TextOp::Contains => "contains",
    };
    if fold { format!("{what}, ignoring case,") } else { what.into() }
}

fn comparison(how: Comparison) -> String {
    match how {
        Comparison::Equals => "=".into(),
        Comparison::Text(op, fold) | Comparison::Like(op, fold) => text_op(op, fold),
        Comparison::Contains(fold) => text_op(TextOp::Contains, fold),
        Comparison::In => "is in".into(),
        Comparison::Order(op) => sign(op).into(),
        Comparison::InCidr => "is in network".into(),
        Comparison::CidrContains => "has an address in network".into(),
    }
}

/// What is asked of a value.
fn test_words(test: &Predicate) -> String {
    match test {
        Predicate::Exists => "exists".into(),
        Predicate::Null => "is null or missing".into(),
        Predicate::Empty => "is empty, null or missing".into(),
        Predicate::NoText { missing: true } => "is no text, or an empty one".into(),
        Predicate::NoText { missing: false } => "is there and no text, or an empty one".into(),
        Predicate::Present => "exists and is not null".into(),
        Predicate::Longer(bytes) => format!("is longer than {bytes} bytes"),
        Predicate::Equals(v) => format!("= {}", scalar(v)),
        Predicate::Text { op, fold, text } => format!("{} {text:?}", text_op(*op, *fold)),
        Predicate::Contains { value, fold, .. } => format!("{} {}", text_op(TextOp::Contains, *fold), scalar(value)),
        Predicate::In(m) => {
            let texts = m.strings.iter().map(|s| format!("{s:?}"));
            let numbers = m.numbers.iter().map(number);
            let bools = [false, true].into_iter().filter(|b| m.bools[*b as usize]).map(|b| b.to_string());
            format!("is in {}", some(texts.chain(numbers).chain(bools).collect()))
        }
        Predicate::Order(op, v) => format!("{} {}", sign(*op), scalar(v)),
        Predicate::Ip(kind) => match kind {
            IpKind::Any => "is an IP address".into(),
            IpKind::V4 => "is an IPv4 address".into(),
            IpKind::V6 => "is an IPv6 address".into(),
            IpKind::Public => "is a public address".into(),
            IpKind::Private => "is no public address".into(),
        },
        Predicate::InCidr(net) => format!("is in network {net}"),
        Predicate::CidrContains(net) => format!("has an address in network {net}"),
        Predicate::Matches(regex) => format!("matches /{}/", regex.as_str()),
        Predicate::Like(like) => format!("fits {}", some(like.patterns().iter().map(|p| format!("{p:?}")).collect())),
    }
}

/// The first of some values.
fn some(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(VALUES);
    let shown = all[..all.len().min(VALUES)].join(", ");
    if more > 0 { format!("[{shown} and {more} more]") } else { format!("[{shown}]") }
}
