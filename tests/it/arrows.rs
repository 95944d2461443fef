//! The arrows between rooms, as `dataflow/README.md` states them, from `cargo metadata`.
use std::collections::BTreeSet;
use std::process::Command;

/// Crates that may depend on other crates of the workspace, and on which. Everything else: on `model` only.
fn allowed(krate: &str) -> &'static [&'static str] {
    const APP: &[&str] = &[
        "model",
        "topology",
        "engine",
        "parse",
        "transform",
        "enrich",
        "detect",
        "correlate",
        "alert",
        "local",
        "lake",
        "destinations",
        "kafka",
        "aws",
    ];
    match krate {
        "model" => &[],
        "app" => APP,
        // Correlation rules are written and tested as detections are, and watch them.
        "correlate" => &["model", "detect"],
        // What cuts bytes into records is one thing, wherever the bytes are.
        "local" | "aws" | "kafka" => &["model", "stream"],
        "detect" => &["model", "python"],
        _ => &["model"],
    }
}

/// The only crates that may use a library.
const CONFINED: &[(&str, &[&str])] = &[
    ("timely", &["engine"]),
    ("mlua", &["detect"]),
    ("ruff_python_parser", &["python"]),
    ("ruff_python_ast", &["python"]),
    ("landlock", &["python"]),
    ("seccompiler", &["python"]),
    ("parquet", &["lake"]),
    ("ureq", &["destinations"]),
    ("rdkafka", &["kafka", "tests", "bench"]),
    ("aws-sdk-s3", &["aws"]),
    ("aws-sdk-sqs", &["aws"]),
    ("axum", &["app"]),
    ("prometheus-client", &["app"]),
    ("ratatui", &["app"]),
    ("maxminddb", &["enrich"]),
    ("clap", &["app", "bench", "tests"]),
];

fn metadata() -> serde_json::Value {
    let out = tests::project::cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .expect("run cargo metadata");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("cargo metadata prints JSON")
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let meta = metadata();
    let packages = meta["packages"].as_array().expect("packages");
    let own: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    assert!(own.len() >= 13, "{own:?}");
    let mut wrong = Vec::new();
    for p in packages {
        let name = p["name"].as_str().expect("name");
        for d in p["dependencies"].as_array().expect("dependencies") {
            let dep = d["name"].as_str().expect("name");
            if d["kind"].is_null() && own.contains(dep) && !allowed(name).contains(&dep) {
                wrong.push(format!("{name} -> {dep}"));
            }
            if let Some((_, users)) = CONFINED.iter().find(|c| c.0 == dep)
                && !users.contains(&name)
            {
                wrong.push(format!("{name} uses {dep}, which is confined to {users:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_left_half_done_in_the_sources() {
    let root = tests::project::root();
    let out =
        Command::new("git").args(["ls-files", "*.rs", "*.py", "*.toml"]).current_dir(&root).output().expect("git");
    let files = String::from_utf8_lossy(&out.stdout);
    let mut found = Vec::new();
    let words = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("#[ign", "ore")];
    for f in files.lines() {
        let Ok(text) = std::fs::read_to_string(root.join(f)) else { continue };
        for (i, line) in text.lines().enumerate() {
            if words.iter().any(|w| line.contains(w)) {
                found.push(format!("{f}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
