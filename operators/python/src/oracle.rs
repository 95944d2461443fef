//! The cases of `cases/` in CPython and here: the same values, the same exceptions.

use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use serde_json::Value as Json;

use crate::canonical::canonical;
use crate::{Event, Library, Outcome, Setting, Source, compile};

fn written(outcome: &Outcome) -> Result<(String, String), String> {
    match outcome {
        Outcome::Value(value) => Ok(("value".into(), canonical(value))),
        Outcome::Raised(raised) => Ok((raised.class.clone(), raised.message.clone())),
        Outcome::Unknown(what) => Err(what.clone()),
        Outcome::Exhausted(what) => Err((*what).into()),
    }
}

fn expected(result: &Json) -> (String, String) {
    let text = |v: &Json| v.as_str().unwrap_or_default().to_string();
    match &result["value"] {
        Json::String(value) => ("value".into(), value.clone()),
        _ => (text(&result["raised"]), text(&result["message"])),
    }
}

fn sorted(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.sort_unstable();
    bytes
}

#[derive(Default)]
struct Tally {
    equal: usize,
    wording: Vec<String>,
    unknown: Vec<String>,
    different: Vec<String>,
}

fn compare(lines: &str) -> Tally {
    let mut events = Vec::new();
    let mut tally = Tally::default();
    for line in lines.lines() {
        let line: Json = serde_json::from_str(line).expect("a line of the oracle");
        if let Some(log) = line["log"].as_object() {
            events.push(Event::new(log));
            continue;
        }
        let (name, function) = (line["case"].as_str().unwrap_or("?"), line["function"].as_str().unwrap_or("?"));
        let source = line["source"].as_str().unwrap_or_default();
        // Only the entry points of a detection are reported on; any function can be called.
        let text: Rc<str> = Rc::from(source);
        let source = Source { name: "case".into(), file: Rc::from(name), text };
        let compiled = match compile(&source, &Library::new([])) {
            Ok(compiled) => compiled,
            Err(e) => {
                tally.unknown.push(format!("{name}: {e}"));
                continue;
            }
        };
        for (event, result) in events.iter().zip(line["results"].as_array().into_iter().flatten()) {
            compiled.begin();
            let outcome = compiled.call(function, event, &Setting::default());
            let expected = expected(result);
            match written(&outcome) {
                Ok(ours) if ours == expected => tally.equal += 1,
                // Another order of the same characters, from a set: only its order can be it.
                Ok(ours) if source.text.contains("set(") && sorted(&ours.1) == sorted(&expected.1) => tally.equal += 1,
                Ok(ours) if source.text.contains("{x for") && sorted(&ours.1) == sorted(&expected.1) => {
                    tally.equal += 1
                }
                Ok(ours) if ours.0 == expected.0 && ours.0 != "value" => {
                    tally.wording.push(format!("{name}: {} ours {:?} Python's {:?}", ours.0, ours.1, expected.1));
                }
                Ok(ours) => tally.different.push(format!("{name}: ours {ours:?}\n    Python's {expected:?}")),
                Err(what) => tally.unknown.push(format!("{name}: {what}")),
            }
        }
    }
    tally
}

/// Share of results that may be unknown: each is named in the output. Half of the random regular expressions are.
const UNKNOWN: f64 = 0.15;

/// Run the oracle and compare; false without a python3.
fn check(args: &[&str]) -> bool {
    let folder = Path::new("cases");
    let run = Command::new("python3")
        .args(["-W", "ignore"])
        .arg(folder.join("oracle.py"))
        .args(args)
        .env("PYTHONHASHSEED", "0")
        .output();
    let Ok(run) = run else {
        eprintln!("skipped: there is no python3 on this machine to compare with");
        return false;
    };
    assert!(run.status.success(), "the oracle failed: {}", String::from_utf8_lossy(&run.stderr));
    let lines = String::from_utf8(run.stdout).expect("text");
    // Debug builds need several times the stack of the product.
    let worker = std::thread::Builder::new().stack_size(256 << 20).spawn(move || {
        let mut tally = compare(&lines);
        let unknown = tally.unknown.len();
        for list in [&mut tally.wording, &mut tally.unknown, &mut tally.different] {
            list.sort();
            list.dedup();
        }
        for (what, list) in [("wording", &tally.wording), ("unknown", &tally.unknown), ("DIFFERENT", &tally.different)]
        {
            list.iter().for_each(|line| println!("{what}: {line}"));
        }
        println!(
            "{} equal, {} other wordings, {unknown} unknown, {} different",
            tally.equal,
            tally.wording.len(),
            tally.different.len()
        );
        (tally.different.len(), unknown as f64 / (tally.equal + unknown).max(1) as f64)
    });
    let (different, unknown) = worker.expect("a thread").join().expect("no panic");
    assert_eq!(different, 0, "{args:?}: results differ from CPython's");
    assert!(unknown <= UNKNOWN, "{args:?}: {unknown} of the results are unknown");
    true
}

#[test]
fn cases_mean_what_they_mean_in_cpython() {
    let folder = Path::new("cases");
    let folder = folder.to_string_lossy();
    for seed in ["1", "2", "3"] {
        if !check(&["cases", &folder, seed]) {
            return;
        }
    }
}

/// `ORACLE_SEED` and `ORACLE_COUNT` look further.
#[test]
fn random_expressions_mean_what_they_mean_in_cpython() {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    check(&["fuzz", &setting("ORACLE_COUNT", "2000"), &setting("ORACLE_SEED", "1")]);
}
