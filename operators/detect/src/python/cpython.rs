//! Detections that a CPython of the machine answers, see [`::python::cpython`].
//!
//! It is asked about every event of a detection of which the verdict is not compiled as a whole, and about an event for
//! which a compiled function came upon something that is not built. All functions of an event run in one of the two.
use super::repository::{self, Place, Repository};
use super::{AnalysisType, EventHandle, Failure, Script};
use crate::contract::kind;
use crate::rule::{Body, Rule};
use crate::template::clip;
use ::python::Entry;
use ::python::cpython::worker::AFTER;
use ::python::cpython::{
    Answer, Cache, Call, Detection, Field, Home, Model, Module, Output, Pool, Raised, Settings, Sources,
};
use model::Problem;
use serde_json::Value as J;
use std::path::PathBuf;

/// Which CPython.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interpreter {
    /// Path or name of the program.
    pub program: PathBuf,
    /// A virtual environment whose packages detections may import.
    pub venv: Option<PathBuf>,
    /// Which detections share a process.
    pub home: Home,
}

/// Workers for the Python detections of a load; any number of engines may ask them. A process starts with the first
/// event that is for it.
#[derive(Debug)]
pub struct Cpython {
    pool: Pool,
}

impl Cpython {
    /// Find the interpreter and have everything ready for the Python detections among these, which all come from one
    /// load; with a warning if the machine does not allow the whole isolation.
    ///
    /// # Errors
    /// The interpreter cannot be used, as a finding at the setting that names it.
    pub fn open<'a>(
        interpreter: &Interpreter,
        rules: impl IntoIterator<Item = &'a Rule>,
    ) -> Result<(Cpython, Option<Problem>), Problem> {
        let settings = Settings {
            python: Some(interpreter.program.clone()),
            venv: interpreter.venv.clone(),
            home: interpreter.home,
            ..Settings::default()
        };
        let pool = Pool::open(&settings, sources(rules)).map_err(|p| {
            let setting = if p.setting == "venv" { "cpython_venv" } else { "cpython" };
            Problem { setting: setting.into(), ..p }
        })?;
        let missing = &pool.isolation().missing;
        let warning = (!missing.is_empty()).then(|| {
            let text = format!("Python detections are not shut in wholly on this machine: {}", missing.join("; "));
            let hint = "allow unprivileged user namespaces and Landlock, or run only detections that you trust";
            Problem::at("cpython", text).hint(hint).warn()
        });
        Ok((Cpython { pool }, warning))
    }

    /// Load a detection now; why that fails.
    pub(super) fn check(&self, id: &str) -> Option<String> {
        match self.pool.check(id, 0) {
            Ok(None | Some(Answer::Outputs(_))) => None,
            Ok(Some(Answer::NotLoaded(raised))) => Some(load_error(raised).repr),
            Ok(Some(Answer::Failed(why))) | Err(why) => Some(why),
        }
    }

    /// Ask about an event: what its functions gave, or why nothing came. Without a key-value cache its use is an error.
    ///
    /// # Errors
    /// No worker can be started: nothing is known of the detection.
    pub(super) fn ask(
        &self,
        id: &str,
        event: &EventHandle,
        mocks: &[(String, J)],
        cache: Option<&mut dyn Cache>,
    ) -> Result<Result<Vec<(String, Output)>, Failure>, String> {
        let (answer, used) = self.call(id, event, mocks, false, cache)?;
        Ok(match (answer, used) {
            (Some(Answer::Outputs(_)), Some(key)) => Err(Failure::new(kind::UNSUPPORTED, no_cache(&key))),
            (Some(Answer::Outputs(outputs)), None) => Ok(outputs),
            (Some(Answer::NotLoaded(raised)), _) => Err(load_error(raised)),
            (Some(Answer::Failed(why)), _) => Err(Failure::new(kind::WORKER, clip(why))),
            (None, _) => Err(Failure::new(kind::WORKER, "no answer came".into())),
        })
    }

    /// Ask about an event with the exact texts of all values; or why nothing can be compared.
    ///
    /// # Errors
    /// No worker can be started.
    pub(super) fn ask_exactly(
        &self,
        id: &str,
        event: &EventHandle,
        mocks: &[(String, J)],
        cache: Option<&mut dyn Cache>,
    ) -> Result<Result<Answer, String>, String> {
        Ok(match self.call(id, event, mocks, true, cache)? {
            (_, Some(key)) => Err(no_cache(&key)),
            (Some(answer), None) => Ok(answer),
            (None, None) => Err("no answer came".into()),
        })
    }

    /// What comes back, and the first key of the cache that was asked for where there is none.
    fn call(
        &self,
        id: &str,
        event: &EventHandle,
        mocks: &[(String, J)],
        exact: bool,
        cache: Option<&mut dyn Cache>,
    ) -> Result<(Option<Answer>, Option<String>), String> {
        let (event, log_type, clock) = (event.text(), Some(&*event.log_type), event.setting.clock);
        let call = Call { detection: id, event, log_type, functions: &AFTER, mocks, exact };
        let mut absent = Absent::default();
        let cache = cache.unwrap_or(&mut absent);
        let answer = self.pool.call(&[call], clock, cache)?.pop();
        Ok((answer, absent.used))
    }
}

fn no_cache(key: &str) -> String {
    clip(format!("it uses the key-value cache (key {key:?}), which there is none of here"))
}

/// Notes that a detection uses a cache that is not there.
#[derive(Default)]
struct Absent {
    used: Option<String>,
}

impl Cache for Absent {
    fn get(&mut self, key: &str) -> Option<Entry> {
        self.used.get_or_insert_with(|| key.into());
        None
    }

    fn put(&mut self, key: &str, _entry: Entry) -> bool {
        self.used.get_or_insert_with(|| key.into());
        true
    }
}

fn load_error(raised: Raised) -> Failure {
    let at = raised.at.map(|(file, line, _)| format!("{file}:{line}: ")).unwrap_or_default();
    Failure::new(kind::LOAD, clip(format!("{at}{}: {}", raised.class, raised.message)))
}

/// The Python detections among these, with what they share.
fn sources<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Sources {
    let mut out = Sources::default();
    for rule in rules {
        let Body::Python(script) = &rule.body else { continue };
        if out.detections.is_empty() {
            share(&script.repository, &mut out);
        }
        out.detections.push(detection(&rule.meta.id, script));
    }
    out
}

fn detection(id: &str, script: &Script) -> Detection {
    Detection {
        id: id.into(),
        file: script.module.file.to_string(),
        text: script.module.text.to_string(),
        policy: script.entry == AnalysisType::Policy,
    }
}

fn share(repository: &Repository, out: &mut Sources) {
    let module = |name: &str, m: &repository::Module| Module {
        name: name.into(),
        file: m.file.to_string(),
        text: m.text.to_string(),
    };
    out.helpers = repository.helpers.iter().map(|h| module(&h.id, &h.module)).collect();
    // A worker takes the last model of a log type, here the first one counts.
    let models = repository.models.iter().rev().map(|m| Model {
        log_types: m.log_types.iter().map(|t| t.to_string()).collect(),
        mappings: m.mappings.iter().map(|(name, place)| (name.to_string(), field(place))).collect(),
        module: m.module.as_ref().map(|own| module(&m.id, own)).unwrap_or_default(),
    });
    out.models = models.collect();
}

fn field(place: &Place) -> Field {
    match place {
        Place::Path(path) => Field::Path(path.to_string()),
        Place::Method(method) => Field::Method(method.to_string()),
    }
}

#[cfg(test)]
mod tests;
