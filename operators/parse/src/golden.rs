//! Every built-in schema against its sample: `schemas/<vendor>/<type>/sample.*` gives, line by line, `golden.jsonl`.
//!
//! `MILLSTREAM_BLESS=1` writes the goldens anew. Read the difference before you commit it.
use crate::schema::load;
use crate::testing::{Rig, assert_agree, batch, everything};
use serde_json::{Value as J, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn folders() -> Vec<PathBuf> {
    let root = Path::new("schemas");
    let list = |p: &Path| {
        let mut v: Vec<PathBuf> = std::fs::read_dir(p).unwrap().map(|e| e.unwrap().path()).collect();
        v.sort();
        v
    };
    list(root).iter().filter(|p| p.is_dir()).flat_map(|v| list(v)).filter(|p| p.is_dir()).collect()
}

fn sample(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let file = files.into_iter().find(|p| p.file_stem().is_some_and(|s| s == "sample"));
    std::fs::read_to_string(file.unwrap_or_else(|| panic!("no sample in {}", folder.display()))).unwrap()
}

#[test]
fn samples_give_their_goldens() {
    let bless = std::env::var("MILLSTREAM_BLESS").is_ok_and(|v| v == "1");
    let mut wrong = Vec::new();
    for folder in folders() {
        let file = folder.join("schema.yml");
        let text = std::fs::read_to_string(&file).unwrap();
        let schema = Arc::new(load(&file.to_string_lossy(), &text, None).unwrap_or_else(|p| panic!("{p:#?}")));
        let sample = sample(&folder);
        let lines: Vec<&[u8]> = sample.lines().map(str::as_bytes).collect();
        let out = Rig::new(std::slice::from_ref(&schema), &everything(&schema)).run(batch(&lines, true));
        let mut got: Vec<J> = out.whole();
        assert!(!got.is_empty(), "{}: no event in the sample: {:?}", folder.display(), out.rejected);
        got.extend(
            out.rejected.iter().map(|r| json!({ "rejected": r.code, "reason": r.reason, "offset": r.pos.offset })),
        );
        out.events.iter().for_each(|b| assert_agree(&schema, b));
        let got: String = got.iter().map(|e| format!("{e}\n")).collect();
        let golden = folder.join("golden.jsonl");
        if bless {
            std::fs::write(&golden, &got).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != got {
            wrong.push(format!("{}:\n{got}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "differs from (MILLSTREAM_BLESS=1 writes it anew):\n{}", wrong.join("\n"));
}
