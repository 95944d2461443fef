//! The operator's state against a model that keeps every signal and applies the definitions as they are written.
use super::*;
use crate::rule::{Bound, Figure, Item, Range, Step, Test};
use proptest::prelude::*;
use std::sync::Arc;

fn correlation(items: Vec<Item>, test: Test, window_ms: i64, latest: bool) -> Correlation {
    let meta = model::RuleMeta { id: "R".into(), ..Default::default() };
    Correlation {
        meta: Arc::new(meta),
        file: String::new(),
        enabled: true,
        items,
        test,
        window_ms,
        latest,
        silences: false,
        labels: vec!["k".into()],
        tests: serde_json::Value::Null,
    }
}

fn item(n: usize, min: u64, max: Option<u64>) -> Item {
    Item { id: format!("i{n}"), rule: format!("r{n}").into(), min, max, key: Vec::new(), measure: None }
}

/// Keeps everything.
struct Naive {
    rule: Correlation,
    lateness: i64,
    event_time: bool,
    /// By key. What is spent by a rule that is decided at once, is taken out.
    all: BTreeMap<String, Vec<Held>>,
    closed: BTreeMap<String, i64>,
    newest: Option<i64>,
}

impl Naive {
    fn add(&mut self, key: &str, mut s: Held, out: &mut Vec<(String, Pos, Vec<Held>, Option<f64>)>) {
        let now = s.since;
        s.at = s.at.min(now);
        self.newest = self.newest.max(Some(s.at));
        if self.event_time {
            s.since = s.at;
        }
        if self.closed.get(key).is_some_and(|c| s.at <= *c) {
            return;
        }
        let list = self.all.entry(key.into()).or_default();
        list.push(s.clone());
        list.sort_by_key(Held::order);
        let newest = list.iter().map(|h| h.at).max().unwrap();
        if self.rule.when() == When::Complete {
            if let Some((chosen, figure)) = self.complete(key, &s) {
                let list = self.all.get_mut(key).unwrap();
                list.retain(|h| !chosen.contains(h));
                out.push((key.into(), s.pos, chosen, figure));
            }
        } else {
            let (end, lateness) = (self.rule.window_ms, self.lateness);
            self.close(key, out, |h| newest > h.at + end + lateness);
        }
    }

    /// Tries every window that holds the signal.
    fn complete(&self, key: &str, s: &Held) -> Option<(Vec<Held>, Option<f64>)> {
        let (all, length) = (&self.all[key], self.rule.window_ms);
        let mut good: Vec<(i64, i64, Option<f64>)> = Vec::new();
        if let Test::Sequence(steps) = &self.rule.test {
            chains(&self.rule, steps, all, &mut Vec::new(), &mut |start, end| {
                if end - start <= length {
                    good.push((end, start, None));
                }
            });
        } else {
            for end in all.iter().map(|h| h.at).filter(|e| *e >= s.at && e - length <= s.at) {
                let inside: Vec<&Held> = all.iter().filter(|h| h.at >= end - length && h.at <= end).collect();
                let count = |i: usize| inside.iter().filter(|h| h.item as usize == i).count() as u64;
                match &self.rule.test {
                    Test::Group { need } => {
                        let ok = (0..self.rule.items.len()).filter(|i| count(*i) >= self.rule.items[*i].min).count();
                        if ok >= *need {
                            good.push((end, end - length, None));
                        }
                    }
                    Test::Tally { figure, range } => {
                        let x = plain_figure(*figure, &inside);
                        if let Some(x) = x.filter(|x| range.holds(*x)) {
                            good.push((end, end - length, Some(x)));
                        }
                    }
                    Test::Sequence(_) => unreachable!(),
                }
            }
        }
        // The window that ends first (or last); of those, the one that begins last.
        let end = if self.rule.latest { good.iter().map(|g| g.0).max() } else { good.iter().map(|g| g.0).min() }?;
        let (_, start, figure) = good.into_iter().filter(|g| g.0 == end).max_by_key(|g| g.1)?;
        Some((all.iter().filter(|h| h.at >= start && h.at <= end).cloned().collect(), figure))
    }

    fn tick(&mut self, now: i64, out: &mut Vec<(String, Pos, Vec<Held>, Option<f64>)>) {
        let Some(clock) = (if self.event_time { self.newest } else { Some(now) }) else { return };
        if self.rule.when() == When::Complete {
            return;
        }
        let (end, lateness) = (self.rule.window_ms, self.lateness);
        for key in self.all.keys().cloned().collect::<Vec<_>>() {
            self.close(&key, out, |h| clock > h.since + end + lateness);
        }
    }

    fn close(
        &mut self,
        key: &str,
        out: &mut Vec<(String, Pos, Vec<Held>, Option<f64>)>,
        is_over: impl Fn(&Held) -> bool,
    ) {
        let (list, rule) = (self.all.get_mut(key).unwrap(), &self.rule);
        let length = rule.window_ms;
        if let (When::Tumbling, Test::Tally { figure, range }) = (rule.when(), &rule.test) {
            while list.first().is_some_and(&is_over) {
                let end = list[0].at + length;
                let (inside, rest): (Vec<Held>, Vec<Held>) = list.drain(..).partition(|h| h.at <= end);
                *list = rest;
                self.closed.insert(key.into(), end);
                let x = plain_figure(*figure, &inside.iter().collect::<Vec<_>>());
                if x.is_some_and(|x| range.holds(x)) {
                    out.push((key.into(), inside[0].pos, inside, x));
                }
            }
            return;
        }
        for f in 0..list.len() {
            let absent = |h: &Held| rule.items[h.item as usize].absent();
            let first = list[f].clone();
            if first.state != State::Fresh || absent(&first) || !is_over(&first) {
                continue;
            }
            list[f].state = State::Passed;
            let (low, high) = (first.at - length, first.at + length);
            let around = |i: usize| list.iter().filter(|h| h.item as usize == i && h.at >= low && h.at <= high).count();
            let free: Vec<Held> =
                list[f..].iter().filter(|h| h.at <= high && h.state != State::Spent).cloned().collect();
            let below = |i: usize| rule.items[i].max.is_none_or(|m| around(i) as u64 <= m);
            let mut last = None;
            match &rule.test {
                Test::Group { need } => {
                    let count = |i: usize| free.iter().filter(|h| h.item as usize == i).count() as u64;
                    let ok = |i: &usize| below(*i) && (rule.items[*i].absent() || count(*i) >= rule.items[*i].min);
                    let right: Vec<usize> = (0..rule.items.len()).filter(ok).collect();
                    if right.len() >= *need && right.iter().any(|i| !rule.items[*i].absent()) {
                        last = Some(high);
                    }
                }
                Test::Sequence(steps) => {
                    let none = |i: usize, from: i64, to: i64| {
                        !list.iter().any(|h| h.item as usize == i && h.at >= from && h.at <= to)
                    };
                    let there: Vec<Step> = steps.iter().filter(|s| !rule.items[s.item].absent()).cloned().collect();
                    let before = steps.first().filter(|s| rule.items[s.item].absent());
                    let after = steps.last().filter(|s| rule.items[s.item].absent());
                    let scope: Vec<Held> = list.iter().filter(|h| h.at >= first.at && h.at <= high).cloned().collect();
                    let scope: Vec<Held> = scope.into_iter().filter(|h| h.state != State::Spent).collect();
                    let mut ends = Vec::new();
                    chains_from(rule, &there, &scope, &first, &mut |end| ends.push(end));
                    ends.retain(|e| after.is_none_or(|s| none(s.item, *e, (e + s.within_ms).min(high))));
                    let clear = before.is_none_or(|s| none(s.item, first.at - s.within_ms, first.at));
                    let bounded = (0..rule.items.len()).all(|i| rule.items[i].absent() || below(i));
                    if clear && bounded {
                        last = if rule.latest { ends.into_iter().max() } else { ends.into_iter().min() };
                    }
                }
                Test::Tally { .. } => unreachable!(),
            }
            let Some(last) = last else { continue };
            let mut chosen = Vec::new();
            for h in &mut list[f..] {
                if h.at <= last && h.state != State::Spent && !rule.items[h.item as usize].absent() {
                    h.state = State::Spent;
                    chosen.push(h.clone());
                }
            }
            out.push((key.into(), first.pos, chosen, None));
        }
    }
}

fn plain_figure(figure: Figure, inside: &[&Held]) -> Option<f64> {
    let texts: BTreeSet<&str> = inside.iter().filter_map(|h| h.measure.as_deref()).collect();
    let mut numbers: Vec<f64> = inside.iter().filter_map(|h| h.measure.as_deref()?.parse().ok()).collect();
    numbers.sort_by(f64::total_cmp);
    let n = numbers.len();
    match figure {
        Figure::Count => Some(inside.len() as f64),
        Figure::Distinct => Some(texts.len() as f64),
        Figure::Items => Some(inside.iter().map(|h| h.item).collect::<BTreeSet<_>>().len() as f64),
        Figure::Sum => Some(numbers.iter().sum()),
        Figure::Mean => (n > 0).then(|| numbers.iter().sum::<f64>() / n as f64),
        Figure::Percentile(p) => {
            let enough = |x: &&f64| numbers.iter().filter(|y| *y <= *x).count() as f64 >= p / 100.0 * n as f64;
            numbers.iter().find(enough).copied()
        }
        Figure::Median if n == 0 => None,
        Figure::Median if n % 2 == 1 => Some(numbers[n / 2]),
        Figure::Median => Some((numbers[n / 2 - 1] + numbers[n / 2]) / 2.0),
    }
}

/// Every way to fill the steps; told with its beginning and its end.
fn chains(
    rule: &Correlation,
    steps: &[Step],
    all: &[Held],
    chosen: &mut Vec<(i64, i64)>,
    f: &mut impl FnMut(i64, i64),
) {
    let Some(step) = steps.get(chosen.len()) else {
        return f(chosen[0].0, chosen[chosen.len() - 1].1);
    };
    let of: Vec<i64> = all.iter().filter(|h| h.item as usize == step.item).map(|h| h.at).collect();
    for block in of.windows(rule.items[step.item].min as usize) {
        let (begin, end) = (block[0], block[block.len() - 1]);
        if chosen.last().is_some_and(|(_, e)| begin < *e || end - e > step.within_ms) {
            continue;
        }
        chosen.push((begin, end));
        chains(rule, steps, all, chosen, f);
        chosen.pop();
    }
}

/// The ends of those that begin with a signal.
fn chains_from(rule: &Correlation, steps: &[Step], all: &[Held], first: &Held, f: &mut impl FnMut(i64)) {
    if first.item as usize != steps[0].item {
        return;
    }
    let from = all.iter().position(|h| h.order() == first.order()).unwrap();
    let of: Vec<&Held> = all[from..].iter().filter(|h| h.item == first.item).collect();
    let Some(last) = of.get(rule.items[steps[0].item].min as usize - 1) else { return };
    chains(rule, steps, all, &mut vec![(first.at, last.at)], &mut |_, end| f(end));
}

fn range() -> impl Strategy<Value = Range> {
    let bound = || prop_oneof![Just(Bound::In), Just(Bound::Out)];
    let end = move || prop::option::of((0i32..6, bound()));
    (end(), end(), prop::option::weighted(0.2, 0i32..4)).prop_map(|(low, high, not)| Range {
        low: low.map(|(n, b)| (n as f64, b)),
        high: high.map(|(n, b)| (n as f64, b)),
        not: not.map(f64::from),
    })
}

fn figure() -> impl Strategy<Value = Figure> {
    prop_oneof![
        Just(Figure::Count),
        Just(Figure::Distinct),
        Just(Figure::Items),
        Just(Figure::Sum),
        Just(Figure::Mean),
        Just(Figure::Median),
        (1u8..=100).prop_map(|p| Figure::Percentile(p as f64)),
    ]
}

/// A rule with up to three items.
fn rules() -> impl Strategy<Value = Correlation> {
    let items = prop::collection::vec((1u64..3, prop::option::weighted(0.25, 0u64..4)), 1..4);
    let kind = prop_oneof![
        (0usize..3).prop_map(|n| (n, None)),
        (Just(3usize), figure(), range()).prop_map(|(n, f, r)| (n, Some((f, r)))),
    ];
    (items, kind, 10i64..40, any::<bool>(), prop::collection::vec(3i64..40, 3), 1usize..4).prop_map(
        |(items, (kind, tally), window, latest, within, need)| {
            let n = items.len();
            let mut items: Vec<Item> = items
                .into_iter()
                .enumerate()
                .map(|(i, (min, max))| item(i, min, max.map(|m| if m == 0 { 0 } else { m.max(min) })))
                .collect();
            // Somebody must be there, and in a sequence nobody is absent in the middle.
            if kind == 2 && n == 3 && items[1].absent() {
                items[1].max = None;
            }
            if items.iter().all(Item::absent) {
                items[0].max = None;
            }
            let test = match (kind, tally) {
                (_, Some((figure, range))) => {
                    items.iter_mut().for_each(|i| (i.min, i.max) = (1, None));
                    Test::Tally { figure, range }
                }
                (0, _) => Test::Group { need: n },
                (1, _) => Test::Group { need: need.min(n) },
                _ => Test::Sequence((0..n).map(|i| Step { item: i, within_ms: within[i].min(window) }).collect()),
            };
            correlation(items, test, window, latest)
        },
    )
}

#[derive(Clone, Debug)]
struct Epoch {
    step: i64,
    /// Key, item, delay, value.
    signals: Vec<(usize, usize, i64, u8)>,
    /// 0 nothing, 1 what changed is saved, 2 the whole; then, if set, the state is loaded from there.
    save: u8,
    restore: bool,
}

fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let signal = (0usize..2, 0usize..3, 0i64..12, 0u8..4);
    let epoch = (0i64..25, prop::collection::vec(signal, 0..6), 0u8..3, any::<bool>());
    let epoch = epoch.prop_map(|(step, signals, save, restore)| Epoch { step, signals, save, restore });
    prop::collection::vec(epoch, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_the_definitions_say(
        rule in rules(),
        epochs in epochs(),
        lateness in 0i64..12,
        event_time in any::<bool>(),
    ) {
        let list: Arc<[Correlation]> = vec![rule.clone()].into();
        let rules = Rules { list, lateness_ms: lateness, event_time };
        let mut naive = Naive {
            rule: rule.clone(),
            lateness,
            event_time,
            all: BTreeMap::new(),
            closed: BTreeMap::new(),
            newest: None,
        };
        let (mut group, mut now, mut offset) = (Group::default(), 1_000i64, 0);
        let mut saved: Vec<Vec<u8>> = Vec::new();
        for (n, epoch) in epochs.iter().enumerate() {
            now += epoch.step;
            let (mut got, mut want) = (Told::default(), Vec::new());
            for (k, i, delay, value) in &epoch.signals {
                offset += 1;
                let held = Held {
                    at: now - (*delay).min(lateness),
                    // Unique, and in no order.
                    pos: Pos { offset: offset * 7_919 % 10_007, ..Pos::default() },
                    item: (*i % rule.items.len()) as u32,
                    since: now,
                    state: State::Fresh,
                    measure: matches!(rule.test, Test::Tally { .. }).then(|| value.to_string().into()),
                };
                let key = format!("k{k}");
                naive.add(&key, held.clone(), &mut want);
                group.add(Arc::new(("R".into(), vec![key])), held, &rules, &mut got);
            }
            naive.tick(now, &mut want);
            group.tick(now, &rules, &mut got);
            let got_hits: Vec<_> =
                got.hits.iter().map(|h| (h.key.1[0].clone(), h.pos, orders(&h.signals), h.figure)).collect();
            let sorted = |mut v: Vec<(String, Pos, Vec<_>, Option<f64>)>| {
                v.sort_by(|a, b| (&a.0, a.1, &a.2).cmp(&(&b.0, b.1, &b.2)));
                v
            };
            let want: Vec<_> = want.into_iter().map(|(k, p, s, f)| (k, p, orders(&s), f)).collect();
            prop_assert_eq!(sorted(got_hits), sorted(want), "epoch {} at {}, {:?}", n, now, rule.when());
            prop_assert!(got.evicted.is_empty());
            match epoch.save {
                1 if !saved.is_empty() => saved.push(group.changes(&rules)),
                0 => {}
                _ => saved = vec![group.save(&rules)],
            }
            if epoch.restore && epoch.save > 0 {
                let mut again = Group::default();
                for bytes in saved.iter().filter(|b| !b.is_empty()) {
                    again.apply(bytes, &rules).unwrap();
                }
                prop_assert_eq!(again.save(&rules), group.save(&rules));
                // A save of the whole begins what changes are told against.
                saved = vec![again.save(&rules)];
                group = again;
            }
        }
    }
}

fn orders(held: &[Held]) -> Vec<(i64, Pos, u32)> {
    held.iter().map(Held::order).collect()
}

fn signal(at: i64, offset: u64, item: u32, now: i64) -> Held {
    let pos = Pos { offset, ..Pos::default() };
    Held { at, pos, item, since: now, state: State::Fresh, measure: None }
}

fn one(rule: Correlation) -> Rules {
    Rules { list: vec![rule].into(), lateness_ms: 0, event_time: false }
}

fn key(k: &str) -> Key {
    Arc::new(("R".into(), vec![k.into()]))
}

#[test]
fn a_value_holds_so_many_signals_and_gives_up_the_oldest_of_the_item_with_most() {
    let rules = one(correlation(vec![item(0, 2, None), item(1, 1, None)], Test::Group { need: 2 }, 1_000_000, false));
    let (mut group, mut told) = (Group::default(), Told::default());
    group.add(key("a"), signal(1, 1, 0, 10), &rules, &mut told);
    for n in 0..MAX_HELD as u64 - 1 {
        group.add(key("a"), signal(2, 2 + n, 1, 10), &rules, &mut told);
    }
    assert!(told.evicted.is_empty());
    group.add(key("a"), signal(2, 1_000_000, 1, 10), &rules, &mut told);
    assert_eq!(told.evicted.values().sum::<u64>(), 1);
    // The one of the scarce item is still there.
    group.add(key("a"), signal(2, 1_000_001, 0, 10), &rules, &mut told);
    assert_eq!((told.hits.len(), told.hits[0].signals[0].item), (1, 0));
    assert_eq!((group.keys(), group.signals), (0, 0));
}

#[test]
fn a_group_holds_so_many_signals_and_gives_up_the_value_that_ends_first() {
    let rules = one(correlation(vec![item(0, 2, None)], Test::Group { need: 1 }, 1_000, false));
    let (mut group, mut told) = (Group::default(), Told::default());
    for n in 0..MAX_SIGNALS {
        group.add(key(&format!("k{n}")), signal(10, n as u64, 0, 10 + (n > 0) as i64), &rules, &mut told);
    }
    assert!(told.evicted.is_empty() && group.keys() == MAX_SIGNALS);
    group.add(key("one more"), signal(10, 0, 0, 11), &rules, &mut told);
    assert_eq!((told.evicted.values().sum::<u64>(), group.keys()), (1, MAX_SIGNALS));
    assert!(!group.values.contains_key(&key("k0")));
    group.tick(1_000_000, &rules, &mut told);
    assert_eq!((group.keys(), group.signals, group.due.len()), (0, 0, 0));
}

#[test]
fn what_is_too_late_is_counted_and_the_future_is_now() {
    let rules = one(correlation(vec![item(0, 2, None)], Test::Group { need: 1 }, 100, false));
    let (mut group, mut told) = (Group::default(), Told::default());
    group.add(key("a"), signal(9_999_999, 1, 0, 1_000), &rules, &mut told);
    group.add(key("a"), signal(899, 2, 0, 1_000), &rules, &mut told);
    assert_eq!((told.late.values().sum::<u64>(), told.hits.len()), (1, 0));
    group.add(key("a"), signal(900, 3, 0, 1_000), &rules, &mut told);
    assert_eq!((told.late.values().sum::<u64>(), told.hits.len()), (1, 1));
    assert_eq!(told.hits[0].signals.last().unwrap().at, 1_000);
}

#[test]
fn state_of_a_rule_that_is_gone_or_changed_is_left_out_and_damage_is_an_error() {
    let rule = |window| correlation(vec![item(0, 2, None)], Test::Group { need: 1 }, window, false);
    let rules = one(rule(100));
    let (mut group, mut told) = (Group::default(), Told::default());
    group.add(key("a"), signal(1, 1, 0, 10), &rules, &mut told);
    let bytes = group.save(&rules);
    let loaded = |rules: &Rules| {
        let mut g = Group::default();
        g.apply(&bytes, rules).map(|()| g.keys())
    };
    assert_eq!(loaded(&rules).unwrap(), 1);
    assert_eq!(loaded(&one(rule(101))).unwrap(), 0);
    assert_eq!(loaded(&Rules { list: Vec::new().into(), lateness_ms: 0, event_time: false }).unwrap(), 0);
    for cut in 0..bytes.len() {
        assert!(Group::default().apply(&bytes[..cut], &rules).is_err(), "cut at {cut}");
    }
}
