//! What a part of the product is to the rest: a name, a schema of its settings, a check, and a way to build it.
//!
//! Written → checked → built → running: [`Part::open`] is pure (reads content files, opens no sockets, starts
//! nothing) and reports every problem; [`Node::build`] makes the running pieces, once per worker or shard.
use crate::files::Files;
use crate::needs::Needs;
use crate::objects::OpenObjects;
use crate::operator::{Keyed, Map};
use crate::sink::Sink;
use crate::source::{Reader, Source};
use crate::store::Log;
use crate::{Result, record::Record};
use std::sync::Arc;

/// Section of the topology a part belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `[sources.*]`
    Source,
    /// `[parse.*]`
    Parse,
    /// `[transforms.*]`
    Transform,
    /// `[enrich.*]`
    Enrich,
    /// `[detect.*]`
    Detect,
    /// `[correlate.*]`
    Correlate,
    /// `[dedup.*]`
    Dedup,
    /// `[limit.*]`
    Limit,
    /// `[sinks.*]`
    Sink,
    /// `[log]`: not a node of the graph, but where its epoch log and commit records are kept.
    Log,
}

impl Kind {
    /// All kinds of nodes in the order of the flow.
    pub const ALL: [Kind; 9] = [
        Kind::Source,
        Kind::Parse,
        Kind::Transform,
        Kind::Enrich,
        Kind::Detect,
        Kind::Correlate,
        Kind::Dedup,
        Kind::Limit,
        Kind::Sink,
    ];
    /// Name of the TOML section.
    pub fn section(self) -> &'static str {
        match self {
            Kind::Source => "sources",
            Kind::Parse => "parse",
            Kind::Transform => "transforms",
            Kind::Enrich => "enrich",
            Kind::Detect => "detect",
            Kind::Correlate => "correlate",
            Kind::Dedup => "dedup",
            Kind::Limit => "limit",
            Kind::Sink => "sinks",
            Kind::Log => "log",
        }
    }
}

/// What an edge carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// Raw records.
    Raw,
    /// Parsed events.
    Events,
    /// Matches of rules.
    Matches,
    /// Alerts.
    Alerts,
    /// Rejected input.
    Rejected,
}

/// A named output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name; the default output (port 0) is called `""`.
    pub name: &'static str,
    /// What it carries.
    pub flow: Flow,
    /// An error port: unconnected, it goes to the dead-letter store, not to nothing.
    pub error: bool,
}

/// How many writers a sink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharding {
    /// One shard: everything in one total order.
    Single,
    /// One shard per lane, of whose events most stay on the worker that read them. Records go to one shard.
    Lanes,
    /// Events by lane, with as many shards as lanes; records by key group ([`crate::Record::key`]), with as many as
    /// [`Node::shards`] says.
    Groups,
}

/// Facts of a part.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Section.
    pub kind: Kind,
    /// Value of `type` in the topology, e.g. `file`. Where a section has one type only, `type` may be left out.
    pub name: &'static str,
    /// One sentence for `--help`, the schema and the reference.
    pub doc: &'static str,
    /// Flows it accepts; empty for sources.
    pub inputs: &'static [Flow],
    /// Outputs; empty for sinks. An output of a part that passes its input on (`transforms`) has the input's flow.
    pub outputs: &'static [Port],
    /// Only for sinks.
    pub sharding: Sharding,
}

impl Spec {
    /// A source: raw records, and what could not be read.
    pub fn source(name: &'static str, doc: &'static str) -> Spec {
        const OUTPUTS: &[Port] = &[
            Port { name: "", flow: Flow::Raw, error: false },
            Port { name: "rejected", flow: Flow::Rejected, error: true },
        ];
        Spec { kind: Kind::Source, name, doc, inputs: &[], outputs: OUTPUTS, sharding: Sharding::Single }
    }
}

/// A finding of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the node's settings (`rules[2]`, `path`), empty for the node itself.
    pub setting: String,
    /// Content file and line the problem is in, if it is not in the topology itself.
    pub file: Option<(String, u32, u32)>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// A warning does not stop a run.
    pub warning: bool,
}

impl Problem {
    /// An error at a setting.
    pub fn at(setting: &str, message: impl Into<String>) -> Problem {
        Problem { setting: setting.into(), file: None, message: message.into(), hint: None, warning: false }
    }
    /// Add what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
    /// Point into a content file (1-based line and column).
    pub fn in_file(mut self, file: &str, line: u32, col: u32) -> Problem {
        self.file = Some((file.into(), line, col));
        self
    }
    /// Make it a warning.
    pub fn warn(mut self) -> Problem {
        self.warning = true;
        self
    }
}

/// A kind of node. One static instance each, listed in the app's registry.
pub trait Part: Sync {
    /// Name, ports, docs.
    fn spec(&self) -> Spec;
    /// JSON Schema of the settings (from the settings struct).
    fn schema(&self) -> serde_json::Value;
    /// Check the settings (already valid against the schema, variables filled in) and load what they name. Reports
    /// every problem it can find; warnings come back beside the node.
    fn open(&self, id: &str, settings: &serde_json::Value, files: &dyn Files) -> Opened;
}

/// Result of [`Part::open`].
pub struct Opened {
    /// The node, unless there were errors.
    pub node: Option<Arc<dyn Node>>,
    /// Errors and warnings.
    pub problems: Vec<Problem>,
}

impl Opened {
    /// A node without findings.
    pub fn ok(node: impl Node + 'static) -> Opened {
        Opened { node: Some(Arc::new(node)), problems: Vec::new() }
    }
    /// Errors, no node.
    pub fn failed(problems: Vec<Problem>) -> Opened {
        Opened { node: None, problems }
    }
}

/// A checked node: immutable, holds its loaded rules, schemas or tables.
pub trait Node: Send + Sync {
    /// Paths this node reads from events.
    fn needs(&self) -> Needs {
        Needs::default()
    }
    /// Identity of the state's meaning. State is kept over an edit while it stays the same, reset when it changes.
    fn state_key(&self) -> String {
        String::new()
    }
    /// One line per thing worth knowing in `check` and `plan` ("20 rules", "50,000 rows").
    fn summary(&self) -> String {
        String::new()
    }
    /// How many shards write the records of a [`Sharding::Groups`] sink, of at most `lanes`. A change of it is an edit like
    /// any other: epochs logged before it are replayed under the topology they were logged with.
    fn shards(&self, lanes: u32) -> u32 {
        lanes
    }
    /// For a keyed node whose output it also reads itself: the nodes it consists of, each of which reads what the node reads and
    /// what those before it put out. Empty = just this one.
    fn stages(&self) -> Vec<Arc<dyn Node>> {
        Vec::new()
    }
    /// A keyed node that belongs to this stateless one and is not shown in the topology: it judges in order what this one
    /// cannot where the events are.
    fn inner(&self) -> Option<Inner> {
        None
    }
    /// Make a running instance.
    fn build(&self, cx: &BuildCx) -> Result<Built>;
}

/// See [`Node::inner`]. What leaves the inner node leaves by the outer one's output of the same index.
pub struct Inner {
    /// Its id is `<id of the outer node>.<name>`.
    pub name: &'static str,
    /// Outputs of the outer node, with one more at the end, which the inner node reads.
    pub outputs: &'static [Port],
    /// The node.
    pub node: Arc<dyn Node>,
}

/// What a build may know.
#[derive(Clone, Debug, Default)]
pub struct BuildCx {
    /// Node id.
    pub id: Arc<str>,
    /// Name of the topology: with the node's id and the shard it names what must be unique outside (transactional
    /// ids, consumer groups).
    pub topology: Arc<str>,
    /// Incarnation of the cluster; 0 in a trial build, which must not touch the world.
    pub generation: u64,
    /// Identity of the state ([`crate::store::Store::identity`]): a sink with commit records of its own writes it into
    /// them and ignores those of another run (it warns: an earlier run's output is there), or a new data folder would
    /// take old progress for its own and skip epochs.
    pub run: Arc<str>,
    /// Index of this node among the sources (sources only).
    pub index: u32,
    /// Union of the needs of everything downstream (parsers).
    pub needs: Needs,
    /// True if something downstream stores the events of matches ([`crate::Match::event`]).
    pub store_events: bool,
    /// Number of key groups.
    pub groups: u32,
    /// Shard to build (sinks).
    pub shard: u32,
    /// Folder for the product's own files (dead letters, ledger, outbox).
    pub data_dir: std::path::PathBuf,
    /// Folder that relative output and input paths start from: the current folder of the run.
    pub work_dir: std::path::PathBuf,
    /// `time` of the topology: true = dedup windows, limiter and expiry follow event time.
    pub event_time: bool,
    /// Ends when sources are exhausted (`--once`).
    pub once: bool,
    /// Opens object storage by its URL, for sinks that can write there.
    pub objects: OpenObjects,
}

/// A running instance.
pub enum Built {
    /// The coordinator's side of a source and a factory of readers, called on each worker.
    Source(Box<dyn Source>, Box<dyn Fn() -> Result<Box<dyn Reader>> + Send + Sync>),
    /// Stateless operator.
    Map(Box<dyn Map>),
    /// Keyed operator.
    Keyed(Box<dyn Keyed>),
    /// Sink shard.
    Sink(Box<dyn Sink>),
    /// Epoch log and commit records ([`Kind::Log`]).
    Log(Box<dyn Log>),
}

/// Sort records into [`Record::order`]; equal positions keep their order of arrival (one producer each).
pub fn sort_records(records: &mut [Record]) {
    records.sort_by(|a, b| a.order().cmp(&b.order()));
}
