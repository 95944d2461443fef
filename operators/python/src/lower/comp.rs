//! Comprehensions and generators.

use std::rc::Rc;

use ruff_python_ast::{self as ast, Expr as Ast};
use ruff_text_size::Ranged;

use super::expr::none;
use super::{Lowerer, scope};
use crate::builtins;
use crate::ir::{Clause, Code, Collect, Comp, Expr, Item, Params};

impl Lowerer<'_> {
    /// `any(x for …)` and such: the generator is used up where it stands, so it needs no frame of its own.
    pub(super) fn consumed(&mut self, call: &ast::ExprCall) -> Option<Expr> {
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

    pub(super) fn comp(
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

    pub(super) fn clauses(
        &mut self,
        elt: &Ast,
        value: Option<&Ast>,
        generators: &[ast::Comprehension],
        first: Expr,
    ) -> Comp {
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

    pub(super) fn generator(&mut self, g: &ast::ExprGenerator) -> Expr {
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
}
