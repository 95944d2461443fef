//! The contract between a scripted rule and the engine: what each function must return, and what happens when it does not.
//!
//! | function | absent | fails or returns something else | too long |
//! |---|---|---|---|
//! | `title` | `DisplayName`, else the rule's id | the rule's id | cut to 1,000 characters |
//! | `description`, `reference`, `runbook` | the static text | empty | cut |
//! | `severity` | static | static | – |
//! | `destinations` | routing rules | routing rules | first 10 |
//! | `dedup` | the title, else `defaultDedupString:<id>` | `defaultDedupString:<id>` | cut |
//! | `alert_context` | none | `{"_error": …}` | over 204,800 characters: `{"_error": …}` |
//! | `unique` | none | none | cut |
//!
//! A failing auxiliary function never costs the match; its error is kept for tests of rules ([`Found::errors`]).
use crate::template::clip;
use model::{RuleMeta, Severity};
use serde_json::{Value as J, json};

/// Longest `alert_context`, in characters of its JSON.
pub const MAX_CONTEXT: usize = 204_800;
/// Most destinations a rule can choose.
pub const MAX_DESTINATIONS: usize = 10;
/// What `severity` may return, in any case.
pub(crate) const SEVERITIES: &str = "one of INFO, LOW, MEDIUM, HIGH, CRITICAL, DEFAULT";

/// Kinds of failure; a rule error is deduplicated by its kind.
pub mod kind {
    /// The chunk does not compile, fails when run, or defines no `rule`.
    pub const LOAD: &str = "LoadError";
    /// The rule raised an error.
    pub const RUNTIME: &str = "RuntimeError";
    /// A function returned a value of the wrong type.
    pub const RETURN: &str = "FunctionReturnTypeError";
    /// The tick or CPU limit.
    pub const TIME: &str = "TimeLimitError";
    /// The memory limit.
    pub const MEMORY: &str = "MemoryLimitError";
    /// CPython gave no answer: the rule ran into a limit of its worker, or ended it.
    pub const WORKER: &str = "WorkerError";
    /// Not evaluated: the rule was stopped at these limits too often before.
    pub const QUARANTINE: &str = "QuarantineError";
    /// A Python rule came upon something that is not built.
    pub const UNSUPPORTED: &str = "UnsupportedError";

    /// Whether a rule was stopped, which too often puts it into quarantine.
    pub(crate) fn stops(kind: &str) -> bool {
        matches!(kind, TIME | MEMORY | WORKER)
    }
}

/// Result of one rule on one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// No match.
    No,
    /// A match, with everything the rule says about it.
    Match(Box<Found>),
    /// A rule error.
    Error {
        /// See [`kind`].
        kind: String,
        /// What happened, with file and line where known.
        message: String,
    },
}

impl Outcome {
    /// True if the rule was stopped at a limit.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self, Outcome::Error { kind, .. } if kind::stops(kind))
    }
}

/// What a rule says about a match, after fallbacks and cuts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// Reference.
    pub reference: String,
    /// Severity.
    pub severity: Severity,
    /// Runbook.
    pub runbook: String,
    /// `None` = routing rules, empty = no delivery.
    pub destinations: Option<Vec<String>>,
    /// Dedup string, never empty.
    pub dedup: String,
    /// JSON object text.
    pub context: Option<String>,
    /// Value to count instead of events.
    pub unique: Option<String>,
    /// Auxiliary functions that failed: name and error.
    pub errors: Vec<(&'static str, String)>,
}

/// What the functions of a rule gave on a match, in the order in which they are called. Of a text, `Err(true)` = its function
/// failed, `Err(false)` = there is none.
pub(crate) struct Answers {
    pub title: Result<String, bool>,
    pub description: Result<String, bool>,
    pub reference: Result<String, bool>,
    pub severity: Option<Severity>,
    pub runbook: Result<String, bool>,
    pub destinations: Option<Vec<String>>,
    pub dedup: Result<String, bool>,
    pub context: Option<String>,
    pub unique: Result<String, bool>,
    pub errors: Vec<(&'static str, String)>,
}

impl Answers {
    /// With what stands in for the functions that gave nothing.
    pub fn found(self, meta: &RuleMeta) -> Found {
        let fixed = |text: Result<String, bool>, meta: &str| {
            text.unwrap_or_else(|failed| if failed { String::new() } else { meta.into() })
        };
        let title = self.title.unwrap_or_else(|failed| match failed {
            false if !meta.name.is_empty() => clip(meta.name.clone()),
            _ => meta.id.to_string(),
        });
        let dedup = fixed(self.dedup, &title);
        Found {
            description: fixed(self.description, &meta.description),
            reference: fixed(self.reference, &meta.reference),
            severity: self.severity.unwrap_or(meta.severity),
            runbook: fixed(self.runbook, &meta.runbook),
            destinations: self.destinations,
            dedup: if dedup.is_empty() { default_dedup(&meta.id) } else { dedup },
            context: self.context,
            unique: self.unique.ok(),
            errors: self.errors,
            title,
        }
    }
}

/// Dedup string of a rule that names none.
pub fn default_dedup(id: &str) -> String {
    format!("defaultDedupString:{id}")
}

/// Text of a context, or of the error in its place where it is too large.
pub(crate) fn context_text(json: &J) -> String {
    let text = json.to_string();
    // Bytes bound characters from above, so contexts of usual size are not counted.
    match if text.len() > MAX_CONTEXT { text.chars().count() } else { 0 } {
        n if n > MAX_CONTEXT => error_context(format!(
            "alert_context size is [{n}] characters, bigger than maximum of [{MAX_CONTEXT}] characters"
        )),
        _ => text,
    }
}

/// Context that says why there is none.
pub(crate) fn error_context(message: String) -> String {
    json!({ "_error": message }).to_string()
}
