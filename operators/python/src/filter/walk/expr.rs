//! Expressions.

use std::rc::Rc;

use super::super::condition::{Condition, How};
use super::super::place::Place;
use super::super::sym::{FALSE, Out, Sym, TRUE, compare, global, longer, member, members, merge, native, path_of};
use super::{MAX_CONSTANT, MAX_TESTS, MAX_UNROLL, Walk};
use crate::ir::{Clause, Collect, Comp, Expr, Item, Piece, Target};
use crate::ops::{Bin, Cmp};
use crate::table::Table;
use crate::value::Value;

impl Walk<'_, '_> {
    /// What is known of an expression.
    pub(super) fn expr(&mut self, e: &Expr) -> Option<Out> {
        self.step()?;
        Some(match e {
            Expr::Const(value) => Out::of(Sym::Const(value.clone())),
            Expr::Local(slot) => Out::of(self.slots[*slot as usize].clone()),
            Expr::Global(slot) => global(&self.module, *slot, self.around.budget.fresh),
            Expr::Not(inner) => self.expr(inner)?.not(),
            Expr::And(parts) => self.chain(parts, true)?,
            Expr::Or(parts) => self.chain(parts, false)?,
            Expr::Compare(left, rest) => match &rest[..] {
                [(op, right)] => {
                    let (a, b) = (self.expr(left)?, self.expr(right)?);
                    compare(*op, &a.sym, &b.sym).after(a.raises.or(b.raises))
                }
                // The middle of a chain is looked at once, and what comes after it perhaps not at all.
                _ => {
                    let (mut path, mut falsy) = (TRUE, FALSE);
                    let mut a = self.expr(left)?;
                    let mut raises = a.raises.clone();
                    for (op, right) in rest {
                        let before = self.slots.clone();
                        let b = self.expr(right)?;
                        self.perhaps(before);
                        let one = compare(*op, &a.sym, &b.sym);
                        raises = raises.or(path.clone().and(b.raises.clone().or(one.raises)));
                        falsy = falsy.or(path.clone().and(one.falsy));
                        path = path.and(one.truthy);
                        a = b;
                    }
                    Out::test(path, falsy, raises)
                }
            },
            Expr::If(parts) => {
                let test = self.expr(&parts.0)?;
                let before = self.slots.clone();
                let yes = self.expr(&parts.1)?;
                let after = std::mem::replace(&mut self.slots, before);
                let no = self.expr(&parts.2)?;
                self.perhaps(after);
                let raises = test.asked();
                let raises = raises.or(test.truthy.clone().and(yes.raises)).or(test.falsy.clone().and(no.raises));
                let plain = |s: &Sym| !matches!(s, Sym::Cases(_) | Sym::Items(_) | Sym::Keys(_) | Sym::Unbound);
                match plain(&yes.sym) && plain(&no.sym) {
                    true => Out::of(Sym::Cases(Rc::new([(test.truthy, yes.sym), (test.falsy, no.sym)]))).after(raises),
                    false => Out::of(Sym::Any).after(raises),
                }
            }
            Expr::Binary(op, sides) => {
                let (a, b) = (self.expr(&sides.0)?, self.expr(&sides.1)?);
                let raises = a.raises.or(b.raises);
                match (&a.sym, &b.sym) {
                    (Sym::Const(Value::Str(x)), Sym::Const(Value::Str(y)))
                        if *op == Bin::Add && x.len() + y.len() <= MAX_CONSTANT =>
                    {
                        Out::of(Sym::Const(Value::str(format!("{x}{y}")))).after(raises)
                    }
                    _ => Out::any(),
                }
            }
            Expr::FString(pieces) => self.formatted(pieces)?,
            Expr::List(items) | Expr::Tuple(items) | Expr::Set(items) => {
                let Some((syms, raises)) = self.items(items)? else { return self.lost() };
                let constant = |s: &Sym| if let Sym::Const(v) = s { Some(v.clone()) } else { None };
                let values: Option<Vec<Value>> = syms.iter().map(constant).collect();
                let sym = match (e, values) {
                    (Expr::Tuple(_), Some(values)) => Sym::Const(Value::tuple(values)),
                    // Nothing but a test for membership knows what to do with it, so it is never changed.
                    (Expr::Set(_), Some(values)) if values.iter().all(|v| matches!(v, Value::Str(_))) => {
                        let mut table = Table::default();
                        values.into_iter().for_each(|v| _ = table.set(v, Value::None));
                        Sym::Const(Value::set(table))
                    }
                    (Expr::Set(_), _) => return self.lost(),
                    _ => Sym::Items(syms.into()),
                };
                Out::of(sym).after(raises)
            }
            Expr::Dict(entries) => {
                let (mut raises, mut keys) = (FALSE, Vec::new());
                for (key, value) in entries {
                    let Some(Expr::Const(Value::Str(key))) = key else { return self.lost() };
                    keys.push(key.clone());
                    raises = raises.or(self.expr(value)?.raises);
                }
                Out::of(Sym::Keys(keys.into())).after(raises)
            }
            Expr::Func(make) if make.defaults.is_empty() && make.kw_defaults.is_empty() && make.decorated.is_none() => {
                Out::of(Sym::Any)
            }
            Expr::Index(parts) => {
                let (object, key) = (self.expr(&parts.0)?, self.expr(&parts.1)?);
                match (path_of(&object.sym), &key.sym) {
                    (Some(path), Sym::Const(Value::Str(key))) => {
                        let place = Place::new(longer(path, std::slice::from_ref(key)), None);
                        let raises = object.raises.or(place.no_text(true));
                        Out::of(Sym::Field(place)).after(raises)
                    }
                    _ => match (&object.sym, &key.sym) {
                        // There is always a first part; the second only if the separator is in the text.
                        (Sym::Split(..), Sym::Const(Value::Int(0 | -1))) => Out::of(Sym::Text).after(object.raises),
                        (Sym::Split(place, separator), Sym::Const(Value::Int(1 | -2))) => {
                            let gone = match place.gone() {
                                Some(Value::Str(text)) => Some(text.contains(&**separator)),
                                _ => None,
                            };
                            let alone = place.ask(How::Contains(separator.clone()), gone).1;
                            Out::of(Sym::Text).after(object.raises.or(alone))
                        }
                        _ => Out::any(),
                    },
                }
            }
            Expr::Attr(object, _, name) => {
                let object = self.expr(object)?;
                match &object.sym {
                    Sym::Const(Value::Module(module)) => member(module, name, self.around.budget.fresh),
                    Sym::Const(Value::NativeModule(module)) => native(module, name),
                    _ => return self.lost(),
                }
            }
            Expr::Walrus(parts) => {
                let out = self.expr(&parts.1)?;
                if !self.assign(&parts.0, out.sym.clone()) {
                    return self.lost();
                }
                out
            }
            Expr::Method(object, name, text, args) => {
                let object = self.expr(object)?;
                match &object.sym {
                    Sym::Const(Value::Module(module)) => {
                        return self.call(member(module, text, self.around.budget.fresh), args);
                    }
                    Sym::Const(Value::NativeModule(module)) => return self.call(native(module, text), args),
                    _ => return self.method(object, *name, text, args),
                }
            }
            Expr::Call(function, args) => {
                let function = self.expr(function)?;
                return self.call(function, args);
            }
            Expr::Comp(collect @ (Collect::Any | Collect::All), comp) => return self.unroll(*collect, comp),
            _ => return self.lost(),
        })
    }

    /// An expression of which nothing is known. Whatever it assigns or changes: every path through it is taken to raise, so
    /// only paths on which it was not looked at are told apart from then on.
    pub(super) fn lost(&mut self) -> Option<Out> {
        Some(Out::any())
    }

    /// What was walked last may not be looked at, and then assigns nothing.
    fn perhaps(&mut self, other: Vec<Sym>) {
        self.slots = other.into_iter().zip(std::mem::take(&mut self.slots)).map(|(a, b)| merge(a, b)).collect();
    }

    /// Take a text that is made from the budget; false if it is used up.
    pub(super) fn text(&mut self) -> bool {
        let left = self.around.budget.texts.checked_sub(1);
        self.around.budget.texts = left.unwrap_or(0);
        left.is_some()
    }

    /// An f-string of constants and of texts of the event.
    fn formatted(&mut self, pieces: &[Piece]) -> Option<Out> {
        let mut raises = if self.text() { FALSE } else { TRUE };
        let mut known = Some(String::new());
        for piece in pieces {
            match piece {
                Piece::Text(text) => known.iter_mut().for_each(|k| k.push_str(text)),
                Piece::Value(expr, repr, spec) => {
                    let out = self.expr(expr)?;
                    raises = raises.or(out.raises);
                    match (&out.sym, repr, spec) {
                        (Sym::Const(Value::Str(text)), false, None) => known.iter_mut().for_each(|k| k.push_str(text)),
                        (Sym::Field(place), false, None) => {
                            known = None;
                            raises = raises.or(place.no_text_nor(super::super::sym::is_scalar));
                            raises = raises.or(place.too_long_to_fold());
                        }
                        _ => return self.lost(),
                    }
                }
            }
        }
        let sym = known.map_or(Sym::Text, |text| Sym::Const(Value::str(text)));
        Some(Out::of(sym).after(raises))
    }

    /// `and`, `or`: the value that decides.
    fn chain(&mut self, parts: &[Expr], all: bool) -> Option<Out> {
        let mut out = Out::none();
        let (mut path, mut bools) = (TRUE, true);
        let mut ends: Option<Vec<Sym>> = None;
        for (i, part) in parts.iter().enumerate() {
            let one = self.expr(part)?;
            let last = i + 1 == parts.len();
            bools &= matches!(one.sym, Sym::Test(_) | Sym::Const(Value::Bool(_)));
            let add = |to: &mut Condition, c: &Condition| {
                *to = std::mem::replace(to, FALSE).or(path.clone().and(c.clone()));
            };
            add(&mut out.raises, &if last { one.raises.clone() } else { one.asked() });
            if all || last {
                add(&mut out.falsy, &one.falsy);
                add(&mut out.odd, &one.odd);
            }
            if !all || last {
                add(&mut out.truthy, &one.truthy);
            }
            if last {
                add(&mut out.doubt, &one.doubt);
            }
            path = path.and(if all { one.truthy } else { one.falsy });
            // A later part may not be looked at, and then assigns nothing.
            let slots = self.slots.clone();
            ends = Some(match ends {
                None => slots,
                Some(ends) => ends.into_iter().zip(slots).map(|(a, b)| merge(a, b)).collect(),
            });
        }
        self.slots = ends.unwrap_or_default();
        if bools {
            out.sym = Sym::Test(Rc::new((out.truthy.clone(), out.falsy.clone())));
        }
        Some(out)
    }

    /// Elements of a display; `None` in it if one is spread.
    pub(super) fn items(&mut self, items: &[Item]) -> Option<Option<(Vec<Sym>, Condition)>> {
        let (mut syms, mut raises) = (Vec::new(), FALSE);
        for item in items {
            let Item::One(e) = item else { return Some(None) };
            let out = self.expr(e)?;
            raises = raises.or(out.raises);
            syms.push(out.sym);
        }
        Some(Some((syms, raises)))
    }

    /// `any(value == … for x in CONSTANT)` asks whether the value is one of several constants; `None` in it if it is
    /// something else.
    fn one_of(&mut self, collect: Collect, element: &Expr, slot: u32, texts: &[Rc<str>]) -> Option<Option<Out>> {
        let (Collect::Any, Expr::Compare(left, rest)) = (collect, element) else { return Some(None) };
        let (Expr::Local(value), [(Cmp::Eq, right)]) = (&**left, &rest[..]) else { return Some(None) };
        if *value == slot {
            return Some(None);
        }
        let before = self.slots.clone();
        let mut constants = Vec::new();
        for text in texts {
            self.slots[slot as usize] = Sym::Const(Value::Str(text.clone()));
            let one = self.expr(right)?;
            match one.sym {
                Sym::Const(Value::Str(_)) if one.raises == FALSE => constants.push(one.sym),
                _ => break,
            }
        }
        self.perhaps(before);
        if constants.len() < texts.len() {
            return Some(None);
        }
        self.slots[slot as usize] = Sym::Unbound;
        let left = self.expr(left)?;
        Some(Some(compare(Cmp::In, &left.sym, &Sym::Items(constants.into())).after(left.raises)))
    }

    /// `any(… for x in CONSTANT)`, `all(…)`: one after the other.
    fn unroll(&mut self, collect: Collect, comp: &Comp) -> Option<Out> {
        let [Clause { target: Target::Local(slot), iter, ifs }] = &comp.clauses[..] else { return self.lost() };
        let over = self.expr(iter)?;
        // A list comprehension looks at every element before one decides.
        let plain = comp.cells.is_empty() && ifs.is_empty() && comp.generator;
        let Some(texts) = members(&over.sym).filter(|(t, whole)| plain && *whole && t.len() <= MAX_UNROLL) else {
            return self.lost();
        };
        if let Some(out) = self.one_of(collect, &comp.element, *slot, &texts.0)? {
            return Some(out.after(over.raises));
        }
        let all = collect == Collect::All;
        let (mut path, mut decided, mut raises) = (TRUE, FALSE, FALSE);
        for text in texts.0 {
            let before = self.slots.clone();
            self.slots[*slot as usize] = Sym::Const(Value::Str(text));
            let one = self.expr(&comp.element)?;
            raises = raises.or(path.clone().and(one.asked()));
            let (decides, goes_on) = if all { (one.falsy, one.truthy) } else { (one.truthy, one.falsy) };
            decided = decided.or(path.clone().and(decides));
            path = path.and(goes_on);
            // Whether this element is looked at is not known, so neither is what it assigns.
            self.slots = before.into_iter().zip(std::mem::take(&mut self.slots)).map(|(a, b)| merge(a, b)).collect();
            if path.size() + decided.size() > 2 * MAX_TESTS {
                return None;
            }
        }
        self.slots[*slot as usize] = Sym::Unbound;
        let (truthy, falsy) = if all { (path, decided) } else { (decided, path) };
        Some(Out::test(truthy, falsy, raises).after(over.raises))
    }
}
