//! Helpers that are known by their form.
//!
//! Nearly every detection asks for a nested value through one helper, a fold over the keys:
//!
//! ```python
//! def deep_get(dictionary, *keys, default=None):
//!     out = reduce(lambda d, key: d.get(key, default) if isinstance(d, Mapping) else default, keys, dictionary)
//!     if out is None:
//!         return default
//!     return out
//! ```
//!
//! Of a function that is exactly this, under any names, it is known what comes of it.

use std::rc::Rc;

use super::super::place::{Gone, Place};
use super::super::sym::{Out, Sym, is_empty, is_scalar, longer};
use super::Named;
use super::method::{folded, missing};
use crate::ir::{Args, Code, Expr, Item, Line, Stmt, Target};
use crate::module::Module;
use crate::name::Name;
use crate::ops::Cmp;
use crate::value::{Func, Type, Value};

/// What a call gives if the function is of that form, and asks for texts of the event.
pub(super) fn deep_get(func: &Rc<Func>, module: &Rc<Module>, args: &[Sym], kw: &Named) -> Option<Out> {
    if !is_deep_get(&func.code, module) {
        return None;
    }
    let (object, keys) = args.split_first()?;
    let keys: Vec<Rc<str>> = keys
        .iter()
        .map(|k| if let Sym::Const(Value::Str(k)) = k { Some(k.clone()) } else { None })
        .collect::<Option<_>>()?;
    let own = func.kw_defaults.iter().find(|(n, _)| *n == func.code.params.keyword_only[0]);
    let default = match &kw[..] {
        [] => own.map(|(_, v)| Gone::Is(v.clone())),
        [(name, sym)] if *name == func.code.params.keyword_only[0] => missing(Some(sym)),
        _ => return None,
    };
    let place = match object {
        Sym::Event if !keys.is_empty() => Place::new(longer(&[], &keys), folded(default, keys.len())),
        // Of a value for a missing key that is no map, or an empty one, comes the default.
        Sym::Field(place) if !keys.is_empty() => {
            let fold = place.gone().is_some_and(|v| is_scalar(v) || is_empty(v));
            let path = longer(&place.path, &keys);
            Place { path, gone: folded(default, 2).filter(|_| fold), deep: place.deep }
        }
        _ => return None,
    };
    Some(Out::of(Sym::Field(place)))
}

fn is_deep_get(code: &Code, module: &Module) -> bool {
    matched(code, module).is_some()
}

/// `Some` if the code is of the form. Its slots are the object, the default, the keys, the result.
fn matched(code: &Code, module: &Module) -> Option<()> {
    let params = &code.params;
    let plain = params.names.len() == 1 && params.keyword_only.len() == 1 && params.rest && !params.kw_rest;
    let yes = |b: bool| b.then_some(());
    yes(plain && code.frees.is_empty() && code.cells == [1])?;
    let body: Vec<&Stmt> =
        code.body.iter().map(|l| &l.stmt).filter(|s| !matches!(s, Stmt::Expr(Expr::Const(_)))).collect();
    let [
        Stmt::Assign(targets, Expr::Call(reduce, args)),
        Stmt::If(branches, otherwise),
        Stmt::Return(Expr::Local(result)),
    ] = &body[..]
    else {
        return None;
    };
    let [Target::Local(out)] = &targets[..] else { return None };
    yes(out == result
        && *out > 2
        && is_global(module, reduce, |v| matches!(v, Value::Native(n) if n.name == "reduce")))?;
    let [Item::One(Expr::Func(make)), Item::One(Expr::Local(2)), Item::One(Expr::Local(0))] = &args.pos[..] else {
        return None;
    };
    yes(args.kw.is_empty() && make.defaults.is_empty() && make.kw_defaults.is_empty() && make.decorated.is_none())?;
    step(&make.code, module)?;
    let [(Expr::Compare(left, rest), then)] = &branches[..] else { return None };
    let (Expr::Local(asked), [(Cmp::Is, Expr::Const(Value::None))]) = (&**left, &rest[..]) else { return None };
    let [Line { stmt: Stmt::Return(Expr::Local(1)), .. }] = &then[..] else { return None };
    yes(asked == out && otherwise.is_empty())
}

/// `lambda d, key: d.get(key, default) if isinstance(d, Mapping) else default`
fn step(code: &Code, module: &Module) -> Option<()> {
    let params = &code.params;
    let yes = |b: bool| b.then_some(());
    yes(params.names.len() == 2 && params.keyword_only.is_empty() && !params.rest && !params.kw_rest)?;
    let [(default, 1)] = &code.frees[..] else { return None };
    let [Line { stmt: Stmt::Return(Expr::If(parts)), .. }] = &code.body[..] else { return None };
    let (Expr::Call(isinstance, test), Expr::Method(object, Name::get, _, get), Expr::Local(otherwise)) =
        (&parts.0, &parts.1, &parts.2)
    else {
        return None;
    };
    let local = |item: &Item, slot: u32| matches!(item, Item::One(Expr::Local(s)) if *s == slot);
    let [asked, Item::One(class)] = positional(test)? else { return None };
    let [key, missing] = positional(get)? else { return None };
    yes(is_global(module, isinstance, |v| matches!(v, Value::Native(n) if n.name == "isinstance")))?;
    yes(is_global(module, class, |v| matches!(v, Value::Type(Type::Mapping))))?;
    yes(local(asked, 0) && matches!(**object, Expr::Local(0)) && local(key, 1) && local(missing, *default))?;
    yes(otherwise == default)
}

fn positional(args: &Args) -> Option<&[Item]> {
    args.kw.is_empty().then_some(&args.pos)
}

/// True for a constant of the module, or of the language, of which the test holds.
fn is_global(module: &Module, expr: &Expr, test: impl Fn(&Value) -> bool) -> bool {
    match expr {
        Expr::Const(value) => test(value),
        Expr::Global(slot) => {
            let written = module.written.borrow().iter().any(|(written, _)| written == slot);
            !written && test(&module.globals.borrow()[*slot as usize])
        }
        _ => false,
    }
}
