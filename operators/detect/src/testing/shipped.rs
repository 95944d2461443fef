//! The detections that ship with the product pass their own tests.
use super::{Options, run};
use crate::rule::Body;
use model::files::MemFiles;
use std::path::Path;

/// The folder `detections`.
fn folder() -> MemFiles {
    fn add(path: &Path, out: &mut MemFiles) {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, out);
            } else {
                let name = path.to_string_lossy().replace('\\', "/");
                out.0.insert(name, std::fs::read(&path).unwrap().into());
            }
        }
    }
    let mut out = MemFiles::default();
    add(Path::new("detections"), &mut out);
    out
}

#[test]
fn all_tests_pass() {
    let report =
        run(&folder(), &["detections".into()], &Options { filter: None, minimum_tests: 2, ..Options::default() });
    assert!(report.passed() && report.problems.is_empty(), "{}", report.to_text(false, true));
    assert!(report.counts().0 >= 2 * report.rules.len());
}

#[test]
fn every_rule_says_what_it_is_about() {
    let (rules, _) = crate::meta::load(&folder(), &["detections".into()]);
    let lua = rules.iter().filter(|r| matches!(r.body, Body::Lua { .. })).count();
    assert!(rules.len() >= 24 && lua >= 6, "{} rules, {lua} in Lua", rules.len());
    for r in &rules {
        let demo = r.meta.id.starts_with("Demo.");
        assert!(demo || !r.meta.reports["MITRE ATT&CK"].is_empty(), "{}", r.meta.id);
        assert!(demo || !r.meta.runbook.is_empty() && !r.meta.tags.is_empty(), "{}", r.meta.id);
        assert!(!r.meta.description.is_empty() && r.meta.name != *r.meta.id, "{}", r.meta.id);
    }
}
