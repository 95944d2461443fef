//! Cost of the rule stage in ns per event.
//!
//! `cargo run --release -p detect --example rule_cost -- EVENTS.jsonl LOOKUP.csv RULES_FOLDER [GENERATED] [COUNT]`
//!
//! Measures the detect node as it runs in the product — columns in, finished matches out — for the rules of the folder,
//! then for GENERATED more rules (default 1,000) made from names that occur in the events and names that do not.
//! Columns are built beforehand and do not count; at most COUNT events (default 20,000) are held in memory. The CPU time of the best of several rounds is printed, with the matches per rule.
#[path = "support/columns.rs"]
mod support;

use detect::columns::{Programs, view::View};
use model::lookup::{EnrichRows, NO_ROW};
use model::part::Node;
use model::{
    BuildCx, Built, Ctx, EnrichColumn, EventBatch, Files, Kind, LookupTable, Map, Needs, Packet, Part, files::MemFiles,
};
use serde_json::{Map as Object, Value as J, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

const LOG_TYPE: &str = "AWS.CloudTrail";
const BATCH: usize = 1_000;
const ROUNDS: usize = 30;

fn main() -> Result<(), model::Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [events, lookup, rules, rest @ ..] = args.as_slice() else {
        return Err("usage: rule_cost EVENTS.jsonl LOOKUP.csv RULES_FOLDER [GENERATED] [COUNT]".into());
    };
    let generated: usize = rest.first().map_or(Ok(1_000), |n| n.parse())?;
    let count: usize = rest.get(1).map_or(Ok(20_000), |n| n.parse())?;
    let text = std::fs::read_to_string(events)?;
    let lines: Vec<&str> = text.lines().filter(|l| !l.is_empty()).take(count).collect();
    let (table, ids) = read_lookup(lookup)?;
    let mut files = MemFiles::default();
    for entry in std::fs::read_dir(rules)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "yml") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.0.insert(format!("rules/{name}"), std::fs::read(&path)?.into());
        }
    }
    report("rules of the folder", &files, &lines, &table, &ids, true)?;
    if generated > 0 {
        let names = names_of(&lines)?;
        for i in 0..generated {
            let rule = generate(i, &names).to_string();
            files.0.insert(format!("rules/generated-{i:05}.yml"), rule.as_bytes().into());
        }
        report(&format!("and {generated} generated"), &files, &lines, &table, &ids, false)?;
    }
    Ok(())
}

fn report(
    what: &str,
    files: &dyn Files,
    lines: &[&str],
    table: &Arc<LookupTable>,
    ids: &HashMap<String, u32>,
    per_rule: bool,
) -> Result<(), model::Error> {
    let opened = detect::detect::DetectPart.open("rules", &json!({"rules": ["rules"]}), files);
    for p in opened.problems.iter().take(20) {
        eprintln!("{}: {:?} {}", p.setting, p.file, p.message);
    }
    let node = opened.node.ok_or("the rules have errors")?;
    let batches = batches(&node.needs(), lines, table, ids)?;
    let events: usize = batches.iter().map(|b| b.len()).sum();
    let (mut best, mut counts) = (f64::INFINITY, BTreeMap::new());
    let mut map = map_of(&*node)?;
    for _ in 0..ROUNDS {
        counts.clear();
        let mut spent = 0;
        for batch in &batches {
            touch(batch);
            let start = cpu_ns();
            let mut cx = Ctx::default();
            map.map(Packet::Events(batch.clone()), &mut cx)?;
            spent += cpu_ns() - start;
            let matches = cx.counts.into_iter().filter(|c| c.0 == "matches");
            matches.for_each(|(_, id, n)| *counts.entry(id).or_default() += n);
        }
        best = best.min(spent as f64 / events as f64);
    }
    let matches: u64 = counts.values().sum();
    println!("{what}: {}, {events} events, {matches} matches, {best:.0} ns/event", node.summary());
    let (rules, _) = detect::meta::load(files, &["rules".into()]);
    let mut programs = Programs::new(rules.into());
    let program = programs.of(&batches[0]);
    let plan = program.plan();
    program.run(&View::new(&batches[0], &plan), &mut Vec::new());
    let scanned = program.scanned().into_iter().map(|(name, n)| format!("{name} ({n})"));
    println!("  columns scanned, with rules: {}", scanned.collect::<Vec<_>>().join(", "));
    if per_rule {
        println!("  {}", counts.iter().map(|(id, n)| format!("{id} {n}")).collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

/// CPU time of this thread: other work on the machine does not count.
fn cpu_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a plain system call that fills `t`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Bring a batch into the cache, where the parser leaves it.
fn touch(batch: &EventBatch) {
    let text: u64 = batch.data.iter().step_by(64).map(|b| *b as u64).sum();
    let spans: u64 = batch.pos.iter().step_by(8).chain(&[text]).fold(0, |a, b| a.wrapping_add(*b));
    std::hint::black_box(batch.tag.iter().step_by(64).fold(spans, |a, t| a.wrapping_add(*t as u64)));
}

fn map_of(node: &dyn Node) -> Result<Box<dyn Map>, model::Error> {
    let cx = BuildCx {
        id: Kind::Detect.section().into(),
        topology: "test".into(),
        generation: 1,
        index: 0,
        needs: Needs::default(),
        store_events: false,
        groups: 128,
        shard: 0,
        data_dir: Default::default(),
        work_dir: Default::default(),
        event_time: true,
        once: true,
        ..Default::default()
    };
    match node.build(&cx)? {
        Built::Map(map) => Ok(map),
        _ => Err("detect is a map".into()),
    }
}

fn batches(
    needs: &Needs,
    lines: &[&str],
    table: &Arc<LookupTable>,
    ids: &HashMap<String, u32>,
) -> Result<Vec<Arc<EventBatch>>, model::Error> {
    let layout = support::layout(LOG_TYPE, &needs.of(LOG_TYPE));
    let mut out = Vec::new();
    for chunk in lines.chunks(BATCH) {
        let events = chunk.iter().map(|l| serde_json::from_str(l)).collect::<Result<Vec<J>, _>>()?;
        let id = |e: &J| e["sourceIPAddress"].as_str().and_then(|ip| ids.get(ip)).copied().unwrap_or(NO_ROW);
        let rows = EnrichRows::One(events.iter().map(id).collect());
        let mut batch = support::batch(&layout, &events);
        batch.enrich = vec![EnrichColumn { table: table.clone(), selector: "sourceIPAddress".into(), rows }];
        out.push(Arc::new(batch));
    }
    Ok(out)
}

fn read_lookup(path: &str) -> Result<(Arc<LookupTable>, HashMap<String, u32>), model::Error> {
    let text = std::fs::read_to_string(path)?;
    let mut lines = text.lines().map(|l| l.split(','));
    let header: Vec<&str> = lines.next().ok_or("the lookup is empty")?.collect();
    let rows: Vec<Object<String, J>> =
        lines.map(|l| header.iter().zip(l).map(|(k, v)| (k.to_string(), J::from(v))).collect()).collect();
    let ids = rows.iter().zip(0..).map(|(r, i)| (r["ip"].as_str().unwrap_or_default().to_string(), i)).collect();
    Ok((Arc::new(support::lookup("geo", &rows.iter().collect::<Vec<_>>())), ids))
}

fn names_of(lines: &[&str]) -> Result<Vec<String>, serde_json::Error> {
    let mut names = BTreeSet::new();
    for line in lines.iter().take(20_000) {
        let event: J = serde_json::from_str(line)?;
        names.extend(event["eventName"].as_str().map(String::from));
    }
    Ok(names.into_iter().collect())
}

/// Rule `i`: what detections of cloud audit logs are made of. Three of ten use a name that occurs in the events.
fn generate(i: usize, names: &[String]) -> J {
    let name = if i % 10 < 3 {
        names[i * 7 % names.len()].clone()
    } else {
        format!("Do{}Thing{i}", ["Create", "Delete", "Put"][i % 3])
    };
    let test = |path: &str, condition: &str, value: J| match value {
        J::Null => json!({"KeyPath": path, "Condition": condition}),
        value => json!({"KeyPath": path, "Condition": condition, "Value": value}),
    };
    let named = test("eventName", "Equals", json!(name));
    let mut body = match i % 8 {
        0 => vec![named, test("userIdentity.type", "Equals", json!("Root"))],
        1 => {
            let values = [name.clone(), format!("{name}V2"), format!("{name}V3")];
            let list = json!({"KeyPath": "eventName", "Condition": "IsIn", "Values": values});
            vec![
                test("eventSource", "Equals", json!("iam.amazonaws.com")),
                list,
                test("awsRegion", "Equals", json!("aq-south-1")),
            ]
        }
        2 => vec![named, test(&format!("requestParameters.field{}", i % 40), "Equals", json!(format!("value{i}")))],
        3 => vec![
            test("errorCode", "Equals", json!(format!("Client.Error{i}"))),
            test("eventName", "StartsWith", json!("Describe")),
        ],
        4 => vec![
            named,
            test(
                "requestParameters.roleArn",
                "Matches",
                json!(format!(r"^arn:aws:iam::\d{{12}}:role/(admin{i}|.*-{i})$")),
            ),
        ],
        5 => vec![
            test("eventName", "StartsWith", json!(name)),
            test("readOnly", "Equals", json!(false)),
            test("errorCode", "IsNotNull", J::Null),
        ],
        6 => {
            let other = test("userIdentity.userName", "Equals", json!(format!("intruder{i}")));
            vec![
                json!({"Any": [named, other]}),
                test("sourceIPAddress", "DoesNotStartWith", json!("10.")),
                test("userIdentity.type", "Equals", json!("Root")),
            ]
        }
        _ => vec![named, test("userIdentity.arn", "Contains", json!(format!(":user/contractor{i}")))],
    };
    if i % 50 == 49 {
        body = vec![test("userAgent", "Matches", json!(format!("(?i)evil-tool-{i}|scanner{i}")))];
    }
    json!({
        "AnalysisType": "rule", "RuleID": format!("Generated.{i:05}"), "Enabled": true, "Severity": "Low",
        "LogTypes": [LOG_TYPE], "Detection": body, "GroupBy": [{"KeyPath": "userIdentity.arn"}],
    })
}
