//! The tests: many seeds, past failures first, and broken protocols that must be noticed.
use crate::run::{Report, simulate};
use crate::sched::{Dead, try_sched};
use std::sync::Once;

fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match try_sched() {
            Some(_) if info.payload().is::<Dead>() => {}
            Some(s) => s.panicked(info.to_string()),
            None => default(info),
        }));
    });
}

fn one(seed: u64, mutation: Option<&'static str>) -> Report {
    quiet();
    std::thread::Builder::new()
        .name("supervisor".into())
        .spawn(move || simulate(seed, mutation))
        .expect("start a thread")
        .join()
        .expect("the supervisor does not panic")
}

#[test]
fn seeds() {
    let first = std::env::var("SIM_SEED").ok().and_then(|s| s.parse::<u64>().ok());
    let n = std::env::var("SIM_SEEDS").ok().and_then(|s| s.parse::<u64>().ok()).unwrap_or(200);
    let began = std::time::Instant::now();
    let mut bad = 0;
    for seed in first.unwrap_or(1)..first.map_or(n + 1, |f| f + 1) {
        let r = one(seed, None);
        if first.is_some() {
            println!("{:?}\n{:?}\nturns {} epochs {} incs {}", r.mix, r.faults, r.turns, r.epochs, r.incarnations);
        }
        if let Some(f) = r.failure {
            bad += 1;
            println!("SIM_SEED={seed}: {f}\n   faults {:?}", r.faults);
        }
    }
    println!("{n} seeds in {:?}, bad {bad}", began.elapsed());
    assert_eq!(bad, 0);
}
