//! Helper modules: loaded once, when a detection or another helper imports them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::eval::Frame;
use crate::exc::{Kind, R, Stop, raise};
use crate::ir::{Line, Stmt, Target};
use crate::lower::lower;
use crate::module::Module;
use crate::native::{Limits, Vm};
use crate::stdlib;
use crate::value::Value;

/// Budgets of loading one module.
pub const LOAD: Limits = Limits { steps: 5_000_000, memory: 256 << 20 };

/// Modules that every detection may import and that are written in Python, as the workers have them: name, file, text.
const OWN: [(&str, &str, &str); 1] = [(
    "panther_detection_helpers.caching",
    "runtime/panther_detection_helpers/caching.py",
    include_str!("../runtime/panther_detection_helpers/caching.py"),
)];

/// Source of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name by which it is imported; of a detection any name.
    pub name: Rc<str>,
    /// File, for messages.
    pub file: Rc<str>,
    /// The text.
    pub text: Rc<str>,
}

/// Why a module could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// File.
    pub file: Rc<str>,
    /// Line, from 1.
    pub line: u32,
    /// What went wrong: a syntax error, an exception, or what is not built.
    pub message: String,
    /// True if it is Python's own error: CPython refuses the module as well.
    pub python: bool,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl std::error::Error for LoadError {}

type Loaded = Result<Rc<Module>, LoadError>;

/// Helper modules by name.
#[derive(Debug, Default)]
pub struct Library {
    sources: HashMap<Rc<str>, Source>,
    loaded: RefCell<HashMap<Rc<str>, Option<Loaded>>>,
    /// Modules whose functions assign globals.
    stateful: RefCell<Vec<Rc<Module>>>,
}

impl Library {
    /// A library of helper modules, and of those that are there for all. Nothing is loaded before it is imported.
    pub fn new(sources: impl IntoIterator<Item = Source>) -> Rc<Library> {
        let own = OWN.map(|(name, file, text)| Source { name: name.into(), file: file.into(), text: text.into() });
        let sources = own.into_iter().chain(sources).map(|s| (s.name.clone(), s)).collect();
        Rc::new(Library { sources, ..Library::default() })
    }

    /// A helper module, loaded if it is not yet.
    pub fn module(self: &Rc<Self>, name: &str) -> Option<Loaded> {
        let source = self.sources.get(name)?;
        if let Some(known) = self.loaded.borrow().get(name) {
            return Some(known.clone().unwrap_or_else(|| {
                Err(LoadError {
                    file: source.file.clone(),
                    line: 1,
                    message: format!("the module {name} imports itself in a circle"),
                    python: false,
                })
            }));
        }
        self.loaded.borrow_mut().insert(source.name.clone(), None);
        let loaded = self.load(source);
        if let Ok(module) = &loaded
            && !module.written.borrow().is_empty()
        {
            self.stateful.borrow_mut().push(module.clone());
        }
        self.loaded.borrow_mut().insert(source.name.clone(), Some(loaded.clone()));
        Some(loaded)
    }

    /// Put the globals that functions assign back, in every helper that is loaded.
    pub fn reset(&self) {
        self.stateful.borrow().iter().for_each(|module| module.reset());
    }

    /// Load a module: lower it, evaluate its body, freeze its constants.
    ///
    /// A statement at its top that is not built makes the names it would bind unavailable; a use of one of them is
    /// unknown.
    ///
    /// # Errors
    /// A syntax error, an exception, or a statement whose effect is not built.
    pub fn load(self: &Rc<Self>, source: &Source) -> Loaded {
        let fail = |line, message, python| LoadError { file: source.file.clone(), line, message, python };
        let lowered = lower(&source.text, &source.file)
            .map_err(|(message, line)| fail(line, format!("SyntaxError: {message}"), true))?;
        let module = Rc::new(Module {
            name: source.name.clone(),
            file: source.file.clone(),
            globals: RefCell::new(lowered.names.iter().map(|name| given(name, source)).collect()),
            names: lowered.names,
            written: RefCell::default(),
            dirty: false.into(),
            gaps: lowered.gaps,
        });
        let mut vm = Vm::new(LOAD, 0);
        vm.library = Some(self.clone());
        vm.loading = true;
        let mut frame = Frame::new(&lowered.code, &module);
        for line in &lowered.code.body {
            match vm.block(&mut frame, std::slice::from_ref(line)) {
                Ok(_) => {}
                Err(Stop::Raise(e)) => {
                    let line = e.at.borrow().as_ref().filter(|p| p.file == source.file).map_or(line.line, |p| p.line);
                    let value = Value::Exc(e.clone());
                    let text = crate::repr::to_str(&mut vm, &value).unwrap_or_default();
                    return Err(fail(line, format!("{}: {text}", e.class.name()), true));
                }
                Err(Stop::Unknown(what)) => {
                    let mut slots = Vec::new();
                    if !binds(line, &mut slots) {
                        return Err(fail(line.line, what.to_string(), false));
                    }
                    for slot in slots {
                        module.globals.borrow_mut()[slot as usize] = Value::Missing(what.clone());
                    }
                }
                Err(Stop::Steps) => return Err(fail(line.line, "loading takes too many steps".into(), false)),
                Err(Stop::Memory) => return Err(fail(line.line, "loading takes too much memory".into(), false)),
            }
        }
        module.seal(&lowered.written);
        module.dirty.set(false);
        Ok(module)
    }
}

/// What a global is before the module is run.
fn given(name: &str, source: &Source) -> Value {
    if name == "__name__" { Value::Str(source.name.clone()) } else { Value::Unbound }
}

/// Globals that a statement binds; false if it may do something else as well.
fn binds(line: &Line, slots: &mut Vec<u32>) -> bool {
    fn target(place: &Target, slots: &mut Vec<u32>) -> bool {
        match place {
            Target::Global(slot) => {
                slots.push(*slot);
                true
            }
            Target::Local(_) => true,
            Target::Unpack(targets, _) => targets.iter().all(|t| target(t, slots)),
            _ => false,
        }
    }
    match &line.stmt {
        Stmt::Assign(targets, _) => targets.iter().all(|t| target(t, slots)),
        Stmt::Class(t, ..) | Stmt::Import(t, ..) => target(t, slots),
        Stmt::If(branches, otherwise) => branches.iter().flat_map(|(_, b)| b).chain(otherwise).all(|l| binds(l, slots)),
        Stmt::Try(t) => {
            let handlers = t.handlers.iter().flat_map(|(_, _, b)| b);
            t.body.iter().chain(handlers).chain(&t.orelse).chain(&t.finally).all(|l| binds(l, slots))
        }
        Stmt::Pass => true,
        _ => false,
    }
}

impl Vm {
    /// `import module` or `from module import name`.
    ///
    /// # Errors
    /// `ImportError` for a name that a module does not have; what loading raises. A module that is not there gives a
    /// value whose use is unknown.
    pub fn import(&mut self, module: &str, name: Option<&str>) -> R<Value> {
        if let Some(library) = self.library.clone()
            && let Some(loaded) = library.module(module)
        {
            return match (loaded, name) {
                (Ok(loaded), None) => Ok(Value::Module(loaded)),
                (Ok(loaded), Some(name)) => match loaded.get(name) {
                    Some(value) => Ok(value),
                    None => raise(
                        Kind::ImportError,
                        format!("cannot import name '{name}' from '{module}' ({})", loaded.file),
                    ),
                },
                (Err(e), _) if e.python => raise(Kind::ImportError, e.to_string()),
                (Err(e), _) => Ok(Value::Missing(Rc::from(format!("{module}: {e}")))),
            };
        }
        if !self.loading {
            return crate::exc::unknown("an import inside a function");
        }
        // A module of a package.
        if let (None, Some(name), Some(library)) = (stdlib::module(module), name, self.library.clone())
            && let Some(Ok(loaded)) = library.module(&format!("{module}.{name}"))
        {
            return Ok(Value::Module(loaded));
        }
        match (stdlib::module(module), name) {
            (Some(native), None) => Ok(Value::NativeModule(native)),
            (Some(native), Some(name)) => Ok(stdlib::member(native, name)),
            (None, None) => Ok(Value::Missing(Rc::from(module))),
            (None, Some(name)) => Ok(Value::Missing(Rc::from(format!("{module}.{name}")))),
        }
    }
}
