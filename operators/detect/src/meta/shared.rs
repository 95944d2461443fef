//! Files beside the detections that Python rules share: helper modules (`AnalysisType: global`) and data models.
use super::keys::{BAD_ID, Keys, MAX_ITEMS, MAX_NAME};
use super::{MAX_BODY, beside, read};
use crate::python::AnalysisType;
use crate::python::repository::{DataModel, Helper, Module, Place};
use model::{Files, Problem};
use serde_json::{Map, Value as J};
use std::sync::Arc;

const HELPER: &[&str] =
    &["AnalysisType", "CreatedBy", "Description", "DisplayName", "Filename", "GlobalID", "Reference", "Status", "Tags"];
const MODEL: &[&str] = &[
    "AnalysisType",
    "CreatedBy",
    "DataModelID",
    "Description",
    "DisplayName",
    "Enabled",
    "Filename",
    "LogTypes",
    "Mappings",
    "Reference",
    "Status",
    "Tags",
];

/// A helper module.
pub(super) fn helper(files: &dyn Files, file: &str, map: &Map<String, J>, found: &mut Vec<Problem>) -> Option<Helper> {
    let mut keys = Keys::new(map, AnalysisType::Rule, found);
    keys.only("helper", HELPER);
    let id = keys.text("GlobalID", MAX_NAME).unwrap_or_default();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    if id.is_empty() || !id.chars().all(is_name) || id.starts_with(|c: char| c.is_numeric()) {
        keys.bad("GlobalID", "must be the name by which Python imports the module", None);
    }
    let module = module(files, file, map, found);
    match module {
        Some(module) => Some(Helper { id: id.into(), module }),
        None => {
            if !map.contains_key("Filename") {
                found.push(Problem::at("Filename", "`Filename` is missing").hint("name the Python file of the helper"));
            }
            None
        }
    }
}

/// A data model; `None` also if it is disabled.
pub(super) fn data_model(
    files: &dyn Files,
    file: &str,
    map: &Map<String, J>,
    found: &mut Vec<Problem>,
) -> Option<DataModel> {
    let mut keys = Keys::new(map, AnalysisType::Rule, found);
    keys.only("data model", MODEL);
    let id = keys.text("DataModelID", MAX_NAME).unwrap_or_default();
    if id.is_empty() || id.contains(BAD_ID) {
        keys.bad("DataModelID", "must be an id", None);
    }
    let enabled = keys.enabled();
    let log_types = keys.log_types();
    let mappings = mappings(map, &mut keys);
    let module = module(files, file, map, found);
    if module.is_none()
        && let Some((name, _)) = mappings.iter().find(|(_, place)| matches!(place, Place::Method(_)))
        && !map.contains_key("Filename")
    {
        let message = format!("`Mappings` gives `{name}` by a method, but there is no `Filename`");
        found.push(Problem::at("Mappings", message));
    }
    enabled.then(|| DataModel { id: id.into(), log_types, mappings, module })
}

fn mappings(map: &Map<String, J>, keys: &mut Keys) -> Vec<(Arc<str>, Place)> {
    let Some(J::Array(list)) = map.get("Mappings") else {
        keys.bad("Mappings", "must be a list of `{Name: …, Path: …}` or `{Name: …, Method: …}`", None);
        return Vec::new();
    };
    if list.len() > MAX_ITEMS {
        keys.bad("Mappings", &format!("has more than {MAX_ITEMS} items"), None);
    }
    let text = |v: &J, key: &str| v.get(key).and_then(J::as_str).filter(|s| !s.is_empty()).map(Arc::<str>::from);
    let mut out: Vec<(Arc<str>, Place)> = Vec::new();
    for (i, item) in list.iter().take(MAX_ITEMS).enumerate() {
        let at = format!("Mappings[{i}]");
        match (text(item, "Name"), text(item, "Path"), text(item, "Method")) {
            (Some(name), Some(path), None) => out.push((name, Place::Path(path))),
            (Some(name), None, Some(method)) => out.push((name, Place::Method(method))),
            _ => keys.bad(&at, "must be `{Name: …, Path: …}` or `{Name: …, Method: …}`", None),
        }
    }
    out
}

/// The Python module that `Filename` names.
fn module(files: &dyn Files, file: &str, map: &Map<String, J>, found: &mut Vec<Problem>) -> Option<Module> {
    if !map.contains_key("Filename") {
        return None;
    }
    let (name, _) = Keys::new(map, AnalysisType::Policy, found).filename()?;
    source(files, file, &name, found)
}

/// The Python module in a file beside another.
fn source(files: &dyn Files, file: &str, name: &str, found: &mut Vec<Problem>) -> Option<Module> {
    let path = beside(file, name);
    let text = match read(files, &path, MAX_BODY * 4) {
        Ok(s) if s.chars().count() > MAX_BODY => Err(format!("`{path}` is longer than {MAX_BODY} characters")),
        other => other,
    };
    let text = text.map_err(|e| found.push(Problem::at("Filename", e))).ok()?;
    Some(Module { file: path.into(), text: text.into() })
}

/// The Python module of a detection. Without it the detection is left out, which stops no other: a checkout holds
/// templates.
pub(super) fn body(files: &dyn Files, file: &str, name: &str, found: &mut Vec<Problem>) -> Option<Module> {
    let before = found.len();
    let module = source(files, file, name, found);
    for p in found.iter_mut().skip(before) {
        p.warning = true;
        p.message += "; the detection is left out";
    }
    module
}
