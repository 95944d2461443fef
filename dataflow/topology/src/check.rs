//! Each node on its own: which part it is, what it reads from, whether its settings are right. Everything that is
//! wrong is reported; a node with an error has no [`Checked::opened`], but its part still takes part in the checks of
//! the graph, so that one mistake does not hide another.
use crate::diagnostic::{Findings, listed, suggest};
use crate::interpolate::{self, Filled, Values};
use crate::item::{Item, Val, read_path};
use crate::raw::{Raw, RawNode};
use crate::record::Recorder;
use crate::settings::{ClusterSettings, EngineSettings};
use crate::text::Place;
use crate::validate;
use model::{Files, Kind, Node, Part, Problem, Spec};
use serde_json::Value as J;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Version of the file format.
pub const SCHEMA_VERSION: i64 = 1;
/// Name of a topology that gives none.
pub const DEFAULT_NAME: &str = "millstream";
/// Keys of a node that are not settings of its part.
pub(crate) const NODE_KEYS: [&str; 2] = ["type", "inputs"];

/// What stands above the nodes.
pub(crate) struct Head {
    pub name: String,
    pub event_time: bool,
    pub engine: EngineSettings,
    pub cluster: Option<ClusterSettings>,
}

/// A node and what is known of it.
pub(crate) struct Checked {
    pub id: String,
    pub kind: Kind,
    /// Its header.
    pub place: Place,
    /// Part and its facts, if `type` is right.
    pub part: Option<(&'static dyn Part, Spec)>,
    pub inputs: Vec<Input>,
    /// The list could not be read: that is reported already.
    pub inputs_broken: bool,
    pub opened: Option<OpenNode>,
}

/// An entry of `inputs`.
pub(crate) struct Input {
    pub text: String,
    pub place: Place,
}

/// A node without errors.
pub(crate) struct OpenNode {
    pub node: Arc<dyn Node>,
    /// Settings as they may be shown.
    pub settings: J,
    /// Content files with a hash of their bytes.
    pub content: BTreeMap<String, u64>,
}

/// One word for a node of a kind.
pub(crate) fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => "source",
        Kind::Parse => "parse",
        Kind::Transform => "transform",
        Kind::Enrich => "enrich",
        Kind::Detect => "detect",
        Kind::Correlate => "correlate",
        Kind::Dedup => "dedup",
        Kind::Limit => "limit",
        Kind::Sink => "sink",
        Kind::Log => "log",
    }
}

/// True if the file says that it is of a version this program knows (or says nothing, which is reported).
pub(crate) fn version(raw: &Raw, entry: &str, findings: &mut Findings) -> bool {
    let hint = format!("write `schema = {SCHEMA_VERSION}` on top");
    let Some(e) = raw.top("schema") else {
        findings.error_in(entry, "`schema` is missing: the version of the file format").hint(hint);
        return true;
    };
    match e.item.value {
        Val::Int(SCHEMA_VERSION) => true,
        Val::Int(n) => {
            let m = format!("schema {n} is not supported; this version reads schema {SCHEMA_VERSION}");
            findings.error(&e.item.place, m);
            false
        }
        _ => {
            let m = format!("`schema` must be the integer {SCHEMA_VERSION}, got {}", e.item.type_name());
            findings.error(&e.item.place, m).hint(hint);
            true
        }
    }
}

/// Check `name`, `time` and `[engine]`.
pub(crate) fn head(raw: &Raw, values: &mut Values, findings: &mut Findings) -> Head {
    let mut head =
        Head { name: DEFAULT_NAME.into(), event_time: false, engine: EngineSettings::default(), cluster: None };
    // Names and engine settings are shown everywhere: no place for a secret.
    let no_secrets = |_: &str| Err("secrets may stand in the settings of nodes only".to_string());
    let mut open = Values { env: values.env, secrets: &no_secrets, used: Default::default() };
    if let Some(name) = text_of(raw, "name", &mut open, findings) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || name.len() > crate::raw::ID_LEN_MAX || !name.chars().all(plain) {
            let place = raw.top("name").map(|e| e.item.place.clone()).unwrap_or_default();
            let hint = "use letters, digits, `_`, `-` and `.`, at most 64 characters";
            findings.error(&place, format!("`{name}` cannot be a name of a topology")).hint(hint);
        }
        head.name = name;
    }
    if let Some(time) = text_of(raw, "time", &mut open, findings) {
        head.event_time = time == "event";
        if !["event", "processing"].contains(&time.as_str()) {
            let place = raw.top("time").map(|e| e.item.place.clone()).unwrap_or_default();
            let hint = suggest(&time, ["event", "processing"], "it is one of");
            findings.error(&place, format!("`time` must be `event` or `processing`, got `{time}`")).maybe_hint(hint);
        }
    }
    if let Some(e) = raw.top("engine") {
        head.engine = engine(&e.item, &mut open, findings);
    }
    values.used.append(&mut open.used);
    if let Some(e) = raw.top("cluster") {
        head.cluster = cluster(&e.item, values, findings);
    }
    head
}

fn cluster(item: &Item, values: &mut Values, findings: &mut Findings) -> Option<ClusterSettings> {
    let schema = J::from(schemars::schema_for!(ClusterSettings));
    let mut filled = interpolate::fill(item, &[], values, findings);
    if !valid(&schema, &mut filled, item, "`cluster`", findings) {
        return None;
    }
    match serde_json::from_value::<ClusterSettings>(filled.real) {
        Ok(settings) => {
            for (key, message, hint) in settings.problems() {
                findings.error(&item.place_of(&read_path(&key), false), message).hint(hint);
            }
            Some(settings)
        }
        Err(e) => {
            findings.error(&item.place, format!("`cluster`: {e}"));
            None
        }
    }
}

fn text_of(raw: &Raw, key: &str, values: &mut Values, findings: &mut Findings) -> Option<String> {
    let item = &raw.top(key)?.item;
    if !matches!(item.value, Val::Str(_)) {
        findings.error(&item.place, format!("`{key}` must be a string, got {}", item.type_name()));
        return None;
    }
    let filled = interpolate::fill(item, &[], values, findings);
    filled.failed.is_empty().then(|| filled.real.as_str().unwrap_or_default().to_string())
}

fn engine(item: &Item, values: &mut Values, findings: &mut Findings) -> EngineSettings {
    let schema = J::from(schemars::schema_for!(EngineSettings));
    let mut filled = interpolate::fill(item, &[], values, findings);
    if !valid(&schema, &mut filled, item, "`engine`", findings) {
        return EngineSettings::default();
    }
    match serde_json::from_value::<EngineSettings>(filled.real) {
        Ok(settings) => {
            for (key, message, hint) in settings.problems() {
                findings.error(&item.place_of(&read_path(key), false), message).hint(hint);
            }
            settings
        }
        Err(e) => {
            findings.error(&item.place, format!("`engine`: {e}"));
            EngineSettings::default()
        }
    }
}

/// Check one node and open it.
pub(crate) fn node(
    raw: RawNode,
    parts: &[&'static dyn Part],
    files: &dyn Files,
    values: &mut Values,
    findings: &mut Findings,
) -> Checked {
    let part = part_of(&raw, parts, findings);
    let (inputs, inputs_broken) = inputs_of(&raw, findings);
    let opened = part.as_ref().and_then(|(p, spec)| open(*p, spec, &raw, files, values, findings));
    let RawNode { id, kind, item, .. } = raw;
    Checked { id, kind, place: item.place, part, inputs, inputs_broken, opened }
}

/// The part that `type` names.
fn part_of(raw: &RawNode, parts: &[&'static dyn Part], findings: &mut Findings) -> Option<(&'static dyn Part, Spec)> {
    let of_kind = || parts.iter().map(|p| (*p, p.spec())).filter(|(_, s)| s.kind == raw.kind);
    let names: Vec<&str> = of_kind().map(|(_, s)| s.name).collect();
    let section = raw.kind.section();
    let Some(entry) = raw.item.entry("type") else {
        if names.len() == 1 {
            return of_kind().next();
        }
        let hint = match names.is_empty() {
            true => format!("this program has no parts for [{section}]"),
            false => format!("one of {}", listed(names)),
        };
        findings.error(&raw.item.place, format!("`{}` has no `type`", raw.id)).hint(hint).node(&raw.id);
        return None;
    };
    let place = &entry.item.place;
    let Val::Str(name) = &entry.item.value else {
        let m = format!("`type` must be a string, got {}", entry.item.type_name());
        findings.error(place, m).hint(format!("one of {}", listed(names))).node(&raw.id);
        return None;
    };
    if let Some(found) = of_kind().find(|(_, s)| s.name == name) {
        return Some(found);
    }
    let elsewhere = parts.iter().map(|p| p.spec()).find(|s| s.name == name);
    let hint = match elsewhere {
        Some(s) => Some(format!("`{name}` belongs into [{}.{}]", s.kind.section(), raw.id)),
        None => suggest(name, names.iter().copied(), "there are"),
    };
    let m = format!("there is no {} of type `{name}`", noun(raw.kind));
    findings.error(place, m).maybe_hint(hint).node(&raw.id);
    None
}

/// The entries of `inputs`, and true if the list itself is wrong.
fn inputs_of(raw: &RawNode, findings: &mut Findings) -> (Vec<Input>, bool) {
    let Some(entry) = raw.item.entry("inputs") else { return (Vec::new(), false) };
    if [Kind::Source, Kind::Log].contains(&raw.kind) {
        findings.error(&entry.key_place, format!("a {} has no inputs", noun(raw.kind))).node(&raw.id);
        return (Vec::new(), true);
    }
    let Val::Array(items) = &entry.item.value else {
        let hint = match &entry.item.value {
            Val::Str(s) => format!("write inputs = [\"{s}\"]"),
            _ => "write inputs = [\"name\"] or [\"name.output\"]".into(),
        };
        let m = format!("`inputs` must be a list, got {}", entry.item.type_name());
        findings.error(&entry.item.place, m).hint(hint).node(&raw.id);
        return (Vec::new(), true);
    };
    let (mut out, mut broken) = (Vec::new(), false);
    for i in items {
        match &i.value {
            Val::Str(s) => out.push(Input { text: s.clone(), place: i.place.clone() }),
            _ => {
                broken = true;
                findings.error(&i.place, format!("`inputs` takes strings, got {}", i.type_name())).node(&raw.id);
            }
        }
    }
    (out, broken)
}

fn open(
    part: &'static dyn Part,
    spec: &Spec,
    raw: &RawNode,
    files: &dyn Files,
    values: &mut Values,
    findings: &mut Findings,
) -> Option<OpenNode> {
    let mut filled = interpolate::fill(&raw.item, &NODE_KEYS, values, findings);
    let what = format!("the `{}` {}", spec.name, noun(spec.kind));
    let schema = part.schema();
    let mut own = Owned { findings, node: &raw.id };
    if !valid_in(&schema, &mut filled, &raw.item, &what, &mut own) {
        return None;
    }
    let recorder = Recorder::new(files);
    let opened = part.open(&raw.id, &filled.real, &recorder);
    let failed = opened.problems.iter().any(|p| !p.warning);
    for p in opened.problems {
        problem(p, raw, files, findings);
    }
    if opened.node.is_none() && !failed {
        findings.error(&raw.item.place, format!("{what} cannot be opened")).node(&raw.id);
    }
    let node = opened.node.filter(|_| !failed)?;
    Some(OpenNode { node, settings: filled.shown, content: recorder.seen() })
}

/// Report what a part found.
fn problem(p: Problem, raw: &RawNode, files: &dyn Files, findings: &mut Findings) {
    let found = match &p.file {
        Some((file, line, col)) => findings.error_at(files, (file, *line, *col), p.message),
        None => findings.error(&raw.item.place_of(&read_path(&p.setting), false), p.message),
    };
    let found = found.maybe_hint(p.hint).node(&raw.id);
    if p.warning {
        found.warn();
    }
}

/// Findings about one node.
struct Owned<'a> {
    findings: &'a mut Findings,
    node: &'a str,
}

fn valid(schema: &J, filled: &mut Filled, item: &Item, what: &str, findings: &mut Findings) -> bool {
    valid_in(schema, filled, item, what, &mut Owned { findings, node: "" })
}

/// Check filled-in settings against a schema and report what is wrong. False if they cannot be used.
fn valid_in(schema: &J, filled: &mut Filled, item: &Item, what: &str, own: &mut Owned) -> bool {
    for path in &filled.from_env {
        for value in [&mut filled.real, &mut filled.shown] {
            let Some(at) = interpolate::at_mut(value, path) else { continue };
            if let Some(v) = at.as_str().and_then(|text| validate::coerce(schema, path, text)) {
                *at = v;
            }
        }
    }
    let mut ok = filled.failed.is_empty();
    for v in validate::validate(schema, &filled.real, what) {
        if filled.failed.iter().any(|f| v.path.starts_with(f)) {
            continue;
        }
        ok = false;
        let found = own.findings.error(&item.place_of(&v.path, v.at_key), v.message).maybe_hint(v.hint);
        if !own.node.is_empty() {
            found.node(own.node);
        }
    }
    ok
}
