//! A detection, compiled; and the report of what could not be.

use std::rc::Rc;

use crate::ir::Gap;
use crate::library::{Library, LoadError, Source};
use crate::module::Module;

mod reach;

use reach::Reach;

/// Functions of a detection that the engine calls, in this order.
pub const FUNCTIONS: &[&str] = &[
    "rule",
    "policy",
    "title",
    "description",
    "reference",
    "severity",
    "runbook",
    "destinations",
    "dedup",
    "alert_context",
    "unique",
];

/// A compiled detection. It belongs to one thread.
#[derive(Debug)]
pub struct Compiled {
    /// Its module.
    pub module: Rc<Module>,
    /// Helpers.
    pub library: Rc<Library>,
    /// What is compiled.
    pub report: Report,
}

/// What became of a detection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every function of [`FUNCTIONS`] that the detection has.
    pub functions: Vec<FunctionReport>,
    /// One of them may use the key-value cache.
    pub cache: bool,
}

/// What became of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionReport {
    /// Its name.
    pub name: &'static str,
    /// What blocks it, in the order in which it is met; none: it is compiled.
    pub gaps: Vec<Gap>,
}

impl Report {
    /// True if a function is there and compiled.
    pub fn compiled(&self, name: &str) -> bool {
        self.functions.iter().any(|f| f.name == name && f.gaps.is_empty())
    }

    /// True if all functions are compiled.
    pub fn whole(&self) -> bool {
        self.functions.iter().all(|f| f.gaps.is_empty())
    }
}

/// Compile a detection.
///
/// # Errors
/// What keeps its module from being loaded: a syntax error, an exception, or a construct that is not built.
pub fn compile(source: &Source, library: &Rc<Library>) -> Result<Compiled, LoadError> {
    let module = library.load(source)?;
    let (mut functions, mut cache) = (Vec::new(), false);
    for name in FUNCTIONS {
        if let Some(value) = module.get(name) {
            let mut reach = Reach::default();
            reach.value(&value, &gap_at(&module));
            cache |= reach.cache;
            functions.push(FunctionReport { name, gaps: reach.gaps });
        }
    }
    Ok(Compiled { module, library: library.clone(), report: Report { functions, cache } })
}

fn gap_at(module: &Module) -> Gap {
    Gap { what: "".into(), file: module.file.clone(), line: 1 }
}
