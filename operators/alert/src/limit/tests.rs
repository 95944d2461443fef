//! The limiter against the rules of the spec, over epochs, restarts and workers.
use super::*;
use model::Pos;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

fn settings(limit: &str, release: Release) -> LimitSettings {
    LimitSettings { limit: Rate::parse(limit).unwrap(), release, notice: None }
}

fn alert(i: usize, rule: usize, error: bool, id: u128, change: Change, clock: i64) -> Record {
    Record::Alert(Box::new(Alert {
        pos: Pos { offset: i as u64, ..Pos::default() },
        id: hex(id),
        kind: if error { AlertKind::RuleError } else { AlertKind::Rule },
        change,
        rule: Arc::new(RuleMeta { id: format!("R{rule}").into(), dedup_period_ms: 3_600_000, ..RuleMeta::default() }),
        created_ms: clock,
        ..Alert::default()
    }))
}

fn info(now: i64, commands: Vec<Command>) -> EpochInfo {
    EpochInfo { epoch: 1, now_ms: now, commands, snapshot: false, seal: false }
}

fn run(op: &mut Limit, info: &EpochInfo, records: Vec<Record>) -> ([Vec<Record>; 2], BTreeMap<&'static str, u64>) {
    let (mut cx, mut ports, mut counts) = (Ctx::default(), [Vec::new(), Vec::new()], BTreeMap::new());
    op.epoch(info, records, &mut cx).unwrap();
    for (port, packet) in cx.out {
        let Packet::Records(r) = packet else { panic!("limit sends records") };
        ports[port].extend(r);
    }
    cx.counts.into_iter().for_each(|(c, _, n)| *counts.entry(c).or_default() += n);
    (ports, counts)
}

fn offsets(records: &[Record]) -> Vec<(u64, AlertKind)> {
    records
        .iter()
        .map(|r| match r {
            Record::Alert(a) => (a.pos.offset, a.kind),
            _ => panic!(),
        })
        .collect()
}

proptest! {
    /// `release = "window"` against the words of the common workload: re-open at `clock - start >= period`, the first N
    /// pass; an update goes where its alert went. State is saved and loaded between epochs.
    #[test]
    fn window_release_agrees_with_the_naive_model(
        all in prop::collection::vec((0usize..3, prop::bool::weighted(0.2), prop::option::weighted(0.3, 0usize..8), 0i64..100), 0..150),
        cut in 1usize..20,
        limit in 0u64..5,
        groups in prop_oneof![Just(1u32), Just(128)],
    ) {
        let s = settings(&format!("{limit}/20ms"), Release::Window);
        let mut op = Limit::new(groups, true, &s);
        let mut windows: HashMap<(usize, bool), (i64, u64)> = HashMap::new();
        let (mut sent, mut refused): (Vec<(usize, bool, u128, i64)>, HashSet<u128>) = (Vec::new(), HashSet::new());
        for (e, part) in all.chunks(cut).enumerate() {
            let (mut input, mut pass, mut stop) = (Vec::new(), Vec::new(), Vec::new());
            for (j, (rule, error, update, clock)) in part.iter().enumerate() {
                let i = e * cut + j;
                // An update is of one of the last alerts.
                let earlier = update.and_then(|u| sent.len().checked_sub(u + 1)).map(|k| sent[k]);
                let (error, ok) = match earlier {
                    Some((rule, error, id, created)) => {
                        input.push(alert(i, rule, error, id, Change::Update, created));
                        (error, !refused.contains(&id))
                    }
                    None => {
                        let id = i as u128 + 1;
                        input.push(alert(i, *rule, *error, id, Change::New, *clock));
                        let w = windows.entry((*rule, *error)).or_insert((*clock, 0));
                        if clock - w.0 >= 20 {
                            *w = (*clock, 0);
                        }
                        let ok = w.1 < limit;
                        w.1 += ok as u64;
                        sent.push((*rule, *error, id, *clock));
                        if !ok {
                            refused.insert(id);
                        }
                        (*error, ok)
                    }
                };
                let kind = if error { AlertKind::RuleError } else { AlertKind::Rule };
                if ok { pass.push((i as u64, kind)) } else { stop.push((i as u64, kind)) }
            }
            let (ports, counts) = run(&mut op, &info(1_000, vec![]), input);
            prop_assert_eq!(offsets(&ports[0]), pass);
            prop_assert_eq!(offsets(&ports[1]), stop);
            let of = |c: &str| counts.get(c).copied().unwrap_or(0);
            prop_assert_eq!(of("offered"), of("passed") + of("suppressed"));
            let mut next = Limit::new(groups, true, &s);
            for g in 0..groups {
                let bytes = op.save(g);
                next.load(g, &bytes).unwrap();
                prop_assert_eq!(next.save(g), bytes);
            }
            op = next;
        }
    }
}

#[test]
fn holds_until_released_and_says_so_once() {
    let mut op = Limit::new(128, false, &settings("2/h", Release::Hand));
    let news =
        |from: usize, n: usize| (from..from + n).map(|i| alert(i, 7, false, i as u128, Change::New, 0)).collect();
    let (ports, counts) = run(&mut op, &info(1_000, vec![]), news(1, 4));
    use AlertKind::{Rule, SystemError};
    assert_eq!(offsets(&ports[0]), [(1, Rule), (2, Rule), (3, SystemError)]);
    assert_eq!(offsets(&ports[1]), [(3, Rule), (4, Rule)]);
    assert_eq!((counts["offered"], counts["passed"], counts["suppressed"]), (4, 2, 2));
    let Record::Alert(notice) = &ports[0][2] else { panic!() };
    assert_eq!((notice.severity, &*notice.rule.id, notice.created_ms), (Severity::Critical, "R7", 1_000));
    assert!(notice.title.contains(NOTICE) && notice.description.contains("R7") && notice.id.len() == 32);

    // Held over a restart and for ever; failures of the rule have their own count.
    let group = op.take_dirty()[0];
    let bytes = op.save(group);
    let mut op = Limit::new(128, false, &settings("2/h", Release::Hand));
    op.load(group, &bytes).unwrap();
    let later = 40 * 86_400_000;
    let mut records: Vec<Record> = news(5, 1);
    records.push(alert(6, 7, true, 6, Change::New, 0));
    let (ports, _) = run(&mut op, &info(later, vec![]), records);
    assert_eq!(offsets(&ports[0]), [(6, AlertKind::RuleError)]);
    assert_eq!(offsets(&ports[1]), [(5, Rule)]);

    // Released at the start of an epoch; the suppressed alert stays suppressed.
    let mut records: Vec<Record> = news(7, 1);
    records.push(alert(8, 7, false, 5, Change::Update, 0));
    records.push(alert(9, 7, false, 7, Change::Update, 0));
    let command = Command::Unsuppress { rule: "R7".into() };
    let (ports, counts) = run(&mut op, &info(later + 1, vec![command.clone()]), records);
    assert_eq!(offsets(&ports[0]), [(7, Rule), (9, Rule)]);
    assert_eq!(offsets(&ports[1]), [(8, Rule)]);
    assert_eq!((counts["released"], counts["updates"], counts["updates_suppressed"]), (1, 2, 1));
    let (_, counts) = run(&mut op, &info(later + 2, vec![command]), vec![]);
    assert!(!counts.contains_key("released"), "nothing was held");
}

#[test]
fn another_time_base_starts_from_zero_but_holds_what_is_held() {
    for (release, passes) in [(Release::Hand, 0), (Release::Window, 1)] {
        let s = settings("1/h", release);
        let news = |n: i64| (0..n).map(|i| alert(i as usize, 1, false, i as u128, Change::New, 0)).collect();
        let mut op = Limit::new(1, false, &s);
        run(&mut op, &info(1_000_000, vec![]), news(2));
        let mut next = Limit::new(1, true, &s);
        next.load(0, &op.save(0)).unwrap();
        assert_eq!(run(&mut next, &info(1_000_000, vec![]), news(1)).0[0].len(), passes);
    }
}

#[test]
fn a_window_release_tells_only_when_asked() {
    for (notice, n) in [(None, 0), (Some(true), 1)] {
        let s = LimitSettings { notice, ..settings("1/h", Release::Window) };
        let mut op = Limit::new(1, false, &s);
        let records = (0..3).map(|i| alert(i, 1, false, i as u128, Change::New, 0)).collect();
        let (ports, _) = run(&mut op, &info(5, vec![]), records);
        assert_eq!(ports[0].len(), 1 + n);
    }
}

#[test]
fn settings_are_checked() {
    let open = |s: serde_json::Value| LimitPart.open("storm", &s, &model::files::MemFiles::default());
    let all = open(serde_json::json!({ "limit": "50/m", "release": "window", "notice": true }));
    assert_eq!(all.node.unwrap().summary(), "50/m per detection, released with the window");
    assert!(open(serde_json::json!({})).problems.is_empty());
    assert!(open(serde_json::json!({ "limit": "0/h" })).problems[0].warning);
    assert!(open(serde_json::json!({ "release": "never" })).node.is_none());
    let schema = LimitPart.schema();
    assert!(schema["properties"]["limit"]["description"].is_string(), "{schema}");
}
