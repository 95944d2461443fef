//! Conditions on texts of an event.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::event::EvDict;
use crate::value::Value;

/// A condition on an event. It is never false where the function it was found from would do anything but return `False`.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Known without an event.
    Always(bool),
    /// On one text.
    Text(Test),
    /// All hold.
    All(Vec<Condition>),
    /// One holds.
    Any(Vec<Condition>),
}

/// True if the path leads to a text of which the test says so, or to something else that is no text. Keys are exact: a
/// key that is there in another case is found by Python too, but it is no text here, so the test is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Keys of maps inside one another.
    pub path: Vec<Rc<str>>,
    /// What is asked of the text.
    pub how: How,
    /// The opposite is asked of it.
    pub negated: bool,
    /// What the test says of an event that does not have the first key, in no case of its letters.
    pub absent: bool,
    /// What it says where the first key is there and the path leads nowhere: a later key is missing, in every case of its
    /// letters, or what stands on the way is no map.
    pub inside: bool,
}

/// What is asked of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// It is one of these.
    In(BTreeSet<Rc<str>>),
    /// It begins so.
    StartsWith(Rc<str>),
    /// It ends so.
    EndsWith(Rc<str>),
    /// This is in it.
    Contains(Rc<str>),
    /// Its lower case is, begins with, ends with or has in it a text that is in lower case itself.
    Lower(Affix, Rc<str>),
    /// A regular expression of the regex crate is found in it. Nothing is known of texts over [`MAX_MATCHED`] bytes.
    ///
    /// [`MAX_MATCHED`]: super::MAX_MATCHED
    Matches(Expression),
    /// It has more bytes.
    Longer(usize),
}

/// Where a part of a text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affix {
    /// It is the text.
    Whole,
    /// At its beginning.
    Start,
    /// At its end.
    End,
    /// Anywhere.
    Anywhere,
}

/// A compiled regular expression that is compared by its text.
#[derive(Clone, Debug)]
pub struct Expression(pub regex::Regex);

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl How {
    /// Ask it of a text.
    pub fn holds(&self, text: &str) -> bool {
        match self {
            How::In(set) => set.contains(text),
            How::StartsWith(part) => text.starts_with(&**part),
            How::EndsWith(part) => text.ends_with(&**part),
            How::Contains(part) => text.contains(&**part),
            How::Lower(affix, part) => {
                let lower = text.to_lowercase();
                match affix {
                    Affix::Whole => *lower == **part,
                    Affix::Start => lower.starts_with(&**part),
                    Affix::End => lower.ends_with(&**part),
                    Affix::Anywhere => lower.contains(&**part),
                }
            }
            How::Matches(expression) => expression.0.is_match(text),
            How::Longer(bytes) => text.len() > *bytes,
        }
    }
}

impl Condition {
    /// A test on the text at a path, and what it says where the first key of the path is absent.
    pub fn text(path: &[Rc<str>], how: How, negated: bool, absent: bool) -> Condition {
        Condition::nested(path, how, negated, absent, true)
    }

    /// The same, and what it says where the path leads nowhere although the first key is there.
    pub fn nested(path: &[Rc<str>], how: How, negated: bool, absent: bool, inside: bool) -> Condition {
        match &how {
            How::In(set) if set.is_empty() && negated && absent && inside => Condition::Always(true),
            _ => Condition::Text(Test { path: path.to_vec(), how, negated, absent, inside }),
        }
    }

    /// The path leads to no text; with `absent` also where its first key is absent.
    pub fn no_text(path: &[Rc<str>], absent: bool) -> Condition {
        Condition::text(path, How::In(BTreeSet::new()), false, absent)
    }

    /// The first key of the path is there.
    pub fn present(path: &[Rc<str>]) -> Condition {
        Condition::text(&path[..path.len().min(1)], How::In(BTreeSet::new()), true, false)
    }

    /// Both hold.
    pub fn and(self, other: Condition) -> Condition {
        match (self, other) {
            (Condition::Always(true), c) | (c, Condition::Always(true)) => c,
            (Condition::Always(false), _) | (_, Condition::Always(false)) => Condition::Always(false),
            (a, b) => {
                let mut list = a.conjuncts();
                b.conjuncts().into_iter().for_each(|c| join(&mut list, c, true));
                Condition::all(list)
            }
        }
    }

    /// One of them holds.
    pub fn or(self, other: Condition) -> Condition {
        match (self, other) {
            (Condition::Always(false), c) | (c, Condition::Always(false)) => c,
            (Condition::Always(true), _) | (_, Condition::Always(true)) => Condition::Always(true),
            (a, b) => {
                let mut list = a.alternatives();
                for c in b.alternatives() {
                    if !alternative(&mut list, c) {
                        return Condition::Always(true);
                    }
                }
                if list.len() == 1 { list.remove(0) } else { Condition::Any(list) }
            }
        }
    }

    /// What it is a conjunction of.
    fn conjuncts(self) -> Vec<Condition> {
        match self {
            Condition::All(list) => list,
            one => vec![one],
        }
    }

    /// What it is a disjunction of.
    fn alternatives(self) -> Vec<Condition> {
        match self {
            Condition::Any(list) => list,
            one => vec![one],
        }
    }

    /// All of these.
    fn all(mut list: Vec<Condition>) -> Condition {
        match list.len() {
            0 => Condition::Always(true),
            1 => list.remove(0),
            _ => Condition::All(list),
        }
    }

    /// Its tests.
    pub fn size(&self) -> usize {
        match self {
            Condition::Always(_) => 0,
            Condition::Text(_) => 1,
            Condition::All(list) | Condition::Any(list) => list.iter().map(Condition::size).sum(),
        }
    }

    /// Ask it of an event.
    pub fn holds(&self, event: &EvDict) -> bool {
        match self {
            Condition::Always(b) => *b,
            Condition::Text(test) => test.holds(event),
            Condition::All(list) => list.iter().all(|c| c.holds(event)),
            Condition::Any(list) => list.iter().any(|c| c.holds(event)),
        }
    }
}

impl Test {
    fn holds(&self, event: &EvDict) -> bool {
        let Some((last, first)) = self.path.split_last() else { return true };
        if event.get(&self.path[0]).is_none() {
            return self.absent;
        }
        let inside = first.iter().try_fold(None, |at: Option<Rc<EvDict>>, key| {
            match at.as_deref().unwrap_or(event).exact(key) {
                Some(Value::EvDict(next)) => Some(Some(next)),
                _ => None,
            }
        });
        match inside.and_then(|at| at.as_deref().unwrap_or(event).exact(last)) {
            Some(Value::Str(text)) => self.how.holds(&text) != self.negated,
            _ => self.inside || !leads_nowhere(event, &self.path),
        }
    }
}

/// True if no key of the path is found in any case of its letters, from some key on, or something on the way is no map.
fn leads_nowhere(event: &EvDict, path: &[Rc<str>]) -> bool {
    let mut at: Option<Rc<EvDict>> = None;
    for (i, key) in path.iter().enumerate() {
        match at.as_deref().unwrap_or(event).get(key) {
            None => return true,
            Some(Value::EvDict(next)) => at = Some(next),
            Some(_) => return i + 1 < path.len(),
        }
    }
    false
}

/// Add an alternative to a list; false if the list holds always then.
///
/// Of the new one everything goes that the others make superfluous: `x | (not x & y)` is `x | y`, and what two
/// alternatives have in common is written once.
fn alternative(list: &mut Vec<Condition>, new: Condition) -> bool {
    let mut conjuncts = new.conjuncts();
    conjuncts.retain(|c| !list.iter().any(|old| complement(old, c)));
    if conjuncts.is_empty() {
        return false;
    }
    for old in list.iter_mut() {
        let theirs = old.clone().conjuncts();
        let (both, rest): (Vec<_>, Vec<_>) = theirs.into_iter().partition(|c| conjuncts.contains(c));
        if both.is_empty() {
            continue;
        }
        let more: Vec<Condition> = conjuncts.into_iter().filter(|c| !both.contains(c)).collect();
        let rest = if rest.is_empty() || more.is_empty() {
            Condition::Always(true)
        } else {
            Condition::all(rest).or(Condition::all(more))
        };
        *old = Condition::all(both).and(rest);
        return true;
    }
    let new = Condition::all(conjuncts);
    if list.iter().any(|old| passes_without_text(old, &new)) {
        return true;
    }
    list.retain(|old| !passes_without_text(&new, old));
    join(list, new, false);
    true
}

/// True if one is the opposite of the other where there is a text, and one of them holds where there is none.
fn complement(a: &Condition, b: &Condition) -> bool {
    match (a, b) {
        (Condition::Text(a), Condition::Text(b)) => {
            let nowhere = (a.absent || b.absent) && (a.inside || b.inside);
            a.path == b.path && a.how == b.how && a.negated != b.negated && nowhere
        }
        _ => false,
    }
}

/// True if the second says no more than that there is no text at the path of the first.
fn passes_without_text(test: &Condition, no_text: &Condition) -> bool {
    match (test, no_text) {
        (Condition::Text(test), Condition::Text(Test { path, how: How::In(set), negated: false, absent, inside })) => {
            set.is_empty() && test.path == *path && (test.absent || !absent) && (test.inside || !inside)
        }
        _ => false,
    }
}

/// True if the first is the second, or says no more than that a key is there without which the second is false.
fn implied(weak: &Condition, strong: &Condition) -> bool {
    match (weak, strong) {
        _ if weak == strong => true,
        (
            Condition::Text(Test { path, how: How::In(set), negated: true, absent: false, .. }),
            Condition::Text(strong),
        ) => set.is_empty() && path.len() == 1 && strong.path.first() == path.first() && !strong.absent,
        _ => false,
    }
}

/// Add a condition to a list. Sets of one path become one: of a conjunction the excluded texts, of a disjunction the
/// allowed ones.
fn join(list: &mut Vec<Condition>, c: Condition, all: bool) {
    if list.iter().any(|old| if all { implied(&c, old) } else { implied(old, &c) }) {
        return;
    }
    list.retain(|old| if all { !implied(old, &c) } else { !implied(&c, old) });
    if let Condition::Text(new) = &c
        && let How::In(more) = &new.how
        && new.negated == all
    {
        for old in list.iter_mut() {
            if let Condition::Text(old) = old
                && old.negated == all
                && old.path == new.path
                && let How::In(set) = &mut old.how
            {
                set.extend(more.iter().cloned());
                let both = |a: bool, b: bool| if all { a && b } else { a || b };
                (old.absent, old.inside) = (both(old.absent, new.absent), both(old.inside, new.inside));
                return;
            }
        }
    }
    list.push(c);
}
