//! The unit tests of a detections repository in CPython workers, and beside them in the compiled evaluator.
//!
//! `cargo run --release -p python --example cpython -- CHECKOUT [--python P] [--venv V] [--apart] [--only ID] [--turns N]`
//!
//! A test passes if the verdict is the expected one and, where that is a match, no other function raises. Every function's
//! result is compared with that of the compiled evaluator. `--turns` then calls every detection N times with its test
//! events, and says how long that took.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use python::cpython::verify::Verdict;
use python::cpython::worker::AFTER;
use python::cpython::{
    Answer, Call, Detection, Field, Home, Model, Module, NoCache, Output, Pool, Settings, Sources, Tally, compare,
};
use python::{Compiled, DataModel, Event, Library, Mapping, Setting, Source, compile};
use serde_json::Value as Json;

/// Stack for debug builds of the compiled evaluator.
const STACK: usize = 256 << 20;

struct Test {
    detection: usize,
    name: String,
    event: Json,
    text: String,
    mocks: Vec<(String, Json)>,
    expected: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(|| run().map_err(|e| e.to_string()))?;
    worker.join().map_err(|_| "the thread panicked")?.map_err(Into::into)
}

fn run() -> Result<(), Box<dyn Error>> {
    let (mut root, mut settings, mut only, mut turns) = (PathBuf::new(), Settings::default(), None, 0usize);
    settings.home = Home::Together(2);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match &*arg {
            "--python" => settings.python = args.next().map(Into::into),
            "--venv" => settings.venv = args.next().map(Into::into),
            "--apart" => settings.home = Home::Apart,
            "--only" => only = args.next(),
            "--turns" => turns = args.next().unwrap_or_default().parse()?,
            path => root = path.into(),
        }
    }
    let mut sources = Sources { helpers: helpers(&root)?, models: models(&root)?, detections: vec![] };
    let mut tests = Vec::new();
    for folder in ["rules", "queries", "policies"] {
        for path in files(&root.join(folder), "yml") {
            detection(&path, &root, only.as_deref(), &mut sources.detections, &mut tests)?;
        }
    }
    let library = Library::new(sources.helpers.iter().map(source));
    let known: Vec<Option<Compiled>> = sources
        .detections
        .iter()
        .map(|d| {
            compile(&source(&Module { name: d.id.clone(), file: d.file.clone(), text: d.text.clone() }), &library).ok()
        })
        .collect();
    let shared = compiled_models(&sources.models, &library);
    let detections = sources.detections.clone();
    let start = Instant::now();
    let pool = Pool::open(&settings, sources).map_err(|problem| format!("{problem:?}"))?;
    println!("CPython {}, {:?}", pool.version(), pool.isolation());
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros() as i64;
    let (mut passed, mut failed, mut tally) = (0, 0, Tally::new());
    for test in &tests {
        let d = &detections[test.detection];
        let call = Call {
            detection: &d.id,
            event: &test.text,
            log_type: None,
            functions: &AFTER,
            mocks: &test.mocks,
            exact: true,
        };
        let answers = pool.call(&[call], clock, &mut NoCache)?;
        let answer = &answers[0];
        match good(answer, test.expected, !d.policy) {
            true => passed += 1,
            false => {
                failed += 1;
                let text = format!("{answer:?}");
                println!("FAILED: {} [{}]: {}", d.id, test.name, text.chars().take(300).collect::<String>());
            }
        }
        // A mock is a value of the detection's module: it is not compared.
        let (Some(compiled), Some(log), true) = (&known[test.detection], test.event.as_object(), test.mocks.is_empty())
        else {
            continue;
        };
        let model = log.get("p_log_type").and_then(Json::as_str).and_then(|t| shared.get(t)).cloned();
        let setting = Setting { model, clock, ..Setting::default() };
        for found in compare(compiled, &Event::new(log), &setting, answer, &mut tally) {
            if found.verdict != Verdict::Unknown {
                println!("{:?}: {} [{}] {}", found.verdict, d.id, test.name, found.function);
                println!("    compiled {}\n    CPython  {}", cut(&found.compiled), cut(&found.cpython));
            }
        }
    }
    println!("tests {}: passed {passed}, failed {failed}; {:.1?}", tests.len(), start.elapsed());
    println!("results beside the compiled evaluator's: {tally:?}; workers replaced {}", pool.restarts());
    if turns > 0 {
        let start = Instant::now();
        let calls: Vec<Call> = tests
            .iter()
            .filter(|test| test.mocks.is_empty())
            .map(|test| Call {
                detection: &detections[test.detection].id,
                event: &test.text,
                log_type: None,
                functions: &AFTER,
                mocks: &[],
                exact: false,
            })
            .collect();
        for _ in 0..turns {
            pool.call(&calls, clock, &mut NoCache)?;
        }
        let (count, time) = (calls.len() * turns, start.elapsed());
        println!("{count} calls in {time:.1?}: {:.0} µs for a call", time.as_secs_f64() * 1e6 / count as f64);
    }
    Ok(())
}

fn good(answer: &Answer, expected: bool, alerting: bool) -> bool {
    let Answer::Outputs(outputs) = answer else { return false };
    let verdict = match outputs.first() {
        Some((_, Output::Value { json: Some(Json::Bool(verdict)), .. })) => *verdict,
        _ => return false,
    };
    verdict == expected && (expected != alerting || !outputs.iter().any(|(_, o)| matches!(o, Output::Raised(_))))
}

fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn module(path: &Path, root: &Path) -> Result<Module, Box<dyn Error>> {
    Ok(Module {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        file: path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned(),
        text: fs::read_to_string(path)?,
    })
}

fn source(module: &Module) -> Source {
    Source { name: Rc::from(&*module.name), file: Rc::from(&*module.file), text: Rc::from(&*module.text) }
}

fn helpers(root: &Path) -> Result<Vec<Module>, Box<dyn Error>> {
    let list = files(&root.join("global_helpers"), "py");
    list.iter().filter(|p| !p.to_string_lossy().ends_with("_test.py")).map(|p| module(p, root)).collect()
}

fn models(root: &Path) -> Result<Vec<Model>, Box<dyn Error>> {
    let mut models = Vec::new();
    for path in files(&root.join("data_models"), "yml") {
        let meta: Json = yaml_serde::from_str(&fs::read_to_string(&path)?)?;
        if meta["Enabled"] != true {
            continue;
        }
        let text = |v: &Json| v.as_str().unwrap_or_default().to_string();
        let mappings = meta["Mappings"].as_array().into_iter().flatten().map(|m| {
            let field = match m["Path"].as_str() {
                Some(path) => Field::Path(path.into()),
                None => Field::Method(text(&m["Method"])),
            };
            (text(&m["Name"]), field)
        });
        models.push(Model {
            log_types: meta["LogTypes"].as_array().into_iter().flatten().map(text).collect(),
            mappings: mappings.collect(),
            module: match meta["Filename"].as_str() {
                Some(file) => module(&path.with_file_name(file), root)?,
                None => Module::default(),
            },
        });
    }
    Ok(models)
}

fn compiled_models(models: &[Model], library: &Rc<Library>) -> BTreeMap<String, Rc<DataModel>> {
    let mut shared = BTreeMap::new();
    for model in models {
        let mappings = model.mappings.iter().map(|(name, field)| {
            let mapping = match field {
                Field::Path(path) => Mapping::Path(Rc::from(&**path)),
                Field::Method(method) => Mapping::Method(Rc::from(&**method)),
            };
            (Rc::from(&**name), mapping)
        });
        let module = library.load(&source(&model.module)).ok();
        let compiled = Rc::new(DataModel { mappings: mappings.collect(), module });
        shared.extend(model.log_types.iter().map(|log_type| (log_type.clone(), compiled.clone())));
    }
    shared
}

fn detection(
    path: &Path,
    root: &Path,
    only: Option<&str>,
    detections: &mut Vec<Detection>,
    tests: &mut Vec<Test>,
) -> Result<(), Box<dyn Error>> {
    let Ok(meta) = yaml_serde::from_str::<Json>(&fs::read_to_string(path)?) else { return Ok(()) };
    let (Some(kind), Some(file)) = (meta["AnalysisType"].as_str(), meta["Filename"].as_str()) else { return Ok(()) };
    let id = meta["RuleID"].as_str().or(meta["PolicyID"].as_str()).unwrap_or("?");
    if !matches!(kind, "rule" | "policy" | "scheduled_rule") || only.is_some_and(|only| only != id) {
        return Ok(());
    }
    let Module { file, text, .. } = module(&path.with_file_name(file), root)?;
    for test in meta["Tests"].as_array().into_iter().flatten() {
        let event = if test["Log"].is_null() { &test["Resource"] } else { &test["Log"] };
        let mocks = test["Mocks"].as_array().into_iter().flatten();
        tests.push(Test {
            detection: detections.len(),
            name: test["Name"].as_str().unwrap_or("?").into(),
            event: event.clone(),
            text: event.to_string(),
            mocks: mocks
                .map(|m| (m["objectName"].as_str().unwrap_or_default().to_string(), m["returnValue"].clone()))
                .collect(),
            expected: test["ExpectedResult"].as_bool().unwrap_or_default(),
        });
    }
    detections.push(Detection { id: id.into(), file, text, policy: kind == "policy" });
    Ok(())
}
