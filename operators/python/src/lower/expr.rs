//! Expressions.

use std::rc::Rc;

use ruff_python_ast::{self as ast, Expr as Ast, Number};

use super::{Lowerer, MAX_DEPTH};
use crate::ir::{Args, Collect, Expr, Item, Piece};
use crate::name::Name;
use crate::ops::{Bin, Cmp};
use crate::value::Value;

pub(super) fn operator(op: ast::Operator) -> Option<Bin> {
    use ast::Operator::*;
    Some(match op {
        Add => Bin::Add,
        Sub => Bin::Sub,
        Mult => Bin::Mul,
        Div => Bin::Div,
        FloorDiv => Bin::FloorDiv,
        Mod => Bin::Mod,
        Pow => Bin::Pow,
        LShift => Bin::Shl,
        RShift => Bin::Shr,
        BitAnd => Bin::And,
        BitOr => Bin::Or,
        BitXor => Bin::Xor,
        MatMult => return None,
    })
}

fn comparison(op: ast::CmpOp) -> Cmp {
    use ast::CmpOp::*;
    match op {
        Eq => Cmp::Eq,
        NotEq => Cmp::Ne,
        Lt => Cmp::Lt,
        LtE => Cmp::Le,
        Gt => Cmp::Gt,
        GtE => Cmp::Ge,
        Is => Cmp::Is,
        IsNot => Cmp::IsNot,
        In => Cmp::In,
        NotIn => Cmp::NotIn,
    }
}

pub(super) fn none() -> Expr {
    Expr::Const(Value::None)
}

impl Lowerer<'_> {
    pub(super) fn expr(&mut self, expr: &Ast) -> Expr {
        if self.depth >= MAX_DEPTH {
            return self.unknown(format!("more than {MAX_DEPTH} expressions inside one another"), expr);
        }
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        let out = self.expression(expr);
        self.depth -= 1;
        out
    }

    pub(super) fn boxed(&mut self, expr: &Ast) -> Box<Expr> {
        Box::new(self.expr(expr))
    }

    pub(super) fn many(&mut self, exprs: &[Ast]) -> Vec<Expr> {
        exprs.iter().map(|e| self.expr(e)).collect()
    }

    fn expression(&mut self, expr: &Ast) -> Expr {
        match expr {
            Ast::NoneLiteral(_) => none(),
            Ast::BooleanLiteral(b) => Expr::Const(Value::Bool(b.value)),
            Ast::StringLiteral(s) => Expr::Const(Value::str(s.value.to_str())),
            Ast::BytesLiteral(b) => {
                let bytes: Vec<u8> = b.value.iter().flat_map(|part| part.as_slice().iter().copied()).collect();
                Expr::Const(Value::Bytes(Rc::from(bytes)))
            }
            Ast::NumberLiteral(n) => match &n.value {
                Number::Int(i) => match i.as_u64() {
                    Some(i) => Expr::Const(Value::Int(i.into())),
                    None => match i.to_string().parse::<i128>() {
                        Ok(i) => Expr::Const(Value::Int(i)),
                        Err(_) => self.unknown("an integer beyond 128 bits", expr),
                    },
                },
                Number::Float(f) => Expr::Const(Value::Float(*f)),
                Number::Complex { .. } => self.unknown("a complex number", expr),
            },
            Ast::EllipsisLiteral(_) => self.unknown("`...` as a value", expr),
            Ast::Name(n) => self.name(&n.id, expr),
            Ast::BoolOp(b) => {
                let values = self.many(&b.values);
                match b.op {
                    ast::BoolOp::And => Expr::And(values),
                    ast::BoolOp::Or => Expr::Or(values),
                }
            }
            Ast::UnaryOp(u) => {
                let inner = self.boxed(&u.operand);
                match u.op {
                    ast::UnaryOp::Not => Expr::Not(inner),
                    ast::UnaryOp::USub => match *inner {
                        Expr::Const(Value::Int(i)) => Expr::Const(Value::Int(-i)),
                        Expr::Const(Value::Float(f)) => Expr::Const(Value::Float(-f)),
                        other => Expr::Unary('-', Box::new(other)),
                    },
                    ast::UnaryOp::UAdd => Expr::Unary('+', inner),
                    ast::UnaryOp::Invert => Expr::Unary('~', inner),
                }
            }
            Ast::If(i) => Expr::If(Box::new((self.expr(&i.test), self.expr(&i.body), self.expr(&i.orelse)))),
            Ast::BinOp(b) => match operator(b.op) {
                Some(op) => Expr::Binary(op, Box::new((self.expr(&b.left), self.expr(&b.right)))),
                None => self.unknown("`@`", expr),
            },
            Ast::Compare(c) => {
                let first = self.boxed(&c.left);
                let rest = c.ops.iter().zip(&c.comparators).map(|(op, e)| (comparison(*op), self.expr(e))).collect();
                Expr::Compare(first, rest)
            }
            Ast::List(l) => Expr::List(self.items(&l.elts)),
            Ast::Tuple(t) => Expr::Tuple(self.items(&t.elts)),
            Ast::Set(s) => Expr::Set(self.items(&s.elts)),
            Ast::Dict(d) => Expr::Dict(
                d.items.iter().map(|i| (i.key.as_ref().map(|k| self.expr(k)), self.expr(&i.value))).collect(),
            ),
            Ast::FString(f) => self.fstring(f),
            Ast::Attribute(a) => {
                let object = self.boxed(&a.value);
                Expr::Attr(object, Name::of(&a.attr), Rc::from(a.attr.as_str()))
            }
            Ast::Subscript(s) => {
                let object = self.expr(&s.value);
                let index = self.expr(&s.slice);
                Expr::Index(Box::new((object, index)))
            }
            Ast::Slice(s) => {
                let mut part = |e: &Option<Box<Ast>>| e.as_ref().map_or_else(none, |e| self.expr(e));
                Expr::Slice(Box::new([part(&s.lower), part(&s.upper), part(&s.step)]))
            }
            Ast::Call(c) => self.call(c),
            Ast::Named(n) => match &*n.target {
                Ast::Name(name) => {
                    let value = self.expr(&n.value);
                    let target = self.bind_walrus(&name.id);
                    Expr::Walrus(Box::new((target, value)))
                }
                _ => self.unknown("`:=` with something else than a name", expr),
            },
            Ast::ListComp(c) => self.comp(Collect::List, &c.elt, None, &c.generators, false),
            Ast::SetComp(c) => self.comp(Collect::Set, &c.elt, None, &c.generators, false),
            Ast::DictComp(c) => match &c.key {
                Some(key) => self.comp(Collect::Dict, key, Some(&c.value), &c.generators, false),
                None => self.unknown("`**` in a comprehension", expr),
            },
            Ast::Generator(g) => self.generator(g),
            Ast::Lambda(l) => {
                let empty = ast::Parameters::default();
                let params = l.parameters.as_deref().unwrap_or(&empty);
                let make = self.function("<lambda>", params, &[], Some(&l.body), expr);
                Expr::Func(Box::new(make))
            }
            Ast::Starred(_) => self.unknown("`*` here", expr),
            Ast::Yield(_) | Ast::YieldFrom(_) => self.unknown("`yield`", expr),
            Ast::Await(_) => self.unknown("`await`", expr),
            Ast::TString(_) => self.unknown("a template string", expr),
            Ast::IpyEscapeCommand(_) => self.unknown("an escape of IPython", expr),
        }
    }

    pub(super) fn items(&mut self, elts: &[Ast]) -> Vec<Item> {
        elts.iter()
            .map(|e| match e {
                Ast::Starred(s) => Item::Spread(self.expr(&s.value)),
                other => Item::One(self.expr(other)),
            })
            .collect()
    }

    fn fstring(&mut self, f: &ast::ExprFString) -> Expr {
        let mut pieces: Vec<Piece> = Vec::new();
        for part in f.value.as_slice() {
            match part {
                ast::FStringPart::Literal(s) => pieces.push(Piece::Text(Rc::from(&*s.value))),
                ast::FStringPart::FString(f) => self.pieces(&f.elements, &mut pieces),
            }
        }
        Expr::FString(pieces)
    }

    fn pieces(&mut self, elements: &ast::InterpolatedStringElements, out: &mut Vec<Piece>) {
        for element in elements.iter() {
            match element {
                ast::InterpolatedStringElement::Literal(l) => out.push(Piece::Text(Rc::from(&*l.value))),
                ast::InterpolatedStringElement::Interpolation(i) => {
                    if let Some(debug) = &i.debug_text {
                        let source = self.text(&*i.expression).to_string();
                        out.push(Piece::Text(Rc::from(format!("{}{source}{}", debug.leading(), debug.trailing()))));
                    }
                    let value = self.expr(&i.expression);
                    let spec = i.format_spec.as_ref().map(|spec| {
                        let mut pieces = Vec::new();
                        self.pieces(&spec.elements, &mut pieces);
                        Expr::FString(pieces)
                    });
                    let repr = match i.conversion {
                        ast::ConversionFlag::None => i.debug_text.is_some() && spec.is_none(),
                        ast::ConversionFlag::Str => false,
                        ast::ConversionFlag::Repr => true,
                        ast::ConversionFlag::Ascii => {
                            let gap = self.gap("`!a` in an f-string", i);
                            out.push(Piece::Value(Expr::Unknown(gap), false, None));
                            continue;
                        }
                    };
                    // `!s` makes a text of the value before it is formatted.
                    let value = if i.conversion == ast::ConversionFlag::Str && spec.is_some() {
                        Expr::FString(vec![Piece::Value(value, false, None)])
                    } else {
                        value
                    };
                    out.push(Piece::Value(value, repr, spec));
                }
            }
        }
    }

    pub(super) fn arguments(&mut self, args: &ast::Arguments) -> Args {
        let pos = self.items(&args.args);
        let kw =
            args.keywords.iter().map(|k| (k.arg.as_ref().map(|n| Rc::from(n.as_str())), self.expr(&k.value))).collect();
        Args { pos, kw }
    }

    fn call(&mut self, call: &ast::ExprCall) -> Expr {
        if let Some(inlined) = self.consumed(call) {
            return inlined;
        }
        match &*call.func {
            Ast::Attribute(a) => {
                // super().name(…)
                if let Ast::Call(inner) = &*a.value
                    && let Ast::Name(n) = &*inner.func
                    && n.id == "super"
                    && inner.arguments.args.is_empty()
                {
                    let args = self.arguments(&call.arguments);
                    if !self.scope().method {
                        return self.unknown("super() outside of a method", call);
                    }
                    return Expr::Super(0, Rc::from(a.attr.as_str()), args);
                }
                let object = self.boxed(&a.value);
                // A text joins a generator as the list that it makes of it first.
                if a.attr.as_str() == "join"
                    && matches!(*object, Expr::Const(Value::Str(_)))
                    && let [Ast::Generator(g)] = &*call.arguments.args
                    && call.arguments.keywords.is_empty()
                {
                    let list = self.comp(Collect::List, &g.elt, None, &g.generators, true);
                    let args = Args { pos: vec![Item::One(list)], kw: vec![] };
                    return Expr::Method(object, Name::join, Rc::from("join"), args);
                }
                let args = self.arguments(&call.arguments);
                Expr::Method(object, Name::of(&a.attr), Rc::from(a.attr.as_str()), args)
            }
            other => {
                let function = self.boxed(other);
                let args = self.arguments(&call.arguments);
                Expr::Call(function, args)
            }
        }
    }
}
