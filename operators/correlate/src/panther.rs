//! Panther's correlation rules: YAML with `AnalysisType: correlation_rule`.
//!
//! `Detection` is a list of one `Group` or `Sequence`. Its keys and their meaning here:
//!
//! | Key | Means |
//! |---|---|
//! | `Group`, `Sequence` | items `{ID, RuleID, MinMatchCount (1), MaxMatchCount, Absence}`: in any order; in the order of the list |
//! | `MinMatchCount` beside `Group` | so many items must be right; default all |
//! | `MatchCriteria` | `name: [{GroupID, Match: field}]`: the items share one value; each criterion names every item |
//! | `Transitions` | `{ID, From, To, WithinTimeFrameMinutes, Match: [{On}, or {From, To}]}`, between neighbours of the sequence |
//! | `LookbackWindowMinutes` | the longest time that a match spans; 15 |
//! | `EventEvaluationOrder` | `ReverseChronological`: of several windows the last is told |
//! | `Schedule` | checked; nothing waits for it: a rule is evaluated as its signals come ([`crate::decide`]) |
//!
//! Without criteria the signals of a rule are joined by nothing: all of them are one group. A transition whose fields are
//! compared with one after another makes one chain: all items share one value, and an item between two transitions must
//! have it in both fields.
use crate::rule::{Correlation, Item, MAX_COUNT, MAX_ITEMS, MAX_PARTS, MAX_WINDOW_MS, Part, Place, Step, Test};
use detect::condition::nearest;
use detect::key::KeySpec;
use detect::meta;
use model::{Path, Problem};
use serde_json::{Map, Value as J};
use std::collections::BTreeMap;
use std::sync::Arc;

const KNOWN: &[&str] = &[
    "AnalysisType",
    "BaseVersion",
    "CreateAlert",
    "CreatedBy",
    "DedupPeriodMinutes",
    "Description",
    "Detection",
    "DisplayName",
    "Enabled",
    "OutputIds",
    "Reference",
    "Reports",
    "RuleID",
    "Runbook",
    "Severity",
    "Status",
    "SummaryAttributes",
    "Tags",
    "Tests",
];
const GROUP: &[&str] =
    &["EventEvaluationOrder", "Group", "LookbackWindowMinutes", "MatchCriteria", "MinMatchCount", "Schedule"];
const SEQUENCE: &[&str] = &["EventEvaluationOrder", "LookbackWindowMinutes", "Schedule", "Sequence", "Transitions"];
const ITEM: &[&str] = &["Absence", "ID", "MaxMatchCount", "MinMatchCount", "RuleID"];
const TRANSITION: &[&str] = &["From", "ID", "Match", "To", "WithinTimeFrameMinutes"];

const MINUTE_MS: i64 = 60_000;
/// Minutes of a window for which none are given.
const LOOKBACK: u64 = 15;

/// Read a file; findings carry the path of their key. `None` if there are errors.
pub fn read(map: &Map<String, J>, file: &str, text: &str, found: &mut Vec<Problem>) -> Option<Correlation> {
    let before = found.iter().filter(|p| !p.warning).count();
    let mut r = Reader { found };
    r.names(map, "", KNOWN);
    let (meta, enabled) = meta::facts(map, text, r.found);
    let tests = map.get("Tests").cloned().unwrap_or(J::Null);
    let body = r.body(map.get("Detection"))?;
    crate::testing::check(&tests, &body.items, r.found);
    (found.iter().filter(|p| !p.warning).count() == before).then(|| Correlation {
        meta: Arc::new(meta),
        file: file.into(),
        enabled,
        silences: false,
        tests,
        items: body.items,
        test: body.test,
        window_ms: body.window_ms,
        latest: body.latest,
        labels: body.labels,
    })
}

struct Body {
    items: Vec<Item>,
    test: Test,
    window_ms: i64,
    latest: bool,
    labels: Vec<String>,
}

struct Reader<'a> {
    found: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn body(&mut self, v: Option<&J>) -> Option<Body> {
        let hint = "write `Detection:` with one item that has `Group` or `Sequence`";
        let Some(J::Array(list)) = v else {
            self.bad("Detection", "must be a list of one", Some(hint));
            return None;
        };
        let ([J::Object(map)], at) = (list.as_slice(), "Detection[0]") else {
            self.bad("Detection", "must be a list of one mapping", Some(hint));
            return None;
        };
        let ordered = match (map.contains_key("Group"), map.contains_key("Sequence")) {
            (true, false) => false,
            (false, true) => true,
            _ => {
                self.bad(at, "has not one of `Group` and `Sequence`", Some(hint));
                return None;
            }
        };
        self.names(map, at, if ordered { SEQUENCE } else { GROUP });
        self.schedule(map.get("Schedule"));
        let minutes = self.number(map, at, "LookbackWindowMinutes", 1..=(MAX_WINDOW_MS / MINUTE_MS) as u64);
        let window_ms = minutes.unwrap_or(LOOKBACK) as i64 * MINUTE_MS;
        let latest = match map.get("EventEvaluationOrder").map(|v| v.as_str()) {
            None | Some(Some("Chronological")) => false,
            Some(Some("ReverseChronological")) => true,
            Some(_) => {
                let key = format!("{at}.EventEvaluationOrder");
                self.bad(&key, "must be `Chronological` or `ReverseChronological`", None);
                false
            }
        };
        let key = if ordered { "Sequence" } else { "Group" };
        let items = self.items(&map[key], &format!("{at}.{key}"))?;
        match ordered {
            true => self.sequence(map, items, window_ms, latest),
            false => self.group(map, items, window_ms, latest),
        }
    }

    fn schedule(&mut self, v: Option<&J>) {
        let at = "Detection[0].Schedule";
        let Some(J::Object(map)) = v else {
            let hint = "write `Schedule: {RateMinutes: 1440, TimeoutMinutes: 5}`";
            return self.bad(at, "is missing", Some(hint));
        };
        self.names(map, at, &["CronExpression", "RateMinutes", "TimeoutMinutes"]);
        let rate = self.number(map, at, "RateMinutes", 1..=525_600);
        let timeout = self.number(map, at, "TimeoutMinutes", 1..=525_600);
        if map.contains_key("RateMinutes") == map.contains_key("CronExpression") {
            self.bad(at, "has not one of `RateMinutes` and `CronExpression`", None);
        }
        if let Some(cron) = map.get("CronExpression") {
            let fields = cron.as_str().map_or(0, |c| c.split_whitespace().count());
            if !(5..=6).contains(&fields) {
                self.bad(&format!("{at}.CronExpression"), "must have five or six fields", Some("`0 4 * * *`"));
            }
        }
        if let (Some(rate), Some(timeout)) = (rate, timeout)
            && rate < timeout
        {
            self.bad(at, "has a `TimeoutMinutes` above its `RateMinutes`", None);
        }
    }

    fn items(&mut self, v: &J, at: &str) -> Option<Vec<Item>> {
        let list = match v {
            J::Array(list) if !list.is_empty() && list.len() <= MAX_ITEMS => list,
            _ => {
                self.bad(at, &format!("must be a list of 1 to {MAX_ITEMS} items"), None);
                return None;
            }
        };
        let mut out: Vec<Item> = Vec::new();
        for (i, v) in list.iter().enumerate() {
            let at = format!("{at}[{i}]");
            let J::Object(map) = v else {
                self.bad(&at, "must be a mapping with `ID` and `RuleID`", None);
                return None;
            };
            self.names(map, &at, ITEM);
            let (id, rule) = (self.text(map, &at, "ID"), self.text(map, &at, "RuleID"));
            let absence = match map.get("Absence") {
                None => false,
                Some(J::Bool(b)) => *b,
                Some(_) => {
                    self.bad(&format!("{at}.Absence"), "must be true or false", None);
                    false
                }
            };
            let min = self.number(map, &at, "MinMatchCount", 1..=MAX_COUNT);
            let max = self.number(map, &at, "MaxMatchCount", 1..=MAX_COUNT);
            if absence && (min.is_some() || max.is_some()) {
                self.bad(&at, "must be absent, so it has no `MinMatchCount` and no `MaxMatchCount`", None);
            }
            if let (Some(min), Some(max)) = (min, max)
                && max < min
            {
                self.bad(&at, "has a `MaxMatchCount` below its `MinMatchCount`", None);
            }
            let (id, rule) = (id?, rule?);
            if out.iter().any(|i| i.id == id) {
                self.bad(&format!("{at}.ID"), "is the id of another item too", None);
            }
            let max = if absence { Some(0) } else { max };
            out.push(Item { id, rule: rule.into(), min: min.unwrap_or(1), max, key: Vec::new(), measure: None });
        }
        if out.iter().all(Item::absent) {
            self.bad(at, "consists of items that must be absent", Some("name one that must be there"));
        }
        Some(out)
    }

    fn group(&mut self, map: &Map<String, J>, mut items: Vec<Item>, window_ms: i64, latest: bool) -> Option<Body> {
        let at = "Detection[0]";
        let need = self.number(map, at, "MinMatchCount", 1..=items.len() as u64).map_or(items.len(), |n| n as usize);
        let mut labels = Vec::new();
        match map.get("MatchCriteria") {
            None | Some(J::Null) => {}
            Some(J::Object(criteria)) if criteria.len() <= MAX_PARTS => {
                for (label, v) in criteria {
                    self.criterion(&format!("{at}.MatchCriteria.{label}"), v, &mut items);
                    labels.push(label.clone());
                }
            }
            Some(_) => {
                let want = format!("must map at most {MAX_PARTS} names to lists of `{{GroupID, Match}}`");
                self.bad(&format!("{at}.MatchCriteria"), &want, None);
            }
        }
        Some(Body { items, test: Test::Group { need }, window_ms, latest, labels })
    }

    fn criterion(&mut self, at: &str, v: &J, items: &mut [Item]) {
        let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
        for (i, v) in v.as_array().into_iter().flatten().enumerate() {
            let at = format!("{at}[{i}]");
            let J::Object(map) = v else {
                self.bad(&at, "must be `{GroupID, Match}`", None);
                continue;
            };
            self.names(map, &at, &["GroupID", "Match"]);
            let (id, field) = (self.text(map, &at, "GroupID"), self.field(map, &at, "Match"));
            let (Some(id), Some(place)) = (id, field) else { continue };
            match self.item(items, &id, &format!("{at}.GroupID")) {
                Some(i) if parts.contains_key(&i) => self.bad(&at, "names an item again", None),
                Some(i) => drop(parts.insert(i, Part { all: vec![place] })),
                None => {}
            }
        }
        let gone: Vec<&str> =
            (0..items.len()).filter(|i| !parts.contains_key(i)).map(|i| items[i].id.as_str()).collect();
        if !gone.is_empty() {
            let hint = "every criterion names every item: what an item shares with no other cannot be joined";
            self.bad(at, &format!("leaves out {}", gone.join(", ")), Some(hint));
        }
        for (i, part) in parts {
            items[i].key.push(part);
        }
    }

    fn sequence(&mut self, map: &Map<String, J>, mut items: Vec<Item>, window_ms: i64, latest: bool) -> Option<Body> {
        let at = "Detection[0].Transitions";
        let list = match map.get("Transitions") {
            None | Some(J::Null) => &Vec::new(),
            Some(J::Array(list)) => list,
            Some(_) => {
                self.bad(at, "must be a list of transitions", None);
                return None;
            }
        };
        let mut within = vec![window_ms; items.len()];
        let (mut joined, mut seen) = (Vec::new(), vec![false; items.len()]);
        for (i, v) in list.iter().enumerate() {
            let at = format!("{at}[{i}]");
            let J::Object(map) = v else {
                self.bad(&at, "must be a mapping with `ID`, `From` and `To`", None);
                continue;
            };
            self.names(map, &at, TRANSITION);
            self.text(map, &at, "ID");
            let (from, to) = (self.text(map, &at, "From"), self.text(map, &at, "To"));
            let minutes = self.number(map, &at, "WithinTimeFrameMinutes", 1..=(MAX_WINDOW_MS / MINUTE_MS) as u64);
            let (Some(from), Some(to)) = (from, to) else { continue };
            let from = self.item(&items, &from, &format!("{at}.From"));
            let to = self.item(&items, &to, &format!("{at}.To"));
            let (Some(from), Some(to)) = (from, to) else { continue };
            if to != from + 1 {
                let hint = "a transition goes from an item of the sequence to the next one";
                self.bad(&at, "does not follow the order of the sequence", Some(hint));
                continue;
            }
            if std::mem::replace(&mut seen[to], true) {
                self.bad(&at, "is between two items that have a transition", None);
            }
            // The time belongs to the step that follows; that of an item which must be absent before all, to itself.
            let step = if items[from].absent() { from } else { to };
            within[step] = minutes.map_or(window_ms, |m| (m as i64 * MINUTE_MS).min(window_ms));
            joined.push((from, to, self.matches(map, &at)));
        }
        let parts = joined.first().map_or(0, |(.., m)| m.len());
        if parts > 0 && (joined.len() + 1 != items.len() || joined.iter().any(|(.., m)| m.len() != parts)) {
            let hint = "all signals of a match share one value: give every transition a `Match`, or none";
            self.bad(at, "do not join all items of the sequence", Some(hint));
        }
        if parts > MAX_PARTS {
            self.bad(at, &format!("compare more than {MAX_PARTS} values"), None);
        }
        let mut labels = Vec::new();
        for n in 0..parts {
            items.iter_mut().for_each(|i| i.key.push(Part::default()));
            for (from, to, matches) in &joined {
                let Some((a, b)) = matches.get(n) else { continue };
                for (item, place) in [(from, a), (to, b)] {
                    let all = &mut items[*item].key[n].all;
                    if !all.contains(place) {
                        all.push(place.clone());
                    }
                }
            }
            labels.push(joined[0].2[n].0.field.to_string());
        }
        let inner = 1..items.len().saturating_sub(1);
        if let Some(i) = inner.into_iter().find(|i| items[*i].absent()) {
            let hint = "an item that must be absent stands first or last";
            self.bad(&format!("Detection[0].Sequence[{i}]"), "must be absent between two others", Some(hint));
        }
        let steps = (0..items.len()).map(|item| Step { item, within_ms: within[item] }).collect();
        Some(Body { items, test: Test::Sequence(steps), window_ms, latest, labels })
    }

    /// The pairs of fields that a transition compares.
    fn matches(&mut self, map: &Map<String, J>, at: &str) -> Vec<(Place, Place)> {
        let at = format!("{at}.Match");
        let list = match map.get("Match") {
            None | Some(J::Null) => return Vec::new(),
            Some(J::Array(list)) => list,
            Some(_) => {
                self.bad(&at, "must be a list of `{On}` or `{From, To}`", None);
                return Vec::new();
            }
        };
        let mut out = Vec::new();
        for (i, v) in list.iter().enumerate() {
            let at = format!("{at}[{i}]");
            let Some(map) = v.as_object() else {
                self.bad(&at, "must be `{On}` or `{From, To}`", None);
                continue;
            };
            self.names(map, &at, &["From", "On", "To"]);
            match (map.contains_key("On"), map.contains_key("From") || map.contains_key("To")) {
                (true, false) => out.extend(self.field(map, &at, "On").map(|p| (p.clone(), p))),
                (false, true) => {
                    let (from, to) = (self.field(map, &at, "From"), self.field(map, &at, "To"));
                    out.extend(from.zip(to));
                }
                _ => self.bad(&at, "has not one of `On` and `From` with `To`", None),
            }
        }
        out
    }

    fn item(&mut self, items: &[Item], id: &str, at: &str) -> Option<usize> {
        let i = items.iter().position(|i| i.id == id);
        if i.is_none() {
            let hint = nearest(id, items.iter().map(|i| i.id.as_str())).map(|n| format!("did you mean `{n}`?"));
            self.bad(at, &format!("names `{id}`, which is no item"), hint.as_deref());
        }
        i
    }

    fn field(&mut self, map: &Map<String, J>, at: &str, key: &str) -> Option<Place> {
        let text = self.text(map, at, key)?;
        match Path::parse(&text) {
            Ok(path) => Some(Place { log_type: None, field: KeySpec::path(path) }),
            Err(e) => {
                self.bad(&format!("{at}.{key}"), &e, None);
                None
            }
        }
    }

    fn text(&mut self, map: &Map<String, J>, at: &str, key: &str) -> Option<String> {
        let text = map.get(key).and_then(J::as_str).filter(|t| !t.is_empty());
        if text.is_none() {
            self.bad(&format!("{at}.{key}"), "must be a text", None);
        }
        text.map(String::from)
    }

    fn number(
        &mut self,
        map: &Map<String, J>,
        at: &str,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let v = map.get(key)?;
        let n = v.as_u64().filter(|n| range.contains(n));
        if n.is_none() {
            let want = format!("must be a whole number from {} to {}", range.start(), range.end());
            self.bad(&format!("{at}.{key}"), &want, None);
        }
        n
    }

    fn names(&mut self, map: &Map<String, J>, at: &str, known: &[&str]) {
        for key in map.keys().filter(|k| !known.contains(&k.as_str())) {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            let hint = nearest(key, known.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            self.bad(&path, "is not a key here", hint.as_deref());
        }
    }

    fn bad(&mut self, at: &str, what: &str, hint: Option<&str>) {
        let p = Problem::at(at, format!("`{at}` {what}"));
        self.found.push(match hint {
            Some(h) => p.hint(h),
            None => p,
        });
    }
}
