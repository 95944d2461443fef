//! The detections that do harm to whoever runs them, compiled: each is refused or ends at a limit, soon, and a detection
//! beside it is answered as ever. What a worker of CPython does with them is in [`crate::cpython`].

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use crate::{Event, Library, Outcome, Setting, Source, compile};

/// What loading a script, its `rule` and its `title` may each take of a processor. A whole budget of steps takes about a
/// tenth of it.
const CPU: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });
/// What the memory of this process may grow by meanwhile, KiB.
const MEMORY_KB: u64 = 512 << 10;

fn source(name: &str, text: &str) -> Source {
    Source { name: Rc::from(name), file: Rc::from("hostile.py"), text: Rc::from(text) }
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes a time to where it is told.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Most memory that this process ever held, KiB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_compiled_detection_that_does_harm_harms_only_itself() {
    let scripts = include_str!("../runtime/attacks/hostile.txt").split("\n#: ").skip(1);
    let good =
        compile(&source("good", "def rule(event):\n    return event.get('n') == 1\n"), &Library::new([])).unwrap();
    let event = Event::new(json!({"n": 1}).as_object().unwrap());
    let (mut asked, mut ran, mut wrong) = (0, 0, Vec::new());
    let before = peak_kb();
    for script in scripts {
        let (head, text) = script.split_once('\n').expect("a name and a text");
        let mut timed = |what: &str, f: &mut dyn FnMut() -> String| {
            let from = cpu();
            let said = f();
            let took = cpu() - from;
            if took > CPU || said.len() > 3 << 20 {
                wrong.push(format!("{head}: {what} took {took:?} and said {} bytes", said.len()));
            }
        };
        let mut compiled = None;
        timed("load", &mut || match compile(&source("attack", text), &Library::new([])) {
            Ok(detection) => {
                compiled = Some(detection);
                "loaded".into()
            }
            Err(e) => e.to_string(),
        });
        asked += 1;
        for function in ["rule", "title"] {
            let Some(detection) = compiled.as_ref().filter(|d| d.report.compiled(function)) else { continue };
            ran += 1;
            detection.begin();
            timed(function, &mut || format!("{:?}", detection.call(function, &event, &Setting::default())));
        }
        match good.call("rule", &event, &Setting::default()) {
            Outcome::Value(value) if crate::canonical::canonical(&value) == "True" => {}
            other => wrong.push(format!("{head}: the detection beside it: {other:?}")),
        }
    }
    println!("{asked} scripts, {ran} functions of them are compiled; peak {before} -> {} KiB", peak_kb());
    assert!(asked >= 100 && ran >= 30, "{asked} scripts, {ran} functions");
    assert!(peak_kb() - before < MEMORY_KB, "{} -> {} KiB", before, peak_kb());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
