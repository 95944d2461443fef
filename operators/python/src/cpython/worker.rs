//! One worker process: its start, loading a detection, calling detections.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::interpreter::Interpreter;
use super::settings::{Detection, Field, Limits, Sources};
use super::spawn::Starter;
use super::wire::{Broken, Wire};
use crate::cache::{Cache, Overlay};

/// Version of the frames; both sides say it before anything else.
pub const VERSION: u32 = 1;

/// What the interpreter is started with.
pub const BOOTSTRAP: &str = include_str!("../../runtime/bootstrap.py");

/// Modules that every worker has: name, file, text, is it a package.
const RUNTIME: [(&str, &str, &str, bool); 16] = [
    ("boto3", "boto3.py", include_str!("../../runtime/boto3.py"), false),
    ("botocore", "botocore/__init__.py", include_str!("../../runtime/botocore/__init__.py"), true),
    ("botocore.exceptions", "botocore/exceptions.py", include_str!("../../runtime/botocore/exceptions.py"), false),
    ("panther_core", "panther_core/__init__.py", include_str!("../../runtime/panther_core/__init__.py"), true),
    (
        "panther_core.immutable",
        "panther_core/immutable.py",
        include_str!("../../runtime/panther_core/immutable.py"),
        false,
    ),
    (
        "panther_core.exceptions",
        "panther_core/exceptions.py",
        include_str!("../../runtime/panther_core/exceptions.py"),
        false,
    ),
    (
        "panther_core.enriched_event",
        "panther_core/enriched_event.py",
        include_str!("../../runtime/panther_core/enriched_event.py"),
        false,
    ),
    (
        "panther_core.data_model",
        "panther_core/data_model.py",
        include_str!("../../runtime/panther_core/data_model.py"),
        false,
    ),
    (
        "panther_detection_helpers",
        "panther_detection_helpers/__init__.py",
        include_str!("../../runtime/panther_detection_helpers/__init__.py"),
        true,
    ),
    (
        "panther_detection_helpers.caching",
        "panther_detection_helpers/caching.py",
        include_str!("../../runtime/panther_detection_helpers/caching.py"),
        false,
    ),
    ("worker", "worker/__init__.py", include_str!("../../runtime/worker/__init__.py"), true),
    ("worker.channel", "worker/channel.py", include_str!("../../runtime/worker/channel.py"), false),
    ("worker.clock", "worker/clock.py", include_str!("../../runtime/worker/clock.py"), false),
    ("worker.results", "worker/results.py", include_str!("../../runtime/worker/results.py"), false),
    ("worker.serve", "worker/serve.py", include_str!("../../runtime/worker/serve.py"), false),
    ("worker.state", "worker/state.py", include_str!("../../runtime/worker/state.py"), false),
];

/// Functions after `rule`, in the order in which they are called.
pub const AFTER: [&str; 9] =
    ["title", "description", "reference", "severity", "runbook", "destinations", "dedup", "alert_context", "unique"];

/// A detection called with an event.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Id of the detection.
    pub detection: &'a str,
    /// The event, a JSON object.
    pub event: &'a str,
    /// Log type, for the data model; without it the event's `p_log_type`.
    pub log_type: Option<&'a str>,
    /// Functions wanted on a match, in order ([`AFTER`]). Those that the detection has not are left out of the answer.
    pub functions: &'a [&'a str],
    /// Names in the detection's module that are replaced by a mock which returns a value: for tests.
    pub mocks: &'a [(String, Json)],
    /// Also give the exact text of every value ([`crate::canonical`]).
    pub exact: bool,
}

/// What a detection answers to an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Outputs by function, `rule` (or `policy`) first; the others only on a match.
    Outputs(Vec<(String, Output)>),
    /// The detection cannot be loaded: every event that it should have seen is an error of it.
    NotLoaded(Raised),
    /// The event killed its worker twice, or a limit was reached; the reason.
    Failed(String),
}

/// What a function gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A value.
    Value {
        /// Name of its Python type.
        kind: String,
        /// As JSON, if all of it has such a form: tuples and sets are lists, keys texts. Texts are cut after 4,096
        /// characters.
        json: Option<Json>,
        /// The exact text, if it was asked for.
        exact: Option<String>,
    },
    /// An exception.
    Raised(Raised),
    /// A value with more than so many bytes.
    TooLarge(u64),
}

/// A Python exception.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raised {
    /// Name of its class.
    pub class: String,
    /// Its text, `str(e)`.
    pub message: String,
    /// `repr(e)`.
    pub repr: String,
    /// File, line from 1 and function where it came up.
    pub at: Option<(String, u32, String)>,
}

/// A frame that a worker writes.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Reply {
    Hello {
        version: u32,
        python: String,
    },
    Loaded {
        #[serde(rename = "loaded")]
        _loaded: bool,
    },
    NotLoaded {
        error: ExceptionReply,
    },
    Cache {
        cache: String,
        key: String,
        #[serde(default)]
        entry: Json,
    },
    Answer {
        batch: u64,
        call: usize,
        answer: Vec<(String, OutputReply)>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionReply {
    raised: String,
    text: String,
    repr: String,
    at: Option<(String, u32, String)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OutputReply {
    Raised(ExceptionReply),
    Large { large: u64 },
    Value(ValueReply),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueReply {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "present")]
    json: Option<Json>,
    #[serde(default)]
    exact: Option<String>,
}

/// A null that is there is not a value that is missing.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(from).map(Some)
}

impl From<ExceptionReply> for Raised {
    fn from(e: ExceptionReply) -> Raised {
        Raised { class: e.raised, message: e.text, repr: e.repr, at: e.at }
    }
}

impl From<OutputReply> for Output {
    fn from(reply: OutputReply) -> Output {
        match reply {
            OutputReply::Raised(e) => Output::Raised(e.into()),
            OutputReply::Large { large } => Output::TooLarge(large),
            OutputReply::Value(v) => Output::Value { kind: v.kind, json: v.json, exact: v.exact },
        }
    }
}

/// The first frame of a worker.
pub fn first(interpreter: &Interpreter, sources: &Sources) -> Vec<u8> {
    let runtime: serde_json::Map<String, Json> = RUNTIME
        .iter()
        .map(|(name, file, text, package)| ((*name).into(), json!([format!("runtime/{file}"), text, package])))
        .collect();
    let helpers: Vec<Json> =
        sources.helpers.iter().map(|m| json!({"name": m.name, "file": m.file, "text": m.text})).collect();
    let models = sources.models.iter().enumerate().map(|(number, model)| {
        let mappings = model.mappings.iter().map(|(name, field)| match field {
            Field::Path(path) => json!({"name": name, "path": path}),
            Field::Method(method) => json!({"name": name, "method": method}),
        });
        json!({
            "name": number.to_string(), "log_types": model.log_types, "mappings": mappings.collect::<Vec<_>>(),
            "file": model.module.file, "text": model.module.text,
        })
    });
    let path: Vec<_> = interpreter.library.iter().chain(&interpreter.packages).map(|p| p.to_string_lossy()).collect();
    json!({
        "version": VERSION, "path": path, "runtime": runtime, "helpers": helpers, "models": models.collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes()
}

/// A worker.
#[derive(Debug)]
pub struct Worker {
    wire: Wire,
    batch: u64,
    limits: Limits,
    /// Ids of the detections that it has loaded.
    pub loaded: Vec<String>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.wire.end(false);
    }
}

impl Worker {
    /// Start one.
    ///
    /// # Errors
    /// What the system said, or that the worker did not come up.
    pub fn start(starter: &Starter, first: &[u8], limits: &Limits) -> Result<Worker, String> {
        let started = starter.start().map_err(|e| format!("a worker cannot be started: {e}"))?;
        let wire = Wire::new(started, limits.answer);
        let mut worker = Worker { wire, batch: 0, limits: *limits, loaded: Vec::new() };
        let watch = worker.wire.watch(limits.load_cpu, limits.load_wait);
        let hello = worker.wire.send(&[first], &watch).and_then(|()| worker.wire.receive(&watch));
        match hello.and_then(|frame| reply(&frame)) {
            Ok(Reply::Hello { version: VERSION, python }) if !python.is_empty() => Ok(worker),
            Ok(_) => Err("a worker speaks another version".into()),
            Err(broken) => Err(format!("a worker did not come up: {}", worker.reason(broken))),
        }
    }

    /// Load a detection.
    ///
    /// # Errors
    /// The worker broke. The inner error is the detection's.
    pub fn load(&mut self, detection: &Detection, clock: i64) -> Result<Result<(), Raised>, Broken> {
        let request = json!({
            "id": detection.id, "file": detection.file, "text": detection.text, "policy": detection.policy, "clock": clock,
        });
        let watch = self.wire.watch(self.limits.load_cpu, self.limits.load_wait);
        let body = request.to_string();
        self.wire.send(&[&(body.len() as u32).to_le_bytes(), body.as_bytes()], &watch)?;
        loop {
            let frame = self.wire.receive(&watch)?;
            match reply(&frame)? {
                Reply::Loaded { .. } => {
                    self.loaded.push(detection.id.clone());
                    return Ok(Ok(()));
                }
                Reply::NotLoaded { error } => return Ok(Err(error.into())),
                Reply::Cache { .. } => {
                    self.answer_cache(Err("the cache cannot be used while a detection is loaded".into()), &watch)?;
                }
                _ => return Err(Broken::Protocol("not the answer to a load".into())),
            }
        }
    }

    /// Call detections, in order; each answer is handed over as it comes.
    ///
    /// # Errors
    /// The worker broke in the call after the last one that was answered.
    pub fn run(
        &mut self,
        calls: &[Call],
        clock: i64,
        cache: &mut dyn Cache,
        mut answered: impl FnMut(Answer),
    ) -> Result<(), Broken> {
        self.batch += 1;
        let described: Vec<Json> = calls.iter().map(describe).collect();
        let header = json!({"batch": self.batch, "clock": clock, "calls": described}).to_string();
        let size = (header.len() as u32).to_le_bytes();
        let mut parts = vec![&size[..], header.as_bytes()];
        parts.extend(calls.iter().map(|c| c.event.as_bytes()));
        let mut watch = self.wire.watch(self.limits.call_cpu, self.limits.call_wait);
        self.wire.send(&parts, &watch)?;
        let mut overlay = Overlay::default();
        let mut number = 0;
        while number < calls.len() {
            let frame = self.wire.receive(&watch)?;
            match reply(&frame)? {
                Reply::Cache { cache: operation, key, entry } => {
                    let (most, bytes) = (self.limits.cache_calls, self.limits.cache_entry);
                    let answer = match operation.as_str() {
                        "put" => overlay.put(&key, &entry, most, bytes).map(|()| Json::Null),
                        _ => overlay.get(&key, cache, most).map(|held| held.map_or(Json::Null, |e| e.to_json())),
                    };
                    self.answer_cache(answer, &watch)?;
                }
                Reply::Answer { batch, call, answer } if batch == self.batch && call == number => {
                    let full = std::mem::take(&mut overlay).commit(cache);
                    let outputs: Vec<(String, Output)> = answer.into_iter().map(|(f, o)| (f, o.into())).collect();
                    let spent = outputs.iter().any(|(_, o)| matches!(o, Output::Raised(r) if r.class == "MemoryError"));
                    answered(match full.first() {
                        None => Answer::Outputs(outputs),
                        Some(key) => Answer::Failed(format!("the cache has no room for the key {key:?}")),
                    });
                    number += 1;
                    if spent {
                        return Err(Broken::Memory);
                    }
                    watch = self.wire.watch(self.limits.call_cpu, self.limits.call_wait);
                }
                _ => return Err(Broken::Protocol("not the answer to a call".into())),
            }
        }
        match self.wire.chatter() {
            true => Err(Broken::Protocol("more than was asked for".into())),
            false => Ok(()),
        }
    }

    fn answer_cache(&mut self, answer: Result<Json, String>, watch: &super::wire::Watch) -> Result<(), Broken> {
        let answer = match answer {
            Ok(entry) => json!({ "entry": entry }),
            Err(error) => json!({ "error": error }),
        };
        self.wire.send(&[answer.to_string().as_bytes()], watch)
    }

    /// End the worker; why, in words.
    pub fn reason(&mut self, broken: Broken) -> String {
        let ended = self.wire.end(broken == Broken::Ended);
        match broken {
            Broken::Ended => format!("the worker {ended}"),
            // One text for both, so that it is the same whichever is seen first.
            Broken::Slow(cpu, wait) => format!("it took more than {cpu:?} on a processor or waited more than {wait:?}"),
            Broken::Memory => "its memory was used up".into(),
            Broken::Protocol(what) => format!("it wrote into the pipe of the worker ({what})"),
        }
    }
}

fn describe(call: &Call) -> Json {
    let mocks: serde_json::Map<String, Json> = call.mocks.iter().cloned().collect();
    json!({
        "id": call.detection, "size": call.event.len(), "log_type": call.log_type, "functions": call.functions,
        "mocks": mocks, "exact": call.exact,
    })
}

fn reply(frame: &[u8]) -> Result<Reply, Broken> {
    serde_json::from_slice(frame).map_err(|e| Broken::Protocol(e.to_string()))
}
