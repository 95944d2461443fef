//! What is known of values and expressions before the event is there, and what follows from it for comparisons.
use super::condition::{Affix, Condition, How};
use super::place::Place;
use crate::module::Module;
use crate::ops::Cmp;
use crate::table::Table;
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
    Field(Place),
    /// The text there in lower case.
    Lower(Place),
    /// The text there in upper case.
    Upper(Place),
    /// A text of which nothing is known.
    Text,
    /// The parts of the text there between texts of this kind.
    Split(Place, Rc<str>),
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
            Sym::Event | Sym::Keys(_) | Sym::Text => (TRUE, TRUE, TRUE, FALSE),
            // There is one at least.
            Sym::Split(..) => (TRUE, FALSE, FALSE, FALSE),
            Sym::Const(value) => match crate::ops::truthy(value) {
                Ok(b) => (known(b), known(!b), known(!b && !matches!(value, Value::Bool(_))), FALSE),
                Err(_) => (TRUE, TRUE, TRUE, TRUE),
            },
            // No text becomes empty, and no empty one anything else, when the case of its letters changes.
            Sym::Field(place) | Sym::Lower(place) | Sym::Upper(place) => {
                let gone = |test: &dyn Fn(&Value) -> Option<bool>| place.gone().and_then(test);
                let empty = || How::In(BTreeSet::from(["".into()]));
                let (falsy, truthy) = place.ask(empty(), gone(&|v| crate::ops::truthy(v).ok().map(|b| !b)));
                let odd = gone(&|v| Some(!matches!(v, Value::Bool(_)) && !crate::ops::truthy(v).ok()?));
                (truthy, falsy, place.ask(empty(), odd).0, FALSE)
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

/// What a module's global is: known if no function assigns it, or none has yet (`fresh`). Every event begins anew.
pub(super) fn global(module: &Module, slot: u32, fresh: bool) -> Out {
    if let Some((_, first)) = module.written.borrow().iter().find(|(written, _)| *written == slot) {
        return match first {
            Value::Unbound | Value::Missing(_) => Out::any(),
            value if fresh => Out::of(Sym::Const(value.clone())),
            _ => Out::any(),
        };
    }
    match &module.globals.borrow()[slot as usize] {
        Value::Unbound | Value::Missing(_) => Out::any(),
        value => Out::of(Sym::Const(value.clone())),
    }
}

/// A name of another module.
pub(super) fn member(module: &Module, name: &str, fresh: bool) -> Out {
    module.slot(name).map_or_else(Out::any, |slot| global(module, slot, fresh))
}

/// A name of a native module.
pub(super) fn native(module: &'static str, name: &str) -> Out {
    match crate::stdlib::member(module, name) {
        Value::Missing(_) => Out::any(),
        value => Out::of(Sym::Const(value)),
    }
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
    let gone = |place: &Place, other: &Value| place.gone().and_then(|v| crate::ops::compare(op, v, other).ok());
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
        (Cmp::Eq, Sym::Field(place), Sym::Const(value @ Value::Str(text)))
        | (Cmp::Eq, Sym::Const(value @ Value::Str(text)), Sym::Field(place)) => {
            let (truthy, falsy) = place.ask(How::In(BTreeSet::from([text.clone()])), gone(place, value));
            Out::test(truthy, falsy, FALSE)
        }
        (Cmp::Eq, Sym::Field(place), Sym::Const(value @ (Value::None | Value::Bool(_) | Value::Int(_))))
        | (Cmp::Is, Sym::Field(place), Sym::Const(value @ (Value::None | Value::Bool(_)))) => {
            let (truthy, falsy) = place.ask(How::In(BTreeSet::new()), gone(place, value));
            Out::test(truthy, falsy, FALSE)
        }
        (Cmp::Eq, Sym::Field(a), Sym::Field(b)) => {
            // Of two containers that are deep inside one another this raises.
            Out::test(TRUE, TRUE, a.no_text_nor(is_scalar).or(b.no_text_nor(is_scalar)))
        }
        (Cmp::In, Sym::Field(place), container) => match members(container) {
            Some((texts, _)) => {
                // What cannot be hashed raises in a set.
                let hashed = matches!(container, Sym::Keys(_) | Sym::Const(Value::Set(_) | Value::Dict(_)));
                let raises = if hashed { place.no_text_nor(is_scalar) } else { FALSE };
                let gone = constant(container).and_then(|value| gone(place, &value));
                let (truthy, falsy) = place.ask(How::In(texts.into_iter().collect()), gone);
                Out::test(truthy, falsy, raises)
            }
            None => Out::any(),
        },
        (Cmp::In, Sym::Const(value @ Value::Str(part)), Sym::Field(place)) => {
            let gone = place.gone().and_then(|v| crate::ops::compare(op, value, v).ok());
            let (truthy, falsy) = place.ask(How::Contains(part.clone()), gone);
            Out::test(truthy, falsy, place.no_text_nor(|v| crate::ops::compare(op, value, v).is_ok()))
        }
        (Cmp::Eq, Sym::Lower(_) | Sym::Upper(_), Sym::Const(Value::Str(text))) => {
            a.folded(Affix::Whole, std::slice::from_ref(text))
        }
        (Cmp::Eq, Sym::Const(Value::Str(text)), Sym::Lower(_) | Sym::Upper(_)) => {
            b.folded(Affix::Whole, std::slice::from_ref(text))
        }
        (Cmp::In, Sym::Lower(_) | Sym::Upper(_), container) => match members(container) {
            Some((texts, _)) => a.folded(Affix::Whole, &texts),
            None => Out::any(),
        },
        (Cmp::In, Sym::Const(Value::Str(part)), Sym::Lower(_) | Sym::Upper(_)) => {
            b.folded(Affix::Anywhere, std::slice::from_ref(part))
        }
        (Cmp::Eq, Sym::Text, Sym::Const(Value::Str(_))) | (Cmp::Eq, Sym::Const(Value::Str(_)), Sym::Text) => {
            Out::test(TRUE, TRUE, FALSE)
        }
        (Cmp::In, Sym::Text, container) if members(container).is_some() => Out::test(TRUE, TRUE, FALSE),
        (Cmp::In, Sym::Const(value), Sym::Items(_) | Sym::Keys(_)) if is_scalar(value) => {
            match constant(b).and_then(|container| crate::ops::compare(op, value, &container).ok()) {
                Some(b) => Out::of(Sym::Const(Value::Bool(b))),
                None => Out::any(),
            }
        }
        (op, Sym::Const(a), Sym::Const(b)) => match crate::ops::compare(op, a, b) {
            Ok(b) => Out::of(Sym::Const(Value::Bool(b))),
            Err(_) => Out::any(),
        },
        _ => Out::any(),
    };
    if negated { out.not() } else { out }
}

/// A value that can be compared and hashed without an exception.
pub(super) fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_))
}

impl Sym {
    /// Whether one of these parts is somewhere in a text whose case has changed.
    pub fn folded(&self, affix: Affix, parts: &[Rc<str>]) -> Out {
        let (place, upper) = match self {
            Sym::Lower(place) => (place, false),
            Sym::Upper(place) => (place, true),
            _ => return Out::any(),
        };
        let (mut truthy, mut falsy) = (FALSE, TRUE);
        for part in parts {
            let lower: Rc<str> = part.to_lowercase().into();
            let itself = if upper { part.is_ascii() && *part.to_ascii_uppercase() == **part } else { *lower == **part };
            if !itself {
                return Out::any();
            }
            let gone = match place.gone() {
                Some(Value::Str(gone)) => Some(How::Lower(affix, lower.clone()).holds(gone)),
                _ => None,
            };
            let (yes, no) = place.ask(How::Lower(affix, lower), gone);
            truthy = truthy.or(yes);
            falsy = falsy.and(no);
        }
        // Of letters beyond ASCII the upper case may be one of ASCII where the lower case is not: `ß`, `ſ`, `ı`.
        let beyond = if upper { place.beyond_ascii() } else { FALSE };
        Out::test(truthy.or(beyond.clone()), falsy.or(beyond), FALSE)
    }

    /// When iterating over it may do anything but come to its end at once.
    pub fn filled(&self) -> Condition {
        match self {
            Sym::Items(items) => Condition::Always(!items.is_empty()),
            Sym::Keys(keys) => Condition::Always(!keys.is_empty()),
            Sym::Const(value) => Condition::Always(!is_empty(value)),
            Sym::Field(place) if place.gone().is_some_and(is_empty) => Condition::present(&place.path),
            Sym::Cases(cases) => cases.iter().map(|(when, s)| when.clone().and(s.filled())).fold(FALSE, Condition::or),
            _ => TRUE,
        }
    }
}

/// True for a text or a container without anything in it.
pub(super) fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Set(_))
        && crate::ops::truthy(value).is_ok_and(|b| !b)
}

/// The value that is meant, if that is known; a container is a new one.
pub(super) fn constant(sym: &Sym) -> Option<Value> {
    Some(match sym {
        Sym::Const(value) => value.clone(),
        Sym::Items(items) => Value::list(items.iter().map(constant).collect::<Option<_>>()?),
        Sym::Keys(keys) => {
            let mut table = Table::default();
            for key in keys.iter() {
                table.set(Value::Str(key.clone()), Value::None).ok()?;
            }
            Value::dict(table)
        }
        _ => return None,
    })
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
        Sym::Field(place) => Some(&place.path),
        _ => None,
    }
}

pub(super) fn longer(path: &[Rc<str>], keys: &[Rc<str>]) -> Rc<[Rc<str>]> {
    path.iter().chain(keys).cloned().collect()
}

/// What is known where two ways meet.
pub(super) fn merge(a: Sym, b: Sym) -> Sym {
    if let (Sym::Field(a), Sym::Field(b)) = (&a, &b)
        && a.path == b.path
    {
        let gone = if a.same_gone(b) { a.gone.clone() } else { None };
        return Sym::Field(Place { path: a.path.clone(), gone, deep: a.deep && b.deep });
    }
    let same = match (&a, &b) {
        (Sym::Event, Sym::Event) | (Sym::Text, Sym::Text) => true,
        (Sym::Lower(a), Sym::Lower(b)) | (Sym::Upper(a), Sym::Upper(b)) => a.path == b.path && a.same_gone(b),
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
