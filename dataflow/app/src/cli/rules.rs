//! The command line of `millstream rules`.
use super::Output;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `rules`.
#[derive(Subcommand)]
pub enum RulesCommand {
    /// Run events through sources, parsers and enrichment up to the detections, and show what each rule takes.
    ///
    /// Nothing is written. The figures are of one thread and include the clock that is read around every decision.
    Cost(RulesCostArgs),
    /// Show how a rule is run: its conditions as they are compiled, what wakes it, what it reads, and what a run's ledger says.
    Explain(RulesExplainArgs),
    /// Show what shadow rules (`shadow` of a detect node) match beside the live rules: what both match, what only one does.
    Shadow(RulesShadowArgs),
    /// Find everything doubtful about rules: some that can never match, fields that no schema has, missing tests and texts.
    ///
    /// `rules lint DIR` looks at rules alone, `rules lint topology.toml` as a topology runs them: with the log types that it
    /// parses. Errors end with code 1; warnings do not, unless --strict.
    Lint(RulesLintArgs),
    /// List the packs of collections: their version, what they name, what of it is enabled, and what is not there.
    ///
    /// Of a topology, it tells which packs its detections and correlations run (`packs`, `except`). The version is the tag
    /// and commit of the checkout, where it is one of git; the hash of a pack is of everything that it names.
    Packs(RulesPacksArgs),
    /// Look at rules in another form before a topology names them.
    #[command(subcommand)]
    Import(ImportCommand),
}

/// `rules packs`.
#[derive(Args)]
pub struct RulesPacksArgs {
    /// Folders of detections and packs, such as a checkout; or a topology file.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Only these packs, by id; `*` stands for any text.
    #[arg(long, value_name = "ID")]
    pub pack: Vec<String>,
    /// End with code 1 if a pack names what is not there.
    #[arg(long)]
    pub strict: bool,
    /// Form of the result; json names every member.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `rules import`.
#[derive(Subcommand)]
pub enum ImportCommand {
    /// Read Sigma rules and tell which of them run here, and why others do not.
    ///
    /// Nothing is written: a topology names the same folder, `rules = ["sigma/rules"]`, and runs what is supported.
    /// A rule is supported if a mapping knows a log type for its log source. Mappings for AWS, Okta, GitHub, GCP, Zeek,
    /// web servers, syslog and Windows are in the binary; --mapping adds yours, as `sigma_mappings` of a detect node does:
    ///
    ///   sources:
    ///     - logsource: {product: acme, service: audit}
    ///       shapes:
    ///         - {log_type: Custom.Acme, when: {kind: audit}, fields: {user: actor.name}}
    ///   placeholders: {Administrators: ['adm-*']}
    #[command(verbatim_doc_comment)]
    Sigma(ImportSigmaArgs),
    /// Read Python rules and policies and tell which of them run here, and what is in the way of others.
    ///
    /// Nothing is written: a topology names the same folder, `rules = ["panther-analysis"]`, and runs what is enabled.
    /// Helper modules and data models are found in the same folders.
    Python(ImportPythonArgs),
}

/// `rules import python`.
#[derive(Args)]
pub struct ImportPythonArgs {
    /// Files or folders of rules, helpers and data models, such as a checkout.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// End with code 1 if an enabled detection does not run as a whole.
    #[arg(long)]
    pub strict: bool,
    /// A CPython of the machine, by path or name, such as `python3`: it answers for what of Python rules is not compiled.
    #[arg(long)]
    pub cpython: Option<PathBuf>,
    /// Folder of a virtual environment of that CPython whose packages the rules may import.
    #[arg(long, requires = "cpython")]
    pub cpython_venv: Option<PathBuf>,
    /// Form of the result; json names every detection with what is in its way.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `rules import sigma`.
#[derive(Args)]
pub struct ImportSigmaArgs {
    /// Files or folders of Sigma rules, such as a checkout.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Files that say which events a log source means; asked before the mappings in the binary.
    #[arg(long, value_name = "FILE")]
    pub mapping: Vec<PathBuf>,
    /// End with code 1 if a document has mistakes.
    #[arg(long)]
    pub strict: bool,
    /// Form of the result; json names every document with its findings.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `rules explain`.
#[derive(Args)]
pub struct RulesExplainArgs {
    /// Id of the rule.
    pub rule: String,
    /// The topology file.
    #[arg(long, default_value = "topology.toml", env = "MILLSTREAM_TOPOLOGY")]
    pub topology: PathBuf,
    /// Measure it on so many events of the sources first: what wakes a rule depends on what events look like.
    #[arg(long, default_value_t = 0)]
    pub events: u64,
    /// Measure it on these files.
    #[arg(long, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// The source that --input stands for, if there are several.
    #[arg(long, value_name = "ID")]
    pub source: Option<String>,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

impl RulesExplainArgs {
    /// The measurement that is asked for.
    pub fn measured(&self) -> RulesCostArgs {
        let (topology, input, source) = (self.topology.clone(), self.input.clone(), self.source.clone());
        RulesCostArgs { topology, input, source, events: self.events, top: 1, scan: false, output: self.output }
    }
}

/// `rules shadow`.
#[derive(Args)]
pub struct RulesShadowArgs {
    /// The topology file.
    #[arg(default_value = "topology.toml", env = "MILLSTREAM_TOPOLOGY")]
    pub topology: PathBuf,
    /// Events of each rule that are shown, where a sink stores them.
    #[arg(long, default_value_t = 3)]
    pub samples: usize,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `rules lint`.
#[derive(Args)]
pub struct RulesLintArgs {
    /// Files or folders of rules, or a topology.
    pub paths: Vec<PathBuf>,
    /// Look at the rules as this topology would run them.
    #[arg(long, value_name = "FILE")]
    pub topology: Option<PathBuf>,
    /// Files or folders of schemas besides the shipped ones, for rules without a topology.
    #[arg(long, value_name = "PATH")]
    pub schemas: Vec<PathBuf>,
    /// Ask for so many tests of each rule; from 2 on, for one that expects a match and one that does not.
    #[arg(long, default_value_t = 0)]
    pub minimum_tests: usize,
    /// End with code 1 for warnings as well.
    #[arg(long)]
    pub strict: bool,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// `rules cost`.
#[derive(Args)]
pub struct RulesCostArgs {
    /// The topology file.
    #[arg(default_value = "topology.toml")]
    pub topology: PathBuf,
    /// Read these files in place of what the topology's source reads (needed where that is not files or a generator).
    #[arg(long, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// The source that --input stands for, if there are several.
    #[arg(long, value_name = "ID")]
    pub source: Option<String>,
    /// End after this many events.
    #[arg(long, default_value_t = 200_000)]
    pub events: u64,
    /// Rules that are shown.
    #[arg(long, default_value_t = 20)]
    pub top: usize,
    /// Also decide every YAML and Sigma rule on every whole event by itself, without columns and index, and compare: it takes a
    /// hundred times as long. Code 1 if the outcomes differ.
    #[arg(long)]
    pub scan: bool,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}
