//! `enrich.lookup`: the settings, their check, and the checked node.
use crate::join::{Join, Plan};
use crate::load::load;
use crate::lookup_file::{apply, lookups, schemas};
use crate::spec::{ColumnType, Expiry, Matching, TableSpec};
use crate::table::{Index, Table};
use crate::thousands;
use model::part::{Flow, Kind, Opened, Port, Sharding};
use model::time::TimeFormat;
use model::{BuildCx, Built, Files, Needs, Node, Part, Problem, Result, Spec};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Tables of one node at most.
pub const MAX_TABLES: usize = 1_000;

/// Settings of `[enrich.*]`.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrichSettings {
    /// Files or folders with lookup tables in YAML (`AnalysisType: lookup_table`). Other files in them are passed over.
    #[serde(default)]
    pub lookups: Vec<String>,
    /// Files or folders with the schemas of lookup tables: column types, address blocks, expiry.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// Tables declared here.
    #[serde(default)]
    pub table: Vec<TableSettings>,
}

/// One table, declared in the topology.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableSettings {
    /// Name under `p_enrichment`.
    pub name: String,
    /// Data file: `.csv` with a header, `.jsonl`, or `.mmdb`.
    pub file: String,
    /// Primary key: the column that selectors are compared with. Needed for all but `.mmdb` files.
    pub key: Option<String>,
    /// How values are compared with the key. Default: `cidr` if the schema says so or the file is `.mmdb`, else `exact`.
    #[serde(rename = "match")]
    pub matching: Option<Matching>,
    /// Selectors by log type (`*` = every log type): paths of the event, or indicator fields (`p_any_ip_addresses`).
    #[serde(default)]
    pub selectors: BTreeMap<String, Vec<String>>,
    /// Types of columns. Without: text, or boolean where every cell is `true` or `false`.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnType>,
    /// Id of the schema of the rows, one of `schemas`.
    pub schema: Option<String>,
    /// Until when a row is valid. Expired rows match nothing.
    pub expires: Option<ExpiresSettings>,
}

/// The column that says until when a row is valid.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpiresSettings {
    /// Column name.
    pub column: String,
    /// How its times are written: rfc3339, unix, unix_ms, unix_us, unix_ns or a strftime format.
    #[serde(default = "rfc3339")]
    pub format: String,
}

fn rfc3339() -> String {
    "rfc3339".into()
}

/// The part `enrich.lookup`.
pub struct EnrichPart;

impl Part for EnrichPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Enrich,
            name: "lookup",
            doc: "Joins lookup tables to events, by equal values or by the address block that holds an address.",
            inputs: &[Flow::Events],
            outputs: &[Port { name: "", flow: Flow::Events, error: false }],
            sharding: Sharding::Lanes,
        }
    }

    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(EnrichSettings).to_value()
    }

    fn open(&self, _: &str, settings: &serde_json::Value, files: &dyn Files) -> Opened {
        let settings = match EnrichSettings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let mut found = Vec::new();
        let schemas = schemas(&settings.schemas, files, &mut found);
        let mut specs = lookups(&settings.lookups, &schemas, files, &mut found);
        for (i, t) in settings.table.into_iter().enumerate() {
            let setting = format!("table[{i}]");
            let schema = t.schema.as_ref().and_then(|id| {
                let schema = schemas.get(id);
                if schema.is_none() {
                    let p = Problem::at(&format!("{setting}.schema"), format!("schema `{id}` is not loaded"));
                    found.push(p.hint("name its file or folder in the setting `schemas`"));
                }
                schema
            });
            let (mut spec, matching) = inline(t, setting, &mut found);
            apply(&mut spec, schema, matching);
            specs.push(spec);
        }
        if specs.is_empty() && found.iter().all(|p| p.warning) {
            found.push(
                Problem::at("", "no table to join").hint("name tables in `lookups` or add a [[enrich.….table]]").warn(),
            );
        }
        if specs.len() > MAX_TABLES {
            found.push(Problem::at("", format!("{} tables, where {MAX_TABLES} are the limit", specs.len())));
            return Opened::failed(found);
        }
        check(&specs, &mut found);
        let mut plan = Plan::default();
        let mut summary = Vec::new();
        for spec in &specs {
            let Some(table) = load(spec, files, &mut found) else { continue };
            summary.push(describe(spec, &table));
            if let Err(p) = plan.add(spec, Arc::new(table)) {
                found.extend(p);
            }
        }
        let failed = found.iter().any(|p| !p.warning);
        let node = EnrichNode { plan: Arc::new(plan), summary: summary.join("; ") };
        Opened { node: (!failed).then(|| Arc::new(node) as Arc<dyn Node>), problems: found }
    }
}

fn inline(t: TableSettings, setting: String, found: &mut Vec<Problem>) -> (TableSpec, Option<Matching>) {
    let expires = t.expires.and_then(|e| match TimeFormat::parse_name(&e.format) {
        Ok(format) => Some(Expiry { column: e.column, format }),
        Err(message) => {
            found.push(Problem::at(&format!("{setting}.expires.format"), message));
            None
        }
    });
    let selectors = t
        .selectors
        .into_iter()
        .map(|(log_type, list)| (Arc::from(log_type.as_str()), list.iter().map(|s| Arc::from(s.as_str())).collect()));
    let spec = TableSpec {
        name: t.name.as_str().into(),
        file: t.file,
        key: t.key,
        matching: Matching::Exact,
        selectors: selectors.collect(),
        types: t.columns,
        expires,
        setting,
        declared_in: None,
    };
    (spec, t.matching)
}

/// What can be said of the tables without their rows.
fn check(specs: &[TableSpec], found: &mut Vec<Problem>) {
    let mut names = BTreeSet::new();
    for spec in specs {
        if spec.name.is_empty() {
            found.push(spec.problem("name", "a table needs a name"));
        } else if !names.insert(&spec.name) {
            let p = spec.problem("name", format!("there are two tables with the name `{}`", spec.name));
            found.push(p.hint("give one of them another name"));
        }
        // Lookup files tell about missing selectors themselves.
        if spec.declared_in.is_none() && spec.selectors.values().all(Vec::is_empty) {
            let p = spec.problem("selectors", format!("table `{}` is joined to nothing", spec.name));
            found.push(
                p.hint("say which fields to look up: selectors = { \"AWS.CloudTrail\" = [\"sourceIPAddress\"] }"),
            );
        }
    }
}

fn describe(spec: &TableSpec, table: &Table) -> String {
    let how = if matches!(table.index, Index::Cidr(_)) { "by address block" } else { "by equal value" };
    format!("{}: {} rows {how}", spec.name, thousands(table.data.rows as usize))
}

struct EnrichNode {
    plan: Arc<Plan>,
    summary: String,
}

impl Node for EnrichNode {
    fn needs(&self) -> Needs {
        self.plan.needs()
    }
    fn summary(&self) -> String {
        self.summary.clone()
    }
    fn build(&self, _: &BuildCx) -> Result<Built> {
        Ok(Built::Map(Box::new(Join::new(self.plan.clone()))))
    }
}

#[cfg(test)]
mod tests;
