//! Policies over resources and scheduled rules over rows, live.
use serde_json::{Value, json};
use tests::run::Pipeline;

const TOPOLOGY: &str = r#"
schema = 1
name = "subjects"

[engine]
data_dir = "out/state"

[sources.a]
type = "file"
path = "in.jsonl"
follow = false

[parse.events]
inputs = ["a"]
log_types = ["Custom.Resource", "Custom.Logins"]
schemas = ["schemas"]

[detect.rules]
inputs = ["events"]
rules = ["rules"]
resources = ["Custom.Resource"]
queries = { "Many logins" = "Custom.Logins", "Gone" = "Custom.Logins" }

[dedup.window]
inputs = ["rules"]

[sinks.alerts]
type = "jsonl"
inputs = ["window"]
path = "out/alerts.jsonl"
only = "new"
"#;

const RESOURCE: &str = "version: 0\nschema: Custom.Resource\nfields:\n  - {name: ResourceId, type: string, required: true}\n  \
    - {name: ResourceType, type: string, required: true}\n  - {name: Public, type: boolean}\n";
const LOGINS: &str = "version: 0\nschema: Custom.Logins\nfields:\n  - {name: user, type: string, required: true}\n  \
    - {name: n, type: bigint, required: true}\n";

fn pipeline() -> Pipeline {
    let p = Pipeline::new(TOPOLOGY).unwrap();
    p.file("schemas/resource.yml", RESOURCE).unwrap();
    p.file("schemas/logins.yml", LOGINS).unwrap();
    let policy = "AnalysisType: policy\nPolicyID: Bucket.Private\nEnabled: true\nSeverity: High\nResourceTypes: [Bucket]\nFilename: bucket.py\n";
    let body = "def policy(resource):\n    return not resource['Public']\ndef dedup(resource):\n    return resource['ResourceId']\n";
    p.file("rules/bucket.yml", policy).unwrap();
    p.file("rules/bucket.py", body).unwrap();
    let any = "AnalysisType: policy\nPolicyID: Any.Named\nEnabled: true\nSeverity: Low\nFilename: any.py\n";
    p.file("rules/any.yml", any).unwrap();
    p.file("rules/any.py", "def policy(resource):\n    return resource['ResourceId'] != 'odd'\n").unwrap();
    let rows = "AnalysisType: scheduled_rule\nRuleID: Logins.Many\nEnabled: true\nSeverity: Medium\nScheduledQueries: [Many logins]\nFilename: rows.py\n";
    p.file("rules/rows.yml", rows).unwrap();
    p.file(
        "rules/rows.py",
        "def rule(row):\n    return row['n'] > 5\ndef title(row):\n    return f\"{row['user']}: {row['n']}\"\n",
    )
    .unwrap();
    let lines = [
        json!({"ResourceId": "a", "ResourceType": "Bucket", "Public": true}),
        json!({"ResourceId": "b", "ResourceType": "Bucket", "Public": false}),
        json!({"ResourceId": "c", "ResourceType": "Bucket"}),
        json!({"ResourceId": "odd", "ResourceType": "Queue", "Public": true}),
        json!({"user": "ann", "n": 9}),
        json!({"user": "bob", "n": 2}),
    ];
    p.file("in.jsonl", lines.iter().map(|l| format!("{l}\n")).collect::<String>()).unwrap();
    p
}

#[test]
fn policies_judge_resources_and_scheduled_rules_rows() {
    let p = pipeline();
    let check = p.millstream(&["check"]).unwrap();
    let text = String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned();
    assert!(check.status.success() && text.contains("no scheduled rule is for the query `Gone`"), "{text}");
    let mut all = Vec::new();
    for workers in [1, 2] {
        p.once(workers).unwrap();
        let rows = p.rows("alerts.jsonl");
        let row = |a: &Value| format!("{} {} {} {}", a["type"], a["id"], a["dedup"], a["title"]).replace('"', "");
        let mut rows: Vec<String> = rows.iter().map(row).collect();
        rows.sort();
        all.push(rows);
        std::fs::remove_dir_all(p.dir.path().join("out")).unwrap();
    }
    assert_eq!(all[0], all[1]);
    let want = [
        "POLICY Any.Named Any.Named Any.Named",
        "POLICY Bucket.Private a Bucket.Private",
        "POLICY_ERROR Bucket.Private KeyError KeyError: 'Public'",
        "SCHEDULED_RULE Logins.Many ann: 9 ann: 9",
    ];
    let found: Vec<bool> = want.iter().map(|w| all[0].iter().any(|row| row.starts_with(w))).collect();
    assert_eq!((found, all[0].len()), (vec![true; 4], 4), "{:#?}", all[0]);
}

#[test]
fn without_the_settings_they_run_in_tests_only() {
    let p = pipeline();
    let plain: String = TOPOLOGY
        .lines()
        .filter(|l| !l.starts_with("resources") && !l.starts_with("queries"))
        .map(|l| format!("{l}\n"))
        .collect();
    p.file("topology.toml", plain).unwrap();
    p.once(1).unwrap();
    assert!(p.rows("alerts.jsonl").is_empty());
}
