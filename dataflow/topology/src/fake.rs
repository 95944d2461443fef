//! Small parts for tests: one of each kind, with settings like the real ones.
#![allow(dead_code)] // many settings are there for their schema only
use crate::{Loaded, load};
use model::files::MemFiles;
use model::part::{Opened, Sharding};
use model::units::{Dur, Rate};
use model::{BuildCx, Built, Files, Flow, Kind, Needs, Node, Part, Path, Port, Problem, Spec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as J;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// Settings that know what they mean.
pub(crate) trait Open: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    fn check(&self, _files: &dyn Files) -> Vec<Problem> {
        Vec::new()
    }
    fn needs(&self) -> Needs {
        Needs::default()
    }
    fn state_key(&self) -> String {
        String::new()
    }
}

pub(crate) struct Fake<S: Open> {
    pub spec: Spec,
    settings: PhantomData<fn() -> S>,
}

struct FakeNode<S>(S);

impl<S: Open> Node for FakeNode<S> {
    fn needs(&self) -> Needs {
        self.0.needs()
    }
    fn state_key(&self) -> String {
        self.0.state_key()
    }
    fn build(&self, _: &BuildCx) -> model::Result<Built> {
        Err("a fake is never built".into())
    }
}

impl<S: Open> Part for Fake<S> {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }
    fn schema(&self) -> J {
        schemars::schema_for!(S).into()
    }
    fn open(&self, _id: &str, settings: &J, files: &dyn Files) -> Opened {
        match S::deserialize(settings) {
            Err(e) => Opened::failed(vec![Problem::at("", e.to_string())]),
            Ok(s) => {
                let problems = s.check(files);
                let failed = problems.iter().any(|p| !p.warning);
                let node = (!failed).then(|| std::sync::Arc::new(FakeNode(s)) as std::sync::Arc<dyn Node>);
                Opened { node, problems }
            }
        }
    }
}

/// Lines of a file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileSource {
    /// File to read. A folder gives all its files.
    path: String,
    /// Look for more every so often.
    #[serde(default)]
    poll: Option<Dur>,
    /// Lines per batch.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10000))]
    batch: Option<u32>,
}
impl Open for FileSource {
    fn check(&self, _: &dyn Files) -> Vec<Problem> {
        match self.path.contains("forbidden") {
            true => vec![Problem::at("path", format!("cannot read `{}`", self.path)).hint("choose another file")],
            false => Vec::new(),
        }
    }
    fn state_key(&self) -> String {
        self.path.clone()
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Http {
    /// Address.
    url: String,
    /// Password.
    #[serde(default)]
    token: String,
}
impl Open for Http {
    fn check(&self, _: &dyn Files) -> Vec<Problem> {
        match self.url.starts_with("http") {
            true => Vec::new(),
            false => vec![Problem::at("url", format!("`{}` with token {} is no address", self.url, self.token))],
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parse {
    /// Log types to try.
    #[schemars(length(min = 1))]
    log_types: Vec<String>,
}
impl Open for Parse {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Field that must be there.
    field: String,
}
impl Open for Filter {
    fn needs(&self) -> Needs {
        let mut n = Needs::default();
        n.path("*", Path::key(&self.field));
        n
    }
}

/// A lookup table.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Name of the table.
    name: String,
    /// CSV file.
    #[serde(default)]
    file: Option<String>,
    /// Fields to look up by log type.
    #[serde(default)]
    selectors: BTreeMap<String, Vec<String>>,
}
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Enrich {
    /// Tables.
    #[serde(default)]
    table: Vec<Table>,
}
impl Open for Enrich {
    fn check(&self, _: &dyn Files) -> Vec<Problem> {
        let named = |(i, t): (usize, &Table)| {
            let each = t.selectors.iter().flat_map(|(k, v)| v.iter().enumerate().map(move |(n, p)| (k, n, p)));
            let bad = each.filter(|(_, _, p)| p.starts_with('.'));
            let at = |(k, n, p)| {
                Problem::at(&format!("table[{i}].selectors.{k}[{n}]"), format!("bad path `{p}` of {}", t.name))
            };
            bad.map(at).collect::<Vec<_>>()
        };
        self.table.iter().enumerate().flat_map(named).collect()
    }
    fn needs(&self) -> Needs {
        let mut n = Needs::default();
        for t in &self.table {
            for (log_type, paths) in &t.selectors {
                paths.iter().filter_map(|p| Path::parse(p).ok()).for_each(|p| n.path(log_type, p));
            }
        }
        n
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Detect {
    /// Files or folders of rules.
    rules: Vec<String>,
}
impl Open for Detect {
    fn check(&self, files: &dyn Files) -> Vec<Problem> {
        let mut out = Vec::new();
        for (i, r) in self.rules.iter().enumerate() {
            let Ok(names) = files.list(r) else {
                out.push(Problem::at(&format!("rules[{i}]"), format!("nothing at `{r}`")));
                continue;
            };
            for n in names {
                let text = String::from_utf8(files.read(&n).unwrap().to_vec()).unwrap();
                for (l, line) in text.lines().enumerate().filter(|(_, l)| l.contains("Severty")) {
                    let col = line.split("Severty").next().unwrap().chars().count() as u32 + 1;
                    let p =
                        Problem::at(&format!("rules[{i}]"), "unknown key `Severty`").hint("did you mean `Severity`?");
                    out.push(p.in_file(&n, l as u32 + 1, col));
                }
                if text.contains("Old") {
                    out.push(Problem::at("", "an old rule").in_file(&n, 1, 1).warn());
                }
            }
        }
        out
    }
    fn needs(&self) -> Needs {
        let mut n = Needs::default();
        n.path("*", Path::key("rule_field"));
        n
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Dedup {
    /// Window.
    #[serde(default)]
    window: Option<Dur>,
    /// How it is keyed.
    #[serde(default)]
    by: Option<String>,
}
impl Open for Dedup {
    fn state_key(&self) -> String {
        format!("dedup by {:?}", self.by)
    }
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Release {
    /// When the window ends.
    Window,
    /// By hand.
    Hand,
}
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// Alerts per time.
    limit: Rate,
    /// When a stopped rule goes on.
    #[serde(default)]
    #[allow(dead_code)]
    release: Option<Release>,
}
impl Open for Limit {
    fn state_key(&self) -> String {
        format!("limit of {}", self.limit.per_ms)
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Jsonl {
    /// File to write.
    path: String,
    /// Fields.
    #[serde(default)]
    fields: Vec<String>,
}
impl Open for Jsonl {
    fn needs(&self) -> Needs {
        let mut n = Needs::default();
        self.fields.iter().for_each(|f| n.path("*", Path::key(f)));
        n
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Lake {
    /// Folder.
    path: String,
}
impl Open for Lake {
    fn check(&self, _: &dyn Files) -> Vec<Problem> {
        Vec::new()
    }
    fn needs(&self) -> Needs {
        let mut n = Needs::default();
        n.all("*");
        n
    }
    fn state_key(&self) -> String {
        self.path.clone()
    }
}

const fn port(name: &'static str, flow: Flow) -> Port {
    Port { name, flow, error: false }
}
const REJECTED: Port = Port { name: "rejected", flow: Flow::Rejected, error: true };

fn fake<S: Open>(
    kind: Kind,
    name: &'static str,
    inputs: &'static [Flow],
    outputs: &'static [Port],
) -> &'static dyn Part {
    let spec = Spec { kind, name, doc: "A part for tests.", inputs, outputs, sharding: Sharding::Single };
    Box::leak(Box::new(Fake::<S> { spec, settings: PhantomData }))
}

/// The registry of tests.
pub(crate) fn parts() -> Vec<&'static dyn Part> {
    use Flow::*;
    vec![
        fake::<FileSource>(Kind::Source, "file", &[], &const { [port("", Raw)] }),
        fake::<Http>(Kind::Source, "http", &[], &const { [port("", Raw)] }),
        fake::<Parse>(Kind::Parse, "parse", &[Raw], &const { [port("", Events), REJECTED] }),
        fake::<Filter>(
            Kind::Transform,
            "filter",
            &[Events, Matches, Alerts],
            &const { [port("", Events), port("dropped", Events)] },
        ),
        fake::<Enrich>(Kind::Enrich, "lookup", &[Events], &const { [port("", Events)] }),
        fake::<Detect>(Kind::Detect, "detect", &[Events], &const { [port("", Matches)] }),
        fake::<Dedup>(Kind::Dedup, "dedup", &[Matches], &const { [port("", Alerts), port("matches", Matches)] }),
        fake::<Limit>(Kind::Limit, "limit", &[Alerts], &const { [port("", Alerts), port("suppressed", Alerts)] }),
        fake::<Jsonl>(Kind::Sink, "jsonl", &[Events, Matches, Alerts, Rejected], &[]),
        fake::<Lake>(Kind::Sink, "lake", &[Events, Matches], &[]),
    ]
}

/// A topology that uses every kind.
pub(crate) const WHOLE: &str = r#"schema = 1
name = "whole"
time = "event"

[engine]
epoch = "100ms"
lanes = 2

[sources.trail]
type = "file"
path = "${INPUT:-in.jsonl}"

[sources.hook]
type = "http"
url = "http://x"
token = "SECRET[env.TOKEN]"

[parse.events]
inputs = ["trail", "hook"]
log_types = ["AWS.CloudTrail"]

[transforms.only]
inputs = ["events"]
field = "eventName"

[enrich.geo]
inputs = ["only"]
[[enrich.geo.table]]
name = "geo"
selectors = { "AWS.CloudTrail" = ["sourceIPAddress"] }

[detect.rules]
inputs = ["geo"]
rules = ["rules"]

[dedup.dedup]
inputs = ["rules"]
window = "1h"

[limit.storm]
inputs = ["dedup"]
limit = "1000/h"
release = "hand"

[sinks.alerts]
type = "jsonl"
inputs = ["storm", "storm.suppressed"]
path = "alerts.jsonl"
fields = ["title"]

[sinks.matches]
type = "lake"
inputs = ["dedup.matches"]
path = "lake"
"#;

/// Load `files` (the first one is the entry) with the variables and secrets of the tests.
pub(crate) fn run(files: &[(&str, &str)]) -> Loaded {
    let mut all = files.to_vec();
    if !files.iter().any(|(p, _)| p.starts_with("rules")) {
        all.push(("rules/a.yml", "RuleID: a\n"));
    }
    let env = |n: &str| match n {
        "A" => Some("a-value".to_string()),
        "N" => Some("7".to_string()),
        "INPUT" => Some("from-env.jsonl".to_string()),
        _ => None,
    };
    let secrets = |n: &str| match n {
        "env.TOKEN" => Ok("hunter2-secret".to_string()),
        _ => Err(format!("no variable {}", n.trim_start_matches("env."))),
    };
    load(files[0].0, &MemFiles::of(&all), &env, &secrets, &parts())
}

/// The findings as text.
pub(crate) fn findings(files: &[(&str, &str)]) -> String {
    run(files).render(false)
}
