//! The operator against a naive model: a flat list of matches, one thread, no groups, no expiry, no bytes.
use super::*;
use model::{AlertKind, Pos, RuleMeta, Severity};
use proptest::prelude::*;
use std::collections::HashMap;

fn rule(n: usize) -> Arc<RuleMeta> {
    let threshold = [1, 1, 3, 2][n % 4];
    Arc::new(RuleMeta {
        id: format!("R{n}").into(),
        dedup_period_ms: [50, 10, 50, 30][n % 4],
        threshold,
        create_alert: n % 5 != 4,
        ..RuleMeta::default()
    })
}

/// `(rule, dedup, error, unique, event time)`; positions follow the index.
type Plain = (usize, u8, bool, Option<u8>, i64);

fn matches() -> impl Strategy<Value = Vec<Plain>> {
    let unique = prop_oneof![2 => Just(None), 3 => (0u8..4).prop_map(Some)];
    prop::collection::vec((0usize..5, 0u8..3, prop::bool::weighted(0.1), unique, 0i64..300), 0..120)
}

fn record(i: usize, p: &Plain, now: i64) -> Record {
    Record::Match(Box::new(Match {
        pos: Pos { offset: i as u64, ..Pos::default() },
        rule: rule(p.0),
        error: p.2.then(|| "boom".into()),
        log_type: ["A", "B"][i % 2].into(),
        event_ms: p.4,
        now_ms: now,
        dedup: format!("d{}", p.1),
        title: format!("title {i}"),
        severity: Severity::High,
        // Rules 2 and 3 have thresholds; only rule 3 counts distinct values.
        unique: p.3.filter(|_| p.0 == 3).map(|u| u.to_string()),
        ..Match::default()
    }))
}

/// `(position, rule, kind, change, dedup, events, title, created, first, last)`
type Row = (u64, String, AlertKind, Change, String, u64, String, i64, i64, i64);

fn row(a: &Alert) -> Row {
    let r = (a.pos.offset, a.rule.id.to_string(), a.kind, a.change, a.dedup.clone(), a.event_count);
    (r.0, r.1, r.2, r.3, r.4, r.5, a.title.clone(), a.created_ms, a.first_event_ms, a.last_event_ms)
}

#[derive(Clone)]
struct Open {
    start: i64,
    n: u64,
    seen: BTreeSet<u8>,
    title: String,
    created: Option<i64>,
    first: i64,
    last: i64,
}

/// The rules of the brief in the plainest words: `clock - start >= period` opens, errors ignore the threshold, updates
/// are merged per alert and epoch.
fn naive(epochs: &[(i64, Vec<(usize, Plain)>)], event_time: bool) -> Vec<Vec<Row>> {
    let mut open: HashMap<(usize, u8, bool), Open> = HashMap::new();
    let mut out = Vec::new();
    for (now, list) in epochs {
        let mut rows: Vec<Row> = Vec::new();
        let mut updates: HashMap<(usize, u8, bool, i64), Row> = HashMap::new();
        for (i, p) in list {
            let r = rule(p.0);
            if !r.create_alert {
                continue;
            }
            let clock = if event_time { p.4 } else { *now };
            let new = Open {
                start: clock,
                n: 0,
                seen: BTreeSet::new(),
                title: format!("title {i}"),
                created: None,
                first: p.4,
                last: p.4,
            };
            let w = open.entry((p.0, p.1, p.2)).or_insert_with(|| new.clone());
            if clock - w.start >= r.dedup_period_ms {
                *w = new;
            }
            w.n += 1;
            w.last = w.last.max(p.4);
            if let (3, Some(u)) = (p.0, p.3) {
                w.seen.insert(u);
            }
            let number = if w.seen.is_empty() { w.n } else { w.seen.len() as u64 };
            let had = w.created.is_some();
            if !had && (p.2 || number >= r.threshold) {
                w.created = Some(clock);
            }
            let Some(created) = w.created else { continue };
            let kind = if p.2 { AlertKind::RuleError } else { AlertKind::Rule };
            let change = if had { Change::Update } else { Change::New };
            let (id, dedup) = (r.id.to_string(), format!("d{}", p.1));
            let row = (*i as u64, id, kind, change, dedup, w.n, w.title.clone(), created, w.first, w.last);
            if had {
                updates.insert((p.0, p.1, p.2, w.start), row);
            } else {
                rows.push(row);
            }
        }
        rows.extend(updates.into_values());
        rows.sort();
        out.push(rows);
    }
    out
}

struct Workers {
    groups: u32,
    lateness: Option<i64>,
    list: Vec<Dedup>,
}

impl Workers {
    fn new(groups: u32, lateness: Option<i64>, n: usize) -> Workers {
        Workers { groups, lateness, list: (0..n).map(|_| Dedup::new(groups, lateness)).collect() }
    }
    fn epoch(&mut self, now: i64, records: Vec<Record>) -> (Vec<Record>, Vec<Record>, BTreeMap<String, u64>) {
        let n = self.list.len();
        let mut shares: Vec<Vec<Record>> = vec![Vec::new(); n];
        for r in records {
            shares[group_of(self.list[0].key(&r), self.groups) as usize % n].push(r);
        }
        let info = EpochInfo { epoch: 1, now_ms: now, commands: vec![], snapshot: false, seal: false };
        let (mut ports, mut counts) = ([Vec::new(), Vec::new()], BTreeMap::new());
        for (w, share) in self.list.iter_mut().zip(shares) {
            let mut cx = Ctx::default();
            w.epoch(&info, share, &mut cx).unwrap();
            for (port, packet) in cx.out {
                let Packet::Records(r) = packet else { panic!("dedup sends records") };
                ports[port].extend(r);
            }
            cx.counts.into_iter().for_each(|(c, _, n)| *counts.entry(c.to_string()).or_default() += n);
        }
        ports.iter_mut().for_each(|p| sort_records(p));
        let [alerts, matches] = ports;
        (alerts, matches, counts)
    }
    /// Restores the state on another number of workers, from what the dirty marks said was worth saving: the whole of a
    /// group, or where `whole` is not asked for what changed in it.
    fn move_to(&mut self, n: usize, whole: bool, store: &mut BTreeMap<u32, Vec<Vec<u8>>>) {
        let mut want = BTreeMap::new();
        for w in &mut self.list {
            for g in w.take_dirty() {
                let pieces = store.entry(g).or_default();
                match whole || pieces.is_empty() || pieces[0].is_empty() {
                    true => *pieces = vec![w.save(g)],
                    false => pieces.push(w.changes(g).unwrap()),
                }
            }
            want.extend(w.state.keys().copied().collect::<Vec<_>>().into_iter().map(|g| (g, w.save(g))));
        }
        let mut next = Workers::new(self.groups, self.lateness, n);
        for (g, pieces) in store {
            let w = &mut next.list[*g as usize % n];
            w.load(*g, &pieces[0]).unwrap();
            pieces[1..].iter().for_each(|changes| w.apply(*g, changes).unwrap());
            assert_eq!(w.save(*g), want.remove(g).unwrap_or_default(), "equal state gives equal bytes");
        }
        assert!(want.values().all(Vec::is_empty), "what was never marked has nothing to keep");
        *self = next;
    }
}

proptest! {
    #[test]
    fn agrees_with_the_naive_model(
        all in matches(),
        cuts in prop::collection::vec((1usize..20, 0i64..40, 1usize..4, prop::option::of(prop::bool::ANY)), 1..40),
        one_group in prop::bool::ANY,
        event_time in prop::bool::ANY,
    ) {
        let mut epochs: Vec<(i64, Vec<(usize, Plain)>)> = Vec::new();
        let (mut now, mut rest) = (1_000, all.iter().copied().enumerate());
        for (n, step, ..) in cuts.iter().cycle() {
            now += step;
            let list: Vec<_> = rest.by_ref().take(*n).collect();
            let end = list.is_empty();
            epochs.push((now, list));
            if end {
                break;
            }
        }
        let want = naive(&epochs, event_time);
        let mut workers = Workers::new(if one_group { 1 } else { 128 }, event_time.then_some(1_000), 1);
        let (mut store, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for (((now, list), want), (_, _, owners, moves)) in epochs.iter().zip(&want).zip(cuts.iter().cycle()) {
            let records: Vec<_> = list.iter().map(|(i, p)| record(*i, p, *now)).collect();
            let (alerts, matches, counts) = workers.epoch(*now, records);
            let alerts: Vec<Alert> = alerts.into_iter().map(|r| match r { Record::Alert(a) => *a, _ => panic!() }).collect();
            let mut got: Vec<Row> = alerts.iter().map(row).collect();
            got.sort();
            prop_assert_eq!(&got, want);
            for a in &alerts {
                let new = ids.insert(a.id.clone(), (a.rule.id.clone(), a.kind, a.dedup.clone()));
                prop_assert_eq!(new.is_none(), a.change == Change::New, "an id is created once");
            }
            prop_assert_eq!(matches.len(), list.len());
            for r in &matches {
                let Record::Match(m) = r else { panic!() };
                prop_assert_eq!(m.alert_id.is_some(), m.rule.create_alert);
            }
            let of = |c: &str| counts.get(c).copied().unwrap_or(0);
            prop_assert_eq!(of("matches"), list.len() as u64);
            prop_assert_eq!(of("matches"), of("alerted") + of("deduped") + of("below_threshold") + of("signal_only"));
            prop_assert_eq!(of("alerted"), alerts.iter().filter(|a| a.change == Change::New).count() as u64);
            if let Some(whole) = moves {
                workers.move_to(*owners, *whole, &mut store);
            }
        }
    }
}

fn one(w: &mut Workers, now: i64, list: &[Plain]) -> Vec<Row> {
    let records = list.iter().enumerate().map(|(i, p)| record(now as usize * 100 + i, p, now)).collect();
    w.epoch(now, records)
        .0
        .iter()
        .map(|r| match r {
            Record::Alert(a) => row(a),
            _ => panic!(),
        })
        .collect()
}

#[test]
fn a_late_match_finds_its_window_for_as_long_as_lateness_says() {
    for (lateness, finds) in [(100, true), (99, false)] {
        let mut w = Workers::new(1, Some(lateness), 1);
        let at = |d: u8, t: i64| (0usize, d, false, None, t);
        assert_eq!(one(&mut w, 1_000, &[at(0, 0)]).len(), 1);
        // The window [0, 50) is kept until the group's clock is `lateness` past its end.
        assert_eq!(one(&mut w, 1_001, &[at(1, 149)])[0].3, Change::New);
        assert_eq!(one(&mut w, 1_002, &[at(0, 30)])[0].3, if finds { Change::Update } else { Change::New });
    }
}

#[test]
fn a_date_in_the_far_future_does_not_expire_other_windows() {
    let mut w = Workers::new(1, Some(10), 1);
    one(&mut w, 40, &[(0, 0, false, None, 0)]);
    one(&mut w, 41, &[(0, 1, false, None, 1_000_000)]);
    assert_eq!(one(&mut w, 42, &[(0, 0, false, None, 20)])[0].3, Change::Update);
}

#[test]
fn processing_time_forgets_windows_without_new_matches() {
    let mut w = Workers::new(1, None, 1);
    one(&mut w, 100, &[(0, 0, false, None, 0)]);
    assert_eq!(w.list[0].take_dirty(), vec![0]);
    one(&mut w, 149, &[]);
    assert!(w.list[0].take_dirty().is_empty(), "nothing changed");
    one(&mut w, 150, &[]);
    assert_eq!(w.list[0].take_dirty(), vec![0]);
    assert!(w.list[0].save(0).is_empty());
}

#[test]
fn settings_are_checked() {
    let open = |s: serde_json::Value| DedupPart.open("dedup", &s, &model::files::MemFiles::default());
    assert!(open(serde_json::json!({})).node.is_some());
    assert!(open(serde_json::json!({ "lateness": "2h" })).node.is_some());
    let bad = open(serde_json::json!({ "lateness": "soon" }));
    assert!(bad.node.is_none() && bad.problems[0].message.contains("not a duration"));
    assert!(open(serde_json::json!({ "period": "1h" })).node.is_none());
}
