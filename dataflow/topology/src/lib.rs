//! `topology.toml`: from text to a plan.
//!
//! ```text
//! text → raw (as written, with places) → check (every error at once) → plan → graph (DOT, Mermaid, SVG), diff
//! ```
//!
//! [`load`] does the whole way and is pure: it reads files through [`model::Files`], opens no connections and starts
//! nothing. Either there is a [`Topology`], or there is at least one error; warnings may come with both. This crate
//! knows no concrete part. It gets the registry, and asks each part for its facts, its schema and its check.
//!
//! # The file
//!
//! ```toml
//! schema = 1                            # version of the format, required
//! name = "common"                       # names the stream's state; default "millstream"
//! time = "event"                        # clock of windows and limits: "event" | "processing" (default)
//! include = ["nodes/*.toml"]            # more files with nodes, from the topology's folder
//!
//! [engine]                              # all optional: see EngineSettings
//! epoch = "250ms"
//!
//! [log]                                 # where the epoch log is kept, if not in the data folder; `type` of a part
//! [cluster]                             # several processes: see ClusterSettings
//!
//! [sources.cloudtrail]                  # sections: sources, parse, transforms, enrich, detect, correlate, dedup, limit, sinks
//! type = "file"                         # may be left out where a section has one type only
//! path = "${INPUT:-in.jsonl}"           # variables are filled in after parsing, in strings only
//!
//! [parse.events]
//! inputs = ["cloudtrail"]               # outputs: "name" or "name.output"
//!
//! [sinks.dead]
//! type = "http"
//! inputs = ["events.rejected"]          # an error output that nobody reads goes to the dead letters
//! token = "SECRET[env.TOKEN]"           # shown, hashed and stored as these words, never as the secret
//! ```
//!
//! # Checks
//!
//! Nothing stops at the first finding. A [`Diagnostic`] has the file, line, column, the line itself and a hint. The
//! stages are: TOML syntax (`item`), shape and names (`raw`), variables (`interpolate`), settings against the
//! part's JSON Schema (`validate`), the part's own check with the content it names (`check`), and the graph
//! (`wiring`). A stage works with whatever the one before could make out, so that mistakes do not hide each other;
//! the graph alone is not judged while nodes may be missing from it.
mod check;
mod diagnostic;
mod diff;
pub mod graph;
mod interpolate;
mod item;
mod plan;
mod raw;
mod record;
mod schema;
mod settings;
mod text;
mod unit;
mod validate;
mod wiring;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use check::{DEFAULT_NAME, SCHEMA_VERSION};
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic};
pub use diff::{Change, Edit, Plan, Rewired, State, diff};
pub use interpolate::STRING_BYTES_MAX;
pub use plan::{PlanNode, Topology};
pub use raw::{FILE_BYTES_MAX, ID_LEN_MAX, INCLUDED_FILES_MAX, NODES_MAX, RESERVED_IDS};
pub use schema::json_schema;
pub use settings::{ClusterSettings, EngineSettings, SECRET_MIN};

use diagnostic::Findings;
use interpolate::Values;
use model::{Files, Part};
use std::collections::BTreeSet;

/// What came of [`load`].
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The topology, unless there was an error.
    pub topology: Option<Topology>,
    /// Errors first, then warnings; each by file and line. At most [`DIAGNOSTICS_MAX`], and one that counts the rest.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Errors among the findings.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|d| !d.warning)
    }
    /// All findings as text for people.
    pub fn render(&self, color: bool) -> String {
        self.diagnostics.iter().map(|d| d.render(color)).collect()
    }
}

/// Read, check and plan the topology in the file `entry`.
///
/// `env` looks up environment variables; `secrets` looks up `backend.key` and says why there is no such secret; `parts`
/// is the registry.
pub fn load(
    entry: &str,
    files: &dyn Files,
    env: &dyn Fn(&str) -> Option<String>,
    secrets: &dyn Fn(&str) -> Result<String, String>,
    parts: &[&'static dyn Part],
) -> Loaded {
    let mut findings = Findings::default();
    let raw = raw::read(entry, files, &mut findings);
    // After a syntax error high up, what stands on top may be missing because of it.
    let topless = raw.incomplete && raw.top.is_empty();
    if !topless && !check::version(&raw, entry, &mut findings) {
        return Loaded { topology: None, diagnostics: findings.finish(entry) };
    }
    let mut values = Values { env, secrets, used: BTreeSet::new() };
    let head = check::head(&raw, &mut values, &mut findings);
    let incomplete = raw.incomplete;
    let log = raw.log().map(|n| check::node(n, parts, files, &mut values, &mut findings));
    let open = |n| check::node(n, parts, files, &mut values, &mut findings);
    let checked: Vec<_> = raw.nodes.into_iter().map(open).collect();
    if incomplete {
        return Loaded { topology: None, diagnostics: findings.finish(entry) };
    }
    let wiring = wiring::wire(&checked, parts, entry, &mut findings);
    let topology = match findings.failed() {
        true => None,
        false => plan::plan(head, log, checked, &wiring, values.used),
    };
    if topology.is_none() && !findings.failed() {
        findings.error_in(entry, "the topology cannot be planned");
    }
    Loaded { topology, diagnostics: findings.finish(entry) }
}
