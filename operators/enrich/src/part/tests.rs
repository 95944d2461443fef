//! The settings, from TOML-shaped JSON to a node.
use super::*;
use model::files::MemFiles;
use serde_json::json;

fn open(settings: serde_json::Value, files: &[(&str, &str)]) -> Opened {
    EnrichPart.open("geo", &settings, &MemFiles::of(files))
}

#[test]
fn inline_tables_open_and_say_what_they_hold() {
    let csv: String =
        std::iter::once("ip,country\n".to_string()).chain((0..1234).map(|i| format!("h{i},DE\n"))).collect();
    let settings = json!({ "table": [
        { "name": "geo", "file": "g.csv", "key": "ip", "selectors": { "AWS.CloudTrail": ["sourceIPAddress"] } },
        { "name": "nets", "file": "n.csv", "key": "net", "match": "cidr", "selectors": { "*": ["p_any_ip_addresses"] },
          "columns": { "vlan": "int" }, "expires": { "column": "until" } },
    ]});
    let o = open(settings, &[("g.csv", &csv), ("n.csv", "net,vlan,until\n10.0.0.0/8,7,\n")]);
    assert!(o.problems.is_empty(), "{:?}", o.problems);
    let node = o.node.unwrap();
    assert_eq!(node.summary(), "geo: 1,234 rows by equal value; nets: 1 rows by address block");
    assert_eq!(node.needs().of("AWS.CloudTrail").len(), 1);
}

#[test]
fn every_problem_is_told_at_once() {
    let settings = json!({ "lookups": ["none"], "table": [
        { "name": "a", "file": "missing.csv", "key": "k", "selectors": { "T": ["x"] } },
        { "name": "a", "file": "g.csv", "key": "k", "schema": "Custom.Gone", "expires": { "column": "k", "format": "when" } },
        { "name": "b", "file": "g.csv", "key": "z", "selectors": { "T": ["x"] } },
    ]});
    let o = open(settings, &[("g.csv", "k\nv\n")]);
    assert!(o.node.is_none());
    let at: Vec<&str> = o.problems.iter().map(|p| p.setting.as_str()).collect();
    for setting in [
        "lookups[0]",
        "table[1].schema",
        "table[1].expires.format",
        "table[1].name",
        "table[1].selectors",
        "table[0].file",
        "table[2].key",
    ] {
        assert!(at.contains(&setting), "{setting} is missing in {at:?}");
    }
}

#[test]
fn lookup_files_with_a_schema_become_tables() {
    let lookup = "AnalysisType: lookup_table\nLookupName: nets\nEnabled: true\nSchema: Custom.Nets\nFilename: nets.csv\n\
                  LogTypeMap:\n  PrimaryKey: net\n  AssociatedLogTypes:\n  - {LogType: T, Selectors: [ip]}\n";
    let schema =
        "schema: Custom.Nets\nfields:\n- {name: net, type: string, validate: {cidr: any}}\n- {name: vlan, type: int}\n";
    let files = [("l/nets.yml", lookup), ("l/nets.csv", "net,vlan\n10.0.0.0/8,7\n"), ("s/nets.yml", schema)];
    let o = open(json!({ "lookups": ["l"], "schemas": ["s"] }), &files);
    assert!(o.problems.is_empty(), "{:?}", o.problems);
    assert_eq!(o.node.unwrap().summary(), "nets: 1 rows by address block");
    let files = [files[0], ("l/nets.csv", "net,vlan\n10.0.0.0/8,x\n"), files[2]];
    let o = open(json!({ "lookups": ["l"], "schemas": ["s"] }), &files);
    assert!(o.node.is_none() && o.problems[0].file == Some(("l/nets.csv".into(), 2, 1)), "{:?}", o.problems);
}

#[test]
fn the_schema_documents_every_setting() {
    let schema = EnrichPart.schema();
    let table = &schema["$defs"]["TableSettings"]["properties"];
    for name in ["name", "file", "key", "match", "selectors", "columns", "schema", "expires"] {
        assert!(table[name]["description"].is_string(), "{name}: {schema}");
    }
    assert!(open(json!({ "tables": [] }), &[]).node.is_none());
}
