//! What is known of values and expressions before the event is there, and what follows from it for comparisons.
use super::condition::{Condition, How};
use crate::module::Module;
use crate::ops::Cmp;
use crate::value::Value;
use std::collections::BTreeSet;
use std::rc::Rc;

pub(super) const TRUE: Condition = Condition::Always(true);
pub(super) const FALSE: Condition = Condition::Always(false);

/// What is known of a value.
#[derive(Clone, Debug)]
pub(super) enum Sym {
    /// A variable that has none yet, or may have none: reading it may raise.
    Unbound,
    /// Nothing.
    Any,
    /// The event.
    Event,
    /// A constant; what is in it does not change.
    Const(Value),
    /// What stands at a path of the event. Only where that is a text is anything known.
    Field(Rc<[Rc<str>]>),
    /// A `bool`: when it may be true, when false.
    Test(Rc<(Condition, Condition)>),
    /// A display whose elements are known.
    Items(Rc<[Sym]>),
    /// A dict display with these keys.
    Keys(Rc<[Rc<str>]>),
    /// One of these, each when its condition may hold.
    Cases(Rc<[(Condition, Sym)]>),
}

/// What is known of an expression.
#[derive(Debug)]
pub(super) struct Out {
    /// When it may be true.
    pub truthy: Condition,
    /// When it may be false.
    pub falsy: Condition,
    /// When it may be something false other than `False`.
    pub odd: Condition,
    /// When its truth may not be asked.
    pub doubt: Condition,
    /// When it may raise.
    pub raises: Condition,
    /// What it is.
    pub sym: Sym,
}

impl Out {
    /// Anything may come of it.
    pub fn any() -> Out {
        Out { raises: TRUE, ..Out::of(Sym::Any) }
    }

    /// A `bool`.
    pub fn test(truthy: Condition, falsy: Condition, raises: Condition) -> Out {
        Out { raises, ..Out::of(Sym::Test(Rc::new((truthy, falsy)))) }
    }

    /// Nothing yet.
    pub fn none() -> Out {
        Out { truthy: FALSE, falsy: FALSE, odd: FALSE, doubt: FALSE, raises: FALSE, sym: Sym::Any }
    }

    pub fn of(sym: Sym) -> Out {
        if let Sym::Cases(cases) = &sym {
            let mut out = Out { sym: sym.clone(), ..Out::none() };
            for (when, sym) in cases.iter() {
                let one = Out::of(sym.clone());
                let add = |to: &mut Condition, c: Condition| *to = std::mem::replace(to, FALSE).or(when.clone().and(c));
                add(&mut out.truthy, one.truthy);
                add(&mut out.falsy, one.falsy);
                add(&mut out.odd, one.odd);
                add(&mut out.doubt, one.doubt);
                add(&mut out.raises, one.raises);
            }
            return out;
        }
        let known = |b: bool| Condition::Always(b);
        let (truthy, falsy, odd, doubt) = match &sym {
            Sym::Unbound | Sym::Any | Sym::Cases(_) => (TRUE, TRUE, TRUE, TRUE),
            Sym::Event | Sym::Keys(_) => (TRUE, TRUE, TRUE, FALSE),
            Sym::Const(value) => match crate::ops::truthy(value) {
                Ok(b) => (known(b), known(!b), known(!b && !matches!(value, Value::Bool(_))), FALSE),
                Err(_) => (TRUE, TRUE, TRUE, TRUE),
            },
            Sym::Field(path) => {
                let empty = |negated| Condition::text(path, How::In(BTreeSet::from(["".into()])), negated);
                (empty(true), empty(false), empty(false), FALSE)
            }
            Sym::Test(test) => (test.0.clone(), test.1.clone(), FALSE, FALSE),
            Sym::Items(items) => (known(!items.is_empty()), known(items.is_empty()), known(items.is_empty()), FALSE),
        };
        let raises = known(matches!(sym, Sym::Unbound));
        Out { truthy, falsy, odd, doubt, raises, sym }
    }

    /// The same, where something before it may have raised.
    pub fn after(mut self, raises: Condition) -> Out {
        self.raises = raises.or(self.raises);
        self
    }

    /// When it, or asking for its truth, may raise.
    pub fn asked(&self) -> Condition {
        self.raises.clone().or(self.doubt.clone())
    }

    /// `not`.
    pub fn not(self) -> Out {
        let raises = self.asked();
        Out::test(self.falsy, self.truthy, raises)
    }
}

/// What a module's global is: known if no function assigns it.
pub(super) fn global(module: &Module, slot: u32) -> Out {
    if module.written.borrow().iter().any(|(written, _)| *written == slot) {
        return Out::any();
    }
    match &module.globals.borrow()[slot as usize] {
        Value::Unbound | Value::Missing(_) => Out::any(),
        value => Out::of(Sym::Const(value.clone())),
    }
}

/// A name of another module.
pub(super) fn member(module: &Module, name: &str) -> Out {
    module.slot(name).map_or_else(Out::any, |slot| global(module, slot))
}

/// `all([…])`, `any([…])` of elements that have been looked at.
pub(super) fn every(items: &[Sym], all: bool) -> Out {
    let (mut path, mut decided, mut raises) = (TRUE, FALSE, FALSE);
    for item in items {
        let one = Out::of(item.clone());
        raises = raises.or(path.clone().and(one.doubt));
        let (decides, goes_on) = if all { (one.falsy, one.truthy) } else { (one.truthy, one.falsy) };
        decided = decided.or(path.clone().and(decides));
        path = path.and(goes_on);
    }
    let (truthy, falsy) = if all { (path, decided) } else { (decided, path) };
    Out::test(truthy, falsy, raises)
}

/// A comparison.
pub(super) fn compare(op: Cmp, a: &Sym, b: &Sym) -> Out {
    let (op, negated) = match op {
        Cmp::Ne => (Cmp::Eq, true),
        Cmp::NotIn => (Cmp::In, true),
        Cmp::IsNot => (Cmp::Is, true),
        op => (op, false),
    };
    let one_of = |path: &[Rc<str>], set: BTreeSet<Rc<str>>, raises: Condition| {
        let test = |negated| Condition::text(path, How::In(set.clone()), negated);
        Out::test(test(false), test(true), raises)
    };
    let out = match (op, a, b) {
        (op, Sym::Cases(cases), other) | (op @ (Cmp::Eq | Cmp::Is), other, Sym::Cases(cases)) => {
            let mut out = Out::none();
            for (when, sym) in cases.iter() {
                let one = if let Sym::Cases(_) = sym { Out::any() } else { compare(op, sym, other) };
                let add = |to: &mut Condition, c: Condition| *to = std::mem::replace(to, FALSE).or(when.clone().and(c));
                add(&mut out.truthy, one.truthy);
                add(&mut out.falsy, one.falsy);
                add(&mut out.raises, one.raises);
            }
            Out::test(out.truthy, out.falsy, out.raises)
        }
        (Cmp::Eq, Sym::Field(path), Sym::Const(Value::Str(text)))
        | (Cmp::Eq, Sym::Const(Value::Str(text)), Sym::Field(path)) => {
            one_of(path, BTreeSet::from([text.clone()]), FALSE)
        }
        (Cmp::Eq, Sym::Field(path), Sym::Const(Value::None | Value::Bool(_) | Value::Int(_)))
        | (Cmp::Is, Sym::Field(path), Sym::Const(Value::None | Value::Bool(_))) => {
            Out::test(Condition::no_text(path), TRUE, FALSE)
        }
        (Cmp::Eq, Sym::Field(a), Sym::Field(b)) => {
            // Of two containers that are deep inside one another this raises.
            Out::test(TRUE, TRUE, Condition::no_text(a).or(Condition::no_text(b)))
        }
        (Cmp::In, Sym::Field(path), container) => match members(container) {
            Some((texts, _)) => {
                // What cannot be hashed raises in a set.
                let hashed = matches!(container, Sym::Keys(_) | Sym::Const(Value::Set(_) | Value::Dict(_)));
                let raises = if hashed { Condition::no_text(path) } else { FALSE };
                one_of(path, texts.into_iter().collect(), raises)
            }
            None => Out::any(),
        },
        (Cmp::In, Sym::Const(Value::Str(part)), Sym::Field(path)) => {
            let test = |negated| Condition::text(path, How::Contains(part.clone()), negated);
            Out::test(test(false), test(true), Condition::no_text(path))
        }
        (op, Sym::Const(a), Sym::Const(b)) => match crate::ops::compare(op, a, b) {
            Ok(b) => Out::of(Sym::Const(Value::Bool(b))),
            Err(_) => Out::any(),
        },
        _ => Out::any(),
    };
    if negated { out.not() } else { out }
}

/// Texts in a constant container, and whether nothing else is in it; `None` if something is in it that is no scalar.
pub(super) fn members(sym: &Sym) -> Option<(Vec<Rc<str>>, bool)> {
    let values: Vec<Value> = match sym {
        Sym::Items(items) => {
            let value = |s: &Sym| if let Sym::Const(v) = s { Some(v.clone()) } else { None };
            items.iter().map(value).collect::<Option<_>>()?
        }
        Sym::Keys(keys) => return Some((keys.to_vec(), true)),
        Sym::Const(Value::List(l)) => l.items.borrow().clone(),
        Sym::Const(Value::Tuple(t)) => t.0.clone(),
        Sym::Const(Value::Set(s)) => s.table.borrow().keys().cloned().collect(),
        Sym::Const(Value::Dict(d)) => d.table.borrow().keys().cloned().collect(),
        _ => return None,
    };
    let mut texts = Vec::new();
    for value in &values {
        match value {
            Value::Str(s) => texts.push(s.clone()),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
            _ => return None,
        }
    }
    let whole = texts.len() == values.len();
    Some((texts, whole))
}

/// What `startswith` takes: a text, or a tuple of them.
pub(super) fn parts(sym: &Sym) -> Option<Vec<Rc<str>>> {
    match sym {
        Sym::Const(Value::Str(s)) => Some(vec![s.clone()]),
        Sym::Const(Value::Tuple(_)) => members(sym).filter(|(_, whole)| *whole).map(|(texts, _)| texts),
        _ => None,
    }
}

/// Path of the event, or of a field of it.
pub(super) fn path_of(sym: &Sym) -> Option<&[Rc<str>]> {
    match sym {
        Sym::Event => Some(&[]),
        Sym::Field(path) => Some(path),
        _ => None,
    }
}

pub(super) fn longer(path: &[Rc<str>], keys: &[Rc<str>]) -> Rc<[Rc<str>]> {
    path.iter().chain(keys).cloned().collect()
}

/// What is known where two ways meet.
pub(super) fn merge(a: Sym, b: Sym) -> Sym {
    let same = match (&a, &b) {
        (Sym::Event, Sym::Event) => true,
        (Sym::Field(a), Sym::Field(b)) => a == b,
        (Sym::Test(a), Sym::Test(b)) => Rc::ptr_eq(a, b) || a == b,
        (Sym::Items(a), Sym::Items(b)) => Rc::ptr_eq(a, b),
        (Sym::Keys(a), Sym::Keys(b)) => Rc::ptr_eq(a, b),
        (Sym::Cases(a), Sym::Cases(b)) => Rc::ptr_eq(a, b),
        (Sym::Const(Value::Str(a)), Sym::Const(Value::Str(b))) => a == b,
        (Sym::Const(Value::Bool(a)), Sym::Const(Value::Bool(b))) => a == b,
        (Sym::Const(Value::Int(a)), Sym::Const(Value::Int(b))) => a == b,
        (Sym::Const(Value::None), Sym::Const(Value::None)) => true,
        (Sym::Const(Value::List(a)), Sym::Const(Value::List(b))) => Rc::ptr_eq(a, b),
        (Sym::Const(Value::Tuple(a)), Sym::Const(Value::Tuple(b))) => Rc::ptr_eq(a, b),
        (Sym::Const(Value::Set(a)), Sym::Const(Value::Set(b))) => Rc::ptr_eq(a, b),
        (Sym::Const(Value::Dict(a)), Sym::Const(Value::Dict(b))) => Rc::ptr_eq(a, b),
        _ => false,
    };
    match same {
        true => a,
        false if matches!(a, Sym::Unbound) || matches!(b, Sym::Unbound) => Sym::Unbound,
        false => Sym::Any,
    }
}
