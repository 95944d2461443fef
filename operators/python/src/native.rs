//! The machine that evaluates, and what native functions get from it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cache::Session;
use crate::exc::{R, Stop, type_error, unknown};
use crate::ir::Code;
use crate::library::Library;
use crate::model::DataModel;
use crate::value::Value;

/// Python calls that may be inside one another. CPython stops at about 1,000 frames; nothing real comes near this.
pub const MAX_CALLS: u32 = 60;

/// Statements and expressions inside one another, summed over the calls: what bounds the stack of the thread.
pub const MAX_WEIGHT: u32 = 1_000;

/// Stack that a call must find, in bytes: what the statements and expressions of one function, and the natives that they
/// call, may take. A debug build's frames are several times larger.
pub(crate) const RED_ZONE: usize = if cfg!(debug_assertions) { 2 << 20 } else { 256 << 10 };
/// Stack that it is given where it does not.
pub(crate) const MORE_STACK: usize = 8 * RED_ZONE;

/// Arguments of a native call.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// Positional ones.
    pub pos: &'a [Value],
    /// Named ones.
    pub kw: &'a [(Rc<str>, Value)],
}

impl<'a> Args<'a> {
    /// Only positional ones.
    pub fn positional(pos: &'a [Value]) -> Args<'a> {
        Args { pos, kw: &[] }
    }

    /// A named one.
    pub fn kw(&self, name: &str) -> Option<&'a Value> {
        self.kw.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
    }

    /// An argument by position or name.
    pub fn get(&self, at: usize, name: &str) -> Option<&'a Value> {
        self.pos.get(at).or_else(|| self.kw(name))
    }

    /// Check the counts of a function without named parameters.
    ///
    /// # Errors
    /// `TypeError` for too few or too many, or a named one.
    pub fn check(&self, name: &str, least: usize, most: usize) -> R<()> {
        self.check_named(name, least, most, &[])
    }

    /// As [`Args::check_named`], in the wording of functions that CPython parses the older way.
    ///
    /// # Errors
    /// `TypeError` for too few or too many, or an unknown name.
    pub fn check_parsed(&self, name: &str, least: usize, most: usize, named: &[&str]) -> R<()> {
        let count = self.pos.len() + self.kw.len();
        let (bound, word) = if count < least { (least, "least") } else { (most, "most") };
        if (least..=most).contains(&count) {
            return self.check_named(name, 0, most, named);
        }
        let plural = if bound == 1 { "" } else { "s" };
        type_error(format!("{name}() takes at {word} {bound} argument{plural} ({count} given)"))
    }

    /// Check the counts of a function, some of whose parameters may be named.
    ///
    /// # Errors
    /// `TypeError` for too few or too many, or an unknown name.
    pub fn check_named(&self, name: &str, least: usize, most: usize, named: &[&str]) -> R<()> {
        if let Some((bad, _)) = self.kw.iter().find(|(n, _)| !named.contains(&&**n)) {
            if named.is_empty() {
                return type_error(format!("{name}() takes no keyword arguments"));
            }
            return type_error(format!("'{bad}' is an invalid keyword argument for {name}()"));
        }
        let count = self.pos.len();
        if (count + self.kw.len() < least) || count > most {
            let plural = |n: usize| if n == 1 { "" } else { "s" };
            return type_error(if least == most {
                match least {
                    0 => format!("{name}() takes no arguments ({count} given)"),
                    1 => format!("{name}() takes exactly one argument ({count} given)"),
                    n => format!("{name} expected {n} arguments, got {count}"),
                }
            } else if count < least {
                format!("{name} expected at least {least} argument{}, got {count}", plural(least))
            } else {
                format!("{name} expected at most {most} argument{}, got {count}", plural(most))
            });
        }
        Ok(())
    }
}

/// A native function.
pub struct NativeFn {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub call: fn(&mut Vm, Args) -> R<Value>,
}

impl std::fmt::Debug for NativeFn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}>", self.name)
    }
}

/// Budgets of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Statements, calls and turns of loops.
    pub steps: u64,
    /// Bytes that may be asked for, whether or not they are given back.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { steps: 200_000, memory: 16 << 20 }
    }
}

/// One evaluation.
pub struct Vm {
    /// Steps left.
    pub(crate) steps: u64,
    /// Bytes left.
    pub(crate) memory: usize,
    /// Python calls inside one another.
    pub(crate) depth: u32,
    /// Their statements and expressions inside one another.
    pub(crate) weight: u32,
    /// The clock of the epoch, in microseconds since 1970.
    pub clock: i64,
    /// Data model of the event.
    pub model: Option<Rc<DataModel>>,
    /// The key-value cache, where there is one.
    pub cache: Option<Rc<RefCell<Session>>>,
    /// Where imports are found; only while loading.
    pub library: Option<Rc<Library>>,
    /// True while a module is loaded.
    pub loading: bool,
}

impl Vm {
    /// A machine with budgets and a clock (microseconds since 1970).
    pub fn new(limits: Limits, clock: i64) -> Vm {
        Vm {
            steps: limits.steps,
            memory: limits.memory,
            depth: 0,
            weight: 0,
            clock,
            model: None,
            cache: None,
            library: None,
            loading: false,
        }
    }

    /// A machine for a native function that has none at hand; it calls no Python.
    pub(crate) fn detached() -> Vm {
        Vm::new(Limits::default(), 0)
    }

    /// Begin a call.
    ///
    /// # Errors
    /// Unknown beyond [`MAX_CALLS`] or [`MAX_WEIGHT`].
    pub(crate) fn enter(&mut self, code: &Code) -> R<()> {
        if self.depth >= MAX_CALLS || self.weight + code.weight > MAX_WEIGHT {
            return unknown(format!("more than {MAX_CALLS} calls, or {MAX_WEIGHT} expressions, inside one another"));
        }
        self.depth += 1;
        self.weight += code.weight;
        Ok(())
    }

    /// End a call.
    pub(crate) fn leave(&mut self, code: &Code) {
        self.depth -= 1;
        self.weight -= code.weight;
    }

    /// Take steps from the budget.
    ///
    /// # Errors
    /// [`Stop::Steps`] when it is used up.
    #[inline]
    pub fn charge(&mut self, steps: u64) -> R<()> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(Stop::Steps)
            }
        }
    }

    /// Take bytes from the budget.
    ///
    /// # Errors
    /// [`Stop::Memory`] when it is used up.
    #[inline]
    pub fn memory(&mut self, bytes: usize) -> R<()> {
        match self.memory.checked_sub(bytes) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => {
                self.memory = 0;
                Err(Stop::Memory)
            }
        }
    }
}
