//! Which events a Sigma log source means here, and what its fields are called there.
//!
//! A mapping file is YAML; the shipped ones are in `operators/detect/sigma/`. Files that a detect node names are asked
//! first: the first file that knows a log source decides it.
//!
//! ```yaml
//! sources:
//!   - logsource: {product: windows, category: process_creation}   # or a list of them
//!     shapes:                                  # the forms that such an event may have; each is looked for
//!       - log_type: Windows.EventLogs
//!         when: {EventID: 4688, Channel: Security}   # as in a Sigma search, with the names of the log type
//!         fields:
//!           Image: NewProcessName              # a path in the event
//!           User: [SubjectUserName, actor."odd.key"]  # one of several
//!           cs-method: {path: request, form: '{} *'}  # a part of a value: `{}` is what the rule asks for
//!         strict: true                         # fields not named here are not in the event: the rule is reported
//!         keywords: [message]                  # where keywords are looked for; without it: in the whole event
//! placeholders:
//!   Administrators: ['adm-*', root]            # for the modifier `expand`
//! ```
//!
//! A field that is not named keeps its name, dots separating its parts.
mod read;

use super::finding::Found;
use super::modifier::Item;
use super::value::Placeholders;
use crate::like::glob::Part;
use crate::meta::yaml;
use model::path::Seg;
use model::{Files, Path, Problem};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Largest mapping file, bytes.
pub const MAX_FILE: usize = 4 << 20;

/// The mapping files in the binary.
const SHIPPED: &[(&str, &str)] = &[
    ("azure.yml", include_str!("../../sigma/azure.yml")),
    ("cloud.yml", include_str!("../../sigma/cloud.yml")),
    ("fortinet.yml", include_str!("../../sigma/fortinet.yml")),
    ("kubernetes.yml", include_str!("../../sigma/kubernetes.yml")),
    ("linux.yml", include_str!("../../sigma/linux.yml")),
    ("m365.yml", include_str!("../../sigma/m365.yml")),
    ("macos.yml", include_str!("../../sigma/macos.yml")),
    ("opencanary.yml", include_str!("../../sigma/opencanary.yml")),
    ("proxy.yml", include_str!("../../sigma/proxy.yml")),
    ("web.yml", include_str!("../../sigma/web.yml")),
    ("windows.yml", include_str!("../../sigma/windows.yml")),
    ("zeek.yml", include_str!("../../sigma/zeek.yml")),
];

/// A Sigma log source.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LogSource {
    /// Such as windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Such as process_creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Such as security.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

impl LogSource {
    fn parts(&self) -> [(&'static str, &Option<String>); 3] {
        [("product", &self.product), ("category", &self.category), ("service", &self.service)]
    }

    /// True if everything this one names is so in the other.
    pub fn covers(&self, other: &LogSource) -> bool {
        self.parts().iter().zip(other.parts()).all(|((_, own), (_, other))| own.is_none() || **own == *other)
    }
}

impl fmt::Display for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.parts().into_iter().filter_map(|(k, v)| v.as_ref().map(|v| format!("{k}={v}")));
        f.write_str(&named.collect::<Vec<_>>().join(" "))
    }
}

/// One form of the events of a log source.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The log type.
    pub log_type: Arc<str>,
    /// What must hold for an event to be of the log source.
    pub when: Vec<Item>,
    /// What fields are called in the event.
    pub fields: BTreeMap<String, Vec<Target>>,
    /// Other fields are not in the event.
    pub strict: bool,
    /// Where keywords are looked for; `None`: in the whole event.
    pub keywords: Option<Vec<Target>>,
}

/// Where a field is in an event.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its path.
    pub path: Path,
    /// It is a part of the value there: what stands before and behind it, in each of these forms.
    pub forms: Vec<(Vec<Part>, Vec<Part>)>,
}

impl Target {
    fn whole(path: Path) -> Target {
        Target { path, forms: Vec::new() }
    }
}

impl Shape {
    /// Where a field is; the error says that it is nowhere.
    pub fn targets(&self, field: &str) -> Result<Vec<Target>, String> {
        match self.fields.get(field) {
            Some(targets) => Ok(targets.clone()),
            None if self.strict => Err(format!("no field {field} in {}", self.log_type)),
            None => {
                let parts: Vec<&str> = field.split('.').collect();
                let keys = if parts.contains(&"") { vec![field] } else { parts };
                Ok(vec![Target::whole(Path(keys.into_iter().map(|k| Seg::Key(k.into())).collect()))])
            }
        }
    }
}

/// Mapping files, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct Mappings {
    files: Vec<Vec<(LogSource, Vec<Shape>)>>,
    /// Of all files; the first that gives a name decides it.
    pub placeholders: Placeholders,
}

impl Mappings {
    /// The shipped ones.
    pub fn shipped() -> Mappings {
        let mut out = Mappings::default();
        for (name, text) in SHIPPED {
            let problems = out.add("", name, text);
            debug_assert!(problems.is_empty(), "{name}: {problems:?}");
        }
        out
    }

    /// Files that a topology names, then the shipped ones; and what is wrong with them. Findings carry the setting
    /// `sigma_mappings[i]`.
    pub fn load(files: &dyn Files, paths: &[String]) -> (Mappings, Vec<Problem>) {
        let (mut out, mut problems) = (Mappings::default(), Vec::new());
        for (i, path) in paths.iter().enumerate() {
            let setting = format!("sigma_mappings[{i}]");
            let text = match files.read(path).map_err(|e| e.to_string()) {
                Ok(b) if b.len() > MAX_FILE => Err(format!("it is larger than {MAX_FILE} bytes")),
                Ok(b) => String::from_utf8(b.to_vec()).map_err(|e| format!("it is not UTF-8: {}", e.utf8_error())),
                Err(e) => Err(e),
            };
            match text {
                Ok(text) => problems.extend(out.add(&setting, path, &text)),
                Err(e) => problems.push(Problem::at(&setting, format!("cannot read `{path}`: {e}"))),
            }
        }
        let shipped = Mappings::shipped();
        out.files.extend(shipped.files);
        (out, problems)
    }

    /// Add a file behind those that are there.
    pub fn add(&mut self, setting: &str, file: &str, text: &str) -> Vec<Problem> {
        let v = match yaml::parse(text) {
            Ok(v) => v,
            Err(((line, col), e)) => {
                return vec![Problem::at(setting, format!("this is not YAML: {e}")).in_file(file, line, col)];
            }
        };
        let mut found = Found::default();
        let (sources, placeholders) = read::read(&v, &mut found);
        let findings = found.placed(text, 0);
        let problems: Vec<Problem> = findings.iter().map(|f| f.problem(setting, file)).collect();
        self.files.push(sources);
        for (name, values) in placeholders {
            self.placeholders.entry(name).or_insert(values);
        }
        problems
    }

    /// The forms of a log source; none if no file knows it.
    pub fn shapes(&self, logsource: &LogSource) -> Vec<&Shape> {
        let known = |file: &&Vec<(LogSource, Vec<Shape>)>| file.iter().any(|(l, _)| l == logsource);
        let file = self.files.iter().find(known).into_iter().flatten();
        file.filter(|(l, _)| l == logsource).flat_map(|(_, shapes)| shapes).collect()
    }

    /// Every log type that is named.
    pub fn log_types(&self) -> Vec<&str> {
        let shapes = self.files.iter().flatten().flat_map(|(_, shapes)| shapes);
        let mut out: Vec<&str> = shapes.map(|s| &*s.log_type).collect();
        out.sort_unstable();
        out.dedup();
        out
    }
}
