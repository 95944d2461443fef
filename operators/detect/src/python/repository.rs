//! What the Python detections of a node share: helper modules and data models.
//!
//! Plain data, read once and given to every worker, which loads from it what its detections import.
use ::python::{Library, Mapping, Source};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Helpers and data models of all folders that a node names.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// `AnalysisType: global`, in the order of their files.
    pub helpers: Vec<Helper>,
    /// `AnalysisType: datamodel`, enabled ones, in the order of their files.
    pub models: Vec<DataModel>,
}

/// A helper module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// `GlobalID`: the name by which it is imported.
    pub id: Arc<str>,
    /// Its module.
    pub module: Module,
}

/// Source of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Content file.
    pub file: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

/// The data model of log types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataModel {
    /// `DataModelID`.
    pub id: Arc<str>,
    /// `LogTypes`.
    pub log_types: Vec<Arc<str>>,
    /// `Mappings`: names and where their values are.
    pub mappings: Vec<(Arc<str>, Place)>,
    /// `Filename`: the module of its methods.
    pub module: Option<Module>,
}

/// Where the value of a mapping is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Path`.
    Path(Arc<str>),
    /// `Method`.
    Method(Arc<str>),
}

impl Module {
    /// As the compiler takes it, under a name.
    pub fn source(&self, name: &str) -> Source {
        Source { name: name.into(), file: (*self.file).into(), text: (*self.text).into() }
    }
}

/// The repository as one thread has it: helpers and data models, loaded when they are asked for.
pub struct Shared {
    repository: Arc<Repository>,
    /// The helpers.
    pub library: Rc<Library>,
    models: RefCell<BTreeMap<Arc<str>, Option<Rc<::python::DataModel>>>>,
}

impl Shared {
    /// Nothing is loaded yet.
    pub fn new(repository: Arc<Repository>) -> Shared {
        let library = Library::new(repository.helpers.iter().map(|h| h.module.source(&h.id)));
        Shared { repository, library, models: RefCell::default() }
    }

    /// The data model of a log type, with its module loaded; `None` if there is none. Methods of a module that does
    /// not load are unknown when they are called.
    pub fn model(&self, log_type: &str) -> Option<Rc<::python::DataModel>> {
        if let Some(known) = self.models.borrow().get(log_type) {
            return known.clone();
        }
        let model = self.repository.models.iter().find(|m| m.log_types.iter().any(|t| **t == *log_type));
        let model = model.map(|m| Rc::new(self.load(m)));
        self.models.borrow_mut().insert(log_type.into(), model.clone());
        model
    }

    fn load(&self, model: &DataModel) -> ::python::DataModel {
        let module = model.module.as_ref().and_then(|m| self.library.load(&m.source(&model.id)).ok());
        let mappings = model.mappings.iter().map(|(name, place)| {
            let place = match place {
                Place::Path(path) => Mapping::Path((**path).into()),
                Place::Method(method) => Mapping::Method((**method).into()),
            };
            (Rc::from(&**name), place)
        });
        ::python::DataModel { mappings: mappings.collect(), module }
    }
}

impl Repository {
    /// True if a module names a package, or a helper that does, in turn.
    pub fn imports(&self, module: &Module, package: &str) -> bool {
        let (mut texts, mut seen) = (vec![&*module.text], vec![false; self.helpers.len()]);
        while let Some(text) = texts.pop() {
            if text.contains(package) {
                return true;
            }
            for (helper, seen) in self.helpers.iter().zip(&mut seen) {
                if !*seen && text.contains(&*helper.id) {
                    *seen = true;
                    texts.push(&helper.module.text);
                }
            }
        }
        false
    }

    /// 16 hex digits over everything in it.
    pub fn digest(&self) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for h in &self.helpers {
            parts.extend([&*h.id, &*h.module.text]);
        }
        for m in &self.models {
            parts.extend(m.log_types.iter().map(|t| &**t));
            for (name, place) in &m.mappings {
                let (Place::Path(at) | Place::Method(at)) = place;
                parts.extend([&**name, &**at]);
            }
            parts.extend(m.module.iter().map(|m| &*m.text));
        }
        format!("{:016x}", model::key::key_hash(&parts))
    }

    /// Log types that have more than one data model, with the ids of the models.
    pub fn doubled(&self) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
        let mut out: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        for m in &self.models {
            m.log_types.iter().for_each(|t| out.entry(t.clone()).or_default().push(m.id.clone()));
        }
        out.retain(|_, ids| ids.len() > 1);
        out
    }
}
