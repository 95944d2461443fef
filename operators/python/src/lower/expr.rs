//! Expressions.

use std::rc::Rc;

use ruff_python_ast::{self as ast, Expr as Ast, Number};
use ruff_text_size::Ranged;

use super::{Lowerer, MAX_DEPTH, scope};
use crate::builtins;
use crate::ir::{Args, Clause, Code, Collect, Comp, Expr, Item, MakeFunc, Params, Piece, Target};
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

fn none() -> Expr {
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

    fn boxed(&mut self, expr: &Ast) -> Box<Expr> {
        Box::new(self.expr(expr))
    }

    fn many(&mut self, exprs: &[Ast]) -> Vec<Expr> {
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

    /// `any(x for …)` and such: the generator is used up where it stands, so it needs no frame of its own.
    fn consumed(&mut self, call: &ast::ExprCall) -> Option<Expr> {
        let (Ast::Name(n), [Ast::Generator(g)]) = (&*call.func, &*call.arguments.args) else { return None };
        if !call.arguments.keywords.is_empty() && n.id != "sorted" {
            return None;
        }
        let collect = match n.id.as_str() {
            "any" => Collect::Any,
            "all" => Collect::All,
            "list" | "tuple" | "sorted" => Collect::List,
            "set" => Collect::Set,
            _ => return None,
        };
        if !self.is_builtin(&n.id) {
            return None;
        }
        let comp = self.comp(collect, &g.elt, None, &g.generators, true);
        if matches!(n.id.as_str(), "tuple" | "sorted") {
            let mut args = self.arguments(&ast::Arguments {
                range: call.arguments.range,
                node_index: Default::default(),
                args: Box::new([]),
                keywords: call.arguments.keywords.clone(),
            });
            args.pos.push(Item::One(comp));
            return Some(Expr::Call(Box::new(Expr::Const(builtins::find(&n.id)?)), args));
        }
        Some(comp)
    }

    fn comp(
        &mut self,
        collect: Collect,
        elt: &Ast,
        value: Option<&Ast>,
        generators: &[ast::Comprehension],
        generator: bool,
    ) -> Expr {
        if let Some(c) = generators.iter().find(|c| c.is_async) {
            return self.unknown("an asynchronous comprehension", c);
        }
        // The first iterable is evaluated outside.
        let first = self.expr(&generators[0].iter);
        self.scope().comps.push(Default::default());
        let mut comp = self.clauses(elt, value, generators, first);
        comp.generator = generator;
        let names = self.scope().comps.pop().unwrap_or_default();
        let mut slots: Vec<u32> = names.values().copied().collect();
        slots.sort_unstable();
        comp.cells = slots.iter().copied().filter(|s| self.scope().cells.contains(s)).collect();
        comp.slots = slots;
        Expr::Comp(collect, Box::new(comp))
    }

    fn clauses(&mut self, elt: &Ast, value: Option<&Ast>, generators: &[ast::Comprehension], first: Expr) -> Comp {
        for clause in generators {
            for name in scope::target_names(&clause.target) {
                let slot = self.scope().fresh(&name);
                self.scope().comps.last_mut().expect("a comprehension").insert(name, slot);
            }
        }
        let mut first = Some(first);
        let mut clauses = Vec::new();
        for clause in generators {
            let iter = first.take().unwrap_or_else(none);
            let iter = if clauses.is_empty() { iter } else { self.expr(&clause.iter) };
            let target = self.target(&clause.target);
            let ifs = self.many(&clause.ifs);
            clauses.push(Clause { target, iter, ifs });
        }
        let element = self.expr(elt);
        let value = value.map(|v| self.expr(v));
        Comp { clauses, element, value, slots: Vec::new(), cells: Vec::new(), generator: false }
    }

    fn generator(&mut self, g: &ast::ExprGenerator) -> Expr {
        if g.generators.iter().any(|c| c.is_async) {
            return self.unknown("an asynchronous generator", g);
        }
        let first = self.boxed(&g.generators[0].iter);
        let (depth, deepest) = (std::mem::take(&mut self.depth), std::mem::take(&mut self.deepest));
        self.scopes.push(super::Scope::function(Default::default(), Default::default()));
        self.scope().comps.push(Default::default());
        let comp = self.clauses(&g.elt, None, &g.generators, none());
        self.scope().comps.clear();
        let weight = std::mem::replace(&mut self.deepest, deepest) + 1;
        self.depth = depth;
        let scope = self.scopes.pop().expect("the generator's scope");
        let code = Code {
            name: Rc::from("<genexpr>"),
            qualified: Rc::from("<genexpr>"),
            file: self.file.clone(),
            line: self.line(g.start()),
            weight,
            params: Params::default(),
            slots: scope.slots,
            cells: scope.cells.into_iter().collect(),
            frees: scope.frees,
            body: Vec::new(),
            comp: Some(comp),
        };
        Expr::Gen(Rc::new(code), first)
    }

    pub(super) fn function(
        &mut self,
        name: &str,
        params: &ast::Parameters,
        body: &[ast::Stmt],
        value: Option<&Ast>,
        at: &impl Ranged,
    ) -> MakeFunc {
        self.method_or_function(name, params, body, value, at, false)
    }

    pub(super) fn method_or_function(
        &mut self,
        name: &str,
        params: &ast::Parameters,
        body: &[ast::Stmt],
        value: Option<&Ast>,
        at: &impl Ranged,
        method: bool,
    ) -> MakeFunc {
        let mut defaults = Vec::new();
        for p in params.posonlyargs.iter().chain(&params.args) {
            if let Some(default) = &p.default {
                defaults.push(self.expr(default));
            }
        }
        let kw_defaults: Vec<_> = params
            .kwonlyargs
            .iter()
            .filter_map(|p| {
                let default = p.default.as_ref()?;
                Some((Rc::from(p.parameter.name.as_str()), self.expr(default)))
            })
            .collect();
        let mut bound = scope::bound(body);
        if let Some(value) = value {
            bound.names.extend(scope::target_names(value));
        }
        let yields = bound.yields;
        let globals = bound.globals.clone();
        let params = self.enter(params, bound);
        self.scope().method = method;
        for name in &globals {
            self.global(name);
        }
        let qualified: Rc<str> = Rc::from(format!("{}{name}", self.around));
        let around = std::mem::replace(&mut self.around, format!("{qualified}.<locals>."));
        let (depth, deepest) = (std::mem::take(&mut self.depth), std::mem::take(&mut self.deepest));
        let mut lines = match value {
            Some(value) => {
                let line = self.line(value.start());
                vec![crate::ir::Line { line, stmt: crate::ir::Stmt::Return(self.expr(value)) }]
            }
            None => self.block(body),
        };
        self.depth = depth;
        let weight = std::mem::replace(&mut self.deepest, deepest) + 1;
        self.around = around;
        if yields {
            let gap = self.unknown("a generator function", at);
            lines = vec![crate::ir::Line { line: self.line(at.start()), stmt: crate::ir::Stmt::Expr(gap) }];
        }
        let scope = self.scopes.pop().expect("the function's scope");
        let code = Code {
            name: Rc::from(name),
            qualified,
            file: self.file.clone(),
            line: self.line(at.start()),
            weight,
            params,
            slots: scope.slots,
            cells: scope.cells.into_iter().collect(),
            frees: scope.frees,
            body: lines,
            comp: None,
        };
        MakeFunc { code: Rc::new(code), defaults, kw_defaults, decorated: None }
    }

    pub(super) fn target(&mut self, target: &Ast) -> Target {
        match target {
            Ast::Name(n) => self.bind(&n.id),
            Ast::Attribute(a) => Target::Attr(self.expr(&a.value), Rc::from(a.attr.as_str())),
            Ast::Subscript(s) => Target::Index(self.expr(&s.value), self.expr(&s.slice)),
            Ast::Tuple(ast::ExprTuple { elts, .. }) | Ast::List(ast::ExprList { elts, .. }) => {
                let star = elts.iter().position(|e| matches!(e, Ast::Starred(_)));
                let targets = elts
                    .iter()
                    .map(|e| match e {
                        Ast::Starred(s) => self.target(&s.value),
                        other => self.target(other),
                    })
                    .collect();
                Target::Unpack(targets, star)
            }
            other => Target::Unknown(self.gap("this target of an assignment", other)),
        }
    }
}
