//! The tests: past failures first, then many seeds, and broken protocols that must be noticed.
//!
//! `SIM_SEED=n` runs one seed and tells what it did (`SIM_TRACE=1`: every request), `SIM_SEEDS=n` so many of them, after
//! those up to `SIM_BASE=n`.
use crate::cover::Cover;
use crate::mutations::MUTATIONS;
use crate::run::{Report, simulate};
use crate::sched::{Dead, try_sched};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Seeds of an ordinary run.
const SEEDS: u64 = 20_000;
/// Simulations at the same time on each core: the connector sleeps a little in real time.
const PER_CORE: usize = 3;
/// One seed in so many is run twice.
const TWICE: u64 = 100;
/// Seeds within which a broken protocol must be noticed.
const NOTICED_WITHIN: u64 = 1_000;
/// Seeds that failed once. They run first; a change of what is drawn changes what they do.
const PAST: &[u64] = &[
    13142, 17089, 31, 163, 209, 270, 591, 801, 878, 917, 1418, 1638, 2170, 3750, 2339, 2603, 2710, 2901, 3800, 4453,
    9796, 16044, 1000281, 1006173, 1009916, 1047657, 1065190,
];

/// Threads of a simulation that is over must not print; panics of one that runs are its result.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let dead = info.payload().is::<Dead>();
            if !dead && !try_sched().is_some_and(|s| s.panicked(info.to_string())) {
                default(info);
            }
        }));
    });
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

fn tell(seed: u64, r: &Report, why: &str) -> String {
    format!(
        "{why}\n  again: SIM_SEED={seed} cargo test --release -p engine --test sim seeds -- --nocapture\n  {} epochs, \
         {} incarnations, {} turns\n  faults: {:?}\n  mix: {:?}",
        r.epochs, r.incarnations, r.turns, r.faults, r.mix
    )
}

/// What all seeds gave together.
#[derive(Default)]
struct Sum {
    cover: Cover,
    failures: Vec<String>,
    incarnations: u64,
    epochs: u64,
}

fn seed(n: u64, sum: &Mutex<Sum>) {
    let r = simulate(n, None);
    let mut why: Vec<String> = r.failure.iter().map(|f| tell(n, &r, f)).collect();
    if n.is_multiple_of(TWICE) {
        let again = simulate(n, None);
        if (again.trace, &again.failure) != (r.trace, &r.failure) {
            why.push(tell(n, &r, "two runs of this seed differ: something is not deterministic"));
        }
    }
    why.iter().for_each(|w| println!("FAILED {w}"));
    let mut s = sum.lock().unwrap_or_else(PoisonError::into_inner);
    s.cover.add(&r.cover);
    s.incarnations += r.incarnations as u64;
    s.epochs += r.epochs as u64;
    s.failures.append(&mut why);
}

/// Run this on several threads. A simulation stays on one core: its threads run one at a time, and to pass the turn within
/// a core costs half of what it costs between two.
fn on_all_cores(run: impl Fn() + Sync) {
    let cores = cores();
    let run = &run;
    std::thread::scope(|s| {
        for core in cores.iter().cycle().take(cores.len() * PER_CORE) {
            s.spawn(move || {
                // SAFETY: the set is plain data; what this thread starts inherits it.
                unsafe {
                    let mut set: libc::cpu_set_t = std::mem::zeroed();
                    libc::CPU_SET(*core, &mut set);
                    libc::sched_setaffinity(0, size_of_val(&set), &set);
                }
                run()
            });
        }
    });
}

/// Numbers of the cores that this process may use.
fn cores() -> Vec<usize> {
    // SAFETY: the set is plain data that the call fills.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &mut set), 0, "ask for the cores");
        (0..libc::CPU_SETSIZE as usize).filter(|c| libc::CPU_ISSET(*c, &set)).collect()
    }
}

/// Run seeds from several threads until there are none, or something is wrong.
fn many(seeds: &(dyn Fn(u64) -> Option<u64> + Sync), sum: &Mutex<Sum>) {
    let (at, stop, began) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
    let run = || {
        while !stop.load(Relaxed) {
            let i = at.fetch_add(1, Relaxed);
            let Some(n) = seeds(i) else { return };
            seed(n, sum);
            stop.fetch_or(sum.lock().is_ok_and(|s| s.failures.len() >= 5), Relaxed);
            if (i + 1) % 2000 == 0 {
                println!("{} seeds, {:.0} a second", i + 1, (i + 1) as f64 / began.elapsed().as_secs_f64());
            }
        }
    };
    on_all_cores(run);
}

#[test]
fn seeds() {
    quiet();
    if let Some(n) = number("SIM_SEED") {
        let r = simulate(n, None);
        println!("seed {n}: {}", tell(n, &r, r.failure.as_deref().unwrap_or("nothing is wrong")));
        assert!(r.failure.is_none());
        return;
    }
    let (base, n) = (number("SIM_BASE").unwrap_or(0), number("SIM_SEEDS").unwrap_or(SEEDS));
    let sum = Mutex::<Sum>::default();
    let past = PAST.len() as u64;
    many(&|i| PAST.get(i as usize).copied().or_else(|| (i - past < n).then_some(base + i - past + 1)), &sum);
    let s = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} incarnations, {} epochs", s.incarnations, s.epochs);
    println!("{}", s.cover.list());
    assert!(s.failures.is_empty(), "{} of {n} seeds failed\n{}", s.failures.len(), s.failures.join("\n"));
    let missed = s.cover.missed(n, SEEDS);
    assert!(missed.is_empty(), "these happened too rarely to be tested: {missed:?}");
}

#[test]
fn every_broken_protocol_is_noticed() {
    quiet();
    if number("SIM_SEED").is_some() {
        return;
    }
    let missed = Mutex::new(Vec::new());
    let at = AtomicU64::new(0);
    let run = || {
        while let Some((name, what)) = MUTATIONS.get(at.fetch_add(1, Relaxed) as usize) {
            match (1..=NOTICED_WITHIN).find_map(|n| Some((n, simulate(n, Some(name)).failure?))) {
                Some((n, why)) => println!("{name} ({what}): noticed by seed {n}: {}", why.replace('\n', " ")),
                None => missed.lock().unwrap_or_else(PoisonError::into_inner).push(*name),
            }
        }
    };
    on_all_cores(run);
    let missed = missed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(missed.is_empty(), "not noticed within {NOTICED_WITHIN} seeds: {missed:?}");
}
