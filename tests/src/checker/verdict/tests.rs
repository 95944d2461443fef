//! The checker itself is checked: faults are planted in a good log, one at a time, and each must be flagged as what it is.
use super::*;
use crate::kafka::Message;

struct Run {
    plan: Plan,
    live: Logs,
    last: Logs,
    alerts: Vec<Alert>,
    marks: Vec<Mark>,
    faults: u64,
}

/// A good log: two output partitions, transactions of ten events, a few alerts.
fn good() -> Run {
    let plan = Plan::new("run-a", 2_000, 4, 11);
    let (mut last, mut next, mut marks): (Logs, HashMap<(Output, i32), i64>, Vec<Mark>) = Default::default();
    let mut put = |output: Output, partition: i32, value: Vec<u8>, headers: Vec<(&str, String)>| {
        let offset = next.entry((output, partition)).or_insert(0);
        let headers = headers.into_iter().map(|(k, v)| (k.to_string(), v.into_bytes())).collect();
        let m = Message { partition, offset: *offset, key: None, value: Some(value), headers };
        *offset += 1;
        last.entry(output).or_default().push(Seen::of(output, &m));
    };
    let mut alerts = Vec::new();
    for seq in 0..plan.events {
        let e = plan.event(seq);
        let epoch = 1 + seq / 10;
        let output = match e.route {
            Route::Event => Output::Events,
            Route::Reject => Output::Dlq,
            Route::Filter => continue,
        };
        let mut headers = vec![("epoch", epoch.to_string())];
        if output == Output::Dlq {
            headers.push(("__connect.errors.exception.message", "not JSON".into()));
        }
        put(output, e.partition % 2, e.value, headers);
        match marks.iter_mut().rev().take(2).find(|m| m.output == output && m.epoch == epoch) {
            Some(m) => (m.rows, m.xor) = (m.rows + 1, m.xor ^ seq),
            None => marks.push(Mark { output, epoch, rows: 1, xor: seq }),
        }
        if seq % 100 == 3 {
            let a = Alert { rule: "C01".into(), dedup: format!("key {}", e.key), seq };
            let text = format!("{{\"rule\":\"C01\",\"dedup\":\"key {}\",\"seq\":\"{seq}\"}}", e.key);
            put(Output::Alerts, 0, text.into_bytes(), vec![]);
            alerts.push(a);
        }
    }
    Run { plan, live: last.clone(), last, alerts, marks, faults: 1 }
}

impl Run {
    fn verdict(&self) -> Verdict {
        check(&Evidence {
            plan: &self.plan,
            live: &self.live,
            last: &self.last,
            alerts: Some(&self.alerts),
            marks: Some(&self.marks),
            faults: self.faults,
        })
    }
    fn events(&mut self) -> &mut Vec<Seen> {
        self.last.get_mut(&Output::Events).unwrap()
    }
    /// Change what both readers see.
    fn both(&mut self, output: Output, f: impl Fn(&mut Vec<Seen>)) {
        f(self.last.get_mut(&output).unwrap());
        f(self.live.get_mut(&output).unwrap());
    }
}

#[test]
fn a_good_log_is_exact() {
    let run = good();
    assert!(run.verdict().exact(), "{}", run.verdict());
    assert!(run.verdict().counts.values().all(|n| *n > 0));
}

#[test]
fn every_planted_fault_is_flagged_as_what_it_is() {
    let append = |v: &mut Vec<Seen>, mut s: Seen| {
        s.offset = 1 + v.iter().filter(|o| o.partition == s.partition).map(|o| o.offset).max().unwrap();
        v.push(s);
    };
    type Plant<'a> = (&'a str, Kind, Box<dyn Fn(&mut Run) + 'a>);
    let plants: Vec<Plant> = vec![
        ("an event dropped", Kind::Lost, Box::new(|r| r.both(Output::Events, |v| drop(v.remove(77))))),
        ("a dead letter dropped", Kind::Lost, Box::new(|r| r.both(Output::Dlq, |v| drop(v.remove(2))))),
        ("an event doubled", Kind::Duplicate, Box::new(|r| r.both(Output::Events, |v| append(v, v[500].clone())))),
        (
            "two events of a key swapped",
            Kind::Order,
            Box::new(|r| {
                r.both(Output::Events, |v| {
                    let a = 100;
                    let b = (101..).find(|i| (v[*i].key, v[*i].partition) == (v[a].key, v[a].partition)).unwrap();
                    let (oa, ob) = (v[a].offset, v[b].offset);
                    v.swap(a, b);
                    (v[a].offset, v[b].offset) = (oa, ob);
                })
            }),
        ),
        (
            "a transaction torn",
            Kind::Torn,
            Box::new(|r| {
                // Two rows change their transaction: nothing is lost, nothing is doubled.
                r.both(Output::Events, |v| (v[40].epoch, v[200].epoch) = (v[200].epoch, v[40].epoch))
            }),
        ),
        ("a transaction without its mark", Kind::Torn, Box::new(|r| drop(r.marks.remove(30)))),
        (
            "a record of an aborted transaction",
            Kind::Aborted,
            Box::new(|r| {
                r.both(Output::Events, |v| append(v, Seen { aborted: true, ..v[9].clone() }));
            }),
        ),
        ("a dead letter without a reason", Kind::NoReason, Box::new(|r| r.both(Output::Dlq, |v| v[1].reason = None))),
        ("a dead letter's bytes changed", Kind::Damaged, Box::new(|r| r.both(Output::Dlq, |v| v[1].value ^= 1))),
        ("an event's content changed", Kind::Damaged, Box::new(|r| r.both(Output::Events, |v| v[1].check ^= 1))),
        (
            "a good event among the dead letters",
            Kind::WrongRoute,
            Box::new(|r| {
                let s = r.events()[321].clone();
                r.both(Output::Events, |v| drop(v.remove(321)));
                let reason = Some("not JSON".into());
                r.both(Output::Dlq, |v| append(v, Seen { reason: reason.clone(), ..s.clone() }));
            }),
        ),
        (
            "an event that was to be filtered",
            Kind::NotFiltered,
            Box::new(|r| {
                let seq = (0..).find(|s| r.plan.route(*s) == Route::Filter).unwrap();
                let e = r.plan.event(seq);
                let m = Message { partition: 0, offset: 0, key: None, value: Some(e.value), headers: vec![] };
                r.both(Output::Events, |v| append(v, Seen::of(Output::Events, &m)));
            }),
        ),
        (
            "an event of another run",
            Kind::Foreign,
            Box::new(|r| r.both(Output::Events, |v| append(v, Seen { run: 5, ..v[3].clone() }))),
        ),
        ("a record that changed between readers", Kind::Readers, Box::new(|r| r.events()[10].digest ^= 1)),
        (
            "a record that the running reader skipped",
            Kind::Readers,
            Box::new(|r| drop(r.live.get_mut(&Output::Events).unwrap().remove(10))),
        ),
        (
            "a record that only the running reader saw",
            Kind::Readers,
            Box::new(|r| {
                let mut s = r.live[&Output::Events].last().unwrap().clone();
                s.offset += 9;
                r.live.get_mut(&Output::Events).unwrap().push(s);
            }),
        ),
        (
            "a reader sent back",
            Kind::StepBack,
            Box::new(|r| {
                let s = r.live[&Output::Events][10].clone();
                r.live.get_mut(&Output::Events).unwrap().push(s);
            }),
        ),
        ("an alert lost", Kind::AlertMissing, Box::new(|r| r.both(Output::Alerts, |v| drop(v.pop())))),
        ("an alert doubled", Kind::AlertExtra, Box::new(|r| r.both(Output::Alerts, |v| append(v, v[0].clone())))),
        ("no fault injected", Kind::NoFaults, Box::new(|r| r.faults = 0)),
    ];
    assert!(plants.len() >= 12);
    for (name, kind, plant) in plants {
        let mut run = good();
        plant(&mut run);
        let v = run.verdict();
        assert!(v.kinds().contains(&kind), "{name} must be flagged as {kind:?}: {v}");
    }
}

#[test]
fn sums_are_compared_where_records_do_not_tell_their_epoch() {
    let mut run = good();
    for output in [Output::Events, Output::Dlq] {
        run.both(output, |v| v.iter_mut().for_each(|s| s.epoch = 0));
    }
    run.marks.iter_mut().for_each(|m| m.epoch = 0);
    assert!(run.verdict().exact(), "{}", run.verdict());
    run.marks[3].rows += 1;
    assert_eq!(run.verdict().kinds(), [Kind::Torn]);
}
