//! The walk over a function: calls and statements. Expressions are in [`expr`], methods and functions that are built in in
//! [`method`].

mod expr;
mod idiom;
mod method;

use std::rc::Rc;

use super::condition::Condition;
use super::sym::{FALSE, Out, Sym, TRUE, members, merge};
use super::{MAX_MATCHES, MAX_TESTS, MAX_TEXTS, MAX_WALK};
use crate::exc::Kind;
use crate::ir::{Code, Expr, Line, Stmt, Target, Try};
use crate::model::DataModel;
use crate::module::Module;
use crate::native::MAX_WEIGHT;
use crate::value::{Func, Type, Value};

/// Returns of a function that are told apart.
const MAX_CASES: usize = 16;
/// Tests of all ways that meet, up to which they are told apart.
const MAX_MEETING: usize = 40;
/// Bytes up to which a text of two constants counts: [`MAX_WALK`] of them are less than any limit of memory.
const MAX_CONSTANT: usize = 200;
/// Elements of a constant over which `any(…)`, `all(…)` and `for` are unrolled.
const MAX_UNROLL: usize = 100;

/// When a function called with the event does anything but return `False`.
pub(super) fn alerts(func: &Rc<Func>, model: Option<&DataModel>) -> Condition {
    let mut budget = Budget { steps: MAX_WALK, texts: MAX_TEXTS, matches: MAX_MATCHES, fresh: true };
    let Some(out) = call(func, vec![Sym::Event], Vec::new(), &mut Around { model, budget: &mut budget, weight: 0 })
    else {
        return TRUE;
    };
    out.truthy.or(out.odd).or(out.raises)
}

/// What a walk may still take.
pub(super) struct Budget {
    /// Statements, expressions and what regular expressions take.
    steps: u32,
    /// Texts that are made.
    texts: u32,
    /// Regular expressions that are searched for.
    matches: u32,
    /// No global has been assigned that is read later.
    fresh: bool,
}

impl Budget {
    /// Take steps.
    fn take(&mut self, steps: u32) -> Option<()> {
        self.steps = self.steps.checked_sub(steps)?;
        Some(())
    }
}

/// What a call finds where it is made.
pub(super) struct Around<'a, 'b> {
    model: Option<&'a DataModel>,
    budget: &'b mut Budget,
    /// Weight of all code that is being walked.
    weight: u32,
}

/// Named arguments.
type Named = Vec<(Rc<str>, Sym)>;

/// Variables of a call.
struct Walk<'a, 'b> {
    code: &'a Rc<Code>,
    module: Rc<Module>,
    slots: Vec<Sym>,
    around: Around<'a, 'b>,
    /// When something may raise a `ValueError`, and only that, inside of a `try` that takes it.
    wrong: Option<(Kind, Condition)>,
    /// What the returns so far give, each under its condition.
    out: Out,
    returns: Vec<(Condition, Sym)>,
}

/// What a variable is where ways meet, by the way; those of an earlier meeting stay told apart.
fn told_apart<'s>(ends: impl Iterator<Item = (&'s Condition, &'s Sym)>) -> Option<Sym> {
    let mut cases = Vec::new();
    for (end, sym) in ends {
        match sym {
            Sym::Items(_) | Sym::Keys(_) => return None,
            Sym::Cases(earlier) => cases.extend(earlier.iter().cloned()),
            sym => cases.push((end.clone(), sym.clone())),
        }
    }
    let plain = |s: &Sym| !matches!(s, Sym::Cases(_) | Sym::Items(_) | Sym::Keys(_));
    let size: usize = cases.iter().map(|(when, _)| when.size()).sum();
    let few = cases.len() <= MAX_CASES && size <= MAX_MEETING && cases.iter().all(|(_, s)| plain(s));
    few.then(|| Sym::Cases(cases.into()))
}

/// What a call gives; `None` if the budget is used up.
fn call(func: &Rc<Func>, args: Vec<Sym>, kw: Named, around: &mut Around) -> Option<Out> {
    let code = &func.code;
    let module = func.module.upgrade()?;
    let weight = around.weight + code.weight;
    if weight > MAX_WEIGHT / 2 || code.params.kw_rest || code.comp.is_some() {
        return Some(Out::any());
    }
    if let Some(out) = idiom::deep_get(func, &module, &args, &kw) {
        around.budget.take(8 * args.len() as u32)?;
        return Some(out);
    }
    if !func.closure.is_empty() {
        return Some(Out::any());
    }
    let Some(mut slots) = bind(func, args, kw) else { return Some(Out::any()) };
    // What inner functions share may be assigned there.
    for slot in &code.cells {
        let slot = &mut slots[*slot as usize];
        *slot = if matches!(slot, Sym::Unbound) { Sym::Unbound } else { Sym::Any };
    }
    let around = Around { model: around.model, budget: around.budget, weight };
    let mut walk = Walk { code, module, slots, around, wrong: None, out: Out::none(), returns: Vec::new() };
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

/// The variables that a call begins with; `None` if the arguments may not fit.
fn bind(func: &Func, args: Vec<Sym>, kw: Named) -> Option<Vec<Sym>> {
    let (code, params) = (&func.code, &func.code.params);
    let count = params.names.len();
    if args.len() > count && !params.rest {
        return None;
    }
    let mut slots = vec![Sym::Unbound; code.slots.len()];
    let mut args = args.into_iter();
    let given = (&mut args).take(count).zip(&mut slots).map(|(arg, slot)| *slot = arg).count();
    if params.rest {
        slots[count + params.keyword_only.len()] = Sym::Items(args.collect());
    }
    for (key, sym) in kw {
        let plain = params.names.iter().skip(params.positional_only).position(|n| *n == key);
        let at = match plain.map(|at| at + params.positional_only) {
            Some(at) if at < given => return None,
            Some(at) => at,
            None => count + params.keyword_only.iter().position(|n| *n == key)?,
        };
        slots[at] = sym;
    }
    let first = count - func.defaults.len();
    for (slot, default) in slots[first..count].iter_mut().zip(&func.defaults) {
        if let Sym::Unbound = slot {
            *slot = Sym::Const(default.clone());
        }
    }
    for (slot, key) in slots[count..].iter_mut().zip(&params.keyword_only) {
        if let (Sym::Unbound, Some((_, default))) = (&slot, func.kw_defaults.iter().find(|(n, _)| n == key)) {
            *slot = Sym::Const(default.clone());
        }
    }
    let missing = slots[..count + params.keyword_only.len()].iter().any(|s| matches!(s, Sym::Unbound));
    (!missing).then_some(slots)
}

impl Walk<'_, '_> {
    /// Take from the budget.
    fn step(&mut self) -> Option<()> {
        self.around.budget.take(1)
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
                Stmt::For(head, body, otherwise) => {
                    path = match self.turns(head, body, otherwise, path)? {
                        Some(path) => path,
                        None => return Some(None),
                    };
                }
                Stmt::Try(parts) => {
                    path = match self.attempt(parts, path)? {
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
        Some(self.meet(ends))
    }

    /// Go on where several ways end, each under its condition.
    fn meet(&mut self, ends: Vec<(Condition, Vec<Sym>)>) -> Option<Condition> {
        let (_, first) = ends.first()?;
        // Which way it came decides what a variable is; as long as that is few tests.
        let few = ends.len() <= MAX_CASES && ends.iter().map(|(end, _)| end.size()).sum::<usize>() <= MAX_MEETING;
        let slots = (0..first.len()).map(|at| {
            let syms = || ends.iter().map(|(_, slots)| slots[at].clone());
            match syms().reduce(merge).unwrap_or(Sym::Any) {
                Sym::Any if few => told_apart(ends.iter().map(|(end, slots)| (end, &slots[at]))).unwrap_or(Sym::Any),
                merged => merged,
            }
        });
        self.slots = slots.collect();
        Some(ends.into_iter().map(|(end, _)| end).fold(FALSE, Condition::or))
    }

    /// A loop: over a constant one turn after the other, over something else that of which it may be empty.
    fn turns(
        &mut self,
        head: &(Target, Expr),
        body: &[Line],
        otherwise: &[Line],
        mut path: Condition,
    ) -> Option<Option<Condition>> {
        let over = self.expr(&head.1)?;
        self.raise(path.clone().and(over.raises));
        if let Some((texts, true)) = members(&over.sym)
            && texts.len() <= MAX_UNROLL
        {
            for text in texts {
                self.step()?;
                if !self.assign(&head.0, Sym::Const(Value::Str(text))) {
                    self.give(path, Out::any());
                    return Some(None);
                }
                path = match self.block(body, path)? {
                    Some(path) => path,
                    None => return Some(None),
                };
            }
            return self.block(otherwise, path);
        }
        let filled = over.sym.filled();
        if filled != FALSE {
            self.give(path.clone().and(filled), Out::any());
        }
        self.block(otherwise, path)
    }

    /// `try` around one statement of which an exception is known: what the handlers make of it.
    fn attempt(&mut self, parts: &Try, path: Condition) -> Option<Option<Condition>> {
        let [Line { stmt: Stmt::Expr(_) | Stmt::Assign(..) | Stmt::Return(_), .. }] = &parts.body[..] else {
            self.give(path, Out::any());
            return Some(None);
        };
        if !parts.finally.is_empty() {
            self.give(path, Out::any());
            return Some(None);
        }
        let before = self.slots.clone();
        let outer = self.wrong.replace((Kind::ValueError, FALSE));
        let end = self.block(&parts.body, path.clone())?;
        let (kind, wrong) = std::mem::replace(&mut self.wrong, outer).unwrap_or((Kind::ValueError, FALSE));
        // What was assigned before the exception is not known.
        let halfway = before.into_iter().zip(&self.slots).map(|(a, b)| merge(a, b.clone())).collect();
        let mut ends = Vec::new();
        if let Some(end) = end
            && let Some(end) = self.block(&parts.orelse, end)?
        {
            ends.push((end, std::mem::take(&mut self.slots)));
        }
        let inside = path.and(wrong);
        if inside != FALSE {
            self.slots = halfway;
            match parts.handlers.iter().find_map(|h| self.takes(h.0.as_ref(), kind).map(|yes| (yes, h))) {
                Some((true, (_, name, body))) => {
                    if name.as_ref().is_some_and(|name| !self.assign(name, Sym::Any)) {
                        self.give(inside, Out::any());
                    } else if let Some(end) = self.block(body, inside)? {
                        ends.push((end, std::mem::take(&mut self.slots)));
                    }
                }
                Some((false, _)) => self.give(inside, Out::any()),
                None => self.raise(inside),
            }
        }
        Some(self.meet(ends))
    }

    /// Whether a handler takes an exception; `None`: it does not, `Some(false)`: that is not known.
    fn takes(&mut self, classes: Option<&Expr>, kind: Kind) -> Option<bool> {
        fn of(value: &Value, kind: Kind) -> Option<bool> {
            match value {
                Value::Type(Type::Exc(class)) => kind.is(*class).then_some(true),
                Value::Tuple(classes) => classes.0.iter().find_map(|class| of(class, kind)),
                Value::Class(_) => None,
                _ => Some(false),
            }
        }
        match classes {
            None => Some(true),
            Some(expr) => match self.expr(expr) {
                Some(Out { sym: Sym::Const(value), raises: FALSE, .. }) => of(&value, kind),
                _ => Some(false),
            },
        }
    }

    /// Assign; false if it may have another effect.
    fn assign(&mut self, target: &Target, sym: Sym) -> bool {
        match target {
            Target::Local(slot) => {
                let shared = self.code.cells.contains(slot);
                self.slots[*slot as usize] = if shared { Sym::Any } else { sym };
                true
            }
            // From now on, what functions assign is not read as a constant.
            Target::Global(_) => {
                self.around.budget.fresh = false;
                true
            }
            _ => false,
        }
    }
}
