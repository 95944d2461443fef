//! Every rule on every event, without columns and without an index: what the columnar engine is measured against.
//!
//! An event is made whole as rules in Lua see it, and the body of each YAML and Sigma rule for its log type is decided by
//! [`crate::eval`], the plain reading of the language. The outcome must be the matches of the node, no more and no less. It
//! costs a hundred times what the engine does, so it is asked for ([`crate::cost::Meter::scan`]), never done by itself.
use crate::eval;
use crate::rule::{Body, Rule};
use crate::whole::whole_event;
use model::{EventBatch, Record};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Differences that are kept to be shown.
const MAX_SHOWN: usize = 20;

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scan {
    /// Rules that were decided on some event.
    pub rules: usize,
    /// Events.
    pub events: u64,
    /// Rules and how often each is true, the most frequent first; rules that are never true are left out.
    pub matches: Vec<(String, u64)>,
    /// How many matches the engine has not, and how many it has too many.
    pub lost: u64,
    /// See [`Scan::lost`].
    pub surplus: u64,
    /// The first of these.
    pub differences: Vec<Difference>,
}

/// A match that only one of both has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The rule.
    pub rule: String,
    /// Offset of the record in its file or partition.
    pub offset: u64,
    /// True: the engine has it, and the plain evaluator has not.
    pub surplus: bool,
}

/// A scan while it goes on.
#[derive(Default)]
pub struct Scanner {
    counts: Vec<u64>,
    decided: BTreeSet<usize>,
    out: Scan,
}

impl Scanner {
    /// Decide these rules on a batch and compare with the matches that the engine has found in it.
    pub fn compare(&mut self, rules: &Arc<[Rule]>, batch: &EventBatch, found: &[Record]) {
        let of_type = |r: &Rule| matches!(r.body, Body::Yaml(_)) && r.log_types.contains(&batch.layout.log_type);
        let all: Vec<usize> = (0..rules.len()).filter(|i| of_type(&rules[*i])).collect();
        let ids: BTreeSet<&str> = all.iter().map(|i| &*rules[*i].meta.id).collect();
        let matches = found.iter().filter_map(|r| if let Record::Match(m) = r { Some(m) } else { None });
        let engine: BTreeSet<_> =
            matches.filter(|m| ids.contains(&*m.rule.id)).map(|m| (m.pos.offset, m.pos.ordinal, &*m.rule.id)).collect();
        let mut plain = BTreeSet::new();
        self.counts.resize(rules.len(), 0);
        for row in 0..batch.len() {
            let (event, pos) = (whole_event(batch, row), batch.pos_of(row));
            for &i in &all {
                let Body::Yaml(body) = &rules[i].body else { continue };
                if eval::all(&rules[i].filters, &event) && eval::all(body, &event) {
                    self.counts[i] += 1;
                    plain.insert((pos.offset, pos.ordinal, &*rules[i].meta.id));
                }
            }
        }
        for (list, surplus) in [(plain.difference(&engine), false), (engine.difference(&plain), true)] {
            for (offset, _, rule) in list {
                *if surplus { &mut self.out.surplus } else { &mut self.out.lost } += 1;
                if self.out.differences.len() < MAX_SHOWN {
                    self.out.differences.push(Difference { rule: rule.to_string(), offset: *offset, surplus });
                }
            }
        }
        self.decided.extend(all);
        self.out.events += batch.len() as u64;
    }

    /// What was found so far.
    pub fn found(&self, rules: &[Rule]) -> Scan {
        let counted = rules.iter().zip(&self.counts).filter(|(_, n)| **n > 0);
        let mut matches: Vec<(String, u64)> = counted.map(|(r, n)| (r.meta.id.to_string(), *n)).collect();
        matches.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Scan { rules: self.decided.len(), matches, ..self.out.clone() }
    }
}

impl Scan {
    /// True if both agree.
    pub fn agrees(&self) -> bool {
        self.lost == 0 && self.surplus == 0
    }

    /// For people.
    pub fn text(&self) -> String {
        let n: u64 = self.matches.iter().map(|(_, n)| n).sum();
        let mut out = format!(
            "{} rules scanned on {} events, without columns and index: {n} matches of {} rules; ",
            self.rules,
            self.events,
            self.matches.len()
        );
        if self.agrees() {
            return out + "the engine has the same\n";
        }
        out += &format!("the engine lacks {} and has {} more\n", self.lost, self.surplus);
        for d in &self.differences {
            let what = if d.surplus { "only the engine has it" } else { "the engine lacks it" };
            out += &format!("  {} at offset {}: {what}\n", d.rule, d.offset);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use crate::columns::tests::support;
    use crate::cost::Meter;
    use model::Path;
    use model::files::MemFiles;
    use serde_json::json;
    use std::sync::Arc;

    const RULES: &str = "title: A\nid: a\nlogsource: {product: windows, service: security}\n\
        detection: {s: {'Name|contains': [evil, worse]}, condition: s}\n---\n\
        title: B\nid: b\nlogsource: {product: windows, service: security}\n\
        detection: {s: {'Name|startswith': x}, condition: not s}\n";

    #[test]
    fn a_scan_tells_what_only_one_of_both_finds() {
        let files = MemFiles::of(&[("rules/r.yml", RULES)]);
        let mut meter = Meter::open(&json!({ "rules": ["rules"] }), &files).ok().unwrap();
        meter.scan();
        let names = ["an Evil one", "x", "xWORSE", "evil", ""];
        let event = |n: &&str| json!({"Name": n, "Channel": "Security", "p_log_type": "Windows.EventLogs"});
        let events: Vec<serde_json::Value> = names.iter().map(event).collect();
        let layout = support::layout("Windows.EventLogs", &[Path::key("Name"), Path::key("Channel")].into());
        let mut batch = support::batch(&layout, &events);
        meter.add(&Arc::new(batch.clone()));
        let scan = meter.costs().scan.unwrap();
        assert!(scan.agrees() && scan.text().contains("the engine has the same"), "{scan:?}");
        assert_eq!((scan.rules, scan.events, &scan.matches), (2, 5, &vec![("a".into(), 3), ("b".into(), 3)]));
        // The column says something else than the event now: the first name is not evil, the second is not x.
        batch.pos.swap(
            layout.slot(&Path::key("Name")).unwrap() as usize * 5,
            layout.slot(&Path::key("Name")).unwrap() as usize * 5 + 1,
        );
        meter.add(&Arc::new(batch));
        let scan = meter.costs().scan.unwrap();
        assert_eq!((scan.lost, scan.surplus, scan.differences.len()), (2, 2, 4), "{scan:?}");
        let text = scan.text();
        assert!(
            text.contains("a at offset 0: the engine lacks it") && text.contains("b at offset 1: only the engine"),
            "{text}"
        );
    }
}
