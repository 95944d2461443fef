use super::*;
use model::files::MemFiles;
use model::{Match, Pos, RuleMeta};
use serde_json::{Value as J, json};

/// Two detections on one user, in any order; the pair, then a third.
const PAIR: &str = "AnalysisType: correlation_rule
RuleID: Pair
Enabled: true
Severity: High
DisplayName: Both at once
Detection:
  - Group: [{ID: A, RuleID: a}, {ID: B, RuleID: b}]
    MatchCriteria: {user: [{GroupID: A, Match: users}, {GroupID: B, Match: p_alert_context.user}]}
    Schedule: {RateMinutes: 5, TimeoutMinutes: 1}
    LookbackWindowMinutes: 10
";
const THEN: &str = "AnalysisType: correlation_rule
RuleID: Then
Enabled: true
Severity: Critical
Detection:
  - Sequence: [{ID: P, RuleID: Pair}, {ID: C, RuleID: c}]
    Transitions: [{ID: t, From: P, To: C, Match: [{From: user, To: user.name}]}]
    Schedule: {CronExpression: '0 * * * *'}
    LookbackWindowMinutes: 60
";

fn node(event_time: bool) -> (Arc<dyn Node>, BuildCx) {
    let files = MemFiles::of(&[("r/pair.yml", PAIR), ("r/then.yml", THEN)]);
    let opened = CorrelatePart.open("c", &json!({"rules": ["r"], "lateness": "1m"}), &files);
    assert!(opened.problems.is_empty(), "{:?}", opened.problems);
    (opened.node.unwrap(), BuildCx { groups: 16, event_time, ..BuildCx::default() })
}

fn matched(rule: &str, offset: u64, minute: i64, event: J, context: J) -> Record {
    Record::Match(Box::new(Match {
        pos: Pos { offset, ..Pos::default() },
        rule: Arc::new(RuleMeta { id: rule.into(), create_alert: false, ..RuleMeta::default() }),
        event_ms: minute * 60_000,
        event: Some(event.to_string()),
        context: Some(context.to_string()),
        ..Match::default()
    }))
}

/// A node on some workers: what they do to each other's records is what the engine does.
struct Job {
    /// By stage, by worker.
    stages: Vec<Vec<Box<dyn Keyed>>>,
    groups: u32,
}

impl Job {
    fn new(node: &dyn Node, cx: &BuildCx, workers: usize) -> Job {
        let build = |n: &Arc<dyn Node>| match n.build(cx).unwrap() {
            Built::Keyed(k) => k,
            _ => panic!("a keyed operator"),
        };
        let stages = node.stages().iter().map(|n| (0..workers).map(|_| build(n)).collect()).collect();
        Job { stages, groups: cx.groups }
    }

    fn epoch(&mut self, epoch: u64, minute: i64, input: &[Record]) -> (Vec<J>, BTreeMap<&'static str, u64>) {
        let info = EpochInfo { epoch, now_ms: minute * 60_000, commands: Vec::new(), snapshot: false, seal: false };
        let (mut records, mut out, mut counts) = (input.to_vec(), Vec::new(), BTreeMap::new());
        for stage in &mut self.stages {
            let mut by_worker: Vec<Vec<Record>> = stage.iter().map(|_| Vec::new()).collect();
            let (workers, mut signals) = (stage.len() as u32, Vec::new());
            records.iter().for_each(|r| stage[0].split(r.clone(), &mut signals));
            for s in signals {
                let group = group_of(stage[0].key(&s), self.groups);
                by_worker[(group % workers) as usize].push(s);
            }
            for (op, mut mine) in stage.iter_mut().zip(by_worker) {
                model::part::sort_records(&mut mine);
                let mut cx = Ctx::default();
                op.epoch(&info, mine, &mut cx).unwrap();
                cx.counts.iter().for_each(|(c, _, n)| *counts.entry(*c).or_default() += n);
                for (_, p) in cx.out {
                    let Packet::Records(mut r) = p else { panic!("records") };
                    out.extend(r.iter().cloned());
                    records.append(&mut r);
                }
            }
        }
        model::part::sort_records(&mut out);
        (out.iter().map(Record::to_json).collect(), counts)
    }

    /// The same state on other workers.
    fn moved(mut self, node: &dyn Node, cx: &BuildCx, workers: usize) -> Job {
        let mut new = Job::new(node, cx, workers);
        for (old, stage) in self.stages.iter_mut().zip(&mut new.stages) {
            for op in old.iter_mut() {
                for group in 0..self.groups {
                    let bytes = op.save(group);
                    if !bytes.is_empty() {
                        stage[group as usize % workers].load(group, &bytes).unwrap();
                    }
                }
            }
        }
        new
    }
}

#[test]
fn rules_of_two_stages_give_the_same_on_any_number_of_workers_and_when_state_moves() {
    let (node, cx) = node(false);
    assert_eq!(node.summary(), "2 correlation rules, 1 more stages");
    let events: Vec<(i64, Vec<Record>)> = vec![
        (1, vec![matched("a", 1, 1, json!({"users": ["kim", "lee", "kim"]}), json!({}))]),
        (
            2,
            vec![
                matched("b", 2, 2, json!({}), json!({"user": "lee"})),
                matched("b", 3, 2, json!({}), json!({"user": "kim"})),
                matched("x", 4, 2, json!({}), json!({"user": "kim"})),
            ],
        ),
        (3, vec![matched("c", 5, 3, json!({"user": {"name": "kim"}}), json!({}))]),
        (4, vec![matched("c", 6, 4, json!({"user": {"name": "mia"}}), json!({}))]),
    ];
    let run = |sizes: [usize; 4]| {
        let mut job = Job::new(&*node, &cx, sizes[0]);
        let mut out = Vec::new();
        for (n, (minute, records)) in events.iter().enumerate() {
            job = job.moved(&*node, &cx, sizes[n]);
            out.push(job.epoch(n as u64 + 1, *minute, records).0);
        }
        out
    };
    let want = run([1; 4]);
    let ids: Vec<Vec<(&str, &str)>> = want
        .iter()
        .map(|e| e.iter().map(|m| (m["p_rule_id"].as_str().unwrap(), m["p_alert_dedup"].as_str().unwrap())).collect())
        .collect();
    assert_eq!(ids, [vec![], vec![("Pair", "lee"), ("Pair", "kim")], vec![("Then", "kim")], vec![]]);
    let pair = &want[1][0];
    assert_eq!(
        (&pair["user"], &pair["p_alert_title"], &pair["p_log_type"]),
        (&json!("lee"), &json!("Both at once"), &json!("Correlation"))
    );
    let context = &pair["p_alert_context"];
    assert_eq!((&context["from"], &context["items"][0]["count"]), (&json!("1970-01-01T00:01:00.000Z"), &json!(1)));
    assert_eq!(context["items"][1]["rows"][0], json!(format!("{:032x}", Pos { offset: 2, ..Pos::default() }.row_id())));
    for sizes in [[2; 4], [4; 4], [1, 2, 4, 1], [4, 1, 2, 3]] {
        assert_eq!(run(sizes), want, "{sizes:?}");
    }
}

#[test]
fn only_what_is_read_of_events_is_asked_for() {
    let (node, _) = node(false);
    // Of `b` the context will do.
    let ids: Vec<String> = node.needs().events_of.iter().map(|r| r.to_string()).collect();
    assert_eq!(ids, ["Pair", "a", "c"]);
}

#[test]
fn everything_is_counted() {
    let (node, cx) = node(true);
    let mut job = Job::new(&*node, &cx, 1);
    let many: Vec<String> = (0..crate::signals::MAX_VALUES + 1).map(|n| format!("u{n}")).collect();
    let records = [
        matched("a", 1, 100, json!({"users": many}), json!({})),
        matched("a", 2, 10, json!({"users": "u1"}), json!({})),
        matched("b", 3, 100, json!({}), json!({"user": "u1"})),
    ];
    let (out, counts) = job.epoch(1, 100, &records);
    let n = crate::signals::MAX_VALUES as u64;
    assert_eq!(out.len(), 1);
    // One of them is the match, as the second stage sees it.
    assert_eq!(counts["signals"], n + 3);
    assert_eq!((counts["values_over_limit"], counts["late"], counts["matches"]), (1, 1, 1));
    // What has waited long enough is forgotten, without a trace in the state.
    assert_eq!(job.stages[0][0].keys(), n - 1);
    job.epoch(2, 112, &[matched("b", 4, 112, json!({}), json!({"user": "u2"}))]);
    job.epoch(
        3,
        200,
        &(0..400).map(|i| matched("b", 10 + i, 200, json!({}), json!({"user": format!("v{i}")}))).collect::<Vec<_>>(),
    );
    assert_eq!(job.stages[0][0].keys(), 400);
    // The failure of a detection is no signal.
    let Record::Match(mut failed) = matched("b", 5_000, 200, json!({}), json!({"user": "u9"})) else { panic!() };
    failed.error = Some("boom".into());
    assert_eq!(job.epoch(4, 200, &[Record::Match(failed)]).1.get("signals"), None);
}

#[test]
fn settings_are_checked() {
    let files = MemFiles::of(&[("r/pair.yml", &PAIR.replace("Enabled: true", "Enabled: false"))]);
    let opened = CorrelatePart.open("c", &json!({"rules": ["r"]}), &files);
    assert!(opened.node.is_some() && opened.problems[0].warning, "{:?}", opened.problems);
    assert!(opened.problems[0].message.contains("no correlation rule is enabled"));
    assert!(CorrelatePart.open("c", &json!({"rules": ["r"], "lateness": "soon"}), &files).node.is_none());
    let ring = MemFiles::of(&[("r/a.yml", PAIR), ("r/b.yml", &THEN.replace("RuleID: c}", "RuleID: Then}"))]);
    let opened = CorrelatePart.open("c", &json!({"rules": ["r"]}), &ring);
    assert!(opened.node.is_none() && opened.problems.iter().any(|p| p.message.contains("in a ring: Then")));
}
