//! A checkout of rules, where one is named: everything in it loads or is reported, finds its samples, and is decided alike by
//! both evaluators.
//!
//! `MILLSTREAM_SIGMA=rules cargo test -p detect --lib sigma -- --nocapture`; without a checkout these look at nothing.
use super::matches;
use crate::columns::Program;
use crate::columns::tests::{layout_for, slow, support};
use crate::columns::view::View;
use crate::meta;
use crate::rule::Rule;
use crate::sigma::mapping::Mappings;
use crate::sigma::survey::{Verdict, survey};
use model::files::MemFiles;
use serde_json::{Value as J, json};
use std::time::Duration;

/// What a variable names, if somebody has set it.
fn named(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        println!("{variable} is not set: nothing to look at");
    }
    value
}

/// Files of a folder that a variable names, below `rules`.
fn folder(variable: &str) -> Option<MemFiles> {
    let root = named(variable)?;
    let mut files = MemFiles::default();
    let mut folders = vec![std::path::PathBuf::from(&root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => {
                    let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                    files.0.insert(format!("rules/{name}"), std::fs::read(&path).unwrap().into());
                }
            }
        }
    }
    Some(files)
}

#[test]
fn a_checkout_loads_or_is_reported() {
    let Some(files) = folder("MILLSTREAM_SIGMA") else { return };
    let began = std::time::Instant::now();
    let survey = survey(&files, &["rules".into()], &Mappings::shipped()).unwrap();
    println!("{}\nin {:?}", survey.text(), began.elapsed());
    for d in &survey.documents {
        assert!(d.outcome == Verdict::Supported || !d.findings.is_empty(), "{}", d.file);
    }
    let (rules, _) = meta::load(&files, &["rules".into()]);
    assert_eq!(rules.len(), survey.supported);
}

/// `MILLSTREAM_SIGMA_EVENTS=folder`: a folder of `<rule id>.json`, each with events on which that rule of `MILLSTREAM_SIGMA` must fire, as
/// trees of `System` and `EventData`.
#[test]
fn rules_of_a_checkout_find_their_samples() {
    let Some((files, samples)) = folder("MILLSTREAM_SIGMA").zip(folder("MILLSTREAM_SIGMA_EVENTS")) else { return };
    let (rules, _) = meta::load(&files, &["rules".into()]);
    let (mut hit, mut missed) = (0, Vec::new());
    for (file, bytes) in samples.0.iter().filter(|(f, _)| f.ends_with(".json")) {
        let id = file.rsplit('/').next().unwrap().trim_end_matches(".json");
        let Some(rule) = rules.iter().find(|r| &*r.meta.id == id) else {
            missed.push(format!("{file}: not loaded"));
            continue;
        };
        let stream = serde_json::Deserializer::from_slice(bytes).into_iter::<J>();
        let events: Vec<J> = stream.map(|e| flat(&e.unwrap())).collect();
        let got = matches(std::slice::from_ref(rule), "Windows.EventLogs", &events);
        match got.iter().any(|ids| !ids.is_empty()) {
            true => hit += 1,
            false => missed.push(file.clone()),
        }
    }
    println!("{hit} rules fire on their samples; these do not: {missed:#?}");
    assert!(missed.is_empty());
}

/// `MILLSTREAM_SIGMA_LOG=file`: events, one a line, flat ones of Windows or those of `MILLSTREAM_SIGMA_LOG_TYPE`. Both
/// evaluators agree on the first of them, and what all of them take is told.
#[test]
fn rules_of_a_checkout_agree_on_a_log() {
    let Some((files, log)) = folder("MILLSTREAM_SIGMA").zip(named("MILLSTREAM_SIGMA_LOG")) else { return };
    let (rules, _) = meta::load(&files, &["rules".into()]);
    let log = std::fs::read_to_string(log).unwrap();
    let log_type = std::env::var("MILLSTREAM_SIGMA_LOG_TYPE").unwrap_or_else(|_| "Windows.EventLogs".into());
    let with = |l: &str| {
        let mut e: J = serde_json::from_str(l).unwrap();
        e["p_log_type"] = json!(log_type);
        e
    };
    let events: Vec<J> = log.lines().map(with).collect();
    let rules: Vec<Rule> = rules.into_iter().filter(|r| r.log_types.contains(&log_type.as_str().into())).collect();
    let layout = layout_for(&log_type, &rules);
    let batches: Vec<_> = events.chunks(500).map(|e| support::batch(&layout, e)).collect();
    let began = cpu();
    let mut program = Program::new(&rules, &layout);
    println!("{} rules compiled in {:?}", rules.len(), cpu() - began);
    let plan = program.plan();
    let (mut took, mut first, mut slowest, mut all) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, Vec::new());
    for (i, batch) in batches.iter().enumerate() {
        let mut hits = Vec::new();
        let view = View::new(batch, &plan);
        let began = cpu();
        program.run(&view, &mut hits);
        let batch_took = cpu() - began;
        if i == 0 {
            first = batch_took;
        } else {
            took += batch_took;
            slowest = slowest.max(batch_took);
        }
        all.extend(hits.into_iter().map(|(row, rule)| (i * 500 + row, rule)));
    }
    let fired: std::collections::BTreeSet<usize> = all.iter().map(|(_, rule)| *rule).collect();
    let per = took.as_nanos() / (events.len().saturating_sub(500).max(1) as u128);
    println!(
        "{} events, {} matches of {} rules; first batch {first:?}, slowest after it {slowest:?}, {per} ns an event; {} always; {:?}",
        events.len(),
        all.len(),
        fired.len(),
        program.always().len(),
        program.scanned()
    );
    let began = cpu();
    for batch in &batches {
        program.run(&View::new(batch, &plan), &mut Vec::new());
    }
    println!("once more: {} ns an event", (cpu() - began).as_nanos() / events.len().max(1) as u128);
    let some = events.len().min(2_000);
    all.retain(|(row, _)| *row < some);
    assert_eq!(all, slow(&rules, &events[..some]));
}

/// An event of Windows, its tree made flat.
fn flat(event: &J) -> J {
    let system = &event["Event"]["System"];
    let mut out = json!({
        "EventID": system["EventID"].get("#text").unwrap_or(&system["EventID"]),
        "Channel": system["Channel"],
        "Computer": system["Computer"],
        "Provider_Name": system["Provider"]["#attributes"]["Name"],
        "Level": system["Level"],
    });
    for part in ["EventData", "UserData"] {
        let fields = event["Event"].get(part).and_then(J::as_object);
        for (key, v) in fields.into_iter().flatten().filter(|(_, v)| !v.is_null()) {
            match v.as_object() {
                Some(inner) if part == "UserData" => inner.iter().for_each(|(k, v)| out[k] = v.clone()),
                _ => out[key] = v.clone(),
            }
        }
    }
    out
}

/// CPU time of this thread, as Linux counts it.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}
