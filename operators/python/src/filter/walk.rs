//! The walk over a function.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::condition::{Condition, How};
use super::sym::{FALSE, Out, Sym, TRUE, compare, every, global, longer, member, members, merge, parts, path_of};
use super::{MAX_TESTS, MAX_WALK};
use crate::ir::{Args, Clause, Code, Collect, Comp, Expr, Item, Line, Stmt, Target};
use crate::model::{self, DataModel, Mapping};
use crate::module::Module;
use crate::name::Name;
use crate::native::MAX_WEIGHT;
use crate::table::Table;
use crate::value::{Func, Value};

/// Returns of a function that are told apart.
const MAX_CASES: usize = 16;
/// Tests of all ways that meet, up to which they are told apart.
const MAX_MEETING: usize = 40;
/// Elements of a constant over which `any(…)` and `all(…)` are unrolled.
const MAX_UNROLL: usize = 100;

/// When a function called with the event does anything but return `False`.
pub(super) fn alerts(func: &Rc<Func>, model: Option<&DataModel>) -> Condition {
    let mut budget = MAX_WALK;
    let Some(out) = call(func, vec![Sym::Event], 0, model, &mut budget) else { return TRUE };
    out.truthy.or(out.odd).or(out.raises)
}

/// Variables of a call.
struct Walk<'a> {
    code: &'a Rc<Code>,
    module: Rc<Module>,
    slots: Vec<Sym>,
    /// Of the code and of what calls it.
    weight: u32,
    model: Option<&'a DataModel>,
    budget: &'a mut u32,
    /// What the returns so far give, each under its condition.
    out: Out,
    returns: Vec<(Condition, Sym)>,
}

/// What a call gives; `None` if the budget is used up.
fn call(func: &Rc<Func>, args: Vec<Sym>, weight: u32, model: Option<&DataModel>, budget: &mut u32) -> Option<Out> {
    let code = &func.code;
    let module = func.module.upgrade()?;
    let params = &code.params;
    let plain = !params.rest && !params.kw_rest && params.keyword_only.is_empty() && func.closure.is_empty();
    let weight = weight + code.weight;
    if weight > MAX_WEIGHT / 2 || !plain || args.len() > params.names.len() || code.comp.is_some() {
        return Some(Out::any());
    }
    let mut slots = vec![Sym::Unbound; code.slots.len()];
    let missing = params.names.len() - args.len();
    let Some(from) = func.defaults.len().checked_sub(missing) else { return Some(Out::any()) };
    let defaults = func.defaults[from..].iter().map(|v| Sym::Const(v.clone()));
    args.into_iter().chain(defaults).zip(&mut slots).for_each(|(arg, slot)| *slot = arg);
    // What inner functions share may be assigned there.
    for slot in &code.cells {
        let slot = &mut slots[*slot as usize];
        *slot = if matches!(slot, Sym::Unbound) { Sym::Unbound } else { Sym::Any };
    }
    let mut walk = Walk { code, module, slots, weight, model, budget, out: Out::none(), returns: Vec::new() };
    if let Some(end) = walk.block(&code.body, TRUE)? {
        walk.give(end, Out::of(Sym::Const(Value::None)));
    }
    let (mut out, returns) = (walk.out, walk.returns);
    let is_bool = |s: &Sym| matches!(s, Sym::Test(_) | Sym::Const(Value::Bool(_)));
    out.sym = match &returns[..] {
        [(_, one)] => one.clone(),
        list if list.iter().all(|(_, s)| is_bool(s)) => Sym::Test(Rc::new((out.truthy.clone(), out.falsy.clone()))),
        list if list.len() <= MAX_CASES => Sym::Cases(returns.into()),
        _ => Sym::Any,
    };
    Some(out)
}

impl Walk<'_> {
    /// Take from the budget.
    fn step(&mut self) -> Option<()> {
        *self.budget = self.budget.checked_sub(1)?;
        Some(())
    }

    /// A return under a condition.
    fn give(&mut self, path: Condition, out: Out) {
        self.raise(path.clone().and(out.raises));
        let add = |to: &mut Condition, c: Condition| *to = std::mem::replace(to, FALSE).or(path.clone().and(c));
        add(&mut self.out.truthy, out.truthy);
        add(&mut self.out.falsy, out.falsy);
        add(&mut self.out.odd, out.odd);
        add(&mut self.out.doubt, out.doubt);
        // A variable that may have none has raised already.
        let sym = if let Sym::Unbound = out.sym { Sym::Any } else { out.sym };
        self.returns.push((path, sym));
    }

    /// An exception under a condition.
    fn raise(&mut self, when: Condition) {
        let before = std::mem::replace(&mut self.out.raises, FALSE);
        self.out.raises = before.or(when);
    }

    /// Statements under a condition; the condition under which they come to their end, if they can. `None` when the
    /// budget is used up.
    fn block(&mut self, lines: &[Line], mut path: Condition) -> Option<Option<Condition>> {
        for line in lines {
            self.step()?;
            if path.size() > MAX_TESTS {
                return None;
            }
            match &line.stmt {
                Stmt::Pass => {}
                Stmt::Expr(e) => {
                    let out = self.expr(e)?;
                    self.raise(path.clone().and(out.raises));
                }
                Stmt::Assign(targets, value) => {
                    let out = self.expr(value)?;
                    self.raise(path.clone().and(out.raises));
                    for target in targets {
                        if !self.assign(target, out.sym.clone()) {
                            self.give(path, Out::any());
                            return Some(None);
                        }
                    }
                }
                Stmt::Return(e) => {
                    let out = self.expr(e)?;
                    self.give(path, out);
                    return Some(None);
                }
                Stmt::If(branches, otherwise) => {
                    path = match self.branches(branches, otherwise, path)? {
                        Some(path) => path,
                        None => return Some(None),
                    };
                }
                Stmt::Raise(..) => {
                    self.raise(path);
                    return Some(None);
                }
                // Nothing is known of what comes of the others.
                _ => {
                    self.give(path, Out::any());
                    return Some(None);
                }
            }
        }
        Some(Some(path))
    }

    fn branches(
        &mut self,
        branches: &[(Expr, Vec<Line>)],
        otherwise: &[Line],
        mut path: Condition,
    ) -> Option<Option<Condition>> {
        let mut ends: Vec<(Condition, Vec<Sym>)> = Vec::new();
        for (test, body) in branches {
            let out = self.expr(test)?;
            self.raise(path.clone().and(out.asked()));
            let before = self.slots.clone();
            let inside = path.clone().and(out.truthy);
            if inside != FALSE
                && let Some(end) = self.block(body, inside)?
            {
                ends.push((end, std::mem::take(&mut self.slots)));
            }
            self.slots = before;
            path = path.and(out.falsy);
        }
        if path != FALSE
            && let Some(end) = self.block(otherwise, path)?
        {
            ends.push((end, self.slots.clone()));
        }
        let Some((_, first)) = ends.first() else { return Some(None) };
        // Which way it came decides what a variable is; as long as that is few tests.
        let few = ends.len() <= MAX_CASES && ends.iter().map(|(end, _)| end.size()).sum::<usize>() <= MAX_MEETING;
        let slots = (0..first.len()).map(|at| {
            let syms = || ends.iter().map(|(end, slots)| (end.clone(), slots[at].clone()));
            let merged = syms().map(|(_, s)| s).reduce(merge).unwrap_or(Sym::Any);
            let plain = |s: &Sym| !matches!(s, Sym::Cases(_) | Sym::Items(_) | Sym::Keys(_));
            match merged {
                Sym::Any if few && ends.iter().all(|(_, slots)| plain(&slots[at])) => Sym::Cases(syms().collect()),
                merged => merged,
            }
        });
        self.slots = slots.collect();
        Some(Some(ends.into_iter().map(|(end, _)| end).fold(FALSE, Condition::or)))
    }

    /// Assign; false if it may have another effect.
    fn assign(&mut self, target: &Target, sym: Sym) -> bool {
        match target {
            Target::Local(slot) => {
                let shared = self.code.cells.contains(slot);
                self.slots[*slot as usize] = if shared { Sym::Any } else { sym };
                true
            }
            // What functions assign is not read as a constant.
            Target::Global(_) => true,
            _ => false,
        }
    }

    /// What is known of an expression.
    fn expr(&mut self, e: &Expr) -> Option<Out> {
        self.step()?;
        Some(match e {
            Expr::Const(value) => Out::of(Sym::Const(value.clone())),
            Expr::Local(slot) => Out::of(self.slots[*slot as usize].clone()),
            Expr::Global(slot) => global(&self.module, *slot),
            Expr::Not(inner) => self.expr(inner)?.not(),
            Expr::And(parts) => self.chain(parts, true)?,
            Expr::Or(parts) => self.chain(parts, false)?,
            Expr::Compare(left, rest) => match &rest[..] {
                [(op, right)] => {
                    let (a, b) = (self.expr(left)?, self.expr(right)?);
                    compare(*op, &a.sym, &b.sym).after(a.raises.or(b.raises))
                }
                _ => return self.lost(),
            },
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
                        let path = longer(path, std::slice::from_ref(key));
                        let raises = object.raises.or(Condition::no_text(&path));
                        Out::of(Sym::Field(path)).after(raises)
                    }
                    _ => return self.lost(),
                }
            }
            Expr::Attr(object, _, name) => {
                let object = self.expr(object)?;
                match &object.sym {
                    Sym::Const(Value::Module(module)) => member(module, name),
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
                    Sym::Const(Value::Module(module)) => return self.call(member(module, text), args),
                    _ => return self.method(object, *name, args),
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

    /// An expression of which nothing is known: it may have assigned any variable.
    fn lost(&mut self) -> Option<Out> {
        for slot in &mut self.slots {
            *slot = Sym::Unbound;
        }
        Some(Out::any())
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
    fn items(&mut self, items: &[Item]) -> Option<Option<(Vec<Sym>, Condition)>> {
        let (mut syms, mut raises) = (Vec::new(), FALSE);
        for item in items {
            let Item::One(e) = item else { return Some(None) };
            let out = self.expr(e)?;
            raises = raises.or(out.raises);
            syms.push(out.sym);
        }
        Some(Some((syms, raises)))
    }

    fn arguments(&mut self, args: &Args) -> Option<Option<(Vec<Sym>, Condition)>> {
        let Some((syms, mut raises)) = self.items(&args.pos)? else { return Some(None) };
        for (name, e) in &args.kw {
            if name.as_deref() != Some("default") {
                return Some(None);
            }
            raises = raises.or(self.expr(e)?.raises);
        }
        Some(Some((syms, raises)))
    }

    fn method(&mut self, object: Out, name: Name, args: &Args) -> Option<Out> {
        let Some((syms, raises)) = self.arguments(args)? else { return self.lost() };
        let keyword = !args.kw.is_empty();
        let text = |s: &Sym| if let Sym::Const(Value::Str(t)) = s { Some(t.clone()) } else { None };
        let texts: Option<Vec<Rc<str>>> = syms.iter().map(text).collect();
        let before = object.raises.or(raises);
        let out = match (&object.sym, name, &texts) {
            (Sym::Event | Sym::Field(_), Name::get, _) if (1..=2).contains(&(syms.len() + usize::from(keyword))) => {
                let (Some(path), Some(Sym::Const(Value::Str(key)))) = (path_of(&object.sym), syms.first()) else {
                    return self.lost();
                };
                let root = matches!(object.sym, Sym::Event);
                let path = longer(path, std::slice::from_ref(key));
                // What is no map has no such method.
                let raises = if root { FALSE } else { Condition::no_text(&path) };
                Out::of(Sym::Field(path)).after(raises)
            }
            (Sym::Keys(keys), Name::get, _) if syms.len() == 1 && !keyword => {
                let Sym::Field(path) = &syms[0] else { return self.lost() };
                let set: BTreeSet<Rc<str>> = keys.iter().cloned().collect();
                let there = |negated| Condition::text(path, How::In(set.clone()), negated);
                let cases = [(there(false), Sym::Any), (there(true), Sym::Const(Value::None))];
                // What cannot be hashed is no key.
                Out::of(Sym::Cases(Rc::new(cases))).after(Condition::no_text(path))
            }
            (Sym::Event, Name::deep_get, Some(keys)) if !keys.is_empty() => Out::of(Sym::Field(longer(&[], keys))),
            (Sym::Event, Name::udm, Some(names)) if names.len() == 1 => match self.udm(&names[0])? {
                Some(out) => out,
                None => return self.lost(),
            },
            (Sym::Field(path), Name::startswith | Name::endswith, _) if syms.len() == 1 && !keyword => {
                let Some(parts) = parts(&syms[0]) else { return self.lost() };
                let how = |part: &Rc<str>| match name {
                    Name::startswith => How::StartsWith(part.clone()),
                    _ => How::EndsWith(part.clone()),
                };
                let none = || Condition::no_text(path);
                let any = parts.iter().map(|p| Condition::text(path, how(p), false)).fold(none(), Condition::or);
                let all = parts.iter().map(|p| Condition::text(path, how(p), true)).fold(TRUE, Condition::and);
                Out::test(any, all, none())
            }
            // A text comes of it, of which nothing is known.
            (
                Sym::Field(path),
                Name::lower | Name::upper | Name::casefold | Name::strip | Name::lstrip | Name::rstrip,
                Some(texts),
            ) if texts.is_empty() && !keyword => Out { raises: Condition::no_text(path), ..Out::of(Sym::Any) },
            _ => return self.lost(),
        };
        Some(out.after(before))
    }

    /// `event.udm(name)` where a data model maps the name; `None` in it if nothing is known of what comes of it.
    fn udm(&mut self, name: &str) -> Option<Option<Out>> {
        let Some(model) = self.model else { return Some(None) };
        let out = match model.find(name) {
            Some(Mapping::Path(path)) => match model::segments(path) {
                Some(keys) => Out::of(Sym::Field(keys.map(Rc::from).collect())),
                None => return Some(None),
            },
            Some(Mapping::Method(method)) => {
                let Some(Value::Func(func)) = model.module.as_ref().and_then(|m| m.get(method)) else {
                    return Some(None);
                };
                let out = call(&func, vec![Sym::Event], self.weight, self.model, self.budget)?;
                // A container that it gives is another one, read-only.
                let given = |s: &Sym| match s {
                    Sym::Const(Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_)) => {
                        s.clone()
                    }
                    Sym::Const(_) | Sym::Items(_) | Sym::Keys(_) | Sym::Cases(_) => Sym::Any,
                    s => s.clone(),
                };
                match &out.sym {
                    Sym::Cases(cases) => {
                        let cases: Vec<(Condition, Sym)> =
                            cases.iter().map(|(when, s)| (when.clone(), given(s))).collect();
                        Out::of(Sym::Cases(cases.into())).after(out.raises)
                    }
                    sym => Out::of(given(sym)).after(out.raises),
                }
            }
            None => return Some(None),
        };
        Some(Some(out))
    }

    fn call(&mut self, callee: Out, args: &Args) -> Option<Out> {
        let Some((syms, raises)) = self.arguments(args)? else { return self.lost() };
        if !args.kw.is_empty() {
            return self.lost();
        }
        let before = callee.raises.or(raises);
        let out = match &callee.sym {
            Sym::Const(Value::Func(func)) => {
                // A display could be changed there.
                let given =
                    syms.into_iter().map(|s| if let Sym::Items(_) | Sym::Keys(_) = s { Sym::Any } else { s }).collect();
                call(func, given, self.weight, self.model, self.budget)?
            }
            Sym::Const(Value::Native(native)) => match (native.name, &syms[..]) {
                ("all", [Sym::Items(items)]) => every(items, true),
                ("any", [Sym::Items(items)]) => every(items, false),
                _ => return self.lost(),
            },
            Sym::Const(Value::Type(crate::value::Type::Bool)) if syms.len() == 1 => {
                let one = Out::of(syms[0].clone());
                Out::test(one.truthy, one.falsy, one.doubt)
            }
            _ => return self.lost(),
        };
        Some(out.after(before))
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
