//! Shadow rules: changed rules beside the live ones, on the same events, without a word to anyone.
//!
//! What they match leaves by ports of its own and never by the port of the live rules. A shadow rule is compared with the
//! live rule of the same id, event by event:
//!
//! | port | what leaves there |
//! |---|---|
//! | `shadow` | every match and failure of a shadow rule: what would be there in place of the live rule's |
//! | `gained` | of these, matches of events that the live rule does not match |
//! | `lost` | matches of the live rule of events that the shadow rule does not match |
//!
//! The ledger counts the same by rule: `shadow_matches`, `shadow_errors`, `gained`, `lost`. A shadow rule that runs away is
//! quarantined under the id `shadow/<id>`; its live twin goes on.
use crate::detect::Detect;
use model::operator::STOPPED;
use model::{Ctx, EventBatch, Map, Match, Packet, Record, Result};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Port of the matches of shadow rules.
pub const SHADOW: usize = 1;
/// Port of the matches that only shadow rules have.
pub const GAINED: usize = 2;
/// Port of the matches that shadow rules would lose.
pub const LOST: usize = 3;
/// Before the id of a shadow rule, where it has to be told from the live one.
pub const PREFIX: &str = "shadow/";

/// Live rules and shadow rules.
pub(crate) struct Shadowed {
    live: Detect,
    shadow: Detect,
    /// Ids of the shadow rules.
    ids: BTreeSet<Arc<str>>,
}

impl Shadowed {
    pub fn new(live: Detect, shadow: Detect) -> Shadowed {
        let ids = shadow.rules.iter().map(|r| r.meta.id.clone()).collect();
        Shadowed { live, shadow, ids }
    }

    fn compare(&self, live: &[Record], shadow: Vec<Record>, cx: &mut Ctx) {
        let mut counts: BTreeMap<(Arc<str>, &'static str), u64> = BTreeMap::new();
        let mut count = |m: &Match, what| *counts.entry((m.rule.id.clone(), what)).or_default() += 1;
        let old: Vec<&Match> = matches(live).filter(|m| self.ids.contains(&m.rule.id)).collect();
        let (mut gained, mut lost, mut at) = (Vec::new(), Vec::new(), 0);
        for new in matches(&shadow) {
            count(new, "shadow_matches");
            while old.get(at).is_some_and(|o| place(o) < place(new)) {
                lost.push(old[at]);
                at += 1;
            }
            match old.get(at).map(|o| place(o).cmp(&place(new))) {
                Some(Ordering::Equal) => at += 1,
                _ => gained.push(new),
            }
        }
        lost.extend(&old[at..]);
        gained.iter().for_each(|m| count(m, "gained"));
        lost.iter().for_each(|m| count(m, "lost"));
        let failed = shadow.iter().filter_map(|r| if let Record::Match(m) = r { Some(m) } else { None });
        failed.filter(|m| m.error.is_some()).for_each(|m| count(m, "shadow_errors"));
        cx.emit(GAINED, records(gained));
        cx.emit(LOST, records(lost));
        cx.emit(SHADOW, Packet::Records(shadow));
        counts.into_iter().for_each(|((rule, what), n)| cx.count_rule(what, rule, n));
    }
}

/// Copies, to send on.
fn records(list: Vec<&Match>) -> Packet {
    Packet::Records(list.into_iter().cloned().map(Box::new).map(Record::Match).collect())
}

/// Matches without failures.
fn matches(records: &[Record]) -> impl Iterator<Item = &Match> {
    records.iter().filter_map(|r| match r {
        Record::Match(m) if m.error.is_none() => Some(&**m),
        _ => None,
    })
}

/// What two matches have in common that are compared. Matches of a batch come in this order.
fn place(m: &Match) -> (model::Pos, &str) {
    (m.pos, &m.rule.id)
}

impl Map for Shadowed {
    fn map(&mut self, input: Packet, cx: &mut Ctx) -> Result<()> {
        let Packet::Events(batch) = input else { return Err("detect takes events".into()) };
        let live = self.live.judge(&batch, cx)?;
        let shadow = self.shadowed(&batch, cx)?;
        self.compare(&live, shadow, cx);
        cx.emit(0, Packet::Records(live));
        Ok(())
    }

    fn quarantine(&mut self, rules: &[Arc<str>]) {
        self.live.quarantine(rules);
        let own: Vec<Arc<str>> = rules.iter().filter_map(|r| r.strip_prefix(PREFIX).map(Arc::from)).collect();
        self.shadow.quarantine(&own);
    }
}

impl Shadowed {
    /// What shadow rules match. Of their own counts only that of runaways is kept, under a name of its own.
    fn shadowed(&mut self, batch: &Arc<EventBatch>, cx: &mut Ctx) -> Result<Vec<Record>> {
        let mut own = Ctx::default();
        let found = self.shadow.judge(batch, &mut own)?;
        for (counter, rule, n) in own.counts.into_iter().filter(|(counter, ..)| *counter == STOPPED) {
            cx.count_rule(counter, format!("{PREFIX}{rule}").into(), n);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::tests::support;
    use crate::detect::DetectPart;
    use model::files::MemFiles;
    use model::{BuildCx, Built, Part, Path};
    use serde_json::json;

    fn rule(folder: &str, id: &str, body: &str) -> (String, String) {
        let text = format!("AnalysisType: rule\nRuleID: {id}\nEnabled: true\nSeverity: Low\nLogTypes: [T]\n{body}\n");
        (format!("{folder}/{id}.yml"), text)
    }

    fn node(shadow: &[(String, String)]) -> Box<dyn Map> {
        let mut all = vec![
            rule("live", "A", "Detection:\n  - {KeyPath: n, Condition: IsGreaterThan, Value: 2}"),
            rule("live", "B", "Detection:\n  - {KeyPath: n, Condition: Equals, Value: 1}"),
        ];
        all.extend_from_slice(shadow);
        all.push(("trial/boom.lua".into(), "function rule(e) while true do end end".into()));
        let files = MemFiles::of(&all.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect::<Vec<_>>());
        let opened = DetectPart.open("d", &json!({ "rules": ["live"], "shadow": ["trial"] }), &files);
        assert_eq!(opened.problems, []);
        match opened.node.unwrap().build(&BuildCx::default()).unwrap() {
            Built::Map(map) => map,
            _ => unreachable!("detect is a map"),
        }
    }

    /// By port: rule and value of `n` (rows are numbered by it).
    fn run(map: &mut dyn Map, n: usize) -> (BTreeMap<usize, Vec<(String, u64)>>, Vec<(&'static str, String, u64)>) {
        let events: Vec<serde_json::Value> = (0..n).map(|n| json!({ "n": n })).collect();
        let batch = support::batch(&support::layout("T", &[Path::key("n")].into()), &events);
        let mut cx = Ctx::default();
        map.map(Packet::Events(batch.into()), &mut cx).unwrap();
        let mut ports: BTreeMap<usize, Vec<(String, u64)>> = BTreeMap::new();
        for (port, packet) in cx.out {
            let Packet::Records(records) = packet else { panic!("records leave") };
            for r in records {
                let Record::Match(m) = r else { panic!("matches leave") };
                ports.entry(port).or_default().push((m.rule.id.to_string(), m.pos.offset));
            }
        }
        let counts = cx.counts.into_iter().map(|(c, r, n)| (c, r.to_string(), n)).collect();
        (ports, counts)
    }

    #[test]
    fn shadow_rules_are_compared_and_never_leave_by_the_live_port() {
        let trial = [
            rule("trial", "A", "Detection:\n  - {KeyPath: n, Condition: IsIn, Values: [1, 4]}"),
            rule("trial", "C", "Detection:\n  - {KeyPath: n, Condition: Equals, Value: 0}"),
        ];
        let (ports, counts) = run(&mut *node(&trial), 6);
        let of = |list: &[(&str, u64)]| list.iter().map(|(r, n)| (r.to_string(), *n)).collect::<Vec<_>>();
        assert_eq!(ports[&0], of(&[("B", 1), ("A", 3), ("A", 4), ("A", 5)]));
        assert_eq!(ports[&SHADOW], of(&[("C", 0), ("A", 1), ("A", 4)]));
        assert_eq!(ports[&GAINED], of(&[("C", 0), ("A", 1)]));
        assert_eq!(ports[&LOST], of(&[("A", 3), ("A", 5)]));
        let n = |counter: &str, rule: &str| {
            counts.iter().filter(|(c, r, _)| *c == counter && r == rule).map(|(.., n)| *n).sum::<u64>()
        };
        assert_eq!((n("matches", "A"), n("matches", "B"), n("matches", "C")), (3, 1, 0));
        assert_eq!((n("shadow_matches", "A"), n("gained", "A"), n("lost", "A")), (2, 1, 2));
        assert_eq!((n("shadow_matches", "C"), n("gained", "C"), n("lost", "B")), (1, 1, 0));
        assert_eq!(n("events", ""), 6, "events are counted once");
    }

    #[test]
    fn a_shadow_rule_that_runs_away_does_not_take_the_live_one_with_it() {
        let mut map = node(&[rule("trial", "A", "Filename: boom.lua")]);
        let (ports, counts) = run(&mut *map, 4);
        assert!(
            counts.contains(&(STOPPED, "shadow/A".into(), 4)) && counts.contains(&("shadow_errors", "A".into(), 4))
        );
        assert!(!counts.iter().any(|(c, r, _)| *c == STOPPED && r == "A"));
        assert_eq!((ports[&0].len(), ports[&SHADOW].len(), ports.get(&GAINED)), (2, 4, None));
        map.quarantine(&["shadow/A".into()]);
        let (ports, counts) = run(&mut *map, 4);
        assert!(!counts.iter().any(|(c, ..)| *c == STOPPED), "{counts:?}");
        assert_eq!(ports[&0].len(), 2, "the live rule is evaluated");
        map.quarantine(&["A".into()]);
        assert!(run(&mut *map, 4).1.contains(&(STOPPED, "shadow/A".into(), 4)), "the shadow rule is let go");
    }
}
