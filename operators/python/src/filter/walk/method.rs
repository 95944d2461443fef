//! Calls: of functions of the checkout, of methods, and of what is built in.

use std::rc::Rc;

use super::super::condition::{Affix, Condition, Expression, How};
use super::super::place::{Gone, Place};
use super::super::sym::{FALSE, Out, Sym, TRUE, constant, every, is_empty, is_scalar, longer, parts, path_of};
use super::{Named, Walk, call};
use crate::builtins::instance;
use crate::exc::Kind;
use crate::ir::Args;
use crate::model::{self, Mapping};
use crate::name::Name;
use crate::stdlib::{self, Lib, Pattern};
use crate::value::{Type, Value};

impl Walk<'_, '_> {
    /// Arguments, and when they may raise; `None` in it if one is spread.
    fn arguments(&mut self, args: &Args) -> Option<Option<(Vec<Sym>, Named, Condition)>> {
        let Some((syms, mut raises)) = self.items(&args.pos)? else { return Some(None) };
        let mut named = Vec::new();
        for (name, e) in &args.kw {
            let Some(name) = name else { return Some(None) };
            let out = self.expr(e)?;
            raises = raises.or(out.raises);
            named.push((name.clone(), out.sym));
        }
        Some(Some((syms, named, raises)))
    }

    pub(super) fn method(&mut self, object: Out, name: Name, text_of_name: &str, args: &Args) -> Option<Out> {
        let Some((syms, named, raises)) = self.arguments(args)? else { return self.lost() };
        let keyword = !named.is_empty();
        if named.iter().any(|(name, _)| &**name != "default") {
            return self.lost();
        }
        let default = || named.first().map(|(_, sym)| sym);
        let text = |s: &Sym| if let Sym::Const(Value::Str(t)) = s { Some(t.clone()) } else { None };
        let texts: Option<Vec<Rc<str>>> = syms.iter().map(text).collect();
        let before = object.raises.or(raises);
        let out = match (&object.sym, name, &texts) {
            (Sym::Event | Sym::Field(_), Name::get, _) if (1..=2).contains(&(syms.len() + usize::from(keyword))) => {
                let (Some(path), Some(Sym::Const(Value::Str(key)))) = (path_of(&object.sym), syms.first()) else {
                    return self.lost();
                };
                let path = longer(path, std::slice::from_ref(key));
                let default = missing(syms.get(1).or(default()));
                match &object.sym {
                    // What is no map has no such method.
                    Sym::Field(place) if place.gone().is_some_and(is_empty_dict) => {
                        let raises = Condition::no_text(&path, false);
                        Out::of(Sym::Field(Place { path, gone: default, deep: false })).after(raises)
                    }
                    Sym::Field(_) => {
                        let raises = Condition::no_text(&path, true);
                        Out::of(Sym::Field(Place { path, gone: None, deep: false })).after(raises)
                    }
                    _ => Out::of(Sym::Field(Place::new(path, default))),
                }
            }
            (Sym::Keys(keys), Name::get, _) if syms.len() == 1 && !keyword => {
                let Sym::Field(place) = &syms[0] else { return self.lost() };
                let gone = place.gone().and_then(|v| match v {
                    Value::Str(key) => Some(keys.contains(key)),
                    v => is_scalar(v).then_some(false),
                });
                let (there, not) = place.ask(How::In(keys.iter().cloned().collect()), gone);
                // What cannot be hashed is no key.
                let raises = place.no_text_nor(is_scalar);
                Out::of(Sym::Cases(Rc::new([(there, Sym::Any), (not, Sym::Const(Value::None))]))).after(raises)
            }
            (Sym::Event, Name::deep_get, Some(keys)) if !keys.is_empty() => {
                Out::of(Sym::Field(Place::new(longer(&[], keys), folded(missing(default()), keys.len()))))
            }
            (Sym::Event, Name::udm, Some(names)) if names.len() == 1 => match self.udm(&names[0], default())? {
                Some(out) => out,
                None => return self.lost(),
            },
            (Sym::Field(_) | Sym::Lower(_) | Sym::Upper(_), Name::startswith | Name::endswith, _)
                if syms.len() == 1 && !keyword =>
            {
                let Some(parts) = parts(&syms[0]) else { return self.lost() };
                let affix = if name == Name::startswith { Affix::Start } else { Affix::End };
                match &object.sym {
                    Sym::Field(place) => affixes(place, affix, &parts),
                    folded => folded.folded(affix, &parts),
                }
            }
            (Sym::Field(place), Name::lower | Name::upper, Some(none)) if none.is_empty() && !keyword => {
                let raises = place.no_text_nor(|v| matches!(v, Value::Str(_))).or(place.too_long_to_fold());
                let sym = if name == Name::lower { Sym::Lower(place.clone()) } else { Sym::Upper(place.clone()) };
                let raises = if self.text() { raises } else { TRUE };
                Out::of(sym).after(raises)
            }
            // A text comes of it, of which nothing is known.
            (Sym::Field(place), Name::casefold | Name::strip | Name::lstrip | Name::rstrip, Some(none))
                if none.is_empty() && !keyword =>
            {
                let raises = place.no_text_nor(|v| matches!(v, Value::Str(_))).or(place.too_long_to_fold());
                Out::of(Sym::Any).after(if self.text() { raises } else { TRUE })
            }
            (Sym::Field(place), Name::split, Some(separator)) if separator.len() == 1 && !keyword => {
                if separator[0].is_empty() || !self.text() {
                    return self.lost();
                }
                let raises = place.no_text_nor(|v| matches!(v, Value::Str(_))).or(place.too_long_to_fold());
                Out::of(Sym::Split(place.clone(), separator[0].clone())).after(raises)
            }
            (Sym::Const(Value::Str(_)), Name::lower | Name::upper, Some(none)) if none.is_empty() && !keyword => {
                let Sym::Const(Value::Str(text)) = &object.sym else { return self.lost() };
                if !self.text() || !text.is_ascii() {
                    return self.lost();
                }
                let text = if name == Name::lower { text.to_ascii_lowercase() } else { text.to_ascii_uppercase() };
                Out::of(Sym::Const(Value::str(text)))
            }
            (Sym::Field(place), Name::keys | Name::values | Name::items, Some(none)) if none.is_empty() && !keyword => {
                match place.gone() {
                    Some(gone) if is_empty_dict(gone) => {
                        let there = Condition::present(&place.path);
                        let cases = [(there.clone(), Sym::Any), (TRUE, Sym::Items(Rc::new([])))];
                        Out::of(Sym::Cases(Rc::new(cases))).after(there)
                    }
                    _ => Out::any(),
                }
            }
            (Sym::Const(Value::Lib(lib)), _, _) if syms.len() == 1 && !keyword => match &**lib {
                Lib::Pattern(pattern) => match self.search(pattern, text_of_name, &syms[0]) {
                    Some(out) => out,
                    None => return self.lost(),
                },
                _ => return self.lost(),
            },
            (Sym::Text, Name::startswith | Name::endswith, _)
                if syms.len() == 1 && !keyword && parts(&syms[0]).is_some() =>
            {
                Out::test(TRUE, TRUE, FALSE)
            }
            _ => return self.lost(),
        };
        Some(out.after(before))
    }

    /// Whether a regular expression is found; `None`: nothing is known.
    fn search(&mut self, pattern: &Pattern, method: &str, text: &Sym) -> Option<Out> {
        let Sym::Field(place) = text else { return None };
        let (regex, refused) = (pattern.regex(method)?, pattern.refused());
        self.around.budget.matches = self.around.budget.matches.checked_sub(1)?;
        let gone = match place.gone() {
            Some(Value::Str(text)) if pattern.admit(text).is_ok() => Some(regex.is_match(text)),
            _ => None,
        };
        let (found, not) = place.ask(How::Matches(Expression(regex.clone())), gone);
        let text = |v: &Value| if let Value::Str(text) = v { pattern.admit(text).is_ok() } else { false };
        let mut raises = place.no_text_nor(text).or(place.too_long_to_match());
        if refused.dollar {
            raises = raises.or(place.ask(How::EndsWith("\n".into()), Some(false)).0);
        }
        if refused.ignore {
            raises = ["İ", "ı"].iter().fold(raises, |r, i| r.or(place.ask(How::Contains((*i).into()), Some(false)).0));
        }
        if refused.words {
            raises = raises.or(place.beyond_ascii());
        }
        Some(Out::of(Sym::Cases(Rc::new([(found, Sym::Any), (not, Sym::Const(Value::None))]))).after(raises))
    }

    /// `event.udm(name)` where a data model maps the name; `None` in it if nothing is known of what comes of it.
    fn udm(&mut self, name: &str, default: Option<&Sym>) -> Option<Option<Out>> {
        let Some(model) = self.around.model else { return Some(None) };
        let out = match model.find(name) {
            Some(Mapping::Path(path)) => match model::segments(path) {
                Some(keys) => Out::of(Sym::Field(Place::new(keys.map(Rc::from).collect(), missing(default)))),
                None => return Some(None),
            },
            Some(Mapping::Method(method)) => {
                let Some(Value::Func(func)) = model.module.as_ref().and_then(|m| m.get(method)) else {
                    return Some(None);
                };
                let out = call(&func, vec![Sym::Event], Vec::new(), &mut self.around)?;
                // A container that it gives is another one, read-only.
                let given = |s: &Sym| match s {
                    Sym::Const(v) if is_scalar(v) => s.clone(),
                    Sym::Const(_) | Sym::Items(_) | Sym::Keys(_) | Sym::Cases(_) => Sym::Any,
                    // The value for a missing key may be such a container.
                    Sym::Field(place) if place.gone().is_some_and(|gone| !is_scalar(gone)) => {
                        Sym::Field(Place { gone: None, ..place.clone() })
                    }
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

    pub(super) fn call(&mut self, callee: Out, args: &Args) -> Option<Out> {
        let Some((syms, named, raises)) = self.arguments(args)? else { return self.lost() };
        let before = callee.raises.or(raises);
        let out = match &callee.sym {
            Sym::Const(Value::Func(func)) => {
                // A display could be changed there.
                let given = |s| if let Sym::Items(_) | Sym::Keys(_) = s { Sym::Any } else { s };
                let named = named.into_iter().map(|(name, s)| (name, given(s))).collect();
                call(func, syms.into_iter().map(given).collect(), named, &mut self.around)?
            }
            Sym::Const(Value::Native(native)) if named.is_empty() => match (native.name, &syms[..]) {
                ("all", [Sym::Items(items)]) => every(items, true),
                ("any", [Sym::Items(items)]) => every(items, false),
                ("isinstance", [object, Sym::Const(class)]) => match is_a(object, class) {
                    Some(out) => out,
                    None => return self.lost(),
                },
                ("len", [Sym::Field(place)]) => {
                    Out::of(Sym::Any).after(place.no_text_nor(|v| is_empty(v) || matches!(v, Value::Str(_))))
                }
                ("ip_address", [Sym::Field(place)]) => self.address(place, Kind::ValueError),
                ("search" | "match" | "fullmatch", [Sym::Const(Value::Str(source)), text]) => {
                    let known = stdlib::known_pattern(source).filter(|_| is_native("re", native));
                    let steps = 1_000 + 20 * u32::try_from(source.len()).unwrap_or(u32::MAX / 32);
                    let found = known.filter(|_| self.around.budget.take(steps).is_some());
                    match found.and_then(|pattern| self.search(&pattern, native.name, text)) {
                        Some(out) => out,
                        None => return self.lost(),
                    }
                }
                _ => return self.lost(),
            },
            Sym::Const(Value::Type(Type::Bool)) if syms.len() == 1 && named.is_empty() => {
                let one = Out::of(syms[0].clone());
                Out::test(one.truthy, one.falsy, one.doubt)
            }
            // A text stays what it is.
            Sym::Const(Value::Type(Type::Str)) if syms.len() == 1 && named.is_empty() => match &syms[0] {
                Sym::Field(place) => {
                    let raises = place.no_text_nor(is_scalar);
                    let gone = place.gone.clone().filter(|g| matches!(g, Gone::Text | Gone::Is(Value::Str(_))));
                    Out::of(Sym::Field(Place { gone, ..place.clone() })).after(raises)
                }
                _ => return self.lost(),
            },
            Sym::Const(Value::Type(Type::Ipv4Address | Type::Ipv6Address)) if named.is_empty() => match &syms[..] {
                [Sym::Field(place)] => self.address(place, Kind::AddressValueError),
                _ => return self.lost(),
            },
            _ => return self.lost(),
        };
        Some(out.after(before))
    }

    /// An address from a text: one, or an exception of this class.
    fn address(&mut self, place: &Place, kind: Kind) -> Out {
        let scoped = place.ask(How::Contains("%".into()), Some(false)).0;
        let odd = place.no_text_nor(|v| match v {
            Value::None => true,
            Value::Str(text) => !text.contains('%'),
            _ => false,
        });
        let wrong = match &mut self.wrong {
            Some((known, when)) if *when == FALSE || *known == kind => {
                (*known, *when) = (kind, TRUE);
                FALSE
            }
            _ => TRUE,
        };
        Out::of(Sym::Any).after(odd.or(scoped).or(wrong))
    }
}

/// What an event without the key gives for it; `None`: not known.
pub(super) fn missing(default: Option<&Sym>) -> Option<Gone> {
    match default {
        None => Some(Gone::Is(Value::None)),
        Some(Sym::Text) => Some(Gone::Text),
        Some(sym) => constant(sym).map(Gone::Is),
    }
}

/// The same for several keys in one go: where one is missing, the walk goes on in the default.
pub(super) fn folded(gone: Option<Gone>, keys: usize) -> Option<Gone> {
    gone.filter(|gone| match gone {
        Gone::Is(value) => keys == 1 || is_scalar(value) || is_empty(value),
        Gone::Text => true,
    })
}

fn is_empty_dict(value: &Value) -> bool {
    matches!(value, Value::Dict(_)) && is_empty(value)
}

/// True if it is the function of this name of a native module.
fn is_native(module: &'static str, function: &'static crate::native::NativeFn) -> bool {
    matches!(stdlib::member(module, function.name), Value::Native(own) if std::ptr::eq(own, function))
}

/// Whether a text begins or ends with one of these parts.
fn affixes(place: &Place, affix: Affix, parts: &[Rc<str>]) -> Out {
    let gone = if let Some(Value::Str(text)) = place.gone() { Some(text) } else { None };
    let raises = place.no_text_nor(|v| matches!(v, Value::Str(_)));
    let (mut any, mut all) = (raises.clone(), TRUE);
    for part in parts {
        let how = match affix {
            Affix::Start => How::StartsWith(part.clone()),
            _ => How::EndsWith(part.clone()),
        };
        let gone = gone.map(|text| how.holds(text));
        let (yes, no) = place.ask(how, gone);
        any = any.or(yes);
        all = all.and(no);
    }
    Out::test(any, all, raises)
}

/// `isinstance(object, class)` of a place in the event; `None`: nothing is known.
fn is_a(object: &Sym, class: &Value) -> Option<Out> {
    if let Sym::Const(value) = object {
        return instance(value, class).ok().map(|b| Out::of(Sym::Const(Value::Bool(b))));
    }
    let Sym::Field(place) = object else { return None };
    let known = |v: &Value| instance(v, class).ok();
    // Whatever stands there, the question can be asked.
    known(&Value::None)?;
    let gone = place.gone().and_then(known);
    Some(match known(&Value::str(""))? {
        true => Out::test(TRUE, place.no_text(gone != Some(true)), FALSE),
        false => Out::test(place.no_text(gone != Some(false)), TRUE, FALSE),
    })
}
