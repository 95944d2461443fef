//! Whether the signals of one value make a match. Pure functions over the signals in the order of their times.
//!
//! **Complete.** A rule that more signals can only make truer matches as soon as a signal completes a window: an interval of
//! at most the rule's length, both ends included. Of several windows that hold the signal the one that ends first is
//! told, or with `ReverseChronological` the one that ends last; in a sequence, the one that then begins last. What was in
//! the window (in a sequence: from its first signal to its last) is spent, so the next match needs signals of its own.
//!
//! **Over.** A rule with `Absence` or `MaxMatchCount` is decided for each signal of an item that must be there, when
//! the window that it opens is over. What must be there is counted from that signal to the end of the window, without what
//! an earlier match has spent; what must not be there is counted from a window's length before the signal to the end,
//! spent or not: no window that holds the signal may hold it.
//!
//! **Tumbling.** A figure that can go down again is taken when the window that the first signal opened is over; the
//! next signal opens the next one.
//!
//! In a sequence a step needs as many signals of its item as its `MinMatchCount`, next to each other in time; they come not
//! before the last signal of the step before, and all of them within the step's time of it. Signals of one moment may stand
//! in any order. An item that must be absent stands first or last: then there is none within its time before the first
//! step, or within its time after the last (as far as the window goes).
use crate::held::{Held, State, from, to};
use crate::rule::{Correlation, Figure, Step, Test};
use std::ops::Range;

/// What made a match.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its signals, as indexes.
    pub span: Range<usize>,
    /// The figure of a tally.
    pub figure: Option<f64>,
}

/// The match that signal `s` completes. Without it there is none among these.
pub fn complete(rule: &Correlation, held: &[Held], s: usize) -> Option<Found> {
    if idle(rule, held, s) {
        return None;
    }
    match &rule.test {
        Test::Group { need } => {
            let mut counts = vec![0u64; rule.items.len()];
            window(rule, held, s, |added, removed| {
                added.iter().for_each(|h| counts[h.item as usize] += 1);
                removed.iter().for_each(|h| counts[h.item as usize] -= 1);
                let ok = rule.items.iter().zip(&counts).filter(|(i, n)| **n >= i.min).count();
                (ok >= *need).then_some(None)
            })
        }
        Test::Tally { figure, range } => {
            // Not worth counting values where there are too few signals.
            let few = |low: f64| matches!(figure, Figure::Count | Figure::Distinct) && (held.len() as f64) < low;
            if range.low.is_some_and(|(low, _)| few(low)) {
                return None;
            }
            let mut run = Running::default();
            window(rule, held, s, |added, removed| {
                added.iter().for_each(|h| run.add(h, 1));
                removed.iter().for_each(|h| run.add(h, -1));
                let x = run.figure(*figure)?;
                range.holds(x).then_some(Some(x))
            })
        }
        Test::Sequence(steps) => sequence(rule, steps, held, s),
    }
}

/// True if a signal that is the newest clearly completes nothing, because it is one more of what its window had enough of. Keeps a value
/// of which thousands of signals come cheap; looks back only as far as the next signals of its kind.
fn idle(rule: &Correlation, held: &[Held], s: usize) -> bool {
    let new = &held[s];
    if s + 1 < held.len() {
        return false;
    }
    let mut before = held[..s].iter().rev().take_while(|h| h.at >= new.at - rule.window_ms);
    match &rule.test {
        Test::Group { .. } => {
            let min = rule.items[new.item as usize].min as usize;
            before.filter(|h| h.item == new.item).take(min).count() == min
        }
        Test::Tally { figure: Figure::Distinct, .. } => before.any(|h| h.measure == new.measure),
        Test::Tally { figure: Figure::Items, .. } => before.any(|h| h.item == new.item),
        Test::Tally { .. } => false,
        Test::Sequence(steps) => {
            let last = steps.last().is_some_and(|step| step.item == new.item as usize);
            !last && before.next().is_none_or(|h| h.at < new.at)
        }
    }
}

/// Moves a window over all ends at which it holds signal `s`. `f` is told what came into it and what fell out of it, and
/// says whether it will do.
fn window<'h>(
    rule: &Correlation,
    held: &'h [Held],
    s: usize,
    mut f: impl FnMut(&'h [Held], &'h [Held]) -> Option<Option<f64>>,
) -> Option<Found> {
    let (mut low, mut high) = (from(held, held[s].at - rule.window_ms), 0);
    let (mut seen, mut out) = (low, None);
    let last = to(held, held[s].at + rule.window_ms);
    let mut end = s;
    while end < last {
        // All signals of one moment come into it together.
        high = to(held, held[end].at).max(high);
        let next = from(held, held[end].at - rule.window_ms).max(low);
        // What came and went in one step was never in it.
        let (gone, came) = (&held[low..next.min(seen).max(low)], &held[seen.max(next)..high]);
        if let Some(figure) = f(came, gone) {
            out = Some(Found { span: next..high, figure });
            if !rule.latest {
                break;
            }
        }
        (low, seen, end) = (next, high, high);
    }
    out
}

/// Figures that follow a moving window.
#[derive(Default)]
struct Running<'a> {
    n: i64,
    values: std::collections::BTreeMap<&'a str, i64>,
    items: std::collections::BTreeMap<u32, i64>,
}

impl<'a> Running<'a> {
    fn add(&mut self, h: &'a Held, n: i64) {
        self.n += n;
        *self.items.entry(h.item).or_default() += n;
        if let Some(m) = &h.measure {
            *self.values.entry(&**m).or_default() += n;
        }
    }
    fn figure(&self, figure: Figure) -> Option<f64> {
        let there = |n: &&i64| **n > 0;
        match figure {
            Figure::Count => Some(self.n as f64),
            Figure::Distinct => Some(self.values.values().filter(there).count() as f64),
            Figure::Items => Some(self.items.values().filter(there).count() as f64),
            // In the order of the texts, so that rounding does not depend on how the window moved.
            Figure::Sum => {
                let terms = self.values.iter().filter(|(_, n)| **n > 0);
                Some(terms.map(|(text, n)| number(text).unwrap_or(0.0) * *n as f64).sum())
            }
            Figure::Mean | Figure::Percentile(_) | Figure::Median => None,
        }
    }
}

/// The number that a text is.
pub fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|x| x.is_finite())
}

/// A figure over signals; `None` if it has no value.
pub fn figure(figure: Figure, held: &[Held]) -> Option<f64> {
    let mut run = Running::default();
    held.iter().for_each(|h| run.add(h, 1));
    run.figure(figure).or_else(|| spread(figure, held))
}

/// A figure that needs the values in their order.
fn spread(figure: Figure, held: &[Held]) -> Option<f64> {
    let mut values: Vec<f64> = held.iter().filter_map(|h| number(h.measure.as_deref()?)).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n == 0 {
        return None;
    }
    match figure {
        Figure::Mean => Some(values.iter().sum::<f64>() / n as f64),
        Figure::Median => Some((values[(n - 1) / 2] + values[n / 2]) / 2.0),
        Figure::Percentile(p) => Some(values[((p / 100.0 * n as f64).ceil() as usize).clamp(1, n) - 1]),
        Figure::Count | Figure::Distinct | Figure::Items | Figure::Sum => None,
    }
}

/// What a window that is over was.
pub fn over(rule: &Correlation, held: &[Held], first: usize) -> Option<Found> {
    let (at, end) = (held[first].at, held[first].at + rule.window_ms);
    let span = first..to(held, end);
    if let Test::Tally { figure: which, range } = &rule.test {
        let x = figure(*which, &held[span.clone()])?;
        return range.holds(x).then_some(Found { span, figure: Some(x) });
    }
    let mut around = vec![0u64; rule.items.len()];
    held[from(held, at - rule.window_ms)..span.end].iter().for_each(|h| around[h.item as usize] += 1);
    let below = |i: usize| rule.items[i].max.is_none_or(|max| around[i] <= max);
    match &rule.test {
        Test::Group { need } => {
            let mut counts = vec![0u64; rule.items.len()];
            let ours = held[span.clone()].iter().filter(|h| h.state != State::Spent);
            ours.for_each(|h| counts[h.item as usize] += 1);
            let ok = |i: &usize| (rule.items[*i].absent() || counts[*i] >= rule.items[*i].min) && below(*i);
            let right: Vec<usize> = (0..rule.items.len()).filter(ok).collect();
            let there = right.iter().any(|i| !rule.items[*i].absent());
            (there && right.len() >= *need).then_some(Found { span, figure: None })
        }
        Test::Sequence(steps) => {
            let bounded = (0..rule.items.len()).all(|i| rule.items[i].absent() || below(i));
            if !bounded {
                return None;
            }
            follows(rule, steps, held, first)
        }
        Test::Tally { .. } => None,
    }
}

/// Signals of an item that no match has spent, from an index on.
fn times(held: &[Held], from: usize, to: usize, item: usize) -> Vec<usize> {
    (from..to).filter(|i| held[*i].item as usize == item && held[*i].state != State::Spent).collect()
}

/// A sequence in which all must be there, and which signal `s` completes.
fn sequence(rule: &Correlation, steps: &[Step], held: &[Held], s: usize) -> Option<Found> {
    let (low, high) = (from(held, held[s].at - rule.window_ms), to(held, held[s].at + rule.window_ms));
    // By step: where it may end, and the latest beginning of the whole up to there.
    let mut before: Vec<(i64, i64)> = Vec::new();
    for (k, step) in steps.iter().enumerate() {
        let (all, min) = (times(held, low, high, step.item), rule.items[step.item].min.max(1) as usize);
        let mut here = Vec::new();
        for j in min.saturating_sub(1)..all.len() {
            let (begin, end) = (held[all[j + 1 - min]].at, held[all[j]].at);
            if k == 0 {
                here.push((end, begin));
                continue;
            }
            // Ends and beginnings grow together, so the last that fits is the best.
            let fits = before.partition_point(|(e, _)| *e <= begin);
            if let Some((e, start)) = fits.checked_sub(1).map(|i| before[i])
                && end - e <= step.within_ms
            {
                here.push((end, start));
            }
        }
        here.retain(|(end, start)| end - start <= rule.window_ms);
        before = here;
    }
    let (end, start) = if rule.latest { before.last() } else { before.first() }?;
    Some(Found { span: from(held, *start)..to(held, *end), figure: None })
}

/// A sequence that begins with signal `first` and has an item that must be absent before or behind it.
fn follows(rule: &Correlation, steps: &[Step], held: &[Held], first: usize) -> Option<Found> {
    let (at, high) = (held[first].at, to(held, held[first].at + rule.window_ms));
    let none =
        |item: usize, low: i64, up: i64| !held[from(held, low)..to(held, up)].iter().any(|h| h.item as usize == item);
    let (mut ends, mut begun): (Vec<i64>, bool) = (Vec::new(), false);
    for step in steps {
        if rule.items[step.item].absent() {
            match begun {
                false if !none(step.item, at - step.within_ms, at) => return None,
                false => {}
                true => ends.retain(|e| none(step.item, *e, (e + step.within_ms).min(at + rule.window_ms))),
            }
            continue;
        }
        let min = rule.items[step.item].min.max(1) as usize;
        if !begun {
            // From the opening signal on.
            let all = times(held, first, high, step.item);
            if all.first() != Some(&first) {
                return None;
            }
            ends = all.get(min - 1).map(|i| held[*i].at).into_iter().collect();
            begun = true;
            continue;
        }
        let all = times(held, from(held, at), high, step.item);
        let mut here = Vec::new();
        for j in min - 1..all.len() {
            let (begin, end) = (held[all[j + 1 - min]].at, held[all[j]].at);
            if ends.iter().any(|e| *e <= begin && end - e <= step.within_ms) {
                here.push(end);
            }
        }
        ends = here;
    }
    let end = if rule.latest { ends.last() } else { ends.first() }?;
    Some(Found { span: first..to(held, *end), figure: None })
}
