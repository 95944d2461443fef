//! The unit tests of a detections repository in CPython workers, and beside them in the compiled evaluator.
//!
//! ```text
//! cargo run --release -p python --example cpython -- CHECKOUT [--python P] [--venv V] [--apart] [--only ID]
//!     [--mutations N] [--seed S] [--turns N]
//! ```
//!
//! A test passes if the verdict is the expected one and, where that is a match, no other function raises. Every function's
//! result is compared with that of the compiled evaluator, and the results of N mutations of every test event: a value is
//! dropped, replaced, wrapped, or changed in a character or in case. `--turns` then calls every detection N times with its
//! test events, and says how long that took.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use python::cpython::verify::Verdict;
use python::cpython::worker::AFTER;
use python::cpython::{
    Answer, Call, Detection, Difference, Field, Home, Model, Module, NoCache, Output, Pool, Settings, Sources, Tally,
    compare,
};
use python::{Compiled, DataModel, Event, Library, Mapping, Setting, Source, compile};
use serde_json::{Value as Json, json};

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
    let (mut mutations, mut random) = (0usize, Random(1));
    settings.home = Home::Together(2);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match &*arg {
            "--python" => settings.python = args.next().map(Into::into),
            "--venv" => settings.venv = args.next().map(Into::into),
            "--apart" => settings.home = Home::Apart,
            "--only" => only = args.next(),
            "--mutations" => mutations = args.next().unwrap_or_default().parse()?,
            "--seed" => random = Random(args.next().unwrap_or_default().parse()?),
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
    println!("CPython {}: {}", pool.version(), pool.isolation());
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
        let (Some(compiled), true) = (&known[test.detection], test.mocks.is_empty()) else { continue };
        show(d, &test.name, &test.event, &compared(compiled, &test.event, &shared, clock, answer, &mut tally));
        let events: Vec<Json> = (0..mutations).map(|_| mutate(&test.event, &mut random)).collect();
        let texts: Vec<String> = events.iter().map(Json::to_string).collect();
        let calls: Vec<Call> = texts.iter().map(|text| Call { event: text, mocks: &[], ..call }).collect();
        for (event, answer) in events.iter().zip(&pool.call(&calls, clock, &mut NoCache)?) {
            show(d, &test.name, event, &compared(compiled, event, &shared, clock, answer, &mut tally));
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

/// Compare the answer to an event with what the compiled evaluator gives.
fn compared(
    compiled: &Compiled,
    event: &Json,
    models: &BTreeMap<String, Rc<DataModel>>,
    clock: i64,
    answer: &Answer,
    tally: &mut Tally,
) -> Vec<Difference> {
    let Some(log) = event.as_object() else { return vec![] };
    let model = log.get("p_log_type").and_then(Json::as_str).and_then(|t| models.get(t)).cloned();
    let setting = Setting { model, clock, ..Setting::default() };
    compare(compiled, &Event::new(log), &setting, answer, tally)
}

fn show(detection: &Detection, test: &str, event: &Json, differences: &[Difference]) {
    for found in differences.iter().filter(|d| d.verdict == Verdict::Different) {
        println!("{:?}: {} [{test}] {}", found.verdict, detection.id, found.function);
        println!("    compiled {}\n    CPython  {}", cut(&found.compiled), cut(&found.cpython));
        println!("    event    {}", cut(&event.to_string()));
    }
}

/// Random numbers that a seed repeats (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

/// The event with one to three places changed.
fn mutate(event: &Json, random: &mut Random) -> Json {
    let mut event = event.clone();
    for _ in 0..=random.below(3) {
        let mut places = Vec::new();
        pointers(&event, String::new(), &mut places);
        if places.is_empty() {
            break;
        }
        let place = places.swap_remove(random.below(places.len()));
        let (above, key) = place.rsplit_once('/').unwrap_or_default();
        let Some(old) = event.pointer(&place).cloned() else { continue };
        let scalars =
            [json!(null), json!(true), json!(0), json!(-7), json!(2.5), json!(""), json!("x"), json!([]), json!({})];
        let new = match (random.below(7), &old) {
            (0, _) => {
                match event.pointer_mut(above) {
                    Some(Json::Object(map)) => drop(map.shift_remove(&key.replace("~1", "/").replace("~0", "~"))),
                    Some(Json::Array(list)) => drop(list.remove(key.parse().unwrap_or_default())),
                    _ => {}
                }
                continue;
            }
            (1, _) => json!([old]),
            (2, _) => json!({ "k": old }),
            (3, Json::String(text)) => match text.chars().any(char::is_lowercase) {
                true => json!(text.to_uppercase()),
                false => json!(text.to_lowercase()),
            },
            (4, Json::String(text)) if !text.is_empty() => {
                let at = random.below(text.chars().count());
                let other = ['x', 'X', ' ', '.', ':', '/'][random.below(6)];
                json!(text.chars().enumerate().map(|(i, c)| if i == at { other } else { c }).collect::<String>())
            }
            _ => scalars[random.below(scalars.len())].clone(),
        };
        if let Some(value) = event.pointer_mut(&place) {
            *value = new;
        }
    }
    event
}

/// JSON pointers of everything in a value.
fn pointers(value: &Json, at: String, places: &mut Vec<String>) {
    let mut below = |key: String, value: &Json| {
        let place = format!("{at}/{key}");
        places.push(place.clone());
        pointers(value, place, places);
    };
    match value {
        Json::Object(map) => map.iter().for_each(|(k, v)| below(k.replace('~', "~0").replace('/', "~1"), v)),
        Json::Array(list) => list.iter().enumerate().for_each(|(i, v)| below(i.to_string(), v)),
        _ => {}
    }
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
