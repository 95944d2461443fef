//! Functions, and targets of assignments.

use std::rc::Rc;

use ruff_python_ast::{self as ast, Expr as Ast};
use ruff_text_size::Ranged;

use super::{Lowerer, scope};
use crate::ir::{Code, MakeFunc, Target};

impl Lowerer<'_> {
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
