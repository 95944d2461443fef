//! What the outputs must be: the rules, dedup and limit written down once more, as plainly as can be, over the logged
//! epochs in order. Shares no code with the engine or the operators.
use crate::input::{Input, understand};
use crate::pipeline::Shape;
use model::epoch::Command;
use model::{EpochRecord, Pos};
use std::collections::{BTreeMap, BTreeSet};

/// A row as both sides can name it, and the key within which order counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Rows of equal keys come in order.
    pub key: String,
    /// The rest.
    pub text: String,
    /// Id of the alert, if it has one: the names differ, but equal ones must be equal on both sides.
    pub id: String,
}

/// Expected rows by sink.
pub type Expected = BTreeMap<&'static str, Vec<Row>>;

/// Rule, failure, dedup string.
type Key = (usize, bool, String);

struct Window {
    start: i64,
    ends: i64,
    count: u64,
    created: Option<i64>,
    name: String,
}

#[derive(Default)]
struct Meter {
    /// Times of alerts that passed, or of the window with its count.
    passed: Vec<i64>,
    window: Option<(i64, u64)>,
    over: bool,
    suppressed: BTreeSet<String>,
}

#[derive(Clone)]
struct Told {
    pos: Pos,
    key: Key,
    new: bool,
    name: String,
    count: u64,
    created: i64,
    updated: i64,
}

fn alert_row(rules: &Input, a: &Told) -> Row {
    let (rule, error, dedup) = &a.key;
    let kind = if *error { "RULE_ERROR" } else { "RULE" };
    let change = if a.new { "new" } else { "update" };
    let (c, u) = (model::time::rfc3339_ms(a.created), model::time::rfc3339_ms(a.updated));
    let id = &rules.rules[*rule].id;
    Row { key: format!("{id} {dedup}"), text: format!("{kind} {change} {} {c} {u}", a.count), id: a.name.clone() }
}

/// Everything the epochs must give.
pub fn expected(epochs: &BTreeMap<u64, EpochRecord>, input: &Input, shape: &Shape) -> Expected {
    let mut out = Expected::new();
    let mut windows: BTreeMap<Key, Window> = BTreeMap::new();
    let mut meters: BTreeMap<(usize, bool), Meter> = BTreeMap::new();
    for record in epochs.values() {
        let now = record.now_ms;
        for Command::Unsuppress { rule } in &record.commands {
            let rule: usize = rule[1..].parse().expect("a rule's id");
            for error in [false, true] {
                if let Some(m) = meters.get_mut(&(rule, error)).filter(|m| m.over) {
                    (m.over, m.window) = (false, None);
                    m.passed.clear();
                }
            }
        }
        let mut matches = Vec::new();
        for s in &record.splits {
            for offset in s.from..s.to {
                let Some(bytes) = &input.partitions[s.partition as usize][offset as usize] else { continue };
                let text = String::from_utf8_lossy(bytes).into_owned();
                if text.starts_with("bad") {
                    let row = Row { key: format!("p{}", s.partition), text, id: String::new() };
                    out.entry("dead").or_default().push(row);
                } else {
                    let row = Row {
                        key: format!("p{} {:08} lane {}", s.partition, record.epoch, s.lane),
                        text: text.clone(),
                        id: String::new(),
                    };
                    out.entry("events").or_default().push(row);
                    matches.push((Pos { source: 0, partition: s.partition, offset, ordinal: 0 }, text));
                }
            }
        }
        matches.sort();
        let (mut told, mut updates): (Vec<Told>, BTreeMap<String, Told>) = Default::default();
        for (pos, text) in &matches {
            let (rule, dedup, failed) = understand(text);
            let meta = &input.rules[rule];
            let mut alert = String::new();
            if meta.create_alert {
                let key = (rule, failed, dedup.to_string());
                let name = format!("{rule}/{failed}/{dedup}/{now}");
                let open = || Window { start: now, ends: now + meta.dedup_period_ms, count: 0, created: None, name };
                let w = windows.entry(key.clone()).or_insert_with(open);
                if now >= w.ends {
                    let name = format!("{rule}/{failed}/{dedup}/{now}");
                    *w = Window { start: now, ends: now + meta.dedup_period_ms, count: 0, created: None, name };
                }
                w.count += 1;
                alert = w.name.clone();
                let joined = w.created.is_some();
                if joined || failed || w.count >= meta.threshold {
                    let created = *w.created.get_or_insert(now);
                    let a = Told {
                        pos: *pos,
                        key,
                        new: !joined,
                        name: w.name.clone(),
                        count: w.count,
                        created,
                        updated: now.max(w.start),
                    };
                    if joined {
                        updates.insert(w.name.clone(), a);
                    } else {
                        told.push(a);
                    }
                }
            }
            let error = if failed { "failed" } else { "" };
            let key = format!("{} {dedup}", meta.id);
            let row = Row { key, text: format!("{:032x} {error}", pos.row_id()), id: alert };
            out.entry("signals").or_default().push(row);
        }
        told.extend(updates.into_values());
        told.sort_by_key(|a| (a.pos, a.key.0, a.key.1, !a.new));
        for a in told {
            let m = meters.entry((a.key.0, a.key.1)).or_default();
            if !a.new {
                let to = if m.suppressed.contains(&a.name) { "dead" } else { "alerts" };
                out.entry(to).or_default().push(alert_row(input, &a));
                continue;
            }
            let (count, per) = (shape.limit.0, shape.limit.1 as i64);
            let was_over = m.over;
            let pass = if shape.by_hand { by_hand(m, now, count, per) } else { by_window(m, now, count, per) };
            if pass {
                out.entry("alerts").or_default().push(alert_row(input, &a));
                continue;
            }
            m.suppressed.insert(a.name.clone());
            if shape.by_hand && !was_over {
                let (id, kind) = (&input.rules[a.key.0].id, if a.key.1 { "RULE_ERROR" } else { "RULE" });
                let t = model::time::rfc3339_ms(now);
                let key = format!("{id} DETECTION_ALERT_LIMIT_EXCEEDED:{id}:{kind}");
                let text = format!("SYSTEM_ERROR new 1 {t} {t}");
                let id = format!("notice {} {now}", a.name);
                out.entry("alerts").or_default().push(Row { key, text, id });
            }
            out.entry("dead").or_default().push(alert_row(input, &a));
        }
    }
    out
}

fn by_window(m: &mut Meter, now: i64, count: u64, per: i64) -> bool {
    if m.window.is_none_or(|(start, _)| now - start >= per) {
        m.window = Some((now, 0));
        m.over = false;
    }
    let w = m.window.as_mut().expect("just set");
    if w.1 < count {
        w.1 += 1;
        return true;
    }
    m.over = true;
    false
}

/// The sliding time moves in sixty steps.
fn by_hand(m: &mut Meter, now: i64, count: u64, per: i64) -> bool {
    if m.over {
        return false;
    }
    let step = (per / 60).max(1);
    let floor = |t: i64| t - t.rem_euclid(step);
    let oldest = floor(now) - per + step;
    m.passed.retain(|t| floor(*t) >= oldest);
    if (m.passed.len() as u64) < count {
        m.passed.push(now);
        return true;
    }
    m.passed.clear();
    m.over = true;
    false
}
