//! Cost of Lua rules: microseconds per evaluation of the shipped rules, on the events of their own tests.
//!
//! `cargo run --release -p detect --example lua_cost`
use detect::lua::{Engine, Limits, Outcome};
use detect::meta;
use detect::rule::{Body, Rule};
use detect::shipped;
use std::time::Instant;

const TURNS: usize = 20_000;

fn main() {
    let (rules, _) = meta::load(&shipped::files("rules"), &["rules".into()]);
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
            let from = Instant::now();
            (0..TURNS).for_each(|n| drop(engine.run(i, &events[n % events.len()])));
            from.elapsed().as_secs_f64() * 1e6 / TURNS as f64
        };
        let whole = Instant::now();
        (0..TURNS).for_each(|n| drop(engine.run(i, &engine.event(logs[n % logs.len()].clone()))));
        let whole = whole.elapsed().as_secs_f64() * 1e6 / TURNS as f64;
        println!("{:32} {:>7.2} µs {:>7.2} µs {whole:>9.2} µs", rule.meta.id, cost(&no), cost(&yes));
    }
}
