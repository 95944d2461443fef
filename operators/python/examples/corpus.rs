//! What of a detections repository compiles, and whether its unit tests say what they expect.
//!
//! `cargo run --release -p python --example corpus -- CHECKOUT [--only ID] [--policies] [--verbose] [--jsonl FILE]`
//!
//! Against CPython, on the test events and on mutations of them:
//!
//! ```text
//! … corpus -- CHECKOUT --jobs jobs.jsonl --turns 20 [--events FOLDER --log-type AWS.CloudTrail]
//! python3 operators/python/cases/oracle.py corpus CHECKOUT 1 < jobs.jsonl > results.jsonl
//! … corpus -- CHECKOUT --compare results.jsonl
//! ```
//!
//! With `--events` the jobs are the records of the JSON files of a folder, each for all rules of the log type.
//!
//! CHECKOUT holds `rules/`, `global_helpers/`, `data_models/` and so on, as public repositories of detections lay them
//! out. `--jsonl` writes every result of every test as a line, for a comparison with another evaluator.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use python::value::Value;
use python::{Compiled, DataModel, Event, FUNCTIONS, Library, Mapping, Outcome, Setting, Source, compile};
use serde_json::{Value as Json, json};

/// Stack for debug builds, whose frames are several times larger.
const STACK: usize = 256 << 20;

struct Options {
    root: PathBuf,
    only: Option<String>,
    policies: bool,
    verbose: bool,
    jsonl: Option<fs::File>,
    jobs: Option<fs::File>,
    turns: usize,
    events: Option<PathBuf>,
    log_type: String,
    compare: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut options = Options {
        root: PathBuf::new(),
        only: None,
        policies: false,
        verbose: false,
        jsonl: None,
        jobs: None,
        turns: 4,
        events: None,
        log_type: String::new(),
        compare: None,
    };
    while let Some(arg) = args.next() {
        match &*arg {
            "--only" => options.only = args.next(),
            "--policies" => options.policies = true,
            "--verbose" => options.verbose = true,
            "--jsonl" => options.jsonl = args.next().map(fs::File::create).transpose()?,
            "--jobs" => options.jobs = args.next().map(fs::File::create).transpose()?,
            "--turns" => options.turns = args.next().unwrap_or_default().parse()?,
            "--events" => options.events = args.next().map(Into::into),
            "--log-type" => options.log_type = args.next().unwrap_or_default(),
            "--compare" => options.compare = args.next().map(Into::into),
            root => options.root = root.into(),
        }
    }
    let worker =
        std::thread::Builder::new().stack_size(STACK).spawn(move || run(options).map_err(|e| e.to_string()))?;
    worker.join().map_err(|_| "the worker panicked")?.map_err(Into::into)
}

fn files(folder: &Path, extension: &str, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, extension, out);
        } else if path.extension().is_some_and(|e| e == extension) {
            out.push(path);
        }
    }
    out.sort();
}

fn source(path: &Path, root: &Path) -> Result<Source, Box<dyn Error>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let file = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    Ok(Source { name: Rc::from(&*stem), file: Rc::from(&*file), text: Rc::from(fs::read_to_string(path)?) })
}

fn models(root: &Path, library: &Rc<Library>) -> Result<BTreeMap<String, Rc<DataModel>>, Box<dyn Error>> {
    let mut list = Vec::new();
    files(&root.join("data_models"), "yml", &mut list);
    let mut models = BTreeMap::new();
    for path in list {
        let meta: Json = yaml_serde::from_str(&fs::read_to_string(&path)?)?;
        if meta["Enabled"] != true {
            continue;
        }
        let module = match meta["Filename"].as_str() {
            Some(file) => match library.load(&source(&path.with_file_name(file), root)?) {
                Ok(module) => Some(module),
                Err(e) => {
                    println!("data model not loaded: {e}");
                    None
                }
            },
            None => None,
        };
        let text = |v: &Json| Rc::<str>::from(v.as_str().unwrap_or_default());
        let mappings = meta["Mappings"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|m| {
                let place = match m["Path"].as_str() {
                    Some(_) => Mapping::Path(text(&m["Path"])),
                    None => Mapping::Method(text(&m["Method"])),
                };
                (text(&m["Name"]), place)
            })
            .collect();
        let model = Rc::new(DataModel { mappings, module });
        for log_type in meta["LogTypes"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            models.insert(log_type.to_string(), model.clone());
        }
    }
    Ok(models)
}

#[derive(Default)]
struct Tally {
    detections: usize,
    load_failed: usize,
    entry: usize,
    whole: usize,
    functions: BTreeMap<&'static str, (usize, usize)>,
    reasons: BTreeMap<String, Vec<String>>,
    tests: usize,
    equal: usize,
    unknown: usize,
    different: usize,
    aux_raised: usize,
    aux_unknown: usize,
    aux: usize,
}

fn run(mut options: Options) -> Result<(), Box<dyn Error>> {
    let root = options.root.clone();
    let mut helpers = Vec::new();
    files(&root.join("global_helpers"), "py", &mut helpers);
    let helpers: Vec<Source> = helpers
        .iter()
        .filter(|p| !p.to_string_lossy().ends_with("_test.py"))
        .map(|p| source(p, &root))
        .collect::<Result<_, _>>()?;
    let library = Library::new(helpers);
    let models = models(&root, &library)?;
    let mut list = Vec::new();
    for folder in if options.policies { &["policies"][..] } else { &["rules"] } {
        files(&root.join(folder), "yml", &mut list);
    }
    let mut tally = Tally::default();
    let mut known = BTreeMap::new();
    let mut detections: Vec<Json> = Vec::new();
    let described = described(&root)?;
    for path in list {
        let Ok(meta) = yaml_serde::from_str::<Json>(&fs::read_to_string(&path)?) else {
            println!("not YAML: {}", path.display());
            continue;
        };
        let (Some(kind), Some(file)) = (meta["AnalysisType"].as_str(), meta["Filename"].as_str()) else { continue };
        let id = meta["RuleID"].as_str().or(meta["PolicyID"].as_str()).unwrap_or("?").to_string();
        if !matches!(kind, "rule" | "policy" | "scheduled_rule") || options.only.as_ref().is_some_and(|o| *o != id) {
            continue;
        }
        let source = source(&path.with_file_name(file), &root)?;
        if options.compare.is_some() {
            if let Ok(compiled) = compile(&source, &library) {
                known.insert(id, compiled);
            }
            continue;
        }
        if let Some(jobs) = &mut options.jobs {
            let Ok(compiled) = compile(&source, &library) else { continue };
            let functions: Vec<&str> = compiled.report.functions.iter().map(|f| f.name).collect();
            let job = json!({"id": id, "file": &*source.file, "functions": functions});
            if options.events.is_some() {
                if meta["LogTypes"].as_array().into_iter().flatten().any(|t| *t == *options.log_type) {
                    detections.push(job);
                }
                continue;
            }
            for test in meta["Tests"].as_array().into_iter().flatten() {
                if !test["Mocks"].is_array() && test["Log"].is_object() {
                    let log_type = test["Log"]["p_log_type"].as_str();
                    write_job(&test["Log"], log_type, &json!([job]), &described, options.turns, jobs)?;
                }
            }
            continue;
        }
        detection(&id, &meta, &source, &library, &models, &mut options, &mut tally)?;
    }
    if let Some(results) = &options.compare {
        return compare(results, &known, &models, options.verbose);
    }
    if let Some(jobs) = &mut options.jobs {
        let mut list = Vec::new();
        if let Some(folder) = &options.events {
            files(folder, "json", &mut list);
        }
        for path in list {
            let file: Json = serde_json::from_str(&fs::read_to_string(path)?)?;
            for record in file["Records"].as_array().into_iter().flatten() {
                let all = json!(detections);
                write_job(record, Some(&options.log_type), &all, &described, options.turns, jobs)?;
            }
        }
        return Ok(());
    }
    print(&tally);
    Ok(())
}

fn detection(
    id: &str,
    meta: &Json,
    source: &Source,
    library: &Rc<Library>,
    models: &BTreeMap<String, Rc<DataModel>>,
    options: &mut Options,
    tally: &mut Tally,
) -> Result<(), Box<dyn Error>> {
    tally.detections += 1;
    let compiled = match compile(source, library) {
        Ok(compiled) => compiled,
        Err(e) => {
            tally.load_failed += 1;
            tally.reasons.entry(format!("not loaded: {}", e.message)).or_default().push(id.into());
            return Ok(());
        }
    };
    let entry = if compiled.module.get("policy").is_some() { "policy" } else { "rule" };
    tally.entry += usize::from(compiled.report.compiled(entry));
    tally.whole += usize::from(compiled.report.whole());
    for function in &compiled.report.functions {
        let count = tally.functions.entry(function.name).or_default();
        count.1 += 1;
        count.0 += usize::from(function.gaps.is_empty());
        for gap in &function.gaps {
            let reason = format!("{} ({}:{})", gap.what, gap.file, gap.line);
            tally.reasons.entry(reason).or_default().push(format!("{id}.{}", function.name));
        }
    }
    for test in meta["Tests"].as_array().into_iter().flatten() {
        run_test(id, test, entry, source, library, &compiled, models, options, tally)?;
    }
    Ok(())
}

fn run_test(
    id: &str,
    test: &Json,
    entry: &str,
    source: &Source,
    library: &Rc<Library>,
    compiled: &Compiled,
    models: &BTreeMap<String, Rc<DataModel>>,
    options: &mut Options,
    tally: &mut Tally,
) -> Result<(), Box<dyn Error>> {
    let (Some(expected), Some(log)) =
        (test["ExpectedResult"].as_bool(), test["Log"].as_object().or(test["Resource"].as_object()))
    else {
        return Ok(());
    };
    tally.tests += 1;
    let own;
    let mut compiled = compiled;
    let mocks = test["Mocks"].as_array().map_or(&[][..], |m| m);
    if !mocks.is_empty() {
        own = compile(source, library)?;
        for mock in mocks {
            let value = python::event::plain_from_json(&mock["returnValue"]);
            own.module.mock(mock["objectName"].as_str().unwrap_or_default(), Value::Mock(Rc::new(value)));
        }
        compiled = &own;
    }
    let model = log.get("p_log_type").and_then(Json::as_str).and_then(|t| models.get(t)).cloned();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let setting = Setting { model, clock: now.as_micros() as i64, ..Setting::default() };
    let event = Event::new(log);
    let name = test["Name"].as_str().unwrap_or("?");
    compiled.begin();
    let call = |function: &str| match entry {
        "policy" => compiled.call_value(function, python::event::plain_from_json(&Json::Object(log.clone())), &setting),
        _ => compiled.call(function, &event, &setting),
    };
    let verdict = call(entry);
    let mut results = serde_json::Map::new();
    results.insert(entry.into(), written(&verdict));
    let alerting = entry != "policy";
    let mut state = match &verdict {
        Outcome::Value(Value::Bool(b)) if *b == expected => "equal",
        Outcome::Unknown(_) | Outcome::Exhausted(_) => "unknown",
        _ => "different",
    };
    let mut reason = format!("{verdict:?}");
    if matches!(verdict, Outcome::Value(Value::Bool(b)) if b == alerting) {
        for function in FUNCTIONS.iter().filter(|f| **f != "rule" && **f != "policy") {
            if compiled.module.get(function).is_none() {
                continue;
            }
            let outcome = call(function);
            results.insert((*function).into(), written(&outcome));
            tally.aux += 1;
            match &outcome {
                Outcome::Value(_) => {}
                Outcome::Raised(_) => {
                    tally.aux_raised += 1;
                    if state == "equal" {
                        (state, reason) = ("different", format!("{function}: {outcome:?}"));
                    }
                }
                _ => {
                    tally.aux_unknown += 1;
                    if options.verbose {
                        println!("  {id} [{name}] {function}: {outcome:?}");
                    }
                }
            }
        }
    }
    match state {
        "equal" => tally.equal += 1,
        "unknown" => tally.unknown += 1,
        _ => tally.different += 1,
    }
    if state != "equal" {
        println!("{state}: {id} [{name}] expected {expected}: {reason}");
    }
    if let Some(out) = &mut options.jsonl {
        let line = json!({"id": id, "test": name, "mocked": !mocks.is_empty(), "results": results});
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Data models by log type, for the oracle.
fn described(root: &Path) -> Result<BTreeMap<String, Json>, Box<dyn Error>> {
    let mut list = Vec::new();
    files(&root.join("data_models"), "yml", &mut list);
    let mut models = BTreeMap::new();
    for path in list {
        let meta: Json = yaml_serde::from_str(&fs::read_to_string(&path)?)?;
        let file = meta["Filename"].as_str().map(|f| path.with_file_name(f));
        let file = file.as_deref().map(|f| f.strip_prefix(root).unwrap_or(f).to_string_lossy().into_owned());
        let mappings: Vec<Json> = meta["Mappings"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|m| match m["Path"].as_str() {
                Some(path) => json!({"name": m["Name"], "path": path}),
                None => json!({"name": m["Name"], "method": m["Method"]}),
            })
            .collect();
        for log_type in meta["LogTypes"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            models.insert(log_type.to_string(), json!({"file": file, "mappings": mappings}));
        }
    }
    Ok(models)
}

/// A line of what the oracle is to run.
fn write_job(
    log: &Json,
    log_type: Option<&str>,
    detections: &Json,
    models: &BTreeMap<String, Json>,
    turns: usize,
    jobs: &mut fs::File,
) -> Result<(), Box<dyn Error>> {
    let model = log_type.and_then(|t| models.get(t));
    let job = json!({"log": log, "log_type": log_type, "model": model, "turns": turns, "detections": detections});
    writeln!(jobs, "{job}")?;
    Ok(())
}

/// Compare with what the oracle wrote.
fn compare(
    results: &Path,
    known: &BTreeMap<String, Compiled>,
    models: &BTreeMap<String, Rc<DataModel>>,
    verbose: bool,
) -> Result<(), Box<dyn Error>> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(fs::File::open(results)?)) {
        let line: Json = serde_json::from_str(&line?)?;
        let (Some(log), Some(all)) = (line["log"].as_object(), line["results"].as_object()) else { continue };
        let setting =
            Setting { model: line["log_type"].as_str().and_then(|t| models.get(t)).cloned(), ..Setting::default() };
        let event = Event::new(log);
        for (id, functions) in all {
            let (Some(compiled), Some(functions)) = (known.get(id), functions.as_object()) else { continue };
            compiled.begin();
            for name in FUNCTIONS {
                let Some(expected) = functions.get(*name) else { continue };
                let outcome = compiled.call(name, &event, &setting);
                let (ours, text) = match &outcome {
                    Outcome::Value(value) => {
                        let text = python::canonical::canonical(value);
                        // Only CPython's order of a set can differ where the same characters stand in another order.
                        let sorted = |text: &str| {
                            let mut bytes = text.as_bytes().to_vec();
                            bytes.sort_unstable();
                            bytes
                        };
                        let state = match expected["value"].as_str() {
                            Some(expected) if expected == text => "equal",
                            Some(expected) if sorted(expected) == sorted(&text) => "order of a set",
                            _ => "DIFFERENT",
                        };
                        (state, text)
                    }
                    Outcome::Raised(raised) => {
                        let same = expected["raised"] == *raised.class;
                        let wording = expected["message"] == *raised.message;
                        let state = if !same {
                            "DIFFERENT"
                        } else if wording {
                            "equal"
                        } else {
                            "other wording"
                        };
                        (state, format!("{}: {}", raised.class, raised.message))
                    }
                    Outcome::Unknown(what) => {
                        *unknown.entry(format!("{what} {id}")).or_default() += 1;
                        ("unknown", what.clone())
                    }
                    Outcome::Exhausted(what) => ("unknown", (*what).into()),
                };
                *counts.entry(ours).or_default() += 1;
                if *name == "rule" {
                    *verdicts.entry(ours).or_default() += 1;
                }
                if ours == "DIFFERENT" || (verbose && ours != "equal") {
                    println!("{ours}: {id}.{name}: ours {text}\n    Python's {expected}");
                }
            }
        }
    }
    for (what, count) in &unknown {
        println!("{count:6} unknown: {what}");
    }
    println!("rule: {verdicts:?}\nall functions: {counts:?}");
    Ok(())
}

fn written(outcome: &Outcome) -> Json {
    match outcome {
        Outcome::Value(value) => match python::run::to_json(value) {
            Some(value) => json!({ "value": value }),
            None => json!({ "value": null, "no_json": value.type_name() }),
        },
        Outcome::Raised(raised) => json!({ "raised": raised.class, "message": raised.message }),
        Outcome::Unknown(what) => json!({ "unknown": what }),
        Outcome::Exhausted(what) => json!({ "exhausted": what }),
    }
}

fn print(tally: &Tally) {
    println!("\nreasons, by the number of functions that they block:");
    let mut reasons: Vec<_> = tally.reasons.iter().collect();
    reasons.sort_by_key(|(what, who)| (std::cmp::Reverse(who.len()), (*what).clone()));
    for (what, who) in reasons {
        println!("{:5}  {what}  {}", who.len(), who.iter().take(3).cloned().collect::<Vec<_>>().join(", "));
    }
    let share = |n: usize, of: usize| if of == 0 { 0.0 } else { 100.0 * n as f64 / of as f64 };
    println!("\ndetections {}, not loaded {}", tally.detections, tally.load_failed);
    println!("rule or policy compiled {} ({:.1} %)", tally.entry, share(tally.entry, tally.detections));
    println!("all functions compiled  {} ({:.1} %)", tally.whole, share(tally.whole, tally.detections));
    for (name, (compiled, all)) in &tally.functions {
        println!("  {name:14} {compiled} of {all}");
    }
    println!(
        "tests {}: equal {}, unknown {}, different {}; other functions called {}, raised {}, unknown {}",
        tally.tests, tally.equal, tally.unknown, tally.different, tally.aux, tally.aux_raised, tally.aux_unknown
    );
}
