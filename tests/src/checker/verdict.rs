//! The comparison. Linear in the number of records; a byte per sequence number.
use super::input::{Plan, Route, check_of};
use super::seen::{Alert, Output, Seen, hash};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Examples shown of each kind of violation.
const SHOWN: usize = 5;

/// Records of each output in the order in which a reader got them.
pub type Logs = BTreeMap<Output, Vec<Seen>>;

/// What one transaction claims to have written, read from a mark that was written in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Output that it speaks of.
    pub output: Output,
    /// The transaction, as in its records' header `epoch`; 0 if its records do not say: then only the sums are compared.
    pub epoch: u64,
    /// Records.
    pub rows: u64,
    /// Xor of their sequence numbers; not looked at if `epoch` is 0.
    pub xor: u64,
}

/// Everything that is known of a run.
pub struct Evidence<'a> {
    /// What went in.
    pub plan: &'a Plan,
    /// What the reader saw that ran all the while.
    pub live: &'a Logs,
    /// What a reader sees at the end.
    pub last: &'a Logs,
    /// Alerts of the reference, if the job makes alerts.
    pub alerts: Option<&'a [Alert]>,
    /// Marks, if the job writes them: `None` leaves the check of whole transactions out.
    pub marks: Option<&'a [Mark]>,
    /// Faults that hit the job while it worked.
    pub faults: u64,
}

/// Kinds of violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An event is nowhere.
    Lost,
    /// An event is there more than once.
    Duplicate,
    /// An event took another route than it had to.
    WrongRoute,
    /// An event that the filter drops is in an output.
    NotFiltered,
    /// A record that this run did not make.
    Foreign,
    /// An event's content is not what was made.
    Damaged,
    /// Of one key, a later event comes before an earlier one.
    Order,
    /// A dead letter without its reason.
    NoReason,
    /// A record of an aborted transaction is visible.
    Aborted,
    /// A transaction is visible in part.
    Torn,
    /// The two readers do not agree.
    Readers,
    /// A reader was sent back or got an offset twice.
    StepBack,
    /// An alert of the reference is missing.
    AlertMissing,
    /// An alert that the reference does not have.
    AlertExtra,
    /// Nothing was injected: the run proves nothing.
    NoFaults,
}

/// The result.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    found: BTreeMap<Kind, (u64, Vec<String>)>,
    /// Events in the output topic, dead letters, alerts.
    pub counts: BTreeMap<Output, u64>,
}

impl Verdict {
    /// No violation.
    pub fn exact(&self) -> bool {
        self.found.is_empty()
    }
    /// Kinds that were found.
    pub fn kinds(&self) -> Vec<Kind> {
        self.found.keys().copied().collect()
    }
    fn add(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        let e = self.found.entry(kind).or_default();
        e.0 += 1;
        if e.1.len() < SHOWN {
            e.1.push(example());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.counts.iter().map(|(o, n)| format!("{n} {o:?}").to_lowercase()).collect();
        if self.exact() {
            return write!(f, "EXACT ({})", counts.join(", "));
        }
        write!(f, "NOT EXACT ({})", counts.join(", "))?;
        for (kind, (n, examples)) in &self.found {
            write!(f, "\n  {kind:?} x{n}: {}", examples.join("; "))?;
        }
        Ok(())
    }
}

/// Compare.
pub fn check(e: &Evidence<'_>) -> Verdict {
    let mut v = Verdict::default();
    if e.faults == 0 {
        v.add(Kind::NoFaults, || "no fault hit the job".into());
    }
    for (output, records) in e.last {
        v.counts.insert(*output, records.len() as u64);
    }
    routes(e, &mut v);
    order(e, &mut v);
    readers(e, &mut v);
    if let Some(marks) = e.marks {
        torn(e.last, marks, &mut v);
    }
    if let Some(want) = e.alerts {
        alerts(e.last, want, &mut v);
    }
    v
}

fn records(logs: &Logs, output: Output) -> &[Seen] {
    logs.get(&output).map_or(&[], Vec::as_slice)
}

/// Conservation: every sequence number in exactly one place, whole.
fn routes(e: &Evidence<'_>, v: &mut Verdict) {
    let (plan, run) = (e.plan, hash(&[e.plan.run.as_bytes()]));
    let mut times = vec![0u8; plan.events as usize];
    for (output, want) in [(Output::Events, Route::Event), (Output::Dlq, Route::Reject)] {
        for s in records(e.last, output) {
            let at = || format!("{output:?} [{}] offset {}", s.partition, s.offset);
            if s.aborted {
                v.add(Kind::Aborted, || format!("seq {:?} at {}", s.seq, at()));
                continue;
            }
            let Some(seq) = s.seq.filter(|q| *q < plan.events && s.run == run) else {
                v.add(Kind::Foreign, || format!("{} (seq {:?})", at(), s.seq));
                continue;
            };
            let made = plan.event(seq);
            let same = match output {
                Output::Dlq => s.value == hash(&[&made.value]),
                _ => s.check == check_of(plan.seed, seq) && s.key == made.key,
            };
            if !same {
                v.add(Kind::Damaged, || format!("seq {seq} at {}", at()));
            }
            if made.route == Route::Filter {
                v.add(Kind::NotFiltered, || format!("seq {seq} at {}", at()));
            } else if made.route != want {
                v.add(Kind::WrongRoute, || format!("seq {seq} must be a {:?}, is at {}", made.route, at()));
            }
            if output == Output::Dlq && s.reason.is_none() {
                v.add(Kind::NoReason, || format!("seq {seq} at {}", at()));
            }
            let n = &mut times[seq as usize];
            *n = n.saturating_add(1);
            if *n == 2 {
                v.add(Kind::Duplicate, || format!("seq {seq}, again at {}", at()));
            }
        }
    }
    for (seq, n) in times.iter().enumerate() {
        if *n == 0 && plan.route(seq as u64) != Route::Filter {
            v.add(Kind::Lost, || format!("seq {seq} ({:?})", plan.route(seq as u64)));
        }
    }
}

/// Within an output partition the events of a key ascend.
fn order(e: &Evidence<'_>, v: &mut Verdict) {
    let mut newest: HashMap<(i32, u32), u64> = HashMap::new();
    for s in records(e.last, Output::Events) {
        let Some(seq) = s.seq else { continue };
        if let Some(before) = newest.insert((s.partition, s.key), seq)
            && before > seq
        {
            v.add(Kind::Order, || format!("key {}: seq {seq} after {before} in [{}]", s.key, s.partition));
        }
    }
}

/// Both readers, offset for offset; and offsets only ever go up.
fn readers(e: &Evidence<'_>, v: &mut Verdict) {
    let outputs: std::collections::BTreeSet<Output> = e.live.keys().chain(e.last.keys()).copied().collect();
    for output in outputs {
        let mut at: HashMap<i32, i64> = HashMap::new();
        let mut live: HashMap<(i32, i64), u64> = HashMap::new();
        for s in records(e.live, output) {
            if let Some(before) = at.insert(s.partition, s.offset)
                && before >= s.offset
            {
                v.add(Kind::StepBack, || format!("{output:?} [{}]: {} after {before}", s.partition, s.offset));
            }
            live.insert((s.partition, s.offset), s.digest);
        }
        for s in records(e.last, output) {
            match live.remove(&(s.partition, s.offset)) {
                Some(digest) if digest == s.digest => {}
                other => v.add(Kind::Readers, || {
                    let what = if other.is_some() { "other content" } else { "only at the end" };
                    format!("{output:?} [{}] offset {}: {what}", s.partition, s.offset)
                }),
            }
        }
        let mut rest: Vec<(i32, i64)> = live.into_keys().collect();
        rest.sort_unstable();
        for (partition, offset) in rest {
            v.add(Kind::Readers, || format!("{output:?} [{partition}] offset {offset}: gone at the end"));
        }
    }
}

/// Whole transactions: what a mark claims is what is visible.
fn torn(logs: &Logs, marks: &[Mark], v: &mut Verdict) {
    let mut claimed: BTreeMap<(Output, u64), (u64, u64)> = BTreeMap::new();
    for m in marks {
        let c = claimed.entry((m.output, m.epoch)).or_default();
        // Of the same epoch there is one mark, unless records do not tell theirs: then the sums are compared.
        *c = (c.0 + m.rows, c.1 ^ m.xor);
    }
    let mut visible: BTreeMap<(Output, u64), (u64, u64)> = BTreeMap::new();
    for (output, records) in logs {
        for s in records {
            let c = visible.entry((*output, s.epoch)).or_default();
            *c = (c.0 + 1, c.1 ^ s.seq.unwrap_or(0));
        }
    }
    let with_marks: std::collections::BTreeSet<Output> = marks.iter().map(|m| m.output).collect();
    let keys: std::collections::BTreeSet<(Output, u64)> = claimed.keys().chain(visible.keys()).copied().collect();
    for key in keys.into_iter().filter(|k| with_marks.contains(&k.0)) {
        let (c, s) = (claimed.get(&key).copied().unwrap_or_default(), visible.get(&key).copied().unwrap_or_default());
        if c.0 != s.0 || (key.1 != 0 && c.1 != s.1) {
            v.add(Kind::Torn, || format!("{:?} epoch {}: {} rows marked, {} visible", key.0, key.1, c.0, s.0));
        }
    }
}

/// The same alerts, as often.
fn alerts(logs: &Logs, want: &[Alert], v: &mut Verdict) {
    let mut count: BTreeMap<&Alert, i64> = BTreeMap::new();
    for a in want {
        *count.entry(a).or_default() += 1;
    }
    for s in records(logs, Output::Alerts) {
        match &s.alert {
            Some(a) => *count.entry(a).or_default() -= 1,
            None => v.add(Kind::Foreign, || format!("Alerts [{}] offset {} is no alert", s.partition, s.offset)),
        }
    }
    for (a, n) in count.into_iter().filter(|c| c.1 != 0) {
        let (kind, n) = if n > 0 { (Kind::AlertMissing, n) } else { (Kind::AlertExtra, -n) };
        for _ in 0..n {
            v.add(kind, || format!("{a:?}"));
        }
    }
}

#[cfg(test)]
mod tests;
