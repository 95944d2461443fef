//! The store of a detect node beside a naive one, with crashes; what is handed on; what is told.
use super::*;
use crate::columns::tests::support;
use crate::detect::DetectPart;
use model::files::MemFiles;
use model::part::sort_records;
use model::{Part, RuleMeta};
use proptest::prelude::*;
use serde_json::{Value as J, json};
use std::collections::BTreeSet;

const BASE: i64 = 1_700_000_000;
/// Seconds after which an entry expires if its rule says nothing.
const DEFAULT: i64 = 90 * 86_400;

/// Does what its event says, and tells what came of it.
const USES: &str = "from panther_detection_helpers import caching as c\n\
    def rule(event):\n    global OUT\n    if event.get('kind') != 'use':\n        return False\n    \
    op, key, n, ttl = event.get('op'), event.get('key'), event.get('n'), event.get('ttl')\n    \
    if op == 'count':\n        OUT = c.increment_counter(key, n, ttl)\n    \
    elif op == 'counter':\n        OUT = c.get_counter(key)\n    \
    elif op == 'add':\n        OUT = sorted(c.add_to_string_set(key, f'v{n}', ttl))\n    \
    elif op == 'put':\n        c.put_string_set(key, [f'v{n}'], ttl)\n        OUT = None\n    \
    elif op == 'fail':\n        c.increment_counter(key, n, ttl)\n        raise ValueError('after all')\n    \
    else:\n        OUT = sorted(c.get_string_set(key))\n    return True\n\
    def title(event):\n    return str(OUT)\n";

fn rule(folder: &str, id: &str, body: &str) -> Vec<(String, String)> {
    let yaml = format!(
        "AnalysisType: rule\nEnabled: true\nSeverity: Low\nLogTypes: [T]\nRuleID: {id}\nFilename: {id}.py\n\
        Tests:\n  - {{Name: one, ExpectedResult: true, Log: {{kind: use, op: count, key: k, n: 1, p_log_type: T}}, ExpectedTitle: '1'}}\n  \
        - {{Name: two, ExpectedResult: true, Log: {{kind: use, op: count, key: k, n: 1, p_log_type: T}}, ExpectedTitle: '1'}}\n"
    );
    vec![(format!("{folder}/{id}.yml"), yaml), (format!("{folder}/{id}.py"), body.into())]
}

fn files(rules: &[Vec<(String, String)>]) -> MemFiles {
    MemFiles::of(&rules.iter().flatten().map(|(p, t)| (p.as_str(), t.as_str())).collect::<Vec<_>>())
}

fn open(files: &MemFiles, settings: J) -> Arc<dyn Node> {
    let opened = DetectPart.open("rules", &settings, files);
    opened.node.unwrap_or_else(|| panic!("{:?}", opened.problems))
}

fn two() -> Arc<dyn Node> {
    open(&files(&[rule("d", "A", USES), rule("d", "B", USES)]), json!({"rules": ["d"]}))
}

fn judge(node: &dyn Node, event_time: bool) -> Box<dyn Keyed> {
    let cx = BuildCx { id: "rules".into(), groups: 128, event_time, ..BuildCx::default() };
    match node.inner().expect("rules use the store").node.build(&cx) {
        Ok(Built::Keyed(keyed)) => keyed,
        _ => panic!("a store is keyed"),
    }
}

/// What the node hands on of events at a clock, from position `first` on.
fn handed_on(node: &dyn Node, events: &[J], now_ms: i64, first: u64) -> Vec<Record> {
    let Ok(Built::Map(mut map)) = node.build(&BuildCx::default()) else { panic!("detect is a map") };
    let mut batch = support::batch(&support::layout("T", &node.needs().of("T")), events);
    batch.now_ms = now_ms;
    let mut cx = Ctx::default();
    map.map(Packet::Events(batch.into()), &mut cx).unwrap();
    let mut out = Vec::new();
    for (port, packet) in cx.out {
        let Packet::Records(records) = packet else { panic!("{packet:?}") };
        assert_eq!(port, OUTPUTS.len() - 1, "nothing is judged where the events are: {records:?}");
        out.extend(records);
    }
    for r in &mut out {
        let Record::Match(m) = r else { panic!("{r:?}") };
        let row = events.iter().position(|e| Some(e.to_string()) == m.event).expect("the event is whole");
        m.pos = Pos { offset: first + row as u64, ..Pos::default() };
    }
    out
}

fn info(epoch: u64, now_ms: i64) -> EpochInfo {
    EpochInfo { epoch, now_ms, commands: Vec::new(), snapshot: false, seal: false }
}

type Told = Vec<(u64, String, String)>;

/// Offset, rule and title of everything an epoch finds, and its counts.
fn run(judge: &mut dyn Keyed, epoch: u64, now_ms: i64, mut records: Vec<Record>) -> (Told, Vec<(&'static str, u64)>) {
    sort_records(&mut records);
    let mut cx = Ctx::default();
    judge.epoch(&info(epoch, now_ms), records, &mut cx).unwrap();
    let records = cx.out.into_iter().flat_map(|(_, p)| if let Packet::Records(r) = p { r } else { panic!("{p:?}") });
    let told = records.map(|r| match r {
        Record::Match(m) => (m.pos.offset, m.rule.id.to_string(), m.title),
        other => panic!("{other:?}"),
    });
    (told.collect(), cx.counts.into_iter().map(|(name, _, n)| (name, n)).collect())
}

/// What a key holds, as one would write it down without thinking.
#[derive(Clone, Default)]
struct Naive {
    count: Option<i64>,
    strings: Option<BTreeSet<String>>,
    expires: Option<i64>,
}

#[derive(Clone, Debug)]
struct Use {
    kind: &'static str,
    op: &'static str,
    key: u8,
    n: i64,
    ttl: Option<i64>,
}

impl Use {
    fn event(&self, row: usize) -> J {
        let mut event =
            json!({"kind": self.kind, "op": self.op, "key": format!("k{}", self.key), "n": self.n, "row": row});
        if let Some(ttl) = self.ttl {
            event["ttl"] = json!(ttl);
        }
        event
    }

    /// What a rule tells; `None`, if it does not match.
    fn on(&self, all: &mut BTreeMap<u8, Naive>, now: i64) -> Option<String> {
        if self.kind != "use" {
            return None;
        }
        let mut held = all.get(&self.key).cloned().filter(|e| e.expires.is_none_or(|at| at > now)).unwrap_or_default();
        let expires = self.ttl.map_or(now + DEFAULT, |ttl| now + ttl);
        let keep = |held: &Naive| if self.ttl.is_some() { expires } else { held.expires.unwrap_or(expires) };
        let list = |s: &Option<BTreeSet<String>>| {
            let all: Vec<String> = s.iter().flatten().map(|v| format!("'{v}'")).collect();
            format!("[{}]", all.join(", "))
        };
        let told = match self.op {
            "count" | "fail" => {
                held = Naive { count: Some(held.count.unwrap_or(0) + self.n), expires: Some(keep(&held)), ..held };
                match self.op {
                    "fail" => "ValueError: after all: d/".into(),
                    _ => held.count.unwrap_or(0).to_string(),
                }
            }
            "counter" => return Some(held.count.unwrap_or(0).to_string()),
            "add" => {
                let mut strings = held.strings.clone().unwrap_or_default();
                strings.insert(format!("v{}", self.n));
                held = Naive { strings: Some(strings), expires: Some(keep(&held)), ..held };
                list(&held.strings)
            }
            "put" => {
                let strings = Some(BTreeSet::from([format!("v{}", self.n)]));
                held = Naive { strings, expires: Some(expires), ..held };
                "None".into()
            }
            _ => return Some(list(&held.strings)),
        };
        all.insert(self.key, held);
        Some(told)
    }
}

fn uses() -> impl Strategy<Value = Use> {
    let op = prop::sample::select(vec!["count", "count", "counter", "add", "add", "put", "get", "fail"]);
    let kind = prop::sample::select(vec!["use", "use", "use", "other"]);
    (kind, op, 0..4u8, 1..5i64, prop::option::weighted(0.6, 1..40i64)).prop_map(|(kind, op, key, n, ttl)| Use {
        kind,
        op,
        key,
        n,
        ttl,
    })
}

/// An epoch: seconds since the one before, its events, whether there is a snapshot after it, whether it is the whole, and
/// whether the process is killed then.
type Step = (i64, Vec<Use>, bool, bool, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..30i64, prop::collection::vec(uses(), 0..6), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_rules_say_is_what_a_naive_store_would_say_also_after_crashes(steps in steps()) {
        let node = two();
        let mut live = judge(&*node, false);
        let (mut naive, mut now, mut first) = (BTreeMap::new(), BASE, 0);
        let mut saved: Vec<Vec<u8>> = Vec::new();
        let mut since: Vec<(u64, i64, Vec<Record>, Told)> = Vec::new();
        for (i, (seconds, uses, snapshot, whole, killed)) in steps.into_iter().enumerate() {
            now += seconds;
            let epoch = i as u64 + 1;
            let events: Vec<J> = uses.iter().enumerate().map(|(row, u)| u.event(row)).collect();
            let mut want = Told::new();
            for (row, one) in uses.iter().enumerate() {
                for id in ["A", "B"] {
                    want.extend(one.on(&mut naive, now).map(|told| (first + row as u64, id.to_string(), told)));
                }
            }
            let records = handed_on(&*node, &events, now * 1_000, first);
            first += events.len() as u64;
            let (got, _) = run(&mut *live, epoch, now * 1_000, records.clone());
            let cut = |told: &Told| -> Told {
                told.iter().map(|(at, id, title)| (*at, id.clone(), title.split("d/").next().unwrap().into())).collect()
            };
            let want = cut(&want);
            prop_assert_eq!(cut(&got), want);
            since.push((epoch, now, records, got));
            if snapshot {
                let groups = live.take_dirty();
                prop_assert!(groups.len() <= 1);
                if let Some(group) = groups.first() {
                    match whole || saved.is_empty() {
                        true => saved = vec![live.save(*group)],
                        false => saved.extend(live.changes(*group)),
                    }
                }
                since.clear();
            }
            if killed {
                live = judge(&*node, false);
                let group = group_of(live.key(&Record::Match(Box::default())), 128);
                for (n, bytes) in saved.iter().enumerate() {
                    if n == 0 { live.load(group, bytes).unwrap() } else { live.apply(group, bytes).unwrap() }
                }
                live.take_dirty();
                for (epoch, now, records, told) in &since {
                    prop_assert_eq!(&run(&mut *live, *epoch, now * 1_000, records.clone()).0, told);
                }
            }
        }
    }
}

fn count(key: &str, n: i64, row: usize) -> J {
    json!({"kind": "use", "op": "count", "key": key, "n": n, "row": row})
}

#[test]
fn rules_that_use_no_store_stay_where_the_events_are() {
    let plain = "def rule(event):\n    return event.get('kind') == 'use'\n";
    let node = open(&files(&[rule("d", "A", plain)]), json!({"rules": ["d"]}));
    assert!(node.inner().is_none() && node.state_key().is_empty());
    let node = open(&files(&[rule("d", "A", plain), rule("d", "B", USES)]), json!({"rules": ["d"]}));
    assert_eq!(node.state_key(), STATE_KEY);
    assert_eq!(node.summary(), "2 rules, 2 Python, 1 with the key-value store");
    let large = json!({"rules": ["d"], "store_memory": "3GiB"});
    let opened = DetectPart.open("rules", &large, &files(&[rule("d", "B", USES)]));
    assert_eq!(opened.problems[0].setting, "store_memory");
    let meter = crate::cost::Meter::open(&json!({"rules": ["d"]}), &files(&[rule("d", "B", USES)])).ok().unwrap();
    assert!(meter.explain("B").unwrap().text().contains("shares the key-value store"));
    let Ok(Built::Map(mut map)) = node.build(&BuildCx::default()) else { panic!("detect is a map") };
    let layout = support::layout("T", &node.needs().of("T"));
    let mut cx = Ctx::default();
    let events = [count("k", 1, 0), json!({"kind": "other"})];
    map.map(Packet::Events(support::batch(&layout, &events).into()), &mut cx).unwrap();
    let ports: Vec<(usize, usize)> = cx.out.iter().map(|(port, p)| (*port, p.len())).collect();
    assert_eq!(ports, [(OUTPUTS.len() - 1, 1), (0, 1)], "the filter holds for one event");
    assert!(cx.counts.contains(&("to_store", "".into(), 1)), "{:?}", cx.counts);
}

#[test]
fn entries_that_expire_or_give_way_are_counted() {
    let list = files(&[rule("d", "A", USES)]);
    let node = open(&list, json!({"rules": ["d"], "store_keys": 2}));
    let mut live = judge(&*node, false);
    let mut events: Vec<J> = (0..3).map(|n| count(&format!("k{n}"), 1, n)).collect();
    events[2]["ttl"] = json!(10);
    let records = handed_on(&*node, &events, BASE * 1_000, 0);
    let (told, counts) = run(&mut *live, 1, BASE * 1_000, records);
    assert_eq!((told.len(), live.keys()), (3, 2));
    assert!(counts.contains(&("store_evicted", 1)) && counts.contains(&("matches", 3)), "{counts:?}");
    let (_, counts) = run(&mut *live, 2, (BASE + 10) * 1_000, Vec::new());
    assert_eq!((counts, live.keys()), (vec![("store_expired", 1)], 1));
}

#[test]
fn a_rule_that_is_out_is_told_and_touches_nothing() {
    let node = two();
    let mut live = judge(&*node, false);
    let records = || handed_on(&*node, &[count("k", 1, 0)], BASE * 1_000, 0);
    live.quarantine(&["A".into()]);
    let (told, counts) = run(&mut *live, 1, BASE * 1_000, records());
    assert!(told[0].2.starts_with("QuarantineError"), "{told:?}");
    assert_eq!(told[1].2, "1");
    assert!(counts.contains(&("errors", 1)) && counts.contains(&("matches", 1)), "{counts:?}");
    live.quarantine(&[]);
    assert_eq!(run(&mut *live, 2, BASE * 1_000, records()).0[1].2, "3");
}

#[test]
fn with_event_time_now_is_the_time_of_the_event() {
    let node = two();
    let at = |seconds: i64, key: &str| {
        let mut event = count(key, 1, 0);
        event["ttl"] = json!(60);
        let mut records = handed_on(&*node, &[event], BASE * 1_000, 0);
        for r in &mut records {
            let Record::Match(m) = r else { panic!("{r:?}") };
            m.event_ms = seconds * 1_000;
        }
        records
    };
    let title = |live: &mut dyn Keyed, seconds: i64| run(live, 1, BASE * 1_000, at(seconds, "k")).0[0].2.clone();
    let mut live = judge(&*node, true);
    assert_eq!([0, 59, 200, 50].map(|s| title(&mut *live, s)), ["1", "3", "1", "3"], "it expired between the two");
    // Kept for late events for a day behind the latest, which is a part of the state.
    run(&mut *live, 2, BASE * 1_000, at(LATENESS + 109, "far"));
    let group = live.take_dirty()[0];
    let bytes = live.save(group);
    assert_eq!(live.keys(), 2);
    let mut back = judge(&*node, true);
    back.load(group, &bytes).unwrap();
    run(&mut *back, 3, BASE * 1_000, at(48, "late"));
    assert_eq!(back.keys(), 2, "it had expired a day before the latest event of before");
    run(&mut *back, 4, BASE * 1_000, at(LATENESS + 200, "far"));
    assert_eq!(back.keys(), 1);
    assert!(judge(&*node, true).load(group + 1, &bytes).is_err());
}

#[test]
fn what_correlations_and_sinks_want_of_a_match_is_there() {
    let node = two();
    let cx = |store_events| {
        let mut needs = model::Needs::default();
        needs.events_of.insert("A".into());
        needs.signals_of.insert("B".into());
        BuildCx { needs, store_events, groups: 1, ..BuildCx::default() }
    };
    for store_events in [false, true] {
        let Ok(Built::Keyed(mut live)) = node.inner().unwrap().node.build(&cx(store_events)) else { panic!("keyed") };
        let mut out = Ctx::default();
        live.epoch(&info(1, BASE * 1_000), handed_on(&*node, &[count("k", 1, 0)], BASE * 1_000, 0), &mut out).unwrap();
        let Some((0, Packet::Records(records))) = out.out.pop() else { panic!("no match") };
        let seen: Vec<(bool, bool)> = records
            .iter()
            .map(|r| match r {
                Record::Match(m) => (m.event.is_some(), m.rule.create_alert),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seen, [(true, true), (store_events, false)]);
    }
}

#[test]
fn a_shadow_rule_has_no_store_and_tests_begin_with_an_empty_one() {
    let all = [
        rule("d", "A", USES),
        rule("d", "B", USES),
        rule("s", "A", USES),
        rule("s", "C", "def rule(event):\n    return True\n"),
    ];
    let opened = DetectPart.open("rules", &json!({"rules": ["d"], "shadow": ["s"]}), &files(&all));
    let told: Vec<&str> = opened.problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(told, ["A uses the key-value store, which the shadow has none of; it is left out"]);
    assert!(opened.problems[0].warning && opened.node.unwrap().summary().contains("1 in the shadow"));
    let report = crate::testing::run(&files(&all[..2]), &["d".into()], &crate::testing::Options::default());
    assert!(report.passed() && report.counts() == (4, 0), "{}", report.to_text(false, false));
}

#[test]
fn a_rule_that_is_not_compiled_shares_the_store_through_cpython() {
    let generator = "from panther_detection_helpers.caching import increment_counter\n\
        def counts(event):\n    yield increment_counter(event.get('key'), event.get('n'))\n\
        def rule(event):\n    global OUT\n    OUT = list(counts(event))\n    return True\n\
        def title(event):\n    return str(OUT)\n";
    let list = files(&[rule("d", "A", USES), rule("d", "B", generator)]);
    let opened = DetectPart.open("rules", &json!({"rules": ["d"], "cpython": "python3"}), &list);
    let Some(node) = opened.node else {
        eprintln!("skipped: {:?}", opened.problems);
        return assert!(opened.problems.iter().any(|p| p.setting == "cpython"), "{:?}", opened.problems);
    };
    let mut live = judge(&*node, false);
    let events = [count("k", 1, 0), count("k", 2, 1)];
    let (told, _) = run(&mut *live, 1, BASE * 1_000, handed_on(&*node, &events, BASE * 1_000, 0));
    let titles: Vec<&str> = told.iter().map(|(.., title)| title.as_str()).collect();
    assert_eq!(titles, ["1", "[2]", "4", "[6]"]);
}

#[test]
fn records_that_are_not_its_own_are_an_error() {
    let mut live = judge(&*two(), false);
    let rule = Arc::new(RuleMeta { id: "Gone".into(), ..RuleMeta::default() });
    let gone = Record::Match(Box::new(Match { rule, ..Match::default() }));
    assert!(live.epoch(&info(1, 0), vec![gone], &mut Ctx::default()).is_err());
    assert!(live.epoch(&info(1, 0), vec![Record::Signal(Box::default())], &mut Ctx::default()).is_err());
}
