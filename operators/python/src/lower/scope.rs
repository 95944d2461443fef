//! Scopes: which slot a name means.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Comprehension, Expr as Ast, ExprContext, Pattern, Stmt as AstStmt};

use super::Lowerer;
use crate::builtins;
use crate::ir::{Expr, Target};

/// Names of a function, a generator or the module.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Names of the slots.
    pub slots: Vec<Rc<str>>,
    /// Slots of the locals.
    names: HashMap<Rc<str>, u32>,
    /// Names that are declared `global`.
    pub globals: HashSet<Rc<str>>,
    /// Names that are declared `nonlocal`.
    pub nonlocals: HashSet<Rc<str>>,
    /// Slots that inner functions share.
    pub cells: BTreeSet<u32>,
    /// Slots of variables of outer functions.
    pub frees: Vec<(u32, u32)>,
    /// Variables of the comprehensions that are being lowered, inner last.
    pub comps: Vec<HashMap<Rc<str>, u32>>,
    /// The slot of `self`, if it is a method.
    pub method: bool,
}

impl Scope {
    pub fn module() -> Scope {
        Scope::default()
    }

    pub fn function(globals: HashSet<Rc<str>>, nonlocals: HashSet<Rc<str>>) -> Scope {
        Scope { globals, nonlocals, ..Scope::default() }
    }

    /// The slot of a local, made if it is new.
    pub fn local(&mut self, name: &Rc<str>) -> u32 {
        if let Some(slot) = self.names.get(name) {
            return *slot;
        }
        let slot = self.fresh(name);
        self.names.insert(name.clone(), slot);
        slot
    }

    /// A new slot.
    pub fn fresh(&mut self, name: &Rc<str>) -> u32 {
        self.slots.push(name.clone());
        self.slots.len() as u32 - 1
    }

    fn find(&self, name: &str) -> Option<u32> {
        self.comps.iter().rev().find_map(|c| c.get(name)).or_else(|| self.names.get(name)).copied()
    }
}

/// Where a name is.
enum Place {
    Local(u32),
    Global(u32),
    Nowhere,
}

impl Lowerer<'_> {
    fn resolve(&mut self, name: &str) -> Place {
        let top = self.scopes.len() - 1;
        if let Some(slot) = self.scopes[top].find(name) {
            return Place::Local(slot);
        }
        if !self.scopes[top].globals.contains(name) {
            for level in (0..top).rev() {
                if let Some(slot) = self.scopes[level].find(name) {
                    return Place::Local(self.capture(level, slot, name));
                }
                if self.scopes[level].globals.contains(name) {
                    break;
                }
            }
        }
        match self.globals.get(name) {
            Some(slot) => Place::Global(*slot),
            None => Place::Nowhere,
        }
    }

    /// Bring a variable of an outer scope to the innermost one.
    fn capture(&mut self, level: usize, slot: u32, name: &str) -> u32 {
        let name: Rc<str> = Rc::from(name);
        self.scopes[level].cells.insert(slot);
        let mut outer = slot;
        for scope in &mut self.scopes[level + 1..] {
            let inner = scope.local(&name);
            scope.frees.push((inner, outer));
            outer = inner;
        }
        outer
    }

    /// A name that is read.
    pub(super) fn name(&mut self, name: &str, at: &impl ruff_text_size::Ranged) -> Expr {
        match self.resolve(name) {
            Place::Local(slot) => Expr::Local(slot),
            Place::Global(slot) => Expr::Global(slot),
            Place::Nowhere => match builtins::find(name) {
                Some(value) => Expr::Const(value),
                None if name == "__name__" => Expr::Global(self.global(name)),
                None if builtins::ABSENT.contains(&name) => self.unknown(format!("`{name}`"), at),
                None => Expr::NameError(Rc::from(name)),
            },
        }
    }

    /// A name that is assigned.
    pub(super) fn bind(&mut self, name: &str) -> Target {
        match self.resolve(name) {
            Place::Local(slot) => Target::Local(slot),
            Place::Global(slot) => Target::Global(slot),
            Place::Nowhere => Target::Global(self.global(name)),
        }
    }

    /// A name that is assigned by `:=`: not one of a comprehension.
    pub(super) fn bind_walrus(&mut self, name: &str) -> Target {
        let comps = std::mem::take(&mut self.scope().comps);
        let target = self.bind(name);
        self.scope().comps = comps;
        target
    }

    /// True if nothing shadows a built-in.
    pub(super) fn is_builtin(&mut self, name: &str) -> bool {
        matches!(self.resolve(name), Place::Nowhere) && builtins::find(name).is_some()
    }
}

/// What a body binds.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Names that are assigned, in order.
    pub names: Vec<Rc<str>>,
    /// Names that are declared `global` in it.
    pub globals: HashSet<Rc<str>>,
    /// Names that are declared `nonlocal` in it.
    pub nonlocals: HashSet<Rc<str>>,
    /// Names that functions in it declare `global`.
    pub outer_globals: Vec<Rc<str>>,
    /// True if it yields or awaits.
    pub yields: bool,
    inside: u32,
}

impl Bound {
    fn add(&mut self, name: &str) {
        if self.inside == 0 && !self.names.iter().any(|n| &**n == name) {
            self.names.push(Rc::from(name));
        }
    }
}

/// Look through a body.
pub(super) fn bound(body: &[AstStmt]) -> Bound {
    let mut bound = Bound::default();
    for stmt in body {
        bound.visit_stmt(stmt);
    }
    bound
}

/// Names of a comprehension's target.
pub(super) fn target_names(target: &Ast) -> Vec<Rc<str>> {
    let mut bound = Bound::default();
    bound.visit_expr(target);
    bound.names
}

impl<'a> Visitor<'a> for Bound {
    fn visit_stmt(&mut self, stmt: &'a AstStmt) {
        match stmt {
            AstStmt::FunctionDef(f) => {
                self.add(&f.name);
                self.inside += 1;
                for stmt in &f.body {
                    self.visit_stmt(stmt);
                }
                self.inside -= 1;
            }
            AstStmt::ClassDef(c) => {
                self.add(&c.name);
                self.inside += 1;
                for stmt in &c.body {
                    self.visit_stmt(stmt);
                }
                self.inside -= 1;
            }
            AstStmt::Global(g) => {
                for name in &g.names {
                    let name: Rc<str> = Rc::from(name.as_str());
                    if self.inside == 0 {
                        self.globals.insert(name.clone());
                    }
                    if !self.outer_globals.contains(&name) {
                        self.outer_globals.push(name);
                    }
                }
            }
            AstStmt::Nonlocal(n) if self.inside == 0 => {
                self.nonlocals.extend(n.names.iter().map(|n| Rc::from(n.as_str())));
            }
            AstStmt::Import(i) => {
                for alias in &i.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.add(name.split('.').next().unwrap_or(name));
                }
            }
            AstStmt::ImportFrom(i) => {
                for alias in &i.names {
                    self.add(alias.asname.as_ref().unwrap_or(&alias.name));
                }
            }
            other => visitor::walk_stmt(self, other),
        }
    }

    fn visit_expr(&mut self, expr: &'a Ast) {
        match expr {
            Ast::Name(n) if matches!(n.ctx, ExprContext::Store | ExprContext::Del) => self.add(&n.id),
            Ast::Lambda(_) => {}
            Ast::Yield(_) | Ast::YieldFrom(_) | Ast::Await(_) if self.inside == 0 => {
                self.yields = true;
                visitor::walk_expr(self, expr);
            }
            other => visitor::walk_expr(self, other),
        }
    }

    fn visit_comprehension(&mut self, c: &'a Comprehension) {
        self.visit_expr(&c.iter);
        for condition in &c.ifs {
            self.visit_expr(condition);
        }
    }

    fn visit_except_handler(&mut self, h: &'a ruff_python_ast::ExceptHandler) {
        let ruff_python_ast::ExceptHandler::ExceptHandler(inner) = h;
        if let Some(name) = &inner.name {
            self.add(name);
        }
        visitor::walk_except_handler(self, h);
    }

    fn visit_pattern(&mut self, p: &'a Pattern) {
        if let Pattern::MatchAs(m) = p
            && let Some(name) = &m.name
        {
            self.add(name);
        }
        visitor::walk_pattern(self, p);
    }
}
