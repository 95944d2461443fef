//! What a pool is opened with.

use std::path::PathBuf;
use std::time::Duration;

/// Interpreter, packages and limits.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The interpreter; without it the one of `venv`, else the first CPython 3.9 or later on the `PATH`.
    pub python: Option<PathBuf>,
    /// A virtual environment whose packages detections may import. `.pth` files in it are not read.
    pub venv: Option<PathBuf>,
    /// Refuse to run if the machine does not allow every layer of the isolation.
    pub strict: bool,
    /// Which detections share a process.
    pub home: Home,
    /// Limits of a worker.
    pub limits: Limits,
}

/// Which detections share a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// None: a detection can do nothing to another one.
    #[default]
    Apart,
    /// All of them, on so many processes: for detections that one trusts, and for comparisons.
    Together(usize),
}

/// Limits of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time on a processor that one event may take in one detection, with all its functions.
    pub call_cpu: Duration,
    /// Time in which it may neither be on a processor nor stand in line for one, for the same: for one that only waits.
    pub call_wait: Duration,
    /// Time on a processor for starting and for loading a detection with its helpers.
    pub load_cpu: Duration,
    /// Time in which that may wait, as above: for files, mostly.
    pub load_wait: Duration,
    /// Address space of a worker, bytes.
    pub memory: u64,
    /// Processes at a time. The one that was used least recently ends when another is needed.
    pub processes: usize,
    /// Calls in one frame.
    pub batch: usize,
    /// Bytes of an event.
    pub event: usize,
    /// Bytes of what a worker may answer to one call.
    pub answer: usize,
    /// Times that one call may use the cache.
    pub cache_calls: usize,
    /// Bytes of an entry of the cache.
    pub cache_entry: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            call_cpu: Duration::from_secs(1),
            call_wait: Duration::from_secs(5),
            load_cpu: Duration::from_secs(20),
            load_wait: Duration::from_secs(60),
            memory: 512 << 20,
            processes: 64,
            batch: 256,
            event: 16 << 20,
            answer: 16 << 20,
            cache_calls: crate::cache::MAX_USES,
            cache_entry: crate::cache::MAX_ENTRY,
        }
    }
}

/// A module: its source is all that a worker knows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Name by which it is imported.
    pub name: String,
    /// File, for messages.
    pub file: String,
    /// The text.
    pub text: String,
}

/// A detection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detection {
    /// Its id, which is the name of its module too.
    pub id: String,
    /// File, for messages.
    pub file: String,
    /// The text.
    pub text: String,
    /// A policy: `policy()` is called with a plain dict, and `False` is a match.
    pub policy: bool,
}

/// How a data model finds a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// By its path, `$.a.b`, on the event as it is.
    Path(String),
    /// By a function of the model's module.
    Method(String),
}

/// A data model.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Log types it is for.
    pub log_types: Vec<String>,
    /// Names of fields, and how they are found.
    pub mappings: Vec<(String, Field)>,
    /// Module of its methods.
    pub module: Module,
}

/// Everything that is run.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Modules that detections import.
    pub helpers: Vec<Module>,
    /// Detections.
    pub detections: Vec<Detection>,
    /// Data models, the last one of a log type counts.
    pub models: Vec<Model>,
}
