//! Lookup tables declared in their own YAML files, in the form of Panther's detection repositories (functional spec
//! §3.1). Files of other kinds in the same folders (rules, schemas) are passed over.
use crate::schema::{self, RowSchema};
use crate::spec::{Matching, TableSpec};
use model::{Files, Problem};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Schemas by id.
pub type Schemas = BTreeMap<String, RowSchema>;

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "AnalysisType")]
    analysis_type: Option<String>,
}

#[derive(Deserialize)]
struct LookupFile {
    #[serde(rename = "LookupName")]
    name: String,
    #[serde(rename = "Enabled")]
    enabled: bool,
    #[serde(rename = "Schema")]
    schema: Option<String>,
    #[serde(rename = "Filename")]
    filename: Option<String>,
    #[serde(rename = "Refresh")]
    refresh: Option<yaml_serde::Value>,
    #[serde(rename = "Query")]
    query: Option<yaml_serde::Value>,
    #[serde(rename = "LogTypeMap")]
    map: LogTypeMap,
}

#[derive(Deserialize)]
struct LogTypeMap {
    #[serde(rename = "PrimaryKey")]
    primary_key: String,
    #[serde(default, rename = "AssociatedLogTypes")]
    log_types: Vec<LogTypeEntry>,
}

#[derive(Deserialize)]
struct LogTypeEntry {
    #[serde(rename = "LogType")]
    log_type: Arc<str>,
    #[serde(default, rename = "Selectors")]
    selectors: Vec<Arc<str>>,
}

/// A YAML error with its place.
pub fn yaml_problem(e: yaml_serde::Error) -> (String, u32, u32) {
    let at = e.location();
    let (line, column) = at.map_or((1, 1), |l| (l.line() as u32, l.column() as u32));
    (e.to_string(), line, column)
}

/// YAML files at the given places. A place with nothing is a finding.
fn yaml_files(setting: &str, places: &[String], files: &dyn Files, found: &mut Vec<Problem>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (i, place) in places.iter().enumerate() {
        let at = format!("{setting}[{i}]");
        match files.list(place) {
            Ok(list) => {
                let yaml = |p: &String| p == place || p.ends_with(".yml") || p.ends_with(".yaml");
                out.extend(list.into_iter().filter(yaml).map(|p| (at.clone(), p)));
            }
            Err(e) => found.push(Problem::at(&at, format!("cannot read `{place}`: {e}"))),
        }
    }
    out
}

fn bytes(setting: &str, path: &str, files: &dyn Files, found: &mut Vec<Problem>) -> Option<Arc<[u8]>> {
    files.read(path).map_err(|e| found.push(Problem::at(setting, format!("cannot read `{path}`: {e}")))).ok()
}

/// Reads the schemas of the setting `schemas`.
pub fn schemas(places: &[String], files: &dyn Files, found: &mut Vec<Problem>) -> Schemas {
    let mut out = Schemas::new();
    for (setting, path) in yaml_files("schemas", places, files, found) {
        let Some(bytes) = bytes(&setting, &path, files, found) else { continue };
        match schema::read(&bytes) {
            Ok((id, schema)) => {
                let stem = path.rsplit('/').next().unwrap_or(&path);
                let stem = stem.rsplit_once('.').map_or(stem, |(s, _)| s);
                out.insert(id.unwrap_or_else(|| stem.to_string()), schema);
            }
            Err((e, line, col)) => found.push(Problem::at(&setting, e).in_file(&path, line, col)),
        }
    }
    out
}

/// Reads the lookup files of the setting `lookups`.
pub fn lookups(places: &[String], schemas: &Schemas, files: &dyn Files, found: &mut Vec<Problem>) -> Vec<TableSpec> {
    let mut out = Vec::new();
    for (setting, path) in yaml_files("lookups", places, files, found) {
        let Some(bytes) = bytes(&setting, &path, files, found) else { continue };
        let head: Head = match yaml_serde::from_slice(&bytes) {
            Ok(h) => h,
            Err(e) => {
                let (e, line, col) = yaml_problem(e);
                found.push(Problem::at(&setting, e).in_file(&path, line, col));
                continue;
            }
        };
        if head.analysis_type.as_deref() != Some("lookup_table") {
            continue;
        }
        match yaml_serde::from_slice::<LookupFile>(&bytes) {
            Ok(f) if f.enabled => out.extend(table(f, &setting, &path, schemas, found)),
            Ok(_) => {}
            Err(e) => {
                let (e, line, col) = yaml_problem(e);
                found.push(Problem::at(&setting, e).in_file(&path, line, col));
            }
        }
    }
    out
}

fn table(f: LookupFile, setting: &str, path: &str, schemas: &Schemas, found: &mut Vec<Problem>) -> Option<TableSpec> {
    let mut tell = |message: String, hint: &str, warning: bool| {
        let p = Problem::at(setting, message).in_file(path, 1, 1).hint(hint);
        found.push(Problem { warning, ..p });
    };
    let name = &f.name;
    let Some(filename) = f.filename else {
        let from = if f.refresh.is_some() || f.query.is_some() { "an object store or a query" } else { "nowhere" };
        let message = format!("lookup table `{name}` takes its rows from {from}: it is left out");
        tell(message, "keep the rows in a file beside it and name it in `Filename`", true);
        return None;
    };
    let schema = match &f.schema {
        None => None,
        Some(id) => {
            let schema = schemas.get(id);
            if schema.is_none() {
                let message =
                    format!("lookup table `{name}`: schema `{id}` is not loaded, columns without it are text");
                tell(message, "name its file or folder in the setting `schemas`", true);
            }
            schema
        }
    };
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let filename = filename.trim_start_matches("./");
    let mut spec = TableSpec {
        name: name.as_str().into(),
        file: if folder.is_empty() { filename.to_string() } else { format!("{folder}/{filename}") },
        key: Some(f.map.primary_key),
        matching: Matching::Exact,
        selectors: BTreeMap::new(),
        types: BTreeMap::new(),
        expires: None,
        setting: setting.to_string(),
        declared_in: Some(path.to_string()),
    };
    for entry in f.map.log_types {
        spec.selectors.entry(entry.log_type).or_default().extend(entry.selectors);
    }
    apply(&mut spec, schema, None);
    for (log_type, selectors) in &spec.selectors {
        if selectors.is_empty() {
            let message = format!("lookup table `{name}`: no selectors for `{log_type}`");
            tell(message, "add `Selectors`, or `indicators` to the primary key in the table's schema", false);
        }
    }
    Some(spec)
}

/// Applies a schema to a table. Log types without selectors get the indicators of the primary key.
pub fn apply(spec: &mut TableSpec, schema: Option<&RowSchema>, matching: Option<Matching>) {
    let key = spec.key.clone().unwrap_or_default();
    let block = schema.is_some_and(|s| s.blocks.contains(&key));
    spec.matching = matching.unwrap_or(if block { Matching::Cidr } else { Matching::Exact });
    let Some(schema) = schema else { return };
    for (column, ty) in &schema.types {
        spec.types.entry(column.clone()).or_insert(*ty);
    }
    spec.expires = spec.expires.take().or_else(|| schema.expires.clone());
    for selectors in spec.selectors.values_mut().filter(|s| s.is_empty()) {
        selectors.extend(schema.indicators.get(&key).into_iter().flatten().map(|s| Arc::from(s.as_str())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::files::MemFiles;

    const LOOKUP: &str = "AnalysisType: lookup_table\nLookupName: hosts\nEnabled: true\nSchema: Custom.Hosts\n\
        Filename: ./hosts.csv\nLogTypeMap:\n  PrimaryKey: net\n  AssociatedLogTypes:\n\
        \x20 - {LogType: AWS.ALB, Selectors: [clientIp, '$.a.b[*].ip']}\n  - LogType: AWS.CloudTrail\n";
    const SCHEMA: &str =
        "schema: Custom.Hosts\nfields:\n- {name: net, type: string, validate: {cidr: any}, indicators: [ip]}\n";

    #[test]
    fn reads_lookup_files_and_passes_over_others() {
        let refresh =
            LOOKUP.replace("Filename: ./hosts.csv", "Refresh: {ObjectPath: 's3://b/k'}").replace(": hosts", ": remote");
        let off = LOOKUP.replace("Enabled: true", "Enabled: false");
        let files = MemFiles::of(&[
            ("t/a/hosts.yml", LOOKUP),
            ("t/remote.yml", &refresh),
            ("t/off.yml", &off),
            ("t/rule.yml", "AnalysisType: rule\nRuleID: x\n"),
            ("t/readme.md", "{"),
            ("s/hosts.yml", SCHEMA),
        ]);
        let mut found = Vec::new();
        let schemas = schemas(&["s".into()], &files, &mut found);
        let specs = lookups(&["t".into()], &schemas, &files, &mut found);
        assert_eq!(specs.len(), 1);
        let t = &specs[0];
        assert_eq!((&*t.name, &*t.file, t.matching), ("hosts", "t/a/hosts.csv", Matching::Cidr));
        assert_eq!(*t.selectors["AWS.ALB"], ["clientIp".into(), "$.a.b[*].ip".into()]);
        assert_eq!(*t.selectors["AWS.CloudTrail"], ["p_any_ip_addresses".into()]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].warning && found[0].message.contains("remote"));
    }

    #[test]
    fn says_what_is_missing_and_where() {
        let files = MemFiles::of(&[("t/a.yml", LOOKUP), ("t/b.yml", "AnalysisType: lookup_table\nLookupName: [\n")]);
        let mut found = Vec::new();
        let specs = lookups(&["t".into(), "none".into()], &Schemas::new(), &files, &mut found);
        assert_eq!(specs.len(), 1);
        let has = |text: &str| found.iter().any(|p| p.message.contains(text));
        assert!(
            has("Custom.Hosts") && has("no selectors for `AWS.CloudTrail`") && has("cannot read `none`"),
            "{found:?}"
        );
        assert!(found.iter().any(|p| p.file.as_ref().is_some_and(|f| f.0 == "t/b.yml")), "{found:?}");
    }
}
