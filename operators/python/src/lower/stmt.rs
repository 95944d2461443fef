//! Statements.

use std::rc::Rc;

use ruff_python_ast::{self as ast, Expr as Ast, Pattern, Stmt as AstStmt};
use ruff_text_size::Ranged;

use super::expr::operator;
use super::{Lowerer, MAX_DEPTH};
use crate::ir::{Attribute, Expr, Line, Stmt, Target, Try, Wrap};
use crate::ops::Cmp;
use crate::value::Value;

impl Lowerer<'_> {
    pub(super) fn block(&mut self, body: &[AstStmt]) -> Vec<Line> {
        let mut out = Vec::with_capacity(body.len());
        if self.depth >= MAX_DEPTH
            && let Some(first) = body.first()
        {
            let gap = self.unknown(format!("more than {MAX_DEPTH} statements inside one another"), first);
            return vec![Line { line: self.line(first.start()), stmt: Stmt::Expr(gap) }];
        }
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        for stmt in body {
            self.stmt(stmt, &mut out);
        }
        self.depth -= 1;
        out
    }

    fn stmt(&mut self, stmt: &AstStmt, out: &mut Vec<Line>) {
        let line = self.line(stmt.start());
        let mut push = |stmt| out.push(Line { line, stmt });
        match stmt {
            // A text alone is a comment, `...` is nothing.
            AstStmt::Expr(e) if matches!(&*e.value, Ast::StringLiteral(_) | Ast::EllipsisLiteral(_)) => {}
            AstStmt::Expr(e) => {
                let value = self.expr(&e.value);
                push(Stmt::Expr(value));
            }
            AstStmt::Assign(a) => {
                let value = self.expr(&a.value);
                let targets = a.targets.iter().map(|t| self.target(t)).collect();
                push(Stmt::Assign(targets, value));
            }
            AstStmt::AnnAssign(a) => {
                if let Some(value) = &a.value {
                    let value = self.expr(value);
                    let target = self.target(&a.target);
                    push(Stmt::Assign(vec![target], value));
                }
            }
            AstStmt::AugAssign(a) => match operator(a.op) {
                Some(op) => {
                    let target = self.target(&a.target);
                    let value = self.expr(&a.value);
                    push(Stmt::Augment(target, op, value));
                }
                None => push(Stmt::Expr(self.unknown("`@=`", stmt))),
            },
            AstStmt::Return(r) => {
                let value = match &r.value {
                    Some(value) => self.expr(value),
                    None => Expr::Const(Value::None),
                };
                push(Stmt::Return(value));
            }
            AstStmt::If(i) => {
                let mut branches = vec![(self.expr(&i.test), self.block(&i.body))];
                let mut otherwise = Vec::new();
                for clause in &i.elif_else_clauses {
                    match &clause.test {
                        Some(test) => branches.push((self.expr(test), self.block(&clause.body))),
                        None => otherwise = self.block(&clause.body),
                    }
                }
                push(Stmt::If(branches, otherwise));
            }
            AstStmt::For(f) if f.is_async => push(Stmt::Expr(self.unknown("`async for`", stmt))),
            AstStmt::For(f) => {
                let over = self.expr(&f.iter);
                let target = self.target(&f.target);
                let (body, otherwise) = (self.block(&f.body), self.block(&f.orelse));
                push(Stmt::For(Box::new((target, over)), body, otherwise));
            }
            AstStmt::While(w) => {
                let test = self.expr(&w.test);
                let (body, otherwise) = (self.block(&w.body), self.block(&w.orelse));
                push(Stmt::While(test, body, otherwise));
            }
            AstStmt::Try(t) if t.is_star => push(Stmt::Expr(self.unknown("`except*`", stmt))),
            AstStmt::Try(t) => {
                let body = self.block(&t.body);
                let handlers = t
                    .handlers
                    .iter()
                    .map(|h| {
                        let ast::ExceptHandler::ExceptHandler(h) = h;
                        let classes = h.type_.as_ref().map(|c| self.expr(c));
                        let name = h.name.as_ref().map(|n| self.bind(n));
                        (classes, name, self.block(&h.body))
                    })
                    .collect();
                let (orelse, finally) = (self.block(&t.orelse), self.block(&t.finalbody));
                push(Stmt::Try(Box::new(Try { body, handlers, orelse, finally })));
            }
            AstStmt::Raise(r) => {
                let exception = r.exc.as_ref().map(|e| self.expr(e));
                let cause = r.cause.as_ref().map(|e| self.expr(e));
                push(Stmt::Raise(exception, cause));
            }
            AstStmt::Assert(a) => {
                let test = self.expr(&a.test);
                let message = a.msg.as_ref().map(|m| self.expr(m));
                push(Stmt::Assert(test, message));
            }
            AstStmt::Delete(d) => {
                for target in &d.targets {
                    let target = self.target(target);
                    push(Stmt::Delete(target));
                }
            }
            AstStmt::Break(_) => push(Stmt::Break),
            AstStmt::Continue(_) => push(Stmt::Continue),
            AstStmt::Pass(_) => push(Stmt::Pass),
            AstStmt::Global(_) | AstStmt::Nonlocal(_) => {}
            AstStmt::FunctionDef(f) => {
                let mut make = if f.is_async {
                    let mut make = self.function(&f.name, &f.parameters, &[], None, stmt);
                    make.decorated = Some(self.gap("an asynchronous function", stmt));
                    make
                } else {
                    self.function(&f.name, &f.parameters, &f.body, None, stmt)
                };
                if let Some(decorator) = f.decorator_list.first() {
                    let what = format!("the decorator @{}", self.text(&decorator.expression));
                    make.decorated = Some(self.gap(what, decorator));
                }
                let target = self.bind(&f.name);
                push(Stmt::Assign(vec![target], Expr::Func(Box::new(make))));
            }
            AstStmt::ClassDef(c) => {
                let stmt = self.class(c);
                push(stmt);
            }
            AstStmt::Import(i) => {
                for alias in &i.names {
                    match &alias.asname {
                        Some(name) => {
                            let target = self.bind(name);
                            push(Stmt::Import(target, Rc::from(alias.name.as_str()), None));
                        }
                        // `import a.b` binds `a`.
                        None => {
                            let top = alias.name.split('.').next().unwrap_or(&alias.name);
                            let target = self.bind(top);
                            push(Stmt::Import(target, Rc::from(top), None));
                        }
                    }
                }
            }
            AstStmt::ImportFrom(i) => {
                let module: Rc<str> = Rc::from(i.module.as_ref().map_or("", |m| m.as_str()));
                for alias in &i.names {
                    if alias.name.as_str() == "*" || i.level > 0 {
                        push(Stmt::Expr(self.unknown("this form of import", stmt)));
                        continue;
                    }
                    let target = self.bind(alias.asname.as_ref().unwrap_or(&alias.name));
                    push(Stmt::Import(target, module.clone(), Some(Rc::from(alias.name.as_str()))));
                }
            }
            AstStmt::Match(m) => self.match_stmt(m, line, out),
            AstStmt::With(_) => push(Stmt::Expr(self.unknown("`with`", stmt))),
            AstStmt::TypeAlias(_) => push(Stmt::Expr(self.unknown("`type`", stmt))),
            AstStmt::IpyEscapeCommand(_) => push(Stmt::Expr(self.unknown("an escape of IPython", stmt))),
        }
    }

    fn class(&mut self, c: &ast::StmtClassDef) -> Stmt {
        let refuse = |this: &mut Self, what: String, at: &dyn Fn(&mut Self, String) -> Expr| Stmt::Expr(at(this, what));
        let at = |this: &mut Self, what: String| this.unknown(what, c);
        if !c.decorator_list.is_empty() {
            return refuse(self, "a decorated class".into(), &at);
        }
        let mut base = None;
        if let Some(arguments) = &c.arguments {
            match (&*arguments.args, arguments.keywords.len()) {
                ([], 0) => {}
                ([one], 0) => base = Some(self.expr(one)),
                _ => return refuse(self, "a class with several bases or a metaclass".into(), &at),
            }
        }
        let mut attributes = Vec::new();
        for stmt in &c.body {
            match stmt {
                AstStmt::Pass(_) => {}
                AstStmt::Expr(e) if matches!(&*e.value, Ast::StringLiteral(_) | Ast::EllipsisLiteral(_)) => {}
                AstStmt::AnnAssign(a) if a.value.is_none() => {}
                AstStmt::AnnAssign(a) => {
                    if let (Ast::Name(n), Some(value)) = (&*a.target, &a.value) {
                        attributes.push((Rc::from(n.id.as_str()), Attribute::Value(self.expr(value))));
                    }
                }
                AstStmt::Assign(a) => match &a.targets[..] {
                    [Ast::Name(n)] => {
                        attributes.push((Rc::from(n.id.as_str()), Attribute::Value(self.expr(&a.value))));
                    }
                    _ => return refuse(self, "this assignment in a class".into(), &at),
                },
                AstStmt::FunctionDef(f) => {
                    let wrap = match &f.decorator_list[..] {
                        [] => Wrap::Method,
                        [d] => match &d.expression {
                            Ast::Name(n) if n.id == "property" => Wrap::Property,
                            Ast::Name(n) if n.id == "staticmethod" => Wrap::Static,
                            _ => return refuse(self, "this decorator in a class".into(), &at),
                        },
                        _ => return refuse(self, "several decorators in a class".into(), &at),
                    };
                    let special = f.name.starts_with("__") && f.name.ends_with("__") && f.name.as_str() != "__init__";
                    if special || f.is_async {
                        return refuse(self, format!("the method {} of a class", f.name), &at);
                    }
                    let around = self.around.clone();
                    self.around.push_str(&format!("{}.", c.name));
                    let make =
                        self.method_or_function(&f.name, &f.parameters, &f.body, None, stmt, wrap == Wrap::Method);
                    self.around = around;
                    attributes.push((Rc::from(f.name.as_str()), Attribute::Func(wrap, make)));
                }
                _ => return refuse(self, "this statement in a class".into(), &at),
            }
        }
        let target = self.bind(&c.name);
        Stmt::Class(target, Rc::from(c.name.as_str()), base, attributes)
    }

    /// `match` over values is an `if` over a temporary; other patterns are not built.
    fn match_stmt(&mut self, m: &ast::StmtMatch, line: u32, out: &mut Vec<Line>) {
        self.temporaries += 1;
        let name: Rc<str> = Rc::from(format!("<match {}>", self.temporaries));
        let subject = self.scope().fresh(&name);
        let value = self.expr(&m.subject);
        out.push(Line { line, stmt: Stmt::Assign(vec![Target::Local(subject)], value) });
        let mut branches = Vec::new();
        for case in &m.cases {
            let mut test = self.pattern(&case.pattern, subject);
            if let Some(guard) = &case.guard {
                let guard = self.expr(guard);
                test = Expr::And(vec![test, guard]);
            }
            let body = self.block(&case.body);
            branches.push((test, body));
        }
        out.push(Line { line, stmt: Stmt::If(branches, Vec::new()) });
    }

    fn pattern(&mut self, pattern: &Pattern, subject: u32) -> Expr {
        let local = || Box::new(Expr::Local(subject));
        match pattern {
            Pattern::MatchValue(v) => {
                let value = self.expr(&v.value);
                Expr::Compare(local(), vec![(Cmp::Eq, value)])
            }
            Pattern::MatchSingleton(s) => {
                let value = match s.value {
                    ast::Singleton::None => Value::None,
                    ast::Singleton::True => Value::Bool(true),
                    ast::Singleton::False => Value::Bool(false),
                };
                Expr::Compare(local(), vec![(Cmp::Is, Expr::Const(value))])
            }
            Pattern::MatchOr(o) => Expr::Or(o.patterns.iter().map(|p| self.pattern(p, subject)).collect()),
            Pattern::MatchAs(a) => {
                let inner = match &a.pattern {
                    Some(p) => self.pattern(p, subject),
                    None => Expr::Const(Value::Bool(true)),
                };
                match &a.name {
                    None => inner,
                    Some(name) => {
                        let target = self.bind(name);
                        // The name is bound once the pattern fits.
                        let bind = Expr::Walrus(Box::new((target, Expr::Local(subject))));
                        let always = Expr::Or(vec![bind, Expr::Const(Value::Bool(true))]);
                        Expr::And(vec![inner, always])
                    }
                }
            }
            other => self.unknown("this pattern of `match`", other),
        }
    }
}
