//! Packs of a checkout in a topology and on the command line, and rules derived from others.
use serde_json::{Value, json};
use std::process::Command;
use tests::run::Pipeline;

const TOPOLOGY: &str = r#"
schema = 1
name = "packs"

[engine]
data_dir = "out/state"

[sources.a]
type = "file"
path = "in.jsonl"
follow = false

[parse.events]
inputs = ["a"]
log_types = ["Custom.Step"]
schemas = ["schemas"]

[detect.rules]
inputs = ["events"]
rules = ["checkout", "own"]
packs = ["Vendor.Core"]
except = ["Out"]

[dedup.window]
inputs = ["rules"]

[sinks.alerts]
type = "jsonl"
inputs = ["window"]
path = "out/alerts.jsonl"
"#;

const SCHEMA: &str = "version: 0\nschema: Custom.Step\nfields:\n  - {name: n, type: bigint}\n";
const PACK: &str = "AnalysisType: pack\nPackID: Vendor.Core\nDisplayName: Core\nPackDefinition:\n  IDs:\n    - On\n    - Off\n    - Out\n    - helper\n    - Gone\n";

fn rule(id: &str, enabled: bool, more: &str) -> String {
    format!("AnalysisType: rule\nRuleID: {id}\nEnabled: {enabled}\nSeverity: Low\n{more}")
}

fn pipeline(topology: &str) -> Pipeline {
    let p = Pipeline::new(topology).unwrap();
    p.file("schemas/step.yml", SCHEMA).unwrap();
    p.file("in.jsonl", "{\"n\":1}\n").unwrap();
    let body = "LogTypes: [Custom.Step]\nFilename: r.py\n";
    p.file("checkout/rules/r.py", "from helper import yes\ndef rule(event):\n    return yes()\n").unwrap();
    for (id, enabled) in [("On", true), ("Off", false), ("Out", true), ("Alone", true)] {
        p.file(&format!("checkout/rules/{id}.yml"), rule(id, enabled, body)).unwrap();
    }
    p.file("checkout/helper.yml", "AnalysisType: global\nGlobalID: helper\nFilename: helper.py\n").unwrap();
    p.file("checkout/helper.py", "def yes():\n    return True\n").unwrap();
    p.file("checkout/packs/core.yml", PACK).unwrap();
    p.file("checkout/packs/other.yml", "AnalysisType: pack\nPackID: Vendor.Other\nPackDefinition: {IDs: [Alone]}\n")
        .unwrap();
    p.file("own/mine.yml", rule("Mine", true, "BaseDetection: Alone\n").replace("Low", "High")).unwrap();
    p
}

fn said(p: &Pipeline, args: &[&str]) -> (Option<i32>, String, String) {
    let out = p.millstream(args).unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn a_pack_runs_its_members_and_a_derived_rule_its_bases_logic() {
    let p = pipeline(TOPOLOGY);
    let (code, out, err) = said(&p, &["check"]);
    assert!(code == Some(0) && out.contains("3 rules, 3 Python, 2 disabled, not loaded; 1 of 2 packs"), "{out}{err}");
    assert!((out.clone() + &err).contains("checkout/packs/core.yml:10:7"), "{out}{err}");
    // Doubts about what does not run are none.
    let (_, doubts, _) = said(&p, &["rules", "lint", "topology.toml"]);
    for (id, runs) in [("On", true), ("Off", true), ("Mine", true), ("Out", false), ("Alone", false)] {
        assert_eq!(doubts.contains(&format!("[missing-tests]: {id}: ")), runs, "{id}\n{doubts}");
    }
    p.once(1).unwrap();
    let mut rules: Vec<(String, String)> = Vec::new();
    for r in p.rows("alerts.jsonl") {
        rules.push((r["id"].as_str().unwrap().into(), r["severity"].as_str().unwrap().into()));
    }
    rules.sort();
    assert_eq!(rules, [("Mine", "HIGH"), ("Off", "LOW"), ("On", "LOW")].map(|(a, b)| (a.to_string(), b.to_string())));
    for (packs, what) in [
        ("packs = [\"Vendor.Croe\"]", "there is no pack `Vendor.Croe`"),
        ("packs = []\nexcept = [\"Nobody.At.All\"]", "there is no pack or detection `Nobody.At.All`"),
    ] {
        let text = TOPOLOGY.replace("packs = [\"Vendor.Core\"]\nexcept = [\"Out\"]", packs);
        p.file("topology.toml", text).unwrap();
        let (code, out, err) = said(&p, &["check"]);
        assert!(code == Some(78) && err.contains(what) && err.contains("topology.toml:2"), "{out}{err}");
    }
}

#[test]
fn packs_are_listed_with_version_hash_and_what_is_missing() {
    let p = pipeline(TOPOLOGY);
    let git = |args: &[&str]| {
        let mut c = Command::new("git");
        c.args(["-C", "checkout", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]);
        assert!(c.args(args).current_dir(p.dir.path()).output().unwrap().status.success(), "{args:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    git(&["tag", "v1.2.3"]);
    let list = |args: &[&str]| -> Value {
        let (code, out, err) = said(&p, &[&["rules", "packs", "--output", "json"][..], args].concat());
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str(&out).unwrap()
    };
    let all = list(&["checkout"]);
    assert_eq!(all[0]["checkouts"], json!({"checkout": "v1.2.3"}));
    let core = &all[0]["packs"][0];
    assert_eq!(
        (&core["id"], &core["enabled"], &core["disabled"], &core["others"]),
        (&json!("Vendor.Core"), &json!(2), &json!(1), &json!(1))
    );
    assert_eq!(core["missing"], json!(["Gone"]));
    // As the topology runs them.
    let run = list(&["topology.toml"]);
    assert_eq!((&run[0]["node"], &run[0]["packs"][0]["chosen"]), (&json!("rules"), &json!(true)));
    assert_eq!((&run[0]["packs"][0]["enabled"], &run[0]["packs"][1]["chosen"]), (&json!(2), &json!(false)));
    // What a member does is what the hash follows, also where that is a helper.
    p.file("checkout/helper.py", "def yes():\n    return False\n").unwrap();
    let edited = list(&["checkout", "--pack", "*.Core"]);
    assert_eq!(edited[0]["checkouts"], json!({"checkout": "v1.2.3-dirty"}));
    assert!(edited[0]["packs"].as_array().unwrap().len() == 1 && edited[0]["packs"][0]["hash"] != core["hash"]);
    let (code, out, _) = said(&p, &["rules", "packs", "checkout", "--strict"]);
    assert_eq!(code, Some(1));
    for part in
        ["checkout is at v1.2.3", "Vendor.Core ", "checkout/packs/core.yml: there is no `Gone`", "2 packs; 1 name"]
    {
        assert!(out.contains(part), "no `{part}` in\n{out}");
    }
    p.file("checkout/packs/bad.yml", "AnalysisType: pack\nPackID: B\nPackDefinition: {}\n").unwrap();
    let (code, _, err) = said(&p, &["rules", "packs", "checkout"]);
    assert!(code == Some(78) && err.contains("checkout/packs/bad.yml:3:1: error: `PackDefinition`"), "{err}");
}
