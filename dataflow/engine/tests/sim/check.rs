//! The judgement: what is visible must be what the logged epochs say, each row once, in order.
use crate::input::Input;
use crate::outputs::{BucketSink, FileSink};
use crate::pipeline::Shape;
use crate::reference::{Expected, Row, expected};
use crate::sched::Sched;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is wrong, if anything.
pub fn check(sched: &Sched, input: &Input, shape: &Shape) -> Result<(), String> {
    let history = sched.history.lock().expect("no holder panics");
    if let Some(b) = &history.broken {
        return Err(b.clone());
    }
    let mut next: Vec<u64> = vec![0; input.partitions.len()];
    let mut now = 0;
    for (i, (epoch, r)) in history.epochs.iter().enumerate() {
        if *epoch != i as u64 + 1 {
            return Err(format!("epoch {} is missing", i + 1));
        }
        if r.now_ms < now {
            return Err(format!("the clock of epoch {epoch} goes back"));
        }
        now = r.now_ms;
        for s in &r.splits {
            let at = &mut next[s.partition as usize];
            if s.from != *at {
                return Err(format!("epoch {epoch}: {} continues at {}, not at {at}", s.name, s.from));
            }
            *at = s.to;
        }
    }
    for (p, at) in next.iter().enumerate() {
        if *at != input.partitions[p].len() as u64 {
            return Err(format!("partition {p} was read to {at} of {}", input.partitions[p].len()));
        }
    }
    let want = expected(&history.epochs, input, shape);
    let got = visible(sched)?;
    let mut ids = (HashMap::new(), HashMap::new());
    for sink in ["alerts", "signals", "dead", "events"] {
        let (w, g) = (by_key(&want, sink), by_key(&got.0, sink));
        let keys: HashSet<&String> = w.keys().chain(g.keys()).collect();
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort();
        for key in keys {
            let none = Vec::new();
            compare(sink, key, w.get(key).unwrap_or(&none), g.get(key).unwrap_or(&none), &mut ids)?;
        }
    }
    ledger(&got.1, &want)
}

type Ids = (HashMap<String, String>, HashMap<String, String>);

fn compare(sink: &str, key: &str, want: &[&Row], got: &[&Row], ids: &mut Ids) -> Result<(), String> {
    for i in 0..want.len().max(got.len()) {
        let (w, g) = (want.get(i), got.get(i));
        let same = match (w, g) {
            (Some(w), Some(g)) => {
                let there = ids.0.entry(w.id.clone()).or_insert_with(|| g.id.clone()) == &g.id;
                let back = ids.1.entry(g.id.clone()).or_insert_with(|| w.id.clone()) == &w.id;
                w.text == g.text && there && back
            }
            _ => false,
        };
        if !same {
            let show = |r: Option<&&Row>| r.map_or("nothing".to_string(), |r| format!("`{}` ({})", r.text, r.id));
            let (w, g) = (show(w), show(g));
            return Err(format!(
                "{sink}, key `{key}`: row {i} of {} should be {w}, but of {} it is {g}",
                want.len(),
                got.len()
            ));
        }
    }
    Ok(())
}

fn by_key<'a>(rows: &'a Expected, sink: &str) -> BTreeMap<String, Vec<&'a Row>> {
    let mut out: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for r in rows.get(sink).map(Vec::as_slice).unwrap_or_default() {
        out.entry(r.key.clone()).or_default().push(r);
    }
    out
}

/// Visible rows by sink, and ledger rows.
fn visible(sched: &Sched) -> Result<(Expected, Vec<Value>), String> {
    let mut out = Expected::new();
    let mut ledger = Vec::new();
    let brokers = sched.brokers.lock().expect("no holder panics");
    let disk = sched.disk.lock().expect("no holder panics");
    for sink in ["alerts", "signals", "dead", "ledger"] {
        let mut texts: Vec<String> = Vec::new();
        for p in brokers.topic(sink) {
            if p.stable() < p.records.len() {
                return Err(format!("{sink}: a transaction is open at the end"));
            }
            texts.extend(p.visible().map(|(_, r)| String::from_utf8_lossy(&r.value).into_owned()));
        }
        let file = disk.read(&FileSink::path(sink)).unwrap_or_default();
        texts.extend(String::from_utf8_lossy(file).lines().map(String::from));
        for t in texts {
            let json = serde_json::from_str::<Value>(&t);
            match json {
                Ok(v) if sink == "ledger" => ledger.push(v),
                Ok(v) => out.entry(sink).or_default().push(row(&v)),
                Err(_) if t.starts_with("bad ") => out.entry(sink).or_default().push(bad(&t)),
                Err(e) => return Err(format!("{sink}: `{t}` is not a row: {e}")),
            }
        }
    }
    let bucket = sched.bucket.lock().expect("no holder panics");
    let prefix = BucketSink::prefix("events");
    for (name, bytes) in bucket.iter().filter(|(n, _)| n.starts_with(&prefix)) {
        let epoch: u64 = name.rsplit('/').next().and_then(|e| e.parse().ok()).ok_or("an object without an epoch")?;
        let lane = name[prefix.len()..].split('/').next().unwrap_or_default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let at = line.split(' ').nth(2).unwrap_or_default();
            let key = format!("p{} {epoch:08} lane {lane}", at.split('.').next().unwrap_or_default());
            out.entry("events").or_default().push(Row { key, text: line.into(), id: String::new() });
        }
    }
    Ok((out, ledger))
}

fn bad(text: &str) -> Row {
    let partition = text.split(' ').nth(1).unwrap_or_default();
    Row { key: format!("p{partition}"), text: text.into(), id: String::new() }
}

/// A row of a sink as the reference names it.
fn row(v: &Value) -> Row {
    let t = |k: &str| v.get(k).and_then(Value::as_str).unwrap_or_default();
    if v.get("alertId").is_some() {
        let (kind, change, count) = (t("type"), t("change"), &v["count"]);
        return Row {
            key: format!("{} {}", t("id"), t("dedup")),
            text: format!("{kind} {change} {count} {} {}", t("createdAt"), t("updatedAt")),
            id: t("alertId").into(),
        };
    }
    if v.get("p_row_id").is_some() {
        let error = if v.get("p_rule_error").is_some() { "failed" } else { "" };
        return Row {
            key: format!("{} {}", t("p_rule_id"), t("p_alert_dedup")),
            text: format!("{} {error}", t("p_row_id")),
            id: t("p_alert_id").into(),
        };
    }
    bad(t("raw"))
}

/// Every count once; the sums of what was written are the rows there are.
fn ledger(rows: &[Value], want: &Expected) -> Result<(), String> {
    let mut seen = HashSet::new();
    let mut written: BTreeMap<String, u64> = BTreeMap::new();
    for r in rows {
        let t = |k: &str| r.get(k).map(|v| v.to_string()).unwrap_or_default();
        if !seen.insert((t("epoch"), t("node"), t("rule"), t("counter"))) {
            return Err(format!("ledger: {r} is there twice"));
        }
        if r["counter"] == "written" {
            *written.entry(r["node"].as_str().unwrap_or_default().into()).or_default() += r["n"].as_u64().unwrap_or(0);
        }
    }
    for sink in ["alerts", "signals", "dead", "events"] {
        let (n, m) = (written.get(sink).copied().unwrap_or(0), want.get(sink).map_or(0, |w| w.len() as u64));
        if n != m {
            return Err(format!("ledger: {sink} has written {n} rows, but {m} are due"));
        }
    }
    Ok(())
}
