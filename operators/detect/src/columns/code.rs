//! Rules as straight code: which literal is asked first, and which one after its answer.
//!
//! A rule that is woken is mostly not true, and one literal could say so. [`Code`] orders the literals of each rule by what
//! they cost and how often they are true, as they were measured; one that has just woken the rule is true and comes
//! last. A rule is then a chain of steps of twelve bytes, which is walked without a look at its tree.
use super::plan::{LitId, Node};

/// The code of all rules of a plan.
#[derive(Default)]
pub struct Code {
    steps: Vec<Step>,
    /// By rule: its first step, or [`TRUE`] or [`FALSE`].
    first: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    lit: LitId,
    /// Where to go on if it is true, and if not.
    yes: u32,
    no: u32,
}

/// The rule is true.
const TRUE: u32 = u32::MAX;
/// The rule is false.
const FALSE: u32 = u32::MAX - 1;
/// Most steps of a rule, as a multiple of its literals: `OnlyOne` takes two for each, and four in another `OnlyOne`.
const MAX_GROWTH: usize = 4;

/// What is known of a literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    /// What it costs to ask, in nanoseconds, more than 0.
    pub cost: f64,
    /// How often it is true, 0.0 to 1.0.
    pub rate: f64,
}

impl Code {
    /// Add a rule. False if it would be too long; it has to be decided by its tree.
    pub fn add(&mut self, root: &Node, odds: &dyn Fn(LitId) -> Odds) -> bool {
        let (before, most) = (self.steps.len(), MAX_GROWTH * literals(root));
        let first = self.emit(&arrange(root, odds).0, TRUE, FALSE, before + most);
        if first.is_none() {
            self.steps.truncate(before);
        }
        self.first.push(first.unwrap_or(FALSE));
        first.is_some()
    }

    /// Truth of a rule.
    #[inline]
    pub fn holds(&self, rule: u32, mut literal: impl FnMut(LitId) -> bool) -> bool {
        let mut at = self.first[rule as usize];
        while let Some(step) = self.steps.get(at as usize) {
            at = if literal(step.lit) { step.yes } else { step.no };
        }
        at == TRUE
    }

    /// Steps of a tree from the last to the first; gives the first. `None`: there are more than may be.
    fn emit(&mut self, node: &Node, yes: u32, no: u32, most: usize) -> Option<u32> {
        Some(match node {
            Node::Const(true) => yes,
            Node::Const(false) => no,
            Node::Not(n) => self.emit(n, no, yes, most)?,
            Node::All(v) => v.iter().rev().try_fold(yes, |next, n| self.emit(n, next, no, most))?,
            Node::Any(v) => v.iter().rev().try_fold(no, |next, n| self.emit(n, yes, next, most))?,
            Node::OnlyOne(v) => {
                // What follows where none was true before, and where one was.
                let (mut none, mut one) = (no, yes);
                for n in v.iter().rev() {
                    none = self.emit(n, one, none, most)?;
                    one = self.emit(n, no, one, most)?;
                }
                none
            }
            Node::Lit(lit) => {
                if self.steps.len() >= most {
                    return None;
                }
                self.steps.push(Step { lit: *lit, yes, no });
                self.steps.len() as u32 - 1
            }
        })
    }
}

fn literals(node: &Node) -> usize {
    match node {
        Node::Const(_) => 0,
        Node::Lit(_) => 1,
        Node::Not(n) => literals(n),
        Node::All(v) | Node::Any(v) | Node::OnlyOne(v) => v.iter().map(literals).sum(),
    }
}

/// The tree with its branches in the order in which they are best asked, and what it costs. That is the order of cost per
/// chance to be done: with a false branch of `All`, with a true one of `Any`.
fn arrange(node: &Node, odds: &dyn Fn(LitId) -> Odds) -> (Node, Odds) {
    let branches = |v: &[Node]| v.iter().map(|n| arrange(n, odds)).collect::<Vec<_>>();
    match node {
        Node::Const(b) => (Node::Const(*b), Odds { cost: 0.0, rate: f64::from(u8::from(*b)) }),
        Node::Lit(lit) => (Node::Lit(*lit), odds(*lit)),
        Node::Not(n) => {
            let (n, o) = arrange(n, odds);
            (Node::Not(Box::new(n)), Odds { rate: 1.0 - o.rate, ..o })
        }
        Node::All(v) => {
            let (v, cost, rate) = sorted(branches(v), |o| o.rate);
            (Node::All(v), Odds { cost, rate })
        }
        Node::Any(v) => {
            let (v, cost, rate) = sorted(branches(v), |o| 1.0 - o.rate);
            (Node::Any(v), Odds { cost, rate: 1.0 - rate })
        }
        Node::OnlyOne(v) => {
            let v = branches(v);
            let cost = v.iter().map(|(_, o)| o.cost).sum();
            (Node::OnlyOne(v.into_iter().map(|(n, _)| n).collect()), Odds { cost, rate: 0.5 })
        }
    }
}

/// Least chance that is reckoned with.
const RARE: f64 = 1e-6;

/// Branches in their best order, what they cost, and how often one has to go through all of them. `on`: how often one goes on
/// after a branch.
fn sorted(mut v: Vec<(Node, Odds)>, on: impl Fn(Odds) -> f64) -> (Vec<Node>, f64, f64) {
    let key = |o: Odds| o.cost / (1.0 - on(o)).max(RARE);
    v.sort_by(|a, b| key(a.1).total_cmp(&key(b.1)));
    let (mut cost, mut through) = (0.0, 1.0);
    for (_, o) in &v {
        cost += through * o.cost;
        through *= on(*o);
    }
    (v.into_iter().map(|(n, _)| n).collect(), cost, through)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::truth::Truth;
    use proptest::prelude::*;

    /// Literals that are true by a bit each, and what was asked.
    struct Bits(u8, Vec<LitId>);

    impl Truth for Bits {
        fn literal(&mut self, lit: LitId, _: usize) -> bool {
            self.1.push(lit);
            self.0 >> lit & 1 == 1
        }
    }

    fn node() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![1 => any::<bool>().prop_map(Node::Const), 6 => (0u32..8).prop_map(Node::Lit)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let list = || prop::collection::vec(inner.clone(), 0..4);
            prop_oneof![
                inner.clone().prop_map(|n| Node::Not(Box::new(n))),
                list().prop_map(Node::All),
                list().prop_map(Node::Any),
                list().prop_map(Node::OnlyOne),
            ]
        })
    }

    #[test]
    fn what_is_rare_or_cheap_is_asked_first() {
        let odds =
            |lit: LitId| Odds { cost: [1.0, 1.0, 5.0, 1.0][lit as usize], rate: [1.0, 0.1, 0.1, 0.9][lit as usize] };
        let mut code = Code::default();
        let lits = || (0..4).map(Node::Lit).collect::<Vec<_>>();
        assert!(code.add(&Node::All(lits()), &odds) && code.add(&Node::Any(lits()), &odds));
        let asked = |rule, bits| {
            let mut truth = Bits(bits, Vec::new());
            (code.holds(rule, |l| truth.literal(l, 0)), truth.1)
        };
        assert_eq!(asked(0, 0b1111), (true, vec![1, 2, 3, 0]));
        assert_eq!(asked(0, 0b0001), (false, vec![1]));
        assert_eq!(asked(1, 0b0000), (false, vec![0, 3, 1, 2]));
        assert_eq!(asked(1, 0b0001), (true, vec![0]));
    }

    #[test]
    fn a_rule_does_not_grow_without_end() {
        let deep = |n: usize| (0..n).fold(Node::Lit(0), |n, _| Node::OnlyOne(vec![n, Node::Lit(1)]));
        let odds = |_: LitId| Odds { cost: 1.0, rate: 0.5 };
        let mut code = Code::default();
        assert!(code.add(&deep(2), &odds) && !code.add(&deep(20), &odds));
        assert!(code.steps.len() <= MAX_GROWTH * 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
        #[test]
        fn says_what_the_tree_says(
            nodes in prop::collection::vec(node(), 1..4),
            odds in prop::collection::vec((0.1f64..100.0, 0.0f64..=1.0), 8),
            bits: u8,
        ) {
            let mut code = Code::default();
            for (i, node) in nodes.iter().enumerate() {
                let odds = |lit: LitId| Odds { cost: odds[lit as usize].0, rate: odds[lit as usize].1 };
                if code.add(node, &odds) {
                    let mut truth = Bits(bits, Vec::new());
                    let want = truth.node(node, 0);
                    prop_assert_eq!(code.holds(i as u32, |l| truth.literal(l, 0)), want, "{:?}", node);
                }
            }
        }
    }
}
