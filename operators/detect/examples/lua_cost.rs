//! Cost of Lua rules: CPU microseconds per evaluation of the shipped rules, on the events of their own tests.
//!
//! `cargo run --release -p detect --example lua_cost`
use detect::lua::{Engine, Limits, Outcome};
use detect::meta;
use detect::rule::{Body, Rule};
use model::files::MemFiles;

const TURNS: usize = 20_000;

/// CPU time of this thread in microseconds, which a busy machine does not change much.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default() / 1e3
}

/// The shipped detections.
fn shipped() -> MemFiles {
    let mut out = MemFiles::default();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("detections");
    let files = |p: &std::path::Path| std::fs::read_dir(p).into_iter().flatten().flatten().map(|e| e.path());
    for file in files(&root).flat_map(|vendor| files(&vendor).collect::<Vec<_>>()) {
        if let (Some(name), Ok(bytes)) = (file.file_name(), std::fs::read(&file)) {
            out.0.insert(format!("d/{}", name.to_string_lossy()), bytes.into());
        }
    }
    out
}

fn main() {
    let (rules, _) = meta::load(&shipped(), &["d".into()]);
    let lua: Vec<&Rule> = rules.iter().filter(|r| matches!(r.body, Body::Lua { .. })).collect();
    let engine = Engine::new(&lua, Limits::default());
    println!("{:32} {:>10} {:>10} {:>12}", "rule", "no match", "match", "event + run");
    for (i, rule) in lua.iter().enumerate() {
        let logs: Vec<_> = rule.tests.as_array().into_iter().flatten().map(|t| t["Log"].clone()).collect();
        let (mut no, mut yes) = (Vec::new(), Vec::new());
        for log in &logs {
            let event = engine.event(log.clone());
            match engine.run(i, &event) {
                Outcome::No => no.push(event),
                _ => yes.push(event),
            }
        }
        let cost = |events: &[detect::lua::EventHandle]| {
            let from = cpu();
            (0..TURNS).for_each(|n| drop(engine.run(i, &events[n % events.len()])));
            (cpu() - from) / TURNS as f64
        };
        let from = cpu();
        (0..TURNS).for_each(|n| drop(engine.run(i, &engine.event(logs[n % logs.len()].clone()))));
        let whole = (cpu() - from) / TURNS as f64;
        println!("{:32} {:>7.2} µs {:>7.2} µs {whole:>9.2} µs", rule.meta.id, cost(&no), cost(&yes));
    }
}
