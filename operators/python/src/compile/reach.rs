//! Everything that a function reaches, and what of it is not built.

use std::collections::HashSet;
use std::rc::Rc;

use crate::class::{Class, Member};
use crate::ir::{Args, Attribute, Code, Comp, Expr, Gap, Item, Line, MakeFunc, Piece, Stmt, Target};
use crate::module::Module;
use crate::name::Name;
use crate::value::{Func, Value};

/// Walks everything that a function can reach.
#[derive(Default)]
pub(super) struct Reach {
    pub(super) seen: HashSet<usize>,
    pub(super) gaps: Vec<Gap>,
    pub(super) names: HashSet<Rc<str>>,
    pub(super) classes: Vec<Rc<Class>>,
    /// The key-value cache may be used.
    pub(super) cache: bool,
}

pub(super) struct At<'a> {
    pub(super) module: &'a Rc<Module>,
    pub(super) file: &'a Rc<str>,
    pub(super) line: u32,
}

impl Reach {
    pub(super) fn gap(&mut self, what: &str, at: &At) {
        let gap = Gap { what: Rc::from(what), file: at.file.clone(), line: at.line };
        if !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
    }

    pub(super) fn known(&mut self, gap: &Gap) {
        if !self.gaps.contains(gap) {
            self.gaps.push(gap.clone());
        }
    }

    pub(super) fn value(&mut self, value: &Value, from: &Gap) {
        match value {
            Value::Missing(name) => {
                self.known(&Gap { what: Rc::from(format!("`{name}` is not available")), ..from.clone() })
            }
            Value::Native(function) => self.cache |= crate::stdlib::is_cache(function),
            Value::Func(func) => self.func(func),
            Value::Class(class) => self.class(class),
            Value::Object(o) => self.class(&o.class.clone()),
            Value::List(l) => l.items.borrow().iter().for_each(|v| self.value(v, from)),
            Value::Tuple(t) => t.0.iter().for_each(|v| self.value(v, from)),
            Value::Dict(d) => d.table.borrow().iter().for_each(|(_, v)| self.value(v, from)),
            _ => {}
        }
    }

    pub(super) fn func(&mut self, func: &Rc<Func>) {
        if !self.seen.insert(Rc::as_ptr(func) as usize) {
            return;
        }
        let Some(module) = func.module.upgrade() else { return };
        self.code(&func.code, &module);
    }

    pub(super) fn class(&mut self, class: &Rc<Class>) {
        if !self.seen.insert(Rc::as_ptr(class) as usize) {
            return;
        }
        self.classes.push(class.clone());
        for name in self.names.clone().iter().chain([&Rc::from("__init__")]) {
            self.member(class, name);
        }
        if let crate::class::Base::Class(base) = &class.base {
            self.class(&base.clone());
        }
    }

    pub(super) fn member(&mut self, class: &Class, name: &str) {
        for (own, member) in &class.members {
            if &**own == name {
                match member {
                    Member::Method(f) | Member::Property(f) | Member::Static(f) => self.func(&f.clone()),
                    Member::Value(_) => {}
                }
            }
        }
    }

    /// An attribute name that is read: a method of any class that is reached, or of a native value.
    pub(super) fn attribute(&mut self, name: &Rc<str>, at: &At) {
        if self.names.insert(name.clone()) {
            for class in self.classes.clone() {
                self.member(&class, name);
            }
        }
        let _ = at;
    }

    pub(super) fn code(&mut self, code: &Rc<Code>, module: &Rc<Module>) {
        if !self.seen.insert(Rc::as_ptr(code) as usize) {
            return;
        }
        self.lines(&code.body, module, &code.file);
        if let Some(comp) = &code.comp {
            self.comp(comp, &At { module, file: &code.file, line: code.line });
        }
    }

    pub(super) fn lines(&mut self, lines: &[Line], module: &Rc<Module>, file: &Rc<str>) {
        for line in lines {
            let at = At { module, file, line: line.line };
            self.stmt(&line.stmt, &at);
        }
    }

    pub(super) fn stmt(&mut self, stmt: &Stmt, at: &At) {
        let lines = |this: &mut Self, lines: &[Line]| this.lines(lines, at.module, at.file);
        match stmt {
            Stmt::Expr(e) | Stmt::Return(e) => self.expr(e, at),
            Stmt::Assign(targets, value) => {
                self.expr(value, at);
                targets.iter().for_each(|t| self.target(t, at));
            }
            Stmt::Augment(target, _, value) => {
                self.target(target, at);
                self.expr(value, at);
            }
            Stmt::Delete(target) => self.target(target, at),
            Stmt::If(branches, otherwise) => {
                for (test, body) in branches {
                    // A mock is there only in a unit test: the branch is dead in production.
                    if mocked(test, at.module) {
                        continue;
                    }
                    self.expr(test, at);
                    lines(self, body);
                }
                lines(self, otherwise);
            }
            Stmt::For(head, body, otherwise) => {
                self.expr(&head.1, at);
                self.target(&head.0, at);
                lines(self, body);
                lines(self, otherwise);
            }
            Stmt::While(test, body, otherwise) => {
                self.expr(test, at);
                lines(self, body);
                lines(self, otherwise);
            }
            Stmt::Try(t) => {
                lines(self, &t.body);
                for (classes, _, body) in &t.handlers {
                    if let Some(classes) = classes {
                        self.expr(classes, at);
                    }
                    lines(self, body);
                }
                lines(self, &t.orelse);
                lines(self, &t.finally);
            }
            Stmt::Raise(a, b) => {
                a.iter().chain(b).for_each(|e| self.expr(e, at));
            }
            Stmt::Assert(test, message) => {
                self.expr(test, at);
                message.iter().for_each(|e| self.expr(e, at));
            }
            Stmt::Class(_, _, base, attributes) => {
                base.iter().for_each(|e| self.expr(e, at));
                for (_, attribute) in attributes {
                    match attribute {
                        Attribute::Value(e) => self.expr(e, at),
                        Attribute::Func(_, make) => self.make(make, at),
                    }
                }
            }
            Stmt::Import(..) => self.gap("an import inside a function", at),
            Stmt::Break | Stmt::Continue | Stmt::Pass => {}
        }
    }

    pub(super) fn target(&mut self, target: &Target, at: &At) {
        match target {
            Target::Local(_) | Target::Global(_) => {}
            Target::Attr(e, _) => self.expr(e, at),
            Target::Index(a, b) => {
                self.expr(a, at);
                self.expr(b, at);
            }
            Target::Unpack(targets, _) => targets.iter().for_each(|t| self.target(t, at)),
            Target::Unknown(gap) => self.known(gap),
        }
    }

    pub(super) fn make(&mut self, make: &MakeFunc, at: &At) {
        if let Some(gap) = &make.decorated {
            self.known(gap);
        }
        make.defaults.iter().for_each(|e| self.expr(e, at));
        make.kw_defaults.iter().for_each(|(_, e)| self.expr(e, at));
        self.code(&make.code, at.module);
    }

    pub(super) fn comp(&mut self, comp: &Comp, at: &At) {
        for clause in &comp.clauses {
            self.expr(&clause.iter, at);
            self.target(&clause.target, at);
            clause.ifs.iter().for_each(|e| self.expr(e, at));
        }
        self.expr(&comp.element, at);
        comp.value.iter().for_each(|e| self.expr(e, at));
    }

    pub(super) fn items(&mut self, items: &[Item], at: &At) {
        for item in items {
            let (Item::One(e) | Item::Spread(e)) = item;
            self.expr(e, at);
        }
    }

    pub(super) fn args(&mut self, args: &Args, at: &At) {
        self.items(&args.pos, at);
        args.kw.iter().for_each(|(_, e)| self.expr(e, at));
    }

    pub(super) fn expr(&mut self, expr: &Expr, at: &At) {
        match expr {
            Expr::Const(_) | Expr::Local(_) | Expr::NameError(_) => {}
            Expr::Global(slot) => {
                let value = at.module.globals.borrow()[*slot as usize].clone();
                let from = Gap { what: "".into(), file: at.file.clone(), line: at.line };
                self.value(&value, &from);
            }
            Expr::And(es) | Expr::Or(es) => es.iter().for_each(|e| self.expr(e, at)),
            Expr::Not(e) | Expr::Unary(_, e) => self.expr(e, at),
            Expr::If(parts) => {
                if !mocked(&parts.0, at.module) {
                    self.expr(&parts.0, at);
                    self.expr(&parts.1, at);
                }
                self.expr(&parts.2, at);
            }
            Expr::Binary(_, parts) | Expr::Index(parts) => {
                self.expr(&parts.0, at);
                self.expr(&parts.1, at);
            }
            Expr::Compare(first, rest) => {
                self.expr(first, at);
                rest.iter().for_each(|(_, e)| self.expr(e, at));
            }
            Expr::List(items) | Expr::Tuple(items) | Expr::Set(items) => self.items(items, at),
            Expr::Dict(entries) => {
                for (key, value) in entries {
                    key.iter().for_each(|e| self.expr(e, at));
                    self.expr(value, at);
                }
            }
            Expr::FString(pieces) => {
                for piece in pieces {
                    if let Piece::Value(value, _, spec) = piece {
                        self.expr(value, at);
                        spec.iter().for_each(|e| self.expr(e, at));
                    }
                }
            }
            Expr::Attr(object, _, text) => {
                // An attribute of a module is a value of its own.
                if let Expr::Global(slot) = &**object {
                    let value = at.module.globals.borrow()[*slot as usize].clone();
                    if self.member_of(&value, text, at) {
                        return;
                    }
                }
                self.expr(object, at);
                self.attribute(text, at);
            }
            Expr::Slice(parts) => parts.iter().for_each(|e| self.expr(e, at)),
            Expr::Call(function, args) => {
                self.expr(function, at);
                self.args(args, at);
            }
            Expr::Method(object, name, text, args) => {
                self.args(args, at);
                if let Expr::Global(slot) = &**object {
                    let value = at.module.globals.borrow()[*slot as usize].clone();
                    if self.member_of(&value, text, at) {
                        return;
                    }
                }
                self.expr(object, at);
                self.attribute(text, at);
                let defined = self.classes.iter().any(|c| c.find(text).is_some());
                if *name == Name::Other && !Name::known(text) && !defined {
                    self.gap(&format!("the method .{text}()"), at);
                }
            }
            Expr::Super(_, text, args) => {
                self.args(args, at);
                self.attribute(text, at);
            }
            Expr::Walrus(parts) => {
                self.target(&parts.0, at);
                self.expr(&parts.1, at);
            }
            Expr::Comp(_, comp) => self.comp(comp, at),
            Expr::Gen(code, first) => {
                self.expr(first, at);
                self.code(code, at.module);
            }
            Expr::Func(make) => self.make(make, at),
            Expr::Unknown(gap) => self.known(gap),
        }
    }

    /// True if the value is a module: what it has of the name is walked.
    pub(super) fn member_of(&mut self, value: &Value, text: &str, at: &At) -> bool {
        let from = Gap { what: "".into(), file: at.file.clone(), line: at.line };
        match value {
            Value::Module(m) => {
                if let Some(value) = m.get(text) {
                    self.value(&value, &from);
                }
                true
            }
            Value::NativeModule(m) => {
                let value = crate::stdlib::member(m, text);
                self.value(&value, &from);
                true
            }
            _ => false,
        }
    }
}

/// `isinstance(…, MagicMock)`.
pub(super) fn mocked(test: &Expr, module: &Module) -> bool {
    let Expr::Call(function, args) = test else { return false };
    let is = matches!(&**function, Expr::Const(Value::Native(f)) if f.name == "isinstance");
    let mock = |slot: u32| matches!(module.globals.borrow()[slot as usize], Value::Type(crate::value::Type::MagicMock));
    is && matches!(&args.pos[..], [_, Item::One(Expr::Global(slot))] if mock(*slot))
}
