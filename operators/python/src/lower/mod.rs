//! From source to IR: one file for scopes, one for statements, one for expressions.
//!
//! The parser is `ruff_python_parser`: of the parsers on crates.io it is the one that follows Python closest and is
//! released most often (with Ruff itself, MIT). `rustpython-parser` has had no release since 2024 and its project moved
//! to Ruff's. Ruff calls its crates internal, so the version is fixed in the workspace and only this folder names them.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use ruff_python_ast as ast;
use ruff_text_size::{Ranged, TextSize};

use crate::ir::{Code, Expr, Gap, Params};

mod comp;
mod expr;
mod function;
mod scope;
mod stmt;

use scope::Scope;

/// A module after lowering.
#[derive(Debug)]
pub struct Lowered {
    /// Its code.
    pub code: Rc<Code>,
    /// Names of its globals.
    pub names: Vec<Rc<str>>,
    /// Globals that functions assign.
    pub written: Vec<u32>,
    /// Constructs that are not built.
    pub gaps: Vec<Rc<Gap>>,
}

/// Expressions inside one another that are lowered; deeper ones would need as much stack to evaluate.
pub const MAX_DEPTH: u32 = 60;

pub(crate) struct Lowerer<'s> {
    file: Rc<str>,
    lines: Vec<usize>,
    source: &'s str,
    globals: HashMap<Rc<str>, u32>,
    names: Vec<Rc<str>>,
    written: BTreeSet<u32>,
    scopes: Vec<Scope>,
    gaps: Vec<Rc<Gap>>,
    depth: u32,
    deepest: u32,
    temporaries: u32,
    around: String,
}

/// Lower a module.
///
/// # Errors
/// A syntax error, as CPython calls it, with its line.
pub fn lower(source: &str, file: &Rc<str>) -> Result<Lowered, (String, u32)> {
    let lines: Vec<usize> = source.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i).collect();
    let parsed = match ruff_python_parser::parse_module(source) {
        Ok(parsed) => parsed,
        Err(e) => {
            let at = usize::from(e.location.start());
            return Err((e.error.to_string(), lines.partition_point(|l| *l < at) as u32 + 1));
        }
    };
    let module = parsed.into_syntax();
    let mut lowerer = Lowerer {
        file: file.clone(),
        lines,
        source,
        globals: HashMap::new(),
        names: Vec::new(),
        written: BTreeSet::new(),
        scopes: vec![Scope::module()],
        gaps: Vec::new(),
        depth: 0,
        deepest: 0,
        temporaries: 0,
        around: String::new(),
    };
    let bound = scope::bound(&module.body);
    for name in bound.names.iter().chain(&bound.outer_globals) {
        lowerer.global(name);
    }
    for name in &bound.outer_globals {
        let slot = lowerer.global(name);
        lowerer.written.insert(slot);
    }
    let body = lowerer.block(&module.body);
    let scope = lowerer.scopes.pop().expect("the module's scope");
    let code = Rc::new(Code {
        name: "<module>".into(),
        qualified: "<module>".into(),
        file: file.clone(),
        line: 1,
        weight: lowerer.deepest,
        params: Params::default(),
        slots: scope.slots,
        cells: scope.cells.into_iter().collect(),
        frees: Vec::new(),
        body,
        comp: None,
    });
    Ok(Lowered { code, names: lowerer.names, written: lowerer.written.into_iter().collect(), gaps: lowerer.gaps })
}

impl Lowerer<'_> {
    fn global(&mut self, name: &str) -> u32 {
        if let Some(slot) = self.globals.get(name) {
            return *slot;
        }
        let slot = self.names.len() as u32;
        let name: Rc<str> = Rc::from(name);
        self.names.push(name.clone());
        self.globals.insert(name, slot);
        slot
    }

    fn line(&self, at: TextSize) -> u32 {
        self.lines.partition_point(|l| *l < usize::from(at)) as u32 + 1
    }

    fn gap(&mut self, what: impl Into<String>, at: &impl Ranged) -> Rc<Gap> {
        let gap = Rc::new(Gap { what: Rc::from(what.into()), file: self.file.clone(), line: self.line(at.start()) });
        self.gaps.push(gap.clone());
        gap
    }

    fn unknown(&mut self, what: impl Into<String>, at: &impl Ranged) -> Expr {
        Expr::Unknown(self.gap(what, at))
    }

    fn text(&self, at: &impl Ranged) -> &str {
        &self.source[usize::from(at.start())..usize::from(at.end())]
    }

    fn scope(&mut self) -> &mut Scope {
        self.scopes.last_mut().expect("a scope")
    }

    /// What a function's source binds, before its body is lowered.
    fn enter(&mut self, params: &ast::Parameters, bound: scope::Bound) -> Params {
        let mut out = Params::default();
        let mut scope = Scope::function(bound.globals, bound.nonlocals);
        for p in params.posonlyargs.iter().chain(&params.args) {
            let name: Rc<str> = Rc::from(p.parameter.name.as_str());
            scope.local(&name);
            out.names.push(name);
        }
        out.positional_only = params.posonlyargs.len();
        for p in &params.kwonlyargs {
            let name: Rc<str> = Rc::from(p.parameter.name.as_str());
            scope.local(&name);
            out.keyword_only.push(name);
        }
        for (rest, flag) in [(&params.vararg, &mut out.rest), (&params.kwarg, &mut out.kw_rest)] {
            if let Some(p) = rest {
                scope.local(&Rc::from(p.name.as_str()));
                *flag = true;
            }
        }
        for name in &bound.names {
            if !scope.globals.contains(name) && !scope.nonlocals.contains(name) {
                scope.local(name);
            }
        }
        self.scopes.push(scope);
        out
    }
}
